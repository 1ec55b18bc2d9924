"""The datasets by name. The registry is open: a plug-in or a notebook registers its own."""

from __future__ import annotations

import difflib
from pathlib import PurePath

from starloom.datasets.dataset import DataFile, Dataset
from starloom.datasets.entries import (
    apogee,
    dwarfs,
    fast_stars,
    galaxies,
    giants,
    isochrones,
    local_stars,
    metal_poor,
    sdss_targeting,
    seismology,
    star_spectra,
    stream_origins,
    streams,
)
from starloom.errors import DatasetError

_SUBJECTS = (
    apogee,
    dwarfs,
    fast_stars,
    galaxies,
    giants,
    isochrones,
    metal_poor,
    local_stars,
    sdss_targeting,
    seismology,
    star_spectra,
    stream_origins,
    streams,
)
_registered: dict[str, Dataset] = {dataset.name: dataset for subject in _SUBJECTS for dataset in subject.DATASETS}


def register(dataset: Dataset) -> None:
    """Add a dataset.

    Raises
    ------
    DatasetError
        When the name is taken by another dataset, is no plain folder name, or the files are none or not distinct.
    """
    if not dataset.files:
        raise DatasetError(f"dataset {dataset.name!r} has no file")
    for name in (dataset.name, *(file.file_name for file in dataset.files)):
        if not name or PurePath(name).name != name or name.startswith("."):
            raise DatasetError(f"dataset {dataset.name!r}: {name!r} is no plain name for a folder or file")
    for kind in ("name", "file_name"):
        if len({getattr(file, kind) for file in dataset.files}) < len(dataset.files):
            raise DatasetError(f"dataset {dataset.name!r}: two files have one {kind}")
    known = _registered.setdefault(dataset.name, dataset)
    if known != dataset:
        raise DatasetError(f"another dataset is called {dataset.name!r} already ({known.title}); choose another name")


def names() -> list[str]:
    """Names of all datasets, sorted."""
    return sorted(_registered)


def get(name: str) -> Dataset:
    """The dataset of that name.

    Raises
    ------
    DatasetError
        When there is none, with the closest known name.

    Examples
    --------
    >>> get("gd1_gaia_ps1").citation[:19]
    '2018ApJ...863L..20P'
    """
    if name not in _registered:
        raise DatasetError(f"no dataset is called {name!r}; {_suggestion(name, names())}")
    return _registered[name]


def get_file(dataset: Dataset, file: str | None = None) -> DataFile:
    """The file of a dataset with that name (or file name); the first one when ``file`` is None.

    Raises
    ------
    DatasetError
        When there is none, with the closest known name.
    """
    if file is None:
        return dataset.files[0]
    for entry in dataset.files:
        if file in (entry.name, entry.file_name):
            return entry
    hint = _suggestion(file, [entry.name for entry in dataset.files])
    raise DatasetError(f"dataset {dataset.name!r} has no file {file!r}; {hint}")


def _suggestion(name: str, known: list[str]) -> str:
    closest = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return (f"did you mean {closest[0]!r}? " if closest else "") + f"known: {', '.join(known)}"
