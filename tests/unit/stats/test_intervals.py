from __future__ import annotations

import numpy as np
import pytest

from starloom.errors import ConfigError
from starloom.stats.intervals import central, fraction_interval


def test_intervals_of_a_fraction_cover():
    """Average over the binomial at fractions drawn from the prior: exact, up to the bounds at 0 and N."""
    rng = np.random.default_rng(5)
    true = rng.beta(0.5, 0.5, 20_000)
    seen = rng.binomial(40, true)
    low, high = fraction_interval(seen, 40, 0.9)
    inside = np.mean((low <= true) & (true <= high))
    assert 0.89 < inside < 0.96


def test_nothing_tried_is_everything_possible():
    low, high = fraction_interval([0, 0, 7], [0, 7, 7])
    assert (low[0], high[0]) == (0.0, 1.0)
    assert low[1] == 0.0
    assert high[1] < 0.3
    assert high[2] == 1.0


@pytest.mark.parametrize(("good", "tried", "level"), [(3, 2, 0.68), (-1, 2, 0.68), (np.nan, 2, 0.68), (1, 2, 1.0)])
def test_impossible_counts_are_refused(good, tried, level):
    with pytest.raises(ConfigError):
        fraction_interval(good, tried, level)


def test_central_leaves_nan_out():
    assert central([0.0, 1.0, np.nan, 2.0], 1.0 - 1e-12) == (pytest.approx(0.0, abs=1e-9), pytest.approx(2.0))
