"""How the stars of a library are drawn: more of those that can be seen, with a density that the weights undo."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from starloom.errors import ConfigError
from starloom.galactic_center.ejection import LEAST_SPEED, TAIL, CenterStars, Ejected, Lifetimes, isotropic
from starloom.stellar.mass_functions import power_law

Array = NDArray[np.float64]
FASTEST = 3e4  # km/s
MYR_KPC = 977.7922216807892  # Myr to go one kpc at one km/s


@dataclass(frozen=True)
class Proposal:
    """A density over flight times, speeds, directions, masses and ages.

    Every part is a mixture with a piece that is never zero, so that all stars of every binary are there.

    Parameters
    ----------
    span : longest flight, Myr.
    reach : kpc; a share ``near`` of the flights are shorter than this path at the launch speed.
    near : that share.
    tail : share of speeds from the law of a wide binary, v^-3.1 per ln v from 550 km/s on; the others are flat in ln v
        within ``swift``.
    swift : km/s, lowest and highest.
    toward : share of directions within 70 degrees of the Sun's.
    slope : of the masses, dN/dm ~ m^-slope, flatter than mass functions since bright stars are seen.
    young : share of the fractions of life that are flat in the logarithm, down to ``least_fraction``.
    """

    span: float = 100.0
    reach: float = 20.0
    near: float = 0.75
    tail: float = 0.35
    swift: tuple[float, float] = (750.0, 3000.0)
    toward: float = 0.6
    slope: float = 1.3
    young: float = 0.2
    least_fraction: float = 1e-4

    def __post_init__(self) -> None:
        shares = (self.near, self.toward, self.young)
        if not (self.span > 0 and self.reach > 0) or not all(0 <= share < 1 for share in shares):
            raise ConfigError("a proposal needs a positive span and reach, and shares in [0, 1)")
        if not (0 < self.tail <= 1 and LEAST_SPEED <= self.swift[0] < self.swift[1] <= FASTEST):
            raise ConfigError(f"a proposal needs a tail in (0, 1] and swift in [{LEAST_SPEED:g}, {FASTEST:g}] km/s")
        if not 0 < self.least_fraction < 1:
            raise ConfigError("least_fraction must be in (0, 1)")

    def _soon(self, speed: Array) -> Array:
        return np.minimum(self.reach * MYR_KPC / speed, self.span)

    def time_pdf(self, time: Array, speed: Array) -> Array:
        """Density of flight times at launch speeds, 1/Myr."""
        soon = self._soon(speed)
        return (1.0 - self.near) / self.span + self.near * (time < soon) / soon

    def speed_pdf(self, speed: Array) -> Array:
        """Density of speeds, s/km."""
        tail = TAIL / (1.0 - (LEAST_SPEED / FASTEST) ** TAIL) * LEAST_SPEED**TAIL * speed ** (-TAIL - 1.0)
        low, high = self.swift
        flat = ((speed >= low) & (speed <= high)) / (speed * math.log(high / low))
        return np.asarray(self.tail * tail + (1.0 - self.tail) * flat)

    def direction_pdf(self, direction: Array, sun: Array) -> Array:
        """Density of directions over that of the isotropic law."""
        inside = direction @ sun > TOWARD_COSINE
        return np.asarray((1.0 - self.toward) + self.toward * inside / (0.5 * (1.0 - TOWARD_COSINE)))

    def fraction_pdf(self, fraction: Array) -> Array:
        """Density of the fractions of life."""
        logs = (fraction >= self.least_fraction) / (fraction * -math.log(self.least_fraction))
        return (1.0 - self.young) + self.young * logs

    def draw(
        self, count: int, stars: CenterStars, lives: Lifetimes, sun: Array, rng: np.random.Generator
    ) -> tuple[Ejected, Array]:
        """Stars (count) and the density they were drawn with, per Myr, km/s and Msun, over the isotropic law.

        Parameters
        ----------
        sun : position of the Sun in the Galaxy (3,).
        """
        share, low = rng.random(count), self.swift[0]
        speed = np.where(
            rng.random(count) < self.tail,
            LEAST_SPEED * (1.0 - share * (1.0 - (LEAST_SPEED / FASTEST) ** TAIL)) ** (-1.0 / TAIL),
            low * (self.swift[1] / low) ** share,
        )
        time = np.where(rng.random(count) < self.near, self._soon(speed), self.span) * rng.random(count)
        direction = _toward(count, sun / np.linalg.norm(sun), self.toward, rng)
        masses = power_law(self.slope, *stars.kept)
        mass = masses.sample(count, rng)
        fe_h = np.round(rng.uniform(*stars.fe_h, count), 2)
        lifetime = lives.lifetime(mass, fe_h)
        share = rng.random(count)
        fraction = np.where(rng.random(count) < self.young, self.least_fraction ** (1.0 - share), share)
        density = self.time_pdf(time, speed) * self.speed_pdf(speed) * masses.pdf(mass) * self.fraction_pdf(fraction)
        density *= self.direction_pdf(direction, sun / np.linalg.norm(sun))
        return Ejected(time, speed, direction, mass, fe_h, fraction, lifetime), density


TOWARD_COSINE = math.cos(math.radians(70.0))


def _toward(count: int, axis: Array, share: float, rng: np.random.Generator) -> Array:
    """Unit vectors, a share of them inside the cap about an axis."""
    found = isotropic(count, rng)
    chosen = rng.random(count) < share
    cosine = TOWARD_COSINE + (1.0 - TOWARD_COSINE) * rng.random(count)
    side = np.cross(axis, [0.0, 0.0, 1.0])
    side /= np.linalg.norm(side)
    up = np.cross(side, axis)
    angle = rng.uniform(0.0, 2.0 * math.pi, count)
    flat = np.sqrt(1.0 - cosine**2)
    cap = cosine[:, None] * axis + flat[:, None] * (np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * up)
    return np.where(chosen[:, None], cap, found)
