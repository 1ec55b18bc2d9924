"""Where a stream without a guide begins its fit: on the path of its stars, also beyond a gap; never on a clump."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from starloom.errors import ConfigError
from starloom.neural.curves import Curve, Curves, read_off
from starloom.streams import track_search
from starloom.streams.background import Background
from starloom.streams.configuration import Coordinate, Distance, Training
from starloom.streams.membership import StreamModel
from starloom.streams.mixture import Mixture, PreparedStars
from starloom.streams.stars import prepare

MODEL = StreamModel(
    frame=None,
    phi1=(-45.0, 50.0),
    phi2=Coordinate((-2.0, 10.0), (0.09, 2.0), scale=4.0),
    distance=Distance((13.8, 16.2), (0.01, 0.8), scale=1.0),
    parallax=(0.05, 0.21),
    training=Training(members=2, steps=10, hidden=16, layers=2),
)


def begun(phi1, phi2, distance):
    """A mixture before training, started on the excess; how many bins it was sure of."""
    from astropy import units as u
    from astropy.table import QTable

    table = QTable({"phi1": phi1 * u.deg, "phi2": phi2 * u.deg, "parallax": 1.0 / distance * u.mas})
    stars = prepare(MODEL, table)
    mixture = Mixture(MODEL, torch.Generator().manual_seed(1))
    background = Background(MODEL, torch.Generator().manual_seed(2))
    prepared = PreparedStars(MODEL, stars, mixture, background.log_prob(stars))
    return mixture, track_search.start_on_excess(mixture, prepared)


def track(mixture, phi1):
    curves = mixture.tracks["stream"]
    with torch.no_grad():
        return read_off(curves(), curves.places(torch.as_tensor(phi1, dtype=torch.float64)))[..., 0].numpy()


def field(rng, rows=6000):
    return rng.uniform(-45, 50, rows), rng.uniform(-2, 10, rows), rng.uniform(5, 17, rows)


def test_the_fit_begins_on_the_stream_on_both_sides_of_a_gap():
    rng = np.random.default_rng(1)
    along = rng.uniform(-20, 30, 1000)
    along = along[(along < 17.0) | (along > 25.0)]
    phi1, phi2, distance = field(rng)
    mixture, sure = begun(
        np.append(phi1, along),
        np.append(phi2, along**2 / 130 + rng.normal(0, 0.15, len(along))),
        np.append(distance, 10.2 + 0.16 * along + rng.normal(0, 0.25, len(along))),
    )
    assert 12 <= sure <= 24  # of some 21 bins
    for places in (np.linspace(-18, 15, 12), np.linspace(26, 29, 4)):
        np.testing.assert_allclose(track(mixture, places), np.tile(places**2 / 130, (2, 1)), atol=0.5)


def test_without_a_stream_and_beside_a_clump_nothing_moves():
    rng = np.random.default_rng(2)
    phi1, phi2, distance = field(rng)
    clump = rng.normal(0, 0.1, (2, 200)) + np.array([[11.0], [4.0]])
    before = Mixture(MODEL, torch.Generator().manual_seed(1))
    mixture, sure = begun(np.append(phi1, clump[0]), np.append(phi2, clump[1]), np.append(distance, np.full(200, 9.0)))
    assert sure == 0
    places = np.linspace(-40, 45, 10)
    np.testing.assert_array_equal(track(mixture, places), track(before, places))


def test_the_best_path_is_the_best_of_all(monkeypatch):
    monkeypatch.setattr(track_search, "FARTHEST", 2)
    gain = np.random.default_rng(3).exponential(2.0, (5, 4))

    def worth(path):
        steps = np.diff(path)
        if np.abs(steps).max() > 2:
            return -np.inf
        return gain[np.arange(5), path].sum() - 0.5 * ((steps / track_search.STEEP) ** 2).sum()

    best = max(product(range(4), repeat=5), key=lambda path: worth(np.array(path)))
    assert tuple(track_search.best_path(gain)) == best


def test_a_curve_begins_where_it_is_told():
    curves = Curves([Curve("a", -2.0, 10.0), Curve("b", 0.0, 1.0)], (0.0, 10.0), 3, torch.Generator().manual_seed(1))
    b = curves()[..., 1].clone()
    curves.start_at("a", [1.0, 5.0, 9.0], [0.0, 6.0, 40.0])
    with torch.no_grad():
        values = read_off(curves(), curves.places(torch.tensor([1.0, 5.0, 9.0], dtype=torch.float64)))[..., 0]
    assert torch.equal(curves()[..., 1], b)
    np.testing.assert_allclose(values[:, 0], 0.0, atol=0.4)
    np.testing.assert_allclose(values[:, 1], 6.0, atol=0.4)
    assert (values[:, 2] > 8.5).all()  # as far as the range lets it
    assert (values < 10.0).all()
    with pytest.raises(ConfigError, match="no curve 'c'; there are a, b"):
        curves.start_at("c", [1.0], [1.0])
