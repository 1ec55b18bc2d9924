"""The samples of arXiv:2306.09319 out of published catalogs, and the APOKASC-2 giants with ages and actions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from starloom.errors import CatalogError

if TYPE_CHECKING:
    from astropy.table import QTable
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

NO_ERROR = 90.0  # APOKASC-2 writes 99 where it has no error
STAR_BAD = (1 << 23) | (1 << 27)  # ASPCAPFLAG: STAR_BAD, and a signal to noise below 50
BAD_SPECTRUM = (1 << 0) | (1 << 3)  # STARFLAG: bad pixels, very bright neighbor


def apokasc2(ages: QTable, actions: QTable) -> QTable:
    """APOKASC-2 giants with an age and believable actions, in the columns of ``starloom.disk.schema.AGES``.

    Parameters
    ----------
    ages : table 5 (``Log Age`` is log10 of the age in Myr).
    actions : actions from Gaia DR2; rows with 0 < J_R < 2000 kpc km/s and an error below J_R are kept.

    Raises
    ------
    CatalogError
        When no star is in both tables.
    """
    from astropy import units as u
    from astropy.table import QTable

    from starloom.catalog.schema import plain

    first, second = np.asarray(ages["KIC"], dtype=np.int64), np.asarray(actions["kic"], dtype=np.int64)
    _, left, right = np.intersect1d(first, second, return_indices=True)
    if len(left) == 0:
        raise CatalogError("no star of the ages has an action: the tables share no KIC number")
    action, error = plain(actions, "Jr")[right], plain(actions, "Jr_err")[right]
    age = 10.0 ** (plain(ages, "Log Age")[left] - 3.0)
    up, down = plain(ages, "S LogageP")[left], plain(ages, "S LogageM")[left]
    spread = 0.5 * (up - down)
    spread = np.where((np.abs(up) < NO_ERROR) & (np.abs(down) < NO_ERROR), np.abs(spread), np.nan)
    kept = np.isfinite(age) & (action > 0) & (action < 2000) & (error < action)
    kept &= np.isfinite(plain(ages, "FeH")[left])
    return QTable(
        {
            "kic": first[left][kept],
            "age": age[kept] * u.Gyr,
            "age_error": (age * spread * np.log(10.0))[kept] * u.Gyr,
            "fe_h": plain(ages, "FeH")[left][kept],
            "fe_h_error": plain(ages, "S FeH")[left][kept],
            "alpha_m": plain(ages, "Afe")[left][kept],
            "action_r": action[kept] * u.kpc * u.km / u.s,
            "ra": plain(actions, "ra", "deg")[right][kept] * u.deg,
            "dec": plain(actions, "dec", "deg")[right][kept] * u.deg,
        }
    )


def apogee_sample(allstar: QTable, astronn: QTable, ages: QTable | None = None) -> QTable:
    """The main-survey giants of arXiv:2306.09319 with ages, in the columns of ``starloom.disk.schema.AGES``.

    Parameters
    ----------
    allstar : APOGEE DR17 allStar: ``EXTRATARG``, ``ASPCAPFLAG``, ``STARFLAG``, ``MEMBERFLAG``, and ``APOGEE_ID``.
    astronn : the astroNN catalog of DR17, row by row the same stars: ``FE_H``, ``MG_H``, ``LOGG``, ``TEFF``, ``age``,
        ``age_total_error``, ``weighted_dist``, ``weighted_dist_error``, ``galr``, ``galz``; ``jr`` and ``e`` if there.
    ages : latent-space ages (arXiv:2302.05479), row by row the same stars: ``Age``, ``Age_Error``. Without, the sample
        is the "original" one, with astroNN ages; with, the "updated" one, which is stricter.

    Returns
    -------
    QTable
        The stars that pass; ``table.meta["reasons"]`` counts the stars that each cut removed, in order.

    Raises
    ------
    MissingColumnError
        When a column is missing.
    CatalogError
        When the tables have not the same number of rows, or not the same ``APOGEE_ID`` in each.
    """
    from astropy import units as u
    from astropy.table import QTable

    from starloom.catalog.schema import plain

    for name, other in (("astronn", astronn), ("ages", ages)):
        if other is not None and len(other) != len(allstar):
            raise CatalogError(f"{name} has {len(other)} rows and allstar {len(allstar)}: they must match row by row")
    if "APOGEE_ID" in allstar.colnames and "APOGEE_ID" in astronn.colnames:
        same = np.char.strip(_text(allstar["APOGEE_ID"])) == np.char.strip(_text(astronn["APOGEE_ID"]))
        if not same.all():
            raise CatalogError(f"row {int(np.argmin(same))} of allstar and astronn are different stars (APOGEE_ID)")
    iron, magnesium = plain(astronn, "FE_H"), plain(astronn, "MG_H")
    gravity, heat = plain(astronn, "LOGG"), plain(astronn, "TEFF")
    distance, distance_error = plain(astronn, "weighted_dist"), plain(astronn, "weighted_dist_error")
    radius, height = plain(astronn, "galr"), plain(astronn, "galz")
    aspcap, star = _flags(allstar, "ASPCAPFLAG"), _flags(allstar, "STARFLAG")
    if ages is None:
        age, age_error, least = plain(astronn, "age"), plain(astronn, "age_total_error"), 1.0
        clean, whole = (aspcap & STAR_BAD) == 0, (star & BAD_SPECTRUM) == 0
        good_age = age < 13.0
    else:
        age, age_error, least = plain(ages, "Age"), plain(ages, "Age_Error"), 2.55
        clean, whole = aspcap == 0, star == 0
        good_age = (age < 13.0) & (age_error < 0.4 * age)
    cuts = {
        "not of the main survey (EXTRATARG)": _flags(allstar, "EXTRATARG") == 0,
        "ASPCAPFLAG": clean,
        "STARFLAG": whole,
        "member of a cluster (MEMBERFLAG)": _flags(allstar, "MEMBERFLAG") == 0,
        "distance error of 20 % or more": distance_error < 0.2 * distance,
        f"log g outside of {least:g} to 3.8": (gravity > least) & (gravity < 3.8),
        "Teff outside of 4000 to 5500 K": (heat > 4000.0) & (heat < 5500.0),
        "age missing, too old or too uncertain": good_age & (age > 0),
        "outside of R < 20 kpc, |z| < 2 kpc": (radius < 20.0) & (np.abs(height) < 2.0),
        "no [Fe/H] or [Mg/H]": (np.abs(iron) < 9.0) & (np.abs(magnesium) < 9.0),
    }
    kept, reasons = np.ones(len(allstar), dtype=bool), {}
    for name, passed in cuts.items():
        reasons[name] = int((kept & ~passed).sum())
        kept &= passed
    columns: dict[str, Any] = {
        "age": age[kept] * u.Gyr,
        "age_error": age_error[kept] * u.Gyr,
        "fe_h": iron[kept],
        "alpha_m": (magnesium - iron)[kept],
        "galactic_radius": radius[kept] * u.kpc,
        "galactic_height": height[kept] * u.kpc,
    }
    for source, name, unit in (("jr", "action_r", u.kpc * u.km / u.s), ("e", "eccentricity", None)):
        if source in astronn.colnames:
            values = plain(astronn, source)[kept]
            columns[name] = values if unit is None else values * unit
    table = QTable(columns)
    table.meta["reasons"] = reasons
    return table


def _flags(table: QTable, name: str) -> NDArray[np.int64]:
    from starloom.catalog.arrow_tables import require_names

    require_names([name], table.colnames, "allstar")
    return np.asarray(np.ma.filled(np.ma.asarray(table[name]), 0)).astype(np.int64)


def _text(column: Any) -> Any:
    return np.asarray(np.ma.filled(np.ma.asarray(column), "")).astype(str)
