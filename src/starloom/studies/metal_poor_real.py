"""Ages and distances of real turn-off stars beside MINESweeper's, and why they differ (metal-poor-disk)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from starloom.results.record import Results
from starloom.studies.metal_poor_reasons import families, reasons

if TYPE_CHECKING:
    from astropy.table import QTable
    from numpy.typing import NDArray

    from starloom.studies.inputs import Input
    from starloom.studies.metal_poor_disk import Config, Models

    Floats = NDArray[np.float64]

_COMPARED = (
    "The comparison with MINESweeper uses its own Teff, log g and initial [Fe/H], which lie on its isochrones "
    "already, and adds the magnitudes a second time: it tests models and priors, not the spectra. Most of these "
    "stars have [Fe/H] about -0.5: they are no sample of metal-poor stars. The lines 'median difference in age: "
    "...' change one thing at a time. Two matter most. [alpha/Fe] raises here the metallicity of scaled-solar "
    "models (Salaris), which makes them cooler and the stars younger. And the models differ: at MINESweeper's own"
    " EEP, mass and [Fe/H] this version of MIST is cooler and older than MINESweeper's, so that a star of given "
    "Teff and log g is younger. Priors on age and distance, floors and parallax zero point move ages much less; "
    "an age prior around 12 Gyr, which MINESweeper has for its halo, moves them towards it. Metal-poor dwarfs get"
    " young ages in both, perhaps because an error of the models' colors passes for age where the main sequence "
    "hardly depends on it."
)
"""What the comparison with MINESweeper can tell, and what it cannot."""


def minesweeper_stars(table: QTable, least_snr: float = 5.0) -> QTable:
    """Turn-off and metal-poor stars of the Hectochelle catalog for the age model, with MINESweeper's own answers."""
    from astropy import units as u
    from astropy.table import QTable

    from starloom.catalog.schema import plain
    from starloom.stellar.ages import turn_off

    def column(name: str) -> Floats:
        return plain(table, name)

    def error(name: str) -> Floats:
        return 0.5 * (column(f"uerr_{name}") + column(f"lerr_{name}"))

    logg = column("logg")
    wanted = turn_off(logg) | (column("FeH") < -2.0)
    rows = np.flatnonzero(wanted & (column("SNR") > least_snr))
    rows = rows[np.argsort(~turn_off(logg[rows]), kind="stable")]  # turn-off stars first
    stars = QTable({"source_id": np.asarray(table["source_id"])[rows]})
    for name, source, unit in (("teff", "Teff", u.K), ("logg", "logg", 1), ("fe_h", "init_FeH", 1), ("a_v", "", u.mag)):
        # magnitudes are corrected for extinction: what is left of it is small
        value = column(source)[rows] if source else np.zeros(len(rows))
        sigma = error(source)[rows] if source else np.full(len(rows), 0.02)
        stars[name], stars[f"{name}_error"] = value * unit, sigma * unit
    stars["surface_fe_h"], stars["alpha_m"] = column("FeH")[rows], column("aFe")[rows]
    for name in ("parallax", "parallax_error"):
        stars[name] = column(name)[rows] * u.mas
    for band in "griz":
        value = column(band)[rows]
        stars[f"{band}_mag"] = np.where((value > 10) & (value < 25), value, np.nan) * u.mag
    log_age = column("logAge")[rows]
    stars["minesweeper_age"] = 10.0 ** (log_age - 9.0) * u.Gyr
    half = 0.5 * (
        10.0 ** (log_age + column("uerr_logAge")[rows] - 9.0) - 10.0 ** (log_age - column("lerr_logAge")[rows] - 9.0)
    )
    stars["minesweeper_age_error"] = half * u.Gyr
    stars["minesweeper_eep"], stars["minesweeper_mass"] = column("EEP")[rows], column("init_Mass")[rows] * u.Msun
    stars["minesweeper_a_v"], stars["minesweeper_a_v_error"] = column("Av")[rows] * u.mag, error("Av")[rows] * u.mag
    stars["minesweeper_distance"] = column("Dist")[rows] * u.kpc
    stars["minesweeper_distance_error"] = error("Dist")[rows] * u.kpc
    stars["member"], stars["snr"] = np.asarray(table["mem"])[rows].astype(bool), column("SNR")[rows]
    return stars


def metal_rich_enough(config: Config, models: Models) -> QTable:
    """Made turn-off stars of 12 Gyr whose [Fe/H] every family of models has."""
    from starloom.stellar.age_mock import MadeStars
    from starloom.studies.metal_poor_disk import GAIA, MADE_AGE

    makes = MadeStars(models.grid, models.corrections, GAIA, lambda r: MADE_AGE, lambda r: r.uniform(-1.6, -1.0))
    return makes.sample(min(config.calibration, 100), config.seed + 5)


def against_minesweeper(results: Results, config: Config, models: Models, source: Input) -> dict[str, Any]:
    """Ages and distances of turn-off stars beside those of another program from the same spectra."""
    from starloom.catalog.schema import plain
    from starloom.inference.population import population_of_densities
    from starloom.stellar.ages import turn_off
    from starloom.studies.metal_poor_disk import sensitivity, star_ages

    stars = minesweeper_stars(source.table)[: config.real_stars]
    model = star_ages(config, models)
    found = model.posteriors(stars)
    ours = model.predict(stars, posteriors=found)
    results.table(
        "hectochelle_ages", ours, "one row a turn-off or metal-poor star: our age and distance, MINESweeper's"
    )
    used = np.asarray(ours["reason"]) == ""
    near = turn_off(plain(ours, "logg"))
    results.number("turn-off stars of GD-1's fields", near.sum(), "stars", meaning="3.8 < log g < 4.3, S/N > 5")
    results.number("of these with ages", (near & used).sum(), "stars", meaning="a model fits, inside the grid")
    for name, unit in (("age", "Gyr"), ("distance", "")):
        here, theirs = plain(ours, name)[near & used], plain(ours, f"minesweeper_{name}")[near & used]
        difference = here - theirs if unit else here / theirs - 1.0
        low, middle, high = np.nanquantile(difference, (0.16, 0.5, 0.84))
        what = "ours - MINESweeper's" if unit else "ours / MINESweeper's - 1"
        results.number(
            f"median difference in {name}", middle, unit, low=low, high=high,
            meaning=f"turn-off stars, {what}; central 68 % of stars",
        )  # fmt: skip
        results.number(
            f"scatter of the difference in {name}", 0.5 * (high - low), unit, meaning="half of the central 68 %"
        )
    reasons(results, config, models, stars[near], found[near])
    samples = {"turn-off stars of GD-1's fields": stars[near], "made turn-off stars": metal_rich_enough(config, models)}
    families(results, config, models, samples, "mist" if config.family == "parsec" else "parsec")
    poor = used & (plain(ours, "surface_fe_h") < -2.0)
    members = poor & np.asarray(ours["member"])
    results.number("metal-poor stars with ages", poor.sum(), "stars", meaning="[Fe/H] < -2, S/N > 5, any log g")
    results.number("of these members of GD-1", members.sum(), "stars")
    below = poor & ~near & (plain(ours, "logg") > 4.3)
    for words, name in (("ours", "age"), ("MINESweeper's", "minesweeper_age")):
        if below.any():
            low, middle, high = np.quantile(plain(ours, name)[below], (0.16, 0.5, 0.84))
            results.number(
                f"median age of metal-poor dwarfs, {words}", middle, "Gyr", low=low, high=high,
                meaning=f"{below.sum()} stars below the turn-off, where zero points of models pass for ages",
            )  # fmt: skip
    chosen = poor & near & found.usable
    if chosen.sum() >= 3:
        words = "metal-poor turn-off stars of GD-1's fields"
        part = found.age_probability[chosen]
        population = population_of_densities(found.age_edges, part, outliers=0.4)
        low, middle, high = population.mean_quantiles()
        results.number(
            f"population age, {words}", middle, "Gyr", low=low, high=high,
            meaning=f"{chosen.sum()} stars; spread and outliers free: a demonstration, not the paper's sample",
        )  # fmt: skip
        results.number(
            f"spread of age, {words}, 95 % limit", population.spread_limit(), "Gyr", meaning="beside the outliers"
        )
        low, middle, high = population.outlier_quantiles()
        results.number(
            f"share of outliers, {words}", middle, "", low=low, high=high, meaning="ages spread evenly over the prior"
        )
        sensitivity(results, replace(found, age_probability=part), population, f", {words}")
    if source.record.kind == "real":
        results.warn(_COMPARED)
    return {"table": ours, "used": used & (near | poor), "poor": poor}
