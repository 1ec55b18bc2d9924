"""Gaia BP/RP ("XP") spectra: from coefficients to sampled flux and back.

Gaia publishes a mean spectrum as coefficients of two sets of basis functions, one an arm; many tables hold sampled
fluxes instead. The bases, dispersion and response are those of GaiaXPy (2023A&A...674A...3M), read from its package.
A sampled spectrum is linear in the coefficients, ``flux = A c``; the way back is a regularized linear projection,

    P = (A^T W A + L)^-1 A^T W

with pixel weights W and a prior precision L for each coefficient, each arm by itself: where the arms overlap both see
the merged flux. The numbers of bases are those of the files read: 55 and 55 in Gaia DR3, others in later releases.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import CatalogError, ConfigError, DatasetError

SAMPLED_NM = np.arange(336.0, 1021.0, 2.0)
"""Wavelengths of Gaia's sampled mean spectra, nm: 343 of them."""
ARMS = ("bp", "rp")
ARM_FILES = ("bases", "dispersion", "response")
OVERLAP = (635.0, 643.0)  # nm: below is BP alone, above RP alone, between them a linear mixture (GaiaXPy)
PUPIL_AREA = 0.7278  # m^2
PHOTON_ENERGY = 1e9 * 2.99792458e8 * 6.62607004e-34  # J nm
G_ZERO_POINT = 25.6873668671  # mag, Vega: G = ZERO_POINT - 2.5 log10(flux in electrons per second)

Floats = NDArray[np.float64]


def g_flux(magnitude: ArrayLike) -> Floats:
    """Flux in G in electrons per second, of a G magnitude (Gaia DR3 zero point).

    Examples
    --------
    >>> float(g_flux(25.6873668671))
    1.0
    """
    return np.asarray(10.0 ** ((G_ZERO_POINT - np.asarray(magnitude, dtype=float)) / 2.5), dtype=float)


def _numbers(text: str) -> Floats:
    return np.array([float(word) for word in text.strip("() \n").split(",") if word.strip()])


@dataclass(frozen=True)
class Arm:
    """The instrument of one arm: its bases, dispersion and response, as GaiaXPy's files give them.

    Parameters
    ----------
    bases : number of basis functions that a spectrum has coefficients of.
    scale, offset : pseudo-wavelength -> argument of the Hermite functions.
    hermite : (bases, Hermite functions), the transformed bases in Hermite functions.
    dispersion : (2, n) wavelength (nm) and pseudo-wavelength.
    response : (2, n) wavelength (nm) and response.
    """

    bases: int
    scale: float
    offset: float
    hermite: Floats
    dispersion: Floats
    response: Floats

    @classmethod
    def read(cls, bases: Path, dispersion: Path, response: Path) -> Arm:
        """Read the three files of an arm; DatasetError when one is not what it should be."""
        try:
            with open(bases, newline="", encoding="utf-8") as stream:
                row = next(csv.DictReader(_quoted(stream)))
            size, inner = int(row["nBases"]), int(row["nInverseBasesCoefficients"])
            inverse = _numbers(row["inverseBasesCoefficients"]).reshape(size, inner)
            turned = _numbers(row["transformationMatrix"]).reshape(size, int(row["nTransformedBases"]))
            low, high = float(row["pwlRangeMin"]), float(row["pwlRangeMax"])
            first, last = float(row["normRangeMin"]), float(row["normRangeMax"])
            tables = [np.loadtxt(path, delimiter=",", converters=_float) for path in (dispersion, response)]
        except (OSError, KeyError, ValueError, StopIteration) as error:
            raise DatasetError(f"{bases} and its neighbors are no bases of GaiaXPy: {error}") from error
        scale = (last - first) / (high - low)
        return cls(size, scale, first - low * scale, turned @ inverse, tables[0], tables[1])

    def design(self, wavelength: Floats) -> Floats:
        """Flux (W m^-2 nm^-1) at each wavelength (nm) of a unit coefficient of each basis: (wavelengths, bases)."""
        from scipy.interpolate import splev, splrep

        pseudo = splev(wavelength, splrep(*self.dispersion, s=0))
        response = splev(wavelength, splrep(*self.response, s=0))
        functions = hermite_functions(pseudo * self.scale + self.offset, self.hermite.shape[1])
        with np.errstate(divide="ignore"):
            norm = np.where(response > 0, PHOTON_ENERGY / (PUPIL_AREA * response * wavelength), 0.0)
        return np.asarray((functions @ self.hermite.T) * norm[:, None])


def _float(text: str) -> float:
    return float(text) if text.strip() else np.nan


def _quoted(stream: object) -> list[str]:
    """The lines of a bases file that are not empty."""
    return [line for line in stream if line.strip()]  # type: ignore[attr-defined]


def hermite_functions(x: ArrayLike, count: int) -> Floats:
    """Orthonormal Hermite functions of orders 0 to count - 1 at x, shape (len(x), count), by their recursion.

    Examples
    --------
    >>> hermite_functions([0.0], 2).round(4).tolist()
    [[0.7511, 0.0]]
    """
    place = np.atleast_1d(np.asarray(x, dtype=float))
    found = np.empty((len(place), count))
    found[:, 0] = np.pi**-0.25 * np.exp(-(place**2) / 2.0)
    if count > 1:
        found[:, 1] = np.sqrt(2.0) * place * found[:, 0]
    for order in range(2, count):
        found[:, order] = np.sqrt(2.0 / order) * place * found[:, order - 1]
        found[:, order] -= np.sqrt((order - 1.0) / order) * found[:, order - 2]
    return found


@dataclass(frozen=True)
class XpBases:
    """Both arms on one grid of wavelengths.

    Parameters
    ----------
    wavelength : (n,) nm.
    designs : arm -> (n, bases), flux in W m^-2 nm^-1 of unit coefficients (electrons per second).
    """

    wavelength: Floats
    designs: Mapping[str, Floats]

    @classmethod
    def from_gaiaxpy(cls, wavelength: ArrayLike = SAMPLED_NM) -> XpBases:
        """The bases of Gaia DR3, from GaiaXPy's package (dataset ``gaiaxpy_bases``)."""
        from starloom.datasets.access import locate

        def read(arm: str) -> Arm:
            return Arm.read(*(locate("gaiaxpy_bases", f"{arm}_{what}").path for what in ARM_FILES))

        return cls.of({arm: read(arm) for arm in ARMS}, wavelength)

    @classmethod
    def of(cls, arms: Mapping[str, Arm], wavelength: ArrayLike = SAMPLED_NM) -> XpBases:
        """The bases of the two arms, sampled."""
        grid = np.asarray(wavelength, dtype=float)
        if grid.ndim != 1 or len(grid) < 2 or not (grid.min() >= 330.0 and grid.max() <= 1050.0):
            raise ConfigError("wavelengths of XP spectra lie between 330 and 1050 nm (is the unit Angstrom?)")
        return cls(grid, {arm: arms[arm].design(grid) for arm in ARMS})

    @property
    def sizes(self) -> tuple[int, int]:
        """Numbers of bases of BP and RP."""
        return self.designs["bp"].shape[1], self.designs["rp"].shape[1]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the coefficients: bp_0, bp_1, ..., rp_0, ..."""
        return tuple(f"{arm}_{order}" for arm, size in zip(ARMS, self.sizes, strict=True) for order in range(size))

    def pixels(self, arm: str) -> NDArray[np.bool_]:
        """The wavelengths that an arm sees."""
        return self.wavelength <= OVERLAP[0] if arm == "bp" else self.wavelength >= OVERLAP[1]

    def sample(self, coefficients: ArrayLike) -> Floats:
        """Fluxes (stars, wavelengths) of coefficients (stars, both arms' bases), in the coefficients' own scale.

        The arms are mixed linearly where they overlap; an arm that is not known (NaN) leaves its part NaN.
        """
        values = np.asarray(coefficients, dtype=float)
        if values.ndim != 2 or values.shape[1] != sum(self.sizes):
            raise CatalogError(f"coefficients have shape {values.shape}; {sum(self.sizes)} a star are needed")
        share = merge_weight(self.wavelength)
        blue = values[:, : self.sizes[0]] @ self.designs["bp"].T
        red = values[:, self.sizes[0] :] @ self.designs["rp"].T
        # 0 times NaN is NaN: an absent arm must not spoil the pixels that the other has to itself
        return np.where(share > 0, share * blue, 0.0) + np.where(share < 1, (1.0 - share) * red, 0.0)

    def sample_errors(self, errors: ArrayLike) -> Floats:
        """Errors of sampled fluxes (stars, wavelengths) from independent errors of the coefficients."""
        values = np.asarray(errors, dtype=float)
        share = merge_weight(self.wavelength)
        blue = values[:, : self.sizes[0]] ** 2 @ (self.designs["bp"] ** 2).T
        red = values[:, self.sizes[0] :] ** 2 @ (self.designs["rp"] ** 2).T
        square = np.where(share > 0, share**2 * blue, 0.0) + np.where(share < 1, (1.0 - share) ** 2 * red, 0.0)
        return np.asarray(np.sqrt(square))


def merge_weight(wavelength: ArrayLike) -> Floats:
    """Share of BP in the merged flux at these wavelengths (nm)."""
    return np.clip((OVERLAP[1] - np.asarray(wavelength, dtype=float)) / (OVERLAP[1] - OVERLAP[0]), 0.0, 1.0)


@dataclass(frozen=True)
class ArmProjection:
    """From an arm's sampled fluxes to its coefficients.

    Parameters
    ----------
    matrix : (bases, pixels), for the pixels of the arm.
    through : (bases, bases), ``matrix`` after the arm's design: what published coefficients become on this way.
    condition, raw_condition : of the normal equations, with and without the prior.
    effective : how many coefficients the spectra themselves fix; the prior holds the rest.
    """

    matrix: Floats
    through: Floats
    condition: float
    raw_condition: float
    effective: float


def project(design: Floats, noise: Floats, prior: Floats) -> ArmProjection:
    """The regularized way from fluxes to coefficients.

    Parameters
    ----------
    design : (pixels, bases).
    noise : (pixels,) typical error of a flux; infinite where there is none.
    prior : (bases,) size of each coefficient beyond which it is not believed.
    """
    # in units of the prior all coefficients are of order one: the normal matrix is then as tame as it can be
    scaled = design * prior / noise[:, None]
    information = scaled.T @ scaled
    matrix = prior[:, None] * np.linalg.solve(information + np.eye(len(information)), scaled.T) / noise
    values = np.linalg.eigvalsh(information)
    return ArmProjection(
        matrix,
        matrix @ design,
        condition=float((values[-1] + 1.0) / (max(values[0], 0.0) + 1.0)),
        raw_condition=float(values[-1] / max(values[0], values[-1] * 1e-16)),
        effective=float((np.maximum(values, 0.0) / (np.maximum(values, 0.0) + 1.0)).sum()),
    )


def fit_projection(
    bases: XpBases, flux: ArrayLike, flux_error: ArrayLike, *, floor: float = 0.003, width: float = 6.0, rounds: int = 6
) -> dict[str, ArmProjection]:
    """The way back for spectra like these.

    Pixels are weighed by the median error, plus ``floor`` of the median flux. The prior is empirical: ``width`` times
    the spread of each coefficient over the spectra, found in a few rounds from a wide one.

    Parameters
    ----------
    bases : on the wavelengths of the spectra.
    flux, flux_error : (stars, wavelengths) in units of one star's flux (over the flux in G).
    """
    values, errors = np.asarray(flux, dtype=float), np.asarray(flux_error, dtype=float)
    noise = np.sqrt(np.median(errors, axis=0) ** 2 + (floor * np.median(values)) ** 2)
    found = {}
    for arm in ARMS:
        kept = bases.pixels(arm)
        design = bases.designs[arm][kept]
        prior = np.ones(design.shape[1])
        for _ in range(rounds):
            current = values[:, kept] @ project(design, noise[kept], prior).matrix.T
            low, middle, high = np.percentile(current, [16, 50, 84], axis=0)
            prior = np.maximum(np.hypot(middle, width * (high - low) / 2), 1e-7)
        found[arm] = project(design, noise[kept], prior)
    return found
