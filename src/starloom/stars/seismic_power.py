"""Kepler light curves and power spectra made ready for the seismic ages: 2,092 bins of ln(power over background).

The recipe is the one that arXiv:2302.05479 works with. A light curve becomes a power spectrum on 2 to 270 muHz in steps
of 0.009; the background is a running median in log frequency; the flattened spectrum is smoothed by 0.1 muHz and
averaged in bins whose width grows as the large separation does,

    width(nu) = 0.009 muHz (nu / 2 muHz)^0.758,

so that the comb of a red giant's modes has nearly the same spacing in bins at any nu_max.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import CatalogError, ConfigError
from starloom.stats.robust import robust_scatter

Floats = NDArray[np.float64]

LOWEST, HIGHEST, STEP = 2.0, 270.0, 0.009
"""Range and step of the power spectra made from light curves, muHz."""
BINS = 2092
SMOOTHING = 0.1
"""Width (sigma) of the smoothing, muHz."""
WINDOW, MOVE = 0.01, 0.005
"""Half width of the background's windows, and how far one is from the next, both in log10 of the frequency."""
MEDIAN_TO_MEAN = np.log(2.0)
"""Median over mean of power with two degrees of freedom. The recipe has (8/9)^3 here, which is 1.3 % too much."""
LEAST_SAMPLES = 25  # of a window: the inverse of a median of few samples is too large on average
SEPARATION_SCALE, SEPARATION_SLOPE = 0.268, 0.758
COARSE_DAYS = 180.0
LEAST_POINTS, LEAST_DAYS = 100, 10.0


def expected_separation(nu_max: ArrayLike) -> Floats:
    """Large separation (muHz) that goes with nu_max (muHz): 0.268 nu_max^0.758, of the SYD pipeline.

    Examples
    --------
    >>> float(expected_separation(100.0).round(3))
    8.793
    """
    return np.asarray(SEPARATION_SCALE * np.asarray(nu_max, dtype=float) ** SEPARATION_SLOPE)


@lru_cache(maxsize=1)
def edges() -> Floats:
    """Edges of the 2,092 bins, muHz (2093,)."""
    found = [LOWEST - STEP, LOWEST]  # the recipe's grid begins with the sample at 2.0 muHz itself
    for _ in range(BINS - 1):
        found.append(found[-1] + STEP * (found[-1] / LOWEST) ** SEPARATION_SLOPE)
    return np.array(found)


def centers() -> Floats:
    """Centers of the bins, muHz (2092,).

    Examples
    --------
    >>> centers()[[0, 1, -1]].round(4).tolist()
    [1.9955, 2.0045, 268.996]
    """
    found = edges()
    return np.asarray(0.5 * (found[1:] + found[:-1]))


@dataclass(frozen=True)
class PowerSpectrum:
    """A power spectrum as it is learned.

    Parameters
    ----------
    log_power : (2092,) natural log of power over background in the bins; NaN where the spectrum has none.
    reason : why it cannot be used; empty where it can.
    note : what a user should know of it.
    days : length of the light curve that its resolution stands for.
    """

    log_power: Floats
    reason: str = ""
    note: str = ""
    days: float = float("nan")


def light_curve_power(time: ArrayLike, flux: ArrayLike) -> tuple[Floats, Floats]:
    """Power density of a light curve, by Lomb and Scargle: frequencies (muHz) and power (ppm^2/muHz).

    Parameters
    ----------
    time : (n,) days; gaps and missing values are fine.
    flux : (n,) relative flux, or counts: it is divided by its median. Outliers beyond 5 sigma are left out.

    Raises
    ------
    CatalogError
        When fewer than 100 points or 10 days are left.
    """
    from astropy.timeseries import LombScargle

    days, values = np.asarray(time, dtype=float), np.asarray(flux, dtype=float)
    if days.shape != values.shape or days.ndim != 1:
        raise CatalogError(f"a light curve has as many times as fluxes, not {days.shape} and {values.shape}")
    known = np.isfinite(days) & np.isfinite(values)
    days, values = days[known], values[known]
    if len(days) and np.median(values) > 0.1:
        values = values / np.median(values) - 1.0
    for _ in range(3):
        spread = robust_scatter(values) if len(values) else 0.0
        near = np.abs(values - np.median(values)) <= 5.0 * spread if spread > 0 else np.ones(len(values), dtype=bool)
        days, values = days[near], values[near]
    span = float(np.ptp(days)) if len(days) else 0.0
    if len(days) < LEAST_POINTS or span < LEAST_DAYS:
        raise CatalogError(
            f"a light curve of {len(days)} points over {span:.1f} days: at least {LEAST_POINTS} points and "
            f"{LEAST_DAYS:g} days are needed"
        )
    if not np.std(values) > 0:
        raise CatalogError("the light curve is constant")
    frequency = np.arange(LOWEST - STEP, HIGHEST, STEP)
    seconds = (days - days[0]) * 86400.0
    parts = 1e6 * (values - values.mean())
    power = LombScargle(seconds, parts).power(
        frequency * 1e-6, normalization="psd", method="fast", assume_regular_frequency=True
    )
    # one-sided density: twice the variance over the Nyquist range; the effective length of a gappy series counts
    step = float(np.median(np.diff(np.sort(seconds))))
    return frequency, np.asarray(2.0 * power * step * 1e-6)


def background(frequency: ArrayLike, power: ArrayLike) -> Floats:
    """The running median of a power spectrum in log frequency, as a mean: divided by ln 2.

    Windows with fewer than 25 samples grow until they have so many.
    """
    nu, height = np.asarray(frequency, dtype=float), np.asarray(power, dtype=float)
    log_nu = np.log10(nu)
    places = np.arange(log_nu[0], log_nu[-1] + MOVE, MOVE)
    first, last = np.searchsorted(log_nu, places - WINDOW), np.searchsorted(log_nu, places + WINDOW)
    lack = np.maximum(LEAST_SAMPLES - (last - first), 0)
    first = np.maximum(first - (lack + 1) // 2, 0)
    last = np.minimum(np.maximum(last + (lack + 1) // 2, first + LEAST_SAMPLES), len(nu))
    first = np.maximum(np.minimum(first, last - LEAST_SAMPLES), 0)
    level = np.array([np.median(height[a:b]) for a, b in zip(first, last, strict=True)]) / MEDIAN_TO_MEAN
    return np.asarray(np.interp(log_nu, places, level))


def flatten(frequency: ArrayLike, power: ArrayLike) -> Floats:
    """Power over its background: 1 on average where there is only noise."""
    level = background(frequency, power)
    return np.asarray(np.asarray(power, dtype=float) / np.maximum(level, 1e-300))


def rebin(frequency: ArrayLike, flattened: ArrayLike) -> Floats:
    """Natural log of the mean of flattened power, smoothed by 0.1 muHz, in each of the 2,092 bins.

    Bins narrower than the step of the spectrum take the value between its samples; bins beyond it are NaN.
    """
    from scipy.ndimage import gaussian_filter1d

    nu, height = np.asarray(frequency, dtype=float), np.asarray(flattened, dtype=float)
    step = float(np.median(np.diff(nu)))
    sigma = SMOOTHING / step
    smooth = gaussian_filter1d(height, sigma) if sigma > 0.3 else height
    # the mean over a bin is the difference of the integral of the piecewise linear spectrum at its edges
    area = np.concatenate([[0.0], np.cumsum(0.5 * (smooth[1:] + smooth[:-1]) * np.diff(nu))])
    bounds = edges()
    place = np.clip(np.searchsorted(nu, bounds, side="right") - 1, 0, len(nu) - 2)
    off = bounds - nu[place]
    slope = (smooth[place + 1] - smooth[place]) / (nu[place + 1] - nu[place])
    integral = area[place] + off * (smooth[place] + 0.5 * slope * off)
    mean = np.diff(integral) / np.diff(bounds)
    slack = 1.01 * step
    inside = (bounds[:-1] >= nu[0] - slack) & (bounds[1:] <= nu[-1] + slack)
    return np.asarray(np.log(np.where(inside, np.maximum(mean, 1e-4), np.nan)))


def of_power(frequency: ArrayLike, power: ArrayLike) -> PowerSpectrum:
    """A power spectrum (muHz, any unit of power) in the bins; with a reason where it cannot be used."""
    nu, height = np.asarray(frequency, dtype=float), np.asarray(power, dtype=float)
    if nu.shape != height.shape or nu.ndim != 1:
        raise CatalogError(f"a power spectrum has as many frequencies as powers, not {nu.shape} and {height.shape}")
    nothing = np.full(BINS, np.nan)
    known = np.isfinite(nu) & np.isfinite(height) & (height >= 0) & (nu > 0)
    order = np.argsort(nu[known], kind="stable")
    nu, height = nu[known][order], height[known][order]
    distinct = np.append(True, np.diff(nu) > 0) if len(nu) else np.zeros(0, dtype=bool)
    nu, height = nu[distinct], height[distinct]
    near = (nu > 0.8 * LOWEST) & (nu < 1.2 * HIGHEST)
    nu, height = nu[near], height[near]
    if len(nu) < LEAST_POINTS:
        return PowerSpectrum(nothing, f"{len(nu)} samples of power between 2 and 270 muHz: {LEAST_POINTS} are needed")
    if not height.max() > height.min():
        return PowerSpectrum(nothing, "the power is constant")
    found = rebin(nu, flatten(nu, height))
    days = 1e6 / float(np.median(np.diff(nu))) / 86400.0
    if np.isfinite(found).mean() < 0.5:
        return PowerSpectrum(nothing, "it covers less than half of 2 to 269 muHz", days=days)
    note = f"its step is that of {days:.0f} days: narrow modes are not resolved" if days < COARSE_DAYS else ""
    return PowerSpectrum(found, "", note, days)


def of_light_curve(time: ArrayLike, flux: ArrayLike) -> PowerSpectrum:
    """A light curve (days, relative flux) in the bins; with a reason where it cannot be used."""
    try:
        frequency, power = light_curve_power(time, flux)
    except CatalogError as error:
        return PowerSpectrum(np.full(BINS, np.nan), str(error))
    found = of_power(frequency, power)
    days = np.asarray(time, dtype=float)
    span = float(np.ptp(days[np.isfinite(days)]))
    note = f"{span:.0f} days: narrow modes are not resolved" if span < COARSE_DAYS else ""
    return PowerSpectrum(found.log_power, found.reason, note, span)


def hump(log_power: ArrayLike, *, width: float = 3.0, range_: tuple[float, float] = (4.0, 250.0)) -> float:
    """Where the power over background, smoothed over ``width`` large separations, is largest, muHz.

    The plain estimate of nu_max; NaN where no bin is known.
    """
    from scipy.ndimage import gaussian_filter1d

    values = np.asarray(log_power, dtype=float)
    if values.shape != (BINS,):
        raise CatalogError(f"{BINS} bins are needed, got the shape {values.shape}")
    known = np.isfinite(values)
    if not known.any():
        return float("nan")
    if not width > 0:
        raise ConfigError(f"the width is positive, not {width}")
    # a separation is 0.268 nu^0.758 muHz and a bin 0.009 (nu/2)^0.758: the ratio is the same everywhere
    sigma = width * SEPARATION_SCALE * LOWEST**SEPARATION_SLOPE / STEP / 2.355
    power = np.where(known, np.exp(np.where(known, values, 0.0)), 0.0)
    smooth = gaussian_filter1d(power, sigma) / np.maximum(gaussian_filter1d(known.astype(float), sigma), 1e-9)
    nu = centers()
    inside = known & (nu >= range_[0]) & (nu <= range_[1])
    return float(nu[inside][np.argmax(smooth[inside])]) if inside.any() else float("nan")


FIRST_LAG, LAST_LAG = 10, 80
"""Bins over which `spacings` looks for repeats: delta_nu is about 50 bins at every nu_max, by the law of the widths."""


def spacings(log_power: ArrayLike) -> Floats:
    """How a power spectrum repeats itself under its envelope: the autocorrelation in bins, 1 at lag 0.

    Where the comb of modes stands (its phase) no spectrum tells, so that a decoder of power alone learns the mean over
    all phases, in which no comb is left. The autocorrelation has no phase: it shows delta_nu, and with nu_max the mass.

    Parameters
    ----------
    log_power : (n, BINS); bins that are missing count as the mean.

    Returns
    -------
    array
        (n, LAST_LAG - FIRST_LAG), in units of the mean scatter over the stars; NaN for a star without power.

    Raises
    ------
    CatalogError
        When there are too few bins.

    Examples
    --------
    >>> bins = np.arange(BINS)
    >>> comb = np.cos(2 * np.pi * bins / 50) * np.exp(-0.5 * ((bins - 900) / 150) ** 2) + np.exp(
    ...     -0.5 * ((bins - 900) / 150) ** 2
    ... )
    >>> int(FIRST_LAG + 25 + np.argmax(spacings(comb[None])[0, 25:]))
    50
    """
    from scipy.ndimage import uniform_filter1d

    values = np.atleast_2d(np.asarray(log_power, dtype=np.float64))
    if values.shape[1] <= LAST_LAG:
        raise CatalogError(
            f"{values.shape[1]} bins are too few to see how power repeats: more than {LAST_LAG} are needed"
        )
    found = np.full((len(values), LAST_LAG - FIRST_LAG), np.nan)
    for start in range(0, len(values), 256):
        part = values[start : start + 256]
        known = np.isfinite(part)
        usable = known.any(axis=1)
        part, known = part[usable], known[usable]
        middle = np.where(known, part, 0.0).sum(axis=1) / known.sum(axis=1)
        part = np.where(known, part, middle[:, None])
        height = uniform_filter1d(part, 101, axis=1)
        height = np.maximum(height - np.median(height, axis=1, keepdims=True), 0.0)
        modes = (part - uniform_filter1d(part, 151, axis=1)) * height
        size = 2 * part.shape[1]
        repeats = np.fft.irfft(np.abs(np.fft.rfft(modes, size, axis=1)) ** 2, axis=1)
        with np.errstate(invalid="ignore"):
            scaled = repeats[:, FIRST_LAG:LAST_LAG] / np.maximum(repeats[:, :1], 1e-12)
        found[start + np.flatnonzero(usable)] = scaled
    scatter = float(np.nanstd(found, axis=0).mean()) if np.isfinite(found).any() else 0.0
    return found / scatter if scatter > 0 else found
