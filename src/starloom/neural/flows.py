"""Conditional normalizing flows that are normalized exactly on a box.

The flows are zuko's masked autoregressive flows with rational-quadratic splines; here they map the box [-1, 1]^d onto
itself with a uniform base, and their slopes at the ends are free. So the density integrates to one over the window of
the data, and may end abruptly at its edge, as selected data do.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import zuko
from torch import Tensor, nn
from zuko.transforms import MonotonicRQSTransform

_SLOPE = 1e-3


class _BoxSpline(MonotonicRQSTransform):  # type: ignore[misc]
    """A rational-quadratic spline of [-1, 1] onto itself whose end slopes are free."""

    def __init__(self, widths: Tensor, heights: Tensor, derivatives: Tensor, **options: Any) -> None:
        super().__init__(widths, heights, derivatives[..., 1:-1], bound=1.0, slope=_SLOPE, **options)
        self.derivatives = torch.exp(derivatives / (1 + abs(derivatives / math.log(_SLOPE))))


class BoxFlow(nn.Module):
    """A density on [-1, 1]^features given a context.

    Parameters
    ----------
    features, context : dimensions of the density and of what it is conditional on (context scaled to about [-1, 1]).
    bins : spline bins a dimension.
    hidden : units of the two hidden layers.
    transforms : autoregressive transforms.
    """

    def __init__(self, features: int, context: int, *, bins: int = 8, hidden: int = 24, transforms: int = 2) -> None:
        super().__init__()
        self.sizes = {
            "features": features,
            "context": context,
            "bins": bins,
            "hidden": hidden,
            "transforms": transforms,
        }
        self.flow = zuko.flows.MAF(
            features,
            context,
            transforms=transforms,
            univariate=_BoxSpline,
            shapes=[(bins,), (bins,), (bins + 1,)],
            hidden_features=(hidden, hidden),
            activation=nn.Tanh,
        )
        edge = torch.full((features,), 1.0 + 1e-6)  # a point on the edge of the box is inside
        self.flow.base = zuko.lazy.UnconditionalDistribution(
            zuko.distributions.BoxUniform, lower=-edge, upper=edge, buffer=True
        )

    def forward(self, context: Tensor) -> torch.distributions.Distribution:
        """The distribution given contexts, shape (n, context)."""
        distribution: torch.distributions.Distribution = self.flow(context)
        return distribution

    def log_prob(self, square: Tensor, context: Tensor) -> Tensor:
        """Log density on the box of points (n, features), shape (n,)."""
        inside = 1.0 - 1e-6  # a spline is the identity from its lower end on: a point on the edge is taken just inside
        return self.forward(context).log_prob(square.clamp(-inside, inside))

    def from_uniform(self, uniform: Tensor, context: Tensor) -> Tensor:
        """Points on the box from uniform deviates in [0, 1), both (n, features)."""
        square: Tensor = self.flow(context).transform.inv(2.0 * uniform - 1.0)
        return square.clamp(-1.0, 1.0)
