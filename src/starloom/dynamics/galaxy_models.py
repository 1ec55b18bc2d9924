"""The numbers of the named potentials, each with where they are from."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

from starloom.dynamics.components import MassComponent
from starloom.dynamics.disk_tables import Bulge, Disk, DiskAndBulge
from starloom.dynamics.potentials import Potential

BOVY_2015 = "Bovy 2015, ApJS 216, 29 (arXiv:1412.3451)"
GALA = "Price-Whelan 2017, JOSS 2, 388 (gala)"


def _bovy_2014() -> Potential:
    """Each part is fixed by its share of the force that makes v_c(8 kpc) = 220 km/s."""
    disk = MassComponent("disk", "miyamoto_nagai", (1.0, 3.0, 0.28))
    bulge = MassComponent("bulge", "power_law_cutoff", (1.0, 1.8, 1.9))
    halo = MassComponent("halo", "nfw", (1.0, 16.0))
    shares = ((disk, 0.60), (bulge, 0.05), (halo, 0.35))
    parts = []
    for part, share in shares:
        unit = Potential("one solar mass", (part.scaled(1e10),)).circular_velocity(8.0) ** 2
        parts.append(part.scaled(1e10 * share * 220.0**2 / float(unit)))
    note = "Light: 0.8e12 Msun. galpy counts the bulge's potential from its center: its values differ by a constant."
    return Potential("MWPotential2014", tuple(parts), BOVY_2015, note)


def _gala_v1() -> Potential:
    parts = (
        MassComponent("disk", "miyamoto_nagai", (6.8e10, 3.0, 0.28)),
        MassComponent("bulge", "hernquist", (5e9, 1.0)),
        MassComponent("nucleus", "hernquist", (1.71e9, 0.07)),
        MassComponent("halo", "nfw", (5.4e11, 15.62)),
    )
    return Potential(
        "MilkyWayPotential", parts, f"{GALA}; disk of {BOVY_2015}", "gala's MilkyWayPotential, version v1."
    )


# Three Miyamoto-Nagai disks for an exponential one with h_R = 2.6, h_z = 0.3 kpc (sech^2), after Smith et al. 2015,
# MNRAS 448, 2934 (arXiv:1502.00627): mass in units of the disk's, a and b in kpc.
_THREE_DISKS = (
    (0.16497908499488217, 1.5259431976529216, 0.20663742603550295),
    (-5.776247918861864, 6.782764436261113, 0.20663742603550295),
    (6.71916547347798, 5.894799616164217, 0.20663742603550295),
)


def _gala_v2() -> Potential:
    parts = (
        *(MassComponent("disk", "miyamoto_nagai", (4.7717e10 * mass, a, b)) for mass, a, b in _THREE_DISKS),
        MassComponent("bulge", "hernquist", (5e9, 1.0)),
        MassComponent("nucleus", "hernquist", (1.8142e9, 0.0688867)),
        MassComponent("halo", "nfw", (5.5427e11, 15.626)),
    )
    citation = (
        f"{GALA}; fitted to Eilers et al. 2019 (arXiv:1810.09466) and Darragh-Ford et al. 2023 (arXiv:2302.09086)"
    )
    return Potential("MilkyWayPotential2022", parts, citation, "gala's MilkyWayPotential, version v2.")


def _marchetti_2017() -> Potential:
    parts = (
        MassComponent("bulge", "hernquist", (3.4e10, 0.7)),
        MassComponent("disk", "miyamoto_nagai", (1e11, 6.5, 0.26)),
        MassComponent("halo", "nfw", (0.76e12, 24.8)),
        MassComponent("black hole", "plummer", (4e6, 1e-5)),
    )
    note = "Kenyon et al.'s form with a softened black hole of 4e6 Msun; for stars launched near Sgr A*."
    return Potential("Marchetti2017", parts, "Marchetti et al. 2017, MNRAS 470, 1388 (arXiv:1704.07990)", note)


def _mcmillan_2017() -> Potential:
    per_area, per_volume = 1e6, 1e9  # pc to kpc
    disks = (
        Disk(896.0 * per_area, 2.5, 0.3),
        Disk(183.0 * per_area, 3.02, 0.9),
        Disk(53.1 * per_area, 7.0, 0.085, hole=4.0, sech2=True),
        Disk(2180.0 * per_area, 1.5, 0.045, hole=12.0, sech2=True),
    )
    bulge = Bulge(98.4 * per_volume, 0.075, 2.1, 1.8, 0.5)
    scale = 19.6
    halo = MassComponent("halo", "nfw", (0.00854 * per_volume * 4.0 * math.pi * scale**3, scale))
    parts = (DiskAndBulge("disks, gas and bulge", disks, bulge), halo)
    note = (
        "Best fit of table 3; solved here to the published density (multipoles up to 60), not galpy's expansion of it."
    )
    return Potential("McMillan17", parts, "McMillan 2017, MNRAS 465, 76 (arXiv:1608.00971)", note)


def _light() -> Potential:
    model = _bovy_2014()
    return Potential("light", model.components, model.citation, f"MWPotential2014 as the light variant. {model.note}")


def _heavy() -> Potential:
    parts = (
        MassComponent("disk", "miyamoto_nagai", (5.5e10, 3.0, 0.28)),
        MassComponent("bulge", "hernquist", (4e9, 1.0)),
        MassComponent("halo", "flattened_nfw", (7e11, 15.62, 0.95)),
    )
    note = "1.25e12 Msun inside r_200; the halo's potential is flattened, q = 0.95."
    return Potential("heavy", parts, "Bonaca et al. 2021, ApJL 909, L26 (arXiv:2012.09171), its heavy variant", note)


_MODELS: dict[str, Callable[[], Potential]] = {
    "MilkyWayPotential": _gala_v1,
    "MilkyWayPotential2022": _gala_v2,
    "MWPotential2014": _bovy_2014,
    "McMillan17": _mcmillan_2017,
    "Marchetti2017": _marchetti_2017,
    "light": _light,
    "heavy": _heavy,
}


def names() -> tuple[str, ...]:
    """Names of the models."""
    return tuple(_MODELS)


@functools.cache
def build(name: str) -> Potential:
    """Make a model; made once."""
    return _MODELS[name]()
