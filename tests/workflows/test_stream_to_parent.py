"""From made stars along a published track to the parent that the literature gives the stream."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path

import numpy as np
import pytest

from starloom import read_table, write_table
from starloom.catalog.provenance import history
from starloom.errors import DatasetError
from starloom.streams import track_mock
from starloom.streams.orbit_sampler import OrbitSampling
from starloom.streams.populations import from_grid
from starloom.streams.stream_file import StreamFile

SCRIPT = Path(__file__).parents[2] / "docs" / "workflows" / "stream_to_parent.py"
GJOLL = """
name = "Gjoll"
frame = { ends = [[64.8789, 2.3507], [112.1856, -34.1283]] }
phi1 = [-25, 25]
phi2 = [-4, 4]
distance = [2.5, 5]
isochrone = { age = 12, fe_h = -1.5 }
track = "NGC3201-Gjoll ibata2021"
[training]
members = 2
steps = 120
background_epochs = 12
"""


@pytest.fixture(scope="module")
def workflow():
    spec = importlib.util.spec_from_file_location("stream_to_parent", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_gjoll_leads_to_ngc_3201(workflow, tmp_path):
    file = StreamFile.of(tomllib.loads(GJOLL))
    try:
        reference = file.reference()
        population = from_grid(file.isochrone.age, file.isochrone.fe_h, ("g_mag", "r_mag"))
    except DatasetError as error:
        pytest.skip(f"a dataset is not on this machine: {error}")
    mock = track_mock.TrackMock(file.phi1, file.phi2, stream=250, background=5000, width=0.3, magnitude=(14.0, 20.0))
    stars = track_mock.make(mock, reference, file.stream_frame, population, 3)
    settings = tmp_path / "gjoll.toml"
    settings.write_text(GJOLL)
    write_table(stars, tmp_path / "stars.parquet")
    out = tmp_path / "members.parquet"
    sampling = OrbitSampling(walkers=24, steps=200, draws=100)
    workflow.run(settings, tmp_path / "stars.parquet", out, sampling=sampling)
    members = read_table(out)
    assert np.array_equal(members["source_id"], stars["source_id"])
    assert [entry["step"] for entry in history(members)] == ["stream membership", "orbit of a stream"]
    likely = np.nan_to_num(np.asarray(members["p_member"])) > 0.5
    true = np.asarray(members["component"]) == "stream"
    assert likely[true].mean() > 0.85
    assert true[likely].mean() > 0.85
    assert np.isfinite(members["orbit_radial_velocity"].value[likely]).all()
    parents = read_table(out.with_suffix(".parents.ecsv"))
    assert parents["parent"][0] == "NGC3201"
    assert len(history(parents)) == 3
