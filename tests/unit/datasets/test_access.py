"""Where files are found, in which order; tables with units; the listing."""

from __future__ import annotations

import os

import numpy as np
import pytest
from astropy import units as u

from starloom.datasets.access import listing, locate, open_table, verify, where
from starloom.datasets.dataset import Download, Packaged, RemoteFile
from starloom.errors import CatalogError, DatasetError, MissingColumnError

TABLE = b"source_id,ra,pmra\n4611686018427387905,1.5,2.5\n2,,3.5\n"


def put(folder, content=TABLE, name="table.csv"):
    path = folder / "made" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Pretends that tinydata is installed; importing it would fail."""

    def install(version: str = "0.1", content: bytes = TABLE):
        site = tmp_path / f"site-{version}"
        (site / "tinydata").mkdir(parents=True)
        (site / "tinydata" / "__init__.py").write_text("raise RuntimeError('never imported')")
        (site / "tinydata" / "table.csv").write_bytes(content)
        information = site / f"tinydata-{version}.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: tinydata\nVersion: {version}\n")
        monkeypatch.syspath_prepend(str(site))
        return site / "tinydata" / "table.csv"

    return install


def tinydata(**more) -> Packaged:
    return Packaged("tinydata", "0.1", "0" * 64, 1000, "tinydata/table.csv", **more)


def test_the_order_of_looking(tmp_path, entry, installed, server, build, monkeypatch):
    remote = RemoteFile(server.put("/table.csv", TABLE), build.digest(TABLE), len(TABLE))
    entry(Download((remote,)), tinydata())
    first, second = tmp_path / "first", tmp_path / "second"
    monkeypatch.setenv("STARLOOM_DATA", os.pathsep.join(["", str(first), str(second), str(tmp_path / "absent")]))
    cached = locate("made").path
    assert cached == tmp_path / "cache" / "made" / "table.csv"
    in_package = installed()
    assert locate("made").path == in_package
    in_second = put(second)
    assert locate("made").path == in_second
    in_first = put(first)
    found = locate("made")
    assert found.path == in_first
    assert found.origin == "made/table.csv in a data folder"
    assert found.sha256 == build.digest(TABLE)
    assert [(place.kind, place.present) for place in where("made")] == [
        ("data folder", True),
        ("data folder", True),
        ("data folder", False),
        ("installed package", True),
        ("cache", True),
        ("address", None),
        ("package registry", None),
    ]
    assert server.requests == ["/table.csv"]


def test_an_installed_package_of_another_version_is_not_used(entry, installed):
    entry(tinydata())
    installed("0.2")
    with pytest.raises(DatasetError, match="downloads are off"):
        locate("made", download=False)


def test_an_installed_file_that_was_changed_is_not_used(entry, installed, build, server):
    remote = RemoteFile(server.put("/table.csv", TABLE), build.digest(TABLE), len(TABLE))
    entry(Download((remote,)), tinydata(), sha256=build.digest(TABLE))
    changed = installed(content=TABLE + b"3,4,5\n")
    assert [row.verdict for row in verify("made")] == ["changed"]
    with pytest.raises(DatasetError):
        locate("made", download=False)
    assert locate("made").origin == f"{server.url}/table.csv"
    assert changed.read_bytes() == TABLE + b"3,4,5\n", "a file of a package must stay where it is"


def test_an_installed_file_is_converted_into_the_cache(entry, installed, kept_files):
    def convert(files, output):
        output.write_bytes(files[0].read_bytes().upper())

    entry(tinydata(convert=convert))
    original = installed()
    assert locate("made").path.read_bytes() == TABLE.upper()
    assert original.read_bytes() == TABLE
    assert kept_files() == ["made/table.csv", "made/table.csv.receipt.json"]


def test_open_gives_units_where_the_file_has_none(tmp_path, entry, monkeypatch):
    entry(units={"ra": "deg", "pmra": "mas/yr", "not_there": "K"})
    monkeypatch.setenv("STARLOOM_DATA", str(tmp_path))
    put(tmp_path)
    table = open_table("made")
    assert table["source_id"].dtype == np.int64
    assert table["source_id"][0] == 4611686018427387905
    assert table["ra"].unit == u.deg
    assert table["ra"].dtype == np.float64
    np.testing.assert_array_equal(table["ra"].value, [1.5, np.nan])
    assert table["pmra"].unit == u.mas / u.yr
    assert table.meta["origin"] == "made/table.csv in a data folder"
    assert table.meta["citation"].startswith("2000Made")
    assert open_table("made", "table", columns=["pmra"]).colnames == ["pmra"]


def test_open_says_what_is_wrong_with_a_file(tmp_path, entry, monkeypatch):
    entry()
    monkeypatch.setenv("STARLOOM_DATA", str(tmp_path))
    put(tmp_path, b"")
    with pytest.raises(CatalogError, match=r"table\.csv"):
        open_table("made")
    put(tmp_path)
    with pytest.raises(MissingColumnError, match="pmdec"):
        open_table("made", columns=["pmdec"])


def test_a_truncated_parquet_file_is_named(tmp_path, entry, monkeypatch):
    entry(file_name="table.parquet")
    monkeypatch.setenv("STARLOOM_DATA", str(tmp_path))
    put(tmp_path, b"PAR1 and no more", "table.parquet")
    with pytest.raises(CatalogError, match=r"table\.parquet"):
        open_table("made")


def test_a_grid_is_no_table(tmp_path, entry, monkeypatch):
    entry(file_name="grid.h5")
    with pytest.raises(DatasetError, match=r"made/table is a grid in HDF5, not a table; use locate\(\)"):
        open_table("made")


def test_a_folder_in_the_place_of_a_file_is_not_taken(tmp_path, entry, monkeypatch):
    entry()
    monkeypatch.setenv("STARLOOM_DATA", str(tmp_path))
    (tmp_path / "made" / "table.csv").mkdir(parents=True)
    with pytest.raises(DatasetError, match="it has no source to download from"):
        locate("made")


@pytest.mark.parametrize("call", [locate, open_table, where, verify])
def test_every_door_suggests_a_name(call, entry):
    entry()
    with pytest.raises(DatasetError, match="did you mean 'made'"):
        call("mad")


def test_the_listing_asks_no_network(tmp_path, entry, server, build, monkeypatch):
    remote = RemoteFile(f"{server.url}/table.csv", "0" * 64, 1234)
    entry(Download((remote,)))
    rows = {(row.dataset, row.file): row for row in listing()}
    assert rows["made", "table"].state == "to get"
    assert rows["made", "table"].size == 1234
    assert rows["made", "table"].where == f"{server.url}/table.csv"
    assert rows["gd1_gaia_ps1", "candidates"].license.startswith("MIT")
    monkeypatch.setenv("STARLOOM_DATA", str(tmp_path))
    path = put(tmp_path)
    rows = {(row.dataset, row.file): row for row in listing()}
    assert (rows["made", "table"].state, rows["made", "table"].where) == ("here", str(path))
    assert rows["made", "table"].size == len(TABLE)
    assert server.requests == []


def test_the_listing_knows_files_without_a_source(entry):
    entry()
    row = next(row for row in listing() if row.dataset == "made")
    assert (row.state, row.size, row.where) == ("absent", None, "put it into FOLDER/made/table.csv")


def test_verify_of_a_data_folder(tmp_path, entry, build, monkeypatch):
    entry(sha256=build.digest(TABLE))
    monkeypatch.setenv("STARLOOM_DATA", str(tmp_path))
    path = put(tmp_path)
    assert [(row.verdict, row.path, row.sha256) for row in verify("made")] == [("ok", path, build.digest(TABLE))]
    put(tmp_path, b"mine")
    assert [row.verdict for row in verify("made")] == ["changed"]
    assert locate("made").sha256 == build.digest(b"mine"), "the user's own file is taken as it is"
    assert {row.verdict for row in verify()} <= {"ok", "changed", "not pinned", "absent"}
