"""Which stream comes from which cluster: distances in (E, L_z, L_perp), probabilities, false discoveries.

A stream i is either debris of one of N known parents or of none of them (a lost parent, the smooth halo):

    P(c | i) = (pi / N) N(I_i; I_c, C_i + C_c + S) B_ic / [ (pi / N) sum_k N(I_i; I_k, ...) B_ik + (1 - pi) p_0(I_i) ]

I = (E, L_z, L_perp) with covariances C; S is how far debris strays from its parent, and how wrong the potential is. p_0
is a smooth density of the halo's integrals. B_ic = a p^(a - 1) says what the place on the orbit adds, p being the share
of random phases of c that lie as close to the orbit of i (see ``orbit_match``): one on average under the null. pi is
fitted to the streams.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from starloom.errors import CatalogError, ConfigError
from starloom.streams.motion_integrals import MotionIntegrals

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.streams.orbit_match import OrbitMatches

Array = NDArray[np.float64]

# (E, L_z, L_perp) in (km/s)^2 and kpc km/s: 0.004 kpc^2/Myr^2, 0.2 and 0.3 kpc^2/Myr
DEBRIS = (3824.3, 195.56, 293.34)
SHAPE = 0.25  # a in B = a p^(a - 1): a true parent has p < 0.05 in about half of the cases (0.05^0.25 = 0.47)
THRESHOLD = 0.5
SHUFFLES = 200
NEIGHBORHOOD = 15.0  # ranks in energy within which L_z and L_perp are exchanged


def _checked(objects: MotionIntegrals, what: str) -> tuple[Array, Array]:
    centers, covariances = objects.centers, objects.covariances
    if len(objects) == 0:
        raise CatalogError(f"no {what}: there is nothing to compare")
    if not (np.isfinite(centers).all() and np.isfinite(covariances).all()):
        bad = [name for name, c in zip(objects.names, centers, strict=True) if not np.isfinite(c).all()]
        raise CatalogError(f"{what} without integrals: {', '.join(map(str, bad[:5])) or 'a covariance is not finite'}")
    return centers, covariances


def _sums(a: Array, b: Array, scales: tuple[float, float, float]) -> Array:
    if any(scale <= 0 for scale in scales):
        raise ConfigError(f"the scales of debris must be positive, got {scales}")
    return np.asarray(a[:, None] + b[None, :] + np.diag(np.square(scales)))


def distances(first: MotionIntegrals, second: MotionIntegrals, scales: tuple[float, float, float] = DEBRIS) -> Array:
    """D between all pairs: D^2 = d^T (C_1 + C_2 + S)^-1 d with d the difference in (E, L_z, L_perp).

    Parameters
    ----------
    first, second : n and m objects with integrals.
    scales : square roots of the diagonal of S, (km/s)^2 and kpc km/s.

    Returns
    -------
    ndarray
        (n, m).

    Raises
    ------
    CatalogError
        When there is no object, or one has no integrals or no finite covariance.
    """
    (a, ca), (b, cb) = _checked(first, "first objects"), _checked(second, "second objects")
    return mahalanobis(a, ca, b, cb, scales)


def mahalanobis(a: Array, ca: Array, b: Array, cb: Array, scales: tuple[float, float, float]) -> Array:
    """D of centers a (n, 3), b (m, 3) with covariances (n, 3, 3), (m, 3, 3); see ``distances``. Shape (n, m)."""
    delta = a[:, None] - b[None, :]
    solved = np.linalg.solve(_sums(ca, cb, scales), delta[..., None])[..., 0]
    return np.asarray(np.sqrt(np.sum(delta * solved, axis=-1)))


def _log_density(a: Array, ca: Array, b: Array, cb: Array, scales: tuple[float, float, float]) -> Array:
    """ln N(I_i; I_c, C_i + C_c + S) in units of the scales, (n, m): a poorly known parent is thin everywhere."""
    total = _sums(ca, cb, scales) / np.outer(scales, scales)
    return np.asarray(-0.5 * (mahalanobis(a, ca, b, cb, scales) ** 2 + np.linalg.slogdet(2.0 * np.pi * total)[1]))


def log_density(
    streams: MotionIntegrals, parents: MotionIntegrals, scales: tuple[float, float, float] = DEBRIS
) -> Array:
    """ln of the density that each parent's debris has at each stream, (n, m), in units of the scales.

    Other than D it tells a wide parent, which is near to everything, from a narrow one.
    """
    return _log_density(*_checked(streams, "streams"), *_checked(parents, "parents"), scales)


@dataclass(frozen=True)
class SmoothHalo:
    """A smooth density of halo orbits in (E, L_z, L_perp): a Gaussian kernel around each of many orbits.

    Parameters
    ----------
    centers : (n, 3) orbits that stand for the halo.
    covariance : (3, 3) of a kernel.
    """

    centers: Array
    covariance: Array

    @classmethod
    def around(cls, *populations: MotionIntegrals, least_apocenter: float = 8.0, width: float = 1.0) -> SmoothHalo:
        """From populations of halo objects: those that reach beyond ``least_apocenter`` (kpc).

        The kernel is the covariance of all of them times Scott's n^(-2/7), times ``width`` squared. The sign of L_z is
        kept: the halo of clusters and streams rotates.
        """
        chosen = [
            s[:, :3].mean(axis=0)
            for p in populations
            for s in p.samples
            if len(s) and np.median(s[:, 4]) > least_apocenter
        ]
        if len(chosen) < 5:
            raise CatalogError(
                f"a smooth halo needs at least 5 objects beyond {least_apocenter:g} kpc, got {len(chosen)}"
            )
        centers = np.array(chosen)
        covariance = np.cov(centers.T) * (len(centers) ** (-1.0 / 7.0) * width) ** 2
        return cls(centers, covariance)

    def log_density(self, a: Array, ca: Array, scales: tuple[float, float, float]) -> Array:
        """ln p_0 at n objects with their covariances, shape (n,), in units of the scales."""
        kernel = np.repeat(self.covariance[None], len(self.centers), axis=0)
        every = _log_density(a, ca, self.centers, kernel, scales)
        top = every.max(axis=1)
        return np.asarray(top + np.log(np.mean(np.exp(every - top[:, None]), axis=1)))

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """``n`` orbits, (n, 3)."""
        chosen = self.centers[rng.integers(len(self.centers), size=n)]
        return np.asarray(chosen + rng.multivariate_normal(np.zeros(3), self.covariance, size=n))


@dataclass(frozen=True)
class Associations:
    """Streams and their possible parents.

    Parameters
    ----------
    streams, parents : names.
    distance : (n, m) D.
    probability : (n, m) P(c | i).
    share : pi, the fitted share of streams with a parent among those known.
    """

    streams: tuple[str, ...]
    parents: tuple[str, ...]
    distance: Array
    probability: Array
    share: float

    @property
    def best(self) -> NDArray[np.int64]:
        """(n,) the most probable parent of each stream."""
        return np.asarray(self.probability.argmax(axis=1))

    def rank(self, stream: str, parent: str) -> int:
        """Place of a parent among all for a stream by probability: 1 is the first."""
        row = self.probability[self.streams.index(stream)]
        return int(np.sum(row > row[self.parents.index(parent)])) + 1

    def found(self, threshold: float = THRESHOLD) -> NDArray[np.bool_]:
        """(n,) streams whose most probable parent reaches the threshold."""
        return np.asarray(self.probability.max(axis=1) > threshold)


def associate(
    streams: MotionIntegrals,
    parents: MotionIntegrals,
    halo: SmoothHalo,
    matches: OrbitMatches | None = None,
    *,
    scales: tuple[float, float, float] = DEBRIS,
    share: float | None = None,
) -> Associations:
    """Probabilities that streams are debris of known parents.

    Parameters
    ----------
    streams, parents : their integrals.
    halo : where streams come from otherwise.
    matches : what the place on the orbit says; left out: integrals alone.
    scales : see ``distances``.
    share : pi; by default fitted to the streams (with a flat prior).
    """
    (a, ca), (b, cb) = _checked(streams, "streams"), _checked(parents, "parents")
    factor = np.zeros((len(a), len(b))) if matches is None else np.log(_orbit_factor(matches.p_value))
    log_pair = _log_density(a, ca, b, cb, scales) + factor
    log_null = halo.log_density(a, ca, scales)
    probability, fitted = _posterior(log_pair, log_null, share)
    return Associations(streams.names, parents.names, mahalanobis(a, ca, b, cb, scales), probability, fitted)


def _orbit_factor(p_value: Array) -> Array:
    """B = a p^(a - 1), averaged one over uniform p; NaN (not asked) is one."""
    return np.asarray(np.where(np.isnan(p_value), 1.0, SHAPE * np.nan_to_num(p_value, nan=1.0) ** (SHAPE - 1.0)))


def _posterior(log_pair: Array, log_null: Array, share: float | None) -> tuple[Array, float]:
    """P(c | i) (n, m) and pi, by expectation and maximization with a flat prior (one stream of each kind added)."""
    ratio = np.exp(np.clip(log_pair - log_null[:, None], -500.0, 500.0)) / log_pair.shape[1]
    pi = 0.3 if share is None else share
    for _ in range(200 if share is None else 1):
        probability = pi * ratio / (pi * ratio.sum(axis=1, keepdims=True) + (1.0 - pi))
        if share is None:
            pi = float((probability.sum() + 1.0) / (len(ratio) + 2.0))
    return probability, pi


# -------------------------------------------------------------------------------------------------- false discoveries


@dataclass(frozen=True)
class Discoveries:
    """How many associations chance alone makes.

    Parameters
    ----------
    threshold : of the probability.
    found : streams with an association.
    by_chance : mean number with shuffled parents.
    shuffles : (k,) numbers of each shuffle.
    """

    threshold: float
    found: int
    by_chance: float
    shuffles: NDArray[np.int64]

    @property
    def rate(self) -> float:
        """False-discovery rate: those expected by chance over those found, at most 1."""
        return float(min(self.by_chance / self.found, 1.0)) if self.found else float("nan")


def discoveries(
    streams: MotionIntegrals,
    parents: MotionIntegrals,
    halo: SmoothHalo,
    result: Associations,
    rng: np.random.Generator,
    *,
    threshold: float = THRESHOLD,
    with_orbits: bool = True,
    shuffles: int = SHUFFLES,
    scales: tuple[float, float, float] = DEBRIS,
) -> Discoveries:
    """Associations that remain when the parents' integrals are shuffled.

    L_z and L_perp (with its errors) are exchanged, each by itself, among parents of similar energy: the population
    keeps its shape, and no stream has a parent in it. The place on the orbit is a random phase then: its p-value is
    uniform. The share pi stays as fitted, so that the threshold means the same.
    """
    (a, ca), (b, cb) = _checked(streams, "streams"), _checked(parents, "parents")
    log_null = halo.log_density(a, ca, scales)
    counts = np.empty(shuffles, dtype=np.int64)
    for k in range(shuffles):
        shuffled, covariance = shuffled_parents(b, cb, rng)
        log_pair = _log_density(a, ca, shuffled, covariance, scales)
        if with_orbits:
            log_pair = log_pair + np.log(_orbit_factor(_uniform_p_values(rng, log_pair.shape)))
        probability, _ = _posterior(log_pair, log_null, result.share)
        counts[k] = np.sum(probability.max(axis=1) > threshold)
    return Discoveries(threshold, int(result.found(threshold).sum()), float(counts.mean()), counts)


def _uniform_p_values(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """P-values of parents that have nothing to do with the stream, as coarse as those of ``orbit_match``."""
    from starloom.streams.orbit_match import RANDOM

    return np.asarray(rng.integers(1, RANDOM + 2, size=shape) / (RANDOM + 1.0))


def shuffled_parents(centers: Array, covariances: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Parents with L_z and L_perp exchanged among neighbors in energy: centers (m, 3), covariances (m, 3, 3)."""
    rank = np.argsort(np.argsort(centers[:, 0])).astype(float)
    order = np.argsort(rank)
    new, sigma = centers.copy(), np.sqrt(np.maximum(np.diagonal(covariances, axis1=1, axis2=2), 0.0)).copy()
    for column in (1, 2):
        source = np.argsort(rank + rng.uniform(-NEIGHBORHOOD, NEIGHBORHOOD, len(rank)))
        new[order, column], sigma[order, column] = centers[source, column], sigma[source, column]
    # correlations belong to one object and are lost with it
    return new, np.einsum("ni,ij->nij", sigma**2, np.eye(3))


def nearest_pairs(streams: MotionIntegrals, scales: tuple[float, float, float] = DEBRIS) -> QTable:
    """Every stream with the stream nearest to it, and whether the two are each other's nearest.

    Returns
    -------
    QTable
        stream, nearest, distance (D), mutual.
    """
    from astropy.table import QTable

    between = distances(streams, streams, scales)
    np.fill_diagonal(between, np.inf)
    if len(streams) < 2:
        raise CatalogError("pairs need at least two streams")
    nearest = between.argmin(axis=1)
    rows = np.arange(len(streams))
    return QTable(
        {
            "stream": list(streams.names),
            "nearest": [streams.names[n] for n in nearest],
            "distance": between[rows, nearest],
            "mutual": nearest[nearest] == rows,
        }
    )
