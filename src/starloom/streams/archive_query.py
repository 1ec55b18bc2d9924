"""Gaia DR3 x Pan-STARRS1 around a stream: the query, and what its answer needs before a fit (as in arXiv:2311.16960).

The window of a ten-line file becomes one query a strip in phi1. The answers are put together, cut to the window
exactly, and completed: parallaxes without their zero point, magnitudes without dust, proper motions with their
covariance in the stream's frame (turned whole: the paper's script puts the correlation where the covariance belongs).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.catalog.archive import Archive, Piece
from starloom.catalog.parallax_zero_point import parallax_zero_point
from starloom.catalog.schema import plain
from starloom.catalog.tables import read_table, write_table
from starloom.dynamics.stream_frames import StreamFrame
from starloom.errors import CatalogError, ConfigError
from starloom.stats.windows import ConvexPolygon
from starloom.streams.configuration import PM
from starloom.streams.stars import turned_covariance
from starloom.streams.stream_file import StreamFile

if TYPE_CHECKING:
    from astropy.table import QTable

Array = NDArray[np.float64]
Reddening = Callable[[Array, Array], ArrayLike | tuple[ArrayLike, ArrayLike]]
BANDS = "grizy"
GAIA_COLUMNS = (
    *("source_id", "ra", "ra_error", "dec", "dec_error", "ref_epoch", "ecl_lat"),
    *("parallax", "parallax_error", "pmra", "pmra_error", "pmdec", "pmdec_error", "pmra_pmdec_corr"),
    *("parallax_pmra_corr", "parallax_pmdec_corr", "astrometric_params_solved", "nu_eff_used_in_astrometry"),
    *("pseudocolour", "ruwe", "radial_velocity", "radial_velocity_error"),
    *("phot_g_mean_mag", "phot_bp_mean_mag", "phot_rp_mean_mag", "bp_rp", "phot_bp_rp_excess_factor"),
)
PS1_COLUMNS = tuple(f"{band}_mean_psf_mag{end}" for band in BANDS for end in ("", "_error"))
MARGIN = 0.01  # deg around a strip; what is too much is cut afterwards
PM_MARGIN = 0.05  # mas/yr
FAINTEST_MAGNITUDE = 30.0  # Pan-STARRS1 writes -999 where it has none


def query(file: StreamFile, phi1: tuple[float, float]) -> str:
    """ADQL for the stars of a stream's window between two phi1 (deg).

    The sky is a polygon that holds the strip, the proper motions a box in (pmra, pmdec) that holds the window at every
    place in it. Stars that Pan-STARRS1 does not have come with nulls (outer joins).

    Parameters
    ----------
    file : the ten-line file, with a frame.
    phi1 : ends of the strip.

    Examples
    --------
    >>> file = StreamFile.of({"frame": "GD1Koposov10", "phi1": [-60, -50], "phi2": [-5, 5]})
    >>> print(query(file, (-60.0, -59.0)).splitlines()[-1])
      AND g.bp_rp BETWEEN -1 AND 3
    """
    frame = _frame(file)
    corners = _corners(frame, phi1, file.phi2)
    polygon = ", ".join(f"{ra:.6f}, {dec:.6f}" for ra, dec in zip(*corners, strict=True))
    columns = [*(f"g.{name}" for name in GAIA_COLUMNS), *(f"p.{name}" for name in PS1_COLUMNS)]
    columns += ["x.angular_distance AS ps1_angular_distance", "x.number_of_mates AS ps1_number_of_mates"]
    settings = file.query
    conditions = [f"1 = CONTAINS(POINT('ICRS', g.ra, g.dec), POLYGON('ICRS', {polygon}))"]
    if settings.parallax is not None:
        conditions.append(_between("g.parallax", settings.parallax))
    box = _motion_box(file, frame, phi1)
    if box is not None:
        conditions += [_between(f"g.{name}", pair) for name, pair in zip(("pmra", "pmdec"), box, strict=True)]
    if settings.ruwe is not None:
        conditions.append(f"g.ruwe < {settings.ruwe:g}")
    if settings.phot_g_mean_mag is not None:
        conditions.append(_between("g.phot_g_mean_mag", settings.phot_g_mean_mag))
    if settings.bp_rp is not None:
        conditions.append(_between("g.bp_rp", settings.bp_rp))
    wanted = ",\n  ".join(", ".join(columns[low : low + 6]) for low in range(0, len(columns), 6))
    return (
        f"SELECT\n  {wanted}\n"
        "FROM gaiadr3.gaia_source AS g\n"
        "LEFT OUTER JOIN gaiadr3.panstarrs1_best_neighbour AS x ON g.source_id = x.source_id\n"
        "LEFT OUTER JOIN gaiadr2.panstarrs1_original_valid AS p ON x.original_ext_source_id = p.obj_id\n"
        "WHERE " + "\n  AND ".join(conditions)
    )


def pieces(file: StreamFile) -> list[Piece]:
    """The queries of a window, a strip in phi1 each (``[query] strip`` deg wide, or a little less)."""
    low, high = file.phi1
    count = max(int(np.ceil((high - low) / file.query.strip - 1e-9)), 1)
    edges = np.linspace(low, high, count + 1)
    return [_piece(file, float(a), float(b)) for a, b in itertools.pairwise(edges)]


def _piece(file: StreamFile, low: float, high: float) -> Piece:
    def halves() -> tuple[Piece, Piece]:
        middle = 0.5 * (low + high)
        return _piece(file, low, middle), _piece(file, middle, high)

    return Piece(f"phi1_{low:+.4f}_{high:+.4f}", query(file, (low, high)), halves)


@dataclass(frozen=True)
class Download:
    """What a query gave: the file written, its rows, and what the reader has to know."""

    path: Path
    rows: int
    notes: tuple[str, ...]


def download(
    file: StreamFile,
    out: str | Path,
    *,
    archive: Archive | None = None,
    reddening: Reddening | None = None,
    reddening_unit: str = "sfd",
) -> Download:
    """Ask the archive, strip by strip, and write one table of stars ready for a fit.

    The answers are kept beside ``out`` until the table is whole: an interrupted download goes on from there.

    Parameters
    ----------
    file : the ten-line file.
    out : the table to write.
    archive : the service; the Gaia archive by default.
    reddening, reddening_unit : see ``complete``.

    Raises
    ------
    CatalogError, DatasetError, ConfigError, OutputError
        See ``Archive.fetch``.
    """
    import shutil

    target = Path(out)
    folder = target.parent / f".{target.name}.pieces"
    answers = (archive or Archive()).fetch(pieces(file), folder)
    table = _joined(file, answers)
    table, notes = complete(file, table, reddening=reddening, reddening_unit=reddening_unit)
    write_table(table, target)
    shutil.rmtree(folder, ignore_errors=True)
    return Download(target, len(table), tuple(notes))


def complete(
    file: StreamFile,
    table: QTable,
    *,
    reddening: Reddening | None = None,
    reddening_unit: str = "sfd",
) -> tuple[QTable, list[str]]:
    """Give the answer of the archive what a fit needs.

    Parameters
    ----------
    file : the ten-line file.
    table : with the columns that ``query`` asks for; a column ``ebv`` (and ``ebv_error``) is used as the reddening.
    reddening : takes ra and dec (deg) and gives E(B-V) in mag, or a pair of it and its error, which is added in
        quadrature to the errors of the magnitudes.
    reddening_unit : "sfd" for 1998ApJ...500..525S as it stands, "bayestar19" for that map.

    Returns
    -------
    table : with ``parallax`` corrected for its zero point, ``parallax_uncorrected``, ``parallax_zero_point``;
        ``phi1``, ``phi2``, ``pm_phi1_cosphi2``, ``pm_phi2`` with errors and ``pm_phi1_cosphi2_pm_phi2_corr``; with a
        reddening ``g_mag`` to ``y_mag`` and their errors, and ``ebv``.
    notes : what could not be done, and for how many stars.
    """
    import astropy.units as u

    result, notes = table.copy(), list[str]()
    _subtract_zero_point(result, notes)
    frame = _frame(file)
    ra, dec = plain(result, "ra"), plain(result, "dec")
    phi1, phi2 = frame.to_frame(ra, dec)
    result["phi1"], result["phi2"] = phi1 * u.deg, phi2 * u.deg
    turn = frame.turn(ra, dec)
    pm = np.stack([plain(result, "pmra"), plain(result, "pmdec")], axis=1)
    turned = np.einsum("nij,nj->ni", turn, pm)
    covariance = turned_covariance(result, ("pmra", "pmdec"), turn)
    with np.errstate(invalid="ignore", divide="ignore"):
        errors = np.sqrt(covariance[:, [0, 2]])
        correlation = covariance[:, 1] / (errors[:, 0] * errors[:, 1])
    for place, name in enumerate(PM):
        result[name] = turned[:, place] * u.mas / u.yr
        result[f"{name}_error"] = errors[:, place] * u.mas / u.yr
    result["pm_phi1_cosphi2_pm_phi2_corr"] = correlation
    _take_dust_away(result, reddening, reddening_unit, notes)
    result.meta["frame"] = frame.name
    return result, notes


def _subtract_zero_point(table: QTable, notes: list[str]) -> None:
    import astropy.units as u

    names = ("phot_g_mean_mag", "nu_eff_used_in_astrometry", "pseudocolour", "ecl_lat", "astrometric_params_solved")
    if "parallax_uncorrected" in table.colnames:
        raise CatalogError("the table has a column parallax_uncorrected: its zero point was taken off before")
    if absent := [name for name in names if name not in table.colnames]:
        raise CatalogError(f"the zero point of the parallaxes needs {', '.join(absent)}; use the columns of the query")
    offset = parallax_zero_point(*(plain(table, name) for name in names))
    parallax = plain(table, "parallax")
    unknown = np.isfinite(parallax) & np.isnan(offset)
    if unknown.any():
        notes.append(
            f"{int(unknown.sum())} parallaxes keep their zero point: magnitude or color is outside its calibration."
        )
    table["parallax_uncorrected"] = parallax * u.mas
    table["parallax_zero_point"] = offset * u.mas
    table["parallax"] = (parallax - np.nan_to_num(offset)) * u.mas


def _take_dust_away(table: QTable, reddening: Reddening | None, unit: str, notes: list[str]) -> None:
    import astropy.units as u

    from starloom.stellar.extinction import extinction_coefficient

    error = np.zeros(len(table))
    if reddening is not None:
        found = reddening(plain(table, "ra"), plain(table, "dec"))
        if isinstance(found, tuple):
            found, error = found[0], np.asarray(found[1], dtype=np.float64)
        ebv = np.asarray(found, dtype=np.float64)
        if ebv.shape != (len(table),) or error.shape != ebv.shape:
            raise ConfigError(f"the reddening map gave values of shape {ebv.shape} for {len(table)} stars")
    elif "ebv" in table.colnames:
        ebv = plain(table, "ebv")
        if "ebv_error" in table.colnames:
            error = plain(table, "ebv_error")
    else:
        notes.append(
            "The magnitudes are not corrected for dust: no reddening was given. A fit that uses photometry would take "
            "dust for distance."
        )
        return
    if (ebv < 0).any() or np.isinf(ebv).any():
        raise ConfigError("an E(B-V) is negative or infinite; write NaN where the reddening is not known")
    if np.isnan(ebv).any():
        notes.append(f"{int(np.isnan(ebv).sum())} stars have no reddening, and so no magnitudes.")
    table["ebv"] = ebv * u.mag
    for band in BANDS:
        name = f"{band}_mean_psf_mag"
        if name not in table.colnames:
            continue
        coefficient = extinction_coefficient(f"ps1_{band}", unit)
        observed, observed_error = plain(table, name), plain(table, f"{name}_error")
        with np.errstate(invalid="ignore"):
            seen = (observed > 0) & (observed < FAINTEST_MAGNITUDE)
            measured = seen & (observed_error > 0)
        table[f"{band}_mag"] = np.where(seen, observed - coefficient * ebv, np.nan) * u.mag
        total = np.hypot(np.where(measured, observed_error, np.nan), coefficient * np.nan_to_num(error))
        table[f"{band}_mag_error"] = total * u.mag


def _joined(file: StreamFile, answers: Sequence[Path]) -> QTable:
    """All answers in one table, cut to the window, each star once."""
    from astropy.table import vstack

    frame = _frame(file)
    parts = [table for table in (read_table(path) for path in answers) if len(table)]
    if not parts:
        raise CatalogError("the archive has no star in this window; check frame, phi1, phi2 and the proper motions")
    table = vstack(parts, metadata_conflicts="silent")
    phi1, phi2 = frame.to_frame(plain(table, "ra"), plain(table, "dec"))
    kept = (phi1 >= file.phi1[0]) & (phi1 <= file.phi1[1]) & (phi2 >= file.phi2[0]) & (phi2 <= file.phi2[1])
    kept &= _in_motion_window(file, frame, table, phi1, phi2)  # the boxes of the strips are wider, each differently
    rows = np.flatnonzero(kept)
    _, first = np.unique(np.asarray(table["source_id"])[rows], return_index=True)  # strips overlap by a margin
    return table[rows[np.sort(first)]]


def _in_motion_window(
    file: StreamFile, frame: StreamFrame, table: QTable, phi1: Array, phi2: Array
) -> NDArray[np.bool_]:
    pm = np.stack([plain(table, "pmra"), plain(table, "pmdec")], axis=1)
    with np.errstate(invalid="ignore"):
        if file.pm_polygon is not None:
            return ConvexPolygon(file.pm_polygon).contains(pm[:, 0], pm[:, 1])
        if file.pm_phi1_cosphi2 is None or file.pm_phi2 is None:
            return np.ones(len(pm), dtype=bool)
        pm = np.einsum("nij,nj->ni", frame.turn(plain(table, "ra"), plain(table, "dec")), pm)
        if file.reflex_distance is not None:
            pm = pm - frame.reflex(phi1, phi2, np.full(len(pm), file.reflex_distance))
        low, high = np.transpose([file.pm_phi1_cosphi2, file.pm_phi2])
        return np.asarray(((pm >= low) & (pm <= high)).all(axis=1))


def _frame(file: StreamFile) -> StreamFrame:
    frame = file.stream_frame
    if frame is None:
        raise ConfigError('a query needs the stream\'s frame: write frame = "...", or its ends or pole')
    return frame


def _between(name: str, pair: tuple[float, float]) -> str:
    return f"{name} BETWEEN {pair[0]:.10g} AND {pair[1]:.10g}"


def _corners(frame: StreamFrame, phi1: tuple[float, float], phi2: tuple[float, float]) -> tuple[Array, Array]:
    """Corners of a polygon of great circles that holds a strip, counter-clockwise; ra and dec (deg).

    A line of constant phi2 bends towards the equator of the frame away from the great circle through its ends: on the
    equator's side the polygon is moved out by that much.
    """
    width = np.radians(phi1[1] - phi1[0] + 2 * MARGIN)
    if width > np.pi / 2:
        raise ConfigError(
            f"a strip of {np.degrees(width):.0f} deg is too wide for one query; make [query] strip smaller"
        )
    low, high = phi2[0] - MARGIN, phi2[1] + MARGIN
    # the great circle through (+-width/2, latitude) reaches atan(tan(latitude) / cos(width/2)) half-way
    if low > 0:
        low = float(np.degrees(np.arctan(np.tan(np.radians(low)) * np.cos(0.5 * width))))
    if high < 0:
        high = float(np.degrees(np.arctan(np.tan(np.radians(high)) * np.cos(0.5 * width))))
    a, b = phi1[0] - MARGIN, phi1[1] + MARGIN
    return frame.to_icrs(np.array([a, b, b, a]), np.array([low, low, high, high]))


def _motion_box(
    file: StreamFile, frame: StreamFrame, phi1: tuple[float, float]
) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Ranges of pmra and pmdec that hold the window in proper motion everywhere in a strip; None without a window."""
    if file.pm_polygon is not None:
        corners = np.asarray(file.pm_polygon, dtype=np.float64)
        low, high = corners.min(axis=0), corners.max(axis=0)
    elif file.pm_phi1_cosphi2 is not None and file.pm_phi2 is not None:
        a, b = file.pm_phi1_cosphi2, file.pm_phi2
        window = np.array([[x, y] for x in a for y in b], dtype=np.float64)
        along, across = (grid.ravel() for grid in np.meshgrid(np.linspace(*phi1, 5), np.linspace(*file.phi2, 9)))
        turn = frame.turn(*frame.to_icrs(along, across))
        if file.reflex_distance is not None:
            reflex = frame.reflex(along, across, np.full(len(along), file.reflex_distance))
        else:
            reflex = np.zeros((len(along), 2))
        observed = np.einsum("nji,nkj->nki", turn, window[None] + reflex[:, None]).reshape(-1, 2)
        # between the places looked at the turn changes by little: a hundredth of the motion is more than enough
        spare = PM_MARGIN + 0.01 * float(np.abs(observed).max())
        low, high = observed.min(axis=0) - spare, observed.max(axis=0) + spare
    else:
        return None
    low, high = np.floor(100 * low) / 100, np.ceil(100 * high) / 100
    return (float(low[0]), float(high[0])), (float(low[1]), float(high[1]))


def describe(file: StreamFile) -> str:
    """All queries as text, for looking at or for another client."""
    return "\n\n".join(f"-- {piece.name}\n{piece.adql}" for piece in pieces(file)) + "\n"
