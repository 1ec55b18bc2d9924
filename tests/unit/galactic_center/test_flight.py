from __future__ import annotations

import numpy as np
import pytest

from starloom.dynamics.components import MassComponent
from starloom.dynamics.frames import GalacticFrame
from starloom.dynamics.orbits import integrate
from starloom.dynamics.potentials import Potential
from starloom.errors import ConfigError
from starloom.galactic_center.ejection import isotropic
from starloom.galactic_center.flight import LAUNCH_RADIUS, fly, frame_for, galaxy

MODEL = galaxy("Marchetti2017")
FRAME = frame_for(MODEL)


def launch(count, low, high, seed=1):
    rng = np.random.default_rng(seed)
    return rng.uniform(low, high, count), isotropic(count, rng)


def test_fast_launches_keep_their_energy():
    speed, direction = launch(400, 550.0, 2000.0)
    flown = fly(MODEL, FRAME, speed, direction, np.full(400, 100.0))
    assert flown.energy_error.max() < 1e-8
    assert (flown.reason == "").all()


def test_stars_that_fall_back_are_exact_or_flagged():
    speed, direction = launch(60, 450.0, 600.0)
    flown = fly(MODEL, FRAME, speed, direction, np.full(60, 100.0))
    assert (flown.returns > 0).all()
    assert ((flown.energy_error < 1e-6) | (flown.reason != "")).all()
    strict = fly(MODEL, FRAME, speed, direction, np.full(60, 100.0), worst_energy=1e-13)
    assert (strict.reason == "energy error above 1e-13").sum() > 30


def test_time_reversal():
    speed, direction = launch(40, 550.0, 2000.0, 2)
    flown = fly(MODEL, FRAME, speed, direction, np.full(40, 50.0))
    never_back = flown.returns == 0  # a passage through the center amplifies any rounding
    back = integrate(MODEL, flown.x, flown.v, [-0.05], tolerance=1e-12)
    far = np.linalg.norm(back.positions[:, 0] - LAUNCH_RADIUS * direction, axis=1)
    path = np.linalg.norm(flown.x, axis=1)
    assert (far / path)[never_back].max() < 1e-6


def test_angular_momentum():
    speed, direction = launch(50, 600.0, 1500.0, 3)
    flown = fly(MODEL, FRAME, speed, direction, np.full(50, 30.0))
    l_z = flown.x[:, 0] * flown.v[:, 1] - flown.x[:, 1] * flown.v[:, 0]
    scale = np.linalg.norm(flown.x, axis=1) * flown.speed
    assert (np.abs(l_z) / scale).max() < 1e-10
    ball = Potential("ball", (MassComponent("halo", "hernquist", (1e12, 10.0)),))
    round_ = fly(ball, FRAME, speed, direction, np.full(50, 30.0))
    whole = np.linalg.norm(np.cross(round_.x, round_.v), axis=1)
    assert (whole / (np.linalg.norm(round_.x, axis=1) * round_.speed)).max() < 1e-8


def test_speeds_at_the_sun():
    """What launch speeds of 700, 800, 900 and 1000 km/s become at 8 kpc in the plane, quoted to 1 km/s."""
    launch_speed = np.array([700.0, 800.0, 900.0, 1000.0])
    times = np.linspace(1.0, 60.0, 1200)
    for v0, expected in zip(launch_speed, (126.0, 407.0, 580.0, 725.0), strict=True):
        orbit = integrate(MODEL, [[LAUNCH_RADIUS, 0.0, 0.0]], [[v0, 0.0, 0.0]], times * 1e-3)
        r = np.linalg.norm(orbit.positions[0], axis=1)
        first = int(np.argmax(r > 8.0))
        assert r[first] > 8.0
        assert np.interp(8.0, r[: first + 1], np.linalg.norm(orbit.velocities[0, : first + 1], axis=1)) == (
            pytest.approx(expected, abs=3.0)
        )
    for v0 in (550.0, 600.0):
        orbit = integrate(MODEL, [[LAUNCH_RADIUS, 0.0, 0.0]], [[v0, 0.0, 0.0]], times * 1e-3)
        assert np.linalg.norm(orbit.positions[0], axis=1).max() < 8.0


def test_the_same_for_any_number_of_workers():
    speed, direction = launch(600, 550.0, 1500.0, 4)
    one, two = (fly(MODEL, FRAME, speed, direction, np.full(600, 10.0), workers=w) for w in (1, 2))
    np.testing.assert_array_equal(one.x, two.x)
    np.testing.assert_array_equal(one.energy_error, two.energy_error)


def test_a_black_hole_is_added_once():
    assert galaxy("Marchetti2017") is galaxy("Marchetti2017")
    added = galaxy("MWPotential2014")
    assert added.name.endswith("and Sgr A*")
    assert galaxy(added) is added
    assert galaxy("MWPotential2014", black_hole=0).name == "MWPotential2014"
    assert float(MODEL.escape_velocity([LAUNCH_RADIUS, 0.0, 0.0])) == pytest.approx(904.6, abs=0.2)


def test_the_sun_moves_with_the_circular_speed():
    frame = frame_for(MODEL, 8.0)
    assert frame.v_sun[1] == pytest.approx(232.4 + 12.24, abs=0.1)
    assert isinstance(frame, GalacticFrame)


@pytest.mark.parametrize(
    ("speed", "direction", "time", "message"),
    [
        ([np.nan], [[1.0, 0, 0]], [1.0], "row 0: the speed"),
        ([600.0], [[1.0, 0, 0]], [-1.0], "row 0: the flight time"),
        ([600.0], [[2.0, 0, 0]], [1.0], "unit vectors"),
        ([600.0, 700.0], [[1.0, 0, 0]], [1.0], "do not fit"),
    ],
)
def test_bad_launches_are_refused(speed, direction, time, message):
    with pytest.raises(ConfigError, match=message):
        fly(MODEL, FRAME, speed, direction, time)
