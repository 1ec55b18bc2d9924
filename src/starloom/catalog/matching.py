"""Match two tables on the sky, each position moved to the same epoch first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import ArrayLike, NDArray

from starloom.catalog.schema import plain
from starloom.errors import CatalogError

Floats = NDArray[np.float64]
_MAS = np.deg2rad(1 / 3.6e6)  # one milliarcsecond in radians


@dataclass(frozen=True)
class SkyMatch:
    """Pairs of rows of two tables.

    Parameters
    ----------
    left, right : (m,) row numbers, in the order of the left table.
    separation : (m,) distance on the sky, arcsec, at the common epoch.
    """

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    separation: Floats

    def __len__(self) -> int:
        return len(self.left)


def unit_vectors(ra: ArrayLike, dec: ArrayLike) -> Floats:
    """Directions as unit vectors.

    Parameters
    ----------
    ra, dec : (n,) deg.

    Returns
    -------
    ndarray
        (n, 3) unit vectors.
    """
    longitude, latitude = np.deg2rad(np.asarray(ra, dtype=float)), np.deg2rad(np.asarray(dec, dtype=float))
    across = np.cos(latitude)
    return np.stack([across * np.cos(longitude), across * np.sin(longitude), np.sin(latitude)], axis=-1)


def propagate_epoch(
    ra: ArrayLike, dec: ArrayLike, pmra: ArrayLike, pmdec: ArrayLike, from_epoch: ArrayLike, to_epoch: ArrayLike
) -> tuple[Floats, Floats]:
    """Move positions along their proper motions from one epoch to another.

    The star moves on a straight line at a constant velocity across the line of sight; the radial velocity, which moves
    no star of the Gaia catalog by a milliarcsecond in a few years, is left out. The unit vector u at the first epoch
    goes to (u + mu t) / \\|u + mu t\\|, which holds at the poles too (ESA 1997, The Hipparcos Catalogue, volume 1,
    section 1.5.5).

    Parameters
    ----------
    ra, dec : (n,) deg, ICRS, at ``from_epoch``.
    pmra, pmdec : (n,) mas/yr, ``pmra`` with cos(dec); where one of them is missing (NaN) it is taken to be zero.
    from_epoch, to_epoch : Julian years; one number, or (n,).

    Returns
    -------
    ra, dec : ndarray
        (n,) deg, ra from 0 to 360.

    Examples
    --------
    >>> ra, dec = propagate_epoch([10.0], [0.0], [3.6e6], [0.0], 2015.5, 2016.0)
    >>> ra.round(3), dec.round(3)
    (array([10.5]), array([0.]))
    """
    longitude, latitude = np.deg2rad(np.asarray(ra, dtype=float)), np.deg2rad(np.asarray(dec, dtype=float))
    years = np.asarray(to_epoch, dtype=float) - np.asarray(from_epoch, dtype=float)
    east_motion = np.nan_to_num(np.asarray(pmra, dtype=float), nan=0.0) * _MAS * years
    north_motion = np.nan_to_num(np.asarray(pmdec, dtype=float), nan=0.0) * _MAS * years
    sin_ra, cos_ra, sin_dec, cos_dec = np.sin(longitude), np.cos(longitude), np.sin(latitude), np.cos(latitude)
    x = cos_dec * cos_ra - east_motion * sin_ra - north_motion * sin_dec * cos_ra
    y = cos_dec * sin_ra + east_motion * cos_ra - north_motion * sin_dec * sin_ra
    z = sin_dec + north_motion * cos_dec
    return np.rad2deg(np.arctan2(y, x)) % 360.0, np.rad2deg(np.arctan2(z, np.hypot(x, y)))


def match_sky(
    left: QTable,
    right: QTable,
    radius_arcsec: float,
    *,
    left_epoch: float | None = None,
    right_epoch: float | None = None,
    mutual: bool = False,
) -> SkyMatch:
    """Find for each row of one table the nearest row of another on the sky.

    The positions of the left table are moved to the epoch of the right one where both epochs are given, with the
    proper motions of the left table; if it has none, those of the right table move the right positions to the left
    epoch. A missing proper motion counts as zero. The search is a k-d tree over unit vectors: exact at the poles and
    across ra = 0.

    Parameters
    ----------
    left, right : tables with canonical ``ra`` and ``dec``, and ``pmra`` and ``pmdec`` for the epochs; in deg and mas/yr
        where they carry no units. Rows without a position match nothing.
    radius_arcsec : largest separation of a pair, arcsec.
    left_epoch, right_epoch : reference epochs, Julian years; both or neither.
    mutual : keep only pairs in which each row is the nearest of the other: one to one.

    Returns
    -------
    SkyMatch
        At most one pair for each row of ``left``.

    Raises
    ------
    MissingColumnError
        When a table lacks positions.
    CatalogError
        When the radius is not positive, one epoch is missing, or neither table has proper motions to use epochs with.
    """
    if not (np.isfinite(radius_arcsec) and 0 < radius_arcsec < 180 * 3600):
        raise CatalogError(
            f"the radius of a sky match is {radius_arcsec} arcsec; it must be positive and below 180 deg"
        )
    first, second = _positions(left, "left"), _positions(right, "right")
    if (left_epoch is None) != (right_epoch is None):
        raise CatalogError("a sky match needs the epochs of both tables, or of neither")
    if left_epoch is not None and right_epoch is not None and left_epoch != right_epoch:
        if {"pmra", "pmdec"} <= set(left.colnames):
            first = propagate_epoch(*first, *_motions(left), left_epoch, right_epoch)
        elif {"pmra", "pmdec"} <= set(right.colnames):
            second = propagate_epoch(*second, *_motions(right), right_epoch, left_epoch)
        else:
            raise CatalogError("neither table has pmra and pmdec, so no epoch can be changed; leave the epochs out")
    rows_left, vectors_left = _placed(*first)
    rows_right, vectors_right = _placed(*second)
    if not len(rows_left) or not len(rows_right):
        none = np.zeros(0, dtype=np.int64)
        return SkyMatch(none, none.copy(), np.zeros(0))
    nearest = _nearest(vectors_left, vectors_right)
    paired = np.arange(len(rows_left))
    if mutual:
        paired = paired[_nearest(vectors_right, vectors_left)[nearest] == paired]
        nearest = nearest[paired]
    separation = _separation(vectors_left[paired], vectors_right[nearest])
    close = separation <= radius_arcsec
    return SkyMatch(rows_left[paired[close]], rows_right[nearest[close]], separation[close])


def _positions(table: QTable, side: str) -> tuple[Floats, Floats]:
    ra, dec = plain(table, "ra", "deg"), plain(table, "dec", "deg")
    beyond = np.flatnonzero(np.abs(dec) > 90)
    if len(beyond):
        raise CatalogError(f"the {side} table has dec = {dec[beyond[0]]} deg in row {beyond[0]}, beyond a pole")
    return ra, dec


def _motions(table: QTable) -> tuple[Floats, Floats]:
    return plain(table, "pmra", "mas/yr"), plain(table, "pmdec", "mas/yr")


def _placed(ra: Floats, dec: Floats) -> tuple[NDArray[np.int64], Floats]:
    rows = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
    return rows, unit_vectors(ra[rows], dec[rows])


def _nearest(points: Floats, among: Floats) -> NDArray[np.int64]:
    from scipy.spatial import cKDTree

    tree: Any = cKDTree(among)
    return np.asarray(tree.query(points)[1], dtype=np.int64)


def _separation(first: Floats, second: Floats) -> Floats:
    """Angle between unit vectors, arcsec; by the chord, which loses no digits at small angles."""
    chord = np.linalg.norm(first - second, axis=-1)
    return np.asarray(np.rad2deg(2 * np.arcsin(np.clip(chord / 2, 0, 1))) * 3600)
