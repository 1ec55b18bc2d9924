"""Stars to draw from: isochrones of a population with the number of stars that each stretch of them stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from starloom.errors import ConfigError
from starloom.simulation.components import StellarComponent
from starloom.stellar.isochrone_grids import IsochroneGrid
from starloom.stellar.isochrones import SUN_MBOL, Isochrone
from starloom.stellar.mass_functions import MassFunction
from starloom.stellar.photometry import BolometricCorrections

Floats = NDArray[np.float64]
PHYSICS = ("initial_mass", "star_mass", "log_teff", "logg", "log_l")
AGES, METALLICITIES = 5, 5


@dataclass(frozen=True)
class StellarLibrary:
    """The isochrones of one component, end to end.

    A star is drawn from the stretch between point i and point i + 1, for the points where ``number`` is above 0.

    Parameters
    ----------
    bands : names of the magnitudes.
    magnitudes : absolute magnitudes (n, bands).
    dimming : extinction in each band for A_V = 1 (n, bands).
    physics : the columns of :data:`PHYSICS` (n, 5).
    phase : evolutionary phase (n,).
    age, fe_h : of each point, Gyr and dex (n,).
    number : stars per star formed in the stretch that begins at each point (n,); 0 at the end of an isochrone.
    living_mass : mass of the living stars per star formed (Msun).
    lost : share of the stars without photometry, which cannot be drawn.
    """

    bands: tuple[str, ...]
    magnitudes: Floats
    dimming: Floats
    physics: Floats
    phase: NDArray[np.int64]
    age: Floats
    fe_h: Floats
    number: Floats
    living_mass: float
    lost: float


def normal_nodes(mean: float, scatter: float, count: int) -> tuple[Floats, Floats]:
    """Values and weights that stand for a normal distribution (Gauss-Hermite quadrature)."""
    if scatter == 0:
        return np.array([mean]), np.array([1.0])
    x, w = np.polynomial.hermite_e.hermegauss(count)
    return mean + scatter * x, w / w.sum()


def build_library(
    component: StellarComponent,
    grid: IsochroneGrid,
    corrections: BolometricCorrections,
    bands: Sequence[str],
    mass_function: MassFunction,
    *,
    ages: int = AGES,
    metallicities: int = METALLICITIES,
) -> StellarLibrary:
    """Isochrones of a component at a few ages and metallicities, with exact numbers of stars from the mass function.

    Raises
    ------
    ConfigError
        When an isochrone of the component lies outside the grid or a band is unknown.
    """
    low, high = component.ages
    edges = np.geomspace(low, high, ages + 1) if high > 3 * low else np.linspace(low, high, ages + 1)
    age_nodes = np.sqrt(edges[1:] * edges[:-1]) if high > 3 * low else 0.5 * (edges[1:] + edges[:-1])
    age_weights = np.diff(edges) / (high - low) if high > low else np.full(ages, 1.0 / ages)
    fe_h_nodes, fe_h_weights = normal_nodes(*component.fe_h, metallicities)
    lowest, highest = grid.fe_h_range
    fe_h_nodes = np.clip(fe_h_nodes, lowest, highest)
    parts = []
    for age, age_weight in zip(age_nodes, age_weights, strict=True):
        for fe_h, fe_h_weight in zip(fe_h_nodes, fe_h_weights, strict=True):
            isochrone = grid.isochrone(float(age), float(fe_h))
            parts.append(_points(isochrone, corrections, bands, mass_function, float(age_weight * fe_h_weight)))
    joined = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
    magnitudes, dimming, physics, phase, age_column, fe_h_column, number = joined
    visible = np.isfinite(magnitudes).all(axis=1)
    both = visible & np.append(visible[1:], False)
    lost = float(number[~both].sum() / number.sum())
    if lost > 0.5:
        raise ConfigError(f"half of the stars of {component.name} have no magnitudes in {', '.join(bands)}")
    living = float((number * physics[:, 1]).sum())
    return StellarLibrary(
        tuple(bands), magnitudes, dimming, physics, phase.astype(np.int64), age_column, fe_h_column,
        np.where(both, number, 0.0), living, lost,
    )  # fmt: skip


def _points(
    isochrone: Isochrone,
    corrections: BolometricCorrections,
    bands: Sequence[str],
    mass_function: MassFunction,
    weight: float,
) -> tuple[NDArray[np.float64], ...]:
    teff = 10.0**isochrone.log_teff
    clear = corrections.corrections(teff, isochrone.logg, isochrone.fe_h, bands, 0.0)
    dusty = corrections.corrections(teff, isochrone.logg, isochrone.fe_h, bands, 1.0)
    number = np.append(mass_function.interval_weights(isochrone.initial_mass), 0.0) * weight
    count = len(isochrone)
    return (
        (SUN_MBOL - 2.5 * isochrone.log_l)[:, None] - clear,
        clear - dusty,
        np.stack([getattr(isochrone, name) for name in PHYSICS], axis=1),
        isochrone.phase.astype(np.float64),
        np.full(count, isochrone.age),
        np.full(count, isochrone.fe_h),
        number,
    )
