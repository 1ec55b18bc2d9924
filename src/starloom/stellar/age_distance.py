"""What is known of a star's distance besides its magnitudes, as a table in distance modulus, compiled.

With errors w_b^-1/2 of the magnitudes, a model point and an extinction fix a distance modulus mu_0 with error
s = (sum w_b)^-1/2, the same for all points. What is known of the distance besides (parallax, prior) enters through one
table of its convolution with N(0, s^2), so the integral over the distance is a look-up.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LOG_TEN = math.log(10.0)


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
def look_up(x: float, low: float, step: float, table: Floats) -> float:
    """Linear interpolation in a table of even steps, and beyond its ends with the slope there."""
    place = (x - low) / step
    last = len(table) - 1
    if place <= 0.0:
        return float(table[0] + (table[1] - table[0]) * place)
    if place >= last:
        return float(table[last] + (table[last] - table[last - 1]) * (place - last))
    k = int(place)
    return float(table[k] + (table[k + 1] - table[k]) * (place - k))


@njit(cache=True, nogil=True, error_model="numpy")
def draw_modulus(u: float, mu: float, s: float, low: float, step: float, log_f: Floats) -> float:
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
            value = look_up(at, low, step, log_f)
            if s < 1e3:
                value -= 0.5 * ((at - mu) / s) ** 2
            if turn == 0:
                best = max(best, value)
            else:
                total += math.exp(value - best)
    target = u * total
    for n in range(count):
        at = start + width * n
        value = look_up(at, low, step, log_f)
        if s < 1e3:
            value -= 0.5 * ((at - mu) / s) ** 2
        p = math.exp(value - best)
        if running + p >= target:
            return at + width * ((target - running) / p - 0.5)
        running += p
    return start + width * (count - 1)
