"""Study redshift-som: the color-redshift relation on a self-organizing map (the system of arXiv:1509.03318).

Real galaxies of the paper's own field (zCOSMOS with COSMOS photometry), SDSS and VVDS say how well a map gives
redshifts; simulated galaxies of DC2, whose redshifts are all known, say how far the calibrated means of tomographic
bins are off; and made galaxies over many drawings say whether the stated error is the scatter that occurs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pydantic

from starloom.files import RunFolder
from starloom.galaxies.schema import SCHEMA
from starloom.results.record import Bar, Published, Results
from starloom.studies.redshift_samples import (
    DividedGalaxies,
    boosted,
    divide,
    halves,
    patches,
    quality,
    secure,
    true_means,
    within,
)
from starloom.studies.study import Input, InputSpec, Study, StudyConfig

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.galaxies.self_organizing_map import FittedSOM

PAPER = "arXiv:1509.03318"
MASKS = ("mask_B", "mask_V", "mask_i", "mask_z", "mask_d")


class Config(StudyConfig):
    """Settings of redshift-som."""

    rows: int = pydantic.Field(40, ge=2, description="rows of the map")
    columns: int = pydantic.Field(60, ge=2, description="columns of the map")
    training: str = pydantic.Field("starloom", description="schedule of the training")
    bands: str = pydantic.Field("u,B,g,V,r,i,z,J,K", description="magnitudes of the field, in order of wavelength")
    bins: int = pydantic.Field(5, ge=1, description="tomographic bins")
    requirement: float = pydantic.Field(0.002, gt=0, lt=1, description="error wanted of a bin's mean, in 1 + z")
    made_galaxies: int = pydantic.Field(60_000, ge=2_000, description="made galaxies of the test of the formula")
    drawings: int = pydantic.Field(200, ge=20, description="drawings of one spectrum a cell in that test")


def run(config: Config, inputs: Mapping[str, Input], folder: RunFolder) -> Results:
    """Train maps, calibrate, plan, and hold all of it against what is known."""
    from starloom.studies import redshift_checks, redshift_pages

    results = Results(STUDY.name, STUDY.title, config.preset, config.seed)
    results.inputs = [entry.record for entry in inputs.values()]
    fitted = _field(config, inputs["zcosmos"].table, results)
    fitted.save(folder.staging / "model")
    if "sdss" in inputs:
        redshift_checks.main_galaxies(config, inputs["sdss"].table, results)
    if "vvds" in inputs:
        redshift_checks.missing_bands(config, inputs["vvds"].table, results)
    if "dc2_training" in inputs and "dc2_validation" in inputs:
        redshift_checks.truth_known(config, inputs["dc2_training"].table, inputs["dc2_validation"].table, results)
    redshift_checks.formula(config, results)
    results.figures.append(redshift_pages.plan_figure(results.tables["plan"], config.requirement))
    results.summary = (
        "Galaxies with like colors share a cell of the map; the spectra of a cell give the redshifts of all its "
        "galaxies. The maps show where that is known and where spectra are missing, the calibration how far the mean "
        "redshift of each bin can be off, and the plan which cells to observe next."
    )
    return results


# ------------------------------------------------------------------------------------------------ the paper's field


def _field(config: Config, table: QTable, results: Results) -> FittedSOM:
    """The map of the field: its quality, its redshifts, its bins, its cells, its plan."""
    from starloom.galaxies.map_grid import Grid
    from starloom.galaxies.photometric_features import Features
    from starloom.galaxies.point_redshifts import PointRedshifts
    from starloom.galaxies.self_organizing_map import SelfOrganizingMap
    from starloom.inference.calibration import coverage as interval_coverage
    from starloom.studies import redshift_pages

    features = Features(tuple(band.strip() for band in config.bands.split(",")))
    grid = Grid(config.rows, config.columns)
    redshift, chosen = secure(table)
    clean = np.ones(len(table), dtype=bool)
    for name in MASKS:
        if name in table.colnames:
            clean &= np.asarray(table[name]) == 0
    measured = np.isfinite(features.of(table).values).all(axis=1)
    sample = divide(table, redshift, chosen & clean & measured, config.seed)
    # the map is drawn over all galaxies, whether they have a spectrum or not; stars (redshift 0) are none
    galaxies = clean & (np.nan_to_num(redshift, nan=1.0) > 0.0)
    fitted = SelfOrganizingMap(features, grid, config.training).fit(
        table[galaxies], seed=config.seed, workers=config.workers
    )
    for note in fitted.notes:
        results.warn(f"field: {note}")
    measures = fitted.quality
    results.number("galaxies on the map", float(fitted.trained_on), "galaxies")
    results.number("quantization error", measures.quantization_error, "mag", meaning="mean distance from the cell")
    results.number("topographic error", measures.topographic_error, "", meaning="two nearest cells do not touch")
    results.number("cells occupied", measures.cells_occupied / grid.cells, "of the cells")

    known = PointRedshifts.of(fitted, sample.table[sample.train], sample.redshift[sample.train])
    found = known.predict(sample.table[sample.test], workers=config.workers)
    truth = sample.redshift[sample.test]
    bias, spread, outliers = quality(np.asarray(found["z_map"]), truth)
    _, boosted_spread, boosted_outliers = quality(boosted(features, sample, config.seed), truth)
    real = not results.simulated
    results.number("sigma_NMAD", spread, "1 + z", meaning=f"map, {len(truth)} held-out galaxies")
    results.number("sigma_NMAD by boosted trees", boosted_spread, "1 + z", meaning="same rows and colors")
    results.number(
        "sigma_NMAD over that of boosted trees", spread / boosted_spread, "", bar=Bar("<=", 1.15) if real else None
    )
    results.number("outliers", outliers, "", bar=Bar("<=", 0.01) if real else None, meaning="|dz| > 0.15 (1 + z)")
    results.number("outliers by boosted trees", boosted_outliers, "")
    results.number("bias", bias, "1 + z")
    inside = interval_coverage(truth, found["z_map_low"], found["z_map_high"])
    results.number("share inside the 68 % intervals", inside, "", bar=Bar("in", (0.63, 0.73)) if real else None)
    results.table("redshifts", found, "a held-out galaxy of the field with its redshift from the map")
    results.figures.append(redshift_pages.redshift_figure(found, truth))
    _bins_of_the_field(config, fitted, sample, table[galaxies], results)
    return fitted


def _bins_of_the_field(
    config: Config, fitted: FittedSOM, sample: DividedGalaxies, galaxies: QTable, results: Results
) -> None:  # fmt: skip
    """Means of the bins from the training spectra, against the held-out ones; cells and a plan for the whole field."""
    from astropy.table import QTable

    from starloom.galaxies import redshift_calibration as calibration
    from starloom.galaxies import spectroscopy_plan as planning
    from starloom.galaxies.redshifts import CellRedshifts
    from starloom.galaxies.tomographic_bins import bins_by_redshift
    from starloom.studies import redshift_pages

    defining, calibrating = halves(sample.train, config.seed)
    train, test = sample.table[calibrating], sample.table[sample.test]
    z_train, z_test = sample.redshift[calibrating], sample.redshift[sample.test]
    spectra = calibration.Spectra(fitted.assign(train), z_train, patches(train), within(fitted, train))
    cells = CellRedshifts.of(spectra.cell, spectra.redshift, fitted.grid)
    bin_of_cell = bins_by_redshift(
        fitted, sample.table[defining], sample.redshift[defining], galaxies, config.bins, workers=config.workers
    )
    cell = fitted.assign(test)
    held = calibration.PhotometricSample(
        cell, np.where(cell >= 0, bin_of_cell[cell], -1), features=within(fitted, test)
    )
    bins = calibration.calibrate(held, spectra, fitted.grid, cells=cells, requirement=config.requirement)
    bins["true_mean_z"], bins["true_error"] = true_means(held, z_test, cells, config.bins)
    off = np.asarray(bins["mean_z"] - bins["true_mean_z"])
    error = np.hypot(bins["shot"], bins["true_error"])
    chi2 = float(np.nansum((off / error) ** 2))
    results.number(
        "largest error of a bin's mean", float(np.nanmax(bins["error"] / (1 + bins["mean_z"]))), "1 + z",
        meaning=f"{len(z_train)} spectra; met by {int(np.sum(bins['met']))} of {config.bins} bins",
        published=Published(0.002, f"{PAPER}, what a lensing survey requires of each bin"),
    )  # fmt: skip
    results.number("shot noise of the worst bin", float(np.nanmax(bins["shot"] / (1 + bins["mean_z"]))), "1 + z")
    results.number(
        "chi2 of the bins' means, a bin", chi2 / config.bins, "",
        meaning="calibrated minus held-out mean, over both errors",
    )  # fmt: skip
    results.table("bins", bins, "a tomographic bin of the held-out galaxies, calibrated with the other spectra")

    everything = sample.table[sample.train], sample.redshift[sample.train]
    cells = CellRedshifts.of(fitted.assign(everything[0]), everything[1], fitted.grid)
    counts = np.bincount(fitted.assign(galaxies), minlength=fitted.grid.cells + 1)[: fitted.grid.cells].astype(float)
    cover = calibration.coverage(counts, cells, fitted.grid)
    covered = float(cover["galaxies"][cover["trusted"]].sum() / cover["galaxies"].sum())
    results.number("galaxies in cells with spectra", covered, "")
    results.number("bimodal cells", float(cells.bimodal.sum()), "cells")
    rows, wanted = [], np.zeros(fitted.grid.cells, dtype=np.int64)
    for number in range(config.bins):
        inside = np.where(bin_of_cell == number, counts, 0.0)
        mean = float(np.nansum(inside * np.nan_to_num(cells.mean)) / inside.sum())
        plan = planning.spectra_needed(
            inside, cells.scatter, mean, requirement=config.requirement, existing=cells.spectra
        )
        rows.append(
            ("existing counted", number, plan.total_new, plan.error / (1 + mean), plan.left_out, plan.reachable)
        )
        wanted = np.where(inside > 0, plan.spectra, wanted)
        for name in planning.STRATEGIES:
            spectra_there, left_out = planning.sampling_strategy(name, inside, cells.scatter)
            error_there = planning.error_of(inside, cells.scatter, spectra_there) / (1 + mean)
            total = int(spectra_there.sum())
            rows.append((name, number, total, error_there, left_out, error_there <= config.requirement))
    names = ("strategy", "bin", "spectra", "error_over_1_plus_z", "left_out", "met")
    plans = QTable(rows=rows, names=names)
    cover["wanted"] = wanted
    results.table("cells", cover, "a cell of the field's map")
    results.table("plan", plans, "spectra for one bin by one strategy, and the shot noise that they leave")
    new = plans["spectra"][plans["strategy"] == "existing counted"]
    results.number("new spectra for the requirement, all bins", float(np.sum(new)), "spectra")
    results.number(
        "spectra by the paper's third strategy",
        float(np.sum(plans["spectra"][plans["strategy"] == "three_in_the_worst"])), "spectra",
        meaning="three in the 5 % most uncertain cells, one in the others, 1 % left out",
    )  # fmt: skip
    results.figures.extend(redshift_pages.map_figures(fitted, cover))
    results.explorer = redshift_pages.explorer(fitted, cover)


def mock(config: Config) -> dict[str, QTable]:
    """Made galaxies in the place of every input."""
    from starloom.studies import redshift_mock

    return redshift_mock.mock(config)


STUDY = Study(
    name="redshift-som",
    title="The color-redshift relation on a self-organizing map",
    arxiv="1509.03318",
    summary="Where spectra cover the space of galaxy colors, how well the mean redshift of each tomographic bin is "
    "known through them, and which galaxies to observe next.",
    citations=(
        "arXiv:1509.03318 Masters et al., Mapping the galaxy color-redshift relation: optimal photometric redshift",
        "2009ApJS..184..218L Lilly et al., The zCOSMOS 10k-Bright Spectroscopic Sample",
        "2009ApJ...690.1236I Ilbert et al., Cosmos photometric redshifts with 30 bands for 2 deg2",
        "2013A&A...559A..14L Le Fevre et al., The VIMOS VLT Deep Survey final data release",
        "2021ApJS..253...31L LSST Dark Energy Science Collaboration, The LSST DESC DC2 Simulated Sky Survey",
    ),
    config=Config,
    presets={
        "tour": {"rows": 30, "columns": 50, "made_galaxies": 24_000},
        "quick": {"rows": 40, "columns": 60, "made_galaxies": 60_000},
        "full": {"rows": 50, "columns": 80, "made_galaxies": 270_000},
    },
    inputs=(
        InputSpec("zcosmos", "photoz_zcosmos", "bright", "galaxies of the COSMOS field with redshifts", primary=True),
        InputSpec("sdss", "photoz_sdss_mgs", "galaxies", "main galaxies of SDSS", optional=True),
        InputSpec("vvds", "photoz_vvds_wide", "objects", "galaxies with missing bands", optional=True),
        InputSpec("dc2_training", "photoz_dc2_sim", "training", "simulated galaxies, as spectra", optional=True),
        InputSpec("dc2_validation", "photoz_dc2_sim", "validation", "simulated galaxies with truth", optional=True),
    ),
    run=run,
    mock=mock,
    schema=SCHEMA,
    key_number="sigma_NMAD",
)
