from __future__ import annotations

import numpy as np
import pytest

from starloom.errors import ConfigError
from starloom.galactic_center.binary import BlackHoleBinary
from starloom.galactic_center.brute_force import counts_by_force, expected_by_force, expected_from_hills
from starloom.galactic_center.detection import Candidate
from starloom.galactic_center.ejection import CenterStars, expected_ejected
from starloom.galactic_center.exclusion import (
    ExpectedMap,
    empirical_zero,
    expected,
    expected_map,
    levels_of,
    randomized_limit,
    sky_counts,
    upper_limit,
)
from starloom.galactic_center.hills import HillsMechanism
from starloom.galactic_center.library import StarLibrary
from starloom.galactic_center.scenario import Scenario
from starloom.simulation.gaia_errors import release

RULE, DR4 = Candidate(), release("dr4")


@pytest.fixture(scope="module")
def library(sky):
    return StarLibrary.build(sky, 20_000, seed=1)


@pytest.fixture(scope="module")
def candidate(library, sky):
    return library.arrived.detected(sky, DR4, RULE, seed=2, noise=2).candidate


def test_weights_count_the_living_stars_of_the_galaxy(library, tracks):
    """Their sum is the number thrown out times the share that lives, for every population (4 sigma)."""
    for stars in (CenterStars(), CenterStars(slope=2.35), CenterStars(ages="continuous"), CenterStars(ages="recent")):
        for scenario in (Scenario(BlackHoleBinary(1000.0), separation=1.0),
                         Scenario(BlackHoleBinary(4000.0), since_merger=5.0)):  # fmt: skip
            weights = library.weights(scenario, stars)
            from starloom.galactic_center.ejection import eject

            drawn = eject(scenario, stars, tracks, count=20_000, seed=3)
            number = expected_ejected(scenario, stars, tracks, 100.0) * drawn.alive.mean()
            error = np.sqrt(np.sum(weights**2)) + 0.01 * number
            assert abs(weights.sum() - number) < 4.0 * error


def test_library_equals_brute_force(library, candidate, sky):
    """Three binaries, 3 sigma each: false alarm 1 %; seeds were fixed before the first run."""
    for k, (mass, state) in enumerate(((500.0, {"separation": 1.0}), (1000.0, {"separation": 1.0}),
                                       (4000.0, {"separation": 0.3}), (1000.0, {"since_merger": 5.0}))):  # fmt: skip
        scenario = Scenario(BlackHoleBinary(mass), **state)
        ours = expected(library, candidate, scenario, CenterStars())
        force = expected_by_force(sky, scenario, CenterStars(), DR4, RULE, 4000, noise=2, seed=50 + k)
        assert abs(ours.value - force.value) < 3.0 * np.hypot(ours.error, force.error)
        assert ours.error / ours.value < force.error / force.value


def test_simulated_skies_agree_with_poisson(library, candidate, sky):
    scenario, stars = Scenario(BlackHoleBinary(700.0), separation=1.0), CenterStars()
    weights = library.weights(scenario, stars)
    mean = expected(library, candidate, scenario, stars).value
    counts = sky_counts(weights, candidate, 3000, 1)
    assert counts.mean() == pytest.approx(mean, abs=4 * np.sqrt(mean / 3000))
    zero = empirical_zero(counts)
    assert zero.low < np.exp(-mean) < zero.high
    forced = counts_by_force(sky, scenario, stars, DR4, RULE, 60, seed=3)
    assert len(forced) == 60
    error = np.hypot(np.sqrt(mean / 60), expected(library, candidate, scenario, stars).error)
    assert abs(forced.mean() - mean) < 4 * error


def test_more_mass_means_more_candidates(library, candidate):
    masses = np.geomspace(100.0, 2e4, 12)
    made = expected_map(library, candidate, CenterStars(), masses, [0.3, 1.0, 3.0])
    assert (np.diff(made.value, axis=1) > 0).all()
    assert (np.diff(made.value, axis=0) < 0).all()
    assert (np.diff(made.zero_probability(), axis=1) <= 0).all()
    one = expected(library, candidate, Scenario(BlackHoleBinary(masses[4]), separation=1.0), CenterStars())
    assert made.value[1, 4] == pytest.approx(one.value)
    assert made.error[1, 4] == pytest.approx(one.error)
    threshold = made.threshold(0.95)
    assert (np.diff(threshold[:, 0]) > 0).all()
    assert (threshold[:, 1] < threshold[:, 0]).all()
    assert (threshold[:, 2] > threshold[:, 0]).all()
    assert made.remarks
    merged = expected_map(library, candidate, CenterStars(), masses, [1.0, 20.0, 150.0], kind="since_merger")
    assert (merged.value[2] == 0).all()
    assert np.isnan(merged.threshold(0.95, 2)[0])


def test_threshold_of_a_power_law():
    masses = np.geomspace(100.0, 1e4, 21)
    value = (masses / 1000.0) ** 2 * 2.9957
    made = ExpectedMap(masses, np.array([1.0]), "separation", value[None], 0.1 * value[None])
    value, low, high = made.threshold(0.95, 0)
    assert value == pytest.approx(1000.0, rel=1e-4)
    assert low == pytest.approx(1000.0 / np.sqrt(1.1), rel=1e-3)
    assert high == pytest.approx(1000.0 / np.sqrt(0.9), rel=1e-3)
    nothing = ExpectedMap(masses, np.array([1.0]), "separation", np.zeros((1, 21)), np.zeros((1, 21)))
    assert np.isnan(nothing.threshold(0.95, 0)).all()
    everything = ExpectedMap(masses, np.array([1.0]), "separation", np.full((1, 21), 9.0), np.zeros((1, 21)))
    assert (everything.threshold(0.95, 0) == 0).all()


def test_poisson_limits():
    assert upper_limit(0) == pytest.approx(-np.log(0.05))
    np.testing.assert_allclose(upper_limit([1, 3]), [4.7439, 7.7537], atol=1e-4)
    assert levels_of(3.0) == (0.68, 0.95)
    assert levels_of(1.0) == ()
    for bad in ((-1, 0.95), (0, 1.0), (0, 0.0)):
        with pytest.raises(ConfigError):
            upper_limit(*bad)


def test_coverage_of_the_limit():
    """1000 synthetic skies; 2 % is 2.9 sigma, so a false alarm of 0.4 %. The plain limit is never short."""
    rng = np.random.default_rng(11)
    truth = rng.uniform(1.0, 6.0, 1000)
    counts = rng.poisson(truth)
    assert 0.93 <= np.mean(randomized_limit(counts, 0.95, rng) >= truth) <= 0.97
    assert np.mean(upper_limit(counts) >= truth) >= 0.95


def test_empirical_zero():
    none = empirical_zero(np.ones(1000, dtype=int))
    assert none.share == 0.0
    assert none.high == pytest.approx(1 - 0.025 ** (1 / 1000), rel=1e-6)
    assert empirical_zero([0, 0]).high == 1.0
    with pytest.raises(ConfigError):
        empirical_zero([])


def test_hills_stars_scale_with_the_rate(sky):
    found = [expected_from_hills(sky, HillsMechanism(rate=rate), CenterStars(), DR4, RULE, 4000, seed=1) for rate in
             (1e-3, 2e-3)]  # fmt: skip
    assert found[0].value > 0
    assert found[1].value == pytest.approx(2 * found[0].value)


def test_a_library_is_the_same_for_any_number_of_workers(sky):
    one, two = (StarLibrary.build(sky, 700, seed=9, workers=w) for w in (1, 2))
    np.testing.assert_array_equal(one.arrived.flown.x, two.arrived.flown.x)
    np.testing.assert_array_equal(one.density, two.density)


def test_bad_maps_are_refused(library, candidate, sky):
    for masses, kind in (([1000.0], "separation"), ([2000.0, 1000.0], "separation"), ([1e3, 2e3], "phase")):
        with pytest.raises(ConfigError):
            expected_map(library, candidate, CenterStars(), masses, [1.0], kind=kind)
    with pytest.raises(ConfigError):
        StarLibrary.build(sky, 0, seed=1)
    with pytest.raises(ConfigError):
        expected_by_force(sky, Scenario(BlackHoleBinary(1e3), separation=1.0), CenterStars(), DR4, RULE, 0, seed=1)
