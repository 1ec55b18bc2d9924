"""From the files that authors published to the tables used here; each function is one conversion, applied once."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starloom.datasets.pandas_store import read_frame
from starloom.errors import DatasetError

TRACK_COLUMNS = ("ra", "dec", "distance", "pm_ra_cosdec", "pm_dec", "radial_velocity")
POINTS_PER_TRACK = 150
NO_VELOCITY_ERROR = 300.0  # km/s, e_VHel of a STREAMFINDER star that has no velocity

_HECTOCHELLE_FITTED = (
    *("Teff", "logg", "FeH", "aFe", "Vrad", "Vrot", "logAge", "EEP", "init_FeH", "init_Mass", "Mass", "logL", "logR"),
    *("Dist", "Av"),
)
HECTOCHELLE_COLUMNS = (
    *("source_id", "ra", "dec", "parallax", "parallax_error", "pmra", "pmra_error", "pmdec", "pmdec_error"),
    *("phot_g_mean_mag", "bp_rp", "g", "r", "i", "z", "y", "A_g", "A_r", "A_i", "field", "SNR"),
    *(f"{prefix}{name}" for name in _HECTOCHELLE_FITTED for prefix in ("", "uerr_", "lerr_")),
    *("phi1", "phi2", "pm_phi1_cosphi2", "pm_phi2", "delta_Vrad"),
    *("mem", "cmdmem", "pmmem", "vrmem", "fehmem", "priority"),
)


def _write(columns: Mapping[str, Any], output: Path) -> None:
    from starloom.catalog.tables import write_table

    write_table(dict(columns), output)


def gd1_candidates(files: Sequence[Path], output: Path) -> None:
    """GD-1 candidates (first file) with the Pan-STARRS magnitudes of the merged table (second file).

    A star without a match has no magnitudes; magnitudes outside +-90 (the file writes 1e20) are missing.
    """
    stars = read_frame(files[0], "candidate_df")
    merged = read_frame(files[1], "merged")
    wanted = stars["source_id"]
    ids, first = np.unique(merged["source_id"], return_index=True)
    place = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
    matched = ids[place] == wanted
    for name in ("g_mean_psf_mag", "i_mean_psf_mag"):
        magnitude = np.where(matched, merged[name][first][place], np.nan)
        stars[name] = np.where(np.abs(magnitude) < 90, magnitude, np.nan)
    _write(stars, output)


def pandas_frame(key: str) -> Callable[[Sequence[Path], Path], None]:
    """The conversion that takes one frame of a pandas HDF5 file as it is."""

    def convert(files: Sequence[Path], output: Path) -> None:
        _write(read_frame(files[0], key), output)

    convert.__qualname__ = f"pandas_frame({key!r})"
    return convert


def _data_lines(path: Path) -> list[str]:
    """The lines of an ECSV file after its comment block: column names first."""
    with open(path, encoding="utf-8") as stream:
        lines = [line.rstrip("\n") for line in stream if line.strip() and not line.startswith("#")]
    if not lines:
        raise DatasetError(f"{path} holds no column names")
    return lines


def galstreams_tracks(files: Sequence[Path], output: Path) -> None:
    """Tracks of galstreams in one table, at most 150 points a track, evenly spaced in the order of the points.

    The data blocks are read as they stand: the coordinate objects described above them need a package that does not
    load with every astropy.
    """
    columns: dict[str, list[NDArray[Any]]] = {name: [] for name in ("stream", "reference", *TRACK_COLUMNS)}
    for path in sorted(files):
        if not path.name.endswith(".ecsv") or path.name.endswith(".summary.ecsv"):
            continue
        stream, reference = _track_name(path)
        header, *rows = csv.reader(_data_lines(path))
        if not rows or not set(TRACK_COLUMNS) <= set(header):
            raise DatasetError(f"{path}: expected rows with the columns {', '.join(TRACK_COLUMNS)}, found {header}")
        kept = np.unique(np.linspace(0, len(rows) - 1, min(POINTS_PER_TRACK, len(rows))).astype(int))
        columns["stream"].append(np.full(len(kept), stream))
        columns["reference"].append(np.full(len(kept), reference))
        for name in TRACK_COLUMNS:
            position = header.index(name)
            columns[name].append(np.array([_number(rows[row][position]) for row in kept]))
    if not columns["ra"]:
        raise DatasetError("the galstreams archive holds no track")
    _write({name: np.concatenate(parts) for name, parts in columns.items()}, output)


def galstreams_summary(files: Sequence[Path], output: Path) -> None:
    """One row a track of galstreams: what is known (InfoFlags), end points, middle, pole and widths."""
    texts = ("StreamName", "StreamShortName", "InfoFlags")
    summaries: list[dict[str, str]] = []
    for path in sorted(files):
        if path.name.endswith(".summary.ecsv"):
            row = next(csv.DictReader(_data_lines(path)), None)
            if row is None:
                raise DatasetError(f"{path} holds no row")
            summaries.append({**row, "file": path.name.removesuffix(".summary.ecsv")})
    if not summaries:
        raise DatasetError("the galstreams archive holds no summary")
    columns: dict[str, NDArray[Any]] = {}
    for name in summaries[0]:
        values = [summary.get(name) or "" for summary in summaries]
        columns[name] = np.array(values if name in (*texts, "file") else [_number(value) for value in values])
    _write(columns, output)


def _track_name(path: Path) -> tuple[str, str]:
    """Stream and reference of ``track.KIND.STREAM.REFERENCE.ecsv``; a stream's name may hold a dot."""
    parts = path.name.removesuffix(".ecsv").split(".")
    if len(parts) < 4:
        raise DatasetError(f"{path}: expected a name like track.KIND.STREAM.REFERENCE.ecsv")
    return ".".join(parts[2:-1]), parts[-1]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _fits_columns(path: Path, names: Sequence[str]) -> dict[str, Any]:
    from starloom.catalog.tables import read_table

    table = read_table(path, columns=names)
    return {name: table[name] for name in names}


def hectochelle_catalog(files: Sequence[Path], output: Path) -> None:
    """The columns used here of the MMT/Hectochelle catalog of GD-1 fields."""
    _write(_fits_columns(files[0], HECTOCHELLE_COLUMNS), output)


def streamfinder_members(files: Sequence[Path], output: Path) -> None:
    """STREAMFINDER members; the velocity of a star that has none (written as 0 +- 300 km/s) becomes missing."""
    names = ("Gaia", "RAdeg", "DEdeg", "plx", "pmRA", "pmDE", "Gmag", "BP_RP", "VHel", "e_VHel", "r_VHel", "Stream")
    columns = _fits_columns(files[0], (*names, "name"))
    absent = np.asarray(columns["e_VHel"].value) >= NO_VELOCITY_ERROR
    for name in ("VHel", "e_VHel"):
        columns[name][absent] = np.nan
    columns["name"] = np.char.strip(np.asarray(columns["name"]).astype(str))
    renamed = {"Gaia": "source_id", "name": "stream_name"}
    _write({renamed.get(name, name): column for name, column in columns.items()}, output)


_APOGEE_XP = {
    "gaiaedr3_source_id": "source_id",
    "apogee_id": "apogee_id",
    **{f"gaiaedr3_phot_{band}_mean_mag": f"phot_{band}_mean_mag" for band in ("g", "bp", "rp")},
    "j": "j_mag",
    "h": "h_mag",
    "k": "ks_mag",
    "ak_targ": "a_k",
    "snr": "snr",
    **{f"{name}{ending}": f"{name}{long}" for name in ("teff", "logg", "fe_h", "alpha_m")
       for ending, long in (("", ""), ("_err", "_error"))},
}  # fmt: skip


def apogee_xp_stars(files: Sequence[Path], output: Path) -> None:
    """Gaia XP spectra of APOGEE stars with canonical names, one row a star (the best S/N), in the order of the ids.

    Spectra become physical again (the file divides each by its median flux); fill values become missing: magnitudes
    below -50, and extinctions outside -0.3 to 4 mag.
    """
    from starloom.catalog.tables import read_table

    table = read_table(files[0])
    ids, noise = np.asarray(table["gaiaedr3_source_id"], dtype=np.int64), np.asarray(table["snr"], dtype=float)
    order = np.lexsort((-noise, ids))
    rows = order[np.concatenate([[True], np.diff(ids[order]) > 0])]
    columns: dict[str, Any] = {}
    for native, name in _APOGEE_XP.items():
        values = np.asarray(table[native])[rows]
        if name == "apogee_id":
            values = np.char.strip(values.astype(str))
        elif name != "source_id":
            values = values.astype(np.float32)
            low, high = (-0.3, 4.0) if name == "a_k" else (-50.0, 1e6)
            values = np.where((values > low) & (values < high), values, np.float32(np.nan))
        columns[name] = values
    columns["source_id"] = ids[rows]
    scale = np.asarray(table["medflux"], dtype=np.float32)[rows][:, None]
    for name in ("flux", "flux_error"):
        columns[name] = np.asarray(table[name], dtype=np.float32)[rows] * scale
    _write(columns, output)
