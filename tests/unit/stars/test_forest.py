"""The probabilistic forest: laws that hold, errors that count, estimator checks, files, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.utils.estimator_checks import check_estimator

from starloom.errors import CatalogError, ConfigError, ModelFileError
from starloom.inference.calibration import sample_pit, uniform_distance
from starloom.neural.checkpoints import load_folder, save_folder
from starloom.stars import forest_kernels as kernels
from starloom.stars.forest import KIND, ProbabilisticForest
from starloom.stars.forest_calibration import LEVELS
from starloom.stars.forest_errors import seen, true_inputs
from starloom.stats.scores import crps_of_quantiles


def stars(count, seed, errors=0.0):
    """A curved relation with a scatter that changes; inputs measured with log-normal errors about ``errors``."""
    rng = np.random.default_rng(seed)
    true = rng.normal(size=(count, 4))
    label = np.sin(2.0 * true[:, 0]) + 0.5 * true[:, 1] ** 2
    label += rng.normal(size=count) * (0.1 + 0.15 * np.abs(true[:, 3]))
    sigma = errors * np.exp(rng.normal(0.0, 0.9, size=true.shape))
    return true + sigma * rng.normal(size=true.shape), label, sigma


def score(forest, x, y, errors=None):
    return crps_of_quantiles(forest.predict_quantiles(x, LEVELS, X_error=errors), LEVELS, y).mean()


@pytest.fixture(scope="module")
def fitted():
    x, y, _ = stars(2000, 1)
    return ProbabilisticForest(n_trees=60, seed=1).fit(x, y)


def test_scikit_learns_estimator_checks():
    """All but the one that scikit-learn's own forest fails too: a resampling of weights is not one of repeated rows."""
    failing = {"check_sample_weight_equivalence_on_dense_data": "resampled stars, as RandomForestRegressor's"}
    found = check_estimator(ProbabilisticForest(n_trees=4), on_fail=None, on_skip=None, expected_failed_checks=failing)
    wrong = {one["check_name"]: one["exception"] for one in found if one["status"] == "failed"}
    assert wrong == {}
    assert len(found) > 40


def test_law_is_calibrated(fitted):
    x, y, _ = stars(2000, 2)
    pit = sample_pit(y, fitted.predict_quantiles(x, LEVELS))
    assert uniform_distance(pit)[0] < 0.05
    low, high = fitted.predict_quantiles(x, [0.16, 0.84]).T
    assert 0.63 < np.mean((low < y) & (y < high)) < 0.73
    assert np.array_equal(fitted.predict_spread(x), 0.5 * (high - low))


def test_no_worse_than_a_quantile_forest(fitted):
    from quantile_forest import RandomForestQuantileRegressor

    x, y, _ = stars(2000, 1)
    asked, truth, _ = stars(1000, 2)
    peer = RandomForestQuantileRegressor(60, min_samples_leaf=5, max_samples_leaf=None, random_state=0).fit(x, y)
    theirs = crps_of_quantiles(peer.predict(asked, list(LEVELS)), LEVELS, truth).mean()
    assert score(fitted, asked, truth) <= 1.02 * theirs


def test_input_errors_make_better_laws():
    x, y, sigma = stars(2000, 3, 0.25)
    asked, truth, asked_sigma = stars(1000, 4, 0.25)
    plain = ProbabilisticForest(n_trees=60).fit(x, y)
    knowing = ProbabilisticForest(n_trees=60).fit(x, y, X_error=sigma)
    assert score(knowing, asked, truth, asked_sigma) < 0.97 * score(plain, asked, truth)
    # a star of larger errors gets a wider law, and the laws of well and of badly measured stars hold alike
    wide = knowing.predict_spread(asked, X_error=np.full_like(asked, 0.6)).mean()
    assert wide > 1.2 * knowing.predict_spread(asked, X_error=np.full_like(asked, 0.05)).mean()
    low, high = knowing.predict_quantiles(asked, [0.16, 0.84], X_error=asked_sigma).T
    error = np.log(asked_sigma[:, :2]).mean(axis=1)
    for part in (error < np.median(error), error >= np.median(error)):
        assert 0.60 < np.mean(((low < truth) & (truth < high))[part]) < 0.76


def test_mean_is_that_of_the_plain_forest():
    x, y, _ = stars(1500, 5)
    ours = ProbabilisticForest(n_trees=100, calibrate=False).fit(x, y).predict(x[:300])
    theirs = RandomForestRegressor(100, min_samples_leaf=5, random_state=0).fit(x, y).predict(x[:300])
    assert np.std(ours - theirs) < 0.25 * np.std(y - np.mean(y)) * 0.2
    assert abs(np.mean(ours - theirs)) < 0.01


def test_bias_is_taken_out_on_a_validation_set():
    x, y, _ = stars(1500, 6)
    more, truth, _ = stars(1000, 7)
    forest = ProbabilisticForest(n_trees=40).fit(x, y, validation=(more, truth + 3.0))
    assert np.mean(forest.predict(more) - truth) == pytest.approx(3.0, abs=0.02)
    without = ProbabilisticForest(n_trees=40, calibrate=False).fit(x, y)
    assert abs(np.mean(without.predict(more) - truth)) < 0.1


def test_outputs_stay_tied_in_draws():
    x, y, _ = stars(1000, 8)
    rng = np.random.default_rng(8)
    both = np.column_stack([y, -y + 0.05 * rng.normal(size=len(y))])
    forest = ProbabilisticForest(n_trees=40).fit(x, both)
    drawn = forest.sample(x[:50], 200, 3)
    assert drawn.shape == (50, 200, 2)
    about = (drawn - drawn.mean(axis=1, keepdims=True)).reshape(-1, 2)
    assert np.corrcoef(about.T)[0, 1] < -0.95
    quantiles = forest.predict_quantiles(x[:50], [0.16, 0.5, 0.84])
    assert quantiles.shape == (50, 2, 3)
    found = np.quantile(drawn, [0.16, 0.5, 0.84], axis=1).transpose(1, 2, 0)
    assert np.abs(found - quantiles).mean() < 0.1
    assert np.array_equal(drawn, forest.sample(x[:50], 200, 3))


def test_seed_decides_and_workers_do_not(fitted):
    x, y, _ = stars(2000, 1)
    again = ProbabilisticForest(n_trees=60, seed=1, workers=3).fit(x, y)
    assert np.array_equal(again.predict_quantiles(x[:40], [0.2]), fitted.predict_quantiles(x[:40], [0.2]))
    other = ProbabilisticForest(n_trees=60, seed=2).fit(x, y)
    assert not np.array_equal(other.predict(x[:40]), fitted.predict(x[:40]))


def test_a_row_answers_alone_as_among_others():
    x, y, sigma = stars(600, 9, 0.2)
    forest = ProbabilisticForest(n_trees=30).fit(x, y, X_error=sigma)
    together = forest.predict_quantiles(x[:20], [0.1, 0.9], X_error=sigma[:20])
    alone = np.concatenate([forest.predict_quantiles(x[k : k + 1], [0.1, 0.9], sigma[k : k + 1]) for k in range(20)])
    assert np.allclose(together, alone, rtol=1e-12, atol=1e-12)  # sums of another length end in other last bits


def test_label_errors_and_weights():
    rng = np.random.default_rng(10)
    x = rng.uniform(size=(1500, 2))
    sigma = np.where(rng.random(1500) < 0.5, 0.05, 2.0)
    y = x[:, 0] + sigma * rng.normal(size=1500)
    asked = rng.uniform(0.1, 0.9, size=(400, 2))
    off = {}
    for name, more in (("none", {}), ("errors", {"y_error": sigma}), ("weights", {"sample_weight": sigma < 1.0})):
        forest = ProbabilisticForest(n_trees=60, calibrate=False).fit(x, y, **more)
        off[name] = np.std(forest.predict(asked) - asked[:, 0])
    assert off["errors"] < 0.6 * off["none"]
    assert off["weights"] < 0.2 * off["none"]


def test_label_errors_weigh_no_more_than_labels_scatter_beyond_them():
    """Two kinds of labels, good and poor, far apart in truth: where both scatter, the good ones do not rule."""
    rng = np.random.default_rng(15)
    x = rng.uniform(size=(3000, 2))
    good = rng.random(3000) < 0.5
    sigma = np.where(good, 0.02, 0.1)  # both below the scatter of 0.5 that inputs do not tell
    y = np.where(good, 1.0, 0.0) + 0.5 * rng.normal(size=3000) + sigma * rng.normal(size=3000)
    forest = ProbabilisticForest(n_trees=30, min_samples_leaf=50, calibrate=False).fit(x, y, y_error=sigma)
    # weights 1 / sigma^2 would answer 0.96
    assert forest.predict(x).mean() == pytest.approx(0.5, abs=0.05)


def test_missing_inputs_are_no_obstacle():
    x, y, _ = stars(1500, 11)
    rng = np.random.default_rng(11)
    holes = np.where(rng.random(x.shape) < 0.2, np.nan, x)
    forest = ProbabilisticForest(n_trees=40).fit(holes, y, X_error=np.full_like(x, 0.1))
    found = forest.predict_quantiles(holes, [0.16, 0.84])
    assert np.isfinite(found).all()
    assert np.isfinite(forest.predict(np.full((1, 4), np.nan))).all()


def test_constant_and_repeated_inputs():
    x, y, _ = stars(800, 12)
    odd = np.column_stack([x, np.full(800, 7.0), x[:, 0]])
    forest = ProbabilisticForest(n_trees=30).fit(odd, y, X_error=np.full_like(odd, 0.1))
    assert np.isfinite(forest.predict_quantiles(odd[:20], [0.1, 0.9], np.full((20, 6), 0.1))).all()
    same = ProbabilisticForest(n_trees=5).fit(x, np.full(800, 4.0))
    assert np.allclose(same.predict_quantiles(x[:5], [0.1, 0.9]), 4.0)


def test_expected_true_inputs():
    """The mean and variance of the truth are found under the noise, and expectations have the least squared error."""
    rng = np.random.default_rng(13)
    true = rng.normal(2.0, 0.5, size=(20_000, 1))
    sigma = rng.uniform(0.1, 1.0, size=true.shape)
    measured = true + sigma * rng.normal(size=true.shape)
    prior = true_inputs(measured, sigma)
    assert prior[:, 0] == pytest.approx([2.0, 0.25], abs=0.015)
    expected, width = seen(measured, sigma, prior)
    assert np.std((expected - true) / width) == pytest.approx(1.0, abs=0.02)
    assert np.mean((expected - true) ** 2) < 0.6 * np.mean((measured - true) ** 2)


def test_quantile_kernel_on_a_law_of_three_stars():
    """One tree, one leaf: values 1, 2, 4 with shares 1/4, 1/4, 1/2; straight lines between the middles of the steps."""
    levels = np.array([0.05, 0.125, 0.25, 0.375, 0.75, 0.9])
    out = np.empty((1, len(levels)))
    kernels.quantile_functions(
        np.zeros((1, 1), dtype=np.int64), np.empty((0, 1), dtype=bool), np.array([0, 3]),
        np.array([2, 0, 1], dtype=np.int32), np.array([0.5, 0.25, 0.25]), np.array([1.0, 2.0, 4.0]), levels, out,
    )  # fmt: skip
    assert out[0] == pytest.approx([1.0, 1.0, 1.5, 2.0, 4.0, 4.0])


def test_saved_and_loaded(tmp_path, fitted):
    x = stars(50, 14)[0]
    fitted.save(tmp_path / "model")
    again = ProbabilisticForest.load(tmp_path / "model")
    assert np.array_equal(again.predict_quantiles(x, [0.1, 0.9]), fitted.predict_quantiles(x, [0.1, 0.9]))
    assert np.array_equal(again.sample(x, 5, 1), fitted.sample(x, 5, 1))
    assert {path.suffix for path in (tmp_path / "model").iterdir()} == {".json", ".safetensors"}
    record, tensors = load_folder(tmp_path / "model", KIND)
    record["widths"].append(1.0)  # of a second output, of which nothing else is there
    save_folder(tmp_path / "model", KIND, record, tensors)
    with pytest.raises(ModelFileError, match="fit and save it anew"):
        ProbabilisticForest.load(tmp_path / "model")


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"n_trees": 0}, "n_trees"), ({"min_samples_leaf": 0}, "min_samples_leaf"), ({"error_share": 2.0}, "error_share"),
     ({"workers": True}, "workers")],
)  # fmt: skip
def test_settings_out_of_range(settings, message):
    with pytest.raises(ConfigError, match=message):
        ProbabilisticForest(**settings).fit([[1.0], [2.0]], [1.0, 2.0])


def test_bad_input(fitted):
    x, y, _ = stars(60, 15)
    forest = ProbabilisticForest(n_trees=3)
    for wrong in (np.full_like(x, -1.0), np.full_like(x, np.inf)):
        with pytest.raises(CatalogError, match="negative or infinite"):
            forest.fit(x, y, X_error=wrong)
    with pytest.raises(CatalogError, match="shape"):
        forest.fit(x, y, X_error=np.ones((3, 3)))
    with pytest.raises(ValueError, match="at least one non-zero"):
        forest.fit(x, y, sample_weight=np.zeros(60))
    with pytest.raises(ValueError, match="NaN"):
        forest.fit(x, np.where(np.arange(60) == 3, np.nan, y))
    with pytest.raises(ValueError, match="infinity"):
        fitted.predict(np.full((1, 4), np.inf))
    with pytest.raises(ConfigError, match="validation"):
        forest.fit(x, y, validation=(x,))
    with pytest.raises(CatalogError, match="validation labels"):
        forest.fit(x, y, validation=(x, np.full(60, np.nan)))
    with pytest.raises(ConfigError, match="between 0 and 1"):
        fitted.predict_quantiles(x, [1.2])
    with pytest.raises(ConfigError, match="size"):
        fitted.sample(x, 0, 1)
    assert np.isfinite(forest.fit(x[:1], y[:1]).predict(x)).all()
