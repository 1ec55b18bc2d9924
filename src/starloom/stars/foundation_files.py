"""A star foundation model on disk: ``model.safetensors`` for the numbers, ``model.json`` for all else."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from starloom.errors import ModelFileError
from starloom.neural.checkpoints import load_folder, save_folder
from starloom.spectra.xp import ARMS
from starloom.stars.domain import Domain
from starloom.stars.network import Architecture, StarNetwork
from starloom.stars.observations import SpectrumReader
from starloom.stars.tokens import Vocabulary

if TYPE_CHECKING:
    from starloom.stars.foundation import StarFoundation

KIND = "star foundation model"


def write_foundation(model: StarFoundation, folder: str | Path) -> None:
    """Write a model into a folder."""
    tensors = {f"network.{name}": value for name, value in model.network.state_dict().items()}
    if model.reader is not None:
        for arm in ARMS:
            if model.reader.project:
                tensors[f"project.{arm}"] = torch.tensor(model.reader.project[arm], dtype=torch.float32)
            tensors[f"through.{arm}"] = torch.tensor(model.reader.through[arm], dtype=torch.float32)
    if model.domain is not None:
        for name in ("weights", "means", "covariances", "reference"):
            tensors[f"domain.{name}"] = torch.tensor(getattr(model.domain, name), dtype=torch.float32)
        tensors["domain.places"] = torch.tensor(model.domain.places)
    settings = {
        "architecture": model.network.shape.as_json(),
        "vocabulary": model.vocabulary.as_json(),
        "bend": None if math.isinf(model.vocabulary.bend) else model.vocabulary.bend,
        "usual": model.usual,
        "widen": None if model.widen is None else model.widen.tolist(),
        "history": model.history,
    }
    save_folder(folder, KIND, json.loads(json.dumps(settings)), tensors)


def read_foundation(folder: str | Path) -> dict[str, Any]:
    """The fields of a :class:`starloom.stars.foundation.StarFoundation` that ``write_foundation`` wrote.

    Raises
    ------
    ModelFileError
        When a file is missing or corrupt, or the numbers do not belong to the vocabulary.
    """
    settings, tensors = load_folder(folder, KIND)
    try:
        vocabulary = Vocabulary.from_json(settings["vocabulary"], settings["bend"])
        network = StarNetwork(len(vocabulary), Architecture.from_json(settings["architecture"]))
        weights = {k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")}
        network.load_state_dict(weights)
        usual, history = int(settings["usual"]), dict(settings["history"])
        widen = None if settings["widen"] is None else np.array(settings["widen"], dtype=float)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        remark = " ".join(str(error).split())[:200]
        raise ModelFileError(
            f"{folder}: model.json and model.safetensors do not belong together or are of another version: {remark}"
        ) from error
    reader = domain = None
    if "through.bp" in tensors:
        parts: list[Mapping[str, Any]] = [
            {arm: tensors[f"{what}.{arm}"].numpy().astype(float) for arm in ARMS if f"{what}.{arm}" in tensors}
            for what in ("project", "through")
        ]
        reader = SpectrumReader(*parts)
    if "domain.places" in tensors:
        names = ("weights", "means", "covariances", "reference")
        arrays = [tensors[f"domain.{name}"].numpy().astype(float) for name in names]
        domain = Domain(tensors["domain.places"].numpy(), arrays[0], arrays[1], arrays[2], arrays[3])
    return {
        "network": network.eval(),
        "vocabulary": vocabulary,
        "reader": reader,
        "domain": domain,
        "usual": usual,
        "history": history,
        "widen": widen,
    }
