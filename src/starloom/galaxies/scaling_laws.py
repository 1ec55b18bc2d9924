"""Power laws of error with labels or parameters, and what pretraining is worth.

L(N) = L_inf + a N^-b, least squares with a >= 0, L_inf >= 0 and 0 < b <= 3. For a given b the problem is linear; b is
found on a fine grid and refined, so the fit has no starting point to get wrong. Intervals come from a parametric
bootstrap, its scatter that of the residuals and as uncertain as they leave it, for all samples at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import FitError
from starloom.seeds import generator

if TYPE_CHECKING:
    from astropy.table import QTable

Array = NDArray[np.float64]
EXPONENTS = np.geomspace(0.02, 3.0, 241)
RESAMPLES = 400
LEVEL = 0.9


@dataclass(frozen=True)
class PowerLaw:
    """A fitted law with its bootstrap.

    Parameters
    ----------
    floor, amplitude, exponent : L_inf, a and b.
    samples : shape (bootstrap, 3), the same of each resampling.
    sizes : the range of N that was fitted.
    scatter : standard deviation of the residuals.
    """

    floor: float
    amplitude: float
    exponent: float
    samples: Array
    sizes: tuple[float, float]
    scatter: float

    def __call__(self, size: ArrayLike) -> Array:
        """L at these sizes."""
        return np.asarray(self.floor + self.amplitude * np.asarray(size, dtype=np.float64) ** -self.exponent)

    def band(self, size: ArrayLike, level: float = LEVEL) -> tuple[Array, Array]:
        """Interval of L at these sizes, each of shape (n,)."""
        n = np.atleast_1d(np.asarray(size, dtype=np.float64))
        values = self.samples[:, :1] + self.samples[:, 1:2] * n[None, :] ** -self.samples[:, 2:]
        low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0)
        return low, high

    def interval(self, which: str = "exponent", level: float = LEVEL) -> tuple[float, float]:
        """Central interval of ``floor``, ``amplitude`` or ``exponent``."""
        column = ("floor", "amplitude", "exponent").index(which)
        low, high = np.quantile(self.samples[:, column], [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)

    @property
    def gain(self) -> tuple[float, float, float]:
        """Fall of L over the fitted range, relative to its start: value, low, high. An interval above 0: it helps."""
        first, last = self.sizes
        n = np.array([first, last])

        def fall(p: Array) -> Array:
            values = p[:, :1] + p[:, 1:2] * n ** -p[:, 2:]
            return np.asarray((values[:, 0] - values[:, 1]) / np.maximum(values[:, 0], 1e-300))

        low, high = np.quantile(fall(self.samples), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return float(fall(np.array([[self.floor, self.amplitude, self.exponent]]))[0]), float(low), float(high)


def _solve(x: Array, values: Array, weight: Array) -> Array:
    """Best (floor, amplitude, exponent) of each row of ``values`` (rows, n) at log sizes ``x`` (n,)."""
    best = _profile(x, values, weight, np.broadcast_to(EXPONENTS, (len(values), len(EXPONENTS))))
    step = np.log(EXPONENTS[1] / EXPONENTS[0])
    for _ in range(3):  # finer and finer around the best
        grid = best[:, 2:3] * np.exp(np.linspace(-step, step, 9))
        best = _profile(x, values, weight, np.clip(grid, EXPONENTS[0], EXPONENTS[-1]))
        step /= 4.0
    return best


def _profile(x: Array, values: Array, weight: Array, exponents: Array) -> Array:
    """The best of a grid of exponents (rows, k), with the linear part solved and kept from being negative."""
    total = weight.sum()
    middle = values @ weight / total
    power = np.exp(-exponents[:, :, None] * x)  # (rows, k, n)
    mean = power @ weight / total
    away = power - mean[:, :, None]
    slope = np.einsum("rkn,rn,n->rk", away, values, weight) / np.maximum(
        np.einsum("rkn,rkn,n->rk", away, away, weight), 1e-300
    )
    slope = np.maximum(slope, 0.0)
    floor = middle[:, None] - slope * mean
    through_zero = np.einsum("rkn,rn,n->rk", power, values, weight) / np.einsum("rkn,rkn,n->rk", power, power, weight)
    slope = np.where(floor < 0, np.maximum(through_zero, 0.0), slope)
    floor = np.maximum(floor, 0.0)
    away = values[:, None, :] - floor[:, :, None] - slope[:, :, None] * power
    cost = np.einsum("rkn,rkn,n->rk", away, away, weight)
    k = np.argmin(cost, axis=1)
    rows = np.arange(len(values))
    return np.column_stack([floor[rows, k], slope[rows, k], exponents[rows, k]])


def fit_power_law(
    sizes: ArrayLike, values: ArrayLike, *, seed: int | np.random.Generator, errors: ArrayLike | None = None,
    resamples: int = RESAMPLES,
) -> PowerLaw:  # fmt: skip
    """Fit L = L_inf + a N^-b.

    Parameters
    ----------
    sizes : (n,) labels or parameters, positive; the same size may be there several times (seeds).
    values : (n,) losses or errors; runs that are not finite are left out.
    seed : of the bootstrap.
    errors : (n,) standard deviations, up to a common factor; by default the same share of each value.
    resamples : of the bootstrap.

    Raises
    ------
    FitError
        With fewer than three different sizes, or a size that is not positive.

    Examples
    --------
    >>> n = 250.0 * 2.0 ** np.arange(6)
    >>> law = fit_power_law(n, 1.0 + 5.0 * n**-0.3, seed=1)
    >>> round(law.exponent, 3), round(law.floor, 2)
    (0.3, 1.0)
    """
    n, y = (np.asarray(each, dtype=np.float64).ravel() for each in (sizes, values))
    if n.shape != y.shape:
        raise FitError(f"a law is fitted to pairs: there are {n.size} sizes and {y.size} values")
    sigma = np.abs(y) if errors is None else np.broadcast_to(np.asarray(errors, dtype=np.float64), y.shape)
    kept = np.isfinite(n) & np.isfinite(y) & np.isfinite(sigma) & (sigma > 0)
    n, y, sigma = n[kept], y[kept], sigma[kept]
    if (n <= 0).any():
        raise FitError("a power law is fitted to sizes above zero")
    if len(np.unique(n)) < 3:
        raise FitError(f"a law with three parameters needs three different sizes; there are {len(np.unique(n))}")
    center = float(np.exp(np.log(n).mean()))
    x, weight = np.log(n / center), 1.0 / sigma**2
    found = _solve(x, y[None, :], weight)[0]
    model = found[0] + found[1] * np.exp(-found[2] * x)
    freedom = max(len(y) - 3, 1)
    scaled = (y - model) / sigma
    scatter = float(np.sqrt((scaled**2).sum() / freedom))
    rng = generator(seed)
    # few residuals say little about their distribution: normal, with the uncertainty of their own scatter
    deviation = scatter * np.sqrt(freedom / rng.chisquare(freedom, resamples))
    drawn = model + sigma * deviation[:, None] * rng.standard_normal((resamples, len(y)))
    samples = _solve(x, drawn, weight)
    for part in (found[None, :], samples):
        part[:, 1] *= center ** part[:, 2]  # the amplitude at N = 1
    floor, amplitude, exponent = (float(value) for value in found)
    spread = scatter * float(np.median(sigma))
    return PowerLaw(floor, amplitude, exponent, samples, (float(n.min()), float(n.max())), spread)


def label_efficiency(labels: ArrayLike, errors: ArrayLike, reference: ArrayLike) -> Array:
    """How many times more labels the reference needs for the same error.

    Parameters
    ----------
    labels : (n,) numbers of labels, rising.
    errors, reference : (n,) errors of the method and of the reference at these labels.

    Returns
    -------
    array, shape (n,)
        The reference's labels over one's own, read off its curve, straight in the logarithms. Errors that the
        reference does not reach with the labels it was tried with give infinity (a lower bound: the largest number of
        labels tried is not enough), errors above all of its curve NaN.

    Examples
    --------
    >>> label_efficiency([100, 200, 400], [0.2, 0.15, 0.1], [0.4, 0.3, 0.2])
    array([ 4., inf, inf])
    """
    n, mine, theirs = (np.asarray(each, dtype=np.float64) for each in (labels, errors, reference))
    falling = np.minimum.accumulate(theirs)  # a curve that rises by chance cannot be read backwards
    x, y = np.log(np.maximum(falling, 1e-12))[::-1], np.log(n)[::-1]
    needed = np.interp(np.log(np.maximum(mine, 1e-12)), x, y)
    result = np.exp(needed) / n
    result[mine < falling[-1] * (1 - 1e-12)] = np.inf
    result[mine > falling[0] * (1 + 1e-12)] = np.nan
    return result


def relative_reduction(errors: ArrayLike, reference: ArrayLike) -> Array:
    """(e_reference - e) / e_reference: 1 is no error left, 0 no gain (arXiv:2404.02973)."""
    mine, theirs = np.asarray(errors, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(theirs > 0, (theirs - mine) / theirs, np.nan))


def standard_error(errors: ArrayLike, tested: int | None = None) -> float:
    """Standard error of the mean of an error rate.

    Parameters
    ----------
    errors : (n,) error rates of repetitions.
    tested : objects that each is the share of: with it a single repetition has one too, the binomial one (of a share
        with one error more and one success more, so that no error at all is not certainty).
    """
    values = np.asarray(errors, dtype=np.float64)
    if len(values) > 1:
        return float(values.std(ddof=1) / np.sqrt(len(values)))
    if tested is None:
        return float("nan")
    share = (values[0] * tested + 1.0) / (tested + 2.0)
    return float(np.sqrt(share * (1.0 - share) / tested))


def reduction_table(
    errors: Mapping[str, Mapping[str, Sequence[float]]], method: str, reference: str, *, tested: int | None = None
) -> QTable:
    """Relative reduction of the error rate, a row a task.

    Parameters
    ----------
    errors : task -> method -> errors of its repetitions.
    method, reference : which of the methods.
    tested : objects that each error is the share of; with it a single repetition has an error too, the binomial one,
        as if the methods had been tried on different objects (on the same ones the true error is smaller).

    Returns
    -------
    QTable
        ``task``, ``error``, ``reference_error``, ``reduction`` and ``reduction_error`` (from the repetitions, where
        there are several).

    Examples
    --------
    >>> found = reduction_table({"bars": {"a": [0.1], "b": [0.2]}}, "a", "b", tested=400)[0]
    >>> round(float(found["reduction"]), 3), round(float(found["reduction_error"]), 3)
    (0.5, 0.091)
    """
    from astropy.table import QTable

    rows = []
    for task, found in errors.items():
        if method not in found or reference not in found:
            continue
        mine, theirs = (np.asarray(found[name], dtype=np.float64) for name in (method, reference))
        e, r = float(mine.mean()), float(theirs.mean())
        spread = [standard_error(values, tested) for values in (mine, theirs)]
        error = float(np.hypot(spread[0] / r, e * spread[1] / r**2)) if r > 0 else np.nan
        rows.append((task, e, r, float(relative_reduction(e, r)), error))
    return QTable(
        rows=rows or None,
        names=("task", "error", "reference_error", "reduction", "reduction_error"),
        dtype=(str, float, float, float, float),
    )
