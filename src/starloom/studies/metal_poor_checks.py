"""Checks of metal-poor-disk on made samples, and made tables in the place of its real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from starloom.results.record import Bar, Results

if TYPE_CHECKING:
    from astropy.table import QTable
    from numpy.typing import NDArray

    from starloom.halo.metal_poor_mock import Kind
    from starloom.stellar.ages import AgePosteriors
    from starloom.studies.metal_poor_disk import Config, Models

    Floats = NDArray[np.float64]

SAMPLE = 482  # stars in each made sample


# ---------------------------------------------------------------------------------------------------- made samples


def fraction_of_one(
    seed: int, kind: Kind = "sides", frame: str = "astropy_v4.0", *, trend: bool = False
) -> dict[str, float]:
    """One made sample of 482 stars through the whole estimate: fraction, interval, truth and, if asked for, the trend.

    ``even`` is the fraction with rotations that are taken to be equally dense on either side of zero; ``significance``
    that of the trend with [Fe/H] in its standard deviations, 0 where it is not fitted.
    """
    from starloom.dynamics.frames import GalacticFrame
    from starloom.halo.metal_poor import MetalPoorDisk
    from starloom.halo.metal_poor_mock import MadeHalo
    from starloom.halo.prograde import fit_trend, prograde_fraction
    from starloom.halo.rotation import sign_probabilities
    from starloom.studies.metal_poor_disk import MADE_SLOPE

    top, bottom = (float(np.log(f / (1.0 - f))) for f in MADE_SLOPE)
    halo = MadeHalo(
        fraction=1.0 / (1.0 + np.exp(-0.5 * (top + bottom))), fe_h_slope=bottom - top, kind=kind,
        frame=GalacticFrame.named(frame),
    )  # fmt: skip
    stars = halo.sample(int(1.32 * SAMPLE), seed)
    model = MetalPoorDisk(frame_name=frame, draws=128, seed=seed, workers=1)
    found = model.predict(stars, orbits=False)
    chosen = np.flatnonzero(np.asarray(found["selected"]))[:SAMPLE]
    draws, weight = model.rotation_draws(stars[chosen])
    p = sign_probabilities(draws, weight=weight, seed=seed).probability
    fraction, even = prograde_fraction(p), prograde_fraction(np.asarray(found["p_prograde"])[chosen])
    significance = 0.0
    if trend:
        quantities = {"fe_h": found["fe_h"][chosen], "alpha_m": found["alpha_m"][chosen]}
        significance = -fit_trend(p, quantities, seed=seed).significance("fe_h")
    return {
        "stars": float(len(chosen)),
        "value": fraction.value,
        "low": fraction.low,
        "high": fraction.high,
        "even": even.value,
        "true": float(np.mean(np.asarray(found["true_fraction"])[chosen])),
        "significance": significance,
    }


def fraction_intervals(results: Results, config: Config) -> None:
    """Coverage, power and bias of the fraction over made samples."""
    from starloom.inference.calibration import coverage
    from starloom.stats.intervals import fraction_interval

    seeds = range(1000 * config.seed, 1000 * config.seed + config.mocks)
    made = [fraction_of_one(seed, "sides", config.frame, trend=True) for seed in seeds]
    still = [fraction_of_one(seed + 500_000, "isotropic", config.frame) for seed in seeds]

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
    off = column(made, "value") - column(made, "true")
    error = off.std() / np.sqrt(config.mocks)
    results.number(
        "bias of the fraction", float(off.mean()), "", low=float(off.mean() - error), high=float(off.mean() + error),
        meaning=f"over the same samples; their scatter is {off.std():.3f}",
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
    """Places (PIT) of true ages of made turn-off stars in their posteriors, ages drawn from the prior.

    [Fe/H] is flat over more than the window in which it is measured: at an end of the true range the flat prior of the
    posteriors would not hold, and a PIT would show that instead of what it is asked.
    """
    from starloom.stellar.age_mock import Errors, MadeStars
    from starloom.stellar.ages import Floors, StarAges

    low, high = models.lattice.age_range
    floor = max(-3.0, models.grid.fe_h_range[0] + 0.4)
    room = 6.0 * Errors().fe_h
    makes = MadeStars(
        models.grid, models.corrections, bands, lambda r: r.uniform(low, high),
        lambda r: r.uniform(max(floor - room, models.lattice.fe_h[0]), -1.0 + room), fe_h_window=(floor, -1.0),
    )  # fmt: skip
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
    limits = {"limit": population.spread_limit(), "ideal_limit": ideal_limit(found, MADE_AGE, seed)}
    return {"mean": middle, "low": low, "high": high, **limits}


def ideal_limit(found: AgePosteriors, age: float, seed: int) -> float:
    """The 95 % limit on the spread from normals as wide as the posteriors of these stars around one true age.

    Nothing of models, priors or sums is in it: what remains is the noise of so many stars with such errors.
    """
    from scipy.special import ndtr

    from starloom.inference.population import population_of_densities
    from starloom.seeds import generator

    edges = found.age_edges
    centers, p = 0.5 * (edges[1:] + edges[:-1]), found.age_probability[found.usable]
    width = np.sqrt(np.maximum(p @ centers**2 - (p @ centers) ** 2, 1e-4))
    seen = age + width * generator(seed).standard_normal(len(width))
    normal = np.diff(ndtr((edges - seen[:, None]) / width[:, None]), axis=1)
    return population_of_densities(edges, normal / normal.sum(axis=1, keepdims=True)).spread_limit()


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
    ideal = np.array([row["ideal_limit"] for row in rows])
    results.number(
        "the same from normals of the same widths", float(np.median(ideal)), "Gyr",
        low=float(ideal.min()), high=float(ideal.max()),
        meaning=f"the noise of 50 stars alone; below 0.8 Gyr in {np.mean(ideal < 0.8):.0%}",
    )  # fmt: skip


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
        "Dist": (far * (1.0 + rng.normal(0.0, 0.08, count)), 0.3), "Av": (np.zeros(count), 0.02),
    }  # fmt: skip
    for name, (value, sigma) in values.items():
        table[name] = value
        table[f"uerr_{name}"] = table[f"lerr_{name}"] = np.full(count, sigma)
    table["parallax"], table["parallax_error"] = stars["parallax"], stars["parallax_error"]
    table["EEP"], table["init_Mass"] = np.asarray(stars["true_eep"]), stars["true_initial_mass"].value
    for band in "griz":
        table[band] = stars[f"{band}_mag"]
    halo = MadeHalo(fe_h=(-3.0, -1.0)).sample(900, rng)
    s5 = QTable({"ra": halo["ra"], "dec": halo["dec"], "vel_calib": halo["radial_velocity"]})
    s5["vel_calib_std"], s5["feh50"] = halo["radial_velocity_error"], halo["fe_h"]
    s5["sn_1700d"], s5["good_star_pb"] = np.full(900, 10.0), np.ones(900)
    return {"hectochelle": table, "s5": s5}
