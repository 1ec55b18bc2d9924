"""The background's densities that are learned beforehand, from stars off the stream, and then frozen.

Proper motions (on the selection polygon, mapped to a square), photometry (on its box) and scalar coordinates each get a
flow conditional on phi1. The blocks are independent given phi1, so a block that a star lacks is left out exactly.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from starloom.neural.flows import BoxFlow
from starloom.neural.training import fit_density, seeded
from starloom.streams.configuration import Photometry
from starloom.streams.stars import Stars, tensor

if TYPE_CHECKING:
    from starloom.streams.membership import StreamModel

_SIZES = {"pm": {"bins": 6, "hidden": 16}, "photometry": {"bins": 12, "hidden": 32}}
_CHUNK = 65536
_PARTIAL_CHUNK, _PANELS, _NODES = 512, 32, 5  # ln p to 0.002
_SCALAR_SIZE = {"bins": 8, "hidden": 16}


class Background(nn.Module):
    """Flows for the blocks of a StreamModel; ``blocks`` names them."""

    def __init__(self, model: StreamModel, generator: torch.Generator) -> None:
        super().__init__()
        self.model = model
        features = dict.fromkeys(model.scalar_windows, 1)
        if model.proper_motion is not None:
            features["pm"] = 2
        if model.photometry is not None:
            features["photometry"] = len(model.photometry.bands)
        with seeded(generator):
            self.flows = nn.ModuleDict(
                {name: BoxFlow(count, 1, **_SIZES.get(name, _SCALAR_SIZE)) for name, count in features.items()}
            )

    def context(self, stars: Stars) -> Tensor:
        """phi1 scaled to [-1, 1], shape (n, 1)."""
        low, high = self.model.phi1
        return tensor(2.0 * (stars.phi1 - low) / (high - low) - 1.0)[:, None]

    def points(self, stars: Stars, block: str) -> tuple[Tensor, Tensor, Tensor]:
        """A block's points on [-1, 1]^d, the log Jacobian (n,), and which stars have it (n,)."""
        if block == "pm":
            pm = stars.pm
            assert self.model.proper_motion is not None
            if self.model.proper_motion.system == "icrs":
                pm = torch.einsum("nji,nj->ni", stars.turn, stars.pm + stars.reflex)
            square, log_jacobian = self.model.polygon.to_square(pm[:, 0], pm[:, 1])
            return square, log_jacobian, stars.pm_seen
        if block == "photometry":
            photometry, magnitudes = self.model.photometry, stars.magnitudes
            assert photometry is not None
            assert magnitudes is not None
            values = torch.cat([magnitudes[:, :1], magnitudes[:, :-1] - magnitudes[:, 1:]], dim=1)
            windows, seen = [photometry.magnitude, *photometry.colors], complete(stars)
        else:
            values, windows = stars.scalars[block][:, None], [self.model.scalar_windows[block]]
            seen = stars.scalar_seen[block]
        low, high = tensor([pair[0] for pair in windows]), tensor([pair[1] for pair in windows])
        square = 2.0 * (values - low) / (high - low) - 1.0
        volume = sum(math.log(2.0 / (pair[1] - pair[0])) for pair in windows)
        return square.clamp(-1.0, 1.0), torch.full((len(stars),), volume), seen

    def fit(self, stars: Stars, weights: Tensor, generator: torch.Generator, epochs: int) -> dict[str, Any]:
        """Fit every flow to the stars with these weights, shape (n,); returns how each fit ended."""
        context, report = self.context(stars), {}
        for name, flow in self.flows.items():
            square, _, seen = self.points(stars, name)
            chosen = torch.nonzero(seen & (weights > 0))[:, 0]
            rate = 5e-3 if name == "pm" else 1e-2

            assert isinstance(flow, BoxFlow)
            log_prob = partial(_log_prob_of_rows, flow, square[chosen], context[chosen])
            report[name] = fit_density(
                flow,
                log_prob,
                len(chosen),
                weights[chosen],
                generator,
                epochs=epochs,
                learning_rate=rate,
                label=f"background {name}",
            )
        return report

    def log_prob(self, stars: Stars) -> Tensor:
        """Sum of the blocks' log densities a star has, in data units, shape (n,)."""
        context, total = self.context(stars), torch.zeros(len(stars))
        with torch.no_grad():
            for name, flow in self.flows.items():
                square, log_jacobian, seen = self.points(stars, name)
                assert isinstance(flow, BoxFlow)
                pieces = zip(torch.split(square, _CHUNK), torch.split(context, _CHUNK), strict=True)
                value = torch.cat([flow.log_prob(x, c) for x, c in pieces])
                total = total + torch.where(seen, value + log_jacobian, torch.zeros(()))
            partial = torch.nonzero(stars.photometry_seen & ~complete(stars))[:, 0]
            if "photometry" in self.flows and len(partial):
                marginal = [self._without_one_band(stars, rows) for rows in torch.split(partial, _PARTIAL_CHUNK)]
                total = total.index_add(0, partial, torch.cat(marginal))
        return total

    def _without_one_band(self, stars: Stars, rows: Tensor) -> Tensor:
        """Log density of the bands that stars have where one is missing: the flow integrated over that band."""
        photometry, flow = self.model.photometry, self.flows["photometry"]
        assert photometry is not None
        assert stars.magnitudes is not None
        assert stars.magnitude_errors is not None
        assert isinstance(flow, BoxFlow)
        magnitudes, missing = stars.magnitudes[rows], torch.isinf(stars.magnitude_errors[rows]).int().argmax(dim=1)
        low, high = missing_range(photometry, magnitudes, missing)
        # Legendre's nodes on each of a few panels: the flow is a smooth curve between the knots of its splines
        nodes, weights = (tensor(values) for values in np.polynomial.legendre.leggauss(_NODES))
        edges = torch.linspace(0.0, 1.0, _PANELS + 1)
        fractions = (edges[:-1, None] + 0.5 * (nodes + 1.0) / _PANELS).flatten()
        weights = (0.5 * weights / _PANELS).repeat(_PANELS)
        length = (high - low).clamp_min(0.0)
        values = low[:, None] + length[:, None] * fractions
        filled = magnitudes[:, None, :].repeat(1, len(fractions), 1)
        filled.scatter_(2, missing[:, None, None].expand(-1, len(fractions), 1), values[..., None])
        colors = torch.cat([filled[..., :1], filled[..., :-1] - filled[..., 1:]], dim=-1)
        windows = [photometry.magnitude, *photometry.colors]
        start, end = tensor([pair[0] for pair in windows]), tensor([pair[1] for pair in windows])
        square = (2.0 * (colors - start) / (end - start) - 1.0).clamp(-1.0, 1.0)
        context = self.context(stars)[rows][:, None, :].expand(-1, len(fractions), -1)
        log_p = flow.log_prob(square.flatten(0, 1), context.flatten(0, 1)).reshape(len(rows), -1)
        volume = sum(math.log(2.0 / (pair[1] - pair[0])) for pair in windows)
        integral = torch.logsumexp(log_p + torch.log(weights), dim=1) + volume
        return integral + torch.log(length.clamp_min(1e-6))


def complete(stars: Stars) -> Tensor:
    """Which stars have all of their bands, (n,)."""
    if stars.magnitude_errors is None:
        return stars.photometry_seen
    return stars.photometry_seen & torch.isfinite(stars.magnitude_errors).all(dim=1)


def missing_range(photometry: Photometry, magnitudes: Tensor, missing: Tensor) -> tuple[Tensor, Tensor]:
    """Between which magnitudes (n,) a missing band may lie for a star with the others to be inside the window."""
    low = torch.full((len(magnitudes),), -torch.inf)
    high = torch.full((len(magnitudes),), torch.inf)
    first = missing == 0
    low = torch.where(first, torch.tensor(photometry.magnitude[0]), low)
    high = torch.where(first, torch.tensor(photometry.magnitude[1]), high)
    for place, (blue, red) in enumerate(photometry.colors):
        this, after = missing == place, missing == place + 1
        # this band is the next one plus the color; the next one is this band minus the color
        low = torch.where(this, torch.maximum(low, magnitudes[:, place + 1] + blue), low)
        high = torch.where(this, torch.minimum(high, magnitudes[:, place + 1] + red), high)
        low = torch.where(after, torch.maximum(low, magnitudes[:, place] - red), low)
        high = torch.where(after, torch.minimum(high, magnitudes[:, place] - blue), high)
    return low, high


def _log_prob_of_rows(flow: BoxFlow, square: Tensor, context: Tensor, rows: Tensor) -> Tensor:
    return flow.log_prob(square[rows], context[rows])
