"""Parts of a table: which rows of which Parquet file, and reading them one after another in little memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from astropy.table import QTable

from starloom.catalog.arrow_tables import from_arrow, require_names, with_masks
from starloom.catalog.partitions import opened, parts
from starloom.errors import CatalogError

ROWS = 65_536


@dataclass(frozen=True)
class Part:
    """Some rows of one Parquet file, and the number that their first row counts as."""

    path: str
    start: int
    stop: int
    first: int


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
            found.append(Part(str(file.absolute()), start, stop, first))
            first += stop - start
    return found


class Reader:
    """Reads parts of Parquet files. It stands where the last part ended, since the next one is likely to begin there.

    Pages are read as they are needed, so that memory does not grow with the row groups of a file.
    """

    def __init__(self) -> None:
        self._at: tuple[str, tuple[str, ...] | None, int] | None = None  # path, columns, row
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._left: pa.RecordBatch | None = None
        self._open = contextlib.ExitStack()

    def read(self, part: Part, columns: tuple[str, ...] | None) -> QTable:
        """The rows of a part, and of them the columns named; all by default."""
        try:
            if self._at != (part.path, columns, part.start):
                self._go(part, columns)
            found = from_arrow(pa.Table.from_batches(list(self._rows(part.stop - part.start))))
            self._at = (part.path, columns, part.stop)
        except (OSError, pa.ArrowException) as error:
            self.close()
            remark = " ".join(str(error).split())[:300]
            raise CatalogError(
                f"{part.path} cannot be read as Parquet: {remark}; it may be truncated or corrupt"
            ) from error
        except BaseException:
            self.close()
            raise
        return found if columns is None else found[list(columns)]

    def close(self) -> None:
        """Let go of the file."""
        self._at, self._batches, self._left = None, iter(()), None
        self._open.close()

    def _go(self, part: Part, columns: tuple[str, ...] | None) -> None:
        """Open the file at the row group in which the part begins, and pass over the rows before it."""
        self.close()
        parquet = self._open.enter_context(opened(part.path))
        wanted = None
        if columns is not None:
            require_names(columns, parquet.schema_arrow.names, part.path)
            wanted = with_masks(list(columns), parquet.schema_arrow.names)
        ends = np.cumsum([parquet.metadata.row_group(group).num_rows for group in range(parquet.num_row_groups)])
        group = int(np.searchsorted(ends, part.start, side="right"))
        self._batches = parquet.iter_batches(
            batch_size=part.stop - part.start, row_groups=list(range(group, len(ends))), columns=wanted
        )
        for _ in self._rows(part.start - (int(ends[group - 1]) if group else 0)):
            pass

    def _rows(self, count: int) -> Iterator[pa.RecordBatch]:
        while count > 0:
            batch = self._left if self._left is not None else next(self._batches, None)
            if batch is None:
                raise pa.ArrowInvalid("it has fewer rows than it says")
            self._left = batch.slice(count) if len(batch) > count else None
            yield batch.slice(0, count)
            count -= len(batch)
