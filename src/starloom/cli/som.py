"""``starloom som``: train a map, place a table on it, calibrate redshifts with it, plan spectroscopy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from starloom import executors, progress
from starloom.cli.options import Scheduler

app = typer.Typer(no_args_is_help=True, help="Self-organizing maps of galaxy colors, and redshifts through them.")

Table = Annotated[Path, typer.Argument(help="FITS, Parquet (or a folder of it), ECSV, VOTable or CSV.")]
MapFolder = Annotated[Path, typer.Option("--map", metavar="DIR", help="A map that `som train` saved.")]
Seed = Annotated[int, typer.Option(help="Every random choice follows from it.")]
Workers = Annotated[int, typer.Option(min=1, help="Threads; the result is the same.")]
Redshift = Annotated[str, typer.Option(metavar="COLUMN", help="Redshifts of the spectra; not positive: it gave none.")]
Edges = Annotated[str | None, typer.Option(metavar="Z,Z,...", help="Edges of the bins in redshift.")]
BinColumn = Annotated[str | None, typer.Option("--bin", metavar="COLUMN", help="The galaxies' bins, instead of edges.")]
Weight = Annotated[str | None, typer.Option(metavar="COLUMN", help="The galaxies' weights.")]
Patch = Annotated[str | None, typer.Option(metavar="COLUMN", help="The field in which each spectrum was taken.")]
Requirement = Annotated[float, typer.Option(help="Error wanted of each bin's mean, in 1 + z.")]
Out = Annotated[Path, typer.Option(metavar="DIR", help="Folder for the tables.")]


@app.command()
def train(
    table: Table,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the map (safetensors and JSON).")],
    bands: Annotated[str, typer.Option(metavar="COLUMN,...", help="Magnitudes, in order of wavelength.")],
    errors: Annotated[str, typer.Option(metavar="COLUMN,...", help="Their errors, or {} for the band: '{}_err'.")] = "",
    kind: Annotated[str, typer.Option(help="colors, colors_and_magnitude, asinh_colors (fluxes), columns.")] = "colors",
    reference: Annotated[str | None, typer.Option(help="The band of colors_and_magnitude.")] = None,
    rows: Annotated[int, typer.Option(help="Rows of the map.")] = 75,
    columns: Annotated[int, typer.Option(help="Columns of the map.")] = 150,
    torus: Annotated[bool, typer.Option("--torus", help="Join opposite edges.")] = False,
    hexagonal: Annotated[bool, typer.Option("--hexagonal", help="Hexagons instead of squares.")] = False,
    schedule: Annotated[str, typer.Option(help="starloom, online, masters, rail_sompz or rail_som.")] = "starloom",
    passes: Annotated[float | None, typer.Option(help="Passes over the table; as the schedule has it.")] = None,
    distance: Annotated[str, typer.Option(help="plain, or errors: in units of them.")] = "plain",
    scaling: Annotated[str, typer.Option(help="none or standard (scatter 1).")] = "none",
    most: Annotated[int, typer.Option(help="Train on this many rows at most, drawn at random.")] = 500_000,
    seed: Seed = 1,
    workers: Workers = 2,
) -> None:
    """Train a map on a table and save it."""
    from starloom.galaxies.map_grid import Grid
    from starloom.galaxies.map_on_tables import training_rows
    from starloom.galaxies.map_schedules import schedule as named
    from starloom.galaxies.photometric_features import Features
    from starloom.galaxies.self_organizing_map import SelfOrganizingMap

    names = _words(bands)
    spread = [errors.format(name) for name in names] if "{}" in errors else _words(errors)
    choices: dict[str, Any] = {"kind": kind, "reference": reference, "distance": distance, "scaling": scaling}
    features = Features(
        tuple(names), tuple(spread), **{name: choices[name] for name in ("kind", "reference")}
    )  # fmt: skip
    grid = Grid(rows, columns, "toroidal" if torus else "planar", "hexagonal" if hexagonal else "rectangular")
    course = named(schedule, passes=passes)
    settings: Any = {name: choices[name] for name in ("distance", "scaling")}
    with progress.shown():
        sample = training_rows(table, features, most, seed)
        fitted = SelfOrganizingMap(features, grid, course, **settings).fit(sample, seed=seed, workers=workers)
    fitted.save(out)
    for note in fitted.notes:
        typer.echo(f"warning: {note}", err=True)
    quality = fitted.quality
    typer.echo(
        f"{fitted.trained_on:,} of {len(sample):,} rows; quantization error {quality.quantization_error:.4g}, "
        f"topographic error {quality.topographic_error:.3f}, "
        f"{quality.cells_occupied:,} of {grid.cells:,} cells occupied"
    )
    typer.echo(f"map: {out}")


@app.command()
def assign(
    table: Table,
    folder: MapFolder,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The table to write; Parquet for Parquet.")],
    columns: Annotated[str | None, typer.Option(metavar="COLUMN,...", help="Columns to keep; all by default.")] = None,
    workers: Workers = 2,
    scheduler: Scheduler = None,
) -> None:
    """Write a table with the cell of each row; Parquet goes through in parts, whatever its size."""
    from starloom.galaxies.map_on_tables import assign_file
    from starloom.galaxies.self_organizing_map import FittedSOM

    kept = None if columns is None else _words(columns)
    with progress.shown(), executors.on(scheduler):
        count = assign_file(FittedSOM.load(folder), table, out, columns=kept, workers=workers)
    typer.echo(f"{count:,} rows: {out}")


@app.command()
def calibrate(
    photometry: Table,
    spectra: Table,
    folder: MapFolder,
    out: Out,
    redshift: Redshift = "zspec",
    edges: Edges = None,
    bin_column: BinColumn = None,
    weight: Weight = None,
    patch: Patch = None,
    requirement: Requirement = 0.002,
    seed: Seed = 1,
    workers: Workers = 2,
) -> None:
    """Mean redshift and n(z) of each tomographic bin, with errors; which cells are covered by spectra."""
    from starloom.catalog.tables import write_table

    found, _, _ = _calibrated(
        photometry, spectra, folder, redshift, edges, bin_column, weight, patch, requirement, seed, workers
    )  # fmt: skip
    for name, table in (("bins", found.bins), ("cells", found.cells), ("n_of_z", found.distributions)):
        write_table(table, out / f"{name}.parquet")
    typer.echo(_lines(found.bins, ("bin", "galaxies", "covered", "mean_z", "error", "required", "met", "remark")))
    typer.echo(f"tables: {out}")


@app.command()
def plan(
    photometry: Table,
    spectra: Table,
    folder: MapFolder,
    out: Out,
    redshift: Redshift = "zspec",
    edges: Edges = None,
    bin_column: BinColumn = None,
    weight: Weight = None,
    requirement: Requirement = 0.002,
    success: Annotated[float, typer.Option(help="Share of the spectra that will give a redshift.")] = 0.8,
    most: Annotated[int, typer.Option(help="New spectra of a bin at most.")] = 100_000,
    seed: Seed = 1,
    workers: Workers = 2,
) -> None:
    """How many spectra each bin still needs for the requirement, and a target list with priorities."""
    from starloom.catalog.tables import write_table
    from starloom.galaxies.map_on_tables import plan_targets

    found, galaxies, fitted = _calibrated(
        photometry, spectra, folder, redshift, edges, bin_column, weight, None, requirement, seed, workers
    )  # fmt: skip
    bins, targets = plan_targets(
        fitted, galaxies, found, requirement=requirement, success=success, most=most, seed=seed
    )  # fmt: skip
    write_table(bins, out / "plan.parquet")
    write_table(targets, out / "targets.parquet")
    typer.echo(_lines(bins, ("bin", "mean_z", "existing", "new", "error", "required", "reachable", "remark")))
    typer.echo(f"{len(targets):,} targets: {out / 'targets.parquet'}")


def _calibrated(
    photometry: Path, spectra: Path, folder: Path, redshift: str, edges: str | None, bin_column: str | None,
    weight: str | None, patch: str | None, requirement: float, seed: int, workers: int,
) -> Any:  # fmt: skip
    from starloom.catalog.tables import read_table
    from starloom.errors import ConfigError
    from starloom.galaxies.map_on_tables import calibrate_tables
    from starloom.galaxies.self_organizing_map import FittedSOM

    if (edges is None) == (bin_column is None):
        raise ConfigError("give the bins once: --edges 0,0.5,1 in redshift, or --bin with a column of the galaxies")
    bins: Any = bin_column if edges is None else _numbers(edges)
    fitted, galaxies = FittedSOM.load(folder), read_table(photometry)
    with progress.shown():
        found = calibrate_tables(
            fitted, galaxies, read_table(spectra), redshift=redshift, bins=bins, weight=weight, patch=patch,
            requirement=requirement, seed=seed, workers=workers,
        )  # fmt: skip
    return found, galaxies, fitted


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _numbers(text: str) -> list[float]:
    from starloom.errors import ConfigError

    try:
        return [float(word) for word in _words(text)]
    except ValueError as error:
        raise ConfigError(f"--edges {text}: numbers with commas between, please, such as 0,0.5,1") from error


def _lines(table: Any, names: tuple[str, ...]) -> str:
    def cell(value: Any) -> str:
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    rows = [names, *([cell(getattr(row[name], "item", lambda v=row[name]: v)()) for name in names] for row in table)]
    widths = [max(len(str(row[place])) for row in rows) for place in range(len(names))]
    return "\n".join("  ".join(str(word).ljust(width) for word, width in zip(row, widths, strict=True)) for row in rows)
