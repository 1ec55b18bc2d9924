"""Does a cluster lie on the orbit of a stream? Beyond the integrals of motion this asks for the place on the orbit.

Debris moves on nearly the orbit of its parent, so the parent must be met on the stream's orbit, ahead of the debris or
behind it. The mismatch is the smallest distance in phase space, in units of a tenth of the orbit's radius and speed.
How small it is by chance is known from the same cluster at random phases of its own orbit, turned about the Galaxy's
axis by a random angle: that keeps energy, L_z and L_perp and forgets everything else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from starloom.dynamics.orbits import integrate
from starloom.dynamics.potentials import Potential
from starloom.streams.motion_integrals import MotionIntegrals

Array = NDArray[np.float64]
WINDOW_GYR = 0.5  # about one radial period each way
TIMES = 251
ORBITS = 16  # posterior orbits of a stream that are tried
RANDOM = 400  # random phases of a cluster
UNIT = 0.1  # of the orbit's radius and speed
TOLERANCE = 1e-7


@dataclass(frozen=True)
class OrbitMatches:
    """How well each parent lies on each stream's orbit, shape (streams, parents); NaN where it was not asked.

    Parameters
    ----------
    mismatch : smallest distance in phase space, in tenths of the orbit.
    p_value : share of the random phases of the same parent with a smaller mismatch.
    time : when the stream's orbit is there (Gyr; positive: the parent is ahead of the debris).
    distance : between parent and orbit there (kpc).
    velocity : difference of velocities there (km/s).
    orbital_angle : angle at the Galactic center, along the orbit, from the middle of the stream to there (deg).
    sky_angle : between parent and the middle of the stream, as seen from the Sun (deg).
    """

    mismatch: Array
    p_value: Array
    time: Array
    distance: Array
    velocity: Array
    orbital_angle: Array
    sky_angle: Array


def orbit_matches(
    milky_way: Potential,
    stream_phase: list[Array],
    parents: MotionIntegrals,
    sun: Array,
    asked: NDArray[np.bool_],
    rng: np.random.Generator,
    *,
    workers: int | None = None,
) -> OrbitMatches:
    """Find where each stream's orbit comes closest to its possible parents.

    Parameters
    ----------
    milky_way : the potential.
    stream_phase : for each stream (s, 6) samples of its middle, the best one first.
    parents : the possible parents.
    sun : (3,) place of the Sun (kpc), from which angles on the sky are seen.
    asked : (streams, parents) which pairs to look at.
    rng : of the random phases.
    workers : threads; the result does not depend on it.
    """
    from scipy.spatial import cKDTree

    shape = (len(stream_phase), len(parents))
    out = {name: np.full(shape, np.nan) for name in OrbitMatches.__dataclass_fields__}
    wanted = np.flatnonzero(asked.any(axis=0))
    if len(wanted) == 0:
        return OrbitMatches(**out)
    times = np.linspace(-WINDOW_GYR, WINDOW_GYR, TIMES)
    random = _random_phases(milky_way, parents.phase[wanted], rng, workers)
    for i, phase in enumerate(stream_phase):
        chosen = phase[: min(ORBITS, len(phase))]
        orbits = integrate(milky_way, chosen[:, :3], chosen[:, 3:], times, tolerance=TOLERANCE, workers=workers)
        radius = UNIT * np.sqrt(np.nanmean(np.sum(orbits.positions[0] ** 2, axis=-1)))
        speed = UNIT * np.sqrt(np.nanmean(np.sum(orbits.velocities[0] ** 2, axis=-1)))
        scale = np.array([radius] * 3 + [speed] * 3)
        path = np.concatenate([orbits.positions, orbits.velocities], axis=-1)
        good = np.isfinite(path).all(axis=(1, 2))
        points = path[good].reshape(-1, 6)
        tree = cKDTree(points / scale)
        for j, parent in enumerate(wanted):
            if not asked[i, parent]:
                continue
            here = parents.phase[parent]
            found, place = tree.query(here / scale)
            chance, _ = tree.query(random[j] / scale)
            orbit, step = divmod(int(place), TIMES)
            matched = points[place]
            middle = path[good][orbit, TIMES // 2, :3]
            between = path[good][orbit, min(step, TIMES // 2) : max(step, TIMES // 2) + 1, :3]
            values = {
                "mismatch": found,
                "p_value": (1.0 + np.sum(chance <= found)) / (len(chance) + 1.0),
                "time": times[step],
                "distance": np.linalg.norm(here[:3] - matched[:3]),
                "velocity": np.linalg.norm(here[3:] - matched[3:]),
                "orbital_angle": _swept(between),
                "sky_angle": _angle(here[:3] - sun, middle - sun),
            }
            for name, value in values.items():
                out[name][i, parent] = value
    return OrbitMatches(**out)


def _random_phases(milky_way: Potential, phase: Array, rng: np.random.Generator, workers: int | None) -> Array:
    """Each parent at random times of its own orbit, turned about the axis by random angles, shape (n, RANDOM, 6)."""
    times = np.sort(rng.uniform(0.0, 5.0, RANDOM))
    orbits = integrate(milky_way, phase[:, :3], phase[:, 3:], times, tolerance=TOLERANCE, workers=workers)
    angle = rng.uniform(0.0, 2.0 * np.pi, (len(phase), RANDOM))
    cos, sin = np.cos(angle), np.sin(angle)
    side = rng.choice([-1.0, 1.0], (len(phase), RANDOM))  # the potentials are symmetric about the plane
    turned = np.empty((len(phase), RANDOM, 6))
    for k, values in ((0, orbits.positions), (3, orbits.velocities)):
        turned[..., k] = cos * values[..., 0] - sin * values[..., 1]
        turned[..., k + 1] = sin * values[..., 0] + cos * values[..., 1]
        turned[..., k + 2] = side * values[..., 2]
    return np.nan_to_num(turned, nan=1e6)


def _angle(a: Array, b: Array) -> float:
    cosine = float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def _swept(path: Array) -> float:
    unit = path / np.linalg.norm(path, axis=1, keepdims=True)
    steps = np.arccos(np.clip(np.sum(unit[1:] * unit[:-1], axis=1), -1.0, 1.0))
    return float(np.degrees(steps.sum()))
