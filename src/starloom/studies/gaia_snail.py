"""Study gaia-snail: phase spirals from Gaussian noise, and how old the one in a table of stars looks.

The predictions need no stars. The open table of stars with six coordinates that can be had here reaches 100 pc only and
shows no spiral: it serves as a null. A user's own Gaia table gets the full measurement.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pydantic

from starloom.dynamics.schema import SCHEMA
from starloom.files import RunFolder
from starloom.results.record import Bar, Published, Results
from starloom.studies.study import Input, InputSpec, Study, StudyConfig

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.disk.snail_response import Ages, SnailModel

TREMAINE = "arXiv:2212.11990: about 0.5 Gyr (abstract; how it is defined there could not be read)"
FRANKEL = "arXiv:2212.11991: 0.2 to 0.6 Gyr (abstract)"
TING = "arXiv:1808.03278: growth of the vertical action near the Sun (abstract)"


class Config(StudyConfig):
    """Settings of gaia-snail."""

    draws: int = pydantic.Field(20_000, ge=1000, description="random spirals behind each distribution of ages")
    heating: float = pydantic.Field(1.6, ge=0, description="d<J>/dt by scattering, kpc km/s per Gyr")
    density: float = pydantic.Field(0.09, gt=0, description="of the slab, in the plane, Msun/pc^3")
    height: float = pydantic.Field(0.15, gt=0, description="of the slab, sech^2(z / 2h), kpc")
    halo_density: float = pydantic.Field(0.012, ge=0, description="of the halo, Msun/pc^3")
    scale: float = pydantic.Field(20.0, gt=0, description="J0 of the background exp(-J / J0), kpc km/s")
    low: float = pydantic.Field(5.0, gt=0, description="smallest action on which a spiral is seen, kpc km/s")
    high: float = pydantic.Field(60.0, gt=0, description="largest one")
    oldest: float = pydantic.Field(1.5, gt=0.3, description="largest age that is looked for, Gyr")
    particles: int = pydantic.Field(1_000_000, ge=10_000, description="test particles behind the check of the theory")
    amplification: float = pydantic.Field(
        1.0, gt=0, description="total over external impulse, a crude stand-in for self-gravity; 1: none"
    )
    potential: str = pydantic.Field("MWPotential2014", description="in which the stars' actions are found")
    farthest: float = pydantic.Field(2.0, gt=0, description="distance beyond which stars are not used, kpc")
    bootstraps: int = pydantic.Field(200, ge=10, description="resamplings of the stars")
    frames: int = pydantic.Field(60, ge=2, description="of the animation")
    stars: int = pydantic.Field(120_000, ge=5000, description="in the mock")
    amplitude: float = pydantic.Field(0.2, ge=0, lt=1, description="contrast of the spiral in the mock")


def model_of(config: Config, **changes: object) -> SnailModel:
    """The disk and its noise in Starloom's words."""
    from starloom.disk.snail_response import Amplification, SnailModel
    from starloom.dynamics.vertical_actions import VerticalActions, VerticalPotential

    slab = VerticalPotential.slab(config.density, config.height, config.halo_density)
    settings: dict[str, object] = {
        "actions": VerticalActions(slab, 6.0), "heating": config.heating, "scale": config.scale, "low": config.low,
        "high": config.high, "oldest": config.oldest, "span": max(1.5, config.oldest),
        "amplification": Amplification(config.amplification) if config.amplification != 1.0 else None,
    }  # fmt: skip
    return SnailModel(**(settings | changes))  # type: ignore[arg-type]


def run(config: Config, inputs: Mapping[str, Input], folder: RunFolder) -> Results:
    """Predict, check, and measure."""
    from starloom.studies import snail_pages as pages
    from starloom.studies import snail_predictions as predictions

    results = Results("gaia-snail", STUDY.title, config.preset, config.seed, summary=STUDY.summary)
    results.inputs = [entry.record for entry in inputs.values()]
    model = model_of(config)
    ages = model.ages(config.draws, seed=config.seed, workers=config.workers)
    _ages(results, config, model, ages)
    definitions = predictions.definitions(config, model, ages)
    results.table("definitions", definitions, "apparent ages under other definitions, heatings, noises and potentials")
    _gap(results, model, definitions)
    _lifetimes(results, model)
    predictions.shakers(results, config, model)
    predictions.check_by_particles(results, config, model)
    by_radius = predictions.along_radius(config)
    results.table("predicted_by_angular_momentum", by_radius, "predicted apparent ages along the disk")
    simulated = inputs["stars"].record.kind == "simulated"
    measured = _measure(results, config, inputs["stars"].table, simulated)
    results.figures = pages.figures(config, model, ages, definitions, by_radius, measured)
    results.animations = [pages.animation(config, model)]
    if config.amplification != 1.0:
        results.warn(
            f"Each impulse is amplified {config.amplification:g}-fold over 0.1 Gyr, a crude stand-in for the gravity "
            "of the response itself; what is published was compared without it."
        )
    return results


def _ages(results: Results, config: Config, model: SnailModel, ages: Ages) -> None:
    low, middle, high = ages.quantiles()
    reference = config.heating == 1.6 and (config.low, config.high) == (5.0, 60.0) and config.amplification == 1.0
    definition = (
        f"age at the peak of |sum_J w(J) A(J) exp(-i Omega t)| over 0 to {config.oldest:g} Gyr, J from {config.low:g} "
        f"to {config.high:g} kpc km/s, w = exp(-J / {config.scale:g}) sqrt(2 J / Omega), white noise, "
        f"d<J>/dt = {config.heating:g} kpc km/s per Gyr, no self-gravity"
    )
    results.number(
        "apparent age, median", middle, "Gyr", low=low, high=high, meaning=definition,
        bar=Bar("in", (0.24, 0.30)) if reference else None,
        published=Published(0.5, TREMAINE, comparable=False),
    )  # fmt: skip
    for share, value, bounds in (("16 %", low, (0.07, 0.13)), ("84 %", high, (0.43, 0.51))):
        results.number(
            f"apparent age, {share}", value, "Gyr", bar=Bar("in", bounds) if reference else None,
            meaning="of the same distribution",
        )  # fmt: skip
    results.number(
        "apparent age, 99 %", float(np.quantile(ages.matched, 0.99)), "Gyr", bar=Bar("<=", 0.85) if reference else None
    )
    above = ages.quantiles(above=0.3)
    results.number(
        "apparent age where it is above 0.3 Gyr, median", above[1], "Gyr", low=above[0], high=above[2],
        bar=Bar("in", (0.39, 0.47)) if reference else None,
        meaning="a spiral is told from a smooth disk after about one turn over the frequencies, the resolution",
        published=Published(0.4, FRANKEL, 0.2, 0.6, comparable=False),
    )  # fmt: skip
    slope = np.quantile(ages.slope, [0.16, 0.5, 0.84])
    results.number("apparent age by the slope of the phase, median", slope[1], "Gyr", low=slope[0], high=slope[2])
    results.number("resolution", model.resolution, "Gyr", meaning="2 pi over the range of frequencies")


def _gap(results: Results, model: SnailModel, definitions: QTable) -> None:
    """Why half a Gyr is not what the simplest definition gives."""
    rows = {str(row["definition"]): row for row in definitions}
    still = rows["no heating, 10 Gyr of noise"]
    results.number(
        "apparent age without diffusion, median", float(still["median"].value), "Gyr", low=float(still["low"].value),
        high=float(still["high"].value), bar=Bar(">=", 0.8), meaning="searched to 2 Gyr: not localized",
    )  # fmt: skip
    for name, row in rows.items():
        if row["listed"]:
            results.number(
                f"median age: {name}", float(row["median"].value), "Gyr", low=float(row["low"].value),
                high=float(row["high"].value),
            )  # fmt: skip
    middle = float(rows["as above"]["median"].value)
    if model.heating > 0 and middle > 0:
        results.number(
            "heating that would give a median of 0.5 Gyr", model.heating * (middle / 0.5) ** 3, "kpc km/s/Gyr",
            meaning="all times go as heating^(-1/3): said to explain the difference, used nowhere",
            published=Published(1.6, TING, comparable=False),
        )  # fmt: skip


def _lifetimes(results: Results, model: SnailModel) -> None:
    for action in (10.0, 20.0, 40.0):
        results.number(
            f"lifetime of a spiral at J = {action:g} kpc km/s", float(model.lifetime(action)), "Gyr",
            bar=Bar("<=", 1.0) if model.heating >= 1.6 else None, meaning="amplitude exp(-(t / t_d)^3)",
            published=Published(1.0, "arXiv:2212.11990: erased within 1 Gyr or less (abstract)", comparable=False),
        )  # fmt: skip


def _measure(results: Results, config: Config, table: QTable, simulated: bool) -> dict[str, object]:
    """The spiral of the stars that were given."""
    from starloom.catalog.schema import plain
    from starloom.disk.snail_measurement import FEWEST
    from starloom.disk.snail_mock import true_age
    from starloom.disk.snail_sample import SnailSample, snails
    from starloom.dynamics.frames import GalacticFrame
    from starloom.dynamics.potentials import potential
    from starloom.errors import CatalogError

    sample = SnailSample(potential(config.potential), GalacticFrame.named("astropy_v4.0"), farthest=config.farthest)
    stars = sample.predict(table, label="the stars")
    results.table("stars", stars, "one row a star, with its vertical action, angle and frequency, or a reason")
    reasons, counts = np.unique(np.asarray(stars["reason"]), return_counts=True)
    for reason, count in zip(reasons, counts, strict=True):
        if reason:
            results.warn(f"{count} stars not used: {reason}")
    action = plain(stars, "action_z")
    inside = (action >= config.low) & (action <= config.high)
    results.number("stars used", float(np.isfinite(action).sum()), "stars")
    results.number("stars on which a spiral is seen", float(inside.sum()), "stars", meaning="with such actions")
    reach = float(np.nanquantile(np.abs(plain(stars, "galactic_height")), 0.99))
    if reach < 0.3:
        results.warn(
            f"99 % of the stars lie within {1000 * reach:.0f} pc of the plane: a spiral is made of stars on their way "
            "to several hundred. What is measured on them is a null."
        )
    if np.isfinite(action).sum() < FEWEST:
        results.warn(f"fewer than {FEWEST} stars have a vertical action: no spiral is looked for")
        return {"stars": stars}
    actions = (config.low, config.high)
    if inside.sum() < FEWEST:
        results.warn(
            f"{int(inside.sum())} stars have a vertical action from {config.low:g} to {config.high:g} kpc km/s, and a "
            "spiral needs 1000: the search is over all actions instead"
        )
        actions = (0.0, np.inf)
    l_z = plain(stars, "l_z")
    ends = np.nanmin(l_z[np.isfinite(action)]), np.nextafter(np.nanmax(l_z[np.isfinite(action)]), np.inf)
    whole, one = snails(stars, edges=ends, actions=actions, bootstraps=config.bootstraps, seed=config.seed)
    overall = one[0]
    if overall is None:
        results.warn(f"no spiral is looked for: {whole['reason'][0]}")
        return {"stars": stars}
    for warning in overall.warnings:
        results.warn(f"All stars together: {warning}")
    results.number("all stars: a spiral is seen", float(overall.seen), "", meaning="1: yes, 0: no")
    results.number("all stars: probability of such a peak by chance", overall.false_alarm, "")
    if overall.seen:
        results.number(
            "all stars: age of the spiral", overall.age, "Gyr", low=overall.age_low, high=overall.age_high,
            meaning=f"matched filter; resolution {overall.resolution:.2f} Gyr",
            published=Published(0.4, FRANKEL, 0.2, 0.6, comparable=False),
        )  # fmt: skip
        results.number(
            "all stars: age by the slope of the phase", overall.slope, "Gyr", low=overall.slope_low,
            high=overall.slope_high,
        )  # fmt: skip
        results.number("all stars: age by the fit", overall.fitted, "Gyr", low=overall.fitted - overall.fitted_error,
                       high=overall.fitted + overall.fitted_error)  # fmt: skip
        results.number("all stars: amplitude", overall.amplitude, "", low=overall.amplitude - overall.amplitude_error,
                       high=overall.amplitude + overall.amplitude_error)  # fmt: skip
    found: dict[str, object] = {"stars": stars, "whole": overall}
    try:
        table_, each = snails(stars, actions=actions, bootstraps=config.bootstraps, seed=config.seed)
    except CatalogError as error:
        results.warn(f"no ages by angular momentum: {error}")
        return found
    _along(results, table_)
    if simulated:
        from astropy import units as u

        table_["true_age"] = true_age(table_["guiding_radius"].value) * u.Gyr
        seen = np.asarray(table_["seen"])
        off = (table_["age"] - table_["true_age"]).value[seen]
        if seen.any():
            results.number(
                "mock: rms error of the ages by angular momentum", float(np.sqrt(np.mean(off**2))), "Gyr",
                bar=Bar("<=", 0.05), meaning="against the ages that were put in",
            )  # fmt: skip
    results.table("ages_by_angular_momentum", table_, "one row a bin of angular momentum, or a reason")
    return found | {"by_l_z": table_, "each": each}


def _along(results: Results, table: QTable) -> None:
    """The bins of angular momentum in a few numbers."""
    enough, seen = np.asarray(table["stars"]) > 0, np.asarray(table["seen"])
    results.number("bins of angular momentum with enough stars", float(enough.sum()), "bins")
    results.number("bins in which a spiral is seen", float(seen.sum()), "bins")
    if not seen.any():
        return
    ages = table["age"].value[seen]
    results.number(
        "age of the spiral, median over these bins", float(np.median(ages)), "Gyr", low=float(ages.min()),
        high=float(ages.max()), meaning="matched filter; the interval is from the least to the largest",
        published=Published(0.4, FRANKEL, 0.2, 0.6, comparable=False),
    )  # fmt: skip
    single = np.array(["one age does not" not in str(reason) for reason in table["reason"]])
    results.number("of these, bins that one age describes", float((seen & single).sum()), "bins")


def mock(config: Config) -> dict[str, QTable]:
    """Stars around the Sun with a spiral of known age, as Gaia would list them."""
    from starloom.disk.snail_mock import stars_with_snail

    return {"stars": stars_with_snail(config.stars, config.seed, amplitude=config.amplitude)}


STUDY = Study(
    name="gaia-snail",
    title="The Gaia snail from Gaussian noise: random phase spirals and their ages",
    arxiv="2212.11990",
    summary="What spirals in height and vertical velocity a randomly shaken disk shows, how scattering erases them, "
    "how old they look by several definitions, and how old the one in a table of stars looks, by angular momentum.",
    citations=(
        "arXiv:2212.11990 Tremaine, Frankel & Bovy, The origin and fate of the Gaia phase-space snail",
        "arXiv:2212.11991 Frankel et al., Vertical motion in the Galactic disc: unwinding the snail",
        "arXiv:1808.03278 Ting & Rix, The vertical motion history of disk stars throughout the Galaxy",
        "arXiv:1412.3451 Bovy, galpy: A Python Library for Galactic Dynamics",
        "2018A&A...616A...1G Gaia Collaboration, Gaia Data Release 2",
    ),
    config=Config,
    presets={
        "tour": {"draws": 6000, "particles": 100_000, "frames": 20, "stars": 60_000, "bootstraps": 50},
        "quick": {},
        "full": {"draws": 1_000_000, "particles": 4_000_000, "stars": 1_000_000, "frames": 120},
    },
    inputs=(InputSpec("stars", "gaia_dr2_local_6d", "stars", "stars with six coordinates", primary=True),),
    run=run,
    mock=mock,
    schema=SCHEMA,
)
