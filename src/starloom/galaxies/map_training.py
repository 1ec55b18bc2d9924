"""Training of a map: where the cells begin, online steps in chunks, batch passes as sums over neighborhoods."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from starloom import progress
from starloom.galaxies.map_grid import Grid
from starloom.galaxies.map_kernels import online
from starloom.galaxies.map_schedules import Schedule
from starloom.galaxies.map_search import NearestCells

Array = NDArray[np.float64]
CHUNK = 50_000  # online steps between two looks at the keyboard


@dataclass(frozen=True)
class ScaledGalaxies:
    """Galaxies in the scaled space of the map, ready for the loops.

    Parameters
    ----------
    values : (n, features); 0 where missing.
    inverse : (n, features) weight of each feature in the distance, 0 where missing; None for 1 throughout.
    weights : (n,) how much a galaxy counts; None for 1 throughout.
    with_errors : whether ``inverse`` are inverse variances, or only 1 and 0.
    """

    values: Array
    inverse: Array | None = None
    weights: Array | None = None
    with_errors: bool = False

    @property
    def features(self) -> int:
        """Number of features."""
        return int(self.values.shape[1])


def first_cells(sample: ScaledGalaxies, grid: Grid, start: str, rng: np.random.Generator) -> Array:
    """Where the cells begin, shape (cells, features)."""
    n, features = sample.values.shape
    there = np.ones_like(sample.values, dtype=bool) if sample.inverse is None else sample.inverse > 0
    if start == "sample":
        drawn = rng.choice(n, grid.cells, replace=True, p=_probability(sample.weights))
        return np.asarray(sample.values[drawn] + 0.01 * rng.standard_normal((grid.cells, features)))
    low, high = np.zeros(features), np.zeros(features)
    for f in np.flatnonzero(there.any(axis=0)):
        seen = sample.values[there[:, f], f]
        low[f], high[f] = seen.min(), seen.max()
    if start == "uniform":
        return np.asarray(rng.uniform(size=(grid.cells, features)) * (high - low) + low)
    # the plane of the two principal components, along the sides of the map; missing values stand at 0, the mean
    covariance = np.cov(sample.values, rowvar=False).reshape(features, features) if n > 1 else np.eye(features)
    spread, axes = np.linalg.eigh(covariance)
    axes = axes[:, ::-1] * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(features)])[::-1]  # signs are arbitrary
    spread = np.sqrt(np.maximum(spread[::-1], 0.0))
    longer, shorter = axes[:, 0] * spread[0], axes[:, 1] * spread[1] if features > 1 else np.zeros(features)
    row, column = np.divmod(np.arange(grid.cells), grid.columns)
    across = [2.0 * (place + 0.5) / size - 1.0 for place, size in ((column, grid.columns), (row, grid.rows))]
    if grid.columns < grid.rows:
        across.reverse()
    plane = 2.0 * (across[0][:, None] * longer + across[1][:, None] * shorter)
    return np.asarray(plane + sample.values.mean(axis=0))


def train_online(
    sample: ScaledGalaxies, grid: Grid, schedule: Schedule, cells: Array, rng: np.random.Generator, *, precision: str
) -> Array:
    """Move the cells towards one galaxy after another; gives the cells, shape (cells, features).

    At step t a galaxy x is drawn, b is its nearest cell, and each cell k moves by ``a(t) exp(-D_bk^2 / w(t)^2)`` of
    its way to x (arXiv:1509.03318, section 3). Moves below the rounding of the numbers are left out.
    """
    kind = np.dtype(precision)
    n, features = sample.values.shape
    values = np.ascontiguousarray(sample.values, dtype=kind)
    inverse = np.ones_like(values) if sample.inverse is None else np.ascontiguousarray(_scaled(sample.inverse), kind)
    field = np.ascontiguousarray(cells.T.reshape(features, grid.rows, grid.columns), dtype=kind)
    steps = schedule.steps(n)
    least = kind.type(max(schedule.least, float(np.finfo(kind).eps) / 8.0))
    train, chance = online(), _probability(sample.weights)
    if chance is not None:
        ladder = np.cumsum(chance)
        ladder /= ladder[-1]
    with progress.bar("training the map", steps) as advance:
        left = np.empty(0, dtype=np.int64)
        for low in range(0, steps, CHUNK):
            part = slice(low, min(low + CHUNK, steps))
            count = part.stop - part.start
            if chance is not None:
                order = np.searchsorted(ladder, rng.random(count), side="right")
            elif schedule.draws == "replaced":
                order = rng.integers(n, size=count)
            else:
                while len(left) < count:
                    left = np.concatenate([left, rng.permutation(n)])
                order, left = left[:count], left[count:]
            rates, widths = schedule.courses(steps, grid.shorter_side, part)
            train(
                values, inverse, order.astype(np.int64), rates.astype(kind), widths.astype(kind), field,
                np.empty(count, dtype=np.int64), grid.toroidal, grid.hexagonal, grid.row_height, least,
            )  # fmt: skip
            advance(count)
    return np.ascontiguousarray(field.reshape(features, -1).T, dtype=np.float64)


def train_batch(sample: ScaledGalaxies, grid: Grid, schedule: Schedule, cells: Array, *, workers: int) -> Array:
    """Move all cells to the means of their neighborhoods, pass after pass; gives the cells, (cells, features).

    Each pass finds the nearest cell of every galaxy and then sets ``W_k = sum_j H_kj S_j / sum_j H_kj N_j`` with S_j
    and N_j the sums over the galaxies of cell j: the neighborhood sum is over cells, never over galaxies.
    """
    steps = schedule.steps(len(sample.values))
    rates, widths = schedule.courses(steps, grid.shorter_side)
    cells = cells.copy()
    with progress.bar("training the map", steps, "passes") as advance:
        for rate, width in zip(rates, widths, strict=True):
            nearest, _, _ = NearestCells(cells).find(sample.values, sample.inverse, workers=workers)
            sums, counts = cell_sums(sample, nearest, grid.cells)
            above = grid.neighborhood_sums(sums.T, width).T
            below = grid.neighborhood_sums(counts.T, width).T
            below = np.broadcast_to(below, above.shape)
            reached = below > 1e-9
            mean = np.divide(above, below, out=cells.copy(), where=reached)
            cells += rate * (mean - cells)
            advance()
    return cells


def cell_sums(sample: ScaledGalaxies, nearest: NDArray[np.int64], cells: int) -> tuple[Array, Array]:
    """Sums of the features over each cell (cells, features), and of the weights: (cells, 1), or a feature each.

    Summed in the order of the rows on one thread, in float64, so that the result is one.
    """
    weight = np.ones(len(nearest)) if sample.weights is None else sample.weights
    if sample.inverse is None:
        counts: Array = np.bincount(nearest, weight, minlength=cells)[:, None].astype(np.float64)
        there = np.broadcast_to(weight[:, None], sample.values.shape)
    else:
        there = np.where(sample.inverse > 0, weight[:, None], 0.0)
        counts = np.stack([np.bincount(nearest, part, minlength=cells) for part in there.T], axis=1).astype(np.float64)
    products = (there * sample.values).T
    sums = [np.bincount(nearest, part, minlength=cells).astype(np.float64) for part in products]
    return np.stack(sums, axis=1), counts


def _scaled(inverse: Array) -> Array:
    """Inverse variances with each galaxy's largest at 1: the nearest cell is the same, and float32 holds them."""
    return np.asarray(inverse / np.maximum(inverse.max(axis=1, keepdims=True), 1e-300))


def _probability(weights: Array | None) -> Array | None:
    return None if weights is None else weights / weights.sum()
