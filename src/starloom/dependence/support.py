"""Where rows lie in their covariates: how many stand behind a value of a map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

BINS = {1: 400, 2: 120, 3: 40}
WINDOW = {1: 0.05, 2: 0.05, 3: 0.1}  # half width of the window, of the central 99 % of each covariate


@dataclass(frozen=True)
class Support:
    """Effective numbers of rows in a window around places.

    The window reaches 5 % (for three covariates 10 %) of the central 99 % of each covariate to either
    side. Of weighted rows Kish's effective number counts. For more covariates there is no window: the count is that
    of all rows inside the box of the data, and zero outside.

    Parameters
    ----------
    low, width : (d,) where the bins begin, and how wide they are.
    total, squares : weights and squared weights in the bins, summed over the window.
    box : (2, d) least and greatest value of each covariate.
    """

    low: Floats
    width: Floats
    total: Floats
    squares: Floats
    box: Floats

    @property
    def dimensions(self) -> int:
        """Number of covariates."""
        return len(self.low)

    @classmethod
    def of(cls, z: Floats, weights: Floats) -> Support:
        """Count rows, shapes (n, d) and (n,)."""
        from scipy.ndimage import uniform_filter1d

        dimensions = z.shape[1]
        box = np.array([z.min(axis=0), z.max(axis=0)])
        if dimensions not in BINS:
            everything = np.array([weights.sum()]), np.array([(weights**2).sum()])
            return cls(box[0], np.ones(dimensions), *everything, box)
        ends = np.quantile(z, [0.005, 0.995], axis=0)
        reach = np.where(ends[1] > ends[0], ends[1] - ends[0], 1.0)
        bins, half = BINS[dimensions], WINDOW[dimensions]
        # the bins reach beyond the central rows by as much as the window, so that it can run empty there
        low = np.maximum(box[0], ends[0] - 0.5 * reach)
        high = np.minimum(box[1], ends[1] + 0.5 * reach)
        width = np.where(high > low, high - low, 1.0) / bins
        place = np.floor((z - low) / width).astype(np.int64)
        inside = ((place >= 0) & (place <= bins)).all(axis=1)
        flat = np.ravel_multi_index(tuple(np.clip(place[inside], 0, bins - 1).T), (bins,) * dimensions)
        grids = []
        for values in (weights, weights**2):
            grid = np.bincount(flat, values[inside], minlength=bins**dimensions).reshape((bins,) * dimensions)
            for axis in range(dimensions):
                cells = max(1, 2 * round(half * reach[axis] / width[axis]) + 1)
                grid = uniform_filter1d(grid, cells, axis=axis, mode="constant") * cells
            grids.append(np.maximum(grid, 0.0))
        return cls(low, width, grids[0], grids[1], box)

    def counts(self, z: Floats) -> Floats:
        """Effective numbers of rows around places, shape (n, d); 0 outside of the data, NaN never."""
        inside = (z >= self.box[0]).all(axis=1) & (z <= self.box[1]).all(axis=1)
        if self.dimensions not in BINS:
            return np.where(inside, self.total[0] ** 2 / max(float(self.squares[0]), 1e-300), 0.0)
        place = np.floor((np.where(np.isfinite(z), z, -np.inf) - self.low) / self.width)
        bins = self.total.shape[0]
        inside &= ((place >= 0) & (place <= bins)).all(axis=1)
        index = tuple(np.clip(np.where(inside[:, None], place, 0), 0, bins - 1).astype(np.int64).T)
        total, squares = self.total[index], self.squares[index]
        return np.where(inside & (squares > 1e-12), total**2 / np.maximum(squares, 1e-12), 0.0)
