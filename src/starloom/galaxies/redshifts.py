"""What the spectra in each cell of a map say: its redshift distribution, how far to trust it, and which cells not to.

A cell's mean redshift needs one spectrum, its scatter several. So the scatter of a cell is shrunk towards that of its
surroundings on the map: with nu degrees of freedom of its own and a prior worth ``PRIOR`` more,

    s_i^2 = (PRIOR tau_i^2 + sum (z - mean_i)^2) / (PRIOR + nu_i),

tau_i^2 being the pooled scatter within the cells of the neighborhood.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starloom.errors import CatalogError
from starloom.galaxies.map_grid import Grid

Array = NDArray[np.float64]
PRIOR = 3.0
NEIGHBORHOOD = 2.0  # cells, width of the neighborhood that lends its scatter
LEAST_SCATTER = 1e-4
GAP = 0.15  # in 1 + z: a cell whose spectra fall into two groups further apart is bimodal


@dataclass(frozen=True)
class CellRedshifts:
    """Redshifts of the spectra in each cell, all arrays of shape (cells,).

    Parameters
    ----------
    spectra : number of spectra.
    mean, median : of their redshifts; NaN without spectra.
    scatter : s_i, shrunk towards the surroundings; never NaN where any cell has two spectra.
    own_scatter : standard deviation of the cell's own spectra; NaN with fewer than two.
    bimodal : the spectra fall into two groups far apart.
    """

    spectra: NDArray[np.int64]
    mean: Array
    median: Array
    scatter: Array
    own_scatter: Array
    bimodal: NDArray[np.bool_]

    @classmethod
    def of(cls, cell: NDArray[np.int64], redshift: Array, grid: Grid, *, typical: float = 0.05) -> CellRedshifts:
        """Collect the spectra of each cell.

        Parameters
        ----------
        cell : (n,) cell of each spectrum; -1 is left out.
        redshift : (n,) redshifts; rows that are not finite are left out.
        grid : the map's lattice.
        typical : scatter in units of 1 + z assumed where no cell of the map has two spectra.

        Raises
        ------
        CatalogError
            When no spectrum has both a cell and a redshift.

        Examples
        --------
        >>> found = CellRedshifts.of(np.array([0, 0, 3]), np.array([0.5, 0.7, 1.0]), Grid(2, 2))
        >>> found.spectra.tolist(), found.mean.round(2).tolist()
        ([2, 0, 0, 1], [0.6, nan, nan, 1.0])
        """
        cell, redshift = usable(cell, redshift)
        if not len(cell):
            raise CatalogError("no spectrum has both a cell of the map and a redshift")
        count = np.bincount(cell, minlength=grid.cells)
        total = np.bincount(cell, redshift, minlength=grid.cells)
        mean = np.divide(total, count, out=np.full(grid.cells, np.nan), where=count > 0)
        squares = np.bincount(cell, (redshift - mean[cell]) ** 2, minlength=grid.cells)
        freedom = np.maximum(count - 1, 0).astype(np.float64)
        own = np.sqrt(np.divide(squares, freedom, out=np.full(grid.cells, np.nan), where=freedom > 0))
        stretch = 1.0 + np.where(np.isfinite(mean), mean, redshift.mean())
        around = _surroundings(squares / stretch**2, freedom, grid, typical) * stretch**2
        scatter = np.sqrt((PRIOR * around + squares) / (PRIOR + freedom))
        median, bimodal = _medians(cell, redshift, grid.cells)
        return cls(count, mean, median, np.maximum(scatter, LEAST_SCATTER), own, bimodal)


def usable(cell: Any, redshift: Any) -> tuple[NDArray[np.int64], Array]:
    """The spectra that have a cell and a finite redshift, in their order."""
    place, z = np.asarray(cell, dtype=np.int64), np.asarray(redshift, dtype=np.float64)
    if place.shape != z.shape or place.ndim != 1:
        raise CatalogError(f"cells of shape {place.shape} and redshifts of shape {z.shape} do not belong together")
    good = (place >= 0) & np.isfinite(z)
    return place[good], z[good]


def _surroundings(squares: Array, freedom: Array, grid: Grid, typical: float) -> Array:
    """Pooled variance (in 1 + z) of the cells around each cell, itself shrunk towards that of the whole map."""
    whole = squares.sum() / freedom.sum() if freedom.sum() > 0 else typical**2
    near = grid.neighborhood_sums(np.stack([squares, freedom]), NEIGHBORHOOD)
    return np.asarray((near[0] + PRIOR * whole) / (near[1] + PRIOR))


def _medians(cell: NDArray[np.int64], redshift: Array, cells: int) -> tuple[Array, NDArray[np.bool_]]:
    median, bimodal = np.full(cells, np.nan), np.zeros(cells, dtype=bool)
    order = np.lexsort((redshift, cell))
    places, starts = np.unique(cell[order], return_index=True)
    for place, z in zip(places, np.split(redshift[order], starts[1:]), strict=True):
        median[place] = np.median(z)
        bimodal[place] = two_groups(z)
    return median, bimodal


def two_groups(redshift: Array) -> bool:
    """Whether sorted redshifts fall into two groups, each of two or more and of a tenth, far apart.

    The gap between them is more than 0.15 (1 + z), and more than three times the scatter within the groups.

    Examples
    --------
    >>> two_groups(np.array([0.30, 0.31, 2.4, 2.45])), two_groups(np.array([0.30, 0.31, 0.35, 2.4]))
    (True, False)
    """
    least = max(2, int(np.ceil(0.1 * len(redshift))))
    if len(redshift) < 2 * least:
        return False
    gaps = np.diff(redshift)[least - 1 : len(redshift) - least]
    cut = int(gaps.argmax()) + least
    low, high = redshift[:cut], redshift[cut:]
    within = np.sqrt((low.var() * len(low) + high.var() * len(high)) / len(redshift))
    return bool(gaps.max() > max(GAP * (1.0 + np.median(redshift)), 3.0 * within))
