"""Study of arXiv:2012.00036: metal-poor stars of the disk, which way they turn and how old they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pydantic

from starloom.errors import CatalogError
from starloom.halo.metal_poor_schema import METAL_POOR
from starloom.results.record import Bar, InputRecord, Published, Results
from starloom.studies.inputs import Input, InputSpec, content_sha256
from starloom.studies.study import Study, StudyConfig

if TYPE_CHECKING:
    from astropy.table import QTable
    from numpy.typing import NDArray

    from starloom.files import RunFolder
    from starloom.inference.population import PopulationPosterior
    from starloom.stellar.age_lattice import AgeLattice
    from starloom.stellar.ages import AgePosteriors, StarAges
    from starloom.stellar.isochrone_grids import IsochroneGrid
    from starloom.stellar.photometry import BolometricCorrections

    Floats = NDArray[np.float64]

PAPER = "2021ApJ...908..208C, abstract"
GAIA = ("gaia_g", "gaia_bp", "gaia_rp")
PANSTARRS = ("ps1_g", "ps1_r", "ps1_i", "ps1_z")
FE_H_EDGES = (-3.5, -2.75, -2.5, -2.25, -2.0)
ALPHA_EDGES = (0.0, 0.25, 0.35, 0.45, 0.7)
MADE_AGE = 12.0
MADE_SLOPE = (0.85, 0.6)  # prograde fractions at [Fe/H] = -3 and -2 of the made sample


class Config(StudyConfig):
    """Settings of metal-poor-disk."""

    stars: int = pydantic.Field(640, ge=200, description="made stars, of which those at 1 to 3 kpc are the sample")
    turn_off: int = pydantic.Field(50, ge=5, description="made stars with photometry around the turn-off")
    mocks: int = pydantic.Field(60, ge=4, description="made samples on which the intervals are checked")
    populations: int = pydantic.Field(10, ge=1, description="made populations of 50 turn-off stars of one age")
    calibration: int = pydantic.Field(200, ge=20, description="made stars on which single ages are checked")
    orbit_draws: int = pydantic.Field(20, ge=0, description="draws of each star for eccentricity and z_max")
    real_stars: int = pydantic.Field(1000, ge=20, description="most real turn-off stars whose ages are computed")
    oldest: float = pydantic.Field(19.0, gt=14.0, le=19.9, description="oldest age of the flat prior (Gyr)")
    frame: str = pydantic.Field("astropy_v4.0", description="the Sun's place and motion")
    potential: str = pydantic.Field("MilkyWayPotential2022", description="the Galaxy, for eccentricity and z_max")
    family: str = pydantic.Field("mist", description="isochrones: mist, parsec, dartmouth or basti")


@dataclass(frozen=True)
class Models:
    """The stellar models of a run."""

    grid: IsochroneGrid
    corrections: BolometricCorrections
    lattice: AgeLattice

    @classmethod
    def open(cls, config: Config, fe_h: tuple[float, float]) -> Models:
        """Open the grid and build the lattice over a range of [Fe/H]."""
        from starloom.stellar.age_lattice import AgeLattice

        grid, corrections = grids(config.family)
        lattice = AgeLattice.build(
            grid, corrections, (*GAIA, *PANSTARRS), fe_h=fe_h, age=(max(1.0, grid.age_range[0]), config.oldest)
        )
        return cls(grid, corrections, lattice)


def grids(family: str = "mist") -> tuple[IsochroneGrid, BolometricCorrections]:
    """The isochrones and bolometric corrections of the datasets."""
    from starloom.datasets.access import locate
    from starloom.stellar.isochrone_grids import IsochroneGrid
    from starloom.stellar.photometry import BolometricCorrections

    grid = IsochroneGrid.open(locate("isochrone_grids", family).path)
    return grid, BolometricCorrections.open(locate("bolometric_corrections", "tables").path)


def run(config: Config, inputs: Mapping[str, Input], folder: RunFolder) -> Results:
    """Motions and ages of the sample, checks of both on made samples, and what real stars show."""
    from starloom.studies import metal_poor_checks as checks
    from starloom.studies import metal_poor_pages as pages
    from starloom.studies import metal_poor_real as real
    from starloom.studies import metal_poor_rotation as velocities

    results = Results("metal-poor-disk", STUDY.title, config.preset, config.seed, summary=STUDY.summary)
    results.inputs = [entry.record for entry in inputs.values()]
    if "stars" in inputs:
        stars = inputs["stars"].table
    else:
        stars = made_sample(config)
        origin = "made here: a halo with a known prograde fraction and turn-off stars of 12 Gyr, seen as H3 sees them"
        results.inputs.append(InputRecord("stars", "simulated", origin, len(stars), content_sha256(stars)))
        results.warn(
            "The sample of the paper is not public: the prograde fraction and the population's age are those of a made "
            "sample." + _of_real_stars(inputs)
        )
    _record_models(results, config)
    motions = kinematics(results, config, stars)
    models = Models.open(config, _iron_range(stars, inputs["hectochelle"].table))
    ages = turn_off_ages(results, config, models, motions)
    checks.fraction_intervals(results, config)
    checks.single_ages(results, config, models)
    checks.populations(results, config, models)
    comparison = real.against_minesweeper(results, config, models, inputs["hectochelle"])
    rotation = velocities.line_of_sight(results, config, inputs)
    results.figures = pages.figures(motions, ages, comparison, rotation)
    return results


def _of_real_stars(inputs: Mapping[str, Input]) -> str:
    """What of a run without a user's table is of real stars all the same."""
    real = {name for name, entry in inputs.items() if entry.record.kind == "real"}
    parts = [
        words
        for words, names in (
            ("the ages against MINESweeper", {"hectochelle"}),
            ("the rotation from line-of-sight velocities", {"s5", "jinabase"}),
        )
        if real & names
    ]
    return (
        f" {' and '.join(parts).capitalize()} are of real stars.".replace("minesweeper", "MINESweeper") if parts else ""
    )


def _iron_range(stars: QTable, others: QTable) -> tuple[float, float]:
    """The range of [Fe/H] that the models have to cover, with room for errors and for [alpha/Fe]."""
    from starloom.catalog.schema import plain

    iron = np.concatenate([plain(stars, "fe_h"), plain(others, "init_FeH")])
    iron = iron[np.isfinite(iron)]
    return min(float(iron.min()) - 0.5, -3.5), max(float(iron.max()) + 0.8, -0.5)


def kinematics(results: Results, config: Config, stars: QTable) -> QTable:
    """The prograde fraction of the sample: as a whole, in bins, and as a trend in chemistry."""
    from starloom.catalog.schema import plain
    from starloom.halo.metal_poor import MetalPoorDisk
    from starloom.halo.prograde import fit_trend, fractions_in_bins, prograde_fraction
    from starloom.halo.rotation import LEAST, sign_probabilities

    model = MetalPoorDisk(
        frame_name=config.frame, potential_name=config.potential, orbit_draws=config.orbit_draws, seed=config.seed,
        workers=config.workers,
    )  # fmt: skip
    motions = model.predict(stars, label="the stars")
    chosen = np.asarray(motions["selected"])
    results.table("stars", motions, "one row a star: motions, orbit, whether it is in the sample, and why not")
    if chosen.sum() < LEAST:
        raise CatalogError(
            f"only {int(chosen.sum())} stars are in the sample, {LEAST} are needed; the column 'reason' says why"
        )
    reasons, counts = np.unique(np.asarray(motions["reason"])[~chosen], return_counts=True)
    for reason, count in zip(reasons, counts, strict=True):
        results.warn(f"{count} stars not in the sample: {reason}")
    draws, weight = model.rotation_draws(stars, label="the stars")
    sides = sign_probabilities(draws[chosen], weight=weight[chosen], seed=config.seed)
    p, fe_h = sides.probability, plain(motions, "fe_h")[chosen]
    motions.meta["sides"] = sides
    found = prograde_fraction(p)
    results.number(
        "stars in the sample", found.stars, "stars", meaning="[Fe/H] < -2, 1 < |Z| < 3 kpc",
        published=Published(482, PAPER),
    )  # fmt: skip
    results.number(
        "prograde fraction", found.value, "", low=found.low, high=found.high,
        meaning="errors of the sign deconvolved, both spreads of the rotation fitted; 68 % interval",
        published=Published(0.7, f"{PAPER}: over 70 %", 0.7, 1.0),
    )  # fmt: skip
    results.number(
        "prograde fraction, counted", found.counted, "", low=found.counted_low, high=found.counted_high,
        meaning="share of stars with P(prograde) > 1/2; Jeffreys' interval",
    )  # fmt: skip
    even = prograde_fraction(np.asarray(motions["p_prograde"])[chosen])
    results.number(
        "prograde fraction, rotations equally dense on either side of zero", even.value, "", low=even.low,
        high=even.high, meaning="what it would be if the spreads were not fitted: biased where they differ",
    )  # fmt: skip
    if "true_fraction" in motions.colnames:
        true = float(np.mean(np.asarray(motions["true_fraction"])[chosen]))
        results.number("true prograde fraction", true, "", meaning="mean chance with which the made stars were drawn")
    quantities = {"fe_h": fe_h}
    if "alpha_m" in motions.colnames:
        quantities["alpha_m"] = plain(motions, "alpha_m")[chosen]
    trend = fit_trend(p, quantities, seed=config.seed)
    for name, words in (("fe_h", "[Fe/H]"), ("alpha_m", "[alpha/Fe]")):
        if name in quantities:
            middle, low, high = trend.slope(name)
            results.number(
                f"slope of logit f with {words}", middle, "1/dex", low=low, high=high,
                meaning=f"joint logistic fit; falls with a probability of {trend.falling(name):.3f}",
            )  # fmt: skip
            edges = FE_H_EDGES if name == "fe_h" else ALPHA_EDGES
            bins = fractions_in_bins(p, quantities[name], edges)
            ends = np.quantile(quantities[name], (0.01, 0.99))
            at = np.linspace(float(ends[0]), float(ends[1]), 40)
            bins.meta["x"], bins.meta["band"] = at, trend.fraction(**{name: at})
            if "true_fraction" in motions.colnames and name == "fe_h":
                true_fe_h = plain(motions, "true_fe_h")[chosen]
                order = np.argsort(true_fe_h)
                bins.meta["truth"] = (true_fe_h[order], np.asarray(motions["true_fraction"])[chosen][order])
            motions.meta[name] = bins
            plain_bins = bins.copy()
            plain_bins.meta = {}
            results.table(f"prograde_{name}", plain_bins, f"the prograde fraction in bins of {words}")
    for name, unit in (("eccentricity", ""), ("z_max", "kpc")):
        values = plain(motions, name)[chosen]
        low, middle, high = np.nanquantile(values, (0.16, 0.5, 0.84))
        results.number(f"median {name}", middle, unit, low=low, high=high, meaning="of the sample; central 68 % of it")
    return motions


def star_ages(config: Config, models: Models, **settings: Any) -> StarAges:
    """The age model of this study."""
    from starloom.stellar.ages import StarAges

    return StarAges(models.lattice, seed=config.seed, workers=config.workers, **settings)


def turn_off_ages(results: Results, config: Config, models: Models, motions: QTable) -> dict[str, Any]:
    """Ages of the sample's turn-off stars, their population, and what the prior does to both."""
    from starloom.catalog.schema import plain
    from starloom.inference.population import population_of_densities
    from starloom.stellar.ages import Floors, turn_off

    logg = plain(motions, "logg") if "logg" in motions.colnames else np.full(len(motions), np.nan)
    chosen = np.asarray(motions["selected"]) & turn_off(logg)
    made = "true_age" in motions.colnames
    if chosen.sum() < 3:
        results.warn("fewer than three turn-off stars (3.8 < log g < 4.3) are in the sample: no population age")
        return {}
    stars = motions[chosen]
    if "parallax" in stars.colnames and np.isfinite(plain(stars, "parallax")).any() and "distance" in stars.colnames:
        stars.remove_column("distance")  # a survey's distance rests on the parallax and on isochrones: not twice
    # made stars have the errors they are said to have; real ones are not known better than the models
    model = star_ages(config, models, **({"floors": Floors(0.0, 0.0, 0.0, 0.0)} if made else {}))
    found = model.posteriors(stars)
    table = model.predict(stars, posteriors=found)
    results.table("turn_off_ages", table, "one row a turn-off star of the sample: age, mass, distance, and why not")
    population = population_of_densities(found.age_edges, found.age_probability, outliers=0.0 if made else 0.3)
    low, middle, high = population.mean_quantiles()
    results.number(
        "turn-off stars with ages", population.members, "stars", meaning="3.8 < log g < 4.3 and a model that fits"
    )
    results.number(
        "population age", middle, "Gyr", low=low, high=high,
        meaning=f"mean age, flat prior 1 to {config.oldest:g} Gyr divided out",
        published=Published(12.0, f"{PAPER}: uniformly old, about 12 Gyr"),
        bar=Bar("in", (MADE_AGE - 0.3, MADE_AGE + 0.3)) if made else None,
    )  # fmt: skip
    results.number(
        "intrinsic spread of age, 95 % limit", population.spread_limit(), "Gyr",
        meaning="of the turn-off stars; the made ones have none" if made else "of the turn-off stars",
    )  # fmt: skip
    sensitivity(results, found, population, "")
    if made:
        wrong = models.lattice.weighted("eep")
        other = model.__class__(wrong, floors=model.floors, seed=config.seed, workers=config.workers).posteriors(stars)
        shifted = population_of_densities(other.age_edges, other.age_probability)
        results.number(
            "population age without the EEP weight", float(shifted.mean_quantiles([0.5])[0]), "Gyr",
            low=float(shifted.mean_quantiles([0.16])[0]), high=float(shifted.mean_quantiles([0.84])[0]),
            meaning="uniform in EEP at given mass instead of flat in age: wrong, to show how much it matters",
        )  # fmt: skip
    return {"table": table, "posteriors": found, "population": population, "made": made}


def sensitivity(results: Results, found: AgePosteriors, population: PopulationPosterior, label: str) -> None:
    """What other priors would have said: the mean of single ages, and the population's."""
    from starloom.inference.population import population_of_densities

    edges = found.age_edges
    centers = 0.5 * (edges[1:] + edges[:-1])
    usable = found.age_probability[found.usable]

    def mean_age(weight: Floats) -> float:
        p = usable * weight
        total = p.sum(axis=1)
        return float(np.mean((p @ centers)[total > 0] / total[total > 0]))

    halo = np.exp(-0.5 * ((centers - 12.0) / 2.0) ** 2) * ((centers > 8.0) & (centers < 14.0))
    for words, weight in (
        ("flat 1 to 19 Gyr", np.ones_like(centers)),
        ("flat 1 to 14 Gyr", (centers < 14.0).astype(np.float64)),
        ("normal 12 +- 2 in 8 to 14 Gyr", halo),
    ):
        results.number(
            f"mean of single ages{label}, prior {words}", mean_age(weight), "Gyr",
            meaning="averages of posteriors echo the prior; the population's age does not",
        )  # fmt: skip
    inside = edges[1:] <= 14.01
    cut = usable[:, inside]
    kept = cut.sum(axis=1) > 1e-6
    if kept.sum() >= 3:
        young = population_of_densities(
            edges[: inside.sum() + 1], cut[kept] / cut[kept].sum(axis=1, keepdims=True),
            outliers=float(population.outliers[-1]),
        )  # fmt: skip
        low, middle, high = young.mean_quantiles()
        results.number(
            f"population age{label}, ages cut at 14 Gyr", middle, "Gyr", low=low, high=high,
            meaning="the same stars if none may be older than the Universe; compare with the population age",
        )  # fmt: skip


def made_sample(config: Config) -> QTable:
    """A made survey: stars with motions, some of them turn-off stars of one age with photometry."""
    from astropy.table import QTable

    from starloom.halo.metal_poor_mock import MadeHalo
    from starloom.seeds import generator
    from starloom.stellar.age_mock import MadeStars
    from starloom.stellar.ages import salaris

    rng = generator(config.seed)
    grid, corrections = grids(config.family)
    floor = max(-2.75, grid.fe_h_range[0])

    def far(rng: np.random.Generator) -> float:
        while True:
            distance = float(rng.gamma(4.0, 0.8))
            if 1.2 < distance < 6.4:
                return distance

    # a few more than asked for: some lie outside 1 to 3 kpc
    count = int(config.turn_off * 1.35) + 2
    makes = MadeStars(grid, corrections, GAIA, lambda r: MADE_AGE, lambda r: r.uniform(floor, -1.85), distance=far)
    bright = makes.sample(count, rng)
    top, bottom = (float(np.log(f / (1.0 - f))) for f in MADE_SLOPE)
    halo = MadeHalo(fraction=1.0 / (1.0 + np.exp(-0.5 * (top + bottom))), fe_h_slope=bottom - top)
    # the models are scaled-solar: a star of [alpha/Fe] 0.35 that resembles one of them has a lower [Fe/H]
    alpha = np.clip(rng.normal(0.35, 0.1, count), 0.0, 0.6)
    lower = salaris(0.0, alpha)
    first = halo.sample(
        count, rng, distance=bright["true_distance"].value, fe_h=np.asarray(bright["true_fe_h"]) - lower, alpha=alpha
    )
    rest = halo.sample(config.stars - count, rng)
    table = QTable({"source_id": np.arange(1, config.stars + 1)})
    for name in first.colnames[1:]:
        table[name] = np.concatenate([first[name], rest[name]])
    table["fe_h"][:count], table["fe_h_error"][:count] = np.asarray(bright["fe_h"]) - lower, bright["fe_h_error"]
    for name in bright.colnames:
        if name not in table.colnames and name != "source_id":
            column = bright[name]
            values = np.full(config.stars, np.nan)
            values[:count] = getattr(column, "value", column)
            table[name] = values * column.unit if getattr(column, "unit", None) is not None else values
    return table


def mock(config: Config) -> dict[str, QTable]:
    """Made tables in the place of every input."""
    from starloom.studies import metal_poor_checks as checks

    return {"stars": made_sample(config), **checks.made_inputs(config)}


def _record_models(results: Results, config: Config) -> None:
    from starloom.datasets.access import locate

    for name, dataset, file in (
        ("isochrones", "isochrone_grids", config.family),
        ("bolometric corrections", "bolometric_corrections", "tables"),
    ):
        found = locate(dataset, file)
        results.inputs.append(InputRecord(name, "real", found.origin, 0, found.sha256, found.license, found.citation))


STUDY = Study(
    name="metal-poor-disk",
    title="Metal-poor stars of the disk: orbits, prograde fractions, isochrone ages",
    arxiv="2012.00036",
    summary="Which share of the metal-poor stars near the disk turns with it, how that depends on [Fe/H] and "
    "[alpha/Fe], and how old their turn-off stars are; with the errors of each star, a calibrated population age, and "
    "what another prior would have said.",
    citations=(
        "2021ApJ...908..208C Carter et al., Ancient Very Metal-poor Stars Associated with the Galactic Disk in the H3 "
        "Survey",
        "2016ApJ...823..102C Choi et al., MESA isochrones and stellar tracks (MIST)",
        "2016ApJS..222....8D Dotter, MESA isochrones and stellar tracks (MIST) 0: methods",
        "2020ApJ...900...28C Cargile et al., MINESweeper: spectrophotometric modeling of stars in the Gaia era",
        "2020ApJ...892L..37B Bonaca et al., High-resolution spectroscopy of the GD-1 stellar stream",
        "1993ApJ...414..580S Salaris, Chieffi & Straniero, The alpha-enhanced isochrones",
        "2001MNRAS.322..231K Kroupa, On the variation of the initial mass function",
    ),
    config=Config,
    presets={
        "tour": {"mocks": 8, "calibration": 40, "populations": 1, "orbit_draws": 0, "real_stars": 40},
        "quick": {"mocks": 100, "calibration": 300, "orbit_draws": 20},
        "full": {"mocks": 500, "calibration": 1000, "populations": 40, "orbit_draws": 100},
    },
    inputs=(
        InputSpec("stars", "", "", "a table of metal-poor stars such as H3's", primary=True, optional=True),
        InputSpec("hectochelle", "gd1_hectochelle", "catalog", "stars with MINESweeper ages and distances"),
        InputSpec("s5", "s5_pdr1", "stars", "velocities and [Fe/H] of S5", optional=True),
        InputSpec("jinabase", "jinabase2021", "abundances", "abundances and velocities of JINAbase", optional=True),
    ),
    run=run,
    mock=mock,
    schema=METAL_POOR,
    key_number="prograde fraction",
)
