"""Study seismic-ages: ages of giants from spectra through seismology (the system of arXiv:2302.05479).

No APOGEE spectra and Kepler power spectra in number can be had without an archive, so the encoder-decoder is trained
and judged on a simulated Milky Way whose truth is known, and on a second one with another relation of age and
[alpha/M]. What real data there are go through the same code: apStar files, power spectra of Kepler, and the APOKASC-2
giants that have a Gaia XP spectrum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pydantic

from starloom.files import RunFolder
from starloom.progress import say
from starloom.results.record import Bar, InputRecord, Published, Results
from starloom.seeds import generator
from starloom.stars import seismic_diagnostics as diagnostics
from starloom.studies.seismic_scene import Scene, Tested
from starloom.studies.study import Input, InputSpec, Study, StudyConfig

if TYPE_CHECKING:
    from astropy.table import QTable
    from numpy.typing import NDArray

    from starloom.stars.seismic_ages import Latents, SeismicAges

    Floats = NDArray[np.float64]

PAPER = "arXiv:2302.05479"
SEISMIC_STARS = 2000  # that nu_max and delta_nu are learned from, as in the paper
GALAXIES = ("same Galaxy", "other alpha", "other history")
"""Test stars: as in training; [alpha/M] falls with age in another way; enrichment and star formation differ too."""
OTHER_ALPHA = {"alpha_high": 0.24, "alpha_age": 6.0, "alpha_time": 3.0}


class Config(StudyConfig):
    """Settings of seismic-ages."""

    pairs: int = pydantic.Field(4000, ge=200, description="simulated stars with a spectrum and a power spectrum")
    test_stars: int = pydantic.Field(2000, ge=100, description="simulated stars of each test Galaxy")
    age_stars: int = pydantic.Field(2000, ge=100, description="pairs whose ages are known, with realistic errors")
    steps: int = pydantic.Field(4000, ge=10, description="steps of the encoder-decoder's training")
    pressure: float = pydantic.Field(128.0, gt=0, description="weight of the squared error against the divergence")
    spacing: bool = pydantic.Field(True, description="the decoder also tells how the power spectrum repeats itself")
    size: int = pydantic.Field(48, ge=5, description="coefficients of a spectrum")
    xp_stars: int = pydantic.Field(12000, ge=500, description="giants with XP spectra to train the extension with")
    xp_steps: int = pydantic.Field(3000, ge=10, description="steps of the extension's training")
    mock_stars: int = pydantic.Field(3000, ge=600, description="stars of the mock of the real tables")


def run(config: Config, inputs: Mapping[str, Input], folder: RunFolder) -> Results:
    """Train on simulated pairs, judge on two simulated Galaxies, then on what real data there are."""
    from starloom.studies import seismic_pages as pages
    from starloom.studies import seismic_real as real

    results = Results("seismic-ages", STUDY.title, config.preset, config.seed, summary=STUDY.summary)
    results.inputs = [entry.record for entry in inputs.values()]
    scene = _simulated(config, results, folder)
    _seismology(results, scene)
    _abundances(results, scene)
    _ages(results, scene)
    _rival(results, scene)
    real.preprocessing(results, scene)
    real.power_spectra(results, scene)
    real.extension(results, scene, inputs, folder)
    pages.age_maps(results, scene)
    results.table("test_stars", pages.catalog(scene), "one row a star of the simulated Galaxy with the same history")
    results.figures = pages.figures(scene)
    scene.model.save(folder.staging / "model")
    results.warn(
        "The encoder-decoder saw simulated spectra and power spectra only: the model in model/ is for simulated input. "
        "Train one on your own pairs with: starloom train seismic-ages"
    )
    return results


def _simulated(config: Config, results: Results, folder: RunFolder) -> Scene:
    """Make the pairs, train, and let the model see the test Galaxies."""
    from starloom.simulation import chemical_evolution
    from starloom.simulation.evolved_stars import SurveySelection
    from starloom.stars.seismic_ages import SeismicAges
    from starloom.stars.seismic_network import NetworkSettings
    from starloom.studies import seismic_mock as made

    rng = generator(config.seed)
    stars = made.giants(config.pairs, rng)
    pixels = made.continuum(stars)
    say("making the pairs")
    pairs = made.pairs(stars, pixels, rng)
    table = made.labeled(stars, rng)
    results.inputs.append(
        InputRecord(
            "pairs", "simulated", "starloom.simulation: spectra and power spectra of simulated giants", len(pairs), ""
        )
    )
    model = SeismicAges.fit_latents(
        pairs.spectra.flux,
        pairs.spectra.error,
        pairs.log_power,
        seed=rng,
        size=config.size,
        settings=NetworkSettings(steps=config.steps, pressure=config.pressure),
        checkpoint=folder.checkpoints / "encoder_decoder.safetensors",
        spacing=config.spacing,
    )
    latents = _encode(model, pairs.spectra.flux, pairs.spectra.error)
    few = slice(0, min(SEISMIC_STARS, len(pairs)))
    model.fit_seismic(latents.rows(few), stars["nu_max"].value[few], stars["delta_nu"].value[few])
    some = slice(0, min(config.age_stars, len(pairs)))
    model.fit_ages(latents.rows(some), table[some])
    results.number("pairs", float(len(pairs)), "stars", meaning="simulated spectrum and power spectrum")
    results.number("active latents", float(model.used.sum()), "", bar=Bar(">=", 2), meaning="of 5; 0 is a collapse")
    results.number("training: change after six tenths of the steps", model.history["last_change"], "of the whole fall")
    tested = {}
    standard = chemical_evolution.STANDARD
    histories = (standard, replace(standard, **OTHER_ALPHA), chemical_evolution.OTHER)
    for name, history in zip(GALAXIES, histories, strict=True):
        say(f"making the test stars: {name}")
        count = config.test_stars if name != GALAXIES[2] else max(config.test_stars // 2, 100)
        tested[name] = _tested(model, pixels, made.giants(count, rng, history), rng)
    say("making the stars of the map")
    survey = made.giants(max(config.test_stars // 2, 100), rng, standard, SurveySelection())
    surveyed = _tested(model, pixels, survey, rng)
    return Scene(config, model, pairs, table, latents, pixels, tested, surveyed)


def _tested(model: SeismicAges, pixels: NDArray[np.bool_], stars: QTable, rng: np.random.Generator) -> Tested:
    """Spectra of new stars, and what the model says of them."""
    from starloom.stars.seismic_ages import Latents
    from starloom.studies import seismic_mock as made

    observed = made.labeled(stars, rng)
    blocks = made.blocks(stars, pixels, rng, with_power=False)
    joined = Latents.joined([model.encode(ready.flux, ready.error) for _, ready, _ in blocks])
    return Tested(observed, joined, model.seismology(joined), model.ages(joined, observed))


def _encode(model: SeismicAges, flux: Any, error: Any, block: int = 500) -> Latents:
    parts = [model.encode(flux[k : k + block], error[k : k + block]) for k in range(0, len(flux), block)]
    return parts[0].joined(parts)


def _judged(config: Config, galaxy: str = GALAXIES[0]) -> bool:
    """Bars hold for a run of some size; a tour is too small, and another history of all things is for information."""
    return config.pairs >= 2000 and config.test_stars >= 1500 and galaxy != GALAXIES[2]


def _seismology(results: Results, scene: Scene) -> None:
    """nu_max and delta_nu off the latents, against principal components of the same number."""
    limits = {"nu_max": 0.10, "delta_nu": 0.08}
    few = slice(0, min(SEISMIC_STARS, len(scene.train)))
    components = scene.train_latents.coefficients[few][:, :5]
    for galaxy, entry in scene.tested.items():
        judged = _judged(scene.config, galaxy)
        for name, limit in limits.items():
            truth = entry.table[name].value
            score = diagnostics.ratio_score(entry.seismology[name], truth)
            results.number(
                f"{name} from latents, {galaxy}",
                score.scatter,
                "of the truth",
                bar=Bar("<=", limit) if judged else None,
                meaning=f"robust scatter; bias {score.bias:+.3f}; {score.stars} stars",
            )
            if galaxy != "same Galaxy":
                continue
            known = np.log(scene.train.stars[name].value[few])
            rival = np.exp(diagnostics.predict_with_forest(components, known, entry.latents.coefficients[:, :5]))
            theirs = diagnostics.ratio_score(rival, truth).scatter
            results.number(
                f"{name} from five principal components", theirs, "of the truth", meaning="same forest, stars"
            )
            results.number(
                f"{name}: latents over principal components",
                score.scatter / theirs,
                "",
                bar=Bar("<=", 0.8) if judged else None,
            )


def _abundances(results: Results, scene: Scene) -> None:
    """How much of [alpha/M] is in the latents, in the spectra, and in seismology itself."""
    judged = _judged(scene.config)
    few = slice(0, min(SEISMIC_STARS, len(scene.train)))
    used = scene.model.used
    alpha = np.asarray(scene.train.stars["alpha_m"])[few]
    spectra = scene.train_latents.coefficients[few]

    def truth(table: QTable) -> Floats:
        clump = np.asarray(table["red_clump"], dtype=float)
        return np.stack([np.log(table["nu_max"].value), np.log(table["delta_nu"].value), clump], axis=1)

    for galaxy, entry in scene.tested.items():
        found = diagnostics.explained(
            scene.train_latents.mean[few][:, used], alpha, entry.latents.mean[:, used], entry.true_alpha
        )
        results.number(
            f"R2 of [alpha/M] from latents, {galaxy}",
            found,
            bar=Bar("<=", 0.15) if _judged(scene.config, galaxy) else None,
            meaning="a forest trained on the training Galaxy; below 0: it misleads",
        )
    entry = scene.tested["same Galaxy"]
    both = [
        np.hstack([truth(table), latents[:, used]])
        for table, latents in (
            (scene.train_table[few], scene.train_latents.mean[few]),
            (entry.table, entry.latents.mean),
        )
    ]
    physical = diagnostics.explained(truth(scene.train_table[few]), alpha, truth(entry.table), entry.true_alpha)
    results.number(
        "R2 of [alpha/M] that latents add to true seismology",
        diagnostics.explained(both[0], alpha, both[1], entry.true_alpha) - physical,
        bar=Bar("<=", 0.15) if judged else None,
        meaning="with nu_max, delta_nu and stage given: what the latents have from the abundances themselves",
    )
    results.number(
        "R2 of [alpha/M] from spectra",
        diagnostics.explained(spectra, alpha, entry.latents.coefficients, entry.true_alpha),
        bar=Bar(">=", 0.8) if judged else None,
        meaning=f"from all {scene.model.basis.size} coefficients of the spectra",
    )
    results.number(
        "R2 of [alpha/M] from true seismology",
        physical,
        meaning="true nu_max, delta_nu and stage: what mass and age tell of [alpha/M] here without any spectrum",
    )


def _ages(results: Results, scene: Scene) -> None:
    """Ages of both Galaxies against the truth, and what their residuals know of [alpha/M]."""
    published = {"giant branch": 0.221, "red clump": 0.111}
    for galaxy, entry in scene.tested.items():
        judged = _judged(scene.config, galaxy)
        for stage, rows, limit in (("giant branch", ~entry.clump, 0.25), ("red clump", entry.clump, 0.13)):
            score = diagnostics.ratio_score(entry.ages["age"][rows], entry.true_age[rows])
            noisy = diagnostics.ratio_score(entry.ages["age"][rows], entry.table["age"].value[rows])
            results.number(
                f"age, {stage}, {galaxy}",
                score.scatter,
                "of the truth",
                bar=Bar("<=", limit) if judged else None,
                published=Published(published[stage], f"{PAPER}, against noisy ages of real stars"),
                meaning=f"robust scatter of the ratio; to noisy ages {noisy.scatter:.3f}; {score.stars} stars",
            )
            results.number(
                f"age bias, {stage}, {galaxy}",
                score.bias,
                "of the truth",
                bar=Bar("in", (-0.05, 0.05)) if judged else None,
                meaning="median of predicted over true, less 1",
            )
        results.number(
            f"age residual with [alpha/M], {galaxy}",
            entry.alpha_in_residual(),
            bar=Bar("in", (-0.05, 0.05)) if judged else None,
            meaning="partial correlation given true age, [Fe/H] and stage",
        )
        inside = (entry.table["age"].value >= entry.ages["age_low"]) & (
            entry.table["age"].value <= entry.ages["age_high"]
        )
        true_inside = (entry.true_age >= entry.ages["age_low"]) & (entry.true_age <= entry.ages["age_high"])
        results.number(
            f"68 % coverage of ages, {galaxy}",
            float(inside.mean()),
            bar=Bar("in", (0.60, 0.76)) if judged else None,
            meaning=f"of the noisy seismic ages; of the true ones {float(true_inside.mean()):.3f}",
        )
    _ladder(results, scene)


def _ladder(results: Results, scene: Scene) -> None:
    """Ages from latents alone, with Teff, with [Fe/H]: which information they stand on."""
    count = min(scene.config.age_stars, len(scene.train))
    latents, table = scene.train_latents, scene.train_table[:count]
    entry, used = scene.tested["same Galaxy"], scene.model.used
    target = np.log10(table["age"].value)
    sets: dict[str, tuple[str, ...]] = {
        "latents": (), "latents, Teff": ("teff",), "latents, [Fe/H]": ("fe_h",),
        "latents, Teff, [Fe/H]": ("teff", "fe_h"), "Teff, [Fe/H] alone": ("teff", "fe_h"),
        "latents, Teff, [Fe/H], [alpha/M]": ("teff", "fe_h", "alpha_m"),
    }  # fmt: skip

    def features(means: Floats, stars: QTable, names: tuple[str, ...], alone: bool) -> Floats:
        columns = [] if alone else [means[:, used]]
        columns += [np.asarray(stars[name].value if name == "teff" else stars[name])[:, None] for name in names]
        return np.hstack(columns)

    for title, names in sets.items():
        alone = title.endswith("alone")
        train = features(latents.mean[:count], table, names, alone)
        test = features(entry.latents.mean, entry.table, names, alone)
        age = 10.0 ** diagnostics.predict_with_forest(train, target, test)
        branch = diagnostics.ratio_score(age[~entry.clump], entry.true_age[~entry.clump])
        clump = diagnostics.ratio_score(age[entry.clump], entry.true_age[entry.clump])
        results.number(
            f"age of the giant branch from {title}",
            branch.scatter,
            "of the truth",
            meaning=f"plain forest; red clump {clump.scatter:.3f}",
        )


def _rival(results: Results, scene: Scene) -> None:
    """Ages straight from spectra with the same stars: how much more they lean on [alpha/M]."""
    count = min(scene.config.age_stars, len(scene.train))
    coefficients = scene.train_latents.coefficients[:count]
    target = np.log10(scene.train_table["age"].value[:count])
    for galaxy, entry in scene.tested.items():
        age = 10.0 ** diagnostics.predict_with_forest(coefficients, target, entry.latents.coefficients)
        residual = np.log(age / entry.true_age)
        found = diagnostics.partial_correlation(
            residual, entry.true_alpha, np.log(entry.true_age), entry.table["true_fe_h"], entry.clump.astype(float)
        )
        score = diagnostics.ratio_score(age, entry.true_age)
        results.number(
            f"ages straight from spectra: residual with [alpha/M], {galaxy}",
            found,
            meaning=f"a forest on the spectra's coefficients; scatter {score.scatter:.3f}, bias {score.bias:+.3f}",
        )


def mock(config: Config) -> Mapping[str, QTable]:
    """Stand-ins for the real tables: simulated giants with XP-like spectra, some of them with seismology."""
    from starloom.studies import seismic_real as real

    return real.mock_tables(config.mock_stars, config.seed)


_Preset = Literal["tour", "quick", "full"]
_PRESETS: dict[_Preset, dict[str, Any]] = {
    "tour": {
        "pairs": 360, "test_stars": 120, "age_stars": 300, "steps": 250, "xp_stars": 1000, "xp_steps": 200,
        "mock_stars": 700, "size": 24,
    },
    "quick": {},
    "full": {"pairs": 8000, "test_stars": 4000, "age_stars": 4000, "steps": 12000, "xp_stars": 40000, "xp_steps": 8000},
}  # fmt: skip

STUDY = Study(
    name="seismic-ages",
    title="Ages of giants from spectra through seismology",
    arxiv="2302.05479",
    summary=(
        "A variational encoder-decoder learns what a spectrum says of a star's oscillations, and nothing else; ages "
        "are read off its latents, Teff and [Fe/H]. Judged on simulated Galaxies with known truth, also where age and "
        "[alpha/M] go together in another way than in training. Real spectra and power spectra go through the same "
        "preprocessing; real XP spectra of APOKASC-2 giants are an end-to-end check of few stars."
    ),
    citations=(
        "arXiv:2302.05479 Leung, Bovy, Mackereth & Miglio 2023, A variational encoder-decoder approach to precise "
        "spectroscopic age estimation for large Galactic surveys",
        "2018ApJS..239...32P Pinsonneault et al. 2018, The Second APOKASC Catalog: The Empirical Approach",
        "2022ApJS..259...35A Abdurro'uf et al. 2022, The Seventeenth Data Release of the SDSS",
        "2023A&A...674A...2D De Angeli et al. 2023, Gaia DR3: processing and validation of BP/RP spectral data",
        "2022JOSS....7.3331C Chontos, Huber, Sayeed & Yamsiri 2022, pySYD",
        "2016ApJ...823..102C Choi et al. 2016, Mesa Isochrones and Stellar Tracks (MIST)",
    ),
    config=Config,
    presets=_PRESETS,  # type: ignore[arg-type]
    inputs=(
        InputSpec("seismic", "apokasc2", "ages", "giants with nu_max, delta_nu and ages"),
        InputSpec("stars", "gaia_xp_apogee", "stars", "stars with XP spectra and APOGEE labels", optional=True),
    ),
    run=run,
    mock=mock,
    key_number="age, giant branch, same Galaxy",
    key_figure="ages",
)
