"""Rows through a job in parts: the cut does not change the result, damage leaves nothing behind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import QTable

from starloom import read_table, write_table
from starloom.catalog import row_jobs
from starloom.catalog.arrow_tables import to_arrow
from starloom.catalog.provenance import history, record
from starloom.catalog.table_parts import Reader, cut
from starloom.errors import CatalogError, OutputError
from starloom.files import held


@dataclass(frozen=True)
class Noted:
    """Adds the number of each row, and a reason to every third."""

    def __call__(self, batch, first):
        found = batch.copy()
        found["number"] = first + np.arange(len(batch))
        found["reason"] = np.where(found["number"] % 3 == 0, "third", "")
        record(found, "noted", seed=1)
        return found


@pytest.fixture
def folder(tmp_path):
    rows = QTable({"source_id": np.arange(100) + 2**60})
    write_table(rows[:37], tmp_path / "in" / "a.parquet")
    write_table(rows[37:], tmp_path / "in" / "b.parquet")
    return tmp_path


@pytest.mark.parametrize("rows", [1, 7, 37, 1000])
def test_any_cut_gives_the_same_rows(folder, rows):
    done = row_jobs.run(Noted(), folder / "in", folder / "out.parquet", rows=rows)
    found = read_table(folder / "out.parquet")
    assert done == row_jobs.Done(100, 34)
    assert np.array_equal(found["source_id"], np.arange(100) + 2**60)
    assert np.array_equal(found["number"], np.arange(100))
    assert history(found)[0]["step"] == "noted"
    assert sorted(path.name for path in folder.iterdir()) == ["in", "out.parquet"]


def test_numbers_begin_at_multiples(folder):
    row_jobs.run(Noted(), folder / "in", folder / "out.parquet", rows=20, align=10)
    number = np.asarray(read_table(folder / "out.parquet")["number"])
    assert number[:37].tolist() == list(range(37))
    assert number[37:].tolist() == list(range(40, 103))  # the next file begins with a block of its own


@pytest.mark.parametrize("ending", ["fits", "csv", "parquet"])
def test_other_files_and_tables_in_memory(folder, ending):
    table = QTable({"source_id": np.arange(25)})
    path = write_table(table, folder / f"in.{ending}")
    for source in (table, path, str(path)):
        done = row_jobs.run(Noted(), source, folder / f"out.{ending}", rows=10)
        assert done.rows == 25
        assert np.array_equal(read_table(folder / f"out.{ending}")["number"], np.arange(25))
    assert not list(folder.glob(".*parts"))


@dataclass(frozen=True)
class Counted(Noted):
    """Writes down how many rows it was asked for; may leave a column out."""

    path: str
    without: str = ""

    def __call__(self, batch, first):
        with open(self.path, "a") as file:
            file.write(f"{len(batch)} ")
        found = super().__call__(batch, first)
        if self.without:
            found.remove_column(self.without)
        return found


@pytest.mark.parametrize("kind", ["memory", "ecsv", "parquet", "folder"])
def test_a_column_that_cannot_be_written_is_said_before_the_work(tmp_path, kind):
    table = QTable({"source_id": np.arange(25), "flux": np.ones((25, 3))})
    source = {"memory": table, "folder": tmp_path / "in"}.get(kind, tmp_path / f"in.{kind}")
    if kind != "memory":
        write_table(table, tmp_path / "in" / "a.parquet" if kind == "folder" else source)
    job, out = Counted(str(tmp_path / "asked")), tmp_path / "out.csv"
    for rows in (10, 1000):
        with pytest.raises(
            CatalogError, match=r"out\.csv: column 'flux' has 2 dimensions, and CSV holds one; write Parquet"
        ):
            row_jobs.run(job, source, out, rows=rows)
    assert (tmp_path / "asked").read_text() == "1 1 "  # one row each, to know whether the column stays
    assert not out.exists()
    assert row_jobs.run(job, source, out, rows=10, columns=["source_id"]).rows == 25
    assert row_jobs.run(Counted(job.path, without="flux"), source, out, rows=10).rows == 25
    assert read_table(out).colnames == ["source_id", "number", "reason"]


def test_text_that_cannot_be_written_is_said_before_the_work(tmp_path):
    table = QTable({"source_id": np.arange(3), "name": ["a", "b", "ż"]})
    with pytest.raises(CatalogError, match="column 'name' has 'ż' in row 2"):
        row_jobs.run(Counted(str(tmp_path / "asked")), table, tmp_path / "out.fits")
    assert (tmp_path / "asked").read_text() == "1 "


def test_columns_of_astropy_go_through_jobs(tmp_path):
    table = QTable({"place": SkyCoord(np.arange(25.0), np.zeros(25), unit="deg"), "number_": np.ones(25, complex)})
    for rows in (10, 100):
        done = row_jobs.run(Noted(), table[["place"]], tmp_path / "out.csv", rows=rows)
        assert done == row_jobs.Done(25, 9)
        assert read_table(tmp_path / "out.csv")["ra"].tolist() == list(range(25))
    assert row_jobs.run(Noted(), table, tmp_path / "out.fits").remarks == 9  # Parquet has no complex numbers
    with pytest.raises(CatalogError, match=r"more than 10 rows .* as Parquet; .*'number_'"):
        row_jobs.run(Noted(), table, tmp_path / "out.fits", rows=10)
    job = Counted(str(tmp_path / "asked"))
    with pytest.raises(CatalogError, match="compressed tables are read, not written"):
        row_jobs.run(job, table[["place"]], tmp_path / "out.csv.gz")
    assert not (tmp_path / "asked").exists()


def test_what_cannot_be_done_leaves_nothing(folder):
    out = folder / "out.parquet"
    write_table({"kept": np.array([1])}, out)

    def broken(batch, first):
        raise CatalogError("row 3 is wrong") if first else CatalogError("wrong")

    cases = [
        (broken, folder / "in", "wrong"),
        (lambda batch, first: {"a": 1}, folder / "in", "not a QTable"),
        (lambda batch, first: batch if first == 0 else QTable({"b": np.ones(1)}), folder / "in", "other columns"),
        (Noted(), folder / "nothing.parquet", "does not exist"),
    ]
    (folder / "cut.parquet").write_bytes((folder / "in" / "a.parquet").read_bytes()[:-20])
    cases.append((Noted(), folder / "cut.parquet", "truncated"))
    write_table({"source_id": np.arange(0)}, folder / "empty.parquet")
    cases.append((Noted(), folder / "empty.parquet", "no rows"))
    for job, source, said in cases:
        with pytest.raises(CatalogError, match=said):
            row_jobs.run(job, source, out, rows=20)
        assert read_table(out).colnames == ["kept"]
        assert not list(folder.glob(".*"))
    with pytest.raises(CatalogError, match="unknown kind"):
        row_jobs.run(Noted(), folder / "in", folder / "out.docx")


@dataclass(frozen=True)
class Stopped(Noted):
    """The same, interrupted where a file says so; what was asked is noted in another."""

    folder: str

    def __call__(self, batch, first):
        stop, asked = Path(self.folder).parent / "stop", Path(self.folder).parent / "asked"
        asked.write_text((asked.read_text() if asked.exists() else "") + f"{first} ")
        if stop.exists() and first >= int(stop.read_text()):
            raise KeyboardInterrupt
        return super().__call__(batch, first)


@pytest.fixture
def stopped(folder):
    (folder / "model").mkdir()
    (folder / "model" / "weights").write_text("1")
    (folder / "stop").write_text("60")
    job = Stopped(str(folder / "model"))
    with pytest.raises(KeyboardInterrupt):
        row_jobs.run(job, folder / "in", folder / "out.parquet", rows=10)
    (folder / "stop").unlink()
    (folder / "asked").unlink()
    assert not (folder / "out.parquet").exists()
    return job


def test_an_interrupted_job_goes_on(folder, stopped):
    row_jobs.run(stopped, folder / "in", folder / "whole.parquet", rows=10)
    (folder / "asked").unlink()
    done = row_jobs.run(stopped, folder / "in", folder / "out.parquet", rows=10)
    assert done == row_jobs.Done(100, 34, resumed=67)  # parts of 10 rows, the last of the first file with 7
    assert (folder / "asked").read_text() == "67 77 87 97 "
    assert (folder / "out.parquet").read_bytes() == (folder / "whole.parquet").read_bytes()
    assert not list(folder.glob(".*"))


@pytest.mark.parametrize("change", ["model", "input", "job", "columns"])
def test_parts_of_another_job_are_not_used(folder, stopped, change):
    job, columns, fresh = stopped, None, 100
    if change == "model":
        (folder / "model" / "weights").write_text("20")
    elif change == "input":  # the other file's parts still hold
        rows = QTable({"source_id": np.arange(37)})
        write_table(rows, folder / "in" / "a.parquet")
        fresh = 100 - 30
    elif change == "job":
        job = Noted()
    else:
        columns = ["source_id"]
    done = row_jobs.run(job, folder / "in", folder / "out.parquet", rows=10, columns=columns)
    assert done.resumed == 100 - fresh
    assert len(read_table(folder / "out.parquet")) == 100
    assert not list(folder.glob(".*"))


def test_two_runs_into_one_file_do_not_mix(folder):
    with held(folder / ".out.parquet.parts"), pytest.raises(OutputError, match="in use by another run"):
        row_jobs.run(Noted(), folder / "in", folder / "out.parquet", rows=10)
    assert row_jobs.run(Noted(), folder / "in", folder / "out.parquet", rows=10).rows == 100


def test_parts_are_read_in_any_order_across_row_groups(tmp_path):
    table = to_arrow(QTable({"number": np.arange(1000), "spectrum": np.arange(3000.0).reshape(1000, 3)}))
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=64)
    found = cut(tmp_path / "in.parquet", rows=150)
    reader = Reader()
    for place in (0, 1, 5, 2, 3, 6, 0, 4):
        part = found[place]
        for columns in (("number",), None):
            rows = reader.read(part, columns)
            assert rows["number"].tolist() == list(range(part.start, part.stop))
            assert (columns is None) == ("spectrum" in rows.colnames)
    reader.close()
