"""Attribution and forests: exact Shapley values against shap, laws against quantile-forest."""

from __future__ import annotations

import itertools

import numpy as np
import shap
from quantile_forest import RandomForestQuantileRegressor
from side_by_side import Comparison, cpu_seconds, table

from starloom import progress
from starloom.seeds import generator
from starloom.stars.attribution import attribute
from starloom.stars.forest import ProbabilisticForest

TREES, STARS, BACKGROUND, TRAINED = 50, 200, 50, 10_000
LEVELS = [0.16, 0.5, 0.84]


def section() -> tuple[str, bool]:
    """The section of the page, and whether all results agree."""
    comparisons = [_path_dependent(6), _path_dependent(12), _interventional(), _laws()]
    return f"## forests\n\n{table(comparisons)}", all(c.agrees for c in comparisons)


def _stars(features: int) -> tuple[np.ndarray, np.ndarray]:
    rng = generator(1)
    x = rng.normal(size=(TRAINED, features)).astype(np.float32).astype(float)
    return x, np.sin(2.0 * x[:, 0]) + x[:, 1] * x[:, 2] + 0.3 * rng.normal(size=TRAINED)


def _explainer(forest: ProbabilisticForest, background: np.ndarray | None) -> shap.TreeExplainer:
    """Shap on the very trees of the forest."""
    trees, found = forest.trees_, []
    for start, end in itertools.pairwise(np.r_[forest.trees_.roots, len(forest.trees_.feature)]):
        part = slice(start, end)
        leaf = trees.left[part] < 0
        down = np.where(trees.missing_left[part], trees.left[part], trees.right[part])
        found.append(
            {
                "children_left": np.where(leaf, -1, trees.left[part] - start),
                "children_right": np.where(leaf, -1, trees.right[part] - start),
                "children_default": np.where(leaf, -1, down - start),
                "features": np.where(leaf, -2, trees.feature[part]),
                "thresholds": np.where(leaf, -2, trees.threshold[part]),
                "values": trees.value[part] / len(trees.roots),
                "node_sample_weight": trees.cover[part],
            }
        )
    kind = "tree_path_dependent" if background is None else "interventional"
    explainer = shap.TreeExplainer({"trees": found}, background, feature_perturbation=kind)
    explainer.model.input_dtype = np.float32
    return explainer


def _shapley(name: str, features: int, background: bool, note: str) -> Comparison:
    progress.say(f"forests: {name}")
    x, y = _stars(features)
    forest = ProbabilisticForest(TREES, calibrate=False).fit(x, y)
    others = x[1000 : 1000 + BACKGROUND] if background else None
    explainer = _explainer(forest, None if others is None else others.astype(np.float32))
    asked = x[:STARS]

    def ours() -> np.ndarray:
        return attribute(forest, asked, background=others).values

    def peer() -> np.ndarray:
        found = explainer.shap_values(asked.astype(np.float32), check_additivity=False)
        return np.asarray(found).reshape(asked.shape)

    return Comparison(
        name=name,
        peer=f"shap {shap.__version__}",
        seconds=cpu_seconds(ours, 3),
        peer_seconds=cpu_seconds(peer, 3),
        difference=float(np.abs(ours() - peer()).max()),
        tolerance=1e-6,
        unit="of a label of unit scatter",
        work=STARS,
        work_unit="stars",
        note=note,
    )


def _path_dependent(features: int) -> Comparison:
    return _shapley(
        f"path-dependent Shapley values, {features} inputs, {TREES} trees", features, False,
        f"trees grown on {TRAINED} stars to leaves of 5; ours with the errors over the trees.",
    )  # fmt: skip


def _interventional() -> Comparison:
    return _shapley(
        f"interventional Shapley values, 6 inputs, {TREES} trees", 6, True,
        f"{BACKGROUND} background stars; the peer keeps values in single precision.",
    )  # fmt: skip


def _laws() -> Comparison:
    progress.say("forests: laws")
    x, y = _stars(6)
    asked = generator(2).normal(size=(2000, 6))
    forest = ProbabilisticForest(TREES, calibrate=False).fit(x, y)
    peer_forest = RandomForestQuantileRegressor(TREES, min_samples_leaf=5, max_samples_leaf=None, random_state=0)
    peer_forest.fit(x, y)

    def ours() -> np.ndarray:
        return forest.predict_quantiles(asked, LEVELS)

    def peer() -> np.ndarray:
        return np.asarray(peer_forest.predict(asked, LEVELS))

    return Comparison(
        name="quantiles of 2,000 laws",
        peer="quantile-forest",
        seconds=cpu_seconds(ours, 3),
        peer_seconds=cpu_seconds(peer, 3),
        difference=float(np.abs(ours() - peer()).mean()),
        tolerance=0.1,
        unit="of a label of unit scatter, mean",
        work=len(asked),
        work_unit="stars",
        note="two forests of other random trees, so that the laws agree in the mean only; ours holds 200 quantiles.",
    )
