from __future__ import annotations

import numpy as np
import pytest

from starloom.dependence.peaks import find_peaks, watershed
from starloom.errors import ConfigError


def land(*summits, size=61, width=6.0):
    i, j = np.mgrid[:size, :size]
    return sum(height * np.exp(-((i - a) ** 2 + (j - b) ** 2) / (2 * width**2)) for a, b, height in summits)


def test_two_hills_have_two_peaks_and_the_pass_between_them():
    field = land((15, 30, 1.0), (45, 30, 0.8))
    first, second = find_peaks(field)[:2]
    assert first.place == (15, 30)
    assert second.place == (45, 30)
    assert second.pass_place[1] == 30
    between = field[15:46, 30]
    assert second.pass_height == pytest.approx(between.min())
    assert first.pass_height == 0.0


def test_the_watershed_is_halfway_between_equal_hills():
    field = land((15, 30, 1.0), (45, 30, 1.0))
    found = watershed(field, find_peaks(field)[:2])
    labels = set(found[:29, :].ravel().tolist()), set(found[32:, :].ravel().tolist())
    assert [len(label) for label in labels] == [1, 1]
    assert labels[0] != labels[1]


def test_a_small_hill_falls_to_its_neighbor():
    field = land((12, 30, 1.0), (48, 30, 0.9)) + land((20, 38, 0.5), width=2.0)
    peaks = find_peaks(field)
    assert len(peaks) == 3
    found = watershed(field, peaks[:2])
    assert found[20, 38] == found[12, 30]


def test_where_nothing_is_there_is_no_land():
    field = np.zeros((5, 5))
    field[2, 2] = 1.0
    peaks = find_peaks(field)
    assert len(peaks) == 1
    assert (watershed(field, peaks) == -1).sum() == 24
    assert find_peaks(np.zeros((3, 3))) == []
    with pytest.raises(ConfigError, match="finite grid"):
        find_peaks(np.full((3, 3), np.nan))
