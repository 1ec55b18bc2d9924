"""Which way metal-poor stars of open tables turn, from their line-of-sight velocities (metal-poor-disk)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from starloom.results.record import Results
from starloom.studies.inputs import Input

if TYPE_CHECKING:
    from astropy.table import QTable
    from numpy.typing import NDArray

    from starloom.studies.metal_poor_disk import Config

    Floats = NDArray[np.float64]

ROTATION_EDGES = (-4.0, -3.0, -2.5, -2.0, -1.5, -1.0)
_CHOSEN = {  # how the stars of a table were chosen
    "s5": "S5's fields lie on streams, and are not the paper's sample",
    "jinabase": "JINAbase is what the literature chose to observe, and not the paper's sample",
}
MG_SUN = 7.60  # log eps of magnesium in the Sun (2009ARA&A..47..481A)


def line_of_sight(results: Results, config: Config, inputs: Mapping[str, Input]) -> dict[str, QTable]:
    """The sense of rotation of metal-poor stars without proper motions, in bins of [Fe/H]."""
    found = {}
    if "s5" in inputs:
        found["S5"] = _rotation_table(config, *_s5(inputs["s5"].table))
    if "jinabase" in inputs:
        ra, dec, speed, iron, magnesium = _jinabase(inputs["jinabase"].table)
        found["JINAbase"] = _rotation_table(config, ra, dec, speed, iron)
        poor = (iron < -2.0) & np.isfinite(magnesium)
        if poor.sum() > 100:
            middle = float(np.median(magnesium[poor]))
            for words, part in (("low", magnesium < middle), ("high", magnesium >= middle)):
                one = _rotation(config, ra[poor & part], dec[poor & part], speed[poor & part])
                if one is not None:
                    results.number(
                        f"rotation of JINAbase stars of {words} [Mg/Fe]", one.value, "km/s", low=one.low, high=one.high,
                        meaning=f"[Fe/H] < -2, {words}er half in [Mg/Fe], parted at {middle:.2f}; {one.stars} stars",
                    )  # fmt: skip
    for name, table in found.items():
        results.table(f"rotation_{name.lower()}", table, f"rotation of {name} stars from line-of-sight velocities")
        low_iron = table[table["high_edge"] <= -2.0]
        for row in low_iron:
            if np.isfinite(row["rotation"]):
                where = f"[Fe/H] {row['low_edge']:g} to {row['high_edge']:g}"
                results.number(
                    f"rotation of {name} stars, {where}", row["rotation"], "km/s",
                    low=row["rotation_low"], high=row["rotation_high"],
                    meaning=f"positive with the disk; {row['stars']} stars, line-of-sight velocities alone",
                )  # fmt: skip
    if found:
        results.warn(
            "Rotation from line-of-sight velocities has the right sign but is too small for stars far from the Sun"
            + "".join(f"; {words}" for name, words in _CHOSEN.items() if _real(inputs, name))
            + "."
        )
    return found


def _real(inputs: Mapping[str, Input], name: str) -> bool:
    return name in inputs and inputs[name].record.kind == "real"


def _s5(table: QTable) -> tuple[Floats, Floats, Floats, Floats]:
    from starloom.catalog.schema import plain

    good = (
        (plain(table, "good_star_pb") > 0.5) & (plain(table, "sn_1700d") > 5.0) & (plain(table, "vel_calib_std") < 20.0)
    )
    ra, dec, speed, iron = (plain(table, name)[good] for name in ("ra", "dec", "vel_calib", "feh50"))
    return ra, dec, speed, iron


def _jinabase(table: QTable) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    from astropy import units as u
    from astropy.coordinates import Angle

    from starloom.catalog.schema import plain

    speed, iron, magnesium = plain(table, "Vel"), plain(table, "Fe/H"), plain(table, "Mg") - MG_SUN
    place = np.asarray(table["Loc"]).astype(str)
    rows = np.flatnonzero((plain(table, "Priority") == 1) & np.isfinite(speed) & np.isfinite(iron) & (place == "HA"))
    ra, dec = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    for k, row in enumerate(rows):
        try:
            ra[k] = Angle(str(table["RA"][row]), u.hourangle).deg
            dec[k] = Angle(str(table["DEC"][row]), u.deg).deg
        except (ValueError, TypeError):  # some positions are missing
            continue
    known = np.isfinite(ra) & np.isfinite(dec)
    rows = rows[known]
    return ra[known], dec[known], speed[rows], iron[rows], magnesium[rows] - iron[rows]


def _rotation(config: Config, ra: Floats, dec: Floats, speed: Floats) -> Any:
    from starloom.dynamics.frames import GalacticFrame
    from starloom.errors import CatalogError
    from starloom.halo.line_of_sight import rotation_from_velocities

    try:
        return rotation_from_velocities(ra, dec, speed, GalacticFrame.named(config.frame), seed=config.seed)
    except CatalogError:
        return None


def _rotation_table(config: Config, ra: Floats, dec: Floats, speed: Floats, iron: Floats) -> QTable:
    from astropy.table import QTable

    rows = []
    for low, high in itertools.pairwise(ROTATION_EDGES):
        inside = (iron >= low) & (iron < high)
        one = _rotation(config, ra[inside], dec[inside], speed[inside])
        numbers = (
            (np.nan, np.nan, np.nan, np.nan, 0)
            if one is None
            else (one.value, one.low, one.high, one.dispersion, one.stars)
        )
        rows.append((low, high, *numbers))
    names = ("low_edge", "high_edge", "rotation", "rotation_low", "rotation_high", "dispersion", "stars")
    return QTable(rows=rows, names=names)
