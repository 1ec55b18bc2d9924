"""How much dust dims each band: extinction per unit reddening, and dust maps in three dimensions.

A `DustMap` is anything with a method ``ebv(l, b, distance)``: the analytic disk here, or the user's own map of the
packages dustmaps and mwdust, which bring or fetch their data themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from starloom.errors import ConfigError

COEFFICIENTS = {
    "ps1_g": 3.518,
    "ps1_r": 2.617,
    "ps1_i": 1.971,
    "ps1_z": 1.549,
    "ps1_y": 1.263,
    "2mass_j": 0.7927,
    "2mass_h": 0.4690,
    "2mass_ks": 0.3026,
}
"""A_band / E for the reddening unit of the Bayestar19 dust map (2019ApJ...887...93G, table 1).

arXiv:2311.16960 takes g, r, i, z, y from the same table; its g is printed 3.158, two digits exchanged.
"""

SFD_COEFFICIENTS = {"ps1_g": 3.172, "ps1_r": 2.271, "ps1_i": 1.682, "ps1_z": 1.322, "ps1_y": 1.087}
"""A_band / E(B-V) for the map of 1998ApJ...500..525S as it stands (2011ApJ...737..103S, table 6, R_V = 3.1).

That map's E(B-V) is too large by 14 %, which these coefficients allow for. The coefficients above are for the same
unit (both redden g-r by 0.901 mag per mag), but for another extinction law, with more gray extinction.
"""

UNITS = ("bayestar19", "sfd")


def extinction_coefficient(band: str, unit: str = "bayestar19") -> float:
    """A_band / E(B-V) of a band, in mag per mag of reddening in the unit of a dust map.

    Parameters
    ----------
    band : name of the band.
    unit : the map that the reddening is from: "bayestar19" or "sfd".

    Raises
    ------
    ConfigError
        When no coefficient is known for the band.

    Examples
    --------
    >>> extinction_coefficient("ps1_r")
    2.617
    """
    if unit not in UNITS:
        raise ConfigError(f"no reddening in the unit of {unit!r} is known; there are: {', '.join(UNITS)}")
    known = COEFFICIENTS if unit == "bayestar19" else SFD_COEFFICIENTS
    if band not in known:
        raise ConfigError(f"no extinction coefficient is known for {band!r}; there are: {', '.join(known)}")
    return known[band]


def deredden(magnitudes: ArrayLike, band: str, ebv: ArrayLike, unit: str = "bayestar19") -> NDArray[np.float64]:
    """Magnitudes corrected for dust.

    Parameters
    ----------
    magnitudes : observed magnitudes (n,).
    band : name of the band, such as ``ps1_g``.
    ebv : reddening E(B-V) in mag, (n,) or one number; NaN gives NaN.
    unit : the map that it is from, "bayestar19" or "sfd".

    Returns
    -------
    magnitudes : shape (n,), in mag.

    Raises
    ------
    ConfigError
        When the band has no coefficient, the lengths differ, or a reddening is infinite.

    Examples
    --------
    >>> deredden([20.0], "ps1_r", 0.1)
    array([19.7383])
    """
    coefficient = extinction_coefficient(band, unit)
    observed, reddening = np.asarray(magnitudes, dtype=np.float64), np.asarray(ebv, dtype=np.float64)
    if reddening.ndim and reddening.shape != observed.shape:
        raise ConfigError(f"E(B-V) has the shape {reddening.shape}, the magnitudes have {observed.shape}")
    if np.isinf(reddening).any():
        raise ConfigError("an E(B-V) is infinite; write NaN where the reddening is not known")
    return np.asarray(observed - coefficient * reddening)


def extinction_curve(wavelength_nm: ArrayLike, r_v: float = 3.1) -> NDArray[np.float64]:
    """A(lambda) / A(V) of 1989ApJ...345..245C in the optical and near infrared, 303 to 3333 nm; NaN elsewhere.

    Examples
    --------
    >>> extinction_curve([549.5, 2159.0]).round(3).tolist()
    [1.0, 0.117]
    """
    from numpy.polynomial.polynomial import polyval

    x = 1000.0 / np.atleast_1d(np.asarray(wavelength_nm, dtype=float))
    y = x - 1.82
    red = x < 1.1
    power = np.where(red, x, 1.0) ** 1.61
    a = polyval(y, [1.0, 0.17699, -0.50447, -0.02427, 0.72085, 0.01979, -0.77530, 0.32999])
    b = polyval(y, [0.0, 1.41338, 2.28305, 1.07233, -5.38434, -0.62251, 5.30260, -2.09002])
    curve = np.where(red, 0.574 * power, a) + np.where(red, -0.527 * power, b) / r_v
    return np.asarray(np.where((x >= 0.3) & (x <= 3.3), curve, np.nan))


class DustMap(Protocol):
    """Dust in three dimensions: anything that gives the reddening to a place."""

    def ebv(self, l: ArrayLike, b: ArrayLike, distance: ArrayLike) -> NDArray[np.float64]:
        """Reddening E(B-V) in mag (unit of Bayestar19) up to a distance; the arguments broadcast.

        Parameters
        ----------
        l, b : Galactic longitude and latitude, deg.
        distance : from the Sun, kpc.

        Returns
        -------
        ndarray
            In the broadcast shape; NaN where the map knows nothing.
        """
        ...


def extinction(dust: DustMap, band: str, l: ArrayLike, b: ArrayLike, distance: ArrayLike) -> NDArray[np.float64]:
    """Extinction A_band in mag up to a distance, from any dust map.

    Raises
    ------
    ConfigError
        When no coefficient is known for the band, or the map gives negative values.
    """
    reddening = np.asarray(dust.ebv(l, b, distance), dtype=np.float64)
    if (reddening < 0).any():
        raise ConfigError(f"the dust map gives a negative reddening ({np.nanmin(reddening):.3g} mag); correct the map")
    return np.asarray(extinction_coefficient(band) * reddening)


@dataclass(frozen=True)
class NoDust:
    """Empty space."""

    def ebv(self, l: ArrayLike, b: ArrayLike, distance: ArrayLike) -> NDArray[np.float64]:
        """Zero everywhere."""
        return np.zeros(np.broadcast_shapes(np.shape(l), np.shape(b), np.shape(distance)))


@dataclass(frozen=True)
class ExponentialDust:
    """A smooth exponential disk of dust: a stand-in where no measured map is at hand.

    The dust has the density ``exp(-(R - R0) / scale_length - |z| / scale_height)``; the reddening to a place is its
    integral along the line of sight, by Gauss-Legendre quadrature in steps shorter than both scales, split where the
    line crosses the plane (checked to 1e-6). Scales as in 2011ApJ...730....3S, without warp and flare. Real dust is
    clumpy: expect factors of two in the plane.

    Parameters
    ----------
    local_rate : E(B-V) per kpc at the Sun's radius in the mid-plane, mag/kpc.
    scale_length, scale_height : of the disk, kpc.
    r0, z_sun : place of the Sun, kpc.

    Examples
    --------
    >>> dust = ExponentialDust()
    >>> float(dust.ebv(0.0, 90.0, 50.0).round(4))
    0.0174
    """

    local_rate: float = 0.25
    scale_length: float = 4.2
    scale_height: float = 0.088
    r0: float = 8.122
    z_sun: float = 0.0208

    def __post_init__(self) -> None:
        if not (self.local_rate >= 0 and self.scale_length > 0 and self.scale_height > 0 and self.r0 > 0):
            raise ConfigError("a disk of dust needs a rate of at least 0 and scales and R0 above 0")

    def ebv(self, l: ArrayLike, b: ArrayLike, distance: ArrayLike) -> NDArray[np.float64]:
        """Reddening E(B-V) in mag up to a distance (kpc) in the direction (l, b) in deg; they broadcast."""
        lon, lat, far = np.broadcast_arrays(*(np.asarray(part, dtype=np.float64) for part in (l, b, distance)))
        if (far < 0).any():
            raise ConfigError("a distance is negative")
        shape, angles = lon.shape, (np.radians(lon).ravel(), np.radians(lat).ravel())
        scales = np.array([self.scale_length, self.scale_height, self.r0, self.z_sun])
        column = _line_integrals(*angles, np.ascontiguousarray(far.ravel()), scales)
        return np.asarray(self.local_rate * column.reshape(shape))


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(6)


@njit(cache=True, nogil=True)
def _line_integrals(
    longitude: NDArray[np.float64], latitude: NDArray[np.float64], far: NDArray[np.float64], scales: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Integrals of the exponential disk along lines of sight; a line that only gets longer is gone on with."""
    length, height, r0, z_sun = scales
    found = np.empty(len(far))
    done, total = 0.0, 0.0
    for k in range(len(far)):
        cos_b, sin_b = np.cos(latitude[k]), np.sin(latitude[k])
        cos_l = np.cos(longitude[k])
        same = k > 0 and longitude[k] == longitude[k - 1] and latitude[k] == latitude[k - 1] and far[k] >= done
        if not same:
            done, total = 0.0, 0.0
        crossing = -z_sun / sin_b if sin_b != 0.0 else -1.0
        pace = min(2.0 * length, 2.0 * height / max(abs(sin_b), 1e-9))
        while done < far[k]:
            z = z_sun + done * sin_b
            if abs(z) > 40.0 * height and z * sin_b > 0.0:
                done = far[k]
                break
            flat = done * cos_b
            radius = np.sqrt(max(r0 * r0 + flat * flat - 2.0 * r0 * flat * cos_l, 0.0))
            # the integrand bends fastest where the line passes the center: short steps there
            end = min(done + min(pace, max(0.7 * radius, 0.02 * length)), far[k])
            nearest = r0 * cos_l * cos_b
            if done < nearest < end:
                end = nearest
            if done < crossing < end:
                end = crossing
            half, middle = 0.5 * (end - done), 0.5 * (end + done)
            part = 0.0
            for j in range(len(_NODES)):
                s = middle + half * _NODES[j]
                flat = s * cos_b
                radius = np.sqrt(max(r0 * r0 + flat * flat - 2.0 * r0 * flat * cos_l, 0.0))
                part += _WEIGHTS[j] * np.exp(-(radius - r0) / length - abs(z_sun + s * sin_b) / height)
            total += half * part
            done = end
        found[k] = total
    return found


@dataclass(frozen=True)
class CallableDust:
    """A dust map of another package, through a function of (l, b, distance) in deg and kpc.

    `from_dustmaps` and `from_mwdust` make one.

    Parameters
    ----------
    query : takes (n,) arrays l, b (deg) and distance (kpc) and gives (n,) numbers.
    factor : from these numbers to E(B-V) in the unit of Bayestar19.
    fill : E(B-V) where the map knows nothing (NaN there by default: the user has to decide).
    """

    query: Callable[[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]], ArrayLike]
    factor: float = 1.0
    fill: float = float("nan")

    def ebv(self, l: ArrayLike, b: ArrayLike, distance: ArrayLike) -> NDArray[np.float64]:
        """Reddening E(B-V) in mag up to a distance (kpc) in the direction (l, b) in deg; they broadcast."""
        parts = np.broadcast_arrays(*(np.asarray(part, dtype=np.float64) for part in (l, b, distance)))
        found = np.asarray(self.query(*(part.ravel() for part in parts)), dtype=np.float64)
        if found.shape != (parts[0].size,):
            raise ConfigError(f"the dust map gave the shape {found.shape} for {parts[0].size} places")
        found = np.where(np.isfinite(found), found * self.factor, self.fill)
        return np.asarray(found.reshape(parts[0].shape))


def from_dustmaps(query: Any, factor: float = 1.0, fill: float = float("nan"), **options: Any) -> CallableDust:
    """A map of the package dustmaps (Bayestar, DECaPS, SFD, ...) as a dust map here.

    Parameters
    ----------
    query : a query object of dustmaps, such as ``BayestarQuery()``; the package fetches its own data.
    factor : from the map's numbers to E(B-V) in the unit of Bayestar19: 1 for Bayestar17, Bayestar19 and SFD, in all
        three of which a reddening of 1 is E(g-r) = 0.901 mag of Pan-STARRS; 1 / 0.884 for a map of E(B-V) itself.
    fill : E(B-V) outside the map's footprint.
    options : handed to the query, such as ``mode="median"``.
    """

    def ask(l: NDArray[np.float64], b: NDArray[np.float64], distance: NDArray[np.float64]) -> Any:
        from astropy import units as u
        from astropy.coordinates import SkyCoord

        return query(SkyCoord(l=l * u.deg, b=b * u.deg, distance=distance * u.kpc, frame="galactic"), **options)

    return CallableDust(ask, factor, fill)


def from_mwdust(dust: Any, factor: float = 1.0, fill: float = float("nan")) -> CallableDust:
    """A map of the package mwdust as a dust map here; make it without a filter, so that it gives E(B-V).

    Parameters
    ----------
    dust : a mwdust map, such as ``mwdust.Combined19()``.
    factor : from the map's numbers to E(B-V) in the unit of Bayestar19. For a map made with a filter it is one over
        the coefficient of that band (`extinction_coefficient`), so that mwdust's own extinction comes out.
    fill : E(B-V) outside the map's footprint.
    """

    def ask(l: NDArray[np.float64], b: NDArray[np.float64], distance: NDArray[np.float64]) -> Any:
        found = np.empty(len(l))
        lines, which = np.unique(np.stack([l, b], axis=1), axis=0, return_inverse=True)
        for k, (lon, lat) in enumerate(lines):  # mwdust takes one line of sight at a time
            rows = np.flatnonzero(which.ravel() == k)
            found[rows] = np.asarray(dust(float(lon), float(lat), distance[rows]))
        return found

    return CallableDust(ask, factor, fill)
