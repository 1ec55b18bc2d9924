"""The values of one column: what it holds, in which unit, and its canonical form."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u
from numpy.typing import NDArray

from starloom.catalog.arrow_tables import UNRECOGNIZED, make_column, parse_unit, split_column
from starloom.catalog.surveys import Survey
from starloom.errors import CatalogError

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.catalog.schema import Column


def unit_text(values: Any, canonical: str, need: str, survey: Survey | None, source: str | None = None) -> str:
    """Unit of a table's column as text: its own, else the survey's if ``source`` is its name there, else need."""
    unit = getattr(values, "unit", None)
    if unit is not None and str(unit):
        return str(unit)
    unrecognized = (getattr(values.info, "meta", None) or {}).get(UNRECOGNIZED)
    if unrecognized:
        return str(unrecognized)
    return (survey.unit(canonical, source) if survey is not None else "") or need


def scale(have: str, need: str) -> float | None:
    """Factor from one unit to another; None when there is none.

    Examples
    --------
    >>> scale("pc", "kpc"), scale("deg", "mag")
    (0.001, None)
    """
    old, new = _unit(have), _unit(need)
    if isinstance(old, str) or isinstance(new, str):
        return None
    if {old, new} == {u.dimensionless_unscaled, u.dex}:  # abundances are written with dex and without
        return 1.0
    try:
        return float(old.to(new))
    except (u.UnitsError, TypeError, ValueError):
        return None


def _unit(text: str) -> Any:
    unit = parse_unit(text)
    if isinstance(unit, u.FunctionUnitBase):  # mag(AB) and dex(cm / s2) are numbers in mag and dex here
        return unit.function_unit
    return u.dimensionless_unscaled if unit is None else unit


def kind_of(values: NDArray[Any]) -> str:
    """Kind of an array's values in words."""
    kinds = {"f": "floats", "i": "integers", "u": "integers", "b": "booleans", "U": "text", "c": "complex numbers"}
    return kinds.get(values.dtype.kind, str(values.dtype))


def convert(table: QTable, source: str, column: Column, survey: Survey | None, label: str) -> Any:
    """Turn a table's column into a canonical one, or raise CatalogError saying which row stands in the way."""
    where = f"{label}: column '{source}'" + (f" (for {column.name})" if source != column.name else "")
    values, missing, _ = split_column(table[source], source)
    if values.ndim != 1:
        raise CatalogError(f"{where} has {values.ndim} dimensions, and one number a row is needed")
    gone = np.zeros(len(values), dtype=bool) if missing is None else missing
    if values.dtype.kind in "fiu" and survey is not None:
        gone = gone | survey.missing(column.name, values)
    if column.kind == "float":
        _require_numbers(values, gone, where)
        numbers = values.astype(np.float64)
        numbers[~np.isfinite(numbers) | gone] = np.nan
        numbers *= scale(unit_text(table[source], column.name, column.unit, survey, source), column.unit) or 1.0
        return make_column(numbers, None, column.unit, column.meaning)
    if column.kind == "integer":
        return make_column(_integers(values, gone, where), gone, None, column.meaning)
    if column.kind == "boolean":
        if values.dtype.kind in "iu" and np.isin(values[~gone], (0, 1)).all():
            values = np.where(gone, 0, values).astype(bool)
        if values.dtype.kind != "b":
            raise CatalogError(f"{where} holds {kind_of(values)}, and true or false is needed")
    elif values.dtype.kind != "U":
        raise CatalogError(f"{where} holds {kind_of(values)}, and text is needed")
    return make_column(values, gone, None, column.meaning)


def _require_numbers(values: NDArray[Any], gone: NDArray[np.bool_], where: str) -> None:
    if values.dtype.kind in "fiu":
        return
    if values.dtype.kind != "U" or not len(values):
        raise CatalogError(f"{where} holds {kind_of(values)}, and numbers are needed")
    rows = np.flatnonzero(~gone)
    first = next((row for row in rows if not is_number(str(values[row]))), rows[0] if len(rows) else 0)
    raise CatalogError(
        f"{where} holds text, and numbers are needed: {str(values[first])!r} in row {first}; convert the column or "
        f"correct that row"
    )


def is_number(text: str) -> bool:
    """Whether a text reads as a number, NaN and infinity among them."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _integers(values: NDArray[Any], gone: NDArray[np.bool_], where: str) -> NDArray[np.int64]:
    if values.dtype.kind == "f":
        gone |= np.isnan(values)
        there = np.where(gone, 0, values)
        broken = np.flatnonzero((there != np.floor(there)) | (np.abs(there) >= 2**53))
        if len(broken):
            row = broken[0]
            raise CatalogError(
                f"{where} holds floats, and integers are needed: {values[row]!r} in row {row} is not whole or has lost "
                f"digits; read the table again with that column as a 64-bit integer"
            )
        return there.astype(np.int64)
    if values.dtype.kind == "U":
        return _written_integers(values, gone, where)
    _require_numbers(values, gone, where)
    if values.dtype.kind == "u" and len(values) and values.max() > np.iinfo(np.int64).max:
        raise CatalogError(f"{where} has a value beyond 64-bit signed integers in row {int(values.argmax())}")
    return values.astype(np.int64)


def _written_integers(values: NDArray[Any], gone: NDArray[np.bool_], where: str) -> NDArray[np.int64]:
    """Identifiers that a table keeps as text, so as to lose no digits: whole numbers, or Gaia's designations."""
    found = np.zeros(len(values), dtype=np.int64)
    for row in np.flatnonzero(~gone):
        text = re.sub(r"^Gaia E?DR\d ", "", str(values[row]).strip())
        if not re.fullmatch(r"[+-]?\d{1,19}", text) or abs(int(text)) > np.iinfo(np.int64).max:
            raise CatalogError(
                f"{where} holds text, and whole numbers are needed: {str(values[row])!r} in row {row}; convert the "
                f"column, or give it another name if it is no such identifier"
            )
        found[row] = int(text)
    return found
