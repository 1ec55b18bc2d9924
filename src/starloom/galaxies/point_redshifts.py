"""A redshift for each galaxy from the spectra around its place on the map, with an interval.

The map is the index: the spectra in a galaxy's cell and in the cells nearest to it (in the features, not on the
lattice) are the candidates. Through the nearest of them, weighted by a tricube of their distance and once by how far
they are off, goes a plane; its value at the galaxy is the estimate, and its residuals give the interval.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from starloom.catalog.provenance import record
from starloom.errors import CatalogError
from starloom.galaxies.map_search import NearestCells
from starloom.galaxies.redshifts import two_groups

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.galaxies.map_training import ScaledGalaxies
    from starloom.galaxies.self_organizing_map import FittedSOM

Array = NDArray[np.float64]
NEAREST_CELLS = 128
BLOCK = 512
LEVEL = 0.68
CALIBRATED = 2000  # spectra left out one by one to see whether the intervals hold
LEAST_CALIBRATED = 30


@cache
def _kernel() -> Any:
    import numba

    @numba.njit(nogil=True, cache=True, error_model="numpy")
    def fit(
        values: Any,
        weights: Any,
        cell: Any,
        near: Any,
        starts: Any,
        spectra: Any,
        there: Any,
        redshift: Any,
        neighbors: int,
        ridge: float,
        level: float,
        skip: Any,
        out: Any,
        chosen: Any,
    ) -> None:
        """Fill out (n, 4): estimate, low, high, distance of the furthest neighbor; and the neighbors, (n, k).

        ``skip`` (n,) is a spectrum not to be used, or -1.
        """
        features = values.shape[1]
        most = 4 * neighbors
        place, apart = np.empty(most, np.int64), np.empty(most)
        matrix, right = np.empty((features + 1, features + 1)), np.empty(features + 1)
        weight, residual, row = np.empty(neighbors), np.empty(neighbors), np.empty(features + 1)
        for n in range(values.shape[0]):
            found = 0
            for c in range(near.shape[1]):
                other = near[cell[n], c]
                for s in range(starts[other], starts[other + 1]):
                    if found == most:
                        break
                    if s == skip[n]:
                        continue
                    total, used = 0.0, 0.0
                    for f in range(features):
                        if weights[n, f] > 0 and there[s, f] > 0:
                            difference = values[n, f] - spectra[s, f]
                            total += weights[n, f] * difference * difference
                            used += weights[n, f]
                    if used > 0:
                        place[found], apart[found] = s, total / used
                        found += 1
                if found >= 3 * neighbors:
                    break
            if found < 2:
                out[n, :] = np.nan
                if found == 1:
                    out[n, 0], out[n, 3], chosen[n, 0] = redshift[place[0]], np.sqrt(apart[0]), place[0]
                continue
            order = np.argsort(apart[:found])
            count = min(found, neighbors)
            far = apart[order[count - 1]] * 1.01 + 1e-12
            for k in range(count):
                ratio = np.sqrt(apart[order[k]] / far)
                weight[k] = (1.0 - ratio**3) ** 3
                chosen[n, k] = place[order[k]]
            value = 0.0
            for turn in range(2):
                matrix[:, :], right[:] = 0.0, 0.0
                for k in range(count):
                    s = place[order[k]]
                    row[0] = 1.0
                    for f in range(features):
                        both = weights[n, f] > 0 and there[s, f] > 0
                        row[f + 1] = spectra[s, f] - values[n, f] if both else 0.0
                    for a in range(features + 1):
                        right[a] += weight[k] * row[a] * redshift[s]
                        for b in range(features + 1):
                            matrix[a, b] += weight[k] * row[a] * row[b]
                # the more a slope leans on few spectra, the more the ridge holds it back
                for a in range(1, features + 1):
                    matrix[a, a] += ridge * matrix[0, 0]
                slope = np.linalg.solve(matrix, right)
                value = slope[0]
                for k in range(count):
                    s = place[order[k]]
                    fitted = slope[0]
                    for f in range(features):
                        if weights[n, f] > 0 and there[s, f] > 0:
                            fitted += slope[f + 1] * (spectra[s, f] - values[n, f])
                    residual[k] = redshift[s] - fitted
                if turn == 0:
                    spread = 1.4826 * np.median(np.abs(residual[:count])) + 1e-4
                    for k in range(count):
                        weight[k] /= 1.0 + (residual[k] / (3.0 * spread)) ** 2
            lowest, highest = redshift[place[order[0]]], redshift[place[order[0]]]
            for k in range(count):
                lowest, highest = min(lowest, redshift[place[order[k]]]), max(highest, redshift[place[order[k]]])
            value = min(max(value, lowest), highest)
            ranked = np.argsort(residual[:count])
            total = 0.0
            for k in range(count):
                ratio = np.sqrt(apart[order[k]] / far)
                total += (1.0 - ratio**3) ** 3
            low, high, running = residual[ranked[0]], residual[ranked[count - 1]], 0.0
            for k in range(count):
                ratio = np.sqrt(apart[order[ranked[k]]] / far)
                running += (1.0 - ratio**3) ** 3
                if running <= 0.5 * (1.0 - level) * total:
                    low = residual[ranked[k]]
                if running >= 0.5 * (1.0 + level) * total:
                    high = residual[ranked[k]]
                    break
            out[n, 0], out[n, 1], out[n, 2] = value, min(value + low, value), max(value + high, value)
            out[n, 3] = np.sqrt(far)

    return fit


@dataclass(frozen=True)
class PointRedshifts:
    """Redshifts of galaxies from a map with spectra.

    Parameters
    ----------
    fitted : the map.
    values, there : (m, features) of the spectra in the map's scaled space, sorted by cell; how much each feature
        counts, 0 where it was not measured.
    redshift : (m,).
    starts : (cells + 1,) where each cell's spectra begin.
    near : (cells, c) the cells nearest to each cell, itself first.
    neighbors, ridge : spectra in a fit; how strongly its slopes are held back.
    softening : (features,) the error at which a feature counts half; see ``_counting``.
    stretch : factor on the intervals, so that they hold for spectra that are left out of their own fit.
    """

    fitted: FittedSOM
    values: Array
    there: Array
    redshift: Array
    starts: NDArray[np.int64]
    near: NDArray[np.int64]
    softening: Array
    neighbors: int = 60
    ridge: float = 1e-3
    stretch: float = 1.0

    @classmethod
    def of(cls, fitted: FittedSOM, spectra: QTable, redshift: Any, *, neighbors: int = 60) -> PointRedshifts:
        """Put spectra on a map.

        Parameters
        ----------
        fitted : the map.
        spectra : a table with the map's columns.
        redshift : (n,) redshifts; rows that are not finite are left out.
        neighbors : spectra in the fit of one galaxy.

        Raises
        ------
        CatalogError
            When fewer than two rows have features and a redshift.
        """
        z = np.asarray(redshift, dtype=np.float64)
        good = np.isfinite(z)
        sample, reason = fitted.sample(spectra[good])
        z = z[good][reason == ""]
        if len(z) < 2:
            raise CatalogError(f"{len(z)} spectra have both features and a redshift, and at least 2 are needed")
        cell, _, _ = NearestCells(fitted.cells).find(sample.values, sample.inverse)
        order = np.argsort(cell, kind="stable")
        starts = np.searchsorted(cell[order], np.arange(fitted.grid.cells + 1))
        softening = _softening(sample, fitted.cells[cell])
        there = _counting(sample, softening)
        near = _nearest_with_spectra(fitted.cells, np.diff(starts) > 0)
        found = cls(
            fitted, sample.values[order], there[order], z[order], starts, near, softening, min(neighbors, len(z))
        )
        return replace(found, stretch=found._stretch(cell[order]))

    def _stretch(self, cell: NDArray[np.int64]) -> float:
        """By how much the intervals of left-out spectra have to grow to hold 68 % of them."""
        tried = np.unique(np.linspace(0, len(cell) - 1, min(len(cell), CALIBRATED)).astype(np.int64))
        out, _ = self._fits(self.values[tried], self.there[tried], cell[tried], tried, workers=1)
        apart = self.redshift[tried] - out[:, 0]
        half = np.where(apart >= 0, out[:, 2] - out[:, 0], out[:, 0] - out[:, 1])
        known = np.isfinite(apart) & np.isfinite(half)
        if known.sum() < LEAST_CALIBRATED:
            return 1.0
        return float(np.quantile(np.abs(apart[known]) / np.maximum(half[known], 1e-6), LEVEL))

    def _fits(
        self, values: Array, there: Array, cell: NDArray[np.int64], skip: NDArray[np.int64], *, workers: int
    ) -> tuple[Array, NDArray[np.int64]]:
        """Estimate, low, high and reach of each galaxy, and the spectra it used."""
        out = np.full((len(values), 4), np.nan)
        chosen = np.full((len(values), self.neighbors), -1, dtype=np.int64)

        def fill(rows: NDArray[np.int64], near: NDArray[np.int64]) -> None:
            def work(low: int) -> None:
                self._block(rows[low : low + BLOCK], near, values, there, cell, skip, out, chosen)

            work(0)  # here: compiling, or loading what was compiled, is no work for threads
            with ThreadPoolExecutor(workers, thread_name_prefix="point-redshifts") as pool:
                list(pool.map(work, range(BLOCK, len(rows), BLOCK)))

        patterns, which = np.unique(there > 0, axis=0, return_inverse=True)
        for number, pattern in enumerate(patterns):
            # with features missing, cells are near by the others alone: the missing ones must not narrow the choice
            near = self.near if pattern.all() else _nearest_with_spectra(self.fitted.cells[:, pattern], self._occupied)
            fill(np.flatnonzero(which.ravel() == number), near)
        out[:, 1] = out[:, 0] - self.stretch * (out[:, 0] - out[:, 1])
        out[:, 2] = out[:, 0] + self.stretch * (out[:, 2] - out[:, 0])
        return out, chosen

    @property
    def _occupied(self) -> NDArray[np.bool_]:
        """Which cells hold spectra."""
        return np.asarray(np.diff(self.starts) > 0)

    def _block(
        self,
        rows: NDArray[np.int64],
        near: NDArray[np.int64],
        values: Array,
        there: Array,
        cell: NDArray[np.int64],
        skip: NDArray[np.int64],
        out: Array,
        chosen: NDArray[np.int64],
    ) -> None:
        part, used = out[rows], chosen[rows]
        _kernel()(
            values[rows], there[rows], cell[rows], near, self.starts, self.values, self.there, self.redshift,
            self.neighbors, self.ridge, LEVEL, skip[rows], part, used,
        )  # fmt: skip
        out[rows], chosen[rows] = part, used

    def predict(self, table: QTable, *, workers: int = 1) -> QTable:
        """The table with redshifts from the map.

        Returns
        -------
        QTable
            The same rows and columns, with ``cell``, ``z_map``, ``z_map_low`` and ``z_map_high`` (central 68 % of the
            spectra around, NaN with fewer than two), ``z_map_bimodal`` (they fall into two groups), ``spectra_used``
            and ``reason``.
        """
        from starloom.catalog.schema import require_rows

        require_rows(table)
        sample, reason = self.fitted.sample(table)
        used = reason == ""
        cell = np.full(len(table), -1, dtype=np.int64)
        out = np.full((len(table), 4), np.nan)
        chosen = np.full((len(table), self.neighbors), -1, dtype=np.int64)
        if used.any():
            cell[used], _, _ = NearestCells(self.fitted.cells).find(sample.values, sample.inverse, workers=workers)
            there = _counting(sample, self.softening)
            none = np.full(len(there), -1, dtype=np.int64)
            out[used], chosen[used] = self._fits(sample.values, there, cell[used], none, workers=workers)
        result = table.copy()
        result["cell"] = cell
        for column, name in enumerate(("z_map", "z_map_low", "z_map_high")):
            result[name] = out[:, column]
        result["z_map_bimodal"] = [two_groups(np.sort(self.redshift[row[row >= 0]])) for row in chosen]
        result["spectra_used"] = (chosen >= 0).sum(axis=1)
        reason = reason.astype("U32")
        reason[used & np.isnan(out[:, 0])] = "no spectra near its cell"
        result["reason"] = reason
        record(result, "redshifts from a map", neighbors=self.neighbors, spectra=len(self.redshift))
        return result


def _softening(sample: ScaledGalaxies, cells: Array) -> Array:
    """Typical distance of a galaxy from its cell in each feature, shape (features,)."""
    there = np.ones_like(sample.values, dtype=bool) if sample.inverse is None else sample.inverse > 0
    squares = np.where(there, (sample.values - cells) ** 2, 0.0).sum(axis=0) / np.maximum(there.sum(axis=0), 1)
    return np.asarray(np.sqrt(squares) + 1e-6)


def _counting(sample: ScaledGalaxies, softening: Array) -> Array:
    """How much each feature counts among a galaxy's neighbors: 1 / (1 + (error / softening)^2), 0 where missing.

    A map without errors knows only which features are there.
    """
    if sample.inverse is None:
        return np.ones_like(sample.values)
    if not sample.with_errors:
        return np.asarray((sample.inverse > 0).astype(np.float64))
    squares = np.divide(1.0, sample.inverse, out=np.full_like(sample.inverse, np.inf), where=sample.inverse > 0)
    return np.asarray(1.0 / (1.0 + squares / softening**2))


def _nearest_with_spectra(cells: Array, with_spectra: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For each cell the nearest cells that hold spectra, shape (cells, c), nearest first."""
    from scipy.spatial import cKDTree

    places = np.flatnonzero(with_spectra)
    _, found = cKDTree(cells[places]).query(cells, k=min(NEAREST_CELLS, len(places)))
    return np.ascontiguousarray(places[np.atleast_2d(found.T).T if found.ndim == 1 else found])
