"""Checks of metal-poor-disk on made samples, and what open tables of real stars show."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from starloom.results.record import Bar, Results
from starloom.studies.inputs import Input

if TYPE_CHECKING:
    from astropy.table import QTable
    from numpy.typing import NDArray

    from starloom.studies.metal_poor_disk import Config, Models

    Floats = NDArray[np.float64]

SAMPLE = 482  # stars in each made sample
ROTATION_EDGES = (-4.0, -3.0, -2.5, -2.0, -1.5, -1.0)
MG_SUN = 7.60  # log eps of magnesium in the Sun (2009ARA&A..47..481A)


# ---------------------------------------------------------------------------------------------------- made samples


def fraction_of_one(seed: int, isotropic: bool, frame: str = "astropy_v4.0") -> dict[str, float]:
    """One made sample of 482 stars through the whole estimate: fraction, interval, truth, significance of the trend."""
    from starloom.dynamics.frames import GalacticFrame
    from starloom.halo.metal_poor import MetalPoorDisk
    from starloom.halo.metal_poor_mock import MadeHalo
    from starloom.halo.prograde import fit_trend, prograde_fraction
    from starloom.studies.metal_poor_disk import MADE_SLOPE

    top, bottom = (float(np.log(f / (1.0 - f))) for f in MADE_SLOPE)
    halo = MadeHalo(
        fraction=1.0 / (1.0 + np.exp(-0.5 * (top + bottom))), fe_h_slope=bottom - top, isotropic=isotropic,
        frame=GalacticFrame.named(frame),
    )  # fmt: skip
    stars = halo.sample(int(1.32 * SAMPLE), seed)
    found = MetalPoorDisk(frame_name=frame, draws=128, seed=seed, workers=1).predict(stars, orbits=False)
    chosen = np.flatnonzero(np.asarray(found["selected"]))[:SAMPLE]
    p = np.asarray(found["p_prograde"])[chosen]
    fraction = prograde_fraction(p)
    trend = fit_trend(p, {"fe_h": found["fe_h"][chosen], "alpha_m": found["alpha_m"][chosen]}, seed=seed)
    return {
        "stars": float(len(chosen)),
        "value": fraction.value,
        "low": fraction.low,
        "high": fraction.high,
        "counted": fraction.counted,
        "true": float(np.mean(np.asarray(found["true_fraction"])[chosen])),
        "significance": -trend.significance("fe_h"),
    }


def fraction_intervals(results: Results, config: Config) -> None:
    """Coverage, power and bias of the fraction over made samples."""
    from starloom.inference.calibration import coverage
    from starloom.stats.intervals import fraction_interval

    seeds = range(1000 * config.seed, 1000 * config.seed + config.mocks)
    made = [fraction_of_one(seed, False, config.frame) for seed in seeds]
    still = [fraction_of_one(seed + 500_000, True, config.frame) for seed in seeds]

    def column(rows: list[dict[str, float]], name: str) -> Floats:
        return np.array([row[name] for row in rows])

    covered = coverage(column(made, "true"), column(made, "low"), column(made, "high"))
    clear = float((column(made, "significance") > 2.0).mean())
    # a share over few samples says little: the bars hold where there are enough of them
    enough = config.mocks >= 100
    for name, value, bar, meaning in (
        ("coverage of the fraction's 68 % interval", covered, Bar("in", (0.60, 0.76)), "truth inside"),
        (
            "samples whose trend is seen at 2 sigma", clear, Bar(">=", 0.85),
            "true fraction 0.85 to 0.6 over [Fe/H] -3 to -2, 482 stars each",
        ),
    ):  # fmt: skip
        low, high = fraction_interval(round(value * config.mocks), config.mocks, 0.9)
        results.number(
            name, value, "", low=float(low), high=float(high), bar=bar if enough else None,
            meaning=f"{meaning}; {config.mocks} samples, 90 % interval",
        )  # fmt: skip
    mean, error = column(still, "value").mean(), column(still, "value").std() / np.sqrt(config.mocks)
    results.number(
        "prograde fraction of an isotropic halo", mean, "", low=mean - error, high=mean + error,
        bar=Bar("in", (0.49, 0.51)) if enough else None, meaning="through the same cuts and errors, mean",
    )  # fmt: skip


def single_ages(results: Results, config: Config, models: Models) -> None:
    """Whether posteriors of single stars hold what they promise: the truth's place in them is uniform."""
    from starloom.inference.calibration import uniform_distance
    from starloom.studies.metal_poor_disk import GAIA

    pit = age_places(models, GAIA, config.calibration, config.seed + 77, config.workers)
    chance = uniform_distance(pit)[1]
    results.number(
        "KS probability that ages are calibrated", chance, "", bar=Bar(">=", 0.01),
        meaning=f"places of {np.isfinite(pit).sum()} true ages in their posteriors, ages flat over the prior",
    )  # fmt: skip
    results.number(
        "mean place of the true age in its posterior",
        float(np.nanmean(pit)),
        "",
        meaning=f"1/2 if unbiased; expected scatter {np.sqrt(1 / 12 / len(pit)):.3f}",
    )


def age_places(models: Models, bands: tuple[str, ...], count: int, seed: int, workers: int | None = None) -> Floats:
    """Places (PIT) of true ages of made turn-off stars in their posteriors, ages drawn from the prior."""
    from starloom.stellar.age_mock import MadeStars
    from starloom.stellar.ages import Floors, StarAges

    low, high = models.lattice.age_range
    floor = max(-3.0, models.grid.fe_h_range[0] + 0.4)
    makes = MadeStars(
        models.grid, models.corrections, bands, lambda r: r.uniform(low, high), lambda r: r.uniform(floor, -1.0)
    )
    stars = makes.sample(count, seed)
    model = StarAges(models.lattice, floors=Floors(0.0, 0.0, 0.0, 0.0), seed=seed, workers=workers)
    found = model.posteriors(stars)
    return np.where(found.usable, found.age_pit(stars["true_age"].value), np.nan)


def population_of_one(models: Models, seed: int, workers: int | None = None, count: int = 50) -> dict[str, float]:
    """A made population of turn-off stars of exactly 12 Gyr: its mean age and the limit on its spread."""
    from starloom.inference.population import population_of_densities
    from starloom.stellar.age_mock import MadeStars
    from starloom.stellar.ages import Floors, StarAges
    from starloom.studies.metal_poor_disk import GAIA, MADE_AGE

    floor = max(-3.0, models.grid.fe_h_range[0] + 0.4)
    makes = MadeStars(models.grid, models.corrections, GAIA, lambda r: MADE_AGE, lambda r: r.uniform(floor, -1.5))
    stars = makes.sample(count, seed)
    model = StarAges(models.lattice, floors=Floors(0.0, 0.0, 0.0, 0.0), seed=seed, workers=workers)
    found = model.posteriors(stars)
    population = population_of_densities(found.age_edges, found.age_probability)
    low, middle, high = population.mean_quantiles()
    return {"mean": middle, "low": low, "high": high, "limit": population.spread_limit()}


def populations(results: Results, config: Config, models: Models) -> None:
    """Mean age and limit on the spread over made populations of 50 stars without spread."""
    rows = [
        population_of_one(models, 2000 * config.seed + number, config.workers) for number in range(config.populations)
    ]
    off = np.array([row["mean"] - 12.0 for row in rows])
    limits = np.array([row["limit"] for row in rows])
    enough = len(rows) >= 5
    results.number(
        "typical error of a population's mean age", float(np.sqrt(np.mean(off**2))), "Gyr",
        bar=Bar("<=", 0.3) if enough else None,
        meaning=f"50 turn-off stars of 12 Gyr, log g to 0.05, parallax to 10 %; rms over {len(rows)} populations",
    )  # fmt: skip
    results.number(
        "bias of a population's mean age", float(off.mean()), "Gyr", meaning="mean over the same populations"
    )
    results.number(
        "typical 95 % limit on a spread of zero", float(np.median(limits)), "Gyr",
        low=float(limits.min()), high=float(limits.max()), bar=Bar("<=", 0.8) if enough else None,
        meaning=f"median over the populations (and their range); below 0.8 Gyr in {np.mean(limits < 0.8):.0%}",
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------------ real stars


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
    stars["minesweeper_distance"] = column("Dist")[rows] * u.kpc
    stars["minesweeper_distance_error"] = error("Dist")[rows] * u.kpc
    stars["member"], stars["snr"] = np.asarray(table["mem"])[rows].astype(bool), column("SNR")[rows]
    return stars


def against_minesweeper(results: Results, config: Config, models: Models, table: QTable) -> dict[str, Any]:
    """Ages and distances of turn-off stars beside those of another program from the same spectra."""
    from starloom.catalog.schema import plain
    from starloom.inference.population import population_of_densities
    from starloom.stellar.ages import turn_off
    from starloom.studies.metal_poor_disk import sensitivity, star_ages

    stars = minesweeper_stars(table)[: config.real_stars]
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
    without = star_ages(config, models, alpha="ignore").predict(stars[near])
    for name, unit in (("age", "Gyr"), ("distance", "")):
        for label, table_of in (("", ours[near]), (", [alpha/Fe] ignored", without)):
            fine = np.asarray(table_of["reason"]) == ""
            here, theirs = plain(table_of, name)[fine], plain(table_of, f"minesweeper_{name}")[fine]
            difference = here - theirs if unit else here / theirs - 1.0
            low, middle, high = np.nanquantile(difference, (0.16, 0.5, 0.84))
            what = "ours - MINESweeper's" if unit else "ours / MINESweeper's - 1"
            results.number(
                f"median difference in {name}{label}", middle, unit, low=low, high=high,
                meaning=f"turn-off stars, {what}; central 68 % of stars",
            )  # fmt: skip
            results.number(
                f"scatter of the difference in {name}{label}", 0.5 * (high - low), unit,
                meaning="half of the central 68 %",
            )  # fmt: skip
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
    results.warn(
        "The comparison with MINESweeper uses its own Teff, log g and initial [Fe/H], which lie on its isochrones "
        "already, and adds the magnitudes a second time: it tests models and priors, not the spectra. MINESweeper's "
        "ages carry an age prior for each Galactic component, ours a flat one. [alpha/Fe] raises here the metallicity "
        "of scaled-solar models (Salaris), which makes them cooler and the stars younger; ignoring it brings the ages "
        "closer to MINESweeper's. What else differs was not tested. Metal-poor dwarfs get young ages in both, perhaps "
        "because an error of the models' colors passes for age where the main sequence hardly depends on it."
    )
    return {"table": ours, "used": used & (near | poor), "poor": poor}


def line_of_sight(results: Results, config: Config, inputs: Mapping[str, Input]) -> dict[str, QTable]:
    """The sense of rotation of metal-poor stars without proper motions, in bins of [Fe/H]."""
    found = {}
    if "s5" in inputs:
        found["S5"] = _rotation_table(config, *_s5(inputs["s5"].table))
    if "jinabase" in inputs:
        ra, dec, speed, iron, magnesium = _jinabase(inputs["jinabase"].table)
        found["JINAbase"] = _rotation_table(config, ra, dec, speed, iron)
        poor = (iron < -2.0) & np.isfinite(magnesium)
        if poor.sum() > 100:
            middle = float(np.median(magnesium[poor]))
            for words, part in (("low", magnesium < middle), ("high", magnesium >= middle)):
                one = _rotation(config, ra[poor & part], dec[poor & part], speed[poor & part])
                if one is not None:
                    results.number(
                        f"rotation of JINAbase stars of {words} [Mg/Fe]", one.value, "km/s", low=one.low, high=one.high,
                        meaning=f"[Fe/H] < -2, {words}er half in [Mg/Fe], parted at {middle:.2f}; {one.stars} stars",
                    )  # fmt: skip
    for name, table in found.items():
        results.table(f"rotation_{name.lower()}", table, f"rotation of {name} stars from line-of-sight velocities")
        low_iron = table[table["high_edge"] <= -2.0]
        for row in low_iron:
            if np.isfinite(row["rotation"]):
                where = f"[Fe/H] {row['low_edge']:g} to {row['high_edge']:g}"
                results.number(
                    f"rotation of {name} stars, {where}", row["rotation"], "km/s",
                    low=row["rotation_low"], high=row["rotation_high"],
                    meaning=f"positive with the disk; {row['stars']} stars, line-of-sight velocities alone",
                )  # fmt: skip
    if found:
        results.warn(
            "Rotation from line-of-sight velocities has the right sign but is too small for stars far from the Sun; "
            "S5's fields lie on streams, and JINAbase is what the literature chose to observe. Neither is the paper's "
            "sample."
        )
    return found


def _s5(table: QTable) -> tuple[Floats, Floats, Floats, Floats]:
    from starloom.catalog.schema import plain

    good = (
        (plain(table, "good_star_pb") > 0.5) & (plain(table, "sn_1700d") > 5.0) & (plain(table, "vel_calib_std") < 20.0)
    )
    ra, dec, speed, iron = (plain(table, name)[good] for name in ("ra", "dec", "vel_calib", "feh50"))
    return ra, dec, speed, iron


def _jinabase(table: QTable) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    from astropy import units as u
    from astropy.coordinates import Angle

    from starloom.catalog.schema import plain

    speed, iron, magnesium = plain(table, "Vel"), plain(table, "Fe/H"), plain(table, "Mg") - MG_SUN
    place = np.asarray(table["Loc"]).astype(str)
    rows = np.flatnonzero((plain(table, "Priority") == 1) & np.isfinite(speed) & np.isfinite(iron) & (place == "HA"))
    ra, dec = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    for k, row in enumerate(rows):
        try:
            ra[k] = Angle(str(table["RA"][row]), u.hourangle).deg
            dec[k] = Angle(str(table["DEC"][row]), u.deg).deg
        except (ValueError, TypeError):  # some positions are missing
            continue
    known = np.isfinite(ra) & np.isfinite(dec)
    rows = rows[known]
    return ra[known], dec[known], speed[rows], iron[rows], magnesium[rows] - iron[rows]


def _rotation(config: Config, ra: Floats, dec: Floats, speed: Floats) -> Any:
    from starloom.dynamics.frames import GalacticFrame
    from starloom.errors import CatalogError
    from starloom.halo.line_of_sight import rotation_from_velocities

    try:
        return rotation_from_velocities(ra, dec, speed, GalacticFrame.named(config.frame), seed=config.seed)
    except CatalogError:
        return None


def _rotation_table(config: Config, ra: Floats, dec: Floats, speed: Floats, iron: Floats) -> QTable:
    from astropy.table import QTable

    rows = []
    for low, high in itertools.pairwise(ROTATION_EDGES):
        inside = (iron >= low) & (iron < high)
        one = _rotation(config, ra[inside], dec[inside], speed[inside])
        numbers = (
            (np.nan, np.nan, np.nan, np.nan, 0)
            if one is None
            else (one.value, one.low, one.high, one.dispersion, one.stars)
        )
        rows.append((low, high, *numbers))
    names = ("low_edge", "high_edge", "rotation", "rotation_low", "rotation_high", "dispersion", "stars")
    return QTable(rows=rows, names=names)


# ---------------------------------------------------------------------------------------------------- made inputs


def made_inputs(config: Config) -> dict[str, QTable]:
    """Made tables with the columns of the real ones: turn-off stars of 12 Gyr, and velocities of a rotating halo."""
    from astropy.table import QTable

    from starloom.halo.metal_poor_mock import MadeHalo
    from starloom.seeds import generator
    from starloom.stellar.age_mock import MadeStars
    from starloom.studies.metal_poor_disk import PANSTARRS, grids

    rng = generator(config.seed + 1)
    grid, corrections = grids(config.family)
    floor = max(-2.8, grid.fe_h_range[0])
    makes = MadeStars(
        grid,
        corrections,
        PANSTARRS,
        lambda r: r.normal(12.0, 0.3),
        lambda r: r.uniform(floor, -1.2),
        a_v=0.0,
        a_v_error=0.0,
    )
    stars = makes.sample(60, rng)
    count = len(stars)
    table = QTable({"source_id": np.arange(1, count + 1), "SNR": np.full(count, 20.0), "mem": np.arange(count) < 10})
    age, far = stars["true_age"].value, stars["true_distance"].value
    values = {
        "Teff": (stars["teff"].value, 80.0), "logg": (np.asarray(stars["logg"]), 0.05),
        "FeH": (np.asarray(stars["fe_h"]), 0.08), "init_FeH": (np.asarray(stars["fe_h"]), 0.08),
        "aFe": (np.zeros(count), 0.05), "logAge": (9.0 + np.log10(age) + rng.normal(0.0, 0.05, count), 0.05),
        "Dist": (far * (1.0 + rng.normal(0.0, 0.08, count)), 0.3),
    }  # fmt: skip
    for name, (value, sigma) in values.items():
        table[name] = value
        table[f"uerr_{name}"] = table[f"lerr_{name}"] = np.full(count, sigma)
    table["parallax"], table["parallax_error"] = stars["parallax"], stars["parallax_error"]
    for band in "griz":
        table[band] = stars[f"{band}_mag"]
    halo = MadeHalo(fe_h=(-3.0, -1.0)).sample(900, rng)
    s5 = QTable({"ra": halo["ra"], "dec": halo["dec"], "vel_calib": halo["radial_velocity"]})
    s5["vel_calib_std"], s5["feh50"] = halo["radial_velocity_error"], halo["fe_h"]
    s5["sn_1700d"], s5["good_star_pb"] = np.full(900, 10.0), np.ones(900)
    return {"hectochelle": table, "s5": s5}
