"""Are the orbits of streams clustered? A statistic, and its p-value under nulls that are stated.

The statistic is the median over the streams of the distance D to the nearest other stream in (E, L_z, L_perp): small
when orbits come in groups. The nulls: L_z and L_perp permuted among the streams; draws from a smooth halo; draws from
the population of globular clusters. Every draw carries the covariances of the real streams.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from starloom.errors import CatalogError
from starloom.streams.association import DEBRIS, SmoothHalo, mahalanobis
from starloom.streams.motion_integrals import MotionIntegrals

Array = NDArray[np.float64]
DRAWS = 400


@dataclass(frozen=True)
class Clustering:
    """The statistic, and what chance gives.

    Parameters
    ----------
    null : which one.
    value : median distance to the nearest stream.
    by_chance : (draws,) the same in draws of the null.
    """

    null: str
    value: float
    by_chance: Array

    @property
    def p_value(self) -> float:
        """Share of draws at least as clustered, the real one counted in."""
        return float((1 + np.sum(self.by_chance <= self.value)) / (len(self.by_chance) + 1))


def nearest_distance(centers: Array, covariances: Array, scales: tuple[float, float, float] = DEBRIS) -> float:
    """Median over objects of the distance D to the nearest other one."""
    between = mahalanobis(centers, covariances, centers, covariances, scales)
    np.fill_diagonal(between, np.inf)
    return float(np.median(between.min(axis=1)))


def clustering(
    streams: MotionIntegrals,
    clusters: MotionIntegrals,
    halo: SmoothHalo,
    rng: np.random.Generator,
    *,
    draws: int = DRAWS,
    scales: tuple[float, float, float] = DEBRIS,
) -> list[Clustering]:
    """The statistic under three nulls.

    Parameters
    ----------
    streams : at least three.
    clusters : the population for the third null: those with orbits as large as those of the streams are drawn.
    halo : the smooth density of the second null.
    rng, draws : random draws of each null.
    """
    if len(streams) < 3:
        raise CatalogError(f"clustering needs at least three streams, got {len(streams)}")
    centers, covariances = streams.centers, streams.covariances
    value, n = nearest_distance(centers, covariances, scales), len(centers)
    low = float(centers[:, 0].min())
    population = clusters.centers[clusters.centers[:, 0] >= low - scales[0]]

    def permuted() -> Array:
        return np.stack([centers[:, 0], rng.permutation(centers[:, 1]), rng.permutation(centers[:, 2])], axis=1)

    def smooth() -> Array:
        return halo.sample(n, rng)

    def population_draw() -> Array:
        return np.asarray(population[rng.choice(len(population), n, replace=len(population) < n)])

    nulls = {"permuted L_z and L_perp": permuted, "smooth halo": smooth}
    if len(population) >= n:
        nulls["globular clusters"] = population_draw
    return [
        Clustering(name, value, np.array([nearest_distance(draw(), covariances, scales) for _ in range(draws)]))
        for name, draw in nulls.items()
    ]
