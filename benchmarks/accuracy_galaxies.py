"""Long bars of galaxy pictures: laws with a known exponent, and transfer to made questions with other galaxies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from bars import Experiment, LongBar, Numbers, System, bootstrap, median, share

from starloom.galaxies.mock_images import render
from starloom.galaxies.mock_tasks import TASKS, draw_task
from starloom.galaxies.scaling_laws import fit_power_law, relative_reduction
from starloom.results.record import Bar

EXPONENT = 0.30


def measure_law(seed: int, *, sizes: int, repetitions: int, scatter: float, resamples: int) -> Numbers:
    """Fit a law with noise to L = 1 + 5 N^-0.3."""
    n = np.repeat(250.0 * 2.0 ** np.arange(sizes), repetitions)
    noise = np.random.default_rng([seed, 1]).standard_normal(len(n))
    law = fit_power_law(n, (1.0 + 5.0 * n**-EXPONENT) * (1.0 + scatter * noise), seed=seed, resamples=resamples)
    low, high = law.interval()
    return {"exponent": law.exponent, "held": bool(low <= EXPONENT <= high)}


def measure_transfer(seed: int, *, labels: int, tests: int, tasks: Sequence[str], pixels: int) -> Numbers:
    """Linear probes on an EfficientNet-Lite0 with the weights of ImageNet, and on the same after votes."""
    from starloom.galaxies.encoder_weights import IMAGENET, load_encoder
    from starloom.galaxies.pretraining import make_sample, scores_of, shipped
    from starloom.galaxies.transfer import linear_probe
    from starloom.galaxies.vote_training import represent

    encoders = {"imagenet": load_encoder(IMAGENET), "both": shipped("lite0")[0].encoder}
    errors: dict[str, list[float]] = {name: [] for name in encoders}
    for place, task in enumerate(tasks):
        galaxies, truth = draw_task(task, labels + tests, seed=np.random.default_rng([seed, 2, place]))
        pictures = render(galaxies, pixels)
        for name, encoder in encoders.items():
            features = represent(encoder, pictures)
            found = linear_probe(features[:labels], truth[:labels], features[labels:], seed=seed)
            errors[name].append(float((found.argmax(axis=1) != truth[labels:]).mean()))
    small, _ = shipped("small")
    scores = scores_of(small, make_sample(tests, 64, seed=np.random.default_rng([seed, 3])))
    return {
        "reduction": float(np.mean(relative_reduction(errors["both"], errors["imagenet"]))),
        "rmse": scores["rmse"],
        "excess": scores["loss"] / scores["oracle"],
        "coverage": scores["coverage"],
    }


LAW = Experiment(
    "galaxies law", measure_law, tuple(range(500, 600)),
    {"sizes": 8, "repetitions": 3, "scatter": 0.003, "resamples": 400},
    {"sizes": 6, "repetitions": 2, "scatter": 0.003, "resamples": 100},
)  # fmt: skip
TRANSFER = Experiment(
    "galaxies transfer", measure_transfer, (600, 601, 602, 603),
    {"labels": 200, "tests": 1000, "tasks": list(TASKS), "pixels": 96},
    {"labels": 40, "tests": 60, "tasks": ["rings"], "pixels": 64},
)  # fmt: skip

SYSTEM = System(
    name="galaxy pictures",
    text=(
        "Laws: 100 sets of 24 points about L = 1 + 5 N^-0.3 with 0.3 % of scatter. Transfer: six made questions, 200 "
        "labels and 1,000 other galaxies, linear probes; the carried small encoder on 1,000 made galaxies."
    ),
    bars=(
        LongBar("exponent of a law of 0.30 (median)", LAW, median("exponent"), Bar("in", (0.27, 0.33))),
        LongBar("90 % intervals that hold it", LAW, share("held"), Bar(">=", 0.85), percent=True),
        LongBar("relative error reduction against ImageNet only", TRANSFER,
                bootstrap(lambda numbers: float(np.mean([n["reduction"] for n in numbers]))), Bar(">=", 0.31),
                "mean over questions and seeds", percent=True),
        LongBar("RMSE of predicted vote fractions", TRANSFER, median("rmse"), Bar("<=", 0.08), "carried small encoder"),
        LongBar("loss over the oracle's", TRANSFER, median("excess"), Bar("<=", 1.05), "carried small encoder"),
        LongBar("80 % vote intervals cover", TRANSFER, median("coverage"), Bar("in", (0.75, 0.85)), percent=True),
    ),
    source=Path(__file__).resolve(),
)  # fmt: skip
