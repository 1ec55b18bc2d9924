"""Score a table in a process of its own and print the CPU seconds and the peak of memory: MODEL TABLE read|score."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import torch

from starloom.catalog.tables import read_table
from starloom.streams.fitted import FittedStream


def peak_megabytes() -> float:
    """Largest resident size of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count what the parent held when it started this process
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM"):
                return float(line.split()[1]) / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    model, path, mode = sys.argv[1:]
    torch.set_num_threads(1)
    fitted, started = FittedStream.load(model), time.process_time()
    table = read_table(path)
    if mode == "score":
        fitted.predict(table)
    print(json.dumps({"megabytes": peak_megabytes(), "seconds": time.process_time() - started}))


main()
