"""Encoders by name: three families in plain torch, timm's models where timm is, and any module.

ConvNeXt and ResNet carry timm's names of parameters and EfficientNet-Lite too, so that weights of timm, of Zoobot's
published encoders and of the package registry load without torchvision (:mod:`starloom.galaxies.encoder_weights`).
"""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import Any

from torch import nn

from starloom.errors import ConfigError
from starloom.galaxies import convnext, efficientnet_lite, resnet
from starloom.galaxies.image_encoder import AnyEncoder, ImageEncoder

TIMM = "timm:"


def names() -> tuple[str, ...]:
    """Names of the encoders that need nothing else, family by family, small to large."""
    return (*convnext.SIZES, *resnet.SIZES, *efficientnet_lite.SIZES)


def encoder(name: str, channels: int = 3, **size: Any) -> ImageEncoder:
    """An encoder with fresh weights.

    Parameters
    ----------
    name : one of :func:`names`; a family (``convnext``, ``resnet``, ``efficientnet_lite``) with its sizes given; or
        ``timm:NAME`` for a model of timm, which has to be installed.
    channels : channels of the images.
    **size : settings of the family that replace those of the name, such as ``depths``, ``widths``, ``drop_path``,
        ``patch``, ``mean`` and ``scale``.

    Returns
    -------
    ImageEncoder
        Draws its weights from torch's global generator: call it inside
        :func:`starloom.neural.training.seeded` for weights that can be had again.

    Raises
    ------
    ConfigError
        For an unknown name or setting, or when timm is needed and not there.

    Examples
    --------
    >>> small = encoder("convnext_speck", channels=1)
    >>> small.out_features, count_parameters(small)
    (96, 154524)
    """
    if name.startswith(TIMM):
        return _timm(name, channels, size)
    try:
        built = _build(name, channels, size)
    except TypeError as error:
        raise ConfigError(f"encoder {name!r} does not take these settings: {error}") from error
    built.settings = {"name": name, "channels": channels, "size": dict(size)}
    return built


def _build(name: str, channels: int, size: dict[str, Any]) -> ImageEncoder:
    if name in convnext.SIZES or name == "convnext":
        depths, widths = convnext.SIZES.get(name, ((), ()))
        own = {"layer_scale": 0.1} if name in ("convnext_speck", "convnext_mini", "convnext_midi") else {}
        return convnext.ConvNeXt(channels, **{"depths": depths, "widths": widths, **own, **size})
    if name in resnet.SIZES or name == "resnet":
        depths, widths, bottleneck = resnet.SIZES.get(name, ((), (), False))
        return resnet.ResNet(channels, **{"depths": depths, "widths": widths, "bottleneck": bottleneck, **size})
    if name in efficientnet_lite.SIZES or name == "efficientnet_lite":
        width, depth, stem, features = efficientnet_lite.SIZES.get(name, (1.0, 1.0, 32, 1280))
        given = {"width": width, "depth": depth, "stem": stem, "out_features": features, **size}
        return efficientnet_lite.EfficientNetLite(channels, **given)
    near = difflib.get_close_matches(name, names(), 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ConfigError(f"no encoder is called {name!r}{hint}; known: {', '.join(names())}, and {TIMM}NAME")


def _timm(name: str, channels: int, size: dict[str, Any]) -> ImageEncoder:
    try:
        timm: Any = import_module("timm")
    except ImportError as error:
        raise ConfigError(
            f"encoder {name!r} is one of timm's, which cannot be imported here ({error}); install timm with a "
            f"torchvision that fits torch, or take one of {', '.join(names())}"
        ) from error
    mean, scale = size.pop("mean", 0.0), size.pop("scale", 1.0)
    module: nn.Module = timm.create_model(name.removeprefix(TIMM), num_classes=0, in_chans=channels, **size)
    built = AnyEncoder(module, channels, mean=mean, scale=scale)
    built.settings = {"name": name, "channels": channels, "size": {**size, "mean": mean, "scale": scale}}
    return built


def as_encoder(given: str | nn.Module, channels: int = 3, **size: Any) -> ImageEncoder:
    """An encoder of a name, an encoder as it is, or a module of one's own made one."""
    if isinstance(given, str):
        return encoder(given, channels, **size)
    if isinstance(given, ImageEncoder):
        return given
    if not isinstance(given, nn.Module):
        raise ConfigError(f"an encoder is a name or a torch module, not a {type(given).__name__}")
    return AnyEncoder(given, channels, **size)


def count_parameters(module: nn.Module) -> int:
    """Number of parameters, without running statistics."""
    return sum(parameter.numel() for parameter in module.parameters())
