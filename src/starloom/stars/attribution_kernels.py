"""Compiled: exact Shapley values of a forest's trees, of single inputs and of groups of them.

A tree's answer for a star of which only the inputs in S are known is a sum over its leaves of products, one factor an
input on the way: ``o`` (1 or 0: does the star pass all tests of that input) if it is in S, else ``z`` (the share of the
training stars that does). The Shapley value of input i of one leaf of value v is then

    phi_i = v (o_i - z_i) integral_0^1 prod_{j != i} (t o_j + (1 - t) z_j) dt,

the integrand a polynomial of degree below the number of inputs, so that Gauss-Legendre with half as many nodes is
exact. One walk through a tree carries the products at all nodes of t, for a block of stars at a time; coming back up,
each edge takes its share off the sum below it (as Linear TreeSHAP, arXiv:2209.08192, does with polynomials).
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from starloom.stars.forest_kernels import leaf_of

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

STARS = 16  # stars of a block: the innermost loops run over them
# no fused products: a kernel from the cache and one just compiled may fuse others, as those of orbits did
_jit = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"nsz"})


@_jit
def path_dependent(
    stars: Floats, roots: Integers, feature: Integers, threshold: Floats, left: Integers, right: Integers,
    missing_left: Booleans, cover: Floats, value: Floats, node: Floats, weight: Floats, deepest: int, phi: Floats,
    square: Floats,
) -> None:  # fmt: skip
    """Sums over the trees of Shapley values and of their squares, each (n, F), of stars (n, F).

    ``node`` and ``weight`` (Q,) are those of Gauss-Legendre on (0, 1); ``deepest`` is the depth of the deepest tree.
    """
    features, nodes = stars.shape[1], node.size
    levels = deepest + 2
    product = np.empty((levels, nodes, STARS))
    below = np.empty((levels, nodes, STARS))
    # of each level: the edge that leads to it
    at = np.empty(levels, dtype=np.int64)
    side = np.empty(levels, dtype=np.int64)  # children done
    one, zero = np.empty((levels, STARS)), np.empty(levels)
    last_one, last_zero = np.empty((levels, STARS)), np.empty(levels)  # of the same input, above
    edge = np.empty(levels, dtype=np.int64)
    current_one, current_zero = np.empty((features, STARS)), np.empty(features)
    own = np.empty((features, STARS))
    for start in range(0, stars.shape[0], STARS):
        count = min(STARS, stars.shape[0] - start)
        for t in range(roots.size):
            own[:] = 0.0
            current_one[:] = 1.0
            current_zero[:] = 1.0
            level = 0
            at[0], side[0], edge[0] = roots[t], 0, -1
            product[0] = 1.0
            below[0] = 0.0
            while level >= 0:
                here = at[level]
                if feature[here] >= 0 and side[level] < 2:
                    asked = feature[here]
                    child = left[here] if side[level] == 0 else right[here]
                    goes_left = side[level] == 0
                    side[level] += 1
                    share = cover[child] / cover[here]
                    new = level + 1
                    at[new], side[new], edge[new] = child, 0, asked
                    last_zero[new] = current_zero[asked]
                    zero[new] = current_zero[asked] * share
                    for s in range(count):
                        x = np.float32(stars[start + s, asked])
                        passes = missing_left[here] if np.isnan(x) else x <= threshold[here]
                        last_one[new, s] = current_one[asked, s]
                        one[new, s] = current_one[asked, s] if passes == goes_left else 0.0
                    current_zero[asked] = zero[new]
                    for s in range(count):
                        current_one[asked, s] = one[new, s]
                    for q in range(nodes):
                        t_q, rest = node[q], 1.0 - node[q]
                        for s in range(count):
                            product[new, q, s] = (
                                product[level, q, s]
                                * (t_q * one[new, s] + rest * zero[new])
                                / (t_q * last_one[new, s] + rest * last_zero[new])
                            )
                            below[new, q, s] = 0.0
                    level = new
                    continue
                if feature[here] < 0:
                    for q in range(nodes):
                        for s in range(count):
                            below[level, q, s] = value[here] * product[level, q, s]
                if level > 0:
                    asked = edge[level]
                    for q in range(nodes):
                        t_q, rest = node[q], 1.0 - node[q]
                        for s in range(count):
                            total = weight[q] * below[level, q, s]
                            own[asked, s] += (
                                total * (one[level, s] - zero[level]) / (t_q * one[level, s] + rest * zero[level])
                            )
                            # the edge above of the same input holds for this one's leaves no more
                            own[asked, s] -= (
                                total
                                * (last_one[level, s] - last_zero[level])
                                / (t_q * last_one[level, s] + rest * last_zero[level])
                            )
                            below[level - 1, q, s] += below[level, q, s]
                    current_zero[asked] = last_zero[level]
                    for s in range(count):
                        current_one[asked, s] = last_one[level, s]
                level -= 1
            for f in range(features):
                for s in range(count):
                    phi[start + s, f] += own[f, s]
                    square[start + s, f] += own[f, s] * own[f, s]


@_jit
def known_groups(
    stars: Floats, group: Integers, roots: Integers, feature: Integers, threshold: Floats, left: Integers,
    right: Integers, missing_left: Booleans, cover: Floats, value: Floats, deepest: int, groups: int, out: Floats,
) -> None:  # fmt: skip
    """What each tree answers when only some groups of inputs are known, by the shares of the training stars.

    ``out`` (n, T, 2**groups): bit g of the last axis says that group g is known. ``group`` (F,) is each input's.
    """
    coalitions = 2**groups
    levels = deepest + 2
    at, side = np.empty(levels, dtype=np.int64), np.empty(levels, dtype=np.int64)
    mass = np.empty((levels, coalitions))
    for i in range(stars.shape[0]):
        for t in range(roots.size):
            out[i, t] = 0.0
            level = 0
            at[0], side[0] = roots[t], 0
            mass[0] = 1.0
            while level >= 0:
                here = at[level]
                if feature[here] < 0:
                    for c in range(coalitions):
                        out[i, t, c] += mass[level, c] * value[here]
                    level -= 1
                    continue
                if side[level] == 2:
                    level -= 1
                    continue
                asked = feature[here]
                goes_left = side[level] == 0
                child = left[here] if goes_left else right[here]
                side[level] += 1
                x = np.float32(stars[i, asked])
                passes = (missing_left[here] if np.isnan(x) else x <= threshold[here]) == goes_left
                share, any_left = cover[child] / cover[here], False
                for c in range(coalitions):
                    if (c >> group[asked]) & 1:
                        mass[level + 1, c] = mass[level, c] if passes else 0.0
                    else:
                        mass[level + 1, c] = mass[level, c] * share
                    any_left = any_left or mass[level + 1, c] > 0.0
                if any_left:
                    level += 1
                    at[level], side[level] = child, 0


@_jit
def known_groups_of_background(
    stars: Floats, background: Floats, group: Integers, roots: Integers, feature: Integers, threshold: Floats,
    left: Integers, right: Integers, missing_left: Booleans, value: Floats, groups: int, out: Floats,
) -> None:  # fmt: skip
    """The same with the unknown inputs taken from background stars (m, F), averaged over them."""
    coalitions = 2**groups
    mixed = np.empty(stars.shape[1])
    for i in range(stars.shape[0]):
        out[i] = 0.0
        for b in range(background.shape[0]):
            for c in range(coalitions):
                for f in range(stars.shape[1]):
                    mixed[f] = stars[i, f] if (c >> group[f]) & 1 else background[b, f]
                for t in range(roots.size):
                    leaf = leaf_of(mixed, roots[t], feature, threshold, left, right, missing_left)
                    out[i, t, c] += value[leaf] / background.shape[0]


@_jit
def interventional(
    stars: Floats, background: Floats, roots: Integers, feature: Integers, threshold: Floats, left: Integers,
    right: Integers, missing_left: Booleans, value: Floats, factor: Floats, phi: Floats, square: Floats,
) -> None:  # fmt: skip
    """Sums over the trees of interventional Shapley values and of their squares, each (n, F).

    For a star and a background star, an input on the way to a leaf is of the star's side, of the other's, or of both.
    With p and q inputs of the two sides a leaf of value v gives ``v (p-1)! q! / (p+q)!`` to each input of the star's
    side and takes ``v p! (q-1)! / (p+q)!`` from each of the other's. ``factor[p, q]`` is ``p! q! / (p+q+1)!``. What the
    leaves below a split give is summed on the way back up.
    """
    features, count = stars.shape[1], background.shape[0]
    own, settled = np.empty(features), np.zeros(features, dtype=np.int64)  # 0 not yet, 1 the star's, -1 the other's
    # one frame for each input on which the way has split; an input splits it once
    split, other = np.empty(features, dtype=np.int64), np.empty(features, dtype=np.int64)
    first_plus, first_minus = np.empty(features), np.empty(features)
    mine = np.empty(features, dtype=np.float32)
    for t in range(roots.size):
        start = roots[t]
        end = roots[t + 1] if t + 1 < roots.size else feature.size
        goes_left = np.empty((count, end - start), dtype=np.bool_)  # of the background, the same for all stars
        for b in range(count):
            for node in range(start, end):
                if feature[node] >= 0:
                    y = np.float32(background[b, feature[node]])
                    goes_left[b, node - start] = missing_left[node] if np.isnan(y) else y <= threshold[node]
        for i in range(stars.shape[0]):
            for f in range(features):
                mine[f], own[f] = np.float32(stars[i, f]), 0.0
            for b in range(count):
                level, p, q, here = 0, 0, 0, start
                while True:
                    while feature[here] >= 0:
                        asked = feature[here]
                        y_left = goes_left[b, here - start]
                        if settled[asked] == -1:
                            here = left[here] if y_left else right[here]
                            continue
                        x = mine[asked]
                        x_left = missing_left[here] if np.isnan(x) else x <= threshold[here]
                        if settled[asked] == 0 and x_left != y_left:
                            split[level], other[level] = asked, right[here] if x_left else left[here]
                            settled[asked] = 1
                            level += 1
                            p += 1
                        here = left[here] if x_left else right[here]
                    plus = value[here] * factor[p - 1, q] if p > 0 else 0.0
                    minus = value[here] * factor[p, q - 1] if q > 0 else 0.0
                    again = False
                    while level > 0:
                        asked = split[level - 1]
                        if settled[asked] == 1:
                            own[asked] += plus
                            first_plus[level - 1], first_minus[level - 1] = plus, minus
                            settled[asked] = -1
                            p -= 1
                            q += 1
                            here = other[level - 1]
                            again = True
                            break
                        own[asked] -= minus
                        plus += first_plus[level - 1]
                        minus += first_minus[level - 1]
                        settled[asked] = 0
                        q -= 1
                        level -= 1
                    if not again:
                        break
            for f in range(features):
                mean = own[f] / count
                phi[i, f] += mean
                square[i, f] += mean * mean
