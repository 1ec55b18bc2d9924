"""Evaluate cartons a second time, in SQLite, and count the rows on which the two ways differ."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from starloom.catalog.expression_values import Raw
from starloom.sdss.carton import Carton
from starloom.sdss.columns import Parent
from starloom.sdss.targets import evaluate


def load(raws: Mapping[str, Raw], rows: NDArray[np.int64]) -> sqlite3.Connection:
    """Some rows of the columns as the table ``parent`` of a database in memory, with ``catalogid`` their number."""
    connection = sqlite3.connect(":memory:")
    connection.execute("PRAGMA case_sensitive_like = ON")
    kinds = {"f": "REAL", "i": "INTEGER", "u": "INTEGER", "b": "INTEGER", "U": "TEXT"}
    columns = ", ".join(f"{name} {kinds[raw.values.dtype.kind]}" for name, raw in raws.items())
    connection.execute(f"CREATE TABLE parent (catalogid INTEGER, {columns})")
    lists = [rows.tolist(), *(_plain(raw.rows(rows)) for raw in raws.values())]
    marks = ", ".join("?" * len(lists))
    connection.executemany(f"INSERT INTO parent VALUES ({marks})", zip(*lists, strict=True))
    return connection


def _plain(raw: Raw) -> list[object]:
    values: list[object] = raw.values.tolist()
    gone = np.zeros(len(values), dtype=bool) if raw.missing is None else raw.missing.copy()
    if raw.values.dtype.kind == "f":
        gone = gone | ~np.isfinite(raw.values)
    for row in np.flatnonzero(gone):
        values[row] = None
    return values


def differences(parent: Parent, cartons: Sequence[Carton], rows: NDArray[np.int64]) -> dict[str, int]:
    """On how many of some rows SQLite selects otherwise, by the label of the carton (clauses alone, without
    thinning)."""
    ours = evaluate(Parent({k: v.rows(rows) for k, v in parent.raws.items()}, len(rows), (), (), (), {}), cartons)
    found = {}
    with load(parent.raws, rows) as connection:
        for carton, member in zip(cartons, ours, strict=True):
            theirs = {int(row) for (row,) in connection.execute(carton.to_sql())}
            found[carton.label] = len(theirs ^ {int(row) for row in rows[member]})
    return found
