"""What the network makes of tokens before it answers: batches, attention, vectors of stars, and their neighbors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from starloom.errors import ConfigError

if TYPE_CHECKING:
    from starloom.stars.network import Architecture, Perception, StarNetwork
    from starloom.stars.tokens import Tokens, Vocabulary

Places = NDArray[np.int64]
MOST, LEAST = 512, 32
"""Stars at a time, at most and at least."""
ACTIVATIONS = 2**22
"""Values of the widest layer that are held at a time; more fall out of a core's cache."""


def batch_of(shape: Architecture, places: int = 64) -> int:
    """Stars at a time that a network answers fastest on a core.

    Examples
    --------
    >>> from starloom.stars.network import ARCHITECTURES
    >>> batch_of(ARCHITECTURES["completed"]), batch_of(ARCHITECTURES["paper"])
    (512, 64)
    """
    widest = max(shape.dimension, *(width for _, width in shape.encoder), 1)
    return int(np.clip(ACTIVATIONS // (places * widest), LEAST, MOST))


def batches(
    vocabulary: Vocabulary, tokens: Tokens, places: Places, batch: int
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Kinds and values of batches of stars; columns that no star of a batch has take no place."""
    for start in range(0, len(tokens), batch):
        rows = slice(start, min(start + batch, len(tokens)))
        values = vocabulary.standardize(tokens.values[rows][:, places], places)
        known = np.isfinite(values)
        kept = np.atleast_1d(known.any(axis=0))
        if not kept.any():
            kept[:1] = True
        kinds = np.where(known, places + 1, 0)[:, kept]
        shown = np.where(known, values, 0.0)[:, kept].astype(np.float32)
        yield rows, torch.from_numpy(kinds), torch.from_numpy(shown)


def attention_of(
    network: StarNetwork, vocabulary: Vocabulary, tokens: Tokens, places: Places, asked: Places
) -> NDArray[np.float64]:
    """How much each request looks at each kind: (stars, blocks, requests, kinds), heads averaged.

    Parameters
    ----------
    places : columns of the tokens that are looked at.
    asked : columns of the kinds that are requested.
    """
    numbers = torch.from_numpy(asked + 1)
    result = np.zeros((len(tokens), len(network.shape.decoder), len(asked), len(vocabulary) + 1))
    with torch.inference_mode():
        for rows, kinds, values in batches(vocabulary, tokens, places, batch_of(network.shape)):
            maps = network.attention(network.perceive(kinds, values), numbers.expand(len(kinds), -1))
            for block, weights in enumerate(maps):
                mean = weights.mean(dim=1)[:, :, : kinds.shape[1]].float()
                spread = torch.zeros(len(kinds), len(asked), result.shape[-1])
                spread.scatter_add_(2, kinds[:, None, :].expand_as(mean), mean)
                result[rows, block] = spread.numpy()
    return result[..., 1:]


def vectors_of(network: StarNetwork, vocabulary: Vocabulary, tokens: Tokens, places: Places) -> NDArray[np.float32]:
    """A vector a star (stars, width), from the tokens in these columns."""
    parts = []
    with torch.inference_mode():
        for _, kinds, values in batches(vocabulary, tokens, places, batch_of(network.shape)):
            seen: Perception = network.perceive(kinds, values)
            parts.append(seen.vector.float().numpy())
    return np.concatenate(parts)


def nearest(
    stars: NDArray[np.float32], others: NDArray[np.float32], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rows (stars, count) of the most similar of other vectors, best first, and the cosines.

    Vectors are standardized over ``others``.

    Examples
    --------
    >>> places = np.array([[0.0, 1.0], [1.0, 0.0], [-1.0, 0.0], [0.0, -1.0]], dtype=np.float32)
    >>> nearest(places[:1], places, 2)[0].tolist()
    [[0, 1]]
    """
    if not 1 <= count <= len(others):
        raise ConfigError(f"{count} similar stars were asked for, and the other table has {len(others)}")
    center, scale = others.mean(axis=0), others.std(axis=0) + 1e-6
    first, second = ((part - center) / scale for part in (stars, others))
    cosine = first @ second.T
    cosine /= np.linalg.norm(first, axis=1)[:, None] * np.linalg.norm(second, axis=1) + 1e-12
    order = np.argsort(-cosine, axis=1, kind="stable")[:, :count]
    return order, np.take_along_axis(cosine, order, 1).astype(float)
