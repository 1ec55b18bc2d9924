"""Peaks of a density on a grid: how prominent each is, where two of them meet, and the watershed between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from starloom.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Peak:
    """A local maximum.

    Parameters
    ----------
    place : its cell.
    height : the value there.
    pass_place : the cell where the land around it first meets that of a higher peak; its own cell for the highest.
    pass_height : the value there; 0 for the highest peak.
    """

    place: tuple[int, int]
    height: float
    pass_place: tuple[int, int]
    pass_height: float


@njit(cache=True, nogil=True)
def _root(parent: Any, cell: int) -> int:
    while parent[cell] != cell:
        parent[cell] = parent[parent[cell]]
        cell = parent[cell]
    return cell


@njit(cache=True, nogil=True)
def _flood(values: Any, order: Any, kept: Any) -> tuple[Any, Any, Any]:
    """From the highest cell down: every cell joins the land of its highest neighbor; lands join where they meet.

    ``kept`` marks peaks whose lands never join; with none marked all lands join, and ``died`` says where.
    """
    rows, columns = values.shape
    flat = values.ravel()
    parent = np.full(rows * columns, -1)
    label = np.full(rows * columns, -1)
    died = np.full(rows * columns, -1)
    is_peak = np.zeros(rows * columns, dtype=np.bool_)
    for cell in order:
        i, j = cell // columns, cell % columns
        best = -1
        for di in range(-1, 2):
            for dj in range(-1, 2):
                a, b = i + di, j + dj
                if (di != 0 or dj != 0) and 0 <= a < rows and 0 <= b < columns:
                    near = a * columns + b
                    if label[near] >= 0 and (best < 0 or flat[near] > flat[best]):
                        best = near
        if best < 0:
            parent[cell], label[cell], is_peak[cell] = cell, cell, True
            continue
        parent[cell] = cell
        land = _root(parent, label[best])
        label[cell] = land
        for di in range(-1, 2):
            for dj in range(-1, 2):
                a, b = i + di, j + dj
                if 0 <= a < rows and 0 <= b < columns and label[a * columns + b] >= 0:
                    other = _root(parent, label[a * columns + b])
                    if other != land and not (kept[other] and kept[land]):
                        high, low = (land, other) if flat[land] >= flat[other] else (other, land)
                        if kept[low] and not kept[high]:
                            high, low = low, high
                        parent[low] = high
                        died[low] = cell
                        land = high
    for cell in order:
        label[cell] = _root(parent, label[cell])
    return label, died, is_peak


def _order(values: Floats) -> NDArray[np.int64]:
    order = np.argsort(-values.ravel(), kind="stable")
    return order[values.ravel()[order] > 0]


def find_peaks(values: Floats) -> list[Peak]:
    """All peaks of a grid of positive values, highest first, each with the pass to a higher one.

    Examples
    --------
    >>> land = np.array([[1.0, 1.0, 1.0, 1.0, 1.0], [1.0, 5.0, 2.0, 4.0, 1.0], [1.0, 1.0, 1.0, 1.0, 1.0]])
    >>> [(peak.place, peak.height, peak.pass_height) for peak in find_peaks(land)]
    [((1, 1), 5.0, 0.0), ((1, 3), 4.0, 2.0)]
    """
    field = np.ascontiguousarray(values, dtype=np.float64)
    if field.ndim != 2 or not np.isfinite(field).all():
        raise ConfigError(f"peaks are looked for in a finite grid of two dimensions, not of shape {field.shape}")
    _, died, is_peak = _flood(field, _order(field), np.zeros(field.size, dtype=np.bool_))
    cells = np.flatnonzero(is_peak)
    cells = cells[np.argsort(-field.ravel()[cells], kind="stable")]
    found = []
    for cell in cells:
        passed = int(died[cell])
        place = tuple(int(part) for part in np.unravel_index(cell, field.shape))
        over = place if passed < 0 else tuple(int(part) for part in np.unravel_index(passed, field.shape))
        height = 0.0 if passed < 0 else float(field.flat[passed])
        found.append(Peak(place, float(field.flat[cell]), over, height))  # type: ignore[arg-type]
    return found


def watershed(values: Floats, peaks: list[Peak]) -> NDArray[np.int64]:
    """The land of each of some peaks: for every cell the index of its peak, -1 where the value is not positive.

    Other peaks fall to the land that they first meet.

    Examples
    --------
    >>> land = np.array([[1.0, 5.0, 2.0, 4.0, 1.0]])
    >>> watershed(land, find_peaks(land)).tolist()
    [[0, 0, 0, 1, 1]]
    """
    field = np.ascontiguousarray(values, dtype=np.float64)
    kept = np.zeros(field.size, dtype=np.bool_)
    cells = [int(np.ravel_multi_index(peak.place, field.shape)) for peak in peaks]
    kept[cells] = True
    label, _, _ = _flood(field, _order(field), kept)
    found = np.full(field.size, -1, dtype=np.int64)
    for index, cell in enumerate(cells):
        found[label == cell] = index
    return found.reshape(field.shape)
