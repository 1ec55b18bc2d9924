"""``starloom predict MODEL TABLE``: a trained model applied to a user's table. A model is one command here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from starloom.cli.forest_ages import predict_ages
from starloom.cli.options import Scheduler

app = typer.Typer(no_args_is_help=True, help="Apply a trained model to your table: the same rows and more come back.")

TableArgument = Annotated[
    Path, typer.Argument(metavar="TABLE", help="FITS, Parquet (a folder too), ECSV, VOTable or CSV.")
]
OutOption = Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The table to write.")]


@app.command("star-foundation")
def star_foundation(
    table: TableArgument,
    out: OutOption,
    request: Annotated[
        list[str] | None, typer.Option("--request", "-r", help="What to answer; repeatable; all labels by default.")
    ] = None,
    given: Annotated[
        list[str] | None, typer.Option("--given", help="What to look at; repeatable; all that is there by default.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Folder of a model of your own; the shipped one by default.")
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="Rows at a time; memory grows with it.")] = 10_000,
    scheduler: Scheduler = None,
) -> None:
    """Labels of stars from spectra, colors and whatever else the table has.

    - `starloom predict star-foundation my_stars.fits -o labels.parquet`
    - `starloom predict star-foundation my_stars.parquet -o out.parquet -r teff -r fe_h`
    """
    from starloom import executors, progress
    from starloom.catalog import row_jobs
    from starloom.stars.answering import AnswerJob
    from starloom.stars.foundation import StarFoundation

    if model is not None:
        StarFoundation.load(model)  # a wrong folder is said before the work
    folder = None if model is None else str(model.absolute())
    wanted, shown = (None if names is None else tuple(names) for names in (request, given))
    with progress.shown(), executors.on(scheduler):
        done = row_jobs.run(AnswerJob(folder, wanted, shown, str(table)), table, out, rows=rows)
    typer.echo(f"{done.rows} stars: {out}")


@app.command("seismic-ages")
def seismic_ages(
    table: TableArgument,
    out: OutOption,
    model: Annotated[Path, typer.Option(help="Folder of a model, from `starloom train seismic-ages`.")],
    scheduler: Scheduler = None,
) -> None:
    """Seismic quantities and ages of giants from their APOGEE or XP spectra, Teff and [Fe/H].

    The table names apStar files in `spectrum_file` (paths from the table's folder), or has `flux` and `flux_error`.

    - `starloom predict seismic-ages my_giants.csv -o ages.fits --model my_model`
    """
    from starloom import executors, progress
    from starloom.stars.age_jobs import seismic_ages_of_table

    with progress.shown(), executors.on(scheduler):
        done = seismic_ages_of_table(table, out, model=model)
    typer.echo(f"{done.rows} stars, {done.rows - done.remarks} with an age: {out}")


app.command("ages")(predict_ages)
