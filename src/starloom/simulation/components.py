"""What a made Galaxy consists of: disks, a halo, a bar, each with its density, ages, metallicities and motions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from starloom.errors import ConfigError

Floats = NDArray[np.float64]


class Density(Protocol):
    """A density in the Galaxy, in any unit, over right-handed coordinates in kpc with the Sun at x = -R0."""

    def __call__(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """The density."""


@dataclass(frozen=True)
class ExponentialDisk:
    """``exp(-R / scale_length - |z| / scale_height)``, with nothing inside ``hole`` (kpc)."""

    scale_length: float
    scale_height: float
    hole: float = 0.0

    def __call__(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """The density, 1 at the center."""
        radius = np.hypot(x, y)
        density = np.exp(-radius / self.scale_length - np.abs(z) / self.scale_height)
        return np.where(radius < self.hole, 0.0, density)


@dataclass(frozen=True)
class PowerLawHalo:
    """``(R^2 + (z/q)^2 + core^2)^(-slope / 2)``; lengths in kpc."""

    slope: float = 2.77
    flattening: float = 0.64
    core: float = 1.0

    def __call__(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """The density."""
        return np.asarray((x**2 + y**2 + (z / self.flattening) ** 2 + self.core**2) ** (-0.5 * self.slope))


@dataclass(frozen=True)
class GalacticBar:
    """A boxy Gaussian bar (2005A&A...439..107L and 1995ApJ...445..716D in form): scales in kpc, angle in deg."""

    scales: tuple[float, float, float] = (1.58, 0.62, 0.43)
    angle: float = 27.0
    cutoff: float = 3.5

    def __call__(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """The density, 1 at the center."""
        turn = np.radians(self.angle)  # the near end is at positive longitude, y > 0, on the Sun's side, x < 0
        along, across = -x * np.cos(turn) + y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
        a, b, c = self.scales
        s = (((along / a) ** 2 + (across / b) ** 2) ** 2 + (z / c) ** 4) ** 0.25
        return np.where(np.hypot(x, y) > self.cutoff, 0.0, np.exp(-0.5 * s**2))


@dataclass(frozen=True)
class StellarComponent:
    """One population of a Galaxy.

    Parameters
    ----------
    name : what it is called.
    density : its shape.
    local_density : mass density of its living stars at the Sun (Msun/pc^3), or None when ``mass`` is given.
    mass : mass of its living stars (Msun), for a component that is not around the Sun.
    ages : range of ages, uniform (Gyr).
    fe_h : mean and scatter of [Fe/H] (dex).
    alpha_fe : mean and scatter of [alpha/Fe] (dex).
    sigma : velocity dispersions in R, phi, z (km/s).
    lag : how much slower than the circular velocity it turns (km/s).
    """

    name: str
    density: Density
    ages: tuple[float, float]
    fe_h: tuple[float, float]
    alpha_fe: tuple[float, float]
    sigma: tuple[float, float, float]
    lag: float
    local_density: float | None = None
    mass: float | None = None

    def __post_init__(self) -> None:
        if (self.local_density is None) == (self.mass is None):
            raise ConfigError(f"component {self.name}: give either its local density or its mass")
        if not 0 < self.ages[0] <= self.ages[1] or self.fe_h[1] < 0 or min(self.sigma) < 0:
            raise ConfigError(f"component {self.name}: ages must be above 0 and scatters not below")


_THIN_LOCAL = 0.034
_SPANS: tuple[tuple[float, float, float, tuple[float, float, float], float], ...] = (
    # ages (Gyr), scale height (kpc), dispersions (km/s), lag (km/s): 2003A&A...409..523R, table 4, thinned out
    (0.001, 0.01, 0.05, (10.0, 7.0, 5.0), 1.0),
    (0.01, 0.15, 0.06, (16.7, 10.8, 6.0), 3.5),
    (0.15, 1.0, 0.11, (19.8, 12.8, 8.0), 3.1),
    (1.0, 3.0, 0.20, (28.7, 18.5, 11.0), 6.6),
    (3.0, 6.0, 0.27, (36.7, 23.7, 15.8), 10.7),
    (6.0, 10.0, 0.33, (43.1, 27.8, 17.5), 14.8),
)


def milky_way() -> tuple[StellarComponent, ...]:
    """A smooth Milky Way: thin disk in six spans of age, thick disk, bar, halo.

    Living stars of the thin disk have 0.034 Msun/pc^3 at the Sun (0.040 of 2017MNRAS.470.1360B with the thick disk's
    share), formed at a constant rate, so that younger spans, in thinner layers, are denser in the plane. The thick disk
    has 12 % and the halo 0.5 % of the thin disk's, with the shapes of 2008ApJ...673..864J. Metallicities do not change
    with radius, and there is no warp, flare or spiral: a test bed, not a model of the data.
    """
    time = [high - low for low, high, *_ in _SPANS]
    surface = [span / sum(time) for span in time]
    per_height = [share / entry[2] for share, entry in zip(surface, _SPANS, strict=True)]
    thin = tuple(
        StellarComponent(
            f"thin {low:g}-{high:g} Gyr", ExponentialDisk(5.0 if high < 0.2 else 2.6, height), (low, high),
            (0.0 - 0.02 * low, 0.18), (0.03, 0.03), sigma, lag, local_density=_THIN_LOCAL * part / sum(per_height),
        )
        for (low, high, height, sigma, lag), part in zip(_SPANS, per_height, strict=True)
    )  # fmt: skip
    return (
        *thin,
        StellarComponent(
            "thick", ExponentialDisk(3.6, 0.9), (10.0, 12.0), (-0.6, 0.25), (0.25, 0.05), (63.0, 39.0, 39.0), 46.0,
            local_density=0.12 * _THIN_LOCAL,
        ),
        StellarComponent(
            "bar", GalacticBar(), (8.0, 11.0), (0.0, 0.35), (0.15, 0.1), (110.0, 100.0, 90.0), 120.0, mass=1.3e10
        ),
        StellarComponent(
            "halo", PowerLawHalo(), (11.5, 13.0), (-1.4, 0.45), (0.3, 0.07), (141.0, 78.0, 83.0), 229.0,
            local_density=0.005 * _THIN_LOCAL,
        ),
    )  # fmt: skip
