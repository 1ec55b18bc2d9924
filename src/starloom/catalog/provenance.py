"""What was done to a table, step by step; it travels inside the table and its Parquet, FITS and ECSV files.

CSV and VOTable files do not carry it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from astropy.table import QTable

KEY = "STARLOOM"
"""Key in ``table.meta``; eight capitals, so that a FITS header can hold it."""


def record(table: QTable, step: str, **settings: Any) -> None:
    """Note a step at the end of a table's history.

    Parameters
    ----------
    table : the table that the step made; its history so far is kept.
    step : what was done, in words.
    settings : numbers, texts, or lists of them, with which the step can be done again.

    Examples
    --------
    >>> from astropy.table import QTable
    >>> table = QTable({"ra": [1.0]})
    >>> record(table, "membership", stream="GD-1", seed=1)
    >>> [(entry["step"], entry["settings"]) for entry in history(table)]
    [('membership', {'stream': 'GD-1', 'seed': 1})]
    """
    from importlib import metadata

    entry = {"step": step, "version": metadata.version("starloom"), "settings": settings}
    table.meta[KEY] = json.dumps([*history(table), entry], default=str)


def history(table: QTable) -> list[dict[str, Any]]:
    """The steps noted in a table, in their order; none for a table of other makers."""
    try:
        found = json.loads(table.meta.get(KEY, "[]"))
    except (TypeError, ValueError):
        return []
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []
