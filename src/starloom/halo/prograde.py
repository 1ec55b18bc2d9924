"""What share of stars turns with the disk: per star, in bins, without the errors of the sign, and as a trend.

A star has the probability P to be prograde where either side is as likely before the measurement. P / (1 - P) is then
the ratio of the likelihoods of the two signs, and a sample of true fraction f has the likelihood

    L(f) = product_i [f P_i + (1 - f) (1 - P_i)]

which is the version without the errors of the sign. Where all P are 0 or 1 it is the Beta posterior of the counts.

What P is depends on how the rotations of prograde and of retrograde stars are spread near zero.
`starloom.halo.rotation.sign_probabilities` finds both spreads from the sample and gives several versions of all P, one
for each draw of the spreads; every function here takes such versions (m, n) and averages the posteriors over them.
The share of a star's draws with a prograde sign (the column ``p_prograde``) takes both spreads to be equally high at
zero. A fraction made from it is biased where they are not and many signs are uncertain.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from starloom.errors import CatalogError, ConfigError, FitError
from starloom.seeds import generator
from starloom.stats.intervals import JEFFREYS, fraction_interval

if TYPE_CHECKING:
    from astropy.table import QTable

Floats = NDArray[np.float64]
NODES = 2000
PRIOR_WIDTH = 5.0  # standard deviation of the normal prior of each coefficient of the trend
DRAWS = 4000


def probabilities(values: ArrayLike, what: str = "probabilities") -> Floats:
    """Versions (m, n) of probabilities, or what is wrong with them; NaN may be among them."""
    p = np.asarray(values, dtype=float)
    if p.ndim not in (1, 2) or p.shape[0] == 0 < p.ndim - 1:
        raise ConfigError(f"{what} have shape (n,), or (m, n) for m versions of them, not {p.shape}")
    bad = np.argwhere((p < 0) | (p > 1))
    if len(bad):
        raise CatalogError(f"{what}: row {bad[0][-1]} is {p[tuple(bad[0])]:g}; they lie between 0 and 1")
    return np.atleast_2d(p)


@njit(cache=True, nogil=True)
def _log_likelihoods(p: Floats, nodes: Floats) -> Floats:
    """(m, k) ln L of versions (m, n) at fractions (k,); logarithms are taken of products of 16 stars."""
    found, product = np.zeros((len(p), len(nodes))), np.empty(len(nodes))
    rest, slope = 1.0 - nodes, 2.0 * nodes - 1.0
    for version in range(len(p)):
        product[:] = 1.0
        for i in range(p.shape[1]):
            share = p[version, i]
            for k in range(len(nodes)):
                product[k] *= rest[k] + slope[k] * share
            if i % 16 == 15 or i == p.shape[1] - 1:
                found[version] += np.log(product)
                product[:] = 1.0
    return found


@dataclass(frozen=True)
class Fraction:
    """A fraction by counting and without the errors of the sign.

    Parameters
    ----------
    stars : how many stars went into it.
    prograde : sum of their probabilities.
    counted, counted_low, counted_high : share with P > 1/2, and the interval of its Beta posterior.
    value, low, high : median and interval of the posterior which allows for the errors of the sign.
    """

    stars: int
    prograde: float
    counted: float
    counted_low: float
    counted_high: float
    value: float
    low: float
    high: float


def prograde_fraction(p_prograde: ArrayLike, level: float = 0.68) -> Fraction:
    """The prograde fraction of a sample.

    Parameters
    ----------
    p_prograde : (n,) probability of each star to be prograde, or (m, n) versions of it; NaN is left out.
    level : probability inside the intervals.

    Raises
    ------
    CatalogError
        When no star has a probability, or one is outside 0 to 1.

    Examples
    --------
    >>> found = prograde_fraction([1.0] * 8 + [0.0] * 2)
    >>> print(f"{found.counted:.2f} {found.low:.2f} {found.high:.2f}")
    0.80 0.65 0.89
    """
    from scipy.special import betaincinv

    p = probabilities(p_prograde, "p_prograde")
    p = np.ascontiguousarray(p[:, np.isfinite(p).all(axis=0)])
    mean = p.mean(axis=0)
    if len(mean) == 0:
        raise CatalogError("no star has a probability to be prograde; look at their reasons")
    if not 0.0 < level < 1.0:
        raise ConfigError(f"the level of an interval lies between 0 and 1, not {level}")
    count = int((mean > 0.5).sum())
    low, high = fraction_interval(count, len(mean), level)
    # nodes at quantiles of Jeffreys' prior: equal prior mass, so the posterior is the likelihood alone
    nodes = betaincinv(*JEFFREYS, (np.arange(NODES) + 0.5) / NODES)
    log = _log_likelihoods(p, nodes)
    weight = np.exp(log - log.max(axis=1, keepdims=True))
    weight = (weight / weight.sum(axis=1, keepdims=True)).mean(axis=0)
    total = np.cumsum(weight) - 0.5 * weight
    tail = (1.0 - level) / 2.0
    least, middle, most = np.interp([tail, 0.5, 1.0 - tail], total, nodes).tolist()
    return Fraction(len(mean), float(mean.sum()), count / len(mean), float(low), float(high), middle, least, most)


def fractions_in_bins(p_prograde: ArrayLike, x: ArrayLike, edges: Sequence[float], level: float = 0.68) -> QTable:
    """Prograde fractions in bins of a quantity, such as [Fe/H].

    Parameters
    ----------
    p_prograde : (n,) probabilities, or (m, n) versions of them.
    x : (n,) the quantity.
    edges : rising edges of the bins.
    level : probability inside the intervals.

    Returns
    -------
    QTable
        One row a bin: low_edge, high_edge, median of x, stars, counted with counted_low and counted_high, fraction with
        fraction_low and fraction_high; NaN where a bin is empty.
    """
    from astropy.table import QTable

    p, at, ends = probabilities(p_prograde, "p_prograde"), np.asarray(x, float), np.asarray(edges, float)
    if at.shape != p.shape[1:]:
        raise ConfigError(f"x has shape {at.shape}, the probabilities are of {p.shape[1]} stars")
    if ends.ndim != 1 or len(ends) < 2 or not (np.diff(ends) > 0).all():
        raise ConfigError("bins need at least two rising edges")
    rows = []
    for low, high in itertools.pairwise(ends):
        inside = (at >= low) & (at < high) & np.isfinite(p).all(axis=0)
        if inside.any():
            f = prograde_fraction(p[:, inside], level)
            numbers = (f.stars, f.counted, f.counted_low, f.counted_high, f.value, f.low, f.high)
            rows.append((low, high, float(np.median(at[inside])), *numbers))
        else:
            rows.append((low, high, np.nan, 0, *[np.nan] * 6))
    names = ("low_edge", "high_edge", "median", "stars", "counted", "counted_low", "counted_high")
    return QTable(rows=rows, names=(*names, "fraction", "fraction_low", "fraction_high"))


@dataclass(frozen=True)
class ProgradeTrend:
    """Posterior of logit f = intercept + sum_k slope_k (x_k - center_k).

    Parameters
    ----------
    names : of the quantities, such as fe_h and alpha_m.
    center : (k,) their means, where the intercept is read.
    draws : (draws, 1 + k) intercept and slopes.
    effective : effective number of the draws of the importance sampling they come from.
    stars : how many stars.
    """

    names: tuple[str, ...]
    center: Floats
    draws: Floats
    effective: float
    stars: int

    def slope(self, name: str) -> tuple[float, float, float]:
        """Median and 68 % interval of a slope, per unit of the quantity."""
        values = self.draws[:, 1 + self._place(name)]
        low, middle, high = np.quantile(values, (0.16, 0.5, 0.84))
        return float(middle), float(low), float(high)

    def significance(self, name: str) -> float:
        """Posterior mean of a slope in its standard deviations; its sign is the slope's."""
        values = self.draws[:, 1 + self._place(name)]
        return float(values.mean() / values.std())

    def falling(self, name: str) -> float:
        """Probability that the fraction falls with the quantity."""
        return float((self.draws[:, 1 + self._place(name)] < 0).mean())

    def fraction(self, **values: ArrayLike) -> tuple[Floats, Floats, Floats]:
        """Median and 68 % band of the fraction where the quantities are as given; others are at their means.

        Examples
        --------
        >>> trend = fit_trend([1.0, 0.9, 0.2, 0.8] * 20, {"fe_h": [-3.0, -2.8, -2.1, -2.5] * 20}, seed=1)
        >>> trend.falling("fe_h") > 0.99
        True
        """
        unknown = set(values) - set(self.names)
        if unknown:
            raise ConfigError(f"the trend knows {', '.join(self.names)}, not {', '.join(sorted(unknown))}")
        given = {name: np.atleast_1d(np.asarray(value, float)) for name, value in values.items()}
        shape = np.broadcast_shapes(*(value.shape for value in given.values())) if given else (1,)
        logit = np.broadcast_to(self.draws[:, :1], (len(self.draws), int(np.prod(shape)))).copy()
        for place, name in enumerate(self.names):
            if name in given:
                off = np.broadcast_to(given[name], shape).ravel() - self.center[place]
                logit += self.draws[:, 1 + place, None] * off
        low, middle, high = np.quantile(1.0 / (1.0 + np.exp(-logit)), (0.16, 0.5, 0.84), axis=0)
        return middle, low, high

    def _place(self, name: str) -> int:
        if name not in self.names:
            raise ConfigError(f"the trend knows {', '.join(self.names)}, not {name!r}")
        return self.names.index(name)


def fit_trend(
    p_prograde: ArrayLike, quantities: dict[str, ArrayLike], *, seed: int | np.random.Generator = 0
) -> ProgradeTrend:
    """Logistic regression of the prograde fraction on several quantities at once, errors of the sign allowed for.

    The likelihood is the one above with f a function of the quantities; the priors are normal of width 5 per unit.
    Draws come from a Student t around the mode by importance resampling. Errors of the quantities are not deconvolved:
    they make slopes smaller by var(true) / var(measured).

    Parameters
    ----------
    p_prograde : (n,) probabilities, or (m, n) versions of them; stars with a NaN anywhere are left out.
    quantities : name -> (n,) values.
    seed : of the draws.

    Raises
    ------
    CatalogError
        When fewer than ten stars are usable or a quantity does not vary.
    FitError
        When the posterior has no mode.
    """
    from scipy.optimize import minimize

    p = probabilities(p_prograde, "p_prograde")
    names = tuple(quantities)
    columns = [np.asarray(quantities[name], dtype=float) for name in names]
    if not names or any(column.shape != p.shape[1:] for column in columns):
        raise ConfigError("a trend needs at least one quantity, each of the shape of the probabilities")
    x = np.stack(columns, axis=1)
    good = np.isfinite(p).all(axis=0) & np.isfinite(x).all(axis=1)
    p, x = p[:, good], x[good]
    if len(x) < 10 or (x.std(axis=0) == 0).any():
        raise CatalogError(f"a trend in {', '.join(names)} needs at least ten stars that differ; {len(x)} are usable")
    center, mean = x.mean(axis=0), p.mean(axis=0)
    design = np.concatenate([np.ones((len(x), 1)), x - center], axis=1)

    def log_posterior(b: Floats, p: Floats) -> Floats:
        """Of coefficients (draws, 1 + k), with one version of the probabilities."""
        f = 1.0 / (1.0 + np.exp(-np.clip(b @ design.T, -40.0, 40.0)))
        return np.asarray(
            np.log(f * p + (1.0 - f) * (1.0 - p)).sum(axis=1) - 0.5 * ((b / PRIOR_WIDTH) ** 2).sum(axis=1)
        )

    def downhill(b: Floats) -> tuple[float, Floats]:
        f = 1.0 / (1.0 + np.exp(-np.clip(design @ b, -40.0, 40.0)))
        inside = f * mean + (1.0 - f) * (1.0 - mean)
        slope = design.T @ (f * (1.0 - f) * (2.0 * mean - 1.0) / inside) - b / PRIOR_WIDTH**2
        return -float(np.log(inside).sum() - 0.5 * ((b / PRIOR_WIDTH) ** 2).sum()), -slope

    found = minimize(downhill, np.zeros(design.shape[1]), jac=True, method="BFGS")
    if not np.isfinite(found.fun):
        raise FitError("the trend's posterior has no mode; look at the probabilities")
    covariance = np.asarray(found.hess_inv) + 1e-12 * np.eye(len(found.x))
    rng, freedom = generator(seed), 6.0
    root = np.linalg.cholesky(1.2 * covariance)
    z = rng.standard_normal((2 * DRAWS, len(found.x))) / np.sqrt(rng.chisquare(freedom, (2 * DRAWS, 1)) / freedom)
    proposed = found.x + z @ root.T
    log_proposal = -0.5 * (freedom + len(found.x)) * np.log1p((z**2).sum(axis=1) / freedom)
    chosen: list[Floats] = []
    effective = 0.0
    # each version has its own share of the proposals, and as many of the draws
    for version, part in zip(p, np.array_split(np.arange(len(proposed)), len(p)), strict=True):
        log = log_posterior(proposed[part], version) - log_proposal[part]
        weight = np.exp(log - log.max())
        weight /= weight.sum()
        effective += float(1.0 / (weight**2).sum())
        chosen.append(proposed[rng.choice(part, len(part) // 2, p=weight)])
    return ProgradeTrend(names, center, np.concatenate(chosen), effective, len(x))
