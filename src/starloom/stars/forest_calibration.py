"""From the raw law of a forest to one whose stated probabilities hold, learned on stars that it was not fitted to.

Three steps, each learned after the one before, one output at a time:

1. bias: a straight line in the inputs through (truth - mean), added to the whole law;
2. spread: the law is stretched about its mean by a factor c, ln c linear in the inputs, in how much of each is error,
   and in ln of the law's own width, with the least mean CRPS (a proper score, so that neither a too wide nor a too
   narrow law wins);
3. level: what share of the truths lies below each stated quantile is turned back (a monotone map of probability).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from starloom.stats.scores import crps_of_quantiles

Floats = NDArray[np.float64]

LEVELS = (np.arange(200) + 0.5) / 200
"""Probabilities at which a law is held."""

KNOTS = 21
LARGEST_STRETCH = 8.0
RIDGE = 1e-3
BIAS_RIDGE = 0.3  # of standardized inputs: without it, inputs that are nearly the same take up large opposite slopes
LEAST = 30  # stars below which there is nothing to learn from


@dataclass(frozen=True)
class Calibration:
    """The calibration of one output.

    Parameters
    ----------
    center, scale : of the inputs (F,).
    bias : constant and slopes of the correction (F + 1,).
    stretch : of ln c: constant, slopes in ln(width), in the inputs and in their blur (2 F + 2,).
    width : the width at which ln(width) counts as 0.
    levels : the stated probability behind each of the equally spaced true ones (KNOTS,).
    """

    center: Floats
    scale: Floats
    bias: Floats
    stretch: Floats
    width: float
    levels: Floats

    @classmethod
    def none(cls, features: int) -> Calibration:
        """The calibration that changes nothing."""
        zero = np.zeros(features)
        return cls(zero, np.ones(features), np.zeros(features + 1), np.zeros(2 * features + 2), 1.0, _EVEN.copy())

    @classmethod
    def learn(cls, inputs: Floats, blur: Floats, law: Floats, mean: Floats, truth: Floats) -> Calibration:
        """Learn from laws (n, K) with means (n,) at inputs (n, F), NaN where missing, and truths (n,).

        ``blur`` (n, F) is the share of each input's scatter that is error, 0 where it is exact.
        """
        count, features = inputs.shape
        if count < LEAST:
            return cls.none(features)
        some = np.isfinite(inputs).any(axis=0)
        center, scale = np.zeros(features), np.ones(features)
        center[some], scale[some] = np.nanmean(inputs[:, some], axis=0), np.nanstd(inputs[:, some], axis=0)
        scale[~(scale > 1e-12 * np.abs(center))] = 1.0
        z = _standard(inputs, center, scale)
        design = np.column_stack([np.ones(count), z])
        penalty = BIAS_RIDGE * count * np.diag(np.r_[0.0, np.ones(features)])
        bias = np.linalg.solve(design.T @ design + penalty, design.T @ (truth - mean))
        shift = design @ bias
        middle, around = mean + shift, law - mean[:, None]
        raw = np.std(law, axis=1)
        width = float(np.median(raw[raw > 0])) if (raw > 0).any() else 1.0
        columns = np.column_stack([np.ones(count), _log_width(raw, width), z, blur])
        stretch = _least_crps(columns, middle, around, truth)
        factor = _factor(columns @ stretch)
        stretched = middle[:, None] + factor[:, None] * around
        below = np.array([np.interp(y, q, LEVELS, left=0.0, right=1.0) for y, q in zip(truth, stretched, strict=True)])
        wanted = np.quantile(below, _EVEN)
        wanted[0], wanted[-1] = 0.0, 1.0
        trust = count / (count + 100.0)
        return cls(center, scale, bias, stretch, width, trust * wanted + (1.0 - trust) * _EVEN)

    def shift(self, inputs: Floats) -> Floats:
        """What is added to the mean (n,)."""
        return np.asarray(self.bias[0] + self.bias_terms(inputs).sum(axis=1))

    def bias_terms(self, inputs: Floats) -> Floats:
        """What each input adds to the shift (n, F); 0 for a typical one."""
        return np.asarray(_standard(inputs, self.center, self.scale) * self.bias[1:])

    def apply(self, inputs: Floats, blur: Floats, law: Floats, mean: Floats) -> Floats:
        """Calibrated quantiles at LEVELS (n, K)."""
        if not (self.bias.any() or self.stretch.any()) and np.array_equal(self.levels, _EVEN):
            return law
        z = _standard(inputs, self.center, self.scale)
        columns = np.column_stack([np.ones(len(z)), _log_width(np.std(law, axis=1), self.width), z, blur])
        factor = _factor(columns @ self.stretch)
        stretched = (mean + self.shift(inputs))[:, None] + factor[:, None] * (law - mean[:, None])
        return interpolate(stretched, np.interp(LEVELS, _EVEN, self.levels))


_EVEN = np.linspace(0.0, 1.0, KNOTS)


def interpolate(law: Floats, levels: Floats) -> Floats:
    """Quantiles (n, q) of laws held at LEVELS (n, K); beyond the outermost level the outermost value."""
    place = np.clip(np.asarray(levels, dtype=np.float64) * len(LEVELS) - 0.5, 0.0, len(LEVELS) - 1.0)
    low = np.minimum(place.astype(int), len(LEVELS) - 2)
    part = place - low
    return np.asarray(law[:, low] * (1.0 - part) + law[:, low + 1] * part)


def _standard(inputs: Floats, center: Floats, scale: Floats) -> Floats:
    """Standardized inputs; a missing one counts as the typical one, and far ones no more than four widths."""
    return np.clip(np.nan_to_num((inputs - center) / scale, nan=0.0), -4.0, 4.0)


def _log_width(raw: Floats, width: float) -> Floats:
    return np.log(np.clip(raw / width, 1e-3, 1e3))


def _factor(log_factor: Floats) -> Floats:
    return np.exp(np.clip(log_factor, -np.log(LARGEST_STRETCH), np.log(LARGEST_STRETCH)))


def _least_crps(columns: Floats, middle: Floats, around: Floats, truth: Floats) -> Floats:
    from scipy.optimize import minimize

    count = len(truth)
    unit = max(float(np.mean(np.abs(truth - middle))), 1e-300)

    def loss(theta: Floats) -> tuple[float, Floats]:
        factor = _factor(columns @ theta)
        law = middle[:, None] + factor[:, None] * around
        score = crps_of_quantiles(law, LEVELS, truth)
        slope = 2.0 * np.mean(((truth[:, None] <= law) - LEVELS) * around, axis=1) * factor
        value = score.mean() / unit + RIDGE * float(theta[1:] @ theta[1:])
        gradient = columns.T @ slope / (unit * count) + 2.0 * RIDGE * np.r_[0.0, theta[1:]]
        return float(value), gradient

    found = minimize(loss, np.zeros(columns.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 100})
    return np.asarray(found.x)
