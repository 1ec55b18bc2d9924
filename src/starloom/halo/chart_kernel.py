"""From sampling coordinates to the numbers of the density's kernel, with derivatives, in compiled code.

It says the same as `DensityModel.physical` and `DensityModel.parts`, for one point and with the chain rule: a posterior
asks it some ten thousand times.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from starloom.halo.density_kernel import RADIAL, quadratic_form

Array = NDArray[np.float64]


@njit(cache=True, nogil=True, error_model="numpy")
def chart(
    y: Array, kind: int, triaxial: bool, turn: Array, limits: Array, form: Array, radial: Array, by_form: Array,
    by_radial: Array,
) -> int:  # fmt: skip
    """Quadratic form and radial numbers of coordinates, and their derivatives.

    Parameters
    ----------
    y : (size,) coordinates, see `DensityModel.physical`.
    kind : 0 single, 1 cutoff, 2 broken, 3 double.
    triaxial : whether there are axis ratios.
    turn : (4, 4) product of quaternions with the center from the right, see `starloom.halo.orientation.product`; (0, 0)
        where the axes are fixed.
    limits : flattest ratio, steepest and shallowest slope, nearest and farthest break.
    form, radial : (6,), overwritten.
    by_form, by_radial : (6, size), overwritten.

    Returns
    -------
    int
        Number of coordinates that were used.
    """
    flattest, steepest, shallowest, nearest, farthest = limits
    size = len(y)
    u, du = np.empty(size), np.empty(size)
    for i in range(size):
        u[i] = 1.0 / (1.0 + np.exp(-min(max(y[i], -500.0), 500.0)))
        du[i] = u[i] * (1.0 - u[i])
    shape, slide = np.array([1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0]), np.empty((7, 6))
    by_form[:], by_radial[:] = 0.0, 0.0
    turning = len(turn) == 4
    place, short, change = 0, 1, 1.0 - flattest
    if triaxial:
        first = u[0]
        if turning:  # beyond a ratio of 1 the first axis is the shorter one
            change = 2.0 * change if first <= 0.5 else -2.0 * change
            short = 1 if first <= 0.5 else 0
            first = 2.0 * min(first, 1.0 - first)
        shape[short] = flattest + (1.0 - flattest) * first
        shape[2] = flattest + (1.0 - flattest) * u[1]
        place = 2
    if turning:
        square = y[2] * y[2] + y[3] * y[3] + y[4] * y[4]
        for j in range(4):
            shape[3 + j] = (1.0 - square) * turn[0, j]
            for k in range(3):
                shape[3 + j] += 2.0 * y[2 + k] * turn[1 + k, j]
        place = 5
    form[:] = quadratic_form(shape, slide)
    for i in range(6):
        if triaxial:
            by_form[i, 0] = slide[short, i] * change * du[0]
            by_form[i, 1] = slide[2, i] * (1.0 - flattest) * du[1]
        if turning:
            for k in range(3):
                for j in range(4):
                    by_form[i, 2 + k] += slide[3 + j, i] * 2.0 * (turn[1 + k, j] - y[2 + k] * turn[0, j])
    radial[:] = 0.0
    radial[3], radial[4] = 1e6, 1e6  # breaks that are not there
    reach = farthest - nearest
    if kind == 0:
        radial[:3], by_radial[:3, place] = steepest * u[place], steepest * du[place]
        return place + 1
    if kind == 1:
        span = steepest - shallowest
        radial[:3], by_radial[:3, place] = shallowest + span * u[place], span * du[place]
        radius = nearest + reach * u[place + 1]
        radial[5], by_radial[5, place + 1] = 1.0 / radius, -reach * du[place + 1] / radius**2
        return place + 2
    if kind == 2:
        root = np.sqrt(max(1.0 - u[place], 1e-300))
        inner, part = steepest * (1.0 - root), u[place + 1]
        inner_slide, outer = 0.5 * steepest / root * du[place], inner + (steepest - inner) * part
        radius = nearest + reach * u[place + 2]
        radial[0], radial[1], radial[2], radial[3] = inner, outer, outer, np.log(radius)
        by_radial[0, place] = inner_slide
        by_radial[1:3, place] = inner_slide * (1.0 - part)
        by_radial[1:3, place + 1] = (steepest - inner) * du[place + 1]
        by_radial[3, place + 2] = reach * du[place + 2] / radius
        return place + 3
    cube, root = np.cbrt(max(1.0 - u[place], 1e-300)), np.sqrt(max(1.0 - u[place + 1], 1e-300))
    inner, inner_slide = steepest * (1.0 - cube), steepest / (3.0 * cube * cube) * du[place]
    middle, by_root = inner + (steepest - inner) * (1.0 - root), (steepest - inner) * 0.5 / root * du[place + 1]
    part = u[place + 2]
    radial[0], radial[1], radial[2] = inner, middle, middle + (steepest - middle) * part
    by_radial[0, place] = inner_slide
    by_radial[1, place], by_radial[1, place + 1] = inner_slide * root, by_root
    by_radial[2, place], by_radial[2, place + 1] = inner_slide * root * (1.0 - part), by_root * (1.0 - part)
    by_radial[2, place + 2] = (steepest - middle) * du[place + 2]
    inside, outside = max(u[place + 3], 1e-300), max(u[place + 4], 1e-300)
    far = farthest * np.sqrt(outside)
    radial[3], radial[4] = np.log(far * inside), np.log(far)
    by_radial[3, place + 3] = du[place + 3] / inside
    by_radial[3, place + 4] = by_radial[4, place + 4] = 0.5 * du[place + 4] / outside
    return place + 5


@njit(cache=True, nogil=True, error_model="numpy")
def log_prior(y: Array, turning: bool, gradient: Array) -> float:
    """ln of the prior's density at coordinates (size,), whose gradient is added to ``gradient``.

    Logits of even numbers; and turns of even orientations, which have the density (1 + s^2)^-3. Each orientation stands
    at two places, at s and at -s / s^2, and its weight may be shared between them as one likes: 1 / (1 + s^8) of it
    leaves almost all to the nearer place, and keeps walks from going round and round.
    """
    value, square = 0.0, 0.0
    for i in range(len(y)):
        if turning and 2 <= i < 5:
            square += y[i] * y[i]
        else:
            value -= abs(y[i]) + 2.0 * np.log1p(np.exp(-abs(y[i])))
            gradient[i] -= np.tanh(0.5 * y[i])
    if turning:
        fourth = square**4
        value -= 3.0 * np.log1p(square) + np.log1p(fourth)
        for i in range(2, 5):
            gradient[i] -= (6.0 / (1.0 + square) + 8.0 * square**3 / (1.0 + fourth)) * y[i]
    return value


@njit(cache=True, nogil=True, error_model="numpy")
def chain(sums: Array, radial: Array, by_form: Array, by_radial: Array, gradient: Array) -> None:
    """Derivatives with respect to the coordinates, (size,) overwritten, from the sums of the density's kernel."""
    a1, a2, a3 = radial[0], radial[1], radial[2]
    by_number = np.empty(RADIAL)
    by_number[0], by_number[1], by_number[2] = -sums[1] + sums[2], -sums[2] + sums[3], -sums[3]
    by_number[3], by_number[4], by_number[5] = (a2 - a1) * sums[4], (a3 - a2) * sums[5], -sums[6]
    for i in range(len(gradient)):
        gradient[i] = 0.0
        for k in range(6):
            gradient[i] += sums[7 + k] * by_form[k, i] + by_number[k] * by_radial[k, i]
