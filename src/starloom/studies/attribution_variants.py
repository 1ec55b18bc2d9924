"""Which choice decides the shares: the simulated half of the study age-attribution with one thing changed at a time.

Forests without calibration, whose mean answers are taken apart: fast, and the same for all choices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from starloom.catalog.schema import plain
from starloom.progress import say
from starloom.simulation.chemical_evolution import OTHER, STANDARD, DredgeUp
from starloom.simulation.evolved_stars import KEPLER, Instrument, SurveySelection
from starloom.stars.attribution import Attribution, attribute_groups
from starloom.stars.forest import ProbabilisticForest
from starloom.studies.attribution_parts import BOTH, CHEMISTRY, EVOLUTION, GROUPS
from starloom.studies.attribution_simulated import SAMPLES, SIMULATED

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.simulation.chemical_evolution import ChemicalHistory

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

TREES, LEAF, EXPLAINED, TESTED = 40, 5, 400, 1000
BACKGROUND = 40
NOTE = (
    "Simulated stars with one choice changed at a time: shares of the groups in the mean |Shapley value| of "
    "log10(age), stellar over stellar and chemical evolution, scatter of the ages, and median bias (%) by a forest of "
    "the other chemical history. First line of each sample: as the study has it (smaller and uncalibrated)."
)
WITHOUT_C_N = tuple(name for name in SIMULATED if name != "c_n")


def _everything(stars: QTable) -> Booleans:
    return np.ones(len(stars), dtype=bool)


def _evolved(stars: QTable) -> Booleans:
    """Subgiants and giants, by gravity."""
    return np.asarray(np.asarray(stars["logg"]) < 4.0)


@dataclass(frozen=True)
class Choice:
    """One thing that could have been chosen otherwise.

    Parameters
    ----------
    title : what is changed.
    samples : of which samples it is asked.
    inputs : of the forest.
    moved : input -> group that it is counted to instead of its own.
    interventional : unknown inputs are taken from other stars.
    history, other : of the Galaxy, and the one that the second forest learned.
    dredge_up, selection, instrument : see `starloom.simulation.evolved_stars`.
    keep : which simulated stars stay.
    """

    title: str
    samples: tuple[str, ...] = tuple(SAMPLES)
    inputs: tuple[str, ...] = SIMULATED
    moved: Mapping[str, str] = field(default_factory=dict)
    interventional: bool = False
    history: ChemicalHistory = STANDARD
    other: ChemicalHistory = OTHER
    dredge_up: DredgeUp = DredgeUp()  # noqa: RUF009  (frozen)
    selection: SurveySelection = SurveySelection()  # noqa: RUF009  (frozen)
    instrument: Instrument = Instrument()  # noqa: RUF009  (frozen)
    keep: Callable[[QTable], Booleans] = _everything


_NORMAL = Instrument()
EARLIER_DISK = replace(
    STANDARD, enrichment_power=0.32, alpha_high=0.28, alpha_low=0.0, alpha_slope=-0.10, alpha_age=9.5, alpha_time=1.2
)
CHOICES: tuple[Choice, ...] = (
    Choice("as in the study"),
    Choice("[C/N] counts as stellar evolution", moved={"c_n": EVOLUTION}),
    Choice("[C/N] counts as chemical evolution", moved={"c_n": CHEMISTRY}),
    Choice("unknown inputs from other stars (interventional)", interventional=True),
    Choice("no [C/N]", inputs=WITHOUT_C_N),
    Choice("no luminosity", inputs=tuple(name for name in SIMULATED if name != "log_l")),
    Choice("no luminosity, no [C/N]", inputs=("teff", "logg", "fe_h", "alpha_m")),
    Choice("no luminosity, no [C/N], error of log g 0.1 dex", inputs=("teff", "logg", "fe_h", "alpha_m"),
           instrument=replace(_NORMAL, logg=0.1)),
    Choice("mass known to 5 %, no [C/N]", inputs=(*WITHOUT_C_N, "mass")),
    Choice("errors of Teff, log g, luminosity doubled", instrument=replace(_NORMAL, teff=60.0, logg=0.08, log_l=0.08)),
    Choice("[C/N] scatters by 0.10 dex", dredge_up=DredgeUp(scatter=0.10)),
    Choice("steeper enrichment, earlier fall of [alpha/M] than giants of Kepler have", history=EARLIER_DISK),
    Choice("no migration", history=replace(STANDARD, migration=0.0), other=replace(OTHER, migration=0.0)),
    Choice("fields 0.1 to 0.7 kpc from the plane", selection=KEPLER),
    Choice("no dwarfs (log g < 4)", samples=("all stages",), keep=_evolved),
    Choice("no dwarfs, no [C/N]", samples=("all stages",), inputs=WITHOUT_C_N, keep=_evolved),
    Choice("secondary clump left in (no color cut)", samples=("red clump",),
           selection=SurveySelection(color_cut=False)),
    Choice("secondary clump left in, [C/N] counts as chemical evolution", samples=("red clump",),
           selection=SurveySelection(color_cut=False), moved={"c_n": CHEMISTRY}),
)  # fmt: skip


def table(stars: int, seed: int, choices: tuple[Choice, ...] = CHOICES) -> QTable:
    """A row a sample and choice.

    Parameters
    ----------
    stars : to learn from.
    seed : of the draws; the same for all choices, so that rows differ by the choice alone.
    """
    from astropy.table import QTable

    rows = []
    for sample in SAMPLES:
        for choice in choices:
            if sample in choice.samples:
                say(f"{sample}: {choice.title}")
                rows.append((sample, choice.title, *measured(choice, sample, stars, seed)))
    names = (
        "sample",
        "choice",
        "evolution",
        "both",
        "chemistry",
        "evolution_over_two",
        "scatter",
        "swapped_bias",
    )
    return QTable(rows=rows, names=names)


def measured(choice: Choice, sample: str, stars: int, seed: int) -> tuple[float, ...]:
    """Shares of evolution, both and chemistry; evolution over evolution and chemistry; scatter and swapped bias (%)."""
    own = _drawn(choice, choice.history, sample, stars + TESTED, seed)
    other = _drawn(choice, choice.other, sample, stars, seed + 1)
    values, errors, age = _inputs(own, choice.inputs)
    asked, true = values[stars:], age[stars:]
    forest = _grown(values[:stars], errors[:stars], age[:stars])
    groups: dict[str, list[str]] = {}
    for name in choice.inputs:
        place = choice.moved.get(name) or next(group for group, members in GROUPS.items() if name in members)
        groups.setdefault(place, []).append(name)
    background = asked[-BACKGROUND:] if choice.interventional else None
    found: Attribution = attribute_groups(
        forest, asked[: EXPLAINED if background is None else EXPLAINED // 4], groups, background=background,
        names=choice.inputs,
    )  # fmt: skip
    shares = found.shares()
    evolution, both, chemistry = (shares.get(group, 0.0) for group in (EVOLUTION, BOTH, CHEMISTRY))
    answer = 10.0 ** forest.predict(asked, X_error=errors[stars:])
    foreign_values, foreign_errors, foreign_age = _inputs(other, choice.inputs)
    foreign = _grown(foreign_values, foreign_errors, foreign_age)
    told = 10.0 ** foreign.predict(asked, X_error=errors[stars:])
    ratio = answer / true
    scatter = 148.26 * float(np.median(np.abs(ratio - np.median(ratio))))
    bias = 100.0 * (float(np.median(told / true)) - 1.0)
    return evolution, both, chemistry, evolution / (evolution + chemistry), scatter, bias


def _drawn(choice: Choice, history: Any, sample: str, count: int, seed: int) -> QTable:
    from astropy.table import vstack

    from starloom.seeds import generator
    from starloom.simulation.evolved_stars import observe, simulate

    rng, parts, have = generator(seed), [], 0
    stages: Any = SAMPLES[sample]
    while have < count:
        made = simulate(
            count, rng, history=history, dredge_up=choice.dredge_up, selection=choice.selection, stages=stages
        )
        made = made[choice.keep(made)]
        parts.append(made)
        have += len(made)
    stars = observe(vstack(parts, metadata_conflicts="silent")[:count], rng, choice.instrument)
    if "mass" in choice.inputs:  # seismic masses
        sigma = 0.05 * stars["mass"]
        stars["mass"], stars["mass_error"] = stars["mass"] + sigma * rng.normal(size=count), sigma
    return stars


def _inputs(stars: QTable, names: tuple[str, ...]) -> tuple[Floats, Floats, Floats]:
    values, errors = (
        np.stack([plain(stars, f"{name}{ending}") for name in names], axis=1) for ending in ("", "_error")
    )
    return values, errors, plain(stars, "age", "Gyr")


def _grown(values: Floats, errors: Floats, age: Floats) -> ProbabilisticForest:
    forest = ProbabilisticForest(TREES, LEAF, seed=1, calibrate=False)
    return forest.fit(values, np.log10(age), X_error=errors)
