"""Numbers of dependence that do not depend on the margins: Spearman, Kendall, normal scores, tails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from starloom.errors import CatalogError, ConfigError
from starloom.stats.ranks import ranks

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Dependence:
    """Dependence of two columns.

    Parameters
    ----------
    spearman : correlation of the ranks.
    kendall : tau-b: concordant less discordant pairs, with ties and products of weights.
    normal_scores : correlation of the normal scores.
    lower_tail, upper_tail : share of the rows in the lowest (highest) ``tail`` of one column that are there in the
        other too: an estimate of the coefficients of tail dependence at that place, not in the limit.
    tail : share of the rows that is the tail.
    rows : rows used.
    """

    spearman: float
    kendall: float
    normal_scores: float
    lower_tail: float
    upper_tail: float
    tail: float
    rows: int


def associations(x: ArrayLike, y: ArrayLike, *, weights: ArrayLike | None = None, tail: float = 0.05) -> Dependence:
    """Associations of two columns, in O(N log N).

    Parameters
    ----------
    x, y : (n,) rows where one is NaN or infinite do not count.
    weights : (n,) not negative.
    tail : share of the rows that is the tail, at most one half.

    Raises
    ------
    ConfigError
        When shapes differ or the tail is out of its range.
    CatalogError
        When fewer than two rows count, or a column is constant.

    Examples
    --------
    >>> found = associations([1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 2.0, 9.0])
    >>> print(f"{found.spearman:.2f} {found.kendall:.2f}")
    0.80 0.67
    """
    first, second = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape:
        raise ConfigError(f"two columns of one length are needed, not shapes {first.shape} and {second.shape}")
    if not 0.0 < tail <= 0.5:
        raise ConfigError(f"the tail is a share of the rows, above 0 and at most 0.5, not {tail}")
    w = np.ones(len(first)) if weights is None else np.asarray(weights, dtype=np.float64)
    if w.shape != first.shape:
        raise ConfigError(f"weights have shape {w.shape}, the columns {first.shape}")
    if not (np.isfinite(w) & (w >= 0)).all():
        raise CatalogError("weights are finite and not negative")
    from scipy.special import ndtri

    known = np.isfinite(first) & np.isfinite(second) & (w > 0)
    first, second, w = first[known], second[known], w[known]
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        raise CatalogError(f"{len(first)} rows have both columns, and each needs two values at least")
    given = None if weights is None else w
    u, v = ranks(first, given), ranks(second, given)
    a, b = ndtri(u), ndtri(v)
    low_u, low_v, high_u, high_v = u <= tail, v <= tail, u >= 1.0 - tail, v >= 1.0 - tail
    return Dependence(
        spearman=_pearson(u, v, w),
        kendall=_kendall(first, second, w),
        normal_scores=_pearson(a, b, w),
        lower_tail=_shared(low_u, low_v, w),
        upper_tail=_shared(high_u, high_v, w),
        tail=tail,
        rows=len(first),
    )


def _pearson(x: Floats, y: Floats, w: Floats) -> float:
    dx, dy = x - np.average(x, weights=w), y - np.average(y, weights=w)
    return float((w @ (dx * dy)) / np.sqrt((w @ dx**2) * (w @ dy**2)))


def _shared(first: NDArray[np.bool_], second: NDArray[np.bool_], w: Floats) -> float:
    either = 0.5 * (w[first].sum() + w[second].sum())
    return float(w[first & second].sum() / either) if either > 0 else float("nan")


@njit(cache=True, nogil=True)
def _discordant(place: Any, weights: Any, distinct: int) -> Any:
    """Weight of pairs (i before j) with a greater place at i: a Fenwick tree over the places."""
    tree = np.zeros(distinct + 1)
    total, found = 0.0, 0.0
    for row in range(len(place)):
        below = 0.0
        index = place[row] + 1
        while index > 0:
            below += tree[index]
            index -= index & -index
        found += weights[row] * (total - below)
        index = place[row] + 1
        while index <= distinct:
            tree[index] += weights[row]
            index += index & -index
        total += weights[row]
    return found


def _kendall(x: Floats, y: Floats, w: Floats) -> float:
    _, a = np.unique(x, return_inverse=True)
    levels, b = np.unique(y, return_inverse=True)
    both = a * len(levels) + b
    order = np.argsort(both)  # ties in x by rising y: no pair of them counts as discordant
    discordant = float(_discordant(b[order], w[order], len(levels)))

    def pairs(codes: NDArray[np.int64], masses: Floats) -> float:
        mass, squares = np.bincount(codes, masses), np.bincount(codes, masses**2)
        return 0.5 * float((mass**2 - squares).sum())

    every = 0.5 * float(w.sum() ** 2 - (w**2).sum())
    tied_x, tied_y = pairs(a, w), pairs(b, w)
    tied_both = pairs(np.cumsum(np.diff(both[order], prepend=both[order[0]]) != 0), w[order])
    concordant = every - tied_x - tied_y + tied_both - discordant
    return float((concordant - discordant) / np.sqrt((every - tied_x) * (every - tied_y)))
