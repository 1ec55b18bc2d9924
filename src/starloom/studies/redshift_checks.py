"""The checks of redshift-som beside its field: other surveys, simulated galaxies with truth, many drawings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from starloom.results.record import Bar, Results
from starloom.studies.redshift_samples import (
    boosted,
    divide,
    halves,
    quality,
    secure,
    true_means,
    within,
)

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.galaxies.self_organizing_map import FittedSOM
    from starloom.studies.redshift_som import Config

Array = NDArray[np.float64]
DC2_BANDS = tuple("ugrizy")
HIDDEN = 0.75  # r - i of DC2 galaxies whose spectra are taken away in the test of coverage


# ----------------------------------------------------------------------------------------------- the other real ones


def main_galaxies(config: Config, table: QTable, results: Results) -> None:
    """SDSS main galaxies: five bands, low redshift."""
    from starloom.galaxies.map_grid import Grid
    from starloom.galaxies.photometric_features import Features
    from starloom.galaxies.point_redshifts import PointRedshifts
    from starloom.galaxies.self_organizing_map import SelfOrganizingMap

    redshift, chosen = secure(table)
    features = Features(tuple("ugriz"), kind="colors_and_magnitude", reference="r")
    sample = divide(table, redshift, (chosen | (redshift > 0)), config.seed)
    fitted = SelfOrganizingMap(features, Grid(20, 30), config.training).fit(table, seed=config.seed)
    known = PointRedshifts.of(fitted, sample.table[sample.train], sample.redshift[sample.train])
    truth = sample.redshift[sample.test]
    found = known.predict(sample.table[sample.test], workers=config.workers)
    _, spread, outliers = quality(np.asarray(found["z_map"]), truth)
    _, trees, _ = quality(boosted(features, sample, config.seed), truth)
    results.number("SDSS: sigma_NMAD", spread, "1 + z", meaning=f"{len(truth)} held-out main galaxies")
    results.number("SDSS: sigma_NMAD by boosted trees", trees, "1 + z")
    results.number("SDSS: outliers", outliers, "")


def missing_bands(config: Config, table: QTable, results: Results) -> None:
    """VVDS-Wide: half of the galaxies lack most bands; each is placed by the bands that it has."""
    from starloom.galaxies.map_grid import Grid
    from starloom.galaxies.photometric_features import Features
    from starloom.galaxies.point_redshifts import PointRedshifts
    from starloom.galaxies.self_organizing_map import SelfOrganizingMap

    redshift, chosen = secure(table)
    bands = tuple(f"cfh12k_{band}" for band in "UBVRI")
    errors = tuple(f"{band}_err" for band in bands)
    features = Features(bands, errors, kind="colors_and_magnitude", reference="cfh12k_I", error_floor=0.05)
    sample = divide(table, redshift, chosen, config.seed)
    fitted = SelfOrganizingMap(features, Grid(20, 30), config.training, distance="errors").fit(
        sample.table[sample.train], seed=config.seed
    )
    known = PointRedshifts.of(fitted, sample.table[sample.train], sample.redshift[sample.train])
    truth = sample.redshift[sample.test]
    found = known.predict(sample.table[sample.test], workers=config.workers)
    estimate = np.asarray(found["z_map"])
    results.number("VVDS: galaxies placed", float(np.isfinite(estimate).mean()), "", meaning="of the held-out ones")
    count = np.isfinite(features.of(sample.table[sample.test]).values).sum(axis=1)
    for low, high, words in ((4, 5, "four features or five"), (2, 3, "two or three"), (1, 1, "one")):
        part = (count >= low) & (count <= high)
        if part.sum() > 50:
            results.number(
                f"VVDS: sigma_NMAD with {words}", quality(estimate[part], truth[part])[1], "1 + z",
                meaning=f"{int(part.sum())} held-out galaxies",
            )  # fmt: skip


# ---------------------------------------------------------------------------------------------- where truth is known


def truth_known(config: Config, training: QTable, validation: QTable, results: Results) -> None:
    """DC2: spectra of one half calibrate bins of the other, whose redshifts are known; then a region loses its own."""
    from starloom.galaxies.map_grid import Grid
    from starloom.galaxies.photometric_features import Features
    from starloom.galaxies.self_organizing_map import SelfOrganizingMap
    from starloom.studies import redshift_pages

    features = Features(tuple(f"mag_{band}" for band in DC2_BANDS), kind="colors_and_magnitude", reference="mag_i")
    results.warn("DC2 galaxies are simulated; they stand in for a complete sample with known redshifts.")
    fitted = SelfOrganizingMap(features, Grid(config.rows // 2 * 2, config.columns), config.training).fit(
        validation, seed=config.seed, workers=config.workers
    )
    truth, known = (np.asarray(table["redshift"], dtype=np.float64) for table in (validation, training))
    bins = dc2_bins(config, fitted, training, validation)
    results.table("dc2_bins", bins, "a tomographic bin of simulated galaxies: calibrated and true mean redshift")
    off = np.asarray((bins["mean_z"] - bins["true_mean_z"]) / (1 + bins["true_mean_z"]))
    error = np.asarray(bins["total"] / (1 + bins["true_mean_z"]))
    for number in range(len(bins)):
        results.number(
            f"DC2: bias of bin {number}", off[number], "1 + z", low=off[number] - error[number],
            high=off[number] + error[number], meaning=f"true mean {bins['true_mean_z'][number]:.2f}",
        )  # fmt: skip
    results.number("DC2: chi2 of the biases, a bin", float(np.mean((off / error) ** 2)), "")
    results.figures.append(redshift_pages.bias_figure(bins, config.requirement))
    hidden = hide_a_region(fitted, training, validation, truth, known)
    results.number(
        "DC2: cells flagged where the spectra were taken away", hidden["flagged"], "", bar=Bar(">=", 0.99),
        meaning=f"{int(hidden['cells'])} cells with r - i > {HIDDEN}",
    )  # fmt: skip
    results.number("DC2: bias of the spectra as they come", hidden["naive"], "1 + z", bar=Bar(">=", 0.01))
    results.number(
        "DC2: bias weighted by the map, covered cells", hidden["weighted"], "1 + z", bar=Bar("<=", 0.002),
        low=0.0, high=hidden["weighted"] + hidden["error"], meaning="size of it",
    )  # fmt: skip


def dc2_bins(
    config: Config, fitted: FittedSOM, training: QTable, validation: QTable
) -> QTable:  # fmt: skip
    """Calibrated and true means of bins: one half of the spectra says which cells make a bin, the other calibrates."""
    from starloom.galaxies import redshift_calibration as calibration
    from starloom.galaxies.redshifts import CellRedshifts
    from starloom.galaxies.tomographic_bins import bins_by_redshift

    truth = np.asarray(validation["redshift"], dtype=np.float64)
    known = np.asarray(training["redshift"], dtype=np.float64)
    # at random: neighboring rows of this table share their structure
    first, second = halves(np.arange(len(training)), config.seed)
    defining, calibrating = training[first], training[second]
    cell = fitted.assign(validation)
    spectra = calibration.Spectra(fitted.assign(calibrating), known[second], features=within(fitted, calibrating))
    cells = CellRedshifts.of(spectra.cell, spectra.redshift, fitted.grid)
    bin_of_cell = bins_by_redshift(fitted, defining, known[first], validation, config.bins, workers=config.workers)
    sample = calibration.PhotometricSample(
        cell, np.where(cell >= 0, bin_of_cell[cell], -1), features=within(fitted, validation)
    )
    bins = calibration.calibrate(sample, spectra, fitted.grid, cells=cells, requirement=config.requirement)
    bins["true_mean_z"], bins["true_error"] = true_means(sample, truth, cells, config.bins)
    # a cell's galaxies are a sample of it as well: their own mean is off by its scatter over the root of their number
    bins["total"] = np.hypot(np.asarray(bins["error"]), _own_noise(sample, cells, config.bins))
    return bins


def _own_noise(sample: Any, cells: Any, bins: int) -> Array:
    found = np.zeros(bins)
    for number in range(bins):
        counts = np.where(cells.spectra > 0, sample.counts(number, len(cells.spectra)), 0.0)
        found[number] = np.sqrt((counts * cells.scatter**2).sum()) / max(counts.sum(), 1.0)
    return found


def hide_a_region(
    fitted: FittedSOM, training: QTable, validation: QTable, truth: Array, known: Array
) -> dict[str, float]:
    """Take away the spectra of red galaxies: are their cells flagged, and what becomes of the mean redshift?"""
    from starloom.catalog.schema import plain
    from starloom.galaxies import redshift_calibration as calibration
    from starloom.galaxies.redshifts import CellRedshifts

    place, cell = fitted.assign(training), fitted.assign(validation)
    middle = fitted.in_features
    colors = list(fitted.features.names)
    red = middle[:, colors.index("mag_r - mag_i")] > HIDDEN
    shown = (plain(training, "mag_r") - plain(training, "mag_i") <= HIDDEN) & ~red[place]
    spectra = calibration.Spectra(place[shown], known[shown])
    cells = CellRedshifts.of(spectra.cell, spectra.redshift, fitted.grid)
    counts = np.bincount(cell[cell >= 0], minlength=fitted.grid.cells).astype(np.float64)
    cover = calibration.coverage(counts, cells, fitted.grid)
    occupied = red & (counts > 0)
    trusted = np.asarray(cover["trusted"])
    one = calibration.PhotometricSample(cell, np.where(cell >= 0, 0, -1))
    bins = calibration.calibrate(one, spectra, fitted.grid, cells=cells, trusted=trusted)
    inside = truth[(cell >= 0) & trusted[np.maximum(cell, 0)]]
    everything = truth[cell >= 0].mean()
    return {
        "cells": float(occupied.sum()),
        "flagged": float((~trusted[occupied]).mean()),
        "naive": float(abs(known[shown].mean() - everything) / (1 + everything)),
        "weighted": float(abs(bins["mean_z"][0] - inside.mean()) / (1 + inside.mean())),
        "error": float(bins["shot"][0] / (1 + inside.mean())),
    }


def formula(config: Config, results: Results) -> None:
    """Made galaxies: one spectrum a cell, drawn again and again: is the scatter of the mean what the formula says?"""
    from starloom.galaxies.map_grid import Grid
    from starloom.galaxies.mock_photometry import WIDE_SURVEY, MockSurvey, make
    from starloom.galaxies.photometric_features import Features
    from starloom.galaxies.self_organizing_map import SelfOrganizingMap

    table = make(MockSurvey(config.made_galaxies), config.seed)
    side = max(int(np.sqrt(config.made_galaxies / 24.0)), 4)
    fitted = SelfOrganizingMap(Features(tuple(WIDE_SURVEY)), Grid(side, 2 * side), config.training).fit(
        table, seed=config.seed, workers=config.workers
    )
    cell = fitted.assign(table)
    seen, stated = drawings(
        np.asarray(table["redshift"])[cell >= 0], cell[cell >= 0], fitted.grid.cells, config.drawings, config.seed
    )
    interval = 1.65 / np.sqrt(2.0 * config.drawings)
    results.number(
        "made galaxies: scatter of the mean over the formula", seen / stated, "",
        low=seen / stated * (1 - interval), high=seen / stated * (1 + interval), bar=Bar("in", (0.9, 1.1)),
        meaning=f"{config.drawings} drawings of one spectrum a cell",
    )  # fmt: skip


def drawings(redshift: Array, cell: NDArray[np.int64], cells: int, times: int, seed: int) -> tuple[float, float]:
    """Scatter of the mean redshift over drawings of one spectrum a cell, and what the formula says it is."""
    from starloom.galaxies.spectroscopy_plan import error_of
    from starloom.seeds import generator

    rng = generator(seed)
    order = np.argsort(cell, kind="stable")
    counts = np.bincount(cell, minlength=cells)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    inside = np.flatnonzero(counts)
    share = counts[inside] / counts.sum()
    mean = np.bincount(cell, redshift, minlength=cells)[inside] / counts[inside]
    spread = np.sqrt(np.bincount(cell, redshift**2, minlength=cells)[inside] / counts[inside] - mean**2 + 1e-12)
    means = [(share * redshift[order[starts[inside] + rng.integers(counts[inside])]]).sum() for _ in range(times)]
    return float(np.std(means, ddof=1)), error_of(counts[inside].astype(float), spread, np.ones(len(inside)))
