"""Answers of long fits on disk, under names made of all that they depend on: an interrupted run goes on from them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from starloom.errors import ModelFileError
from starloom.halo.likelihood import HaloLikelihood
from starloom.halo.posterior import BestFit, Evidence, Posterior
from starloom.progress import say
from starloom.saved_models import load_model, save_model

Answer = TypeVar("Answer", BestFit, Posterior, Evidence)


def kept(
    folder: str | Path | None,
    kind: type[Answer],
    likelihood: HaloLikelihood,
    settings: Mapping[str, Any],
    make: Callable[[], Answer],
    *,
    what: str = "",
) -> Answer:
    """The answer of an earlier call with the same stars, volume, density and settings, or a new one, which is kept.

    Parameters
    ----------
    folder : of the answers; None keeps nothing.
    kind : `BestFit`, `Posterior` or `Evidence`.
    likelihood : what is fitted.
    settings : all else that the answer depends on: JSON values, or arrays.
    make : makes it.
    what : what to say that is made, or that is kept from an earlier call; nothing by default.

    Returns
    -------
    BestFit, Posterior or Evidence
        To the last digit the same, whether it was made or read. A file that is damaged or cut short is made anew.
    """

    def tell(words: str) -> None:
        if what:
            say(f"{len(likelihood.stars)} stars: {words}{what}")

    if folder is None:
        tell("")
        return make()
    path = Path(folder) / f"{kind.__name__.lower()}-{digest(likelihood, settings)}"
    try:
        found = _read(path, kind)
        tell("kept ")
    except ModelFileError:
        tell("")
        _write(path, make())
        found = _read(path, kind)
    return found


def digest(likelihood: HaloLikelihood, settings: Mapping[str, Any]) -> str:
    """Name of a likelihood and settings: of their contents, not of where they came from."""
    found = hashlib.sha256()
    volume = likelihood.volume
    for values in (likelihood.stars, *volume.seen, volume.sun):
        found.update(np.ascontiguousarray(values, dtype=np.float64).tobytes())
    words = {"model": dataclasses.asdict(likelihood.model)}
    for name in sorted(settings):
        value = settings[name]
        if isinstance(value, np.ndarray):
            found.update(f"{name}{value.shape}".encode() + np.ascontiguousarray(value).tobytes())
        else:
            words[name] = value
    found.update(json.dumps(words, sort_keys=True).encode())
    return found.hexdigest()[:24]


def _write(path: Path, answer: BestFit | Posterior | Evidence) -> None:
    values = {part.name: getattr(answer, part.name) for part in dataclasses.fields(answer)}
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    words = {name: value for name, value in values.items() if name not in arrays}
    save_model(path, type(answer).__name__, words, arrays)


def _read(path: Path, kind: type[Answer]) -> Answer:
    words, arrays = load_model(path, kind.__name__)
    if "names" in words:
        words["names"] = tuple(words["names"])
    try:
        return kind(**{**words, **arrays})
    except TypeError as error:  # of another version of this program
        raise ModelFileError(f"{path} holds other fields than a {kind.__name__} has; make it anew") from error
