"""Self-organizing maps of galaxy colors (arXiv:1509.03318): train one on a table, find every galaxy's cell.

A map is a lattice of cells, each a point in the space of the features. Training draws the lattice over the galaxies;
a galaxy then belongs to its nearest cell, by a distance that counts errors and leaves out what was not measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from starloom.catalog.provenance import record
from starloom.errors import CatalogError, ConfigError, FitError, ModelFileError
from starloom.galaxies.map_grid import Grid
from starloom.galaxies.map_quality import Quality, measure
from starloom.galaxies.map_schedules import Schedule, schedule
from starloom.galaxies.map_search import NearestCells
from starloom.galaxies.map_training import ScaledGalaxies, first_cells, train_batch, train_online
from starloom.galaxies.photometric_features import Features
from starloom.seeds import generator

if TYPE_CHECKING:
    from astropy.table import QTable

Array = NDArray[np.float64]
KIND = "galaxies/self-organizing-map"
MEASURED = 20_000  # galaxies on which the quality of a new map is measured


@dataclass(frozen=True)
class SelfOrganizingMap:
    """The settings of a map; ``fit`` trains it.

    Parameters
    ----------
    features : what of a table the map is made of.
    grid : rows, columns and topology.
    training : a schedule or its name (``starloom``, ``online``, ``masters``, ``rail_sompz``, ``rail_som``).
    distance : ``errors``: every feature in units of its error (arXiv:1509.03318); ``plain``: without errors.
    scaling : ``none``, or ``standard``: every feature with mean 0 and scatter 1 over the training table.
    precision : ``float32``, or ``float64`` for comparisons.

    Examples
    --------
    >>> from starloom.catalog.tables import read_table
    >>> x = np.linspace(0.0, 1.0, 500)
    >>> table = read_table({"u": 20 + x, "g": np.full(500, 20.0), "r": 20 - x**2})
    >>> trained = SelfOrganizingMap(Features(("u", "g", "r")), Grid(2, 8)).fit(table, seed=1)
    >>> trained.predict(table).colnames
    ['u', 'g', 'r', 'cell', 'cell_row', 'cell_column', 'cell_distance', 'features_used', 'reason']
    """

    features: Features
    grid: Grid = field(default_factory=Grid)
    training: str | Schedule = "starloom"
    distance: Literal["plain", "errors"] = "plain"
    scaling: Literal["none", "standard"] = "none"
    precision: Literal["float32", "float64"] = "float32"

    def __post_init__(self) -> None:
        schedule(self.training)
        for name, value, known in (
            ("distance", self.distance, ("plain", "errors")),
            ("scaling", self.scaling, ("none", "standard")),
            ("precision", self.precision, ("float32", "float64")),
        ):
            if value not in known:
                raise ConfigError(f"the {name} of a map is {' or '.join(known)}, not {value!r}")
        if self.distance == "errors" and not self.features.errors:
            raise ConfigError("a distance in units of the errors needs the columns of the errors; give them or 'plain'")

    def fit(self, table: QTable, *, seed: int, weights: Any = None, workers: int = 1) -> FittedSOM:
        """Train on the usable rows of a table.

        Parameters
        ----------
        table : a table with the columns of the features.
        seed : the beginning of the cells and the order of the galaxies follow from it.
        weights : (n,) how much each row counts, or None.
        workers : threads; the result is the same for any number.

        Raises
        ------
        CatalogError
            When the table has no usable row, or the weights do not fit it.
        MissingColumnError
            When a column is not there.
        FitError
            When training diverges.
        """
        from starloom.catalog.schema import require_rows

        require_rows(table, "the training table")
        features = self.features.softened(table)
        measured = features.of(table)
        usable = measured.usable
        if not usable.any():
            why, counts = np.unique(measured.reason, return_counts=True)
            raise CatalogError(
                f"no row of the training table is usable: {counts.max()} rows have {why[counts.argmax()]!r}"
            )
        weight = _weights(weights, usable)
        values = measured.values[usable]
        center, scale, notes = _scaling(values, self.scaling, features.names)
        errors = None if self.distance == "plain" or measured.errors is None else measured.errors[usable]
        sample = _sample(values, errors, center, scale, weight)
        course, rng = schedule(self.training), generator(seed)
        cells = first_cells(sample, self.grid, course.start, rng)
        if course.mode == "online":
            cells = train_online(sample, self.grid, course, cells, rng, precision=self.precision)
        else:
            cells = train_batch(sample, self.grid, course, cells, workers=workers)
        if not np.isfinite(cells).all():
            raise FitError(
                f"training of the map diverged: {int((~np.isfinite(cells)).any(axis=1).sum())} cells are NaN"
            )
        if self.grid.cells > len(sample.values):
            notes.append(f"the map has {self.grid.cells} cells for {len(sample.values)} galaxies: most cells are empty")
        chosen = np.arange(len(sample.values))
        if len(chosen) > MEASURED:
            chosen = np.sort(rng.choice(chosen, MEASURED, replace=False))
        inverse = None if sample.inverse is None else sample.inverse[chosen]
        quality = measure(cells, self.grid, sample.values[chosen], inverse, workers=workers)
        return FittedSOM(
            cells=cells, center=center, scale=scale, grid=self.grid, features=features, distance=self.distance,
            quality=quality, seed=seed, training=asdict(course), trained_on=int(usable.sum()), notes=tuple(notes),
        )  # fmt: skip


@dataclass(frozen=True)
class FittedSOM:
    """A trained map.

    Parameters
    ----------
    cells : (cells, features), each cell's place in the scaled features.
    center, scale : (features,): scaled = (feature - center) / scale.
    grid, features, distance : see SelfOrganizingMap.
    quality : on (a sample of) the training table.
    seed, training, trained_on : how it was made: schedule and number of galaxies.
    notes : what the user should know of it.
    """

    cells: Array
    center: Array
    scale: Array
    grid: Grid
    features: Features
    distance: str
    quality: Quality
    seed: int
    training: Mapping[str, Any]
    trained_on: int
    notes: tuple[str, ...] = ()

    @property
    def in_features(self) -> Array:
        """The cells in the units of the features, shape (cells, features)."""
        return self.cells * self.scale + self.center

    def picture(self, values: Any) -> Array:
        """A value a cell as an image, shape (rows, columns)."""
        return np.asarray(values, dtype=np.float64).reshape(self.grid.rows, self.grid.columns)

    def sample(self, table: QTable) -> tuple[ScaledGalaxies, NDArray[np.str_]]:
        """The usable rows of a table in the map's scaled space, and the reason why each other row is not usable."""
        measured = self.features.of(table)
        used = measured.usable
        errors = None if self.distance == "plain" or measured.errors is None else measured.errors[used]
        return _sample(measured.values[used], errors, self.center, self.scale, None), measured.reason

    def assign(self, table: QTable, *, workers: int = 1) -> NDArray[np.int64]:
        """The cell of each row, shape (n,); -1 where the row is not usable."""
        return self._find(table, workers)[0]

    def predict(self, table: QTable, *, workers: int = 1) -> QTable:
        """The table with each row's cell.

        Parameters
        ----------
        table : a table with the columns of the features; it is not changed.
        workers : threads; the result is the same for any number.

        Returns
        -------
        QTable
            The same rows and columns, with ``cell`` (-1: not usable), ``cell_row``, ``cell_column``,
            ``cell_distance`` (root of the mean over the measured features of the squared distance from the cell, in
            scaled units, or in units of the errors), ``features_used`` and ``reason``.

        Raises
        ------
        MissingColumnError
            When a column is not there.
        CatalogError
            When the table has no rows.
        """
        from starloom.catalog.schema import require_rows

        require_rows(table)
        cell, distance, used, reason = self._find(table, workers)
        result = table.copy()
        row, column = np.divmod(cell, self.grid.columns)
        result["cell"] = cell
        result["cell_row"] = np.where(cell < 0, -1, row)
        result["cell_column"] = np.where(cell < 0, -1, column)
        result["cell_distance"] = distance
        result["features_used"] = used
        result["reason"] = reason
        record(
            result, "cells of a self-organizing map", rows=self.grid.rows, columns=self.grid.columns,
            features=list(self.features.columns), trained_on=self.trained_on,
        )  # fmt: skip
        return result

    def _find(self, table: QTable, workers: int) -> tuple[NDArray[np.int64], Array, NDArray[np.int64], Any]:
        sample, reason = self.sample(table)
        usable = reason == ""
        cell, distance = np.full(len(table), -1, dtype=np.int64), np.full(len(table), np.nan)
        used = np.zeros(len(table), dtype=np.int64)
        if usable.any():
            nearest, squared, _ = NearestCells(self.cells).find(sample.values, sample.inverse, workers=workers)
            cell[usable] = nearest
            used[usable] = sample.features if sample.inverse is None else (sample.inverse > 0).sum(axis=1)
            distance[usable] = np.sqrt(squared / used[usable])
        return cell, distance, used, reason

    def measure(self, table: QTable, *, workers: int = 1) -> Quality:
        """Quantization error, topographic error and occupation on the usable rows of a table.

        Raises
        ------
        CatalogError
            When no row is usable.
        """
        sample, reason = self.sample(table)
        if not len(sample.values):
            raise CatalogError(f"no row of the table is usable for this map: {', '.join(np.unique(reason))}")
        return measure(self.cells, self.grid, sample.values, sample.inverse, workers=workers)

    def save(self, folder: str | Path) -> None:
        """Save as ``model.safetensors`` and ``model.json``."""
        from starloom.saved_models import save_model

        settings = {
            "grid": asdict(self.grid), "features": self.features.as_json(), "distance": self.distance,
            "quality": self.quality.as_json(), "seed": self.seed, "training": dict(self.training),
            "trained_on": self.trained_on, "notes": list(self.notes),
        }  # fmt: skip
        save_model(folder, KIND, settings, {"cells": self.cells, "center": self.center, "scale": self.scale})

    @classmethod
    def load(cls, folder: str | Path) -> FittedSOM:
        """Load what ``save`` wrote.

        Raises
        ------
        ModelFileError
            When the folder holds no such map, or it is incomplete or corrupt.
        """
        from starloom.saved_models import load_model

        settings, arrays = load_model(folder, KIND)
        try:
            found = cls(
                cells=arrays["cells"], center=arrays["center"], scale=arrays["scale"],
                grid=Grid(**settings["grid"]), features=Features.from_json(settings["features"]),
                quality=Quality(**settings["quality"]),
                distance=settings["distance"], seed=settings["seed"], training=settings["training"],
                trained_on=settings["trained_on"],
                notes=tuple(settings["notes"]),
            )  # fmt: skip
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelFileError(f"the map in {folder} cannot be read: {error}; train it anew") from error
        if found.cells.shape != (found.grid.cells, len(found.features.names)):
            raise ModelFileError(f"the map in {folder} is inconsistent: cells of shape {found.cells.shape}")
        return found


def _sample(values: Array, errors: Array | None, center: Array, scale: Array, weights: Array | None) -> ScaledGalaxies:
    there = np.isfinite(values)
    scaled = np.where(there, (values - center) / scale, 0.0)
    if errors is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse = np.where(there, (scale / errors) ** 2, 0.0)
        return ScaledGalaxies(scaled, inverse, weights, with_errors=True)
    return ScaledGalaxies(scaled, None if there.all() else there.astype(np.float64), weights)


def _scaling(values: Array, scaling: str, names: tuple[str, ...]) -> tuple[Array, Array, list[str]]:
    """Center and scale of each feature; a feature without any value or scatter gets scale 1, and a note."""
    there = np.isfinite(values)
    count = np.maximum(there.sum(axis=0), 1)
    filled = np.where(there, values, 0.0)
    center = filled.sum(axis=0) / count
    spread = np.sqrt(np.where(there, (filled - center) ** 2, 0.0).sum(axis=0) / count)
    flat = ~(spread > 1e-12 * np.maximum(np.abs(center), 1.0))
    notes = [
        f"the feature {name!r} is constant or never measured: it tells nothing apart"
        for name in np.array(names)[flat].tolist()
    ]
    return center, np.where(flat | (scaling == "none"), 1.0, spread), notes


def _weights(weights: Any, usable: NDArray[np.bool_]) -> Array | None:
    if weights is None:
        return None
    weight = np.asarray(weights, dtype=np.float64)
    if weight.shape != usable.shape:
        raise CatalogError(f"{len(usable)} rows need as many weights, not shape {weight.shape}")
    bad = np.flatnonzero(usable & ~(np.isfinite(weight) & (weight >= 0)))
    if len(bad):
        raise CatalogError(f"the weight in row {bad[0]} is {weight[bad[0]]}: weights are finite and not negative")
    if not weight[usable].sum() > 0:
        raise CatalogError("no usable row has a positive weight")
    return weight[usable]
