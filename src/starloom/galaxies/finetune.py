"""Fine-tune an encoder on labels of one's own question; predict, embed, save and load.

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
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from starloom import progress
from starloom.errors import CatalogError, ConfigError, FitError, ModelFileError
from starloom.galaxies.encoder_weights import CARRIED, HUB, IMAGENET, MODEL_KIND, load_encoder
from starloom.galaxies.encoders import TIMM, as_encoder, encoder, names
from starloom.galaxies.image_encoder import ImageEncoder
from starloom.galaxies.image_feed import ImageFeed
from starloom.galaxies.image_sources import ImageSource, image_source
from starloom.galaxies.image_training import LINEAR, FineTuneSettings, Network, train
from starloom.galaxies.images import ImageForm
from starloom.galaxies.inference_engine import BATCH, embedded_batches
from starloom.galaxies.linear_head import fit_linear, folds_of
from starloom.galaxies.tasks import Task, task_of
from starloom.neural.checkpoints import load_folder, save_folder
from starloom.neural.training import seeded
from starloom.seeds import generator, torch_generator

if TYPE_CHECKING:
    from astropy.table import QTable

Floats = NDArray[np.float32]


class ImageModel:
    """An encoder with a last layer that answers a task; what :func:`fit` gives.

    Parameters
    ----------
    encoder, layer, task, form : the encoder, the last layer, what is asked, and what images are made into.
    history : how it was fitted, as JSON can hold it.
    dropout : share of the features left out before the last layer in training, and in ``predict`` with passes.
    """

    def __init__(
        self, encoder: ImageEncoder, layer: nn.Linear, task: Task, form: ImageForm, *,
        history: dict[str, Any] | None = None, dropout: float = 0.0,
    ) -> None:  # fmt: skip
        self.encoder, self.layer, self.task, self.form = encoder.eval(), layer.eval(), task, form
        self.history = history or {}
        self.dropout = dropout
        self.training_rows: QTable | None = None

    def predict(
        self, images: Any, *, passes: int = 1, views: int = 1, seed: int = 1, workers: int | None = None,
        label: str = "prediction",
    ) -> QTable:  # fmt: skip
        """Answers for images, one row each, in their order.

        Parameters
        ----------
        images : whatever :func:`starloom.galaxies.image_sources.image_source` takes.
        passes : passes with dropout before the last layer (Monte Carlo); 1 is one pass without.
        views : how many of the eight symmetric views of each image are taken together.
        seed : of the dropout.
        workers : threads; the result is the same.

        Returns
        -------
        QTable
            ``id``, the task's answers (NaN where an image cannot be used), ``remark`` and ``reason``.
        """
        from astropy.table import vstack

        source = image_source(images)
        with progress.bar(label, len(source), "images") as advance:
            parts = []
            for part in self.predicted_batches(source, passes=passes, views=views, seed=seed, workers=workers):
                parts.append(part)
                advance(len(part))
        return parts[0] if len(parts) == 1 else vstack(parts, metadata_conflicts="silent")

    def predicted_batches(
        self, source: ImageSource, *, passes: int = 1, views: int = 1, seed: int = 1, workers: int | None = None,
        first: int = 0,
    ) -> Iterator[QTable]:  # fmt: skip
        """The same, a batch at a time; ``first`` is the image to begin with, a multiple of the batch."""
        if passes < 1 or not 1 <= views <= 8:
            raise ConfigError(f"passes must be 1 or more and views 1 to 8, not {passes} and {views}")
        if passes > 1 and self.dropout == 0.0:
            raise ConfigError("this model was fitted without dropout: passes would all be alike; give views instead")
        for found in embedded_batches(
            self.encoder, source, self.form, views=range(views), workers=workers, first=first
        ):
            yield self._table(source, found.rows, found.features, found.reasons, found.remarks, passes, seed)

    def _table(
        self, source: ImageSource, rows: NDArray[np.int64], features: Tensor, reasons: list[str], remarks: list[str],
        passes: int, seed: int,
    ) -> QTable:  # fmt: skip
        from astropy.table import QTable

        if passes > 1:  # masks follow from the seed and the batch: the same for any number of threads
            drawn = torch.Generator().manual_seed(int(np.random.default_rng([seed, int(rows[0])]).integers(2**62)))
            kept = torch.rand(passes, 1, *features.shape[1:], generator=drawn) >= self.dropout
            features = (features[None] * kept / (1.0 - self.dropout)).flatten(0, 1)
        with torch.no_grad():
            outputs = self.layer(features)
        table = QTable({"id": source.ids[rows]})
        unusable = np.array([bool(reason) for reason in reasons])
        for name, values in self.task.answers(outputs).items():
            column = np.asarray(values)
            if column.dtype.kind == "f":
                column = np.where(unusable, np.nan, column)
                table[name] = column
            else:
                table[name] = np.ma.MaskedArray(column, mask=unusable) if unusable.any() else column
        table["remark"], table["reason"] = np.array(remarks, dtype="U80"), np.array(reasons, dtype="U160")
        return table

    def embed(self, images: Any, *, views: int = 1, workers: int | None = None) -> Floats:
        """Features (images, features); NaN for images that cannot be used."""
        return embed(self.encoder, images, self.form, views=views, workers=workers)

    def save(self, folder: str | Path) -> None:
        """Save as a folder of safetensors and JSON."""
        settings = {
            "encoder": self.encoder.settings, "task": self.task.as_json(), "form": self.form.as_json(),
            "history": self.history, "dropout": self.dropout,
        }  # fmt: skip
        tensors = {f"encoder.{name}": value for name, value in self.encoder.state_dict().items()}
        tensors |= {f"layer.{name}": value for name, value in self.layer.state_dict().items()}
        save_folder(folder, MODEL_KIND, settings, tensors)

    @classmethod
    def load(cls, folder: str | Path, encoder_module: nn.Module | None = None) -> ImageModel:
        """Load what :meth:`save` wrote.

        Parameters
        ----------
        folder : where.
        encoder_module : the module, when the encoder is one's own; its weights are replaced by those saved.

        Raises
        ------
        ModelFileError
            When the folder is no such model, or the encoder is one's own and no module is given.
        """
        settings, tensors = load_folder(folder, MODEL_KIND)
        form = settings["encoder"]
        if encoder_module is not None:
            made = as_encoder(encoder_module, settings["form"]["channels"])
        elif form.get("own"):
            raise ModelFileError(
                f"{folder} has an encoder of its maker's own module {form['name']}; give encoder_module=..."
            )
        else:
            made = encoder(form["name"], form["channels"], **form["size"])
        task = task_of(settings["task"])
        layer = nn.Linear(made.out_features, task.outputs)
        try:
            for module, start in ((made, "encoder."), (layer, "layer.")):
                module.load_state_dict({k[len(start) :]: v for k, v in tensors.items() if k.startswith(start)})
        except RuntimeError as error:
            raise ModelFileError(f"{folder}: weights and encoder do not fit: {str(error)[:200]}") from error
        form = ImageForm(**settings["form"])
        return cls(made, layer, task, form, history=settings["history"], dropout=settings["dropout"])


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
    made = chosen_encoder(encoder, _channels(encoder, form, source), rng)
    form = form or _form_of(source, made.channels)
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


def chosen_encoder(given: str | Path | nn.Module, channels: int, rng: np.random.Generator) -> ImageEncoder:
    """An encoder of a name (fresh weights from the generator), of weights, or a module as it is."""
    if isinstance(given, nn.Module):
        return as_encoder(given, channels)
    text = str(given)
    if text in names() or text.startswith(TIMM):
        with seeded(torch_generator(rng)):
            return encoder(text, channels)
    if text == IMAGENET or text.startswith((HUB, CARRIED)) or Path(text).exists():
        return load_encoder(text, channels=channels)
    return encoder(text, channels)  # which says what names there are


def _channels(given: Any, form: ImageForm | None, source: ImageSource) -> int:
    if isinstance(given, ImageEncoder):
        return given.channels
    return form.channels if form is not None else _form_of(source, None).channels


def _form_of(source: ImageSource, channels: int | None) -> ImageForm:
    """The form of arrays as they are; else 64 pixels in color."""
    first = source.items[0]
    if isinstance(first, np.ndarray) and first.ndim in (2, 3):
        shape = first.shape
        own = 1 if len(shape) == 2 else min(shape[0], shape[2])
        side = min(shape) if len(shape) == 2 else sorted(shape)[1]
        return ImageForm(size=max(4, side), channels=channels or own)
    return ImageForm(channels=channels or 3)


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


def embed(
    encoder: str | Path | nn.Module, images: Any, form: ImageForm | None = None, *, views: int = 1,
    workers: int | None = None, device: str = "cpu", label: str = "features",
) -> Floats:  # fmt: skip
    """Features of images.

    Parameters
    ----------
    encoder : weights or a module, as :func:`fit` takes them.
    images : whatever :func:`starloom.galaxies.image_sources.image_source` takes.
    form : what they are made into.
    views : mean over this many of the eight symmetric views.
    workers : threads; the result is the same.

    Returns
    -------
    ndarray
        (images, features) float32; NaN for images that cannot be used.
    """
    source = image_source(images)
    made = chosen_encoder(encoder, _channels(encoder, form, source), generator(1))
    form = form or _form_of(source, made.channels)
    if not 1 <= views <= 8:
        raise ConfigError(f"views from 1 to 8, not {views}")
    result = np.full((len(source), made.out_features), np.nan, dtype=np.float32)
    with progress.bar(label, len(source), "images") as advance:
        for found in embedded_batches(made, source, form, views=range(views), workers=workers, device=device):
            usable = np.array([not reason for reason in found.reasons])
            result[found.rows[usable]] = found.features.mean(dim=0).numpy()[usable]
            advance(len(found.rows))
    return result


def with_settings(base: FineTuneSettings, **changes: Any) -> FineTuneSettings:
    """Settings with some of them changed; ConfigError for an unknown one."""
    try:
        return replace(base, **changes)
    except TypeError as error:
        raise ConfigError(f"no such setting: {error}") from error


__all__: Sequence[str] = ["BATCH", "ImageModel", "chosen_encoder", "embed", "fit", "with_settings"]
