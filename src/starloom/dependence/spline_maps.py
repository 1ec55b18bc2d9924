"""Maps as penalized tensor splines: rows put together in cells, and the parts of a functional fitted one after another.

A correlation has five parts: both means, the logarithms of both variances, and atanh rho, each fitted with the ones
before it held. Where errors of the responses are known, the error variances are parts too, and what they add is taken
out again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from starloom.dependence.losses import (
    CorrelationLoss,
    ExpectileLoss,
    MeanLoss,
    Moments,
    QuantileLoss,
    VarianceLoss,
)
from starloom.dependence.penalized import Penalized, fit_penalized
from starloom.dependence.spline_basis import Design, SplineBasis
from starloom.stats.ranks import effective_size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from starloom.dependence.conditional import ConditionalMap, Functional, Rows

    Floats = NDArray[np.float64]

CELLS = {1: 600, 2: 80, 3: 24}
MANY_ROWS = 5000
SMALLEST_VARIANCE = 1e-6  # of the variance of the whole column: the floor that keeps every score bounded below
LEAST_RELIABILITY = 0.05  # share of a variance that is not error, below which there is no correlation without it


@dataclass(frozen=True)
class Cells:
    """Rows put together that lie close in the covariates: the cell of each row, and the middle of each cell."""

    cell: NDArray[np.int64]
    z: Floats

    @classmethod
    def of(cls, z: Floats, weights: Floats, basis: SplineBasis) -> Cells:
        """At most 600, 80^2 or 24^3 cells for one, two or three covariates; for more, or of few rows, equal rows."""
        n, dimensions = z.shape
        per_axis = CELLS.get(dimensions)
        if per_axis is None or n < 2 * per_axis:
            distinct, cell = np.unique(z, axis=0, return_inverse=True)
            return cls(cell.reshape(-1), distinct)
        width = (basis.high - basis.low) / per_axis
        place = np.clip(np.floor((z - basis.low) / width), 0, per_axis - 1).astype(np.int64)
        flat = np.ravel_multi_index(tuple(place.T), (per_axis,) * dimensions)
        _, cell = np.unique(flat, return_inverse=True)
        cell = cell.reshape(-1)
        total = np.bincount(cell, weights)
        middle = np.stack([np.bincount(cell, weights * column) / total for column in z.T], axis=1)
        return cls(cell, middle)

    @classmethod
    def alike(cls, z: Floats, x: Floats) -> Cells:
        """Rows that are equal in covariates and response; of many rows each by itself."""
        if len(z) > MANY_ROWS:
            return cls(np.arange(len(z)), z)
        distinct, cell = np.unique(np.column_stack([z, x]), axis=0, return_inverse=True)
        return cls(cell.reshape(-1), distinct[:, :-1])


@dataclass(frozen=True)
class SplineMap:
    """The splines of a map: by name, with the rows and cells that they were fitted to.

    Parameters
    ----------
    basis : of all of them.
    parts : name -> fit: ``mean``, ``log_variance``, ... of x (with ``_y`` for the second response), ``atanh_rho``,
        ``log_error`` (of the error variances), or ``value``.
    center, scale : of the two responses; the fits are in units of the scale from the center.
    rows, cells, design : what was fitted.
    """

    basis: SplineBasis
    parts: Mapping[str, Penalized]
    center: tuple[float, float]
    scale: tuple[float, float]
    rows: Rows
    cells: Cells
    design: Design = field(repr=False)

    def evaluate(self, design: Design, functional: Functional, drawn: Mapping[str, Floats] | None = None) -> Floats:
        """Values at the rows of a design; ``drawn`` replaces the coefficients (a resampled fit)."""
        betas = {name: part.coefficients for name, part in self.parts.items()} | dict(drawn or {})
        eta = {name: design.combine(beta) for name, beta in betas.items()}
        if functional == "correlation":
            rho = np.tanh(eta["atanh_rho"])
            return np.asarray(_clear(rho, *(_reliability(eta, end) for end in ("", "_y"))))
        if functional == "variance":
            return np.asarray(np.exp(eta["log_variance"]) * _reliability(eta, "") * self.scale[0] ** 2)
        name = "mean" if functional == "mean" else "value"
        return np.asarray(self.center[0] + self.scale[0] * eta[name])


def _reliability(eta: Mapping[str, Floats], end: str) -> Floats:
    """Share of the observed variance that is not error; one where no errors are known."""
    if f"log_error{end}" not in eta:
        return np.ones_like(eta[f"log_variance{end}"])
    return np.asarray(1.0 - np.exp(np.minimum(eta[f"log_error{end}"] - eta[f"log_variance{end}"], 0.0)))


def _clear(rho: Floats, first: Floats, second: Floats) -> Floats:
    """A correlation without attenuation; NaN where next to all of a variance is error."""
    share = np.where((first > LEAST_RELIABILITY) & (second > LEAST_RELIABILITY), first * second, np.nan)
    return np.clip(rho / np.sqrt(share), -1.0, 1.0)


def fit_splines(
    model: ConditionalMap, rows: Rows, like: SplineMap | None = None, weights: Floats | None = None, rounds: int = 3
) -> SplineMap:
    """Fit the splines of a map; with ``like`` from where that one ended, with its knots, cells and smoothing.

    Parameters
    ----------
    model, rows : what to fit.
    like : a fit to all rows, to start a refit to reweighted ones from.
    weights : (n,) weights of the refit, in the place of those of the rows.
    rounds : of scoring, in a refit.
    """
    weights = rows.weights if weights is None else weights
    if like is None:
        center = [float(np.average(c, weights=weights)) for c in (rows.x, rows.x if rows.y is None else rows.y)]
        scale = [
            float(np.sqrt(np.average((c - m) ** 2, weights=weights)))
            for c, m in zip((rows.x, rows.x if rows.y is None else rows.y), center, strict=True)
        ]
        basis = SplineBasis.of(rows.z, weights, model.segments)
        if model.functional in ("quantile", "expectile"):
            cells = Cells.alike(rows.z, rows.x)
        else:
            cells = Cells.of(rows.z, weights, basis)
        design = basis.design(cells.z)
    else:
        basis, cells, design = like.basis, like.cells, like.design
        center, scale = list(like.center), list(like.scale)
    x = (rows.x - center[0]) / scale[0]
    y = None if rows.y is None else (rows.y - center[1]) / scale[1]
    parts: dict[str, Penalized] = {}

    def fit(name: str, loss: Any, start: float = 0.0) -> Floats:
        """Fit one part and give its values at the cells."""
        if like is None:
            parts[name] = fit_penalized(basis, design, loss, start=start)
        else:
            old = like.parts[name]
            parts[name] = fit_penalized(
                basis, design, loss, start=old.coefficients, smoothing=old.smoothing, rounds=rounds
            )
        return design.combine(parts[name].coefficients)

    if model.functional in ("quantile", "expectile"):
        total = np.asarray(np.bincount(cells.cell, weights, minlength=len(cells.z)), dtype=np.float64)
        single = np.zeros(len(cells.z))
        single[cells.cell] = x
        if model.functional == "expectile":
            fit("value", ExpectileLoss(single, total, model.level))
        else:
            start = float(np.quantile(single, model.level))
            effective = max(effective_size(total), 2.0)
            width = max(0.05, (np.log(effective) / effective) ** 0.4)
            fit("value", QuantileLoss(single, total, model.level, width), start)
        return SplineMap(basis, parts, tuple(center), tuple(scale), rows, cells, design)  # type: ignore[arg-type]

    count = len(cells.z)
    moments = Moments.of(cells.cell, count, weights, x, y)
    floor = np.log(SMALLEST_VARIANCE)
    found: dict[str, Floats] = {}
    for end, sums, error, unit in (
        ("", moments, rows.x_error, scale[0]),
        ("_y", moments.swapped(), rows.y_error, scale[1]),
    ):
        if end and y is None:
            continue
        found[f"mean{end}"] = fit(f"mean{end}", MeanLoss(sums))
        if model.functional == "mean":
            continue
        log_variance = fit(f"log_variance{end}", VarianceLoss(_floored(sums), found[f"mean{end}"]))
        found[f"variance{end}"] = np.exp(np.maximum(log_variance, floor))
        if error is not None:
            squares = Moments.of(cells.cell, count, weights, error / unit + 1e-9, None)
            start = float(np.log(max(np.average((error / unit) ** 2, weights=weights), 1e-12)))
            fit(f"log_error{end}", VarianceLoss(squares, 0.0), start)
    if y is not None:
        loss = CorrelationLoss(moments, found["mean"], found["variance"], found["mean_y"], found["variance_y"])
        fit("atanh_rho", loss)
    return SplineMap(basis, parts, tuple(center), tuple(scale), rows, cells, design)  # type: ignore[arg-type]


def _floored(sums: Moments) -> Moments:
    """Moments with a little scatter added, so that a response without any has a smallest variance and not none."""
    return Moments(sums.n, sums.x, sums.xx + SMALLEST_VARIANCE * sums.n, sums.y, sums.yy, sums.xy)
