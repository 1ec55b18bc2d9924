"""Features of images from any encoder: which encoder is meant, what images are made into for it, and the features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from starloom import progress
from starloom.errors import ConfigError
from starloom.galaxies.encoder_weights import CARRIED, HUB, IMAGENET, load_encoder
from starloom.galaxies.encoders import TIMM, as_encoder, encoder, names
from starloom.galaxies.image_encoder import ImageEncoder
from starloom.galaxies.image_sources import ImageSource, image_source
from starloom.galaxies.images import ImageForm
from starloom.galaxies.inference_engine import embedded_batches
from starloom.neural.training import seeded
from starloom.seeds import generator, torch_generator

Floats = NDArray[np.float32]


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


def channels_of(given: Any, form: ImageForm | None, source: ImageSource) -> int:
    """Channels of the images that an encoder is given: its own, or those of the form or of the images."""
    if isinstance(given, ImageEncoder):
        return given.channels
    return form.channels if form is not None else form_of(source, None).channels


def form_of(source: ImageSource, channels: int | None) -> ImageForm:
    """The form of arrays as they are; else 64 pixels in color."""
    first = source.items[0]
    if isinstance(first, np.ndarray) and first.ndim in (2, 3):
        shape = first.shape
        own = 1 if len(shape) == 2 else min(shape[0], shape[2])
        side = min(shape) if len(shape) == 2 else sorted(shape)[1]
        return ImageForm(size=max(4, side), channels=channels or own)
    return ImageForm(channels=channels or 3)


def embed(
    encoder: str | Path | nn.Module, images: Any, form: ImageForm | None = None, *, views: int = 1,
    workers: int | None = None, device: str = "cpu", label: str = "features",
) -> Floats:  # fmt: skip
    """Features of images.

    Parameters
    ----------
    encoder : weights or a module, as :func:`starloom.galaxies.finetune.fit` takes them.
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
    made = chosen_encoder(encoder, channels_of(encoder, form, source), generator(1))
    form = form or form_of(source, made.channels)
    if not 1 <= views <= 8:
        raise ConfigError(f"views from 1 to 8, not {views}")
    result = np.full((len(source), made.out_features), np.nan, dtype=np.float32)
    with progress.bar(label, len(source), "images") as advance:
        for found in embedded_batches(made, source, form, views=range(views), workers=workers, device=device):
            usable = np.array([not reason for reason in found.reasons])
            result[found.rows[usable]] = found.features.mean(dim=0).numpy()[usable]
            advance(len(found.rows))
    return result
