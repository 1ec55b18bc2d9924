"""A made sample of stars around the Sun with a spiral whose age is known at every angular momentum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.disk.snail_sample import RadialVerticalActions
from starloom.dynamics.frames import GalacticFrame
from starloom.dynamics.potentials import Potential, potential
from starloom.errors import ConfigError
from starloom.seeds import generator

if TYPE_CHECKING:
    from astropy.table import QTable

Array = NDArray[np.float64]


def true_age(guiding_radius: ArrayLike) -> Array:
    """Age (Gyr) of the made spiral at guiding radii (kpc)."""
    return np.asarray(0.45 + 0.06 * (np.asarray(guiding_radius, dtype=np.float64) - 8.0))


def stars_with_snail(
    count: int, seed: int | np.random.Generator, *, amplitude: float = 0.2, reach: float = 1.2, scale: float = 20.0
) -> QTable:
    """Stars within ``reach`` kpc of the Sun in MWPotential2014, as Gaia would list them.

    Parameters
    ----------
    count : of stars.
    seed : of everything.
    amplitude : of the contrast in angle, 0 for no spiral.
    reach : distance (kpc) to which stars are seen.
    scale : of the background exp(-J / scale), kpc km/s.

    Returns
    -------
    QTable
        ``source_id``, the six coordinates with errors (parallax 0.02 mas, proper motions 0.02 mas/yr, velocities 1
        km/s), and the truth: ``true_age``, ``true_theta_z``, ``true_action_z``.

    Raises
    ------
    ConfigError
        When there are no stars to make or the amplitude is not between 0 and 1.
    """
    from astropy import units as u
    from astropy.table import vstack

    if count < 1 or not 0 <= amplitude < 1 or not 0 < reach < 4:
        raise ConfigError("a mock needs stars, an amplitude in [0, 1) and a reach between 0 and 4 kpc")
    rng = generator(seed)
    model, frame = potential("MWPotential2014"), GalacticFrame.named("astropy_v4.0")
    tables = RadialVerticalActions(model)
    parts, have = [], 0
    while have < count:
        parts.append(_batch(max(2 * count, 2000), rng, model, frame, tables, amplitude, reach, scale))
        have += len(parts[-1])
    table: QTable = vstack(parts, metadata_conflicts="silent")[:count]
    table["source_id"] = np.arange(1, count + 1, dtype=np.int64)
    for name, error, unit in (("parallax", 0.02, u.mas), ("pmra", 0.02, u.mas / u.yr), ("pmdec", 0.02, u.mas / u.yr),
                              ("radial_velocity", 1.0, u.km / u.s)):  # fmt: skip
        table[name] = table[name] + error * rng.standard_normal(count) * unit
        table[f"{name}_error"] = np.full(count, error) * unit
    return table


def _batch(
    count: int, rng: np.random.Generator, model: Potential, frame: GalacticFrame,
    tables: RadialVerticalActions, amplitude: float, reach: float, scale: float,
) -> QTable:  # fmt: skip
    from astropy import units as u
    from astropy.table import QTable

    guiding = rng.uniform(frame.r0 - reach - 0.8, frame.r0 + reach + 0.8, count)
    action = rng.exponential(scale, count)
    action, guiding = action[action < 150.0], guiding[action < 150.0]
    theta = rng.uniform(0.0, 2.0 * np.pi, len(action))
    age = true_age(guiding)
    wave = np.cos(theta - tables.omega(guiding, action) * age - 1.0)
    kept = rng.random(len(theta)) < (1.0 + amplitude * wave) / (1.0 + amplitude)
    guiding, action, theta, age = guiding[kept], action[kept], theta[kept], age[kept]
    z, v_z = tables.position(guiding, action, theta)
    radius = guiding + rng.normal(0.0, 0.5, len(guiding))
    v_r = rng.normal(0.0, 30.0, len(guiding))
    v_phi = guiding * model.circular_velocity(guiding) / radius
    angle = rng.uniform(-1.0, 1.0, len(guiding)) * reach / frame.r0
    # the Sun at x = -R0 and a disk that turns clockwise seen from the north, as in a right-handed frame
    place = np.stack([-radius * np.cos(angle), radius * np.sin(angle), z], axis=1)
    outward = np.stack([-np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=1)
    along = np.stack([np.sin(angle), np.cos(angle), np.zeros_like(angle)], axis=1)
    motion = v_r[:, None] * outward + v_phi[:, None] * along
    motion[:, 2] = v_z
    seen = frame.to_icrs(place, motion)
    near = seen.distance < reach
    table = QTable()
    table["source_id"] = np.zeros(int(near.sum()), np.int64)
    for name, values, unit in (
        ("ra", seen.ra, u.deg), ("dec", seen.dec, u.deg), ("parallax", 1.0 / seen.distance, u.mas),
        ("pmra", seen.pmra, u.mas / u.yr), ("pmdec", seen.pmdec, u.mas / u.yr),
        ("radial_velocity", seen.radial_velocity, u.km / u.s), ("true_age", age, u.Gyr), ("true_theta_z", theta, u.rad),
        ("true_action_z", action, u.kpc * u.km / u.s),
    ):  # fmt: skip
        table[name] = values[near] * unit
    return table
