"""Small files of spectra in the layouts of the surveys, made here."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

CATALOGID = 6305039478318694399  # 19 digits: a float would lose the last ones


def loglam(count=200, start=3.58):
    return (start + 1e-4 * np.arange(count)).astype(np.float32)


def coadd_columns(count=200, seed=1, ivar=4.0):
    rng = np.random.default_rng(seed)
    flux = (5.0 + rng.normal(0, 0.5, count)).astype(np.float32)
    zeros = np.zeros(count, dtype=np.int32)
    return [
        fits.Column("FLUX", "E", array=flux),
        fits.Column("LOGLAM", "E", array=loglam(count)),
        fits.Column("IVAR", "E", array=np.full(count, ivar, dtype=np.float32)),
        fits.Column("AND_MASK", "J", array=zeros),
        fits.Column("OR_MASK", "J", array=zeros + 4),
        fits.Column("SKY", "E", array=flux),
    ]


@pytest.fixture
def write_spec(tmp_path):
    """Writes a spec file of SDSS-V; ``parts`` says which extensions follow the coadd."""

    def write(
        parts=("object", "lines", "exposures"), columns=None, name="spec-015000-59146-6305039478318694399.fits", **cards
    ):
        primary = fits.PrimaryHDU()
        primary.header["TELESCOP"], primary.header["VERS2D"] = "SDSS 2.5-M", "v6_0_4"
        for key, value in cards.items():
            primary.header[key] = value
        hdus = [primary, fits.BinTableHDU.from_columns(columns or coadd_columns(), name="COADD")]
        if "object" in parts:
            row = [
                fits.Column("CATALOGID", "K", array=np.array([CATALOGID])),
                fits.Column("Z", "E", array=np.array([0.5])),
                fits.Column("CLASS", "6A", array=np.array(["QSO"])),
            ]
            hdus.append(fits.BinTableHDU.from_columns(row, name="SPALL"))
        if "lines" in parts:
            row = [fits.Column("LINENAME", "8A", array=np.array(["H_alpha"]))]
            hdus.append(fits.BinTableHDU.from_columns(row, name="ZLINE"))
        if "exposures" in parts:
            hdus += [
                fits.BinTableHDU.from_columns(coadd_columns(150, seed), name=f"MJD_EXP_59146-{seed:02d}")
                for seed in (2, 3)
            ]
        path = tmp_path / name
        fits.HDUList(hdus).writeto(path)
        return path

    return write


@pytest.fixture
def write_apstar(tmp_path):
    """Writes an apStar file of some visits on 8575 pixels."""

    def write(visits=3, name="apStar-dr17-2M00000000+0000000.fits", kind="apStar"):
        rng = np.random.default_rng(3)
        rows = visits + 2 if visits > 1 else 1
        flux = 100.0 + rng.normal(0, 1, (rows, 8575))
        error = np.full((rows, 8575), 1.0)
        error[:, :50] = 1e10
        mask = np.zeros((rows, 8575), dtype=np.int16)
        mask[:, 100] = 1
        primary = fits.PrimaryHDU()
        primary.header["OBJID"], primary.header["NVISITS"], primary.header["VHELIO"] = (
            "2M00000000+0000000",
            visits,
            12.5,
        )
        for k in range(visits):
            primary.header[f"SNRVIS{k + 1}"], primary.header[f"VHELIO{k + 1}"] = 10.0 * (k + 1), 12.0 + k
        words = ("Flux (10^-17 erg/s/cm^2/Ang)", "Err (10^-17 erg/s/cm^2/Ang)", "Pixel bitmask")
        hdus = [primary]
        for data, word in zip((flux, error, mask), words, strict=True):
            part = fits.ImageHDU(data)
            part.header["BUNIT"], part.header["CRVAL1"], part.header["CDELT1"] = word, 4.179, 6e-6
            hdus.append(part)
        path = tmp_path / name
        fits.HDUList(hdus).writeto(path)
        return path

    return write


@pytest.fixture
def write_aspcapstar(tmp_path):
    """Writes an aspcapStar file with a model and labels."""

    def write(labels=True):
        rng = np.random.default_rng(4)
        flux = 1.0 + rng.normal(0, 0.01, 8575)
        hdus = [fits.PrimaryHDU()]
        for data in (flux, np.full(8575, 0.01), np.ones(8575)):
            part = fits.ImageHDU(data)
            part.header["CRVAL1"], part.header["CDELT1"] = 4.179, 6e-6
            hdus.append(part)
        if labels:
            row = [
                fits.Column("TEFF", "E", array=np.array([4800.0])),
                fits.Column("ASPCAPFLAG", "K", array=np.array([0])),
            ]
            hdus.append(fits.BinTableHDU.from_columns(row))
        path = tmp_path / "aspcapStar-dr17-2M00000000+0000000.fits"
        fits.HDUList(hdus).writeto(path)
        return path

    return write


@pytest.fixture
def write_mwmstar(tmp_path):
    """Writes an mwmStar file: one star in BOSS/APO and APOGEE/APO, the other extensions empty."""

    def write(empty=False):
        primary = fits.PrimaryHDU()
        primary.header["SDSS_ID"], primary.header["V_ASTRA"] = 54377305, "0.6.0"
        hdus = [primary]
        for name, count, step, start in (
            ("BOSS/APO", 300, 1e-4, 3.5523), ("BOSS/LCO", 0, 1e-4, 3.5523),
            ("APOGEE/APO", 8575, 6e-6, 4.179), ("APOGEE/LCO", 0, 6e-6, 4.179),
        ):  # fmt: skip
            pixels, rows = max(count, 10), int(count > 0 and not empty)
            wave = 10 ** (start + step * np.arange(pixels))
            array = {"wavelength": wave, "flux": 3.0 * np.ones(pixels), "ivar": 25.0 * np.ones(pixels)}
            columns = [
                fits.Column(key, f"{pixels}E", array=np.tile(value.astype(np.float32), (rows, 1)))
                for key, value in array.items()
            ]
            columns += [
                fits.Column("pixel_flags", f"{pixels}J", array=np.zeros((rows, pixels), dtype=np.int32)),
                fits.Column("sdss_id", "K", array=np.full(rows, 54377305)),
                fits.Column("catalogid", "K", array=np.full(rows, CATALOGID)),
                fits.Column("snr", "E", array=np.full(rows, 15.0)),
                fits.Column("min_mjd", "J", array=np.full(rows, 59000)),
            ]
            part = fits.BinTableHDU.from_columns(columns, name=name)
            part.header["INSTRMNT"] = name.split("/")[0]
            hdus.append(part)
        path = tmp_path / "mwmStar-0.6.0-54377305.fits"
        fits.HDUList(hdus).writeto(path)
        return path

    return write
