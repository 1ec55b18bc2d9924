"""How well a map fits its galaxies: quantization error, topographic error, occupation."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from starloom.galaxies.map_grid import Grid
from starloom.galaxies.map_search import NearestCells


@dataclass(frozen=True)
class Quality:
    """Measures of a map on a sample.

    Parameters
    ----------
    quantization_error : mean distance of a galaxy from its nearest cell, in the map's scaled features, or in sigma;
        with features missing, the squared distance over those measured is scaled up to all.
    topographic_error : share of galaxies whose two nearest cells do not touch.
    cells_occupied : cells that are nearest to some galaxy.
    most_in_a_cell : galaxies in the fullest cell.
    galaxies : how many were measured.
    """

    quantization_error: float
    topographic_error: float
    cells_occupied: int
    most_in_a_cell: int
    galaxies: int

    def as_json(self) -> dict[str, float]:
        """The measures by name."""
        return asdict(self)


def measure(
    cells: NDArray[np.float64],
    grid: Grid,
    values: NDArray[np.float64],
    inverse: NDArray[np.float64] | None = None,
    *,
    workers: int = 1,
) -> Quality:
    """Measure a map on galaxies in its scaled space; see ``map_training.ScaledGalaxies`` for the arrays."""
    nearest, squared, second = NearestCells(cells).find(values, inverse, workers=workers, second=True)
    assert second is not None
    used = np.full(len(values), values.shape[1]) if inverse is None else (inverse > 0).sum(axis=1)
    counts = np.bincount(nearest, minlength=grid.cells)
    distance = np.sqrt(squared * values.shape[1] / np.maximum(used, 1))
    return Quality(
        quantization_error=float(distance.mean()),
        topographic_error=float(1.0 - grid.touch(nearest, second).mean()),
        cells_occupied=int((counts > 0).sum()),
        most_in_a_cell=int(counts.max()),
        galaxies=len(values),
    )
