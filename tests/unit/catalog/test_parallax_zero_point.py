"""The parallax zero point against the peer's numbers and the formula's own properties."""

from __future__ import annotations

import numpy as np
import pytest

from starloom.catalog.parallax_zero_point import parallax_zero_point
from starloom.errors import CatalogError

# (G, nu_eff, pseudocolor, ecliptic latitude, parameters solved) -> mas, from gaiadr3-zeropoint 0.1.0
PEER = (
    ((10.0, 1.2, np.nan, -45.0, 31), -0.041497),
    ((12.5, 1.6, np.nan, 10.0, 31), -0.030386),
    ((13.05, 1.3, np.nan, 80.0, 31), -0.027937),
    ((15.0, 1.15, np.nan, 0.0, 31), -0.077748),
    ((17.9, 1.8, np.nan, -20.0, 31), -0.003466),
    ((20.5, 1.45, np.nan, 60.0, 31), -0.032367),
    ((11.0, np.nan, 1.3, -45.0, 95), -0.02275),
    ((16.5, np.nan, 1.6, 30.0, 95), -0.019223),
    ((20.7, np.nan, 1.45, -70.0, 95), -0.004033),
)


@pytest.mark.parametrize(("star", "expected"), PEER)
def test_the_peers_numbers(star, expected):
    assert parallax_zero_point(*star)[0] == pytest.approx(expected, abs=6e-7)  # the peer rounds to a nanoarcsecond


def test_all_at_once():
    columns = np.array([star for star, _ in PEER]).T
    np.testing.assert_allclose(parallax_zero_point(*columns), [value for _, value in PEER], atol=6e-7)


@pytest.mark.parametrize(
    "star",
    [
        (5.9, 1.5, 1.5, 0.0, 31),
        (21.1, 1.5, 1.5, 0.0, 31),
        (18.0, 1.95, 1.5, 0.0, 31),
        (18.0, 1.5, 1.8, 0.0, 95),
        (18.0, np.nan, 1.5, 0.0, 31),
        (18.0, 1.5, 1.5, np.nan, 31),
        (18.0, 1.5, 1.5, 0.0, 3),
        (np.nan, 1.5, 1.5, 0.0, 31),
    ],
)
def test_outside_the_calibration_is_nan(star):
    assert np.isnan(parallax_zero_point(*star)[0])


def test_continuous_in_magnitude():
    magnitude = np.linspace(6.0, 21.0, 30_001)
    n = len(magnitude)
    for color, kind in ((1.3, 31), (1.6, 95)):
        value = parallax_zero_point(magnitude, np.full(n, color), np.full(n, color), np.full(n, 20.0), np.full(n, kind))
        assert np.isfinite(value).all()
        assert np.abs(np.diff(value)).max() < 2e-4


def test_lengths_differ():
    with pytest.raises(CatalogError, match="length"):
        parallax_zero_point([18.0, 17.0], [1.5], [1.5], [0.0], [31])
    assert parallax_zero_point([], [], [], [], []).shape == (0,)
