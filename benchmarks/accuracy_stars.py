"""Long bars of the star foundation model: made stars whose truth is known, one training a seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from bars import Experiment, LongBar, Numbers, System, median, share

from starloom.results.record import Bar
from starloom.stars import mock
from starloom.stars.evaluation import COLOR_NAMES, LABEL_NAMES, label_scores, robust_scatter, usual_kinds
from starloom.stars.foundation import StarFoundation
from starloom.stars.rivals import network_answers

SEEDS = tuple(range(300, 306))


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


_SETTINGS, _QUICK = {"stars": 8000, "steps": 4000}, {"stars": 2500, "steps": 300}
_FULL = Experiment("star foundation", measure, SEEDS, _SETTINGS, _QUICK)

SYSTEM = System(
    name="stars",
    text="The star foundation model trained on 8,000 made stars (`starloom.stars.mock`) and scored on 2,000 others; "
    "the plain network has the same complete inputs. The numbers on real spectra are those of "
    "the study star-foundation.",
    bars=(
        LongBar("mean error over a plain network's", _FULL, median("ratio"), None, "four labels, full input"),
        LongBar("68 % coverage, mean of labels", _FULL, median("coverage"), Bar("in", (0.64, 0.74)), percent=True),
        LongBar("each label covered by 60 to 76 %", _FULL, share("covered"), None, "share of the seeds", percent=True),
        LongBar("false alarms of the flag", _FULL, median("false_alarms"), Bar("<=", 0.03), "of 0.5 %", percent=True),
        LongBar("error of Teff", _FULL, median("teff"), None, "K"),
        LongBar("error of [Fe/H]", _FULL, median("fe_h"), None, "dex"),
    ),
    source=Path(__file__).resolve(),
)  # fmt: skip
