from __future__ import annotations

import numpy as np
import pytest

from starloom.errors import ConfigError
from starloom.galaxies.map_grid import Grid

KINDS = [
    (topology, lattice) for topology in ("planar", "toroidal") for lattice in ("rectangular", "hexagonal")
]  # fmt: skip


@pytest.mark.parametrize(("topology", "lattice"), KINDS)
@pytest.mark.parametrize("width", [0.4, 1.7, 30.0])
def test_neighborhood_sums_are_the_sums_over_all_pairs(topology, lattice, width):
    grid = Grid(6, 9, topology, lattice)
    planes = np.random.default_rng(3).normal(size=(4, grid.cells))
    place = np.arange(grid.cells)
    if topology == "planar" or lattice == "rectangular":
        apart = grid.distances(place[:, None], place[None, :])
    else:
        apart = torus_of_hexagons(grid)
    wanted = planes @ np.exp(-((apart / width) ** 2)).T
    np.testing.assert_allclose(grid.neighborhood_sums(planes, width), wanted, rtol=1e-12, atol=1e-12)


def torus_of_hexagons(grid):
    """Distances with the nearest of the nine copies of each cell."""
    place = grid.positions()
    size = np.array([grid.columns, grid.rows * grid.row_height])
    copies = [np.hypot(*np.moveaxis(place[:, None] - place[None] + size * np.array(shift), -1, 0))
              for shift in np.ndindex(3, 3) for shift in [np.array(shift) - 1]]  # fmt: skip
    return np.min(copies, axis=0)


@pytest.mark.parametrize(("topology", "lattice"), KINDS)
def test_neighbors_are_the_cells_that_touch(topology, lattice):
    grid = Grid(6, 8, topology, lattice)
    near = 1.01 if lattice == "hexagonal" else 1.5
    apart = torus_of_hexagons(grid) if topology == "toroidal" else grid.distances(*np.ix_(range(48), range(48)))
    for cell, found in enumerate(grid.neighbors()):
        assert set(found[found >= 0]) == set(np.flatnonzero((apart[cell] < near) & (apart[cell] > 0)))


def test_touch_knows_a_cell_from_itself_and_from_far_ones():
    grid = Grid(5, 5)
    assert grid.touch(np.array([0, 0, 0, 12]), np.array([0, 6, 2, 13])).tolist() == [True, True, False, True]


@pytest.mark.parametrize("sides", [(0, 5), (1, 1), (3, -2), (5000, 5000)])
def test_sides_that_make_no_map(sides):
    with pytest.raises(ConfigError, match="map"):
        Grid(*sides)


def test_a_hexagonal_torus_needs_even_rows():
    with pytest.raises(ConfigError, match="even"):
        Grid(5, 6, "toroidal", "hexagonal")
    with pytest.raises(ConfigError, match="topology"):
        Grid(5, 6, "sphere")
