"""The stars of a stream as a single stellar population: an isochrone by age and [Fe/H], ready for the density model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from starloom.errors import ConfigError

if TYPE_CHECKING:
    from starloom.stellar.mass_functions import MassFunction

Array = NDArray[np.float64]
GIANT_TIP, FAINTEST_MASS = 605, 0.12
FEWEST_POINTS = 8
PASSBANDS = {
    **{f"{band}_mag": f"ps1_{band}" for band in "grizy"},
    "phot_g_mean_mag": "gaia_g",
    "phot_bp_mean_mag": "gaia_bp",
    "phot_rp_mean_mag": "gaia_rp",
}
"""Canonical magnitude column -> passband of the bolometric corrections."""


@dataclass(frozen=True)
class Population:
    """Absolute magnitudes along an isochrone from faint to bright, and the share of the stars on each stretch.

    Attributes
    ----------
    bands : names of the magnitude columns.
    magnitudes : shape (n, bands).
    weights : share of the stars between consecutive points, shape (n - 1,).
    mass : initial mass (Msun) at the points, shape (n,).
    source : what it was made from.
    """

    bands: tuple[str, ...]
    magnitudes: Array
    weights: Array
    mass: Array
    source: str

    def visible(self, faintest: float) -> Population:
        """The part brighter than an absolute magnitude in the first band (one point beyond it is kept)."""
        inside = np.flatnonzero(self.magnitudes[:, 0] <= faintest)
        if len(inside) < FEWEST_POINTS:
            raise ConfigError(
                f"only {len(inside)} points of the isochrone ({self.source}) are brighter than {faintest:.1f} mag: the "
                "distance, the magnitude range and the isochrone do not fit together"
            )
        rows = slice(max(int(inside[0]) - 1, 0), None)
        return Population(self.bands, self.magnitudes[rows], self.weights[rows], self.mass[rows], self.source)

    def draw(self, count: int, rng: np.random.Generator) -> Array:
        """Absolute magnitudes of stars drawn from it, shape (count, bands)."""
        stretch = rng.choice(len(self.weights), count, p=self.weights / self.weights.sum())
        part = rng.random(count)[:, None]
        return np.asarray((1.0 - part) * self.magnitudes[stretch] + part * self.magnitudes[stretch + 1])


def passbands(bands: Sequence[str], given: Sequence[str] | None = None) -> tuple[str, ...]:
    """Passbands of magnitude columns: those given, or Pan-STARRS1's and Gaia's by the name of the column.

    Raises
    ------
    ConfigError
        When a column's passband is not known and none was given, or their numbers differ.
    """
    if given is not None:
        if len(given) != len(bands):
            raise ConfigError(f"{len(bands)} magnitude columns need as many passbands, got {list(given)}")
        return tuple(given)
    unknown = [band for band in bands if band not in PASSBANDS]
    if unknown:
        raise ConfigError(
            f"which passband is {', '.join(unknown)}? Known by name: {', '.join(PASSBANDS)}; for others say it, such "
            'as isochrone = { age = 12, fe_h = -1.5, passbands = ["sdss_g", "sdss_r"] }'
        )
    return tuple(PASSBANDS[band] for band in bands)


def from_grid(
    age: float,
    fe_h: float,
    bands: Sequence[str],
    *,
    grid: str = "mist",
    passbands_of: Sequence[str] | None = None,
    mass_function: MassFunction | None = None,
    points: int = 80,
    eep: tuple[float, float] = (202, GIANT_TIP),
) -> Population:
    """A population from a grid of the dataset ``isochrone_grids`` and the bolometric corrections.

    Parameters
    ----------
    age : Gyr.
    fe_h : initial [Fe/H].
    bands : magnitude columns.
    grid : file of the dataset, such as "mist".
    passbands_of : their passbands; by default those of Pan-STARRS1 or Gaia.
    mass_function : of the stars at birth; default Kroupa (2001).
    points : places along it, equally spaced in arc length.
    eep : range of the equivalent evolutionary points; by default from the zero-age main sequence to the giants' tip.

    Raises
    ------
    ConfigError
        When age, [Fe/H] or a passband is outside what there is.
    DatasetError
        When the grids cannot be had.
    """
    from starloom.datasets.access import locate
    from starloom.stellar.isochrone_grids import IsochroneGrid
    from starloom.stellar.mass_functions import kroupa_2001
    from starloom.stellar.photometry import BolometricCorrections, with_photometry

    names = passbands(bands, passbands_of)
    isochrone = IsochroneGrid.open(locate("isochrone_grids", grid).path).isochrone(age, fe_h)
    if np.isfinite(isochrone.eep).all() and grid == "mist":
        isochrone = isochrone.cut(eep=eep)
    isochrone = isochrone.cut(initial_mass=(FAINTEST_MASS, 10.0))
    corrections = BolometricCorrections.open(locate("bolometric_corrections", "tables").path)
    isochrone = with_photometry(isochrone, corrections, names).cut(finite=True)
    last = isochrone.arc_length(names)[-1]  # one, but for rounding
    even = isochrone.at_arc_length(np.linspace(0.0, last, points), names)
    mass = np.maximum.accumulate(even.initial_mass)
    weights = (mass_function or kroupa_2001(low=0.08, high=100.0)).interval_weights(mass)
    source = f"{isochrone.source}, {age:g} Gyr, [Fe/H] = {fe_h:g}, {' '.join(names)}"
    return Population(tuple(bands), even.magnitudes(names), weights, mass, source)
