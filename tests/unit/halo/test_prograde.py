"""Prograde fractions: closed forms of counts, errors of the sign, trends, and bad input."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta

from starloom.errors import CatalogError, ConfigError
from starloom.halo.prograde import fit_trend, fractions_in_bins, prograde_fraction


def test_sure_signs_give_the_beta_posterior():
    found = prograde_fraction([1.0] * 30 + [0.0] * 12)
    expected = beta(30.5, 12.5).ppf([0.16, 0.5, 0.84])
    np.testing.assert_allclose([found.low, found.value, found.high], expected, atol=1e-3)
    np.testing.assert_allclose([found.counted_low, found.counted_high], expected[[0, 2]], atol=1e-3)
    assert (found.stars, found.prograde, found.counted) == (42, 30.0, 30 / 42)


def test_stars_of_unknown_sign_say_nothing():
    sure = prograde_fraction([1.0] * 8 + [0.0] * 2)
    diluted = prograde_fraction([1.0] * 8 + [0.0] * 2 + [0.5] * 50)
    assert diluted.value == pytest.approx(sure.value, abs=1e-9)
    assert diluted.counted < 0.2  # counting is misled: this is what the deconvolution is for


def test_uncertain_signs_are_deconvolved():
    """Signs seen wrongly for a fifth of the stars: counting is pulled to one half, the deconvolved fraction is not."""
    rng = np.random.default_rng(1)
    true = rng.random(4000) < 0.85
    seen = true ^ (rng.random(4000) < 0.2)
    found = prograde_fraction(np.where(seen, 0.8, 0.2))
    assert found.counted == pytest.approx(0.85 * 0.8 + 0.15 * 0.2, abs=0.02)
    assert abs(found.value - 0.85) < 3.0 * 0.5 * (found.high - found.low)
    assert found.high - found.low > found.counted_high - found.counted_low


def test_bins_have_edges_and_empty_ones_are_nan():
    table = fractions_in_bins([1.0, 1.0, 0.0, np.nan], [-2.9, -2.6, -2.6, -2.6], [-3.0, -2.75, -2.5, -2.25])
    assert table["stars"].tolist() == [1, 2, 0]
    assert np.isnan(table["fraction"][2])
    assert table["counted"][1] == 0.5
    assert table["fraction_low"][0] < table["fraction"][0] < table["fraction_high"][0]


def test_a_trend_is_found_with_the_errors_it_says():
    rng = np.random.default_rng(2)
    pulls = []
    for _ in range(24):
        iron, alpha = rng.uniform(-3.0, -2.0, 482), rng.normal(0.35, 0.1, 482)
        logit = 1.0 - 1.33 * (iron + 2.5) + 2.0 * (alpha - 0.35)
        p = np.where(rng.random(482) < 1.0 / (1.0 + np.exp(-logit)), 0.97, 0.03)
        p = np.where(rng.random(482) < 0.03, 1.0 - p, p)
        trend = fit_trend(p, {"fe_h": iron, "alpha_m": alpha}, seed=rng)
        for name, true in (("fe_h", -1.33), ("alpha_m", 2.0)):
            middle, low, high = trend.slope(name)
            pulls.append((middle - true) / (0.5 * (high - low)))
    # 48 pulls: mean and spread within three standard errors
    assert abs(np.mean(pulls)) < 0.43
    assert 0.7 < np.std(pulls) < 1.3
    assert trend.effective > 1000


def test_a_trend_can_be_read():
    iron = np.tile([-3.0, -2.5, -2.0], 40)
    trend = fit_trend(np.tile([1.0, 1.0, 0.0], 40), {"fe_h": iron}, seed=1)
    middle, low, high = trend.fraction(fe_h=[-3.0, -2.0])
    assert middle[0] > 0.9
    assert middle[1] < 0.2
    assert (low < middle).all()
    assert (middle < high).all()
    assert trend.falling("fe_h") == 1.0
    assert trend.significance("fe_h") < -3.0
    with pytest.raises(ConfigError, match="knows fe_h"):
        trend.slope("alpha_m")
    with pytest.raises(ConfigError, match="knows fe_h"):
        trend.fraction(alpha_m=0.3)


@pytest.mark.parametrize("values", [[], [np.nan, np.nan]])
def test_no_star_is_an_error(values):
    with pytest.raises(CatalogError, match="no star"):
        prograde_fraction(values)


def test_bad_input_is_refused():
    with pytest.raises(CatalogError, match="row 1"):
        prograde_fraction([0.5, 1.2])
    with pytest.raises(ConfigError, match="shape"):
        prograde_fraction([[[0.5, 0.2]]])
    with pytest.raises(ConfigError, match="level"):
        prograde_fraction([0.5], level=1.0)
    with pytest.raises(ConfigError, match="rising"):
        fractions_in_bins([0.5], [1.0], [2.0, 1.0])
    with pytest.raises(ConfigError, match="shape"):
        fractions_in_bins([0.5], [1.0, 2.0], [0.0, 1.0])
    with pytest.raises(CatalogError, match="at least ten"):
        fit_trend([0.5] * 5, {"fe_h": [1.0, 2, 3, 4, 5]})
    with pytest.raises(CatalogError, match="differ"):
        fit_trend([0.5] * 20, {"fe_h": [1.0] * 20})
    with pytest.raises(ConfigError, match="at least one"):
        fit_trend([0.5] * 20, {})
