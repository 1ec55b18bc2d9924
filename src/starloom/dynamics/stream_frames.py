"""Great-circle frames along a stream: phi1 along it, phi2 across, proper motions turned with them.

A frame is a rotation of the sky, given by the name of one of gala's stream frames, by the two poles of a rotation,
or by two points of the stream (as galstreams does). All conversions are plain matrix products on arrays: fast, and the
covariance of the proper motions is turned with the same matrix.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.dynamics.frames import MAS_YR_KPC, GalacticFrame
from starloom.errors import ConfigError

Array = NDArray[np.float64]


def _unit(longitude: ArrayLike, latitude: ArrayLike) -> Array:
    lon, lat = np.radians(np.asarray(longitude, dtype=float)), np.radians(np.asarray(latitude, dtype=float))
    return np.stack([np.cos(lon) * np.cos(lat), np.sin(lon) * np.cos(lat), np.sin(lat)], axis=-1)


def _east_north(longitude: Array, latitude: Array) -> tuple[Array, Array]:
    lon, lat = np.radians(longitude), np.radians(latitude)
    zero = np.zeros_like(lon)
    east = np.stack([-np.sin(lon), np.cos(lon), zero], axis=-1)
    north = np.stack([-np.cos(lon) * np.sin(lat), -np.sin(lon) * np.sin(lat), np.cos(lat)], axis=-1)
    return east, north


@dataclass(frozen=True)
class StreamFrame:
    """A rotated sky.

    Parameters
    ----------
    name : what to call it.
    rotation : rows of the matrix that takes an ICRS unit vector to the frame, shape (3, 3) as nested tuples.
    """

    name: str
    rotation: tuple[tuple[float, float, float], ...]

    def __post_init__(self) -> None:
        matrix = self.matrix
        if matrix.shape != (3, 3) or not np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-9):
            raise ConfigError(f"frame {self.name!r}: the matrix is not a rotation")
        if np.linalg.det(matrix) < 0:
            raise ConfigError(f"frame {self.name!r}: the matrix is left-handed")

    @property
    def matrix(self) -> Array:
        """The rotation, shape (3, 3)."""
        return np.asarray(self.rotation, dtype=np.float64)

    @classmethod
    def named(cls, name: str) -> StreamFrame:
        """One of gala's stream frames, such as "GD1Koposov10" or "Pal5PriceWhelan18".

        Raises
        ------
        ConfigError
            When gala has no such frame; the message lists those it has.
        """
        import astropy.coordinates as coordinates
        import astropy.units as u
        import gala.coordinates as gala_coordinates

        known = [key for key in dir(gala_coordinates) if key[0].isupper() and any(c.isdigit() for c in key)]
        if name not in known:
            raise ConfigError(f"no stream frame {name!r}; gala has {', '.join(sorted(known))}")
        axes = coordinates.SkyCoord([0, 90, 0] * u.deg, [0, 0, 90] * u.deg, frame="icrs").transform_to(
            getattr(gala_coordinates, name)()
        )
        # gala writes some matrices with eight digits: take the nearest true rotation
        left, _, right = np.linalg.svd(axes.represent_as("unitspherical").to_cartesian().xyz.value)
        return cls._of(name, left @ right)

    @classmethod
    def from_poles(cls, name: str, pole: tuple[float, float], origin: tuple[float, float]) -> StreamFrame:
        """A frame from its north pole and the point where phi1 = 0.

        Parameters
        ----------
        pole, origin : (ra, dec) in deg. The origin is moved onto the equator of the pole along their great circle.
        """
        north, start = _unit(*pole), _unit(*origin)
        start = start - north * (start @ north)
        if np.linalg.norm(start) < 1e-6:
            raise ConfigError(f"frame {name!r}: the origin lies at the pole")
        start = start / np.linalg.norm(start)
        return cls._of(name, np.stack([start, np.cross(north, start), north]))

    @classmethod
    def from_ends(cls, name: str, first: tuple[float, float], last: tuple[float, float]) -> StreamFrame:
        """The great circle through two points; phi1 = 0 half-way and grows from the first to the last.

        Parameters
        ----------
        first, last : (ra, dec) in deg, distinct and not opposite.
        """
        a, b = _unit(*first), _unit(*last)
        north = np.cross(a, b)
        if np.linalg.norm(north) < 1e-9 or np.linalg.norm(a + b) < 1e-9:
            raise ConfigError(f"frame {name!r}: two distinct points that are not opposite are needed")
        north, start = north / np.linalg.norm(north), (a + b) / np.linalg.norm(a + b)
        return cls._of(name, np.stack([start, np.cross(north, start), north]))

    @classmethod
    def _of(cls, name: str, matrix: Array) -> StreamFrame:
        rows = [(float(x), float(y), float(z)) for x, y, z in matrix]
        return cls(name, tuple(rows))

    def to_frame(self, ra: ArrayLike, dec: ArrayLike) -> tuple[Array, Array]:
        """Longitude phi1 in (-180, 180] and latitude phi2 (deg) of ICRS positions (deg)."""
        vector = _unit(ra, dec) @ self.matrix.T
        phi1 = np.degrees(np.arctan2(vector[..., 1], vector[..., 0]))
        return phi1, np.degrees(np.arctan2(vector[..., 2], np.hypot(vector[..., 0], vector[..., 1])))

    def to_icrs(self, phi1: ArrayLike, phi2: ArrayLike) -> tuple[Array, Array]:
        """Right ascension in [0, 360) and declination (deg) of positions in the frame (deg)."""
        vector = _unit(phi1, phi2) @ self.matrix
        ra = np.degrees(np.arctan2(vector[..., 1], vector[..., 0])) % 360.0
        return ra, np.degrees(np.arctan2(vector[..., 2], np.hypot(vector[..., 0], vector[..., 1])))

    def turn(self, ra: ArrayLike, dec: ArrayLike) -> Array:
        """The 2 x 2 rotations from (pmra, pmdec) to (pm_phi1_cosphi2, pm_phi2) at ICRS positions, shape (n, 2, 2)."""
        ra, dec = np.asarray(ra, dtype=float), np.asarray(dec, dtype=float)
        phi1, phi2 = self.to_frame(ra, dec)
        old = np.stack(_east_north(ra, dec), axis=-2) @ self.matrix.T
        new = np.stack(_east_north(phi1, phi2), axis=-2)
        return np.asarray(new @ np.swapaxes(old, -1, -2))

    def reflex(
        self, phi1: ArrayLike, phi2: ArrayLike, distance: ArrayLike, frame: GalacticFrame | None = None
    ) -> Array:
        """Proper motion that the Sun's motion gives to a star at rest in the Galaxy, shape (n, 2) in mas/yr.

        Subtract it from the observed (pm_phi1_cosphi2, pm_phi2) to correct them for the solar reflex motion.

        Parameters
        ----------
        phi1, phi2 : positions in this frame (deg).
        distance : kpc.
        frame : the Sun's motion (default: astropy v4.0).
        """
        phi1, phi2 = np.asarray(phi1, dtype=float), np.asarray(phi2, dtype=float)
        distance = np.asarray(distance, dtype=float)
        if not (distance > 0).all():
            raise ConfigError("the solar reflex needs positive distances")
        galaxy = frame or GalacticFrame()
        velocity = self.matrix @ (galaxy.rotation.T @ galaxy.sun.v)  # the Sun's velocity along the stream's axes
        east, north = _east_north(phi1, phi2)
        motion = np.stack([-(east @ velocity), -(north @ velocity)], axis=-1)
        return np.asarray(motion / (MAS_YR_KPC * distance[..., None]))
