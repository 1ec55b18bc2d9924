"""The readers and writers of each file format; :mod:`starloom.catalog.tables` is the door to them."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from astropy import units as u
from astropy.table import Column, MaskedColumn, QTable, Table
from numpy.typing import NDArray

from starloom.catalog.arrow_tables import (
    check_names,
    from_arrow,
    normal,
    require_names,
    split_column,
    to_arrow,
    with_masks,
)
from starloom.catalog.column_values import is_number
from starloom.errors import CatalogError

Reader = Callable[[Path, Sequence[str] | None, int | str | None], QTable]
Writer = Callable[[QTable, Path], None]

FORMATS: Mapping[str, str] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".fits": "fits",
    ".fit": "fits",
    ".ecsv": "ecsv",
    ".vot": "votable",
    ".votable": "votable",
    ".xml": "votable",
    ".csv": "csv",
}
NAMES = {"parquet": "Parquet", "fits": "FITS", "ecsv": "ECSV", "votable": "VOTable", "csv": "CSV"}
CSV_MISSING = ["", "nan", "NaN", "NAN", "null", "NULL", "--", "N/A", "n/a", "#N/A", "None"]


def _read_parquet(path: Path, columns: Sequence[str] | None, hdu: int | str | None) -> QTable:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        check_names(names)
        if columns is not None:
            require_names(columns, names, str(path))
            wanted = with_masks(columns, names)
            return from_arrow(file.read(columns=wanted).select(wanted))
        return from_arrow(file.read())


def _read_csv(path: Path, columns: Sequence[str] | None, hdu: int | str | None) -> QTable:
    from pyarrow import csv

    opener: Callable[..., Any] = gzip.open if path.suffix.lower() == ".gz" else open
    with opener(path, "rb") as stream:
        if stream.read(9).startswith(b"# %ECSV"):  # the bulk files of the Gaia archive
            return _read_ecsv(path, columns, hdu)
    head, separator, names = _csv_head(path, opener)
    parse = csv.ParseOptions(delimiter=separator)
    convert = csv.ConvertOptions(null_values=CSV_MISSING, strings_can_be_null=True, quoted_strings_can_be_null=False)
    try:
        reading = csv.ReadOptions(skip_rows=head, column_names=names)
        table = csv.read_csv(path, read_options=reading, parse_options=parse, convert_options=convert)
    except pa.ArrowInvalid as error:
        if "conversion error" not in str(error):
            raise
        # the kinds of the columns are guessed on the first block; look at all rows before giving up
        size = (1 << 30) if path.suffix.lower() == ".gz" else path.stat().st_size
        whole = csv.ReadOptions(block_size=size, skip_rows=head, column_names=names)
        table = csv.read_csv(path, read_options=whole, parse_options=parse, convert_options=convert)
    table = table.rename_columns([name.strip() for name in table.column_names])
    if table.column_names[0] == "" and table.column(0).to_pylist() == list(range(len(table))):
        table = table.remove_column(0)  # the index that pandas writes without a name
    return from_arrow(table)


def _csv_head(path: Path, opener: Callable[..., Any]) -> tuple[int, str, list[str] | None]:
    """Remarks (lines with # at their beginning) before the table, what stands between values, names in a remark.

    ``numpy.savetxt`` writes the names as a remark: a last remark of as many words as the first line has numbers.
    """
    remarks, last = 0, ""
    with opener(path, "rt", encoding="utf-8-sig", errors="replace") as stream:
        for line in stream:
            if not line.startswith("#"):
                break
            remarks, last = remarks + 1, line[1:]
        else:
            return 0, ",", None
    others = {mark: line.count(mark) for mark in ";\t|"}
    mark = max(others, key=lambda one: others[one])
    separator = mark if "," not in line and others[mark] else ","
    words = [word.strip() for word in last.strip().split(separator)]
    fields = line.strip().split(separator)
    named = len(words) == len(fields) and all(words) and all(map(is_number, fields)) and not any(map(is_number, words))
    return remarks, separator, words if named else None


def _read_ecsv(path: Path, columns: Sequence[str] | None, hdu: int | str | None) -> QTable:
    return normal(_empty_is_missing(Table.read(path, format="ascii.ecsv", fill_values=[("", "0"), ("null", "0")])))


def _read_votable(path: Path, columns: Sequence[str] | None, hdu: int | str | None) -> QTable:
    from astropy.io.votable import parse

    document = parse(path, verify="ignore")
    return normal(_empty_is_missing(document.get_first_table().to_table(use_names_over_ids=True)))


def _read_fits(path: Path, columns: Sequence[str] | None, hdu: int | str | None) -> QTable:
    from astropy.io import fits

    with fits.open(path, memmap=False) as file:
        tables = [index for index, part in enumerate(file) if isinstance(part, (fits.BinTableHDU, fits.TableHDU))]
        if not tables:
            raise CatalogError("no extension of this FITS file holds a table")
        try:
            chosen = file[tables[0] if hdu is None else hdu]
        except (KeyError, IndexError) as error:
            known = ", ".join(f"{index} {file[index].name or '(no name)'}" for index in tables)
            raise CatalogError(f"there is no extension {hdu!r}; tables are in: {known}") from error
        if not isinstance(chosen, (fits.BinTableHDU, fits.TableHDU)):
            raise CatalogError(f"extension {hdu!r} holds no table; tables are in: {', '.join(map(str, tables))}")
        place = chosen.fileinfo()
        if not path.name.endswith(".gz") and place["datLoc"] + place["datSpan"] > path.stat().st_size:
            expected = place["datLoc"] + place["datSpan"]
            raise CatalogError(f"the file is truncated: {path.stat().st_size} bytes where {expected} are needed")
        check_names(chosen.columns.names)
        table = Table.read(chosen)
        raw = chosen.data.view(np.ndarray)
        for name in set(chosen.columns.names) & set(
            table.colnames
        ):  # astropy puts the parts of a sky coordinate together
            if table[name].dtype.kind == "b" and (undefined := raw[name] == 0).any():
                table[name] = MaskedColumn(table[name], mask=undefined)
        return normal(_empty_is_missing(table))


def _empty_is_missing(table: Table) -> Table:
    """Mask the empty texts of a format that does not tell them from missing ones."""
    for name in table.colnames:
        values = table[name]
        if (
            getattr(values, "dtype", np.dtype(float)).kind in "US"
            and (empty := np.asarray(values) == values.dtype.type()).any()
        ):
            mask = empty | (values.mask if hasattr(values, "mask") else False)
            table[name] = MaskedColumn(values, mask=mask)
    return table


def _write_parquet(table: QTable, path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(to_arrow(table), path, compression="zstd")


def _write_csv(table: QTable, path: Path) -> None:
    block = 100_000
    names = list(table.colnames)
    with open(path, "w", encoding="utf-8", newline="") as stream:
        stream.write(",".join(map(_quote, names)) + "\n")
        columns = [split_column(table[name], name)[:2] for name in names]
        for name, (values, _) in zip(names, columns, strict=True):
            if values.ndim > 1:
                raise CatalogError(
                    f"column '{name}' has {values.ndim} dimensions, and CSV holds one; write Parquet, or take the "
                    "column out of the table"
                )
        for start in range(0, len(table), block):
            rows = slice(start, start + block)
            fields = [_csv_fields(values[rows], None if gone is None else gone[rows]) for values, gone in columns]
            stream.writelines(",".join(row) + "\n" for row in zip(*fields, strict=True))


def _quote(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _csv_fields(values: NDArray[Any], missing: NDArray[np.bool_] | None) -> list[str]:
    """The fields of one column: all digits of a number, quoted text, nothing where missing."""
    if values.dtype.kind == "f":
        missing = np.isnan(values)
    texts: list[str] = values.astype(np.str_).tolist()
    if values.dtype.kind == "U":
        texts = [_quote(text) for text in texts]
    if missing is not None:
        for row in np.flatnonzero(missing):
            texts[row] = ""
    return texts


def _write_ecsv(table: QTable, path: Path) -> None:
    _plain(table).write(path, format="ascii.ecsv", overwrite=True)


def _write_votable(table: QTable, path: Path) -> None:
    _plain(table).write(path, format="votable", tabledata_format="binary2", overwrite=True)


def require_ascii(table: Table) -> None:
    """Raise CatalogError for a text that FITS cannot hold, naming its column and row."""
    for name in table.colnames:
        column = table[name]
        if column.dtype.kind != "U":
            continue
        width = int(np.prod(column.shape[1:]))  # of a row
        for place, text in enumerate(np.ma.filled(np.ma.asarray(column), "").reshape(-1).tolist()):
            if not text.isascii():
                where = f"column '{name}' has {text!r} in row {place // width}"
                raise CatalogError(f"FITS holds ASCII text only, and {where}; write Parquet or ECSV")


def _write_fits(table: QTable, path: Path) -> None:
    from astropy.io import fits

    lower = [name.lower() for name in table.colnames]
    if same := [name for name in table.colnames if lower.count(name.lower()) > 1]:
        names = " and ".join(map(repr, same))
        raise CatalogError(f"FITS does not tell small letters from capitals in the columns {names}; rename one")
    ready = _plain(table)
    require_ascii(ready)
    undefined: dict[str, NDArray[np.bool_]] = {}
    for column in ready.itercols():
        if column.dtype.kind == "b" and isinstance(column, MaskedColumn):
            undefined[column.name] = column.mask
        if column.unit is not None:
            try:
                column.unit.to_string("fits")
            except ValueError:  # not of the FITS standard: its text is kept all the same
                column.unit = u.UnrecognizedUnit(str(column.unit))
    ready.write(path, format="fits", overwrite=True)
    if undefined:  # the standard's zero byte for a logical that is neither true nor false, which astropy never writes
        with fits.open(path) as file:
            place, fields = file[1].fileinfo()["datLoc"], file[1].columns.dtype
        rows = np.memmap(path, dtype=fields, mode="r+", offset=place, shape=(len(table),))
        for name, mask in undefined.items():
            rows[name][mask] = 0
        rows.flush()


def _plain(table: QTable) -> Table:
    """The same table with Column and MaskedColumn in place of quantities, and empty text where text is missing."""
    result = Table(meta=dict(table.meta))
    for name in table.colnames:
        values, missing, unit = split_column(table[name], name)
        if missing is not None and values.dtype.kind == "U":
            values, missing = np.where(missing, "", values), None
        column = Column(values) if missing is None else MaskedColumn(values, mask=missing)
        column.unit = unit or None
        column.description = table[name].info.description
        result[name] = column
    return result


WRITERS: Mapping[str, Writer] = {
    "parquet": _write_parquet,
    "csv": _write_csv,
    "ecsv": _write_ecsv,
    "votable": _write_votable,
    "fits": _write_fits,
}

READERS: Mapping[str, Reader] = {
    "parquet": _read_parquet,
    "csv": _read_csv,
    "ecsv": _read_ecsv,
    "votable": _read_votable,
    "fits": _read_fits,
}
