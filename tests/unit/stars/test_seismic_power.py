"""Light curves and power spectra in the bins: the grid, flat noise, known oscillations, bad input."""

from __future__ import annotations

import numpy as np
import pytest

from starloom.datasets.access import open_table
from starloom.errors import CatalogError, ConfigError, DatasetError
from starloom.simulation.power_spectra import envelope_width, epsilon, make_power
from starloom.stars import seismic_power as power

NU = np.arange(power.LOWEST - power.STEP, power.HIGHEST, power.STEP)


def test_the_grid_is_that_of_the_recipe():
    nu = power.centers()
    assert len(nu) == 2092
    assert nu[0] == pytest.approx(2.00, abs=0.005)
    assert nu[1:4] == pytest.approx([2.0045, 2.013515341, 2.0225614], abs=1e-6)
    assert nu[-1] == pytest.approx(268.9960494, abs=1e-6)
    assert np.diff(power.edges())[-1] == pytest.approx(0.37, abs=0.005)


def test_flattened_noise_has_the_mean_one():
    # 4 spectra: the mean scatters by 0.003 and the bar is six times that
    rng = np.random.default_rng(5)
    means = [power.flatten(NU, 1e4 / NU**1.5 * rng.exponential(size=len(NU))).mean() for _ in range(4)]
    assert np.mean(means) == pytest.approx(1.0, abs=0.02)


def test_a_light_curve_gives_its_white_noise_and_its_line():
    rng = np.random.default_rng(2)
    days = np.arange(0.0, 700.0, 29.4 / 1440)
    days = days[rng.random(len(days)) > 0.15]  # gaps
    flux = 1.0 + 1e-4 * rng.standard_normal(len(days)) + 3e-5 * np.sin(2 * np.pi * 60e-6 * 86400 * days)
    flux[::500] = np.nan
    flux[7] = 50.0
    nu, density = power.light_curve_power(days, flux)
    assert nu[np.argmax(density)] == pytest.approx(60.0, abs=0.02)
    away = np.abs(nu - 60.0) > 1.0
    assert density[away].mean() == pytest.approx(2 * 100.0**2 * 29.4 * 60 * 1e-6, rel=0.04)
    found = power.of_light_curve(days, flux)
    assert found.reason == ""
    assert found.days == pytest.approx(700, abs=1)
    # 15 % of the points are gone: the frequencies are less independent, the level in the bins stays
    assert np.exp(found.log_power).mean() == pytest.approx(1.0, abs=0.06)


def test_short_empty_and_constant_light_curves_have_reasons():
    days = np.arange(0.0, 5.0, 0.02)
    assert "10 days" in power.of_light_curve(days, np.random.default_rng(1).normal(1, 1e-4, len(days))).reason
    assert "0 points" in power.of_light_curve([], []).reason
    long = np.arange(0.0, 100.0, 0.02)
    assert "constant" in power.of_light_curve(long, np.ones(len(long))).reason
    assert np.isnan(power.of_light_curve(long, np.full(len(long), np.nan)).log_power).all()
    with pytest.raises(CatalogError):
        power.light_curve_power(long, long[:-1])
    month = np.arange(0.0, 30.0, 0.02)
    assert "30 days" in power.of_light_curve(month, np.random.default_rng(1).normal(1, 1e-4, len(month))).note


def test_power_spectra_that_cannot_be_used_have_reasons():
    rng = np.random.default_rng(1)
    height = rng.exponential(size=len(NU))
    assert power.of_power(NU, height).reason == ""
    assert "samples" in power.of_power(NU[:50], height[:50]).reason
    assert "constant" in power.of_power(NU, np.ones(len(NU))).reason
    assert "half" in power.of_power(NU[NU < 20], height[NU < 20]).reason
    assert power.of_power(NU, np.full(len(NU), np.nan)).reason
    with pytest.raises(CatalogError):
        power.of_power(NU, height[:-1])
    holes = height.copy()
    holes[1000:1200] = np.nan
    shuffled = rng.permutation(len(NU))
    assert power.of_power(NU[shuffled], holes[shuffled]).log_power == pytest.approx(power.of_power(NU, holes).log_power)


def test_bins_are_means_over_them():
    line = 5.0 + 0.01 * NU  # smoothing and averaging leave a line as it is
    found = np.exp(power.rebin(NU, line))
    inner = slice(80, -60)
    assert found[inner] == pytest.approx(5.0 + 0.01 * power.centers()[inner], rel=1e-6)
    coarse = np.arange(2.0, 270.0, 0.4)
    assert np.exp(power.rebin(coarse, 5.0 + 0.01 * coarse))[inner] == pytest.approx(found[inner], rel=1e-4)


def test_made_modes_are_where_they_should_be():
    made = make_power([60.0], [6.0], [1.2], [False], seed=1, frequency=NU, noise=False)
    nu, height = made.frequency, made.power[0]
    radial = (np.arange(8, 12) + epsilon(6.0)) * 6.0
    for center in radial:
        near = np.abs(nu - center) < 0.4
        assert abs(nu[near][np.argmax(height[near])] - center) < 0.2
    # the modes carry, within an order at nu_max, the named height times the separation
    inside = np.abs(nu - 60.0) < 3.0
    carried = ((height[inside] - 1.0).sum() * power.STEP) / 6.0
    assert carried == pytest.approx(3.2, rel=0.45)
    assert height[np.abs(nu - 60.0) > 2.0 * envelope_width(60.0)].max() < 1.5
    with pytest.raises(ConfigError):
        make_power([np.nan], [6.0], [1.0], [True], seed=1, frequency=NU)
    with pytest.raises(ConfigError):
        make_power([60.0], [6.0], [1.0], [True], seed=1, frequency=NU**2)


def test_the_hump_is_found_and_a_real_giant_has_its_own():
    rng = 1
    made = make_power([35.0, 120.0], [3.9, 10.0], [1.2, 1.2], [True, False], seed=rng, frequency=NU)
    for row, nu_max in enumerate((35.0, 120.0)):
        assert power.hump(power.rebin(NU, made.power[row])) == pytest.approx(nu_max, rel=0.15)
    assert np.isnan(power.hump(np.full(power.BINS, np.nan)))
    try:
        table = open_table("kepler_power_spectra", "KIC11618103")
    except DatasetError as error:
        pytest.skip(f"the real power spectrum cannot be had here: {error}")
    found = power.of_power(table["frequency_uHz"], table["power"])
    assert found.reason == found.note == ""
    assert power.hump(found.log_power) == pytest.approx(106.0, abs=8.0)


def test_spacings_show_delta_nu_whatever_the_phase():
    """The same star with its comb moved by a quarter of the separation; delta_nu is 50.4 bins times its excess."""
    frequency = np.arange(power.LOWEST - power.STEP, power.HIGHEST, 0.02)
    usual = 0.268 * 100.0**0.758
    rows = [
        power.rebin(frequency, make_power([100.0], [gap], [1.2], [False], seed=3, frequency=frequency).power[0])
        for gap in (0.9 * usual, 1.1 * usual)
    ]
    found = power.spacings(rows)
    assert found.shape == (2, power.LAST_LAG - power.FIRST_LAG)
    peaks = power.FIRST_LAG + 25 + np.argmax(found[:, 25:], axis=1)
    assert peaks == pytest.approx([0.9 * 50.4, 1.1 * 50.4], abs=3.0)
    assert np.corrcoef(found[0], power.spacings(np.roll(rows[0], 12)[None])[0])[0, 1] > 0.95


def test_spacings_of_missing_power():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(3, power.BINS))
    values[1] = np.nan
    values[2, :400] = np.nan
    found = power.spacings(values)
    assert np.isnan(found[1]).all()
    assert np.isfinite(found[[0, 2]]).all()
    with pytest.raises(CatalogError, match="80"):
        power.spacings(values[:, :60])
