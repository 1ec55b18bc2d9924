"""Real tables are recognized; only where a data folder is given."""

import os
from pathlib import Path

import numpy as np
import pytest

from starloom.catalog.column_vocabulary import CANONICAL
from starloom.catalog.description import describe
from starloom.catalog.matching import match_sky
from starloom.catalog.quality import (
    apply_cuts,
    corrected_flux_excess,
    flux_excess_scatter,
    flux_excess_within,
    ruwe_below,
)
from starloom.catalog.schema import Column, Schema, plain
from starloom.catalog.surveys import SURVEYS
from starloom.catalog.tables import read_table, write_table

INTEGERS, TEXTS = {"source_id"}, {"stream"}


def real(name: str) -> Path:
    """A table in the data folders, or skip."""
    for folder in os.environ.get("STARLOOM_DATA", "").split(os.pathsep):
        if folder and (Path(folder) / name).exists():
            return Path(folder) / name
    return pytest.skip(f"{name} is in no folder of STARLOOM_DATA")


def schema_of(survey: str) -> Schema:
    kinds = {name: "integer" if name in INTEGERS else "text" if name in TEXTS else "float" for name in CANONICAL}
    columns = (Column(name, *CANONICAL[name], required=True, kind=kinds[name]) for name in SURVEYS[survey].columns)
    return Schema(survey, "all that the survey has", tuple(columns))


@pytest.mark.parametrize(
    ("name", "survey", "rows"),
    [
        ("gaia_dr3_schema_1000/gaia_source.parquet", "gaia_dr3", 1000),
        ("gd1_gaia_ps1/candidates.parquet", "gd1_tutorial", 7346),
        ("galstreams_tracks/tracks.parquet", "galstreams_tracks", 32412),
        ("streamfinder_dr3/members.parquet", "streamfinder_dr3", 24540),
        ("gd1_hectochelle/catalog.parquet", "gd1_hectochelle", 1160),
    ],
)
def test_surveys_are_recognized_and_all_their_columns_apply(name, survey, rows):
    table = read_table(real(name))
    description = describe(table, {survey: schema_of(survey)})
    assert (description.survey, description.rows) == (survey, rows)
    assert description.can_run(survey)
    unique = None if survey == "streamfinder_dr3" else "source_id"  # a star there may be in two streams
    applied = schema_of(survey).apply(table, unique=unique)
    assert applied.colnames[: len(SURVEYS[survey].columns)] == list(SURVEYS[survey].columns)
    if "source_id" in applied.colnames:
        assert applied["source_id"].dtype == np.int64


def test_galstreams_fill_values_are_gone():
    applied = schema_of("galstreams_tracks").apply(read_table(real("galstreams_tracks/tracks.parquet")))
    velocity = plain(applied, "radial_velocity")
    assert np.nanmax(np.abs(velocity)) < 999
    assert 0.2 < np.isnan(velocity).mean() < 0.5
    assert not (plain(applied, "pmra") == 0).any()


def test_flux_excess_of_real_stars_scatters_as_published():
    table = read_table(real("gaia_dr3_schema_1000/gaia_source.parquet"))
    bright = table[plain(table, "phot_g_mean_mag") < 18.5]
    excess = corrected_flux_excess(plain(bright, "bp_rp"), plain(bright, "phot_bp_rp_excess_factor"))
    pull = excess / flux_excess_scatter(plain(bright, "phot_g_mean_mag"))
    assert len(pull) > 100
    assert abs(np.nanmedian(pull)) < 1
    kept, report = apply_cuts(table, [ruwe_below(), flux_excess_within(3)])
    assert report["kept"][-1] == kept.sum() > 500


@pytest.mark.parametrize("suffix", ["parquet", "fits", "ecsv", "vot", "csv"])
def test_a_full_gaia_table_goes_through_every_format(tmp_path, suffix):
    table = read_table(real("gaia_dr3_schema_1000/gaia_source.parquet"))
    back = read_table(write_table(table, tmp_path / f"gaia.{suffix}"))
    assert back.colnames == table.colnames
    assert back["source_id"].tolist() == table["source_id"].tolist()
    assert back["rv_nb_transits"].tolist() == table["rv_nb_transits"].tolist()
    np.testing.assert_array_equal(np.asarray(back["pmra"]), np.asarray(table["pmra"]))


def test_members_of_two_releases_are_found_by_position():
    gd1 = schema_of("gd1_tutorial").apply(read_table(real("gd1_gaia_ps1/candidates.parquet")))
    members = read_table(real("streamfinder_dr3/members.parquet"))
    members = schema_of("streamfinder_dr3").apply(members[np.asarray(members["stream_name"]) == "GD-1"], unique=None)
    found = match_sky(members, gd1, 1.0, left_epoch=2016.0, right_epoch=2015.5, mutual=True)
    same = np.asarray(members["source_id"])[found.left] == np.asarray(gd1["source_id"])[found.right]
    assert len(found) > 500
    assert same.mean() > 0.95
    still = match_sky(members, gd1, 1.0, mutual=True)
    assert np.median(found.separation) < np.median(still.separation)
