"""Simulated giants, an APOGEE-like and a Kepler-like power spectrum each, through the real preprocessing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from starloom.seeds import generator
from starloom.stars import seismic_power as power
from starloom.stars import seismic_spectra as spectra

if TYPE_CHECKING:
    from astropy.table import QTable
    from numpy.typing import NDArray

    from starloom.stars.seismic_spectra import Normalized

BLOCK = 400
LOWEST, HIGHEST = 4.0, 250.0  # muHz: where Kepler's long cadence shows modes
LABEL_ERRORS = {"teff": 15.0, "fe_h": 0.015, "alpha_m": 0.015, "logg": 0.04}
"""Errors of the labels that come with the spectra: twice those that APOGEE DR17 states for giants, or more."""
AGE_NOISE = (0.23, 0.10)
"""Relative errors of seismic ages on the giant branch and in the red clump (those of 2021A&A...645A..85M)."""


@dataclass
class Pairs:
    """Simulated stars (table of true values), their spectra and power spectra, row by row."""

    stars: QTable
    spectra: Normalized
    log_power: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.stars)


def giants(count: int, rng: np.random.Generator, history: Any = None, selection: Any = None) -> QTable:
    """Giants of the simulated Milky Way with modes that Kepler could see: the branch and the red clump.

    They lie at the heights of Kepler's field, or as another ``selection`` says.
    """
    from astropy.table import vstack

    from starloom.simulation.chemical_evolution import STANDARD
    from starloom.simulation.evolved_stars import KEPLER, simulate

    parts: list[Any] = []
    have = 0
    while have < count:
        table = simulate(
            max(int(1.4 * (count - have)), 200),
            rng,
            history=history or STANDARD,
            selection=selection or KEPLER,
            stages="giants",
        )
        nu_max, state = table["nu_max"].value, np.asarray(table["evolutionary_state"])
        table = table[(nu_max > LOWEST) & (nu_max < HIGHEST) & ((state == 1) | (state == 2))]
        parts.append(table)
        have += len(table)
    found: QTable = vstack(parts, metadata_conflicts="silent")[:count]
    found["source_id"] = np.arange(len(found), dtype=np.int64) + 1
    return found


def is_clump(stars: QTable) -> NDArray[np.bool_]:
    """Stars that burn helium in the core."""
    return np.asarray(np.asarray(stars["evolutionary_state"]) == 2)


def continuum(stars: QTable) -> NDArray[np.bool_]:
    """Continuum pixels of the made spectra, found on the noiseless spectra of a few stars."""
    from starloom.simulation.stellar_spectra import element_abundances, pristine

    few = stars[:200]
    elements = element_abundances(few["fe_h"], few["alpha_m"], few["c_n"], scatter=0.0, seed=1)
    light = spectra.GRID.wavelength
    return spectra.find_continuum(pristine(light, few["teff"].value, few["logg"], elements)[:, spectra.KEPT])


def blocks(
    stars: QTable, pixels: NDArray[np.bool_], rng: np.random.Generator, *, with_power: bool = True
) -> Iterator[tuple[slice, Normalized, NDArray[np.float32]]]:
    """Make and prepare the spectra of stars, some hundred at a time."""
    from starloom.simulation.power_spectra import make_power
    from starloom.simulation.stellar_spectra import make_spectra

    frequency = np.arange(power.LOWEST - power.STEP, power.HIGHEST, power.STEP)
    for start in range(0, len(stars), BLOCK):
        rows = slice(start, min(start + BLOCK, len(stars)))
        part = stars[rows]
        made = make_spectra(
            spectra.GRID.wavelength, part["teff"].value, part["logg"], part["fe_h"], part["alpha_m"], part["c_n"],
            seed=rng, chips=spectra.CHIPS,
        )  # fmt: skip
        ready = spectra.normalize(made.flux, made.error, made.mask, continuum=pixels)
        height = np.zeros((len(part), power.BINS), dtype=np.float32)
        if with_power:
            modes = make_power(
                part["nu_max"].value, part["delta_nu"].value, part["mass"].value, is_clump(part), seed=rng,
                frequency=frequency,
            )  # fmt: skip
            for row, values in enumerate(modes.power):  # flat by construction: the background is 1
                height[row] = power.rebin(frequency, values)
        yield rows, ready, height


def pairs(stars: QTable, pixels: NDArray[np.bool_], seed: int | np.random.Generator) -> Pairs:
    """Spectra and power spectra of all stars, kept in single precision."""
    from starloom.stars.seismic_spectra import Normalized

    rng, count = generator(seed), len(stars)
    flux, error = (np.empty((count, spectra.PIXELS), dtype=np.float32) for _ in range(2))
    height, reasons = np.empty((count, power.BINS), dtype=np.float32), np.full(count, "", dtype="U120")
    for rows, ready, log_power in blocks(stars, pixels, rng):
        flux[rows], error[rows], reasons[rows], height[rows] = ready.flux, ready.error, ready.reasons, log_power
    return Pairs(stars, Normalized(flux, error, reasons), height)  # type: ignore[arg-type]


def labeled(stars: QTable, seed: int | np.random.Generator) -> QTable:
    """The stars as catalogs give them: noisy Teff, log g, [Fe/H], [alpha/M] and seismic ages, with errors.

    True values are kept as ``true_age`` and so on. Ages carry relative errors of :data:`AGE_NOISE`, log-normal.
    """
    from astropy import units as u
    from astropy.table import QTable

    rng, count = generator(seed), len(stars)
    table = QTable({"source_id": stars["source_id"], "red_clump": is_clump(stars)})
    for name, sigma in LABEL_ERRORS.items():
        unit = u.K if name == "teff" else u.dimensionless_unscaled
        true = np.asarray(stars[name].value if name == "teff" else stars[name], dtype=float)
        values = true + rng.normal(0.0, sigma, count)
        table[name] = values * unit if name == "teff" else values
        table[f"{name}_error"] = np.full(count, sigma) * unit if name == "teff" else np.full(count, sigma)
        table[f"true_{name}"] = true * unit if name == "teff" else true
    relative = np.where(is_clump(stars), AGE_NOISE[1], AGE_NOISE[0])
    table["age"] = stars["age"] * np.exp(rng.normal(size=count) * relative)
    table["age_error"] = table["age"] * relative
    table["true_age"] = stars["age"]
    for name in ("nu_max", "delta_nu", "mass", "galactic_radius", "galactic_height"):
        table[name] = stars[name]
    return table
