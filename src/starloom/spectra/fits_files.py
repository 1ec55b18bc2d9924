"""FITS files of spectra, opened so that a damaged one is told in one sentence."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from starloom.errors import CatalogError

if TYPE_CHECKING:
    from astropy.table import QTable

Header = Mapping[str, Any]


@contextlib.contextmanager
def open_fits(path: str | Path) -> Iterator[Any]:
    """Open a FITS file (``.gz`` too) for reading; what goes wrong inside the block becomes one CatalogError.

    Raises
    ------
    CatalogError
        When the file is absent, empty, truncated, corrupt, or no FITS file.
    """
    from astropy.io import fits
    from astropy.io.fits.verify import VerifyError

    path = Path(path)
    if not path.exists():
        raise CatalogError(f"{path} does not exist; check the path")
    if path.is_dir():
        raise CatalogError(f"{path} is a folder; give one FITS file")
    if path.stat().st_size == 0:
        raise CatalogError(f"{path} is empty (0 bytes); get it again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on headers; a truncated file is found below
            # a file opened here is closed here: astropy leaves it open when a damaged header stops it
            with open(path, "rb") as stream, fits.open(stream, memmap=False, lazy_load_hdus=False) as file:
                _require_whole(file, path)
                yield file
    except CatalogError as error:
        raise error if str(path) in str(error) else type(error)(f"{path}: {error}") from error
    except (OSError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError, VerifyError) as error:
        remark = " ".join(str(error).split())[:200] or type(error).__name__
        raise CatalogError(
            f"{path} cannot be read as a FITS file of spectra: {remark}; it may be truncated or corrupt, get it again"
        ) from error


def _require_whole(file: Any, path: Path) -> None:
    if path.name.endswith(".gz"):
        return  # the last block is read when it is unpacked, and unpacking a truncated file fails
    size, end = path.stat().st_size, 0
    for part in file:
        place = part.fileinfo()
        end = place["datLoc"] + place["datSpan"]
        if end > size:
            raise CatalogError(f"the file is truncated: {size} bytes where {end} are needed; get it again")
    with open(path, "rb") as stream:  # an extension whose header is cut off is not even seen
        stream.seek(end)
        if stream.read(8) == b"XTENSION":
            raise CatalogError(f"the file is truncated inside the header of extension {len(file)}; get it again")


def floats(values: Any) -> NDArray[np.float64]:
    """Numbers as native float64; those of a narrower or byte-swapped array keep their value to the bit."""
    return np.asarray(values).astype(np.float64)


def integers(values: Any) -> NDArray[np.int64]:
    """Bits as native int64; unsigned 64-bit ones keep their bits."""
    array = np.asarray(values)
    if array.dtype.kind not in "iub":
        raise CatalogError(f"a mask of bits holds {array.dtype}, not integers")
    return array.astype(array.dtype.newbyteorder("=")).astype(np.int64)


def header_of(part: Any) -> dict[str, Any]:
    """The cards of a header, without comments and history; an undefined value is left out."""
    from astropy.io.fits.card import Undefined

    skipped = ("COMMENT", "HISTORY", "")
    return {
        name: value
        for name, value in part.header.items()
        if name not in skipped and not isinstance(value, Undefined) and value is not None
    }


def columns_of(part: Any) -> dict[str, str]:
    """Columns of a table in a FITS file: name in small letters -> name as written (SDSS writes both)."""
    found = getattr(part, "columns", None)
    return {} if found is None else {name.lower(): name for name in found.names}


def column(part: Any, name: str, what: str = "") -> Any:
    """The values of a column, whatever its capitals.

    Raises
    ------
    CatalogError
        When the extension has no such column; the message lists those it has.
    """
    known = columns_of(part)
    if name.lower() not in known:
        have = ", ".join(known) or "no table"
        label = part.name or "without a name"
        raise CatalogError(f"the extension {label} has no column {name!r}{what and ' for ' + what}; it has: {have}")
    return part.data[known[name.lower()]]


class Tables(Mapping[str, "QTable"]):
    """The tables of a file, each made when it is first asked for: most readers want the spectrum alone."""

    def __init__(self, parts: Mapping[str, Any]) -> None:
        for part in parts.values():
            part.data  # noqa: B018 - read before the file is closed
        self._parts = dict(parts)
        self._made: dict[str, QTable] = {}

    def __getitem__(self, name: str) -> QTable:
        if name not in self._made:
            self._made[name] = table_of(self._parts[name])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)


def first_row(part: Any, names: Iterable[str]) -> dict[str, Any]:
    """Values of the first row of a table in some columns (small letters), those that it has."""
    if part is None or part.data is None or len(part.data) == 0:
        return {}
    known = columns_of(part)
    return {name: part.data[known[name]][0] for name in names if name in known}


def table_of(part: Any) -> QTable:
    """A table of the file under the rules of :mod:`starloom.catalog.tables`; ids stay integers."""
    from astropy.table import Table

    from starloom.catalog.arrow_tables import normal

    return normal(Table.read(part))
