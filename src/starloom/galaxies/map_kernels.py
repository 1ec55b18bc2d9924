"""Compiled loops of the map: online training and the exact choice among the nearest cells.

They hold no lock, so that plain threads can run them side by side on blocks of rows. Inner loops run over slices of
contiguous columns, which the compiler turns into vector instructions.
"""

from __future__ import annotations

from functools import cache
from typing import Any

CHUNK = 64  # cells looked over at once for candidates


@cache
def online() -> Any:
    """The loop of online training, for float32 and float64 arrays."""
    import numba
    import numpy as np

    # no reordering of sums: the loop is to equal its definition; no fused products: a kernel just compiled
    # and one from the cache may fuse others, as those of orbits did
    flags = {"nnan", "ninf", "nsz", "arcp"}

    @numba.njit(nogil=True, cache=True, fastmath=flags, error_model="numpy")
    def fill(out: Any, size: int, shift: float, spacing: float, width: float, torus: bool, center: int) -> None:
        """Kernel exp(-d^2 / width^2) along one axis, around ``center``."""
        for place in range(size):
            apart = place - center + shift
            if torus:
                apart = (apart + 0.5 * size) % size - 0.5 * size
            apart = apart * spacing / width
            out[place] = np.exp(-apart * apart)

    @numba.njit(nogil=True, cache=True, fastmath=flags, error_model="numpy")
    def train(
        values: Any,
        inverse: Any,
        order: Any,
        rates: Any,
        widths: Any,
        cells: Any,
        nearest: Any,
        torus: bool,
        hexagonal: bool,
        row_height: float,
        least: float,
    ) -> None:
        """Go through ``order``; ``cells`` (features, rows, columns) is changed in place, ``nearest`` filled.

        ``values`` and ``inverse`` (n, features): the galaxies and the inverse variances, 0 where a value is missing:
        such a feature counts neither in the distance nor in the update.
        """
        features, rows, columns = cells.shape
        flat = cells.reshape(features, rows * columns)
        score = np.empty(rows * columns, dtype=cells.dtype)
        lanes = np.empty(64, dtype=cells.dtype)
        along_row = np.empty((3, columns), dtype=cells.dtype)
        along_column = np.empty(rows, dtype=cells.dtype)
        step_sizes = np.empty(columns, dtype=cells.dtype)
        for step in range(order.size):
            x, v = values[order[step]], inverse[order[step]]
            best = _search(flat, x, v, score, lanes)
            nearest[step] = best
            rate, width = rates[step], widths[step]
            if rate <= least:
                continue
            reach = width * np.sqrt(np.log(rate / least))
            row, column = best // columns, best % columns
            fill(along_column, rows, 0.0, row_height, width, torus, row)
            fill(along_row[0], columns, 0.0, 1.0, width, torus, column)
            if hexagonal:
                fill(along_row[1], columns, 0.5, 1.0, width, torus, column)
                fill(along_row[2], columns, -0.5, 1.0, width, torus, column)
            lowest = max(1.0 - 1e-7, 0.0) * least / rate
            span = int(reach) + 2
            low, high = column - span, column + span + 1
            if (not torus) or high - low >= columns:
                if torus:
                    low, high = 0, columns
                low, high = max(low, 0), min(high, columns)
            for r in range(rows):
                factor = along_column[r]
                if factor < lowest:
                    continue
                which = 0
                if hexagonal and (r - row) % 2 != 0:
                    which = 1 if r % 2 == 1 else 2
                kernel = along_row[which]
                first, last, wrapped = low, high, 0
                if low < 0:
                    first, last, wrapped = low + columns, columns, high
                elif high > columns:
                    first, last, wrapped = low, columns, high - columns
                _move(cells, r, first, last, x, v, kernel, factor * rate, least, step_sizes)
                if wrapped > 0:
                    _move(cells, r, 0, wrapped, x, v, kernel, factor * rate, least, step_sizes)

    @numba.njit(nogil=True, cache=True, fastmath=flags, error_model="numpy")
    def _move(
        cells: Any, r: int, first: int, last: int, x: Any, v: Any, kernel: Any, rate: Any, least: float, sizes: Any
    ) -> None:
        """Move cells ``first`` to ``last`` of row r towards x."""
        part = kernel[first:last]
        size = sizes[: part.size]
        for c in range(part.size):
            share = rate * part[c]
            size[c] = share if share >= least else 0.0
        for f in range(cells.shape[0]):
            if v[f] > 0.0:
                row = cells[f, r, first:last]
                value = x[f]
                for c in range(part.size):
                    row[c] += size[c] * (value - row[c])

    @numba.njit(nogil=True, cache=True, fastmath=flags, error_model="numpy")
    def _search(flat: Any, x: Any, v: Any, score: Any, lanes: Any) -> int:
        """Index of the cell with the least sum of inverse * (x - cell)^2; the first one of equals."""
        features, count = flat.shape
        score[:] = 0.0
        f = 0
        while f + 4 <= features:
            c0, c1, c2, c3 = flat[f], flat[f + 1], flat[f + 2], flat[f + 3]
            x0, x1, x2, x3 = x[f], x[f + 1], x[f + 2], x[f + 3]
            v0, v1, v2, v3 = v[f], v[f + 1], v[f + 2], v[f + 3]
            for j in range(count):
                d0, d1, d2, d3 = x0 - c0[j], x1 - c1[j], x2 - c2[j], x3 - c3[j]
                score[j] += v0 * d0 * d0 + v1 * d1 * d1 + v2 * d2 * d2 + v3 * d3 * d3
            f += 4
        while f < features:
            c0, x0, v0 = flat[f], x[f], v[f]
            for j in range(count):
                d0 = x0 - c0[j]
                score[j] += v0 * d0 * d0
            f += 1
        return _first_least(score, lanes)

    @numba.njit(nogil=True, cache=True, fastmath=flags, error_model="numpy")
    def _first_least(score: Any, lanes: Any) -> int:
        """Index of the least value; ``lanes`` keeps running minima side by side, which the compiler vectorizes."""
        count, width = score.size, lanes.size
        lanes[:] = score[0]
        whole = count // width
        for block in range(whole):
            part = score[block * width : (block + 1) * width]
            for lane in range(width):
                lanes[lane] = min(lanes[lane], part[lane])
        lowest = lanes[0]
        for lane in range(width):
            lowest = min(lowest, lanes[lane])
        for j in range(whole * width, count):
            lowest = min(lowest, score[j])
        for j in range(count):
            if score[j] == lowest:
                return j
        return 0

    return train
