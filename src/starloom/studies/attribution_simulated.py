"""The simulated half of the study age-attribution: known truth, all stages and the red clump, two histories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from starloom.catalog.schema import plain
from starloom.progress import say
from starloom.results.record import Bar, InputRecord, Results
from starloom.studies.attribution_parts import (
    CHEMISTRY,
    EVOLUTION,
    PAPER,
    Taken,
    groups_for,
    record_shares,
    take_apart,
)

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.studies.age_attribution import Config

Floats = NDArray[np.float64]

SIMULATED = ("teff", "logg", "log_l", "fe_h", "alpha_m", "c_n")
SAMPLES = {"all stages": "all", "red clump": "red_clump"}
ENOUGH = 2000  # test stars for which the distance of a uniform sample is well below its bar


@dataclass
class Simulated:
    """One simulated sample: what the forest of its own history says, and that of another."""

    name: str
    age: Floats
    fe_h: Floats
    law: Floats
    predicted: Floats
    swapped: Floats
    pit: Floats


def simulation(results: Results, config: Config) -> tuple[list[Simulated], list[Taken]]:
    """Both samples: laws and shares by the own history, biases by the other."""
    from starloom.simulation.chemical_evolution import OTHER, STANDARD
    from starloom.simulation.evolved_stars import observe, simulate
    from starloom.studies.inputs import content_sha256

    simulated, taken = [], []
    for place, (name, stages) in enumerate(SAMPLES.items()):
        say(f"simulated Milky Way: {name}")
        seeds = [config.seed * 1000 + 10 * place + k for k in range(6)]
        count = config.stars + config.test_stars
        stars = observe(simulate(count, seeds[0], history=STANDARD, stages=stages), seeds[1])  # type: ignore[arg-type]
        other = observe(
            simulate(config.stars, seeds[2], history=OTHER, stages=stages),  # type: ignore[arg-type]
            seeds[3],
        )
        if place == 0:
            origin = "simulated Milky Way: MIST, chemical history and migration with the parameters of docs"
            results.inputs.append(InputRecord("milky way", "simulated", origin, len(stars), content_sha256(stars)))
        made, parts = _sample(results, config, name, stars, other)
        simulated.append(made)
        taken.append(parts)
    biases = {made.name: abs(float(np.median(made.swapped / made.age)) - 1.0) for made in simulated}
    for made in simulated:
        results.number(
            f"{made.name}: swapped chemistry, bias over the ages", 100.0 * _bias_over_ages(made), "%",
            meaning="rms over ten age bins of the median of log(age by the other / by the own history)",
        )  # fmt: skip
    results.number(
        "swapped chemistry: bias of the red clump over that of all stages",
        biases["red clump"] / max(biases["all stages"], 1e-6), "", bar=Bar(">=", 2.0),
        meaning="|median(predicted / true) - 1| by forests that learned the other chemical history; red clump ages "
        f"follow the assumed chemical evolution, {PAPER} says in words",
    )  # fmt: skip
    return simulated, taken


def _bias_over_ages(made: Simulated) -> float:
    """Rms over bins of true age of the median ln ratio of ages by the other and by the own history."""
    ratio = np.log(made.swapped / made.predicted)
    parts = np.array_split(np.argsort(made.age), 10)
    return float(np.sqrt(np.mean([np.median(ratio[part]) ** 2 for part in parts])))


def simulated_inputs(stars: QTable) -> tuple[Floats, Floats]:
    """Inputs of the simulated stars and their errors (n, F)."""
    values = np.stack([plain(stars, name) for name in SIMULATED], axis=1)
    errors = np.stack([plain(stars, f"{name}_error") for name in SIMULATED], axis=1)
    return values, errors


def _sample(results: Results, config: Config, name: str, stars: QTable, other: QTable) -> tuple[Simulated, Taken]:
    from starloom.inference.calibration import coverage, sample_pit, uniform_distance
    from starloom.stars.ages import ratio_scatter
    from starloom.stars.attribution import attribute_groups, trend
    from starloom.stars.forest import ProbabilisticForest
    from starloom.stars.forest_calibration import LEVELS

    values, errors = simulated_inputs(stars)
    age = plain(stars, "age", "Gyr")
    test = np.arange(len(stars)) >= config.stars
    settings: dict[str, Any] = {"n_trees": config.trees, "min_samples_leaf": config.min_samples_leaf,
                                "seed": config.seed}  # fmt: skip
    forest = ProbabilisticForest(**settings).fit(values[~test], np.log10(age[~test]), X_error=errors[~test])
    asked, asked_errors, true = values[test], errors[test], age[test]
    law = forest.predict_quantiles(asked, LEVELS, X_error=asked_errors)
    pit = sample_pit(np.log10(true), law)
    middle = 10.0 ** forest.predict_quantiles(asked, [0.5], X_error=asked_errors)[:, 0]
    results.number(f"{name}: scatter of predicted / true age", 100.0 * ratio_scatter(middle, true), "%")
    results.number(
        f"{name}: distance of the PIT from uniform", uniform_distance(pit)[0], "",
        bar=Bar("<=", 0.05) if len(pit) >= ENOUGH else None,
        meaning=f"Kolmogorov-Smirnov, {len(pit)} stars",
    )  # fmt: skip
    low, high = forest.predict_quantiles(asked, [0.16, 0.84], X_error=asked_errors).T
    results.number(
        f"{name}: inside the 68 % interval", 100.0 * coverage(np.log10(true), low, high), "%",
        bar=Bar("in", (60.0, 76.0)),
    )  # fmt: skip
    swapped_values, swapped_errors = simulated_inputs(other)
    swapped = ProbabilisticForest(**settings).fit(
        swapped_values, np.log10(plain(other, "age", "Gyr")), X_error=swapped_errors
    )
    told = 10.0 ** swapped.predict_quantiles(asked, [0.5], X_error=asked_errors)[:, 0]
    for label, predicted in (("own", middle), ("other", told)):
        results.number(
            f"{name}: bias, forest of the {label} chemical history",
            100.0 * (float(np.median(predicted / true)) - 1.0), "%", meaning="median of predicted / true age, less 1",
        )  # fmt: skip
        line = trend(plain(stars, "fe_h")[test], np.log10(true), np.log10(predicted), seed=config.seed)
        results.number(
            f"{name}: slope of [Fe/H] with log age, forest of the {label} history, less the true one",
            line.difference, "dex/dex", low=line.difference - line.predicted_error,
            high=line.difference + line.predicted_error, meaning=f"true slope {line.true:.3f}",
        )  # fmt: skip
    part = take_apart(forest, asked[: config.explained], true[: config.explained], SIMULATED, f"simulated {name}")
    ruling = "stellar" if name == "all stages" else "chemical"
    words = {EVOLUTION: f"{ruling} evolution dominates, {PAPER} says in words"}
    record_shares(results, part, config.seed, words)
    strength = part.groups.strength()
    results.number(
        f"simulated {name}: stellar over stellar and chemical evolution",
        strength[EVOLUTION] / (strength[EVOLUTION] + strength[CHEMISTRY]), "",
        meaning="without [C/N], which is both; expected above 0.6 for all stages, below 0.4 for the red clump",
    )  # fmt: skip
    background = asked[-config.background :]
    by_hand = attribute_groups(
        forest, asked[: min(200, config.explained)], groups_for(SIMULATED), background=background, names=SIMULATED
    )
    for group, share in by_hand.shares().items():
        results.number(f"simulated {name}: interventional share of {group}", share, "")
    answer = forest.predict(asked[: config.explained])
    gap = max(float(np.abs(entry.answer - answer).max()) for entry in (part.groups, part.singles))
    results.number(
        f"simulated {name}: additivity of the contributions", gap, "dex", bar=Bar("<=", 1e-8),
        meaning="largest |base + contributions - answer|",
    )  # fmt: skip
    fe_h = plain(stars, "fe_h")[test]
    return Simulated(name, true, fe_h, law, middle, told, pit), part
