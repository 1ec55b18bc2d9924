"""What a table holds, where it may come from, and which models can be run on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.table import QTable

from starloom.catalog.arrow_tables import split_column
from starloom.catalog.provenance import history
from starloom.catalog.schema import Match, Schema
from starloom.catalog.surveys import SURVEYS, identify
from starloom.catalog.tables import read_table
from starloom.errors import CatalogError


@dataclass(frozen=True)
class ColumnDescription:
    """One column: its unit and type, how much of it is missing, and its range over the finite values.

    ``low``, ``median`` and ``high`` are None for text and where nothing is finite.
    """

    name: str
    unit: str
    dtype: str
    missing: int
    infinite: int = 0
    low: float | None = None
    median: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Description:
    """What :func:`describe` found out.

    Parameters
    ----------
    rows : number of rows.
    columns : the columns, in the order of the table.
    surveys : (survey name, number of its columns found), best first.
    models : model name -> what the table offers of the model's columns.
    steps : what Starloom did to make it, in order.
    """

    rows: int
    columns: tuple[ColumnDescription, ...]
    surveys: tuple[tuple[str, int], ...]
    models: dict[str, Match]
    steps: tuple[str, ...] = ()

    @property
    def survey(self) -> str | None:
        """Name of the survey that fits best, or None."""
        return self.surveys[0][0] if self.surveys else None

    def can_run(self, model: str) -> bool:
        """Whether the table has rows and every column that the model needs."""
        return self.rows > 0 and self.models[model].usable

    def text(self) -> str:
        """The description in plain text, for a terminal."""
        lines = [f"{self.rows:,} rows, {len(self.columns)} columns", "", *self._column_lines(), ""]
        if self.surveys:
            lines.append("Surveys whose columns it has:")
            for name, count in self.surveys:
                survey = SURVEYS[name]
                lines.append(f"  {name:18s} {count} of {len(survey.columns)} columns: {survey.meaning}")
            lines += [f"  Note on {name}: {SURVEYS[name].note}" for name, _ in self.surveys[:1] if SURVEYS[name].note]
        else:
            lines.append("It has no column of a survey known here.")
        if self.steps:
            lines += ["", "How it was made:", *(f"  {number}. {step}" for number, step in enumerate(self.steps, 1))]
        if self.models:
            lines += ["", "Models:"]
            for name in self.models:
                lines += self._model_lines(name)
        return "\n".join(lines)

    def _column_lines(self) -> list[str]:
        header = ("column", "unit", "type", "missing", "min", "median", "max")
        body = [
            (
                column.name,
                column.unit or "-",
                column.dtype,
                f"{column.missing:,}" + (f" +{column.infinite:,} infinite" if column.infinite else ""),
                *(_number(value, column.dtype) for value in (column.low, column.median, column.high)),
            )
            for column in self.columns
        ]
        widths = [max(len(row[place]) for row in (header, *body)) for place in range(len(header))]
        return [
            "  ".join(
                cell.ljust(width) if place < 3 else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in (header, *body)
        ]

    def _model_lines(self, name: str) -> list[str]:
        match = self.models[name]
        lines = [f"  {name}: {'can be run' if self.can_run(name) else 'cannot be run'}"]
        if self.rows == 0:
            lines.append("    the table has no rows")
        if match.missing_required:
            lines.append(f"    needed and missing: {', '.join(match.missing_required)}")
        lines += [f"    {problem}" for problem in match.problems.values()]
        renamed = [f"{name} = {source}" for name, source in match.found.items() if name != source]
        if renamed:
            lines.append(f"    under other names: {', '.join(renamed)}")
        converted = [f"{name} from {have} to {need}" for name, (have, need) in match.conversions.items()]
        if converted:
            lines.append(f"    to be converted: {', '.join(converted)}")
        if match.missing_optional:
            lines.append(f"    could be used and missing: {', '.join(match.missing_optional)}")
        return lines


def describe(table: Any, models: Mapping[str, Schema] | None = None) -> Description:
    """Describe a table: its columns, the surveys it may come from, and which models can be run on it.

    Parameters
    ----------
    table : a table, or anything that :func:`starloom.catalog.tables.read_table` takes.
    models : model name -> the columns it needs.

    Returns
    -------
    Description
        ``text()`` of it is what the command line prints.

    Examples
    --------
    >>> print(describe({"ra": [10.0, 20.0], "dec": [1.0, float("nan")]}).text())
    2 rows, 2 columns
    <BLANKLINE>
    column  unit  type     missing  min  median  max
    ra      -     float64        0   10      15   20
    dec     -     float64        1    1       1    1
    ...
    """
    ready = read_table(table)
    return Description(
        rows=len(ready),
        columns=tuple(_describe_column(ready, name) for name in ready.colnames),
        surveys=tuple(identify(ready)),
        models={name: schema.match(ready) for name, schema in (models or {}).items()},
        steps=tuple(_step(entry) for entry in history(ready)),
    )


def _step(entry: Mapping[str, Any]) -> str:
    settings = entry.get("settings")
    told = settings.items() if isinstance(settings, dict) else ()
    words = ", ".join(f"{name} {value}" for name, value in told if value not in (None, ""))
    return f"{entry.get('step', '?')} (starloom {entry.get('version', '?')}{'; ' + words if words else ''})"


def _describe_column(table: QTable, name: str) -> ColumnDescription:
    try:
        values, missing, unit = split_column(table[name], name)
    except CatalogError:  # a TimeDelta, say: it is named, and has no single range
        return ColumnDescription(name, "", type(table[name]).__name__, 0)
    dtype = "text" if values.dtype.kind == "U" else str(values.dtype)
    if values.ndim > 1:
        dtype += f" x {' x '.join(map(str, values.shape[1:]))}"
    gone = np.zeros(values.shape, dtype=bool) if missing is None else missing
    if values.dtype.kind not in "fiu":
        return ColumnDescription(name, unit, dtype, int(gone.sum()))
    if values.dtype.kind == "f":
        gone = gone | np.isnan(values)
    finite = values[~gone & np.isfinite(values)]
    infinite = int((~gone).sum()) - finite.size
    if not finite.size:
        return ColumnDescription(name, unit, dtype, int(gone.sum()), infinite)
    low, high = finite.min().item(), finite.max().item()
    median = np.median(finite).item()
    return ColumnDescription(name, unit, dtype, int(gone.sum()), infinite, low, median, high)


def _number(value: float | None, dtype: str) -> str:
    if value is None:
        return ""
    if "int" in dtype and abs(value) >= 1e6:  # all digits of an identifier
        return f"{int(value)}"
    return f"{value:.6g}"
