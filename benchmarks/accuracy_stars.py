"""Long bars of the star foundation model: one training a seed, on made stars and on the real ones."""

from __future__ import annotations

import functools
from functools import partial
from pathlib import Path
from typing import Any

import machine
import numpy as np
from bars import Experiment, LongBar, Numbers, System, bootstrap, median, share
from numpy.typing import NDArray

from starloom.catalog.tables import read_table
from starloom.datasets.access import locate
from starloom.files import make_folder
from starloom.results.record import Bar
from starloom.stars import mock
from starloom.stars.evaluation import (
    COLOR_NAMES,
    LABEL_NAMES,
    complete,
    half_of,
    label_scores,
    score,
    usual_kinds,
)
from starloom.stars.foundation import StarFoundation
from starloom.stars.release import DATASET, SHIPPED_PRESET, settings_of, train_release
from starloom.stars.rivals import TUNED, kept, network_answers, xgboost_answers
from starloom.stars.split import is_test, is_validation
from starloom.stars.tokens import Tokens
from starloom.stats.robust import robust_scatter

SEEDS = tuple(range(300, 306))
STEPS = settings_of(SHIPPED_PRESET).steps
_UNITS = ("K", "dex", "dex", "dex")


def measure(seed: int, *, stars: int, steps: int) -> Numbers:
    """Train on made stars, score on others, and train a plain network of the same complete inputs."""
    train, test = mock.make(stars, seed), mock.make(2000, seed + 1000)
    model = StarFoundation.fit(train, seed=seed, settings=mock.settings(steps), bases=mock.bases())
    tokens = model.tokens(test)
    scores = label_scores(model, tokens, np.random.default_rng(seed))
    words, given = model.vocabulary, usual_kinds(model)
    names = [*given, *LABEL_NAMES, *(name for name in COLOR_NAMES if name not in given)]
    parts = [model.tokens(train), tokens]
    whole = [part.rows(np.isfinite(part.values[:, words.places(names)]).all(axis=1)) for part in parts]
    inputs = [words.standardize(part.values[:, words.places(given)], words.places(given)) for part in whole]
    places = words.places(list(LABEL_NAMES))
    answers = network_answers(inputs[0], words.standardize(whole[0].values[:, places], places), inputs[1], seed=seed)
    away = whole[1].values[:, places] - words.restore(answers, places)
    ratios = [scores["full"][name] / robust_scatter(away[:, k]) for k, name in enumerate(LABEL_NAMES)]
    coverage = list(scores["full_coverage"].values())
    share_flagged = float(np.mean(~np.asarray(model.predict(test)["in_domain"])))
    return {
        "ratio": float(np.mean(ratios)),
        "coverage": float(np.mean(coverage)),
        "covered": bool(min(coverage) >= 0.60 and max(coverage) <= 0.76),
        "false_alarms": share_flagged,
        **{f"{name}": scores["full"][name] for name in LABEL_NAMES},
    }


KEPT = machine.ROOT / "results" / "accuracy"
"""Where trained models and the rivals' answers are kept, so that an interrupted run goes on behind them."""
FEW = 5
FORWARD = ("teff", "logg", "fe_h", "alpha_m", "j_h", "j_k")
COEFFICIENTS = tuple(f"{arm}_{order}" for arm in ("bp", "rp") for order in range(FEW))


@functools.cache
def real_stars() -> Any:
    """The table of the shipped model's data, and which rows test, tune and train."""
    stars = read_table(locate(DATASET).path)
    ids = np.asarray(stars["source_id"])
    return stars, is_test(ids), is_validation(ids)


def trained(seed: int, steps: int) -> StarFoundation:
    """The recipe of the shipped model with another seed; an interrupted training goes on."""
    folder = KEPT / f"star-foundation-seed-{seed}-{steps}"
    settings = settings_of(SHIPPED_PRESET, steps)
    if (folder / "model.json").exists():
        model = StarFoundation.load(folder)
        if model.history["steps"] == steps and model.network.shape == settings.architecture:
            return model
    return train_release(folder, steps=steps, seed=seed)


def parts_of(model: StarFoundation) -> tuple[Tokens, Tokens, Tokens]:
    """Complete stars to train, tune and test rivals with."""
    stars, test, valid = real_stars()
    tokens = model.tokens(stars)
    whole = complete(tokens, model, (*LABEL_NAMES, *COLOR_NAMES))
    return tokens.rows(whole & ~test & ~valid), tokens.rows(whole & valid), tokens.rows(whole & test)


class Rivals:
    """Robust scatters of trees and plain networks for given inputs, each found once for all seeds of a run."""

    def __init__(self) -> None:
        self.known: dict[Any, NDArray[np.float64]] = {}

    def scatter(self, model: StarFoundation, given: list[str], targets: tuple[str, ...], trees: int) -> Any:
        """Of the best of ``trees`` settings for each target; of a plain network with 0."""
        key = (tuple(given), targets, trees)
        if key not in self.known:
            words = model.vocabulary
            parts, places = parts_of(model), words.places(list(targets))
            from_, to = words.places(given), places
            x, y = ([words.standardize(part.values[:, p], p) for part in parts] for p in (from_, to))
            rivals = [partial(network_answers, x[0], y[0], x[2], seed=1)] if trees == 0 else [
                partial(xgboost_answers, x[0], y[0], x[1], y[1], x[2], setting, seed=1, threads=1)
                for setting in TUNED[:trees]
            ]  # fmt: skip
            found = [kept(make_folder(KEPT / "rivals"), rival) for rival in rivals]
            away = [parts[2].values[:, places] - words.restore(answers, places) for answers in found]
            self.known[key] = np.min([[robust_scatter(a[:, k]) for k in range(len(targets))] for a in away], axis=0)
        return self.known[key]


_RIVALS = Rivals()


def measure_real(seed: int, *, steps: int, trees: int) -> Numbers:
    """Train as the shipped model was, score on the stars whose ids end in 0, beside rivals of the same rows."""
    model = trained(seed, steps)
    test, words, full = parts_of(model)[2], model.vocabulary, usual_kinds(model)
    few, spectrum = usual_kinds(model, FEW), [name for name in full if name not in COLOR_NAMES]

    def scatter(request: tuple[str, ...], given: list[str], tokens: Tokens = test) -> NDArray[np.float64]:
        return np.array(list(score(model, tokens, request, given).scatter().values()))

    mine, covered = scatter(LABEL_NAMES, full), list(score(model, test, LABEL_NAMES, full).coverage().values())
    half = scatter(LABEL_NAMES, full, half_of(test, model, full, np.random.default_rng(seed)))
    colors = scatter(COLOR_NAMES, spectrum) / words.scale[words.places(list(COLOR_NAMES))]
    copied = scatter(LABEL_NAMES, [*full, *LABEL_NAMES]) / words.scale[words.places(list(LABEL_NAMES))]
    to_trees = mine / _RIVALS.scatter(model, full, LABEL_NAMES, trees)
    to_network = mine / _RIVALS.scatter(model, full, LABEL_NAMES, 0)
    from_few = scatter(LABEL_NAMES, few) / _RIVALS.scatter(model, few, LABEL_NAMES, 1)
    forward = scatter(COEFFICIENTS, list(FORWARD)) / _RIVALS.scatter(model, list(FORWARD), COEFFICIENTS, 1)
    result: dict[str, Any] = {}
    for k, name in enumerate(LABEL_NAMES):
        result |= {name: mine[k], f"{name} trees": to_trees[k], f"{name} network": to_network[k]}
        result |= {f"{name} few": from_few[k], f"{name} half": half[k] / mine[k], f"{name} copied": copied[k]}
        result[f"{name} coverage"] = covered[k]
    for name, value in zip(COLOR_NAMES, colors, strict=True):
        result[name] = value / colors[COLOR_NAMES.index("j_h")]
    result |= {"trees": to_trees.mean(), "network": to_network.mean()}
    result |= {"forward": float(np.mean(forward)), "forward worst": float(np.max(forward))}
    return {name: float(value) for name, value in result.items()}


def mean(name: str) -> Any:
    """Mean of a number over the seeds."""
    return bootstrap(lambda numbers: float(np.mean([n[name] for n in numbers])))


_REAL = Experiment("star foundation on real spectra", measure_real, (1, 2, 3), {"steps": STEPS, "trees": 3},
                   {"steps": 20, "trees": 1})  # fmt: skip


def _real_bars() -> list[LongBar]:
    bars = [LongBar(f"real: error of {n}", _REAL, mean(n), None, u) for n, u in zip(LABEL_NAMES, _UNITS, strict=True)]
    for task, text, bar in (
        ("trees", "over the best tuned XGBoost", Bar("<=", 0.95)),
        ("network", "over a plain network", Bar("<=", 1.0)),
        ("few", "5+5 coefficients and colors, over XGBoost", Bar("<=", 1.15)),
        ("half", "a random half of the tokens, over all of them", Bar("<=", 1.4)),
        ("copied", "copied, of its scale", Bar("<=", 0.02)),
        ("coverage", "68 % coverage", Bar("in", (0.64, 0.74))),
    ):
        bars += [LongBar(f"real: {name} {text}", _REAL, mean(f"{name} {task}"), bar) for name in LABEL_NAMES]
    return [
        *bars,
        LongBar("real: mean over XGBoost", _REAL, mean("trees"), Bar("<=", 0.90), "four labels"),
        LongBar("real: mean over a plain network", _REAL, mean("network"), None, "four labels"),
        LongBar("real: coefficients from labels over XGBoost", _REAL, mean("forward"), None, "mean of ten"),
        LongBar("real: the worst of them", _REAL, mean("forward worst"), Bar("<=", 1.10)),
        *(LongBar(f"real: {name}, never requested, over j_h", _REAL, mean(name), Bar("<=", 2.0), "from the spectrum")
          for name in ("bp_rp", "j_k")),
    ]  # fmt: skip


_SETTINGS, _QUICK = {"stars": 8000, "steps": 4000}, {"stars": 2500, "steps": 300}
_FULL = Experiment("star foundation", measure, SEEDS, _SETTINGS, _QUICK)

SYSTEM = System(
    name="stars",
    text="The star foundation model trained on 8,000 made stars (`starloom.stars.mock`) and scored on 2,000 others; "
    "the plain network has the same complete inputs. Lines with `real`: the recipe of the shipped model with "
    "three seeds, on real spectra, scored on the stars whose ids end in 0; rivals have the same complete rows.",
    bars=(
        LongBar("mean error over a plain network's", _FULL, median("ratio"), None, "four labels, full input"),
        LongBar("68 % coverage, mean of labels", _FULL, median("coverage"), Bar("in", (0.64, 0.74)), percent=True),
        LongBar("each label covered by 60 to 76 %", _FULL, share("covered"), None, "share of the seeds", percent=True),
        LongBar("false alarms of the flag", _FULL, median("false_alarms"), Bar("<=", 0.03), "of 0.5 %", percent=True),
        LongBar("error of Teff", _FULL, median("teff"), None, "K"),
        LongBar("error of [Fe/H]", _FULL, median("fe_h"), None, "dex"),
        *_real_bars(),
    ),
    source=Path(__file__).resolve(),
)  # fmt: skip
