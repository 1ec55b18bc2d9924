"""Arrow tables to QTable and back: the path of Parquet, CSV, pandas and Polars.

The rules of every table inside Starloom are kept here. Missing floats are NaN; missing integers, booleans and texts
are masked, so that an int64 source id never passes through a float. Units travel in the metadata of an Arrow field
(key ``unit``).
"""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from astropy import units as u
from astropy.table import Column, MaskedColumn, QTable, Table
from astropy.utils.masked import Masked
from numpy.typing import NDArray

from starloom.catalog.provenance import KEY
from starloom.errors import CatalogError, MissingColumnError

WIDEST = 1_000_000  # values of a column whose lists are padded, whatever their lengths
UNRECOGNIZED = "unrecognized_unit"  # key in a column's ``info.meta`` for a unit that astropy cannot read


def parse_unit(text: str | u.UnitBase | None) -> u.UnitBase | str | None:
    """Read a unit in the spellings that catalogs use; a text that means no unit to astropy comes back as text.

    Examples
    --------
    >>> parse_unit("mas.yr**-1"), parse_unit("Angle[deg]"), parse_unit("banana")
    (Unit("mas / yr"), Unit("deg"), 'banana')
    """
    if text is None or isinstance(text, (u.UnitBase, u.FunctionUnitBase)):
        return str(text) if isinstance(text, u.UnrecognizedUnit) else text
    text = str(text).strip()
    if not text or text.lower() in {"none", "null", "---", "-"}:
        return None
    if wrapped := re.fullmatch(r"[A-Za-z ]+\[(.+)\]", text):  # the old Gaia archive wrote Angle[deg]
        text = wrapped[1]
    if logarithm := re.fullmatch(r"log\((.+)\)", text):  # and writes log(cm.s**-2) for a surface gravity
        inner = parse_unit(logarithm[1])
        return u.dex(inner) if isinstance(inner, u.UnitBase) else text
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for style in (None, "fits", "vounit", "cds"):
            try:
                return u.Unit(text, format=style)
            except (ValueError, TypeError):
                continue
    return text


def make_column(
    values: NDArray[Any],
    missing: NDArray[np.bool_] | None = None,
    unit: str | u.UnitBase | None = None,
    description: str | None = None,
) -> Any:
    """Build one table column under the rules of Starloom.

    Parameters
    ----------
    values : (n, ...) array of floats, integers, booleans or text.
    missing : (n, ...) True where a value is missing.
    unit : unit or its text.
    description : what the column holds.

    Returns
    -------
    Quantity, Column or MaskedColumn
        Floats have NaN where missing; integers, booleans and texts are masked where something is missing.
    """
    if missing is not None and not missing.any():
        missing = None
    values = np.asarray(values)
    if values.dtype.byteorder not in "=|":
        values = values.astype(values.dtype.newbyteorder("="))
    if values.dtype.kind in "fc" and missing is not None:
        values = np.where(missing, values.dtype.type(np.nan), values)
        missing = None
    parsed = parse_unit(unit)
    column: Any
    if parsed is None or isinstance(parsed, str) or values.dtype.kind not in "fciu":
        column = Column(values) if missing is None else MaskedColumn(values, mask=missing)
        if parsed is not None:
            column.info.meta = {UNRECOGNIZED: str(parsed)}
    else:
        column = u.Quantity(values, parsed, copy=False, subok=True, dtype=values.dtype)
        if missing is not None:
            column = Masked(column, mask=missing)
    if description:
        column.info.description = str(description)
    return column


def _flat(array: pa.Array, name: str) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Values and missing flags of one Arrow array without nesting."""
    import pyarrow.compute as pc

    kind = array.type
    if pa.types.is_dictionary(kind):
        array = array.dictionary_decode()
        kind = array.type
    if pa.types.is_null(kind):
        return np.full(len(array), np.nan), np.ones(len(array), dtype=bool)
    missing = np.asarray(array.is_null().to_numpy(zero_copy_only=False), dtype=bool)
    if pa.types.is_temporal(kind) and not pa.types.is_duration(kind):
        array = array.cast(pa.string())
        kind = array.type
    if pa.types.is_decimal(kind):
        array = array.cast(pa.float64())
        kind = array.type
    if pa.types.is_floating(kind):
        return np.array(array.to_numpy(zero_copy_only=False)), missing
    if pa.types.is_integer(kind):
        return np.array(pc.fill_null(array, 0).to_numpy(zero_copy_only=False)), missing
    if pa.types.is_boolean(kind):
        return np.array(pc.fill_null(array, False).to_numpy(zero_copy_only=False)), missing
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        array = array.cast(pa.large_binary()).cast(pa.large_string())
        kind = array.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or str(kind) == "string_view":
        filled = pc.fill_null(array.cast(pa.large_string()), "")
        values = np.array(filled.to_numpy(zero_copy_only=False).tolist(), dtype=np.str_)
        return (values if len(values) else np.zeros(0, dtype="U1")), missing
    raise CatalogError(f"column '{name}' holds {kind}, which is no table column; leave it out with columns=[...]")


def _values(array: pa.Array, name: str) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Values and missing flags of one Arrow array; lists become an array of more dimensions, short ones padded."""
    kind = array.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        return _flat(array, name)
    present = ~np.asarray(array.is_null().to_numpy(zero_copy_only=False), dtype=bool)
    if pa.types.is_fixed_size_list(kind):
        length = kind.list_size
    else:
        counts = np.asarray(array.value_lengths().fill_null(0).to_numpy(zero_copy_only=False))
        present &= counts > 0  # an empty list is no value (a Gaia source without BP has one)
        lengths = set(counts[present].tolist())
        if len(lengths) > 1:
            return _padded(array.filter(pa.array(present)), present, max(lengths), name)
        length = lengths.pop() if lengths else 0
    inner, inner_missing = _values(array.filter(pa.array(present)).flatten(), name)
    inner = inner.reshape(int(present.sum()), length, *inner.shape[1:])
    inner_missing = inner_missing.reshape(inner.shape)
    values = np.zeros((len(array), *inner.shape[1:]), dtype=inner.dtype)
    missing = np.ones(values.shape, dtype=bool)
    values[present], missing[present] = inner, inner_missing
    return values, missing


def _padded(lists: pa.Array, present: NDArray[np.bool_], length: int, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Lists of different lengths as one array, missing beyond the end of each."""
    counts = np.asarray(lists.value_lengths().to_numpy(zero_copy_only=False))
    inner, inner_missing = _values(lists.flatten(), name)
    if inner.ndim > 1 or len(present) * length > max(WIDEST, 20 * len(inner)):
        raise CatalogError(
            f"column '{name}' holds lists of very different lengths ({counts.min()} to {length}); take it out of the "
            "table, or leave it out with columns=[...]"
        )
    values = np.zeros((len(present), length), dtype=inner.dtype)
    missing = np.ones(values.shape, dtype=bool)
    rows = np.repeat(np.flatnonzero(present), counts)
    places = np.arange(len(inner)) - np.repeat(np.cumsum(counts) - counts, counts)
    values[rows, places], missing[rows, places] = inner, inner_missing
    return values, missing


def _units_from_astropy(metadata: dict[bytes, bytes]) -> dict[str, dict[str, str]]:
    """Units and descriptions that astropy wrote into its own block of Parquet metadata."""
    text = metadata.get(b"table_meta_yaml")
    if text is None:
        return {}
    from astropy.table.meta import get_header_from_yaml

    try:
        header = get_header_from_yaml(text.decode().split("\n"))
        return {entry["name"]: {key: str(value) for key, value in entry.items()} for entry in header["datatype"]}
    except Exception:  # the block only adds units; the data do not depend on it
        return {}


def from_arrow(source: pa.Table) -> QTable:
    """Turn an Arrow table into a QTable.

    Dictionaries are decoded, dates and times become ISO text, decimals become float64, lists of one length become
    columns of more dimensions. The index that pandas adds without a name is left out; the mask that astropy writes as a
    column of its own becomes a mask again.

    Raises
    ------
    CatalogError
        When a column holds something that no table column can hold, or two columns have one name.
    """
    names = [name for name in source.column_names if not re.fullmatch(r"__index_level_\d+__", name)]
    check_names(names)
    astropy_block = _units_from_astropy(source.schema.metadata or {})
    masks = {f"{name}.mask" for name in names} & set(names) if astropy_block else set()
    result = QTable()
    if (steps := (source.schema.metadata or {}).get(KEY.encode())) is not None:
        result.meta[KEY] = steps.decode(errors="replace")
    for name in names:
        if name in masks:
            continue
        field = source.schema.field(name)
        metadata = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
        metadata = {**astropy_block.get(name, {}), **metadata}
        chunks = source.column(name).combine_chunks()
        array = pa.concat_arrays(chunks.chunks) if isinstance(chunks, pa.ChunkedArray) else chunks
        try:
            values, missing = _values(array, name)
        except pa.ArrowException as error:
            raise CatalogError(f"column '{name}' ({field.type}) cannot be read: {error}") from error
        if f"{name}.mask" in masks:
            missing = missing | np.asarray(source.column(f"{name}.mask").to_numpy(), dtype=bool)
        result[name] = make_column(values, missing, metadata.get("unit"), metadata.get("description"))
    return result


def check_names(names: Sequence[object]) -> None:
    """Raise CatalogError for a column name that is no text, empty, or there twice."""
    for position, name in enumerate(names):
        if not isinstance(name, str):
            raise CatalogError(f"column {position + 1} has the name {name!r}, which is no text; rename it")
        if not name.strip():
            raise CatalogError(f"column {position + 1} has an empty name; give it one")
    twice = sorted({str(name) for name in names if list(names).count(name) > 1})
    if twice:
        raise CatalogError(f"more than one column has the name {', '.join(map(repr, twice))}; rename one of them")


def split_column(column: Any, name: str) -> tuple[NDArray[Any], NDArray[np.bool_] | None, str]:
    """Take a table column apart: plain values, where they are missing (None: nowhere), and the text of the unit."""
    if not isinstance(column, (Column, u.Quantity, np.ndarray)):
        kind = type(column).__name__
        raise CatalogError(
            f"column '{name}' is a {kind}, which no file holds; take it out, or give its parts as columns of numbers "
            "or text"
        )
    mask = getattr(column, "mask", None)
    missing = None if mask is None or not np.any(mask) else np.broadcast_to(np.asarray(mask), np.shape(column)).copy()
    bare = getattr(column, "unmasked", column)
    values = np.asarray(getattr(bare, "value", bare))
    if isinstance(column, MaskedColumn):
        values = np.asarray(column.data.data)
    info = getattr(column, "info", None)
    meta = getattr(info, "meta", None) or {}
    unit = getattr(column, "unit", None)
    return values, missing, str(unit) if unit is not None else str(meta.get(UNRECOGNIZED, ""))


def to_arrow(table: QTable) -> pa.Table:
    """Turn a QTable into an Arrow table, with units and descriptions in the metadata of the fields.

    The history of the table goes into the metadata of the whole (see ``starloom.catalog.provenance``).
    Missing integers, booleans and texts become nulls; NaN stays NaN.
    """
    arrays, fields = [], []
    for name in table.colnames:
        values, missing, unit = split_column(table[name], name)
        if values.dtype.byteorder not in "=|":
            values = values.astype(values.dtype.newbyteorder("="))
        if values.dtype.kind == "S":
            values = np.char.decode(values, "utf-8")
        try:
            array = pa.array(values.reshape(-1), mask=None if missing is None else missing.reshape(-1))
        except (pa.ArrowException, TypeError) as error:
            raise CatalogError(
                f"column '{name}' ({values.dtype}) cannot be written to Parquet ({error}); write another format, or "
                "take the column out of the table"
            ) from error
        for size in reversed(values.shape[1:]):
            array = pa.FixedSizeListArray.from_arrays(array, size)
        info = table[name].info
        metadata = {"unit": unit} if unit else {}
        if info.description:
            metadata["description"] = str(info.description)
        arrays.append(array)
        fields.append(pa.field(name, array.type, metadata=metadata or None))
    steps = {KEY: str(table.meta[KEY])} if KEY in table.meta else None
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields, metadata=steps))


def normal(table: Table) -> QTable:
    """Bring an astropy table under the rules of this module.

    Sky coordinates and times become plain columns (see ``starloom.catalog.sky_and_time_columns``); others that are not
    numbers or text stay as they are.
    """
    check_names(table.colnames)
    if not all(isinstance(column, (Column, np.ndarray)) for column in table.itercols()):
        from starloom.catalog.sky_and_time_columns import with_plain_columns

        table = with_plain_columns(table)
    result = QTable(meta=dict(table.meta))
    for name in table.colnames:
        column = table[name]
        if not isinstance(column, (Column, np.ndarray)):
            result[name] = column
            continue
        values, missing, unit = split_column(column, name)
        if values.dtype.kind == "O":
            try:
                inferred = from_arrow(pa.table({name: pa.array(values.tolist(), from_pandas=True)}))[name]
            except (pa.ArrowException, TypeError) as error:
                raise CatalogError(f"column '{name}' mixes kinds of values: {error}") from error
            values, more, _ = split_column(inferred, name)
            missing = more if missing is None else missing | (False if more is None else more)
        elif values.dtype.kind == "S":
            values = np.char.decode(values, "utf-8")
        result[name] = make_column(values, missing, unit or None, table[name].info.description)
    return result


def require_names(wanted: Sequence[str], present: Sequence[str], label: str) -> None:
    """Raise MissingColumnError, with the closest names, when a wanted column is not among those present."""
    absent = [name for name in wanted if name not in present]
    if absent:
        close = sorted({match for name in absent for match in difflib.get_close_matches(name, present, 3)})
        there = (
            f"closest names there: {', '.join(close)}" if close else f"columns there: {', '.join(present) or 'none'}"
        )
        raise MissingColumnError(f"{label} has no column {', '.join(map(repr, absent))}; {there}")


def with_masks(columns: Sequence[str], present: Sequence[str]) -> list[str]:
    """The columns wanted, and after them those that hold their masks in a Parquet file of astropy."""
    masks = [f"{name}.mask" for name in columns if f"{name}.mask" in present]
    return [*columns, *(name for name in masks if name not in columns)]
