"""Training on several processes under ``torchrun``, and what the machine's processors can do."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import torch


def has_bfloat16() -> bool:
    """Whether this CPU multiplies matrices in bfloat16 by itself (else it is slower than float32)."""
    with contextlib.suppress(OSError):
        flags = Path("/proc/cpuinfo").read_text()
        return "avx512_bf16" in flags or "amx_bf16" in flags
    return False


def world() -> tuple[int, int]:
    """Rank of this process and how many there are, as ``torchrun`` sets them; (0, 1) alone."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


@contextlib.contextmanager
def process_group() -> Iterator[None]:
    """Join the processes of ``torchrun`` for the length of a block; nothing when there is only this one."""
    from torch import distributed

    if world()[1] == 1 or distributed.is_initialized():
        yield
        return
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()
