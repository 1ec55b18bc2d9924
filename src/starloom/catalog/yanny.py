"""Read the SDSS parameter files called yanny (``.par``): keywords, then tables of named structures."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from starloom.errors import CatalogError

if TYPE_CHECKING:
    from astropy.table import QTable

_STRUCT = re.compile(r"typedef\s+struct\s*\{(?P<body>[^}]*)\}\s*(?P<name>\w+)\s*;", re.IGNORECASE)
_ENUM = re.compile(r"typedef\s+enum\s*\{[^}]*\}\s*(?P<name>\w+)\s*;", re.IGNORECASE)
_MEMBER = re.compile(r"(?P<kind>\w+)\s+(?P<name>\w+)(?P<size>(?:\[\d*\])*)\s*;")
_FIELD = re.compile(r"\{([^}]*)\}|\"([^\"]*)\"|([^\s\"{}]+)")
_KINDS = {"short": np.int64, "int": np.int64, "long": np.int64, "float": np.float64, "double": np.float64}


@dataclass
class Yanny:
    """What a parameter file holds: keywords as text, and tables by the name of their structure."""

    keywords: dict[str, str]
    tables: dict[str, QTable]


def read_yanny(path: str | Path) -> Yanny:
    """Read a parameter file.

    Parameters
    ----------
    path : the file.

    Returns
    -------
    Yanny
        Integers are int64, so that a catalogid keeps its digits; an array member gives a column of shape (n, length).

    Raises
    ------
    CatalogError
        When the file cannot be read or a row does not fit its structure; the message names the line.
    """
    from astropy.table import QTable

    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogError(f"{path} cannot be read as a parameter file: {error}") from error
    structures = {match["name"].upper(): _members(match["body"]) for match in _STRUCT.finditer(text)}
    plain = _ENUM.sub(lambda match: "\n" * match[0].count("\n"), text)
    plain = _STRUCT.sub(lambda match: "\n" * match[0].count("\n"), plain)
    keywords: dict[str, str] = {}
    rows: dict[str, list[list[str]]] = {name: [] for name in structures}
    for number, line in enumerate(plain.splitlines(), start=1):
        words = line.split(None, 1)
        if not words or words[0].startswith("#"):
            continue
        name = words[0].upper()
        if name not in structures:
            keywords[words[0]] = words[1].strip() if len(words) > 1 else ""
            continue
        fields = [a or b or c for a, b, c in _FIELD.findall(words[1])] if len(words) > 1 else []
        if len(fields) != len(structures[name]):
            raise CatalogError(f"{path}, line {number}: {len(fields)} values where {name} has {len(structures[name])}")
        rows[name].append(fields)
    tables = {}
    for name, members in structures.items():
        columns: dict[str, Any] = {}
        for place, (member, kind, array) in enumerate(members):
            values: list[Any] = [row[place] for row in rows[name]]
            if array:
                values = [value.split() for value in values]
            try:
                columns[member] = np.array(values, dtype=_KINDS.get(kind, np.str_))
            except ValueError as error:
                raise CatalogError(f"{path}: column {member} of {name}: {error}") from error
        tables[name] = QTable(columns)
    if not tables and not keywords:
        raise CatalogError(f"{path} holds no keyword and no table")
    return Yanny(keywords, tables)


def _members(body: str) -> list[tuple[str, str, bool]]:
    """Name, kind and whether it is an array; the size of a text is no array."""
    found = []
    for match in _MEMBER.finditer(body):
        kind = match["kind"].lower()
        found.append((match["name"], kind, match["size"].count("[") > (1 if kind == "char" else 0)))
    return found
