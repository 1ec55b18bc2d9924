"""The long way round: stars drawn for one binary alone, flown and observed, to check the weighted library by."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from starloom.errors import ConfigError
from starloom.galactic_center.detection import Candidate, Detected
from starloom.galactic_center.ejection import CenterStars, Ejected, eject, expected_ejected
from starloom.galactic_center.exclusion import Expected
from starloom.galactic_center.hills import HillsMechanism
from starloom.galactic_center.scenario import Scenario
from starloom.galactic_center.sky import Arrived, Sky
from starloom.seeds import generator
from starloom.simulation.gaia_errors import Release

Array = NDArray[np.float64]


def observed(
    sky: Sky, ejected: Ejected, release: Release, rule: Candidate, *, seed: int, noise: int = 1,
    workers: int | None = None,
) -> tuple[Arrived, Detected]:  # fmt: skip
    """The living ones of some stars, flown and measured."""
    arrived = sky.observe(ejected.take(np.flatnonzero(ejected.alive)), workers)
    return arrived, arrived.detected(sky, release, rule, seed=seed, noise=noise, workers=workers)


def _share(candidate: Array, drawn: int, number: float) -> Expected:
    """Mean and error of ``number`` times the share of ``drawn`` stars that are candidates."""
    total, square = float(candidate.sum()), float((candidate**2).sum())
    scale = number / drawn
    return Expected(scale * total, scale * math.sqrt(square), total**2 / square if square > 0 else 0.0)


def expected_by_force(
    sky: Sky,
    scenario: Scenario,
    stars: CenterStars,
    release: Release,
    rule: Candidate,
    count: int,
    *,
    span: float = 100.0,
    noise: int = 1,
    seed: int,
    workers: int | None = None,
) -> Expected:
    """Mean number of candidates from ``count`` stars drawn for this binary.

    Raises
    ------
    ConfigError
        When count is not positive.
    """
    if count < 1:
        raise ConfigError(f"count must be positive, got {count}")
    drawn = eject(scenario, stars, sky.tracks, span=span, count=count, seed=generator(seed))
    _, found = observed(sky, drawn, release, rule, seed=seed, noise=noise, workers=workers)
    return _share(found.candidate, count, expected_ejected(scenario, stars, sky.tracks, span))


def counts_by_force(
    sky: Sky,
    scenario: Scenario,
    stars: CenterStars,
    release: Release,
    rule: Candidate,
    runs: int,
    *,
    span: float = 100.0,
    seed: int,
    workers: int | None = None,
) -> NDArray[np.int64]:
    """Candidates in each of ``runs`` whole simulated skies: Poisson numbers of stars, one measurement each."""
    rng = generator(seed)
    numbers = rng.poisson(expected_ejected(scenario, stars, sky.tracks, span), runs)
    drawn = eject(scenario, stars, sky.tracks, span=span, count=int(numbers.sum()), seed=rng)
    if len(drawn) == 0:
        return np.zeros(runs, dtype=np.int64)
    owner = np.repeat(np.arange(runs), numbers)[: len(drawn)][drawn.alive]
    _, found = observed(sky, drawn, release, rule, seed=seed, workers=workers)
    chosen = rng.random(len(owner)) < found.candidate
    return np.bincount(owner[chosen], minlength=runs).astype(np.int64)


def expected_from_hills(
    sky: Sky,
    mechanism: HillsMechanism,
    stars: CenterStars,
    release: Release,
    rule: Candidate,
    count: int,
    *,
    span: float = 100.0,
    noise: int = 1,
    seed: int,
    workers: int | None = None,
) -> Expected:
    """Mean number of candidates if Sgr A* takes binaries apart at the mechanism's rate."""
    drawn, each = mechanism.eject(stars, sky.tracks, count, span=span, seed=generator(seed))
    _, found = observed(sky, drawn, release, rule, seed=seed, noise=noise, workers=workers)
    return _share(found.candidate, 1, each)
