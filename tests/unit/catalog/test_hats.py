"""HATS catalogs: rows along the sky, what is no partition left alone, damage said."""

from __future__ import annotations

import numpy as np
import pytest

from starloom import write_table
from starloom.catalog import hats, row_jobs
from starloom.catalog.partitions import iterate
from starloom.errors import CatalogError

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
