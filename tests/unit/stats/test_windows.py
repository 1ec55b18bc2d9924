"""The polygon window: geometry, the map to the square, and the mass of a normal inside."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from starloom.errors import ConfigError
from starloom.stats.windows import ConvexPolygon

TRIANGLE = ((0.0, 0.0), (3.0, 0.5), (1.0, 2.5))
HEXAGON = ((-4.1, -14.8), (-3.0, -14.4), (-2.3, -13.7), (-3.3, -12.5), (-6.4, -11.1), (-7.3, -12.2))
POLYGONS = {"triangle": TRIANGLE, "hexagon": HEXAGON, "box": ((-1, -3), (2, -3), (2, 0.5), (-1, 0.5))}


def double(values):
    return torch.as_tensor(values, dtype=torch.float64)


def edges_at(vertices, x):
    """Lower and upper y of a convex polygon at x, written independently."""
    crossings = []
    for (x0, y0), (x1, y1) in zip(vertices, [*vertices[1:], vertices[0]], strict=True):
        if x0 != x1 and min(x0, x1) <= x <= max(x0, x1):
            crossings.append(y0 + (y1 - y0) * (x - x0) / (x1 - x0))
    return min(crossings), max(crossings)


def mass_by_quadrature(vertices, mx, my, xx, xy, yy):
    sigma_x, slope = math.sqrt(xx), xy / xx
    sigma = math.sqrt(yy - xy * slope)

    def density(x):
        low, high = edges_at(vertices, x)
        center = my + slope * (x - mx)
        inside = stats.norm.cdf((high - center) / sigma) - stats.norm.cdf((low - center) / sigma)
        return inside * stats.norm.pdf(x, mx, sigma_x)

    knots = sorted({float(x) for x, _ in vertices})
    cuts = [mx + k * sigma_x for k in (-7, -4, -2, -1, 0, 1, 2, 4, 7)]
    edges = sorted([*knots, *(cut for cut in cuts if knots[0] < cut < knots[-1])])
    return sum(
        integrate.quad(density, a, b, epsabs=1e-12, epsrel=1e-10, limit=200)[0] for a, b in itertools.pairwise(edges)
    )


@pytest.mark.parametrize("name", POLYGONS)
def test_the_mass_against_quadrature(name):
    polygon, rng = ConvexPolygon(POLYGONS[name]), np.random.default_rng(3)
    low, high = polygon.vertices.min(axis=0), polygon.vertices.max(axis=0)
    for _ in range(12):
        mx, my = rng.uniform(low - 0.5, high + 0.5)
        sx, sy = 10 ** rng.uniform(-1.5, 0.7, 2)
        xy = rng.uniform(-0.98, 0.98) * sx * sy
        normal = (mx, my, sx**2, xy, sy**2)
        found = float(polygon.log_normal_mass(*map(double, normal)).exp())
        # what normal_mass promises of its quadrature
        assert found == pytest.approx(mass_by_quadrature(POLYGONS[name], *normal), abs=1e-7), normal


def test_the_mass_of_a_box_is_a_product_of_two():
    rng = np.random.default_rng(1)
    polygon = ConvexPolygon.box((-1.0, 2.0), (-3.0, 0.5))
    mx, my = rng.uniform(-3, 4, 2000), rng.uniform(-5, 3, 2000)
    sx, sy = 10 ** rng.uniform(-2, 1, 2000), 10 ** rng.uniform(-2, 1, 2000)
    found = polygon.log_normal_mass(*map(double, (mx, my, sx**2, 0 * sx, sy**2))).exp()
    first = stats.norm.cdf((2.0 - mx) / sx) - stats.norm.cdf((-1.0 - mx) / sx)
    second = stats.norm.cdf((0.5 - my) / sy) - stats.norm.cdf((-3.0 - my) / sy)
    np.testing.assert_allclose(found, first * second, atol=1e-7)


def test_the_mass_of_a_huge_window_is_one_and_of_a_half_plane_one_half():
    rng = np.random.default_rng(2)
    sx, sy = 10 ** rng.uniform(-2, 1, 200), 10 ** rng.uniform(-2, 1, 200)
    normal = [double(v) for v in (0 * sx, 0 * sx, sx**2, rng.uniform(-0.99, 0.99, 200) * sx * sy, sy**2)]
    huge, half = ConvexPolygon.box((-1e3, 1e3), (-1e3, 1e3)), ConvexPolygon.box((0.0, 1e3), (-1e3, 1e3))
    np.testing.assert_allclose(huge.log_normal_mass(*normal).exp(), 1.0, atol=1e-7)
    np.testing.assert_allclose(half.log_normal_mass(*normal).exp(), 0.5, atol=1e-7)


def test_the_mass_far_away_is_small_finite_and_broadcast():
    polygon = ConvexPolygon(TRIANGLE)
    one, zero = double(1.0), double(0.0)
    found = polygon.log_normal_mass(double([[0.0], [50.0], [-1e6]]), double([0.0, 1.0]), one, zero, one)
    assert found.shape == (3, 2)
    assert torch.isfinite(found).all()
    assert (found <= 0).all()
    assert (found[1:] < -60).all()


def test_the_mass_keeps_the_precision_of_its_input():
    polygon = ConvexPolygon(TRIANGLE)
    values = [torch.tensor(v) for v in (1.0, 1.0, 0.3, 0.1, 0.2)]
    found = polygon.log_normal_mass(*values)
    assert found.dtype == torch.float32
    expected = polygon.log_normal_mass(*(v.double() for v in values))
    assert float(found) == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.parametrize("name", POLYGONS)
def test_the_gradient_of_the_mass(name):
    polygon = ConvexPolygon(POLYGONS[name])
    center = polygon.vertices.mean(axis=0)
    normal = [
        double(center[0] + np.array([0.0, 0.4, 1.5])),
        double(center[1] + np.array([0.0, -0.3, 0.8])),
        double([0.5, 0.02, 1.5]),
        double([0.2, 0.01, -0.9]),
        double([0.3, 0.05, 1.1]),
    ]
    parameters = [value.requires_grad_() for value in normal]
    assert torch.autograd.gradcheck(polygon.log_normal_mass, parameters, eps=1e-4, atol=3e-4, rtol=1e-3)


@pytest.mark.parametrize("name", POLYGONS)
def test_the_map_to_the_square_and_back(name):
    polygon = ConvexPolygon(POLYGONS[name])
    square = double(np.random.default_rng(4).uniform(-1, 1, (500, 2)))
    x, y = polygon.from_square(square)
    assert polygon.contains(x.numpy(), y.numpy()).all()
    again, _ = polygon.to_square(x, y)
    np.testing.assert_allclose(again, square, atol=1e-9)


@pytest.mark.parametrize("name", POLYGONS)
def test_the_jacobian_of_the_map_by_finite_differences(name):
    polygon, step = ConvexPolygon(POLYGONS[name]), 1e-6
    x, y = polygon.from_square(double(np.random.default_rng(5).uniform(-0.95, 0.95, (200, 2))))
    _, log_jacobian = polygon.to_square(x, y)
    by_x = (polygon.to_square(x + step, y)[0] - polygon.to_square(x - step, y)[0]) / (2 * step)
    by_y = (polygon.to_square(x, y + step)[0] - polygon.to_square(x, y - step)[0]) / (2 * step)
    determinant = by_x[:, 0] * by_y[:, 1] - by_x[:, 1] * by_y[:, 0]
    np.testing.assert_allclose(log_jacobian, determinant.abs().log(), atol=1e-5)


@pytest.mark.parametrize("name", POLYGONS)
def test_the_jacobian_gives_the_area(name):
    polygon = ConvexPolygon(POLYGONS[name])
    nodes = torch.linspace(-1 + 1e-3, 1 - 1e-3, 1000, dtype=torch.float64)
    grid = torch.cartesian_prod(nodes, nodes)
    _, log_jacobian = polygon.to_square(*polygon.from_square(grid))
    assert float((-log_jacobian).exp().mean() * 4) == pytest.approx(polygon.area, rel=1e-4)


def test_inside_outside_and_on_the_edge():
    polygon = ConvexPolygon(TRIANGLE)
    middle = np.mean(TRIANGLE, axis=0)
    corners = np.asarray(TRIANGLE)
    assert polygon.contains(*middle)
    assert polygon.contains(*corners.T).all(), "corners are inside"
    assert polygon.contains(*(0.5 * (corners + np.roll(corners, 1, axis=0))).T).all(), "edges are inside"
    assert not polygon.contains(*(middle + 1.001 * (corners - middle)).T).any()
    assert not polygon.contains([math.nan, 1.0], [1.0, math.nan]).any()


def test_the_area_and_the_order_of_the_vertices():
    expected = 0.5 * abs(3.0 * 2.5 - 1.0 * 0.5)
    for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2)):
        polygon = ConvexPolygon([TRIANGLE[k] for k in order])
        assert polygon.area == pytest.approx(expected, rel=1e-12)
        assert polygon.contains(1.3, 1.0)


def test_a_point_inside_the_hull_changes_nothing():
    plain, more = ConvexPolygon(TRIANGLE), ConvexPolygon([*TRIANGLE, (1.3, 1.0)])
    assert len(more.vertices) == 3
    assert more.area == plain.area


@pytest.mark.parametrize(
    "vertices",
    [
        [(0, 0), (1, 1)],
        [(0, 0), (1, 1), (2, 2)],
        [(1, 1), (1, 1), (1, 1)],
        [(0, 0), (1, 0), (0, math.nan)],
        [(0, 0), (1, 0), (0, math.inf)],
        [(0, 0, 0), (1, 0, 0), (0, 1, 0)],
        [],
        [0.0, 1.0, 2.0],
    ],
    ids=["two points", "collinear", "one point thrice", "NaN", "infinite", "three columns", "empty", "flat"],
)
def test_bad_vertices(vertices):
    with pytest.raises(ConfigError, match="polygon window needs"):
        ConvexPolygon(vertices)
