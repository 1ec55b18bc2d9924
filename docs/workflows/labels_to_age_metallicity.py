"""From spectra or labels of stars to the correlation of age and metallicity: labels, ages, orbits, sequences, map.

    python labels_to_age_metallicity.py my_stars.parquet -o aged.parquet --over absolute_height
    python labels_to_age_metallicity.py --kepler -o kepler.parquet --over absolute_height

The table has Gaia XP spectra (`flux`, `flux_error`) or labels (`teff`, `logg`, `fe_h`, `alpha_m`, with errors), and the
six coordinates. The rows come back with all that was inferred, and a reason for each step that could not use them;
beside them ``aged.map.parquet`` holds the map. ``--kepler`` takes the giants of APOKASC-2 with Gaia's astrometry.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.table import QTable, vstack

from starloom import read_table, write_table
from starloom.catalog.provenance import KEY, record
from starloom.catalog.schema import plain
from starloom.datasets.access import open_table
from starloom.dependence.grids import map_on_grid
from starloom.disk.age_metallicity import AgeMetallicity, column
from starloom.disk.alpha_sequences import AlphaSequences
from starloom.dynamics.frames import GalacticFrame
from starloom.dynamics.potentials import potential
from starloom.dynamics.star_orbits import OrbitModel
from starloom.errors import CatalogError
from starloom.stars.foundation import StarFoundation
from starloom.stellar.age_tables import lattice_for
from starloom.stellar.ages import StarAges

LABELS = {"teff": u.K, "logg": None, "fe_h": None, "alpha_m": None}


def labels(stars: QTable) -> QTable:
    """The table's own labels; where it has none, those of the star foundation model from its XP spectrum."""
    found = stars.copy()
    found["labels_from"] = np.where(np.isfinite(plain(stars, "fe_h")), "table", "") if "fe_h" in stars.colnames else ""
    if "flux" not in stars.colnames:
        return found
    blank = np.asarray(found["labels_from"]) == ""
    answers = StarFoundation.shipped().predict(stars[blank], list(LABELS), label="the stars")
    usable = np.asarray(answers["in_domain"]) & (np.asarray(answers["reason"]) == "")
    rows = np.flatnonzero(blank)[usable]
    for name, unit in LABELS.items():
        for ending in ("", "_error"):
            values = column(found, name + ending)
            values[rows] = plain(answers, f"predicted_{name}{ending}")[usable]
            found[name + ending] = values if unit is None else values * unit
    source = np.asarray(found["labels_from"]).astype("U6")
    source[rows] = "XP"
    found["labels_from"] = source
    found.remove_columns(["flux", "flux_error"])
    found.meta[KEY] = answers.meta[KEY]
    return found


def ages(stars: QTable) -> QTable:
    """Isochrone ages. A star that is known to burn helium gets none: the models end at the tip of the giant branch."""
    aged = StarAges(lattice_for(stars)).predict(stars)
    aged.rename_column("reason", "age_reason")
    if "evolutionary_state" in stars.colnames:
        clump = np.char.startswith(np.asarray(stars["evolutionary_state"]).astype(str), "RC")
        for name in ("age", "age_low", "age_high"):
            aged[name][clump] = np.nan * u.Gyr
        aged["age_reason"] = np.where(clump, "core helium burning: not in the models", aged["age_reason"])
    return aged


def orbits(stars: QTable, seed: int, samples: int) -> QTable:
    """Places, actions and shapes of the orbits, at the distances that came with the ages."""
    frame = GalacticFrame()
    moved = OrbitModel(potential("MilkyWayPotential2022"), frame, samples=samples, seed=seed).predict(stars)
    moved.rename_column("reason", "orbit_reason")
    names = ("ra", "dec", "distance", "pmra", "pmdec", "radial_velocity")
    x = frame.to_galactocentric(*(plain(moved, name) for name in names)).x
    moved["galactic_radius"], moved["galactic_height"] = np.hypot(x[:, 0], x[:, 1]) * u.kpc, x[:, 2] * u.kpc
    return moved


def sequences(stars: QTable, seed: int) -> QTable:
    """Which alpha sequence each star is of, by the summits of the stars' own density."""
    split = AlphaSequences(bootstraps=0).fit(stars, seed=seed).predict(stars)
    split.rename_column("reason", "alpha_reason")
    return split


def age_metallicity(stars: QTable, over: list[str], seed: int, refits: int) -> QTable:
    """Adds rho(age, [Fe/H]) at each star's place, of all stars; gives the map, of all and of each sequence.

    The correlation is that of the ages as they are: errors as large as those of giants cannot be taken out.
    """
    model = AgeMetallicity(tuple(over), least_count=15.0 if len(over) == 1 else 50.0)
    high = np.ma.filled(stars["high_alpha"], False)
    known = np.isfinite(plain(stars, "p_high_alpha"))
    maps = []
    for name, chosen in (("all", None), ("low", known & ~high), ("high", known & high)):
        try:
            fitted = model.fit(stars, chosen=chosen, seed=seed)
        except CatalogError as error:  # too few stars for a map
            print(f"no map of {name}: {error}")
            continue
        if name == "all":
            stars["age_fe_h_correlation"] = fitted.predict(model.places(stars))
        grid = map_on_grid(fitted, over, refits=refits, seed=seed)
        grid["sequence"] = name
        maps.append(grid)
    record(stars, "correlation of age and [Fe/H]", over=over, margins=model.margins, seed=seed)
    if not maps:
        raise CatalogError("no map can be made: fewer than 100 stars have an age, a metallicity and all covariates")
    joined = vstack(maps, metadata_conflicts="silent")
    joined.meta[KEY] = stars.meta[KEY]
    return joined


def kepler_giants() -> QTable:
    """APOKASC-2 giants with Gaia DR2 coordinates; where Starloom has an XP spectrum, it stands in for the labels."""
    labeled, seen = open_table("apokasc2", "ages"), open_table("apokasc2", "actions")
    row = {int(number): place for place, number in enumerate(np.asarray(labeled["KIC"]))}
    stars = seen["source_id", "ra", "dec", "parallax", "parallax_error", "pmra", "pmra_error", "pmdec", "pmdec_error",
                 "radial_velocity", "radial_velocity_error"]  # fmt: skip
    labeled = labeled[[row[int(number)] for number in np.asarray(seen["kic"])]]
    for name, native in (("teff", "Teff"), ("fe_h", "FeH"), ("alpha_m", "Afe"), ("logg", "Logg(seis)")):
        unit = LABELS[name] or u.one
        stars[name] = plain(labeled, native) * unit
        error = np.hypot(plain(labeled, "S Gran"), plain(labeled, "S Gsys")) if name == "logg" else None
        stars[f"{name}_error"] = (plain(labeled, f"S {native}") if error is None else error) * unit
    stars["evolutionary_state"] = np.asarray(labeled["ES"]).astype(str)
    stars["seismic_age"] = 10.0 ** (plain(labeled, "Log Age") - 3.0) * u.Gyr
    spectra = open_table("gaia_xp_apogee", "stars")
    place = {str(name).strip(): k for k, name in enumerate(np.asarray(spectra["apogee_id"]).astype(str))}
    at = np.array([place.get(str(name).strip(), -1) for name in np.asarray(labeled["2MASS"]).astype(str)])
    bare = at >= 0
    for name in ("flux", "flux_error"):
        values = np.full((len(stars), spectra[name].shape[1]), np.nan, dtype=np.float32)
        values[bare] = spectra[name][at[bare]].value
        stars[name] = values * spectra[name].unit
    for name in LABELS:
        stars[name][bare] = np.nan * (LABELS[name] or u.one)
    for band in ("phot_g_mean_mag", "phot_bp_mean_mag", "phot_rp_mean_mag"):
        stars[band] = np.where(bare, plain(spectra, band)[at], np.nan) * u.mag
    return stars


def run(stars: QTable, out: Path, *, over: list[str], seed: int = 1, samples: int = 50, refits: int = 50) -> QTable:
    """The whole chain; the rows and the map are written, and the rows given back."""
    rows = sequences(orbits(ages(labels(stars)), seed, samples), seed)
    found = age_metallicity(rows, over, seed, refits)
    write_table(rows, out)
    write_table(found, out.with_suffix(".map.parquet"))
    return rows


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("stars", type=Path, nargs="?", help="FITS, Parquet, ECSV, VOTable or CSV")
    words.add_argument("--kepler", action="store_true", help="the giants of APOKASC-2")
    words.add_argument("--over", nargs="+", default=["galactic_radius", "absolute_height"], help="what the map is over")
    words.add_argument("-o", "--out", type=Path, default=Path("aged.parquet"))
    words.add_argument("--seed", type=int, default=1)
    given = words.parse_args()
    if (given.stars is None) != given.kepler:
        words.error("give a table of stars, or --kepler")
    table = kepler_giants() if given.kepler else read_table(given.stars)
    run(table, given.out, over=given.over, seed=given.seed)
