"""Many images: a folder, a catalog of files, pictures inside a table, arrays; read as they are needed, in threads."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starloom.errors import CatalogError
from starloom.galaxies.images import SUFFIXES, ImageForm, Pixels, read_image

FILE_COLUMNS = ("file_loc", "file", "path", "image_path", "filename", "file_name", "image", "jpeg", "png")
ID_COLUMNS = ("id_str", "galaxy_id", "id", "iauname", "dr7objid", "objid", "subject_id", "source_id", "asset_id")
REASON_LENGTH = 160


@dataclass(frozen=True)
class ImageSource:
    """Images by number, with their ids.

    Parameters
    ----------
    items : paths, bytes of pictures, or arrays; one an image.
    ids : integers or text, one an image.
    table : the rows of the catalog they come from, or None.
    """

    items: Any
    ids: NDArray[Any]
    table: Any = None

    def __len__(self) -> int:
        return len(self.items)

    def subset(self, rows: NDArray[Any]) -> ImageSource:
        """The images of these rows, by number or mask."""
        places = np.flatnonzero(rows) if np.asarray(rows).dtype == bool else np.asarray(rows)
        items = self.items[places] if isinstance(self.items, np.ndarray) else [self.items[place] for place in places]
        return ImageSource(items, self.ids[places], None if self.table is None else self.table[places])

    def read(self, rows: Sequence[int] | NDArray[Any], form: ImageForm) -> tuple[Pixels, list[str], list[str]]:
        """Images of some rows.

        Returns
        -------
        pixels : (rows, channels, size, size); zeros where an image cannot be used.
        reasons : why it cannot, empty where it can.
        remarks : what had to be done to it.
        """
        pixels = np.zeros((len(rows), form.channels, form.size, form.size), dtype=np.float32)
        reasons, remarks = [""] * len(rows), [""] * len(rows)
        for place, row in enumerate([int(one) for one in rows]):
            try:
                pixels[place], remarks[place] = read_image(self.items[row], form)
            except CatalogError as error:
                reasons[place] = str(error)[:REASON_LENGTH]
        return pixels, reasons, remarks

    def read_all(
        self, form: ImageForm, *, workers: int | None = None, label: str = "images"
    ) -> tuple[NDArray[np.float16], NDArray[np.str_], NDArray[np.str_]]:
        """All images at once, as float16 (half a level of 10 bits), in threads.

        Returns
        -------
        pixels, reasons, remarks : as :meth:`read` gives them.
        """
        from starloom import progress

        pixels = np.zeros((len(self), form.channels, form.size, form.size), dtype=np.float16)
        reasons = np.zeros(len(self), dtype=f"U{REASON_LENGTH}")
        remarks = np.zeros(len(self), dtype="U80")
        with progress.bar(label, len(self), "images") as advance:
            for rows, found in self.batches(form, 64, workers=workers):
                pixels[rows], reasons[rows], remarks[rows] = found
                advance(len(rows))
        return pixels, reasons, remarks

    def batches(
        self, form: ImageForm, size: int, *, workers: int | None = None, first: int = 0
    ) -> Iterator[tuple[NDArray[np.int64], tuple[Pixels, list[str], list[str]]]]:
        """Images in order, so many at a time, a few batches read ahead; memory does not grow with their number."""
        count = max(1, workers or usable_cores())
        parts = [np.arange(start, min(start + size, len(self))) for start in range(first, len(self), size)]
        with ThreadPoolExecutor(count) as pool:
            waiting = [pool.submit(self.read, rows, form) for rows in parts[: count + 1]]
            for place, rows in enumerate(parts):
                found = waiting.pop(0).result()
                if place + count + 1 < len(parts):
                    waiting.append(pool.submit(self.read, parts[place + count + 1], form))
                yield rows, found


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def image_source(
    given: Any, *, images: str | None = None, ids: str | None = None, root: str | Path | None = None
) -> ImageSource:
    """Images of whatever is given.

    Parameters
    ----------
    given : a folder (all pictures below it, in order of their paths); a table or the path of one, with a column of
        files or of pictures; an array (n, channels, height, width) or (n, height, width[, channels]); a list of paths,
        bytes or arrays; or an ``ImageSource``.
    images : column of the table that holds files, or bytes of pictures; by default the first of ``FILE_COLUMNS``.
    ids : column of the table with ids; by default the first of ``ID_COLUMNS``, else the numbers of the rows.
    root : folder that relative paths begin at; by default the table's own.

    Raises
    ------
    CatalogError
        When there is no image, no such column, or an id is there twice.
    """
    if isinstance(given, ImageSource):
        return given
    if isinstance(given, (str, Path)) and Path(given).is_dir():
        return _folder(Path(given).absolute())
    if isinstance(given, np.ndarray) and given.dtype != object:
        if given.ndim not in (3, 4) or len(given) == 0:
            raise CatalogError(f"an array of images is (n, channels, height, width), not {given.shape}")
        return ImageSource(given, np.arange(len(given)))
    if isinstance(given, (list, tuple)) or (isinstance(given, np.ndarray) and given.dtype == object):
        if len(given) == 0:
            raise CatalogError("there are no images")
        return ImageSource(list(given), np.arange(len(given)))
    return _catalog(given, images, ids, root)


def _folder(folder: Path) -> ImageSource:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name.lower().endswith(SUFFIXES))
    if not files:
        raise CatalogError(f"{folder} holds no images ({', '.join(SUFFIXES)})")
    from astropy.table import QTable

    names = [path.relative_to(folder).as_posix() for path in files]
    short = [stem(name) for name in names]
    ids = np.array(short if len(set(short)) == len(short) else names)
    return ImageSource(files, ids, QTable({"id_str": ids, "file_loc": np.array(names)}))


def stem(name: str) -> str:
    """The path without the suffix of an image."""
    lowered = name.lower()
    return next((name[: -len(suffix)] for suffix in sorted(SUFFIXES, key=len)[::-1] if lowered.endswith(suffix)), name)


def _catalog(given: Any, images: str | None, ids: str | None, root: str | Path | None) -> ImageSource:
    label = str(given) if isinstance(given, (str, Path)) else "the table"
    table, pictures = _read_catalog(given)
    if len(table) == 0:
        raise CatalogError(f"{label} has no rows")
    there = [*table.colnames, *pictures]
    column = _column(there, images, (*FILE_COLUMNS, *pictures), label, "the images")
    if column is None:
        raise CatalogError(f"{label} has no column of images; looked for {', '.join(FILE_COLUMNS)}; name it")
    beside = Path(given).parent if isinstance(given, (str, Path)) else Path()
    folder = (Path(root) if root is not None else beside).absolute()  # workers of a cluster may be elsewhere
    id_column = _column(table.colnames, ids, ID_COLUMNS, label, "ids")
    names = np.arange(len(table)) if id_column is None else np.ma.getdata(np.ma.asarray(table[id_column]))
    if len(np.unique(names)) < len(names):
        kept, counts = np.unique(names, return_counts=True)
        raise CatalogError(f"{label}: {id_column} {kept[counts > 1][0]} is there more than once; keep one row of each")
    items = pictures[column] if column in pictures else [_item(value, folder) for value in table[column]]
    return ImageSource([b"" if item is None else item for item in items], np.asarray(names), table)


def _read_catalog(given: Any) -> tuple[Any, dict[str, list[Any]]]:
    """A table, and columns of pictures (bytes), which tables of Starloom do not hold."""
    import pyarrow as pa
    from pyarrow import parquet

    from starloom.catalog.tables import read_table

    if not isinstance(given, (str, Path)) or not str(given).lower().endswith((".parquet", ".pq")):
        return read_table(given), {}
    try:
        fields = parquet.read_schema(given)
    except (OSError, pa.ArrowException):
        return read_table(given), {}  # which says what is wrong with the file
    binary = [field.name for field in fields if pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type)]
    others = [field.name for field in fields if field.name not in binary]
    if not binary or not others:
        return read_table(given), {}
    found = parquet.read_table(given, columns=binary)
    return read_table(given, columns=others), {name: found[name].to_pylist() for name in binary}


def _item(value: Any, folder: Path) -> Any:
    if isinstance(value, (bytes, np.ndarray)):
        return value
    if value is np.ma.masked or value is None or not str(value).strip():
        return folder / "(no file named)"
    return folder / str(value).strip()


def _column(names: Sequence[str], asked: str | None, usual: Sequence[str], label: str, what: str) -> str | None:
    if asked is None:
        return next((name for name in usual if name in names), None)
    if asked not in names:
        raise CatalogError(f"{label} has no column {asked!r} for {what}; it has {', '.join(names[:20])}")
    return asked
