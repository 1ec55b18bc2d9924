"""From the amplitude of a density to a stellar mass, and from that to the halo the galaxy came in.

The sample holds N tracers; each stands for ``mass_per_tracer`` solar masses formed (`starloom.selection.tracers`). The
density of tracers at the Sun is then N over the integral of nu times the effective volume, and the mass the integral of
nu over a shell, between either spherical or ellipsoidal bounds: they are not the same, see `volume_integral`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import ConfigError
from starloom.halo.density import DensityModel
from starloom.halo.likelihood import HaloLikelihood
from starloom.halo.orientation import tensor_weights
from starloom.halo.posterior import Posterior
from starloom.seeds import generator

Array = NDArray[np.float64]
SHELL = (2.0, 70.0)  # kpc, of arXiv:2306.03084
ANGLES = 24
STEPS = 400


def volume_integral(
    model: DensityModel,
    parameters: ArrayLike,
    sun: ArrayLike,
    *,
    radii: tuple[float, float] = SHELL,
    bounds: str = "sphere",
) -> Array:
    """Integral of the halo's density, which is one at the Sun, over a shell.

    Parameters
    ----------
    model, parameters : the family, and parameters (..., k).
    sun : (3,) the Sun's place, kpc.
    radii : of the shell, kpc.
    bounds : ``sphere``: between Galactocentric radii; ``ellipsoid``: between ellipsoidal radii m along the long axis.

    Returns
    -------
    ndarray
        (...) kpc3. The radial integrals of the power laws are closed; that over angles, a Gauss-Legendre rule on an
        octant of the ellipsoid, is good to 1e-4 for axis ratios above 0.1 and to 1e-9 above 0.4.

    Raises
    ------
    ConfigError
        When the radii do not grow or the bounds are unknown.
    """
    near, far = radii
    if not 0.0 < near < far:
        raise ConfigError(f"a shell goes from an inner to a larger outer radius above 0, got {near:g} to {far:g}")
    if bounds not in ("sphere", "ellipsoid"):
        raise ConfigError(f"bounds are 'sphere' or 'ellipsoid', not {bounds!r}")
    points = np.atleast_2d(np.asarray(parameters, dtype=np.float64))
    found = np.empty(len(points))
    here = np.asarray(sun, dtype=np.float64)
    for row, point in enumerate(points):
        value = dict(zip(model.names, point, strict=True))
        p, q = value.get("p", 1.0), value.get("q", 1.0)
        form, radial, _, _ = model.parts(point)
        square = form[0] * here[0] ** 2 + form[1] * here[1] ** 2 + form[2] * here[2] ** 2
        square += 2.0 * (form[3] * here[0] * here[1] + form[4] * here[0] * here[2] + form[5] * here[1] * here[2])
        norm = np.exp(-_log_profile(np.sqrt(square), radial))
        if bounds == "ellipsoid":
            shell = _radial_integral(np.array([near, far]), radial)
            found[row] = norm * 4.0 * np.pi * p * q * (shell[1] - shell[0])
            continue
        stretch, weight = _octant(p, q)
        ends = _radial_integral(np.stack([near * stretch, far * stretch]), radial)
        found[row] = norm * float(np.sum(weight * stretch**-3.0 * (ends[1] - ends[0])))
    return found.reshape(np.shape(parameters)[:-1])


def _octant(p: float, q: float) -> tuple[Array, Array]:
    """m / r in directions of one octant, and their solid angles times eight."""
    nodes, weights = np.polynomial.legendre.leggauss(ANGLES)
    cosine, w = 0.5 * (nodes + 1.0), 0.5 * weights
    azimuth = 0.25 * np.pi * (nodes + 1.0)
    sine2 = 1.0 - cosine**2
    flat = np.cos(azimuth) ** 2 + np.sin(azimuth) ** 2 / p**2
    stretch = np.sqrt(sine2[:, None] * flat + (cosine**2)[:, None] / q**2)
    return stretch.ravel(), (8.0 * w[:, None] * (0.25 * np.pi * weights)).ravel()


def _log_profile(m: float, radial: Array) -> float:
    a1, a2, a3, b1, b2, k = radial
    ell = float(np.log(m))
    return float(-a1 * ell - (a2 - a1) * max(0.0, ell - b1) - (a3 - a2) * max(0.0, ell - b2) - k * m)


def _radial_integral(m: Array, radial: Array) -> Array:
    """Integral of m^2 nu(m) from 1e-3 kpc, up to a constant, at each m."""
    a1, a2, a3, b1, b2, k = radial
    if k > 0:
        return _by_steps(m, radial)
    total = np.zeros(m.shape)
    inner, log_amplitude = 1e-3, 0.0
    slopes, breaks = (a1, a2, a3), (b1, b2, np.inf)
    for number, (slope, edge) in enumerate(zip(slopes, breaks, strict=True)):
        outer = float(np.exp(edge)) if edge < 700.0 else np.inf
        upper = np.minimum(m, outer)
        power = 3.0 - slope
        start = max(inner, 1e-3)
        part = np.where(upper > start, _power(upper, power) - _power(np.asarray(start), power), 0.0)
        total = total + np.exp(log_amplitude) * part
        if not np.isfinite(outer):
            break
        log_amplitude += (slopes[number + 1] - slope) * edge
        inner = outer
    return np.asarray(total)


def _power(m: Array, power: float) -> Array:
    """Integral of m^(power - 1), up to a constant, without loss of digits near power 0."""
    log = np.log(m)
    return np.asarray(log if abs(power) < 1e-12 else np.expm1(power * log) / power)


def _by_steps(m: Array, radial: Array) -> Array:
    """The same where an exponential cuts the density off: Gauss-Legendre in ln m between all the ends."""
    a1, k = radial[0], radial[5]
    flat, order = np.unique(m.ravel(), return_inverse=True)
    nodes, weights = np.polynomial.legendre.leggauss(8)
    edges = np.log(np.concatenate([[1e-3], flat]))
    pieces = []
    for low, high in pairwise(edges):
        cuts = np.linspace(low, high, max(2, int(np.ceil((high - low) / 0.25)) + 1))
        ell = cuts[:-1, None] + 0.5 * np.diff(cuts)[:, None] * (nodes + 1.0)
        body = np.exp((3.0 - a1) * ell - k * np.exp(ell))
        pieces.append(float(np.sum(0.5 * np.diff(cuts)[:, None] * weights * body)))
    return np.asarray(np.cumsum(pieces)[order].reshape(m.shape))


@dataclass(frozen=True)
class MassPosterior:
    """Draws of a stellar mass.

    Parameters
    ----------
    mass : (n,) Msun formed, inside the shell, of the halo alone.
    density : (n,) tracers per kpc3 at the Sun, halo and disk.
    disk_stars : (n,) stars of the sample that belong to the disk, expected.
    radii, bounds : of the shell.
    weight : (n,) with which the draws are those of a prior even in the tensor of the shape, see
        `starloom.halo.orientation.tensor_weights`; ones where the axes cannot turn.
    """

    mass: Array
    density: Array
    disk_stars: Array
    radii: tuple[float, float]
    bounds: str
    weight: Array

    def interval(self, share: float = 0.683, *, even_tensor: bool = False) -> tuple[float, float, float]:
        """Median, low and high; with the prior that is even in p, q and the orientation, or in the shape's tensor."""
        edges = [0.5, 0.5 - 0.5 * share, 0.5 + 0.5 * share]
        if even_tensor:
            order = np.argsort(self.mass)
            below = np.cumsum(self.weight[order]) - 0.5 * self.weight[order]
            found = np.interp(edges, below / self.weight.sum(), self.mass[order])
        else:
            found = np.quantile(self.mass, edges)
        return float(found[0]), float(found[1]), float(found[2])


def stellar_mass(
    likelihood: HaloLikelihood,
    posterior: Posterior | ArrayLike,
    mass_per_tracer: float,
    *,
    radii: tuple[float, float] = SHELL,
    bounds: str = "sphere",
    draws: int = 2000,
    poisson: bool = True,
    seed: int | np.random.Generator = 0,
) -> MassPosterior:
    """Stellar mass of each draw of a posterior.

    Parameters
    ----------
    likelihood : with the stars and the volume, whose weights are for all tracers (not for each star formed).
    posterior : draws, or parameters (n, k).
    mass_per_tracer : Msun formed for each tracer.
    radii, bounds : of the shell.
    draws : of the posterior to use, evenly spaced.
    poisson : the amplitude is drawn too, from the Gamma(N) that a Poisson process with a flat prior in its logarithm
        has; without it the amplitude is N over the integral, as in arXiv:2306.03084.
    seed : of the draws of the amplitude.
    """
    rng, model = generator(seed), likelihood.model
    flat = posterior.flat if isinstance(posterior, Posterior) else np.atleast_2d(np.asarray(posterior, float))
    chosen = flat[np.unique(np.linspace(0, len(flat) - 1, min(draws, len(flat))).astype(int))]
    stars = len(likelihood.stars)
    parts = np.array([likelihood.expected(point) for point in chosen])
    outliers = np.array([model.parts(point)[3] for point in chosen])
    disk = np.array([model.parts(point)[2] for point in chosen])
    number = rng.gamma(stars, size=len(chosen)) if poisson else np.full(len(chosen), float(stars))
    density = number * (1.0 - outliers) / parts.sum(axis=1)
    volume = volume_integral(model, chosen, likelihood.volume.sun, radii=radii, bounds=bounds)
    of_disk = stars * (1.0 - outliers) * parts[:, 1] / parts.sum(axis=1)
    weight = tensor_weights(chosen) if model.turning else np.ones(len(chosen))
    mass = density * (1.0 - disk) * volume * mass_per_tracer
    return MassPosterior(mass, density, of_disk, radii, bounds, weight)


# ------------------------------------------------------------------------------------------------- to dark matter


def halo_mass(stellar: ArrayLike, redshift: float) -> Array:
    """Mass of the dark halo (Msun) in which galaxies of a stellar mass live on average (arXiv:1205.5807, table 1).

    Below the masses with which the relation was made it is its power law gone on with.

    Examples
    --------
    >>> float(np.log10(halo_mass(1.45e8, 2.0)).round(1))
    10.9
    """
    mass = np.asarray(stellar, dtype=np.float64)
    if not redshift >= 0 or not (mass > 0).all():
        raise ConfigError("a halo mass needs stellar masses above 0 and a redshift of at least 0")
    log_halo = np.linspace(7.0, 15.5, 4000)
    return np.asarray(10.0 ** np.interp(np.log10(mass), np.log10(_moster(10.0**log_halo, redshift)), log_halo))


def _moster(halo: Array, redshift: float) -> Array:
    late = redshift / (1.0 + redshift)
    knee = 10.0 ** (11.590 + 1.195 * late)
    peak, low, high = 0.0351 - 0.0247 * late, 1.376 - 0.826 * late, 0.608 + 0.329 * late
    return np.asarray(halo * 2.0 * peak / ((halo / knee) ** -low + (halo / knee) ** high))


def earlier_halo_mass(now: float, redshift: float) -> float:
    """Mass (Msun) that a halo of ``now`` Msun had at a redshift, at the mean growth of arXiv:1001.2304, equation 2.

    Examples
    --------
    >>> 2e11 < earlier_halo_mass(1.2e12, 2.0) < 5e11
    True
    """
    hubble = 7.466e-11  # 1/yr: 73 km/s/Mpc, of the simulation whose growth per year the rate is
    # the expansion rate of both the growth and of dt = dz / ((1 + z) H) drops out, and what is left has an integral
    growth = 46.1e-12 / hubble * (1.11 * redshift - 0.11 * np.log1p(redshift))
    return float(1e12 * ((now / 1e12) ** -0.1 + 0.1 * growth) ** -10)
