"""A made survey of a few lines of sight, with stars of a known density: shared by the tests of the halo."""

from __future__ import annotations

import numpy as np
import pytest

from starloom.halo.density import DensityModel
from starloom.halo.likelihood import HaloLikelihood, Volume
from starloom.halo.mock import BROKEN
from starloom.halo.survey import FRAME

SUN = FRAME.sun.x


def lines(count=150, moduli=41, seed=1):
    """Cells along random lines of sight, with weights that fade with distance."""
    rng = np.random.default_rng(seed)
    u = rng.normal(size=(count, 3))
    u /= np.linalg.norm(u, axis=1)[:, None]
    distance = 10.0 ** (np.linspace(8.0, 18.5, moduli) / 5.0 - 2.0)
    x = (u[:, None, :] * distance[:, None] + SUN).reshape(-1, 3)
    return Volume(x, np.tile(distance**3 / (1.0 + (distance / 12.0) ** 4), count), SUN)


def drawn(model, truth, volume, stars, seed):
    """Stars drawn from a density in the cells of a volume."""
    point = np.array([truth[name] for name in model.names])
    rate = model.density(point, volume.x, volume.sun) * volume.weight
    rng = np.random.default_rng(seed)
    return volume.x[rng.choice(len(rate), stars, p=rate / rate.sum())]


@pytest.fixture(scope="session")
def made():
    """(volume, model, likelihood of 300 stars of the broken truth)."""
    volume, model = lines(), DensityModel("broken")
    stars = drawn(model, BROKEN, volume, 300, 2)
    return volume, model, HaloLikelihood(model, stars, volume)
