"""Compiled: one star drawn along the isochrone of each of many populations, by a mass function and a survey's reach."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

import numba
import numpy as np
from numpy.typing import NDArray

from starloom.errors import ConfigError

if TYPE_CHECKING:
    from starloom.stellar.isochrone_grids import IsochroneGrid

Floats = NDArray[np.float64]

COLUMNS = ("initial_mass", "star_mass", "teff", "logg", "log_l", "radius", "phase")
YOUNGEST, LOWEST = 8.0, -2.0  # log10 of years, dex: populations below are not drawn
INITIAL_MASS, STAR_MASS, LOG_TEFF, LOGG, LOG_L, LOG_RADIUS, PHASE = range(7)
KROUPA_SLOPE, KROUPA_KNEE, KROUPA_LOW_SLOPE = 2.3, 0.5, 1.3  # 2001MNRAS.322..231K


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _below(log_mass: float) -> float:
    """Number of stars below a mass (up to a constant), by the mass function of Kroupa (2001) above 0.08 Msun."""
    mass, low = 10.0**log_mass, KROUPA_LOW_SLOPE - 1.0
    count: float = (0.08**-low - min(mass, KROUPA_KNEE) ** -low) / low
    if mass > KROUPA_KNEE:
        high = KROUPA_SLOPE - 1.0
        count += KROUPA_KNEE ** (high - low) * (KROUPA_KNEE**-high - mass**-high) / high
    return count


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _draw(
    nodes: NDArray[np.float32], first: Floats, second: Floats, uniform: Floats, heat: tuple[float, float],
    logg: tuple[float, float], phase: int, power: float, total: Floats, out: Floats,
) -> None:  # fmt: skip
    """For each population the weight of all its stars that a survey has, and one of them.

    Parameters
    ----------
    nodes : ([Fe/H], age, EEP, 7) with NaN where a native isochrone has no point.
    first, second : place on the two axes, in nodes (n,).
    uniform : deviates (n, 2).
    heat, logg, phase, power : log10 Teff, log g and phase of the stars that count (phase < 0: any), and the power of
        their luminosity.
    total : weights (n,).
    out : columns (n, 7), as in the nodes.
    """
    points = nodes.shape[2]
    logs, cumulative = np.empty((points, 7)), np.empty(points)
    for n in range(first.size):
        i, j = min(int(first[n]), nodes.shape[0] - 2), min(int(second[n]), nodes.shape[1] - 2)
        a, b = first[n] - i, second[n] - j
        w00, w01, w10, w11 = (1.0 - a) * (1.0 - b), (1.0 - a) * b, a * (1.0 - b), a * b
        near_i, near_j = i + (1 if a >= 0.5 else 0), j + (1 if b >= 0.5 else 0)
        sum_, highest = 0.0, -np.inf
        for p in range(points):
            for c in range(6):
                logs[p, c] = (
                    w00 * nodes[i, j, p, c] + w01 * nodes[i, j + 1, p, c]
                    + w10 * nodes[i + 1, j, p, c] + w11 * nodes[i + 1, j + 1, p, c]
                )  # fmt: skip
            logs[p, PHASE] = nodes[near_i, near_j, p, PHASE]
            if p > 0:
                low, high = max(logs[p - 1, INITIAL_MASS], highest), logs[p, INITIAL_MASS]
                # both ends: the star is drawn anywhere between them
                counts = (
                    high > low and heat[0] < logs[p, LOG_TEFF] < heat[1] and logg[0] < logs[p, LOGG] < logg[1]
                    and heat[0] < logs[p - 1, LOG_TEFF] < heat[1] and logg[0] < logs[p - 1, LOGG] < logg[1]
                    and (phase < 0 or logs[p, PHASE] == phase)
                )  # fmt: skip
                if counts:
                    sum_ += (_below(high) - _below(low)) * 10.0 ** (power * logs[p, LOG_L])
                if high > highest:
                    highest = high
            elif not np.isnan(logs[p, INITIAL_MASS]):
                highest = logs[p, INITIAL_MASS]
            cumulative[p] = sum_
        total[n] = sum_
        if not sum_ > 0.0:
            out[n] = np.nan
            continue
        target = uniform[n, 0] * sum_
        p = min(np.searchsorted(cumulative, target, side="right"), points - 1)
        part = uniform[n, 1]
        for c in range(6):
            out[n, c] = logs[p - 1, c] + part * (logs[p, c] - logs[p - 1, c])
        out[n, PHASE] = logs[p, PHASE]


SurveyLimits = tuple[tuple[float, float], tuple[float, float], int, float]


class _Grid:
    """The native isochrones of a grid on their axes, and how many stars a cut leaves on a grid twice as fine."""

    def __init__(self, grid: IsochroneGrid, eep: tuple[int, int]) -> None:
        self.fe_h, self.log_age = grid.fe_h[grid.fe_h >= LOWEST], grid.log_age[grid.log_age >= YOUNGEST]
        if len(self.fe_h) < 2 or len(self.log_age) < 2:
            raise ConfigError(f"{grid.name} has too few isochrones above [Fe/H] {LOWEST:g} and 10^{YOUNGEST:g} yr")
        shape = (len(self.fe_h), len(self.log_age), eep[1] - eep[0] + 1, 7)
        self.nodes = np.full(shape, np.nan, dtype=np.float32)
        for i, fe_h in enumerate(self.fe_h):
            for j, log_age in enumerate(self.log_age):
                part = grid.isochrone(10.0 ** (log_age - 9.0), float(fe_h)).cut(eep=eep)
                rows = np.round(part.eep).astype(int) - eep[0]
                self.nodes[i, j, rows] = np.column_stack([
                    np.log10(part.initial_mass), np.log10(part.star_mass), part.log_teff, part.logg, part.log_l,
                    np.log10(part.radius), part.phase,
                ])  # fmt: skip
        self.totals: dict[SurveyLimits, Floats] = {}

    def draw(self, first: Floats, second: Floats, uniform: Floats, cut: SurveyLimits) -> tuple[Floats, Floats]:
        total, out = np.empty(len(first)), np.empty((len(first), 7))
        _draw(self.nodes, first, second, uniform, *cut, total, out)
        return total, out

    def about(self, first: Floats, second: Floats, cut: SurveyLimits) -> Floats:
        """Numbers of stars between those of the fine grid."""
        from scipy.ndimage import map_coordinates

        size = (2 * len(self.fe_h) - 1, 2 * len(self.log_age) - 1)
        if cut not in self.totals:
            x, y = (0.5 * part.ravel() for part in np.indices(size).astype(float))
            self.totals[cut] = self.draw(x, y, np.zeros((len(x), 2)), cut)[0].reshape(size)
        return np.asarray(map_coordinates(self.totals[cut], [2.0 * first, 2.0 * second], order=1, mode="nearest"))


_GRIDS: weakref.WeakKeyDictionary[IsochroneGrid, dict[tuple[int, int], _Grid]] = weakref.WeakKeyDictionary()
LARGEST_RATIO = 2.0  # of a population's number of stars to what the fine grid says


def draw_points(
    grid: IsochroneGrid, age: Floats, fe_h: Floats, rng: np.random.Generator, *, eep: tuple[int, int],
    teff: tuple[float, float], logg: tuple[float, float], phase: int, volume_power: float,
) -> tuple[Floats, NDArray[np.int64]]:  # fmt: skip
    """Choose populations by how many stars a survey has of them, and draw one star in each.

    Populations are first thinned by numbers interpolated in a fine grid, then by the ratio of their own to that.

    Parameters
    ----------
    grid : isochrones with EEPs.
    age, fe_h : of the populations, Gyr and dex (n,).
    rng : for the draws.
    eep, teff, logg, phase : which stars count; a phase below 0 is any.
    volume_power : stars count by their luminosity to this power.

    Returns
    -------
    columns, kept
        `COLUMNS` (m, 7) and the populations chosen (m,).
    """
    known = _GRIDS.setdefault(grid, {})
    if eep not in known:
        known[eep] = _Grid(grid, eep)
    native = known[eep]
    cut = ((float(np.log10(teff[0])), float(np.log10(teff[1]))), (float(logg[0]), float(logg[1])), phase, volume_power)
    first = np.interp(fe_h, native.fe_h, np.arange(len(native.fe_h)))
    second = np.interp(np.log10(age) + 9.0, native.log_age, np.arange(len(native.log_age)))
    about = native.about(first, second, cut)
    kept = np.flatnonzero(rng.random(len(age)) * native.totals[cut].max() < about)
    total, out = native.draw(first[kept], second[kept], rng.random((len(kept), 2)), cut)
    chosen = np.flatnonzero(rng.random(len(kept)) * LARGEST_RATIO * about[kept] < total)
    out, kept = out[chosen], kept[chosen]
    for place in (INITIAL_MASS, STAR_MASS, LOG_TEFF, LOG_RADIUS):
        out[:, place] = 10.0 ** out[:, place]
    return out, kept
