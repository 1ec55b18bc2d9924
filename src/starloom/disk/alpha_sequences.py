"""The two alpha sequences, split with nobody drawing a line (arXiv:2306.09319, section 3, made automatic).

The density of ([Fe/H], [alpha/Fe]) has two summits. Their watershed, the line from which the density rises to one
summit on either side, passes the saddle between them. It says that there are two sequences, and starts a mixture, which
gives every star a probability; the split is the line on which both sequences are equally probable.

Where the density is looked at matters. On the unit square (the copula density itself) a sequence that fills one end of
both margins has its summit in a corner, where the density has no bound. In normal scores the summits are inside, but
ranks leave no gaps: what lies between the sequences in [alpha/Fe] is squeezed by as much as it is empty, and a sequence
with few stars loses its summit. So by default the summits are looked for in the columns themselves, each divided by its
robust width; ``representation="scores"`` looks in normal scores. There the watershed is the better line, since it is
not drawn along the ridge that joins the sequences at high [Fe/H]; the mixture ends at the same line from either start.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from starloom.catalog.provenance import record
from starloom.disk.sequence_mixture import SequenceMixture, StarCounts, fit_mixture
from starloom.disk.sequence_summits import (
    SIGNIFICANT,
    Representation,
    Summits,
    in_columns,
    plane_of,
    share_of_high,
    summits_of,
    usable_range,
    watershed_line,
)
from starloom.errors import CatalogError, ConfigError, FitError, ModelFileError
from starloom.seeds import generator

if TYPE_CHECKING:
    from astropy.table import QTable
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

LEAST_ROWS = 100
LEAST_SHARE = 0.01

KIND = "alpha sequences"
_LINES = ("fe_h", "alpha", "alpha_error", "watershed_fe_h", "watershed_alpha", "watershed_error")


@dataclass(frozen=True)
class AlphaSequences:
    """How to split a table's stars into two alpha sequences.

    Parameters
    ----------
    fe_h, alpha : names of the columns.
    representation : where the density is looked at; see above.
    bandwidth : of its kernel, in widths of the columns; by default N^(-1/6).
    degree : of the polynomial that smooths the watershed in ([Fe/H], [alpha/Fe]).
    bootstraps : resamplings that give the line its band.

    Examples
    --------
    >>> from starloom.disk.mock import Sequences, alpha_sequences
    >>> split = AlphaSequences(bootstraps=5).fit(alpha_sequences(Sequences(0.3), 20000, 1), seed=1)
    >>> print(f"{float(split.line(-0.3)[0]):.1f}")
    0.1
    """

    fe_h: str = "fe_h"
    alpha: str = "alpha_m"
    representation: Representation = "values"
    bandwidth: float | None = None
    degree: int = 3
    bootstraps: int = 100

    def __post_init__(self) -> None:
        if self.representation not in ("values", "scores"):
            raise ConfigError(f"representation is 'values' or 'scores', not {self.representation!r}")
        if self.degree < 1 or self.bootstraps < 0:
            raise ConfigError("the degree of the line is at least 1, the number of bootstraps at least 0")

    def columns(self, table: QTable) -> tuple[Floats, Floats]:
        """The two columns of a table, NaN where missing."""
        from starloom.catalog.schema import plain

        iron, alpha = plain(table, self.fe_h), plain(table, self.alpha)
        return np.where(np.isfinite(iron), iron, np.nan), np.where(np.isfinite(alpha), alpha, np.nan)

    def fit(self, table: QTable, *, seed: int | np.random.Generator = 1) -> FittedSequences:
        """Split a table.

        Raises
        ------
        CatalogError
            When fewer than 100 rows have both columns, or a column is constant.
        FitError
            When the density has one summit only, or a second one that chance could have made: the sample shows no two
            sequences, and nothing is split.
        """
        rng = generator(seed)
        iron, alpha = self.columns(table)
        known = np.isfinite(iron) & np.isfinite(alpha)
        if known.sum() < LEAST_ROWS:
            raise CatalogError(
                f"{int(known.sum())} rows have both '{self.fe_h}' and '{self.alpha}'; a split needs {LEAST_ROWS}"
            )
        iron, alpha = iron[known], alpha[known]
        h = len(iron) ** (-1.0 / 6.0) if self.bandwidth is None else self.bandwidth
        if not 0.0 < h < 1.0:
            raise ConfigError(f"the bandwidth lies between 0 and 1 (in widths of the columns), not {h}")
        plane = plane_of(iron, alpha, self.representation, h)
        weights = np.ones(len(plane.x))
        found = summits_of(plane, weights, h)
        share = 0.0 if found is None else share_of_high(found, plane)
        if found is None or found.significance < SIGNIFICANT or not LEAST_SHARE <= share <= 1.0 - LEAST_SHARE:
            what = "one summit" if found is None else (
                f"a second summit that stands {found.dip:.2f} in ln f ({found.significance:.1f} standard errors; "
                f"{SIGNIFICANT:g} are needed) above the saddle and has {100 * min(share, 1 - share):.1f} % of the stars"
            )  # fmt: skip
            raise FitError(
                f"the density of {len(iron)} stars in ('{self.fe_h}', '{self.alpha}') has {what}: no two sequences to "
                f"split. More stars, a narrower selection, or the other representation may show them"
            )
        at = np.linspace(*usable_range(found, plane), 161)
        water, coefficients = watershed_line(found, plane, at, self.degree)
        peaks = tuple(in_columns(peak, found, plane) for peak in (found.low, found.high))
        found_range = sorted((peaks[0][0], peaks[1][0]))
        grid = StarCounts.of(iron, alpha)
        start = (grid.y[None, :] > np.interp(grid.x, at, water)[:, None]).astype(np.float64)
        mixture = fit_mixture(grid, grid.counts, start)
        between = (mixture.fe_h > found_range[0]) & (mixture.fe_h < found_range[1])
        if not np.isfinite(mixture.even_line()[between]).any():
            raise FitError(
                "the mixture of two sequences lost one of them: stars of a third population (of [Fe/H] < -1, say) may "
                "lie among them; leave them out"
            )
        settled = mixture.probability(grid.x[:, None], grid.y[None, :])
        lines, waters, kept = [], [], 0
        for _ in range(self.bootstraps):
            again = summits_of(plane, rng.poisson(1.0, len(plane.x)).astype(np.float64), h)
            if again is not None and again.significance > 1.0:
                kept += 1
                waters.append(watershed_line(again, plane, at, self.degree)[0])
            lines.append(fit_mixture(grid, rng.poisson(grid.counts).astype(np.float64), settled, 12).even_line())
        return FittedSequences(
            model=self, fe_h=mixture.fe_h, alpha=mixture.even_line(), alpha_error=_spread(lines, len(mixture.fe_h)),
            watershed_fe_h=at, watershed_alpha=water, watershed_error=_spread(waters, len(at)),
            coefficients=coefficients, mixture=mixture, summits=found, significance=found.significance,
            peaks=peaks,
            saddle=tuple(float(part) for part in plane.to_columns(*found.saddle)),
            rows=len(iron), two_summits=kept / self.bootstraps if self.bootstraps else float("nan"),
        )  # fmt: skip


def _spread(lines: list[Floats], points: int) -> Floats:
    """Standard deviation over resampled lines where at least half of them exist; NaN elsewhere."""
    if len(lines) < 2:
        return np.full(points, np.nan)
    drawn = np.array(lines)
    enough = np.isfinite(drawn).sum(axis=0) >= max(2, len(drawn) // 2)
    found = np.full(points, np.nan)
    found[enough] = np.nanstd(drawn[:, enough], axis=0, ddof=1)
    return found


@dataclass(frozen=True)
class FittedSequences:
    """A split: its line, what it was found from, and a mixture for probabilities.

    Parameters
    ----------
    model : how it was made.
    fe_h, alpha, alpha_error : (k,) the split: [alpha/Fe] at which both sequences are equally probable, with its
        bootstrap standard error; NaN where no [alpha/Fe] between the sequences is.
    watershed_fe_h, watershed_alpha, watershed_error : (m,) the polynomial through the watershed of the density.
    coefficients : of that polynomial, rising powers of [Fe/H].
    mixture : the two sequences as densities.
    peaks, saddle : ([Fe/H], [alpha/Fe]) of the low and the high summit, and of the pass.
    significance : how many standard errors of ln f the lower summit stands above the saddle.
    rows : stars used.
    two_summits : share of the bootstraps that showed two summits.
    summits : the density and its two summits; not saved.
    """

    model: AlphaSequences
    fe_h: Floats
    alpha: Floats
    alpha_error: Floats
    watershed_fe_h: Floats
    watershed_alpha: Floats
    watershed_error: Floats
    coefficients: Floats
    mixture: SequenceMixture
    peaks: tuple[Any, ...]
    saddle: tuple[Any, ...]
    significance: float
    rows: int
    two_summits: float
    summits: Summits | None = field(repr=False)

    def line(self, fe_h: ArrayLike) -> tuple[Floats, Floats]:
        """[alpha/Fe] of the split at [Fe/H], and its standard error; NaN where there is no such line."""
        iron = np.asarray(fe_h, dtype=np.float64)
        return (
            np.interp(iron, self.fe_h, self.alpha, left=np.nan, right=np.nan),
            np.interp(iron, self.fe_h, self.alpha_error, left=np.nan, right=np.nan),
        )

    def predict(self, table: QTable) -> QTable:
        """The same rows with ``p_high_alpha``, ``high_alpha`` (more probable than not) and ``reason``.

        A row that lacks a column has no probability, a masked ``high_alpha``, and the reason.
        """
        from astropy.table import MaskedColumn

        iron, alpha = self.model.columns(table)
        known = np.isfinite(iron) & np.isfinite(alpha)
        probability = np.full(len(iron), np.nan)
        probability[known] = self.mixture.probability(iron[known], alpha[known])
        result = table.copy(copy_data=False)
        result["p_high_alpha"] = probability
        result["high_alpha"] = MaskedColumn(np.nan_to_num(probability) > 0.5, mask=~known)
        result["reason"] = np.where(known, "", "no [Fe/H] or no [alpha/Fe]")
        result.meta = dict(table.meta)  # or the step would be noted in the table given, too
        record(
            result, "split into alpha sequences", fe_h=self.model.fe_h, alpha=self.model.alpha, rows_fitted=self.rows,
            representation=self.model.representation,
        )  # fmt: skip
        return result

    def save(self, folder: str | Path) -> None:
        """Write the split into a folder, without the density it was found from."""
        from starloom.saved_models import save_model

        settings = {
            "model": {name: getattr(self.model, name) for name in AlphaSequences.__dataclass_fields__},
            "mixture": self.mixture.as_json(),
            "peaks": [list(peak) for peak in self.peaks],
            "saddle": list(self.saddle),
            "significance": self.significance,
            "rows": self.rows,
            "two_summits": self.two_summits,
        }
        lines = {name: getattr(self, name) for name in _LINES}
        save_model(folder, KIND, settings, {"coefficients": self.coefficients, **lines})

    @classmethod
    def load(cls, folder: str | Path) -> FittedSequences:
        """Read what ``save`` wrote.

        Raises
        ------
        ModelFileError
            When the folder holds no such model.
        """
        from starloom.saved_models import load_model

        stored, arrays = load_model(folder, KIND)
        try:
            line: Any = {name: arrays[name] for name in _LINES}
            return cls(
                model=AlphaSequences(**stored["model"]), summits=None, **line, coefficients=arrays["coefficients"],
                mixture=SequenceMixture.from_json(stored["mixture"]),
                peaks=tuple(tuple(peak) for peak in stored["peaks"]), saddle=tuple(stored["saddle"]),
                significance=stored["significance"], rows=stored["rows"], two_summits=stored["two_summits"],
            )  # fmt: skip
        except (ValueError, KeyError, TypeError) as error:
            raise ModelFileError(f"{folder} cannot be read as a split of alpha sequences: {error}") from error
