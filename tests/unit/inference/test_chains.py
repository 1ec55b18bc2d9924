"""Effective numbers of draws and R-hat against chains whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from starloom.inference.chains import effective_sample_size, split_r_hat


def test_chains_that_mix_and_chains_that_do_not():
    rng = np.random.default_rng(1)
    good = rng.normal(size=(4, 500))
    assert split_r_hat(good) < 1.02
    assert 1200 < effective_sample_size(good) < 2600
    slow = np.cumsum(good, axis=1)
    assert split_r_hat(slow) > 1.2
    assert effective_sample_size(slow) < 60
    walk = np.empty((4, 4000))
    walk[:, 0] = 0.0
    noise = rng.normal(size=walk.shape)
    for k in range(1, walk.shape[1]):
        walk[:, k] = 0.9 * walk[:, k - 1] + noise[:, k]
    assert effective_sample_size(walk) == pytest.approx(16_000 * 0.1 / 1.9, rel=0.3)
