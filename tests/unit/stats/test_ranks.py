from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm, rankdata

from starloom.errors import CatalogError, ConfigError
from starloom.stats.ranks import Margin, effective_size, normal_scores, ranks


def sample(n=500, seed=1):
    rng = np.random.default_rng(seed)
    return np.round(rng.normal(size=n), 1)  # with ties


def test_ranks_are_those_of_scipy_over_n_plus_one():
    x = sample()
    np.testing.assert_array_equal(ranks(x), rankdata(x) / (len(x) + 1))
    np.testing.assert_array_equal(ranks(x, np.ones(len(x))), rankdata(x) / (len(x) + 1))


def test_missing_values_do_not_count():
    x = sample()
    holed = np.concatenate([[np.nan], x, [np.inf, -np.inf]])
    found = ranks(holed)
    np.testing.assert_array_equal(found[1:-2], ranks(x))
    assert np.isnan(found[[0, -2, -1]]).all()


@pytest.mark.parametrize("change", [np.exp, lambda x: 3.0 * x - 7.0, lambda x: x**3, np.arctan])
def test_a_rising_map_changes_no_bit(change):
    x = sample()
    np.testing.assert_array_equal(ranks(change(x)), ranks(x))
    w = np.random.default_rng(2).random(len(x))
    np.testing.assert_array_equal(ranks(change(x), w), ranks(x, w))


def test_a_whole_weight_is_the_row_as_often():
    x, w = sample(60), np.random.default_rng(3).integers(0, 4, 60).astype(float)
    w[0] = 1.0
    repeated = np.repeat(x, w.astype(int))
    margin, other = Margin.of(x, w), Margin.of(repeated)
    np.testing.assert_array_equal(margin.values, other.values)
    np.testing.assert_allclose(margin.u, other.u, rtol=1e-14)


def test_weights_have_no_unit_and_a_weight_of_zero_does_not_count():
    x, w = sample(), np.random.default_rng(3).random(500) + 0.1
    np.testing.assert_allclose(ranks(x, w), ranks(x, 7.0 * w), rtol=1e-12)
    w[:50] = 0.0
    np.testing.assert_allclose(ranks(x, w)[50:], ranks(x[50:], w[50:]), rtol=1e-12)
    assert np.isfinite(ranks(x, w)[:50]).all()


def test_scores_are_finite_and_a_margin_goes_there_and_back():
    x = np.random.default_rng(5).gamma(2.0, size=4000)
    scores = normal_scores(x)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(norm.cdf(scores), ranks(x), rtol=1e-12)
    margin = Margin.of(x)
    np.testing.assert_allclose(margin.quantiles(margin.ranks(x)), x, rtol=1e-9)
    assert margin.ranks([-1.0, 1e9]).tolist() == [margin.u[0], margin.u[-1]]


def test_all_ties_share_the_middle_rank():
    assert set(ranks(np.full(9, 3.0)).tolist()) == {0.5}


def test_what_cannot_be_ranked_is_refused():
    with pytest.raises(ConfigError, match="one column"):
        ranks(np.ones((2, 2)))
    with pytest.raises(ConfigError, match="shape"):
        ranks([1.0, 2.0], [1.0])
    with pytest.raises(CatalogError, match="row 1 is -1"):
        ranks([1.0, 2.0], [1.0, -1.0])
    for x, w in (([np.nan], None), ([1.0, 2.0], [0.0, 0.0]), ([], None)):
        with pytest.raises(CatalogError, match="nothing to rank"):
            ranks(x, w)


def test_effective_size():
    assert effective_size(np.ones(7)) == pytest.approx(7.0)
    assert effective_size([2.0, 0.0]) == 1.0
    assert effective_size([0.0]) == 0.0
