"""Vertical action and angle at one radius, from tables: millions of stars a second, in both directions.

At fixed radius H = v^2/2 + Phi(z), with Phi even and rising. The tables are exact to about 1e-8: see the kernel for the
coordinates that make them smooth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.dynamics import vertical_action_kernel as kernel
from starloom.dynamics.components import G
from starloom.dynamics.flags import in_words
from starloom.dynamics.potentials import Potential
from starloom.errors import ConfigError
from starloom.threads import in_blocks

Array = NDArray[np.float64]
PC3 = 1e9  # cubic parsecs in a cubic kiloparsec
BLOCK = 16384
SPARE = 1.03  # the tables go that much higher than they answer, so that all interpolation is inside
GAUSS = np.polynomial.legendre.leggauss(6)
REASONS = {
    kernel.NOT_FINITE: "height, velocity, action or angle is not a finite number, or the action is negative",
    kernel.UNBOUND: "unbound",
    kernel.BEYOND: "beyond the table",
}


@dataclass(frozen=True)
class VerticalPotential:
    """A potential over height, even in z.

    Parameters
    ----------
    name : what to call it.
    force : accelerations (km/s)^2/kpc at heights (n,) >= 0 in kpc; negative above the plane.
    depth : energy above the plane's bottom at which a star escapes, (km/s)^2.

    Examples
    --------
    >>> slab = VerticalPotential.slab(0.09, 0.15, 0.012)
    >>> bool(slab.force(np.array([0.5]))[0] < 0)
    True
    """

    name: str
    force: Callable[[Array], Array]
    depth: float = np.inf

    @classmethod
    def slab(cls, density: float = 0.09, height: float = 0.15, halo_density: float = 0.012) -> VerticalPotential:
        """An isothermal slab, density sech^2(z / 2 height), in a halo of constant density.

        Phi = 16 pi G rho h^2 ln cosh(z / 2h) + 2 pi G rho_halo z^2. The defaults are near the Sun's surroundings.

        Parameters
        ----------
        density, halo_density : in the plane, Msun/pc^3.
        height : h in kpc.

        Raises
        ------
        ConfigError
            When the height is not positive, a density is negative, or there is none.
        """
        if not (height > 0 and density >= 0 and halo_density >= 0 and density + halo_density > 0):
            raise ConfigError(
                f"a slab needs a positive height and densities that are not negative, got density {density:g}, "
                f"height {height:g}, halo_density {halo_density:g}"
            )

        def force(z: Array) -> Array:
            disk = 8.0 * np.pi * G * density * PC3 * height * np.tanh(z / (2.0 * height))
            return np.asarray(-disk - 4.0 * np.pi * G * halo_density * PC3 * z)

        return cls(f"slab {density:g} Msun/pc3, {height:g} kpc, halo {halo_density:g} Msun/pc3", force)

    @classmethod
    def harmonic(cls, omega: float) -> VerticalPotential:
        """A harmonic oscillator of one frequency (km/s/kpc)."""
        if not omega > 0:
            raise ConfigError(f"omega must be positive, got {omega!r}")
        return cls(f"harmonic {omega:g} km/s/kpc", lambda z: np.asarray(-(omega**2) * z))

    @classmethod
    def at_radius(cls, potential: Potential, radius: float) -> VerticalPotential:
        """What a potential of the Galaxy is over height, at one distance from its axis (kpc).

        Raises
        ------
        ConfigError
            When the radius is not positive.
        """
        if not (np.isfinite(radius) and radius > 0):
            raise ConfigError(f"the radius must be positive, got {radius!r} kpc")

        def force(z: Array) -> Array:
            return np.asarray(potential.acceleration(_column(radius, z))[:, 2])

        speed = float(potential.escape_velocity(_column(radius, np.zeros(1)))[0])
        return cls(f"{potential.name} at {radius:g} kpc", force, 0.5 * speed**2)


def _column(radius: float, z: Array) -> Array:
    return np.stack([np.full_like(z, radius), np.zeros_like(z), z], axis=-1)


@dataclass(frozen=True)
class VerticalOrbits:
    """Vertical actions of n stars; NaN where there are none.

    Parameters
    ----------
    action_z : (n,) kpc km/s.
    theta_z : (n,) angle in [0, 2 pi): 0 where a star crosses the plane upwards, as in galpy.
    omega_z : (n,) km/s/kpc.
    energy : (n,) above the bottom, (km/s)^2.
    flag : (n,) 0 where all went well; see :attr:`reason`.
    """

    action_z: Array
    theta_z: Array
    omega_z: Array
    energy: Array
    flag: NDArray[np.int64]

    @property
    def reason(self) -> list[str]:
        """Why a star has no action; empty where it has."""
        return in_words(self.flag, REASONS)


class VerticalActions:
    """Tables between (z, v_z) and (action, angle) in a vertical potential.

    Parameters
    ----------
    potential : over height.
    z_top : largest height of an orbit (kpc).
    heights, energies, phases : sizes of the tables.

    Raises
    ------
    ConfigError
        When z_top is not positive, a table has fewer than 32 entries, or the force does not pull towards the plane.

    Examples
    --------
    >>> table = VerticalActions(VerticalPotential.slab(0.09, 0.15, 0.012))
    >>> found = table.find([0.575], [0.0])
    >>> print(f"{found.action_z[0]:.2f} {found.omega_z[0]:.2f}")
    10.00 58.58
    >>> z, v = table.position(found.action_z, found.theta_z)
    >>> bool(abs(z[0] - 0.575) < 1e-9)
    True
    """

    def __init__(
        self,
        potential: VerticalPotential,
        z_top: float = 5.0,
        *,
        heights: int = 4096,
        energies: int = 512,
        phases: int = 256,
    ) -> None:
        if not (np.isfinite(z_top) and z_top > 0) or min(heights, energies, phases) < 32:
            raise ConfigError(f"z_top must be positive and each table have at least 32 entries, got z_top {z_top!r}")
        self.potential, self.z_top = potential, float(z_top)
        self._tabulate_heights(heights)
        self._tabulate_orbits(energies, phases)

    def _tabulate_heights(self, count: int) -> None:
        """u = sqrt(Phi) over z by integrating the force, and g = (dz/du) / sqrt(2) over u as a spline."""
        from scipy.interpolate import make_interp_spline

        step = self.z_top / count
        nodes = np.asarray(np.arange(round(count * SPARE) + 2) * step, dtype=np.float64)
        points, weights = GAUSS
        inner = np.asarray((nodes[:-1, None] + 0.5 * step * (points + 1.0)).ravel(), dtype=np.float64)
        pull = -self.potential.force(inner)
        if not (np.isfinite(pull).all() and (pull > 0).all()):
            worst = float(inner[np.argmin(np.where(np.isfinite(pull), pull, -np.inf))])
            raise ConfigError(f"{self.potential.name}: the force at z = {worst:g} kpc does not pull towards the plane")
        phi = np.concatenate([[0.0], np.cumsum(pull.reshape(-1, len(points)) @ (0.5 * step * weights))])
        u = np.sqrt(phi)
        rate = np.empty_like(u)
        rate[1:] = np.sqrt(2.0) * u[1:] / -self.potential.force(nodes[1:])
        rate[0] = (15.0 * rate[1] - 6.0 * rate[2] + rate[3]) / 10.0  # even in z
        self._z_step, self._u_of_z = step, np.stack([u, 1.0 / (np.sqrt(2.0) * rate)], axis=1)
        mirrored = np.concatenate([-u[:0:-1], u])
        self._rate = make_interp_spline(mirrored, np.concatenate([rate[:0:-1], rate]), k=5)
        self._height = self._rate.antiderivative()
        self._s_top, self._u_end = float(u[count]), float(u[-1])

    def _tabulate_orbits(self, energies: int, phases: int) -> None:
        """J, omega and delta over s and psi by the Fourier series of dt/dpsi = g(s sin psi)."""
        from scipy.fft import dct, dst
        from scipy.interpolate import make_interp_spline

        self._s_step, self._psi_step = self._s_top / energies, 0.5 * np.pi / phases
        s = np.arange(energies + 3) * self._s_step  # spare rows above; in psi the symmetries give them
        s = s[s <= self._u_end]
        psi = np.arange(phases + 1) * self._psi_step
        series = dct(self._rate(s[:, None] * np.sin(psi)), type=1, axis=1) / phases  # g = a0/2 + sum a_n cos(2 n psi)
        omega = 2.0 / series[:, 0]
        energy = s * s
        action = 0.5 * energy * (series[:, 0] + series[:, 1])
        sines = series[:, 1:-1] / (series[:, :1] * np.arange(1, phases))
        delta = np.zeros((len(s), phases + 1))
        delta[:, 1:-1] = 0.5 * dst(sines, type=1, axis=1)
        beyond = np.concatenate([-delta[:, 1:2], delta, -delta[:, -2:-3:-1]], axis=1)
        self._delta = np.concatenate([beyond[1:2], beyond])  # even in s
        mirrored = np.concatenate([-s[:0:-1], s])
        smooth = make_interp_spline(mirrored, np.concatenate([omega[:0:-1], omega]), k=5)
        self._omega_of_s = np.stack([omega, smooth(s, 1)], axis=1)
        share = 0.5 * (series[:, 0] + series[:, 1])  # J / s^2, smooth at 0
        even_share = make_interp_spline(mirrored, np.concatenate([share[:0:-1], share]), k=5)
        self._share_of_s = np.stack([share, even_share(s, 1)], axis=1)
        self.action_top = float(action[energies])
        # s over sqrt(J), both odd about zero: s ~ sqrt(omega J)
        root = np.sqrt(action)
        back = make_interp_spline(np.concatenate([-root[:0:-1], root]), mirrored, k=5)
        even = np.linspace(0.0, float(root[-1]), len(s))
        self._root_step = float(even[1])
        self._s_of_root = np.stack([back(even), back(even, 1)], axis=1)
        self._z_of_u = np.stack([self._height(s) - self._height(0.0), np.sqrt(2.0) * self._rate(s)], axis=1)
        self._z_of_u[:, 0] *= np.sqrt(2.0)
        self._smooth_omega, self._back = smooth, back

    def find(self, z: ArrayLike, v: ArrayLike, *, workers: int | None = None) -> VerticalOrbits:
        """Actions and angles of stars.

        Parameters
        ----------
        z, v : (n,) heights (kpc) and vertical velocities (km/s).
        workers : threads; all cores by default. The result does not depend on it.

        Raises
        ------
        ConfigError
            When the shapes differ.
        """
        height, speed = _pair(z, v, "z and v")
        out, flag = np.empty((len(height), 4)), np.empty(len(height), np.int64)

        def run(part: slice) -> None:
            kernel.forward(
                height[part], speed[part], self._u_of_z, self._z_step, self._share_of_s, self._omega_of_s,
                self._s_step, self._delta, self._psi_step, self.z_top, self._s_top, self.potential.depth,
                out[part], flag[part],
            )  # fmt: skip

        in_blocks(run, len(height), workers, block=BLOCK)
        return VerticalOrbits(out[:, 0], out[:, 1], out[:, 2], out[:, 3], flag)

    def position(self, action: ArrayLike, theta: ArrayLike, *, workers: int | None = None) -> tuple[Array, Array]:
        """Heights (kpc) and velocities (km/s), (n,) each, of actions (kpc km/s) and angles (rad); NaN out of range."""
        j, angle = _pair(action, theta, "action and theta")
        out, flag = np.empty((len(j), 2)), np.empty(len(j), np.int64)

        def run(part: slice) -> None:
            kernel.inverse(
                j[part], angle[part], self._s_of_root, self._root_step, self._share_of_s, self._omega_of_s,
                self._s_step, self._delta, self._psi_step, self._z_of_u, self.action_top, out[part], flag[part],
            )  # fmt: skip

        in_blocks(run, len(j), workers, block=BLOCK)
        return out[:, 0], out[:, 1]

    def _s(self, action: ArrayLike) -> Array:
        j = np.asarray(action, dtype=np.float64)
        inside = (j >= 0) & (j <= self.action_top)
        return np.where(inside, self._back(np.sqrt(np.where(inside, j, 0.0))), np.nan)

    def omega(self, action: ArrayLike) -> Array:
        """Frequency (km/s/kpc) of actions (kpc km/s); NaN out of range."""
        return np.asarray(self._smooth_omega(self._s(action)))

    def omega_slope(self, action: ArrayLike) -> Array:
        """d omega / dJ, (km/s/kpc) / (kpc km/s)."""
        s = np.maximum(self._s(action), 1e-3 * self._s_step)
        return np.asarray(self._smooth_omega(s, 1) * self._smooth_omega(s) / (2.0 * s))

    def energy(self, action: ArrayLike) -> Array:
        """Energy above the bottom, (km/s)^2, of actions (kpc km/s)."""
        return self._s(action) ** 2

    def z_max(self, action: ArrayLike) -> Array:
        """Largest height (kpc) of orbits of these actions (kpc km/s)."""
        return np.asarray(np.sqrt(2.0) * (self._height(self._s(action)) - self._height(0.0)))


def _pair(first: ArrayLike, second: ArrayLike, names: str) -> tuple[Array, Array]:
    a, b = (np.atleast_1d(np.asarray(part, dtype=np.float64)) for part in (first, second))
    if a.ndim != 1 or a.shape != b.shape:
        raise ConfigError(f"{names} must have the same one-dimensional shape, got {a.shape} and {b.shape}")
    return np.ascontiguousarray(a), np.ascontiguousarray(b)
