"""Commands for SDSS: what target bits mean, which cartons a table's objects are in, and why one is not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from starloom.cli.listing import print_table
from starloom.cli.options import Scheduler
from starloom.cli.spectrum import spectrum
from starloom.errors import CatalogError, ConfigError, MissingColumnError

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.sdss.carton import Carton
    from starloom.sdss.targets import CartonSelection

app = typer.Typer(no_args_is_help=True, help="SDSS: target flags, cartons, spectra.")
app.command("spectrum")(spectrum)

MOST = 40  # rows printed without --all
OutFile = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Write the table: .parquet, .fits, .csv ...")
]


def _write(table: QTable, out: Path | None) -> None:
    from starloom.catalog.tables import write_table

    if out is not None:
        typer.echo(f"written: {write_table(table, out)}")


def _print(table: QTable, most: int) -> None:
    print_table(table.colnames, ([_cell(row[name]) for name in table.colnames] for row in table[:most]))
    if len(table) > most:
        typer.echo(f"... {len(table) - most} rows more; --all shows them")


def _cell(value: Any) -> str:
    value = getattr(value, "value", value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@app.command()
def flags(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A table with target flags, or with first cartons.")],
    column: Annotated[str, typer.Option(help="The column of the flags.")] = "sdss5_target_flags",
    version: Annotated[int | None, typer.Option(help="Mapping of the bits, 1 to 4; by default the file's own.")] = None,
    row: Annotated[int | None, typer.Option(help="Decode one row only.")] = None,
    out: OutFile = None,
    every: Annotated[bool, typer.Option("--all", help="Show every carton.")] = False,
) -> None:
    """Say what the target bits of a table mean.

    - `starloom sdss flags spAll-lite.fits` counts the objects of each carton
    - `starloom sdss flags mwmStar.fits --row 0` names the cartons of one object
    - a configuration summary (.par) or a table with `firstcarton` is decoded by name
    """
    from starloom.sdss.target_flags import TargetFlags, flag_version

    table, meta = _read(file)
    chosen = TargetFlags.open(version if version is not None else flag_version(meta))
    found = next((name for name in table.colnames if name.lower() == column.lower()), None)
    if row is not None and not 0 <= row < len(table):
        raise ConfigError(f"{file} has the rows 0 to {len(table) - 1}, not {row}")
    part = table if row is None else table[row : row + 1]
    if found is not None:
        decoded = chosen.counts(part[found]) if row is None else chosen.table(part[found])
        typer.echo(f"{len(part)} rows, bits of version {chosen.version}")
    elif "firstcarton" in table.colnames:
        decoded = _by_name(part, chosen)
        typer.echo(f"{len(part)} rows, cartons by name, bits of version {chosen.version}")
    else:
        there = ", ".join(table.colnames[:12])
        raise MissingColumnError(
            f"{file} has no column {column!r} of target flags and no 'firstcarton'; it has: {there}"
        )
    _print(decoded, len(decoded) if every else MOST)
    _write(decoded, out)


def _read(file: Path) -> tuple[QTable, dict[str, Any]]:
    from starloom.catalog.tables import read_table
    from starloom.catalog.yanny import read_yanny

    if file.suffix == ".par":
        read = read_yanny(file)
        if not read.tables:
            raise CatalogError(f"{file} holds no table")
        return next(iter(read.tables.values())), dict(read.keywords)
    table = read_table(file)
    meta = dict(table.meta)
    if file.name.split(".gz")[0].endswith((".fits", ".fit")):
        from astropy.io import fits

        meta = {**fits.getheader(file, 0), **meta}
    return table, meta


def _by_name(table: QTable, flags: Any) -> QTable:
    import numpy as np
    from astropy.table import QTable

    names, counts = np.unique(np.asarray(table["firstcarton"]).astype(str), return_counts=True)
    order = [place for place in np.argsort(-counts, kind="stable") if names[place]]
    bits = [" ".join(map(str, flags.bits[flags.names == names[k]].tolist())) or "(none)" for k in order]
    return QTable({"carton": names[order], "rows": counts[order], "bits": np.array(bits)})


@app.command()
def cartons(
    file: Annotated[
        Path | None, typer.Argument(metavar="[TABLE]", help="FITS, Parquet, ECSV, VOTable or CSV; none lists cartons.")
    ] = None,
    plan: Annotated[str, typer.Option(help="A plan, or a targeting generation such as v0.5.3 (DR18).")] = "v0.5.3",
    carton: Annotated[list[str] | None, typer.Option(help="Only this carton; repeatable.")] = None,
    show: Annotated[str | None, typer.Option(metavar="CARTON", help="Show one carton whole: its conditions.")] = None,
    explain: Annotated[int | None, typer.Option(metavar="ROW", help="Say why a row is in each carton, or not.")] = None,
    sql: Annotated[str | None, typer.Option(help="Print SQL instead: sqlite, duckdb, postgresql or tsql.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Show every carton.")] = False,
    out: OutFile = None,
    scheduler: Scheduler = None,
) -> None:
    """Say which cartons the objects of a table are in, with cadence, priority and instrument.

    - `starloom sdss cartons` lists the cartons; `starloom sdss cartons --show mwm_ob_core` shows one whole
    - `starloom sdss cartons my_stars.fits --plan v0.5.3 --out targets.parquet`
    - `starloom sdss cartons my_stars.fits --carton mwm_ob_core --plan 0.5.1 --explain 17`
    """
    from starloom.catalog.tables import read_table
    from starloom.sdss.cartons import carton as one
    from starloom.sdss.cartons import generation
    from starloom.sdss.targets import assign, combine, select

    if show is not None:
        if file or carton or sql or out or scheduler or explain is not None:
            raise ConfigError("--show prints one carton; leave the table and the other options but --plan out")
        typer.echo(one(show, plan=plan).text())
        return
    chosen = [one(name, plan=plan) for name in carton] if carton else list(generation(plan))
    if sql is not None:
        typer.echo(";\n\n".join(f"-- {entry.label}\n{entry.to_sql(dialect=sql)}" for entry in chosen) + ";")
        return
    if file is None:
        if explain is not None or out is not None or scheduler is not None:
            raise ConfigError("which table? Give a file, or leave the options out to list the cartons")
        _list(chosen)
        return
    if scheduler is not None or file.is_dir():
        from starloom import executors, progress
        from starloom.sdss.targeting import targets_of_table

        if out is None or explain is not None:
            raise ConfigError("in parts there is nothing to show: say --out where the targets go, and no --explain")
        with progress.shown(), executors.on(scheduler):
            count = targets_of_table(file, out, plan=plan, names=tuple(carton or ()))
        typer.echo(f"{count} targets\nwritten: {out}")
        return
    table = read_table(file)
    selection = select(table, chosen if carton else plan, label=str(file))
    if explain is not None:
        _explain(selection, explain, file)
        return
    members = assign(selection, table)
    typer.echo(f"{len(table)} rows, {len(selection.cartons)} cartons evaluated, {len(selection.skipped)} not")
    _count(selection, chosen, len(chosen) if every else MOST)
    if selection.assumed:
        typer.echo(f"missing everywhere, since the table has no such column: {', '.join(selection.assumed)}", err=True)
    if out is not None:
        if len(members) == 0:
            raise CatalogError(f"no row of {file} is in any carton, so there is nothing to write into {out}")
        _write(combine(members), out)


def _facts(entry: Carton) -> tuple[str, ...]:
    """Name, plan, program, category and priority of a carton, each short."""
    priority = entry.priority if entry.priority.isdigit() else "by target" if entry.priority else "none"
    return entry.name, entry.plan, entry.program, entry.category, priority


def _short(words: Iterable[str], room: int, mark: str) -> str:
    """As many of the words as there is room for, and how many more there are."""
    left = list(dict.fromkeys(words))
    text = left.pop(0) if left else ""
    while left and len(text) + len(left[0]) + len(mark) <= room:
        text += mark + left.pop(0)
    return f"{text} and {len(left)} more" if left else text


def _list(chosen: Sequence[Carton]) -> None:
    heads = ("carton", "plan", "program", "category", "priority", "what it reads")
    print_table(heads, ((*_facts(entry), _short((c.catalog for c in entry.needs()), 50, "; ")) for entry in chosen))
    typer.echo(f"\nOne of them whole: starloom sdss cartons --show {chosen[0].name} --plan {chosen[0].plan}")


def _count(selection: CartonSelection, chosen: Sequence[Carton], most: int) -> None:
    counts, absent = selection.counts, set(selection.parent.absent)
    order = sorted(chosen, key=lambda entry: -counts.get(entry.label, -1))
    rows = []
    for entry in order[:most]:
        lacking = _short((name for name in entry.columns if name in absent), 40, ", ")
        rows.append((*_facts(entry), str(counts.get(entry.label, "not evaluated")), lacking))
    print_table(("carton", "plan", "program", "category", "priority", "objects", "columns that are not there"), rows)
    if len(order) > most:
        typer.echo(f"... {len(order) - most} cartons more; --all shows them")
    if selection.skipped:
        first = next(entry for entry in chosen if entry.label in selection.skipped)
        typer.echo(
            f"{len(selection.skipped)} cartons not evaluated, since the table lacks columns that they read; what these "
            f"are, says `starloom sdss cartons --show {first.name} --plan {first.plan}`",
            err=True,
        )


def _explain(selection: Any, row: int, file: Path) -> None:
    rows = selection.parent.rows
    if not 0 <= row < rows:
        raise ConfigError(f"{file} has the rows 0 to {rows - 1}, not {row}")
    raws = selection.parent.raws
    values = {
        name: None if raw.missing is not None and raw.missing[row] else raw.values[row] for name, raw in raws.items()
    }
    for entry in selection.cartons:
        typer.echo(str(entry.explain(values)))
