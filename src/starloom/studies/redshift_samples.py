"""What the parts of redshift-som share: which redshifts count, samples in parts, bins, true means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from starloom.stats.robust import robust_scatter

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.galaxies.photometric_features import Features
    from starloom.galaxies.self_organizing_map import FittedSOM

Array = NDArray[np.float64]
LEAST_CLASS = 2.5  # zCOSMOS: secure and probable redshifts; x.5 agrees with the photometric redshift
OUTLIER = 0.15


@dataclass(frozen=True)
class DividedGalaxies:
    """Galaxies with redshifts, divided for one test."""

    table: QTable
    redshift: Array
    train: NDArray[np.int64]
    test: NDArray[np.int64]


def divide(table: QTable, redshift: Array, chosen: NDArray[np.bool_], seed: int, share: float = 0.7) -> DividedGalaxies:
    """The chosen rows, a share of them for training and the others held out."""
    from starloom.seeds import generator

    kept = np.flatnonzero(chosen)
    order = generator(seed).permutation(len(kept))
    cut = round(share * len(kept))
    return DividedGalaxies(table[kept], redshift[kept], np.sort(order[:cut]), np.sort(order[cut:]))


def halves(rows: NDArray[np.int64], seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows in two random halves."""
    from starloom.seeds import generator

    order = generator(seed).permutation(len(rows))
    return rows[np.sort(order[::2])], rows[np.sort(order[1::2])]


def quality(estimate: Array, truth: Array) -> tuple[float, float, float]:
    """Bias, sigma_NMAD and share of outliers (|dz| > 0.15) of redshifts in 1 + z; NaN is left out."""
    apart = (estimate - truth) / (1.0 + truth)
    apart = apart[np.isfinite(apart)]
    return float(np.mean(apart)), robust_scatter(apart), float(np.mean(np.abs(apart) > OUTLIER))


def boosted(features: Features, sample: DividedGalaxies, seed: int) -> Array:
    """Redshifts of the held-out rows by gradient-boosted trees on the same features."""
    import xgboost

    values = features.of(sample.table).values
    model = xgboost.XGBRegressor(
        n_estimators=600, learning_rate=0.05, max_depth=6, subsample=0.8, n_jobs=1, random_state=seed
    )
    model.fit(values[sample.train], sample.redshift[sample.train])
    return np.asarray(model.predict(values[sample.test]), dtype=np.float64)


def secure(table: QTable) -> tuple[Array, NDArray[np.bool_]]:
    """Redshifts, and which of them are secure enough to count: class 2.5 and up, no active nuclei."""
    from starloom.catalog.schema import plain

    redshift = plain(table, "zspec")
    chosen = np.isfinite(redshift) & (redshift > 0.02)
    if "z_class" in table.colnames:
        confidence = plain(table, "z_class")
        chosen &= (confidence >= LEAST_CLASS) & (confidence < 10.0)
    return redshift, chosen


def patches(table: QTable) -> NDArray[np.int64] | None:
    """Pieces of the sky with about as many galaxies each: four along right ascension, four along declination."""
    from starloom.catalog.schema import plain

    if not {"ra", "dec"} <= set(table.colnames):
        return None
    places = [
        np.searchsorted(np.quantile(values, (0.25, 0.5, 0.75)), values)
        for values in (plain(table, "ra"), plain(table, "dec"))
    ]
    return np.asarray(4 * places[0] + places[1], dtype=np.int64)


def within(fitted: FittedSOM, table: QTable) -> Array:
    """What a redshift may depend on inside a cell: the features, and the magnitude in the middle band."""
    from starloom.catalog.schema import plain

    bands = fitted.features.bands
    return np.column_stack([fitted.features.of(table).values, plain(table, bands[len(bands) // 2])])


def true_means(sample: Any, redshift: Array, cells: Any, bins: int) -> tuple[Array, Array]:
    """Mean redshift of the galaxies of each bin in cells with spectra, and its own error."""
    mean, error = np.full(bins, np.nan), np.full(bins, np.nan)
    for number in range(bins):
        z = redshift[(sample.bin == number) & (cells.spectra[np.maximum(sample.cell, 0)] > 0)]
        if len(z) > 1:
            mean[number], error[number] = z.mean(), z.std(ddof=1) / np.sqrt(len(z))
    return mean, error
