"""The sample and its motions: signs in every handedness, errors, cuts and bad input."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable

from starloom.dynamics.frames import GalacticFrame
from starloom.errors import CatalogError, ConfigError, MissingColumnError
from starloom.halo.line_of_sight import rest_velocities, rotation_from_velocities
from starloom.halo.metal_poor import MetalPoorDisk
from starloom.halo.metal_poor_mock import MadeHalo
from starloom.halo.prograde import prograde_fraction


@pytest.fixture(scope="module")
def stars():
    return MadeHalo().sample(300, 4)


def values(table, name):
    return np.asarray(getattr(table[name], "value", table[name]))


@pytest.mark.parametrize("name", ["astropy_v4.0", "galpy"])
def test_a_star_that_turns_with_the_sun_is_prograde_in_both_handednesses(name):
    frame = GalacticFrame.named(name)
    seen = frame.to_icrs(np.array([frame.sun.x + np.array([0.0, 0.0, 2.0])] * 2), np.array([frame.sun.v, -frame.sun.v]))
    table = QTable({key: np.asarray(getattr(seen, key)) for key in seen._fields})
    table["fe_h"] = [-2.5, -2.5]
    table["distance_error"] = [0.05, 0.05] * u.kpc
    found = MetalPoorDisk(frame_name=name).predict(table, orbits=False)
    assert values(found, "p_prograde").tolist() == [1.0, 0.0]
    np.testing.assert_allclose(values(found, "rotation"), [frame.v_sun[1], -frame.v_sun[1]], atol=1.0)
    assert found["selected"].all()


def test_both_handednesses_agree_on_the_fraction(stars):
    """The same stars through frames that differ in the Sun's motion by 14 km/s and in handedness."""
    right = MetalPoorDisk().predict(stars, orbits=False)
    left = MetalPoorDisk(frame_name="galpy").predict(stars, orbits=False)
    agree = (values(right, "p_prograde") > 0.5) == (values(left, "p_prograde") > 0.5)
    assert agree.mean() > 0.9


def test_signs_are_probable_as_often_as_they_are_right(stars):
    many = MadeHalo().sample(3000, 9)
    found = MetalPoorDisk(draws=128).predict(many, orbits=False)
    p, true = values(found, "p_prograde"), np.asarray(many["true_prograde"])
    doubtful = (p > 0.1) & (p < 0.9)
    assert doubtful.sum() > 100
    # prograde stars are the more frequent ones: the likelihood ratio times the odds is what is right
    odds = p / (1.0 - p + 1e-12) * 0.72 / 0.28
    expected = odds / (1.0 + odds)
    error = np.sqrt(doubtful.sum() * 0.25)
    assert abs(true[doubtful].sum() - expected[doubtful].sum()) < 3.0 * error


def test_the_fraction_of_an_isotropic_halo_is_one_half():
    """20 samples of 300: a standard error of 0.007 (three of them), through the cuts and distance errors."""
    found = []
    for seed in range(20):
        made = MadeHalo(kind="isotropic").sample(300, 700 + seed)
        table = MetalPoorDisk(draws=64, seed=seed).predict(made, orbits=False)
        found.append(prograde_fraction(values(table, "p_prograde")[np.asarray(table["selected"])]).value)
    assert abs(np.mean(found) - 0.5) < 0.021


def test_cuts_and_unusable_rows_have_reasons(stars):
    table = stars[:8].copy()
    table["fe_h"][:2] = -1.5, np.nan
    table["radial_velocity"][2] = np.nan * u.km / u.s
    table["distance"][3] = -1.0 * u.kpc
    table["snr"][4] = 2.0
    table["distance"][5] = 40.0 * u.kpc
    found = MetalPoorDisk().predict(table, orbits=False)
    reasons = list(found["reason"])
    assert "[Fe/H] outside the sample" in reasons[0]
    assert "no [Fe/H]" in reasons[1]
    assert "no radial_velocity" in reasons[2]
    assert "not positive" in reasons[3]
    assert "too noisy" in reasons[4]
    assert "|Z| outside the sample" in reasons[5]
    assert len(found) == 8
    assert not np.asarray(found["selected"])[:6].any()
    assert np.isnan(values(found, "p_prograde")[2:4]).all()


def test_a_very_uncertain_distance_makes_the_sign_uncertain(stars):
    table = stars[:40].copy()
    sure = values(MetalPoorDisk().predict(table, orbits=False), "p_prograde")
    table["distance_error"] = 0.6 * table["distance"]
    vague = values(MetalPoorDisk().predict(table, orbits=False), "p_prograde")
    known = np.isfinite(sure) & np.isfinite(vague)
    assert np.mean(np.abs(vague - 0.5)[known]) < np.mean(np.abs(sure - 0.5)[known]) - 0.02


def test_parallaxes_stand_in_for_distances(stars):
    table = stars[:20].copy()
    table["parallax"] = (1.0 / values(table, "distance")) * u.mas
    table["parallax_error"] = 0.05 * table["parallax"]
    table["parallax"][0] = -0.1 * u.mas
    table.remove_columns(["distance", "distance_error"])
    found = MetalPoorDisk().predict(table, orbits=False)
    assert "parallax is not positive" in found["reason"][0]
    assert np.isfinite(values(found, "p_prograde")[1:]).all()


def test_orbits_of_the_sample(stars):
    found = MetalPoorDisk(orbit_draws=4, workers=1).predict(stars[:25])
    chosen = np.asarray(found["selected"])
    e, z_max = values(found, "eccentricity"), values(found, "z_max")
    assert np.isfinite(e[chosen]).all()
    assert np.isnan(e[~chosen]).all()
    assert ((e[chosen] >= 0) & (e[chosen] < 1)).all()
    assert (z_max[chosen] > 0.99 * np.abs(values(found, "galactic_height")[chosen])).all()
    assert {"eccentricity_low", "z_max_high"} < set(found.colnames)


def test_draws_do_not_depend_on_the_run(stars):
    a, b = (values(MetalPoorDisk(seed=3).predict(stars, orbits=False), "p_prograde") for _ in range(2))
    np.testing.assert_array_equal(a, b)


def test_bad_tables_and_settings_are_refused(stars):
    with pytest.raises(CatalogError, match="no rows"):
        MetalPoorDisk().predict(stars[:0])
    lacking = stars.copy()
    lacking.remove_column("fe_h")
    with pytest.raises(MissingColumnError, match="fe_h"):
        MetalPoorDisk().predict(lacking)
    lacking = stars.copy()
    lacking.remove_column("distance")
    with pytest.raises(MissingColumnError, match="distance"):
        MetalPoorDisk().predict(lacking)
    with pytest.raises(ConfigError, match="ranges"):
        MetalPoorDisk(fe_h=(-2.0, -3.0))
    with pytest.raises(ConfigError, match="draws"):
        MetalPoorDisk(draws=0)
    with pytest.raises(ConfigError, match="frame"):
        MetalPoorDisk(frame_name="none").predict(stars)
    with pytest.raises(ConfigError, match="fraction"):
        MadeHalo(fraction=1.0)
    with pytest.raises(ConfigError, match="distances"):
        MadeHalo().sample(3, 1, distance=[1.0, 2.0, 3.0])


def test_the_made_fraction_is_the_one_asked_for():
    halo = MadeHalo(alpha_slope=2.0)
    made = halo.sample(20000, 2)
    assert np.mean(np.asarray(made["true_prograde"])) == pytest.approx(np.mean(made["true_fraction"]), abs=0.01)
    turning = MetalPoorDisk(draws=8).predict(made[:2000], orbits=False)
    assert np.mean((values(turning, "rotation") > 0) == np.asarray(made["true_prograde"])[:2000]) > 0.95


# ------------------------------------------------------------------------------------------------ line of sight


@pytest.mark.parametrize("name", ["astropy_v4.0", "galpy"])
def test_rotation_is_found_from_lines_of_sight(name):
    """Near stars that turn at 150 km/s, with 100 km/s of random motion."""
    frame, rng = GalacticFrame.named(name), np.random.default_rng(3)
    ra, dec = rng.uniform(0.0, 360.0, 4000), np.degrees(np.arcsin(rng.uniform(-1.0, 1.0, 4000)))
    still = np.zeros(4000)
    x = frame.to_galactocentric(ra, dec, still + 0.05, still, still, still).x
    v = rng.normal(0.0, 100.0, (4000, 3))
    v[:, 1] += 150.0
    speed = frame.to_icrs(x, v).radial_velocity
    found = rotation_from_velocities(ra, dec, speed, frame, seed=1)
    assert abs(found.value - 150.0) < 4.0 * 0.5 * (found.high - found.low)
    assert found.dispersion == pytest.approx(100.0, rel=0.05)
    at_rest, _ = rest_velocities(ra, dec, -rest_velocities(ra, dec, np.zeros(4000), frame)[0], frame)
    np.testing.assert_allclose(at_rest, 0.0, atol=1e-9)


def test_a_few_wild_velocities_do_no_harm():
    frame, rng = GalacticFrame(), np.random.default_rng(4)
    ra, dec = rng.uniform(0.0, 360.0, 500), rng.uniform(-60.0, 60.0, 500)
    rest, share = rest_velocities(ra, dec, np.zeros(500), frame)
    speed = 80.0 * share - rest + rng.normal(0.0, 90.0, 500)
    speed[:3] = 1990.0
    speed[3] = np.nan
    found = rotation_from_velocities(ra, dec, speed, frame, seed=1)
    assert abs(found.value - 80.0) < 30.0
    assert found.stars <= 496
    with pytest.raises(CatalogError, match="at least 20"):
        rotation_from_velocities(ra[:5], dec[:5], speed[:5], frame)


@pytest.mark.parametrize("fraction", [0.002, 0.3, 0.5, 0.72, 0.998])
def test_two_crowds_have_the_fraction_that_they_say(fraction):
    made = MadeHalo(kind="populations", fraction=fraction).sample(4000, 5)
    true = np.asarray(made["true_fraction"])
    error = np.sqrt(np.mean(true * (1.0 - true)) / len(true))
    assert abs(np.mean(made["true_prograde"]) - true.mean()) < 4.0 * error
    assert true.min() > 0.006
    assert true.max() < 0.994
    assert abs(true.mean() - fraction) < 0.06  # the slope with [Fe/H] is not straight in the fraction
