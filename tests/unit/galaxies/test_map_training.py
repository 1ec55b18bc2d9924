"""Training against its definition: a short loop for online steps, sums over all pairs for batch passes."""

from __future__ import annotations

import numpy as np
import pytest

from starloom.errors import ConfigError
from starloom.galaxies.map_grid import Grid
from starloom.galaxies.map_schedules import SCHEDULES, Course, Schedule, schedule
from starloom.galaxies.map_search import NearestCells
from starloom.galaxies.map_training import ScaledGalaxies, first_cells, train_batch, train_online

KINDS = [("planar", "rectangular"), ("toroidal", "rectangular"), ("planar", "hexagonal"), ("toroidal", "hexagonal")]


def galaxies(n=400, features=7, seed=0):
    rng = np.random.default_rng(seed)
    z, t = rng.uniform(size=(2, n))
    shapes = np.stack([z, t, z * t, np.sin(3 * z), t**2, np.cos(2 * t), z - t], axis=1)[:, :features]
    return shapes + 0.02 * rng.standard_normal(shapes.shape)


def apart(grid):
    place, size = grid.positions(), np.array([grid.columns, grid.rows * grid.row_height])
    found = np.abs(place[:, None] - place[None])
    if grid.toroidal:
        found = np.minimum(found, size - found)
    return np.hypot(found[..., 0], found[..., 1])


def reference(values, inverse, order, rates, widths, cells, distance):
    """The algorithm of the paper in its own words."""
    cells = cells.copy()
    for step, row in enumerate(order):
        x, v = values[row], inverse[row]
        best = np.argmin((v * (x - cells) ** 2).sum(axis=1))
        share = rates[step] * np.exp(-((distance[best] / widths[step]) ** 2))
        cells += share[:, None] * (v > 0) * (x - cells)
    return cells


@pytest.mark.parametrize(("topology", "lattice"), KINDS)
@pytest.mark.parametrize("missing", [False, True])
def test_online_training_is_the_reference_loop(topology, lattice, missing):
    grid, course = Grid(8, 10, topology, lattice), Schedule("x", "online", Course(1.0, 0.5), Course(1.0, 1.0), 5.0)
    if topology == "toroidal":
        # a torus that forgets its beginning is symmetric about its galaxies: cells tie exactly, and rounding chooses
        course = Schedule("x", "online", Course(0.5, 0.3), Course(0.3, 1.0), 5.0)
    values = galaxies()
    inverse = np.ones_like(values)
    rng = np.random.default_rng(5)
    if missing:
        inverse = rng.uniform(0.2, 1.0, values.shape) * (rng.random(values.shape) > 0.2)
        inverse[:, 0] = 1.0
    sample = ScaledGalaxies(values, inverse if missing else None)
    begun = first_cells(sample, grid, "sample", np.random.default_rng(1))
    trained = train_online(sample, grid, course, begun, np.random.default_rng(2), precision="float64")
    order = np.random.default_rng(2).integers(len(values), size=2000)
    rates, widths = course.courses(2000, grid.shorter_side)
    wanted = reference(values, inverse, order, rates, widths, begun, apart(grid))
    assert np.abs(trained - begun).max() > 0.1
    np.testing.assert_allclose(trained, wanted, atol=1e-6)
    np.testing.assert_allclose(trained, wanted, atol=1e-10)  # float64 does better than what is asked


def test_float32_follows_float64():
    grid, values = Grid(8, 10), galaxies()
    sample = ScaledGalaxies(values)
    begun = first_cells(sample, grid, "sample", np.random.default_rng(1))
    course = schedule("masters", passes=5)
    double, single = (
        train_online(sample, grid, course, begun, np.random.default_rng(2), precision=p) for p in ("float64", "float32")
    )
    # where rounding turns a tie the two part; what they learn stays alike
    assert np.median(np.abs(double - single)) < 1e-5


@pytest.mark.parametrize(("topology", "lattice"), KINDS)
@pytest.mark.parametrize("missing", [False, True])
def test_batch_training_is_the_brute_force_sum(topology, lattice, missing):
    grid, values = Grid(8, 10, topology, lattice), galaxies()
    course = Schedule("x", "batch", Course(1.0, 0.7), Course(0.5, 0.8), 4.0)
    rng = np.random.default_rng(4)
    inverse = (rng.random(values.shape) > 0.2).astype(float) if missing else np.ones_like(values)
    inverse[:, 0] = 1.0
    weights = rng.uniform(0.5, 2.0, len(values))
    sample = ScaledGalaxies(values, inverse if missing else None, weights)
    cells = begun = first_cells(sample, grid, "sample", np.random.default_rng(1))
    for rate, width in zip(*course.courses(4, grid.shorter_side), strict=True):
        near = np.argmin((inverse[:, None] * (values[:, None] - cells) ** 2).sum(axis=2), axis=1)
        kernel = np.exp(-((apart(grid)[:, near] / width) ** 2)) * weights
        mean = (kernel @ (inverse * values)) / (kernel @ inverse)
        cells = cells + rate * (mean - cells)
    np.testing.assert_allclose(train_batch(sample, grid, course, begun, workers=1), cells, atol=1e-5)


def test_the_nearest_cell_is_exact_whatever_the_float32_product_loses():
    rng = np.random.default_rng(7)
    cells = 500.0 + rng.normal(size=(900, 7))  # far from 0: squares of 1e6, differences of 1e-3
    cells[1::2] = cells[::2] + 1e-4 * rng.normal(size=(450, 7))
    values = cells[rng.integers(900, size=700)] + 1e-3 * rng.normal(size=(700, 7))
    inverse = rng.uniform(1.0, 1e6, values.shape) * (rng.random(values.shape) > 0.3)
    inverse[:, 0] = 1.0
    for v in (None, inverse):
        exact = (
            (values[:, None] - cells) ** 2 @ np.ones(7)
            if v is None
            else (v[:, None] * (values[:, None] - cells) ** 2).sum(-1)
        )
        near, squared, second = NearestCells(cells).find(values, v, second=True)
        np.testing.assert_array_equal(near, exact.argmin(axis=1))
        np.testing.assert_allclose(squared, exact.min(axis=1), rtol=1e-6, atol=1e-12)
        np.testing.assert_array_equal(second, np.argsort(exact, axis=1)[:, 1])


def test_the_number_of_threads_changes_nothing():
    values = galaxies(3000)
    grid, sample = Grid(8, 10), ScaledGalaxies(values)
    begun = first_cells(sample, grid, "plane", np.random.default_rng(1))
    one, three = (train_batch(sample, grid, schedule("starloom"), begun, workers=w) for w in (1, 3))
    np.testing.assert_array_equal(one, three)
    for a, b in zip(*(NearestCells(one).find(values, workers=w, second=True) for w in (1, 3)), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_every_schedule_ends_where_it_says(name):
    course = schedule(name)
    steps = course.steps(1000)
    rates, widths = course.courses(steps, 40)
    assert (np.diff(rates) <= 1e-12).all()
    assert (np.diff(widths) <= 1e-12).all()
    assert rates[-1] == pytest.approx(course.rate.end, rel=0.01)
    assert widths[-1] == pytest.approx(course.width.end, rel=0.01)
    assert widths[0] == pytest.approx(max(course.width.start * (40 if course.of_side else 1), course.width.end))


def test_the_paper_s_schedule_in_closed_form():
    rates, widths = schedule("masters", passes=10).courses(1000, 75)
    t = np.arange(1000) / 1000
    np.testing.assert_allclose(rates, 0.5**t)
    np.testing.assert_allclose(widths, 75 * (1 / 75) ** t)
    rates, widths = schedule("rail_sompz").courses(1000, 32)
    np.testing.assert_allclose(1 / rates, (1 - t) / 0.5 + t / 0.1)
    np.testing.assert_allclose(np.sqrt(2.0) / widths, (1 - t) / 30 + t / 1.0)


def test_unknown_schedules_and_courses_that_lead_nowhere():
    with pytest.raises(ConfigError, match="did you mean 'masters'"):
        schedule("master")
    with pytest.raises(ConfigError, match="positive"):
        Course(1.0, 0.0)
    with pytest.raises(ConfigError, match="positive number of times"):
        schedule("starloom", passes=0)
