"""Steps of the study gse-mass: what each of its numbers is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from starloom.errors import CatalogError
from starloom.halo.checkpoints import kept
from starloom.halo.completeness import (
    CompletenessMap,
    KinematicTest,
    MeridionalCompleteness,
    Velocities,
    along_fields,
    count_at,
)
from starloom.halo.density import DensityModel
from starloom.halo.likelihood import HaloLikelihood, Volume
from starloom.halo.mass import MassPosterior, stellar_mass
from starloom.halo.posterior import Evidence, Posterior
from starloom.halo.scene import IRON, analytic_dust, constant_beta, galaxy, giants, stellar_models, two_functions
from starloom.halo.survey import FRAME, HaloSurvey
from starloom.results.record import InputRecord

if TYPE_CHECKING:
    from astropy.table import QTable
    from numpy.typing import NDArray

    from starloom.files import RunFolder
    from starloom.halo.comparison import Comparison
    from starloom.halo.sample import HaloSample
    from starloom.selection.sampling_fractions import SamplingFractions
    from starloom.studies.gse_mass import Config

    Array = NDArray[np.float64]

SELECTIONS = ("e-Lz", "AD", "JR-Lz")
LEAST_IN_SELECTION = 30  # stars for a row of the budget


def isochrone_record(grid: str) -> InputRecord:
    """The record of the isochrones."""
    from starloom.datasets import registry
    from starloom.datasets.access import locate
    from starloom.files import sha256

    files, about = locate("isochrone_grids", grid), registry.get("isochrone_grids")
    models, _ = stellar_models(grid)
    return InputRecord(
        f"isochrones_{grid}", "real", files.origin, len(models.fe_h) * len(models.log_age), sha256(files.path),
        about.license, about.citation,
    )  # fmt: skip


def survey_fields() -> tuple[SamplingFractions, InputRecord]:
    """APOGEE's fields and fractions, and the record of them."""
    from starloom.datasets.access import open_table
    from starloom.halo.survey import halo_fields

    table = open_table("apogee_sampling_fractions")
    meta = table.meta
    record = InputRecord(
        "sampling_fractions", "real", meta["origin"], len(table), meta["sha256"], meta["license"], meta["citation"]
    )
    return halo_fields(table), record


def merger_velocities(config: Config) -> Velocities:
    """Velocities of the merger that the settings ask for."""
    return mixture(config) if config.kinematics == "mixture" else constant_beta(config.beta)


def mixture(config: Config) -> Velocities:
    """The later paper's two functions."""
    return two_functions(config.anisotropy_radii, config.mixture_share)


def mock_truth(config: Config) -> tuple[DensityModel, dict[str, float]]:
    """Density of the mock's merger."""
    from starloom.halo.mock import AUTHORS, BROKEN

    if config.truth == "authors":
        return DensityModel("single"), dict(AUTHORS)
    return DensityModel("broken"), dict(BROKEN)


def made_halo(config: Config) -> QTable:
    """A merger and the rest of the halo, seen through the survey."""
    from starloom.halo.mock import HaloComponent, observe

    fractions, _ = survey_fields()
    tracers = giants()
    model, truth = mock_truth(config)
    parts = [HaloComponent("merger", config.mock_mass, model, truth, merger_velocities(config))]
    if config.mock_rest > 0:
        # what formed in place keeps its aluminum and stays out of the accreted region, but not out of the halo's
        round_halo = DensityModel("single", rotated=False)
        rest = {"p": 0.9, "q": 0.7, "slope": 2.5}
        parts.append(
            HaloComponent(
                "rest", config.mock_rest, round_halo, rest, constant_beta(config.rest_beta), (-1.4, 0.25), (0.05, 0.07)
            )
        )
    return observe(
        parts,
        fractions,
        tracers,
        analytic_dust(config.dust_rate),
        config.seed,
        distance_error=config.mock_distance_error,
    )


@dataclass
class Answer:
    """The fit of one sample."""

    model: DensityModel
    likelihood: HaloLikelihood
    comparison: Comparison
    posterior: Posterior
    mass: MassPosterior
    evidences: list[Evidence | None] = field(default_factory=list)

    def weigh(self, work: Analysis, bounds: str = "sphere") -> MassPosterior:
        """The mass between other bounds."""
        return stellar_mass(
            self.likelihood, self.posterior, work.survey_of("accreted").mass_per_tracer, radii=work.config.radii,
            bounds=bounds, seed=work.config.seed,
        )  # fmt: skip


@dataclass
class Analysis:
    """Everything between the table and the numbers."""

    config: Config
    fractions: SamplingFractions
    sample: HaloSample
    records: list[InputRecord]
    workers: int
    cache: Any = None
    surveys: dict[Any, HaloSurvey] = field(default_factory=dict)
    maps: dict[Any, MeridionalCompleteness | CompletenessMap] = field(default_factory=dict)

    @classmethod
    def prepare(cls, config: Config, table: QTable, folder: RunFolder, workers: int) -> Analysis:
        """Fields, cuts and orbits."""
        from starloom.halo.likelihood import LEAST_STARS
        from starloom.halo.sample import count_reasons, read_sample

        fractions, record = survey_fields()
        wanted = tuple(dict.fromkeys([config.selection, *SELECTIONS]))
        sample = read_sample(
            table, fractions, galaxy(), selections=wanted, samples=config.probabilities,
            focal_length=config.focal_length, seed=config.seed, workers=workers,
        )  # fmt: skip
        chosen = len(sample.places("accreted", config.selection))
        if chosen < LEAST_STARS:
            left_out = "; ".join(f"{text}: {count}" for text, count in count_reasons(sample).items())
            raise CatalogError(
                f"{chosen} of {len(table)} stars are accreted giants inside the selection {config.selection}, and a "
                f"density takes {LEAST_STARS} at the least; {int(sample.usable.sum())} stars are usable"
                + (f" ({left_out})" if left_out else "")
            )
        records = [record, isochrone_record(config.grid)]
        return cls(config, fractions, sample, records, workers, folder.checkpoints)

    @property
    def selections(self) -> tuple[str, ...]:
        """The selection fitted, and the others it is held against."""
        return tuple(dict.fromkeys([self.config.selection, *SELECTIONS]))

    @cached_property
    def modulus(self) -> Array:
        """Distance moduli of the cells."""
        return np.linspace(7.0, 19.0, self.config.moduli)

    def survey_of(self, abundance: str, **changes: Any) -> HaloSurvey:
        """The effective selection for an abundance region; ``grid``, ``mass_function`` and ``dust`` can be changed."""
        grid = changes.get("grid", self.config.grid)
        imf = changes.get("mass_function", self.config.mass_function)
        factor = changes.get("dust", 1.0)
        key = (abundance, grid, imf, factor)
        if key not in self.surveys:
            tracers = giants(grid, imf, IRON[abundance])
            self.surveys[key] = HaloSurvey.make(
                self.fractions,
                tracers,
                analytic_dust(self.config.dust_rate * factor),
                modulus=self.modulus,
                threads=self.workers,
            )
        return self.surveys[key]

    def test(self, selection: str, merger: Any = None, focal_length: str | None = None) -> KinematicTest:
        """What is asked of the draws."""
        config = self.config
        return KinematicTest(
            merger if merger is not None else merger_velocities(config), constant_beta(config.rest_beta), galaxy(),
            selection, config.samples, 0.5, focal_length or config.focal_length,
        )  # fmt: skip

    def completeness(self, selection: str, **changes: Any) -> Array:
        """(n, m) completeness of a selection in all cells."""
        survey = self.survey_of("accreted")
        found = self.completeness_map(selection, **changes)
        if isinstance(found, CompletenessMap):
            return found.at(survey.effective.modulus)
        return found.at(survey.places())

    def completeness_map(self, selection: str, **changes: Any) -> MeridionalCompleteness | CompletenessMap:
        """Draws through a selection; ``merger`` and ``focal_length`` can be changed."""
        key = (selection, changes.get("name", ""))
        if key not in self.maps:
            test = self.test(selection, changes.get("merger"), changes.get("focal_length"))
            common: dict[str, Any] = {"seed": self.config.seed, "workers": self.workers, "folder": self.cache}
            if self.config.completeness == "fields" and not changes:
                regions = self.survey_of("accreted").effective.regions
                self.maps[key] = along_fields(test, regions.l, regions.b, frame=FRAME, **common)
            else:
                shape = (24, 8) if self.config.preset == "tour" else (32, 12)
                self.maps[key] = MeridionalCompleteness.make(test, shape=shape, **common)
        return self.maps[key]

    def at_sun(self) -> dict[str, tuple[float, float, float]]:
        """Completeness at the Sun, its Monte Carlo error, and the purity, of each selection."""
        place = np.repeat(FRAME.sun.x[None], 10, axis=0)
        found = {}
        for name in self.selections:
            counts = count_at(self.test(name), place, seed=self.config.seed, workers=self.workers)
            value, error = counts.completeness.mean(), np.sqrt(np.sum(counts.completeness_error**2)) / len(place)
            found[name] = (float(value), float(error), float(counts.purity.mean()))
        return found

    # ---------------------------------------------------------------------------------------------------- fits

    def models(self) -> list[DensityModel]:
        """The densities compared."""
        return [DensityModel(kind, disk=self.config.disk, outliers=self.config.outliers) for kind in self.config.kinds]

    def fit_merger(self) -> Answer:
        """The density of the merger: accreted stars inside the selection."""
        selection = self.config.selection
        volume = self.survey_of("accreted").volume(self.completeness(selection))
        return self.fit(self.sample.places("accreted", selection), volume, self.survey_of("accreted").mass_per_tracer)

    def fit_halo(self) -> Answer:
        """The whole halo: its abundances alone, and every star of it kept."""
        survey = self.survey_of("halo")
        return self.fit(self.sample.places("halo", None), survey.volume(), survey.mass_per_tracer)

    def fit(self, stars: Array, volume: Volume, mass_per_tracer: float) -> Answer:
        """Compare the densities, draw from the posterior of one, and weigh it."""
        from starloom.halo.comparison import compare
        from starloom.halo.posterior import evidence, sample_posterior

        config = self.config
        compared = compare(stars, volume, self.models(), starts=config.starts, seed=config.seed, folder=self.cache)
        kinds = list(config.kinds)
        wanted = compared.best if config.posterior_of == "best" else kinds.index(config.posterior_of)
        likelihood, top = compared.likelihoods[wanted], compared.fits[wanted]
        settings = {"chains": config.chains, "draws": config.draws, "tune": config.tune, "seed": config.seed}
        posterior = kept(
            self.cache, Posterior, likelihood, settings | {"start": top.y},
            lambda: sample_posterior(likelihood, start=top, workers=self.workers, **settings),
            what=f"posterior of the {likelihood.model.label}",
        )  # fmt: skip
        mass = stellar_mass(likelihood, posterior, mass_per_tracer, radii=config.radii, seed=config.seed)
        evidences: list[Evidence | None] = [None] * len(compared.likelihoods)
        for number, part in enumerate(compared.likelihoods if config.nested else ()):
            evidences[number] = kept(
                self.cache, Evidence, part, {"seed": config.seed}, partial(evidence, part, seed=config.seed),
                what=f"evidence of the {part.model.label}",
            )  # fmt: skip
        return Answer(likelihood.model, likelihood, compared, posterior, mass, evidences)

    # ------------------------------------------------------------------------------------------------- what if

    def best_mass(
        self, answer: Answer, volume: Volume, mass_per_tracer: float, stars: Array | None = None
    ) -> tuple[float, float]:
        """Mass of the best fit with another volume or other stars, started at the answer's; and its ln L."""
        from starloom.halo.posterior import BestFit, best_fit

        places = answer.likelihood.stars if stars is None else stars
        likelihood = HaloLikelihood(answer.model, places, volume)
        top = answer.comparison.fits[answer.comparison.likelihoods.index(answer.likelihood)]
        settings: dict[str, Any] = {"starts": 1, "seed": self.config.seed, "guesses": top.y[None]}
        found = kept(self.cache, BestFit, likelihood, settings, lambda: best_fit(likelihood, **settings))
        point = np.array([found.parameters[name] for name in answer.model.names])
        mass = stellar_mass(likelihood, point[None], mass_per_tracer, radii=self.config.radii, poisson=False)
        return float(mass.mass[0]), found.log_likelihood

    def ignoring(self, answer: Answer) -> Mapping[str, float]:
        """Masses of the best fit when the completeness, or the survey's selection, is taken to be 1."""
        survey = self.survey_of("accreted")
        shares = self.completeness(self.config.selection)
        per = survey.mass_per_tracer
        return {
            "the completeness": self.best_mass(answer, survey.volume(), per)[0],
            "the survey's selection": self.best_mass(answer, survey.volume(shares, survey=False), per)[0],
        }

    def budget(self, answer: Answer) -> QTable:
        """The mass of the best fit with one thing changed at a time."""
        from astropy.table import QTable

        config, survey = self.config, self.survey_of("accreted")
        shares = self.completeness(config.selection)
        base = self.best_mass(answer, survey.volume(shares), survey.mass_per_tracer)[0]
        rows: list[tuple[str, str, float]] = []

        def changed(kind: str, what: str, **changes: Any) -> None:
            other = self.survey_of("accreted", **changes)
            rows.append((kind, what, self.best_mass(answer, other.volume(shares), other.mass_per_tracer)[0]))

        short = config.budget == "short"
        for name in ("chabrier_2003", "chabrier_2001", "kroupa_2001"):
            if name != config.mass_function:
                changed("mass function", name, mass_function=name)
        for factor in (2.0,) if short else (0.5, 2.0):
            changed("dust", f"{factor:g} times", dust=factor)
        others = [("velocities", "beta 0.9", constant_beta(0.9))]
        if not short:
            other = "parsec" if config.grid == "mist" else "mist"
            changed("isochrones", other, grid=other)
            others.append(("velocities", "beta 0.7", constant_beta(0.7)))
        others.append(("velocity model", "two Osipkov-Merritt functions", mixture(config)))
        for kind, name, merger in others:
            c = self.completeness(config.selection, merger=merger, name=name)
            rows.append((kind, name, self.best_mass(answer, survey.volume(c), survey.mass_per_tracer)[0]))
        for name in () if short else self.selections:
            stars = self.sample.places("accreted", name)
            if name == config.selection or len(stars) < LEAST_IN_SELECTION:
                continue
            volume = survey.volume(self.completeness(name))
            rows.append(("selection", name, self.best_mass(answer, volume, survey.mass_per_tracer, stars)[0]))
        if not short:
            rows.append(self._other_focal_length(answer))
        masses = np.array([row[2] for row in rows])
        table = QTable({"kind": [row[0] for row in rows], "changed_to": [row[1] for row in rows]})
        table["mass"], table["ratio"] = masses, masses / base
        table.meta["baseline"] = base
        return table

    def _other_focal_length(self, answer: Answer) -> tuple[str, str, float]:
        """Mass with the other focal length in both the stars' actions and the completeness."""
        from starloom.halo.selections import Motion, kinematic

        config, survey = self.config, self.survey_of("accreted")
        other = "orbit" if config.focal_length == "local" else "local"
        motion = Motion.of(galaxy(), (self.sample.x, self.sample.v), focal_length=other, workers=self.workers)
        chosen = self.sample.chosen("accreted", None) & kinematic(config.selection)(motion)
        volume = survey.volume(self.completeness(config.selection, focal_length=other, name=other))
        mass = self.best_mass(answer, volume, survey.mass_per_tracer, np.ascontiguousarray(self.sample.x[chosen]))[0]
        return "focal length", other, mass

    def true_shell_ratio(self) -> float:
        """Mass of the mock's merger inside the study's shell over that between the mock's own radii, where it lives."""
        from starloom.halo.mass import volume_integral
        from starloom.halo.mock import RADII

        model, truth = mock_truth(self.config)
        point = np.array([truth[name] for name in model.names])
        low, high = max(self.config.radii[0], RADII[0]), min(self.config.radii[1], RADII[1])
        parts = [volume_integral(model, point, FRAME.sun.x, radii=pair) for pair in ((low, high), RADII)]
        return float(parts[0] / parts[1])
