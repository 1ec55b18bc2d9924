from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import kstest

from starloom.errors import ConfigError
from starloom.galactic_center.binary import BlackHoleBinary
from starloom.galactic_center.ejection import CenterStars, VelocityLaw, eject, expected_ejected, isotropic
from starloom.galactic_center.hills import HillsMechanism, ejection_speed
from starloom.galactic_center.proposal import Proposal
from starloom.galactic_center.scenario import Scenario

WIDE = Scenario(BlackHoleBinary(1000.0), separation=1.0)
ALPHA = 3.1


def test_velocity_law_of_a_wide_binary_is_the_closed_form():
    """False alarm 1 %, with a fixed seed."""
    law = VelocityLaw(WIDE.binary.circular_speed(1e-3), WIDE.binary.ratio)
    assert float(law.break_speed) == pytest.approx(111.0, abs=1.0)
    assert float(law.fastest) == pytest.approx(12442.0, abs=5.0)
    speeds = law.ppf(np.random.default_rng(1).random(100_000))
    low, high = 550.0**-ALPHA, float(law.fastest) ** -ALPHA
    assert kstest(speeds, lambda v: (low - v**-ALPHA) / (low - high)).pvalue > 0.01
    assert np.mean(speeds > 1000.0) == pytest.approx(0.157, abs=0.004)
    np.testing.assert_allclose(np.quantile(speeds, [0.16, 0.5, 0.84]), [582, 688, 993], rtol=0.01)


def test_velocity_law_with_its_break_inside():
    binary = BlackHoleBinary(4000.0)
    law = VelocityLaw(binary.circular_speed(1e-4), binary.ratio)
    assert float(law.break_speed) == pytest.approx(704.0, abs=2.0)
    assert float(law.ppf(0.5)) == pytest.approx(733.0, abs=5.0)


@pytest.mark.parametrize(("mass", "a"), [(1000.0, 1e-3), (4000.0, 1e-4), (5e4, 1e-3)])
def test_velocity_density_is_normalized_and_fits_its_integral(mass, a):
    binary = BlackHoleBinary(mass)
    law = VelocityLaw(binary.circular_speed(a), binary.ratio)
    edge = float(np.clip(law.break_speed, 550.0, law.fastest))
    total = quad(law.pdf, 550.0, edge)[0] + quad(law.pdf, edge, float(law.fastest), limit=200)[0]
    assert total == pytest.approx(1.0, abs=1e-6)
    v = float(law.ppf(0.3))
    assert float(law.survival(v)) == pytest.approx(0.7, abs=1e-10)
    assert float(law.pdf(549.0)) == 0.0


def test_a_binary_too_wide_throws_nothing_out(tracks):
    law = VelocityLaw(np.array([100.0]), 1e-3)
    assert np.isnan(law.ppf(np.array([0.5]))).all()
    assert law.pdf(np.array([600.0])) == 0.0


def test_mass_balance(tracks):
    """Mean number times mean mass is the mass thrown out; drawn numbers are Poisson about it (3 sigma)."""
    stars = CenterStars(kept=(0.1, 100.0))
    number = expected_ejected(WIDE, stars, tracks, 50.0)
    assert number * stars.mass_function.mean() == pytest.approx(WIDE.ejected(50.0), rel=1e-6)
    drawn = eject(WIDE, stars, tracks, span=50.0, seed=3)
    assert abs(len(drawn) - number) < 3.0 * np.sqrt(number)
    assert drawn.mass.sum() == pytest.approx(WIDE.ejected(50.0), rel=0.5)


@pytest.mark.parametrize(("slope", "numbers"), [(1.7, (79, 292, 971, 3073)), (2.35, (131, 484, 1611, 5099))])
def test_numbers_of_kept_stars(tracks, slope, numbers):
    for mass, number in zip((500.0, 1000.0, 2000.0, 4000.0), numbers, strict=True):
        scenario = Scenario(BlackHoleBinary(mass, ratio_mode="nearest"), separation=1.0)
        found = expected_ejected(scenario, CenterStars(slope=slope), tracks, 50.0)
        assert found == pytest.approx(number, rel=0.01, abs=1.0)  # quoted for bins of 1.2 % in separation


def test_same_seed_same_stars(tracks):
    one, two = (eject(WIDE, CenterStars(), tracks, count=50, seed=5) for _ in range(2))
    for name in one.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert not np.array_equal(one.speed, eject(WIDE, CenterStars(), tracks, count=50, seed=6).speed)


def test_drawn_stars_are_inside_their_ranges(tracks):
    for ages in ("lifetime", "continuous", "recent"):
        drawn = eject(WIDE, CenterStars(ages=ages, recent=0.05), tracks, count=2000, seed=1)
        assert len(drawn) == 2000
        assert (drawn.flight_time >= 0).all()
        assert (drawn.flight_time <= 100).all()
        assert drawn.mass.min() >= 0.5
        assert (np.abs(drawn.fe_h) <= 0.25).all()
        assert (drawn.fraction <= 1).all()
        np.testing.assert_allclose(np.linalg.norm(drawn.direction, axis=1), 1.0)
        if ages == "recent":
            assert (drawn.fraction * drawn.lifetime <= 0.05 + 1e-12).all()


def test_continuous_formation_leaves_few_massive_stars(tracks):
    heavy = [np.mean(eject(WIDE, CenterStars(ages=a), tracks, count=5000, seed=1).mass > 5.0) for a in
             ("lifetime", "continuous")]  # fmt: skip
    assert heavy[1] < 0.1 * heavy[0]


def test_no_stars(tracks, sky):
    none = eject(WIDE, CenterStars(), tracks, count=0, seed=1)
    assert len(none) == 0
    assert len(sky.observe(none).table()) == 0
    later = Scenario(BlackHoleBinary(1000.0), since_merger=200.0)
    assert len(eject(later, CenterStars(), tracks, span=50.0, seed=1)) == 0


@pytest.mark.parametrize("bad", [{"span": 0.0}, {"span": np.nan}, {"count": -1}])
def test_bad_draws_are_refused(tracks, bad):
    with pytest.raises(ConfigError):
        eject(WIDE, CenterStars(), tracks, seed=1, **bad)


@pytest.mark.parametrize(
    "bad", [{"kept": (0.05, 100.0)}, {"kept": (5.0, 5.0)}, {"ages": "old"}, {"recent": 0.0}, {"fe_h": (0.2, -0.2)}]
)
def test_bad_stars_are_refused(bad):
    with pytest.raises(ConfigError):
        CenterStars(**bad)


def test_directions_are_isotropic():
    n = isotropic(200_000, np.random.default_rng(2))
    np.testing.assert_allclose(n.mean(axis=0), 0.0, atol=0.006)
    np.testing.assert_allclose(np.cov(n, rowvar=False), np.eye(3) / 3.0, atol=0.004)


def test_proposal_integrates_to_one(tracks):
    proposal = Proposal()
    speed = np.concatenate([np.geomspace(550.0, 3e4, 40_001)])
    assert np.trapezoid(proposal.speed_pdf(speed), speed) == pytest.approx(1.0, abs=2e-3)
    time = np.linspace(0.0, 100.0, 200_001)
    assert np.trapezoid(proposal.time_pdf(time, np.full_like(time, 900.0)), time) == pytest.approx(1.0, abs=1e-3)
    share = np.geomspace(1e-7, 1.0, 400_001)
    assert np.trapezoid(proposal.fraction_pdf(share), share) == pytest.approx(1.0, abs=1e-3)
    sun = np.array([-1.0, 0.0, 0.0])
    assert proposal.direction_pdf(isotropic(200_000, np.random.default_rng(1)), sun).mean() == pytest.approx(
        1, abs=0.01
    )


def test_weights_of_draws_undo_the_proposal(tracks):
    """Means over the proposal, weighted, are those of the target: share of stars above 1000 km/s and below 30 Myr."""
    proposal, rng = Proposal(), np.random.default_rng(4)
    made, density = proposal.draw(200_000, CenterStars(), tracks, np.array([-8.0, 0.0, 0.0]), rng)
    law = VelocityLaw(np.array(4000.0), 2.5e-4)
    target = law.pdf(made.speed) / 100.0 * CenterStars().mass_function.pdf(made.mass)
    weight = target / density
    assert weight.mean() == pytest.approx(0.31872, rel=0.02)  # the share of the mass function above 0.5 Msun
    assert np.average(made.speed > 1000.0, weights=weight) == pytest.approx(float(law.survival(1000.0)), rel=0.03)
    assert np.average(made.flight_time < 30.0, weights=weight) == pytest.approx(0.3, rel=0.03)
    np.testing.assert_allclose(np.average(made.direction, axis=0, weights=weight), 0.0, atol=0.02)


@pytest.mark.parametrize(
    "bad", [{"span": 0.0}, {"near": 1.0}, {"tail": 0.0}, {"swift": (500.0, 900.0)}, {"least_fraction": 0.0}]
)
def test_bad_proposals_are_refused(bad):
    with pytest.raises(ConfigError):
        Proposal(**bad)


def test_hills_speed_and_rate(tracks):
    # two stars of 3 Msun at 0.1 au: 2 G 3 / 0.1 au = (231 km/s)^2 x 10^... by hand
    by_hand = np.sqrt(2 * 887.1 * 3.0 / 0.1) * (4e6 / 6.0) ** (1 / 6)
    assert float(ejection_speed(3.0, 21.503, 6.0)) == pytest.approx(by_hand, rel=1e-3)
    stars = CenterStars(slope=2.35)
    made, each = HillsMechanism(rate=1e-3).eject(stars, tracks, 20_000, span=50.0, seed=1)
    again, half = HillsMechanism(rate=5e-4).eject(stars, tracks, 20_000, span=50.0, seed=1)
    assert each == pytest.approx(2 * half)
    np.testing.assert_array_equal(made.speed, again.speed)
    assert made.speed.min() >= 550.0
    assert len(made) * each < 1e-3 * 50e6
    for bad in ({"rate": -1.0}, {"rate": np.nan}, {"widest": 1.0}, {"mass": 0.0}):
        with pytest.raises(ConfigError):
            HillsMechanism(**bad)
    with pytest.raises(ConfigError):
        HillsMechanism().eject(stars, tracks, 0, seed=1)
