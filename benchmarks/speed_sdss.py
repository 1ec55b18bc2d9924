"""SDSS: cartons against DuckDB and SQLite on the same clauses, target flags against sdss_semaphore."""

from __future__ import annotations

import functools
import importlib
import operator
import re
import time
import tracemalloc
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import sdss_oracle
from side_by_side import Comparison, cpu_seconds, table

from starloom import progress
from starloom.catalog import expressions as ex
from starloom.catalog.arrow_tables import to_arrow
from starloom.catalog.bitmasks import packed, set_bits
from starloom.catalog.expression_sql import to_sql
from starloom.catalog.tables import read_table
from starloom.sdss.cartons import generation
from starloom.sdss.target_flags import TargetFlags
from starloom.sdss.targets import select
from starloom.seeds import generator

ROWS = 1_000_000
CHECKED = 100_000
FLAGGED = 1_000_000
SEMAPHORE_ROWS = 20_000


def section() -> tuple[str, bool]:
    """The section of the page, and whether all results agree."""
    cartons = [entry for entry in generation() if entry.mapper == "mwm" and not entry.private]
    progress.say("sdss: cartons")
    parent = read_table(sdss_oracle.random_parent(cartons, ROWS, 1))
    size = sum(np.asarray(parent[name]).nbytes for name in parent.colnames)
    tracemalloc.start()
    chosen = select(parent, cartons, thin=False)
    grown = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    ours = cpu_seconds(lambda: select(parent, cartons, thin=False), 3)
    half = cpu_seconds(lambda: select(parent[: ROWS // 10], cartons, thin=False), 3)
    arrow = _nulls(to_arrow(parent))
    comparisons = [
        _sqlite(generation()),
        _duckdb(arrow, cartons, chosen.member, ours),
        _polars(arrow, cartons, chosen.member, ours),
        *_flags(),
    ]
    notes = (
        f"- {len(cartons)} cartons of the Milky Way Mapper on {ROWS:,} rows of {len(parent.colnames)} columns "
        f"({size / 1e6:.0f} MB): {ours:.2f} CPU s, {ours / half / 10:.2f} times what ten tenths of the rows take; "
        f"it allocates {grown / 1e6:.0f} MB at most, the result included.\n"
    )
    return f"## sdss\n\n{table(comparisons)}{notes}", all(c.agrees for c in comparisons)


def _nulls(source: pa.Table) -> pa.Table:
    columns = {}
    for name in source.column_names:
        column = source[name]
        columns[name] = pc.if_else(pc.is_nan(column), None, column) if pa.types.is_floating(column.type) else column
    return pa.table(columns)


def _sqlite(cartons: Any) -> Comparison:
    """Every clause of every carton, true, false or unknown, on random rows with missing values."""
    progress.say("sdss: SQLite")
    from starloom.catalog.expression_values import Block
    from starloom.sdss.columns import read_parent
    from starloom.sdss.targets import evaluate

    rows = sdss_oracle.random_parent(cartons, CHECKED, 2)
    started = time.process_time()
    parent = read_parent(read_table(rows), list(rows))
    member = evaluate(parent, cartons)
    seconds = time.process_time() - started
    started = time.process_time()
    base = sdss_oracle.Database(rows)
    different = sum(int((base.members(c) != member[k]).sum()) for k, c in enumerate(cartons))
    peer = time.process_time() - started
    block = Block(parent.raws, slice(None), CHECKED)
    clauses = {clause.text: clause for carton in cartons for clause in carton.clauses}
    for text, clause in clauses.items():
        here = np.where(block.true(clause.node), 1, np.where(block.false(clause.node), 0, -1))
        different += int((base.truth(text) != here).sum())
    return Comparison(
        name=f"{len(cartons)} cartons and {len(clauses)} single clauses on {CHECKED:,} random rows with missing values",
        peer="SQLite",
        seconds=seconds,
        peer_seconds=peer,
        difference=float(different),
        tolerance=0.0,
        unit="rows",
        work=CHECKED,
        work_unit="rows",
        note="SQLite is given the words of the definitions; each clause is compared as true, false or unknown.",
    )


def _duckdb(arrow: pa.Table, cartons: Any, member: np.ndarray, ours: float) -> Comparison:
    progress.say("sdss: DuckDB")
    base = duckdb.connect()
    base.execute("SET threads = 1")
    base.register("arrow", arrow)
    base.execute("CREATE TABLE parent AS SELECT * FROM arrow")
    conditions = [" AND ".join(f"({to_sql(c.node, 'duckdb')})" for c in carton.clauses) for carton in cartons]
    columns = ", ".join(f"coalesce(({text}), false) AS c{k}" for k, text in enumerate(conditions))
    started = time.process_time()
    found = base.execute(f"SELECT {columns} FROM parent").fetchnumpy()
    seconds = time.process_time() - started
    different = sum(int((np.asarray(found[f"c{k}"]) != member[k]).sum()) for k in range(len(cartons)))
    return _engine("DuckDB", cartons, ours, seconds, different, "One query for all cartons, one thread, run once.")


def _polars(arrow: pa.Table, cartons: Any, member: np.ndarray, ours: float) -> Comparison:
    progress.say("sdss: Polars")
    frame = pl.from_arrow(arrow)
    expressions = [
        functools.reduce(operator.and_, [_expression(c.node) for c in carton.clauses])
        .fill_null(False)
        .alias(carton.label)
        for carton in cartons
    ]
    started = time.process_time()
    found = frame.select(expressions)
    seconds = time.process_time() - started
    different = sum(int((found[c.label].to_numpy() != member[k]).sum()) for k, c in enumerate(cartons))
    return _engine("Polars", cartons, ours, seconds, different, "All cartons in one select, run once.")


def _engine(peer: str, cartons: Any, ours: float, seconds: float, different: int, note: str) -> Comparison:
    return Comparison(
        name=f"{len(cartons)} cartons on {ROWS:,} rows ({peer})",
        peer=peer,
        seconds=ours,
        peer_seconds=seconds,
        difference=float(different),
        tolerance=0.0,
        unit="rows",
        work=ROWS,
        work_unit="rows",
        note=note,
    )


def _expression(node: ex.Node) -> pl.Expr:
    """A condition as a Polars expression."""
    arithmetic = {"+": operator.add, "-": operator.sub, "*": operator.mul, "&": operator.and_}
    compare = {
        "=": operator.eq,
        "<>": operator.ne,
        "<": operator.lt,
        "<=": operator.le,
        ">": operator.gt,
        ">=": operator.ge,
    }
    match node:
        case ex.Literal(value):
            return pl.lit(value)
        case ex.Name(name):
            return pl.col(name)
        case ex.Negative(argument):
            return -_expression(argument)
        case ex.Arithmetic("/", left, right):
            below = _expression(right)
            return _expression(left) / pl.when(below != 0).then(below)
        case ex.Arithmetic(sign, left, right):
            return arithmetic[sign](_expression(left), _expression(right))
        case ex.Compare(sign, left, right):
            return compare[sign](_expression(left), _expression(right))
        case ex.IsNull(argument):
            return _expression(argument).is_null()
        case ex.Not(argument):
            return ~_expression(argument)
        case ex.And(parts):
            return functools.reduce(operator.and_, map(_expression, parts))
        case ex.Or(parts):
            return functools.reduce(operator.or_, map(_expression, parts))
        case ex.Like(argument, pattern):
            form = "".join({"%": ".*", "_": "."}.get(letter, re.escape(letter)) for letter in pattern)
            return _expression(argument).str.contains(f"^{form}$")
        case ex.Call(function, arguments):
            return _call(function, arguments)
    raise ValueError(node)


def _call(function: str, arguments: tuple[ex.Node, ...]) -> pl.Expr:
    if function == "substr":
        start, length = (part.value for part in arguments[1:])
        return _expression(arguments[0]).str.slice(start - 1, length)
    values = [_expression(part) for part in arguments]
    if isinstance(arguments[0], ex.Literal) and function == "pow":
        values[0] = pl.lit(float(arguments[0].value))
    calls = {
        "log10": lambda: pl.when(values[0] > 0).then(values[0]).log(10),
        "sqrt": lambda: pl.when(values[0] >= 0).then(values[0]).sqrt(),
        "pow": lambda: values[0].pow(values[1]),
        "abs": lambda: values[0].abs(),
        "trim": lambda: values[0].str.strip_chars(" "),
        "coalesce": lambda: pl.coalesce(values),
        "sin": lambda: values[0].sin(),
        "cos": lambda: values[0].cos(),
        "radians": lambda: values[0].radians(),
    }
    return calls[function]()


def _flags() -> list[Comparison]:
    """Decode target flags; sdss_semaphore has to be importable, from another folder if need be (PYTHONPATH)."""
    progress.say("sdss: flags")
    try:
        semaphore = importlib.import_module("sdss_semaphore.targeting")
    except ImportError:
        progress.say("sdss: sdss_semaphore is not installed; flags are not compared")
        return []
    mapping = TargetFlags.open()
    rng = generator(3)
    flags = np.zeros((FLAGGED, mapping.width), dtype=np.uint8)
    rows, bits = rng.integers(0, FLAGGED, 6 * FLAGGED), rng.choice(mapping.bits[1:], 6 * FLAGGED)
    np.bitwise_or.at(flags, (rows, bits // 8), (1 << (bits % 8)).astype(np.uint8))
    ours = cpu_seconds(lambda: set_bits(packed(flags)))
    part = flags[:SEMAPHORE_ROWS]
    peer = semaphore.TargetingFlags(part)
    started = time.process_time()
    theirs = list(peer.bits_set)
    seconds = (time.process_time() - started) * FLAGGED / SEMAPHORE_ROWS
    found, bit = set_bits(packed(part))
    ends = np.searchsorted(found, np.arange(SEMAPHORE_ROWS + 1))
    different = sum(sorted(theirs[k]) != bit[ends[k] : ends[k + 1]].tolist() for k in range(SEMAPHORE_ROWS))
    name = "mwm_wd_core"
    mask = cpu_seconds(lambda: mapping.is_target(flags, carton=name))
    started = time.process_time()
    their_mask = peer.in_carton_name(name)
    mask_seconds = (time.process_time() - started) * FLAGGED / SEMAPHORE_ROWS
    wrong = int((np.asarray(their_mask) != mapping.is_target(part, carton=name)).sum())
    note = f"The peer is run on {SEMAPHORE_ROWS:,} rows and its time scaled to the same number of rows."
    return [
        Comparison(
            name=f"all bits set in {FLAGGED:,} rows of {mapping.width} bytes",
            peer="sdss_semaphore bits_set",
            seconds=ours,
            peer_seconds=seconds,
            difference=float(different),
            tolerance=0.0,
            unit="rows",
            work=FLAGGED,
            work_unit="rows",
            note=note,
        ),
        Comparison(
            name=f"rows of one carton among {FLAGGED:,}",
            peer="sdss_semaphore in_carton_name",
            seconds=mask,
            peer_seconds=mask_seconds,
            difference=float(wrong),
            tolerance=0.0,
            unit="rows",
            work=FLAGGED,
            work_unit="rows",
        ),
    ]
