"""Stellar models as a lattice over [Fe/H], age and EEP: what the posterior of one star interpolates in."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starloom.errors import ConfigError, ModelFileError
from starloom.stellar.isochrone_grids import IsochroneGrid
from starloom.stellar.isochrones import SUN_MBOL
from starloom.stellar.mass_functions import MassFunction, kroupa_2001
from starloom.stellar.photometry import BolometricCorrections

Floats = NDArray[np.float64]

AGES = (1.0, 19.0)
FE_H_STEP = 0.125
LOG_AGE_STEP = 0.025
EEPS = {"MIST": (202, 605, 2)}
"""First and last EEP and step of a model: zero-age main sequence to the tip of the giant branch."""
MOST_EEPS = 260
REFERENCE_A_V = 0.4
WEIGHTS = ("age", "eep")
KIND = "lattice of isochrones for ages"


@dataclass(frozen=True)
class AgeLattice:
    """Teff, log g and magnitudes at the nodes of a lattice, and how many stars there are between them.

    Every node is an isochrone of `IsochroneGrid` with photometry of its own; between nodes a star's quantities are
    linear in [Fe/H], log age and EEP. The prior of a star is flat in age and [Fe/H] and follows the initial mass
    function in mass, so between two EEPs there is the fraction of the mass function between their masses: this is the
    weight that turns a density over (age, mass) into one over (age, EEP). MINESweeper's derivative of age by EEP
    (2020ApJ...900...28C) is the same Jacobian for the coordinates EEP and mass.

    Parameters
    ----------
    source : name of the models.
    bands : names of the magnitudes.
    fe_h, log_age, eep : nodes, rising; log10 of years.
    log_teff, logg : (f, a, e) float32; NaN where the models have nothing.
    magnitudes : (f, a, e, bands) float32, absolute, without extinction.
    reddening : (f, a, e, bands) float32, extinction in each band by A_V.
    log_mass : (f, a, e) float64, log10 of the initial mass in Msun.
    log_star_mass : (f, a, e) float32, log10 of the mass now.
    weight : (f, a, e - 1) prior of each interval of EEP at one age and [Fe/H].
    weighted_by : "age" for the prior above; "eep" for a density that is uniform in EEP at given mass, which is wrong
        and there to show how much it matters.
    """

    source: str
    bands: tuple[str, ...]
    fe_h: Floats
    log_age: Floats
    eep: Floats
    log_teff: NDArray[np.float32]
    logg: NDArray[np.float32]
    magnitudes: NDArray[np.float32]
    reddening: NDArray[np.float32]
    log_mass: Floats
    log_star_mass: NDArray[np.float32]
    weight: Floats
    weighted_by: str = "age"

    @classmethod
    def build(
        cls,
        grid: IsochroneGrid,
        corrections: BolometricCorrections | None = None,
        bands: Sequence[str] = (),
        *,
        fe_h: tuple[float, float] | None = None,
        age: tuple[float, float] = AGES,
        mass_function: MassFunction | None = None,
        weighted_by: str = "age",
    ) -> AgeLattice:
        """Interpolate a grid on the lattice and compute magnitudes at its nodes.

        Parameters
        ----------
        grid, corrections : the models; without bands no corrections are needed.
        bands : magnitudes wanted.
        fe_h : range of [Fe/H]; the whole grid by default. It is widened to the lattice's own nodes.
        age : range of the flat prior in Gyr. Let it reach beyond the age of the Universe: a population's age is read
            from what the stars say on both sides of it.
        mass_function : initial mass function; Kroupa (2001) by default.
        weighted_by : see the class.

        Raises
        ------
        ConfigError
            When the ranges are not inside the grid, or a band is unknown.
        """
        if bands and corrections is None:
            raise ConfigError("magnitudes need bolometric corrections: BolometricCorrections.open(...)")
        if weighted_by not in WEIGHTS:
            raise ConfigError(f"weighted_by is 'age' or 'eep', not {weighted_by!r}")
        oldest = min(grid.age_range[1], age[1])
        if not grid.age_range[0] <= age[0] < oldest:
            raise ConfigError(
                f"ages must rise and start inside {grid.name}'s own range, got {age[0]:g} to {age[1]:g} Gyr"
            )
        log_age = _axis(np.log10(age[0]) + 9.0, np.log10(oldest) + 9.0, grid.log_age, LOG_AGE_STEP)
        low, high = grid.fe_h_range if fe_h is None else fe_h
        low, high = max(low, grid.fe_h_range[0]), min(high, grid.fe_h_range[1])
        if not low <= high:
            raise ConfigError(f"{grid.name} has [Fe/H] from {grid.fe_h_range[0]:g} to {grid.fe_h_range[1]:g} only")
        iron = _axis(*grid.fe_h_range, grid.fe_h, FE_H_STEP)
        first = max(int(np.searchsorted(iron, low, side="right")) - 1, 0)
        last = min(int(np.searchsorted(iron, high, side="left")) + 1, len(iron))
        first = min(first, len(iron) - 2)
        iron = iron[first : max(last, first + 2)]
        return cls._fill(grid, corrections, tuple(bands), iron, log_age, mass_function or kroupa_2001(), weighted_by)

    @classmethod
    def _fill(
        cls,
        grid: IsochroneGrid,
        corrections: BolometricCorrections | None,
        bands: tuple[str, ...],
        iron: Floats,
        log_age: Floats,
        mass_function: MassFunction,
        weighted_by: str,
    ) -> AgeLattice:
        found = [[_usable(grid, 10.0 ** (t - 9.0), z) for t in log_age] for z in iron]
        eep = _eeps(grid, [entry for row in found for entry in row if entry is not None])
        shape = (len(iron), len(log_age), len(eep))
        columns = {name: np.full(shape, np.nan) for name in ("log_teff", "logg", "log_l", "log_mass", "log_star_mass")}
        for i, row in enumerate(found):
            for j, isochrone in enumerate(row):
                if isochrone is None:
                    continue
                there = (eep >= isochrone.eep[0]) & (eep <= isochrone.eep[-1])
                place = (eep[there] - isochrone.eep[0]).astype(int)
                for name, values in columns.items():
                    source = getattr(isochrone, name.replace("log_mass", "initial_mass").replace("log_star", "star"))
                    taken = source[place]
                    values[i, j, there] = np.log10(taken) if "mass" in name else taken
        magnitudes = np.full((*shape, len(bands)), np.nan, dtype=np.float32)
        reddening = np.zeros_like(magnitudes)
        if bands and corrections is not None:
            for i, z in enumerate(iron):
                here = np.isfinite(columns["log_teff"][i])
                if not here.any():
                    continue
                point = 10.0 ** columns["log_teff"][i][here], columns["logg"][i][here]
                clear, dusty = (corrections.corrections(*point, z, bands, a_v) for a_v in (0.0, REFERENCE_A_V))
                m_bol = SUN_MBOL - 2.5 * columns["log_l"][i][here]
                magnitudes[i][here] = m_bol[:, None] - clear
                reddening[i][here] = (clear - dusty) / REFERENCE_A_V
        return cls(
            source=grid.name,
            bands=bands,
            fe_h=iron,
            log_age=log_age,
            eep=eep,
            log_teff=columns["log_teff"].astype(np.float32),
            logg=columns["logg"].astype(np.float32),
            magnitudes=magnitudes,
            reddening=reddening,
            log_mass=columns["log_mass"],
            log_star_mass=columns["log_star_mass"].astype(np.float32),
            weight=_weights(columns["log_mass"], log_age, mass_function, weighted_by),
            weighted_by=weighted_by,
        )

    def weighted(self, weighted_by: str, mass_function: MassFunction | None = None) -> AgeLattice:
        """The same models under another weight of EEP.

        Raises
        ------
        ConfigError
            When the weight is unknown.
        """
        if weighted_by not in WEIGHTS:
            raise ConfigError(f"weighted_by is 'age' or 'eep', not {weighted_by!r}")
        weight = _weights(self.log_mass, self.log_age, mass_function or kroupa_2001(), weighted_by)
        return replace(self, weight=weight, weighted_by=weighted_by)

    @property
    def age_range(self) -> tuple[float, float]:
        """Youngest and oldest age, Gyr."""
        return float(10.0 ** (self.log_age[0] - 9.0)), float(10.0 ** (self.log_age[-1] - 9.0))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All arrays by name, for saving."""
        names = ("fe_h", "log_age", "eep", "log_teff", "logg", "magnitudes", "reddening")
        return {name: getattr(self, name) for name in (*names, "log_mass", "log_star_mass", "weight")}

    def save(self, folder: str | Path) -> None:
        """Write the lattice as safetensors and JSON; building one of the whole grid takes some seconds."""
        from starloom.saved_models import save_model

        about = {"source": self.source, "bands": self.bands, "weighted_by": self.weighted_by}
        save_model(folder, KIND, about, self.arrays())

    @classmethod
    def load(cls, folder: str | Path) -> AgeLattice:
        """Read a saved lattice.

        Raises
        ------
        ModelFileError
            When a file is missing, broken or of another version.
        """
        from starloom.saved_models import load_model

        about, arrays = load_model(folder, KIND)
        try:
            return cls(about["source"], tuple(about["bands"]), weighted_by=about["weighted_by"], **arrays)
        except (KeyError, TypeError) as error:
            raise ModelFileError(f"{folder} holds no lattice of ages: {error}; build it again") from error


def _axis(low: float, high: float, native: Floats, step: float) -> Floats:
    """Nodes from low to high: the native ones, and others between them no more than ``step`` apart."""
    inner = native[(native > low + 1e-6) & (native < high - 1e-6)]
    knots = np.unique(np.concatenate([[low], inner, [high]]))
    parts = [
        np.linspace(a, b, max(int(np.ceil((b - a) / step - 1e-6)), 1), endpoint=False)
        for a, b in itertools.pairwise(knots)
    ]
    return np.concatenate([*parts, knots[-1:]])


def _usable(grid: IsochroneGrid, age: float, fe_h: float) -> Any:
    try:
        return grid.isochrone(age, fe_h)
    except ConfigError:  # a hole in the grid: its cells stay empty
        return None


def _eeps(grid: IsochroneGrid, isochrones: list[Any]) -> Floats:
    if not isochrones:
        raise ConfigError(f"{grid.name} has no isochrone in these ranges of age and [Fe/H]")
    if grid.name in EEPS:
        first, last, step = EEPS[grid.name]
    else:
        first = int(min(entry.eep[0] for entry in isochrones))
        last = int(max(entry.eep[-1] for entry in isochrones))
        step = max(-(-(last - first) // MOST_EEPS), 1)
    return np.arange(first, last + 1, step, dtype=np.float64)


def _weights(log_mass: Floats, log_age: Floats, mass_function: MassFunction, weighted_by: str) -> Floats:
    mass = 10.0**log_mass
    if weighted_by == "age":
        weight = np.diff(np.where(np.isfinite(mass), mass_function.cdf(np.nan_to_num(mass, nan=1.0)), np.nan), axis=2)
        return np.asarray(np.maximum(np.nan_to_num(weight), 0.0))
    ages = 10.0 ** (log_age - 9.0)
    slope = np.abs(np.gradient(mass, ages, axis=1))
    density = mass_function.pdf(np.nan_to_num(mass, nan=1.0)) * slope
    return np.asarray(np.nan_to_num(0.5 * (density[:, :, 1:] + density[:, :, :-1])))
