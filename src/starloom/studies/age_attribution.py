"""Study age-attribution: how much of an age estimate is stellar physics, how much assumed history (arXiv:2305.15634).

Two parts. Real stars with ages (Kepler giants, HARPS dwarfs): how well a forest tells their ages, and from what. And a
simulated Milky Way, made by the study, where the truth is known: stars of all stages and the red clump, a forest that
learned one chemical history asked about stars of another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pydantic

from starloom.catalog.schema import plain
from starloom.files import RunFolder
from starloom.results.record import Results
from starloom.stars.age_tables import SCHEMA
from starloom.studies.attribution_parts import PAPER, Taken
from starloom.studies.study import Input, InputSpec, Study, StudyConfig

if TYPE_CHECKING:
    from astropy.table import QTable


class Config(StudyConfig):
    """Settings of age-attribution."""

    stars: int = pydantic.Field(12_000, ge=500, description="simulated stars to learn from, of each sample")
    test_stars: int = pydantic.Field(2_000, ge=200, description="simulated stars to ask about")
    trees: int = pydantic.Field(100, ge=10, description="trees of each forest")
    min_samples_leaf: int = pydantic.Field(2, ge=1, description="training stars in a leaf")
    explained: int = pydantic.Field(1_000, ge=50, description="stars whose answers are taken apart")
    background: int = pydantic.Field(50, ge=5, description="stars that unknown inputs are taken from (interventional)")
    folds: int = pydantic.Field(5, ge=2, description="of the cross-validation on real stars")
    variant_stars: int = pydantic.Field(
        3_000, ge=0, description="simulated stars to learn from where one choice is changed at a time; 0 leaves it out"
    )


def run(config: Config, inputs: Mapping[str, Input], folder: RunFolder) -> Results:
    """Learn ages, take the answers apart, and swap the chemical history."""
    from starloom.stars import age_tables
    from starloom.studies import attribution_pages, attribution_real, attribution_simulated, attribution_variants

    results = Results("age-attribution", STUDY.title, config.preset, config.seed, summary=STUDY.summary)
    results.inputs = [entry.record for entry in inputs.values()]
    real = inputs["giants"].record.kind == "real"
    taken: list[Taken] = []
    giants = _giants(inputs["giants"].table)
    named = "__Fe_H_" in inputs["giants"].table.colnames
    taken += attribution_real.kepler(results, config, giants, named)
    if "apokasc" in inputs:
        apokasc = age_tables.apokasc2_stars(inputs["apokasc"].table)
        taken += attribution_real.apokasc(results, config, apokasc)
        if "xp" in inputs:
            attribution_real.apogee(results, config, apokasc, age_tables.apogee_labels(inputs["xp"].table))
    if "dwarfs" in inputs:
        taken += attribution_real.dwarfs(results, config, age_tables.harps_stars(inputs["dwarfs"].table))
    simulated, more = attribution_simulated.simulation(results, config)
    taken += more
    results.figures = attribution_pages.figures(taken, simulated)
    shares = attribution_pages.shares_table(taken)
    results.table("shares", shares, "mean |contribution| to log10(age) of each group of inputs, and its share")
    if config.variant_stars:
        choices = attribution_variants.table(config.variant_stars, config.seed)
        results.table("choices", choices, attribution_variants.NOTE)
        results.figures.append(attribution_pages.choices(choices))
    if real and not named:
        results.warn("The giants are a table of your own: published numbers are analogous only.")
    return results


def _giants(table: QTable) -> QTable:
    from starloom.stars.age_tables import miglio2021_stars

    if "__Fe_H_" in table.colnames:
        return miglio2021_stars(table)
    return SCHEMA.apply(table, label="the giants", unique=None)


def mock(config: Config) -> dict[str, QTable]:
    """Simulated giants with seismic masses and radii, and ages with 15 % errors."""
    from starloom.seeds import generator
    from starloom.simulation.evolved_stars import observe, simulate

    stars = observe(simulate(max(config.stars // 4, 500), config.seed, stages="giants"), config.seed + 1)
    rng = generator(config.seed + 2)
    kept = np.isin(stars["evolutionary_state"], (1, 2)) & np.isfinite(plain(stars, "nu_max"))
    stars = stars[kept]
    stars["age"] = stars["age"] * np.exp(0.15 * rng.normal(size=len(stars)))
    stars["age_error"] = 0.15 * stars["age"]
    del stars["mass"]
    return {"giants": stars}


STUDY = Study(
    name="age-attribution",
    title="How much of a stellar age is stellar physics, and how much assumed chemical history",
    arxiv="2305.15634",
    summary="Ages by a probabilistic forest, on real stars and in a simulated Milky Way; exact Shapley values say what "
    "stellar evolution and chemical evolution add to each, and what happens when the chemical history is another.",
    citations=(
        f"{PAPER} Shen et al., Disentangling stellar age estimates from Galactic chemodynamical evolution",
        "2021A&A...645A..85M Miglio et al., Age dissection of the Milky Way discs: Red giants in the Kepler field",
        "2018ApJS..239...32P Pinsonneault et al., The Second APOKASC Catalog: The Empirical Approach",
        "2019A&A...624A..78D Delgado Mena et al., Abundance to age ratios in the HARPS-GTO sample with Gaia DR2",
        "2016ApJ...823..102C Choi et al., Mesa Isochrones and Stellar Tracks (MIST). I. Solar-scaled Models",
        "arXiv:1805.09198 Frankel et al., Measuring radial orbit migration in the Galactic disk",
        "2015A&A...583A..87S Salaris et al., Post first dredge-up [C/N] ratio as age indicator",
    ),
    config=Config,
    presets={
        "tour": {
            "stars": 2500,
            "test_stars": 600,
            "trees": 30,
            "explained": 200,
            "background": 20,
            "folds": 2,
            "variant_stars": 0,
        },
        "quick": {},
        "full": {
            "stars": 40_000,
            "test_stars": 5_000,
            "trees": 200,
            "explained": 3_000,
            "background": 100,
            "variant_stars": 8_000,
        },
    },
    inputs=(
        InputSpec("giants", "kepler_apogee_miglio2021", "ages", "giants with ages and abundances", primary=True),
        InputSpec("apokasc", "apokasc2", "ages", "giants with seismology and ages", optional=True),
        InputSpec("xp", "apogee_xp", "labels", "labels of another release, of a few of them", optional=True),
        InputSpec("dwarfs", "harps_gto_ages", "stars", "dwarfs with ages and chemical clocks", optional=True),
    ),
    run=run,
    mock=mock,
    schema=SCHEMA,
    key_figure="groups_simulated",
)
