"""Named tables and files: what they are, where they are found, and how they are got."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starloom.datasets.access import Located, Place, Status, Verified, listing, locate, verify, where
    from starloom.datasets.access import open_table as open
    from starloom.datasets.dataset import DataFile, Dataset, Download, Packaged, RemoteFile
    from starloom.datasets.registry import get, names, register

_HOME = {
    "Located": "access",
    "Place": "access",
    "Status": "access",
    "Verified": "access",
    "listing": "access",
    "locate": "access",
    "open": "access",
    "verify": "access",
    "where": "access",
    "DataFile": "dataset",
    "Dataset": "dataset",
    "Download": "dataset",
    "Packaged": "dataset",
    "RemoteFile": "dataset",
    "get": "registry",
    "names": "registry",
    "register": "registry",
}

__all__ = [
    "DataFile",
    "Dataset",
    "Download",
    "Located",
    "Packaged",
    "Place",
    "RemoteFile",
    "Status",
    "Verified",
    "get",
    "listing",
    "locate",
    "names",
    "open",
    "register",
    "verify",
    "where",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), "open_table" if name == "open" else name)


def __dir__() -> list[str]:
    return __all__
