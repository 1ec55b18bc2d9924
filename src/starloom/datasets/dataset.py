"""What a dataset is: its files, where each may come from, its licence and citation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Converter = Callable[[Sequence[Path], Path], None]
"""Makes the table (second argument) out of the files that a source gives (first argument)."""


@dataclass(frozen=True)
class Packaged:
    """A file inside a package of the Python package registry: a wheel, or the source archive where there is no wheel.

    Parameters
    ----------
    package, version : name and version of the package.
    sha256 : SHA-256 of the archive.
    size : size of the archive, bytes.
    member : path of the file inside the archive, which is also its path beside other installed packages. A path that
        ends with ``/`` means all files of that folder.
    wheel : True for a wheel, False for a source archive.
    convert : makes the table out of the files; None when the one file is kept as it is. The cache knows a conversion
        by the function's name: one that gives something else than before needs another name.
    """

    package: str
    version: str
    sha256: str
    size: int
    member: str
    wheel: bool = True
    convert: Converter | None = None

    @property
    def origin(self) -> str:
        """Package, version and file, for people to read."""
        return f"{self.member} of the Python package {self.package} {self.version}"

    @property
    def key(self) -> str:
        """What the cache compares to know that a file came from here."""
        return " ".join([self.package, self.version, self.sha256, self.member, _name(self.convert)])


@dataclass(frozen=True)
class RemoteFile:
    """One file at a fixed address.

    Parameters
    ----------
    url : address, of a fixed version.
    sha256 : SHA-256 of the file.
    size : size of the file, bytes.
    """

    url: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Download:
    """Files at fixed addresses.

    Parameters
    ----------
    files : the files, in the order in which ``convert`` takes them.
    convert : makes the table out of the files; None when the one file is kept as it is.
    """

    files: tuple[RemoteFile, ...]
    convert: Converter | None = None

    @property
    def size(self) -> int:
        """What is downloaded in all, bytes."""
        return sum(file.size for file in self.files)

    @property
    def origin(self) -> str:
        """The addresses, for people to read."""
        return ", ".join(file.url for file in self.files)

    @property
    def key(self) -> str:
        """What the cache compares to know that a file came from here."""
        return " ".join([*(file.sha256 for file in self.files), _name(self.convert)])


Source = Packaged | Download


def _name(convert: Converter | None) -> str:
    return "as it is" if convert is None else f"{convert.__module__}.{convert.__qualname__}"


@dataclass(frozen=True)
class DataFile:
    """One file of a dataset.

    Parameters
    ----------
    name : how it is asked for.
    file_name : its name in a data folder and in the cache.
    meaning : one sentence.
    sources : where it can be got, in the order in which they are tried.
    sha256 : SHA-256 of the file where there is only one right content; empty for a table that can be written in
        several ways.
    units : unit of each column that has one; given to columns that carry none.
    """

    name: str
    file_name: str
    meaning: str
    sources: tuple[Source, ...] = ()
    sha256: str = ""
    units: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """A named dataset.

    Parameters
    ----------
    name : how it is asked for; also the name of its folder in data folders and in the cache.
    title : one line.
    papers : numbers of the papers of the plan that use it.
    files : its files; the first one is meant when none is named.
    license : the licence, or what is known about it.
    citation : what to cite: a bibcode, a space, and who and what in words.
    notes : what a user should know before trusting it.
    """

    name: str
    title: str
    papers: tuple[int, ...]
    files: tuple[DataFile, ...]
    license: str
    citation: str
    notes: str = ""
