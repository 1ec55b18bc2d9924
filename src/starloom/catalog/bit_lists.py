"""Kernels over rows of bytes: how many bits are set, and which."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def count_bits(flags: NDArray[np.uint8]) -> int:
    """Number of bits that are set in rows of bytes (n, width)."""
    total = 0
    for row in range(flags.shape[0]):
        for byte in range(flags.shape[1]):
            value = flags[row, byte]
            while value:
                value &= value - 1  # clears the lowest bit
                total += 1
    return total


@njit(cache=True, nogil=True)
def list_bits(flags: NDArray[np.uint8], rows: NDArray[np.int64], bits: NDArray[np.int64]) -> None:
    """Write the row and the bit of everything that is set into arrays of the right length."""
    place = 0
    for row in range(flags.shape[0]):
        for byte in range(flags.shape[1]):
            value = flags[row, byte]
            if value:
                for bit in range(8):
                    if (value >> bit) & 1:
                        rows[place] = row
                        bits[place] = byte * 8 + bit
                        place += 1
