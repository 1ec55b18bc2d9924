"""Compiled: the Staeckel fudge for actions and frequencies (Binney 2012, arXiv:1207.4910), star by star.

Prolate spheroidal coordinates R = D sinh u sin v, z = D cosh u cos v. With the star at (u0, v0), Phi in the plane and
along the ellipse through the star stands for a Staeckel potential's two functions, so that the momenta separate:

    p_u^2 / 2D^2 = E sinh^2 u - I - [cosh^2 u Phi(u, pi/2) - same at u0] - L_z^2 / (2 D^2 sinh^2 u)
    p_v^2 / 2D^2 = E sin^2 v + K - [(sinh^2 u0 + sin^2 v) Phi(u0, v) - same at v0] - L_z^2 / (2 D^2 sin^2 v)

The star's own momenta give I and K. With u = center + half cos(chi) the integrals over a whole cycle are of smooth
periodic functions of chi, so the midpoint rule converges exponentially, for the actions and for their derivatives
with respect to E, I and L_z alike; the frequencies follow from those derivatives.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from starloom.dynamics.force_kernels import value_at

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

ACTION_R, ACTION_Z, OMEGA_R, OMEGA_PHI, OMEGA_Z, ECCENTRICITY, Z_MAX, PERICENTER, APOCENTER, ENERGY, L_Z = range(11)
COLUMNS = 11
OK, NOT_FINITE, UNBOUND, ON_AXIS, NO_TURN, AT_CENTER = 0, 1, 2, 4, 8, 16
FARTHEST = 1e5  # kpc: an orbit that turns farther out is called unbound
NARROW = 1e-4  # half range in u or v below which an oscillation is harmonic
CLOSE = 1e-11  # of turning points, in u or v
DEEP, STEEP = 0.3, 0.9  # u_min / u_max below which, and v range (rad) above which, integrals take the fine nodes
AXIS = 1e-7  # u below which a star is said to reach the axis

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


@_jit
def _square_u(
    kinds: Integers, offsets: Integers, data: Array, u: float, d: float, energy: float, third: float, l_z: float
) -> float:
    """p_u^2 / 2D^2 at u."""
    grown = math.exp(u)
    sinh = 0.5 * (grown - 1.0 / grown) if u > 1e-3 else u + u * u * u / 6.0
    square = sinh * sinh
    phi = value_at(kinds, offsets, data, d * sinh, 0.0, 0.0)
    barrier = 0.0 if l_z == 0.0 else 0.5 * l_z * l_z / (d * d * square)
    result: float = energy * square - third - (1.0 + square) * phi - barrier
    return result


@_jit
def _square_v(
    kinds: Integers, offsets: Integers, data: Array, w: float, d: float, sinh: float, cosh: float, energy: float,
    third: float, l_z: float,
) -> float:  # fmt: skip
    """p_v^2 / 2D^2 at v = pi/2 - w."""
    sin_v, cos_v = math.cos(w), math.sin(w)
    square = sin_v * sin_v
    phi = value_at(kinds, offsets, data, d * sinh * sin_v, 0.0, d * cosh * cos_v)
    barrier = 0.0 if l_z == 0.0 else 0.5 * l_z * l_z / (d * d * square)
    result: float = energy * square + third - (sinh * sinh + square) * phi - barrier
    return result


@_jit
def _root(
    kinds: Integers, offsets: Integers, data: Array, along_u: bool, inside: float, f_in: float, outside: float,
    f_out: float, d: float, first: float, second: float, energy: float, third: float, l_z: float,
) -> float:  # fmt: skip
    """Where the square of a momentum vanishes between a point where it is positive and one where it is not.

    Regula falsi with Anderson & Bjoerck's correction: the order of the secant method, and never out of the bracket.
    """
    a, fa, b, fb = inside, f_in, outside, f_out
    for _ in range(80):
        if abs(b - a) <= CLOSE * max(1.0, abs(a)):
            break
        c = (a * fb - b * fa) / (fb - fa)
        if not min(a, b) < c < max(a, b):
            c = 0.5 * (a + b)
        if along_u:
            fc = _square_u(kinds, offsets, data, c, d, energy, third, l_z)
        else:
            fc = _square_v(kinds, offsets, data, c, d, first, second, energy, third, l_z)
        if fc == 0.0:
            return c
        if (fc > 0.0) != (fb > 0.0):
            a, fa = b, fb
        else:
            factor = 1.0 - fc / fb
            fa *= factor if factor > 0.0 else 0.5
        if abs(c - b) <= CLOSE * max(1.0, abs(c)):
            b = c
            break
        b, fb = c, fc
    return b


@_jit
def star_actions(
    kinds: Integers, offsets: Integers, data: Array, x: Array, v: Array, d: float, cosines: Array,
    sines: Array, fine_cosines: Array, fine_sines: Array, out: Array,
) -> int:  # fmt: skip
    """Actions and the rest of one star into out (COLUMNS,); returns a flag. See the module's text and names.

    ``cosines`` and ``sines`` (order,) are those of the midpoints of [0, pi]; orbits that pass near the center or
    near the axis, where the integrands bend sharply, take the fine ones. Units: kpc, km/s; frequencies in km/s/kpc.
    """
    out[:] = np.nan
    radius = math.hypot(x[0], x[1])
    speed = v[0] ** 2 + v[1] ** 2 + v[2] ** 2
    if not (math.isfinite(radius) and math.isfinite(x[2]) and math.isfinite(speed)):
        return NOT_FINITE
    energy = 0.5 * speed + value_at(kinds, offsets, data, x[0], x[1], x[2])
    l_z = x[0] * v[1] - x[1] * v[0]
    out[ENERGY], out[L_Z] = energy, l_z
    if not math.isfinite(energy) or (radius == 0.0 and x[2] == 0.0):
        return AT_CENTER
    if not (d > 0.0 and math.isfinite(d)):
        return NOT_FINITE
    if energy >= 0.0:
        return UNBOUND
    v_r = (x[0] * v[0] + x[1] * v[1]) / radius if radius > 0.0 else math.hypot(v[0], v[1])
    height = x[2]
    # the star's own coordinates, without cancellation: sinh^2 u is the larger root, cos^2 v follows
    half = 0.5 * (radius * radius + height * height - d * d)
    root = math.sqrt(half * half + d * d * radius * radius)
    square = (half + root) / (d * d) if half > 0.0 else radius * radius / (root - half + 1e-300)
    sinh0 = math.sqrt(square)
    cosh0 = math.sqrt(1.0 + square)
    cos0 = height / (d * cosh0)
    sin0 = radius / (d * sinh0) if sinh0 > 0.0 else math.sqrt(max(1.0 - cos0 * cos0, 0.0))
    u0, w0 = math.asinh(sinh0), math.atan2(cos0, sin0)
    p_u = d * (v_r * cosh0 * sin0 + v[2] * sinh0 * cos0)
    p_v = d * (v_r * sinh0 * cos0 - v[2] * cosh0 * sin0)
    f_u, f_v = 0.5 * (p_u / d) ** 2, 0.5 * (p_v / d) ** 2
    flag = OK
    if sinh0 < AXIS or sin0 < AXIS:
        flag |= ON_AXIS
        sinh0, sin0 = max(sinh0, AXIS), max(sin0, AXIS)
        u0 = max(u0, AXIS)
    third_u = _square_u(kinds, offsets, data, u0, d, energy, 0.0, l_z) - f_u
    third_v = f_v - _square_v(kinds, offsets, data, w0, d, sinh0, cosh0, energy, 0.0, l_z)

    # turning points in u
    u_max, u_min = u0, u0
    farthest = math.asinh(FARTHEST / d)
    step = 0.05
    inside, f_in = u0, f_u
    while True:
        outside = inside + step
        f_out = _square_u(kinds, offsets, data, outside, d, energy, third_u, l_z)
        if f_out <= 0.0:
            break
        inside, f_in = outside, f_out
        step *= 2.0
        if outside > farthest:
            return flag | UNBOUND
    u_max = _root(kinds, offsets, data, True, inside, f_in, outside, f_out, d, 0.0, 0.0, energy, third_u, l_z)
    inside, f_in, step = u0, f_u, 0.05
    while True:
        outside = inside - step if inside > 2.0 * step else 0.5 * inside
        if outside < AXIS:
            u_min = 0.0
            break
        f_out = _square_u(kinds, offsets, data, outside, d, energy, third_u, l_z)
        if f_out <= 0.0:
            u_min = _root(
                kinds, offsets, data, True, inside, f_in, outside, f_out, d, 0.0, 0.0, energy, third_u, l_z
            )  # fmt: skip
            break
        inside, f_in = outside, f_out
        step *= 2.0

    # turning point in v: w runs from -w_max to w_max about the plane
    side = abs(w0)
    inside, f_in, step = side, f_v, 0.05
    w_max = side
    while True:
        outside = inside + step if inside + 2.0 * step < 0.5 * math.pi else 0.5 * (inside + 0.5 * math.pi)
        if 0.5 * math.pi - outside < AXIS:
            w_max = 0.5 * math.pi
            break
        f_out = _square_v(kinds, offsets, data, outside, d, sinh0, cosh0, energy, third_v, l_z)
        if f_out <= 0.0:
            w_max = _root(
                kinds, offsets, data, False, inside, f_in, outside, f_out, d, sinh0, cosh0, energy, third_v, l_z
            )  # fmt: skip
            break
        inside, f_in = outside, f_out
        step *= 2.0

    # integrals over u: of p_u, and of 1, sinh^2 and 1/sinh^2 over p_u
    momentum = one = weight = barrier = 0.0
    center, reach = 0.5 * (u_max + u_min), 0.5 * (u_max - u_min)
    if reach < NARROW:
        mid = _square_u(kinds, offsets, data, center, d, energy, third_u, l_z)
        away = _square_u(kinds, offsets, data, center + 3e-3, d, energy, third_u, l_z)
        back = _square_u(kinds, offsets, data, center - 3e-3, d, energy, third_u, l_z)
        bend = max((2.0 * mid - away - back) / 9e-6, 1e-300)  # minus the second derivative
        one = math.pi / math.sqrt(0.5 * bend)
        sinh = math.sinh(center)
        weight, barrier = one * sinh * sinh, one / (sinh * sinh)
        momentum = 0.5 * math.pi * math.sqrt(0.5 * bend) * reach * reach
    else:
        eager = u_min < DEEP * u_max
        cos_chi, sin_chi = (fine_cosines, fine_sines) if eager else (cosines, sines)
        count = cos_chi.size
        for k in range(count):
            u = center + reach * cos_chi[k]
            value = _square_u(kinds, offsets, data, u, d, energy, third_u, l_z)
            if value <= 0.0:
                continue
            size = math.sqrt(value)
            sinh = math.sinh(u)
            momentum += sin_chi[k] * size
            part = sin_chi[k] / size
            one += part
            weight += part * sinh * sinh
            barrier += part / (sinh * sinh)
        scale = math.pi / count * reach
        momentum, one, weight, barrier = momentum * scale, one * scale, weight * scale, barrier * scale
    root_two = math.sqrt(2.0)
    action_r = root_two * d * momentum / math.pi
    r_e, r_i = d * weight / (root_two * math.pi), -d * one / (root_two * math.pi)
    r_l = -l_z * barrier / (root_two * math.pi * d)

    # the same over v: half of the range by symmetry about the plane
    momentum = one = weight = barrier = 0.0
    if w_max < NARROW:
        mid = _square_v(kinds, offsets, data, 0.0, d, sinh0, cosh0, energy, third_v, l_z)
        away = _square_v(kinds, offsets, data, 3e-3, d, sinh0, cosh0, energy, third_v, l_z)
        bend = max(2.0 * (mid - away) / 9e-6, 1e-300)
        one = math.pi / math.sqrt(0.5 * bend)
        weight, barrier = one, one
        momentum = 0.5 * math.pi * math.sqrt(0.5 * bend) * w_max * w_max
    else:
        cos_chi, sin_chi = (fine_cosines, fine_sines) if w_max > STEEP else (cosines, sines)
        pairs = cos_chi.size // 2
        for k in range(pairs):
            w = w_max * cos_chi[k]
            value = _square_v(kinds, offsets, data, w, d, sinh0, cosh0, energy, third_v, l_z)
            if value <= 0.0:
                continue
            size = math.sqrt(value)
            sin_v = math.cos(w)
            momentum += sin_chi[k] * size
            part = sin_chi[k] / size
            one += part
            weight += part * sin_v * sin_v
            barrier += part / (sin_v * sin_v)
        scale = math.pi / pairs * w_max
        momentum, one, weight, barrier = momentum * scale, one * scale, weight * scale, barrier * scale
    action_z = root_two * d * momentum / math.pi
    z_e, z_i = d * weight / (root_two * math.pi), d * one / (root_two * math.pi)
    z_l = -l_z * barrier / (root_two * math.pi * d)

    determinant = r_e * z_i - z_e * r_i
    out[ACTION_R], out[ACTION_Z] = action_r, action_z
    out[OMEGA_R], out[OMEGA_Z] = z_i / determinant, -r_i / determinant
    out[OMEGA_PHI] = (r_i * z_l - z_i * r_l) / determinant
    near = d * math.sinh(u_min)
    top_sinh, top_cosh = math.sinh(u_max), math.cosh(u_max)
    far = d * math.hypot(top_sinh * math.cos(w_max), top_cosh * math.sin(w_max))
    out[PERICENTER], out[APOCENTER] = near, far
    out[ECCENTRICITY], out[Z_MAX] = (far - near) / (far + near), d * top_cosh * math.sin(w_max)
    if not (math.isfinite(out[OMEGA_R]) and math.isfinite(action_r)):
        flag |= NO_TURN
    return flag


@_jit
def actions_block(
    kinds: Integers, offsets: Integers, data: Array, x: Array, v: Array, d: Array, cosines: Array, sines: Array,
    fine_cosines: Array, fine_sines: Array, out: Array, flag: Integers,
) -> None:  # fmt: skip
    """Actions of stars x, v (n, 3) with focal lengths d (n,) into out (n, COLUMNS) and flag (n,)."""
    for n in range(x.shape[0]):
        flag[n] = star_actions(
            kinds, offsets, data, x[n], v[n], d[n], cosines, sines, fine_cosines, fine_sines, out[n]
        )  # fmt: skip
