"""Pictures of any source as one array of 8-bit numbers, for what works on all of them at once."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from starloom.errors import CatalogError
from starloom.galaxies.image_sources import ImageSource
from starloom.galaxies.images import ImageForm, read_image


def picture_array(
    source: ImageSource, size: int, *, crop: float = 1.0, threads: int | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.str_]]:
    """All pictures of a source, and why some could not be read.

    Parameters
    ----------
    source : see :func:`starloom.galaxies.image_sources.image_source`.
    size : pixels across.
    crop : the central share of each side that is kept.
    threads : that decode; all cores by default.

    Returns
    -------
    pictures : (n, size, size, 3), uint8; black where a picture could not be read.
    reasons : (n,), empty where it could.
    """
    form = ImageForm(size, 3, crop)
    pictures = np.zeros((len(source), size, size, 3), dtype=np.uint8)
    reasons = np.zeros(len(source), dtype="U160")

    def work(row: int) -> None:
        try:
            pixels, _ = read_image(source.items[row], form)
        except CatalogError as error:
            reasons[row] = str(error)
        else:
            pictures[row] = np.rint(255.0 * pixels.transpose(1, 2, 0)).astype(np.uint8)

    with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
        list(pool.map(work, range(len(source))))
    return pictures, reasons
