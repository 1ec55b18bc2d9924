"""What carries ejected stars into a catalog: the Galaxy, their evolution, dust, and a release of Gaia."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from starloom.dynamics.frames import GALACTIC, GalacticFrame, sky_axes
from starloom.dynamics.potentials import Potential
from starloom.galactic_center.detection import Candidate, Detected, SelectionFunction, detect
from starloom.galactic_center.ejection import CenterStars, Ejected, eject
from starloom.galactic_center.evolution import Physics, StellarTracks
from starloom.galactic_center.flight import TOLERANCE, Flown, fly, frame_for, galaxy
from starloom.galactic_center.photometry import Magnitudes, Photometer
from starloom.galactic_center.scenario import Scenario
from starloom.seeds import generator
from starloom.simulation.gaia_errors import Release

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.stellar.extinction import DustMap

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
    tolerance: float = TOLERANCE

    @classmethod
    def real(cls, potential: str = "Marchetti2017", dust: DustMap | None = None, **more: Any) -> Sky:
        """MIST tracks and bolometric corrections of the datasets, and dust; the exponential disk where none is given.

        Raises
        ------
        DatasetError
            When a stellar model cannot be had here.
        ConfigError
            When the potential is unknown.
        """
        from starloom.datasets.access import locate
        from starloom.stellar.extinction import ExponentialDust
        from starloom.stellar.photometry import BolometricCorrections

        corrections = BolometricCorrections.open(locate("bolometric_corrections").path)
        photometer = Photometer(corrections, ExponentialDust() if dust is None else dust)
        return cls(galaxy(potential), StellarTracks.mist(), photometer, **more)

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
        selection: SelectionFunction | None = None,
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
    x, y, z = GALACTIC @ sky_axes(np.asarray(ra, dtype=float), np.asarray(dec, dtype=float))[0].T
    return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))


def simulate(
    sky: Sky,
    scenario: Scenario,
    stars: CenterStars,
    release: Release,
    *,
    rule: Candidate | None = None,
    count: int | None = None,
    span: float = 100.0,
    noise: int = 1,
    seed: int,
    workers: int | None = None,
) -> QTable:
    """The catalog of one binary: stars thrown out, flown to today, measured.

    Parameters
    ----------
    sky : Galaxy, evolution, dust.
    scenario, stars : the binary and the stars around it.
    release : of Gaia.
    rule : what a candidate is.
    count : stars thrown out; by default a Poisson number about what the lost mass makes.
    span : longest flight, Myr.
    noise : measurements drawn for each star.
    seed : of all draws.
    workers : threads; the result does not depend on it.

    Returns
    -------
    QTable
        One row a star, possibly none. ``p_velocity``: probability that the release has its velocity; ``p_candidate``:
        that it would be called a candidate; ``reason``: why a row cannot be trusted (dead today, or badly flown).
    """
    ejected = eject(scenario, stars, sky.tracks, span=span, count=count, seed=generator(seed))
    arrived = sky.observe(ejected, workers)
    found = arrived.detected(sky, release, rule or Candidate(), noise=noise, seed=seed, workers=workers)
    table = catalog_table(arrived, p_velocity=found.measured, p_candidate=found.candidate)
    table.meta |= {"scenario": scenario.label, "potential": sky.model.name, "release": release.name, "seed": seed}
    return table


def catalog_table(arrived: Arrived, **more: Any) -> QTable:
    """A catalog of stars as a table with units."""
    import astropy.units as u
    from astropy.table import QTable

    e, f, p, m = arrived.ejected, arrived.flown, arrived.physics, arrived.magnitudes
    motion, speed = u.mas / u.yr, u.km / u.s
    seen = f.seen
    reason = np.where(e.alive, f.reason, "not alive today")
    table = QTable(
        {
            "ra": seen.ra * u.deg, "dec": seen.dec * u.deg, "l": arrived.l * u.deg, "b": arrived.b * u.deg,
            "distance": seen.distance * u.kpc, "pmra": seen.pmra * motion, "pmdec": seen.pmdec * motion,
            "radial_velocity": seen.radial_velocity * speed, "galactocentric_speed": f.speed * speed,
            "ejection_speed": e.speed * speed, "flight_time": e.flight_time * u.Myr,
            "initial_mass": e.mass * u.Msun, "fe_h": e.fe_h, "age": e.age * u.Gyr, "lifetime": e.lifetime * u.Gyr,
            "teff": 10.0**p.log_teff * u.K, "logg": p.logg, "log_l": p.log_l,
            "phot_g_mean_mag": m.g * u.mag, "bp_rp": (m.bp - m.rp) * u.mag, "grvs_mag": m.g_rvs * u.mag,
            "a_v": m.a_v * u.mag, "energy_error": f.energy_error, "center_passages": f.returns, "reason": reason,
        }
    )  # fmt: skip
    for k, name in enumerate("xyz"):
        table[name], table[f"v_{name}"] = f.x[:, k] * u.kpc, f.v[:, k] * speed
    for name, values in more.items():
        table[name] = values
    return table
