"""Fractions in many cells, each drawn to those around it as far as the counts themselves ask for.

In each level of a hierarchy (all the sky, HEALPix pixels of growing order) the fraction of a cell is a draw from a Beta
distribution about the fraction of the larger cell that holds it; how narrow that Beta is, its concentration, is what
predicts the counts of the cells best when each one's prior is made without its own counts (an empirical Bayes
estimate by leaving one out; for the Beta-binomial see 1996 Carlin & Louis, Bayes and Empirical Bayes Methods, ch. 3).
What a piece of the sky does to all magnitudes and colors alike is taken out before, as a shift of the log odds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from starloom.errors import ConfigError

Floats = NDArray[np.float64]
LIMITS = (np.log(0.05), np.log(1e5))  # of the logarithm of a concentration
LEAST_FOR_BEND = 20  # cells


@dataclass(frozen=True)
class Shrunk:
    """Beta posteriors of the cells.

    Parameters
    ----------
    a, b : (n,) parameters of the Beta posterior of each cell's fraction.
    prior : (n,) what the cells around it say of each cell, without its own counts.
    spreads : of each level, from the coarsest.
    """

    a: Floats
    b: Floats
    prior: Floats
    spreads: tuple[Spread, ...]


def log_beta_binomial(k: Floats, n: Floats, a: Floats, b: Floats) -> Floats:
    """Logarithm of the Beta-binomial probability of k of n, without the binomial coefficient."""
    from scipy.special import betaln

    return np.asarray(betaln(k + a, n - k + b) - betaln(a, b))


@dataclass(frozen=True)
class Spread:
    """How far cells lie from the larger ones that hold them: the concentration of the Beta between them.

    ``concentration * (4 m (1 - m)) ** -bend`` for an expected fraction m: with bend 0 a Beta of one concentration, with
    bend 1 a spread that is the same everywhere in the logarithm of the odds.
    """

    concentration: float
    bend: float

    def at(self, mean: Floats, known: Floats) -> Floats:
        """Concentration about expected fractions (n,) that are themselves known as well as ``known`` stars tell."""
        own = self.concentration * (4.0 * mean * (1.0 - mean)) ** -self.bend
        return np.asarray(1.0 / (1.0 / own + 1.0 / known))


def best_spread(k: Floats, n: Floats, mean: Floats, known: Floats) -> Spread:
    """The spread that predicts the counts best.

    Parameters
    ----------
    k, n : (m,) counts.
    mean, known : (m,) expected fractions, made without these counts, inside 0 to 1, and how many stars they rest on.
    """
    from scipy.optimize import minimize, minimize_scalar

    seen = n > 0
    if not seen.any():
        return Spread(1.0, 0.0)
    k, n, mean, known = k[seen], n[seen], mean[seen], known[seen]

    def lost(log_s: float, bend: float) -> float:
        s = Spread(float(np.exp(np.clip(log_s, *LIMITS))), float(np.clip(bend, 0.0, 1.0))).at(mean, known)
        return -float(log_beta_binomial(k, n, mean * s, (1.0 - mean) * s).sum())

    first = minimize_scalar(lambda x: lost(x, 0.5), bounds=LIMITS, method="bounded", options={"xatol": 0.05})
    start = [float(first.x), 0.5]
    if len(k) < LEAST_FOR_BEND:
        return Spread(float(np.exp(first.x)), 0.5)
    best = minimize(lambda x: lost(x[0], x[1]), start, method="Nelder-Mead", options={"xatol": 0.01, "fatol": 0.01})
    return Spread(float(np.exp(np.clip(best.x[0], *LIMITS))), float(np.clip(best.x[1], 0.0, 1.0)))


def _shifted(k: Floats, n: Floats, mean: Floats, known: Floats, group: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Move the odds of all cells of a group together, by what the others of the group say of each one.

    The shift of the log odds is one Newton step of a logistic fit from 0, drawn to 0 by a normal prior whose width
    predicts the counts best.
    """
    from scipy.optimize import minimize_scalar

    expected, size = n * mean, int(group.max()) + 1
    weight = known * mean * (1.0 - mean) * n / (known + n)  # fewer where the expected fraction itself is uncertain
    excess = (k - expected) * known / (known + n)
    others = [np.bincount(group, part, size)[group] - part for part in (excess, weight)]
    odds = np.log(mean / (1.0 - mean))
    seen = n > 0

    def moved(log_stiffness: float) -> Floats:
        shift = others[0] / (others[1] + np.exp(log_stiffness))
        return _inside(1.0 / (1.0 + np.exp(-(odds + np.clip(shift, -4.0, 4.0)))))

    def lost(log_stiffness: float) -> float:
        new = moved(log_stiffness)[seen]
        return -float((k[seen] * np.log(new) + (n - k)[seen] * np.log1p(-new)).sum())

    found = minimize_scalar(lost, bounds=(-3.0, 12.0), method="bounded", options={"xatol": 0.1})
    if not found.fun < lost(20.0):
        return mean, known
    new = moved(float(found.x))
    unknown = new * (1.0 - new) / (others[1] + np.exp(found.x))
    return new, np.asarray(1.0 / (1.0 / known + unknown))


def shrink(
    k: Floats,
    n: Floats,
    levels: Sequence[NDArray[np.int64]],
    shifts: Mapping[int, Sequence[NDArray[np.int64]]] | None = None,
) -> Shrunk:
    """Beta posteriors of cells in a hierarchy.

    Parameters
    ----------
    k, n : (m,) successes and trials of the cells.
    levels : from the coarsest: for each, the (m,) number of the group that holds each cell. A cell is the last level.
    shifts : groups, from the coarsest, whose cells go up and down together (all magnitudes of one piece of sky): taken
        out after so many levels.

    Raises
    ------
    ConfigError
        When counts are negative, or successes exceed trials.
    """
    if not (np.all(k >= 0) and np.all(k <= n)):
        raise ConfigError("successes must lie between 0 and trials")
    total_k, total_n = float(k.sum()), float(n.sum())
    # above the coarsest level: the fraction of everything else
    known = total_n - n + 1.0
    mean = (total_k - k + 0.5) / known
    spreads = []
    seen = bool((n > 0).any())
    for depth, group in enumerate(levels):
        for together in (shifts or {}).get(depth, ()) if seen else ():
            mean, known = _shifted(k, n, _inside(mean), known, together)
        size = int(group.max()) + 1 if len(group) else 0
        weight = np.where(n > 0, 1.0, 1e-9)
        counted = np.bincount(group, weight, size)
        counted = np.where(counted > 0, counted, 1.0)

        def of_groups(values: Floats, group: NDArray[np.int64] = group, weight: Floats = weight) -> Floats:
            return np.asarray(np.bincount(group, weight * values, len(counted)) / counted)  # noqa: B023

        group_k, group_n = (np.bincount(group, part, size).astype(np.float64) for part in (k, n))
        spread = best_spread(group_k, group_n, _inside(of_groups(mean)), np.maximum(of_groups(known), 1.0))
        spreads.append(spread)
        s = spread.at(mean, known)
        known = group_n[group] - n + s
        mean = _inside((group_k[group] - k + s * mean) / known)
    for together in (shifts or {}).get(len(levels), ()) if seen else ():
        mean, known = _shifted(k, n, mean, known, together)
    mean = _inside(mean)
    spread = best_spread(k, n, mean, known)
    spreads.append(spread)
    s = spread.at(mean, known)
    return Shrunk(k + mean * s, n - k + (1.0 - mean) * s, mean, tuple(spreads))


def _inside(mean: Floats) -> Floats:
    return np.clip(mean, 1e-6, 1.0 - 1e-6)


def product_of_betas(a: Sequence[Floats], b: Sequence[Floats]) -> tuple[Floats, Floats]:
    """The Beta distribution with the mean and variance of a product of independent Beta variables.

    A product of Betas is close to a Beta of the same first two moments (1991 Fan, Comm. Stat. Theory Meth. 20, 4043).

    Parameters
    ----------
    a, b : their parameters, each entry (n,).

    Examples
    --------
    >>> a, b = product_of_betas([np.array([8.0])], [np.array([2.0])])
    >>> a.round(6).tolist(), b.round(6).tolist()
    ([8.0], [2.0])
    """
    first, second = np.ones_like(a[0]), np.ones_like(a[0])
    for alpha, beta in zip(a, b, strict=True):
        total = alpha + beta
        first = first * alpha / total
        second = second * alpha * (alpha + 1.0) / (total * (total + 1.0))
    variance = np.maximum(second - first**2, 1e-300)
    concentration = first * (1.0 - first) / variance - 1.0
    return first * concentration, (1.0 - first) * concentration
