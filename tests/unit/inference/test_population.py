"""Populations: closed forms of normal measurements, edges, outliers, and both ways in."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from starloom.errors import CatalogError, ConfigError
from starloom.inference.population import population_of_densities, population_of_draws

EDGES = np.linspace(0.0, 20.0, 201)


def members(seen, sigma, edges=EDGES):
    p = np.diff(norm.cdf(edges[None, :], np.asarray(seen)[:, None], sigma), axis=1)
    return p / p.sum(axis=1, keepdims=True)


def test_normal_measurements_without_spread_give_the_weighted_mean():
    rng = np.random.default_rng(1)
    seen = 12.0 + rng.normal(0.0, 0.8, 100)
    found = population_of_densities(EDGES, members(seen, 0.8), spread=(0.0, 0.05))
    low, middle, high = found.mean_quantiles()
    assert middle == pytest.approx(seen.mean(), abs=0.01)
    assert 0.5 * (high - low) == pytest.approx(0.08, rel=0.03)
    assert found.members == 100
    assert not found.at_edge


def test_mean_and_spread_are_calibrated():
    """Over 80 made populations: a share of 0.68 lies outside 0.53 to 0.83 once in 200 such tests."""
    rng = np.random.default_rng(2)
    inside = np.zeros((80, 2))
    edges = EDGES[::4]
    for k in range(80):
        mean, spread = rng.uniform(8.0, 12.0), rng.uniform(0.2, 2.5)
        seen = rng.normal(mean, spread, 30) + rng.normal(0.0, 0.7, 30)
        found = population_of_densities(edges, members(seen, 0.7, edges), spread=(0.0, 3.0))
        for part, (truth, bounds) in enumerate(((mean, found.mean_quantiles()), (spread, found.spread_quantiles()))):
            inside[k, part] = bounds[0] <= truth <= bounds[2]
    assert ((inside.mean(axis=0) > 0.53) & (inside.mean(axis=0) < 0.83)).all(), inside.mean(axis=0)


def test_the_interim_prior_is_divided_out():
    rng = np.random.default_rng(3)
    seen = 7.0 + rng.normal(0.0, 1.5, 60)
    flat = members(seen, 1.5)
    centers = 0.5 * (EDGES[1:] + EDGES[:-1])
    prior = np.exp(-0.5 * ((centers - 12.0) / 2.0) ** 2) + 1e-9
    prior /= prior.sum()
    pulled = flat * prior
    pulled /= pulled.sum(axis=1, keepdims=True)
    right = population_of_densities(EDGES, pulled, prior=prior)
    echo = population_of_densities(EDGES, pulled)
    reference = population_of_densities(EDGES, flat)
    assert right.mean_quantiles([0.5])[0] == pytest.approx(reference.mean_quantiles([0.5])[0], abs=0.05)
    assert echo.mean_quantiles([0.5])[0] > reference.mean_quantiles([0.5])[0] + 1.0


def test_outliers_do_not_widen_the_population():
    rng = np.random.default_rng(4)
    seen = np.concatenate([rng.normal(12.0, 0.5, 45), rng.uniform(1.0, 8.0, 5)])
    p = members(seen, 0.5)
    plain = population_of_densities(EDGES, p)
    robust = population_of_densities(EDGES, p, outliers=0.4)
    assert plain.spread_limit() > 2.0
    assert robust.spread_limit() < 0.8
    low, middle, high = robust.outlier_quantiles()
    assert low < 0.1 < high
    assert middle < 0.25


def test_a_population_at_the_end_of_the_range_says_so():
    seen = np.full(20, 19.9)
    assert population_of_densities(EDGES, members(seen, 0.5)).at_edge


def test_selection_gives_the_population_before_it():
    """Members enter in proportion to x: the sample's mean is larger than the population's."""
    rng = np.random.default_rng(5)
    x = rng.normal(8.0, 2.0, 8000)
    x = x[(x > 0) & (x < 20)]
    x = x[rng.random(len(x)) < x / 20.0][:600]
    p = members(x + rng.normal(0.0, 0.3, len(x)), 0.3)
    centers = 0.5 * (EDGES[1:] + EDGES[:-1])
    whole = population_of_densities(EDGES, p, selection=centers)
    sample = population_of_densities(EDGES, p)
    assert whole.mean_quantiles([0.5])[0] == pytest.approx(8.0, abs=0.3)
    assert sample.mean_quantiles([0.5])[0] == pytest.approx(8.5, abs=0.25)


def test_draws_and_densities_agree():
    rng = np.random.default_rng(6)
    truth = rng.normal(10.0, 1.0, 40)
    seen = truth + rng.normal(0.0, 0.8, 40)
    draws = seen[:, None] + rng.normal(0.0, 0.8, (40, 500))
    from_draws = population_of_draws(draws, (0.0, 20.0), spread=(0.3, 3.0))
    from_bins = population_of_densities(EDGES, members(seen, 0.8), spread=(0.3, 3.0))
    np.testing.assert_allclose(from_draws.mean_quantiles(), from_bins.mean_quantiles(), atol=0.08)
    np.testing.assert_allclose(from_draws.spread_quantiles(), from_bins.spread_quantiles(), atol=0.1)
    assert from_draws.least_effective > 3
    # with another interim prior, which is told
    prior = np.exp(-draws / 3.0)
    weight = prior / prior.sum(axis=1, keepdims=True)
    pulled = np.stack([rng.choice(row, 500, p=w) for row, w in zip(draws, weight, strict=True)])
    told = population_of_draws(pulled, (0.0, 20.0), prior=np.exp(-pulled / 3.0), spread=(0.3, 3.0))
    np.testing.assert_allclose(told.mean_quantiles(), from_bins.mean_quantiles(), atol=0.15)


def test_samples_of_the_posterior_follow_it():
    found = population_of_densities(EDGES, members(np.full(30, 9.0), 1.0))
    drawn = found.sample(2000, 3)
    assert drawn[:, 0].mean() == pytest.approx(9.0, abs=0.1)
    assert (drawn[:, 2] == 0).all()
    np.testing.assert_array_equal(found.sample(5, 3), found.sample(5, 3))


@pytest.mark.parametrize(
    ("edges", "p", "settings", "error", "message"),
    [
        (EDGES[:-1], members([5.0], 1.0), {}, ConfigError, "rising edges"),
        (EDGES, np.full((2, 200), np.nan), {}, CatalogError, "no member"),
        (EDGES, members([5.0], 1.0), {"prior": np.zeros(200)}, ConfigError, "interim prior"),
        (EDGES, members([5.0], 1.0), {"selection": -np.ones(200)}, ConfigError, "selection"),
        (EDGES, members([5.0], 1.0), {"outliers": 1.0}, ConfigError, "outliers"),
        (EDGES, members([5.0], 1.0), {"spread": (2.0, 1.0)}, ConfigError, "spread"),
    ],
)
def test_bad_input_is_refused(edges, p, settings, error, message):
    with pytest.raises(error, match=message):
        population_of_densities(edges, p, **settings)


@pytest.mark.parametrize(
    ("draws", "error", "message"),
    [
        (np.ones((3, 5)), ConfigError, "at least 20"),
        (np.full((3, 30), np.nan), CatalogError, "no member"),
        (np.full((3, 30), 25.0), ConfigError, "inside"),
    ],
)
def test_bad_draws_are_refused(draws, error, message):
    with pytest.raises(error, match=message):
        population_of_draws(draws, (0.0, 20.0))
