"""How dust dims giants: as the model makes it, as the stars show it without a model, and as a law says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from starloom.results.figures import Band, Figure, Layer, Line, Panel
from starloom.results.record import Results
from starloom.spectra.xp import SAMPLED_NM
from starloom.stellar.extinction import extinction_curve

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.studies.star_scene import Scene

Floats = NDArray[np.float64]
WINDOW = (SAMPLED_NM >= 420.0) & (SAMPLED_NM <= 980.0)
GRID = SAMPLED_NM[WINDOW]
PIVOT = int(np.argmin(np.abs(GRID - 700.0)))
SHOWN = int(np.argmin(np.abs(GRID - 500.0)))
LEAST = 200
"""Giants that a regression needs."""


def extinction(results: Results, scene: Scene) -> Figure:
    """The curve (A - A_700) / A_K along the giant branch."""
    layers: list[Layer] = []
    unit, at = "mag per mag of A_K", "500 less 700 nm"
    for a_k in (0.15, 0.3):
        curve = _by_model(scene, a_k)
        made = np.asarray(np.isfinite(curve).any(axis=0))  # a network of few steps makes fluxes below zero
        low, middle, high = np.nanpercentile(curve[:, made], [16, 50, 84], axis=0)
        layers += [Band(GRID[made], low, high), Line(GRID[made], middle, f"model, A_K = {a_k:g} mag")]
        if made[SHOWN]:
            results.number(f"dimming by A_K = {a_k:g}, {at}", float(np.nanmedian(curve[:, SHOWN])), unit)
    slopes, reliable = dimming_of_stars(scene.stars)
    if len(slopes):
        high = slopes / reliable
        layers += [Band(GRID, np.minimum(slopes, high), np.maximum(slopes, high))]
        layers.append(Line(GRID, slopes, "test stars, regression"))
        results.number(
            f"dimming of test stars, {at}",
            float(slopes[SHOWN]),
            unit,
            low=float(slopes[SHOWN]),
            high=float(high[SHOWN]),
            meaning="regression on labels and A_K, no model; up to the upper value for the errors of A_K",
        )
    law = extinction_curve(GRID) / extinction_curve([2159.0])
    law = law - law[PIVOT]
    results.number(f"dimming of CCM89, R_V = 3.1, {at}", float(law[SHOWN]), unit)
    layers.append(Line(GRID, law, "CCM89, R_V = 3.1", role="reference"))
    return Figure(
        "extinction",
        "Extinction along the giant branch, in magnitudes relative to 700 nm over A_K: ratio of spectra that the "
        "model makes with and without A_K (median and central 68 %), and regression of the test giants' spectra on "
        "their labels and A_K without a model (the band: up to where the errors of A_K could hide the slope).",
        [Panel(layers, "wavelength [nm]", "(A - A_700) / A_K", x_range=(420.0, 980.0))],
        panel_size=(8.0, 3.6),
    )


def _by_model(scene: Scene, a_k: float) -> Floats:
    """(giants, wavelengths) of spectra made with and without an extinction."""
    logg = np.arange(1.6, 2.9, 0.1)
    base = {
        "teff": 5200.0 - 441.0 * (3.65 - logg),
        "logg": logg,
        "fe_h": np.zeros(len(logg)),
        "alpha_m": np.zeros(len(logg)),
    }
    clear, dimmed = (scene.made({**base, "a_k": np.full(len(logg), value)})[:, WINDOW] for value in (0.0, a_k))
    with np.errstate(invalid="ignore", divide="ignore"):
        curve = -2.5 * np.log10(dimmed / clear)
    return np.asarray((curve - curve[:, [PIVOT]]) / a_k)


def dimming_of_stars(stars: QTable) -> tuple[Floats, float]:
    """Slope of each wavelength's magnitude (relative to 700 nm) with A_K, of giants of equal labels.

    The slope is that of least squares, three times clipped at three sigma, with terms of second order in Teff, log g
    and [Fe/H], and [alpha/M]. Errors of A_K flatten it by the reliability of A_K, which is at least the largest share
    of a wavelength's remaining variance that A_K explains.

    Returns
    -------
    slopes, reliability : (wavelengths,) and the least reliability; empty and 1 when there are too few giants.
    """
    labels = [np.asarray(getattr(stars[n], "value", stars[n]), dtype=float)
              for n in ("teff", "logg", "fe_h", "alpha_m", "a_k")]  # fmt: skip
    teff, logg, fe_h, alpha_m, a_k = labels
    used = (teff > 3900) & (teff < 5200) & (logg > 1.0) & (logg < 3.2) & (fe_h > -0.6) & (a_k > -0.05) & (a_k < 0.6)
    flux = np.asarray(stars["flux"].value, dtype=float)[:, WINDOW]
    used &= np.isfinite(alpha_m) & (flux > 0).all(axis=1)
    if used.sum() < LEAST:
        return np.empty(0), 1.0
    t, g, m = (teff[used] - 4700.0) / 500.0, logg[used] - 2.5, fe_h[used]
    same = np.column_stack([np.ones(len(t)), t, t**2, t**3, g, g**2, t * g, m, m**2, t * m, alpha_m[used]])
    magnitude = -2.5 * np.log10(flux[used] / flux[used][:, [PIVOT]])
    slopes, reliable = np.zeros(len(GRID)), 0.0
    for column, values in enumerate(magnitude.T):
        kept = np.ones(len(values), dtype=bool)
        for _ in range(3):
            rest = _less(same[kept], np.column_stack([values[kept], a_k[used][kept]]))
            slope = rest[:, 0] @ rest[:, 1] / (rest[:, 1] @ rest[:, 1])
            away = rest[:, 0] - slope * rest[:, 1]
            inside = np.abs(away) <= 3.0 * 1.4826 * np.median(np.abs(away)) + 1e-12
            explained = 1.0 - away[inside].var() / max(rest[inside, 0].var(), 1e-30)
            kept[np.flatnonzero(kept)[~inside]] = False
        slopes[column] = slope
        reliable = max(reliable, float(explained) if column != PIVOT else 0.0)
    return slopes, float(np.clip(reliable, 0.5, 1.0))


def _less(terms: Floats, values: Floats) -> Floats:
    """What is left of values (stars, columns) beside these terms."""
    return np.asarray(values - terms @ np.linalg.lstsq(terms, values, rcond=None)[0])
