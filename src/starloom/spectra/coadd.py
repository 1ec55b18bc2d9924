"""Many spectra of one object: put on one grid, added with their weights, and how much they scatter about the sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from starloom.errors import CatalogError, ConfigError
from starloom.spectra.spectrum import Floats, LogGrid, Spectrum
from starloom.stats.robust import MAD_TO_SIGMA

NOISE_LAG = 2


@dataclass(frozen=True)
class Coadd:
    """The sum of several spectra, and what each of them was.

    Parameters
    ----------
    spectrum : the coadd; its columns are ``n_used`` (spectra in each pixel), ``n_rejected``, ``chi2`` (of the spectra
        about it, per degree of freedom) and ``scatter_error`` (the error as the scatter of the spectra shows it).
    scale : (n,) factor by which each spectrum was multiplied before the sum.
    flux, ivar : (n, pixels) the scaled spectra on the common grid; ivar 0 where a spectrum has nothing.
    used : (n,) whether a spectrum had any usable pixel.
    error_ratio : scatter of the spectra about the coadd over their stated errors; 1 when the stated errors hold.
    """

    spectrum: Spectrum
    scale: Floats
    flux: Floats
    ivar: Floats
    used: NDArray[np.bool_]
    error_ratio: float


@njit(cache=True, nogil=True)
def _rebin(edges: Floats, flux: Floats, ivar: Floats, good: NDArray[np.bool_], new: Floats) -> Any:
    count, fresh = len(flux), len(new) - 1
    out, weight = np.zeros(fresh), np.zeros(fresh)
    pixel = 0
    for k in range(fresh):
        low, high = new[k], new[k + 1]
        while pixel < count and edges[pixel + 1] <= low:
            pixel += 1
        total, variance, covered = 0.0, 0.0, 0.0
        j = pixel
        while j < count and edges[j] < high:
            share = min(high, edges[j + 1]) - max(low, edges[j])
            if share > 0.0 and good[j]:
                total += share * flux[j]
                variance += share * share / ivar[j] * (edges[j + 1] - edges[j]) / share
                covered += share
            j += 1
        if covered > 0.5 * (high - low):
            out[k] = total / covered
            weight[k] = covered * covered / variance
    return out, weight


def onto_grid(spectrum: Spectrum, grid: LogGrid) -> tuple[Floats, Floats]:
    """A spectrum on another grid: flux density and inverse variance (grid.count,), each; ivar 0 where it has nothing.

    Where the pixels lie on those of the grid, they are moved by whole pixels and keep every bit. Else the flux in each
    new pixel is the mean over what the usable old ones cover of it (flux is conserved). The variance counts shares of a
    pixel as if their noise were their own, so that the sum of many new pixels has the right error although neighbors
    are correlated; a new pixel half covered or less has none.

    Raises
    ------
    CatalogError
        When the wavelengths neither grow nor fall all the way.
    """
    good = spectrum.good
    if spectrum.grid is not None and grid.aligned(spectrum.grid):
        flux, ivar = np.zeros(grid.count), np.zeros(grid.count)
        first = round(grid.offset(spectrum.grid))
        low, high = max(first, 0), min(first + len(spectrum), grid.count)
        if high > low:
            part = slice(low - first, high - first)
            ivar[low:high] = np.where(good[part], spectrum.ivar[part], 0.0)
            flux[low:high] = np.where(good[part], spectrum.flux[part], 0.0)
        return flux, ivar
    wavelength = spectrum.wavelength
    order = slice(None, None, -1) if wavelength[0] > wavelength[-1] else slice(None)
    wave = wavelength[order]
    if len(wave) < 2 or not (np.diff(wave) > 0).all():
        raise CatalogError(f"spectrum {spectrum.name!r}: its wavelengths neither grow nor fall all the way")
    middle = 0.5 * (wave[1:] + wave[:-1])
    widths = np.diff(wave)
    edges = np.concatenate([[wave[0] - 0.5 * widths[0]], middle, [wave[-1] + 0.5 * widths[-1]]])
    usable = good[order]
    flux = np.where(usable, spectrum.flux[order], 0.0)
    ivar = np.where(usable, spectrum.ivar[order], 1.0)
    rebinned: tuple[Floats, Floats] = _rebin(edges, flux, ivar, usable, grid.edges)
    return rebinned


def common_grid(spectra: Sequence[Spectrum]) -> LogGrid:
    """The grid that holds all spectra: theirs where all lie on one, else that of the finest one, made longer.

    Raises
    ------
    CatalogError
        When no spectrum has a grid of equal steps in log wavelength.
    """
    grids = [spectrum.grid for spectrum in spectra if spectrum.grid is not None]
    if not grids:
        raise CatalogError("none of the spectra has equal steps in log wavelength; give the grid of the coadd")
    base = min(grids, key=lambda grid: grid.step)
    low = min(np.log10(np.min(spectrum.wavelength)) for spectrum in spectra)
    high = max(np.log10(np.max(spectrum.wavelength)) for spectrum in spectra)
    before = max(round((base.start - low) / base.step), 0)
    start = base.start - before * base.step
    return LogGrid(start, base.step, round((high - start) / base.step) + 1)


def coadd(
    spectra: Sequence[Spectrum],
    *,
    grid: LogGrid | None = None,
    scale: Literal["none", "median"] = "none",
    reject: float | None = 5.0,
) -> Coadd:
    """Add spectra of one object, each pixel weighted by its inverse variance.

    Parameters
    ----------
    spectra : two or more spectra in the same flux unit and the same frame of wavelengths.
    grid : of the coadd; by default the one on which all lie. Nothing is resampled where they lie on one.
    scale : ``median``: multiply each spectrum by one number, so that all have the brightness of the median one (for a
        shape; a variable object or another flux calibration then does not widen the scatter).
    reject : leave out a spectrum's pixel that is more than so many sigma off the weighted median of all, by its own
        error or the scatter of all, whichever is larger; None to keep all. Needs five spectra in a pixel.

    Returns
    -------
    Coadd
        Pixels where no spectrum has anything have ivar 0 and flux NaN.

    Raises
    ------
    CatalogError
        When units or frames differ, or no spectrum has a usable pixel.
    ConfigError
        For fewer than two spectra or an unknown setting.
    """
    from scipy.special import chdtri

    if len(spectra) < 2:
        raise ConfigError(f"a coadd needs two spectra or more, got {len(spectra)}")
    if scale not in ("none", "median"):
        raise ConfigError(f"scale must be 'none' or 'median', not {scale!r}")
    if reject is not None and not reject > 0:
        raise ConfigError(f"reject must be a positive number of sigma or None, not {reject}")
    for what in ("unit", "frame"):
        found = sorted({str(getattr(spectrum, what)) for spectrum in spectra})
        if len(found) > 1:
            raise CatalogError(f"the spectra differ in their {what}: {', '.join(found)}; bring them to one first")
    chosen = grid or common_grid(spectra)
    flux, ivar = (np.stack(part) for part in zip(*(onto_grid(one, chosen) for one in spectra), strict=True))
    used = np.asarray((ivar > 0).any(axis=1))
    if not used.any():
        raise CatalogError("no spectrum has a usable pixel on the grid of the coadd (all ivar 0, or all masked)")
    factors = _scales(flux, ivar, used) if scale == "median" else np.ones(len(spectra))
    flux, ivar = flux * factors[:, None], ivar / factors[:, None] ** 2
    kept = _kept(flux, ivar, reject)
    weight = np.where(kept, ivar, 0.0)
    total = weight.sum(axis=0)
    known = total > 0
    mean = np.where(known, (weight * flux).sum(axis=0) / np.where(known, total, 1.0), np.nan)
    count = kept.sum(axis=0)
    chi2 = (weight * (flux - np.where(known, mean, 0.0)) ** 2).sum(axis=0)
    freedom = np.maximum(count - 1, 1)
    ratio = np.where(count > 1, np.sqrt(chi2 / freedom), np.nan)
    stated = np.where(known, 1.0 / np.sqrt(np.where(known, total, 1.0)), np.nan)
    # the error of a weighted mean as the scatter shows it; independent of the stated zero point of the errors
    columns = {
        "n_used": count,
        "n_rejected": ((ivar > 0) & ~kept).sum(axis=0),
        "chi2": np.where(count > 1, chi2 / freedom, np.nan),
        "scatter_error": stated * ratio,
    }
    spectrum = Spectrum(
        wavelength=chosen.wavelength,
        flux=mean,
        ivar=total,
        mask=np.zeros(chosen.count, dtype=np.int64),
        name=f"coadd of {int(used.sum())}",
        unit=spectra[0].unit,
        grid=chosen,
        frame=spectra[0].frame,
        columns=columns,
        meta={"spectra": int(used.sum()), "scale": scale},
    )
    busy = count >= max(2, int(used.sum()) // 2)
    # the median over the pixels against the median that chi2 has for as many spectra: outliers do not count
    expected = chdtri(freedom, 0.5)
    error_ratio = float(np.sqrt(np.median((chi2 / expected)[busy]))) if busy.any() else float("nan")
    return Coadd(spectrum, factors, flux, ivar, used, error_ratio)


def _scales(flux: Floats, ivar: Floats, used: NDArray[np.bool_]) -> Floats:
    """One factor a spectrum from the pixels that it shares with the reference, the weighted mean of all."""
    factors = np.ones(len(flux))
    for _ in range(3):
        weight = ivar / factors[:, None] ** 2
        total = weight.sum(axis=0)
        reference = np.where(
            total > 0, (weight * factors[:, None] * flux).sum(axis=0) / np.where(total > 0, total, 1), 0
        )
        for k in np.flatnonzero(used):
            own = ivar[k] > 0
            norm = float((ivar[k] * reference * flux[k])[own].sum())
            power = float((ivar[k] * flux[k] ** 2)[own].sum() - own.sum())  # the noise adds one for each pixel
            factors[k] = norm / power if norm > 0 and power > 0 else 1.0
    brightness = factors[used]
    return np.asarray(factors / np.median(brightness))


def _kept(flux: Floats, ivar: Floats, reject: float | None) -> NDArray[np.bool_]:
    there = ivar > 0
    if reject is None:
        return np.asarray(there)
    values = np.where(there, flux, np.nan)
    many = there.sum(axis=0) >= 5
    if not many.any():
        return np.asarray(there)
    middle, spread = np.zeros(flux.shape[1]), np.zeros(flux.shape[1])
    middle[many] = np.nanmedian(values[:, many], axis=0)
    spread[many] = MAD_TO_SIGMA * np.nanmedian(np.abs(values[:, many] - middle[many]), axis=0)
    error = 1.0 / np.sqrt(np.where(there, ivar, 1.0))
    far = np.abs(flux - middle) > reject * np.maximum(error, spread)
    return np.asarray(there & ~(far & many))


def noise(spectrum: Spectrum) -> float:
    """Noise of a spectrum from its own pixels: the median of third differences at a lag of two (DER_SNR).

    A smooth spectrum cancels in 2 f(i) - f(i-2) - f(i+2), and the lag avoids neighbors that share noise (Stoehr et al.
    2008, 2008ASPC..394..505S). Lines add to it, so it is an upper limit.

    Returns
    -------
    float
        In the unit of the flux; NaN with fewer than 10 triples of good pixels.
    """
    lag = NOISE_LAG
    if len(spectrum) <= 2 * lag:
        return float("nan")
    good, flux = spectrum.good, spectrum.flux
    both = good[lag:-lag] & good[: -2 * lag] & good[2 * lag :]
    if both.sum() < 10:
        return float("nan")
    third = 2.0 * flux[lag:-lag] - flux[: -2 * lag] - flux[2 * lag :]
    return float(MAD_TO_SIGMA / np.sqrt(6.0) * np.median(np.abs(third[both])))
