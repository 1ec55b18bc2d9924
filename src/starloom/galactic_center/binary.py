"""The clock of a black-hole binary at the Galactic center: how it shrinks, and how much mass in stars it throws out.

Stars that pass close harden the binary, gravitational waves take over at the end (circular orbits). Rates of hardening
and of mass ejection are fits to three-body scattering experiments (form of Sesana et al. 2006, astro-ph/0604299, as
used in arXiv:2304.12169); the fits are made for ejection speeds above 5.5 velocity dispersions.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import ConfigError

Array = NDArray[np.float64]
G_PC = 4.30091727e-3  # pc (km/s)^2 / Msun
LIGHT = 299792.458  # km/s
MYR = 0.9777922216807892  # Myr: one pc / (km/s)
SGR_A_MASS = 4e6
POINTS = 1500  # steps in the logarithm of the separation
INNERMOST = 1e-7  # pc; from there on gravitational waves alone, in closed form
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(4)

# q, A_H, a0_H, gamma_H, A_J, a0_J, alpha_J, beta_J, gamma_J
FITS = np.array(
    [
        [3e-4, 17.363, 2.9220, -0.72558, 0.22322, 0.22144, -0.28814, 3.4584, -0.36404],
        [1e-3, 17.285, 3.2893, -0.75077, 0.21606, 0.21258, -0.30301, 3.9300, -0.30439],
        [3e-3, 18.272, 4.0017, -0.80874, 0.20742, 0.20204, -0.30148, 4.3098, -0.26137],
        [0.01, 19.140, 3.2441, -0.77012, 0.20073, 0.20698, -0.29386, 3.7505, -0.29393],
        [0.03, 18.339, 3.8597, -0.83624, 0.21566, 0.23814, -0.26609, 2.3676, -0.53591],
        [0.1, 17.325, 3.4294, -0.76872, 0.25859, 0.41131, -0.17827, 1.3203, -1.5732],
        [0.3, 15.985, 3.4213, -0.77062, 0.14735, 0.47523, -0.35086, 2.7716, -1.0767],
        [1.0, 14.576, 1.9802, -0.62052, 0.20959, 0.14453, -0.35646, 11.168, -0.19905],
    ]
)
"""Fits of the hardening and mass-ejection rates by mass ratio (arXiv:2304.12169 and its companion code)."""

RatioMode = Literal["interpolated", "nearest"]


class Clock(NamedTuple):
    """The life of a binary on a grid of separations from wide to narrow.

    Parameters
    ----------
    separation : pc (k,), falling.
    time : Myr since the widest separation (k,), rising.
    ejected : Msun thrown out by then (k,), rising.
    merger : Myr until the merger.
    """

    separation: Array
    time: Array
    ejected: Array
    merger: float


@dataclass(frozen=True)
class BlackHoleBinary:
    """A massive black hole with a lighter companion on a circular orbit in a field of stars.

    Parameters
    ----------
    companion_mass : Msun.
    mass : of the heavier black hole, Msun.
    density : of the stars around, Msun/pc^3.
    dispersion : one-dimensional velocity dispersion of the stars, km/s.
    start : separation at which the clock starts, pc.
    ratio_mode : "interpolated": the rates of the two neighboring mass ratios, linear in log q; "nearest": those of
        the nearest mass ratio, as the authors' code has them.

    Raises
    ------
    ConfigError
        When a number is not finite or not positive, the companion is the heavier one, or the mode is unknown.

    Examples
    --------
    >>> binary = BlackHoleBinary(4000.0, ratio_mode="nearest")
    >>> round(binary.clock.merger, 1)
    126.5
    """

    companion_mass: float
    mass: float = SGR_A_MASS
    density: float = 7e4
    dispersion: float = 100.0
    start: float = 0.02
    ratio_mode: RatioMode = "interpolated"

    def __post_init__(self) -> None:
        for name in ("companion_mass", "mass", "dispersion", "start"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(f"{name} of a black-hole binary must be a positive number, got {value!r}")
        if not (math.isfinite(self.density) and self.density >= 0):
            raise ConfigError(f"density must be a number of at least 0, got {self.density!r}")
        if self.companion_mass > self.mass:
            raise ConfigError(
                f"the companion ({self.companion_mass:g} Msun) is heavier than the black hole ({self.mass:g} Msun); "
                "exchange them"
            )
        if self.start <= 10 * INNERMOST:
            raise ConfigError(f"start must be above {10 * INNERMOST:g} pc, got {self.start:g}")
        if self.ratio_mode not in ("interpolated", "nearest"):
            raise ConfigError(f"ratio_mode is 'interpolated' or 'nearest', got {self.ratio_mode!r}")

    @property
    def ratio(self) -> float:
        """Mass ratio q <= 1."""
        return self.companion_mass / self.mass

    @property
    def total_mass(self) -> float:
        """Msun."""
        return self.mass + self.companion_mass

    @property
    def hardening_radius(self) -> float:
        """a_h = G M_c / (4 sigma^2), pc."""
        return G_PC * self.companion_mass / (4.0 * self.dispersion**2)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a user should know about this binary; empty where there is nothing."""
        if self.ratio < FITS[0, 0]:
            return (
                f"mass ratio {self.ratio:.3g} (companion of {self.companion_mass:g} Msun) is below the scattering "
                f"experiments, which begin at {FITS[0, 0]:g}: the rates of {FITS[0, 0]:g} are used",
            )
        return ()

    def circular_speed(self, separation: ArrayLike) -> Array:
        """Relative orbital speed sqrt(G (M + M_c) / a) in km/s at separations in pc."""
        return np.sqrt(G_PC * self.total_mass / np.asarray(separation, dtype=float))

    def hardening(self, separation: ArrayLike) -> Array:
        """Dimensionless hardening rate H at separations in pc."""
        a = np.asarray(separation, dtype=float)
        return self._between(lambda row: row[1] * (1.0 + a / (self.hardening_radius * row[2])) ** row[3])

    def ejection(self, separation: ArrayLike) -> Array:
        """Dimensionless mass-ejection rate J = dM_ej / ((M + M_c) dln(1/a)) at separations in pc."""
        a = np.asarray(separation, dtype=float)

        def curve(row: Array) -> Array:
            x = a / (self.hardening_radius * row[5])
            with np.errstate(over="ignore"):  # x^11 of wide equal binaries
                return np.asarray(row[4] * x ** row[6] * np.exp(row[8] * np.logaddexp(0.0, row[7] * np.log(x))))

        return self._between(curve)

    def _between(self, curve: object) -> Array:
        made = [np.log(curve(FITS[row])) * weight for row, weight in self._rows]  # type: ignore[operator]
        return np.asarray(np.exp(sum(made)))

    @functools.cached_property
    def _rows(self) -> list[tuple[int, float]]:
        if self.ratio_mode == "nearest":
            return [(int(np.argmin(np.abs(FITS[:, 0] - self.ratio))), 1.0)]
        logs = np.log(FITS[:, 0])
        place = float(np.interp(math.log(self.ratio), logs, np.arange(len(logs))))
        low = min(int(place), len(logs) - 2)
        return [(low, 1.0 - (place - low)), (low + 1, place - low)]

    def stellar_rate(self, separation: ArrayLike) -> Array:
        """Rate of shrinking by passing stars, G rho H a^2 / sigma, in pc/Myr at separations in pc."""
        a = np.asarray(separation, dtype=float)
        return np.asarray(G_PC * self.density * self.hardening(a) * a**2 / self.dispersion / MYR)

    def wave_rate(self, separation: ArrayLike) -> Array:
        """Rate of shrinking by gravitational waves (Peters 1964), in pc/Myr at separations in pc."""
        return self._wave_constant / np.asarray(separation, dtype=float) ** 3

    @property
    def _wave_constant(self) -> float:
        return 64.0 / 5.0 * G_PC**3 * self.mass * self.companion_mass * self.total_mass / LIGHT**5 / MYR

    def mass_rate(self, separation: ArrayLike) -> Array:
        """Mass in stars thrown out, Msun/Myr: J (M + M_c) times the share of the shrinking that stars do."""
        a = np.asarray(separation, dtype=float)
        return np.asarray(self.ejection(a) * self.total_mass * self.stellar_rate(a) / a)

    @property
    def balance(self) -> float:
        """Separation (pc) at which stars and gravitational waves shrink the binary alike; NaN without stars."""
        from scipy.optimize import brentq

        if self.density == 0:
            return math.nan

        def excess(log_a: float) -> float:
            return float(np.log(self.stellar_rate(math.exp(log_a)) / self.wave_rate(math.exp(log_a))))

        return math.exp(brentq(excess, math.log(INNERMOST), math.log(100.0), xtol=1e-12))

    @functools.cached_property
    def clock(self) -> Clock:
        """Time and ejected mass against separation, from ``start`` inward."""
        return self.clock_of(POINTS)

    def clock_of(self, points: int) -> Clock:
        """The clock on a grid of so many steps (Gauss-Legendre quadrature within each)."""
        edges = np.linspace(math.log(self.start), math.log(INNERMOST), points + 1)
        half = 0.5 * np.diff(edges)[:, None]
        a = np.exp(0.5 * (edges[1:] + edges[:-1])[:, None] + half * _NODES)
        stars, waves = self.stellar_rate(a), self.wave_rate(a)
        weight = -half * _WEIGHTS
        times = np.sum(weight * a / (stars + waves), axis=1)
        masses = np.sum(weight * self.ejection(a) * self.total_mass * stars / (stars + waves), axis=1)
        time = np.concatenate([[0.0], np.cumsum(times)])
        rest = INNERMOST**4 / (4.0 * self._wave_constant)
        return Clock(np.exp(edges), time, np.concatenate([[0.0], np.cumsum(masses)]), float(time[-1] + rest))

    def time_at(self, separation: ArrayLike) -> Array:
        """Myr from ``start`` to separations (pc); NaN for those wider than ``start``."""
        a = np.asarray(separation, dtype=float)
        clock = self.clock
        with np.errstate(divide="ignore", invalid="ignore"):
            at = np.interp(-np.log(a), -np.log(clock.separation), clock.time, right=clock.merger)
        return np.where((a > 0) & (a <= self.start), at, np.nan)

    def ejected_by(self, time: ArrayLike) -> Array:
        """Msun thrown out until times (Myr) since the start."""
        return np.asarray(np.interp(np.asarray(time, dtype=float), self.clock.time, self.clock.ejected))

    def separation_at(self, time: ArrayLike) -> Array:
        """Separation (pc) at times (Myr) since the start; NaN before it and after the merger."""
        t = np.asarray(time, dtype=float)
        clock = self.clock
        # near the merger a^4 falls linearly with time
        rest = np.maximum(clock.merger - clock.time, 1e-300)
        left = clock.merger - t
        with np.errstate(divide="ignore", invalid="ignore"):
            log_a = np.interp(-np.log(left), -np.log(rest), np.log(clock.separation))
        return np.where((t >= 0) & (left > 0), np.exp(log_a), np.nan)
