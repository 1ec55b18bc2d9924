"""Disks of given density and a flattened bulge: their potential solved once and kept as a smooth table.

Kuijken & Dubinski 1995 (MNRAS 277, 1341) and Dehnen & Binney 1998 (astro-ph/9612059): for disks Sigma_i(R) h_i(z) with
h_i = H_i'' the sum 4 pi G Sigma_i(r) H_i(z), r spherical, holds what is thin, and a multipole expansion the rest:

    rho_rest = rho - sum_i [Sigma_i(r) h_i + Sigma_i'' H_i + (2/r) Sigma_i' (H_i + z H_i')]

The potential is then tabulated on a grid in asinh(R / s), asinh(z / s) as a tensor spline of fifth order, four times
differentiable, so that high-order integrators keep their order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from starloom.dynamics import force_kernels as kernels

Array = NDArray[np.float64]
DEGREES = 60  # even multipoles up to this one
SHELLS = (1e-5, 2e3, 360)  # kpc: inner and outer radius of the multipole's shells, and how many
SCALE, REACH, CELLS = 0.05, 300.0, 160  # kpc, kpc, and cells on each axis of the table
ORDER, PAD = 5, 24  # of the spline; nodes beyond the table, where the ends of an interpolating spline do no harm


@dataclass(frozen=True)
class Disk:
    """One disk: Sigma(R) = sigma exp(-hole / R - R / length), with a vertical profile of unit integral.

    Parameters
    ----------
    sigma : Msun/kpc^2. length, hole, height : kpc.
    sech2 : sech^2(z / 2 height) / (4 height) rather than exp(-|z| / height) / (2 height).
    """

    sigma: float
    length: float
    height: float
    hole: float = 0.0
    sech2: bool = False

    def surface(self, r: Array) -> tuple[Array, Array, Array]:
        """Sigma and its first and second derivative."""
        value = self.sigma * np.exp(-self.hole / r - r / self.length)
        slope = self.hole / r**2 - 1.0 / self.length
        return value, value * slope, value * (slope**2 - 2.0 * self.hole / r**3)

    def profile(self, z: Array) -> tuple[Array, Array, Array]:
        """h, and H and H' with H'' = h."""
        h, size = self.height, np.abs(z)
        if self.sech2:
            half = size / (2.0 * h)
            log_cosh = half + np.log1p(np.exp(-2.0 * half)) - math.log(2.0)
            thin = 1.0 / (4.0 * h) * (1.0 - np.tanh(half) ** 2)
            return thin, h * log_cosh, np.sign(z) * 0.5 * np.tanh(half)
        fall = np.exp(-size / h)
        return fall / (2.0 * h), 0.5 * h * (fall - 1.0 + size / h), np.sign(z) * 0.5 * (1.0 - fall)


@dataclass(frozen=True)
class Bulge:
    """rho = density (1 + m / core)^-slope exp(-(m / cut)^2), m^2 = R^2 + z^2 / flattening^2; Msun/kpc^3 and kpc."""

    density: float
    core: float
    cut: float
    slope: float
    flattening: float

    def __call__(self, radius: Array, z: Array) -> Array:
        """Density at cylindrical radius and height (kpc)."""
        m = np.hypot(radius, z / self.flattening)
        return np.asarray(self.density * (1.0 + m / self.core) ** -self.slope * np.exp(-((m / self.cut) ** 2)))


@dataclass(frozen=True)
class DiskAndBulge:
    """Disks and a bulge as one component of a potential; see :class:`starloom.dynamics.components.MassComponent`."""

    name: str
    disks: tuple[Disk, ...]
    bulge: Bulge
    kind: str = "disks_and_bulge"

    def scaled(self, factor: float) -> DiskAndBulge:
        """The same with its mass times a factor."""
        disks = tuple(replace(disk, sigma=disk.sigma * factor) for disk in self.disks)
        return replace(self, disks=disks, bulge=replace(self.bulge, density=self.bulge.density * factor))

    @property
    def numbers(self) -> dict[str, float]:
        """Its parameters, for a record."""
        found: dict[str, float] = {}
        for number, disk in enumerate(self.disks):
            found |= {f"{key}_{number}": float(value) for key, value in vars(disk).items()}
        return found | {f"bulge_{key}": float(value) for key, value in vars(self.bulge).items()}

    def density(self, radius: Array, z: Array) -> Array:
        """Msun/kpc^3 at cylindrical radius and height (kpc)."""
        total = self.bulge(radius, z)
        for disk in self.disks:
            total = total + disk.surface(np.maximum(radius, 1e-9))[0] * disk.profile(z)[0]
        return total

    def packed(self) -> tuple[int, list[float]]:
        """Kind and numbers for the compiled functions."""
        return kernels.AXISYMMETRIC_TABLE, solve(self)


def solve(parts: DiskAndBulge) -> list[float]:
    """The table of the potential, as the compiled functions read it."""
    from scipy.interpolate import make_interp_spline

    from starloom.dynamics.components import G

    step = math.asinh(REACH / SCALE) / CELLS
    nodes = step * np.arange(-PAD, CELLS + PAD + 1)
    place = SCALE * np.sinh(nodes[PAD:])
    radius, z = np.meshgrid(np.maximum(place, 1e-9), place, indexing="ij")
    r = np.maximum(np.hypot(radius, z), SHELLS[0])
    total, moments = _multipoles(parts, r, z / r)
    for disk in parts.disks:
        total += 4.0 * math.pi * disk.surface(r)[0] * disk.profile(z)[1]
    total *= G
    # an even function of R and of z goes on smoothly through the axis and through the plane
    mirrored = np.concatenate([total[PAD:0:-1], total])
    mirrored = np.concatenate([mirrored[:, PAD:0:-1], mirrored], axis=1)
    along = make_interp_spline(nodes, mirrored, k=ORDER)
    both = make_interp_spline(nodes, np.asarray(along.c).T, k=ORDER)
    # far from the ends coefficient k is that of the uniform spline centered on node k; a cell is reached by the splines
    # from two nodes before it to three after
    first = PAD - 2
    kept = np.asarray(both.c).T[first : first + CELLS + ORDER + 1, first : first + CELLS + ORDER + 1]
    size = float(CELLS + ORDER + 1)
    return [size, 1.0 / SCALE, 1.0 / step, REACH, *(G * moment for moment in moments), *kept.ravel().tolist()]


def _multipoles(parts: DiskAndBulge, r: Array, cosine: Array) -> tuple[Array, list[float]]:
    """Potential over G of the density that the disks' leading part leaves, at points; and the mass with the
    moments of second and fourth degree of the whole density."""
    from scipy.interpolate import CubicHermiteSpline
    from scipy.special import eval_legendre

    edges = np.geomspace(*SHELLS)
    node, weight = np.polynomial.legendre.leggauss(6)
    log_edges = np.log(edges)
    width = np.diff(log_edges)
    a = np.exp(log_edges[:-1, None] + 0.5 * width[:, None] * (1.0 + node))  # (shells, 6)
    w = 0.5 * width[:, None] * weight * a  # da
    mu, mu_weight = _angles()
    radius, z = a[..., None] * np.sqrt(1.0 - mu**2), a[..., None] * mu
    full = parts.density(radius, z)
    rest = full.copy()
    for disk in parts.disks:
        surface, slope, bend = disk.surface(a[..., None])
        thin, height, rise = disk.profile(z)
        rest -= surface * thin + bend * height + 2.0 / a[..., None] * slope * (height + z * rise)
    total = np.zeros_like(r)
    moments = {}
    for degree in range(0, DEGREES + 1, 2):
        legendre = eval_legendre(degree, mu)
        shells = (2 * degree + 1) * (rest * legendre * mu_weight).sum(axis=-1)  # (2l+1)/2 over [-1, 1]
        if degree <= 4:
            moments[degree] = float(
                (full * legendre * mu_weight).sum(axis=-1).ravel() @ (a ** (degree + 2) * w).ravel()
            )
        inner, outer = np.zeros(len(edges)), np.zeros(len(edges))
        for k in range(len(width)):
            grown = (edges[k] / edges[k + 1]) ** (degree + 1)
            inner[k + 1] = inner[k] * grown + np.sum((a[k] / edges[k + 1]) ** (degree + 1) * a[k] * shells[k] * w[k])
        for k in range(len(width) - 1, -1, -1):
            shrunk = (edges[k] / edges[k + 1]) ** degree
            outer[k] = outer[k + 1] * shrunk + np.sum((edges[k] / a[k]) ** degree * a[k] * shells[k] * w[k])
        value = -4.0 * math.pi / (2 * degree + 1) * (inner + outer)
        change = -4.0 * math.pi / (2 * degree + 1) * (degree * outer - (degree + 1) * inner)  # d/d ln r
        total += CubicHermiteSpline(log_edges, value, change)(np.log(r)) * eval_legendre(degree, cosine)
    return total, [4.0 * math.pi * moments[degree] for degree in (0, 2, 4)]


def _angles() -> tuple[Array, Array]:
    """Nodes and weights over cos(theta) in [0, 1], dense near the plane."""
    node, weight = np.polynomial.legendre.leggauss(24)
    edges = np.array([0.0, 0.003, 0.02, 0.1, 0.3, 0.6, 1.0])
    low, wide = edges[:-1, None], np.diff(edges)[:, None]
    return (low + 0.5 * wide * (1.0 + node)).ravel(), (0.5 * wide * weight).ravel()
