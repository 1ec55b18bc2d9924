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
        self.scatters = torch.log(tensor(photometry.scatters).clamp_min(1e-12))
        tables = [
            [
                _selected_density(m, e, start, end, scatter, inside) @ combine
                for m, e in zip(torch.split(magnitudes, _CHUNK), torch.split(errors, _CHUNK), strict=True)
            ]
            for scatter in photometry.scatters
        ]
        # (scatters, n, nodes, bins)
        self.density = torch.stack([torch.cat(pieces) for pieces in tables])
        self.seen = inside @ combine

    def log_density(
        self,
        modulus: Tensor,
        spread: Tensor,
        log_shares: Tensor,
        log_scatter: Tensor | None = None,
        rows: Tensor | None = None,
    ) -> Tensor:
        """Log density of each star whose distance modulus is normal around a mean.

        Parameters
        ----------
        modulus, spread : mean and standard deviation (mag) of the star's distance modulus, (members, n): those of the
            stream at its place, sharpened by its parallax where there is one. The spread shifts all bands together.
        log_shares : log of each piece's share of the stream's stars, (members, bins).
        log_scatter : log of the learned scatter (mag), (members,); None where it is not learned.
        rows : which of the table's stars these are, (n,); None: all of them.

        Returns
        -------
        (members, n), normalized over the window of the first band.
        """
        shares = log_shares.exp()[:, None, :]
        star = torch.arange(self.density.shape[1]) if rows is None else rows
        total = sum(
            weight * (self._of_stars(star, modulus + offset * spread, log_scatter) * shares).sum(-1)
            for offset, weight in zip(_OFFSETS, _WEIGHTS, strict=True)
        )
        index, part = self._place(modulus)
        window = (torch.lerp(self.seen[index], self.seen[index + 1], part) * shares).sum(-1)
        return torch.log(torch.as_tensor(total).clamp_min(_TINY)) - torch.log(window.clamp_min(1e-6))

    def _place(self, modulus: Tensor) -> tuple[Tensor, Tensor]:
        """Node below each modulus, (members, n), and the fraction beyond it, (members, n, 1)."""
        place = ((modulus - self.low) / (self.high - self.low) * (self.nodes - 1)).clamp(0.0, self.nodes - 1.0)
        index = place.detach().long().clamp(max=self.nodes - 2)
        return index, (place - index)[..., None]

    def _of_stars(self, star: Tensor, modulus: Tensor, log_scatter: Tensor | None) -> Tensor:
        """Densities of stars (n,) at moduli (members, n) and scatters (members,): (members, n, bins)."""
        index, part = self._place(modulus)
        if log_scatter is None:
            table = self.density[0]
            return torch.lerp(table[star, index], table[star, index + 1], part)
        step = (self.scatters[-1] - self.scatters[0]) / (len(self.scatters) - 1)
        place = ((log_scatter - self.scatters[0]) / step).clamp(0.0, len(self.scatters) - 1.0)
        below = place.detach().long().clamp(max=len(self.scatters) - 2)[:, None]
        beyond = (place[:, None] - below)[..., None]
        low, high = (
            torch.lerp(self.density[which, star, index], self.density[which, star, index + 1], part)
            for which in (below, below + 1)
        )
        return torch.lerp(low, high, beyond)


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
