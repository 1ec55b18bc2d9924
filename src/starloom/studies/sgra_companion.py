"""Study sgra-companion: what no hypervelocity star in Gaia says about a companion of Sgr A* (arXiv:2304.12169).

A companion throws out stars; Gaia DR3 has none that is certain. Stars are flown once and weighed for every companion
mass and separation, or time since a merger; where three or more should have been seen, the companion is excluded.
Stars that are known to be fast are followed back to the center beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pydantic

from starloom.dynamics.schema import SCHEMA
from starloom.files import RunFolder
from starloom.results.record import Bar, InputRecord, Published, Results
from starloom.studies.study import Input, InputSpec, Study, StudyConfig

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.galactic_center.binary import BlackHoleBinary
    from starloom.galactic_center.ejection import CenterStars
    from starloom.galactic_center.exclusion import ExpectedMap
    from starloom.galactic_center.library import StarLibrary
    from starloom.galactic_center.scenario import Scenario
    from starloom.galactic_center.sky import Sky

PAPER = "arXiv:2304.12169"
JOURNAL = Published(2000.0, "abstract in MNRAS: 2000; the preprint arXiv:2304.12169v1 says 1000", 1000.0, 2000.0)
MERGED = Published(500.0, f"abstract of {PAPER}, reported")
S5_SOURCE = "abstract of arXiv:1907.11725, reported"
POINT = (1000.0, 1.0)


class Config(StudyConfig):
    """Settings of sgra-companion."""

    potential: str = pydantic.Field("Marchetti2017", description="potential of the Galaxy; Sgr A* is added if absent")
    variant: str = pydantic.Field("McMillan17", description="another one, to see what changes; empty for none")
    library: int = pydantic.Field(200_000, ge=1000, description="stars drawn for the weighted library")
    noise: int = pydantic.Field(4, ge=1, description="measurements drawn for each star")
    brute_force: int = pydantic.Field(60_000, ge=1000, description="stars drawn for each check by brute force")
    skies: int = pydantic.Field(2000, ge=100, description="simulated skies of the empirical probabilities")
    masses: int = pydantic.Field(20, ge=4, description="companion masses of the maps, 100 to 20,000 Msun")
    separations: int = pydantic.Field(20, ge=3, description="separations (0.1 to 10 mpc) and times of the maps")
    span: float = pydantic.Field(100.0, gt=1, description="longest flight, Myr")
    slope: float = pydantic.Field(1.7, gt=0.5, lt=4, description="of the mass function, dN/dm ~ m^-slope")
    ages: Literal["lifetime", "continuous", "recent"] = pydantic.Field("lifetime", description="of the stars")
    density: float = pydantic.Field(7e4, gt=0, description="stars around the binary, Msun/pc^3")
    dispersion: float = pydantic.Field(100.0, gt=0, description="their velocity dispersion, km/s")
    ratio_mode: Literal["interpolated", "nearest"] = pydantic.Field("interpolated", description="rates between ratios")
    dust: float = pydantic.Field(1.0, ge=0, description="times the exponential dust disk")
    parallax_precision: float = pydantic.Field(0.2, gt=0, description="largest relative error of a parallax")
    least_speed: float = pydantic.Field(700.0, ge=0, description="of a candidate, km/s; 0: the escape speed")
    probability: float = pydantic.Field(0.5, gt=0, le=1, description="that a candidate is faster")
    draws: int = pydantic.Field(50, ge=1, description="of a candidate's errors")
    samples: int = pydantic.Field(100, ge=8, description="draws from the errors of each fast star")


def run(config: Config, inputs: Mapping[str, Input], folder: RunFolder) -> Results:
    """Fly a library, weigh it, check it, trace fast stars back."""
    from starloom.galactic_center.detection import Candidate
    from starloom.galactic_center.hills import HillsMechanism
    from starloom.galactic_center.library import StarLibrary
    from starloom.galactic_center.proposal import Proposal
    from starloom.progress import say
    from starloom.simulation.gaia_errors import RELEASES
    from starloom.studies import sgra_companion_checks as checks
    from starloom.studies import sgra_companion_pages as pages

    results = Results("sgra-companion", STUDY.title, config.preset, config.seed, summary=STUDY.summary)
    results.inputs = [entry.record for entry in inputs.values()]
    sky, records = make_sky(config, config.potential)
    results.inputs += records
    stars = stars_of(config)
    rule = Candidate(config.parallax_precision, config.least_speed, config.probability, config.draws)
    checks.clock(results)
    say(f"flying {config.library} stars")
    library = StarLibrary.build(
        sky, config.library, stars=stars, proposal=Proposal(span=config.span), seed=config.seed, workers=config.workers
    )
    detected = {
        name: library.arrived.detected(
            sky, release, rule, seed=config.seed, noise=config.noise, workers=config.workers
        )
        for name, release in RELEASES.items()
    }  # fmt: skip
    _library(results, library)
    maps = _maps(results, config, library, detected, stars)
    _levels(results, config, library, detected["dr3"].candidate, stars)
    checks.brute_force(results, config, scenario_of, sky, library, detected["dr3"].candidate, stars, rule)
    checks.statistics(results, config)
    checks.hills(results, config, sky, rule)
    _assumptions(results, config, sky, library, stars, rule)
    traced = _traceback(results, config, inputs["fast_stars"].table, sky)
    table = library.arrived.table()
    table["weight"] = library.weights(scenario_of(config, *POINT), stars)
    table["p_candidate_dr3"], table["p_candidate_dr4"] = detected["dr3"].candidate, detected["dr4"].candidate
    kept = np.flatnonzero(detected["dr5"].measured > 0)
    results.table(
        "library", table[kept],
        f"a library star with a velocity in DR5; weight: stars like it for {POINT[0]:g} Msun at {POINT[1]:g} mpc",
    )  # fmt: skip
    hills = HillsMechanism().eject(stars, sky.tracks, config.brute_force, span=config.span, seed=config.seed)
    results.figures = pages.figures(
        maps, library, detected, stars, scenario_of(config, *POINT), hills, traced, results.tables
    )
    return results


def stars_of(config: Config) -> CenterStars:
    """The stars of the center."""
    from starloom.galactic_center.ejection import CenterStars

    return CenterStars(slope=config.slope, ages=config.ages)


def binary_of(config: Config, mass: float) -> BlackHoleBinary:
    """A binary in the surroundings of the settings."""
    from starloom.galactic_center.binary import BlackHoleBinary

    return BlackHoleBinary(
        mass, density=config.density, dispersion=config.dispersion, ratio_mode=config.ratio_mode
    )  # fmt: skip


def scenario_of(config: Config, mass: float, separation: float | None = None, since: float | None = None) -> Scenario:
    """A companion of a mass (Msun) at a separation (mpc) today, or merged some Myr ago."""
    from starloom.galactic_center.scenario import Scenario

    return Scenario(binary_of(config, mass), separation=separation, since_merger=since)


def make_sky(config: Config, name: str) -> tuple[Sky, list[InputRecord]]:
    """Galaxy, tracks and photometry, with the records of the stellar models."""
    from starloom import datasets
    from starloom.datasets import registry
    from starloom.files import sha256
    from starloom.galactic_center.evolution import StellarTracks
    from starloom.galactic_center.flight import galaxy
    from starloom.galactic_center.photometry import Photometer
    from starloom.galactic_center.sky import Sky
    from starloom.stellar.extinction import ExponentialDust
    from starloom.stellar.isochrone_grids import IsochroneGrid
    from starloom.stellar.photometry import BolometricCorrections

    grid, tables = datasets.locate("isochrone_grids", "mist"), datasets.locate("bolometric_corrections")
    dust = ExponentialDust(local_rate=0.25 * config.dust) if config.dust > 0 else None
    tracks = StellarTracks.from_grid(IsochroneGrid.open(grid.path))
    sky = Sky(galaxy(name), tracks, Photometer(BolometricCorrections.open(tables.path), dust))
    records = []
    for what, found, dataset in (
        ("isochrones", grid, "isochrone_grids"), ("bolometric corrections", tables, "bolometric_corrections")
    ):  # fmt: skip
        about = registry.get(dataset)
        records.append(
            InputRecord(what, "real", found.origin, 0, sha256(found.path), about.license, about.citation)
        )  # fmt: skip
    return sky, records


def _library(results: Results, library: StarLibrary) -> None:
    flown = library.arrived.flown
    results.number("library stars flown", float(len(library)), "", meaning="alive today, of those drawn")
    results.number(
        "worst energy error of the flights", float(np.nanmax(flown.energy_error)), "", bar=Bar("<=", 1e-8),
        meaning="|E - E0| / |E0|, launched faster than 550 km/s",
    )  # fmt: skip
    results.number(
        "flights that cannot be trusted", float(np.sum(flown.reason != "")), "", bar=Bar("<=", 0.0),
        meaning="flagged; they count as not detected",
    )  # fmt: skip
    results.number("stars that fell back through the center", float(np.sum(flown.returns > 0)), "")


def _maps(
    results: Results, config: Config, library: StarLibrary, detected: Mapping[str, Any], stars: CenterStars
) -> dict[str, ExpectedMap]:
    from starloom.galactic_center.exclusion import expected_map

    masses = np.geomspace(100.0, 2e4, config.masses)
    wide, times = np.geomspace(0.1, 10.0, config.separations), np.geomspace(0.5, 50.0, config.separations)
    maps = {}
    for name in ("dr3", "dr4"):
        for kind, others in (("separation", wide), ("since_merger", times)):
            maps[f"{name} {kind}"] = expected_map(
                library, detected[name].candidate, stars, masses, others, kind=kind,  # type: ignore[arg-type]
                binary=lambda mass: binary_of(config, mass),
            )  # fmt: skip
    for remark in maps["dr3 separation"].remarks[-1:]:
        results.warn(remark)
    fine = np.geomspace(100.0, 3e4, 60)
    for name, label in (("dr3", "Gaia DR3"), ("dr2", "Gaia DR2"), ("dr4", "Gaia DR4, predicted"),
                        ("dr5", "Gaia DR5, predicted")):  # fmt: skip
        for kind, other, bar, published in (
            ("separation", 1.0, Bar("in", (500.0, 4000.0)), JOURNAL),
            ("since_merger", 5.0, Bar("in", (200.0, 1500.0)), MERGED),
        ):
            found = expected_map(
                library, detected[name].candidate, stars, fine, [other], kind=kind,  # type: ignore[arg-type]
                binary=lambda mass: binary_of(config, mass),
            )  # fmt: skip
            at = "1 mpc" if kind == "separation" else "5 Myr after a merger"
            for level in (0.68, 0.95, 0.997) if name == "dr3" else (0.95,):
                value, low, high = found.threshold(level, 0)
                judged = name == "dr3" and level == 0.95
                results.number(
                    f"companion excluded at {at}, {100 * level:g} %, {label}", value, "Msun", low=low, high=high,
                    bar=bar if judged else None, published=published if judged else None,
                    meaning="least mass excluded by none seen; interval: Monte Carlo error of the library",
                )  # fmt: skip
    return maps


def _levels(results: Results, config: Config, library: StarLibrary, candidate: Any, stars: CenterStars) -> None:
    """Expected numbers and both probabilities of none, at the points that are checked."""
    from astropy.table import QTable

    from starloom.galactic_center.exclusion import empirical_zero, expected, levels_of, sky_counts
    from starloom.studies import sgra_companion_checks as checks

    rows = []
    for k, (mass, separation) in enumerate(checks.CHECKED):
        scenario = scenario_of(config, mass, separation)
        found = expected(library, candidate, scenario, stars)
        counts = sky_counts(library.weights(scenario, stars), candidate, config.skies, config.seed + k)
        zero = empirical_zero(counts)
        levels = ", ".join(f"{100 * level:g} %" for level in levels_of(found.value)) or "not excluded"
        rows.append((mass, separation, found.value, found.error, found.effective, float(np.exp(-found.value)),
                     zero.share, zero.low, zero.high, levels))  # fmt: skip
        for remark in scenario.remarks(config.span):
            results.warn(remark)
    table = QTable(
        rows=rows,
        names=["companion_mass", "separation", "expected", "expected_error", "effective_stars", "p_zero_poisson",
               "p_zero_empirical", "p_zero_low", "p_zero_high", "excluded_at"],
    )  # fmt: skip
    import astropy.units as u

    table["companion_mass"] = table["companion_mass"] * u.Msun
    table["separation"] = table["separation"] * u.Unit("1e-3 pc")
    results.table("points", table, f"a binary; probabilities of no candidate from {config.skies} simulated skies")
    value, error = float(table["expected"][1]), float(table["expected_error"][1])
    results.number(
        "candidates in DR3 for 1000 Msun at 1 mpc", value, "", low=value - error, high=value + error,
        meaning=f"mean; P(none) = {float(table['p_zero_poisson'][1]):.3f} (Poisson), "
        f"{float(table['p_zero_empirical'][1]):.3f} (simulated skies)",
    )  # fmt: skip
    results.number(
        "effective library stars", float(min(table["effective_stars"])), "",
        meaning="fewest over the three points; the relative error of a mean is one over its root",
    )  # fmt: skip


def _assumptions(
    results: Results, config: Config, sky: Sky, library: StarLibrary, stars: CenterStars, rule: Any
) -> None:
    """What other mass functions, ages, potentials and definitions do."""
    import astropy.units as u
    from astropy.table import QTable

    from starloom.galactic_center.exclusion import expected_map
    from starloom.galactic_center.library import StarLibrary
    from starloom.galactic_center.proposal import Proposal
    from starloom.simulation.gaia_errors import RELEASES

    def candidate(of: Any, galaxy: Any, definition: Any) -> Any:
        return of.arrived.detected(
            galaxy, RELEASES["dr3"], definition, seed=config.seed, noise=config.noise, workers=config.workers
        ).candidate  # fmt: skip

    base = candidate(library, sky, rule)
    cases = [("as it is", library, base, stars)]
    for slope in (1.7, 2.35):
        for ages in ("lifetime", "continuous", "recent"):
            if (slope, ages) != (stars.slope, stars.ages):
                cases.append((f"slope {slope:g}, ages {ages}", library, base, replace(stars, slope=slope, ages=ages)))
    strict, unbound = replace(rule, probability=0.8), replace(rule, least_speed=0.0)
    cases.append(("faster with 80 % probability", library, candidate(library, sky, strict), stars))
    cases.append(("faster than the escape speed", library, candidate(library, sky, unbound), stars))
    if config.variant:
        other = replace(sky, model=make_sky(config, config.variant)[0].model)
        made = StarLibrary.build(
            other, max(config.library // 2, 1000), stars=stars, proposal=Proposal(span=config.span),
            seed=config.seed, workers=config.workers,
        )  # fmt: skip
        cases.append((f"potential {config.variant}", made, candidate(made, other, rule), stars))
    fine, rows = np.geomspace(100.0, 3e4, 40), []
    for name, lib, seen, population in cases:
        row: list[Any] = [name]
        for kind, other_value in (("separation", 1.0), ("since_merger", 5.0)):
            found = expected_map(
                lib, seen, population, fine, [other_value], kind=kind,  # type: ignore[arg-type]
                binary=lambda mass: binary_of(config, mass),
            )  # fmt: skip
            row += list(found.threshold(0.95, 0))
        rows.append(tuple(row))
    names = [f"{what}{end}" for what in ("at_1_mpc", "merged_5_myr_ago") for end in ("", "_low", "_high")]
    table = QTable(rows=rows, names=["assumption", *names])
    for name in names:
        table[name] = table[name] * u.Msun
    results.table("assumptions", table, "one thing changed; least companion mass excluded at 95 % by none seen in DR3")
    span = np.asarray(table["at_1_mpc"])
    results.number(
        "range over the assumptions", float(np.nanmax(span) / np.nanmin(span)), "",
        meaning="largest over smallest mass excluded at 1 mpc",
    )  # fmt: skip


def _traceback(results: Results, config: Config, table: QTable, sky: Sky) -> dict[str, QTable]:
    from starloom.galactic_center.fast_stars import from_open_catalog, s5_hvs1
    from starloom.galactic_center.traceback import Traceback

    tracer = Traceback(sky.model, sky.sun, span=config.span, samples=config.samples, workers=config.workers)
    known = from_open_catalog(table) if "lumdist" in table.colnames else table
    stars = tracer.predict(known, seed=config.seed, label="the fast stars")
    results.table("fast_stars", stars, "a star that is known to be fast, followed back; reason: why it was not")
    used = np.asarray(stars["reason"]) == ""
    fast = used & (np.asarray(stars["p_fast"]) > 0.5)
    results.number(
        "fast stars followed back", float(used.sum()), "", meaning=f"of {len(stars)}; the others say why not"
    )
    results.number("of them faster than 700 km/s", float(fast.sum()), "", meaning="in the Galaxy's frame")
    results.number(
        "of those, from the center", float(np.sum(np.asarray(stars["p_center"])[fast] > 0.05)), "",
        meaning="they pass it within their errors (p > 0.05); far stars with large errors always do",
    )  # fmt: skip
    scan = [s5_hvs1(float(d)) for d in np.arange(8.0, 9.8, 0.02)]
    from astropy.table import vstack

    many = replace(tracer, samples=8).predict(vstack(scan), seed=config.seed)
    nearest = int(np.argmin(np.asarray(many["closest_approach"])))
    distance = float(many["distance"][nearest].value)
    found = tracer.predict(s5_hvs1(distance, 0.02), seed=config.seed, label="S5-HVS1")
    results.table("s5_hvs1", found, "S5-HVS1 with reported values at the distance that brings it nearest the center")
    results.number(
        "distance at which S5-HVS1 passes nearest the center", distance, "kpc",
        published=Published(8.9, "arXiv:1907.11725, reported"), meaning="scan of 8 to 9.8 kpc",
    )  # fmt: skip
    for column, name, unit, published in (
        ("ejection_speed", "ejection speed of S5-HVS1", "km/s", 1800.0),
        ("flight_time", "flight time of S5-HVS1", "Myr", 4.8),
        ("closest_approach", "closest approach of S5-HVS1", "kpc", None),
    ):
        value, low, high = (float(found[f"{column}{end}"][0].value) for end in ("", "_low", "_high"))
        results.number(
            name, value, unit, low=low, high=high,
            published=Published(published, S5_SOURCE) if published else None,
            meaning="3 pc from the center" if column == "ejection_speed" else "",
        )  # fmt: skip
    results.number("S5-HVS1 from the center, p-value", float(found["p_center"][0]), "", bar=Bar(">=", 0.05))
    return {"fast": stars, "s5": found}


def mock(config: Config) -> dict[str, QTable]:
    """Stars thrown out of the center at known speeds and seen with errors, and halo stars that were not."""
    from starloom.galactic_center.fast_mock import make

    return {"fast_stars": make(config.potential, config.seed)}


STUDY = Study(
    name="sgra-companion",
    title="Hypervelocity stars and a companion of Sgr A*",
    arxiv="2304.12169",
    summary="A black hole that circles Sgr A*, or merged with it, throws stars out of the Galaxy. Gaia DR3 has none "
    "that is certain, which excludes companions by mass and separation.",
    citations=(
        "2023MNRAS.525..561E Evans, Rasskazov, Remmelzwaal, Marchetti, Castro-Ginard, Rossi & Bovy, Constraints on a "
        "companion of Sgr A* from hypervelocity stars",
        "2006ApJ...651..392S Sesana, Haardt & Madau, Interaction of massive black hole binaries with their stellar "
        "environment. I",
        "2022MNRAS.515..767M Marchetti, Evans & Rossi, Gaia DR3 in 6D: the search for fast hypervelocity stars",
        "2020MNRAS.491.2465K Koposov et al., Discovery of a nearby 1700 km/s star ejected from the Milky Way by Sgr A*",
        "2016ApJ...823..102C Choi et al., MESA Isochrones and Stellar Tracks (MIST). I. Solar-scaled models",
        "2018MNRAS.479.2789B Boubert et al., Revisiting hypervelocity stars after Gaia DR2",
    ),
    config=Config,
    presets={
        "tour": {"library": 20_000, "brute_force": 6000, "skies": 300, "masses": 10, "separations": 8, "samples": 16,
                 "variant": ""},
        "quick": {},
        "full": {"library": 1_000_000, "brute_force": 400_000, "skies": 10_000, "samples": 400},
    },
    inputs=(
        InputSpec("fast_stars", "open_fast_stars", "stars", "stars that are known to be fast", primary=True),
    ),
    run=run,
    mock=mock,
    schema=SCHEMA,
)  # fmt: skip
