"""Where an answer comes from: exact Shapley values of a forest, or of any model, for inputs and for groups of inputs.

What "an input is not known" means has two answers, and where inputs are correlated they differ. *Path-dependent*: the
shares of the training stars at each split stand in for it, so that what other inputs say of it is partly kept.
*Interventional*: it is taken from background stars whatever the other inputs are. Every result says which it is.

A group's Shapley value is that of a game whose players are the groups (stellar evolution, chemical evolution, both),
found from all 2^G coalitions; it is not in general the sum of the values of its inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import factorial
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import CatalogError, ConfigError
from starloom.stars import attribution_kernels as kernels
from starloom.stars.forest import ProbabilisticForest
from starloom.stars.forest_trees import Trees

Floats = NDArray[np.float64]
Kind = Literal["path-dependent", "interventional"]

MOST_GROUPS = 10
BLOCK = 256  # stars at a time where every tree's answer is kept


@dataclass(frozen=True)
class Attribution:
    """What each input, or group of inputs, added to an answer.

    Parameters
    ----------
    names : of the inputs or groups (P,).
    values : contributions (n, P); with ``base`` they add up to the answer.
    base : the answer when nothing is known.
    error : standard errors of the contributions from the scatter over the trees (n, P); NaN where there are no trees.
    kind : what "not known" means, see the module.
    """

    names: tuple[str, ...]
    values: Floats
    base: float
    error: Floats
    kind: Kind

    @property
    def answer(self) -> Floats:
        """Base and contributions together (n,)."""
        return np.asarray(self.base + self.values.sum(axis=1))

    def strength(self) -> dict[str, float]:
        """Mean absolute contribution of each input or group, in the unit of the label."""
        return dict(zip(self.names, np.abs(self.values).mean(axis=0).tolist(), strict=True))

    def shares(self) -> dict[str, float]:
        """The same as shares of their sum; NaN where no input says anything.

        Examples
        --------
        >>> made = Attribution(("a", "b"), np.array([[1.0, 0.0], [-2.0, 1.0]]), 0.0, np.zeros((2, 2)), "interventional")
        >>> made.shares()
        {'a': 0.75, 'b': 0.25}
        """
        found = np.abs(self.values).mean(axis=0)
        total = found.sum()
        return dict(zip(self.names, (found / total if total > 0 else found * np.nan).tolist(), strict=True))

    def share(self, name: str, seed: int = 0, resamples: int = 200) -> tuple[float, float, float]:
        """One share with the central 68 % over resampled stars: value, low, high."""
        place = self.names.index(name)
        size = np.abs(self.values)
        rng = np.random.default_rng(seed)
        picks = rng.integers(len(size), size=(resamples, len(size)))
        means = size[picks].mean(axis=1)
        low, high = np.quantile(means[:, place] / means.sum(axis=1), [0.16, 0.84])
        return self.shares()[name], float(low), float(high)


def attribute(
    forest: ProbabilisticForest,
    X: ArrayLike,
    *,
    output: int = 0,
    background: ArrayLike | None = None,
    names: Sequence[str] | None = None,
) -> Attribution:
    """Exact Shapley values of a forest's mean answer.

    Parameters
    ----------
    forest : fitted.
    X : stars (n, F), taken as measured without error.
    output : which label.
    background : stars (m, F) for interventional values; None for path-dependent ones.
    names : of the inputs; by default those that the forest was fitted with, else x0, x1, ...

    Returns
    -------
    Attribution
        One value an input. The straight-line bias correction is part of the answer and is attributed too.
    """
    stars, trees, shift, kind, others = _prepared(forest, X, output, background)
    value = np.ascontiguousarray(trees.value[:, output])
    phi, square, deepest = np.zeros(stars.shape), np.zeros(stars.shape), _deepest(trees)
    shape = (trees.roots, trees.feature, trees.threshold, trees.left, trees.right, trees.missing_left)
    if others is None:
        node, weight = np.polynomial.legendre.leggauss((stars.shape[1] + 1) // 2)
        kernels.path_dependent(
            stars, *shape, trees.cover, value, 0.5 * (node + 1.0), 0.5 * weight, deepest, phi, square
        )
        base = float(value[trees.roots].mean())
    else:
        count = stars.shape[1] + 1
        factor = np.array([[factorial(p) * factorial(q) / factorial(p + q + 1) for q in range(count)] for p in
                           range(count)])  # fmt: skip
        kernels.interventional(stars, others, *shape, value, factor, phi, square)
        base = float(value[trees.leaves(others, None, np.zeros((len(trees.roots), stars.shape[1])))].mean())
    size = len(trees.roots)
    mean = phi / size
    error = np.sqrt(np.maximum(square / size - mean**2, 0.0) / max(size - 1, 1))
    line, line_base = shift
    return Attribution(_names(forest, names), mean + line, base + line_base, error, kind)


def attribute_groups(
    forest: ProbabilisticForest,
    X: ArrayLike,
    groups: Mapping[str, Sequence[str | int]],
    *,
    output: int = 0,
    background: ArrayLike | None = None,
    names: Sequence[str] | None = None,
) -> Attribution:
    """Exact Shapley values of groups of inputs, from all coalitions of groups.

    Parameters
    ----------
    forest, X, output, background, names : as in `attribute`.
    groups : name -> names or places of its inputs; each input in one group.

    Raises
    ------
    ConfigError
        When an input is in no group or in two, is unknown, or there are more than 10 groups.
    """
    stars, trees, (line, line_base), kind, others = _prepared(forest, X, output, background)
    member = _members(groups, _names(forest, names))
    value, count = np.ascontiguousarray(trees.value[:, output]), len(groups)
    shape = (trees.roots, trees.feature, trees.threshold, trees.left, trees.right, trees.missing_left)
    weights = _shapley_weights(count)
    means, errors, base = [], [], 0.0
    for start in range(0, len(stars), BLOCK):
        part = stars[start : start + BLOCK]
        answers = np.empty((len(part), len(trees.roots), 2**count))
        if others is None:
            kernels.known_groups(part, member, *shape, trees.cover, value, _deepest(trees), count, answers)
        else:
            kernels.known_groups_of_background(part, others, member, *shape, value, count, answers)
        phi = answers @ weights.T  # (n, T, G)
        means.append(phi.mean(axis=1))
        errors.append(phi.std(axis=1) / np.sqrt(max(len(trees.roots) - 1, 1)))
        base = float(answers[0, :, 0].mean())
    lines = np.stack([line[:, member == g].sum(axis=1) for g in range(count)], axis=1)
    return Attribution(
        tuple(groups), np.concatenate(means) + lines, base + line_base, np.concatenate(errors), kind
    )  # fmt: skip


def attribute_model(
    predict: Callable[[Floats], ArrayLike],
    X: ArrayLike,
    background: ArrayLike,
    groups: Mapping[str, Sequence[str | int]] | None = None,
    names: Sequence[str] | None = None,
) -> Attribution:
    """Exact interventional Shapley values of any model's answers, from all coalitions.

    Parameters
    ----------
    predict : inputs (k, F) -> answers (k,).
    X : stars (n, F).
    background : stars (m, F) that unknown inputs are taken from.
    groups : as in `attribute_groups`; None: every input by itself (at most 10).
    names : of the inputs.

    Examples
    --------
    >>> made = attribute_model(lambda x: 2.0 * x[:, 0] - x[:, 1], [[1.0, 1.0]], [[0.0, 0.0]])
    >>> made.values.tolist()
    [[2.0, -1.0]]
    """
    stars, others = (np.atleast_2d(np.asarray(part, dtype=np.float64)) for part in (X, background))
    if len(others) == 0 or stars.shape[1] != others.shape[1]:
        raise CatalogError(f"the background needs rows with {stars.shape[1]} inputs; it has shape {others.shape}")
    features = stars.shape[1]
    known = tuple(names) if names is not None else tuple(f"x{k}" for k in range(features))
    chosen = groups if groups is not None else {name: [name] for name in known}
    member, count = _members(chosen, known), len(chosen)
    answers = np.empty((len(stars), 2**count))
    for coalition in range(2**count):
        inside = (coalition >> member) & 1 == 1
        for row, star in enumerate(stars):
            mixed = np.where(inside, star, others)
            answers[row, coalition] = float(np.mean(np.asarray(predict(mixed), dtype=np.float64)))
    values = answers @ _shapley_weights(count).T
    return Attribution(tuple(chosen), values, float(answers[0, 0]), np.full(values.shape, np.nan), "interventional")


@dataclass(frozen=True)
class Trend:
    """The slope of a label with an input, of true and of predicted labels, each with its standard error."""

    true: float
    true_error: float
    predicted: float
    predicted_error: float

    @property
    def difference(self) -> float:
        """Predicted minus true."""
        return self.predicted - self.true


def trend(x: ArrayLike, true: ArrayLike, predicted: ArrayLike, seed: int = 0, resamples: int = 100) -> Trend:
    """Slopes of straight lines of x against true and predicted labels (n,), errors from resampled stars.

    This is the age-metallicity relation d[Fe/H]/d(age) when x is [Fe/H] and the labels are ages.

    Raises
    ------
    CatalogError
        When fewer than 3 stars have all three.
    """
    columns = np.stack([np.asarray(part, dtype=np.float64) for part in (x, true, predicted)])
    columns = columns[:, np.isfinite(columns).all(axis=0)]
    if columns.shape[1] < 3:
        raise CatalogError(f"a trend needs at least 3 stars with all values, not {columns.shape[1]}")
    rng = np.random.default_rng(seed)
    picks = rng.integers(columns.shape[1], size=(resamples, columns.shape[1]))

    def slopes(pick: NDArray[np.int64] | slice) -> tuple[float, float]:
        y, *labels = columns[:, pick]
        first, second = (np.cov(label, y) for label in labels)
        return tuple(float(c[0, 1] / c[0, 0]) if c[0, 0] > 0 else np.nan for c in (first, second))  # type: ignore[return-value]

    found = np.array([slopes(pick) for pick in picks])
    here = slopes(slice(None))
    errors = found.std(axis=0)
    return Trend(here[0], float(errors[0]), here[1], float(errors[1]))


def _prepared(
    forest: ProbabilisticForest, X: ArrayLike, output: int, background: ArrayLike | None
) -> tuple[Floats, Trees, tuple[Floats, float], Kind, Floats | None]:
    stars = forest.checked(X)
    if not 0 <= output < forest.labels_.shape[1]:
        raise ConfigError(f"the forest has outputs 0 to {forest.labels_.shape[1] - 1}, not {output}")
    others = None if background is None else forest.checked(background)
    calibration = forest.calibrations_[output]
    line = calibration.bias_terms(stars)
    at = 0.0 if others is None else calibration.bias_terms(others).mean(axis=0)
    shift = (line - at, float(calibration.bias[0] + np.sum(at)))
    return stars, forest.trees_, shift, "path-dependent" if others is None else "interventional", others


def _names(forest: ProbabilisticForest, given: Sequence[str] | None) -> tuple[str, ...]:
    if given is None:
        known = getattr(forest, "feature_names_in_", None)
        given = [f"x{k}" for k in range(forest.n_features_in_)] if known is None else [str(name) for name in known]
    if len(given) != forest.n_features_in_:
        raise ConfigError(f"the forest has {forest.n_features_in_} inputs, not {len(given)} as the names say")
    return tuple(given)


def _members(groups: Mapping[str, Sequence[str | int]], names: tuple[str, ...]) -> NDArray[np.int64]:
    """The group of each input (F,)."""
    if not 1 <= len(groups) <= MOST_GROUPS:
        raise ConfigError(f"there must be 1 to {MOST_GROUPS} groups of inputs, not {len(groups)}")
    member = np.full(len(names), -1, dtype=np.int64)
    for place, (group, inputs) in enumerate(groups.items()):
        for one in inputs:
            if isinstance(one, str) and one not in names:
                raise ConfigError(f"group {group}: no input is called {one!r}; there are {', '.join(names)}")
            index = names.index(one) if isinstance(one, str) else one
            if not 0 <= index < len(names) or member[index] >= 0:
                raise ConfigError(f"group {group}: input {one!r} does not exist or is in two groups")
            member[index] = place
    if (member < 0).any():
        missing = ", ".join(name for name, group in zip(names, member, strict=True) if group < 0)
        raise ConfigError(f"every input belongs to one group; these are in none: {missing}")
    return member


def _shapley_weights(players: int) -> Floats:
    """Weights (P, 2**P) that turn the worth of all coalitions into Shapley values."""
    found = np.zeros((players, 2**players))
    for coalition in range(2**players):
        size = coalition.bit_count()
        for player in range(players):
            if coalition >> player & 1:
                found[player, coalition] += factorial(size - 1) * factorial(players - size) / factorial(players)
            else:
                found[player, coalition] -= factorial(size) * factorial(players - size - 1) / factorial(players)
    return found


def _deepest(trees: Trees) -> int:
    """Depth of the deepest tree. Nodes come after their parents."""
    inner = np.flatnonzero(trees.feature >= 0)
    depth = np.zeros(len(trees.feature), dtype=np.int64)
    for node in inner:
        depth[trees.left[node]] = depth[trees.right[node]] = depth[node] + 1
    return int(depth.max(initial=0))
