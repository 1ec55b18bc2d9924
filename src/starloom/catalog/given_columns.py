"""Columns that a table brought and that a result is about to write: they are kept, under another name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from astropy.table import QTable


def keep_given(table: QTable, names: Iterable[str]) -> list[str]:
    """Rename a table's own columns that have the names of results, in place, to ``given_`` and their name.

    Small letters and capitals count as one, since FITS does not tell them apart: ``EEP`` makes way for ``eep``. Where
    ``given_`` and the name is taken too, what it holds stays: it was there first.

    Parameters
    ----------
    table : changed in place.
    names : of the columns that will be written.

    Returns
    -------
    list of str
        The names that the columns had.

    Examples
    --------
    >>> from astropy.table import QTable
    >>> table = QTable({"Age": [4.5], "kic": [1]})
    >>> keep_given(table, ["age", "mass"])
    ['Age']
    >>> table.colnames
    ['given_Age', 'kic']
    """
    results = {name.lower() for name in names}
    moved = [name for name in table.colnames if name.lower() in results]
    taken = {name.lower() for name in table.colnames}
    for name in moved:
        kept = f"given_{name}"
        if kept.lower() in taken:
            table.remove_column(name)
        else:
            table.rename_column(name, kept)
            taken.add(kept.lower())
    return moved
