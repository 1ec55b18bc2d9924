"""Evaluate expressions over the columns of a table, block by block, with the missing values of SQL.

Two functions follow a condition down its tree, one for the rows where it is true and one for those where it is false;
what neither claims is unknown. Numbers are float64 with NaN for NULL, so that a comparison with a missing value is
false by itself and no mask is carried along. Only ``&`` and texts keep their own kind.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
from starloom.errors import CatalogError, MissingColumnError

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Raw:
    """A column as it is in the table: values of any kind, and where they are missing (None: nowhere, or NaN)."""

    values: NDArray[Any]
    missing: Mask | None = None

    def rows(self, rows: slice | NDArray[np.int64]) -> Raw:
        """Some of its rows."""
        return Raw(self.values[rows], None if self.missing is None else self.missing[rows])


@dataclass
class Block:
    """Some rows of a table, and what was computed of them already: a value is computed once, whoever asks for it."""

    columns: Mapping[str, Raw]
    rows: slice | NDArray[np.int64]
    size: int
    parent: Block | None = None
    _raw: dict[str, Raw] = field(default_factory=dict)
    _numbers: dict[Node, Floats] = field(default_factory=dict)
    _true: dict[Node, Mask] = field(default_factory=dict)

    def subset(self, inside: NDArray[np.int64]) -> Block:
        """The rows of this block at some places, sharing what was read."""
        return Block(self.columns, inside, len(inside), parent=self)

    def raw(self, name: str) -> Raw:
        """A column's rows of this block."""
        if name not in self._raw:
            if name not in self.columns:
                raise MissingColumnError(f"the column '{name}' is needed and was not given")
            source = self.columns[name] if self.parent is None else self.parent.raw(name)
            self._raw[name] = source.rows(self.rows)
        return self._raw[name]

    def numbers(self, node: Node) -> Floats:
        """Values of an expression as float64, NaN for NULL, shape (size,) or () for a constant."""
        if isinstance(node, Literal):
            return _constant(node)
        if node not in self._numbers:
            if self.parent is not None and node in self.parent._numbers:
                known = self.parent._numbers[node]
                self._numbers[node] = known[self.rows] if known.ndim else known
            else:
                with np.errstate(all="ignore"):
                    self._numbers[node] = self._compute(node)
        return self._numbers[node]

    def _compute(self, node: Node) -> Floats:
        if isinstance(node, Name):
            return _floats(self.raw(node.name), node.name)
        if isinstance(node, Negative):
            return np.negative(self.numbers(node.argument))
        if isinstance(node, Arithmetic):
            if node.operator == "&":
                bits, missing = self._bits(node)
                return np.where(missing, np.nan, bits.astype(np.float64))
            left, right = self.numbers(node.left), self.numbers(node.right)
            if node.operator == "/":
                quotient = np.divide(left, right)
                quotient[np.broadcast_to(right == 0.0, quotient.shape)] = np.nan
                return quotient
            return np.asarray(_ARITHMETIC[node.operator](left, right))
        if isinstance(node, Case):
            result = np.broadcast_to(self.numbers(node.default), (self.size,)).copy()
            open_ = np.ones(self.size, dtype=bool)
            for condition, value in node.branches:
                here = open_ & self.true(condition)
                result[here] = np.broadcast_to(self.numbers(value), (self.size,))[here]
                open_ &= ~here
            return result
        if isinstance(node, Call):
            if node.function in ("substr", "trim"):
                text = self.text(node)
                try:
                    numbers = np.where(text.values == "", "nan", text.values).astype(np.float64)
                except ValueError as error:
                    raise CatalogError(f"a text is used as a number: {error}") from error
                return numbers if text.missing is None else np.where(text.missing, np.nan, numbers)
            return np.asarray(_CALLS[node.function](*(self.numbers(part) for part in node.arguments)))
        raise CatalogError("a condition is used as a value")

    def _bits(self, node: Arithmetic) -> tuple[NDArray[np.int64], Mask]:
        values, missing = np.int64(-1) * np.ones(1, dtype=np.int64), np.zeros(1, dtype=bool)
        for part in (node.left, node.right):
            if isinstance(part, Name) and self.raw(part.name).values.dtype.kind in "iu":
                raw = self.raw(part.name)
                here = raw.values.astype(np.int64)
                gone = np.zeros(self.size, dtype=bool) if raw.missing is None else raw.missing
            elif isinstance(part, Literal) and isinstance(part.value, int):
                here, gone = np.array([part.value], dtype=np.int64), np.zeros(1, dtype=bool)
            else:
                numbers = np.atleast_1d(self.numbers(part))
                gone = np.isnan(numbers)
                here = np.where(gone, 0, numbers).astype(np.int64)
            values, missing = values & here, missing | gone
        return np.broadcast_to(values, (self.size,)), np.broadcast_to(missing, (self.size,))

    def is_text(self, node: Node) -> bool:
        """Whether an expression gives text."""
        if isinstance(node, Literal):
            return isinstance(node.value, str)
        if isinstance(node, Name):
            return self.raw(node.name).values.dtype.kind in "UO"
        return isinstance(node, Call) and node.function in ("substr", "trim")

    def text(self, node: Node) -> Raw:
        """Values of an expression as text."""
        if isinstance(node, Literal):
            if not isinstance(node.value, str):
                raise CatalogError(f"a text is compared with {node.value!r}")
            return Raw(np.array([node.value]))
        if isinstance(node, Name):
            raw = self.raw(node.name)
            if raw.values.dtype.kind == "O":
                raise CatalogError(f"column '{node.name}' holds objects, not text")
            if raw.values.dtype.kind != "U":
                raise CatalogError(f"column '{node.name}' holds numbers, and is used as text")
            return raw
        if isinstance(node, Call) and node.function == "trim":
            inner = self.text(node.arguments[0])
            return Raw(np.char.strip(inner.values, " "), inner.missing)
        if isinstance(node, Call) and node.function == "substr":
            inner = self.text(node.arguments[0])
            start, length = (int(self.numbers(part)) for part in node.arguments[1:])
            return Raw(_part(inner.values, start - 1, length), inner.missing)
        raise CatalogError("a number is used as text")

    def true(self, node: Node) -> Mask:
        """Where a condition is true."""
        if node not in self._true:
            self._true[node] = self._truth(node, True)
        return self._true[node]

    def false(self, node: Node) -> Mask:
        """Where a condition is false; where it is neither, it is unknown."""
        return self._truth(node, False)

    def _truth(self, node: Node, wanted: bool) -> Mask:
        if isinstance(node, Not):
            return self.false(node.argument) if wanted else self.true(node.argument)
        if isinstance(node, And | Or):
            parts = [self.true(part) if wanted else self.false(part) for part in node.parts]
            together = np.logical_and if isinstance(node, And) == wanted else np.logical_or
            result = together(parts[0], parts[1])
            for part in parts[2:]:
                together(result, part, out=result)
            return np.asarray(result)
        if isinstance(node, IsNull):
            missing = self._missing(node.argument)
            return missing if wanted else ~missing
        if isinstance(node, Like):
            text = self.text(node.argument)
            known, place = np.unique(text.values, return_inverse=True)
            pattern = re.compile(
                "".join({"%": ".*", "_": "."}.get(letter, re.escape(letter)) for letter in node.pattern), re.DOTALL
            )
            matches = np.array([pattern.fullmatch(word) is not None for word in known.tolist()], dtype=bool)[place]
            return self._present((matches == wanted), text)
        if isinstance(node, Compare):
            operator = node.operator if wanted else _CONTRARY[node.operator]
            if self.is_text(node.left) or self.is_text(node.right):
                left, right = self.text(node.left), self.text(node.right)
                return self._present(np.asarray(_COMPARE[operator](left.values, right.values)), left, right)
            a, b = self.numbers(node.left), self.numbers(node.right)
            result = np.asarray(_COMPARE[operator](a, b))
            if operator == "<>":  # the one comparison that NaN passes
                result = result & ~np.isnan(a) & ~np.isnan(b)
            return np.broadcast_to(result, (self.size,))
        raise CatalogError("a value is used as a condition")

    def _present(self, mask: Mask, *columns: Raw) -> Mask:
        for column in columns:
            if column.missing is not None:
                mask = mask & ~column.missing
        return np.broadcast_to(mask, (self.size,))

    def _missing(self, node: Node) -> Mask:
        if self.is_text(node):
            missing = self.text(node).missing
        elif isinstance(node, Name) and (raw := self.raw(node.name)).values.dtype.kind != "f":
            missing = raw.missing
        else:
            missing = np.isnan(self.numbers(node))
        return np.zeros(self.size, dtype=bool) if missing is None else np.broadcast_to(missing, (self.size,))


def _constant(node: Literal) -> Floats:
    if isinstance(node.value, str):
        raise CatalogError(f"the text {node.value!r} is used as a number")
    return np.asarray(np.nan if node.value is None else float(node.value))


def _floats(raw: Raw, name: str) -> Floats:
    if raw.values.dtype.kind not in "fiub":
        raise CatalogError(f"column '{name}' holds text, and numbers are needed")
    numbers = raw.values.astype(np.float64, copy=False)
    if raw.missing is not None:
        numbers = np.where(raw.missing, np.nan, numbers)
    if not numbers.dtype.isnative:
        numbers = numbers.astype(np.float64)
    if (infinite := np.isinf(numbers)).any():  # no measurement is infinite
        numbers = np.where(infinite, np.nan, numbers)
    return numbers


def _part(values: NDArray[Any], start: int, length: int) -> NDArray[Any]:
    width = values.dtype.itemsize // 4
    if start < 0 or length < 1 or start >= width:
        return np.full(values.shape, "", dtype="U1")
    letters = np.ascontiguousarray(values).view("U1").reshape(len(values), width)[:, start : start + length]
    return np.ascontiguousarray(letters).view(f"U{letters.shape[1]}").ravel()


def _log10(x: Floats) -> Floats:
    return np.log10(np.where(x > 0, x, np.nan))


def _power(x: Floats, y: Floats) -> Floats:
    value: Floats = np.power(x, y)
    return np.where(np.isnan(x) | np.isnan(y), np.nan, value)  # 1^NULL is NULL


def _first(x: Floats, y: Floats) -> Floats:
    return np.asarray(np.where(np.isnan(x), y, x))


def _pair(choose: Callable[..., Any]) -> Callable[[Floats, Floats], Floats]:
    return lambda x, y: np.asarray(choose(x, y))


_ARITHMETIC: dict[str, Callable[..., Any]] = {"+": np.add, "-": np.subtract, "*": np.multiply}
_COMPARE: dict[str, Callable[..., Any]] = {
    "=": np.equal,
    "<>": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
_CONTRARY = {"=": "<>", "<>": "=", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_CALLS: dict[str, Callable[..., Floats]] = {
    "abs": np.abs,
    "ceil": np.ceil,
    "coalesce": lambda x, y: _first(x, y),
    "cos": np.cos,
    "floor": np.floor,
    "log10": _log10,
    "max": _pair(np.maximum),
    "min": _pair(np.minimum),
    "pow": _power,
    "radians": np.radians,
    "round": np.rint,
    "sin": np.sin,
    "sqrt": np.sqrt,
}
