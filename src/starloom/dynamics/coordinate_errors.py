"""Normal errors of the six coordinates of stars: covariances that can be ones, and draws from them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import ConfigError

Array = NDArray[np.float64]


def require_covariance(covariance: ArrayLike, count: int) -> Array:
    """A covariance as (count, 6, 6), or what is wrong with it; a NaN is let through and makes its star's result NaN."""
    matrix = np.asarray(covariance, dtype=np.float64)
    if matrix.shape == (6, 6):
        matrix = np.broadcast_to(matrix, (count, 6, 6))
    if matrix.shape != (count, 6, 6):
        raise ConfigError(f"the covariance must be (6, 6) or ({count}, 6, 6), got {matrix.shape}")
    finite = np.asarray(np.isfinite(matrix).all(axis=(1, 2)))
    good = matrix[finite]
    variances = np.diagonal(good, axis1=-2, axis2=-1)
    if (variances < 0).any():
        row = int(np.flatnonzero(finite)[np.flatnonzero((variances < 0).any(axis=1))[0]])
        raise ConfigError(f"the covariance of row {row} has a negative variance")
    scale = np.sqrt(variances[:, :, None] * variances[:, None, :])
    if (np.abs(good - np.swapaxes(good, -1, -2)) > 1e-9 * scale + 1e-300).any():
        raise ConfigError("the covariance is not symmetric")
    return matrix


def draw_errors(covariance: Array, count: int, rng: np.random.Generator) -> Array:
    """Normal draws (n, count, 6) with covariances (n, 6, 6); NaN where one is not finite or not positive."""
    finite = np.asarray(np.isfinite(covariance).all(axis=(1, 2)))
    good = np.where(finite[:, None, None], covariance, 0.0)
    scale = np.sqrt(np.diagonal(good, axis1=-2, axis2=-1))
    safe = np.where(scale > 0, scale, 1.0)
    values, vectors = np.linalg.eigh(good / (safe[:, :, None] * safe[:, None, :]))
    root = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :] * scale[:, :, None]
    root[~finite | (values[:, 0] < -1e-6)] = np.nan
    return np.asarray(rng.standard_normal((len(covariance), count, 6)) @ np.swapaxes(root, -1, -2))
