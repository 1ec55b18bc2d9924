"""Long bars of metal-poor disk stars: single ages, populations of one age, prograde fractions."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from bars import Experiment, LongBar, Numbers, Pooled, Pooling, System, bootstrap, median, share

from starloom.inference.calibration import uniform_distance
from starloom.results.record import Bar
from starloom.studies.metal_poor_checks import age_places, fraction_of_one, population_of_one
from starloom.studies.metal_poor_disk import GAIA, Config, Models

MOCKS = 50


@functools.cache
def models() -> Models:
    """MIST over the made stars' [Fe/H]."""
    return Models.open(Config(), (-3.6, -0.4))


def measure_single_ages(seed: int, *, stars: int) -> Numbers:
    """Places of true ages in their posteriors."""
    places = age_places(models(), GAIA, stars, seed, 1)
    return {"places": places[np.isfinite(places)].tolist(), "lost": int(np.isnan(places).sum())}


def measure_population(seed: int) -> Numbers:
    """50 turn-off stars of exactly 12 Gyr."""
    found = population_of_one(models(), seed, 1)
    return {
        "off": abs(found["mean"] - 12.0),
        "inside": found["low"] <= 12.0 <= found["high"],
        "limit": found["limit"],
        "below": found["limit"] < 0.8,
        "ideal": found["ideal_limit"],
        "ideal_below": found["ideal_limit"] < 0.8,
    }


def measure_fractions(seed: int, *, mocks: int) -> Numbers:
    """Made samples of 482 stars of each kind of rotation."""
    numbers: dict[str, float] = {"mocks": mocks}
    for start, kind in ((0, "sides"), (25_000, "populations"), (50_000, "isotropic")):
        made = [fraction_of_one(100_000 * seed + start + k, kind, trend=kind == "sides") for k in range(mocks)]
        numbers[f"{kind} inside"] = sum(row["low"] <= row["true"] <= row["high"] for row in made)
        numbers[f"{kind} seen"] = sum(row["significance"] > 2.0 for row in made)
        numbers[kind] = float(np.mean([row["value"] for row in made]))
        numbers[f"{kind} bias"] = float(np.mean([row["value"] - row["true"] for row in made]))
        numbers[f"{kind} even bias"] = float(np.mean([row["even"] - row["true"] for row in made]))
    return numbers


def _calibrated(numbers: Sequence[Numbers]) -> Pooled:
    """The KS probability of all places together; resampling would break what it tests."""
    chance = uniform_distance(np.concatenate([n["places"] for n in numbers]))[1]
    return Pooled(chance, float("nan"), float("nan"))


def _failures(numbers: Sequence[Numbers]) -> Pooled:
    """How many seeds fail by themselves."""
    failed = sum(uniform_distance(n["places"])[1] < 0.01 for n in numbers)
    return Pooled(float(failed), float("nan"), float("nan"))


def _middle(numbers: Sequence[Numbers]) -> Pooled:
    """Mean place with what its scatter is where places are uniform."""
    places = np.concatenate([n["places"] for n in numbers])
    mean, reach = float(places.mean()), 1.645 / np.sqrt(12.0 * len(places))
    return Pooled(mean, mean - reach, mean + reach)


def _per_mock(name: str) -> Pooling:
    return bootstrap(lambda numbers: sum(n[name] for n in numbers) / sum(n["mocks"] for n in numbers))


def _mean(name: str) -> Pooling:
    return bootstrap(lambda numbers: float(np.mean([n[name] for n in numbers])))


SINGLE = Experiment(
    "single ages", measure_single_ages, seeds=tuple(range(5)), settings={"stars": 200}, quick={"stars": 30}
)
MANY = Experiment(
    "single ages of many", measure_single_ages, seeds=tuple(range(100, 105)), settings={"stars": 2000},
    quick={"stars": 30},
)  # fmt: skip
POPULATION = Experiment("population age", measure_population, seeds=tuple(range(100)))
FRACTIONS = Experiment(
    "prograde fraction", measure_fractions, seeds=tuple(range(10)), settings={"mocks": MOCKS}, quick={"mocks": 4}
)

SYSTEM = System(
    "metal-poor disk",
    "Made stars from MIST, measured as H3 and Gaia would (Teff to 80 K, log g to 0.05, [Fe/H] to 0.08, magnitudes to "
    "0.02, parallaxes to about 10 %), with photometry computed star by star; made samples of 482 stars with a prograde "
    "fraction falling from 0.85 to 0.6 over [Fe/H] -3 to -2, distances to 8 %.",
    (
        LongBar(
            "ages are calibrated (KS probability)", SINGLE, _calibrated, Bar(">=", 0.01), "1,000 stars, ages flat"
        ),
        LongBar(
            "ages of many are calibrated (KS probability)", MANY, _calibrated, Bar(">=", 0.01),
            "10,000 stars: a wrong mean place of 0.005 would show",
        ),
        LongBar("mean place of the true age", MANY, _middle, Bar("in", (0.49, 0.51)), "1/2 if unbiased"),
        LongBar("seeds of 2,000 stars with p < 0.01", MANY, _failures, meaning="0.05 are to be expected by chance"),
        LongBar("stars without an age", MANY, bootstrap(lambda numbers: sum(n["lost"] for n in numbers))),
        LongBar("error of a population's mean age [Gyr]", POPULATION, median("off"), Bar("<=", 0.3), "50 stars"),
        LongBar("95 % limit on a spread of zero [Gyr]", POPULATION, median("limit"), Bar("<=", 0.8), "50 stars"),
        LongBar("populations with a limit below 0.8 Gyr", POPULATION, share("below"), percent=True),
        LongBar(
            "95 % limit from normals of the same widths [Gyr]", POPULATION, median("ideal"),
            meaning="the noise of 50 stars alone",
        ),
        LongBar("of these below 0.8 Gyr", POPULATION, share("ideal_below"), percent=True),
        LongBar("68 % intervals of the mean age that hold 12 Gyr", POPULATION, share("inside"), percent=True),
        LongBar(
            "68 % intervals of the fraction that hold the truth", FRACTIONS, _per_mock("sides inside"),
            Bar("in", (0.64, 0.72)), "500 samples of 482 stars, half normals of 150 and 110 km/s", percent=True,
        ),
        LongBar(
            "the same, two crowds", FRACTIONS, _per_mock("populations inside"), Bar("in", (0.64, 0.72)),
            "500 samples; the density of the rotations is smooth through zero", percent=True,
        ),
        LongBar("the same, isotropic", FRACTIONS, _per_mock("isotropic inside"), Bar("in", (0.64, 0.72)), percent=True),
        LongBar("bias of the fraction", FRACTIONS, _mean("sides bias"), Bar("in", (-0.004, 0.004)), "half normals"),
        LongBar("bias of the fraction, two crowds", FRACTIONS, _mean("populations bias"), Bar("in", (-0.004, 0.004))),
        LongBar(
            "bias if either side were equally dense near zero", FRACTIONS, _mean("sides even bias"),
            meaning="half normals: what `p_prograde` alone gives",
        ),
        LongBar("the same, two crowds", FRACTIONS, _mean("populations even bias")),
        LongBar(
            "samples whose trend is seen at 2 sigma", FRACTIONS, _per_mock("sides seen"), Bar(">=", 0.85),
            percent=True,
        ),
        LongBar(
            "fraction of an isotropic halo", FRACTIONS, _mean("isotropic"), Bar("in", (0.49, 0.51)),
            "500 samples, same cuts and errors",
        ),
    ),
    Path(__file__).resolve(),
)  # fmt: skip
