"""HATS catalogs (the format of lsdb): Parquet files by HEALPix pixel, with a file of properties.

A partition is ``dataset/Norder=K/Dir=D/Npix=P.parquet``, or the files in a folder ``Npix=P``, in the nested scheme of
ICRS positions; D is P rounded down to 10,000. ``_healpix_29`` holds each row's pixel of order 29.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from pathlib import Path

from starloom.errors import CatalogError

NAMES = ("hats.properties", "properties")
COLLECTION = "collection.properties"
FINEST = 29
_PLACE = re.compile(r"^Norder=(\d+)/Dir=(\d+)/Npix=(\d+)(\.parquet|/.+\.parquet)$")


@dataclass(frozen=True)
class Partition:
    """One file of a catalog: HEALPix order and nested pixel."""

    order: int
    pixel: int
    path: Path

    @property
    def first(self) -> int:
        """First pixel of order 29 in it: sorts partitions of all orders along the sky."""
        return self.pixel << (2 * (FINEST - self.order))


def is_hats(folder: str | Path) -> bool:
    """Whether a folder is a HATS catalog, or a collection of one with its margins."""
    return (Path(folder) / COLLECTION).is_file() or _properties_file(Path(folder)) is not None


def _properties_file(folder: Path) -> Path | None:
    return next((folder / name for name in NAMES if (folder / name).is_file()), None)


def properties(folder: str | Path) -> dict[str, str]:
    """What the file of properties says: lines ``key = value``; lines that begin with # are remarks.

    Raises
    ------
    CatalogError
        When there is none, or a line is not of that form.
    """
    file = _properties_file(Path(folder))
    if file is None:
        raise CatalogError(f"{folder} is no HATS catalog: it has no file {NAMES[0]!r}")
    return _read(file)


def _read(file: Path) -> dict[str, str]:
    found = {}
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise CatalogError(f"{file} is not text: {error}") from error
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text[0] in "#!":
            continue
        key, sign, value = text.partition("=")
        if not sign or not key.strip():
            raise CatalogError(f"{file}, line {number}: 'key = value' is expected, not {text[:60]!r}")
        found[key.strip()] = value.strip()
    return found


def catalog_folder(folder: str | Path) -> Path:
    """The catalog itself, where a collection of it with its margins may be given.

    Raises
    ------
    CatalogError
        When the collection names a catalog that is not in it.
    """
    root = Path(folder)
    if not (root / COLLECTION).is_file():
        return root
    name = _read(root / COLLECTION).get("hats_primary_table_url", "")
    if not name or not (root / name).resolve().is_relative_to(root.resolve()) or not (root / name).is_dir():
        raise CatalogError(f"{root / COLLECTION} names the catalog {name!r}, which is not in the folder")
    return root / name


def partitions(folder: str | Path) -> list[Partition]:
    """The partitions of a catalog in the order of the sky.

    Raises
    ------
    CatalogError
        When the folder is no HATS catalog, holds no partition, one sky pixel twice, or other rows than it says.
    """
    root = catalog_folder(folder)
    said = properties(root)
    data = root / "dataset"
    found = []
    for file in data.rglob("*.parquet"):
        match = _PLACE.match(file.relative_to(data).as_posix())
        if match is None:  # _metadata, thumbnails
            continue
        order, pixel = int(match[1]), int(match[3])
        if order > FINEST or pixel >= 12 * 4**order:
            raise CatalogError(f"{file}: order {order} has no HEALPix pixel {pixel}")
        found.append(Partition(order, pixel, file))
    if not found:
        raise CatalogError(f"{root} is a HATS catalog without partitions below {data}")
    found.sort(key=lambda part: (part.first, part.order, part.path))
    for before, after in itertools.pairwise(found):
        same = (before.order, before.pixel) == (after.order, after.pixel)
        end = before.first + (1 << (2 * (FINEST - before.order)))
        if after.first < end and not same:
            raise CatalogError(f"{root}: the partitions {before.path.name} and {after.path.name} cover the same sky")
    if (count := said.get("hats_nrows")) is not None:
        import pyarrow.parquet as pq

        rows = sum(pq.read_metadata(part.path).num_rows for part in found)
        if not count.isdigit() or int(count) != rows:
            raise CatalogError(f"{root}: its properties say {count} rows, and its partitions have {rows}; get it again")
    return found
