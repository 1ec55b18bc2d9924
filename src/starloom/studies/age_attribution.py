"""Study age-attribution: how much of an age estimate is stellar physics, how much assumed history (arXiv:2305.15634).

Two parts. Real stars with ages (Kepler giants, HARPS dwarfs): how well a forest tells their ages, and from what. And a
simulated Milky Way, made by the study, where the truth is known: stars of all stages and the red clump, a forest that
learned one chemical history asked about stars of another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pydantic
from numpy.typing import NDArray

from starloom.catalog.schema import plain
from starloom.files import RunFolder
from starloom.progress import say
from starloom.results.record import Bar, InputRecord, Published, Results
from starloom.stars.age_tables import SCHEMA
from starloom.studies.study import Input, InputSpec, Study, StudyConfig

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.stars.ages import AgeForest
    from starloom.stars.attribution import Attribution
    from starloom.stars.forest import ProbabilisticForest

Floats = NDArray[np.float64]

PAPER = "arXiv:2305.15634"
EVOLUTION, CHEMISTRY, BOTH = "stellar evolution", "chemical evolution", "both ([C/N])"
GROUPS: dict[str, tuple[str, ...]] = {
    EVOLUTION: ("teff", "logg", "log_l", "radius", "mass", "nu_max", "delta_nu", "evolutionary_state"),
    BOTH: ("c_n",),
    CHEMISTRY: ("fe_h", "alpha_m", "y_mg", "mg_fe", "al_fe", "ti_fe", "ba_fe", "zn_fe"),
}
SIMULATED = ("teff", "logg", "log_l", "fe_h", "alpha_m", "c_n")
STATES = {"red giants": 1.0, "red clump": 2.0}
SAMPLES = {"all stages": "all", "red clump": "red_clump"}
ENOUGH = 2000  # test stars for which the distance of a uniform sample is well below its bar
LEAST = 40  # stars of a state below which no number is given


class Config(StudyConfig):
    """Settings of age-attribution."""

    stars: int = pydantic.Field(12_000, ge=500, description="simulated stars to learn from, of each sample")
    test_stars: int = pydantic.Field(2_000, ge=200, description="simulated stars to ask about")
    trees: int = pydantic.Field(100, ge=10, description="trees of each forest")
    min_samples_leaf: int = pydantic.Field(2, ge=1, description="training stars in a leaf")
    explained: int = pydantic.Field(1_000, ge=50, description="stars whose answers are taken apart")
    background: int = pydantic.Field(50, ge=5, description="stars that unknown inputs are taken from (interventional)")
    folds: int = pydantic.Field(5, ge=2, description="of the cross-validation on real stars")


@dataclass
class Taken:
    """One sample of stars whose answers were taken apart."""

    name: str
    age: Floats
    inputs: Floats
    names: tuple[str, ...]
    groups: Attribution
    singles: Attribution


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


def groups_for(names: Sequence[str]) -> dict[str, list[str]]:
    """The groups that have an input among the names, with those inputs."""
    found = {group: [name for name in members if name in names] for group, members in GROUPS.items()}
    return {group: members for group, members in found.items() if members}


def run(config: Config, inputs: Mapping[str, Input], folder: RunFolder) -> Results:
    """Learn ages, take the answers apart, and swap the chemical history."""
    from starloom.stars import age_tables
    from starloom.studies import attribution_pages

    results = Results("age-attribution", STUDY.title, config.preset, config.seed, summary=STUDY.summary)
    results.inputs = [entry.record for entry in inputs.values()]
    real = inputs["giants"].record.kind == "real"
    taken: list[Taken] = []
    giants = _giants(inputs["giants"].table)
    named = "__Fe_H_" in inputs["giants"].table.colnames
    taken += _kepler(results, config, giants, named)
    if "apokasc" in inputs:
        apokasc = age_tables.apokasc2_stars(inputs["apokasc"].table)
        _apokasc(results, config, apokasc)
        if "xp" in inputs:
            _apogee(results, config, apokasc, age_tables.apogee_labels(inputs["xp"].table))
    if "dwarfs" in inputs:
        taken += _dwarfs(results, config, age_tables.harps_stars(inputs["dwarfs"].table))
    simulated, more = _simulation(results, config)
    taken += more
    results.figures = attribution_pages.figures(taken, simulated)
    shares = attribution_pages.shares_table(taken)
    results.table("shares", shares, "mean |contribution| to log10(age) of each group of inputs, and its share")
    if real and not named:
        results.warn("The giants are a table of your own: published numbers are analogous only.")
    return results


def _giants(table: QTable) -> QTable:
    from starloom.stars.age_tables import miglio2021_stars

    if "__Fe_H_" in table.colnames:
        return miglio2021_stars(table)
    return SCHEMA.apply(table, label="the giants", unique=None)


# ------------------------------------------------------------------------------------------------------- real stars


def _kepler(results: Results, config: Config, giants: QTable, named: bool) -> list[Taken]:
    """Giants with ages: from mass, from radius, from everything a table of one's own has."""
    from starloom.errors import CatalogError
    from starloom.stars.ages import available

    have = available(giants)
    if "age" not in giants.colnames:
        raise CatalogError("the giants have no column 'age', which this study learns; see docs/age_attribution.md")
    choices: list[tuple[str, tuple[str, ...], Mapping[str, float]]] = []
    chemistry = tuple(name for name in ("fe_h", "alpha_m", "evolutionary_state") if name in have)
    if named:
        choices = [
            ("mass", ("mass", *chemistry), {"red giants": 5.0, "red clump": 5.0}),
            ("radius", ("radius", *chemistry), {"red giants": 28.0, "red clump": 25.0}),
        ]
    else:
        choices = [("all its inputs", have, {})]
    taken = []
    for label, inputs, bars in choices:
        say(f"giants: ages from {', '.join(inputs)}")
        found = _validate(results, config, giants, inputs, f"giants, ages from {label}", bars)
        if label != "mass":
            taken += _take_apart(results, config, giants, inputs, "Kepler" if named else "giants")
            table = giants.copy()
            for name, column in zip(("predicted_age_low", "predicted_age", "predicted_age_high"), found.T, strict=True):
                table[name] = column * giants["age"].unit
            results.table("giants", table, f"giants with ages told from {', '.join(inputs)} by forests without them")
    return taken


def _validate(
    results: Results, config: Config, stars: QTable, inputs: Sequence[str], label: str, bars: Mapping[str, float]
) -> Floats:
    """Cross-validated ages: scatter, bias and coverage of each state."""
    from starloom.inference.calibration import coverage
    from starloom.stars.ages import cross_validated, ratio_scatter

    found = cross_validated(
        stars, inputs, folds=config.folds, seed=config.seed, n_trees=config.trees,
        min_samples_leaf=config.min_samples_leaf,
    )  # fmt: skip
    age = plain(stars, "age", "Gyr")
    for name, chosen in _states(stars):
        if chosen.sum() < LEAST:
            continue
        ratio = found[chosen, 1] / age[chosen]
        bar = Bar("<=", bars[name]) if name in bars else None
        results.number(
            f"{label}: scatter, {name}", 100.0 * ratio_scatter(found[chosen, 1], age[chosen]), "%", bar=bar,
            meaning=f"1.48 MAD of predicted / given age, {int(chosen.sum())} stars, {config.folds} folds",
        )  # fmt: skip
        results.number(f"{label}: bias, {name}", 100.0 * (float(np.median(ratio)) - 1.0), "%")
        inside = coverage(age[chosen], found[chosen, 0], found[chosen, 2])
        results.number(
            f"{label}: inside the 68 % interval, {name}", 100.0 * inside, "%", bar=Bar("in", (60.0, 76.0))
        )  # fmt: skip
    return found


def _states(stars: QTable) -> list[tuple[str, NDArray[np.bool_]]]:
    if "evolutionary_state" not in stars.colnames:
        return [("all stars", np.ones(len(stars), dtype=bool))]
    state = plain(stars, "evolutionary_state")
    return [(name, state == code) for name, code in STATES.items()]


def _fitted(config: Config, stars: QTable, inputs: Sequence[str], chosen: NDArray[np.bool_]) -> AgeForest:
    from starloom.stars.ages import AgeForest

    model = AgeForest(
        inputs, n_trees=config.trees, min_samples_leaf=config.min_samples_leaf, seed=config.seed
    )  # fmt: skip
    return model.fit(stars, chosen=chosen)


def _take_apart(results: Results, config: Config, stars: QTable, inputs: Sequence[str], sample: str) -> list[Taken]:
    """Contributions to the ages of each state, by a forest of that state."""
    from starloom.stars.ages import inputs_of

    taken = []
    for name, chosen in _states(stars):
        if chosen.sum() < 2 * LEAST:
            continue
        used = [one for one in inputs if one != "evolutionary_state"]
        model = _fitted(config, stars, used, chosen)
        rows = np.flatnonzero(chosen)[: config.explained]
        values = inputs_of(stars[rows], used)[0]
        entry = _parts(model.forest, values, plain(stars, "age", "Gyr")[rows], used, f"{sample} {name}")
        taken.append(entry)
        _shares(results, entry, config.seed)
    return taken


def _parts(forest: ProbabilisticForest, values: Floats, age: Floats, names: Sequence[str], label: str) -> Taken:
    from starloom.stars.attribution import attribute, attribute_groups

    groups = attribute_groups(forest, values, groups_for(names), names=names)
    singles = attribute(forest, values, names=names)
    return Taken(label, age, values, tuple(names), groups, singles)


def _shares(results: Results, entry: Taken, seed: int, published: Mapping[str, Published] | None = None) -> None:
    for group in entry.groups.names:
        value, low, high = entry.groups.share(group, seed)
        results.number(
            f"{entry.name}: share of {group}", value, "", low=low, high=high,
            meaning="mean |Shapley value of the group| over the sum of the groups', path-dependent, log10(age)",
            published=(published or {}).get(group),
        )  # fmt: skip


def _apokasc(results: Results, config: Config, stars: QTable) -> None:
    inputs = ("nu_max", "delta_nu", "evolutionary_state")
    say(f"APOKASC-2: ages from {', '.join(inputs)}")
    _validate(
        results, config, stars, inputs, "APOKASC-2, ages from seismology", {"red giants": 28.5, "red clump": 17.5}
    )


def _apogee(results: Results, config: Config, kepler: QTable, labels: QTable) -> None:
    """A small check from end to end: forests of APOKASC-2 labels asked with another release's labels of a few stars."""
    from starloom.inference.calibration import coverage
    from starloom.stars.ages import ratio_scatter

    place = {name: row for row, name in enumerate(labels["apogee_id"])}
    both = np.array([name in place for name in kepler["apogee_id"]])
    if both.sum() < LEAST:
        results.warn(f"{int(both.sum())} stars of APOKASC-2 have labels in the XP sample: too few for the check")
        return
    inputs = ("teff", "logg", "fe_h", "alpha_m")
    model = _fitted(config, kepler, inputs, ~both)
    asked = labels[[place[name] for name in kepler["apogee_id"][both]]]
    low, middle, high = model.laws(asked, (0.16, 0.5, 0.84)).T
    age = plain(kepler, "age", "Gyr")[both]
    meaning = f"{int(both.sum())} stars only, not in the training: APOKASC-2 labels learned, DR17 labels asked"
    results.number("APOGEE DR17 labels: scatter", 100.0 * ratio_scatter(middle, age), "%", meaning=meaning)
    results.number("APOGEE DR17 labels: bias", 100.0 * (float(np.median(middle / age)) - 1.0), "%", meaning=meaning)
    results.number("APOGEE DR17 labels: inside the 68 % interval", 100.0 * coverage(age, low, high), "%")


def _dwarfs(results: Results, config: Config, stars: QTable) -> list[Taken]:
    """Dwarfs: stellar parameters against chemical clocks."""
    from starloom.stars.age_tables import CLOCKS
    from starloom.stars.ages import ratio_scatter
    from starloom.stars.forest import ProbabilisticForest

    names = ("teff", "logg", "fe_h", *CLOCKS)
    values = np.stack([plain(stars, name) for name in names], axis=1)
    age = plain(stars, "age", "Gyr")
    label = np.log10(age)
    forest = ProbabilisticForest(config.trees, config.min_samples_leaf, seed=config.seed)
    fold = np.random.default_rng(config.seed).permutation(np.arange(len(stars)) % config.folds)
    found = np.empty(len(stars))
    for k in range(config.folds):
        found[fold == k] = forest.fit(values[fold != k], label[fold != k]).predict(values[fold == k])
    results.number(
        "HARPS dwarfs: scatter", 100.0 * ratio_scatter(10.0**found, age), "%",
        meaning=f"{len(stars)} dwarfs with ages to 1.5 Gyr, from {', '.join(names)}",
    )  # fmt: skip
    results.number("HARPS dwarfs: scatter in age", float(1.4826 * np.median(np.abs(10.0**found - age))), "Gyr")
    forest.fit(values, label)
    entry = _parts(forest, values[: config.explained], age[: config.explained], names, "HARPS dwarfs")
    _shares(results, entry, config.seed)
    return [entry]


# ------------------------------------------------------------------------------------------------- simulated Galaxy


def _simulation(results: Results, config: Config) -> tuple[list[Simulated], list[Taken]]:
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
        meaning="|median(predicted / true) - 1| by forests that learned the other chemical history",
        published=Published(1.0, f"{PAPER}: red clump ages follow the assumed chemical evolution (in words)"),
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
    part = _parts(forest, asked[: config.explained], true[: config.explained], SIMULATED, f"simulated {name}")
    words = {EVOLUTION: Published(1.0 if name == "all stages" else 0.0, f"{PAPER}: "
             + ("stellar evolution dominates" if name == "all stages" else "chemical evolution dominates")
             + " (in words)")}  # fmt: skip
    _shares(results, part, config.seed, words)
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


def mock(config: Config) -> dict[str, QTable]:
    """Simulated giants with seismic masses and radii, and ages with 15 % errors."""
    from starloom.seeds import generator
    from starloom.simulation.evolved_stars import observe, simulate

    stars = observe(simulate(max(config.stars // 4, 500), config.seed, stages="giants"), config.seed + 1)
    rng = generator(config.seed + 2)
    kept = np.isin(stars["evolutionary_state"], (1, 2)) & np.isfinite(plain(stars, "nu_max"))
    stars = stars[kept]
    stars["age"] = stars["age"] * np.exp(0.15 * rng.normal(size=len(stars)))
    stars["age_error"] = 0.15 * stars["age"]
    del stars["mass"]
    return {"giants": stars}


STUDY = Study(
    name="age-attribution",
    title="How much of a stellar age is stellar physics, and how much assumed chemical history",
    arxiv="2305.15634",
    summary="Ages by a probabilistic forest, on real stars and in a simulated Milky Way; exact Shapley values say what "
    "stellar evolution and chemical evolution add to each, and what happens when the chemical history is another.",
    citations=(
        f"{PAPER} Shen et al., Disentangling stellar age estimates from Galactic chemodynamical evolution",
        "2021A&A...645A..85M Miglio et al., Age dissection of the Milky Way discs: Red giants in the Kepler field",
        "2018ApJS..239...32P Pinsonneault et al., The Second APOKASC Catalog: The Empirical Approach",
        "2019A&A...624A..78D Delgado Mena et al., Abundance to age ratios in the HARPS-GTO sample with Gaia DR2",
        "2016ApJ...823..102C Choi et al., Mesa Isochrones and Stellar Tracks (MIST). I. Solar-scaled Models",
        "arXiv:1805.09198 Frankel et al., Measuring radial orbit migration in the Galactic disk",
        "2015A&A...583A..87S Salaris et al., Post first dredge-up [C/N] ratio as age indicator",
    ),
    config=Config,
    presets={
        "tour": {"stars": 2500, "test_stars": 600, "trees": 30, "explained": 200, "background": 20, "folds": 2},
        "quick": {},
        "full": {"stars": 40_000, "test_stars": 5_000, "trees": 200, "explained": 3_000, "background": 100},
    },
    inputs=(
        InputSpec("giants", "kepler_apogee_miglio2021", "ages", "giants with ages and abundances", primary=True),
        InputSpec("apokasc", "apokasc2", "ages", "giants with seismology and ages", optional=True),
        InputSpec("xp", "apogee_xp", "labels", "labels of another release, of a few of them", optional=True),
        InputSpec("dwarfs", "harps_gto_ages", "stars", "dwarfs with ages and chemical clocks", optional=True),
    ),
    run=run,
    mock=mock,
    schema=SCHEMA,
    key_figure="groups_simulated",
)
