"""From the center of the Galaxy to where ejected stars are today."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.dynamics.components import MassComponent
from starloom.dynamics.frames import GalacticFrame, Observed
from starloom.dynamics.orbits import integrate
from starloom.dynamics.potentials import Potential, potential
from starloom.errors import ConfigError

Array = NDArray[np.float64]
LAUNCH_RADIUS = 3e-3  # kpc
SOFTENING = 1e-5  # kpc
MYR_PER_GYR = 1e3
WORST_ENERGY = 1e-6  # error of the energy above which a star is flagged
TOLERANCE = 2e-9
AIMED_ENERGY = 5e-9  # error of the energy above which a star is flown again with finer steps
FINER = (1e-11, 1e-13)


@dataclass(frozen=True)
class Flown:
    """Stars after their flight.

    Parameters
    ----------
    x, v : (n, 3) Galactocentric kpc and km/s today; NaN where a star could not be carried.
    seen : the same as seen from the Sun, each (n,).
    energy_error : (n,) change of the energy over the energy.
    returns : (n,) passages back through the center on the way.
    reason : (n,) why a star cannot be trusted; empty where it can.
    """

    x: Array
    v: Array
    seen: Observed
    energy_error: Array
    returns: NDArray[np.int64]
    reason: NDArray[np.str_]

    @property
    def speed(self) -> Array:
        """Galactocentric, km/s."""
        return np.asarray(np.linalg.norm(self.v, axis=1))


def galaxy(name: str | Potential, black_hole: float = 4e6) -> Potential:
    """A potential with Sgr A* in its center: a softened point of ``black_hole`` Msun is added where there is none."""
    found = potential(name)
    if black_hole == 0 or any(getattr(part, "name", "") == "black hole" for part in found.components):
        return found
    point = MassComponent("black hole", "plummer", (float(black_hole), SOFTENING))
    return Potential(f"{found.name} and Sgr A*", (*found.components, point), found.citation, found.note)


def frame_for(model: Potential, r0: float = 8.122) -> GalacticFrame:
    """The Sun at ``r0`` with the circular speed of a potential there and the peculiar motion of Schoenrich et al."""
    return GalacticFrame.from_rotation(r0, float(model.circular_velocity(r0)), name=f"Sun in {model.name}")


def fly(
    model: Potential,
    frame: GalacticFrame,
    speed: ArrayLike,
    direction: ArrayLike,
    flight_time: ArrayLike,
    *,
    tolerance: float = TOLERANCE,
    worst_energy: float = WORST_ENERGY,
    workers: int | None = None,
) -> Flown:
    """Launch stars radially from 3 pc and follow them until today.

    Parameters
    ----------
    model : potential of the Galaxy, with its black hole.
    frame : the Sun's place and motion.
    speed : km/s at launch (n,).
    direction : outward unit vectors (n, 3).
    flight_time : Myr (n,).
    tolerance : of each step, at first: a star whose energy error is above 5e-9 is flown again with finer steps.
    worst_energy : relative error of the energy above which a star is flagged; stars that fall back pass the center
        within its softening, where that error shows whether the passage was resolved.
    workers : threads; the result does not depend on it.

    Raises
    ------
    ConfigError
        When shapes differ, a speed or time is negative or not finite, or a direction is no unit vector.
    """
    v0, time = np.atleast_1d(np.asarray(speed, dtype=float)), np.atleast_1d(np.asarray(flight_time, dtype=float))
    out = np.atleast_2d(np.asarray(direction, dtype=float)).reshape(-1, 3)
    if not (v0.shape == time.shape == (len(out),)):
        raise ConfigError(f"speeds {v0.shape}, times {time.shape} and directions {out.shape} do not fit")
    for name, values in (("speed", v0), ("flight time", time)):
        bad = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
        if len(bad):
            raise ConfigError(f"row {bad[0]}: the {name} must be a number of at least 0, got {values[bad[0]]}")
    if (np.abs(np.linalg.norm(out, axis=1) - 1.0) > 1e-6).any():
        raise ConfigError("directions must be unit vectors")
    if len(out) == 0:
        none = np.empty((0, 3))
        return Flown(none, none, frame.to_icrs(none, none), np.empty(0), np.empty(0, np.int64), np.empty(0, str))
    start, launch, ends = LAUNCH_RADIUS * out, v0[:, None] * out, (time / MYR_PER_GYR)[:, None]
    orbits = integrate(model, start, launch, ends, tolerance=tolerance, workers=workers)
    x, v, error = orbits.positions[:, 0], orbits.velocities[:, 0], orbits.energy_error
    returns, reason = orbits.passages[:, 0], np.array(orbits.reason, dtype="U60")
    # launches near the escape speed have an energy near zero, and its relative error asks for finer steps
    for finer in FINER:
        again = np.flatnonzero(~(error <= AIMED_ENERGY))
        if len(again) == 0 or finer >= tolerance:
            continue
        better = integrate(model, start[again], launch[again], ends[again], tolerance=finer, workers=workers)
        kept = (better.flag == 0) & ~(better.energy_error >= error[again])
        rows = again[kept]
        x[rows], v[rows] = better.positions[kept, 0], better.velocities[kept, 0]
        error[rows], returns[rows], reason[rows] = better.energy_error[kept], better.passages[kept, 0], ""
    with np.errstate(invalid="ignore"):
        loose = error > worst_energy
    reason[loose & (reason == "")] = f"energy error above {worst_energy:g}"
    return Flown(x, v, frame.to_icrs(x, v), error, returns, reason)
