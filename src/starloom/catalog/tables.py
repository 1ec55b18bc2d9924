"""Read and write tables: FITS, Parquet, ECSV, VOTable, CSV, and frames already in memory.

Whatever comes in, a QTable goes out, under the same rules: a missing float is NaN; a missing integer, boolean or text
is masked; integers stay integers (a source id never passes through a float); units are kept where the format has them.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from astropy.table import QTable, Table

from starloom.catalog.arrow_tables import check_names, from_arrow, normal, require_names
from starloom.catalog.file_formats import FORMATS, NAMES, READERS, WRITERS, require_ascii
from starloom.errors import CatalogError
from starloom.files import atomic_path

_OTHERWISE = "write another format, or take the column out of the table"


def format_of(path: str | Path) -> str:
    """Format of a file by its suffix; ``.gz`` after the suffix is allowed.

    Raises
    ------
    CatalogError
        When the suffix is none of the known ones.
    """
    path = Path(path)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    suffix = suffixes[-2] if len(suffixes) > 1 and suffixes[-1] == ".gz" else (suffixes[-1] if suffixes else "")
    if suffix not in FORMATS:
        known = ", ".join(FORMATS)
        raise CatalogError(f"{path}: unknown kind of table '{suffix or path.name}'; the known suffixes are {known}")
    return FORMATS[suffix]


def read_table(
    source: Any, *, columns: Sequence[str] | None = None, hdu: int | str | None = None, label: str = ""
) -> QTable:
    """Read a table from a file, or take one that is in memory.

    Parameters
    ----------
    source : path of a FITS, Parquet, ECSV, VOTable or CSV file (``.gz`` too), or an astropy table, a pandas or Polars
        frame, an Arrow table, or a mapping of column names to arrays of one length. It is not changed.
    columns : names of the columns wanted, in this order; all of them by default.
    hdu : number or name of the FITS extension; by default the first one that holds a table.
    label : what to call a table in memory in messages.

    Returns
    -------
    QTable
        Floats have NaN where a value is missing; integers, booleans and texts are masked there. A column with a unit
        is a Quantity. A unit that astropy does not know is kept as text in ``column.info.meta``. Dates and times of
        Parquet and CSV files are ISO text.

    Raises
    ------
    CatalogError
        When the file is absent, empty, corrupt, or of an unknown kind, or the column names are unusable.
    MissingColumnError
        When a column asked for is not there.

    Examples
    --------
    >>> read_table({"source_id": [4611686018427387905, 2], "ra": [150.0, float("nan")]})["source_id"][0]
    np.int64(4611686018427387905)
    """
    if isinstance(source, (str, Path)):
        return _read_file(Path(source), columns, hdu)
    label = label or "the table"
    if hdu is not None:
        raise CatalogError(f"{label}: hdu={hdu!r} is for FITS files, and this table is in memory")
    try:
        table = _from_memory(source)
    except CatalogError as error:
        raise type(error)(f"{label}: {error}") from error
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise CatalogError(f"{label} cannot be used as a table: {error}") from error
    return _select(table, columns, label)


def _from_memory(source: Any) -> QTable:
    module = type(source).__module__.partition(".")[0]
    if isinstance(source, Table):
        return normal(source)
    if isinstance(source, pa.Table):
        return from_arrow(source)
    if isinstance(source, pa.RecordBatch):
        return from_arrow(pa.Table.from_batches([source]))
    if module == "pandas" and hasattr(source, "columns"):
        check_names(list(source.columns))
        return from_arrow(pa.Table.from_pandas(source))
    if module == "polars" and hasattr(source, "collect"):
        source = source.collect()
    if module == "polars" and hasattr(source, "columns"):
        return from_arrow(source.to_arrow())
    if isinstance(source, np.ndarray) and source.dtype.names:
        return normal(Table(source))
    if isinstance(source, Mapping):
        return _from_mapping(source)
    kinds = "a path, an astropy table, a pandas or Polars frame, an Arrow table, or a mapping of names to arrays"
    raise CatalogError(f"a {type(source).__name__} is no table; give {kinds}")


def _from_mapping(source: Mapping[str, Any]) -> QTable:
    check_names(list(source))
    table = Table()
    first = ""
    for name, values in source.items():
        column = values if hasattr(values, "dtype") else np.asarray(values)
        if np.ndim(column) == 0:
            raise CatalogError(f"column '{name}' is one value; give an array")
        first = first or name
        if table.colnames and len(column) != len(table):
            lengths = f"{len(column)} rows and column '{first}' has {len(table)}"
            raise CatalogError(f"column '{name}' has {lengths}; all columns need the same length")
        table[name] = column
    return normal(table)


def _select(table: QTable, columns: Sequence[str] | None, label: str) -> QTable:
    if columns is None:
        return table
    require_names(columns, table.colnames, label)
    return table[list(columns)]


def _read_file(path: Path, columns: Sequence[str] | None, hdu: int | str | None) -> QTable:
    if path.is_dir():
        raise CatalogError(f"{path} is a folder; give one file, or read a folder of Parquet files part by part")
    if not path.exists():
        raise CatalogError(f"{path} does not exist; check the path")
    kind = format_of(path)
    if hdu is not None and kind != "fits":
        raise CatalogError(f"{path}: hdu={hdu!r} is for FITS files, and this one is {NAMES[kind]}")
    try:
        if path.stat().st_size == 0:
            raise CatalogError(f"{path} is empty (0 bytes); get or write it again")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks of the readers on headers and units; failures still raise
            table = READERS[kind](path, columns, hdu)
    except CatalogError as error:
        raise error if str(path) in str(error) else type(error)(f"{path}: {error}") from error
    except PermissionError as error:
        raise CatalogError(f"{path} cannot be read: no permission") from error
    except Exception as error:  # the readers raise anything on a corrupt file
        remark = " ".join(str(error).split())[:300] or type(error).__name__
        raise CatalogError(
            f"{path} cannot be read as {NAMES[kind]}: {remark}; it may be truncated or corrupt, or of another format"
        ) from error
    return _select(table, columns, str(path))


def write_table(table: Any, path: str | Path) -> Path:
    """Write a table to Parquet, FITS, ECSV, VOTable or CSV, by the suffix of the path; whole or not at all.

    Values, units, int64 ids, texts, booleans and missing values come back from :func:`read_table`, except what a
    format cannot hold: CSV has no units, and FITS, ECSV and VOTable do not tell an empty text from a missing one (it
    is read as missing).

    Parameters
    ----------
    table : anything that :func:`read_table` takes from memory.
    path : the file to write; its suffix names the format.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    CatalogError
        When the suffix is unknown or the table cannot be written in that format.
    OutputError
        When the disk is full or the folder cannot be written; a file that was there is untouched.
    """
    path = Path(path)
    kind = written_format(path)
    ready = read_table(table, label=f"the table for {path.name}")
    with atomic_path(path) as temporary:
        try:
            _write(kind, ready, temporary)
        except CatalogError as error:
            raise CatalogError(f"the table cannot be written to {path}: {error}") from error
    return path


def require_writable(table: QTable, path: str | Path) -> None:
    """Say before the work what :func:`write_table` would say after it: that a format cannot hold a column.

    The first row is written for trial, and of a table for FITS all text is looked at.

    Parameters
    ----------
    table : from :func:`read_table`; nothing is said of one without rows.
    path : the file that will be written; its suffix names the format.

    Raises
    ------
    CatalogError
        Naming the column, the format, and what to do.
    """
    path = Path(path)
    kind = written_format(path)
    if len(table) == 0:
        return
    try:
        with tempfile.TemporaryDirectory() as folder:
            _write(kind, table[:1], Path(folder) / "trial")
        if kind == "fits":
            require_ascii(table)
    except CatalogError as error:
        raise CatalogError(f"the result could not be written to {path}: {error}") from error


def written_format(path: Path) -> str:
    """Format of a file to be written, by its suffix; CatalogError for compressed ones, which are read only."""
    kind = format_of(path)
    if path.suffix.lower() == ".gz":
        raise CatalogError(f"{path}: compressed tables are read, not written; write Parquet, which is compressed")
    return kind


def _write(kind: str, table: QTable, path: Path) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on units outside a format's standard, which are read back
            WRITERS[kind](table, path)
    except CatalogError:
        raise
    except (ArithmeticError, AttributeError, TypeError, ValueError, pa.ArrowException) as error:  # of astropy's writers
        culprit = _unwritable(kind, table)
        remark = " ".join(str(error).split())[:300]
        raise CatalogError(f"{culprit}{NAMES[kind]} cannot hold it ({remark}); {_OTHERWISE}") from error


def _unwritable(kind: str, table: QTable) -> str:
    """The first column that cannot be written alone, as the beginning of a message."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in table.colnames:
            try:
                WRITERS[kind](table[[name]][:1], Path(folder) / "trial")
            except (CatalogError, ArithmeticError, AttributeError, TypeError, ValueError, pa.ArrowException):
                kinds = " x ".join(map(str, (table[name].dtype, *np.shape(table[name])[1:])))
                return f"column '{name}' is {kinds}, and "
    return ""
