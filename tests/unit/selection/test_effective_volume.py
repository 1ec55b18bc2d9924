"""Tracers and effective volumes against closed forms, quadrature and star-by-star sums."""

import numpy as np
import pytest

from starloom.errors import ConfigError
from starloom.selection.effective_volume import effective_selection, effective_volume, seen_through
from starloom.selection.footprint import Fields
from starloom.selection.sampling_fractions import SamplingFractions
from starloom.selection.tracers import Tracers
from starloom.stellar.extinction import CallableDust, ExponentialDust, NoDust
from starloom.stellar.isochrones import Isochrone
from starloom.stellar.mass_functions import power_law

BANDS = ("2mass_h", "2mass_j", "2mass_ks")


def isochrone(count=200, age=10.0):
    """A straight giant branch: H from 0 to -5, J - K from 0.4 to 1.1, log g from 3.5 to 0.5, even in mass."""
    t = np.linspace(0.0, 1.0, count)
    none = np.full(count, np.nan)
    h, jk = -5.0 * t, 0.4 + 0.7 * t
    bands = {"2mass_h": h, "2mass_j": h + 0.7 * jk, "2mass_ks": h - 0.3 * jk}
    mass = 0.80 + 0.01 * t
    return Isochrone(age, -1.5, none, mass, mass, none, 3.5 - 3.0 * t, none, none, np.zeros(count), bands)


def survey(fields=None, **more):
    fields = fields or Fields(["a", "b"], [90.0, 92.0], [10.0, 10.0], [1.5, 1.5])
    values = {
        "field": np.array([0, 0, 1, 1]),
        "magnitude": np.array([[7.0, 11.0], [11.0, 12.5], [7.0, 12.2], [7.0, 12.2]]),
        "color": np.array([[0.5, 999.0], [0.5, 999.0], [0.5, 0.8], [0.8, 999.0]]),
        "fraction": np.array([0.5, 0.2, 0.3, 0.7]),
        "availability": np.array([0.9, 0.8, 1.0, 0.6]),
        "cohort": np.array(["short", "long", "blue", "red"]),
    }
    return SamplingFractions(fields, **(values | more))


@pytest.fixture(scope="module")
def tracers():
    return Tracers.from_isochrones([isochrone()], power_law(2.0, 0.5, 1.0), logg=(1.0, 3.0))


MODULI = np.linspace(7.0, 19.0, 121)


def test_the_share_of_tracers(tracers):
    """log g 1 to 3 is t = 1/6 to 5/6 of masses from 0.80 to 0.81."""
    mass = 0.80 + 0.01 * np.array([1 / 6, 5 / 6])
    expected = power_law(2.0, 0.5, 1.0).interval_weights(mass)[0]
    assert tracers.fraction == pytest.approx(expected, rel=1e-5)
    assert tracers.mass_per_tracer == pytest.approx(power_law(2.0, 0.5, 1.0).mean() / expected, rel=1e-5)
    assert tracers.magnitude.min() == pytest.approx(-5 * 5 / 6)
    assert tracers.magnitude.max() == pytest.approx(-5 / 6)


def test_segments_are_cut_where_they_cross():
    coarse = Tracers.from_isochrones([isochrone(3)], power_law(0.0, 0.5, 1.0), logg=(1.0, 3.0), color=(0.6, 0.9))
    t = np.array([0.2, 0.5]) / 0.7
    assert coarse.fraction == pytest.approx((t[1] - t[0]) * 0.01 / 0.5, rel=1e-9)
    assert coarse.color.min() == pytest.approx(0.6)
    assert coarse.color.max() == pytest.approx(0.9)


def test_cumulative_distribution_in_a_color_bin(tracers):
    start, total = tracers.cumulative(0.8, 999.0)
    assert total[0] == 0
    # color 0.8 is t = 4/7; redder is brighter
    below = power_law(2.0, 0.5, 1.0).interval_weights(0.80 + 0.01 * np.array([4 / 7, 5 / 6]))[0]
    assert total[-1] == pytest.approx(below, rel=1e-4)
    magnitude = start + 0.002 * np.arange(len(total))
    t = -np.clip(magnitude, -5 * 5 / 6, -5 * 4 / 7) / 5
    exact = [power_law(2.0, 0.5, 1.0).interval_weights([0.80 + 0.01 * x, 0.80 + 0.01 * 5 / 6])[0] for x in t[::500]]
    assert np.allclose(total[::500], exact, atol=1e-4 * tracers.fraction)


def test_blue_and_red_make_all(tracers):
    parts = [tracers.cumulative(*edges)[1] for edges in ((-9.0, 0.8), (0.8, 99.0), (-9.0, 99.0))]
    assert np.allclose(parts[0] + parts[1], parts[2], atol=1e-15)
    assert parts[2][-1] == pytest.approx(tracers.fraction, rel=1e-12)


def test_weights_of_isochrones():
    both = [isochrone(50), isochrone(80, age=12.0)]
    mixed = Tracers.from_isochrones(both, power_law(2.0, 0.5, 1.0), weights=[3.0, 1.0])
    alone = [Tracers.from_isochrones([one], power_law(2.0, 0.5, 1.0)).fraction for one in both]
    assert mixed.fraction == pytest.approx(0.75 * alone[0] + 0.25 * alone[1])


def test_stars_without_photometry_are_counted_as_lost():
    broken = isochrone(101)
    broken.bands["2mass_h"][:26] = np.nan
    found = Tracers.from_isochrones([broken], power_law(0.0, 0.5, 1.0))
    assert found.lost == pytest.approx(0.26, abs=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": [1.0, 1.0]}, "as many weights"),
        ({"weights": [-1.0]}, "as many weights"),
        ({"logg": (7.0, 8.0)}, "no star"),
        ({"logg": (3.0, 1.0)}, "from low to high"),
        ({"bands": ("2mass_h", "ps1_g", "ps1_r")}, "no magnitudes"),
    ],
)
def test_tracers_that_cannot_be(change, message):
    with pytest.raises(ConfigError, match=message):
        Tracers.from_isochrones([isochrone()], power_law(2.0, 0.5, 1.0), **change)
    with pytest.raises(ConfigError, match="at least one"):
        Tracers.from_isochrones([], power_law(2.0, 0.5, 1.0))


def test_samples_follow_the_distribution(tracers):
    magnitude, color = tracers.sample(20_000, 1)
    assert np.allclose(color, 0.4 - 0.7 * magnitude / 5.0)
    start, total = tracers.cumulative(-9.0, 99.0)
    for level in (0.1, 0.5, 0.9):
        median = start + 0.002 * np.searchsorted(total, level * total[-1])
        assert (magnitude < median).mean() == pytest.approx(level, abs=0.015)  # 4 sigma


def test_the_share_seen_in_closed_form(tracers):
    """One field, one range, no dust: the share of a uniform distribution between two magnitudes."""
    one = survey().only(["a"])
    one = SamplingFractions(
        one.fields, np.array([0]), np.array([[8.0, 12.0]]), np.array([[-9.0, 99.0]]), np.array([0.4]), np.array([1.0]),
        np.array(["short"]),
    )  # fmt: skip
    flat = Tracers.from_isochrones([isochrone()], power_law(0.0, 0.5, 1.0))
    found = effective_selection(one, flat, NoDust(), MODULI)
    faint, bright = np.clip(12.0 - MODULI, -5.0, 0.0), np.clip(8.0 - MODULI, -5.0, 0.0)
    assert np.allclose(found.selection[0], 0.4 * (faint - bright) / 5.0, atol=1e-9)


def test_the_kernel_against_star_by_star_sums(tracers):
    """Every combination of cohort, color bin and overlap, with dust, against the general route."""
    fractions, dust = survey(), ExponentialDust()
    found = effective_selection(fractions, tracers, dust, MODULI, nside=128)
    assert {tuple(fields) for fields in found.regions.fields} == {(0,), (0, 1), (1,)}
    for region in range(len(found.regions)):
        inside = found.regions.pixel_region == region
        l, b = found.regions.pixel_l[inside], found.regions.pixel_b[inside]
        for k in (30, 45, 60, 75):
            slow = seen_through(fractions, tracers, dust, l, b, np.full(len(l), found.distance[k]), points=20)
            assert found.selection[region, k] == pytest.approx(slow.mean(), abs=1.5e-3)


def test_overlaps_are_counted_once(tracers):
    fractions = survey()
    both = effective_selection(fractions, tracers, NoDust(), MODULI, nside=256)
    alone = [effective_selection(fractions.only([name]), tracers, NoDust(), MODULI, nside=256) for name in "ab"]
    assert both.weight.sum() < sum(one.weight.sum() for one in alone)
    apart = survey(Fields(["a", "b"], [90.0, 95.0], [10.0, 10.0], [1.5, 1.5]))
    found = effective_selection(apart, tracers, NoDust(), MODULI, nside=256)
    assert found.weight.sum() == pytest.approx(sum(one.weight.sum() for one in alone), rel=1e-12)


def test_threads_change_nothing(tracers):
    rng = np.random.default_rng(1)
    count = 70
    fields = Fields(
        [f"{k:02d}" for k in range(count)], rng.uniform(0, 360, count), rng.uniform(-60, 60, count), np.full(count, 1.0)
    )
    fractions = SamplingFractions(
        fields, np.arange(count), np.tile([[7.0, 12.0]], (count, 1)), np.tile([[0.5, 99.0]], (count, 1)),
        rng.random(count), np.ones(count), np.full(count, "short"),
    )  # fmt: skip
    one, three = (effective_selection(fractions, tracers, ExponentialDust(), MODULI, threads=n) for n in (1, 3))
    assert np.array_equal(one.selection, three.selection)


def test_volume_of_a_cone(tracers):
    found = effective_selection(survey().only(["a"]), tracers, NoDust(), np.linspace(0.0, 19.0, 2001))
    radius = found.distance[-1]
    expected = (2 * np.pi * (1 - np.cos(np.radians(1.5)))) * (radius**3 - found.distance[0] ** 3) / 3
    assert found.volume_element.sum() == pytest.approx(expected, rel=1e-4)


def test_expected_counts_of_a_density(tracers):
    found = effective_selection(survey(), tracers, NoDust(), MODULI)
    assert effective_volume(found, lambda l, b, d: np.ones_like(d)) == pytest.approx(found.weight.sum())
    assert found.expected(2.0) == pytest.approx(2 * found.weight.sum())


def test_counts_of_a_simulated_survey(tracers):
    """Stars thrown into space and observed one by one: as many as the effective volume says."""
    rng = np.random.default_rng(4)
    fractions, dust = survey(), ExponentialDust()
    found = effective_selection(fractions, tracers, dust, np.linspace(9.0, 18.0, 181), nside=256)
    count, far = 400_000, found.distance[-1]
    distance = found.distance[0] + (far - found.distance[0]) * rng.random(count)  # density as 1 / d^2
    l = 88.0 + 6.0 * rng.random(count)
    low, high = np.sin(np.radians([8.0, 12.0]))
    b = np.degrees(np.arcsin(low + (high - low) * rng.random(count)))
    magnitude, color = tracers.sample(count, rng)
    from starloom.stellar.extinction import extinction

    apparent = magnitude + 5 * (np.log10(distance) + 2) + extinction(dust, "2mass_h", l, b, distance)
    p = fractions.probability(l, b, apparent, color)
    area = np.radians(6.0) * (high - low)
    density = count / (area * (far - found.distance[0]))
    expected = density * effective_volume(found, lambda l, b, d: d**-2.0)
    assert p.sum() == pytest.approx(expected, rel=4 * np.sqrt((p**2).sum()) / p.sum() + 0.003)


def test_values_at_positions(tracers):
    found = effective_selection(survey(), tracers, NoDust(), MODULI)
    k, region = 50, found.regions.fields.index((0, 1))
    got = found.at(
        [91.0, 91.0, 200.0, np.nan, 91.0], [10.0, 10.0, 0.0, 0.0, 10.0], [found.distance[k], 1e9, 5.0, 5.0, np.nan]
    )
    assert got[0] == pytest.approx(found.selection[region, k])
    assert np.isnan(got[[1, 3, 4]]).all()
    assert got[2] == 0.0
    between = found.at([91.0], [10.0], [10 ** (0.5 * (MODULI[k] + MODULI[k + 1]) / 5 - 2)])
    assert between[0] == pytest.approx(found.selection[region, k : k + 2].mean())


def test_dust_that_knows_nothing_is_told(tracers):
    hole = CallableDust(lambda l, b, d: np.where(l > 91.5, np.nan, 0.1))
    with pytest.raises(ConfigError, match="knows nothing at l = 9"):
        effective_selection(survey(), tracers, hole, MODULI)
    filled = CallableDust(hole.query, fill=0.1)
    assert np.isfinite(effective_selection(survey(), tracers, filled, MODULI).selection).all()


def test_settings_that_cannot_be(tracers):
    with pytest.raises(ConfigError, match="grow"):
        effective_selection(survey(), tracers, NoDust(), MODULI[::-1])
    with pytest.raises(ConfigError, match="the tracers in"):
        effective_selection(survey(bands=("ps1_g", "ps1_g", "ps1_r")), tracers, NoDust(), MODULI)
    with pytest.raises(ConfigError, match="observed nothing"):
        effective_selection(survey(fraction=np.zeros(4)), tracers, NoDust(), MODULI)
    with pytest.raises(ConfigError, match="differ in shape"):
        seen_through(survey(), tracers, NoDust(), [1.0], [1.0, 2.0], [1.0])
