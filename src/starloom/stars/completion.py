"""The missing tokens of a star, roughly: a mixture of factor analyzers, exact for whatever subset is known.

Within a component the standardized values of all kinds are

    z = mu + Lambda f + noise,    f ~ N(0, 1),    noise ~ N(0, diag(psi)),

so that the mean and variance of every kind, given any kinds, cost the solution of a system as large as f is long
(Ghahramani & Hinton 1996, CRG-TR-96-1). It is fitted to all training stars with whatever gaps they have.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from starloom.seeds import generator

LEAST_NOISE = 3e-4
"""Variance, in standardized values, below which the noise of a kind is not believed."""
FARTHEST = 8.0
"""Standardized values are cut there: a mixture of normals says nothing of stars so far out."""
BLOCK = 2048
LEAST_SHARE = 1e-9
"""Share of a star below which a component is not asked for that star's missing values."""


@dataclass
class Posterior:
    """What is known of the factors of stars.

    Parameters
    ----------
    share, factors : (components, stars), (components, stars, factors).
    lower : (components, patterns, factors, factors) Cholesky factor of the factors' precision, which depends only on
        which kinds are known.
    which : (stars,) pattern of each star.
    log_likelihood : (stars,).
    """

    share: Tensor
    factors: Tensor
    lower: Tensor
    which: Tensor
    log_likelihood: Tensor


class Completion(nn.Module):
    """Means and variances of all kinds from those that are known.

    Parameters
    ----------
    kinds, components, factors : how many of each.
    """

    weights: Tensor
    centers: Tensor
    loadings: Tensor
    noise: Tensor

    def __init__(self, kinds: int, components: int, factors: int) -> None:
        super().__init__()
        self.register_buffer("weights", torch.full((components,), 1.0 / components))
        self.register_buffer("centers", torch.zeros(components, kinds))
        self.register_buffer("loadings", torch.zeros(components, kinds, factors))
        self.register_buffer("noise", torch.ones(components, kinds))

    @torch.no_grad()
    def forward(self, values: Tensor, shown: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance (stars, kinds); what is shown is given back, with the variance 0.

        Parameters
        ----------
        values : (stars, kinds) standardized; what is not shown does not count.
        shown : (stars, kinds) of bool.
        """
        with torch.autocast("cpu", enabled=False):
            z = values.double().clamp(-FARTHEST, FARTHEST)
            found = self.posterior(z, shown)
            mean, variance = torch.zeros_like(z, dtype=torch.float32), torch.zeros_like(z, dtype=torch.float32)
            parts = []
            for c in range(len(self.weights)):  # few components have a share in a star
                rows = (found.share[c] > LEAST_SHARE).nonzero()[:, 0]
                patterns, place = torch.unique(found.which[rows], return_inverse=True)
                loadings = self.loadings[c].float()
                covariance = torch.cholesky_inverse(found.lower[c, patterns]).float()
                within = (self.noise[c].float() + covariance.flatten(1) @ _outer(loadings).T)[place]
                each = self.centers[c].float() + found.factors[c, rows].float() @ loadings.T
                share = found.share[c, rows].float()[:, None]
                mean.index_add_(0, rows, share * each)
                parts.append((rows, share, each, within))
            for rows, share, each, within in parts:
                variance.index_add_(0, rows, share * (within + (each - mean[rows]) ** 2))
            mean = mean.clamp(-FARTHEST, FARTHEST)
        return torch.where(shown, values.to(mean.dtype), mean), variance.masked_fill(shown, 0.0)

    def posterior(self, z: Tensor, shown: Tensor) -> Posterior:
        """Shares of the components, and mean and covariance of the factors, of stars (stars, kinds) in float64."""
        loadings, noise = self.loadings.double(), self.noise.double()
        size = loadings.shape[2]
        first, which = _patterns(shown)
        patterns = shown[first]
        outer = _outer(loadings) / noise[..., None]
        precision = (patterns.double() @ outer).view(-1, len(patterns), size, size)
        precision.diagonal(dim1=2, dim2=3).add_(1.0)
        lower = torch.linalg.cholesky(precision)
        away = torch.where(shown, z - self.centers.double()[:, None], 0.0)
        weighted = away / noise[:, None]
        pull = weighted @ loadings
        factors = _solved(lower, which, pull)
        volume = 2.0 * lower.diagonal(dim1=2, dim2=3).log().sum(2) + noise.log() @ patterns.double().T
        squares = (weighted * away).sum(2) - (pull * factors).sum(2)
        count = shown.double().sum(1)
        each = -0.5 * (volume[:, which] + squares + count * float(np.log(2.0 * np.pi)))
        each = each + self.weights.double().log()[:, None]
        total = torch.logsumexp(each, dim=0)
        return Posterior((each - total).exp(), factors, lower, which, total)

    @torch.no_grad()
    def fit(self, values: ArrayLike, *, seed: int, iterations: int = 25, stars: int = 12_000) -> list[float]:
        """Fit to stars by expectation and maximization.

        Parameters
        ----------
        values : (stars, kinds) standardized, NaN where missing.
        seed : draws the stars that are looked at when there are more than ``stars``, and the first components.
        iterations : how many.

        Returns
        -------
        Mean ln likelihood of a star before each iteration.
        """
        rng = generator(seed)
        rows = np.asarray(values, dtype=float)
        if len(rows) > stars:
            rows = rows[np.sort(rng.permutation(len(rows))[:stars])]
        known = torch.from_numpy(np.isfinite(rows))
        z = torch.from_numpy(np.clip(np.where(np.isfinite(rows), rows, 0.0), -FARTHEST, FARTHEST))
        self._begin(z, known, rng)
        return [self._iterate(z, known) for _ in range(iterations)]

    def _begin(self, z: Tensor, known: Tensor, rng: np.random.Generator) -> None:
        """Components around groups of stars in the widest directions, loadings from each group's own."""
        from sklearn.cluster import KMeans

        components, kinds, factors = self.loadings.shape
        widest = torch.linalg.svd(z - z.mean(0), full_matrices=False)
        places = (widest.U[:, :6] * widest.S[:6]).numpy()
        count = min(components, len(z))
        groups = KMeans(count, n_init=2, random_state=int(rng.integers(2**31))).fit(places).labels_
        for component in range(components):
            rows = torch.from_numpy(np.flatnonzero(groups == component % count))
            held = known[rows].double()
            center = (z[rows] * held).sum(0) / held.sum(0).clamp_min(1.0)
            away = (z[rows] - center) * held
            found = torch.linalg.svd(away / max(len(rows), 1) ** 0.5, full_matrices=False)
            rank = min(factors, len(found.S))
            loadings = torch.zeros(kinds, factors, dtype=torch.float64)
            loadings[:, :rank] = found.Vh[:rank].T * found.S[:rank]
            rest = (away.square().sum(0) / held.sum(0).clamp_min(1.0) - loadings.square().sum(1)).clamp_min(0.05)
            self.weights[component] = max(len(rows), 1) / len(z)
            self.centers[component], self.loadings[component], self.noise[component] = center, loadings, rest
        self.weights /= self.weights.sum()

    def _iterate(self, z: Tensor, known: Tensor) -> float:
        components, kinds, factors = self.loadings.shape
        wide = factors + 1
        left = torch.zeros(components, kinds, wide * wide, dtype=torch.float64)
        right = torch.zeros(components, kinds, wide, dtype=torch.float64)
        squares, counts = (torch.zeros(components, kinds, dtype=torch.float64) for _ in range(2))
        shares, total = torch.zeros(components, dtype=torch.float64), 0.0
        for start in range(0, len(z), BLOCK):
            part, shown = z[start : start + BLOCK], known[start : start + BLOCK]
            found = self.posterior(part, shown)
            total += float(found.log_likelihood.sum())
            shares += found.share.sum(1)
            for c in range(components):
                ones = torch.ones(len(part), 1, dtype=torch.float64)
                first = torch.cat([found.factors[c], ones], dim=1)
                second = first[:, :, None] * first[:, None, :]
                second[:, :factors, :factors] += torch.cholesky_inverse(found.lower[c])[found.which]
                weight = shown.double() * found.share[c][:, None]
                left[c] += weight.T @ second.flatten(1)
                right[c] += (weight * part).T @ first
                squares[c] += (weight * part.square()).sum(0)
                counts[c] += weight.sum(0)
        ridge = torch.diag(torch.tensor([1.0] * factors + [1e-3], dtype=torch.float64))
        matrix = left.view(components, kinds, wide, wide)
        solved = torch.linalg.solve(matrix + ridge, right)
        away = squares - 2.0 * (solved * right).sum(2) + torch.einsum("cki,ckij,ckj->ck", solved, matrix, solved)
        self.weights.copy_((shares + 1e-3) / (shares + 1e-3).sum())
        self.loadings.copy_(solved[..., :factors])
        self.centers.copy_(solved[..., factors])
        self.noise.copy_(((away + 0.1) / (counts + 0.1)).clamp_min(LEAST_NOISE))
        return total / len(z)


def _patterns(shown: Tensor) -> tuple[Tensor, Tensor]:
    """First star of each set of known kinds, and which set each star has."""
    packed = np.packbits(shown.cpu().numpy(), axis=1)
    words = np.ascontiguousarray(packed).view(np.dtype((np.void, packed.shape[1])))[:, 0]
    _, first, which = np.unique(words, return_index=True, return_inverse=True)
    return torch.from_numpy(first).to(shown.device), torch.from_numpy(which.ravel()).to(shown.device)


def _outer(loadings: Tensor) -> Tensor:
    """Products of all pairs of loadings of a kind: (..., kinds, factors x factors)."""
    return (loadings[..., :, None] * loadings[..., None, :]).flatten(-2)


def _solved(lower: Tensor, which: Tensor, pull: Tensor) -> Tensor:
    """Means of the factors: precision^-1 pull, (components, stars, factors)."""
    if lower.shape[1] == pull.shape[1]:  # each star has gaps of its own
        place = torch.argsort(which)
        half = torch.linalg.solve_triangular(lower, pull[:, place, :, None], upper=False)
        found: Tensor = torch.linalg.solve_triangular(lower.mT, half, upper=True)
        return found[:, which, :, 0]
    return (torch.cholesky_inverse(lower)[:, which] @ pull[..., None])[..., 0]
