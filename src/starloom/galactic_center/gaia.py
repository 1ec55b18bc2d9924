"""What a release of Gaia measures of a star: errors of astrometry and velocity, and which stars get a velocity.

Astrometric errors against G are those of PyGaia 3.2 for DR3, DR4 and DR5; DR2 follows from DR3 by observing time.
Errors of velocities are PyGaia's by temperature and gravity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from starloom.errors import ConfigError

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
FAINTEST = 20.7
COOL = 6900.0
HOT = 14500.0


@dataclass(frozen=True)
class Release:
    """A release of Gaia.

    Parameters
    ----------
    name : what it is called.
    parallax, proper_motion : factors of the parallax error: of the release over that of DR3, and of proper motions in
        right ascension and declination (1/yr) over the release's parallax error.
    months : of observations.
    velocities : pairs (G_RVS limit, largest Teff): a star that meets one of them has a radial velocity.
    """

    name: str
    parallax: float
    proper_motion: tuple[float, float]
    months: float
    velocities: tuple[tuple[float, float], ...]

    def parallax_error(self, g: Array) -> Array:
        """mas, at magnitudes G."""
        z = np.maximum(10.0 ** (0.4 * (13.0 - 15.0)), 10.0 ** (0.4 * (np.asarray(g, dtype=float) - 15.0)))
        return np.asarray(self.parallax * 1e-3 * np.sqrt(40.0 + 800.0 * z + 30.0 * z * z))

    def proper_motion_errors(self, g: Array) -> tuple[Array, Array]:
        """mas/yr in right ascension (with cos dec) and declination."""
        error = self.parallax_error(g)
        return self.proper_motion[0] * error, self.proper_motion[1] * error

    def velocity_error(self, g_rvs: Array, teff: Array, logg: Array) -> Array:
        """km/s; the floor is that of DR3, the part that grows with magnitude falls with the root of the time."""
        rows = _velocity_rows(np.asarray(teff, dtype=float), np.asarray(logg, dtype=float))
        a, b, floor, middle = VELOCITY_ERRORS[rows].T
        with np.errstate(over="ignore"):
            grows = b * np.exp(a * (np.asarray(g_rvs, dtype=float) - middle))
        return np.asarray(floor + grows * np.sqrt(MONTHS_DR3 / self.months))

    def has_astrometry(self, g: Array) -> Flags:
        """Stars with parallaxes and proper motions."""
        with np.errstate(invalid="ignore"):
            return np.asarray(np.asarray(g) < FAINTEST)

    def has_velocity(self, g: Array, g_rvs: Array, teff: Array) -> Flags:
        """Stars that the magnitude rules give a radial velocity (and astrometry)."""
        with np.errstate(invalid="ignore"):
            found = np.zeros(np.shape(g), dtype=bool)
            for limit, hottest in self.velocities:
                found |= (np.asarray(g_rvs) < limit) & (np.asarray(teff) < hottest)
        return found & self.has_astrometry(g)


MONTHS_DR3 = 34.0
_ANY = float("inf")
RELEASES: Mapping[str, Release] = {
    "dr2": Release("Gaia DR2", 1.243, (1.03 * 34 / 22, 0.89 * 34 / 22), 22.0, ((12.0, COOL),)),
    "dr3": Release("Gaia DR3", 1.0, (1.03, 0.89), MONTHS_DR3, ((14.0, COOL), (12.0, HOT))),
    "dr4": Release("Gaia DR4", 0.749, (0.58, 0.50), 66.0, ((16.2, COOL), (14.0, _ANY))),
    "dr5": Release("Gaia DR5", 0.527, (0.29, 0.25), 126.0, ((16.2, COOL), (14.0, _ANY))),
}
"""Releases by name, with the magnitude rules of arXiv:2304.12169's companion code."""

# a, b, floor, G_RVS at which they hold; dwarfs by Teff, then giants by log g
VELOCITY_ERRORS = np.array(
    [
        [0.95, 5.0, 0.32, 13.5],
        [0.90, 5.0, 0.13, 14.0],
        [0.90, 7.0, 0.13, 14.0],
        [0.85, 9.0, 0.13, 14.0],
        [0.80, 5.0, 0.45, 12.0],
        [0.80, 11.0, 0.80, 12.0],
        [1.0, 3.0, 1.0, 10.0],
        [1.0, 6.0, 0.16, 14.0],
        [1.0, 5.5, 0.13, 14.0],
        [1.0, 6.0, 0.12, 14.0],
        [1.0, 7.0, 0.12, 14.0],
    ]
)
_DWARF_EDGES = np.array([4000.0, 5000.0, 6000.0, 7000.0, 8000.0, 10000.0])
_GIANT_EDGES = np.array([1.0, 2.0, 3.0])
GIANT_LOGG, GIANT_TEFF = 4.0, 6500.0


def _velocity_rows(teff: Array, logg: Array) -> NDArray[np.int64]:
    dwarf = np.searchsorted(_DWARF_EDGES, teff, side="right")
    giant = 7 + np.searchsorted(_GIANT_EDGES, logg, side="right")
    return np.where((logg < GIANT_LOGG) & (teff < GIANT_TEFF), giant, dwarf)


def release(name: str) -> Release:
    """A release by its name.

    Raises
    ------
    ConfigError
        When it is unknown.

    Examples
    --------
    >>> float(release("dr3").parallax_error(18.0).round(4))
    0.1423
    """
    if name not in RELEASES:
        raise ConfigError(f"no Gaia release {name!r}; there are {', '.join(RELEASES)}")
    return RELEASES[name]
