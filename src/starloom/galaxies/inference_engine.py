"""An encoder over many images: read and computed in threads, batch by batch, in order; memory does not grow."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from starloom.galaxies.augmentation import symmetries
from starloom.galaxies.image_encoder import ImageEncoder
from starloom.galaxies.image_sources import ImageSource, usable_cores
from starloom.galaxies.images import ImageForm
from starloom.neural.training import one_thread

BATCH = 64
CACHED = 64 * 64 * 64
"""Pixels of images computed at once: more of them do not fit into a core's cache (40 % slower at 224 pixels)."""


@dataclass(frozen=True)
class Embedded:
    """Features of one batch.

    Parameters
    ----------
    rows : numbers of the images.
    features : (views, images, features); zeros for images that cannot be used.
    reasons : why an image cannot be used; empty where it can.
    remarks : what had to be done to it.
    """

    rows: NDArray[np.int64]
    features: Tensor
    reasons: list[str]
    remarks: list[str]


def embedded_batches(
    encoder: ImageEncoder, source: ImageSource, form: ImageForm, *, views: Sequence[int] = (0,),
    workers: int | None = None, batch: int = BATCH, first: int = 0, device: str = "cpu",
) -> Iterator[Embedded]:  # fmt: skip
    """Features of all images, a batch at a time.

    Parameters
    ----------
    encoder : in evaluation mode after the call.
    source, form : the images.
    views : which of the eight symmetric views are embedded; see :func:`starloom.galaxies.augmentation.symmetries`.
    workers : threads; each reads and computes whole batches, so that the result does not depend on their number.
    batch : images at a time.
    first : number of the image to begin with.
    device : ``cpu`` or ``cuda``.
    """
    place = torch.device(device)
    ready = prepared(encoder.to(place))
    count = max(1, workers or usable_cores())
    at_once = batch if place.type != "cpu" else min(batch, max(8, CACHED // form.size**2))

    def work(rows: NDArray[np.int64]) -> Embedded:
        pixels, reasons, remarks = source.read(rows, form)
        images = torch.from_numpy(pixels).to(place)
        with torch.no_grad():
            features = torch.stack([
                torch.cat([ready(some).float().cpu() for some in torch.split(symmetries(images, view), at_once)])
                for view in views
            ])  # fmt: skip
        unusable = torch.tensor([bool(reason) for reason in reasons])
        features[:, unusable] = 0.0
        return Embedded(rows, features, reasons, remarks)

    parts = [np.arange(start, min(start + batch, len(source))) for start in range(first, len(source), batch)]
    with one_thread(), ThreadPoolExecutor(count) as pool:
        waiting: list[Future[Embedded]] = [pool.submit(work, rows) for rows in parts[: 2 * count]]
        for place_of_next in range(2 * count, len(parts) + 2 * count):
            if not waiting:
                return
            found = waiting.pop(0).result()
            if place_of_next < len(parts):
                waiting.append(pool.submit(work, parts[place_of_next]))
            yield found


def prepared(encoder: ImageEncoder) -> ImageEncoder:
    """The encoder in evaluation mode, a copy with batch norms put into the convolutions before them where there are."""
    encoder.eval()
    if not any(isinstance(module, nn.BatchNorm2d) for module in encoder.modules()):
        return encoder
    return _fused(encoder)


def _fused(encoder: ImageEncoder) -> ImageEncoder:
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    made = copy.deepcopy(encoder).eval()
    for module in list(made.modules()):
        for convolution, norm in getattr(module, "followed_by_norm", ()):
            before, after = getattr(module, convolution, None), getattr(module, norm, None)
            if isinstance(before, nn.Conv2d) and isinstance(after, nn.BatchNorm2d):
                setattr(module, convolution, fuse_conv_bn_eval(before, after))
                setattr(module, norm, nn.Identity())
    return made
