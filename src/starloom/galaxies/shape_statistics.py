"""Twenty-six numbers about the shape and color of a galaxy's picture, as one would make them by hand.

They are the rival of an encoder, and what one would try first: a profile of light, asymmetries, colors inside and
outside, and the statistics of Conselice (2003, ApJS 147, 1) and Lotz et al. (2004, AJ 128, 163), taken from stretched
color pictures and not from fluxes: they rank galaxies, they do not measure them.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from starloom.galaxies.vote_training import check_pictures

Array = NDArray[np.float64]
RINGS = np.array([0.0, 0.06, 0.12, 0.19, 0.27, 0.36, 0.47, 0.6, 0.8])  # in half widths of the picture
NAMES = (
    *(f"light_{k}" for k in range(len(RINGS) - 1)),
    "asymmetry_red", "asymmetry_green", "asymmetry_blue", "asymmetry_quarter",
    "red_minus_green_inside", "green_minus_blue_inside", "red_minus_green_outside", "green_minus_blue_outside",
    "scatter_red_minus_green", "scatter_green_minus_blue",
    "concentration", "gini", "m20", "clumpiness", "axis_ratio", "bright_area", "faint_area", "total",
)  # fmt: skip


def _blurred(values: Array) -> Array:
    """Mean over 3 x 3 pixels of each picture, the edge repeated."""
    wide = np.pad(values, ((0, 0), (1, 1), (1, 1)), mode="edge")
    size = values.shape[1]
    parts = [wide[:, a : a + size, b : b + size] for a in range(3) for b in range(3)]
    return np.asarray(np.mean(parts, axis=0))


def shape_statistics(pictures: NDArray[np.uint8]) -> Array:
    """The numbers of each picture.

    Parameters
    ----------
    pictures : (n, size, size, 3), uint8, the galaxy in the middle.

    Returns
    -------
    array, shape (n, 26), in the order of ``NAMES``; every number is finite.

    Examples
    --------
    >>> shape_statistics(np.zeros((2, 16, 16, 3), dtype=np.uint8)).shape
    (2, 26)
    """
    values = check_pictures(pictures).astype(np.float64) / 255.0
    n, size = values.shape[0], values.shape[1]
    light = values.mean(axis=3)
    border = np.concatenate([light[:, 0], light[:, -1], light[:, :, 0], light[:, :, -1]], axis=1)
    light = light - np.median(border, axis=1)[:, None, None]
    axis = (np.arange(size) + 0.5) * 2.0 / size - 1.0
    radius = np.hypot(axis[:, None], axis[None, :])
    inside = radius < RINGS[-1]
    rings = [(radius >= low) & (radius < high) for low, high in itertools.pairwise(RINGS)]
    profile = np.column_stack([light[:, ring].mean(axis=1) if ring.any() else np.zeros(n) for ring in rings])
    total = np.maximum(np.where(inside, light, 0.0).sum(axis=(1, 2)), 1e-3)

    def asymmetry(plane: Array, turned: Array) -> Array:
        return np.asarray(
            (np.abs(plane - turned) * inside).sum(axis=(1, 2)) / (np.abs(plane) * inside).sum(axis=(1, 2)).clip(1e-3)
        )

    colors = values - np.median(values.reshape(n, -1, 3), axis=1)[:, None, None, :]
    found = [asymmetry(colors[..., band], colors[:, ::-1, ::-1, band]) for band in range(3)]
    found.append(asymmetry(light, np.rot90(light, axes=(1, 2))))
    core, halo = radius < 0.2, (radius >= 0.25) & (radius < 0.6)
    differences = values[..., 0] - values[..., 1], values[..., 1] - values[..., 2]
    for part in (core, halo):
        found += [difference[:, part].mean(axis=1) for difference in differences]
    bright = light > 0.25 * light.max(axis=(1, 2))[:, None, None].clip(1e-3)
    for difference in differences:
        mean = (difference * bright).sum(axis=(1, 2)) / bright.sum(axis=(1, 2)).clip(1)
        square = (difference**2 * bright).sum(axis=(1, 2)) / bright.sum(axis=(1, 2)).clip(1)
        found.append(np.sqrt(np.maximum(square - mean**2, 0.0)))
    found += _lotz(light, radius, inside, total)
    residual = np.abs(light - _blurred(light))
    found.append((residual * inside).sum(axis=(1, 2)) / total)
    found.append(_axis_ratio(np.where(inside, light, 0.0).clip(0.0), axis))
    found += [bright.mean(axis=(1, 2)), (light > 0.06).mean(axis=(1, 2)), total / size**2]
    return np.asarray(np.nan_to_num(np.column_stack([profile, *found])))


def _lotz(light: Array, radius: Array, inside: NDArray[np.bool_], total: Array) -> list[Array]:
    """Concentration, Gini and M20 of each picture."""
    order = np.argsort(radius[inside])
    growth = np.cumsum(light[:, inside][:, order].clip(0.0), axis=1)
    growth /= growth[:, -1:].clip(1e-6)
    sorted_radius = radius[inside][order]
    half, most = (sorted_radius[np.argmax(growth >= share, axis=1)] for share in (0.2, 0.8))
    concentration = 5.0 * np.log10(most.clip(1e-3) / half.clip(1e-2))
    ranked = np.sort(np.abs(light[:, inside]), axis=1)
    k = np.arange(1, ranked.shape[1] + 1)
    gini = (ranked * (2 * k - len(k) - 1)).sum(axis=1) / (ranked.mean(axis=1) * len(k) * (len(k) - 1)).clip(1e-6)
    flux = light[:, inside].clip(0.0)
    moment = flux * radius[inside] ** 2
    brightest = np.argsort(-flux, axis=1, kind="stable")
    share = np.cumsum(np.take_along_axis(flux, brightest, axis=1), axis=1) / flux.sum(axis=1, keepdims=True).clip(1e-6)
    m20 = (np.take_along_axis(moment, brightest, axis=1) * (share <= 0.2)).sum(axis=1) / moment.sum(axis=1).clip(1e-6)
    return [concentration, gini, np.log10(m20.clip(1e-4))]


def _axis_ratio(light: Array, axis: Array) -> Array:
    whole = light.sum(axis=(1, 2)).clip(1e-6)
    x = (light * axis[None, None, :]).sum(axis=(1, 2)) / whole
    y = (light * axis[None, :, None]).sum(axis=(1, 2)) / whole
    xx = (light * axis[None, None, :] ** 2).sum(axis=(1, 2)) / whole - x**2
    yy = (light * axis[None, :, None] ** 2).sum(axis=(1, 2)) / whole - y**2
    xy = (light * axis[None, None, :] * axis[None, :, None]).sum(axis=(1, 2)) / whole - x * y
    middle, reach = 0.5 * (xx + yy), np.hypot(0.5 * (xx - yy), xy)
    return np.asarray(np.sqrt(np.clip((middle - reach) / np.maximum(middle + reach, 1e-9), 0.0, 1.0)))
