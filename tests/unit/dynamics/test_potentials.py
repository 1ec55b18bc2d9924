from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest

from starloom.dynamics.components import G, MassComponent
from starloom.dynamics.potentials import Potential, potential, potential_names
from starloom.errors import ConfigError

POINTS = np.random.default_rng(1).normal(size=(60, 3)) * np.exp(np.linspace(-6, 4, 60))[:, None]
OTHERS = (
    Potential("isochrone", (MassComponent("all", "isochrone", (1e11, 3.0)),)),
    Potential("logarithmic", (MassComponent("all", "logarithmic", (220.0, 0.1, 0.8)),)),
    Potential("staeckel", (MassComponent("all", "kuzmin_kutuzov", (1e11, 4.0, 1.0)),)),
)


def relative(found, wanted):
    return np.max(np.linalg.norm(found - wanted, axis=-1) / np.linalg.norm(wanted, axis=-1))


@pytest.mark.parametrize("model", [*potential_names(), *OTHERS], ids=lambda m: getattr(m, "name", m))
def test_the_force_is_minus_the_gradient(model):
    found, points = potential(model), POINTS[20:]  # farther in, differences of a cored potential lose their digits
    step = 1e-4 * np.linalg.norm(points, axis=1)
    numeric = np.stack(
        [
            -(found.value(points + step[:, None] * axis) - found.value(points - step[:, None] * axis)) / (2 * step)
            for axis in np.eye(3)
        ],
        axis=-1,
    )
    assert relative(numeric, found.acceleration(points)) < 1e-6


@pytest.mark.parametrize("model", [*potential_names(), *OTHERS], ids=lambda m: getattr(m, "name", m))
def test_gala_form(model):
    found = potential(model)
    gala = found.to_gala()
    value = gala.energy(POINTS.T * u.kpc).to_value(u.km**2 / u.s**2)
    force = gala.acceleration(POINTS.T * u.kpc).to_value(u.km**2 / u.s**2 / u.kpc).T
    np.testing.assert_allclose(value, found.value(POINTS), rtol=1e-6)
    assert relative(force, found.acceleration(POINTS)) < 1e-6


@pytest.mark.parametrize("model", [*potential_names(), *OTHERS], ids=lambda m: getattr(m, "name", m))
def test_galpy_form(model):
    from galpy.potential import evaluatePotentials, evaluateRforces, evaluatezforces

    found, ro, vo = potential(model), 8.122, 231.0
    galpy = found.to_galpy(ro, vo)
    radius, z = np.hypot(POINTS[:, 0], POINTS[:, 1]), POINTS[:, 2]
    value = np.array(
        [evaluatePotentials(galpy, r / ro, h / ro, use_physical=False) for r, h in zip(radius, z, strict=True)]
    )
    difference = value * vo**2 - found.value(POINTS)
    if any(part.kind == "power_law_cutoff" for part in found.components):
        difference -= difference[0]  # galpy counts that part from its own center
    assert np.abs(difference).max() < 1e-6 * np.abs(found.value(POINTS)).min()
    force = found.acceleration(POINTS)
    along = np.sum(force[:, :2] * POINTS[:, :2], axis=1) / radius
    by_r = [
        evaluateRforces(galpy, r / ro, h / ro, use_physical=False) * vo**2 / ro for r, h in zip(radius, z, strict=True)
    ]
    by_z = [
        evaluatezforces(galpy, r / ro, h / ro, use_physical=False) * vo**2 / ro for r, h in zip(radius, z, strict=True)
    ]
    assert relative(np.stack([by_r, by_z], -1), np.stack([along, force[:, 2]], -1)) < 1e-6


def test_the_models_of_gala_and_galpy_themselves():
    from gala.potential import MilkyWayPotential
    from galpy.potential import MWPotential2014, evaluateRforces

    for version, name in (("v1", "MilkyWayPotential"), ("v2", "MilkyWayPotential2022")):
        gala = MilkyWayPotential(version=version).energy(POINTS.T * u.kpc).to_value(u.km**2 / u.s**2)
        np.testing.assert_allclose(gala, potential(name).value(POINTS), rtol=1e-8)
    galpy = evaluateRforces(MWPotential2014, 0.7, 0.1, use_physical=False) * 220**2 / 8
    assert potential("MWPotential2014").acceleration([5.6, 0, 0.8])[0] == pytest.approx(galpy, rel=1e-6)


def test_circular_and_escape_speeds():
    marchetti = potential("Marchetti2017")  # reference values computed independently from its formulas
    assert marchetti.circular_velocity(8.0) == pytest.approx(232.4, abs=0.05)
    assert marchetti.escape_velocity([8.0, 0, 0]) == pytest.approx(586.7, abs=0.05)
    assert marchetti.escape_velocity([0.003, 0, 0]) == pytest.approx(904.6, abs=0.05)
    assert potential("MilkyWayPotential").circular_velocity([8.122, 25.0]) == pytest.approx([231.5, 210.0], abs=0.05)
    assert potential("McMillan17").circular_velocity(8.21) == pytest.approx(233.1, abs=0.3)
    assert np.isinf(OTHERS[1].escape_velocity([8.0, 0, 0]))


def test_the_table_of_mcmillan_solves_poisson():
    model = potential("McMillan17")
    part = Potential("disks and bulge", (model.components[0],))
    rng = np.random.default_rng(3)
    radius, z = rng.uniform(0.3, 15, 300), rng.laplace(0, 0.4, 300)
    x = np.stack([radius, np.zeros(300), z], -1)
    step = 2e-3 * np.maximum(np.abs(z), 0.02)
    divergence = 0.0
    for number, axis in enumerate(np.eye(3)):
        ahead, back = part.acceleration(x + step[:, None] * axis), part.acceleration(x - step[:, None] * axis)
        divergence = divergence + (ahead - back)[:, number] / (2 * step)
    density = -divergence / (4 * np.pi * G)
    expected = model.components[0].density(radius, z)
    error = np.abs(density - expected) / (expected + 1e-3 * expected.max())
    assert np.median(error) < 1e-3
    assert np.quantile(error, 0.95) < 0.03


def test_the_table_of_mcmillan_goes_on_beyond_its_edge():
    part = Potential("disks and bulge", (potential("McMillan17").components[0],))
    for direction in ([1, 0, 0], [0, 0, 1.0]):
        inside, outside = (part.value(np.multiply(direction, r)) * r for r in (299.9, 300.1))
        assert inside == pytest.approx(outside, rel=1e-6)
    mass = -part.value([2900.0, 0, 0]) * 2900 / G
    assert mass == pytest.approx(6.6e10, rel=0.03)  # stars 5.43e10 and gas 1.2e10 Msun, McMillan 2017


def test_mass_scale():
    model = potential("MilkyWayPotential2022", mass_scale=1.3)
    base = potential("MilkyWayPotential2022")
    np.testing.assert_allclose(model.value(POINTS), 1.3 * base.value(POINTS))
    assert "1.3" in model.name
    np.testing.assert_allclose(OTHERS[1].scaled(4.0).acceleration(POINTS), 4 * OTHERS[1].acceleration(POINTS))
    table = potential("McMillan17", mass_scale=0.5)
    np.testing.assert_allclose(table.value(POINTS), 0.5 * potential("McMillan17").value(POINTS), rtol=1e-9)


def test_every_model_says_where_it_is_from():
    for name in potential_names():
        model = potential(name)
        assert model.citation
        assert all(numbers for numbers in model.parameters.values())
        assert potential(model) is model


def test_the_very_center_and_nan():
    for name in potential_names():
        assert np.isfinite(potential(name).value([0.0, 0, 0]))
        np.testing.assert_array_equal(potential(name).acceleration([0.0, 0, 0]), 0)
        assert np.isnan(potential(name).value([np.nan, 0, 0]))


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan])
def test_wrong_scales(scale):
    with pytest.raises(ConfigError, match="mass_scale"):
        potential("heavy", mass_scale=scale)


def test_wrong_names_and_numbers():
    with pytest.raises(ConfigError, match="MWPotential2014"):
        potential("MilkyWay")
    with pytest.raises(ConfigError, match="nfw"):
        MassComponent("halo", "navarro", (1.0,))
    with pytest.raises(ConfigError, match="mass, r_s"):
        MassComponent("halo", "nfw", (1e12,))
    with pytest.raises(ConfigError, match="positive"):
        MassComponent("halo", "nfw", (1e12, -3.0))
    with pytest.raises(ConfigError, match="slope"):
        Potential("steep", (MassComponent("bulge", "power_law_cutoff", (1e10, 2.5, 1.0)),)).value([1.0, 0, 0])
    with pytest.raises(ConfigError, match="components"):
        Potential("nothing", ())
    with pytest.raises(ConfigError, match="shape"):
        potential("heavy").value([1.0, 2.0])
