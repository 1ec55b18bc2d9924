"""The losses of the penalized fits: each a consistent score of its functional, summed over the rows of a cell.

Mean, variance and correlation need of a cell of covariates only the sums of its rows (``Moments``), so that their cost
does not grow with the number of rows. Quantiles and expectiles are fitted to the rows themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LARGEST_ETA = 12.0  # of atanh(rho): |rho| stays below 1 - 1e-10


@dataclass(frozen=True)
class Moments:
    """Weighted sums of the rows of each cell, all shapes (c,): 1, x, x^2, and for pairs y, y^2, x y."""

    n: Floats
    x: Floats
    xx: Floats
    y: Floats
    yy: Floats
    xy: Floats

    @classmethod
    def of(cls, cells: NDArray[np.int64], count: int, weights: Floats, x: Floats, y: Floats | None) -> Moments:
        """Sum rows (n,) into ``count`` cells."""

        def total(values: Floats) -> Floats:
            return np.asarray(np.bincount(cells, weights * values, minlength=count), dtype=np.float64)

        one = total(np.ones_like(x))
        if y is None:
            return cls(one, total(x), total(x * x), one, one, one)
        return cls(one, total(x), total(x * x), total(y), total(y * y), total(x * y))

    def swapped(self) -> Moments:
        """The same with x and y exchanged."""
        return Moments(self.n, self.y, self.yy, self.x, self.xx, self.xy)


@dataclass(frozen=True)
class MeanLoss:
    """Squared error over 2; identity link."""

    moments: Moments

    def __call__(self, eta: Floats) -> tuple[float, Floats, Floats]:
        """Total, derivative, expected second derivative."""
        m = self.moments
        each = m.xx - 2.0 * eta * m.x + m.n * eta**2
        return 0.5 * float(each.sum()), m.n * eta - m.x, m.n


@dataclass(frozen=True)
class VarianceLoss:
    """(ln v + (x - m)^2 / v) / 2 given the means of the cells; eta = ln v."""

    moments: Moments
    mean: Floats | float

    def __call__(self, eta: Floats) -> tuple[float, Floats, Floats]:
        """Total, derivative, expected second derivative."""
        m = self.moments
        squares = np.maximum(m.xx - 2.0 * self.mean * m.x + m.n * self.mean**2, 0.0)
        with np.errstate(over="ignore"):
            scaled = squares * np.exp(-eta)
        return 0.5 * float((m.n * eta + scaled).sum()), 0.5 * (m.n - scaled), 0.5 * m.n


@dataclass(frozen=True)
class CorrelationLoss:
    """The score of Dawid and Sebastiani given means and variances of the cells; eta = atanh(rho)."""

    moments: Moments
    mean_x: Floats
    variance_x: Floats
    mean_y: Floats
    variance_y: Floats

    def __call__(self, eta: Floats) -> tuple[float, Floats, Floats]:
        """Total, derivative, expected second derivative."""
        m = self.moments
        a = np.maximum(m.xx - 2.0 * self.mean_x * m.x + m.n * self.mean_x**2, 0.0) / self.variance_x
        b = np.maximum(m.yy - 2.0 * self.mean_y * m.y + m.n * self.mean_y**2, 0.0) / self.variance_y
        cross = m.xy - self.mean_x * m.y - self.mean_y * m.x + m.n * self.mean_x * self.mean_y
        cross = cross / np.sqrt(self.variance_x * self.variance_y)
        rho = np.tanh(np.clip(eta, -LARGEST_ETA, LARGEST_ETA))
        rest = 1.0 / np.cosh(np.clip(eta, -LARGEST_ETA, LARGEST_ETA)) ** 2  # 1 - rho^2 without cancellation
        value = 0.5 * (m.n * np.log(rest) + (a + b - 2.0 * rho * cross) / rest)
        slope = -m.n * rho + (rho * (a + b) - cross * (1.0 + rho**2)) / rest
        return float(value.sum()), slope, m.n * (1.0 + rho**2)


@dataclass(frozen=True)
class QuantileLoss:
    """Pinball loss smoothed by a normal kernel of width ``width``: convex, with second derivatives.

    After He, Pan, Tan & Zhou (2021), Smoothed quantile regression with large-scale inference.
    """

    x: Floats
    weights: Floats
    level: float
    width: float

    def __call__(self, eta: Floats) -> tuple[float, Floats, Floats]:
        """Total, derivative, second derivative."""
        from scipy.special import ndtr

        gap = (self.x - eta) / self.width
        below = ndtr(-gap)
        bell = np.exp(-0.5 * gap**2) / np.sqrt(2.0 * np.pi)
        each = self.width * (gap * (self.level - below) + bell)
        return (
            float((self.weights * each).sum()),
            self.weights * (below - self.level),
            self.weights * np.maximum(bell / self.width, 1e-6 / self.width),
        )


@dataclass(frozen=True)
class ExpectileLoss:
    """Asymmetric squared error."""

    x: Floats
    weights: Floats
    level: float

    def __call__(self, eta: Floats) -> tuple[float, Floats, Floats]:
        """Total, derivative, second derivative."""
        gap = self.x - eta
        share = self.weights * np.where(gap > 0, self.level, 1.0 - self.level)
        return float((share * gap**2).sum()), -2.0 * share * gap, 2.0 * share
