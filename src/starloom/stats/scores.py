"""Consistent scores: losses whose expected value is least at a functional of the distribution.

A functional is elicitable when it is the arg-min of such a score (Gneiting 2011, 2011JASA..106..746G): the mean of the
squared error, a quantile of the pinball loss, an expectile of the asymmetric squared error. The variance and the
correlation are not elicitable alone, but together with the means: the score of Dawid and Sebastiani of a mean vector
and a covariance matrix,

    ln det V + (x - m)' V^-1 (x - m),

is least at the true means and covariances whatever the distribution. So is the score that arXiv:2306.09319 uses for
(m_x, v_x, m_y, v_y, E[xy]), here ``cross_moment``, which has no lower bound as v goes to 0 and needs a floor.

All functions work on arrays of any one shape, and give one score a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


def squared(x: ArrayLike, mean: ArrayLike) -> Floats:
    """Squared error, of the mean."""
    return np.asarray((np.asarray(x, dtype=np.float64) - np.asarray(mean)) ** 2)


def pinball(x: ArrayLike, quantile: ArrayLike, level: float) -> Floats:
    """Pinball loss (1[x <= q] - level)(q - x), of the quantile at a level.

    Examples
    --------
    >>> pinball([0.0, 2.0], 1.0, 0.75).tolist()
    [0.25, 0.75]
    """
    gap = np.asarray(quantile, dtype=np.float64) - np.asarray(x)
    return np.asarray(((gap >= 0) - level) * gap)


def asymmetric(x: ArrayLike, expectile: ArrayLike, level: float) -> Floats:
    """Asymmetric squared error |1[x <= e] - level| (x - e)^2, of the expectile at a level; 1/2 gives the mean."""
    gap = np.asarray(x, dtype=np.float64) - np.asarray(expectile)
    return np.asarray(np.abs((gap <= 0) - level) * gap**2)


def variance(x: ArrayLike, mean: ArrayLike, value: ArrayLike) -> Floats:
    """ln v + (x - m)^2 / v, of mean and variance together."""
    v = np.asarray(value, dtype=np.float64)
    return np.asarray(np.log(v) + squared(x, mean) / v)


def correlation(
    x: ArrayLike, y: ArrayLike, mean_x: ArrayLike, variance_x: ArrayLike, mean_y: ArrayLike, variance_y: ArrayLike,
    rho: ArrayLike,
) -> Floats:  # fmt: skip
    """The score of Dawid and Sebastiani of two means, two variances and a correlation, for a pair (x, y)."""
    v, w, r = (np.asarray(part, dtype=np.float64) for part in (variance_x, variance_y, rho))
    a = (np.asarray(x) - np.asarray(mean_x)) / np.sqrt(v)
    b = (np.asarray(y) - np.asarray(mean_y)) / np.sqrt(w)
    return np.asarray(np.log(v * w * (1.0 - r**2)) + (a**2 + b**2 - 2.0 * r * a * b) / (1.0 - r**2))


def cross_moment(
    x: ArrayLike, y: ArrayLike, mean_x: ArrayLike, variance_x: ArrayLike, mean_y: ArrayLike, variance_y: ArrayLike,
    rho: ArrayLike,
) -> Floats:  # fmt: skip
    """The score of arXiv:2306.09319 for the same five: least at them too, but unbounded below as v goes to 0."""
    v, w = np.asarray(variance_x, dtype=np.float64), np.asarray(variance_y, dtype=np.float64)
    moment = np.sqrt(v * w) * np.asarray(rho) + np.asarray(mean_x) * np.asarray(mean_y)
    return np.asarray(
        (squared(x, mean_x) - 2.0 * v) / v**2
        + (squared(y, mean_y) - 2.0 * w) / w**2
        + (moment - np.asarray(x, dtype=np.float64) * np.asarray(y)) ** 2
    )


def crps_of_quantiles(law: ArrayLike, levels: ArrayLike, truth: ArrayLike) -> Floats:
    """Continuous ranked probability score of laws held as quantiles, shape (n,): twice the mean pinball loss.

    Parameters
    ----------
    law : quantiles (n, K).
    levels : their probabilities (K,), equally spaced: (k + 1/2) / K.
    truth : what came (n,).

    Examples
    --------
    >>> levels = (np.arange(1000) + 0.5) / 1000
    >>> print(f"{crps_of_quantiles(levels[None, :], levels, [0.5])[0]:.4f}")  # uniform law: 1/12 at its middle
    0.0833
    """
    gap = np.asarray(law, dtype=np.float64) - np.asarray(truth, dtype=np.float64)[:, None]
    return np.asarray(2.0 * np.mean(((gap >= 0) - np.asarray(levels)) * gap, axis=1))
