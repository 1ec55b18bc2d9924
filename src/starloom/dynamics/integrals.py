"""Integrals of motion: energy and angular momentum, and how they stand to the disk."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.dynamics.potentials import Potential

Array = NDArray[np.float64]


def energy(potential: Potential, x: ArrayLike, v: ArrayLike) -> Array:
    """Energy per mass, (km/s)^2.

    Parameters
    ----------
    potential : the Galaxy.
    x, v : (..., 3) positions (kpc) and velocities (km/s).

    Examples
    --------
    >>> from starloom.dynamics.potentials import potential
    >>> bool(energy(potential("MWPotential2014"), [-8.0, 0, 0], [0, 220.0, 0]) < 0)
    True
    """
    motion = np.asarray(v, dtype=np.float64)
    return np.asarray(potential.value(x) + 0.5 * np.sum(motion * motion, axis=-1))


def angular_momentum(x: ArrayLike, v: ArrayLike) -> Array:
    """(..., 3) angular momentum l_x, l_y, l_z in kpc km/s, in the handedness of x and v."""
    return np.cross(np.asarray(x, dtype=np.float64), np.asarray(v, dtype=np.float64))


def l_perp(x: ArrayLike, v: ArrayLike) -> Array:
    """Angular momentum in the plane, sqrt(l_x^2 + l_y^2) in kpc km/s.

    Outside of a spherical potential it is not conserved: take its median along the orbit (``Orbits.l_perp``).
    """
    momentum = angular_momentum(x, v)
    return np.asarray(np.hypot(momentum[..., 0], momentum[..., 1]))
