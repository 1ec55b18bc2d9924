"""Reading and writing: what goes out comes back, and what is broken is said."""

import gzip
import os
import resource

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Column, MaskedColumn, QTable, Table
from astropy.time import Time, TimeDelta

from starloom.catalog.arrow_tables import UNRECOGNIZED, parse_unit
from starloom.catalog.tables import read_table, require_writable, write_table
from starloom.errors import CatalogError, MissingColumnError, OutputError

BIG = 4611686018427387905  # a float would turn this into ...904
SUFFIXES = ["parquet", "fits", "ecsv", "vot", "csv"]


def rich_table() -> QTable:
    table = QTable()
    table["source_id"] = np.array([BIG, 2, 3])
    table["count"] = MaskedColumn([1, 999, BIG], mask=[False, True, False])
    table["ra"] = [1.0, 1 / 3, np.nan] * u.deg
    table["pmra"] = np.array([1.5, np.nan, -3]) * u.mas / u.yr
    table["bright"] = [True, False, True]
    table["variable"] = MaskedColumn([True, False, True], mask=[False, False, True])
    table["name"] = ['a, "b"', "two words", "c"]
    table["field"] = MaskedColumn(["x", "y", "hidden"], mask=[False, False, True])
    table["logg"] = np.array([1.0, 2.5, 4.4]) * u.dex(u.cm / u.s**2)
    table["mass"] = np.array([1.0, 2.0, 3.0]) * u.Msun
    return table


def mask_of(column) -> list[bool]:
    return np.broadcast_to(getattr(column, "mask", False), len(column)).tolist()


def assert_same(first: QTable, second: QTable, units: bool = True) -> None:
    assert first.colnames == second.colnames
    for name in first.colnames:
        one, two = first[name], second[name]
        assert np.asarray(one).dtype.kind == np.asarray(two).dtype.kind, name
        assert mask_of(one) == mask_of(two), name
        there = ~np.array(mask_of(one), dtype=bool)
        values = [np.asarray(getattr(column, "value", column))[there] for column in (one, two)]
        np.testing.assert_array_equal(*values, err_msg=name)
        if units:
            assert getattr(one, "unit", None) == getattr(two, "unit", None), name


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_written_comes_back(tmp_path, suffix):
    table = rich_table()
    path = write_table(table, tmp_path / f"table.{suffix}")
    assert_same(table, read_table(path), units=suffix != "csv")
    assert read_table(str(path))["source_id"].dtype == np.int64


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_hidden_value_under_a_mask_comes_to_light(tmp_path, suffix):
    path = write_table(rich_table()[["field", "count"]], tmp_path / f"table.{suffix}")
    assert b"hidden" not in path.read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_table_without_rows_can_be_written_and_read(tmp_path, suffix):
    table = read_table(write_table(rich_table()[:0], tmp_path / f"table.{suffix}"))
    assert len(table) == 0
    assert table.colnames == rich_table().colnames


@pytest.mark.parametrize("suffix", ["parquet", "fits", "ecsv", "vot"])
def test_columns_of_more_dimensions_come_back(tmp_path, suffix):
    table = QTable({"id": [1, 2], "coefficients": np.arange(6.0).reshape(2, 3) * u.Jy})
    back = read_table(write_table(table, tmp_path / f"table.{suffix}"))
    assert (back["coefficients"] == table["coefficients"]).all()


def test_precision_of_float32_is_kept(tmp_path):
    table = QTable({"x": np.array([0.1, np.nan], dtype=np.float32)})
    for suffix in ("parquet", "fits", "ecsv", "vot"):
        assert read_table(write_table(table, tmp_path / f"t.{suffix}"))["x"].dtype == np.float32
    back = read_table(write_table(table, tmp_path / "t.csv"))
    assert np.float32(back["x"][0]) == np.float32(0.1)


def test_csv_keeps_infinities_all_digits_and_the_kind_of_whole_floats(tmp_path):
    table = QTable({"x": [np.inf, -np.inf, 1e-300, 0.1 + 0.2], "whole": [1.0, 2.0, np.nan, 4.0]})
    back = read_table(write_table(table, tmp_path / "t.csv"))
    assert back["x"].tolist() == table["x"].tolist()
    assert back["whole"].dtype == np.float64


def test_columns_come_in_the_order_asked_for(tmp_path):
    for suffix in SUFFIXES:
        path = write_table(rich_table(), tmp_path / f"t.{suffix}")
        assert read_table(path, columns=["ra", "source_id"]).colnames == ["ra", "source_id"]
        with pytest.raises(MissingColumnError, match=r"no column 'pmar'; closest names there: .*pmra"):
            read_table(path, columns=["pmar"])


def test_csv_compressed_and_with_kinds_that_show_late(tmp_path):
    rows = 150_000
    lines = ["source_id,value"] + [f"{BIG + row},{row}" for row in range(rows)] + ["7,0.5", ",nan"]
    path = tmp_path / "late.csv.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode(), 1))
    table = read_table(path)
    assert table["source_id"][1] == BIG + 1
    assert table["source_id"].mask[-1]
    assert table["value"].dtype == np.float64
    assert table["value"][rows] == 0.5


def test_gaia_bulk_file_is_ecsv_under_the_name_csv(tmp_path):
    text = "# %ECSV 1.0\n# ---\n# delimiter: ','\n# datatype:\n# - {name: source_id, datatype: int64}\n"
    text += "# - {name: pmra, unit: mas.yr**-1, datatype: float64}\n# - {name: rv_n, datatype: int32}\n"
    text += f"source_id,pmra,rv_n\n{BIG},1.5,null\n2,null,3\n"
    path = tmp_path / "GaiaSource.csv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    table = read_table(path)
    assert table["source_id"][0] == BIG
    assert table["pmra"].unit == u.mas / u.yr
    assert np.isnan(table["pmra"][1])
    assert table["rv_n"].mask.tolist() == [True, False]


def test_fits_extensions(tmp_path):
    path = tmp_path / "two.fits"
    first, second = (fits.table_to_hdu(Table({name: [1.0]})) for name in ("a", "b"))
    second.name = "SECOND"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros((2, 2))), first, second]).writeto(path)
    assert read_table(path).colnames == ["a"]
    assert read_table(path, hdu="SECOND").colnames == ["b"]
    assert read_table(path, hdu=3).colnames == ["b"]
    for wrong in (7, "THIRD"):
        with pytest.raises(CatalogError, match=r"there is no extension .*; tables are in: 2"):
            read_table(path, hdu=wrong)
    with pytest.raises(CatalogError, match="extension 1 holds no table"):
        read_table(path, hdu=1)
    fits.PrimaryHDU(np.zeros(3)).writeto(tmp_path / "image.fits")
    with pytest.raises(CatalogError, match=r"image\.fits: no extension"):
        read_table(tmp_path / "image.fits")


def test_parquet_of_pandas_and_astropy(tmp_path):
    frame = pd.DataFrame({"x": [1.0, None], "n": pd.array([BIG, None], dtype="Int64"), "s": ["a", None]})
    frame.index = pd.Index([11, 12], name="source_id")
    frame.to_parquet(tmp_path / "pandas.parquet")
    table = read_table(tmp_path / "pandas.parquet")
    assert table["source_id"].tolist() == [11, 12]
    assert table["n"].tolist() == [BIG, None]
    assert table["s"].tolist() == ["a", None]
    frame.iloc[[1]].reset_index(drop=True).set_axis([5]).to_parquet(tmp_path / "index.parquet")
    assert read_table(tmp_path / "index.parquet").colnames == ["x", "n", "s"]

    original = QTable({"ra": [1.0, 2.0] * u.deg, "n": MaskedColumn([BIG, 2], mask=[False, True])})
    original.write(tmp_path / "astropy.parquet")
    assert_same(original, read_table(tmp_path / "astropy.parquet"))
    assert read_table(tmp_path / "astropy.parquet", columns=["n"])["n"].tolist() == [BIG, None]


def test_arrow_types_that_tables_do_not_have(tmp_path):
    table = pa.table(
        {
            "day": pa.array([0, None], pa.date32()),
            "decimal": pa.array([1, None]).cast(pa.decimal128(22, 1)),
            "category": pa.array(["u", None]).dictionary_encode(),
            "bytes": pa.array([b"u", None]),
            "nothing": pa.nulls(2),
            "pair": pa.array([[1.0, 2.0], None]),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    back = read_table(tmp_path / "t.parquet")
    assert back["day"].tolist() == ["1970-01-01", None]
    assert back["decimal"].tolist()[0] == 1.0
    assert back["category"].tolist() == back["bytes"].tolist() == ["u", None]
    assert np.isnan(back["nothing"]).all()
    assert back["pair"].shape == (2, 2)
    assert np.isnan(back["pair"][1]).all()
    pq.write_table(pa.table({"good": [1, 2], "bad": [{"a": 1}, {"a": 2}]}), tmp_path / "bad.parquet")
    with pytest.raises(CatalogError, match=r"bad\.parquet: column 'bad'"):
        read_table(tmp_path / "bad.parquet")
    assert read_table(tmp_path / "bad.parquet", columns=["good"]).colnames == ["good"]
    pq.write_table(pa.table({"ragged": [[1.0], [1.0, 2.0]]}), tmp_path / "ragged.parquet")
    np.testing.assert_array_equal(read_table(tmp_path / "ragged.parquet")["ragged"], [[1.0, np.nan], [1.0, 2.0]])


def test_frames_in_memory():
    data = {"source_id": [BIG, 2], "ra": [1.0, None], "name": ["a", None]}
    arrow = pa.table(data)
    for source in (
        arrow,
        arrow.to_batches()[0],
        pl.DataFrame(data),
        pl.DataFrame(data).lazy(),
        pd.DataFrame(data),
        data,
        Table({"source_id": [BIG, 2], "ra": [1.0, np.nan], "name": MaskedColumn(["a", "b"], mask=[False, True])}),
    ):
        table = read_table(source)
        assert isinstance(table, QTable)
        assert table["source_id"].tolist() == [BIG, 2]
        assert np.isnan(table["ra"][1])
        assert table["ra"].dtype == np.float64
        assert table["name"].tolist() == ["a", None]
    structured = np.array([(1, 2.0)], dtype=[("n", ">i8"), ("x", ">f4")])
    assert read_table(structured)["x"].dtype == np.float32
    assert len(read_table({})) == 0


def test_a_table_in_memory_is_not_changed():
    source = QTable({"ra": [1.0, 2.0] * u.deg, "n": [1, 2]}, meta={"origin": "here"})
    result = read_table(source)
    assert result.meta == source.meta
    result.remove_column("n")
    result["ra"].info.description = "changed"
    assert source.colnames == ["ra", "n"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "more than one column has the name 'a'"),
        (pd.DataFrame([[1, 2]], columns=[0, "a"]), "column 1 has the name 0, which is no text"),
        (pa.table([[1], [2]], names=["a", "a"]), "more than one column has the name 'a'"),
        ({"": [1]}, "column 1 has an empty name"),
        ({"a": [1, 2], "b": [1]}, "column 'b' has 1 rows and column 'a' has 2"),
        ({"a": 1.0}, "column 'a' is one value"),
        ({"a": np.array([1, "x", None], dtype=object)}, "column 'a' mixes kinds of values"),
        ({"a": [[1], [2, 3]]}, "cannot be used as a table|lists of different lengths"),
        (3.0, "a float is no table; give a path, an astropy table"),
        ([1, 2], "a list is no table"),
    ],
)
def test_tables_in_memory_that_cannot_be_used(source, message):
    with pytest.raises(CatalogError, match=message) as caught:
        read_table(source, label="my stars")
    assert "my stars" in str(caught.value)


def test_hdu_is_for_fits(tmp_path):
    path = write_table({"a": [1]}, tmp_path / "t.parquet")
    with pytest.raises(CatalogError, match="hdu=1 is for FITS files, and this one is Parquet"):
        read_table(path, hdu=1)
    with pytest.raises(CatalogError, match="in memory"):
        read_table({"a": [1]}, hdu=1)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_that_cannot_be_read(tmp_path, suffix):
    path = tmp_path / f"table.{suffix}"
    with pytest.raises(CatalogError, match=r"table\..* does not exist"):
        read_table(path)
    path.touch()
    with pytest.raises(CatalogError, match=r"table\..* is empty \(0 bytes\)"):
        read_table(path)
    path.write_bytes(b"\x00\xff\x00broken\xfe" * 50)
    with pytest.raises(CatalogError, match=rf"table\.{suffix} cannot be read as"):
        read_table(path)


@pytest.mark.parametrize("suffix", ["parquet", "fits", "ecsv", "vot", "csv.gz"])
@pytest.mark.parametrize("part", [0.999, 0.6, 0.1])
def test_truncated_files(tmp_path, suffix, part):
    table = QTable({"a": np.arange(5000), "b": np.random.default_rng(1).normal(size=5000) * u.deg})
    path = tmp_path / f"table.{suffix}"
    if suffix == "csv.gz":
        path.write_bytes(gzip.compress(write_table(table, tmp_path / "t.csv").read_bytes()))
    else:
        write_table(table, path)
    content = path.read_bytes()
    size = int(len(content) * part)
    if suffix == "ecsv":
        size = content.rindex(b" ", 0, size)  # in the middle of a row: a cut between rows cannot be seen
    path.write_bytes(content[:size])
    with pytest.raises(CatalogError, match="truncated"):
        read_table(path)


def test_rows_of_unequal_length_in_csv(tmp_path):
    path = tmp_path / "ragged.csv"
    path.write_text("a,b\n1,2\n3\n")
    with pytest.raises(CatalogError, match="Expected 2 columns, got 1"):
        read_table(path)
    path.write_text("a,a\n1,2\n")
    with pytest.raises(CatalogError, match=r"ragged\.csv: more than one column has the name 'a'"):
        read_table(path)


def test_kinds_that_are_not_known(tmp_path):
    for name in ("stars.dat", "stars", "stars.gz"):
        (tmp_path / name).write_text("x")
        with pytest.raises(CatalogError, match=r"unknown kind of table .*the known suffixes are \.parquet"):
            read_table(tmp_path / name)
        with pytest.raises(CatalogError, match="unknown kind of table"):
            write_table({"a": [1]}, tmp_path / name)
    with pytest.raises(CatalogError, match="is a folder"):
        read_table(tmp_path)
    with pytest.raises(CatalogError, match="read, not written"):
        write_table({"a": [1]}, tmp_path / "t.csv.gz")


def test_tables_that_a_format_cannot_hold(tmp_path):
    with pytest.raises(CatalogError, match=r"ASCII text only, and column 's' has 'é' in row 1"):
        write_table({"s": ["a", "é"]}, tmp_path / "t.fits")
    with pytest.raises(CatalogError, match="column 'x' has 2 dimensions"):
        write_table({"x": np.zeros((2, 2))}, tmp_path / "t.csv")
    with pytest.raises(CatalogError, match="column 'wait' is a TimeDelta, which no file holds; take it out"):
        write_table(QTable({"wait": TimeDelta([1, 2], format="jd")}), tmp_path / "t.parquet")
    with pytest.raises(CatalogError, match=r"column 'n' is uint64, and VOTable cannot hold it .*write another format"):
        write_table({"a": [1.0], "n": np.array([1], np.uint64)}, tmp_path / "t.vot")
    with pytest.raises(CatalogError, match=r"column 's' is <U1 x 2, and VOTable cannot hold it"):
        write_table({"a": [1.0], "s": np.array([["a", "b"]])}, tmp_path / "t.vot")
    with pytest.raises(CatalogError, match="'mag' and 'Mag'"):
        write_table({"mag": [1.0], "Mag": [2.0]}, tmp_path / "t.fits")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_write_that_fails_leaves_the_old_file(tmp_path, suffix, monkeypatch):
    path = write_table({"a": [1]}, tmp_path / f"t.{suffix}")

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="the disk is full"):
        write_table({"a": [2]}, path)
    assert read_table(path)["a"].tolist() == [1]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_write_that_stops_halfway_leaves_the_old_file(tmp_path, suffix):
    path = write_table({"a": [1]}, tmp_path / f"t.{suffix}")
    large = {"a": np.random.default_rng(1).normal(size=20_000)}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))  # the writer itself fails, as on a full disk
    try:
        with pytest.raises(OutputError, match=rf"cannot write .*t\.{suffix}"):
            write_table(large, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert read_table(path)["a"].tolist() == [1]
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written():
    for suffix in SUFFIXES:
        with pytest.raises(OutputError, match="cannot write"):
            write_table({"a": np.arange(10)}, f"/proc/t.{suffix}")


def test_units_that_astropy_does_not_know_are_kept_as_text(tmp_path):
    table = QTable()
    table["x"] = Column([1.0, 2.0])
    table["x"].info.meta = {UNRECOGNIZED: "banana"}
    for suffix in ("parquet", "fits", "ecsv", "vot"):
        back = read_table(write_table(table, tmp_path / f"t.{suffix}"))
        assert back["x"].info.meta == {UNRECOGNIZED: "banana"}, suffix


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("mas.yr**-1", u.mas / u.yr),
        ("Angular Velocity[mas/year]", u.mas / u.yr),
        ("km s-1", u.km / u.s),
        ("log(cm.s**-2)", u.dex(u.cm / u.s**2)),
        ("", None),
        (None, None),
        ("---", None),
        ("furlong?", "furlong?"),
    ],
)
def test_spellings_of_units(text, unit):
    assert parse_unit(text) == unit


def test_descriptions_are_kept_in_parquet(tmp_path):
    table = QTable({"ra": [1.0] * u.deg})
    table["ra"].info.description = "right ascension"
    assert read_table(write_table(table, tmp_path / "t.parquet"))["ra"].info.description == "right ascension"


CSV_ROWS = "ra,dec,note\n1.5,2.5,a\n3.5,4.5,b\n"


@pytest.mark.parametrize(
    "text",
    [
        CSV_ROWS.replace(",", ";"),
        CSV_ROWS.replace(",", "\t"),
        CSV_ROWS.replace("ra,dec,note", "ra, dec , note"),
        "# made by me\n# on a day\n" + CSV_ROWS,
        "\ufeff" + CSV_ROWS,
        ",ra,dec,note\n0,1.5,2.5,a\n1,3.5,4.5,b\n",
    ],
)
def test_csv_as_people_write_it(tmp_path, text):
    path = tmp_path / "mine.csv"
    path.write_text(text, encoding="utf-8")
    found = read_table(path)
    assert found.colnames == ["ra", "dec", "note"]
    assert found["dec"].tolist() == [2.5, 4.5]


def test_csv_of_numpy_savetxt_has_its_names_in_a_remark(tmp_path):
    path = tmp_path / "mine.csv"
    np.savetxt(path, [[1.0, 2.0], [3.0, 4.0]], delimiter=",", header="ra,dec")
    found = read_table(path)
    assert found.colnames == ["ra", "dec"]
    assert len(found) == 2


def test_an_index_that_is_none_is_an_error(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(",ra\n5,1.5\n7,2.5\n")
    with pytest.raises(CatalogError, match="column 1 has an empty name"):
        read_table(path)


def test_fits_with_lists_of_different_lengths(tmp_path):
    from astropy.io import fits

    lists = np.array([np.arange(n, dtype="f4") for n in (1, 3, 0)], dtype=object)
    columns = [fits.Column("ra", "D", array=[1.0, 2.0, 3.0]), fits.Column("spectrum", "PE()", array=lists)]
    path = tmp_path / "mine.fits"
    fits.BinTableHDU.from_columns(columns).writeto(path)
    found = read_table(path)
    np.testing.assert_array_equal(found["spectrum"], [[0, np.nan, np.nan], [0, 1, 2], [np.nan, np.nan, np.nan]])


def test_lists_of_very_different_lengths_are_an_error():
    lists = [[1.0]] * 2000 + [[1.0] * 1000]
    with pytest.raises(CatalogError, match="very different lengths"):
        read_table(pa.table({"a": lists}))


def test_ecsv_with_a_sky_coordinate(tmp_path):
    from astropy.coordinates import SkyCoord

    path = tmp_path / "mine.ecsv"
    QTable({"id": [1, 2], "place": SkyCoord([1, 2], [3, 4], unit="deg")}).write(path)
    found = read_table(path)
    assert found.colnames == ["id", "ra", "dec"]
    assert (found["ra"].unit, found["dec"].value.tolist()) == (u.deg, [3.0, 4.0])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_sky_coordinates_and_times_become_columns_of_any_format(tmp_path, suffix):
    motion = {"pm_ra_cosdec": [5, 6] * u.mas / u.yr, "pm_dec": [7, 8] * u.mas / u.yr}
    table = QTable({"id": [1, 2], "place": SkyCoord([1, 2] * u.deg, [3, 4] * u.deg, **motion)})
    table["seen"] = Time([57000.123456789, 58000.0], format="mjd", scale="tdb")
    table["seen"][1] = np.ma.masked
    table["other"] = table["place"].galactic
    found = read_table(write_table(table, tmp_path / f"t.{suffix}"))
    assert found.colnames == [
        *("id", "ra", "dec", "pmra", "pmdec", "seen"),
        *("other_l", "other_b", "other_pm_l_cosb", "other_pm_b"),
    ]
    back = SkyCoord(np.asarray(found["other_l"]), np.asarray(found["other_b"]), unit="deg", frame="galactic")
    assert back.separation(table["place"]).max() < 1e-9 * u.arcsec
    assert np.allclose(np.asarray(found["pmra"]), table["place"].pm_ra_cosdec.value, rtol=1e-15, atol=0)
    assert found["seen"].mask.tolist() == [False, True]
    assert abs(Time(str(found["seen"][0]), scale="tdb") - table["seen"][0]).to_value("ns") < 1.0
    if suffix != "csv":
        assert found["ra"].unit == u.deg
        assert found["seen"].info.description == "seen, time scale tdb"
        assert found["other_l"].info.description == "l of other, Galactic"


@pytest.mark.parametrize("own", ["ra", "RA", "RAdeg", "PMDEC"])
def test_a_sky_coordinate_beside_a_position(own):
    motion = {"pm_ra_cosdec": [5] * u.mas / u.yr, "pm_dec": [7] * u.mas / u.yr}
    found = read_table(QTable({own: [9.0], "place_ra": [8.0], "place": SkyCoord([1] * u.deg, [3] * u.deg, **motion)}))
    assert found.colnames == [own, "place_ra", "place_ra_", "place_dec_", "place_pm_ra_cosdec_", "place_pm_dec_"]
    assert (found[own][0], found["place_ra_"][0]) == (9.0, 1.0 * u.deg)


def test_fits_files_of_astropy_with_a_sky_coordinate(tmp_path):
    table = QTable(
        {"good": [True, False], "place": SkyCoord([1, 2], [3, 4], unit="deg"), "seen": Time([1e4, 2e4], format="jd")}
    )
    table.write(tmp_path / "t.fits")
    found = read_table(tmp_path / "t.fits")
    assert found.colnames == ["good", "ra", "dec", "seen"]
    assert found["good"].tolist() == [True, False]


def test_what_could_not_be_written_is_said_before():
    flat = QTable({"x": [1.0, 2.0], "name": ["a", "Hélène"]})
    require_writable(flat, "t.csv")
    require_writable(flat[:0], "t.fits")
    cases = [
        (QTable({"x": np.zeros((2, 2))}), "t.csv", r"could not be written to t.csv: column 'x' has 2 .*write Parquet"),
        (flat, "t.fits", "'name' has 'Hélène' in row 1; write Parquet"),
        (QTable({"a": [1], "z": [1j]}), "t.parquet", r"'z' \(complex128\) cannot be .*; write another format"),
        (QTable({"ra": [1.0], "RA": [1.0]}), "t.fits", "'ra' and 'RA'"),
        (flat, "t.txt", "unknown kind of table"),
        (flat, "t.csv.gz", "read, not written"),
    ]
    for table, path, message in cases:
        with pytest.raises(CatalogError, match=message):
            require_writable(table, path)


def test_sky_coordinates_in_any_representation_and_times_beyond_the_calendar():
    place = SkyCoord([1.0, 2.0] * u.deg, [3.0, 4.0] * u.deg, distance=[10.0, 20.0] * u.pc)
    place.representation_type = "cartesian"
    found = read_table(QTable({"id": [1, 2], "place": place}))
    assert found.colnames == ["id", "ra", "dec", "distance"]
    np.testing.assert_allclose(found["dec"].to_value("deg"), [3.0, 4.0])
    np.testing.assert_allclose(found["distance"].to_value("pc"), [10.0, 20.0])
    assert place.representation_type.__name__ == "CartesianRepresentation"  # the caller's is as it was
    with pytest.raises(CatalogError, match="column 'seen' has times that are no dates"):
        read_table(QTable({"id": [1, 2], "seen": Time([1e9, 2e9], format="jd")}))
