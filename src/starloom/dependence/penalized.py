"""Penalized fits: Fisher scoring with step control, and smoothing chosen from the data.

A fit minimizes sum_c loss_c(eta_c) + 1/2 beta' S beta with eta = X beta and S = sum_j lambda_j S_j. The lambda_j follow
the generalized Fellner-Schall rule (Wood & Fasiolo 2017, Biometrics 73, 1071): with A = (X'HX + S)^-1 and the
dispersion phi,

    lambda_j <- lambda_j phi [ trace(S^- S_j) - trace(A S_j) ] / (beta' S_j beta)

which raises the restricted likelihood in each step and needs no derivatives of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from starloom.errors import FitError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from starloom.dependence.spline_basis import Design, SplineBasis

    Floats = NDArray[np.float64]

RIDGE = 1e-7
ROUNDS = 60
SMOOTHING = (1e-7, 1e5)  # least and greatest lambda, in units of the mean information of a coefficient
LARGEST_CHANGE = 8.0  # of a lambda in one round


class Loss(Protocol):
    """The loss of cells (or rows) as a function of the predictor eta, shape (c,)."""

    def __call__(self, eta: Floats) -> tuple[float, Floats, Floats]:
        """Total loss, its derivative by eta in each cell, and the expected second derivative (not negative)."""
        ...


@dataclass(frozen=True)
class Penalized:
    """A fit.

    Parameters
    ----------
    coefficients : (k,).
    smoothing : (d,) the lambda.
    inverse : (k, k) A, the inverse of the penalized information.
    penalty : (k, k) S.
    dispersion : phi: squared derivatives over expected second derivatives.
    freedom : effective number of parameters, trace(A X'HX).
    """

    coefficients: Floats
    smoothing: Floats
    inverse: Floats
    penalty: Floats
    dispersion: float
    freedom: float

    @property
    def smoothing_bias(self) -> Floats:
        """(k, k) phi A S A: what the penalty may have shifted, in the mean over functions as smooth as this one."""
        return np.asarray(self.dispersion * (self.inverse @ self.penalty @ self.inverse))


def fit_penalized(
    basis: SplineBasis,
    design: Design,
    loss: Loss,
    *,
    start: Floats | float = 0.0,
    smoothing: Floats | None = None,
    rounds: int = ROUNDS,
) -> Penalized:
    """Fit a penalized spline.

    Parameters
    ----------
    basis, design : the basis and its functions at the cells.
    loss : the loss of the cells.
    start : coefficients to start from, or one number for all of them (the basis sums to one).
    smoothing : (d,) lambda to hold; None: chosen from the data.
    rounds : of scoring at most.

    Raises
    ------
    FitError
        When the loss is not finite at the start, or the coefficients leave the numbers.
    """
    penalties = basis.penalties()
    beta = np.full(design.size, float(start)) if np.ndim(start) == 0 else np.array(start, dtype=np.float64)
    if not basis.tensor and np.ndim(start) == 0:
        beta /= len(basis.sizes)  # each of the smooths sums to one
    rates = np.full(len(penalties), 10.0) if smoothing is None else np.asarray(smoothing, dtype=np.float64)
    value, slope, curve = loss(design.combine(beta))
    if not np.isfinite(value):
        raise FitError("the loss is not finite at the start of the fit: check the columns for values of absurd size")
    for round_ in range(rounds):
        information = design.gram(curve)
        unit = max(float(np.trace(information)) / design.size, 1e-12)
        ridge = RIDGE * unit * np.eye(design.size)
        penalty = sum(rate * part for rate, part in zip(rates, penalties, strict=True)) + ridge
        inverse = _inverse(information + penalty)
        gradient = design.project(slope) + penalty @ beta
        move = -inverse @ gradient
        before = value + 0.5 * beta @ penalty @ beta
        beta, value, slope, curve, gained = _step(design, loss, penalty, beta, move, before)
        freedom = float((inverse * information).sum())
        dispersion = _dispersion(slope, curve, freedom)
        settled = gained < 1e-7 * (1.0 + abs(before))
        if smoothing is None and round_ < rounds - 3:
            shares = basis.shares(rates)
            new = rates.copy()
            for index, part in enumerate(penalties):
                above = shares[index] - float((inverse * part).sum())
                below = float(beta @ part @ beta)
                ratio = dispersion * max(above, 1e-12) / max(below, 1e-12)
                new[index] = np.clip(
                    rates[index] * np.clip(ratio, 1 / LARGEST_CHANGE, LARGEST_CHANGE),
                    SMOOTHING[0] * unit,
                    SMOOTHING[1] * unit,
                )
            settled &= bool(np.abs(np.log(new / rates)).max() < 0.02)
            rates = new
        if settled and round_ > 1:
            break
    information = design.gram(curve)
    inverse = _inverse(information + penalty)
    if not np.isfinite(beta).all():
        raise FitError("the fit ran away: check the columns for values of absurd size")
    freedom = float((inverse * information).sum())
    return Penalized(beta, rates, inverse, np.asarray(penalty), _dispersion(slope, curve, freedom), freedom)


def _step(
    design: Design, loss: Loss, penalty: Floats, beta: Floats, move: Floats, before: float
) -> tuple[Floats, float, Floats, Floats, float]:
    """The longest of the steps 1, 1/2, 1/4, ... that does not make the objective worse."""
    size = 1.0
    for _ in range(30):
        tried = beta + size * move
        value, slope, curve = loss(design.combine(tried))
        now = value + 0.5 * tried @ penalty @ tried
        if np.isfinite(now) and now <= before + 1e-9 * abs(before):
            return np.asarray(tried), value, slope, curve, float(before - now)
        size *= 0.5
    value, slope, curve = loss(design.combine(beta))
    return beta, value, slope, curve, 0.0


def _inverse(matrix: Floats) -> Floats:
    """The inverse of a positive matrix; one that is not so by rounding gets the least ridge that makes it so."""
    from scipy.linalg import lapack

    size = float(np.trace(matrix)) / len(matrix)
    for ridge in (0.0, 1e-12, 1e-10, 1e-8, 1e-6):
        factor, failed = lapack.dpotrf(matrix + ridge * size * np.eye(len(matrix)), lower=1)
        if not failed:
            inverse, _ = lapack.dpotri(factor, lower=1)
            return np.asarray(np.tril(inverse) + np.tril(inverse, -1).T)
    raise FitError("the information of the fit is singular: the columns may hold values of absurd size")


def _dispersion(slope: Floats, curve: Floats, freedom: float) -> float:
    known = curve > 0
    count = int(known.sum())
    # a ratio of sums: single rows of a quantile have next to no expected second derivative
    ratio = float((slope[known] ** 2).sum() / max(float(curve[known].sum()), 1e-300))
    return ratio * count / max(count - freedom, 1.0)
