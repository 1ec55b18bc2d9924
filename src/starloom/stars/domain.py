"""Is this star like those a model was trained with? A density of the inputs, exact for any subset of them.

The lowest coefficients and the colors of the training stars are described by a mixture of normals in standardized
values. Of a star that lacks some of them the density of the others is used, which for normals is exact. A star is as
unusual as the share of reference stars, stripped to the same inputs, that lie at a lower density.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from starloom.errors import FitError
from starloom.stars.tokens import Vocabulary

Floats = NDArray[np.float64]
ORDERS = 16
"""Coefficients of each arm below this order are looked at."""
LIMIT = 0.005
"""Share of reference stars below which a star counts as out of domain: the false alarms that are asked for."""


@dataclass
class Domain:
    """A mixture of normals and the stars it is calibrated with.

    Parameters
    ----------
    places : columns of the tokens that are looked at.
    weights, means, covariances : (components,), (components, d), (components, d, d).
    reference : (stars, d) standardized values of stars that the mixture was not fitted to.
    """

    places: NDArray[np.int64]
    weights: Floats
    means: Floats
    covariances: Floats
    reference: Floats
    _known: dict[bytes, Floats] = field(default_factory=dict, repr=False)

    @classmethod
    def fit(
        cls, vocabulary: Vocabulary, values: Floats, reference: Floats, *, seed: int, components: int = 12
    ) -> Domain | None:
        """Fit to standardized tokens (stars, kinds); None when fewer than a hundred stars have all that is looked at.

        Parameters
        ----------
        vocabulary : the kinds.
        values, reference : of the stars to fit, and of others to calibrate with.
        """
        from sklearn.mixture import GaussianMixture

        kinds = vocabulary.kinds
        places = np.array([place for place, kind in enumerate(kinds)
                           if kind.group == "color" or (kind.group == "xp" and kind.order < ORDERS)])  # fmt: skip
        if len(places) == 0:
            return None
        stars, others = (part[np.isfinite(part[:, places]).all(axis=1)][:, places] for part in (values, reference))
        if len(stars) < 100 or len(others) < 20:
            return None
        count = int(np.clip(len(stars) // 200, 1, components))
        mixture = GaussianMixture(count, reg_covar=1e-4, random_state=seed, max_iter=60, tol=3e-3)
        try:
            import warnings

            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a mixture that stops early describes the stars almost as well
                mixture.fit(stars[:12000])
        except ValueError as error:
            raise FitError(f"the training stars' inputs cannot be described by normals: {error}") from error
        return cls(places, mixture.weights_, mixture.means_, mixture.covariances_, others)

    def density(self, values: Floats, shown: NDArray[np.bool_]) -> Floats:
        """ln density (stars,) of the inputs ``shown`` (d,) of stars (stars, d)."""
        from scipy.linalg import solve_triangular
        from scipy.special import logsumexp

        each = np.empty((len(self.weights), len(values)))
        for place, (weight, mean, covariance) in enumerate(
            zip(self.weights, self.means, self.covariances, strict=True)
        ):
            lower = np.linalg.cholesky(covariance[np.ix_(shown, shown)])
            away = solve_triangular(lower, (values[:, shown] - mean[shown]).T, lower=True)
            norm = np.log(np.diag(lower)).sum() + 0.5 * shown.sum() * np.log(2 * np.pi)
            each[place] = np.log(weight) - norm - 0.5 * (away**2).sum(axis=0)
        return np.asarray(logsumexp(each, axis=0))

    def share(self, standardized: Floats) -> Floats:
        """Share of the reference stars that are at least as unusual, (stars,); NaN without any input looked at.

        It is never below 1 / (reference stars + 1).
        """
        values = np.asarray(standardized, dtype=float)[:, self.places]
        known = np.isfinite(values)
        result = np.full(len(values), np.nan)
        patterns, which = np.unique(known, axis=0, return_inverse=True)
        for number, shown in enumerate(patterns):
            if not shown.any():
                continue
            key = shown.tobytes()
            if key not in self._known:
                if len(self._known) > 4096:
                    self._known.clear()
                self._known[key] = np.sort(self.density(self.reference, shown))
            rows = np.flatnonzero(which.ravel() == number)
            below = np.searchsorted(self._known[key], self.density(values[rows], shown), side="right")
            result[rows] = (below + 1.0) / (len(self.reference) + 1.0)
        return result
