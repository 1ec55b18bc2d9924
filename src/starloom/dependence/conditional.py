"""Functionals of a distribution as maps over covariates: mean, variance, quantile, expectile, correlation.

A map is the arg-min of a consistent score (``starloom.stats.scores``) over functions of the covariates, for any table.
Two engines fit it: penalized tensor splines, whose smoothing is chosen from the data, and the networks of
arXiv:2306.09319. The correlation of a pair given covariates needs the means and variances given them too; all five come
from one joint score.

A map comes with the number of rows that stand behind each of its values, and is not given where these are too few.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

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
from starloom.dependence.support import Support
from starloom.errors import CatalogError, ConfigError, FitError
from starloom.stats.ranks import effective_size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

Functional = Literal["mean", "variance", "quantile", "expectile", "correlation"]
FUNCTIONALS = ("mean", "variance", "quantile", "expectile", "correlation")
LEAST_ROWS = 100
CELLS = {1: 600, 2: 80, 3: 24}
MANY_ROWS = 5000
SMALLEST_VARIANCE = 1e-6  # of the variance of the whole column: the floor that keeps every score bounded below


@dataclass(frozen=True)
class Rows:
    """The rows of a fit: all finite, all of positive weight.

    Parameters
    ----------
    z : (n, d) covariates.
    x, y : (n,) response, and the second one of a pair.
    weights : (n,).
    x_error, y_error : (n,) standard errors of the responses, where known.
    kept : (m,) which rows of the input these are.
    """

    z: Floats
    x: Floats
    y: Floats | None
    weights: Floats
    x_error: Floats | None
    y_error: Floats | None
    kept: NDArray[np.bool_]


def take_rows(
    z: ArrayLike,
    x: ArrayLike,
    y: ArrayLike | None = None,
    *,
    weights: ArrayLike | None = None,
    x_error: ArrayLike | None = None,
    y_error: ArrayLike | None = None,
    least: int = LEAST_ROWS,
) -> Rows:
    """Check columns and keep the rows that have everything.

    Raises
    ------
    ConfigError
        When shapes differ.
    CatalogError
        When a weight or an error is negative, fewer than ``least`` rows are left, or a response is constant.
    """
    covariates = np.asarray(z, dtype=np.float64)
    covariates = covariates[:, None] if covariates.ndim == 1 else covariates
    if covariates.ndim != 2 or covariates.shape[1] == 0:
        raise ConfigError(f"covariates have shape (n, d), not {np.shape(z)}")
    n = len(covariates)
    columns: dict[str, Floats] = {}
    for name, values in (("x", x), ("y", y), ("weights", weights), ("x_error", x_error), ("y_error", y_error)):
        if values is None:
            continue
        columns[name] = np.asarray(values, dtype=np.float64)
        if columns[name].shape != (n,):
            raise ConfigError(f"{name} has shape {columns[name].shape}; the covariates have {n} rows")
    kept = np.isfinite(covariates).all(axis=1)
    for name, column in columns.items():
        kept &= np.isfinite(column)
        if name not in ("x", "y") and (column < 0).any():
            bad = int(np.flatnonzero(column < 0)[0])
            raise CatalogError(f"{name} is {column[bad]:g} in row {bad}: it cannot be negative")
    if "weights" in columns:
        kept &= columns["weights"] > 0
    if kept.sum() < least:
        raise CatalogError(
            f"{int(kept.sum())} of {n} rows have finite covariates and responses and a weight above 0; a map needs "
            f"{least}"
        )
    part = {name: column[kept] for name, column in columns.items()}
    for name in ("x", "y"):
        if name in part and np.ptp(part[name]) == 0:
            raise CatalogError(f"the response {name} is {part[name][0]:g} in every row: nothing about it can be mapped")
    return Rows(
        covariates[kept], part["x"], part.get("y"), part.get("weights", np.ones(int(kept.sum()))),
        part.get("x_error"), part.get("y_error"), np.asarray(kept),
    )  # fmt: skip


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
class ConditionalMap:
    """Which functional to map, and how.

    Parameters
    ----------
    functional : ``mean``, ``variance``, ``quantile``, ``expectile``, or ``correlation`` (of a pair).
    level : of a quantile or expectile, between 0 and 1.
    engine : ``splines`` or ``networks``.
    segments : pieces of the splines along each covariate; by default 20, 10 or 5 for one, two or three covariates.
    least_count : effective number of rows around a place below which the map is not given there.
    least_rows : rows below which nothing is fitted.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> z = rng.uniform(0.0, 1.0, 20000)
    >>> x = rng.normal(size=20000)
    >>> y = z * x + np.sqrt(1.0 - z**2) * rng.normal(size=20000)
    >>> fitted = ConditionalMap("correlation").fit(z, x, y, seed=1)
    >>> print(fitted.predict([0.2, 0.5]).round(1))
    [0.2 0.5]
    """

    functional: Functional = "correlation"
    level: float = 0.5
    engine: Literal["splines", "networks"] = "splines"
    segments: int | tuple[int, ...] | None = None
    least_count: float = 100.0
    least_rows: int = LEAST_ROWS

    def __post_init__(self) -> None:
        if self.functional not in FUNCTIONALS:
            raise ConfigError(f"functional {self.functional!r} is none of {', '.join(FUNCTIONALS)}")
        if not 0.0 < self.level < 1.0:
            raise ConfigError(f"the level of a quantile or expectile lies between 0 and 1, not {self.level}")
        if self.engine not in ("splines", "networks"):
            raise ConfigError(f"engine is 'splines' or 'networks', not {self.engine!r}")

    def fit(
        self,
        z: ArrayLike,
        x: ArrayLike,
        y: ArrayLike | None = None,
        *,
        weights: ArrayLike | None = None,
        x_error: ArrayLike | None = None,
        y_error: ArrayLike | None = None,
        seed: int | np.random.Generator = 1,
    ) -> FittedConditionalMap:
        """Fit the map.

        Parameters
        ----------
        z : (n, d) or (n,) covariates.
        x : (n,) response.
        y : (n,) second response, for a correlation.
        weights : (n,) not negative.
        x_error, y_error : (n,) standard errors of independent measurement errors. The variance that they add is taken
            out of a variance, and with it the attenuation out of a correlation; other functionals do not use them.
        seed : of the networks; the splines have no chance in them.

        Returns
        -------
        FittedConditionalMap
            Rows with a missing value or without weight are left out; ``kept`` says which were used.

        Raises
        ------
        ConfigError
            When shapes do not fit, or a pair is missing or not wanted.
        CatalogError
            When there are too few rows, a response is constant, or a weight or an error is negative.
        FitError
            When no fit can be made of these columns.
        """
        if (self.functional == "correlation") != (y is not None):
            raise ConfigError(
                "a correlation is of two responses: give x and y"
                if y is None
                else f"a {self.functional} is of one response: leave y out"
            )
        rows = take_rows(z, x, y, weights=weights, x_error=x_error, y_error=y_error, least=self.least_rows)
        support = Support.of(rows.z, rows.weights)
        if self.engine == "networks":
            from starloom.dependence.networks import fit_networks

            return FittedConditionalMap(self, rows.kept, support, networks=fit_networks(self, rows, seed))
        return FittedConditionalMap(self, rows.kept, support, splines=fit_splines(self, rows))


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


LEAST_RELIABILITY = 0.05


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


@dataclass(frozen=True)
class FittedConditionalMap:
    """A map that was fitted.

    Parameters
    ----------
    model : what was asked for.
    kept : (n,) which rows of the input were used.
    support : where the rows lie.
    splines, networks : the engine's fit.
    """

    model: ConditionalMap
    kept: NDArray[np.bool_]
    support: Support
    splines: SplineMap | None = None
    networks: Any = None

    def covariates(self, z: ArrayLike) -> Floats:
        """Places as (n, d)."""
        places = np.asarray(z, dtype=np.float64)
        dimensions = self.support.dimensions
        places = places.reshape(-1, 1) if dimensions == 1 and places.ndim < 2 else np.atleast_2d(places)
        if places.ndim != 2 or places.shape[1] != dimensions:
            raise ConfigError(f"places have {dimensions} covariates, shape (n, {dimensions}), not {np.shape(z)}")
        return places

    def effective_counts(self, z: ArrayLike) -> Floats:
        """Effective number of rows around places, (n,); see ``Support``."""
        return self.support.counts(self.covariates(z))

    def valid(self, z: ArrayLike) -> NDArray[np.bool_]:
        """Whether enough rows lie around places, (n,)."""
        return np.asarray(self.effective_counts(z) >= self.model.least_count)

    def predict(self, z: ArrayLike, *, masked: bool = True) -> Floats:
        """The functional at places, (n,); NaN where too few rows stand behind it, unless ``masked`` is False.

        A place with a NaN in it has the value NaN.
        """
        places = self.covariates(z)
        finite = np.isfinite(places).all(axis=1)
        found = np.full(len(places), np.nan)
        if finite.any():
            if self.splines is not None:
                design = self.splines.basis.design(places[finite])
                found[finite] = self.splines.evaluate(design, self.model.functional)
            else:
                found[finite] = self.networks.evaluate(places[finite])
        if masked:
            found[finite] = np.where(self.valid(places[finite]), found[finite], np.nan)
        return found

    def need_splines(self) -> SplineMap:
        """The splines, for what only they can do."""
        if self.splines is None:
            raise FitError("bands come from refits of splines; fit with engine='splines'")
        return self.splines
