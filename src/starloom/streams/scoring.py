"""A fitted stream applied to tables of any size."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.streams.fitted import FittedStream

ROWS = 200_000  # stars in memory at a time


@dataclass(frozen=True)
class ScoreJob:
    """Memberships of some rows of a table by the model in a folder."""

    folder: str

    def __call__(self, batch: QTable, first: int) -> QTable:
        """The rows with memberships."""
        return _model(self.folder).predict(batch)


@lru_cache(maxsize=2)
def _model(folder: str) -> FittedStream:
    from starloom.streams.fitted import FittedStream

    return FittedStream.load(folder)


@dataclass
class Tally:
    """What a table of memberships holds: rows, rows used, expected members, P > 0.5, reasons of the others."""

    rows: int = 0
    used: int = 0
    expected: float = 0.0
    above_half: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, path: str | Path) -> Tally:
        """Count what a file holds, part by part where it is Parquet."""
        from starloom.catalog.partitions import iterate
        from starloom.catalog.tables import format_of, read_table

        names = ["p_member", "reason"]
        parquet = Path(path).is_dir() or format_of(path) == "parquet"
        found = cls()
        for table in iterate(path, columns=names) if parquet else [read_table(path, columns=names)]:
            reason = np.ma.filled(np.ma.asarray(table["reason"]).astype(str), "")
            used = reason == ""
            probability = np.asarray(table["p_member"], dtype=float)[used]
            found.rows += len(table)
            found.used += int(used.sum())
            found.expected += float(probability.sum())
            found.above_half += int((probability > 0.5).sum())
            for name, count in zip(*np.unique(reason[~used], return_counts=True), strict=True):
                found.reasons[str(name)] = found.reasons.get(str(name), 0) + int(count)
        return found

    def as_dict(self) -> dict[str, Any]:
        """The same as a dictionary."""
        return dict(vars(self))
