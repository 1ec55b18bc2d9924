"""Where a giant stands across the branch: how much hotter it is than others of its oscillations and [Fe/H].

At given gravity and metallicity the temperature of a giant follows its mass, and so its age. A tree asks for one input
at a time and has to find that by many splits of Teff, [Fe/H] and each latent, for which there are never stars enough;
the difference says it in one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RIDGE = 1.0


@dataclass(frozen=True)
class Track:
    """The mean Teff of giants, a quadratic in latents and [Fe/H].

    Parameters
    ----------
    center, scale : of what it is a function of (k,).
    coefficients : of the terms: 1, each, and each product of two.
    """

    center: Floats
    scale: Floats
    coefficients: Floats

    @classmethod
    def fit(cls, places: Floats, teff: Floats) -> Track:
        """Learn from stars at places (n, k) with Teff (n,), K; all finite.

        Examples
        --------
        >>> places = np.random.default_rng(1).normal(size=(200, 2))
        >>> teff = 4800.0 + 100.0 * places[:, 0] - 50.0 * places[:, 0] * places[:, 1]
        >>> bool(np.abs(Track.fit(places, teff).excess(places, teff)).max() < 5.0)
        True
        """
        center, scale = places.mean(axis=0), places.std(axis=0)
        scale[~(scale > 0)] = 1.0
        design = _terms((places - center) / scale)
        penalty = RIDGE * np.eye(design.shape[1])
        penalty[0, 0] = 0.0
        found = np.linalg.solve(design.T @ design + penalty, design.T @ teff)
        return cls(center, scale, np.asarray(found, dtype=np.float64))

    def excess(self, places: Floats, teff: Floats) -> Floats:
        """Teff above the mean (n,), K; places beyond four widths count as four widths away, NaN stays NaN."""
        return np.asarray(teff - _terms(np.clip((places - self.center) / self.scale, -4.0, 4.0)) @ self.coefficients)

    def arrays(self) -> dict[str, Any]:
        """What is saved."""
        return {"center": self.center, "scale": self.scale, "coefficients": self.coefficients}


def _terms(z: Floats) -> Floats:
    first, second = np.triu_indices(z.shape[1])
    return np.hstack([np.ones((len(z), 1)), z, z[:, first] * z[:, second]])
