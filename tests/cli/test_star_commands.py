"""``starloom predict`` and ``starloom train`` as a user types them, on FITS, Parquet, VOTable and ECSV."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import pytest

from starloom.catalog.tables import read_table, write_table
from starloom.cli.app import main
from starloom.stars import mock
from starloom.stars.foundation import SHIPPED, StarFoundation


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def starloom(monkeypatch, capsys):
    """The command in this process: starting Python with torch for each of them would take most of the time."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["starloom", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        out = capsys.readouterr()
        return Done(int(end.value.code or 0), out.out, out.err)

    return run


@pytest.fixture(scope="module")
def users(tmp_path_factory):
    """A user's table with labels and colors, one star without any, and text beside."""
    folder = tmp_path_factory.mktemp("users")
    table = mock.make(60, 4)["source_id", "teff", "logg", "fe_h", "phot_bp_mean_mag", "phot_rp_mean_mag", "flux",
                             "phot_g_mean_mag"]  # fmt: skip
    table["flux"] = table["flux"] * 0.05  # made counts are not Gaia's: bring them to its scale
    table["name"] = [f"star {k}" for k in range(60)]
    for ending in ("fits", "parquet", "vot", "ecsv"):
        write_table(table, folder / f"stars.{ending}")
    return folder


def test_every_format_gives_the_same_answers(users, starloom):
    found = []
    for ending in ("fits", "parquet", "vot", "ecsv"):
        done = starloom("predict", "star-foundation", users / f"stars.{ending}", "-o", users / f"out_{ending}.parquet",
                        "-r", "alpha_m", "-r", "a_k", "--rows", "25")  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "60 stars" in done.stdout
        found.append(read_table(users / f"out_{ending}.parquet"))
    for table in found:
        assert {"source_id", "name", "predicted_alpha_m", "predicted_a_k_error", "in_domain", "reason"} <= set(
            table.colnames
        )
        assert "flux" not in table.colnames
        np.testing.assert_allclose(table["predicted_alpha_m"], found[0]["predicted_alpha_m"], rtol=1e-4, atol=1e-5)
        assert table["source_id"].dtype == np.int64


def test_bad_words_end_in_one_line(users, starloom):
    for words, message in (
        (["-r", "distance"], "not trained to answer 'distance'"),
        (["-r", "tef"], "did you mean 'teff'"),
        (["--model", users], "holds no saved model"),
    ):
        done = starloom("predict", "star-foundation", users / "stars.fits", "-o", users / "no.fits", *words)
        assert done.returncode == 2
        assert message in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
        assert not (users / "no.fits").exists()


def test_a_training_goes_on_where_it_was_stopped(tmp_path, starloom):
    table = mock.make(300, 5)["j_mag", "h_mag", "ks_mag", "teff", "logg", "fe_h"]
    write_table(table, tmp_path / "train.parquet")
    words = ["train", "star-foundation", "-o", tmp_path / "m", "--table", tmp_path / "train.parquet", "--steps", "6"]
    first = starloom(*words, "--until", "2")
    assert first.returncode == 0, first.stderr
    assert "2 of 6 steps; go on with the same command" in first.stdout
    second = starloom(*words)
    assert "6 of 6 steps" in second.stdout
    model = StarFoundation.load(tmp_path / "m")
    assert model.history["data"]["origin"] == "train.parquet"
    assert len(model.history["data"]["sha256"]) == 64


def test_the_shipped_model_is_small_and_says_where_it_is_from():
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 5e6
    history = StarFoundation.shipped().history
    assert history["steps"] == history["settings"]["steps"]
    assert history["seed"] == 1
    assert len(history["data"]["sha256"]) == 64
    assert history["test_scores"]["full"]["teff"] < 66.0
    assert len(history["losses"]) > 50
