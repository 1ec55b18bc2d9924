"""Compiled kernels over rows on plain threads: blocks of a fixed size, so the number of threads changes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from starloom.errors import ConfigError

BLOCK = 256


def in_blocks(run: Callable[[slice], None], rows: int, workers: int | None = None, block: int = BLOCK) -> None:
    """Call ``run`` for each block of rows.

    Parameters
    ----------
    run : works on a slice of rows; it must release the lock of the interpreter for threads to help.
    rows : how many there are.
    workers : threads; by default OMP_NUM_THREADS or all cores.
    block : rows in one call.

    Raises
    ------
    ConfigError
        When workers is not a positive number.
    """
    if workers is not None and workers < 1:
        raise ConfigError(f"workers must be at least 1, got {workers}")
    count = workers or int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
    parts = [slice(start, min(start + block, rows)) for start in range(0, rows, block)]
    if count == 1 or len(parts) < 2:
        for part in parts:
            run(part)
        return
    with ThreadPoolExecutor(min(count, len(parts)), thread_name_prefix="blocks") as pool:
        for done in [pool.submit(run, part) for part in parts]:
            done.result()
