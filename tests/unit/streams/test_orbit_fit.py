"""The compiled likelihood against a plain one, the fit of a made stream, and what is refused."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from starloom.dynamics.frames import GalacticFrame
from starloom.dynamics.orbits import integrate
from starloom.dynamics.potentials import potential
from starloom.errors import CatalogError, ConfigError, FitError, ModelFileError
from starloom.saved_models import save_model
from starloom.streams.orbit_fit import StreamOrbit
from starloom.streams.orbit_mock import MockSurvey, halo_orbits, orbit_stream
from starloom.streams.orbit_points import stream_points
from starloom.streams.orbit_posterior import PARAMETERS, OrbitPrior, Posterior
from starloom.streams.orbit_result import FittedOrbit, Geometry
from starloom.streams.orbit_sampler import OrbitSampling

FRAME, GALAXY = GalacticFrame(), potential("MilkyWayPotential")
SHORT = OrbitSampling(walkers=32, steps=150, draws=200)


@pytest.fixture(scope="module")
def made():
    rng = np.random.default_rng(16)
    phase = halo_orbits(GALAXY, 1, rng)[0]
    return orbit_stream(GALAXY, FRAME, phase, MockSurvey(points=40, velocities=6), rng)


@pytest.fixture(scope="module")
def fitted(made):
    return StreamOrbit(sampling=SHORT).fit(made[0], seed=3, name="made")


def parameters(points, **more):
    base = dict(zip(PARAMETERS, [0.1, 20.0, 0.5, -0.3, 50.0, 0.1, 0.2, 0.05, 3.0, 0.0, 1.0, 0.0, 0.0], strict=True))
    return np.array([[(base | more)[name] for name in PARAMETERS]])


def test_curve_agrees_with_the_batched_integrator(made):
    """The likelihood's own orbit against dynamics.orbits and GalacticFrame.to_icrs: 1e-4 deg and 0.01 km/s."""
    points = stream_points(made[0])
    theta = parameters(points)
    geometry = Geometry.of(FRAME, points.frame)
    start = geometry.phase_space(theta)
    times = np.linspace(-0.05, 0.05, 41)
    orbit = integrate(GALAXY, start[:, :3], start[:, 3:], times)
    seen = FRAME.to_icrs(orbit.positions[0], orbit.velocities[0])
    phi1, phi2 = points.frame.to_frame(seen.ra, seen.dec)
    fit = FittedOrbit("x", GALAXY, FRAME, points.frame, (1, 1, 1, 1), theta[0], theta, (), (-9.0, 9.0), 1.0)
    curve = fit.curves(phi1)[0]
    turn = points.frame.turn(seen.ra, seen.dec)
    motion = np.einsum("nij,nj->ni", turn, np.stack([seen.pmra, seen.pmdec], axis=1))
    assert np.abs(curve[:, 1] - phi2).max() < 1e-4
    assert np.abs(curve[:, 2] - seen.distance).max() < 1e-4
    assert np.abs(curve[:, 3:5] - motion).max() < 1e-4
    assert np.abs(curve[:, 5] - seen.radial_velocity).max() < 0.01


def plain_log_likelihood(points, curve, theta):
    """Sum of scipy's log densities, row by row."""
    value = dict(zip(PARAMETERS, theta, strict=True))
    total = 0.0
    for k in range(len(points.rows)):
        row = {name: points[name][k] for name in ("phi2", "sky_error", "distance", "distance_error", "pmra", "pmdec")}
        row |= {name: points[name][k] for name in ("pmra_error", "pmdec_error", "correlation", "turn_cos", "turn_sin")}
        row |= {name: points[name][k] for name in ("radial_velocity", "radial_velocity_error")}
        _, phi2, distance, pm1, pm2, velocity = curve[k]
        if np.isfinite(row["sky_error"]):
            total += norm.logpdf(row["phi2"], phi2, np.hypot(row["sky_error"], value["sky_scatter"]))
        if np.isfinite(row["distance_error"]):
            s = np.hypot(row["distance_error"], value["distance_scatter"])
            total += norm.logpdf(row["distance"], distance * value["distance_factor"], s)
        mean = [row["turn_cos"] * pm1 - row["turn_sin"] * pm2, row["turn_sin"] * pm1 + row["turn_cos"] * pm2]
        scatter = value["proper_motion_scatter"] ** 2
        off = row["correlation"] * row["pmra_error"] * row["pmdec_error"]
        covariance = [[row["pmra_error"] ** 2 + scatter, off], [off, row["pmdec_error"] ** 2 + scatter]]
        both = np.isfinite([row["pmra_error"], row["pmdec_error"]])
        if both.all():
            total += multivariate_normal.logpdf([row["pmra"], row["pmdec"]], mean, covariance)
        elif both[0]:
            total += norm.logpdf(row["pmra"], mean[0], np.sqrt(covariance[0][0]))
        elif both[1]:
            total += norm.logpdf(row["pmdec"], mean[1], np.sqrt(covariance[1][1]))
        if np.isfinite(row["radial_velocity_error"]):
            s = np.hypot(row["radial_velocity_error"], value["radial_velocity_scatter"])
            total += norm.logpdf(row["radial_velocity"], velocity, s)
    return total


def test_likelihood_is_the_sum_of_normal_log_densities_with_missing_values(made, fitted):
    """Not twice it: the published code's ln L is, which makes errors sqrt 2 too small."""
    table = made[0].copy()
    table["pmra_pmdec_corr"] = np.linspace(-0.5, 0.5, len(table))
    table["pmra"][3] = np.nan * u.mas / u.yr
    table["pmdec"][7] = np.nan * u.mas / u.yr
    table["sky_error"][5] = np.nan * u.deg
    points = stream_points(table)
    posterior = Posterior(GALAXY, FRAME, OrbitPrior(), points, (True,) * 4)
    theta = fitted.samples[:3].copy()
    theta[:, 10] = [0.97, 1.0, 1.03]
    curves = FittedOrbit("x", GALAXY, FRAME, points.frame, (1, 1, 1, 1), theta[0], theta, (), (-9.0, 9.0), 1.0).curves(
        points["phi1"]
    )
    expected = [plain_log_likelihood(points, curve, t) for curve, t in zip(curves, theta, strict=True)]
    assert posterior.log_likelihood(theta) == pytest.approx(expected, rel=1e-9)


def test_hidden_quantity_leaves_the_reduced_likelihood(made, fitted):
    points = stream_points(made[0])
    theta = fitted.samples[:2]
    full = Posterior(GALAXY, FRAME, OrbitPrior(), points).log_likelihood(theta)
    less = Posterior(GALAXY, FRAME, OrbitPrior(), points.without("radial_velocity")).log_likelihood(theta)
    known = np.isfinite(points["radial_velocity_error"])
    curve = fitted.curves(points["phi1"][known], theta)[:, :, 5]
    s = np.hypot(points["radial_velocity_error"][known], theta[:, 8, None])
    assert full - less == pytest.approx(norm.logpdf(points["radial_velocity"][known], curve, s).sum(axis=1), rel=1e-6)


def test_fit_finds_the_truth(made, fitted):
    """Five parameters within 4 sigma: false alarm below 1e-3."""
    middle = made[1]
    orbit = integrate(GALAXY, middle[None, :3], middle[None, 3:], np.linspace(-0.02, 0.02, 401))
    seen = FRAME.to_icrs(orbit.positions[0], orbit.velocities[0])
    phi1, phi2 = fitted.stream_frame.to_frame(seen.ra, seen.dec)
    order = np.argsort(phi1)
    sigma, median = fitted.samples[:, :5].std(axis=0), np.median(fitted.samples[:, :5], axis=0)
    for k, value in ((0, phi2), (1, seen.distance), (4, seen.radial_velocity)):
        truth = np.interp(0.0, phi1[order], value[order])
        assert abs(median[k] - truth) < 4.0 * sigma[k]
    assert fitted.report["effective_samples"] > 50
    assert fitted.report["points"] == 40


def test_same_seed_same_samples(made, fitted):
    again = StreamOrbit(sampling=SHORT).fit(made[0], seed=3, name="made")
    assert np.array_equal(again.samples, fitted.samples)


def test_predict_sample_and_log_prob(made, fitted):
    table = made[0].copy()
    table["ra"][0] = np.nan * u.deg
    out = fitted.predict(table)
    assert len(out) == len(table)
    assert out["reason"][0] == "no position"
    good = np.asarray(out["reason"]) == ""
    assert good.sum() == len(table) - 1
    pull = (table["pmra"] - out["orbit_pmra"])[good] / table["pmra_error"][good]
    assert np.abs(np.median(pull.value)) < 1.0
    drawn = fitted.sample(5, seed=1)
    x = np.stack([drawn[name].value for name in ("x", "y", "z")], axis=1)
    v = np.stack([drawn[name].value for name in ("v_x", "v_y", "v_z")], axis=1)
    names = ("ra", "dec", "distance", "pmra", "pmdec", "radial_velocity")
    back = FRAME.to_galactocentric(*(drawn[name].value for name in names))
    assert np.allclose(back.x, x, atol=1e-9)
    assert np.allclose(back.v, v, atol=1e-7)
    assert fitted.log_prob(made[0]).max() >= fitted.log_prob(made[0]).mean()
    with pytest.raises(ConfigError, match="points that it was fitted to"):
        fitted.log_prob(made[0][:20])


def test_save_and_load(tmp_path, fitted):
    fitted.save(tmp_path / "orbit")
    again = FittedOrbit.load(tmp_path / "orbit")
    assert np.array_equal(again.samples, fitted.samples)
    assert again.potential == fitted.potential
    assert np.allclose(again.curves([0.0, 2.0]), fitted.curves([0.0, 2.0]))
    with pytest.raises(ModelFileError):
        FittedOrbit.load(tmp_path)
    save_model(tmp_path / "orbit", "stream orbit", {"name": "x"}, {})
    with pytest.raises(ModelFileError, match="not complete"):
        FittedOrbit.load(tmp_path / "orbit")


def test_strays_and_scatter_are_free_only_where_asked(made):
    points = stream_points(made[0])
    plain = Posterior(GALAXY, FRAME, OrbitPrior(distance_factor=0.0), points)
    assert plain.free_names == ["phi2", "distance", "pm_phi1_cosphi2", "pm_phi2", "radial_velocity"]
    more = Posterior(GALAXY, FRAME, OrbitPrior(stray_share=0.1, proper_motion_zero=0.03), points, (True,) * 4, True)
    assert more.free_names[-4:] == ["stray_share", "distance_factor", "pmra_zero", "pmdec_zero"]


def test_a_contaminant_matters_less_with_strays(made, fitted):
    table = made[0].copy()
    table["pmra"][10] += 8.0 * u.mas / u.yr
    points = stream_points(table)
    theta = fitted.samples[:1].copy()
    without = Posterior(GALAXY, FRAME, OrbitPrior(), points).log_likelihood(theta)[0]
    theta[:, 9] = 0.05
    with_strays = Posterior(GALAXY, FRAME, OrbitPrior(), points, strays=True).log_likelihood(theta)[0]
    assert with_strays > without + 50.0


def test_what_cannot_be_fitted_is_told(made):
    with pytest.raises(ConfigError, match="no potential"):
        StreamOrbit(potential="MilkyWay3000")
    with pytest.raises(ConfigError, match="scatter"):
        StreamOrbit(free_scatter=("colour",))
    with pytest.raises(ConfigError, match="even"):
        OrbitSampling(walkers=31)
    with pytest.raises(CatalogError, match="at least 3"):
        StreamOrbit().fit(made[0][:1], seed=1)
    far = made[0].copy()
    far["pmra"] += 300.0 * u.mas / u.yr
    with pytest.raises(FitError, match="no bound orbit"):
        StreamOrbit(sampling=SHORT).fit(far, seed=1)
    with pytest.raises(ConfigError, match="seed"):
        StreamOrbit().fit(made[0], seed=-1)
