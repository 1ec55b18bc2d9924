"""From published files to what the seismic ages read; each function is one conversion, applied once."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from starloom.errors import DatasetError


def power_spectrum(files: Sequence[Path], output: Path) -> None:
    """A text file of two columns, frequency (muHz) and power, as a table."""
    from starloom.catalog.tables import write_table

    try:
        columns = np.loadtxt(files[0], ndmin=2)
    except ValueError as error:
        raise DatasetError(f"{files[0]}: two columns of numbers expected: {error}") from error
    if columns.shape[1] != 2 or len(columns) == 0:
        raise DatasetError(f"{files[0]}: two columns of numbers expected, got the shape {columns.shape}")
    write_table({"frequency_uHz": columns[:, 0], "power": columns[:, 1]}, output)


def compressed(files: Sequence[Path], output: Path) -> None:
    """The same file, gzipped; the same bytes every time."""
    from starloom.files import write_bytes

    write_bytes(output, gzip.compress(files[0].read_bytes(), mtime=0))
