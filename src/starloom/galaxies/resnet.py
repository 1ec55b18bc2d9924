"""ResNet (arXiv:1512.03385) in plain torch, with the parameter names of timm and torchvision."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from starloom.errors import ConfigError
from starloom.galaxies.image_encoder import DropPath, ImageEncoder, Level, drop_shares

SIZES: dict[str, tuple[tuple[int, ...], tuple[int, ...], bool]] = {
    "resnet_speck": ((1, 1, 1, 1), (10, 20, 40, 80), False),
    "resnet_mini": ((1, 1, 1, 1), (20, 40, 80, 160), False),
    "resnet_midi": ((2, 2, 2, 2), (20, 40, 80, 160), False),
    "resnet18": ((2, 2, 2, 2), (64, 128, 256, 512), False),
    "resnet34": ((3, 4, 6, 3), (64, 128, 256, 512), False),
    "resnet50": ((3, 4, 6, 3), (64, 128, 256, 512), True),
    "resnet101": ((3, 4, 23, 3), (64, 128, 256, 512), True),
}
"""Blocks and widths of the four stages, and whether blocks are bottlenecks; the first three are Starloom's own."""


class _Block(nn.Module):
    """Two 3 x 3 convolutions, or a bottleneck of 1 x 1, 3 x 3 and 1 x 1, beside a short cut."""

    followed_by_norm = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"))

    def __init__(self, before: int, width: int, stride: int, bottleneck: bool, drop: float) -> None:
        super().__init__()
        after = 4 * width if bottleneck else width
        if bottleneck:
            self.conv1 = nn.Conv2d(before, width, 1, bias=False)
            self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
            self.conv3 = nn.Conv2d(width, after, 1, bias=False)
            self.bn3 = nn.BatchNorm2d(after)
        else:
            self.conv1 = nn.Conv2d(before, width, 3, stride=stride, padding=1, bias=False)
            self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.bottleneck = bottleneck
        self.downsample: nn.Module | None = None
        if stride != 1 or before != after:
            self.downsample = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        self.drop_path = DropPath(drop)

    def forward(self, values: Tensor) -> Tensor:
        short = values if self.downsample is None else self.downsample(values)
        branch = functional.relu(self.bn1(self.conv1(values)))
        branch = self.bn2(self.conv2(branch))
        if self.bottleneck:
            branch = self.bn3(self.conv3(functional.relu(branch)))
        return functional.relu(short + self.drop_path(branch))


class ResNet(ImageEncoder):
    """A ResNet without its classifier.

    Parameters
    ----------
    channels : channels of the images.
    depths, widths : blocks and channels of each stage.
    bottleneck : whether the blocks are bottlenecks (four times the width comes out).
    drop_path : largest share of residual branches left out in training.
    pool : halve the picture a second time before the first stage, as published ones do; small pictures are better left.
    mean, scale : see :class:`starloom.galaxies.image_encoder.ImageEncoder`.
    """

    followed_by_norm = (("conv1", "bn1"),)
    channels_last = False  # dense convolutions are twice as fast the other way on CPUs

    def __init__(
        self, channels: int, depths: Sequence[int], widths: Sequence[int], *, bottleneck: bool = False,
        drop_path: float = 0.0, pool: bool = True, mean: Level = 0.0, scale: Level = 1.0,
    ) -> None:  # fmt: skip
        if len(depths) != 4 or len(widths) != 4 or min(*depths, *widths) < 1 or not 0 <= drop_path < 1:
            raise ConfigError(f"ResNet: four depths and widths, please, not {tuple(depths)} and {tuple(widths)}")
        wider = 4 if bottleneck else 1
        super().__init__(channels, wider * widths[-1], mean, scale)
        self.conv1 = nn.Conv2d(channels, widths[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.pool = pool
        drops, before = drop_shares(drop_path, sum(depths)), widths[0]
        for place, (depth, width) in enumerate(zip(depths, widths, strict=True)):
            blocks = []
            for step in range(depth):
                stride = 2 if step == 0 and place > 0 else 1
                blocks.append(_Block(before, width, stride, bottleneck, drops[sum(depths[:place]) + step]))
                before = wider * width
            self.add_module(f"layer{place + 1}", nn.Sequential(*blocks))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if isinstance(module, _Block):  # branches start at zero, so that the network begins as a shallow one
                nn.init.zeros_((module.bn3 if bottleneck else module.bn2).weight)

    def _layers(self) -> list[nn.Module]:
        return [self.get_submodule(f"layer{place}") for place in range(1, 5)]

    def parts(self) -> list[list[nn.Module]]:
        """Stages from the last to the first, then the stem: five in all."""
        return [*[[layer] for layer in self._layers()[::-1]], [self.conv1, self.bn1]]

    def features(self, images: Tensor) -> Tensor:
        """Stem, stages, mean over the image."""
        values = functional.relu(self.bn1(self.conv1(images)))
        if self.pool:
            values = functional.max_pool2d(values, 3, 2, 1)
        for layer in self._layers():
            values = layer(values)
        return values.mean(dim=(2, 3))
