from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp

from starloom.dynamics.components import G
from starloom.dynamics.orbits import TIME_UNIT
from starloom.dynamics.potentials import potential
from starloom.dynamics.vertical_actions import VerticalActions, VerticalPotential
from starloom.errors import ConfigError


@pytest.fixture(scope="module")
def slab():
    return VerticalActions(VerticalPotential.slab(0.09, 0.15, 0.012))


@pytest.fixture(scope="module")
def galaxy():
    return VerticalActions(VerticalPotential.at_radius(potential("MWPotential2014"), 8.0))


def stars(count, seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(0.0, 0.5, count), rng.normal(0.0, 25.0, count)


def test_the_harmonic_oscillator():
    table = VerticalActions(VerticalPotential.harmonic(70.0))
    z, v = stars(2000)
    found = table.find(z, v)
    assert np.abs(found.action_z / ((v**2 / 2 + 70.0**2 * z**2 / 2) / 70.0) - 1).max() < 1e-12
    assert np.abs(found.omega_z / 70.0 - 1).max() < 1e-12
    assert np.abs(np.exp(1j * found.theta_z) - np.exp(1j * np.arctan2(70.0 * z, v))).max() < 1e-12


def test_small_orbits_in_the_slab_are_harmonic(slab):
    """The table's own limit: at small energies action is energy over frequency."""
    nu = np.sqrt(4 * np.pi * G * 1e9 * 0.102)
    found = slab.find([1e-4, 0.0], [0.0, 1e-3])
    energy = np.array([nu**2 * 1e-8 / 2, 1e-6 / 2])
    assert np.abs(found.action_z * nu / energy - 1).max() < 1e-6
    assert np.abs(found.omega_z / nu - 1).max() < 1e-6


def test_the_reference_table(slab):
    """Values computed by another program for rho = 0.09, rho_dm = 0.012 Msun/pc3, h = 150 pc."""
    action = np.array([5.0, 10.0, 20.0, 30.0, 40.0, 60.0])
    z_max = np.array([389, 575, 863, 1099, 1305, 1661]) / 1000.0
    omega = np.array([66.11, 59.91, 52.69, 48.60, 45.93, 42.58])
    slope = np.array([-1.528, -1.003, -0.5211, -0.3223, -0.2222, -0.1280])
    assert slab.omega(0.0) / TIME_UNIT == pytest.approx(75.93, rel=2e-3)
    assert slab.z_max(action) == pytest.approx(z_max, rel=2e-3)
    assert slab.omega(action) / TIME_UNIT == pytest.approx(omega, rel=2e-3)
    assert slab.omega_slope(action) / TIME_UNIT == pytest.approx(slope, rel=2e-3)


def test_the_action_is_its_integral(slab):
    def phi(z):
        return 16 * np.pi * G * 0.09e9 * 0.15**2 * np.log(np.cosh(z / 0.3)) + 2 * np.pi * G * 0.012e9 * z * z

    for z_max in (0.05, 0.4, 1.5, 4.0):
        energy = phi(z_max)

        def speed(x, top=z_max, energy=energy):
            return np.sqrt(max(2 * (energy - phi(top * np.sin(x))), 0.0)) * top * np.cos(x)

        true = 2 / np.pi * quad(speed, 0, np.pi / 2, epsabs=1e-13, epsrel=1e-12)[0]
        assert slab.find([z_max], [0.0]).action_z[0] == pytest.approx(true, rel=1e-9)


@pytest.mark.parametrize("name", ["slab", "galaxy"])
def test_there_and_back(name, request):
    table = request.getfixturevalue(name)
    z, v = stars(5000)
    found = table.find(z, v)
    again = table.position(found.action_z, found.theta_z)
    assert (found.flag == 0).all()
    assert np.abs(again[0] - z).max() < 1e-8
    assert np.abs(again[1] - v).max() < 1e-8


def test_an_orbit_of_five_gyr(slab):
    """The action stays and the angle runs evenly, along an orbit integrated in the force itself."""
    pull = slab.potential.force

    def rates(t, y):
        return [y[1], np.sign(y[0]) * pull(np.abs(y[:1]))[0]]

    end = 5.0 / TIME_UNIT
    orbit = solve_ivp(rates, (0, end), [0.7, 12.0], "DOP853", rtol=1e-12, atol=1e-12, t_eval=np.linspace(0, end, 400))
    found = slab.find(*orbit.y)
    assert np.abs(found.action_z / found.action_z[0] - 1).max() < 1e-6
    run = np.exp(1j * (found.theta_z - found.theta_z[0] - found.omega_z[0] * orbit.t))
    assert np.abs(np.angle(run)).max() < 1e-6


def test_as_galpy(galaxy):
    from galpy.actionAngle import actionAngleVertical
    from galpy.potential import MWPotential2014, toVerticalPotential

    finder = actionAngleVertical(pot=toVerticalPotential(MWPotential2014, 1.0))
    z, v = stars(6, 3)
    found = galaxy.find(z, v)
    for row in range(6):
        j, omega, angle = finder.actionsFreqsAngles(z[row] / 8.0, v[row] / 220.0)
        assert found.action_z[row] == pytest.approx(float(np.squeeze(j)) * 8 * 220, rel=1e-5)
        assert found.omega_z[row] == pytest.approx(float(np.squeeze(omega)) * 220 / 8, rel=1e-5)
        apart = np.angle(np.exp(1j * (found.theta_z[row] - float(np.squeeze(angle)))))
        assert abs(apart) < 1e-4


def test_mirror_symmetry_and_workers(slab):
    z, v = stars(40_000)
    one, two = slab.find(z, v, workers=1), slab.find(z, v, workers=3)
    assert (one.theta_z == two.theta_z).all()
    other = slab.find(-z, -v)
    assert other.action_z == pytest.approx(one.action_z)
    assert np.abs(np.exp(1j * (other.theta_z - one.theta_z)) + 1).max() < 1e-9


def test_rows_without_an_action_say_why(galaxy):
    found = galaxy.find([np.nan, 0.0, 0.0, 9.0, 0.5], [0.0, np.inf, 900.0, 0.0, 300.0])
    assert [reason[:7] for reason in found.reason] == ["height,", "height,", "unbound", "beyond ", "beyond "]
    assert np.isnan(found.action_z).all()
    z, _ = galaxy.position([-1.0, 1e9, np.nan], [0.0, 0.0, 0.0])
    assert np.isnan(z).all()
    assert np.isnan(galaxy.omega(1e9))


def test_empty_and_wrong_input(slab):
    assert len(slab.find([], []).action_z) == 0
    with pytest.raises(ConfigError, match="same one-dimensional shape"):
        slab.find([0.0, 1.0], [0.0])
    with pytest.raises(ConfigError, match="does not pull"):
        VerticalActions(VerticalPotential("up", lambda z: z))
    with pytest.raises(ConfigError, match="z_top"):
        VerticalActions(VerticalPotential.slab(), -1.0)
    with pytest.raises(ConfigError, match="slab"):
        VerticalPotential.slab(density=-0.1)
    with pytest.raises(ConfigError, match="radius"):
        VerticalPotential.at_radius(potential("MWPotential2014"), 0.0)
    with pytest.raises(ConfigError, match="omega"):
        VerticalPotential.harmonic(0.0)
