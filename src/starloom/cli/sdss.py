"""Commands for SDSS: what target bits mean, which cartons a table's objects are in, and why one is not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from starloom.cli.options import Scheduler
from starloom.cli.spectrum import spectrum
from starloom.errors import CatalogError, ConfigError, MissingColumnError

if TYPE_CHECKING:
    from astropy.table import QTable

app = typer.Typer(no_args_is_help=True, help="SDSS: target flags, cartons, spectra.")
app.command("spectrum")(spectrum)

OutFile = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Write the table: .parquet, .fits, .csv ...")
]


def _write(table: QTable, out: Path | None) -> None:
    from starloom.catalog.tables import write_table

    if out is not None:
        typer.echo(f"written: {write_table(table, out)}")


def _print(table: QTable, most: int) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, header_style="bold", pad_edge=False)
    for name in table.colnames:
        shown.add_column(name, overflow="fold")
    for row in table[:most]:
        shown.add_row(*(Text(_cell(row[name])) for name in table.colnames))
    console = Console()
    console.width = console.width if console.is_terminal else 160
    console.print(shown)
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
    _print(decoded, len(decoded) if every else 40)
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
    file: Annotated[Path, typer.Argument(metavar="TABLE", help="FITS, Parquet, ECSV, VOTable or CSV.")],
    plan: Annotated[str, typer.Option(help="A plan, or a targeting generation such as v0.5.3 (DR18).")] = "v0.5.3",
    carton: Annotated[list[str] | None, typer.Option(help="Only this carton; repeatable.")] = None,
    explain: Annotated[int | None, typer.Option(metavar="ROW", help="Say why a row is in each carton, or not.")] = None,
    sql: Annotated[str | None, typer.Option(help="Print SQL instead: sqlite, duckdb, postgresql or tsql.")] = None,
    out: OutFile = None,
    scheduler: Scheduler = None,
) -> None:
    """Say which cartons the objects of a table are in, with cadence, priority and instrument.

    - `starloom sdss cartons my_stars.fits --plan v0.5.3 --out targets.parquet`
    - `starloom sdss cartons my_stars.fits --carton mwm_ob_core --plan 0.5.1 --explain 17`
    """
    from starloom.catalog.tables import read_table
    from starloom.sdss.cartons import carton as one
    from starloom.sdss.cartons import generation
    from starloom.sdss.targets import assign, combine, select

    chosen = [one(name, plan=plan) for name in carton] if carton else list(generation(plan))
    if sql is not None:
        typer.echo(";\n\n".join(f"-- {entry.label}\n{entry.to_sql(dialect=sql)}" for entry in chosen) + ";")
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
    counts = selection.counts
    typer.echo(f"{len(table)} rows, {len(selection.cartons)} cartons evaluated, {len(selection.skipped)} not")
    for label, count in sorted(counts.items(), key=lambda entry: -entry[1]):
        if count:
            typer.echo(f"{count:10d}  {label}")
    for label, reason in selection.skipped.items():
        typer.echo(f"not evaluated: {reason if label in reason else f'{label}: {reason}'}", err=True)
    if selection.assumed:
        typer.echo(f"missing everywhere, since the table has no such column: {', '.join(selection.assumed)}", err=True)
    if out is not None:
        if len(members) == 0:
            raise CatalogError(f"no row of {file} is in any carton, so there is nothing to write into {out}")
        _write(combine(members), out)


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
