"""One star's posterior over a lattice of models, compiled: bounds discard cells, quadrature fills those that are left.

In a cell of the lattice ([Fe/H], log age, EEP) every observable is trilinear, so it lies between its values at the
eight corners. That bounds the likelihood from above; a cell whose bound is far below the best center is left out. The
others are filled with midpoints no more than ``STEP`` standard errors apart along each axis. For a Gaussian this rule
converges like exp(-2 pi^2 / STEP^2), so the sum is exact to the accuracy of the lattice itself.

The distance is integrated in closed form: with errors w_b^-1/2 of the magnitudes, a model point and an extinction fix a
distance modulus mu_0 with error s = (sum w_b)^-1/2, the same for all points, and what is known of the distance besides
(parallax, prior) enters through one table of its convolution with N(0, s^2). The extinction is a sum over nodes.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

STEP = 0.8
MOST_STEPS = 40
AGE_PARTS = 2
DEEPEST = 15.0  # what is this far below the best in log is left out
REACH = 6.0  # standard errors of [Fe/H] looked at
DRAWN = 6  # age, [Fe/H], EEP, log10 initial mass, distance modulus, A_V; then log10 star mass, log Teff, log g
WIDTH = 9
LOG_TEN = math.log(10.0)


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
def distance_table(
    parallax: float, parallax_precision: float, distance: float, distance_precision: float,
    prior_kind: int, prior_length: float, s: float, size: int,
) -> tuple[float, float, Floats, Floats]:  # fmt: skip
    """First modulus, step, log f(mu) and log of f convolved with N(0, s^2); f is prior times what is known of mu."""
    low, high = -3.0, 26.0
    for turn in range(2):
        step = (high - low) / (size - 1)
        log_f = np.empty(size)
        for k in range(size):
            mu = low + step * k
            d = 10.0 ** (0.2 * mu - 2.0)
            value = 0.6 * LOG_TEN * mu  # d^2 dd/dmu goes like d^3
            if prior_kind == 1:
                value -= d / prior_length
            elif prior_kind == 2:
                value = 0.0
            value -= 0.5 * parallax_precision * (parallax - 1.0 / d) ** 2
            value -= 0.5 * distance_precision * (distance - d) ** 2
            log_f[k] = value
        best = log_f.max()
        if turn == 0:
            first, last = 0, size - 1
            while log_f[first] < best - 25.0 and first < size - 1:
                first += 1
            while log_f[last] < best - 25.0 and last > 0:
                last -= 1
            # from nearer, and wide enough for the convolution
            room = 6.0 * min(s, 3.0) if s < 1e3 else 0.0
            low, high = low + step * (first - 2) - room, low + step * (last + 2) + room
    total = 0.0
    for k in range(size):
        log_f[k] -= best
        total += math.exp(log_f[k]) * step
    log_f -= math.log(total)
    log_g = log_f.copy()
    if s > step and s < 1e3:
        reach = int(6.0 * s / step) + 1
        for k in range(size):
            value = 0.0
            for m in range(max(k - reach, 0), min(k + reach + 1, size)):
                z = (m - k) * step / s
                value += math.exp(log_f[m] - 0.5 * z * z)
            log_g[k] = math.log(max(value * step / (s * math.sqrt(2.0 * math.pi)), 1e-300))
    return low, step, log_f, log_g


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _look_up(x: float, low: float, step: float, table: Floats) -> float:
    place = (x - low) / step
    last = len(table) - 1
    if place <= 0.0:
        return float(table[0] + (table[1] - table[0]) * place)
    if place >= last:
        return float(table[last] + (table[last] - table[last - 1]) * (place - last))
    k = int(place)
    return float(table[k] + (table[k + 1] - table[k]) * (place - k))


@njit(cache=True, nogil=True, error_model="numpy")
def _gather(
    i: int, j: int, k: int, teff: Singles, logg: Singles, magnitudes: Singles, reddening: Singles,
    used: NDArray[np.int64], corners: Floats,
) -> None:  # fmt: skip
    """The eight corners of a cell: log Teff, log g, then magnitude and reddening of each band in use."""
    for corner in range(8):
        a, b, c = i + (corner & 1), j + ((corner >> 1) & 1), k + (corner >> 2)
        corners[corner, 0], corners[corner, 1] = teff[a, b, c], logg[a, b, c]
        for n in range(len(used)):
            corners[corner, 2 + 2 * n] = magnitudes[a, b, c, used[n]]
            corners[corner, 3 + 2 * n] = reddening[a, b, c, used[n]]


@njit(cache=True, nogil=True, error_model="numpy")
def _mix(corners: Floats, x: float, y: float, z: float, point: Floats) -> None:
    """Trilinear interpolation at fractions x, y, z of the three axes."""
    for q in range(corners.shape[1]):
        a = corners[0, q] + x * (corners[1, q] - corners[0, q])
        b = corners[2, q] + x * (corners[3, q] - corners[2, q])
        c = corners[4, q] + x * (corners[5, q] - corners[4, q])
        d = corners[6, q] + x * (corners[7, q] - corners[6, q])
        low, high = a + y * (b - a), c + y * (d - c)
        point[q] = low + z * (high - low)


@njit(cache=True, nogil=True, error_model="numpy")
def _likelihood(
    point: Floats, iron: float, star: Floats, seen: Floats, precision: Floats, weight: float,
    low: float, step: float, log_g: Floats, a_v: Floats, log_a_v: Floats, moduli: Floats, found: Floats,
    least: float, ceiling: float,
) -> float:  # fmt: skip
    """Log likelihood of each node of A_V (into ``found``, moduli into ``moduli``); returns the largest.

    As soon as it cannot reach ``least`` any more it gives up; ``ceiling`` is what the terms of distance and extinction
    give at best.
    """
    base = -0.5 * (star[1] * (point[0] - star[0]) ** 2 + star[3] * (point[1] - star[2]) ** 2)
    base -= 0.5 * star[5] * (iron - star[4]) ** 2
    if base + ceiling < least:
        return -np.inf
    s_0 = s_1 = q_00 = q_01 = q_11 = 0.0
    for n in range(len(seen)):
        r, k, w = seen[n] - point[2 + 2 * n], point[3 + 2 * n], precision[n]
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
        if base + ceiling - 0.5 * chi < least:
            return -np.inf
    best = -np.inf
    for n in range(len(a_v)):
        a, value, mu = a_v[n], base + log_a_v[n], 0.0
        if weight > 0.0:
            mu = (s_0 - a * s_1) / weight
            value -= 0.5 * (q_00 - 2.0 * a * q_01 + a * a * q_11 - weight * mu * mu)
            value += _look_up(mu, low, step, log_g)
        moduli[n], found[n] = mu, value
        best = max(best, value)
    return best


@njit(cache=True, nogil=True, error_model="numpy")
def _steps(
    corners: Floats, precision: Floats, weight: float, spread: float, star: Floats, iron_step: float
) -> tuple[int, int, int]:
    """Midpoints needed along [Fe/H], age and EEP of a cell."""
    count = np.empty(3, dtype=np.int64)
    for axis in range(3):
        worst = 0.0
        for corner in range(8):
            if corner & (1 << axis):
                continue
            other = corner | (1 << axis)
            total = star[1] * (corners[other, 0] - corners[corner, 0]) ** 2
            total += star[3] * (corners[other, 1] - corners[corner, 1]) ** 2
            if weight > 0.0:
                first = second = 0.0
                for n in range(len(precision)):
                    d = corners[other, 2 + 2 * n] - corners[corner, 2 + 2 * n]
                    first += precision[n] * d
                    second += precision[n] * d * d
                total += max(second - first * first / weight, 0.0)
                total += (first / weight) ** 2 / (1.0 / weight + spread * spread)
            worst = max(worst, total)
        if axis == 0:
            worst += star[5] * iron_step * iron_step
        count[axis] = min(max(math.ceil(math.sqrt(worst) / STEP), 1), MOST_STEPS)
    parts = math.ceil(count[1] / AGE_PARTS) * AGE_PARTS
    return int(count[0]), parts, int(count[2])


@njit(cache=True, nogil=True, error_model="numpy")
def posteriors(
    iron: Floats, log_age: Floats, eep: Floats, teff: Singles, logg: Singles, magnitudes: Singles, reddening: Singles,
    log_mass: Floats, log_star_mass: Singles, prior: Floats, bounds: Singles,
    stars: Floats, seen_all: Floats, precision_all: Floats, known: Floats, prior_kind: int, prior_length: float,
    a_v_all: Floats, log_a_v_all: Floats, nodes: NDArray[np.int64], uniforms: Floats, table_size: int,
    ages_out: Floats, drawn: Floats, summary: Floats,
) -> None:  # fmt: skip
    """Posteriors of a block of stars.

    ``stars`` (n, 6): log Teff, log g and [Fe/H], each with its precision (0: not known). ``seen_all``,
    ``precision_all`` (n, bands): magnitudes. ``known`` (n, 4): parallax and distance with their precisions. ``a_v_all``
    (n, most nodes) with log weights, ``nodes`` (n,) of them in use. ``uniforms`` (n, draws, 6).

    Results: ``ages_out`` (n, cells x parts) probabilities in bins of age, ``drawn`` (n, draws, 9), ``summary`` (n, 4):
    best chi^2 without priors, log evidence, points, share in the outermost cells.
    """
    nf, na, ne = teff.shape
    draws = uniforms.shape[1]
    bands = seen_all.shape[1]
    moduli, logs = np.empty(a_v_all.shape[1]), np.empty(a_v_all.shape[1])
    ids = np.empty((nf - 1) * (na - 1) * (ne - 1), dtype=np.int64)
    upper = np.empty(len(ids))
    where, mass = np.empty((1 << 14, 2), dtype=np.int32), np.empty(1 << 14)
    for row in range(len(stars)):
        star = stars[row]
        count = 0
        for b in range(bands):
            count += precision_all[row, b] > 0.0
        used = np.empty(count, dtype=np.int64)
        seen, precision = np.empty(count), np.empty(count)
        count = 0
        for b in range(bands):
            if precision_all[row, b] > 0.0:
                used[count], seen[count], precision[count] = b, seen_all[row, b], precision_all[row, b]
                count += 1
        weight = precision.sum()
        s = 1.0 / math.sqrt(weight) if weight > 0.0 else np.inf
        low, step, log_f, log_g = distance_table(
            known[row, 0], known[row, 1], known[row, 2], known[row, 3], prior_kind, prior_length, s, table_size
        )
        mean = square = norm = 0.0
        peak, highest = 0, -np.inf
        for k in range(len(log_f)):
            p = math.exp(log_f[k])
            norm, mean, square = norm + p, mean + p * k, square + p * k * k
            if log_g[k] > highest:
                peak, highest = k, log_g[k]
        spread = step * math.sqrt(max(square / norm - (mean / norm) ** 2, 1.0 / 12.0))
        a_v, log_a_v = a_v_all[row, : nodes[row]], log_a_v_all[row, : nodes[row]]
        dust = a_v[len(a_v) - 1]
        ceiling = log_a_v.max() + (highest if count > 0 else 0.0)
        point, corners = np.empty(2 + 2 * count), np.empty((8, 2 + 2 * count))

        # ------------------------------------------------------------------ an upper bound for each cell
        first, last = 0, nf - 1
        if star[5] > 0.0:
            reach = REACH / math.sqrt(star[5])
            while first < nf - 2 and iron[first + 1] < star[4] - reach:
                first += 1
            while last > first + 1 and iron[last - 1] > star[4] + reach:
                last -= 1
        cells, top = 0, -np.inf
        place = 2 + magnitudes.shape[3]  # where the bounds of the colors against the first band begin
        for i in range(first, last):
            off = max(iron[i] - star[4], star[4] - iron[i + 1], 0.0)
            bound_i = -0.5 * star[5] * off * off
            for j in range(na - 1):
                width = 10.0 ** (log_age[j + 1] - 9.0) - 10.0 ** (log_age[j] - 9.0)
                for k in range(ne - 1):
                    near = bounds[i, j, k]
                    p = max(max(prior[i, j, k], prior[i + 1, j, k]), max(prior[i, j + 1, k], prior[i + 1, j + 1, k]))
                    if not p > 0.0 or not math.isfinite(near[0, 0]):
                        continue
                    off = max(near[0, 0] - star[0], star[0] - near[0, 1], 0.0)
                    value = bound_i - 0.5 * star[1] * off * off
                    off = max(near[1, 0] - star[2], star[2] - near[1, 1], 0.0)
                    value -= 0.5 * star[3] * off * off
                    value += math.log(p * width)
                    if count > 0 and value > top - 3.0 * DEEPEST:
                        # the magnitudes: one band's range of moduli through the table, and one color
                        b = used[0]
                        if not math.isfinite(near[2 + b, 0]):
                            continue
                        k_b = reddening[i, j, k, b]
                        near_mu = seen[0] - near[2 + b, 1] - max(k_b, 0.0) * dust - 4.0 * s - 0.1
                        far_mu = seen[0] - near[2 + b, 0] + 4.0 * s + 0.1
                        at = min(max(low + step * peak, near_mu), far_mu)
                        value += _look_up(at, low, step, log_g)
                        worst = 0.0
                        for n in range(1, count):
                            c = used[n]
                            slope = (k_b - reddening[i, j, k, c]) * dust
                            color = seen[0] - seen[n]
                            blue = near[place + b, 0] - near[place + c, 1] + min(slope, 0.0)
                            red = near[place + b, 1] - near[place + c, 0] + max(slope, 0.0)
                            off = max(blue - color, color - red, 0.0)
                            worst = max(worst, off * off / (1.0 / precision[0] + 1.0 / precision[n]))
                        value -= 0.5 * worst
                    if value > top - 3.0 * DEEPEST:
                        ids[cells], upper[cells] = (i * (na - 1) + j) * (ne - 1) + k, value
                        cells += 1
                        top = max(top, value)
        summary[row, 0] = np.inf
        if cells == 0:
            continue

        # ------------------------------------------------------------------ the best center, then the cells near it
        best = -np.inf
        for n in range(cells):
            if upper[n] < max(top - 3.0 * DEEPEST, best):
                continue
            k, j, i = ids[n] % (ne - 1), ids[n] // (ne - 1) % (na - 1), ids[n] // (ne - 1) // (na - 1)
            _gather(i, j, k, teff, logg, magnitudes, reddening, used, corners)
            _mix(corners, 0.5, 0.5, 0.5, point)
            value = _likelihood(
                point, 0.5 * (iron[i] + iron[i + 1]), star, seen, precision, weight, low, step, log_g, a_v, log_a_v,
                moduli, logs, -np.inf, ceiling,
            )  # fmt: skip
            p = 0.25 * (prior[i, j, k] + prior[i + 1, j, k] + prior[i, j + 1, k] + prior[i + 1, j + 1, k])
            if p > 0.0:
                width = 10.0 ** (log_age[j + 1] - 9.0) - 10.0 ** (log_age[j] - 9.0)
                best = max(best, value + math.log(p * width))
        active = 0
        for n in range(cells):
            if upper[n] > best - DEEPEST:
                ids[active] = ids[n]
                active += 1

        # ------------------------------------------------------------------ the sum, relative to exp(reference)
        parts = np.zeros((active, AGE_PARTS))
        heaviest, reference, chi, points, kept = best, best, np.inf, 0, 0
        for n in range(active):
            k, j, i = ids[n] % (ne - 1), ids[n] // (ne - 1) % (na - 1), ids[n] // (ne - 1) // (na - 1)
            _gather(i, j, k, teff, logg, magnitudes, reddening, used, corners)
            n_f, n_a, n_e = _steps(corners, precision, weight, spread, star, iron[i + 1] - iron[i])
            measure = (log_age[j + 1] - log_age[j]) * LOG_TEN / (n_f * n_a * n_e)
            if kept + n_f * n_a * n_e > len(where):
                size = 2 * (len(where) + n_f * n_a * n_e)
                where, mass = _longer(where, mass, size)
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
                        _mix(corners, x, y, (c + 0.5) / n_e, point)
                        value = _likelihood(
                            point, z_i, star, seen, precision, weight, low, step, log_g, a_v, log_a_v, moduli, logs,
                            heaviest - DEEPEST - log_p, ceiling,
                        )  # fmt: skip
                        if value + log_p < heaviest - DEEPEST:
                            continue
                        chi = min(chi, -2.0 * (value - ceiling))
                        heaviest = max(heaviest, value + log_p)
                        if heaviest > reference + 200.0:  # far above all before: count from here, lest the sum overflow
                            scale = math.exp(reference - heaviest)
                            parts *= scale
                            mass[:kept] *= scale
                            reference = heaviest
                        here = 0.0
                        for m in range(len(a_v)):
                            if logs[m] > value - DEEPEST:
                                here += math.exp(logs[m] + log_p - reference)
                        parts[n, part] += here
                        where[kept, 0], where[kept, 1] = n, (b * n_f + a) * n_e + c
                        mass[kept] = here
                        kept += 1
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

        # ------------------------------------------------------------------ draws, in the order of the points
        at, running, full = 0, 0.0, mass[:kept].sum()
        for number in range(draws):
            target = (number + uniforms[row, 0, 0]) / draws * full
            while running + mass[at] < target and at < kept - 1:
                running += mass[at]
                at += 1
            n = where[at, 0]
            k, j, i = ids[n] % (ne - 1), ids[n] // (ne - 1) % (na - 1), ids[n] // (ne - 1) // (na - 1)
            _gather(i, j, k, teff, logg, magnitudes, reddening, used, corners)
            n_f, n_a, n_e = _steps(corners, precision, weight, spread, star, iron[i + 1] - iron[i])
            u = uniforms[row, number]
            c, a, b = where[at, 1] % n_e, where[at, 1] // n_e % n_f, where[at, 1] // n_e // n_f
            _mix(corners, (a + 0.5) / n_f, (b + 0.5) / n_a, (c + 0.5) / n_e, point)
            z_i = iron[i] + (a + 0.5) / n_f * (iron[i + 1] - iron[i])
            value = _likelihood(
                point,
                z_i,
                star,
                seen,
                precision,
                weight,
                low,
                step,
                log_g,
                a_v,
                log_a_v,
                moduli,
                logs,
                -np.inf,
                ceiling,
            )
            share = 0.0
            for m in range(len(a_v)):
                share += math.exp(logs[m] - value)
            m, share = 0, share * u[5]
            while m < len(a_v) - 1 and share > math.exp(logs[m] - value):
                share -= math.exp(logs[m] - value)
                m += 1
            _draw(
                drawn[row, number], u, share / math.exp(logs[m] - value), i, j, k, (a + u[1]) / n_f, (b + u[2]) / n_a,
                (c + u[3]) / n_e, iron, log_age, eep, log_mass, log_star_mass, teff, logg, a_v, m, moduli[m], s, low,
                step, log_f,
            )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _longer(where: NDArray[np.int32], mass: Floats, size: int) -> tuple[NDArray[np.int32], Floats]:
    """The same arrays with more room."""
    places, masses = np.empty((size, 2), dtype=np.int32), np.empty(size)
    places[: len(where)], masses[: len(mass)] = where, mass
    return places, masses


@njit(cache=True, nogil=True, error_model="numpy")
def _draw(
    here: Floats, u: Floats, dust: float, i: int, j: int, k: int, x: float, y: float, z: float, iron: Floats,
    log_age: Floats, eep: Floats, log_mass: Floats, log_star_mass: Singles, teff: Singles, logg: Singles, a_v: Floats,
    node: int, mu: float, s: float, low: float, step: float, log_f: Floats,
) -> None:  # fmt: skip
    """One draw of everything, at fractions x, y, z of a cell and a node of A_V."""
    here[0] = 10.0 ** (log_age[j] + y * (log_age[j + 1] - log_age[j]) - 9.0)
    here[1] = iron[i] + x * (iron[i + 1] - iron[i])
    here[2] = eep[k] + z * (eep[k + 1] - eep[k])
    here[3] = here[6] = here[7] = here[8] = 0.0
    for corner in range(8):
        w = (x if corner & 1 else 1.0 - x) * (y if corner & 2 else 1.0 - y) * (z if corner & 4 else 1.0 - z)
        a, b, c = i + (corner & 1), j + ((corner >> 1) & 1), k + (corner >> 2)
        here[3] += w * log_mass[a, b, c]
        here[6] += w * log_star_mass[a, b, c]
        here[7] += w * teff[a, b, c]
        here[8] += w * logg[a, b, c]
    here[4] = _draw_modulus(u[4], mu, s, low, step, log_f)
    here[5] = a_v[node]
    if len(a_v) > 1:
        here[5] = max(a_v[node] + (min(dust, 1.0) - 0.5) * (a_v[1] - a_v[0]), 0.0)


@njit(cache=True, nogil=True, error_model="numpy")
def _draw_modulus(u: float, mu: float, s: float, low: float, step: float, log_f: Floats) -> float:
    """A draw from N(mu, s^2) f, or from f alone where nothing else is known."""
    start, width, count = low, step, len(log_f)
    if s < 1e3:
        if s > 4.0 * step:
            first = max(int((mu - 5.0 * s - low) / step), 0)
            last = min(int((mu + 5.0 * s - low) / step) + 1, len(log_f) - 1)
            if last <= first + 1:
                return mu
            start, count = low + step * first, last - first + 1
        else:
            start, width, count = mu - 4.5 * s, 9.0 * s / 64.0, 65
    best = -np.inf
    for turn in range(2):
        total = 0.0
        running = 0.0
        for n in range(count):
            at = start + width * n
            value = _look_up(at, low, step, log_f)
            if s < 1e3:
                value -= 0.5 * ((at - mu) / s) ** 2
            if turn == 0:
                best = max(best, value)
            else:
                total += math.exp(value - best)
    target = u * total
    for n in range(count):
        at = start + width * n
        value = _look_up(at, low, step, log_f)
        if s < 1e3:
            value -= 0.5 * ((at - mu) / s) ** 2
        p = math.exp(value - best)
        if running + p >= target:
            return at + width * ((target - running) / p - 0.5)
        running += p
    return start + width * (count - 1)
