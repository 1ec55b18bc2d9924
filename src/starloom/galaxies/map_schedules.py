"""How a map is trained: learning rate and neighborhood width along the way, under the names users know.

``masters`` is the algorithm of arXiv:1509.03318, ``rail_sompz`` and ``rail_som`` are the conventions of the LSST DESC
packages of those names; ``starloom`` (batch) is the default here, and ``online`` goes in single steps.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from starloom.errors import ConfigError

Array = NDArray[np.float64]
Decay = Literal["exponential", "harmonic", "linear"]


@dataclass(frozen=True)
class Course:
    """A quantity that goes from ``start`` to ``end`` in the course of a training.

    ``exponential``: start (end / start)^f; ``harmonic``: 1 / x linear in f; ``linear``: x linear in f, f in [0, 1].

    Examples
    --------
    >>> Course(1.0, 0.25, "exponential").at(np.array([0.0, 0.5, 1.0])).tolist()
    [1.0, 0.5, 0.25]
    """

    start: float
    end: float
    decay: Decay = "exponential"

    def __post_init__(self) -> None:
        if not (np.isfinite([self.start, self.end]).all() and self.start > 0 and self.end > 0):
            raise ConfigError(f"a course goes between positive numbers, not from {self.start} to {self.end}")
        if self.decay not in ("exponential", "harmonic", "linear"):
            raise ConfigError(f"a course is exponential, harmonic or linear, not {self.decay!r}")

    def at(self, fraction: Array) -> Array:
        """Values at fractions of the training."""
        f = np.asarray(fraction, dtype=np.float64)
        if self.decay == "exponential":
            return np.asarray(self.start * (self.end / self.start) ** f)
        if self.decay == "harmonic":
            return np.asarray(1.0 / ((1.0 - f) / self.start + f / self.end))
        return np.asarray((1.0 - f) * self.start + f * self.end)


@dataclass(frozen=True)
class Schedule:
    """One way to train.

    Parameters
    ----------
    name : what it is called.
    mode : ``online`` (one galaxy after another) or ``batch`` (all galaxies, then all cells).
    rate : the share of the way that the nearest cell moves towards a galaxy (or, in batch, towards its new mean).
    width : width w of the neighborhood exp(-D^2 / w^2), in cells; its start in shorter sides of the map where
        ``of_side``.
    passes : how often the table is gone through; the number of online steps is ``passes`` times the rows.
    least_steps : at least as many online steps, however short the table.
    draws : online galaxies are drawn ``replaced`` (each step from all of them) or ``shuffled`` (each once a pass).
    least : cells that would move by less than this share of the way stay where they are; 0 is rounding.
    start : cells begin at ``sample`` (random galaxies), ``uniform`` (random in the range of each feature) or ``plane``
        (that of the two principal components).
    """

    name: str
    mode: Literal["online", "batch"]
    rate: Course
    width: Course
    passes: float = 10.0
    least_steps: int = 0
    draws: Literal["replaced", "shuffled"] = "replaced"
    least: float = 0.0
    start: Literal["sample", "uniform", "plane"] = "sample"
    of_side: bool = True

    def __post_init__(self) -> None:
        if not (np.isfinite(self.passes) and self.passes > 0):
            raise ConfigError(f"a training goes through the table a positive number of times, not {self.passes}")
        if self.start not in ("sample", "uniform", "plane"):
            raise ConfigError(f"cells begin at sample, uniform or plane, not {self.start!r}")

    def steps(self, rows: int) -> int:
        """Number of steps: galaxies (online) or passes (batch)."""
        if self.mode == "batch":
            return max(round(self.passes), 1)
        return max(round(self.passes * rows), self.least_steps, 1)

    def courses(self, steps: int, shorter_side: int, part: slice = slice(None)) -> tuple[Array, Array]:
        """Rate and width at each step; the last step of a batch training has the end values."""
        span = steps if self.mode == "online" else max(steps - 1, 1)
        fraction = np.arange(steps)[part] / span
        start = self.width.start * (shorter_side if self.of_side else 1)
        width = replace(self.width, start=max(start, self.width.end))
        return self.rate.at(fraction), width.at(fraction)


_ROOT_TWO = float(np.sqrt(2.0))
SCHEDULES: Mapping[str, Schedule] = {
    entry.name: entry
    for entry in (
        # arXiv:1509.03318, section 3: a = 0.5^(t/N), sigma = sigma_s (1/sigma_s)^(t/N), H = exp(-D^2/sigma^2)
        Schedule("masters", "online", Course(1.0, 0.5), Course(1.0, 1.0), passes=20.0, least_steps=200_000,
                 start="uniform"),
        # hFunc of LSSTDESC/rail_sompz: harmonic, exp(-D^2 / (2 sigma^2)), one pass over the shuffled table
        Schedule("rail_sompz", "online", Course(0.5, 0.1, "harmonic"),
                 Course(30.0 * _ROOT_TWO, _ROOT_TWO, "harmonic"), passes=1.0, draws="shuffled", least=1e-3,
                 of_side=False),
        # rail_som calls somoclu: linear cooling, exp(-D^2 / (2 (1.5 r)^2)), half of the shorter side to one cell
        Schedule("rail_som", "batch", Course(0.5, 0.01, "linear"), Course(0.75 * _ROOT_TWO, 1.5 * _ROOT_TWO, "linear"),
                 passes=10.0, start="plane"),
        Schedule("online", "online", Course(1.0, 0.2), Course(0.25, 0.5), passes=1.0, least_steps=100_000),
        Schedule("starloom", "batch", Course(1.0, 1.0), Course(0.25, 0.6), passes=12.0, start="plane"),
    )
}  # fmt: skip


def schedule(name: str | Schedule, *, passes: float | None = None) -> Schedule:
    """The schedule of that name (one that was made by hand is passed through), with another number of passes.

    Raises
    ------
    ConfigError
        For an unknown name, with the closest known one.

    Examples
    --------
    >>> schedule("masters").rate
    Course(start=1.0, end=0.5, decay='exponential')
    """
    if isinstance(name, str):
        if name not in SCHEDULES:
            close = difflib.get_close_matches(name, SCHEDULES, n=1, cutoff=0.4)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise ConfigError(f"no schedule is called {name!r}; {hint}known: {', '.join(SCHEDULES)}")
        name = SCHEDULES[name]
    return name if passes is None else replace(name, passes=passes, least_steps=0)
