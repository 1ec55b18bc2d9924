"""The command line: thin. It reads words, calls the library, and turns errors into one line."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from starloom import errors, executors, progress
from starloom.cli import dependence, galaxies, hypervelocity, predict, sdss, som, streams, train
from starloom.cli.ages import ages
from starloom.cli.listing import print_table
from starloom.cli.options import Scheduler
from starloom.cli.orbits import orbits
from starloom.cli.snail import snail
from starloom.cli.tour import tour

USAGE_STATUS, INTERRUPT_STATUS = 2, 130
UsageError: Any = typer.BadParameter.__base__  # typer carries its own copy of click, where this class lives

app = typer.Typer(
    name="starloom",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Weave survey catalogs into the history of the Milky Way and of galaxies.

    **First result**: `starloom run gd1-stream`

    - `starloom studies` lists what can be run
    - `starloom tour` runs them all in about ten minutes and makes one page of them
    - `starloom run gd1-stream --preset tour --out results/gd1` runs one in under a minute
    - `starloom describe my_stars.fits` says which models your table fits
    - `starloom streams fit my_stream.toml my_stars.fits` finds a stream of your own in it
    - `starloom doctor` says what is wrong with an installation
    """,
)
data_app = typer.Typer(no_args_is_help=True, help="Where the named tables are, with license and citation.")
app.add_typer(data_app, name="data")
app.add_typer(streams.app, name="streams")
app.add_typer(predict.app, name="predict")
app.add_typer(train.app, name="train")
app.add_typer(som.app, name="som")
app.add_typer(sdss.app, name="sdss")
app.add_typer(galaxies.app, name="galaxies")
app.add_typer(dependence.app, name="dependence")
app.add_typer(hypervelocity.app, name="hypervelocity")

StudyName = Annotated[str, typer.Argument(metavar="NAME", help="A study; see `starloom studies`.")]
DatasetName = Annotated[str, typer.Argument(metavar="NAME", help="A dataset; see `starloom data list`.")]


class _Debug:
    """Whether errors show their traceback."""

    on = False


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"starloom {version('starloom')}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """Settings of every command."""
    _Debug.on = debug


@app.command()
def studies() -> None:
    """List the studies: one paper each, one command each."""
    from starloom.studies import registry

    found = [registry.get(name) for name in registry.names()]
    print_table(("study", "paper", "what it does"), [(s.name, f"arXiv:{s.arxiv}", s.title) for s in found])
    typer.echo("\nRun one with: starloom run " + found[0].name)


@app.command()
def run(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Studies; see `starloom studies`.")],
    preset: Annotated[str, typer.Option(help="tour (under a minute), quick (minutes) or full.")] = "quick",
    data: Annotated[
        str,
        typer.Option(help="auto (real, else simulated and labeled so), real, mock, or your own: a file or a dataset."),
    ] = "auto",
    out: Annotated[
        Path | None, typer.Option(help="Folder of the result; of several studies, DIR/NAME.", metavar="DIR")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Every random choice follows from it.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes or threads; the result is the same.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One setting of the study; repeatable.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from an interrupted run's checkpoints.")] = False,
    scheduler: Scheduler = None,
) -> None:
    """Run studies, and say where the result page is.

    - `starloom run gd1-stream` runs on real stars and writes `results/gd1-stream/index.html`
    - `starloom run gd1-stream --preset tour --data mock` runs on simulated ones in under a minute
    - `starloom run gd1-stream --data my_stars.fits --seed 7 --out my_gd1` runs on your table
    """
    from starloom.studies import registry, study

    chosen = [registry.get(name) for name in dict.fromkeys(names)]
    configs = [
        study.configure(entry, preset=preset, seed=seed, workers=workers, overrides=settings or ()) for entry in chosen
    ]
    for entry, config in zip(chosen, configs, strict=True):
        folder = (out or Path("results")) / entry.name if out is None or len(chosen) > 1 else out
        with progress.shown(), executors.on(scheduler):
            try:
                done = study.execute(entry, config, data=data, out=folder, resume=resume, publish=_publish)
            except KeyboardInterrupt as interrupt:
                hint = str(interrupt) or "interrupted; go on with the same command and --resume"
                typer.echo(f"starloom: {hint}", err=True)
                raise typer.Exit(INTERRUPT_STATUS) from None
        _summarize(done)


def _publish(results: Any, folder: Path) -> Path:
    from starloom.report.page import build

    return build(results, folder)


def _summarize(folder: Path) -> None:
    import json

    record = json.loads((folder / "results.json").read_text())
    judged = [number for number in record["numbers"] if number["verdict"] != "info"]
    missed = [number["name"] for number in judged if number["verdict"] == "fail"]
    for warning in record["warnings"]:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"{record['title']}: {record['seconds']:.0f} s")
    if judged:
        typer.echo(f"bars reached: {len(judged) - len(missed)} of {len(judged)}" + _named(" (missed: ", missed))
    typer.echo(f"page: {folder / 'index.html'}")


def _named(label: str, names: list[str]) -> str:
    return f"{label}{', '.join(names)})" if names else ""


@app.command()
def cite(name: StudyName) -> None:
    """Print what to cite for a study, as BibTeX."""
    from starloom.report.bibliography import bibtex
    from starloom.studies import registry

    found = registry.get(name)
    typer.echo(bibtex([*found.citations]))


@app.command()
def doctor() -> None:
    """Look over the installation and say what is wrong with it; exit status 1 if anything is."""
    from starloom.report.installation import examine

    found = examine()
    for name, value in found.facts:
        typer.echo(f"{name:34s} {value}")
    for problem in found.problems:
        typer.echo(f"problem: {problem}", err=True)
    typer.echo("\nNothing is wrong." if not found.problems else f"\n{len(found.problems)} problems.")
    if found.problems:
        raise typer.Exit(1)


@app.command()
def describe(table: Annotated[Path, typer.Argument(help="FITS, Parquet, ECSV, VOTable or CSV.")]) -> None:
    """Say what a table holds, and which models can be run on it."""
    from starloom.catalog.description import describe as describe_table
    from starloom.catalog.tables import read_table
    from starloom.dynamics.schema import SCHEMA as ORBITS
    from starloom.stellar.age_schema import SCHEMA as AGES
    from starloom.studies import registry

    models = {**registry.model_schemas(), "orbits": ORBITS, "ages": AGES}
    typer.echo(describe_table(read_table(table), models).text())


app.command("ages")(ages)
app.command("orbits")(orbits)
app.command("tour")(tour)
app.command("snail")(snail)


@data_app.command("list")
def data_list() -> None:
    """List the datasets: what they are, whether they are here, how large, under which license."""
    from starloom.datasets.access import listing

    rows = [
        (f"{entry.dataset}/{entry.file}", entry.state, _size(entry.size), entry.license, entry.meaning)
        for entry in listing()
    ]
    print_table(("dataset/file", "state", "size", "license", "what it is"), rows)


@data_app.command("get")
def data_get(name: DatasetName) -> None:
    """Get all files of a dataset and print where they are; their size is told first."""
    from starloom.datasets import registry
    from starloom.datasets.access import locate

    with progress.shown():
        for file in registry.get(name).files:
            found = locate(name, file.name)
            typer.echo(f"{found.path}\n  from {found.origin}\n  cite {found.citation} ({found.license})")


@data_app.command("verify")
def data_verify(name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="All by default.")] = None) -> None:
    """Check the SHA-256 of the files that are here; exit status 1 if one has changed."""
    from starloom.datasets.access import verify

    checked = verify(name)
    print_table(
        ("dataset/file", "verdict", "SHA-256", "path"),
        [(f"{one.dataset}/{one.file}", one.verdict, one.sha256[:16], str(one.path or "")) for one in checked],
    )
    if any(one.verdict == "changed" for one in checked):
        raise typer.Exit(1)


@data_app.command("where")
def data_where(name: DatasetName) -> None:
    """Say where the files of a dataset are looked for, in order, and where they are."""
    from starloom.datasets.access import where

    words = {True: "here", False: "not here", None: "not asked"}
    rows = [(place.file, words[place.present], place.kind, place.where) for place in where(name)]
    print_table(("file", "state", "kind", "place"), rows)


def _size(count: int | None) -> str:
    return "" if count is None else f"{count / 1e6:.1f} MB"


def main() -> None:
    """Entry point: run, and end with a status: 2 and one line for bad input, 130 when interrupted."""
    try:
        status = app(prog_name="starloom", standalone_mode=False)
    except UsageError as error:
        command = error.ctx.command_path if error.ctx is not None else "starloom"
        status = _fail(f"{error.format_message().rstrip('.')}. See: {command} --help")
    except errors.StarloomError as error:
        if _Debug.on:
            traceback.print_exc()
        status = _fail(str(error))
    sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str) -> int:
    typer.echo(f"starloom: {' '.join(message.split())}", err=True)
    return USAGE_STATUS
