"""One weighted library of ejected stars that serves every binary: stars are flown once and weighted anew for each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from starloom.errors import ConfigError
from starloom.galactic_center.ejection import CenterStars, Ejected, Lifetimes, VelocityLaw
from starloom.galactic_center.proposal import Proposal
from starloom.galactic_center.scenario import Scenario
from starloom.galactic_center.sky import Arrived, Sky
from starloom.seeds import generator

Array = NDArray[np.float64]


@dataclass(frozen=True)
class StarLibrary:
    """Stars flown once.

    Parameters
    ----------
    arrived : the stars today.
    density : they were drawn with, per Myr, km/s and Msun (n,).
    proposal, lives : how they were drawn.
    """

    arrived: Arrived
    density: Array
    proposal: Proposal
    lives: Lifetimes

    @classmethod
    def build(
        cls,
        sky: Sky,
        count: int,
        *,
        stars: CenterStars | None = None,
        proposal: Proposal | None = None,
        seed: int | np.random.Generator,
        workers: int | None = None,
    ) -> StarLibrary:
        """Draw stars, fly them, make them shine.

        Parameters
        ----------
        sky : galaxy, stars' evolution, dust.
        count : stars to draw. Those that die on the way are not flown; their share is kept in the weights.
        stars : ranges of masses and metallicities; slope and ages are chosen at weighting.
        proposal : how they are drawn.
        seed : of all draws.

        Raises
        ------
        ConfigError
            When count is not positive.
        """
        if count < 1:
            raise ConfigError(f"a library needs at least one star, got {count}")
        chosen, how = stars or CenterStars(), proposal or Proposal()
        ejected, density = how.draw(count, chosen, sky.tracks, sky.sun.sun.x, generator(seed))
        rows = np.flatnonzero(ejected.alive)
        arrived = sky.observe(ejected.take(rows), workers)
        return cls(arrived, density[rows] * count, how, sky.tracks)

    def __len__(self) -> int:
        return len(self.arrived)

    def take(self, rows: NDArray[np.int64], stars: CenterStars) -> Weighing:
        """Some of the stars, ready to be weighed for many binaries."""
        return Weighing(self.arrived.ejected.take(rows), self.star_density(stars)[rows] / self.density[rows])

    def weights(self, scenario: Scenario, stars: CenterStars, rows: NDArray[np.int64] | None = None) -> Array:
        """Expected number of stars in the Galaxy that each star of the library stands for.

        Parameters
        ----------
        scenario : binary and state.
        stars : mass function and ages.
        rows : only these stars (for those that can be detected at all).

        Returns
        -------
        ndarray
            (n,) or one for each row.
        """
        return self.take(np.arange(len(self)) if rows is None else rows, stars).weights(scenario)

    def star_density(self, stars: CenterStars) -> Array:
        """Stars of each one's mass and age per Msun of mass interval and Msun thrown out; the same for all binaries."""
        e = self.arrived.ejected
        return stars.per_mass(e.mass, e.lifetime, self.lives) * stars.age_pdf(e.fraction, e.lifetime)


@dataclass(frozen=True)
class Weighing:
    """Stars of a library with the part of their weights that no binary changes."""

    ejected: Ejected
    factor: Array

    def weights(self, scenario: Scenario) -> Array:
        """Expected number of stars in the Galaxy that each star stands for (n,)."""
        separation = scenario.separation_then(self.ejected.flight_time)
        there = np.isfinite(separation)
        a = np.where(there, separation, 1e-3)
        law = VelocityLaw(scenario.binary.circular_speed(a), scenario.binary.ratio)
        return np.where(there, scenario.binary.mass_rate(a), 0.0) * law.pdf(self.ejected.speed) * self.factor
