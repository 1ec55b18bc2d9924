from __future__ import annotations

import numpy as np
import pytest

from starloom.errors import ConfigError
from starloom.galactic_center.binary import FITS, G_PC, LIGHT, MYR, BlackHoleBinary
from starloom.galactic_center.scenario import Scenario
from starloom.studies.sgra_companion_checks import REFERENCE


@pytest.mark.parametrize(("mass", "a_h", "merger", "left", "ejected"), REFERENCE)
def test_reference_binaries(mass, a_h, merger, left, ejected):
    binary = BlackHoleBinary(mass, ratio_mode="nearest")
    assert 1e3 * binary.hardening_radius == pytest.approx(a_h, rel=1e-3)
    assert binary.clock.merger == pytest.approx(merger, rel=0.005)
    assert binary.clock.merger - binary.time_at(1e-3) == pytest.approx(left, rel=0.005)
    assert binary.clock.ejected[-1] == pytest.approx(ejected, rel=0.005)
    between = BlackHoleBinary(mass)
    assert between.clock.merger == pytest.approx(merger, rel=0.02)
    assert between.clock.ejected[-1] == pytest.approx(ejected, rel=0.02)


def test_gravitational_waves_alone_follow_peters():
    binary = BlackHoleBinary(3000.0, density=0.0, start=1e-3)
    total = binary.mass + 3000.0
    peters = 5.0 / 256.0 * LIGHT**5 * 1e-3**4 / (G_PC**3 * binary.mass * 3000.0 * total) * MYR
    assert binary.clock.merger == pytest.approx(peters, rel=1e-4)
    assert binary.clock.ejected[-1] == 0.0
    half = binary.separation_at(0.5 * binary.clock.merger)
    assert half == pytest.approx(1e-3 * 0.5**0.25, rel=1e-3)


def test_stars_alone_with_constant_hardening():
    """1/a - 1/a0 = G rho H t / sigma where H is constant: by quadrature over a stretch on which it is frozen."""
    binary = BlackHoleBinary(1000.0)

    class Frozen(BlackHoleBinary):
        def hardening(self, separation):
            return np.full_like(np.asarray(separation, dtype=float), 16.0)

        def wave_rate(self, separation):
            return np.zeros_like(np.asarray(separation, dtype=float))

    frozen = Frozen(1000.0)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    log_a = np.log(1e-3) + 0.5 * np.log(2.0) * (nodes + 1.0)
    a = np.exp(log_a)
    time = np.sum(weights * 0.5 * np.log(2.0) * a / frozen.stellar_rate(a))
    law = (1.0 / 1e-3 - 1.0 / 2e-3) * binary.dispersion / (G_PC * binary.density * 16.0) * MYR
    assert time == pytest.approx(law, rel=1e-6)


def test_steps_do_not_matter():
    binary = BlackHoleBinary(1000.0)
    coarse, fine = binary.clock_of(750), binary.clock_of(3000)
    assert coarse.ejected[-1] == pytest.approx(fine.ejected[-1], rel=1e-6)
    assert coarse.merger == pytest.approx(fine.merger, rel=1e-6)


def test_rates_at_a_fitted_ratio_are_the_same_in_both_modes():
    for q in FITS[:, 0]:
        mass = 4e6 * q
        a = np.geomspace(1e-6, 0.02, 7)
        near, between = (BlackHoleBinary(mass, ratio_mode=mode) for mode in ("nearest", "interpolated"))
        np.testing.assert_allclose(near.hardening(a), between.hardening(a), rtol=1e-10)
        np.testing.assert_allclose(near.ejection(a), between.ejection(a), rtol=1e-10)


def test_clock_and_its_inverse_agree():
    binary = BlackHoleBinary(2000.0)
    a = np.geomspace(1e-5, 0.02, 50)
    np.testing.assert_allclose(binary.separation_at(binary.time_at(a)), a, rtol=2e-3)
    assert np.isnan(binary.separation_at([-1.0, binary.clock.merger + 1.0])).all()
    assert np.isnan(binary.time_at([0.03, 0.0, -1.0])).all()


def test_balance_of_rates():
    binary = BlackHoleBinary(1000.0, ratio_mode="nearest")
    assert 1e3 * binary.balance == pytest.approx(0.178, rel=0.01)
    assert binary.stellar_rate(binary.balance) == pytest.approx(float(binary.wave_rate(binary.balance)), rel=1e-6)
    assert np.isnan(BlackHoleBinary(1000.0, density=0.0).balance)


@pytest.mark.parametrize(
    "settings",
    [
        {"companion_mass": 0.0},
        {"companion_mass": -5.0},
        {"companion_mass": np.nan},
        {"companion_mass": 5e6},
        {"companion_mass": 1e3, "density": -1.0},
        {"companion_mass": 1e3, "dispersion": 0.0},
        {"companion_mass": 1e3, "start": np.inf},
        {"companion_mass": 1e3, "start": 1e-7},
        {"companion_mass": 1e3, "ratio_mode": "cubic"},
    ],
)
def test_impossible_binaries_are_refused(settings):
    with pytest.raises(ConfigError):
        BlackHoleBinary(**settings)


def test_ratios_outside_the_table_are_remarked():
    assert "below the scattering experiments" in BlackHoleBinary(1000.0).remarks[0]
    assert BlackHoleBinary(2000.0).remarks == ()


@pytest.mark.parametrize(
    "state",
    [{}, {"separation": 1.0, "since_merger": 5.0}, {"separation": 0.0}, {"separation": 21.0}, {"separation": np.nan},
     {"since_merger": -1.0}, {"since_merger": np.nan}],
)  # fmt: skip
def test_over_determined_and_impossible_states_are_refused(state):
    with pytest.raises(ConfigError):
        Scenario(BlackHoleBinary(1000.0), **state)


def test_mass_rates_add_up():
    for state in ({"separation": 1.0}, {"since_merger": 7.0}):
        scenario = Scenario(BlackHoleBinary(2000.0), **state)
        lookback = np.linspace(0.0, 60.0, 200_001)
        rate = scenario.mass_rate(lookback)
        assert np.trapezoid(rate, lookback) == pytest.approx(scenario.ejected(60.0), rel=2e-3)
    assert scenario.mass_rate(3.0) == 0.0


def test_times_are_drawn_from_the_rate():
    scenario = Scenario(BlackHoleBinary(2000.0), separation=1.0)
    share = np.array([0.1, 0.5, 0.9])
    time = scenario.lookback_of_share(share, 50.0)
    assert (np.diff(time) < 0).all()
    for s, t in zip(share, time, strict=True):
        assert 1.0 - scenario.ejected(t) / scenario.ejected(50.0) == pytest.approx(s, abs=1e-6)


def test_a_clock_that_starts_late_is_remarked():
    scenario = Scenario(BlackHoleBinary(4000.0), separation=1.0)
    assert scenario.age == pytest.approx(41.7, abs=0.1)
    assert "starts 41.7 Myr ago" in scenario.remarks(50.0)[0]
    assert scenario.remarks(30.0) == ()
