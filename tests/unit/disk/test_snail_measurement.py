from __future__ import annotations

import numpy as np
import pytest

from starloom.disk.snail_measurement import measure, measure_counts
from starloom.dynamics.orbits import TIME_UNIT
from starloom.errors import CatalogError, ConfigError

TURNS = (np.arange(48) + 0.5) * 2 * np.pi / 48


@pytest.fixture(scope="module")
def cells(slab, snail_model):
    """From a history of kicks (age -> km/s) to the contrast over frequency and angle."""
    grid = np.linspace(3.0, 65.0, 400)
    edges = np.linspace(snail_model.omega.min(), snail_model.omega.max(), 49)
    omega = slab.omega(grid) / TIME_UNIT
    action = np.interp(0.5 * (edges[1:] + edges[:-1]), omega[::-1], grid[::-1])

    def make(kicks):
        impulses = np.zeros(snail_model.steps)
        for age, kick in kicks.items():
            impulses[round(age / snail_model.step - 0.5)] = kick
        return snail_model.contrast(impulses, action[:, None], TURNS[None, :]), edges

    return make


@pytest.mark.parametrize("age", [0.2, 0.4, 0.6])
def test_single_kicks_are_dated(cells, age):
    """At 1 % noise in each cell, of a kick blurred by scattering."""
    contrast, edges = cells({age: 1.0})
    found = measure_counts(np.random.default_rng(1).poisson(1e4 * (1 + contrast)), edges, bootstraps=40)
    assert found.seen
    assert found.warnings == () or found.warnings[0].startswith("less than half a turn")
    for one in (found.age, found.slope, found.fitted):
        assert one == pytest.approx(age, abs=0.03)
    assert found.age_low < found.age < found.age_high
    assert found.resolution == pytest.approx(0.267, abs=0.002)


@pytest.mark.parametrize("kicks", [{0.2: 1.0, 0.6: 2.5}, {0.3: 1.0, 0.7: -2.0}, {0.15: 1.0, 0.5: 1.0}])
def test_several_events_give_a_warning(cells, kicks):
    contrast, edges = cells(kicks)
    found = measure_counts(np.random.default_rng(2).poisson(1e4 * (1 + contrast)), edges, bootstraps=0)
    assert any("one age does not describe it" in warning for warning in found.warnings)


def test_no_spiral_is_not_seen():
    """0.01 of searches may see one; of 200, more than 7 would be a chance of 0.1 %."""
    rng, edges = np.random.default_rng(3), np.linspace(43.0, 66.0, 49)
    seen = sum(measure_counts(rng.poisson(np.full((48, 48), 4.0)), edges, bootstraps=0).seen for _ in range(200))
    assert seen <= 7


def test_bootstrap_intervals_cover(cells):
    """68 % intervals of the age over 100 samples with a weak spiral."""
    rng, edges = np.random.default_rng(4), np.linspace(43.0, 66.0, 49)
    middle = 0.5 * (edges[1:] + edges[:-1])
    contrast = 0.15 * np.cos(TURNS[None, :] - 0.45 * middle[:, None])
    hits = 0
    for _ in range(100):
        found = measure_counts(rng.poisson(10.0 * (1 + contrast)), edges, bootstraps=60, seed=rng)
        hits += found.age_low <= 0.45 <= found.age_high
    assert 50 <= hits <= 85


def test_the_fit_finds_amplitude_and_phase():
    edges = np.linspace(43.0, 66.0, 49)
    middle = 0.5 * (edges[1:] + edges[:-1])
    contrast = 0.3 * np.cos(TURNS[None, :] - 0.45 * middle[:, None] - 2.0)
    found = measure_counts(1e3 * (1 + contrast), edges, bootstraps=0)
    assert found.amplitude == pytest.approx(0.3, abs=2e-3)
    assert found.phase == pytest.approx(2.0, abs=0.02)
    assert found.fitted == pytest.approx(0.45, abs=1e-3)
    assert found.fitted_error == pytest.approx(np.sqrt(2 / found.stars) / 0.3 / np.std(middle), rel=0.01)


def test_a_selection_alike_on_both_sides_leaves_no_trace():
    edges = np.linspace(43.0, 66.0, 49)
    middle = 0.5 * (edges[1:] + edges[:-1])
    contrast = 0.2 * np.cos(TURNS[None, :] - 0.4 * middle[:, None])
    seen = 0.5 + 0.5 * np.cos(TURNS) ** 2  # stars far from the plane are missed
    found = measure_counts(2e3 * (1 + contrast) * seen, edges, bootstraps=0)
    assert found.age == pytest.approx(0.4, abs=5e-3)
    gone = np.where(np.abs(np.sin(TURNS)) > 0.9, 0.0, seen)  # and then all of them
    holes = measure_counts(2e3 * (1 + contrast) * gone, edges, bootstraps=0)
    assert holes.age == pytest.approx(0.4, abs=0.01)
    assert any("have no star" in warning for warning in holes.warnings)


def test_one_side_only_is_left_out_and_said():
    edges = np.linspace(43.0, 66.0, 49)
    middle = 0.5 * (edges[1:] + edges[:-1])
    counts = 1e3 * (1 + 0.2 * np.cos(TURNS[None, :] - 0.4 * middle[:, None]))
    counts[:, np.abs(TURNS - np.pi / 2) < 0.5] = 0.0
    found = measure_counts(counts, edges, bootstraps=0)
    assert any("both sides of the plane" in warning for warning in found.warnings)
    assert found.age == pytest.approx(0.4, abs=0.01)


def test_two_arms():
    edges = np.linspace(43.0, 66.0, 49)
    middle = 0.5 * (edges[1:] + edges[:-1])
    counts = 1e3 * (1 + 0.2 * np.cos(2 * TURNS[None, :] - 2 * 0.3 * middle[:, None]))
    found = measure_counts(counts, edges, harmonic=2, bootstraps=0)
    assert found.age == pytest.approx(0.3, abs=5e-3)
    assert found.slope == pytest.approx(0.3, abs=5e-3)
    assert found.resolution == pytest.approx(np.pi / 23.0)
    assert not measure_counts(counts, edges, harmonic=1, bootstraps=0).seen


def test_order_and_turns_of_stars_do_not_matter():
    rng = np.random.default_rng(5)
    omega, theta = rng.uniform(43, 66, 20_000), rng.uniform(0, 2 * np.pi, 20_000)
    kept = rng.random(20_000) < 0.5 * (1 + 0.5 * np.cos(theta - 0.4 * omega))
    omega, theta = omega[kept], theta[kept]
    one = measure(theta, omega, bootstraps=5)
    order = rng.permutation(len(theta))
    two = measure(theta[order] - 4 * np.pi, omega[order], bootstraps=5)
    assert one.age == pytest.approx(two.age, abs=1e-9)
    some = np.concatenate([theta, [np.nan, 1.0]]), np.concatenate([omega, [50.0, np.inf]])
    assert measure(*some, omega_range=(43.0, 66.0), bootstraps=0).stars <= len(theta)


def test_bad_input():
    rng = np.random.default_rng(6)
    with pytest.raises(CatalogError, match="at least 1000"):
        measure(rng.uniform(0, 6, 999), rng.uniform(43, 66, 999))
    with pytest.raises(CatalogError, match="at least 1000"):
        measure(np.full(5000, np.nan), np.full(5000, np.nan))
    with pytest.raises(CatalogError, match="at least 1000"):
        measure([], [])
    with pytest.raises(ConfigError, match="empty"):
        measure(np.ones(5000), np.full(5000, 50.0))
    with pytest.raises(ConfigError, match="shape"):
        measure(np.ones(5), np.ones(6))
    edges = np.linspace(43.0, 66.0, 49)
    with pytest.raises(CatalogError, match="negative"):
        measure_counts(np.full((48, 48), -1.0), edges)
    with pytest.raises(CatalogError, match="at least 1000"):
        measure_counts(np.full((48, 48), 0.1), edges)
    with pytest.raises(ConfigError, match="harmonic"):
        measure_counts(np.ones((48, 48)), edges, harmonic=3)
    with pytest.raises(ConfigError, match="search"):
        measure_counts(np.ones((48, 48)), edges, search=(0.5, 0.1))
    with pytest.raises(ConfigError, match="edges"):
        measure_counts(np.ones((48, 48)), edges[:-1])
    with pytest.raises(ConfigError, match="rise"):
        measure_counts(np.ones((48, 48)), edges[::-1])
    with pytest.raises(ConfigError, match="bootstraps"):
        measure_counts(np.ones((48, 48)), edges, bootstraps=-1)
