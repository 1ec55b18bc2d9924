"""Made stars with spectra whose truth is known: for tests, and where the real spectra cannot be had.

Labels are drawn along a main sequence and a giant branch. A spectrum is a black body with broad features that deepen
with the labels, dimmed by a smooth extinction law, seen through two arms of a few Hermite functions each. None of it
is a model of a real star; a network that learns it has to do what it does on real ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from astropy import units as u
from astropy.table import QTable
from numpy.typing import NDArray

from starloom.seeds import generator
from starloom.spectra.xp import G_ZERO_POINT, SAMPLED_NM, XpBases, hermite_functions
from starloom.stars.strangers import band, black_body

if TYPE_CHECKING:
    from starloom.stars.training import Settings

Floats = NDArray[np.float64]
ORDERS = (14, 12)
FLUX_PER_COUNT = 2.6e-21  # W m^-2 nm^-1 an electron per second, roughly Gaia's
FEATURES = 36


def bases(sizes: tuple[int, int] = ORDERS) -> XpBases:
    """Bases of a made instrument: Hermite functions over each arm."""
    designs = {}
    for arm, size, (center, width) in zip(("bp", "rp"), sizes, ((490.0, 55.0), (820.0, 75.0)), strict=True):
        functions = hermite_functions((SAMPLED_NM - center) / width * np.sqrt(2 * size) / 4.5, size)
        designs[arm] = functions * FLUX_PER_COUNT
    return XpBases(SAMPLED_NM, designs)


def extinction(wavelength_nm: Floats) -> Floats:
    """A(lambda) over A_K of the made dust: a power law."""
    return np.asarray((2159.0 / np.asarray(wavelength_nm)) ** 1.6)


def spectra(teff: Floats, logg: Floats, fe_h: Floats, alpha_m: Floats, a_k: Floats) -> Floats:
    """Relative fluxes (stars, 343)."""
    shapes = np.random.default_rng(20230821)  # the made physics: the same for every seed
    centers, widths = shapes.uniform(340, 1015, FEATURES), shapes.uniform(4, 18, FEATURES)
    weights = shapes.normal(0.0, 1.0, (4, FEATURES)) * np.array([0.5, 0.35, 0.8, 0.6])[:, None]
    labels = np.stack([(teff - 5000) / 1000, logg - 3.0, fe_h, 3 * alpha_m])
    strength = 0.4 / (1.0 + np.exp(-(labels.T @ weights)))
    flux = black_body(teff)
    for feature in range(FEATURES):
        flux *= 1.0 - strength[:, [feature]] * np.exp(-0.5 * ((SAMPLED_NM - centers[feature]) / widths[feature]) ** 2)
    return np.asarray(flux * 10.0 ** (-0.4 * a_k[:, None] * extinction(SAMPLED_NM)))


def settings(steps: int) -> Settings:
    """A training of a small network, enough for made stars."""
    from starloom.stars.contexts import Mode
    from starloom.stars.network import Architecture
    from starloom.stars.training import Settings

    shape = Architecture(
        dimension=32, decoder=((2, 64),), head=(64,), summary=128, registers=2,
        components=2, factors=8,
    )  # fmt: skip
    modes = {
        "full": Mode(0.4, 96, 30, 8),
        "few": Mode(0.3, 96, 14, 8),
        "arm": Mode(0.1, 64, 18, 8),
        "random": Mode(0.2, 64, 20, 8),
    }
    return Settings(architecture=shape, steps=steps, learning_rate=4e-3, usual=14, modes=modes, bfloat16=False)


def make(count: int, seed: int, *, missing: float = 0.1) -> QTable:
    """A table of made stars in the columns of the real one, with parallaxes and reddenings beside.

    Parameters
    ----------
    count, seed : how many, and what every choice follows from.
    missing : share of the stars that lack [Fe/H] and [alpha/M].
    """
    rng = generator(seed)
    giant = rng.random(count) < 0.65
    climb = rng.random(count)
    fe_h = np.clip(rng.normal(-0.25, 0.35, count), -2.3, 0.5)
    logg = np.where(giant, 3.6 - 3.2 * climb**1.2, 4.65 - 0.6 * climb**2)
    teff = np.where(giant, 3500 + 450 * logg - 120 * fe_h, 4000 + 2600 * climb) + rng.normal(0, 40, count)
    alpha_m = np.clip(
        0.05 - 0.12 * fe_h + np.where(rng.random(count) < 0.3, 0.15, 0.0) + rng.normal(0, 0.02, count), -0.1, 0.4
    )
    a_k = rng.exponential(0.12, count)
    flux = spectra(teff, logg, fe_h, alpha_m, a_k)
    g = np.clip(rng.normal(12.7, 1.2, count), 8.0, 15.0)
    fine = bases()
    coefficients = np.hstack([flux @ np.linalg.pinv(fine.designs[arm]).T for arm in ("bp", "rp")])
    flux = fine.sample(coefficients)
    counts = 10.0 ** ((G_ZERO_POINT - g) / 2.5)
    flux *= (counts * FLUX_PER_COUNT / (flux @ band(flux) / band(flux).sum()))[:, None]
    error = flux.clip(min=0) * 0.004 * 10 ** (0.2 * (g - 12.0))[:, None] + 0.002 * flux.mean(axis=1, keepdims=True)
    flux = flux + error * rng.standard_normal(flux.shape)
    tilt = (5040.0 / teff) + 0.02 * fe_h
    modulus = rng.uniform(5.0, 13.0, count)
    parallax = 10 ** (2.0 - modulus / 5.0)
    noise = {
        name: scale * (0.5 + rng.random(count))
        for name, scale in {"teff": 15.0, "logg": 0.03, "fe_h": 0.015, "alpha_m": 0.01}.items()
    }
    values = {"teff": teff, "logg": logg, "fe_h": fe_h, "alpha_m": alpha_m}
    given = {name: values[name] + noise[name] * rng.standard_normal(count) for name in values}
    lost = rng.random(count) < missing
    given["fe_h"][lost], given["alpha_m"][lost] = np.nan, np.nan
    table = QTable({"source_id": 4_000_000_000_000_000_000 + 2 * np.arange(count, dtype=np.int64)})
    j_h, j_k = 0.9 * tilt - 0.35 + 1.0 * a_k, 1.15 * tilt - 0.45 + 1.6 * a_k
    for name, column in {
        "phot_g_mean_mag": g,
        "phot_bp_mean_mag": g + 0.45 * tilt + 3.0 * a_k,
        "phot_rp_mean_mag": g - 0.85 * tilt - 0.5 * a_k,
        "j_mag": g - 1.6 * tilt,
        "h_mag": g - 1.6 * tilt - j_h,
        "ks_mag": g - 1.6 * tilt - j_k,
        "a_k": a_k,
    }.items():
        table[name] = (column + rng.normal(0.0, 0.008, count)) * u.mag
    table["teff"], table["teff_error"] = given["teff"] * u.K, noise["teff"] * u.K
    for name in ("logg", "fe_h", "alpha_m"):
        table[name], table[f"{name}_error"] = given[name], noise[name]
    table["parallax"] = (parallax + rng.normal(0.0, 0.03, count)) * u.mas
    table["parallax_error"] = np.full(count, 0.03) * u.mas
    table["flux"] = flux.astype(np.float32) * u.Unit("W / (m2 nm)")
    table["flux_error"] = error.astype(np.float32) * u.Unit("W / (m2 nm)")
    return table
