"""Galaxies alike and galaxies unlike all others, by the features of an encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starloom.errors import CatalogError, ConfigError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Components:
    """Principal components of features.

    Parameters
    ----------
    mean : (features,).
    axes : (components, features), orthonormal.
    scatter : (components,) standard deviation along each.
    share : share of the variance that they hold.
    """

    mean: Floats
    axes: Floats
    scatter: Floats
    share: float

    def apply(self, features: NDArray[Any], whiten: bool = False) -> Floats:
        """Coordinates (n, components), in units of their scatter when whitened; NaN for rows with NaN."""
        result: Floats = (np.asarray(features, dtype=np.float64) - self.mean) @ self.axes.T
        return result / np.maximum(self.scatter, 1e-12 * self.scatter.max(initial=1e-300)) if whiten else result


def principal_components(features: NDArray[Any], count: int = 40) -> Components:
    """Principal components of the rows without NaN.

    Parameters
    ----------
    features : (n, d).
    count : how many; fewer when there are fewer rows or columns.

    Raises
    ------
    CatalogError
        When fewer than two rows can be used.
    """
    values = _usable(features, 2)
    if count < 1:
        raise ConfigError(f"one component at least, not {count}")
    mean = values.mean(axis=0)
    covariance = np.cov(values - mean, rowvar=False).reshape(values.shape[1], values.shape[1])
    variances, axes = np.linalg.eigh(covariance)
    order = np.argsort(variances)[::-1][: min(count, len(values) - 1, values.shape[1])]
    chosen = np.maximum(variances[order], 0.0)
    total = float(np.maximum(variances, 0.0).sum())
    # the sign of an axis is a convention: its largest entry is positive
    kept = axes[:, order].T
    kept *= np.sign(kept[np.arange(len(kept)), np.abs(kept).argmax(axis=1)])[:, None]
    return Components(mean, kept, np.sqrt(chosen), float(chosen.sum()) / total if total > 0 else 0.0)


def most_similar(
    features: NDArray[Any], queries: NDArray[Any], count: int = 10, *, block: int = 2048
) -> tuple[NDArray[np.int64], Floats]:
    """The rows most like each query, by the cosine between features with the mean taken off.

    Parameters
    ----------
    features : (n, d); rows with NaN are never found.
    queries : (m, d), or (m,) numbers of rows, which are then not found as their own neighbors.
    count : how many.

    Returns
    -------
    rows : (m, count) int64, best first.
    cosines : (m, count); 1 is the same direction.
    """
    values = np.asarray(features, dtype=np.float64)
    _usable(values, 2)
    good: NDArray[np.bool_] = np.asarray(np.isfinite(values).all(axis=1))
    asked = np.asarray(queries)
    own = asked.astype(np.int64) if asked.ndim == 1 and asked.dtype.kind in "iu" else None
    if own is not None and (own.min(initial=0) < 0 or own.max(initial=0) >= len(values)):
        raise CatalogError(f"there is no row {own.max()} among {len(values)}")
    points = values[own] if own is not None else np.atleast_2d(asked.astype(np.float64))
    if points.shape[1] != values.shape[1] or not np.isfinite(points).all():
        raise CatalogError(f"queries must be finite and have {values.shape[1]} features; they are {points.shape}")
    if not 1 <= count < max(int(good.sum()), 2):
        raise ConfigError(f"between 1 and {int(good.sum()) - 1} neighbors can be asked for, not {count}")
    mean = values[good].mean(axis=0)
    unit = np.where(good[:, None], values - mean, 0.0)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-30)
    sought = points - mean
    sought /= np.maximum(np.linalg.norm(sought, axis=1, keepdims=True), 1e-30)
    rows, cosines = [], []
    for start in range(0, len(sought), block):
        cosine = sought[start : start + block] @ unit.T
        cosine[:, ~good] = -np.inf
        if own is not None:
            cosine[np.arange(len(cosine)), own[start : start + block]] = -np.inf
        best = np.argpartition(-cosine, count - 1, axis=1)[:, :count]
        values_of = np.take_along_axis(cosine, best, axis=1)
        order = np.argsort(-values_of, axis=1, kind="stable")
        rows.append(np.take_along_axis(best, order, axis=1))
        cosines.append(np.take_along_axis(values_of, order, axis=1))
    return np.concatenate(rows).astype(np.int64), np.concatenate(cosines)


def anomaly_scores(features: NDArray[Any], *, neighbors: int = 10, components: int = 20) -> Floats:
    """How far each galaxy lies from its neighbors; large is unusual.

    Mean distance to the nearest neighbors, in whitened principal components, as a share of the median over all rows.

    Parameters
    ----------
    features : (n, d).
    neighbors : how many.
    components : of the features.

    Returns
    -------
    ndarray
        (n,); NaN for rows with NaN.
    """
    from scipy.spatial import cKDTree

    values = np.asarray(features, dtype=np.float64)
    _usable(values, neighbors + 2)
    good: NDArray[np.bool_] = np.asarray(np.isfinite(values).all(axis=1))
    points = principal_components(values, components).apply(values[good], whiten=True)
    distances, _ = cKDTree(points).query(points, k=neighbors + 1)
    mean = distances[:, 1:].mean(axis=1)
    result = np.full(len(values), np.nan)
    result[good] = mean / max(float(np.median(mean)), 1e-300)
    return result


def _usable(features: NDArray[Any], least: int) -> Floats:
    values = np.asarray(features, dtype=np.float64)
    if values.ndim != 2:
        raise CatalogError(f"features are (n, d), not {values.shape}")
    good: Floats = values[np.isfinite(values).all(axis=1)]
    if len(good) < least:
        raise CatalogError(f"{len(good)} of {len(values)} rows have features, and {least} are needed")
    return good
