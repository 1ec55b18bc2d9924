from __future__ import annotations

import numpy as np
import pytest

from starloom.errors import ConfigError
from starloom.galactic_center.binary import BlackHoleBinary
from starloom.galactic_center.detection import Candidate, detect
from starloom.galactic_center.ejection import CenterStars, eject
from starloom.galactic_center.evolution import Physics
from starloom.galactic_center.photometry import Photometer
from starloom.galactic_center.scenario import Scenario
from starloom.galactic_center.sky import galactic, simulate
from starloom.simulation.gaia_errors import RELEASES, release

WIDE = Scenario(BlackHoleBinary(1000.0), separation=1.0)
RULE = Candidate()


def test_parallax_errors():
    error = 1e3 * release("dr3").parallax_error(np.array([12.0, 14.0, 16.0, 18.0, 20.0]))
    np.testing.assert_allclose(error, [12.9, 19.1, 47.3, 142.3, 616.5], atol=0.1)
    assert release("dr4").parallax_error(15.0) == pytest.approx(0.749 * release("dr3").parallax_error(15.0))
    assert release("dr3").proper_motion_errors(18.0)[0] == pytest.approx(1.03 * 0.1423, rel=1e-3)
    assert release("dr2").parallax_error(15.0) > release("dr3").parallax_error(15.0)
    with pytest.raises(ConfigError, match="dr2, dr3"):
        release("dr9")


def test_velocity_errors():
    """A dwarf of 5500 K at G_RVS 14: 0.13 + 7; giants by log g; a star of 12,000 K at 10: 1 + 3."""
    dr3 = release("dr3")
    found = dr3.velocity_error(np.array([14.0, 14.0, 14.0, 10.0]), np.array([5500.0, 4500.0, 4000.0, 12000.0]),
                               np.array([4.4, 2.5, 0.5, 4.0]))  # fmt: skip
    np.testing.assert_allclose(found, [7.13, 6.12, 6.16, 4.0])
    assert release("dr4").velocity_error(14.0, 5500.0, 4.4) < 7.13


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("dr2", [(11.9, 6800, True), (12.1, 6800, False), (11.0, 7000, False)]),
        ("dr3", [(13.9, 6800, True), (13.0, 7000, False), (11.9, 14000, True), (11.9, 15000, False)]),
        ("dr4", [(16.1, 6800, True), (16.1, 7000, False), (13.9, 40000, True), (14.1, 40000, False)]),
    ],
)
def test_velocity_rules(name, rules):
    for g_rvs, teff, expected in rules:
        assert bool(RELEASES[name].has_velocity(np.array(g_rvs + 0.5), np.array(g_rvs), np.array(teff))) == expected
    assert not RELEASES[name].has_velocity(np.array(20.8), np.array(11.0), np.array(5000.0))
    assert not RELEASES[name].has_velocity(np.array(np.nan), np.array(np.nan), np.array(5000.0))


def test_magnitudes_of_a_made_sun(photometer):
    sun = Physics(np.array([np.log10(5772.0)]), np.array([4.44]), np.array([0.0]), np.array([1.0]))
    clear = Photometer(photometer.corrections, None)
    found = clear.magnitudes(sun, [0.0], [0.0], [90.0], [0.01])
    assert found.g[0] == pytest.approx(4.74)
    assert found.a_v[0] == 0.0
    assert clear.magnitudes(sun, [0.0], [0.0], [90.0], [1.0]).g[0] == pytest.approx(14.74)
    dusty = photometer.magnitudes(sun, [0.0], [0.0], [90.0], [1.0])
    assert dusty.g[0] == pytest.approx(14.74 + 0.9 * dusty.a_v[0])
    # behind more dust than the table has: the straight line goes on
    deep = photometer.magnitudes(sun, [0.0], [0.0], [0.0], [8.0])
    assert deep.a_v[0] > 6.0
    assert deep.g[0] == pytest.approx(4.74 + 5 * np.log10(800.0) + 0.9 * deep.a_v[0])
    assert np.isnan(photometer.magnitudes(sun, [0.0], [0.0], [0.0], [np.nan]).g[0])


def test_galactic_coordinates():
    from astropy.coordinates import SkyCoord

    ra, dec = np.array([0.0, 83.6, 266.4051, 343.7]), np.array([10.0, 22.0, -28.936175, -51.2])
    l, b = galactic(ra, dec)
    other = SkyCoord(ra, dec, unit="deg").galactic
    # astropy goes through FK5: its axes are 20 mas from those of the Hipparcos catalog
    np.testing.assert_allclose(l, other.l.deg, atol=1e-5, rtol=0)
    np.testing.assert_allclose(b, other.b.deg, atol=1e-5, rtol=0)


def test_stars_on_made_tracks(tracks):
    """Mass, age and phase obey the made law: phase + 1 = 40 age / life."""
    mass, share = np.array([0.8, 1.0, 3.0, 20.0]), np.array([0.3, 0.5, 0.8, 0.6])
    life = 10.0 * mass**-2.5
    found = tracks.at(mass, share * life, 0.1)
    np.testing.assert_allclose(found.eep - 1.0, 40.0 * share - 1.0, atol=0.1)
    np.testing.assert_allclose(found.log_l, 3.5 * np.log10(mass) + 0.03 * (40.0 * share - 1.0), atol=0.01)
    np.testing.assert_allclose(tracks.lifetime(mass, 0.0), np.minimum(life, 13.8), rtol=1e-3)
    dead = tracks.at([1.0, 1.0, np.nan, 1.0, 1.0], [10.8, np.nan, 1.0, 1.0, 20.0], [0.0, 0.0, 0.0, 0.9, 0.0])
    assert np.isnan(dead.log_l).all()


def test_many_stars_are_read_the_same_by_any_number_of_workers(tracks):
    rng = np.random.default_rng(1)
    mass, age = rng.uniform(0.5, 5.0, 5000), rng.uniform(0.01, 1.0, 5000)
    one, two = (tracks.at(mass, age, np.full(5000, 0.05), workers=w) for w in (1, 2))
    np.testing.assert_array_equal(one.log_l, two.log_l)


def test_detection_is_the_same_for_any_number_of_workers(sky):
    ejected = eject(WIDE, CenterStars(kept=(3.0, 100.0)), sky.tracks, count=1500, seed=1)
    arrived = sky.observe(ejected)
    one, two = (arrived.detected(sky, release("dr4"), RULE, seed=2, workers=w) for w in (1, 2))
    assert one.candidate.sum() > 0
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(one.parallax, arrived.detected(sky, release("dr4"), RULE, seed=3).parallax)


def test_candidates_are_measured_fast_and_near(sky):
    ejected = eject(WIDE, CenterStars(kept=(2.0, 100.0)), sky.tracks, count=4000, seed=4)
    arrived = sky.observe(ejected)
    found = arrived.detected(sky, release("dr5"), RULE, seed=2)
    chosen = found.candidate > 0
    assert chosen.sum() > 10
    assert (found.measured[chosen] == 1).all()
    assert (found.parallax_error[chosen] <= 0.2 * found.parallax[chosen]).all()
    assert (found.probability[chosen] >= 0.5).all()
    assert np.mean(arrived.flown.speed[chosen] > 700.0) > 0.8  # errors scatter slower stars, which are more, upward
    assert (ejected.alive[chosen]).all()
    strict = arrived.detected(sky, release("dr5"), Candidate(probability=0.99), seed=2)
    assert strict.candidate.sum() <= found.candidate.sum()
    unbound = arrived.detected(sky, release("dr5"), Candidate(least_speed=0.0), seed=2)
    assert unbound.candidate.sum() > 0
    none = arrived.detected(sky, release("dr5"), Candidate(least_speed=1e5), seed=2)
    assert none.candidate.sum() == 0


def test_a_selection_function_takes_the_place_of_the_rules(sky):
    arrived = sky.observe(eject(WIDE, CenterStars(kept=(3.0, 100.0)), sky.tracks, count=500, seed=1))
    plain = arrived.detected(sky, release("dr4"), RULE, seed=2)
    half = arrived.detected(sky, release("dr4"), RULE, seed=2, selection=lambda seen, m: np.where(m.g < 13, 0.5, 0.0))
    assert set(np.unique(half.measured)) <= {0.0, 0.5}
    assert (half.candidate <= half.measured).all()
    assert plain.measured.sum() > 0


def test_catalog_of_a_binary(sky):
    table = simulate(sky, WIDE, CenterStars(), release("dr3"), count=300, seed=7)
    again = simulate(sky, WIDE, CenterStars(), release("dr3"), count=300, seed=7, workers=2)
    for name in table.colnames:
        np.testing.assert_array_equal(np.asarray(table[name]), np.asarray(again[name]))
    assert len(table) == 300
    dead = np.asarray(table["reason"]) == "not alive today"
    assert dead.any()
    assert (np.asarray(table["p_candidate"])[dead] == 0).all()
    assert table["ejection_speed"].unit == "km/s"


@pytest.mark.parametrize(
    "bad",
    [{"parallax_precision": 0.0}, {"least_speed": -1.0}, {"probability": 0.0}, {"probability": 1.1}, {"draws": 0}],
)
def test_bad_definitions_are_refused(bad):
    with pytest.raises(ConfigError):
        Candidate(**bad)


def test_noise_must_be_drawn(sky):
    arrived = sky.observe(eject(WIDE, CenterStars(), sky.tracks, count=3, seed=1))
    with pytest.raises(ConfigError):
        detect(
            arrived.flown.seen, arrived.magnitudes, np.ones(3), np.ones(3), release("dr3"), RULE, sky.sun, sky.model,
            noise=0, seed=1,
        )  # fmt: skip
