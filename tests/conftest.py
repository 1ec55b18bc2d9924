"""What every test shares: no Earth rotation tables from the network, one thread for torch, Ctrl-C, real tables."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_configure(config: pytest.Config) -> None:
    import torch
    from astropy.utils import iers

    iers.conf.auto_download = False
    iers.conf.auto_max_age = None
    torch.set_num_threads(1)
    if DATA.is_dir():
        os.environ.setdefault("STARLOOM_DATA", str(DATA))


@pytest.fixture(autouse=True)
def _interruptible() -> None:
    """Ctrl-C as Python takes it: a runner in the background, or a library, may have changed that."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def damaged():
    """Damages bytes in one of four ways at a random place: ``damaged(content, rng)``."""

    def damage(content: bytes, rng: np.random.Generator) -> bytes:
        data = np.frombuffer(content, np.uint8).copy()
        place = int(rng.integers(len(data)))
        match rng.integers(4):
            case 0:
                data[place] ^= np.uint8(1 << rng.integers(8))
            case 1:
                data = data[:place]
            case 2:
                data[place : place + int(rng.integers(1, 512))] = 0
            case _:
                end = min(place + 64, len(data))
                data[place:end] = rng.integers(0, 256, end - place)
        return data.tobytes()

    return damage
