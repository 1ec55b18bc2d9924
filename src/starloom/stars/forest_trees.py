"""The trees of a forest as plain arrays, and how they are grown by scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starloom.seeds import generator
from starloom.stars import forest_kernels as kernels

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Trees:
    """All trees of a forest, end to end.

    Parameters
    ----------
    roots : node of each tree's root (T,).
    feature : input that a node asks for; -1 at a leaf (N,).
    threshold : a star goes left where its input is not above it (N,).
    left, right : nodes below (N,).
    missing_left : whether a star without that input goes left (N,).
    cover : weight of the training stars that passed (N,).
    value : their mean labels (N, O).
    first : where the members of each node begin (N + 1,).
    member, weight : training star and share of its leaf, of each member.
    """

    roots: Integers
    feature: Integers
    threshold: Floats
    left: Integers
    right: Integers
    missing_left: NDArray[np.bool_]
    cover: Floats
    value: Floats
    first: Integers
    member: NDArray[np.int32]
    weight: Floats

    def leaves(self, stars: Floats, errors: Floats | None, deviates: Floats) -> Integers:
        """The leaf of each star in each tree (n, T)."""
        out = np.empty((len(stars), len(self.roots)), dtype=np.int64)
        none = np.empty((0, stars.shape[1]))
        kernels.leaves(
            np.ascontiguousarray(stars), none if errors is None else np.ascontiguousarray(errors), deviates,
            self.roots, self.feature, self.threshold, self.left, self.right, self.missing_left, out,
        )  # fmt: skip
        return out


def grow(
    inputs: Floats, labels: Floats, errors: Floats | None, weights: Floats, *, trees: int, seed: int, workers: int,
    **settings: Any,
) -> tuple[Trees, NDArray[np.bool_]]:  # fmt: skip
    """Grow trees, each on its own resampling of the stars and its own draw of their inputs.

    Parameters
    ----------
    inputs, errors : expected inputs and the widths of the draws (n, F), or None for no draws.
    labels, weights : (n, O) and (n,).
    trees, seed, workers : how many, from which seed, on how many threads.
    **settings : of scikit-learn's DecisionTreeRegressor.

    Returns
    -------
    Trees and, for each star and tree (n, T), whether the tree left the star out.
    """
    from concurrent.futures import ThreadPoolExecutor

    from sklearn.tree import DecisionTreeRegressor

    seeds = generator(seed).integers(2**31 - 1, size=(trees, 2))
    positive = np.flatnonzero(weights > 0)

    def one(place: int) -> tuple[Any, Integers, Floats, Integers]:
        rng = np.random.default_rng(seeds[place, 0])
        counts = np.bincount(positive[rng.integers(len(positive), size=len(positive))], minlength=len(weights))
        rows = np.flatnonzero(counts)
        drawn = inputs[rows]
        if errors is not None:
            drawn = drawn + rng.normal(size=drawn.shape) * errors[rows]
        tree = DecisionTreeRegressor(random_state=int(seeds[place, 1]), **settings)
        share = counts[rows] * weights[rows]
        tree.fit(drawn, labels[rows], sample_weight=share)
        return tree.tree_, rows, share, tree.tree_.apply(drawn.astype(np.float32))

    with ThreadPoolExecutor(workers) as pool:
        grown = list(pool.map(one, range(trees)))
    left_out = np.ones((len(inputs), trees), dtype=bool)
    for place, (_, rows, _, _) in enumerate(grown):
        left_out[rows, place] = False
    return _joined(grown), left_out


def _joined(grown: list[tuple[Any, Integers, Floats, Integers]]) -> Trees:
    """The trees of scikit-learn as one set of arrays."""
    pieces: dict[str, list[Any]] = {entry.name: [] for entry in fields(Trees)}
    nodes = members = 0
    for tree, rows, share, where in grown:
        leaf = tree.children_left < 0
        pieces["roots"].append(nodes)
        pieces["feature"].append(np.where(leaf, -1, tree.feature))
        pieces["threshold"].append(np.where(leaf, np.nan, tree.threshold))
        pieces["left"].append(np.where(leaf, -1, tree.children_left + nodes))
        pieces["right"].append(np.where(leaf, -1, tree.children_right + nodes))
        pieces["missing_left"].append(tree.missing_go_to_left.astype(bool))
        pieces["cover"].append(tree.weighted_n_node_samples)
        pieces["value"].append(tree.value[:, :, 0])
        order = np.argsort(where, kind="stable")
        count = np.bincount(where, minlength=tree.node_count)
        total = np.bincount(where, share, minlength=tree.node_count)
        pieces["first"].append(members + np.concatenate([[0], np.cumsum(count)[:-1]]))
        pieces["member"].append(rows[order])
        pieces["weight"].append(share[order] / total[where[order]])
        nodes, members = nodes + tree.node_count, members + len(rows)
    pieces["first"].append(np.array([members]))
    kinds = {"roots": np.int64, "feature": np.int64, "left": np.int64, "right": np.int64, "first": np.int64,
             "missing_left": np.bool_, "member": np.int32}  # fmt: skip
    arrays: dict[str, Any] = {
        name: np.ascontiguousarray(
            np.array(parts) if name == "roots" else np.concatenate(parts), kinds.get(name, np.float64)
        )
        for name, parts in pieces.items()
    }
    return Trees(**arrays)
