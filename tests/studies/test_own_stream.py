"""A stream of one's own from a ten-line file: the result folder, resuming, scoring another table."""

from __future__ import annotations

import json

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable

from starloom.catalog.tables import read_table, write_table
from starloom.errors import CatalogError, ConfigError, FitError, ModelFileError, OutputError
from starloom.neural import training
from starloom.report.page import build
from starloom.streams.mixture import Mixture
from starloom.streams.mock import MockField, isochrone, make
from starloom.studies import own_stream

WIDE = ((-9.5, -17.5), (0.0, -17.5), (0.0, -8.0), (-9.5, -8.0))
TEXT = """
name = "GD-1, made"
frame = "GD1Koposov10"
phi1 = [-70, -20]
phi2 = [-5, 5]
reflex_distance = 8.0
pm_phi1_cosphi2 = [-10, -4.5]
pm_phi2 = [-4, 3]
distance = [5, 12]
isochrone = "ridge.ecsv"
track = [[-60, -0.5], [-40, 0.2], [-25, 0.0]]
simulated = true
[training]
members = 3
steps = 60
background_epochs = 6
hidden = 16
layers = 2
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A table, an isochrone and a ten-line file."""
    here = tmp_path_factory.mktemp("own")
    stars = make(MockField(WIDE, stream=300, spur=0, background=2500), 1)
    write_table(stars, here / "stars.parquet")
    ridge = isochrone()
    g = np.asarray(ridge["mag_g"]) - 5.0 * np.log10(780.0)
    points = QTable({"g_mag": g[::4] * u.mag, "i_mag": (g - np.asarray(ridge["color_g_i"]))[::4] * u.mag})
    write_table(points, here / "ridge.ecsv")
    (here / "mine.toml").write_text(TEXT.replace("ridge.ecsv", str(here / "ridge.ecsv")))
    return here


@pytest.fixture(scope="module")
def result(folder):
    return own_stream.fit(folder / "mine.toml", folder / "stars.parquet", folder / "out", seed=1, publish=build)


def test_the_result_folder(result):
    record = json.loads((result / "results.json").read_text())
    assert record["study"] == "own-stream"
    assert record["title"].startswith("[simulated input] GD-1, made")
    assert record["config"]["phi1"] == [-70, -20]
    assert "starloom streams fit" in record["command"]
    assert record["inputs"][0]["rows"] == len(read_table(result / "tables" / "membership.parquet"))
    names = {table["name"] for table in record["tables"]}
    assert names == {"membership", "track", "density_stream", "guides"}
    assert {figure["name"] for figure in record["figures"]} >= {"sky", "track", "density", "color_magnitude"}
    numbers = {number["name"]: number for number in record["numbers"]}
    assert {"expected members: stream", "width in phi2", "distance modulus", "stars claimed off the stream"} <= set(
        numbers
    )
    assert any("bands = ['g_mag', 'i_mag']" in warning for warning in record["warnings"])
    page = (result / "index.html").read_text()
    assert "GD-1, made" in page
    assert "simulated input" in page


def test_the_stream_is_found(result):
    members = read_table(result / "tables" / "membership.parquet")
    used = np.asarray(members["reason"]) == ""
    true = np.asarray(members["component"])[used] == "stream"
    p = np.asarray(members["p_stream"])[used]
    # a short fit: what P says of the members and of the others is far apart
    assert p[true].mean() > 0.6
    assert p[~true].mean() < 0.08
    assert p.sum() == pytest.approx(true.sum(), rel=0.25)


def test_scoring_another_table(result, folder):
    again = own_stream.score(result, folder / "stars.parquet", folder / "scored.fits")
    scored, members = read_table(folder / "scored.fits"), read_table(result / "tables" / "membership.parquet")
    assert again["rows"] == len(members)
    assert again["used"] + sum(again["reasons"].values()) == again["rows"]
    np.testing.assert_allclose(np.asarray(scored["p_stream"]), np.asarray(members["p_stream"]), atol=1e-6)
    inner = own_stream.score(result / "model", folder / "stars.parquet", folder / "scored.parquet")
    assert inner == again


def test_a_table_without_magnitudes_is_scored_and_told_of(folder, result):
    stars = read_table(folder / "stars.parquet")
    stars.remove_columns([name for name in stars.colnames if name.endswith("_psf_mag")])
    write_table(stars, folder / "bare.parquet")
    found = own_stream.score(result, folder / "bare.parquet", folder / "bare_scored.parquet")
    assert found["absent"] == ["g_mag", "i_mag"]
    assert own_stream.score(result, folder / "stars.parquet", folder / "scored.parquet")["absent"] == []
    scored = read_table(folder / "bare_scored.parquet")
    used = np.asarray(scored["reason"]) == ""
    assert (np.asarray(scored["features_used"])[used] == 3).all()
    true = (np.asarray(stars["component"]) != "background")[used]
    # fewer features: less is known, but the members are still as many as they are, within a quarter
    assert np.asarray(scored["p_member"])[used].sum() == pytest.approx(true.sum(), rel=0.25)


def test_an_interrupted_fit_goes_on(folder, result, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", -1.0)
    penalty, calls = Mixture.penalty, []

    def interrupted(self, curves):
        calls.append(1)
        if len(calls) == 40:
            raise KeyboardInterrupt
        return penalty(self, curves)

    monkeypatch.setattr(Mixture, "penalty", interrupted)
    words = (folder / "mine.toml", folder / "stars.parquet", tmp_path / "out")
    with pytest.raises(KeyboardInterrupt, match=r"starloom streams fit .*--resume"):
        own_stream.fit(*words)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match="seed was 1 and is 2"):
        own_stream.fit(*words, seed=2, resume=True)
    calls.append(1)
    done = own_stream.fit(*words, resume=True)
    assert len(calls) < 42 + 40, "the steps before the interrupt are not made again"
    one, other = (read_table(place / "tables" / "membership.parquet") for place in (done, result))
    np.testing.assert_array_equal(one["p_stream"], other["p_stream"])


def test_bad_input(folder, result, tmp_path):
    write_table(read_table(folder / "stars.parquet")[:60], tmp_path / "few.parquet")
    with pytest.raises(FitError, match="100 are needed"):
        own_stream.fit(folder / "mine.toml", tmp_path / "few.parquet", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    few = read_table(tmp_path / "few.parquet")
    few["name"] = np.array(["Hélène"] * 60)  # a result is FITS too: it is said before the fit
    write_table(few, tmp_path / "named.parquet")
    with pytest.raises(CatalogError, match="FITS holds ASCII text only, and column 'name'"):
        own_stream.fit(folder / "mine.toml", tmp_path / "named.parquet", tmp_path / "out")
    with pytest.raises(CatalogError, match="does not exist"):
        own_stream.fit(folder / "mine.toml", tmp_path / "none.parquet", tmp_path / "out")
    with pytest.raises(OutputError, match="not written by an earlier run"):
        own_stream.fit(folder / "mine.toml", folder / "stars.parquet", folder)
    with pytest.raises(ConfigError, match="not a folder"):
        own_stream.score(tmp_path / "none", folder / "stars.parquet", tmp_path / "scored.fits")
    with pytest.raises(ModelFileError):
        own_stream.score(tmp_path, folder / "stars.parquet", tmp_path / "scored.fits")
    with pytest.raises(CatalogError, match="xyz"):
        own_stream.score(result, folder / "stars.parquet", tmp_path / "scored.xyz")
