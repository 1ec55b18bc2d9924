"""Fine-tune an encoder on labels of one's own question.

>>> import numpy as np
>>> from starloom.galaxies.tasks import Classification
>>> rng = np.random.default_rng(1)
>>> labels = np.arange(60) % 2
>>> narrow, wide = (np.where(np.arange(32) % period < period / 2, 0.2, 0.8) for period in (4, 16))
>>> images = np.where(labels[:, None, None, None], narrow, wide) + 0.1 * rng.random((60, 1, 32, 32))
>>> model = fit(images, labels, Classification([0, 1]), encoder="convnext_speck", seed=1)
>>> answers = model.predict(images)
>>> answers.colnames
['id', 'class', 'probability_0', 'probability_1', 'remark', 'reason']
>>> bool((answers["class"] == labels).mean() > 0.9)
True
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from starloom import progress
from starloom.errors import CatalogError, ConfigError, FitError
from starloom.galaxies.embedding import channels_of, chosen_encoder, form_of
from starloom.galaxies.image_encoder import ImageEncoder
from starloom.galaxies.image_feed import ImageFeed
from starloom.galaxies.image_model import ImageModel
from starloom.galaxies.image_sources import ImageSource, image_source
from starloom.galaxies.image_training import LINEAR, FineTuneSettings, Network, train
from starloom.galaxies.images import ImageForm
from starloom.galaxies.inference_engine import embedded_batches
from starloom.galaxies.linear_head import fit_linear, folds_of
from starloom.galaxies.tasks import Task
from starloom.seeds import generator, torch_generator

if TYPE_CHECKING:
    from astropy.table import QTable


def fit(
    images: Any, labels: Any, task: Task, *, encoder: str | Path | nn.Module = "convnext_mini",
    settings: FineTuneSettings = LINEAR, form: ImageForm | None = None, held_out: NDArray[np.bool_] | None = None,
    seed: int = 1, checkpoint: str | Path | None = None, until: int | None = None, workers: int | None = None,
    device: str = "cpu",
) -> ImageModel:  # fmt: skip
    """Fit a model to labeled images.

    Parameters
    ----------
    images : whatever :func:`starloom.galaxies.image_sources.image_source` takes.
    labels : one an image: an array, or a table with the task's columns; None takes the images' own catalog.
    task : what is asked: :class:`starloom.galaxies.tasks.Classification`, ``Regression`` or ``Votes``.
    encoder : a name (fresh weights), ``imagenet``, a folder or file of weights, ``hf_hub:...``, or a module, which is
        trained in place.
    settings : how; by default the last layer alone on the frozen encoder.
    form : what images are made into; by default that of arrays, else 64 pixels.
    held_out : images to stop by, (images,) of bool; by default a random share.
    seed : everything random.
    checkpoint : file with the state of the training, which goes on from it.
    until : stop before this epoch.
    workers : threads that read images.
    device : ``cpu`` or ``cuda``.

    Returns
    -------
    ImageModel
        Its ``training_rows`` say of each image whether it was used, and why not.

    Raises
    ------
    CatalogError
        When labels and images are not as many, or columns are missing.
    FitError
        When too few images can be used, or the fit fails.
    """
    source = image_source(images)
    rng = generator(seed)
    if labels is None:
        if source.table is None:
            raise CatalogError("there are no labels: give them, or a catalog of images with their columns")
        labels = source.table
    elif not isinstance(labels, (np.ndarray, list, tuple)):
        from starloom.catalog.tables import read_table

        labels = read_table(labels)
    if len(labels) != len(source):
        raise CatalogError(f"there are {len(source)} images and {len(labels)} labels; one an image, please")
    targets, reasons = task.targets(labels)
    made = chosen_encoder(encoder, channels_of(encoder, form, source), rng)
    form = form or form_of(source, made.channels)
    if form.channels != made.channels:
        raise ConfigError(f"the encoder takes {made.channels} channels and the form has {form.channels}")
    labeled = reasons == ""
    if int(labeled.sum()) < 2:
        first = next((reason for reason in reasons if reason), "")
        raise FitError(f"{int(labeled.sum())} of {len(source)} images have a label; two at least are needed ({first})")
    held = _held_out(held_out, labeled, task, targets, settings, rng)
    layer = nn.Linear(made.out_features, task.outputs)
    task.start(layer, torch_generator(rng))
    history: dict[str, Any] = {
        "settings": settings.as_json(), "seed": int(seed), "images": len(source), "labeled": int(labeled.sum()),
    }  # fmt: skip
    rows = _Rows(source, reasons)
    if settings.parts == 0 or settings.start_linear:
        views = settings.views if settings.parts == 0 else 1
        only = None if settings.parts == 0 else ~held
        layer, history["linear"] = _linear(made, source, form, targets, labeled, only, task, views, rng, workers, rows)
    if settings.parts != 0:
        network = Network(made, layer, settings.dropout)
        feed = ImageFeed(source, form, workers=workers)
        usable = labeled & (feed.reasons == "")
        take = (feed.reasons == "") if settings.contrastive > 0 else usable
        record = train(
            network, feed, targets, labeled, np.flatnonzero(take & ~held), np.flatnonzero(usable & held), task,
            settings, seed=int(seed), checkpoint=None if checkpoint is None else Path(checkpoint), until=until,
            device=device,
        )  # fmt: skip
        history["training"] = record.as_json()
        rows.unreadable, rows.remarks = feed.reasons, feed.remarks
        made, layer = made.to("cpu"), layer.to("cpu")
    dropout = settings.dropout if settings.parts != 0 else 0.0
    model = ImageModel(made, layer, task, form, history=history, dropout=dropout)
    model.training_rows = rows.table(held if settings.parts != 0 else np.zeros(len(source), dtype=bool))
    history["used"] = int((np.asarray(model.training_rows["reason"]) == "").sum())
    return model


class _Rows:
    """What became of each image in a fit."""

    def __init__(self, source: ImageSource, reasons: NDArray[np.str_]) -> None:
        self.source, self.reasons = source, reasons
        self.unreadable: NDArray[np.str_] = np.zeros(len(source), dtype="U160")
        self.remarks: NDArray[np.str_] = np.zeros(len(source), dtype="U80")

    def table(self, held: NDArray[np.bool_]) -> QTable:
        """Ids, whether held out, remarks and reasons."""
        from astropy.table import QTable

        reasons = np.where(self.unreadable != "", self.unreadable, self.reasons.astype("U160"))
        return QTable({"id": self.source.ids, "held_out": held, "remark": self.remarks, "reason": reasons})


def _linear(
    made: ImageEncoder, source: ImageSource, form: ImageForm, targets: Tensor, labeled: NDArray[np.bool_],
    only: NDArray[np.bool_] | None, task: Task, views: int, rng: np.random.Generator, workers: int | None, rows: _Rows,
) -> tuple[nn.Linear, dict[str, Any]]:  # fmt: skip
    chosen = np.flatnonzero(labeled if only is None else labeled & only)
    features = torch.empty(views, len(chosen), made.out_features)
    good = torch.ones(len(chosen), dtype=torch.bool)
    part = source.subset(chosen)
    with progress.bar("features", len(part), "images") as advance:
        for found in embedded_batches(made, part, form, views=range(views), workers=workers):
            features[:, found.rows] = found.features
            for row, reason, remark in zip(found.rows, found.reasons, found.remarks, strict=True):
                good[row] = not reason
                rows.unreadable[chosen[row]], rows.remarks[chosen[row]] = reason, remark
            advance(len(found.rows))
    if int(good.sum()) < 2:
        raise FitError(f"{int(good.sum())} of {len(chosen)} labeled images can be read ({rows.unreadable[chosen[0]]})")
    kept = targets[torch.from_numpy(chosen)][good]
    fitted = fit_linear(features[:, good], kept, task, rng)
    return fitted.layer, {
        "penalty": fitted.penalty,
        "cross_validated": {f"{penalty:g}": loss for penalty, loss in fitted.losses.items()},
    }


def _held_out(
    given: NDArray[np.bool_] | None, labeled: NDArray[np.bool_], task: Task, targets: Tensor,
    settings: FineTuneSettings, rng: np.random.Generator,
) -> NDArray[np.bool_]:  # fmt: skip
    if given is not None:
        held = np.asarray(given, dtype=bool)
        if held.shape != labeled.shape:
            raise CatalogError(f"held_out has the shape {held.shape}, not ({len(labeled)},)")
        return held
    held = np.zeros(len(labeled), dtype=bool)
    rows = np.flatnonzero(labeled)
    count = math.floor(settings.held_out * len(rows))
    if count >= 2:
        folds = max(2, round(1.0 / settings.held_out))
        classes = task.classes_for_split(targets[torch.from_numpy(rows)])
        held[rows[folds_of(classes, folds, rng) == 0]] = True
    return held


def with_settings(base: FineTuneSettings, **changes: Any) -> FineTuneSettings:
    """Settings with some of them changed; ConfigError for an unknown one."""
    try:
        return replace(base, **changes)
    except TypeError as error:
        raise ConfigError(f"no such setting: {error}") from error
