"""Blocks of rows on plain threads."""

from __future__ import annotations

import numpy as np
import pytest

from starloom.errors import ConfigError
from starloom.threads import in_blocks


@pytest.mark.parametrize("workers", [None, 1, 3])
def test_every_row_is_worked_on_once(workers):
    seen, parts = np.zeros(23, dtype=int), []

    def run(part):
        seen[part] += 1
        parts.append((part.start, part.stop))

    in_blocks(run, 23, workers, block=5)
    assert (seen == 1).all()
    assert sorted(parts) == [(0, 5), (5, 10), (10, 15), (15, 20), (20, 23)]


def test_an_error_in_a_thread_comes_out():
    def run(part):
        if part.start == 4:
            raise KeyError("here")

    with pytest.raises(KeyError, match="here"):
        in_blocks(run, 8, 2, block=2)
    with pytest.raises(ConfigError, match="workers"):
        in_blocks(run, 8, 0)
    in_blocks(run, 0, 2)
