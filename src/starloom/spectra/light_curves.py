"""Light curves from repeated spectra: continuum and line fluxes in windows, and how much they vary beyond errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import ConfigError
from starloom.spectra.spectrum import Floats, Spectrum

Window = tuple[float, float]


@dataclass(frozen=True)
class Flux:
    """A flux and its error; NaN where the spectrum has less than half of the window."""

    value: float
    error: float


def _inside(spectrum: Spectrum, window: Window, redshift: float) -> tuple[NDArray[np.bool_], Floats]:
    low, high = window
    if not low < high:
        raise ConfigError(f"a window goes from low to high, not {low} to {high}")
    rest = spectrum.wavelength / (1.0 + redshift)
    return np.asarray((rest >= low) & (rest < high)), rest


def continuum(spectrum: Spectrum, window: Window, redshift: float = 0.0) -> Flux:
    """Mean flux density in a window of rest wavelengths (Angstrom, vacuum), each good pixel alike.

    The mean is not weighted by the errors, so that the same light gives the same number whatever the sky did.
    """
    inside, _ = _inside(spectrum, window, redshift)
    used = inside & spectrum.good
    if not used.any() or used.sum() < 0.5 * inside.sum():
        return Flux(float("nan"), float("nan"))
    count = used.sum()
    return Flux(float(spectrum.flux[used].mean()), float(np.sqrt((1.0 / spectrum.ivar[used]).sum()) / count))


def line(spectrum: Spectrum, window: Window, sides: tuple[Window, Window], redshift: float = 0.0) -> Flux:
    """Flux of a line above a straight continuum between two windows beside it, integrated over observed wavelength.

    Parameters
    ----------
    spectrum : the spectrum.
    window : of the line, rest wavelengths in Angstrom (vacuum).
    sides : windows of the continuum on both sides, the same.
    redshift : of the source.

    Returns
    -------
    Flux
        In the unit of the flux density times Angstrom. Pixels without good data in the line are filled with the mean of
        those that have it.
    """
    inside, rest = _inside(spectrum, window, redshift)
    used = inside & spectrum.good
    ends = [(float(np.mean(side)), continuum(spectrum, side, redshift)) for side in sides]
    if not used.any() or used.sum() < 0.5 * inside.sum() or any(np.isnan(flux.value) for _, flux in ends):
        return Flux(float("nan"), float("nan"))
    (x0, first), (x1, second) = ends
    part = (rest - x0) / (x1 - x0)
    below = first.value + part * (second.value - first.value)
    width = np.gradient(spectrum.wavelength)
    covered = width[inside].sum() / width[used].sum()
    value = ((spectrum.flux - below) * width)[used].sum() * covered
    noise = (width[used] ** 2 / spectrum.ivar[used]).sum()
    lever = (part * width)[used].sum()
    fixed = width[used].sum() - lever
    noise += (fixed * first.error) ** 2 + (lever * second.error) ** 2
    return Flux(float(value), float(np.sqrt(noise) * covered))


@dataclass(frozen=True)
class Variability:
    """How much a light curve varies.

    Parameters
    ----------
    mean : mean flux of the epochs.
    fractional : square root of the variance beyond the errors, over the mean (F_var); 0 when there is none.
    error : of ``fractional``, from the errors of the fluxes.
    ratio : largest over smallest flux.
    epochs : epochs with a flux.
    """

    mean: float
    fractional: float
    error: float
    ratio: float
    epochs: int


def variability(flux: ArrayLike, error: ArrayLike) -> Variability:
    """Excess variance of a light curve (2003MNRAS.345.1271V, equations 10 and B2).

    Raises
    ------
    ConfigError
        When fewer than three epochs have a flux with an error.

    Examples
    --------
    >>> found = variability([1.0, 2.0, 3.0, 2.0], [0.1, 0.1, 0.1, 0.1])
    >>> print(f"{found.fractional:.3f} {found.ratio:.0f}")
    0.405 3
    """
    value, sigma = np.asarray(flux, dtype=np.float64), np.asarray(error, dtype=np.float64)
    if value.shape != sigma.shape:
        raise ConfigError(f"fluxes {value.shape} and errors {sigma.shape} differ in shape")
    known = np.isfinite(value) & np.isfinite(sigma)
    value, sigma = value[known], sigma[known]
    count = len(value)
    if count < 3:
        raise ConfigError(f"variability needs three epochs or more, and {count} have a flux")
    mean = float(value.mean())
    noise = float((sigma**2).mean())
    normalized = (float(value.var(ddof=1)) - noise) / mean**2
    fractional = float(np.sqrt(max(normalized, 0.0)))
    spread = np.hypot(np.sqrt(2.0 / count) * noise / mean**2, np.sqrt(noise / count) * 2.0 * fractional / mean)
    error_of = float(spread / (2.0 * fractional)) if fractional > 0 else float(np.sqrt(spread))
    return Variability(mean, fractional, error_of, float(value.max() / value.min()), count)


def measured(fluxes: Sequence[Flux]) -> tuple[Floats, Floats]:
    """Values and errors of several fluxes as arrays."""
    return np.array([flux.value for flux in fluxes]), np.array([flux.error for flux in fluxes])
