"""Which tokens a star shows and which are asked of it, in training: drawn anew at every step.

A step is of one of a few modes, each with a fixed number of places, so that little is spent on padding:

- ``full``: the usual coefficients and all colors, in half of the stars some of them dropped;
- ``few``: labels and colors, the lowest coefficients and colors, or a handful of anything;
- ``arm``: one arm's coefficients, the other arm asked;
- ``random``: any tokens at all.

Everything follows from (seed, step): a resumed training draws what an uninterrupted one does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from starloom.stars.tokens import Vocabulary

COPY_ERROR = 0.01
"""Standardized error of a value that is asked back while it is shown."""

MODES = ("full", "few", "arm", "random")


@dataclass(frozen=True)
class Mode:
    """How many stars, places and requests a step of a mode has, and how often it comes."""

    share: float
    stars: int
    places: int
    requests: int


@dataclass(frozen=True)
class Draw:
    """One step's stars: kinds and values at places, requests with their values, errors and weights."""

    kinds: NDArray[np.int64]
    values: NDArray[np.float32]
    requests: NDArray[np.int64]
    targets: NDArray[np.float32]
    errors: NDArray[np.float32]
    weights: NDArray[np.float32]


class Sampler:
    """Draws contexts and requests.

    Parameters
    ----------
    vocabulary : the kinds.
    values, errors : (stars, kinds) standardized, NaN where missing (errors 0).
    modes : of each name in ``MODES``.
    usual : orders of coefficients in a full context.
    label_weight, other_weight : of a label and of another kind in the loss.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        values: NDArray[np.float32],
        errors: NDArray[np.float32],
        modes: dict[str, Mode],
        *,
        usual: int = 32,
        label_weight: float = 1.0,
        other_weight: float = 0.3,
    ) -> None:
        self.values, self.errors, self.modes = values, errors, modes
        self.known = np.isfinite(values)
        self.filled = np.where(self.known, values, 0.0).astype(np.float32)
        self.labels, self.colors, self.xp = (vocabulary.group(g) for g in ("label", "color", "xp"))
        orders = np.array([kind.order for kind in vocabulary.kinds])
        arms = np.array([kind.arm for kind in vocabulary.kinds])
        self.orders, self.bp, self.rp = orders, arms == "bp", arms == "rp"
        self.usual = np.flatnonzero((self.bp | self.rp) & (orders < usual))
        self.asked = np.array([kind.requested for kind in vocabulary.kinds])
        self.weight = np.where(np.isin(np.arange(len(vocabulary)), self.labels), label_weight, other_weight)
        self.shares = np.array([modes[name].share for name in MODES])
        self.shares = self.shares / self.shares.sum()

    def draw(self, seed: int, step: int) -> Draw:
        """The stars of a step."""
        rng = np.random.default_rng([seed, step])
        name = MODES[int(rng.choice(len(MODES), p=self.shares))]
        mode = self.modes[name]
        rows = rng.integers(len(self.values), size=mode.stars)
        # a place in line for each token: the first ones are shown; 2 and more is out
        line = rng.random((mode.stars, self.values.shape[1]), dtype=np.float32)
        wish = rng.random(line.shape, dtype=np.float32)
        getattr(self, f"_{name}")(rng, line, wish)
        line[~self.known[rows]] = 9.0
        chosen = np.argpartition(line, min(mode.places, line.shape[1] - 1), axis=1)[:, : mode.places]
        shown = np.take_along_axis(line, chosen, 1) < 2.0
        kinds = np.where(shown, chosen + 1, 0)
        wish[~(self.known[rows] & self.asked)] = 9.0
        wanted = np.argpartition(wish, min(mode.requests, wish.shape[1] - 1), axis=1)[:, : mode.requests]
        valid = np.take_along_axis(wish, wanted, 1) < 9.0
        across = rows[:, None]
        # what is shown is asked back as it was shown, whatever its error
        copied = np.take_along_axis(line <= np.take_along_axis(line, chosen, 1).max(1, keepdims=True), wanted, 1)
        copied &= np.take_along_axis(line, wanted, 1) < 2.0
        return Draw(
            kinds,
            self.filled[across, chosen] * shown,
            wanted + 1,
            self.filled[across, wanted],
            np.where(copied, COPY_ERROR, self.errors[across, wanted]).astype(np.float32),
            (self.weight[wanted] * valid).astype(np.float32),
        )

    def _only(self, line: NDArray[np.float32], rows: NDArray[np.bool_], allowed: NDArray[np.int64]) -> None:
        """Put every other token of these rows out of line."""
        out = np.ones(line.shape[1], dtype=bool)
        out[allowed] = False
        line[np.ix_(rows, out)] += 2.0

    def _cut(self, rng: np.random.Generator, line: NDArray[np.float32], rows: NDArray[np.bool_], least: float) -> None:
        """Keep a share of the tokens in line, uniform between ``least`` and 1, in these rows."""
        share = rng.uniform(least, 1.0, size=(int(rows.sum()), 1)).astype(np.float32)
        part = line[rows]
        line[rows] = np.where((part < 2.0) & (part > share), part + 2.0, part)

    def _full(self, rng: np.random.Generator, line: NDArray[np.float32], wish: NDArray[np.float32]) -> None:
        stars = len(line)
        kind = rng.random(stars)
        everything = np.concatenate([self.usual, self.colors])
        self._only(line, np.ones(stars, dtype=bool), everything)
        self._cut(rng, line, kind < 0.5, 0.3)
        no_colors = np.ix_(kind > 0.9, self.colors)
        line[no_colors] += 2.0
        wish[:, self.labels] -= 1.0

    def _few(self, rng: np.random.Generator, line: NDArray[np.float32], wish: NDArray[np.float32]) -> None:
        stars = len(line)
        kind = rng.random(stars)
        given, low = kind < 0.4, (kind >= 0.4) & (kind < 0.8)
        self._only(line, given, np.concatenate([self.labels, self.colors]))
        # one color is often all that tells (a color of the spectrum's own bands nearly gives the lowest coefficients)
        if len(self.colors):
            lacking = np.flatnonzero(given & (rng.random(stars) < 0.65))
            line[lacking, rng.choice(self.colors, size=len(lacking))] += 2.0
        self._cut(rng, line, given & (rng.random(stars) < 0.4), 0.2)
        # the lowest n coefficients of each arm, n from 1 to 7 (5 most of all), with or without colors
        count = np.minimum(rng.integers(1, 8, size=stars), 6)
        orders = np.where(rng.random(stars) < 0.5, 5, count)
        self._only(line, low, np.concatenate([self.xp, self.colors]))
        above = low[:, None] & (self.orders[None, :] >= orders[:, None])
        line[above] += 2.0
        line[np.ix_(low & (rng.random(stars) < 0.2), self.colors)] += 2.0
        handful = ~(given | low)
        self._cut(rng, line, handful, 0.0)
        wish[np.ix_(~given, self.labels)] -= 1.0
        lowest = self.xp[self.orders[self.xp] < 5]
        wish[np.ix_(given, lowest)] -= 0.7

    def _arm(self, rng: np.random.Generator, line: NDArray[np.float32], wish: NDArray[np.float32]) -> None:
        stars = len(line)
        blue = rng.random(stars) < 0.5
        for rows, shown, other in ((blue, self.bp, self.rp), (~blue, self.rp, self.bp)):
            usual = np.flatnonzero(shown & (self.orders < len(self.usual) // 2))
            self._only(line, rows, np.concatenate([usual, self.colors]))
            wish[np.ix_(rows, other)] -= 0.8
        line[np.ix_(rng.random(stars) < 0.5, self.colors)] += 2.0
        self._cut(rng, line, rng.random(stars) < 0.3, 0.3)

    def _random(self, rng: np.random.Generator, line: NDArray[np.float32], wish: NDArray[np.float32]) -> None:
        stars = len(line)
        usual = rng.random(stars) < 0.7
        self._only(line, usual, np.concatenate([self.usual, self.colors, self.labels]))
        half = line[:, self.labels]
        half[rng.random(half.shape) < 0.7] += 2.0
        line[:, self.labels] = half
        self._cut(rng, line, rng.random(stars) < 0.5, 0.1)
        wish[:, self.labels] -= 0.6
