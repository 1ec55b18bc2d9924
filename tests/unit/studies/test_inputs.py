from __future__ import annotations

import hashlib

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable

from starloom.catalog.tables import write_table
from starloom.datasets import registry as datasets
from starloom.datasets.dataset import DataFile, Dataset
from starloom.errors import CatalogError, ConfigError, DatasetError, MissingColumnError, UnitError
from starloom.studies.inputs import content_sha256
from starloom.studies.study import configure, load_inputs

STARS = Dataset(
    name="toy_stars",
    title="Toy stars",
    papers=(2,),
    files=(DataFile("stars", "stars.parquet", "Toy stars."),),
    license="CC0",
    citation="1805.00425 Nobody 2018",
)


@pytest.fixture
def stars():
    return QTable({"source_id": [2**60 + 1, 5], "x": [1.0, 2.0] * u.deg, "y": [60.0, np.nan] * u.arcmin})


@pytest.fixture
def here(stars, tmp_path, monkeypatch):
    """The toy dataset in a data folder."""
    monkeypatch.setattr(datasets, "_registered", {"toy_stars": STARS})
    monkeypatch.setenv("STARLOOM_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("STARLOOM_CACHE", str(tmp_path / "cache"))
    return write_table(stars, tmp_path / "data" / "toy_stars" / "stars.parquet")


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "_registered", {"toy_stars": STARS})
    monkeypatch.setenv("STARLOOM_DATA", str(tmp_path / "nothing"))
    monkeypatch.setenv("STARLOOM_CACHE", str(tmp_path / "cache"))


def test_the_real_table_is_taken_where_it_can_be_had(toy, here):
    for data in ("auto", "real"):
        found = load_inputs(toy.STUDY, configure(toy.STUDY), data)
        record = found["stars"].record
        assert (record.kind, record.rows, record.license) == ("real", 2, "CC0")
        assert record.sha256 == hashlib.sha256(here.read_bytes()).hexdigest()
        assert found.same_data
        assert "track" not in found, "an optional input may be absent"
        assert "without track" in found.warnings[0]


def test_auto_falls_back_to_the_mock_loudly(toy, nowhere):
    found = load_inputs(toy.STUDY, configure(toy.STUDY))
    assert found["stars"].record.kind == "simulated"
    assert not found.same_data
    assert found.warnings[0].startswith("SIMULATED INPUT")
    assert "STARLOOM_DATA" in found.warnings[0]


def test_real_or_nothing(toy, nowhere):
    with pytest.raises(DatasetError, match="toy_stars"):
        load_inputs(toy.STUDY, configure(toy.STUDY), "real")


def test_the_mock_follows_the_seed_and_its_hash_its_content(toy):
    one, same, other = (
        load_inputs(toy.STUDY, configure(toy.STUDY, seed=seed), "mock")["stars"].record for seed in (1, 1, 2)
    )
    assert one.sha256 == same.sha256 != other.sha256
    assert one.rows == 400


def test_the_content_hash_sees_units_masks_names_and_kinds():
    base = {"a": [1.0, 2.0]}
    masked = QTable(base, masked=True)
    masked["a"].mask = [True, False]
    variants = [
        QTable(base),
        QTable({"a": [1.0, 2.0] * u.deg}),
        QTable({"b": [1.0, 2.0]}),
        QTable({"a": np.array([1.0, 2.0], dtype=np.float32)}),
        masked,
    ]
    assert len({content_sha256(table) for table in variants}) == len(variants)


@pytest.mark.parametrize("ending", ["parquet", "fits", "ecsv", "csv"])
def test_a_table_of_ones_own(toy, nowhere, stars, tmp_path, ending):
    path = write_table(
        stars if ending != "csv" else QTable({n: stars[n].value for n in stars.colnames}), tmp_path / f"mine.{ending}"
    )
    found = load_inputs(toy.STUDY, configure(toy.STUDY), str(path))
    assert found["stars"].record.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found["stars"].table["source_id"][0] == 2**60 + 1
    assert not found.same_data
    assert "your own table" in found.warnings[0]
    if ending != "csv":  # the one format without units
        assert found["stars"].table["y"][0].value == pytest.approx(1.0), "converted to the schema's unit"


def test_a_dataset_by_name_is_a_table_of_ones_own(toy, here):
    found = load_inputs(toy.STUDY, configure(toy.STUDY), "toy_stars")
    assert found["stars"].record.origin.startswith("toy_stars/stars.parquet")
    assert load_inputs(toy.STUDY, configure(toy.STUDY), "toy_stars/stars")["stars"].record.rows == 2


def test_a_table_of_ones_own_that_will_not_do(toy, nowhere, stars, tmp_path):
    def load(table, name="mine.parquet"):
        return load_inputs(toy.STUDY, configure(toy.STUDY), str(write_table(table, tmp_path / name)))

    with pytest.raises(MissingColumnError, match=r"mine\.parquet.*'y'"):
        load(stars["source_id", "x"])
    with pytest.raises(CatalogError, match="rows"):
        load(stars[:0])
    wrong = stars.copy()
    wrong["y"] = [1.0, 2.0] * u.kg
    with pytest.raises(UnitError, match="kg"):
        load(wrong)
    twice = stars.copy()
    twice["source_id"] = [5, 5]
    with pytest.raises(CatalogError, match="more than once"):
        load(twice)
    assert load(stars[:1])["stars"].record.rows == 1
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "mine.parquet").read_bytes()[:200])
    with pytest.raises(CatalogError, match=r"cut\.parquet"):
        load_inputs(toy.STUDY, configure(toy.STUDY), str(tmp_path / "cut.parquet"))
    with pytest.raises(CatalogError, match="does not exist"):
        load_inputs(toy.STUDY, configure(toy.STUDY), str(tmp_path / "none.fits"))


def test_a_misspelled_kind_of_data_is_told(toy, nowhere):
    with pytest.raises(ConfigError, match="Did you mean 'mock'"):
        load_inputs(toy.STUDY, configure(toy.STUDY), "mok")
