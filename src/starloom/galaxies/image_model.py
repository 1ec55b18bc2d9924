"""An encoder with a last layer that answers a question about images: predict, embed, save and load."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from starloom import progress
from starloom.errors import ConfigError, ModelFileError
from starloom.galaxies.embedding import Floats, embed
from starloom.galaxies.encoder_weights import MODEL_KIND
from starloom.galaxies.encoders import as_encoder, encoder
from starloom.galaxies.image_encoder import ImageEncoder
from starloom.galaxies.image_sources import ImageSource, image_source
from starloom.galaxies.images import ImageForm
from starloom.galaxies.inference_engine import embedded_batches
from starloom.galaxies.tasks import Task, task_of
from starloom.neural.checkpoints import load_folder, save_folder

if TYPE_CHECKING:
    from astropy.table import QTable


class ImageModel:
    """An encoder with a last layer that answers a task; what :func:`starloom.galaxies.finetune.fit` gives.

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
