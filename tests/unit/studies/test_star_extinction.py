"""The regression that shows how dust dims real giants, on giants whose extinction law is known."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable

from starloom.spectra.xp import SAMPLED_NM
from starloom.stellar.extinction import extinction_curve
from starloom.studies.star_extinction import GRID, LEAST, PIVOT, dimming_of_stars

LAW = extinction_curve(SAMPLED_NM) / extinction_curve([2159.0])


def giants(count, a_k_error, seed=1):
    rng = np.random.default_rng(seed)
    teff, logg = rng.uniform(4000, 5100, count), rng.uniform(1.2, 3.0, count)
    fe_h, alpha_m, a_k = rng.uniform(-0.5, 0.3, count), rng.normal(0.1, 0.05, count), rng.uniform(0.0, 0.5, count)
    warmth = ((teff - 4700.0) / 500.0)[:, None]
    color = 0.3 * warmth + 0.1 * warmth**2 + 0.2 * fe_h[:, None] * warmth - 0.05 * (logg[:, None] - 2.5)
    magnitude = color * (SAMPLED_NM - 700.0) / 300.0 + a_k[:, None] * LAW + rng.normal(0.0, 0.01, (count, 1))
    return QTable(
        {
            "teff": teff * u.K,
            "logg": logg,
            "fe_h": fe_h,
            "alpha_m": alpha_m,
            "a_k": (a_k + rng.normal(0.0, a_k_error, count)) * u.mag,
            "flux": 10 ** (-0.4 * magnitude) * u.Unit("W / (m2 nm)"),
        }
    )


def law():
    there = np.interp(GRID, SAMPLED_NM, LAW)
    return there - there[PIVOT]


def test_the_law_comes_out_of_spectra_that_follow_it():
    slopes, reliable = dimming_of_stars(giants(900, 0.0))
    np.testing.assert_allclose(slopes, law(), atol=0.02)
    assert reliable > 0.99


def test_errors_of_the_extinction_flatten_and_the_reliability_says_how_much():
    error = 0.05
    slopes, reliable = dimming_of_stars(giants(3000, error))
    flatter = (0.5**2 / 12) / (0.5**2 / 12 + error**2)
    shown = np.abs(law()) > 1.0
    assert np.median(slopes[shown] / law()[shown]) == pytest.approx(flatter, abs=0.02)
    assert reliable == pytest.approx(flatter, abs=0.03)


def test_one_outlier_in_twenty_changes_little():
    stars = giants(900, 0.0)
    stars["a_k"][::20] = 0.59 * u.mag
    slopes, _ = dimming_of_stars(stars)
    np.testing.assert_allclose(slopes, law(), atol=0.06)


def test_too_few_giants_give_nothing():
    slopes, reliable = dimming_of_stars(giants(LEAST - 1, 0.0))
    assert len(slopes) == 0
    assert reliable == 1.0
