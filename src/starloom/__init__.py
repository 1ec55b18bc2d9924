"""Starloom weaves survey catalogs into the history of the Milky Way and of galaxies.

The names below are handed on when they are first used; importing the package loads none of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starloom import (
        catalog,
        datasets,
        dependence,
        disk,
        dynamics,
        galactic_center,
        galaxies,
        halo,
        sdss,
        selection,
        simulation,
        spectra,
        stars,
        stellar,
        streams,
    )
    from starloom.catalog.description import describe
    from starloom.catalog.tables import read_table, write_table

__version__ = "0.1.0"

__all__ = [
    "catalog",
    "datasets",
    "dependence",
    "describe",
    "disk",
    "dynamics",
    "galactic_center",
    "galaxies",
    "halo",
    "read_table",
    "sdss",
    "selection",
    "simulation",
    "spectra",
    "stars",
    "stellar",
    "streams",
    "write_table",
]

_NAMES = {
    "describe": "starloom.catalog.description",
    "read_table": "starloom.catalog.tables",
    "write_table": "starloom.catalog.tables",
}


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(import_module(_NAMES[name]), name)
    if name in __all__:
        return import_module(f"starloom.{name}")
    raise AttributeError(f"module 'starloom' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
