"""How many stars there are of each mass: normalized densities with exact integrals, and weights along an isochrone.

`step_function` has the same methods over any other coordinate, such as the arc length along an isochrone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import ConfigError
from starloom.seeds import generator

Floats = NDArray[np.float64]


class MassPiece(ABC):
    """An unnormalized density between two edges, with its exact integral."""

    low: float
    high: float

    @abstractmethod
    def density(self, x: Floats) -> Floats:
        """The density, as if the piece went on for ever."""

    @abstractmethod
    def integral(self, x: Floats) -> Floats:
        """The integral of the density from ``low`` to x."""

    @abstractmethod
    def inverse(self, area: Floats) -> Floats:
        """The x whose integral is ``area``."""

    @abstractmethod
    def first_moment(self) -> float:
        """The integral of x times the density from ``low`` to ``high``."""


@dataclass(frozen=True)
class _Power(MassPiece):
    low: float
    high: float
    slope: float
    amplitude: float = 1.0

    def density(self, x: Floats) -> Floats:
        return np.asarray(self.amplitude * x**-self.slope)

    def _area(self, x: Floats, power: float) -> Floats:
        # expm1 keeps the digits when the power is close to -1, where the integral turns into a logarithm
        log = np.log(x / self.low)
        k = power + 1.0
        return np.asarray(self.amplitude * self.low**k * (log if k == 0 else np.expm1(k * log) / k))

    def integral(self, x: Floats) -> Floats:
        return self._area(x, -self.slope)

    def inverse(self, area: Floats) -> Floats:
        k = 1.0 - self.slope
        share = area / (self.amplitude * self.low**k)
        return np.asarray(self.low * np.exp(share if k == 0 else np.log1p(k * share) / k))

    def first_moment(self) -> float:
        return float(self._area(np.asarray(self.high), 1.0 - self.slope))


@dataclass(frozen=True)
class _LogNormal(MassPiece):
    """exp(-(log10 x - log10 center)^2 / (2 width^2)) per unit log10 x."""

    low: float
    high: float
    center: float
    width: float

    def _z(self, x: Floats) -> Floats:
        return np.asarray(np.log10(x / self.center) / self.width)

    def density(self, x: Floats) -> Floats:
        return np.asarray(np.exp(-0.5 * self._z(x) ** 2) / (x * np.log(10.0)))

    def integral(self, x: Floats) -> Floats:
        from scipy.special import ndtr

        scale = self.width * np.sqrt(2.0 * np.pi)
        return np.asarray(scale * (ndtr(self._z(x)) - ndtr(self._z(np.asarray(self.low)))))

    def inverse(self, area: Floats) -> Floats:
        from scipy.special import ndtr, ndtri

        below = ndtr(self._z(np.asarray(self.low)))
        z = ndtri(below + area / (self.width * np.sqrt(2.0 * np.pi)))
        return np.asarray(self.center * 10.0 ** (self.width * z))

    def first_moment(self) -> float:
        from scipy.special import ndtr

        s = self.width * np.log(10.0)  # x times a log-normal is a log-normal shifted by s^2
        ends = [float(self._z(np.asarray(edge))) - s for edge in (self.low, self.high)]
        return float(
            self.center * np.exp(0.5 * s**2) * self.width * np.sqrt(2.0 * np.pi) * (ndtr(ends[1]) - ndtr(ends[0]))
        )


@dataclass(frozen=True)
class _Flat(MassPiece):
    low: float
    high: float
    height: float

    def density(self, x: Floats) -> Floats:
        return np.full_like(x, self.height)

    def integral(self, x: Floats) -> Floats:
        return np.asarray(self.height * (x - self.low))

    def inverse(self, area: Floats) -> Floats:
        return np.asarray(self.low + area / self.height)

    def first_moment(self) -> float:
        return 0.5 * self.height * (self.high**2 - self.low**2)


class MassFunction:
    """A normalized density on [low, high] made of pieces that touch: number of stars per unit mass (Msun).

    Made by `power_law`, `kroupa_2001`, `chabrier_2003`, and by `step_function` over any coordinate.
    """

    def __init__(self, pieces: Sequence[MassPiece]) -> None:
        self._pieces = tuple(pieces)
        areas = np.array([float(piece.integral(np.asarray(piece.high))) for piece in self._pieces])
        self._total = float(areas.sum())
        if not (np.isfinite(self._total) and self._total > 0):
            raise ConfigError(f"the mass function cannot be normalized: its integral is {self._total}")
        self._below = np.concatenate([[0.0], np.cumsum(areas)]) / self._total
        self.low, self.high = self._pieces[0].low, self._pieces[-1].high
        self._edges = np.array([piece.low for piece in self._pieces] + [self.high])

    def pdf(self, x: ArrayLike) -> Floats:
        """Density per unit of the coordinate; 0 outside [low, high]."""
        values = np.asarray(x, dtype=np.float64)
        result = np.where(np.isnan(values), np.nan, np.zeros_like(values))
        for k, piece in enumerate(self._pieces):
            last = k == len(self._pieces) - 1
            inside = (values >= piece.low) & ((values <= piece.high) if last else (values < piece.high))
            result[inside] = piece.density(values[inside]) / self._total
        return result

    def cdf(self, x: ArrayLike) -> Floats:
        """Fraction below x."""
        values = np.clip(np.asarray(x, dtype=np.float64), self.low, self.high)
        result = np.full_like(values, np.nan)
        for k, piece in enumerate(self._pieces):
            inside = (values >= piece.low) & (values <= piece.high)
            result[inside] = self._below[k] + piece.integral(values[inside]) / self._total
        return np.clip(result, 0.0, 1.0)

    def ppf(self, fraction: ArrayLike) -> Floats:
        """The x below which a fraction lies; raises ConfigError for fractions outside 0 to 1."""
        values = np.asarray(fraction, dtype=np.float64)
        if not ((values >= 0) & (values <= 1)).all():
            raise ConfigError("fractions must be in 0 to 1")
        result = np.empty_like(values)
        which = np.clip(np.searchsorted(self._below, values, side="right") - 1, 0, len(self._pieces) - 1)
        for k, piece in enumerate(self._pieces):
            inside = which == k
            area = (values[inside] - self._below[k]) * self._total
            result[inside] = np.clip(piece.inverse(area), piece.low, piece.high)
        return result

    def sample(self, count: int, seed: int | np.random.Generator) -> Floats:
        """Draw independent values, shape (count,)."""
        if count < 0:
            raise ConfigError(f"count must not be negative, got {count}")
        return self.ppf(generator(seed).random(count))

    def mean(self) -> float:
        """Mean of the coordinate (the mean mass in Msun)."""
        return sum(piece.first_moment() for piece in self._pieces) / self._total

    def interval_weights(self, edges: ArrayLike) -> Floats:
        """Fraction of the stars between consecutive edges, shape (n - 1,): the exact integral of each interval.

        Where the edges step back (a few model isochrones do), the interval gets no stars, so that the weights always
        sum to the fraction which lies between the first and the largest edge.

        Parameters
        ----------
        edges : masses along an isochrone (n,), n >= 2, in Msun.

        Raises
        ------
        ConfigError
            When there are fewer than two edges or one is not finite.
        """
        values = np.asarray(edges, dtype=np.float64)
        if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
            raise ConfigError("weights need at least two finite masses in a 1-D list")
        return np.diff(self.cdf(np.maximum.accumulate(values)))

    def point_weights(self, masses: ArrayLike) -> Floats:
        """Fraction of the stars which each point of an isochrone stands for, shape (n,).

        Each point owns the masses up to half way to its neighbors; the sum is the fraction of the mass function which
        the isochrone covers.
        """
        values = np.asarray(masses, dtype=np.float64)
        if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
            raise ConfigError("weights need at least two finite masses in a 1-D list")
        values = np.maximum.accumulate(values)
        return self.interval_weights(np.concatenate([values[:1], 0.5 * (values[1:] + values[:-1]), values[-1:]]))


def _check_range(low: float, high: float) -> None:
    if not (np.isfinite(low) and np.isfinite(high) and 0 < low < high):
        raise ConfigError(f"a mass function needs 0 < low < high, got {low} and {high}")


def _pieces_between(pieces: Sequence[tuple[float, float, float]], low: float, high: float) -> list[MassPiece]:
    """Power-law pieces (from, to, slope) cut to a range and joined without steps."""
    amplitude, kept = 1.0, []
    for k, (start, end, slope) in enumerate(pieces):
        if k:
            amplitude *= start ** (slope - pieces[k - 1][2])
        if max(start, low) < min(end, high):
            kept.append(_Power(max(start, low), min(end, high), slope, amplitude))
    return list(kept)


def power_law(alpha: float, low: float, high: float) -> MassFunction:
    """dN/dm proportional to m^-alpha between two masses (Msun).

    The mock streams of arXiv:2311.16960 use alpha = 1/2, the present-day mass function of Palomar 5 found by
    2001AJ....122..259G.

    Examples
    --------
    >>> round(power_law(2.35, 0.1, 100.0).mean(), 3)
    0.351
    """
    _check_range(low, high)
    if not np.isfinite(alpha):
        raise ConfigError(f"alpha must be a number, got {alpha}")
    return MassFunction([_Power(low, high, float(alpha))])


def kroupa_2001(low: float = 0.08, high: float = 100.0) -> MassFunction:
    """Initial mass function of 2001MNRAS.322..231K, equation 2: slopes 0.3, 1.3, 2.3 with breaks at 0.08 and 0.5 Msun.

    Valid from 0.01 Msun.
    """
    _check_range(low, high)
    if low < 0.01:
        raise ConfigError(f"the mass function of Kroupa (2001) begins at 0.01 Msun, not {low}")
    return MassFunction(_pieces_between([(0.01, 0.08, 0.3), (0.08, 0.5, 1.3), (0.5, np.inf, 2.3)], low, high))


def chabrier_2001(low: float = 0.08, high: float = 100.0) -> MassFunction:
    """Initial mass function of the disk of 2001ApJ...554.1274C, the lognormal form (its IMF2).

    Per unit log10 m: a Gaussian about log10 0.1 of width 0.627, at every mass.
    """
    _check_range(low, high)
    return MassFunction([_LogNormal(low, high, 0.1, 0.627)])


def chabrier_2003(low: float = 0.08, high: float = 100.0) -> MassFunction:
    """Initial mass function of single stars in the disk of 2003PASP..115..763C, table 1.

    Per unit log10 m: a Gaussian about log10 0.079 of width 0.69 up to 1 Msun, above it m^-1.3. The amplitudes printed
    there (0.158 and 0.0443) leave a step of 0.5 % at 1 Msun; here the pieces join.
    """
    _check_range(low, high)
    pieces: list[MassPiece] = []
    gaussian = _LogNormal(low, min(1.0, high), 0.079, 0.69)
    if low < 1.0:
        pieces.append(gaussian)
    if high > 1.0:
        pieces.append(_Power(max(1.0, low), high, 2.3, float(gaussian.density(np.asarray(1.0)))))
    return MassFunction(pieces)


def step_function(
    edges: Sequence[float], log_density: Sequence[float], low: float = 0.0, high: float = 1.0
) -> MassFunction:
    """A density in steps over any coordinate, such as the normalized arc length of an isochrone.

    The paper of arXiv:2311.16960 uses the edges 0, 0.35, 0.56, 1.01 with the natural logarithms -1, 0, -1 for GD-1.

    Parameters
    ----------
    edges : growing edges of the steps (n + 1,); they must reach from ``low`` to ``high``.
    log_density : natural logarithm of the density in each step, up to a constant (n,).
    low, high : the range over which it is normalized.

    Examples
    --------
    >>> steps = step_function([0, 0.35, 0.56, 1.01], [-1, 0, -1])
    >>> round(float(steps.interval_weights([0.35, 0.56])[0]), 3)
    0.419
    """
    at, logs = np.asarray(edges, dtype=np.float64), np.asarray(log_density, dtype=np.float64)
    if at.ndim != 1 or logs.shape != (len(at) - 1,) or not np.isfinite(at).all() or not (np.diff(at) > 0).all():
        raise ConfigError("a step function needs growing edges and one logarithm for each step between them")
    if not np.isfinite(logs).all() or not (at[0] <= low < high <= at[-1]):
        raise ConfigError(
            f"the steps must be finite and reach from {low:g} to {high:g}; they go {at[0]:g} to {at[-1]:g}"
        )
    heights = np.exp(logs - logs.max())
    return MassFunction(
        [
            _Flat(max(float(start), low), min(float(end), high), float(height))
            for start, end, height in zip(at[:-1], at[1:], heights, strict=True)
            if max(start, low) < min(end, high)
        ]
    )
