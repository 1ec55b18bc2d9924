"""Densities: closed forms, continuity, rotations; the likelihood against plain numpy and finite differences."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from starloom.errors import CatalogError, ConfigError
from starloom.halo.density import KINDS, DensityModel, DiskDensity
from starloom.halo.likelihood import HaloLikelihood, Volume
from starloom.halo.mock import BROKEN
from starloom.halo.orientation import AxisDirection, axes, own_names, rows_of, shape_tensor, tensor_weights
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


@pytest.mark.parametrize("lengths", [(1.0, 0.8, 0.5), (1.0, 0.5, 0.8)])
def test_all_names_of_a_density_become_one(lengths):
    model = DensityModel("broken")
    rng = np.random.default_rng(8)
    x = rng.normal(size=(40, 3)) * 12.0
    for rows in Rotation.random(5, rng).as_matrix():
        want = None
        for order in itertools.permutations(range(3)):
            for signs in itertools.product((1.0, -1.0), repeat=3):
                turned = rows[list(order)] * np.array(signs)[:, None]
                if np.linalg.det(turned) < 0:
                    continue
                names = [float(part[0]) for part in own_names(np.array(lengths)[None, order], turned[None])]
                found = np.array([*names, 1.5, 5.0, 20.0])
                want = found if want is None else want
                np.testing.assert_allclose(found, want, atol=1e-9)
        assert want[0] == pytest.approx(0.8)
        assert want[1] == pytest.approx(0.5)
        assert 0 <= want[3] <= 1
        assert 0 <= want[4] < np.pi
        m = np.sqrt(np.sum(((x @ rows.T) / lengths) ** 2, axis=1))
        plain = np.where(m <= 20.0, m**-1.5, 20.0**3.5 * m**-5.0)
        np.testing.assert_allclose(np.exp(plain_numpy(model, want, x)), plain, rtol=1e-9)


def test_named_and_the_tensor_know_no_order():
    model = DensityModel("single")
    value = {"p": 0.45, "q": 0.9, "theta": 2.0, "eta": 0.7, "angle": 2.5, "slope": 3.0}
    own = model.named(value)
    assert (own["p"], own["q"]) == (pytest.approx(0.9), pytest.approx(0.45))
    names = ("p", "q", "theta", "eta", "angle")
    tensors = [shape_tensor([part[name] for name in names]) for part in (value, own)]
    np.testing.assert_allclose(*tensors, atol=1e-9)
    for center in (np.eye(3), axes(value)):
        near = model.centered(center)
        np.testing.assert_allclose(near.physical(near.coordinates(value)), [own[name] for name in model.names])
    np.testing.assert_allclose(near.coordinates(own)[2:5], near.coordinates(value)[2:5], atol=1.01)


def test_beyond_a_ratio_of_one_the_density_goes_on(made):
    _, _, reference = made
    model = reference.model
    y = model.coordinates({**BROKEN, "p": 0.97})
    around = [reference.value_and_gradient(np.array([first, *y[1:]]))[0] for first in (-1e-7, 0.0, 1e-7)]
    np.testing.assert_allclose(around, around[0], atol=1e-4)
    there = model.physical(np.array([0.5, *y[1:]]))
    assert 0.1 < there[1] < there[0] < 1.0


def test_directions_have_no_sign_and_no_edge():
    rng = np.random.default_rng(3)
    true = np.array([-0.9, 0.3, 0.02])
    drawn = true / np.linalg.norm(true) + 0.05 * rng.normal(size=(4000, 3))
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    flipped = drawn * rng.choice([-1.0, 1.0], 4000)[:, None]
    one, two = AxisDirection.of(drawn), AxisDirection.of(flipped)
    np.testing.assert_allclose(one.mean, two.mean, atol=1e-12)
    np.testing.assert_allclose(one.azimuth, two.azimuth, atol=1e-9)
    np.testing.assert_allclose(one.height, two.height, atol=1e-9)
    assert np.median(one.azimuth) == pytest.approx(np.degrees(np.arctan2(-0.3, 0.9)), abs=0.3)
    assert one.height.std() == pytest.approx(np.degrees(0.05 / np.linalg.norm(true)), rel=0.1)
    east, north = two.offsets(flipped)
    assert np.abs(east.mean()) < 0.01
    assert np.abs(north.mean()) < 0.01


def test_the_prior_is_flat_where_it_says_so():
    from scipy.stats import ks_2samp, kstest

    from starloom.halo.posterior import prior_draws

    model = DensityModel("broken")
    likelihood = HaloLikelihood(model, np.ones((10, 3)), Volume(np.ones((2, 3)), np.ones(2), SUN))
    draws = dict(zip(model.names, model.physical(prior_draws(likelihood, 4000, 7)).T, strict=True))
    # two even ratios under one name each: the larger is p, the smaller q
    p, q = ((draws[name] - 0.1) / 0.9 for name in ("p", "q"))
    assert (q <= p).all()
    assert kstest(p**2, "uniform").pvalue > 1e-3
    assert kstest(q / p, "uniform").pvalue > 1e-3
    assert kstest((draws["break_radius"] - 2.0) / 53.0, "uniform").pvalue > 1e-3
    # all rotations alike: any axis has an even height
    rows = rows_of(*(draws[name] for name in ("theta", "eta", "angle")))
    for axis in range(3):
        assert kstest(np.abs(rows[:, axis, 2]), "uniform").pvalue > 1e-3
    # and by the cube of nested sampling it is the same prior
    cube = np.random.default_rng(5).random((2000, model.size))
    nested = dict(zip(model.names, np.array([model.of_prior(u) for u in cube]).T, strict=True))
    for name in model.names:
        assert ks_2samp(nested[name], draws[name]).pvalue > 1e-3, name
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


def test_weights_are_the_volume_of_the_shapes_tensor():
    """By differences: how much room in the tensor's elements a step in p, q and three small turns takes."""
    rng = np.random.default_rng(8)
    ratios = np.array([[0.9, 0.4], [0.6, 0.55], [0.8, 0.5], [0.95, 0.9]])
    start, step, rooms = Rotation.random(1, rng)[0], 1e-5, []

    def tensor(p, q, *turn):
        rows = start.as_matrix() @ Rotation.from_rotvec(turn).as_matrix().T
        return (rows.T @ np.diag([0.0, np.log(p), np.log(q)]) @ rows).ravel()

    for p, q in ratios:
        point = np.array([p, q, 0.0, 0.0, 0.0])
        slopes = [(tensor(*(point + e)) - tensor(*(point - e))) / (2.0 * step) for e in step * np.eye(5)]
        rooms.append(np.sqrt(np.linalg.det(np.array(slopes) @ np.array(slopes).T)))
    np.testing.assert_allclose(tensor_weights(ratios), np.array(rooms) / np.mean(rooms), rtol=1e-6)
    np.testing.assert_array_equal(tensor_weights([[1.0, 0.5]]), [1.0])  # no draw has any room: all are alike
