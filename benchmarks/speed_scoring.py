"""Streams: the memory and the time that the scoring of a table takes."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from astropy.table import QTable
from speed_streams import field, fit

from starloom import progress
from starloom.catalog.tables import write_table

SCORED = (100_000, 1_000_000)
FLAT = 0.05  # kB a star: less than the columns of the result


def section() -> tuple[str, bool]:
    """The section of the page: the largest memory of a process that reads and scores a table, and of one that reads."""
    progress.say("scoring of streams: a field of 1e5 stars and a fit")
    stars, fitted = field(SCORED[0]), fit()
    lines = [
        "## scoring of streams\n",
        f"`predict` of a whole table with {fitted.model.training.members} networks, each in a process of its own; peak "
        "of the resident memory.\n",
        "| stars | reading the table, MB | reading and scoring it, MB | CPU s of scoring |",
        "|---|---|---|---|",
    ]
    above = []
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        fitted.save(model)
        for rows in SCORED:
            progress.say(f"scoring of streams: {rows} stars")
            path = Path(folder) / f"{rows}.parquet"
            write_table(_repeated(stars, rows), path)
            read, scored = (_child(model, path, mode) for mode in ("read", "score"))
            above.append(scored["megabytes"] - read["megabytes"])
            lines.append(
                f"| {rows:,} | {read['megabytes']:,.0f} | {scored['megabytes']:,.0f} | "
                f"{scored['seconds'] - read['seconds']:.1f} |"
            )
    per_star = (above[1] - above[0]) * 1e3 / (SCORED[1] - SCORED[0])  # kB
    if per_star < FLAT:
        verdict = f"Scoring is flat: {per_star:.2f} kB more for each further star."
    else:
        verdict = (
            f"Scoring takes {per_star:.1f} kB more for each further star: it is **not flat**. 1e7 stars at once would "
            f"take about {per_star * 10:.0f} GB; score such tables in partitions (`starloom.catalog.partitions`)."
        )
    return "\n".join([*lines, "", verdict]), True


def _repeated(stars: QTable, rows: int) -> QTable:
    chosen = stars[np.arange(rows) % len(stars)]
    chosen["source_id"] = np.arange(rows, dtype=np.int64)
    return chosen


def _child(model: Path, path: Path, mode: str) -> dict[str, float]:
    script = Path(__file__).resolve().parent / "scoring_memory.py"
    done = subprocess.run(
        [sys.executable, str(script), str(model), str(path), mode], check=True, capture_output=True, text=True
    )
    return {name: float(value) for name, value in json.loads(done.stdout).items()}
