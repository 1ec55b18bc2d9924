"""Bins of a catalog: along a quantity, on the sky, and in groups from coarse to fine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.catalog.schema import plain
from starloom.errors import ConfigError

if TYPE_CHECKING:
    from astropy.table import QTable

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Axis:
    """Bins along one quantity of the catalog.

    Parameters
    ----------
    column : its name in the table; ``first-second`` is the difference of two columns.
    edges : (n + 1,) growing; a bin holds its low edge and not its high one.
    """

    column: str
    edges: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "edges", tuple(float(edge) for edge in self.edges))
        if len(self.edges) < 2 or not np.isfinite(self.edges).all() or not (np.diff(self.edges) > 0).all():
            raise ConfigError(f"the axis {self.column!r} needs two or more finite edges that grow, got {self.edges}")

    @property
    def bins(self) -> int:
        """Number of bins."""
        return len(self.edges) - 1

    def values(self, table: QTable) -> Floats:
        """The quantity (n,), NaN where missing."""
        if self.column in table.colnames or "-" not in self.column:
            return plain(table, self.column)
        first, second = (part.strip() for part in self.column.split("-", 1))
        return plain(table, first) - plain(table, second)

    def place(self, values: ArrayLike) -> NDArray[np.int64]:
        """Bin of each value; -1 outside all bins and where missing."""
        numbers = np.asarray(values, dtype=np.float64)
        index = np.searchsorted(self.edges, numbers, side="right") - 1
        return np.where(np.isfinite(numbers) & (index >= 0) & (index < self.bins), index, -1)


def levels_of(
    shape: tuple[int, int, int], nside: int
) -> tuple[list[NDArray[np.int64]], dict[int, list[NDArray[np.int64]]]]:
    """Groups of bins from coarse to fine: each magnitude; each magnitude and color; then finer and finer sky.

    Before the sky, what each pixel (of growing order) does to all magnitudes and colors alike.
    """
    sky, bright, red = shape
    pixel, magnitude, color = np.unravel_index(np.arange(sky * bright * red), shape)
    levels: list[NDArray[np.int64]] = [magnitude]
    if red > 1:
        levels.append(magnitude * red + color)
    if not nside:
        return levels, {}
    order = int(np.log2(nside))
    shifts = {len(levels): [pixel >> (2 * (order - depth)) for depth in range(order + 1)]}
    for depth in range(order):
        larger = pixel >> (2 * (order - depth))
        levels.append((larger * bright + magnitude) * red + color)
    return levels, shifts


def galactic_of(table: QTable) -> tuple[Floats, Floats]:
    """Galactic longitude and latitude (deg) of the rows, (n,) each, from ``ra`` and ``dec`` where there are none."""
    if {"l", "b"} <= set(table.colnames):
        return plain(table, "l", "deg"), plain(table, "b", "deg")
    import astropy.units as u
    from astropy.coordinates import SkyCoord

    ra, dec = plain(table, "ra", "deg"), plain(table, "dec", "deg")
    known = np.isfinite(ra) & np.isfinite(dec) & (np.abs(dec) <= 90.0)
    sky = SkyCoord(np.where(known, ra, 0.0) * u.deg, np.where(known, dec, 0.0) * u.deg).galactic
    return np.where(known, sky.l.deg, np.nan), np.where(known, sky.b.deg, np.nan)
