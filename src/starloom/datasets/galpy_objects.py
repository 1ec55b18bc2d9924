"""galpy's list of named objects (JSON) as a table."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from starloom.errors import DatasetError

NUMBERS = ("ra", "dec", "distance", "pmra", "pmdec", "vlos", "pmcorr", "distance_e", "vlos_e", "pmra_e", "pmdec_e")


def named_objects(files: Sequence[Path], output: Path) -> None:
    """One row an object with a position: name, collection ("cluster" or ""), position, errors, source."""
    from starloom.catalog.tables import write_table

    try:
        content = json.loads(Path(files[0]).read_text(encoding="utf-8"))
        clusters = set(content["_collections"]["MWglobularclusters"])
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{files[0]} is not galpy's list of named objects: {error}") from error
    objects = {name: entry for name, entry in content.items() if not name.startswith("_") and isinstance(entry, dict)}
    rows = {name: entry for name, entry in objects.items() if "ra" in entry}
    if not rows:
        raise DatasetError(f"{files[0]} holds no object with a position")
    columns: dict[str, object] = {
        "name": np.array(list(rows)),
        "collection": np.array(["cluster" if name in clusters else "" for name in rows]),
        "source": np.array([str(entry.get("source", "")) for entry in rows.values()]),
    }
    for name in NUMBERS:
        values = [entry.get(name) for entry in rows.values()]
        columns[name] = np.array([math.nan if value is None else float(value) for value in values])
    write_table(columns, output)
