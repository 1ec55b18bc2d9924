"""``starloom hypervelocity``: stars thrown out by a companion of Sgr A*, and stars followed back to it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from starloom.cli.options import Scheduler

app = typer.Typer(no_args_is_help=True, help="Hypervelocity stars: throw them out, follow them back.")

Out = Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Where the table goes.")]
PotentialName = Annotated[str, typer.Option(help="Name of a potential; a wrong name lists them.")]
Seed = Annotated[int, typer.Option(help="Every random choice follows from it.")]
Workers = Annotated[int | None, typer.Option(help="Threads; the result is the same.")]
Span = Annotated[float, typer.Option(help="Longest flight, Myr.")]


@app.command()
def eject(
    out: Out,
    companion_mass: Annotated[float, typer.Option(help="Of the companion, Msun.")] = 1000.0,
    separation: Annotated[float | None, typer.Option(help="From Sgr A* today, mpc.")] = None,
    since_merger: Annotated[float | None, typer.Option(help="Myr since it merged with Sgr A*.")] = None,
    count: Annotated[int | None, typer.Option(help="Stars to throw out; by default what the lost mass makes.")] = None,
    release: Annotated[str, typer.Option(help="Of Gaia, that observes them: dr2, dr3, dr4, dr5.")] = "dr3",
    slope: Annotated[float, typer.Option(help="Of the mass function, dN/dm ~ m^-slope.")] = 1.7,
    potential: PotentialName = "Marchetti2017",
    span: Span = 100.0,
    seed: Seed = 1,
    workers: Workers = None,
) -> None:
    """Write the stars that a companion of Sgr A* threw out as they are today, and what Gaia makes of them."""
    from starloom.catalog.tables import write_table
    from starloom.galactic_center.binary import BlackHoleBinary
    from starloom.galactic_center.ejection import CenterStars
    from starloom.galactic_center.scenario import Scenario
    from starloom.galactic_center.sky import Sky, simulate
    from starloom.simulation.gaia_errors import release as named

    scenario = Scenario(BlackHoleBinary(companion_mass), separation=separation, since_merger=since_merger)
    for remark in scenario.remarks(span):
        typer.echo(f"warning: {remark}", err=True)
    table = simulate(
        Sky.real(potential), scenario, CenterStars(slope=slope), named(release), count=count, span=span, seed=seed,
        workers=workers,
    )  # fmt: skip
    write_table(table, out)
    typer.echo(f"{out}: {len(table)} stars, {int((table['p_candidate'] > 0).sum())} of them candidates")


@app.command()
def traceback(
    table: Annotated[Path, typer.Argument(help="Stars with six coordinates: FITS, Parquet (a folder too), ECSV ...")],
    out: Out,
    potential: PotentialName = "Marchetti2017",
    samples: Annotated[int, typer.Option(help="Draws from each star's errors.")] = 100,
    survey: Annotated[
        str | None, typer.Option(help="Whose column names and units hold; a wrong name lists them.")
    ] = None,
    span: Span = 100.0,
    seed: Seed = 1,
    workers: Workers = None,
    scheduler: Scheduler = None,
) -> None:
    """Follow stars back: how near they came to the Galactic center, when, and how fast they left it."""
    from starloom import executors, progress
    from starloom.galactic_center.traceback_tables import tracebacks_of_table

    with progress.shown(), executors.on(scheduler):
        done = tracebacks_of_table(
            table, out, potential=potential, span=span, samples=samples, seed=seed, workers=workers, survey=survey
        )
    typer.echo(f"{out}: {done.rows} rows, {done.remarks} of them with a reason")
