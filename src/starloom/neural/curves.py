"""Bounded functions of one coordinate, learned by an ensemble of small networks.

Every quantity along a stream (track, width, weight) is a function of phi1 alone. The networks are therefore evaluated
on a grid and read off between its nodes: their cost does not grow with the number of stars.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from starloom.errors import ConfigError

_SPLINES = 32
_EDGE = 0.02  # of a range: no curve begins closer to its ends, where the logistic is flat


@dataclass(frozen=True)
class Curve:
    """One output: its name, its open range, where it starts, and how smooth it is.

    Parameters
    ----------
    name : what it is.
    low, high : the range; a scaled logistic keeps the output inside.
    start : the value before training (None: the middle).
    scale : the change that is typical over ``length`` of the coordinate, in the output's unit; sets the roughness
        penalty (see ``Curves.roughness``).
    length : in the coordinate's unit.
    constant : the output does not vary along the coordinate.
    """

    name: str
    low: float
    high: float
    start: float | None = None
    scale: float = 1.0
    length: float = 10.0
    constant: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ConfigError(f"curve {self.name!r}: low {self.low} is not below high {self.high}")
        if self.start is not None and not self.low < self.start < self.high:
            raise ConfigError(f"curve {self.name!r}: start {self.start} is outside ({self.low}, {self.high})")


def splines(x: Tensor) -> Tensor:
    """Cubic B-splines with even knots on [0, 1], at x (n,): shape (n, splines)."""
    distance = ((_SPLINES - 3.0) * x[:, None] - torch.arange(-1.0, _SPLINES - 1.0, dtype=x.dtype)).abs()
    inner, outer = 2.0 / 3.0 - distance**2 + 0.5 * distance**3, (2.0 - distance).clamp_min(0.0) ** 3 / 6.0
    return torch.where(distance < 1.0, inner, outer)


class Curves(nn.Module):
    """An ensemble of multilayer perceptrons x -> curves, on a grid of x.

    Linear-tanh layers as in arXiv:2311.16960 (appendix on networks), with every member of the ensemble in one batched
    matrix product. A network learns its coarse shape first and the fine one slowly, so cubic B-splines are added to it
    before the logistic: they settle the details in a few hundred steps, and the roughness penalty holds for the sum.

    Parameters
    ----------
    curves : the outputs.
    x_range : the ends of the coordinate.
    members : how many networks.
    generator : random numbers for the starting weights.
    hidden, layers : units of a hidden layer, number of hidden layers.
    nodes : grid nodes.
    """

    low: Tensor
    span: Tensor
    offset: Tensor
    grid: Tensor
    basis: Tensor

    def __init__(
        self,
        curves: Sequence[Curve],
        x_range: tuple[float, float],
        members: int,
        generator: torch.Generator,
        *,
        hidden: int = 32,
        layers: int = 3,
        nodes: int = 257,
    ) -> None:
        super().__init__()
        self.curves = tuple(curves)
        self.x_range = x_range
        self.members = members
        sizes = [1, *[hidden] * layers, len(self.curves)]
        weights, biases = [], []
        for place, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
            first, last = place == 0, place == layers
            # the first layer spreads its tanh steps over the grid; the last starts near zero, so near ``start``
            gain = 2.0 if first else 0.1 if last else 1.0
            weight = torch.randn(members, fan_in, fan_out, generator=generator) * gain / math.sqrt(fan_in)
            bias = torch.randn(members, 1, fan_out, generator=generator) if first else torch.zeros(members, 1, fan_out)
            weights.append(nn.Parameter(weight))
            biases.append(nn.Parameter(bias))
        self.weights, self.biases = nn.ParameterList(weights), nn.ParameterList(biases)
        self.details = nn.Parameter(torch.zeros(members, _SPLINES, len(self.curves)))
        self.register_buffer("basis", splines(torch.linspace(0.0, 1.0, nodes)), persistent=False)
        low = torch.tensor([curve.low for curve in self.curves])
        high = torch.tensor([curve.high for curve in self.curves])
        start = torch.tensor([0.5 * (c.low + c.high) if c.start is None else float(c.start) for c in self.curves])
        self.register_buffer("low", low, persistent=False)
        self.register_buffer("span", high - low, persistent=False)
        self.register_buffer("offset", torch.logit((start - low) / (high - low)), persistent=False)
        self.register_buffer("grid", torch.linspace(*x_range, nodes), persistent=False)
        self.constant = [place for place, curve in enumerate(self.curves) if curve.constant]

    def forward(self) -> Tensor:
        """The curves on the grid, shape (members, nodes, curves)."""
        low, high = self.x_range
        hidden = (2.0 * (self.grid - low) / (high - low) - 1.0)[None, :, None].expand(self.members, -1, -1)
        last = len(self.weights) - 1
        for place, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = torch.baddbmm(bias, hidden, weight)
            if place < last:
                hidden = torch.tanh(hidden)
        values = self.low + self.span * torch.sigmoid(hidden + self.basis @ self.details + self.offset)
        if self.constant:
            level = values[:, :, self.constant].mean(dim=1, keepdim=True).expand(-1, values.shape[1], -1)
            values = values.index_copy(2, torch.tensor(self.constant), level)
        return values

    def places(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Where points x, shape (n,), lie on the grid: index of the node below and the fraction beyond it."""
        low, high = self.x_range
        place = ((x - low) / (high - low) * (len(self.grid) - 1)).clamp(0.0, len(self.grid) - 1.0)
        index = place.long().clamp(max=len(self.grid) - 2)
        return index, (place - index).to(self.grid.dtype)

    def start_at(self, name: str, x: ArrayLike, values: ArrayLike) -> None:
        """Let a curve of every member begin near values at points x, (n,) each; in between it is as smooth as may be.

        Raises
        ------
        ConfigError
            When there is no such curve.
        """
        names = [curve.name for curve in self.curves]
        if name not in names:
            raise ConfigError(f"no curve {name!r}; there are {', '.join(names)}")
        place = names.index(name)
        low, span = float(self.low[place]), float(self.span[place])
        points = torch.as_tensor(np.asarray(x, dtype=np.float64))
        target = (torch.as_tensor(np.asarray(values, dtype=np.float64)) - low) / span
        with torch.no_grad():
            self.details[..., place] = 0.0
            now = read_off(self()[..., place : place + 1], self.places(points))[..., 0].double()
            wanted = torch.logit(target.clamp(_EDGE, 1.0 - _EDGE)) - torch.logit((now - low) / span)
            begin, end = self.x_range
            basis = splines((points - begin) / (end - begin))
            # second differences, so that what no point holds goes on straight; first ones, faintly, for one point alone
            second = torch.diff(torch.eye(_SPLINES, dtype=torch.float64), n=2, dim=0)
            first = torch.diff(torch.eye(_SPLINES, dtype=torch.float64), dim=0)
            normal = basis.T @ basis + 0.1 * second.T @ second + 1e-4 * first.T @ first
            solved = torch.linalg.solve(normal, basis.T @ wanted.T)
            self.details[..., place] = solved.T.to(self.details.dtype)

    def roughness(self, values: Tensor) -> Tensor:
        """Negative log prior of smoothness, shape (members,).

        Half the integral over dx / length of (y'' length^2 / scale)^2: a curve that bends by its ``scale`` over each
        ``length`` pays about one half per length.
        """
        step = (self.x_range[1] - self.x_range[0]) / (values.shape[1] - 1)
        second = (values[:, 2:] - 2.0 * values[:, 1:-1] + values[:, :-2]) / step**2
        length = torch.tensor([curve.length for curve in self.curves])
        scale = torch.tensor([curve.scale for curve in self.curves])
        return 0.5 * (((second * length**2 / scale) ** 2) * (step / length)).sum(dim=(1, 2))


def read_off(values: Tensor, places: tuple[Tensor, Tensor]) -> Tensor:
    """Curves at points: (members, nodes, curves) and the places of n points -> (members, n, curves)."""
    index, part = places
    return torch.lerp(values[:, index], values[:, index + 1], part[None, :, None])
