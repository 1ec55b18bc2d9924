"""One weighted library of ejected stars that serves every binary: stars are flown once and weighted anew for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from starloom.dynamics.frames import GalacticFrame
from starloom.dynamics.potentials import Potential
from starloom.errors import ConfigError
from starloom.galactic_center.detection import Candidate, Detected, Selection, detect
from starloom.galactic_center.ejection import Ejected, Lifetimes, Stars, VelocityLaw
from starloom.galactic_center.evolution import Physics, StellarTracks
from starloom.galactic_center.flight import Flown, fly, frame_for
from starloom.galactic_center.gaia import Release
from starloom.galactic_center.photometry import Magnitudes, Photometer
from starloom.galactic_center.proposal import Proposal
from starloom.galactic_center.scenario import Scenario
from starloom.seeds import generator

if TYPE_CHECKING:
    from astropy.table import QTable

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sky:
    """What carries stars from the center into a catalog.

    Parameters
    ----------
    model : potential with its black hole (:func:`starloom.galactic_center.flight.galaxy`).
    tracks : stellar evolution.
    photometer : magnitudes through dust.
    frame : the Sun; by default at 8.122 kpc with the potential's circular speed.
    tolerance : of the flight.
    """

    model: Potential
    tracks: StellarTracks
    photometer: Photometer
    frame: GalacticFrame | None = None
    tolerance: float = 1e-9

    @property
    def sun(self) -> GalacticFrame:
        """The frame in use."""
        return self.frame or frame_for(self.model)

    def observe(self, ejected: Ejected, workers: int | None = None) -> Arrived:
        """Fly stars to today and give them magnitudes."""
        flown = fly(
            self.model, self.sun, ejected.speed, ejected.direction, ejected.flight_time,
            tolerance=self.tolerance, workers=workers,
        )  # fmt: skip
        physics = self.tracks.at(ejected.mass, np.where(ejected.alive, ejected.age, np.nan), ejected.fe_h)
        l, b = galactic(flown.seen.ra, flown.seen.dec)
        magnitudes = self.photometer.magnitudes(physics, ejected.fe_h, l, b, flown.seen.distance)
        return Arrived(ejected, flown, physics, magnitudes, l, b)


@dataclass(frozen=True)
class Arrived:
    """Ejected stars as they are today, one entry a star in every part."""

    ejected: Ejected
    flown: Flown
    physics: Physics
    magnitudes: Magnitudes
    l: Array
    b: Array

    def __len__(self) -> int:
        return len(self.ejected)

    def detected(
        self,
        sky: Sky,
        release: Release,
        rule: Candidate,
        *,
        seed: int,
        noise: int = 1,
        selection: Selection | None = None,
        workers: int | None = None,
    ) -> Detected:
        """What a release would make of them; a star with a reason is no candidate."""
        found = detect(
            self.flown.seen, self.magnitudes, 10.0**self.physics.log_teff, self.physics.logg, release, rule, sky.sun,
            sky.model, noise=noise, seed=seed, selection=selection, workers=workers,
        )  # fmt: skip
        sound = (self.flown.reason == "") & self.ejected.alive
        return found._replace(measured=found.measured * sound, candidate=found.candidate * sound)

    def table(self) -> QTable:
        """The catalog with units, one row a star; ``reason`` says why a row cannot be trusted."""
        return catalog_table(self)


def galactic(ra: Array, dec: Array) -> tuple[Array, Array]:
    """Galactic longitude in [0, 360) and latitude (deg) of ICRS positions (deg)."""
    from starloom.dynamics.frames import sky_axes

    x, y, z = _TO_GALACTIC @ sky_axes(np.asarray(ra, dtype=float), np.asarray(dec, dtype=float))[0].T
    return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))


# ICRS to Galactic, as the Hipparcos catalog defines it (ESA SP-1200, section 1.5.3)
_TO_GALACTIC = np.array(
    [
        [-0.0548755604162154, -0.8734370902348850, -0.4838350155487132],
        [+0.4941094278755837, -0.4448296299600112, +0.7469822444972189],
        [-0.8676661490190047, -0.1980763734312015, +0.4559837761750669],
    ]
)


@dataclass(frozen=True)
class StarLibrary:
    """Stars flown once.

    Parameters
    ----------
    arrived : the stars today.
    density : they were drawn with, per Myr, km/s and Msun (n,).
    proposal, lives : how they were drawn.
    """

    arrived: Arrived
    density: Array
    proposal: Proposal
    lives: Lifetimes

    @classmethod
    def build(
        cls,
        sky: Sky,
        count: int,
        *,
        stars: Stars | None = None,
        proposal: Proposal | None = None,
        seed: int | np.random.Generator,
        workers: int | None = None,
    ) -> StarLibrary:
        """Draw stars, fly them, make them shine.

        Parameters
        ----------
        sky : galaxy, stars' evolution, dust.
        count : stars to draw. Those that die on the way are not flown; their share is kept in the weights.
        stars : ranges of masses and metallicities; slope and ages are chosen at weighting.
        proposal : how they are drawn.
        seed : of all draws.

        Raises
        ------
        ConfigError
            When count is not positive.
        """
        if count < 1:
            raise ConfigError(f"a library needs at least one star, got {count}")
        chosen, how = stars or Stars(), proposal or Proposal()
        ejected, density = how.draw(count, chosen, sky.tracks, sky.sun.sun.x, generator(seed))
        rows = np.flatnonzero(ejected.alive)
        arrived = sky.observe(ejected.take(rows), workers)
        return cls(arrived, density[rows] * count, how, sky.tracks)

    def __len__(self) -> int:
        return len(self.arrived)

    def take(self, rows: NDArray[np.int64], stars: Stars) -> Weighing:
        """Some of the stars, ready to be weighed for many binaries."""
        return Weighing(self.arrived.ejected.take(rows), self.star_density(stars)[rows] / self.density[rows])

    def weights(self, scenario: Scenario, stars: Stars, rows: NDArray[np.int64] | None = None) -> Array:
        """Expected number of stars in the Galaxy that each star of the library stands for.

        Parameters
        ----------
        scenario : binary and state.
        stars : mass function and ages.
        rows : only these stars (for those that can be detected at all).

        Returns
        -------
        ndarray
            (n,) or one for each row.
        """
        return self.take(np.arange(len(self)) if rows is None else rows, stars).weights(scenario)

    def star_density(self, stars: Stars) -> Array:
        """Stars of each one's mass and age per Msun of mass interval and Msun thrown out; the same for all binaries."""
        e = self.arrived.ejected
        return stars.per_mass(e.mass, e.lifetime, self.lives) * stars.age_pdf(e.fraction, e.lifetime)


@dataclass(frozen=True)
class Weighing:
    """Stars of a library with the part of their weights that no binary changes."""

    ejected: Ejected
    factor: Array

    def weights(self, scenario: Scenario) -> Array:
        """Expected number of stars in the Galaxy that each star stands for (n,)."""
        separation = scenario.separation_then(self.ejected.flight_time)
        there = np.isfinite(separation)
        a = np.where(there, separation, 1e-3)
        law = VelocityLaw(scenario.binary.circular_speed(a), scenario.binary.ratio)
        return np.where(there, scenario.binary.mass_rate(a), 0.0) * law.pdf(self.ejected.speed) * self.factor


def catalog_table(arrived: Arrived, **more: Any) -> QTable:
    """A catalog of stars as a table with units."""
    import astropy.units as u
    from astropy.table import QTable

    e, f, p, m = arrived.ejected, arrived.flown, arrived.physics, arrived.magnitudes
    motion, speed = u.mas / u.yr, u.km / u.s
    seen = f.seen
    table = QTable(
        {
            "ra": seen.ra * u.deg, "dec": seen.dec * u.deg, "l": arrived.l * u.deg, "b": arrived.b * u.deg,
            "distance": seen.distance * u.kpc, "pmra": seen.pmra * motion, "pmdec": seen.pmdec * motion,
            "radial_velocity": seen.radial_velocity * speed, "galactocentric_speed": f.speed * speed,
            "ejection_speed": e.speed * speed, "flight_time": e.flight_time * u.Myr,
            "initial_mass": e.mass * u.Msun, "fe_h": e.fe_h, "age": e.age * u.Gyr, "lifetime": e.lifetime * u.Gyr,
            "teff": 10.0**p.log_teff * u.K, "logg": p.logg, "log_l": p.log_l,
            "phot_g_mean_mag": m.g * u.mag, "bp_rp": (m.bp - m.rp) * u.mag, "grvs_mag": m.g_rvs * u.mag,
            "a_v": m.a_v * u.mag, "energy_error": f.energy_error, "center_passages": f.returns, "reason": f.reason,
        }
    )  # fmt: skip
    for k, name in enumerate("xyz"):
        table[name], table[f"v_{name}"] = f.x[:, k] * u.kpc, f.v[:, k] * speed
    for name, values in more.items():
        table[name] = values
    return table
