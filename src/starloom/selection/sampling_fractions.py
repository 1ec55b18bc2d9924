"""The share of stars that a survey of fields observed: by field, magnitude range (cohort) and color bin.

Each row of such a table is a rectangle in magnitude and color inside a field, with the share ``fraction`` of its stars
that were observed, and the share ``availability`` of stars that could be chosen at all (APOGEE needs an extinction to
place a star in a color bin). Where fields overlap a star has several chances; they are combined exactly, see
`combined`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from starloom.errors import CatalogError, ConfigError
from starloom.selection.footprint import Fields, Floats, Regions

if TYPE_CHECKING:
    from astropy.table import QTable

COLUMNS = ("FIELD", "GLON", "GLAT", "RADIUS", "cohort", "Hmin", "Hmax", "JK0min", "JK0max", "fracSampling", "fracAK")


def combined(fraction: ArrayLike, availability: ArrayLike) -> float:
    """Probability that a star in several fields was observed in at least one of them.

    Each field chooses its stars at random and without looking at the others, so a star that can be chosen everywhere
    has ``1 - prod(1 - f)``. Whether it can be chosen (it has an extinction) is the star's own property: a star that
    misses it in the field where most have it misses it in all. Hence, with the fields in order of falling availability
    a, the sum over k of ``(a_k - a_(k+1)) (1 - prod_(i <= k) (1 - f_i))``. For one field this is ``a f``.

    Parameters
    ----------
    fraction, availability : of each field, 0 to 1.

    Examples
    --------
    >>> round(combined([0.5, 0.5], [1.0, 1.0]), 6), round(combined([0.5, 0.5], [1.0, 0.4]), 6)
    (0.75, 0.6)
    """
    order = np.argsort(-np.asarray(availability, dtype=float), kind="stable")
    f, a = np.asarray(fraction, dtype=float)[order], np.asarray(availability, dtype=float)[order]
    any_of = 1.0 - np.cumprod(1.0 - f)
    return float(np.sum((a - np.append(a[1:], 0.0)) * any_of))


@dataclass(frozen=True)
class Rectangles:
    """Constant probabilities in rectangles of magnitude and color, region by region of the sky.

    Parameters
    ----------
    region : (m,) growing.
    magnitude : (m, 2) low (inside) and high (outside) magnitude.
    color : (m, 2) low (inside) and high (outside) color.
    probability : (m,) above 0; outside all rectangles it is 0.
    """

    region: NDArray[np.int64]
    magnitude: Floats
    color: Floats
    probability: Floats


@njit(cache=True, nogil=True)
def _probabilities(
    region: NDArray[np.int64],
    magnitude: Floats,
    color: Floats,
    first: NDArray[np.int64],
    magnitudes: Floats,
    colors: Floats,
    probability: Floats,
) -> Floats:
    found = np.zeros(len(region))
    for k in range(len(region)):
        if region[k] < 0:
            continue
        if not (np.isfinite(magnitude[k]) and np.isfinite(color[k])):
            found[k] = np.nan
            continue
        for j in range(first[region[k]], first[region[k] + 1]):
            if magnitudes[j, 0] <= magnitude[k] < magnitudes[j, 1] and colors[j, 0] <= color[k] < colors[j, 1]:
                found[k] = probability[j]
                break
    return found


@dataclass(frozen=True)
class SamplingFractions:
    """Sampling fractions of a survey of fields.

    Parameters
    ----------
    fields : where the fields are.
    field : (m,) index of the field of each row.
    magnitude : (m, 2) low (inside) and high (outside) magnitude of each row.
    color : (m, 2) low (inside) and high (outside) dereddened color.
    fraction : (m,) share of the stars that could be chosen and were observed.
    availability : (m,) share of the stars that could be chosen.
    cohort : (m,) names.
    bands : names of the magnitude, and of the two bands of the color.

    Examples
    --------
    >>> fractions = SamplingFractions.apogee()  # doctest: +SKIP
    >>> fractions.probability([5.2], [2.7], [9.0], [1.0])  # doctest: +SKIP
    """

    fields: Fields
    field: NDArray[np.int64]
    magnitude: Floats
    color: Floats
    fraction: Floats
    availability: Floats
    cohort: NDArray[np.str_]
    bands: tuple[str, str, str] = ("2mass_h", "2mass_j", "2mass_ks")

    def __post_init__(self) -> None:
        rows = len(self.field)
        shapes = [
            np.shape(part) for part in (self.magnitude, self.color, self.fraction, self.availability, self.cohort)
        ]
        if shapes != [(rows, 2), (rows, 2), (rows,), (rows,), (rows,)]:
            raise ConfigError(f"sampling fractions of {rows} rows have columns of the shapes {shapes}")
        for name in ("fraction", "availability"):
            values = getattr(self, name)
            bad = np.flatnonzero(~((values >= 0) & (values <= 1)))
            if len(bad):
                raise CatalogError(f"the {name} in row {bad[0]} is {values[bad[0]]}, and it must lie between 0 and 1")
        for what, edges in (("magnitude", self.magnitude), ("color", self.color)):
            bad = np.flatnonzero(~(edges[:, 0] <= edges[:, 1]))
            if len(bad):
                raise CatalogError(
                    f"the {what} range in row {bad[0]} goes from {edges[bad[0], 0]} to {edges[bad[0], 1]}"
                )
        for index in range(len(self.fields)):
            _require_apart(self, np.flatnonzero(self.field == index))

    @classmethod
    def from_table(cls, table: QTable, label: str = "the table of sampling fractions") -> SamplingFractions:
        """From a table with the columns of gaiaunlimited's: a row a field, cohort and color bin.

        Parameters
        ----------
        table : with FIELD, GLON, GLAT, RADIUS (deg), cohort, Hmin, Hmax, JK0min, JK0max (mag), fracSampling, fracAK.
            Rows whose range of magnitudes is empty or reversed (three in that table) hold nothing and are left out.
        label : what to call it in messages.

        Raises
        ------
        MissingColumnError
            When a column is missing.
        CatalogError
            When a fraction is not between 0 and 1, two rows of a field overlap, or a field has two centers.
        """
        from starloom.catalog.arrow_tables import require_names
        from starloom.catalog.schema import plain, require_rows

        require_names(COLUMNS, table.colnames, label)
        require_rows(table, label)
        names = np.char.strip(np.asarray(table["FIELD"]).astype(np.str_))
        numbers = {name: plain(table, name) for name in COLUMNS if name not in ("FIELD", "cohort")}
        for name, values in numbers.items():
            if not np.isfinite(values).all():
                raise CatalogError(f"{label}: column '{name}' is not finite in row {np.argmin(np.isfinite(values))}")
        unique, first, field = np.unique(names, return_index=True, return_inverse=True)
        for name in ("GLON", "GLAT", "RADIUS"):
            other = np.flatnonzero(numbers[name] != numbers[name][first][field])
            if len(other):
                raise CatalogError(f"{label}: field {str(names[other[0]])!r} has two values of {name} (row {other[0]})")
        kept = numbers["Hmax"] > numbers["Hmin"]
        return cls(
            fields=Fields(unique, numbers["GLON"][first], numbers["GLAT"][first], numbers["RADIUS"][first]),
            field=np.asarray(field, dtype=np.int64).ravel()[kept],
            magnitude=np.stack([numbers["Hmin"], numbers["Hmax"]], axis=1)[kept],
            color=np.stack([numbers["JK0min"], numbers["JK0max"]], axis=1)[kept],
            fraction=numbers["fracSampling"][kept],
            availability=numbers["fracAK"][kept],
            cohort=np.asarray(table["cohort"]).astype(np.str_)[kept],
        )

    @classmethod
    def apogee(cls) -> SamplingFractions:
        """APOGEE's and APOGEE-2's: the dataset ``apogee_sampling_fractions``.

        Raises
        ------
        DatasetError
            When it is not on this machine and cannot be got.
        """
        from starloom.datasets.access import open_table

        return cls.from_table(open_table("apogee_sampling_fractions"), "apogee_sampling_fractions")

    def only(self, fields: ArrayLike) -> SamplingFractions:
        """The same for some of the fields: (n,) booleans, or names.

        Raises
        ------
        ConfigError
            When a name is unknown or no field is left.
        """
        wanted = np.asarray(fields)
        if wanted.dtype != bool:
            unknown = np.setdiff1d(wanted.astype(np.str_), self.fields.name)
            if len(unknown):
                raise ConfigError(f"there is no field {str(unknown[0])!r}")
            wanted = np.isin(self.fields.name, wanted.astype(np.str_))
        if wanted.shape != (len(self.fields),) or not wanted.any():
            raise ConfigError(
                f"choose at least one of the {len(self.fields)} fields by {len(self.fields)} booleans or names"
            )
        place = np.cumsum(wanted) - 1
        rows = wanted[self.field]
        fields_left = Fields(*(getattr(self.fields, key)[wanted] for key in ("name", "l", "b", "radius")))
        parts: dict[str, Any] = {
            key: getattr(self, key)[rows] for key in ("magnitude", "color", "fraction", "availability", "cohort")
        }
        return SamplingFractions(fields_left, place[self.field[rows]], **parts, bands=self.bands)

    def rectangles(self, regions: Regions | Sequence[Sequence[int]]) -> Rectangles:
        """The probability in each region of the sky as rectangles in magnitude and color, overlaps combined exactly.

        Parameters
        ----------
        regions : from `Fields.regions`, or for each region the indices of the fields that hold it.
        """
        sets = regions.fields if isinstance(regions, Regions) else regions
        rows_of = [
            np.flatnonzero((self.field == k) & (self.fraction * self.availability > 0)) for k in range(len(self.fields))
        ]
        region, magnitude, color, probability = [], [], [], []
        for number, inside in enumerate(sets):
            for low, high, left, right, value in self._cells([rows_of[field] for field in inside]):
                region.append(number)
                magnitude.append((low, high))
                color.append((left, right))
                probability.append(value)
        return Rectangles(
            np.array(region, dtype=np.int64),
            np.array(magnitude, dtype=np.float64).reshape(-1, 2),
            np.array(color, dtype=np.float64).reshape(-1, 2),
            np.array(probability, dtype=np.float64),
        )

    def _cells(self, rows_of_fields: Sequence[NDArray[np.int64]]) -> list[tuple[float, float, float, float, float]]:
        rows = np.concatenate(rows_of_fields) if len(rows_of_fields) else np.zeros(0, dtype=np.int64)
        if len(rows_of_fields) == 1:
            parts = (self.magnitude[rows, 0], self.magnitude[rows, 1], self.color[rows, 0], self.color[rows, 1])
            return [
                *zip(
                    *(part.tolist() for part in parts), (self.fraction * self.availability)[rows].tolist(), strict=True
                )
            ]
        found = []
        magnitudes, colors = np.unique(self.magnitude[rows]), np.unique(self.color[rows])
        for low, high in pairwise(magnitudes):
            for left, right in pairwise(colors):
                holding = [
                    row
                    for row in rows
                    if self.magnitude[row, 0] <= low < self.magnitude[row, 1]
                    and self.color[row, 0] <= left < self.color[row, 1]
                ]
                value = combined(self.fraction[holding], self.availability[holding]) if holding else 0.0
                if value > 0:
                    found.append((float(low), float(high), float(left), float(right), value))
        return found

    def probability(self, l: ArrayLike, b: ArrayLike, magnitude: ArrayLike, color: ArrayLike) -> Floats:
        """Probability that a star was observed, by its place and its photometry.

        Parameters
        ----------
        l, b : Galactic coordinates (n,), deg.
        magnitude : apparent magnitude (n,), as observed.
        color : color corrected for dust (n,).

        Returns
        -------
        ndarray
            (n,) from 0 to 1; 0 outside all fields and all rows; NaN in a field where a magnitude or color is missing,
            and where the position is.

        Raises
        ------
        ConfigError
            When the arrays differ in length.
        """
        parts = [np.atleast_1d(np.asarray(part, dtype=np.float64)) for part in (l, b, magnitude, color)]
        if len({part.shape for part in parts}) > 1 or parts[0].ndim != 1:
            raise ConfigError(f"positions, magnitudes and colors differ in shape: {[part.shape for part in parts]}")
        lon, lat, mag, col = parts
        known = np.isfinite(lon) & np.isfinite(lat)
        members = self.fields.containing(np.where(known, lon, 0.0), np.where(known, lat, 90.0))
        sets, region = np.unique(members, axis=0, return_inverse=True)
        inside = [[int(j) for j in row if j >= 0] for row in sets]
        rectangles = self.rectangles(inside)
        first = np.searchsorted(rectangles.region, np.arange(len(inside) + 1))
        found: Floats = _probabilities(
            np.where(members[:, 0] >= 0, np.asarray(region).ravel(), -1),
            mag, col, first, rectangles.magnitude, rectangles.color, rectangles.probability,
        )  # fmt: skip
        return np.where(known, found, np.nan)


def _require_apart(fractions: SamplingFractions, rows: NDArray[np.int64]) -> None:
    """No two rows of one field may claim the same stars."""
    for place, row in enumerate(rows):
        for other in rows[:place]:
            overlap = all(
                min(edges[row, 1], edges[other, 1]) > max(edges[row, 0], edges[other, 0])
                for edges in (fractions.magnitude, fractions.color)
            )
            if overlap:
                name = fractions.fields.name[fractions.field[row]]
                raise CatalogError(
                    f"rows {other} and {row} of field {str(name)!r} overlap in magnitude and color; correct one"
                )
