from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest

from starloom.dynamics.components import G, MassComponent
from starloom.dynamics.integrals import angular_momentum, energy, l_perp
from starloom.dynamics.orbits import TIME_UNIT, integrate
from starloom.dynamics.potentials import Potential, potential
from starloom.errors import ConfigError

KEPLER = Potential("Kepler", (MassComponent("sun", "plummer", (1e10, 0.0)),))


def disk_stars(count, seed=0):
    rng = np.random.default_rng(seed)
    x = np.stack([rng.normal(-8, 0.5, count), rng.normal(0, 0.5, count), rng.normal(0, 0.3, count)], -1)
    v = np.stack([rng.normal(0, 35, count), rng.normal(220, 25, count), rng.normal(0, 20, count)], -1)
    return x, v


def launched(count, low, high, seed=1):
    rng = np.random.default_rng(seed)
    out = rng.normal(size=(count, 3))
    out /= np.linalg.norm(out, axis=1)[:, None]
    return 0.003 * out, rng.uniform(low, high, count)[:, None] * out


# In McMillan17 the force is of a spline: smooth to the fourth derivative only, so steps have to be finer.
@pytest.mark.parametrize(
    ("name", "tolerance"), [("MilkyWayPotential2022", 1e-10), ("MWPotential2014", 1e-10), ("McMillan17", 1e-11)]
)
def test_disk_stars_keep_their_energy(name, tolerance):
    found = integrate(potential(name), *disk_stars(150), [0.5, 1.0], tolerance=tolerance)
    assert found.energy_error.max() < 1e-9
    assert (found.flag == 0).all()


def test_a_circular_orbit_takes_its_time():
    """In Gyr: this, and the comparison with gala and galpy, is where a wrong unit of time would show."""
    model, speed = potential("MWPotential2014"), 220.0 * u.km / u.s
    period = (2 * np.pi * 8 * u.kpc / speed).to_value(u.Gyr)
    found = integrate(model, [[8.0, 0, 0]], [[0, 220.0, 0]], [period / 4, period])
    np.testing.assert_allclose(found.positions[0], [[0, 8.0, 0], [8.0, 0, 0]], atol=1e-7)


def test_kepler_of_eccentricity_0_9999():
    a, e = 1.0, 0.9999
    gm = G * 1e10
    period = 2 * np.pi * np.sqrt(a**3 / gm) * TIME_UNIT
    apocenter = [[a * (1 + e), 0, 0]]
    speed = np.sqrt(gm / a * (1 - e) / (1 + e))
    found = integrate(KEPLER, apocenter, [[0, speed, 0]], [100 * period], tolerance=1e-13)
    assert found.energy_error[0] < 1e-9
    assert found.pericenter[0] == pytest.approx(a * (1 - e), rel=1e-5)
    assert found.passages[0, 0] == 100
    np.testing.assert_allclose(found.positions[0, 0], apocenter[0], atol=1e-4)


def test_time_reversal():
    x, v = launched(40, 550, 1500)
    model = potential("Marchetti2017")
    out = integrate(model, x, v, [0.05], tolerance=1e-12)
    back = integrate(model, out.positions[:, 0], out.velocities[:, 0], [-0.05], tolerance=1e-12)
    reach = np.linalg.norm(out.positions[:, 0], axis=-1)
    assert (np.linalg.norm(back.positions[:, 0] - x, axis=-1) / reach).max() < 1e-6


def test_launches_from_the_center_keep_energy_and_direction():
    x, v = launched(400, 550, 2000)
    found = integrate(potential("Marchetti2017"), x, v, [0.1])
    assert found.energy_error.max() < 1e-8
    assert not found.flag.any()
    slow = integrate(potential("Marchetti2017"), *launched(60, 450, 600, 2), [0.1])
    assert slow.energy_error.max() < 1e-8  # they fall back through the center
    sphere = Potential("sphere", potential("Marchetti2017").components[::3])
    found = integrate(sphere, x, v, [0.1])
    twist = np.linalg.norm(angular_momentum(found.positions[:, 0], found.velocities[:, 0]), axis=-1)
    size = np.linalg.norm(found.positions[:, 0], axis=-1) * np.linalg.norm(found.velocities[:, 0], axis=-1)
    assert (twist / size).max() < 1e-8
    assert (found.unbound == (found.energy >= 0)).all()
    assert found.unbound.any()


def test_l_z_is_conserved():
    x, v = disk_stars(50)
    found = integrate(potential("heavy"), x, v, [2.0])
    l_z = angular_momentum(x, v)[:, 2]
    assert np.abs(angular_momentum(found.positions[:, 0], found.velocities[:, 0])[:, 2] / l_z - 1).max() < 1e-9


def test_times_in_any_order():
    x, v = disk_stars(5)
    model = potential("MilkyWayPotential")
    times = np.array([0.3, -0.2, 0.0, 1.0, 1e-9, -1.5, 0.3, 0.30001])
    found = integrate(model, x, v, times, tolerance=1e-12)
    np.testing.assert_array_equal(found.positions[:, 2], x)
    np.testing.assert_array_equal(found.positions[:, 0], found.positions[:, 6])
    for place, time in enumerate(times):
        if time != 0:
            alone = integrate(model, x, v, [time], tolerance=1e-13)
            np.testing.assert_allclose(found.positions[:, place], alone.positions[:, 0], atol=2e-8)
            np.testing.assert_allclose(found.velocities[:, place], alone.velocities[:, 0], atol=2e-6)


def test_times_of_their_own():
    x, v = disk_stars(3)
    model = potential("MilkyWayPotential")
    times = np.array([[0.1, -0.5], [1.0, 2.0], [-0.1, -0.3]])
    found = integrate(model, x, v, times)
    for star in range(3):
        alone = integrate(model, x[star], v[star], times[star])
        np.testing.assert_array_equal(found.positions[star], alone.positions[0])


def test_as_gala_and_galpy():
    from gala.dynamics import PhaseSpacePosition
    from galpy.orbit import Orbit

    x, v = disk_stars(5, seed=4)
    model, times = potential("MilkyWayPotential"), np.linspace(0, 2, 21)
    found = integrate(model, x, v, times, tolerance=1e-12)
    start = PhaseSpacePosition(pos=x.T * u.kpc, vel=v.T * u.km / u.s)
    gala = model.to_gala().integrate_orbit(
        start, t=times * u.Gyr, Integrator="dop853", Integrator_kwargs={"atol": 1e-13, "rtol": 1e-13}
    )
    np.testing.assert_allclose(found.positions.T, gala.xyz.to_value(u.kpc), atol=1e-6)
    radius = np.hypot(x[:, 0], x[:, 1])
    v_r = (x[:, 0] * v[:, 0] + x[:, 1] * v[:, 1]) / radius
    v_t = (x[:, 0] * v[:, 1] - x[:, 1] * v[:, 0]) / radius
    for star in range(2):
        phase = [
            radius[star] / 8,
            v_r[star] / 220,
            v_t[star] / 220,
            x[star, 2] / 8,
            v[star, 2] / 220,
            np.arctan2(x[star, 1], x[star, 0]),
        ]
        orbit = Orbit(phase, ro=8.0, vo=220.0)
        orbit.integrate(times * u.Gyr, model.to_galpy(8.0, 220.0), method="dop853_c")
        path = np.stack([orbit.x(times * u.Gyr), orbit.y(times * u.Gyr), orbit.z(times * u.Gyr)], -1)
        np.testing.assert_allclose(found.positions[star], path, atol=1e-6)


def test_turning_points_are_those_of_the_path():
    x, v = disk_stars(20)
    v[:10] *= 0.5
    found = integrate(potential("MWPotential2014"), x, v, np.linspace(0, 3, 6001))
    r = np.linalg.norm(found.positions, axis=-1)
    np.testing.assert_allclose(found.pericenter_least, r.min(axis=1), rtol=1e-3)
    np.testing.assert_allclose(found.apocenter_largest, r.max(axis=1), rtol=1e-3)
    np.testing.assert_allclose(found.z_max, np.abs(found.positions[:, :, 2]).max(axis=1), rtol=1e-3)
    assert (found.pericenter >= found.pericenter_least - 1e-9).all()
    assert ((found.eccentricity > 0) & (found.eccentricity < 1)).all()
    assert (found.r_least <= found.pericenter_least).all()
    np.testing.assert_allclose(found.l_perp, np.median(l_perp(found.positions, found.velocities), axis=1))


def test_workers_change_nothing():
    x, v = disk_stars(600)
    one, two = (integrate(potential("heavy"), x, v, [0.1], workers=count) for count in (1, 3))
    np.testing.assert_array_equal(one.positions, two.positions)


def test_stars_that_cannot_be_carried():
    x = np.array([[np.nan, 0, 0], [8.0, 0, 0], [8.0, 0, 0], [0.0, 0, 0]])
    v = np.array([[0, 220.0, 0], [0, np.inf, 0], [0, 220.0, 0], [0, 0, 0]])
    found = integrate(potential("MilkyWayPotential"), x, v, [0.1, 1.0])
    assert found.reason[0] == found.reason[1] == "position or velocity is not finite"
    assert np.isnan(found.positions[:2]).all()
    assert np.isnan(found.energy_error[:2]).all()
    assert found.flag[2] == found.flag[3] == 0
    assert np.isnan(found.pericenter[0])
    np.testing.assert_array_equal(found.positions[3], 0)
    few = integrate(potential("MilkyWayPotential"), x[2:3], v[2:3], [1.0], most_steps=3)
    assert few.reason == ["too many steps"]
    assert np.isnan(few.positions).all()


def test_nobody():
    found = integrate(potential("heavy"), np.empty((0, 3)), np.empty((0, 3)), [1.0])
    assert found.positions.shape == (0, 1, 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"times_gyr": []}, "at least one time"),
        ({"times_gyr": [np.nan]}, "finite"),
        ({"times_gyr": np.ones((3, 2))}, "times must be"),
        ({"times_gyr": [1.0], "tolerance": 0.5}, "tolerance"),
        ({"times_gyr": [1.0], "workers": 0}, "workers"),
        ({"times_gyr": [1.0], "v": [[1.0, 2.0]]}, r"\(n, 3\)"),
    ],
)
def test_wrong_input(settings, message):
    words = {"x": np.ones((2, 3)), "v": np.ones((2, 3))} | settings
    with pytest.raises(ConfigError, match=message):
        integrate(potential("heavy"), **words)


def test_energy_is_kinetic_and_potential():
    model = potential("heavy")
    assert energy(model, [8.0, 0, 0], [3.0, 4.0, 0]) == pytest.approx(model.value([8.0, 0, 0]) + 12.5)
