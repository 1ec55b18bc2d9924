"""Made stars with known ages from the same models, computed without the lattice: what ages are tested on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from starloom.errors import ConfigError
from starloom.seeds import generator
from starloom.stellar.age_schema import band_column
from starloom.stellar.isochrone_grids import IsochroneGrid
from starloom.stellar.isochrones import SUN_MBOL
from starloom.stellar.mass_functions import kroupa_2001
from starloom.stellar.photometry import BolometricCorrections

if TYPE_CHECKING:
    from astropy.table import QTable

Floats = NDArray[np.float64]
MOST_IN_WINDOW = 0.12  # of all stars of a population
TYPICAL_MAGNITUDE = 3.7  # absolute, in the first band, of turn-off stars
Draw = Callable[[np.random.Generator], float]


@dataclass(frozen=True)
class Errors:
    """Errors of made measurements.

    None of them may depend on what is to be found: an error in proportion to the true parallax would tell the
    distance. The parallax's error is a share of the parallax that a star of absolute magnitude ``TYPICAL_MAGNITUDE``
    would have at the apparent magnitude that was measured in the first band, much as Gaia's errors follow from G.

    Parameters
    ----------
    teff : K.
    logg, fe_h : dex.
    magnitude : mag.
    parallax : share of the parallax, in the median.
    """

    teff: float = 80.0
    logg: float = 0.05
    fe_h: float = 0.08
    magnitude: float = 0.02
    parallax: float = 0.1


@dataclass(frozen=True)
class MadeStars:
    """How stars are made: each from an isochrone of its own, with a mass from the mass function.

    Parameters
    ----------
    grid, corrections, bands : the models and the magnitudes.
    age : draws an age in Gyr.
    fe_h : draws [Fe/H].
    distance : draws a distance in kpc; by default from d^2 exp(-d / 2 kpc).
    a_v, a_v_error : extinction, drawn from that normal cut at zero.
    logg : window of the measured log g; the true one may lie up to 6 errors outside.
    fe_h_window : of the measured [Fe/H]; None for all. A prior flat in [Fe/H] fits stars whose true [Fe/H] is cut off
        nowhere near their measurements: draw it from a wider range and cut what was measured.
    errors : of the measurements.
    """

    grid: IsochroneGrid
    corrections: BolometricCorrections
    bands: Sequence[str]
    age: Draw
    fe_h: Draw
    distance: Draw = lambda rng: float(rng.gamma(3.0, 2.0))
    a_v: float = 0.05
    a_v_error: float = 0.02
    logg: tuple[float, float] = (3.8, 4.3)
    fe_h_window: tuple[float, float] | None = None
    errors: Errors = Errors()

    def sample(self, count: int, seed: int | np.random.Generator) -> QTable:
        """Draw stars; the truth is in ``true_age``, ``true_initial_mass``, ``true_eep``, ``true_fe_h``,
        ``true_distance``, ``true_a_v``.

        Raises
        ------
        ConfigError
            When hardly any star falls into the window, or the extinction is negative.
        """
        from astropy import units as u
        from astropy.table import QTable

        if self.a_v < 0 or self.a_v_error < 0:
            raise ConfigError(f"an extinction and its error are not negative, got {self.a_v:g} and {self.a_v_error:g}")
        rng, tries = generator(seed), 0
        stars: list[dict[str, float]] = []
        while len(stars) < count:
            tries += 1
            if tries > 2000 + 500 * count:
                raise ConfigError(
                    f"hardly any made star has a log g of {self.logg}; choose other ages or a wider window"
                )
            star = self._one(rng)
            if star is not None:
                stars.append(star)
        columns = {name: np.array([star[name] for star in stars]) for name in stars[0]}
        unit = {"true_age": u.Gyr, "true_initial_mass": u.Msun, "true_distance": u.kpc, "true_a_v": u.mag}
        unit |= {"teff": u.K, "teff_error": u.K, "parallax": u.mas, "parallax_error": u.mas}
        unit |= dict.fromkeys(("a_v", "a_v_error"), u.mag)
        for band in self.bands:
            unit |= dict.fromkeys((band_column(band), f"{band_column(band)}_error"), u.mag)
        table = QTable({"source_id": np.arange(1, count + 1)})
        for name, values in columns.items():
            table[name] = values * unit[name] if name in unit else values
        return table

    def _one(self, rng: np.random.Generator) -> dict[str, float] | None:
        imf, errors = kroupa_2001(), self.errors
        age, iron = self.age(rng), self.fe_h(rng)
        iron_seen = iron + errors.fe_h * rng.normal()
        if self.fe_h_window is not None and not self.fe_h_window[0] < iron_seen < self.fe_h_window[1]:
            return None
        isochrone = self.grid.isochrone(age, iron).cut(eep=(202, 605))
        room = 6.0 * errors.logg
        inside = (isochrone.logg > self.logg[0] - room) & (isochrone.logg < self.logg[1] + room)
        both = inside[1:] & inside[:-1]
        if not both.any():
            return None
        edges = imf.cdf(np.maximum.accumulate(isochrone.initial_mass))
        weight = np.where(both, np.diff(edges), 0.0)
        # an isochrone is kept in proportion to the stars it puts into the window: less than 8 % beyond a Gyr
        if rng.random() > weight.sum() / MOST_IN_WINDOW:
            return None
        place = int(rng.choice(len(weight), p=weight / weight.sum()))
        mass = float(imf.ppf(edges[place] + rng.random() * (edges[place + 1] - edges[place])))
        star = isochrone.at_initial_mass([min(mass, float(isochrone.initial_mass[-1]))])
        logg = float(star.logg[0]) + errors.logg * rng.normal()
        if not self.logg[0] < logg < self.logg[1]:
            return None
        dust, distance = self._dust(rng), self.distance(rng)
        teff = float(10.0 ** star.log_teff[0])
        correction = self.corrections.corrections([teff], star.logg, iron, self.bands, dust)[0]
        absolute = SUN_MBOL - 2.5 * float(star.log_l[0]) - correction
        found = {
            "true_age": age,
            "true_initial_mass": float(star.initial_mass[0]),
            "true_eep": float(star.eep[0]),
            "true_fe_h": iron,
            "true_distance": distance,
            "true_a_v": dust,
            "teff": teff + errors.teff * rng.normal(),
            "teff_error": errors.teff,
            "logg": logg,
            "logg_error": errors.logg,
            "fe_h": iron_seen,
            "fe_h_error": errors.fe_h,
            "a_v": self.a_v,
            "a_v_error": self.a_v_error,
        }
        for band, magnitude in zip(self.bands, absolute, strict=True):
            seen = magnitude + 5.0 * np.log10(distance) + 10.0 + errors.magnitude * rng.normal()
            found |= {band_column(band): float(seen), f"{band_column(band)}_error": errors.magnitude}
        first = found[band_column(self.bands[0])]
        error = errors.parallax * float(10.0 ** (2.0 - 0.2 * (first - TYPICAL_MAGNITUDE)))
        return found | {"parallax": 1.0 / distance + error * rng.normal(), "parallax_error": error}

    def _dust(self, rng: np.random.Generator) -> float:
        while True:
            dust = self.a_v + self.a_v_error * float(rng.normal())
            if dust >= 0.0:
                return dust
