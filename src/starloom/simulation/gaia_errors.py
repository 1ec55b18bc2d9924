"""How well each release of Gaia measures a star, and of which stars it measures the velocity: every formula, once.

Three descriptions stand here, since those who make stars need different things of them:

- `Release`: astrometric errors as formulas in G, of PyGaia 3.2 for DR3, DR4 and DR5
  (https://pypi.org/project/pygaia/, from ESA's pages on Gaia's science performance), and its errors of DR3's velocities
  by temperature and gravity. DR2 follows from DR3 by observing time, and so do the velocities of DR4 and DR5: PyGaia
  expects those to be better than that, by 1.6 to 2.7 times at G_RVS = 14 to 16. The magnitude rules for velocities
  are those of arXiv:2304.12169's companion code.
- `ReleaseMedians`: medians of errors of astrometry and photometry, and shares of sources, as tables in G: those that
  2018A&A...616A...1G (table 3) gives for DR2, 2021A&A...649A...1G (table 3) and 2021A&A...649A...2L for DR3.
- `rounded_parallax_error`: DR3's medians in round numbers (2021A&A...649A...2L, figure 7 and table 4).

They belong to simulation: only makers of stars ask what an error would be; of real stars the catalog says it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
"""Releases by name."""

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
GIANT_TEFF = 6500.0
SUBGIANT_TEFF = 5000.0
"""Stars cooler than this are giants below log g = 4, hotter ones below 3.5."""


def _velocity_rows(teff: Array, logg: Array) -> NDArray[np.int64]:
    dwarf = np.searchsorted(_DWARF_EDGES, teff, side="right")
    giant = 7 + np.searchsorted(_GIANT_EDGES, logg, side="right")
    return np.where((logg < np.where(teff < SUBGIANT_TEFF, 4.0, 3.5)) & (teff < GIANT_TEFF), giant, dwarf)


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


@dataclass(frozen=True)
class ReleaseMedians:
    """How well a release of Gaia measured, as medians against G (mag).

    Parameters
    ----------
    parallax : error of the parallax (mas).
    proper_motion : error of a proper motion (mas/yr).
    g, bp, rp : errors of the mean magnitudes.
    five_parameters : share of sources with parallax and proper motion.
    colors : share of sources with BP and RP.
    velocity_limit : G down to which cool stars have radial velocities.
    epoch : Julian year of the positions.
    """

    parallax: Callable[[Array], Array]
    proper_motion: Callable[[Array], Array]
    g: Callable[[Array], Array]
    bp: Callable[[Array], Array]
    rp: Callable[[Array], Array]
    five_parameters: Callable[[Array], Array]
    colors: Callable[[Array], Array]
    velocity_limit: float
    epoch: float

    @staticmethod
    def velocity_error(g: Array) -> Array:
        """km/s: 0.3 down to G = 10, then ten times more every four magnitudes; alike for both releases."""
        return np.asarray(0.3 * 10.0 ** (0.25 * np.maximum(g - 10.0, 0.0)))


def _steps(magnitudes: Sequence[float], values: Sequence[float]) -> Callable[[Array], Array]:
    """Interpolation of log10 of a value in magnitude, constant beyond the ends."""
    logs = np.log10(values)
    return lambda magnitude: np.asarray(10.0 ** np.interp(magnitude, magnitudes, logs))


def _share(magnitudes: Sequence[float], values: Sequence[float]) -> Callable[[Array], Array]:
    """Interpolation of a value in magnitude, constant beyond the ends."""
    return lambda magnitude: np.asarray(np.interp(magnitude, magnitudes, values))


MEDIANS: Mapping[str, ReleaseMedians] = {
    # 2018A&A...616A...1G, table 3
    "dr2": ReleaseMedians(
        _steps((13, 15, 17, 20, 21), (0.035, 0.04, 0.1, 0.7, 2.0)),
        _steps((13, 15, 17, 20, 21), (0.055, 0.06, 0.2, 1.2, 3.0)),
        _steps((13, 17, 20), (0.0003, 0.002, 0.010)),
        _steps((13, 17, 20), (0.002, 0.010, 0.200)),
        _steps((13, 17, 20), (0.002, 0.010, 0.200)),
        _share((17, 19, 20, 20.7), (0.998, 0.97, 0.80, 0.45)),
        _share((17, 19, 20, 20.7), (0.995, 0.97, 0.75, 0.40)),
        13.0,
        2015.5,
    ),
    # 2021A&A...649A...1G, table 3; 2021A&A...649A...2L
    "dr3": ReleaseMedians(
        _steps((14, 15, 17, 20, 21), (0.02, 0.025, 0.07, 0.5, 1.3)),
        _steps((14, 15, 17, 20, 21), (0.02, 0.025, 0.07, 0.5, 1.4)),
        _steps((13, 17, 20), (0.0003, 0.001, 0.006)),
        _steps((13, 17, 20), (0.0009, 0.012, 0.108)),
        _steps((13, 17, 20), (0.0006, 0.006, 0.052)),
        _share((17, 19, 20, 20.7), (0.999, 0.99, 0.93, 0.65)),
        _share((17, 19, 20, 20.7), (0.998, 0.985, 0.90, 0.60)),
        14.5,
        2016.0,
    ),
}
"""Releases of which the medians are known, by name."""

ROUNDED_PM_OF_PARALLAX = 1.05
"""Error of a proper motion (mas/yr) for one of the parallax (mas), beside `rounded_parallax_error`."""
_ROUNDED_AT = (13.0, 15.0, 16.0, 17.0, 18.0, 19.0, 20.0, 21.0)
_ROUNDED = (0.015, 0.025, 0.04, 0.07, 0.12, 0.22, 0.45, 1.3)  # mas


def rounded_parallax_error(g: ArrayLike) -> Array:
    """Typical parallax error (mas) of Gaia DR3 at magnitudes G, in round numbers.

    Examples
    --------
    >>> rounded_parallax_error([15.0, 20.0]).round(3).tolist()
    [0.025, 0.45]
    """
    logs = np.interp(np.asarray(g, dtype=float), _ROUNDED_AT, np.log(_ROUNDED))
    return np.asarray(np.exp(logs))
