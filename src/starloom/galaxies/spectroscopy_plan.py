"""Which galaxies to observe next, and how many: allocation of spectra to cells, strategies, target lists.

The shot noise of a bin's mean redshift is sum n_i^2 s_i^2 / m_i / N^2 with n_i galaxies, scatter s_i and m_i spectra in
cell i. For a given number of spectra it is least for m_i proportional to n_i s_i (Neyman 1934), and what a further
spectrum in cell i takes away from it is n_i^2 s_i^2 / (m_i (m_i + 1)) / N^2: that is its priority.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from starloom.errors import CatalogError, ConfigError
from starloom.galaxies.redshift_calibration import REQUIREMENT
from starloom.seeds import generator

if TYPE_CHECKING:
    from astropy.table import QTable

Array = NDArray[np.float64]
Counts = NDArray[np.int64]


def error_of(galaxies: Array, scatter: Array, spectra: Array | Counts) -> float:
    """Shot noise of the mean redshift over the cells that have galaxies and spectra; NaN when there is none.

    Examples
    --------
    >>> round(error_of(np.ones(625), np.full(625, 0.05), np.ones(625)), 6)
    0.002
    """
    used = (np.asarray(galaxies) > 0) & (np.asarray(spectra) > 0)
    if not used.any():
        return float("nan")
    share = galaxies[used] / galaxies[used].sum()
    return float(np.sqrt((share**2 * scatter[used] ** 2 / np.asarray(spectra)[used]).sum()))


def neyman(galaxies: Array, scatter: Array, total: int, *, existing: Counts | None = None) -> Counts:
    """Spread ``total`` spectra over the cells for the least shot noise, one at least in each cell with galaxies.

    Spectra that exist already are counted and never taken back.

    Returns
    -------
    (cells,) spectra in each cell, existing ones included; exactly ``total`` in all.

    Raises
    ------
    ConfigError
        When ``total`` is less than one spectrum a cell with galaxies, the existing ones counted.

    Examples
    --------
    >>> neyman(np.array([1.0, 1.0, 2.0]), np.array([0.1, 0.2, 0.1]), 10).tolist()
    [2, 4, 4]
    """
    floor = _floor(galaxies, existing)
    least = int(floor.sum())
    if total < least:
        raise ConfigError(f"{total} spectra are fewer than the {least} of one a cell and those that exist")
    return _fill(np.asarray(galaxies * scatter, dtype=np.float64), floor, total)


def _floor(galaxies: Array, existing: Counts | None) -> Counts:
    there = np.zeros(len(galaxies), dtype=np.int64) if existing is None else np.asarray(existing, dtype=np.int64)
    return np.maximum(there, (np.asarray(galaxies) > 0).astype(np.int64))


def _fill(need: Array, floor: Counts, total: int) -> Counts:
    """Whole numbers of sum ``total``, at least ``floor``, that make sum need^2 / m least."""
    spectra = floor.copy()
    open_cells = need > 0
    if not open_cells.any():
        return spectra
    # the continuous optimum max(floor, c need), rounded down, leaves fewer spectra to give out than there are cells
    low, high = 0.0, float(total) / need[open_cells].min()
    for _ in range(200):
        middle = 0.5 * (low + high)
        if np.maximum(floor, middle * need).sum() > total:
            high = middle
        else:
            low = middle
    spectra = np.maximum(floor, np.floor(low * need).astype(np.int64))
    for _ in range(total - int(spectra.sum())):
        gain = np.where(open_cells, need**2 / (np.maximum(spectra, 1) * (np.maximum(spectra, 1) + 1.0)), -1.0)
        spectra[gain.argmax()] += 1
    return spectra


@dataclass(frozen=True)
class Plan:
    """Spectra for one bin.

    Parameters
    ----------
    spectra : (cells,) spectra in each cell in all, existing ones included.
    new : (cells,) of these, still to be taken.
    error, required : shot noise with all of them, and what was asked for.
    reachable : whether it can be met at all.
    left_out : share of the bin's galaxies in cells that the plan leaves out.
    remark : why not, where not.
    """

    spectra: Counts
    new: Counts
    error: float
    required: float
    reachable: bool
    left_out: float = 0.0
    remark: str = ""

    @property
    def total_new(self) -> int:
        """Number of spectra still to be taken."""
        return int(self.new.sum())


def spectra_needed(
    galaxies: Array,
    scatter: Array,
    mean: float,
    *,
    requirement: float = REQUIREMENT,
    existing: Counts | None = None,
    available: Counts | None = None,
    most: int = 10_000_000,
    floor_error: float = 0.0,
) -> Plan:
    """The fewest spectra that bring a bin's mean redshift to the requirement.

    Parameters
    ----------
    galaxies, scatter : (cells,) galaxies of the bin in each cell, and the scatter of their redshifts.
    mean : mean redshift of the bin.
    requirement : in units of 1 + mean.
    existing : (cells,) spectra that there are already.
    available : (cells,) galaxies that could be observed, existing spectra not counted; None for no limit. A cell
        without spectra and without targets is left out.
    most : spectra that can be taken at most.
    floor_error : error that spectra do not remove (sample variance, failures), added in quadrature.

    Returns
    -------
    Plan
        With ``reachable`` False and the best that can be had where the requirement cannot be met.

    Raises
    ------
    CatalogError
        When the bin has no galaxies, or a scatter that is not positive where there are some.
    """
    n, s = np.asarray(galaxies, dtype=np.float64), np.asarray(scatter, dtype=np.float64)
    if not (n > 0).any():
        raise CatalogError("the bin has no galaxies to plan for")
    if not (np.isfinite(s[n > 0]) & (s[n > 0] > 0)).all():
        raise CatalogError("the scatter of a cell with galaxies is not positive; CellRedshifts gives one for each cell")
    have = np.zeros(len(n), dtype=np.int64) if existing is None else np.asarray(existing, dtype=np.int64)
    limit = np.full(len(n), most, dtype=np.int64) if available is None else np.asarray(available, dtype=np.int64)
    kept = np.where((have > 0) | (limit > 0), n, 0.0)
    left_out = float(1.0 - kept.sum() / n.sum())
    required = requirement * (1.0 + mean)
    goal = required**2 - floor_error**2
    if not kept.any():
        return Plan(have, np.zeros_like(have), np.nan, required, False, 1.0, "no cell has spectra or targets")
    need, floor, ceiling = kept / kept.sum() * s, _floor(kept, have), have + limit
    ceiling = np.maximum(ceiling, floor)

    def error(spectra: Counts) -> float:
        return float(np.hypot(error_of(kept, s, spectra), floor_error))

    if goal <= 0:
        remark = f"errors that spectra do not remove, {floor_error:.4f}, are larger than the {required:.4f} required"
        return Plan(have, np.zeros_like(have), error(floor), required, False, left_out, remark)
    best = np.minimum(ceiling, floor + most)
    if error(best) > required:
        remark = f"with all targets observed the error is {error(best):.4f}, more than the {required:.4f} required"
        return Plan(best, best - have, error(best), required, False, left_out, remark)
    spectra = _least_total(need, floor, ceiling, goal)
    new = spectra - have
    if new.sum() > most:
        remark = f"{int(new.sum()):,} new spectra are needed, and {most:,} can be taken"
        return Plan(spectra, new, error(spectra), required, False, left_out, remark)
    return Plan(spectra, new, error(spectra), required, True, left_out)


def _least_total(need: Array, floor: Counts, ceiling: Counts, goal: float) -> Counts:
    """The fewest spectra with sum need^2 / m <= goal: c need between floor and ceiling, then whole numbers."""

    def at(c: float) -> Array:
        return np.clip(c * need, floor, ceiling)

    def variance(spectra: Any) -> float:
        used = need > 0
        return float((need[used] ** 2 / spectra[used]).sum())

    if variance(floor) <= goal:
        return floor
    low, high = 0.0, float(ceiling.max()) / need[need > 0].min()
    for _ in range(200):
        middle = 0.5 * (low + high)
        if variance(at(middle)) > goal:
            low = middle
        else:
            high = middle
    spectra = np.maximum(floor, np.floor(at(high)).astype(np.int64))
    while variance(spectra) > goal:
        open_cells = (need > 0) & (spectra < ceiling)
        gain = np.where(open_cells, need**2 / (np.maximum(spectra, 1) * (np.maximum(spectra, 1) + 1.0)), -1.0)
        missing = variance(spectra) - goal
        # the best cells at once, as many as their gains need to close the gap
        order = np.argsort(-gain)
        count = int(np.searchsorted(np.cumsum(gain[order]), missing)) + 1
        chosen = order[: max(min(count, int(open_cells.sum())), 1)]
        spectra[chosen[gain[chosen] > 0]] += 1
    return spectra


Strategy = Literal["one_each", "one_each_rejecting", "three_in_the_worst"]
STRATEGIES: dict[str, str] = {
    "one_each": "one spectrum in every cell",
    "one_each_rejecting": "one spectrum in every cell, the 1 % most uncertain cells left out",
    "three_in_the_worst": "three spectra in the 5 % most uncertain cells, one in the others, 1 % left out",
}


def sampling_strategy(name: str, galaxies: Array, scatter: Array) -> tuple[Counts, float]:
    """Spectra a cell in the strategies of arXiv:1509.03318 (its Table 1), and the share of galaxies left out.

    Examples
    --------
    >>> spectra, left_out = sampling_strategy("one_each_rejecting", np.ones(100), np.linspace(0.01, 0.1, 100))
    >>> int(spectra.sum()), round(left_out, 2)
    (99, 0.01)
    """
    if name not in STRATEGIES:
        raise ConfigError(f"no sampling strategy is called {name!r}; known: {', '.join(STRATEGIES)}")
    n = np.asarray(galaxies, dtype=np.float64)
    occupied = np.flatnonzero(n > 0)
    worst_first = occupied[np.argsort(-scatter[occupied], kind="stable")]
    spectra = (n > 0).astype(np.int64)
    rejected = worst_first[: 0 if name == "one_each" else round(0.01 * len(occupied))]
    if name == "three_in_the_worst":
        spectra[worst_first[: round(0.05 * len(occupied))]] = 3
    spectra[rejected] = 0
    return spectra, float(n[rejected].sum() / n.sum()) if len(occupied) else 0.0


def targets(
    table: QTable,
    cell: Counts,
    new: Counts,
    priority: Array,
    *,
    success: float = 1.0,
    observed: NDArray[np.bool_] | None = None,
    eligible: NDArray[np.bool_] | None = None,
    seed: int = 1,
) -> QTable:
    """A target list for the next observing run: galaxies drawn at random from the cells that need spectra.

    At random, so that the spectra stand for their cell: the brightest would not.

    Parameters
    ----------
    table : the galaxies; its columns are kept.
    cell : (n,) the cell of each; -1 for none.
    new : (cells,) spectra wanted.
    priority : (cells,) what a further spectrum in the cell is worth (see ``worth``).
    success : share of the spectra that will give a redshift: so many more targets are listed.
    observed, eligible : (n,) galaxies that have a spectrum already; those bright enough and so on.
    seed : of the draws.

    Returns
    -------
    QTable
        The chosen rows, highest priority first, with ``target_cell``, ``priority`` (1 is the highest of the list),
        ``turn`` (1: the first of its cell, 2: the second, ...) and ``cell_spectra_wanted``.

    Raises
    ------
    ConfigError
        When ``success`` is no share.
    """
    if not 0 < success <= 1:
        raise ConfigError(f"the success rate of the spectra lies above 0 and up to 1, not {success}")
    free = cell >= 0
    for flag, keep in ((observed, False), (eligible, True)):
        if flag is not None:
            free = free & (np.asarray(flag, dtype=bool) == keep)
    rows = np.flatnonzero(free)
    rows = rows[generator(seed).permutation(len(rows))]
    rows = rows[np.argsort(cell[rows], kind="stable")]
    starts = np.searchsorted(cell[rows], np.arange(len(new)))
    turn = np.arange(len(rows)) - starts[cell[rows]]
    wanted = np.ceil(np.asarray(new) / success).astype(np.int64)
    chosen = turn < wanted[cell[rows]]
    rows, turn = rows[chosen], turn[chosen]
    value = priority[cell[rows]] / ((turn + 1.0) * (turn + 2.0))
    order = np.lexsort((rows, -value))
    rows, turn, value = rows[order], turn[order], value[order]
    result = table[rows]
    result["target_cell"] = cell[rows]
    result["priority"] = value / value[0] if len(value) and value[0] > 0 else value
    result["turn"] = turn + 1
    result["cell_spectra_wanted"] = np.asarray(new)[cell[rows]]
    return result


def worth(galaxies: Array, scatter: Array) -> Array:
    """What a first spectrum in a cell takes away from the variance, up to a factor: (n_i s_i)^2."""
    return np.asarray((galaxies * scatter) ** 2, dtype=np.float64)
