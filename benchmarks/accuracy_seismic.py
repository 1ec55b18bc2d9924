"""Long bars of the seismic ages: simulated pairs whose truth is known, one training a seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from bars import Experiment, LongBar, Numbers, System, median

from starloom.inference.calibration import coverage
from starloom.results.record import Bar
from starloom.simulation.chemical_evolution import STANDARD
from starloom.stars import seismic_diagnostics as diagnostics
from starloom.stars.seismic_ages import SeismicAges
from starloom.stars.seismic_network import NetworkSettings
from starloom.studies import seismic_mock as made
from starloom.studies.seismic_ages import OTHER_ALPHA

SEEDS = (800, 801, 802)


def measure(seed: int, *, pairs: int, test_stars: int, steps: int, size: int) -> Numbers:
    """Train on simulated pairs; score on the same Galaxy and on one with another relation of age and [alpha/M]."""
    rng = np.random.default_rng(seed)
    stars = made.giants(pairs, rng)
    pixels = made.continuum(stars)
    ready, table = made.pairs(stars, pixels, rng), made.labeled(stars, rng)
    model = SeismicAges.fit_latents(
        ready.spectra.flux, ready.spectra.error, ready.log_power, seed=rng, size=size,
        settings=NetworkSettings(steps=steps), spacing=True,
    )  # fmt: skip
    latents = model.encode(ready.spectra.flux, ready.spectra.error)
    few = slice(0, min(2000, pairs))
    model.fit_seismic(latents.rows(few), stars["nu_max"].value[few], stars["delta_nu"].value[few])
    model.fit_ages(latents.rows(few), table[few])
    numbers: dict[str, float] = {}
    for name, history in (("same", STANDARD), ("other", replace(STANDARD, **OTHER_ALPHA))):
        others = made.giants(test_stars, rng, history)
        observed = made.labeled(others, rng)
        blocks = made.blocks(others, pixels, rng, with_power=False)
        seen = latents.joined([model.encode(part.flux, part.error) for _, part, _ in blocks])
        found, ages = model.seismology(seen), model.ages(seen, observed)
        clump, truth = np.asarray(observed["red_clump"]), np.asarray(observed["true_age"].value)
        for quantity in ("nu_max", "delta_nu"):
            score = diagnostics.ratio_score(found[quantity], observed[quantity].value)
            numbers[f"{quantity} {name}"] = score.scatter
            rival = diagnostics.predict_with_forest(
                latents.coefficients[few][:, :5], np.log(stars[quantity].value[few]), seen.coefficients[:, :5]
            )
            theirs = diagnostics.ratio_score(np.exp(rival), observed[quantity].value).scatter
            numbers[f"{quantity} {name} over components"] = score.scatter / theirs
        alpha = np.asarray(observed["true_alpha_m"])
        numbers[f"alpha {name}"] = diagnostics.explained(
            latents.mean[few][:, model.used], np.asarray(stars["alpha_m"])[few], seen.mean[:, model.used], alpha
        )
        for stage, rows in (("branch", ~clump), ("clump", clump)):
            score = diagnostics.ratio_score(ages["age"][rows], truth[rows])
            numbers |= {f"age {stage} {name}": score.scatter, f"bias {stage} {name}": abs(score.bias)}
        numbers[f"residual {name}"] = abs(
            diagnostics.partial_correlation(
                np.log(ages["age"] / truth), alpha, np.log(truth), observed["true_fe_h"], clump.astype(float)
            )
        )
        numbers[f"coverage {name}"] = coverage(observed["age"].value, ages["age_low"], ages["age_high"])
    return numbers


_FULL = {"pairs": 4000, "test_stars": 2000, "steps": 4000, "size": 48}
_QUICK = {"pairs": 300, "test_stars": 120, "steps": 200, "size": 24}
_PAIRS = Experiment("seismic ages", measure, SEEDS, _FULL, _QUICK)


def _bars() -> tuple[LongBar, ...]:
    found = []
    for name, words in (("same", "same Galaxy"), ("other", "other relation of age and [alpha/M]")):
        for key, title, bar in (
            ("nu_max", "nu_max", Bar("<=", 0.10)),
            ("delta_nu", "delta_nu", Bar("<=", 0.08)),
            ("age branch", "age, giant branch", Bar("<=", 0.25)),
            ("age clump", "age, red clump", Bar("<=", 0.13)),
            ("bias branch", "bias of ages, giant branch", Bar("<=", 0.05)),
            ("bias clump", "bias of ages, red clump", Bar("<=", 0.05)),
            ("coverage", "68 % coverage of ages", Bar("in", (0.60, 0.76))),
        ):
            found.append(LongBar(f"{title}, {name}", _PAIRS, median(f"{key} {name}"), bar, words, percent=True))
        for key, title, bar in (
            ("alpha", "R2 of [alpha/M] from latents", Bar("<=", 0.15)),
            ("residual", "age residual with [alpha/M], partial correlation", Bar("<=", 0.05)),
        ):
            found.append(LongBar(f"{title}, {name}", _PAIRS, median(f"{key} {name}"), bar, words))
    for key in ("nu_max", "delta_nu"):
        bar = Bar("<=", 0.8)
        found.append(
            LongBar(f"{key}, latents over five components", _PAIRS, median(f"{key} same over components"), bar)
        )
    return tuple(found)


SYSTEM = System(
    name="seismic ages",
    text="The encoder-decoder trained on 4,000 simulated pairs and scored on 2,000 new stars of the same Galaxy and of "
    "one in which [alpha/M] falls with age in another way. Ages against the truth; coverage of ages with their noise.",
    bars=_bars(),
    source=Path(__file__).resolve(),
)
