"""Cubic B-splines of one or more covariates with second-difference penalties (P-splines).

Up to three covariates the basis is their tensor product, so that any interaction is possible; of more it is a sum of
one smooth a covariate. A row has few nonzero basis functions, and only these are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from starloom.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SEGMENTS = {1: 20, 2: 10, 3: 5}
ADDITIVE_SEGMENTS = 8
TAIL = 0.0005  # share of the rows beyond either end of the knots; the spline stays what it is at its ends


@njit(cache=True, nogil=True)
def _gram(places: Any, values: Any, weights: Any, size: int) -> Any:
    found = np.zeros((size, size))
    rows, width = places.shape
    for row in range(rows):
        weight = weights[row]
        if weight == 0.0:
            continue
        for a in range(width):
            share = weight * values[row, a]
            i = places[row, a]
            for b in range(width):
                found[i, places[row, b]] += share * values[row, b]
    return found


@njit(cache=True, nogil=True)
def _project(places: Any, values: Any, weights: Any, size: int) -> Any:
    found = np.zeros(size)
    rows, width = places.shape
    for row in range(rows):
        for a in range(width):
            found[places[row, a]] += weights[row] * values[row, a]
    return found


@njit(cache=True, nogil=True)
def _combine(places: Any, values: Any, coefficients: Any) -> Any:
    rows, width = places.shape
    found = np.zeros(rows)
    for row in range(rows):
        for a in range(width):
            found[row] += values[row, a] * coefficients[places[row, a]]
    return found


@njit(cache=True, nogil=True)
def _quadratic(places: Any, values: Any, matrix: Any) -> Any:
    rows, width = places.shape
    found = np.zeros(rows)
    for row in range(rows):
        for a in range(width):
            i = places[row, a]
            for b in range(width):
                found[row] += values[row, a] * values[row, b] * matrix[i, places[row, b]]
    return found


@dataclass(frozen=True)
class Design:
    """The nonzero basis functions of rows.

    Parameters
    ----------
    places, values : (n, p) which functions, and their values.
    size : how many functions there are.
    """

    places: NDArray[np.int64]
    values: Floats
    size: int

    def gram(self, weights: Floats) -> Floats:
        """X' W X, shape (size, size)."""
        return np.asarray(_gram(self.places, self.values, weights, self.size))

    def project(self, weights: Floats) -> Floats:
        """X' w, shape (size,)."""
        return np.asarray(_project(self.places, self.values, weights, self.size))

    def combine(self, coefficients: Floats) -> Floats:
        """X beta, shape (n,)."""
        return np.asarray(_combine(self.places, self.values, coefficients))

    def quadratic(self, matrix: Floats) -> Floats:
        """The diagonal of X M X', shape (n,)."""
        return np.asarray(_quadratic(self.places, self.values, matrix))


@dataclass(frozen=True)
class SplineBasis:
    """Where the knots lie.

    Parameters
    ----------
    low, high : (d,) ends of the knots.
    segments : (d,) pieces between them.
    tensor : a tensor product; otherwise a sum of smooths.
    """

    low: Floats
    high: Floats
    segments: tuple[int, ...]
    tensor: bool

    @classmethod
    def of(cls, covariates: Floats, weights: Floats, segments: int | tuple[int, ...] | None = None) -> SplineBasis:
        """The basis for rows of covariates, shape (n, d), with weights (n,), all finite."""
        dimensions = covariates.shape[1]
        tensor = dimensions in SEGMENTS
        pieces = SEGMENTS.get(dimensions, ADDITIVE_SEGMENTS) if segments is None else segments
        along = (pieces,) * dimensions if isinstance(pieces, int) else tuple(pieces)
        if len(along) != dimensions or min(along) < 1:
            raise ConfigError(f"segments are one positive number, or one for each of {dimensions} covariates: {along}")
        low, high = np.array([_ends(column, weights) for column in covariates.T]).T
        flat = high <= low
        return cls(np.where(flat, low - 0.5, low), np.where(flat, low + 0.5, high), along, tensor)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Functions along each covariate."""
        return tuple(pieces + 3 for pieces in self.segments)

    def design(self, covariates: Floats) -> Design:
        """The basis functions at rows, shape (n, d); beyond the ends of the knots those of the end."""
        parts = [
            _cubic((np.clip(column, low, high) - low) / (high - low) * pieces, pieces)
            for column, low, high, pieces in zip(covariates.T, self.low, self.high, self.segments, strict=True)
        ]
        if not self.tensor:
            starts = np.cumsum([0, *self.sizes[:-1]])
            places = np.concatenate([place + start for (place, _), start in zip(parts, starts, strict=True)], axis=1)
            return Design(places, np.concatenate([value for _, value in parts], axis=1), sum(self.sizes))
        places, values = parts[0]
        for (place, value), size in zip(parts[1:], self.sizes[1:], strict=True):
            shape = (len(places), places.shape[1] * place.shape[1])  # said in full, as there may be no rows
            places = (places[:, :, None] * size + place[:, None, :]).reshape(shape)
            values = (values[:, :, None] * value[:, None, :]).reshape(shape)
        return Design(np.ascontiguousarray(places), np.ascontiguousarray(values), int(np.prod(self.sizes)))

    def penalties(self) -> list[Floats]:
        """One matrix a covariate: squared second differences along it."""
        found = []
        total = sum(self.sizes)
        for index, size in enumerate(self.sizes):
            rough = _roughness(size)
            if self.tensor:
                before, after = int(np.prod(self.sizes[:index])), int(np.prod(self.sizes[index + 1 :]))
                found.append(np.kron(np.kron(np.eye(before), rough), np.eye(after)))
            else:
                start = sum(self.sizes[:index])
                whole = np.zeros((total, total))
                whole[start : start + size, start : start + size] = rough
                found.append(whole)
        return found

    def shares(self, smoothing: Floats) -> Floats:
        """trace(S^- S_j) of each penalty in S = sum_j smoothing_j S_j, shape (d,)."""
        values = [np.maximum(np.linalg.eigvalsh(_roughness(size)), 0.0) for size in self.sizes]
        values = [np.where(part < 1e-9, 0.0, part) for part in values]
        if not self.tensor:
            return np.array([(part > 0).sum() / rate for part, rate in zip(values, smoothing, strict=True)])
        grids = np.meshgrid(*values, indexing="ij")
        total = sum(rate * grid for rate, grid in zip(smoothing, grids, strict=True))
        safe = np.where(total > 0, total, np.inf)
        return np.array([(grid / safe).sum() for grid in grids])


def _ends(column: Floats, weights: Floats) -> tuple[float, float]:
    """The values below and above which a share ``TAIL`` of the weight lies; a weight of two is a row twice."""
    order = np.argsort(column, kind="stable")
    below = np.cumsum(weights[order])
    places = np.searchsorted(below, np.array([TAIL, 1.0 - TAIL]) * below[-1] * (1.0 + np.array([1e-12, -1e-12])))
    low, high = column[order][np.minimum(places, len(column) - 1)]
    return float(low), float(high)


def _roughness(size: int) -> Floats:
    second = np.diff(np.eye(size), n=2, axis=0)
    return np.asarray(second.T @ second)


def _cubic(place: Floats, pieces: int) -> tuple[NDArray[np.int64], Floats]:
    """The four cubic B-splines with unit knots that are not zero at places in [0, pieces]."""
    piece = np.clip(place.astype(np.int64), 0, pieces - 1)
    t = place - piece
    values = np.stack(
        [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1
    ) / 6.0  # fmt: skip
    return piece[:, None] + np.arange(4), values
