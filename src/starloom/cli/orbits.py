"""Orbits, actions and integrals of motion for a user's table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from starloom.cli.options import Scheduler


def orbits(
    table: Annotated[
        Path, typer.Argument(help="Stars with six coordinates (`starloom describe` says whether they are found).")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Where the table with orbits goes.")],
    potential: Annotated[
        str, typer.Option(help="Name of a potential; a wrong name lists them.")
    ] = "MilkyWayPotential2022",
    frame: Annotated[str, typer.Option(help="The Sun's place and motion; a wrong name lists them.")] = "astropy_v4.0",
    samples: Annotated[int, typer.Option(help="Draws from each star's errors; 0 for no intervals.")] = 100,
    zero_point: Annotated[float, typer.Option(help="Of the parallaxes (mas): it is subtracted.")] = 0.0,
    survey: Annotated[
        str | None, typer.Option(help="Whose column names and units hold; a wrong name lists them.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Every random choice follows from it.")] = 0,
    workers: Annotated[int | None, typer.Option(help="Threads; the result is the same.")] = None,
    scheduler: Scheduler = None,
) -> None:
    """Give each star its energy, angular momentum, actions, frequencies and the shape of its orbit.

    Columns with errors and correlations, as Gaia names them, give intervals. Rows that cannot be used keep their place
    and say why.
    """
    from starloom import executors, progress
    from starloom.dynamics.star_orbits import orbits_of_table

    with progress.shown(), executors.on(scheduler):
        rows, remarks = orbits_of_table(
            table,
            out,
            potential_name=potential,
            frame_name=frame,
            samples=samples,
            parallax_zero_point=zero_point,
            seed=seed,
            workers=workers,
            survey=survey,
        )
    typer.echo(f"{out}: {rows} rows, {remarks} of them with a reason")
