"""The same galaxy, seen otherwise: turned, mirrored, shifted, zoomed; a batch at a time."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from starloom.errors import ConfigError


@dataclass(frozen=True)
class Augmentation:
    """How images are changed at random while training.

    Parameters
    ----------
    rotate : largest turn to either side, degrees; 180 is every direction.
    mirror : whether half of the images are mirrored.
    shift : largest shift, as a share of the side.
    zoom : smallest and largest zoom.
    erase : how many small squares (a twentieth of the side) are blackened.
    """

    rotate: float = 180.0
    mirror: bool = True
    shift: float = 0.05
    zoom: tuple[float, float] = (0.9, 1.15)
    erase: int = 0

    def __post_init__(self) -> None:
        near, far = self.zoom
        if not (0 <= self.rotate <= 180 and 0 <= self.shift < 1 and 0 < near <= far and self.erase >= 0):
            raise ConfigError(f"an augmentation of these settings cannot be: {self}")

    def as_json(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)

    @property
    def nothing(self) -> bool:
        """Whether images stay as they are."""
        return not (self.rotate or self.mirror or self.shift or self.erase) and self.zoom[0] == self.zoom[1] == 1.0

    def __call__(self, images: Tensor, generator: torch.Generator, share: tuple[int, int, int] | None = None) -> Tensor:
        """Changed images; beyond the edges is what is at the edge.

        Parameters
        ----------
        images : (n, channels, height, width).
        generator : what is drawn.
        share : (rank, processes, images of the whole batch), when these are the images rank, rank + processes, ... of
            a batch: they are then changed as they would be in it.
        """
        if self.nothing:
            return images
        rank, size, count = share or (0, 1, len(images))
        mine = slice(rank, None, size)

        def draw(low: float, high: float, *shape: int) -> Tensor:
            return (low + (high - low) * torch.rand(*shape, generator=generator))[mine]

        turn = draw(-self.rotate, self.rotate, count) * (math.pi / 180.0)
        zoom, moved = draw(*self.zoom, count), 2.0 * draw(-self.shift, self.shift, count, 2)
        mirror = torch.where(draw(0.0, 1.0, count) < (0.5 if self.mirror else 0.0), -1.0, 1.0)
        cosine, sine = torch.cos(turn), torch.sin(turn)
        rows = torch.stack([cosine * mirror, -sine, sine * mirror, cosine], dim=1)
        matrix = torch.cat([rows.view(-1, 2, 2) / zoom[:, None, None], moved[:, :, None]], dim=2)
        grid = functional.affine_grid(matrix.to(images.device), list(images.shape), align_corners=False)
        result = functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
        if self.erase:
            side = max(1, images.shape[-1] // 20)
            corners = (draw(0.0, 1.0, count, self.erase, 2) * (images.shape[-1] - side)).long()
            axis = torch.arange(images.shape[-1])
            inside = (axis >= corners[..., None]) & (axis < corners[..., None] + side)  # (n, erase, 2, side)
            black = (inside[:, :, 0, :, None] & inside[:, :, 1, None, :]).any(dim=1)
            result = result.masked_fill(black[:, None].to(result.device), 0.0)
        return result


def symmetries(images: Tensor, which: int) -> Tensor:
    """One of the eight ways a square lies on itself: 0 to 3 quarter turns, 4 to 7 mirrored."""
    turned = torch.rot90(images, which % 4, dims=(-2, -1))
    return turned.flip(-1) if which % 8 >= 4 else turned
