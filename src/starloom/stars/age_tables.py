"""Published tables of stars with ages, in the columns of `starloom.stars.ages`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from starloom.catalog.schema import Column, Schema, canonical, plain

if TYPE_CHECKING:
    from astropy.table import QTable

LABELS: dict[str, tuple[str, str]] = {
    "teff": ("K", "effective temperature"),
    "logg": ("", "logarithm of the surface gravity, dex(cgs)"),
    "log_l": ("", "logarithm of the luminosity, dex(Lsun)"),
    "radius": ("Rsun", "radius"),
    "mass": ("Msun", "mass"),
    "nu_max": ("uHz", "frequency of maximum power"),
    "delta_nu": ("uHz", "large frequency separation"),
    "fe_h": ("", "iron abundance [Fe/H], dex"),
    "alpha_m": ("", "alpha elements over metals [alpha/M], dex"),
    "c_n": ("", "carbon over nitrogen [C/N], dex"),
}
"""Inputs from which an age can be told: canonical name -> (unit, meaning)."""

BELIEVABLE: dict[str, tuple[float, float]] = {
    "teff": (1500.0, 100_000.0),
    "logg": (-2.0, 10.0),
    **dict.fromkeys(("fe_h", "alpha_m", "c_n"), (-8.0, 8.0)),
}
"""What lies outside (-9999, 99.99) stands for a missing value."""

SCHEMA = Schema(
    name="ages",
    meaning="stars with anything that tells their ages, and ages to learn from",
    columns=(
        canonical("source_id"),
        *(
            Column(f"{name}{ending}", unit, meaning if not ending else "its standard error")
            for name, (unit, meaning) in LABELS.items()
            for ending in ("", "_error")
        ),
        Column("evolutionary_state", "", "1 red giant branch, 2 core helium burning"),
        canonical("age"),
        canonical("age_error", meaning="its standard error"),
    ),
)
"""What a table of stars may have; nothing is required."""

STATES = {"RGB": 1.0, "RGB(S)": 1.0, "RC": 2.0, "RC(S)": 2.0}


def apokasc2_stars(table: QTable) -> QTable:
    """Stars of APOKASC-2 (2018ApJS..239...32P, table 5) with an age and a known evolutionary state.

    Errors of nu_max, delta_nu, mass and radius are the random ones; ages are 10^(Log Age - 3) Gyr.
    """
    import astropy.units as u
    from astropy.table import QTable

    state = np.array([STATES.get(str(one).strip(), np.nan) for one in np.ma.filled(np.ma.asarray(table["ES"]), "")])
    log_age = plain(table, "Log Age") - 3.0
    error = 0.5 * (np.abs(plain(table, "S LogageP")) + np.abs(plain(table, "S LogageM")))
    seismic = (plain(table, "Nmax") > 0) & (plain(table, "Dnu") > 0)
    kept = np.isfinite(state) & np.isfinite(log_age) & (np.abs(log_age) < 2.0) & seismic
    columns: dict[str, Any] = {
        "kic": np.asarray(table["KIC"], dtype=np.int64)[kept],
        "apogee_id": _text(table["2MASS"])[kept],
        "age": 10.0 ** log_age[kept] * u.Gyr,
        "age_error": np.where(error < 9.0, error, np.nan)[kept] * np.log(10.0) * 10.0 ** log_age[kept] * u.Gyr,
        "evolutionary_state": state[kept],
    }
    for name, value, sigma, relative in (
        ("teff", "Teff", "S Teff", False), ("fe_h", "FeH", "S FeH", False), ("alpha_m", "Afe", "S Afe", False),
        ("nu_max", "Nmax", "S Nmax", True), ("delta_nu", "Dnu", "S Dnu", True), ("mass", "M(cor)", "S Mran", True),
        ("radius", "R(cor)", "S Rran", True), ("logg", "Logg(seis)", "S Gran", False),
    ):  # fmt: skip
        values, errors = plain(table, value)[kept], plain(table, sigma)[kept]
        values = np.where(np.abs(values) < 9000.0, values, np.nan)
        errors = np.where((errors >= 0) & (errors < 9.0 if name != "teff" else errors < 900.0), errors, np.nan)
        unit = LABELS[name][0]
        for column, numbers in ((name, values), (f"{name}_error", errors * values if relative else errors)):
            columns[column] = numbers * u.Unit(unit) if unit else numbers
    return QTable(columns)


def miglio2021_stars(table: QTable) -> QTable:
    """Kepler giants of 2021A&A...645A..85M with ages; the errors are half of the 68 % intervals."""
    import astropy.units as u
    from astropy.table import QTable

    columns: dict[str, Any] = {
        "kic": np.asarray(table["KIC"], dtype=np.int64),
        "apogee_id": _text(table["APOGEE"]),
        "evolutionary_state": plain(table, "evstate"),
        "fe_h": plain(table, "__Fe_H_"),
        "alpha_m": plain(table, "__alpha_M_"),
    }
    for name, value, low, high, unit in (
        ("age", "Age", "b_Age", "b_age_lc", u.Gyr), ("mass", "Mass", "b_Mass", "b_mass_lc", u.Msun),
        ("radius", "Rad", "b_Rad", "b_rad_lc", u.Rsun),
    ):  # fmt: skip
        columns[name] = plain(table, value) * unit
        columns[f"{name}_error"] = 0.5 * (plain(table, high) - plain(table, low)) * unit
    columns["galactic_radius"] = plain(table, "GalR") * u.kpc
    columns["galactic_height"] = plain(table, "GalZ") * u.kpc
    found = QTable(columns)
    return found[np.isfinite(plain(found, "age")) & (plain(found, "age") > 0)]


CLOCKS = {"y_mg": ("__YII_Fe_", "__MgI_Fe_"), "mg_fe": ("__MgI_Fe_", None), "al_fe": ("__AlI_Fe_", None),
          "ti_fe": ("__TiI_Fe_", None), "ba_fe": ("__BaII_Fe_", None), "zn_fe": ("__ZnI_Fe_", None)}  # fmt: skip
"""Chemical clocks of the HARPS dwarfs: name -> (column, column to take off)."""


def harps_stars(table: QTable) -> QTable:
    """HARPS-GTO dwarfs (2019A&A...624A..78D) with an age known to better than 1.5 Gyr, and their chemical clocks."""
    import astropy.units as u
    from astropy.table import QTable

    age, error = plain(table, "Age"), plain(table, "e_Age")
    kept = np.isfinite(age) & (age > 0) & (error < 1.5)
    columns: dict[str, Any] = {
        "star": _text(table["Star"])[kept],
        "age": age[kept] * u.Gyr,
        "age_error": error[kept] * u.Gyr,
        "teff": plain(table, "Teff")[kept] * u.K,
        "logg": plain(table, "loggHIP")[kept],
        "fe_h": plain(table, "__Fe_H_")[kept],
    }
    for name, (column, less) in CLOCKS.items():
        columns[name] = (plain(table, column) - (0.0 if less is None else plain(table, less)))[kept]
    return QTable(columns)


def apogee_labels(table: QTable) -> QTable:
    """Teff, log g, [Fe/H], [alpha/M] of APOGEE DR17 stars of the dataset ``apogee_xp``, with ``apogee_id``."""
    import astropy.units as u
    from astropy.table import QTable

    columns: dict[str, Any] = {"apogee_id": _text(table["apogee_id"])}
    for name in ("teff", "logg", "fe_h", "alpha_m"):
        for column, source in ((name, name), (f"{name}_error", f"{name}_err")):
            columns[column] = plain(table, source) * u.K if name == "teff" else plain(table, source)
    return QTable(columns)


def _text(column: Any) -> NDArray[Any]:
    return np.char.strip(np.asarray(np.ma.filled(np.ma.asarray(column), "")).astype(str))
