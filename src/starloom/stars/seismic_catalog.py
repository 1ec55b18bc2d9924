"""The catalog of seismic ages: its columns, its flags, and the reasons why a star has no age."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from starloom.catalog.schema import Column, Schema

if TYPE_CHECKING:
    from astropy.table import QTable

Floats = NDArray[np.float64]

SCHEMA = Schema(
    name="seismic ages",
    meaning="giants with APOGEE or XP spectra, for seismic quantities and ages",
    columns=(
        Column("teff", "K", "effective temperature", required=True),
        Column("fe_h", "", "[Fe/H]", required=True),
        Column("teff_error", "K", "error of the effective temperature"),
        Column("fe_h_error", "", "error of [Fe/H]"),
        Column("logg", "", "surface gravity, log10 of cm/s^2"),
        Column("alpha_m", "", "[alpha/M], for the diagnostics only: no age reads it"),
        Column("snr", "", "signal to noise of the spectrum, a pixel"),
    ),
)

FLAGS = {
    "no_spectrum": (0, "the spectrum cannot be used"),
    "low_signal": (1, "signal to noise below 30 a pixel"),
    "unlike_training": (2, "the spectrum is unlike those of the training: misfit above its 99.5th percentile"),
    "no_labels": (3, "Teff or [Fe/H] is missing"),
    "outside_gravity": (4, "log g is given and outside 1.5 to 3.6"),
    "edge_nu_max": (5, "nu_max is at an edge of what was trained"),
    "survey_flag": (6, "STARFLAG or ASPCAPFLAG is set"),
    "wide_age": (7, "the 68 % interval of the age is wider than the age"),
    "outside_labels": (8, "Teff or [Fe/H] is outside what the ages were trained on"),
    "impossible_age": (9, "the age is above 14 Gyr"),
}
"""Bits of ``quality``: name -> (bit, meaning)."""
LOW_SIGNAL, GRAVITY = 30.0, (1.5, 3.6)
OLDEST = 14.0


def flag(name: str) -> int:
    """The value of a bit of ``quality``."""
    return 1 << FLAGS[name][0]


def survey_flags(table: QTable, rows: int) -> NDArray[np.bool_]:
    """Rows in which STARFLAG or ASPCAPFLAG is not 0, where the table has them under any case of their names."""
    found = np.zeros(rows, dtype=bool)
    for name in table.colnames:
        if name.lower() in ("starflag", "aspcapflag"):
            values = np.ma.filled(np.ma.asarray(table[name]), 0)
            found |= np.asarray(values).astype(np.int64) != 0
    return found


def reasons(quality: NDArray[np.int64], spectra: NDArray[np.str_]) -> NDArray[np.str_]:
    """Why a row has no age; empty where it has one."""
    found = np.where(spectra != "", spectra, "")
    lost = (quality & flag("no_labels")) != 0
    return np.asarray(np.where((found == "") & lost, FLAGS["no_labels"][1], found), dtype=np.str_)
