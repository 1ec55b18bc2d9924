"""What pretraining on galaxies is worth in galaxy-scaling: transfer to made questions, and to a real one.

Six made questions with few labels, by linear probes and by training end to end; and odd spirals of Galaxy Zoo 2, 1,400
SDSS pictures, with the same folds for every method.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from starloom.errors import DatasetError
from starloom.progress import say
from starloom.results.record import Bar, InputRecord, Published, Results
from starloom.seeds import generator

if TYPE_CHECKING:
    from astropy.table import QTable
    from numpy.typing import NDArray

    from starloom.galaxies.image_encoder import ImageEncoder
    from starloom.studies.galaxy_scaling import Config

PAPER = "arXiv:2404.02973"
PUBLISHED = Published(0.31, f"{PAPER}, abstract: mean of five real tasks against ImageNet-12k only")
IMAGENET, BOTH, SMALL, SCRATCH, HAND = "ImageNet", "ImageNet + galaxies", "galaxies only", "scratch", "hand-made"
CROP = 0.6  # central share of the real pictures: as large as the made galaxies are in theirs
ENOUGH_LABELS = 200  # what the issue asks for: with fewer, nothing is judged


@dataclass
class Scene:
    """The encoders that transfer is tried with, and what each is called."""

    config: Config
    encoders: dict[str, tuple[ImageEncoder, int]] = field(default_factory=dict)  # with the pixels they take
    real: bool = True


def set_scene(config: Config, results: Results, real: bool) -> Scene:
    """The carried encoders, and ImageNet's where its weights can be had."""
    from starloom.galaxies.encoder_weights import IMAGENET as WEIGHTS
    from starloom.galaxies.encoder_weights import load_encoder
    from starloom.galaxies.pretraining import shipped

    scene = Scene(config, real=real)
    model, about = shipped("small")
    scene.encoders[SMALL] = (model.encoder, int(about["recipe"]["pixels"]))
    try:
        scene.encoders[IMAGENET] = (load_encoder(WEIGHTS), config.transfer_pixels)
        scene.encoders[BOTH] = (shipped("lite0")[0].encoder, config.transfer_pixels)
    except DatasetError as error:
        results.warn(f"Without the weights of ImageNet, and so without the comparison with them: {error}")
        say(f"warning: {results.warnings[-1]}")
    return scene


def _pictures(config: Config, task: str, repetition: int, count: int) -> tuple[QTable, NDArray[np.int64]]:
    from starloom.galaxies.mock_tasks import TASKS, draw_task

    seed = np.random.default_rng([config.seed, 40, list(TASKS).index(task), repetition])
    return draw_task(task, count, seed=seed)


def transfer_to_made(results: Results, scene: Scene, pages: Any) -> None:
    """Errors on the made questions, method by method, at each number of labels."""
    from astropy.table import QTable

    from starloom.galaxies import transfer
    from starloom.galaxies.mock_images import render
    from starloom.galaxies.scaling_laws import label_efficiency, reduction_table, standard_error
    from starloom.galaxies.vote_training import represent

    config = scene.config
    most = max(config.task_labels)
    errors: dict[str, dict[str, dict[int, list[float]]]] = {}
    for task in config.tasks:
        errors[task] = {}
        for repetition in range(config.task_seeds):
            say(f"transfer to {task}, repetition {repetition + 1} of {config.task_seeds}")
            galaxies, labels = _pictures(config, task, repetition, most + config.task_tests)
            drawn = {size: render(galaxies, size) for size in {size for _, size in scene.encoders.values()}}
            train, test = np.arange(most), np.arange(most, len(labels))
            for name, (encoder, size) in scene.encoders.items():
                features = represent(encoder, drawn[size])
                for count in config.task_labels:
                    rows = train[:count]
                    if len(np.unique(labels[rows])) < 2:
                        continue
                    found = transfer.linear_probe(features[rows], labels[rows], features[test], seed=config.seed)
                    error = float((found.argmax(axis=1) != labels[test]).mean())
                    errors[task].setdefault(name, {}).setdefault(count, []).append(error)
            if config.end_to_end:
                _end_to_end(errors[task], scene, drawn, labels, train, test, repetition)
    table_rows = [
        (task, name, count, float(np.mean(values)), standard_error(values, config.task_tests))
        for task, methods in errors.items()
        for name, curve in methods.items()
        for count, values in curve.items()
    ]
    names = ("task", "method", "labels", "error", "standard_error")
    results.table("transfer", QTable(rows=table_rows, names=names), "error of each method on each made question")
    last = {
        task: {name: curve[most] for name, curve in methods.items() if most in curve}
        for task, methods in errors.items()
    }
    judged = most >= ENOUGH_LABELS
    for reference in (IMAGENET, SCRATCH):
        table = reduction_table(last, BOTH, reference, tested=config.task_tests)
        if len(table):
            results.table(
                f"reduction_{reference.lower()}", table, f"ImageNet + galaxies against {reference}, {most} labels"
            )
            bar = Bar(">=", 0.31) if reference == IMAGENET and judged else None
            value, error = _mean_of(table)
            results.number(
                f"relative error reduction against {reference}", value, low=value - error, high=value + error, bar=bar,
                published=PUBLISHED if reference == IMAGENET else None,
                meaning=f"mean over {len(table)} made questions at {most} labels, linear probes of the pretrained; "
                "one standard error",
            )  # fmt: skip
    for reference, meaning in ((SCRATCH, "the same network"), (IMAGENET, "an EfficientNet-Lite0")):
        own = reduction_table(last, SMALL, reference, tested=config.task_tests)
        if len(own):
            value, error = _mean_of(own)
            results.number(f"relative error reduction of {SMALL} against {reference}", value, low=value - error,
                           high=value + error, meaning=f"the small carried encoder against {meaning}")  # fmt: skip
    if all(BOTH in methods and IMAGENET in methods for methods in errors.values()):
        mean = {
            name: np.array([np.mean([np.mean(errors[t][name][n]) for t in errors]) for n in config.task_labels])
            for name in (BOTH, IMAGENET)
        }
        times = label_efficiency(config.task_labels, mean[BOTH], mean[IMAGENET])
        results.number("label efficiency at the fewest labels", float(times[0]),
                       meaning="times the labels that ImageNet only needs; none: more than were tried")  # fmt: skip
    _linear_against_tuned(results, last)
    results.figures.append(pages.transfer_figure(errors, config.task_labels))


def _mean_of(table: QTable) -> tuple[float, float]:
    """Mean reduction over the questions, and its standard error from theirs."""
    errors = np.asarray(table["reduction_error"], dtype=float)
    return float(np.mean(table["reduction"])), float(np.sqrt((errors**2).sum()) / len(errors))


def _linear_against_tuned(results: Results, last: Mapping[str, Mapping[str, list[float]]]) -> None:
    tuned = f"{SMALL}, fine-tuned"
    away = [float(np.mean(m[SMALL]) - np.mean(m[tuned])) for m in last.values() if SMALL in m and tuned in m]
    if away:
        results.number(
            "questions where linear is within 2 points of fine-tuned", float(np.mean(np.array(away) <= 0.02)), "share",
            bar=Bar(">=", 0.5), meaning=f"{SMALL}; the share of {len(away)} made questions",
        )  # fmt: skip


def _end_to_end(
    errors: dict[str, dict[int, list[float]]], scene: Scene, drawn: Mapping[int, NDArray[np.uint8]],
    labels: NDArray[np.int64], train: NDArray[np.int64], test: NDArray[np.int64], repetition: int,
) -> None:  # fmt: skip
    """The small network from scratch and fine-tuned, at the largest number of labels."""
    from starloom.galaxies.transfer import train_end_to_end

    encoder, size = scene.encoders[SMALL]
    for name, fresh in ((SCRATCH, True), (f"{SMALL}, fine-tuned", False)):
        found = train_end_to_end(
            encoder, drawn[size][train], labels[train], drawn[size][test], fresh=fresh,
            passes=scene.config.fine_tuning_passes * (2.0 if fresh else 1.0), seed=scene.config.seed + repetition,
        )  # fmt: skip
        error = float((found.argmax(axis=1) != labels[test]).mean())
        errors.setdefault(name, {}).setdefault(len(train), []).append(error)


def transfer_to_real(results: Results, scene: Scene, pages: Any) -> None:
    """Odd spirals of Galaxy Zoo 2: the same folds for every method."""
    from starloom.galaxies import transfer
    from starloom.galaxies.shape_statistics import shape_statistics
    from starloom.galaxies.vote_training import represent

    config = scene.config
    sizes = {size for _, size in scene.encoders.values()}
    try:
        pictures, labels, record = _odd_spirals(scene, sizes | {128})
    except DatasetError as error:
        results.warn(f"Without the real question: {error}")
        return
    results.inputs.append(record)
    what = "odd spirals" if record.kind == "real" else "odd spirals (made)"
    fold = transfer.folds_of(labels, config.folds, seed=config.seed)
    shapes = shape_statistics(pictures[128])
    answers: dict[str, NDArray[np.float64]] = {}

    def probe(values: NDArray[np.float64], method: Any) -> NDArray[np.float64]:
        return transfer.cross_validated(
            lambda learn, answer: method(values[learn], labels[learn], values[answer], seed=config.seed), labels, fold
        )

    answers[HAND] = probe(shapes, transfer.boosted_trees)
    features = {}
    for name, (encoder, size) in scene.encoders.items():
        features[name] = represent(encoder, pictures[size])
        answers[name] = probe(features[name], transfer.linear_probe)
    if config.real_end_to_end:
        encoder, size = scene.encoders[SMALL]
        small = pictures[size]
        for name, fresh in ((SCRATCH, True), (f"{SMALL}, fine-tuned", False)):

            def tune(
                learn: NDArray[np.int64], answer: NDArray[np.int64], fresh: bool = fresh
            ) -> NDArray[np.float64]:  # fmt: skip
                return transfer.train_end_to_end(
                    encoder, small[learn], labels[learn], small[answer], fresh=fresh,
                    passes=config.fine_tuning_passes / 2, seed=config.seed,
                )  # fmt: skip

            answers[name] = transfer.cross_validated(tune, labels, fold)
    for name, found in answers.items():
        verdict = transfer.judge(found, labels, seed=config.seed)
        results.number(
            f"{what}: ROC area, {name}", verdict.area, low=verdict.area - verdict.area_error,
            high=verdict.area + verdict.area_error,
            meaning=f"{config.folds} folds of {len(labels)} pictures; error rate {verdict.error:.3f}",
        )  # fmt: skip
    best = BOTH if BOTH in answers else SMALL
    judged = record.kind == "real" and len(labels) >= 1400 and best == BOTH
    for rival in (HAND, IMAGENET, SCRATCH):
        if rival in answers and rival != best:
            gain, low, high = transfer.paired_gain(answers[best], answers[rival], labels, seed=config.seed)
            results.number(f"{what}: gain of {best} over {rival}", gain, low=low, high=high,
                           bar=Bar(">=", 0.0) if judged else None,
                           meaning="difference of ROC areas on the same pictures; 90 % interval")  # fmt: skip
    results.figures += pages.real_figures(what, pictures[128], labels, answers, best, features[best])


def _odd_spirals(scene: Scene, sizes: set[int]) -> tuple[dict[int, NDArray[np.uint8]], NDArray[np.int64], InputRecord]:
    """Pictures at each size, labels, and where they are from: real ones, or made ones on made input."""
    from starloom.galaxies.image_sources import image_source
    from starloom.galaxies.picture_arrays import picture_array

    if not scene.real:
        return _made_odd_spirals(scene, sizes)
    from starloom.datasets.access import locate

    found = locate("gz2_odd_spirals")
    source = image_source(found.path)
    if source.table is None:
        raise DatasetError(f"{found.path} has no labels beside its pictures")
    if scene.config.real_pictures:
        source = source.subset(generator(scene.config.seed).permutation(len(source))[: scene.config.real_pictures])
    read = {size: picture_array(source, size, crop=CROP) for size in sizes}
    rows = np.flatnonzero(np.all([reasons == "" for _, reasons in read.values()], axis=0))
    labels = np.asarray(source.table["odd_spiral"], dtype=np.int64)[rows]
    record = InputRecord(
        "odd spirals", "real", found.origin, len(rows), found.sha256, found.license, found.citation
    )  # fmt: skip
    return {size: pictures[rows] for size, (pictures, _) in read.items()}, labels, record


def _made_odd_spirals(
    scene: Scene, sizes: set[int]
) -> tuple[dict[int, NDArray[np.uint8]], NDArray[np.int64], InputRecord]:
    from starloom.galaxies.mock_images import render
    from starloom.galaxies.mock_population import Population, draw

    count = scene.config.real_pictures or 600
    table = draw(8 * count, seed=np.random.default_rng([scene.config.seed, 50]),
                 population=Population(rings=0.25, tidal=0.25, mergers=0.12))  # fmt: skip
    arms = np.asarray(table["arm_strength"]) > 0.4
    odd = arms & (np.asarray(table["axis_ratio"]) > 0.4)
    odd &= (
        sum((np.asarray(table[name]) > 0 for name in ("ring_strength", "companion_flux", "tail")), np.zeros(len(table)))
        > 0
    )
    rows = np.concatenate([np.flatnonzero(odd)[: count // 2], np.flatnonzero(~odd)[: count - count // 2]])
    labels = np.asarray(odd[rows], dtype=np.int64)
    record = InputRecord("odd spirals", "simulated", "made spirals with rings, companions or tails", len(rows), "")
    return {size: render(table[rows], size) for size in sizes}, labels, record
