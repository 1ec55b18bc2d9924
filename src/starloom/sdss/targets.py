"""Run cartons over a table: who is selected, with which cadence, priority and instrument; one row an object."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.catalog.expression_values import Block, Raw
from starloom.catalog.expressions import Node, parse, walk
from starloom.catalog.provenance import KEY, record
from starloom.errors import CatalogError, ConfigError, MissingColumnError
from starloom.sdss.carton import Carton, Rule, formulas
from starloom.sdss.cartons import GENERATION, circles, generation
from starloom.sdss.columns import Parent, read_parent

if TYPE_CHECKING:
    from astropy.table import QTable

BLOCK = 65_536
"""Rows evaluated at a time: a column of them stays in the processor's cache."""

NO_PRIORITY = -1
"""What an int32 priority column holds where a carton gives none (it is masked in tables)."""

Mask = NDArray[np.bool_]


@dataclass
class CartonSelection:
    """Who is in which carton.

    Parameters
    ----------
    cartons : the cartons that were evaluated.
    member : (number of cartons, number of rows), after thinning.
    before_thinning : rows a carton had before it was thinned, by label.
    skipped : cartons that could not be evaluated, label -> why.
    assumed : optional columns that were missing everywhere.
    parent : the columns that were read.
    """

    cartons: tuple[Carton, ...]
    member: Mask
    before_thinning: dict[str, int]
    skipped: dict[str, str]
    assumed: tuple[str, ...]
    parent: Parent = field(repr=False)

    def __getitem__(self, label: str) -> Mask:
        """The members of a carton by its name or its label (name_plan), shape (n,)."""
        for place, carton in enumerate(self.cartons):
            if label in (carton.label, carton.name):
                return np.asarray(self.member[place])
        why = self.skipped.get(label) or next((w for k, w in self.skipped.items() if k.startswith(label + "_")), "")
        raise ConfigError(f"{label!r} was not evaluated" + (f": {why}" if why else ""))

    @property
    def counts(self) -> dict[str, int]:
        """Members of each carton by label."""
        return {carton.label: int(row.sum()) for carton, row in zip(self.cartons, self.member, strict=True)}

    def overlap(self) -> NDArray[np.int64]:
        """Objects shared by each pair of cartons, shape (k, k); the diagonal counts the members."""
        size = len(self.cartons)
        shared = np.zeros((size, size), dtype=np.int64)
        places = [np.flatnonzero(row) for row in self.member]
        for i in range(size):
            for j in range(i, size):
                small, other = (
                    (places[i], self.member[j]) if len(places[i]) < len(places[j]) else (places[j], self.member[i])
                )
                shared[i, j] = shared[j, i] = int(other[small].sum())
        return shared


# ---------------------------------------------------------------------------------------------------------- selection


def _cost(node: Node) -> int:
    return sum(1 for _ in walk(node))


def evaluate(parent: Parent, cartons: Sequence[Carton], workers: int = 1) -> Mask:
    """Members of cartons by their clauses alone, without thinning, shape (number of cartons, rows).

    The rows go through in blocks. Inside a block the clauses of all cartons share what was computed; once few rows of a
    carton are left, its other clauses are evaluated on those alone. Cheap clauses go first: the order does not matter
    to the result.
    """
    plans = [sorted((clause.node for clause in carton.clauses), key=_cost) for carton in cartons]
    member = np.zeros((len(cartons), parent.rows), dtype=bool)

    def fill(start: int) -> None:
        stop = min(start + BLOCK, parent.rows)
        block = Block(parent.raws, slice(start, stop), stop - start)
        for place, nodes in enumerate(plans):
            member[place, start:stop] = _members(block, nodes)

    starts = range(0, parent.rows, BLOCK)
    if workers > 1 and len(starts) > 1:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(fill, starts))
    else:
        for start in starts:
            fill(start)
    return member


def _members(block: Block, nodes: Sequence[Node]) -> Mask:
    inside = block.true(nodes[0]).copy()
    for place, node in enumerate(nodes[1:], start=1):
        left = np.flatnonzero(inside)
        if len(left) == 0:
            break
        if len(left) < block.size // 4:
            few = block.subset(left)
            keep = few.true(node).copy()
            for later in nodes[place + 1 :]:
                keep &= few.true(later)
            inside[left] = keep
            break
        inside &= block.true(node)
    return inside


def select(
    table: Any,
    cartons: Iterable[Carton] | str = GENERATION,
    *,
    fields: Mapping[str, ArrayLike] | None = None,
    thin: bool = True,
    workers: int = 1,
    label: str = "the table",
) -> CartonSelection:
    """Run cartons over a table.

    Parameters
    ----------
    table : anything that ``starloom.catalog.tables.read_table`` takes; columns are found under their usual names.
    cartons : the cartons, or the name of a plan or generation: then cartons whose columns are not there are skipped,
        and the result says so.
    fields : name of a list of field centers (``aqmes_medium_fields``) -> right ascension and declination in deg (m, 2).
    thin : whether to thin the selections as the code does.
    workers : threads; the result does not depend on it. One is the fastest where memory, not arithmetic, is the limit.
    label : what to call the table in messages.

    Raises
    ------
    MissingColumnError
        When a carton asked for by itself needs a column that is not there, or no carton of a plan can be evaluated.
    CatalogError
        When the table has no rows, a carton is asked for twice, or a column holds the wrong kind of values.
    """
    from starloom.catalog.schema import require_rows
    from starloom.catalog.tables import read_table

    by_name = isinstance(cartons, str)
    chosen = generation(cartons) if isinstance(cartons, str) else tuple(cartons)
    if not chosen:
        raise ConfigError("no carton was given")
    _refuse_doubles(chosen)
    source = read_table(table, label=label)
    require_rows(source, label)
    wanted = [name for carton in chosen for name in carton.columns]
    parent = read_parent(source, wanted, circles=circles(), fields=fields, label=label)
    absent = set(parent.absent)
    skipped = {carton.label: _explain(carton, parent, fields) for carton in chosen if absent & set(carton.columns)}
    if skipped and not by_name:
        raise MissingColumnError(f"{label}: {next(iter(skipped.values()))}")
    usable = tuple(carton for carton in chosen if carton.label not in skipped)
    if not usable:
        raise MissingColumnError(f"{label} has the columns of no carton; the first: {next(iter(skipped.values()))}")
    member = evaluate(parent, usable, workers)
    read = {name for carton in usable for name in carton.columns}
    assumed = tuple(name for name in parent.assumed if name in read)
    selection = CartonSelection(usable, member, {}, skipped, assumed, parent)
    if thin and any(carton.thin for carton in usable):
        from starloom.sdss.thinning import thin_selection

        thin_selection(selection, source, label)
    return selection


def _refuse_doubles(cartons: Sequence[Carton]) -> None:
    seen: dict[str, Carton] = {}
    for carton in cartons:
        if carton.label in seen:
            raise CatalogError(f"carton {carton.label} is asked for twice")
        seen[carton.label] = carton


def _explain(carton: Carton, parent: Parent, fields: Mapping[str, ArrayLike] | None) -> str:
    parts = []
    for name in carton.columns:
        if name not in parent.absent:
            continue
        close = parent.suggestions[name]
        spec = next(spec for spec in carton.needs() if spec.name == name)
        if carton.fields and name.startswith("in_") and (not fields or carton.fields not in fields):
            parts.append(f"'{name}' (give the field centers as fields={{{carton.fields!r}: ...}}, and ra, dec)")
            continue
        there = f"; closest there: {', '.join(close)}" if close else ""
        parts.append(f"'{name}' ({spec.meaning}; {spec.catalog}{there})")
    return f"{carton.label} needs {' and '.join(parts)}, which the table does not have"


# -------------------------------------------------------------------------------------------------- cadence, priority


def _values(rules: Sequence[Rule], block: Block, size: int) -> NDArray[np.str_]:
    result = np.full(size, "", dtype="U24")
    open_ = np.ones(size, dtype=bool)
    for rule in rules:
        here = open_ & (block.true(parse(rule.when)) if rule.when else True)
        if here.any():
            result[here] = _filled(rule.then, block, size)[here]
        open_ &= ~here
    return result


def _filled(text: str, block: Block, size: int) -> NDArray[np.str_]:
    result = np.full(size, re.sub(r"\{.*?\}", "{}", text), dtype="U24")
    for formula in formulas(text):
        numbers = np.broadcast_to(block.numbers(parse(formula)), (size,))
        words = np.where(np.isfinite(numbers), np.nan_to_num(numbers).astype(np.int64).astype(str), "?")
        result = np.array([left.replace("{}", word, 1) for left, word in zip(result, words, strict=True)], dtype="U24")
    return result


def assign(selection: CartonSelection, table: Any, ids: str = "catalogid") -> QTable:
    """One row a membership: who, in which carton, with which cadence, priority and instrument.

    Parameters
    ----------
    selection : from :func:`select`.
    table : the table it was made on.
    ids : column of 64-bit identifiers; the row number stands in for it where the table has none.

    Returns
    -------
    QTable
        ``catalogid``, ``row``, ``carton``, ``plan``, ``program``, ``mapper``, ``category``, ``instrument``, ``cadence``
        (both empty where no rule holds), ``priority`` (masked where none). Columns that only the rules read and that
        the table lacks count as missing.
    """
    from astropy.table import MaskedColumn, QTable

    from starloom.catalog.tables import read_table

    source = read_table(table)
    identifiers = _identifiers(source, ids)
    extra = [name for carton in selection.cartons for name in carton.rule_columns]
    more = read_parent(source, [name for name in extra if name not in selection.parent.raws], circles=circles())
    nothing = {name: Raw(np.broadcast_to(np.array(np.nan), (selection.parent.rows,))) for name in more.absent}
    raws = {**nothing, **more.raws, **selection.parent.raws}
    parts: dict[str, list[Any]] = {name: [] for name in ("row", "place", "instrument", "cadence", "priority")}
    for place, carton in enumerate(selection.cartons):
        rows = np.flatnonzero(selection.member[place])
        block = Block(raws, rows, len(rows))
        priority = np.broadcast_to(block.numbers(parse(carton.priority)), (len(rows),)) if carton.priority else np.nan
        parts["row"].append(rows)
        parts["place"].append(np.full(len(rows), place))
        parts["instrument"].append(_values(carton.instrument, block, len(rows)))
        parts["cadence"].append(_values(carton.cadence, block, len(rows)))
        parts["priority"].append(np.broadcast_to(priority, (len(rows),)))
    joined = {name: np.concatenate(pieces) for name, pieces in parts.items()}
    result = QTable({"catalogid": identifiers[joined["row"]], "row": joined["row"]})
    for name, words in (
        ("carton", [c.name for c in selection.cartons]),
        ("plan", [c.plan for c in selection.cartons]),
        ("program", [c.program for c in selection.cartons]),
        ("mapper", [c.mapper for c in selection.cartons]),
        ("category", [c.category for c in selection.cartons]),
    ):
        result[name] = np.array(words)[joined["place"]]
    result["instrument"], result["cadence"] = joined["instrument"], joined["cadence"]
    gone = np.isnan(joined["priority"])
    numbers = np.where(gone, NO_PRIORITY, np.nan_to_num(joined["priority"])).astype(np.int32)
    result["priority"] = MaskedColumn(numbers, mask=gone)
    result.meta[KEY] = source.meta.get(KEY, "[]")
    record(result, "cartons", cartons=[c.label for c in selection.cartons], skipped=sorted(selection.skipped))
    return result


def _identifiers(source: QTable, ids: str) -> NDArray[np.int64]:
    if ids not in source.colnames:
        if ids != "catalogid":
            raise MissingColumnError(f"the table has no column {ids!r} of identifiers")
        return np.arange(len(source), dtype=np.int64)
    column = source[ids]
    if np.asarray(column).dtype.kind not in "iu":
        raise CatalogError(
            f"column '{ids}' holds {np.asarray(column).dtype}, and 64-bit integers are needed: a float loses "
            "digits of a long identifier"
        )
    return np.asarray(np.ma.filled(np.ma.asarray(column), -1)).astype(np.int64)


def combine(memberships: QTable) -> QTable:
    """One row an object: what its most important carton asks for, and all of its memberships.

    Parameters
    ----------
    memberships : from :func:`assign`.

    Returns
    -------
    QTable
        ``catalogid``, ``row``, ``firstcarton``, ``plan``, ``program``, ``category``, ``instrument``, ``cadence``,
        ``priority`` of the membership with the lowest number (of the first one among equals; one without a priority
        comes last), ``n_cartons``, and ``cartons``, their names separated by spaces. In the order of the rows.
    """
    from astropy.table import QTable

    if len(memberships) == 0:
        raise CatalogError("no memberships to combine: nothing was selected")
    priority = np.ma.filled(np.ma.asarray(memberships["priority"]).astype(float), np.inf)
    row = np.asarray(memberships["row"])
    order = np.lexsort((np.arange(len(row)), priority, row))
    firsts = np.flatnonzero(np.diff(row[order], prepend=-1))
    best = memberships[order[firsts]]
    names = np.asarray(memberships["carton"])[order]
    ends = np.append(firsts[1:], len(order))
    result = QTable()
    for name in ("catalogid", "row", "carton", "plan", "program", "category", "instrument", "cadence", "priority"):
        result["firstcarton" if name == "carton" else name] = best[name]
    result["n_cartons"] = (ends - firsts).astype(np.int32)
    result["cartons"] = np.array([" ".join(names[a:b]) for a, b in zip(firsts, ends, strict=True)])
    result.meta[KEY] = memberships.meta.get(KEY, "[]")
    return result
