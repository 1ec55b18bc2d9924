"""Every real file at hand opens, and agrees with the loaders of specutils to the bit."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from starloom.datasets.places import data_folders
from starloom.spectra.coadd import coadd, noise
from starloom.spectra.reading import read_spectra
from starloom.spectra.sdss import spectra_of_table
from starloom.spectra.summaries import read_summary

FORMATS = {"spec": "SDSS-III/IV spec", "apStar": "APOGEE apStar", "apVisit": "APOGEE apVisit"}


def real(folder, pattern):
    for place in data_folders():
        found = sorted((Path(place) / folder).glob(pattern))
        if found:
            return found
    pytest.skip(f"{folder}/{pattern} is in no data folder (STARLOOM_DATA)")


def files():
    return [*real("sdss_spectra", "spec-*.fits"), *real("apogee_spectra", "*.fits.gz")]


def test_every_file_opens():
    kinds = [read_spectra(path).kind for path in files()]
    assert sorted(kinds) == ["apStar"] * 2 + ["apVisit"] * 2 + ["spec"] * 3


def test_flux_wavelength_errors_and_masks_are_those_of_specutils():
    specutils = pytest.importorskip("specutils")
    for path in files():
        ours = read_spectra(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = specutils.Spectrum.read(str(path), format=FORMATS[ours.kind])
            auto = specutils.Spectrum.read(str(path))
        for one in (theirs, auto):
            assert np.array_equal(ours.main.flux, one.flux.value, equal_nan=True)
            assert np.array_equal(ours.main.wavelength, one.spectral_axis.value)
            assert str(one.flux.unit) == ours.main.unit
            kind = type(one.uncertainty).__name__
            values = np.asarray(one.uncertainty.array, dtype=float)
            mine, known = (ours.main.ivar if kind == "InverseVariance" else ours.main.error), ours.main.ivar > 0
            assert np.array_equal(mine[known], values[known])  # elsewhere errors are 1e10 in the file and NaN here
        if theirs.mask is not None:
            assert np.array_equal(ours.main.mask != 0, theirs.mask)
        made = ours.main.to_specutils()
        assert np.array_equal(made.flux.value, theirs.flux.value, equal_nan=True)
        assert np.array_equal(made.spectral_axis.value, theirs.spectral_axis.value)


def test_the_visits_of_an_apstar_are_visits():
    """Their loader for SDSS-V lists the two combinations as the first two visits; here they have their names."""
    (path,) = [p for p in real("apogee_spectra", "apStar*") if "2M17335483" in p.name]
    found = read_spectra(path)
    assert found.names[2:] == ["visit 1", "visit 2", "visit 3"]
    snr = [found[f"visit {k}"].meta["snr"] for k in (1, 2, 3)]
    assert snr == pytest.approx([67.20, 90.56, 105.90], abs=0.01)
    measured = [found[f"visit {k}"].signal_to_noise for k in (1, 2, 3)]
    assert np.argsort(measured).tolist() == [0, 1, 2]
    assert found.main.signal_to_noise == pytest.approx(found.header["SNR"], rel=0.02)


def test_one_visit_has_no_empty_second_spectrum():
    (path,) = [p for p in real("apogee_spectra", "apStar*") if "2M19485057" in p.name]
    assert read_spectra(path).names == ["coadd"]


def test_exposures_of_a_full_file():
    (path,) = real("apogee_spectra", "spec-3586*")
    found = read_spectra(path)
    assert len(found.spectra) == 15
    assert found.ids["specobjid"] == 4037614591814901760
    assert found.main.meta["redshift"] == pytest.approx(-0.000101, abs=1e-6)
    assert len(found.tables["lines"]) == 32
    blue = [one for one in found.spectra if one.name.startswith("B1")]
    assert len(blue) == 7


def test_the_exposures_of_a_star_add_up_to_its_coadd():
    """The pipeline's own coadd and ours of its exposures, on the coadd's grid: the same star to a per cent."""
    (path,) = real("apogee_spectra", "spec-3586*")
    found = read_spectra(path)
    ours = coadd(found.spectra[1:], grid=found.main.grid).spectrum
    middle = (ours.wavelength > 4500) & (ours.wavelength < 9000) & ours.good & found.main.good
    ratio = ours.flux[middle] / found.main.flux[middle]
    assert np.median(ratio) == pytest.approx(1.0, abs=0.01)
    assert np.std(ratio) < 0.03


def test_pixels_of_the_sdss_table():
    (path,) = real("sdss_spectra", "sdss_spectra.parquet")
    spectra = spectra_of_table(path)
    assert len(spectra) == 83
    stated = np.array([one.meta["sn_median"] for one in spectra])
    measured = np.array([one.signal_to_noise for one in spectra])
    assert np.median(np.abs(measured / stated - 1)) < 0.02


def test_seventy_eight_epochs():
    (path,) = real("sdss_spectra", "sdss_spectra.parquet")
    epochs = [one for one in spectra_of_table(path) if one.meta["group"] == "rm017"]
    assert len(epochs) == 78
    found = coadd(epochs, scale="median")
    assert found.used.all()
    assert found.spectrum.signal_to_noise > 120
    # sum of squares of the epochs' own S/N: what independent noise would give
    ideal = np.sqrt(sum(one.signal_to_noise**2 for one in epochs))
    assert found.spectrum.signal_to_noise == pytest.approx(ideal, rel=0.1)
    assert noise(found.spectrum) < 0.25 * np.median([noise(one) for one in epochs])
    # [O III] 5007 (vacuum 5008.24) stands where the redshift says
    rest = found.spectrum.wavelength / (1 + np.median([one.meta["z"] for one in epochs]))
    near = (rest > 4990) & (rest < 5025)
    assert rest[near][np.argmax(found.spectrum.flux[near])] == pytest.approx(5008.24, abs=2.0)


def test_ninety_five_stars_with_the_columns_of_allstar():
    (path,) = real("apogee_dr17_sample", "*.parquet")
    table = read_summary(path)
    assert table.meta["summary"] == "allStar"
    assert len(table) == 95
    for name in ("TEFF", "FE_H", "MG_FE"):
        values = np.asarray(table[name])
        assert not (values < -900).any()
