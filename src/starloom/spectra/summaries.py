"""The tables that come with spectra, one row an object or an observation: spAll, allStar, mwmAllStar, eFEDS.

They are read as they are, with three repairs: identifiers become int64 whatever they were stored as, the survey's
numbers for "missing" become NaN or masked, and texts lose the blanks that FITS pads them with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from starloom.catalog.arrow_tables import make_column, split_column
from starloom.errors import CatalogError

if TYPE_CHECKING:
    from astropy.table import QTable


@dataclass(frozen=True)
class Summary:
    """One kind of summary table.

    Parameters
    ----------
    name, meaning : what it is.
    marks : columns (small letters) by which it is recognized; a ``|`` separates other names for one.
    identifiers : columns that hold 64-bit identifiers, as integers or text.
    missing : numbers that mean "missing" in its columns of floats.
    """

    name: str
    meaning: str
    marks: tuple[str, ...]
    identifiers: tuple[str, ...] = ()
    missing: tuple[float, ...] = ()

    def fits(self, names: set[str]) -> bool:
        """Whether a table with these columns (small letters) is of this kind."""
        return all(not names.isdisjoint(mark.split("|")) for mark in self.marks)


_IDS = ("catalogid", "sdss_id", "specobjid", "gaiaedr3_source_id", "gaia_source_id", "gaia_dr3_source_id", "gaia_id")

SUMMARIES: dict[str, Summary] = {
    kind.name: kind
    for kind in (
        Summary(
            "spAll",
            "BOSS pipeline: an observation a row, with redshift, class and S/N",
            (
                "mjd",
                "fiberid|catalogid|fiber_id",
                "zwarning",
                "class",
                "sn_median_all|sn_median",
                "field|plate|fieldid",
            ),
            (*_IDS, "catalogid_v0", "catalogid_v0p5", "objid", "thing_id"),
            (-999.0,),
        ),
        Summary(
            "allStar",
            "APOGEE pipeline, DR10 to DR17: a star a row, with labels, abundances and flags",
            ("apogee_id", "teff", "logg", "starflag", "aspcapflag"),
            _IDS,
            (-9999.0, -9999.99, -9999.990234375, -999.99),
        ),
        Summary(
            "mwmAllStar",
            "Milky Way Mapper, DR19 on: a star a row, from all spectra of both instruments",
            ("sdss_id", "v_astra|version_id|sdss5_target_flags"),
            (*_IDS, "catalogid21", "catalogid25", "catalogid31", "gaia_dr2_source_id", "tic_v8_id"),
            (-999.0, -9999.0),
        ),
        Summary(
            "eFEDS",
            "eROSITA Final Equatorial-Depth Survey: X-ray sources, their counterparts, redshifts and classes (DR18)",
            ("ero_name|ero_id", "specz_redshift|specz_final|specz_best_redshift|specz_n|z|redshift"),
            (*_IDS, "ctp_ls8_unique_obj_id", "specz_specobjid"),
            (-99.0, -999.0, -9999.0),
        ),
    )
}
"""Kinds of summary tables by name."""


def summary_kind(names: Sequence[str]) -> str | None:
    """Which kind of summary table has these columns; None when it is none of them.

    Examples
    --------
    >>> summary_kind(["APOGEE_ID", "TEFF", "LOGG", "STARFLAG", "ASPCAPFLAG"])
    'allStar'
    """
    small = {name.lower() for name in names}
    return next((kind.name for kind in SUMMARIES.values() if kind.fits(small)), None)


def read_summary(
    path: str | Path, kind: str | None = None, *, columns: Sequence[str] | None = None, hdu: int | str | None = None
) -> QTable:
    """Read a summary table: spAll, allStar, mwmAllStar or eFEDS.

    Parameters
    ----------
    path : FITS, Parquet or another table that :func:`starloom.catalog.tables.read_table` reads.
    kind : name in `SUMMARIES`; recognized by its columns by default.
    columns : the columns wanted, in the file's own spelling; all by default. These files are large: name them.
    hdu : the extension; by default the first one with a table.

    Returns
    -------
    QTable
        The file's own column names. ``meta["summary"]`` says the kind.

    Raises
    ------
    CatalogError
        When the file is damaged or of no known kind, or an identifier has lost digits as a float.
    """
    from starloom.catalog.tables import read_table

    if kind is not None and kind not in SUMMARIES:
        raise CatalogError(f"unknown kind of summary {kind!r}; the known ones are {', '.join(SUMMARIES)}")
    table = read_table(path, columns=columns, hdu=hdu)
    chosen = kind or summary_kind(table.colnames)
    if chosen is None:
        known = "; ".join(f"{name}: {', '.join(entry.marks)}" for name, entry in SUMMARIES.items())
        raise CatalogError(f"{path} is none of the known summaries (columns that mark them: {known}); say kind=...")
    summary = SUMMARIES[chosen]
    for name in table.colnames:
        table[name] = _repaired(table[name], name, summary)
    table.meta["summary"] = chosen
    return table


def _repaired(column: Any, name: str, summary: Summary) -> Any:
    values, missing, unit = split_column(column, name)
    gone = np.zeros(values.shape, dtype=bool) if missing is None else missing
    description = column.info.description
    if values.dtype.kind == "U":
        values = np.char.strip(values)
        gone = gone | (values == "")
    if name.lower() in summary.identifiers and values.ndim == 1:
        return make_column(*_identifiers(values, gone, name), None, description)
    if values.dtype.kind == "f" and summary.missing:
        gone = gone | np.isin(values, np.asarray(summary.missing, dtype=values.dtype))
    if values.dtype.kind not in "fiub" + "U":
        return column
    return make_column(values, gone, unit or None, description)


def _identifiers(
    values: NDArray[Any], gone: NDArray[np.bool_], name: str
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    if values.dtype.kind == "U":
        texts = np.where(gone, "0", values)
        wrong = np.flatnonzero(~np.char.isdigit(np.char.lstrip(texts, "-")))
        if len(wrong):
            raise CatalogError(
                f"column '{name}' holds {texts[wrong[0]]!r} in row {wrong[0]}, and an identifier is needed"
            )
        found = np.array([int(text) for text in texts.tolist()], dtype=np.int64)
    elif values.dtype.kind == "f":
        gone = gone | ~np.isfinite(values)
        there = np.where(gone, 0, values)
        lost = np.flatnonzero((np.abs(there) >= 2**53) | (there != np.floor(there)))
        if len(lost):
            raise CatalogError(
                f"column '{name}' is stored as floats, and {there[lost[0]]!r} in row {lost[0]} has lost digits; use "
                "another column or another version of the file"
            )
        found = there.astype(np.int64)
    else:
        found = values.astype(np.int64)
    return found, gone | (found <= 0)
