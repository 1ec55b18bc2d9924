"""Spectra as a few coefficients on a learned basis: bad pixels are left out, not filled in.

A spectrum is mean + B c + noise with c ~ N(0, diag(spread^2)), B orthonormal (probabilistic principal components). The
coefficients of a spectrum are their posterior mean given its good pixels and its own noise, so a missing chip or a bad
pixel pulls nothing to 1; where little was measured they shrink to the mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import CatalogError, FitError

Floats = NDArray[np.float64]
SWEEPS = 3
BLOCK = 512


@dataclass(frozen=True)
class SpectralBasis:
    """Mean, basis and spread of a set of spectra.

    Parameters
    ----------
    mean : (pixels,).
    vectors : (pixels, k), orthonormal.
    spread : (k,) standard deviation of each coefficient over the stars that it was learned from.
    noise : standard deviation of what the basis does not describe beyond the spectra's own errors, a pixel.
    """

    mean: Floats
    vectors: Floats
    spread: Floats
    noise: float

    @property
    def size(self) -> int:
        """Number of coefficients."""
        return len(self.spread)

    @classmethod
    def fit(cls, flux: ArrayLike, error: ArrayLike, *, size: int, seed: int) -> SpectralBasis:
        """Learn a basis from spectra; bad pixels (infinite error) are filled from the basis itself, in three sweeps.

        Parameters
        ----------
        flux, error : (n, pixels).
        size : number of coefficients, below the number of spectra.
        seed : of the randomized decomposition.

        Raises
        ------
        FitError
            When there are too few spectra, or they do not differ.
        """
        from sklearn.utils.extmath import randomized_svd

        values, good = np.array(flux, dtype=np.float32), np.isfinite(np.asarray(error))
        if len(values) <= size:
            raise FitError(f"{len(values)} spectra are too few for a basis of {size}")
        count = np.maximum(good.sum(axis=0), 1)
        mean = np.where(good, values, 0.0).sum(axis=0, dtype=float) / count
        values = np.where(good, values - mean, 0.0).astype(np.float32)
        for sweep in range(SWEEPS):
            left, singular, right = randomized_svd(
                values, size, n_iter=2 if sweep else 1, power_iteration_normalizer="QR", random_state=seed
            )
            if not singular[0] > 1e-6 * np.sqrt(values.size):
                raise FitError("the spectra do not differ: nothing can be learned from them")
            if sweep < SWEEPS - 1:
                for start in range(0, len(values), BLOCK):
                    rows = slice(start, start + BLOCK)
                    filled = (left[rows] * singular) @ right
                    values[rows] = np.where(good[rows], values[rows], filled)
        with np.errstate(invalid="ignore"):
            sigma = np.where(good, np.asarray(error, dtype=float), np.nan)
        variance = float(np.mean((values - (left * singular) @ right) ** 2, where=good))
        own = float(np.nanmean(np.minimum(sigma, 1.0) ** 2))
        spread = singular / np.sqrt(len(values))
        return cls(mean, right.T.astype(float), spread.astype(float), float(np.sqrt(max(variance - own, 1e-10))))

    def project(self, flux: ArrayLike, error: ArrayLike) -> tuple[Floats, Floats, Floats]:
        """Coefficients of spectra (n, pixels) in units of their spread.

        Returns
        -------
        coefficients, coefficient_errors : (n, k); means and standard deviations of the posterior. 0 and 1 say that
            nothing is known.
        misfit : (n,) mean of (residual / error)^2 over the good pixels: about 1 for spectra like the learned ones.
        """
        values, sigma = np.atleast_2d(np.asarray(flux, dtype=float)), np.atleast_2d(np.asarray(error, dtype=float))
        if values.shape != sigma.shape or values.shape[1] != len(self.mean):
            raise CatalogError(f"spectra of {len(self.mean)} pixels are needed, got {values.shape} and {sigma.shape}")
        found, errors, misfit = (
            np.zeros((len(values), self.size)),
            np.ones((len(values), self.size)),
            np.full(len(values), np.nan),
        )
        for row in range(len(values)):
            good = np.isfinite(sigma[row]) & np.isfinite(values[row])
            if not good.any():
                continue
            # one weight a star: pixels with several times the usual error count as bad
            usual = float(np.sqrt(np.median(sigma[row, good] ** 2) + self.noise**2))
            good &= sigma[row] < 4.0 * usual
            away = np.where(good, values[row] - self.mean, 0.0)
            lost = self.vectors[~good]
            gram = (np.eye(self.size) - lost.T @ lost) / usual**2
            precision = gram + np.diag(1.0 / np.maximum(self.spread, 1e-9) ** 2)
            covariance = np.linalg.inv(precision)
            best = covariance @ (self.vectors.T @ away) / usual**2
            residual = (away - self.vectors @ best)[good]
            misfit[row] = float(np.mean((residual / np.hypot(sigma[row, good], self.noise)) ** 2))
            found[row], errors[row] = best / self.spread, np.sqrt(np.diag(covariance)) / self.spread
        return found, np.minimum(errors, 1.0), misfit

    def arrays(self) -> dict[str, Any]:
        """What is saved."""
        return {"mean": self.mean, "vectors": self.vectors, "spread": self.spread, "noise": np.array([self.noise])}

    @classmethod
    def from_arrays(cls, arrays: dict[str, Any]) -> SpectralBasis:
        """What was saved."""
        parts = [np.asarray(arrays[name], dtype=float) for name in ("mean", "vectors", "spread", "noise")]
        return cls(parts[0], parts[1], parts[2], float(parts[3][0]))
