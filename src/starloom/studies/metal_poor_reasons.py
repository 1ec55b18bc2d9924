"""Why two programs give the same stars different ages: one thing changed at a time (metal-poor-disk)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from starloom.catalog.schema import plain
from starloom.results.record import Results

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from astropy.table import QTable
    from numpy.typing import NDArray

    from starloom.stellar.age_lattice import AgeLattice
    from starloom.stellar.ages import AgePosteriors
    from starloom.studies.metal_poor_disk import Config, Models

    Floats = NDArray[np.float64]

FEWEST = 5  # stars of which a median says something


@dataclass(frozen=True)
class Change:
    """One thing done otherwise than in the study's own ages.

    Parameters
    ----------
    name : what it is.
    settings : of the age model.
    table : what becomes of the stars before.
    prior : density in age (Gyr) by which posteriors under the flat prior are multiplied.
    weighted_by, family : of other lattices.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    table: Callable[[QTable], QTable] | None = None
    prior: Callable[[Floats], Floats] | None = None
    weighted_by: str = "age"
    family: str = ""


def changes() -> list[Change]:
    """What was suspected, one at a time."""
    from starloom.stellar.ages import Floors

    return [
        Change("[alpha/Fe] ignored", {"alpha": "ignore"}),
        Change("[Fe/H] of the surface, not at birth", table=_surface),
        Change("both of these", {"alpha": "ignore"}, table=_surface),
        Change("their extinction, as if magnitudes were not corrected", table=_their_extinction),
        Change("no extinction known (0 to 0.3 mag)", table=lambda stars: _without(stars, "a_v", "a_v_error")),
        Change("distance prior d^2", {"distance_prior": "volume"}),
        Change("no distance prior", {"distance_prior": "flat"}),
        Change("their distance, not the parallax", table=_their_distance),
        Change("parallaxes raised by 0.03 mas", {"parallax_zero_point": -0.03}),
        Change("Teff 100 K lower", table=_cooler),
        Change("no magnitudes", table=lambda stars: _without(stars, *(f"{band}_mag" for band in "griz"))),
        Change("no Teff and log g", table=lambda stars: _without(stars, "teff", "teff_error", "logg", "logg_error")),
        Change("errors without floors", {"floors": Floors(0.0, 0.0, 0.0, 0.02)}),  # magnitudes come without errors
        Change("age prior normal 12 +- 2 in 8 to 14 Gyr", prior=_halo),
        Change("age prior flat to 14 Gyr", prior=lambda age: (age < 14.0).astype(np.float64)),
        Change("age prior flat in log age", prior=lambda age: 1.0 / age),
        Change("uniform in EEP, not in age", weighted_by="eep"),
    ]


def reasons(results: Results, config: Config, models: Models, stars: QTable, base: AgePosteriors) -> None:
    """Differences in age to MINESweeper's, as they are and with one thing changed at a time.

    Parameters
    ----------
    results : where the numbers go.
    config, models : of the study.
    stars : turn-off stars with MINESweeper's answers.
    base : their posteriors.
    """
    from astropy.table import QTable

    rows = []
    theirs = plain(stars, "minesweeper_age")
    before = base.age_quantiles()[:, 1]
    used = base.usable & (np.array(base.reasons) == "")
    for change in changes():
        after = _ages(config, models, stars, change, base)
        both = used & np.isfinite(after) & np.isfinite(theirs)
        rows.append(_compared(results, change.name, after[both] - theirs[both], after[both] - before[both]))
    for words, raised in (("Salaris", True), ("[alpha/Fe] ignored", False)):
        read, teff, logg = their_stars_on(models.lattice, stars, raised)
        both = np.isfinite(read) & np.isfinite(theirs)
        where = f"of {models.lattice.source} at their EEP, mass and [Fe/H], {words}"
        rows.append(_compared(results, f"ages {where}", read[both] - theirs[both], read[both] - before[both]))
        if both.sum() >= FEWEST:
            for name, unit, values, column in (("Teff", "K", teff, "teff"), ("log g", "dex", logg, "logg")):
                low, middle, high = np.quantile((values - plain(stars, column))[both], (0.16, 0.5, 0.84))
                results.number(
                    f"{name} {where}", middle, unit, low=low, high=high,
                    meaning=f"minus theirs, {both.sum()} turn-off stars: the models alone",
                )  # fmt: skip
    names = ("changed", "stars", "difference", "difference_low", "difference_high", "change")
    results.table(
        "minesweeper_reasons", QTable(rows=[row for row in rows if row[1] >= FEWEST], names=names),
        "median age minus MINESweeper's with one thing changed (Gyr), and how far each change moves an age",
    )  # fmt: skip


def families(results: Results, config: Config, models: Models, samples: Mapping[str, QTable], other: str) -> None:
    """Ages of the same stars with another family of models: median and scatter of the difference.

    Parameters
    ----------
    results : where the numbers go.
    config, models : of the study.
    samples : turn-off stars by what they are called.
    other : the other family.
    """
    from starloom.stellar.age_lattice import AgeLattice
    from starloom.stellar.ages import StarAges
    from starloom.studies.metal_poor_disk import grids

    grid, corrections = grids(other)
    low, high = models.lattice.fe_h[0], models.lattice.fe_h[-1]
    oldest = models.lattice.age_range[1]
    lattice = AgeLattice.build(
        grid, corrections, models.lattice.bands, fe_h=(float(low), float(high)), age=(1.0, oldest)
    )
    for words, stars in samples.items():
        ages = []
        for one in (models.lattice, lattice):
            found = StarAges(one, seed=config.seed, workers=config.workers).posteriors(stars)
            ages.append(np.where(np.array(found.reasons) == "", found.age_quantiles()[:, 1], np.nan))
        difference = (ages[1] - ages[0])[np.isfinite(ages[0]) & np.isfinite(ages[1])]
        if len(difference) >= FEWEST:
            edges = np.quantile(difference, (0.16, 0.5, 0.84))
            results.number(
                f"age by {lattice.source} minus {models.lattice.source}, {words}", edges[1], "Gyr",
                low=edges[0], high=edges[2],
                meaning=f"median of {len(difference)} stars inside both grids and the central 68 % of them",
            )  # fmt: skip
        else:
            results.warn(f"{len(difference)} of {words} lie inside both {models.lattice.source} and {lattice.source}")


def their_stars_on(lattice: AgeLattice, stars: QTable, raised: bool) -> tuple[Floats, Floats, Floats]:
    """Age (Gyr), Teff (K) and log g that a lattice has at MINESweeper's EEP, initial mass and [Fe/H]: models, no fit.

    Parameters
    ----------
    lattice : the models.
    stars : with ``minesweeper_eep``, ``minesweeper_mass``, ``fe_h`` and ``alpha_m``.
    raised : whether [alpha/Fe] raises the metallicity of the models.
    """
    from starloom.stellar.ages import salaris

    iron = plain(stars, "fe_h")
    if raised:
        iron = salaris(iron, np.nan_to_num(plain(stars, "alpha_m")))
    eep, mass = plain(stars, "minesweeper_eep"), np.log10(plain(stars, "minesweeper_mass"))
    found = np.full((3, len(stars)), np.nan)
    inside = (iron >= lattice.fe_h[0]) & (iron <= lattice.fe_h[-1]) & (eep >= lattice.eep[0]) & (eep < lattice.eep[-1])
    for row in np.flatnonzero(inside & np.isfinite(mass)):
        i = min(int(np.searchsorted(lattice.fe_h, iron[row], side="right")) - 1, len(lattice.fe_h) - 2)
        k = int(np.searchsorted(lattice.eep, eep[row], side="right")) - 1
        x = (iron[row] - lattice.fe_h[i]) / (lattice.fe_h[i + 1] - lattice.fe_h[i])
        z = (eep[row] - lattice.eep[k]) / (lattice.eep[k + 1] - lattice.eep[k])
        corners = (slice(i, i + 2), slice(None), slice(k, k + 2))
        weight = np.array([[(1 - x) * (1 - z), (1 - x) * z], [x * (1 - z), x * z]])
        log_mass, log_teff, logg = (
            np.einsum("iak,ik->a", values[corners], weight)
            for values in (lattice.log_mass, lattice.log_teff, lattice.logg)
        )
        there = np.isfinite(log_mass)
        # the older the star at one EEP, the smaller its mass
        if there.sum() > 1 and log_mass[there].min() <= mass[row] <= log_mass[there].max():
            log_age = np.interp(-mass[row], -log_mass[there], lattice.log_age[there])
            at = (np.interp(log_age, lattice.log_age[there], values[there]) for values in (log_teff, logg))
            found[:, row] = 10.0 ** (log_age - 9.0), 10.0 ** next(at), next(at)
    return found[0], found[1], found[2]


def _ages(config: Config, models: Models, stars: QTable, change: Change, base: AgePosteriors) -> Floats:
    """Median ages with one thing changed; NaN where a star has none."""
    from dataclasses import replace

    from starloom.studies.metal_poor_disk import star_ages

    if change.prior is not None:
        edges = base.age_edges
        p = base.age_probability * change.prior(0.5 * (edges[1:] + edges[:-1]))
        total = p.sum(axis=1, keepdims=True)
        found = replace(base, age_probability=np.where(total > 1e-6, p / np.maximum(total, 1e-300), np.nan))
    else:
        if change.weighted_by != "age":
            models = replace(models, lattice=models.lattice.weighted(change.weighted_by))
        table = stars.copy() if change.table is None else change.table(stars.copy())
        found = star_ages(config, models, **change.settings).posteriors(table)
    return np.where(np.array(found.reasons) == "", found.age_quantiles()[:, 1], np.nan)


def _compared(results: Results, name: str, off: Floats, moved: Floats) -> tuple[str, int, float, float, float, float]:
    if len(off) < FEWEST:
        return name, len(off), np.nan, np.nan, np.nan, np.nan
    low, middle, high = (float(x) for x in np.quantile(off, (0.16, 0.5, 0.84)))
    change = float(np.median(moved[np.isfinite(moved)]))
    results.number(
        f"median difference in age: {name}", middle, "Gyr", low=low, high=high,
        meaning=f"{len(off)} turn-off stars, minus MINESweeper's; central 68 % of stars; ages move by {change:+.2f}",
    )  # fmt: skip
    return name, len(off), middle, low, high, change


def _without(stars: QTable, *names: str) -> QTable:
    stars.remove_columns([name for name in names if name in stars.colnames])
    return stars


def _surface(stars: QTable) -> QTable:
    stars["fe_h"] = np.asarray(stars["surface_fe_h"])
    return stars


def _cooler(stars: QTable) -> QTable:
    from astropy import units as u

    stars["teff"] = stars["teff"] - 100.0 * u.K
    return stars


def _their_extinction(stars: QTable) -> QTable:
    stars["a_v"], stars["a_v_error"] = stars["minesweeper_a_v"], stars["minesweeper_a_v_error"]
    return stars


def _their_distance(stars: QTable) -> QTable:
    stars["distance"], stars["distance_error"] = stars["minesweeper_distance"], stars["minesweeper_distance_error"]
    return _without(stars, "parallax", "parallax_error")


def _halo(age: Floats) -> Floats:
    return np.asarray(np.exp(-0.5 * ((age - 12.0) / 2.0) ** 2) * ((age > 8.0) & (age < 14.0)))
