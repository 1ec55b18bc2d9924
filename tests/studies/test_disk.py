"""The studies of the disks from end to end: on their mocks, and on the real stars where they are."""

from __future__ import annotations

import json

import numpy as np
import pytest

from starloom.catalog.tables import read_table
from starloom.datasets.access import open_table
from starloom.disk.galaxy_mock import galaxy
from starloom.errors import DatasetError
from starloom.report.page import build
from starloom.studies import age_metallicity, alpha_sequences
from starloom.studies.study import configure, execute


def run(study, out, data, *overrides):
    config = configure(study, preset="tour", seed=2, overrides=overrides)
    folder = execute(study, config, data=data, out=out, publish=build)
    record = json.loads((folder / "results.json").read_text())
    return folder, record, {entry["name"]: entry for entry in record["numbers"]}


def need(study):
    for spec in study.inputs:
        if not spec.optional:
            try:
                open_table(spec.dataset, spec.file)
            except DatasetError as error:
                pytest.skip(f"the real stars cannot be had here: {error}")


def test_alpha_sequences_on_the_mock(tmp_path):
    folder, record, numbers = run(alpha_sequences.STUDY, tmp_path / "out", "mock", "bootstraps=3")
    assert record["title"].startswith("[simulated input]")
    assert numbers["balanced accuracy over the best possible"]["verdict"] == "pass"
    assert all(entry["verdict"] != "fail" for entry in record["numbers"])
    assert {path.stem for path in (folder / "figures").glob("*.png")} == {"split", "copula", "probability"}
    table = read_table(folder / "tables" / "stars.parquet")
    assert {"p_high_alpha", "high_alpha", "reason"} < set(table.colnames)


def test_alpha_sequences_on_the_real_giants(tmp_path):
    need(alpha_sequences.STUDY)
    folder, record, numbers = run(alpha_sequences.STUDY, tmp_path / "out", "real", "bootstraps=3")
    assert [entry["name"] for entry in record["numbers"] if entry["verdict"] == "fail"] == []
    assert numbers["largest distance of the split outside the published lines"]["value"] <= 0.03
    line = read_table(folder / "tables" / "line.parquet")
    iron, alpha = np.asarray(line["fe_h"]), np.asarray(line["alpha"])
    inside = (iron > -0.7) & (iron < 0.1)
    assert (np.diff(alpha[inside]) < 0).all()


def test_age_metallicity_on_the_mock(tmp_path):
    folder, _, numbers = run(
        age_metallicity.STUDY, tmp_path / "out", "mock", "refits=3", "margins=values", "stars=20000"
    )
    assert numbers["rank correlation of rho with the kinematic temperature"]["value"] < -0.3
    for group in ("all", "low", "high"):
        assert numbers[f"rms error of the map of {group} stars"]["value"] < 0.05
        assert (folder / "tables" / f"map_{group}.parquet").exists()
    assert {path.stem for path in (folder / "figures").glob("*.png")} == {
        "maps", "along_absolute_height", "along_action_r", "abundance", "copulas",
    }  # fmt: skip


def test_age_metallicity_on_the_real_giants(tmp_path):
    need(age_metallicity.STUDY)
    _, record, numbers = run(age_metallicity.STUDY, tmp_path / "out", "real", "refits=10")
    assert any("7.6 to 8.3 kpc" in warning for warning in record["warnings"])
    assert not any(table["name"].startswith("map_") for table in record["tables"])
    # the low-alpha disk has no age-metallicity relation at the Sun's radius, all stars together have one
    assert abs(numbers["rho of low stars, median over |z|"]["value"]) < 0.1
    assert numbers["rho of all stars, median over |z|"]["high"] < -0.1
    assert numbers["APOKASC-2: rho of all stars on hot orbits"]["high"] < 0.0


def test_a_table_of_ones_own(tmp_path):
    from starloom.catalog.tables import write_table

    need(age_metallicity.STUDY)
    table = galaxy(4000, 5)
    del table["high_alpha"]
    write_table(table, tmp_path / "mine.fits")
    _, record, numbers = run(age_metallicity.STUDY, tmp_path / "out", str(tmp_path / "mine.fits"), "refits=3")
    assert any("your own table" in warning for warning in record["warnings"])
    assert "rho of low stars, median over the map" in numbers
    assert "rms error of the map of all stars" not in numbers
