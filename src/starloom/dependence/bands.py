"""Bands of a map: refits to resampled blocks of rows, and what smoothing may have shifted.

Rows are resampled in blocks, so that rows that belong together (a patch of sky, a field of a survey) stay together;
blocks are random unless they are given. Every refit starts from the full fit and holds its smoothing, so that the
spread is that of the data and not of the start. A penalized fit is also biased by its penalty: the mean squared bias
over functions as smooth as the fitted one, phi A S A, is added to the variance of the refits. Without it a band covers
too little (Nychka 1988, 1988JASA...83.1134N); with it, it covers what it says in the mean over the map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from starloom.dependence.conditional import FittedConditionalMap
from starloom.dependence.spline_maps import SplineMap, fit_splines
from starloom.errors import CatalogError, ConfigError
from starloom.progress import steps
from starloom.seeds import generator

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    from starloom.dependence.spline_basis import Design

    Floats = NDArray[np.float64]

BLOCKS = 200
LEAST_BLOCKS = 10


@dataclass(frozen=True)
class Bands:
    """A map with its uncertainty at places.

    Parameters
    ----------
    value : (n,) the functional; NaN where too few rows stand behind it.
    low, high : (2, n) bounds of the levels.
    levels : probabilities inside.
    error : (n,) standard error of the value, from the refits and the bias together.
    bias : (n,) the part of it that the smoothing may have shifted.
    refits : how many were made.
    draws : (refits, n) the functional in each refit (of a jackknife: without each block).
    """

    value: Floats
    low: Floats
    high: Floats
    levels: tuple[float, ...]
    error: Floats
    bias: Floats
    refits: int
    draws: Floats


def random_blocks(rows: int, blocks: int, seed: int | np.random.Generator) -> NDArray[np.int64]:
    """Block numbers (rows,) of equally large random blocks."""
    return np.asarray(generator(seed).permutation(rows) % blocks)


def sky_blocks(ra: ArrayLike, dec: ArrayLike, nside: int = 4) -> NDArray[np.int64]:
    """Block numbers (n,) of rows by their HEALPix cell on the sky (ra, dec in deg, nested order)."""
    from astropy import units as u
    from astropy_healpix import HEALPix

    cells = HEALPix(nside=nside, order="nested").lonlat_to_healpix(
        np.asarray(ra, dtype=np.float64) * u.deg, np.asarray(dec, dtype=np.float64) * u.deg
    )
    return np.asarray(cells, dtype=np.int64)


def bands(
    fitted: FittedConditionalMap,
    z: ArrayLike,
    *,
    method: Literal["bootstrap", "jackknife"] = "bootstrap",
    refits: int = 100,
    blocks: ArrayLike | None = None,
    levels: tuple[float, ...] = (0.68, 0.95),
    seed: int | np.random.Generator = 1,
) -> Bands:
    """Bands of a fitted map at places.

    Parameters
    ----------
    fitted : a map of splines.
    z : (n, d) places.
    method : ``bootstrap`` resamples blocks with replacement; ``jackknife`` leaves out one at a time.
    refits : of a bootstrap; of a jackknife the number of random blocks, where none are given.
    blocks : (m,) block of every row that the map was fitted to (before rows were left out); by default random ones.
    levels : probabilities inside the bands.
    seed : of the blocks and their resampling.

    Raises
    ------
    ConfigError
        For an unknown method, fewer than two refits, or a level that is no probability.
    CatalogError
        When the blocks do not fit the rows, or are fewer than 10.
    """
    from scipy.special import ndtri

    if method not in ("bootstrap", "jackknife"):
        raise ConfigError(f"method is 'bootstrap' or 'jackknife', not {method!r}")
    if refits < 2 or not all(0.0 < level < 1.0 for level in levels):
        raise ConfigError("bands need at least two refits, and levels between 0 and 1")
    splines, rng = fitted.need_splines(), generator(seed)
    block = _numbered(fitted, blocks, refits if method == "jackknife" else BLOCKS, rng)
    count = int(block.max()) + 1
    places = fitted.covariates(z)
    value = fitted.predict(places)
    known = np.isfinite(value)
    design = splines.basis.design(places[known])
    functional = fitted.model.functional
    drawn = []
    total = count if method == "jackknife" else refits
    for index in steps(range(total), f"{functional} {method}", total, "refits"):
        if method == "jackknife":
            often = np.ones(count)
            often[index] = 0.0
        else:
            often = np.bincount(rng.integers(count, size=count), minlength=count).astype(np.float64)
        again = fit_splines(fitted.model, splines.rows, splines, splines.rows.weights * often[block])
        drawn.append(splines.evaluate(design, functional, {n: part.coefficients for n, part in again.parts.items()}))
    found = np.array(drawn)
    scaled, back, slope = _link(functional, value[known])
    on_link = _link(functional, found)[0]
    variance = _variance(on_link, (count - 1) ** 2 / count if method == "jackknife" else 1.0)
    squared_bias = _squared_bias(splines, design, functional, slope)
    spread = np.sqrt(variance + squared_bias)
    result: dict[str, Floats] = {}
    bounds = np.full((2, len(levels), len(places)), np.nan)
    for index, level in enumerate(levels):
        reach = float(ndtri(0.5 * (1.0 + level))) * spread
        bounds[0, index, known], bounds[1, index, known] = back(scaled - reach), back(scaled + reach)
    for name, part in (("error", spread / slope), ("bias", np.sqrt(squared_bias) / slope)):
        result[name] = np.full(len(places), np.nan)
        result[name][known] = part
    draws = np.full((total, len(places)), np.nan)
    draws[:, known] = found
    return Bands(value, bounds[0], bounds[1], levels, result["error"], result["bias"], total, draws)


def _variance(draws: Floats, factor: float) -> Floats:
    """Variance over refits, times a factor; NaN where a fifth of the refits or more have no value."""
    there = np.isfinite(draws)
    enough = there.mean(axis=0) > 0.8
    found = np.full(draws.shape[1], np.nan)
    if enough.any():
        found[enough] = factor * np.nanvar(draws[:, enough], axis=0, ddof=1)
    return found


def _numbered(
    fitted: FittedConditionalMap, blocks: ArrayLike | None, count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    rows = int(fitted.kept.sum())
    if blocks is None:
        return random_blocks(rows, min(count, rows), rng)
    given = np.asarray(blocks)
    if given.shape != fitted.kept.shape:
        raise CatalogError(f"blocks have shape {given.shape}; the map was fitted to {len(fitted.kept)} rows")
    labels, number = np.unique(given[fitted.kept], return_inverse=True)
    if len(labels) < LEAST_BLOCKS:
        raise CatalogError(f"the rows lie in {len(labels)} blocks; resampling them needs {LEAST_BLOCKS}")
    return np.asarray(number.reshape(-1), dtype=np.int64)


def _link(functional: str, value: Floats) -> tuple[Floats, Callable[[Floats], Floats], Floats]:
    """Values on the scale on which bands are symmetric, the way back, and d scale / d value."""
    if functional == "correlation":
        inside = np.clip(value, -1.0 + 1e-9, 1.0 - 1e-9)
        return np.arctanh(inside), np.tanh, 1.0 / (1.0 - inside**2)
    if functional == "variance":
        positive = np.maximum(value, 1e-300)
        return np.log(positive), np.exp, 1.0 / positive
    return value, lambda scaled: scaled, np.ones_like(value)


def _squared_bias(splines: SplineMap, design: Design, functional: str, slope: Floats) -> Floats:
    """Mean squared smoothing bias on the scale of the bands."""
    name = {"correlation": "atanh_rho", "variance": "log_variance", "mean": "mean"}.get(functional, "value")
    part = splines.parts[name]
    squared = np.maximum(design.quadratic(part.smoothing_bias), 0.0)
    if functional in ("correlation", "variance"):
        eta = design.combine(part.coefficients)
        # where errors were taken out the value is a stretched one: its scale moves by as much
        raw = 1.0 / np.cosh(eta) ** 2 if functional == "correlation" else np.exp(eta) * splines.scale[0] ** 2
        stretch = np.ones_like(eta)
        if functional == "correlation" and any(key.startswith("log_error") for key in splines.parts):
            stretch = _stretch(splines, design)
        return np.asarray(squared * (raw * stretch * slope) ** 2)
    return np.asarray(squared * splines.scale[0] ** 2)


def _stretch(splines: SplineMap, design: Design) -> Floats:
    rho = np.tanh(design.combine(splines.parts["atanh_rho"].coefficients))
    cleared = splines.evaluate(design, "correlation")
    return np.asarray(np.where(np.abs(rho) > 1e-6, cleared / np.where(np.abs(rho) > 1e-6, rho, 1.0), 1.0))
