"""Proper motions of a component: a normal, truncated to the selection at each star's own position."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from starloom.streams.stars import Stars, tensor, turn_and_reflex

if TYPE_CHECKING:
    from starloom.streams.membership import StreamModel

_EVERY = 4  # nodes of the curves to one of the grid
_ACROSS = 7  # nodes of the grid in phi2


def log_normal(stars: Stars, rows: Tensor, mean: Tensor, log_width: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Log density of proper motions in the whole plane, and the covariance xx, xy, yy with errors, (members, k) each.

    Parameters
    ----------
    rows : which stars, (k,).
    mean, log_width : (members, k, 2), mas/yr and its log.
    """
    variance, errors, pm = torch.exp(2.0 * log_width), stars.pm_covariance[rows], stars.pm[rows]
    xx, yy = variance[..., 0] + errors[:, 0], variance[..., 1] + errors[:, 2]
    xy = errors[:, 1].expand_as(xx)
    determinant = xx * yy - xy**2
    dx, dy = pm[:, 0] - mean[..., 0], pm[:, 1] - mean[..., 1]
    chi2 = (yy * dx**2 - 2.0 * xy * dx * dy + xx * dy**2) / determinant
    return -0.5 * chi2 - 0.5 * torch.log(determinant) - math.log(2.0 * math.pi), xx, xy, yy


def log_window_mass(
    model: StreamModel, turn: Tensor, reflex: Tensor, mean: Tensor, xx: Tensor, xy: Tensor, yy: Tensor
) -> Tensor:
    """Log of the share of a normal in proper motion that the selection keeps, at given positions."""
    if model.proper_motion is None or model.proper_motion.system == "stream":
        return model.polygon.log_normal_mass(mean[..., 0], mean[..., 1], xx, xy, yy)
    # The polygon is fixed in (pmra, pmdec): take the normal there instead of turning the polygon for every star.
    a, b, c, d = turn[:, 0, 0], turn[:, 0, 1], turn[:, 1, 0], turn[:, 1, 1]
    mx, my = mean[..., 0] + reflex[:, 0], mean[..., 1] + reflex[:, 1]
    return model.polygon.log_normal_mass(
        a * mx + c * my,
        b * mx + d * my,
        a**2 * xx + 2 * a * c * xy + c**2 * yy,
        a * b * xx + (a * d + b * c) * xy + c * d * yy,
        b**2 * xx + 2 * b * d * xy + d**2 * yy,
    )


class WindowGrid:
    """The window's mass on a grid of positions, read off between its nodes: for fits to stars without errors.

    Without measurement errors the mass depends on the position alone. A fit then needs it at a few hundred places and
    not at every star; what interpolation leaves, a few thousandths, is far below what the stars can tell. Scores are
    computed at each star's own position.
    """

    def __init__(self, model: StreamModel, stars: Stars) -> None:
        self.model = model
        nodes = 257 // _EVERY + 1
        phi1, phi2 = np.linspace(*model.phi1, nodes), np.linspace(*model.phi2.window, _ACROSS)
        self.shape = (nodes, _ACROSS)
        turn, reflex = turn_and_reflex(model, np.repeat(phi1, _ACROSS), np.tile(phi2, nodes))
        self.turn, self.reflex = tensor(turn), tensor(reflex)
        self.along = _places(torch.as_tensor(stars.phi1), model.phi1, nodes)
        self.across = _places(stars.phi2.double(), model.phi2.window, _ACROSS)

    def log_mass(self, mean: Tensor, log_width: Tensor, rows: Tensor) -> Tensor:
        """Log mass at stars, (members, k); mean and log width on the curves' nodes, (members, nodes, 2)."""
        mean, log_width = (
            values[:, ::_EVERY].repeat_interleave(_ACROSS, dim=1) for values in (mean, log_width)
        )  # fmt: skip
        xx, yy = torch.exp(2.0 * log_width[..., 0]), torch.exp(2.0 * log_width[..., 1])
        mass = log_window_mass(self.model, self.turn, self.reflex, mean, xx, torch.zeros_like(xx), yy)
        (i, u), (j, v) = ((index[rows], part[rows]) for index, part in (self.along, self.across))
        low, high = (
            torch.lerp(mass[:, (i + step) * _ACROSS + j], mass[:, (i + step) * _ACROSS + j + 1], v) for step in (0, 1)
        )
        return torch.lerp(low, high, u)


def _places(x: Tensor, window: tuple[float, float], nodes: int) -> tuple[Tensor, Tensor]:
    place = ((x - window[0]) / (window[1] - window[0]) * (nodes - 1)).clamp(0.0, nodes - 1.0)
    index = place.long().clamp(max=nodes - 2)
    return index, (place - index).float()
