"""The cartons of SDSS-V by name and plan, and which of a targeting generation can be evaluated.

The definitions are data files of this package, written after the selection code of each plan; a plan is always named,
because a carton's cuts change from plan to plan under one name.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from starloom.catalog.expressions import is_condition, names, parse
from starloom.errors import CatalogError, ConfigError
from starloom.sdss.carton import Carton, Clause, Option, Rule, Thinning, formulas
from starloom.sdss.columns import Circles, column

if TYPE_CHECKING:
    from astropy.table import QTable

GENERATION = "v0.5.3"
"""The targeting generation of DR18."""

DEFINITIONS = ("milky_way", "black_holes", "calibration")
_NUMBER = re.compile(r"\{(nmgy|jansky) ([\d.]+)\}")
_SHARED = re.compile(r"\$\{(\w+)\}")
_ZERO_POINTS = {"nmgy": 22.5, "jansky": 8.9}
_KEYS = {
    "name", "plan", "tag", "mapper", "program", "category", "instrument", "cadence", "priority", "where", "options",
    "variants", "thin", "generations", "list", "private", "fields", "source", "notes",
}  # fmt: skip


class Definitions:
    """One file of definitions: its cartons, every shared piece put in its place."""

    def __init__(self, text: str, label: str) -> None:
        try:
            self.data: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise CatalogError(f"{label} is not TOML: {error}") from error
        self.label = label
        self.shared: Mapping[str, str] = self.data.get("shared", {})

    def expand(self, text: str) -> str:
        """A text with shared expressions and fluxes of magnitudes written out."""
        for _ in range(9):
            if (inner := _SHARED.sub(self._shared, text)) == text:
                break
            text = inner
        return " ".join(_NUMBER.sub(_flux, text).split())

    def _shared(self, match: re.Match[str]) -> str:
        if match[1] not in self.shared:
            raise CatalogError(f"{self.label}: there is no shared expression {match[1]!r}")
        return self.shared[match[1]]

    def clauses(self, texts: Sequence[str], where: str) -> tuple[Clause, ...]:
        """Conditions, lists of shared ones taken apart, each parsed once so that a mistake shows here."""
        found: list[Clause] = []
        for text in texts:
            if text.startswith("@"):
                found += self.clauses(self._list("shared_clauses", text, where), where)
                continue
            clause = Clause(self.expand(text), " ".join(text.split()))
            if not is_condition(clause.node):
                raise CatalogError(f"{self.label}: {where}: {text!r} is no condition")
            for name in names(clause.node):
                column(name)
            found.append(clause)
        return tuple(found)

    def rules(self, value: Any, where: str) -> tuple[Rule, ...]:
        """Rules for a cadence or an instrument."""
        if value is None:
            return ()
        if isinstance(value, str) and not value.startswith("@"):
            return (Rule("", value),)
        entries = self._list("shared_rules", value, where) if isinstance(value, str) else value
        rules = tuple(Rule(self.expand(entry["when"]), self.expand(entry["then"])) for entry in entries)
        for rule in rules:
            for text in (rule.when, *formulas(rule.then)):
                parse(text)
        return rules

    def _list(self, table: str, reference: str, where: str) -> Any:
        if reference[1:] not in self.data.get(table, {}):
            raise CatalogError(f"{self.label}: {where}: there is no {reference!r} in {table}")
        return self.data[table][reference[1:]]

    def cartons(self) -> list[Carton]:
        """All cartons of the file, variants for other plans included.

        Raises
        ------
        CatalogError
            When a definition has an unknown or missing key.
        ConfigError
            When an expression cannot be read or names an unknown column.
        """
        return [carton for entry in self.data.get("carton", []) for carton in self._with_variants(entry)]

    def circles(self) -> list[Circles]:
        """The fields on the sky."""
        return [
            Circles(name, tuple(map(tuple, entry.get("centers", ()))), entry.get("list", ""), entry.get("radius", 0.0))
            for name, entry in self.data.get("circles", {}).items()
        ]

    def _with_variants(self, entry: Mapping[str, Any]) -> list[Carton]:
        label = f"carton {entry.get('name', '(no name)')!r}"
        if unknown := set(entry) - _KEYS:
            raise CatalogError(f"{self.label}: {label} has unknown keys: {', '.join(sorted(unknown))}")
        if lacking := {"name", "plan", "program", "where"} - set(entry):
            raise CatalogError(f"{self.label}: {label} lacks {', '.join(sorted(lacking))}")
        main = self._carton({**self.data, **entry}, label)
        found = [main]
        for variant in entry.get("variants", ()):
            dropped = {" ".join(text.split()) for text in variant.get("drop", ())}
            kept = tuple(clause for clause in main.where if clause.short not in dropped)
            if len(kept) != len(main.where) - len(dropped):
                raise CatalogError(f"{self.label}: {label}: a variant drops a clause that is not there")
            found.append(
                replace(
                    main, plan=variant["plan"], tag=variant["tag"], generations=(),
                    where=kept + self.clauses(variant.get("add", ()), label),
                    priority=str(variant.get("priority", main.priority)),
                )
            )  # fmt: skip
        return found

    def _carton(self, entry: Mapping[str, Any], label: str) -> Carton:
        priority = self.expand(str(entry.get("priority", "")))
        if priority:
            parse(priority)
        thin = entry.get("thin")
        options = [Option(o["name"], o["default"], self.clauses(o["where"], label)) for o in entry.get("options", ())]
        return Carton(
            name=entry["name"],
            plan=entry["plan"],
            tag=entry.get("tag", ""),
            mapper=entry.get("mapper", ""),
            program=entry["program"],
            category=entry.get("category", "science"),
            instrument=self.rules(entry.get("instrument"), label),
            cadence=self.rules(entry.get("cadence"), label),
            priority=priority,
            where=self.clauses(entry["where"], label),
            options=tuple(options),
            thin=Thinning(**thin) if thin else None,
            generations=tuple(entry.get("generations", ())),
            requires=entry.get("list", ""),
            private=entry.get("private", False),
            fields=entry.get("fields", ""),
            source=entry.get("source", "code"),
            notes=entry.get("notes", ""),
        )


def _flux(match: re.Match[str]) -> str:
    return repr(float(10.0 ** (0.4 * (_ZERO_POINTS[match[1]] - float(match[2])))))


def read_definitions(text: str, label: str = "the definitions") -> list[Carton]:
    """Cartons of your own, from a text in the form of this package's definitions.

    Examples
    --------
    >>> mine = read_definitions('''
    ... [[carton]]
    ... name = "my_giants"
    ... plan = "mine"
    ... program = "mine"
    ... where = ["j_m - k_m > 0.5", "h_m < 12.2"]
    ... ''')
    >>> mine[0].columns
    ('j_m', 'k_m', 'h_m')
    """
    return Definitions(text, label).cartons()


@cache
def _files() -> tuple[Definitions, ...]:
    folder = files("starloom.sdss.definitions")
    return tuple(
        Definitions(folder.joinpath(f"{name}.toml").read_text(encoding="utf-8"), f"definitions/{name}.toml")
        for name in DEFINITIONS
    )


@cache
def cartons() -> tuple[Carton, ...]:
    """Every carton that is defined here, in all its plans."""
    return tuple(carton for file in _files() for carton in file.cartons())


@cache
def circles() -> tuple[Circles, ...]:
    """The fields on the sky that cartons ask for."""
    return tuple(entry for file in _files() for entry in file.circles())


def carton(name: str, *, plan: str, **options: bool) -> Carton:
    """One carton of one plan.

    Parameters
    ----------
    name : such as ``mwm_ob_core``.
    plan : such as ``0.5.1``, or a targeting generation such as ``v0.5.3``, which says the plan.
    options : switches of the carton.

    Raises
    ------
    ConfigError
        For an unknown name or plan, with what there is.

    Examples
    --------
    >>> [len(carton("mwm_ob_core", plan=plan).where) for plan in ("0.5.0", "0.5.1")]
    [10, 9]
    """
    same = [entry for entry in cartons() if entry.name == name]
    if not same:
        close = difflib.get_close_matches(name, [entry.name for entry in cartons()], n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ConfigError(f"no carton is called {name!r}{hint}")
    for entry in same:
        if plan == entry.plan or plan in entry.generations:
            return entry.with_options(**options) if options else entry
    there = ", ".join(entry.plan for entry in same)
    raise ConfigError(f"{name} is not defined for plan {plan!r}; there are the plans {there}")


def generation(label: str = GENERATION) -> tuple[Carton, ...]:
    """The cartons of a targeting generation or of a plan that are defined here.

    Raises
    ------
    ConfigError
        When none is.
    """
    found = tuple(entry for entry in cartons() if label in (entry.plan, *entry.generations))
    if not found:
        known = sorted({name for entry in cartons() for name in (entry.plan, *entry.generations)})
        raise ConfigError(f"no carton is defined for the plan or generation {label!r}; there are: {', '.join(known)}")
    return found


def coverage(members: QTable, label: str = GENERATION) -> QTable:
    """What can be evaluated of a targeting generation.

    Parameters
    ----------
    members : one row a carton of the generation, with ``carton_pk`` and ``label`` (name_plan, masked where unknown), as
        ``starloom.sdss.target_flags.generation_members`` makes it.
    label : the generation.

    Returns
    -------
    QTable
        The rows with ``status``: ``done``; ``needs a private list``; ``not specified`` (no public definition); and
        ``detail``.
    """
    import numpy as np
    from astropy.table import QTable

    defined = {entry.label: entry for entry in generation(label)}
    texts = np.ma.filled(np.ma.asarray(members["label"]), "")
    rows = [_coverage(str(text), defined) for text in texts]
    result = QTable({"carton_pk": np.asarray(members["carton_pk"])})
    result["label"] = [str(text) or "(not named in the flag tables)" for text in texts]
    result["status"], result["detail"] = [row[0] for row in rows], [row[1] for row in rows]
    return result


def _coverage(label: str, defined: Mapping[str, Carton]) -> tuple[str, str]:
    if label in defined:
        entry = defined[label]
        if entry.private:
            return "needs a private list", f"clauses compiled; {entry.requires}"
        return "done", entry.requires or (f"with {entry.fields}" if entry.fields else "")
    if label.startswith(("manual_", "openfibertargets_", "mwm_tess_ob")):
        return "needs a private list", "the carton is a list of targets that was handed in"
    if not label:
        return "not specified", "no name, no bit and no definition is public"
    return "not specified", "not compiled here"
