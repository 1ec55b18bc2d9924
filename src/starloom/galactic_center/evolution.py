"""Single stars of any mass, age and metallicity out of a grid of isochrones, and how long they live.

A star's place on its track is found at equal evolutionary phase (EEP) between the native ages and metallicities of the
grid, as the grid's own interpolation does it, but for many stars at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from starloom.errors import ConfigError
from starloom.galactic_center.ejection import GALAXY_AGE
from starloom.threads import in_blocks

if TYPE_CHECKING:
    from starloom.stellar.isochrone_grids import IsochroneGrid

Array = NDArray[np.float64]
LAST_EEP = 707  # MIST: end of core helium burning, where the asymptotic giant branch begins
COLUMNS = ("initial_mass", "log_teff", "logg", "log_l")
BLOCK = 1024
LOG_GYR = 9.0


class Physics(NamedTuple):
    """Stars today (n,): log10 of the effective temperature (K), log g, log10 of the luminosity (Lsun), EEP; NaN where
    a star has no place on the tracks."""

    log_teff: Array
    logg: Array
    log_l: Array
    eep: Array


@dataclass(frozen=True)
class StellarTracks:
    """Tables over ([Fe/H], log age, EEP) that stars are read from.

    Parameters
    ----------
    fe_h : metallicities of the nodes (f,), rising.
    log_age : log10 of the ages in years (a,), rising.
    first_eep : the EEP of the first entry.
    values : (f, a, e, 4): the columns of :data:`COLUMNS`, the mass as log10; NaN where there is no star.
    log_life : log10 of the lifetimes in Gyr at ``log_mass`` for each metallicity (f, m).
    log_mass : log10 of initial masses (m,), rising.
    source : the grid.
    """

    fe_h: Array
    log_age: Array
    first_eep: int
    values: Array
    log_life: Array
    log_mass: Array
    source: str = ""

    @classmethod
    def from_grid(
        cls, grid: IsochroneGrid, fe_h: tuple[float, float] = (-0.25, 0.25), last_eep: int = LAST_EEP
    ) -> StellarTracks:
        """Read the part of a grid between two metallicities.

        Parameters
        ----------
        grid : isochrones with EEPs, such as the MIST grid of the dataset ``isochrone_grids``.
        fe_h : lowest and highest metallicity asked for later.
        last_eep : where a star is said to end; the default is the start of MIST's asymptotic giant branch.

        Raises
        ------
        ConfigError
            When the grid does not reach the metallicities.
        """
        lowest, highest = grid.fe_h_range
        if not lowest <= fe_h[0] <= fe_h[1] <= highest:
            raise ConfigError(f"{grid.name} has [Fe/H] {lowest:g} to {highest:g}, not {fe_h[0]:g} to {fe_h[1]:g}")
        low = int(np.searchsorted(grid.fe_h, fe_h[0] + 1e-9, side="right")) - 1
        high = int(np.searchsorted(grid.fe_h, fe_h[1] - 1e-9, side="left"))
        nodes = grid.fe_h[max(low, 0) : max(high, low) + 1]
        ages = grid.log_age[grid.log_age < np.log10(GALAXY_AGE) + LOG_GYR + 0.06]
        values = np.full((len(nodes), len(ages), last_eep, len(COLUMNS)), np.nan)
        for i, metallicity in enumerate(nodes):
            for j, log_age in enumerate(ages):
                found = grid.isochrone(10.0 ** (log_age - LOG_GYR), float(metallicity))
                kept = (found.eep >= 1) & (found.eep <= last_eep)
                place = found.eep[kept].astype(np.int64) - 1
                values[i, j, place, 0] = np.maximum.accumulate(np.log10(found.initial_mass[kept]))
                for column, name in enumerate(COLUMNS[1:], start=1):
                    values[i, j, place, column] = getattr(found, name)[kept]
        log_mass = np.linspace(-1.0, 2.3, 661)
        log_life = np.stack([_lives(values[i, :, -1, 0], ages, log_mass) for i in range(len(nodes))])
        return cls(nodes, ages, 1, values, log_life, log_mass, grid.name)

    @classmethod
    def mist(cls, fe_h: tuple[float, float] = (-0.25, 0.25)) -> StellarTracks:
        """The MIST grid of the dataset ``isochrone_grids``."""
        from starloom.datasets.access import locate
        from starloom.stellar.isochrone_grids import IsochroneGrid

        return cls.from_grid(IsochroneGrid.open(locate("isochrone_grids", "mist").path), fe_h)

    def lifetime(self, mass: ArrayLike, fe_h: ArrayLike) -> Array:
        """Gyr until the asymptotic giant branch begins, at most 13.8.

        Parameters
        ----------
        mass, fe_h : initial mass (Msun) and metallicity, (n,) each.
        """
        m, z = np.broadcast_arrays(np.log10(np.asarray(mass, dtype=float)), np.asarray(fe_h, dtype=float))
        index, fraction = self._bracket(np.clip(z, self.fe_h[0], self.fe_h[-1]))
        step = self.log_mass[1] - self.log_mass[0]
        at = np.clip((m - self.log_mass[0]) / step, 0.0, len(self.log_mass) - 1.0)
        place = np.minimum(at.astype(np.int64), len(self.log_mass) - 2)
        inside = at - place
        after = np.minimum(index + 1, len(self.fe_h) - 1)
        ends = [
            self.log_life[node, place] * (1.0 - inside) + self.log_life[node, place + 1] * inside
            for node in (index, after)
        ]
        return np.asarray(np.minimum(10.0 ** (ends[0] * (1.0 - fraction) + ends[1] * fraction), GALAXY_AGE))

    def _bracket(self, fe_h: Array) -> tuple[NDArray[np.int64], Array]:
        index = np.clip(np.searchsorted(self.fe_h, fe_h, side="right") - 1, 0, max(len(self.fe_h) - 2, 0))
        if len(self.fe_h) == 1:
            return index, np.zeros_like(fe_h)
        return index, (fe_h - self.fe_h[index]) / (self.fe_h[index + 1] - self.fe_h[index])

    def at(self, mass: ArrayLike, age: ArrayLike, fe_h: ArrayLike, *, workers: int | None = None) -> Physics:
        """Stars of initial masses (Msun), ages (Gyr) and metallicities, (n,) each.

        Ages below the grid's first are taken as the first. NaN for the dead, for masses and metallicities outside the
        grid, and where an input is NaN.
        """
        m, t, z = (np.ascontiguousarray(part) for part in np.broadcast_arrays(
            *(np.atleast_1d(np.asarray(part, dtype=np.float64)) for part in (mass, age, fe_h))
        ))  # fmt: skip
        with np.errstate(divide="ignore", invalid="ignore"):
            log_m, log_t = np.log10(m), np.maximum(np.log10(t) + LOG_GYR, self.log_age[0])
        found = np.full((len(m), 4), np.nan)
        inside = (z >= self.fe_h[0] - 1e-9) & (z <= self.fe_h[-1] + 1e-9) & (log_t <= self.log_age[-1])
        index, fraction = self._bracket(np.clip(np.nan_to_num(z), self.fe_h[0], self.fe_h[-1]))
        rows = np.flatnonzero(inside & np.isfinite(log_m) & np.isfinite(log_t))
        part_m, part_t = np.ascontiguousarray(log_m[rows]), np.ascontiguousarray(log_t[rows])
        part_i, part_f = np.ascontiguousarray(index[rows]), np.ascontiguousarray(fraction[rows])
        out = np.full((len(rows), 4), np.nan)

        def run(part: slice) -> None:
            _read_stars(self.log_age, self.values, part_m[part], part_t[part], part_i[part], part_f[part], out[part])

        in_blocks(run, len(rows), workers, block=BLOCK)
        found[rows] = out
        return Physics(found[:, 0], found[:, 1], found[:, 2], found[:, 3] + self.first_eep)


def _lives(last_mass: Array, log_age: Array, log_mass: Array) -> Array:
    """log10 of the lifetime in Gyr from the mass that is at the last EEP on isochrones of rising age."""
    known = np.isfinite(last_mass)
    mass, age = last_mass[known], log_age[known]
    order = np.argsort(mass)
    mass, age = mass[order], age[order]
    life = np.interp(log_mass, mass, age) - LOG_GYR
    # lighter stars than any at its end outlive the grid: go on with the slope of the last nodes
    slope = (age[0] - age[4]) / (mass[0] - mass[4])
    return np.where(log_mass < mass[0], age[0] - LOG_GYR + slope * (log_mass - mass[0]), life)


@njit(cache=True, nogil=True)
def _read_stars(
    log_age: NDArray[np.float64],
    values: NDArray[np.float64],
    mass: NDArray[np.float64],
    age: NDArray[np.float64],
    node: NDArray[np.int64],
    fraction: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    nodes, ages, last = values.shape[0], values.shape[1], values.shape[2]
    for n in range(mass.size):
        j = min(max(np.searchsorted(log_age, age[n], side="right") - 1, 0), ages - 2)
        t = (age[n] - log_age[j]) / (log_age[j + 1] - log_age[j])
        f = fraction[n]
        i0, i1 = node[n], min(node[n] + 1, nodes - 1)
        w = ((1 - f) * (1 - t), (1 - f) * t, f * (1 - t), f * t)
        corners = (values[i0, j], values[i0, j + 1], values[i1, j], values[i1, j + 1])
        # the EEPs that all corners with a weight have; none has holes inside
        low, high = 0, last - 1
        for k in range(4):
            if w[k] <= 0.0:
                continue
            while low < last and not np.isfinite(corners[k][low, 0]):
                low += 1
            while high >= 0 and not np.isfinite(corners[k][high, 0]):
                high -= 1
        if low >= high:
            continue
        first = left = right = 0.0
        for k in range(4):
            if w[k] > 0.0:
                first += w[k] * corners[k][low, 0]
                right += w[k] * corners[k][high, 0]
        if mass[n] < first or mass[n] > right + 0.01:
            continue
        a, b = low, high
        left = first
        while b - a > 1:
            middle = (a + b) // 2
            value = 0.0
            for k in range(4):
                if w[k] > 0.0:
                    value += w[k] * corners[k][middle, 0]
            if value <= mass[n]:
                a, left = middle, value
            else:
                b, right = middle, value
        s = min((mass[n] - left) / (right - left), 1.0) if right > left else 1.0
        for column in range(1, 4):
            value = 0.0
            for k in range(4):
                if w[k] > 0.0:
                    value += w[k] * ((1 - s) * corners[k][a, column] + s * corners[k][b, column])
            out[n, column - 1] = value
        out[n, 3] = a + s
