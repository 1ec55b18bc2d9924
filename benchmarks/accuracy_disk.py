"""Long bars of dependence and disk: copulas, splits and maps on made samples with truth."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable
from bars import Experiment, LongBar, Numbers, Pooled, System, bootstrap, median, ratio, share
from numpy.typing import NDArray
from scipy.special import ndtri

from starloom.dependence.bands import bands
from starloom.dependence.conditional import ConditionalMap
from starloom.dependence.copula import fit_copula
from starloom.disk.age_metallicity import AgeMetallicity
from starloom.disk.alpha_sequences import AlphaSequences
from starloom.disk.galaxy_mock import galaxy, true_correlation
from starloom.disk.mock import Sequences, alpha_sequences
from starloom.errors import FitError
from starloom.results.record import Bar
from starloom.seeds import generator

Floats = NDArray[np.float64]
GRID = np.stack(np.meshgrid(np.linspace(0, 20, 101), np.linspace(0, 2, 9), indexing="ij"), -1).reshape(-1, 2)
CORE = (GRID[:, 0] > 4) & (GRID[:, 0] < 14) & (GRID[:, 1] < 1.5)
FULL = (GRID[:, 0] > 0.5) & (GRID[:, 0] < 19)
MIXES = (0.5, 0.2, 0.08)


def true_rho(z: Floats) -> Floats:
    """The known map of the mock, over R and |z| in kpc."""
    r, height = z.T
    return np.asarray(-0.5 * np.exp(-((r / 5) ** 2)) - 0.35 * np.minimum(height / 2, 1) + 0.1 * np.tanh((r - 12) / 3))


def disk(stars: int, seed: int) -> tuple[Floats, Floats, Floats]:
    """Unit normal pairs with that correlation: R from a Gamma(9) distribution, z from Laplace's."""
    rng = generator(seed)
    z = np.stack([rng.gamma(9.0, 1.0, stars), np.abs(rng.laplace(0.0, 0.5, stars))], axis=1)
    z = z[(z[:, 0] < 20.0) & (z[:, 1] < 2.0)]
    rho = true_rho(z)
    first, second = rng.normal(size=(2, len(z)))
    return z, first, rho * first + np.sqrt(1.0 - rho**2) * second


def measure_copula(seed: int, *, rows: int) -> Numbers:
    """A Gaussian copula of rho = -0.6 against its closed form."""
    rng, rho = generator(seed), -0.6
    first, second = rng.normal(size=(2, rows))
    copula = fit_copula(first, rho * first + np.sqrt(1 - rho**2) * second)
    u = np.linspace(0.05, 0.95, 91)
    x, y = ndtri(u)[:, None], ndtri(u)[None, :]
    true = np.exp(-(rho**2 * (x**2 + y**2) - 2 * rho * x * y) / (2 * (1 - rho**2))) / np.sqrt(1 - rho**2)
    step, phi = copula.grid[1] - copula.grid[0], np.exp(-0.5 * copula.grid**2) / np.sqrt(2 * np.pi)
    inside = np.abs(copula.grid) < ndtri(0.999)
    margins = [np.abs(copula.scores_density.sum(axis=k) * step / phi - 1)[inside].max() for k in (0, 1)]
    off = np.abs(copula.density(u[:, None], u[None, :]) - true)
    return {"error": float(off.mean()), "margin": float(max(margins))}


def measure_split(seed: int, *, stars: int) -> Numbers:
    """Made sequences of three mixes, and a sample with one summit."""
    found: dict[str, Any] = {}
    for mix in MIXES:
        sequences = Sequences(mix)
        table = alpha_sequences(sequences, stars, seed)
        truth = np.asarray(table["high_alpha"])
        best = sequences.probability(table["fe_h"], table["alpha_m"]) > 0.5
        try:
            side = np.asarray(AlphaSequences(bootstraps=0).fit(table).predict(table)["high_alpha"])
            found[f"ratio_{mix}"] = _balanced(side, truth) / _balanced(best, truth)
        except FitError:
            found[f"ratio_{mix}"] = 0.5
    rng = generator(seed)
    x = rng.normal(size=stars)
    y = -0.6 * x + 0.8 * rng.normal(size=stars)
    shapes = ((x, y), (x, np.exp(0.5 * y) + 0.3 * x**2), (rng.standard_t(3, size=stars), y), (rng.random(stars), y))
    refused = 0
    for first, second in shapes:
        try:
            AlphaSequences(bootstraps=0).fit(QTable({"fe_h": first, "alpha_m": second}))
        except FitError:
            refused += 1
    return found | {"refused": refused, "unimodal": len(shapes)}


def _balanced(side: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    return 0.5 * float(side[truth].mean() + (~side[~truth]).mean())


def measure_map(seed: int, *, stars: int, engine: str) -> Numbers:
    """The known map from one catalog."""
    z, x, y = disk(stars, seed)
    started = time.process_time()
    fitted = ConditionalMap("correlation", engine=engine, least_count=50.0).fit(z, x, y, seed=seed)  # type: ignore[arg-type]
    seconds = time.process_time() - started
    off = fitted.predict(GRID, masked=False) - true_rho(GRID)
    valid = fitted.valid(GRID) & FULL
    return {
        "core": _rms(off[CORE]),
        "core_max": float(np.abs(off[CORE]).max()),
        "full": _rms(off[valid]),
        "nan": bool(np.isnan(off).any()),
        "seconds": seconds,
    }


def _rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2)))


def measure_bands(seed: int, *, stars: int, refits: int, method: str) -> Numbers:
    """How much of the known map the bands of one catalog cover."""
    z, x, y = disk(stars, seed)
    started = time.process_time()
    fitted = ConditionalMap("correlation").fit(z, x, y)
    found = bands(fitted, GRID, refits=refits, method=method, seed=seed)  # type: ignore[arg-type]
    known, true = np.isfinite(found.value) & FULL, true_rho(GRID)
    inside = [int(((found.low[k] <= true) & (true <= found.high[k]))[known].sum()) for k in (0, 1)]
    seconds = time.process_time() - started
    return {"places": int(known.sum()), "inside_68": inside[0], "inside_95": inside[1], "seconds": seconds}


def measure_errors(seed: int, *, stars: int) -> Numbers:
    """25 % errors of ages and 0.1 dex of [Fe/H]: the naive and the corrected map of the made Galaxy."""
    noisy = galaxy(stars, seed, age_error=0.25, fe_h_error=0.1)
    places = np.stack(np.meshgrid(np.linspace(2, 16, 15), np.linspace(0.1, 1.7, 9), indexing="ij"), -1).reshape(-1, 2)
    true = true_correlation(*places.T, "all")
    numbers = {}
    for name, correct in (("naive", False), ("corrected", True)):
        model = AgeMetallicity(margins="values", correct=correct)
        found = model.fit(noisy, chosen=np.asarray(noisy["age"] > 0)).predict(places)
        numbers[name] = float(np.nanmean(found - true))
    return numbers


def mean(name: str) -> Any:
    """Mean of a number over the seeds."""
    return bootstrap(lambda numbers: float(np.mean([n[name] for n in numbers])))


def absolute_mean(name: str) -> Any:
    """Absolute value of the mean of a number over the seeds."""
    return bootstrap(lambda numbers: float(abs(np.mean([n[name] for n in numbers]))))


def least(names: Sequence[str]) -> Any:
    """The least of some numbers over all seeds."""

    def pool(numbers: Sequence[Numbers]) -> Pooled:
        value = float(min(n[name] for n in numbers for name in names))
        return Pooled(value, float("nan"), float("nan"))

    return pool


COPULA = Experiment("disk copula", measure_copula, tuple(range(10)), {"rows": 50_000}, {"rows": 5_000})
SPLIT = Experiment("disk split", measure_split, tuple(range(200, 210)), {"stars": 50_000}, {"stars": 20_000})
SMALL, LARGE = (
    Experiment(
        f"disk map {stars // 1000}k", measure_map, tuple(range(300, 300 + seeds)),
        {"stars": stars, "engine": "splines"}, {"stars": 5_000, "engine": "splines"},
    )
    for stars, seeds in ((60_000, 100), (200_000, 10))
)  # fmt: skip
NETWORKS = Experiment(
    "disk map networks", measure_map, tuple(range(300, 305)), {"stars": 60_000, "engine": "networks"},
    {"stars": 2_000, "engine": "networks"},
)  # fmt: skip
BOOTSTRAP, JACKKNIFE = (
    Experiment(
        f"disk bands {method}", measure_bands, tuple(range(100, 120)),
        {"stars": stars, "refits": refits, "method": method}, {"stars": 3_000, "refits": 10, "method": method},
    )
    for method, stars, refits in (("bootstrap", 60_000, 60), ("jackknife", 60_000, 50))
)  # fmt: skip
ERRORS = Experiment("disk errors", measure_errors, tuple(range(400, 410)), {"stars": 60_000}, {"stars": 10_000})


def _covered(experiment: Experiment, how: str) -> tuple[LongBar, ...]:
    return (
        LongBar(f"coverage of the 68 % bands, {how}", experiment, ratio("inside_68", "places"), Bar("in", (0.62, 0.75)),
                "over all places inside the mask; a tenth of the places of one mock is independent", percent=True),
        LongBar(f"coverage of the 95 % bands, {how}", experiment, ratio("inside_95", "places"), Bar(">=", 0.90),
                percent=True),
        LongBar(f"CPU seconds of the fit and its bands, {how}", experiment, median("seconds")),
    )  # fmt: skip


SYSTEM = System(
    name="disk",
    text="Copulas, the split of the alpha sequences, maps of a conditional correlation, on made samples with truth. "
    "The map is over R from a Gamma(9) distribution and |z| from Laplace's, of unit normal pairs; core is 4 < R < 14 "
    "kpc and |z| < 1.5 kpc, full is 0.5 < R < 19 kpc inside the mask. The networks are those of arXiv:2306.09319.",
    bars=(
        LongBar("Gaussian copula: mean |c - true|", COPULA, median("error"), Bar("<=", 0.04), "on [0.05, 0.95]^2"),
        LongBar("Gaussian copula: margins off one", COPULA, mean("margin"), Bar("<=", 0.01), "largest, ranks to 0.001"),
        *(LongBar(f"split {mix:.0%} high: balanced accuracy over the best", SPLIT, least([f"ratio_{mix}"]),
                  Bar(">=", 0.97), "least of the seeds") for mix in MIXES),
        LongBar("unimodal samples refused", SPLIT, ratio("refused", "unimodal"), Bar(">=", 0.95), percent=True),
        LongBar("map of 60k: core rms", SMALL, median("core"), Bar("<=", 0.015)),
        LongBar("map of 60k: core max", SMALL, median("core_max")),
        LongBar("map of 60k: full rms", SMALL, median("full"), Bar("<=", 0.03)),
        LongBar("map of 60k: CPU seconds", SMALL, median("seconds")),
        LongBar("map of 60k: runs with a NaN", SMALL, share("nan"), Bar("<=", 0.0)),
        LongBar("map of 200k: core rms", LARGE, median("core"), Bar("<=", 0.010)),
        LongBar("map of 200k: full rms", LARGE, median("full"), Bar("<=", 0.03)),
        LongBar("map of 60k, the paper's networks: core rms", NETWORKS, median("core")),
        LongBar("map of 60k, the paper's networks: full rms", NETWORKS, median("full")),
        LongBar("map of 60k, the paper's networks: CPU seconds", NETWORKS, median("seconds")),
        *_covered(BOOTSTRAP, "bootstrap"),
        *_covered(JACKKNIFE, "jackknife"),
        LongBar("25 % and 0.1 dex errors: bias of the corrected map", ERRORS, absolute_mean("corrected"),
                Bar("<=", 0.03)),
        LongBar("25 % and 0.1 dex errors: bias of the naive map", ERRORS, absolute_mean("naive")),
    ),
    source=Path(__file__).resolve(),
)  # fmt: skip
