"""What a user may say of a stream, and what is told when it makes no sense."""

from __future__ import annotations

import math

import pytest

from starloom.dynamics.stream_frames import StreamFrame
from starloom.errors import ConfigError
from starloom.streams.configuration import (
    Component,
    Coordinate,
    Distance,
    Guide,
    Photometry,
    ProperMotion,
    Training,
)
from starloom.streams.membership import model_from_settings

WIDE = Coordinate((-10.0, 10.0), (0.1, 1.0))
ISOCHRONE = ((9.0, 7.5), (5.0, 4.5), (3.0, 2.6))


@pytest.mark.parametrize("window", [(1.0, 1.0), (2.0, 1.0), (math.nan, 1.0), (0.0, math.inf), (0.0, 1.0, 2.0)])
def test_a_window_needs_two_ends_in_order(window):
    with pytest.raises(ConfigError, match="low < high"):
        Coordinate(window, (0.1, 1.0))
    with pytest.raises(ConfigError, match="low < high"):
        Component("stream", window)
    with pytest.raises(ConfigError, match="low < high"):
        Photometry(("g", "i"), ISOCHRONE, window, ((0.0, 1.0),))


@pytest.mark.parametrize("width", [(0.0, 1.0), (-1.0, 1.0), (0.5, 0.1)])
def test_a_width_is_positive(width):
    with pytest.raises(ConfigError, match="width"):
        Coordinate((0.0, 1.0), width)


@pytest.mark.parametrize("share", [0.0, 0.9, 1.0, -0.1, math.nan])
def test_a_component_starts_with_some_of_the_stars(share):
    with pytest.raises(ConfigError, match="start_fraction of 'stream'"):
        Component("stream", start_fraction=share)


def test_one_half_width_serves_all_points_of_a_guide():
    assert Guide("phi2", (1.0, 2.0), (0.0, 0.0), (0.5,)).half_width == (0.5, 0.5)


@pytest.mark.parametrize(
    ("guide", "words"),
    [
        (((1.0, 2.0), (0.0,), (0.5,)), "differ in length"),
        (((1.0,), (0.0,), (0.5, 0.5)), "differ in length"),
        (((), (), ()), "empty"),
        (((), (), (0.5,)), "empty"),
        (((1.0,), (math.nan,), (0.5,)), "finite"),
        (((1.0,), (0.0,), (-0.5,)), "non-negative"),
    ],
)
def test_a_guide_that_leads_nowhere(guide, words):
    with pytest.raises(ConfigError, match=words):
        Guide("phi2", *guide)


@pytest.mark.parametrize("distance", [0.0, -8.0, math.nan])
def test_the_reflex_needs_a_distance(distance):
    with pytest.raises(ConfigError, match="reflex_distance must be positive"):
        ProperMotion(WIDE, WIDE, reflex_distance=distance)


def test_a_window_in_icrs_needs_its_polygon():
    with pytest.raises(ConfigError, match="polygon"):
        ProperMotion(WIDE, WIDE, system="icrs")


def test_without_a_polygon_the_rectangle_is_the_window():
    box = ProperMotion(Coordinate((0.0, 1.0), (0.1, 1.0)), Coordinate((2.0, 4.0), (0.1, 1.0)))
    assert set(box.vertices) == {(0.0, 2.0), (1.0, 2.0), (1.0, 4.0), (0.0, 4.0)}


@pytest.mark.parametrize("settings", [((15.0, 14.0),), ((14.0, 15.0), (0.0, 0.1)), ((14.0, 15.0), (0.2, 0.1))])
def test_a_distance_that_is_none(settings):
    with pytest.raises(ConfigError):
        Distance(*settings)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bands": ("g",), "isochrone": ((1.0,), (2.0,), (3.0,))}, "at least two bands"),
        ({"colors": ()}, "one color range"),
        ({"colors": ((1.0, 0.0),)}, "low < high"),
        ({"isochrone": ISOCHRONE[:2]}, "n >= 3"),
        ({"isochrone": ((1.0, 2.0, 3.0),) * 4}, "n >= 3"),
        ({"isochrone": (*ISOCHRONE, (math.nan, 1.0))}, "finite"),
        ({"weights": (1.0, 1.0, 1.0)}, "weights needs 2"),
    ],
)
def test_photometry_that_does_not_fit_together(changes, words):
    settings = {"bands": ("g", "i"), "isochrone": ISOCHRONE, "magnitude": (12.0, 22.0), "colors": ((0.0, 2.0),)}
    with pytest.raises(ConfigError, match=words):
        Photometry(**{**settings, **changes})


@pytest.mark.parametrize("changes", [{"weights": (-1.0, 2.0)}, {"weights": (0.0, 0.0)}, {"bins": 0}, {"scatter": -0.1}])
def test_numbers_of_the_photometry_that_make_no_density(changes):
    settings = {"bands": ("g", "i"), "isochrone": ISOCHRONE, "magnitude": (12.0, 22.0), "colors": ((0.0, 2.0),)}
    with pytest.raises(ConfigError):
        Photometry(**{**settings, **changes})


@pytest.mark.parametrize("changes", [{"members": 1}, {"steps": 0}, {"background_epochs": 0}, {"hidden": 0}])
def test_training_needs_something_to_do(changes):
    with pytest.raises(ConfigError, match="members"):
        Training(**changes)


# ----------------------------------------------------------------------------------------------------- StreamModel


def test_an_unknown_frame_is_told_at_once(make_model):
    with pytest.raises(ConfigError, match=r"no stream frame 'GD2'; gala has .*GD1Koposov10"):
        make_model(frame="GD2")


def test_any_frame_will_do(make_model):
    frame = StreamFrame.from_ends("own", (150.0, 30.0), (200.0, 50.0))
    assert make_model(frame=frame).stream_frame is frame


@pytest.mark.parametrize("name", ["background", "weights", "slope"])
def test_names_that_are_taken(make_model, parts, name):
    with pytest.raises(ConfigError, match="distinct names"):
        make_model(components=(parts.stream(), Component(name)))


def test_components_need_names_of_their_own(make_model, parts):
    with pytest.raises(ConfigError, match="distinct names"):
        make_model(components=(parts.stream(), parts.stream()))
    with pytest.raises(ConfigError, match="distinct names"):
        make_model(components=())


@pytest.mark.parametrize("coordinate", ["nonsense", "parallax", "radial_velocity", "ln_width_phi2"])
def test_a_guide_on_what_the_model_has_not(make_model, parts, coordinate):
    guide = Guide(coordinate, (-40.0,), (0.0,), (1.0,))
    with pytest.raises(ConfigError, match=f"guide on '{coordinate}' of 'stream': it can be on phi2"):
        make_model(components=(parts.stream(guides=(guide,)),))


def test_a_guide_on_the_distance(make_model, parts):
    guide = Guide("distance_modulus", (-40.0,), (14.5,), (0.3,))
    assert make_model(components=(parts.stream(guides=(guide,)),)).components[0].guides == (guide,)


def test_a_guide_on_the_distance_of_a_companion_which_has_none_of_its_own(make_model, parts, field):
    guide = Guide("distance_modulus", (-40.0,), (14.5,), (0.3,))
    with pytest.raises(ConfigError, match="distance_modulus"):
        make_model(components=(parts.stream(), parts.spur(guides=(guide,))), training=parts.TINY).fit(field, seed=1)


@pytest.mark.parametrize(("name", "value"), [("phi1", (-20.0, -70.0)), ("phi1", (math.nan, 1.0)), ("parallax", (1, 0))])
def test_windows_the_wrong_way_round(make_model, name, value):
    with pytest.raises(ConfigError, match=name):
        make_model(**{name: value})


def test_photometry_needs_a_distance(make_model):
    with pytest.raises(ConfigError, match="distance=Distance"):
        make_model(distance=None)


def test_a_polygon_that_is_none(make_model, parts):
    flat = parts.proper_motion(polygon=((0.0, 0.0), (1.0, 1.0), (2.0, 2.0)))
    with pytest.raises(ConfigError, match="polygon window needs"):
        make_model(proper_motion=flat)


@pytest.mark.parametrize("changes", [{"start": {"phi2": 9.0}}, {"start": {"pm_phi2": 80.0}}, {"start": {"phi3": 0.0}}])
def test_a_start_outside_its_window_is_told_at_once(make_model, parts, changes):
    with pytest.raises(ConfigError, match="start"):
        make_model(components=(parts.stream(**changes),))


def test_a_share_too_small_to_start_from_is_told_at_once(make_model, parts):
    with pytest.raises(ConfigError, match="start_fraction"):
        make_model(components=(parts.stream(start_fraction=1e-6),))


# ---------------------------------------------------------------------------------------------------- from settings


def test_a_model_from_plain_settings():
    settings = {
        "frame": "GD1Koposov10",
        "phi1": [-70, -20],
        "phi2": {"window": [-5, 5], "width": [0.05, 1]},
        "components": [{"name": "stream", "guides": []}],
        "proper_motion": {
            "phi1": {"window": [-10, -4], "width": [0.1, 1]},
            "phi2": {"window": [-6, 3], "width": [0.1, 1]},
        },
    }
    model = model_from_settings(settings)
    assert model.phi1 == (-70, -20)
    assert model.proper_motion.phi2.window == (-6, 3)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"phi1": "wide"}, "phi1"),
        ({"phi1": [5, 1]}, "phi1"),
        ({"frame": "GD2"}, "no stream frame 'GD2'"),
        ({"training": {"members": 1}}, "members"),
        ({"colour": 3}, "colour"),
        ({"training": {"stepps": 300}}, "stepps"),
    ],
)
def test_settings_that_make_no_model_are_named(changes, words):
    settings = {"frame": "GD1Koposov10", "phi1": [-70, -20], "phi2": {"window": [-5, 5], "width": [0.05, 1]}}
    with pytest.raises(ConfigError, match=words):
        model_from_settings({**settings, **changes})
