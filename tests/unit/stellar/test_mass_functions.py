from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from starloom.errors import ConfigError
from starloom.stellar.mass_functions import chabrier_2001, chabrier_2003, kroupa_2001, power_law, step_function

FUNCTIONS = {
    "half": power_law(0.5, 0.1, 0.9),
    "one": power_law(1.0, 0.1, 50.0),
    "two": power_law(2.0, 0.1, 50.0),
    "rising": power_law(-1.5, 0.1, 0.9),
    "kroupa": kroupa_2001(0.01, 120.0),
    "kroupa part": kroupa_2001(0.1, 0.8),
    "chabrier": chabrier_2003(0.01, 120.0),
    "chabrier low": chabrier_2003(0.1, 0.9),
    "chabrier high": chabrier_2003(1.5, 20.0),
    "chabrier lognormal": chabrier_2001(0.05, 20.0),
    "steps": step_function([0, 0.35, 0.56, 1.01], [-1, 0, -1]),
}
BREAKS = [0.08, 0.35, 0.5, 0.56, 1.0]


def integral(function, low, high, moment=0):
    edges = [low, *[b for b in BREAKS if low < b < high], high]
    return sum(
        quad(lambda x: float(function.pdf(x)) * x**moment, a, b, epsabs=1e-13, epsrel=1e-10, limit=200)[0]
        for a, b in pairwise(edges)
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_normalised_with_the_right_mean_and_cdf(name):
    function = FUNCTIONS[name]
    assert integral(function, function.low, function.high) == pytest.approx(1.0, abs=1e-8)
    assert function.mean() == pytest.approx(integral(function, function.low, function.high, 1), rel=1e-7)
    middle = function.low + 0.37 * (function.high - function.low)
    assert float(function.cdf(middle)) == pytest.approx(integral(function, function.low, middle), abs=1e-8)
    assert function.cdf([-1.0, function.low, function.high, 1e4]).tolist() == pytest.approx([0, 0, 1, 1])
    assert function.pdf([function.low - 1e-6, function.high + 1e-6]).tolist() == [0, 0]
    assert np.isnan(function.pdf(np.nan))
    assert np.isnan(function.cdf(np.nan))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_ppf_undoes_cdf(name):
    function = FUNCTIONS[name]
    fractions = np.linspace(0, 1, 101)
    x = function.ppf(fractions)
    assert (np.diff(x) > 0).all()
    np.testing.assert_allclose(function.cdf(x), fractions, atol=1e-10)


def test_slopes_of_kroupa_and_continuity():
    function = kroupa_2001(0.01, 100.0)
    for low, high, slope in ((0.02, 0.07, 0.3), (0.1, 0.4, 1.3), (0.6, 50.0, 2.3)):
        ratio = function.pdf(high) / function.pdf(low)
        assert np.log(ratio) / np.log(high / low) == pytest.approx(-slope)
    for continuous in (function, chabrier_2003(0.01, 100.0)):
        for edge in (0.08, 0.5, 1.0):
            assert continuous.pdf(edge * (1 - 1e-9)) == pytest.approx(float(continuous.pdf(edge)), rel=1e-7)


def test_chabrier_is_the_printed_function():
    function = chabrier_2003(0.01, 100.0)
    mass = np.array([0.02, 0.079, 0.3, 0.9])
    printed = 0.158 * np.exp(-((np.log10(mass) - np.log10(0.079)) ** 2) / (2 * 0.69**2))
    ours = function.pdf(mass) * mass
    np.testing.assert_allclose(ours / ours[1], printed / printed[1])
    above = function.pdf([2.0, 8.0]) * np.array([2.0, 8.0])
    assert above[1] / above[0] == pytest.approx(4**-1.3)
    # the printed amplitudes: 0.0443 m^-1.3 above 1 Msun, within the rounding that leaves a step of 0.5 %
    assert above[0] / ours[1] == pytest.approx(0.0443 * 2**-1.3 / 0.158, rel=0.006)


def test_the_older_chabrier_is_lognormal_at_every_mass():
    mass = np.array([0.08, 0.1, 0.4, 1.0, 3.0, 30.0])
    printed = 0.141 * np.exp(-((np.log10(mass) + 1.0) ** 2) / (2 * 0.627**2))
    ours = chabrier_2001(0.05, 50.0).pdf(mass) * mass
    np.testing.assert_allclose(ours / ours[1], printed / printed[1])


def test_samples_follow_the_cdf_and_the_seed():
    function = kroupa_2001(0.1, 100.0)
    draws = function.sample(4000, 3)
    np.testing.assert_array_equal(draws, function.sample(4000, np.random.default_rng(3)))
    # Kolmogorov-Smirnov distance: exceeded by chance once in 1e4 at 2.23 / sqrt(n)
    uniform = np.sort(function.cdf(draws))
    distance = np.abs(uniform - (np.arange(4000) + 0.5) / 4000).max() + 0.5 / 4000
    assert distance < 2.23 / np.sqrt(4000)
    assert function.sample(0, 1).shape == (0,)
    with pytest.raises(ConfigError, match="negative"):
        function.sample(-1, 1)


@settings(max_examples=50, deadline=None)
@given(
    st.floats(-3, 4),
    st.lists(st.floats(0.05, 3.0), min_size=2, max_size=20),
)
def test_weights_sum_to_the_covered_fraction(alpha, masses):
    function = power_law(alpha, 0.1, 2.0)
    masses = np.array(masses)
    covered = float(function.cdf(masses.max()) - function.cdf(masses[0]))
    for weights in (function.interval_weights(masses), function.point_weights(masses)):
        assert (weights >= 0).all()
        assert weights.sum() == pytest.approx(covered, abs=1e-12)


def test_weights_are_exact_integrals_not_midpoints():
    function = power_law(2.35, 0.1, 10.0)
    weights = function.interval_weights([0.1, 1.0, 10.0])
    assert weights.tolist() == pytest.approx([integral(function, 0.1, 1.0), integral(function, 1.0, 10.0)])
    assert abs(weights[0] - float(function.pdf(0.55)) * 0.9) > 0.2
    points = function.point_weights([0.2, 0.4, 0.8])
    assert points[1] == pytest.approx(integral(function, 0.3, 0.6))
    assert function.interval_weights([0.5, 0.5, 0.4, 0.6])[:2].tolist() == [0, 0]


def test_a_slope_next_to_one_is_as_good_as_one():
    near, one = power_law(1 + 1e-12, 0.1, 50.0), power_law(1.0, 0.1, 50.0)
    np.testing.assert_allclose(near.cdf([0.2, 1.0, 20.0]), one.cdf([0.2, 1.0, 20.0]), rtol=1e-10)
    assert one.ppf(0.5) == pytest.approx(np.sqrt(0.1 * 50.0))


@pytest.mark.parametrize(
    "make",
    [
        lambda: power_law(2.0, 0.0, 1.0),
        lambda: power_law(2.0, 1.0, 1.0),
        lambda: power_law(2.0, 1.0, np.inf),
        lambda: power_law(np.nan, 0.1, 1.0),
        lambda: kroupa_2001(0.001, 1.0),
        lambda: chabrier_2003(2.0, 1.0),
        lambda: step_function([0, 0.5], [0]),
        lambda: step_function([0, 0.5, 0.4, 1], [0, 0, 0]),
        lambda: step_function([0, 0.5, 1], [0]),
        lambda: step_function([0, 0.5, 1], [0, np.inf]),
        lambda: power_law(1.0, 0.1, 1.0).ppf(1.1),
        lambda: power_law(1.0, 0.1, 1.0).ppf(np.nan),
        lambda: power_law(1.0, 0.1, 1.0).interval_weights([0.3]),
        lambda: power_law(1.0, 0.1, 1.0).interval_weights([0.3, np.nan]),
        lambda: power_law(1.0, 0.1, 1.0).point_weights([]),
        lambda: power_law(1.0, 0.1, 1.0).point_weights([[0.1, 0.2]]),
    ],
)
def test_bad_settings_are_refused(make):
    with pytest.raises(ConfigError):
        make()
