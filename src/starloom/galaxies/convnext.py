"""ConvNeXt (arXiv:2201.03545) in plain torch, with the parameter names of timm."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from starloom.errors import ConfigError
from starloom.galaxies.image_encoder import DropPath, ImageEncoder, Level, drop_shares

SIZES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "convnext_speck": ((1, 1, 2, 1), (12, 24, 48, 96)),
    "convnext_mini": ((1, 1, 3, 1), (20, 40, 80, 160)),
    "convnext_midi": ((2, 2, 4, 2), (24, 48, 96, 192)),
    "convnext_atto": ((2, 2, 6, 2), (40, 80, 160, 320)),
    "convnext_femto": ((2, 2, 6, 2), (48, 96, 192, 384)),
    "convnext_pico": ((2, 2, 6, 2), (64, 128, 256, 512)),
    "convnext_nano": ((2, 2, 8, 2), (80, 160, 320, 640)),
    "convnext_tiny": ((3, 3, 9, 3), (96, 192, 384, 768)),
    "convnext_small": ((3, 3, 27, 3), (96, 192, 384, 768)),
    "convnext_base": ((3, 3, 27, 3), (128, 256, 512, 1024)),
    "convnext_large": ((3, 3, 27, 3), (192, 384, 768, 1536)),
}
"""Blocks and widths of the four stages; speck, mini and midi are Starloom's own, for small images on a CPU."""

CONVOLUTIONAL = ("convnext_atto", "convnext_femto", "convnext_pico", "convnext_nano")
"""Sizes whose perceptrons timm writes as 1 x 1 convolutions: weights with two more axes of length one."""


class _ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of (n, channels, height, width)."""

    def forward(self, values: Tensor) -> Tensor:
        """Normalized over channels."""
        return super().forward(values.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class _Perceptron(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, values: Tensor) -> Tensor:
        result: Tensor = self.fc2(functional.gelu(self.fc1(values)))
        return result


class _Block(nn.Module):
    def __init__(self, width: int, drop: float, layer_scale: float) -> None:
        super().__init__()
        self.conv_dw = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.mlp = _Perceptron(width)
        self.gamma = nn.Parameter(torch.full((width,), layer_scale))
        self.drop_path = DropPath(drop)

    def forward(self, values: Tensor) -> Tensor:
        branch = self.mlp(self.norm(self.conv_dw(values).permute(0, 2, 3, 1))) * self.gamma
        result: Tensor = values + self.drop_path(branch.permute(0, 3, 1, 2))
        return result


class _Stage(nn.Module):
    def __init__(self, before: int, width: int, drops: Sequence[float], layer_scale: float, first: bool) -> None:
        super().__init__()
        self.downsample = (
            nn.Identity()
            if first
            else nn.Sequential(_ChannelNorm(before, eps=1e-6), nn.Conv2d(before, width, 2, stride=2))
        )
        self.blocks = nn.Sequential(*[_Block(width, drop, layer_scale) for drop in drops])

    def forward(self, values: Tensor) -> Tensor:
        result: Tensor = self.blocks(self.downsample(values))
        return result


class _Head(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, values: Tensor) -> Tensor:
        result: Tensor = self.norm(values.mean(dim=(2, 3)))
        return result


class ConvNeXt(ImageEncoder):
    """A ConvNeXt without its classifier.

    Parameters
    ----------
    channels : channels of the images.
    depths, widths : blocks and channels of each stage.
    drop_path : largest share of residual branches left out in training; it grows from 0 with the depth.
    patch : pixels on a side that the first layer takes together; 2 or 1 for very small images.
    layer_scale : start of the scale of the branches. The paper's 1e-6 suits long trainings of deep networks.
    mean, scale : see :class:`starloom.galaxies.image_encoder.ImageEncoder`.
    """

    def __init__(
        self, channels: int, depths: Sequence[int], widths: Sequence[int], *, drop_path: float = 0.0, patch: int = 4,
        layer_scale: float = 1e-6, mean: Level = 0.0, scale: Level = 1.0,
    ) -> None:  # fmt: skip
        if len(depths) != len(widths) or not depths or min(*depths, *widths, patch) < 1 or not 0 <= drop_path < 1:
            raise ConfigError(
                f"ConvNeXt: depths {tuple(depths)} and widths {tuple(widths)} must be as many and positive, drop_path "
                f"{drop_path} in [0, 1), patch {patch} positive"
            )
        super().__init__(channels, widths[-1], mean, scale)
        self.smallest = patch * 2 ** (len(widths) - 1)
        self.stem = nn.Sequential(
            nn.Conv2d(channels, widths[0], patch, stride=patch), _ChannelNorm(widths[0], eps=1e-6)
        )
        drops = drop_shares(drop_path, sum(depths))
        self.stages = nn.Sequential(
            *[
                _Stage(
                    widths[max(place - 1, 0)],
                    width,
                    drops[sum(depths[:place]) : sum(depths[: place + 1])],
                    layer_scale,
                    place == 0,
                )
                for place, width in enumerate(widths)
            ]
        )
        self.head = _Head(widths[-1])
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def parts(self) -> list[list[nn.Module]]:
        """Stages from the last (with the final norm) to the first, then the stem: five in all."""
        stages = [[stage] for stage in self.stages][::-1]
        return [[self.head, *stages[0]], *stages[1:], [self.stem]]

    def features(self, images: Tensor) -> Tensor:
        """Stem, stages, mean over the image, norm."""
        result: Tensor = self.head(self.stages(self.stem(images)))
        return result
