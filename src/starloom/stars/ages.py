"""Ages of stars from whatever a table has of them, by a probabilistic forest that learned from stars with ages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from starloom.catalog.given_columns import keep_given
from starloom.catalog.provenance import record
from starloom.catalog.schema import plain
from starloom.errors import CatalogError, ConfigError, FitError, MissingColumnError, ModelFileError
from starloom.files import write_json
from starloom.stars.age_tables import BELIEVABLE, LABELS, SCHEMA
from starloom.stats.robust import robust_scatter

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.stars.forest import ProbabilisticForest

Floats = NDArray[np.float64]

LOGARITHMS = ("radius", "mass", "nu_max", "delta_nu")
"""Inputs that enter as logarithms, with relative errors."""

STATE = "evolutionary_state"
OLDEST = 30.0  # Gyr: ages above are no ages
LEAF = 2  # training stars in a leaf: ages follow closely from masses
LEAST = 50  # stars to learn from
EDGES = (0.002, 0.998)  # quantiles of the training stars between which a star is in the domain


def available(table: QTable) -> tuple[str, ...]:
    """The inputs that a table has for at least half of its stars.

    Parameters
    ----------
    table : with canonical names, as `SCHEMA` gives it.
    """
    return _half_known(_known(table), len(table))


def available_in(source: str | Path, *, label: str = "the table") -> tuple[str, ...]:
    """The same of a file, or of a folder of Parquet files, of any size."""
    from starloom.catalog.partitions import iterate
    from starloom.catalog.tables import format_of, read_table

    in_parts = Path(source).is_dir() or format_of(source) == "parquet"
    counts: dict[str, int] = {}
    rows = 0
    for table in iterate(source, rows=100_000) if in_parts else [read_table(source)]:
        for name, count in _known(SCHEMA.apply(table, label=label, unique=None)).items():
            counts[name] = counts.get(name, 0) + count
        rows += len(table)
    return _half_known(counts, rows)


def _known(table: QTable) -> dict[str, int]:
    there = [name for name in (*LABELS, STATE) if name in table.colnames]
    values, _ = inputs_of(table, there)
    return {name: int(np.isfinite(column).sum()) for name, column in zip(there, values.T, strict=True)}


def _half_known(counts: dict[str, int], rows: int) -> tuple[str, ...]:
    return tuple(name for name, count in counts.items() if count >= 0.5 * max(rows, 1))


def inputs_of(table: QTable, names: Sequence[str]) -> tuple[Floats, Floats]:
    """Inputs of the forest and their standard errors (0 where not given), each (n, F).

    Raises
    ------
    MissingColumnError
        When the table lacks an input.
    """
    values, errors = np.full((2, len(table), len(names)), np.nan)
    for place, name in enumerate(names):
        if name not in table.colnames:
            raise MissingColumnError(f"the table lacks '{name}', from which this forest tells ages")
        unit = LABELS[name][0] if name in LABELS else ""
        column = plain(table, name, unit or None)
        low, high = BELIEVABLE.get(name, (-np.inf, np.inf))
        column = np.where((column >= low) & (column <= high) & np.isfinite(column), column, np.nan)
        sigma = np.zeros(len(table))
        if f"{name}_error" in table.colnames:
            sigma = np.nan_to_num(plain(table, f"{name}_error", unit or None), nan=0.0, posinf=0.0)
            sigma = np.where(sigma > 0, sigma, 0.0)
        if name in LOGARITHMS:
            positive = np.where(column > 0, column, np.nan)
            column, sigma = np.log10(positive), np.nan_to_num(sigma / (positive * np.log(10.0)), nan=0.0)
        values[:, place], errors[:, place] = column, sigma
    return values, errors


class AgeForest:
    """Ages with their laws, from the inputs that a table has.

    The forest learns log10 of the age, so that errors are relative. What it answers is the age that the training
    catalog would give: its scale, its selection and its errors are in the answer, and no more is known of stars unlike
    the training ones (`in_domain`).

    Parameters
    ----------
    inputs : names out of `starloom.stars.age_tables.LABELS` and ``evolutionary_state``.
    n_trees, min_samples_leaf, seed : of the forest.
    """

    def __init__(
        self, inputs: Sequence[str], *, n_trees: int = 200, min_samples_leaf: int = LEAF, seed: int = 1
    ) -> None:
        unknown = [name for name in inputs if name not in LABELS and name != STATE]
        if unknown or len(set(inputs)) < len(inputs) or not inputs:
            known = ", ".join([*LABELS, STATE])
            raise ConfigError(f"inputs are some of {known}, each once; got {', '.join(inputs) or 'none'}")
        self.inputs = tuple(inputs)
        self.n_trees, self.min_samples_leaf, self.seed = n_trees, min_samples_leaf, seed
        self.trained_on, self.stars = "", 0
        self._forest: ProbabilisticForest | None = None
        self._edges: Floats = np.empty((0, 2))

    @property
    def forest(self) -> ProbabilisticForest:
        """The forest of log10(age / Gyr); FitError before it is fitted."""
        if self._forest is None:
            raise FitError("this forest has not been fitted; call fit or load")
        return self._forest

    def fit(self, table: QTable, *, chosen: NDArray[np.bool_] | None = None, trained_on: str = "") -> Self:
        """Learn from stars with ages.

        Parameters
        ----------
        table : canonical columns, ``age`` among them; ``age_error`` weighs the stars where it is there.
        chosen : which rows; all by default.
        trained_on : what to call the table.

        Raises
        ------
        CatalogError
            When fewer than 50 stars have an age above 0 and at least one input.
        """
        from starloom.stars.forest import ProbabilisticForest

        if "age" not in table.colnames:
            raise MissingColumnError("the table lacks 'age', which the forest learns")
        age = plain(table, "age", "Gyr")
        values, errors = inputs_of(table, self.inputs)
        usable = np.isfinite(age) & (age > 0) & (age < OLDEST) & np.isfinite(values).any(axis=1)
        if chosen is not None:
            usable &= chosen
        if usable.sum() < LEAST:
            raise CatalogError(
                f"{int(usable.sum())} stars have an age between 0 and {OLDEST:g} Gyr and one of "
                f"{', '.join(self.inputs)}; at least {LEAST} are needed"
            )
        label_error = None
        if "age_error" in table.colnames:
            label_error = plain(table, "age_error", "Gyr")[usable] / (age[usable] * np.log(10.0))
            middle = np.nanmedian(label_error) if np.isfinite(label_error).any() else 0.0
            label_error = np.where(np.isfinite(label_error) & (label_error > 0), label_error, middle)
        self._forest = ProbabilisticForest(self.n_trees, self.min_samples_leaf, seed=self.seed)
        self._forest.fit(values[usable], np.log10(age[usable]), X_error=errors[usable], y_error=label_error)
        known = [column[np.isfinite(column)] for column in values[usable].T]
        self._edges = np.array([np.quantile(c, EDGES) if len(c) else (np.nan, np.nan) for c in known])
        self.trained_on, self.stars = trained_on, int(usable.sum())
        return self

    def laws(self, table: QTable, quantiles: Sequence[float]) -> Floats:
        """Quantiles of the ages in Gyr (n, q); NaN for stars without any input."""
        values, errors = inputs_of(table, self.inputs)
        usable = np.isfinite(values).any(axis=1)
        found = np.full((len(table), len(quantiles)), np.nan)
        if usable.any():
            found[usable] = 10.0 ** self.forest.predict_quantiles(values[usable], quantiles, X_error=errors[usable])
        return found

    def predict(self, table: QTable, *, label: str = "the table") -> QTable:
        """The same rows and more.

        Parameters
        ----------
        table : any table whose columns `SCHEMA` finds.
        label : what to call it in messages.

        Returns
        -------
        QTable
            The table with ``predicted_age`` (median), ``predicted_age_low`` and ``predicted_age_high`` (16 and 84 %),
            ``predicted_age_error`` (half of their distance), ``in_domain`` (all its inputs known and within the range
            of the training stars) and ``reason``, empty where nothing is wrong.

        Raises
        ------
        MissingColumnError
            When the table lacks an input of the forest.
        """
        import astropy.units as u

        canonical = SCHEMA.apply(table, label=label, unique=None)
        low, middle, high = self.laws(canonical, (0.16, 0.5, 0.84)).T
        values, _ = inputs_of(canonical, self.inputs)
        known = np.isfinite(values)
        outside = known & ((values < self._edges[:, 0]) | (values > self._edges[:, 1]))
        result = table.copy()
        keep_given(result, [*(f"predicted_age{end}" for end in ("", "_low", "_high", "_error")), "in_domain", "reason"])
        for name, column in (
            ("predicted_age", middle), ("predicted_age_low", low), ("predicted_age_high", high),
            ("predicted_age_error", 0.5 * (high - low)),
        ):  # fmt: skip
            result[name] = column * u.Gyr
        result["in_domain"] = known.all(axis=1) & ~outside.any(axis=1)
        reasons = []
        for row in range(len(table)):
            if not known[row].any():
                reasons.append("no input of the forest is known")
            elif outside[row].any():
                beyond = ", ".join(name for name, bad in zip(self.inputs, outside[row], strict=True) if bad)
                reasons.append(f"beyond the training stars in {beyond}")
            elif not known[row].all():
                missing = ", ".join(name for name, there in zip(self.inputs, known[row], strict=True) if not there)
                reasons.append(f"without {missing}")
            else:
                reasons.append("")
        result["reason"] = np.array(reasons, dtype=str)
        record(result, "ages from a forest", inputs=list(self.inputs), trained_on=self.trained_on, stars=self.stars)
        return result

    def save(self, folder: str | Path) -> None:
        """Save into a folder, without pickle."""
        self.forest.save(folder)
        write_json(
            Path(folder) / "ages.json",
            {
                "inputs": list(self.inputs),
                "edges": self._edges.tolist(),
                "trained_on": self.trained_on,
                "stars": self.stars,
            },
        )

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Load what ``save`` wrote; ModelFileError when it is not there or not whole."""
        from starloom.stars.forest import ProbabilisticForest

        path = Path(folder) / "ages.json"
        try:
            record: dict[str, Any] = json.loads(path.read_text())
            inputs, edges = record["inputs"], np.array(record["edges"])
            trained_on, stars = str(record["trained_on"]), int(record["stars"])
        except FileNotFoundError as error:
            raise ModelFileError(f"{folder} holds no forest of ages (ages.json is missing)") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelFileError(f"{path} cannot be read: {error}; fit and save the forest anew") from error
        forest = ProbabilisticForest.load(folder)
        if forest.n_features_in_ != len(inputs) or edges.shape != (len(inputs), 2):
            raise ModelFileError(f"{folder}: ages.json and the forest do not fit each other; save the forest anew")
        found = cls(inputs, n_trees=forest.n_trees, min_samples_leaf=forest.min_samples_leaf, seed=forest.seed)
        found._forest, found._edges, found.trained_on, found.stars = forest, edges, trained_on, stars
        return found


def forest_for(
    table: QTable, inputs: Sequence[str] | None = None, *, n_trees: int = 200, seed: int = 1, label: str = "the table"
) -> AgeForest:  # fmt: skip
    """A forest fitted to the giants of APOKASC-2 for the inputs that a table has.

    Parameters
    ----------
    table : the stars to be asked about; its columns decide unless ``inputs`` are given.
    inputs : what to tell ages from.
    n_trees, seed, label : as of `forest_of_apokasc`.

    Raises
    ------
    MissingColumnError, ConfigError, DatasetError
        As `forest_of_apokasc`.
    """
    chosen = tuple(inputs) if inputs is not None else available(SCHEMA.apply(table, label=label, unique=None))
    return forest_of_apokasc(chosen, asked=inputs is not None, n_trees=n_trees, seed=seed, label=label)


def forest_of_apokasc(
    inputs: Sequence[str], *, asked: bool = True, n_trees: int = 200, seed: int = 1, label: str = "the table"
) -> AgeForest:  # fmt: skip
    """A forest fitted to the giants of APOKASC-2.

    Parameters
    ----------
    inputs : what to tell ages from.
    asked : whether all of them are wanted; else those that APOKASC-2 has.
    n_trees, seed : of the forest.
    label : what to call the table that the inputs come from in messages.

    Raises
    ------
    MissingColumnError
        When APOKASC-2 has none of the inputs.
    ConfigError
        When it lacks one that was asked for.
    DatasetError
        When APOKASC-2 cannot be had.
    """
    from starloom.datasets.access import open_table
    from starloom.stars.age_tables import apokasc2_stars

    stars = apokasc2_stars(open_table("apokasc2", "ages"))
    offered = available(stars)
    chosen = [name for name in inputs if name in offered]
    if asked and len(chosen) < len(inputs):
        unknown = ", ".join(name for name in inputs if name not in offered)
        raise ConfigError(f"APOKASC-2 has no {unknown}; it has {', '.join(offered)}")
    if not chosen:
        raise MissingColumnError(
            f"{label} has none of the columns that APOKASC-2 tells ages from, or none known for half of its stars: "
            f"{', '.join(offered)}; name those to be used (--input), or bring the stars that have them"
        )
    forest = AgeForest(chosen, n_trees=n_trees, seed=seed)
    return forest.fit(stars, trained_on=f"{len(stars)} giants of APOKASC-2 (2018ApJS..239...32P)")


def cross_validated(
    table: QTable, inputs: Sequence[str], *, folds: int = 5, seed: int = 1, n_trees: int = 100,
    min_samples_leaf: int = LEAF,
) -> Floats:  # fmt: skip
    """Ages (Gyr) of every star by forests that did not see it: 16, 50 and 84 % quantiles (n, 3).

    Raises
    ------
    ConfigError
        When there are fewer than 2 folds.
    """
    from starloom.seeds import generator

    if folds < 2:
        raise ConfigError(f"at least 2 folds are needed, not {folds}")
    fold = generator(seed).permutation(np.arange(len(table)) % folds)
    found = np.full((len(table), 3), np.nan)
    for k in range(folds):
        model = AgeForest(inputs, n_trees=n_trees, min_samples_leaf=min_samples_leaf, seed=seed)
        model.fit(table, chosen=fold != k)
        found[fold == k] = model.laws(table[fold == k], (0.16, 0.5, 0.84))
    return found


def ratio_scatter(predicted: Floats, true: Floats) -> float:
    """Robust scatter of predicted / true."""
    ratio = np.asarray(predicted, dtype=np.float64) / np.asarray(true, dtype=np.float64)
    return robust_scatter(ratio)
