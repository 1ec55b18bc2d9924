"""Saved models: numbers in ``model.safetensors``, all else in ``model.json``, a checksum over both; no pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starloom.errors import ModelFileError
from starloom.files import make_folder, write_bytes, write_json

SETTINGS, NUMBERS = "model.json", "model.safetensors"


def save_model(folder: str | Path, kind: str, settings: Mapping[str, Any], arrays: Mapping[str, Any]) -> Path:
    """Save a model into a folder, and give back the folder.

    Parameters
    ----------
    folder : is made where it does not exist; files of an earlier model in it are replaced.
    kind : what it is; ``load_model`` refuses another.
    settings : JSON values.
    arrays : name -> array of numbers.
    """
    from safetensors.numpy import save

    ready = {name: np.ascontiguousarray(values) for name, values in arrays.items()}
    return write_model(folder, kind, settings, save(ready))


def load_model(folder: str | Path, kind: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read what ``save_model`` wrote.

    Returns
    -------
    settings, arrays
        As they were given.

    Raises
    ------
    ModelFileError
        When the folder holds no such model, one of another kind, or one whose files are incomplete or were changed
        since they were written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    settings, content = read_model(folder, kind)
    try:
        return settings, load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ModelFileError(f"{Path(folder) / NUMBERS} cannot be read: {error}; make it anew") from error


def write_model(folder: str | Path, kind: str, settings: Mapping[str, Any], content: bytes) -> Path:
    """Write settings and the bytes of a safetensors file."""
    path = make_folder(folder)
    plain = {"kind": kind, **settings}
    write_bytes(path / NUMBERS, content)
    write_json(path / SETTINGS, {**plain, "checksum": _checksum(plain, content)})
    return path


def read_model(folder: str | Path, kind: str) -> tuple[dict[str, Any], bytes]:
    """Settings and bytes of a saved model whose kind and checksum are right."""
    path = Path(folder) / SETTINGS
    try:
        settings = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise ModelFileError(f"{folder} holds no saved model ({SETTINGS} is missing)") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFileError(f"{path} cannot be read: {error}") from error
    found = settings.get("kind") if isinstance(settings, dict) else None
    if found != kind:
        raise ModelFileError(f"{path} holds a model of kind {found!r}, not {kind!r}")
    try:
        content = (Path(folder) / NUMBERS).read_bytes()
    except FileNotFoundError as error:
        raise ModelFileError(f"{Path(folder) / NUMBERS} is missing: the saved model is not complete") from error
    except OSError as error:
        raise ModelFileError(f"{Path(folder) / NUMBERS} cannot be read: {error}") from error
    expected = settings.pop("checksum", None)
    if expected != _checksum(settings, content):
        raise ModelFileError(
            f"the model in {folder} is not as it was saved: {SETTINGS} or {NUMBERS} was changed, damaged or cut short, "
            "or they belong to two models; make it anew"
        )
    del settings["kind"]
    return settings, content


def _checksum(settings: Mapping[str, Any], content: bytes) -> str:
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode() + hashlib.sha256(content).digest()).hexdigest()
