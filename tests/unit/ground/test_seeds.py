from __future__ import annotations

import numpy as np
import pytest
import torch

from starloom.errors import ConfigError
from starloom.seeds import generator, torch_generator


def test_the_same_seed_gives_the_same_numbers():
    assert generator(3).random(4).tolist() == generator(np.int64(3)).random(4).tolist()
    assert generator(3).random() != generator(4).random()


def test_a_generator_is_passed_through():
    rng = np.random.default_rng(1)
    assert generator(rng) is rng


@pytest.mark.parametrize("seed", [-1, 1.0, True, "1", None, float("nan")])
def test_a_wrong_seed_is_refused(seed):
    with pytest.raises(ConfigError, match="non-negative integer"):
        generator(seed)


def test_a_torch_generator_follows_the_numpy_one_and_moves_it_on():
    rng = generator(5)
    first, second = torch_generator(rng), torch_generator(rng)
    again = torch_generator(generator(5))
    assert torch.rand(3, generator=again).tolist() == torch.rand(3, generator=first).tolist()
    assert torch.rand(3, generator=second).tolist() != torch.rand(3, generator=torch_generator(generator(5))).tolist()


def test_no_global_state_is_touched():
    numpy_before, torch_before = np.random.get_state()[1].tolist(), torch.get_rng_state().clone()  # noqa: NPY002
    torch_generator(generator(5))
    assert np.random.get_state()[1].tolist() == numpy_before  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)
