"""A table of stars in, the same table with ages out: the models that it needs are opened and built by itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from starloom.catalog.schema import plain
from starloom.errors import CatalogError, ConfigError
from starloom.progress import say
from starloom.stellar.age_lattice import AGES, AgeLattice
from starloom.stellar.age_schema import BANDS, SCHEMA, band_column
from starloom.stellar.ages import BLOCK, StarAges, salaris
from starloom.stellar.isochrone_grids import IsochroneGrid
from starloom.stellar.photometry import BolometricCorrections

if TYPE_CHECKING:
    from astropy.table import QTable

MARGIN = 0.5  # dex of [Fe/H] beyond the stars
ROWS = 16_384  # stars in memory at a time; a multiple of BLOCK
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
    return LatticeSettings.of(table, family, age=age, survey=survey).build()


@dataclass(frozen=True)
class LatticeSettings:
    """What a lattice is built from: models, bands, the [Fe/H] of the stars it is for, and the ages of the prior."""

    family: str
    bands: tuple[str, ...]
    fe_h: tuple[float, float]
    age: tuple[float, float]

    @classmethod
    def of(
        cls, tables: QTable | Iterable[QTable], family: str = "mist", *, age: tuple[float, float] = AGES,
        survey: str | None = None,
    ) -> LatticeSettings:  # fmt: skip
        """The settings that a table's stars need, or those of tables that follow one another; see `lattice_for`."""
        from astropy.table import Table

        if family not in FAMILIES:
            raise ConfigError(f"isochrones of {family!r} are not known here; there are {', '.join(FAMILIES)}")
        grid = _grid(family)
        low, high = grid.fe_h_range
        bands: set[str] = set()
        ends: list[float] = []
        for table in [tables] if isinstance(tables, Table) else tables:
            stars = SCHEMA.apply(table, survey, unique=None)
            bands |= {
                band
                for band in BANDS
                if band_column(band) in stars.colnames and np.isfinite(plain(stars, band_column(band))).any()
            }
            iron = plain(stars, "fe_h")
            if "alpha_m" in stars.colnames:
                iron = np.concatenate([iron, salaris(iron, np.nan_to_num(plain(stars, "alpha_m")))])
            iron = iron[(iron >= low) & (iron <= high)]
            ends += [float(iron.min()), float(iron.max())] if len(iron) else []
        if not ends:
            raise CatalogError(f"no star has [Fe/H] between {low:g} and {high:g}, the range of {grid.name}")
        return cls(family, tuple(band for band in BANDS if band in bands), (min(ends), max(ends)), age)

    def build(self) -> AgeLattice:
        """The lattice."""
        from starloom.datasets.access import locate

        grid = _grid(self.family)
        path = locate("bolometric_corrections", "tables").path if self.bands else None
        say(f"ages: building a lattice of {grid.name} with {len(self.bands)} bands")
        return AgeLattice.build(
            grid, None if path is None else BolometricCorrections.open(path), list(self.bands),
            fe_h=(self.fe_h[0] - MARGIN, self.fe_h[1] + MARGIN), age=(max(self.age[0], grid.age_range[0]), self.age[1]),
        )  # fmt: skip


@lru_cache(maxsize=2)
def _grid(family: str) -> IsochroneGrid:
    from starloom.datasets.access import locate

    return IsochroneGrid.open(locate("isochrone_grids", family).path)


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
    from starloom.catalog import row_jobs
    from starloom.catalog.partitions import iterate
    from starloom.catalog.tables import format_of, read_table

    label = str(source) if isinstance(source, str | Path) else "the table"
    rows: Any = source
    if isinstance(source, str | Path) and (Path(source).is_dir() or format_of(source) == "parquet"):
        lattice = LatticeSettings.of(iterate(source, rows=ROWS), family, age=age, survey=survey)
    else:
        rows = read_table(source)
        lattice = LatticeSettings.of(rows, family, age=age, survey=survey)
    job = AgeJob(lattice, tuple(sorted(settings.items())), survey, label)
    done = row_jobs.run(job, rows, out_path, rows=ROWS, align=BLOCK)
    return done.rows, done.remarks


@dataclass(frozen=True)
class AgeJob:
    """Ages of some rows of a table: the lattice, settings of `StarAges` as pairs, survey and label."""

    lattice: LatticeSettings
    settings: tuple[tuple[str, Any], ...]
    survey: str | None
    label: str

    def __call__(self, batch: QTable, first: int) -> QTable:
        """The rows with ages."""
        return _model(self.lattice, self.settings).predict(batch, survey=self.survey, label=self.label, first=first)


@lru_cache(maxsize=2)
def _model(lattice: LatticeSettings, settings: tuple[tuple[str, Any], ...]) -> StarAges:
    return StarAges(lattice.build(), **dict(settings))
