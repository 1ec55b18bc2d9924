"""From a parent catalog to the density of a disk: carton, selection function, density.

    python carton_to_density.py my_parent.parquet -o targets.parquet
    python carton_to_density.py --mock -o targets.parquet

The parent has Gaia G, 2MASS H with its quality flags, `l`, `b`, a boolean `observed` (which targets a survey got to)
and `distance` (kpc) of those observed. The rows come back with their carton and cadence, the probability that a star
like them is observed, and the density at their place; beside them ``targets.density.ecsv`` holds the fit.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import QTable
from scipy.optimize import minimize

from starloom import read_table, write_table
from starloom.catalog.provenance import KEY, record
from starloom.catalog.schema import plain
from starloom.datasets.access import locate
from starloom.dynamics.frames import GalacticFrame
from starloom.sdss import targets
from starloom.sdss.cartons import carton
from starloom.selection.bins import Axis
from starloom.selection.empirical import EmpiricalSelection, FittedSelection
from starloom.selection.tracers import Tracers
from starloom.simulation.components import ExponentialDisk, StellarComponent
from starloom.simulation.milky_way import Galaxy
from starloom.simulation.observing import Gaia, TwoMass, observe
from starloom.simulation.space_cells import A_V_PER_EBV, positions
from starloom.stellar.extinction import ExponentialDust
from starloom.stellar.isochrone_grids import IsochroneGrid
from starloom.stellar.mass_functions import kroupa_2001
from starloom.stellar.photometry import BolometricCorrections, with_photometry

BANDS = ("2mass_h", "gaia_g", "2mass_h")  # magnitude, color
NEAR, FAR = 0.5, 12.0  # kpc


@dataclass(frozen=True)
class Setting:
    """What is taken as known: the carton, the stars it is made of, the dust, and the size of the cells."""

    name: str = "mwm_galactic_core"
    plan: str = "0.5.0"
    ages: tuple[float, ...] = (6.0, 8.0, 10.0)  # Gyr
    fe_h: tuple[float, ...] = (-0.3, -0.1, 0.1)
    dust: Any = field(default_factory=lambda: ExponentialDust(local_rate=0.31, scale_length=3.3, scale_height=0.1))
    longitudes: int = 36  # cells of space
    latitudes: int = 40
    steps: int = 30
    selection_nside: int = 4


def select(stars: QTable, setting: Setting) -> QTable:
    """Adds ``targeted``, ``carton``, ``cadence`` and ``priority``; a star that is not targeted was not observed."""
    chosen = targets.select(stars, [carton(setting.name, plan=setting.plan)], label="the parent")
    rows = targets.assign(chosen, stars)
    inside = np.zeros(len(stars), dtype=bool)
    inside[rows["row"]] = True
    result = stars.copy()
    result.meta[KEY] = rows.meta[KEY]
    result["targeted"] = inside
    result["observed"] = np.asarray(stars["observed"], dtype=bool) & inside
    for name in ("carton", "cadence"):
        words = np.full(len(stars), "", dtype=rows[name].dtype)
        words[rows["row"]] = rows[name]
        result[name] = words
    return result


def selection(stars: QTable, setting: Setting) -> tuple[FittedSelection, QTable]:
    """The share of the parent that was targeted, and observed, by sky, H and G - H; and the rows with it."""
    model = EmpiricalSelection(
        Axis("h_m", (4.0, 6.0, 8.0, 9.0, 10.0, 11.0)),
        Axis("phot_g_mean_mag - h_m", (-1.0, 3.5, 4.5, 6.0, 20.0)),
        nside=setting.selection_nside,
    )
    fitted = model.fit(stars)
    found = fitted.predict(stars)
    found.rename_column("reason", "selection_reason")
    return fitted, found


def tracers(setting: Setting) -> Tracers:
    """Giants of the ages and metallicities that the disk is taken to have, evenly."""
    grid = IsochroneGrid.open(locate("isochrone_grids", "mist").path)
    corrections = BolometricCorrections.open(locate("bolometric_corrections").path)
    lines = [
        with_photometry(grid.isochrone(age, iron), corrections, ("2mass_h", "gaia_g"))
        for age in setting.ages
        for iron in setting.fe_h
    ]
    return Tracers.from_isochrones(lines, kroupa_2001(0.1, 100.0), bands=BANDS, logg=(-1.0, 3.2))


def dimming(a_v: Any) -> tuple[Any, Any]:
    """A_H and A_G of a typical giant behind an extinction A_V; G is so wide that A_G is not in proportion to it."""
    corrections = BolometricCorrections.open(locate("bolometric_corrections").path)
    grid = np.linspace(*corrections.a_v_range("gaia_g"), 25)
    giant = np.ones(len(grid))
    values = corrections.corrections(4300.0 * giant, 1.8 * giant, -0.1, ("2mass_h", "gaia_g"), grid)
    beyond = np.maximum(a_v - grid[-1], 0.0)  # with the last slope
    found = []
    for dim in (values[0] - values).T:
        found.append(np.interp(a_v, grid, dim) + beyond * (dim[-1] - dim[-2]) / (grid[-1] - grid[-2]))
    return found[0], found[1]


def binned(stars: Tracers, step: float = 0.2) -> list[tuple[float, float, float]]:
    """The tracers in cells of magnitude and color: mean magnitude, mean color, share of all stars formed."""
    bright, red = stars.magnitude.mean(axis=1), stars.color.mean(axis=1)
    cell = np.stack([np.floor(bright / step), np.floor(red / step)], axis=1)
    _, place = np.unique(cell, axis=0, return_inverse=True)
    total = np.bincount(place.ravel(), stars.weight)
    means = [np.bincount(place.ravel(), stars.weight * values) / total for values in (bright, red)]
    return list(zip(*means, total, strict=True))


def volume(fitted: FittedSelection, stars: Tracers, setting: Setting, frame: GalacticFrame) -> QTable:
    """Cells of space: how many of a unit density of giants there would have been observed."""
    # fine steps in latitude near the plane, where dust and stars change fast
    l_edges = np.linspace(0.0, 360.0, setting.longitudes + 1)
    sines = np.sinh(np.linspace(-4.0, 4.0, setting.latitudes + 1)) / np.sinh(4.0)
    edges = np.geomspace(NEAR, FAR, setting.steps + 1)
    l, sine, distance = (0.5 * (ends[1:] + ends[:-1]) for ends in (l_edges, sines, edges))
    area = np.radians(np.diff(l_edges))[:, None, None] * np.diff(sines)[:, None]
    space = (area * np.diff(edges**3) / 3.0).ravel()
    l, b, distance = (part.ravel() for part in np.meshgrid(l, np.degrees(np.arcsin(sine)), distance, indexing="ij"))
    cells = QTable({"l": l * u.deg, "b": b * u.deg, "distance": distance * u.kpc})
    far = cells["distance"].value
    dim_h, dim_g = dimming(A_V_PER_EBV * setting.dust.ebv(l, b, far))
    seen, modulus = np.zeros(len(cells)), 5.0 * np.log10(far) + 10.0
    for bright, red, weight in binned(stars):
        # outside all bins of the selection function is outside of the carton
        seen += weight * np.nan_to_num(fitted.probability(l, b, bright + modulus + dim_h, red + dim_g - dim_h))
    cells["weight"] = seen / stars.fraction * space
    place = _places(frame, l, b, far)
    cells["galactic_radius"], cells["galactic_height"] = np.hypot(place[:, 0], place[:, 1]) * u.kpc, place[:, 2] * u.kpc
    return cells


def _places(frame: GalacticFrame, l: Any, b: Any, distance: Any) -> Any:
    return np.stack(positions(frame, np.asarray(l), np.asarray(b), np.asarray(distance)), axis=1)


def density(stars: QTable, cells: QTable, frame: GalacticFrame) -> tuple[QTable, QTable]:
    """Scale length and height of exp(-R/L - |z|/H), by maximum likelihood, and ``density`` at each observed star.

    The observed stars are a Poisson process of rate nu(x) S(x); with the amplitude integrated out ln L is
    sum_i ln nu(x_i) - N ln sum_cells nu w.
    """
    far = plain(stars, "distance", "kpc")
    used = np.asarray(stars["observed"]) & (far > NEAR) & (far < FAR)
    place = _places(frame, plain(stars, "l"), plain(stars, "b"), far)
    radius, height = np.hypot(place[:, 0], place[:, 1]), np.abs(place[:, 2])
    r, z, w = (plain(cells, name) for name in ("galactic_radius", "galactic_height", "weight"))
    z, near = np.abs(z), frame.r0

    def loss(log_scales: Any) -> float:
        length, scale = np.exp(log_scales)
        inside = np.sum(w * np.exp(-(r - near) / length - z / scale))
        return float(np.sum((radius[used] - near) / length + height[used] / scale) + used.sum() * np.log(inside))

    best = minimize(loss, np.log([3.0, 0.5]), method="BFGS")
    values, errors = np.exp(best.x), np.exp(best.x) * np.sqrt(np.diag(best.hess_inv))
    expected = np.sum(w * np.exp(-(r - near) / values[0] - z / values[1]))
    fit = QTable({"quantity": ["scale_length", "scale_height"], "value": values * u.kpc, "error": errors * u.kpc})
    fit.meta["stars"], fit.meta["giants_per_kpc3_at_the_sun"] = int(used.sum()), float(used.sum() / expected)
    nu = used.sum() / expected * np.exp(-(radius - near) / values[0] - height / values[1])
    stars["density"] = np.where(used, nu, np.nan) / u.kpc**3
    record(stars, "exponential disk", scale_length=float(values[0]), scale_height=float(values[1]), near=NEAR, far=FAR)
    fit.meta[KEY] = stars.meta[KEY]
    return stars, fit


def mock_parent(rows: int, setting: Setting, seed: int, *, length: float = 2.6, height: float = 0.3) -> QTable:
    """A parent catalog of a disk of known density; a survey observes a share of it that changes over the sky."""
    rng = np.random.default_rng(seed)
    disk = StellarComponent(
        "disk", ExponentialDisk(length, height), (min(setting.ages), max(setting.ages)), (-0.1, 0.15), (0.0, 0.01),
        (40.0, 25.0, 18.0), 12.0, local_density=0.03,
    )  # fmt: skip
    galaxy = Galaxy(components=(disk,), bands=("gaia_g", "gaia_bp", "gaia_rp", "2mass_j", "2mass_h", "2mass_ks"),
                    dust=setting.dust, nside=64)  # fmt: skip
    true = galaxy.sample(rows, "2mass_h", 11.2, seed=rng)
    stars = observe(true, [Gaia("dr2"), TwoMass()], seed=rng, truth=False)
    for name in ("l", "b"):
        stars[name] = true[name]
    stars["catalogid"] = np.arange(rows, dtype=np.int64)
    share = 0.35 + 0.25 * np.cos(true["l"]) - 0.1 * (plain(stars, "h_m") > 10)
    stars["observed"] = rng.random(rows) < np.nan_to_num(np.asarray(share))
    stars["distance"] = true["distance"] * (1.0 + 0.05 * rng.standard_normal(rows))
    return stars


def run(stars: QTable, out: Path, setting: Setting | None = None) -> QTable:
    """The whole chain; rows and fit are written, and the fit given back."""
    chosen, frame = setting or Setting(), GalacticFrame()
    fitted, rows = selection(select(stars, chosen), chosen)
    rows, fit = density(rows, volume(fitted, tracers(chosen), chosen, frame), frame)
    write_table(rows, out)
    write_table(fit, out.with_suffix(".density.ecsv"))
    return fit


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("stars", type=Path, nargs="?", help="FITS, Parquet, ECSV, VOTable or CSV")
    words.add_argument("--mock", action="store_true", help="a made disk of 2.6 and 0.3 kpc instead")
    words.add_argument("-o", "--out", type=Path, default=Path("targets.parquet"))
    given = words.parse_args()
    if (given.stars is None) != given.mock:
        words.error("give a parent catalog, or --mock")
    table = mock_parent(300_000, Setting(), 1) if given.mock else read_table(given.stars)
    print(run(table, given.out))
