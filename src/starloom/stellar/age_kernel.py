"""One star's posterior over a lattice of models, compiled: bounds discard cells, quadrature fills those that are left.

A cell of the lattice bounds its likelihood from above; one whose bound is far below the best center is left out. The
others are filled with midpoints no more than ``STEP`` standard errors apart along each axis. For a Gaussian this rule
converges like exp(-2 pi^2 / STEP^2), so the sum is as accurate as the lattice and what is left out below ``DEEPEST``.
The distance is integrated in closed form (`starloom.stellar.age_distance`), the extinction is a sum over nodes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from starloom.stellar.age_cells import AGE_PARTS, BLOCK, Models, Star, gather, likelihood, mix, steps
from starloom.stellar.age_distance import LOG_TEN, distance_table, look_up
from starloom.stellar.age_draws import draw

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
Singles = NDArray[np.float32]

DEEPEST = 12.0  # what is this far below the best in log is left out: 2e-5 of a normal in three dimensions
FARTHEST = 3.0 * DEEPEST  # bounds are not sharp: the first cells are kept down to here
REACH = 6.0  # standard errors of [Fe/H] looked at
TABLE_SIZE = 512  # nodes in distance modulus


class StarBlock(NamedTuple):
    """A block of stars.

    ``measured`` (n, 6): log Teff, log g and [Fe/H], each with its precision (0: not known). ``magnitudes``,
    ``precision`` (n, bands). ``known`` (n, 4): parallax and distance with their precisions. ``a_v`` (n, most nodes)
    with log weights, ``nodes`` (n,) of them in use. ``prior``: 0 for d^2, 1 for d^2 exp(-d / ``length``), 2 for none.
    """

    measured: Floats
    magnitudes: Floats
    precision: Floats
    known: Floats
    a_v: Floats
    log_a_v: Floats
    nodes: Places
    prior: int
    length: float


@njit(cache=True, nogil=True, error_model="numpy")
def posteriors(
    models: Models, stars: StarBlock, uniforms: Floats, ages_out: Floats, drawn: Floats, summary: Floats
) -> None:
    """Posteriors of a block of stars.

    ``uniforms`` (n, draws, 6). Results: ``ages_out`` (n, cells x parts) probabilities in bins of age, ``drawn``
    (n, draws, 9), ``summary`` (n, 4): best chi^2 without priors, log evidence, points, share in the outermost cells.
    """
    nf, na, ne = models.nodes.shape[:3]
    ids = np.empty((nf - 1) * (na - 1) * (ne - 1), dtype=np.int64)
    upper = np.empty(len(ids))
    moduli, logs = np.empty(stars.a_v.shape[1]), np.empty(stars.a_v.shape[1])
    where, mass = np.empty((1 << 14, 2), dtype=np.int32), np.empty(1 << 14)
    for row in range(len(stars.measured)):
        star = _star(stars, row)
        summary[row, 0] = np.inf
        cells = _possible(models, star, ids, upper)
        if cells == 0:
            continue
        best = _best_center(models, star, ids[:cells], upper[:cells], moduli, logs)
        active = 0
        for n in range(cells):
            if upper[n] > best - DEEPEST:
                ids[active] = ids[n]
                active += 1
        parts = np.zeros((active, AGE_PARTS))
        where, mass, kept, points, chi, reference = _fill(
            models, star, ids[:active], best, parts, where, mass, moduli, logs
        )
        total = parts.sum()
        if not total > 0.0:
            continue
        edge = 0.0
        for n in range(active):
            k, j, i = ids[n] % (ne - 1), ids[n] // (ne - 1) % (na - 1), ids[n] // (ne - 1) // (na - 1)
            for part in range(AGE_PARTS):
                ages_out[row, j * AGE_PARTS + part] += parts[n, part] / total
            if i == 0 or i == nf - 2 or k == 0 or k == ne - 2:
                edge += parts[n].sum() / total
        summary[row, 0], summary[row, 1] = chi, math.log(total) + reference
        summary[row, 2], summary[row, 3] = points, edge
        draw(models, star, ids, where[:kept], mass[:kept], uniforms[row], drawn[row], moduli, logs)


@njit(cache=True, nogil=True, error_model="numpy")
def _star(stars: StarBlock, row: int) -> Star:
    """One row of a block."""
    precisions = stars.precision[row]
    used = np.flatnonzero(precisions > 0.0)
    seen, precision = stars.magnitudes[row][used], precisions[used]
    weight = precision.sum()
    s = 1.0 / math.sqrt(weight) if weight > 0.0 else np.inf
    known = stars.known[row]
    low, step, log_f, log_g = distance_table(
        known[0], known[1], known[2], known[3], stars.prior, stars.length, s, TABLE_SIZE
    )
    mean = square = norm = 0.0
    peak = 0
    for k in range(len(log_f)):
        p = math.exp(log_f[k])
        norm, mean, square = norm + p, mean + p * k, square + p * k * k
        if log_g[k] > log_g[peak]:
            peak = k
    spread = step * math.sqrt(max(square / norm - (mean / norm) ** 2, 1.0 / 12.0))
    a_v, log_a_v = stars.a_v[row, : stars.nodes[row]], stars.log_a_v[row, : stars.nodes[row]]
    ceiling = log_a_v.max() + (log_g[peak] if len(used) > 0 else 0.0)
    return Star(
        stars.measured[row], used, seen, precision, weight, s, low, step, log_f, log_g, peak, spread, a_v, log_a_v,
        ceiling,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _possible(models: Models, star: Star, ids: Places, upper: Floats) -> int:
    """The cells that may matter with an upper bound of each (into ``ids`` and ``upper``), and how many they are."""
    iron, m, used = models.iron, star.measured, star.used
    nf, na, ne = models.nodes.shape[:3]
    count, dust = len(used), star.a_v[len(star.a_v) - 1]
    first, last = 0, nf - 1
    if m[5] > 0.0:
        reach = REACH / math.sqrt(m[5])
        while first < nf - 2 and iron[first + 1] < m[4] - reach:
            first += 1
        while last > first + 1 and iron[last - 1] > m[4] + reach:
            last -= 1
    cells, top = 0, -np.inf
    place = 2 + (models.nodes.shape[3] - 2) // 2  # where the bounds of the colors against the first band begin
    for i in range(first, last):
        off = max(iron[i] - m[4], m[4] - iron[i + 1], 0.0)
        bound_i = -0.5 * m[5] * off * off
        for j in range(na - 1):
            k = -1
            while k < ne - 2:
                k += 1
                if k % BLOCK == 0:  # is there anything in the next few cells?
                    around = models.blocks[i, j, k // BLOCK]
                    value = bound_i + around[2, 0] - _far(m, around)
                    if not value >= top - FARTHEST:
                        k += BLOCK - 1
                        continue
                near = models.bounds[i, j, k]
                if not math.isfinite(near[0, 0]):
                    continue
                value = bound_i + models.most[i, j, k] - _far(m, near)
                if value < top - FARTHEST:
                    continue
                if count > 0:
                    # the magnitudes: one band's range of moduli through the table, and one color
                    b = used[0]
                    if not math.isfinite(near[2 + b, 0]):
                        continue
                    k_b = models.nodes[i, j, k, 3 + 2 * b]
                    near_mu = star.seen[0] - near[2 + b, 1] - max(k_b, 0.0) * dust - 4.0 * star.s - 0.1
                    far_mu = star.seen[0] - near[2 + b, 0] + 4.0 * star.s + 0.1
                    at = min(max(star.low + star.step * star.peak, near_mu), far_mu)
                    value += look_up(at, star.low, star.step, star.log_g)
                    worst = 0.0
                    for n in range(1, count):
                        c = used[n]
                        slope = (k_b - models.nodes[i, j, k, 3 + 2 * c]) * dust
                        color = star.seen[0] - star.seen[n]
                        blue = near[place + b, 0] - near[place + c, 1] + min(slope, 0.0)
                        red = near[place + b, 1] - near[place + c, 0] + max(slope, 0.0)
                        off = max(blue - color, color - red, 0.0)
                        worst = max(worst, off * off / (1.0 / star.precision[0] + 1.0 / star.precision[n]))
                    value -= 0.5 * worst
                if value > top - FARTHEST:
                    ids[cells], upper[cells] = (i * (na - 1) + j) * (ne - 1) + k, value
                    cells += 1
                    top = max(top, value)
    return cells


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _far(measured: Floats, near: Singles) -> float:
    """Half the least chi^2 of log Teff and log g between the bounds ``near``."""
    teff = max(near[0, 0] - measured[0], measured[0] - near[0, 1], 0.0)
    logg = max(near[1, 0] - measured[2], measured[2] - near[1, 1], 0.0)
    return float(0.5 * (measured[1] * teff * teff + measured[3] * logg * logg))


@njit(cache=True, nogil=True, error_model="numpy")
def _best_center(models: Models, star: Star, ids: Places, upper: Floats, moduli: Floats, logs: Floats) -> float:
    """The largest log posterior at the center of a cell."""
    na, ne = models.nodes.shape[1:3]
    corners, point = np.empty((8, 2 + 2 * len(star.used))), np.empty(2 + 2 * len(star.used))
    best, first = -np.inf, int(np.argmax(upper))
    for number in range(-1, len(ids)):
        n = first if number < 0 else number  # the most promising one first: it makes most others needless
        if upper[n] < max(upper[first] - FARTHEST, best):
            continue
        k, j, i = ids[n] % (ne - 1), ids[n] // (ne - 1) % (na - 1), ids[n] // (ne - 1) // (na - 1)
        gather(models.nodes, i, j, k, star.used, corners)
        mix(corners, 0.5, 0.5, 0.5, point)
        center = 0.5 * (models.iron[i] + models.iron[i + 1])
        value = likelihood(point, center, star, -np.inf, moduli, logs)
        prior = models.prior
        p = 0.25 * (prior[i, j, k] + prior[i + 1, j, k] + prior[i, j + 1, k] + prior[i + 1, j + 1, k])
        if p > 0.0:
            width = 10.0 ** (models.log_age[j + 1] - 9.0) - 10.0 ** (models.log_age[j] - 9.0)
            best = max(best, value + math.log(p * width))
    return best


@njit(cache=True, nogil=True, error_model="numpy")
def _fill(
    models: Models, star: Star, ids: Places, best: float, parts: Floats, where: NDArray[np.int32], mass: Floats,
    moduli: Floats, logs: Floats,
) -> tuple[NDArray[np.int32], Floats, int, int, float, float]:  # fmt: skip
    """The sum over the points of the cells, relative to exp(reference), into ``parts`` (cells, parts of age).

    Returns the places of the points that matter (number of the cell, number in the cell) and their mass, how many they
    are, how many points were looked at, the least chi^2 and the reference.
    """
    iron, log_age, prior = models.iron, models.log_age, models.prior
    na, ne = models.nodes.shape[1:3]
    corners, point = np.empty((8, 2 + 2 * len(star.used))), np.empty(2 + 2 * len(star.used))
    heaviest, reference, chi, points, kept = best, best, np.inf, 0, 0
    for n in range(len(ids)):
        k, j, i = ids[n] % (ne - 1), ids[n] // (ne - 1) % (na - 1), ids[n] // (ne - 1) // (na - 1)
        gather(models.nodes, i, j, k, star.used, corners)
        n_f, n_a, n_e = steps(corners, star, iron[i + 1] - iron[i])
        measure = (log_age[j + 1] - log_age[j]) * LOG_TEN / (n_f * n_a * n_e)
        if kept + n_f * n_a * n_e > len(where):
            where, mass = _longer(where, mass, 2 * (len(where) + n_f * n_a * n_e))
        for b in range(n_a):
            y = (b + 0.5) / n_a
            age = 10.0 ** (log_age[j] + y * (log_age[j + 1] - log_age[j]) - 9.0)
            part = b * AGE_PARTS // n_a
            for a in range(n_f):
                x = (a + 0.5) / n_f
                z_i = iron[i] + x * (iron[i + 1] - iron[i])
                p = (1.0 - y) * ((1.0 - x) * prior[i, j, k] + x * prior[i + 1, j, k])
                p += y * ((1.0 - x) * prior[i, j + 1, k] + x * prior[i + 1, j + 1, k])
                if not p > 0.0:
                    continue
                log_p = math.log(p * age * measure)
                for c in range(n_e):
                    points += 1
                    mix(corners, x, y, (c + 0.5) / n_e, point)
                    value = likelihood(point, z_i, star, heaviest - DEEPEST - log_p, moduli, logs)
                    if value + log_p < heaviest - DEEPEST:
                        continue
                    chi = min(chi, -2.0 * (value - star.ceiling))
                    heaviest = max(heaviest, value + log_p)
                    if heaviest > reference + 200.0:  # far above all before: count from here, lest the sum overflow
                        scale = math.exp(reference - heaviest)
                        parts *= scale
                        mass[:kept] *= scale
                        reference = heaviest
                    here = 0.0
                    for m in range(len(star.a_v)):
                        if logs[m] > value - DEEPEST:
                            here += math.exp(logs[m] + log_p - reference)
                    parts[n, part] += here
                    where[kept, 0], where[kept, 1] = n, (b * n_f + a) * n_e + c
                    mass[kept] = here
                    kept += 1
    return where, mass, kept, points, chi, reference


@njit(cache=True, nogil=True, error_model="numpy")
def _longer(where: NDArray[np.int32], mass: Floats, size: int) -> tuple[NDArray[np.int32], Floats]:
    """The same arrays with more room."""
    places, masses = np.empty((size, 2), dtype=np.int32), np.empty(size)
    places[: len(where)], masses[: len(mass)] = where, mass
    return places, masses
