"""Expressions: grammar, three-valued logic against SQLite, SQL for other databases, bad input."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest

from starloom.catalog.expression_sql import to_sql
from starloom.catalog.expression_values import Block, Raw
from starloom.catalog.expressions import Compare, names, parse
from starloom.errors import CatalogError, ConfigError, MissingColumnError

VALUES = [None, -2.0, -1.0, 0.0, 0.5, 1.0, 2.0, 3.0]
WORDS = [None, "", "A", "AB", "a", "%", "A_B"]
CONDITIONS = [
    "x < y",
    "x <= y",
    "x = y",
    "x <> y",
    "x >= y",
    "x > y",
    "NOT x < y",
    "x IS NULL",
    "x IS NOT NULL",
    "NOT (x IS NULL)",
    "x BETWEEN y AND 2",
    "x NOT BETWEEN -1 AND 1",
    "x IN (1, 2, 3)",
    "x NOT IN (0, 1)",
    "x < y AND y < 2",
    "x < y OR y < 2",
    "NOT (x < y OR y IS NULL)",
    "x / y > 1",
    "1 / x < y",
    "log10(x) < y",
    "sqrt(x) >= 1",
    "pow(x, y) > 1",
    "pow(10, x) < 5 * y",
    "abs(x) = 1",
    "coalesce(x, y) > 0",
    "max(x, y) = 2",
    "min(x, y) < 0",
    "CASE WHEN x < 0 THEN 1 WHEN y < 0 THEN 2 END = 1",
    "CASE WHEN x < y THEN x ELSE y END > 0",
    "floor(x) = 0",
    "ceil(x) = 1",
    "-x < y",
    "x - -1 > y",
    "x + y * 2 > 1",
    "(x + y) * 2 > 1",
    "sin(radians(x * 90)) > 0.5",
    "cos(x) < y",
    "w = 'A'",
    "w <> 'A'",
    "NOT w = 'A'",
    "w IN ('A', 'AB')",
    "w LIKE 'A%'",
    "w NOT LIKE '%B'",
    "w LIKE 'A_'",
    "w IS NULL",
    "substr(w, 1, 1) = 'A'",
    "substr(w, 2, 1) = ''",
    "trim(w) = 'A'",
    "x > 0 AND w = 'A' OR y IS NULL",
    "k & 1 > 0",
    "k & 4503599627370496 > 0",
    "k & 3 = 2",
    "NOT k & 1 > 0",
]


@pytest.fixture(scope="module")
def grid():
    pairs = [(x, y) for x in VALUES for y in VALUES]
    rows = [(x, y, w, k) for x, y in pairs for w in WORDS for k in (None, 0, 1, 2, 2**52, 2**52 + 1)]
    columns = list(zip(*rows, strict=True))
    raws = {}
    for name, column in zip("xywk", columns, strict=True):
        missing = np.array([value is None for value in column])
        kind, empty = (float, 0.0) if name in "xy" else (np.str_, "") if name == "w" else (np.int64, 0)
        raws[name] = Raw(np.array([empty if value is None else value for value in column], dtype=kind), missing)
    base = sqlite3.connect(":memory:")
    base.execute("PRAGMA case_sensitive_like = ON")
    base.execute("CREATE TABLE t (x REAL, y REAL, w TEXT, k INTEGER)")
    base.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", rows)
    yield raws, base, len(rows)
    base.close()


def ours(raws, size, text):
    block = Block(raws, slice(None), size)
    node = parse(text)
    true, false = block.true(node), block.false(node)
    assert not (true & false).any()
    return np.where(true, 1, np.where(false, 0, -1))


def theirs(base, text):
    found = base.execute(f"SELECT ({text}) FROM t ORDER BY rowid").fetchall()
    return np.array([-1 if value is None else int(bool(value)) for (value,) in found])


@pytest.mark.parametrize("text", CONDITIONS)
def test_true_false_and_unknown_as_sqlite(grid, text):
    raws, base, size = grid
    expected = theirs(base, text)
    np.testing.assert_array_equal(ours(raws, size, text), expected)
    np.testing.assert_array_equal(theirs(base, to_sql(parse(text))), expected)


def test_rows_of_a_block_and_of_a_subset_agree(grid):
    raws, _, size = grid
    node = parse("log10(x) < y OR x / y > 1 AND w = 'A'")
    whole = Block(raws, slice(None), size).true(node)
    some = np.arange(3, size, 7)
    np.testing.assert_array_equal(Block(raws, slice(None), size).subset(some).true(node), whole[some])
    np.testing.assert_array_equal(Block(raws, slice(10, 90), 80).true(node), whole[10:90])


def test_equal_texts_are_one_tree():
    assert parse("a<1 and b > 2") is parse("a < 1 AND b > 2")
    assert parse("a < 1") is not parse("a < 1.0")
    assert isinstance(parse("a < 1"), Compare)
    assert names(parse("b + a > b")) == ("b", "a")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "broken"),
        ("x <", "broken"),
        ("x < 1 AND", "broken"),
        ("(x < 1", "needs ')'"),
        ("x < 1)", "should have ended"),
        ("x ; y", "cannot be read"),
        ("foo(x) < 1", "calls 'foo'"),
        ("sqrt(x, y) < 1", "takes 1"),
        ("x < 1 < 2", "ended"),
        ("x + (y < 1) > 2", "value is needed"),
        ("NOT x", "condition is needed"),
        ("x AND y", "condition is needed"),
        ("x LIKE y", "a text after LIKE"),
        ("x NOT 3", "BETWEEN, IN or LIKE"),
        ("CASE END = 1", "WHEN"),
        ("x IS 3", "NULL"),
    ],
)
def test_mistakes_are_shown(text, word):
    with pytest.raises(ConfigError, match=word.replace("(", r"\(").replace(")", r"\)")):
        parse(text)


def test_wrong_kinds_of_values():
    raws = {"x": Raw(np.array([1.0])), "w": Raw(np.array(["A"]))}
    block = Block(raws, slice(None), 1)
    for text in ("w < 3", "x = 'A'", "substr(x, 1, 1) = 'A'"):
        with pytest.raises(CatalogError):
            block.true(parse(text))
    with pytest.raises(MissingColumnError, match="'z'"):
        block.true(parse("z < 1"))


def test_infinities_of_a_division_are_missing():
    block = Block({"x": Raw(np.array([1.0, 0.0, -1.0])), "y": Raw(np.zeros(3))}, slice(None), 3)
    assert not block.true(parse("x / y > 0")).any()
    assert not block.false(parse("x / y > 0")).any()


def test_dialects():
    node = parse("pow(10, x) / y > max(x, 2) AND substr(w, 1, 1) = 'A'")
    tsql = to_sql(node, "tsql")
    assert "power(cast(10 AS float), x)" in tsql
    assert "nullif(y, 0)" in tsql
    assert "substring" in tsql
    with pytest.raises(ConfigError, match="mysql"):
        to_sql(node, "mysql")


def test_the_same_rows_in_duckdb(grid):
    duckdb = pytest.importorskip("duckdb")
    import pyarrow as pa

    raws, base, _ = grid
    table = pa.table({k: pa.array(v.values, mask=v.missing) for k, v in raws.items()})
    connection = duckdb.connect()
    connection.register("t", table)
    for text in CONDITIONS:
        found = connection.execute(f"SELECT ({to_sql(parse(text), 'duckdb')}) FROM t").fetchall()
        here = np.array([-1 if value is None else int(value) for (value,) in found])
        np.testing.assert_array_equal(here, theirs(base, text), err_msg=text)
