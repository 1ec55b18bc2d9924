"""Randomness: one seed in, one generator passed down, no global state."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from starloom.errors import ConfigError

if TYPE_CHECKING:
    import torch


def generator(seed: int | np.random.Generator) -> np.random.Generator:
    """A numpy Generator from a seed (a Generator is passed through).

    Raises
    ------
    ConfigError
        When the seed is not a non-negative integer.
    """
    if isinstance(seed, np.random.Generator):
        return seed
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ConfigError(f"seed must be a non-negative integer, got {seed!r}")
    return np.random.default_rng(int(seed))


def torch_generator(rng: np.random.Generator) -> torch.Generator:
    """A torch Generator seeded from a numpy one."""
    import torch

    return torch.Generator().manual_seed(int(rng.integers(2**63 - 1)))
