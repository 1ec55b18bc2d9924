"""Study galaxy-scaling: how error falls with labels and parameters, and what pretraining on galaxies is worth.

The system of arXiv:2404.02973. Its 840,000 pictures cannot be had here, so the laws are measured on made galaxies with
known votes, and transfer on six made questions and one real one: 1,400 SDSS pictures with a label from Galaxy Zoo 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pydantic

from starloom.files import RunFolder
from starloom.results.record import Bar, InputRecord, Results
from starloom.studies.study import Input, InputSpec, Study, StudyConfig

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.galaxies.scaling import Grid


class Config(StudyConfig):
    """Settings of galaxy-scaling."""

    labels: tuple[int, ...] = pydantic.Field((250, 500, 1000, 2000), description="numbers of labels of the grid")
    encoders: tuple[str, ...] = pydantic.Field(
        ("resnet_speck", "resnet_mini", "convnext_speck"), description="encoders of the grid"
    )
    grid_seeds: int = pydantic.Field(1, ge=1, description="repetitions of each training of the grid")
    pixels: int = pydantic.Field(48, ge=16, description="pixels across the pictures of the grid")
    passes: float = pydantic.Field(6.0, gt=0, description="times that a training of the grid sees each galaxy")
    held_out: int = pydantic.Field(800, ge=50, description="made galaxies that trainings are scored on")
    tasks: tuple[str, ...] = pydantic.Field(
        ("rings", "tidal", "which-tidal", "ten-types", "distant", "lenses"), description="made questions"
    )
    task_labels: tuple[int, ...] = pydantic.Field((50, 100, 200), description="labels given, rising; the last counts")
    task_tests: int = pydantic.Field(300, ge=40, description="made galaxies that transfer is scored on")
    task_seeds: int = pydantic.Field(1, ge=1, description="repetitions of each transfer, with other galaxies")
    transfer_pixels: int = pydantic.Field(96, ge=32, description="pixels across for the EfficientNet-Lite0")
    real_pictures: int = pydantic.Field(0, ge=0, description="real pictures used; 0 for all")
    folds: int = pydantic.Field(5, ge=2, description="folds of the cross-validation on real pictures")
    end_to_end: bool = pydantic.Field(True, description="train from scratch, and fine-tune, as well")
    fine_tuning_passes: float = pydantic.Field(6.0, gt=0, description="times that these trainings see each picture")
    real_end_to_end: bool = pydantic.Field(False, description="the same on the real pictures, fold by fold")


def run(config: Config, inputs: Mapping[str, Input], folder: RunFolder) -> Results:
    """Made galaxies beside real votes, the carried encoder, the laws, transfer to made and to real questions."""
    from starloom.studies import galaxy_pages as pages
    from starloom.studies import galaxy_transfer as transfer

    results = Results("galaxy-scaling", STUDY.title, config.preset, config.seed, summary=STUDY.summary)
    results.inputs = [entry.record for entry in inputs.values()]
    made = "drawn by starloom.galaxies.mock_population and seen through mock_images"
    results.inputs.append(InputRecord("made galaxies", "simulated", made, max(config.labels), ""))
    votes = inputs["votes"].table
    scene = transfer.set_scene(config, results, inputs["votes"].record.kind == "real")
    results.figures.append(pages.gallery(config.seed))
    _votes(results, votes, config, pages)
    _carried(results, votes, config)
    _laws(results, config, folder, pages)
    transfer.transfer_to_made(results, scene, pages)
    transfer.transfer_to_real(results, scene, pages)
    return results


def _votes(results: Results, votes: QTable, config: Config, pages: Any) -> None:
    """How near the made votes for "featured" are to the real ones."""
    from scipy.stats import ks_2samp

    from starloom.galaxies.mock_population import draw
    from starloom.galaxies.mock_votes import answer_fractions

    fractions = answer_fractions(draw(5000, seed=config.seed))
    made = fractions[:, 1] / (fractions[:, 0] + fractions[:, 1])
    real = np.asarray(votes["p_featured"], dtype=float)
    real = real[np.isfinite(real)]
    for share in (0.05, 0.5, 0.95):
        results.number(
            f"share of votes for featured, quantile {share:g}",
            float(np.quantile(made, share)),
            meaning=f"made galaxies; Galaxy Zoo 2 has {np.quantile(real, share):.3f}",
        )
    distance = float(ks_2samp(made, real).statistic)
    results.number("largest distance between the two distributions", distance, meaning="Kolmogorov-Smirnov")
    results.figures.append(pages.vote_shares(made, real))


def _carried(results: Results, votes: QTable, config: Config) -> None:
    """The small carried encoder on galaxies it has not seen, against the oracle."""
    from starloom.galaxies.pretraining import make_sample, scores_of, shipped

    model, about = shipped("small")
    totals = np.asarray(votes["n_votes"], dtype=float)
    sample = make_sample(config.held_out, 64, seed=np.random.default_rng([config.seed, 30]), totals=totals)
    scores = scores_of(model, sample)
    judged = config.held_out >= 500
    results.number(
        "RMSE of predicted fractions", scores["rmse"], bar=Bar("<=", 0.08) if judged else None,
        meaning=f"against the true probabilities, {config.held_out} made galaxies, questions with 10 votes or more",
    )  # fmt: skip
    results.number("loss over the oracle's", scores["loss"] / scores["oracle"],
                   bar=Bar("<=", 1.05) if judged else None,
                   meaning="the oracle knows the concentrations the votes were drawn with")  # fmt: skip
    results.number("80 % vote intervals cover", scores["coverage"], bar=Bar("in", (0.75, 0.85)) if judged else None)
    results.number("CPU time of the pretraining", about["cpu_seconds"] / 60.0, "min", meaning="the carried encoder")


def _grid(config: Config) -> Grid:
    from starloom.galaxies.scaling import Grid

    seeds = tuple(range(config.seed, config.seed + config.grid_seeds))
    return Grid(
        config.labels, config.encoders, seeds, pixels=config.pixels, held_out=config.held_out, passes=config.passes,
        least=60 if config.preset != "tour" else 15,
    )  # fmt: skip


def _laws(results: Results, config: Config, folder: RunFolder, pages: Any) -> None:
    from astropy.table import QTable

    from starloom.galaxies.scaling import TOTAL, law_table, laws, run_grid

    # starting processes takes longer than the few trainings of a tour
    workers = 1 if config.preset == "tour" else config.workers
    cells = run_grid(_grid(config), folder.checkpoints / "grid", workers=workers)
    failed = [cell for cell in cells if "failure" in cell]
    for cell in failed:
        results.warn(f"{cell['encoder']} with {cell['labels']} labels, seed {cell['seed']}: {cell['failure']}")
    done = [cell for cell in cells if "failure" not in cell]
    columns = ("labels", "encoder", "seed", "parameters", "steps", "cpu_seconds", "loss", "oracle", "rmse", "coverage")
    results.table("trainings", QTable({name: [cell[name] for cell in done] for name in columns}), "one row a training")
    found = laws(done, seed=config.seed)
    results.table("laws", law_table(found), "L = floor + a N^-exponent, a row a question; intervals of 90 %")
    for law in found:
        if law.question == TOTAL and law.law is not None:
            low, high = law.law.interval()
            results.number(f"exponent with {law.along}, {law.held}", law.law.exponent, low=low, high=high,
                           meaning="loss of all questions; 90 % interval of the bootstrap")  # fmt: skip
    for along in ("labels", "parameters"):
        fitted = [law for law in found if law.along == along and law.law is not None and law.question != TOTAL]
        if fitted:
            results.number(
                f"questions that more {along} help", float(np.mean([law.helps for law in fitted])), "share",
                meaning="loss falls by more than 1 % over the range, beyond the 90 % interval; questions x encoders",
            )  # fmt: skip
    results.figures += pages.law_figures(found, done)


def mock(config: Config) -> dict[str, QTable]:
    """Totals and shares of votes where the real ones cannot be had."""
    from astropy.table import QTable

    from starloom.galaxies.mock_population import draw
    from starloom.galaxies.mock_votes import answer_fractions, made_totals

    fractions = answer_fractions(draw(2000, seed=config.seed + 1))
    share = fractions[:, 1] / (fractions[:, 0] + fractions[:, 1])
    return {"votes": QTable({"p_featured": share, "n_votes": made_totals(2000, seed=config.seed)})}


STUDY = Study(
    name="galaxy-scaling",
    title="Galaxy pictures: scaling laws, and transfer from pretraining on votes",
    arxiv="2404.02973",
    summary=(
        "How the error of an encoder falls with labels and with parameters, question by question; and how much of the "
        "error of a new question is saved by pretraining on volunteers' votes about other galaxies."
    ),
    citations=(
        "arXiv:2404.02973 Walmsley et al. 2024, Scaling Laws for Galaxy Images",
        "2013MNRAS.435.2835W Willett et al. 2013, Galaxy Zoo 2",
        "2022MNRAS.509.3966W Walmsley et al. 2022, Galaxy Zoo DECaLS",
    ),
    config=Config,
    presets={
        "tour": {
            "labels": (64, 128, 256), "encoders": ("resnet_speck",), "pixels": 32, "passes": 2.0, "held_out": 200,
            "tasks": ("rings", "ten-types"), "task_labels": (30, 60), "task_tests": 120, "transfer_pixels": 64,
            "real_pictures": 200, "end_to_end": False,
        },
        "quick": {},
        "full": {
            "labels": (250, 500, 1000, 2000, 4000, 8000, 16000),
            "encoders": tuple(
                f"{family}_{size}" for family in ("resnet", "convnext", "efficientnet_lite")
                for size in ("speck", "mini", "midi")
            ),
            "grid_seeds": 3, "passes": 10.0, "held_out": 2000, "task_labels": (50, 100, 200, 400), "task_tests": 1000,
            "task_seeds": 3, "transfer_pixels": 128, "fine_tuning_passes": 40.0, "real_end_to_end": True,
        },
    },
    inputs=(
        InputSpec("votes", "gz_votes", "gz2_task1", "real totals and shares of votes, which the made ones follow"),
    ),
    run=run,
    mock=mock,
)  # fmt: skip
