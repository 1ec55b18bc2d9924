from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import kendalltau, spearmanr

from starloom.dependence.association import associations
from starloom.dependence.copula import fit_copula
from starloom.errors import CatalogError, ConfigError

RHO = -0.6


def pair(n, rho=RHO, seed=1):
    first, second = np.random.default_rng(seed).normal(size=(2, n))
    return first, rho * first + np.sqrt(1.0 - rho**2) * second


def gaussian(u, v, rho=RHO):
    x, y = ndtri(u), ndtri(v)
    return np.exp(-(rho**2 * (x**2 + y**2) - 2 * rho * x * y) / (2 * (1 - rho**2))) / np.sqrt(1 - rho**2)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_gaussian_copula_is_found(seed):
    copula = fit_copula(*pair(50_000, seed=seed))
    u = np.linspace(0.05, 0.95, 91)
    found, true = copula.density(u[:, None], u[None, :]), gaussian(u[:, None], u[None, :])
    assert np.abs(found - true).mean() < 0.04  # 0.02 is what it is


def test_margins_integrate_to_one():
    copula = fit_copula(*pair(50_000))
    grid, step = copula.grid, copula.grid[1] - copula.grid[0]
    phi = np.exp(-0.5 * grid**2) / np.sqrt(2 * np.pi)
    inside = np.abs(grid) < ndtri(0.999)
    for axis in (0, 1):
        margin = copula.scores_density.sum(axis=axis) * step
        assert np.abs(margin / phi - 1.0)[inside].max() < 0.01


def test_it_does_not_depend_on_rising_maps_or_the_order_of_rows():
    x, y = pair(3000)
    u, density = fit_copula(x, y).on_grid(21)
    np.testing.assert_array_equal(fit_copula(np.exp(x), 5 * y**3).on_grid(21)[1], density)
    order = np.random.default_rng(0).permutation(len(x))
    np.testing.assert_allclose(fit_copula(x[order], y[order]).on_grid(21)[1], density, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(fit_copula(y, x).on_grid(21)[1], density.T, rtol=1e-6, atol=1e-9)
    assert u.shape == (21,)


def test_independence_and_a_falling_map():
    x, y = np.random.default_rng(4).normal(size=(2, 30_000))
    u = np.linspace(0.1, 0.9, 17)
    assert np.abs(fit_copula(x, y).density(u[:, None], u) - 1.0).mean() < 0.05
    a = fit_copula(*pair(20_000)).density(u[:, None], u)
    first, second = pair(20_000)
    np.testing.assert_allclose(fit_copula(-first, second).density(u[:, None], u), a[::-1], rtol=1e-3, atol=1e-3)


def test_weights_bring_back_what_a_selection_took():
    x, y = pair(60_000)
    kept_share = 1.0 / (1.0 + np.exp(-2.0 * x))
    kept = np.random.default_rng(7).random(len(x)) < kept_share
    u = np.linspace(0.1, 0.9, 17)
    weighted = fit_copula(x[kept], y[kept], weights=1.0 / kept_share[kept])
    assert np.abs(weighted.density(u[:, None], u) - gaussian(u[:, None], u)).mean() < 0.08
    assert weighted.effective_rows < weighted.rows


def test_missing_rows_and_rows_without_weight_do_not_count():
    x, y = pair(500)
    w = np.ones(502)
    w[-1] = 0.0
    longer = np.append(x, [np.nan, 3.0]), np.append(y, [1.0, 3.0])
    a, b = fit_copula(x, y, weights=w[:500]), fit_copula(*longer, weights=w)
    assert b.rows == 500
    np.testing.assert_array_equal(a.scores_density, b.scores_density)


def test_perfect_dependence_has_a_density():
    x, _ = pair(2000)
    copula = fit_copula(x, 2 * x)
    density = copula.on_grid(41)[1]
    assert np.isfinite(density).all()
    assert (density.argmax(axis=1) == np.arange(41)).mean() > 0.9
    assert copula.correlation == pytest.approx(1.0)
    assert np.isnan(copula.density([0.0, 1.0, np.nan], 0.5)).all()


@pytest.mark.parametrize(
    ("x", "y", "more", "error", "match"),
    [
        (np.ones(50), np.arange(50.0), {}, CatalogError, "first column has one value only, 1"),
        (np.arange(50.0), np.full(50, np.nan), {}, CatalogError, "0 rows"),
        (np.arange(5.0), np.arange(5.0), {}, CatalogError, "5 rows .* needs 20"),
        (np.arange(50.0), np.arange(49.0), {}, ConfigError, "shapes"),
        (np.arange(50.0), np.arange(50.0), {"weights": np.zeros(50)}, CatalogError, "0 rows"),
        (np.arange(50.0), np.arange(50.0), {"weights": -np.ones(50)}, CatalogError, "negative"),
        (np.arange(50.0), np.arange(50.0), {"weights": np.ones(3)}, ConfigError, "shape"),
        (np.arange(50.0), np.arange(50.0), {"bandwidth": 1.0}, ConfigError, "bandwidth"),
    ],
)
def test_bad_input_is_refused(x, y, more, error, match):
    with pytest.raises(error, match=match):
        fit_copula(x, y, **more)


def test_associations_are_those_of_scipy():
    rng = np.random.default_rng(3)
    x = np.round(rng.normal(size=700), 1)
    y = np.round(0.5 * x + rng.normal(size=700), 1)
    found = associations(x, y)
    assert found.spearman == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)
    assert found.kendall == pytest.approx(kendalltau(x, y).statistic, abs=1e-12)


def test_associations_of_a_gaussian_copula():
    found = associations(*pair(200_000))
    assert found.spearman == pytest.approx(6 / np.pi * np.arcsin(RHO / 2), abs=0.01)
    assert found.kendall == pytest.approx(2 / np.pi * np.arcsin(RHO), abs=0.01)
    assert found.normal_scores == pytest.approx(RHO, abs=0.01)
    x, _ = pair(10_000)
    assert associations(x, np.exp(x)).lower_tail == pytest.approx(1.0)
    assert associations(x, -x).upper_tail == 0.0


def test_whole_weights_are_rows_as_often():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 80))
    w = rng.integers(0, 3, 80)
    w[0] = 1
    a, b = associations(x, y, weights=w), associations(np.repeat(x, w), np.repeat(y, w))
    assert a.spearman == pytest.approx(b.spearman, abs=1e-12)


def test_associations_refuse_what_has_none():
    for x, y in (([1.0, 1.0], [1.0, 2.0]), ([1.0, np.nan], [1.0, 2.0]), ([], [])):
        with pytest.raises(CatalogError, match="two values"):
            associations(x, y)
    with pytest.raises(ConfigError, match="tail"):
        associations([1.0, 2.0], [1.0, 2.0], tail=0.9)
