"""Commands on the dependence of any table's columns: `starloom dependence copula` and `starloom dependence map`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np
    from astropy.table import QTable
    from numpy.typing import NDArray

app = typer.Typer(no_args_is_help=True, help="How columns of a table depend on one another.")

Table = Annotated[Path, typer.Argument(metavar="TABLE", help="FITS, Parquet, ECSV, VOTable or CSV.")]
Out = Annotated[Path | None, typer.Option(help="Write the result here, as a table of any known kind.")]
Weights = Annotated[str | None, typer.Option(help="Column of weights.")]


def _numbers(rows: QTable, name: str) -> NDArray[np.float64]:
    """A column without the numbers that stand for a missing one; which these are is said."""
    import numpy as np

    from starloom.catalog.fill_values import fill_values
    from starloom.catalog.schema import plain

    values = plain(rows, name)
    for number in fill_values(values):
        there = values == number
        typer.echo(f"warning: column '{name}': {number:g} in {int(there.sum())} rows is taken as missing", err=True)
        values[there] = np.nan
    return values


@app.command("copula")
def copula(
    table: Table,
    x: Annotated[str, typer.Argument(help="First column.")],
    y: Annotated[str, typer.Argument(help="Second column.")],
    weights: Weights = None,
    out: Out = None,
    points: Annotated[int, typer.Option(help="Places along each side of the unit square.", min=2, max=1001)] = 51,
) -> None:
    """Rank correlations and the copula density of two columns.

    `starloom dependence copula stars.fits fe_h alpha_m --out copula.parquet`
    """
    from starloom.catalog.schema import plain
    from starloom.catalog.tables import read_table, write_table
    from starloom.dependence.association import associations
    from starloom.dependence.copula import fit_copula

    rows = read_table(table)
    columns = _numbers(rows, x), _numbers(rows, y)
    w = None if weights is None else plain(rows, weights)
    found = associations(*columns, weights=w)
    typer.echo(f"rows            {found.rows} of {len(rows)}")
    typer.echo(f"Spearman        {found.spearman:+.4f}")
    typer.echo(f"Kendall         {found.kendall:+.4f}")
    typer.echo(f"normal scores   {found.normal_scores:+.4f}")
    typer.echo(f"lower tail      {found.lower_tail:.3f}  (share of the lowest {100 * found.tail:g} % in both)")
    typer.echo(f"upper tail      {found.upper_tail:.3f}")
    if out is not None:
        import numpy as np

        u, density = fit_copula(*columns, weights=w).on_grid(points)
        first, second = np.meshgrid(u, u, indexing="ij")
        write_table({"u": first.ravel(), "v": second.ravel(), "density": density.ravel()}, out)
        typer.echo(f"copula density: {out}")


@app.command("map")
def conditional_map(
    table: Table,
    covariates: Annotated[list[str], typer.Argument(metavar="COVARIATE...", help="Columns that the map is over.")],
    x: Annotated[str, typer.Option("--x", help="Response.")],
    y: Annotated[str | None, typer.Option("--y", help="Second response: the map is of their correlation.")] = None,
    functional: Annotated[
        str | None, typer.Option(help="mean, variance, quantile, expectile or correlation; by default mean, of a pair "
                                 "correlation.")
    ] = None,
    level: Annotated[float, typer.Option(help="Of a quantile or expectile.")] = 0.5,
    weights: Weights = None,
    refits: Annotated[int, typer.Option(help="Resamplings behind the bands; 0: none.", min=0)] = 100,
    points: Annotated[int, typer.Option(help="Places along each covariate.", min=2, max=501)] = 25,
    seed: Annotated[int, typer.Option(help="Of the resampling.", min=0)] = 1,
    out: Out = None,
) -> None:  # fmt: skip
    """Map a functional of one column, or the correlation of two, over covariates.

    `starloom dependence map stars.fits galactic_radius galactic_height --x age --y fe_h --out map.parquet`
    """
    from starloom.catalog.schema import plain
    from starloom.catalog.tables import read_table
    from starloom.dependence.conditional import ConditionalMap
    from starloom.dependence.grids import map_on_grid
    from starloom.progress import shown

    rows = read_table(table)
    chosen = functional or ("mean" if y is None else "correlation")
    import numpy as np

    z = np.stack([_numbers(rows, name) for name in covariates], axis=1)
    model = ConditionalMap(chosen, level)  # type: ignore[arg-type]
    columns = _numbers(rows, x), None if y is None else _numbers(rows, y)
    with shown():
        fitted = model.fit(z, *columns, weights=None if weights is None else plain(rows, weights), seed=seed)
        result = map_on_grid(fitted, covariates, points=points, refits=refits, seed=seed)
    known = np.isfinite(np.asarray(result["value"]))
    typer.echo(f"rows            {int(fitted.kept.sum())} of {len(rows)}")
    typer.echo(f"places          {int(known.sum())} of {len(result)} have enough rows")
    if known.any():
        values = np.asarray(result["value"])[known]
        low, middle, high = np.quantile(values, [0.0, 0.5, 1.0])
        typer.echo(f"{chosen:15s} {low:.4g} to {high:.4g}, median {middle:.4g}")
    if out is not None:
        from starloom.catalog.tables import write_table

        write_table(result, out)
        typer.echo(f"map: {out}")
