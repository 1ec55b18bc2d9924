"""Tables in parts: nothing lost, one batch in memory, and a result that is whole or not there."""

import weakref

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units as u
from astropy.table import QTable

from starloom.catalog.partitions import iterate, map_partitions
from starloom.catalog.tables import read_table, write_table
from starloom.errors import CatalogError, MissingColumnError, OutputError


@pytest.fixture
def folder(tmp_path):
    """A folder of three files, the second without rows, in 25 row groups."""
    source = tmp_path / "parts"
    source.mkdir()
    for name, start, stop in (("b", 0, 1000), ("c", 1000, 1000), ("d", 1000, 2500)):
        numbers = np.arange(start, stop)
        schema = pa.schema([pa.field("id", pa.int64()), pa.field("ra", pa.float64(), metadata={"unit": "deg"})])
        pq.write_table(
            pa.table([numbers, numbers / 10.0], schema=schema), source / f"{name}.parquet", row_group_size=100
        )
    (source / ".hidden.parquet").write_bytes(b"no table")
    (source / "_metadata").write_bytes(b"no table")
    (source / "notes.txt").write_text("no table")
    return source


def doubled(batch: QTable) -> QTable:
    return QTable({"id": batch["id"], "double": 2 * batch["ra"]})


def test_all_rows_in_order_with_units(folder):
    batches = list(iterate(folder, rows=300))
    assert [len(batch) for batch in batches][:4] == [300, 300, 300, 100]
    assert np.concatenate([batch["id"] for batch in batches]).tolist() == list(range(2500))
    assert all(batch["ra"].unit == u.deg for batch in batches)
    assert [batch.colnames for batch in iterate(folder, columns=["ra"], rows=10_000)] == [["ra"], ["ra"]]
    assert sum(map(len, iterate(folder / "b.parquet", rows=7))) == 1000


def test_one_batch_at_a_time_is_alive(folder):
    alive: list[weakref.ref] = []
    most = 0
    batches = iterate(folder, rows=100)
    while True:
        batch = next(batches, None)
        if batch is None:
            break
        alive.append(weakref.ref(batch))
        del batch
        most = max(most, sum(reference() is not None for reference in alive))
    assert len(alive) == 25
    assert most == 0


def test_mapping_holds_one_batch_and_one_result(folder, tmp_path):
    alive: list[weakref.ref] = []
    most = 0

    def watch(batch: QTable) -> QTable:
        nonlocal most
        most = max(most, sum(reference() is not None for reference in alive))
        result = doubled(batch)
        alive.extend([weakref.ref(batch), weakref.ref(result)])
        return result

    assert map_partitions(watch, folder, tmp_path / "out.parquet", rows=100) == 2500
    assert len(alive) == 50
    assert most == 0


def test_mapping_writes_what_the_function_gives(folder, tmp_path):
    target = tmp_path / "out.parquet"
    assert map_partitions(doubled, folder, target, rows=400) == 2500
    result = read_table(target)
    assert result["id"].tolist() == list(range(2500))
    assert result["double"].unit == u.deg
    np.testing.assert_allclose(result["double"].value, np.arange(2500) / 5.0)
    assert pq.ParquetFile(target).num_row_groups == 7  # 3 batches of the first file, 4 of the third


@pytest.mark.parametrize("stop", [RuntimeError("boom"), KeyboardInterrupt()])
def test_a_mapping_that_stops_leaves_the_old_file(folder, tmp_path, stop):
    target = write_table({"old": [1]}, tmp_path / "out.parquet")

    def fails(batch: QTable) -> QTable:
        if batch["id"][0] >= 1000:
            raise stop
        return doubled(batch)

    with pytest.raises(type(stop)):
        map_partitions(fails, folder, target, rows=500)
    assert read_table(target).colnames == ["old"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.parquet", "parts"]


def test_results_that_do_not_fit_together(folder, tmp_path):
    def late(change):
        return lambda batch: change(doubled(batch)) if batch["id"][0] >= 1000 else doubled(batch)

    def renamed(table):
        table.rename_column("double", "twice")
        return table

    def retyped(table):
        table.replace_column("id", table["id"].astype(str))
        return QTable({"id": np.array(["x"] * len(table)), "double": table["double"]})

    def rescaled(table):
        return QTable({"id": table["id"], "double": table["double"].to(u.rad)})

    for change, message in (
        (renamed, "other columns for batch 2 than for batch 0: double, twice"),
        (retyped, "other types for batch 2"),
        (rescaled, "column 'double' in another unit for batch 2"),
        (lambda table: np.zeros(3), "gave a ndarray for batch 2"),
    ):
        with pytest.raises(CatalogError, match=message):
            map_partitions(late(change), folder, tmp_path / "out.parquet", rows=500)
    assert not (tmp_path / "out.parquet").exists()


def test_masks_of_astropy_files_come_back(tmp_path):
    from astropy.table import MaskedColumn

    QTable({"n": MaskedColumn([1, 2], mask=[False, True]), "x": [1.0, 2.0]}).write(tmp_path / "t.parquet")
    for columns in (None, ["n"]):
        (batch,) = iterate(tmp_path / "t.parquet", columns=columns)
        assert batch["n"].tolist() == [1, None]
        assert "n.mask" not in batch.colnames


def test_paths_and_files_that_cannot_be_read(folder, tmp_path):
    with pytest.raises(CatalogError, match="does not exist"):
        iterate(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CatalogError, match="holds no Parquet file"):
        iterate(tmp_path / "empty")
    with pytest.raises(CatalogError, match="rows=0"):
        iterate(folder, rows=0)
    with pytest.raises(MissingColumnError, match=r"b\.parquet has no column 'dec'"):
        list(iterate(folder, columns=["dec"]))
    with pytest.raises(CatalogError, match=r"c\.parquet has no rows"):
        map_partitions(doubled, folder / "c.parquet", tmp_path / "out.parquet")
    with pytest.raises(OutputError, match="cannot write"):
        map_partitions(doubled, folder, "/proc/out.parquet")
    content = (folder / "d.parquet").read_bytes()
    (folder / "d.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(CatalogError, match=r"d\.parquet cannot be read as Parquet"):
        map_partitions(doubled, folder, tmp_path / "out.parquet")
    write_table({"id": [1], "other": [2]}, folder / "d.parquet")
    with pytest.raises(CatalogError, match=r"d\.parquet does not have the columns of .*b\.parquet: .*other, ra"):
        list(iterate(folder))


def test_lists_of_other_lengths_in_another_part(tmp_path):
    pq.write_table(pa.table({"ragged": [[1.0], [1.0], [1.0, 2.0], [3.0]]}), tmp_path / "ragged.parquet")
    with pytest.raises(CatalogError, match="'ragged' has lists of other lengths in batch 1"):
        map_partitions(lambda batch: batch, tmp_path / "ragged.parquet", tmp_path / "out.parquet", rows=2)
    assert not (tmp_path / "out.parquet").exists()
