"""The relational tables of targeting: catalog, target, carton, carton_to_target, magnitude, as Parquet or SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from starloom.errors import CatalogError, ConfigError, MissingColumnError

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.sdss.carton import Carton

MAGNITUDES = {
    "bp": "phot_bp_mean_mag", "gaia_g": "phot_g_mean_mag", "rp": "phot_rp_mean_mag", "j": "j_m", "h": "h_m", "k": "k_m",
}  # fmt: skip
FIRST_CATALOGID = 27_021_597_764_222_976
"""Where made catalogids begin: those of cross-match version 21 begin with it, a version a step of 2^54."""


def cross_match(
    catalogs: Mapping[str, QTable],
    *,
    radius: float = 1.0,
    epochs: Mapping[str, float] | None = None,
    epoch: float = 2015.5,
) -> QTable:
    """Give every object of several input catalogs one catalogid, by position at one epoch.

    Parameters
    ----------
    catalogs : name -> table with ``ra``, ``dec`` and, where they are known, ``pmra``, ``pmdec``; the first one leads,
        and objects of a later one that match nothing yet are added.
    radius : of the match (arcsec).
    epochs : name -> Julian year of its positions; ``epoch`` where it is not said.
    epoch : the year at which positions are compared. Positions without a proper motion stay where they are.

    Returns
    -------
    QTable
        ``catalogid`` (int64), ``ra``, ``dec`` (deg, at ``epoch``), ``lead`` (the catalog that brought it), and for each
        catalog ``row_<name>``: its row, -1 for none.

    Raises
    ------
    CatalogError
        When there is no catalog, or one has no rows.
    """
    import astropy.units as u
    from astropy.table import QTable

    from starloom.catalog.matching import match_sky

    if not catalogs:
        raise CatalogError("there is no catalog to match")
    when = dict(epochs or {})
    if unknown := set(when) - set(catalogs):
        raise ConfigError(f"epochs are given for catalogs that are not there: {', '.join(sorted(unknown))}")
    ra, dec, lead = np.zeros(0), np.zeros(0), np.zeros(0, dtype=np.int64)
    rows: dict[str, Any] = {}
    for place, (name, table) in enumerate(catalogs.items()):
        if len(table) == 0:
            raise CatalogError(f"catalog {name} has no rows")
        here = moved(table, when.get(name, epoch), epoch, name)
        usable = np.flatnonzero(np.isfinite(here[0]) & np.isfinite(here[1]))
        known = np.full(len(table), -1, dtype=np.int64)
        if len(ra) and len(usable):
            left = QTable({"ra": here[0][usable] * u.deg, "dec": here[1][usable] * u.deg})
            match = match_sky(left, QTable({"ra": ra * u.deg, "dec": dec * u.deg}), radius)
            known[usable[match.left]] = match.right
        new = usable[known[usable] < 0]
        rows = {key: np.concatenate([value, np.full(len(new), -1, dtype=np.int64)]) for key, value in rows.items()}
        mine = np.full(len(ra) + len(new), -1, dtype=np.int64)
        old = np.flatnonzero(known >= 0)
        mine[known[old]] = old
        mine[len(ra) :] = new
        ra, dec = np.concatenate([ra, here[0][new]]), np.concatenate([dec, here[1][new]])
        lead = np.concatenate([lead, np.full(len(new), place)])
        rows[name] = mine
    result = QTable(
        {"catalogid": FIRST_CATALOGID + np.arange(len(ra), dtype=np.int64), "ra": ra * u.deg, "dec": dec * u.deg}
    )
    result["lead"] = np.array(list(catalogs))[lead]
    for name, mine in rows.items():
        result[f"row_{name}"] = mine
    result.meta["epoch"] = epoch
    return result


def moved(table: QTable, start: float, end: float, label: str = "the catalog") -> tuple[Any, Any]:
    """Right ascension and declination (deg) of a table at another epoch, by its proper motions."""
    from starloom.catalog.schema import plain

    if lost := [name for name in ("ra", "dec") if name not in table.colnames]:
        raise MissingColumnError(f"{label} lacks {' and '.join(lost)}")
    ra, dec = plain(table, "ra", "deg"), plain(table, "dec", "deg")
    if start == end or not {"pmra", "pmdec"} <= set(table.colnames):
        return ra, dec
    years = end - start
    pmra, pmdec = (np.nan_to_num(plain(table, name, "mas/yr")) for name in ("pmra", "pmdec"))
    a, d = np.radians(ra), np.radians(dec)
    star = np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])
    east = np.stack([-np.sin(a), np.cos(a), np.zeros_like(a)])
    north = np.stack([-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d)])
    step = np.radians(years / 3.6e6)
    star = star + step * (pmra * east + pmdec * north)
    return np.degrees(np.arctan2(star[1], star[0])) % 360.0, np.degrees(np.arctan2(star[2], np.hypot(star[0], star[1])))


def target_tables(parent: QTable, memberships: QTable, cartons: Sequence[Carton]) -> dict[str, QTable]:
    """The tables of a targeting database for one selection.

    Parameters
    ----------
    parent : the table selected from, with ``ra`` and ``dec``; ``pmra``, ``pmdec``, ``parallax``, ``ref_epoch`` and
        magnitudes where known. Without ``ref_epoch`` its positions are at 2015.5, those of Gaia DR2.
    memberships : from ``starloom.sdss.targets.assign``.
    cartons : the cartons evaluated.

    Returns
    -------
    dict
        ``target`` (pk, catalogid, ra, dec, epoch, pmra, pmdec, parallax), ``carton`` (pk, carton, plan, tag, program,
        mapper, category), ``cadence`` (pk, label), ``carton_to_target`` (pk, target_pk, carton_pk, cadence_pk,
        priority, instrument) and ``magnitude`` (carton_to_target_pk and bands). Keys count from 1; a missing one is
        masked.
    """
    from astropy.table import MaskedColumn, QTable

    from starloom.catalog.schema import plain

    if len(memberships) == 0:
        raise CatalogError("there are no memberships to write")
    if lost := [name for name in ("ra", "dec") if name not in parent.colnames]:
        raise MissingColumnError(f"the parent table lacks {' and '.join(lost)}")
    rows, target = np.unique(np.asarray(memberships["row"]), return_inverse=True)
    first = np.zeros(len(rows), dtype=np.int64)
    first[target] = np.arange(len(target))
    targets = QTable({"pk": np.arange(1, len(rows) + 1), "catalogid": np.asarray(memberships["catalogid"])[first]})
    for name in ("ra", "dec", "pmra", "pmdec", "parallax"):
        if name in parent.colnames:
            targets[name] = parent[name][rows]
    known = "ref_epoch" in parent.colnames
    targets["epoch"] = plain(parent, "ref_epoch", "yr")[rows] if known else np.full(len(rows), 2015.5)
    names = {(carton.name, carton.plan): k for k, carton in enumerate(cartons, start=1)}
    table = QTable({"pk": np.arange(1, len(cartons) + 1)})
    for key in ("name", "plan", "tag", "program", "mapper", "category"):
        table["carton" if key == "name" else key] = np.array([getattr(carton, key) for carton in cartons])
    labels, cadence = np.unique(np.asarray(memberships["cadence"]).astype(str), return_inverse=True)
    shift = 0 if labels[0] == "" else 1
    cadences = QTable({"pk": np.arange(1, len(labels) + shift), "label": labels[1 - shift :]})
    count = len(memberships)
    pairs = zip(np.asarray(memberships["carton"]).tolist(), np.asarray(memberships["plan"]).tolist(), strict=True)
    links = QTable(
        {"pk": np.arange(1, count + 1), "target_pk": target + 1, "carton_pk": [names[pair] for pair in pairs]}
    )
    links["cadence_pk"] = MaskedColumn(cadence + shift, mask=np.asarray(memberships["cadence"]) == "")
    links["priority"] = memberships["priority"]
    links["instrument"] = memberships["instrument"]
    magnitudes = QTable({"carton_to_target_pk": np.arange(1, count + 1)})
    for band, name in MAGNITUDES.items():
        if name in parent.colnames:
            magnitudes[band] = plain(parent, name, "mag")[np.asarray(memberships["row"])]
    return {"target": targets, "carton": table, "cadence": cadences, "carton_to_target": links, "magnitude": magnitudes}


def write_tables(tables: Mapping[str, QTable], place: str | Path) -> Path:
    """Write the tables: into one SQLite file (``.sqlite``, ``.db``) or as Parquet into a folder; whole or not at all.

    Identifiers stay 64-bit integers, missing values are NULL, units are left to the column's meaning in SQLite.
    """
    from starloom.catalog.arrow_tables import split_column
    from starloom.catalog.tables import write_table
    from starloom.files import atomic_path, make_folder

    target = Path(place)
    if target.suffix not in (".sqlite", ".db"):
        make_folder(target)
        for name, table in tables.items():
            write_table(table, target / f"{name}.parquet")
        return target
    kinds = {"f": "REAL", "i": "INTEGER", "u": "INTEGER", "b": "INTEGER", "U": "TEXT"}
    with atomic_path(target) as temporary:
        connection = sqlite3.connect(temporary)
        try:
            with connection:
                for name, table in tables.items():
                    columns, values = [], []
                    for key in table.colnames:
                        plain, missing, _ = split_column(table[key], key)
                        columns.append(f"[{key}] {kinds[plain.dtype.kind]}{' PRIMARY KEY' if key == 'pk' else ''}")
                        listed: list[Any] = plain.tolist()
                        gone = np.isnan(plain) if plain.dtype.kind == "f" else missing
                        for row in np.flatnonzero(gone) if gone is not None else ():
                            listed[row] = None
                        values.append(listed)
                    connection.execute(f"CREATE TABLE {name} ({', '.join(columns)})")
                    marks = ", ".join("?" * len(values))
                    connection.executemany(f"INSERT INTO {name} VALUES ({marks})", zip(*values, strict=True))
        finally:
            connection.close()
    return target
