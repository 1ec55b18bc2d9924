"""Potentials of gala and galpy that call Starloom's compiled functions, for parts those packages do not have.

They run at the speed of Python in the other package's integrators: for checks and plots, not for many orbits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from starloom.dynamics.potentials import Potential


def gala_wrapper(potential: Potential) -> Any:
    """A gala potential in galactic units (kpc, Myr)."""
    import astropy.units as u
    from gala.potential.potential.core import PotentialBase
    from gala.units import galactic

    per_square = float((1 * u.km / u.s).to_value(u.kpc / u.Myr)) ** 2

    class FromStarloom(PotentialBase):  # type: ignore[misc]
        def _energy(self, q: Any, t: Any = 0.0) -> Any:
            return potential.value(q) * per_square

        def _gradient(self, q: Any, t: Any = 0.0) -> Any:
            return -potential.acceleration(np.swapaxes(q, 0, -1)).T * per_square  # gala gives this one (3, n)

    return FromStarloom(units=galactic)


def galpy_wrapper(potential: Potential, ro: float, vo: float) -> Any:
    """A galpy potential in units of ro (kpc) and vo (km/s), axisymmetric."""
    from galpy.potential import Potential as GalpyPotential

    class FromStarloom(GalpyPotential):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(amp=1.0, ro=ro, vo=vo)
            self.hasC = self.hasC_dxdv = False

        def _evaluate(self, R: Any, z: Any, phi: float = 0.0, t: float = 0.0) -> Any:
            return potential.value(_points(R, z)) / (vo * vo)

        def _Rforce(self, R: Any, z: Any, phi: float = 0.0, t: float = 0.0) -> Any:
            return potential.acceleration(_points(R, z))[..., 0] * ro / (vo * vo)

        def _zforce(self, R: Any, z: Any, phi: float = 0.0, t: float = 0.0) -> Any:
            return potential.acceleration(_points(R, z))[..., 2] * ro / (vo * vo)

    def _points(radius: Any, z: Any) -> Any:
        r, h = np.broadcast_arrays(np.asarray(radius, dtype=float), np.asarray(z, dtype=float))
        return np.stack([r * ro, np.zeros_like(r), h * ro], axis=-1)

    return FromStarloom()
