"""What APOGEE could see of an old halo: giants of isochrones, fields and fractions, dust, and completeness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.dynamics.frames import GalacticFrame
from starloom.errors import ConfigError
from starloom.halo.likelihood import Volume
from starloom.selection.effective_volume import EffectiveSelection, effective_selection
from starloom.selection.sampling_fractions import SamplingFractions
from starloom.selection.tracers import Tracers

if TYPE_CHECKING:
    from starloom.stellar.extinction import DustMap
    from starloom.stellar.isochrone_grids import IsochroneGrid
    from starloom.stellar.mass_functions import MassFunction
    from starloom.stellar.photometry import BolometricCorrections

Array = NDArray[np.float64]
FRAME = GalacticFrame.from_rotation(8.275, 220.0, (11.1, 12.24, 7.25), 0.0208, "Lane et al. 2023")
BANDS = ("2mass_h", "2mass_j", "2mass_ks")
GIANTS = (1.0, 3.0)  # log g
BOX = 20.0  # deg of |l| and |b|: the inner Galaxy is left out
CENTER_FIELDS = (2011, 2247, 4260, 5295, 5299, 5300, 5328, 5329, 5801)
MODULI = np.linspace(7.0, 19.0, 301)
MASS_FUNCTIONS = ("chabrier_2003", "chabrier_2001", "kroupa_2001")


def mass_function(name: str) -> MassFunction:
    """One of the initial mass functions of the budget by its name."""
    from starloom.stellar import mass_functions

    if name not in MASS_FUNCTIONS:
        raise ConfigError(f"no mass function {name!r}; there are {', '.join(MASS_FUNCTIONS)}")
    found: MassFunction = getattr(mass_functions, name)()
    return found


def halo_giants(
    grid: IsochroneGrid,
    corrections: BolometricCorrections,
    *,
    mass_function_name: str = "chabrier_2003",
    ages: Sequence[float] = (10.0, 11.0, 12.0, 13.0),
    fe_h: tuple[float, float] = (-2.0, -0.6),
    steps: int = 6,
) -> Tracers:
    """Giants of an old population whose metallicities are even in [Fe/H], in 2MASS H and J - Ks.

    Parameters
    ----------
    grid, corrections : stellar models.
    mass_function_name : of the initial masses.
    ages : Gyr, of equal shares.
    fe_h : range of [Fe/H]; cut to what the grid has.
    steps : isochrones over that range.
    """
    from starloom.stellar.photometry import with_photometry

    low, high = max(fe_h[0], grid.fe_h_range[0]), min(fe_h[1], grid.fe_h_range[1])
    oldest = grid.age_range[1]
    centers = low + (np.arange(steps) + 0.5) * (high - low) / steps
    isochrones = [
        with_photometry(grid.isochrone(float(min(age, oldest)), float(metals)), corrections, BANDS)
        for age in ages
        for metals in centers
    ]
    return Tracers.from_isochrones(isochrones, mass_function(mass_function_name), bands=BANDS, logg=GIANTS)


def halo_fields(table: Any = None, *, box: float = BOX) -> SamplingFractions:
    """APOGEE's fields away from the inner Galaxy and the center.

    Parameters
    ----------
    table : with the columns of the dataset ``apogee_sampling_fractions``, which it is by default.
    box : fields with both ``|l|`` and ``|b|`` below it (deg) are left out.

    Raises
    ------
    ConfigError
        When no field is left.
    """
    from starloom.datasets.access import open_table

    rows = open_table("apogee_sampling_fractions") if table is None else table
    fractions = SamplingFractions.from_table(rows)
    l = (fractions.fields.l + 180.0) % 360.0 - 180.0
    kept = ~((np.abs(l) < box) & (np.abs(fractions.fields.b) < box))
    if "LOCATION_ID" in rows.colnames:
        numbers = np.asarray(rows["LOCATION_ID"], dtype=np.float64).astype(np.int64)
        center = np.char.strip(np.asarray(rows["FIELD"]).astype(np.str_))[np.isin(numbers, CENTER_FIELDS)]
        kept &= ~np.isin(fractions.fields.name, center)
    return fractions.only(kept)


def sees(fractions: SamplingFractions, l: ArrayLike, b: ArrayLike) -> NDArray[np.bool_]:
    """Which positions (n,) in deg are inside a field."""
    return np.asarray(fractions.fields.containing(l, b)[:, 0] >= 0)


@dataclass(frozen=True)
class HaloSurvey:
    """The effective selection of giants and the places of its cells.

    Parameters
    ----------
    effective : share of the giants observed, by region and distance.
    frame : the Sun's place.
    """

    effective: EffectiveSelection
    frame: GalacticFrame = FRAME

    @classmethod
    def make(
        cls,
        fractions: SamplingFractions,
        tracers: Tracers,
        dust: DustMap,
        *,
        modulus: ArrayLike = MODULI,
        frame: GalacticFrame = FRAME,
        nside: int = 64,
        threads: int | None = None,
    ) -> HaloSurvey:
        """From fields, giants and dust; see `starloom.selection.effective_volume.effective_selection`."""
        return cls(effective_selection(fractions, tracers, dust, modulus, nside=nside, threads=threads), frame)

    @property
    def mass_per_tracer(self) -> float:
        """Msun formed for each giant."""
        return self.effective.tracers.mass_per_tracer

    def places(self) -> Array:
        """(n, m, 3) kpc about the center."""
        return self.frame.from_galactic(*self.effective.cells())

    def volume(self, completeness: ArrayLike | None = None, *, survey: bool = True) -> Volume:
        """Cells with what a sample could have held.

        Parameters
        ----------
        completeness : (n, m) of the kinematic selection; 1 by default.
        survey : False leaves the survey's selection out: as if every giant in every field had been observed, as far as
            any was.

        Raises
        ------
        ConfigError
            When the completeness has another shape, is not finite, or is not within 0 and 1.
        """
        effective = self.effective
        shares = effective.selection if survey else (effective.selection > 1e-6).astype(np.float64)
        if completeness is not None:
            c = np.asarray(completeness, dtype=np.float64)
            if c.shape != shares.shape:
                raise ConfigError(f"the completeness has the shape {c.shape}, the cells have {shares.shape}")
            if not np.isfinite(c).all():
                raise ConfigError("no finite completeness in some cells: a selection without velocities there?")
            if (c < 0).any() or (c > 1).any():
                raise ConfigError("a completeness must lie within 0 and 1")
            shares = shares * c
        weight = np.where(shares > 1e-9, shares, 0.0) * effective.volume_element
        return Volume(self.places().reshape(-1, 3), weight.ravel(), self.frame.sun.x)
