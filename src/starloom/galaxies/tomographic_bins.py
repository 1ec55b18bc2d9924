"""Tomographic bins made of whole cells of a map, by the redshifts that some of the spectra give their galaxies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from starloom.galaxies.point_redshifts import PointRedshifts
from starloom.galaxies.redshift_calibration import bins_of_cells

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.galaxies.self_organizing_map import FittedSOM

Array = NDArray[np.float64]


def bins_by_redshift(
    fitted: FittedSOM,
    spectra: QTable,
    redshift: Array,
    galaxies: QTable,
    edges: Sequence[float] | int,
    *,
    workers: int = 1,
) -> NDArray[np.int64]:
    """Bin of each cell by the mean redshift that the map gives its galaxies, shape (cells,); -1 for none.

    The spectra that make the bins must not calibrate them: a cell that is in a bin because its few spectra came out
    high has a mean that is too high, and every bin's edges select such cells. Give one half of the spectra here and
    the other to ``calibrate``.

    Parameters
    ----------
    fitted : the map.
    spectra, redshift : one half of the spectra.
    galaxies : the photometric galaxies.
    edges : edges of the bins, or a number of bins with as many galaxies in each.
    workers : threads.
    """
    found = PointRedshifts.of(fitted, spectra, redshift).predict(galaxies, workers=workers)
    z, cell = np.asarray(found["z_map"]), np.asarray(found["cell"])
    good = np.isfinite(z)
    count = np.bincount(cell[good], minlength=fitted.grid.cells)
    total = np.bincount(cell[good], z[good], minlength=fitted.grid.cells)
    mean = np.divide(total, count, out=np.full(fitted.grid.cells, np.nan), where=count > 0)
    if isinstance(edges, int):
        inner = np.unique(np.quantile(z[good], np.arange(1, edges) / edges))
        edges = [-1.0, *inner.tolist(), np.inf]
    return bins_of_cells(mean, edges)
