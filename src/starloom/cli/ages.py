"""Ages of stars for a user's table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from starloom.cli.options import Scheduler


def ages(
    table: Annotated[
        Path,
        typer.Argument(help="Stars with [Fe/H] and any of Teff, log g, magnitudes, parallax; see `starloom describe`."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Where the table with ages goes.")],
    family: Annotated[str, typer.Option(help="Isochrones: mist, parsec, dartmouth, basti.")] = "mist",
    youngest: Annotated[float, typer.Option(help="Youngest age of the flat prior (Gyr).")] = 1.0,
    oldest: Annotated[float, typer.Option(help="Oldest age of the flat prior (Gyr).")] = 19.0,
    alpha: Annotated[str, typer.Option(help="salaris: [alpha/Fe] raises the metallicity of the models; ignore.")] = (
        "salaris"
    ),
    zero_point: Annotated[float, typer.Option(help="Of the parallaxes (mas): it is subtracted.")] = 0.0,
    most_a_v: Annotated[float, typer.Option(help="Largest A_V (mag) where the table has no a_v.")] = 0.3,
    survey: Annotated[
        str | None, typer.Option(help="Whose column names and units hold; a wrong name lists them.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Every random choice follows from it.")] = 0,
    workers: Annotated[int | None, typer.Option(help="Threads; the result is the same.")] = None,
    scheduler: Scheduler = None,
) -> None:
    """Give each star its age, mass, evolutionary state, distance and extinction, from isochrones.

    Medians with 68 % intervals under a flat prior in age; rows that cannot be used keep their place and say why.

    - `starloom ages my_table.fits -o ages.parquet`
    """
    from starloom import executors, progress
    from starloom.stellar.age_tables import ages_of_table

    with progress.shown(), executors.on(scheduler):
        rows, remarks = ages_of_table(
            table,
            out,
            family=family,
            age=(youngest, oldest),
            alpha=alpha,
            parallax_zero_point=zero_point,
            most_a_v=most_a_v,
            survey=survey,
            seed=seed,
            workers=workers,
        )
    typer.echo(f"{out}: {rows} rows, {remarks} of them with a reason")
