"""Long bars of the probabilistic forest and of attribution, on made samples with truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from bars import Experiment, LongBar, Numbers, System, median, ratio
from numpy.typing import NDArray

from starloom.inference.calibration import coverage, sample_pit, uniform_distance
from starloom.results.record import Bar
from starloom.seeds import generator
from starloom.stars.attribution import attribute, attribute_groups
from starloom.stars.forest import ProbabilisticForest
from starloom.stars.forest_calibration import LEVELS
from starloom.stats.scores import crps_of_quantiles

Floats = NDArray[np.float64]


def made(count: int, error: float, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """A curved relation whose scatter changes, inputs with errors about ``error`` that scatter by 0.9 in ln."""
    true = rng.normal(size=(count, 5))
    label = np.sin(2.0 * true[:, 0]) + 0.5 * true[:, 1] ** 2 + 0.3 * true[:, 2] * true[:, 0]
    label += rng.normal(size=count) * (0.1 + 0.15 * np.abs(true[:, 3]))
    sigma = error * np.exp(rng.normal(0.0, 0.9, size=true.shape))
    return true + sigma * rng.normal(size=true.shape), label, sigma


def measure_forest(seed: int, *, stars: int, trees: int) -> Numbers:
    """Laws with and without errors of inputs, beside quantile-forest."""
    from quantile_forest import RandomForestQuantileRegressor

    rng, numbers = generator(seed), {}
    for name, error in (("exact", 0.0), ("noisy", 0.25)):
        x, y, sigma = made(stars, error, rng)
        asked, truth, asked_sigma = made(2000, error, rng)
        plain = ProbabilisticForest(trees, seed=seed).fit(x, y)
        peer = RandomForestQuantileRegressor(trees, min_samples_leaf=5, max_samples_leaf=None, random_state=seed)
        theirs = np.asarray(peer.fit(x, y).predict(asked, list(LEVELS)))
        law = plain.predict_quantiles(asked, LEVELS)
        numbers[f"{name}_plain"] = float(crps_of_quantiles(law, LEVELS, truth).mean())
        numbers[f"{name}_peer"] = float(crps_of_quantiles(theirs, LEVELS, truth).mean())
        if name == "noisy":
            knowing = ProbabilisticForest(trees, seed=seed).fit(x, y, X_error=sigma)
            law = knowing.predict_quantiles(asked, LEVELS, X_error=asked_sigma)
            numbers["noisy_knowing"] = float(crps_of_quantiles(law, LEVELS, truth).mean())
        numbers[f"{name}_ks"] = uniform_distance(sample_pit(truth, law))[0]
        numbers[f"{name}_covered"] = coverage(truth, law[:, 32], law[:, 168])
    return numbers


def measure_attribution(seed: int, *, stars: int) -> Numbers:
    """Additivity, and single inputs against all coalitions, of a calibrated forest."""
    x, y, _ = made(stars, 0.0, generator(seed))
    forest = ProbabilisticForest(40, seed=seed).fit(x, y)
    asked, others = x[:200], x[200:230]
    alone = {f"x{k}": [k] for k in range(x.shape[1])}
    off, gap = 0.0, 0.0
    for background in (None, others):
        single = attribute(forest, asked, background=background)
        every = attribute_groups(forest, asked, alone, background=background)
        gap = max(gap, float(np.abs(single.answer - forest.predict(asked)).max()))
        off = max(off, float(np.abs(single.values - every.values).max()))
    return {"additivity": gap, "enumeration": off}


FOREST = Experiment("forest laws", measure_forest, tuple(range(5)), {"stars": 4000, "trees": 100},
                    {"stars": 800, "trees": 20})  # fmt: skip
ATTRIBUTION = Experiment("forest attribution", measure_attribution, tuple(range(3)), {"stars": 4000}, {"stars": 500})

SYSTEM = System(
    "forests",
    "Curved relations of five inputs with a scatter that changes. Noisy: errors of the inputs about 0.25, themselves "
    "scattered by 0.9 in the logarithm. 2,000 test stars a seed.",
    (
        LongBar("PIT distance from uniform", FOREST, median("exact_ks"), Bar("<=", 0.05)),
        LongBar("PIT distance from uniform, noisy inputs", FOREST, median("noisy_ks"), Bar("<=", 0.05)),
        LongBar("inside the 68 % interval", FOREST, median("exact_covered"), Bar("in", (0.60, 0.76)), percent=True),
        LongBar("inside the 68 % interval, noisy", FOREST, median("noisy_covered"), Bar("in", (0.60, 0.76)),
                percent=True),
        LongBar("CRPS over quantile-forest's", FOREST, ratio("exact_plain", "exact_peer"), Bar("<=", 1.02)),
        LongBar("CRPS with errors over without, noisy", FOREST, ratio("noisy_knowing", "noisy_plain"),
                Bar("<=", 0.97)),
        LongBar("CRPS with errors over quantile-forest's, noisy", FOREST, ratio("noisy_knowing", "noisy_peer"),
                Bar("<=", 0.97)),
        LongBar("additivity", ATTRIBUTION, median("additivity"), Bar("<=", 1e-8)),
        LongBar("single inputs against all coalitions", ATTRIBUTION, median("enumeration"), Bar("<=", 1e-8)),
    ),
    Path(__file__).resolve(),
)  # fmt: skip
