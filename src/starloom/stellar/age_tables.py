"""A table of stars in, the same table with ages out: the models that it needs are opened and built by itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from starloom.catalog.schema import plain
from starloom.errors import CatalogError, ConfigError
from starloom.progress import say
from starloom.stellar.age_lattice import AGES, AgeLattice
from starloom.stellar.age_schema import BANDS, SCHEMA, band_column
from starloom.stellar.ages import StarAges, salaris
from starloom.stellar.isochrone_grids import IsochroneGrid
from starloom.stellar.photometry import BolometricCorrections

if TYPE_CHECKING:
    from astropy.table import QTable

MARGIN = 0.5  # dex of [Fe/H] beyond the stars
FAMILIES = ("mist", "parsec", "dartmouth", "basti")


def lattice_for(
    table: QTable, family: str = "mist", *, age: tuple[float, float] = AGES, survey: str | None = None
) -> AgeLattice:
    """The lattice that a table's stars need: their range of [Fe/H] and their bands, from the named datasets.

    Parameters
    ----------
    table : with the columns of ``starloom.stellar.age_schema.SCHEMA``.
    family : mist (to [Fe/H] = -4), parsec, dartmouth or basti (to -2).
    age : range of the flat prior, Gyr.
    survey : whose names and units hold.

    Raises
    ------
    ConfigError
        When the family is unknown or the ages are outside it.
    CatalogError
        When no star has [Fe/H] in the family's range.
    """
    from starloom.datasets.access import locate

    if family not in FAMILIES:
        raise ConfigError(f"isochrones of {family!r} are not known here; there are {', '.join(FAMILIES)}")
    stars = SCHEMA.apply(table, survey)
    grid = IsochroneGrid.open(locate("isochrone_grids", family).path)
    bands = [
        band
        for band in BANDS
        if band_column(band) in stars.colnames and np.isfinite(plain(stars, band_column(band))).any()
    ]
    corrections = BolometricCorrections.open(locate("bolometric_corrections", "tables").path) if bands else None
    iron = plain(stars, "fe_h")
    if "alpha_m" in stars.colnames:
        iron = np.concatenate([iron, salaris(iron, np.nan_to_num(plain(stars, "alpha_m")))])
    low, high = grid.fe_h_range
    iron = iron[(iron >= low) & (iron <= high)]
    if len(iron) == 0:
        raise CatalogError(f"no star has [Fe/H] between {low:g} and {high:g}, the range of {grid.name}")
    say(f"ages: building a lattice of {grid.name} with {len(bands)} bands")
    return AgeLattice.build(
        grid, corrections, bands, fe_h=(float(iron.min()) - MARGIN, float(iron.max()) + MARGIN),
        age=(max(age[0], grid.age_range[0]), age[1]),
    )  # fmt: skip


def ages_of_table(
    source: str | Path | QTable,
    out_path: str | Path,
    *,
    family: str = "mist",
    age: tuple[float, float] = AGES,
    survey: str | None = None,
    **settings: Any,
) -> tuple[int, int]:
    """Read a table of stars, write it with ages.

    Parameters
    ----------
    source : path of a table, or a table in memory.
    out_path : where the result goes; its suffix says in which form.
    family, age, survey : as for :func:`lattice_for`.
    settings : of `starloom.stellar.ages.StarAges`.

    Returns
    -------
    tuple
        Rows written, and how many of them carry a reason.
    """
    from starloom.catalog.tables import read_table, write_table

    table = read_table(source)
    model = StarAges(lattice_for(table, family, age=age, survey=survey), **settings)
    found = model.predict(table, survey=survey, label=str(source) if isinstance(source, str | Path) else "the table")
    write_table(found, out_path)
    return len(found), int((np.asarray(found["reason"]) != "").sum())
