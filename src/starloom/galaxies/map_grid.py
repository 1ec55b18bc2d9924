"""The lattice of a map: where its cells are, how far apart, and sums over neighborhoods in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from starloom.errors import ConfigError

Array = NDArray[np.float64]
HEXAGON_HEIGHT = math.sqrt(0.75)
MOST_CELLS = 4_000_000


@dataclass(frozen=True)
class Grid:
    """Cells of a map in rows and columns; cell ``k`` is in row ``k // columns`` and column ``k % columns``.

    Parameters
    ----------
    rows, columns : size.
    topology : ``planar``, or ``toroidal`` with opposite edges joined.
    lattice : ``rectangular``, or ``hexagonal`` with odd rows moved by half a cell; neighbors are 1 apart in both.

    Raises
    ------
    ConfigError
        When a side is not positive, there is one cell only, or a hexagonal torus has an odd number of rows.

    Examples
    --------
    >>> Grid(75, 150).cells
    11250
    """

    rows: int = 75
    columns: int = 150
    topology: Literal["planar", "toroidal"] = "planar"
    lattice: Literal["rectangular", "hexagonal"] = "rectangular"

    def __post_init__(self) -> None:
        if self.rows < 1 or self.columns < 1 or self.cells < 2:
            raise ConfigError(f"a map needs at least two cells, not {self.rows} x {self.columns}")
        if self.cells > MOST_CELLS:
            raise ConfigError(f"a map of {self.rows} x {self.columns} cells is larger than {MOST_CELLS:,} cells")
        if self.topology not in ("planar", "toroidal"):
            raise ConfigError(f"the topology of a map is planar or toroidal, not {self.topology!r}")
        if self.lattice not in ("rectangular", "hexagonal"):
            raise ConfigError(f"the lattice of a map is rectangular or hexagonal, not {self.lattice!r}")
        if self.hexagonal and self.toroidal and self.rows % 2:
            raise ConfigError(f"a hexagonal torus needs an even number of rows, not {self.rows}")

    @property
    def cells(self) -> int:
        """Number of cells."""
        return self.rows * self.columns

    @property
    def toroidal(self) -> bool:
        """Whether opposite edges are joined."""
        return self.topology == "toroidal"

    @property
    def hexagonal(self) -> bool:
        """Whether odd rows are moved by half a cell."""
        return self.lattice == "hexagonal"

    @property
    def shorter_side(self) -> int:
        """Number of cells along the shorter side."""
        return min(self.rows, self.columns)

    @property
    def row_height(self) -> float:
        """Distance between rows, in cells."""
        return HEXAGON_HEIGHT if self.hexagonal else 1.0

    def positions(self) -> Array:
        """Place (x along columns, y along rows) of each cell, shape (cells, 2), in cells."""
        row, column = np.divmod(np.arange(self.cells), self.columns)
        shift = 0.5 * (row % 2) if self.hexagonal else 0.0
        return np.stack([column + shift, row * self.row_height], axis=1)

    def distances(self, first: Any, second: Any) -> Array:
        """Distance between cells, in cells; the shapes broadcast.

        Examples
        --------
        >>> float(Grid(4, 10, "toroidal").distances(0, 9))
        1.0
        """
        place = self.positions()
        apart = np.abs(place[np.asarray(first)] - place[np.asarray(second)])
        if self.toroidal:
            size = np.array([self.columns, self.rows * self.row_height])
            apart = np.minimum(apart, size - apart)
        return np.asarray(np.hypot(apart[..., 0], apart[..., 1]))

    def neighbors(self) -> NDArray[np.int64]:
        """Cells that touch each cell (8, or 6 on a hexagonal lattice), shape (cells, 8); -1 where there is none."""
        row, column = np.divmod(np.arange(self.cells), self.columns)
        found = np.full((self.cells, 8), -1, dtype=np.int64)
        if self.hexagonal:
            odd = row % 2
            steps = [(0, -1), (0, 1)] + [(dr, side) for dr in (-1, 1) for side in (0, 1)]
        else:
            odd = np.zeros_like(row)
            steps = [(dr, dc) for dr in (-1, 0, 1) for dc in (-1, 0, 1) if (dr, dc) != (0, 0)]
        for k, (dr, dc) in enumerate(steps):
            # between a row and the next the two hexagons that touch are at column + odd - 1 and column + odd
            shift = dc + odd - 1 if self.hexagonal and dr else dc
            r, c = row + dr, column + shift
            if self.toroidal:
                r, c = r % self.rows, c % self.columns
                good = r * self.columns + c != np.arange(self.cells)
            else:
                good = (r >= 0) & (r < self.rows) & (c >= 0) & (c < self.columns)
            found[good, k] = (r * self.columns + c)[good]
        return found

    def touch(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each pair of cells is one cell or two that touch."""
        return np.asarray((self.neighbors()[first] == second[:, None]).any(axis=1) | (first == second))

    def _axis(self, size: int, shift: float, spacing: float) -> Array:
        apart = np.arange(size)[:, None] - np.arange(size)[None, :] + shift
        if self.toroidal:
            apart = (apart + size / 2) % size - size / 2
        return np.asarray(apart * spacing, dtype=np.float64)

    def neighborhood_sums(self, planes: Array, width: float) -> Array:
        """Sum over all cells j of ``exp(-D_kj^2 / width^2) planes[:, j]`` for each cell k, shape as ``planes``.

        On a lattice the kernel is a product of one along rows and one along columns, so the sum over all pairs of
        cells is two small matrix products (for hexagons: for each pair of row parities).

        Parameters
        ----------
        planes : (p, cells).
        width : in cells; 0 leaves the planes as they are.
        """
        if width <= 0:
            return planes.copy()
        field = planes.reshape(-1, self.rows, self.columns)
        along_rows = np.exp(-((self._axis(self.rows, 0.0, self.row_height) / width) ** 2))
        result = np.zeros_like(field)
        classes = (0, 1) if self.hexagonal else (0,)
        for to in classes:
            for of in classes:
                here, there = (slice(to, None, len(classes)), slice(of, None, len(classes)))
                kernel = np.exp(-((self._axis(self.columns, 0.5 * (to - of), 1.0) / width) ** 2))
                result[:, here] += along_rows[here, there] @ (field[:, there] @ kernel.T)
        return result.reshape(planes.shape)
