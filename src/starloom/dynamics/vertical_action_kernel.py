"""Compiled lookups of vertical action-angle tables.

With u = sign(z) sqrt(Phi(z)) an orbit of energy E = s^2 is the circle u = s sin(psi), v = sqrt(2) s cos(psi). Its angle
is theta = psi + delta(s, psi), where delta is smooth, odd in psi and of period pi: so one quarter of it is tabulated.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

NOT_FINITE, UNBOUND, BEYOND = 1, 2, 4
MOST_ITERATIONS = 40

# Products and sums are fused here, unlike in orbits: the parts are put into the two kernels before these are compiled,
# so that a kernel from the cache fuses what one just compiled does (same digits, measured); without, 13 to 22 % slower.
_jit = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
_part = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"}, inline="always")


@_part
def _hermite(table: Any, step: float, x: float) -> float:
    """Cubic through values table[:, 0] and slopes table[:, 1] at multiples of ``step``."""
    place = x / step
    k = min(int(place), len(table) - 2)
    t = place - k
    low, high = table[k, 0], table[k + 1, 0]
    from_low, from_high = table[k, 1] * step, table[k + 1, 1] * step
    rise = high - low
    return float(low + t * (from_low + t * ((3.0 * rise - 2.0 * from_low - from_high) + t * (from_low + from_high - 2.0 * rise))))  # fmt: skip # noqa: E501


@_part
def _weights(t: float) -> tuple[float, float, float, float]:
    """Lagrange's weights of the points at -1, 0, 1, 2."""
    a, b, c, d = t + 1.0, t, t - 1.0, t - 2.0
    return -b * c * d / 6.0, a * c * d / 2.0, -a * b * d / 2.0, a * b * c / 6.0


@_part
def _delta(delta: Any, s_step: float, psi_step: float, s: float, psi: float) -> float:
    """theta - psi; the table has one more row and column on each side than its range."""
    turn = math.floor(psi / math.pi)
    folded = psi - turn * math.pi  # [0, pi)
    sign = 1.0
    if folded > 0.5 * math.pi:
        folded, sign = math.pi - folded, -1.0
    x, y = s / s_step, folded / psi_step
    i, j = min(int(x), delta.shape[0] - 4), min(int(y), delta.shape[1] - 4)
    w0, w1, w2, w3 = _weights(x - i)
    q0, q1, q2, q3 = _weights(y - j)
    total = w0 * (q0 * delta[i, j] + q1 * delta[i, j + 1] + q2 * delta[i, j + 2] + q3 * delta[i, j + 3])
    i += 1
    total += w1 * (q0 * delta[i, j] + q1 * delta[i, j + 1] + q2 * delta[i, j + 2] + q3 * delta[i, j + 3])
    i += 1
    total += w2 * (q0 * delta[i, j] + q1 * delta[i, j + 1] + q2 * delta[i, j + 2] + q3 * delta[i, j + 3])
    i += 1
    total += w3 * (q0 * delta[i, j] + q1 * delta[i, j + 1] + q2 * delta[i, j + 2] + q3 * delta[i, j + 3])
    return float(sign * total)


@_jit
def forward(
    z: Any, v: Any, u_of_z: Any, z_step: float, share_of_s: Any, omega_of_s: Any, s_step: float, delta: Any,
    psi_step: float, z_top: float, s_top: float, depth: float, out: Any, flag: Any,
) -> None:  # fmt: skip
    """(z, v) -> out (n, 4): action, angle in [0, 2 pi), frequency, energy. ``share_of_s`` is J / s^2."""
    for row in range(len(z)):
        out[row, :] = np.nan
        flag[row] = 0
        height = abs(z[row])
        if not (math.isfinite(height) and math.isfinite(v[row])):
            flag[row] = NOT_FINITE
            continue
        if height > z_top:
            flag[row] = BEYOND
            continue
        u = _hermite(u_of_z, z_step, height)
        w = v[row] / math.sqrt(2.0)
        energy = u * u + w * w
        out[row, 3] = energy
        s = math.sqrt(energy)
        if energy >= depth:
            flag[row] = UNBOUND
            continue
        if s > s_top:
            flag[row] = BEYOND
            continue
        psi = math.atan2(u if z[row] >= 0 else -u, w)
        theta = psi + _delta(delta, s_step, psi_step, s, psi)
        if theta < 0.0:
            theta += 2.0 * math.pi
        out[row, 0] = energy * _hermite(share_of_s, s_step, s)
        out[row, 1] = theta
        out[row, 2] = _hermite(omega_of_s, s_step, s)


@_jit
def inverse(
    action: Any, theta: Any, s_of_root: Any, root_step: float, share_of_s: Any, omega_of_s: Any, s_step: float,
    delta: Any, psi_step: float, z_of_u: Any, action_top: float, out: Any, flag: Any,
) -> None:  # fmt: skip
    """(action, angle) -> out (n, 2): z, v. ``z_of_u`` has the steps of s."""
    for row in range(len(action)):
        out[row, :] = np.nan
        flag[row] = 0
        j = action[row]
        if not (math.isfinite(j) and math.isfinite(theta[row])) or j < 0.0:
            flag[row] = NOT_FINITE
            continue
        if j > action_top:
            flag[row] = BEYOND
            continue
        s = _hermite(s_of_root, root_step, math.sqrt(j))
        for _ in range(3):  # dJ/ds = 2 s / omega
            if s <= 0.0:
                break
            s -= (s * s * _hermite(share_of_s, s_step, s) - j) * _hermite(omega_of_s, s_step, s) / (2.0 * s)
            s = max(s, 0.0)
        omega = _hermite(omega_of_s, s_step, s)
        psi = theta[row] - _delta(delta, s_step, psi_step, s, theta[row])
        for _ in range(MOST_ITERATIONS):  # d theta / d psi = omega dz/du / sqrt(2)
            miss = psi + _delta(delta, s_step, psi_step, s, psi) - theta[row]
            place = abs(s * math.sin(psi)) / s_step
            k = min(int(place), len(z_of_u) - 2)
            slope = z_of_u[k, 1] + (place - k) * (z_of_u[k + 1, 1] - z_of_u[k, 1])
            psi -= miss * math.sqrt(2.0) / (omega * slope)
            if abs(miss) < 1e-13:
                break
        u = s * math.sin(psi)
        height = _hermite(z_of_u, s_step, abs(u))
        out[row, 0] = height if u >= 0 else -height
        out[row, 1] = math.sqrt(2.0) * s * math.cos(psi)
