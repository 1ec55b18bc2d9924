"""The phase spiral of a user's table: how old it looks, by angular momentum."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def snail(
    table: Annotated[Path, typer.Argument(help="Stars with six coordinates: FITS, Parquet, ECSV, VOTable or CSV.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Where the table of ages goes.")],
    stars: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the stars go, with vertical actions and angles.")
    ] = None,
    potential: Annotated[str, typer.Option(help="Name of a potential; a wrong name lists them.")] = "MWPotential2014",
    frame: Annotated[str, typer.Option(help="The Sun's place and motion; a wrong name lists them.")] = "astropy_v4.0",
    width: Annotated[float, typer.Option(help="Of the bins of angular momentum (kpc km/s).")] = 100.0,
    whole: Annotated[bool, typer.Option("--whole", help="All stars in one bin.")] = False,
    farthest: Annotated[float, typer.Option(help="Stars beyond it (kpc) are not used.")] = 2.0,
    largest_action_r: Annotated[
        float | None, typer.Option(help="Stars on hotter orbits (kpc km/s) are not used; by default all are.")
    ] = None,
    zero_point: Annotated[float, typer.Option(help="Of the parallaxes (mas): it is subtracted.")] = 0.0,
    harmonic: Annotated[int, typer.Option(help="1: one arm (lopsided); 2: two arms (breathing).")] = 1,
    youngest: Annotated[float, typer.Option(help="Ages below it (Gyr) are not looked for.")] = 0.05,
    oldest: Annotated[float, typer.Option(help="Ages above it (Gyr) are not looked for.")] = 1.5,
    bootstraps: Annotated[int, typer.Option(help="Resamplings of the stars.")] = 200,
    survey: Annotated[
        str | None, typer.Option(help="Whose column names and units hold; a wrong name lists them.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Every random choice follows from it.")] = 0,
) -> None:
    """Say how old the phase spiral of a table of stars looks, in bins of angular momentum.

    Each bin gets the age of a matched filter and of the slope of the phase with bootstrap intervals, that of a fit, the
    probability that chance makes such a spiral, the resolution, and a reason where one age does not describe it.
    """
    import math

    from starloom.disk.snail_sample import snails_of_table

    found = snails_of_table(
        table,
        out,
        stars_path=stars,
        potential_name=potential,
        frame_name=frame,
        width=width,
        whole=whole,
        farthest=farthest,
        largest_action_r=math.inf if largest_action_r is None else largest_action_r,
        parallax_zero_point=zero_point,
        harmonic=harmonic,
        search=(youngest, oldest),
        bootstraps=bootstraps,
        survey=survey,
        seed=seed,
    )
    for row in found:
        where = f"l_z {row['l_z_low'].value:.0f} to {row['l_z_high'].value:.0f}: {row['stars']} stars"
        if row["seen"]:
            ages = "{:.3f} ({:.3f} to {:.3f}) Gyr".format(*(row[n].value for n in ("age", "age_low", "age_high")))
            where += f", {ages}"
        typer.echo(where + (f"; {row['reason']}" if row["reason"] else ""))
    typer.echo(f"{out}: {len(found)} rows, {int(found['seen'].sum())} of them with a spiral")
