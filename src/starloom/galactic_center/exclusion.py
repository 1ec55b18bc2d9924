"""From stars expected to binaries excluded: maps, thresholds with their errors, limits and their coverage."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom import executors
from starloom.errors import ConfigError
from starloom.galactic_center.binary import BlackHoleBinary
from starloom.galactic_center.ejection import CenterStars
from starloom.galactic_center.library import StarLibrary
from starloom.galactic_center.scenario import Scenario

Array = NDArray[np.float64]
LEVELS = (0.68, 0.95, 0.997)


@dataclass(frozen=True)
class Expected:
    """Mean number of candidates with its Monte Carlo error, and the number of library stars it rests on."""

    value: float
    error: float
    effective: float


def expected(library: StarLibrary, candidate: Array, scenario: Scenario, stars: CenterStars) -> Expected:
    """Mean number of stars that would be called candidates.

    Parameters
    ----------
    library : stars flown once.
    candidate : probability that each is a candidate (n,), from ``Arrived.detected``.
    scenario, stars : what is weighed.
    """
    rows = np.flatnonzero(candidate > 0)
    return _sum(library.weights(scenario, stars, rows) * candidate[rows])


def _sum(parts: Array) -> Expected:
    total, square = float(parts.sum()), float((parts**2).sum())
    return Expected(total, math.sqrt(square), total**2 / square if square > 0 else 0.0)


@dataclass(frozen=True)
class ExpectedMap:
    """Expected candidates over companion masses and separations or times since a merger.

    Parameters
    ----------
    masses : Msun (m,).
    others : mpc or Myr (k,).
    kind : "separation" or "since_merger".
    value, error : (k, m).
    remarks : what a user should know.
    """

    masses: Array
    others: Array
    kind: Literal["separation", "since_merger"]
    value: Array
    error: Array
    remarks: tuple[str, ...] = ()

    def zero_probability(self) -> Array:
        """Poisson probability of no candidate, (k, m)."""
        return np.exp(-self.value)

    def threshold(self, level: float = 0.95, row: int | None = None) -> Array:
        """Companion mass (Msun) above which none seen excludes a binary at a level, with its Monte Carlo error.

        Parameters
        ----------
        level : of exclusion.
        row : one of ``others``; all by default.

        Returns
        -------
        ndarray
            (k, 3) or (3,): threshold, low and high from shifting the expected numbers by their errors. The threshold is
            where ln(expected) crosses ln(-ln(1 - level)) for good, between masses; NaN where all are allowed, 0 where
            all are excluded.
        """
        limit = -math.log1p(-level)
        found = np.array(
            [
                [_crossing(self.masses, self.value[k] + shift * self.error[k], limit) for shift in (0.0, 1.0, -1.0)]
                for k in range(len(self.others))
            ]
        )
        return found if row is None else found[row]


def _crossing(masses: Array, values: Array, limit: float) -> float:
    above = values >= limit
    if not above.any():
        return math.nan
    if above.all():
        return 0.0
    if not above[-1]:  # excluded only in between: the lowest mass from which a stretch is excluded
        last = int(np.flatnonzero(above)[-1])
        below = np.flatnonzero(~above[:last])
    else:
        below = np.flatnonzero(~above)
    if len(below) == 0:
        return 0.0
    k = int(below[-1])
    low, high = math.log(max(values[k], 1e-12)), math.log(values[k + 1])
    share = (math.log(limit) - low) / (high - low)
    return float(np.exp(np.log(masses[k]) + share * (np.log(masses[k + 1]) - np.log(masses[k]))))


def expected_map(
    library: StarLibrary,
    candidate: Array,
    stars: CenterStars,
    masses: ArrayLike,
    others: ArrayLike,
    *,
    kind: Literal["separation", "since_merger"] = "separation",
    binary: Callable[[float], BlackHoleBinary] = BlackHoleBinary,
) -> ExpectedMap:
    """Weigh one library for a grid of binaries.

    Parameters
    ----------
    library, candidate, stars : as for :func:`expected`.
    masses : of the companion, Msun (m,), rising.
    others : separations in mpc or times since the merger in Myr (k,).
    kind : which of the two.
    binary : makes the binary of a companion mass, to set its surroundings.

    Raises
    ------
    ConfigError
        When masses do not rise or the kind is unknown.
    """
    m, k = np.asarray(masses, dtype=float), np.atleast_1d(np.asarray(others, dtype=float))
    if m.ndim != 1 or len(m) < 2 or not (np.diff(m) > 0).all():
        raise ConfigError("companion masses must rise and be at least two")
    if kind not in ("separation", "since_merger"):
        raise ConfigError(f"kind is 'separation' or 'since_merger', got {kind!r}")
    rows = np.flatnonzero(candidate > 0)
    weighed = library.take(rows, stars)
    value, error = np.zeros((len(k), len(m))), np.zeros((len(k), len(m)))
    remarks: dict[str, None] = {}
    made = [binary(float(mass)) for mass in m]
    for entry in made:
        remarks |= dict.fromkeys(entry.remarks)
    columns = [(weighed, candidate[rows], entry, kind, k) for entry in made]
    for j, found in executors.each(_column, columns, what="companion mass"):
        value[:, j], error[:, j] = found
    return ExpectedMap(m, k, kind, value, error, tuple(remarks))


def _column(item: tuple[Any, Array, BlackHoleBinary, str, Array]) -> tuple[list[float], list[float]]:
    """Expected numbers and their errors for one companion mass, at each of the other coordinates."""
    weighed, candidate, made, kind, others = item
    sums = []
    for other in others:
        place: Any = {kind: float(other)}
        sums.append(_sum(weighed.weights(Scenario(made, **place)) * candidate))
    return [entry.value for entry in sums], [entry.error for entry in sums]


def upper_limit(counted: ArrayLike, level: float = 0.95) -> Array:
    """Largest mean number of a Poisson process that a count does not exclude: P(<= n | mean) = 1 - level.

    Examples
    --------
    >>> float(upper_limit(0).round(4))
    2.9957
    """
    from scipy.special import gammaincinv

    n = np.asarray(counted)
    if not 0 < level < 1 or (n < 0).any():
        raise ConfigError("a level is in (0, 1) and counts are at least 0")
    return np.asarray(gammaincinv(n + 1.0, level))


def randomized_limit(counted: ArrayLike, level: float, seed: int | np.random.Generator) -> Array:
    """The same with the steps of a count smoothed by a uniform draw, which makes its coverage exact.

    A count is discrete, so :func:`upper_limit` covers more than it says for most means. With u uniform,
    P(< n) + u P(= n) = 1 - level is solved instead: its coverage is the level for every mean, which is what can be
    tested.
    """
    from scipy.special import gammaln, pdtr, xlogy

    from starloom.seeds import generator

    n = np.atleast_1d(np.asarray(counted, dtype=float))
    u = generator(seed).random(len(n))
    low, high = np.zeros(len(n)), upper_limit(n, level)
    for _ in range(60):  # bisection: the tail falls with the mean
        mean = 0.5 * (low + high)
        at_count = np.exp(xlogy(n, mean) - mean - gammaln(n + 1.0))
        tail = np.where(n > 0, pdtr(np.maximum(n - 1.0, 0.0), mean), 0.0) + u * at_count
        low, high = np.where(tail > 1.0 - level, mean, low), np.where(tail > 1.0 - level, high, mean)
    return np.asarray(0.5 * (low + high))


@dataclass(frozen=True)
class EmpiricalZero:
    """Share of simulated skies without a candidate, with its Clopper-Pearson interval (central 95 %)."""

    share: float
    low: float
    high: float
    runs: int


def empirical_zero(counts: ArrayLike) -> EmpiricalZero:
    """How often simulated skies had no candidate."""
    from scipy.special import betaincinv

    n = np.asarray(counts)
    if n.ndim != 1 or len(n) == 0:
        raise ConfigError("give the candidates of at least one simulated sky")
    runs, none = len(n), int((n == 0).sum())
    low = float(betaincinv(none, runs - none + 1, 0.025)) if none else 0.0
    high = float(betaincinv(none + 1, runs - none, 0.975)) if none < runs else 1.0
    return EmpiricalZero(none / runs, low, high, runs)


def sky_counts(weights: Array, candidate: Array, runs: int, seed: int | np.random.Generator) -> NDArray[np.int64]:
    """Candidates in skies drawn from a weighted library: each star appears a Poisson number of times, and is detected
    with its probability.

    Parameters
    ----------
    weights, candidate : of the library's stars (n,).
    runs : skies.
    seed : of the draws.
    """
    from starloom.seeds import generator

    rng = generator(seed)
    rows = np.flatnonzero((weights > 0) & (candidate > 0))
    counts = np.empty(runs, dtype=np.int64)
    for k in range(runs):
        appear = rng.poisson(weights[rows])
        counts[k] = int(rng.binomial(appear, np.minimum(candidate[rows], 1.0)).sum())
    return counts


def levels_of(value: float) -> Sequence[float]:
    """The levels of :data:`LEVELS` at which none seen excludes an expected number."""
    return tuple(level for level in LEVELS if value >= -math.log1p(-level))
