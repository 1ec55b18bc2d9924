"""Rivals of the star foundation model are trained once, also when a run is interrupted behind them."""

from __future__ import annotations

from functools import partial

import numpy as np

from starloom.stars.rivals import kept


def test_a_rival_is_trained_once_for_the_same_inputs(tmp_path):
    calls = []

    def rival(inputs, *, seed):
        calls.append(seed)
        return inputs * seed

    inputs = np.arange(6.0).reshape(3, 2)
    first = kept(tmp_path, partial(rival, inputs, seed=3))
    again = kept(tmp_path, partial(rival, inputs.copy(), seed=3))
    np.testing.assert_array_equal(first, inputs * 3)
    np.testing.assert_array_equal(first, again)
    assert calls == [3]
    np.testing.assert_array_equal(kept(tmp_path, partial(rival, inputs, seed=4)), inputs * 4)
    np.testing.assert_array_equal(kept(tmp_path, partial(rival, inputs + 1, seed=3)), (inputs + 1) * 3)
    assert calls == [3, 4, 3]
