"""What a model needs of a table: named columns with units, found in whatever the survey calls them.

A :class:`Schema` lists the columns. :meth:`Schema.match` says what a table offers of them and never fails;
:meth:`Schema.apply` gives the table with canonical names and units, or says what is wrong and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from starloom.catalog.column_vocabulary import CANONICAL
from starloom.catalog.surveys import Survey, get_survey, identify
from starloom.errors import CatalogError, MissingColumnError, UnitError

if TYPE_CHECKING:
    from astropy.table import QTable

Kind = Literal["float", "integer", "text", "boolean"]


@dataclass(frozen=True)
class Column:
    """One column that a model needs or can use.

    Parameters
    ----------
    name : canonical name, such as ``pmra``.
    unit : canonical unit as text; empty for numbers without one.
    meaning : what it is, in words.
    required : whether the model cannot do without it.
    kind : ``float``, ``integer``, ``text`` or ``boolean``.
    """

    name: str
    unit: str
    meaning: str
    required: bool = False
    kind: Kind = "float"


_KINDS: dict[str, Kind] = {"source_id": "integer", "stream": "text"}


def canonical(name: str, *, required: bool = False, meaning: str | None = None) -> Column:
    """A column of the vocabulary that all rooms share, with its unit and meaning from ``column_vocabulary.CANONICAL``.

    Parameters
    ----------
    name : canonical name.
    required : whether the model cannot do without it.
    meaning : what it is to this model, where that is more than the vocabulary says.

    Raises
    ------
    CatalogError
        When the vocabulary does not have it.

    Examples
    --------
    >>> canonical("pmdec").unit
    'mas/yr'
    """
    if name not in CANONICAL:
        raise CatalogError(f"no canonical column is called {name!r}; add it to starloom.catalog.column_vocabulary")
    unit, usual = CANONICAL[name]
    return Column(name, unit, meaning or usual, required, _KINDS.get(name, "float"))


@dataclass(frozen=True)
class Match:
    """What a table offers of a schema.

    Parameters
    ----------
    schema : name of the schema.
    survey : name of the survey whose names and units were used, or None.
    found : canonical name -> column of the table.
    missing_required, missing_optional : canonical names that the table does not have.
    conversions : canonical name -> (unit of the table's column, unit needed), where they differ.
    problems : canonical name -> what is wrong with the column found.
    """

    schema: str
    survey: str | None
    found: dict[str, str] = field(default_factory=dict)
    missing_required: tuple[str, ...] = ()
    missing_optional: tuple[str, ...] = ()
    conversions: dict[str, tuple[str, str]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        """Whether every required column is there and no column found has a wrong unit."""
        return not self.missing_required and not self.problems


@dataclass(frozen=True)
class Schema:
    """The columns that a model needs and can use.

    Parameters
    ----------
    name : short name, of a model or a kind of table.
    meaning : what it describes, in words.
    columns : the columns, each once.
    unique : column whose values may be there only once, where a table has it; None where rows stand for themselves.

    Examples
    --------
    >>> from starloom.catalog.tables import read_table
    >>> positions = Schema("positions", "sky positions", (Column("ra", "deg", "right ascension", required=True),))
    >>> positions.apply(read_table({"RAdeg": [10.0], "DEdeg": [20.0]}), survey="streamfinder_dr3")["ra"]
    <Quantity [10.] deg>
    """

    name: str
    meaning: str
    columns: tuple[Column, ...]
    unique: str | None = "source_id"

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise CatalogError(f"schema {self.name}: more than one column has the name {', '.join(twice)}")

    def __iter__(self) -> Iterator[Column]:
        return iter(self.columns)

    def __getitem__(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise MissingColumnError(f"schema {self.name} has no column {name!r}")

    def match(self, table: QTable, survey: str | Survey | None = None) -> Match:
        """Say which columns a table offers, under which names and in which units.

        Parameters
        ----------
        table : table as :func:`starloom.catalog.tables.read_table` gives it.
        survey : survey whose names and units hold; by default the one that fits the table best.

        Returns
        -------
        Match
            The canonical name is looked for first, then the survey's names, then the canonical name in capitals, and
            with a capital where it is one word.
        """
        from starloom.catalog.column_values import scale, unit_text

        chosen = _choose(table, survey)
        found, conversions, problems = {}, {}, {}
        missing: dict[bool, list[str]] = {True: [], False: []}
        for column in self.columns:
            source = next((name for name in _candidates(column.name, chosen) if name in table.colnames), None)
            if source is None:
                missing[column.required].append(column.name)
                continue
            found[column.name] = source
            have = unit_text(table[source], column.name, column.unit, chosen, source)
            if column.kind == "float" and have != column.unit:
                factor = scale(have, column.unit)
                if factor is None:
                    problems[column.name] = (
                        f"column '{source}' has the unit '{have}', which cannot be converted to '{column.unit}'"
                    )
                elif factor != 1.0:
                    conversions[column.name] = (have, column.unit)
        return Match(
            schema=self.name,
            survey=chosen.name if chosen else None,
            found=found,
            missing_required=tuple(missing[True]),
            missing_optional=tuple(missing[False]),
            conversions=conversions,
            problems=problems,
        )

    def apply(
        self,
        table: QTable,
        survey: str | Survey | None = None,
        *,
        label: str = "the table",
        keep_others: bool = True,
        unique: str | None = "",
    ) -> QTable:
        """Give the table with canonical names and units.

        Parameters
        ----------
        table : table as :func:`starloom.catalog.tables.read_table` gives it; it is not changed.
        survey : survey whose names, units and fill values hold; by default the one that fits the table best. A column
            without a unit is taken to be in the unit of the survey.
        label : what to call the table in messages.
        keep_others : keep the table's other columns, untouched, after the canonical ones.
        unique : column whose values may be there only once, where the schema and the table have it; None for no check;
            by default the schema's own.

        Returns
        -------
        QTable
            Float columns are float64 with NaN where a value is missing: masked, a fill value of the survey, or
            infinite. Integers are int64, masked where missing. Optional columns that the table lacks are left out.

        Raises
        ------
        MissingColumnError
            When a required column is missing; the message says under which names it was looked for.
        UnitError
            When a unit cannot be converted.
        CatalogError
            When the table has no rows, a column holds another kind of values, or ``unique`` is violated.
        """
        from astropy.table import QTable

        from starloom.catalog.column_values import convert

        chosen = _choose(table, survey)
        match = self.match(table, chosen)
        if match.missing_required:
            raise MissingColumnError(self._explain_missing(table, match, chosen, label))
        for problem in match.problems.values():
            raise UnitError(f"{label}: {problem}; correct the column's unit or convert it")
        require_rows(table, label)
        result = QTable(meta=dict(table.meta))
        for column in self.columns:
            if column.name in match.found:
                result[column.name] = convert(table, match.found[column.name], column, chosen, label)
        if unique == "":
            unique = self.unique
        if unique is not None and unique in match.found:
            _require_unique(result[unique], match.found[unique], label)
        if keep_others:
            for name in table.colnames:
                if name not in match.found.values() and name not in result.colnames:
                    result[name] = table[name]
        return result

    def _explain_missing(self, table: QTable, match: Match, survey: Survey | None, label: str) -> str:
        parts = []
        for name in match.missing_required:
            looked = dict.fromkeys(_candidates(name, survey))
            close = dict.fromkeys(
                near for candidate in looked for near in difflib.get_close_matches(candidate, table.colnames, 2)
            )
            there = f"; closest there: {', '.join(close)}" if close else ""
            parts.append(f"'{name}' ({self[name].meaning}; looked for {', '.join(looked)}{there})")
        names = "column" if len(parts) == 1 else "columns"
        return (
            f"{label} lacks the {names} {', '.join(parts)}, needed for {self.name}; rename the table's own column or "
            f"say which survey it is from"
        )


def plain(table: QTable, name: str, unit: str | None = None) -> NDArray[np.float64]:
    """Values of a column as float64 without a unit, NaN where missing.

    Parameters
    ----------
    table : table, usually from :meth:`Schema.apply`.
    name : column of numbers.
    unit : unit of the values wanted; by default the column's own. A column without a unit is taken to be in it.

    Returns
    -------
    ndarray
        (n,) values.

    Raises
    ------
    MissingColumnError
        When the column is not there.
    UnitError
        When its unit cannot be converted.
    CatalogError
        When it holds no numbers.
    """
    from starloom.catalog.arrow_tables import require_names, split_column
    from starloom.catalog.column_values import kind_of, scale

    require_names([name], table.colnames, "the table")
    values, missing, have = split_column(table[name], name)
    if values.dtype.kind not in "fiub":
        raise CatalogError(f"column '{name}' holds {kind_of(values)}, not numbers")
    numbers = values.astype(np.float64)
    if missing is not None:
        numbers[missing] = np.nan
    if unit is not None and have and have != unit:
        factor = scale(have, unit)
        if factor is None:
            raise UnitError(f"column '{name}' has the unit '{have}', which cannot be converted to '{unit}'")
        numbers *= factor
    return numbers


def require_rows(table: QTable, label: str = "the table", least: int = 1) -> None:
    """Raise CatalogError when a table has fewer rows than a model needs."""
    if len(table) < least:
        have = "no rows" if len(table) == 0 else f"{len(table)} row" + ("s" if len(table) > 1 else "")
        raise CatalogError(f"{label} has {have}, and at least {least} are needed; check the cuts that made it")


def _choose(table: QTable, survey: str | Survey | None) -> Survey | None:
    if isinstance(survey, str):
        return get_survey(survey)
    if survey is not None:
        return survey
    fitting = identify(table)
    return get_survey(fitting[0][0]) if fitting else None


def _candidates(name: str, survey: Survey | None) -> tuple[str, ...]:
    """Where a column is looked for, in order."""
    natives = survey.columns.get(name, ()) if survey else ()
    others = [name.upper()]
    if len(name) == 1:
        others = []  # u and U, g and G, r and R are different bands
    elif "_" not in name:
        others.append(name.capitalize())  # Teff, Dec, Age; but G_mag is rather Gaia's than that of the band g
    return tuple(dict.fromkeys((name, *natives, *others, *(one.upper() for one in natives if len(one) > 1))))


def _require_unique(column: Any, source: str, label: str) -> None:
    values = np.asarray(column)
    mask = getattr(column, "mask", None)
    if mask is not None:
        values = values[~np.asarray(mask)]
    kept, counts = np.unique(values, return_counts=True)
    if (counts > 1).any():
        first = kept[counts > 1][0]
        rows = np.flatnonzero(np.asarray(column) == first)
        raise CatalogError(
            f"{label}: {int((counts > 1).sum())} values of column '{source}' are there more than once, first {first} "
            f"in rows {rows[0]} and {rows[1]}; keep one row of each"
        )
