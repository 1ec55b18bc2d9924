"""Jobs that take rows and give rows, over tables of any size, here or on a cluster, with the same result.

A table is cut into parts by the rows of its files, never by who does them. A part's rows are read where the part is
done, and written there under a name of its own by a rename, so that a part done twice (its worker died after the write,
say) is the same file. In the end the parts are joined in their order.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from astropy.table import QTable

from starloom import executors, progress
from starloom.catalog.arrow_tables import from_arrow, require_names, to_arrow, with_masks
from starloom.catalog.partitions import alike, parts
from starloom.catalog.tables import format_of, read_table, write_table
from starloom.errors import CatalogError
from starloom.files import atomic_path, make_folder

ROWS = 65_536


class RowJob(Protocol):
    """What is done to rows. On a cluster it is sent to the workers: a small dataclass of names and numbers."""

    def __call__(self, batch: QTable, first: int) -> QTable:
        """Rows for rows; ``first`` is the number of the first one, from which its seed follows."""


@dataclass(frozen=True)
class Part:
    """Some rows of one Parquet file, and the number that their first row counts as."""

    path: str
    start: int
    stop: int
    first: int


@dataclass(frozen=True)
class Done:
    """Rows written, and how many of them carry a reason."""

    rows: int
    remarks: int


def cut(path: str | Path, rows: int = ROWS, align: int = 1) -> list[Part]:
    """The parts of a Parquet file, of a folder of them, or of a HATS catalog.

    Parameters
    ----------
    path : the table.
    rows : of a part at most; a part never spans two files.
    align : ``first`` of each part is a multiple of it, the next one that no row before has used.
    """
    import pyarrow.parquet as pq

    found: list[Part] = []
    first = 0
    for file in parts(path):
        try:
            count = pq.read_metadata(file).num_rows
        except (OSError, pa.ArrowException) as error:
            remark = " ".join(str(error).split())[:300]
            raise CatalogError(f"{file} cannot be read as Parquet: {remark}; it may be truncated or corrupt") from error
        for start in range(0, count, rows):
            first = -(-first // align) * align
            stop = min(start + rows, count)
            found.append(Part(str(file), start, stop, first))
            first += stop - start
    return found


class _Reader:
    """Reads parts; keeps the row group that was read last, since the next part is likely to be in it."""

    def __init__(self, columns: Sequence[str] | None) -> None:
        self.columns = columns
        self._kept: tuple[str, int, pa.Table] | None = None

    def read(self, part: Part) -> QTable:
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(part.path) as opened:
                wanted = None
                if self.columns is not None:
                    require_names(self.columns, opened.schema_arrow.names, part.path)
                    wanted = with_masks(list(self.columns), opened.schema_arrow.names)
                pieces, low = [], 0
                for group in range(opened.num_row_groups):
                    high = low + opened.metadata.row_group(group).num_rows
                    if low < part.stop and high > part.start:
                        table = self._group(opened, part.path, group, wanted)
                        inside = slice(max(part.start - low, 0), min(part.stop, high) - low)
                        pieces.append(table.slice(inside.start, inside.stop - inside.start))
                    low = high
                found = from_arrow(pa.concat_tables(pieces))
        except (OSError, pa.ArrowException) as error:
            remark = " ".join(str(error).split())[:300]
            raise CatalogError(
                f"{part.path} cannot be read as Parquet: {remark}; it may be truncated or corrupt"
            ) from error
        return found if self.columns is None else found[list(self.columns)]

    def _group(self, opened: Any, path: str, group: int, wanted: list[str] | None) -> pa.Table:
        if self._kept is None or self._kept[:2] != (path, group):
            self._kept = None  # one in memory at a time
            self._kept = (path, group, opened.read_row_group(group, columns=wanted))
        return self._kept[2]


@dataclass(frozen=True)
class _Task:
    """A part, what is done to it and where the result goes: what travels to a worker."""

    job: RowJob
    part: Part
    columns: tuple[str, ...] | None
    target: str


def _work(task: _Task) -> tuple[int, int]:
    import pyarrow.parquet as pq

    result = _applied(task.job, _Reader(task.columns).read(task.part), task.part)
    with atomic_path(task.target) as temporary:
        pq.write_table(to_arrow(result), temporary, compression="zstd")
    return len(result), _remarks(result)


def _applied(job: RowJob, batch: QTable, part: Part) -> QTable:
    result = job(batch, part.first)
    if not isinstance(result, QTable):
        raise CatalogError(
            f"the job gave a {type(result).__name__} for rows {part.start} to {part.stop} of {part.path}, not a QTable"
        )
    return result


def _remarks(table: QTable) -> int:
    return int((np.asarray(table["reason"]).astype(str) != "").sum()) if "reason" in table.colnames else 0


def run(
    job: RowJob,
    source: Any,
    out_path: str | Path,
    *,
    columns: Sequence[str] | None = None,
    rows: int = ROWS,
    align: int = 1,
) -> Done:
    """Apply a job to a table and write what it gives.

    Parameters
    ----------
    job : what is done.
    source : a table in memory or a path: any kind of file, a folder of Parquet files, a HATS catalog.
    out_path : the file to write; its suffix names the format. Parquet goes through memory part by part.
    columns : of the table, that the job sees; all by default.
    rows, align : see :func:`cut`. The result of a job that draws depends on them, so they belong to the job.

    Raises
    ------
    CatalogError
        When the table has no rows or cannot be read, or the parts of the result do not fit together.
    OutputError
        When the result cannot be written; what was there before is untouched.
    """
    target = Path(out_path)
    kind = format_of(target)
    in_parts = isinstance(source, str | Path) and (Path(source).is_dir() or format_of(source) == "parquet")
    if isinstance(source, str | Path) and not Path(source).exists():
        raise CatalogError(f"{source} does not exist; check the path")
    with _scratch(target) as folder:
        path: Any = source
        if not in_parts:
            table = read_table(source, columns=columns)
            if len(table) <= rows and not executors.active():
                part = Part(str(source) if isinstance(source, str | Path) else "the table", 0, len(table), 0)
                result = _applied(job, table, part)
                write_table(result, target)
                return Done(len(result), _remarks(result))
            path = folder / "input.parquet"
            write_table(table, path)
            del table
        chosen = cut(path, rows, align)
        if not chosen:
            raise CatalogError(f"{source} has no rows, so there is nothing to write to {target}")
        whole = target if kind == "parquet" else folder / "whole.parquet"
        wanted = None if columns is None else tuple(columns)
        done = (_on_cluster if executors.active() else _here)(job, chosen, wanted, whole, folder)
        if whole != target:
            write_table(read_table(whole), target)
    return done


@contextlib.contextmanager
def _scratch(target: Path) -> Iterator[Path]:
    """A folder beside the result, which the workers see too; gone at the end. Made when it is first written into."""
    import uuid

    folder = target.absolute().parent / f".{target.name}.{uuid.uuid4().hex[:8]}.parts"
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _here(job: RowJob, chosen: Sequence[Part], columns: tuple[str, ...] | None, whole: Path, folder: Path) -> Done:
    reader, counts = _Reader(columns), np.zeros(2, dtype=np.int64)

    def results() -> Iterator[pa.Table]:
        for part in progress.steps(chosen, "rows", len(chosen), "parts"):
            result = _applied(job, reader.read(part), part)
            counts[:] += len(result), _remarks(result)
            yield to_arrow(result)

    _join(results(), whole)
    return Done(int(counts[0]), int(counts[1]))


def _on_cluster(
    job: RowJob, chosen: Sequence[Part], columns: tuple[str, ...] | None, whole: Path, folder: Path
) -> Done:
    import pyarrow.parquet as pq

    make_folder(folder)
    paths = [folder / f"{place:08d}.parquet" for place in range(len(chosen))]
    tasks = [_Task(job, part, columns, str(path)) for part, path in zip(chosen, paths, strict=True)]
    counts = np.zeros(2, dtype=np.int64)
    with progress.bar("rows", len(tasks), "parts") as advance:
        for _, found in executors.each(_work, tasks, what="part"):
            counts += found
            advance()
    missing = [path for path in paths if not path.exists()]
    if missing:
        raise CatalogError(
            f"the workers wrote {len(paths) - len(missing)} of {len(paths)} parts where this process sees them "
            f"({folder}); the folder of the result must be shared with the workers"
        )
    _join((pq.read_table(path) for path in paths), whole)
    return Done(int(counts[0]), int(counts[1]))


def _join(tables: Iterator[pa.Table], whole: Path) -> None:
    import pyarrow.parquet as pq

    make_folder(whole.absolute().parent)
    with atomic_path(whole) as temporary:
        writer: pq.ParquetWriter | None = None
        try:
            for number, table in enumerate(tables):
                if writer is None:
                    writer = pq.ParquetWriter(temporary, table.schema, compression="zstd")
                writer.write_table(alike(table, writer.schema, number))
        finally:
            if writer is not None:
                writer.close()
