"""Densities: closed forms, continuity, rotations; the likelihood against plain numpy and finite differences."""

from __future__ import annotations

import numpy as np
import pytest

from starloom.errors import CatalogError, ConfigError
from starloom.halo.density import KINDS, DensityModel, DiskDensity, axes
from starloom.halo.likelihood import HaloLikelihood, Volume
from starloom.halo.mock import BROKEN
from starloom.halo.survey import FRAME

SUN = FRAME.sun.x
RADIAL = {
    "single": {"slope": 3.2},
    "cutoff": {"slope": 1.1, "cutoff_radius": 14.0},
    "broken": {"inner_slope": 1.5, "outer_slope": 5.0, "break_radius": 20.0},
    "double": {"inner_slope": 1.2, "middle_slope": 2.9, "outer_slope": 6.0, "inner_break": 12.0, "outer_break": 28.0},
}
SHAPE = {"p": 0.6, "q": 0.4, "theta": 1.0, "eta": 0.8, "angle": 0.7}


def point(model, **changes):
    value = {**SHAPE, **RADIAL[model.kind], "disk_share": 0.2, "outlier_share": 0.05, **changes}
    return np.array([value[name] for name in model.names])


def plain_numpy(model, parameters, x):
    """ln of the halo's density, in the words of the paper."""
    value = dict(zip(model.names, parameters, strict=True))
    turned = x @ axes(value).T
    m = np.sqrt(turned[..., 0] ** 2 + (turned[..., 1] / value["p"]) ** 2 + (turned[..., 2] / value["q"]) ** 2)
    if model.kind == "single":
        return -value["slope"] * np.log(m)
    if model.kind == "cutoff":
        return -value["slope"] * np.log(m) - m / value["cutoff_radius"]
    if model.kind == "broken":
        a1, a2, r1 = value["inner_slope"], value["outer_slope"], value["break_radius"]
        return np.where(m <= r1, -a1 * np.log(m), (a2 - a1) * np.log(r1) - a2 * np.log(m))
    a1, a2, a3 = value["inner_slope"], value["middle_slope"], value["outer_slope"]
    r1, r2 = value["inner_break"], value["outer_break"]
    far = (a2 - a1) * np.log(r1) + (a3 - a2) * np.log(r2) - a3 * np.log(m)
    return np.where(m <= r1, -a1 * np.log(m), np.where(m <= r2, (a2 - a1) * np.log(r1) - a2 * np.log(m), far))


@pytest.mark.parametrize("kind", KINDS)
def test_density_is_the_papers_and_one_at_the_sun(kind):
    model = DensityModel(kind)
    x = np.random.default_rng(1).normal(size=(500, 3)) * 15.0
    p = point(model)
    want = plain_numpy(model, p, x) - plain_numpy(model, p, SUN)
    np.testing.assert_allclose(np.log(model.halo(p, x, SUN)), want, atol=1e-11)
    assert model.density(p, SUN, SUN) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sphere_is_a_sphere_however_it_is_turned(kind):
    round_one = DensityModel(kind, triaxial=False)
    x = np.random.default_rng(2).normal(size=(50, 3)) * 15.0
    want = round_one.halo([RADIAL[kind][name] for name in round_one.names], x, SUN)
    model = DensityModel(kind)
    np.testing.assert_allclose(model.halo(point(model, p=1.0, q=1.0), x, SUN), want, rtol=1e-12)


@pytest.mark.parametrize("kind", ["broken", "double"])
def test_the_density_does_not_jump_at_a_break(kind):
    model = DensityModel(kind, triaxial=False)
    value = RADIAL[kind]
    for name in ("break_radius", "inner_break", "outer_break"):
        if name in value:
            sides = np.array([[value[name] * (1 + step), 0.0, 0.0] for step in (-1e-9, 1e-9)])
            low, high = model.halo([value[n] for n in model.names], sides, SUN)
            assert low == pytest.approx(high, rel=1e-7)


def test_axes_are_a_rotation_and_as_the_paper_has_them():
    rows = axes(SHAPE)
    np.testing.assert_allclose(rows @ rows.T, np.eye(3), atol=1e-14)
    assert np.linalg.det(rows) == pytest.approx(1.0)
    tilt = np.sqrt(1 - SHAPE["eta"] ** 2)
    np.testing.assert_allclose(rows[2], [-tilt * np.cos(1.0), -tilt * np.sin(1.0), 0.8], atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("more", [{}, {"disk": True, "outliers": True}, {"rotated": False}, {"triaxial": False}])
def test_coordinates_there_and_back(kind, more):
    model = DensityModel(kind, **more)
    y = np.random.default_rng(3).normal(size=(20, model.size))
    for parameters in model.physical(y):
        again = model.physical(model.coordinates(dict(zip(model.names, parameters, strict=True))))
        np.testing.assert_allclose(again, parameters, rtol=1e-6, atol=1e-9)


def test_the_prior_is_flat_where_it_says_so():
    from scipy.stats import kstest

    from starloom.halo.posterior import prior_draws

    model = DensityModel("broken")
    likelihood = HaloLikelihood(model, np.ones((10, 3)), Volume(np.ones((2, 3)), np.ones(2), SUN))
    draws = dict(zip(model.names, model.physical(prior_draws(likelihood, 4000, 7)).T, strict=True))
    flat = {
        "p": (0.1, 1.0), "q": (0.1, 1.0),
        "break_radius": (2.0, 55.0),
    }  # fmt: skip
    for name, (low, high) in flat.items():
        assert kstest((draws[name] - low) / (high - low), "uniform").pvalue > 1e-3 / len(flat), name
    # all rotations alike: any fixed axis has an even height, and q's is the nearer to the pole of the short ones
    rows = np.array([axes({key: draws[key][k] for key in ("theta", "eta", "angle")}) for k in range(4000)])
    assert kstest(np.abs(rows[:, 0, 2]), "uniform").pvalue > 1e-3
    assert (np.abs(rows[:, 2, 2]) >= np.abs(rows[:, 1, 2]) - 1e-9).all()
    short = np.where(np.arange(4000) % 2, rows[:, 1, 2], rows[:, 2, 2])
    assert kstest(np.abs(short), "uniform").pvalue > 1e-3
    assert kstest((draws["outer_slope"] / 10.0) ** 2, "uniform").pvalue > 1e-3
    assert kstest(draws["inner_slope"] / draws["outer_slope"], "uniform").pvalue > 1e-3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("more", [{}, {"disk": True}, {"outliers": True}, {"disk": True, "outliers": True}])
def test_likelihood_and_gradient(made, kind, more):
    volume, _, reference = made
    model = DensityModel(kind, **more)
    likelihood = HaloLikelihood(model, reference.stars, volume)
    rng = np.random.default_rng(4)
    for _ in range(2):
        y = 0.7 * rng.normal(size=model.size)
        parameters = model.physical(y)
        gradient = likelihood.log_posterior(y)[1]
        steps = 1e-5 * np.eye(model.size)
        numeric = [(likelihood.log_posterior(y + s)[0] - likelihood.log_posterior(y - s)[0]) / 2e-5 for s in steps]
        np.testing.assert_allclose(gradient, numeric, atol=2e-4 * np.abs(gradient).max())
        _, _, disk, outliers = model.parts(parameters)
        rate = (1 - disk) * np.exp(plain_numpy(model, parameters, volume.x) - plain_numpy(model, parameters, SUN))
        star = (1 - disk) * np.exp(
            plain_numpy(model, parameters, likelihood.stars) - plain_numpy(model, parameters, SUN)
        )
        thick = DiskDensity()
        rate = rate + disk * thick(volume.x, SUN)
        star = star + disk * thick(likelihood.stars, SUN)
        total = rate @ volume.weight
        want = np.sum(np.log((1 - outliers) * star / total + outliers / volume.weight.sum()))
        assert likelihood.of_parameters(parameters) == pytest.approx(want, rel=1e-11)


def test_threads_and_cells_without_weight_change_nothing(made):
    volume, model, reference = made
    y = np.zeros(model.size)
    empty = Volume(np.concatenate([volume.x, volume.x]), np.concatenate([volume.weight, 0 * volume.weight]), SUN)
    value = reference.value_and_gradient(y)[0]
    assert HaloLikelihood(model, reference.stars, volume, threads=2).value_and_gradient(y)[0] == value
    assert HaloLikelihood(model, reference.stars, empty).value_and_gradient(y)[0] == value


def test_bad_input(made):
    volume, model, reference = made
    with pytest.raises(ConfigError, match="no density"):
        DensityModel("triple")
    with pytest.raises(CatalogError, match="too few"):
        HaloLikelihood(model, reference.stars[:9], volume)
    stars = reference.stars.copy()
    stars[3, 1] = np.nan
    with pytest.raises(CatalogError, match="star 3"):
        HaloLikelihood(model, stars, volume)
    with pytest.raises(ConfigError, match="nothing can be seen"):
        Volume(volume.x, 0 * volume.weight, SUN)
    with pytest.raises(ConfigError, match="finite"):
        Volume(volume.x, np.nan * volume.weight, SUN)
    with pytest.raises(ConfigError, match="outside of the prior"):
        model.coordinates({**BROKEN, "break_radius": 80.0})
    with pytest.raises(ConfigError, match="needs 'q'"):
        model.coordinates({"p": 0.5})
    assert HaloLikelihood(model, reference.stars[:10], volume).value_and_gradient(np.zeros(model.size))[0] < 0
