"""Conditions on the columns of a table, written in a small part of SQL, and parsed into a tree.

The grammar is what selections of surveys are written in: ``AND OR NOT``, comparisons, ``IS [NOT] NULL``, ``[NOT]
BETWEEN``, ``[NOT] IN``, ``[NOT] LIKE``, ``CASE``, arithmetic, ``&`` (bits of integers) and a few functions. A text that
parses here is also a text that SQLite takes, word for word. Missing values follow SQL: a comparison with a missing
value is neither true nor false. ``starloom.catalog.expression_values`` evaluates a tree over arrays,
``starloom.catalog.expression_sql`` writes it for other databases.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn, TypeVar

from starloom.errors import ConfigError

FUNCTIONS = {
    "abs": 1,
    "ceil": 1,
    "coalesce": 2,
    "cos": 1,
    "floor": 1,
    "log10": 1,
    "max": 2,
    "min": 2,
    "pow": 2,
    "radians": 1,
    "round": 1,
    "sin": 1,
    "sqrt": 1,
    "substr": 3,
    "trim": 1,
}
"""Functions and how many arguments they take. Out of its domain a function gives NULL, as in SQLite."""


@dataclass(frozen=True, eq=False)
class Node:
    """A piece of an expression.

    The parser makes each piece once: two equal expressions that were parsed are one object, so that comparing and
    looking them up costs nothing however long they are.
    """


@dataclass(frozen=True, eq=False)
class Literal(Node):
    """A number, a text, or NULL (None)."""

    value: float | int | str | None


@dataclass(frozen=True, eq=False)
class Name(Node):
    """A column."""

    name: str


@dataclass(frozen=True, eq=False)
class Negative(Node):
    """Minus."""

    argument: Node


@dataclass(frozen=True, eq=False)
class Arithmetic(Node):
    """``+ - * /`` of numbers, ``&`` of integers. A division by zero gives NULL."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, eq=False)
class Call(Node):
    """A function of :data:`FUNCTIONS`."""

    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, eq=False)
class Case(Node):
    """The value of the first branch whose condition is true, else the default."""

    branches: tuple[tuple[Node, Node], ...]
    default: Node


@dataclass(frozen=True, eq=False)
class Compare(Node):
    """``= <> < <= > >=``."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, eq=False)
class Like(Node):
    """A text against a pattern with ``%`` and ``_``; capitals matter."""

    argument: Node
    pattern: str


@dataclass(frozen=True, eq=False)
class IsNull(Node):
    """Whether a value is missing; the one condition that is never unknown."""

    argument: Node


@dataclass(frozen=True, eq=False)
class Not(Node):
    """The contrary; of unknown it is unknown."""

    argument: Node


@dataclass(frozen=True, eq=False)
class And(Node):
    """All of them."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, eq=False)
class Or(Node):
    """Any of them."""

    parts: tuple[Node, ...]


CONDITIONS = (Compare, Like, IsNull, Not, And, Or)
_WORDS = {"and", "or", "not", "is", "null", "between", "in", "like", "case", "when", "then", "else", "end"}
_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)|(?P<name>[A-Za-z_]\w*)|'(?P<text>(?:[^']|'')*)'"
    r"|(?P<sign><=|>=|<>|!=|==|[-+*/&(),<>=]))"
)


Made = TypeVar("Made", bound=Node)

_made: dict[tuple[Any, ...], Node] = {}


def _node(kind: type[Made], *parts: Any) -> Made:
    """A node, the one that was made before where there is one."""
    key = (kind, *((type(part), part) for part in parts))  # 1 and 1.0 are equal and not the same
    made = _made.setdefault(key, kind(*parts))
    assert isinstance(made, kind)
    return made


def children(node: Node) -> tuple[Node, ...]:
    """The nodes right below one."""
    if isinstance(node, Negative | Not | IsNull | Like):
        return (node.argument,)
    if isinstance(node, Arithmetic | Compare):
        return (node.left, node.right)
    if isinstance(node, Call):
        return node.arguments
    if isinstance(node, And | Or):
        return node.parts
    if isinstance(node, Case):
        return (*(part for branch in node.branches for part in branch), node.default)
    return ()


def walk(node: Node) -> Iterator[Node]:
    """A node and everything below it."""
    yield node
    for child in children(node):
        yield from walk(child)


def names(node: Node) -> tuple[str, ...]:
    """The columns that an expression reads, each once, in the order of their first use.

    Examples
    --------
    >>> names(parse("h_m < 11 AND (g - h_m > 3.5 OR g IS NULL)"))
    ('h_m', 'g')
    """
    return tuple(dict.fromkeys(part.name for part in walk(node) if isinstance(part, Name)))


@lru_cache(maxsize=4096)
def parse(text: str) -> Node:
    """The tree of an expression.

    Raises
    ------
    ConfigError
        When the text is no expression of this grammar; the message shows the place.

    Examples
    --------
    >>> parse("b NOT BETWEEN -10 AND 10") == parse("NOT (b >= -10 AND b <= 10)")
    True
    """
    return _Parser(text).whole()


def is_condition(node: Node) -> bool:
    """Whether a tree is a condition rather than a value."""
    return isinstance(node, CONDITIONS)


class _Parser:
    """Recursive descent, lowest precedence first: OR, AND, NOT, comparison, ``&``, sum, product, sign."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, str, int]] = []  # kind, text, place
        place = 0
        while text[place:].strip():
            match = _TOKEN.match(text, place)
            if match is None:
                self._fail("cannot be read", place)
            kind = match.lastgroup or ""
            word, start = match[kind], match.start(kind)
            if kind == "name" and word.lower() in _WORDS:
                kind, word = "word", word.lower()
            self.tokens.append((kind, word, start))
            place = match.end()
        self.tokens.append(("end", "", len(text)))
        self.at = 0

    def whole(self) -> Node:
        node = self._or()
        if self.tokens[self.at][0] != "end":
            self._fail("should have ended", self.tokens[self.at][2])
        return node

    def _fail(self, what: str, place: int) -> NoReturn:
        raise ConfigError(f"the expression {self.text!r} {what} at {self.text[place : place + 12]!r}")

    def _take(self, *words: str) -> str | None:
        kind, word, _ = self.tokens[self.at]
        if kind in ("sign", "word") and word in words:
            self.at += 1
            return word
        return None

    def _need(self, word: str) -> None:
        if self._take(word) is None:
            self._fail(f"needs {word.upper()!r}", self.tokens[self.at][2])

    def _or(self) -> Node:
        parts = [self._and()]
        while self._take("or"):
            parts.append(self._and())
        return parts[0] if len(parts) == 1 else _node(Or, tuple(map(self._condition, parts)))

    def _and(self) -> Node:
        parts = [self._not()]
        while self._take("and"):
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else _node(And, tuple(map(self._condition, parts)))

    def _not(self) -> Node:
        if self._take("not"):
            return _node(Not, self._condition(self._not()))
        return self._comparison()

    def _comparison(self) -> Node:
        left = self._bits()
        if operator := self._take("=", "==", "<>", "!=", "<", "<=", ">", ">="):
            operator = {"==": "=", "!=": "<>"}.get(operator, operator)
            return _node(Compare, operator, self._value(left), self._value(self._bits()))
        if self._take("is"):
            negated = self._take("not")
            self._need("null")
            return _node(Not, _node(IsNull, self._value(left))) if negated else _node(IsNull, self._value(left))
        negated = self._take("not")
        node: Node | None = None
        if self._take("between"):
            low = self._value(self._bits())
            self._need("and")
            node = _node(And, (_node(Compare, ">=", left, low), _node(Compare, "<=", left, self._value(self._bits()))))
        elif self._take("in"):
            self._need("(")
            items = [self._bits()]
            while self._take(","):
                items.append(self._bits())
            self._need(")")
            same = tuple(_node(Compare, "=", left, self._value(item)) for item in items)
            node = same[0] if len(same) == 1 else _node(Or, same)
        elif self._take("like"):
            pattern = self._primary()
            if not isinstance(pattern, Literal) or not isinstance(pattern.value, str):
                self._fail("needs a text after LIKE", self.tokens[self.at][2])
            else:
                node = _node(Like, self._value(left), pattern.value)
        if node is not None:
            return _node(Not, node) if negated else node
        if negated:
            self._fail("needs BETWEEN, IN or LIKE after NOT", self.tokens[self.at][2])
        return left

    def _bits(self) -> Node:
        node = self._sum()
        while self._take("&"):
            node = _node(Arithmetic, "&", self._value(node), self._value(self._sum()))
        return node

    def _sum(self) -> Node:
        node = self._product()
        while operator := self._take("+", "-"):
            node = _node(Arithmetic, operator, self._value(node), self._value(self._product()))
        return node

    def _product(self) -> Node:
        node = self._sign()
        while operator := self._take("*", "/"):
            node = _node(Arithmetic, operator, self._value(node), self._value(self._sign()))
        return node

    def _sign(self) -> Node:
        if self._take("-"):
            argument = self._value(self._sign())
            if isinstance(argument, Literal) and isinstance(argument.value, int | float):
                return _node(Literal, -argument.value)
            return _node(Negative, argument)
        self._take("+")
        return self._primary()

    def _primary(self) -> Node:
        kind, word, place = self.tokens[self.at]
        if self._take("("):
            node = self._or()
            self._need(")")
            return node
        if self._take("case"):
            branches = []
            while self._take("when"):
                condition = self._condition(self._or())
                self._need("then")
                branches.append((condition, self._value(self._bits())))
            default: Node = self._value(self._bits()) if self._take("else") else _node(Literal, None)
            self._need("end")
            if not branches:
                self._fail("needs WHEN in its CASE", place)
            return _node(Case, tuple(branches), default)
        if self._take("null"):
            return _node(Literal, None)
        self.at += 1
        if kind == "number":
            return _node(Literal, int(word) if word.isdigit() else float(word))
        if kind == "text":
            return _node(Literal, word.replace("''", "'"))
        if kind != "name":
            self._fail("is broken", place)
        if not self._take("("):
            return _node(Name, word)
        function = word.lower()
        arguments = [self._value(self._bits())]
        while self._take(","):
            arguments.append(self._value(self._bits()))
        self._need(")")
        if function not in FUNCTIONS:
            raise ConfigError(f"the expression {self.text!r} calls {word!r}; there are: {', '.join(FUNCTIONS)}")
        if len(arguments) != FUNCTIONS[function]:
            raise ConfigError(
                f"the expression {self.text!r} gives {function} {len(arguments)} arguments, and it takes "
                f"{FUNCTIONS[function]}"
            )
        return _node(Call, function, tuple(arguments))

    def _condition(self, node: Node) -> Node:
        if not is_condition(node):
            self._fail("has a value where a condition is needed", self.tokens[self.at][2])
        return node

    def _value(self, node: Node) -> Node:
        if is_condition(node):
            self._fail("has a condition where a value is needed", self.tokens[self.at][2])
        return node
