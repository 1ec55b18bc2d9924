"""The result of a job on a HATS catalog as a HATS catalog: the same pixels of the sky, with the rows that the job gave.

lsdb reads it. Making a catalog out of other tables is the work of hats-import.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

import pyarrow as pa

from starloom.catalog.hats import FINEST, catalog_folder, is_hats, properties
from starloom.catalog.partitions import join
from starloom.errors import CatalogError, OutputError
from starloom.files import make_folder, write_text

SUFFIX = ".hats"
HEALPIX = "_healpix_29"
Pixel = tuple[int, int]
"""Order and nested pixel."""


def check(source: object, target: Path) -> None:
    """Say before the work what would stop it.

    Raises
    ------
    CatalogError
        When the source is no HATS catalog.
    OutputError
        When the target is a folder or file that is none.
    """
    if not isinstance(source, str | Path) or not is_hats(source):
        raise CatalogError(
            f"{target}: only a HATS catalog gives a HATS catalog; name the result .parquet, or make a catalog of the "
            "table with hats-import"
        )
    if target.exists() and not (is_hats(target) and target.resolve() != catalog_folder(source).resolve()):
        raise OutputError(f"{target} is there and is not an earlier result; choose another name")


def write_catalog(source: str | Path, parts: Mapping[Pixel, Sequence[Path]], target: Path, work: Path) -> None:
    """Join the results of each pixel and put the catalog into its place.

    Parameters
    ----------
    source : the catalog that the job went over.
    parts : files with the results of each pixel, in order.
    target : the folder of the new catalog; an earlier one is replaced at the end.
    work : folder on the same disk in which it is put together.

    Raises
    ------
    CatalogError
        When the rows have lost their positions or their pixel.
    """
    import pyarrow.parquet as pq

    said = properties(catalog_folder(source))
    ra, dec = said.get("hats_col_ra", "ra"), said.get("hats_col_dec", "dec")
    made = work / "catalog"
    shutil.rmtree(made, ignore_errors=True)
    schema: pa.Schema | None = None
    rows: dict[Pixel, int] = {}
    size = 0
    for pixel, paths in parts.items():
        place = made / _place(pixel)
        tables = (table for table in map(pq.read_table, paths) if table.num_rows)
        found = join(_with_place(tables, (HEALPIX, ra, dec), target), place, schema)
        if found is None:
            continue  # no row of this pixel
        schema = found
        rows[pixel], size = pq.read_metadata(place).num_rows, size + place.stat().st_size
    if schema is None:
        raise CatalogError(f"the job gave no row, so there is nothing to write to {target}")
    pq.write_metadata(schema, made / "dataset" / "_common_metadata")
    write_text(made / "partition_info.csv", "Norder,Npix\n" + "".join(f"{k},{p}\n" for k, p in rows))
    lines = {
        "obs_collection": target.stem,
        "dataproduct_type": said.get("dataproduct_type", "object"),
        "hats_nrows": sum(rows.values()),
        "hats_col_ra": ra,
        "hats_col_dec": dec,
        "hats_col_healpix": HEALPIX,
        "hats_col_healpix_order": FINEST,
        "hats_npix_suffix": ".parquet",
        "hats_max_rows": max(rows.values()),
        "hats_order": max(order for order, _ in rows),
        "hats_estsize": size // 1024,
        "hats_builder": f"starloom {metadata.version('starloom')}",
    }
    text = "".join(f"{key}={value}\n" for key, value in lines.items())
    for name in ("hats.properties", "properties"):
        write_text(made / name, f"# HATS catalog\n{text}")
    _replace(made, target, work)


def _place(pixel: Pixel) -> str:
    order, number = pixel
    return f"dataset/Norder={order}/Dir={number // 10_000 * 10_000}/Npix={number}.parquet"


def _with_place(tables: Iterator[pa.Table], names: tuple[str, ...], target: Path) -> Iterator[pa.Table]:
    for table in tables:
        if lost := [name for name in names if name not in table.column_names]:
            raise CatalogError(
                f"the rows of the result have no {', '.join(lost)}, which {target} needs; name the result .parquet"
            )
        yield table


def _replace(made: Path, target: Path, work: Path) -> None:
    old = work / "old"
    make_folder(target.absolute().parent)
    try:
        if target.exists():
            os.replace(target, old)
        os.replace(made, target)
    except OSError as error:
        if old.exists() and not target.exists():
            os.replace(old, target)
        raise OutputError(f"cannot write {target}: {error}; nothing that was there before has been changed") from error
