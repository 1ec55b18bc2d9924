"""APOGEE spectra before they are learned: the recipe on real files, bad pixels, spectra that cannot be used."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from starloom.datasets.access import locate
from starloom.errors import CatalogError, ConfigError, DatasetError
from starloom.spectra.apogee import read_apstar
from starloom.stars import seismic_spectra as spectra

RECIPE = {
    "2M19485057+5005279": (245, 1.0013, (0.737, 0.955, 0.993, 1.009, 1.037)),
    "2M17335483-2753043": (121, 1.0069, (0.561, 0.784, 0.919, 1.026, 1.117)),
}
PIXELS = np.arange(spectra.PIXELS)
CONTINUUM = PIXELS % 14 == 0


def made(count=3, seed=1, noise=0.01):
    rng = np.random.default_rng(seed)
    flux = np.ones((count, spectra.PIXELS))
    for center in rng.integers(20, spectra.PIXELS - 20, 250):
        if not CONTINUUM[center - 2 : center + 3].any():
            flux[:, center - 2 : center + 3] -= 0.3
    return flux + noise * rng.standard_normal(flux.shape), np.full(flux.shape, noise)


@pytest.mark.parametrize("name", RECIPE)
def test_real_spectra_come_out_as_the_recipe_has_them(name):
    try:
        path, chosen = locate("apogee_spectra", name).path, spectra.continuum_pixels()
    except DatasetError as error:
        pytest.skip(f"the real files cannot be had here: {error}")
    masked, median, percentiles = RECIPE[name]
    ready = spectra.read_spectra([path])
    assert ready.reasons.tolist() == [""]
    assert ready.flux.shape == (1, 7514)
    assert int((~ready.good).sum()) == masked
    assert np.median(ready.flux[0, chosen]) == pytest.approx(median, abs=0.0005)
    assert np.percentile(ready.flux[0], [1, 16, 50, 84, 99]) == pytest.approx(percentiles, abs=0.005)
    assert spectra.wavelengths() == pytest.approx(read_apstar(path).main.wavelength[spectra.KEPT], rel=1e-9)
    assert ready.signal_to_noise[0] > 100


def test_a_continuum_is_divided_out():
    flux, error = made()
    x = np.linspace(-1, 1, spectra.PIXELS)
    level = np.array([[3.0], [200.0], [0.01]]) * (1 + 0.2 * x + 0.1 * x**2)
    plain = spectra.normalize(flux, error, continuum=CONTINUUM)
    bent = spectra.normalize(flux * level, error * level, continuum=CONTINUUM)
    assert bent.flux == pytest.approx(plain.flux, abs=2e-3)
    assert np.median(plain.flux[:, CONTINUUM]) == pytest.approx(1.0, abs=1e-3)


def test_bad_pixels_are_one_and_known():
    flux, error = made(4)
    flux[0, 100], flux[1, 200], error[2, 300] = np.nan, -5.0, -1.0
    flux[3, 400] = 9.0
    mask = np.zeros(flux.shape, dtype=np.int64)
    mask[0, 500], mask[0, 501], mask[0, 502] = 1, 1 << 12, 1 << 9
    ready = spectra.normalize(flux, error, mask, continuum=CONTINUUM)
    assert not ready.good[0, [100, 500, 501]].any()
    assert ready.good[0, 502]
    assert ready.flux[0, 100] == 1.0
    assert ready.flux[1, 200] == 0.0
    assert not ready.good[2, 300]
    assert not ready.good[3, 400]


def test_spectra_that_cannot_be_used_come_back_with_a_reason():
    flux, error = made(5)
    flux[0] = np.nan
    error[1, 1000:] = np.inf
    flux[2] = 1.0
    error[3] = 0.0
    ready = spectra.normalize(flux, error, continuum=CONTINUUM)
    assert ready.usable.tolist() == [False, False, False, False, True]
    assert "no pixel" in ready.reasons[0]
    assert "30%" in ready.reasons[1]
    assert "constant" in ready.reasons[2]
    assert np.isfinite(ready.flux).all()


def test_wrong_shapes_are_refused():
    flux, error = made()
    with pytest.raises(CatalogError, match="8575"):
        spectra.normalize(flux[:, :100], error[:, :100], continuum=CONTINUUM)
    with pytest.raises(CatalogError, match="one shape"):
        spectra.normalize(flux, error[:2], continuum=CONTINUUM)
    with pytest.raises(CatalogError, match="continuum"):
        spectra.normalize(flux, error, continuum=CONTINUUM[:5])
    with pytest.raises(ConfigError, match="continuum pixels"):
        spectra.normalize(flux, error, continuum=np.zeros(spectra.PIXELS, bool))
    with pytest.raises(CatalogError, match="no spectrum"):
        spectra.of_spectra([])


def test_other_grids_and_frames_are_told_apart_and_shifted_ones_moved(tmp_path):
    from starloom.spectra.spectrum import LogGrid, Spectrum

    rng = np.random.default_rng(3)
    values = 1.0 + 0.01 * rng.standard_normal(spectra.GRID.count)
    zeros = np.zeros(spectra.GRID.count, dtype=np.int64)
    whole = Spectrum(spectra.GRID.wavelength, values, np.full(len(values), 1e4), zeros, grid=spectra.GRID, frame="rest")
    part = slice(200, 8400)
    moved = LogGrid(spectra.GRID.start + 200 * spectra.GRID.step, spectra.GRID.step, 8200)
    cut = Spectrum(moved.wavelength, values[part], np.full(8200, 1e4), zeros[part], grid=moved, frame="rest")
    other = dataclasses.replace(whole, grid=LogGrid(4.0, 1e-4, spectra.GRID.count))
    seen = dataclasses.replace(whole, frame="observed")
    ready = spectra.of_spectra([whole, cut, other, seen], continuum=CONTINUUM)
    assert ready.flux[1] == pytest.approx(ready.flux[0])
    assert "grid" in ready.reasons[2]
    assert "rest" in ready.reasons[3]
    (tmp_path / "broken.fits").write_bytes(b"no fits")
    lost = spectra.read_spectra([tmp_path / "broken.fits", tmp_path / "absent.fits"], continuum=CONTINUUM)
    assert not lost.usable.any()
    assert all(lost.reasons)


def test_continuum_pixels_are_found_where_nothing_absorbs():
    flux, _ = made(40, noise=0.002)
    found = spectra.find_continuum(flux, share=0.05)
    assert 300 < found.sum() < 500
    assert np.median(flux[:, found]) > 0.995
    with pytest.raises(CatalogError):
        spectra.find_continuum(flux[:, :20])
    with pytest.raises(ConfigError):
        spectra.find_continuum(flux, share=0.9)
