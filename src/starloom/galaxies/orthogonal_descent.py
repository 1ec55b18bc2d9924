"""AdamW, but for the kernels: they move by their momentum made orthogonal, so that no direction is learned last.

The gradient of a kernel is mostly of a few strong directions. Its momentum M = U S V^T is replaced by U V^T, found to a
few tenths by five Newton-Schulz steps with the coefficients of Jordan et al. 2024 (the optimizer "Muon";
arXiv:2502.16982 for its use at scale). What it was worth on votes is told in docs/galaxy_scaling.md.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_STEPS = 5
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # steep at 0, so that small singular values rise fast; about 1 at the end
MOMENTUM = 0.9


def orthogonal(matrix: Tensor, kind: torch.dtype = torch.float32) -> Tensor:
    """A matrix with the same singular vectors and singular values of about 1 (0.7 to 1.2); 0 stays 0.

    Parameters
    ----------
    matrix : (rows, columns).
    kind : precision of the products.

    Examples
    --------
    >>> found = orthogonal(torch.diag(torch.tensor([5.0, 0.3, 1.0])))
    >>> bool((found.diagonal() > 0.6).all()), bool((found.diagonal() < 1.3).all())
    (True, True)
    """
    a, b, c = _COEFFICIENTS
    x = matrix.to(kind)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    # every step multiplies x by a polynomial of x x^T: these are square matrices, smaller than x, and all commute
    square = (x @ x.T).float()
    one = torch.eye(len(square))
    factor = one
    for left in range(_STEPS)[::-1]:
        part = a * one + b * square + c * square @ square
        factor = part @ factor
        if left:
            square = part @ square @ part
    x = factor.to(kind) @ x
    result: Tensor = (x.T if tall else x).to(matrix.dtype)
    return result


class OrthogonalDescent(torch.optim.AdamW):
    """AdamW for groups without ``orthogonal``; orthogonal momentum for the kernels of groups with it.

    Parameters
    ----------
    groups : as of any optimizer; with ``orthogonal`` true, the kernels (outputs, ...) of a group move at its learning
        rate times the orthogonal momentum, which has the norm of the root of the smaller side.
    kind : precision of the products of matrices.
    more : settings of AdamW.
    """

    def __init__(self, groups: list[dict[str, Any]], *, kind: torch.dtype = torch.float32, **more: Any) -> None:
        super().__init__([{"orthogonal": False, **group} for group in groups], **more)
        self.kind = kind

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step; gradients of the kernels are used up."""
        for group in self.param_groups:
            for kernel in group["params"] if group["orthogonal"] else ():
                if kernel.grad is None:
                    continue
                state = self.state[kernel]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(kernel)
                momentum = state["momentum"].lerp_(kernel.grad, 1.0 - MOMENTUM)
                ahead = kernel.grad.lerp(momentum, MOMENTUM).flatten(1)
                rate = group["lr"] * max(1.0, ahead.shape[0] / ahead.shape[1]) ** 0.5
                kernel.mul_(1.0 - rate * group["weight_decay"])
                kernel.sub_(rate * orthogonal(ahead, self.kind).view(kernel.shape))
                kernel.grad = None
        return super().step(closure)
