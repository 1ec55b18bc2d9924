"""Gaps and overdensities of a stream: stretches of phi1 whose number of members a smooth stream would not give.

Every stretch between two nodes of a fine grid is compared with a smooth density by its likelihood ratio (a scan
statistic, Kulldorff 1997). Streams drawn from that density say how large the largest ratio of a smooth stream is, so
the p-value counts the whole search.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc, xlogy

from starloom.errors import ConfigError
from starloom.seeds import generator
from starloom.streams.field_holes import field_holes, share_seen
from starloom.streams.fitted import FittedStream
from starloom.streams.tracks import fitted_track

if TYPE_CHECKING:
    from astropy.table import QTable

Array = NDArray[np.float64]
STEP = 0.25  # deg
DRAWS = 400
MOST = 8  # features looked for
EXTENT = 0.005  # share of the members beyond either end of what counts as the stream
LIKELY, FEWEST = 0.5, 20.0  # P of the members that say where the ends are, where there are so many of them
CHANCE = 1e-3  # that so many members lie together beyond an end, above which they are no part of the stream


@dataclass(frozen=True)
class _Counts:
    """Members in fine bins along the stream, and what the selection keeps there."""

    edges: Array
    members: Array
    kept: Array


def find_gaps(
    fitted: FittedStream,
    table: Any,
    component: str = "stream",
    *,
    seed: int = 0,
    widths: tuple[float, float] = (1.0, 15.0),
    degree: int = 2,
    least_completeness: float = 0.5,
    most_p: float = 0.05,
) -> QTable:
    """Find the gaps and overdensities of a component.

    Parameters
    ----------
    fitted, table : the model, and the stars it was fitted to.
    component : whose members are counted: sums of membership probabilities.
    seed : of the smooth streams that calibrate the search.
    widths : narrowest and widest stretch looked for (deg).
    degree : of the polynomial in phi1 whose exponential is the smooth density, fitted outside the features.
    least_completeness : stretches where the selection keeps less of the stream are left out.
    most_p : features with a larger p-value are not listed.

    Returns
    -------
    QTable
        ``kind`` (gap or overdensity), ``phi1_low``, ``phi1_high`` (deg), ``members``, ``expected`` (of the smooth
        density, the selection included), ``ratio``, ``significance`` (standard deviations of this stretch alone),
        ``p_value`` (of the largest among all stretches searched).
    """
    import astropy.units as u
    from astropy.table import QTable

    if not 0 < widths[0] < widths[1]:
        raise ConfigError(f"widths must be (narrowest, widest) in deg, both positive, got {widths}")
    counts = _counts(fitted, table, component, least_completeness, widths)
    found = search(counts.edges, counts.members, counts.kept, seed=seed, widths=widths, degree=degree, most_p=most_p)
    columns: dict[str, Any] = {name: [row[name] for row in found] for name in _COLUMNS}
    result = QTable(columns, dtype=[str, *[float] * (len(_COLUMNS) - 1)]) if not found else QTable(columns)
    for name in ("phi1_low", "phi1_high"):
        result[name] = np.asarray(result[name], dtype=float) * u.deg
    return result


def deepest_gap(
    fitted: FittedStream,
    table: Any,
    component: str,
    between: tuple[float, float],
    *,
    widths: tuple[float, float] = (1.5, 6.0),
    degree: int = 2,
    least_completeness: float = 0.5,
) -> tuple[float, float, float, float]:
    """The most significant gap whose middle lies between two phi1: its ends (deg), ratio, and standard deviations.

    The smooth density is fitted outside the range asked for; the significance is that of the stretch alone.
    """
    counts = _counts(fitted, table, component, least_completeness, widths)
    middle = 0.5 * (counts.edges[1:] + counts.edges[:-1])
    free = (middle < between[0]) | (middle > between[1])
    if free.all() or not free.any():
        raise ConfigError(f"{component} is not counted between phi1 = {between[0]:g} and {between[1]:g} deg")
    smooth = _smooth(counts.edges, counts.members, counts.kept, free, degree)
    first, last = _stretches(counts.edges, widths)
    center = 0.5 * (counts.edges[first] + counts.edges[last])
    inside = (center > between[0]) & (center < between[1])
    first, last = first[inside], last[inside]
    ratio = _ratios(counts.members, smooth, (first, last))
    best = int(np.argmin(ratio))
    low, high = int(first[best]), int(last[best])
    share = float(counts.members[low:high].sum() / smooth[low:high].sum())
    return float(counts.edges[low]), float(counts.edges[high]), share, float(np.sqrt(2.0 * max(-ratio[best], 0.0)))


_COLUMNS = ("kind", "phi1_low", "phi1_high", "members", "expected", "ratio", "significance", "p_value")


def _counts(fitted: FittedStream, table: Any, component: str, least: float, widths: tuple[float, float]) -> _Counts:
    if component not in fitted.names[:-1]:
        raise ConfigError(f"no component {component!r}; the model has {', '.join(fitted.names[:-1])}")
    stars = fitted.prepare(table)
    p = fitted.probabilities(stars)[fitted.names.index(component), 0].double().numpy()
    edges = stream_bins(stars.phi1, p, widths[1])
    members = np.histogram(stars.phi1, edges, weights=p)[0]
    kept = np.asarray(fitted_track(fitted, component, 0.5 * (edges[1:] + edges[:-1]))["completeness"])
    good = np.flatnonzero(kept >= least)
    # a mask of the sky is no gap: nothing is expected where the field has no stars
    kept = kept * share_seen(edges, field_holes(stars.phi1))
    if len(good) < 4:
        raise ConfigError(f"the selection keeps less than {least:.0%} of {component} everywhere: no density to search")
    chosen = slice(int(good[0]), int(good[-1]) + 1)
    return _Counts(edges[chosen.start : chosen.stop + 1], members[chosen], np.maximum(kept[chosen], 1e-3))


def stream_bins(phi1: Array, p: Array, reach: float = 15.0) -> Array:
    """Edges (deg) of the bins in which the members of a stream are counted, between its ends.

    Parameters
    ----------
    phi1, p : of the stars (deg) and their membership probabilities, shape (n,).
    reach : how far beyond an end (deg) a few members, beyond a gap, are looked for.
    """
    low, high = _extent(phi1, p, reach)
    return np.linspace(low, high, max(round((high - low) / STEP), 4) + 1)


def _extent(phi1: Array, p: Array, reach: float) -> tuple[float, float]:
    """Where the stream is: between the phi1 that leave a small share of its likely members on either side.

    A few members beyond a gap near an end belong to it all the same: where a stretch of at most a degree, no farther
    than ``reach`` from the end, holds more than the members that chance scatters beyond the ends.
    """
    likely = np.where(p > LIKELY, p, 0.0)  # many stars of little probability far beyond the ends are no stream
    p = likely if likely.sum() >= FEWEST else p
    order = np.argsort(phi1)
    along, members = phi1[order], np.cumsum(p[order])
    low, high = np.searchsorted(members, np.array([EXTENT, 1.0 - EXTENT]) * members[-1])
    ends = float(along[low]), float(along[min(high, len(along) - 1)])
    first, last = float(along[0]), float(along[-1])
    beyond = (ends[0] - first, last - ends[1])
    outside = float(p[(phi1 < ends[0] - 1.0) | (phi1 > ends[1] + 1.0)].sum())
    rate = max(outside / max(sum(max(length - 1.0, 0.0) for length in beyond), 1.0), 0.02)
    found = list(ends)
    for side, sign in ((0, -1.0), (1, 1.0)):
        distance = sign * (phi1 - ends[side])
        near = (distance > 0) & (distance <= reach)
        edges = np.arange(0.0, min(reach, max(beyond[side], 0.0)) + 1.0, 0.5)
        counts = np.histogram(distance[near], edges, weights=p[near])[0]
        pairs = counts[1:] + counts[:-1]  # stretches of a degree
        if not len(pairs):
            continue
        # the rate holds the group itself, so that the test is on the safe side; every stretch of both ends is a trial
        chance = gammainc(np.maximum(pairs, 1e-9), rate) * 4.0 * reach
        if (held := np.flatnonzero(chance < CHANCE)).size:
            group = near & (distance >= edges[held[-1]]) & (distance <= edges[held[-1] + 2]) & (p > LIKELY)
            if group.sum() > 1:  # the outermost star but one: a single one may be there by chance
                found[side] = ends[side] + sign * float(np.sort(distance[group])[-2])
    return found[0], found[1]


def search(
    edges: Array,
    members: Array,
    kept: Array,
    *,
    seed: int,
    widths: tuple[float, float],
    degree: int = 2,
    most_p: float = 0.05,
) -> list[dict[str, Any]]:
    """The features of counts in bins, most significant first (see ``find_gaps``).

    Parameters
    ----------
    edges : of the bins (deg), (n + 1,).
    members : expected members in each bin, (n,).
    kept : share that the selection keeps, (n,).
    """
    rng = generator(seed)
    stretches = _stretches(edges, widths)
    found: list[_Feature] = []
    while len(found) < MOST:
        # what is found bends the smooth density no more when the next one is looked for
        smooth = _smooth(edges, members, kept, _free(found, len(members)), degree)
        taken = [(feature.low, feature.high) for feature in found]
        feature = _most_significant(members, smooth, stretches, taken, _largest_of_smooth(smooth, stretches, rng))
        if feature is None or feature.p_value > most_p:
            break
        found.append(feature)
    smooth = _smooth(edges, members, kept, _free(found, len(members)), degree)
    largest = _largest_of_smooth(smooth, stretches, rng)
    judged = [_judged(members, smooth, feature.low, feature.high, largest) for feature in found]
    judged = sorted((one for one in judged if one.p_value <= most_p), key=lambda one: -one.significance)
    return [
        {
            "kind": "gap" if one.members < one.expected else "overdensity",
            "phi1_low": float(edges[one.low]),
            "phi1_high": float(edges[one.high]),
            "members": one.members,
            "expected": one.expected,
            "ratio": one.members / one.expected,
            "significance": one.significance,
            "p_value": one.p_value,
        }
        for one in judged
    ]


@dataclass(frozen=True)
class _Feature:
    """A stretch of bins [low, high) and how it differs from the smooth density."""

    low: int
    high: int
    members: float
    expected: float
    significance: float
    p_value: float


def _free(found: list[_Feature], bins: int) -> NDArray[np.bool_]:
    """Bins outside the features; all of them where the features would leave too few to fit the smooth density to."""
    free = np.ones(bins, dtype=bool)
    for feature in found:
        free[feature.low : feature.high] = False
    return free if free.sum() >= max(8, bins // 5) else np.ones(bins, dtype=bool)


def _judged(members: Array, smooth: Array, low: int, high: int, largest: Array) -> _Feature:
    stretch = (np.array([low]), np.array([high]))
    ratio = abs(float(_ratios(members, smooth, stretch)[0]))
    p_value = (1.0 + float((largest >= ratio).sum())) / (1.0 + len(largest))
    count, expected = float(members[low:high].sum()), float(smooth[low:high].sum())
    return _Feature(low, high, count, expected, float(np.sqrt(2.0 * ratio)), p_value)


def _most_significant(
    members: Array,
    smooth: Array,
    stretches: tuple[NDArray[np.int64], NDArray[np.int64]],
    taken: list[tuple[int, int]],
    largest: Array,
) -> _Feature | None:
    first, last = stretches
    free = np.ones(len(first), dtype=bool)
    for low, high in taken:
        free &= (last <= low) | (first >= high)
    if not free.any():
        return None
    ratio = np.where(free, np.abs(_ratios(members, smooth, stretches)), -1.0)
    best = int(np.argmax(ratio))
    return _judged(members, smooth, int(first[best]), int(last[best]), largest)


def _stretches(edges: Array, widths: tuple[float, float]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    first, last = np.triu_indices(len(edges), k=1)
    width = edges[last] - edges[first]
    chosen = (width >= widths[0]) & (width <= min(widths[1], 0.5 * (edges[-1] - edges[0])))
    return first[chosen], last[chosen]


def _smooth(edges: Array, members: Array, kept: Array, free: NDArray[np.bool_], degree: int) -> Array:
    """Expected members in each bin: exp(polynomial) times what the selection keeps, by Poisson likelihood."""
    middle = 0.5 * (edges[1:] + edges[:-1])
    basis = np.polynomial.legendre.legvander(2.0 * (middle - middle[0]) / (middle[-1] - middle[0]) - 1.0, degree)
    size = kept * np.diff(edges)
    beta = np.zeros(degree + 1)
    beta[0] = np.log(max(members[free].sum(), 1e-6) / size[free].sum())
    for _ in range(50):  # Newton; the likelihood is concave
        rate = size * np.exp(np.clip(basis @ beta, -30.0, 30.0))
        gradient = basis[free].T @ (members - rate)[free]
        hessian = (basis[free] * rate[free, None]).T @ basis[free] + 1e-6 * np.eye(degree + 1)
        step = np.linalg.solve(hessian, gradient)
        beta += np.clip(step, -1.0, 1.0)
        if np.abs(step).max() < 1e-8:
            break
    smooth: Array = size * np.exp(np.clip(basis @ beta, -30.0, 30.0))
    return smooth


def _ratios(members: Array, smooth: Array, stretches: tuple[NDArray[np.int64], NDArray[np.int64]]) -> Array:
    """Log likelihood ratio of each stretch, negative for a gap; members may be (draws, n)."""
    first, last = stretches
    seen = np.concatenate([np.zeros((*members.shape[:-1], 1)), np.cumsum(members, axis=-1)], axis=-1)
    sums = np.concatenate([[0.0], np.cumsum(smooth)])
    count, expected = seen[..., last] - seen[..., first], np.maximum(sums[last] - sums[first], 1e-9)
    ratio = xlogy(count, count / expected) - (count - expected)
    signed: Array = np.where(count < expected, -1.0, 1.0) * np.maximum(ratio, 0.0)
    return signed


def _largest_of_smooth(
    smooth: Array, stretches: tuple[NDArray[np.int64], NDArray[np.int64]], rng: np.random.Generator
) -> Array:
    """Largest |log likelihood ratio| anywhere in streams drawn from the smooth density, shape (DRAWS,)."""
    drawn = rng.poisson(smooth, (DRAWS, len(smooth))).astype(float)
    drawn *= smooth.sum() / np.maximum(drawn.sum(axis=1, keepdims=True), 1.0)  # the level is fitted to each, too
    return np.concatenate([np.abs(_ratios(part, smooth, stretches)).max(axis=1) for part in np.split(drawn, 20)])
