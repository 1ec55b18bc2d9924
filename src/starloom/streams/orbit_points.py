"""The points that an orbit is fitted to: places on the sky, and at some of them distance, proper motion, velocity.

A row is a star, a cluster of stars or a measurement of the track. Any of its values may be missing; what is missing
contributes no term to the likelihood. A row whose ``sky_error`` is missing says where along the stream its other values
hold, and does not itself pull the orbit to its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from starloom.catalog.schema import Column, Schema, plain, require_rows
from starloom.dynamics.stream_frames import StreamFrame
from starloom.errors import CatalogError

if TYPE_CHECKING:
    from astropy.table import QTable

Array = NDArray[np.float64]

SCHEMA = Schema(
    name="stream orbit",
    meaning="points along stellar streams, to fit orbits to",
    columns=(
        Column("stream", "", "name of the stream that the point belongs to", kind="text"),
        Column("ra", "deg", "right ascension, ICRS", required=True),
        Column("dec", "deg", "declination, ICRS", required=True),
        Column("sky_error", "deg", "one-sigma width of the stream around this point, across it"),
        Column("distance", "kpc", "distance from the Sun"),
        Column("distance_error", "kpc", "its error"),
        Column("pmra", "mas/yr", "proper motion in right ascension times cos(dec)"),
        Column("pmra_error", "mas/yr", "its error"),
        Column("pmdec", "mas/yr", "proper motion in declination"),
        Column("pmdec_error", "mas/yr", "its error"),
        Column("pmra_pmdec_corr", "", "correlation of the two errors"),
        Column("radial_velocity", "km/s", "line-of-sight velocity, barycentric"),
        Column("radial_velocity_error", "km/s", "its error"),
    ),
)
DEFAULT_SKY_ERROR = 0.2  # deg, where a table has no column for it: a thin stream; the fitted scatter adds to it
COLUMNS = (
    *("phi1", "phi2", "sky_error", "distance", "distance_error", "pmra", "pmra_error", "pmdec", "pmdec_error"),
    *("correlation", "radial_velocity", "radial_velocity_error", "turn_cos", "turn_sin"),
)
"""Columns of ``StreamPoints.rows``: the order that the compiled likelihood reads."""
_MEASURED = ("distance", "pmra", "pmdec", "radial_velocity")
LEAST_PLACES = 3


@dataclass(frozen=True)
class StreamPoints:
    """Points of one stream in the frame of its own great circle, ready for the likelihood.

    Parameters
    ----------
    name : of the stream.
    frame : great circle through the points; phi1 = 0 in their middle, where the orbit's parameters are taken.
    rows : (n, 14), columns ``COLUMNS``, sorted by phi1; NaN where a value is missing.
    reason : (rows of the table,) why a row is not used; empty where it is.
    """

    name: str
    frame: StreamFrame
    rows: Array
    reason: NDArray[np.str_]

    def __getitem__(self, column: str) -> Array:
        found: Array = self.rows[:, COLUMNS.index(column)]
        return found

    def count(self, quantity: str) -> int:
        """How many rows constrain "sky", "distance", "pmra", "pmdec" or "radial_velocity"."""
        column = "sky_error" if quantity == "sky" else f"{quantity}_error"
        return int(np.isfinite(self[column]).sum())

    @property
    def terms(self) -> int:
        """Number of terms in the likelihood."""
        return sum(self.count(quantity) for quantity in ("sky", *_MEASURED))

    def without(self, quantity: str) -> StreamPoints:
        """The same points with one quantity hidden, such as "radial_velocity"."""
        rows = self.rows.copy()
        for name in (quantity, f"{quantity}_error"):
            rows[:, COLUMNS.index(name)] = np.nan
        return StreamPoints(self.name, self.frame, rows, self.reason)


def stream_points(table: QTable, name: str = "the stream") -> StreamPoints:
    """Points of one stream from a table with the columns of ``SCHEMA``.

    Parameters
    ----------
    table : the rows of one stream.
    name : what to call it.

    Returns
    -------
    StreamPoints
        A row is not used, with a reason, where its place is missing or impossible, a value has no positive error, or
        a distance is not positive.

    Raises
    ------
    CatalogError
        When fewer than three distinct places remain: an orbit needs them.
    """
    applied = SCHEMA.apply(table, label=name)
    require_rows(applied, name)
    values = {
        column.name: plain(applied, column.name, column.unit or None)
        if column.name in applied.colnames
        else np.full(len(applied), np.nan)
        for column in SCHEMA
        if column.kind == "float"
    }
    if "sky_error" not in applied.colnames:
        values["sky_error"] = np.full(len(applied), DEFAULT_SKY_ERROR)
    reason = _reasons(values)
    used = reason == ""
    ra, dec = values["ra"][used], values["dec"][used]
    on_sky = np.isfinite(values["sky_error"][used])
    places = np.unique(np.stack([ra[on_sky], dec[on_sky]], axis=1), axis=0)
    if len(places) < LEAST_PLACES:
        found = "1 usable place" if len(places) == 1 else f"{len(places)} usable places"
        why = "; ".join(f"{(reason == text).sum()} x {text}" for text in np.unique(reason[~used]))
        raise CatalogError(
            f"{name} has {found} on the sky, and an orbit needs at least {LEAST_PLACES}{f' ({why})' if why else ''}; "
            "give more points along the stream"
        )
    frame = great_circle(name, ra[on_sky], dec[on_sky])
    phi1, phi2 = frame.to_frame(ra, dec)
    turn = frame.turn(ra, dec)
    rows = np.stack(
        [
            phi1,
            phi2,
            *(values[key][used] for key in ("sky_error", "distance", "distance_error", "pmra", "pmra_error")),
            *(values[key][used] for key in ("pmdec", "pmdec_error")),
            np.nan_to_num(values["pmra_pmdec_corr"][used]),
            *(values[key][used] for key in ("radial_velocity", "radial_velocity_error")),
            turn[:, 0, 0],
            turn[:, 0, 1],
        ],
        axis=1,
    )
    return StreamPoints(name, frame, np.ascontiguousarray(rows[np.argsort(phi1, kind="stable")]), reason)


def _reasons(values: dict[str, Array]) -> NDArray[np.str_]:
    reason = np.full(len(values["ra"]), "", dtype="<U60")

    def mark(bad: NDArray[np.bool_], text: str) -> None:
        reason[bad & (reason == "")] = text

    mark(~np.isfinite(values["ra"]) | ~np.isfinite(values["dec"]), "no position")
    mark(np.abs(np.nan_to_num(values["dec"])) > 90.0, "declination beyond 90 deg")
    mark(values["distance"] <= 0.0, "distance not positive")
    mark(values["sky_error"] < 0.0, "sky_error negative")
    for name in _MEASURED:
        error = values[f"{name}_error"]
        mark(np.isfinite(values[name]) & ~(error > 0.0), f"{name} without a positive error")
        values[f"{name}_error"] = np.where(np.isfinite(values[name]), error, np.nan)
    mark(np.abs(np.nan_to_num(values["pmra_pmdec_corr"])) >= 1.0, "pmra_pmdec_corr not between -1 and 1")
    measured = np.any([np.isfinite(values[name]) for name in (*_MEASURED, "sky_error")], axis=0)
    mark(~measured, "nothing measured")
    return reason


def great_circle(name: str, ra: Array, dec: Array) -> StreamFrame:
    """The great circle that lies closest to places on the sky, with phi1 = 0 in the middle of their stretch.

    Parameters
    ----------
    name : what to call the frame.
    ra, dec : places (deg).

    Examples
    --------
    >>> frame = great_circle("equator", np.array([10.0, 20.0, 40.0]), np.zeros(3))
    >>> [round(float(value), 6) + 0.0 for value in np.concatenate(frame.to_frame([10.0, 40.0], [0.0, 0.0]))]
    [-15.0, 15.0, 0.0, 0.0]
    """
    lon, lat = np.radians(ra), np.radians(dec)
    vectors = np.stack([np.cos(lon) * np.cos(lat), np.sin(lon) * np.cos(lat), np.sin(lat)], axis=1)
    # a short stretch: the plane through the origin with the least scatter; its normal is the smallest direction
    _, directions = np.linalg.eigh(vectors.T @ vectors)
    north, middle = directions[:, 0], vectors.mean(axis=0)
    if north[2] < 0:  # eigenvectors have no sign: take the northern pole, so that the frame does not depend on chance
        north = -north
    middle = middle - north * (middle @ north)
    middle /= np.linalg.norm(middle)
    along = np.degrees(np.arctan2(vectors @ np.cross(north, middle), vectors @ middle))
    half = np.radians(0.5 * (along.min() + along.max()))
    start = np.cos(half) * middle + np.sin(half) * np.cross(north, middle)
    pole = (float(np.degrees(np.arctan2(north[1], north[0]))), float(np.degrees(np.arcsin(np.clip(north[2], -1, 1)))))
    origin = (float(np.degrees(np.arctan2(start[1], start[0]))), float(np.degrees(np.arcsin(np.clip(start[2], -1, 1)))))
    return StreamFrame.from_poles(name, pole, origin)
