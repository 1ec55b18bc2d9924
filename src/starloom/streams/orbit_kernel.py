"""Compiled: an orbit from the middle of a stream to its ends, read off as a curve on the sky, and its likelihood.

The orbit is integrated in the Galaxy's frame (Runge-Kutta of fourth order; a step moves it by a set angle on the sky)
in both directions until the points are covered. Sky position, distance, proper motion and velocity, as the Sun of today
sees them, are then interpolated in phi1 to the points. No coordinate objects, no allocation beyond one small array.

Units: deg, kpc, km/s, mas/yr; time in kpc / (km/s).
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from starloom.dynamics.force_kernels import acceleration_at
from starloom.dynamics.frames import MAS_YR_KPC

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

SIDE = 400  # grid points on each side of the middle
LONGEST_STEP = 0.004  # kpc / (km/s), about 4 Myr
DEG = math.pi / 180.0
LEAST = 2  # grid points on each side
LOG_TWO_PI = math.log(2.0 * math.pi)
PHI1, PHI2, DISTANCE, PM1, PM2, VELOCITY = range(6)
UNCOVERED = 0.05  # deg: a point that the orbit does not reach costs as if it were misplaced on this scale

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


@_jit
def start_of(theta: Array, axes: Array, sun: Array, sun_velocity: Array, phase: Array) -> None:
    """Galactocentric position and velocity, out into phase (6,), of phi1 = 0 and theta = (phi2, d, pm1, pm2, v_r)."""
    latitude = theta[0] * DEG
    cos, sin = math.cos(latitude), math.sin(latitude)
    d, v_r = theta[1], theta[4]
    v1, v2 = MAS_YR_KPC * d * theta[2], MAS_YR_KPC * d * theta[3]
    y0, y2 = d * cos, d * sin
    w0, w1, w2 = v_r * cos - v2 * sin, v1, v_r * sin + v2 * cos
    for i in range(3):
        phase[i] = sun[i] + axes[i, 0] * y0 + axes[i, 2] * y2
        phase[3 + i] = sun_velocity[i] + axes[i, 0] * w0 + axes[i, 1] * w1 + axes[i, 2] * w2


@_jit
def seen_from_sun(phase: Array, axes: Array, sun: Array, sun_velocity: Array, out: Array) -> float:
    """(phi1, phi2, d, pm1, pm2, v_r) of a phase-space point, out (6,); returns d(phi1)/dt of the path in radians.

    The path runs along the velocity relative to the Galaxy; what is measured is relative to the moving Sun.
    """
    y0 = y1 = y2 = w0 = w1 = w2 = g0 = g1 = 0.0
    for i in range(3):
        dx, v = phase[i] - sun[i], phase[3 + i]
        dv = v - sun_velocity[i]
        y0 += axes[i, 0] * dx
        y1 += axes[i, 1] * dx
        y2 += axes[i, 2] * dx
        w0 += axes[i, 0] * dv
        w1 += axes[i, 1] * dv
        w2 += axes[i, 2] * dv
        g0 += axes[i, 0] * v
        g1 += axes[i, 1] * v
    rho2 = y0 * y0 + y1 * y1
    rho = math.sqrt(rho2)
    d2 = rho2 + y2 * y2
    d = math.sqrt(d2)
    along = (y0 * w0 + y1 * w1) / rho
    out[0] = math.atan2(y1, y0) / DEG
    out[1] = math.atan2(y2, rho) / DEG
    out[2] = d
    out[3] = (y0 * w1 - y1 * w0) / (rho * d * MAS_YR_KPC)
    out[4] = (w2 * rho - y2 * along) / (d2 * MAS_YR_KPC)
    out[5] = (y0 * w0 + y1 * w1 + y2 * w2) / d
    return (y0 * g1 - y1 * g0) / rho2


@_jit
def _step(kinds: Integers, offsets: Integers, data: Array, p: Array, h: float) -> None:
    """One Runge-Kutta step of fourth order, in place."""
    x, y, z, u, v, w = p[0], p[1], p[2], p[3], p[4], p[5]
    half = 0.5 * h
    a0, b0, c0 = acceleration_at(kinds, offsets, data, x, y, z)
    u1, v1, w1 = u + half * a0, v + half * b0, w + half * c0
    a1, b1, c1 = acceleration_at(kinds, offsets, data, x + half * u, y + half * v, z + half * w)
    u2, v2, w2 = u + half * a1, v + half * b1, w + half * c1
    a2, b2, c2 = acceleration_at(kinds, offsets, data, x + half * u1, y + half * v1, z + half * w1)
    u3, v3, w3 = u + h * a2, v + h * b2, w + h * c2
    a3, b3, c3 = acceleration_at(kinds, offsets, data, x + h * u2, y + h * v2, z + h * w2)
    sixth = h / 6.0
    p[0] = x + sixth * (u + 2.0 * (u1 + u2) + u3)
    p[1] = y + sixth * (v + 2.0 * (v1 + v2) + v3)
    p[2] = z + sixth * (w + 2.0 * (w1 + w2) + w3)
    p[3] = u + sixth * (a0 + 2.0 * (a1 + a2) + a3)
    p[4] = v + sixth * (b0 + 2.0 * (b1 + b2) + b3)
    p[5] = w + sixth * (c0 + 2.0 * (c1 + c2) + c3)


@_jit
def curve(
    theta: Array,
    kinds: Integers,
    offsets: Integers,
    data: Array,
    axes: Array,
    sun: Array,
    sun_velocity: Array,
    ends: Array,
    step: float,
    grid: Array,
) -> tuple[int, int]:
    """The orbit through phi1 = 0 as a curve over phi1 that covers ``ends``; grid (2 SIDE + 1, 6), used part returned.

    It ends early where the path turns back in phi1, or after SIDE steps.
    """
    phase = np.empty(6)
    first = last = SIDE
    for direction in (-1, 1):
        start_of(theta, axes, sun, sun_velocity, phase)
        rate = seen_from_sun(phase, axes, sun, sun_velocity, grid[SIDE])
        forward = 1.0 if rate * direction > 0.0 else -1.0  # in time
        end = ends[0] if direction < 0 else ends[1]
        place = SIDE
        for n in range(SIDE):
            covered = (grid[place, 0] - end) * direction > 0.0 and n >= LEAST  # enough to interpolate
            if covered or rate * direction * forward <= 0.0:
                break
            h = forward * min(step * DEG / abs(rate), LONGEST_STEP)
            _step(kinds, offsets, data, phase, h)
            place += direction
            rate = seen_from_sun(phase, axes, sun, sun_velocity, grid[place])
            if (grid[place, 0] - grid[place - direction, 0]) * direction <= 0.0:  # turned back, or round the sky
                place -= direction
                break
        if direction < 0:
            first = place
        else:
            last = place
    return first, last


@_jit
def read_off(grid: Array, first: int, last: int, phi1: float, near: int, out: Array) -> int:
    """Cubic interpolation in phi1, out (6,); ``near`` is where to look first; the place found is returned."""
    while near < last - 1 and grid[near + 1, 0] < phi1:
        near += 1
    while near > first and grid[near, 0] > phi1:
        near -= 1
    at = min(max(near - 1, first), last - 3)
    a, b, c, d = grid[at, 0], grid[at + 1, 0], grid[at + 2, 0], grid[at + 3, 0]
    ua, ub, uc, ud = phi1 - a, phi1 - b, phi1 - c, phi1 - d
    wa = ub * uc * ud / ((a - b) * (a - c) * (a - d))
    wb = ua * uc * ud / ((b - a) * (b - c) * (b - d))
    wc = ua * ub * ud / ((c - a) * (c - b) * (c - d))
    wd = ua * ub * uc / ((d - a) * (d - b) * (d - c))
    out[0] = phi1
    for k in range(1, 6):
        out[k] = wa * grid[at, k] + wb * grid[at + 1, k] + wc * grid[at + 2, k] + wd * grid[at + 3, k]
    return near


@_jit
def _normal(delta: float, variance: float) -> float:
    """Natural log of a normal density."""
    return -0.5 * (delta * delta / variance + math.log(variance) + LOG_TWO_PI)


@_jit
def _normal_pair(east: float, north: float, row: Array, scatter2: float) -> float:
    """Natural log of the density of a row's proper motion: of both components, or of the one it has."""
    vxx, vyy = row[6] * row[6] + scatter2, row[8] * row[8] + scatter2
    determinant, chi2, terms = 1.0, 0.0, 0.0
    if row[6] == row[6] and row[8] == row[8]:
        vxy = row[9] * row[6] * row[8]
        determinant = vxx * vyy - vxy * vxy
        chi2 = (vyy * east * east - 2.0 * vxy * east * north + vxx * north * north) / determinant
        terms = 2.0
    elif row[6] == row[6]:
        determinant, chi2, terms = vxx, east * east / vxx, 1.0
    elif row[8] == row[8]:
        determinant, chi2, terms = vyy, north * north / vyy, 1.0
    return -0.5 * (chi2 + math.log(determinant) + terms * LOG_TWO_PI)


@_jit
def _row(row: Array, seen: Array, sky: float, distance: float, motion: float, velocity: float, zero: Array) -> float:
    """Log-likelihood of one row around the orbit, with the scatters added to its errors.

    zero (3,) is what all rows share: a factor on the distances, offsets of pmra and pmdec.
    """
    total = 0.0
    if row[2] == row[2]:
        total += _normal(row[1] - seen[1], row[2] * row[2] + sky * sky)
    if row[4] == row[4]:
        total += _normal(row[3] - seen[2] * zero[0], row[4] * row[4] + distance * distance)
    cos, sin = row[12], row[13]  # (pm1, pm2) = turn (pmra, pmdec); turn = [[cos, sin], [-sin, cos]]
    east = row[5] - zero[1] - (cos * seen[3] - sin * seen[4])
    north = row[7] - zero[2] - (sin * seen[3] + cos * seen[4])
    total += _normal_pair(east, north, row, motion * motion)
    if row[11] == row[11]:
        total += _normal(row[10] - seen[5], row[11] * row[11] + velocity * velocity)
    return total


@_jit
def log_likelihood(
    theta: Array,
    rows: Array,
    stray: Array,
    kinds: Integers,
    offsets: Integers,
    data: Array,
    axes: Array,
    sun: Array,
    sun_velocity: Array,
    step: float,
    grid: Array,
) -> float:
    """Natural log of the likelihood of rows (see ``orbit_points.COLUMNS``, sorted by phi1).

    theta (13,): phi2, distance, pm_phi1_cosphi2, pm_phi2, v_r at phi1 = 0; scatter in sky, distance, proper motion,
    v_r; the share of strays, rows with a place of their own that scatter around the orbit by ``stray`` (4,) instead;
    and the zero points: a factor on all distances, offsets of all pmra and pmdec.
    """
    n = rows.shape[0]
    ends = np.array([min(rows[0, 0], 0.0), max(rows[n - 1, 0], 0.0)])
    first, last = curve(theta, kinds, offsets, data, axes, sun, sun_velocity, ends, step, grid)
    if last - first < 3:
        return -1e15
    seen = np.empty(6)
    near, total, share, zero = first, 0.0, theta[9], theta[10:13]
    for i in range(n):
        row = rows[i]
        phi1 = min(max(row[0], grid[first, 0]), grid[last, 0])
        off = (row[0] - phi1) / UNCOVERED
        total -= 0.5 * off * off
        near = read_off(grid, first, last, phi1, near, seen)
        member = _row(row, seen, theta[5], theta[6], theta[7], theta[8], zero)
        if share > 0.0 and row[2] == row[2]:  # a mean distance or motion of the whole stream is no stray
            other = _row(row, seen, stray[0], stray[1], stray[2], stray[3], zero) + math.log(share)
            member += math.log1p(-share)
            high = max(member, other)
            member = high + math.log(math.exp(member - high) + math.exp(other - high))
        total += member
    return total


@_jit
def log_likelihoods(
    thetas: Array,
    rows: Array,
    stray: Array,
    kinds: Integers,
    offsets: Integers,
    data: Array,
    axes: Array,
    sun: Array,
    sun_velocity: Array,
    step: float,
    out: Array,
) -> None:
    """``log_likelihood`` of many parameter vectors, thetas (m, 13) -> out (m,); -inf where it is not a number."""
    grid = np.empty((2 * SIDE + 1, 6))
    for m in range(thetas.shape[0]):
        value = log_likelihood(thetas[m], rows, stray, kinds, offsets, data, axes, sun, sun_velocity, step, grid)
        out[m] = value if value == value else -np.inf


@_jit
def predictions(
    thetas: Array,
    phi1: Array,
    kinds: Integers,
    offsets: Integers,
    data: Array,
    axes: Array,
    sun: Array,
    sun_velocity: Array,
    step: float,
    out: Array,
) -> None:
    """The curves at ascending phi1 (n,), out (m, n, 6); NaN where an orbit does not get there."""
    grid = np.empty((2 * SIDE + 1, 6))
    ends = np.array([min(phi1[0], 0.0), max(phi1[phi1.size - 1], 0.0)])
    for m in range(thetas.shape[0]):
        first, last = curve(thetas[m], kinds, offsets, data, axes, sun, sun_velocity, ends, step, grid)
        near = first
        for n in range(phi1.size):
            if last - first < 3 or phi1[n] < grid[first, 0] or phi1[n] > grid[last, 0]:
                out[m, n, :] = np.nan
                continue
            near = read_off(grid, first, last, phi1[n], near, out[m, n])


@_jit
def starts(thetas: Array, axes: Array, sun: Array, sun_velocity: Array, out: Array) -> None:
    """``start_of`` for many parameter vectors, out (m, 6)."""
    for m in range(thetas.shape[0]):
        start_of(thetas[m], axes, sun, sun_velocity, out[m])
