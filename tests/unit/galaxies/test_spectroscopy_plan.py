from __future__ import annotations

import numpy as np
import pytest

from starloom.catalog.tables import read_table
from starloom.errors import CatalogError, ConfigError
from starloom.galaxies.spectroscopy_plan import (
    STRATEGIES,
    error_of,
    neyman,
    sampling_strategy,
    spectra_needed,
    targets,
    worth,
)


def bin_of(cells=500, seed=1, spread=0.05):
    rng = np.random.default_rng(seed)
    return rng.integers(1, 40, cells).astype(float), spread * rng.lognormal(0.0, 0.5, cells)


def test_the_paper_s_arithmetic():
    """With s = 0.05 (1 + z): 625 cells of one spectrum reach 0.002; 562 do not (arXiv:1509.03318)."""
    assert error_of(np.ones(625), np.full(625, 0.05), np.ones(625)) == pytest.approx(0.002)
    assert error_of(np.ones(562), np.full(562, 0.05), np.ones(562)) > 0.002
    assert error_of(np.ones(562), np.full(562, 0.047), np.ones(562)) < 0.002


def test_neyman_is_the_best_of_all_whole_allocations():
    n, s = np.array([3.0, 1.0, 2.0]), np.array([0.1, 0.4, 0.05])
    found = neyman(n, s, 12)
    assert found.sum() == 12
    every = [(a, b, 12 - a - b) for a in range(1, 11) for b in range(1, 12 - a)]
    assert error_of(n, s, found) == pytest.approx(min(error_of(n, s, np.array(m)) for m in every))


def test_neyman_beats_equal_numbers_by_the_analytic_ratio():
    n, s = bin_of()
    total = 500 * 60
    equal, best = error_of(n, s, np.full(500, 60)), error_of(n, s, neyman(n, s, total))
    analytic = np.sqrt((n * s).sum() ** 2 / (500 * (n**2 * s**2).sum()))
    assert best / equal == pytest.approx(analytic, rel=0.02)
    assert analytic < 0.85


def test_spectra_that_exist_are_counted_and_kept():
    n, s = bin_of(60)
    existing = np.arange(60) % 7
    found = neyman(n, s, 400, existing=existing)
    assert found.sum() == 400
    assert (found >= existing).all()
    with pytest.raises(ConfigError, match="fewer than"):
        neyman(n, s, 30)


def test_the_number_of_spectra_is_the_least_that_does():
    n, s = bin_of(300)
    plan = spectra_needed(n, s, 0.8, requirement=0.001)
    assert plan.reachable
    assert plan.error <= plan.required == pytest.approx(0.0018)
    one_less = neyman(n, s, int(plan.spectra.sum()) - 1)
    assert error_of(n, s, one_less) > plan.required
    more = spectra_needed(n, s, 0.8, requirement=0.001, existing=plan.spectra)
    assert more.total_new == 0


def test_the_number_of_spectra_agrees_with_a_monte_carlo():
    n, s = bin_of(200, spread=0.03)
    plan = spectra_needed(n, s, 0.5, requirement=0.001)
    rng = np.random.default_rng(3)
    share = n / n.sum()
    means = [(share * s * rng.standard_normal(200) / np.sqrt(plan.spectra)).sum() for _ in range(4000)]
    assert np.std(means) == pytest.approx(plan.required, rel=0.05)


def test_a_requirement_that_cannot_be_met_says_why():
    n, s = bin_of(100, spread=0.3)
    few = spectra_needed(n, s, 0.5, available=np.ones(100, int))
    assert not few.reachable
    assert "all targets observed" in few.remark
    assert few.error > few.required
    assert "can be taken" in spectra_needed(n, s, 0.5, most=500).remark
    floor = spectra_needed(n, s, 0.5, floor_error=0.01)
    assert not floor.reachable
    assert "spectra do not remove" in floor.remark
    none = spectra_needed(n, s, 0.5, available=np.zeros(100, int))
    assert none.left_out == 1.0
    assert not none.reachable


def test_cells_without_targets_are_left_out_and_counted():
    n, s = np.array([10.0, 30.0, 60.0]), np.full(3, 0.01)
    plan = spectra_needed(n, s, 0.5, existing=np.array([0, 3, 0]), available=np.array([0, 0, 50]))
    assert plan.left_out == pytest.approx(0.1)
    assert plan.new[0] == plan.new[1] == 0
    assert plan.reachable


def test_the_strategies_of_the_paper():
    n, s = bin_of(1000)
    spectra = {name: sampling_strategy(name, n, s) for name in STRATEGIES}
    assert spectra["one_each"][0].sum() == 1000
    assert spectra["one_each_rejecting"][0].sum() == 990
    assert spectra["three_in_the_worst"][0].sum() == 990 + 2 * 40  # 50 worst, of which 10 are left out
    assert spectra["one_each"][1] == 0.0
    errors = [error_of(n, s, spectra[name][0]) for name in STRATEGIES]
    assert errors[0] > errors[1] > errors[2]
    with pytest.raises(ConfigError, match="known: one_each"):
        sampling_strategy("all", n, s)


def test_targets_are_as_many_as_wanted_and_fair():
    rng = np.random.default_rng(1)
    cell = np.where(rng.random(5000) < 0.02, -1, rng.integers(40, size=5000))
    table = read_table({"id": np.arange(5000), "mag": rng.normal(22, 1, 5000)})
    new = rng.integers(0, 6, 40)
    seen = np.zeros(5000, bool)
    seen[::3] = True
    found = targets(table, cell, new, worth(np.full(40, 5.0), rng.uniform(0.01, 0.1, 40)), observed=seen)
    np.testing.assert_array_equal(np.bincount(found["target_cell"], minlength=40), new)
    assert (np.diff(found["priority"]) <= 0).all()
    assert found["priority"][0] == 1.0
    assert not seen[np.asarray(found["id"])].any()
    assert (cell[np.asarray(found["id"])] == found["target_cell"]).all()
    more = targets(table, cell, new, np.ones(40), success=0.5)
    np.testing.assert_array_equal(np.bincount(more["target_cell"], minlength=40), 2 * new)
    many = targets(table, cell, np.full(40, 60), np.ones(40), seed=2)
    # drawn at random: about as bright as all galaxies
    assert np.mean(many["mag"]) == pytest.approx(np.mean(table["mag"]), abs=0.1)
    with pytest.raises(ConfigError, match="success rate"):
        targets(table, cell, new, np.ones(40), success=0.0)


def test_bins_that_cannot_be_planned_for():
    with pytest.raises(CatalogError, match="no galaxies"):
        spectra_needed(np.zeros(5), np.ones(5), 0.5)
    with pytest.raises(CatalogError, match="scatter"):
        spectra_needed(np.ones(5), np.full(5, np.nan), 0.5)
