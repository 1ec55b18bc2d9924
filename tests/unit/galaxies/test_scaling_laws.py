"""Power laws, label efficiency, relative reductions, and the grid of trainings."""

from __future__ import annotations

import json

import numpy as np
import pytest

from starloom.errors import ConfigError, FitError
from starloom.galaxies import scaling
from starloom.galaxies.scaling import Cell, Grid, law_table, laws, run_grid
from starloom.galaxies.scaling_laws import fit_power_law, label_efficiency, reduction_table, relative_reduction

SIZES = np.repeat(250.0 * 2.0 ** np.arange(8), 3)


def noisy(seed, scatter=0.003):
    rng = np.random.default_rng(seed)
    return (1.0 + 5.0 * SIZES**-0.3) * (1.0 + scatter * rng.standard_normal(len(SIZES)))


def test_the_exponent_is_recovered_and_its_interval_holds_it():
    fits = [fit_power_law(SIZES, noisy(seed), seed=seed, resamples=150) for seed in range(25)]
    assert np.mean([fit.exponent for fit in fits]) == pytest.approx(0.30, abs=0.01)
    assert all(abs(fit.exponent - 0.30) < 0.03 for fit in fits)
    held = sum(low <= 0.3 <= high for low, high in (fit.interval() for fit in fits))
    assert held >= 19  # of 25 at 90 %: fewer by chance once in a thousand


def test_the_fit_is_a_least_squares_minimum():
    from scipy.optimize import least_squares

    y = noisy(3)
    fit = fit_power_law(SIZES, y, seed=1)

    def away(p):
        return (p[0] + p[1] * SIZES ** -p[2] - y) / y

    peer = least_squares(away, [1.0, 5.0, 0.3], x_scale=[1.0, 5.0, 0.3])
    mine = np.sum(away([fit.floor, fit.amplitude, fit.exponent]) ** 2)
    assert mine <= 2 * peer.cost * (1 + 1e-4)


def test_scaling_the_values_or_the_sizes_scales_the_law():
    y = noisy(5)
    one, bigger, other = (fit_power_law(n, v, seed=2) for n, v in ((SIZES, y), (SIZES, 7.0 * y), (100.0 * SIZES, y)))
    assert bigger.exponent == pytest.approx(one.exponent, rel=1e-6)
    assert bigger.floor == pytest.approx(7.0 * one.floor, rel=1e-6)
    assert other.exponent == pytest.approx(one.exponent, rel=1e-6)
    assert other(100.0 * SIZES) == pytest.approx(one(SIZES), rel=1e-6)


def test_a_flat_curve_does_not_help_and_a_falling_one_does():
    rng = np.random.default_rng(1)
    flat = fit_power_law(SIZES, 2.0 + 0.02 * rng.standard_normal(len(SIZES)), seed=1)
    assert flat.gain[1] < 0.01
    falling = fit_power_law(SIZES, noisy(1), seed=1)
    assert falling.gain[1] > 0.2
    low, high = falling.band([250, 4000])
    assert (low < falling([250, 4000])).all()
    assert (falling([250, 4000]) < high).all()


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(FitError, match="three different sizes"):
        fit_power_law([1, 2, 2], [3, 2, 2], seed=1)
    with pytest.raises(FitError, match="above zero"):
        fit_power_law([0, 1, 2], [3, 2, 1], seed=1)
    with pytest.raises(FitError, match="pairs"):
        fit_power_law([1, 2, 3], [3, 2], seed=1)
    fit = fit_power_law([1, 2, 4, 8, 16], [3, np.nan, 2.2, 2, 1.9], seed=1)  # a failed run is left out
    assert np.isfinite(fit.exponent)


def test_label_efficiency_reads_the_reference_curve():
    n = np.array([100, 200, 400, 800])
    reference = 10.0 * n**-0.5
    assert label_efficiency(n[:2], 10.0 * (2.0 * n[:2]) ** -0.5, reference[:2])[0] == pytest.approx(2.0)
    assert np.isinf(label_efficiency(n, reference / 2, reference)[-1])
    assert np.isnan(label_efficiency(n, reference * 2, reference)[0])


def test_reductions():
    assert relative_reduction([0.1, 0.2, 0.1], [0.2, 0.2, 0.0])[:2] == pytest.approx([0.5, 0.0])
    assert np.isnan(relative_reduction(0.1, 0.0))
    errors = {"a": {"mine": [0.1, 0.12], "theirs": [0.2, 0.24]}, "b": {"mine": [0.1]}}
    table = reduction_table(errors, "mine", "theirs")
    assert list(table["task"]) == ["a"]
    assert table["reduction"][0] == pytest.approx(0.5)
    assert table["reduction_error"][0] == pytest.approx(np.hypot(0.01 / 0.22, 0.11 * 0.02 / 0.22**2))
    assert len(reduction_table({}, "mine", "theirs")) == 0


# ------------------------------------------------------------------------------------------------------------- grid


@pytest.fixture
def counted(monkeypatch):
    """Trainings that cost nothing, and which were made."""
    made = []

    def run(grid, cell):
        made.append(cell)
        if cell.encoder == "bad_speck":
            raise FitError("it diverged")
        width = {"speck": 1e4, "mini": 1e5, "midi": 1e6}[cell.encoder.split("_")[1]]
        loss = 1.0 + 5.0 * cell.labels**-0.3 + 0.001 * cell.seed
        return {"parameters": width, "loss": loss, "oracle": 1.0, "questions": {"bar": loss, "size": 2.0 + width**-0.2}}

    monkeypatch.setattr(scaling, "run_cell", run)
    return made


def test_a_grid_goes_on_where_it_stopped(tmp_path, counted):
    grid = Grid((100, 200, 400, 800), ("net_speck", "net_mini"), (1, 2))
    assert len(run_grid(grid, tmp_path, limit=5)) == 5
    assert len(run_grid(grid, tmp_path)) == 16
    assert len(counted) == len(set(counted)) == 16
    again = run_grid(grid, tmp_path)
    assert len(counted) == 16
    assert [cell["labels"] for cell in again[:4]] == [100] * 4
    (tmp_path / "net_speck-100-1.json").write_text("{")  # a damaged file is made anew
    run_grid(grid, tmp_path)
    assert counted[-1] == Cell(100, "net_speck", 1)
    run_grid(Grid((100, 200, 400, 800), ("net_speck",), (1,), pixels=32), tmp_path)  # other settings, other trainings
    assert len(counted) == 17 + 4


def test_a_failed_training_is_a_result(tmp_path, counted):
    cells = run_grid(Grid((100, 200, 400), ("bad_speck", "net_speck")), tmp_path)
    assert [cell["failure"] for cell in cells if "failure" in cell] == ["FitError: it diverged"] * 3
    assert {law.held for law in laws(cells)} == {"net_speck", "net, 400 labels"}


def test_laws_of_each_question(tmp_path, counted):
    names = ("net_speck", "net_mini", "net_midi")
    found = laws(run_grid(Grid((100, 200, 400, 800), names, (1, 2)), tmp_path), seed=1)
    labels = {law.question: law for law in found if law.held == "net_mini"}
    assert labels["bar"].law.exponent == pytest.approx(0.3, abs=0.02)
    assert labels["bar"].helps
    assert not labels["size"].helps
    sizes = {law.question: law for law in found if law.along == "parameters"}
    assert sizes["size"].helps
    assert not sizes["bar"].helps
    table = law_table(found)
    assert len(table) == len(found) == 3 * 3 + 3
    few = laws(run_grid(Grid((100, 200), names[:1], (1,)), tmp_path / "few"))
    assert "three different sizes" in few[0].reason
    assert len(law_table(few)) == 6
    assert laws([]) == []


def test_any_executor_will_do(tmp_path, counted):
    from concurrent.futures import ThreadPoolExecutor

    grid = Grid((100, 200), ("net_speck",), (1, 2))
    with ThreadPoolExecutor(2) as pool:
        cells = run_grid(grid, tmp_path, executor=pool)
    assert cells == run_grid(grid, tmp_path)
    assert json.loads((tmp_path / "net_speck-100-1.json").read_text())["loss"] == cells[0]["loss"]


def test_grids_that_cannot_be_are_refused():
    for labels, encoders in (((), ("a",)), ((200, 100), ("a",)), ((0, 5), ("a",)), ((5,), ())):
        with pytest.raises(ConfigError):
            Grid(labels, encoders)
    grid = Grid((100, 10_000), ("a",), passes=4, batch=32, least=50, most=900)
    assert [grid.steps(n) for n in (100, 2000, 100_000)] == [50, 250, 900]


def test_one_repetition_has_the_error_of_its_test_galaxies():
    from starloom.galaxies.scaling_laws import standard_error

    assert np.isnan(standard_error([0.2]))
    rng = np.random.default_rng(3)
    shares = rng.binomial(300, 0.2, size=4000) / 300
    assert standard_error([0.2], 300) == pytest.approx(shares.std(), rel=0.05)
    assert standard_error(shares, 300) == pytest.approx(shares.std(ddof=1) / 4000**0.5)
    assert standard_error([0.0], 300) > 0.002  # no error at all is not certainty
    one = reduction_table({"t": {"a": [0.1], "b": [0.25]}}, "a", "b", tested=300)["reduction_error"][0]
    drawn = 1 - (rng.binomial(300, 0.1, size=4000) / 300) / (rng.binomial(300, 0.25, size=4000) / 300)
    assert one == pytest.approx(drawn.std(), rel=0.1)
