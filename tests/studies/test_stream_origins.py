"""The study stream-origins from end to end, short: on the mock, on the real points, on a user's own table."""

from __future__ import annotations

import json

import numpy as np
import pytest

from starloom.catalog.tables import read_table, write_table
from starloom.datasets.access import open_table
from starloom.dynamics.frames import GalacticFrame
from starloom.dynamics.potentials import potential
from starloom.errors import CatalogError, ConfigError, DatasetError, FitError
from starloom.report.page import build
from starloom.streams.orbit_mock import MockSurvey, halo_orbits, orbit_stream
from starloom.streams.orbit_result import FittedOrbit
from starloom.streams.orbit_tables import points_from_measurements
from starloom.studies.stream_origins import REFERENCE, STUDY
from starloom.studies.study import configure, execute

SHORT = ("walkers=24", "steps=100", "draws=40", "parent_draws=4", "shuffles=30")
CHOSEN = ("aliqa_uma", "atlas", "fjorm", "gjoll", "svol", "phlegethon")


def run(out, data, *more):
    return execute(STUDY, configure(STUDY, preset="tour", seed=2, overrides=(*SHORT, *more)), data=data, out=out,
                   publish=build)  # fmt: skip


def numbers_of(folder):
    record = json.loads((folder / "results.json").read_text())
    return record, {entry["name"]: entry for entry in record["numbers"]}


@pytest.fixture(scope="module")
def clusters():
    try:
        return open_table("mw_progenitors", "clusters")
    except DatasetError as error:
        pytest.skip(f"the clusters cannot be had here: {error}")


@pytest.fixture(scope="module")
def real_points():
    try:
        table = points_from_measurements(open_table("stream_orbit_inputs", "measurements"))
    except DatasetError as error:
        pytest.skip(f"the points of the streams cannot be had here: {error}")
    return table[np.isin(np.asarray(table["stream"]).astype(str), CHOSEN)]


def test_on_the_mock(tmp_path):
    folder = run(tmp_path / "mock", "mock")
    record, numbers = numbers_of(folder)
    assert record["title"].startswith("[simulated input]")
    assert numbers["streams fitted"]["value"] == 10
    assert numbers["streams associated after shuffling"]["value"] <= 0.2  # of ten streams in a crowded made halo
    assert not any(name.startswith("rank of") for name in numbers)
    table = read_table(folder / "tables" / "associations.parquet")
    first = table[np.asarray(table["rank"]) == 1]
    found = {str(row["stream"]): str(row["cluster"]) for row in first if row["probability"] > 0.5}
    right = [name for name, cluster in found.items() if name == f"from_{cluster}"]
    assert len(right) >= 2  # of four; by chance none: one of forty clusters each
    assert len(found) - len(right) <= 1
    assert (folder / "figures" / "integrals.png").exists()
    orbit = FittedOrbit.load(folder / "model" / str(first["stream"][0]))
    assert orbit.samples.shape == (40, 13)


def test_on_real_points(tmp_path, clusters, real_points):
    """Six of the real streams: parents first, Aliqa Uma and ATLAS one stream, orbits as published."""
    path = tmp_path / "points.ecsv"
    write_table(real_points, path)
    folder = run(tmp_path / "real", str(path))
    record, numbers = numbers_of(folder)
    assert numbers["streams fitted"]["value"] == len(CHOSEN)
    for pair in ("NGC4590 for fjorm", "NGC3201 for gjoll", "NGC5272 for svol"):
        assert numbers[f"rank of {pair}"]["value"] == 1, pair
    assert numbers["Aliqa Uma and ATLAS are each other's nearest"]["value"] == 1
    reference = read_table(folder / "tables" / "reference.parquet")
    assert len(reference) == 5
    atlas = reference[np.asarray(reference["stream"]) == "atlas"][0]
    assert abs(atlas["pericenter_ratio"] - 1.0) < 0.05
    assert abs(atlas["apocenter_ratio"] - 1.0) < 0.10
    assert np.abs(np.asarray(reference["l_z_sigma"])).max() < 3.0
    assert not any(entry["published"] and entry["published"]["comparable"] for entry in record["numbers"])
    assert "your own table" in record["warnings"][0]


def test_on_one_stream_of_a_user(tmp_path, clusters):
    rng, milky_way = np.random.default_rng(4), potential("MilkyWayPotential")
    table, _ = orbit_stream(milky_way, GalacticFrame(), halo_orbits(milky_way, 1, rng)[0], MockSurvey(points=20), rng)
    table["distance"][np.flatnonzero(np.isfinite(table["distance"]))[0]] *= -1.0
    path = tmp_path / "my_stream.ecsv"
    write_table(table, path)
    folder = run(tmp_path / "own", str(path))
    _, numbers = numbers_of(folder)
    assert numbers["streams fitted"]["value"] == 1
    assert numbers["points used"]["value"] == 19
    assert "not used, with a reason: 1" in numbers["points used"]["meaning"]
    assert not any(name.startswith("clustering") for name in numbers)


def test_bad_input_is_refused(tmp_path, clusters):
    path = tmp_path / "two.csv"
    path.write_text("ra,dec\n10,5\n11,6\n")
    with pytest.raises(FitError, match=r"no stream could be fitted.*needs at least 3"):
        run(tmp_path / "a", str(path))
    path.write_text("ra,distance\n10,5\n11,6\n")
    with pytest.raises(CatalogError, match="dec"):
        run(tmp_path / "b", str(path))
    with pytest.raises(ConfigError, match="no potential"):
        run(tmp_path / "c", "mock", "potential=Nowhere")
    with pytest.raises(ConfigError, match="pairs"):
        configure(STUDY, overrides=("walkers=33",))
    with pytest.raises(ConfigError, match="right-handed"):
        run(tmp_path / "d", "mock", "frame=galpy")


def test_the_reference_is_nine_streams():
    assert len(REFERENCE) == 9
    assert all(peri < apo for _, _, _, peri, apo in REFERENCE.values())
