"""Potentials of the Galaxy by name: one object that gives values, forces, its source, and its gala and galpy forms."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.dynamics.components import G, MassComponent, gala_component, galpy_component
from starloom.dynamics.disk_tables import DiskAndBulge
from starloom.errors import ConfigError

Array = NDArray[np.float64]


class Kernel(NamedTuple):
    """What the compiled functions take: ``kinds`` (k,), ``offsets`` (k,), ``data``; see force_kernels."""

    kinds: NDArray[np.int64]
    offsets: NDArray[np.int64]
    data: Array


@dataclass(frozen=True)
class Potential:
    """A static potential.

    Parameters
    ----------
    name : what to call it.
    components : its parts.
    citation : where its numbers are from.
    note : what a user should know.

    Examples
    --------
    >>> milky_way = potential("MilkyWayPotential")
    >>> float(milky_way.circular_velocity(8.122).round(1))
    231.5
    """

    name: str
    components: tuple[MassComponent | DiskAndBulge, ...]
    citation: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if not self.components:
            raise ConfigError(f"potential {self.name!r} has no components")

    @functools.cached_property
    def kernel(self) -> Kernel:
        """The numbers for compiled code."""
        kinds: list[int] = []
        offsets: list[int] = []
        data: list[float] = []
        for component in self.components:
            kind, numbers = component.packed()
            kinds.append(kind)
            offsets.append(len(data))
            data += numbers
        return Kernel(np.array(kinds, np.int64), np.array(offsets, np.int64), np.array(data, np.float64))

    def scaled(self, mass_scale: float, name: str | None = None) -> Potential:
        """The same with all masses times a factor: velocities grow as its root.

        Raises
        ------
        ConfigError
            When the factor is not a positive number.
        """
        if not (math.isfinite(mass_scale) and mass_scale > 0):
            raise ConfigError(f"mass_scale must be a positive number, got {mass_scale!r}")
        parts = tuple(component.scaled(mass_scale) for component in self.components)
        return Potential(name or f"{self.name} x {mass_scale:g}", parts, self.citation, self.note)

    def value(self, x: ArrayLike) -> Array:
        """Potential at points, zero at infinity where that is finite.

        Parameters
        ----------
        x : (..., 3) Galactocentric positions (kpc).

        Returns
        -------
        ndarray
            (...) in (km/s)^2; NaN where a position is NaN.
        """
        from starloom.dynamics.force_kernels import values

        points = _points(x)
        flat = np.ascontiguousarray(points.reshape(-1, 3))
        out = np.empty(len(flat))
        values(*self.kernel, flat, out)
        return out.reshape(points.shape[:-1])

    def acceleration(self, x: ArrayLike) -> Array:
        """Minus the gradient of the potential.

        Parameters
        ----------
        x : (..., 3) Galactocentric positions (kpc).

        Returns
        -------
        ndarray
            (..., 3) in (km/s)^2/kpc.
        """
        from starloom.dynamics.force_kernels import accelerations

        points = _points(x)
        flat = np.ascontiguousarray(points.reshape(-1, 3))
        out = np.empty_like(flat)
        accelerations(*self.kernel, flat, out)
        return out.reshape(points.shape)

    def circular_velocity(self, radius: ArrayLike) -> Array:
        """Speed of the circular orbit in the plane (km/s) at cylindrical radii (kpc)."""
        r = np.asarray(radius, dtype=float)
        x = np.stack([r, np.zeros_like(r), np.zeros_like(r)], axis=-1)
        return np.asarray(np.sqrt(np.maximum(-self.acceleration(x)[..., 0] * r, 0.0)))

    def escape_velocity(self, x: ArrayLike) -> Array:
        """Speed (km/s) that just reaches infinity from positions (..., 3) in kpc; inf in a logarithmic potential."""
        value = self.value(x)
        if any(component.kind == "logarithmic" for component in self.components):
            return np.full_like(value, np.inf)
        return np.sqrt(-2.0 * value)

    def to_gala(self) -> Any:
        """The same in gala, in its galactic units: gala's own classes where it has them.

        Components that gala lacks come as a potential of gala that calls Starloom's compiled functions.
        """
        from gala.potential import CCompositePotential, CompositePotential

        from starloom.dynamics.peer_forms import gala_wrapper

        parts = {}
        for number, component in enumerate(self.components):
            parts[f"{component.name}_{number}"] = gala_component(component)
        if all(part is not None for part in parts.values()):
            return CCompositePotential(**parts)
        for (name, part), component in zip(parts.items(), self.components, strict=True):
            if part is None:
                parts[name] = gala_wrapper(Potential(self.name, (component,)))
        return CompositePotential(**parts)

    def to_galpy(self, ro: float = 8.0, vo: float = 220.0) -> Any:
        """The same in galpy, in units of ``ro`` (kpc) and ``vo`` (km/s): galpy's own classes where it has them.

        The sum of galpy potentials is returned, with ro and vo set, so that its physical output is on.
        """
        from starloom.dynamics.peer_forms import galpy_wrapper

        total: Any = None
        for component in self.components:
            part = galpy_component(component, ro, vo)
            if part is None:
                part = galpy_wrapper(Potential(self.name, (component,)), ro, vo)
            total = part if total is None else total + part
        return total

    @property
    def parameters(self) -> dict[str, dict[str, float]]:
        """Numbers of each component, for a record."""
        return {f"{number} {part.name} ({part.kind})": part.numbers for number, part in enumerate(self.components)}


def _points(x: ArrayLike) -> Array:
    points = np.asarray(x, dtype=np.float64)
    if points.shape[-1:] != (3,):
        raise ConfigError(f"positions must have shape (..., 3), got {points.shape}")
    return points


def potential(name: str | Potential, *, mass_scale: float = 1.0) -> Potential:
    """A potential by its name.

    Parameters
    ----------
    name : one of :func:`potential_names`, or a Potential, which is passed through.
    mass_scale : all masses times this.

    Raises
    ------
    ConfigError
        When the name is unknown or the scale is not a positive number.

    Examples
    --------
    >>> potential("MWPotential2014").name
    'MWPotential2014'
    """
    from starloom.dynamics.galaxy_models import build, names

    if isinstance(name, Potential):
        found = name
    else:
        if name not in names():
            raise ConfigError(f"no potential {name!r}; there are {', '.join(names())}")
        found = build(name)
    return found if mass_scale == 1.0 else found.scaled(mass_scale)


def potential_names() -> tuple[str, ...]:
    """Names that :func:`potential` knows."""
    from starloom.dynamics.galaxy_models import names

    return names()


__all__ = ["G", "Kernel", "MassComponent", "Potential", "potential", "potential_names"]
