"""Mean redshifts and n(z) of tomographic bins from a map with spectra, and how far each can be off.

With n_i galaxies of a bin in cell i, m_i spectra of mean z_i there, and N = sum n_i over the cells with spectra,

    <z> = sum n_i z_i / N,      shot^2 = sum n_i^2 s_i^2 / m_i / N^2

(arXiv:1509.03318, section 5; there m_i = 1). Galaxies in cells without spectra are left out of the bin, and out of
the sample it stands for: their share is part of the answer. Beside the shot noise stand three errors that more
spectra of the same kind do not remove: spectra that differ from the other galaxies of their cell, the large-scale
structure of the fields they were taken in, and redshifts that failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from starloom.errors import CatalogError, ConfigError
from starloom.galaxies.map_grid import Grid
from starloom.galaxies.redshifts import CellRedshifts

if TYPE_CHECKING:
    from astropy.table import QTable

Array = NDArray[np.float64]
REQUIREMENT = 0.002  # in 1 + <z>: the goal of arXiv:1509.03318 for every bin
MOST_LEFT_OUT = 0.5


@dataclass(frozen=True)
class Spectra:
    """Spectra of galaxies on the map.

    Parameters
    ----------
    cell : (m,) the cell of each; -1 where it has none.
    redshift : (m,); NaN where the spectrum was taken and gave no redshift.
    patch : (m,) the field or part of the sky each was taken in, as integers; None: not known.
    features : (m, features) in the map's scaled space, and magnitudes or whatever else a redshift may depend on
        within a cell; None: not known.
    """

    cell: NDArray[np.int64]
    redshift: Array
    patch: NDArray[np.int64] | None = None
    features: Array | None = None

    def __post_init__(self) -> None:
        lengths = {len(part) for part in (self.cell, self.redshift, self.patch, self.features) if part is not None}
        if len(lengths) > 1:
            raise CatalogError("cells, redshifts, patches and features of the spectra differ in length")

    @property
    def good(self) -> NDArray[np.bool_]:
        """Those with a cell and a redshift."""
        return (self.cell >= 0) & np.isfinite(self.redshift)

    def part(self, chosen: NDArray[np.bool_]) -> Spectra:
        """The chosen ones."""
        patch = None if self.patch is None else self.patch[chosen]
        features = None if self.features is None else self.features[chosen]
        return Spectra(self.cell[chosen], self.redshift[chosen], patch, features)


@dataclass(frozen=True)
class PhotometricSample:
    """Galaxies whose redshifts are to be calibrated.

    Parameters
    ----------
    cell : (n,) the cell of each; -1 where it has none.
    bin : (n,) its tomographic bin, 0 and up; -1 for none.
    weight : (n,) its weight in the lensing measurement; None for 1.
    features : (n, features), the same as those of the spectra.
    """

    cell: NDArray[np.int64]
    bin: NDArray[np.int64]
    weight: Array | None = None
    features: Array | None = None

    def __post_init__(self) -> None:
        parts = (self.cell, self.bin, self.weight, self.features)
        if len({len(part) for part in parts if part is not None}) > 1:
            raise CatalogError("cells, bins, weights and features of the galaxies differ in length")
        if self.weight is not None and not (np.isfinite(self.weight) & (self.weight >= 0)).all():
            raise CatalogError("the weights of the galaxies must be finite and not negative")

    def counts(self, number: int, cells: int) -> Array:
        """Weight of the galaxies of a bin in each cell, shape (cells,)."""
        chosen = (self.bin == number) & (self.cell >= 0)
        weight = None if self.weight is None else self.weight[chosen]
        return np.bincount(self.cell[chosen], weight, minlength=cells).astype(np.float64)


def bins_of_cells(mean: Array, edges: Sequence[float]) -> NDArray[np.int64]:
    """Tomographic bin of each cell by its mean redshift: -1 outside the edges or without one.

    Examples
    --------
    >>> bins_of_cells(np.array([0.1, 0.6, np.nan, 3.0]), [0.0, 0.5, 1.0]).tolist()
    [0, 1, -1, -1]
    """
    ends = np.asarray(edges, dtype=np.float64)
    if ends.ndim != 1 or len(ends) < 2 or np.isnan(ends).any() or not (ends[1:] > ends[:-1]).all():
        raise ConfigError(f"edges of bins rise, and are at least two: {list(edges)}")
    found = np.searchsorted(ends, mean, side="right") - 1
    found[~np.isfinite(mean) | (found < 0) | (found >= len(ends) - 1)] = -1
    return np.asarray(found, dtype=np.int64)


def calibrate(
    sample: PhotometricSample,
    spectra: Spectra,
    grid: Grid,
    *,
    cells: CellRedshifts | None = None,
    trusted: NDArray[np.bool_] | None = None,
    requirement: float = REQUIREMENT,
    failure_shift: float = 1.0,
    correct: bool = False,
) -> QTable:
    """Calibrate the mean redshift of every bin.

    Parameters
    ----------
    sample, spectra : galaxies and spectra on one map.
    grid : its lattice.
    cells : redshifts of the cells; from the spectra by default.
    trusted : (cells,) the cells that may be used (see ``coverage``); all with spectra by default.
    requirement : largest error wanted, in units of 1 + <z>.
    failure_shift : galaxies whose spectra failed are taken to be off by this many scatters of their cell, all to one
        side.
    correct : move <z> by what the spectra of each cell differ from its galaxies in, instead of counting that as error.

    Returns
    -------
    QTable
        A row a bin: ``bin``, ``galaxies`` (weights), ``covered`` (share of them in usable cells), ``cells``,
        ``spectra``, ``mean_z``, ``naive_mean_z`` (of its cells' spectra as they come), ``shot``, ``within_cell``,
        ``sample_variance``, ``failures``, ``error`` (their root of squares), ``required``, ``met`` and ``remark``.

    Raises
    ------
    CatalogError
        When no galaxy is in a bin, or no spectrum is usable.
    """
    from astropy.table import QTable

    if not 0 < requirement < 1:
        raise ConfigError(f"the requirement is a positive part of 1 + z, such as 0.002, not {requirement}")
    numbers = np.unique(sample.bin[sample.bin >= 0])
    if not len(numbers):
        raise CatalogError("no galaxy is in a bin; check the edges or the column of the bins")
    found = CellRedshifts.of(spectra.cell, spectra.redshift, grid) if cells is None else cells
    usable = found.spectra > 0 if trusted is None else (found.spectra > 0) & trusted
    failed = _failed(spectra, grid.cells)
    rows = []
    for number in range(int(numbers[-1]) + 1):
        counts = sample.counts(number, grid.cells)
        rows.append(_calibrate_bin(number, counts, sample, spectra, found, usable, failed, failure_shift, correct))
        _judge(rows[-1], requirement)
    return QTable({name: [row[name] for row in rows] for name in rows[0]})


def _calibrate_bin(
    number: int,
    counts: Array,
    sample: PhotometricSample,
    spectra: Spectra,
    found: CellRedshifts,
    usable: NDArray[np.bool_],
    failed: Array,
    failure_shift: float,
    correct: bool,
) -> dict[str, Any]:
    total, kept = counts.sum(), np.where(usable, counts, 0.0)
    inside = kept > 0
    row: dict[str, Any] = {
        "bin": number, "galaxies": float(total), "covered": float(kept.sum() / total) if total > 0 else np.nan,
        "cells": int(inside.sum()), "spectra": int(found.spectra[inside].sum()),
    }  # fmt: skip
    names = ("mean_z", "naive_mean_z", "shot", "within_cell", "sample_variance", "failures", "error")
    if not inside.any():
        return row | dict.fromkeys(names, np.nan)
    share = kept[inside] / kept.sum()
    mean, scatter, m = found.mean[inside], found.scatter[inside], found.spectra[inside]
    shot = float(np.sqrt((share**2 * scatter**2 / m).sum()))
    shift = _within_cells(number, sample, spectra, inside, kept)
    variance = _jackknife(spectra, inside, kept)
    parts = {
        "shot": shot,
        "within_cell": 0.0 if correct and np.isfinite(shift) else abs(shift),
        "sample_variance": float(np.sqrt(max(variance**2 - shot**2, 0.0))),
        "failures": float(failure_shift * (share * failed[inside] * scatter).sum()),
    }
    own = spectra.good & inside[np.maximum(spectra.cell, 0)]
    return row | {
        "mean_z": float((share * mean).sum() + (shift if correct and np.isfinite(shift) else 0.0)),
        "naive_mean_z": float(spectra.redshift[own].mean()),
        **{name: parts[name] for name in names[2:-1]},
        "error": float(np.sqrt(np.nansum(np.square(list(parts.values()))))),
    }


def _judge(row: dict[str, Any], requirement: float) -> None:
    """Whether the requirement is met, and if not, why."""
    required = requirement * (1.0 + row["mean_z"])
    row["required"], row["met"] = required, bool(row["error"] <= required)
    if row["galaxies"] == 0:
        row["remark"] = "no galaxy is in this bin"
    elif row["cells"] == 0:
        row["remark"] = "no cell of this bin has spectra"
    else:
        remarks = []
        if not row["met"]:
            largest = max(
                ("shot", "within_cell", "sample_variance", "failures"), key=lambda name: np.nan_to_num(row[name])
            )
            remarks.append(f"not met: largest is {largest}")
        if row["covered"] < 1 - MOST_LEFT_OUT:
            remarks.append(f"{1 - row['covered']:.0%} of the galaxies are in cells without usable spectra")
        unknown = [name for name in ("within_cell", "sample_variance") if not np.isfinite(row[name])]
        if unknown:
            remarks.append(f"not known: {', '.join(unknown)}")
        row["remark"] = "; ".join(remarks)


def _failed(spectra: Spectra, cells: int) -> Array:
    """Share of the spectra of each cell that gave no redshift."""
    placed = spectra.cell >= 0
    taken = np.bincount(spectra.cell[placed], minlength=cells)
    lost = np.bincount(spectra.cell[placed & ~spectra.good], minlength=cells)
    return np.asarray(lost / np.maximum(taken, 1), dtype=np.float64)


def _within_cells(
    number: int, sample: PhotometricSample, spectra: Spectra, inside: NDArray[np.bool_], kept: Array
) -> float:
    """Shift of <z> because the spectra of a cell differ from its galaxies in features that its redshifts depend on.

    Slopes of redshift with the features within cells are fitted to all spectra of the bin's cells together; they are
    applied to the difference of the means, cell by cell. NaN without features or without two spectra in some cell.
    """
    if sample.features is None or spectra.features is None:
        return np.nan
    cells = len(inside)
    own = spectra.good & inside[np.maximum(spectra.cell, 0)] & np.isfinite(spectra.features).all(axis=1)
    place, z, x = spectra.cell[own], spectra.redshift[own], spectra.features[own]
    count = np.bincount(place, minlength=cells)
    freedom = int(np.maximum(count - 1, 0).sum())
    if freedom < 3 * x.shape[1]:
        return np.nan
    mean_x, mean_z = _cell_means(place, x, cells), _cell_means(place, z[:, None], cells)
    apart, rest = x - mean_x[place], (z[:, None] - mean_z[place])[:, 0]
    squares = apart.T @ apart
    squares[np.diag_indices(len(squares))] += 1e-9 * max(float(np.trace(squares)), 1e-12)
    slope = np.linalg.solve(squares, apart.T @ rest)
    chosen = (sample.bin == number) & (sample.cell >= 0) & np.isfinite(sample.features).all(axis=1)
    chosen &= inside[np.maximum(sample.cell, 0)]
    weight = np.ones(int(chosen.sum())) if sample.weight is None else sample.weight[chosen]
    mean = _cell_means(sample.cell[chosen], sample.features[chosen], cells, weight)
    shift = (mean - mean_x) @ slope
    known = inside & np.isfinite(shift)
    return float((kept[known] * shift[known]).sum() / kept.sum())


def _cell_means(place: NDArray[np.int64], values: Array, cells: int, weight: Array | None = None) -> Array:
    below = np.bincount(place, weight, minlength=cells).astype(np.float64)
    above = [np.bincount(place, part if weight is None else part * weight, minlength=cells) for part in values.T]
    empty = np.full((cells, values.shape[1]), np.nan)
    found: Array = np.divide(np.stack(above, axis=1), below[:, None], out=empty, where=below[:, None] > 0)
    return found


def _jackknife(spectra: Spectra, inside: NDArray[np.bool_], kept: Array) -> float:
    """Error of <z> from leaving out one patch of the sky at a time; NaN with fewer than two patches.

    A cell that loses all of its spectra with a patch is left out with it, as it would be were the patch not there.
    """
    if spectra.patch is None:
        return np.nan
    own = spectra.good & inside[np.maximum(spectra.cell, 0)]
    cell, z, patch = spectra.cell[own], spectra.redshift[own], spectra.patch[own]
    patches, index = np.unique(patch, return_inverse=True)
    if len(patches) < 2:
        return np.nan
    count, total = np.bincount(cell, minlength=len(inside)), np.bincount(cell, z, minlength=len(inside))
    means = []
    for one in range(len(patches)):
        gone = index == one
        left = count - np.bincount(cell[gone], minlength=len(inside))
        rest = total - np.bincount(cell[gone], z[gone], minlength=len(inside))
        there = inside & (left > 0)
        if not there.any():
            return np.nan
        means.append((kept[there] * rest[there] / left[there]).sum() / kept[there].sum())
    return float(np.sqrt((len(means) - 1) * np.var(means)))


def redshift_distributions(
    sample: PhotometricSample, spectra: Spectra, grid: Grid, edges: Array, *, trusted: NDArray[np.bool_] | None = None,
    resamples: int = 100, seed: int = 1,
) -> QTable:  # fmt: skip
    """n(z) of every bin: spectra weighted by the galaxies of their cell over the spectra in it.

    Returns
    -------
    QTable
        A row an interval of redshift: ``z_low``, ``z_high``, and for each bin ``n_K`` (density, integral 1) and
        ``n_K_error`` (scatter over Bayesian bootstraps of the spectra).
    """
    from astropy.table import QTable

    from starloom.seeds import generator

    rng = generator(seed)
    good = spectra.good & (True if trusted is None else trusted[np.maximum(spectra.cell, 0)])
    cell, z = spectra.cell[good], spectra.redshift[good]
    place = np.searchsorted(edges, z, side="right") - 1
    place[z == edges[-1]] = len(edges) - 2
    within = (place >= 0) & (place < len(edges) - 1)
    result = QTable({"z_low": edges[:-1], "z_high": edges[1:]})
    width = np.diff(edges)
    draws = np.concatenate([np.ones((1, len(z))), rng.exponential(size=(resamples, len(z)))])
    for number in range(int(sample.bin.max(initial=-1)) + 1):
        counts = sample.counts(number, grid.cells)
        lines = []
        for draw in draws:
            below = np.bincount(cell, draw, minlength=grid.cells)
            weight = draw * counts[cell] / np.where(below > 0, below, 1.0)[cell]
            line = np.bincount(place[within], weight[within], minlength=len(width)) / max(weight.sum(), 1e-300)
            lines.append(line / width)
        result[f"n_{number}"], result[f"n_{number}_error"] = lines[0], np.std(lines[1:], axis=0)
    return result


def coverage(
    galaxies: Array,
    cells: CellRedshifts,
    grid: Grid,
    *,
    least: int = 1,
    photometric: Array | None = None,
    disagreement: float = 0.4,
    broadest: float | None = None,
) -> QTable:
    """What is known of every cell, and which cells a calibration should leave out.

    Parameters
    ----------
    galaxies : (cells,) number or weight of the photometric galaxies in each cell.
    cells : redshifts of the spectra in the cells.
    grid : the lattice.
    least : spectra that a cell needs.
    photometric : (cells,) mean photometric redshift of the galaxies in each cell, where there is one: a cell whose
        spectra are further away than ``disagreement`` is flagged.
    broadest : largest scatter in units of 1 + z; None for any.

    Returns
    -------
    QTable
        A row a cell: ``cell``, ``row``, ``column``, ``galaxies``, ``spectra``, ``mean_z``, ``median_z``, ``scatter``,
        ``bimodal``, ``trusted`` and ``reason``. A bimodal cell is flagged and stays trusted.
    """
    from astropy.table import QTable

    reason = np.full(grid.cells, "", dtype="U48")
    if photometric is not None:
        far = np.abs(cells.mean - photometric) > disagreement
        reason[far] = "spectra and photometric redshifts disagree"
    if broadest is not None:
        reason[cells.scatter > broadest * (1.0 + np.nan_to_num(cells.mean))] = "redshifts too broad"
    reason[cells.spectra < least] = "no spectra" if least == 1 else f"fewer than {least} spectra"
    reason[cells.spectra == 0] = "no spectra"
    reason[np.asarray(galaxies) == 0] = "no galaxies"
    row, column = np.divmod(np.arange(grid.cells), grid.columns)
    return QTable(
        {
            "cell": np.arange(grid.cells), "row": row, "column": column, "galaxies": np.asarray(galaxies, dtype=float),
            "spectra": cells.spectra, "mean_z": cells.mean, "median_z": cells.median, "scatter": cells.scatter,
            "bimodal": cells.bimodal, "trusted": reason == "", "reason": reason,
        }
    )  # fmt: skip
