"""Distribution functions against closed forms, the Jeans equation and their own samples; bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest

from starloom.dynamics.components import G
from starloom.dynamics.distribution_functions import DistributionMixture, constant_anisotropy, osipkov_merritt
from starloom.dynamics.potentials import potential
from starloom.dynamics.spherical_potentials import SphericalPotential
from starloom.dynamics.tracer_densities import PowerLawTracer, TabulatedTracer, TwoPowerLawTracer
from starloom.errors import ConfigError, FitError

MASS, SCALE = 1e11, 5.0


@pytest.fixture(scope="module")
def hernquist():
    return SphericalPotential.from_mass(lambda r: MASS * r**2 / (r + SCALE) ** 2)


@pytest.fixture(scope="module")
def galaxy():
    return SphericalPotential.of(potential("MWPotential2014"))


def test_hernquist_isotropic(hernquist):
    f = constant_anisotropy(hernquist, TwoPowerLawTracer(1.0, 4.0, SCALE), 0.0)
    x = np.linspace(0.02, 0.97, 40)
    q = np.sqrt(x)
    scale = 2.0 * np.pi * SCALE**2 / (8.0 * np.sqrt(2.0) * np.pi**3 * SCALE**3 * (G * MASS / SCALE) ** 1.5)
    bracket = 3.0 * np.arcsin(q) + q * np.sqrt(1 - x) * (1 - 2 * x) * (8 * x**2 - 8 * x - 3)
    closed = scale * (1 - x) ** -2.5 * bracket  # 1990ApJ...356..359H, equation 17
    np.testing.assert_allclose(f.energy_part(x * G * MASS / SCALE), closed, rtol=1e-5)


def test_hernquist_of_one_half(hernquist):
    f = constant_anisotropy(hernquist, TwoPowerLawTracer(1.0, 4.0, SCALE), 0.5)
    x = np.linspace(0.02, 0.97, 40)
    closed = 3.0 * x**2 / (G * MASS / SCALE) / (2.0 * np.pi**2)  # d(r nu)/d psi over 2 pi^2, r nu = x^3
    np.testing.assert_allclose(f.energy_part(x * G * MASS / SCALE), closed, rtol=1e-5)


@pytest.mark.parametrize("beta", [-1.0, -0.5, -0.3, 0.0, 0.3, 0.5, 0.51, 0.8, 0.9])
def test_power_law_about_a_point_mass(beta):
    slope = 3.5
    point = SphericalPotential.from_mass(lambda r: np.full_like(r, MASS))
    f = constant_anisotropy(point, PowerLawTracer(slope, None), beta)
    power = slope - 2.0 * beta
    n = math.floor(1.5 - beta)
    order = 1.5 - beta - n
    front = 2.0**beta / ((2.0 * np.pi) ** 1.5 * math.gamma(1 - order) * math.gamma(1 - beta))
    front *= math.gamma(power + 1) / math.gamma(power - n + 1) * math.gamma(1 - order) * math.gamma(power - n + 1)
    front *= (power - n + 1 - order) / math.gamma(power - n + 2 - order)
    energy = 0.9 * G * MASS / np.geomspace(0.1, 200.0, 30)
    closed = front * (G * MASS) ** -power * energy ** (power - n - order)
    np.testing.assert_allclose(f.energy_part(energy), closed, rtol=1e-5)


def test_depth_of_the_sphere(hernquist):
    f = constant_anisotropy(hernquist, TwoPowerLawTracer(1.0, 4.0, SCALE), 0.0)
    r = np.array([0.1, 1.0, 8.0, 100.0])
    np.testing.assert_allclose(f.potential_depth(r), G * MASS / (r + SCALE), rtol=1e-4)


@pytest.mark.parametrize("beta", [-0.4, 0.3, 0.8])
def test_jeans_equation(galaxy, beta):
    f = constant_anisotropy(galaxy, PowerLawTracer(), beta)
    r = np.geomspace(3.0, 400.0, 20_000)
    log_nu = PowerLawTracer().log_density(r)
    pull = galaxy.circular_velocity(r) ** 2
    body = np.exp(log_nu + 2 * beta * np.log(r)) * pull
    steps = 0.5 * (body[1:] + body[:-1]) * np.diff(np.log(r))
    integral = np.concatenate([np.cumsum(steps[::-1])[::-1], [0.0]])
    sigma = np.sqrt(integral / np.exp(log_nu + 2 * beta * np.log(r)))
    for radius in (4.0, 8.275, 20.0, 40.0):
        assert f.radial_dispersion(radius) == pytest.approx(np.interp(radius, r, sigma), rel=2e-3)


@pytest.mark.parametrize("beta", [-0.5, 0.3, 0.8])
def test_samples_have_the_anisotropy_and_the_dispersion(galaxy, beta):
    f = constant_anisotropy(galaxy, PowerLawTracer(), beta)
    # the anisotropy of 1e5 draws scatters by 0.0069, 0.0033, 0.0014: of a million the sampler's own error is seen
    v = f.sample_velocities([[8.275, 0.0, 0.0]] * 10, 100_000, 3).reshape(-1, 3)
    second = np.mean(v**2, axis=0)
    assert 1.0 - 0.5 * (second[1] + second[2]) / second[0] == pytest.approx(beta, abs=0.0055 * (1 - beta))
    if beta >= 0:  # there the 0.01 asked for is three standard deviations of 1e5 draws or more
        few = np.mean(v[:100_000] ** 2, axis=0)
        assert 1.0 - 0.5 * (few[1] + few[2]) / few[0] == pytest.approx(beta, abs=0.01)
    assert np.sqrt(second[0]) == pytest.approx(f.radial_dispersion(8.275), rel=0.01)
    assert np.abs(v.mean(axis=0)).max() < 2.0


def test_samples_turn_with_the_place_and_not_with_the_workers(galaxy):
    f = constant_anisotropy(galaxy, PowerLawTracer(), 0.8)
    places = np.array([[8.0, 0, 0], [0, 0, 8.0], [4.0, 4.0, 5.656854]] * 30)
    one = f.sample_velocities(places, 200, 5, workers=1)
    np.testing.assert_array_equal(one, f.sample_velocities(places, 200, 5, workers=2))
    radial = np.sum(one * (places / 8.0)[:, None], axis=-1)
    across = np.sum(one**2, axis=-1) - radial**2
    assert 1 - across.mean() / 2 / np.mean(radial**2) == pytest.approx(0.8, abs=0.02)


def test_osipkov_merritt(galaxy):
    f = osipkov_merritt(galaxy, PowerLawTracer(), 10.0)
    assert f.anisotropy(10.0) == pytest.approx(0.5)
    v = f.sample_velocities([[0.0, 10.0, 0.0]], 100_000, 1)[0]
    second = np.mean(v**2, axis=0)
    assert 1 - 0.5 * (second[0] + second[2]) / second[1] == pytest.approx(0.5, abs=0.015)
    nearly = osipkov_merritt(galaxy, PowerLawTracer(), 1e6)
    same = constant_anisotropy(galaxy, PowerLawTracer(), 0.0)
    np.testing.assert_allclose(nearly.log_f, same.log_f, atol=1e-5)


def test_mixture_of_the_later_paper(galaxy):
    parts = [osipkov_merritt(galaxy, PowerLawTracer(), radius) for radius in (2.0, 547.0)]
    mixed = DistributionMixture(parts, [0.88, 0.12])
    beta = mixed.anisotropy(np.array([2.0, 20.0]))
    assert 0.2 < beta[0] < 0.6 < 0.75 < beta[1] < 0.95
    v = mixed.sample_velocities([[20.0, 0, 0]], 50_000, 2)[0]
    second = np.mean(v**2, axis=0)
    assert 1 - 0.5 * (second[1] + second[2]) / second[0] == pytest.approx(beta[1], abs=0.02)


def test_a_table_serves_as_a_density(galaxy):
    r = np.geomspace(0.01, 1000.0, 300)
    smooth = TwoPowerLawTracer(1.0, 4.0, 20.0)
    table = TabulatedTracer(r, np.exp(smooth.log_density(r)))
    first, second = (constant_anisotropy(galaxy, kind, 0.3).radial_dispersion(8.0) for kind in (table, smooth))
    assert first == pytest.approx(second, rel=1e-3)


def test_negative_functions_are_refused(galaxy):
    with pytest.raises(FitError, match="negative"):
        constant_anisotropy(galaxy, TwoPowerLawTracer(0.0, 5.0, 10.0), 0.6)  # a core cannot be radial


def test_bad_input(galaxy):
    with pytest.raises(ConfigError, match="anisotropy"):
        constant_anisotropy(galaxy, PowerLawTracer(), 1.0)
    with pytest.raises(ConfigError, match="anisotropy radius"):
        osipkov_merritt(galaxy, PowerLawTracer(), 0.0)
    f = constant_anisotropy(galaxy, PowerLawTracer(), 0.3)
    for place in ([np.nan, 0, 0], [0.0, 0, 0], [1e4, 0, 0]):
        with pytest.raises(ConfigError, match="place 0"):
            f.sample_velocities([place], 3, 1)
    with pytest.raises(ConfigError, match="share"):
        DistributionMixture([f], [0.5, 0.5])
    with pytest.raises(ConfigError, match="cutoff"):
        PowerLawTracer(3.5, -1.0)
    with pytest.raises(ConfigError, match="tabulated"):
        TabulatedTracer(np.array([1.0, 2.0]), np.array([1.0, np.nan]))
