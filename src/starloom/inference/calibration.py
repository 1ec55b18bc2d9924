"""Do stated probabilities hold? Coverage of intervals, probability integral transform, calibration of classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from starloom.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def coverage(truth: ArrayLike, low: ArrayLike, high: ArrayLike) -> float:
    """Share of the finite truths inside their intervals, bounds included; NaN when there is none.

    Examples
    --------
    >>> coverage([1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [1.5, 2.5, 2.5]) == 2 / 3
    True
    """
    true, below, above = np.broadcast_arrays(*(np.asarray(part, dtype=float) for part in (truth, low, high)))
    known = np.isfinite(true) & ~np.isnan(below) & ~np.isnan(above)
    return float(np.mean((below <= true)[known] & (true <= above)[known])) if known.any() else float("nan")


def normal_pit(truth: ArrayLike, mean: ArrayLike, sigma: ArrayLike) -> NDArray[np.float64]:
    """Probability integral transform under normal predictions: uniform when they are calibrated.

    Examples
    --------
    >>> float(normal_pit(1.0, 1.0, 0.3))
    0.5
    """
    from scipy.special import ndtr

    found: NDArray[np.float64] = ndtr((np.asarray(truth, dtype=float) - np.asarray(mean)) / np.asarray(sigma))
    return found


def sample_pit(truth: ArrayLike, samples: ArrayLike) -> NDArray[np.float64]:
    """Probability integral transform under samples, shape (N,) from truths (N,) and samples (N, S): mid-ranks.

    Examples
    --------
    >>> sample_pit([2.5], [[1.0, 2.0, 3.0, 4.0]]).tolist()
    [0.5]
    """
    true, drawn = np.asarray(truth, dtype=float)[:, None], np.asarray(samples, dtype=float)
    if drawn.ndim != 2 or len(drawn) != len(true):
        raise ConfigError(f"samples must have shape ({len(true)}, S), not {drawn.shape}")
    return np.asarray(((drawn < true).mean(axis=1) + (drawn <= true).mean(axis=1)) / 2.0)


def uniform_distance(pit: ArrayLike) -> tuple[float, float]:
    """Kolmogorov-Smirnov distance of finite PIT values from uniform, and its p-value."""
    from scipy.stats import kstest

    values = np.asarray(pit, dtype=float)
    found = kstest(values[np.isfinite(values)], "uniform")
    return float(found.statistic), float(found.pvalue)


def expected_calibration_error(probability: ArrayLike, outcome: ArrayLike, bins: int = 10) -> float:
    """Mean over the rows of |stated - observed| in equal bins of the stated probability.

    Examples
    --------
    >>> expected_calibration_error([0.2, 0.2, 0.8, 0.8], [0, 0, 1, 1])
    0.2
    """
    stated, seen = np.asarray(probability, dtype=float), np.asarray(outcome, dtype=float)
    place = np.clip((stated * bins).astype(int), 0, bins - 1)
    gap = np.abs(np.bincount(place, stated - seen, minlength=bins)).sum()
    return float(round(gap / len(stated), 12))
