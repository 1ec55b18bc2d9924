"""The columns that cartons read: units, meaning, the catalog they come from, and how they are found in a table."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.catalog.expression_values import Raw
from starloom.catalog.matching import unit_vectors
from starloom.catalog.schema import Column, Kind, Schema
from starloom.catalog.surveys import Survey
from starloom.errors import ConfigError, UnitError

if TYPE_CHECKING:
    from astropy.table import QTable


FILL_VALUES = (-999, -9999)
"""Numbers that mean "missing" in a parent table."""


@dataclass(frozen=True)
class ColumnSpec:
    """One column of the parent table.

    Parameters
    ----------
    name, unit, kind, meaning : as in ``starloom.catalog.schema.Column``.
    catalog : where SDSS-V took it from.
    aliases : other names that tables give it.
    optional : where a table lacks it, it counts as missing in every row (it came by an outer join).
    fill : whether :data:`FILL_VALUES` mean "missing" in it.
    """

    name: str
    unit: str
    kind: Kind
    meaning: str
    catalog: str
    aliases: tuple[str, ...] = ()
    optional: bool = False
    fill: bool = True


@cache
def columns() -> Mapping[str, ColumnSpec]:
    """All columns by name."""
    text = files("starloom.sdss.definitions").joinpath("columns.toml").read_text(encoding="utf-8")
    found = {}
    for group in tomllib.loads(text).values():
        for name, entry in group.items():
            if name in ("catalog", "optional", "fill"):
                continue
            unit, meaning, aliases = [*(part.strip() for part in entry.split("|")), ""][:3]
            kind: Kind = "integer" if unit == "integer" else "text" if unit == "text" else "float"
            found[name] = ColumnSpec(
                name, unit if kind == "float" else "", kind, meaning, group["catalog"], tuple(aliases.split()),
                group.get("optional", False), group.get("fill", True),
            )  # fmt: skip
    return found


def column(name: str) -> ColumnSpec:
    """The column of that name.

    Raises
    ------
    ConfigError
        For an unknown name, with the closest known one.

    Examples
    --------
    >>> column("h_m").unit, column("h_m").catalog
    ('mag', '2MASS point sources')
    """
    if name not in columns():
        close = difflib.get_close_matches(name, columns(), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ConfigError(f"no carton reads a column {name!r}{hint}")
    return columns()[name]


@dataclass(frozen=True)
class Circles:
    """Fields on the sky, as a column that says whether a row is inside any of them.

    Parameters
    ----------
    column : name of that column.
    centers : right ascension, declination, radius of each field in deg (n, 3); empty when the user gives the centers.
    fields : name under which the user gives the centers.
    radius : radius in deg of the user's fields.
    """

    column: str
    centers: tuple[tuple[float, float, float], ...] = ()
    fields: str = ""
    radius: float = 0.0


def inside_circles(ra: ArrayLike, dec: ArrayLike, centers: ArrayLike) -> NDArray[np.bool_]:
    """Whether positions (n,) in deg lie less than a field's radius from its center, for any field.

    Parameters
    ----------
    ra, dec : positions in deg (n,); NaN is inside none.
    centers : right ascension, declination, radius in deg (m, 3).

    Examples
    --------
    >>> inside_circles([359.9, 10.0], [89.5, 0.0], [[180.0, 89.5, 1.49]]).tolist()
    [True, False]
    """
    fields = np.atleast_2d(np.asarray(centers, dtype=float))
    if fields.shape[1:] != (3,) or not np.isfinite(fields).all() or not (fields[:, 2] > 0).all():
        raise ConfigError("fields are given as rows of right ascension, declination and radius in deg")
    star = unit_vectors(ra, dec)
    inside = np.zeros(len(star), dtype=bool)
    for center, radius in zip(unit_vectors(fields[:, 0], fields[:, 1]), fields[:, 2], strict=True):
        chord = 2.0 * np.sin(np.radians(min(radius, 180.0)) / 2.0)
        inside |= ((star - center) ** 2).sum(axis=1) < chord**2
    return inside


# ------------------------------------------------------------------------------------------------------------- a table


@dataclass(frozen=True)
class Parent:
    """The columns of a table as the cartons read them.

    Parameters
    ----------
    raws : column -> values.
    rows : number of rows.
    absent : columns that were asked for and are neither there nor can be made.
    assumed : optional columns that are not there and count as missing everywhere.
    made : columns that were made from others.
    suggestions : absent column -> the closest names of the table.
    """

    raws: dict[str, Raw]
    rows: int
    absent: tuple[str, ...]
    assumed: tuple[str, ...]
    made: tuple[str, ...]
    suggestions: dict[str, tuple[str, ...]]


@cache
def _survey() -> Survey:
    """The other names of the columns, as a survey the schema machinery understands."""
    known = columns().values()
    return Survey(
        name="sdss_parent",
        meaning="tables that SDSS-V targets are selected from",
        columns={spec.name: spec.aliases for spec in known},
        citation="arXiv:2301.07688",
        units={spec.name: spec.unit for spec in known},
        sentinels={spec.name: FILL_VALUES for spec in known if spec.fill},
    )


def schema(names: Iterable[str], *, required: bool = False) -> Schema:
    """A schema of some of the columns."""
    specs = [column(name) for name in dict.fromkeys(names)]
    parts = tuple(Column(spec.name, spec.unit, spec.meaning, required, spec.kind) for spec in specs)
    return Schema("sdss-cartons", "the columns that cartons read", parts)


def read_parent(
    table: QTable,
    names: Sequence[str],
    *,
    circles: Sequence[Circles] = (),
    fields: Mapping[str, ArrayLike] | None = None,
    label: str = "the table",
) -> Parent:
    """Find the columns that cartons read in a table; nothing is copied where the table's own values can be used.

    Parameters
    ----------
    table : as ``read_table`` gives it. A column is found by its name here, by its other names, or in capitals, and
        converted to the unit needed.
    names : the columns asked for.
    circles : the fields on the sky that some columns say.
    fields : name of a list of fields -> centers in deg (m, 2).
    label : what to call the table in messages.

    Raises
    ------
    UnitError
        When a column's unit cannot be converted.
    CatalogError
        When a column holds the wrong kind of values.
    """
    by_column = {entry.column: entry for entry in circles}
    makers = {"bp_rp": ("phot_bp_mean_mag", "phot_rp_mean_mag"), "l": ("ra", "dec"), "b": ("ra", "dec")}
    wanted = [name for name in dict.fromkeys(names) if name not in by_column]
    sources = {name for name in wanted for name in makers.get(name, ())}
    sources |= {"ra", "dec"} if set(names) & set(by_column) else set()
    needed = schema([*wanted, *sorted(sources)])
    match = needed.match(table, _survey())
    for problem in match.problems.values():
        raise UnitError(f"{label}: {problem}; correct the column's unit or convert it")
    raws = {name: _raw(table, source, needed[name], match.conversions, label) for name, source in match.found.items()}
    made, absent, assumed, suggestions = [], [], [], {}
    for name in dict.fromkeys(names):
        if name in raws:
            continue
        if (
            name in by_column
            and {"ra", "dec"} <= set(raws)
            and (found := _centers(by_column[name], fields)) is not None
        ):
            raws[name] = Raw(inside_circles(_numbers(raws["ra"]), _numbers(raws["dec"]), found))
            made.append(name)
        elif name in makers and set(makers[name]) <= set(raws):
            raws.update(_make(name, raws))
            made.append(name)
        elif name in columns() and column(name).optional:
            raws[name] = Raw(np.broadcast_to(np.array(np.nan), (len(table),)))
            assumed.append(name)
        else:
            absent.append(name)
            tried = [name, *column(name).aliases]
            close = dict.fromkeys(near for word in tried for near in difflib.get_close_matches(word, table.colnames, 2))
            suggestions[name] = tuple(close)
    return Parent(raws, len(table), tuple(absent), tuple(assumed), tuple(made), suggestions)


def _raw(table: QTable, source: str, spec: Column, conversions: Mapping[str, tuple[str, str]], label: str) -> Raw:
    from starloom.catalog.arrow_tables import split_column
    from starloom.catalog.column_values import convert

    values, missing, _ = split_column(table[source], source)
    fits = {"float": "fiu", "integer": "iub", "text": "U"}[spec.kind]
    if values.ndim == 1 and values.dtype.kind in fits and spec.name not in conversions:
        return Raw(values, _without_fill(values, missing) if column(spec.name).fill else missing)
    if spec.kind == "integer" and values.ndim == 1 and values.dtype.kind == "f":
        return Raw(values, missing)  # pandas turns integers with gaps into floats
    changed = convert(table, source, spec, _survey(), label)
    values, missing, _ = split_column(changed, spec.name)
    return Raw(values, missing)


def _without_fill(values: NDArray[Any], missing: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    """What is missing, with the numbers that files of SDSS and of its input catalogs write for it."""
    if values.dtype.kind not in "fi":
        return missing
    for fill in FILL_VALUES:
        if (filled := values == fill).any():
            missing = filled if missing is None else missing | filled
    return missing


def _numbers(raw: Raw) -> NDArray[np.float64]:
    values = raw.values.astype(np.float64, copy=False)
    return values if raw.missing is None else np.where(raw.missing, np.nan, values)


def _centers(circles: Circles, fields: Mapping[str, ArrayLike] | None) -> NDArray[np.float64] | None:
    if circles.centers:
        return np.asarray(circles.centers)
    if not fields or circles.fields not in fields:
        return None
    centers = np.atleast_2d(np.asarray(fields[circles.fields], dtype=float))
    if centers.ndim != 2 or centers.shape[1] != 2:
        raise ConfigError(f"{circles.fields} are given as rows of right ascension and declination in deg")
    return np.column_stack([centers, np.full(len(centers), circles.radius)])


def _make(name: str, raws: Mapping[str, Raw]) -> dict[str, Raw]:
    if name == "bp_rp":
        return {name: Raw(_numbers(raws["phot_bp_mean_mag"]) - _numbers(raws["phot_rp_mean_mag"]))}
    longitude, latitude = galactic(_numbers(raws["ra"]), _numbers(raws["dec"]))
    return {name: Raw(longitude if name == "l" else latitude)}


def galactic(ra: ArrayLike, dec: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Galactic longitude (0 to 360) and latitude in deg of ICRS positions in deg, each (n,); NaN stays NaN."""
    star = unit_vectors(ra, dec) @ _to_galactic().T
    longitude = np.degrees(np.arctan2(star[:, 1], star[:, 0])) % 360.0
    return longitude, np.degrees(np.arctan2(star[:, 2], np.hypot(star[:, 0], star[:, 1])))


@cache
def _to_galactic() -> Any:
    from astropy.coordinates import Galactic, SkyCoord

    axes = SkyCoord(ra=[0.0, 90.0, 0.0], dec=[0.0, 0.0, 90.0], unit="deg").transform_to(Galactic())
    return np.asarray(axes.cartesian.xyz.value)
