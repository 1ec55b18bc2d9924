"""How rotation is spread on either side of zero, and what that says of stars whose sign is uncertain.

Let a sample turn with the density f g+(v) at v > 0 and (1 - f) g-(v) at v < 0, each g with the integral 1, and let
l_i(v) be the likelihood of star i's measurement. Its stars then have the likelihood

    L(f, g+, g-) = product_i [f A_i + (1 - f) B_i],   A_i = int g+(v) l_i(v) dv,   B_i = int g-(v) l_i(v) dv.

A star of uncertain sign is one whose l_i reaches over zero; it says A_i / B_i, which is the ratio of the two parts of
its l_i only where g+ and g- are equally high at zero. With half normals of the widths s+ and s- they are so where
s+ = s-, and a smooth crowd that turns on the whole has f g+(0) = (1 - f) g-(0) instead. So both g are found from the
sample itself: straight lines between nodes, with a step at zero where the stars ask for one,

    g+(v) = sum_k w_k h_k(v),   w ~ Dirichlet(1, ..., 1),   f ~ Beta(1/2, 1/2),

with h_k a tent of area 1 on the nodes from 0 outwards, the first and the last half a tent. Given the tent that each
star came from, f and w have a Beta and two Dirichlet distributions; given these, the tent of a star has the chances
w_k int h_k l_i. Draws go from one to the other (Gibbs).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from starloom.errors import CatalogError, ConfigError
from starloom.seeds import generator
from starloom.stats.intervals import JEFFREYS

Floats = NDArray[np.float64]
STEP = 0.35  # of the sample's rms rotation: the distance of the nodes near zero
EVEN_NODES = 8
GROWTH = 1.5  # of the distance of farther nodes from zero, from one to the next
SHARE = 1.0  # prior count of each tent
STEPS, WARM_UP, VERSIONS = 1000, 200, 25
LEAST = 20
POINTS = 64  # of a normal measurement


@dataclass(frozen=True)
class Sides:
    """Draws of the two densities of a sample's rotation, and what they make of each star's sign.

    Parameters
    ----------
    nodes : (k,) km/s, from 0 outwards.
    prograde, retrograde : (m, k) shares w of the tents on either side.
    fraction : (draws,) of the prograde fraction, from all steps after the warm-up.
    probability : (m, n) A_i / (A_i + B_i) of every star: how likely it would be prograde if either side were as likely
        before the measurement. NaN where a star is not usable.
    """

    nodes: Floats
    prograde: Floats
    retrograde: Floats
    fraction: Floats
    probability: Floats

    def density(self, rotation: ArrayLike) -> tuple[Floats, Floats, Floats]:
        """Median and 68 % band of the density (per km/s) at rotations (...), of the whole sample."""
        v = np.atleast_1d(np.asarray(rotation, dtype=float))
        heights = _tents(self.nodes, np.abs(v).ravel())
        f = self.fraction[np.linspace(0, len(self.fraction) - 1, len(self.prograde)).astype(int), None]
        values = np.where(v.ravel() >= 0, f * (self.prograde @ heights.T), (1.0 - f) * (self.retrograde @ heights.T))
        low, middle, high = np.quantile(values, (0.16, 0.5, 0.84), axis=0)
        return middle.reshape(v.shape), low.reshape(v.shape), high.reshape(v.shape)


def sign_probabilities(
    rotation: ArrayLike,
    error: ArrayLike | None = None,
    *,
    weight: ArrayLike | None = None,
    versions: int = VERSIONS,
    seed: int | np.random.Generator = 0,
) -> Sides:
    """The two densities of a sample's rotation, and the sign of each star under them.

    Parameters
    ----------
    rotation : (n,) measured rotations in km/s, prograde positive; or (n, d) draws from the errors of each.
    error : (n,) standard errors, with measured rotations only.
    weight : (n, d) of the draws, such that they stand for the likelihood l_i; by default equal.
    versions : how many draws of the densities are handed on.
    seed : of the draws.

    Raises
    ------
    CatalogError
        When fewer than 20 stars are usable.
    ConfigError
        When shapes differ, an error or a weight is negative, or there is no version.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> found = sign_probabilities(rng.normal(80.0, 100.0, 400), np.full(400, 20.0), seed=1)
    >>> bool(abs(found.fraction.mean() - 0.79) < 0.07)
    True
    """
    draws, heavy = _measured(rotation, error, weight)
    if versions < 1:
        raise ConfigError(f"at least one version of the densities is needed, not {versions}")
    good = np.isfinite(draws).all(axis=1) & (heavy.sum(axis=1) > 0)
    if good.sum() < LEAST:
        raise CatalogError(f"the rotation's densities need at least {LEAST} stars; {int(good.sum())} are usable")
    v, w = draws[good], heavy[good] / heavy[good].sum(axis=1, keepdims=True)
    nodes = nodes_for(v, w)
    sides = np.stack([_integrals(nodes, side * v, w) for side in (1.0, -1.0)])
    fraction, shares = gibbs_draws(np.moveaxis(sides, 0, 1), STEPS, WARM_UP, generator(seed))
    chosen = shares[np.linspace(0, len(shares) - 1, versions).astype(int)]
    a, b = (chosen[:, side] @ sides[side].T for side in (0, 1))
    probability = np.full((versions, len(draws)), np.nan)
    probability[:, good] = a / np.maximum(a + b, 1e-300)
    return Sides(nodes, chosen[:, 0], chosen[:, 1], fraction, probability)


def _measured(rotation: ArrayLike, error: ArrayLike | None, weight: ArrayLike | None) -> tuple[Floats, Floats]:
    """Draws and weights (n, d) of what was given; a normal error is its quantiles."""
    v = np.asarray(rotation, dtype=float)
    if v.ndim == 2 and error is None:
        heavy = np.ones_like(v) if weight is None else np.asarray(weight, dtype=float)
        if heavy.shape != v.shape:
            raise ConfigError(f"the draws have shape {v.shape}, their weights {heavy.shape}")
        if (heavy < 0).any():
            raise ConfigError("the weights of draws must not be negative")
        known = np.isfinite(v) & np.isfinite(heavy)
        # a star counts with the draws that it has, if these are more than half of them
        enough = known.sum(axis=1, keepdims=True) > v.shape[1] // 2
        return np.where(enough, np.where(known, v, 0.0), np.nan), np.where(known, heavy, 0.0)
    if v.ndim != 1 or error is None or weight is not None:
        raise ConfigError("give measured rotations (n,) with their errors, or draws (n, d) with or without weights")
    from scipy.special import ndtri

    sigma = np.asarray(error, dtype=float)
    if sigma.shape != v.shape:
        raise ConfigError(f"the rotations have shape {v.shape}, their errors {sigma.shape}")
    if (sigma < 0).any():
        raise ConfigError("errors of rotations must not be negative")
    draws = v[:, None] + sigma[:, None] * ndtri((np.arange(POINTS) + 0.5) / POINTS)
    return draws, np.ones_like(draws)


def nodes_for(draws: Floats, weight: Floats) -> Floats:
    """Nodes (k,) of a sample: even near zero, as far apart as its errors and its spread ask for, then wider.

    Parameters
    ----------
    draws, weight : (n, d), the weights of each star with the sum 1.
    """
    mean = (draws * weight).sum(axis=1)
    spread = np.sqrt(np.maximum((draws**2 * weight).sum(axis=1) - mean**2, 0.0))
    step = max(STEP * float(np.sqrt(np.mean(mean**2))), float(np.median(spread)), 1e-6)
    top = float(np.abs(draws[weight > 0]).max())
    nodes = [step * k for k in range(EVEN_NODES + 1)]
    while nodes[-1] < top:
        nodes.append(GROWTH * nodes[-1])
    return np.array(nodes)


def _place(nodes: Floats, v: Floats) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Interval of each value, its share of it, and the area under each tent of height one."""
    width = np.diff(nodes)
    k = np.clip(np.searchsorted(nodes, v, side="right") - 1, 0, len(nodes) - 2)
    area = 0.5 * (np.append(width, 0.0) + np.append(0.0, width))
    return k, (v - nodes[k]) / width[k], area


def _tents(nodes: Floats, v: Floats) -> Floats:
    """(n, k) heights of the tents at values (n,) from 0."""
    k, part, area = _place(nodes, v)
    found, rows, inside = np.zeros((len(v), len(nodes))), np.arange(len(v)), part <= 1.0
    found[rows, k], found[rows, k + 1] = np.where(inside, 1.0 - part, 0.0), np.where(inside, part, 0.0)
    return np.asarray(found / area)


def _integrals(nodes: Floats, draws: Floats, weight: Floats) -> Floats:
    """(n, k) of each tent times each star's likelihood."""
    stars, size = len(draws), len(nodes)
    k, part, area = _place(nodes, draws.ravel())
    mass = np.where((draws.ravel() >= 0) & (part <= 1.0), weight.ravel(), 0.0)
    cell = np.repeat(np.arange(stars) * size, draws.shape[1]) + k
    found = np.bincount(cell, mass * (1.0 - part), stars * size) + np.bincount(cell + 1, mass * part, stars * size)
    return np.asarray(found.reshape(stars, size) / area)


def gibbs_draws(seen: Floats, steps: int, warm_up: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Draws of f (steps,) and of the shares w (steps, 2, k) for integrals (n, 2, k) of stars, sides and tents."""
    stars, _, size = seen.shape
    flat = seen.reshape(stars, 2 * size)
    star, tent = np.nonzero(flat > 0.0)  # a star reaches a few tents of many
    first = np.searchsorted(star, np.arange(stars + 1))
    fraction, shares = _gibbs(flat[star, tent], tent, first, size, steps, warm_up, SHARE, rng)
    return fraction, shares.reshape(steps, 2, size)


@njit(cache=True, nogil=True)
def _gibbs(
    value: Floats, tent: NDArray[np.int64], first: NDArray[np.int64], size: int, steps: int, warm_up: int, share: float,
    rng: np.random.Generator,
) -> tuple[Floats, Floats]:  # fmt: skip
    weight, count = np.full(2 * size, 1.0 / size), np.zeros(2 * size)
    fractions, shares, chance, f = np.empty(steps), np.empty((steps, 2 * size)), np.empty(2 * size), 0.5
    for step in range(-warm_up, steps):
        chance[:size], chance[size:] = f * weight[:size], (1.0 - f) * weight[size:]
        count[:] = 0.0
        for i in range(len(first) - 1):
            total = 0.0
            for entry in range(first[i], first[i + 1]):
                total += chance[tent[entry]] * value[entry]
            place, entry = rng.random() * total, first[i]
            while entry < first[i + 1] - 1:
                place -= chance[tent[entry]] * value[entry]
                if place < 0.0:
                    break
                entry += 1
            if entry < first[i + 1]:  # a star of no tent says nothing
                count[tent[entry]] += 1.0
        up = rng.standard_gamma(JEFFREYS[0] + count[:size].sum())
        f = up / (up + rng.standard_gamma(JEFFREYS[1] + count[size:].sum()))
        for k in range(2 * size):
            weight[k] = rng.standard_gamma(share + count[k])
        weight[:size] /= weight[:size].sum()
        weight[size:] /= weight[size:].sum()
        if step >= 0:
            fractions[step], shares[step] = f, weight
    return fractions, shares
