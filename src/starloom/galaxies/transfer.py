"""What an encoder's features are worth for a question it was not trained on, with few labels.

A linear probe is a logistic regression on standardized features, its penalty chosen by cross-validation inside the
labels it is given (scikit-learn's; :mod:`starloom.galaxies.linear_head` fits any task, and takes longer). Errors are
1 - accuracy, as in arXiv:2404.02973.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from starloom.errors import CatalogError, ConfigError
from starloom.seeds import generator

if TYPE_CHECKING:
    from starloom.galaxies.image_encoder import ImageEncoder

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
Method = Callable[[NDArray[np.int64], NDArray[np.int64]], Array]
"""(rows to learn from, rows to answer for) -> probabilities of the classes, shape (answers, classes)."""
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


def _check(features: Array, labels: Labels, rows: int) -> None:
    if features.ndim != 2 or len(features) != rows or not np.isfinite(features).all():
        raise CatalogError(f"features must be finite, one row a picture; got {features.shape} for {rows} labels")
    if len(np.unique(labels)) < 2:
        raise CatalogError("a question needs labels of at least two classes")


def linear_probe(features: Array, labels: Labels, others: Array, *, seed: int = 0) -> Array:
    """Probabilities of the classes from features, by a logistic regression.

    Parameters
    ----------
    features, labels : (n, d) and (n,) classes 0, 1, ... of the labeled pictures.
    others : (m, d) features of the pictures to answer for.
    seed : of the folds that choose the penalty.

    Returns
    -------
    array, shape (m, classes)
        A class without any label gets 0.

    Raises
    ------
    CatalogError
        When features are not finite or there is one class only.
    """
    from sklearn.linear_model import LogisticRegression

    from starloom.galaxies.linear_head import folds_of as spread_folds

    _check(features, labels, len(labels))
    middle, spread = features.mean(axis=0), features.std(axis=0)
    used = spread > 1e-9 * max(float(spread.max()), 1e-300)
    train, test = ((each[:, used] - middle[used]) / spread[used] for each in (features, others))
    fold = spread_folds(labels, 4, generator(seed))
    scores = []
    for penalty in PENALTIES:
        total = 0.0
        for k in range(4):
            rows = fold != k
            if len(np.unique(labels[rows])) < 2 or rows.all():
                continue
            model = LogisticRegression(C=penalty, max_iter=300, tol=1e-3).fit(train[rows], labels[rows])
            p = _all_classes(model, train[~rows], int(labels.max()) + 1)
            total += float(np.log(np.maximum(p[np.arange(len(p)), labels[~rows]], 1e-6)).sum())
        scores.append(total)
    best = PENALTIES[int(np.argmax(scores))]
    model = LogisticRegression(C=best, max_iter=1000, tol=1e-4).fit(train, labels)
    return _all_classes(model, test, int(labels.max()) + 1)


def _all_classes(model: Any, features: Array, classes: int) -> Array:
    result = np.zeros((len(features), classes))
    result[:, np.asarray(model.classes_, dtype=np.int64)] = model.predict_proba(features)
    return result


def train_end_to_end(
    encoder: ImageEncoder, pictures: NDArray[np.uint8], labels: Labels, others: NDArray[np.uint8], *,
    fresh: bool = False, passes: float = 20.0, seed: int = 0,
) -> Array:  # fmt: skip
    """Probabilities of the classes from an encoder of which every weight is trained on the labels.

    Parameters
    ----------
    encoder : a copy of it is trained; it stays as it is.
    pictures, labels : (n, height, width, 3) and (n,) classes 0, 1, ...
    others : (m, height, width, 3) pictures to answer for.
    fresh : begin with new weights: what the labels alone are worth.
    passes : times that each picture is seen, at most.
    seed : of weights and steps.

    Returns
    -------
    array, shape (m, classes)
    """
    import copy
    from dataclasses import replace

    from starloom.galaxies.encoders import encoder as make
    from starloom.galaxies.finetune import fit
    from starloom.galaxies.image_training import DEEP, SCRATCH
    from starloom.galaxies.tasks import Classification
    from starloom.neural.training import seeded
    from starloom.seeds import torch_generator

    classes = list(range(int(labels.max()) + 1))
    if fresh:
        form = encoder.settings
        with seeded(torch_generator(np.random.default_rng([seed, 70]))):
            network = make(form["name"], form["channels"], **form["size"])
    else:
        network = copy.deepcopy(encoder)
    settings = replace(SCRATCH if fresh else DEEP, epochs=max(round(passes), 1), batch=32)
    model = fit(pictures, labels, Classification(classes), encoder=network, settings=settings, seed=seed)
    found = model.predict(others)
    return np.column_stack([np.asarray(found[f"probability_{k}"], dtype=np.float64) for k in classes])


def boosted_trees(features: Array, labels: Labels, others: Array, *, seed: int = 0) -> Array:
    """Probabilities of the classes from gradient boosted trees, for features made by hand."""
    from xgboost import XGBClassifier

    _check(features, labels, len(labels))
    model = XGBClassifier(
        n_estimators=200, max_depth=3, learning_rate=0.06, subsample=0.8, colsample_bytree=0.6, min_child_weight=3,
        random_state=seed, n_jobs=1,
    )  # fmt: skip
    model.fit(features, labels)
    return np.asarray(model.predict_proba(others), dtype=np.float64)


def folds_of(labels: Labels, folds: int, *, seed: int) -> Labels:
    """Folds 0, 1, ... of a cross-validation with the classes spread evenly; the same for every method.

    Raises
    ------
    ConfigError
        With fewer than two folds, or more than there are labels of a class.
    """
    from starloom.galaxies.linear_head import folds_of as spread_folds

    smallest = int(np.bincount(labels)[np.unique(labels)].min()) if len(labels) else 0
    if not 2 <= folds <= smallest:
        raise ConfigError(f"2 to {smallest} folds can be made of these labels, not {folds}")
    return spread_folds(labels, folds, generator(seed))


def cross_validated(method: Method, labels: Labels, fold: Labels) -> Array:
    """Probabilities of every row from a model that did not see its fold, shape (n, classes)."""
    result = np.zeros((len(labels), int(labels.max()) + 1))
    for k in np.unique(fold):
        learn, answer = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        result[answer] = method(learn, answer)
    return result


@dataclass(frozen=True)
class Verdict:
    """How well classes were told apart.

    Parameters
    ----------
    error : 1 - accuracy.
    area : area under the ROC curve (of two classes, else the mean over one class against the rest).
    area_error : its standard error, from resampling the rows.
    """

    error: float
    area: float
    area_error: float


def judge(probabilities: Array, labels: Labels, *, seed: int = 0, resamples: int = 200) -> Verdict:
    """Score probabilities of classes against the truth."""
    rng = generator(seed)
    error = float((probabilities.argmax(axis=1) != labels).mean())
    columns: Sequence[int] = [1] if probabilities.shape[1] == 2 else range(probabilities.shape[1])

    def area(rows: NDArray[np.int64]) -> float:
        return float(np.mean([roc_area(probabilities[rows, k], labels[rows] == k) for k in columns]))

    every = np.arange(len(labels))
    drawn = [area(rng.integers(len(labels), size=len(labels))) for _ in range(resamples)]
    return Verdict(error, area(every), float(np.nanstd(drawn)))


def roc_area(scores: Array, positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: the chance that a positive has the higher score; NaN without both kinds.

    Examples
    --------
    >>> roc_area(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True]))
    0.75
    """
    from scipy.stats import rankdata

    hits, rest = int(positive.sum()), int((~positive).sum())
    if hits == 0 or rest == 0:
        return float("nan")
    return float((rankdata(scores)[positive].sum() - hits * (hits + 1) / 2) / (hits * rest))


def paired_gain(
    mine: Array, theirs: Array, labels: Labels, *, seed: int, resamples: int = 500
) -> tuple[float, float, float]:
    """How much larger one's ROC area is than another's on the same rows: value and central interval of 90 %."""
    rng = generator(seed)
    every = np.arange(len(labels))

    def gain(rows: NDArray[np.int64]) -> float:
        positive = labels[rows] == 1
        return roc_area(mine[rows, 1], positive) - roc_area(theirs[rows, 1], positive)

    drawn = [gain(rng.integers(len(labels), size=len(labels))) for _ in range(resamples)]
    low, high = np.nanquantile(drawn, [0.05, 0.95])
    return gain(every), float(low), float(high)


def neighbors(features: Array, row: int, count: int = 5) -> NDArray[np.int64]:
    """The rows most like one row, by the cosine of standardized features; the row itself is left out."""
    spread = features.std(axis=0)
    used = spread > 0
    values = (features[:, used] - features[:, used].mean(axis=0)) / spread[used]
    values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    likeness = values @ values[row]
    likeness[row] = -np.inf
    return np.asarray(np.argsort(-likeness, kind="stable")[:count])
