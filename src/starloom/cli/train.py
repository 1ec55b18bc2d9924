"""``starloom train MODEL``: train a model anew, on the data of the shipped one or on a user's table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from starloom.cli.forest_ages import train_ages

app = typer.Typer(no_args_is_help=True, help="Train a model, resumable.")


@app.command("star-foundation")
def star_foundation(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of the model.")],
    table: Annotated[
        Path | None, typer.Option(help="Your training table; by default real Gaia XP spectra of APOGEE stars.")
    ] = None,
    preset: Annotated[
        str, typer.Option(help="completed (shipped), small (without its mixture) or paper.")
    ] = "completed",
    steps: Annotated[int | None, typer.Option(min=1, help="Steps; those of the shipped model by default.")] = None,
    until: Annotated[int | None, typer.Option(min=1, help="Stop before this step; the same command goes on.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Every random choice follows from it.")] = 1,
) -> None:
    """Train the star foundation model; an interrupted training goes on with the same command.

    - `starloom train star-foundation -o my_model` makes the shipped model again (a quarter of an hour on a core)
    - `starloom train star-foundation -o my_model --table my_stars.parquet`
    - `torchrun --nproc-per-node 4 -m starloom.stars.release -o my_model --preset paper` uses many processes
    """
    from starloom import progress
    from starloom.stars.release import train_release

    with progress.shown():
        model = train_release(out, table=table, preset=preset, steps=steps, until=until, seed=seed)
    done, whole = model.history["steps"], model.history["settings"]["steps"]
    typer.echo(f"{out}: {done} of {whole} steps" + ("" if done == whole else "; go on with the same command"))


@app.command("seismic-ages")
def seismic_ages(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="Pairs of spectra and power spectra, and ages.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of the model.")],
    steps: Annotated[int, typer.Option(min=1, help="Steps of the encoder-decoder.")] = 6000,
    size: Annotated[int, typer.Option(min=5, help="Coefficients of a spectrum.")] = 48,
    pressure: Annotated[float, typer.Option(min=0.001, help="Weight of the error against the pruning.")] = 128.0,
    seed: Annotated[int, typer.Option(min=0, help="Every random choice follows from it.")] = 1,
) -> None:
    """Train the seismic ages on pairs of your own; an interrupted training goes on with the same command.

    Columns: `spectrum_file` (apStar) or `flux` and `flux_error`; `power_file` (frequency in uHz, power) or
    `light_curve_file` (days, flux); `teff`, `fe_h`; where known `nu_max`, `delta_nu`, `age`, `age_error`.

    - `starloom train seismic-ages my_pairs.csv -o my_model`
    """
    from starloom import progress
    from starloom.catalog.tables import read_table
    from starloom.stars.seismic_training import train_on_table

    with progress.shown():
        model, left_out = train_on_table(
            read_table(table), table.parent, out, steps=steps, size=size, pressure=pressure, seed=seed
        )
    for reason, count in left_out.items():
        typer.echo(f"left out: {count} rows: {reason}")
    typer.echo(f"{out}: {model.history['pairs']} pairs, {model.history['age_stars']} ages")


app.command("ages")(train_ages)
