"""Two ways to the same result in one process: the CPU seconds of each, and how far the results are apart."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Comparison:
    """One line of the results.

    Parameters
    ----------
    name : what was computed.
    peer : the other way.
    seconds, peer_seconds : CPU seconds (median).
    difference, tolerance : how far the results are apart, and how far they may be, in ``unit``.
    work, work_unit : how much of what was done each time.
    note : what else there is to know.
    """

    name: str
    peer: str
    seconds: float
    peer_seconds: float
    difference: float
    tolerance: float
    unit: str
    work: float
    work_unit: str
    note: str = ""

    @property
    def agrees(self) -> bool:
        """Whether both results are the same within the tolerance; NaN is not."""
        return self.difference <= self.tolerance

    def row(self) -> str:
        """The line of the table."""
        agreement = f"{self.difference:.1e} {self.unit} (<= {self.tolerance:.0e})".replace("  ", " ")
        if not self.agrees:
            agreement = f"**disagree**: {agreement}"
        cells = (
            self.name,
            f"{self.seconds:.3g}",
            f"{self.work / self.seconds:,.0f} {self.work_unit}/s",
            f"{self.peer_seconds:.3g} ({self.peer})",
            f"**{self.peer_seconds / self.seconds:.2g}**",
            agreement,
        )
        return f"| {' | '.join(cells)} |"


HEADER = (
    "| what | CPU s | speed | CPU s of the peer | peer / starloom | largest difference |\n|---|---|---|---|---|---|"
)


def cpu_seconds(work: Callable[[], Any], repeats: int = 5) -> float:
    """Median CPU seconds of a call, after one that does not count."""
    work()
    times = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return median(times)


def table(comparisons: list[Comparison]) -> str:
    """All lines, then their notes."""
    notes = [f"- {c.name}: {c.note}" for c in comparisons if c.note]
    return "\n".join([HEADER, *(c.row() for c in comparisons), "", *notes, ""])
