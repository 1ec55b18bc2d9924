"""The study of the phase spiral from end to end: on its mock, and on the real stars as a null."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from starloom.catalog.tables import read_table
from starloom.datasets.access import open_table
from starloom.errors import DatasetError
from starloom.report.page import build
from starloom.studies import gaia_snail
from starloom.studies.study import configure, execute

FEW = ("draws=3000", "particles=20000", "frames=2", "bootstraps=20")


def run(out, data, *overrides, publish=None):
    config = configure(gaia_snail.STUDY, preset="tour", seed=2, overrides=(*FEW, *overrides))
    folder = execute(gaia_snail.STUDY, config, data=data, out=out, publish=publish)
    record = json.loads((folder / "results.json").read_text())
    return folder, record, {entry["name"]: entry for entry in record["numbers"]}


def test_on_the_mock(tmp_path):
    folder, record, numbers = run(tmp_path / "out", "mock", "stars=25000", "amplitude=0.3", publish=build)
    assert record["title"].startswith("[simulated input]")
    assert [entry["name"] for entry in record["numbers"] if entry["verdict"] == "fail"] == []
    assert numbers["apparent age, median"]["published"]["value"] == 0.5
    assert not numbers["apparent age, median"]["published"]["comparable"]
    assert numbers["mock: rms error of the ages by angular momentum"]["value"] < 0.05
    assert numbers["bins in which a spiral is seen"]["value"] >= 3
    assert {path.stem for path in (folder / "figures").glob("*.png")} == {
        "gallery", "decay", "ages", "definitions", "angular_momentum", "stripes", "stars",
    }  # fmt: skip
    with Image.open(folder / "figures" / "snail.gif") as picture:
        assert picture.n_frames == 2
    assert "snail.gif" in (folder / "index.html").read_text()
    assert record["animations"][0]["name"] == "snail"
    table = read_table(folder / "tables" / "definitions.parquet")
    middle = dict(zip(table["definition"], table["median"].value, strict=True))
    assert middle["half the heating"] > middle["as above"] > middle["twice the heating"]
    predicted = read_table(folder / "tables" / "predicted_by_angular_momentum.parquet")
    assert (np.diff(predicted["median"].value) > 0).all()  # the disk winds more slowly farther out


def test_on_the_real_stars_there_is_no_spiral(tmp_path):
    try:
        open_table("gaia_dr2_local_6d")
    except DatasetError as error:
        pytest.skip(f"the real stars cannot be had here: {error}")
    folder, record, numbers = run(tmp_path / "out", "real")
    assert numbers["all stars: a spiral is seen"]["value"] == 0.0
    assert any("within 107 pc of the plane" in warning for warning in record["warnings"])
    assert not read_table(folder / "tables" / "ages_by_angular_momentum.parquet")["seen"].any()
    assert [entry["name"] for entry in record["numbers"] if entry["verdict"] == "fail"] == []


def test_settings_reach_the_model():
    config = configure(gaia_snail.STUDY, preset="tour", overrides=("amplification=2.0", "heating=0.8", "oldest=2.0"))
    model = gaia_snail.model_of(config)
    assert model.amplification.factor == 2.0
    assert (model.heating, model.oldest, model.span) == (0.8, 2.0, 2.0)
