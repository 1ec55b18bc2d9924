"""Study star-foundation: any label from any observation, on real Gaia XP spectra (the system of arXiv:2308.10944).

The stars are APOGEE's with Gaia DR3 spectra; those whose id ends in 0 are never trained with and are all that is
scored here. Trees and a plain network of the same inputs are trained in the same run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pydantic

from starloom.files import RunFolder
from starloom.results.record import Bar, Published, Results
from starloom.seeds import generator
from starloom.stars.schema import SCHEMA
from starloom.studies.study import Input, InputSpec, Study, StudyConfig

if TYPE_CHECKING:
    from astropy.table import QTable
    from numpy.typing import NDArray

    from starloom.spectra.xp import XpBases
    from starloom.stars.evaluation import Scored
    from starloom.stars.foundation import StarFoundation
    from starloom.stars.tokens import Tokens

PAPER = "arXiv:2308.10944"
PUBLISHED = {"teff": (47.17, "K"), "logg": (0.11, ""), "fe_h": (0.07, "")}
UNITS = {"teff": "K", "logg": "dex", "fe_h": "dex", "alpha_m": "dex", "a_k": "mag"}
FORWARD = ("teff", "logg", "fe_h", "alpha_m", "j_h", "j_k")
FEW = 5


class Config(StudyConfig):
    """Settings of star-foundation."""

    trees: int = pydantic.Field(1, ge=0, le=3, description="settings of XGBoost tried for each task; the best counts")
    tree_stars: int = pydantic.Field(0, ge=0, description="training stars of the rivals; 0 for all")
    network_rival: bool = pydantic.Field(True, description="train a plain network as well")
    all_tasks: bool = pydantic.Field(False, description="trees for the tasks with few tokens and for spectra too")
    test_stars: int = pydantic.Field(0, ge=0, description="test stars scored; 0 for all")
    mock_stars: int = pydantic.Field(6000, ge=1000, description="stars of the mock")
    mock_steps: int = pydantic.Field(1500, ge=10, description="steps of the model that is trained on the mock")


@dataclass
class Scene:
    """What every part of the study looks at."""

    model: StarFoundation
    bases: XpBases
    train: Tokens
    valid: Tokens
    test: Tokens
    stars: QTable
    labels: tuple[str, ...]
    colors: tuple[str, ...]
    config: Config
    real: bool

    def complete(self, tokens: Tokens) -> Tokens:
        """Stars that have every label and color."""
        from starloom.stars.evaluation import complete

        return tokens.rows(complete(tokens, self.model, (*self.labels, *self.colors)))

    def inputs(self, tokens: Tokens, names: list[str]) -> NDArray[np.float64]:
        """Standardized values of these kinds."""
        places = self.model.vocabulary.places(names)
        return self.model.vocabulary.standardize(tokens.values[:, places], places)


def _scene(config: Config, inputs: Mapping[str, Input], folder: RunFolder, results: Results) -> Scene:
    """The model, and the stars it is scored on, read once."""
    from starloom.spectra.xp import XpBases
    from starloom.stars import mock as mock_stars
    from starloom.stars.evaluation import COLOR_NAMES, LABEL_NAMES
    from starloom.stars.foundation import StarFoundation
    from starloom.stars.split import is_test, is_validation

    table, record = inputs["stars"].table, inputs["stars"].record
    ids = np.asarray(table["source_id"])
    test, valid = is_test(ids), is_validation(ids)
    real = record.kind == "real"
    if real:
        model, bases = StarFoundation.shipped(), XpBases.from_gaiaxpy()
        results.summary += f" The model is the one that Starloom carries ({model.history['stars']} training stars)."
    else:
        bases = mock_stars.bases()
        held = valid[~test]
        model = StarFoundation.fit(
            table[~test],
            seed=config.seed,
            settings=mock_stars.settings(config.mock_steps),
            held_out=held,
            bases=bases,
            checkpoint=folder.checkpoints / "mock.safetensors",
        )
    tokens = model.tokens(table)
    rows = np.flatnonzero(test)
    if config.test_stars:
        rows = rows[: config.test_stars]
    labels = tuple(name for name in LABEL_NAMES if name in model.vocabulary)
    colors = tuple(name for name in COLOR_NAMES if name in model.vocabulary)
    train = np.flatnonzero(~test & ~valid)
    if config.tree_stars:
        train = generator(config.seed).permutation(train)[: config.tree_stars]
        results.warn(f"The rivals were trained with {len(train)} stars, fewer than the model: their ratios flatter it.")
    return Scene(
        model,
        bases,
        tokens.rows(train),
        tokens.rows(np.flatnonzero(valid)),
        tokens.rows(rows),
        table[rows],
        labels,
        colors,
        config,
        real,
    )


def run(config: Config, inputs: Mapping[str, Input], folder: RunFolder) -> Results:
    """Score the model on the test stars, task by task, beside its rivals."""
    from starloom.studies import star_pages as pages

    results = Results("star-foundation", STUDY.title, config.preset, config.seed, summary=STUDY.summary)
    results.inputs = [entry.record for entry in inputs.values()]
    scene = _scene(config, inputs, folder, results)
    results.number("test stars with all labels", float(len(scene.complete(scene.test))), "stars")
    full = _labels(results, scene)
    _calibration(results, scene, full)
    _few_tokens(results, scene, full)
    forward = _spectra_from_labels(results, scene)
    arms = _arm_from_arm(results, scene)
    _copies_and_strangers(results, scene, full)
    _invariance(results, scene)
    _projection(results, scene, inputs)
    shares = _domain(results, scene, inputs)
    results.table("test_stars", pages.answer_table(scene, full), "one row a test star with all labels")
    results.figures = pages.figures(scene, full, forward, arms, shares)
    results.warn(f"All numbers of the model come from one training (seed {scene.model.history['seed']}).")
    return results


def _best_trees(scene: Scene, given: list[str], targets: list[str]) -> NDArray[np.float64]:
    """Robust scatter of each target of the best of several tuned XGBoosts, trained for just these inputs."""
    from starloom.stars.evaluation import robust_scatter
    from starloom.stars.rivals import TUNED, xgboost_answers

    words = scene.model.vocabulary
    places = words.places(targets)
    parts = [scene.complete(part) for part in (scene.train, scene.valid, scene.test)]
    inputs, wanted = ([scene.inputs(part, names) for part in parts] for names in (given, targets))
    found = []
    for setting in TUNED[: scene.config.trees]:
        answers = xgboost_answers(
            inputs[0],
            wanted[0],
            inputs[1],
            wanted[1],
            inputs[2],
            setting,
            seed=scene.config.seed,
            threads=scene.config.workers,
        )
        away = parts[2].values[:, places] - words.restore(answers, places)
        found.append([robust_scatter(away[:, k]) for k in range(len(targets))])
    return np.asarray(np.min(np.array(found), axis=0))


def _labels(results: Results, scene: Scene) -> Scored:
    """Labels from coefficients and colors, against trees and a network of the same inputs."""
    from starloom.stars.evaluation import robust_scatter, score, usual_kinds
    from starloom.stars.rivals import network_answers

    given = usual_kinds(scene.model)
    stars = scene.complete(scene.test)
    scored = score(scene.model, stars, scene.labels, given)
    mine = scored.scatter()
    for name in scene.labels:
        published = PUBLISHED.get(name) if scene.real else None
        results.number(
            f"{name} from spectrum and colors",
            mine[name],
            UNITS[name],
            meaning="robust scatter on the test stars",
            published=Published(published[0], f"{PAPER}, other stars and labels ([M/H] for fe_h)")
            if published
            else None,
        )
    judged = scene.real and not scene.config.tree_stars and not scene.config.test_stars
    if scene.config.trees:
        theirs = _best_trees(scene, given, list(scene.labels))
        _ratios(results, "full input", mine, theirs, scene.labels, 0.95 if judged else None, 0.90 if judged else None)
    if scene.config.network_rival:
        parts = [scene.complete(part) for part in (scene.train, scene.test)]
        places = scene.model.vocabulary.places(list(scene.labels))
        answers = network_answers(
            scene.inputs(parts[0], given),
            scene.inputs(parts[0], list(scene.labels)),
            scene.inputs(parts[1], given),
            seed=scene.config.seed,
        )
        away = parts[1].values[:, places] - scene.model.vocabulary.restore(answers, places)
        ratio = []
        for k, name in enumerate(scene.labels):
            rival = robust_scatter(away[:, k])
            ratio.append(mine[name] / rival)
            results.number(
                f"{name} of a plain network", rival, UNITS[name], meaning="the same inputs, complete rows only"
            )
            results.number(
                f"{name}: over a plain network",
                ratio[-1],
                bar=Bar("<=", 1.0) if judged else None,
                meaning="the honest upper rival: it can do nothing else",
            )
        results.number("mean over a plain network", float(np.mean(ratio)))
    return scored


def _ratios(
    results: Results,
    task: str,
    mine: Mapping[str, float],
    theirs: NDArray[np.float64],
    names: tuple[str, ...],
    each: float | None,
    mean: float | None,
) -> None:
    ratios = [mine[name] / rival for name, rival in zip(names, theirs, strict=True)]
    for name, rival, ratio in zip(names, theirs, ratios, strict=True):
        results.number(f"{name} of XGBoost, {task}", float(rival), UNITS[name], meaning="best of the settings tried")
        results.number(f"{name}: over XGBoost, {task}", ratio, bar=None if each is None else Bar("<=", each))
    results.number(f"mean over XGBoost, {task}", float(np.mean(ratios)), bar=None if mean is None else Bar("<=", mean))


def _calibration(results: Results, scene: Scene, full: Scored) -> None:
    from starloom.inference.calibration import coverage

    inside = Bar("in", (0.64, 0.74)) if scene.real else None
    for name, value in full.coverage().items():
        results.number(f"68 % coverage of {name}", value, bar=inside, meaning="model error and label error together")
    stars = scene.complete(scene.test)
    a_k = stars.values[:, scene.model.vocabulary.number("a_k") - 1]
    edges = np.nanquantile(a_k, [0.0, 0.25, 0.5, 0.75, 1.0])
    for k, name in enumerate(full.answers.names):
        for quarter in range(4):
            rows = (a_k >= edges[quarter]) & (a_k <= edges[quarter + 1])
            results.number(
                f"68 % coverage of {name}, A_K quarter {quarter + 1}",
                coverage(full.z[rows, k], -1.0, 1.0),
                bar=inside,
                meaning=f"A_K {edges[quarter]:.2f} to {edges[quarter + 1]:.2f} mag",
            )


def _few_tokens(results: Results, scene: Scene, full: Scored) -> None:
    from starloom.stars.evaluation import half_of, score, usual_kinds

    stars = scene.complete(scene.test)
    few = usual_kinds(scene.model, FEW)
    mine = score(scene.model, stars, scene.labels, few).scatter()
    whole = usual_kinds(scene.model)
    half = score(scene.model, half_of(stars, scene.model, whole, generator(scene.config.seed)), scene.labels, whole)
    for name, value in mine.items():
        results.number(f"{name} from {FEW}+{FEW} coefficients and colors", value, UNITS[name])
    if scene.config.trees and scene.config.all_tasks:
        theirs = _best_trees(scene, few, list(scene.labels))
        _ratios(results, f"{FEW}+{FEW} coefficients", mine, theirs, scene.labels, 1.15 if scene.real else None, None)
    reached = full.scatter()
    for name, value in half.scatter().items():
        results.number(
            f"{name}: half of the tokens over all of them",
            value / reached[name],
            bar=Bar("<=", 1.4) if scene.real else None,
            meaning="each star loses a random half of its tokens",
        )


def _spectra_from_labels(results: Results, scene: Scene) -> Scored:
    """The first coefficients from labels and two colors."""
    from starloom.stars.evaluation import score

    wanted = [f"{arm}_{order}" for arm in ("bp", "rp") for order in range(FEW)]
    given = [name for name in FORWARD if name in scene.model.vocabulary]
    stars = scene.complete(scene.test)
    scored = score(scene.model, stars, wanted, given)
    scale = scene.model.vocabulary.scale[scene.model.vocabulary.places(wanted)]
    mine = np.array(list(scored.scatter().values())) / scale
    for name, value in zip(wanted, mine, strict=True):
        if name.endswith("_0"):
            results.number(f"{name} from labels and two colors", float(value), "of its scale")
    if scene.config.trees and scene.config.all_tasks:
        ratio = mine / (_best_trees(scene, given, wanted) / scale)
        results.number(
            "coefficients from labels: over XGBoost, largest of ten",
            float(ratio.max()),
            bar=Bar("<=", 1.10) if scene.real else None,
            meaning="first five of each arm, trees trained for each",
        )
        results.number("coefficients from labels: over XGBoost, mean of ten", float(ratio.mean()))
    return scored


def _arm_from_arm(results: Results, scene: Scene) -> dict[str, NDArray[np.float64]]:
    """One arm's sampled spectrum from the other arm's coefficients."""
    from starloom.spectra.xp import g_flux
    from starloom.stars.evaluation import robust_scatter
    from starloom.stars.observations import arm_pixels

    names = scene.model.vocabulary.names
    scale = g_flux(np.asarray(scene.stars["phot_g_mean_mag"].value))[:, None]
    flux, error = (np.asarray(scene.stars[name].value, dtype=float) / scale for name in ("flux", "flux_error"))
    level = np.median(flux, axis=1, keepdims=True)
    found = {"flux": flux, "level": level}
    for shown, made in (("bp", "rp"), ("rp", "bp")):
        given = [n for n in names if n.startswith(f"{shown}_") and scene.model.vocabulary[n].order < scene.model.usual]
        answer, _ = scene.model.spectrum_of(scene.test, [n for n in given if n != "bp_rp"], bases=scene.bases)
        pixels = arm_pixels(made)
        away = ((answer - flux) / level)[:, pixels]
        noise = float(np.median((error / level)[:, pixels]))
        scatter = robust_scatter(away)
        title = f"{made.upper()} from {shown.upper()}"
        results.number(
            f"{title}: scatter beyond the noise",
            float(np.sqrt(max(scatter**2 - noise**2, 0.0))),
            "of median flux",
            bar=Bar("<=", 0.02) if scene.real and made == "rp" else None,
            meaning=f"noise {noise:.4f}; robust, all pixels",
        )
        each = np.sqrt(np.mean(away**2, axis=1))
        results.number(
            f"{title}: RMS of the median star",
            float(np.nanmedian(each)),
            "of median flux",
            high=float(np.nanpercentile(each, 84)),
            low=float(np.nanpercentile(each, 16)),
        )
        found[made] = answer
    # inpainting: every second coefficient of the two arms is withheld
    given = [n for n in names if n in set(_xp_names(scene)) and scene.model.vocabulary[n].order % 2 == 0]
    found["inpainted"], found["inpainted_error"] = scene.model.spectrum_of(scene.test, given, bases=scene.bases)
    away = (found["inpainted"] - flux) / level
    results.number(
        "inpainted spectrum: RMS of the median star",
        float(np.nanmedian(np.sqrt(np.mean(away**2, axis=1)))),
        "of median flux",
        meaning="every second coefficient withheld",
    )
    return found


def _xp_names(scene: Scene) -> list[str]:
    kinds = scene.model.vocabulary.kinds
    return [kind.name for kind in kinds if kind.group == "xp" and kind.order < scene.model.usual]


def _copies_and_strangers(results: Results, scene: Scene, full: Scored) -> None:
    """What is shown is given back; what was never asked in training is answered."""
    from starloom.stars.evaluation import score, usual_kinds

    stars, words = scene.complete(scene.test), scene.model.vocabulary
    copied = score(scene.model, stars, scene.labels, [*usual_kinds(scene.model), *scene.labels]).scatter()
    for name, value in copied.items():
        results.number(
            f"{name} copied", value / words[name].scale, "of its scale", bar=Bar("<=", 0.02) if scene.real else None
        )
    found = score(scene.model, stars, scene.colors, _xp_names(scene)).scatter()
    if "j_h" in found:
        control = found["j_h"] / words["j_h"].scale
        for name in ("bp_rp", "j_k"):
            if name in found and not words[name].requested:
                results.number(
                    f"{name}, never requested in training, over j_h",
                    found[name] / words[name].scale / control,
                    bar=Bar("<=", 2.0) if scene.real else None,
                    meaning="from the spectrum, each over its scale",
                )


def _invariance(results: Results, scene: Scene) -> None:
    import torch

    from starloom.stars.evaluation import usual_kinds

    words = scene.model.vocabulary
    places = words.places(usual_kinds(scene.model))
    values = words.standardize(scene.test.values[:64][:, places], places)
    kinds = np.where(np.isfinite(values), places + 1, 0)
    values = np.where(np.isfinite(values), values, 0.0).astype(np.float32)
    asked = torch.from_numpy(words.places(list(scene.labels)) + 1).expand(len(kinds), -1)
    order = generator(scene.config.seed).permutation(len(places))

    def answer(kinds: NDArray[np.int64], values: NDArray[Any]) -> torch.Tensor:
        with torch.inference_mode():
            found: torch.Tensor = scene.model.network(torch.from_numpy(kinds), torch.from_numpy(values), asked)[0]
        return found

    plain = answer(kinds, values)
    turned = answer(kinds[:, order], values[:, order])
    padded = answer(np.pad(kinds, ((0, 0), (0, 8))), np.pad(values, ((0, 0), (0, 8))))
    results.number(
        "largest change when tokens are permuted",
        float((plain - turned).abs().max()),
        "of a scale",
        bar=Bar("<=", 1e-5),
    )
    results.number(
        "largest change when padding is added", float((plain - padded).abs().max()), "of a scale", bar=Bar("<=", 1e-5)
    )


def _projection(results: Results, scene: Scene, inputs: Mapping[str, Input]) -> None:
    """Published coefficients, sampled and projected back."""
    reader = scene.model.reader
    if reader is None or "xp_continuous" not in inputs:
        return
    from starloom.stars.observations import vectors

    table = inputs["xp_continuous"].table
    parts = [vectors(table, f"{arm}_coefficients", "the coefficients") for arm in ("bp", "rp")]
    if any(part is None for part in parts):
        return
    values = np.hstack([part for part in parts if part is not None])
    values = values[np.isfinite(values).all(axis=1)]
    sampled = scene.bases.sample(values)
    back, _ = reader.from_flux(sampled, None)
    level = np.median(sampled, axis=1, keepdims=True)
    away = np.median(np.abs(scene.bases.sample(back) - sampled) / level, axis=1)
    direct = [
        reader.from_coefficients(arm, part, None)[0]
        for arm, part in zip(("bp", "rp"), (values[:, : reader.sizes[0]], values[:, reader.sizes[0] :]), strict=True)
    ]
    results.number(
        "flux round trip of published coefficients",
        float(away.max()),
        "of median flux",
        bar=Bar("<=", 0.005),
        meaning=f"median pixel of the worst of {len(values)} sources: coefficients, fluxes, projection, fluxes",
    )
    results.number(
        "published against projected coefficients",
        float(np.max(np.abs(np.hstack(direct) - back) / np.abs(back).max())),
        "of the largest",
        bar=Bar("<=", 1e-5),
        meaning="the two ways of reading a spectrum",
    )


def _domain(results: Results, scene: Scene, inputs: Mapping[str, Input]) -> dict[str, NDArray[np.float64]]:
    """Ordinary stars and strangers under the flag."""
    from starloom.stars import strangers
    from starloom.stars.domain import LIMIT

    if scene.model.domain is None:
        return {}
    rng, stars, count = generator(scene.config.seed + 1), scene.stars, 500
    teff = np.asarray(stars["teff"].value, dtype=float)
    ordinary = stars[(teff > 3500) & (teff < 7000)]

    def share(table: QTable) -> NDArray[np.float64]:
        return scene.model.domain_share(scene.model.tokens(table))

    spectra = ("phot_g_mean_mag", "flux", "flux_error")
    found = {"ordinary stars": share(ordinary[spectra])}
    if (teff > 9000).sum() >= 20:
        found["hot stars, over 9000 K"] = share(stars[teff > 9000][spectra])
    found["white dwarfs (made)"] = share(strangers.table_of(strangers.white_dwarfs(count, rng), ordinary, rng))
    found["quasars (made)"] = share(strangers.table_of(strangers.quasars(count, rng), ordinary, rng))
    found["blends of two stars"] = share(strangers.blends(ordinary, count, rng))
    if scene.real and "miles" in inputs:
        library = inputs["miles"].table
        flux = np.asarray(library["flux"], dtype=float)
        air = (3540.5 + 0.9 * np.arange(flux.shape[1])) / 10.0
        blue = np.array(ordinary["flux"].value, dtype=float)
        blue[:, blue.shape[1] * 153 // 343 :] = np.nan
        arm = ordinary[spectra]
        arm["flux"] = blue * ordinary["flux"].unit
        found["ordinary stars, BP alone"] = share(arm)
        found["MILES spectra, BP alone"] = share(strangers.library_blue_arm(air, flux, ordinary))
    base = found["ordinary stars"]
    results.number(
        "false alarms of the flag", float(np.mean(base < LIMIT)), "of ordinary stars", meaning="3500 to 7000 K"
    )
    for name, shares in found.items():
        if name.startswith("ordinary"):
            continue
        against = found["ordinary stars, BP alone"] if "MILES" in name else base
        results.number(f"ROC area: {name}", strangers.area_under_roc(against, shares), meaning=f"{len(shares)} spectra")
        results.number(f"flagged: {name}", float(np.mean(shares < LIMIT)))
    return found


def mock(config: Config) -> Mapping[str, QTable]:
    """Made stars in the columns of the real ones."""
    from starloom.stars.mock import make

    return {"stars": make(config.mock_stars, config.seed)}


_Preset = Literal["tour", "quick", "full"]
_PRESETS: dict[_Preset, dict[str, Any]] = {
    "tour": {"trees": 0, "network_rival": False, "test_stars": 3000, "mock_stars": 4000, "mock_steps": 400},
    "quick": {"trees": 1},
    "full": {"trees": 3, "all_tasks": True, "mock_steps": 4000},
}

STUDY = Study(
    name="star-foundation",
    title="Any label from any observation: a foundation model of stars on Gaia XP spectra",
    arxiv="2308.10944",
    summary=(
        "One network over unordered (kind, value) tokens answers any quantity of a star from any others: labels from "
        "spectra, spectra from labels, one arm from the other, what is missing from what is there. Scored on stars "
        "whose ids end in 0, which no training has seen."
    ),
    citations=(
        "arXiv:2308.10944 Leung & Bovy 2024, Towards an astronomical foundation model for stars with a transformer",
        "2023A&A...674A...2D De Angeli et al. 2023, Gaia DR3: processing and validation of BP/RP spectral data",
        "2023A&A...674A...3M Montegriffo et al. 2023, Gaia DR3: external calibration of BP/RP spectra",
        "2022ApJS..259...35A Abdurro'uf et al. 2022, The Seventeenth Data Release of the SDSS",
    ),
    config=Config,
    presets=_PRESETS,  # type: ignore[arg-type]
    inputs=(
        InputSpec("stars", "gaia_xp_apogee", "stars", "stars with spectra, colors and labels", primary=True),
        InputSpec("xp_continuous", "gaia_xp_gaiaxpy", "xp_continuous", "published coefficients", optional=True),
        InputSpec("miles", "miles_stars", "miles", "optical library spectra, for the flag", optional=True),
    ),
    run=run,
    mock=mock,
    schema=SCHEMA,
    key_number="fe_h from spectrum and colors",
    key_figure="kiel",
)
