"""The photometric density of a stream against quadrature."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from starloom.streams.photometry import IsochroneTable, segment_density, start_shares


def double(values):
    return torch.as_tensor(np.asarray(values, dtype=float))


def by_quadrature(magnitudes, errors, start, end, scatter):
    sigma = np.hypot(errors, scatter)

    def density(t):
        return np.prod(stats.norm.pdf(magnitudes, start + t * (end - start), sigma))

    # where along the segment the star is nearest
    along = (end - start) / sigma
    nearest = float(np.clip(((magnitudes - start) / sigma) @ along / (along @ along), 0, 1))
    points = sorted({0.0, 1.0, nearest, *(np.clip(nearest + np.array([-0.1, -0.02, 0.02, 0.1]), 0, 1).tolist())})
    return sum(
        integrate.quad(density, a, b, epsabs=0, epsrel=1e-10, limit=200)[0] for a, b in itertools.pairwise(points)
    )


@pytest.mark.parametrize(
    ("start", "end"),
    [((18.0, 17.2), (18.3, 17.4)), ((20.0, 18.4), (18.0, 17.6)), ((17.0, 16.5), (17.0, 16.5001))],
    ids=["short", "long, to brighter", "nearly a point"],
)
@pytest.mark.parametrize("offset", [(0.0, 0.0), (0.1, -0.05), (-0.3, 0.2), (0.5, 0.55), (-0.45, -0.3)])
def test_a_segment_against_quadrature(start, end, offset):
    errors, scatter = np.array([0.03, 0.06]), 0.08
    start, end = np.asarray(start), np.asarray(end)
    for place in (-0.1, 0.0, 0.5, 1.0, 1.1):
        star = start + place * (end - start) + np.asarray(offset)
        found = segment_density(double([star]), double([errors]), double(start), double(end), scatter)
        expected = by_quadrature(star, errors, start, end, scatter)
        assert float(found) == pytest.approx(expected, rel=1e-6, abs=1e-14)


def test_both_ends_of_a_segment_are_alike():
    start, end, errors = np.array([18.0, 17.0]), np.array([18.4, 17.4]), np.array([0.05, 0.05])
    step = 0.35 / math.sqrt(2)  # 5.8 sigma beyond each end
    beyond = double([start - step, end + step])
    found = segment_density(beyond, double([errors, errors]), double(start), double(end), 0.035)
    assert float(found[0]) == pytest.approx(float(found[1]), rel=1e-6)
    assert float(found[0]) > 0


def test_both_ends_of_a_segment_are_alike_in_single_precision():
    start, end, errors = np.array([18.0, 17.0]), np.array([18.4, 17.4]), np.array([0.05, 0.05])
    step = 0.27 / math.sqrt(2)  # 4.4 sigma
    beyond = double([start - step, end + step])
    values = (v.float() for v in (beyond, double([errors, errors]), double(start), double(end)))
    found = segment_density(*values, 0.035)
    assert float(found[0]) == pytest.approx(float(found[1]), rel=0.05)
    assert float(found[0]) > 0


@pytest.mark.parametrize("bands", [2, 3])
def test_a_segment_integrates_to_one(bands):
    start, end = np.array([18.0, 17.2, 17.0])[:bands], np.array([18.5, 17.4, 17.3])[:bands]
    errors = np.array([0.04, 0.07, 0.05])[:bands]
    step = 0.04
    axes = [
        np.arange(a - 0.7, b + 0.7, step) for a, b in zip(np.minimum(start, end), np.maximum(start, end), strict=True)
    ]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, bands)
    density = segment_density(double(grid), double(np.tile(errors, (len(grid), 1))), double(start), double(end), 0.08)
    assert float(density.sum()) * step**bands == pytest.approx(1.0, abs=1e-6)


def test_many_segments_at_once():
    rng = np.random.default_rng(1)
    star, errors = rng.normal(18, 0.3, (5, 2)), rng.uniform(0.02, 0.1, (5, 2))
    start, end = rng.normal(18, 0.3, (3, 4, 2)), rng.normal(18, 0.3, (3, 4, 2))
    found = segment_density(*map(double, (star, errors, start, end)), 0.05)
    assert found.shape == (5, 3, 4)
    one = segment_density(*map(double, (star[[2]], errors[[2]], start[1, 3], end[1, 3])), 0.05)
    assert float(found[2, 1, 3]) == pytest.approx(float(one), rel=1e-12)


# ------------------------------------------------------------------------------------------------- IsochroneTable

SHARP = 1e-4  # mag: no spread in distance


def direct(photometry, magnitudes, errors, modulus, log_shares):
    """Density at one distance modulus with no table between, in double precision."""
    points = double(photometry.isochrone) + modulus
    arc = np.sqrt((np.diff(np.asarray(photometry.isochrone), axis=0) ** 2).sum(axis=1))
    middle = np.cumsum(arc) - 0.5 * arc
    piece = np.minimum((middle / arc.sum() * photometry.bins).astype(int), photometry.bins - 1)
    share = arc / np.bincount(piece, arc)[piece] * np.exp(np.asarray(log_shares, dtype=float))[piece]
    density = segment_density(double(magnitudes), double(errors), points[:-1], points[1:], photometry.scatter)
    low, high = np.sort(np.stack([points[:-1, 0], points[1:, 0]]), axis=0)
    inside = (np.clip(high, *photometry.magnitude) - np.clip(low, *photometry.magnitude)) / (high - low)
    return (density.numpy() @ share) / (inside @ share)


def near_the_isochrone(photometry, modulus, count=400, seed=1):
    """Stars drawn from the population, and their errors."""
    rng = np.random.default_rng(seed)
    points = np.asarray(photometry.isochrone)
    place = rng.uniform(0, len(points) - 1, count)
    index = place.astype(int)
    true = points[index] + (place - index)[:, None] * (points[index + 1] - points[index]) + modulus
    errors = np.hypot(0.015, 0.05 * 10 ** (0.3 * (true - 20.5)))
    return rng.normal(true, np.hypot(errors, photometry.scatter)), errors


def log_shares(photometry):
    values = torch.log_softmax(torch.as_tensor(start_shares(photometry)), dim=0)
    return values.float()[None]


def looked_up(photometry, window, magnitudes, errors, modulus, spread):
    table = IsochroneTable(photometry, window, double(magnitudes).float(), double(errors).float())
    full = torch.ones(1, len(magnitudes))
    return table.log_density(full * modulus, full * spread, log_shares(photometry))[0].double().numpy()


@pytest.mark.parametrize(
    ("window", "scatter"),
    [((13.5, 15.5), 0.08), ((13.5, 15.5), 0.05), ((12.0, 18.0), 0.05), ((13.5, 15.5), 0.02)],
    ids=["as for GD-1", "default scatter", "a wide range of distance", "a sharp isochrone"],
)
def test_the_table_against_direct_evaluation(parts, window, scatter):
    photometry = replace(parts.population(), scatter=scatter)
    shares = log_shares(photometry)
    for modulus in (13.73, 14.4321, 15.11):  # between the nodes of the grid
        magnitudes, errors = near_the_isochrone(photometry, modulus)
        found = looked_up(photometry, window, magnitudes, errors, modulus, SHARP)
        expected = np.log(direct(photometry, magnitudes, errors, modulus, shares[0]))
        # five per cent of the density, well below what the scatter itself is known to
        assert np.percentile(np.abs(found - expected), 95) < 0.05
        assert abs(float((found - expected).mean())) < 0.01


@pytest.mark.parametrize("spread", [0.03, 0.08, 0.15])
def test_a_spread_in_distance_against_direct_evaluation(parts, spread):
    photometry, modulus = parts.population(), 14.4321
    magnitudes, errors = near_the_isochrone(photometry, modulus)
    found = looked_up(photometry, (13.5, 15.5), magnitudes, errors, modulus, spread)
    nodes, weights = np.polynomial.hermite_e.hermegauss(21)
    shares = log_shares(photometry)[0]
    expected = sum(
        weight * direct(photometry, magnitudes, errors, modulus + node * spread, shares)
        for node, weight in zip(nodes, weights / weights.sum(), strict=True)
    )
    assert np.percentile(np.abs(found - np.log(expected)), 95) < 0.05
    assert abs(float((found - np.log(expected)).mean())) < 0.01


@pytest.mark.parametrize("spread", [SHARP, 0.1])
@pytest.mark.parametrize("faint", [26.0, 22.0, 20.5], ids=["whole", "main sequence cut", "cut near the turn-off"])
def test_the_population_integrates_to_one_over_the_window(parts, faint, spread):
    photometry = replace(parts.population(), magnitude=(10.0, faint), scatter=0.06)
    step, modulus = 0.04, 14.45
    first = np.arange(10.0, faint, step) + 0.5 * step
    color = np.arange(-1.0, 3.2, step)
    grid = np.stack([np.repeat(first, len(color)), (first[:, None] - color).ravel()], axis=1)
    total = 0.0
    for chunk in np.array_split(grid, len(grid) // 10_000 + 1):
        density = looked_up(photometry, (14.4, 14.5), chunk, np.full(chunk.shape, 0.03), modulus, spread)
        total += float(np.exp(density).sum()) * step**2
    # at a limit that cuts the population, errors carry stars out of the window, and almost as many into it
    assert total == pytest.approx(1.0, abs=1e-3 if faint == 26.0 else 0.01)


def test_no_star_with_photometry_is_no_error(parts):
    photometry = parts.population()
    table = IsochroneTable(photometry, (13.5, 15.5), torch.zeros(0, 2), torch.zeros(0, 2))
    assert table.log_density(torch.full((1, 0), 14.5), torch.ones(1, 0), log_shares(photometry)).shape == (1, 0)


def test_weights_set_the_shares(parts):
    base = parts.population()
    points = np.asarray(base.isochrone)
    bright = tuple(float(value) for value in (points[1:, 0] < 3.0))
    shares = np.exp(start_shares(replace(base, weights=bright)))
    assert shares[0] < 1e-3, "no star on the faint pieces"
    assert shares[-1] > 0.1
    even = np.exp(start_shares(base))
    assert even.sum() == pytest.approx(1.0, abs=1e-6)
    assert even.max() / even.min() < 2.0, "equal shares a unit of arc length"
