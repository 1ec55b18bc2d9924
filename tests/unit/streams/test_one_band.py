"""A star with one band of photometry missing is judged by the other, marginalized exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import integrate

from starloom.streams.configuration import Photometry
from starloom.streams.photometry import IsochroneTable, segment_density, start_shares

MISSING = [("g_mean_psf_mag", 0), ("i_mean_psf_mag", 1)]


def double(values):
    return torch.as_tensor(np.asarray(values, dtype=float))


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_segment_without_a_band_against_quadrature(place):
    start, end = np.array([18.0, 17.2, 17.0]), np.array([18.4, 17.4, 17.3])
    errors, star = np.array([0.04, 0.07, 0.05]), np.array([18.25, 17.28, 17.12])

    def joint(value):
        point = star.copy()
        point[place] = value
        return float(segment_density(*map(double, ([point], [errors], start, end)), 0.05))

    expected, _ = integrate.quad(joint, start[place] - 1.0, end[place] + 1.0, epsrel=1e-9, limit=200)
    unlimited = errors.copy()
    unlimited[place] = np.inf
    found = segment_density(*map(double, ([star], [unlimited], start, end)), 0.05)
    assert float(found) == pytest.approx(expected, rel=1e-6)


def test_what_stands_for_the_missing_magnitude_has_no_say():
    args = [double([[0.05, np.inf]]), double([18.0, 17.0]), double([18.5, 17.3])]
    one, other = (segment_density(double([[18.2, value]]), *args, 0.05) for value in (0.0, 17.1))
    assert float(one) == float(other)


def test_the_other_band_of_a_population_integrates_to_one(parts):
    """Whichever band is missing: over all values of the other one that the window lets through."""
    photometry, modulus = replace(parts.population(), magnitude=(10.0, 21.5)), 14.45
    shares = torch.log_softmax(torch.as_tensor(start_shares(photometry)), dim=0).float()[None]
    for place, (low, high) in ((0, (7.0, 23.0)), (1, (10.0, 21.5))):
        grid = np.arange(low, high, 0.02)
        magnitudes, errors = np.zeros((len(grid), 2)), np.full((len(grid), 2), 0.02)
        magnitudes[:, 1 - place], errors[:, place] = grid, np.inf
        table = IsochroneTable(photometry, (14.4, 14.5), double(magnitudes).float(), double(errors).float())
        full = torch.ones(1, len(grid))
        density = table.log_density(full * modulus, full * 1e-4, shares)[0].exp()
        # where the first band is there its errors carry stars over the limit, and almost as many back
        assert float(density.sum()) * 0.02 == pytest.approx(1.0, abs=1e-3 if place == 0 else 0.01)


@pytest.mark.parametrize(("name", "place"), MISSING)
def test_the_background_is_the_integral_of_its_flow(fitted, field, name, place):
    rows = np.flatnonzero(np.isfinite(np.asarray(field["g_mean_psf_mag"])))[:6]
    table = field[rows].copy()
    full = fitted.prepare(table)
    table[name] = np.nan
    part = fitted.prepare(table)
    without = replace(part, photometry_seen=torch.zeros(6, dtype=torch.bool))
    found = (fitted.background.log_prob(part) - fitted.background.log_prob(without)).double().numpy()
    grid = torch.linspace(9.0, 26.0, 17_001)
    for star in range(6):
        many = replace(
            full,
            phi1=np.repeat(full.phi1[star], len(grid)),
            magnitudes=full.magnitudes[star].repeat(len(grid), 1).index_copy(1, torch.tensor([place]), grid[:, None]),
        )
        square, _, _ = fitted.background.points(
            replace(
                many,
                magnitude_errors=torch.full((len(grid), 2), 0.1),
                photometry_seen=torch.ones(len(grid), dtype=torch.bool),
            ),
            "photometry",
        )
        inside = (square.abs() < 1.0).all(dim=1)
        context = fitted.background.context(many)
        with torch.no_grad():
            log_p = fitted.background.flows["photometry"].log_prob(square, context)
        area = 4.0 / ((23.0 - 12.0) * (2.8 + 0.7))
        expected = float((log_p.exp() * inside).sum()) * 0.001 * area
        assert np.exp(found[star]) == pytest.approx(expected, rel=5e-3)


@pytest.mark.parametrize(("name", "place"), MISSING)
def test_the_whole_density_integrates_to_that_of_the_star_without_the_band(fitted, field, name, place):
    """ln p(star without a band) = ln of the integral of p(star) over that band, for every component and member.

    In float32 with densities tabulated every 0.05 mag and a window that the population is normalized over only by its
    own magnitudes: two per cent.
    """
    p = np.asarray(fitted.predict(field)["p_stream"])
    seen = np.isfinite(np.asarray(field["g_mean_psf_mag"]))
    rows = np.concatenate([np.flatnonzero(seen & (p > 0.8))[:4], np.flatnonzero(seen & (p < 0.1))[:3]])
    step = 0.02
    for row in rows:
        table = field[np.repeat(row, 900)].copy()
        table["g_mag_error"] = np.full(900, 0.05)
        table["i_mag_error"] = np.full(900, 0.05)
        values = np.arange(900) * step + 8.0
        table[name] = values * table[name].unit
        stars = fitted.prepare(table)
        if len(stars) == 0:
            continue
        whole = fitted.log_densities(stars)[:, 0].double().exp().sum(dim=1).numpy() * step
        one = table[:1].copy()
        one[name] = np.nan
        alone = fitted.log_densities(fitted.prepare(one))[:, 0, 0].double().exp().numpy()
        assert alone[-1] == pytest.approx(whole[-1], rel=0.02)
        if whole[0] > 1e-6 * whole[-1]:
            assert alone[0] == pytest.approx(whole[0], rel=0.03)


def test_each_band_says_more_and_what_is_hidden_at_random_biases_nothing(fitted):
    """Stars drawn from the model itself, so that it is right about them: the log score of the truth, and the counts."""
    drawn = fitted.sample(1500, 7)
    member = np.asarray(drawn["component"]) != "background"
    rng = np.random.default_rng(8)

    def predict(*hidden):
        table = drawn.copy()
        for name in hidden:
            table[name] = np.nan
        return np.asarray(fitted.predict(table)["p_member"])

    def score(p):
        return np.log(np.where(member, p, 1.0 - p).clip(1e-9)).sum()

    both, one, other, none = (score(predict(*hidden)) for hidden in ((), ("i_mag",), ("g_mag",), ("g_mag", "i_mag")))
    assert both > max(one, other) + 10
    assert min(one, other) > none + 2
    part = drawn.copy()
    part["g_mag"][rng.random(len(part)) < 0.3] = np.nan
    part["i_mag"][rng.random(len(part)) < 0.3] = np.nan
    p = np.asarray(fitted.predict(part)["p_member"])
    assert p.sum() == pytest.approx(member.sum(), abs=5 * np.sqrt((p * (1 - p)).sum()))


def test_three_bands(parts):
    """Two missing of three are no photometry; one missing leaves two."""
    from starloom.streams.stars import _photometry

    photometry = Photometry(
        ("g_mag", "r_mag", "i_mag"), ((22.0, 21.0, 20.5), (20.0, 19.5, 19.2), (18.0, 17.4, 17.0)), (14.0, 22.0),
        ((-0.5, 1.5), (-0.5, 1.0)),
    )  # fmt: skip
    from astropy.table import QTable

    table = QTable({"g_mag": [20.0, 20.0, 20.0, np.nan], "r_mag": [19.5, np.nan, np.nan, 25.0]})
    table["i_mag"] = [19.2, 19.2, np.nan, 24.5]
    magnitudes, errors, seen, outside = _photometry(table, photometry)
    assert seen.tolist() == [True, True, False, True]
    assert np.isinf(errors[1]).tolist() == [False, True, False]
    assert outside.tolist() == [False, False, False, True], "no g inside the window gives this r"
    assert np.isfinite(magnitudes).all()
