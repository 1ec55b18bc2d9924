"""What a population looks like, from what is known of each member: mean and intrinsic spread without the prior's echo.

Each member i brings p(x | d_i), its posterior under some interim prior pi(x). Divided by that prior it is, up to a
constant, the likelihood of x; so a population density p(x | theta) has the likelihood

    L(theta) = product_i integral p(x | theta) p(x | d_i) / pi(x) dx   (2010ApJ...725.2166H, equation 9)

Here the population is a normal inside the range in which x may lie, with, if wanted, a share of outliers spread evenly
over that range. Its posterior is computed on a grid, so there is nothing to converge.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import CatalogError, ConfigError
from starloom.seeds import generator

Floats = NDArray[np.float64]
MEANS, SPREADS, SHARES = 161, 61, 13
MEMBERS = 128  # whose likelihoods are in memory together
LEAST_DRAWS = 20


@dataclass(frozen=True)
class PopulationPosterior:
    """The posterior of a population's mean, intrinsic spread and share of outliers.

    Parameters
    ----------
    mean, spread, outliers : grid nodes (m,), (s,), (o,).
    probability : (m, s, o), sums to 1.
    members : how many went into it.
    bounds : the range in which members may lie.
    least_effective : of importance sampling, the fewest effective draws of a member at the best population; infinite
        where the posteriors were given as densities.
    """

    mean: Floats
    spread: Floats
    outliers: Floats
    probability: Floats
    members: int
    bounds: tuple[float, float]
    least_effective: float = float("inf")

    @cached_property
    def mean_probability(self) -> Floats:
        """Marginal over the mean's nodes."""
        return np.asarray(self.probability.sum(axis=(1, 2)))

    @cached_property
    def spread_probability(self) -> Floats:
        """Marginal over the spread's nodes."""
        return np.asarray(self.probability.sum(axis=(0, 2)))

    @cached_property
    def outlier_probability(self) -> Floats:
        """Marginal over the nodes of the outliers' share."""
        return np.asarray(self.probability.sum(axis=(0, 1)))

    def mean_quantiles(self, shares: ArrayLike = (0.16, 0.5, 0.84)) -> Floats:
        """Quantiles of the mean."""
        return _quantiles(self.mean, self.mean_probability, shares)

    def spread_quantiles(self, shares: ArrayLike = (0.16, 0.5, 0.84)) -> Floats:
        """Quantiles of the spread."""
        return _quantiles(self.spread, self.spread_probability, shares)

    def spread_limit(self, level: float = 0.95) -> float:
        """What the spread is below, with that probability."""
        return float(self.spread_quantiles([level])[0])

    def outlier_quantiles(self, shares: ArrayLike = (0.16, 0.5, 0.84)) -> Floats:
        """Quantiles of the share of outliers."""
        return _quantiles(self.outliers, self.outlier_probability, shares)

    @property
    def at_edge(self) -> bool:
        """Whether the mean leans on an end of its range, so that its interval is a limit."""
        p = self.mean_probability
        return bool(max(p[0], p[-1]) > p.max() / 10.0)

    def sample(self, count: int, seed: int | np.random.Generator) -> Floats:
        """Draws of (mean, spread, share of outliers), (count, 3), at the nodes of the grid."""
        flat = generator(seed).choice(self.probability.size, size=count, p=self.probability.ravel())
        i, j, k = np.unravel_index(flat, self.probability.shape)
        return np.stack([self.mean[i], self.spread[j], self.outliers[k]], axis=1)


def population_of_densities(
    edges: ArrayLike,
    probability: ArrayLike,
    *,
    prior: ArrayLike | None = None,
    selection: ArrayLike | None = None,
    spread: tuple[float, float] | None = None,
    outliers: float = 0.0,
) -> PopulationPosterior:
    """A population from posteriors given as probabilities in bins.

    Parameters
    ----------
    edges : (bins + 1,) edges of the bins, rising. Members may lie between the outer ones; so may the population's mean.
    probability : (n, bins) of each member; rows with a NaN are left out.
    prior : (bins,) probability of each bin under the interim prior; flat by default.
    selection : (bins,) relative chance that a member in the bin enters the sample, where it depends on x. Then the
        population is that of all, not of the sample. By default it does not depend on x.
    spread : range of the intrinsic spread, flat prior; by default from 0 to a quarter of the range.
    outliers : largest share of outliers, flat prior from 0; 0 for none.

    Raises
    ------
    CatalogError
        When no member is usable.
    ConfigError
        When shapes do not fit or a prior or selection is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.stats import norm
    >>> edges = np.linspace(0.0, 10.0, 101)
    >>> seen = norm(4.0, 1.0).rvs(200, random_state=1) + norm(0.0, 1.0).rvs(200, random_state=2)
    >>> members = np.diff(norm.cdf(edges[None, :], seen[:, None], 1.0), axis=1)
    >>> found = population_of_densities(edges, members / members.sum(axis=1, keepdims=True))
    >>> found.mean_quantiles().round(1).tolist()
    [4.0, 4.1, 4.2]
    """
    at, p = np.asarray(edges, dtype=float), np.atleast_2d(np.asarray(probability, dtype=float))
    if at.ndim != 1 or p.shape[1] != len(at) - 1 or not (np.diff(at) > 0).all():
        raise ConfigError(f"bins of {p.shape} probabilities need {p.shape[1] + 1} rising edges, got {at.shape}")
    width = np.diff(at)
    base = width / width.sum() if prior is None else np.asarray(prior, dtype=float)
    if base.shape != width.shape or not (base > 0).all():
        raise ConfigError("the interim prior needs a positive probability in every bin")
    p = p[np.isfinite(p).all(axis=1) & (p.sum(axis=1) > 0)]
    if len(p) == 0:
        raise CatalogError("no member of the population has a posterior; look at their reasons")
    likelihood = p / base
    even = likelihood @ (width / width.sum())
    chance = None if selection is None else np.asarray(selection, dtype=float)
    if chance is not None and (chance.shape != width.shape or not (chance >= 0).all() or not chance.sum() > 0):
        raise ConfigError("selection needs a chance, not negative, for every bin")

    def fit(means: Floats, spreads: Floats, shares: Floats) -> PopulationPosterior:
        mass = _normal_mass(at, means, spreads)
        flat = mass.reshape(-1, len(width)).T
        log = np.zeros((len(means), len(spreads), len(shares)))
        for start in range(0, len(p), MEMBERS):
            part = slice(start, start + MEMBERS)
            value = (likelihood[part] @ flat).reshape(-1, len(means), len(spreads))
            log += _log_likelihood(value, even[part], shares)
        if chance is not None:
            outside = float(width @ chance / width.sum())
            log -= len(p) * np.log((1.0 - shares) * (mass @ chance)[:, :, None] + shares * outside)
        return _posterior(log, means, spreads, shares, len(p), (float(at[0]), float(at[-1])), float("inf"))

    return fit(*_nearer(fit(*_grid(at, spread, outliers))))


def population_of_draws(
    draws: ArrayLike,
    bounds: tuple[float, float],
    *,
    prior: ArrayLike | None = None,
    spread: tuple[float, float] | None = None,
    outliers: float = 0.0,
) -> PopulationPosterior:
    """A population from draws of each member's posterior, reweighted by importance.

    Parameters
    ----------
    draws : (n, draws) of each member; rows with a NaN are left out.
    bounds : range of the interim prior.
    prior : (n, draws) density of the interim prior at the draws; flat by default.
    spread, outliers : as for :func:`population_of_densities`. A spread much below that of the draws rests on few of
        them: ``least_effective`` of the result says on how many.

    Raises
    ------
    CatalogError
        When no member is usable.
    ConfigError
        When shapes do not fit, there are too few draws, or one is outside the bounds.
    """
    x = np.atleast_2d(np.asarray(draws, dtype=float))
    if x.ndim != 2 or x.shape[1] < LEAST_DRAWS:
        raise ConfigError(f"a population needs at least {LEAST_DRAWS} draws a member, got shape {x.shape}")
    density = np.full_like(x, 1.0 / (bounds[1] - bounds[0])) if prior is None else np.asarray(prior, dtype=float)
    if density.shape != x.shape:
        raise ConfigError(f"the prior at the draws must have shape {x.shape}, not {density.shape}")
    good = np.isfinite(x).all(axis=1) & np.isfinite(density).all(axis=1)
    x, density = x[good], density[good]
    if len(x) == 0:
        raise CatalogError("no member of the population has a posterior; look at their reasons")
    if not ((x >= bounds[0]) & (x <= bounds[1])).all() or not (density > 0).all():
        raise ConfigError(f"draws must lie inside {bounds} and have a positive prior density")
    means, spreads, shares = _grid(np.asarray(bounds, dtype=float), spread, outliers)
    spreads = np.maximum(spreads, spreads[-1] / SPREADS / 2.0)
    value = np.empty((len(x), len(means), len(spreads)))
    norm = _normal_mass(np.asarray(bounds, dtype=float), means, spreads, normalize=False)[..., 0]
    weight = 1.0 / density / x.shape[1]
    for k, width in enumerate(spreads):
        for row in range(len(x)):
            z = (x[row][None, :] - means[:, None]) / width
            value[row, :, k] = np.exp(-0.5 * z * z) @ weight[row] / (np.sqrt(2.0 * np.pi) * width * norm[:, k])
    log = _log_likelihood(value, weight.sum(axis=1) / (bounds[1] - bounds[0]), shares)
    found = _posterior(log, means, spreads, shares, len(x), bounds, 0.0)
    at, narrow, _ = np.unravel_index(int(found.probability.argmax()), found.probability.shape)
    used = np.exp(-0.5 * ((x - means[at]) / spreads[narrow]) ** 2) * weight
    effective = used.sum(axis=1) ** 2 / np.maximum((used**2).sum(axis=1), 1e-300)
    return PopulationPosterior(
        found.mean, found.spread, found.outliers, found.probability, len(x), bounds, float(effective.min())
    )


def _grid(edges: Floats, spread: tuple[float, float] | None, outliers: float) -> tuple[Floats, Floats, Floats]:
    low, high = float(edges[0]), float(edges[-1])
    narrow, wide = (0.0, 0.25 * (high - low)) if spread is None else spread
    if not (0.0 <= narrow < wide and 0.0 <= outliers < 1.0 and low < high):
        raise ConfigError("a population needs 0 <= spread low < high, a share of outliers below 1 and rising bounds")
    shares = np.linspace(0.0, outliers, SHARES) if outliers > 0 else np.zeros(1)
    return np.linspace(low, high, MEANS), np.linspace(narrow, wide, SPREADS), shares


def _normal_mass(edges: Floats, mean: Floats, spread: Floats, normalize: bool = True) -> Floats:
    """Mass of normals in bins, (m, s, bins), cut to the range of the bins; a spread of 0 is all in one bin."""
    from scipy.special import ndtr

    tiny = 1e-3 * (edges[-1] - edges[0]) / MEANS
    z = (edges - mean[:, None, None]) / np.maximum(spread, tiny)[None, :, None]
    mass = np.diff(ndtr(z), axis=-1)
    return np.asarray(mass / np.maximum(mass.sum(axis=-1, keepdims=True), 1e-300) if normalize else mass)


def _log_likelihood(value: Floats, even: Floats, shares: Floats) -> Floats:
    """Log likelihood (m, s, o) of members whose likelihoods under the normal are (n, m, s), under outliers (n,)."""
    log = np.empty((*value.shape[1:], len(shares)))
    for k, share in enumerate(shares):
        with np.errstate(divide="ignore"):
            log[:, :, k] = np.log((1.0 - share) * value + share * even[:, None, None]).sum(axis=0)
    return log


def _nearer(found: PopulationPosterior) -> tuple[Floats, Floats, Floats]:
    """Nodes over the part of a first grid that holds the posterior: the same number, closer together."""

    def part(nodes: Floats, p: Floats) -> Floats:
        inside = np.flatnonzero(p > p.max() * 1e-8)
        return np.linspace(nodes[max(inside[0] - 1, 0)], nodes[min(inside[-1] + 1, len(nodes) - 1)], len(nodes))

    return part(found.mean, found.mean_probability), part(found.spread, found.spread_probability), found.outliers


def _posterior(
    log: Floats,
    means: Floats,
    spreads: Floats,
    shares: Floats,
    members: int,
    bounds: tuple[float, float],
    effective: float,
) -> PopulationPosterior:
    if not np.isfinite(log.max()):
        raise CatalogError("no population inside the range fits all members; allow for outliers")
    probability = np.exp(log - log.max())
    return PopulationPosterior(means, spreads, shares, probability / probability.sum(), members, bounds, effective)


def _quantiles(nodes: Floats, probability: Floats, shares: ArrayLike) -> Floats:
    if len(nodes) == 1:
        return np.full(np.shape(shares), nodes[0])
    # a node stands for the cell around it; the outermost ones for half a cell
    edges = np.concatenate([nodes[:1], 0.5 * (nodes[1:] + nodes[:-1]), nodes[-1:]])
    weight = probability * np.diff(edges)
    total = np.concatenate([[0.0], np.cumsum(weight / weight.sum())])
    return np.asarray(np.interp(np.asarray(shares, dtype=float), total, edges))
