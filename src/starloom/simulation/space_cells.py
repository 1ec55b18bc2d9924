"""Space around the Sun in cells, pixels of the sky times steps of distance: their volume, dust and stars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from starloom.errors import ConfigError

if TYPE_CHECKING:
    from starloom.dynamics.frames import GalacticFrame
    from starloom.simulation.milky_way import Galaxy
    from starloom.stellar.extinction import DustMap

Floats = NDArray[np.float64]

A_V_PER_EBV = 2.742
"""A_V over E(B-V) in the unit of Schlegel et al. (2011ApJ...737..103S, table 6, R_V = 3.1)."""

NEAREST, FARTHEST, STEPS = 0.003, 80.0, 90
"""The distances of the cells, kpc: logarithmic between these."""


@dataclass(frozen=True)
class SpaceCells:
    """Space around the Sun: HEALPix pixels times steps of distance.

    Parameters
    ----------
    edges : distances of the steps' edges (s + 1,), kpc.
    distance, modulus, volume : of each step: kpc, mag, pc^3 a pixel (s,).
    a_v : extinction in V to each cell (pixels, s).
    number_density : stars formed per pc^3 in each cell, one array a component (pixels, s).
    """

    edges: Floats
    distance: Floats
    modulus: Floats
    volume: Floats
    a_v: Floats
    number_density: tuple[Floats, ...]

    def place_in(self, step: NDArray[np.int64], rng: np.random.Generator) -> Floats:
        """Distances inside steps, uniform in volume (kpc)."""
        low, high = self.edges[step] ** 3, self.edges[step + 1] ** 3
        return np.asarray((low + rng.random(len(step)) * (high - low)) ** (1.0 / 3.0))


def cells_of(galaxy: Galaxy) -> SpaceCells:
    """The cells of space with the dust and the stars that a Galaxy has in them.

    Raises
    ------
    ConfigError
        When a component has a local density and no stars at the Sun.
    """
    import astropy.units as u
    from astropy_healpix import HEALPix

    edges = np.geomspace(NEAREST, FARTHEST, STEPS + 1)
    distance = (0.5 * (edges[1:] ** 3 + edges[:-1] ** 3)) ** (1.0 / 3.0)
    pixels = 12 * galaxy.nside**2
    volume = 4.0 * np.pi / pixels / 3.0 * np.diff(edges**3) * 1e9
    lon, lat = HEALPix(galaxy.nside, order="nested").healpix_to_lonlat(np.arange(pixels))
    l, b = lon.to_value(u.deg)[:, None], lat.to_value(u.deg)[:, None]
    x, y, z = positions(galaxy.frame, l, b, distance[None, :])
    sun = [np.array(value) for value in (-galaxy.frame.r0, 0.0, galaxy.frame.z_sun)]
    densities = []
    for part, library in zip(galaxy.components, galaxy.libraries, strict=True):
        shape = part.density(x, y, z)
        if part.local_density is not None:
            at_sun = float(part.density(*sun))
            if not at_sun > 0:
                raise ConfigError(f"component {part.name} has a local density and no stars at the Sun; give its mass")
            scale = part.local_density / at_sun
        else:
            scale = float(part.mass or 0.0) / float((shape * volume[None, :]).sum())
        densities.append(shape * scale / library.living_mass)
    a_v = np.concatenate(
        [extinction_to(galaxy.dust, l[k : k + 1024], b[k : k + 1024], distance) for k in range(0, pixels, 1024)]
    )
    return SpaceCells(edges, distance, 5.0 * np.log10(distance * 100.0), volume, a_v, tuple(densities))


def extinction_to(dust: DustMap | None, l: Floats, b: Floats, distance: Floats) -> Floats:
    """Extinction in V (mag) to places at l, b in deg and distance in kpc; zero without dust."""
    shape = np.broadcast_shapes(l.shape, b.shape, distance.shape)
    return np.zeros(shape) if dust is None else A_V_PER_EBV * np.broadcast_to(dust.ebv(l, b, distance), shape)


def places_in_pixels(nside: int, pixel: NDArray[np.int64], rng: np.random.Generator) -> tuple[Floats, Floats]:
    """l and b (deg), evenly over the area of each HEALPix pixel (nested), (n,)."""
    import astropy.units as u
    from astropy_healpix import HEALPix

    dx, dy = rng.random(len(pixel)), rng.random(len(pixel))
    lon, lat = HEALPix(nside, order="nested").healpix_to_lonlat(pixel, dx=dx, dy=dy)
    return np.asarray(lon.to_value(u.deg)), np.asarray(lat.to_value(u.deg))


def positions(frame: GalacticFrame, l: Floats, b: Floats, distance: Floats) -> tuple[Floats, Floats, Floats]:
    """Galactocentric coordinates in kpc (Sun at x = -R0) of places at l, b in deg and distance in kpc.

    The tilt of z_sun / R0 (0.15 deg) between the plane of b = 0 and the mid-plane is left out.
    """
    cos_b = np.cos(np.radians(b))
    return (
        distance * cos_b * np.cos(np.radians(l)) - frame.r0,
        distance * cos_b * np.sin(np.radians(l)),
        distance * np.sin(np.radians(b)) + frame.z_sun,
    )
