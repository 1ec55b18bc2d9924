"""A consistent score is least, in the mean, at its functional: on a sample whose functionals are known."""

from __future__ import annotations

import numpy as np
import pytest

from starloom.stats import scores

RNG = np.random.default_rng(8)
X = RNG.gamma(2.0, size=200_000)
Y = 0.7 * X + RNG.exponential(size=200_000)
MOMENTS = (X.mean(), X.var(), Y.mean(), Y.var(), float(np.corrcoef(X, Y)[0, 1]))


def expectile(level):
    from scipy.stats import expectile as peer

    return peer(X, level)


@pytest.mark.parametrize(
    ("score", "truth"),
    [
        (lambda m: scores.squared(X, m), X.mean()),
        (lambda q: scores.pinball(X, q, 0.8), np.quantile(X, 0.8)),
        (lambda e: scores.asymmetric(X, e, 0.8), expectile(0.8)),
        (lambda v: scores.variance(X, X.mean(), v), X.var()),
    ],
)
def test_the_mean_score_is_least_at_the_functional(score, truth):
    best = score(truth).mean()
    for factor in (0.9, 0.97, 1.03, 1.1):
        assert score(factor * truth).mean() > best


@pytest.mark.parametrize("score", [scores.correlation, scores.cross_moment])
@pytest.mark.parametrize("place", range(5))
def test_the_joint_scores_are_least_at_all_five(score, place):
    best = score(X, Y, *MOMENTS).mean()
    for factor in (0.9, 1.1):
        moved = list(MOMENTS)
        moved[place] *= factor
        assert score(X, Y, *moved).mean() > best
