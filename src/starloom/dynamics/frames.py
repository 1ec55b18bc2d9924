"""Where the Sun is and how it moves: the one object that every conversion to the Galaxy's frame goes through."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.dynamics.coordinate_errors import draw_errors, require_covariance
from starloom.errors import ConfigError
from starloom.seeds import generator

if TYPE_CHECKING:
    from astropy.coordinates import Galactocentric

Array = NDArray[np.float64]
Handedness = Literal["right", "left"]
MAS_YR_KPC = 4.740470463533348  # km/s of one mas/yr at one kpc: astronomical unit / Julian year, exact constants
# The rows are the axes of Galactic coordinates in ICRS: towards l = 0, towards l = 90, towards the pole; as the
# Hipparcos catalog defines them (ESA SP-1200, section 1.5.3)
GALACTIC = np.array(
    [
        [-0.0548755604162154, -0.8734370902348850, -0.4838350155487132],
        [0.4941094278755837, -0.4448296299600112, 0.7469822444972189],
        [-0.8676661490190047, -0.1980763734312015, 0.4559837761750669],
    ]
)
# Galactic center and the roll of the Galactic plane in ICRS, as astropy's Galactocentric has them (deg)
CENTER_RA, CENTER_DEC, ROLL = 266.4051, -28.936175, 58.5986320306
ROTATING_DISK = 100.0  # median rotation (km/s) that only a disk has


class PhaseSpace(NamedTuple):
    """Galactocentric positions (n, 3) in kpc and velocities (n, 3) in km/s."""

    x: Array
    v: Array


class Observed(NamedTuple):
    """What is seen from the Sun: deg, deg, kpc, mas/yr (with cos dec), mas/yr, km/s; each (n,)."""

    ra: Array
    dec: Array
    distance: Array
    pmra: Array
    pmdec: Array
    radial_velocity: Array


@dataclass(frozen=True)
class GalacticFrame:
    """The Sun's place and motion in the Galaxy.

    Right-handed frames have the Sun at x = -R0 (astropy, gala): the disk turns with L_z < 0. Left-handed ones have it
    at x = +R0 (galpy): the disk turns with L_z > 0. Ask :meth:`prograde` rather than look at a sign.

    Parameters
    ----------
    r0 : distance of the Sun from the Galactic center (kpc).
    z_sun : height of the Sun above the mid-plane (kpc).
    v_sun : velocity of the Sun (km/s), shape (3,): towards the center, along rotation, to the north Galactic pole.
    name : what to call it.
    handedness : "right" or "left".

    The default is astropy's "v4.0" set (GRAVITY Collaboration 2018, Drimmel & Poggio 2018, Bennett & Bovy 2019).

    Raises
    ------
    ConfigError
        When a number is not finite, R0 is not positive, the height is not below R0, or the handedness is unknown.

    Examples
    --------
    >>> frame = GalacticFrame.named("astropy_v4.0")
    >>> x, v = frame.to_galactocentric(266.4051, -28.936175, 8.122, 0.0, 0.0, 0.0)
    >>> abs(x[0]).max() < 0.03
    np.True_
    """

    r0: float = 8.122
    z_sun: float = 0.0208
    v_sun: tuple[float, float, float] = (12.9, 245.6, 7.78)
    name: str = "astropy v4.0"
    handedness: Handedness = "right"

    def __post_init__(self) -> None:
        numbers = (self.r0, self.z_sun, *self.v_sun)
        if len(self.v_sun) != 3 or not all(math.isfinite(number) for number in numbers):
            raise ConfigError(f"frame {self.name!r}: r0, z_sun and the three numbers of v_sun must be finite")
        if self.r0 <= 0 or abs(self.z_sun) >= self.r0:
            raise ConfigError(f"frame {self.name!r}: r0 must be positive and |z_sun| below it, got {self.r0:g} kpc")
        if self.handedness not in ("right", "left"):
            raise ConfigError(f"frame {self.name!r}: handedness is 'right' or 'left', got {self.handedness!r}")

    @classmethod
    def named(cls, name: str) -> GalacticFrame:
        """A preset: see :func:`frame_names`.

        Raises
        ------
        ConfigError
            When the name is unknown.

        Examples
        --------
        >>> GalacticFrame.named("galpy").handedness
        'left'
        """
        presets = _presets()
        if name not in presets:
            raise ConfigError(f"no Galactic frame {name!r}; there are {', '.join(presets)}")
        return presets[name]

    @classmethod
    def from_rotation(
        cls,
        r0: float,
        circular_velocity: float,
        peculiar: tuple[float, float, float] = (11.1, 12.24, 7.25),
        z_sun: float = 0.0208,
        name: str = "own",
        handedness: Handedness = "right",
    ) -> GalacticFrame:
        """A frame from the circular speed at the Sun and the Sun's peculiar motion (U, V, W), all in km/s.

        The default peculiar motion is that of Schoenrich, Binney & Dehnen 2010 (0912.3693), the default height that of
        Bennett & Bovy 2019 (1809.03507).
        """
        u, v, w = peculiar
        return cls(r0, z_sun, (u, v + circular_velocity, w), name, handedness)

    def galactocentric(self) -> Galactocentric:
        """The same frame as astropy's object, which is right-handed always."""
        import astropy.coordinates as coordinates
        import astropy.units as u

        return coordinates.Galactocentric(
            galcen_coord=coordinates.ICRS(CENTER_RA * u.deg, CENTER_DEC * u.deg),
            galcen_distance=self.r0 * u.kpc,
            galcen_v_sun=coordinates.CartesianDifferential(*(self.v_sun * u.km / u.s)),
            z_sun=self.z_sun * u.kpc,
        )

    @functools.cached_property
    def rotation(self) -> Array:
        """The matrix from ICRS axes to this frame's, shape (3, 3); its determinant is -1 in a left-handed frame."""
        tilt = -math.asin(self.z_sun / self.r0)
        matrix = (
            _about("y", tilt)
            @ _about("x", math.radians(ROLL))
            @ _about("y", -math.radians(CENTER_DEC))
            @ _about("z", math.radians(CENTER_RA))
        )
        return np.diag([self._mirror, 1.0, 1.0]) @ matrix

    @property
    def _mirror(self) -> float:
        return 1.0 if self.handedness == "right" else -1.0

    @functools.cached_property
    def sun(self) -> PhaseSpace:
        """Where the Sun is (kpc) and how it moves (km/s), shape (3,) each."""
        x = np.array([-self._mirror * math.sqrt(self.r0**2 - self.z_sun**2), 0.0, self.z_sun])
        u, v, w = self.v_sun
        return PhaseSpace(x, np.array([self._mirror * u, v, w]))

    def to_galactocentric(
        self,
        ra: ArrayLike,
        dec: ArrayLike,
        distance: ArrayLike,
        pmra: ArrayLike,
        pmdec: ArrayLike,
        radial_velocity: ArrayLike,
    ) -> PhaseSpace:
        """Positions and velocities in the Galaxy of stars seen from the Sun.

        Parameters
        ----------
        ra, dec : ICRS position (deg).
        distance : kpc.
        pmra, pmdec : proper motion (mas/yr), pmra with cos(dec).
        radial_velocity : km/s.

        Returns
        -------
        PhaseSpace
            x (n, 3) kpc and v (n, 3) km/s. NaN where an input is NaN or the distance is not positive.
        """
        return PhaseSpace(*self._cartesian(*_columns(ra, dec, distance, pmra, pmdec, radial_velocity)))

    def _cartesian(
        self, ra: Array, dec: Array, distance: Array, pmra: Array, pmdec: Array, radial_velocity: Array
    ) -> tuple[Array, Array]:
        reach = np.where(distance > 0, distance, np.nan)
        radial, east, north = sky_axes(ra, dec)
        position = reach[:, None] * radial
        motion = MAS_YR_KPC * reach
        velocity = (
            radial_velocity[:, None] * radial + (motion * pmra)[:, None] * east + (motion * pmdec)[:, None] * north
        )
        return position @ self.rotation.T + self.sun.x, velocity @ self.rotation.T + self.sun.v

    def from_galactic(self, l: ArrayLike, b: ArrayLike, distance: ArrayLike) -> Array:
        """Positions about the Galactic center of Galactic coordinates.

        Parameters
        ----------
        l, b : Galactic longitude and latitude, deg; they and the distance broadcast.
        distance : from the Sun, kpc.

        Returns
        -------
        ndarray
            (..., 3) kpc.
        """
        lon, lat, far = np.broadcast_arrays(
            np.radians(np.asarray(l, float)), np.radians(np.asarray(b, float)), np.asarray(distance, float)
        )
        toward = np.stack([np.cos(lon) * np.cos(lat), np.sin(lon) * np.cos(lat), np.sin(lat)], axis=-1)
        return np.asarray((far[..., None] * toward) @ (GALACTIC @ self.rotation.T) + self.sun.x)

    def to_galactic(self, x: ArrayLike) -> tuple[Array, Array, Array]:
        """Galactic longitude in [0, 360) and latitude (deg) and distance (kpc) of positions (..., 3) in kpc."""
        seen = (np.asarray(x, dtype=float) - self.sun.x) @ (GALACTIC @ self.rotation.T).T
        lon = np.degrees(np.arctan2(seen[..., 1], seen[..., 0])) % 360.0
        lat = np.degrees(np.arctan2(seen[..., 2], np.hypot(seen[..., 0], seen[..., 1])))
        return lon, lat, np.linalg.norm(seen, axis=-1)

    def to_icrs(self, x: ArrayLike, v: ArrayLike) -> Observed:
        """What stars at Galactocentric positions (n, 3) kpc with velocities (n, 3) km/s look like from the Sun.

        Returns
        -------
        Observed
            ra in [0, 360), dec (deg), distance (kpc), pmra with cos(dec), pmdec (mas/yr), radial_velocity (km/s).
        """
        position, velocity = self._from_sun(x, v)
        distance = np.linalg.norm(position, axis=-1)
        ra = np.degrees(np.arctan2(position[:, 1], position[:, 0])) % 360.0
        dec = np.degrees(np.arctan2(position[:, 2], np.hypot(position[:, 0], position[:, 1])))
        radial, east, north = sky_axes(ra, dec)
        with np.errstate(divide="ignore", invalid="ignore"):
            pmra = np.sum(velocity * east, axis=-1) / (MAS_YR_KPC * distance)
            pmdec = np.sum(velocity * north, axis=-1) / (MAS_YR_KPC * distance)
        return Observed(ra, dec, distance, pmra, pmdec, np.sum(velocity * radial, axis=-1))

    def _from_sun(self, x: ArrayLike, v: ArrayLike) -> tuple[Array, Array]:
        place, motion = np.atleast_2d(np.asarray(x, float)), np.atleast_2d(np.asarray(v, float))
        if place.shape != motion.shape or place.shape[-1] != 3 or place.ndim != 2:
            raise ConfigError(f"positions and velocities must both be (n, 3), got {place.shape} and {motion.shape}")
        return (place - self.sun.x) @ self.rotation, (motion - self.sun.v) @ self.rotation

    def jacobian(
        self,
        ra: ArrayLike,
        dec: ArrayLike,
        distance: ArrayLike,
        pmra: ArrayLike,
        pmdec: ArrayLike,
        radial_velocity: ArrayLike,
    ) -> Array:
        """Derivatives of (x, v) with respect to (ra cos(dec), dec, distance, pmra, pmdec, radial_velocity).

        Returns
        -------
        ndarray
            (n, 6, 6): rows in kpc and km/s, columns per deg, deg, kpc, mas/yr, mas/yr, km/s.
        """
        ra, dec, distance, pmra, pmdec, velocity = _columns(ra, dec, distance, pmra, pmdec, radial_velocity)
        distance = np.where(distance > 0, distance, np.nan)
        radial, east, north = sky_axes(ra, dec)
        angle, k = math.pi / 180.0, MAS_YR_KPC
        tangent = np.tan(np.radians(dec))
        result = np.zeros((len(ra), 6, 6))
        d = distance[:, None]
        result[:, :3, 0], result[:, :3, 1], result[:, :3, 2] = d * east * angle, d * north * angle, radial
        # Along a parallel, per angle on the sky: e -> tan(dec) n - r, n -> -tan(dec) e, r -> e. Along a meridian:
        # e stays, n -> -r, r -> n.
        east_turn = tangent[:, None] * north - radial
        result[:, 3:, 0] = angle * (
            velocity[:, None] * east + k * d * (pmra[:, None] * east_turn - (pmdec * tangent)[:, None] * east)
        )
        result[:, 3:, 1] = angle * (velocity[:, None] * north - k * d * pmdec[:, None] * radial)
        result[:, 3:, 2] = k * (pmra[:, None] * east + pmdec[:, None] * north)
        result[:, 3:, 3], result[:, 3:, 4], result[:, 3:, 5] = k * d * east, k * d * north, radial
        turned = np.empty_like(result)
        turned[:, :3], turned[:, 3:] = self.rotation @ result[:, :3], self.rotation @ result[:, 3:]
        return turned

    def propagate_covariance(
        self,
        ra: ArrayLike,
        dec: ArrayLike,
        distance: ArrayLike,
        pmra: ArrayLike,
        pmdec: ArrayLike,
        radial_velocity: ArrayLike,
        covariance: ArrayLike,
    ) -> Array:
        """Covariance of (x, v), to first order in the errors.

        Parameters
        ----------
        covariance : (n, 6, 6) or (6, 6) of (ra cos(dec), dec, distance, pmra, pmdec, radial_velocity) in deg, deg, kpc,
            mas/yr, mas/yr, km/s.

        Returns
        -------
        ndarray
            (n, 6, 6) in kpc and km/s.

        Raises
        ------
        ConfigError
            When the covariance has another shape, is not symmetric, or has a negative variance.
        """
        jacobian = self.jacobian(ra, dec, distance, pmra, pmdec, radial_velocity)
        return np.asarray(jacobian @ require_covariance(covariance, len(jacobian)) @ np.swapaxes(jacobian, -1, -2))

    def sample(
        self,
        ra: ArrayLike,
        dec: ArrayLike,
        distance: ArrayLike,
        pmra: ArrayLike,
        pmdec: ArrayLike,
        radial_velocity: ArrayLike,
        covariance: ArrayLike,
        count: int,
        seed: int | np.random.Generator,
    ) -> PhaseSpace:
        """Draws of (x, v) from normal errors of what is seen, without the first-order step of the covariance.

        Parameters
        ----------
        covariance : as for :meth:`propagate_covariance`.
        count : draws of each star.
        seed : of the draws.

        Returns
        -------
        PhaseSpace
            x and v, (n, count, 3); NaN for draws at distances that are not positive and for stars with a NaN.
        """
        columns = _columns(ra, dec, distance, pmra, pmdec, radial_velocity)
        matrix = require_covariance(covariance, len(columns[0]))
        shifts = draw_errors(matrix, count, generator(seed))
        shifts[..., 0] /= np.cos(np.radians(columns[1]))[:, None]
        drawn = [(column[:, None] + shifts[..., k]).ravel() for k, column in enumerate(columns)]
        x, v = self._cartesian(*drawn)
        shape = (len(columns[0]), count, 3)
        return PhaseSpace(x.reshape(shape), v.reshape(shape))

    def prograde(self, l_z: ArrayLike) -> NDArray[np.bool_]:
        """Whether stars turn with the disk, from their L_z in this frame; False where it is NaN or zero."""
        return np.asarray(self._mirror * np.asarray(l_z, dtype=float) < 0)

    def turning(self, l_z: ArrayLike) -> Array:
        """L_z counted so that the disk's is positive, whatever the handedness."""
        return np.asarray(-self._mirror * np.asarray(l_z, dtype=float))

    def mirrored(self, x: ArrayLike, v: ArrayLike, least: int = 20) -> bool | None:
        """Whether a table's Galactocentric positions or velocities look as if they were of the other handedness.

        Stars of a survey lie about the Sun, and those near it (1 kpc) turn with the disk. When the median rotation near
        the Sun is more than 100 km/s the wrong way, or the stars lie about the Sun's mirror image, something was
        mirrored.

        Parameters
        ----------
        x, v : (n, 3) kpc and km/s, said to be in this frame.
        least : stars needed near the Sun or its mirror image.

        Returns
        -------
        bool or None
            None where too few stars are near either place to tell.
        """
        place, motion = np.atleast_2d(np.asarray(x, float)), np.atleast_2d(np.asarray(v, float))
        image = self.sun.x * np.array([-1.0, 1.0, 1.0])
        near = np.linalg.norm(place - self.sun.x, axis=-1) < 1.0
        across = np.linalg.norm(place - image, axis=-1) < 1.0
        if max(near.sum(), across.sum()) < least:
            return None
        if across.sum() > 3 * near.sum():
            return True
        rotation = np.median(self.turning(place[near, 0] * motion[near, 1] - place[near, 1] * motion[near, 0]))
        return bool(rotation / self.r0 < -ROTATING_DISK)


def sky_axes(ra: Array, dec: Array) -> tuple[Array, Array, Array]:
    """Unit vectors outwards, east and north at ICRS positions (deg), shape (n, 3) each."""
    lon, lat = np.radians(ra), np.radians(dec)
    sin_lon, cos_lon, sin_lat, cos_lat = np.sin(lon), np.cos(lon), np.sin(lat), np.cos(lat)
    radial = np.stack([cos_lon * cos_lat, sin_lon * cos_lat, sin_lat], axis=-1)
    east = np.stack([-sin_lon, cos_lon, np.zeros_like(lon)], axis=-1)
    north = np.stack([-cos_lon * sin_lat, -sin_lon * sin_lat, cos_lat], axis=-1)
    return radial, east, north


def frame_names() -> tuple[str, ...]:
    """Names of the presets of :meth:`GalacticFrame.named`."""
    return tuple(_presets())


@functools.cache
def _presets() -> dict[str, GalacticFrame]:
    # Bland-Hawthorn & Gerhard 2016 with Schoenrich et al. 2010 for v3.1; the rest as in the class's own text.
    return {
        "astropy_v4.0": GalacticFrame(),
        "astropy_v3.1": GalacticFrame(8.3, 0.027, (11.1, 232.24, 7.25), "astropy v3.1"),
        "galpy": GalacticFrame.from_rotation(8.0, 220.0, name="galpy", handedness="left"),
        "schoenrich": GalacticFrame.from_rotation(8.27, 238.0, (13.84, 12.24, 7.25), name="Schoenrich 2012"),
        "mcmillan": GalacticFrame.from_rotation(8.21, 233.1, (8.6, 13.9, 7.1), name="McMillan 2017"),
    }


def _columns(*values: ArrayLike) -> list[Array]:
    arrays = np.broadcast_arrays(*(np.atleast_1d(np.asarray(value, dtype=np.float64)) for value in values))
    if arrays[0].ndim != 1:
        raise ConfigError(f"coordinates must be numbers or one-dimensional arrays, got shape {arrays[0].shape}")
    return list(arrays)


def _about(axis: str, angle: float) -> Array:
    """Rotation of the axes about one of them."""
    c, s = math.cos(angle), math.sin(angle)
    if axis == "x":
        return np.array([[1, 0, 0], [0, c, s], [0, -s, c]])
    if axis == "y":
        return np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    return np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
