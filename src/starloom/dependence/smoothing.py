"""The density of pairs on a grid, by linear binning and one FFT, with a kernel that keeps normal margins normal.

Every row j, standardized, is spread as N(x; s X_j, h^2 R) with s^2 = 1 - h^2 and R the correlation matrix of the pairs:
the covariance of the whole stays what it was, and so does a normal pair. A plain kernel would widen it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

CELLS_PER_BANDWIDTH = 5.0
MOST_CELLS = 700  # on either side of zero
STRONGEST = 0.98  # correlation of the kernel at most, so that a perfectly dependent pair has a density too


def weighted_correlation(x: Floats, y: Floats, w: Floats) -> float:
    """Pearson's correlation of two columns, shapes (n,), with weights (n,)."""
    total = w.sum()
    dx, dy = x - (w @ x) / total, y - (w @ y) / total
    return float((w @ (dx * dy)) / np.sqrt((w @ dx**2) * (w @ dy**2)))


def smooth_pairs(
    x: Floats, y: Floats, w: Floats, h: float, rho: float, most: int = MOST_CELLS
) -> tuple[Floats, Floats]:
    """The density of standardized pairs on a square grid.

    Parameters
    ----------
    x, y : (n,) finite values of unit scale.
    w : (n,) weights.
    h : bandwidth in that scale, between 0 and 1.
    rho : correlation of the kernel.
    most : cells on either side of zero, at most.

    Returns
    -------
    grid, density
        (m,) places, the same for both columns, and (m, m) values of integral one, first index first column.
    """
    from scipy.fft import irfft2, next_fast_len, rfft2

    # the kernel's narrow axis decides how fine the grid is
    step = h * np.sqrt(1.0 - abs(rho)) / CELLS_PER_BANDWIDTH
    reach = max(4.2, float(np.abs(np.concatenate([x, y])).max()) + 2.0 * h) + 2.0 * h
    half = min(int(np.ceil(reach / step)), most)
    step = reach / half
    size = 2 * half + 1
    grid = step * np.arange(-half, half + 1)
    counts = np.zeros((size + 1) * (size + 1))
    shrink = np.sqrt(1.0 - h**2)
    places = [(shrink * part + reach) / step for part in (x, y)]
    i, j = (place.astype(np.int64) for place in places)
    a, b = places[0] - i, places[1] - j
    flat = i * (size + 1) + j
    for shift, part in ((0, (1 - a) * (1 - b)), (1, (1 - a) * b), (size + 1, a * (1 - b)), (size + 2, a * b)):
        counts += np.bincount(flat + shift, w * part, minlength=len(counts))
    binned = counts.reshape(size + 1, size + 1)[:size, :size] / (w.sum() * step**2)
    # sharing a row between neighbors widens it by step^2 / 6 on each axis (on average): the kernel is narrower by it
    variance = max(h**2 - step**2 / 6.0, 0.25 * h**2)
    padded = next_fast_len(size + int(np.ceil(6.0 * h / step)), real=True)
    wave = 2.0 * np.pi / step
    k, q = np.fft.fftfreq(padded)[:, None] * wave, np.fft.rfftfreq(padded)[None, :] * wave
    kernel = np.exp(-0.5 * (variance * (k**2 + q**2) + 2.0 * h**2 * rho * k * q))
    smooth = irfft2(rfft2(binned, (padded, padded)) * kernel, (padded, padded))[:size, :size]
    return np.asarray(grid, dtype=np.float64), np.asarray(np.maximum(smooth, 0.0))


def relative_noise(h: float, rho: float, rows: float) -> float:
    """The factor K of the sampling variance of the log of the density: var(ln f) = K / f, K = integral k^2 / n."""
    return float(1.0 / (4.0 * np.pi * h**2 * np.sqrt(1.0 - rho**2) * rows))
