from __future__ import annotations

import numpy as np
import pytest

from starloom.dynamics.actions import actions
from starloom.dynamics.components import G, MassComponent
from starloom.dynamics.focal_lengths import focal_table, local_focal_length
from starloom.dynamics.orbits import TIME_UNIT, integrate
from starloom.dynamics.potentials import Potential, potential
from starloom.errors import ConfigError

STAECKEL = Potential("staeckel", (MassComponent("all", "kuzmin_kutuzov", (1e11, 4.0, 1.0)),))
FOCAL = np.sqrt(15.0)  # of STAECKEL: sqrt(a^2 - c^2)
NAMES = ("action_r", "l_z", "action_z", "omega_r", "omega_phi", "omega_z", "eccentricity", "z_max", "pericenter")


def galaxy(count, seed=0):
    rng = np.random.default_rng(seed)
    radius, z = 8 * np.exp(rng.normal(0, 0.25, count)), rng.normal(0, 0.6, count)
    v = np.stack([rng.normal(0, 45, count), rng.normal(205, 40, count), rng.normal(0, 30, count)], -1)
    halo = np.arange(count) % 3 == 0
    v[halo] = rng.normal(0, 110, (halo.sum(), 3))
    z[halo] *= 6
    return np.stack([radius, np.zeros(count), z], -1), v


def test_as_galpy_at_the_same_focal_lengths():
    from galpy.actionAngle import actionAngleStaeckel
    from galpy.potential import MWPotential2014

    x, v = galaxy(600)
    focal = np.random.default_rng(1).uniform(2.0, 5.0, 600)
    found = actions(potential("MWPotential2014"), x, v, focal_length=focal)
    phase = (x[:, 0] / 8, v[:, 0] / 220, v[:, 1] / 220, x[:, 2] / 8, v[:, 2] / 220)
    galpy = actionAngleStaeckel(pot=MWPotential2014, delta=0.4, c=True, order=20)
    with np.errstate(all="ignore"):
        j_r, l_z, j_z, o_r, o_phi, o_z = galpy.actionsFreqs(*phase, delta=focal / 8)
        e, z_max, peri, apo = galpy.EccZmaxRperiRap(*phase, delta=focal / 8)
    scale, rate = 8 * 220, 220 / 8
    wanted = {
        "action_r": j_r * scale, "l_z": l_z * scale, "action_z": j_z * scale, "omega_r": o_r * rate,
        "omega_phi": o_phi * rate, "omega_z": o_z * rate, "eccentricity": e, "z_max": z_max * 8,
        "pericenter": peri * 8, "apocenter": apo * 8,
    }  # fmt: skip
    usable = (found.flag == 0) & np.isfinite(o_r) & (j_r < 1e3)
    assert usable.sum() > 580
    for name, value in wanted.items():
        error = np.abs(getattr(found, name)[usable] / value[usable] - 1)
        assert np.median(error) < 1e-3, name
        assert np.quantile(error, 0.99) < 1e-2, name


def test_isochrone_in_closed_form():
    model, gm, b = Potential("isochrone", (MassComponent("all", "isochrone", (1e11, 3.0)),)), G * 1e11, 3.0
    x, v = galaxy(200, 2)
    v *= 0.6
    found = actions(model, x, v, focal_length=1e-3, order=64)
    momentum = np.linalg.norm(np.cross(x, v), axis=1)
    e = model.value(x) + 0.5 * np.sum(v**2, axis=1)
    # Binney & Tremaine 2008, equations 3.225 and 3.226
    j_r = gm / np.sqrt(-2 * e) - 0.5 * (momentum + np.sqrt(momentum**2 + 4 * gm * b))
    omega_r = (-2 * e) ** 1.5 / gm
    ratio = 0.5 * (1 + momentum / np.sqrt(momentum**2 + 4 * gm * b))
    np.testing.assert_allclose(found.action_r, j_r, rtol=1e-4)
    np.testing.assert_allclose(found.action_z, momentum - np.abs(found.l_z), rtol=1e-4)
    np.testing.assert_allclose(found.omega_r, omega_r, rtol=1e-4)
    np.testing.assert_allclose(found.omega_z, omega_r * ratio, rtol=1e-4)
    np.testing.assert_allclose(np.abs(found.omega_phi), found.omega_z, rtol=1e-3)


def test_a_staeckel_potential_is_exact_along_orbits():
    x, v = galaxy(30, 3)
    v *= 0.7
    path = integrate(STAECKEL, x, v, np.linspace(0, 3, 25), tolerance=1e-12)
    found = actions(
        STAECKEL, path.positions.reshape(-1, 3), path.velocities.reshape(-1, 3), focal_length=FOCAL, order=64
    )
    for name in ("action_r", "action_z", "omega_r", "omega_phi", "omega_z", "pericenter", "z_max"):
        values = getattr(found, name).reshape(30, 25)
        spread = values.std(axis=1) / np.abs(values.mean(axis=1))
        assert np.quantile(spread, 0.9) < 1e-6, name
    assert np.median(np.abs(local_focal_length(STAECKEL, x) - FOCAL)) < 1e-3
    # frequencies are those of the angles: mean rate of the azimuth over many turns
    long = integrate(STAECKEL, x[1:2], v[1:2], np.linspace(0, 60, 60001))
    angle = np.unwrap(np.arctan2(long.positions[0, :, 1], long.positions[0, :, 0]))
    rate = (angle[-1] - angle[0]) / (60 / TIME_UNIT)
    assert rate == pytest.approx(found.omega_phi.reshape(30, 25)[1, 0], rel=2e-3)
    assert long.passages[0, 0] * 2 * np.pi / (60 / TIME_UNIT) == pytest.approx(
        found.omega_r.reshape(30, 25)[1, 0], rel=1e-2
    )


def test_adiabatic_invariance_in_a_galaxy():
    model = potential("MWPotential2014")
    x, v = galaxy(90, 4)
    path = integrate(model, x, v, np.linspace(0, 5, 60))
    found = actions(model, path.positions.reshape(-1, 3), path.velocities.reshape(-1, 3))
    halo = np.arange(90) % 3 == 0
    sum_of_both = (found.action_r + found.action_z).reshape(90, 60).mean(axis=1)
    for name in ("action_r", "action_z"):
        spread = getattr(found, name).reshape(90, 60).std(axis=1) / sum_of_both
        assert np.median(spread[~halo]) < 0.01
        assert np.median(spread[halo]) < 0.03
    # the fudge's turning points are those of the orbit itself
    apocenter = np.median(found.apocenter.reshape(90, 60), axis=1)
    assert np.median(np.abs(apocenter / path.apocenter_largest - 1)) < 2e-3


def test_units_of_mass():
    x, v = galaxy(40)
    light, heavy = potential("heavy"), potential("heavy", mass_scale=4.0)
    first, second = actions(light, x, v, focal_length=3.0), actions(heavy, x, 2 * v, focal_length=3.0)
    np.testing.assert_allclose(2 * first.action_r, second.action_r, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(2 * first.omega_z, second.omega_z, rtol=1e-9)


def test_mirror_images_have_the_same_actions():
    x, v = galaxy(60)
    model = potential("MilkyWayPotential2022")
    base = actions(model, x, v)
    below = actions(model, x * [1, 1, -1], v * [1, 1, -1])
    counter = actions(model, x, v * [1, -1, 1])
    turned = actions(model, x[:, [1, 0, 2]] * [-1, 1, 1], v[:, [1, 0, 2]] * [-1, 1, 1])
    for name in NAMES:
        np.testing.assert_allclose(getattr(below, name), getattr(base, name), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(getattr(turned, name), getattr(base, name), rtol=1e-9, atol=1e-12)
        sign = -1 if name in ("l_z", "omega_phi") else 1
        np.testing.assert_allclose(sign * getattr(counter, name), getattr(base, name), rtol=1e-9, atol=1e-12)


def test_circular_and_planar_orbits():
    model = potential("MWPotential2014")
    circular = float(model.circular_velocity(8.0))
    found = actions(model, [[8.0, 0, 0]] * 3, [[0, circular, 0], [1e-4, circular, 1e-4], [30.0, circular, 0]])
    np.testing.assert_allclose(found.omega_phi[:2], circular / 8.0, rtol=1e-5)
    np.testing.assert_allclose(found.omega_phi[2], circular / 8.0, rtol=0.02)
    assert found.action_r[:2] == pytest.approx(0, abs=1e-6)
    assert found.action_z == pytest.approx(0, abs=1e-6)
    step = 1e-3
    curve = [float(model.circular_velocity(8.0 + shift)) / (8.0 + shift) for shift in (-step, step)]
    omega = circular / 8.0
    epicycle = np.sqrt(4 * omega**2 + 8.0 * (curve[1] ** 2 - curve[0] ** 2) / (2 * step))
    assert found.omega_r[0] == pytest.approx(epicycle, rel=2e-3)
    # the vertical frequency is that of the fudge, whose ellipse is not a vertical line
    vertical = np.sqrt(-model.acceleration([8.0, 0, 1e-4])[2] / 1e-4)
    assert found.omega_z[0] == pytest.approx(vertical, rel=0.05)


def test_stars_without_actions():
    x = np.array([[8.0, 0, 0], [8.0, 0, 0], [np.nan, 0, 0], [0, 0, 0], [0, 0, 2.0]])
    v = np.array([[0, 900.0, 0], [0, 200.0, 0], [0, 200.0, 0], [10.0, 0, 0], [50.0, 0, 80.0]])
    found = actions(potential("heavy"), x, v)
    assert found.reason[0] == "unbound"
    assert found.reason[1] == ""
    assert "not a finite number" in found.reason[2]
    assert found.reason[3] == "at the center"
    assert "on the axis" in found.reason[4]
    assert np.isnan(found.action_r[[0, 2, 3]]).all()
    assert np.isfinite(found.energy[[0, 1, 4]]).all()


def test_blocks_and_workers_change_nothing():
    x, v = galaxy(2500)
    model = potential("MilkyWayPotential")
    one, three = actions(model, x, v, workers=1), actions(model, x, v, workers=3)
    part = actions(model, x[700:710], v[700:710])
    for name in NAMES:
        np.testing.assert_array_equal(getattr(one, name), getattr(three, name))
        np.testing.assert_array_equal(getattr(one, name)[700:710], getattr(part, name))


def test_focal_lengths_over_energy():
    table = focal_table(potential("MilkyWayPotential"))
    assert focal_table(potential("MilkyWayPotential")) is table
    energies = np.array([table.energies[0] - 1e4, table.energies[20], -1.0, np.nan])
    found = table(energies, np.array([0.0, 500.0, -1e5, 100.0]))
    assert (found[:3] > 0).all()
    assert np.isnan(found[3])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"focal_length": 0.0}, "positive"),
        ({"focal_length": np.ones(5)}, "focal_length must be"),
        ({"order": 7}, "even"),
        ({"v": np.ones((3, 3))}, r"\(n, 3\)"),
    ],
)
def test_wrong_input(settings, message):
    words = {"x": np.ones((2, 3)), "v": np.ones((2, 3))} | settings
    with pytest.raises(ConfigError, match=message):
        actions(potential("heavy"), **words)
