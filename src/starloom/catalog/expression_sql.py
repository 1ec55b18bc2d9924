"""Write expressions as SQL that gives the same rows in other databases: out of a function's domain is NULL
everywhere."""

from __future__ import annotations

from collections.abc import Callable

from starloom.catalog.expressions import (
    And,
    Arithmetic,
    Call,
    Case,
    Compare,
    IsNull,
    Like,
    Literal,
    Name,
    Negative,
    Node,
    Not,
    Or,
)
from starloom.errors import ConfigError

DIALECTS = ("sqlite", "duckdb", "postgresql", "tsql")
"""What can be written; ``tsql`` is what CasJobs and SkyServer speak."""

_TSQL_WORDS = {"plan", "table", "user", "order", "group", "percent", "rule", "public"}


def to_sql(node: Node, dialect: str = "sqlite") -> str:
    """An expression as SQL.

    Parameters
    ----------
    node : the tree.
    dialect : one of :data:`DIALECTS`. SQLite compares with LIKE regardless of capitals unless
        ``PRAGMA case_sensitive_like = ON`` was said; T-SQL follows the collation of the database.

    Raises
    ------
    ConfigError
        For another dialect.

    Examples
    --------
    >>> from starloom.catalog.expressions import parse
    >>> to_sql(parse("g + 5 * log10(parallax) < 6 OR g IS NULL"), "postgresql")
    '(g + (5 * log(CASE WHEN parallax > 0 THEN parallax END))) < 6 OR g IS NULL'
    """
    if dialect not in DIALECTS:
        raise ConfigError(f"SQL cannot be written for {dialect!r}; there are: {', '.join(DIALECTS)}")
    return _write(node, dialect)


def _write(node: Node, dialect: str) -> str:
    def inner(part: Node) -> str:
        text = _write(part, dialect)
        simple = isinstance(part, Name | Literal | Call) and not text.startswith("-")
        return text if simple else f"({text})"

    match node:
        case Literal(value):
            return _literal(value)
        case Name(name):
            return f"[{name}]" if dialect == "tsql" and name.lower() in _TSQL_WORDS else name
        case Negative(argument):
            return f"-{inner(argument)}"
        case Arithmetic("/", left, right) if not (isinstance(right, Literal) and right.value):
            return f"{inner(left)} / nullif({_write(right, dialect)}, 0)"
        case Arithmetic(operator, left, right) | Compare(operator, left, right):
            return f"{inner(left)} {operator} {inner(right)}"
        case Like(argument, pattern):
            return f"{inner(argument)} LIKE {_literal(pattern)}"
        case IsNull(argument):
            return f"{inner(argument)} IS NULL"
        case Not(IsNull(argument)):
            return f"{inner(argument)} IS NOT NULL"
        case Not(argument):
            return f"NOT ({_write(argument, dialect)})"
        case And(parts):
            return " AND ".join(_joined(part, dialect) for part in parts)
        case Or(parts):
            return " OR ".join(_joined(part, dialect) for part in parts)
        case Case(branches, default):
            whens = " ".join(f"WHEN {_write(when, dialect)} THEN {_write(then, dialect)}" for when, then in branches)
            return f"CASE {whens} ELSE {_write(default, dialect)} END"
        case Call(function, arguments):
            return _call(function, [_write(part, dialect) for part in arguments], dialect)
    raise ConfigError(f"{node} cannot be written as SQL")


def _joined(node: Node, dialect: str) -> str:
    text = _write(node, dialect)
    return f"({text})" if isinstance(node, And | Or) else text


def _literal(value: float | int | str | None) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(value)


def _call(function: str, arguments: list[str], dialect: str) -> str:
    first = arguments[0]
    if function in ("max", "min"):  # greatest() of other databases passes over NULL, and max() of SQLite does not
        sign = ">=" if function == "max" else "<="
        other = "<" if function == "max" else ">"
        a, b = arguments
        return f"CASE WHEN {a} {sign} {b} THEN {a} WHEN {a} {other} {b} THEN {b} END"
    if dialect == "sqlite":
        return f"{function}({', '.join(arguments)})"
    writers: dict[str, Callable[[], str]] = {
        "log10": lambda: f"{'log' if dialect == 'postgresql' else 'log10'}(CASE WHEN {first} > 0 THEN {first} END)",
        "sqrt": lambda: f"sqrt(CASE WHEN {first} >= 0 THEN {first} END)",
        "pow": lambda: _power(arguments[0], arguments[1], dialect),
        "ceil": lambda: f"{'ceiling' if dialect == 'tsql' else 'ceil'}({first})",
        "round": lambda: f"round({first}, 0)" if dialect == "tsql" else f"round({first})",
        "substr": lambda: f"substring({', '.join(arguments)})",
        "trim": lambda: f"ltrim(rtrim({first}))" if dialect == "tsql" else f"trim({first})",
    }
    return writers[function]() if function in writers else f"{function}({', '.join(arguments)})"


def _power(base: str, exponent: str, dialect: str) -> str:
    if dialect == "tsql":  # there the result has the type of the base: 10 would give whole numbers
        base = f"cast({base} AS float)"
    if base.replace("cast(", "").replace(" AS float)", "").replace(".", "").isdigit():
        return f"power({base}, {exponent})"
    # a broken power of a number below zero is an error in some databases, and NULL in SQLite
    return f"CASE WHEN {base} >= 0 OR {exponent} = floor({exponent}) THEN power({base}, {exponent}) END"
