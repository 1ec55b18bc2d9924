"""The check on the linear response: test particles with real kicks and random scattering.

Each particle has a vertical action and angle. A kick goes through (z, v_z); between kicks the angle runs with Omega(J),
and J scatters: dJ = k dt + sqrt(2 k J dt) xi, whose steps are exact (a random walk of two Cartesian components of
sqrt(J)), so J never turns negative.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.dynamics.orbits import TIME_UNIT
from starloom.dynamics.vertical_actions import VerticalActions
from starloom.errors import ConfigError
from starloom.threads import in_blocks

Array = NDArray[np.float64]
BLOCK = 8192  # particles that stay in the cache through all steps
TABLE = 4096
STEP = 0.01  # Gyr


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _drift(
    action: Any, theta: Any, omega: Any, root_step: float, heating: float, step: float, steps: int, rng: Any
) -> None:
    """Angles with the mean of the frequencies at both ends of each step; ``omega`` over multiples of sqrt(J)."""
    sigma = math.sqrt(0.5 * heating * step)
    last = len(omega) - 2
    top = root_step * (len(omega) - 1)
    for row in range(len(action)):
        root, angle = math.sqrt(action[row]), theta[row]
        place = root / root_step
        k = min(int(place), last)
        rate = omega[k] + (place - k) * (omega[k + 1] - omega[k])
        if heating == 0.0:
            theta[row] = angle + rate * step * steps
            continue
        for _ in range(steps):
            along, across = rng.standard_normal(), rng.standard_normal()
            along = root + sigma * along
            across = sigma * across
            root = math.sqrt(along * along + across * across)
            if root > top:  # a wall, far above what is looked at
                root = max(2.0 * top - root, 0.0)
            place = root / root_step
            k = min(int(place), last)
            new = omega[k] + (place - k) * (omega[k + 1] - omega[k])
            angle += 0.5 * (rate + new) * step
            rate = new
        action[row], theta[row] = root * root, angle


@dataclass
class Particles:
    """Test particles in a vertical potential.

    Parameters
    ----------
    actions : the potential.
    action, theta : (n,) kpc km/s and rad; changed in place.
    seed : of the scattering.
    weight : (n,) stars that each stands for; one by default.

    Examples
    --------
    >>> from starloom.dynamics.vertical_actions import VerticalPotential
    >>> table = VerticalActions(VerticalPotential.slab())
    >>> stars = Particles.quiet(table, 1000, scale=20.0)
    >>> stars.kick(1.0).drift(0.1, heating=1.6).action.shape
    (1000,)
    """

    actions: VerticalActions
    action: Array
    theta: Array
    seed: int = 0
    weight: Array | None = None
    _drifts: int = field(default=0, repr=False)

    def __post_init__(self) -> None:
        self.action, self.theta = np.array(self.action, np.float64), np.array(self.theta, np.float64)
        if self.action.ndim != 1 or self.action.shape != self.theta.shape or len(self.action) == 0:
            raise ConfigError("particles need actions and angles of one shape (n,), at least one")
        inside = (self.action >= 0) & (self.action < self.actions.action_top)
        if not inside.all():
            row = int(np.flatnonzero(~inside)[0])
            raise ConfigError(
                f"the action of particle {row}, {self.action[row]:g} kpc km/s, is not between 0 and the table's end, "
                f"{self.actions.action_top:.4g}: unbound, or the table needs a larger z_top"
            )

    @classmethod
    def quiet(
        cls, actions: VerticalActions, count: int, *, scale: float, low: float = 0.0, high: float = 150.0, seed: int = 0
    ) -> Particles:
        """Particles of the background exp(-J / scale) between two actions, spread evenly instead of at random.

        A two-dimensional lattice (the additive recurrence of the plastic number), even in J, with weights: it leaves
        far less noise than draws, at large actions above all.
        """
        if not scale > 0 or not 0 <= low < high or count < 1:
            raise ConfigError("a quiet start needs a positive scale, 0 <= low < high, and particles")
        plastic = 1.324717957244746
        order = np.arange(1, count + 1, dtype=np.float64)
        first, second = (order / plastic) % 1.0, (order / plastic**2) % 1.0
        action = low + first * (high - low)
        return cls(actions, action, 2.0 * np.pi * second, seed, np.exp(-action / scale))

    def kick(self, impulse: float, gradient: float = 0.0, *, workers: int | None = None) -> Particles:
        """Add ``impulse + gradient z`` (km/s, and km/s/kpc) to all velocities."""
        z, v = self.actions.position(self.action, self.theta, workers=workers)
        found = self.actions.find(z, v + impulse + gradient * z, workers=workers)
        if (found.flag != 0).any():
            lost = int((found.flag != 0).sum())
            raise ConfigError(f"the kick takes {lost} particles beyond the table; make it with a larger z_top")
        self.action, self.theta = found.action_z, found.theta_z
        return self

    def drift(self, time: float, *, heating: float = 0.0, step: float = STEP, workers: int | None = None) -> Particles:
        """Let ``time`` Gyr pass under scattering of d<J>/dt = ``heating`` (kpc km/s per Gyr).

        Steps of length t / N leave the variance of the angle from scattering short by 1 / (4 N^2) of itself.
        """
        if not (math.isfinite(heating) and heating >= 0):
            raise ConfigError(f"heating must not be negative, got {heating!r}")
        if not (math.isfinite(time) and time >= 0 and step > 0):
            raise ConfigError(f"time must not be negative and the step positive, got {time!r} and {step!r}")
        steps = max(1, math.ceil(time / step - 1e-9))
        roots = np.linspace(0.0, math.sqrt(self.actions.action_top), TABLE)
        omega = np.nan_to_num(self.actions.omega(np.minimum(roots**2, self.actions.action_top))) / TIME_UNIT
        self._drifts += 1

        def run(part: slice) -> None:
            _drift(
                self.action[part], self.theta[part], omega, roots[1], heating, time / steps, steps,
                np.random.default_rng([self.seed, self._drifts, part.start // BLOCK]),
            )  # fmt: skip

        in_blocks(run, len(self.action), workers, block=BLOCK)
        return self

    def follow(self, impulses: ArrayLike, step: float, *, heating: float = 0.0, breathing: bool = False) -> Particles:
        """Live through impulses (steps,), the latest first as in a sample of noise, in bins of ``step`` Gyr."""
        for impulse in np.asarray(impulses, dtype=np.float64)[::-1]:
            self.drift(0.5 * step, heating=heating, step=step)
            self.kick(*((0.0, impulse) if breathing else (impulse, 0.0)))
            self.drift(0.5 * step, heating=heating, step=step)
        return self

    def harmonic(self, edges: ArrayLike, number: int = 1) -> NDArray[np.complex128]:
        """2 <exp(-i m theta)> in bins of action: twice the m-th Fourier coefficient of the density contrast."""
        bounds = np.asarray(edges, dtype=np.float64)
        place = np.digitize(self.action, bounds) - 1
        inside = (place >= 0) & (place < len(bounds) - 1)
        turn = np.exp(-1j * number * self.theta[inside])
        bins = len(bounds) - 1
        weight = np.ones(len(self.action)) if self.weight is None else self.weight
        turn *= weight[inside]
        counts = np.bincount(place[inside], weight[inside], minlength=bins)
        total = np.bincount(place[inside], turn.real, bins) + 1j * np.bincount(place[inside], turn.imag, bins)
        with np.errstate(invalid="ignore"):
            return np.asarray(2.0 * total / counts)

    def contrast(self, action_edges: ArrayLike, bins: int, scale: float) -> Array:
        """Density over that of exp(-J / scale), less one, in cells of action and of angle (``bins`` in a turn).

        For particles of :meth:`quiet` whose actions reach well beyond the edges.
        """
        bounds = np.asarray(action_edges, dtype=np.float64)
        turns = np.linspace(0.0, 2.0 * np.pi, bins + 1)
        cells = np.histogram2d(self.action, self.theta % (2.0 * np.pi), [bounds, turns], weights=self.weight)[0]
        background = np.exp(-bounds[:-1] / scale) - np.exp(-bounds[1:] / scale)
        share = cells / background[:, None]
        return np.asarray(share / share.mean() - 1.0)
