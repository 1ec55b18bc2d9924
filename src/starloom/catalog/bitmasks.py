"""Bits with names: the integer flags of a survey, and flags packed into rows of bytes.

A :class:`BitNames` knows the names of one set of bits; several sets live side by side. Integers of up to 64 bits are
decoded as they are, longer sets are rows of bytes, little end first: bit b is byte b // 8, mask 1 << (b % 8).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import CatalogError, ConfigError

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class BitNames:
    """Names of bits.

    Parameters
    ----------
    name : what the set is called.
    names : bit -> name.
    source : where it is documented.

    Examples
    --------
    >>> STARFLAG.decode([4, 0])
    [('BRIGHT_NEIGHBOR',), ()]
    >>> int(STARFLAG.encode(["BRIGHT_NEIGHBOR", "LOW_SNR"]))
    20
    """

    name: str
    names: Mapping[int, str]
    source: str = ""

    @cached_property
    def _bits(self) -> dict[str, int]:
        return {name: bit for bit, name in self.names.items()}

    def bit(self, name: str) -> int:
        """The bit of a name.

        Raises
        ------
        ConfigError
            For an unknown name, with the closest known one.
        """
        if name not in self._bits:
            close = difflib.get_close_matches(name, self._bits, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ConfigError(f"{self.name} has no bit {name!r}{hint}")
        return self._bits[name]

    def encode(self, names: Iterable[str]) -> np.uint64:
        """An integer with the bits of some names set."""
        value = 0
        for name in names:
            value |= 1 << self.bit(name)
        return np.uint64(value)

    def is_set(self, flags: ArrayLike, *names: str) -> NDArray[np.bool_]:
        """Whether any of some bits is set in each of an array of integers, of any shape."""
        return np.asarray((as_unsigned(flags) & self.encode(names)) != 0)

    def decode(self, flags: ArrayLike) -> list[tuple[str, ...]]:
        """The names of the bits set in each integer of a list (n,); a bit without a name is called ``bit N``."""
        values = np.atleast_1d(as_unsigned(flags))
        return [tuple(self.names.get(bit, f"bit {bit}") for bit in _ones(int(value))) for value in values]


def as_unsigned(flags: ArrayLike) -> NDArray[np.uint64]:
    """Integers as 64 unsigned bits: a negative 32-bit or 64-bit one keeps its bits.

    Raises
    ------
    CatalogError
        For floats and texts: a float of more than 53 bits has lost some.
    """
    values = np.asarray(flags)
    if values.dtype.kind not in "iub":
        raise CatalogError(
            f"flags are integers, not {values.dtype}; read the column again without conversion to floats"
        )
    if values.dtype.kind == "i":
        values = values.view(f"u{values.dtype.itemsize}") if values.dtype.isnative else values.astype(np.int64)
    return values.astype(np.uint64)


def _ones(value: int) -> list[int]:
    return [bit for bit in range(value.bit_length()) if value >> bit & 1]


# ------------------------------------------------------------------------------------------------------ rows of bytes


def packed(flags: Any) -> Bytes:
    """Flags in any of the shapes they come in, as rows of bytes (n, width).

    Parameters
    ----------
    flags : an (n, width) array of uint8, as in FITS files; one row of it; a list of rows of different length (filled up
        with zeros); bytes; texts of hexadecimal digits; fixed-length byte strings; None or a masked row for no flags.

    Raises
    ------
    CatalogError
        When a text is not hexadecimal, values are not bytes, or the shape is another.

    Examples
    --------
    >>> packed([b"\\x02", "0104", None]).tolist()
    [[2, 0], [1, 4], [0, 0]]
    """
    if isinstance(flags, np.ma.MaskedArray):
        flags = flags.filled(0)
    if isinstance(flags, bytes | bytearray | str):
        flags = [flags]
    if not isinstance(flags, np.ndarray):
        flags = _listed(flags)
    array = np.asarray(flags)
    if array.dtype.kind == "S":
        width = max(array.dtype.itemsize, 1)
        return np.ascontiguousarray(np.atleast_1d(array)).view(np.uint8).reshape(-1, width)
    if array.dtype.kind in "UO":
        return _listed(array.tolist())
    if array.dtype.kind not in "iub" or array.ndim not in (1, 2):
        raise CatalogError(f"flags are rows of bytes (n, width), not {array.dtype} of shape {array.shape}")
    if array.dtype.kind != "b" and array.dtype.itemsize > 1 and array.size and (array.min() < 0 or array.max() > 255):
        raise CatalogError(f"flags are bytes of 0 to 255, not {array.dtype} up to {array.max()}; give rows of bytes")
    if array.dtype == np.int8:
        array = array.view(np.uint8)
    return np.atleast_2d(array.astype(np.uint8, copy=False))


def _listed(rows: Iterable[Any]) -> Bytes:
    given = list(rows)
    if given and all(isinstance(value, int | np.integer) for value in given):
        return packed(np.asarray(given))
    lines = [_line(row, place) for place, row in enumerate(given)]
    result = np.zeros((len(lines), max((len(line) for line in lines), default=0)), dtype=np.uint8)
    for place, line in enumerate(lines):
        result[place, : len(line)] = line
    return result


def _line(row: Any, place: int) -> Bytes:
    if row is None or row is np.ma.masked:
        return np.zeros(0, dtype=np.uint8)
    if isinstance(row, str):
        try:
            row = bytes.fromhex(row)
        except ValueError as error:
            raise CatalogError(f"row {place}: {row[:20]!r} is no text of hexadecimal digits") from error
    if isinstance(row, bytes | bytearray):
        return np.frombuffer(bytes(row), dtype=np.uint8)
    try:
        return packed(np.asarray(row))[0] if len(row) else np.zeros(0, dtype=np.uint8)
    except (TypeError, ValueError) as error:
        raise CatalogError(f"row {place}: {row!r} is no row of bytes") from error


def bit_set(flags: Bytes, bits: Sequence[int] | NDArray[np.int64] | int) -> NDArray[np.bool_]:
    """Whether any of some bits is set in each row (n,); only the bytes that hold them are read.

    Beyond a row is unset.
    """
    mask: dict[int, int] = {}
    for bit in [bits] if isinstance(bits, int | np.integer) else bits:
        mask[int(bit) // 8] = mask.get(int(bit) // 8, 0) | 1 << (int(bit) % 8)
    result = np.zeros(len(flags), dtype=bool)
    for byte, value in mask.items():
        if byte < flags.shape[1]:
            result |= (flags[:, byte] & value) != 0
    return result


def set_bits(flags: Bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows and the bits of everything that is set, in order of the rows, then of the bits.

    Examples
    --------
    >>> [part.tolist() for part in set_bits(packed(["0180", "00", "03"]))]
    [[0, 0, 2, 2], [0, 15, 0, 1]]
    """
    from starloom.catalog.bit_lists import count_bits, list_bits

    flat = np.ascontiguousarray(flags).reshape(-1)
    whole = len(flat) // 8 * 8
    words = flat[:whole].view(np.uint64)
    total = count_bits(words, flat[whole:])
    rows, bits = np.empty(total, dtype=np.int64), np.empty(total, dtype=np.int64)
    list_bits(flat, words, flags.shape[1], rows, bits)
    return rows, bits


def pack_bits(rows: ArrayLike, bits: ArrayLike, count: int, width: int) -> Bytes:
    """Rows of bytes (count, width) with some bits set: the contrary of :func:`set_bits`.

    Raises
    ------
    CatalogError
        When a row or bit is outside.
    """
    row, bit = np.asarray(rows, dtype=np.int64), np.asarray(bits, dtype=np.int64)
    if row.size and (row.min() < 0 or row.max() >= count or bit.min() < 0 or bit.max() >= width * 8):
        raise CatalogError(f"bits must be inside {count} rows of {width} bytes")
    result = np.zeros((count, width), dtype=np.uint8)
    np.bitwise_or.at(result, (row, bit // 8), (1 << (bit % 8)).astype(np.uint8))
    return result


# ---------------------------------------------------------------------------------------------------------- APOGEE DR17


_PERSISTENCE = ("PERSIST_HIGH", "PERSIST_MED", "PERSIST_LOW", "PERSIST_JUMP_POS", "PERSIST_JUMP_NEG")
_PARAMETERS = ("TEFF", "LOGG", "VMICRO", "M_H", "ALPHA_M", "C_M", "N_M", "STAR", "CHI2", "COLORTE", "ROTATION", "SN",
               "SPEC_HOLE", "ATMOS_HOLE", "VSINI")  # fmt: skip

STARFLAG = BitNames(
    "STARFLAG",
    {
        **dict(enumerate(("BAD_PIXELS", "COMMISSIONING", "BRIGHT_NEIGHBOR", "VERY_BRIGHT_NEIGHBOR", "LOW_SNR"))),
        **dict(enumerate(_PERSISTENCE, start=9)),
        **dict(enumerate(("SUSPECT_RV_COMBINATION", "SUSPECT_BROAD_LINES", "BAD_RV_COMBINATION"), start=16)),
        **dict(enumerate(("RV_REJECT", "RV_SUSPECT", "MULTIPLE_SUSPECT", "RV_FAIL", "SUSPECT_ROTATION"), start=19)),
        **dict(enumerate(("MTPFLUX_LT_75", "MTPFLUX_LT_50"), start=24)),
    },
    "APOGEE DR17, APOGEE_STARFLAG",
)
"""Flags of a star's combined spectrum in APOGEE."""

ASPCAPFLAG = BitNames(
    "ASPCAPFLAG",
    {
        **{bit: f"{name}_WARN" for bit, name in enumerate(_PARAMETERS)},
        **{bit: f"{name}_BAD" for bit, name in enumerate(_PARAMETERS, start=16)},
        31: "NO_ASPCAP_RESULT",
        41: "MULTIPLE_SUSPECT",
    },
    "APOGEE DR17, APOGEE_ASPCAPFLAG; of the bits above 31 only one has a name here",
)
"""Flags of a star's parameters in APOGEE."""
