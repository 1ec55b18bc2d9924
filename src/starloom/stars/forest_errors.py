"""Errors of inputs and labels: what a measured input says of the true one, and what a label weighs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import CatalogError

Floats = NDArray[np.float64]


def true_inputs(inputs: Floats, errors: Floats | None) -> Floats:
    """Mean and variance (2, F) of the true inputs, by moments weighted by 1 / (v + e^2), to a fixed point."""
    known = np.isfinite(inputs)
    count = np.maximum(known.sum(axis=0), 1)
    x = np.where(known, inputs, 0.0)
    center = x.sum(axis=0) / count
    total = np.where(known, (x - center) ** 2, 0.0).sum(axis=0) / count
    total[~(total > 0)] = 1.0
    variance = total.copy()
    if errors is None:
        return np.stack([center, variance])
    for _ in range(30):
        weight = known / (variance + errors**2)
        center = (weight * x).sum(axis=0) / np.maximum(weight.sum(axis=0), 1e-300)
        excess = (weight**2 * ((x - center) ** 2 - errors**2)).sum(axis=0)
        variance = np.maximum(excess / np.maximum((weight**2).sum(axis=0), 1e-300), 1e-4 * total)
    return np.stack([center, variance])


def seen(inputs: Floats, errors: Floats | None, true: Floats) -> tuple[Floats, Floats | None]:
    """Expected true inputs given measured ones, and how far the true ones may lie from them, each (n, F)."""
    if errors is None:
        return inputs, None
    center, variance = true
    share = variance / (variance + errors**2)
    return center + (inputs - center) * share, errors * np.sqrt(share)


def even_deviates(trees: int, features: int, seed: int) -> Floats:
    """Normal deviates (T, F), evenly spread over the trees, by which each tree sees every star moved."""
    from scipy.special import ndtri

    rng = np.random.default_rng([seed, 1])
    even = ndtri((np.arange(trees) + 0.5) / trees)
    return np.stack([rng.permutation(even) for _ in range(features)], axis=1)


def checked_errors(given: ArrayLike | None, values: Floats, name: str) -> Floats | None:
    """Errors in the shape of the values, 0 where missing; CatalogError where negative, infinite or of another shape."""
    if given is None:
        return None
    try:
        errors = np.broadcast_to(np.asarray(given, dtype=np.float64), values.shape)
    except ValueError:
        raise CatalogError(f"{name} has shape {np.shape(given)}, the values {values.shape}") from None
    if (errors < 0).any() or np.isinf(errors).any():
        row = int(np.flatnonzero((errors < 0).any(axis=1) | np.isinf(errors).any(axis=1))[0])
        raise CatalogError(f"{name}: an error in row {row} is negative or infinite; leave such stars out")
    return np.nan_to_num(errors, nan=0.0)


def label_weights(errors: Floats, residuals: Floats, scale: Floats) -> Floats:
    """Weights (n,) of labels (n, O) with errors s: ``1 / (s^2 + t^2)``, the largest 1.

    ``t^2`` is the variance of the labels at given inputs beyond their errors, from the residuals (n, O) of stars that
    a forest did not see (NaN where there are none). Without it the stars with small errors would rule over leaves in
    which the labels differ by far more than any error, and stars of the other kind would count for nothing.
    """
    _, beyond = true_inputs(residuals, errors)
    variance = np.mean((errors**2 + beyond) / scale**2, axis=1)
    return np.asarray(variance.min() / variance)
