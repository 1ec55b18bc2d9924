"""From the files of the SDSS software packages to the tables used here; each function is one conversion."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from starloom.errors import DatasetError

_BIT_COLUMNS = ("label", "bit", "carton_pk", "SDSSC2BV", "program", "version", "v1", "name", "mapper", "alt_program",
                "alt_name")  # fmt: skip
_KINDS = {"bit": np.int64, "carton_pk": np.int64, "SDSSC2BV": np.int64, "v1": np.float64}


def target_bits(files: Sequence[Path], output: Path) -> None:
    """The bits of all mappings of sdss_semaphore as one table, with the number of the mapping as ``flag_version``."""
    from starloom.catalog.tables import write_table

    folders = [path for path in files if path.is_dir()]
    sheets = sorted([path for path in files if path.suffix == ".csv"] + [p for f in folders for p in f.glob("*.csv")])
    sheets = [path for path in sheets if path.name.startswith("sdss5_target_")]
    columns: dict[str, list[str]] = {name: [] for name in _BIT_COLUMNS}
    versions: list[int] = []
    for sheet in sheets:
        number = int(sheet.name.split("_")[2])
        with open(sheet, newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                if lost := [name for name in _BIT_COLUMNS if name not in row]:
                    raise DatasetError(f"{sheet.name} has no column {', '.join(lost)}")
                versions.append(number)
                for name in _BIT_COLUMNS:
                    columns[name].append(row[name])
    if not versions:
        raise DatasetError("the package holds no sdss5_target_*.csv")
    table: dict[str, Any] = {"flag_version": np.array(versions, dtype=np.int64)}
    for name, values in columns.items():
        table[name] = np.array([value or "nan" for value in values] if name == "v1" else values).astype(
            _KINDS.get(name, np.str_)
        )
    write_table(table, output)


def configuration_fibers(files: Sequence[Path], output: Path) -> None:
    """The fibers of one configuration out of its summary file."""
    from starloom.catalog.tables import write_table
    from starloom.catalog.yanny import read_yanny

    table = read_yanny(files[0]).tables["FIBERMAP"]
    columns: dict[str, Any] = {}
    for name in table.colnames:
        if name == "mag":
            columns |= {f"mag_{band}": table[name][:, place] for place, band in enumerate("ugriz")}
        else:
            columns[name] = table[name]
    write_table(columns, output)
