"""How much of a two-dimensional normal lies inside a convex polygon: value and exact gradient in one pass.

    mass = integral dx N(x; m_x, s_x) [Phi((top(x) - c(x)) / s) - Phi((bottom(x) - c(x)) / s)]
    c(x) = m_y + slope (x - m_x)

The inner integral is closed. The outer one is Gauss-Legendre on pieces: from corner to corner of the polygon within six
sigma, cut so that the integrand changes little on a piece. It is evaluated for every star at every step of a fit, so
value and derivatives share one compiled loop without temporaries.
"""

from __future__ import annotations

import itertools
import math
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

NODES = 4
SIGMAS = 6.0
SMALLEST_BLOCK = 1000
PIECE = 1.0  # longest piece, in units of the scale on which the integrand changes
Array = NDArray[np.float64]


@cache
def _kernel() -> Any:
    import numba

    @numba.njit(nogil=True, error_model="numpy")
    def mass(
        parameters: Array, knots: Array, bottom: Array, top: Array, node: Array, weight: Array, out: Array
    ) -> None:
        root_two, norm = math.sqrt(2.0), 1.0 / math.sqrt(2.0 * math.pi)
        for n in range(parameters.shape[0]):
            mx, my, sx, slope, sy = parameters[n]
            value = d_mx = d_my = d_sx = d_slope = d_sy = 0.0
            for corner in range(knots.size - 1):
                start = max(knots[corner], mx - SIGMAS * sx)
                end = min(knots[corner + 1], mx + SIGMAS * sx)
                if end <= start:
                    continue
                span = knots[corner + 1] - knots[corner]
                low_slope = (bottom[corner + 1] - bottom[corner]) / span
                high_slope = (top[corner + 1] - top[corner]) / span
                steepest = max(abs(low_slope - slope), abs(high_slope - slope), 1e-9)
                pieces = int((end - start) / (PIECE * min(sx, sy / steepest))) + 1
                width = (end - start) / pieces
                for piece in range(pieces):
                    for k in range(node.size):
                        x = start + width * (piece + node[k])
                        low = bottom[corner] + low_slope * (x - knots[corner])
                        high = top[corner] + high_slope * (x - knots[corner])
                        z = (x - mx) / sx
                        center = my + slope * (x - mx)
                        a, b = (low - center) / sy, (high - center) / sy
                        inside = 0.5 * (math.erf(b / root_two) - math.erf(a / root_two))
                        density_a, density_b = norm * math.exp(-0.5 * a * a), norm * math.exp(-0.5 * b * b)
                        f = norm / sx * math.exp(-0.5 * z * z) * weight[k] * width
                        d_center = -(density_b - density_a) / sy
                        value += f * inside
                        d_mx += f * (inside * z / sx - slope * d_center)
                        d_my += f * d_center
                        d_sx += f * inside * (z * z - 1.0) / sx
                        d_slope += f * d_center * (x - mx)
                        d_sy -= f * (density_b * b - density_a * a) / sy
            out[n, 0], out[n, 1], out[n, 2] = value, d_mx, d_my
            out[n, 3], out[n, 4], out[n, 5] = d_sx, d_slope, d_sy

    return mass


@cache
def _quadrature() -> tuple[Array, Array]:
    node, weight = np.polynomial.legendre.leggauss(NODES)
    return (node + 1.0) / 2.0, weight / 2.0


@cache
def _threads() -> tuple[int, ThreadPoolExecutor]:
    count = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
    return count, ThreadPoolExecutor(count, thread_name_prefix="polygon-mass")


def _run(packed: Array, knots: Array, bottom: Array, top: Array, out: Array) -> None:
    """The kernel over all normals, in blocks on plain threads (it holds no lock).

    Compiled OpenMP loops keep their threads spinning between calls, which starves torch's own on a busy machine. Every
    normal is on its own, so the result does not depend on the blocks.
    """
    count, pool = _threads()
    blocks = max(min(count, len(packed) // SMALLEST_BLOCK), 1)
    ends = np.linspace(0, len(packed), blocks + 1).astype(int)
    parts = [slice(low, high) for low, high in itertools.pairwise(ends)]
    kernel, (node, weight) = _kernel(), _quadrature()
    done = [pool.submit(kernel, packed[part], knots, bottom, top, node, weight, out[part]) for part in parts]
    for future in done:
        future.result()


class _Mass(torch.autograd.Function):
    """mass(m_x, m_y, s_x, slope, s_y), each shape (n,)."""

    @staticmethod
    def forward(ctx: Any, knots: Array, bottom: Array, top: Array, *parameters: Tensor) -> Tensor:
        stacked = torch.stack(parameters)
        packed = stacked.detach().reshape(5, -1).T.to(torch.float64).contiguous().numpy()
        out = np.empty((len(packed), 6))
        _run(packed, knots, bottom, top, out)
        found = torch.from_numpy(out).T.to(stacked.dtype).reshape(6, *stacked.shape[1:])
        ctx.save_for_backward(found[1:])
        return found[0]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (slopes,) = ctx.saved_tensors
        return (None, None, None, *(gradients[0] * slope for slope in slopes))


def normal_mass(
    knots: Array, bottom: Array, top: Array, mean_x: Tensor, mean_y: Tensor, xx: Tensor, xy: Tensor, yy: Tensor
) -> Tensor:
    """Mass of normals inside a region bottom(x) < y < top(x), differentiable in mean and covariance.

    Parameters
    ----------
    knots, bottom, top : the region's edges at increasing x, shape (k,) each; straight in between.
    mean_x, mean_y, xx, xy, yy : means and covariances, one shape.

    Returns
    -------
    Tensor of that shape, in its precision; the quadrature's own error is below 1e-7.
    """
    slope = xy / xx
    sigma_y = torch.sqrt((yy - xy * slope).clamp_min(1e-12))
    parameters = (mean_x, mean_y, torch.sqrt(xx), slope, sigma_y)
    mass: Tensor = _Mass.apply(knots, bottom, top, *parameters)  # type: ignore[no-untyped-call]
    return mass
