"""Coadds: weights, errors, scales, rejection, and what cannot be added."""

from dataclasses import replace

import numpy as np
import pytest

from starloom.errors import CatalogError, ConfigError
from starloom.spectra.coadd import coadd, common_grid, noise, onto_grid
from starloom.spectra.spectrum import LogGrid, Spectrum


def epochs(count=8, pixels=400, seed=1, shifts=None, scale=None, sigma=0.2, shape=None):
    rng = np.random.default_rng(seed)
    found = []
    for k in range(count):
        shift = 0 if shifts is None else shifts[k]
        grid = LogGrid(3.6 + 1e-4 * shift, 1e-4, pixels)
        truth = (
            10.0 + 3.0 * np.sin(2000 * (grid.start + grid.step * np.arange(pixels)) / 7.0) if shape is None else shape
        )
        truth = truth * (1.0 if scale is None else scale[k])
        flux = truth + rng.normal(0, sigma, pixels)
        found.append(
            Spectrum(grid.wavelength, flux, np.full(pixels, sigma**-2.0), np.zeros(pixels, int), f"{k}", grid=grid)
        )
    return found


def test_the_weighted_mean_and_its_error():
    first, second = epochs(2)
    second = replace(second, ivar=3.0 * second.ivar)
    found = coadd([first, second], reject=None)
    assert np.allclose(found.spectrum.flux, (first.flux + 3 * second.flux) / 4)
    assert np.allclose(found.spectrum.ivar, first.ivar + second.ivar)
    assert found.spectrum.columns["n_used"].tolist() == [2] * 400


def test_nothing_is_resampled_on_one_grid():
    shifts = (0, 5, -3)
    spectra = epochs(3, shifts=shifts)
    grid = common_grid(spectra)
    assert grid.count == 408
    for one, shift in zip(spectra, shifts, strict=True):
        flux, ivar = onto_grid(one, grid)
        assert np.array_equal(flux[shift + 3 : shift + 403], one.flux)
        assert (ivar > 0).sum() == 400
    found = coadd(spectra)
    assert found.spectrum.columns["n_used"].max() == 3
    assert found.spectrum.columns["n_used"].min() == 1


def test_the_order_does_not_matter():
    spectra = epochs(6, shifts=(0, 1, 2, 3, 4, 5))
    one, other = coadd(spectra), coadd(spectra[::-1])
    assert np.allclose(one.spectrum.flux, other.spectrum.flux, rtol=1e-12)


def test_errors_that_hold_have_a_ratio_of_one():
    found = coadd(epochs(40, sigma=0.3))
    assert found.error_ratio == pytest.approx(1.0, abs=0.03)
    assert np.nanmedian(found.spectrum.columns["scatter_error"]) == pytest.approx(0.3 / np.sqrt(40), rel=0.05)
    understated = [replace(one, ivar=4.0 * one.ivar) for one in epochs(40, sigma=0.3)]
    assert coadd(understated, reject=None).error_ratio == pytest.approx(2.0, abs=0.06)


def test_brightness_is_taken_out_by_the_scale():
    scale = np.linspace(0.5, 2.0, 12)
    spectra = epochs(12, scale=scale, sigma=0.1)
    assert coadd(spectra, reject=None).error_ratio > 10
    found = coadd(spectra, scale="median")
    assert found.error_ratio == pytest.approx(1.0, abs=0.08)
    assert np.allclose(found.scale * scale, np.median(found.scale * scale), rtol=0.01)


def test_a_cosmic_ray_is_left_out():
    spectra = epochs(10)
    flux = spectra[3].flux.copy()
    flux[77] += 50.0
    spectra[3] = replace(spectra[3], flux=flux)
    found = coadd(spectra)
    assert found.spectrum.columns["n_rejected"][77] == 1
    assert abs(found.spectrum.flux[77] - coadd(epochs(10)).spectrum.flux[77]) < 0.3
    assert coadd(spectra, reject=None).spectrum.flux[77] > found.spectrum.flux[77] + 4.0


def test_pixels_where_nothing_is_known():
    spectra = epochs(3)
    ivar = spectra[0].ivar.copy()
    ivar[10] = 0.0
    found = coadd([replace(one, ivar=ivar) for one in spectra])
    assert np.isnan(found.spectrum.flux[10])
    assert found.spectrum.ivar[10] == 0
    assert not found.spectrum.good[10]


def test_an_epoch_without_anything_is_not_used():
    spectra = epochs(4)
    found = coadd([replace(spectra[0], ivar=np.zeros(400)), *spectra[1:]])
    assert found.used.tolist() == [False, True, True, True]
    assert found.spectrum.meta["spectra"] == 3
    with pytest.raises(CatalogError, match="no spectrum has a usable pixel"):
        coadd([replace(one, ivar=np.zeros(400)) for one in spectra])


def test_flux_is_conserved_between_grids():
    one = epochs(1, pixels=2000, sigma=1e-3)[0]
    other = LogGrid(one.grid.start + 0.003, 2.3e-4, 800)
    flux, ivar = onto_grid(one, other)
    inside = ivar > 0
    width = np.diff(other.edges)
    old = np.diff(one.grid.edges)
    low, high = other.edges[:-1][inside][0], other.edges[1:][inside][-1]
    part = (one.grid.edges[:-1] >= low) & (one.grid.edges[1:] <= high)
    assert (flux * width)[inside].sum() == pytest.approx((one.flux * old)[part].sum(), rel=2e-3)
    # errors: 2.3 pixels in one
    assert np.median(ivar[inside] / 1e6) == pytest.approx(2.3, rel=0.02)


def test_falling_wavelengths_are_turned():
    one = epochs(1)[0]
    turned = replace(one, wavelength=one.wavelength[::-1], flux=one.flux[::-1], ivar=one.ivar[::-1], grid=None)
    flux, ivar = onto_grid(turned, one.grid)
    assert np.allclose(flux[ivar > 0], one.flux[ivar > 0], rtol=1e-3)
    mixed = replace(one, wavelength=np.roll(one.wavelength, 7), grid=None)
    with pytest.raises(CatalogError, match="neither grow nor fall"):
        onto_grid(mixed, one.grid)


def test_what_cannot_be_added():
    spectra = epochs(2)
    with pytest.raises(ConfigError, match="two spectra"):
        coadd(spectra[:1])
    with pytest.raises(ConfigError, match="scale"):
        coadd(spectra, scale="mean")
    with pytest.raises(ConfigError, match="reject"):
        coadd(spectra, reject=-1.0)
    with pytest.raises(CatalogError, match="frame"):
        coadd([spectra[0], replace(spectra[1], frame="rest")])
    with pytest.raises(CatalogError, match="unit"):
        coadd([spectra[0], replace(spectra[1], unit="Jy")])
    with pytest.raises(CatalogError, match="equal steps"):
        coadd([replace(one, grid=None) for one in spectra])


def test_noise_is_measured():
    assert noise(epochs(1, pixels=4000, sigma=0.4)[0]) == pytest.approx(0.4, rel=0.05)
    assert np.isnan(noise(epochs(1, pixels=4)[0]))
    assert np.isnan(noise(replace(epochs(1)[0], ivar=np.zeros(400))))
