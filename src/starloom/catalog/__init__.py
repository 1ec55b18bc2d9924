"""Tables of stars and galaxies: schema, surveys, reading and writing, quality cuts, matching, partitions."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starloom.catalog.description import describe
    from starloom.catalog.matching import match_sky, propagate_epoch
    from starloom.catalog.partitions import iterate, map_partitions
    from starloom.catalog.quality import Cut, apply_cuts, reasons
    from starloom.catalog.schema import Column, Schema, plain
    from starloom.catalog.surveys import SURVEYS, Survey, identify
    from starloom.catalog.tables import read_table, write_table

_PLACES = {
    "description": ("describe",),
    "matching": ("match_sky", "propagate_epoch"),
    "partitions": ("iterate", "map_partitions"),
    "quality": ("Cut", "apply_cuts", "reasons"),
    "schema": ("Column", "Schema", "plain"),
    "surveys": ("SURVEYS", "Survey", "identify"),
    "tables": ("read_table", "write_table"),
}
_MODULE_OF = {name: module for module, names in _PLACES.items() for name in names}

__all__ = [
    "SURVEYS",
    "Column",
    "Cut",
    "Schema",
    "Survey",
    "apply_cuts",
    "describe",
    "identify",
    "iterate",
    "map_partitions",
    "match_sky",
    "plain",
    "propagate_epoch",
    "read_table",
    "reasons",
    "write_table",
]


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(f"starloom.catalog.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module 'starloom.catalog' has no attribute {name!r}")
