"""SQL for CasJobs and SkyServer: the targeting tables of DR18 and later, cone searches, spectra of targets."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from starloom.errors import ConfigError
from starloom.sdss.carton import Carton

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_#.\-]*")

PARENT_TABLES = {
    "gaia": ("mos_gaia_dr2_source", "g", "g.source_id = tic.gaia_int"),
    "ruwe": ("mos_gaia_dr2_ruwe", "r", "r.source_id = g.source_id"),
    "neighbor": ("mos_gaiadr2_tmass_best_neighbour", "nb", "nb.source_id = g.source_id"),
    "twomass": ("mos_twomass_psc", "tm", "tm.designation = tic.twomass_psc"),
    "allwise": ("mos_allwise", "w", "w.designation = tic.allwise"),
}
"""The input catalogs of the Milky Way Mapper in CAS: table, short name, how it hangs on the TESS Input Catalog."""

_COLUMN_TABLES = {
    "gaia": (
        "parallax",
        "parallax_error",
        "pmra",
        "pmdec",
        "pmra_error",
        "pmdec_error",
        "phot_g_mean_mag",
        "phot_bp_mean_mag",
        "phot_rp_mean_mag",
        "bp_rp",
        "l",
        "b",
        "astrometric_excess_noise",
        "visibility_periods_used",
        "phot_g_n_obs",
        "phot_bp_n_obs",
        "phot_rp_n_obs",
        "phot_g_mean_flux_over_error",
        "phot_bp_mean_flux_over_error",
        "phot_rp_mean_flux_over_error",
    ),
    "ruwe": ("ruwe",),
    "twomass": (
        "j_m",
        "h_m",
        "k_m",
        "j_msigcom",
        "h_msigcom",
        "k_msigcom",
        "ph_qual",
        "rd_flg",
        "cc_flg",
        "gal_contam",
        "prox",
        "ext_key",
    ),
    "allwise": ("w1mpro", "w2mpro", "w3mpro", "w4mpro", "w2sigmpro"),
}


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} is no name of a carton, table or column")
    return name


def targets_of(carton: str, plan: str | None = None, *, columns: Sequence[str] = (), top: int | None = None) -> str:
    """SQL for the targets of a carton, with priority, cadence and magnitudes.

    Parameters
    ----------
    carton, plan : such as ``mwm_ob_core``, ``0.5.1``.
    columns : further columns of ``mos_target``.
    top : at most so many rows.

    Examples
    --------
    >>> print(targets_of("mwm_wd_core", "0.5.0", top=10))
    SELECT TOP 10 t.catalogid, t.ra, t.dec, t.pmra, t.pmdec, t.epoch, t.parallax, c2t.priority, cad.label AS cadence,
      i.label AS instrument, m.gaia_g, m.bp, m.rp, m.h
    FROM mos_target AS t
    JOIN mos_carton_to_target AS c2t ON c2t.target_pk = t.target_pk
    JOIN mos_carton AS c ON c.carton_pk = c2t.carton_pk
    JOIN mos_targetdb_version AS v ON v.version_pk = c.version_pk
    LEFT JOIN mos_cadence AS cad ON cad.cadence_pk = c2t.cadence_pk
    LEFT JOIN mos_instrument AS i ON i.instrument_pk = c2t.instrument_pk
    LEFT JOIN mos_magnitude AS m ON m.carton_to_target_pk = c2t.carton_to_target_pk
    WHERE c.carton = 'mwm_wd_core'
      AND v.[plan] = '0.5.0'
    """
    more = "".join(f", t.{_checked(name)}" for name in columns)
    limit = "" if top is None else f"TOP {_count(top)} "
    where = f"WHERE c.carton = {_quoted(_checked(carton))}"
    if plan is not None:
        where += f"\n  AND v.[plan] = {_quoted(plan)}"
    return (
        f"SELECT {limit}t.catalogid, t.ra, t.dec, t.pmra, t.pmdec, t.epoch, t.parallax, c2t.priority, "
        "cad.label AS cadence,\n"
        f"  i.label AS instrument, m.gaia_g, m.bp, m.rp, m.h{more}\n"
        "FROM mos_target AS t\n"
        "JOIN mos_carton_to_target AS c2t ON c2t.target_pk = t.target_pk\n"
        "JOIN mos_carton AS c ON c.carton_pk = c2t.carton_pk\n"
        "JOIN mos_targetdb_version AS v ON v.version_pk = c.version_pk\n"
        "LEFT JOIN mos_cadence AS cad ON cad.cadence_pk = c2t.cadence_pk\n"
        "LEFT JOIN mos_instrument AS i ON i.instrument_pk = c2t.instrument_pk\n"
        "LEFT JOIN mos_magnitude AS m ON m.carton_to_target_pk = c2t.carton_to_target_pk\n"
        f"{where}"
    )


def cartons_of(catalogids: Sequence[int]) -> str:
    """SQL for the cartons of some objects, most important first.

    Raises
    ------
    ConfigError
        When there is no identifier or one is not a whole number (a float has lost digits).
    """
    if not len(catalogids):
        raise ConfigError("give at least one catalogid")
    for value in catalogids:
        if isinstance(value, bool | float) or int(value) != value:
            raise ConfigError(f"a catalogid is a whole number, not {value!r}")
    inside = ", ".join(str(int(value)) for value in catalogids)
    return (
        "SELECT t.catalogid, c.carton, c.program, v.[plan], c2t.priority\n"
        "FROM mos_target AS t\n"
        "JOIN mos_carton_to_target AS c2t ON c2t.target_pk = t.target_pk\n"
        "JOIN mos_carton AS c ON c.carton_pk = c2t.carton_pk\n"
        "JOIN mos_targetdb_version AS v ON v.version_pk = c.version_pk\n"
        f"WHERE t.catalogid IN ({inside})\n"
        "ORDER BY t.catalogid, c2t.priority"
    )


def cone(
    table: str, ra: float, dec: float, radius: float, *, columns: Sequence[str] = ("*",), top: int | None = None
) -> str:
    """SQL for the rows of a table within a radius (deg) of a place (deg), right at the poles and at right ascension 0.

    The box of declination lets the database use its index; the great-circle distance decides.
    """
    if not (0 <= ra < 360 and -90 <= dec <= 90 and 0 < radius <= 180):
        raise ConfigError(f"a cone needs 0 <= ra < 360, |dec| <= 90 and a radius above 0, not {ra}, {dec}, {radius}")
    ra, dec = float(ra), float(dec)  # the server's radians(20) is the integer 0
    chosen = ", ".join(name if name == "*" else _checked(name) for name in columns)
    limit = "" if top is None else f"TOP {_count(top)} "
    chord = math.sin(math.radians(radius) / 2.0) ** 2
    return (
        f"SELECT {limit}{chosen}\nFROM {_checked(table)}\n"
        f"WHERE [dec] BETWEEN {max(dec - radius, -90.0)!r} AND {min(dec + radius, 90.0)!r}\n"
        f"  AND power(sin(radians([dec] - ({dec!r})) / 2), 2)"
        f" + cos(radians([dec])) * cos(radians({dec!r})) * power(sin(radians(ra - ({ra!r})) / 2), 2) < {chord!r}"
    )


def selection(carton: Carton, *, into: str | None = None, top: int | None = None) -> str:
    """SQL that makes a carton's selection again from the input catalogs in CAS, as far as they are there.

    Raises
    ------
    ConfigError
        When the carton reads a column of a catalog that is not in :data:`PARENT_TABLES`.
    """
    home = {name: key for key, names in _COLUMN_TABLES.items() for name in names}
    home |= dict.fromkeys(("tmag", "tic_teff", "tic_logg", "tic_ebv"), "tic") | {"twomass_angular_distance": "neighbor"}
    if absent := [name for name in carton.columns if name not in home]:
        raise ConfigError(f"{carton.label} reads {', '.join(absent)}, which this query cannot take from CAS")
    needed = {home[name] for name in carton.columns} - {"tic"}
    if needed & {"ruwe", "neighbor"}:
        needed.add("gaia")
    joins = "\n".join(
        f"  LEFT JOIN {table} AS {short} ON {on}" for key, (table, short, on) in PARENT_TABLES.items() if key in needed
    )
    short = {key: entry[1] for key, entry in PARENT_TABLES.items()} | {"tic": "tic"}
    theirs = {name: f"{name[4:]} AS {name}" for name in ("tic_teff", "tic_logg", "tic_ebv")}
    theirs["twomass_angular_distance"] = "angular_distance AS twomass_angular_distance"
    columns = ", ".join(f"{short[home[name]]}.{theirs.get(name, name)}" for name in carton.columns)
    body = (
        f"  SELECT c2t.catalogid, {columns}\n  FROM mos_catalog_to_tic_v8 AS c2t\n"
        f"  JOIN mos_tic_v8 AS tic ON tic.id = c2t.target_id\n{joins}\n  WHERE c2t.best = 1\n"
    )
    query = carton.to_sql("parent", "tsql")
    if top is not None:
        query = query.replace("SELECT ", f"SELECT TOP {_count(top)} ", 1)
    if into is not None:
        query = query.replace("\nFROM", f"\nINTO mydb.{_checked(into)}\nFROM", 1)
    return f"WITH parent AS (\n{body})\n{query}"


def _count(top: int) -> int:
    if isinstance(top, bool) or int(top) != top or top < 1:
        raise ConfigError(f"the number of rows is a whole number above 0, not {top!r}")
    return int(top)
