"""One isochrone: stars of one age and metallicity along their evolution, with magnitudes where they were computed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import ConfigError

if TYPE_CHECKING:
    from astropy.table import QTable

Floats = NDArray[np.float64]

SUN_TEFF = 5772.0
"""Nominal solar effective temperature in K (IAU 2015 resolution B3)."""

SUN_MBOL = 4.74
"""Bolometric magnitude of the Sun (IAU 2015 resolution B2, rounded as the MIST tables use it)."""

SUN_NU_MAX = 3090.0
SUN_DELTA_NU = 135.1
SUN_TEFF_SEISMIC = 5777.0
"""Solar references (microhertz, K) of the asteroseismic scaling relations (2011ApJ...743..143H)."""


class Phase(IntEnum):
    """Evolutionary phase, numbered as in the MIST tables; the labels of other models are translated to it."""

    UNKNOWN = -9
    PRE_MAIN_SEQUENCE = -1
    MAIN_SEQUENCE = 0
    GIANT_BRANCH = 2
    CORE_HELIUM_BURNING = 3
    EARLY_AGB = 4
    THERMALLY_PULSING_AGB = 5
    POST_AGB = 6
    WOLF_RAYET = 9


_FLOAT_COLUMNS = ("eep", "initial_mass", "star_mass", "log_teff", "logg", "log_l", "radius")


@dataclass(frozen=True)
class Isochrone:
    """Stars of one age and metallicity, in order of evolution (and so of initial mass).

    Parameters
    ----------
    age : age in Gyr.
    fe_h : initial [Fe/H] in dex.
    eep : equivalent evolutionary phase of each point (n,); NaN where the model has none.
    initial_mass, star_mass : mass at birth and now, in Msun (n,).
    log_teff : log10 of the effective temperature in K (n,).
    logg : log10 of the surface gravity in cm/s2 (n,).
    log_l : log10 of the luminosity in Lsun (n,).
    radius : radius in Rsun (n,).
    phase : evolutionary phase of each point, a `Phase` (n,).
    bands : absolute magnitudes by band name, each (n,).
    a_v : extinction in V which the magnitudes include.
    source : the model they come from.
    """

    age: float
    fe_h: float
    eep: Floats
    initial_mass: Floats
    star_mass: Floats
    log_teff: Floats
    logg: Floats
    log_l: Floats
    radius: Floats
    phase: NDArray[np.int64]
    bands: dict[str, Floats] = field(default_factory=dict)
    a_v: float = 0.0
    source: str = ""

    def __post_init__(self) -> None:
        for name in _FLOAT_COLUMNS:
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        object.__setattr__(self, "phase", np.asarray(self.phase, dtype=np.int64))
        object.__setattr__(self, "bands", {k: np.asarray(v, dtype=np.float64) for k, v in self.bands.items()})
        columns = {name: getattr(self, name) for name in (*_FLOAT_COLUMNS, "phase")} | self.bands
        shapes = {name: column.shape for name, column in columns.items() if column.shape != (len(self.eep),)}
        if self.eep.ndim != 1 or len(self.eep) == 0 or shapes:
            raise ConfigError(
                f"the columns of an isochrone must be 1-D, of one length and not empty; got {self.eep.shape}, {shapes}"
            )

    def __len__(self) -> int:
        return len(self.eep)

    def magnitudes(self, bands: Sequence[str]) -> Floats:
        """Absolute magnitudes in the bands asked for, shape (n, len(bands)).

        Raises
        ------
        ConfigError
            When a band was not computed.
        """
        if isinstance(bands, str):
            raise ConfigError(f"give the bands as a list, not {bands!r}")
        missing = [band for band in bands if band not in self.bands]
        if missing:
            have = ", ".join(self.bands) or "none; use starloom.stellar.photometry.with_photometry"
            raise ConfigError(f"this isochrone has no magnitudes for {missing}; it has: {have}")
        return np.stack([self.bands[band] for band in bands], axis=1) if bands else np.empty((len(self), 0))

    def without_photometry(self) -> int:
        """Count the points with a missing magnitude (outside the bolometric corrections)."""
        missing = np.zeros(len(self), dtype=bool)
        for magnitude in self.bands.values():
            missing |= np.isnan(magnitude)
        return int(missing.sum())

    def cut(
        self,
        *,
        eep: tuple[float, float] | None = None,
        phase: Iterable[Phase] | None = None,
        initial_mass: tuple[float, float] | None = None,
        finite: bool = False,
    ) -> Isochrone:
        """Keep the points inside the ranges given (inclusive), in the phases given, or with all magnitudes finite.

        Raises
        ------
        ConfigError
            When nothing is left, or a cut needs EEPs or phases which this model does not have.
        """
        keep = np.ones(len(self), dtype=bool)
        if eep is not None:
            if np.isnan(self.eep).all():
                raise ConfigError(f"{self.source or 'this isochrone'} has no EEPs; cut it by phase or initial mass")
            keep &= (self.eep >= eep[0]) & (self.eep <= eep[1])
        if phase is not None:
            if (self.phase == Phase.UNKNOWN).all():
                raise ConfigError(f"{self.source or 'this isochrone'} has no phases; cut it by EEP or initial mass")
            keep &= np.isin(self.phase, [int(p) for p in phase])
        if initial_mass is not None:
            keep &= (self.initial_mass >= initial_mass[0]) & (self.initial_mass <= initial_mass[1])
        if finite:
            for magnitude in self.bands.values():
                keep &= np.isfinite(magnitude)
        if not keep.any():
            mass = f"{self.initial_mass[0]:.3f} to {self.initial_mass[-1]:.3f} Msun"
            raise ConfigError(
                f"the cut leaves no point of the isochrone (EEP {self.eep[0]:g} to {self.eep[-1]:g}, initial mass "
                f"{mass}, phases {sorted(set(self.phase.tolist()))})"
            )
        columns = {name: getattr(self, name)[keep] for name in (*_FLOAT_COLUMNS, "phase")}
        return replace(self, **columns, bands={name: values[keep] for name, values in self.bands.items()})

    def arc_length(self, bands: Sequence[str]) -> Floats:
        """Length along the curve in the space of some magnitudes, from 0 (lowest mass) to 1 (highest), shape (n,).

        This is the coordinate gamma of the photometric stream model (arXiv:2311.16960, section 2.6).

        Raises
        ------
        ConfigError
            When a magnitude is missing or the curve is a single point.
        """
        magnitudes = self.magnitudes(bands)
        if not np.isfinite(magnitudes).all():
            raise ConfigError("the arc length needs all magnitudes; drop the others first with cut(finite=True)")
        steps = np.linalg.norm(np.diff(magnitudes, axis=0), axis=1)
        if not steps.sum() > 0:
            raise ConfigError("the isochrone is a single point in these magnitudes; its arc length is zero")
        return np.asarray(np.concatenate([[0.0], np.cumsum(steps)]) / steps.sum())

    def at_eep(self, eep: ArrayLike) -> Isochrone:
        """Interpolate linearly in EEP; raises ConfigError outside the isochrone's range."""
        return self._at(eep, self.eep, "EEP")

    def at_initial_mass(self, mass: ArrayLike) -> Isochrone:
        """Interpolate linearly in initial mass (Msun); raises ConfigError outside the isochrone's range."""
        return self._at(mass, self.initial_mass, "initial mass")

    def at_arc_length(self, gamma: ArrayLike, bands: Sequence[str]) -> Isochrone:
        """Interpolate linearly in the normalized arc length of some magnitudes (see `arc_length`)."""
        return self._at(gamma, self.arc_length(bands), "arc length")

    def _at(self, new: ArrayLike, coordinate: Floats, name: str) -> Isochrone:
        target = np.atleast_1d(np.asarray(new, dtype=np.float64))
        if np.isnan(coordinate).any() or (np.diff(coordinate) < 0).any():
            raise ConfigError(f"{self.source or 'this isochrone'} cannot be interpolated in {name}: it does not grow")
        if target.ndim != 1 or not ((target >= coordinate[0]) & (target <= coordinate[-1])).all():
            raise ConfigError(
                f"{name} must be a number or a list inside {coordinate[0]:.6g} to {coordinate[-1]:.6g}, got {new!r}"
            )
        if len(coordinate) == 1:
            index, fraction = np.zeros(len(target), dtype=int), np.zeros(len(target))
            after = index
        else:
            index = np.clip(np.searchsorted(coordinate, target, side="right") - 1, 0, len(coordinate) - 2)
            after = index + 1
            width = coordinate[after] - coordinate[index]
            # an interval of no width: the point itself (the last mass of an isochrone is often repeated)
            fraction = np.where(width > 0, (target - coordinate[index]) / np.where(width > 0, width, 1.0), 1.0)

        def between(values: Floats) -> Floats:
            low, high = values[index], values[after]
            # a missing neighbor of weight zero must not make a native point missing
            return np.where(fraction == 0, low, np.where(fraction == 1, high, low + fraction * (high - low)))

        return replace(
            self,
            eep=between(self.eep),
            initial_mass=between(self.initial_mass),
            star_mass=between(self.star_mass),
            log_teff=between(self.log_teff),
            logg=between(self.logg),
            log_l=between(self.log_l),
            radius=10.0 ** between(np.log10(self.radius)),
            phase=np.where(fraction < 0.5, self.phase[index], self.phase[after]),
            bands={band: between(values) for band, values in self.bands.items()},
        )

    def asteroseismology(self) -> tuple[Floats, Floats]:
        """Large frequency separation and frequency of maximum power from the scaling relations, in microhertz.

        ``delta_nu = 135.1 sqrt(M / R^3)`` and ``nu_max = 3090 M / (R^2 sqrt(Teff / 5777 K))`` with M, R in solar units
        (1995A&A...293...87K; solar references of 2011ApJ...743..143H).

        Returns
        -------
        delta_nu, nu_max : shapes (n,).
        """
        delta_nu = SUN_DELTA_NU * np.sqrt(self.star_mass / self.radius**3)
        nu_max = SUN_NU_MAX * self.star_mass / self.radius**2 / np.sqrt(10.0**self.log_teff / SUN_TEFF_SEISMIC)
        return delta_nu, nu_max

    def to_table(self) -> QTable:
        """The isochrone as an astropy table with units; age, [Fe/H], extinction and source are in its ``meta``."""
        from astropy import units
        from astropy.table import QTable

        table = QTable({"eep": self.eep, "phase": self.phase})
        table["initial_mass"] = self.initial_mass * units.Msun
        table["star_mass"] = self.star_mass * units.Msun
        table["log_teff"], table["logg"], table["log_l"] = self.log_teff, self.logg, self.log_l
        table["radius"] = self.radius * units.Rsun
        for band, values in self.bands.items():
            table[band] = values * units.mag
        table.meta = {"age_gyr": self.age, "fe_h": self.fe_h, "a_v": self.a_v, "source": self.source}
        return table
