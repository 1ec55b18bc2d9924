"""Kernels over rows of bytes: how many bits are set, and which. Eight bytes without a bit are passed over at once."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def count_bits(words: NDArray[np.uint64], rest: NDArray[np.uint8]) -> int:
    """Number of bits that are set in whole words and in the bytes left over."""
    total = 0
    for place in range(len(words)):
        value = words[place]
        while value:
            value &= value - np.uint64(1)  # clears the lowest bit
            total += 1
    for place in range(len(rest)):
        byte = rest[place]
        while byte:
            byte &= byte - np.uint8(1)
            total += 1
    return total


@njit(cache=True, nogil=True)
def list_bits(
    flags: NDArray[np.uint8],
    words: NDArray[np.uint64],
    width: int,
    rows: NDArray[np.int64],
    bits: NDArray[np.int64],
) -> None:
    """Write the row and the bit of everything that is set in flattened rows of ``width`` bytes."""
    place = 0
    row = 0
    start = 0  # first byte of the row
    blocks = len(words)
    for block in range(blocks + 1):
        if block < blocks:
            if words[block] == 0:
                continue
            end = block * 8 + 8
        else:
            end = len(flags)
        for index in range(block * 8, end):
            value = flags[index]
            if value:
                while index >= start + width:
                    row += 1
                    start += width
                for bit in range(8):
                    if (value >> bit) & 1:
                        rows[place] = row
                        bits[place] = (index - start) * 8 + bit
                        place += 1
