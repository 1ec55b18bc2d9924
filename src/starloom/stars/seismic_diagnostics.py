"""Do seismic ages read seismology, or abundances? What latents explain, how far ages scatter, what residuals know."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import CatalogError
from starloom.stats.robust import robust_scatter

Floats = NDArray[np.float64]
TREES = 100


@dataclass(frozen=True)
class RatioScore:
    """How predictions follow the truth: robust scatter and bias of prediction over truth, and the stars counted."""

    scatter: float
    bias: float
    stars: int


def ratio_score(predicted: ArrayLike, truth: ArrayLike) -> RatioScore:
    """Robust scatter of predicted over true, and its median less 1.

    Examples
    --------
    >>> ratio_score([1.1, 2.2, 3.3], [1.0, 2.0, 3.0]).bias.__round__(3)
    0.1
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.asarray(predicted, dtype=float) / np.asarray(truth, dtype=float)
    ratio = ratio[np.isfinite(ratio)]
    if len(ratio) == 0:
        return RatioScore(float("nan"), float("nan"), 0)
    return RatioScore(robust_scatter(ratio), float(np.median(ratio) - 1.0), len(ratio))


def explained(
    train: ArrayLike, train_target: ArrayLike, test: ArrayLike, test_target: ArrayLike, *, seed: int = 1
) -> float:
    """Share of the variance of a quantity of new stars that features explain through a forest (R squared).

    Parameters
    ----------
    train, test : (n, F) and (m, F) features.
    train_target, test_target : (n,) and (m,).

    Raises
    ------
    CatalogError
        When the quantity does not vary over the test stars.
    """
    answer, true = predict_with_forest(train, train_target, test, seed=seed), np.asarray(test_target, dtype=float)
    spread = float(np.var(true))
    if not spread > 0:
        raise CatalogError("the quantity is the same for all test stars: nothing of it can be explained")
    return float(1.0 - np.mean((answer - true) ** 2) / spread)


def predict_with_forest(train: ArrayLike, target: ArrayLike, test: ArrayLike, *, seed: int = 1) -> Floats:
    """A plain forest's answer for new stars, the referee that all sets of features get alike."""
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(TREES, min_samples_leaf=5, random_state=seed, n_jobs=1)
    forest.fit(np.asarray(train, dtype=float), np.asarray(target, dtype=float))
    return np.asarray(forest.predict(np.asarray(test, dtype=float)))


def partial_correlation(first: ArrayLike, second: ArrayLike, *given: ArrayLike) -> float:
    """Correlation of two quantities, both freed from quadratics in the given ones; over rows where all are known.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> z = rng.normal(size=2000)
    >>> x, y = z + rng.normal(size=2000), z + rng.normal(size=2000)
    >>> bool(np.corrcoef(x, y)[0, 1] > 0.4), bool(abs(partial_correlation(x, y, z)) < 0.1)
    (True, True)
    """
    columns = [np.asarray(part, dtype=float) for part in (first, second, *given)]
    if len({column.shape for column in columns}) > 1 or columns[0].ndim != 1:
        raise CatalogError("all quantities must be 1-D and of one length")
    known = np.isfinite(np.stack(columns)).all(axis=0)
    x, y, *others = (column[known] for column in columns)
    if len(x) < 3 + 2 * len(others) + 2:
        return float("nan")
    terms = [np.ones(len(x))]
    for other in others:
        scaled = (other - other.mean()) / (other.std() or 1.0)
        terms += [scaled, scaled**2]
    design = np.stack(terms, axis=1)
    left, right = (v - design @ np.linalg.lstsq(design, v, rcond=None)[0] for v in (x, y))
    norm = float(np.sqrt((left @ left) * (right @ right)))
    return float(left @ right / norm) if norm > 0 else float("nan")


def active(means: ArrayLike, *, least: float = 0.02) -> NDArray[np.bool_]:
    """Which latents say anything: those whose mean varies over the stars (variance above ``least``)."""
    return np.asarray(np.var(np.atleast_2d(np.asarray(means, dtype=float)), axis=0) > least)
