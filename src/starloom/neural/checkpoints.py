"""Saved networks: safetensors for the numbers, JSON for everything else, never pickle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from starloom.errors import ModelFileError
from starloom.files import atomic_path
from starloom.saved_models import NUMBERS, read_model, write_model


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
    """Save a model of tensors (see :mod:`starloom.saved_models`)."""
    from safetensors.torch import save

    write_model(folder, kind, settings, save({name: t.detach().contiguous().clone() for name, t in tensors.items()}))


def load_folder(folder: str | Path, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Load what ``save_folder`` wrote; ModelFileError when it is not such a model or its files are damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    settings, content = read_model(folder, kind)
    try:
        return settings, dict(load(content))
    except (SafetensorError, ValueError, KeyError) as error:
        raise ModelFileError(f"{Path(folder) / NUMBERS} cannot be read: {error}; make it anew") from error
