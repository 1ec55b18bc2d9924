"""The study of where ages come from, from end to end: on its mock, on real stars, on a table of one's own."""

from __future__ import annotations

import json

import numpy as np
import pytest

from starloom.catalog.tables import read_table, write_table
from starloom.datasets.access import open_table
from starloom.errors import DatasetError
from starloom.report.page import build
from starloom.simulation.evolved_stars import mist
from starloom.studies import age_attribution
from starloom.studies.study import configure, execute

SMALL = ("stars=500", "test_stars=200", "trees=10", "explained=50", "background=5")


@pytest.fixture(autouse=True)
def _grid():
    try:
        mist()
    except DatasetError as error:
        pytest.skip(f"the MIST grid cannot be had here: {error}")


def run(out, data, *overrides, publish=None):
    config = configure(age_attribution.STUDY, preset="tour", seed=2, overrides=(*SMALL, *overrides))
    folder = execute(age_attribution.STUDY, config, data=data, out=out, publish=publish)
    record = json.loads((folder / "results.json").read_text())
    return folder, record, {entry["name"]: entry for entry in record["numbers"]}


def test_on_the_mock(tmp_path):
    folder, record, numbers = run(tmp_path / "out", "mock", publish=build)
    assert record["title"].startswith("[simulated input]")
    for name in ("all stages", "red clump"):
        assert numbers[f"simulated {name}: additivity of the contributions"]["verdict"] == "pass"
        shares = [entry["value"] for key, entry in numbers.items() if key.startswith(f"simulated {name}: share of")]
        assert len(shares) == 3
        assert sum(shares) == pytest.approx(1.0)
    assert numbers["red clump: scatter of predicted / true age"]["value"] < 30.0
    assert {path.stem for path in (folder / "figures").glob("*.png")} == {
        "ages", "groups_simulated", "inputs_simulated", "inputs_real", "trends", "calibration",
    }  # fmt: skip
    table = read_table(folder / "tables" / "giants.parquet")
    assert np.isfinite(table["predicted_age"]).all()
    rows = read_table(folder / "tables" / "shares.parquet")
    assert {"simulated all stages", "simulated red clump"} <= set(rows["sample"])


def test_on_the_real_giants(tmp_path):
    try:
        for spec in age_attribution.STUDY.inputs:
            open_table(spec.dataset, spec.file)
    except DatasetError as error:
        pytest.skip(f"the real stars cannot be had here: {error}")
    _, record, numbers = run(tmp_path / "out", "real")
    assert numbers["giants, ages from mass: scatter, red giants"]["value"] < 7.0
    assert numbers["giants, ages from radius: scatter, red clump"]["value"] < 30.0
    assert numbers["APOKASC-2, ages from seismology: scatter, red giants"]["value"] < 33.0
    # real red giants are told by [alpha/M], real clump stars by their radius
    assert numbers["Kepler red giants: share of chemical evolution"]["value"] > 0.8
    assert numbers["Kepler red clump: share of stellar evolution"]["value"] > 0.6
    assert "110 stars" in numbers["APOGEE DR17 labels: scatter"]["meaning"]
    assert numbers["HARPS dwarfs: scatter in age"]["value"] < 1.6
    kinds = {entry["name"]: entry["kind"] for entry in record["inputs"]}
    assert kinds["giants"] == "real"
    assert kinds["milky way"] == "simulated"


def test_on_a_table_of_ones_own(tmp_path):
    mine = age_attribution.mock(age_attribution.Config(stars=1200))["giants"]
    mine.keep_columns(["age", "teff", "logg", "fe_h", "c_n", "evolutionary_state"])
    write_table(mine, tmp_path / "mine.fits")
    _, record, numbers = run(tmp_path / "out", str(tmp_path / "mine.fits"))
    assert any("your own table" in warning for warning in record["warnings"])
    assert "giants, ages from all its inputs: scatter, red clump" in numbers
    assert "giants red giants: share of both ([C/N])" in numbers
    del mine["age"]
    write_table(mine, tmp_path / "ageless.fits")
    from starloom.errors import CatalogError

    with pytest.raises(CatalogError, match="'age'"):
        run(tmp_path / "other", str(tmp_path / "ageless.fits"))


def test_the_table_of_choices():
    """The same forest: what [C/N] is counted to moves its share and nothing else."""
    from starloom.studies import attribution_pages, attribution_variants

    wanted = ("as in the study", "[C/N] counts as stellar evolution", "[C/N] counts as chemical evolution")
    choices = tuple(choice for choice in attribution_variants.CHOICES if choice.title in wanted)
    table = attribution_variants.table(400, 3, choices)
    assert len(table) == 6
    for sample in ("all stages", "red clump"):
        plain, evolution, chemistry = (row for row in table if row["sample"] == sample)
        assert plain["evolution"] + plain["both"] + plain["chemistry"] == pytest.approx(1.0)
        assert plain["both"] > 0.0 == evolution["both"] == chemistry["both"]
        assert evolution["evolution_over_two"] > plain["evolution_over_two"] > chemistry["evolution_over_two"]
        assert plain["scatter"] == evolution["scatter"] == chemistry["scatter"]
    assert len(attribution_pages.choices(table).panels) == 2
    titles = [choice.title for choice in attribution_variants.CHOICES]
    assert len(set(titles)) == len(titles)
