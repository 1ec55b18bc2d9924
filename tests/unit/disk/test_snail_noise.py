from __future__ import annotations

import numpy as np
import pytest

from starloom.disk.snail_noise import ColoredNoise, MolecularClouds, Subhalos, WhiteNoise
from starloom.dynamics.components import G
from starloom.dynamics.orbits import TIME_UNIT
from starloom.errors import ConfigError

STEP = 0.005


def power(sample, step, omega):
    """Mean square of the Fourier transform over the length, of (draws, bins)."""
    time = np.arange(sample.shape[1]) * step
    return np.mean(np.abs(sample @ np.exp(1j * omega * time)) ** 2) / (sample.shape[1] * step)


@pytest.mark.parametrize("noise", [WhiteNoise(2.0), ColoredNoise(2.0, 0.03)])
@pytest.mark.parametrize("omega", [20.0, 55.0])
def test_spectra(noise, omega):
    sample = noise.sample(2000, 400, STEP, np.random.default_rng(1))
    assert power(sample, STEP, omega) == pytest.approx(float(noise.spectrum(omega)), rel=0.12)


def test_colored_noise_integrates_the_process_exactly():
    """Bins of any length: the variance of impulses has a closed form, and two short bins make a long one."""
    noise, rng = ColoredNoise(1.0, 0.03), np.random.default_rng(2)
    for step in (0.002, 0.05, 0.3):
        x = step / 0.03
        true = 0.03 * (x - 1 + np.exp(-x))
        assert noise.sample(40_000, 2, step, rng).var() == pytest.approx(true, rel=0.03)
    short = noise.sample(40_000, 4, 0.01, rng)
    assert short.sum(axis=1).var() == pytest.approx(0.03 * (4 / 3 - 1 + np.exp(-4 / 3)), rel=0.03)


def test_impulses_of_flybys_match_the_impulse_formula():
    """All flybys at one mass and impact parameter, fast: (2 G M / (b V))^2 / 3 within 3 %."""
    noise = Subhalos(1e7, 1e7, mass_density=3e7, b_low=0.999, b_high=1.001, softening=0.0, speed=600.0)
    sample = noise.sample(400, 60, 0.5, np.random.default_rng(3))
    each = sample.var() / (noise.rate * 0.5)
    assert each == pytest.approx(float(noise.impulse_variance(1e7, 1.0)), rel=0.03)
    assert float(noise.impulse_variance(1e7, 1.0)) == pytest.approx((2 * G * 1e7 / 600.0) ** 2 / 3)


def test_slow_flybys_shake_stars_less():
    noise = Subhalos(1e7, 1e7, mass_density=3e4, b_low=3.0, b_high=3.2, softening=0.0, speed=200.0)
    sample = noise.sample(400, 400, 0.004, np.random.default_rng(4))
    for omega in (0.0, 60.0, 90.0):
        assert power(sample - sample.mean(), 0.004, omega) == pytest.approx(float(noise.spectrum(omega)), rel=0.2)
    assert noise.spectrum(200.0) < 0.05 * noise.spectrum(0.0)


def test_subhalos_move_the_disk_by_fractions_of_a_km_per_s(snail_model):
    """Root mean square of the mean vertical velocity: 0.05 to 1 km/s for 1e6 to 1e8 Msun (2412.02757: 0.1 to 0.5)."""
    sample = Subhalos().sample(200, snail_model.steps, snail_model.step, np.random.default_rng(5))
    amplitude = snail_model.amplitudes(sample)
    assert 0.05 < np.sqrt(np.mean(amplitude.real**2)) < 1.0


def test_rate_and_masses():
    noise = Subhalos(1e6, 1e8, -1.9)
    masses = noise.masses(200_000, np.random.default_rng(6))
    assert masses.min() >= 1e6
    assert masses.max() <= 1e8
    number = noise.mass_density / masses.mean()
    area = np.pi * (noise.b_high**2 - noise.b_low**2)
    assert noise.rate == pytest.approx(number * area * noise.speed / TIME_UNIT, rel=0.02)
    even = Subhalos(1e6, 1e8, -1.0).masses(100_000, np.random.default_rng(7))
    assert np.log10(even).mean() == pytest.approx(7.0, abs=0.01)


def test_clouds_breathe_and_heat():
    clouds = MolecularClouds()
    sample = clouds.sample(300, 100, 0.01, np.random.default_rng(8))
    scatter = sample.std() / np.sqrt(sample.size)
    assert abs(sample.mean()) < 5 * scatter
    assert sample.var() / 0.01 == pytest.approx(float(clouds.spectrum(50.0)), rel=0.2)
    assert 0.1 < clouds.heating(54.0, 0.2) < 1.6  # a part of all the heating there is
    assert clouds.heating(54.0, 0.4) == pytest.approx(2 * clouds.heating(54.0, 0.2))


def test_heating_by_clouds_is_the_sum_over_their_encounters():
    """Impulses 2 G M / (b V), half of whose square is vertical, at the rate 2 pi b db n V; then J = E / Omega."""
    clouds = MolecularClouds(mass_low=1e5, mass_high=1e5 * (1 + 1e-9), speed=12.0)
    per_volume = clouds.surface_density * 1e6 / clouds.thickness / 1e5
    b = np.geomspace(clouds.size, clouds.reach, 20_001)
    squares = 0.5 * (2.0 * G * 1e5 / (b * clouds.speed)) ** 2 * 2.0 * np.pi * b * per_volume * clouds.speed
    there = 0.5 * np.trapezoid(squares, b) / 54.0 * 0.3 / TIME_UNIT
    assert clouds.heating(54.0, 0.3) == pytest.approx(there, rel=1e-4)


@pytest.mark.parametrize(
    "make",
    [
        lambda: WhiteNoise(-1.0), lambda: WhiteNoise(np.nan), lambda: ColoredNoise(1.0, 0.0),
        lambda: Subhalos(mass_low=-1.0), lambda: Subhalos(mass_low=1e9), lambda: Subhalos(softening=-1.0),
        lambda: MolecularClouds(speed=0.0), lambda: MolecularClouds(reach=0.01),
        lambda: MolecularClouds().heating(50.0, 2.0),
    ],
)  # fmt: skip
def test_impossible_noise(make):
    with pytest.raises(ConfigError):
        make()
