"""Tensors out of other people's files: safetensors, torch files, Lightning checkpoints; nothing in them is run.

A Lightning checkpoint also holds settings, pickled with the classes of whoever trained it. They are not needed, and
unpickling them could run anything: tensors are taken, whatever else is named becomes an inert thing.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from starloom.errors import ModelFileError
from starloom.neural.checkpoints import load_tensors


class _Inert:
    """Stands for an object of a class that is not wanted."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, _: Any) -> None:
        pass

    def __setitem__(self, *_: Any) -> None:
        pass

    def append(self, _: Any) -> None:
        """Take and forget what a pickled list would hold."""

    def extend(self, _: Any) -> None:
        """Take and forget what a pickled list would hold."""


_WANTED = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
    ("torch", "Size"): torch.Size,
    ("torch", "device"): torch.device,
}


class _TensorsOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Only what makes tensors; everything else is inert."""
        if (module, name) in _WANTED:
            return _WANTED[module, name]
        if module == "torch" and (name.endswith("Storage") or isinstance(getattr(torch, name, None), torch.dtype)):
            return getattr(torch, name)
        return _Inert


def _load_inert(file: Any, **options: Any) -> Any:
    return _TensorsOnly(file, **options).load()


_READER = SimpleNamespace(Unpickler=_TensorsOnly, load=_load_inert, __name__="starloom_tensors_only")


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """All tensors of a file of weights, by name.

    Parameters
    ----------
    path : ``.safetensors``; or a torch file (``.pt``, ``.pth``, ``.bin``, ``.ckpt``) with a dictionary of tensors, or
        one under ``state_dict`` or ``model``.

    Raises
    ------
    ModelFileError
        When the file is not there, cannot be read, or holds no tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelFileError(f"{path} is no file; give the file of weights (.safetensors, .pt, .pth, .bin, .ckpt)")
    if path.suffix == ".safetensors":
        return load_tensors(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, TypeError):
        try:
            content = torch.load(path, map_location="cpu", weights_only=False, pickle_module=_READER)
        except Exception as error:
            raise ModelFileError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from error
    except Exception as error:  # torch raises anything on a damaged archive
        raise ModelFileError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from error
    for name in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
    found = (
        {str(k): v.detach() for k, v in content.items() if isinstance(v, Tensor)} if isinstance(content, dict) else {}
    )
    if not found:
        raise ModelFileError(f"{path} holds no named tensors; save the model's state_dict() into it")
    return found
