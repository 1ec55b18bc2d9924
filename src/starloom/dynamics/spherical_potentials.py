"""A spherical stand-in for a galaxy: the sphere that holds the same mass inside each radius."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.dynamics.components import G
from starloom.dynamics.potentials import Potential
from starloom.errors import ConfigError

Array = NDArray[np.float64]
RADII = (1e-4, 1e5)  # kpc: range of the table
PER_FACTOR_E = 60  # nodes for each factor of e in radius


@dataclass(frozen=True)
class SphericalPotential:
    """A spherical potential, tabulated over the logarithm of the radius.

    Parameters
    ----------
    log_radius : (n,) ln of radii in kpc, evenly spaced and growing.
    mass : (n,) mass inside each radius, Msun.

    Raises
    ------
    ConfigError
        When the radii are not evenly spaced, or the mass is not positive or falls.

    Examples
    --------
    >>> from starloom.dynamics.potentials import potential
    >>> sphere = SphericalPotential.of(potential("MWPotential2014"))
    >>> bool(150 < sphere.circular_velocity(8.0) < 230)
    True
    """

    log_radius: Array
    mass: Array

    def __post_init__(self) -> None:
        steps = np.diff(self.log_radius)
        if self.log_radius.ndim != 1 or len(self.log_radius) < 50 or self.mass.shape != self.log_radius.shape:
            raise ConfigError("a spherical potential needs 50 or more radii and as many masses")
        if not (np.allclose(steps, steps[0]) and steps[0] > 0):
            raise ConfigError("the logarithms of the radii must be evenly spaced and grow")
        if not (np.isfinite(self.mass).all() and (self.mass > 0).all() and (np.diff(self.mass) >= 0).all()):
            raise ConfigError("the enclosed mass must be positive and must not fall with radius")

    @classmethod
    def of(cls, potential: Potential, directions: int = 64) -> SphericalPotential:
        """The sphere with the enclosed mass of an axisymmetric potential, by Gauss's theorem over spherical surfaces.

        Parameters
        ----------
        potential : symmetric about the z axis.
        directions : polar angles of the surface integral; they crowd towards the plane, where a thin disk pulls.
        """
        log_radius = _grid()
        nodes, weights = np.polynomial.legendre.leggauss(directions)
        cosine = (0.5 * (nodes + 1.0)) ** 3  # a thin disk is sharp at the plane
        weight = 0.5 * weights * 3.0 * (0.5 * (nodes + 1.0)) ** 2
        unit = np.stack([np.sqrt(1.0 - cosine**2), np.zeros_like(cosine), cosine], axis=1)
        radius = np.exp(log_radius)
        inward = -np.sum(potential.acceleration(radius[:, None, None] * unit) * unit, axis=-1)
        mass = radius**2 * (inward @ weight) / G
        return cls(log_radius, np.maximum.accumulate(np.maximum(mass, 1e-30)))

    @classmethod
    def from_mass(cls, mass: object) -> SphericalPotential:
        """From a function that gives the mass (Msun) inside radii (n,) in kpc."""
        log_radius = _grid()
        return cls(log_radius, np.asarray(mass(np.exp(log_radius)), dtype=np.float64))  # type: ignore[operator]

    @property
    def slope(self) -> Array:
        """(n,) minus d psi / d ln r = G M / r, (km/s)^2."""
        return np.asarray(G * self.mass * np.exp(-self.log_radius))

    def depth(self) -> Array:
        """(n,) psi = -Phi, zero at infinity, (km/s)^2; beyond the table the mass is taken as constant."""
        from scipy.interpolate import make_interp_spline

        pull = make_interp_spline(self.log_radius, self.slope, k=5)
        integral = pull.antiderivative()
        beyond = self.slope[-1]
        return np.asarray(beyond + integral(self.log_radius[-1]) - integral(self.log_radius))

    def circular_velocity(self, radius: ArrayLike) -> Array:
        """Speed of the circular orbit (km/s) at radii (kpc)."""
        at = np.log(np.asarray(radius, dtype=np.float64))
        return np.asarray(np.sqrt(np.interp(at, self.log_radius, self.slope)))


def _grid() -> Array:
    low, high = np.log(RADII)
    return np.linspace(low, high, int(PER_FACTOR_E * (high - low)) + 1)
