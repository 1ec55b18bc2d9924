"""A made list of fast stars with truth: some thrown out of the center, some of the halo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from starloom.galactic_center.ejection import isotropic
from starloom.galactic_center.flight import fly, frame_for, galaxy
from starloom.seeds import generator

if TYPE_CHECKING:
    from astropy.table import QTable


def make(potential: str = "Marchetti2017", seed: int | np.random.Generator = 1, count: int = 40) -> QTable:
    """Ejected stars (``from_center`` true, with ``true_ejection_speed`` and ``true_flight_time``) and as many others.

    Parameters
    ----------
    potential : name of the Galaxy's potential.
    seed : of all draws.
    count : stars of each kind.

    Returns
    -------
    QTable
        The columns of a traceback with errors of 3 % in distance, 0.05 mas/yr and 2 km/s.
    """
    from astropy import units as u
    from astropy.table import QTable

    rng = generator(seed)
    model = galaxy(potential)
    frame = frame_for(model)
    speed, time = rng.uniform(900.0, 1800.0, count), rng.uniform(3.0, 25.0, count)
    flown = fly(model, frame, speed, isotropic(count, rng), time)
    place = 8.0 * isotropic(count, rng) * rng.uniform(0.3, 1.5, count)[:, None]
    halo = frame.to_icrs(place, 250.0 * isotropic(count, rng))
    both = [np.concatenate([a, b]) for a, b in zip(flown.seen, halo, strict=True)]
    ra, dec, distance, pmra, pmdec, velocity = both
    size = 2 * count
    measured = {
        "distance": (distance * (1.0 + 0.03 * rng.standard_normal(size)), 0.03 * distance, u.kpc),
        "pmra": (pmra + 0.05 * rng.standard_normal(size), np.full(size, 0.05), u.mas / u.yr),
        "pmdec": (pmdec + 0.05 * rng.standard_normal(size), np.full(size, 0.05), u.mas / u.yr),
        "radial_velocity": (velocity + 2.0 * rng.standard_normal(size), np.full(size, 2.0), u.km / u.s),
    }
    table = QTable({"name": [f"star {k}" for k in range(size)], "ra": ra * u.deg, "dec": dec * u.deg})
    for name, (value, error, unit) in measured.items():
        table[name], table[f"{name}_error"] = value * unit, error * unit
    table["from_center"] = np.arange(size) < count
    nothing = np.full(count, np.nan)
    table["true_ejection_speed"] = np.concatenate([speed, nothing]) * u.km / u.s
    table["true_flight_time"] = np.concatenate([time, nothing]) * u.Myr
    return table
