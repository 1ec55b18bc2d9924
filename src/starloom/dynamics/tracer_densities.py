"""Densities of halo tracers over the radius: what a distribution function has to bring forth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import ConfigError

Array = NDArray[np.float64]


class TracerDensity(Protocol):
    """Any spherical density, known up to a factor."""

    def log_density(self, radius: ArrayLike) -> Array:
        """Natural logarithm of the density at radii (kpc)."""
        ...


@dataclass(frozen=True)
class PowerLawTracer:
    """r^-slope, cut off by ``exp(-(r / cutoff)^2)`` where a cutoff (kpc) is given.

    The default of arXiv:2306.03084 is a slope of 3.5 and a cutoff of 30 kpc.
    """

    slope: float = 3.5
    cutoff: float | None = 30.0

    def __post_init__(self) -> None:
        if not np.isfinite(self.slope) or (self.cutoff is not None and not self.cutoff > 0):
            raise ConfigError(f"a power law needs a finite slope and a cutoff above 0, got {self}")

    def log_density(self, radius: ArrayLike) -> Array:
        """Natural logarithm of the density at radii (kpc)."""
        r = np.asarray(radius, dtype=np.float64)
        cut = 0.0 if self.cutoff is None else (r / self.cutoff) ** 2
        return np.asarray(-self.slope * np.log(r) - cut)


@dataclass(frozen=True)
class TwoPowerLawTracer:
    """r^-inner (1 + r / scale)^-(outer - inner); (1, 4) is Hernquist's, (1, 3) that of an NFW halo."""

    inner: float = 1.0
    outer: float = 4.0
    scale: float = 20.0

    def __post_init__(self) -> None:
        if not (np.isfinite([self.inner, self.outer]).all() and self.scale > 0 and self.outer >= self.inner):
            raise ConfigError(f"two power laws need a scale above 0 and an outer slope not below the inner, got {self}")

    def log_density(self, radius: ArrayLike) -> Array:
        """Natural logarithm of the density at radii (kpc)."""
        r = np.asarray(radius, dtype=np.float64)
        return np.asarray(-self.inner * np.log(r) - (self.outer - self.inner) * np.log1p(r / self.scale))


@dataclass(frozen=True)
class TabulatedTracer:
    """A density in a table, interpolated in the logarithms and gone on with as power laws at both ends.

    Parameters
    ----------
    radius : (n,) growing radii, kpc.
    density : (n,) positive densities.
    """

    radius: Array
    density: Array

    def __post_init__(self) -> None:
        r, nu = np.asarray(self.radius, dtype=np.float64), np.asarray(self.density, dtype=np.float64)
        good = r.ndim == 1 and len(r) >= 6 and r.shape == nu.shape and (r > 0).all() and (np.diff(r) > 0).all()
        if not good or not (np.isfinite(nu).all() and (nu > 0).all()):
            raise ConfigError("a tabulated density needs six or more growing radii and as many positive densities")

    def log_density(self, radius: ArrayLike) -> Array:
        """Natural logarithm of the density at radii (kpc)."""
        from scipy.interpolate import CubicSpline

        x, y = np.log(self.radius), np.log(self.density)
        spline = CubicSpline(x, y, bc_type="natural")
        at = np.log(np.asarray(radius, dtype=np.float64))
        inside = np.clip(at, x[0], x[-1])
        slope = np.where(at < x[0], spline(x[0], 1), spline(x[-1], 1))
        return np.asarray(spline(inside) + slope * (at - inside))
