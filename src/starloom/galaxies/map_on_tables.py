"""What the command line does with maps and files: train on a sample, assign tables of any size, calibrate, plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from starloom.errors import CatalogError, ConfigError
from starloom.galaxies import redshift_calibration as calibration
from starloom.galaxies import spectroscopy_plan as planning
from starloom.galaxies.redshifts import CellRedshifts
from starloom.galaxies.tomographic_bins import bins_by_redshift
from starloom.seeds import generator

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.galaxies.photometric_features import Features
    from starloom.galaxies.self_organizing_map import FittedSOM

Array = NDArray[np.float64]
BATCH = 200_000  # rows read at once


def training_rows(path: str | Path, features: Features, most: int, seed: int) -> QTable:
    """Rows of a table to train on: all of them, or ``most`` drawn at random in one pass over a Parquet table.

    Only the columns of the features are read. Which rows are drawn does not depend on the size of the batches.
    """
    from astropy.table import vstack

    from starloom.catalog.partitions import iterate
    from starloom.catalog.tables import read_table

    if most < 1:
        raise ConfigError(f"a map is trained on at least one row, not {most}")
    rng, kept, keys = generator(seed), None, np.empty(0)
    batches = iterate(path, columns=features.columns, rows=BATCH) if _in_parts(path) else None
    for batch in batches if batches is not None else [read_table(path, columns=features.columns)]:
        drawn = rng.random(len(batch))
        kept = batch if kept is None else vstack([kept, batch])
        keys = np.concatenate([keys, drawn])
        if len(keys) > most:
            chosen = np.sort(np.argpartition(keys, most)[:most])
            kept, keys = kept[chosen], keys[chosen]
    if kept is None or not len(kept):
        raise CatalogError(f"{path} has no rows")
    kept.meta.clear()
    return kept


def assign_file(
    fitted: FittedSOM,
    path: str | Path,
    out: str | Path,
    *,
    columns: Sequence[str] | None = None,
    workers: int = 1,
) -> int:
    """Write a table with the cell of each row; a Parquet table may be larger than memory.

    Parameters
    ----------
    fitted : the map.
    path : a table of any kind, or a folder of Parquet files.
    out : the file to write.
    columns : columns of the table to keep beside those of the map; all by default.
    workers : threads for each batch.

    Returns
    -------
    int
        Number of rows written.
    """
    from starloom.catalog import row_jobs

    wanted = None if columns is None else list(dict.fromkeys([*columns, *fitted.features.columns]))
    if _in_parts(path) and Path(out).suffix.lower() not in (".parquet", ".pq", ".hats"):
        raise CatalogError(f"{out}: a table that is read in parts is written as Parquet; name it .parquet")
    job = AssignJob(fitted, None if columns is None else tuple(columns), workers)
    return row_jobs.run(job, path, out, columns=wanted, rows=BATCH).rows


@dataclass(frozen=True)
class AssignJob:
    """Cells of some rows of a table: the map, the columns to keep (None: all), threads."""

    fitted: FittedSOM
    columns: tuple[str, ...] | None
    workers: int

    def __call__(self, batch: QTable, first: int) -> QTable:
        """The rows with their cells."""
        found = self.fitted.predict(batch, workers=self.workers)
        if self.columns is not None:
            found.keep_columns([*self.columns, *(name for name in found.colnames if name not in batch.colnames)])
        return found


def _in_parts(path: str | Path) -> bool:
    return Path(path).is_dir() or Path(path).suffix.lower() in (".parquet", ".pq")


@dataclass(frozen=True)
class Calibrated:
    """Bins, cells and n(z) of a photometric table, and what a plan needs besides.

    Parameters
    ----------
    bins, cells, distributions : see ``redshift_calibration``.
    cell, bin : (n,) of the photometric galaxies.
    redshifts : of the cells, from all spectra.
    sample : the photometric galaxies on the map.
    """

    bins: QTable
    cells: QTable
    distributions: QTable
    cell: NDArray[np.int64]
    bin: NDArray[np.int64]
    redshifts: CellRedshifts
    sample: calibration.PhotometricSample


def calibrate_tables(
    fitted: FittedSOM,
    photometry: QTable,
    spectra: QTable,
    *,
    redshift: str,
    bins: str | Sequence[float],
    weight: str | None = None,
    patch: str | None = None,
    requirement: float = calibration.REQUIREMENT,
    seed: int = 1,
    workers: int = 1,
) -> Calibrated:
    """Calibrate a photometric table with a table of spectra.

    Parameters
    ----------
    fitted : a map on whose features both tables can be placed.
    photometry, spectra : tables with the map's columns.
    redshift : column of the spectra; what is missing, not positive or a fill value (9.99 far above all others) is a
        spectrum that gave none.
    bins : column of the photometric table that holds each galaxy's bin (integers, negative for none), or edges in
        redshift. With edges, one half of the spectra, drawn at random, decides which cells make a bin, and the other
        half calibrates it.
    weight : column of the galaxies' weights.
    patch : column of the spectra that says in which field each was taken, for the sample variance.
    requirement : error wanted of each mean, in units of 1 + z.
    seed : of the halves.
    workers : threads.
    """
    from starloom.catalog.arrow_tables import require_names
    from starloom.catalog.fill_values import fill_values
    from starloom.catalog.schema import plain, require_rows
    from starloom.progress import say

    require_rows(photometry, "the photometric table")
    require_rows(spectra, "the table of spectra")
    require_names([redshift, *([patch] if patch else [])], spectra.colnames, "the table of spectra")
    for table, label in ((photometry, "the photometric table"), (spectra, "the table of spectra")):
        require_names(fitted.features.columns, table.colnames, label)
    z = plain(spectra, redshift)
    z[~(z > 0)] = np.nan
    for fill in fill_values(z):  # 9.99 where there is none
        say(f"redshifts: {fill:g} in {int((z == fill).sum())} spectra is taken as none")
        z[z == fill] = np.nan
    cell, place = fitted.assign(photometry, workers=workers), fitted.assign(spectra, workers=workers)
    fields = None if patch is None else np.unique(np.asarray(spectra[patch]), return_inverse=True)[1]
    whole = calibration.Spectra(place, z, fields, fitted.features.of(spectra).values)
    redshifts = CellRedshifts.of(place, z, fitted.grid)
    if isinstance(bins, str):
        require_names([bins], photometry.colnames, "the photometric table")
        values = plain(photometry, bins)
        number = np.where(np.isfinite(values) & (values >= 0), values, -1.0)
        if (number != np.round(number)).any() or number.max(initial=-1.0) > 10_000:
            raise CatalogError(f"the column '{bins}' holds bins: whole numbers from 0 on, negative or missing for none")
        number, part = number.astype(np.int64), whole
    else:
        half = generator(seed).permutation(len(z)) % 2 == 0
        of_cell = bins_by_redshift(fitted, spectra[half], z[half], photometry, bins, workers=workers)
        number, part = np.where(cell >= 0, of_cell[cell], -1), whole.part(~half)
    sample = calibration.PhotometricSample(
        cell, number, None if weight is None else plain(photometry, weight), fitted.features.of(photometry).values
    )
    counts = np.bincount(cell[cell >= 0], minlength=fitted.grid.cells).astype(np.float64)
    used = CellRedshifts.of(part.cell, part.redshift, fitted.grid)
    found = calibration.calibrate(sample, part, fitted.grid, cells=used, requirement=requirement)
    top = float(np.nanmax(part.redshift)) if np.isfinite(part.redshift).any() else 1.0
    edges = np.arange(0.0, np.ceil(top / 0.05) * 0.05 + 0.075, 0.05)
    distributions = calibration.redshift_distributions(sample, part, fitted.grid, edges, seed=seed)
    cover = calibration.coverage(counts, redshifts, fitted.grid)
    return Calibrated(found, cover, distributions, cell, number, redshifts, sample)


def plan_targets(
    fitted: FittedSOM,
    photometry: QTable,
    calibrated: Calibrated,
    *,
    requirement: float = calibration.REQUIREMENT,
    success: float = 1.0,
    most: int = 10_000_000,
    seed: int = 1,
) -> tuple[QTable, QTable]:
    """How many spectra each bin still needs, and a target list.

    Returns
    -------
    QTable, QTable
        A row a bin: ``bin``, ``mean_z``, ``existing``, ``new``, ``error``, ``required``, ``reachable``, ``left_out``,
        ``remark``; and the targets (see ``spectroscopy_plan.targets``).
    """
    from astropy.table import QTable

    rows: list[dict[str, Any]] = []
    cells = fitted.grid.cells
    new, value = np.zeros(cells, dtype=np.int64), np.zeros(cells)
    redshifts = calibrated.redshifts
    available = np.bincount(calibrated.cell[calibrated.cell >= 0], minlength=cells)
    for row in calibrated.bins:
        counts = calibrated.sample.counts(int(row["bin"]), cells)
        if not (counts > 0).any():
            continue
        covered = counts * (redshifts.spectra > 0)
        mean = float((covered * np.nan_to_num(redshifts.mean)).sum() / covered.sum()) if covered.any() else np.nan
        plan = planning.spectra_needed(
            counts, redshifts.scatter, mean if np.isfinite(mean) else 0.0, requirement=requirement,
            existing=redshifts.spectra, available=available, most=most,
        )  # fmt: skip
        inside = counts > 0
        new = np.maximum(new, np.where(inside, plan.new, 0))
        share = counts / counts.sum()
        value = np.maximum(value, planning.worth(share, redshifts.scatter) / np.maximum(redshifts.spectra, 1))
        rows.append(
            {
                "bin": int(row["bin"]), "mean_z": mean, "existing": int(redshifts.spectra[inside].sum()),
                "new": int(plan.new[inside].sum()), "error": plan.error, "required": plan.required,
                "reachable": plan.reachable, "left_out": plan.left_out, "remark": plan.remark,
            }
        )  # fmt: skip
    if not rows:
        raise CatalogError("no bin holds a galaxy; look at the edges of the bins and at the redshifts of the spectra")
    listed = planning.targets(photometry, calibrated.cell, new, value, success=success, seed=seed)
    return QTable({name: [row[name] for row in rows] for name in rows[0]}), listed
