"""Images for training: all of them in memory where they fit, else read again in every pass."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from starloom.galaxies.image_sources import REASON_LENGTH, ImageSource, usable_cores
from starloom.galaxies.images import ImageForm

MEMORY = 3 * 2**30
"""Bytes of images that are kept."""


class ImageFeed:
    """Images by number, and why some cannot be used.

    Parameters
    ----------
    source : the images.
    form : what they are made into.
    memory : bytes of images that may be kept; beyond that they are read from their files in every pass.
    workers : threads that read.
    """

    def __init__(
        self, source: ImageSource, form: ImageForm, *, memory: int = MEMORY, workers: int | None = None
    ) -> None:
        self.source, self.form, self.workers = source, form, max(1, workers or usable_cores())
        self.reasons: NDArray[np.str_] = np.zeros(len(source), dtype=f"U{REASON_LENGTH}")
        self.remarks: NDArray[np.str_] = np.zeros(len(source), dtype="U80")
        self.pixels: NDArray[np.float16] | None = None
        if len(source) * form.channels * form.size**2 * 2 <= memory:
            self.pixels, self.reasons, self.remarks = source.read_all(form, workers=workers)

    def batches(self, parts: list[NDArray[np.int64]]) -> Iterator[tuple[Tensor, Tensor]]:
        """Images of lists of rows, one after the other, and whether each can be used."""
        if self.pixels is not None:
            for rows in parts:
                yield torch.from_numpy(self.pixels[rows].astype(np.float32)), torch.from_numpy(self.reasons[rows] == "")
            return
        with ThreadPoolExecutor(self.workers) as pool:
            waiting = [pool.submit(self.source.read, rows, self.form) for rows in parts[: self.workers + 1]]
            for place, rows in enumerate(parts):
                pixels, reasons, remarks = waiting.pop(0).result()
                if place + self.workers + 1 < len(parts):
                    waiting.append(pool.submit(self.source.read, parts[place + self.workers + 1], self.form))
                self.reasons[rows], self.remarks[rows] = reasons, remarks
                yield torch.from_numpy(pixels), torch.from_numpy(np.array([not reason for reason in reasons]))
