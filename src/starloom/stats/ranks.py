"""Ranks: a column's place in its own distribution, with ties, weights and missing values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from starloom.errors import CatalogError, ConfigError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


def _checked(values: ArrayLike, weights: ArrayLike | None) -> tuple[Floats, Floats]:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1:
        raise ConfigError(f"ranks are of one column, shape (n,), not {x.shape}")
    w = np.ones_like(x) if weights is None else np.asarray(weights, dtype=np.float64)
    if w.shape != x.shape:
        raise ConfigError(f"weights have shape {w.shape}, the values {x.shape}")
    if not (np.isfinite(w) & (w >= 0)).all():
        bad = int(np.flatnonzero(~(np.isfinite(w) & (w >= 0)))[0])
        raise CatalogError(f"the weight in row {bad} is {w[bad]}: weights are finite and not negative")
    return np.where(np.isfinite(x), x, np.nan), w


@dataclass(frozen=True)
class Margin:
    """The distribution of one column: values in rising order and the rank that belongs to each.

    Parameters
    ----------
    values : (m,) distinct values, rising.
    u : (m,) their ranks, strictly between 0 and 1.

    Examples
    --------
    >>> margin = Margin.of([3.0, 1.0, 2.0, 2.0])
    >>> margin.ranks([2.0, 0.0, 9.0]).tolist()
    [0.5, 0.2, 0.8]
    >>> margin.quantiles([0.5, 0.8]).tolist()
    [2.0, 3.0]
    """

    values: Floats
    u: Floats

    @classmethod
    def of(cls, values: ArrayLike, weights: ArrayLike | None = None) -> Margin:
        """The margin of a column; rows that are not finite, or of weight 0, do not count.

        The rank of a value is (W_below + (W_tied + w) / 2) / (W + w), where W sums weights and w is the least of them.
        With equal weights this is (average rank) / (N + 1), which keeps the largest value off 1 and its normal score
        finite; a weight of two is the same as the row twice, as long as some row has the weight one.

        Raises
        ------
        CatalogError
            When no row counts, or a weight is negative or not finite.
        """
        x, w = _checked(values, weights)
        counts = ~np.isnan(x) & (w > 0)
        if not counts.any():
            raise CatalogError("no row has a finite value and a weight above 0; there is nothing to rank")
        x, w = x[counts], w[counts]
        order = np.argsort(x, kind="stable")
        x, w = x[order], w[order]
        first = np.flatnonzero(np.r_[True, x[1:] > x[:-1]])
        tied = np.add.reduceat(w, first)
        if weights is None:
            below = first.astype(np.float64)
        else:
            below = np.concatenate([[0.0], np.cumsum(tied)[:-1]])
        typical = 1.0 if weights is None else float(w.min())
        total = float(len(x)) if weights is None else float(below[-1] + tied[-1])
        return cls(x[first], (below + 0.5 * (tied + typical)) / (total + typical))

    def ranks(self, values: ArrayLike) -> Floats:
        """Ranks of other values of this column: linear between its own, its end ranks beyond them; NaN stays."""
        x = np.asarray(values, dtype=np.float64)
        return np.where(np.isnan(x), np.nan, np.interp(x, self.values, self.u))

    def quantiles(self, u: ArrayLike) -> Floats:
        """Values at ranks: the inverse of ``ranks``."""
        return np.asarray(np.interp(np.asarray(u, dtype=np.float64), self.u, self.values))

    @property
    def constant(self) -> bool:
        """Whether the column has one value only."""
        return len(self.values) == 1


def ranks(values: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Ranks of a column in (0, 1): average ranks for ties, over N + 1; see ``Margin.of`` for weights.

    Parameters
    ----------
    values : (n,) NaN and infinite values get the rank NaN and do not count.
    weights : (n,) not negative; a row of weight 0 gets a rank among the others and does not count.

    Returns
    -------
    ndarray
        (n,) ranks. They depend on the order of the values alone, so any strictly rising map of the values leaves them
        bit by bit as they are.

    Examples
    --------
    >>> ranks([10.0, 30.0, 20.0, 20.0, float("nan")]).tolist()
    [0.2, 0.8, 0.5, 0.5, nan]
    """
    x, _ = _checked(values, weights)
    margin = Margin.of(x, weights)
    place = np.searchsorted(margin.values, x)
    exact = margin.u[np.minimum(place, len(margin.u) - 1)]
    if weights is None or not (np.asarray(weights) == 0).any():
        return np.where(np.isnan(x), np.nan, exact)
    own = margin.values[np.minimum(place, len(margin.values) - 1)] == x
    return np.where(np.isnan(x), np.nan, np.where(own, exact, margin.ranks(x)))


def normal_scores(values: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """The standard normal quantiles of a column's ranks: a column with a normal margin and the same order.

    Examples
    --------
    >>> normal_scores([1.0, 5.0, 3.0]).round(3).tolist()
    [-0.674, 0.674, 0.0]
    """
    from scipy.special import ndtri

    found: Floats = ndtri(ranks(values, weights))
    return found


def effective_size(weights: ArrayLike) -> float:
    """Kish's number of equally weighted rows that are worth as much: (sum w)^2 / sum w^2.

    Examples
    --------
    >>> effective_size([1.0, 1.0, 0.0])
    2.0
    """
    w = np.asarray(weights, dtype=np.float64)
    squares = float((w**2).sum())
    return float(w.sum()) ** 2 / squares if squares > 0 else 0.0
