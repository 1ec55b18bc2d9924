"""Read a file of spectra without saying what kind it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starloom.errors import CatalogError
from starloom.spectra.apogee import READERS
from starloom.spectra.fits_files import columns_of, open_fits
from starloom.spectra.sdss import read_spec
from starloom.spectra.spectrum import SpectrumFile

KINDS = ("spec", *READERS)


def kind_of(path: str | Path) -> str:
    """Which kind of file of spectra this is, from what is in it and not from its name.

    Raises
    ------
    CatalogError
        When it is damaged, or none of the kinds that can be read.
    """
    with open_fits(path) as file:
        columns = [set(columns_of(part)) for part in file[1:]]
        units = [str(part.header.get("BUNIT", "")).lower() for part in file[1:]]
        images = [_image_shape(part) for part in file[1:]]
        names = ", ".join(str(part.name) or "(no name)" for part in file[1:]) or "none"
    if any({"flux", "loglam", "ivar"} <= found for found in columns):
        return "spec"
    if any({"flux", "ivar"} <= found for found in columns):
        return "mwmStar"
    if len(units) > 3 and units[0].startswith("flux") and units[3].startswith("wave"):
        return "apVisit"
    wide = [shape is not None and shape[-1] > 8000 for shape in images]
    if len(wide) > 2 and all(wide[:3]):
        # an apStar has a mask of integers in its third extension, an aspcapStar the model, with a table of labels after
        return "apStar" if "mask" in units[2] or "bit" in units[2] else "aspcapStar"
    raise CatalogError(
        f"{path} is no file of spectra that can be read here ({', '.join(KINDS)}); its extensions: {names}. "
        "Read a table with starloom.read_table"
    )


def _image_shape(part: Any) -> tuple[int, ...] | None:
    shape = getattr(part, "shape", None)
    return tuple(shape) if shape and not columns_of(part) else None


def read_spectra(path: str | Path, kind: str | None = None) -> SpectrumFile:
    """Read any file of spectra: spec, apStar, apVisit, aspcapStar, mwmStar or mwmVisit.

    Parameters
    ----------
    path : the file, ``.gz`` or not.
    kind : what it is; found out from its content by default.

    Raises
    ------
    CatalogError
        When the file is damaged or of another kind.
    """
    chosen = kind or kind_of(path)
    if chosen == "spec":
        return read_spec(path)
    if chosen not in READERS:
        raise CatalogError(f"unknown kind of spectra {kind!r}; the known ones are {', '.join(KINDS)}")
    return READERS[chosen](Path(path))
