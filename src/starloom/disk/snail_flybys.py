"""Compiled sum of straight flybys over bins of time."""

from __future__ import annotations

import math
from typing import Any

import numba


@numba.njit(nogil=True, cache=True, error_model="numpy")
def add_flybys(
    out: Any, owner: Any, gm: Any, b: Any, toward: Any, along: Any, when: Any, speed: float, softening: float,
    step: float,
) -> None:  # fmt: skip
    """Add the vertical impulses of flybys to ``out`` (draws, bins), exactly integrated over each bin.

    The path is b n + V t e; ``toward`` and ``along`` are the vertical parts of n and e, ``when`` the time of the
    closest point in the units of ``step``, counted backwards.
    """
    bins = out.shape[1]
    for k in range(len(owner)):
        row = owner[k]
        core = b[k] * b[k] + softening * softening
        last_side, last_along = 0.0, 0.0
        for edge in range(bins + 1):
            t = edge * step - when[k]
            distance = math.sqrt(core + speed * speed * t * t)
            side = b[k] * t / (core * distance)
            path = 1.0 / (speed * distance)  # counted backwards in time, the path's sign turns
            if edge > 0:
                out[row, edge - 1] += gm[k] * (toward[k] * (side - last_side) + along[k] * (path - last_along))
            last_side, last_along = side, path
