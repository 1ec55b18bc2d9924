"""The published network of arXiv:2308.10944, read from a user's own copy of its files.

The authors' folder holds ``weights.pt`` (a PyTorch file) and ``config.json`` (vocabulary and standardization). The
weights are loaded as plain tensors; nothing in the file is executed. What comes back is a model like any other: its
spectra are coefficients divided by the flux in G, its metallicity is ``m_h``.
"""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from starloom.errors import ModelFileError
from starloom.stars.foundation import StarFoundation
from starloom.stars.network import PAPER, Architecture, StarNetwork
from starloom.stars.observations import SpectrumReader
from starloom.stars.tokens import COLORS, LABELS, MORE_LABELS, Kind, Vocabulary

NAMES = {"bprp": "bp_rp", "jh": "j_h", "jk": "j_k", "logebv": "log_ebv"}
NEVER_REQUESTED = ("bprp", "jk")


def published_names(shape: Architecture = PAPER) -> dict[str, str]:
    """Name of each tensor in Starloom's network -> its name in the published state.

    Examples
    --------
    >>> published_names()["embedding.weight"]
    'embedding_layer.embeddings'
    """
    found = {"embedding.weight": "embedding_layer.embeddings", "embedding.bias": "embedding_layer.bias"}
    parts = {"encoder": "torch_encoder.encoder_transformer_block", "decoder": "torch_decoder.decoder_transformer_block"}
    inner = {"weight": "in_proj_weight", "bias": "in_proj_bias", "key": "bias_k", "value": "bias_v"}
    inner |= {"out.weight": "out_proj.weight", "out.bias": "out_proj.bias"}
    for part, theirs in parts.items():
        for place in range(len(getattr(shape, part))):
            mine, other = f"{part}.{place}", f"{theirs}_{place + 1}"
            found |= {f"{mine}.attention.{a}": f"{other}.attention.{b}" for a, b in inner.items()}
            for layer in (1, 2):
                for what in ("weight", "bias"):
                    found[f"{mine}.dense_{layer}.{what}"] = f"{other}.dense_{layer}.{what}"
                    found[f"{mine}.norm_{layer}.{what}"] = f"{other}.layernorm_{layer}.{what}"
    for what in ("weight", "bias"):
        for place in range(len(shape.head)):
            found[f"head.{place}.{what}"] = f"torch_decoder.decoder_dense_{place + 3}.{what}"
        found[f"mean.{what}"] = f"torch_decoder.decoder_out.{what}"
        found[f"log_variance.{what}"] = f"torch_decoder.decoder_logvar_out.{what}"
    return found


def vocabulary_of(config: Mapping[str, Any]) -> Vocabulary:
    """The kinds of a published ``config.json``, with their centers and scales, not bent."""
    try:
        names = list(config["tokenizer_config"]["vocabs"])
        centers, scales = (config["norm_config"][key][1:] for key in ("_input_mean", "_input_std"))
        known = {kind.name: kind for kind in (*COLORS, *LABELS, *MORE_LABELS)}
        kinds = []
        for name, center, scale in zip(names, centers, scales, strict=True):
            asked = name not in NEVER_REQUESTED
            if name[:2] in ("bp", "rp") and name[2:].isdigit():
                arm, order = name[:2], int(name[2:])
                meaning = f"{arm.upper()} coefficient {order} over the flux in G"
                kinds.append(Kind(f"{arm}_{order}", "", meaning, "xp", asked, center, scale))
                continue
            base = known.get(NAMES.get(name, name), Kind(NAMES.get(name, name)))
            kinds.append(Kind(base.name, base.unit, base.meaning, base.group, asked, center, scale))
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"config.json is not that of a published star model: {error!r}") from error
    return Vocabulary(kinds, math.inf)


def import_published(folder: str | Path, shape: Architecture = PAPER) -> StarFoundation:
    """Read ``weights.pt`` and ``config.json`` from a folder.

    Raises
    ------
    ModelFileError
        When a file is missing or corrupt, or the weights are of another vocabulary or architecture.
    """
    place = Path(folder)
    try:
        config = json.loads((place / "config.json").read_text())
        content = torch.load(place / "weights.pt", map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ModelFileError(f"{error.filename} is missing; give the folder with weights.pt and config.json") from error
    except (OSError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        remark = " ".join(str(error).split())[:200]
        raise ModelFileError(f"{place} cannot be read as a published star model: {remark}") from error
    vocabulary = vocabulary_of(config)
    state = content.get("model_state_dict", content) if isinstance(content, dict) else {}
    network = StarNetwork(len(vocabulary), shape)
    network.load_state_dict(_translated(state, network, shape, place))
    sizes = [sum(kind.arm == arm for kind in vocabulary.kinds) for arm in ("bp", "rp")]
    # published coefficients are taken as they are; sampled spectra need a projection, which these files do not have
    same = {arm: np.eye(size) for arm, size in zip(("bp", "rp"), sizes, strict=True)}
    reader = SpectrumReader({}, same) if all(sizes) else None
    return StarFoundation(network.eval(), vocabulary, reader, None, usual=max(sizes), history={"origin": "published"})


def _translated(
    state: Mapping[str, Tensor], network: StarNetwork, shape: Architecture, place: Path
) -> dict[str, Tensor]:
    result = {}
    # a compiled or wrapped model puts words before every name
    stripped = {name.removeprefix("_orig_mod.").removeprefix("module."): value for name, value in state.items()}
    own = network.state_dict()
    for mine, theirs in published_names(shape).items():
        if theirs not in stripped:
            raise ModelFileError(f"{place / 'weights.pt'} has no {theirs!r}: another architecture")
        value = stripped[theirs].reshape(own[mine].shape) if stripped[theirs].numel() == own[mine].numel() else None
        if value is None:
            sizes = f"{tuple(stripped[theirs].shape)} where {tuple(own[mine].shape)} is needed"
            raise ModelFileError(
                f"{place / 'weights.pt'}: {theirs!r} has the shape {sizes}: another vocabulary or size"
            )
        result[mine] = value
    return result
