"""Long bars: an experiment run once a seed, and what is asked of its numbers pooled over the seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from starloom.results.record import Bar

Numbers = Mapping[str, Any]
RESAMPLES = 2000
CENTRAL = 0.9


@dataclass(frozen=True)
class Pooled:
    """A value with its central 90 % interval."""

    value: float
    low: float
    high: float


Pooling = Callable[[Sequence[Numbers]], Pooled]


@dataclass(frozen=True)
class Experiment:
    """What is run once a seed.

    Parameters
    ----------
    name : of its cache and in the tables.
    measure : (seed, **settings) -> numbers, lists or true and false by name, all of which JSON can hold.
    seeds : fixed before the first run.
    settings : of the full run.
    quick : settings of a run that only shows that all of it works.
    """

    name: str
    measure: Callable[..., Numbers]
    seeds: tuple[int, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    quick: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LongBar:
    """One line of the table.

    Parameters
    ----------
    name, meaning : what it is.
    experiment : whose numbers are pooled.
    pool : numbers of the seeds -> value and interval.
    bar : None: for information.
    percent : write the value as a percentage.
    """

    name: str
    experiment: Experiment
    pool: Pooling
    bar: Bar | None = None
    meaning: str = ""
    percent: bool = False


@dataclass(frozen=True)
class System:
    """The bars of one system.

    Parameters
    ----------
    name : of its section.
    text : a few sentences above its table.
    bars : its lines.
    source : the file that defines them: what it imports decides whether an earlier result still holds.
    """

    name: str
    text: str
    bars: tuple[LongBar, ...]
    source: Path

    @property
    def experiments(self) -> list[Experiment]:
        """Each experiment once, in the order of the bars."""
        return list({bar.experiment.name: bar.experiment for bar in self.bars}.values())


def bootstrap(statistic: Callable[[Sequence[Numbers]], float]) -> Pooling:
    """Any statistic of the seeds, with its interval from resampling whole seeds.

    What belongs to one seed (neighboring points of one track, say) stays together: the seeds are independent, their
    parts are not.
    """

    def pool(numbers: Sequence[Numbers]) -> Pooled:
        rng = np.random.default_rng(0)
        places = rng.integers(len(numbers), size=(RESAMPLES, len(numbers)))
        values = [statistic([numbers[place] for place in row]) for row in places]
        edges = [(1 - CENTRAL) / 2, (1 + CENTRAL) / 2]
        low, high = np.quantile(values, edges) if len(numbers) > 1 else (np.nan, np.nan)
        return Pooled(statistic(numbers), float(low), float(high))

    return pool


def ratio(above: str, below: str) -> Pooling:
    """Sum of one number over the seeds by the sum of another."""
    return bootstrap(lambda numbers: sum(n[above] for n in numbers) / max(sum(n[below] for n in numbers), 1e-300))


def median(name: str) -> Pooling:
    """Median of a number over the seeds."""
    return bootstrap(lambda numbers: float(np.median([n[name] for n in numbers])))


def share(name: str) -> Pooling:
    """Share of the seeds for which something is true, with the binomial (Clopper-Pearson) interval."""

    def pool(numbers: Sequence[Numbers]) -> Pooled:
        from scipy.stats import beta

        true, all_of_them, tail = sum(bool(n[name]) for n in numbers), len(numbers), (1 - CENTRAL) / 2
        low = float(beta.ppf(tail, true, all_of_them - true + 1)) if true else 0.0
        high = float(beta.ppf(1 - tail, true + 1, all_of_them - true)) if true < all_of_them else 1.0
        return Pooled(true / all_of_them, low, high)

    return pool
