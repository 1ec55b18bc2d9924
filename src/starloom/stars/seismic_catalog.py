"""The catalog of seismic ages: its columns, its flags, and the reasons why a star has no age."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from starloom.catalog.schema import Schema, canonical, plain

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.stars.seismic_spectra import Normalized

Floats = NDArray[np.float64]

SCHEMA = Schema(
    name="seismic ages",
    meaning="giants with APOGEE or XP spectra, for seismic quantities and ages",
    columns=(
        canonical("teff", required=True),
        canonical("fe_h", required=True),
        canonical("teff_error"),
        canonical("fe_h_error"),
        canonical("logg"),
        canonical("alpha_m", meaning="[alpha/M], for the diagnostics only: no age reads it"),
        canonical("snr"),
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


def column(table: QTable, name: str) -> Floats:
    """Values (n,) of a column in K, Gyr or without a unit; NaN where missing or infinite, or without such a column."""
    if name not in table.colnames:
        return np.full(len(table), np.nan)
    unit = {"teff": "K", "teff_error": "K", "age": "Gyr", "age_error": "Gyr"}.get(name)
    values = plain(table, name, unit)
    return np.where(np.isfinite(values), values, np.nan)


def quality_of(
    spectra: Normalized,
    stars: QTable,
    misfit: Floats,
    answers: Mapping[str, Floats],
    oscillations: Mapping[str, Floats],
    limits: Mapping[str, Any],
) -> NDArray[np.int64]:
    """Bits of ``quality`` of each star, (n,).

    Parameters
    ----------
    spectra, stars : row by row, the spectra and the table with ``teff``, ``fe_h``, ``logg`` and survey flags.
    misfit : (n,) how unlike the learned spectra.
    answers : ``age``, ``age_low`` and ``age_high``, Gyr, (n,) each.
    oscillations : ``nu_max`` (muHz), or nothing.
    limits : what the model was trained on, as `starloom.stars.seismic_ages.SeismicAges` has them.
    """
    teff, iron, gravity = (column(stars, name) for name in ("teff", "fe_h", "logg"))
    low, high = GRAVITY
    raised = {
        "no_spectrum": ~spectra.usable,
        "low_signal": ~(spectra.signal_to_noise >= LOW_SIGNAL),
        "unlike_training": ~(misfit <= limits["misfit"]),
        "no_labels": ~(np.isfinite(teff) & np.isfinite(iron)),
        "outside_gravity": (gravity < low) | (gravity > high),
        "survey_flag": survey_flags(stars, len(stars)),
        "impossible_age": answers["age"] > OLDEST,
        "wide_age": (answers["age_high"] - answers["age_low"]) > answers["age"],
    }
    if "labels" in limits:
        bounds = np.asarray(limits["labels"])
        labels = np.stack([teff, iron], axis=1)
        raised["outside_labels"] = ((labels < bounds[0]) | (labels > bounds[1])).any(axis=1)
    if "nu_max" in oscillations:
        lowest, highest = np.exp(limits["log_nu_max"])
        raised["edge_nu_max"] = (oscillations["nu_max"] < 1.05 * lowest) | (oscillations["nu_max"] > highest / 1.05)
    quality = np.zeros(len(stars), dtype=np.int64)
    for name, rows in raised.items():
        quality[np.asarray(rows, dtype=bool)] |= flag(name)
    return quality


def reasons(quality: NDArray[np.int64], spectra: NDArray[np.str_]) -> NDArray[np.str_]:
    """Why a row has no age; empty where it has one."""
    found = np.where(spectra != "", spectra, "")
    lost = (quality & flag("no_labels")) != 0
    return np.asarray(np.where((found == "") & lost, FLAGS["no_labels"][1], found), dtype=np.str_)
