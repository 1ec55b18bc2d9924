"""Compiled: stars down the trees of a forest, and the law that the training stars in their leaves give.

A forest is flat arrays, one entry a node, trees end to end; ``left`` and ``right`` are places in the same arrays. The
members of a leaf are the training stars of the tree's own resampling that fell into it, with their weights.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


@_jit
def leaf_of(
    star: Floats, root: int, feature: Integers, threshold: Floats, left: Integers, right: Integers,
    missing_left: NDArray[np.bool_],
) -> int:  # fmt: skip
    """The leaf in which a star (F,) ends below a root. Values are compared in single precision, as they were split."""
    node = root
    while feature[node] >= 0:
        value = np.float32(star[feature[node]])
        goes_left = missing_left[node] if np.isnan(value) else value <= threshold[node]
        node = left[node] if goes_left else right[node]
    return node


@_jit
def leaves(
    stars: Floats, errors: Floats, deviates: Floats, roots: Integers, feature: Integers, threshold: Floats,
    left: Integers, right: Integers, missing_left: NDArray[np.bool_], out: Integers,
) -> None:  # fmt: skip
    """Leaves (n, T) of stars (n, F); tree t sees star i at ``stars[i] + deviates[t] * errors[i]``.

    ``errors`` of shape (0, F) stand for none.
    """
    moved = np.empty(stars.shape[1])
    exact = errors.shape[0] == 0
    for t in range(roots.size):  # all stars down one tree, while it is in the cache
        for i in range(stars.shape[0]):
            if exact:
                out[i, t] = leaf_of(stars[i], roots[t], feature, threshold, left, right, missing_left)
                continue
            for f in range(stars.shape[1]):
                moved[f] = stars[i, f] + deviates[t, f] * errors[i, f]
            out[i, t] = leaf_of(moved, roots[t], feature, threshold, left, right, missing_left)


@_jit
def quantile_functions(
    found: Integers, used: NDArray[np.bool_], first: Integers, rank: NDArray[np.int32], weight: Floats,
    ordered: Floats, levels: Floats, out: Floats,
) -> None:  # fmt: skip
    """Quantiles of the law of each star: its trees' leaves pooled, each tree alike.

    Parameters
    ----------
    found : leaves (n, T).
    used : trees that count for a star (n, T), or shape (0, T) for all of them.
    first : where the members of each node begin (nodes + 1,).
    rank, weight : of each member its training star's place in the order of the values, and its share of its leaf.
    ordered : the values in order (N,).
    levels : rising probabilities (K,).
    out : the quantiles (n, K); NaN where no tree counts.
    """
    mass = np.zeros(ordered.size)
    for i in range(found.shape[0]):
        total, lowest, highest = 0.0, ordered.size, -1
        for t in range(found.shape[1]):
            if used.shape[0] > 0 and not used[i, t]:
                continue
            leaf = found[i, t]
            for k in range(first[leaf], first[leaf + 1]):
                r = rank[k]
                mass[r] += weight[k]
                lowest, highest = min(lowest, r), max(highest, r)
            total += 1.0
        if total == 0.0:
            out[i] = np.nan
            continue
        cumulative, place, before, value_before = 0.0, 0, 0.0, np.nan
        for r in range(lowest, highest + 1):
            if mass[r] == 0.0:
                continue
            share = mass[r] / total
            mass[r] = 0.0
            middle = cumulative + 0.5 * share  # of the step: the law rises in straight lines between the values
            while place < levels.size and levels[place] <= middle:
                if np.isnan(value_before):
                    out[i, place] = ordered[r]
                else:
                    part = (levels[place] - before) / (middle - before)
                    out[i, place] = value_before + part * (ordered[r] - value_before)
                place += 1
            cumulative += share
            before, value_before = middle, ordered[r]
        while place < levels.size:
            out[i, place] = value_before
            place += 1


@_jit
def drawn_members(
    found: Integers, first: Integers, member: NDArray[np.int32], weight: Floats, uniform: Floats, out: Integers
) -> None:
    """Training stars drawn from the laws of stars: out (n, S) from uniform deviates (n, S, 2)."""
    trees = found.shape[1]
    for i in range(found.shape[0]):
        for s in range(out.shape[1]):
            leaf = found[i, min(int(uniform[i, s, 0] * trees), trees - 1)]
            left_over = uniform[i, s, 1]
            k = first[leaf]
            while k < first[leaf + 1] - 1 and left_over > weight[k]:
                left_over -= weight[k]
                k += 1
            out[i, s] = member[k]


@_jit
def turned(value: Floats, raw: Floats, law: Floats, uniform: Floats, out: Floats) -> None:
    """Values (n, S) of raw laws at the same rank in calibrated ones (both quantiles (n, K) at (k + 1/2) / K).

    A value that fills a stretch of ranks is put anywhere in it, by ``uniform`` (n, S).
    """
    count = raw.shape[1]
    for i in range(value.shape[0]):
        for s in range(value.shape[1]):
            low = np.searchsorted(raw[i], value[i, s], side="left")
            high = np.searchsorted(raw[i], value[i, s], side="right")
            start = low - 0.5 if high == low else float(low)
            width = 1.0 if high == low else float(high - low)
            place = min(max(start + uniform[i, s] * width - 0.5, 0.0), count - 1.0)
            below = min(int(place), count - 2)
            part = place - below
            out[i, s] = law[i, below] * (1.0 - part) + law[i, below + 1] * part
