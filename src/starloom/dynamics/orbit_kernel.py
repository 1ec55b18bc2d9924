"""The compiled orbit integrator: Dormand & Prince's 8(5,3) pairs, each star with its own steps.

The equation is of second order and its force does not depend on velocity, so the method is used in its Nystroem form:
stages of the position alone, with the coefficients A A. That is the same method with the same result at half the
algebra. Outputs at requested times come from its seventh-order interpolation, whose extra stages are computed only for
steps that hold an output.

Coefficients: Hairer, Norsett & Wanner, Solving Ordinary Differential Equations I (DOP853), as scipy carries them.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.integrate._ivp import dop853_coefficients as dop853

from starloom.dynamics.force_kernels import acceleration_at, value_at

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

STAGES, ALL_STAGES = 12, 16
A = np.ascontiguousarray(dop853.A)
B = np.ascontiguousarray(dop853.B)
C = np.ascontiguousarray(dop853.C)
AA = np.ascontiguousarray(dop853.A @ dop853.A)  # of positions: x_i = x + c_i h v + h^2 sum_j AA_ij a_j
BA = np.ascontiguousarray(dop853.B @ dop853.A[:STAGES, :STAGES])
E3 = np.ascontiguousarray(dop853.E3[:STAGES])
E5 = np.ascontiguousarray(dop853.E5[:STAGES])
E3A = np.ascontiguousarray(E3 @ dop853.A[:STAGES, :STAGES])
E5A = np.ascontiguousarray(E5 @ dop853.A[:STAGES, :STAGES])
D = np.ascontiguousarray(dop853.D)

OK, NOT_FINITE, TOO_MANY_STEPS, STEP_TOO_SMALL = 0, 1, 2, 4
SHORTEST_STEP = 1e-14  # of the span still to go
FINEST = 1e-15  # tolerance below which rounding rules
SAFETY, GROW, SHRINK = 0.9, 6.0, 0.2

# Columns of the summary of an orbit
PERI_MEAN, PERI_LEAST, PERI_COUNT, APO_MEAN, APO_LARGEST, APO_COUNT, R_LEAST, R_LARGEST, Z_MAX, STEPS = range(10)
SUMMARY = 10

# no fused products: a kernel from the cache and one just compiled would fuse others, and orbits differ in the 8th digit
_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


@_jit
def _put(rows: Array, place: int, values: Array) -> None:
    """One row of positions or velocities; loops like this compile faster than slices."""
    for i in range(3):
        rows[place, i] = values[i]


@_jit
def _blank(positions: Array, velocities: Array, start: int) -> None:
    """NaN from a row on."""
    for place in range(start, positions.shape[0]):
        for i in range(3):
            positions[place, i] = velocities[place, i] = np.nan


@_jit
def _first_step(x: Array, v: Array, a: Array, tolerance: float) -> float:
    """A first step from the local dynamical time: it is corrected within a few steps."""
    r = math.sqrt(x[0] ** 2 + x[1] ** 2 + x[2] ** 2)
    speed = math.sqrt(v[0] ** 2 + v[1] ** 2 + v[2] ** 2)
    pull = math.sqrt(a[0] ** 2 + a[1] ** 2 + a[2] ** 2)
    rate = speed / (r + 1e-300) + math.sqrt(pull / (r + 1e-300))
    first: float = 5.0 * tolerance**0.125 / (rate + 1e-300)
    return first


@_jit
def _extremum(h: float, x0: Array, v0: Array, a0: Array, x1: Array, v1: Array, a1: Array, p: Array, q: Array) -> float:
    """The radius (axis p = 1 all) or the height (p selects z) at the turning point within a step.

    The path is the quintic through position, velocity and acceleration at both ends; the turning point of
    sum_i p_i x_i^2 is found by regula falsi (Illinois) on its derivative. ``q`` is room for six coefficients an axis.
    """
    for i in range(3):
        rise = x1[i] - x0[i]
        f0, f1, s0, s1 = h * v0[i], h * v1[i], h * h * a0[i], h * h * a1[i]
        d0, d1, d2 = rise - f0 - 0.5 * s0, f1 - f0 - s0, s1 - s0
        at = 6 * i
        q[at], q[at + 1], q[at + 2] = x0[i], f0, 0.5 * s0
        q[at + 3] = 10 * d0 - 4 * d1 + 0.5 * d2
        q[at + 4] = -15 * d0 + 7 * d1 - d2
        q[at + 5] = 6 * d0 - 3 * d1 + 0.5 * d2
    low, high, value = 0.0, 1.0, 0.0
    at_low = at_high = 0.0
    for i in range(3):
        at_low += p[i] * x0[i] * h * v0[i]
        at_high += p[i] * x1[i] * h * v1[i]
    side = 0
    for _ in range(40):
        t = (low * at_high - high * at_low) / (at_high - at_low)
        if not low < t < high:
            t = 0.5 * (low + high)
        value = slope = 0.0
        for i in range(3):
            at = 6 * i
            place = q[at] + t * (q[at + 1] + t * (q[at + 2] + t * (q[at + 3] + t * (q[at + 4] + t * q[at + 5]))))
            rate = q[at + 1] + t * (2 * q[at + 2] + t * (3 * q[at + 3] + t * (4 * q[at + 4] + t * 5 * q[at + 5])))
            value += p[i] * place * place
            slope += p[i] * place * rate
        # the value is flat there: a turning point to 1e-5 of the step gives it to 1e-10
        if abs(slope) < 1e-5 * abs(at_high - at_low) or high - low < 1e-6:
            break
        if (slope > 0.0) == (at_low > 0.0):
            low, at_low = t, slope
            if side == 1:
                at_high *= 0.5
            side = 1
        else:
            high, at_high = t, slope
            if side == -1:
                at_low *= 0.5
            side = -1
    return math.sqrt(value)


@_jit
def integrate_star(
    kinds: Integers,
    offsets: Integers,
    data: Array,
    x_start: Array,
    v_start: Array,
    times: Array,
    tolerance: float,
    reference: float,
    most_steps: int,
    positions: Array,
    velocities: Array,
    summary: Array,
    work: Array,
) -> int:
    """Carry one star from time 0 through times of one sign that move away from 0, in units of kpc/(km/s).

    Positions and velocities (t, 3) are filled at the times; ``summary`` is added to. ``reference`` is the energy
    that errors are measured by; ``work`` is room (64, 3). Returns a flag; what was not reached is NaN.
    """
    acc, vel = work[0:16], work[16:32]
    x, v, a = work[32], work[33], work[34]
    x1, v1, a1 = work[35], work[36], work[37]
    stage = work[38]
    dense_x, dense_v = work[39:46], work[46:53]
    every, only_z, room = work[53], work[54], work[55:61].ravel()
    for i in range(3):
        every[i], only_z[i] = 1.0, 0.0
    only_z[2] = 1.0
    count = times.size
    for i in range(3):
        x[i], v[i] = x_start[i], v_start[i]
        if not (math.isfinite(x[i]) and math.isfinite(v[i])):
            _blank(positions, velocities, 0)
            return NOT_FINITE
    r0 = math.sqrt(x[0] ** 2 + x[1] ** 2 + x[2] ** 2)
    summary[R_LEAST], summary[R_LARGEST] = min(summary[R_LEAST], r0), max(summary[R_LARGEST], r0)
    summary[Z_MAX] = max(summary[Z_MAX], abs(x[2]))
    done = 0
    while done < count and times[done] == 0.0:
        _put(positions, done, x)
        _put(velocities, done, v)
        done += 1
    if done == count:
        return OK
    end = times[count - 1]
    sign = 1.0 if end > 0 else -1.0
    a[0], a[1], a[2] = acceleration_at(kinds, offsets, data, x[0], x[1], x[2])
    t, h = 0.0, min(_first_step(x, v, a, tolerance), abs(end)) * sign
    rejected = False
    for _ in range(most_steps):
        last = abs(end - t) <= abs(h)
        if last:
            h = end - t
        if (abs(h) < SHORTEST_STEP * abs(end) and not last) or not math.isfinite(h):
            _blank(positions, velocities, done)
            return STEP_TOO_SMALL
        _put(acc, 0, a)
        for s in range(1, STAGES):
            p0 = p1 = p2 = 0.0
            for j in range(s):
                w = AA[s, j]
                p0 += w * acc[j, 0]
                p1 += w * acc[j, 1]
                p2 += w * acc[j, 2]
            ch, hh = C[s] * h, h * h
            acc[s, 0], acc[s, 1], acc[s, 2] = acceleration_at(
                kinds,
                offsets,
                data,
                x[0] + ch * v[0] + hh * p0,
                x[1] + ch * v[1] + hh * p1,
                x[2] + ch * v[2] + hh * p2,
            )
        far = 0.0
        scale_x = scale_v = 0.0
        err5x = err3x = err5v = err3v = 0.0
        for i in range(3):
            sx = sv = e5x = e3x = e5v = e3v = 0.0
            for j in range(STAGES):
                k = acc[j, i]
                sx += BA[j] * k
                sv += B[j] * k
                e5x += E5A[j] * k
                e3x += E3A[j] * k
                e5v += E5[j] * k
                e3v += E3[j] * k
            x1[i] = x[i] + h * v[i] + h * h * sx
            v1[i] = v[i] + h * sv
            scale_x += max(x[i] * x[i], x1[i] * x1[i])
            scale_v += max(v[i] * v[i], v1[i] * v1[i])
            far += a[i] * a[i]
            err5x += (h * h * e5x) ** 2
            err3x += (h * h * e3x) ** 2
            err5v += (h * e5v) ** 2
            err3v += (h * e3v) ** 2
        # a speed that also holds at a turning point: that of a circular orbit under the force there
        scale_v += math.sqrt(far * scale_x)
        # where the energy is a small rest of large parts, the same error of it needs finer steps
        allowed = max(tolerance * min(1.0, 6.0 * reference / (scale_v + 1e-300)), FINEST)
        near = 1.0 / (scale_x * allowed * allowed + 1e-300)
        swift = 1.0 / (scale_v * allowed * allowed + 1e-300)
        five = err5x * near + err5v * swift
        three = err3x * near + err3v * swift
        error = five / math.sqrt(five + 0.01 * three + 1e-300)
        if not math.isfinite(error):
            h *= SHRINK
            rejected = True
            continue
        if error >= 1.0:
            h *= max(SHRINK, SAFETY * error**-0.125)
            rejected = True
            continue
        a1[0], a1[1], a1[2] = acceleration_at(kinds, offsets, data, x1[0], x1[1], x1[2])
        summary[STEPS] += 1.0
        t_next = end if last else t + h
        if done < count and sign * times[done] < sign * t_next:
            _prepare_dense(kinds, offsets, data, h, x, v, x1, v1, a1, acc, vel, stage, dense_x, dense_v)
            while done < count and sign * times[done] < sign * t_next:
                _evaluate_dense((times[done] - t) / h, x, v, dense_x, dense_v, positions[done], velocities[done])
                done += 1
        while done < count and times[done] == t_next:
            _put(positions, done, x1)
            _put(velocities, done, v1)
            done += 1
        _turning_points(sign, h, x, v, a, x1, v1, a1, every, only_z, room, summary)
        t = t_next
        for i in range(3):
            x[i], v[i], a[i] = x1[i], v1[i], a1[i]
        if done >= count:
            return OK
        factor = GROW if error < 1e-12 else min(GROW, max(SHRINK, SAFETY * error**-0.125))
        h *= min(1.0, factor) if rejected else factor
        rejected = False
    _blank(positions, velocities, done)
    return TOO_MANY_STEPS


@_jit
def _turning_points(
    sign: float,
    h: float,
    x: Array,
    v: Array,
    a: Array,
    x1: Array,
    v1: Array,
    a1: Array,
    every: Array,
    only_z: Array,
    room: Array,
    summary: Array,
) -> None:
    """Add the pericenter, the apocenter or the largest height within a step to the summary."""
    before = sign * (x[0] * v[0] + x[1] * v[1] + x[2] * v[2])
    after = sign * (x1[0] * v1[0] + x1[1] * v1[1] + x1[2] * v1[2])
    r = math.sqrt(x1[0] ** 2 + x1[1] ** 2 + x1[2] ** 2)
    if before < 0.0 <= after or after < 0.0 <= before:
        turn = _extremum(h, x, v, a, x1, v1, a1, every, room)
        if before < 0.0:
            summary[PERI_MEAN] += turn
            summary[PERI_COUNT] += 1.0
            summary[PERI_LEAST] = min(summary[PERI_LEAST], turn)
        else:
            summary[APO_MEAN] += turn
            summary[APO_COUNT] += 1.0
            summary[APO_LARGEST] = max(summary[APO_LARGEST], turn)
        summary[R_LEAST], summary[R_LARGEST] = min(summary[R_LEAST], turn), max(summary[R_LARGEST], turn)
    summary[R_LEAST], summary[R_LARGEST] = min(summary[R_LEAST], r), max(summary[R_LARGEST], r)
    summary[Z_MAX] = max(summary[Z_MAX], abs(x1[2]))
    rising, falling = sign * x[2] * v[2], sign * x1[2] * v1[2]
    if rising > 0.0 >= falling and x[2] * x1[2] > 0.0:
        # between two heights it turns at most a step's climb above them: often no new record
        most = max(abs(x[2]), abs(x1[2])) + abs(h) * max(abs(v[2]), abs(v1[2]))
        if most <= summary[Z_MAX]:
            return
        summary[Z_MAX] = max(summary[Z_MAX], _extremum(h, x, v, a, x1, v1, a1, only_z, room))


@_jit
def _prepare_dense(
    kinds: Integers,
    offsets: Integers,
    data: Array,
    h: float,
    x: Array,
    v: Array,
    x1: Array,
    v1: Array,
    a1: Array,
    acc: Array,
    vel: Array,
    stage: Array,
    dense_x: Array,
    dense_v: Array,
) -> None:
    """Coefficients of the interpolation within an accepted step; fills the stages that only it needs."""
    for i in range(3):
        acc[STAGES, i] = a1[i]
    for s in range(STAGES + 1):
        for i in range(3):
            total = 0.0
            for j in range(s):
                total += A[s, j] * acc[j, i]
            vel[s, i] = v[i] + h * total
    for i in range(3):
        vel[STAGES, i] = v1[i]
    for s in range(STAGES + 1, ALL_STAGES):
        for i in range(3):
            place = speed = 0.0
            for j in range(s):
                place += A[s, j] * vel[j, i]
                speed += A[s, j] * acc[j, i]
            stage[i] = x[i] + h * place
            vel[s, i] = v[i] + h * speed
        acc[s, 0], acc[s, 1], acc[s, 2] = acceleration_at(kinds, offsets, data, stage[0], stage[1], stage[2])
    for i in range(3):
        rise_x, rise_v = x1[i] - x[i], v1[i] - v[i]
        dense_x[0, i], dense_v[0, i] = rise_x, rise_v
        dense_x[1, i], dense_v[1, i] = h * vel[0, i] - rise_x, h * acc[0, i] - rise_v
        dense_x[2, i] = 2.0 * rise_x - h * (vel[STAGES, i] + vel[0, i])
        dense_v[2, i] = 2.0 * rise_v - h * (acc[STAGES, i] + acc[0, i])
        for row in range(4):
            place = speed = 0.0
            for j in range(ALL_STAGES):
                place += D[row, j] * vel[j, i]
                speed += D[row, j] * acc[j, i]
            dense_x[3 + row, i], dense_v[3 + row, i] = h * place, h * speed


@_jit
def _evaluate_dense(
    s: float, x: Array, v: Array, dense_x: Array, dense_v: Array, position: Array, velocity: Array
) -> None:
    for i in range(3):
        place = speed = 0.0
        for row in range(6, -1, -1):
            place += dense_x[row, i]
            speed += dense_v[row, i]
            factor = s if row % 2 == 0 else 1.0 - s
            place *= factor
            speed *= factor
        position[i], velocity[i] = x[i] + place, v[i] + speed


@_jit
def integrate_block(
    kinds: Integers,
    offsets: Integers,
    data: Array,
    x: Array,
    v: Array,
    times: Array,
    forward: Integers,
    tolerance: float,
    most_steps: int,
    positions: Array,
    velocities: Array,
    energy_error: Array,
    flag: Integers,
    summary: Array,
) -> None:
    """Integrate stars, x and v (n, 3), to times (n or 1, t): the first ``forward`` (n or 1) of them from 0
    on, the rest back.

    Each part moves away from 0. Outputs are as for integrate_star; ``energy_error`` (n,) is the largest over outputs.
    """
    work = np.empty((64, 3))
    shared = times.shape[0] == 1
    for n in range(x.shape[0]):
        mine, ahead = times[0 if shared else n], forward[0 if shared else n]
        row = summary[n]
        for column in range(SUMMARY):
            row[column] = 0.0
        row[PERI_LEAST] = row[R_LEAST] = np.inf
        found = OK
        start = _energy(kinds, offsets, data, x[n], v[n])
        kinetic = 0.5 * (v[n, 0] ** 2 + v[n, 1] ** 2 + v[n, 2] ** 2)
        reference = max(abs(start), 1e-4 * (kinetic + abs(start - kinetic)))
        for part in range(2):
            first, last = (0, ahead) if part == 0 else (ahead, mine.size)
            if first < last:
                found |= integrate_star(
                    kinds, offsets, data, x[n], v[n], mine[first:last], tolerance, reference, most_steps,
                    positions[n, first:last], velocities[n, first:last], row, work,
                )  # fmt: skip
        flag[n] = found
        worst = 0.0
        for k in range(mine.size):
            error = abs(_energy(kinds, offsets, data, positions[n, k], velocities[n, k]) - start)
            if not error <= worst:
                worst = error
        energy_error[n] = worst / abs(start)


@_jit
def _energy(kinds: Integers, offsets: Integers, data: Array, x: Array, v: Array) -> float:
    kinetic: float = 0.5 * (v[0] ** 2 + v[1] ** 2 + v[2] ** 2)
    return kinetic + value_at(kinds, offsets, data, x[0], x[1], x[2])
