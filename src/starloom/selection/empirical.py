"""A selection function measured from a parent catalog: which share of its stars got through, by sky, magnitude, color.

The parent is everything that could have been selected; each stage (targeted, observed, ...) is a part of the one before
it. In each bin of sky (HEALPix, Galactic, nested), magnitude and color the share that passes a stage is a fraction with
a Beta posterior; thin bins are drawn to their neighbors (`starloom.selection.shrinkage`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.catalog.provenance import record
from starloom.errors import CatalogError, ConfigError, ModelFileError
from starloom.selection.bins import Axis, galactic_of, levels_of
from starloom.selection.shrinkage import product_of_betas, shrink
from starloom.stats.intervals import JEFFREYS, fraction_interval

if TYPE_CHECKING:
    from astropy.table import QTable

Floats = NDArray[np.float64]
KIND = "empirical selection"
Spreads = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class EmpiricalSelection:
    """How a selection function is to be measured.

    Parameters
    ----------
    magnitude, color : bins; ``color`` None for none.
    nside : HEALPix resolution (a power of two; 1 has 12 pixels), 0 for one bin of all the sky.
    stages : boolean columns of the parent table, each a part of the one before it.
    shrinkage : draw thin bins to their neighbors; else each bin stands alone, with Jeffreys' prior.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.table import QTable
    >>> rng = np.random.default_rng(1)
    >>> stars = QTable({"l": rng.uniform(0, 360, 4000), "b": np.zeros(4000), "h_mag": rng.uniform(10, 12, 4000)})
    >>> stars["observed"] = rng.random(4000) < 0.25
    >>> fitted = EmpiricalSelection(Axis("h_mag", (10, 11, 12)), nside=0, stages=("observed",)).fit(stars)
    >>> fitted.predict(stars)["p_observed"][:1].round(2).tolist()
    [0.25]
    """

    magnitude: Axis
    color: Axis | None = None
    nside: int = 8
    stages: tuple[str, ...] = ("targeted", "observed")
    shrinkage: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", tuple(self.stages))
        if self.nside < 0 or self.nside & (self.nside - 1):
            raise ConfigError(f"nside must be a power of two, or 0 for the whole sky, got {self.nside}")
        if not self.stages or len(set(self.stages)) < len(self.stages):
            raise ConfigError(f"the stages must be one or more different columns, got {self.stages}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Bins on the sky, in magnitude, in color."""
        return (12 * self.nside**2 if self.nside else 1, self.magnitude.bins, self.color.bins if self.color else 1)

    def cell(self, l: ArrayLike, b: ArrayLike, magnitude: ArrayLike, color: ArrayLike | None) -> NDArray[np.int64]:
        """Number of the bin of each star (n,); -1 where it is in none."""
        from astropy_healpix import healpy

        lon, lat = np.atleast_1d(np.asarray(l, float)), np.atleast_1d(np.asarray(b, float))
        known = np.isfinite(lon) & np.isfinite(lat) & (np.abs(lat) <= 90.0)
        pixel = np.zeros(len(lon), dtype=np.int64)
        if self.nside and len(lon):
            pixel = np.asarray(
                healpy.ang2pix(self.nside, np.where(known, lon, 0.0), np.where(known, lat, 0.0), nest=True, lonlat=True)
            )
        bright = self.magnitude.place(magnitude)
        red = self.color.place(np.asarray(color)) if self.color is not None else np.zeros(len(lon), dtype=np.int64)
        inside = known & (bright >= 0) & (red >= 0)
        number = (pixel * self.shape[1] + bright) * self.shape[2] + red
        return np.where(inside, number, -1)

    def fit(self, table: Any, *, label: str = "the parent catalog") -> FittedSelection:
        """Count, and find the posterior of each bin.

        Parameters
        ----------
        table : the parent: ``l`` and ``b``, or ``ra`` and ``dec`` (deg), the columns of the axes, and the stages as
            booleans. A row outside all bins is left out and counted in ``report``.
        label : what to call the table in messages.

        Raises
        ------
        MissingColumnError
            When a column is missing.
        CatalogError
            When a stage is not boolean or missing somewhere, or a star is in a stage without being in the one before.
        """
        from starloom.catalog.schema import require_rows
        from starloom.catalog.tables import read_table

        parent = read_table(table, label=label)
        require_rows(parent, label)
        cell, reason = _cells(self, parent)
        passed = np.ones(len(parent), dtype=bool)
        counts = [np.bincount(cell[cell >= 0], minlength=int(np.prod(self.shape))).astype(np.float64)]
        for stage in self.stages:
            flag = _flags(parent, stage, label)
            wrong = np.flatnonzero(flag & ~passed)
            if len(wrong):
                raise CatalogError(
                    f"{label}: row {wrong[0]} is {stage!r} without being in the stage before; the stages must be nested"
                )
            passed = flag
            kept = passed & (cell >= 0)
            counts.append(np.bincount(cell[kept], minlength=len(counts[0])).astype(np.float64))
        names, numbers = np.unique(reason[reason != ""], return_counts=True)
        report = {"rows": len(parent), **{str(n): int(c) for n, c in zip(names, numbers, strict=True)}}
        return FittedSelection.from_counts(self, np.stack(counts), report)


@dataclass(frozen=True)
class FittedSelection:
    """A measured selection function.

    Parameters
    ----------
    setting : how it was measured.
    counts : (stages + 1, bins) stars of the parent, and of each stage.
    a, b : (stages, bins) parameters of the Beta posterior of each stage's share of the one before.
    spreads : of each stage, (concentration, bend) of each level from all the sky to the bins
        (`starloom.selection.shrinkage.Spread`).
    report : rows read, and rows left out by reason.
    """

    setting: EmpiricalSelection
    counts: Floats
    a: Floats
    b: Floats
    spreads: tuple[Spreads, ...]
    report: Mapping[str, int]

    @classmethod
    def from_counts(
        cls, setting: EmpiricalSelection, counts: Floats, report: Mapping[str, int] | None = None
    ) -> FittedSelection:
        """From counts (stages + 1, bins): the parent's, and those of each stage."""
        a, b = np.empty((2, len(setting.stages), counts.shape[1]))
        spreads: list[Spreads] = []
        levels, shifts = levels_of(setting.shape, setting.nside)
        for stage in range(len(setting.stages)):
            n, k = counts[stage], counts[stage + 1]
            if setting.shrinkage:
                shrunk = shrink(k, n, levels, shifts)
                a[stage], b[stage] = shrunk.a, shrunk.b
                spreads.append(tuple((s.concentration, s.bend) for s in shrunk.spreads))
            else:
                a[stage], b[stage] = k + JEFFREYS[0], n - k + JEFFREYS[1]
                spreads.append(())
        return cls(setting, counts, a, b, tuple(spreads), dict(report or {}))

    def posterior(self, stage: str | None = None) -> tuple[Floats, Floats]:
        """Beta parameters (bins,) of the share of the parent that reaches a stage; the last one by default.

        For several stages in a row it is the Beta with the moments of the product.
        """
        last = self._index(stage)
        return product_of_betas(list(self.a[: last + 1]), list(self.b[: last + 1]))

    def _index(self, stage: str | None) -> int:
        if stage is None:
            return len(self.setting.stages) - 1
        if stage not in self.setting.stages:
            raise ConfigError(f"there is no stage {stage!r}; the stages are {', '.join(self.setting.stages)}")
        return self.setting.stages.index(stage)

    def interval(self, stage: str | None = None, level: float = 0.68) -> tuple[Floats, Floats, Floats]:
        """Mean, low and high (bins,) of the share of the parent that reaches a stage.

        Without shrinkage the interval is that of `starloom.stats.intervals.fraction_interval` on the counts.
        """
        from scipy.special import betaincinv

        last = self._index(stage)
        if not 0.0 < level < 1.0:
            raise ConfigError(f"the level of an interval lies between 0 and 1, not {level}")
        a, b = self.posterior(stage)
        if not self.setting.shrinkage:
            n, k = self.counts[0], self.counts[last + 1]
            low, high = fraction_interval(k, n, level)
            return (k + JEFFREYS[0]) / (n + sum(JEFFREYS)), low, high
        tail = 0.5 * (1.0 - level)
        return a / (a + b), betaincinv(a, b, tail), betaincinv(a, b, 1.0 - tail)

    def probability(
        self,
        l: ArrayLike,
        b: ArrayLike,
        magnitude: ArrayLike,
        color: ArrayLike | None = None,
        stage: str | None = None,
    ) -> Floats:
        """Probability that a star of the parent reaches a stage (n,); NaN outside all bins."""
        cell = self.setting.cell(l, b, magnitude, color)
        first, second = self.posterior(stage)
        return np.where(cell >= 0, (first / (first + second))[np.maximum(cell, 0)], np.nan)

    def predict(self, table: Any, *, level: float = 0.68, label: str = "the table") -> QTable:
        """The same rows with ``p_STAGE``, ``p_STAGE_low``, ``p_STAGE_high`` a stage, ``n_parent`` and ``reason``.

        A row outside all bins has NaN and its reason.
        """
        from starloom.catalog.tables import read_table

        rows = read_table(table, label=label)
        cell, reason = _cells(self.setting, rows)
        place, inside = np.maximum(cell, 0), cell >= 0
        for stage in self.setting.stages:
            for name, values in zip(("", "_low", "_high"), self.interval(stage, level), strict=True):
                rows[f"p_{stage}{name}"] = np.where(inside, values[place], np.nan)
        rows["n_parent"] = np.where(inside, self.counts[0][place], 0.0)
        rows["reason"] = reason
        record(
            rows, "selection function from a parent catalog", stages=list(self.setting.stages),
            nside=self.setting.nside, magnitude=self.setting.magnitude.column,
            color=None if self.setting.color is None else self.setting.color.column,
        )  # fmt: skip
        return rows

    def log_prob(self, table: Any, stage: str | None = None, *, label: str = "the table") -> Floats:
        """Logarithm of the probability of what became of each row: that it reached the stage, or did not (n,)."""
        from starloom.catalog.tables import read_table

        rows = read_table(table, label=label)
        name = self.setting.stages[self._index(stage)]
        p = self._of_rows(rows, stage)
        with np.errstate(divide="ignore"):
            return np.where(_flags(rows, name, label), np.log(p), np.log1p(-p))

    def sample(
        self, table: Any, seed: int | np.random.Generator, stage: str | None = None, *, label: str = "the table"
    ) -> NDArray[np.bool_]:
        """Draw which rows of a parent would reach a stage (n,); none outside all bins."""
        from starloom.catalog.tables import read_table
        from starloom.seeds import generator

        p = self._of_rows(read_table(table, label=label), stage)
        return np.asarray(generator(seed).random(len(p)) < np.nan_to_num(p))

    def _of_rows(self, rows: QTable, stage: str | None) -> Floats:
        cell, _ = _cells(self.setting, rows)
        first, second = self.posterior(stage)
        return np.where(cell >= 0, (first / (first + second))[np.maximum(cell, 0)], np.nan)

    def table(self, level: float = 0.68) -> QTable:
        """A row for each bin that holds stars of the parent: place, edges, counts, shares with intervals."""
        import astropy.units as u
        from astropy.table import QTable
        from astropy_healpix import healpy

        kept = np.flatnonzero(self.counts[0] > 0)
        pixel, bright, red = np.unravel_index(kept, self.setting.shape)
        result = QTable()
        if self.setting.nside:
            lon, lat = healpy.pix2ang(self.setting.nside, pixel, nest=True, lonlat=True)
            result["pixel"], result["l"], result["b"] = pixel, lon * u.deg, lat * u.deg
        for axis, index in ((self.setting.magnitude, bright), (self.setting.color, red)):
            if axis is not None:
                edges = np.array(axis.edges)
                result[f"{axis.column}_low"], result[f"{axis.column}_high"] = edges[index], edges[index + 1]
        for name, count in zip(("parent", *self.setting.stages), self.counts, strict=True):
            result[f"n_{name}"] = count[kept].astype(np.int64)
        for stage in self.setting.stages:
            for name, values in zip(("", "_low", "_high"), self.interval(stage, level), strict=True):
                result[f"p_{stage}{name}"] = values[kept]
        return result

    def save(self, folder: str | Path) -> Path:
        """Write the model into a folder: counts and posteriors as safetensors, the setting as JSON."""
        from starloom.saved_models import save_model

        color = self.setting.color
        content = {
            "magnitude": [self.setting.magnitude.column, self.setting.magnitude.edges],
            "color": None if color is None else [color.column, color.edges],
            "nside": self.setting.nside,
            "stages": self.setting.stages,
            "shrinkage": self.setting.shrinkage,
            "spreads": self.spreads,
            "report": dict(self.report),
        }
        return save_model(folder, KIND, content, {"counts": self.counts, "a": self.a, "b": self.b})

    @classmethod
    def load(cls, folder: str | Path) -> FittedSelection:
        """Read a saved model.

        Raises
        ------
        ModelFileError
            When files are missing, corrupt or of another format.
        """
        from starloom.saved_models import load_model

        path = Path(folder)
        content, arrays = load_model(path, KIND)
        try:
            setting = EmpiricalSelection(
                Axis(content["magnitude"][0], tuple(content["magnitude"][1])),
                None if content["color"] is None else Axis(content["color"][0], tuple(content["color"][1])),
                int(content["nside"]),
                tuple(content["stages"]),
                bool(content["shrinkage"]),
            )
            counts, a, b = arrays["counts"], arrays["a"], arrays["b"]
            spreads = tuple(tuple((float(s), float(bend)) for s, bend in part) for part in content["spreads"])
            report = dict(content["report"])
        except (ValueError, KeyError, TypeError) as error:
            raise ModelFileError(f"{path} holds no measured selection function: {error}") from error
        bins = int(np.prod(setting.shape))
        stages = len(setting.stages)
        if counts.shape != (stages + 1, bins) or a.shape != (stages, bins) or b.shape != (stages, bins):
            raise ModelFileError(
                f"{path}: the arrays {counts.shape}, {a.shape} do not fit {stages} stages of {bins} bins"
            )
        return cls(setting, counts, a, b, spreads, report)


def _cells(setting: EmpiricalSelection, table: QTable) -> tuple[NDArray[np.int64], NDArray[np.str_]]:
    l, b = galactic_of(table)
    magnitude = setting.magnitude.values(table)
    color = None if setting.color is None else setting.color.values(table)
    cell = setting.cell(l, b, magnitude, color)
    reason = np.full(len(table), "", dtype="U40")
    outside = cell < 0
    for values, what in ((l, "position"), (b, "position"), (magnitude, "magnitude"), (color, "color")):
        if values is not None:
            reason[outside & ~np.isfinite(values) & (reason == "")] = f"no {what}"
    reason[outside & (reason == "")] = "outside all bins"
    return cell, reason


def _flags(table: QTable, stage: str, label: str) -> NDArray[np.bool_]:
    from starloom.catalog.arrow_tables import require_names, split_column

    require_names([stage], table.colnames, label)
    values, missing, _ = split_column(table[stage], stage)
    if missing is not None:
        row = int(np.argmax(missing))
        raise CatalogError(f"{label}: column '{stage}' is missing in row {row}; say true or false for every star")
    if values.dtype.kind in "iu" and np.isin(values, (0, 1)).all():
        values = values.astype(bool)
    if values.dtype.kind != "b":
        raise CatalogError(f"{label}: column '{stage}' holds {values.dtype}, and true or false is needed")
    return np.asarray(values)


def chain(counts: Sequence[ArrayLike], level: float = 0.68) -> tuple[Floats, Floats, Floats]:
    """Share of the parent that reaches the last stage, from counts alone: mean, low, high, in the shape of the counts.

    Parameters
    ----------
    counts : of the parent and each stage, nested.
    level : probability inside.

    Examples
    --------
    >>> mean, low, high = chain([1000, 100, 50])
    >>> print(f"{mean:.3f} {low:.3f} {high:.3f}")
    0.050 0.044 0.057
    """
    n, k = np.asarray(counts[0], dtype=float), np.asarray(counts[-1], dtype=float)
    for before, after in pairwise(counts):
        if (np.asarray(after) > np.asarray(before)).any():
            raise ConfigError("a stage has more stars than the one before it; the stages must be nested")
    low, high = fraction_interval(k, n, level)
    return (k + JEFFREYS[0]) / (n + sum(JEFFREYS)), low, high
