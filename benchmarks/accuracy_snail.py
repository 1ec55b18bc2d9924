"""Long bars of the snail: actions, erosion, linear theory, ages, dating, false alarms."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from bars import Experiment, LongBar, Numbers, Pooled, System, bootstrap, median, ratio, share

from starloom.disk.snail_diffusion import diffuse
from starloom.disk.snail_measurement import measure_counts
from starloom.disk.snail_noise import ColoredNoise, Subhalos, WhiteNoise
from starloom.disk.snail_particles import Particles
from starloom.disk.snail_response import SnailModel
from starloom.dynamics.orbits import TIME_UNIT
from starloom.dynamics.vertical_actions import VerticalActions, VerticalPotential
from starloom.results.record import Bar
from starloom.seeds import generator

HEATING = 1.6
ACTIONS = (10.0, 20.0, 40.0)
TIMES = (0.2, 0.3, 0.4, 0.5, 0.6)
REFERENCE = {  # J: z_max (pc), Omega (rad/Gyr), Omega' of the slab, computed by another program
    5.0: (389, 66.11, -1.528), 10.0: (575, 59.91, -1.003), 20.0: (863, 52.69, -0.5211), 30.0: (1099, 48.60, -0.3223),
    40.0: (1305, 45.93, -0.2222), 60.0: (1661, 42.58, -0.1280),
}  # fmt: skip


@functools.cache
def _model() -> SnailModel:
    return SnailModel(VerticalActions(VerticalPotential.slab(), 6.0))


def measure_actions(seed: int, *, stars: int) -> Numbers:
    """The harmonic oscillator, the reference table, and actions along orbits of 5 Gyr."""
    from scipy.integrate import solve_ivp

    rng = generator(seed)
    slab = _model().actions
    z, v = rng.normal(0.0, 0.5, stars), rng.normal(0.0, 25.0, stars)
    oscillator = VerticalActions(VerticalPotential.harmonic(70.0)).find(z, v)
    harmonic = np.abs(oscillator.action_z * 70.0 / (0.5 * v**2 + 0.5 * 70.0**2 * z**2) - 1.0).max()
    action = np.array(list(REFERENCE))
    found = np.stack(
        [1000.0 * slab.z_max(action), slab.omega(action) / TIME_UNIT, slab.omega_slope(action) / TIME_UNIT]
    )
    off = np.abs(found / np.array(list(REFERENCE.values())).T - 1.0).max()
    worst = 0.0
    for row in range(5):
        end = 5.0 / TIME_UNIT

        def rates(_: float, y: np.ndarray) -> list[float]:
            return [y[1], float(np.sign(y[0]) * slab.potential.force(np.abs(y[:1]))[0])]

        path = solve_ivp(rates, (0, end), [z[row], v[row]], "DOP853", rtol=1e-12, atol=1e-12,
                         t_eval=np.linspace(0, end, 200)).y  # fmt: skip
        along = slab.find(*path).action_z
        worst = max(worst, float(np.abs(along / along[0] - 1.0).max()))
    return {"harmonic": float(harmonic), "table": float(off), "conserved": worst}


def _sheared(
    rng: np.random.Generator, count: int, heating: float, action: float, times: tuple[float, ...]
) -> list[float]:
    """What is left of a spiral when heating and shear are those of one action: the assumptions of the local law."""
    slope = float(_model().actions.omega_slope(action)) / TIME_UNIT
    step = 0.01
    spread = np.sqrt(2.0 * heating * action * step)
    place, area = np.zeros(count), np.zeros(count)
    left = []
    for number in range(1, round(max(times) / step) + 1):
        kick = spread * rng.standard_normal(count)
        # the area below a random walk between two known ends has a variance of its own
        area += (place + 0.5 * kick) * step + spread * step / np.sqrt(12.0) * rng.standard_normal(count)
        place += kick
        if any(abs(number * step - time) < 1e-9 for time in times):
            left.append(float(abs(np.mean(np.exp(1j * slope * (area - place * number * step))))))
    return left


def measure_erosion(seed: int, *, particles: int) -> Numbers:
    """The t^3 law in its own setting, its exponent, its scaling with heating; and the slab against the equation."""
    rng, model = generator(seed), _model()
    worst, exponents = 0.0, []
    for action in ACTIONS:
        left = np.array(_sheared(rng, particles, HEATING, action, TIMES))
        law = np.exp(-((np.array(TIMES) / model.lifetime(action)) ** 3))
        worst = max(worst, float(np.abs(left / law - 1.0).max()))
        exponents.append(float(np.polyfit(np.log(TIMES), np.log(-np.log(left)), 1, w=1 - left)[0]))
    heatings = np.array([0.4, 0.8, 1.6, 3.2])
    ages = []
    for heating in heatings:
        left = _sheared(rng, particles // 4, float(heating), 20.0, (0.5,))[0]
        ages.append(0.5 / (-np.log(left)) ** (1.0 / 3.0))
    scaling = float(np.polyfit(np.log(heatings), np.log(ages), 1)[0])

    def background(j: np.ndarray) -> np.ndarray:
        return np.exp(-j / 20.0)

    times, places = (np.arange(60) + 0.5) * 0.01, np.array(ACTIONS)
    spiral = diffuse(model.actions, HEATING, background, times, places)
    smooth = diffuse(model.actions, HEATING, background, times, places, harmonic=0)
    equation = np.abs(spiral / smooth)
    stars = Particles.quiet(model.actions, particles, scale=20.0, high=100.0, seed=seed)
    stars.theta[:] = 0.0
    apart, law_apart, last = 0.0, 0.0, 0.0
    for index in (20, 40, 59):
        stars.drift(float(times[index]) - last, heating=HEATING, step=0.02)
        last = float(times[index])
        for number, place in enumerate(places):
            near = np.abs(stars.action - place) < 1.5
            turn = np.exp(1j * (stars.theta[near] - model.actions.omega(stars.action[near]) / TIME_UNIT * last))
            seen = abs(np.average(turn, weights=stars.weight[near]))
            apart = max(apart, abs(seen - equation[index, number]))
            law_apart = max(law_apart, abs(seen - float(np.exp(-((last / model.lifetime(place)) ** 3)))))
    return {"law": worst, "exponent": float(np.mean(exponents)), "scaling": scaling, "equation": float(apart),
            "slab": float(law_apart)}  # fmt: skip


def measure_response(seed: int, *, particles: int) -> Numbers:
    """One 1 km/s kick, 0.2 Gyr later, in 11 x 12 cells of action and angle."""
    model = replace(_model(), heating=0.0, span=0.4, steps=200)
    impulses = np.zeros(200)
    impulses[99] = 1.0
    edges, turns, fine = np.linspace(5.0, 60.0, 12), 12, 8
    stars = Particles.quiet(model.actions, particles, scale=20.0, high=90.0, seed=seed)
    stars.theta += 0.1 * seed  # another lattice
    stars.kick(1.0).drift(float(model.ages_ago[99]))
    seen = stars.contrast(edges, turns, 20.0)
    step = (edges[1] - edges[0]) / fine
    action = (edges[:-1, None] + (np.arange(fine) + 0.5) * step).ravel()
    angle = (np.arange(turns * fine) + 0.5) * 2.0 * np.pi / (turns * fine)
    weight = np.exp(-action / 20.0)
    made = model.contrast(impulses, action[:, None], angle[None, :]) * weight[:, None]
    cells = made.reshape(11, fine, turns, fine).sum(axis=(1, 3)) / (
        fine * weight.reshape(11, fine).sum(axis=1)[:, None]
    )
    return {"error": float(np.sqrt(np.mean((seen - cells) ** 2)) / cells.std())}


def measure_ages(seed: int, *, draws: int) -> Numbers:
    """Apparent ages of random spirals, and how Gaussian their amplitudes are."""
    from scipy.stats import kurtosis, skew

    model = _model()
    ages = model.ages(draws, seed=seed, workers=1)
    low, middle, high = ages.quantiles()
    still = replace(model, heating=0.0, span=10.0, steps=2000, oldest=2.0).ages(draws // 10, seed=seed, workers=1)
    colored = model.ages(draws, ColoredNoise(1.0, 0.03), seed=seed, workers=1).quantiles()[1]
    rng = generator(seed)
    amplitude = model.amplitudes(WhiteNoise(1.0).sample(20_000, model.steps, model.step, rng))[:, ::22]
    parts = np.concatenate([amplitude.real, amplitude.imag], axis=1)
    above = ages.quantiles(above=0.3)
    inside = (ages.matched > 0.2) & (ages.matched < 0.6)
    kicks = model.amplitudes(Subhalos().sample(100, model.steps, model.step, rng))
    return {
        "median": middle, "low": low, "high": high, "last": float(np.quantile(ages.matched, 0.99)), "above": above[1],
        "half": float(above[0] < 0.5 < above[2]), "bulk": float(inside[ages.matched > 0.3].mean()),
        "still": float(still.quantiles()[1]), "color": abs(float(colored) - middle),
        "skew": float(np.abs(skew(parts)).mean()), "kurtosis": float(np.abs(kurtosis(parts)).mean()),
        "subhalos": float(np.sqrt(np.mean(kicks.real**2))),
    }  # fmt: skip


def measure_dating(seed: int, *, samples: int) -> Numbers:
    """Kicks of a known age at 1 % noise a cell; several events; none; and intervals."""
    rng, model = generator(seed), _model()
    grid = np.linspace(3.0, 65.0, 400)
    edges = np.linspace(model.omega.min(), model.omega.max(), 49)
    middle = 0.5 * (edges[1:] + edges[:-1])
    omega = model.actions.omega(grid) / TIME_UNIT
    action = np.interp(middle, omega[::-1], grid[::-1])
    turns = (np.arange(48) + 0.5) * 2.0 * np.pi / 48

    def cells(kicks: dict[float, float]) -> np.ndarray:
        impulses = np.zeros(model.steps)
        for age, kick in kicks.items():
            impulses[round(age / model.step - 0.5)] += kick
        return 1e4 * (1.0 + model.contrast(impulses, action[:, None], turns[None, :]))

    worst, warned, alone = 0.0, 0, 0
    for age in (0.2, 0.4, 0.6):
        found = measure_counts(rng.poisson(cells({age: 1.0})), edges, bootstraps=0)
        worst = max(worst, *(abs(one - age) for one in (found.age, found.slope, found.fitted)))
        alone += any("one age" in warning for warning in found.warnings)
    several = [{0.2: 1.0, 0.6: 2.5}, {0.3: 1.0, 0.7: -2.0}, {0.15: 1.0, 0.5: 1.0}]
    for kicks in several:
        found = measure_counts(rng.poisson(cells(kicks)), edges, bootstraps=0)
        warned += any("one age" in warning for warning in found.warnings)
    alarms = sum(measure_counts(rng.poisson(np.full((48, 48), 4.0)), edges, bootstraps=0).seen for _ in range(samples))
    weak = 10.0 * (1.0 + 0.15 * np.cos(turns[None, :] - 0.45 * middle[:, None]))
    hits = 0
    for _ in range(samples):
        found = measure_counts(rng.poisson(weak), edges, bootstraps=100, seed=rng)
        hits += found.age_low <= 0.45 <= found.age_high
    return {"worst": worst, "warned": warned, "several": 3, "alone": alone, "alarms": int(alarms), "samples": samples,
            "hits": int(hits)}  # fmt: skip


def worst(name: str) -> Any:
    """The largest of a number over the seeds."""

    def pool(numbers: Any) -> Pooled:
        return Pooled(float(max(n[name] for n in numbers)), float("nan"), float("nan"))

    return pool


def mean(name: str) -> Any:
    """Mean of a number over the seeds."""
    return bootstrap(lambda numbers: float(np.mean([n[name] for n in numbers])))


TABLES = Experiment("snail actions", measure_actions, tuple(range(3)), {"stars": 100_000}, {"stars": 1000})
EROSION = Experiment("snail erosion", measure_erosion, (1, 2, 3), {"particles": 1_000_000}, {"particles": 20_000})
RESPONSE = Experiment("snail response", measure_response, (1, 2, 3), {"particles": 1_000_000}, {"particles": 20_000})
AGES = Experiment("snail ages", measure_ages, tuple(range(10, 15)), {"draws": 20_000}, {"draws": 2000})
DATING = Experiment("snail dating", measure_dating, tuple(range(20, 30)), {"samples": 20}, {"samples": 2})

SYSTEM = System(
    name="snail",
    text="Vertical actions, erosion of spirals by scattering, linear theory against particles, apparent ages of random "
    "spirals, and dating of made ones; all in the slab of 0.09 Msun/pc3 and 150 pc in a halo of 0.012 Msun/pc3, heated "
    "by 1.6 kpc km/s per Gyr.",
    bars=(
        LongBar("harmonic oscillator: relative error of J", TABLES, worst("harmonic"), Bar("<=", 1e-6)),
        LongBar("z_max, Omega, Omega' of a reference table: relative error", TABLES, worst("table"), Bar("<=", 2e-3)),
        LongBar("J along 5 Gyr: relative change", TABLES, worst("conserved"), Bar("<=", 1e-6)),
        LongBar("t^3 law by 1e6 particles to 0.6 Gyr: worst relative error", EROSION, worst("law"), Bar("<=", 0.01),
                "heating and shear of one action each; J = 10, 20, 40"),
        LongBar("exponent of t in the law", EROSION, mean("exponent"), Bar("in", (2.95, 3.05))),
        LongBar("exponent of the heating in t_d", EROSION, mean("scaling"), Bar("in", (-0.343, -0.323))),
        LongBar("the slab itself: particles less the diffusion equation", EROSION, worst("equation"), Bar("<=", 0.01),
                "of the amplitude at first"),
        LongBar("the slab itself: particles less the local law", EROSION, worst("slab"), None,
                "heating and shear change along J, which the law leaves out"),
        LongBar("linear theory against 1e6 particles: rms", RESPONSE, worst("error"), Bar("<=", 0.05),
                "over the rms contrast, 0.2 Gyr after 1 km/s"),
        LongBar("apparent age, median (Gyr)", AGES, median("median"), Bar("in", (0.24, 0.30))),
        LongBar("apparent age, 16 % (Gyr)", AGES, median("low"), Bar("in", (0.07, 0.13))),
        LongBar("apparent age, 84 % (Gyr)", AGES, median("high"), Bar("in", (0.43, 0.51))),
        LongBar("apparent age, 99 % (Gyr)", AGES, median("last"), Bar("<=", 0.85)),
        LongBar("apparent age above 0.3 Gyr, median (Gyr)", AGES, median("above"), Bar("in", (0.39, 0.47))),
        LongBar("of those above 0.3 Gyr, between 0.2 and 0.6", AGES, median("bulk"), Bar(">=", 0.5), percent=True),
        LongBar("0.5 Gyr inside their 16 to 84 %", AGES, share("half"), Bar(">=", 1.0), percent=True),
        LongBar("without diffusion, median (Gyr)", AGES, median("still"), Bar(">=", 0.8)),
        LongBar("white or 30 Myr noise: difference of the medians (Gyr)", AGES, worst("color"), Bar("<=", 0.03)),
        LongBar("amplitudes: mean absolute skewness", AGES, mean("skew"), Bar("<=", 0.05)),
        LongBar("amplitudes: mean absolute excess kurtosis", AGES, mean("kurtosis"), Bar("<=", 0.1)),
        LongBar("subhalos of 1e6 to 1e8 Msun: rms vertical velocity (km/s)", AGES, mean("subhalos"),
                Bar("in", (0.05, 1.0))),
        LongBar("single kicks at 0.2, 0.4, 0.6 Gyr: worst error (Gyr)", DATING, worst("worst"), Bar("<=", 0.03),
                "of filter, slope and fit, at 1 % noise a cell"),
        LongBar("several events warned of", DATING, ratio("warned", "several"), Bar(">=", 0.95), percent=True),
        LongBar("single kicks warned of", DATING, ratio("alone", "several"), Bar("<=", 0.05), percent=True),
        LongBar("false alarms at 1 %", DATING, ratio("alarms", "samples"), Bar("<=", 0.03), percent=True),
        LongBar("coverage of 68 % intervals of the age", DATING, ratio("hits", "samples"), Bar("in", (0.6, 0.76)),
                percent=True),
    ),
    source=Path(__file__).resolve(),
)  # fmt: skip
