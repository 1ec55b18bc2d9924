"""Long bars of the Galactic center: weighted library against brute force, limits, flights, origins, over many seeds."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from bars import Experiment, LongBar, Numbers, System, bootstrap, median, ratio
from scipy.stats import kstest

from starloom.galactic_center.binary import BlackHoleBinary
from starloom.galactic_center.brute_force import expected_by_force
from starloom.galactic_center.detection import Candidate
from starloom.galactic_center.ejection import CenterStars, VelocityLaw, isotropic
from starloom.galactic_center.exclusion import expected, expected_map, randomized_limit, upper_limit
from starloom.galactic_center.fast_mock import make
from starloom.galactic_center.flight import fly, frame_for, galaxy
from starloom.galactic_center.library import StarLibrary
from starloom.galactic_center.scenario import Scenario
from starloom.galactic_center.sky import Sky
from starloom.galactic_center.traceback import Traceback
from starloom.results.record import Bar
from starloom.seeds import generator
from starloom.simulation.gaia_errors import release

SEEDS = tuple(range(300, 312))
CHECKED = ((500.0, 1.0), (1000.0, 1.0), (4000.0, 0.3))


@functools.cache
def _sky() -> Sky:
    return Sky.real("Marchetti2017")


def measure_library(seed: int, *, library: int, force: int) -> Numbers:
    """Expected candidates in DR3 by both ways, and the thresholds."""
    sky, stars, rule, dr3 = _sky(), CenterStars(), Candidate(), release("dr3")
    made = StarLibrary.build(sky, library, seed=seed)
    candidate = made.arrived.detected(sky, dr3, rule, seed=seed, noise=4).candidate
    numbers: dict[str, object] = {"worst_energy": float(np.nanmax(made.arrived.flown.energy_error))}
    pulls = []
    for k, (mass, separation) in enumerate(CHECKED):
        scenario = Scenario(BlackHoleBinary(mass), separation=separation)
        ours = expected(made, candidate, scenario, stars)
        by_force = expected_by_force(sky, scenario, stars, dr3, rule, force, noise=4, seed=1000 * seed + k)
        numbers |= {f"weighted_{k}": ours.value, f"force_{k}": by_force.value}
        pulls.append((ours.value - by_force.value) / float(np.hypot(ours.error, by_force.error)))
    masses = np.geomspace(100.0, 3e4, 60)
    for kind, other in (("separation", 1.0), ("since_merger", 5.0)):
        found = expected_map(made, candidate, stars, masses, [other], kind=kind)
        numbers[kind], low, high = (float(value) for value in found.threshold(0.95, 0))
        numbers[f"{kind}_error"] = 0.5 * (high - low)
    return numbers | {"pulls": pulls, "within": sum(abs(p) < 2.0 for p in pulls), "points": len(pulls)}


def measure_laws(seed: int, *, draws: int, skies: int, flights: int) -> Numbers:
    """The velocity law, the coverage of the limit, the flights."""
    rng = generator(seed)
    law = VelocityLaw(BlackHoleBinary(1000.0).circular_speed(1e-3), 2.5e-4)
    speeds = law.ppf(rng.random(draws))
    low, high = 550.0**-3.1, float(law.fastest) ** -3.1
    truth = rng.uniform(1.0, 6.0, skies)
    counts = rng.poisson(truth)
    model = galaxy("Marchetti2017")
    numbers: dict[str, object] = {
        "p_value": float(kstest(speeds, lambda v: (low - v**-3.1) / (low - high)).pvalue),
        "covered": int(np.sum(randomized_limit(counts, 0.95, rng) >= truth)),
        "covered_plain": int(np.sum(upper_limit(counts) >= truth)),
        "skies": skies,
    }
    for name, slowest, fastest in (("fast", 550.0, 2000.0), ("back", 450.0, 600.0)):
        speed, out = rng.uniform(slowest, fastest, flights), isotropic(flights, rng)
        flown = fly(model, frame_for(model), speed, out, np.full(flights, 100.0))
        numbers |= {
            f"worst_{name}": float(np.nanmax(flown.energy_error)),
            f"lost_{name}": int((flown.reason != "").sum()),
        }
    return numbers


def measure_origins(seed: int, *, count: int, samples: int) -> Numbers:
    """Ejected stars and halo stars with errors, followed back."""
    model = galaxy("Marchetti2017")
    made = make(seed=seed, count=count)
    found = Traceback(model, frame_for(model), samples=samples).predict(made, seed=seed)
    true = np.asarray(made["from_center"])
    p = np.asarray(found["p_center"])
    numbers: dict[str, object] = {
        "from_center": int(true.sum()), "kept": int((p[true] > 0.05).sum()), "others": int((~true).sum()),
        "mistaken": int((p[~true] > 0.05).sum()),
    }  # fmt: skip
    for name in ("ejection_speed", "flight_time"):
        value = made[f"true_{name}"][true].value
        inside = (found[f"{name}_low"][true].value <= value) & (value <= found[f"{name}_high"][true].value)
        numbers[f"inside_{name}"] = int(inside.sum())
    return numbers


def _worst(name: str):
    return bootstrap(lambda numbers: max(n[name] for n in numbers))


def _spread(numbers: Sequence[Numbers]) -> float:
    pulls = np.concatenate([n["pulls"] for n in numbers])
    return float(np.sqrt(np.mean(pulls**2)))


LIBRARY = Experiment(
    "galactic center library", measure_library, SEEDS, {"library": 200_000, "force": 100_000},
    {"library": 5000, "force": 2000},
)  # fmt: skip
LAWS = Experiment(
    "galactic center laws", measure_laws, SEEDS, {"draws": 100_000, "skies": 1000, "flights": 2000},
    {"draws": 5000, "skies": 200, "flights": 50},
)  # fmt: skip
ORIGINS = Experiment(
    "galactic center origins", measure_origins, SEEDS, {"count": 100, "samples": 100}, {"count": 10, "samples": 16}
)

SYSTEM = System(
    name="galactic center",
    text="The model of the study sgra-companion. The weighted library and stars drawn for one binary alone are "
    "independent; their difference over its error should be a standard normal (2 sigma holds 95 %).",
    bars=(
        LongBar("weighted library within 2 sigma of brute force", LIBRARY, ratio("within", "points"), Bar(">=", 0.83),
                "three binaries a seed; of 36, 30 or more: false alarm 1 %", percent=True),
        LongBar("spread of the differences", LIBRARY, bootstrap(_spread), Bar("in", (0.75, 1.3)), "in their errors"),
        *(LongBar(f"weighted over brute force, {mass:g} Msun at {separation:g} mpc", LIBRARY,
                  ratio(f"weighted_{k}", f"force_{k}"), percent=True) for k, (mass, separation) in enumerate(CHECKED)),
        LongBar("companion excluded at 1 mpc, 95 %, DR3 (Msun)", LIBRARY, median("separation"), Bar("in", (500, 4000))),
        LongBar("Monte Carlo error of the mass at 1 mpc (Msun)", LIBRARY, median("separation_error")),
        LongBar("companion excluded 5 Myr after a merger, 95 %, DR3 (Msun)", LIBRARY, median("since_merger"),
                Bar("in", (200, 1500))),
        LongBar("Monte Carlo error of the mass after a merger (Msun)", LIBRARY, median("since_merger_error")),
        LongBar("worst energy error of the libraries", LIBRARY, _worst("worst_energy"), Bar("<=", 1e-8)),
        LongBar("worst energy error, 550-2000 km/s", LAWS, _worst("worst_fast"), Bar("<=", 1e-8)),
        LongBar("worst energy error, 450-600 km/s", LAWS, _worst("worst_back"), Bar("<=", 1e-6)),
        LongBar("flights lost or flagged", LAWS, bootstrap(lambda ns: sum(n["lost_fast"] + n["lost_back"] for n in ns)),
                Bar("<=", 0.0)),
        LongBar("velocity law, Kolmogorov-Smirnov p-value", LAWS, median("p_value"), Bar("in", (0.1, 0.9)),
                "median seed; false alarm 1e-5"),
        LongBar("coverage of the 95 % limit", LAWS, ratio("covered", "skies"), Bar("in", (0.93, 0.97)),
                "smoothed", percent=True),
        LongBar("coverage of the 95 % limit as used", LAWS, ratio("covered_plain", "skies"), Bar(">=", 0.95),
                "counts are discrete: it covers more", percent=True),
        LongBar("ejected stars that pass the center (p > 0.05)", ORIGINS, ratio("kept", "from_center"),
                Bar("in", (0.90, 0.99)), "3 % in distance; 95 % if the errors were normal there", percent=True),
        LongBar("halo stars that pass it by chance", ORIGINS, ratio("mistaken", "others"), percent=True),
        LongBar("coverage of ejection speeds", ORIGINS, ratio("inside_ejection_speed", "from_center"),
                Bar("in", (0.60, 0.76)), "68 %", percent=True),
        LongBar("coverage of flight times", ORIGINS, ratio("inside_flight_time", "from_center"),
                Bar("in", (0.60, 0.76)), "68 %", percent=True),
    ),
    source=Path(__file__).resolve(),
)  # fmt: skip
