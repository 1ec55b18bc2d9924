"""Where the numbers of `starloom.simulation.chemical_evolution.STANDARD` come from: a fit to Kepler's red giants.

    python benchmarks/fit_chemical_history.py

Simulated giants of Kepler's heights get ages with the errors of the real ones; the power of the enrichment and then the
numbers of [alpha/Fe] are those with which quantiles of [Fe/H] and [alpha/Fe] in bins of observed age come nearest to
the 2,406 red giants of 2021A&A...645A..85M. The high level stays at 0.25 dex, near the largest that giants have: only
half of the fall lies within the age of the disk, and with the level free it runs away. No score of any study enters.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from starloom.catalog.schema import plain
from starloom.datasets.access import open_table
from starloom.simulation.chemical_evolution import STANDARD
from starloom.simulation.evolved_stars import KEPLER, simulate
from starloom.stars.age_tables import miglio2021_stars

Floats = NDArray[np.float64]
AGES = np.array([0.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 20.0])
LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)
AGE_ERROR, COUNT = 0.23, 4500
BEFORE = replace(STANDARD, enrichment_power=0.32, alpha_high=0.28, alpha_low=0.0, alpha_slope=-0.1, alpha_age=9.5,
                 alpha_time=1.2)  # fmt: skip


def quantiles(values: Floats, age: Floats) -> Floats:
    """Quantiles (bins of age, levels)."""
    return np.array([np.quantile(values[(age > a) & (age <= b)], LEVELS) for a, b in itertools.pairwise(AGES)])


def simulated(count: int, seed: int) -> tuple[Floats, Floats]:
    """True ages and birth radii of red giants as Kepler has them."""
    rng, ages, radii = np.random.default_rng(seed), [np.empty(0)], [np.empty(0)]
    while sum(map(len, ages)) < count:
        stars = simulate(3000, rng, history=BEFORE, selection=KEPLER, stages="giants")
        nu_max = plain(stars, "nu_max")
        chosen = (np.asarray(stars["evolutionary_state"]) == 1) & (nu_max > 4.0) & (nu_max < 250.0)
        ages.append(plain(stars, "age")[chosen])
        radii.append(plain(stars, "birth_radius")[chosen])
    return np.concatenate(ages)[:count], np.concatenate(radii)[:count]


def least(loss: Callable[[Floats], float], start: list[float]) -> Floats:
    return np.asarray(minimize(loss, start, method="Nelder-Mead", options={"maxfev": 600}).x)


def main() -> None:
    real = miglio2021_stars(open_table("kepler_apogee_miglio2021", "ages"))
    real = real[plain(real, "evolutionary_state") == 1]
    real_age, iron, alpha = (plain(real, name) for name in ("age", "fe_h", "alpha_m"))
    weight = np.sqrt([((real_age > a) & (real_age <= b)).mean() for a, b in itertools.pairwise(AGES)])[:, None]
    wanted_iron, wanted_alpha = quantiles(iron, real_age), quantiles(alpha, real_age)
    age, birth = simulated(COUNT, 1)
    one, two, three = np.random.default_rng(2).normal(size=(3, len(age)))
    observed = age * np.exp(AGE_ERROR * one)

    def made_iron(power: float) -> Floats:
        made = replace(STANDARD, enrichment_power=power)
        return made.fe_h(age, birth) + STANDARD.fe_h_scatter * two

    def made_alpha(p: Floats, metals: Floats) -> Floats:
        made = replace(STANDARD, alpha_age=p[0], alpha_time=abs(p[1]), alpha_slope=p[2], alpha_low=p[3])
        return made.alpha_m(age, metals) + STANDARD.alpha_scatter * three

    def away(made: Floats, wanted: Floats, unit: float) -> float:
        return float((weight * ((quantiles(made, observed) - wanted) / unit) ** 2).sum())

    power = float(least(lambda p: away(made_iron(abs(p[0])), wanted_iron, 0.03), [0.2])[0])
    metals = made_iron(power)
    found = least(lambda p: away(made_alpha(p, metals), wanted_alpha, 0.01), [11.0, 1.2, -0.05, 0.01])
    before = BEFORE.fe_h(age, birth) + STANDARD.fe_h_scatter * two
    print(f"enrichment_power {power:.3f}: {away(metals, wanted_iron, 0.03):.0f}; {BEFORE.enrichment_power} gave "
          f"{away(before, wanted_iron, 0.03):.0f}")  # fmt: skip
    names = ("alpha_age", "alpha_time", "alpha_slope", "alpha_low")
    print(", ".join(f"{name} {value:.3f}" for name, value in zip(names, found, strict=True)))
    with np.printoptions(precision=2, suppress=True):
        print("age to, [Fe/H] made, real, [alpha/Fe] made, real: 10, 50, 90 %")
        columns = [
            quantiles(metals, observed),
            wanted_iron,
            quantiles(made_alpha(found, metals), observed),
            wanted_alpha,
        ]
        print(np.column_stack([AGES[1:], *(column[:, [0, 2, 4]] for column in columns)]))


if __name__ == "__main__":
    main()
