"""scikit-learn's own checks, and what they do not look at."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from starloom.dependence.estimators import ConditionalCorrelation, ConditionalRegressor, RankTransformer


@parametrize_with_checks([RankTransformer(), RankTransformer("normal"), ConditionalRegressor("quantile")])
@pytest.mark.filterwarnings("ignore:Can't check dok sparse matrix:UserWarning")
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.long
@parametrize_with_checks(
    [ConditionalRegressor(), ConditionalRegressor("expectile", 0.3), ConditionalRegressor("variance")]
)
@pytest.mark.filterwarnings("ignore:Can't check dok sparse matrix:UserWarning")
def test_scikit_learn_checks_of_the_other_functionals(estimator, check):
    check(estimator)


def test_ranks_go_there_and_back():
    x = np.random.default_rng(1).gamma(2.0, size=(300, 2))
    for output in ("uniform", "normal"):
        transformer = RankTransformer(output).fit(x)
        np.testing.assert_allclose(transformer.inverse_transform(transformer.transform(x)), x, rtol=1e-8)
    with pytest.raises(ValueError, match="output"):
        RankTransformer("ranks").fit(x)


def test_a_correlation_in_cross_validation():
    from sklearn.model_selection import cross_val_score

    rng = np.random.default_rng(3)
    z = rng.random((3000, 1))
    x = rng.normal(size=3000)
    pair = np.stack([x, z[:, 0] * x + np.sqrt(1 - z[:, 0] ** 2) * rng.normal(size=3000)], axis=1)
    estimator = ConditionalCorrelation().fit(z, pair)
    np.testing.assert_allclose(estimator.predict([[0.3], [0.8]]), [0.3, 0.8], atol=0.1)
    assert cross_val_score(ConditionalCorrelation(), z, pair).mean() > estimator.score(z, pair[::-1])
    with pytest.raises(ValueError, match=r"shape \(n, 2\)"):
        ConditionalCorrelation().fit(z, pair[:, :1])
