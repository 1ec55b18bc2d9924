"""Long bars of the maps: calibration of made galaxies with known redshifts, at the size of the paper's survey."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from bars import Experiment, LongBar, Numbers, System, bootstrap, median, ratio
from numpy.typing import NDArray

from starloom.galaxies import redshift_calibration as calibration
from starloom.galaxies.map_grid import Grid
from starloom.galaxies.map_quality import measure as map_quality
from starloom.galaxies.mock_photometry import WIDE_SURVEY, MockSurvey, make
from starloom.galaxies.photometric_features import Features
from starloom.galaxies.redshifts import CellRedshifts
from starloom.galaxies.self_organizing_map import SelfOrganizingMap
from starloom.galaxies.spectroscopy_plan import error_of, neyman
from starloom.results.record import Bar
from starloom.seeds import generator

SEEDS = (200, 201, 202, 203)
FULL = {"galaxies": 130_000, "rows": 75, "columns": 150, "drawings": 200, "bins": 20}
QUICK = {"galaxies": 12_000, "rows": 20, "columns": 40, "drawings": 200, "bins": 5}
REQUIREMENT = 0.002
HIDDEN = 0.1  # this share of the cells, the reddest in g - i, loses its spectra
CLOSE = 0.15  # bins whose stated error is this close to the requirement are not judged: 200 drawings tell no better


def measure(seed: int, *, galaxies: int, rows: int, columns: int, drawings: int, bins: int) -> Numbers:
    """Make a sky, map it, draw one spectrum a cell many times, and take a region's spectra away."""
    table = make(MockSurvey(galaxies), seed)
    z = np.asarray(table["redshift"])
    fitted = SelfOrganizingMap(Features(tuple(WIDE_SURVEY)), Grid(rows, columns)).fit(table, seed=seed, workers=2)
    cell = fitted.assign(table, workers=2)
    rng = generator(seed)
    return (
        _drawings(z, cell, fitted.grid.cells, drawings, bins, rng)
        | _hidden(fitted, z, cell, rng)
        | {"topographic_error": curved(seed)}
    )


def _drawings(
    z: NDArray[np.float64], cell: NDArray[np.int64], cells: int, times: int, bins: int, rng: np.random.Generator
) -> Numbers:
    counts = np.bincount(cell, minlength=cells)
    order = np.argsort(cell, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    inside = np.flatnonzero(counts)
    mean = np.bincount(cell, z, minlength=cells)[inside] / counts[inside]
    spread = np.sqrt(np.maximum(np.bincount(cell, z**2, minlength=cells)[inside] / counts[inside] - mean**2, 1e-12))
    number = np.searchsorted(np.quantile(mean, np.arange(1, bins) / bins), mean, side="right")
    n = counts[inside].astype(float)
    drawn = np.array([z[order[starts[inside] + rng.integers(counts[inside])]] for _ in range(times)])
    seen, stated, right, judged = [], [], 0, 0
    gain_seen, gain_said = [], []
    for k in range(bins):
        part = number == k
        share, middle = n[part] / n[part].sum(), float(np.average(mean[part], weights=n[part]))
        seen.append(float(np.std(drawn[:, part] @ share, ddof=1)))
        stated.append(error_of(n[part], spread[part], np.ones(part.sum())))
        needed = REQUIREMENT * (1.0 + middle)
        if abs(stated[-1] / needed - 1.0) > CLOSE:
            judged += 1
            right += (stated[-1] <= needed) == (seen[-1] <= needed)
        total = 40 * int(part.sum())
        best = neyman(n[part], spread[part], total)
        equal = error_of(n[part], spread[part], np.full(part.sum(), 40))
        gain_seen.append(error_of(n[part], spread[part], best) / equal)
        need = n[part] * spread[part]
        gain_said.append(float(np.sqrt(need.sum() ** 2 / (part.sum() * (need**2).sum()))))
    return {
        "scatter": float(np.sum(np.square(seen))), "formula": float(np.sum(np.square(stated))),
        "right": int(right), "judged": int(judged),
        "neyman": float(np.mean(gain_seen)), "neyman_formula": float(np.mean(gain_said)),
    }  # fmt: skip


def _hidden(fitted: object, z: NDArray[np.float64], cell: NDArray[np.int64], rng: np.random.Generator) -> Numbers:
    grid, middle = fitted.grid, fitted.in_features  # type: ignore[attr-defined]
    color = middle[:, 1:3].sum(axis=1)
    red = color > np.quantile(color, 1.0 - HIDDEN)
    taken = rng.random(len(z)) < 0.5
    shown = taken & ~red[cell]
    cells = CellRedshifts.of(cell[shown], z[shown], grid)
    others = ~taken
    counts = np.bincount(cell[others], minlength=grid.cells).astype(float)
    trusted = np.asarray(calibration.coverage(counts, cells, grid)["trusted"])
    sample = calibration.PhotometricSample(cell[others], np.zeros(int(others.sum()), dtype=np.int64))
    row = calibration.calibrate(sample, calibration.Spectra(cell[shown], z[shown]), grid, cells=cells)[0]
    covered = z[others][trusted[cell[others]]].mean()
    lost = red & (counts > 0)
    return {
        "flagged": int((lost & ~trusted).sum()), "lost": int(lost.sum()),
        "naive_bias": float(abs(z[shown].mean() - z[others].mean()) / (1 + z[others].mean())),
        "weighted_bias": float(abs(row["mean_z"] - covered) / (1 + covered)),
    }  # fmt: skip


def curved(seed: int) -> float:
    """Topographic error of a map of a curved sheet in seven features."""
    from starloom.catalog.tables import read_table

    rng = generator(seed)
    a, b = rng.uniform(size=(2, 10_000))
    sheet = [a, b, a * b, np.sin(3 * a), b**2, np.cos(2 * b), np.sqrt(a + 0.1)]
    columns = {f"f{k}": values + 0.005 * rng.standard_normal(10_000) for k, values in enumerate(sheet)}
    table = read_table(columns)
    fitted = SelfOrganizingMap(Features(tuple(columns), kind="columns"), Grid(20, 30)).fit(table, seed=seed)
    sample, _ = fitted.sample(table)
    return map_quality(fitted.cells, fitted.grid, sample.values).topographic_error


def _least_naive(numbers: Sequence[Numbers]) -> float:
    return float(min(n["naive_bias"] for n in numbers))


def _largest_weighted(numbers: Sequence[Numbers]) -> float:
    return float(max(n["weighted_bias"] for n in numbers))


MAPS = Experiment("maps", measure, SEEDS, FULL, QUICK)

SYSTEM = System(
    name="maps",
    text="130,000 made galaxies (`starloom.galaxies.mock_photometry`) in eight bands on a map of 75 x 150 cells a "
    "seed; 200 drawings of one spectrum a cell, 20 tomographic bins; then the reddest tenth of the cells loses its "
    "spectra. Bins whose stated error is within 15 % of the requirement are not judged: 200 drawings tell no better.",
    bars=(
        LongBar("scatter of the mean over the formula (variances)", MAPS, ratio("scatter", "formula"),
                Bar("in", (0.81, 1.21)), "within 10 % in the error; all bins"),
        LongBar("bins that are said rightly to meet 0.002 (1 + z), or not", MAPS, ratio("right", "judged"),
                Bar(">=", 1.0), percent=True),
        LongBar("gain of Neyman's allocation over its formula", MAPS, ratio("neyman", "neyman_formula"),
                Bar("in", (0.9, 1.1)), "40 spectra a cell on average"),
        LongBar("cells flagged of those that lost their spectra", MAPS, ratio("flagged", "lost"), Bar(">=", 0.99),
                percent=True),
        LongBar("bias of the spectra as they come", MAPS, bootstrap(_least_naive),
                Bar(">=", 0.01), "least of the seeds, in 1 + z"),
        LongBar("bias weighted by the map", MAPS, bootstrap(_largest_weighted),
                Bar("<=", 0.002), "largest of the seeds, covered cells, in 1 + z"),
        LongBar("topographic error on a curved sheet", MAPS, median("topographic_error"), Bar("<=", 0.15)),
    ),
    source=Path(__file__).resolve(),
)  # fmt: skip
