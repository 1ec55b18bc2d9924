"""Spectra of red giants as APOGEE would see them, from labels: made line lists, real instrument, known truth.

Lines lie at made places but for the hydrogen Brackett series and the heads of the CO bands, which are real. Each
species has lines of low and high excitation, which respond to temperature and gravity as such lines do; broad bands of
molecules follow carbon, nitrogen and oxygen. So a spectrum carries Teff, log g, [Fe/H] and a dozen abundances in the
tangled way of real ones, with saturation, continuum, sky lines, telluric residuals, missing chips and noise on top. It
is no model of a real star.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import ConfigError
from starloom.seeds import generator

Floats = NDArray[np.float64]

BRACKETT = (15264.7, 15346.0, 15443.1, 15560.7, 15704.9, 15884.9, 16113.7, 16411.7, 16811.1)
"""Vacuum wavelengths of hydrogen lines, Angstrom."""
CO_HEADS = (15582.0, 15780.0, 15982.0, 16189.0, 16397.0, 16613.0, 16840.0)
"""Heads of the second-overtone bands of CO, Angstrom, about."""
ALPHA = ("mg", "si", "ca", "ti", "s", "o")
ELEMENTS = ("fe", *ALPHA, "c", "n", "na", "al", "k", "v", "cr", "mn", "ni", "ce")
LINES = {"fe": 220, "mg": 14, "si": 40, "ca": 16, "ti": 24, "s": 10, "na": 4, "al": 6, "k": 4, "v": 14, "cr": 14,
         "mn": 10, "ni": 34, "ce": 10}  # fmt: skip
RESOLUTION = 22500.0
_PHYSICS = 20230210  # the made line list is the same for every seed


@dataclass(frozen=True)
class Template:
    """Optical depths of one group of lines, and how it answers to the labels.

    Parameters
    ----------
    depth : (pixels,) at the reference star (4,800 K, log g 2.5, solar).
    abundances : element -> power of its abundance.
    teff, logg : change of ln depth by 1,000 K, and by 1 dex of log g.
    """

    depth: Floats
    abundances: tuple[tuple[str, float], ...]
    teff: float
    logg: float


def _profile(wavelength: Floats, center: float, sigma: float, wing: float = 0.0) -> Floats:
    x = (wavelength - center) / sigma
    return np.asarray(np.exp(-0.5 * x**2) + wing / (1.0 + (x / 3.0) ** 2))


@lru_cache(maxsize=2)
def _templates(first: float, last: float, count: int) -> tuple[Template, ...]:
    """The line list on ``count`` pixels, equal in log10, from ``first`` to ``last`` Angstrom."""
    rng = np.random.default_rng(_PHYSICS)
    wavelength = np.geomspace(first, last, count)
    width = 16000.0 / RESOLUTION / 2.355
    made: list[Template] = []
    for element, lines in LINES.items():
        for group, (teff, logg) in enumerate(((-0.9, -0.08), (-0.25, 0.05))):
            depth = np.zeros(count)
            for _ in range(lines // 2):
                strength = 0.42 * rng.random() ** 2.2 + 0.01
                near = slice(*np.searchsorted(wavelength, (center := rng.uniform(first, last)) + np.array([-12, 12])))
                depth[near] += strength * _profile(wavelength[near], center, width * rng.uniform(1.0, 1.25))
            made.append(Template(depth, ((element, 1.0),), teff + 0.1 * rng.normal(), logg + 0.03 * rng.normal()))
            if element == "fe" and group == 1:  # lines of ions weaken with pressure
                made.append(Template(np.roll(depth, 311) * 0.5, (("fe", 1.0),), 0.3, -0.35))
    brackett = np.zeros(count)
    for center in BRACKETT:
        brackett += 0.10 * _profile(wavelength, center, 3.2 * width, wing=0.25)
    made.append(Template(brackett, (), 0.95, -0.22))
    for species, lines, teff, logg in (
        ((("c", 1.0),), 260, -1.5, -0.30),
        ((("c", 0.6), ("n", 1.0)), 300, -0.6, -0.22),
        ((("o", 1.0),), 240, -1.9, -0.12),
    ):
        depth = np.zeros(count)
        heads = CO_HEADS if species[0] == ("c", 1.0) else ()
        for center in heads:  # a band runs red of its head
            red = np.clip((wavelength - center) / 45.0, 0.0, None)
            depth += 0.22 * np.where(wavelength >= center, np.exp(-red), 0.0)
        for center in rng.uniform(first, last, lines):
            near = slice(*np.searchsorted(wavelength, center + np.array([-12, 12])))
            depth[near] += 0.13 * rng.random() * _profile(wavelength[near], center, width)
        made.append(Template(depth, species, teff, logg))
    return tuple(made)


def pristine(wavelength: ArrayLike, teff: ArrayLike, logg: ArrayLike, abundances: dict[str, Floats]) -> Floats:
    """Normalized spectra without noise, (stars, pixels).

    Parameters
    ----------
    wavelength : (pixels,) vacuum, Angstrom, equal steps in log10.
    teff, logg : (stars,) K and dex.
    abundances : [X/H] of the elements, dex (stars,); those of :data:`ELEMENTS`.

    Raises
    ------
    ConfigError
        When an element is missing or a label is not finite.
    """
    light = np.asarray(wavelength, dtype=float)
    heat, gravity = np.asarray(teff, dtype=float), np.asarray(logg, dtype=float)
    missing = [name for name in ELEMENTS if name not in abundances]
    if missing:
        raise ConfigError(f"abundances of {', '.join(missing)} are missing")
    if not (np.isfinite(heat).all() and np.isfinite(gravity).all()):
        raise ConfigError("every star needs a finite Teff and log g")
    templates = _templates(float(light[0]), float(light[-1]), len(light))
    warm, dense = (heat - 4800.0) / 1000.0, gravity - 2.5
    # microturbulence rises up the branch: it lifts strong lines out of saturation (2013AJ....146..133M)
    turbulence = 10.0 ** (0.226 - 0.0228 * gravity + 0.0297 * gravity**2 - 0.0113 * gravity**3) / 1.45
    depth = np.zeros((len(heat), len(light)))
    strengths = []
    for part in templates:
        power = part.teff * warm + part.logg * dense - 0.25 * warm**2
        for element, slope in part.abundances:
            power = power + slope * np.log(10.0) * 0.75 * abundances[element]
        strengths.append(np.exp(np.clip(power, -8.0, 3.0)))
    depth = np.stack(strengths, axis=1) @ np.stack([part.depth for part in templates])
    # a curve of growth: linear, then saturated
    limit = 0.75 * turbulence[:, None]
    return np.asarray(1.0 - limit * (1.0 - np.exp(-depth / limit)))


@dataclass(frozen=True)
class Observing:
    """What telescope and sky add.

    Parameters
    ----------
    signal_to_noise : median over the stars, a pixel.
    scatter : scatter of its logarithm (natural).
    missing_chips : share of the stars that lack one chip.
    telluric : typical depth of what is left of the lines of the air.
    sky : share of the pixels under bright lines of the sky, which are masked.
    element_scatter : scatter of each abundance about its trend, dex.
    """

    signal_to_noise: float = 150.0
    scatter: float = 0.5
    missing_chips: float = 0.01
    telluric: float = 0.006
    sky: float = 0.02
    element_scatter: float = 0.025


@dataclass(frozen=True)
class MadeSpectra:
    """Made spectra as in an apStar file: flux, error and mask bits, each (stars, pixels)."""

    flux: Floats
    error: Floats
    mask: NDArray[np.int64]


def element_abundances(
    fe_h: ArrayLike, alpha_m: ArrayLike, c_n: ArrayLike, *, scatter: float, seed: int | np.random.Generator
) -> dict[str, Floats]:
    """[X/H] of the elements from [Fe/H], [alpha/M] and [C/N]; the number of C and N atoms is kept."""
    rng = generator(seed)
    iron, alpha, ratio = (np.atleast_1d(np.asarray(part, dtype=float)) for part in (fe_h, alpha_m, c_n))
    found = {}
    for element in ELEMENTS:
        own = rng.normal(0.0, scatter, len(iron))
        trend = np.zeros(len(iron))
        if element in ALPHA:
            trend = alpha
        elif element in ("c", "n"):
            # the number of C + N atoms is kept by the dredge-up; the Sun has 4 C for each N
            mixed = 10.0**ratio
            carbon = np.log10(5.0 * mixed / (4.0 * mixed + 1.0))
            trend = 0.4 * alpha + (carbon if element == "c" else carbon - ratio)
        elif element in ("mn", "na", "ni"):
            trend = 0.2 * iron
        elif element == "al":
            trend = 0.6 * alpha
        elif element == "ce":
            trend = -0.2 * alpha
        found[element] = iron + trend + (0.0 if element == "fe" else own)
    return found


def make_spectra(
    wavelength: ArrayLike,
    teff: ArrayLike,
    logg: ArrayLike,
    fe_h: ArrayLike,
    alpha_m: ArrayLike,
    c_n: ArrayLike,
    *,
    seed: int | np.random.Generator,
    chips: tuple[tuple[int, int], ...] = (),
    settings: Observing | None = None,
) -> MadeSpectra:
    """Observed spectra of stars with these labels.

    Parameters
    ----------
    wavelength : (pixels,) vacuum, Angstrom, equal steps in log10.
    teff, logg, fe_h, alpha_m, c_n : (stars,) labels.
    seed : of elements, noise, sky and air.
    chips : (first, after last) pixel of each chip; a star may lack one.
    settings : what telescope and sky add.
    """
    rng, numbers = generator(seed), settings or Observing()
    light = np.asarray(wavelength, dtype=float)
    elements = element_abundances(fe_h, alpha_m, c_n, scatter=numbers.element_scatter, seed=rng)
    flux = pristine(light, teff, logg, elements)
    stars, pixels = int(flux.shape[0]), int(flux.shape[1])
    x = np.linspace(-1.0, 1.0, pixels)
    air = np.zeros(pixels)
    fixed = np.random.default_rng(_PHYSICS + 1)
    for center in fixed.integers(0, pixels, 180):
        near = np.arange(max(center - 8, 0), min(center + 9, pixels))
        air[near] += fixed.normal() * np.exp(-0.5 * ((near - center) / 2.2) ** 2)
    lines = np.sort(fixed.choice(pixels, int(numbers.sky * pixels), replace=False))
    shifts, depths = rng.integers(-25, 26, size=stars), rng.normal(0.0, numbers.telluric, size=stars)
    slopes, bends = rng.normal(0.0, 0.25, size=stars), rng.normal(0.0, 0.12, size=stars)
    level: Floats = np.asarray(10.0 ** rng.normal(2.0, 0.5, stars))
    noise: Floats = np.asarray(np.exp(rng.normal(np.log(numbers.signal_to_noise), numbers.scatter, stars)))
    mask = np.zeros((stars, pixels), dtype=np.int64)
    error = np.empty_like(flux)
    for row in range(stars):
        own = flux[row] * (1.0 + depths[row] * np.roll(air, shifts[row]))
        own *= level[row] * (1.0 + slopes[row] * x + bends[row] * (2 * x * x - 1))
        sigma = np.full(pixels, 1.0 / noise[row]) * level[row]
        bright = lines + shifts[row]
        bright = bright[(bright >= 0) & (bright < pixels)]
        sigma[bright] *= 10.0
        mask[row, bright] |= 1 << 12
        if chips and rng.random() < numbers.missing_chips:
            lost = slice(*chips[int(rng.integers(len(chips)))])
            sigma[lost], mask[row, lost] = 1e10 * level[row], 1
            own[lost] = 0.0
        flux[row] = own + np.where(sigma < 1e5 * level[row], sigma, 0.0) * rng.standard_normal(pixels)
        error[row] = sigma
    return MadeSpectra(flux, error, mask)
