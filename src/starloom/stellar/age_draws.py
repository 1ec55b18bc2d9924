"""Draws from one star's posterior, compiled: a point of the sum in proportion to its mass, then a place around it."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from starloom.stellar.age_cells import Models, Star, gather, likelihood, mix, steps
from starloom.stellar.age_distance import draw_modulus

Floats = NDArray[np.float64]

WIDTH = 9
"""Of a draw: age, [Fe/H], EEP, log10 initial mass, distance modulus, A_V, log10 star mass, log Teff, log g."""


@njit(cache=True, nogil=True, error_model="numpy")
def draw(
    models: Models, star: Star, ids: NDArray[np.int64], where: NDArray[np.int32], mass: Floats, uniforms: Floats,
    drawn: Floats, moduli: Floats, logs: Floats,
) -> None:  # fmt: skip
    """Draws (draws, 9), in the order of the points: one stratum of the total mass each."""
    iron = models.iron
    na, ne = models.nodes.shape[1:3]
    corners, point = np.empty((8, 2 + 2 * len(star.used))), np.empty(2 + 2 * len(star.used))
    at, running, full, draws = 0, 0.0, mass.sum(), len(drawn)
    for number in range(draws):
        target = (number + uniforms[0, 0]) / draws * full
        while running + mass[at] < target and at < len(mass) - 1:
            running += mass[at]
            at += 1
        cell, u = ids[where[at, 0]], uniforms[number]
        k, j, i = cell % (ne - 1), cell // (ne - 1) % (na - 1), cell // (ne - 1) // (na - 1)
        gather(models.nodes, i, j, k, star.used, corners)
        n_f, n_a, n_e = steps(corners, star, iron[i + 1] - iron[i])
        c, a, b = where[at, 1] % n_e, where[at, 1] // n_e % n_f, where[at, 1] // n_e // n_f
        mix(corners, (a + 0.5) / n_f, (b + 0.5) / n_a, (c + 0.5) / n_e, point)
        z_i = iron[i] + (a + 0.5) / n_f * (iron[i + 1] - iron[i])
        value = likelihood(point, z_i, star, -np.inf, moduli, logs)
        share = 0.0
        for m in range(len(star.a_v)):
            share += math.exp(logs[m] - value)
        m, share = 0, share * u[5]
        while m < len(star.a_v) - 1 and share > math.exp(logs[m] - value):
            share -= math.exp(logs[m] - value)
            m += 1
        here = drawn[number]
        _place(models, i, j, k, (a + u[1]) / n_f, (b + u[2]) / n_a, (c + u[3]) / n_e, here)
        here[4] = draw_modulus(u[4], moduli[m], star.s, star.low, star.step, star.log_f)
        here[5] = star.a_v[m]
        if len(star.a_v) > 1:
            part = min(share / math.exp(logs[m] - value), 1.0)
            here[5] = max(star.a_v[m] + (part - 0.5) * (star.a_v[1] - star.a_v[0]), 0.0)


@njit(cache=True, nogil=True, error_model="numpy")
def _place(models: Models, i: int, j: int, k: int, x: float, y: float, z: float, here: Floats) -> None:
    """What the models say at fractions x, y, z of a cell."""
    log_age, iron, eep = models.log_age, models.iron, models.eep
    here[0] = 10.0 ** (log_age[j] + y * (log_age[j + 1] - log_age[j]) - 9.0)
    here[1] = iron[i] + x * (iron[i + 1] - iron[i])
    here[2] = eep[k] + z * (eep[k + 1] - eep[k])
    here[3] = here[6] = here[7] = here[8] = 0.0
    for corner in range(8):
        w = (x if corner & 1 else 1.0 - x) * (y if corner & 2 else 1.0 - y) * (z if corner & 4 else 1.0 - z)
        a, b, c = i + (corner & 1), j + ((corner >> 1) & 1), k + (corner >> 2)
        here[3] += w * models.log_mass[a, b, c]
        here[6] += w * models.log_star_mass[a, b, c]
        here[7] += w * models.nodes[a, b, c, 0]
        here[8] += w * models.nodes[a, b, c, 1]
