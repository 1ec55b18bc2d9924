from __future__ import annotations

import numpy as np
import pytest

from starloom.errors import ConfigError
from starloom.inference.calibration import coverage, normal_pit, sample_pit, uniform_distance


def test_coverage_leaves_out_what_is_not_known():
    assert coverage([0.5, np.nan, 3.0, 1.0], [0.0, 0.0, 0.0, np.nan], [1.0, 1.0, 1.0, 2.0]) == 0.5
    assert np.isnan(coverage([np.nan], [0.0], [1.0]))


def test_pit_of_true_predictions_is_uniform_and_of_narrow_ones_is_not():
    rng = np.random.default_rng(3)
    mean, sigma = rng.normal(size=4000), rng.uniform(0.5, 2.0, 4000)
    truth = rng.normal(mean, sigma)
    assert uniform_distance(normal_pit(truth, mean, sigma))[1] > 1e-3  # false alarm 1 in 1000
    assert uniform_distance(normal_pit(truth, mean, sigma / 2))[1] < 1e-9
    drawn = rng.normal(mean[:, None], sigma[:, None], (4000, 200))
    assert uniform_distance(sample_pit(truth, drawn))[1] > 1e-3


def test_samples_of_another_shape_are_refused():
    with pytest.raises(ConfigError, match="shape"):
        sample_pit([1.0, 2.0], [[1.0, 2.0]])
