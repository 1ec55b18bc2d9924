"""The stars that a survey counts: how many of a population are this bright and this red, from its isochrones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from starloom.errors import ConfigError

if TYPE_CHECKING:
    from starloom.stellar.isochrones import Isochrone
    from starloom.stellar.mass_functions import MassFunction

Floats = NDArray[np.float64]
CELL = 0.002  # mag, of the tabulated magnitude distribution


@njit(cache=True, nogil=True)
def _deposit(
    magnitude: Floats, color: Floats, weight: Floats, low: float, high: float, start: float, cell: float, total: Floats
) -> None:
    """Add each segment's stars of a color range to the cumulative distribution, evenly along the segment."""
    for k in range(len(weight)):
        a, b = 0.0, 1.0
        c0, c1 = color[k, 0], color[k, 1]
        if c0 == c1:
            if not low <= c0 < high:
                continue
        else:
            t0, t1 = (low - c0) / (c1 - c0), (high - c0) / (c1 - c0)
            a, b = max(a, min(t0, t1)), min(b, max(t0, t1))
            if b <= a:
                continue
        share = weight[k] * (b - a)
        m0 = magnitude[k, 0] + a * (magnitude[k, 1] - magnitude[k, 0])
        m1 = magnitude[k, 0] + b * (magnitude[k, 1] - magnitude[k, 0])
        bright, faint = min(m0, m1), max(m0, m1)
        first = int(np.floor((bright - start) / cell))
        last = int(np.floor((faint - start) / cell))
        if faint - bright < 1e-9:
            total[first + 1] += share
            continue
        for j in range(first, last + 1):
            left, right = max(bright, start + j * cell), min(faint, start + (j + 1) * cell)
            if right > left:
                total[j + 1] += share * (right - left) / (faint - bright)


@dataclass(frozen=True)
class Tracers:
    """A population's stars along its isochrones, as segments between the points of the models.

    Inside a segment magnitude and color change linearly and the stars, as many as the mass function says, lie evenly.

    Parameters
    ----------
    magnitude : (m, 2) absolute magnitude at the ends of each segment.
    color : (m, 2) color there.
    weight : (m,) share of all stars ever formed.
    mean_mass : initial mass formed per star formed, Msun.
    bands : names of the magnitude, and of the two bands of the color.
    lost : share of the stars asked for that have no photometry in the models.
    """

    magnitude: Floats
    color: Floats
    weight: Floats
    mean_mass: float
    bands: tuple[str, str, str] = ("2mass_h", "2mass_j", "2mass_ks")
    lost: float = 0.0

    def __post_init__(self) -> None:
        if self.magnitude.shape != (len(self.weight), 2) or self.color.shape != self.magnitude.shape:
            raise ConfigError(f"segments of shapes {self.magnitude.shape}, {self.color.shape}, {self.weight.shape}")
        if not len(self.weight) or not self.weight.sum() > 0:
            raise ConfigError("no star of these isochrones passes the cuts; widen them or take other isochrones")

    @property
    def fraction(self) -> float:
        """Share of all stars formed that are tracers."""
        return float(self.weight.sum())

    @property
    def mass_per_tracer(self) -> float:
        """Initial mass formed for each tracer, Msun: what turns a number of tracers into the mass of a population."""
        return self.mean_mass / self.fraction

    @classmethod
    def from_isochrones(
        cls,
        isochrones: Sequence[Isochrone],
        mass_function: MassFunction,
        *,
        weights: ArrayLike | None = None,
        bands: tuple[str, str, str] = ("2mass_h", "2mass_j", "2mass_ks"),
        logg: tuple[float, float] | None = None,
        color: tuple[float, float] | None = None,
    ) -> Tracers:
        """Stars of a mixture of isochrones.

        Parameters
        ----------
        isochrones : with magnitudes in the three bands (`starloom.stellar.photometry.with_photometry`).
        mass_function : of the initial masses.
        weights : share of the stars formed on each isochrone, any scale; equal by default.
        bands : of the magnitude, and the two of the color.
        logg : surface gravities to keep (low, high), such as (1, 3) for giants. Segments are cut where they cross it.
        color : colors to keep (low, high).

        Raises
        ------
        ConfigError
            When a band is missing, the weights do not fit, or nothing is left.
        """
        if not isochrones:
            raise ConfigError("tracers need at least one isochrone")
        shares = np.ones(len(isochrones)) if weights is None else np.asarray(weights, dtype=np.float64)
        if shares.shape != (len(isochrones),) or not (shares >= 0).all() or not shares.sum() > 0:
            raise ConfigError(f"{len(isochrones)} isochrones need as many weights, none negative and one above 0")
        parts, lost, asked = [], 0.0, 0.0
        for isochrone, share in zip(isochrones, shares / shares.sum(), strict=True):
            if len(isochrone) < 2:
                raise ConfigError("an isochrone of one point has no stars between its points")
            magnitudes = isochrone.magnitudes(bands)
            number = share * mass_function.interval_weights(isochrone.initial_mass)
            values = np.stack([magnitudes[:, 0], magnitudes[:, 1] - magnitudes[:, 2], isochrone.logg], axis=1)
            begin, end, number = _cut(values[:-1], values[1:], number, 2, logg)
            asked += float(number.sum())
            seen = np.isfinite(begin[:, :2]).all(axis=1) & np.isfinite(end[:, :2]).all(axis=1)
            lost += float(number[~seen].sum())
            begin, end, number = _cut(begin[seen], end[seen], number[seen], 1, color)
            used = number > 0
            parts.append((begin[used], end[used], number[used]))
        begins, ends, numbers = (np.concatenate(part) for part in zip(*parts, strict=True))
        return cls(
            magnitude=np.stack([begins[:, 0], ends[:, 0]], axis=1),
            color=np.stack([begins[:, 1], ends[:, 1]], axis=1),
            weight=numbers,
            mean_mass=mass_function.mean(),
            bands=bands,
            lost=lost / asked if asked > 0 else 0.0,
        )

    def cumulative(self, low: float, high: float, cell: float = CELL) -> tuple[float, Floats]:
        """Tracers brighter than each magnitude among those with ``low <= color < high``.

        Integrated exactly at every multiple of ``cell``; linear between them.

        Returns
        -------
        start : the first magnitude.
        total : share of all stars formed brighter than ``start + k * cell``, growing from 0.
        """
        start = np.floor(float(self.magnitude.min()) / cell) * cell - cell
        count = int(np.ceil((float(self.magnitude.max()) - start) / cell)) + 3
        total = np.zeros(count)
        _deposit(self.magnitude, self.color, self.weight, float(low), float(high), start, cell, total)
        return start, np.cumsum(total)

    def sample(self, count: int, seed: int | np.random.Generator) -> tuple[Floats, Floats]:
        """Draw tracers: absolute magnitudes and colors, (count,) each."""
        from starloom.seeds import generator

        rng = generator(seed)
        segment = rng.choice(len(self.weight), size=count, p=self.weight / self.weight.sum())
        t = rng.random(count)

        def along(ends: Floats) -> Floats:
            return np.asarray(ends[segment, 0] + t * (ends[segment, 1] - ends[segment, 0]))

        return along(self.magnitude), along(self.color)


def _cut(
    begin: Floats, end: Floats, number: Floats, column: int, limits: tuple[float, float] | None
) -> tuple[Floats, Floats, Floats]:
    """Cut segments to a range of one of their quantities, and their stars in proportion."""
    if limits is None:
        return begin, end, number
    low, high = limits
    if not low < high:
        raise ConfigError(f"a range goes from low to high, not {low} to {high}")
    first, step = begin[:, column], end[:, column] - begin[:, column]
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = np.sort(np.stack([(low - first) / step, (high - first) / step]), axis=0)
    inside = (first >= low) & (first < high)
    a = np.where(step == 0, 0.0, np.clip(ends[0], 0.0, 1.0))[:, None]
    b = np.where(step == 0, np.where(inside, 1.0, 0.0), np.clip(ends[1], 0.0, 1.0))[:, None]
    width = (b - a).ravel()
    kept = width > 0
    change = end - begin
    return (begin + a * change)[kept], (begin + b * change)[kept], (number * width)[kept]
