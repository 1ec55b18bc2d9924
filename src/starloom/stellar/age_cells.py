"""A cell of the lattice of models, compiled: what it holds at most, any point inside, and the likelihood there.

In a cell ([Fe/H], log age, EEP) every observable is trilinear, so it lies between its values at the eight corners.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from starloom.stellar.age_distance import look_up

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

STEP = 1.0  # largest distance of points, in standard errors
MOST_STEPS = 40
AGE_PARTS = 2  # bins of age in a cell
BLOCK = 8  # cells along EEP that are looked at together first


class Models(NamedTuple):
    """The lattice as the kernels read it.

    ``nodes`` (f, a, e, 2 + 2 bands) holds log Teff, log g, then magnitude and reddening of each band side by side: what
    one point needs lies together. ``bounds`` is that of `cell_bounds` for log Teff, log g, magnitudes and colors
    against the first band; ``most`` (f - 1, a - 1, e - 1) the largest log prior of a cell, -inf where it is empty;
    ``blocks`` that of `block_bounds`.
    """

    iron: Floats
    log_age: Floats
    eep: Floats
    nodes: Singles
    log_mass: Floats
    log_star_mass: Singles
    prior: Floats
    bounds: Singles
    most: Singles
    blocks: Singles


class Star(NamedTuple):
    """What is known of one star: log Teff, log g and [Fe/H], each with its precision, its magnitudes, distance, dust.

    ``used`` are the bands with a magnitude, ``weight`` the sum of their precisions, ``s`` its error of a modulus;
    ``low``, ``step``, ``log_f``, ``log_g`` as `distance_table` gives them, ``peak`` the place of the largest log_g,
    ``spread`` the width of f; ``ceiling`` is the most that distance and extinction add to a log likelihood.
    """

    measured: Floats
    used: NDArray[np.int64]
    seen: Floats
    precision: Floats
    weight: float
    s: float
    low: float
    step: float
    log_f: Floats
    log_g: Floats
    peak: int
    spread: float
    a_v: Floats
    log_a_v: Floats
    ceiling: float


@njit(cache=True, nogil=True, error_model="numpy")
def cell_bounds(values: Singles) -> Singles:
    """Smallest and largest value over the corners of each cell: (f, a, e, q) -> (f - 1, a - 1, e - 1, q, 2)."""
    nf, na, ne, nq = values.shape
    found = np.empty((nf - 1, na - 1, ne - 1, nq, 2), dtype=np.float32)
    for i in range(nf - 1):
        for j in range(na - 1):
            for k in range(ne - 1):
                for q in range(nq):
                    low, high = np.inf, -np.inf
                    for corner in range(8):
                        x = values[i + (corner & 1), j + ((corner >> 1) & 1), k + (corner >> 2), q]
                        if not math.isfinite(x):
                            low = high = np.nan
                            break
                        low, high = min(low, x), max(high, x)
                    found[i, j, k, q, 0], found[i, j, k, q, 1] = low, high
    return found


@njit(cache=True, nogil=True, error_model="numpy")
def gather(nodes: Singles, i: int, j: int, k: int, used: NDArray[np.int64], corners: Floats) -> None:
    """The eight corners of a cell: log Teff, log g, then magnitude and reddening of each band in use."""
    for corner in range(8):
        node = nodes[i + (corner & 1), j + ((corner >> 1) & 1), k + (corner >> 2)]
        corners[corner, 0], corners[corner, 1] = node[0], node[1]
        for n in range(len(used)):
            corners[corner, 2 + 2 * n], corners[corner, 3 + 2 * n] = node[2 + 2 * used[n]], node[3 + 2 * used[n]]


@njit(cache=True, nogil=True, error_model="numpy")
def mix(corners: Floats, x: float, y: float, z: float, point: Floats) -> None:
    """Trilinear interpolation at fractions x, y, z of the three axes."""
    for q in range(corners.shape[1]):
        a = corners[0, q] + x * (corners[1, q] - corners[0, q])
        b = corners[2, q] + x * (corners[3, q] - corners[2, q])
        c = corners[4, q] + x * (corners[5, q] - corners[4, q])
        d = corners[6, q] + x * (corners[7, q] - corners[6, q])
        low, high = a + y * (b - a), c + y * (d - c)
        point[q] = low + z * (high - low)


@njit(cache=True, nogil=True, error_model="numpy")
def likelihood(point: Floats, iron: float, star: Star, least: float, moduli: Floats, found: Floats) -> float:
    """Log likelihood of each node of A_V (into ``found``, moduli into ``moduli``); returns the largest.

    As soon as it cannot reach ``least`` any more it gives up.
    """
    m = star.measured
    base = -0.5 * (m[1] * (point[0] - m[0]) ** 2 + m[3] * (point[1] - m[2]) ** 2 + m[5] * (iron - m[4]) ** 2)
    if base + star.ceiling < least:
        return -np.inf
    weight = star.weight
    s_0 = s_1 = q_00 = q_01 = q_11 = 0.0
    for n in range(len(star.seen)):
        r, k, w = star.seen[n] - point[2 + 2 * n], point[3 + 2 * n], star.precision[n]
        s_0 += w * r
        s_1 += w * k
        q_00 += w * r * r
        q_01 += w * r * k
        q_11 += w * k * k
    if weight > 0.0:
        # the best extinction of all, be it possible or not
        bend = q_11 - s_1 * s_1 / weight
        mixed = q_01 - s_0 * s_1 / weight
        chi = q_00 - s_0 * s_0 / weight - (mixed * mixed / bend if bend > 0.0 else 0.0)
        if base + star.ceiling - 0.5 * chi < least:
            return -np.inf
    best = -np.inf
    for n in range(len(star.a_v)):
        a, value, mu = star.a_v[n], base + star.log_a_v[n], 0.0
        if weight > 0.0:
            mu = (s_0 - a * s_1) / weight
            value -= 0.5 * (q_00 - 2.0 * a * q_01 + a * a * q_11 - weight * mu * mu)
            value += look_up(mu, star.low, star.step, star.log_g)
        moduli[n], found[n] = mu, value
        best = max(best, value)
    return best


@njit(cache=True, nogil=True, error_model="numpy")
def steps(corners: Floats, star: Star, iron_step: float) -> tuple[int, int, int]:
    """Midpoints needed along [Fe/H], age and EEP of a cell."""
    m, weight = star.measured, star.weight
    count = np.empty(3, dtype=np.int64)
    for axis in range(3):
        worst = 0.0
        for corner in range(8):
            if corner & (1 << axis):
                continue
            other = corner | (1 << axis)
            total = m[1] * (corners[other, 0] - corners[corner, 0]) ** 2
            total += m[3] * (corners[other, 1] - corners[corner, 1]) ** 2
            if weight > 0.0:
                first = second = 0.0
                for n in range(len(star.precision)):
                    d = corners[other, 2 + 2 * n] - corners[corner, 2 + 2 * n]
                    first += star.precision[n] * d
                    second += star.precision[n] * d * d
                total += max(second - first * first / weight, 0.0)
                total += (first / weight) ** 2 / (1.0 / weight + star.spread * star.spread)
            worst = max(worst, total)
        if axis == 0:
            worst += m[5] * iron_step * iron_step
        count[axis] = min(max(math.ceil(math.sqrt(worst) / STEP), 1), MOST_STEPS)
    parts = math.ceil(count[1] / AGE_PARTS) * AGE_PARTS
    return int(count[0]), parts, int(count[2])


@njit(cache=True, nogil=True, error_model="numpy")
def prior_bounds(prior: Floats, log_age: Floats) -> Singles:
    """Largest log prior of each cell, times its width in age: (f, a, e - 1) -> (f - 1, a - 1, e - 1)."""
    nf, na, ne = prior.shape
    found = np.full((nf - 1, na - 1, ne), -np.inf, dtype=np.float32)
    for j in range(na - 1):
        width = 10.0 ** (log_age[j + 1] - 9.0) - 10.0 ** (log_age[j] - 9.0)
        for i in range(nf - 1):
            for k in range(ne):
                p = max(max(prior[i, j, k], prior[i + 1, j, k]), max(prior[i, j + 1, k], prior[i + 1, j + 1, k]))
                if p > 0.0:
                    found[i, j, k] = math.log(p * width)
    return found


@njit(cache=True, nogil=True, error_model="numpy")
def block_bounds(bounds: Singles, most: Singles) -> Singles:
    """Bounds of log Teff and log g over blocks of cells along EEP, and their largest log prior.

    (f - 1, a - 1, blocks, 3, 2), the last of the three twice; a block without models has bounds of NaN.
    """
    nf, na, ne = most.shape
    found = np.full((nf, na, (ne + BLOCK - 1) // BLOCK, 3, 2), np.nan, dtype=np.float32)
    for i in range(nf):
        for j in range(na):
            for k in range(ne):
                here, near = found[i, j, k // BLOCK], bounds[i, j, k]
                if not math.isfinite(near[0, 0]):
                    continue
                if not math.isfinite(here[0, 0]):
                    here[:2], here[2] = near[:2], most[i, j, k]
                for q in range(2):
                    here[q, 0], here[q, 1] = min(here[q, 0], near[q, 0]), max(here[q, 1], near[q, 1])
                here[2] = max(here[2, 0], most[i, j, k])
    return found
