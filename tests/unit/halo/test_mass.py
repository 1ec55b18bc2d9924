"""Masses: closed integrals, bounds, dark halos; best fits, posteriors and their diagnostics; made halos."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.cosmology import FlatLambdaCDM
from scipy.integrate import solve_ivp

from starloom.errors import ConfigError
from starloom.halo.comparison import compare
from starloom.halo.density import DensityModel
from starloom.halo.likelihood import HaloLikelihood, Volume
from starloom.halo.mass import MassPosterior, earlier_halo_mass, halo_mass, stellar_mass, volume_integral
from starloom.halo.mock import AUTHORS, BROKEN
from starloom.halo.posterior import (
    best_fit,
    evidence,
    sample_emcee,
    sample_posterior,
)
from starloom.halo.survey import FRAME

SUN = FRAME.sun.x
RADIAL = {
    "single": {"slope": 3.0},
    "cutoff": {"slope": 1.1, "cutoff_radius": 14.0},
    "broken": {"inner_slope": 1.5, "outer_slope": 5.0, "break_radius": 20.0},
    "double": {"inner_slope": 1.2, "middle_slope": 2.9, "outer_slope": 6.0, "inner_break": 12.0, "outer_break": 28.0},
}


@pytest.mark.parametrize("kind", list(RADIAL))
def test_integral_against_quadrature_in_space(kind):
    model = DensityModel(kind)
    value = {"p": 0.6, "q": 0.35, "theta": 1.0, "eta": 0.7, "angle": 0.4, **RADIAL[kind]}
    point = np.array([value[name] for name in model.names])
    nodes, weights = np.polynomial.legendre.leggauss(80)
    azimuth = 2 * np.pi * np.arange(160) / 160
    edges = np.log(np.geomspace(2.0, 70.0, 26))
    ell = (edges[:-1, None] + 0.5 * np.diff(edges)[:, None] * (np.polynomial.legendre.leggauss(8)[0] + 1)).ravel()
    w = (0.5 * np.diff(edges)[:, None] * np.polynomial.legendre.leggauss(8)[1]).ravel()
    sine = np.sqrt(1 - nodes**2)
    unit = np.stack(
        [sine[:, None] * np.cos(azimuth), sine[:, None] * np.sin(azimuth), np.broadcast_to(nodes[:, None], (80, 160))],
        -1,
    )
    mean = np.array([weights @ model.halo(point, np.exp(r) * unit, SUN).mean(axis=1) for r in ell]) * 2 * np.pi
    want = np.sum(w * np.exp(3 * ell) * mean)
    assert volume_integral(model, point, SUN) == pytest.approx(want, rel=3e-3)


def test_spherical_and_ellipsoidal_bounds_differ_by_the_known_factor():
    model = DensityModel("single")
    point = np.array([AUTHORS[name] for name in model.names])
    sphere, ellipsoid = (volume_integral(model, point, SUN, radii=(2, 55), bounds=b) for b in ("sphere", "ellipsoid"))
    # for m^-a: p q over the mean of (m / r)^-a over directions, since the radial integrals are the same
    rng = np.random.default_rng(1)
    unit = rng.normal(size=(400_000, 3))
    unit /= np.linalg.norm(unit, axis=1)[:, None]
    mean = np.mean(np.linalg.norm(unit / [1.0, 0.8, 0.5], axis=1) ** -3.5)
    assert ellipsoid / sphere == pytest.approx(0.4 / mean, rel=5e-3)
    assert sphere == volume_integral(model, point, SUN, radii=(2, 55))
    assert volume_integral(model, np.stack([point, point]), SUN).shape == (2,)
    with pytest.raises(ConfigError, match="shell"):
        volume_integral(model, point, SUN, radii=(5, 2))
    with pytest.raises(ConfigError, match="bounds"):
        volume_integral(model, point, SUN, bounds="cube")


def test_mass_of_a_known_amplitude(made):
    volume, model, likelihood = made
    point = np.array([BROKEN[name] for name in model.names])
    found = stellar_mass(likelihood, point[None], 500.0, poisson=False)
    amplitude = len(likelihood.stars) / (model.density(point, volume.x, SUN) @ volume.weight)
    assert found.mass[0] == pytest.approx(500.0 * amplitude * volume_integral(model, point, SUN))
    drawn = stellar_mass(likelihood, np.repeat(point[None], 2000, axis=0), 500.0, seed=1)
    assert drawn.mass.std() / drawn.mass.mean() == pytest.approx(len(likelihood.stars) ** -0.5, rel=0.1)


def test_the_disks_stars_are_counted_apart(made):
    volume, _, reference = made
    model = DensityModel("broken", disk=True)
    likelihood = HaloLikelihood(model, reference.stars, volume)
    point = np.array([{**BROKEN, "disk_share": 0.4}[name] for name in model.names])
    found = stellar_mass(likelihood, point[None], 1.0, poisson=False)
    disk = 0.4 * (model.disk_density(volume.x, SUN) @ volume.weight)
    all_of_it = model.density(point, volume.x, SUN) @ volume.weight
    assert found.disk_stars[0] == pytest.approx(len(reference.stars) * disk / all_of_it)


def test_intervals_under_the_other_prior_are_weighted():
    ones = np.ones(4)
    mass = MassPosterior(np.array([4.0, 1.0, 3.0, 2.0]), ones, ones, (2.0, 70.0), "sphere", ones)
    assert mass.interval()[0] == mass.interval(even_tensor=True)[0] == 2.5
    heavy = MassPosterior(mass.mass, ones, ones, mass.radii, mass.bounds, np.array([1.0, 1e9, 1.0, 1.0]))
    assert heavy.interval(even_tensor=True)[:2] == pytest.approx((1.0, 1.0), abs=1e-6)


def test_turning_axes_weigh_their_draws_and_fixed_ones_do_not(made):
    _, model, likelihood = made
    points = np.array([[BROKEN[name] for name in model.names]] * 2)
    points[1, 0] = 0.95
    found = stellar_mass(likelihood, points, 1.0)
    assert found.weight[0] > found.weight[1]
    assert found.weight.mean() == pytest.approx(1.0)
    fixed = DensityModel("broken", rotated=False)
    still = HaloLikelihood(fixed, likelihood.stars, likelihood.volume)
    named = stellar_mass(still, np.array([[BROKEN[name] for name in fixed.names]] * 2), 1.0)
    np.testing.assert_array_equal(named.weight, 1.0)


def test_dark_halos():
    masses = np.array([1e8, 1e9, 1e10])
    for redshift in (0.0, 2.0):
        dark = halo_mass(masses, redshift)
        assert (np.diff(dark) > 0).all()
    assert np.log10(halo_mass(3e10, 0.0)) == pytest.approx(12.0, abs=0.15)
    assert earlier_halo_mass(1e12, 0.0) == pytest.approx(1e12)
    assert earlier_halo_mass(1e12, 3.0) < earlier_halo_mass(1e12, 1.0) < 1e12
    with pytest.raises(ConfigError, match="halo mass"):
        halo_mass(-1.0, 0.0)


@pytest.mark.parametrize(
    ("redshift", "knee", "ratio", "low", "high"),
    [
        (0.0, 11.590, 0.0351, 1.376, 0.608), (1.0, 12.1875, 0.02275, 0.963, 0.7725),
        (2.0, 12.3867, 0.01863, 0.8253, 0.8273),
    ],
)  # fmt: skip
def test_stars_in_dark_halos_by_the_published_parameters(redshift, knee, ratio, low, high):
    """arXiv:1205.5807, table 1, worked out at three redshifts: the ratio at the knee, and a slope on either side."""
    assert np.log10(halo_mass(ratio * 10.0**knee, redshift)) == pytest.approx(knee, abs=2e-3)
    few, many = halo_mass(np.array([1e2, 1e3]), redshift), halo_mass(np.array([2e11, 3e11]), redshift)
    assert np.diff(np.log10(few)) == pytest.approx(1.0 / (1.0 + low), rel=0.01)
    assert np.diff(np.log10(many)) == pytest.approx(np.log10(1.5) / (1.0 - high), rel=0.05)


@pytest.mark.parametrize("redshift", [0.5, 2.0, 3.0])
def test_growth_of_a_halo_by_its_differential_equation(redshift):
    """dM/dt of arXiv:1001.2304, equation 2, over the age of the universe in which that growth was measured."""
    cosmology = FlatLambdaCDM(73.0, 0.25)

    def per_redshift(z, mass):
        per_year = 46.1 * (mass / 1e12) ** 1.1 * (1 + 1.11 * z) * cosmology.efunc(z)
        return -per_year / ((1 + z) * cosmology.H(z).to_value("1/yr"))

    there = solve_ivp(per_redshift, (0.0, redshift), [1.2e12], rtol=1e-9).y[0, -1]
    assert earlier_halo_mass(1.2e12, redshift) == pytest.approx(there, rel=2e-4)


def test_blind_starts_find_the_truth_and_bic_the_break(made):
    volume, _, reference = made
    found = compare(reference.stars, volume, [DensityModel(kind) for kind in ("single", "broken")], starts=4, seed=1)
    assert found.best == 1
    assert found.bic[0] - found.bic[1] > 10
    fit = found.fits[1]
    truth = reference.of_parameters(np.array([BROKEN[name] for name in fit.parameters]))
    assert truth < fit.log_likelihood < truth + 15
    assert fit.parameters["break_radius"] == pytest.approx(20.0, abs=6)
    assert fit.aic < fit.bic


def test_blind_starts_do_not_end_at_the_edges_of_the_prior(made):
    _, _, reference = made
    top = max(best_fit(reference, starts=8, seed=seed).log_likelihood for seed in range(2))
    for seed in range(2, 5):
        fit = best_fit(reference, starts=8, seed=seed)
        assert fit.log_likelihood > top - 3.0
        assert np.abs(fit.mode).max() < 8.0
        assert reference.log_posterior(fit.mode)[0] > reference.log_posterior(fit.y)[0] - 1e-6  # as far as climbs go


def test_few_cells_stand_for_all(made):
    volume, model, _ = made
    few = volume.thinned(2000)
    assert len(few.weight) <= 2000 < len(volume.weight)
    for value in (BROKEN, BROKEN | {"p": 1.0, "q": 1.0, "outer_slope": 4.0}):
        point = np.array([value[name] for name in model.names])
        sums = [model.density(point, part.x, SUN) @ part.weight for part in (few, volume)]
        assert sums[0] == pytest.approx(sums[1], rel=0.05)
    np.testing.assert_array_equal(few.x, volume.thinned(2000).x)
    assert volume.thinned(10**6) is volume
    with pytest.raises(ConfigError, match="1 cell"):
        volume.thinned(0)


def test_posterior_of_nuts_is_that_of_emcee_and_the_seed_decides(made):
    _, _, reference = made
    volume = Volume(reference.volume.x[::2], reference.volume.weight[::2], SUN)
    likelihood = HaloLikelihood(DensityModel("single", rotated=False), reference.stars, volume)
    start = best_fit(likelihood, starts=2, seed=1)
    options = {"start": start, "chains": 2, "draws": 300, "tune": 200, "seed": 4}
    nuts = sample_posterior(likelihood, **options)
    short = options | {"draws": 20, "tune": 30}
    one, two = (sample_posterior(likelihood, workers=workers, **short) for workers in (1, 2))
    np.testing.assert_array_equal(one.y, two.y)
    assert not nuts.problems
    walk = sample_emcee(lambda y: likelihood.log_posterior(y)[0], likelihood, start, walkers=12, steps=600, discard=150)
    for name in nuts.names:
        spread = walk.of(name).std()
        assert nuts.of(name).mean() == pytest.approx(walk.of(name).mean(), abs=0.35 * spread)
        assert nuts.of(name).std() == pytest.approx(spread, rel=0.3)
    nested = evidence(likelihood, live=40, seed=1, dlogz=1.0)
    assert nested.log_evidence < start.log_likelihood
    middle = np.median(nested.draws, axis=0)
    for place, name in enumerate(nuts.names):
        assert middle[place] == pytest.approx(np.median(nuts.of(name)), abs=1.0 * nuts.of(name).std())
