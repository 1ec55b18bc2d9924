"""How well each feature of a made galaxy shows in its picture: what a volunteer could see of it, and no more.

Volunteers and networks look at the same picture. Whether arms are seen depends on what blur, noise and the galaxy's own
light leave of them, so it is measured there: the galaxy is drawn with the feature and without, blurred by the same
point spread function but without noise, and the difference D is compared with the noise of sky and photons sigma and
with the least contrast that an eye notices on light M (Weber's law, a share w of it):

    S^2 = sum over the pixels of D^2 / (sigma^2 + (w M)^2) / pixels of a resolution element.

Of features that move light about in the disk (arms, bars, rings) D is first freed of what is smooth on the scale of the
disk as it is seen, inclined: light that blur or inclination has spread evenly is part of a smooth galaxy. A feature
with S = 10 is noticed by every second volunteer: pictures sorted by S show that an eye, which is no matched filter,
needs more than five sigma.

>>> from starloom.galaxies.mock_population import draw
>>> galaxies = draw(2, seed=1)
>>> galaxies["disk_scale"], galaxies["axis_ratio"], galaxies["bulge_fraction"] = 0.2, 0.9, 0.1
>>> galaxies["arm_strength"], galaxies["psf_fwhm"] = 0.9, [0.04, 0.8]
>>> sharp, blurred = significances(galaxies)["arms"]
>>> bool(sharp > 10 > 1 > blurred)
True
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from starloom.galaxies.mock_images import (
    BLOCK,
    PARAMETERS,
    PHOTONS,
    REFERENCE_SIZE,
    kernels,
    parameter_rows,
)
from starloom.threads import in_blocks

if TYPE_CHECKING:
    from astropy.table import QTable

Array = NDArray[np.float64]
FEATURES: dict[str, tuple[tuple[str, ...], bool]] = {
    "arms": (("arm_strength",), True),
    "bar": (("bar_strength",), True),
    "ring": (("ring_strength",), True),
    "boxy": (("boxiness",), False),
    "clumps": (("clumps",), False),
    "companion": (("companion_flux",), False),
    "tidal": (("tail", "stream", "shell", "plume"), False),
}
"""Feature -> the parameters that are 0 without it, and whether its smooth part is taken off."""
CONTRAST = 0.1  # w: the least contrast that is noticed
NOTICED, SPREAD = 10.0, 0.5  # S that half of the volunteers notice, and the logarithmic width about it
BANDS = (1.25 / 3, 1.0 / 3, 0.78 / 3)  # brightness of the color picture from g, r and i


@cache
def _kernel() -> Any:
    import math

    import numba

    _, galaxy, blur = kernels()
    photons, reference, contrast, bands = PHOTONS, REFERENCE_SIZE, CONTRAST, BANDS
    of_psf, of_scale, of_ratio = (PARAMETERS.index(name) for name in ("psf_fwhm", "disk_scale", "axis_ratio"))

    @numba.njit(nogil=True, error_model="numpy", cache=True)
    def seen(p: Array, key: np.uint64, sharp: Array, one: Array, scratch: Array, out: Array) -> None:
        """The brightness of a galaxy behind the point spread function, without noise."""
        size = sharp.shape[1]
        sharp[:] = 0.0
        out[:] = 0.0
        galaxy(p, key, sharp)
        for row in range(size):
            for column in range(size):
                one[0, row, column] = (
                    bands[0] * sharp[0, row, column]
                    + bands[1] * sharp[1, row, column]
                    + bands[2] * sharp[2, row, column]
                )
        sigma = 0.5 * p[of_psf] * size / 2.35482
        blur(one, max(sigma, 0.3), scratch, out, 0.85)
        blur(one, max(2.1 * sigma, 0.3), scratch, out, 0.15)

    @numba.njit(nogil=True, error_model="numpy", cache=True)
    def measure(
        rows: Array, keys: NDArray[np.uint64], size: int, off: NDArray[np.bool_], smooth: NDArray[np.bool_], out: Array
    ) -> None:
        sharp, scratch = np.empty((3, size, size)), np.empty((size, size))
        one, whole, part = np.empty((1, size, size)), np.empty((1, size, size)), np.empty((1, size, size))
        sky = reference / size
        weight = math.sqrt(bands[0] ** 2 + bands[1] ** 2 + bands[2] ** 2)
        for n in range(rows.shape[0]):
            drawn = False
            for feature in range(off.shape[0]):
                p = rows[n].copy()
                there = False
                for k in range(p.shape[0]):
                    if off[feature, k] and p[k] != 0.0:
                        p[k] = 0.0
                        there = True
                if not there:
                    continue
                if not drawn:
                    seen(rows[n], keys[n], sharp, one, scratch, whole)
                    drawn = True
                seen(p, keys[n], sharp, one, scratch, part)
                for row in range(size):
                    for column in range(size):
                        part[0, row, column] = whole[0, row, column] - part[0, row, column]
                if smooth[feature]:
                    one[:] = part
                    blur(one, max(0.5 * p[of_scale] * p[of_ratio] * size, 0.3), scratch, part, -1.0)
                total = 0.0
                for row in range(size):
                    for column in range(size):
                        light = max(whole[0, row, column], 0.0)
                        noise = weight * weight * (sky * sky + photons * light)
                        total += part[0, row, column] ** 2 / (noise + (contrast * light) ** 2)
                sigma = 0.5 * p[of_psf] * size / 2.35482
                out[n, feature] = math.sqrt(total / max(4.0 * math.pi * sigma * sigma, 1.0))

    return measure


def significances(galaxies: QTable, size: int = REFERENCE_SIZE, *, threads: int | None = None) -> dict[str, Array]:
    """How significantly each feature shows, S as above; 0 where there is none.

    Parameters
    ----------
    galaxies : table of n rows that :func:`starloom.galaxies.mock_population.draw` made.
    size : pixels across the picture.
    threads : all cores by default; the values do not depend on it.

    Returns
    -------
    dict
        Name of each of ``FEATURES`` -> array, shape (n,).

    Raises
    ------
    CatalogError
        When a column is missing or holds a number that is not finite or out of its range.
    """
    rows, keys = parameter_rows(galaxies), np.asarray(galaxies["image_key"]).astype(np.uint64)
    off = np.array([[name in names for name in PARAMETERS] for names, _ in FEATURES.values()])
    smooth = np.array([taken for _, taken in FEATURES.values()])
    out = np.zeros((len(rows), len(FEATURES)))
    kernel = _kernel()

    def work(part: slice) -> None:
        kernel(rows[part], keys[part], size, off, smooth, out[part])

    in_blocks(work, len(rows), threads, BLOCK)
    return dict(zip(FEATURES, out.T, strict=True))


def noticed(significance: Array) -> Array:
    """Share of volunteers who notice a feature, between 0 and 1: a half at ``NOTICED``."""
    logarithm = np.log(np.maximum(significance, 1e-3) / NOTICED) / SPREAD
    return np.asarray(np.where(significance > 0, 1.0 / (1.0 + np.exp(-np.clip(logarithm, -40.0, 40.0))), 0.0))
