"""The record of one run: numbers beside the published ones, tables, declared figures, warnings and provenance."""

from __future__ import annotations

import math
import platform
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from starloom.errors import ConfigError
from starloom.files import write_json
from starloom.results.figures import FILE_NAME, Animation, Explorer, Figure

if TYPE_CHECKING:
    from astropy.table import QTable

TABLE_FORMATS = ("parquet", "fits")  # each table of a result is written in both
RECORDED_PACKAGES = ("numpy", "scipy", "astropy", "torch", "zuko", "numba", "gala", "galpy")


@dataclass(frozen=True)
class Published:
    """A number somebody else reached. ``comparable`` says that it was reached on the same data."""

    value: float
    source: str
    low: float | None = None
    high: float | None = None
    comparable: bool = False


@dataclass(frozen=True)
class Bar:
    """What a number has to reach: ``<=`` or ``>=`` a value, or ``in`` a pair (inclusive)."""

    op: Literal["<=", ">=", "in"]
    value: float | tuple[float, float]

    def verdict(self, number: float) -> Literal["pass", "fail"]:
        """Say whether a number reaches the bar; NaN never does."""
        if self.op == "in":
            if not isinstance(self.value, tuple):
                raise ConfigError("a bar 'in' needs a pair of values")
            reached = self.value[0] <= number <= self.value[1]
        elif isinstance(self.value, tuple):
            raise ConfigError(f"a bar {self.op!r} needs one value")
        else:
            reached = number <= self.value if self.op == "<=" else number >= self.value
        return "pass" if reached else "fail"


@dataclass(frozen=True)
class Number:
    """One result: value, interval, unit, meaning, the published value and the bar it was held against."""

    name: str
    value: float
    unit: str = ""
    low: float | None = None
    high: float | None = None
    meaning: str = ""
    published: Published | None = None
    bar: Bar | None = None

    @property
    def verdict(self) -> Literal["pass", "fail", "info"]:
        """``info`` where no bar was set."""
        return "info" if self.bar is None else self.bar.verdict(self.value)


@dataclass(frozen=True)
class InputRecord:
    """What a run read: its kind says whether the stars are real."""

    name: str
    kind: Literal["real", "simulated"]
    origin: str
    rows: int
    sha256: str
    license: str = ""
    citation: str = ""


@dataclass
class Results:
    """Everything one study found; ``write`` puts it into a folder as ``results.json`` and tables.

    Parameters
    ----------
    study, title, preset, seed : what was run.
    summary : one or two sentences for the top of the page.
    command : the command that gives this result again.
    seconds : wall time of the run; counted from the making of this object when it is not given.
    """

    study: str
    title: str
    preset: str
    seed: int
    summary: str = ""
    command: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    numbers: list[Number] = field(default_factory=list)
    inputs: list[InputRecord] = field(default_factory=list)
    tables: dict[str, QTable] = field(default_factory=dict)
    table_notes: dict[str, str] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    animations: list[Animation] = field(default_factory=list)
    explorer: Explorer | None = None
    warnings: list[str] = field(default_factory=list)
    citations: list[str] = field(default_factory=list)
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    seconds: float | None = None
    _clock: float = field(default_factory=time.monotonic, repr=False)
    _written: dict[str, Any] | None = field(default=None, repr=False)

    @property
    def record(self) -> dict[str, Any]:
        """The content of ``results.json``: as it was written, or as it would be now."""
        return self.as_json() if self._written is None else self._written

    @property
    def simulated(self) -> bool:
        """True when any input was simulated; the page then says so in its title."""
        return any(entry.kind == "simulated" for entry in self.inputs)

    def number(self, name: str, value: float, unit: str = "", **more: Any) -> None:
        """Add a number (see Number for the keywords)."""
        if any(entry.name == name for entry in self.numbers):
            raise ConfigError(f"number {name!r} was given twice")
        self.numbers.append(Number(name, float(value), unit, **more))

    def table(self, name: str, table: QTable, note: str = "") -> None:
        """Add a table; ``note`` says what a row is."""
        if not FILE_NAME.fullmatch(name):
            raise ConfigError(f"a table's name becomes a file name: letters, digits, '_', '-' and '.', not {name!r}")
        self.tables[name] = table
        self.table_notes[name] = note

    def warn(self, message: str) -> None:
        """Add a warning, once."""
        if message not in self.warnings:
            self.warnings.append(message)

    def as_json(self) -> dict[str, Any]:
        """The content of ``results.json``; NaN and infinities become null."""
        record = {
            "study": self.study,
            "title": f"[simulated input] {self.title}" if self.simulated else self.title,
            "summary": self.summary,
            "preset": self.preset,
            "seed": self.seed,
            "command": self.command,
            "config": self.config,
            "version": metadata.version("starloom"),
            "started": self.started.isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - self._clock if self.seconds is None else self.seconds, 2),
            "peak_memory_mb": round(_peak_memory_mb(), 1),
            "environment": _environment(),
            "inputs": [asdict(entry) for entry in self.inputs],
            "numbers": [{**asdict(entry), "verdict": entry.verdict} for entry in self.numbers],
            "tables": [
                {"name": name, "rows": len(table), "columns": table.colnames, "note": self.table_notes.get(name, "")}
                for name, table in self.tables.items()
            ],
            "figures": [{"name": figure.name, "caption": figure.caption} for figure in self.figures],
            "animations": [{"name": entry.name, "caption": entry.caption} for entry in self.animations],
            "warnings": self.warnings,
            "citations": self.citations,
        }
        return _strict(record)  # type: ignore[no-any-return]

    def write(self, folder: str | Path, formats: Sequence[str] = TABLE_FORMATS) -> None:
        """Write ``results.json`` and ``tables/*`` into a folder (figures and the page are drawn by ``report``)."""
        from starloom.catalog.tables import write_table

        for name, table in self.tables.items():
            for ending in formats:
                write_table(table, Path(folder) / "tables" / f"{name}.{ending}")
        self._written = self.as_json()
        write_json(Path(folder) / "results.json", self._written)


def _strict(value: Any) -> Any:
    if not isinstance(value, list | tuple) and hasattr(value, "tolist"):
        value = value.tolist()  # numpy arrays and scalars, before the check for NaN
    if isinstance(value, dict):
        return {str(key): _strict(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return str(value)
    return value


def _peak_memory_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20) if sys.platform == "darwin" else peak / 1024


def _environment() -> dict[str, str]:
    found = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    for name in RECORDED_PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
