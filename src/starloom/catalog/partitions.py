"""Go through Parquet tables larger than memory, a batch of rows at a time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from astropy.table import QTable

from starloom.catalog.arrow_tables import check_names, from_arrow, require_names, to_arrow, with_masks
from starloom.catalog.hats import is_hats, partitions
from starloom.errors import CatalogError
from starloom.files import atomic_path, make_folder

if TYPE_CHECKING:
    import pyarrow.parquet as pq

BUFFER = 1 << 20
"""Bytes read at once of a column."""


def parts(path: str | Path) -> list[Path]:
    """The Parquet files of a table: the file itself, those of a HATS catalog along the sky, or those
    in a folder and below it, sorted by path.

    Raises
    ------
    CatalogError
        When the path does not exist or holds no Parquet file.
    """
    source = Path(path)
    if source.is_file():
        return [source]
    if not source.exists():
        raise CatalogError(f"{source} does not exist; check the path")
    if is_hats(source):
        return [partition.path for partition in partitions(source)]
    files = sorted(
        file
        for file in source.rglob("*")
        if file.suffix.lower() in {".parquet", ".pq"} and file.is_file() and not file.name.startswith((".", "_"))
    )
    if not files:
        raise CatalogError(f"the folder {source} holds no Parquet file")
    return files


def opened(path: str | Path) -> pq.ParquetFile:
    """A Parquet file, to be read page by page: by default a whole row group would be in memory, compressed."""
    import pyarrow.parquet as pq

    return pq.ParquetFile(path, buffer_size=BUFFER, pre_buffer=False)


def iterate(path: str | Path, *, columns: Sequence[str] | None = None, rows: int = 1_000_000) -> Iterator[QTable]:
    """Read a Parquet file, or a folder of them, in batches of rows.

    Files are read page by page, so the memory needed is that of one batch, whatever the size of the table. Batches
    come in the order of the files' paths and of the rows in them; a batch never spans two files.

    Parameters
    ----------
    path : a Parquet file, or a folder with Parquet files in it or below it.
    columns : names of the columns wanted; all of them by default.
    rows : largest number of rows in a batch.

    Yields
    ------
    QTable
        The next rows, under the rules of :func:`starloom.catalog.tables.read_table`. Files without rows give none.

    Raises
    ------
    CatalogError
        When the path holds no Parquet file, or one of them is corrupt or has other columns than the first.
    MissingColumnError
        When a column asked for is not there.
    """
    if rows < 1:
        raise CatalogError(f"a batch needs at least one row, and rows={rows} were asked for")
    files = parts(path)
    return _batches(files, columns, rows)


def _batches(files: Sequence[Path], columns: Sequence[str] | None, rows: int) -> Iterator[QTable]:
    expected: list[str] | None = None
    for file in files:
        try:
            with opened(file) as parquet:
                names = list(parquet.schema_arrow.names)
                check_names(names)
                if columns is not None:
                    require_names(columns, names, str(file))
                    names = list(columns)
                if expected is None:
                    expected = names
                elif set(names) != set(expected):
                    other = ", ".join(sorted(set(names) ^ set(expected)))
                    raise CatalogError(f"{file} does not have the columns of {files[0]}: they differ in {other}")
                wanted = with_masks(expected, parquet.schema_arrow.names)
                for batch in parquet.iter_batches(batch_size=rows, columns=wanted):
                    yield _select(from_arrow(pa.Table.from_batches([batch]).select(wanted)), columns)
        except (OSError, pa.ArrowException) as error:
            remark = " ".join(str(error).split())[:300]
            raise CatalogError(f"{file} cannot be read as Parquet: {remark}; it may be truncated or corrupt") from error


def _select(table: QTable, columns: Sequence[str] | None) -> QTable:
    return table if columns is None else table[list(columns)]


def map_partitions(
    function: Callable[[QTable], QTable],
    path: str | Path,
    out_path: str | Path,
    *,
    columns: Sequence[str] | None = None,
    rows: int = 1_000_000,
) -> int:
    """Apply a function to each batch of a Parquet table and write what it gives to one Parquet file.

    The result has one row group for each batch that is not empty. It is written to a temporary name and renamed at the
    end: when anything goes wrong, what was there before is untouched.

    Parameters
    ----------
    function : takes a batch of rows and gives a table; the same columns of the same types for each batch.
    path, columns, rows : as for :func:`iterate`.
    out_path : the Parquet file to write.

    Returns
    -------
    int
        Number of rows written.

    Raises
    ------
    CatalogError
        As for :func:`iterate`; and when the function gives no table, or other columns than for the first batch.
    OutputError
        When the disk is full or the folder cannot be written.
    """
    import pyarrow.parquet as pq

    target = Path(out_path)
    written = 0
    with atomic_path(target) as temporary:
        writer: pq.ParquetWriter | None = None
        try:
            numbers = itertools.count()  # enumerate would hold on to the batch before
            for batch in iterate(path, columns=columns, rows=rows):
                number = next(numbers)
                result = function(batch)
                if not isinstance(result, QTable):
                    kind = type(result).__name__
                    raise CatalogError(f"the function gave a {kind} for batch {number} of {path}, not a QTable")
                table = to_arrow(result)
                if writer is None:
                    writer = pq.ParquetWriter(temporary, table.schema, compression="zstd")
                writer.write_table(alike(table, writer.schema, number))
                written += table.num_rows
                del batch, result, table  # or the loop would hold them while the next batch is read
        finally:
            if writer is not None:
                writer.close()
        if writer is None:
            raise CatalogError(f"{path} has no rows, so there is nothing to write to {target}")
    return written


def join(tables: Iterator[pa.Table], path: str | Path, schema: pa.Schema | None = None) -> pa.Schema | None:
    """Write tables one after another to one Parquet file, a row group each, with the types of the first or of a schema.

    Returns
    -------
    pyarrow.Schema or None
        Of the file; None where there was no table, and no file is written.
    """
    import pyarrow.parquet as pq

    first = next(tables, None)
    if first is None:
        return None
    schema = first.schema if schema is None else schema
    target = Path(path)
    make_folder(target.absolute().parent)
    with atomic_path(target) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for number, table in enumerate(itertools.chain([first], tables)):
            first = None
            writer.write_table(alike(table, schema, number))
    return schema


def alike(table: pa.Table, schema: pa.Schema, number: int) -> pa.Table:
    """The table with the types of the first batch, where that loses nothing."""
    if set(table.column_names) != set(schema.names):
        other = ", ".join(sorted(set(table.column_names) ^ set(schema.names)))
        raise CatalogError(f"the function gave other columns for batch {number} than for batch 0: {other}")
    ordered = table.select(schema.names)
    for name in schema.names:
        first, later = schema.field(name), ordered.schema.field(name)
        if (first.metadata or {}).get(b"unit") != (later.metadata or {}).get(b"unit"):
            raise CatalogError(f"the function gave column '{name}' in another unit for batch {number} than for batch 0")
        if pa.types.is_fixed_size_list(first.type) and first.type != later.type:
            raise CatalogError(
                f"column '{name}' has lists of other lengths in batch {number} than in batch 0; take it out of a table "
                "that goes through in parts"
            )
    try:
        return ordered.cast(schema)
    except (pa.ArrowException, ValueError) as error:
        raise CatalogError(f"the function gave other types for batch {number} than for batch 0: {error}") from error
