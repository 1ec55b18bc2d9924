"""The focal length of the spheroidal coordinates in which a star's orbit separates best.

Sanders 2012 (arXiv:1208.2813, equation 9) gives it from the second derivatives of the potential at a point. Taken
where a star happens to be it is noisy and changes along the orbit, and the actions with it; so here it is, for each
energy and angular momentum, the median along one orbit that moves in radius and height alike. A table of some hundred
such orbits serves all stars of a potential.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.dynamics.orbits import TIME_UNIT, integrate
from starloom.dynamics.potentials import Potential
from starloom.errors import ConfigError

Array = NDArray[np.float64]
RADII = (0.02, 400.0)  # kpc, of the circular orbits whose energies the table has
ENERGIES, SHAPES = 40, 14
LEAST = 0.01  # focal lengths are at least this share of the radius of the circular orbit of the same energy
PERIODS, POINTS = 6.0, 80
STEP = 1e-3  # of the radius, for second derivatives


def local_focal_length(potential: Potential, x: ArrayLike) -> Array:
    """Focal length from the potential's derivatives at each point.

    Parameters
    ----------
    potential : an axisymmetric one.
    x : (n, 3) kpc.

    Returns
    -------
    ndarray
        (n,) kpc; NaN where its square comes out negative, as it does where the potential is flattened the other way.
    """
    place = np.atleast_2d(np.asarray(x, dtype=np.float64))
    radius = np.hypot(place[:, 0], place[:, 1])
    distance = np.hypot(radius, place[:, 2])
    z = np.where(np.abs(place[:, 2]) < STEP * distance, STEP * distance, np.abs(place[:, 2]))
    r = np.maximum(radius, STEP * distance)
    h = STEP * distance

    def pull(dr: Array | float, dz: Array | float) -> Array:
        points = np.stack([r + dr, np.zeros_like(r), z + dz], axis=-1)
        return potential.acceleration(points)[:, [0, 2]]

    here = pull(0.0, 0.0)
    along_r = (pull(h, 0.0) - pull(-h, 0.0)) / (2.0 * h)[:, None]
    along_z = (pull(0.0, h) - pull(0.0, -h)) / (2.0 * h)[:, None]
    # accelerations are minus the derivatives: the signs cancel in the ratio
    above = 3.0 * z * here[:, 0] - 3.0 * r * here[:, 1] + r * z * (along_r[:, 0] - along_z[:, 1])
    with np.errstate(divide="ignore", invalid="ignore"):
        square = z * z - r * r + above / along_r[:, 1]
        return np.asarray(np.where(square > 0, np.sqrt(square), np.nan))


@dataclass(frozen=True, eq=False)
class FocalTable:
    """Focal lengths of a potential over energy and angular momentum.

    Parameters
    ----------
    energies : (k,) of circular orbits at ``radii``, (km/s)^2, increasing.
    radii, momenta : (k,) radius (kpc) and angular momentum (kpc km/s) of those orbits.
    shapes : (m,) L_z over that of the circular orbit of the same energy.
    ratios : (k, m) focal length over ``radii``.
    """

    energies: Array
    radii: Array
    momenta: Array
    shapes: Array
    ratios: Array

    def __call__(self, energy: ArrayLike, l_z: ArrayLike) -> Array:
        """Focal lengths (n,) in kpc of stars with energies (km/s)^2 and L_z (kpc km/s); at the edge beyond the table.

        NaN where an input is NaN.
        """
        e, momentum = np.asarray(energy, dtype=np.float64), np.abs(np.asarray(l_z, dtype=np.float64))
        row = np.interp(e, self.energies, np.arange(len(self.energies), dtype=float))
        low = np.minimum(np.nan_to_num(row).astype(np.int64), len(self.energies) - 2)
        part = row - low
        log_radius = (1 - part) * np.log(self.radii[low]) + part * np.log(self.radii[low + 1])
        circular = (1 - part) * self.momenta[low] + part * self.momenta[low + 1]
        column = np.interp(momentum / circular, self.shapes, np.arange(len(self.shapes), dtype=float))
        left = np.minimum(np.nan_to_num(column).astype(np.int64), len(self.shapes) - 2)
        side = column - left
        lower = (1 - side) * self.ratios[low, left] + side * self.ratios[low, left + 1]
        upper = (1 - side) * self.ratios[low + 1, left] + side * self.ratios[low + 1, left + 1]
        return np.asarray(np.exp(log_radius) * ((1 - part) * lower + part * upper))


@functools.lru_cache(maxsize=16)
def focal_table(potential: Potential) -> FocalTable:
    """The table of a potential, made once: one orbit for each energy and angular momentum.

    Raises
    ------
    ConfigError
        When the energies of circular orbits do not grow with radius.
    """
    radii = np.geomspace(*RADII, ENERGIES)
    plane = np.stack([radii, np.zeros_like(radii), np.zeros_like(radii)], axis=-1)
    speed = potential.circular_velocity(radii)
    energies = potential.value(plane) + 0.5 * speed**2
    if not (np.diff(energies) > 0).all():
        raise ConfigError(f"potential {potential.name!r}: circular orbits have no order in energy, so no focal lengths")
    shapes = 1.0 - np.linspace(1.0, 0.02, SHAPES) ** 1.5
    shapes[0] = 0.03
    momenta = radii * speed
    wanted = momenta[:, None] * shapes
    # each orbit starts in the plane where its angular momentum alone would hold it, with the rest of its energy shared
    guide = np.exp(np.interp(np.log(wanted), np.log(momenta), np.log(radii))).ravel()
    start = np.stack([guide, np.zeros_like(guide), np.zeros_like(guide)], axis=-1)
    around = wanted.ravel() / guide
    rest = 2.0 * (np.repeat(energies, SHAPES) - potential.value(start)) - around**2
    rest = np.sqrt(np.maximum(rest, 1e-4 * around**2) / 2.0)
    velocity = np.stack([rest, around, rest], axis=-1)
    period = 2.0 * np.pi * np.repeat(radii / speed, SHAPES) * TIME_UNIT
    times = period[:, None] * PERIODS * (np.arange(POINTS) + 0.5) / POINTS
    paths = integrate(potential, start, velocity, times, tolerance=1e-8).positions
    found = local_focal_length(potential, paths.reshape(-1, 3)).reshape(len(guide), POINTS)
    typical = np.median(np.nan_to_num(found), axis=1).reshape(ENERGIES, SHAPES)
    return FocalTable(energies, radii, momenta, shapes, np.maximum(typical / radii[:, None], LEAST))
