"""A carton: one selection of SDSS-V as data, and what can be asked of it.

The three-valued logic is SQL's: a row is selected only when every clause is true, and a clause that a missing value
leaves unknown does not select.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from starloom.catalog.expression_sql import to_sql
from starloom.catalog.expression_values import Block, Raw
from starloom.catalog.expressions import Node, names, parse
from starloom.errors import CatalogError, ConfigError, MissingColumnError

if TYPE_CHECKING:
    from starloom.sdss.columns import ColumnSpec


@dataclass(frozen=True)
class Clause:
    """One condition of a carton.

    Parameters
    ----------
    text : the condition in SQL, shared expressions written out.
    short : the condition as the definition writes it.
    """

    text: str
    short: str

    @property
    def node(self) -> Node:
        """The parsed condition."""
        return parse(self.text)


@dataclass(frozen=True)
class Rule:
    """What a target gets when a condition holds: a cadence or an instrument. The first rule that holds counts.

    Parameters
    ----------
    when : the condition; empty means always.
    then : the value; ``{expression}`` in it becomes a whole number.
    """

    when: str
    then: str


@dataclass(frozen=True)
class Thinning:
    """How the selected rows are thinned afterwards.

    Parameters
    ----------
    method : ``healpix`` (so many a pixel of the sky), ``best`` (so many a group), ``voxels`` (so many a cube of space,
        counting another carton) or ``scarce`` (only where another carton has few).
    keep : how many.
    order : expression; the smallest come first.
    group, nside, beside : column of the group, HEALPix resolution, the other carton.
    """

    method: Literal["healpix", "best", "voxels", "scarce"]
    keep: int
    order: str = ""
    group: str = ""
    nside: int = 0
    beside: str = ""


@dataclass(frozen=True)
class Option:
    """A condition that may be switched on or off where code and published page disagree."""

    name: str
    default: bool
    where: tuple[Clause, ...]


@dataclass(frozen=True)
class Explained:
    """One clause for one row.

    Parameters
    ----------
    clause : the condition.
    verdict : ``true``, ``false`` or ``unknown`` (a value is missing).
    values : the columns it reads, with their values; None where missing.
    missing : the columns that are missing.
    """

    clause: str
    verdict: Literal["true", "false", "unknown"]
    values: dict[str, Any]
    missing: tuple[str, ...]

    def __str__(self) -> str:
        given = ", ".join(f"{name} = {'missing' if value is None else value}" for name, value in self.values.items())
        return f"{self.verdict:7s} {self.clause}   [{given}]"


@dataclass(frozen=True)
class Explanation:
    """Why a row is in a carton or not: every clause with its verdict."""

    carton: str
    selected: bool
    clauses: tuple[Explained, ...]

    @property
    def failed(self) -> tuple[Explained, ...]:
        """The clauses that are not true."""
        return tuple(entry for entry in self.clauses if entry.verdict != "true")

    def __str__(self) -> str:
        head = f"{self.carton}: {'selected' if self.selected else f'not selected, {len(self.failed)} clauses not true'}"
        return "\n".join([head, *(f"  {entry}" for entry in self.clauses)])


@dataclass(frozen=True)
class Carton:
    """One carton of one plan.

    Parameters
    ----------
    name, plan, tag : the carton, the version of its definition, and the tag of the code that has it.
    mapper, program, category : ``mwm``, ``bhm`` or ``ops``; group of cartons; ``science``, ``standard_boss``, ...
    instrument, cadence : rules; ``instrument`` is BOSS or APOGEE.
    priority : expression; the lowest number is the most important.
    where : the conditions; all have to be true.
    options : conditions that may be switched.
    thin : thinning after the selection, or None.
    generations : targeting generations that contain it.
    requires : the list a target has to be on, in words; ``private`` says that it is not public.
    fields : name of the list of field centers that it needs.
    source : ``code``, or ``words`` where only a description is public.
    notes : what a user should know.
    """

    name: str
    plan: str
    tag: str
    mapper: str
    program: str
    category: str
    instrument: tuple[Rule, ...]
    cadence: tuple[Rule, ...]
    priority: str
    where: tuple[Clause, ...]
    options: tuple[Option, ...] = ()
    thin: Thinning | None = None
    generations: tuple[str, ...] = ()
    requires: str = ""
    private: bool = False
    fields: str = ""
    source: str = "code"
    notes: str = ""

    @property
    def label(self) -> str:
        """Name and plan, as the flag bits are labeled."""
        return f"{self.name}_{self.plan}"

    def with_options(self, **chosen: bool) -> Carton:
        """The carton with options switched.

        Raises
        ------
        ConfigError
            For an option that it does not have.
        """
        known = {option.name for option in self.options}
        if unknown := set(chosen) - known:
            there = ", ".join(sorted(known)) or "none"
            raise ConfigError(f"{self.label} has no option {', '.join(sorted(unknown))}; it has: {there}")
        return replace(
            self,
            options=tuple(replace(option, default=chosen.get(option.name, option.default)) for option in self.options),
        )

    @cached_property
    def clauses(self) -> tuple[Clause, ...]:
        """The conditions that count, with those of the options that are on."""
        return (*self.where, *(clause for option in self.options if option.default for clause in option.where))

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns that the selection reads."""
        return tuple(dict.fromkeys(name for clause in self.clauses for name in names(clause.node)))

    @cached_property
    def rule_columns(self) -> tuple[str, ...]:
        """The further columns that cadence, priority, instrument and thinning read."""
        texts = [rule.when for rule in (*self.cadence, *self.instrument) if rule.when]
        texts += [part for rule in self.cadence for part in formulas(rule.then)]
        texts += [self.priority] if self.priority else []
        texts += [text for text in (self.thin.order, self.thin.group) if text] if self.thin else []
        extra = {"healpix": ("ra", "dec"), "scarce": ("ra", "dec"), "voxels": ("l", "b", "parallax")}
        found = [name for text in texts for name in names(parse(text))]
        found += extra.get(self.thin.method, ()) if self.thin else ()
        return tuple(name for name in dict.fromkeys(found) if name not in self.columns)

    def to_sql(self, table: str = "parent", dialect: str = "sqlite", select: Sequence[str] = ("catalogid",)) -> str:
        """The selection as one SQL query.

        Parameters
        ----------
        table : name of the table with the parent columns.
        dialect : ``sqlite``, ``duckdb``, ``postgresql`` or ``tsql`` (CasJobs).
        select : the columns asked for.
        """
        conditions = "\n  AND ".join(f"({to_sql(clause.node, dialect)})" for clause in self.clauses)
        return f"SELECT {', '.join(select)}\nFROM {table}\nWHERE {conditions}"

    def explain(self, row: Mapping[str, Any]) -> Explanation:
        """Say which clauses are true, false or unknown for one row.

        Parameters
        ----------
        row : column -> value, such as a row of an astropy table; NaN, None and masked mean missing. Values are in the
            units of the columns (``starloom.sdss.columns``).

        Raises
        ------
        MissingColumnError
            When a column is not there at all.

        Examples
        --------
        >>> from starloom.sdss.cartons import carton
        >>> ob = carton("mwm_ob_core", plan="0.5.1")
        >>> row = dict(parallax=0.4, j_m=8.0, h_m=7.98, k_m=8.0, phot_g_mean_mag=8.1, ruwe=1.6)
        >>> row["twomass_angular_distance"] = 0.1
        >>> [entry.clause for entry in ob.explain(row).failed]
        ['ruwe < 1.4']
        """
        present = set(getattr(row, "colnames", row.keys() if hasattr(row, "keys") else ()))
        if absent := [name for name in self.columns if name not in present]:
            raise MissingColumnError(f"{self.label} reads the columns {', '.join(absent)}, which the row does not have")
        values = {name: _plain(row[name]) for name in self.columns}
        raws = {name: _raw(name, value) for name, value in values.items()}
        block = Block(raws, slice(None), 1)
        found = []
        for clause in self.clauses:
            read = names(clause.node)
            true, false = bool(block.true(clause.node)[0]), bool(block.false(clause.node)[0])
            verdict: Literal["true", "false", "unknown"] = "true" if true else "false" if false else "unknown"
            gone = tuple(name for name in read if values[name] is None)
            found.append(Explained(clause.short, verdict, {name: values[name] for name in read}, gone))
        return Explanation(self.label, all(entry.verdict == "true" for entry in found), tuple(found))

    def text(self) -> str:
        """The carton whole, to be read: what its targets get, its conditions, and the columns that these read.

        Examples
        --------
        >>> from starloom.sdss.cartons import carton
        >>> print(carton("mwm_ob_cepheids", plan="0.5.1").text())
        mwm_ob_cepheids, plan 0.5.1 (0.3.1), of the program mwm_ob: science
          instrument  BOSS
          cadence     bright_3x1
          priority    2910
          list        a compilation of classical Cepheids from Gaia DR2 and ASAS-SN
        selected where all of these are true:
          in_cepheid_list = 1
        columns:
          in_cepheid_list  1 for a classical Cepheid of the list; lists of targets, matched
        """
        lines = [
            f"{self.name}, plan {self.plan} ({self.tag or 'no tag'}), of the program {self.program}: {self.category}"
        ]
        facts = {
            "instrument": _rules(self.instrument),
            "cadence": _rules(self.cadence),
            "priority": [self.priority],
            "list": [self.requires + (" (not public)" if self.private else "")],
            "fields": [self.fields],
            "thinned": [_thinning(self.thin)],
            "notes": [self.notes],
        }
        lines += [f"  {name:10s}  {value}" for name, values in facts.items() for value in values if value]
        lines += ["selected where all of these are true:", *(f"  {clause.text}" for clause in self.where)]
        for option in self.options:
            lines.append(f"option {option.name}, {'on' if option.default else 'off'} by default:")
            lines += [f"  {clause.text}" for clause in option.where]
        needs = self.needs()
        width = max(len(spec.name) for spec in needs)
        lines.append("columns:")
        for spec in needs:
            unit = f" ({spec.unit})" if spec.unit else ""
            lines.append(f"  {spec.name:{width}s}  {spec.meaning}{unit}; {spec.catalog}")
        return "\n".join(lines)

    def needs(self) -> tuple[ColumnSpec, ...]:
        """The columns that the selection reads, with units, meaning and the catalog they come from."""
        from starloom.sdss.columns import column

        return tuple(column(name) for name in self.columns)


def formulas(text: str) -> tuple[str, ...]:
    """The expressions in braces of a rule's value."""
    return tuple(part.partition("}")[0] for part in text.split("{")[1:])


def _rules(rules: Sequence[Rule]) -> list[str]:
    return [f"{rule.then} where {rule.when}" if rule.when else rule.then for rule in rules]


def _thinning(thin: Thinning | None) -> str:
    if thin is None:
        return ""
    of = {
        "healpix": f"a pixel of the sky (HEALPix nside {thin.nside})",
        "best": f"a value of {thin.group}",
        "voxels": f"a cube of space, those of {thin.beside} counted",
        "scarce": f"a pixel of the sky (HEALPix nside {thin.nside}) with few of {thin.beside}",
    }
    return f"to {thin.keep} {of[thin.method]}" + (f", by {thin.order}" if thin.order else "")


def _plain(value: Any) -> Any:
    value = getattr(value, "value", value)
    if value is None or np.ma.is_masked(value):
        return None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _raw(name: str, value: Any) -> Raw:
    from starloom.sdss.columns import column

    kind = column(name).kind
    if value is None:
        empty = {"text": "", "integer": 0}.get(kind, np.nan)
        return Raw(np.array([empty]), np.array([True]))
    if kind == "text" and not isinstance(value, str):
        raise CatalogError(f"column '{name}' holds {value!r}, and text is needed")
    return Raw(np.array([value]))
