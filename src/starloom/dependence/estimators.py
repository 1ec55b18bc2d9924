"""Ranks and conditional functionals as scikit-learn estimators, for pipelines, cross-validation and searches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, RegressorMixin, TransformerMixin
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from starloom.dependence.conditional import ConditionalMap
from starloom.stats import scores
from starloom.stats.ranks import Margin

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

LEAST_ROWS = 2


class RankTransformer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Columns to ranks in (0, 1), or to the normal scores of their ranks.

    Parameters
    ----------
    output : ``uniform`` or ``normal``.

    Examples
    --------
    >>> RankTransformer().fit_transform([[1.0], [9.0], [4.0]]).ravel().tolist()
    [0.25, 0.75, 0.5]
    """

    def __init__(self, output: str = "uniform") -> None:
        self.output = output

    def fit(self, X: ArrayLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None) -> RankTransformer:
        """Learn the margins of the columns; NaN is missing."""
        if self.output not in ("uniform", "normal"):
            raise ValueError(f"output is 'uniform' or 'normal', not {self.output!r}")
        values = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan")
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, values, dtype=np.float64)
        self.margins_ = [Margin.of(column, weights) for column in values.T]
        return self

    def transform(self, X: ArrayLike) -> Floats:
        """Ranks or scores of rows, linear between the values learned."""
        from scipy.special import ndtri

        check_is_fitted(self)
        values = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False)
        u = np.stack([margin.ranks(column) for margin, column in zip(self.margins_, values.T, strict=True)], axis=1)
        return np.asarray(ndtri(u)) if self.output == "normal" else u

    def inverse_transform(self, X: ArrayLike) -> Floats:
        """Values at ranks or scores."""
        from scipy.special import ndtr

        check_is_fitted(self)
        u = np.asarray(X, dtype=np.float64)
        u = ndtr(u) if self.output == "normal" else u
        columns = [margin.quantiles(column) for margin, column in zip(self.margins_, u.T, strict=True)]
        return np.stack(columns, axis=1)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


class ConditionalRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A functional of a response given covariates, by penalized splines or networks.

    Parameters
    ----------
    functional : ``mean``, ``variance``, ``quantile`` or ``expectile``.
    level : of a quantile or expectile.
    engine : ``splines`` or ``networks``.
    segments : pieces of the splines along each covariate.
    random_state : seed of the networks.
    """

    def __init__(
        self,
        functional: str = "mean",
        level: float = 0.5,
        engine: str = "splines",
        segments: int | None = None,
        random_state: int | None = None,
    ) -> None:
        self.functional = functional
        self.level = level
        self.engine = engine
        self.segments = segments
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # R^2 asks for the mean; a variance does not predict the response
        tags.regressor_tags.poor_score = self.functional == "variance"
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> ConditionalRegressor:
        """Fit to rows."""
        z, x = validate_data(self, X, y, dtype=np.float64, y_numeric=True, ensure_min_samples=LEAST_ROWS)
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, z, dtype=np.float64)
        model = ConditionalMap(
            self.functional, self.level, self.engine, self.segments, least_rows=1  # type: ignore[arg-type]
        )  # fmt: skip
        self.constant_ = None
        if np.ptp(x) == 0:  # a constant response has every location functional equal to it, and no variance
            self.constant_ = 0.0 if self.functional == "variance" else float(x[0])
            return self
        self.map_ = model.fit(z, x.astype(np.float64), weights=weights, seed=self.random_state or 0)
        return self

    def predict(self, X: ArrayLike) -> Floats:
        """The functional at rows, extrapolated where no rows were learned from."""
        check_is_fitted(self, "constant_")
        z = validate_data(self, X, dtype=np.float64, reset=False)
        if self.constant_ is not None:
            return np.full(len(z), self.constant_)
        return self.map_.predict(z, masked=False)


class ConditionalCorrelation(BaseEstimator):  # type: ignore[misc]
    """The correlation of two responses given covariates; ``fit(X, Y)`` with Y of shape (n, 2).

    Parameters
    ----------
    engine : ``splines`` or ``networks``.
    segments : pieces of the splines along each covariate.
    random_state : seed of the networks.
    """

    def __init__(self, engine: str = "splines", segments: int | None = None, random_state: int | None = None) -> None:
        self.engine = engine
        self.segments = segments
        self.random_state = random_state

    def fit(self, X: ArrayLike, Y: ArrayLike, sample_weight: ArrayLike | None = None) -> ConditionalCorrelation:
        """Fit to rows."""
        z, pair = validate_data(self, X, Y, dtype=np.float64, multi_output=True, y_numeric=True)
        pair = np.asarray(pair, dtype=np.float64)
        if pair.ndim != 2 or pair.shape[1] != 2:
            raise ValueError(f"Y holds the two responses, shape (n, 2), not {pair.shape}")
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, z, dtype=np.float64)
        model = ConditionalMap("correlation", engine=self.engine, segments=self.segments)  # type: ignore[arg-type]
        self.map_ = model.fit(z, pair[:, 0], pair[:, 1], weights=weights, seed=self.random_state or 0)
        return self

    def predict(self, X: ArrayLike) -> Floats:
        """The correlation at rows, extrapolated where no rows were learned from."""
        check_is_fitted(self)
        return self.map_.predict(validate_data(self, X, dtype=np.float64, reset=False), masked=False)

    def score(self, X: ArrayLike, Y: ArrayLike) -> float:
        """Minus the mean score of Dawid and Sebastiani of the correlation of the standardized pair; more is better."""
        check_is_fitted(self)
        pair = np.asarray(Y, dtype=np.float64)
        design = self.map_.need_splines().basis.design(self.map_.covariates(X))
        parts = {name: design.combine(part.coefficients) for name, part in self.map_.need_splines().parts.items()}
        first, second = (pair - np.array(self.map_.need_splines().center)).T / np.array(
            self.map_.need_splines().scale
        )[:, None]  # fmt: skip
        rho = np.clip(self.predict(X), -0.999999, 0.999999)
        each = scores.correlation(
            first, second, parts["mean"], np.exp(parts["log_variance"]), parts["mean_y"],
            np.exp(parts["log_variance_y"]), rho,
        )  # fmt: skip
        return -float(each.mean())
