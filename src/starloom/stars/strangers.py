"""Objects that a star model was not trained with, made from real spectra or from first principles, to test its flag.

Each is a table as a user would bring it: ``flux`` (343 values), ``flux_error`` and G, with the noise of an ordinary
star of the same brightness.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy import units as u
from astropy.table import QTable
from numpy.typing import NDArray

from starloom.catalog.schema import plain
from starloom.spectra.xp import SAMPLED_NM, g_flux

Floats = NDArray[np.float64]
H_C_OVER_K = 1.438776877e7  # nm K
BALMER_NM = (656.46, 486.27, 434.17, 410.29, 397.12)
QUASAR_LINES = ((121.6, 80.0, 3.0), (154.9, 25.0, 4.0), (190.9, 20.0, 5.0), (279.9, 18.0, 5.0), (486.3, 25.0, 5.0),
                (656.5, 100.0, 6.0))  # fmt: skip
"""Rest wavelength (nm), equivalent width (nm, times ten) and width (nm) of a quasar's broad lines."""


def table_of(shape: Floats, stars: QTable, rng: np.random.Generator, g_magnitude: Floats | None = None) -> QTable:
    """Spectra of these shapes as bright in G, and as noisy, as random ones of the stars.

    Parameters
    ----------
    shape : (objects, 343) relative fluxes.
    stars : ordinary stars with flux, flux_error and G.
    g_magnitude : unused stars are drawn when None; else each object's own G.
    """
    rows = rng.integers(len(stars), size=len(shape))
    flux, error = (np.asarray(stars[name].value, dtype=float)[rows] for name in ("flux", "flux_error"))
    weight = band(flux.mean(axis=0))
    level = (flux @ weight) / (shape @ weight)
    noise = rng.standard_normal(shape.shape) * error
    return QTable(
        {
            "phot_g_mean_mag": plain(stars, "phot_g_mean_mag")[rows] * u.mag
            if g_magnitude is None
            else g_magnitude * u.mag,
            "flux": (shape * level[:, None] + noise) * stars["flux"].unit,
            "flux_error": error * stars["flux"].unit,
        }
    )


def band(_: Floats) -> Floats:
    """Photons counted in a band like G, per unit energy flux, on the sampled wavelengths (a rough shape of it)."""
    response = np.interp(SAMPLED_NM, [330, 400, 500, 640, 750, 900, 1020], [0.05, 0.5, 0.68, 0.72, 0.7, 0.45, 0.1])
    return np.asarray(response * SAMPLED_NM)


def black_body(temperature: Floats) -> Floats:
    """Energy per wavelength of black bodies (objects, 343), in arbitrary units."""
    x = H_C_OVER_K / (SAMPLED_NM * np.asarray(temperature, dtype=float)[:, None])
    return np.asarray(SAMPLED_NM**-5.0 / np.expm1(x) * 1e15)


def white_dwarfs(count: int, rng: np.random.Generator) -> Floats:
    """Hydrogen white dwarfs of 8,000 to 30,000 K: black bodies with wide Balmer lines."""
    temperature = rng.uniform(8000.0, 30000.0, count)
    shape = black_body(temperature)
    depth = np.interp(temperature, [8000, 13000, 30000], [0.35, 0.6, 0.35])[:, None]
    for place, line in enumerate(BALMER_NM):
        width = 10.0 - 1.2 * place
        shape *= 1.0 - depth * 0.9**place / (1.0 + ((SAMPLED_NM - line) / width) ** 2)
    return shape


def quasars(count: int, rng: np.random.Generator) -> Floats:
    """Quasars at redshifts of 0.3 to 4: a power law with broad lines, dark below Lyman alpha."""
    redshift, slope = rng.uniform(0.3, 4.0, count), rng.normal(-1.5, 0.3, count)
    shape = (SAMPLED_NM / 600.0) ** slope[:, None]
    for rest, strength, width in QUASAR_LINES:
        center, wide = rest * (1 + redshift)[:, None], width * (1 + redshift)[:, None]
        height = 0.1 * strength * rng.lognormal(0.0, 0.3, count)[:, None] / (2.5 * width)
        shape = shape * (1.0 + height * np.exp(-0.5 * ((SAMPLED_NM - center) / wide) ** 2))
    forest = 121.6 * (1 + redshift)[:, None] > SAMPLED_NM
    return np.asarray(np.where(forest, shape * 0.6, shape))


def blends(stars: QTable, count: int, rng: np.random.Generator) -> QTable:
    """Two unrelated real stars in one spectrum, the blue and the red one equally bright in G."""
    flux, error = (np.asarray(stars[name].value, dtype=float) for name in ("flux", "flux_error"))
    g = plain(stars, "phot_g_mean_mag")
    color = plain(stars, "phot_bp_mean_mag") - plain(stars, "phot_rp_mean_mag")
    blue, red = np.flatnonzero(color < np.nanpercentile(color, 15)), np.flatnonzero(color > np.nanpercentile(color, 85))
    first, second = rng.choice(blue, count), rng.choice(red, count)
    ratio = (g_flux(g[first]) / g_flux(g[second]))[:, None]
    return QTable(
        {
            "phot_g_mean_mag": (g[first] - 2.5 * np.log10(2.0)) * u.mag,
            "flux": (flux[first] + ratio * flux[second]) * stars["flux"].unit,
            "flux_error": np.hypot(error[first], ratio * error[second]) * stars["flux"].unit,
        }
    )


def library_blue_arm(wavelength_nm: NDArray[Any], flux: Floats, stars: QTable) -> QTable:
    """Optical library spectra (objects, pixels) as the BP arm of stars; the RP arm is missing.

    Below the library's first wavelength, where BP counts little, its first value is repeated. A library has no G: it
    comes from the blue arm's flux and slope, by a cubic fitted to ordinary stars.
    """
    blue = SAMPLED_NM <= 643.0
    grid = SAMPLED_NM[blue]
    smooth = np.array([np.convolve(spectrum, np.ones(45) / 45, "same") for spectrum in flux])
    sampled = np.array([np.interp(grid, wavelength_nm[22:-22], spectrum[22:-22]) for spectrum in smooth])
    observed = np.asarray(stars["flux"].value, dtype=float)[:, blue]

    def slope_and_level(spectra: Floats) -> tuple[Floats, Floats]:
        low, high = spectra[:, (grid > 420) & (grid < 480)].mean(axis=1), spectra[:, grid > 580].mean(axis=1)
        return np.log(np.maximum(high, 1e-300) / np.maximum(low, 1e-300)), np.maximum(high, 1e-300)

    slope, level = slope_and_level(observed)
    curve = np.polyfit(slope, np.log(g_flux(plain(stars, "phot_g_mean_mag")) / level), 3)
    slope, level = slope_and_level(sampled)
    over_g = sampled / (level * np.exp(np.polyval(curve, np.clip(slope, -1.0, 3.0))))[:, None]
    whole = np.full((len(flux), len(SAMPLED_NM)), np.nan)
    whole[:, blue] = over_g * float(g_flux(12.0))
    return QTable({"phot_g_mean_mag": np.full(len(flux), 12.0) * u.mag, "flux": whole * stars["flux"].unit})


def area_under_roc(ordinary: Floats, strange: Floats) -> float:
    """Chance that a stranger looks stranger than an ordinary star (lower share is stranger).

    Examples
    --------
    >>> area_under_roc([0.5, 0.9], [0.1, 0.2])
    1.0
    """
    from scipy.stats import rankdata

    first, second = (np.asarray(part, dtype=float) for part in (ordinary, strange))
    first, second = first[np.isfinite(first)], second[np.isfinite(second)]
    ranks = rankdata(np.concatenate([first, second]))[: len(first)]
    return float((ranks.sum() - len(first) * (len(first) + 1) / 2) / (len(first) * len(second)))
