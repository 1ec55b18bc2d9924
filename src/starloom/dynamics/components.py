"""The building blocks of potentials: what each is called, its numbers, and what it is called in gala and galpy."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starloom.dynamics import force_kernels as kernels
from starloom.dynamics.disk_tables import DiskAndBulge
from starloom.errors import ConfigError

Array = NDArray[np.float64]
G = 4.300917270036279e-06  # kpc (km/s)^2 / Msun, CODATA 2018 as in astropy
TABLE_RADII = (1e-6, 1e4)  # kpc, of tabulated spherical components
TABLE_CELLS = 600

# Each kind: the numbers it needs, after a mass (Msun) or, for the logarithmic one, a circular speed (km/s). kpc.
PARAMETERS: dict[str, tuple[str, ...]] = {
    "miyamoto_nagai": ("mass", "a", "b"),
    "hernquist": ("mass", "c"),
    "nfw": ("mass", "r_s"),
    "plummer": ("mass", "b"),
    "flattened_nfw": ("mass", "r_s", "q"),
    "isochrone": ("mass", "b"),
    "logarithmic": ("v_c", "r_c", "q"),
    "kuzmin_kutuzov": ("mass", "a", "c"),
    "power_law_cutoff": ("mass", "alpha", "r_c"),
}
_KINDS = {
    "miyamoto_nagai": kernels.MIYAMOTO_NAGAI,
    "hernquist": kernels.HERNQUIST,
    "nfw": kernels.NFW,
    "plummer": kernels.PLUMMER,
    "flattened_nfw": kernels.FLATTENED_NFW,
    "isochrone": kernels.ISOCHRONE,
    "logarithmic": kernels.LOGARITHMIC,
    "kuzmin_kutuzov": kernels.KUZMIN_KUTUZOV,
    "power_law_cutoff": kernels.SPHERICAL_TABLE,
}


@dataclass(frozen=True)
class MassComponent:
    """One part of a galaxy.

    Parameters
    ----------
    name : "disk", "halo" and so on.
    kind : a key of ``PARAMETERS``.
    values : its numbers in the order given there; masses in Msun, lengths in kpc, speeds in km/s.

    Raises
    ------
    ConfigError
        When the kind is unknown or a number is missing, not finite, or a scale is not positive.

    Examples
    --------
    >>> MassComponent("halo", "nfw", (5.4e11, 15.62))["r_s"]
    15.62
    """

    name: str
    kind: str
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.kind not in PARAMETERS:
            raise ConfigError(f"{self.name}: no component {self.kind!r}; there are {', '.join(PARAMETERS)}")
        names = PARAMETERS[self.kind]
        if len(self.values) != len(names) or not all(math.isfinite(value) for value in self.values):
            raise ConfigError(f"{self.name}: a {self.kind} needs finite numbers for {', '.join(names)}")
        free = ("mass", "b", "r_c", "a") if self.kind != "power_law_cutoff" else ("mass",)
        for name, value in zip(names, self.values, strict=True):
            if (value < 0 and name != "mass") or (value == 0 and name not in free):
                raise ConfigError(f"{self.name}: {name} of a {self.kind} must be positive, got {value:g}")

    def __getitem__(self, name: str) -> float:
        return self.values[PARAMETERS[self.kind].index(name)]

    @property
    def numbers(self) -> dict[str, float]:
        """Its parameters by name, for a record."""
        return dict(zip(PARAMETERS[self.kind], self.values, strict=True))

    def scaled(self, factor: float) -> MassComponent:
        """The same with its mass (or the square of its speed) times a factor."""
        first = self.values[0] * (math.sqrt(factor) if self.kind == "logarithmic" else factor)
        return MassComponent(self.name, self.kind, (first, *self.values[1:]))

    def packed(self) -> tuple[int, list[float]]:
        """Kind and numbers for the compiled functions."""
        if self.kind == "power_law_cutoff":
            return _KINDS[self.kind], spherical_table(*_cutoff_profile(*self.values))
        first = self.values[0] ** 2 if self.kind == "logarithmic" else G * self.values[0]
        return _KINDS[self.kind], [first, *self.values[1:]]


Profile = Callable[[Array], Array]


def _cutoff_profile(mass: float, alpha: float, r_c: float) -> tuple[Profile, Profile, Profile]:
    """Potential, enclosed G M, and 4 pi G density of rho ~ r^-alpha exp(-(r/r_c)^2); the potential is zero at infinity.

    Bovy 2015 (1412.3451), section 3.5 has the density; the integrals are incomplete gamma functions.
    """
    from scipy.special import gamma, gammainc, gammaincc

    if not 0 <= alpha < 2:
        raise ConfigError(f"the slope of a power law with a cut-off must be in [0, 2), got {alpha:g}")
    gm, inner, outer = G * mass, 1.5 - 0.5 * alpha, 1.0 - 0.5 * alpha

    def enclosed(r: Array) -> Array:
        return np.asarray(gm * gammainc(inner, (r / r_c) ** 2))

    def value(r: Array) -> Array:
        shells = gm / r_c * gamma(outer) / gamma(inner) * gammaincc(outer, (r / r_c) ** 2)
        return np.asarray(-enclosed(r) / r - shells)

    def density(r: Array) -> Array:
        return np.asarray(2.0 * gm / (gamma(inner) * r_c**3) * (r / r_c) ** -alpha * np.exp(-((r / r_c) ** 2)))

    return value, enclosed, density


def spherical_table(value: Profile, enclosed: Profile, density: Profile) -> list[float]:
    """Quintic pieces of a spherical potential in u = ln r, as the compiled functions read them.

    Value, slope and curvature are exact at the knots, so the force is continuous to its second derivative; with the
    knots used here it is right to about 1e-13. Beyond the table the enclosed mass goes on as a power law.

    Parameters
    ----------
    value, enclosed, density : functions of r (kpc): the potential, G M(<r), and 4 pi G times the density.
    """
    low, high = (math.log(r) for r in TABLE_RADII)
    step = (high - low) / TABLE_CELLS
    u = low + step * np.arange(TABLE_CELLS + 1)
    r = np.exp(u)
    phi, mass, rho = value(r), enclosed(r), density(r)
    first = mass / r * step  # dPhi/du, per cell
    second = (rho * r * r - mass / r) * step * step
    rise = phi[1:] - phi[:-1]
    a, b = first[:-1], first[1:]
    p, q = second[:-1], second[1:]
    # quintic Hermite: 0, 1 and 2 derivatives at both ends of a cell of unit length
    d0, d1, d2 = rise - a - 0.5 * p, b - a - p, q - p
    cells = np.stack(
        [phi[:-1], a, 0.5 * p, 10 * d0 - 4 * d1 + 0.5 * d2, -15 * d0 + 7 * d1 - d2, 6 * d0 - 3 * d1 + 0.5 * d2]
    )
    ends: list[float] = []
    for end in (0, -1):
        power = float(rho[end] * r[end] ** 3 / mass[end])  # d ln M / d ln r
        power = power if abs(power - 1.0) > 1e-6 else 1.0 + 1e-6
        ends += [float(phi[end]), float(mass[end] / r[end]), power]
    return [float(TABLE_CELLS), low, 1.0 / step, *ends, *cells.T.ravel().tolist()]


def gala_component(component: MassComponent | DiskAndBulge) -> Any | None:
    """The component as a gala potential, or None where gala has none of the kind."""
    import astropy.units as u
    from gala.potential import (
        HernquistPotential,
        IsochronePotential,
        MiyamotoNagaiPotential,
        NFWPotential,
        PlummerPotential,
        PowerLawCutoffPotential,
    )
    from gala.units import galactic

    c, kpc = component, u.kpc
    if isinstance(c, DiskAndBulge) or c.kind in ("logarithmic", "kuzmin_kutuzov"):
        return None
    mass = c["mass"] * u.Msun
    if c.kind == "miyamoto_nagai":
        return MiyamotoNagaiPotential(mass, c["a"] * kpc, c["b"] * kpc, units=galactic)
    if c.kind == "hernquist":
        return HernquistPotential(mass, c["c"] * kpc, units=galactic)
    if c.kind == "nfw":
        return NFWPotential(mass, c["r_s"] * kpc, units=galactic)
    if c.kind == "flattened_nfw":
        return NFWPotential(mass, c["r_s"] * kpc, c=c["q"], units=galactic)
    if c.kind == "plummer":
        return PlummerPotential(mass, c["b"] * kpc, units=galactic)
    if c.kind == "isochrone":
        return IsochronePotential(mass, c["b"] * kpc, units=galactic)
    return PowerLawCutoffPotential(mass, c["alpha"], c["r_c"] * kpc, units=galactic)


def galpy_component(component: MassComponent | DiskAndBulge, ro: float, vo: float) -> Any | None:
    """The component as a galpy potential in units of ro (kpc) and vo (km/s), or None where galpy has none of the kind.

    galpy measures a power law with a cut-off from its own center: its potential differs by a constant.
    """
    from galpy import potential as galpy
    from scipy.special import gamma

    c, scales = component, {"ro": ro, "vo": vo}
    if isinstance(c, DiskAndBulge) or c.kind in ("logarithmic", "flattened_nfw"):
        return None
    amp = G * c["mass"] / (vo * vo * ro)
    if c.kind == "miyamoto_nagai":
        return galpy.MiyamotoNagaiPotential(amp=amp, a=c["a"] / ro, b=c["b"] / ro, **scales)
    if c.kind == "hernquist":
        return galpy.HernquistPotential(amp=2 * amp, a=c["c"] / ro, **scales)
    if c.kind == "nfw":
        return galpy.NFWPotential(amp=amp, a=c["r_s"] / ro, **scales)
    if c.kind == "plummer":
        return galpy.PlummerPotential(amp=amp, b=c["b"] / ro, **scales)
    if c.kind == "isochrone":
        return galpy.IsochronePotential(amp=amp, b=c["b"] / ro, **scales)
    if c.kind == "kuzmin_kutuzov":
        delta = math.sqrt(c["a"] ** 2 - c["c"] ** 2) / ro
        return galpy.KuzminKutuzovStaeckelPotential(amp=amp, ac=c["a"] / c["c"], Delta=delta, **scales)
    alpha, r_c = c["alpha"], c["r_c"] / ro
    amp /= 2 * math.pi * r_c ** (3 - alpha) * gamma(1.5 - 0.5 * alpha)
    return galpy.PowerSphericalPotentialwCutoff(amp=amp, alpha=alpha, rc=r_c, **scales)
