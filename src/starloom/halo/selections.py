"""Which stars belong to the merger: ellipses in spaces of integrals of motion, regions of abundances.

The ellipses are those of arXiv:2306.03084 and arXiv:2111.09327; angular momenta are counted positive along the disk's
rotation, though the ellipses are symmetric about zero and do not care.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.dynamics.actions import Actions, actions
from starloom.dynamics.potentials import Potential
from starloom.errors import ConfigError

if TYPE_CHECKING:
    from starloom.dynamics.frames import PhaseSpace

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
FOCAL = ("local", "orbit")
ENERGY_UNIT = 1e5  # (km/s)^2


@dataclass(frozen=True)
class Motion:
    """What the ellipses look at, each (n,); NaN where a star has none.

    Parameters
    ----------
    l_z, action_r, action_z : kpc km/s.
    eccentricity : of the orbit.
    energy : (km/s)^2, zero at infinity.
    v_r, v_t, v_z : velocity away from the axis, around it, and upwards, km/s.
    """

    l_z: Array
    action_r: Array
    action_z: Array
    eccentricity: Array
    energy: Array
    v_r: Array
    v_t: Array
    v_z: Array

    @classmethod
    def of(
        cls,
        potential: Potential,
        phase: PhaseSpace | tuple[ArrayLike, ArrayLike],
        *,
        focal_length: str = "local",
        workers: int | None = None,
    ) -> Motion:
        """Motion of stars in a potential.

        Parameters
        ----------
        potential : the Galaxy.
        phase : positions (n, 3) kpc and velocities (n, 3) km/s about the center.
        focal_length : ``local``: from the potential at each star, as arXiv:2306.03084 has it; ``orbit``: one for each
            energy and angular momentum, which does not change along the orbit.
        workers : threads.

        Raises
        ------
        ConfigError
            When ``focal_length`` is unknown.
        """
        if focal_length not in FOCAL:
            raise ConfigError(f"focal_length is one of {', '.join(FOCAL)}, not {focal_length!r}")
        x, v = (np.atleast_2d(np.asarray(part, dtype=np.float64)) for part in phase)
        local = None
        if focal_length == "local":
            local = local_or_nearest(potential, x)
        return cls.from_actions(actions(potential, x, v, focal_length=local, workers=workers), x, v)

    @classmethod
    def from_actions(cls, found: Actions, x: Array, v: Array) -> Motion:
        """From actions that are known already."""
        radius = np.hypot(x[:, 0], x[:, 1])
        with np.errstate(invalid="ignore", divide="ignore"):
            v_r = (x[:, 0] * v[:, 0] + x[:, 1] * v[:, 1]) / radius
            v_t = found.l_z / radius
        return cls(
            found.l_z, found.action_r, found.action_z, found.eccentricity, found.energy, v_r, np.asarray(v_t), v[:, 2]
        )


def local_or_nearest(potential: Potential, x: Array) -> Array:
    """Focal lengths (n,) kpc at places; where the potential is flattened the other way a small one."""
    from starloom.dynamics.focal_lengths import local_focal_length

    finite = np.asarray(np.isfinite(x).all(axis=1))
    found = local_focal_length(potential, np.where(finite[:, None], x, 1.0))
    return np.where(np.isfinite(found) & (found > 0.05), found, 0.05)


def _axes_e_lz(m: Motion) -> tuple[Array, Array]:
    return m.l_z, m.eccentricity


def _axes_diamond(m: Motion) -> tuple[Array, Array]:
    total = m.action_r + m.action_z + np.abs(m.l_z)
    with np.errstate(invalid="ignore", divide="ignore"):
        return m.l_z / total, (m.action_z - m.action_r) / total


def _axes_jr_lz(m: Motion) -> tuple[Array, Array]:
    return m.l_z, np.sqrt(np.maximum(m.action_r, 0.0))


def _axes_energy(m: Motion) -> tuple[Array, Array]:
    return m.l_z, m.energy / ENERGY_UNIT


def _axes_velocity(m: Motion) -> tuple[Array, Array]:
    return np.abs(m.v_r), m.v_t


def _axes_toomre(m: Motion) -> tuple[Array, Array]:
    return m.v_t, np.hypot(m.v_r, m.v_z)


@dataclass(frozen=True)
class KinematicEllipse:
    """Stars with ``((x - x0) / a)^2 + ((y - y0) / b)^2 < 1`` in a space of the motion.

    Parameters
    ----------
    name : what to call it.
    axes : from a Motion to (x, y).
    center, semi_axes : of the ellipse.
    labels : of the axes, with units.
    by_l_z : whether x is the angular momentum, which is known without an orbit.
    """

    name: str
    axes: Callable[[Motion], tuple[Array, Array]]
    center: tuple[float, float]
    semi_axes: tuple[float, float]
    labels: tuple[str, str] = ("", "")
    by_l_z: bool = False

    @property
    def largest_l_z(self) -> float:
        """No star with a larger ``|L_z|`` (kpc km/s) is inside; infinite where the ellipse does not ask."""
        return abs(self.center[0]) + self.semi_axes[0] if self.by_l_z else np.inf

    def __call__(self, motion: Motion) -> Flags:
        """Which stars (n,) are inside; a star whose motion is not known is not."""
        x, y = self.axes(motion)
        with np.errstate(invalid="ignore"):
            return np.asarray(
                ((x - self.center[0]) / self.semi_axes[0]) ** 2 + ((y - self.center[1]) / self.semi_axes[1]) ** 2 < 1.0
            )

    def outline(self, points: int = 200) -> tuple[Array, Array]:
        """The ellipse as a line, for figures."""
        angle = np.linspace(0.0, 2.0 * np.pi, points)
        return (
            self.center[0] + self.semi_axes[0] * np.cos(angle),
            self.center[1] + self.semi_axes[1] * np.sin(angle),
        )


_LZ = "L_z [kpc km/s]"
ELLIPSES: Mapping[str, KinematicEllipse] = {
    ellipse.name: ellipse
    for ellipse in (
        KinematicEllipse("e-Lz", _axes_e_lz, (0.0, 1.0), (500.0, 0.05), (_LZ, "eccentricity"), True),
        KinematicEllipse("AD", _axes_diamond, (0.0, -1.0), (0.08, 0.3), ("J_phi / J_tot", "(J_z - J_R) / J_tot")),
        KinematicEllipse("JR-Lz", _axes_jr_lz, (0.0, 45.0), (300.0, 20.0), (_LZ, "sqrt(J_R) [(kpc km/s)^1/2]"), True),
        KinematicEllipse("E-Lz", _axes_energy, (0.0, -1.0), (300.0, 0.5), (_LZ, "E [1e5 km2/s2]"), True),
        KinematicEllipse("vR-vT", _axes_velocity, (290.0, 0.0), (110.0, 35.0), ("|v_R| [km/s]", "v_T [km/s]")),
        KinematicEllipse("Toomre", _axes_toomre, (0.0, 300.0), (35.0, 120.0), ("v_T [km/s]", "v_R, v_z [km/s]")),
    )
}
"""The six selections by name. Lane et al. 2022 have half the height, 0.025, for ``e-Lz``."""


def kinematic(name: str) -> Callable[[Motion], Flags]:
    """A selection by its name; several names joined by ``+`` mean stars inside all of them.

    Raises
    ------
    ConfigError
        When a name is unknown.

    Examples
    --------
    >>> one = np.ones(1)
    >>> star = Motion(0 * one, 2000 * one, 10 * one, 0.99 * one, -1e5 * one, 300 * one, 0 * one, 0 * one)
    >>> bool(kinematic("e-Lz+AD")(star)[0])
    True
    """
    parts = _parts(name)
    return lambda motion: np.logical_and.reduce([part(motion) for part in parts])


def largest_l_z(name: str) -> float:
    """The ``|L_z|`` (kpc km/s) beyond which a selection by its name keeps no star: orbits there need not be computed.

    Examples
    --------
    >>> largest_l_z("e-Lz"), largest_l_z("e-Lz+JR-Lz"), largest_l_z("AD")
    (500.0, 300.0, inf)
    """
    return float(min(part.largest_l_z for part in _parts(name)))


def _parts(name: str) -> list[KinematicEllipse]:
    names = [part.strip() for part in name.split("+")]
    unknown = [part for part in names if part not in ELLIPSES]
    if unknown:
        raise ConfigError(f"no kinematic selection {unknown[0]!r}; there are {', '.join(ELLIPSES)}, joined by '+'")
    return [ELLIPSES[part] for part in names]


# ------------------------------------------------------------------------------------------------------- abundances


@dataclass(frozen=True)
class AbundanceRegion:
    """Stars below a line in the plane of [Fe/H] and [Al/Fe].

    Parameters
    ----------
    name : what to call it.
    corners : of the line as [Fe/H], [Al/Fe], from the metal-poor end; at both ends it goes on for ever: to lower [Fe/H]
        horizontally, or upwards where ``open_above``; downwards at the metal-rich end.
    fe_h : (low, high) [Fe/H] of the fit.
    open_above : whether the metal-poor end goes up instead of to the left.
    """

    name: str
    corners: tuple[tuple[float, float], ...]
    fe_h: tuple[float, float]
    open_above: bool = False

    def __call__(self, fe_h: ArrayLike, al_fe: ArrayLike) -> Flags:
        """Which stars (n,) are inside; a star without either abundance is not."""
        iron, aluminum = (np.asarray(part, dtype=np.float64) for part in (fe_h, al_fe))
        x = np.array([corner[0] for corner in self.corners])
        y = np.array([corner[1] for corner in self.corners])
        with np.errstate(invalid="ignore"):
            line = np.where(iron < x[0], np.inf if self.open_above else y[0], np.interp(np.nan_to_num(iron), x, y))
            return np.asarray((iron >= self.fe_h[0]) & (iron < min(x[-1], self.fe_h[1])) & (aluminum < line))


ABUNDANCES: Mapping[str, AbundanceRegion] = {
    "accreted": AbundanceRegion("accreted", ((-1.0, -0.1), (-0.6, -0.3)), (-2.0, -0.6)),
    "halo": AbundanceRegion("halo", ((-1.0, -0.1), (-0.6, -0.3)), (-3.0, -0.6), open_above=True),
}
"""Regions of arXiv:2306.03084: ``accreted`` keeps the low-aluminum side, ``halo`` also all below [Fe/H] = -1."""


# ------------------------------------------------------------------------------------------------- under the errors


def shares_of_draws(
    table: Any,
    conditions: Mapping[str, Callable[[Motion], Flags]],
    *,
    potential: Potential,
    frame: Any,
    samples: int = 100,
    focal_length: str = "local",
    seed: int = 0,
    workers: int | None = None,
) -> dict[str, Array]:
    """For each star the share of draws from its errors that pass each selection.

    Parameters
    ----------
    table : with the columns of ``starloom.dynamics.schema.SCHEMA``.
    conditions : name -> selection.
    potential, frame : the Galaxy and the Sun's place in it.
    samples : draws of each star; stars without errors give 0 or 1.
    focal_length : as for :meth:`Motion.of`.
    seed, workers : of the draws; the result does not depend on the workers.

    Returns
    -------
    dict
        name -> (n,) from 0 to 1; NaN where the star has no orbit. ``reason`` is not here: see ``OrbitModel.predict``.
    """
    from starloom.dynamics.star_orbits import OrbitModel

    model = OrbitModel(potential, frame, samples, seed=seed, workers=workers)
    found: dict[str, list[Array]] = {name: [] for name in conditions}
    for phase, stars in model.drawn_phases(table):
        motion = Motion.of(potential, phase, focal_length=focal_length, workers=workers)
        known = np.isfinite(motion.l_z).reshape(stars, -1).any(axis=1)
        for name, condition in conditions.items():
            share = condition(motion).reshape(stars, -1).mean(axis=1)
            found[name].append(np.where(known, share, np.nan))
    return {name: np.concatenate(parts) if parts else np.empty(0) for name, parts in found.items()}
