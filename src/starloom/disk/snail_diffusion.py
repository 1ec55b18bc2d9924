"""A spiral under the diffusion equation itself, on all actions at once, in the place of the local t^3 law."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from starloom.dynamics.orbits import TIME_UNIT

if TYPE_CHECKING:
    from starloom.disk.snail_response import SnailModel
    from starloom.dynamics.vertical_actions import VerticalActions

    Floats = NDArray[np.float64]

SPACING = 0.2  # kpc km/s at the widest
SUBSTEPS = 4


def diffused(model: SnailModel) -> NDArray[np.complex128]:
    """Response (steps, nodes) to a unit impulse, over that of the same actions at once; see :func:`diffuse`."""
    from starloom.disk.snail_response import loudness

    def start(j: Floats) -> Floats:
        return loudness(j, model.actions.omega(j) / TIME_UNIT, model.scale)

    found = diffuse(
        model.actions,
        model.heating,
        start,
        model.ages_ago,
        model.j,
        harmonic=model.harmonic,
        top=2.0 * model.high + 30.0,
    )
    return found / model.loudness


def diffuse(
    actions: VerticalActions, heating: float, start: Callable[[Floats], Floats], times: Floats, places: Floats, *,
    harmonic: int = 1, top: float = 150.0,
) -> NDArray[np.complex128]:  # fmt: skip
    """Amplitude (times, places) of an angular harmonic that winds up and diffuses.

    da/dt = i m Omega a + d/dJ (k J da/dJ), from a = start(J), by turns: the rotation exactly, the diffusion by the rule
    of Crank and Nicolson with no flux at J = 0. The local law is its limit for spirals wound so tightly that
    nothing else changes over one turn.

    Parameters
    ----------
    actions : the vertical potential.
    heating : k, kpc km/s per Gyr.
    start : of actions (n,).
    times : evenly spaced and rising (Gyr), each half a step after a whole number of them.
    places : actions at which the amplitude is wanted.
    harmonic : m; 0 for the background itself.
    top : where the actions end, far above the places.
    """
    from scipy.linalg import solve_banded

    top = min(actions.action_top * 0.999, top)
    count = int(top / SPACING)
    edges = np.linspace(0.0, top, count + 1)
    j = 0.5 * (edges[1:] + edges[:-1])
    omega = actions.omega(j) / TIME_UNIT
    step = 2.0 * times[0] / SUBSTEPS
    flux = heating * edges * step / (edges[1] - edges[0]) ** 2
    flux[-1] = 0.0  # nothing leaves at the top
    matrix = np.zeros((3, count))
    matrix[0, 1:] = -0.5 * flux[1:-1]
    matrix[2, :-1] = -0.5 * flux[1:-1]
    matrix[1] = 1.0 + 0.5 * (flux[1:] + flux[:-1])
    half = np.exp(0.5j * harmonic * omega * step)
    amplitude = start(j).astype(np.complex128)
    found = np.empty((len(times), len(places)), np.complex128)
    for number, time in enumerate(times):
        for part in range(SUBSTEPS):
            if part == SUBSTEPS // 2:  # the middle of the bin
                found[number] = _at(places, j, amplitude, omega, time, harmonic)
            amplitude *= half
            moved = flux[1:-1] * (amplitude[1:] - amplitude[:-1])
            right = amplitude.copy()
            right[:-1] += 0.5 * moved
            right[1:] -= 0.5 * moved
            amplitude = solve_banded((1, 1), matrix, right, check_finite=False) * half
    return found


def _at(
    places: Floats, j: Floats, amplitude: NDArray[np.complex128], omega: Floats, tau: float, harmonic: int
) -> NDArray[np.complex128]:
    """Between the cells: the amplitude is unwound first, so that what is interpolated is smooth."""
    slow = amplitude * np.exp(-1j * harmonic * omega * tau)
    turn = np.exp(1j * harmonic * np.interp(places, j, omega) * tau)
    return np.asarray((np.interp(places, j, slow.real) + 1j * np.interp(places, j, slow.imag)) * turn)
