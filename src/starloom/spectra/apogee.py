"""Infrared spectra of APOGEE and the stars of SDSS-V's Milky Way Mapper: apVisit, apStar, aspcapStar, mwmStar.

apStar and asStar (the same from Las Campanas) of all releases, mwmStar and mwmVisit of DR19, aspcapStar of DR10 to
DR17. All wavelengths are in vacuum. Combined stars are at rest; single visits (apVisit) are as observed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starloom.errors import CatalogError
from starloom.spectra.fits_files import Tables, column, columns_of, floats, header_of, integers, open_fits
from starloom.spectra.sdss import BAD_BITS as OPTICAL_BAD_BITS
from starloom.spectra.sdss import exact_integer
from starloom.spectra.spectrum import FLUX_UNIT, Floats, LogGrid, Spectrum, SpectrumFile, require_spectra

PIXEL_BITS: Mapping[str, int] = {
    name: bit
    for bit, name in enumerate((
        "badpix", "crpix", "satpix", "unfixable", "baddark", "badflat", "baderr", "nosky", "littrow_ghost",
        "persist_high", "persist_med", "persist_low", "sig_skyline", "sig_telluric", "not_enough_psf",
    ))
}  # fmt: skip
"""Names of the bits of APOGEE's pixel masks (APOGEE_PIXMASK)."""

BAD_BITS = 0b100_0000_1111_1111
"""Bits that make a pixel unusable: bad, saturated, hit, without dark, flat, error or sky, or without enough light."""

CHIPS = ("red", "green", "blue")
NO_ERROR = 1e9  # an error as large as this is APOGEE's way to say that a pixel is not known


def _ivar(error: Floats) -> Floats:
    known = np.isfinite(error) & (error > 0) & (error < NO_ERROR)
    with np.errstate(divide="ignore", over="ignore", under="ignore"):  # a damaged error may be of any size
        ivar = np.where(known, error, 1.0) ** -2.0
    return np.where(known & np.isfinite(ivar), ivar, 0.0)


def _image(file: Any, number: int, path: Path, what: str) -> Any:
    if len(file) <= number or file[number].data is None:
        raise CatalogError(f"{path} has no extension {number} with {what}; it has {len(file)} extensions")
    data = np.asarray(file[number].data)
    if data.dtype.names is not None:
        raise CatalogError(f"{path}: extension {number} is a table, and {what} was expected as an image")
    return np.atleast_2d(data)


def _header_grid(header: Mapping[str, Any], count: int, path: Path) -> LogGrid:
    start, step = header.get("CRVAL1"), header.get("CDELT1")
    if start is None or step is None:
        raise CatalogError(f"{path}: the header has no CRVAL1 and CDELT1, and without them no wavelengths")
    return LogGrid(float(start), float(step), count)


def _log_wavelength(grid: LogGrid) -> Floats:
    """In the order of operations of specutils, so that both agree to the bit."""
    return np.asarray(10 ** (np.arange(grid.count) * grid.step + grid.start))


def _number(header: Mapping[str, Any], *names: str) -> float:
    for name in names:
        value = header.get(name)
        if isinstance(value, int | float) and value > -9998:
            return float(value)
    return float("nan")


def _star_ids(header: Mapping[str, Any]) -> dict[str, int | str]:
    ids: dict[str, int | str] = {}
    for key, ours in (
        ("OBJID", "apogee_id"),
        ("CATALOGID", "catalogid"),
        ("SDSS_ID", "sdss_id"),
        ("HEALPIX", "healpix"),
    ):
        if key in header:
            ids[ours] = exact_integer(header[key], ours)
    return ids


def read_apstar(path: str | Path) -> SpectrumFile:
    """Read an apStar or asStar file: the visits of one star and their combinations, at rest.

    Parameters
    ----------
    path : the file, ``.gz`` or not.

    Returns
    -------
    SpectrumFile
        ``coadd`` (weighted pixel by pixel), for several visits ``coadd, one weight a visit``, then ``visit 1`` and so
        on with MJD, velocity and S/N in ``meta``. Rows that hold nothing (DR17 writes one for stars with one visit) are
        left out. The table ``visits`` is the one of the velocity fits where there is one.

    Raises
    ------
    CatalogError
        When the file is damaged or its first four extensions are not those of an apStar file.
    """
    path = Path(path)
    with open_fits(path) as file:
        header = header_of(file[0])
        flux, error = _image(file, 1, path, "the flux"), _image(file, 2, path, "its errors")
        mask = _image(file, 3, path, "the mask")
        if not flux.shape == error.shape == mask.shape:
            raise CatalogError(f"{path}: flux {flux.shape}, errors {error.shape} and mask {mask.shape} differ in shape")
        cards = header | header_of(file[1])
        grid = _header_grid(cards, flux.shape[1], path)
        extra = {
            name: np.atleast_2d(file[k].data)
            for k, name in ((4, "sky"), (6, "telluric"))
            if len(file) > k and file[k].data is not None and np.shape(np.atleast_2d(file[k].data)) == flux.shape
        }
        tables = Tables({"visits": file[9]} if len(file) > 9 and columns_of(file[9]) else {})
    visits = int(header.get("NVISITS", max(len(flux) - 2, 1)))
    ids = _star_ids(header)
    star = {
        "ra": header.get("RA"),
        "dec": header.get("DEC"),
        "radial_velocity": _number(header, "VHELIO", "VHBARY", "VRAD"),
        "snr": _number(header, "SNR"),
        **ids,
    }
    names = ["coadd"] if len(flux) == 1 or visits == 1 else ["coadd", "coadd, one weight a visit"]
    names += [f"visit {k + 1}" for k in range(len(flux) - len(names))]
    spectra = []
    for row, name in enumerate(names):
        if row and not flux[row].any():
            continue
        number = name.removeprefix("visit ") if name.startswith("visit") else ""
        meta = star | (_visit(header, number) if number else {})
        errors = floats(error[row])
        spectra.append(
            Spectrum(
                wavelength=_log_wavelength(grid),
                flux=floats(flux[row]),
                ivar=_ivar(errors),
                mask=integers(mask[row]),
                name=name,
                bad_bits=BAD_BITS,
                grid=grid,
                frame="rest",
                columns={"error": errors} | {key: floats(values[row]) for key, values in extra.items()},
                meta=meta,
            )
        )
    notes = () if (spectra[0].ivar > 0).any() else ("no pixel of the coadd has an error: nothing is known of it",)
    return SpectrumFile(path, "apStar", tuple(spectra), header, tables, ids, notes)


def _visit(header: Mapping[str, Any], number: str) -> dict[str, Any]:
    found = {
        "jd": _number(header, f"JD{number}"),
        "radial_velocity": _number(header, f"VHELIO{number}", f"VHBARY{number}"),
        "radial_velocity_error": _number(header, f"VERR{number}"),
        "snr": _number(header, f"SNRVIS{number}", f"SNR{number}"),
    }
    return found | {"visit_file": str(header.get(f"SFILE{number}", ""))}


def read_apvisit(path: str | Path) -> SpectrumFile:
    """Read an apVisit or asVisit file: one visit on three chips, wavelengths as observed.

    Returns
    -------
    SpectrumFile
        ``visit`` (the three chips one after the other, from red to blue, wavelengths falling all the way) and the
        chips ``red``, ``green``, ``blue`` alone.

    Raises
    ------
    CatalogError
        When the file is damaged or has no flux, errors, mask and wavelengths of three chips.
    """
    path = Path(path)
    with open_fits(path) as file:
        header = header_of(file[0])
        words = ("the flux", "its errors", "the mask", "the wavelengths")
        flux, error, mask, wavelength = (_image(file, k + 1, path, word) for k, word in enumerate(words))
        if not flux.shape == error.shape == mask.shape == wavelength.shape or len(flux) != 3:
            shapes = f"{flux.shape}, {error.shape}, {mask.shape}, {wavelength.shape}"
            raise CatalogError(f"{path}: flux, errors, mask and wavelengths of three chips expected, got {shapes}")
        sky = _image(file, 5, path, "the sky") if len(file) > 5 and file[5].data is not None else None
    ids = _star_ids(header) | {
        key.lower(): exact_integer(header[key], key) for key in ("PLATE", "FIBERID") if key in header
    }
    meta = {
        "ra": header.get("RA"),
        "dec": header.get("DEC"),
        "mjd": header.get("MJD5"),
        "jd": _number(header, "JD-MID"),
        "radial_velocity": _number(header, "VHELIO", "VHBARY"),
        "snr": _number(header, "SNR"),
        **ids,
    }

    def part(rows: slice | int, name: str) -> Spectrum:
        errors = floats(error[rows]).reshape(-1)
        return Spectrum(
            wavelength=floats(wavelength[rows]).reshape(-1),
            flux=floats(flux[rows]).reshape(-1),
            ivar=_ivar(errors),
            mask=integers(mask[rows]).reshape(-1),
            name=name,
            bad_bits=BAD_BITS,
            frame="observed",
            columns={"error": errors} | ({} if sky is None else {"sky": floats(sky[rows]).reshape(-1)}),
            meta=meta,
        )

    spectra = (part(slice(None), "visit"), *(part(k, name) for k, name in enumerate(CHIPS)))
    return SpectrumFile(path, "apVisit", spectra, header, {}, ids)


def read_aspcapstar(path: str | Path) -> SpectrumFile:
    """Read an aspcapStar file: the spectrum divided by its continuum, the best model, and the labels.

    Returns
    -------
    SpectrumFile
        ``normalized`` with the column ``model``; the table ``labels`` (one row) where the file has one.

    Raises
    ------
    CatalogError
        When the file is damaged or has no flux and errors.
    """
    path = Path(path)
    with open_fits(path) as file:
        header = header_of(file[0])
        flux, error = _image(file, 1, path, "the flux"), _image(file, 2, path, "its errors")
        if flux.shape != error.shape or len(flux) != 1:
            raise CatalogError(f"{path}: one spectrum with errors expected, got {flux.shape} and {error.shape}")
        grid = _header_grid(header | header_of(file[1]), flux.shape[1], path)
        columns = {"error": floats(error[0])}
        if len(file) > 3 and file[3].data is not None and np.shape(np.atleast_2d(file[3].data)) == flux.shape:
            columns["model"] = floats(np.atleast_2d(file[3].data)[0])
        labels = next((part for part in file[4:] if columns_of(part)), None)
        tables = Tables({} if labels is None else {"labels": labels})
    ids = _star_ids(header)
    spectrum = Spectrum(
        wavelength=_log_wavelength(grid),
        flux=floats(flux[0]),
        ivar=_ivar(columns["error"]),
        mask=np.zeros(flux.shape[1], dtype=np.int64),
        name="normalized",
        unit="",
        grid=grid,
        frame="rest",
        columns=columns,
        meta={"snr": _number(header, "SNR"), **ids},
    )
    notes = () if tables else ("no table of labels in this file",)
    return SpectrumFile(path, "aspcapStar", (spectrum,), header, tables, ids, notes)


def read_mwmstar(path: str | Path) -> SpectrumFile:
    """Read an mwmStar or mwmVisit file of SDSS-V (DR19 on): BOSS and APOGEE, north and south, each in an extension.

    Returns
    -------
    SpectrumFile
        A spectrum a row of each extension that holds something, named like ``BOSS/APO`` (or ``APOGEE/LCO 2``). Rows of
        a visit file are single visits. The row's other values are in ``meta``.

    Raises
    ------
    CatalogError
        When the file is damaged or every extension is empty.
    """
    path = Path(path)
    spectra = []
    visits = False
    with open_fits(path) as file:
        header = header_of(file[0])
        for part in file[1:]:
            known = columns_of(part)
            if not {"flux", "ivar"} <= set(known) or part.data is None or len(part.data) == 0:
                continue
            visits |= "mjd" in known and "min_mjd" not in known
            for row in range(len(part.data)):
                name = (str(part.name) or "spectrum") + (f" {row + 1}" if len(part.data) > 1 else "")
                spectra.append(_mwm_spectrum(part, row, name, path))
    require_spectra(spectra, path, "all its extensions are empty")
    ids = _star_ids(header) | {key: s for key, s in spectra[0].meta.items() if key in ("sdss_id", "catalogid")}
    return SpectrumFile(path, "mwmVisit" if visits else "mwmStar", tuple(spectra), header, {}, ids)


def _mwm_spectrum(part: Any, row: int, name: str, path: Path) -> Spectrum:
    known = columns_of(part)
    flux = floats(np.ravel(column(part, "flux")[row]))
    cards = header_of(part)
    if "wavelength" in known:
        wavelength = floats(np.ravel(column(part, "wavelength")[0]))
        grid = LogGrid.through(np.log10(np.where(wavelength > 0, wavelength, np.nan)))
    elif "CRVAL" in cards and "CDELT" in cards:
        grid = LogGrid(float(cards["CRVAL"]), float(cards["CDELT"]), len(flux))
        wavelength = _log_wavelength(grid)
    else:
        raise CatalogError(f"{path}: extension {part.name} has neither a column 'wavelength' nor CRVAL and CDELT")
    ivar = floats(np.ravel(column(part, "ivar")[row]))
    mask = integers(np.ravel(column(part, "pixel_flags")[row])) if "pixel_flags" in known else np.zeros(len(flux), int)
    values: dict[str, Any] = {}
    arrays: dict[str, NDArray[Any]] = {}
    for key, written in known.items():
        value = part.data[written][row]
        if np.shape(value) == flux.shape and key not in ("flux", "ivar", "wavelength", "pixel_flags"):
            arrays[key] = np.asarray(value).astype(np.asarray(value).dtype.newbyteorder("="))
        elif np.ndim(value) == 0:
            values[key] = exact_integer(value, key) if key.endswith("id") else _plain(value)
    boss = str(cards.get("INSTRMNT", part.name)).upper().startswith("BOSS")
    return Spectrum(
        wavelength=wavelength,
        flux=flux,
        ivar=np.where(np.isfinite(ivar) & (ivar > 0), ivar, 0.0),
        mask=mask,
        name=name,
        unit=FLUX_UNIT,
        bad_bits=OPTICAL_BAD_BITS if boss else BAD_BITS,
        grid=grid,
        frame="rest",
        columns=arrays,
        meta=values,
    )


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


READERS: Mapping[str, Callable[[Path], SpectrumFile]] = {
    "apStar": read_apstar,
    "apVisit": read_apvisit,
    "aspcapStar": read_aspcapstar,
    "mwmStar": read_mwmstar,
}
