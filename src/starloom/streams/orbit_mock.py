"""Made streams with known parents: along an orbit, or as stars that leave a cluster; with errors of real surveys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from starloom.dynamics.frames import GalacticFrame
from starloom.dynamics.orbits import integrate
from starloom.dynamics.potentials import Potential
from starloom.errors import ConfigError, FitError
from starloom.streams.orbit_points import great_circle

if TYPE_CHECKING:
    from astropy.table import QTable

Array = NDArray[np.float64]


@dataclass(frozen=True)
class MockSurvey:
    """What is measured of a made stream.

    Parameters
    ----------
    points : stars with positions and proper motions.
    distances : places along it with a distance.
    length : of the stretch (deg).
    width : of the stream across (deg), which is also stated as its ``sky_error``.
    distance_error : relative, of each.
    distance_zero : relative sigma of what all distances share.
    pm_error : range of the errors of the proper motions (mas/yr), drawn uniformly in the logarithm.
    dispersion : of velocities in each coordinate (km/s).
    velocities : how many stars have a velocity, with an error of 2 km/s.
    """

    points: int = 60
    distances: int = 8
    length: float = 16.0
    width: float = 0.25
    distance_error: float = 0.06
    distance_zero: float = 0.023
    pm_error: tuple[float, float] = (0.04, 0.3)
    dispersion: float = 2.0
    velocities: int = 0


def halo_orbits(
    milky_way: Potential, n: int, rng: np.random.Generator, *, radius: tuple[float, float] = (8.0, 30.0),
    dispersion: float = 120.0, least_pericenter: float = 5.0,
) -> Array:  # fmt: skip
    """Phase-space points (n, 6) of a smooth halo: isotropic places and velocities, bound, not too near the center."""
    found: list[Array] = []
    for _ in range(1000):
        direction = rng.standard_normal((4 * n, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        x = direction * np.exp(rng.uniform(np.log(radius[0]), np.log(radius[1]), (4 * n, 1)))
        v = dispersion * rng.standard_normal((4 * n, 3))
        orbits = integrate(milky_way, x, v, np.linspace(0.0, 3.0, 7), tolerance=1e-7)
        bound = milky_way.value(x) + 0.5 * np.sum(v**2, axis=1) < 0.25 * milky_way.value(x)
        good = bound & (orbits.flag == 0) & (orbits.r_least > least_pericenter) & (orbits.r_largest < 80.0)
        found += list(np.concatenate([x, v], axis=1)[good])
        if len(found) >= n:
            return np.array(found[:n])
    raise FitError("no bound orbits with these settings; ask for smaller radii or velocities")


def orbit_stream(
    milky_way: Potential, frame: GalacticFrame, phase: Array, survey: MockSurvey, rng: np.random.Generator
) -> tuple[QTable, Array]:
    """Points scattered around an orbit, and the phase-space point (6,) in the middle of the stretch.

    Parameters
    ----------
    phase : (6,) a point of the orbit; the stretch begins there.
    survey : what is measured.

    Returns
    -------
    table : columns of ``orbit_points.SCHEMA``.
    middle : (6,) kpc, km/s.
    """
    times = np.linspace(0.0, 0.5, 2001)
    orbit = integrate(milky_way, phase[None, :3], phase[None, 3:], times)
    x, v = orbit.positions[0], orbit.velocities[0]
    seen = frame.to_icrs(x, v)
    unit = _unit(seen.ra, seen.dec)
    arc = np.concatenate([[0.0], np.cumsum(np.degrees(np.linalg.norm(np.diff(unit, axis=0), axis=1)))])
    if arc[-1] < survey.length:
        raise FitError("the orbit does not cover the stretch in half a billion years; choose another one")
    middle = int(np.searchsorted(arc, 0.5 * survey.length))
    along = np.sort(rng.uniform(0.0, survey.length, survey.points))
    place = np.interp(along, arc, times)
    nodes = integrate(milky_way, phase[None, :3], phase[None, 3:], place)
    return _observed(frame, nodes.positions[0], nodes.velocities[0], survey, rng), np.concatenate(
        [x[middle], v[middle]]
    )


def cluster_stream(
    milky_way: Potential,
    frame: GalacticFrame,
    cluster: Array,
    survey: MockSurvey,
    rng: np.random.Generator,
    *,
    mass: float = 3e4,
    age_gyr: float = 2.0,
    stars: int = 800,
) -> QTable:
    """Stars of one arm of the stream that a cluster has left in the last ``age_gyr``, as a survey sees them.

    Stars leave at the tidal radius with the offsets of Fardal, Huang & Weinberg 2015 (arXiv:1410.1861) and move as test
    particles. The stretch is where the arm is densest, between 3 deg from the cluster and 3 deg + ``survey.length``.

    Parameters
    ----------
    cluster : (6,) phase-space point of the cluster today (kpc, km/s).
    mass : of the cluster (Msun).
    stars : test particles.
    """
    if not mass > 0 or not age_gyr > 0:
        raise ConfigError("mass and age of a cluster's stream must be positive")
    times = -np.sort(rng.uniform(0.02, age_gyr, stars))
    path = integrate(milky_way, cluster[None, :3], cluster[None, 3:], times, tolerance=1e-9)
    x, v = path.positions[0], path.velocities[0]
    radius = np.linalg.norm(x, axis=1)
    e_r = x / radius[:, None]
    momentum = np.cross(x, v)
    e_z = momentum / np.linalg.norm(momentum, axis=1, keepdims=True)
    e_t = np.cross(e_z, e_r)
    rate = np.linalg.norm(momentum, axis=1) / radius**2
    step = 1e-3 * radius
    force = [np.sum(milky_way.acceleration(x + s * step[:, None] * e_r) * e_r, axis=1) for s in (-1.0, 1.0)]
    curvature = -(force[1] - force[0]) / (2.0 * step)  # second derivative of the potential along the radius
    tidal = (4.300917e-6 * mass / np.maximum(rate**2 + np.maximum(-curvature, 0.0), 1e-12)) ** (1.0 / 3.0)
    side = rng.choice([-1.0, 1.0], stars)
    k = rng.standard_normal((4, stars)) * 0.5 + np.array([[2.0], [0.3], [0.0], [0.0]])
    place = x + (side * k[0] * tidal)[:, None] * e_r + (k[2] * tidal)[:, None] * e_z
    motion = v + (side * k[1] * tidal * rate)[:, None] * e_t + (k[3] * tidal * rate)[:, None] * e_z
    ahead = integrate(milky_way, place, motion, -times[:, None], tolerance=1e-9)
    good = ahead.flag == 0
    now_x, now_v = ahead.positions[good, 0], ahead.velocities[good, 0]
    return _arm(frame, cluster, now_x, now_v, side[good], survey, rng)


def _arm(
    frame: GalacticFrame, cluster: Array, x: Array, v: Array, side: Array, survey: MockSurvey, rng: np.random.Generator
) -> QTable:
    seen = frame.to_icrs(x, v)
    here = frame.to_icrs(cluster[None, :3], cluster[None, 3:])
    away = np.degrees(np.arccos(np.clip(_unit(seen.ra, seen.dec) @ _unit(here.ra, here.dec)[0], -1.0, 1.0)))
    far = (away > 3.0) & (away < 3.0 + survey.length)
    counts = [int((far & (side == s)).sum()) for s in (-1.0, 1.0)]
    chosen = np.flatnonzero(far & (side == (-1.0 if counts[0] >= counts[1] else 1.0)))
    if len(chosen) < 20:
        raise FitError("the cluster's arm has fewer than 20 stars in the stretch; choose another cluster or more mass")
    # stars far off the arm (a wrap, the other side of a loop) are not members that anyone would pick
    circle = great_circle("arm", seen.ra[chosen], seen.dec[chosen])
    phi1, phi2 = circle.to_frame(seen.ra[chosen], seen.dec[chosen])
    curve = np.polynomial.Polynomial.fit(phi1, phi2, 2)
    off = phi2 - curve(phi1)
    chosen = chosen[np.abs(off) < 3.0 * 1.48 * np.median(np.abs(off)) + 0.2]
    chosen = rng.choice(chosen, min(survey.points, len(chosen)), replace=False)
    return _observed(frame, x[chosen], v[chosen], survey, rng, scatter=False)


def _unit(ra: Array, dec: Array) -> Array:
    lon, lat = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(lon) * np.cos(lat), np.sin(lon) * np.cos(lat), np.sin(lat)], axis=1)


def _observed(
    frame: GalacticFrame, x: Array, v: Array, survey: MockSurvey, rng: np.random.Generator, scatter: bool = True
) -> QTable:
    """Stars at phase-space points with the survey's errors; ``scatter`` adds the stream's own width."""
    import astropy.units as u
    from astropy.table import QTable

    n = len(x)
    if scatter:
        v = v + survey.dispersion * rng.standard_normal(v.shape)
    seen = frame.to_icrs(x, v)
    ra, dec = seen.ra, seen.dec
    if scatter:
        circle = great_circle("stream", ra, dec)
        phi1, phi2 = circle.to_frame(ra, dec)
        ra, dec = circle.to_icrs(phi1, phi2 + survey.width * rng.standard_normal(n))
    error = np.exp(rng.uniform(np.log(survey.pm_error[0]), np.log(survey.pm_error[1]), (n, 2)))
    motion = np.stack([seen.pmra, seen.pmdec], axis=1) + error * rng.standard_normal((n, 2))
    distance, distance_error = np.full(n, np.nan), np.full(n, np.nan)
    some = rng.choice(n, min(survey.distances, n), replace=False)
    zero = 1.0 + survey.distance_zero * rng.standard_normal()
    distance_error[some] = survey.distance_error * seen.distance[some]
    distance[some] = seen.distance[some] * zero + distance_error[some] * rng.standard_normal(len(some))
    velocity, velocity_error = np.full(n, np.nan), np.full(n, np.nan)
    some = rng.choice(n, min(survey.velocities, n), replace=False)
    velocity_error[some] = 2.0
    velocity[some] = seen.radial_velocity[some] + 2.0 * rng.standard_normal(len(some))
    return QTable(
        {
            "ra": ra * u.deg,
            "dec": dec * u.deg,
            "sky_error": np.full(n, survey.width) * u.deg,
            "distance": np.abs(distance) * u.kpc,
            "distance_error": distance_error * u.kpc,
            "pmra": motion[:, 0] * u.mas / u.yr,
            "pmra_error": error[:, 0] * u.mas / u.yr,
            "pmdec": motion[:, 1] * u.mas / u.yr,
            "pmdec_error": error[:, 1] * u.mas / u.yr,
            "radial_velocity": velocity * u.km / u.s,
            "radial_velocity_error": velocity_error * u.km / u.s,
        }
    )
