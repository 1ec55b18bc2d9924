"""The study galaxy-scaling from end to end: on its mock, and with real votes and real pictures where they are."""

from __future__ import annotations

import json

import numpy as np
import pytest

from starloom.catalog.tables import read_table
from starloom.datasets.access import locate
from starloom.errors import DatasetError
from starloom.report.page import build
from starloom.studies.galaxy_scaling import STUDY
from starloom.studies.study import configure, execute

SHORT = ("labels=[32,64,96]", "held_out=80", "task_tests=60", "pixels=24", "task_labels=[20,40]")


def run(out, data, *settings):
    config = configure(STUDY, preset="tour", seed=2, overrides=[*SHORT, *settings])
    return execute(STUDY, config, data=data, out=out, publish=build)


def check(folder):
    record = json.loads((folder / "results.json").read_text())
    numbers = {entry["name"]: entry for entry in record["numbers"]}
    assert record["title"].startswith("[simulated input]")  # the galaxies of the grid are made, whatever else is read
    for name in ("RMSE of predicted fractions", "loss over the oracle's", "80 % vote intervals cover",
                 "exponent with labels, resnet_speck", "questions that more labels help"):  # fmt: skip
        assert np.isfinite(numbers[name]["value"]), name
    trainings = read_table(folder / "tables" / "trainings.parquet")
    assert sorted(np.asarray(trainings["labels"])) == [32, 64, 96]
    laws = read_table(folder / "tables" / "laws.parquet")
    assert len(laws) == 2 * 11  # ten questions and all of them, with labels and with parameters
    transfer = read_table(folder / "tables" / "transfer.parquet")
    assert set(transfer["task"]) == {"rings", "ten-types"}
    assert ((np.asarray(transfer["error"]) >= 0) & (np.asarray(transfer["error"]) <= 1)).all()
    figures = {entry["name"] for entry in record["figures"]}
    assert {"made_galaxies", "vote_shares", "scaling_laws", "transfer"} < figures
    for name in figures:
        assert (folder / "figures" / f"{name}.png").stat().st_size > 1000
    # so small a run judges nothing
    assert [entry["name"] for entry in record["numbers"] if entry["bar"] is not None] == []
    return record, numbers, figures


def test_the_mock_from_end_to_end(tmp_path):
    _, numbers, figures = check(run(tmp_path / "mock", "mock", "real_pictures=80"))
    assert {"odd_spirals_roc", "odd_spirals_pictures", "nearest_neighbors"} < figures
    assert np.isfinite(numbers["odd spirals (made): ROC area, hand-made"]["value"])
    assert np.isfinite(numbers["odd spirals (made): ROC area, galaxies only"]["value"])


def test_real_votes_and_real_pictures(tmp_path):
    try:
        locate("gz_votes")
        locate("gz2_odd_spirals")
    except DatasetError as error:
        pytest.skip(f"the real pictures cannot be had here: {error}")
    record, numbers, _ = check(run(tmp_path / "real", "real", "real_pictures=160"))
    assert {entry["kind"] for entry in record["inputs"]} == {"real", "simulated"}
    assert numbers["odd spirals: ROC area, hand-made"]["value"] > 0.65  # 160 pictures: 0.84 +- 0.03 on all
    assert numbers["largest distance between the two distributions"]["value"] < 0.25
    best = [entry["value"] for name, entry in numbers.items() if name.startswith("odd spirals: ROC area, ImageNet")]
    if best:  # the weights of ImageNet can be had
        assert max(best) > 0.7
        published = numbers["relative error reduction against ImageNet"]["published"]
        assert published["comparable"] is False
