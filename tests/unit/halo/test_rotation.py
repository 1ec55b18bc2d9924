"""The two spreads of the rotation: closed forms, brute force, samples of other shapes than the fit's, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import beta, norm

from starloom.errors import CatalogError, ConfigError
from starloom.halo import rotation
from starloom.halo.metal_poor import MetalPoorDisk
from starloom.halo.metal_poor_mock import MadeHalo
from starloom.halo.prograde import prograde_fraction
from starloom.halo.rotation import sign_probabilities


def test_sure_signs_give_the_beta_posterior():
    rng = np.random.default_rng(1)
    speed = rng.uniform(30.0, 200.0, 60) * np.repeat([1.0, -1.0], [44, 16])
    found = sign_probabilities(speed, np.full(60, 1.0), seed=2)
    np.testing.assert_array_equal(found.probability, np.tile(speed > 0, (len(found.probability), 1)))
    expected = beta(44.5, 16.5)
    assert found.fraction.mean() == pytest.approx(expected.mean(), abs=4.0 * expected.std() / np.sqrt(1000))
    assert found.fraction.std() == pytest.approx(expected.std(), rel=0.1)


def test_tents_have_the_area_one_and_their_integrals_are_right():
    nodes, normal = np.array([0.0, 40.0, 80.0, 120.0, 180.0, 270.0]), norm(25.0, 20.0)
    for k in range(len(nodes)):

        def tent(v, k=k):
            return float(rotation._tents(nodes, np.array([v]))[0, k])

        ends = [float(nodes[max(k - 1, 0)]), float(nodes[min(k + 1, len(nodes) - 1)])]
        assert quad(tent, *ends, points=[float(nodes[k])])[0] == pytest.approx(1.0, abs=1e-9)
        draws, weight = rotation._measured([25.0], [20.0], None)
        for side in (1.0, -1.0):
            exact = quad(lambda v, tent=tent, side=side: tent(v) * normal.pdf(side * v), *ends, points=[nodes[k]])[0]
            got = rotation._integrals(nodes, side * draws, weight / weight.sum())[0, k]
            assert got == pytest.approx(exact, abs=3e-4)
    assert rotation._tents(nodes, np.array([271.0])).sum() == 0.0


def test_draws_have_the_posterior_that_sums_over_a_grid_give():
    """Six stars, two tents a side: the mean and the width of f by brute force in three dimensions."""
    seen = np.random.default_rng(3).uniform(0.05, 1.0, (6, 2, 2))
    fractions, _ = rotation.gibbs_draws(seen, 40_000, 100, np.random.default_rng(4))
    grid = (np.arange(80) + 0.5) / 80
    f = beta(0.5, 0.5).ppf(grid)[:, None, None, None]  # its prior is even over these
    up, down = grid[None, :, None, None], grid[None, None, :, None]
    a, b = (part * seen[:, side, 0] + (1.0 - part) * seen[:, side, 1] for side, part in enumerate((up, down)))
    weight = np.prod(f * a + (1.0 - f) * b, axis=-1).sum(axis=(1, 2))
    mean = np.average(f.ravel(), weights=weight)
    width = np.sqrt(np.average((f.ravel() - mean) ** 2, weights=weight))
    assert fractions.mean() == pytest.approx(mean, abs=0.006)
    assert fractions.std() == pytest.approx(width, abs=0.006)


def crowd(kind, count, rng):
    """Rotations, and the true fraction: none of these shapes is a row of straight lines."""
    if kind == "half normals":
        prograde = rng.random(count) < 0.72
        return np.where(prograde, np.abs(rng.normal(0, 150, count)), -np.abs(rng.normal(0, 110, count))), 0.72
    if kind == "populations":
        turning = rng.random(count) < 0.5
        v = np.where(turning, rng.normal(150.0, 50.0, count), rng.normal(0.0, 110.0, count))
        return v, 0.5 * norm.sf(-3.0) + 0.25
    if kind == "gap":
        prograde = rng.random(count) < 0.72
        return np.where(prograde, rng.gamma(3.0, 50.0, count), -rng.exponential(90.0, count)), 0.72
    return rng.normal(0.0, 130.0, count), 0.5


@pytest.mark.parametrize("kind", ["half normals", "populations", "gap", "isotropic"])
def test_the_fraction_of_many_stars_is_the_true_one(kind):
    """8,000 stars with errors of 30 km/s; the plain likelihood is off by 5 to 20 of its errors where shapes differ."""
    rng = np.random.default_rng(11)
    v, true = crowd(kind, 8000, rng)
    seen = v + rng.normal(0.0, 30.0, len(v))
    found = sign_probabilities(seen, np.full(len(v), 30.0), seed=5)
    assert abs(found.fraction.mean() - true) < 3.5 * found.fraction.std()
    plain = prograde_fraction(norm.cdf(seen / 30.0))
    off = abs(plain.value - true) / (0.5 * (plain.high - plain.low))
    assert off < 3.5 if kind == "isotropic" else off > 4.0
    # the same from the versions of the probabilities, as they are handed on
    again = prograde_fraction(found.probability)
    assert again.value == pytest.approx(found.fraction.mean(), abs=0.5 * found.fraction.std())
    middle, low, high = found.density(np.array([-90.0, 60.0]))
    assert (low < middle).all()
    assert (middle < high).all()


def test_the_density_has_the_integral_one():
    rng = np.random.default_rng(6)
    found = sign_probabilities(rng.normal(60.0, 120.0, 500), np.full(500, 15.0), seed=1)
    at = np.linspace(-900.0, 900.0, 6001)
    assert np.sum(found.density(at)[0]) * (at[1] - at[0]) == pytest.approx(1.0, abs=0.03)
    assert found.density(0.0)[0].shape == (1,)


def test_versions_are_averaged():
    p = np.random.default_rng(7).random(50)
    one, same = prograde_fraction(p), prograde_fraction(np.tile(p, (4, 1)))
    assert same.value == pytest.approx(one.value, abs=1e-12)
    assert same.counted == one.counted
    low, high = prograde_fraction(0.5 * p), prograde_fraction(0.5 + 0.5 * p)
    both = prograde_fraction(np.stack([0.5 * p, 0.5 + 0.5 * p]))
    assert low.low <= both.low <= both.value <= both.high <= high.high
    assert both.high - both.low > one.high - one.low


def test_draws_of_a_table_are_those_of_its_probabilities():
    stars = MadeHalo().sample(60, 3)
    stars["radial_velocity"][5] = np.nan * stars["radial_velocity"].unit
    model = MetalPoorDisk(draws=64)
    draws, weight = model.rotation_draws(stars)
    p = np.asarray(model.predict(stars, orbits=False)["p_prograde"])
    ok = np.isfinite(p)
    assert not ok[5]
    share = np.where(draws > 0, weight, 0.0).sum(axis=1)[ok] / weight.sum(axis=1)[ok]
    np.testing.assert_allclose(p[ok], share)
    found = sign_probabilities(draws, weight=weight, seed=1)
    assert np.isnan(found.probability[:, 5]).all()
    assert np.isfinite(found.probability[:, ok]).all()
    # a star that is sure of its sign stays so
    np.testing.assert_array_equal(found.probability[:, p == 1.0], 1.0)
    again = sign_probabilities(draws, weight=weight, seed=1)
    np.testing.assert_array_equal(found.fraction, again.fraction)


def test_bad_input_is_refused():
    v, s = np.linspace(-100.0, 200.0, 30), np.full(30, 10.0)
    with pytest.raises(CatalogError, match="at least 20"):
        sign_probabilities(v[:19], s[:19])
    with pytest.raises(CatalogError, match="0 are usable"):
        sign_probabilities(np.full(30, np.nan), s)
    with pytest.raises(ConfigError, match="with their errors"):
        sign_probabilities(v)
    with pytest.raises(ConfigError, match="shape"):
        sign_probabilities(v, s[:5])
    with pytest.raises(ConfigError, match="negative"):
        sign_probabilities(v, -s)
    with pytest.raises(ConfigError, match="weights"):
        sign_probabilities(np.tile(v, (3, 1)).T, weight=s)
    with pytest.raises(ConfigError, match="negative"):
        sign_probabilities(np.tile(v, (3, 1)).T, weight=-np.ones((30, 3)))
    with pytest.raises(ConfigError, match="version"):
        sign_probabilities(v, s, versions=0)
    still = sign_probabilities(np.zeros(30), np.zeros(30), seed=1)  # nothing moves: nothing is known, and nothing fails
    assert np.isfinite(still.fraction).all()
