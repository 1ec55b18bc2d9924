"""Six measured coordinates of each star with all their errors: which can be used, and draws from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from starloom.catalog.schema import plain
from starloom.dynamics.coordinate_errors import draw_errors
from starloom.dynamics.schema import ASTROMETRY, PAIRS, SCHEMA
from starloom.errors import MissingColumnError, UnitError

if TYPE_CHECKING:
    from astropy.table import QTable

Array = NDArray[np.float64]
MAS = 1.0 / 3.6e6  # deg
COORDINATES = ("ra", "dec", "distance", "pmra", "pmdec", "radial_velocity")
KM_S = 4.740470463  # of 1 mas/yr at 1 kpc
FASTEST = 3000.0  # km/s, that no star's velocity on the sky reaches but by a wrong unit
LEAST_PRECISE = 0.2  # relative error of a parallax above which its inverse is no distance


def six_coordinates(table: QTable, survey: str | None, label: str, purpose: str) -> QTable:
    """A table with the columns of ``starloom.dynamics.schema.SCHEMA``, a distance or a parallax among them.

    Raises
    ------
    MissingColumnError
        When one of the six coordinates is missing; it says what they are needed for.
    UnitError
        When the stars would be too fast for the units that were taken.
    CatalogError
        When the table is empty.
    """
    stars = SCHEMA.apply(table, survey, label=label)
    if "distance" not in stars.colnames and "parallax" not in stars.colnames:
        raise MissingColumnError(f"{label} has neither 'distance' nor 'parallax'; {purpose} need one of them")
    check_speeds(stars, label)
    return stars


def check_speeds(stars: QTable, label: str) -> None:
    """Raise UnitError when half of a table's stars would cross the sky faster than any star known.

    That is what distances in pc, or proper motions in another unit, become in a column without a unit.

    Parameters
    ----------
    stars : from ``SCHEMA.apply``, so that all columns have their canonical units.
    label : what to call the table in messages.
    """
    distance = plain(stars, "distance") if "distance" in stars.colnames else np.full(len(stars), np.nan)
    if "parallax" in stars.colnames:
        parallax = plain(stars, "parallax")
        sure = parallax > 0
        if "parallax_error" in stars.colnames:
            sure &= plain(stars, "parallax_error") < LEAST_PRECISE * parallax
        distance = np.where(np.isfinite(distance), distance, 1.0 / np.where(sure, parallax, np.nan))
    speed = KM_S * distance * np.hypot(plain(stars, "pmra"), plain(stars, "pmdec"))
    known = speed[np.isfinite(speed) & (distance > 0)]
    if len(known) and np.median(known) > FASTEST:
        raise UnitError(
            f"{label}: half of the stars would cross the sky at more than {np.median(known):.3g} km/s, with a median "
            f"distance of {np.nanmedian(distance):.3g} kpc; give the columns of distance (or parallax) and proper "
            f"motion their units, or convert them to kpc (or mas) and mas/yr"
        )


@dataclass(frozen=True)
class MeasuredStars:
    """What was measured of stars.

    Parameters
    ----------
    values : (n, 6), of ``COORDINATES``: deg, deg, kpc (mas where ``inverted``), mas/yr, mas/yr, km/s.
    covariance : (n, 6, 6), positions in deg on the sky.
    inverted : (n,) where a parallax stands in the third place.
    reasons : why a star cannot be used; empty where it can.
    remarks : what is not known of its errors.
    uncertain : whether the table has errors at all.
    """

    values: Array
    covariance: Array
    inverted: NDArray[np.bool_]
    reasons: list[str]
    remarks: list[str]
    uncertain: bool

    @classmethod
    def read(
        cls,
        stars: QTable,
        *,
        zero_point: float = 0.0,
        least_precise: float = LEAST_PRECISE,
        unknown_error: float = np.nan,
        unknown: str = "no intervals",
    ) -> MeasuredStars:
        """From a table of ``six_coordinates``.

        Parameters
        ----------
        stars : the table.
        zero_point : of the parallaxes (mas); it is subtracted.
        least_precise : relative error of a parallax above which its inverse is no distance.
        unknown_error : what stands for an error that is not known: NaN, all draws are NaN then, or 0.
        unknown : what the remark says of that.
        """
        rows = len(stars)

        def column(name: str, otherwise: float) -> Array:
            return plain(stars, name) if name in stars.colnames else np.full(rows, otherwise)

        distance, parallax = column("distance", np.nan), column("parallax", np.nan) - zero_point
        inverted = ~np.isfinite(distance) & np.isfinite(parallax)
        reasons: list[list[str]] = [[] for _ in range(rows)]
        remarks: list[list[str]] = [[] for _ in range(rows)]

        def say(lists: list[list[str]], where: NDArray[np.bool_], text: str) -> None:
            for row in np.flatnonzero(where):
                lists[row].append(text)

        reach = np.where(inverted, parallax, distance)
        values = np.stack([reach if name == "distance" else plain(stars, name) for name in COORDINATES], axis=1)
        for place, name in enumerate(COORDINATES):
            say(reasons, ~np.isfinite(values[:, place]), f"no {name}")
        wrong = (values[:, 2] <= 0) & np.isfinite(values[:, 2])
        say(reasons, wrong & inverted, "no distance: the parallax is not positive")
        say(reasons, wrong & ~inverted, "no distance: it is not positive")
        values[wrong, 2] = np.nan
        errors = np.zeros((rows, 6))
        for place, name in enumerate(COORDINATES):
            scale = MAS if place < 2 else 1.0
            if place == 2:
                errors[:, 2] = np.where(inverted, column("parallax_error", 0.0), column("distance_error", 0.0))
            else:
                errors[:, place] = column(f"{name}_error", 0.0) * scale
            missing = ~np.isfinite(errors[:, place]) | (errors[:, place] < 0)
            say(remarks, missing, f"unknown error of {name}: {unknown}")
            errors[missing, place] = unknown_error
        with np.errstate(invalid="ignore", divide="ignore"):
            loose = inverted & (errors[:, 2] / values[:, 2] > least_precise)
        say(reasons, loose, f"no distance: the parallax is less precise than {least_precise:.0%}")
        values[loose, 2] = np.nan
        covariance = errors[:, :, None] * errors[:, None, :] * _correlations(stars, inverted, column)
        uncertain = any(f"{name}_error" in stars.colnames for name in (*COORDINATES, "parallax"))
        return cls(values, covariance, inverted, _joined(reasons), _joined(remarks), uncertain)

    @property
    def notes(self) -> list[str]:
        """Reasons and remarks of each star together."""
        return _joined([*filter(None, pair)] for pair in zip(self.reasons, self.remarks, strict=True))

    def center(self) -> list[Array]:
        """The six coordinates as measured, distances in kpc."""
        return _columns(self.values, self.inverted)

    def drawn(self, part: slice, count: int, rng: np.random.Generator) -> list[Array]:
        """The six coordinates of draws, (rows of the part x count,) each; NaN where a distance is not positive."""
        shifts = draw_errors(self.covariance[part], count, rng)
        shifts[..., 0] /= np.maximum(np.cos(np.radians(self.values[part, 1])), 1e-6)[:, None]
        drawn = self.values[part, None, :] + shifts
        return _columns(drawn.reshape(-1, 6), np.repeat(self.inverted[part], count))


def _joined(texts: Iterable[list[str]]) -> list[str]:
    return [", ".join(each) for each in texts]


def _correlations(stars: QTable, inverted: NDArray[np.bool_], column: Callable[[str, float], Array]) -> Array:
    matrix = np.tile(np.eye(6), (len(stars), 1, 1))
    for a, b in PAIRS:
        i, j = ASTROMETRY.index(a), ASTROMETRY.index(b)
        value = np.nan_to_num(column(f"{a}_{b}_corr", 0.0))
        if "parallax" in (a, b):
            value = np.where(inverted, value, 0.0)
        matrix[:, i, j] = matrix[:, j, i] = value
    return matrix


def _columns(values: Array, inverted: NDArray[np.bool_]) -> list[Array]:
    columns = [np.ascontiguousarray(column) for column in values.T]
    with np.errstate(divide="ignore", invalid="ignore"):
        columns[2] = np.where(inverted, 1.0 / columns[2], columns[2])
    columns[2] = np.where(columns[2] > 0, columns[2], np.nan)
    return columns
