"""HATS catalogs: rows along the sky, what is no partition left alone, damage said."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from starloom import read_table, write_table
from starloom.catalog import hats, row_jobs
from starloom.catalog.partitions import iterate
from starloom.errors import CatalogError, OutputError

# (order, pixel) -> ids: along the sky order 1 pixels 4 to 7 lie inside order 0 pixel 1
PLACES = {(0, 0): [1, 2], (1, 5): [4], (1, 4): [3], (0, 2): [5], (0, 10): [7, 8], (2, 48): [6]}


@pytest.fixture
def catalog(tmp_path):
    root = tmp_path / "made"
    for (order, pixel), ids in PLACES.items():
        where = root / "dataset" / f"Norder={order}" / "Dir=0" / f"Npix={pixel}.parquet"
        where.parent.mkdir(parents=True, exist_ok=True)
        write_table({"source_id": np.array(ids), "_healpix_29": np.array(ids)}, where)
    write_table({"source_id": np.array([1])}, root / "dataset" / "data_thumbnail.parquet")
    (root / "hats.properties").write_text("# made\nhats_nrows = 8\nhats_col_ra=ra\n")
    return root


def test_rows_come_along_the_sky(catalog, tmp_path):
    assert hats.is_hats(catalog)
    assert hats.properties(catalog)["hats_nrows"] == "8"
    found = np.concatenate([np.asarray(batch["source_id"]) for batch in iterate(catalog)])
    assert found.tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    job = row_jobs.run(lambda batch, first: batch, catalog, tmp_path / "out.parquet", rows=1)
    assert job.rows == 8
    (tmp_path / "collection.properties").write_text("hats_primary_table_url=made\n")
    assert len(hats.partitions(tmp_path)) == 6


def test_folders_of_files_in_a_pixel(catalog):
    folder = catalog / "dataset" / "Norder=0" / "Dir=0" / "Npix=11"
    folder.mkdir()
    for part in range(2):
        write_table({"source_id": np.array([9 + part]), "_healpix_29": np.array([9])}, folder / f"part{part}.parquet")
    (catalog / "hats.properties").write_text("hats_nrows=10\n")
    assert [part.pixel for part in hats.partitions(catalog)][-2:] == [11, 11]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda root: (root / "dataset/Norder=1/Dir=0/Npix=4.parquet").unlink(), "say 8 rows"),
        (lambda root: (root / "hats.properties").write_text("nothing here"), "line 1"),
        (lambda root: (root / "hats.properties").write_bytes(b"\xff\xfe"), "not text"),
        (lambda root: (root / "dataset").rename(root / "elsewhere"), "without partitions"),
        (lambda root: (root / "dataset/Norder=0/Dir=0/Npix=2.parquet").rename(
            root / "dataset/Norder=0/Dir=0/Npix=12.parquet"), "no HEALPix pixel 12"),
        (lambda root: (root / "dataset/Norder=0/Dir=0/Npix=2.parquet").rename(
            root / "dataset/Norder=0/Dir=0/Npix=1.parquet"), "cover the same sky"),
        (lambda root: (root / "collection.properties").write_text("hats_primary_table_url=.."), "not in the folder"),
    ],
)  # fmt: skip
def test_damage_is_said(catalog, damage, said):
    damage(catalog)
    with pytest.raises(CatalogError, match=said):
        hats.partitions(catalog)


@dataclass(frozen=True)
class Even:
    """Keeps the rows with even ids; without a place, if so asked."""

    lost: bool = False

    def __call__(self, batch, first):
        found = batch[np.asarray(batch["source_id"]) % 2 == 0]
        found["first"] = np.full(len(found), first)
        return found["source_id", "first"] if self.lost else found


@pytest.fixture
def placed(catalog):
    """The same with positions."""
    for partition in hats.partitions(catalog):
        table = read_table(partition.path)
        table["ra"], table["dec"] = np.full((2, len(table)), 10.0)
        write_table(table, partition.path)
    return catalog


def test_a_catalog_becomes_a_catalog(placed, tmp_path):
    out = tmp_path / "even.hats"
    assert row_jobs.run(Even(), placed, out, rows=1).rows == 4
    found = np.concatenate([np.asarray(batch["source_id"]) for batch in iterate(out)])
    assert found.tolist() == [2, 4, 6, 8]
    said = hats.properties(out)
    assert (said["hats_nrows"], said["hats_order"], said["obs_collection"]) == ("4", "2", "even")
    # pixels without a row are no partitions
    assert (out / "partition_info.csv").read_text() == "Norder,Npix\n0,0\n1,5\n2,48\n0,10\n"
    assert not list(tmp_path.glob(".*"))
    # again, from its own kind, over what is there
    row_jobs.run(Even(), out, tmp_path / "again.hats")
    row_jobs.run(Even(), placed, tmp_path / "again.hats", rows=1)
    assert len(list((tmp_path / "again.hats").rglob("Npix*"))) == 4


def test_what_cannot_become_a_catalog_is_said(placed, tmp_path):
    write_table({"source_id": np.arange(3)}, tmp_path / "plain.parquet")
    (tmp_path / "mine.hats").mkdir()
    (tmp_path / "mine.hats" / "notes.txt").write_text("mine")
    for job, source, out, error, said in (
        (Even(), tmp_path / "plain.parquet", "out.hats", CatalogError, "hats-import"),
        (Even(), placed, "mine.hats", OutputError, "not an earlier result"),
        (Even(lost=True), placed, "out.hats", CatalogError, "no _healpix_29, ra, dec"),
        (lambda batch, first: batch[:0], placed, "out.hats", CatalogError, "no row"),
    ):
        with pytest.raises(error, match=said):
            row_jobs.run(job, source, tmp_path / out, rows=8)
        assert not (tmp_path / "out.hats").exists()
    placed.rename(tmp_path / "over.hats")
    with pytest.raises(OutputError, match="not an earlier result"):
        row_jobs.run(Even(), tmp_path / "over.hats", tmp_path / "over.hats")
    assert (tmp_path / "mine.hats" / "notes.txt").read_text() == "mine"
