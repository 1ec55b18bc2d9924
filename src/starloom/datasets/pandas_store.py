"""Read the fixed-format frames that pandas writes to HDF5, with h5py alone and without unpickling anything.

A frame ``key`` is a group: ``axis0`` holds the column names in order; ``block0_items`` and ``block0_values`` (rows,
columns of one type) hold the columns themselves, and so on for ``nblocks`` blocks. Columns of Python objects are
stored as pickles; they are refused, since unpickling a file runs whatever it contains.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starloom.errors import DatasetError


def read_frame(path: str | Path, key: str) -> dict[str, NDArray[Any]]:
    """Columns of one frame, by name, in their order.

    Parameters
    ----------
    path : HDF5 file written by ``pandas.DataFrame.to_hdf`` in its fixed format.
    key : name of the frame.

    Returns
    -------
    dict
        Arrays of numbers, each of shape (rows,).

    Raises
    ------
    DatasetError
        When the file is no HDF5 file, has no such frame, or its layout is another one.
    """
    import h5py

    try:
        with h5py.File(path) as store:
            if key not in store:
                raise DatasetError(f"{path} has no frame {key!r}; it has {', '.join(sorted(store)) or 'none'}")
            return _columns(store[key], f"{path}, frame {key!r}")
    except OSError as error:
        raise DatasetError(f"{path} cannot be read as HDF5: {error}") from error


def _columns(frame: Any, label: str) -> dict[str, NDArray[Any]]:
    kind = _text(frame.attrs.get("pandas_type", b""))
    if kind != "frame":
        raise DatasetError(f"{label}: expected a fixed-format frame, found {kind or 'something else'!r}")
    found: dict[str, NDArray[Any]] = {}
    try:
        for block in range(int(frame.attrs["nblocks"])):
            items, values = frame[f"block{block}_items"], frame[f"block{block}_values"]
            if values.dtype.kind not in "biuf" or values.ndim != 2 or values.shape[1] != len(items):
                what = f"{values.dtype}, shape {values.shape}, for {len(items)} columns"
                raise DatasetError(f"{label}: block {block} ({what}) is no block of numbers; pickles are not read")
            array = np.asarray(values)
            found.update({_text(item): array[:, column].copy() for column, item in enumerate(items)})
        order = [_text(item) for item in frame["axis0"]]
        rows = len(frame["axis1"])
    except KeyError as error:
        raise DatasetError(f"{label}: a part of the frame is missing: {error}") from error
    if sorted(order) != sorted(found) or any(len(column) != rows for column in found.values()):
        raise DatasetError(f"{label}: columns and blocks do not agree; the file is damaged")
    return {name: found[name] for name in order}


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
