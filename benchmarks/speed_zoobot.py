"""Images of galaxies beside Zoobot's own stack: prediction of a catalog of JPEGs, and fine-tuning on it.

Zoobot is timm, torchvision and Lightning; the same ConvNeXt with the same weights is given to both. torchvision's
compiled operators cannot be loaded beside a torch without CUDA; none of them is used here, so the two that its import
asks for are declared and left empty.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import torch
from side_by_side import Comparison, cpu_seconds, table
from speed_galaxies import SIDE, jpegs, new_encoder

from starloom import progress
from starloom.galaxies.encoder_weights import export_state
from starloom.galaxies.finetune import fit
from starloom.galaxies.image_sources import image_source
from starloom.galaxies.image_training import DEEP
from starloom.galaxies.images import ImageForm
from starloom.galaxies.tasks import Classification
from starloom.neural.training import one_thread, seeded

CASES = (("convnext_atto", 64, 194, 5), ("convnext_nano", 224, 34, 2))  # pixels, images, epochs
BATCH, HELD_OUT = 32, 2
_QUIET = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
          "enable_model_summary": False}  # fmt: skip


def available() -> bool:
    """Whether Zoobot is installed here (``make bench-zoobot``)."""
    return find_spec("zoobot") is not None


def section() -> tuple[str, bool]:
    """The section of the page, and whether all results are as good as they have to be."""
    logging.disable(logging.WARNING)
    operators = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder, one_thread():
        warnings.simplefilter("ignore")
        comparisons = [line for case in CASES for line in _beside(Path(folder), *case)]
    versions = ", ".join(f"{name} {import_module(name).__version__}" for name in ("timm", "torchvision", "lightning"))
    text = f"## galaxy images beside Zoobot\n\n{table(comparisons)}\nZoobot 2.9.0 with {versions}.\n"
    return text, all(line.agrees for line in comparisons)


def _beside(folder: Path, name: str, size: int, count: int, epochs: int) -> list[Comparison]:
    progress.say(f"Zoobot: {name} at {size} pixels")
    finetune: Any = import_module("zoobot.pytorch.training.finetune")
    predict: Any = import_module("zoobot.pytorch.predictions.predict_on_catalog").predict
    views: Any = import_module("galaxy_datasets.transforms")
    modules: Any = import_module("galaxy_datasets.pytorch.galaxy_datamodule")
    trainer: Any = import_module("lightning").Trainer
    timm: Any = import_module("timm")
    files = []
    for number, picture in enumerate(jpegs(count)):
        files.append(folder / f"{name}-{number:04d}.jpg")
        files[-1].write_bytes(picture)
    labels = np.arange(count) % 2
    catalog = pandas.DataFrame(
        {"id_str": [file.stem for file in files], "file_loc": list(map(str, files)), "label": labels}
    )
    plain, changed = views.minimal_view_config(), views.default_view_config()
    plain.output_size = changed.output_size = size
    plain, changed = views.get_galaxy_transform(plain), views.get_galaxy_transform(changed)
    mine = new_encoder(name).eval()
    with seeded(torch.Generator().manual_seed(3)):
        for scale in (part.gamma for part in mine.modules() if hasattr(part, "gamma")):
            torch.nn.init.uniform_(scale, 0.1, 1.0)  # new ones hide the branches: 1e-6
    theirs = timm.create_model(name, num_classes=0).eval()
    theirs.load_state_dict(export_state(mine))
    form, loading = ImageForm(size, 3), {"num_workers": 0}
    pixels = torch.from_numpy(image_source(files).read(range(4), form)[0])
    with torch.inference_mode():
        away = float((mine(pixels) - theirs(pixels)).abs().max())
    model = fit(image_source(files[:20]), labels[:20], Classification([0, 1]), encoder=mine, form=form,
                settings=replace(DEEP, epochs=1, start_linear=False, views=1), seed=1)  # fmt: skip
    peer = finetune.FinetuneableZoobotClassifier(encoder=theirs, num_classes=2, prog_bar=False)

    def predicting() -> None:
        loading_of = {"batch_size": 64, **loading}
        predict(catalog, peer, str(folder / "z.csv"), ["a", "b"], plain, datamodule_kwargs=loading_of,
                trainer_kwargs=_QUIET)  # fmt: skip

    def tuning() -> None:
        network = timm.create_model(name, num_classes=0)
        network.load_state_dict(export_state(mine))
        tuned = finetune.FinetuneableZoobotClassifier(encoder=network, num_classes=2, prog_bar=False)
        data = modules.CatalogDataModule(
            label_cols=["label"], train_catalog=catalog[HELD_OUT:], val_catalog=catalog[:HELD_OUT],
            test_catalog=catalog[:HELD_OUT], batch_size=BATCH, train_transform=changed, test_transform=plain, **loading,
        )  # fmt: skip
        trainer(max_epochs=epochs, limit_val_batches=0, num_sanity_val_steps=0, **_QUIET).fit(tuned, data)

    settings = replace(DEEP, epochs=epochs, patience=epochs, batch=BATCH, start_linear=False, views=1)
    held_out = np.arange(count) < HELD_OUT

    def mine_tuned() -> None:
        fit(image_source(files), labels, Classification([0, 1]), encoder=mine, form=form, settings=settings,
            held_out=held_out, seed=1, workers=1)  # fmt: skip

    def mine_predicted() -> None:
        model.predict(image_source(files), workers=1)

    def line(what: str, ours: Callable[[], None], other: Callable[[], None], work: int) -> Comparison:
        return Comparison(
            name=f"{what} with {name} at {size} pixels, {count} JPEGs of {SIDE} pixels", peer="Zoobot",
            seconds=cpu_seconds(ours, 3), peer_seconds=cpu_seconds(other, 3), difference=away, tolerance=1e-4,
            unit="in features of the same pixels", work=work, work_unit="images",
        )  # fmt: skip

    return [
        line("prediction", mine_predicted, predicting, count),
        line(f"fine-tuning of all layers for {epochs} epochs", mine_tuned, tuning, epochs * (count - HELD_OUT)),
    ]


if __name__ == "__main__":
    with progress.shown():
        print(section()[0])
