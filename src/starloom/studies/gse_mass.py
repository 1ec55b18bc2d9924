"""Study gse-mass: the density and the stellar mass of Gaia-Sausage/Enceladus through APOGEE's eyes (arXiv:2306.03084).

The stars are a made halo of known mass, or a user's own allStar file; fields, sampling fractions, isochrones and
bolometric corrections are real.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
import pydantic

from starloom.files import RunFolder
from starloom.halo.schema import SCHEMA
from starloom.results.record import Bar, Published, Results
from starloom.studies.study import Input, InputSpec, Study, StudyConfig

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.studies.gse_mass_steps import Analysis

LANE = "arXiv:2306.03084"
LATER = "arXiv:2509.04557"


class Config(StudyConfig):
    """Settings of gse-mass."""

    selection: str = pydantic.Field("e-Lz", description="kinematic selection: e-Lz, AD, JR-Lz, ... joined by +")
    kinematics: Literal["constant", "mixture"] = pydantic.Field(
        "constant", description="velocities of the merger: constant beta, or two Osipkov-Merritt functions"
    )
    beta: float = pydantic.Field(0.8, gt=-1.5, lt=1.0, description="anisotropy of the merger")
    rest_beta: float = pydantic.Field(0.3, gt=-1.5, lt=1.0, description="anisotropy of the rest of the halo")
    anisotropy_radii: tuple[float, float] = pydantic.Field((2.0, 547.0), description="of the mixture, kpc")
    mixture_share: float = pydantic.Field(0.88, ge=0, le=1, description="of the first of the two")
    focal_length: Literal["local", "orbit"] = pydantic.Field("local", description="of the actions, see the page")
    completeness: Literal["meridional", "fields"] = pydantic.Field(
        "meridional", description="draws on a grid over the meridional plane, or in every field"
    )
    samples: int = pydantic.Field(1000, ge=10, description="draws of each kind at each place")
    moduli: int = pydantic.Field(301, ge=20, description="distance moduli from 7 to 19")
    kinds: tuple[Literal["single", "cutoff", "broken", "double"], ...] = pydantic.Field(
        ("single", "cutoff", "broken", "double"), min_length=1, description="densities compared"
    )
    posterior_of: Literal["best", "single", "cutoff", "broken", "double"] = pydantic.Field(
        "best", description="density whose posterior is drawn; best: by BIC"
    )
    disk: bool = pydantic.Field(False, description="let a share of exponential disk be in the density")
    outliers: bool = pydantic.Field(False, description="let a share of the sample be spread evenly")
    starts: int = pydantic.Field(6, ge=1, description="blind starts of each fit")
    chains: int = pydantic.Field(4, ge=2)
    draws: int = pydantic.Field(500, ge=50, description="draws of each chain")
    tune: int = pydantic.Field(400, ge=50, description="draws of the warm-up")
    nested: bool = pydantic.Field(False, description="evidence of every density by nested sampling")
    radii: tuple[float, float] = pydantic.Field((2.0, 70.0), description="shell of the mass, kpc")
    grid: Literal["mist", "parsec"] = pydantic.Field("mist", description="isochrones")
    mass_function: Literal["chabrier_2003", "chabrier_2001", "kroupa_2001"] = "chabrier_2003"
    dust_rate: float = pydantic.Field(0.25, ge=0, description="E(B-V) per kpc at the Sun of the analytic dust")
    probabilities: int = pydantic.Field(20, ge=0, description="draws from each star's errors for its selection")
    budget: Literal["short", "all"] = pydantic.Field("all", description="how many rows the budget has")
    infall_redshift: float = pydantic.Field(2.0, ge=0, description="when the merger's halo mass is taken")
    milky_way_halo: float = pydantic.Field(1.2e12, gt=0, description="halo mass of the Milky Way today, Msun")
    truth: Literal["broken", "authors"] = pydantic.Field("broken", description="density of the mock's merger")
    mock_mass: float = pydantic.Field(
        6.0e8, gt=0, description="Msun of the merger in the mock, 2 to 55 kpc; three times the authors', for more stars"
    )
    mock_distance_error: float = pydantic.Field(0.0, ge=0, lt=0.2, description="relative, of the mock's distances")
    mock_rest: float = pydantic.Field(1.8e9, ge=0, description="Msun of the rest of the halo in the mock")


def run(config: Config, inputs: Mapping[str, Input], folder: RunFolder) -> Results:
    """Read, select, complete, fit, weigh, and ask what else the mass could be."""
    from starloom.studies import gse_mass_pages as pages
    from starloom.studies.gse_mass_steps import Analysis

    results = Results("gse-mass", STUDY.title, config.preset, config.seed, summary=STUDY.summary)
    given = inputs["giants"]
    results.inputs = [entry.record for entry in inputs.values()]
    work = Analysis.prepare(config, given.table, folder, config.workers)
    results.inputs += work.records
    _sample(results, work)
    merger = work.fit_merger()
    _fit_numbers(results, work, merger, "GS/E", "accreted")
    halo = work.fit_halo()
    _fit_numbers(results, work, halo, "whole halo", "halo")
    _masses(results, work, merger, halo)
    _ignored(results, work, merger)
    budget = work.budget(merger)
    _budget(results, budget)
    if given.record.kind == "simulated":
        _truth(results, config, work, merger)
    for name, table, note in pages.tables(work, merger, halo, budget):
        results.table(name, table, note)
    results.figures = pages.figures(work, merger, halo)
    for name, answer in (("GS/E", merger), ("whole halo", halo)):
        for problem in answer.posterior.problems:
            results.warn(f"{name}: {problem}")
    results.warn(
        "The distribution functions are of a sphere with the Galaxy's enclosed mass; near the disk the completeness is "
        "approximate. Masses are initial masses of all stars formed, between the radii stated."
    )
    return results


def _sample(results: Results, work: Analysis) -> None:
    from starloom.halo.sample import count_reasons

    results.number("giants in the table", len(work.sample.table), "stars")
    results.number("giants usable", float(work.sample.usable.sum()), "stars", meaning="all cuts, and inside a field")
    for text, count in count_reasons(work.sample).items():
        results.number(f"left out: {text}", count, "stars")
    for name in work.selections:
        results.number(f"accreted giants inside {name}", float(work.sample.chosen("accreted", name).sum()), "stars")
    results.number("giants inside the halo's abundances", float(work.sample.chosen("halo", None).sum()), "stars")
    at_sun = work.at_sun()
    for name, (value, error, purity) in at_sun.items():
        results.number(
            f"completeness of {name} at the Sun", value, "", low=value - error, high=value + error,
            meaning=f"Monte Carlo error; purity of an even mix {purity:.2f}",
        )  # fmt: skip


def _fit_numbers(results: Results, work: Analysis, answer: object, name: str, abundance: str) -> None:
    from starloom.studies.gse_mass_steps import Answer

    assert isinstance(answer, Answer)
    results.number(f"{name}: stars fitted", len(answer.likelihood.stars), "stars")
    posterior = answer.posterior
    units = {"inner_break": "kpc", "outer_break": "kpc"}
    published = {
        "p": Published(0.55, f"{LANE}, abstract"),
        "q": Published(0.45, f"{LANE}, abstract"),
        "break_radius": Published(20.0, f"{LANE}, abstract: 15 to 25 kpc", 15.0, 25.0),
    }
    meanings = {"p": "intermediate to long axis; ", "q": "short to long axis; "}
    for parameter in posterior.names:
        if parameter in ("theta", "eta", "angle"):
            continue  # the directions of the axes below; the three are in the table of draws
        value, low, high = posterior.interval(parameter)
        results.number(
            f"{name}: {parameter}", value, units.get(parameter, "kpc" if parameter.endswith("radius") else ""),
            low=low, high=high, published=published.get(parameter) if abundance == "accreted" else None,
            meaning=f"{meanings.get(parameter, '')}{answer.model.label}, median and 68 %",
        )  # fmt: skip
    if answer.model.turning:
        axes = {
            "long": (Published(80.0, f"{LANE}, abstract: about"), Published(16.0, f"{LANE}, abstract")),
            "short": (None, None),
        }
        for axis, stated in axes.items():
            line = posterior.axis(axis)
            parts = (("angle to the line from the Sun to the center", line.azimuth), ("height", line.height))
            for (what, values), there in zip(parts, stated, strict=True):
                middle, low, high = np.quantile(values, [0.5, 0.1585, 0.8415])
                results.number(
                    f"{name}: {axis} axis, {what}", float(middle), "deg", low=float(low), high=float(high),
                    published=there if abundance == "accreted" else None,
                    meaning="above the plane" if what == "height" else "in the plane",
                )  # fmt: skip
    results.number(
        f"{name}: worst R-hat", float(np.max(posterior.r_hat)), "",
        bar=None if work.config.preset == "tour" else Bar("<=", 1.05),
    )  # fmt: skip
    results.number(f"{name}: fewest effective draws", float(np.min(posterior.effective_size)), "draws")
    results.number(f"{name}: diverging steps", float(posterior.divergences), "draws")


def _masses(results: Results, work: Analysis, merger: object, halo: object) -> None:
    from starloom.halo.mass import earlier_halo_mass, halo_mass
    from starloom.studies.gse_mass_steps import Answer

    assert isinstance(merger, Answer)
    assert isinstance(halo, Answer)
    config = work.config
    shell = f"{config.radii[0]:g} to {config.radii[1]:g} kpc"
    value, low, high = merger.mass.interval()
    results.number(
        "stellar mass of GS/E", value / 1e8, "1e8 Msun", low=low / 1e8, high=high / 1e8,
        meaning=f"spherical bounds, {shell}; statistical",
        published=Published(1.45, f"{LANE}, abstract (statistical)", 0.94, 2.37),
    )  # fmt: skip
    value, low, high = merger.mass.interval(even_tensor=True)
    results.number(
        "stellar mass of GS/E, prior even in the shape's tensor", value / 1e8, "1e8 Msun", low=low / 1e8,
        high=high / 1e8, meaning="the prior even in p, q and orientation leans to equal axes, this one does not",
    )  # fmt: skip
    ellipsoid = merger.weigh(work, bounds="ellipsoid").interval()
    results.number(
        "stellar mass of GS/E, ellipsoidal bounds", ellipsoid[0] / 1e8, "1e8 Msun", low=ellipsoid[1] / 1e8,
        high=ellipsoid[2] / 1e8, meaning=f"between ellipsoidal radii of {shell} along the long axis",
        published=Published(2.29, f"{LATER}, abstract: two Osipkov-Merritt functions", 1.66, 3.24)
        if config.kinematics == "mixture" else None,
    )  # fmt: skip
    value, low, high = halo.mass.interval()
    results.number(
        "stellar mass of the whole halo", value / 1e8, "1e8 Msun", low=low / 1e8, high=high / 1e8,
        meaning=f"spherical bounds, {shell}; abundances alone, completeness 1",
        published=Published(7.5, f"{LANE}, abstract: 6.7 to 8.4", 6.7, 8.4),
    )  # fmt: skip
    share = np.quantile(merger.mass.mass[: len(halo.mass.mass)] / halo.mass.mass[: len(merger.mass.mass)],
                        [0.5, 0.1585, 0.8415])  # fmt: skip
    results.number(
        "share of GS/E in the halo", 100 * share[0], "%", low=100 * share[1], high=100 * share[2],
        meaning="draws of the two posteriors, taken as independent",
        published=Published(20.0, f"{LANE}, abstract: 15 to 25 %", 15.0, 25.0),
    )  # fmt: skip
    dark = np.quantile(halo_mass(merger.mass.mass, config.infall_redshift), [0.5, 0.1585, 0.8415])
    results.number(
        "halo mass of GS/E at infall", dark[0] / 1e10, "1e10 Msun", low=dark[1] / 1e10, high=dark[2] / 1e10,
        meaning=f"mean relation of arXiv:1205.5807 at z = {config.infall_redshift:g}; its scatter is not in the bounds",
    )  # fmt: skip
    host = earlier_halo_mass(config.milky_way_halo, config.infall_redshift)
    results.number(
        "merger ratio, Milky Way to GS/E", host / dark[0], "", low=host / dark[2], high=host / dark[1],
        meaning="total masses, the Milky Way's grown back in time at the mean rate of arXiv:1001.2304",
        published=Published(8.0, f"{LANE}, abstract: 1:8"),
    )  # fmt: skip


def _ignored(results: Results, work: Analysis, merger: object) -> None:
    from starloom.studies.gse_mass_steps import Answer

    assert isinstance(merger, Answer)
    value, low, high = merger.mass.interval()
    for name, mass in work.ignoring(merger).items():
        sigma = (value - mass) / (value - low) if mass < value else (mass - value) / (high - value)
        results.number(f"mass when {name} is ignored", mass / 1e8, "1e8 Msun")
        results.number(
            f"bias from ignoring {name}",
            sigma,
            "sigma",
            bar=Bar(">=", 2.0),
            meaning="in statistical errors of the mass",
        )


def _budget(results: Results, budget: QTable) -> None:
    ratio, kinds = np.asarray(budget["ratio"], dtype=float), np.asarray(budget["kind"])
    baseline = float(budget.meta["baseline"])
    up = [max(ratio[kinds == kind].max() - 1.0, 0.0) for kind in np.unique(kinds) if kind != "velocity model"]
    down = [max(1.0 - ratio[kinds == kind].min(), 0.0) for kind in np.unique(kinds) if kind != "velocity model"]
    results.number(
        "systematic error of the mass, upwards", baseline * float(np.hypot.reduce(up)) / 1e8, "1e8 Msun",
        meaning="largest change of the best fit by each kind of the budget, in quadrature, but for the velocity model",
        published=Published(0.13, f"{LANE}, abstract"),
    )  # fmt: skip
    results.number(
        "systematic error of the mass, downwards", baseline * float(np.hypot.reduce(down)) / 1e8, "1e8 Msun",
        published=Published(0.37, f"{LANE}, abstract"),
    )  # fmt: skip


def _truth(results: Results, config: Config, work: Analysis, merger: object) -> None:
    from starloom.studies.gse_mass_steps import Answer

    assert isinstance(merger, Answer)
    true = config.mock_mass * work.true_shell_ratio()
    value, low, high = merger.mass.interval()
    results.number("true mass of GS/E in the mock", true / 1e8, "1e8 Msun", meaning="in the same shell")
    off = (value - true) / ((value - low) if value > true else (high - value))
    results.number("mass: off the truth", off, "sigma", meaning="of the statistical error")
    chosen = work.sample.chosen("accreted", config.selection)
    if "component" in work.sample.table.colnames:
        own = np.asarray(work.sample.table["component"])[chosen] == "merger"
        results.number("stars of the merger among those fitted", 100 * float(own.mean()), "%")


def mock(config: Config) -> dict[str, QTable]:
    """A made halo seen through the real survey."""
    from starloom.studies.gse_mass_steps import made_halo

    return {"giants": made_halo(config)}


STUDY = Study(
    name="gse-mass",
    title="The mass of Gaia-Sausage/Enceladus through the survey's eyes",
    arxiv="2306.03084",
    summary="From kinematically chosen, accreted giants to a triaxial density and a stellar mass, with APOGEE's "
    "sampling, dust and the completeness of the choice in the likelihood; the whole halo by the same fit; and what "
    "the mass function, the anisotropy, the choice, the dust and the isochrones do to the mass.",
    citations=(
        f"{LANE} Lane, Bovy & Mackereth, The stellar mass of the Gaia-Sausage/Enceladus accretion remnant",
        f"{LATER} Lane & Bovy, on the kinematics and mass of the Gaia-Sausage/Enceladus",
        "arXiv:1601.04716 Bovy et al., The stellar population structure of the Galactic disk",
        "arXiv:1205.5807 Moster, Naab & White, Galactic star formation and accretion histories",
        "arXiv:1001.2304 Fakhouri, Ma & Boylan-Kolchin, The merger rates and mass assembly histories of halos",
        "2016ApJ...823..102C Choi et al., MESA Isochrones and Stellar Tracks (MIST). I",
    ),
    config=Config,
    presets={
        "tour": {
            "samples": 100, "moduli": 31, "kinds": ["single", "broken"], "starts": 2, "chains": 2, "draws": 100,
            "tune": 150, "probabilities": 2, "budget": "short",
        },
        "quick": {"moduli": 151, "kinds": ["single", "cutoff", "broken"], "chains": 2, "draws": 500, "tune": 300},
        "full": {"samples": 1000, "completeness": "fields", "draws": 1000, "tune": 500, "starts": 10, "nested": True},
    },
    inputs=(InputSpec("giants", "", "", "APOGEE giants with six coordinates and abundances", primary=True),),
    run=run,
    mock=mock,
    schema=SCHEMA,
    key_number="stellar mass of GS/E",
    key_figure="profile",
)  # fmt: skip
