"""Two sequences as a mixture: at every [Fe/H] two normals in [alpha/Fe], whose means, widths and shares change slowly.

It is started from a line between them and fitted by expectation and maximization on a grid of counts, with the sums of
neighboring [Fe/H] smoothed, so that no shape of the sequences along [Fe/H] is assumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

BINS = (64, 180)
ROUNDS = 60
SMOOTH = 0.3  # of the robust width (half of the central 68 %) of [Fe/H]
CONVERGED = 1e-5  # largest change of the share of the high sequence


@dataclass(frozen=True)
class SequenceMixture:
    """Means, widths and share of the high sequence at places of [Fe/H], read off linearly between.

    Parameters
    ----------
    fe_h : (k,) places.
    mean, width : (2, k) of [alpha/Fe]; low sequence first.
    share : (k,) of the high sequence.
    """

    fe_h: Floats
    mean: Floats
    width: Floats
    share: Floats

    def probability(self, fe_h: ArrayLike, alpha: ArrayLike) -> Floats:
        """The probability to be of the high sequence.

        The wider normal of two would claim both ends. So the probability does not change any more beyond the mean of
        the narrower sequence, and beyond two widths from the mean of the wider one.
        """
        iron, value = np.asarray(fe_h, dtype=np.float64), np.asarray(alpha, dtype=np.float64)
        mean = [np.interp(iron, self.fe_h, part) for part in self.mean]
        width = [np.interp(iron, self.fe_h, part) for part in self.width]
        share = np.interp(iron, self.fe_h, self.share)
        ends = self._ends
        at = np.clip(value, *(np.interp(iron, self.fe_h, end) for end in ends))
        low, high = (
            -0.5 * ((at - m) / w) ** 2 - np.log(w) + np.log(np.maximum(part, 1e-300))
            for m, w, part in zip(mean, width, (1.0 - share, share), strict=True)
        )
        return np.asarray(1.0 / (1.0 + np.exp(np.clip(low - high, -700, 700))))

    @property
    def _ends(self) -> tuple[Floats, Floats]:
        """(k,) [alpha/Fe] between which the probability changes."""
        (low, high), (narrow, wide) = self.mean, self.width
        bottom = low - np.where(narrow > wide, 2.0 * narrow, 0.0)
        return bottom, np.maximum(bottom, high + np.where(wide > narrow, 2.0 * wide, 0.0))

    def even_line(self) -> Floats:
        """(k,) [alpha/Fe] at which both are equally probable; NaN where that is nowhere."""
        bottom, top = self._ends
        alpha = bottom + np.linspace(0.0, 1.0, 97)[:, None] * (top - bottom)
        probability = self.probability(self.fe_h[None, :], alpha)
        line = np.full(len(self.fe_h), np.nan)
        for place in range(len(self.fe_h)):
            p = np.maximum.accumulate(probability[:, place])
            if self.mean[1, place] > self.mean[0, place] and p[0] < 0.5 < p[-1]:
                line[place] = np.interp(0.5, p, alpha[:, place])
        return line

    def as_json(self) -> dict[str, Any]:
        """Plain lists."""
        return {name: getattr(self, name).tolist() for name in ("fe_h", "mean", "width", "share")}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> SequenceMixture:
        """From plain lists."""
        return cls(**{name: np.array(stored[name], dtype=np.float64) for name in ("fe_h", "mean", "width", "share")})


@dataclass(frozen=True)
class StarCounts:
    """Stars counted on a grid: centers (k,) and (m,), counts (k, m), the cell of every star, and the width of x."""

    x: Floats
    y: Floats
    counts: Floats
    cells: NDArray[np.int64]
    width: float

    @classmethod
    def of(cls, iron: Floats, alpha: Floats) -> StarCounts:
        """Count stars, shapes (n,); what lies beyond the outermost 0.05 % counts in the outermost cell."""
        edges = [
            np.linspace(np.quantile(column, 0.0005), np.quantile(column, 0.9995), bins + 1)
            for column, bins in zip((iron, alpha), BINS, strict=True)
        ]
        places = [
            np.clip(np.searchsorted(edge, column, side="right") - 1, 0, bins - 1)
            for edge, column, bins in zip(edges, (iron, alpha), BINS, strict=True)
        ]
        cells = places[0] * BINS[1] + places[1]
        x, y = (0.5 * (edge[1:] + edge[:-1]) for edge in edges)
        counts = np.bincount(cells, minlength=BINS[0] * BINS[1]).astype(np.float64)
        return cls(x, y, counts.reshape(BINS), cells, 0.5 * float(np.subtract(*np.quantile(iron, [0.84, 0.16]))))


def fit_mixture(grid: StarCounts, counts: Floats, responsibility: Floats, rounds: int = ROUNDS) -> SequenceMixture:
    """Fit the mixture.

    Parameters
    ----------
    grid : the cells.
    counts : (k, m) stars in each cell; those of ``grid``, or a resampling of them.
    responsibility : (k, m) share of each cell that belongs to the high sequence, to start from.
    rounds : of expectation and maximization at most.
    """
    from scipy.ndimage import gaussian_filter1d

    y = grid.y
    sigma, floor = SMOOTH * grid.width / (grid.x[1] - grid.x[0]), 1.5 * (y[1] - y[0])
    fitted: SequenceMixture | None = None
    for _ in range(rounds):
        mean, width, mass = [], [], []
        for part in (counts * (1.0 - responsibility), counts * responsibility):
            sums = [
                gaussian_filter1d((part * y**power).sum(axis=1), sigma, mode="nearest", truncate=5.0)
                for power in (0, 1, 2)
            ]
            total = np.maximum(sums[0], 1e-12)
            m = sums[1] / total
            # where a sequence has next to no stars it has the width that it has elsewhere
            everywhere = float((part * (y - m[:, None]) ** 2).sum() / max(part.sum(), 1e-12))
            v = (np.maximum(sums[2] - sums[1] * m, 0.0) + 5.0 * everywhere) / (total + 5.0)
            mean.append(m)
            width.append(np.sqrt(np.maximum(v, floor**2)))
            mass.append(total)
        share = mass[1] / (mass[0] + mass[1])
        before, fitted = fitted, SequenceMixture(grid.x, np.array(mean), np.array(width), share)
        if before is not None and np.abs(share - before.share).max() < CONVERGED:
            break
        responsibility = fitted.probability(grid.x[:, None], y[None, :])
    assert fitted is not None  # there is at least one round
    return fitted
