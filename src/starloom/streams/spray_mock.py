"""The "realistic" mock stream of arXiv:2311.16960 (mock 2 there) with its truth: one star in a hundred, Gaia's errors.

A globular cluster of 1e4 Msun is dissolved in gala's Milky Way by particle spray (2015MNRAS.452..301F), on the orbit
that the paper gives. Its background came from a flow trained on simulated Gaia stars, which is not published; here it
is made of named distributions (a power law in distance, a normal in proper motion, a Gaussian mixture of colors and
magnitudes around old isochrones), so that the true density of every star is known and with it what an oracle finds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from starloom.errors import ConfigError
from starloom.seeds import generator
from starloom.simulation.gaia_errors import release

if TYPE_CHECKING:
    from astropy.table import QTable

Array = NDArray[np.float64]
PAPER_SEED = 42
STREAM, BACKGROUND = 301, 30_000
CENTER, HALF = (148.94, 36.16), (19.0, 5.0)  # deg: plain ra and dec, which the paper calls phi1 and phi2
PHI1, PHI2 = (CENTER[0] - HALF[0], CENTER[0] + HALF[0]), (CENTER[1] - HALF[1], CENTER[1] + HALF[1])
BACKGROUND_DISTANCE = (5.0, 15.0)  # kpc
BACKGROUND_PM = (-2.0, 3.0)  # mas/yr: mean and width
PARALLAX, PM = (-1.5, 2.0), (-16.0, 8.0)  # windows, mas and mas/yr
MAGNITUDE, COLOR = (12.0, 21.0), (-0.5, 2.0)  # windows of g and of g - r
BRIGHTER = 1.8  # mag: the paper's shift, so that the stream's giants and turn-off are within Gaia's reach
SCATTER = 0.05  # mag, each band
_STEPS = 8000
_MIXTURE = 24


@dataclass(frozen=True)
class SprayMock:
    """The stars and what is true of them.

    Attributes
    ----------
    table : phi1, phi2 (deg), parallax (mas), pm_phi1_cosphi2 (mas/yr), their errors, g_mag, r_mag, and the truth
        ``component``.
    oracle : probability of the stream by the true densities, (n,).
    """

    table: QTable
    oracle: Array

    @property
    def true(self) -> NDArray[np.bool_]:
        """Which stars are the stream's."""
        return np.asarray(np.asarray(self.table["component"]) == "stream")


@cache
def stream_particles() -> Array:
    """ra, dec (deg), distance (kpc), pm_ra cos dec (mas/yr) of the debris inside the field, (n, 4).

    About 9,000 particles of one dissolution, from which every mock draws its stars.
    """
    import astropy.coordinates as coord
    import astropy.units as u
    import gala.dynamics as gd
    import gala.potential as gp
    from gala.dynamics import mockstream

    frame = coord.Galactocentric(**coord.galactocentric_frame_defaults.get_from_registry("v4.0")["parameters"])
    start = coord.SkyCoord(
        ra=CENTER[0] * u.deg,
        dec=CENTER[1] * u.deg,
        distance=7.56 * u.kpc,
        pm_ra_cosdec=-8.0 * u.mas / u.yr,
        pm_dec=-6.0 * u.mas / u.yr,
        radial_velocity=0.0 * u.km / u.s,
    )
    spray = mockstream.FardalStreamDF(
        gala_modified=True, lead=True, trail=True, random_state=np.random.RandomState(PAPER_SEED)
    )
    maker = mockstream.MockStreamGenerator(spray, gp.Hamiltonian(gp.MilkyWayPotential(version="v1")))
    now = gd.PhaseSpacePosition(start.transform_to(frame).data)
    debris, _ = maker.run(now, 1e4 * u.Msun, t=np.linspace(0.0, -2.0, _STEPS) * u.Gyr)
    sky = debris.to_coord_frame(coord.ICRS(), galactocentric_frame=frame)
    columns = (sky.ra.deg, sky.dec.deg, sky.distance.to_value(u.kpc), sky.pm_ra_cosdec.to_value(u.mas / u.yr))
    particles = np.stack(columns, axis=1)
    inside = (np.abs(particles[:, 0] - CENTER[0]) < HALF[0]) & (np.abs(particles[:, 1] - CENTER[1]) < HALF[1])
    found: Array = particles[inside]
    return found


def make(mass: Array, magnitudes: Array, seed: int = PAPER_SEED, *, parallax_errors: float = 1.0) -> SprayMock:
    """Draw the mock.

    Parameters
    ----------
    mass, magnitudes : initial mass (Msun), shape (n,), and absolute (g, r), shape (n, 2), along an isochrone from its
        faint end to where the mass stops growing. The mass function is dN/dm ~ m^-1/2, cut where g leaves the window.
    seed : of the stars drawn; the stream itself is always the same.
    parallax_errors : factor on Gaia's parallax errors (the paper: 1/20).
    """
    import astropy.units as u
    from astropy.table import QTable

    if len(mass) != len(magnitudes) or (np.diff(mass) <= 0).any():
        raise ConfigError("the mock needs an isochrone whose mass grows from point to point, with two bands")
    if not 0 < parallax_errors < np.inf:
        raise ConfigError(f"parallax_errors is a positive factor, got {parallax_errors}")
    rng = generator(seed)
    population = _Population(mass, magnitudes)
    colors = _Colors(population)
    particles = stream_particles()
    pieces = [_stream(particles, population, parallax_errors, rng), _background(colors, parallax_errors, rng)]
    star = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
    stream = _stream_density(particles, star, population)
    log_odds = np.log(STREAM / BACKGROUND) + stream - _background_density(star, colors)
    order = rng.permutation(len(log_odds))
    units = {"phi1": u.deg, "phi2": u.deg, "parallax": u.mas, "parallax_error": u.mas, "g_mag": u.mag, "r_mag": u.mag}
    units |= dict.fromkeys(("pm_phi1_cosphi2", "pm_phi1_cosphi2_error"), u.mas / u.yr)
    table = QTable({"source_id": np.arange(1, len(order) + 1, dtype=np.int64)})
    for name, unit in units.items():
        table[name] = star[name][order] * unit
    table["component"] = np.repeat(["stream", "background"], [STREAM, BACKGROUND])[order]
    return SprayMock(table, 1.0 / (1.0 + np.exp(-np.clip(log_odds[order], -700.0, 700.0))))


class _Population:
    """Stars along the isochrone: draws of (g, r), and their exact density at a distance modulus."""

    def __init__(self, mass: Array, magnitudes: Array) -> None:
        shifted = magnitudes - BRIGHTER
        root = np.sqrt(mass)
        # the mass function m^-1/2 is uniform in the root of the mass
        self.root = np.linspace(root[0], root[-1], 400)
        self.magnitudes = np.stack([np.interp(self.root, root, band) for band in shifted.T], axis=1)

    def draw(self, modulus: Array, rng: np.random.Generator) -> Array:
        """(g, r) inside the window at each distance modulus, (n, 2)."""
        found = np.full((len(modulus), 2), np.nan)
        for _ in range(1000):
            rows = np.flatnonzero(~_in_window(found))
            if len(rows) == 0:
                return found
            root = rng.uniform(self.root[0], self.root[-1], len(rows))
            absolute = np.stack([np.interp(root, self.root, band) for band in self.magnitudes.T], axis=1)
            found[rows] = absolute + modulus[rows, None] + SCATTER * rng.standard_normal((len(rows), 2))
        raise ConfigError("the isochrone has next to no star within the window of magnitudes")

    def log_density(self, magnitudes: Array, modulus: Array) -> Array:
        """Log density of (g, r) at each star's distance modulus, normalized over the window, (n,)."""
        sums, window = np.zeros(len(modulus)), np.zeros(len(modulus))
        for point in self.magnitudes:
            mean = point + modulus[:, None]
            sums += np.exp(-0.5 * (((magnitudes - mean) / SCATTER) ** 2).sum(axis=1)) / (2.0 * np.pi * SCATTER**2)
            window += ndtr((MAGNITUDE[1] - mean[:, 0]) / SCATTER) - ndtr((MAGNITUDE[0] - mean[:, 0]) / SCATTER)
        found: Array = np.log(np.maximum(sums, 1e-300)) - np.log(np.maximum(window, 1e-300))
        return found


class _Colors:
    """The background's (g, r): a Gaussian mixture fitted to old stars at the background's distances, then the truth."""

    def __init__(self, population: _Population) -> None:
        from sklearn.mixture import GaussianMixture

        rng = generator(0)  # the truth is one, whatever the stars drawn
        count = 20_000
        modulus = 5.0 * np.log10(100.0 * _distances(rng.random(count)))
        stars = population.draw(modulus + BRIGHTER, rng)  # the field is not shifted
        metal = np.abs(rng.normal(0.0, 0.12, count))  # redder, the more metals
        stars[:, 1] -= np.where(rng.random(count) < 0.5, metal, 0.0)
        dwarfs = rng.random(count) < 0.45  # faint red dwarfs in front
        red = np.stack([rng.triangular(14.0, 21.0, 21.0, count), rng.normal(1.15, 0.22, count)], axis=1)
        stars[dwarfs] = np.stack([red[dwarfs, 0], red[dwarfs, 0] - red[dwarfs, 1]], axis=1)
        self.mixture = GaussianMixture(_MIXTURE, random_state=0, max_iter=200).fit(stars[_in_window(stars)])
        drawn = self.mixture.sample(200_000)[0]
        self.inside = float(_in_window(drawn).mean())

    def draw(self, count: int, rng: np.random.Generator) -> Array:
        means, covariances = self.mixture.means_, self.mixture.covariances_
        found = np.full((count, 2), np.nan)
        while len(rows := np.flatnonzero(~_in_window(found))):
            piece = rng.choice(_MIXTURE, len(rows), p=self.mixture.weights_)
            roots = np.linalg.cholesky(covariances)[piece]
            found[rows] = means[piece] + np.einsum("nij,nj->ni", roots, rng.standard_normal((len(rows), 2)))
        return found

    def log_density(self, magnitudes: Array) -> Array:
        return np.asarray(self.mixture.score_samples(magnitudes) - np.log(self.inside), dtype=np.float64)


def _in_window(magnitudes: Array) -> NDArray[np.bool_]:
    g, color = magnitudes[:, 0], magnitudes[:, 0] - magnitudes[:, 1]
    with np.errstate(invalid="ignore"):
        found: NDArray[np.bool_] = (g > MAGNITUDE[0]) & (g < MAGNITUDE[1]) & (color > COLOR[0]) & (color < COLOR[1])
    return found


def _distances(fraction: Array) -> Array:
    """Quantiles of the background's distances (kpc)."""
    low, high = BACKGROUND_DISTANCE
    return np.asarray(low * (high / low) ** fraction)  # density d^-3 times the volume d^2: even in log d


def _noisy(
    true: Callable[[NDArray[np.int64]], Array], error: Array, window: tuple[float, float], rng: np.random.Generator
) -> Array:
    """Values with noise inside a window of the selection: what falls outside is another star, drawn anew."""
    found = np.full(len(error), np.nan)
    while len(rows := np.flatnonzero(~((found > window[0]) & (found < window[1])))):
        found[rows] = true(rows) + error[rows] * rng.standard_normal(len(rows))
    return found


def _observed(
    phi: Array,
    parallax: Callable[[NDArray[np.int64]], Array],
    pm: Callable[[NDArray[np.int64]], Array],
    magnitudes: Array,
    factor: float,
    rng: np.random.Generator,
) -> dict[str, Array]:
    gaia = release("dr3")
    parallax_error = factor * gaia.parallax_error(magnitudes[:, 0])
    pm_error, _ = gaia.proper_motion_errors(magnitudes[:, 0])
    return {
        "phi1": phi[:, 0],
        "phi2": phi[:, 1],
        "parallax": _noisy(parallax, parallax_error, PARALLAX, rng),
        "parallax_error": parallax_error,
        "pm_phi1_cosphi2": _noisy(pm, pm_error, PM, rng),
        "pm_phi1_cosphi2_error": pm_error,
        "g_mag": magnitudes[:, 0],
        "r_mag": magnitudes[:, 1],
    }


def _stream(particles: Array, population: _Population, factor: float, rng: np.random.Generator) -> dict[str, Array]:
    chosen = particles[rng.choice(len(particles), STREAM, replace=False)]
    magnitudes = population.draw(5.0 * np.log10(100.0 * chosen[:, 2]), rng)
    parallax = 1.0 / chosen[:, 2]
    return _observed(chosen[:, :2], parallax.__getitem__, chosen[:, 3].__getitem__, magnitudes, factor, rng)


def _background(colors: _Colors, factor: float, rng: np.random.Generator) -> dict[str, Array]:
    phi = np.stack([rng.uniform(*PHI1, BACKGROUND), rng.uniform(*PHI2, BACKGROUND)], axis=1)

    def parallax(rows: NDArray[np.int64]) -> Array:
        found: Array = 1.0 / _distances(rng.random(len(rows)))
        return found

    def pm(rows: NDArray[np.int64]) -> Array:
        return np.asarray(rng.normal(*BACKGROUND_PM, len(rows)))

    return _observed(phi, parallax, pm, colors.draw(BACKGROUND, rng), factor, rng)


def _background_density(star: dict[str, Array], colors: _Colors) -> Array:
    magnitudes = np.stack([star["g_mag"], star["r_mag"]], axis=1)
    area = (PHI1[1] - PHI1[0]) * (PHI2[1] - PHI2[0])
    total = colors.log_density(magnitudes) - np.log(area)
    width = np.hypot(BACKGROUND_PM[1], star["pm_phi1_cosphi2_error"])
    total += _log_normal(star["pm_phi1_cosphi2"], BACKGROUND_PM[0], width, PM)
    fraction = (np.arange(64) + 0.5) / 64  # equal shares of the stars
    error = star["parallax_error"]
    density, inside = np.zeros(len(error)), np.zeros(len(error))
    for parallax in 1.0 / _distances(fraction):
        density += np.exp(_log_normal(star["parallax"], parallax, error, (-np.inf, np.inf)))
        inside += ndtr((PARALLAX[1] - parallax) / error) - ndtr((PARALLAX[0] - parallax) / error)
    return np.asarray(total + np.log(np.maximum(density / inside, 1e-300)))


def _stream_density(particles: Array, star: dict[str, Array], population: _Population) -> Array:
    """True density of the debris: in phi1 by counts, across it a normal whose moments follow the particles."""
    edges = np.arange(PHI1[0], PHI1[1] + 1.0, 1.0)
    counts = np.histogram(particles[:, 0], edges)[0] / len(particles)
    along = np.log(np.maximum(np.interp(star["phi1"], 0.5 * (edges[1:] + edges[:-1]), counts), 1e-9))
    order = np.argsort(particles[:, 0])
    phi1 = particles[order, 0]
    # distance is so nearly a function of phi1 that its scatter is taken as independent of the rest
    across = np.stack([particles[order, 1], particles[order, 3], 1.0 / particles[order, 2]], axis=1)
    trend = [np.polynomial.Polynomial.fit(phi1, column, 9) for column in across.T]
    left = across - np.stack([curve(phi1) for curve in trend], axis=1)
    window = 301
    kernel = np.ones(window) / window
    moments = {
        (a, b): np.convolve(np.pad(left[:, a] * left[:, b], window // 2, mode="edge"), kernel, "valid")
        for a, b in ((0, 0), (1, 1), (0, 1), (2, 2))
    }
    at = {pair: np.interp(star["phi1"], phi1, values) for pair, values in moments.items()}
    d2, dpm, dplx = (
        star[name] - curve(star["phi1"])
        for name, curve in zip(("phi2", "pm_phi1_cosphi2", "parallax"), trend, strict=True)
    )
    xx, yy, xy = at[0, 0], at[1, 1] + star["pm_phi1_cosphi2_error"] ** 2, at[0, 1]
    determinant = xx * yy - xy**2
    chi2 = (yy * d2**2 - 2.0 * xy * d2 * dpm + xx * dpm**2) / determinant
    width = np.sqrt(at[2, 2] + star["parallax_error"] ** 2)
    total = along - 0.5 * chi2 - 0.5 * np.log(determinant) - np.log(2.0 * np.pi)
    total += _log_normal(dplx, 0.0, width, (-np.inf, np.inf))
    modulus = 10.0 - 5.0 * np.log10(np.maximum(trend[2](star["phi1"]), 1e-3))
    magnitudes = np.stack([star["g_mag"], star["r_mag"]], axis=1)
    return np.asarray(total + population.log_density(magnitudes, modulus))


def _log_normal(x: Array, mean: Array | float, width: Array, window: tuple[float, float]) -> Array:
    inside = ndtr((window[1] - mean) / width) - ndtr((window[0] - mean) / width)
    found: Array = -0.5 * ((x - mean) / width) ** 2 - np.log(width * np.sqrt(2.0 * np.pi)) - np.log(inside)
    return found
