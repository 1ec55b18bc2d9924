"""Fluxes in windows and excess variance, against closed forms and simulations."""

import numpy as np
import pytest

from starloom.errors import ConfigError
from starloom.spectra.light_curves import continuum, line, measured, variability
from starloom.spectra.spectrum import LogGrid, Spectrum

LINE, SIDES = (4990.0, 5026.0), ((4970.0, 4985.0), (5030.0, 5045.0))


def quasar(redshift=0.4, area=100.0, slope=0.001, sigma=0.0, seed=1):
    grid = LogGrid(np.log10(4800 * (1 + redshift)), 1e-4, 400)
    rest = grid.wavelength / (1 + redshift)
    width = 3.0
    profile = np.exp(-0.5 * ((rest - 5008.24) / width) ** 2) / np.sqrt(2 * np.pi) / (width * (1 + redshift))
    noise = np.random.default_rng(seed).normal(0, 1, 400) * sigma
    flux = 5.0 + slope * (rest - 5000) + area * profile + noise
    ivar = np.full(400, max(sigma, 0.1) ** -2.0)
    return Spectrum(grid.wavelength, flux, ivar, np.zeros(400, int), grid=grid)


def test_the_area_of_a_line():
    assert line(quasar(), LINE, SIDES, 0.4).value == pytest.approx(100.0, rel=2e-3)


def test_the_error_of_a_line_is_its_scatter():
    found = [line(quasar(sigma=0.3, seed=seed), LINE, SIDES, 0.4) for seed in range(300)]
    values, errors = measured(found)
    assert np.std(values) == pytest.approx(np.mean(errors), rel=0.15)  # 4 sigma
    assert np.mean(values) == pytest.approx(100.0, abs=4 * np.std(values) / np.sqrt(300) + 0.2)


def test_the_continuum_and_its_error():
    found = [continuum(quasar(area=0.0, slope=0.0, sigma=0.2, seed=seed), (4850.0, 4950.0), 0.4) for seed in range(200)]
    values, errors = measured(found)
    assert np.mean(values) == pytest.approx(5.0, abs=4 * np.std(values) / np.sqrt(200))
    assert np.std(values) == pytest.approx(np.mean(errors), rel=0.2)


def test_windows_without_data():
    assert np.isnan(continuum(quasar(), (9000.0, 9100.0), 0.4).value)
    assert np.isnan(line(quasar(), (9000.0, 9100.0), SIDES, 0.4).value)
    assert np.isnan(line(quasar(), LINE, ((1.0, 2.0), (3.0, 4.0)), 0.4).error)
    with pytest.raises(ConfigError, match="low to high"):
        continuum(quasar(), (5.0, 4.0))


def test_excess_variance_of_a_simulation():
    rng = np.random.default_rng(1)
    flux = 10 * (1 + 0.2 * rng.normal(size=4000)) + rng.normal(0, 1.0, 4000)
    found = variability(flux, np.ones(4000))
    assert found.fractional == pytest.approx(0.2, abs=0.012)  # 4 sigma
    assert found.epochs == 4000


def test_noise_alone_has_no_excess():
    rng = np.random.default_rng(2)
    found = variability(10 + rng.normal(0, 1.0, 200), np.ones(200))
    assert found.fractional < 4 * found.error


def test_light_curves_that_cannot_be():
    with pytest.raises(ConfigError, match="three epochs"):
        variability([1.0, np.nan, 2.0], [0.1, 0.1, 0.1])
    with pytest.raises(ConfigError, match="shape"):
        variability([1.0, 2.0, 3.0], [0.1])
