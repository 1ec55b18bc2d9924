"""How much of each volume of space a survey sees: the effective selection S(field, distance), and its integral.

For a population of tracers the share seen at a distance is

    S(l, b, D) = sum over the tracers of P(observed | l, b, M + mu(D) + A(l, b, D), color),

averaged over the dust inside a field (arXiv:1601.04716, section 3; for APOGEE's halo arXiv:2306.03084). The counts of a
density n are then Poisson with the rate ``n S dV``. Where fields overlap, each piece of the sky is taken once, with the
exact probability that a star there was observed by at least one of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from starloom.errors import ConfigError
from starloom.selection.footprint import SQUARE_DEGREE, Fields, Floats, Regions
from starloom.selection.tracers import CELL, Tracers

if TYPE_CHECKING:
    from starloom.selection.sampling_fractions import SamplingFractions
    from starloom.stellar.extinction import DustMap

BLOCK = 32  # regions a piece of work; fixed, so that the result does not depend on the number of threads


class Selection(Protocol):
    """Anything that gives the probability that a star is in a sample."""

    def probability(self, l: ArrayLike, b: ArrayLike, magnitude: ArrayLike, color: ArrayLike) -> Floats:
        """Probability (n,) at Galactic coordinates in deg, apparent magnitude and color."""
        ...


@njit(cache=True, nogil=True)
def _seen(
    modulus: Floats,
    dimming: Floats,
    pixels: NDArray[np.int64],
    rectangles: NDArray[np.int64],
    magnitude: Floats,
    color_bin: NDArray[np.int64],
    probability: Floats,
    start: float,
    cell: float,
    cumulative: Floats,
    regions: tuple[int, int],
    found: Floats,
) -> None:
    last = cumulative.shape[1] - 1
    for r in range(regions[0], regions[1]):
        count = pixels[r + 1] - pixels[r]
        for j in range(rectangles[r], rectangles[r + 1]):
            table = cumulative[color_bin[j]]
            for d in range(len(modulus)):
                total = 0.0
                for p in range(pixels[r], pixels[r + 1]):
                    shift = modulus[d] + dimming[p, d]
                    for side in range(2):
                        place = (magnitude[j, side] - shift - start) / cell
                        if place <= 0.0:
                            value = 0.0
                        elif place >= last:
                            value = table[last]
                        else:
                            k = int(place)
                            value = table[k] + (place - k) * (table[k + 1] - table[k])
                        total += value if side == 1 else -value
                found[r, d] += probability[j] * total / count


@dataclass(frozen=True)
class EffectiveSelection:
    """What a survey of fields sees of a kind of star, by region of the sky and distance.

    Parameters
    ----------
    regions : pieces of the sky, each inside the same fields; where no fields overlap a region is a field.
    names : (n,) names of the fields of each region, joined by ``+``.
    modulus : (m,) distance moduli, growing, mag.
    selection : (n, m) share of the tracers there that are observed.
    tracers : the stars counted.
    fields : the fields.
    """

    regions: Regions
    names: NDArray[np.str_]
    modulus: Floats
    selection: Floats
    tracers: Tracers
    fields: Fields

    @property
    def distance(self) -> Floats:
        """(m,) kpc."""
        return np.asarray(10.0 ** (self.modulus / 5.0 - 2.0))

    @property
    def volume_element(self) -> Floats:
        """(n, m) volume of each cell in kpc3: area times the trapezoid rule in the distance modulus."""
        steps = np.diff(self.modulus)
        width = np.concatenate([[0.5 * steps[0]], 0.5 * (steps[1:] + steps[:-1]), [0.5 * steps[-1]]])
        depth = self.distance**3 * np.log(10.0) / 5.0 * width
        return np.asarray(self.regions.area[:, None] * SQUARE_DEGREE * depth)

    @property
    def weight(self) -> Floats:
        """(n, m) effective volume of each cell in kpc3: expected tracers observed per unit density of tracers."""
        return np.asarray(self.selection * self.volume_element)

    def expected(self, density: ArrayLike) -> float:
        """Tracers expected in the sample for a density of tracers, (n, m) or broadcasting, in 1 / kpc3."""
        values = np.broadcast_to(np.asarray(density, dtype=np.float64), self.selection.shape)
        return float(np.sum(values * self.weight))

    def cells(self) -> tuple[Floats, Floats, Floats]:
        """Galactic l, b (deg) and distance (kpc) of each cell, (n, m) each."""
        parts = np.broadcast_arrays(self.regions.l[:, None], self.regions.b[:, None], self.distance)
        return parts[0].copy(), parts[1].copy(), parts[2].copy()

    def at(self, l: ArrayLike, b: ArrayLike, distance: ArrayLike) -> Floats:
        """Share of the tracers observed at positions (n,): linear in the modulus; 0 outside all fields.

        NaN where the position is not finite or the distance is off the grid.
        """
        lon, lat, far = (np.atleast_1d(np.asarray(part, dtype=np.float64)) for part in (l, b, distance))
        if not lon.shape == lat.shape == far.shape:
            raise ConfigError(f"positions differ in shape: {lon.shape}, {lat.shape}, {far.shape}")
        region = self.region_of(lon, lat)
        with np.errstate(divide="ignore", invalid="ignore"):
            modulus = 5.0 * (np.log10(far) + 2.0)
        good = np.isfinite(lon) & np.isfinite(lat) & (modulus >= self.modulus[0]) & (modulus <= self.modulus[-1])
        place = np.clip(np.searchsorted(self.modulus, modulus, side="right") - 1, 0, len(self.modulus) - 2)
        part = np.where(good, (modulus - self.modulus[place]) / (self.modulus[place + 1] - self.modulus[place]), 0.0)
        row = np.maximum(region, 0)
        value = (1.0 - part) * self.selection[row, place] + part * self.selection[row, place + 1]
        return np.where(good, np.where(region >= 0, value, 0.0), np.nan)

    def region_of(self, l: ArrayLike, b: ArrayLike) -> NDArray[np.int64]:
        """Region that holds each position (n,); -1 outside all fields.

        An overlap so small that no pixel fell into it counts with the first of its fields.
        """
        lon, lat = np.atleast_1d(np.asarray(l, float)), np.atleast_1d(np.asarray(b, float))
        known = np.isfinite(lon) & np.isfinite(lat)
        members = self.fields.containing(np.where(known, lon, 0.0), np.where(known, lat, 90.0))
        number = {inside: k for k, inside in enumerate(self.regions.fields)}
        found = np.full(len(lon), -1, dtype=np.int64)
        for k in np.flatnonzero(known & (members[:, 0] >= 0)):
            inside = tuple(int(j) for j in members[k] if j >= 0)
            found[k] = number.get(inside, number.get(inside[:1], -1))
        return found


def effective_selection(
    fractions: SamplingFractions,
    tracers: Tracers,
    dust: DustMap,
    modulus: ArrayLike,
    *,
    nside: int = 128,
    per_tracer: bool = True,
    threads: int | None = None,
) -> EffectiveSelection:
    """The effective selection of a survey of fields, on a grid of distance moduli.

    Parameters
    ----------
    fractions : what the survey observed.
    tracers : the stars it counts, in the bands of the fractions.
    dust : map of the reddening.
    modulus : (m,) distance moduli, growing, mag.
    nside : HEALPix resolution at which dust is averaged in a field and overlaps are told apart.
    per_tracer : S is the share of the tracers; False: of all stars formed.
    threads : by default the number of processors; the result does not depend on it.

    Returns
    -------
    EffectiveSelection

    Raises
    ------
    ConfigError
        When bands differ, the moduli do not grow, or the dust map knows nothing somewhere in a field.
    """
    from starloom.stellar.extinction import extinction

    grid = np.asarray(modulus, dtype=np.float64)
    if grid.ndim != 1 or len(grid) < 2 or not (np.diff(grid) > 0).all() or not np.isfinite(grid).all():
        raise ConfigError("the distance moduli must be two or more finite numbers that grow")
    if fractions.bands != tracers.bands:
        raise ConfigError(f"the fractions are in {fractions.bands}, the tracers in {tracers.bands}")
    regions = fractions.fields.regions(nside)
    rectangles = fractions.rectangles(regions)
    order = np.argsort(regions.pixel_region, kind="stable")
    count = len(regions)
    pixels = np.searchsorted(regions.pixel_region[order], np.arange(count + 1))
    first = np.searchsorted(rectangles.region, np.arange(count + 1))
    bins, color_bin = np.unique(rectangles.color, axis=0, return_inverse=True)
    tables = [tracers.cumulative(low, high) for low, high in bins]
    if not tables:
        raise ConfigError("the survey observed nothing: every fraction is 0")
    start = tables[0][0]
    cumulative = np.stack([table for _, table in tables])
    if per_tracer:
        cumulative = cumulative / tracers.fraction
    distance = 10.0 ** (grid / 5.0 - 2.0)
    cell = (cumulative, np.asarray(color_bin, dtype=np.int64).ravel(), start)
    found = np.zeros((count, len(grid)))

    def work(block: int) -> None:
        low, high = block, min(block + BLOCK, count)
        chosen = order[pixels[low] : pixels[high]]
        lon, lat = regions.pixel_l[chosen], regions.pixel_b[chosen]
        dimming = extinction(dust, tracers.bands[0], lon[:, None], lat[:, None], distance[None, :])
        if np.isnan(dimming).any():
            row = int(np.argmax(np.isnan(dimming).any(axis=1)))
            raise ConfigError(
                f"the dust map knows nothing at l = {lon[row]:.2f}, b = {lat[row]:.2f} deg, inside a field; give it a "
                "fill value or leave out that field"
            )
        own = np.zeros((high - low, len(grid)))
        _seen(
            grid, dimming, pixels[low : high + 1] - pixels[low], first[low : high + 1], rectangles.magnitude, cell[1],
            rectangles.probability, cell[2], CELL, cell[0], (0, high - low), own,
        )  # fmt: skip
        found[low:high] = own

    blocks = range(0, count, BLOCK)
    with ThreadPoolExecutor(max_workers=threads or os.cpu_count() or 1) as pool:
        list(pool.map(work, blocks))
    names = np.array(["+".join(fractions.fields.name[list(inside)]) for inside in regions.fields])
    return EffectiveSelection(regions, names, grid, found, tracers, fractions.fields)


def seen_through(
    selection: Selection,
    tracers: Tracers,
    dust: DustMap,
    l: ArrayLike,
    b: ArrayLike,
    distance: ArrayLike,
    *,
    points: int = 4,
) -> Floats:
    """Share of the tracers that any selection function lets through at positions: for measured ones, and as a check.

    Parameters
    ----------
    selection : with a method ``probability(l, b, magnitude, color)``.
    tracers, dust : as in `effective_selection`.
    l, b, distance : (n,) deg, deg, kpc.
    points : a segment of the isochrone stands for so many stars along it (midpoint rule).

    Returns
    -------
    ndarray
        (n,) from 0 to 1; NaN where the selection function or the dust is not known for any of the tracers.
    """
    from starloom.stellar.extinction import extinction

    if points < 1:
        raise ConfigError(f"points must be at least 1, got {points}")
    lon, lat, far = (np.atleast_1d(np.asarray(part, dtype=np.float64)) for part in (l, b, distance))
    if not lon.shape == lat.shape == far.shape:
        raise ConfigError(f"positions differ in shape: {lon.shape}, {lat.shape}, {far.shape}")
    dimming = extinction(dust, tracers.bands[0], lon, lat, far)
    shift = 5.0 * (np.log10(far) + 2.0) + dimming
    t = (np.arange(points) + 0.5) / points

    def along(ends: Floats) -> Floats:
        return np.asarray((ends[:, :1] + t * (ends[:, 1:] - ends[:, :1])).ravel())

    magnitude, color = along(tracers.magnitude), along(tracers.color)
    weight = np.repeat(tracers.weight / points, points) / tracers.fraction
    ones = np.ones(len(magnitude))
    return np.array(
        [
            weight @ selection.probability(ones * lon[k], ones * lat[k], magnitude + shift[k], color)
            for k in range(len(lon))
        ]
    )


def effective_volume(effective: EffectiveSelection, density: Callable[[Floats, Floats, Floats], Floats]) -> float:
    """Integral of a density, a function of (l, b in deg, distance in kpc), over what the survey sees.

    Examples
    --------
    >>> effective_volume(effective, lambda l, b, d: d**-2.0)  # doctest: +SKIP
    """
    return effective.expected(density(*effective.cells()))
