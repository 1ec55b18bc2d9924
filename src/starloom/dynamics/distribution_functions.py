"""Distribution functions of a spherical halo: constant anisotropy and Osipkov-Merritt, by direct inversion.

For f(E, L) = L^(-2 beta) f1(E), with psi = -Phi and g = r^(2 beta) nu as a function of psi (2006ApJ...642..752A),

    f1(E) = 2^beta / ((2 pi)^(3/2) Gamma(1 - lambda) Gamma(1 - beta))
            d/dE int_0^E (E - psi)^(-lambda) d^n g / dpsi^n dpsi,    n = floor(3/2 - beta), lambda = 3/2 - beta - n.

Osipkov-Merritt's f(Q), Q = E - L^2 / (2 r_a^2), is the same with beta = 0 and (1 + r^2 / r_a^2) nu in place of nu. The
derivatives are taken on splines over ln r, the integral in a coordinate in which its integrand is smooth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from starloom.dynamics.spherical_potentials import SphericalPotential
from starloom.dynamics.tracer_densities import TracerDensity
from starloom.errors import ConfigError, FitError
from starloom.seeds import generator
from starloom.threads import in_blocks

Array = NDArray[np.float64]
SPEEDS = 256  # nodes of the distribution of speeds at a radius
LEAST = 1e-30  # of the largest density: a radius with less is outside
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)
PANELS = 24


@dataclass(frozen=True)
class DistributionFunction:
    """An ergodic part f1 of an energy-like variable, and how velocities are drawn from it.

    Make one with `constant_anisotropy` or `osipkov_merritt`.

    Parameters
    ----------
    sphere, density : the potential, and the density that f brings forth.
    beta : anisotropy of the power of L; 0 for Osipkov-Merritt.
    anisotropy_radius : of Osipkov-Merritt, kpc; infinity otherwise.
    energy : (n,) growing energies psi at the nodes, (km/s)^2.
    log_f : (n,) ln f1 there.
    radii : the least and largest radius (kpc) between which f was made.
    """

    sphere: SphericalPotential
    density: TracerDensity
    beta: float
    anisotropy_radius: float
    energy: Array
    log_f: Array
    radii: tuple[float, float]
    _psi: Array = field(repr=False)

    def potential_depth(self, radius: ArrayLike) -> Array:
        """psi = -Phi (km/s)^2 at radii (kpc), zero at infinity."""
        from scipy.interpolate import CubicSpline

        spline = CubicSpline(self.sphere.log_radius, np.log(self._psi))
        return np.asarray(np.exp(spline(np.log(np.asarray(radius, dtype=np.float64)))))

    def __call__(self, energy: ArrayLike, momentum: ArrayLike = 0.0) -> Array:
        """f at relative energies E = psi - v^2/2 ((km/s)^2) and angular momenta L (kpc km/s); 0 where unbound.

        The density is in the unit of `density`, so f is per (km/s)^3 in it.
        """
        binding, spin = np.broadcast_arrays(
            np.asarray(energy, dtype=np.float64), np.asarray(momentum, dtype=np.float64)
        )
        variable = binding - 0.5 * (spin / self.anisotropy_radius) ** 2
        with np.errstate(divide="ignore"):
            power = spin ** (-2.0 * self.beta) if self.beta else np.ones_like(spin)
        return np.asarray(np.where(variable > 0, power * self.energy_part(np.maximum(variable, 1e-300)), 0.0))

    def energy_part(self, energy: ArrayLike) -> Array:
        """f1 at energies, by a spline in the logarithms."""
        from scipy.interpolate import CubicSpline

        x = np.log(self.energy)
        at = np.log(np.asarray(energy, dtype=np.float64))
        spline = CubicSpline(x, self.log_f)
        inside = np.clip(at, x[0], x[-1])
        ends = np.where(at < x[0], spline(x[0], 1), spline(x[-1], 1))
        return np.asarray(np.exp(spline(inside) + ends * (at - inside)))

    def anisotropy(self, radius: ArrayLike) -> Array:
        """beta = 1 - (sigma_theta^2 + sigma_phi^2) / (2 sigma_r^2) at radii (kpc)."""
        r = np.asarray(radius, dtype=np.float64)
        if np.isinf(self.anisotropy_radius):
            return np.full(r.shape, self.beta)
        return np.asarray(r**2 / (r**2 + self.anisotropy_radius**2))

    def radial_dispersion(self, radius: ArrayLike) -> Array:
        """sigma_r (km/s) at radii (n,) kpc, from f itself: what the Jeans equation has to give too."""
        at = np.atleast_1d(np.asarray(radius, dtype=np.float64))
        psi = self.potential_depth(at)
        x = (np.arange(4000) + 0.5) / 4000
        part = self.energy_part(psi[:, None] * (1.0 - x**2))
        power = 2.0 - 2.0 * self.beta
        second = np.sum(x ** (power + 2.0) * part, axis=1) / np.sum(x**power * part, axis=1) * 2.0 * psi
        # of v^2, the radial share: cos^2(eta) follows a Beta(1/2, 1 - beta)
        return np.asarray(np.sqrt(second * 0.5 / (1.5 - self.beta)).reshape(np.shape(radius)))

    def sample_velocities(
        self, x: ArrayLike, count: int, seed: int | np.random.Generator, *, workers: int | None = None
    ) -> Array:
        """Velocities at places.

        Parameters
        ----------
        x : (n, 3) positions about the center, kpc.
        count : draws at each place.
        seed : of the draws.
        workers : threads; the result does not depend on it.

        Returns
        -------
        ndarray
            (n, count, 3) km/s, in the axes of x.

        Raises
        ------
        ConfigError
            When a place is not finite or outside the radii for which f was made.
        """
        places = np.atleast_2d(np.asarray(x, dtype=np.float64))
        if places.ndim != 2 or places.shape[1] != 3 or count < 1:
            raise ConfigError(f"places must be (n, 3) and the count at least 1, got {places.shape} and {count}")
        radius = np.linalg.norm(places, axis=1)
        bad = ~((radius >= self.radii[0]) & (radius <= self.radii[1]))
        if bad.any():
            raise ConfigError(
                f"place {np.argmax(bad)} is at r = {radius[np.argmax(bad)]:.4g} kpc; this distribution function holds "
                f"from {self.radii[0]:.3g} to {self.radii[1]:.3g} kpc"
            )
        psi, rng = self.potential_depth(radius), generator(seed)
        streams = rng.spawn((len(places) + BLOCK - 1) // BLOCK)
        out = np.empty((len(places), count, 3))
        table = (np.log(self.energy), self.log_f)
        stretch = 1.0 + (radius / self.anisotropy_radius) ** 2

        def run(part: slice) -> None:
            own = streams[part.start // BLOCK]
            shape = (len(radius[part]), count)
            # cos^2 of the angle to the radius by its closed form: a table of the angle misses its singular end
            cosine = np.sqrt(own.beta(0.5, 1.0 - self.beta, shape)) * own.choice([-1.0, 1.0], shape)
            uniform, turn = own.random(shape), own.uniform(0.0, 2.0 * np.pi, shape)
            _velocities(
                places[part], radius[part], psi[part], stretch[part], 2.0 - 2.0 * self.beta, *table, cosine, uniform,
                turn, out[part],
            )  # fmt: skip

        in_blocks(run, len(places), workers, block=BLOCK)
        return out


BLOCK = 64  # places whose velocities are drawn from one stream of random numbers


@njit(cache=True, nogil=True)
def _velocities(
    places: Array, radius: Array, psi: Array, stretch: Array, power: float, log_energy: Array, log_f: Array,
    cosine: Array, uniform: Array, turn: Array, out: Array,
) -> None:  # fmt: skip
    speeds, count = SPEEDS, cosine.shape[1]
    cumulative = np.empty(speeds + 1)
    last = len(log_energy) - 2
    for k in range(len(places)):
        cumulative[0] = 0.0
        depth = np.log(psi[k])
        for j in range(speeds):
            v = (j + 0.5) / speeds
            at = depth + np.log1p(-v * v)
            i = min(max(np.searchsorted(log_energy, at) - 1, 0), last)
            part = (at - log_energy[i]) / (log_energy[i + 1] - log_energy[i])
            value = log_f[i] + part * (log_f[i + 1] - log_f[i])
            cumulative[j + 1] = cumulative[j] + v**power * np.exp(value - log_f[last])
        total, escape = cumulative[speeds], np.sqrt(2.0 * psi[k])
        r = radius[k]
        ex, ey, ez = places[k, 0] / r, places[k, 1] / r, places[k, 2] / r
        flat = np.sqrt(ex * ex + ey * ey)
        if flat > 1e-12:
            fx, fy = -ey / flat, ex / flat
        else:
            fx, fy = 1.0, 0.0
        gx, gy, gz = -ez * fy, ez * fx, ex * fy - ey * fx
        for c in range(count):
            target = uniform[k, c] * total
            i = min(max(np.searchsorted(cumulative, target, side="right") - 1, 0), speeds - 1)
            v = escape * (i + (target - cumulative[i]) / (cumulative[i + 1] - cumulative[i])) / speeds
            radial = v * cosine[k, c]
            across = v * np.sqrt(max(1.0 - cosine[k, c] ** 2, 0.0) / stretch[k])
            a, b = across * np.cos(turn[k, c]), across * np.sin(turn[k, c])
            out[k, c, 0] = radial * ex + a * fx + b * gx
            out[k, c, 1] = radial * ey + a * fy + b * gy
            out[k, c, 2] = radial * ez + b * gz


def constant_anisotropy(
    sphere: SphericalPotential,
    density: TracerDensity,
    beta: float,
    *,
    radii: tuple[float, float] = (0.05, 300.0),
    energies: int = 1000,
) -> DistributionFunction:
    """f = L^(-2 beta) f1(E) for any tracer density.

    Parameters
    ----------
    sphere : the potential.
    density : of the tracers.
    beta : from above -1.5 to below 1.
    radii : (least, largest) radius in kpc for which velocities will be asked.
    energies : nodes of the table of f1.

    Raises
    ------
    ConfigError
        When beta or the radii are out of range.
    FitError
        When f would be negative: no such halo exists. The message says at which radius.

    Examples
    --------
    >>> from starloom.dynamics.potentials import potential
    >>> from starloom.dynamics.tracer_densities import PowerLawTracer
    >>> f = constant_anisotropy(SphericalPotential.of(potential("MWPotential2014")), PowerLawTracer(), 0.8)
    >>> bool(125 < f.radial_dispersion(8.0) < 137)
    True
    """
    if not -1.5 < beta < 1.0:
        raise ConfigError(f"the anisotropy must be above -1.5 and below 1, got {beta}")
    u = sphere.log_radius
    log_g = density.log_density(np.exp(u)) + 2.0 * beta * u
    return _invert(sphere, density, float(beta), math.inf, log_g, radii, energies)


def osipkov_merritt(
    sphere: SphericalPotential,
    density: TracerDensity,
    anisotropy_radius: float,
    *,
    radii: tuple[float, float] = (0.05, 300.0),
    energies: int = 1000,
) -> DistributionFunction:
    """Osipkov-Merritt's f(Q), whose anisotropy is r^2 / (r^2 + r_a^2); the arguments as in `constant_anisotropy`.

    Parameters
    ----------
    anisotropy_radius : r_a, kpc.
    """
    if not anisotropy_radius > 0:
        raise ConfigError(f"the anisotropy radius must be above 0, got {anisotropy_radius}")
    u = sphere.log_radius
    log_g = density.log_density(np.exp(u)) + np.log1p((np.exp(u) / anisotropy_radius) ** 2)
    return _invert(sphere, density, 0.0, float(anisotropy_radius), log_g, radii, energies)


def _invert(
    sphere: SphericalPotential, density: TracerDensity, beta: float, anisotropy_radius: float, log_g: Array,
    radii: tuple[float, float], energies: int,
) -> DistributionFunction:  # fmt: skip
    from scipy.interpolate import make_interp_spline

    u, psi, pull = sphere.log_radius, sphere.depth(), sphere.slope
    inner, outer = radii
    if not (np.exp(u[0]) < inner < outer < np.exp(u[-1]) and energies >= 50):
        raise ConfigError(
            f"radii must grow inside {np.exp(u[0]):.3g} to {np.exp(u[-1]):.3g} kpc and energies be 50 or more"
        )
    # beyond where the density has faded to nothing its derivatives are noise
    log_nu = density.log_density(np.exp(u))
    edge = int(np.searchsorted(-(log_nu - np.interp(np.log(inner), u, log_nu)), -math.log(LEAST)))
    stop = min(max(edge, 100), len(u))
    u, psi, pull, log_g = u[:stop], psi[:stop], pull[:stop], log_g[:stop]
    if not np.isfinite(log_g).all():
        raise ConfigError("the density of the tracers is not finite and positive everywhere inside the radii")
    n = math.floor(1.5 - beta)
    order = 1.5 - beta - n
    # with lambda above 1/2 the integral is taken by parts once more: its end is singular no longer
    derivatives = n + (0 if order == 0 else 1 if order <= 0.5 else 2)
    power = order if order <= 0.5 else order - 1.0
    slope = make_interp_spline(u, log_g, k=5).derivative()(u)
    ratio = np.ones_like(u)
    for _ in range(derivatives):  # d^k g / dpsi^k = g x ratio, step by step; dpsi/du = -pull
        ratio = -(make_interp_spline(u, ratio, k=5).derivative()(u) + ratio * slope) / pull
    constant = 2.0**beta / ((2.0 * np.pi) ** 1.5 * math.gamma(1.0 - power) * math.gamma(1.0 - beta))
    far = min(np.exp(u[-1]) * 0.7, outer * 3.0)
    at = np.linspace(np.log(far), np.log(inner * 0.3), energies)
    if order > 0:
        spline = make_interp_spline(u, np.stack([np.log(psi), log_g, ratio * pull], axis=1), k=5)
        value, log_scale = _integrals(spline, at, float(u[-1]), power)
        value = value + _beyond(u, psi, log_g, slope, pull, n, order, make_interp_spline(u, psi, k=5)(at), log_scale)
    else:
        value, log_scale = (make_interp_spline(u, part, k=5)(at) for part in (ratio, log_g))
    if not (value > 0).all():
        worst = float(np.exp(at[np.argmin(value > 0)]))
        what = f"beta = {beta:g}" if math.isinf(anisotropy_radius) else f"r_a = {anisotropy_radius:g} kpc"
        raise FitError(
            f"the distribution function for {what} is negative at energies of r = {worst:.3g} kpc: no such halo exists "
            "in this potential. Lower the anisotropy, or take another density"
        )
    node = make_interp_spline(u, psi, k=5)(at)
    log_f = np.log(constant * value) + log_scale
    return DistributionFunction(
        sphere, density, beta, anisotropy_radius, np.asarray(node), np.asarray(log_f), (inner, outer), sphere.depth()
    )


def _integrals(spline: object, at: Array, end: float, order: float) -> tuple[Array, Array]:
    """int (E - psi)^(-order) (d^m g / dpsi^m) |dpsi/du| du from each node to the end, over g at the node; and ln g.

    With u = u_E + s^k the end at E becomes smooth.
    """
    k = 1.0 / (1.0 - order) if order > 0 else 3.0
    reach = (end - at) ** (1.0 / k)
    edges = np.linspace(0.0, 1.0, PANELS + 1) ** 1.5
    s = (edges[:-1, None] + 0.5 * np.diff(edges)[:, None] * (_NODES + 1.0)).ravel()
    w = (0.5 * np.diff(edges)[:, None] * _WEIGHTS).ravel()
    start = spline(at)  # type: ignore[operator]
    near = (s * reach[:, None]) ** k
    u = np.minimum(at[:, None] + near, end)
    log_psi, log_g, rest = np.moveaxis(np.asarray(spline(u.ravel())).reshape(*u.shape, 3), -1, 0)  # type: ignore[operator]
    first, second = (spline(at, d)[:, :1] for d in (1, 2))  # type: ignore[operator]
    # close to the node the difference of two values of the spline has lost its digits: there Taylor's series
    change = np.where(near < 1e-3, near * (first + 0.5 * near * second), log_psi - start[:, :1])
    gap = -np.exp(start[:, :1]) * np.expm1(change)
    body = np.exp(log_g - start[:, 1:2]) * rest * gap**-order
    return np.sum(body * (k * s ** (k - 1.0) * w), axis=1) * reach**k, start[:, 1]


def _beyond(
    u: Array, psi: Array, log_g: Array, slope: Array, pull: Array, n: int, order: float, energy: Array, log_scale: Array
) -> Array:
    """What lies beyond the table's end: the boundary terms of the integrals by parts, over g at each node."""
    from scipy.interpolate import make_interp_spline

    end, ratio, ratios = psi[-1], np.ones_like(u), [1.0]
    for _ in range(n + 1):
        ratio = -(make_interp_spline(u, ratio, k=5).derivative()(u) + ratio * slope) / pull
        ratios.append(float(ratio[-1]))
    gap = energy - end
    found = energy**-order * ratios[n]
    if order > 0.5:
        found = found + gap ** (1.0 - order) / (1.0 - order) * ratios[n + 1]
    return np.asarray(found * np.exp(log_g[-1] - log_scale) * ((1.0 - order) if order > 0.5 else 1.0))


@dataclass(frozen=True)
class DistributionMixture:
    """Several distribution functions of one potential, each with its share of the stars at every radius.

    arXiv:2509.04557 describes GS/E by two Osipkov-Merritt functions of one density: 88 % with an anisotropy radius of
    2 kpc, the rest of 547 kpc.

    Parameters
    ----------
    parts : the functions.
    shares : of the stars, any scale.

    Raises
    ------
    ConfigError
        When there are no parts, or the shares do not fit them.
    """

    parts: Sequence[DistributionFunction]
    shares: Sequence[float]

    def __post_init__(self) -> None:
        weights = np.asarray(self.shares, dtype=np.float64)
        if not self.parts or weights.shape != (len(self.parts),) or not (weights >= 0).all() or weights.sum() <= 0:
            raise ConfigError("a mixture needs one share for each of its parts, none negative and one above 0")

    @property
    def radii(self) -> tuple[float, float]:
        """Radii (kpc) for which all parts hold."""
        return max(part.radii[0] for part in self.parts), min(part.radii[1] for part in self.parts)

    def _shares(self) -> Array:
        weights = np.asarray(self.shares, dtype=np.float64)
        return np.asarray(weights / weights.sum())

    def radial_dispersion(self, radius: ArrayLike) -> Array:
        """sigma_r (km/s) at radii (kpc)."""
        squares = [part.radial_dispersion(radius) ** 2 for part in self.parts]
        return np.asarray(np.sqrt(np.tensordot(self._shares(), np.stack(squares), axes=1)))

    def anisotropy(self, radius: ArrayLike) -> Array:
        """beta at radii (kpc)."""
        radial = np.stack([part.radial_dispersion(radius) ** 2 for part in self.parts])
        across = radial * (1.0 - np.stack([part.anisotropy(radius) for part in self.parts]))
        shares = self._shares()
        return np.asarray(1.0 - np.tensordot(shares, across, axes=1) / np.tensordot(shares, radial, axes=1))

    def sample_velocities(
        self, x: ArrayLike, count: int, seed: int | np.random.Generator, *, workers: int | None = None
    ) -> Array:
        """Velocities (n, count, 3) km/s at places (n, 3) kpc: of each draw the part is drawn first."""
        rng = generator(seed)
        places = np.atleast_2d(np.asarray(x, dtype=np.float64))
        which = rng.choice(len(self.parts), size=(len(places), count), p=self._shares())
        out = np.empty((len(places), count, 3))
        for number, part in enumerate(self.parts):
            drawn = part.sample_velocities(places, count, rng, workers=workers)
            out[which == number] = drawn[which == number]
        return out
