"""``starloom streams``: a stream of one's own from a ten-line file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from starloom import executors, progress
from starloom.cli.options import Scheduler
from starloom.errors import ConfigError
from starloom.files import write_text

INTERRUPT_STATUS = 130

app = typer.Typer(no_args_is_help=True, help="Find a stream in your own table, from a file of about ten lines.")

SettingsFile = Annotated[
    Path, typer.Argument(metavar="CONFIG.toml", help="About ten lines: frame, windows, isochrone.")
]
Stars = Annotated[Path, typer.Argument(metavar="TABLE", help="FITS, Parquet, ECSV, VOTable or CSV.")]


@app.command()
def fit(
    settings: SettingsFile,
    table: Stars,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of the result.")] = Path(
        "results/own-stream"
    ),
    seed: Annotated[int, typer.Option(min=0, help="Every random choice follows from it.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from an interrupted run's checkpoints.")] = False,
) -> None:
    """Fit the stream: memberships, track, density, page."""
    from starloom.studies import own_stream

    with progress.shown():
        try:
            folder = own_stream.fit(settings, table, out, seed=seed, resume=resume, publish=_publish)
        except KeyboardInterrupt as interrupt:
            typer.echo(f"starloom: {interrupt}", err=True)
            raise typer.Exit(INTERRUPT_STATUS) from None
    _summarize(folder)


@app.command()
def score(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A result of `starloom streams fit`.")],
    table: Stars,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Table to write; its suffix is the format.")],
    scheduler: Scheduler = None,
) -> None:
    """Give the stars of another table their memberships by a fitted stream."""
    from starloom.studies import own_stream

    with progress.shown(), executors.on(scheduler):
        found = own_stream.score(folder, table, out)
    for reason, count in found["reasons"].items():
        typer.echo(f"warning: {count} stars not used: {reason}", err=True)
    if absent := found["absent"]:
        typer.echo(f"warning: the table lacks {', '.join(absent)}: its stars were judged without", err=True)
    typer.echo(
        f"{found['used']} of {found['rows']} stars scored; expected members {found['expected']:.1f}, "
        f"P > 0.5: {found['above_half']}"
    )
    typer.echo(f"table: {out}")


@app.command()
def query(
    settings: SettingsFile,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="Table to write.")] = None,
    adql_only: Annotated[bool, typer.Option("--adql-only", help="Print the queries and ask nobody.")] = False,
    reddening: Annotated[
        Path | None,
        typer.Option(metavar="MAP.fits", help="E(B-V) as a HEALPix map, by which magnitudes are corrected for dust."),
    ] = None,
    reddening_unit: Annotated[str, typer.Option(help="The map's unit: sfd or bayestar19.")] = "sfd",
    archive: Annotated[
        str | None, typer.Option(metavar="URL", help="TAP service; the Gaia archive by default.")
    ] = None,
    synchronous: Annotated[bool, typer.Option("--sync", help="Ask and wait, without jobs; for short queries.")] = False,
) -> None:
    """Get the stars of the window from Gaia DR3 and Pan-STARRS1, ready for `fit`.

    Interrupted or failed, the same command goes on from the answers that are there.
    """
    from starloom.catalog.archive import GAIA_ARCHIVE, Archive
    from starloom.catalog.healpix_maps import HealpixMap
    from starloom.streams import archive_query
    from starloom.streams.stream_file import StreamFile

    file = StreamFile.read(settings)
    if adql_only:
        text = archive_query.describe(file)
        if out is None:
            typer.echo(text, nl=False)
        else:
            write_text(out, text)
        return
    if out is None:
        raise ConfigError("where should the stars go? Say -o stars.parquet, or --adql-only to see the queries")
    service = Archive(archive or GAIA_ARCHIVE, asynchronous=not synchronous)
    dust = None if reddening is None else HealpixMap.read(reddening)
    with progress.shown():
        try:
            found = archive_query.download(file, out, archive=service, reddening=dust, reddening_unit=reddening_unit)
        except KeyboardInterrupt:
            typer.echo("starloom: interrupted; the answers are kept, go on with the same command", err=True)
            raise typer.Exit(INTERRUPT_STATUS) from None
    for note in found.notes:
        typer.echo(f"warning: {note}", err=True)
    typer.echo(f"{found.rows} stars\ntable: {found.path}")


def _publish(results: Any, folder: Path) -> Path:
    from starloom.report.page import build

    return build(results, folder)


def _summarize(folder: Path) -> None:
    import json

    record = json.loads((folder / "results.json").read_text())
    for warning in record["warnings"]:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"{record['title']}: {record['seconds']:.0f} s")
    for number in record["numbers"][:3]:
        band = f" ({number['low']:.0f} to {number['high']:.0f})" if number["low"] is not None else ""
        typer.echo(f"{number['name']}: {number['value']:.0f}{band}")
    typer.echo(f"page: {folder / 'index.html'}")
