"""Optical spectra of SDSS, BOSS, eBOSS and SDSS-V: ``spec-*.fits``, lite or full, of any data release.

A file has the coadd, one row about the object, the lines found, and in full files the single exposures. Extensions
and columns are found by name, whatever their capitals; what a file does not have is left out and said in ``notes``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from starloom.errors import CatalogError
from starloom.spectra.fits_files import (
    Tables,
    column,
    columns_of,
    first_row,
    floats,
    header_of,
    integers,
    open_fits,
)
from starloom.spectra.spectrum import FLUX_UNIT, LogGrid, Spectrum, SpectrumFile, require_spectra

PIXEL_BITS: Mapping[str, int] = {
    **{name: bit for bit, name in enumerate((
        "noplug", "badtrace", "badflat", "badarc", "manybadcolumns", "manyrejected", "largeshift", "badskyfiber",
        "nearwhopper", "whopper", "smearimage", "smearhighsn", "smearmedsn",
    ))},
    **{name: 16 + bit for bit, name in enumerate((
        "nearbadpixel", "lowflat", "fullreject", "partialreject", "scatteredlight", "crosstalk", "nosky", "brightsky",
        "nodata", "combinerej", "badfluxfactor", "badskychi", "redmonster",
    ))},
}  # fmt: skip
"""Names of the bits of ``and_mask`` and ``or_mask`` (SPPIXMASK of the SDSS data releases)."""

UNUSABLE = ("noplug", "badtrace", "badflat", "badarc", "fullreject", "nosky", "brightsky", "nodata")
BAD_BITS = sum(1 << PIXEL_BITS[name] for name in UNUSABLE)
"""Bits of ``and_mask`` (set in every exposure) that make a pixel unusable."""

_OBJECT = ("spall", "specobj", "zall")
_LINES = ("spzline", "zline")
_IDS = ("catalogid", "sdss_id", "specobjid", "fieldid", "field", "plate", "mjd", "fiberid")
_OBJECT_META = {
    "z": "redshift",
    "z_err": "redshift_error",
    "zwarning": "redshift_warning",
    "class": "class",
    "subclass": "subclass",
    "sn_median_all": "sn_median",
    "plug_ra": "ra",
    "plug_dec": "dec",
    "racat": "ra",
    "deccat": "dec",
}


def read_spec(path: str | Path, *, exposures: bool = True) -> SpectrumFile:
    """Read a ``spec-*.fits`` file of SDSS, BOSS, eBOSS or SDSS-V.

    Parameters
    ----------
    path : the file, ``.gz`` or not.
    exposures : read the single exposures of a full file as well.

    Returns
    -------
    SpectrumFile
        First the spectrum ``coadd``, then the exposures under the names of their extensions; the tables ``object`` (one
        row) and ``lines``. Wavelengths are in vacuum and barycentric, to the bit as specutils computes them from the
        file; `Spectrum.grid` is the exact grid behind the file's rounded logarithms.

    Raises
    ------
    CatalogError
        When the file is damaged, or has no coadd with flux, loglam and ivar.

    Examples
    --------
    >>> spectra = read_spec("spec-4055-55359-0596.fits")  # doctest: +SKIP
    >>> spectra.main.signal_to_noise, spectra.main.meta["redshift"]  # doctest: +SKIP
    """
    path = Path(path)
    with open_fits(path) as file:
        header = header_of(file[0])
        if "VACUUM" in header and not header["VACUUM"]:
            raise CatalogError(f"{path} has wavelengths in air (VACUUM is false), which this reader does not take")
        parts = {str(part.name).lower(): part for part in file[1:]}
        coadd = parts.get("coadd") or next((p for p in file[1:] if _is_spectrum(p)), None)
        if coadd is None:
            have = ", ".join(parts) or "none"
            raise CatalogError(f"{path} has no extension with flux, loglam and ivar (extensions: {have})")
        notes: list[str] = []
        found: dict[str, Any] = {}
        for name, known in (("object", _OBJECT), ("lines", _LINES)):
            part = next((parts[key] for key in known if key in parts and columns_of(parts[key])), None)
            if part is None:
                notes.append(f"no extension {' or '.join(one.upper() for one in known)}: the table {name!r} is missing")
            else:
                found[name] = part
        row = first_row(found.get("object"), (*_IDS, *_OBJECT_META))
        tables = Tables(found)
        ids = identifiers(header, row)
        meta = _meta(header, row) | ids
        start = header.get("COEFF0"), header.get("COEFF1")
        spectra = [_spectrum(coadd, "coadd", meta, start)]
        if exposures:
            others = [part for part in file[1:] if part is not coadd and _is_spectrum(part)]
            spectra += [_spectrum(part, str(part.name) or f"exposure {k + 1}", meta) for k, part in enumerate(others)]
    require_spectra(spectra, path, "no extension COADD")
    if not (spectra[0].ivar > 0).any():
        notes.append("the inverse variance is 0 everywhere: nothing is known of any pixel")
    return SpectrumFile(path, "spec", tuple(spectra), header, tables, ids, tuple(notes))


def _is_spectrum(part: Any) -> bool:
    return {"flux", "loglam", "ivar"} <= set(columns_of(part))


def _spectrum(part: Any, name: str, meta: Mapping[str, Any], start: tuple[Any, Any] = (None, None)) -> Spectrum:
    stored = np.asarray(column(part, "loglam", "the wavelengths"))
    known = columns_of(part)
    mask = next((key for key in ("and_mask", "mask", "or_mask") if key in known), None)
    bits = integers(column(part, mask)) if mask else np.zeros(len(stored), dtype=np.int64)
    others = {
        key: np.asarray(values).astype(np.asarray(values).dtype.newbyteorder("="))
        for key, values in ((key, part.data[known[key]]) for key in known)
        if key not in ("flux", "loglam", "ivar", mask) and np.ndim(values) == 1
    }
    ivar = floats(column(part, "ivar"))
    # the power is taken in the file's own precision, as specutils and everybody else does
    return Spectrum(
        wavelength=floats(10**stored),
        flux=floats(column(part, "flux")),
        ivar=np.where(np.isfinite(ivar) & (ivar > 0), ivar, 0.0),
        mask=bits,
        name=name,
        unit=FLUX_UNIT,
        bad_bits=BAD_BITS,
        grid=LogGrid.through(stored, *start) or LogGrid.through(stored),
        columns=others,
        meta={**meta, "mask_column": mask or ""},
    )


def identifiers(header: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, int | str]:
    """Identifiers in a header and an object's row (names in small letters), integers with all their digits.

    Raises
    ------
    CatalogError
        When an identifier is stored as a float that cannot hold its digits.
    """
    found: dict[str, int | str] = {}
    for key in _IDS:
        value = row.get(key, header.get(key.upper()))
        if value is not None:
            found[key] = exact_integer(value, key)
    return found


def exact_integer(value: Any, name: str) -> int | str:
    """An identifier as an integer with all its digits; text that is no number stays text.

    Raises
    ------
    CatalogError
        When a float is given that is not whole or is beyond 2**53, where digits are lost.

    Examples
    --------
    >>> exact_integer("6305039478318694399", "catalogid")
    6305039478318694399
    """
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bytes):
        value = value.decode()
    if isinstance(value, str):
        text = value.strip()
        return int(text) if text.lstrip("-").isdigit() else text
    if isinstance(value, float) and (value != int(value) or abs(value) >= 2**53):
        raise CatalogError(
            f"{name} is stored as the float {value!r}, which has lost digits; get it from another column"
        )
    return int(value)


def _meta(header: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    meta: dict[str, Any] = {
        key: header[key.upper()] for key in ("run2d", "vers2d", "telescop") if key.upper() in header
    }
    for key, ours in _OBJECT_META.items():
        if key in row and ours not in meta:
            value = row[key]
            meta[ours] = value.item() if hasattr(value, "item") else value
    if not row and "PLUG_RA" in header:
        meta |= {"ra": header["PLUG_RA"], "dec": header.get("PLUG_DEC")}
    return meta


def spectra_of_table(table: Any, rows: Sequence[int] | None = None) -> list[Spectrum]:
    """Spectra kept as rows of a table: ``loglam0``, step 1e-4, lists ``flux``, ``ivar``, ``and_mask`` of any length.

    Parameters
    ----------
    table : pandas or Arrow table with those columns, or the path of a Parquet file of them. A row's other numbers and
        texts go into ``meta``.
    rows : which rows; all by default.

    Raises
    ------
    CatalogError
        When a column is missing or the lists of a row differ in length.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if isinstance(table, (str, Path)):
        if not Path(table).exists():
            raise CatalogError(f"{table} does not exist; check the path")
        try:
            table = pq.read_table(table)
        except (pa.ArrowException, OSError) as error:
            raise CatalogError(f"{table} cannot be read as Parquet: {error}") from error
    elif not isinstance(table, pa.Table):
        table = pa.Table.from_pandas(table, preserve_index=False)
    missing = [name for name in ("loglam0", "flux", "ivar") if name not in table.column_names]
    if missing:
        raise CatalogError(f"the table of spectra has no column {', '.join(missing)}; it has {table.column_names}")
    found = []
    for row in range(table.num_rows) if rows is None else rows:
        values = {name: table[name][row] for name in table.column_names}
        arrays = {
            name: np.asarray(v.values) for name, v in values.items() if isinstance(v, pa.ListScalar) and v.is_valid
        }
        meta = {name: v.as_py() for name, v in values.items() if not isinstance(v, pa.ListScalar)}
        if len({len(array) for array in arrays.values()}) != 1 or not {"flux", "ivar"} <= set(arrays):
            raise CatalogError(f"row {row} of the table of spectra has lists of different lengths, or none")
        ivar = floats(arrays.pop("ivar"))
        flux = floats(arrays.pop("flux"))
        grid = LogGrid(float(meta["loglam0"]), 1e-4, len(flux))
        found.append(
            Spectrum(
                wavelength=grid.wavelength,
                flux=flux,
                ivar=np.where(np.isfinite(ivar) & (ivar > 0), ivar, 0.0),
                mask=integers(arrays.pop("and_mask", np.zeros(len(flux), dtype=np.int64))),
                name=str(meta.get("file", f"row {row}")),
                bad_bits=BAD_BITS,
                grid=grid,
                columns=arrays,
                meta=meta,
            )
        )
    return found
