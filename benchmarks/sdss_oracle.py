"""An independent way to the members of a carton: SQLite on the very words of its clauses, and rows to try it on."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from starloom.catalog.expressions import Literal, Name, Node, children, walk
from starloom.sdss.carton import Carton
from starloom.sdss.columns import column
from starloom.seeds import generator

MISSING = 0.12
RANGES = {
    "deg": (-90.0, 360.0), "mas": (-1.0, 14.0), "mas/yr": (-30.0, 30.0), "K": (3000.0, 9000.0), "arcsec": (0.0, 70.0),
    "pc": (1.0, 2000.0), "Jy": (0.0, 1e-3), "": (0.0, 12.0), "mag": (6.0, 23.0),
}  # fmt: skip
NARROW = {
    "l": (0.0, 360.0), "b": (-90.0, 90.0), "dec": (-90.0, 90.0), "ra": (0.0, 360.0), "parallax_error": (-0.2, 2.0),
    "bp_rp": (-0.5, 3.0), "twomass_angular_distance": (0.0, 2.0), "ruwe": (0.7, 2.0), "tic_ebv": (0.0, 0.5),
    "mw_transmission_g": (0.4, 1.0), "mw_transmission_r": (0.4, 1.0), "mw_transmission_z": (0.4, 1.0),
    "skymapper_feh": (-3.0, 0.5), "pwd": (0.0, 1.0), "prob_rf": (0.6, 1.0), "ls_ebv": (0.0, 0.3),
    "phot_g_mean_flux_over_error": (1.0, 900.0), "phot_bp_mean_flux_over_error": (1.0, 300.0),
    "phot_rp_mean_flux_over_error": (1.0, 300.0), "fuv_magerr": (0.0, 0.5), "nuv_magerr": (0.0, 0.5),
    "j_msigcom": (0.0, 0.2), "h_msigcom": (0.0, 0.2), "k_msigcom": (0.0, 0.2), "w2sigmpro": (0.0, 0.2),
    "cluster_log_age": (6.0, 9.0), "pmsig": (-4.0, 4.0), "plxsig": (-4.0, 4.0), "xmatch_metric": (0.0, 1.0),
    "specz": (-1.0, 8.0), "des_var_rms_g": (0.0, 0.2), "ps1_var_rms_g": (0.0, 0.2),
}  # fmt: skip
BITS = {"eboss_target1": 54, "spec_bitmask": 5, "photo_bitmask": 4, "ls_maskbits": 6, "ps1_flags": 28, "uvot_fuvm2": 7}
INTEGERS = {
    "visibility_periods_used": 20,
    "phot_g_n_obs": 400,
    "phot_bp_n_obs": 60,
    "phot_rp_n_obs": 60,
    "apogee_nvisits": 25,
    "cluster_rank": 60,
    "csc_pri": 10,
    "xmatch_flags": 4,
    "best_brightest_version": 3,
    "ext_key": 9,
    "skymapper_flags": 8,
}


def constants(cartons: Sequence[Carton]) -> dict[str, list[float | str]]:
    """The constants that each column is compared with somewhere: where the boundaries are."""
    found: dict[str, list[float | str]] = {}
    for carton in cartons:
        for clause in carton.clauses:
            for node in walk(clause.node):
                sides = children(node)
                if len(sides) == 2:
                    for one, other in (sides, sides[::-1]):
                        if isinstance(other, Literal) and other.value is not None:
                            for name in (part.name for part in walk(one) if isinstance(part, Name)):
                                found.setdefault(name, []).append(other.value)
                for name, pattern in _patterns(node):
                    found.setdefault(name, []).append(pattern.replace("%", "XX").replace("_", "0"))
    return found


def _patterns(node: Node) -> list[tuple[str, str]]:
    from starloom.catalog.expressions import Like

    return [(node.argument.name, node.pattern)] if isinstance(node, Like) and isinstance(node.argument, Name) else []


def random_parent(cartons: Sequence[Carton], rows: int, seed: int) -> dict[str, np.ma.MaskedArray]:
    """Random columns for some cartons: an eighth of the values missing, some exactly on a boundary."""
    rng, edges = generator(seed), constants(cartons)
    table = {}
    for name in dict.fromkeys(name for carton in cartons for name in carton.columns):
        spec, near = column(name), edges.get(name, [])
        missing = rng.random(rows) < MISSING
        if spec.kind == "text":
            words = _words(name, [str(value) for value in near])
            values = np.array(words)[rng.integers(len(words), size=rows)]
        elif spec.kind == "integer":
            values = _integers(name, rows, rng)
        else:
            low, high = NARROW.get(name, RANGES.get(spec.unit, (0.0, 10.0)))
            values = rng.uniform(low, high, rows)
            numbers = [float(value) for value in near if not isinstance(value, str)]
            if numbers:
                at = rng.random(rows) < 0.02
                values[at] = rng.choice(numbers, int(at.sum()))
        table[name] = np.ma.MaskedArray(values, mask=missing)
    return table


def _words(name: str, near: Sequence[str]) -> list[str]:
    if name in ("ph_qual", "rd_flg", "cc_flg"):
        letters = {"ph_qual": "ABU", "rd_flg": "0123", "cc_flg": "0c"}[name]
        return [x + y + z for x in letters for y in letters for z in letters]
    if name == "uvm2_quality_flag_st":
        return ["FFFFFFFFF", "TFFFFFFFF", "FTFFFFFFF", "FFTFFFFFF", "FFFFFFTFF", "FFFFFFFTF", "FFFFFFFFT"]
    return [*near, *(f" {word} " for word in near), *(word.lower() for word in near), "other", ""]


def _integers(name: str, rows: int, rng: np.random.Generator) -> NDArray[np.int64]:
    if name in BITS:
        return rng.integers(0, 2 ** BITS[name], rows) * (rng.random(rows) < 0.8)
    return rng.integers(0, INTEGERS.get(name, 2) + (name in INTEGERS), rows)


class Database:
    """The same rows in SQLite."""

    def __init__(self, table: Mapping[str, np.ma.MaskedArray]) -> None:
        self.connection = sqlite3.connect(":memory:")
        self.connection.execute("PRAGMA case_sensitive_like = ON")
        kinds = {"f": "REAL", "i": "INTEGER", "U": "TEXT"}
        columns = ", ".join(f"{name} {kinds[values.dtype.kind]}" for name, values in table.items())
        self.connection.execute(f"CREATE TABLE parent ({columns})")
        lists = []
        for values in table.values():
            plain = values.data.tolist()
            for row in np.flatnonzero(np.ma.getmaskarray(values)):
                plain[row] = None
            lists.append(plain)
        marks = ", ".join("?" * len(table))
        self.connection.executemany(f"INSERT INTO parent VALUES ({marks})", zip(*lists, strict=True))

    def truth(self, condition: str) -> NDArray[np.int8]:
        """1 where a condition is true, 0 where it is false, -1 where it is unknown."""
        rows = self.connection.execute(f"SELECT ({condition}) FROM parent ORDER BY rowid").fetchall()
        return np.array([-1 if value is None else int(bool(value)) for (value,) in rows], dtype=np.int8)

    def members(self, carton: Carton) -> NDArray[np.bool_]:
        """The rows that all clauses of a carton select, its words taken as they stand in the definition."""
        condition = " AND ".join(f"({clause.text})" for clause in carton.clauses)
        assert re.fullmatch(r"[^;]*", condition)
        return self.truth(condition) == 1
