"""Images of made galaxies: bulge, disk, arms, bar, ring, clumps, tails and neighbors, seen through a telescope.

Each galaxy is a row of numbers (:mod:`starloom.galaxies.mock_population`); the image is the sum of its parts in three
bands, blurred by the point spread function, with the noise of sky and photons, and stretched as SDSS does for its
color pictures (Lupton et al. 2004, PASP 116, 133). Lengths are in half widths of the image, so that the same galaxy can
be drawn at any size; the noise is that of the same exposure, whatever the size of the pixels.

>>> from starloom.galaxies.mock_population import draw
>>> images = render(draw(3, seed=1), size=32)
>>> images.shape, images.dtype.name
((3, 32, 32, 3), 'uint8')
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from starloom.errors import CatalogError, ConfigError, MissingColumnError
from starloom.threads import in_blocks

if TYPE_CHECKING:
    from astropy.table import QTable

Array = NDArray[np.float64]
PARAMETERS = (
    "flux", "psf_fwhm", "noise_smoothing", "position_angle", "disk_scale", "axis_ratio",
    "bulge_fraction", "bulge_radius", "bulge_sersic", "bulge_axis_ratio", "boxiness",
    "arm_strength", "arm_count", "arm_pitch", "arm_phase", "flocculence", "handedness",
    "bar_strength", "bar_length", "bar_angle", "ring_strength", "ring_radius", "clumps", "dust_lane", "lopsidedness",
    "tail", "tail_angle", "tail_opening", "stream", "stream_angle", "stream_distance", "shell", "shell_angle",
    "shell_radius", "plume", "plume_angle",
    "companion_flux", "companion_x", "companion_y", "companion_scale", "companion_axis_ratio", "companion_angle",
    "lens_arc", "lens_radius", "lens_angle", "old_color", "young_color", "neighbors", "star_flux", "trail",
)  # fmt: skip
"""Columns of a table of made galaxies that the renderer reads, in the order of its compiled kernel."""

REFERENCE_SIZE = 64  # pixels across, for which ``flux`` is in units of the noise of the sky in one pixel
SOFTENING, STRETCH = 8.0, 40.0  # of the color picture: Q, and its linear part in units of the noise of the sky
PHOTONS = 0.03  # variance of a source's photons over that of the sky, per unit of signal over noise
SMALLEST, LARGEST = 8, 1024  # pixels across
BLOCK = 64  # galaxies a thread takes at a time


@cache
def kernels() -> tuple[Any, Any, Any]:
    """Compiled: pictures of rows of parameters; the light of one galaxy before any blur; a blur."""
    import numba

    (
        FLUX, PSF, SMOOTHING, ANGLE, SCALE, RATIO,
        BULGE, BULGE_RADIUS, SERSIC, BULGE_RATIO, BOXY,
        ARMS, COUNT, PITCH, PHASE, FLOCCULENT, HAND,
        BAR, BAR_LENGTH, BAR_ANGLE, RING, RING_RADIUS, CLUMPS, DUST, LOPSIDED,
        TAIL, TAIL_ANGLE, TAIL_OPENING, STREAM, STREAM_ANGLE, STREAM_DISTANCE, SHELL, SHELL_ANGLE,
        SHELL_RADIUS, PLUME, PLUME_ANGLE,
        MATE, MATE_X, MATE_Y, MATE_SCALE, MATE_RATIO, MATE_ANGLE,
        LENS, LENS_RADIUS, LENS_ANGLE, OLD, YOUNG, NEIGHBORS, STAR, TRAIL,
    ) = range(len(PARAMETERS))  # fmt: skip
    jit = numba.njit(nogil=True, error_model="numpy", cache=True)

    @jit
    def uniform(key: np.uint64, k: int) -> float:  # splitmix64: any number of the sequence without the ones before
        z = key + np.uint64(k + 1) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return float((z ^ (z >> np.uint64(31))) >> np.uint64(11)) * (1.0 / 9007199254740992.0)

    @jit
    def sersic_norm(n: float, radius: float, ratio: float) -> float:  # total flux over the value at the center
        b = 2.0 * n - 1.0 / 3.0 + 0.009876 / n
        unit: float = b ** (-2.0 * n) * math.gamma(2.0 * n)
        return 2.0 * math.pi * n * radius * radius * ratio * unit

    @jit
    def add(image: Array, row: int, column: int, value: float, g: float, i: float) -> None:
        image[0, row, column] += g * value
        image[1, row, column] += value
        image[2, row, column] += i * value

    @jit
    def galaxy(p: Array, key: np.uint64, image: Array) -> None:
        size = image.shape[1]
        pixel = 2.0 / size
        area = pixel * pixel
        cosine, sine = math.cos(p[ANGLE]), math.sin(p[ANGLE])
        soft = (0.3 * pixel) ** 2
        old_g, old_i = 0.52 * p[OLD], 1.42 / p[OLD]
        young_g, young_i = 0.95 * p[YOUNG], 1.02 / p[YOUNG]
        mid_g, mid_i = 0.45 * old_g + 0.55 * young_g, 0.45 * old_i + 0.55 * young_i
        disk_flux = p[FLUX] * (1.0 - p[BULGE])
        smooth_flux = disk_flux * (1.0 - p[BAR] - p[RING])
        ratio, scale = p[RATIO], p[SCALE]
        disk = smooth_flux * area / (2.0 * math.pi * scale * scale * ratio)
        n = p[SERSIC]
        b_n = 2.0 * n - 1.0 / 3.0 + 0.009876 / n
        bulge = p[FLUX] * p[BULGE] * area / sersic_norm(n, p[BULGE_RADIUS], p[BULGE_RATIO])
        length, width = p[BAR_LENGTH], 0.30 * p[BAR_LENGTH]
        bar = disk_flux * p[BAR] * area / (5.404 * length * width * ratio)
        bar_cos, bar_sin = math.cos(p[BAR_ANGLE]), math.sin(p[BAR_ANGLE])
        ring_width = 0.13 * p[RING_RADIUS]
        ring = disk_flux * p[RING] * area / (2.0 * math.pi * p[RING_RADIUS] * ring_width * 2.5066 * ratio)
        tangent = math.tan(p[PITCH])
        inner = max(0.8 * scale, length if p[BAR] > 0.03 else 0.0)
        mate = p[FLUX] * p[MATE] * area / (2.0 * math.pi * p[MATE_SCALE] ** 2 * p[MATE_RATIO])
        mate_cos, mate_sin = math.cos(p[MATE_ANGLE]), math.sin(p[MATE_ANGLE])
        faint = (REFERENCE_SIZE / size) ** 2  # surface brightness in units of the sky's noise in a reference pixel
        lens_x, lens_y = math.cos(p[LENS_ANGLE]), math.sin(p[LENS_ANGLE])
        waves = (uniform(key, 1) * 6.2832, uniform(key, 2) * 6.2832, uniform(key, 3) * 6.2832)
        for row in range(size):
            for column in range(size):
                x, y = (column + 0.5) * pixel - 1.0, 1.0 - (row + 0.5) * pixel
                u, v = cosine * x + sine * y, -sine * x + cosine * y
                w = v / ratio
                r = math.sqrt(u * u + w * w + soft)
                sky_r = math.sqrt(x * x + y * y + soft)
                theta = math.atan2(w, u)
                # the bulge; a positive boxiness gives straight sides
                power = 2.0 + p[BOXY]
                e = (abs(u) ** power + abs(v / p[BULGE_RATIO]) ** power) ** (2.0 / power)
                value = bulge * math.exp(-b_n * (math.sqrt(e + soft) / p[BULGE_RADIUS]) ** (1.0 / n))
                add(image, row, column, value, old_g, old_i)
                if disk_flux > 0.0:
                    value = (
                        disk * math.exp(-r / scale) * (1.0 + p[LOPSIDED] * min(r / (3 * scale), 1.0) * math.cos(theta))
                    )
                    arm = 0.0
                    if p[ARMS] > 0.0:
                        ragged = p[FLOCCULENT] * (
                            math.sin(5.0 * theta + 9.0 * math.log(r / scale) + waves[0])
                            + math.sin(3.0 * theta - 13.0 * math.log(r / scale) + waves[1])
                        )
                        phase = p[COUNT] * (p[HAND] * theta - math.log(r / scale) / tangent - p[PHASE]) + ragged
                        start = min(max((r / inner - 0.55) / 0.5, 0.0), 1.0)
                        arm = p[ARMS] * start * math.exp(2.2 * (math.cos(phase) - 1.0))
                        value *= 1.0 - 0.55 * p[ARMS] * start
                    if p[DUST] > 0.0 and ratio < 0.4:
                        value *= 1.0 - p[DUST] * math.exp(-0.5 * ((v - 0.05 * scale) / (0.35 * ratio * scale)) ** 2)
                    add(image, row, column, value, mid_g, mid_i)
                    if arm > 0.0:
                        add(image, row, column, 2.4 * arm * value, young_g, young_i)
                    if p[BAR] > 0.0:
                        a = (bar_cos * u + bar_sin * w) / length
                        c = (-bar_sin * u + bar_cos * w) / width
                        add(image, row, column, bar * math.exp(-0.5 * (a**4 + c * c)), old_g, old_i)
                    if p[RING] > 0.0:
                        value = ring * math.exp(-0.5 * ((r - p[RING_RADIUS]) / ring_width) ** 2)
                        value *= 1.0 + 0.3 * math.sin(2.0 * theta + waves[2])
                        add(image, row, column, value, young_g, young_i)
                if p[MATE] > 0.0:
                    a, c = x - p[MATE_X], y - p[MATE_Y]
                    d = mate_cos * a + mate_sin * c
                    c = (-mate_sin * a + mate_cos * c) / p[MATE_RATIO]
                    value = mate * math.exp(-math.sqrt(d * d + c * c + soft) / p[MATE_SCALE])
                    add(image, row, column, value, mid_g, mid_i)
                value = 0.0
                if p[TAIL] > 0.0:  # two arcs that open outwards, the second one shorter and fainter
                    for side in range(2):
                        turn = (p[HAND] * math.atan2(y, x) - p[TAIL_ANGLE] - math.pi * side) % (2.0 * math.pi)
                        away = sky_r - 1.7 * scale * math.exp(p[TAIL_OPENING] * turn)
                        fade = math.exp(-turn / (1.3 - 0.6 * side)) * (1.0 - 0.4 * side)
                        value += p[TAIL] * fade * math.exp(-0.5 * (away / 0.055) ** 2)
                if p[STREAM] > 0.0:
                    a, c = math.cos(p[STREAM_ANGLE]), math.sin(p[STREAM_ANGLE])
                    away = -c * x + a * y - p[STREAM_DISTANCE] - 0.25 * (a * x + c * y) ** 2
                    value += p[STREAM] * math.exp(-0.5 * (away / 0.035) ** 2 - 0.5 * ((a * x + c * y) / 0.6) ** 2)
                if p[SHELL] > 0.0:  # sharp outer edges, in turn on both sides
                    turn = math.cos(math.atan2(y, x) - p[SHELL_ANGLE])
                    for k in range(3):
                        edge = p[SHELL_RADIUS] * (1.0 + 0.33 * k)
                        toward = turn if k % 2 == 0 else -turn
                        if toward > 0.55 and sky_r < edge:
                            value += p[SHELL] * math.exp((sky_r - edge) / 0.07) * min((toward - 0.55) / 0.15, 1.0)
                if p[PLUME] > 0.0:
                    a, c = x - 0.45 * math.cos(p[PLUME_ANGLE]), y - 0.45 * math.sin(p[PLUME_ANGLE])
                    value += p[PLUME] * math.exp(-0.5 * (a * a + c * c) / 0.19**2)
                if value > 0.0:
                    add(image, row, column, value * faint, mid_g, mid_i)
                if p[LENS] > 0.0:  # an arc of a blue source, and its small counterpart
                    across, along = lens_x * y - lens_y * x, lens_x * x + lens_y * y
                    bend = math.atan2(across, along)
                    thick = math.exp(-0.5 * ((sky_r - p[LENS_RADIUS]) / 0.028) ** 2)
                    value = p[LENS] * thick * (math.exp(-0.5 * (bend / 0.55) ** 2))
                    far = math.atan2(-across, -along)
                    value += 0.5 * p[LENS] * thick * math.exp(-0.5 * (far / 0.18) ** 2)
                    add(image, row, column, value * faint, 1.15, 0.75)
                if p[TRAIL] > 0.0:
                    away = bar_cos * y - bar_sin * x
                    add(image, row, column, p[TRAIL] * faint * math.exp(-0.5 * (away / 0.02) ** 2), 1.0, 1.0)
        # knots of young stars in the disk
        if p[CLUMPS] > 0.0 and disk_flux > 0.0:
            knots = 3 + int(9 * uniform(key, 10))
            for k in range(knots):
                r = scale * (0.5 + 2.3 * uniform(key, 20 + k))
                theta = 6.2832 * uniform(key, 60 + k)
                u, v = r * math.cos(theta), ratio * r * math.sin(theta)
                blob(image, cosine * u - sine * v, sine * u + cosine * v, 0.03 + 0.02 * uniform(key, 80 + k),
                     disk_flux * p[CLUMPS] * (0.4 + 1.2 * uniform(key, 100 + k)) / knots, 1.0, 0.95)  # fmt: skip
        # what happens to lie on the same piece of sky: small galaxies and stars
        for k in range(int(p[NEIGHBORS])):
            r, theta = 0.5 + 0.75 * math.sqrt(uniform(key, 200 + k)), 6.2832 * uniform(key, 230 + k)
            bright = 10.0 ** (1.8 + 1.6 * uniform(key, 260 + k))
            wide = 0.005 if uniform(key, 290 + k) < 0.5 else 0.03 + 0.05 * uniform(key, 320 + k)
            red = uniform(key, 350 + k)
            blob(image, r * math.cos(theta), r * math.sin(theta), wide, bright, 0.4 + 0.9 * red, 1.6 - 0.8 * red)
        if p[STAR] > 0.0:  # a bright star with the spikes of the telescope
            for row in range(size):
                for column in range(size):
                    x, y = (column + 0.5) * pixel - 1.0, 1.0 - (row + 0.5) * pixel
                    d = math.sqrt(x * x + y * y + soft)
                    value = math.exp(-0.5 * (d / 0.06) ** 2) / (2.0 * math.pi * 0.06**2) + 0.05 / (d + 0.05) ** 2.5
                    spike = math.exp(-abs(x) / 0.015 - abs(y) / 0.25) + math.exp(-abs(y) / 0.015 - abs(x) / 0.25)
                    add(image, row, column, p[STAR] * area * (value + 8.0 * spike), 0.8, 1.2)

    @jit
    def blob(image: Array, x: float, y: float, width: float, flux: float, g: float, i: float) -> None:
        size = image.shape[1]
        pixel = 2.0 / size
        sigma = math.sqrt(width * width + (0.45 * pixel) ** 2)
        reach = int(3.5 * sigma / pixel) + 1
        column, row = int((x + 1.0) / pixel), int((1.0 - y) / pixel)
        for k in range(max(row - reach, 0), min(row + reach + 1, size)):
            for m in range(max(column - reach, 0), min(column + reach + 1, size)):
                a, c = (m + 0.5) * pixel - 1.0 - x, 1.0 - (k + 0.5) * pixel - y
                value = flux * pixel * pixel * math.exp(-0.5 * (a * a + c * c) / sigma**2) / (2 * math.pi * sigma**2)
                add(image, k, m, value, g, i)

    @jit
    def blur(image: Array, sigma: float, scratch: Array, out: Array, weight: float) -> None:
        """Add ``weight`` times the image blurred by a Gaussian to ``out``; the edge is repeated."""
        size = image.shape[1]
        reach = min(max(int(3.5 * sigma + 0.5), 1), size - 1)
        kernel = np.empty(reach + 1)
        for k in range(reach + 1):  # integrated over the pixel, so that a narrow one loses nothing
            kernel[k] = 0.5 * (math.erf((k + 0.5) / (sigma * 1.41421356)) - math.erf((k - 0.5) / (sigma * 1.41421356)))
        kernel /= kernel[0] + 2.0 * kernel[1:].sum()
        for band in range(image.shape[0]):
            for row in range(size):
                for column in range(size):
                    total = kernel[0] * image[band, row, column]
                    for k in range(1, reach + 1):
                        total += kernel[k] * (
                            image[band, row, max(column - k, 0)] + image[band, row, min(column + k, size - 1)]
                        )
                    scratch[row, column] = total
            for row in range(size):
                for column in range(size):
                    out[band, row, column] += weight * kernel[0] * scratch[row, column]
                for k in range(1, reach + 1):
                    low, high = max(row - k, 0), min(row + k, size - 1)
                    for column in range(size):
                        out[band, row, column] += weight * kernel[k] * (scratch[low, column] + scratch[high, column])

    @jit
    def grain(key: np.uint64, band: int, size: int, smoothing: float, out: Array, scratch: Array) -> None:
        """White noise of unit variance, drawn for each pixel, then smoothed over its neighbors."""
        for k in range(0, size * size, 2):
            number = 1000 + band * (size * size + 2) + k
            radius = math.sqrt(-2.0 * math.log(1.0 - uniform(key, number)))
            turn = 6.283185307179586 * uniform(key, number + 1)
            out[k // size, k % size] = radius * math.cos(turn)
            if k + 1 < size * size:
                out[(k + 1) // size, (k + 1) % size] = radius * math.sin(turn)
        if smoothing > 0.0:
            side = smoothing / (1.0 + 2.0 * smoothing)
            middle = 1.0 - 2.0 * side
            norm = 1.0 / math.sqrt(middle * middle + 2.0 * side * side)
            for row in range(size):
                for column in range(size):
                    left, right = out[row, max(column - 1, 0)], out[row, min(column + 1, size - 1)]
                    scratch[row, column] = norm * (middle * out[row, column] + side * (left + right))
            for row in range(size):
                for column in range(size):
                    above, below = scratch[max(row - 1, 0), column], scratch[min(row + 1, size - 1), column]
                    out[row, column] = norm * (middle * scratch[row, column] + side * (above + below))

    @jit
    def draw_all(rows: Array, keys: NDArray[np.uint64], size: int, pictures: NDArray[np.uint8], bands: Array) -> None:
        sharp, image = np.empty((3, size, size)), np.empty((3, size, size))
        scratch, noise = np.empty((size, size)), np.empty((size, size))
        sky = REFERENCE_SIZE / size  # noise of the sky in one pixel: it goes with the root of the area
        faint = sky * sky
        for n in range(rows.shape[0]):
            p = rows[n]
            sharp[:] = 0.0
            image[:] = 0.0
            galaxy(p, keys[n], sharp)
            sigma = 0.5 * p[PSF] * size / 2.35482
            blur(sharp, max(sigma, 0.3), scratch, image, 0.85)  # a core and wings: nearly Moffat, and separable
            blur(sharp, max(2.1 * sigma, 0.3), scratch, image, 0.15)
            for band in range(3):
                grain(keys[n], band, size, p[SMOOTHING], noise, scratch)
                for row in range(size):
                    for column in range(size):
                        value = image[band, row, column]
                        deviation = math.sqrt(sky * sky + PHOTONS * max(value, 0.0))
                        image[band, row, column] = value + deviation * noise[row, column]
            if bands.shape[0] > 0:
                bands[n] = image
            for row in range(size):
                for column in range(size):
                    blue, green = 1.25 * image[0, row, column] / faint, image[1, row, column] / faint
                    red = 0.78 * image[2, row, column] / faint
                    mean = (blue + green + red) / 3.0
                    if mean <= 0.0:
                        factor = 1.0 / STRETCH  # the linear part: dark pixels stay a little noisy
                    else:
                        factor = math.asinh(SOFTENING * mean / STRETCH) / (SOFTENING * mean)
                    top = max(red, green, blue) * factor
                    if top > 1.0:
                        factor /= top  # keeps the color of what is too bright
                    pictures[n, row, column, 0] = np.uint8(min(max(255.0 * (red * factor + 0.02), 0.0), 255.0))
                    pictures[n, row, column, 1] = np.uint8(min(max(255.0 * (green * factor + 0.02), 0.0), 255.0))
                    pictures[n, row, column, 2] = np.uint8(min(max(255.0 * (blue * factor + 0.02), 0.0), 255.0))

    return draw_all, galaxy, blur


def parameter_rows(galaxies: QTable) -> Array:
    """The parameters as an array, shape (n, parameters), checked."""
    missing = [name for name in PARAMETERS if name not in galaxies.colnames]
    if missing:
        raise MissingColumnError(
            f"a table of made galaxies lacks {', '.join(missing[:4])}{' ...' if len(missing) > 4 else ''}; "
            "mock_population.draw makes one with every column"
        )
    rows = np.column_stack([np.asarray(galaxies[name], dtype=np.float64) for name in PARAMETERS])
    wrong = ~np.isfinite(rows)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise CatalogError(f"row {row} has no number in {PARAMETERS[column]!r}; every parameter has to be finite")
    positive = ("psf_fwhm", "disk_scale", "axis_ratio", "bulge_radius", "bulge_sersic", "bulge_axis_ratio",
                "bar_length", "ring_radius", "companion_scale", "companion_axis_ratio", "old_color", "young_color",
                "arm_pitch")  # fmt: skip
    for name in positive:
        if (low := np.flatnonzero(rows[:, PARAMETERS.index(name)] <= 0)).size:
            raise CatalogError(f"row {low[0]}: {name} has to be positive")
    return rows


def _render(galaxies: QTable, size: int, threads: int | None, keep_bands: bool) -> tuple[NDArray[np.uint8], Array]:
    if not SMALLEST <= size <= LARGEST:
        raise ConfigError(f"an image has {SMALLEST} to {LARGEST} pixels across, got {size}")
    rows = parameter_rows(galaxies)
    keys = np.asarray(galaxies["image_key"]).astype(np.uint64)
    count = len(rows)
    pictures = np.empty((count, size, size, 3), dtype=np.uint8)
    bands = np.empty((count if keep_bands else 0, 3, size, size))
    kernel = kernels()[0]

    def work(part: slice) -> None:
        kernel(rows[part], keys[part], size, pictures[part], bands[part])

    in_blocks(work, count, threads, BLOCK)
    return pictures, bands


def render(galaxies: QTable, size: int = REFERENCE_SIZE, *, threads: int | None = None) -> NDArray[np.uint8]:
    """Color pictures of made galaxies, red, green and blue from i, r and g.

    Parameters
    ----------
    galaxies : table of n rows with the columns ``PARAMETERS`` and ``image_key``.
    size : pixels across.
    threads : all cores by default; the pictures do not depend on it.

    Returns
    -------
    array, shape (n, size, size, 3), uint8

    Raises
    ------
    CatalogError
        When a column is missing or holds a number that is not finite or out of its range.
    ConfigError
        For a size out of range.
    """
    return _render(galaxies, size, threads, False)[0]


def render_bands(galaxies: QTable, size: int = REFERENCE_SIZE, *, threads: int | None = None) -> Array:
    """Fluxes in g, r and i with noise, before the stretch, in units of the sky's noise in a reference pixel.

    Parameters and errors are those of :func:`render`.

    Returns
    -------
    array, shape (n, 3, size, size)
    """
    return _render(galaxies, size, threads, True)[1]
