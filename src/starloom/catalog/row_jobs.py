"""Jobs that take rows and give rows, over tables of any size, here or on a cluster, with the same result.

A table is cut into parts by the rows of its files, never by who does them. A part's rows are read where the part is
done, and written there under a name of its own by a rename, so that a part done twice (its worker died after the write,
say) is the same file. In the end the parts are joined in their order. A job that ended early leaves the parts that it
did beside its target, and the same job goes on from them.
"""

from __future__ import annotations

import contextlib
import hashlib
import pickle
import shutil
import threading
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
from astropy.table import QTable

from starloom import executors, progress
from starloom.catalog import hats_writing
from starloom.catalog.arrow_tables import to_arrow
from starloom.catalog.hats import partitions
from starloom.catalog.partitions import join
from starloom.catalog.table_parts import ROWS, Part, Reader, cut
from starloom.catalog.tables import format_of, read_table, require_writable, write_table, written_format
from starloom.errors import CatalogError
from starloom.files import atomic_path, held, put_in_place

_DONE = "*-*.parquet"


class RowJob(Protocol):
    """What is done to rows. On a cluster it is sent to the workers: a small dataclass of names and numbers.

    The folder of a model, if there is one, is its field ``folder``.
    """

    def __call__(self, batch: QTable, first: int) -> QTable:
        """Rows for rows; ``first`` is the number of the first one, from which its seed follows."""


@dataclass(frozen=True)
class Done:
    """Rows written, how many of them carry a reason, and how many were there from a run that ended early."""

    rows: int
    remarks: int
    resumed: int = 0


@dataclass(frozen=True)
class _Task:
    """A part, what is done to it and where the result goes: what travels to a worker."""

    job: RowJob
    part: Part
    columns: tuple[str, ...] | None
    target: str


class _Mine(threading.local):
    """The reader of a thread, here or in a worker."""

    def __init__(self) -> None:
        self.reader = Reader()


_mine = _Mine()


def _work(task: _Task) -> None:
    import pyarrow.parquet as pq

    result = _applied(task.job, _mine.reader.read(task.part, task.columns), task.part)
    with atomic_path(task.target) as temporary:
        pq.write_table(to_arrow(result), temporary, compression="zstd")


def _applied(job: RowJob, batch: QTable, part: Part) -> QTable:
    result = job(batch, part.first)
    if not isinstance(result, QTable):
        raise CatalogError(
            f"the job gave a {type(result).__name__} for rows {part.start} to {part.stop} of {part.path}, not a QTable"
        )
    return result


def _require_writable(job: RowJob, table: QTable, part: Part, target: Path) -> None:
    """Say before the work that the target's format cannot hold a column of the table, unless the job leaves it out."""
    try:
        require_writable(table, target)
    except CatalogError:
        result = _applied(job, table[:1], part)
        require_writable(result, target)
        require_writable(table[[name for name in table.colnames if name in result.colnames]], target)


def _remarks(table: pa.Table) -> int:
    import pyarrow.compute as pc

    if "reason" not in table.column_names:
        return 0
    return int(pc.sum(pc.not_equal(pc.fill_null(table["reason"], ""), "")).as_py() or 0)


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

    Where it ends early (killed, interrupted, disk full, a damaged file), the parts that are done stay in
    ``.NAME.parts`` beside the target, and the same call goes on from them: the same job, model, rows and version.

    Parameters
    ----------
    job : what is done.
    source : a table in memory or a path: any kind of file, a folder of Parquet files, a HATS catalog.
    out_path : the file to write; its suffix names the format. Parquet goes through memory part by part. A folder
        ``NAME.hats`` becomes a HATS catalog, if the source is one.
    columns : of the table, that the job sees; all by default.
    rows, align : see :func:`starloom.catalog.table_parts.cut`. The result of a job that draws depends on them, so they
        belong to the job.

    Raises
    ------
    CatalogError
        When the table has no rows or cannot be read, the target's format cannot hold one of its columns (this is said
        before the work; of text in a source that is read in parts only the first row is looked at), or the parts of
        the result do not fit together.
    OutputError
        When the result cannot be written, or another run writes it; what was there before is untouched.
    """
    import pyarrow.parquet as pq

    target = Path(out_path)
    kind = "hats" if target.suffix == hats_writing.SUFFIX else written_format(target)
    is_path = isinstance(source, str | Path)
    in_parts = is_path and (Path(source).is_dir() or format_of(source) == "parquet")
    if is_path and not Path(source).exists():
        raise CatalogError(f"{source} does not exist; check the path")
    if kind == "hats":
        hats_writing.check(source, target)
    wanted = None if columns is None else tuple(columns)
    table = None if in_parts else read_table(source, columns=columns)
    if table is not None:
        part = Part(str(source) if is_path else "the table", 0, len(table), 0)
        _require_writable(job, table, part, target)
    if table is not None and len(table) <= rows and not executors.active():
        result = _applied(job, table, part)
        write_table(result, target)
        said = _remarks(to_arrow(result[["reason"]])) if "reason" in result.colnames else 0
        return Done(len(result), said)
    if table is not None:
        try:
            require_writable(table, "parts.parquet")
        except CatalogError as error:
            raise CatalogError(
                f"tables of more than {rows} rows are worked on in parts, as Parquet; {error}"
            ) from error
    chosen = cut(source, rows, align) if in_parts else []
    if in_parts and not chosen:
        raise CatalogError(f"{source} has no rows, so there is nothing to write to {target}")
    if in_parts and kind not in ("hats", "parquet"):  # what was read from Parquet, Parquet holds
        part = replace(chosen[0], stop=chosen[0].start + 1)
        with contextlib.closing(Reader()) as reader:
            _require_writable(job, reader.read(part, wanted), part, target)
    identity = _identity(job, wanted) if is_path else None
    with _parts_folder(target, keep=identity is not None) as folder:
        if table is not None:
            path = folder / "input.parquet"
            write_table(table, path)
            chosen = cut(path, rows, align)
            if not chosen:
                raise CatalogError(f"{source} has no rows, so there is nothing to write to {target}")
            del table
        keys = _keys(identity or uuid.uuid4().hex, chosen, source if is_path and not in_parts else None)
        paths = [folder / f"{place:08d}-{key}.parquet" for place, key in enumerate(keys)]
        for stale in set(folder.glob(_DONE)) - {*paths}:
            stale.unlink()
        done = _do([_Task(job, part, wanted, str(path)) for part, path in zip(chosen, paths, strict=True)], paths)
        if kind == "hats":
            pixels = {
                str(partition.path.absolute()): (partition.order, partition.pixel) for partition in partitions(source)
            }
            sky: dict[hats_writing.Pixel, list[Path]] = {}
            for part, path in zip(chosen, paths, strict=True):
                sky.setdefault(pixels[part.path], []).append(path)
            hats_writing.write_catalog(source, sky, target, folder)
            return done
        whole = folder / "whole.parquet"  # there, so that a killed run leaves nothing elsewhere
        join(map(pq.read_table, paths), whole)
        if kind == "parquet":
            put_in_place(whole, target)
        else:
            write_table(read_table(whole), target)
    return done


def _do(tasks: Sequence[_Task], paths: Sequence[Path]) -> Done:
    """Do the parts that are not there yet, and count what all of them hold."""
    import pyarrow.parquet as pq

    todo = [task for task, path in zip(tasks, paths, strict=True) if not path.exists()]
    resumed = sum(task.part.stop - task.part.start for task in tasks) - sum(t.part.stop - t.part.start for t in todo)
    with progress.bar("rows", len(tasks), "parts") as advance, contextlib.closing(_mine.reader):
        advance(len(tasks) - len(todo))
        for _ in executors.each(_work, todo, what="part"):
            advance()
    if missing := sum(not path.exists() for path in paths):
        raise CatalogError(
            f"the workers wrote {len(paths) - missing} of {len(paths)} parts where this process sees them "
            f"({paths[0].parent}); the folder of the result must be shared with the workers"
        )
    rows = remarks = 0
    for path in paths:
        with pq.ParquetFile(path) as opened:
            rows += opened.metadata.num_rows
            if "reason" in opened.schema_arrow.names:
                remarks += _remarks(opened.read(["reason"]))
    return Done(rows, remarks, resumed)


@contextlib.contextmanager
def _parts_folder(target: Path, *, keep: bool) -> Iterator[Path]:
    """The folder of parts beside the result, which the workers see too.

    It is gone in the end, unless the block ended early, a part is done, and ``keep`` says that it can be known again.
    """
    folder = target.absolute().parent / f".{target.name}.parts"
    with held(folder):
        ended = False
        try:
            yield folder
            ended = True
        finally:
            kept = sum(1 for _ in folder.glob(_DONE)) if keep and not ended else 0
            if kept:
                progress.say(f"{kept} parts are done and kept in {folder}; the same command goes on from them")
            else:
                shutil.rmtree(folder, ignore_errors=True)


def _identity(job: RowJob, columns: tuple[str, ...] | None) -> str | None:
    """Tells a job with its settings, model and version from others; None where that cannot be told."""
    try:
        what = hashlib.sha256(pickle.dumps(job)).hexdigest()  # it is never read
    except (pickle.PicklingError, AttributeError, TypeError):
        return None
    return repr((what, _model_files(job), columns, metadata.version("starloom")))


def _keys(identity: str, chosen: Sequence[Part], origin: str | Path | None) -> list[str]:
    """What the parts' files are called after: other job, rows or file, other name.

    ``origin`` is the file that the parts were made from, if that is not where they are read.
    """
    stamps: dict[str, tuple[int, int]] = {}
    found = []
    for part in chosen:
        path = str(origin if origin is not None else part.path)
        if path not in stamps:
            stamps[path] = _stamp(Path(path))
        known = repr((identity, path, stamps[path], part.start, part.stop, part.first))
        found.append(hashlib.sha256(known.encode()).hexdigest()[:16])
    return found


def _model_files(job: RowJob) -> list[Any]:
    folder = getattr(job, "folder", None)
    if folder is None:
        return []
    return [(str(path), *_stamp(path)) for path in sorted(Path(folder).rglob("*")) if path.is_file()]


def _stamp(path: Path) -> tuple[int, int]:
    """Size and time of a file; of none, zeros."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns
