"""Compiled potentials and accelerations: a potential is a list of components, each a kind and a few numbers.

A kernel is three arrays: ``kinds`` (k,) says what each component is, ``offsets`` (k,) where its numbers begin in
``data``. One compiled function serves every potential, so nothing is compiled anew when a mass changes, and the
functions can be called from other compiled code (orbits, actions).

Units: kpc, km/s, (km/s)^2, (km/s)^2/kpc; masses come as G M in kpc (km/s)^2.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

MIYAMOTO_NAGAI, HERNQUIST, NFW, PLUMMER, FLATTENED_NFW, ISOCHRONE, LOGARITHMIC, KUZMIN_KUTUZOV = range(8)
SPHERICAL_TABLE, AXISYMMETRIC_TABLE = 8, 9
TINY = 1e-300  # keeps directions finite at r = 0
SMALL = 1e-4  # below this ln(1 + s) / s and its kin are taken from their series

# no fused products: a kernel from the cache and one just compiled would fuse others, and orbits differ in the 8th digit
_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


@_jit
def _nfw(s: float) -> tuple[float, float]:
    """ln(1+s)/s and its derivative with respect to s, divided by s."""
    if s < SMALL:
        return 1.0 - s * (0.5 - s * (1.0 / 3.0 - s * 0.25)), (-0.5 + s * (2.0 / 3.0 - s * (0.75 - s * 0.8))) / (
            s + TINY
        )
    log = math.log1p(s)
    return log / s, (1.0 / (1.0 + s) - log / s) / (s * s)


@_jit
def _spherical_table(data: Array, start: int, squared: float) -> tuple[float, float]:
    """Potential, and its derivative with respect to ln r divided by r squared, from a table in u = ln r."""
    count = int(data[start])
    low, inverse = data[start + 1], data[start + 2]
    u = 0.5 * math.log(squared + TINY)
    where = (u - low) * inverse
    if where < 0.0:  # inside: a power law of the enclosed mass
        v0, d0, p = data[start + 3], data[start + 4], data[start + 5]
        ratio = math.exp((p - 1.0) * (u - low))
        return v0 - d0 * (1.0 - ratio) / (p - 1.0), d0 * ratio / (squared + TINY)
    if where >= count:  # outside: the same with the slope there
        v0, d0, p = data[start + 6], data[start + 7], data[start + 8]
        ratio = math.exp((p - 1.0) * (u - low - count / inverse))
        return v0 - d0 * (1.0 - ratio) / (p - 1.0), d0 * ratio / squared
    cell = int(where)
    t = where - cell
    at = start + 9 + 6 * cell
    c0, c1, c2 = data[at], data[at + 1], data[at + 2]
    c3, c4, c5 = data[at + 3], data[at + 4], data[at + 5]
    value = c0 + t * (c1 + t * (c2 + t * (c3 + t * (c4 + t * c5))))
    slope = c1 + t * (2.0 * c2 + t * (3.0 * c3 + t * (4.0 * c4 + t * 5.0 * c5)))
    return value, slope * inverse / squared


@_jit
def _quintic(t: float) -> tuple[float, float, float, float, float, float]:
    """The six uniform splines of fifth order that reach a cell, at t in [0, 1) of it."""
    s, t2 = 1.0 - t, t * t
    t3, t4, t5 = t2 * t, t2 * t2, t2 * t2 * t
    s2 = s * s
    return (
        s2 * s2 * s / 120.0,
        (26.0 - 50.0 * t + 20.0 * t2 + 20.0 * t3 - 20.0 * t4 + 5.0 * t5) / 120.0,
        (66.0 - 60.0 * t2 + 30.0 * t4 - 10.0 * t5) / 120.0,
        (26.0 + 50.0 * t + 20.0 * t2 - 20.0 * t3 - 20.0 * t4 + 10.0 * t5) / 120.0,
        (1.0 + 5.0 * t + 10.0 * t2 + 10.0 * t3 + 5.0 * t4 - 5.0 * t5) / 120.0,
        t5 / 120.0,
    )


@_jit
def _quintic_slope(t: float) -> tuple[float, float, float, float, float, float]:
    """Their derivatives with respect to t."""
    s, t2 = 1.0 - t, t * t
    t3, t4 = t2 * t, t2 * t2
    s2 = s * s
    return (
        -s2 * s2 / 24.0,
        (-10.0 + 8.0 * t + 12.0 * t2 - 16.0 * t3 + 5.0 * t4) / 24.0,
        (-24.0 * t + 24.0 * t3 - 10.0 * t4) / 24.0,
        (10.0 + 8.0 * t - 12.0 * t2 - 16.0 * t3 + 10.0 * t4) / 24.0,
        (1.0 + 4.0 * t + 6.0 * t2 + 4.0 * t3 - 5.0 * t4) / 24.0,
        t4 / 24.0,
    )


@_jit
def _axisymmetric_table(data: Array, start: int, axis: float, z: float) -> tuple[float, float, float]:
    """Potential, its derivative with respect to R over R, and with respect to z over z, from a table."""
    size, per_scale, inverse, reach = int(data[start]), data[start + 1], data[start + 2], data[start + 3]
    radius, height = math.sqrt(axis), abs(z)
    if radius >= reach or height >= reach:  # the moments of degree 0, 2 and 4 rule there
        squared = axis + z * z
        r = math.sqrt(squared)
        mass, second, fourth = data[start + 4], data[start + 5] / squared, data[start + 6] / (squared * squared)
        up = z * z / squared
        p2, p4, slope4 = 1.5 * up - 0.5, (35.0 * up * up - 30.0 * up + 3.0) / 8.0, (140.0 * up - 60.0) / 8.0
        by_radius = mass + second * (3.0 * p2 + 3.0 * up) + fourth * (5.0 * p4 + slope4 * up)
        by_height = by_radius - 3.0 * second - slope4 * fourth
        return -(mass + second * p2 + fourth * p4) / r, by_radius / (squared * r), by_height / (squared * r)
    p, q = radius * per_scale, height * per_scale
    u, w = math.asinh(p) * inverse, math.asinh(q) * inverse
    i, j = int(u), int(w)
    b, c = _quintic(u - i), _quintic(w - j)
    bs, cs = _quintic_slope(u - i), _quintic_slope(w - j)
    value = along_u = along_w = 0.0
    for m in range(6):
        at = start + 7 + (i + m) * size + j
        row = slope = 0.0
        for n in range(6):
            row += c[n] * data[at + n]
            slope += cs[n] * data[at + n]
        value += b[m] * row
        along_u += bs[m] * row
        along_w += b[m] * slope
    by_radius = along_u * inverse * per_scale / (math.sqrt(1.0 + p * p) * (radius + TINY))
    by_height = along_w * inverse * per_scale / (math.sqrt(1.0 + q * q) * (height + TINY))
    return value, by_radius, by_height


@_jit
def value_at(kinds: Integers, offsets: Integers, data: Array, x: float, y: float, z: float) -> float:
    """Potential at one point, (km/s)^2."""
    total = 0.0
    axis, squared = x * x + y * y, x * x + y * y + z * z
    for k in range(kinds.size):
        kind, at = kinds[k], offsets[k]
        gm = data[at]
        if kind == MIYAMOTO_NAGAI:
            reach = data[at + 1] + math.sqrt(z * z + data[at + 2] * data[at + 2])
            total -= gm / math.sqrt(axis + reach * reach)
        elif kind == NFW:
            total -= gm / data[at + 1] * _nfw(math.sqrt(squared) / data[at + 1])[0]
        elif kind == HERNQUIST:
            total -= gm / (math.sqrt(squared) + data[at + 1])
        elif kind == SPHERICAL_TABLE:
            total += _spherical_table(data, at, squared)[0]
        elif kind == AXISYMMETRIC_TABLE:
            total += _axisymmetric_table(data, at, axis, z)[0]
        elif kind == PLUMMER:
            total -= gm / math.sqrt(squared + data[at + 1] * data[at + 1] + TINY)
        elif kind == FLATTENED_NFW:
            q = data[at + 2]
            total -= gm / data[at + 1] * _nfw(math.sqrt(axis + z * z / (q * q)) / data[at + 1])[0]
        elif kind == ISOCHRONE:
            b = data[at + 1]
            total -= gm / (b + math.sqrt(squared + b * b))
        elif kind == LOGARITHMIC:
            core, q = data[at + 1], data[at + 2]
            total += 0.5 * gm * math.log(axis + z * z / (q * q) + core * core + TINY)
        elif kind == KUZMIN_KUTUZOV:
            a, c = data[at + 1], data[at + 2]
            product = math.sqrt(a * a * c * c + c * c * axis + a * a * z * z)
            total -= gm / math.sqrt(squared + a * a + c * c + 2.0 * product)
    return total


@_jit
def acceleration_at(
    kinds: Integers, offsets: Integers, data: Array, x: float, y: float, z: float
) -> tuple[float, float, float]:
    """Acceleration at one point, (km/s)^2/kpc: minus the gradient of the potential."""
    across = along = 0.0  # acceleration = (across x, across y, along z)
    axis, squared = x * x + y * y, x * x + y * y + z * z
    for k in range(kinds.size):
        kind, at = kinds[k], offsets[k]
        gm = data[at]
        if kind == MIYAMOTO_NAGAI:
            a = data[at + 1]
            height = math.sqrt(z * z + data[at + 2] * data[at + 2] + TINY)
            reach = a + height
            d = axis + reach * reach
            force = gm / (d * math.sqrt(d))
            across -= force
            along -= force * reach / height
        elif kind == NFW:
            s = math.sqrt(squared) / data[at + 1]
            force = gm / (data[at + 1] * data[at + 1] * data[at + 1]) * _nfw(s)[1]
            across += force
            along += force
        elif kind == HERNQUIST:
            r = math.sqrt(squared)
            force = gm / ((r + data[at + 1]) * (r + data[at + 1]) * (r + TINY))
            across -= force
            along -= force
        elif kind == SPHERICAL_TABLE:
            force = _spherical_table(data, at, squared)[1]
            across -= force
            along -= force
        elif kind == AXISYMMETRIC_TABLE:
            found = _axisymmetric_table(data, at, axis, z)
            across -= found[1]
            along -= found[2]
        elif kind == PLUMMER:
            d = squared + data[at + 1] * data[at + 1] + TINY
            force = gm / (d * math.sqrt(d))
            across -= force
            along -= force
        elif kind == FLATTENED_NFW:
            q = data[at + 2]
            s = math.sqrt(axis + z * z / (q * q)) / data[at + 1]
            force = gm / (data[at + 1] * data[at + 1] * data[at + 1]) * _nfw(s)[1]
            across += force
            along += force / (q * q)
        elif kind == ISOCHRONE:
            b = data[at + 1]
            root = math.sqrt(squared + b * b)
            force = gm / (root * (b + root) * (b + root))
            across -= force
            along -= force
        elif kind == LOGARITHMIC:
            core, q = data[at + 1], data[at + 2]
            force = gm / (axis + z * z / (q * q) + core * core + TINY)
            across -= force
            along -= force / (q * q)
        elif kind == KUZMIN_KUTUZOV:
            a, c = data[at + 1], data[at + 2]
            product = math.sqrt(a * a * c * c + c * c * axis + a * a * z * z)
            d = squared + a * a + c * c + 2.0 * product
            force = gm / (d * math.sqrt(d))
            across -= force * (1.0 + c * c / product)
            along -= force * (1.0 + a * a / product)
    return across * x, across * y, along * z


@_jit
def values(kinds: Integers, offsets: Integers, data: Array, x: Array, out: Array) -> None:
    """Potential at points, x (n, 3) kpc -> out (n,)."""
    for n in range(x.shape[0]):
        out[n] = value_at(kinds, offsets, data, x[n, 0], x[n, 1], x[n, 2])


@_jit
def accelerations(kinds: Integers, offsets: Integers, data: Array, x: Array, out: Array) -> None:
    """Acceleration at points, x (n, 3) kpc -> out (n, 3)."""
    for n in range(x.shape[0]):
        out[n, 0], out[n, 1], out[n, 2] = acceleration_at(kinds, offsets, data, x[n, 0], x[n, 1], x[n, 2])
