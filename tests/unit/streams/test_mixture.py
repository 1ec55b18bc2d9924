"""The density of the mixture: normalised over its window, exact where a feature is missing, one sum over components."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats as scipy_stats

from starloom.catalog.tables import read_table
from starloom.neural.curves import read_off
from starloom.streams.background import Background
from starloom.streams.configuration import Coordinate, Guide
from starloom.streams.mixture import Mixture, PreparedStars
from starloom.streams.stars import prepare


def log_densities(fitted, table):
    stars = fitted.prepare(table)
    assert (stars.reasons == "").all(), np.unique(stars.reasons)
    return fitted.log_densities(stars).double().numpy(), stars


def places(parts, phi1, phi2, pm=None, **columns):
    """A table of stars at places of the stream's frame; ``pm`` (n, 2) are (pmra, pmdec), None: missing."""
    phi1, phi2 = np.broadcast_arrays(np.asarray(phi1, dtype=float), np.asarray(phi2, dtype=float))
    ra, dec = parts.FRAME.to_icrs(phi1, phi2)
    pm = np.full((len(phi1), 2), np.nan) if pm is None else np.asarray(pm)
    missing = np.full(len(phi1), np.nan)
    table = {"ra": ra, "dec": dec, "pmra": pm[:, 0], "pmdec": pm[:, 1], "g_mag": missing, "i_mag": missing}
    return {**table, **columns}


def grid_of(polygon, nodes):
    """Points of a polygon and the area that each stands for."""
    middle = (torch.arange(nodes, dtype=torch.float64) + 0.5) / nodes * 2 - 1
    x, y = polygon.from_square(torch.cartesian_prod(middle, middle))
    _, log_jacobian = polygon.to_square(x, y)
    return np.stack([x.numpy(), y.numpy()], axis=1), (-log_jacobian).exp().numpy() * (2 / nodes) ** 2


def rows_of(field, count=120):
    return field[:count]


# ------------------------------------------------------------------------------------------------- normalisation


@pytest.mark.parametrize("phi1", [-63.0, -45.3, -31.0])
def test_each_component_integrates_to_one_in_proper_motion(fitted, parts, phi1):
    """At a place, the density over the polygon sums to that of a star there whose proper motion is missing."""
    points, area = grid_of(fitted.model.polygon, 110)
    center = float(fitted.curves_at("stream", [phi1])[0, 0, 0])
    for phi2 in (center, center + 0.8, center - 1.0):
        full, _ = log_densities(fitted, places(parts, np.full(len(points), phi1), phi2, points))
        alone, _ = log_densities(fitted, places(parts, [phi1], [phi2]))
        integral = (np.exp(full) * area).sum(axis=-1)
        expected = np.exp(alone[..., 0])
        on = expected > 1e-6  # a component that is switched off here, or too far away to matter, has nothing to sum
        assert on[-1].all()
        assert on[0].all() or phi2 != center
        np.testing.assert_allclose(integral[on] / expected[on], 1.0, atol=1e-3)


@pytest.mark.parametrize("phi1", [-63.0, -45.3, -31.0])
def test_each_component_integrates_to_its_share_across_the_window(fitted, parts, phi1):
    nodes, weights = np.polynomial.legendre.leggauss(24)
    edges = np.linspace(-5, 5, 81)
    half = 0.5 * np.diff(edges)
    phi2 = (edges[:-1, None] + half[:, None] * (nodes + 1)).ravel()
    weight = (half[:, None] * weights).ravel()
    density, _ = log_densities(fitted, places(parts, np.full(len(phi2), phi1), phi2))
    integral = (np.exp(density) * weight).sum(axis=-1)
    share = np.exp(fitted.curves_at("weights", [phi1])[:, 0])  # (members, components)
    if phi1 < -45:
        share[:, 1] = 0.0  # the spur begins at -45
    np.testing.assert_allclose(integral[:-1], share.T, atol=1e-3)
    np.testing.assert_allclose(integral[-1], 1.0 - share.sum(axis=1), atol=1e-3)
    np.testing.assert_allclose(integral.sum(axis=0), 1.0, atol=1e-3)


def test_a_box_in_the_streams_frame_integrates_to_one(plain_fitted, parts):
    model = plain_fitted.model
    points, area = grid_of(model.polygon, 130)
    phi1 = np.full(len(points), -40.0)
    center = np.full(len(points), float(plain_fitted.curves_at("stream", [-40.0])[0, 0, 0]))
    ra, dec = parts.FRAME.to_icrs(phi1, center)
    icrs = np.einsum(
        "nji,nj->ni", parts.FRAME.turn(ra, dec), points + parts.FRAME.reflex(phi1, center, np.full(len(phi1), 8.0))
    )
    full, _ = log_densities(plain_fitted, places(parts, phi1, center, icrs))
    alone, _ = log_densities(plain_fitted, places(parts, phi1[:1], center[:1]))
    np.testing.assert_allclose((np.exp(full) * area).sum(axis=-1), np.exp(alone[..., 0]), rtol=1e-3)


# -------------------------------------------------------------------------------------------- missing = marginalised


def reduced(fitted, **changes):
    """The model without some features, with the very same curves and background for the rest."""
    model = replace(fitted.model, **changes)
    background, mixture = (kind(model, torch.Generator().manual_seed(0)) for kind in (Background, Mixture))
    for name in background.flows:
        background.flows[name].load_state_dict(fitted.background.flows[name].state_dict())
    if mixture.shares is not None:
        mixture.shares.data = fitted.mixture.shares.detach()
    curves = fitted.mixture.curves()
    for component in model.components:
        kept = [curve.name for curve in mixture.tracks[component.name].curves]
        had = [curve.name for curve in fitted.mixture.tracks[component.name].curves]
        curves[component.name] = curves[component.name][..., [had.index(name) for name in kept]]

    def density(table):
        stars = prepare(model, read_table(table))
        with torch.no_grad():
            return mixture.log_densities(PreparedStars(model, stars, mixture, background.log_prob(stars)), curves)

    return density


def test_a_star_without_photometry_is_a_star_of_the_model_without_it(fitted, field):
    table = rows_of(field).copy()
    table["g_mean_psf_mag"], table["i_mean_psf_mag"] = np.nan, np.nan
    full = fitted.log_densities(fitted.prepare(table))
    assert torch.equal(full, reduced(fitted, photometry=None, distance=None)(table))


def test_a_star_without_proper_motions_is_a_star_of_the_model_without_them(fitted, field):
    table = rows_of(field).copy()
    table["pmdec"] = np.nan
    full = fitted.log_densities(fitted.prepare(table))
    assert torch.equal(full, reduced(fitted, proper_motion=None)(table))


def test_a_star_with_nothing_but_a_place(fitted, field):
    table = rows_of(field)["ra", "dec", "pmra", "pmdec"].copy()
    table["pmra"] = np.nan
    full = fitted.log_densities(fitted.prepare(table))
    assert torch.equal(full, reduced(fitted, proper_motion=None, photometry=None, distance=None)(table))


def test_a_feature_that_one_star_lacks_changes_no_other_star(fitted, field):
    table = rows_of(field, 40).copy()
    before = fitted.log_densities(fitted.prepare(table))
    table["pmra"][7], table["g_mean_psf_mag"][7] = np.nan, np.nan
    after = fitted.log_densities(fitted.prepare(table))
    others = [row for row in range(40) if row != 7]
    torch.testing.assert_close(after[..., others], before[..., others], rtol=0, atol=2e-5)
    assert not torch.allclose(after[..., 7], before[..., 7])


# ------------------------------------------------------------------------------------------------ against formulas


def truncnorm(x, mean, sigma, low, high):
    return scipy_stats.truncnorm.pdf(x, (low - mean) / sigma, (high - mean) / sigma, mean, sigma)


@pytest.mark.parametrize("wings", [False, True])
def test_the_stream_in_a_box_is_a_product_of_truncated_normals(make_model, parts, wings):
    box = parts.proper_motion(polygon=None, system="stream", reflex_distance=None, wings=wings)
    model = make_model(
        frame=None, components=(parts.stream(),), proper_motion=box, photometry=None, distance=None,
        radial_velocity=Coordinate((-300.0, 300.0), (2.0, 30.0)),
    )  # fmt: skip
    mixture = Mixture(model, torch.Generator().manual_seed(3))
    rng = np.random.default_rng(2)
    n = 60
    pm, error = np.stack([rng.uniform(-9.5, -5, n), rng.uniform(-3, 2, n)], axis=1), rng.uniform(0.05, 0.4, (n, 2))
    table = {
        "phi1": rng.uniform(-69, -21, n), "phi2": rng.uniform(-2, 2, n), "pm_phi1_cosphi2": pm[:, 0],
        "pm_phi2": pm[:, 1], "pm_phi1_cosphi2_error": error[:, 0], "pm_phi2_error": error[:, 1],
        "radial_velocity": rng.normal(0, 90, n), "radial_velocity_error": rng.uniform(1, 20, n),
    }  # fmt: skip
    stars = prepare(model, read_table(table))
    if not stars.has_errors:
        error[:] = 0.0  # no such columns in the schema
    curves = mixture.curves()
    with torch.no_grad():
        found = mixture.log_densities(PreparedStars(model, stars, mixture, torch.zeros(n)), curves).double().numpy()
        values = read_off(curves["stream"], mixture.weights.places(torch.as_tensor(table["phi1"]))).double().numpy()
        weight = read_off(curves["weights"], mixture.weights.places(torch.as_tensor(table["phi1"]))).double().numpy()
    names = [curve.name for curve in mixture.tracks["stream"].curves]
    for member in range(3):
        v = {name: values[member, :, place] for place, name in enumerate(names)}
        expected = np.exp(weight[member, :, 0]) * truncnorm(table["phi2"], v["phi2"], np.exp(v["ln_width_phi2"]), -5, 5)
        velocity_width = np.hypot(np.exp(v["ln_width_radial_velocity"]), table["radial_velocity_error"])
        expected *= truncnorm(table["radial_velocity"], v["radial_velocity"], velocity_width, -300, 300)

        def motion(scale, v=v):
            product = np.ones(n)
            for place, (name, window) in enumerate((("pm_phi1_cosphi2", (-10, -4.5)), ("pm_phi2", (-6, 3)))):
                width = np.hypot(np.exp(v[f"ln_width_{name}"]) * scale, error[:, place])
                product *= truncnorm(pm[:, place], v[name], width, *window)
            return product

        if wings:
            share = v["wing_share"]
            expected *= (1 - share) * motion(1.0) + share * motion(np.exp(v["ln_wing_scale"]))
        else:
            expected *= motion(1.0)
        # float32 throughout, and proper motions are left out where nothing depends on them
        near = np.log(expected) > -14
        assert near.sum() > 10
        np.testing.assert_allclose(found[0, member][near], np.log(expected)[near], atol=5e-4)


def test_parallax_and_photometry_see_one_distance(make_model, parts):
    """The joint density against a brute-force integral over the star's distance modulus."""
    model = make_model(proper_motion=None, components=(parts.stream(),), parallax=(-2.0, 3.0))
    mixture = Mixture(model, torch.Generator().manual_seed(4))
    g, i = 17.9, 17.5
    table = places(
        parts, [-50.0, -40.0, -30.0], [0.1, 0.0, 0.2], parallax=np.array([0.15, 0.05, 0.3]),
        parallax_error=np.array([0.02, 0.1, 0.05]), g_mag=np.array([g, g, g + 1.2]), i_mag=np.array([i, i, i + 1.0]),
    )  # fmt: skip
    stars = prepare(model, read_table(table))
    prepared = PreparedStars(model, stars, mixture, torch.zeros(3))
    curves = mixture.curves()
    bare = replace(model, parallax=None, photometry=None, distance=None)
    names = [curve.name for curve in mixture.tracks["stream"].curves]
    with torch.no_grad():
        found = mixture.log_densities(prepared, curves)[0].double().numpy()
        values = read_off(curves["stream"], prepared.places)
        alone = {**curves, "stream": curves["stream"][..., : names.index("distance_modulus")]}
        rest = Mixture(bare, torch.Generator().manual_seed(0)).log_densities(prepared, alone)[0].double().numpy()
    for member in range(3):
        for star in range(3):
            mean, sigma = float(values[member, star, -2]), float(values[member, star, -1].exp())
            modulus = mean + sigma * np.linspace(-5, 5, 201)
            prior = scipy_stats.norm.pdf(modulus, mean, sigma)
            depth = 10 ** (2 - 0.2 * modulus)
            error, low, high = table["parallax_error"][star], -2.0, 3.0
            parallax = truncnorm(table["parallax"][star], depth, error, low, high)
            table_of_one = type(prepared.table)(
                model.photometry, model.distance.modulus, stars.magnitudes[[star]], stars.magnitude_errors[[star]]
            )
            shares = mixture.log_shares()[[member]].detach()
            magnitudes = np.array(
                [
                    float(table_of_one.log_density(torch.tensor([[m]]).float(), torch.tensor([[1e-4]]), shares).exp())
                    for m in modulus
                ]
            )
            expected = math.log(np.trapezoid(prior * parallax * magnitudes, modulus))
            # linear in the modulus over the scatter, three nodes over the spread: a few per cent
            assert found[member, star] - rest[member, star] == pytest.approx(expected, abs=0.06)


def test_errors_alone_widen_the_proper_motions(plain_fitted, field):
    table = rows_of(field).copy()
    plain = plain_fitted.log_densities(plain_fitted.prepare(table))
    table["pmra_error"], table["pmdec_error"] = 1e-6, 1e-6
    torch.testing.assert_close(plain_fitted.log_densities(plain_fitted.prepare(table)), plain, rtol=0, atol=1e-4)
    table["pmra_error"], table["pmdec_error"] = 2.0, 2.0
    wide = plain_fitted.log_densities(plain_fitted.prepare(table))
    assert float(wide[0].max()) < float(plain[0].max())


# --------------------------------------------------------------------------------------- what must not change what


def test_the_order_of_the_stars_does_not_matter(fitted, field):
    table = rows_of(field, 200)
    order = np.random.default_rng(1).permutation(200)
    straight = fitted.log_densities(fitted.prepare(table))
    turned = fitted.log_densities(fitted.prepare(table[order]))
    torch.testing.assert_close(turned, straight[..., order], rtol=0, atol=5e-5)


def test_a_star_alone_has_the_density_it_has_in_a_crowd(fitted, field):
    table = rows_of(field, 30)
    crowd = fitted.log_densities(fitted.prepare(table))
    for row in (0, 11, 29):
        alone = fitted.log_densities(fitted.prepare(table[row : row + 1]))
        torch.testing.assert_close(alone[..., 0], crowd[..., row], rtol=0, atol=5e-5)


def test_guides_act_on_the_objective_and_never_on_the_densities(fitted, field, parts):
    far = Guide("pm_phi2", (-50.0, -40.0), (2.0, 2.5), (0.1, 0.2), strength=7.0)
    guided = replace(fitted.model, components=(parts.stream(guides=(far,)), parts.spur()))
    free = replace(fitted.model, components=(parts.stream(guides=()), parts.spur()))
    state = fitted.mixture.state_dict()
    mixtures = []
    for model in (guided, free):
        mixtures.append(Mixture(model, torch.Generator().manual_seed(0)))
        mixtures[-1].load_state_dict(state)
    stars = fitted.prepare(rows_of(field))
    prepared = PreparedStars(fitted.model, stars, fitted.mixture, fitted.background.log_prob(stars))
    with torch.no_grad():
        curves = mixtures[0].curves()
        densities = [mixture.log_densities(prepared, curves) for mixture in mixtures]
        penalties = [mixture.penalty(curves) for mixture in mixtures]
    assert torch.equal(*densities)
    mean = fitted.curves_at("stream", far.phi1)[..., 4]  # phi2 and its width, pm_phi1 and its width, pm_phi2
    excess = np.maximum(np.abs(mean - np.asarray(far.value)) - np.asarray(far.half_width), 0.0)
    np.testing.assert_allclose(penalties[0] - penalties[1], 7.0 * (excess**2).sum(axis=1), rtol=1e-3)
    assert excess.min() > 0.5


def test_a_guide_that_is_kept_costs_nothing(fitted, parts):
    inside = Guide("pm_phi2", (-50.0,), (-1.0,), (50.0,))
    model = replace(fitted.model, components=(parts.stream(guides=(inside,)), parts.spur()))
    free = replace(fitted.model, components=(parts.stream(guides=()), parts.spur()))
    curves = fitted.mixture.curves()
    found = []
    for each in (model, free):
        mixture = Mixture(each, torch.Generator().manual_seed(0))
        mixture.load_state_dict(fitted.mixture.state_dict())
        found.append(mixture.penalty(curves))
    assert torch.equal(*found)


def test_a_component_is_off_outside_its_range(fitted, field):
    stars = fitted.prepare(field)
    p = fitted.probabilities(stars).numpy()
    off = stars.phi1 < -45.0
    assert p[1][:, off].max() < 1e-12
    assert p[1][0, ~off].max() > 0.05, "and on inside"


def test_probabilities_sum_to_one(fitted, plain_fitted, field):
    for each in (fitted, plain_fitted):
        p = each.probabilities(each.prepare(field))
        assert torch.isfinite(p).all()
        assert float(p.min()) >= 0.0
        torch.testing.assert_close(p.sum(dim=0), torch.ones(p.shape[1:]), rtol=0, atol=1e-5)


def test_the_weights_cannot_exceed_one(make_model, parts):
    """Two components that both want nearly all stars still leave a density that sums to one."""
    pair = (parts.stream(start_fraction=0.8), parts.spur(start_fraction=0.8))
    model = make_model(components=pair, proper_motion=None, photometry=None, distance=None)
    mixture = Mixture(model, torch.Generator().manual_seed(1))
    phi2 = np.linspace(-5, 5, 2001)
    stars = prepare(model, read_table(places(parts, np.full(2001, -30.0), phi2)))
    with torch.no_grad():
        density = mixture.log_densities(PreparedStars(model, stars, mixture, torch.zeros(2001)), mixture.curves())
    total = np.trapezoid(density.exp().sum(dim=0).double().numpy(), phi2, axis=1)
    np.testing.assert_allclose(total, 1.0, atol=0.01)
