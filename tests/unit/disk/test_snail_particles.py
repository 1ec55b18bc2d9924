from __future__ import annotations

import numpy as np
import pytest

from starloom.disk.snail_diffusion import diffuse
from starloom.disk.snail_particles import Particles
from starloom.dynamics.orbits import TIME_UNIT
from starloom.errors import ConfigError

HEATING = 1.6


def test_heating_and_the_distribution_it_leaves(slab):
    """From one action J0: mean J0 + k t, variance 2 k J0 t + (k t)^2, whatever the step."""
    for step in (0.5, 0.01):
        stars = Particles(slab, np.full(100_000, 10.0), np.zeros(100_000), seed=1).drift(
            0.5, heating=HEATING, step=step
        )
        grown = HEATING * 0.5
        assert stars.action.mean() == pytest.approx(10.0 + grown, abs=0.08)
        assert stars.action.var() == pytest.approx(2 * 10.0 * grown + grown**2, rel=0.03)
        assert stars.action.min() >= 0


def test_the_diffusion_equation_says_what_particles_do(slab):
    """A guard of the long run: what scattering leaves of a spiral."""
    times, places = (np.arange(41) + 0.5) * 0.01, np.array([10.0, 20.0, 40.0])

    def background(j):
        return np.exp(-j / 20.0)

    spiral = diffuse(slab, HEATING, background, times, places)[-1]
    smooth = diffuse(slab, HEATING, background, times, places, harmonic=0)[-1]
    stars = Particles.quiet(slab, 200_000, scale=20.0, high=80.0, seed=2)
    stars.theta[:] = 0.0
    stars.drift(times[-1], heating=HEATING, step=0.02)
    for place, true in zip(places, np.abs(spiral / smooth), strict=True):
        near = np.abs(stars.action - place) < 2.0
        turn = np.exp(1j * (stars.theta[near] - slab.omega(stars.action[near]) / TIME_UNIT * times[-1]))
        assert abs(np.average(turn, weights=stars.weight[near])) == pytest.approx(true, rel=0.025)


def test_a_kick_in_linear_theory(slab, snail_model):
    """A guard of the long run: one 1 km/s kick, 0.2 Gyr later."""
    from dataclasses import replace

    model = replace(snail_model, heating=0.0, span=0.4, steps=100)
    stars = Particles.quiet(slab, 400_000, scale=20.0, high=90.0)
    stars.kick(1.0).drift(float(model.ages_ago[49]))
    edges = np.linspace(5.0, 60.0, 8)
    seen = stars.harmonic(edges)
    # the force is cosine-like, so a contrast c cos(theta - phase) has 2 <exp(-i theta)> = c exp(-i phase)
    impulses = np.zeros(100)
    impulses[49] = 1.0
    action = np.linspace(5.0, 60.0, 351)[:-1] + 55.0 / 700
    angle = (np.arange(64) + 0.5) * 2 * np.pi / 64
    contrast = model.contrast(impulses, action[:, None], angle[None, :])
    wave = 2 * (contrast * np.exp(-1j * angle)).mean(axis=1) * np.exp(-action / 20.0)
    true = wave.reshape(7, 50).sum(axis=1) / np.exp(-action / 20.0).reshape(7, 50).sum(axis=1)
    assert np.sqrt(np.mean(np.abs(seen - true) ** 2) / np.mean(np.abs(true) ** 2)) < 0.05


def test_noise_for_particles_is_noise_for_the_theory(slab, snail_model):
    """Several small kicks with scattering: the first harmonic agrees with the amplitudes."""
    from dataclasses import replace

    model = replace(snail_model, span=0.3, steps=6)
    impulses = np.array([0.5, -0.8, 0.3, 1.0, -0.4, 0.9])
    stars = Particles.quiet(slab, 100_000, scale=20.0, high=120.0, seed=3)
    stars.follow(impulses, model.step, heating=HEATING)
    edges = np.array([10.0, 20.0, 30.0, 40.0])
    angle = (np.arange(64) + 0.5) * 2 * np.pi / 64
    action = np.linspace(10.0, 40.0, 301)[:-1] + 0.05
    contrast = model.contrast(impulses, action[:, None], angle[None, :])
    weight = np.exp(-action / 20.0)
    wave = 2 * (contrast * np.exp(-1j * angle)).mean(axis=1) * weight
    true = wave.reshape(3, 100).sum(axis=1) / weight.reshape(3, 100).sum(axis=1)
    assert np.abs(stars.harmonic(edges) - true).max() < 0.2 * np.abs(true).max()


def test_seeds_and_workers(slab):
    runs = [
        Particles.quiet(slab, 20_000, scale=20.0, seed=seed).drift(0.1, heating=1.0, workers=workers).action
        for seed, workers in ((1, 1), (1, 3), (2, 1))
    ]
    assert (runs[0] == runs[1]).all()
    assert (runs[0] != runs[2]).any()


def test_bad_particles(slab):
    with pytest.raises(ConfigError, match="unbound"):
        Particles(slab, [10.0, 1e9], [0.0, 0.0])
    with pytest.raises(ConfigError, match="shape"):
        Particles(slab, [], [])
    stars = Particles.quiet(slab, 1000, scale=20.0)
    with pytest.raises(ConfigError, match="heating"):
        stars.drift(0.1, heating=-1.0)
    with pytest.raises(ConfigError, match="time"):
        stars.drift(-0.1)
    with pytest.raises(ConfigError, match="beyond the table"):
        stars.kick(1e4)
    with pytest.raises(ConfigError, match="quiet"):
        Particles.quiet(slab, 0, scale=20.0)
