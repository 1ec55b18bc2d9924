"""Two summits of the density of ([Fe/H], [alpha/Fe]), and the watershed between them as a line.

The density is looked at in the coordinates of a representation: the columns themselves, each divided by its robust
width, or their normal scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from starloom.dependence.peaks import Peak, find_peaks, watershed
from starloom.dependence.smoothing import STRONGEST, relative_noise, smooth_pairs, weighted_correlation
from starloom.errors import CatalogError
from starloom.stats.ranks import normal_scores

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

Representation = Literal["values", "scores"]
SIGNIFICANT = 4.0  # standard deviations of ln f between the lower summit and the saddle
FARTHEST = 8.0  # robust widths from the median, beyond which a star does not enter the density


@dataclass(frozen=True)
class Summits:
    """The two summits of a density and what lies between them, in the coordinates of the representation.

    Parameters
    ----------
    grid : (m,) places of the cells, both axes.
    density : (m, m), first index [Fe/H].
    low, high : the summits of the low- and the high-alpha sequence.
    saddle : (x, y) of the pass between them.
    dip : ln of the lower summit over the saddle.
    significance : the dip over its standard error.
    lands : (m, m) 0 in the land of the low, 1 in that of the high sequence.
    """

    grid: Floats
    density: Floats
    low: Peak
    high: Peak
    saddle: tuple[float, float]
    dip: float
    significance: float
    lands: NDArray[np.int64]


def summits(density: Floats, grid: Floats, noise: float) -> Summits | None:
    """The two most significant summits of a density; None when it has only one.

    Parameters
    ----------
    density, grid : (m, m) and (m,).
    noise : K with var(ln f) = K / f; what stands less than half of one row's own kernel high is taken as equally low.
    """
    floored = np.maximum(density, noise)
    found = [peak for peak in find_peaks(floored) if peak.height > 2.0 * noise]
    rated = [
        (np.log(peak.height / peak.pass_height) / np.sqrt(noise / peak.height + noise / peak.pass_height), peak)
        for peak in found[1:]
        if peak.pass_height > 0
    ]
    if not rated:
        return None
    significance, second = max(rated, key=lambda entry: entry[0])
    first = found[0]
    low, high = sorted((first, second), key=lambda peak: peak.place[1])
    lands = watershed(floored, [low, high])
    saddle = (float(grid[second.pass_place[0]]), float(grid[second.pass_place[1]]))
    dip = float(np.log(second.height / second.pass_height))
    return Summits(grid, floored, low, high, saddle, dip, float(significance), lands)


@dataclass(frozen=True)
class Plane:
    """Between the columns and the coordinates of the representation.

    Parameters
    ----------
    x, y : (n,) coordinates of the stars that are not far out.
    columns : their [Fe/H] and [alpha/Fe], (n,) each.
    shrink : by which smoothing draws coordinates together.
    """

    x: Floats
    y: Floats
    columns: tuple[Floats, Floats]
    shrink: float

    def to_columns(self, x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
        """[Fe/H] and [alpha/Fe] of places of the density."""
        places = (np.asarray(x) / self.shrink, np.asarray(y) / self.shrink)
        return tuple(  # type: ignore[return-value]
            np.interp(place, *_knots(coordinate, column))
            for place, coordinate, column in zip(places, (self.x, self.y), self.columns, strict=True)
        )


def _knots(coordinate: Floats, column: Floats) -> tuple[Floats, Floats]:
    order = np.argsort(coordinate, kind="stable")
    kept = np.unique(np.linspace(0, len(order) - 1, min(len(order), 4000)).astype(int))
    return coordinate[order][kept], column[order][kept]


def plane_of(iron: Floats, alpha: Floats, representation: Representation, h: float) -> Plane:
    """The coordinates of stars, for a density smoothed with a kernel of width h.

    Raises
    ------
    CatalogError
        When most rows have the same value in a column.
    """
    coordinates = []
    for column, name in ((iron, "fe_h"), (alpha, "alpha_m")):
        low, middle, high = np.quantile(column, [0.16, 0.5, 0.84])
        if not high > low:
            raise CatalogError(f"most rows have the same {name}, {middle:g}: there is nothing to split")
        if representation == "values":
            coordinates.append((column - middle) / (0.5 * (high - low)))
        else:
            coordinates.append(normal_scores(column))
    kept = (np.abs(coordinates[0]) < FARTHEST) & (np.abs(coordinates[1]) < FARTHEST)
    return Plane(coordinates[0][kept], coordinates[1][kept], (iron[kept], alpha[kept]), float(np.sqrt(1.0 - h**2)))


def summits_of(plane: Plane, weights: Floats, h: float) -> Summits | None:
    """The two summits of the density of weighted stars, smoothed with a kernel of width h; None for only one."""
    rho = float(np.clip(weighted_correlation(plane.x, plane.y, weights), -STRONGEST, STRONGEST))
    rho = float(np.clip(rho, -0.9, 0.9))
    grid, density = smooth_pairs(plane.x, plane.y, weights, h, rho, most=260)
    return summits(density, grid, relative_noise(h, rho, float(weights.sum())))


def in_columns(peak: Peak, found: Summits, plane: Plane) -> tuple[float, float]:
    """[Fe/H] and [alpha/Fe] of a summit."""
    x, y = plane.to_columns(found.grid[peak.place[0]], found.grid[peak.place[1]])
    return float(x), float(y)


def share_of_high(found: Summits, plane: Plane) -> float:
    """Share of the stars that lie in the land of the high sequence."""
    step = found.grid[1] - found.grid[0]
    places = [
        np.clip(np.round((part * plane.shrink - found.grid[0]) / step).astype(int), 0, len(found.grid) - 1)
        for part in (plane.x, plane.y)
    ]
    return float((found.lands[places[0], places[1]] == 1).mean())


def _boundary(found: Summits) -> tuple[Floats, Floats, Floats]:
    """Column by column of the grid the place where the low land ends and the high one begins, and its weight."""
    columns = np.flatnonzero((found.lands == 0).any(axis=1) & (found.lands == 1).any(axis=1))
    x, y, weight = [], [], []
    for column in columns:
        land, values = found.lands[column], found.density[column]
        known = np.flatnonzero(land >= 0)
        steps = known[:-1][(land[known[:-1]] == 0) & (land[known[1:]] == 1)]
        if len(steps) == 0:
            continue
        # of several crossings the one that leaves the least density on the wrong side
        wrong = [
            values[: step + 1][land[: step + 1] == 1].sum() + values[step + 1 :][land[step + 1 :] == 0].sum()
            for step in steps
        ]
        step = int(steps[int(np.argmin(wrong))])
        x.append(found.grid[column])
        y.append(0.5 * (found.grid[step] + found.grid[step + 1]))
        weight.append(min(values[: step + 1].max(), values[step + 1 :].max()))
    return np.array(x), np.array(y), np.array(weight)


def usable_range(found: Summits, plane: Plane) -> tuple[float, float]:
    """The stretch of [Fe/H] where both sides of the line hold stars: 1 % of the lower summit at least."""
    x, _, weight = _boundary(found)
    kept = x[weight > 0.01 * min(found.low.height, found.high.height)]
    low, high = plane.to_columns([kept.min(), kept.max()], [0.0, 0.0])[0]
    return float(low), float(high)


def watershed_line(found: Summits, plane: Plane, at: Floats, degree: int) -> tuple[Floats, Floats]:
    """The watershed as a polynomial in the columns, weighted by the density beside it."""
    x, y, weight = _boundary(found)
    iron, alpha = plane.to_columns(x, y)
    kept = (iron >= at[0]) & (iron <= at[-1]) & (weight > 0)
    if kept.sum() <= degree + 1:
        kept = weight > 0
    degree = min(degree, max(int(kept.sum()) - 1, 0))
    coefficients = np.polynomial.polynomial.polyfit(iron[kept], alpha[kept], degree, w=np.sqrt(weight[kept]))
    return np.asarray(np.polynomial.polynomial.polyval(at, coefficients)), coefficients


def copula_summits(iron: Floats, alpha: Floats, margin: float = 0.02) -> list[tuple[float, float]]:
    """Ranks (u, v) of the prominent summits of the copula density that do not lie at the edge of the unit square.

    Parameters
    ----------
    iron, alpha : (n,) columns; rows with a NaN do not count.
    margin : what is the edge.
    """
    from starloom.dependence.copula import fit_copula

    known = np.isfinite(iron) & np.isfinite(alpha)
    copula = fit_copula(iron[known], alpha[known])
    u = np.linspace(0.004, 0.996, 125)
    density = copula.density(u[:, None], u[None, :])
    noise = relative_noise(copula.bandwidth, min(abs(copula.correlation), STRONGEST), copula.effective_rows)
    found = []
    for peak in find_peaks(np.maximum(density, 1e-9)):
        x, y = u[peak.place[0]], u[peak.place[1]]
        # the noise of ln c is that of ln f, and f = c phi phi
        jacobian = np.exp(-0.5 * (_normal_square(x) + _normal_square(y))) / (2.0 * np.pi)
        error = np.sqrt(noise / jacobian * (1.0 / peak.height + 1.0 / max(peak.pass_height, 1e-9)))
        prominent = peak.pass_height == 0 or np.log(peak.height / peak.pass_height) > SIGNIFICANT * error
        if prominent and margin < x < 1.0 - margin and margin < y < 1.0 - margin:
            found.append((float(x), float(y)))
    return found


def _normal_square(u: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(u)) ** 2
