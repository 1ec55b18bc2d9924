"""The other way to make hypervelocity stars: Sgr A* alone takes binaries apart (Hills 1988).

One star stays, its partner leaves with v = sqrt(2 G m_partner / a) (M / m_total)^(1/6), without the Galaxy's pull, for
binaries on parabolic orbits (Sari, Kobayashi & Rossi 2010, 0911.1136). Separations follow Oepik's law or a power of the
period, mass ratios a power law (Rossi, Kobayashi & Sari 2014, 1307.1134).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import ConfigError
from starloom.galactic_center.binary import SGR_A_MASS
from starloom.galactic_center.ejection import LEAST_SPEED, CenterStars, Ejected, Lifetimes, isotropic
from starloom.seeds import generator
from starloom.stellar.mass_functions import MassFunction, power_law

Array = NDArray[np.float64]
G_SOLAR = 1.90809e5  # Rsun (km/s)^2 / Msun
CONTACT = 2.5  # least separation in units of the larger star's radius


def ejection_speed(partner: ArrayLike, separation: ArrayLike, total: ArrayLike, mass: float = SGR_A_MASS) -> Array:
    """Speed at which a star leaves, km/s.

    Parameters
    ----------
    partner, total : mass of the star that stays and of both, Msun.
    separation : of the binary, Rsun.
    mass : of the black hole, Msun.

    Examples
    --------
    >>> float(ejection_speed(3.0, 21.5, 6.0).round(0))
    2157.0
    """
    stays, a, both = (np.asarray(part, dtype=float) for part in (partner, separation, total))
    return np.asarray(np.sqrt(2.0 * G_SOLAR * stays / a) * (mass / both) ** (1.0 / 6.0))


@dataclass(frozen=True)
class HillsMechanism:
    """Binaries taken apart at a constant rate.

    Parameters
    ----------
    rate : ejections of stars of all masses and speeds, 1/yr.
    ratio_slope : dN/dq ~ q^ratio_slope of the mass ratio, q in [0.1, 1].
    separation_slope : dN/da ~ a^separation_slope; -1 is Oepik's law.
    widest : largest separation, Rsun.
    mass : of the black hole, Msun.
    least : slowest star that is followed, km/s.

    Raises
    ------
    ConfigError
        When the rate is negative or another number is not positive.
    """

    rate: float = 1e-4
    ratio_slope: float = 0.0
    separation_slope: float = -1.0
    widest: float = 2000.0
    mass: float = SGR_A_MASS
    least: float = LEAST_SPEED

    def __post_init__(self) -> None:
        if not (math.isfinite(self.rate) and self.rate >= 0):
            raise ConfigError(f"the rate must be a number of at least 0 per year, got {self.rate!r}")
        if not (self.widest > 10 and self.mass > 0 and self.least > 0):
            raise ConfigError("widest must be above 10 Rsun, mass and least must be positive")

    def eject(
        self,
        stars: CenterStars,
        lives: Lifetimes,
        count: int,
        *,
        span: float = 100.0,
        seed: int | np.random.Generator,
    ) -> tuple[Ejected, float]:
        """Stars ejected in the last ``span`` Myr.

        Parameters
        ----------
        stars : mass function of the primaries, metallicities and ages; primaries down to the least mass kept matter.
        lives : how long stars live.
        count : disruptions drawn.
        span : longest flight, Myr.
        seed : of the draws.

        Returns
        -------
        tuple
            The stars that are kept and fast enough, and how many stars of the Galaxy each of them stands for.

        Raises
        ------
        ConfigError
            When count or span is not positive.
        """
        if count < 1 or not span > 0:
            raise ConfigError(f"count and span must be positive, got {count} and {span}")
        rng = generator(seed)
        function = stars.mass_function
        low, high = float(function.cdf(np.array(stars.kept[0]))), 1.0
        # a star of the kept masses has a primary at least as heavy: lighter primaries need not be drawn
        primary = function.ppf(low + (high - low) * rng.random(count))
        ratio = _power(self.ratio_slope, 0.1, 1.0).ppf(rng.random(count))
        secondary = ratio * primary
        closest = CONTACT * radius(primary)
        share = rng.random(count)
        k = self.separation_slope + 1.0
        separation = (
            closest * (self.widest / closest) ** share
            if abs(k) < 1e-9
            else (closest**k + share * (self.widest**k - closest**k)) ** (1.0 / k)
        )
        leaves_primary = rng.random(count) < 0.5
        mass = np.where(leaves_primary, primary, secondary)
        partner = np.where(leaves_primary, secondary, primary)
        speed = ejection_speed(partner, separation, primary + secondary, self.mass)
        time = span * rng.random(count)
        fe_h = np.round(rng.uniform(*stars.fe_h, count), 2)
        # both formed together: the heavier one must live when they are taken apart
        fraction_of_primary = rng.random(count)
        first = lives.lifetime(primary, fe_h)
        age = fraction_of_primary * np.minimum(first, stars.birth_span())
        lifetime = lives.lifetime(mass, fe_h)
        made = Ejected(time, speed, isotropic(count, rng), mass, fe_h, age / lifetime, lifetime)
        inside = (mass >= stars.kept[0]) & (mass <= stars.kept[1]) & (speed >= self.least)
        return made.take(inside), self.rate * span * 1e6 * (high - low) / count


def radius(mass: ArrayLike) -> Array:
    """Radius on the main sequence in Rsun: m^0.8 below and m^0.57 above one solar mass (1991Ap&SS.181..313D)."""
    m = np.asarray(mass, dtype=float)
    return np.where(m < 1.0, m**0.8, m**0.57)


def _power(slope: float, low: float, high: float) -> MassFunction:
    return power_law(-slope, low, high)
