"""Made galaxies with magnitudes, errors and true redshifts, for tests of calibration where the truth has to be known.

The spectra are drawn with a few strokes: an old population with a break at 4000 Angstrom, a young one with a blue
continuum and strong lines, attenuation by dust, and absorption by hydrogen along the way. So colors run with redshift
as they do in the sky, with the confusion of the two breaks that makes some colors stand for two redshifts; the numbers
are not meant to be those of real galaxies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from starloom.errors import ConfigError
from starloom.seeds import generator

if TYPE_CHECKING:
    from astropy.table import QTable

Array = NDArray[np.float64]
HIGHEST = 4.0
REDSHIFTS = np.linspace(0.0, HIGHEST, 401)
TYPES = np.linspace(0.0, 1.0, 21)
REDDENINGS = np.linspace(0.0, 0.6, 7)
LINES = (
    (1216.0, 30.0),
    (3727.0, 35.0),
    (4861.0, 12.0),
    (5007.0, 40.0),
    (6563.0, 60.0),
)  # Angstrom, width of a young one
POINTS = 24  # wavelengths across a band
SLICE = 0.02  # thickness in redshift of the walls and voids


@dataclass(frozen=True)
class Band:
    """A rectangular band: central wavelength and width (Angstrom), and the magnitude at which the error is 1/5."""

    center: float
    width: float
    depth: float


# about what a Euclid-like survey with ground-based photometry would have
WIDE_SURVEY: Mapping[str, Band] = {
    "u": Band(3800.0, 600.0, 25.8),
    "g": Band(4780.0, 1300.0, 26.3),
    "r": Band(6250.0, 1300.0, 26.1),
    "i": Band(7650.0, 1400.0, 25.9),
    "z": Band(9050.0, 1200.0, 25.3),
    "Y": Band(10200.0, 900.0, 24.9),
    "J": Band(12500.0, 1700.0, 24.9),
    "H": Band(16400.0, 2900.0, 24.9),
}


@dataclass(frozen=True)
class MockSurvey:
    """What is made.

    Parameters
    ----------
    galaxies : number of rows.
    bands : name -> band.
    selection : band and faintest magnitude of the sample.
    brightest : brightest magnitude of it.
    patches : pieces of the sky along right ascension.
    clustering : scatter of the logarithm of the density between slices of redshift of one patch; 0 for none.
    name, error_name : how the columns are called, with ``{}`` for the band.
    """

    galaxies: int = 50_000
    bands: Mapping[str, Band] = field(default_factory=lambda: WIDE_SURVEY)
    selection: tuple[str, float] = ("i", 24.5)
    brightest: float = 18.0
    patches: int = 16
    clustering: float = 0.0
    name: str = "{}"
    error_name: str = "{}_err"

    def __post_init__(self) -> None:
        if self.selection[0] not in self.bands:
            raise ConfigError(f"the selection is in {self.selection[0]!r}, which is none of {', '.join(self.bands)}")
        if self.galaxies < 1 or self.patches < 1:
            raise ConfigError("a made survey has at least one galaxy and one patch")


def make(survey: MockSurvey, seed: int | np.random.Generator) -> QTable:
    """Make a table of galaxies.

    Returns
    -------
    QTable
        ``id``, ``ra``, ``dec``, ``patch``, a magnitude and an error a band (NaN where the flux is not positive by
        twice its error), and the truth: ``redshift``, ``galaxy_type`` (0 old, 1 young), ``reddening``.
    """
    from astropy import units as u
    from astropy.table import QTable

    rng = generator(seed)
    n = survey.galaxies
    magnitude = _magnitudes(n, survey.brightest, survey.selection[1], rng)
    patch = rng.integers(survey.patches, size=n)
    redshift = _redshifts(magnitude, patch, survey, rng)
    young = np.clip(rng.beta(0.9, 0.9, n) ** (1.0 / (0.6 + 0.5 * redshift)), 0.0, 1.0)
    reddening = np.clip(rng.exponential(0.1, n) * (0.3 + young), 0.0, REDDENINGS[-1])
    colors = _colors(tuple(survey.bands.values()), redshift, young, reddening)
    colors -= colors[:, [list(survey.bands).index(survey.selection[0])]]
    table = QTable({"id": np.arange(n), "ra": 150.0 + (patch + rng.random(n)) / survey.patches, "dec": rng.random(n)})
    table["ra"].unit = table["dec"].unit = u.deg
    table["patch"] = patch
    for column, (name, band) in enumerate(survey.bands.items()):
        flux = 10.0 ** (-0.4 * (magnitude + colors[:, column] - band.depth))
        error = np.hypot(0.2, 0.01 * flux)
        seen = flux + error * rng.standard_normal(n)
        good = seen > 2.0 * error
        seen = np.where(good, seen, np.nan)
        table[survey.name.format(name)] = (band.depth - 2.5 * np.log10(seen)) * u.mag
        table[survey.error_name.format(name)] = 2.5 / np.log(10.0) * error / seen * u.mag
    table["redshift"], table["galaxy_type"], table["reddening"] = redshift, young, reddening
    return table


def _magnitudes(n: int, low: float, high: float, rng: np.random.Generator) -> Array:
    slope = 0.3 * np.log(10.0)  # counts rise as 10^(0.3 m)
    share = rng.random(n)
    return np.asarray(low + np.log1p(share * np.expm1(slope * (high - low))) / slope)


def _redshifts(magnitude: Array, patch: NDArray[np.int64], survey: MockSurvey, rng: np.random.Generator) -> Array:
    """z^2 exp(-(z / z0)^1.5) with z0 rising with magnitude, thinned by walls and voids where there are some."""
    scale = 0.10 + 0.085 * np.maximum(magnitude - 18.0, 0.0)
    walls = np.exp(survey.clustering * rng.standard_normal((survey.patches, int(HIGHEST / SLICE) + 1)))
    walls /= walls.max()
    found, left = np.zeros(len(magnitude)), np.arange(len(magnitude))
    while len(left):
        z = scale[left] * rng.gamma(2.0, 1.0, len(left)) ** (1.0 / 1.5)
        kept = (z < HIGHEST - 0.01) & (z > 0.01)
        if survey.clustering > 0:
            slices = np.minimum((z / SLICE).astype(np.int64), walls.shape[1] - 1)
            kept &= rng.random(len(left)) < walls[patch[left], slices]
        found[left[kept]] = z[kept]
        left = left[~kept]
    return found


def _spectrum(rest: Array, young: Array, reddening: Array) -> Array:
    """Flux per frequency at rest wavelengths (Angstrom); the shapes broadcast."""
    micron = rest / 1e4
    red = (rest / 5500.0) ** 1.6 * np.exp(-0.5 * np.maximum(micron - 1.0, 0.0))
    step = 1.0 / (1.0 + np.exp(-(rest - 3950.0) / 70.0))
    old = red * (0.08 + 0.92 * step) * np.where(rest < 2500.0, (rest / 2500.0) ** 3, 1.0)
    balmer = 0.75 + 0.25 / (1.0 + np.exp(-(rest - 3700.0) / 60.0))
    blue = 0.55 * (rest / 5500.0) ** 0.25 * balmer * np.exp(-0.25 * np.maximum(micron - 1.0, 0.0))
    lines = np.zeros_like(rest)
    for place, width in LINES:
        lines = lines + width / 60.0 * np.exp(-0.5 * ((rest - place) / 40.0) ** 2)
    flux = (1.0 - young) * old + young * (blue + 0.6 * young * lines)
    dust = 10.0 ** (-0.4 * 3.8 * reddening * (rest / 5500.0) ** -0.8)
    limit = 1.0 / (1.0 + np.exp(-(rest - 912.0) / 8.0))
    return np.asarray(flux * dust * np.maximum(limit, 1e-3))


@cache
def _grid(bands: tuple[Band, ...]) -> Array:
    """Magnitudes (up to a constant a galaxy) on the grid of redshift, type and reddening, (z, t, e, bands)."""
    found = np.empty((len(REDSHIFTS), len(TYPES), len(REDDENINGS), len(bands)))
    for place, band in enumerate(bands):
        seen = band.center + band.width * (np.arange(POINTS) + 0.5 - POINTS / 2) / POINTS
        rest = seen / (1.0 + REDSHIFTS)[:, None]
        # the forest takes a growing part of the light blueward of Lyman alpha
        forest = np.where(rest < 1216.0, np.exp(-0.0036 * (seen / 1216.0) ** 3.46), 1.0)
        flux = _spectrum(rest[:, None, None, :], TYPES[:, None, None], REDDENINGS[:, None])
        found[..., place] = -2.5 * np.log10((flux * forest[:, None, None, :]).mean(axis=-1))
    return found


def _colors(bands: tuple[Band, ...], redshift: Array, young: Array, reddening: Array) -> Array:
    from scipy.interpolate import RegularGridInterpolator

    table = RegularGridInterpolator((REDSHIFTS, TYPES, REDDENINGS), _grid(bands))
    return np.asarray(table(np.stack([redshift, young, reddening], axis=1)))
