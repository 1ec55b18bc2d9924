from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import Galactocentric, SkyCoord, galactocentric_frame_defaults

from starloom.dynamics.frames import MAS_YR_KPC, GalacticFrame, frame_names
from starloom.errors import ConfigError


def stars(count=300, seed=0):
    rng = np.random.default_rng(seed)
    ra, dec = rng.uniform(0, 360, count), np.degrees(np.arcsin(rng.uniform(-1, 1, count)))
    return ra, dec, rng.lognormal(0, 1.5, count), *rng.normal(0, 8, (2, count)), rng.normal(0, 200, count)


def test_the_default_is_astropys_v4():
    with galactocentric_frame_defaults.set("v4.0"):
        expected = Galactocentric()
    found = GalacticFrame().galactocentric()
    assert found.galcen_distance.to_value(u.kpc) == expected.galcen_distance.to_value(u.kpc)
    assert found.z_sun.to_value(u.kpc) == expected.z_sun.to_value(u.kpc)
    np.testing.assert_allclose(
        found.galcen_v_sun.xyz.to_value(u.km / u.s), expected.galcen_v_sun.xyz.to_value(u.km / u.s)
    )


def test_the_older_preset_is_astropys():
    with galactocentric_frame_defaults.set("pre-v4.0"):
        older, found = Galactocentric(), GalacticFrame.named("astropy_v3.1")
    assert found.r0 == older.galcen_distance.to_value(u.kpc)
    assert found.z_sun == older.z_sun.to_value(u.kpc)
    np.testing.assert_allclose(found.v_sun, older.galcen_v_sun.xyz.to_value(u.km / u.s))


def test_another_sun():
    found = GalacticFrame(8.0, 0.0, (0.0, 220.0, 0.0), "round").galactocentric()
    assert found.galcen_distance.to_value(u.kpc) == 8.0
    np.testing.assert_allclose(found.galcen_v_sun.xyz.to_value(u.km / u.s), [0, 220, 0])


@pytest.mark.parametrize("name", frame_names())
def test_there_and_back(name):
    frame, seen = GalacticFrame.named(name), stars()
    back = frame.to_icrs(*frame.to_galactocentric(*seen))
    turn = np.radians((back.ra - seen[0] + 180) % 360 - 180) * np.cos(np.radians(seen[1]))
    assert np.abs(turn).max() < 1e-9
    assert np.abs(np.radians(back.dec - seen[1])).max() < 1e-9
    np.testing.assert_allclose(back.distance, seen[2], rtol=1e-10)
    for found, wanted in zip(back[3:5], seen[3:5], strict=True):
        assert np.abs(MAS_YR_KPC * seen[2] * (found - wanted)).max() < 1e-6
    assert np.abs(back.radial_velocity - seen[5]).max() < 1e-6


@pytest.mark.parametrize("name", frame_names())
def test_as_astropy(name):
    frame, seen = GalacticFrame.named(name), stars()
    coordinates = SkyCoord(
        seen[0] * u.deg,
        seen[1] * u.deg,
        seen[2] * u.kpc,
        pm_ra_cosdec=seen[3] * u.mas / u.yr,
        pm_dec=seen[4] * u.mas / u.yr,
        radial_velocity=seen[5] * u.km / u.s,
    ).transform_to(frame.galactocentric())
    mirror = [1 if frame.handedness == "right" else -1, 1, 1]
    x, v = frame.to_galactocentric(*seen)
    np.testing.assert_allclose(x, coordinates.cartesian.xyz.to_value(u.kpc).T * mirror, atol=1e-9)
    np.testing.assert_allclose(v, coordinates.velocity.d_xyz.to_value(u.km / u.s).T * mirror, atol=1e-6)


def test_as_galpy_whose_sun_is_at_positive_x():
    from galpy.orbit import Orbit

    frame, seen = GalacticFrame.named("galpy"), stars(20)
    orbit = Orbit(np.stack(seen, -1), radec=True, ro=8.0, vo=220.0, zo=0.0208, solarmotion=[-11.1, 12.24, 7.25])
    x, v = frame.to_galactocentric(*seen)
    np.testing.assert_allclose(x, np.stack([orbit.x(), orbit.y(), orbit.z()], -1), atol=3e-4 * seen[2].max())
    np.testing.assert_allclose(frame.turning(x[:, 0] * v[:, 1] - x[:, 1] * v[:, 0]), orbit.Lz(), rtol=2e-3, atol=3.0)


def test_the_sun_seen_from_itself():
    frame = GalacticFrame()
    x, v = frame.sun
    assert x == pytest.approx([-np.sqrt(8.122**2 - 0.0208**2), 0, 0.0208])
    assert v == pytest.approx([12.9, 245.6, 7.78])
    assert frame.to_icrs(x, v).distance[0] == 0


@pytest.mark.parametrize("name", ["astropy_v4.0", "galpy"])
def test_the_jacobian_is_the_derivative(name):
    frame, seen = GalacticFrame.named(name), np.stack(stars(50, 1))
    found = frame.jacobian(*seen)
    for place, step in enumerate((1e-4, 1e-4, 1e-4, 1e-2, 1e-2, 1e-2)):
        move = np.zeros_like(seen)
        move[place] = step / (np.cos(np.radians(seen[1])) if place == 0 else 1.0)
        ahead, back = (np.hstack(frame.to_galactocentric(*(seen + sign * move))) for sign in (1, -1))
        numeric = (ahead - back) / (2 * step)
        np.testing.assert_allclose(found[:, :, place], numeric, rtol=1e-6, atol=1e-6 * np.abs(found).max())


def test_errors_by_jacobian_and_by_draws():
    frame = GalacticFrame()
    star = (150.0, 40.0, 3.0, -5.0, 2.0, 90.0)
    scale = np.array([1e-6, 1e-6, 0.05, 0.05, 0.04, 1.5])
    correlation = np.eye(6)
    correlation[3, 4] = correlation[4, 3] = 0.5
    covariance = correlation * np.outer(scale, scale)
    first_order = frame.propagate_covariance(*star, covariance)[0]
    x, v = frame.sample(*star, covariance, 40_000, 3)
    drawn = np.cov(np.hstack([x[0], v[0]]).T)
    spread = np.sqrt(np.diag(first_order))
    # the error of a sample covariance is about sqrt(2 / 40000) = 0.7 % of the product of the spreads
    assert np.abs((drawn - first_order) / np.outer(spread, spread)).max() < 0.035
    again = frame.sample(*star, covariance, 10, 3)
    np.testing.assert_array_equal(again.x, frame.sample(*star, covariance, 10, 3).x)


def test_nan_covariance_gives_nan():
    frame = GalacticFrame()
    covariance = np.eye(6)
    covariance[2, 2] = np.nan
    assert np.isnan(frame.sample(10.0, 20.0, 1.0, 0.0, 0.0, 0.0, covariance, 5, 0).x).all()
    assert np.isnan(frame.propagate_covariance(10.0, 20.0, 1.0, 0.0, 0.0, 0.0, covariance)).any()


@pytest.mark.parametrize(
    ("covariance", "message"),
    [
        (np.eye(5), "must be"),
        (-np.eye(6), "negative variance"),
        (np.eye(6) + np.triu(np.full((6, 6), 0.1), 1), "symmetric"),
    ],
)
def test_wrong_covariances(covariance, message):
    with pytest.raises(ConfigError, match=message):
        GalacticFrame().propagate_covariance(10.0, 20.0, 1.0, 0.0, 0.0, 0.0, covariance)


def test_prograde_in_both_hands():
    for name in ("astropy_v4.0", "galpy"):
        frame = GalacticFrame.named(name)
        x, v = frame.sun
        assert frame.prograde(x[0] * v[1] - x[1] * v[0])
        assert frame.turning(x[0] * v[1] - x[1] * v[0]) > 1800
        assert not frame.prograde(np.nan)


def test_mirrored_tables_are_seen():
    frame, rng = GalacticFrame(), np.random.default_rng(2)
    x = frame.sun.x + rng.normal(0, 0.3, (500, 3))
    v = np.array([0, 230.0, 0]) + rng.normal(0, 30, (500, 3))
    assert frame.mirrored(x, v) is False
    assert frame.mirrored(x, v * [1, -1, 1]) is True
    assert frame.mirrored(x * [-1, 1, 1], v) is True
    assert frame.mirrored(x[:5], v[:5]) is None
    assert frame.mirrored(x, v - [0, 230, 0]) is False  # a halo sample has no sense of rotation


def test_distances_that_are_none():
    x, v = GalacticFrame().to_galactocentric([10.0] * 4, 20.0, [1.0, 0.0, -2.0, np.nan], 0.0, 0.0, 0.0)
    assert np.isfinite(x[0]).all()
    assert np.isnan(x[1:]).all()
    assert np.isnan(v[1:]).all()


@pytest.mark.parametrize(
    "settings",
    [{"r0": -8.0}, {"r0": np.nan}, {"z_sun": 9.0}, {"v_sun": (1.0, 2.0)}, {"handedness": "ambidextrous"}],
)
def test_frames_that_cannot_be(settings):
    with pytest.raises(ConfigError):
        GalacticFrame(**settings)


def test_unknown_preset():
    with pytest.raises(ConfigError, match="astropy_v"):
        GalacticFrame.named("kepler")


def test_shapes_that_do_not_fit():
    with pytest.raises(ConfigError, match="one-dimensional"):
        GalacticFrame().to_galactocentric(np.ones((2, 2)), 1.0, 1.0, 1.0, 1.0, 1.0)
    with pytest.raises(ConfigError, match=r"\(n, 3\)"):
        GalacticFrame().to_icrs(np.ones((2, 3)), np.ones((3, 3)))
