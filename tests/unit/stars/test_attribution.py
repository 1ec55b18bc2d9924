"""Shapley values of forests: against enumeration, against shap, against closed forms; bad input."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from starloom.errors import CatalogError, ConfigError
from starloom.stars.attribution import Attribution, attribute, attribute_groups, attribute_model, trend
from starloom.stars.forest import ProbabilisticForest

FEATURES = 5


@pytest.fixture(scope="module")
def sample():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(700, FEATURES))
    x[:, 4] = 0.8 * x[:, 0] + 0.6 * x[:, 4]  # correlated inputs, where the two kinds differ
    y = np.sin(2.0 * x[:, 0]) + x[:, 1] * x[:, 2] + 0.2 * rng.normal(size=700)
    return x, y


@pytest.fixture(scope="module")
def forest(sample):
    return ProbabilisticForest(n_trees=12, seed=3).fit(*sample)


@pytest.fixture(scope="module")
def holed(sample):
    """A forest of stars with missing inputs."""
    x, y = sample
    holes = np.where(np.random.default_rng(2).random(x.shape) < 0.15, np.nan, x)
    return ProbabilisticForest(n_trees=8, seed=3).fit(holes, y), holes


def shap_trees(forest):
    """The forest in the form that shap takes for any set of trees."""
    trees, ends = forest.trees_, np.r_[forest.trees_.roots, len(forest.trees_.feature)]
    found = []
    for start, end in itertools.pairwise(ends):
        part = slice(start, end)
        leaf = trees.left[part] < 0
        down = np.where(trees.missing_left[part], trees.left[part], trees.right[part])
        found.append({
            "children_left": np.where(leaf, -1, trees.left[part] - start),
            "children_right": np.where(leaf, -1, trees.right[part] - start),
            "children_default": np.where(leaf, -1, down - start),
            "features": np.where(leaf, -2, trees.feature[part]),
            "thresholds": np.where(leaf, -2, trees.threshold[part]),
            "values": trees.value[part] / len(trees.roots),
            "node_sample_weight": trees.cover[part],
        })  # fmt: skip
    return {"trees": found}


def every_input(forest):
    return {f"x{k}": [f"x{k}"] for k in range(forest.n_features_in_)}


@pytest.mark.parametrize("background", [False, True])
def test_single_inputs_equal_the_enumeration_of_all_coalitions(forest, sample, background):
    x = sample[0]
    others = x[600:620] if background else None
    single = attribute(forest, x[:30], background=others)
    all_of_them = attribute_groups(forest, x[:30], every_input(forest), background=others)
    assert np.abs(single.values - all_of_them.values).max() < 1e-12
    assert single.base == pytest.approx(all_of_them.base, abs=1e-12)
    assert np.abs(single.error - all_of_them.error).max() < 1e-12
    assert single.kind == ("interventional" if background else "path-dependent")


@pytest.mark.parametrize("background", [False, True])
def test_contributions_add_up(forest, holed, sample, background):
    x = sample[0]
    others = x[600:620] if background else None
    groups = {"a": ["x0", "x4"], "b": [1, 2], "c": ["x3"]}
    answer = forest.predict(x[:100])
    for found in (attribute(forest, x[:100], background=others),
                  attribute_groups(forest, x[:100], groups, background=others)):  # fmt: skip
        assert np.abs(found.answer - answer).max() < 1e-8
    if others is not None:
        assert found.base == pytest.approx(forest.predict(others).mean(), abs=1e-10)
    model, holes = holed
    found = attribute(model, holes[:60], background=None if others is None else holes[600:610])
    assert np.abs(found.answer - model.predict(holes[:60])).max() < 1e-8


def test_equals_shap(sample):
    import shap

    x, y = sample
    forest = ProbabilisticForest(n_trees=12, seed=3, calibrate=False).fit(x, y)
    stars = x[:60].astype(np.float32).astype(float)
    explainer = shap.TreeExplainer(shap_trees(forest), feature_perturbation="tree_path_dependent")
    explainer.model.input_dtype = np.float32
    theirs = explainer.shap_values(stars.astype(np.float32), check_additivity=False).reshape(stars.shape)
    assert np.abs(attribute(forest, stars).values - theirs).max() < 1e-6
    others = x[600:630].astype(np.float32)
    explainer = shap.TreeExplainer(shap_trees(forest), others, feature_perturbation="interventional")
    explainer.model.input_dtype = np.float32
    theirs = explainer.shap_values(stars.astype(np.float32), check_additivity=False).reshape(stars.shape)
    assert np.abs(attribute(forest, stars, background=others).values - theirs).max() < 1e-6


def test_any_model_agrees_with_the_forests_own(forest, sample):
    x = sample[0]
    groups = {"a": [0, 4], "b": [1, 2], "c": [3]}
    ours = attribute_groups(forest, x[:5], groups, background=x[600:615])
    plain = attribute_model(forest.predict, x[:5], x[600:615], groups)
    assert np.abs(ours.values - plain.values).max() < 1e-10
    assert np.isnan(plain.error).all()


def test_linear_and_multiplicative_models_in_closed_form():
    rng = np.random.default_rng(4)
    x, others = rng.normal(size=(6, 3)), rng.normal(size=(40, 3))
    slopes = np.array([2.0, -1.0, 0.5])
    found = attribute_model(lambda z: z @ slopes, x, others)
    assert np.allclose(found.values, slopes * (x - others.mean(axis=0)))
    # of a product with background 0 both players get half
    found = attribute_model(lambda z: z[:, 0] * z[:, 1], x, np.zeros((1, 3)))
    assert np.allclose(found.values[:, :2], 0.5 * (x[:, 0] * x[:, 1])[:, None])
    assert np.allclose(found.values[:, 2], 0.0)


def test_group_of_additive_inputs_is_the_sum_of_their_values():
    rng = np.random.default_rng(5)
    x, others = rng.normal(size=(8, 4)), rng.normal(size=(30, 4))

    def additive(z):
        return np.sin(z[:, 0]) + z[:, 1] ** 2 - z[:, 2] + np.abs(z[:, 3])

    single = attribute_model(additive, x, others)
    pair = attribute_model(additive, x, others, {"first": [0, 1], "second": [2, 3]})
    assert np.abs(pair.values[:, 0] - single.values[:, :2].sum(axis=1)).max() < 1e-8
    assert np.abs(pair.values[:, 1] - single.values[:, 2:].sum(axis=1)).max() < 1e-8


def test_shuffled_inputs_say_next_to_nothing(sample):
    x, _ = sample
    rng = np.random.default_rng(6)
    mixed = x.copy()
    for column in (1, 2):  # these held half of the label
        mixed[:, column] = rng.permutation(mixed[:, column])
    forest = ProbabilisticForest(n_trees=40, min_samples_leaf=20).fit(mixed, np.sin(2.0 * x[:, 0]))
    shares = attribute_groups(forest, mixed[:200], {"true": [0, 3, 4], "shuffled": [1, 2]}).shares()
    assert shares["shuffled"] < 0.05


def test_errors_over_trees_shrink_with_their_number(sample):
    x, y = sample
    few, many = (ProbabilisticForest(n_trees=n, calibrate=False).fit(x, y) for n in (10, 90))
    ratio = attribute(few, x[:50]).error.mean() / attribute(many, x[:50]).error.mean()
    assert 2.4 < ratio < 3.7


def test_bias_correction_is_attributed_too(sample):
    x, y = sample
    other = x[:350], y[:350] + 2.0 * x[:350, 3]
    forest = ProbabilisticForest(n_trees=20).fit(x[350:], y[350:], validation=other)
    found = attribute(forest, x[:80])
    assert np.abs(found.answer - forest.predict(x[:80])).max() < 1e-8
    assert found.strength()["x3"] > 1.0


def test_second_output_and_names(sample):
    import pandas as pd

    x, y = sample
    frame = pd.DataFrame(x, columns=["teff", "logg", "fe_h", "alpha_m", "c_n"])
    forest = ProbabilisticForest(n_trees=10).fit(frame, np.column_stack([y, x[:, 3] ** 2]))
    found = attribute(forest, frame[:30], output=1)
    assert np.abs(found.answer - forest.predict(frame[:30])[:, 1]).max() < 1e-8
    assert max(found.strength(), key=found.strength().get) == "alpha_m"
    with pytest.raises(ConfigError, match="outputs 0 to 1"):
        attribute(forest, frame[:3], output=2)


def test_share_has_an_interval():
    values = np.abs(np.random.default_rng(7).normal(size=(300, 2))) * [3.0, 1.0]
    made = Attribution(("a", "b"), values, 0.0, np.zeros((300, 2)), "interventional")
    share, low, high = made.share("a")
    assert low < share < high
    assert share == pytest.approx(0.75, abs=0.03)
    nothing = Attribution(("a",), np.zeros((3, 1)), 0.0, np.zeros((3, 1)), "interventional")
    assert np.isnan(nothing.shares()["a"])


def test_trend_of_known_lines():
    rng = np.random.default_rng(8)
    label = rng.uniform(0.0, 10.0, 4000)
    x = -0.05 * label + rng.normal(0.0, 0.1, 4000)
    found = trend(x, label, 0.5 * label + 3.0)
    assert found.true == pytest.approx(-0.05, abs=4 * found.true_error)
    assert found.predicted == pytest.approx(2.0 * found.true)
    assert found.difference == pytest.approx(found.true)
    with pytest.raises(CatalogError, match="at least 3"):
        trend([0.0, np.nan, 1.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({}, "1 to 10 groups"),
        ({"a": ["x0"]}, "x1, x2, x3, x4"),
        ({"a": ["x0", "x1", "x2", "x3", "x4", "age"]}, "'age'"),
        ({"a": [0, 1, 2, 3, 4], "b": [4]}, "two groups"),
        ({"a": [0, 1, 2, 3, 7]}, "does not exist"),
    ],
)
def test_bad_groups(forest, sample, groups, message):
    with pytest.raises(ConfigError, match=message):
        attribute_groups(forest, sample[0][:2], groups)


def test_bad_stars(forest, sample):
    x = sample[0]
    with pytest.raises(ValueError, match="infinity"):
        attribute(forest, np.full((1, FEATURES), np.inf))
    with pytest.raises(ValueError, match="features"):
        attribute(forest, x[:2, :3])
    with pytest.raises(ConfigError, match="names say"):
        attribute(forest, x[:2], names=["a"])
    with pytest.raises(CatalogError, match="background"):
        attribute_model(forest.predict, x[:2], np.empty((0, FEATURES)))
