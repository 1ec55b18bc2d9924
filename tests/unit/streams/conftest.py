"""A small made field around GD-1 and small fits to it, shared by the tests of the room."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from starloom.dynamics.stream_frames import StreamFrame
from starloom.streams.configuration import (
    Component,
    Coordinate,
    Distance,
    Guide,
    Photometry,
    ProperMotion,
    Training,
)
from starloom.streams.membership import StreamModel
from starloom.streams.mock import MockField, isochrone, make

# a polygon in (pmra, pmdec) of the same kind as the GD-1 selection, with fewer corners
POLYGON = ((-4.0, -14.8), (-3.0, -14.4), (-2.3, -13.7), (-3.3, -12.5), (-6.4, -11.1), (-7.3, -12.2), (-6.0, -13.8))
SMALL = Training(members=3, steps=60, background_epochs=8, hidden=16, layers=2)
TINY = replace(SMALL, steps=12, background_epochs=1)
FRAME = StreamFrame.named("GD1Koposov10")


def population() -> Photometry:
    ridge = isochrone()
    g = np.asarray(ridge["mag_g"]) - 5.0 * np.log10(780.0)
    i = g - np.asarray(ridge["color_g_i"])
    chosen = slice(0, 200, 4)
    points = tuple(zip(g[chosen].tolist(), i[chosen].tolist(), strict=True))
    return Photometry(("g_mag", "i_mag"), points, (12.0, 23.0), ((-0.7, 2.8),), scatter=0.08)


def stream(**changes) -> Component:
    guide = Guide("phi2", (-70.0, -45.0, -20.0), (-1.4, 0.2, -0.3), (1.75,))
    settings = {"start": {"pm_phi1_cosphi2": -7.3, "pm_phi2": -0.5}, "guides": (guide,)}
    return Component("stream", **{**settings, **changes})


def spur(**changes) -> Component:
    settings = {"start": {"pm_phi1_cosphi2": -7.3, "pm_phi2": -0.5, "phi2": 1.3}, "start_fraction": 0.05}
    return Component("spur", (-45.0, -15.0), **{**settings, **changes})


def proper_motion(**changes) -> ProperMotion:
    """The polygon fixed in ICRS with wings; ``polygon=None, system="stream"`` gives the rectangle."""
    settings = {"polygon": POLYGON, "system": "icrs", "reflex_distance": 8.0, "wings": True}
    return ProperMotion(
        Coordinate((-10.0, -4.5), (0.05, 1.0), constant_width=True, scale=0.5, length=20.0),
        Coordinate((-6.0, 3.0), (0.05, 1.0), constant_width=True, scale=0.5, length=20.0),
        **{**settings, **changes},
    )


def gd1(**changes) -> StreamModel:
    settings = {
        "frame": "GD1Koposov10",
        "phi1": (-70.0, -20.0),
        "phi2": Coordinate((-5.0, 5.0), (0.05, 1.0)),
        "components": (stream(), spur()),
        "proper_motion": proper_motion(),
        "distance": Distance((13.5, 15.5)),
        "photometry": population(),
        "training": SMALL,
    }
    return StreamModel(**{**settings, **changes})


@pytest.fixture(scope="session")
def field():
    """About 2,000 stars, one in eight of the stream."""
    return make(MockField(POLYGON, stream=420, spur=60, background=9500), 3)


@pytest.fixture(scope="session")
def fitted(field):
    """Stream and spur with everything switched on."""
    return gd1().fit(field, seed=1)


@pytest.fixture(scope="session")
def plain_fitted(field):
    """One component, sky and proper motions alone, in a box fixed in the stream's frame."""
    box = proper_motion(polygon=None, system="stream", wings=False)
    return gd1(components=(stream(),), proper_motion=box, distance=None, photometry=None).fit(field, seed=1)


@pytest.fixture(scope="session")
def make_model():
    """Models like the one of ``fitted``, with changes."""
    return gd1


@pytest.fixture(scope="session")
def parts():
    """What models are put together from: ``parts.stream(**changes)``, ``parts.TINY``, ..."""

    class Parts:
        stream = staticmethod(stream)
        spur = staticmethod(spur)
        population = staticmethod(population)
        proper_motion = staticmethod(proper_motion)
        SMALL, TINY, POLYGON, FRAME = SMALL, TINY, POLYGON, FRAME

    return Parts
