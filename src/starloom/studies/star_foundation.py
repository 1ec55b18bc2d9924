"""Study star-foundation: any label from any observation, on real Gaia XP spectra (the system of arXiv:2308.10944).

The stars are APOGEE's with Gaia DR3 spectra; those whose id ends in 0 are never trained with and are all that is
scored here. Trees and a plain network of the same inputs are trained in the same run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from starloom.files import RunFolder
from starloom.results.record import Results
from starloom.stars.schema import SCHEMA
from starloom.studies.star_scene import Config, scene_of
from starloom.studies.study import Input, InputSpec, Study

if TYPE_CHECKING:
    from astropy.table import QTable


def run(config: Config, inputs: Mapping[str, Input], folder: RunFolder) -> Results:
    """Score the model on the test stars, task by task, beside its rivals."""
    from starloom.studies import star_pages as pages
    from starloom.studies import star_tasks as tasks
    from starloom.studies.star_extinction import extinction

    results = Results("star-foundation", STUDY.title, config.preset, config.seed, summary=STUDY.summary)
    results.inputs = [entry.record for entry in inputs.values()]
    scene = scene_of(config, inputs, folder, results)
    results.number("test stars with all labels", float(len(scene.complete(scene.test))), "stars")
    full = tasks.labels(results, scene)
    tasks.calibration(results, scene, full)
    tasks.few_tokens(results, scene, full)
    tasks.half_by_dedicated_networks(results, scene)
    forward = tasks.spectra_from_labels(results, scene)
    arms = tasks.arm_from_arm(results, scene)
    tasks.copies_and_strangers(results, scene, full)
    tasks.invariance(results, scene)
    tasks.projection(results, scene, inputs)
    shares = tasks.domain(results, scene, inputs)
    results.table("test_stars", pages.answer_table(scene, full), "one row a test star with all labels")
    results.figures = pages.figures(scene, full, forward, arms, shares, extinction(results, scene))
    results.warn(f"All numbers of the model come from one training (seed {scene.model.history['seed']}).")
    return results


def mock(config: Config) -> Mapping[str, QTable]:
    """Made stars in the columns of the real ones."""
    from starloom.stars.mock import make

    return {"stars": make(config.mock_stars, config.seed)}


_Preset = Literal["tour", "quick", "full"]
_PRESETS: dict[_Preset, dict[str, Any]] = {
    "tour": {"trees": 0, "network_rival": False, "test_stars": 3000, "mock_stars": 4000, "mock_steps": 400},
    "quick": {"trees": 1},
    "full": {"trees": 3, "all_tasks": True, "half_networks": 4, "mock_steps": 4000},
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
