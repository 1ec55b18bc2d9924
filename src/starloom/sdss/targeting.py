"""Cartons run over tables of any size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from starloom.errors import CatalogError, ConfigError
from starloom.sdss.cartons import carton as one
from starloom.sdss.cartons import generation
from starloom.sdss.targets import assign, combine, select

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.sdss.carton import Carton

ROWS = 200_000


@dataclass(frozen=True)
class TargetJob:
    """Targets among some rows of a table.

    Parameters
    ----------
    plan : a plan or a targeting generation.
    names : of cartons of that plan; none for all of them.
    label : what to call the table in messages.
    """

    plan: str
    names: tuple[str, ...]
    label: str

    def __call__(self, batch: QTable, first: int) -> QTable:
        """One row a target; ``row`` counts from the beginning of the whole table."""
        chosen = _cartons(self.plan, self.names)
        members = assign(select(batch, chosen if self.names else self.plan, thin=False, label=self.label), batch)
        # a part without any target still has the columns
        found = combine(members) if len(members) else combine(_stand_in(members))[:0]
        found["row"] = np.asarray(found["row"]) + first
        if "catalogid" not in batch.colnames:
            found["catalogid"] = np.asarray(found["row"])
        return found


def _stand_in(members: QTable) -> QTable:
    from astropy.table import MaskedColumn, QTable

    row = {name: np.zeros(1, members[name].dtype) for name in members.colnames}
    table = QTable({**row, "priority": MaskedColumn(np.zeros(1, np.int32), mask=[True])})
    table.meta = dict(members.meta)
    return table


@lru_cache(maxsize=4)
def _cartons(plan: str, names: tuple[str, ...]) -> tuple[Carton, ...]:
    return tuple(one(name, plan=plan) for name in names) if names else generation(plan)


def targets_of_table(
    source: str | Path, out: str | Path, *, plan: str, names: tuple[str, ...] = (), rows: int = ROWS
) -> int:
    """Write the targets among a table of any size, one row an object; gives how many there are.

    Raises
    ------
    ConfigError
        When a carton is thinned: what it keeps depends on all rows at once.
    CatalogError
        When no row is in any carton.
    """
    from starloom.catalog import row_jobs

    if thinned := [entry.label for entry in _cartons(plan, names) if entry.thin]:
        raise ConfigError(
            f"{', '.join(thinned)}: thinned after the selection, from all rows at once; read the table whole, or "
            "choose cartons with --carton"
        )
    done = row_jobs.run(TargetJob(plan, names, str(source)), source, out, rows=rows, align=1)
    if done.rows == 0:
        raise CatalogError(f"no row of {source} is in any carton")
    return done.rows
