"""From a catalog without good parallaxes to the age of the phase spiral: distances, vertical actions, spiral.

    python distances_to_snail.py my_stars.parquet -o unwound.parquet
    python distances_to_snail.py --mock 8000 -o unwound.parquet

The table has `ra`, `dec`, proper motions and radial velocities, and either `distance` with `distance_error` from
elsewhere or what isochrones tell distances from: `teff`, `logg`, `fe_h`, magnitudes. The rows come back with distances,
vertical actions and angles, and the age of the spiral in their bin of angular momentum; ``unwound.bins.ecsv`` has the
bins.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.table import QTable

from starloom import read_table, write_table
from starloom.catalog.provenance import KEY, record
from starloom.catalog.schema import plain
from starloom.datasets.access import locate
from starloom.disk.snail_mock import stars_with_snail
from starloom.disk.snail_sample import SnailSample, snails
from starloom.dynamics.frames import GalacticFrame
from starloom.dynamics.potentials import potential
from starloom.stellar.age_schema import band_column
from starloom.stellar.age_tables import lattice_for
from starloom.stellar.ages import StarAges
from starloom.stellar.isochrone_grids import IsochroneGrid
from starloom.stellar.mass_functions import kroupa_2001
from starloom.stellar.photometry import BolometricCorrections, with_photometry

LEAST_PRECISE = 0.2  # relative error of a distance above which a star blurs the spiral
BANDS = ("gaia_g", "gaia_bp", "gaia_rp", "2mass_j", "2mass_ks")


def distances(stars: QTable) -> QTable:
    """Distances from isochrones for the rows that have none."""
    there = plain(stars, "distance") if "distance" in stars.colnames else np.full(len(stars), np.nan)
    bare = ~np.isfinite(there)
    found = stars.copy()
    found["distance_from"] = np.where(bare, "", "table")
    if not bare.any():
        return found
    aged = StarAges(lattice_for(stars[bare])).predict(stars[bare])
    for name in ("distance", "distance_error"):
        values = plain(stars, name) if name in stars.colnames else np.full(len(stars), np.nan)
        values[bare] = plain(aged, name)
        found[name] = values * u.kpc
    source = np.where(np.isfinite(plain(found, "distance")), "models", "")
    found["distance_from"] = np.where(bare, source, "table")
    found.meta[KEY] = aged.meta[KEY]
    return found


def unwound(stars: QTable, width: float, seed: int) -> tuple[QTable, QTable]:
    """Vertical actions and angles, and the spiral's age in bins of angular momentum; loose distances are left out."""
    model = SnailSample(potential("MWPotential2014"), GalacticFrame.named("astropy_v4.0"))
    with np.errstate(invalid="ignore"):
        loose = ~(plain(stars, "distance_error") < LEAST_PRECISE * plain(stars, "distance"))
    asked = stars.copy()
    asked["distance"][loose] = np.nan * u.kpc
    for name in ("parallax", "parallax_error"):  # or the parallax would stand in for the distance
        if name in asked.colnames:
            asked.remove_column(name)
    rows = model.predict(asked)
    rows["reason"] = np.where(loose, f"no distance to {LEAST_PRECISE:.0%}", rows["reason"])
    rows["distance"] = stars["distance"]
    l_z = plain(rows, "l_z")[np.asarray(rows["reason"]) == ""]
    low, high = np.quantile(l_z, [0.02, 0.98])
    edges = np.arange(np.floor(low / width), np.ceil(high / width) + 1) * width
    bins, _ = snails(rows, edges=edges, seed=seed)
    place = np.digitize(plain(rows, "l_z"), edges) - 1
    inside = (place >= 0) & (place < len(bins)) & (np.asarray(rows["reason"]) == "")
    seen = plain(bins, "age")[np.clip(place, 0, len(bins) - 1)]
    rows["spiral_age"] = np.where(inside, seen, np.nan) * u.Gyr
    record(rows, "ages of the phase spiral", width=width, least_precise_distance=LEAST_PRECISE, seed=seed)
    bins.meta[KEY] = rows.meta[KEY]
    return rows, bins


def mock(count: int, seed: int) -> QTable:
    """Stars with a spiral of known age, with labels and magnitudes instead of parallaxes."""
    rng = np.random.default_rng(seed)
    stars = stars_with_snail(count, rng, amplitude=0.4)
    true = 1.0 / plain(stars, "parallax")
    grid = IsochroneGrid.open(locate("isochrone_grids", "mist").path)
    corrections = BolometricCorrections.open(locate("bolometric_corrections").path)
    masses = kroupa_2001()
    names = ["teff", "logg", "fe_h", *(band_column(band) for band in BANDS)]
    values, kind = np.full((count, len(names)), np.nan), rng.integers(30, size=count)
    for number in range(30):
        age, iron = rng.uniform(2.0, 11.0), float(np.clip(rng.normal(-0.1, 0.2), -0.6, 0.3))
        line = with_photometry(grid.isochrone(age, iron).cut(eep=(202, 600)), corrections, BANDS)
        inside = (line.logg > 2.0) & (line.logg < 4.2)
        share = np.diff(masses.cdf(np.maximum.accumulate(line.initial_mass))) * (inside[1:] & inside[:-1])
        rows = np.flatnonzero(kind == number)
        node = rng.choice(len(share), size=len(rows), p=share / share.sum())
        modulus = 5.0 * np.log10(true[rows]) + 10.0
        values[rows] = np.column_stack(
            [10.0 ** line.log_teff[node], line.logg[node], np.full(len(rows), iron),
             line.magnitudes(BANDS)[node] + modulus[:, None]]
        )  # fmt: skip
    for name, error, column in zip(names, [70.0, 0.08, 0.06, *[0.02] * len(BANDS)], values.T, strict=True):
        unit = {"teff": u.K, "logg": u.one, "fe_h": u.one}.get(name, u.mag)
        stars[name] = (column + error * rng.standard_normal(count)) * unit
        stars[f"{name}_error"] = np.full(count, error) * unit
    stars["a_v"] = np.zeros(count) * u.mag
    stars["a_v_error"] = np.full(count, 0.01) * u.mag
    stars.remove_columns(["parallax", "parallax_error"])
    return stars


def run(stars: QTable, out: Path, *, width: float = 200.0, seed: int = 1) -> QTable:
    """The whole chain; rows and bins are written, and the bins given back."""
    rows, bins = unwound(distances(stars), width, seed)
    write_table(rows, out)
    write_table(bins, out.with_suffix(".bins.ecsv"))
    return bins


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("stars", type=Path, nargs="?", help="FITS, Parquet, ECSV, VOTable or CSV")
    words.add_argument("--mock", type=int, metavar="STARS", help="so many made stars instead")
    words.add_argument("-o", "--out", type=Path, default=Path("unwound.parquet"))
    words.add_argument("--width", type=float, default=200.0, help="of the bins of angular momentum, kpc km/s")
    words.add_argument("--seed", type=int, default=1)
    given = words.parse_args()
    if (given.stars is None) == (given.mock is None):
        words.error("give a table of stars, or --mock STARS")
    table = mock(given.mock, given.seed) if given.mock else read_table(given.stars)
    print(run(table, given.out, width=given.width, seed=given.seed))
