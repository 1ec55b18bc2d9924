"""``starloom predict ages`` and ``starloom train ages``: ages of a user's stars by a probabilistic forest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from starloom.cli.options import Scheduler

TableArgument = Annotated[
    Path,
    typer.Argument(metavar="TABLE", help="FITS, Parquet (a folder too), ECSV, VOTable or CSV, with any of the inputs."),
]
InputOption = Annotated[
    list[str] | None,
    typer.Option("--input", "-i", help="What to tell ages from; repeatable; by default all that the table has."),
]


def predict_ages(
    table: TableArgument,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The table to write.")],
    inputs: InputOption = None,
    model: Annotated[
        Path | None,
        typer.Option(help="Folder of a forest of your own; by default one is fitted to the giants of APOKASC-2."),
    ] = None,
    trees: Annotated[int, typer.Option(min=1, help="Trees of the default forest.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Every random choice follows from it.")] = 1,
    scheduler: Scheduler = None,
) -> None:
    """Ages with 68 % intervals, from Teff, log g, abundances, seismology, whatever the table has.

    - `starloom predict ages my_giants.fits -o ages.parquet`
    - `starloom predict ages my_giants.fits -o ages.parquet -i nu_max -i delta_nu -i evolutionary_state`
    - `starloom predict ages my_giants.fits -o ages.parquet --model my_forest`
    """
    from starloom import executors, progress
    from starloom.stars.age_jobs import forest_ages_of_table

    with progress.shown(), executors.on(scheduler):
        done, forest = forest_ages_of_table(table, out, model=model, inputs=inputs, trees=trees, seed=seed)
    typer.echo(f"{done.rows} stars, {done.rows - done.remarks} without a remark, from {', '.join(forest.inputs)}")
    typer.echo(f"learned from {forest.trained_on}: {out}")


def train_ages(
    table: TableArgument,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of the forest.")],
    inputs: InputOption = None,
    trees: Annotated[int, typer.Option(min=1, help="Trees.")] = 200,
    leaf: Annotated[int, typer.Option(min=1, help="Training stars in a leaf, at least.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Every random choice follows from it.")] = 1,
) -> None:
    """Fit a forest to your stars with ages: a column `age` in Gyr, `age_error` if there is one, and inputs.

    - `starloom train ages my_stars_with_ages.fits -o my_forest`
    """
    from starloom import progress
    from starloom.catalog.tables import read_table
    from starloom.stars.age_tables import SCHEMA
    from starloom.stars.ages import AgeForest, available

    stars = SCHEMA.apply(read_table(table), label=str(table), unique=None)
    chosen = tuple(inputs) if inputs else available(stars)
    with progress.shown():
        forest = AgeForest(chosen, n_trees=trees, min_samples_leaf=leaf, seed=seed).fit(stars, trained_on=str(table))
    forest.save(out)
    typer.echo(f"{out}: ages from {', '.join(forest.inputs)}, learned from {forest.stars} stars")
