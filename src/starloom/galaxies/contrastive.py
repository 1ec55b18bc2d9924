"""A branch that learns without labels: two views of one galaxy should have alike features (BYOL, arXiv:2006.07733).

Added to the loss of the votes with a weight, as in arXiv:2206.11927.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from starloom.galaxies.image_encoder import ImageEncoder


def _perceptron(before: int, hidden: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(before, hidden), nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, after))


class ViewBranch(nn.Module):
    """Projector and predictor of the learning side, and the slowly following target side.

    Parameters
    ----------
    encoder : the encoder that learns; the target is a copy of it.
    hidden, size : widths of the perceptrons.
    decay : share of the target that is kept at each step.
    """

    def __init__(self, encoder: ImageEncoder, hidden: int = 512, size: int = 128, decay: float = 0.99) -> None:
        super().__init__()
        self.projector = _perceptron(encoder.out_features, hidden, size)
        self.predictor = _perceptron(size, hidden, size)
        self.target = nn.ModuleList([copy.deepcopy(encoder), copy.deepcopy(self.projector)])
        self.target.requires_grad_(False)
        self.decay = decay

    def forward(self, first: Tensor, second: Tensor, views: tuple[Tensor, Tensor]) -> Tensor:
        """Loss of each image, 0 (alike) to 4: features of two views against the target's features of the other one."""
        with torch.no_grad():
            aims = [self.target[1](self.target[0](view)) for view in views]
        guesses = [self.predictor(self.projector(features)) for features in (first, second)]
        alike = functional.cosine_similarity(guesses[0], aims[1]) + functional.cosine_similarity(guesses[1], aims[0])
        return 2.0 - alike

    @torch.no_grad()
    def follow(self, encoder: ImageEncoder) -> None:
        """Move the target a little towards the learning side."""
        for target, source in zip(self.target, (encoder, self.projector), strict=True):
            for mine, its in zip(target.parameters(), source.parameters(), strict=True):
                mine.lerp_(its, 1.0 - self.decay)
            for kept, new in zip(target.buffers(), source.buffers(), strict=True):
                kept.copy_(new)
