"""One spectrum: its grid, errors, good pixels, and the way to specutils."""

import numpy as np
import pytest

from starloom.errors import CatalogError
from starloom.spectra.spectrum import LogGrid, Spectrum


def spectrum(count=50, **more):
    grid = LogGrid(3.6, 1e-4, count)
    values = {"wavelength": grid.wavelength, "flux": np.arange(1.0, count + 1), "ivar": np.full(count, 4.0)}
    values |= {"mask": np.zeros(count, dtype=int), "grid": grid}
    return Spectrum(**(values | more))


def test_a_grid_stored_in_single_precision_is_found_again():
    stored = (3.5571 + 1e-4 * np.arange(4600)).astype(np.float32)
    grid = LogGrid.through(stored)
    assert grid.step == 1e-4
    assert grid.start == pytest.approx(3.5571, abs=1e-9)
    assert grid.count == 4600
    assert np.abs(np.log10(grid.wavelength) - stored).max() < 3e-7


def test_apogee_steps_are_found_too():
    assert LogGrid.through(4.179 + 6e-6 * np.arange(8575)).step == 6e-6


def test_unequal_steps_are_no_grid():
    stored = 3.6 + 1e-4 * np.arange(100)
    stored[50:] += 3e-5
    assert LogGrid.through(stored) is None
    assert LogGrid.through([3.6, np.nan, 3.7]) is None
    assert LogGrid.through(np.log10(np.linspace(4000, 5000, 1000))) is None


def test_a_header_that_disagrees_is_not_believed():
    assert LogGrid.through(3.6 + 1e-4 * np.arange(10), 3.7, 1e-4) is None


def test_grids_shifted_by_whole_pixels_are_aligned():
    base = LogGrid(3.5571, 1e-4, 4000)
    assert base.aligned(LogGrid(3.5593, 1e-4, 3800))
    assert not base.aligned(LogGrid(3.55935, 1e-4, 3800))
    assert not base.aligned(LogGrid(3.5571, 1.01e-4, 3800))


def test_width_of_a_pixel():
    assert LogGrid(3.6, 1e-4, 10).velocity == pytest.approx(69.03, abs=0.01)
    grid = LogGrid(3.6, 1e-4, 10)
    assert np.all((grid.edges[:-1] < grid.wavelength) & (grid.wavelength < grid.edges[1:]))


def test_good_heeds_errors_values_and_bits():
    ivar, flux, mask = np.full(50, 4.0), np.ones(50), np.zeros(50, dtype=int)
    ivar[0], flux[1], mask[2], mask[3] = 0.0, np.nan, 0b100, 0b1
    one = spectrum(flux=flux, ivar=ivar, mask=mask, bad_bits=0b100)
    assert np.flatnonzero(~one.good).tolist() == [0, 1, 2]
    assert np.isnan(one.error[0])
    assert one.error[4] == 0.5
    assert one.signal_to_noise == 2.0


def test_no_good_pixel_has_no_signal_to_noise():
    assert np.isnan(spectrum(ivar=np.zeros(50)).signal_to_noise)


def test_the_files_own_errors_are_kept():
    own = np.full(50, 0.3)
    assert np.array_equal(spectrum(ivar=1 / own**2, columns={"error": own}).error, own)


@pytest.mark.parametrize(
    "wrong",
    [
        {"flux": np.ones(49)},
        {"ivar": -np.ones(50)},
        {"columns": {"sky": np.ones(3)}},
        {"flux": np.ones((2, 25))},
    ],
)
def test_arrays_that_do_not_fit_are_refused(wrong):
    with pytest.raises(CatalogError, match=r"spectrum"):
        spectrum(**wrong)


def test_the_table_has_units_and_all_columns():
    table = spectrum(columns={"sky": np.zeros(50)}, meta={"redshift": 0.5, "list": [1, 2]}).table()
    assert table["wavelength"].unit == "Angstrom"
    assert str(table["flux"].unit) == "1e-17 erg / (Angstrom s cm2)"
    assert {"sky", "good", "ivar", "mask", "error"} < set(table.colnames)
    assert table.meta == {"redshift": 0.5}


def test_specutils_gets_the_same():
    pytest.importorskip("specutils")
    one = spectrum(mask=np.arange(50) % 2)
    theirs = one.to_specutils()
    assert np.array_equal(theirs.flux.value, one.flux)
    assert np.array_equal(theirs.spectral_axis.value, one.wavelength)
    assert np.array_equal(theirs.uncertainty.array, one.ivar)
    assert np.array_equal(theirs.mask, one.mask != 0)
    assert np.array_equal(one.to_specutils("error").uncertainty.array, one.error)


def test_specutils_takes_only_wavelengths_in_order():
    pytest.importorskip("specutils")
    wave = np.concatenate([np.arange(4000.0, 4025.0), np.arange(3990.0, 4015.0)])
    with pytest.raises(CatalogError, match="specutils does not take"):
        spectrum(wavelength=wave, grid=None).to_specutils()
