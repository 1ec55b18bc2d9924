"""Actions, frequencies and the shape of orbits from the Staeckel fudge, for as many stars as there are."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.dynamics import action_kernel
from starloom.dynamics.action_kernel import AT_CENTER, NO_TURN, NOT_FINITE, ON_AXIS, UNBOUND
from starloom.dynamics.flags import in_words
from starloom.dynamics.focal_lengths import focal_table
from starloom.dynamics.integrals import energy as energy_of
from starloom.dynamics.potentials import Potential
from starloom.errors import ConfigError
from starloom.threads import in_blocks

Array = NDArray[np.float64]
ORDER, FINER = 16, 4  # nodes of each integral, and how many times as many where an integrand bends sharply
REASONS = {
    NOT_FINITE: "position, velocity or focal length is not a finite number",
    UNBOUND: "unbound",
    ON_AXIS: "on the axis",
    NO_TURN: "no oscillation found",
    AT_CENTER: "at the center",
}


@dataclass(frozen=True)
class Actions:
    """Actions of n stars; NaN where there are none, see :attr:`reason`.

    Parameters
    ----------
    action_r, action_z : radial and vertical action (kpc km/s), shape (n,).
    l_z : angular momentum about the axis, the third action (kpc km/s), in the handedness of the input.
    omega_r, omega_phi, omega_z : frequencies (km/s/kpc; 0.9778 x 2 pi / omega is a period in Gyr).
    eccentricity, z_max, pericenter, apocenter : shape of the orbit (kpc), as galpy defines them for the fudge: the
        pericenter in the plane, the apocenter and largest height at the orbit's outer upper corner.
    energy : (km/s)^2.
    focal_length : of the coordinates used (kpc).
    flag : (n,) 0 where all went well.
    """

    action_r: Array
    l_z: Array
    action_z: Array
    omega_r: Array
    omega_phi: Array
    omega_z: Array
    eccentricity: Array
    z_max: Array
    pericenter: Array
    apocenter: Array
    energy: Array
    focal_length: Array
    flag: NDArray[np.int64]

    @property
    def reason(self) -> list[str]:
        """Why a star has no actions, or what to mistrust; empty where all went well."""
        return in_words(self.flag, REASONS)


def actions(
    potential: Potential,
    x: ArrayLike,
    v: ArrayLike,
    *,
    focal_length: ArrayLike | None = None,
    order: int = ORDER,
    workers: int | None = None,
) -> Actions:
    """Actions, frequencies, eccentricity, z_max, pericenter and apocenter in an axisymmetric potential.

    Parameters
    ----------
    potential : the Galaxy, symmetric about the z axis and the plane.
    x, v : (n, 3) Galactocentric positions (kpc) and velocities (km/s).
    focal_length : of the coordinates in which the orbit separates (kpc), one or (n,); by default from
        :func:`starloom.dynamics.focal_lengths.focal_table` for each star's energy and angular momentum.
    order : nodes of each integral; orbits that come near the center or the axis take four times as many.
    workers : threads; all cores by default. The result does not depend on it.

    Returns
    -------
    Actions

    Raises
    ------
    ConfigError
        When shapes do not fit, a focal length is not positive, or the order is not an even number of at least 4.

    Notes
    -----
    Binney 2012 (arXiv:1207.4910), with the choices of galpy's ``actionAngleStaeckel``: the same focal length gives the
    same numbers.

    Examples
    --------
    >>> from starloom.dynamics.potentials import potential
    >>> sun = actions(potential("MWPotential2014"), [[-8.0, 0.0, 0.02]], [[11.0, 232.0, 7.0]])
    >>> bool(5 < sun.action_r[0] < 50)
    True
    """
    place = np.ascontiguousarray(np.atleast_2d(np.asarray(x, dtype=np.float64)))
    motion = np.ascontiguousarray(np.atleast_2d(np.asarray(v, dtype=np.float64)))
    if place.ndim != 2 or place.shape[1] != 3 or place.shape != motion.shape:
        raise ConfigError(f"positions and velocities must both be (n, 3), got {place.shape} and {motion.shape}")
    if order < 4 or order % 2:
        raise ConfigError(f"order must be an even number of at least 4, got {order}")
    stars, given = len(place), None
    if focal_length is not None:
        given = np.asarray(focal_length, dtype=np.float64)
        if given.ndim > 1 or (given.ndim == 1 and len(given) != stars):
            raise ConfigError(f"focal_length must be one number or ({stars},), got shape {given.shape}")
        if (given <= 0).any():
            raise ConfigError("a focal length must be positive")
        given = np.ascontiguousarray(np.broadcast_to(given, stars))
    table = focal_table(potential) if given is None else None
    out, flag = np.empty((stars, action_kernel.COLUMNS)), np.empty(stars, np.int64)
    focal = np.empty(stars)
    kernel, nodes, fine = potential.kernel, _nodes(order), _nodes(order * FINER)

    def run(part: slice) -> None:
        if table is not None:
            momentum = place[part, 0] * motion[part, 1] - place[part, 1] * motion[part, 0]
            focal[part] = table(energy_of(potential, place[part], motion[part]), momentum)
        elif given is not None:
            focal[part] = given[part]
        action_kernel.actions_block(
            kernel.kinds, kernel.offsets, kernel.data, place[part], motion[part], focal[part], *nodes, *fine,
            out[part], flag[part],
        )  # fmt: skip

    in_blocks(run, stars, workers, block=1024)
    k = action_kernel
    return Actions(
        action_r=out[:, k.ACTION_R],
        l_z=out[:, k.L_Z],
        action_z=out[:, k.ACTION_Z],
        omega_r=out[:, k.OMEGA_R],
        omega_phi=out[:, k.OMEGA_PHI],
        omega_z=out[:, k.OMEGA_Z],
        eccentricity=out[:, k.ECCENTRICITY],
        z_max=out[:, k.Z_MAX],
        pericenter=out[:, k.PERICENTER],
        apocenter=out[:, k.APOCENTER],
        energy=out[:, k.ENERGY],
        focal_length=focal,
        flag=flag,
    )


@functools.cache
def _nodes(order: int) -> tuple[Array, Array]:
    chi = (np.arange(order) + 0.5) * np.pi / order
    return np.cos(chi), np.sin(chi)
