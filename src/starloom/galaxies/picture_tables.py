"""Pictures that lie as bytes in a column of a table, decoded to one array.

This is how picture sets are passed around as one file (Parquet with a column of JPEG or PNG). Folders and catalogs of
files are read elsewhere.
"""

from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starloom.errors import CatalogError, ConfigError, MissingColumnError


@dataclass(frozen=True)
class PictureTable:
    """Decoded pictures and the other columns of their table.

    Parameters
    ----------
    pictures : (n, size, size, 3), uint8; black where a picture could not be decoded.
    columns : the other columns, by name.
    reasons : (n,) empty, or why the picture could not be used.
    """

    pictures: NDArray[np.uint8]
    columns: dict[str, NDArray[Any]]
    reasons: NDArray[np.str_]


def decode(content: bytes | None, size: int, crop: float = 1.0) -> NDArray[np.uint8]:
    """One picture as an array (size, size, 3): its middle cut out, then made smaller by averaging.

    Raises
    ------
    CatalogError
        When the bytes are no picture.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content or b"")) as opened:
            picture = opened.convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise CatalogError(f"not a picture: {' '.join(str(error).split())[:80]}") from error
    side = crop * min(picture.size)
    left, top = (0.5 * (length - side) for length in picture.size)
    box = (left, top, left + side, top + side)
    return np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR, box=box))


def read_pictures(
    path: str | Path, column: str, size: int, *, crop: float = 1.0, threads: int | None = None
) -> PictureTable:
    """Read a Parquet file with a column of encoded pictures.

    Parameters
    ----------
    path, column : the file and its column of JPEG or PNG bytes.
    size : pixels across that come out.
    crop : share of the shorter side that is kept, about the middle.
    threads : that decode; all cores by default.

    Raises
    ------
    CatalogError
        When the file cannot be read or is empty.
    MissingColumnError
        When it lacks the column.
    ConfigError
        For a size or crop out of range.
    """
    import pyarrow as pa
    import pyarrow.parquet as parquet

    if size < 1 or not 0.0 < crop <= 1.0:
        raise ConfigError(f"a picture needs pixels and a crop in (0, 1]: size {size}, crop {crop}")
    try:
        table = parquet.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise CatalogError(f"{path} cannot be read as Parquet: {error}") from error
    if column not in table.column_names:
        raise MissingColumnError(f"{path} lacks the column {column!r}; it has {', '.join(table.column_names)}")
    if not pa.types.is_binary(table.schema.field(column).type) and not pa.types.is_large_binary(
        table.schema.field(column).type
    ):
        raise CatalogError(f"{path}: column {column!r} holds {table.schema.field(column).type}, not bytes of pictures")
    if table.num_rows == 0:
        raise CatalogError(f"{path} has no rows")
    contents = table[column].to_pylist()
    pictures = np.zeros((len(contents), size, size, 3), dtype=np.uint8)
    reasons = np.zeros(len(contents), dtype="U96")

    def work(row: int) -> None:
        try:
            pictures[row] = decode(contents[row], size, crop)
        except CatalogError as error:
            reasons[row] = str(error)

    with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
        list(pool.map(work, range(len(contents))))
    columns = {name: table[name].to_numpy() for name in table.column_names if name != column}
    return PictureTable(pictures, columns, reasons)
