from __future__ import annotations

import h5py
import numpy as np
import pytest

from starloom.dynamics.frames import Observed
from starloom.errors import CatalogError, ConfigError
from starloom.galactic_center.photometry import Magnitudes
from starloom.galactic_center.selection_maps import CountMap

COLORS, MAGNITUDES = np.array([-1.0, 1.0, 3.0]), np.array([5.0, 12.0, 15.0])


def counts():
    n, k = np.full((2, 2, 12), 98.0), np.full((2, 2, 12), 48.0)
    k[:, 1] = 0.0
    k[1, 0] = 98.0
    k[0, 0, 4] = 0.0
    return n, k


def stars(count, g, color):
    sky = np.full(count, 45.0)
    one = np.ones(count)
    g = np.broadcast_to(g, count).astype(float)
    return Observed(sky, np.full(count, 41.8), one, one, one, one), Magnitudes(g, g, g - color, g, 0 * g)


def test_shares_from_counts():
    made = CountMap(*counts(), COLORS, MAGNITUDES)
    seen, magnitudes = stars(5, np.array([10.0, 10.0, 13.0, 16.0, np.nan]), np.array([0.5, 2.0, 0.5, 0.5, 0.5]))
    np.testing.assert_allclose(made(seen, magnitudes), [0.49, 0.99, 0.0, 0.0, 0.0])


def test_pixels_are_told_apart():
    made = CountMap(*counts(), COLORS, MAGNITUDES)
    seen, magnitudes = stars(2, 10.0, 0.5)
    seen = seen._replace(ra=np.array([45.0, 0.0]), dec=np.array([41.8, 0.0]))
    found = made(seen, magnitudes)
    assert found[0] == pytest.approx(0.49)
    assert found[1] == 0.0  # nested pixel 4 lies at ra 0 on the equator
    lost = made(seen._replace(ra=np.array([np.nan, 0.0])), magnitudes)
    assert lost[0] == 0.0


def test_a_file(tmp_path):
    path = tmp_path / "map.h5"
    with h5py.File(path, "w") as file:
        file["n"], file["k"] = counts()
    made = CountMap.open(path, COLORS, MAGNITUDES)
    assert made(*stars(1, 10.0, 0.5))[0] == pytest.approx(0.49)
    with pytest.raises(CatalogError):
        CountMap.open(tmp_path / "none.h5", COLORS, MAGNITUDES)
    with h5py.File(path, "w") as file:
        file["n"] = counts()[0]
    with pytest.raises(CatalogError):
        CountMap.open(path, COLORS, MAGNITUDES)


def test_bad_maps_are_refused():
    n, k = counts()
    for bad in (
        (n[:, :, :11], k[:, :, :11], COLORS, MAGNITUDES), (n, k[:1], COLORS, MAGNITUDES),
        (n, n + 1, COLORS, MAGNITUDES),
        (n, k, COLORS[::-1], MAGNITUDES), (n, np.full_like(k, np.nan), COLORS, MAGNITUDES),
        (n, k, COLORS[:2], MAGNITUDES),
    ):  # fmt: skip
        with pytest.raises(ConfigError):
            CountMap(*bad)
