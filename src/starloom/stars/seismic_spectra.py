"""APOGEE spectra made ready for the seismic ages: three chips, divided by their continuum, bad pixels known.

The recipe is the one that arXiv:2302.05479 works with: the combined spectrum of an apStar file, the pixels of the three
chips (7,514 of 8,575), a Chebyshev polynomial of degree 2 a chip through fixed continuum pixels, and 1 wherever a pixel
cannot be trusted. Here the pixels that were set to 1 stay known, so that a model can leave them out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import CatalogError, ConfigError
from starloom.spectra.spectrum import LogGrid

if TYPE_CHECKING:
    from starloom.spectra.spectrum import Spectrum

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

GRID = LogGrid(4.179, 6e-6, 8575)
"""The wavelengths of APOGEE's combined spectra."""
CHIPS = ((246, 3274), (3585, 6080), (6344, 8335))
"""First pixel, and the one after the last, of each chip on that grid (blue, green, red)."""
PIXELS = sum(last - first for first, last in CHIPS)
KEPT = np.concatenate([np.arange(first, last) for first, last in CHIPS])
BAD_BITS = sum(1 << bit for bit in (*range(8), 12))
"""Bits of APOGEE's pixel masks that make a pixel unusable here: 0 to 7 and 12."""
DEGREE = 2
HIGHEST = 2.0
LEAST_GOOD = 0.3  # of the pixels: fewer, and the spectrum is not used


@dataclass(frozen=True)
class Normalized:
    """Spectra divided by their continuum.

    Parameters
    ----------
    flux : (n, 7514) normalized flux, 1 where a pixel is bad, as the recipe has it.
    error : (n, 7514) its standard deviation; infinite where a pixel is bad.
    reasons : (n,) why a spectrum cannot be used; empty where it can.
    """

    flux: Floats
    error: Floats
    reasons: NDArray[np.str_]

    @property
    def good(self) -> Flags:
        """Pixels that were measured (n, 7514)."""
        return np.isfinite(self.error)

    @property
    def usable(self) -> Flags:
        """Spectra that can be used (n,)."""
        return np.asarray(self.reasons == "")

    @property
    def signal_to_noise(self) -> Floats:
        """Median of flux over error over the good pixels (n,); NaN where there is none."""
        ratio = np.where(self.good, self.flux / self.error, np.nan)
        known = np.isfinite(ratio).any(axis=1)
        found = np.full(len(ratio), np.nan)
        found[known] = np.nanmedian(ratio[known], axis=1)
        return found

    def __len__(self) -> int:
        return len(self.flux)

    def rows(self, rows: ArrayLike) -> Normalized:
        """Some of the spectra."""
        chosen = np.asarray(rows)
        return Normalized(self.flux[chosen], self.error[chosen], self.reasons[chosen])


def wavelengths() -> Floats:
    """Vacuum wavelengths of the 7,514 pixels, Angstrom.

    Examples
    --------
    >>> wavelengths()[[0, -1]].round(2).tolist()
    [15152.21, 16943.53]
    """
    return np.asarray(GRID.wavelength[KEPT])


@lru_cache(maxsize=1)
def continuum_pixels() -> Flags:
    """The continuum pixels of APOGEE DR17 that astroNN's recipe uses, (7514,): dataset ``apogee_continuum``.

    Raises
    ------
    DatasetError
        When the file cannot be had; ``find_continuum`` finds pixels of your own.
    """
    from starloom.datasets.access import locate

    mask = np.load(locate("apogee_continuum").path, allow_pickle=False)
    if mask.shape != (PIXELS,) or mask.dtype != bool:
        raise CatalogError(f"continuum pixels: {PIXELS} of true or false expected, got {mask.dtype} {mask.shape}")
    return np.asarray(mask)


def find_continuum(flux: ArrayLike, *, share: float = 0.07) -> Flags:
    """Continuum pixels out of roughly normalized spectra: high in all stars, and the same in all (after
    2015ApJ...808...16N).

    Parameters
    ----------
    flux : (n, 7514), 1 near the continuum.
    share : of the pixels of each chip to choose.
    """
    values = np.atleast_2d(np.asarray(flux, dtype=float))
    if values.shape[1] != PIXELS or len(values) < 3:
        raise CatalogError(f"at least three spectra of {PIXELS} pixels are needed, got the shape {values.shape}")
    if not 0 < share <= 0.5:
        raise ConfigError(f"the share of continuum pixels is between 0 and 0.5, not {share}")
    low, median, high = np.nanpercentile(values, [16, 50, 84], axis=0)
    chosen = np.zeros(PIXELS, dtype=bool)
    for part in _chip_slices():
        # far from 1 and unsteady are equally bad; both in units of the chip's own spread
        worth = -np.abs(median[part] - np.nanpercentile(median[part], 90)) - (high - low)[part]
        chosen[part] = worth >= np.nanquantile(worth, 1.0 - share)
    return chosen


def _chip_slices() -> list[slice]:
    sizes = np.cumsum([0, *(last - first for first, last in CHIPS)])
    return [slice(int(a), int(b)) for a, b in pairwise(sizes)]


def normalize(
    flux: ArrayLike,
    error: ArrayLike,
    mask: ArrayLike | None = None,
    *,
    continuum: ArrayLike | None = None,
) -> Normalized:
    """Divide combined APOGEE spectra by their continuum.

    Parameters
    ----------
    flux, error : (n, 8575) or (8575,), on APOGEE's grid; (n, 7514) if only the chips are given.
    mask : bits of each pixel, of the same shape; none bad by default.
    continuum : (7514,) which pixels the continuum goes through; those of ``continuum_pixels`` by default.

    Raises
    ------
    CatalogError
        When shapes do not belong together. A spectrum that cannot be used comes back with a reason.
    """
    values, sigma = (np.atleast_2d(np.asarray(part, dtype=float)) for part in (flux, error))
    bits = np.zeros(values.shape, dtype=np.int64) if mask is None else np.atleast_2d(np.asarray(mask, dtype=np.int64))
    if not values.shape == sigma.shape == bits.shape or values.ndim != 2:
        raise CatalogError(f"flux {values.shape}, error {sigma.shape} and mask {bits.shape} must be of one shape")
    if values.shape[1] == GRID.count:
        values, sigma, bits = values[:, KEPT], sigma[:, KEPT], bits[:, KEPT]
    elif values.shape[1] != PIXELS:
        raise CatalogError(f"APOGEE spectra have {GRID.count} pixels ({PIXELS} on the chips), not {values.shape[1]}")
    chosen = continuum_pixels() if continuum is None else np.asarray(continuum, dtype=bool)
    if chosen.shape != (PIXELS,):
        raise CatalogError(f"continuum pixels must have the shape ({PIXELS},), not {chosen.shape}")
    known = np.isfinite(values) & np.isfinite(sigma) & (sigma > 0)
    inverse = np.where(known, 1.0 / np.where(known, sigma, 1.0) ** 2, 0.0)
    found, spread = np.ones_like(values), np.full_like(values, np.inf)
    for part in _chip_slices():
        level = _continuum(np.where(known, values, 0.0)[:, part], inverse[:, part], known[:, part], chosen[part])
        with np.errstate(divide="ignore", invalid="ignore"):
            found[:, part] = np.where(known[:, part], values[:, part] / level, np.nan)
            spread[:, part] = np.where(known[:, part], sigma[:, part] / np.abs(level), np.inf)
    found = np.where(found < 0, 0.0, found)
    bad = ~np.isfinite(found) | ((bits & BAD_BITS) != 0) | ~np.isfinite(spread)
    found[bad] = 1.0
    high = found > HIGHEST
    found[high] = 1.0
    spread[bad | high] = np.inf
    share = np.isfinite(spread).mean(axis=1)
    reasons = np.where(
        ~known.any(axis=1),
        "no pixel is measured",
        np.where(share < LEAST_GOOD, f"fewer than {LEAST_GOOD:.0%} of the pixels are good", ""),
    )
    flat = np.std(np.where(np.isfinite(spread), found, 1.0), axis=1) < 1e-6
    reasons = np.where((reasons == "") & flat, "the spectrum is constant", reasons)
    return Normalized(found, spread, np.asarray(reasons, dtype=np.str_))


def _continuum(values: Floats, inverse: Floats, known: Flags, chosen: Flags) -> Floats:
    """The polynomial of each spectrum (n, pixels): weights as numpy's Chebyshev.fit is given them by the recipe.

    The recipe hands inverse variances to ``w``, which multiplies residuals: the squares are weighted with their square.
    """
    pixels = values.shape[1]
    places = np.flatnonzero(chosen)
    if len(places) <= DEGREE:
        raise ConfigError(f"a chip has {len(places)} continuum pixels: at least {DEGREE + 1} are needed")
    x = 2.0 * (np.arange(pixels) - places[0]) / (places[-1] - places[0]) - 1.0
    design = np.polynomial.chebyshev.chebvander(x, DEGREE)
    inside = design[places]
    weights = (inverse[:, places] + 1e-8) ** 2 * known[:, places]
    # weights of very bright or faint stars would leave the range of the solver's tolerance
    weights = weights / np.maximum(weights.max(axis=1, keepdims=True), 1e-300)
    normal = np.einsum("np,pi,pj->nij", weights, inside, inside, optimize=True)
    right = np.einsum("np,pi,np->ni", weights, inside, values[:, places], optimize=True)
    solved = (known[:, places].sum(axis=1) > 2 * DEGREE) & (np.abs(np.linalg.det(normal)) > 1e-12)
    normal[~solved] = np.eye(DEGREE + 1)
    terms = np.linalg.solve(normal, right[..., None])[..., 0]
    terms[~solved] = np.nan
    return np.asarray(terms @ design.T)


def of_spectra(spectra: Sequence[Spectrum], *, continuum: ArrayLike | None = None) -> Normalized:
    """Normalize spectra as ``read_apstar`` gives them; their grids are checked.

    A spectrum whose pixels lie on APOGEE's grid but begin elsewhere is moved; one on another grid, or not at rest,
    comes back with a reason.
    """
    if not spectra:
        raise CatalogError("no spectrum was given")
    count = len(spectra)
    flux, error = np.full((count, GRID.count), np.nan), np.full((count, GRID.count), np.inf)
    bits = np.zeros((count, GRID.count), dtype=np.int64)
    reasons = np.full(count, "", dtype="U120")
    for row, spectrum in enumerate(spectra):
        if spectrum.grid is None or not GRID.aligned(spectrum.grid):
            reasons[row] = "its wavelengths are not on APOGEE's grid (log10 from 4.179 by 6e-6)"
            continue
        if spectrum.frame != "rest":
            reasons[row] = "it is not at rest: a combined spectrum (apStar) is needed, not a visit as observed"
            continue
        first = round(GRID.offset(spectrum.grid))
        to = slice(max(first, 0), min(first + len(spectrum), GRID.count))
        off = slice(to.start - first, to.stop - first)
        flux[row, to], bits[row, to] = spectrum.flux[off], spectrum.mask[off]
        error[row, to] = np.where(spectrum.ivar[off] > 0, spectrum.error[off], np.inf)
    found = normalize(flux, error, bits, continuum=continuum)
    return Normalized(found.flux, found.error, np.where(reasons != "", reasons, found.reasons))


def read_spectra(paths: Sequence[str | Path], *, continuum: ArrayLike | None = None) -> Normalized:
    """Read apStar files and normalize their combined spectra; a file that cannot be read comes back with a reason."""
    from starloom.spectra.apogee import read_apstar

    spectra: list[Spectrum] = []
    read, reasons = [], np.full(len(paths), "", dtype="U200")
    for row, path in enumerate(paths):
        try:
            spectra.append(read_apstar(path).main)
            read.append(row)
        except (CatalogError, OSError) as error:
            reasons[row] = str(error)[:200]
    flux, spread = np.ones((len(paths), PIXELS)), np.full((len(paths), PIXELS), np.inf)
    if spectra:
        found = of_spectra(spectra, continuum=continuum)
        flux[read], spread[read], reasons[read] = found.flux, found.error, found.reasons
    return Normalized(flux, spread, np.asarray(reasons))
