"""What every encoder of images is: pixels in, one vector of features an image out, blocks that can be frozen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from starloom.errors import ConfigError

Level = float | Sequence[float]


class ImageEncoder(nn.Module):
    """Images (n, channels, height, width) with values of 0 to 1 become features (n, out_features).

    Parameters
    ----------
    channels : channels of the images.
    out_features : length of the vector of features.
    mean, scale : the values are shifted and divided by these before the first layer, one number or one a channel; 0 and
        1 leave them as they are.

    A family names its parameters as timm does, so that weights go to and fro without renaming.
    """

    input_mean: Tensor
    input_scale: Tensor

    def __init__(self, channels: int, out_features: int, mean: Level = 0.0, scale: Level = 1.0) -> None:
        super().__init__()
        shift, spread = (np.asarray(level, dtype=np.float32).reshape(-1, 1, 1) for level in (mean, scale))
        sized = all(len(level) in (1, channels) for level in (shift, spread))
        if channels < 1 or out_features < 1 or not sized or not (spread > 0).all():
            raise ConfigError(
                f"an encoder needs channels ({channels}) and features ({out_features}), and a mean ({mean}) and a "
                f"positive scale ({scale}) of all or of each channel"
            )
        self.channels, self.out_features = channels, out_features
        self.smallest = 1
        self.settings: dict[str, Any] = {}
        self.register_buffer("input_mean", torch.tensor(shift.tolist()), persistent=False)
        self.register_buffer("input_scale", torch.tensor(spread.tolist()), persistent=False)

    def parts(self) -> list[list[nn.Module]]:
        """The parts that are frozen and unfrozen together, from the last to the first; every parameter is in one."""
        raise NotImplementedError

    def features(self, images: Tensor) -> Tensor:
        """From prepared values to features."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        """Features of images."""
        if images.dim() != 4 or images.shape[1] != self.channels:
            raise ConfigError(
                f"the encoder takes images of shape (n, {self.channels}, height, width), not {tuple(images.shape)}"
            )
        if min(images.shape[2:]) < self.smallest:
            raise ConfigError(
                f"images of {images.shape[2]} x {images.shape[3]} pixels are too small for this encoder, which needs "
                f"{self.smallest}; make them larger, or give ConvNeXt a smaller patch"
            )
        prepared = (images - self.input_mean) / self.input_scale
        return self.features(prepared.contiguous(memory_format=torch.channels_last))


class DropPath(nn.Module):
    """Leave out a residual branch for some images of a batch while training (stochastic depth, arXiv:1603.09382)."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, branch: Tensor) -> Tensor:
        """The branch, zero for the images that were drawn and scaled up for the others."""
        if not self.training or self.share == 0.0:
            return branch
        keep = torch.rand(len(branch), *[1] * (branch.dim() - 1), device=branch.device) >= self.share
        return branch * keep.to(branch.dtype) / (1.0 - self.share)


def drop_shares(largest: float, blocks: int) -> list[float]:
    """Shares of :class:`DropPath` of each block: from 0 in the first to the largest in the last."""
    return [largest * place / max(blocks - 1, 1) for place in range(blocks)]


class AnyEncoder(ImageEncoder):
    """Any module that gives one vector an image, as an encoder.

    Parameters
    ----------
    module : images (n, channels, height, width) -> (n, features).
    channels : channels of its images.
    out_features : length of its vectors; when None it is asked for (``num_features`` or ``out_features``), and found
        by one image of 64 x 64 pixels at last.

    Raises
    ------
    ConfigError
        When the module does not give such vectors.
    """

    def __init__(
        self, module: nn.Module, channels: int = 3, out_features: int | None = None, *,
        mean: Level = 0.0, scale: Level = 1.0,
    ) -> None:  # fmt: skip
        found = out_features or getattr(module, "num_features", None) or getattr(module, "out_features", None)
        if not isinstance(found, int):
            found = _width(module, channels)
        super().__init__(channels, found, mean, scale)
        self.module = module
        self.settings = {"name": type(module).__name__, "own": True}

    def parts(self) -> list[list[nn.Module]]:
        """The module's children, last first."""
        children = [[child] for child in self.module.children()]
        owned = {id(p) for child in children for part in child for p in part.parameters()}
        if not children or any(id(p) not in owned for p in self.module.parameters()):
            return [[self.module]]
        return children[::-1]

    def features(self, images: Tensor) -> Tensor:
        """What the module gives."""
        result: Tensor = self.module(images)
        if result.dim() != 2 or result.shape[1] != self.out_features:
            raise ConfigError(
                f"the module gives values of shape {tuple(result.shape)}, not (n, {self.out_features}): an encoder "
                "ends with one vector an image"
            )
        return result


def _width(module: nn.Module, channels: int) -> int:
    training = module.training
    with torch.no_grad():
        result = module.eval()(torch.zeros(1, channels, 64, 64))
    module.train(training)
    if not isinstance(result, Tensor) or result.dim() != 2:
        shape = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
        raise ConfigError(f"the module gives {shape} for one image; an encoder ends with one vector an image")
    return int(result.shape[1])
