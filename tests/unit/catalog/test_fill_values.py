"""Which numbers of a column stand for a missing one."""

from __future__ import annotations

import numpy as np
import pytest

from starloom.catalog.fill_values import fill_values


@pytest.mark.parametrize(
    "fill", [-9999.0, -9999.99, np.float32(-9999.99), 999.0, -99.9, 99.99, 9.999, 1e20, -1e30, -10000.0]
)
def test_numbers_of_nines_far_from_all_others_are_fill_values(fill):
    values = np.array([-0.5, 0.1, 0.3, fill, fill], dtype=np.float64)
    assert fill_values(values) == [float(fill)]


@pytest.mark.parametrize(
    "values",
    [
        [97.0, 98.0, 99.0, 101.0],
        [-9999.0, -9999.0],
        [],
        [np.nan],
        [0.0, 1.0, 5000.0],
        [9.9, 8.0, 1.0],
    ],
)
def test_measurements_are_not(values):
    assert fill_values(np.array(values, dtype=np.float64)) == []


def test_both_ends_and_several_kinds():
    values = np.array([0.0, 1.0, -999.0, -9999.0, 9999.0])
    assert fill_values(values) == [-9999.0, -999.0, 9999.0]
