"""A section of the study sdss-targets: how well the selection functions of cartons are measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from starloom.errors import ConfigError
from starloom.results.figures import Band, Figure, Line, Panel, Points
from starloom.results.record import Bar, InputRecord, Results
from starloom.seeds import generator

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.selection.empirical import EmpiricalSelection, FittedSelection

Floats = NDArray[np.float64]
STAGES = ("targeted", "observed")
LEVEL = 0.68
CALIBRATED = Bar("in", (0.64, 0.72))
LEAST_TRUTH = 20  # stars of the large sample by which the truth of a bin is known
TRUTH_SIZE = 3_000_000
MAGNITUDES = (8.0, 9.0, 10.0, 10.5, 11.0, 11.5, 12.0, 12.5, 13.0)
COLORS = (0.3, 0.5, 0.7, 0.9, 1.2, 2.0)


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


@dataclass(frozen=True)
class MockCarton:
    """A carton whose chances are known: of being targeted, and of being observed once targeted.

    Both are functions of l, b (deg), H and J - Ks.
    """

    name: str
    targeted: Callable[[Floats, Floats, Floats, Floats], Floats]
    observed: Callable[[Floats, Floats, Floats, Floats], Floats]


def _fibers(l: Floats, b: Floats, h: Floats, jk: Floats, demand: float) -> Floats:
    """Fewer fibers a star where targets are dense; more for bright stars; and a pattern of visits over the sky."""
    density = demand * np.exp(-np.abs(b) / 12.0) * (1.5 + np.cos(np.radians(l)))
    visits = 0.8 * np.sin(np.radians(3.0 * l)) * np.cos(np.radians(4.0 * b))
    return _sigmoid(1.0 - density + visits - 0.5 * (h - 11.0))


def _clouds(l: Floats, b: Floats) -> Floats:
    """The color above which a star is behind so much dust that it counts as luminous: patchy over the sky."""
    return np.asarray(0.95 + 0.15 * np.sin(np.radians(5.0 * l)) * np.cos(np.radians(6.0 * b)))


CARTONS = (
    MockCarton(
        "like mwm_galactic_core",
        lambda l, b, h, jk: _sigmoid((11.0 - h) / 0.2) * _sigmoid((jk - _clouds(l, b)) / 0.08),
        lambda l, b, h, jk: _fibers(l, b, h, jk, 2.0),
    ),
    MockCarton(
        "like mwm_tessrgb_core",
        lambda l, b, h, jk: (
            _sigmoid((12.0 - h) / 0.2) * _sigmoid((jk - 0.5) / 0.05) * _sigmoid((np.abs(b) - 20.0) / 4.0)
        ),
        lambda l, b, h, jk: _fibers(l, b, h, jk, 0.8),
    ),
    MockCarton(
        "like mwm_snc_250pc",
        lambda l, b, h, jk: (
            0.9 * _sigmoid((h - 9.5) / 0.8) * _sigmoid((0.85 - jk) / 0.12) * _sigmoid(np.abs(b) / 8.0 - 1.0)
        ),
        lambda l, b, h, jk: _fibers(l, b, h, jk, 1.4),
    ),
)
"""Made selections with the shape of three cartons of DR18: their cuts, blurred by errors, then fibers."""


def _stars(count: int, rng: np.random.Generator) -> tuple[Floats, Floats, Floats, Floats]:
    """Places and photometry of a parent catalog: a disk, reddened towards the plane."""
    l = rng.uniform(0.0, 360.0, count)
    b = np.degrees(np.arcsin(np.clip(rng.laplace(0.0, 0.3, count), -1.0, 1.0)))
    h = 13.0 - rng.exponential(1.1, count)
    jk = rng.normal(0.65, 0.18, count) + rng.exponential(0.35, count) * np.exp(-np.abs(b) / 8.0)
    return l, b, h, jk


def mock_parent(count: int, seed: int | np.random.Generator, carton: MockCarton) -> tuple[QTable, EmpiricalSelection]:
    """A parent catalog with the stages of a carton drawn by its known chances, and the bins to measure it in."""
    from astropy.table import QTable

    from starloom.selection.bins import Axis
    from starloom.selection.empirical import EmpiricalSelection

    rng = generator(seed)
    l, b, h, jk = _stars(count, rng)
    targeted = rng.random(count) < carton.targeted(l, b, h, jk)
    observed = targeted & (rng.random(count) < carton.observed(l, b, h, jk))
    stars = QTable({"l": l, "b": b, "h_mag": h, "j_k": jk, "targeted": targeted, "observed": observed})
    return stars, EmpiricalSelection(Axis("h_mag", MAGNITUDES), Axis("j_k", COLORS), nside=8, stages=STAGES)


def true_shares(
    setting: EmpiricalSelection, carton: MockCarton, count: int, seed: int | np.random.Generator
) -> tuple[Floats, NDArray[np.int64]]:
    """The true share of each stage in each bin (stages, bins), and how many stars of a large sample it rests on.

    The truth of a bin is the mean chance over its population, not over the few stars of one catalog.
    """
    rng = generator(seed)
    bins = int(np.prod(setting.shape))
    total, counted = np.zeros((2, bins)), np.zeros(bins, dtype=np.int64)
    for start in range(0, count, 500_000):
        l, b, h, jk = _stars(min(500_000, count - start), rng)
        cell = setting.cell(l, b, h, jk)
        kept = cell >= 0
        first = carton.targeted(l, b, h, jk)
        both = first * carton.observed(l, b, h, jk)
        counted += np.bincount(cell[kept], minlength=bins)
        for number, chance in enumerate((first, both)):
            total[number] += np.bincount(cell[kept], chance[kept], bins)
    return total / np.maximum(counted, 1), counted


def add_selection(
    results: Results, *, seed: int | np.random.Generator = 1, stars: int = 300_000, truth: int = TRUTH_SIZE
) -> None:
    """Measure the selection functions of three made cartons and hold them against their known truth.

    Parameters
    ----------
    results : gets numbers, the table ``selection_bins``, two figures, and a record of the simulated input.
    seed : of the made catalogs.
    stars : rows of each parent catalog.
    truth : stars of the large sample by which the truth of each bin is known.
    """
    from starloom.inference.calibration import coverage
    from starloom.selection.empirical import EmpiricalSelection, FittedSelection
    from starloom.studies.inputs import content_sha256

    rng = generator(seed)
    tops, sides, pooled, rows = [], [], [], 0
    first_table: QTable | None = None
    for carton in CARTONS:
        parent, setting = mock_parent(stars, rng, carton)
        rows += len(parent)
        fitted = setting.fit(parent, label=carton.name)
        true, counted = true_shares(setting, carton, truth, rng)
        alone = FittedSelection.from_counts(
            EmpiricalSelection(setting.magnitude, setting.color, setting.nside, STAGES, False), fitted.counts
        )
        used = (fitted.counts[0] > 0) & (counted >= LEAST_TRUTH)
        if not used.any():
            raise ConfigError(f"{stars} stars and {truth} for the truth leave no bin to judge; take more of both")
        held = []
        for number, stage in enumerate(STAGES):
            mean, low, high = fitted.interval(stage, LEVEL)
            share = coverage(true[number][used], low[used], high[used])
            held.append(share)
            raw = alone.interval(stage, LEVEL)[0]
            better = _rms((mean - true[number])[used]) / _rms((raw - true[number])[used])
            results.number(
                f"{carton.name}: 68 % intervals of {stage} that hold the truth", 100 * share, "%",
                meaning=f"of {int(used.sum())} bins of sky, H and J - Ks with stars of the parent",
            )  # fmt: skip
            results.number(
                f"{carton.name}: error of {stage} over that of bins alone", better, "",
                meaning="root mean square over the bins; 1 is the plain fraction of each bin",
            )  # fmt: skip
        pooled.append(np.mean(held))
        mean = fitted.counts[-1].sum() / fitted.counts[0].sum()
        results.number(f"{carton.name}: parent stars observed", 100 * mean, "%")
        tops.append(_magnitude_panel(carton, fitted, true, counted))
        sides.append(_coverage_panel(carton, fitted, true, used))
        if first_table is None:
            first_table = fitted.table(LEVEL)
            digest = content_sha256(parent)
    results.number(
        "68 % intervals of selection functions that hold the truth", float(np.mean(pooled)), "", bar=CALIBRATED,
        meaning="three made cartons, targeted and observed, all bins with stars of the parent",
    )  # fmt: skip
    assert first_table is not None
    results.table(
        "selection_bins", first_table, f"a row a bin of the selection function of the carton {CARTONS[0].name}"
    )
    results.figures += [
        Figure(
            "selection_by_magnitude",
            "Share of a made parent catalog that is observed, by H, in the two color bins with the largest shares in "
            "the pixel of the sky with most stars: measured with 68 % bands, and the truth (dashed). Thin bins are "
            "drawn to their neighbors, so bands stay narrow where a bin holds a few stars.",
            tops, columns=3, panel_size=(4.2, 3.4),
        ),
        Figure(
            "selection_coverage",
            "How many of the 68 % intervals hold the truth of their bin, by the number of parent stars in the bin, for "
            "both stages. The shaded band is 64 to 72 %.",
            sides, columns=3, panel_size=(4.2, 3.0),
        ),
    ]  # fmt: skip
    origin = "made here: a reddened disk of stars, targeted and observed with known chances"
    results.inputs.append(InputRecord("selection parents", "simulated", origin, rows, digest))
    _add_apogee(results)


def _rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _magnitude_panel(carton: MockCarton, fitted: FittedSelection, true: Floats, counted: NDArray[np.int64]) -> Panel:
    """Observed share by magnitude in two color bins of the pixel with most stars, and of one far from the plane."""
    shape = fitted.setting.shape
    mean, low, high = (part.reshape(shape) for part in fitted.interval("observed", LEVEL))
    truth = np.where(counted >= LEAST_TRUTH, true[1], np.nan).reshape(shape)
    stars = fitted.counts[0].reshape(shape)
    middle = 0.5 * (np.array(MAGNITUDES[1:]) + np.array(MAGNITUDES[:-1]))
    pixel = int(np.argmax(stars.sum(axis=(1, 2))))
    share = np.max(np.where(stars[pixel] > 0, mean[pixel], 0.0), axis=0)
    colors = np.argsort(-share)[:2]
    layers: list[Any] = []
    for color in sorted(int(c) for c in colors):
        text = f"{COLORS[color]:g} to {COLORS[color + 1]:g}"
        layers += [
            Band(middle, low[pixel, :, color], high[pixel, :, color]),
            Line(middle, mean[pixel, :, color], f"J - Ks {text}"),
            Line(middle, truth[pixel, :, color], "truth", role="reference"),
        ]
    return Panel(layers, "H [mag]", "share observed", carton.name, y_range=(0.0, None))  # type: ignore[arg-type]


def _coverage_panel(carton: MockCarton, fitted: FittedSelection, true: Floats, used: NDArray[np.bool_]) -> Panel:
    edges = np.array([1, 2, 3, 5, 9, 17, 33, 65, 129])
    number = fitted.counts[0]
    middle = np.sqrt(edges[:-1] * (edges[1:] - 1.0))
    layers: list[Any] = [Band(np.log10([1.0, 128.0]), [0.64, 0.64], [0.72, 0.72], "64 to 72 %")]
    for stage in range(len(STAGES)):
        _, low, high = fitted.interval(STAGES[stage], LEVEL)
        inside = (low <= true[stage]) & (true[stage] <= high)
        shares, errors = [], []
        for first, last in pairwise(edges):
            chosen = used & (number >= first) & (number < last)
            count = int(chosen.sum())
            shares.append(inside[chosen].mean() if count >= 30 else np.nan)
            errors.append(np.sqrt(0.68 * 0.32 / count) if count >= 30 else np.nan)
        layers.append(
            Points(
                np.log10(middle) + 0.02 * stage, shares, STAGES[stage], y_error=errors,
                role="reference" if stage else "highlight",
            )
        )  # fmt: skip
    return Panel(
        layers, "log10 of parent stars in the bin", "intervals that hold the truth", carton.name, y_range=(0.4, 1.0)
    )


def _add_apogee(results: Results) -> None:
    """The tabulated selection function: every row comes back, and what overlaps is counted once."""
    from starloom.errors import DatasetError, OutputError
    from starloom.selection.sampling_fractions import SamplingFractions

    try:
        apogee = SamplingFractions.apogee()
    except (DatasetError, OutputError) as error:
        results.warn(f"APOGEE's sampling fractions cannot be had here: {error}")
        return
    regions = apogee.fields.regions(256)
    place = {fields[0]: k for k, fields in enumerate(regions.fields) if len(fields) == 1}
    pixel = np.array([np.flatnonzero(regions.pixel_region == place[field])[0] for field in apogee.field])
    color = np.minimum(apogee.color[:, 0] + 0.1, apogee.color[:, 1])
    found = apogee.probability(regions.pixel_l[pixel], regions.pixel_b[pixel], apogee.magnitude.mean(axis=1), color)
    off = np.abs(found - apogee.fraction * apogee.availability)
    results.number(
        "largest difference from APOGEE's table of sampling fractions", float(off.max()), "", bar=Bar("<=", 1e-12),
        meaning=f"{len(off)} rows of {len(apogee.fields)} fields, each looked up at a star inside it",
    )  # fmt: skip
    results.number(
        "sky in more than one APOGEE field", float(apogee.fields.area.sum() - regions.area.sum()), "deg2",
        meaning=f"in {sum(len(part) > 1 for part in regions.fields)} overlaps; {regions.area.sum():.0f} deg2 in all",
    )  # fmt: skip
    results.citations.append("2024A&A...683A.128C Cantat-Gaudin et al. 2024, Uniting Gaia and APOGEE")
