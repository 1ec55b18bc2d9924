"""Study age-metallicity: the correlation of age and [Fe/H], given place and orbit (arXiv:2306.09319).

The real input spans R from 7.6 to 8.3 kpc only (the Kepler field), so there the maps are over |z| and over the orbit.
Where the stars span more than 3 kpc in R, as in the mock or a user's own table, the maps are over (R, |z|) too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
import pydantic

from starloom.disk.schema import AGES
from starloom.files import RunFolder
from starloom.results.record import Bar, Published, Results
from starloom.studies.study import Input, InputSpec, Study, StudyConfig

if TYPE_CHECKING:
    from astropy.table import QTable
    from numpy.typing import NDArray

    from starloom.dependence.bands import Bands
    from starloom.disk.age_metallicity import AgeMetallicity
    from starloom.studies.age_pages import Drawn

PATIL = "arXiv:2306.09319"
WIDE = 3.0  # kpc of radius that stars have to span for maps over it
RADII, HEIGHTS = np.linspace(0.25, 19.75, 40), np.linspace(0.05, 1.95, 20)
LEAST_ALONG = 15.0
GROUPS = ("all", "low", "high")


class Config(StudyConfig):
    """Settings of age-metallicity."""

    margins: Literal["normal", "values"] = pydantic.Field("normal", description="normal scores, or (ln age, [Fe/H])")
    correct: bool = pydantic.Field(True, description="take the attenuation by measurement errors out")
    refits: int = pydantic.Field(100, ge=2, description="resamplings behind the bands")
    least_count: float = pydantic.Field(50.0, gt=0, description="effective stars around a place below which it is gray")
    temperature: Literal["auto", "action_r", "eccentricity"] = pydantic.Field(
        "auto", description="hot or cold, by what"
    )
    oldest: float = pydantic.Field(13.8, gt=0, description="ages above it are not used, Gyr")
    stars: int = pydantic.Field(60_000, ge=1000, description="stars in the mock")
    age_error: float = pydantic.Field(0.0, ge=0, description="relative error of ages in the mock")
    fe_h_error: float = pydantic.Field(0.0, ge=0, description="error of [Fe/H] in the mock, dex")


def run(config: Config, inputs: Mapping[str, Input], folder: RunFolder) -> Results:
    """Split, map, and compare cold with hot."""
    from starloom.catalog.schema import plain
    from starloom.disk.age_metallicity import column
    from starloom.studies import age_pages

    results = Results("age-metallicity", STUDY.title, config.preset, config.seed, summary=STUDY.summary)
    results.inputs = [entry.record for entry in inputs.values()]
    simulated = inputs["giants"].record.kind == "simulated"
    stars = AGES.apply(inputs["giants"].table, label="the giants", unique=None)
    age = plain(stars, "age", "Gyr")
    usable = np.isfinite(age) & np.isfinite(plain(stars, "fe_h"))
    if not simulated:  # the mock's truth holds for all of its ages
        usable &= age < config.oldest
        results.warn(
            f"{int((np.isfinite(age) & (age >= config.oldest)).sum())} stars have an age above {config.oldest:g} Gyr "
            "and are not used; a cut in a noisy age shrinks the correlation a little."
        )
    high = _sides(results, stars, usable)
    _count(results, stars, usable, high)
    groups = {"all": usable, "low": usable & ~high, "high": usable & high}
    warmth = _warmth(config, stars)
    drawn: list[Drawn] = []
    radius = column(stars, "galactic_radius")[usable]
    wide = bool(np.isfinite(radius).any() and np.ptp(np.nanquantile(radius, [0.01, 0.99])) > WIDE)
    if wide:
        drawn += _over_place(results, config, stars, groups, warmth, simulated)
    else:
        results.warn(
            f"The stars span R = {np.nanmin(radius):.1f} to {np.nanmax(radius):.1f} kpc only: there is no map over "
            "radius to make of them, and none is made. They say how the correlation changes with height and orbit."
        )
    drawn += _along(results, config, stars, groups, "absolute_height")
    if warmth is not None:
        drawn += _along(results, config, stars, groups, warmth)
    if "kepler_actions" in inputs and "kepler_ages" in inputs:
        drawn += _kepler(results, config, inputs["kepler_ages"].table, inputs["kepler_actions"].table)
    _ends(results, config, stars, usable, high)
    results.figures = age_pages.figures(stars, usable, high, drawn, warmth, config.least_count)
    for entry in drawn:
        results.table(entry.name, entry.table(), entry.note)
    return results


def _sides(results: Results, stars: QTable, usable: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which stars are of the high-alpha sequence, by the stars' own split."""
    from starloom.disk.alpha_sequences import AlphaSequences
    from starloom.disk.published_lines import LINES
    from starloom.errors import FitError

    iron, alpha = np.asarray(stars["fe_h"], dtype=float), np.asarray(stars["alpha_m"], dtype=float)
    try:
        split = AlphaSequences(bootstraps=0).fit(stars[usable])
    except FitError as error:
        name = "Frankel et al. 2020, [alpha/Fe]"
        results.warn(f"The stars do not split by themselves ({error}); the line of {name} is used instead.")
        return np.asarray(np.nan_to_num(alpha, nan=-9.0) > LINES[name](iron))
    found: NDArray[np.bool_] = np.asarray(split.predict(stars)["high_alpha"].filled(False))
    return found


def _count(results: Results, stars: QTable, usable: NDArray[np.bool_], high: NDArray[np.bool_]) -> None:
    results.number("stars used", float(usable.sum()), "stars", meaning="with an age and [Fe/H]")
    results.number("stars without age or [Fe/H]", float((~usable).sum()), "stars")
    results.number("high-alpha stars", float((usable & high).sum()), "stars")


def _warmth(config: Config, stars: QTable) -> str | None:
    names = ("action_r", "eccentricity") if config.temperature == "auto" else (config.temperature,)
    return next((name for name in names if name in stars.colnames), None)


def _model(config: Config, covariates: tuple[str, ...]) -> AgeMetallicity:
    from starloom.disk.age_metallicity import AgeMetallicity

    # along one covariate every star of the window bears on the value, so that fewer do
    least = min(config.least_count, LEAST_ALONG) if len(covariates) == 1 else config.least_count
    return AgeMetallicity(covariates, config.margins, config.correct, least_count=least)


def _over_place(
    results: Results, config: Config, stars: QTable, groups: Mapping[str, NDArray[np.bool_]], warmth: str | None,
    simulated: bool,
) -> list[Drawn]:  # fmt: skip
    """Maps over (R, |z|), with bands, beside the kinematic temperature."""
    from starloom.disk.age_metallicity import banded, temperature
    from starloom.disk.galaxy_mock import true_correlation
    from starloom.errors import CatalogError, FitError
    from starloom.inference.calibration import coverage
    from starloom.stats.ranks import Margin
    from starloom.studies.age_pages import Drawn

    grid = np.stack(np.meshgrid(RADII, HEIGHTS, indexing="ij"), axis=-1).reshape(-1, 2)
    covariates, drawn, rhos, warm = ("galactic_radius", "absolute_height"), [], [], []
    for group in GROUPS:
        model = _model(config, covariates)
        try:
            fitted = model.fit(stars, chosen=groups[group], seed=config.seed)
        except (CatalogError, FitError) as error:
            results.warn(f"no map of the {group} stars: {error}")
            continue
        found = banded(fitted, grid, stars, refits=config.refits, seed=config.seed)
        entry = Drawn(f"map_{group}", group, covariates, grid, found, (len(RADII), len(HEIGHTS)))
        known = np.isfinite(found.value)
        if warmth is not None:
            heat = temperature(stars, covariates, name=warmth, chosen=groups[group], least_count=config.least_count)
            entry.temperature = heat.predict(grid)
            both = known & np.isfinite(entry.temperature)
            rhos.append(found.value[both])
            warm.append(entry.temperature[both])
        drawn.append(entry)
        _between(results, f"rho of {group} stars, median over the map", found)
        if simulated and config.age_error == 0.0 and config.fe_h_error == 0.0:
            margins = None
            if config.margins == "normal":
                part = stars[groups[group]]
                margins = (Margin.of(np.log(part["age"].value)), Margin.of(np.asarray(part["fe_h"])))
            entry.truth = true_correlation(grid[:, 0], grid[:, 1], group, margins, draws=1024)
            off = (found.value - entry.truth)[known]
            results.number(
                f"rms error of the map of {group} stars", float(np.sqrt(np.mean(off**2))), "", bar=Bar("<=", 0.03),
                meaning="inside of its mask, against the known map",
            )  # fmt: skip
            for index, level in enumerate(found.levels):
                share = coverage(entry.truth[known], found.low[index][known], found.high[index][known])
                results.number(
                    f"share of the map of {group} stars inside its {100 * level:.0f} % band", share, "",
                    meaning="places of one map are not independent: the long runs judge coverage, over many mocks",
                )  # fmt: skip
    if rhos:
        results.number(
            "rank correlation of rho with the kinematic temperature",
            _rank_correlation(np.concatenate(rhos), np.concatenate(warm)), "",
            bar=Bar("<=", -0.3) if simulated else None, meaning=f"median {warmth} over the places of all maps; "
            "negative: the correlation of age and metallicity is there where orbits are hot, as "
            f"{PATIL} says in words",
        )  # fmt: skip
    return drawn


def _rank_correlation(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(x, y).statistic) if len(x) > 2 else float("nan")


def _between(results: Results, name: str, found: Bands, meaning: str = "") -> None:
    """The median value of a map, with the median bounds of its 68 % band."""
    known = np.isfinite(found.value)
    if known.any():
        low, high = (float(np.median(part[0][known])) for part in (found.low, found.high))
        results.number(name, float(np.median(found.value[known])), "", low=low, high=high, meaning=meaning)
    else:
        results.warn(f"{name}: nowhere enough stars, or nowhere a spread of ages beyond their errors")


def _along(
    results: Results, config: Config, stars: QTable, groups: Mapping[str, NDArray[np.bool_]], name: str
) -> list[Drawn]:
    """The correlation along one covariate."""
    from starloom.disk.age_metallicity import banded, column
    from starloom.errors import CatalogError, FitError
    from starloom.studies.age_pages import Drawn

    drawn = []
    for group in GROUPS:
        values = column(stars, name)[groups[group]]
        values = values[np.isfinite(values)]
        if len(values) < 100:
            results.warn(f"no run of the {group} stars with {name}: {len(values)} of them have it")
            continue
        places = np.linspace(np.quantile(values, 0.01), np.quantile(values, 0.97), 60)[:, None]
        try:
            fitted = _model(config, (name,)).fit(stars, chosen=groups[group], seed=config.seed)
        except (CatalogError, FitError) as error:
            results.warn(f"no run of the {group} stars with {name}: {error}")
            continue
        found = banded(fitted, places, stars, refits=config.refits, seed=config.seed)
        drawn.append(Drawn(f"{name}_{group}", group, (name,), places, found))
        for label, at in (("cold", 0.15), ("hot", 0.85)):
            if name in ("action_r", "eccentricity"):
                place = np.array([[np.quantile(values, at)]])
                there = banded(fitted, place, stars, refits=max(config.refits // 2, 10), seed=config.seed)
                results.number(
                    f"rho of {group} stars on {label} orbits", float(there.value[0]), "",
                    low=float(there.low[0, 0]), high=float(there.high[0, 0]),
                    meaning=f"at the {100 * at:.0f}th percentile of {name}, {place[0, 0]:.3g}",
                )  # fmt: skip
        if name == "absolute_height":
            _between(results, f"rho of {group} stars, median over |z|", found)
    return drawn


def _kepler(results: Results, config: Config, ages: QTable, actions: QTable) -> list[Drawn]:
    """APOKASC-2: the correlation against the radial action, from another age scale."""
    from starloom.disk.samples import apokasc2

    stars = apokasc2(ages, actions)
    results.number("APOKASC-2 stars with an age and an action", float(len(stars)), "stars")
    everything = {"all": np.ones(len(stars), dtype=bool), "low": np.zeros(len(stars), dtype=bool)}
    quiet = Results("quiet", "", config.preset, config.seed)
    drawn = _along(quiet, config, stars, {**everything, "high": everything["low"]}, "action_r")
    for number in quiet.numbers:
        results.number(
            f"APOKASC-2: {number.name}", number.value, low=number.low, high=number.high, meaning=number.meaning
        )  # fmt: skip
    for entry in drawn:
        entry.name, entry.group = f"apokasc2_{entry.name}", f"{entry.group}, APOKASC-2"
    return drawn


def _ends(results: Results, config: Config, stars: QTable, usable: NDArray[np.bool_], high: NDArray[np.bool_]) -> None:
    """Where the high-alpha disk ends, and where the low-alpha disk starts."""
    from starloom.disk.age_metallicity import sequence_ends
    from starloom.errors import CatalogError

    try:
        end, start = sequence_ends(stars[usable], high[usable], seed=config.seed)
    except CatalogError as error:
        results.warn(f"the ends of the sequences cannot be told: {error}")
        return
    for name, found in (
        ("metal-rich end of the high-alpha disk", end),
        ("metal-poor start of the low-alpha disk", start),
    ):
        results.number(f"[Fe/H] at the {name}", found.fe_h, "dex", meaning=f"median of {found.stars} stars")
        results.number(
            f"[alpha/Fe] at the {name}", found.alpha, "dex",
            low=found.alpha - found.alpha_error, high=found.alpha + found.alpha_error,
        )  # fmt: skip
        results.number(
            f"age at the {name}", found.age, "Gyr", low=found.age - found.age_error, high=found.age + found.age_error
        )
    for name, unit, first, second, spread in (
        ("[alpha/Fe]", "dex", end.alpha, start.alpha, float(np.hypot(end.alpha_error, start.alpha_error))),
        ("age", "Gyr", end.age, start.age, float(np.hypot(end.age_error, start.age_error))),
    ):
        results.number(
            f"{name}: high-alpha end minus low-alpha start", first - second, unit, low=first - second - spread,
            high=first - second + spread,
            meaning="both lie along the split, which pulls them together by itself" if unit == "dex" else "",
            published=Published(0.0, f"{PATIL}: the same [alpha/Fe] and age (in words)"),
        )  # fmt: skip


def mock(config: Config) -> dict[str, QTable]:
    """A made Galaxy with a known map."""
    from starloom.disk.galaxy_mock import galaxy

    made = galaxy(config.stars, config.seed, age_error=config.age_error, fe_h_error=config.fe_h_error)
    return {"giants": made}


STUDY = Study(
    name="age-metallicity",
    title="The correlation of age and metallicity where orbits are cold and where they are hot",
    arxiv="2306.09319",
    summary="rho(age, [Fe/H]) as a map over place and orbit for all stars and for either alpha sequence, with bands "
    "and with measurement errors taken out, beside the kinematic temperature; and where the sequences end and start.",
    citations=(
        f"{PATIL} Patil et al., Decoding the age-chemical structure of the Milky Way disk",
        "2021A&A...645A..85M Miglio et al., Age dissection of the Milky Way discs: Red giants in the Kepler field",
        "2018ApJS..239...32P Pinsonneault et al., The Second APOKASC Catalog: The Empirical Approach",
        "2018ApJ...867...31B Beane et al., Actions Are Weak Stellar Age Indicators in the Milky Way Disk",
    ),
    config=Config,
    presets={"tour": {"refits": 30, "stars": 30_000}, "quick": {}, "full": {"refits": 400, "stars": 200_000}},
    inputs=(
        InputSpec("giants", "kepler_apogee_miglio2021", "ages", "giants with ages and abundances", primary=True),
        InputSpec("kepler_ages", "apokasc2", "ages", "APOKASC-2 ages, another scale", optional=True),
        InputSpec("kepler_actions", "apokasc2", "actions", "their actions", optional=True),
    ),
    run=run,
    mock=mock,
    schema=AGES,
)
