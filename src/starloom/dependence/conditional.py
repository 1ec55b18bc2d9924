"""Functionals of a distribution as maps over covariates: mean, variance, quantile, expectile, correlation.

A map is the arg-min of a consistent score (``starloom.stats.scores``) over functions of the covariates, for any table.
Two engines fit it: penalized tensor splines, whose smoothing is chosen from the data, and the networks of
arXiv:2306.09319. The correlation of a pair given covariates needs the means and variances given them too; all five come
from one joint score.

A map comes with the number of rows that stand behind each of its values, and is not given where these are too few.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from starloom.dependence.spline_maps import SplineMap, fit_splines
from starloom.dependence.support import Support
from starloom.errors import CatalogError, ConfigError, FitError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

Functional = Literal["mean", "variance", "quantile", "expectile", "correlation"]
FUNCTIONALS = ("mean", "variance", "quantile", "expectile", "correlation")
LEAST_ROWS = 100


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
