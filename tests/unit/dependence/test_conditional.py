from __future__ import annotations

import numpy as np
import pytest

from starloom.dependence.bands import bands, random_blocks, sky_blocks
from starloom.dependence.conditional import ConditionalMap
from starloom.dependence.grids import map_on_grid
from starloom.errors import CatalogError, ConfigError, FitError


def disk(n, seed):
    """The mock of the accuracy runs: unit normal responses with a known correlation over (R, |z|)."""
    rng = np.random.default_rng(seed)
    z = np.stack([rng.gamma(9.0, 1.0, n), np.abs(rng.laplace(0.0, 0.5, n))], axis=1)
    z = z[(z[:, 0] < 20.0) & (z[:, 1] < 2.0)]
    rho = true_rho(z)
    first, second = rng.normal(size=(2, len(z)))
    return z, first, rho * first + np.sqrt(1.0 - rho**2) * second


def true_rho(z):
    r, height = z.T
    return -0.5 * np.exp(-((r / 5) ** 2)) - 0.35 * np.minimum(height / 2, 1) + 0.1 * np.tanh((r - 12) / 3)


GRID = np.stack(np.meshgrid(np.linspace(0, 20, 41), np.linspace(0, 2, 9), indexing="ij"), -1).reshape(-1, 2)


@pytest.fixture(scope="module")
def fitted():
    return ConditionalMap("correlation").fit(*disk(60_000, 11))


def test_a_known_correlation_map_is_found(fitted):
    found, true = fitted.predict(GRID), true_rho(GRID)
    core = (GRID[:, 0] > 4) & (GRID[:, 0] < 14) & (GRID[:, 1] < 1.5)
    assert np.isfinite(found[core]).mean() > 0.7
    assert np.sqrt(np.nanmean((found - true)[core] ** 2)) < 0.02
    assert np.sqrt(np.nanmean((found - true) ** 2)) < 0.03
    assert np.isnan(found[GRID[:, 0] < 0.2]).all()


def test_bands_cover_and_are_the_same_again(fitted):
    found = bands(fitted, GRID, refits=40, seed=3)
    true, known = true_rho(GRID), np.isfinite(found.value)
    inside = [(found.low[k] <= true)[known] & (true <= found.high[k])[known] for k in (0, 1)]
    assert 0.4 < inside[0].mean() < 0.95  # one mock; the long runs judge twenty
    assert inside[1].mean() > 0.8
    assert (found.bias < found.error)[known].all()
    assert np.isnan(found.error[~known]).all()
    again = bands(fitted, GRID, refits=40, seed=3)
    np.testing.assert_array_equal(found.low, again.low)
    jack = bands(fitted, GRID, refits=30, method="jackknife", seed=3)
    assert 0.7 < np.nanmedian(jack.error / found.error) < 1.4
    for made, factor in ((found, 1.0), (jack, 29**2 / 30)):  # the jackknife's refits lie that much closer together
        scatter = np.nanvar(np.arctanh(made.draws[:, known]), axis=0, ddof=1) * (1.0 - made.value[known] ** 2) ** 2
        np.testing.assert_allclose(made.error[known] ** 2 - made.bias[known] ** 2, factor * scatter, rtol=1e-6)


def test_blocks_that_belong_together_widen_the_bands():
    rng = np.random.default_rng(5)
    patch = np.repeat(np.arange(60), 60)
    z = rng.random(3600)
    x = rng.normal(size=60)[patch] + 0.3 * rng.normal(size=3600)
    fitted = ConditionalMap("mean").fit(z, x)
    alone = bands(fitted, [0.3, 0.7], refits=60)
    together = bands(fitted, [0.3, 0.7], refits=60, blocks=patch)
    assert (together.error > 3 * alone.error).all()
    with pytest.raises(CatalogError, match="needs 10"):
        bands(fitted, [0.3], blocks=patch // 20)
    with pytest.raises(CatalogError, match="shape"):
        bands(fitted, [0.3], blocks=patch[:5])


def test_blocks():
    assert np.bincount(random_blocks(103, 10, 1)).tolist() == [11] * 3 + [10] * 7
    cells = sky_blocks([10.0, 10.1, 200.0], [5.0, 5.0, -60.0])
    assert cells[0] == cells[1] != cells[2]


def test_location_and_scale_functionals_of_a_known_distribution():
    from scipy.stats import norm

    rng = np.random.default_rng(6)
    z = rng.uniform(0.0, 1.0, 40_000)
    sigma = 0.5 + z
    x = np.sin(4 * z) + sigma * rng.normal(size=len(z))
    at = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
    width = 0.5 + at
    expectile = 0.33712  # of a standard normal at 0.7
    for model, true in (
        (ConditionalMap("mean"), np.sin(4 * at)),
        (ConditionalMap("quantile", 0.8), np.sin(4 * at) + width * norm.ppf(0.8)),
        (ConditionalMap("expectile", 0.7), np.sin(4 * at) + width * expectile),
        (ConditionalMap("variance"), width**2),
    ):
        found = model.fit(z, x)
        tolerance = 0.04 if model.functional != "variance" else 0.08 * width**2
        assert (np.abs(found.predict(at) - true) < tolerance).all(), model.functional
        band = bands(found, at, refits=10)
        assert ((band.low[0] < band.value) & (band.value < band.high[0])).all()


def test_the_expectile_above_is_right():
    from scipy.stats import expectile, norm

    assert expectile(norm.ppf((np.arange(100_000) + 0.5) / 100_000), 0.7) == pytest.approx(0.33712, abs=2e-5)


def test_a_correlation_does_not_depend_on_units_or_sign():
    z, x, y = disk(8000, 3)
    model = ConditionalMap("correlation")
    place = [[8.0, 0.3], [10.0, 0.5]]
    value = model.fit(z, x, y).predict(place)
    np.testing.assert_allclose(model.fit(z, 3 * x + 5, 0.1 * y).predict(place), value, atol=1e-6)
    np.testing.assert_allclose(model.fit(z, -x, y).predict(place), -value, atol=1e-6)
    np.testing.assert_allclose(model.fit(z, y, x).predict(place), value, atol=1e-4)
    np.testing.assert_allclose(model.fit(z * [2, 7], x, y).predict(np.array(place) * [2, 7]), value, atol=1e-6)


def test_whole_weights_are_rows_as_often():
    z, x, y = disk(3000, 3)
    w = np.random.default_rng(1).integers(0, 3, len(z))
    model, place = ConditionalMap("correlation", least_count=1.0), [[8.0, 0.3]]
    a = model.fit(z, x, y, weights=w.astype(float)).predict(place)
    b = model.fit(np.repeat(z, w, axis=0), np.repeat(x, w), np.repeat(y, w)).predict(place)
    np.testing.assert_allclose(a, b, atol=1e-6)


def test_attenuation_is_taken_out():
    z, x, y = disk(60_000, 4)
    rng = np.random.default_rng(9)
    x_error = rng.uniform(0.2, 0.9, len(x))
    noisy = x + x_error * rng.normal(size=len(x)), y + 0.4 * rng.normal(size=len(y))
    model = ConditionalMap("correlation")
    naive = model.fit(z, *noisy)
    clean = model.fit(z, *noisy, x_error=x_error, y_error=np.full(len(y), 0.4))
    true = true_rho(GRID)
    strong = true < -0.25
    assert np.nanmean((naive.predict(GRID) / true)[strong]) < 0.85
    assert abs(np.nanmean((clean.predict(GRID) - true)[strong])) < 0.03
    spread = ConditionalMap("variance").fit(z, noisy[1], y_error=None, x_error=np.full(len(y), 0.4))
    assert np.nanmean(spread.predict(GRID)) == pytest.approx(1.0, abs=0.03)


def test_errors_larger_than_the_spread_leave_no_value():
    z, x, y = disk(5000, 4)
    found = ConditionalMap("correlation").fit(z, x, y, x_error=np.full(len(x), 1.5))
    assert np.isnan(found.predict([[8.0, 0.3]])).all()


def test_perfect_correlation_is_one():
    z, x, _ = disk(4000, 4)
    found = ConditionalMap("correlation").fit(z, x, 2.0 * x + 1.0)
    assert found.predict([[8.0, 0.3]])[0] == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("dimensions", [1, 3, 5])
def test_any_number_of_covariates(dimensions):
    rng = np.random.default_rng(dimensions)
    z = rng.random((4000, dimensions))
    x = z.sum(axis=1) + 0.1 * rng.normal(size=4000)
    found = ConditionalMap("mean", least_count=1.0).fit(z, x)
    place = np.full((1, dimensions), 0.5)
    assert found.predict(place)[0] == pytest.approx(0.5 * dimensions, abs=0.05)
    assert np.isnan(found.predict(place + 7.0)).all()
    assert np.isfinite(found.predict(place + 7.0, masked=False)).all()
    assert np.isnan(found.predict(np.full((1, dimensions), np.nan))).all()


def test_many_catalogs_give_no_nan():
    for seed in range(12):
        z, x, y = disk(1500, 100 + seed)
        found = ConditionalMap("correlation").fit(z, x, y).predict(GRID, masked=False)
        assert np.isfinite(found).all()
        assert (np.abs(found) <= 1.0).all()


def test_counts_are_of_the_window():
    rng = np.random.default_rng(2)
    found = ConditionalMap("mean").fit(rng.random(50_000), rng.normal(size=50_000))
    assert found.effective_counts([0.5])[0] == pytest.approx(5000, rel=0.1)  # a tenth of the rows
    assert found.effective_counts([-1.0, 2.0, np.nan]).tolist() == [0.0, 0.0, 0.0]
    weights = np.where(np.arange(50_000) % 2, 1.0, 0.0)
    part = ConditionalMap("mean").fit(rng.random(50_000), rng.normal(size=50_000), weights=weights)
    assert part.effective_counts([0.5])[0] == pytest.approx(2500, rel=0.1)


def test_the_networks_find_it_too(monkeypatch):
    monkeypatch.setattr("starloom.dependence.networks.STEPS", 700)
    z, x, y = disk(20_000, 5)
    found = ConditionalMap("correlation", engine="networks").fit(z, x, y, seed=2)
    core = (GRID[:, 0] > 5) & (GRID[:, 0] < 12) & (GRID[:, 1] < 1.0)
    assert np.sqrt(np.nanmean((found.predict(GRID) - true_rho(GRID))[core] ** 2)) < 0.12
    with pytest.raises(FitError, match="splines"):
        bands(found, GRID)
    with pytest.raises(ConfigError, match="measurement errors"):
        ConditionalMap("correlation", engine="networks").fit(z, x, y, x_error=np.ones(len(x)))


def test_bands_where_no_row_lies_are_missing(fitted):
    found = bands(fitted, [[90.0, 90.0]], refits=2)
    assert np.isnan([found.value, found.error, *found.low, *found.high]).all()


def test_a_map_as_a_table(fitted):
    table = map_on_grid(fitted, ["r", "z"], points=6, refits=0)
    assert table.colnames == ["r", "z", "value", "effective_count"]
    assert len(table) == 36
    with pytest.raises(ConfigError, match="2 covariates"):
        map_on_grid(fitted, ["r"])
    with pytest.raises(ConfigError, match="fewer points"):
        map_on_grid(fitted, ["r", "z"], points=2000)


Z, X = np.random.default_rng(0).random((2, 300))


@pytest.mark.parametrize(
    ("arguments", "more", "error", "match"),
    [
        ((Z, np.ones(300)), {}, CatalogError, "response x is 1 in every row"),
        ((Z[:50], X[:50]), {}, CatalogError, "50 of 50 rows .* needs 100"),
        ((np.full(300, np.nan), X), {}, CatalogError, "0 of 300 rows"),
        ((Z, np.where(X > 0.1, np.inf, X)), {}, CatalogError, "of 300 rows"),
        ((Z, X), {"weights": np.zeros(300)}, CatalogError, "0 of 300 rows"),
        ((Z, X), {"weights": -np.ones(300)}, CatalogError, "weights is -1 in row 0"),
        ((Z, X), {"x_error": -np.ones(300)}, CatalogError, "x_error is -1"),
        ((Z, X[:5]), {}, ConfigError, "x has shape"),
        ((np.ones((2, 2, 2)), X), {}, ConfigError, "covariates have shape"),
        ((Z, X, X), {}, ConfigError, "leave y out"),
        ((np.empty((0, 2)), np.empty(0)), {}, CatalogError, "0 of 0 rows"),
    ],
)
def test_bad_input_is_refused(arguments, more, error, match):
    with pytest.raises(error, match=match):
        ConditionalMap("mean").fit(*arguments, **more)


def test_bad_settings_are_refused(fitted):
    for settings, match in (
        ({"functional": "mode"}, "none of mean"),
        ({"level": 1.0}, "between 0 and 1"),
        ({"engine": "forest"}, "splines"),
    ):
        with pytest.raises(ConfigError, match=match):
            ConditionalMap(**settings)
    with pytest.raises(ConfigError, match="two responses"):
        ConditionalMap("correlation").fit(Z, X)
    with pytest.raises(ConfigError, match="segments"):
        ConditionalMap("mean", segments=(3, 4)).fit(Z, X)
    with pytest.raises(ConfigError, match="2 covariates"):
        fitted.predict([[1.0, 2.0, 3.0]])
    for more, match in (
        ({"method": "guess"}, "bootstrap"),
        ({"refits": 1}, "two refits"),
        ({"levels": (2.0,)}, "levels"),
    ):
        with pytest.raises(ConfigError, match=match):
            bands(fitted, GRID, **more)


def test_a_constant_covariate_and_a_copied_one():
    found = ConditionalMap("mean", least_count=1.0).fit(np.ones(300), X)
    assert found.predict([1.0])[0] == pytest.approx(X.mean(), abs=1e-6)
    twice = ConditionalMap("mean", least_count=1.0).fit(np.stack([Z, Z], axis=1), Z)
    assert twice.predict([[0.4, 0.4]])[0] == pytest.approx(0.4, abs=0.01)
