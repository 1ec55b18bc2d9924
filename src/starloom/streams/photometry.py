"""The stream's photometric density: one stellar population along an isochrone, at the distance of its place.

p(m | modulus) = sum over the stretches s of the isochrone of share_s * (density of m for stars spread evenly along s).
A stretch is a straight line in magnitudes, so its integral with the Gaussian errors is exact: one error function along
the line times a Gaussian across it (arXiv:2311.16960, section 2.6, does a Riemann sum instead).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from starloom.stats.truncated import normal_cdf
from starloom.streams.configuration import Photometry
from starloom.streams.stars import tensor

_CHUNK = 100  # stars at once: what fits into the processor's cache
MARGIN = 0.4  # mag beyond the range of the mean modulus, for its spread
SPACING = 0.05  # mag
# Gauss-Hermite with three nodes: exact for what is cubic over the spread, which is small against the grid's features
_OFFSETS, _WEIGHTS = (-math.sqrt(3.0), 0.0, math.sqrt(3.0)), (1 / 6, 2 / 3, 1 / 6)
_TINY = 1e-30
_SHARPEST = 1e-3  # mag: least width of a population, so that errors of zero divide nothing


def segment_density(magnitudes: Tensor, errors: Tensor, start: Tensor, end: Tensor, scatter: float) -> Tensor:
    """Density in magnitude space of stars spread evenly along straight segments, with Gaussian errors.

    Parameters
    ----------
    magnitudes, errors : (n, bands) mag. A band with an infinite error was not measured: its magnitude is integrated
        over, and has to be some number.
    start, end : ends of the segments, (..., bands) mag.
    scatter : extra width in each band (mag), added in quadrature.

    Returns
    -------
    shape (n, ...), unit mag^-(bands measured).
    """
    extra = (None,) * (start.ndim - 1)
    sigma = torch.sqrt(errors**2 + scatter**2).clamp_min(_SHARPEST)[(slice(None), *extra)]
    from_star = (start - magnitudes[(slice(None), *extra)]) / sigma
    along = (end - start) / sigma
    length = torch.sqrt((along**2).sum(-1)).clamp_min(1e-6)
    nearest = (from_star * along).sum(-1) / length
    across = ((from_star**2).sum(-1) - nearest**2).clamp_min(0.0)
    bands = magnitudes.shape[1]
    gauss = torch.exp(-0.5 * across) * (2 * math.pi) ** (-0.5 * (bands - 1))
    # a normal of no limit, integrated over its whole range: one in the place of 1 / (sqrt(2 pi) sigma)
    spread = torch.where(torch.isinf(sigma), 1.0 / math.sqrt(2 * math.pi), sigma)
    along_density = (normal_cdf(nearest + length) - normal_cdf(nearest)) / (length * spread.prod(-1))
    density: Tensor = gauss * along_density
    return density


def _selected_density(
    magnitudes: Tensor, errors: Tensor, start: Tensor, end: Tensor, scatter: float, inside: Tensor
) -> Tensor:
    """Segment densities; a star whose first band is missing was selected by it all the same: by ``inside``."""
    density = segment_density(magnitudes, errors, start, end, scatter)
    blind = torch.isinf(errors[:, 0])
    return torch.where(blind[:, None, None], density * inside, density) if bool(blind.any()) else density


class IsochroneTable:
    """Photometric densities of stars on a grid of distance moduli, one column a piece of the luminosity function.

    Parameters
    ----------
    photometry : the model.
    magnitudes, errors : of the stars with photometry, (n, bands) mag.
    modulus : range of the mean distance modulus; the grid reaches a little beyond it.
    """

    def __init__(
        self, photometry: Photometry, modulus: tuple[float, float], magnitudes: Tensor, errors: Tensor
    ) -> None:
        self.low, self.high = modulus[0] - MARGIN, modulus[1] + MARGIN
        self.nodes = nodes = round((self.high - self.low) / SPACING) + 1
        points = tensor(photometry.isochrone)
        share, piece = stretch_shares(photometry)
        moduli = torch.linspace(self.low, self.high, nodes)
        start, end = points[:-1] + moduli[:, None, None], points[1:] + moduli[:, None, None]
        combine = torch.zeros(len(share), photometry.bins)
        combine[torch.arange(len(share)), torch.as_tensor(piece)] = tensor(share)
        inside = _fraction_in_window(start[..., 0], end[..., 0], photometry.magnitude)
        densities = [
            _selected_density(m, e, start, end, photometry.scatter, inside) @ combine
            for m, e in zip(torch.split(magnitudes, _CHUNK), torch.split(errors, _CHUNK), strict=True)
        ]
        self.density = torch.cat(densities) if densities else torch.zeros(0, nodes, photometry.bins)
        self.seen = inside @ combine

    def log_density(self, modulus: Tensor, spread: Tensor, log_shares: Tensor) -> Tensor:
        """Log density of each star whose distance modulus is normal around a mean.

        Parameters
        ----------
        modulus, spread : mean and standard deviation (mag) of the star's distance modulus, (members, n): those of the
            stream at its place, sharpened by its parallax where there is one. The spread shifts all bands together.
        log_shares : log of each piece's share of the stream's stars, (members, bins).

        Returns
        -------
        (members, n), normalized over the window of the first band.
        """
        shares = log_shares.exp()[:, None, :]
        total = sum(
            weight * (self._at(self.density, modulus + offset * spread) * shares).sum(-1)
            for offset, weight in zip(_OFFSETS, _WEIGHTS, strict=True)
        )
        window = (self._at(self.seen, modulus) * shares).sum(-1)
        return torch.log(torch.as_tensor(total).clamp_min(_TINY)) - torch.log(window.clamp_min(1e-6))

    def _at(self, table: Tensor, modulus: Tensor) -> Tensor:
        """A table (nodes, bins), or one a star (n, nodes, bins), at moduli (members, n): (members, n, bins)."""
        place = ((modulus - self.low) / (self.high - self.low) * (self.nodes - 1)).clamp(0.0, self.nodes - 1.0)
        index = place.detach().long().clamp(max=self.nodes - 2)
        part = (place - index)[..., None]
        if table.ndim == 2:
            return torch.lerp(table[index], table[index + 1], part)
        star = torch.arange(table.shape[0])
        return torch.lerp(table[star, index], table[star, index + 1], part)


def stretch_shares(photometry: Photometry) -> tuple[np.ndarray, np.ndarray]:
    """Share of each stretch within its piece of the luminosity function, and the piece it belongs to."""
    points = np.asarray(photometry.isochrone, dtype=float)
    arc = np.sqrt((np.diff(points, axis=0) ** 2).sum(axis=1))
    weight = arc if photometry.weights is None else np.asarray(photometry.weights, dtype=float)
    middle = np.cumsum(arc) - 0.5 * arc
    piece = np.minimum((middle / arc.sum() * photometry.bins).astype(int), photometry.bins - 1)
    total = np.bincount(piece, weight, minlength=photometry.bins)
    return weight / np.where(total[piece] > 0, total[piece], 1.0), piece


def start_shares(photometry: Photometry) -> np.ndarray:
    """Log shares of the pieces before training, shape (bins,)."""
    points = np.asarray(photometry.isochrone, dtype=float)
    arc = np.sqrt((np.diff(points, axis=0) ** 2).sum(axis=1))
    weight = arc if photometry.weights is None else np.asarray(photometry.weights, dtype=float)
    _, piece = stretch_shares(photometry)
    total = np.bincount(piece, weight, minlength=photometry.bins)
    shares: np.ndarray = np.log(np.maximum(total / total.sum(), 1e-4))
    return shares


def _fraction_in_window(start: Tensor, end: Tensor, window: tuple[float, float]) -> Tensor:
    """Part of each segment whose first band lies in the window, shape of ``start``."""
    low, high = torch.minimum(start, end), torch.maximum(start, end)
    overlap = (high.clamp(*window) - low.clamp(*window)) / (high - low).clamp_min(1e-6)
    inside = ((low >= window[0]) & (high <= window[1])).to(start.dtype)
    return torch.where(high - low < 1e-6, inside, overlap)
