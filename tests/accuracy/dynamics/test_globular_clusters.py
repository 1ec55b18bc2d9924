"""Eight globular clusters of galpy's catalog: integrals of motion and turning points against independent values.

The values were computed with gala 1.11 and astropy's frame v4.0 in gala's MilkyWayPotential (v1), orbits over 5 Gyr;
energy in kpc^2/Myr^2, L in kpc^2/Myr, radii in kpc, written with the digits given here.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from starloom.dynamics.frames import GalacticFrame
from starloom.dynamics.integrals import angular_momentum, energy
from starloom.dynamics.orbits import integrate
from starloom.dynamics.potentials import potential

KPC_PER_MYR = 977.7922216807892  # km/s
CLUSTERS = {
    "NGC5139": (-0.1647, 0.546, 0.40, 1.81, 6.89),
    "NGC4590": (-0.0900, -2.406, 2.17, 9.02, 31.6),
    "NGC3201": (-0.0911, 2.782, 1.34, 8.37, 31.1),
    "NGC5272": (-0.1191, -0.914, 1.56, 5.17, 16.2),
    "NGC5024": (-0.1011, -0.695, 2.83, 9.11, 22.9),
    "NGC5053": (-0.1065, -0.664, 2.91, 10.98, 18.0),
    "NGC5824": (-0.0807, -2.582, 3.92, 15.2, 36.5),
    "NGC6101": (-0.0793, 3.018, 2.27, 10.1, 41.9),
}


def test_integrals_and_turning_points():
    import galpy.orbit

    catalog = json.loads((Path(galpy.orbit.__file__).parent / "named_objects.json").read_text())
    columns = ("ra", "dec", "distance", "pmra", "pmdec", "vlos")
    seen = np.array([[catalog[name][column] for column in columns] for name in CLUSTERS])
    wanted = np.array(list(CLUSTERS.values()))
    model, frame = potential("MilkyWayPotential"), GalacticFrame.named("astropy_v4.0")
    x, v = frame.to_galactocentric(*seen.T)
    momentum = angular_momentum(x, v) / KPC_PER_MYR
    orbits = integrate(model, x, v, np.linspace(0, 5, 2001))
    assert np.abs(energy(model, x, v) / KPC_PER_MYR**2 - wanted[:, 0]).max() < 1e-4
    assert np.abs(momentum[:, 2] - wanted[:, 1]).max() < 1e-3
    assert np.abs(orbits.l_perp / KPC_PER_MYR - wanted[:, 2]).max() < 0.02
    assert np.abs(orbits.pericenter / wanted[:, 3] - 1).max() < 0.01
    assert np.abs(orbits.apocenter / wanted[:, 4] - 1).max() < 0.01
    assert orbits.energy_error.max() < 1e-8
    retrograde = ~frame.prograde(momentum[:, 2])
    assert [name for name, flag in zip(CLUSTERS, retrograde, strict=True) if flag] == ["NGC5139", "NGC3201", "NGC6101"]
