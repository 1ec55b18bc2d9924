"""Orbits of many stars at once: each with its own adaptive steps, its own energy error, its own flag."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.dynamics import orbit_kernel
from starloom.dynamics.flags import in_words
from starloom.dynamics.orbit_kernel import NOT_FINITE, STEP_TOO_SMALL, TOO_MANY_STEPS
from starloom.dynamics.potentials import Potential
from starloom.errors import ConfigError
from starloom.threads import in_blocks

Array = NDArray[np.float64]
TIME_UNIT = 0.9777922216807892  # Gyr: one kpc / (km/s)
TOLERANCE = 1e-10  # of position and velocity in each step
MOST_STEPS = 1_000_000
REASONS = {
    NOT_FINITE: "position or velocity is not finite",
    TOO_MANY_STEPS: "too many steps",
    STEP_TOO_SMALL: "the step became too small",
}


@dataclass(frozen=True)
class Orbits:
    """Orbits of n stars at t times.

    Parameters
    ----------
    times : (t,) or (n, t) in Gyr, 0 where the stars are now.
    positions, velocities : (n, t, 3) in kpc and km/s; NaN where a star could not be carried.
    energy_error : (n,) largest |E - E0| / |E0| over the times; NaN where a star could not be carried.
    flag : (n,) 0 where all went well; see :attr:`reason`.
    pericenter, apocenter : (n,) kpc: the mean over all passages within the times, as gala has them; NaN without one.
    pericenter_least, apocenter_largest : (n,) kpc: the extreme passages; NaN without one.
    passages : (n, 2) counted pericenters and apocenters.
    r_least, r_largest : (n,) kpc: extremes of the radius along the path, passages or not.
    z_max : (n,) largest height above or below the plane (kpc).
    energy : (n,) at the start, (km/s)^2.
    steps : (n,) accepted steps.
    """

    times: Array
    positions: Array
    velocities: Array
    energy_error: Array
    flag: NDArray[np.int64]
    pericenter: Array
    apocenter: Array
    pericenter_least: Array
    apocenter_largest: Array
    passages: NDArray[np.int64]
    r_least: Array
    r_largest: Array
    z_max: Array
    energy: Array
    steps: NDArray[np.int64]

    @property
    def eccentricity(self) -> Array:
        """(apocenter - pericenter) / (apocenter + pericenter), shape (n,)."""
        return (self.apocenter - self.pericenter) / (self.apocenter + self.pericenter)

    @property
    def unbound(self) -> NDArray[np.bool_]:
        """Whether the energy is not negative, shape (n,). Meaningless in a logarithmic potential."""
        return self.energy >= 0

    @property
    def reason(self) -> list[str]:
        """Why a star could not be carried; empty where it was."""
        return in_words(self.flag, REASONS)

    @property
    def l_perp(self) -> Array:
        """(n,) median along the times of the angular momentum in the plane, kpc km/s; it is not conserved."""
        from starloom.dynamics.integrals import l_perp

        with np.errstate(invalid="ignore"):
            return np.asarray(np.median(l_perp(self.positions, self.velocities), axis=1))


def integrate(
    potential: Potential,
    x: ArrayLike,
    v: ArrayLike,
    times_gyr: ArrayLike,
    *,
    tolerance: float = TOLERANCE,
    workers: int | None = None,
    most_steps: int = MOST_STEPS,
) -> Orbits:
    """Carry stars through a potential.

    Parameters
    ----------
    potential : the Galaxy.
    x, v : (n, 3) positions (kpc) and velocities (km/s) at time 0.
    times_gyr : (t,) for all stars or (n, t): where to give them, in any order, before and after 0, evenly or not.
    tolerance : relative error allowed in each step.
    workers : threads; all cores by default. The result does not depend on it.
    most_steps : a star that needs more is flagged.

    Returns
    -------
    Orbits

    Raises
    ------
    ConfigError
        When shapes do not fit, there is no time, a time is not finite, or the tolerance is not in [1e-15, 1e-2].

    Examples
    --------
    >>> from starloom.dynamics.potentials import potential
    >>> sun = integrate(potential("MilkyWayPotential"), [[-8.1, 0, 0]], [[12.9, 245.6, 7.8]], [-1.0, 1.0])
    >>> bool(sun.energy_error[0] < 1e-9)
    True
    """
    place = np.ascontiguousarray(np.atleast_2d(np.asarray(x, dtype=np.float64)))
    motion = np.ascontiguousarray(np.atleast_2d(np.asarray(v, dtype=np.float64)))
    if place.ndim != 2 or place.shape[1] != 3 or place.shape != motion.shape:
        raise ConfigError(f"positions and velocities must both be (n, 3), got {place.shape} and {motion.shape}")
    if not 1e-15 <= tolerance <= 1e-2:
        raise ConfigError(f"tolerance must be in [1e-15, 0.01], got {tolerance!r}")
    stars, times = len(place), np.asarray(times_gyr, dtype=np.float64)
    times = np.atleast_1d(times)
    if times.ndim > 2 or times.shape[-1] == 0 or (times.ndim == 2 and len(times) != stars):
        raise ConfigError(f"times must be (t,) or ({stars}, t) with at least one time, got {times.shape}")
    if not np.isfinite(times).all():
        raise ConfigError("times must be finite")
    order, ahead, ordered = _outward(np.atleast_2d(times))
    count = times.shape[-1]
    positions, velocities = np.empty((stars, count, 3)), np.empty((stars, count, 3))
    energy_error, flag = np.empty(stars), np.zeros(stars, np.int64)
    summary = np.empty((stars, orbit_kernel.SUMMARY))
    kernel = potential.kernel

    def run(part: slice) -> None:
        rows = ordered[part] if len(ordered) > 1 else ordered
        first = ahead[part] if len(ordered) > 1 else ahead
        orbit_kernel.integrate_block(
            kernel.kinds, kernel.offsets, kernel.data, place[part], motion[part], rows, first, tolerance, most_steps,
            positions[part], velocities[part], energy_error[part], flag[part], summary[part],
        )  # fmt: skip

    in_blocks(run, stars, workers)
    _restore(order, positions)
    _restore(order, velocities)
    return _orbits(potential, times, place, motion, positions, velocities, energy_error, flag, summary)


def _outward(times: Array) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """Order of times from 0 on, then from 0 back; how many are from 0 on; and the times so, in kpc/(km/s)."""
    order = np.lexsort((np.abs(times), times < 0), axis=-1)
    ordered = np.take_along_axis(times, order, axis=-1) / TIME_UNIT
    return order, (times >= 0).sum(axis=-1), np.ascontiguousarray(ordered)


def _restore(order: NDArray[np.int64], values: Array) -> None:
    """Put (n, t, 3) values back into the order in which the times came."""
    if (order == np.arange(order.shape[-1])).all():
        return
    if len(order) == 1:
        values[:, order[0]] = values.copy()
    else:
        np.put_along_axis(values, order[:, :, None], values.copy(), axis=1)


def _orbits(
    potential: Potential,
    times: Array,
    x: Array,
    v: Array,
    positions: Array,
    velocities: Array,
    energy_error: Array,
    flag: NDArray[np.int64],
    summary: Array,
) -> Orbits:
    k = orbit_kernel
    bad = flag != 0
    summary[bad] = np.nan
    counts = np.nan_to_num(summary[:, [k.PERI_COUNT, k.APO_COUNT]]).astype(np.int64)
    with np.errstate(invalid="ignore", divide="ignore"):
        peri, apo = summary[:, k.PERI_MEAN] / counts[:, 0], summary[:, k.APO_MEAN] / counts[:, 1]
    least = np.where(counts[:, 0] > 0, summary[:, k.PERI_LEAST], np.nan)
    largest = np.where(counts[:, 1] > 0, summary[:, k.APO_LARGEST], np.nan)
    return Orbits(
        times=times,
        positions=positions,
        velocities=velocities,
        energy_error=np.where(bad, np.nan, energy_error),
        flag=flag,
        pericenter=peri,
        apocenter=apo,
        pericenter_least=least,
        apocenter_largest=largest,
        passages=counts,
        r_least=summary[:, k.R_LEAST],
        r_largest=summary[:, k.R_LARGEST],
        z_max=summary[:, k.Z_MAX],
        energy=potential.value(x) + 0.5 * np.sum(v * v, axis=-1),
        steps=np.nan_to_num(summary[:, k.STEPS]).astype(np.int64),
    )
