"""Samples of an orbit's posterior: an ensemble sampler started around the maximum, and whether it has converged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starloom.errors import ConfigError, FitError
from starloom.streams.orbit_posterior import Posterior
from starloom.streams.orbit_search import first_steps

Array = NDArray[np.float64]


@dataclass(frozen=True)
class OrbitSampling:
    """How the posterior is sampled.

    Parameters
    ----------
    walkers, steps : of the ensemble sampler; the first half of the steps is dropped.
    draws : posterior samples that are kept.
    """

    walkers: int = 64
    steps: int = 1000
    draws: int = 1000

    def __post_init__(self) -> None:
        if self.walkers < 20 or self.walkers % 2:
            raise ConfigError(f"walkers must be an even number of at least 20, got {self.walkers}")
        if self.steps < 20 or self.draws < 1:
            raise ConfigError("sampling needs at least 20 steps and 1 draw")


def _spread(posterior: Posterior, best: Array) -> Array:
    """A square root of the covariance around the maximum, from second differences; a narrow ball where that fails."""
    k = len(best)
    h = 0.02 * first_steps(posterior, best)
    plus_minus = [(0.0, 0.0), (1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)]
    points: list[Array] = []
    places = {}
    for i in range(k):
        for j in range(i, k):
            for a, b in plus_minus[1:]:
                step = np.zeros(k)
                step[i] += a * h[i]
                step[j] += b * h[j]
                places[i, j, a, b] = len(points)
                points.append(best + step)
    values = posterior(np.array(points))
    values[~np.isfinite(values)] = np.nan
    hessian = np.empty((k, k))
    for i in range(k):
        for j in range(i, k):
            f = [values[places[i, j, a, b]] for a, b in plus_minus[1:]]
            hessian[i, j] = hessian[j, i] = (f[0] - f[1] - f[2] + f[3]) / (4.0 * h[i] * h[j])
    fallback = np.diag(0.02 * first_steps(posterior, best))
    if not np.isfinite(hessian).all():
        return fallback
    curvature, directions = np.linalg.eigh(-hessian * np.outer(h, h))
    # flat or rising directions get the width of a first step; sharp ones what the curvature says
    width = 1.0 / np.sqrt(np.maximum(curvature, 1e-4))
    root: Array = h[:, None] * directions * width[None, :]
    return root if np.isfinite(root).all() else fallback


def sample(
    posterior: Posterior, best: Array, others: Array, sampling: OrbitSampling, rng: np.random.Generator
) -> tuple[Array, dict[str, Any]]:
    """Posterior samples (draws, k) and what is to be said of their quality."""
    import emcee

    k, walkers = len(best), sampling.walkers
    centers = np.concatenate([best[None], others])
    start = np.empty((walkers, k))
    roots = [_spread(posterior, center) for center in centers]
    filled = 0
    for attempt in range(200):
        which = rng.integers(len(centers), size=walkers)
        size = 0.7**attempt if attempt < 30 else 1e-3
        ball = np.stack([centers[w] + size * roots[w] @ rng.standard_normal(k) for w in which])
        good = ball[np.isfinite(posterior(ball))][: walkers - filled]
        start[filled : filled + len(good)] = good
        filled += len(good)
        if filled == walkers:
            break
    else:
        raise FitError(f"{posterior.points.name}: no starting points for the sampler inside the prior")
    moves = [(emcee.moves.DEMove(), 0.6), (emcee.moves.DESnookerMove(), 0.1), (emcee.moves.StretchMove(), 0.3)]
    sampler = emcee.EnsembleSampler(walkers, k, posterior, vectorize=True, moves=moves)
    state = np.random.RandomState(int(rng.integers(2**31))).get_state()
    sampler.run_mcmc(emcee.State(start, random_state=state), sampling.steps, skip_initial_state_check=True)
    chain = sampler.get_chain(discard=sampling.steps // 2)
    report = _quality(posterior, chain, sampler.acceptance_fraction)
    flat = chain.reshape(-1, k)
    return flat[np.sort(rng.choice(len(flat), sampling.draws, replace=len(flat) < sampling.draws))], report


def _quality(posterior: Posterior, chain: Array, acceptance: Array) -> dict[str, Any]:
    import emcee

    time = emcee.autocorr.integrated_time(chain, tol=0, quiet=True)
    half = len(chain) // 2
    flat = chain.reshape(-1, chain.shape[2])
    sigma = np.maximum(flat.std(axis=0), 1e-12)
    drift = np.abs(chain[:half].mean(axis=(0, 1)) - chain[half:].mean(axis=(0, 1))) / sigma
    effective = float(chain.shape[0] * chain.shape[1] / np.nanmax(time[:5]))
    warnings = []
    if effective < 200 or np.nanmax(drift[:5]) > 0.2 + 4.0 / np.sqrt(effective):  # the mean of a half has errors too
        warnings.append(
            f"{posterior.points.name}: the sampling has not converged (about {effective:.0f} independent samples, "
            f"mean of the second half off by {np.nanmax(drift[:5]):.2f} sigma); use more steps"
        )
    names = posterior.free_names
    for n in range(5):
        near = 0.02 * (posterior.high[n] - posterior.low[n])
        at_edge = np.mean((flat[:, n] < posterior.low[n] + near) | (flat[:, n] > posterior.high[n] - near))
        if at_edge > 0.05 and names[n] != "distance":
            warnings.append(f"{posterior.points.name}: {names[n]} runs into its prior; the points do not fix it")
    return {
        "acceptance": float(np.mean(acceptance)),
        "effective_samples": effective,
        "drift": float(np.nanmax(drift[:5])),
        "warnings": warnings,
    }
