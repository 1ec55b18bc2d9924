from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import gamma
from scipy.stats import kurtosis, skew

from starloom.disk.snail_noise import ColoredNoise, WhiteNoise
from starloom.disk.snail_response import Amplification, SnailModel, peak, phase_slope
from starloom.errors import ConfigError


@pytest.fixture(scope="module")
def ages(snail_model):
    return snail_model.ages(20_000, seed=1)


def test_lifetimes(snail_model):
    assert snail_model.lifetime([10.0, 20.0, 40.0]) == pytest.approx([0.571, 0.701, 0.983], rel=2e-3)
    known = replace(snail_model, heating=1.81).lifetime([5.0, 10.0, 20.0, 30.0, 40.0, 60.0])
    assert known == pytest.approx([0.522, 0.548, 0.673, 0.810, 0.943, 1.190], rel=2e-3)
    assert replace(snail_model, heating=0.2).lifetime(20.0) == pytest.approx(2 * snail_model.lifetime(20.0))
    assert np.isinf(replace(snail_model, heating=0.0).lifetime(20.0))


def test_the_power_of_the_amplitude(snail_model):
    """<|A|^2> = s^2 t_d 2^(-1/3) Gamma(4/3) for white noise."""
    sample = WhiteNoise(2.0).sample(20_000, snail_model.steps, snail_model.step, np.random.default_rng(1))
    found = np.mean(np.abs(snail_model.amplitudes(sample)) ** 2, axis=0)
    true = 2.0 * snail_model.lifetime(snail_model.j) * 2 ** (-1 / 3) * gamma(4 / 3)
    assert found == pytest.approx(true, rel=0.05)


def test_amplitudes_are_gaussian(snail_model):
    sample = WhiteNoise(1.0).sample(20_000, snail_model.steps, snail_model.step, np.random.default_rng(2))
    amplitude = snail_model.amplitudes(sample)[:, [0, 30, 110]]
    for part in (amplitude.real, amplitude.imag):
        assert np.abs(skew(part)).max() < 0.06  # three and a half standard errors of 20,000 draws
        assert np.abs(kurtosis(part)).max() < 0.13


def test_ages_of_random_spirals(ages):
    low, middle, high = ages.quantiles()
    assert 0.24 <= middle <= 0.30
    assert 0.07 <= low <= 0.13
    assert 0.43 <= high <= 0.51
    assert np.quantile(ages.matched, 0.99) < 0.85
    assert (ages.matched > 0.9).mean() < 0.002
    above = ages.quantiles(above=0.3)
    assert 0.39 <= above[1] <= 0.47
    assert above[0] < 0.5 < above[2]
    assert ((ages.matched > 0.2) & (ages.matched < 0.6))[ages.matched > 0.3].mean() > 0.7
    assert 0.25 <= np.median(ages.slope) <= 0.31


def test_color_and_the_diffusion_equation_hardly_matter(snail_model, ages):
    middle = ages.quantiles()[1]
    colored = snail_model.ages(10_000, ColoredNoise(1.0, 0.03), seed=2).quantiles()[1]
    assert abs(colored - middle) < 0.03
    full = replace(snail_model, erosion="full").ages(10_000, seed=2).quantiles()[1]
    assert abs(full - middle) < 0.03


def test_no_age_without_diffusion(snail_model):
    still = replace(snail_model, heating=0.0, span=10.0, steps=2000, oldest=2.0).ages(3000, seed=3)
    low, middle, high = still.quantiles()
    assert middle > 0.8
    assert high - low > 1.2


def test_all_times_go_as_the_cube_root_of_heating(snail_model):
    """Eight times the heating on bins half as long is the same model at half the time, for A up to its scale."""
    weak = snail_model.memory[:, 40]
    strong = replace(snail_model, heating=12.8, span=0.75).memory[:, 40]
    assert np.abs(strong) == pytest.approx(np.abs(weak), rel=1e-9)


def test_one_kick_winds_with_its_age(snail_model):
    impulses = np.zeros((3, snail_model.steps))
    bins = [40, 80, 120]
    impulses[np.arange(3), bins] = 1.0
    amplitude = snail_model.amplitudes(impulses)
    slope = phase_slope(amplitude, snail_model.omega, snail_model.weight)
    assert slope == pytest.approx(snail_model.ages_ago[bins], rel=5e-3)
    matched, _ = snail_model.matched(impulses)
    assert matched == pytest.approx(snail_model.ages_ago[bins], abs=0.005)


def test_the_answer_does_not_depend_on_workers_or_blocks(snail_model):
    one, two = snail_model.ages(5000, seed=4, workers=1), snail_model.ages(5000, seed=4, workers=3)
    assert (one.matched == two.matched).all()
    edges = np.linspace(0, 1.5, 31)
    histogram = snail_model.matched_ages(5000, seed=4, bins=edges)
    assert (histogram == np.histogram(one.matched, edges)[0]).all()


def test_contrast_of_a_kick_just_now(slab):
    """Before any winding: f0(J(v - dv)) / f0 - 1, which is exact."""
    model = SnailModel(slab, heating=0.0, span=0.002, steps=2)
    rng = np.random.default_rng(5)
    action, theta = rng.uniform(5, 40, 500), rng.uniform(0, 2 * np.pi, 500)
    omega = slab.omega(action)
    z, v = slab.position(action, theta - omega * model.ages_ago[0] * 1.0227121650537077)
    for gradient in (False, True):
        one = model if not gradient else replace(model, harmonic=2)
        kick = 0.01 * (z if gradient else 1.0)
        true = np.exp(-(slab.find(z, v - kick).action_z - action) / model.scale) - 1
        found = one.contrast(np.array([0.01, 0.0]), action, theta, harmonics=6)
        assert np.sqrt(np.mean((found - true) ** 2)) < 0.03 * true.std()


def test_amplification(snail_model):
    kernel = Amplification(3.0, 0.05).kernel(2000, 0.001)
    assert kernel.sum() == pytest.approx(3.0)
    twice = replace(snail_model, heating=0.0, amplification=Amplification(2.0, 1e-6)).memory
    # with no delay it is a factor
    assert np.abs(twice) == pytest.approx(2 * np.ones_like(np.abs(twice)))


def test_peak_and_resolution(snail_model):
    places = np.linspace(0, 1, 11)
    place, height = peak(places, np.stack([-((places - 0.43) ** 2), places, -places]))
    assert place == pytest.approx([0.43, 1.0, 0.0])
    assert height[1] == 1.0
    assert snail_model.resolution == pytest.approx(0.267, abs=0.002)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"heating": -1.0}, "heating"), ({"heating": np.nan}, "heating"), ({"low": 60.0}, "low < high"),
        ({"high": 1e5}, "beyond the table"), ({"harmonic": 3}, "harmonic"), ({"erosion": "none"}, "erosion"),
        ({"span": 0.0}, "span"), ({"weighting": "?"}, "weighting"),
    ],
)  # fmt: skip
def test_impossible_models(slab, changes, words):
    with pytest.raises(ConfigError, match=words):
        SnailModel(slab, **changes)


def test_wrong_shapes(snail_model):
    with pytest.raises(ConfigError, match="shape"):
        snail_model.amplitudes(np.zeros(300))
    with pytest.raises(ConfigError, match="history"):
        snail_model.contrast(np.zeros(3), [5.0], [0.0])
    with pytest.raises(ConfigError, match="at least one"):
        snail_model.ages(0)
    with pytest.raises(ConfigError, match="factor"):
        Amplification(-1.0)
