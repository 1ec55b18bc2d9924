"""Dust in three dimensions: the analytic disk against quadrature, and maps of other packages behind one door."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad

from starloom.errors import ConfigError
from starloom.stellar.extinction import (
    CallableDust,
    ExponentialDust,
    NoDust,
    extinction,
    extinction_coefficient,
    from_dustmaps,
    from_mwdust,
)


def by_quadrature(dust, l, b, distance):
    lon, lat = np.radians([l, b])

    def density(s):
        flat = s * np.cos(lat)
        radius = np.sqrt(max(dust.r0**2 + flat**2 - 2 * dust.r0 * flat * np.cos(lon), 0))
        return np.exp(-(radius - dust.r0) / dust.scale_length - abs(dust.z_sun + s * np.sin(lat)) / dust.scale_height)

    special = [dust.r0 * np.cos(lon) * np.cos(lat), -dust.z_sun / np.sin(lat) if b else -1.0]
    edges = np.unique([0.0, distance, *(s for s in special if 0 < s < distance), *np.geomspace(1e-3, distance, 30)])
    parts = pairwise(edges)
    return dust.local_rate * sum(quad(density, low, high, epsabs=0, epsrel=1e-11)[0] for low, high in parts)


@pytest.mark.parametrize(
    ("l", "b", "distance"),
    [
        (0.0, 0.1, 20.0), (-0.8, -0.18, 18.0), (350.9, -0.001, 8.75), (359.6, 0.68, 23.8), (120.0, -3.0, 60.0),
        (200.0, 45.0, 0.3), (30.0, -89.0, 5.0), (180.0, 0.0, 10.0), (77.0, -0.5, 2.0),
    ],
)  # fmt: skip
def test_the_disk_against_quadrature(l, b, distance):
    dust = ExponentialDust()
    assert float(dust.ebv(l, b, distance)) == pytest.approx(by_quadrature(dust, l, b, distance), rel=1e-6)


def test_to_the_pole_in_closed_form():
    dust = ExponentialDust(local_rate=0.3, scale_height=0.1, z_sun=0.0)
    found = dust.ebv(0.0, 90.0, np.array([0.0, 0.05, 0.3, 100.0]))
    assert np.allclose(found, 0.3 * 0.1 * (1 - np.exp(-np.array([0.0, 0.5, 3.0, 1000.0]))), rtol=1e-7)


def test_to_the_anticenter_in_closed_form():
    dust = ExponentialDust(z_sun=0.0)
    assert float(dust.ebv(180.0, 0.0, 5.0)) == pytest.approx(0.25 * 4.2 * (1 - np.exp(-5 / 4.2)), rel=1e-7)


def test_lines_of_sight_gone_on_with_are_the_same_as_new_ones():
    dust = ExponentialDust()
    distance = np.geomspace(0.1, 60, 200)
    line = dust.ebv(33.0, -2.0, distance)
    alone = np.array([float(dust.ebv(33.0, -2.0, d)) for d in distance])
    assert np.allclose(line, alone, rtol=1e-9)
    turned = dust.ebv(33.0, -2.0, distance[::-1])
    assert np.allclose(turned[::-1], alone, rtol=1e-12)
    assert (np.diff(line) >= 0).all()


def test_shapes_broadcast():
    assert ExponentialDust().ebv(np.zeros((3, 1)), np.zeros((3, 1)), np.ones(4)).shape == (3, 4)
    assert NoDust().ebv(np.zeros((3, 1)), 0.0, np.ones(4)).shape == (3, 4)


def test_extinction_of_a_band():
    dust = ExponentialDust()
    found = extinction(dust, "2mass_h", 10.0, 5.0, 3.0)
    assert found == pytest.approx(0.469 * dust.ebv(10.0, 5.0, 3.0))
    with pytest.raises(ConfigError, match="negative reddening"):
        extinction(CallableDust(lambda l, b, d: -np.ones(len(l))), "2mass_h", [1.0], [1.0], [1.0])


def test_a_disk_that_cannot_be():
    with pytest.raises(ConfigError):
        ExponentialDust(scale_height=0.0)
    with pytest.raises(ConfigError, match="negative"):
        ExponentialDust().ebv(0.0, 0.0, -1.0)


def test_maps_of_dustmaps():
    """A stand-in with the call of dustmaps: it takes sky coordinates with distances."""

    def query(coords, mode="best"):
        assert mode == "median"
        return np.where(coords.galactic.b.deg > 0, coords.distance.kpc * 0.1, np.nan)

    dust = from_dustmaps(query, factor=1.5, fill=0.5, mode="median")
    assert np.allclose(dust.ebv([10.0, 10.0], [5.0, -5.0], [2.0, 2.0]), [0.3, 0.5])


def test_maps_of_mwdust():
    """A stand-in with the call of mwdust: one direction and an array of distances in kpc."""
    asked = []

    def combined(l, b, distance):
        asked.append((l, b))
        return 0.2 * distance + l

    dust = from_mwdust(combined, factor=1 / extinction_coefficient("2mass_h"))
    found = extinction(dust, "2mass_h", np.array([[1.0], [2.0]]), np.array([[5.0], [5.0]]), np.array([1.0, 3.0]))
    assert np.allclose(found, [[1.2, 1.6], [2.2, 2.6]])
    assert len(asked) == 2


def test_a_map_that_gives_too_few_numbers():
    with pytest.raises(ConfigError, match="gave the shape"):
        CallableDust(lambda l, b, d: np.zeros(1)).ebv([1.0, 2.0], [1.0, 2.0], [1.0, 2.0])
