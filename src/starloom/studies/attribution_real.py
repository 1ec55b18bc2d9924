"""The real half of the study age-attribution: how well a forest tells the ages of real stars, and from what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from starloom.catalog.schema import plain
from starloom.progress import say
from starloom.results.record import Bar, Results
from starloom.studies.attribution_parts import Taken, record_shares, take_apart

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.stars.ages import AgeForest
    from starloom.studies.age_attribution import Config

Floats = NDArray[np.float64]

STATES = {"red giants": 1.0, "red clump": 2.0}
LEAST = 40  # stars of a state below which no number is given


def kepler(results: Results, config: Config, giants: QTable, named: bool) -> list[Taken]:
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
            taken += _states_apart(results, config, giants, inputs, "Kepler" if named else "giants")
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


def _states_apart(results: Results, config: Config, stars: QTable, inputs: Sequence[str], sample: str) -> list[Taken]:
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
        entry = take_apart(model.forest, values, plain(stars, "age", "Gyr")[rows], used, f"{sample} {name}")
        taken.append(entry)
        record_shares(results, entry, config.seed)
    return taken


LOGG_ERROR, LUMINOSITY_ERROR = 0.05, 0.04
"""Errors, dex, given to seismic gravity and luminosity: what DR17's gravities show in the clump, and Gaia's."""


def apokasc(results: Results, config: Config, stars: QTable) -> list[Taken]:
    """Ages of APOKASC-2 from seismology alone; and from what a survey without seismology has, taken apart."""
    from starloom.stars.ages import ratio_scatter
    from starloom.stars.forest import ProbabilisticForest

    inputs = ("nu_max", "delta_nu", "evolutionary_state")
    say(f"APOKASC-2: ages from {', '.join(inputs)}")
    _validate(
        results, config, stars, inputs, "APOKASC-2, ages from seismology", {"red giants": 28.5, "red clump": 17.5}
    )
    names = ("teff", "logg", "log_l", "fe_h", "alpha_m")
    teff, radius = plain(stars, "teff", "K"), plain(stars, "radius", "Rsun")
    rng = np.random.default_rng(config.seed)
    logg = plain(stars, "logg") + LOGG_ERROR * rng.normal(size=len(stars))
    log_l = 2.0 * np.log10(radius) + 4.0 * np.log10(teff / 5772.0) + LUMINOSITY_ERROR * rng.normal(size=len(stars))
    values = np.column_stack([teff, logg, log_l, plain(stars, "fe_h"), plain(stars, "alpha_m")])
    age, taken = plain(stars, "age", "Gyr"), []
    for name, chosen in _states(stars):
        rows = np.flatnonzero(chosen & np.isfinite(values).all(axis=1))
        if len(rows) < 2 * LEAST:
            continue
        rows = rng.permutation(rows)
        asked, known = np.array_split(rows, [len(rows) // config.folds])
        forest = ProbabilisticForest(config.trees, config.min_samples_leaf, seed=config.seed)
        forest.fit(values[known], np.log10(age[known]))
        scatter = 100.0 * ratio_scatter(10.0 ** forest.predict(values[asked]), age[asked])
        results.number(
            f"APOKASC-2 {name}, without seismology: scatter", scatter, "%",
            meaning=f"from {', '.join(names)} with errors of a survey; {len(asked)} stars not learned from",
        )  # fmt: skip
        few = asked[: config.explained]
        entry = take_apart(forest, values[few], age[few], names, f"APOKASC-2 {name}")
        taken.append(entry)
        record_shares(results, entry, config.seed)
    return taken


def apogee(results: Results, config: Config, kepler: QTable, labels: QTable) -> None:
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


def dwarfs(results: Results, config: Config, stars: QTable) -> list[Taken]:
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
    entry = take_apart(forest, values[: config.explained], age[: config.explained], names, "HARPS dwarfs")
    record_shares(results, entry, config.seed)
    return [entry]
