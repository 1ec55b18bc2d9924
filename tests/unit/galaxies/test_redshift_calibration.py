from __future__ import annotations

import numpy as np
import pytest

from starloom.errors import CatalogError, ConfigError
from starloom.galaxies.map_grid import Grid
from starloom.galaxies.redshift_calibration import (
    PhotometricSample,
    Spectra,
    bins_of_cells,
    calibrate,
    coverage,
    redshift_distributions,
)
from starloom.galaxies.redshifts import CellRedshifts

GRID = Grid(10, 20)


def made(seed=1, spectra=2000, galaxies=8000, spread=0.03):
    rng = np.random.default_rng(seed)
    center = 0.2 + 1.5 * np.arange(GRID.cells) / GRID.cells
    cell = rng.integers(GRID.cells, size=spectra)
    place = np.minimum((GRID.cells * rng.beta(1.2, 1.5, galaxies)).astype(int), GRID.cells - 1)
    number = bins_of_cells(center, [0.0, 0.6, 1.1, 3.0])
    z = center[cell] + spread * rng.standard_normal(spectra)
    truth = center[place] + spread * rng.standard_normal(galaxies)
    return PhotometricSample(place, number[place]), Spectra(cell, z), truth


def test_the_mean_is_the_weighted_mean_of_the_cells_and_shot_noise_its_formula():
    sample, spectra, _ = made()
    bins = calibrate(sample, spectra, GRID)
    cells = CellRedshifts.of(spectra.cell, spectra.redshift, GRID)
    n = sample.counts(1, GRID.cells) * (cells.spectra > 0)
    share = n / n.sum()
    assert bins["mean_z"][1] == pytest.approx(np.nansum(share * np.nan_to_num(cells.mean)))
    wanted = np.sqrt((share**2 * cells.scatter**2 / np.maximum(cells.spectra, 1)).sum())
    assert bins["shot"][1] == pytest.approx(wanted)
    assert bins["galaxies"].sum() == len(sample.cell)


def test_errors_hold_over_many_drawings():
    off, error = [], []
    for seed in range(60):
        sample, spectra, truth = made(seed, spectra=600)
        bins = calibrate(sample, spectra, GRID)
        cells = CellRedshifts.of(spectra.cell, spectra.redshift, GRID)
        for number in range(3):
            inside = (sample.bin == number) & (cells.spectra[sample.cell] > 0)
            off.append(bins["mean_z"][number] - truth[inside].mean())
            error.append(np.hypot(bins["shot"][number], 0.03 / np.sqrt(inside.sum())))
    # 180 values: the mean of chi2 lies within 1 +- 0.35 but for 1 in 1,000
    assert np.mean((np.array(off) / np.array(error)) ** 2) == pytest.approx(1.0, abs=0.35)


def test_a_sample_that_is_no_fair_one_is_weighted_back():
    sample, spectra, truth = made()
    rng = np.random.default_rng(2)
    kept = rng.random(len(spectra.cell)) < np.where(spectra.cell % 200 < 100, 1.0, 0.2)
    one = PhotometricSample(sample.cell, np.zeros_like(sample.bin))
    row = calibrate(one, spectra.part(kept), GRID)[0]
    left = np.bincount(spectra.cell[kept], minlength=GRID.cells) > 0
    truth = truth[left[sample.cell]]  # what the answer is about
    assert abs(row["naive_mean_z"] - truth.mean()) > 0.05
    assert abs(row["mean_z"] - truth.mean()) < 4 * row["shot"] + 0.004


def test_spectra_brighter_than_their_cell_are_seen_and_corrected():
    rng = np.random.default_rng(1)
    cell, place = rng.integers(200, size=4000), rng.integers(200, size=20000)
    bright, faint = rng.normal(0.0, 1.0, 4000), rng.normal(1.0, 1.0, 20000)
    z = 0.5 + 0.004 * cell + 0.02 * bright + 0.01 * rng.standard_normal(4000)
    truth = 0.5 + 0.004 * place + 0.02 * faint
    spectra = Spectra(cell, z, features=bright[:, None])
    sample = PhotometricSample(place, np.zeros(20000, int), features=faint[:, None])
    counted, corrected = (calibrate(sample, spectra, GRID, correct=c)[0] for c in (False, True))
    assert counted["within_cell"] == pytest.approx(0.02, rel=0.1)
    assert abs(counted["mean_z"] - truth.mean()) == pytest.approx(0.02, rel=0.15)
    assert abs(corrected["mean_z"] - truth.mean()) < 0.002


def test_structure_along_the_sky_shows_as_sample_variance():
    rng = np.random.default_rng(4)
    sample, spectra, _ = made()
    patch = rng.integers(16, size=len(spectra.cell))
    calm = calibrate(sample, Spectra(spectra.cell, spectra.redshift, patch), GRID)
    moved = spectra.redshift + 0.03 * rng.standard_normal(16)[patch]
    stormy = calibrate(sample, Spectra(spectra.cell, moved, patch), GRID)
    # 16 patches, each off by 0.03: 0.03 / sqrt(16), known to 1 / sqrt(2 * 15)
    assert stormy["sample_variance"][1] == pytest.approx(0.0075, rel=0.6)
    assert calm["sample_variance"][1] < 0.003


def test_failed_spectra_count():
    sample, spectra, _ = made()
    z = spectra.redshift.copy()
    z[::4] = np.nan
    row = calibrate(sample, Spectra(spectra.cell, z), GRID)[1]
    cells = CellRedshifts.of(spectra.cell, z, GRID)
    assert row["failures"] == pytest.approx(0.25 * np.median(cells.scatter), rel=0.3)


def test_coverage_flags_every_cell_that_lost_its_spectra():
    sample, spectra, truth = made(galaxies=20000)
    hidden = np.arange(GRID.cells) % 20 >= 14
    left = spectra.part(~hidden[spectra.cell])
    cells = CellRedshifts.of(left.cell, left.redshift, GRID)
    counts = np.bincount(sample.cell, minlength=GRID.cells)
    cover = coverage(counts, cells, GRID)
    occupied = hidden & (counts > 0)
    assert (cover["reason"][occupied] == "no spectra").all()
    assert not cover["trusted"][hidden].any()
    row = calibrate(PhotometricSample(sample.cell, np.zeros(20000, int)), left, GRID)[0]
    inside = ~hidden[sample.cell]
    assert row["covered"] == pytest.approx(inside.mean(), abs=0.02)
    assert abs(row["mean_z"] - truth[inside].mean()) < 0.002 * (1 + row["mean_z"])


def test_cells_whose_spectra_disagree_or_are_broad_are_flagged():
    calm = np.repeat(np.arange(20, 180), 4)
    cell = np.concatenate([[0, 0, 199, 199], calm])
    z = np.concatenate([[0.5, 0.52, 1.0, 2.4], 0.7 + 0.01 * (np.arange(len(calm)) % 3)])
    photometric = np.where(np.arange(200) == 0, 1.5, 0.7)
    photometric[199] = 1.7
    table = coverage(np.ones(200), CellRedshifts.of(cell, z, GRID), GRID, photometric=photometric, broadest=0.2)
    assert table["reason"].tolist()[0] == "spectra and photometric redshifts disagree"
    assert table["reason"].tolist()[199] == "redshifts too broad"
    assert table["reason"].tolist()[10] == "no spectra"
    assert table["trusted"][20:180].all()


def test_n_of_z_is_normalized_and_has_the_mean_of_the_bin():
    sample, spectra, _ = made()
    edges = np.arange(0.0, 2.5, 0.01)
    found = redshift_distributions(sample, spectra, GRID, edges, resamples=20)
    middle = 0.5 * (found["z_low"] + found["z_high"])
    for number, row in enumerate(calibrate(sample, spectra, GRID)):
        density = found[f"n_{number}"]
        assert np.sum(density * 0.01) == pytest.approx(1.0)
        assert np.sum(middle * density * 0.01) == pytest.approx(row["mean_z"], abs=0.003)
        assert (found[f"n_{number}_error"] >= 0).all()


def test_an_empty_bin_is_a_row_that_says_so():
    sample, spectra, _ = made()
    skipped = PhotometricSample(sample.cell, np.where(sample.bin == 1, -1, sample.bin))
    row = calibrate(skipped, spectra, GRID)[1]
    assert row["galaxies"] == 0
    assert not row["met"]
    assert row["remark"] == "no galaxy is in this bin"
    far = Spectra(spectra.cell[spectra.cell < 40], spectra.redshift[spectra.cell < 40])
    assert calibrate(sample, far, GRID)[2]["remark"] == "no cell of this bin has spectra"


def test_input_that_cannot_be_calibrated():
    sample, spectra, _ = made()
    with pytest.raises(CatalogError, match="no galaxy is in a bin"):
        calibrate(PhotometricSample(sample.cell, np.full_like(sample.bin, -1)), spectra, GRID)
    with pytest.raises(CatalogError, match="no spectrum"):
        calibrate(sample, Spectra(spectra.cell, np.full(2000, np.nan)), GRID)
    with pytest.raises(ConfigError, match="requirement"):
        calibrate(sample, spectra, GRID, requirement=0.0)
    with pytest.raises(CatalogError, match="differ in length"):
        Spectra(spectra.cell, spectra.redshift[:-1])
    with pytest.raises(CatalogError, match="weights"):
        PhotometricSample(sample.cell, sample.bin, np.full(8000, np.nan))
    with pytest.raises(ConfigError, match="edges"):
        bins_of_cells(np.ones(3), [1.0, 0.5])


def test_scatter_is_shrunk_towards_the_surroundings_and_right_on_the_whole():
    rng = np.random.default_rng(1)
    cell = rng.integers(200, size=700)
    found = CellRedshifts.of(cell, 0.5 + 0.05 * rng.standard_normal(700), GRID)
    assert np.isfinite(found.scatter).all()
    assert np.std(found.scatter) < 0.6 * np.nanstd(found.own_scatter)
    assert np.sqrt(np.mean(found.scatter**2)) == pytest.approx(0.05, rel=0.1)
