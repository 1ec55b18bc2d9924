"""Saved networks: safetensors for the numbers, JSON for everything else, never pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from starloom.errors import ModelFileError
from starloom.files import atomic_path, write_json


def save_tensors(path: str | Path, tensors: Mapping[str, Tensor]) -> None:
    """Write named tensors to a safetensors file, atomically."""
    from safetensors.torch import save_file

    with atomic_path(path) as temporary:
        save_file({name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}, temporary)


def load_tensors(path: str | Path) -> dict[str, Tensor]:
    """Read a safetensors file; ModelFileError when it is absent or corrupt."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except FileNotFoundError as error:
        raise ModelFileError(f"{path} is missing: the saved model or checkpoint is not complete") from error
    except (SafetensorError, OSError) as error:
        raise ModelFileError(f"{path} cannot be read: {error}; make it anew") from error


def save_folder(folder: str | Path, kind: str, settings: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Save a model: ``model.safetensors``, then ``model.json`` with its kind and settings."""
    save_tensors(Path(folder) / "model.safetensors", tensors)
    write_json(Path(folder) / "model.json", {"kind": kind, **settings})


def load_folder(folder: str | Path, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Load what ``save_folder`` wrote; ModelFileError when it is not such a model or of another kind."""
    path = Path(folder) / "model.json"
    try:
        settings = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise ModelFileError(f"{folder} holds no saved model (model.json is missing)") from error
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{path} cannot be read: {error}") from error
    found = settings.pop("kind", None) if isinstance(settings, dict) else None
    if found != kind:
        raise ModelFileError(f"{path} holds a model of kind {found!r}, not {kind!r}")
    return settings, load_tensors(Path(folder) / "model.safetensors")
