"""The nearest cells of many galaxies: a matrix product in float32, then the exact choice among the few nearest.

With x the features and v their inverse variances (0 where missing),

    d^2 = sum v (x - w)^2 = sum v x^2 + [ (-2 v x, v) . (w, w^2) ]

so that all distances of a block of galaxies are one matrix product; without errors it is ``(-2 x, 1) . (w, |w|^2)``.
The product loses digits where d^2 is much smaller than its terms. So every cell whose float32 score is within the
rounding of the best one is scored again in float64 by its definition, and the choice does not depend on how the
product was computed, or on how many threads did it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array32 = NDArray[np.float32]
BLOCK = 128  # galaxies at once: with 11,250 cells the scores of a block are 5.8 MB
CHUNK = 64


@cache
def _kernel() -> Any:
    import numba

    flags = {"nnan", "nsz", "arcp", "reassoc"}  # no fused products: see ``map_kernels``

    @numba.njit(nogil=True, cache=True, fastmath=flags, error_model="numpy")
    def choose(
        scores: Any, values: Any, inverse: Any, cells: Any, slack: Any, skip: Any, nearest: Any, squared: Any
    ) -> None:
        """For each row of scores (b, k) the cell with the least exact distance, not ``skip``; lower index of equals."""
        count = scores.shape[1]
        chunks = (count + CHUNK - 1) // CHUNK
        lows = np.empty(chunks, dtype=scores.dtype)
        features = values.shape[1]
        for n in range(scores.shape[0]):
            row = scores[n]
            if skip[n] >= 0:
                row[skip[n]] = np.float32(3.0e38)
            for chunk in range(chunks):
                part = row[chunk * CHUNK : min((chunk + 1) * CHUNK, count)]
                low = part[0]
                for j in range(part.size):
                    low = min(low, part[j])
                lows[chunk] = low
            lowest = lows[0]
            for chunk in range(chunks):
                lowest = min(lowest, lows[chunk])
            limit = lowest + slack[n]
            best, found = np.inf, -1
            for chunk in range(chunks):
                if lows[chunk] > limit:
                    continue
                for cell in range(chunk * CHUNK, min((chunk + 1) * CHUNK, count)):
                    if row[cell] > limit or cell == skip[n]:
                        continue
                    distance = 0.0
                    for f in range(features):
                        apart = np.float64(values[n, f]) - np.float64(cells[cell, f])
                        distance += np.float64(inverse[n, f]) * apart * apart
                    if distance < best:
                        best, found = distance, cell
            nearest[n] = found
            squared[n] = best

    return choose


class NearestCells:
    """Finds the nearest cells of a map; made once for a map and used on any number of galaxies.

    Parameters
    ----------
    cells : (cells, features), the map in the features' scaled space.
    """

    def __init__(self, cells: NDArray[Any]) -> None:
        self.cells = np.ascontiguousarray(cells, dtype=np.float64)
        count, self.features = self.cells.shape
        # measured from the middle of the map, where the products cancel least
        self.middle = self.cells.mean(axis=0)
        moved = self.cells - self.middle
        self._moved = moved
        self._largest = float(np.abs(moved).max())
        self._plain = np.empty((self.features + 1, count), dtype=np.float32)
        self._plain[:-1], self._plain[-1] = moved.T, (moved**2).sum(axis=1)
        self._weighted: Array32 | None = None

    def _matrix(self, weighted: bool) -> Array32:
        if not weighted:
            return self._plain
        if self._weighted is None:
            self._weighted = np.concatenate([self._moved.T, self._moved.T**2]).astype(np.float32)
        return self._weighted

    def find(
        self, values: NDArray[Any], inverse: NDArray[Any] | None = None, *, workers: int = 1, second: bool = False
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64] | None]:
        """Nearest cell and squared distance of each galaxy, and the second nearest cell where asked for.

        Parameters
        ----------
        values : (n, features); what is missing has a finite stand-in and inverse 0.
        inverse : (n, features) inverse variances; None for 1 throughout.
        workers : threads. The result does not depend on their number.
        second : find the second nearest cell too.

        Returns
        -------
        nearest (n,), squared distance (n,), second nearest (n,) or None.
        """
        count = len(values)
        nearest, squared = np.empty(count, dtype=np.int64), np.empty(count)
        runner_up = np.empty(count, dtype=np.int64) if second else None
        buffers: list[Array32] = []

        def work(part: slice) -> None:
            try:
                buffer = buffers.pop()  # one a thread at work; popping is atomic
            except IndexError:
                buffer = np.empty((BLOCK, len(self.cells)), dtype=np.float32)
            block = None if inverse is None else inverse[part]
            self._block(values[part], block, buffer, nearest[part], squared[part])
            if runner_up is not None:
                unused = np.empty(part.stop - part.start)
                self._block(values[part], block, buffer, runner_up[part], unused, skip=nearest[part])
            buffers.append(buffer)

        blocks = _blocks(count)
        with one_blas_thread():
            for part in itertools.islice(blocks, 1 if workers > 1 else None):
                work(part)  # the first one here: compiling, or loading what was compiled, is no work for threads
            if workers > 1:
                with ThreadPoolExecutor(workers, thread_name_prefix="nearest-cells") as pool:
                    list(pool.map(work, blocks))
        return nearest, squared, runner_up

    def _block(
        self,
        values: NDArray[Any],
        inverse: NDArray[Any] | None,
        buffer: Array32,
        nearest: NDArray[np.int64],
        squared: NDArray[np.float64],
        skip: NDArray[np.int64] | None = None,
    ) -> None:
        moved = np.asarray(values, dtype=np.float64) - self.middle
        product = np.empty((len(moved), len(self._matrix(inverse is not None))), dtype=np.float32)
        if inverse is None:
            precise = np.ones_like(moved)
            product[:, :-1], product[:, -1] = -2.0 * moved, 1.0
        else:
            precise = np.asarray(inverse, dtype=np.float64)
            # a galaxy's own scale changes no order among the cells, and keeps the numbers within float32
            scale = np.maximum(precise.max(axis=1, keepdims=True), 1e-300)
            share = precise / scale
            product[:, : self.features], product[:, self.features :] = -2.0 * share * moved, share
        scores = buffer[: len(moved)]
        np.matmul(product, self._matrix(inverse is not None), out=scores)
        # the rounding of a sum of products of float32 numbers, each at most this large
        terms = np.abs(moved).max(axis=1) + self._largest
        slack = (8.0 * np.finfo(np.float32).eps * self.features * terms**2).astype(np.float32)
        none = np.full(len(moved), -1, dtype=np.int64) if skip is None else skip
        _kernel()(scores, moved, precise, self._moved, slack, none, nearest, squared)


def one_blas_thread() -> Any:
    """A block in which matrix products use one thread: the blocks of galaxies are spread over threads instead."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api="blas")


def _blocks(count: int) -> Iterator[slice]:
    return (slice(low, min(low + BLOCK, count)) for low in range(0, count, BLOCK))
