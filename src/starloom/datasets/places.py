"""Where files may already be: the data folders, an installed package, the cache."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path

from starloom.datasets.dataset import Packaged

DATA_VARIABLE = "STARLOOM_DATA"
CACHE_VARIABLE = "STARLOOM_CACHE"


def data_folders() -> list[Path]:
    """The folders that STARLOOM_DATA names, in order; each holds one folder a dataset."""
    return [Path(part).expanduser() for part in os.environ.get(DATA_VARIABLE, "").split(os.pathsep) if part.strip()]


def cache_folder() -> Path:
    """The folder that keeps what was downloaded: STARLOOM_CACHE, or ``starloom`` in the user's cache folder.

    It is outside the virtual environment, so that a new environment finds what an old one got.
    """
    if chosen := os.environ.get(CACHE_VARIABLE, "").strip():
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME", "")
    # the XDG rules say that a relative path is to be ignored
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "starloom"


def installed(source: Packaged) -> list[Path]:
    """The files that an installed package has of a source; none when it is absent or of another version.

    The package is not imported: only what its installer wrote down is read.
    """
    try:
        distribution = metadata.distribution(source.package)
    except metadata.PackageNotFoundError:
        return []
    if distribution.version != source.version:
        return []
    path = Path(str(distribution.locate_file(source.member)))
    if source.member.endswith("/"):
        return sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else []
    return [path] if path.is_file() else []
