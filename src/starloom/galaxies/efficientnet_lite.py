"""EfficientNet-Lite (arXiv:1905.11946, without squeeze and excitation) in plain torch, with timm's parameter names.

Strided convolutions pad as TensorFlow does ("same"), for which the published weights were made.
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional

from starloom.errors import ConfigError
from starloom.galaxies.image_encoder import DropPath, ImageEncoder, Level

_STAGES = (  # repeats, kernel, stride, expansion, width
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)  # fmt: skip

SIZES: dict[str, tuple[float, float, int, int]] = {
    "efficientnet_lite_speck": (0.20, 0.50, 8, 128),
    "efficientnet_lite_mini": (0.35, 0.60, 16, 256),
    "efficientnet_lite_midi": (0.50, 0.75, 16, 512),
    "efficientnet_lite0": (1.0, 1.0, 32, 1280),
    "efficientnet_lite1": (1.0, 1.1, 32, 1280),
    "efficientnet_lite2": (1.1, 1.2, 32, 1280),
    "efficientnet_lite3": (1.2, 1.4, 32, 1280),
    "efficientnet_lite4": (1.4, 1.8, 32, 1280),
}
"""Factors of width and depth, channels of the stem, features; the first three are Starloom's own."""

IMAGENET_MEAN, IMAGENET_SCALE = 127.0 / 255.0, 128.0 / 255.0
"""How the published weights expect the values of pixels, of 0 to 1, to be shifted and divided."""


def _rounded(width: float) -> int:
    """To a multiple of eight, and not down by more than a tenth."""
    result = max(8, int(width + 4) // 8 * 8)
    return result + 8 if result < 0.9 * width else result


class _Same(nn.Conv2d):
    """A convolution that gives size / stride pixels, rounded up, whatever the size."""

    def forward(self, values: Tensor) -> Tensor:
        """Padded, then convolved."""
        pads: list[int] = []
        for axis in (3, 2):
            size, kernel, stride = values.shape[axis], self.kernel_size[axis - 2], self.stride[axis - 2]
            needed = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
            pads += [needed // 2, needed - needed // 2]
        if pads[0] == pads[1] and pads[2] == pads[3]:  # the convolution pads by itself, without a copy
            return functional.conv2d(
                values, self.weight, self.bias, self.stride, (pads[2], pads[0]), groups=self.groups
            )
        return functional.conv2d(functional.pad(values, pads), self.weight, self.bias, self.stride, groups=self.groups)


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=1e-3)


class _Separable(nn.Module):
    """The first stage's block: depthwise, then 1 x 1."""

    followed_by_norm = (("conv_dw", "bn1"), ("conv_pw", "bn2"))

    def __init__(self, before: int, width: int, kernel: int, stride: int, drop: float) -> None:
        super().__init__()
        self.conv_dw, self.bn1 = _Same(before, before, kernel, stride, groups=before, bias=False), _norm(before)
        self.conv_pw, self.bn2 = nn.Conv2d(before, width, 1, bias=False), _norm(width)
        self.short, self.drop_path = stride == 1 and before == width, DropPath(drop)

    def forward(self, values: Tensor) -> Tensor:
        inner = functional.relu6(self.bn1(self.conv_dw(values)))
        branch: Tensor = self.bn2(self.conv_pw(inner))
        return values + self.drop_path(branch) if self.short else branch


class _Inverted(nn.Module):
    """Widen by 1 x 1, depthwise, narrow by 1 x 1."""

    followed_by_norm = (("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3"))

    def __init__(self, before: int, width: int, kernel: int, stride: int, expansion: int, drop: float) -> None:
        super().__init__()
        inner = before * expansion
        self.conv_pw, self.bn1 = nn.Conv2d(before, inner, 1, bias=False), _norm(inner)
        self.conv_dw, self.bn2 = _Same(inner, inner, kernel, stride, groups=inner, bias=False), _norm(inner)
        self.conv_pwl, self.bn3 = nn.Conv2d(inner, width, 1, bias=False), _norm(width)
        self.short, self.drop_path = stride == 1 and before == width, DropPath(drop)

    def forward(self, values: Tensor) -> Tensor:
        inner = functional.relu6(self.bn1(self.conv_pw(values)))
        inner = functional.relu6(self.bn2(self.conv_dw(inner)))
        branch: Tensor = self.bn3(self.conv_pwl(inner))
        return values + self.drop_path(branch) if self.short else branch


class EfficientNetLite(ImageEncoder):
    """An EfficientNet-Lite without its classifier.

    Parameters
    ----------
    channels : channels of the images.
    width, depth : factors on the channels and repeats of lite0.
    stem : channels of the first layer.
    out_features : channels of the last layer.
    drop_path : largest share of residual branches left out in training.
    norm_momentum : how fast running statistics follow; 0.01 was used for the published weights, over long trainings.
    mean, scale : see :class:`starloom.galaxies.image_encoder.ImageEncoder`.
    """

    followed_by_norm = (("conv_stem", "bn1"), ("conv_head", "bn2"))

    def __init__(
        self, channels: int, width: float = 1.0, depth: float = 1.0, *, stem: int = 32, out_features: int = 1280,
        drop_path: float = 0.0, norm_momentum: float = 0.1, mean: Level = 0.0, scale: Level = 1.0,
    ) -> None:  # fmt: skip
        if not (width > 0 and depth > 0 and stem > 0 and 0 <= drop_path < 1):
            raise ConfigError(f"EfficientNet-Lite: width {width}, depth {depth} and stem {stem} must be positive")
        super().__init__(channels, out_features, mean, scale)
        self.conv_stem, self.bn1 = _Same(channels, stem, 3, 2, bias=False), _norm(stem)
        # the first and last stage are not repeated more in larger models
        repeats = [
            count if place in (0, len(_STAGES) - 1) else math.ceil(depth * count)
            for place, (count, *_) in enumerate(_STAGES)
        ]
        total, done, before, stages = sum(repeats), 0, stem, []
        for count, (_, kernel, stride, expansion, base) in zip(repeats, _STAGES, strict=True):
            after, blocks = _rounded(base * width), []
            for step in range(count):
                drop = drop_path * done / total
                now = stride if step == 0 else 1
                blocks.append(
                    _Separable(before, after, kernel, now, drop)
                    if expansion == 1
                    else _Inverted(before, after, kernel, now, expansion, drop)
                )
                before, done = after, done + 1
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*stages)
        self.conv_head, self.bn2 = nn.Conv2d(before, out_features, 1, bias=False), _norm(out_features)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = norm_momentum
            if isinstance(module, nn.Conv2d):
                fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
                nn.init.normal_(module.weight, std=math.sqrt(2.0 / fan_out))

    def parts(self) -> list[list[nn.Module]]:
        """The last layer, stages from the last to the first, then the stem: nine in all."""
        return [[self.conv_head, self.bn2], *[[stage] for stage in self.blocks][::-1], [self.conv_stem, self.bn1]]

    def features(self, images: Tensor) -> Tensor:
        """Stem, stages, last layer, mean over the image."""
        values = self.blocks(functional.relu6(self.bn1(self.conv_stem(images))))
        return functional.relu6(self.bn2(self.conv_head(values))).mean(dim=(2, 3))
