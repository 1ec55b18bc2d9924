"""The mixture of a fitted stream written plainly: the peer that Starloom's own evaluation is held against.

One network of the ensemble at a time, evaluated at every star; the window's mass by a fixed Gauss-Legendre rule and the
isochrone by a log-sum-exp over points along it, both in torch with its automatic gradients; every component at every
star. The densities are those of ``starloom.streams.mixture``; nothing but the model's settings, the numbers in its
networks and the background's densities (frozen in both) is taken from there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from starloom.neural.curves import Curves, splines
from starloom.stats.windows import ConvexPolygon
from starloom.streams.configuration import PM
from starloom.streams.fitted import FittedStream
from starloom.streams.stars import Stars

OFF = -80.0
LARGEST_TOTAL = 0.98


def gauss_legendre(nodes: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Nodes on [0, 1] and their weights, shape (nodes,) each."""
    node, weight = np.polynomial.legendre.leggauss(nodes)
    return torch.as_tensor((node + 1.0) / 2.0, dtype=dtype), torch.as_tensor(weight / 2.0, dtype=dtype)


def window_mass(
    polygon: ConvexPolygon,
    normal: tuple[Tensor, ...],
    nodes: int,
    corners: Tensor | None = None,
) -> Tensor:
    """Mass of normals inside a polygon, shape (n,).

    Parameters
    ----------
    normal : mean_x, mean_y, xx, xy, yy, shape (n,) each.
    nodes : of the rule over x, within six sigma of the mean.
    corners : x of the polygon's corners, to use the rule between each two of them; None: once over all of it.
    """
    mean_x, mean_y, xx, xy, yy = (value[:, None, None] for value in normal)
    sigma_x = torch.sqrt(xx)
    sigma_y = torch.sqrt(yy - xy**2 / xx)
    node, weight = gauss_legendre(nodes, mean_x.dtype)
    edges = torch.as_tensor(polygon.vertices[:, 0], dtype=mean_x.dtype)
    ends = torch.stack([edges.min(), edges.max()]) if corners is None else corners
    start = torch.maximum(ends[:-1, None], mean_x - 6.0 * sigma_x)
    end = torch.maximum(torch.minimum(ends[1:, None], mean_x + 6.0 * sigma_x), start)
    x = start + (end - start) * node
    low, high = polygon.bounds(x)
    center = mean_y + xy / xx * (x - mean_x)
    inside = torch.special.ndtr((high - center) / sigma_y) - torch.special.ndtr((low - center) / sigma_y)
    density = torch.exp(-0.5 * ((x - mean_x) / sigma_x) ** 2) / (sigma_x * math.sqrt(2.0 * math.pi))
    return (density * inside * weight * (end - start)).sum((-1, -2))


class PlainStreamModel:
    """One network of a fitted ensemble as plain functions of every star.

    Parameters
    ----------
    fitted : the model. It must use proper motions selected in (pmra, pmdec), parallax, and photometry.
    member : which network of the ensemble.
    stars, background : as Starloom prepares them: n stars and their background log density, (n,).
    dtype : of everything.
    nodes, cells : of the window's rule, and of each stretch of the isochrone.
    """

    def __init__(
        self,
        fitted: FittedStream,
        member: int,
        stars: Stars,
        background: Tensor,
        dtype: torch.dtype = torch.float32,
        nodes: int = 24,
        cells: int = 2,
    ) -> None:
        self.model, self.dtype, self.nodes = fitted.model, dtype, nodes
        self.stars, self.background = stars, background.to(dtype)
        self.phi1 = torch.as_tensor(stars.phi1, dtype=dtype)
        mixture = fitted.mixture
        self.curves: dict[str, Curves] = {**mixture.tracks, "weights": mixture.weights, "slope": mixture.slope}
        self.parameters: dict[str, list[tuple[Tensor, Tensor]]] = {
            name: [(self._leaf(w[member]), self._leaf(b[member])) for w, b in zip(c.weights, c.biases, strict=True)]
            for name, c in self.curves.items()
        }
        self.details = {name: self._leaf(c.details[member]) for name, c in self.curves.items()}
        assert mixture.shares is not None
        self.shares = self._leaf(mixture.shares[member])
        self.start_shares = mixture.start_shares.to(dtype)
        self._isochrone(cells)

    def _leaf(self, value: Tensor) -> Tensor:
        return value.detach().to(self.dtype).clone().requires_grad_()

    def _isochrone(self, cells: int) -> None:
        photometry = self.model.photometry
        assert photometry is not None
        points = np.asarray(photometry.isochrone)
        arc = np.linalg.norm(np.diff(points, axis=0), axis=1)
        share = arc if photometry.weights is None else np.asarray(photometry.weights)
        piece = ((np.cumsum(arc) - 0.5 * arc) / arc.sum() * photometry.bins).astype(int).clip(max=photometry.bins - 1)
        share = share / np.bincount(piece, share, minlength=photometry.bins)[piece]
        part = np.arange(cells + 1)[:, None, None] / cells
        edges = points[:-1] + part * (points[1:] - points[:-1])  # (cells + 1, stretches, bands)
        self.cell_start, self.cell_end = (
            torch.as_tensor(edge.reshape(-1, points.shape[1]), dtype=self.dtype) for edge in (edges[:-1], edges[1:])
        )
        self.log_share = torch.as_tensor(np.tile(np.log(share / cells), cells), dtype=self.dtype)
        self.piece = torch.as_tensor(np.tile(piece, cells))

    def _network(self, name: str) -> dict[str, Tensor]:
        """The curves of one network at every star, (n,) each."""
        curves = self.curves[name]
        at_stars = self._evaluate(name, self.phi1)
        if curves.constant:
            level = self._evaluate(name, curves.grid.to(self.dtype)).mean(0)
            at_stars = torch.stack(
                [
                    level[k].expand(len(self.phi1)) if k in curves.constant else at_stars[:, k]
                    for k in range(len(level))
                ],
                dim=1,
            )
        return {curve.name: at_stars[:, place] for place, curve in enumerate(curves.curves)}

    def _evaluate(self, name: str, x: Tensor) -> Tensor:
        curves, layers = self.curves[name], self.parameters[name]
        low, high = curves.x_range
        hidden = (2.0 * (x - low) / (high - low) - 1.0)[:, None]
        for place, (weight, bias) in enumerate(layers):
            hidden = hidden @ weight + bias
            if place < len(layers) - 1:
                hidden = torch.tanh(hidden)
        span, offset, bottom = (value.to(self.dtype) for value in (curves.span, curves.offset, curves.low))
        hidden = hidden + splines((x - low) / (high - low)) @ self.details[name]
        return bottom + span * torch.sigmoid(hidden + offset)

    def log_densities(self) -> Tensor:
        """log(f_q p_q) of every star in every component, the background last: (components + 1, n)."""
        stars, found = self.stars, []
        weights, slope = self._network("weights"), self._network("slope")["slope"]
        tracks = {component.name: self._network(component.name) for component in self.model.components}
        depth = self._depth(tracks[self.model.components[0].name])
        phi2 = stars.phi2.to(self.dtype)
        low, high = self.model.phi2.window
        total = torch.zeros(())
        for component in self.model.components:
            track = tracks[component.name]
            sigma = torch.exp(track["ln_width_phi2"])
            log_p = depth + self._truncated_normal(phi2, track["phi2"], sigma, low, high)
            log_p = log_p + torch.where(stars.pm_seen, self._proper_motion(track), torch.zeros(()))
            reach = component.phi1 or (-math.inf, math.inf)
            allowed = (self.phi1 >= reach[0]) & (self.phi1 <= reach[1])
            log_f = weights[component.name]
            found.append(torch.where(allowed, log_f + log_p, torch.full((), OFF)))
            total = total + torch.where(allowed, log_f.exp(), torch.zeros(()))
        rise = slope * (high - low)
        flat = rise.abs() < 1e-4
        safe = torch.where(flat, torch.ones_like(rise), rise)
        ratio = torch.where(flat, rise / 2.0, torch.log(safe / -torch.expm1(-safe)))
        exponential = ratio - math.log(high - low) - slope * (phi2 - low)
        found.append(torch.log1p(-total.clamp_max(LARGEST_TOTAL)) + exponential + self.background)
        return torch.stack(found)

    def log_likelihood(self) -> Tensor:
        """Log density of every star given its phi1, (n,)."""
        return torch.logsumexp(self.log_densities(), dim=0)

    def gradients(self) -> dict[str, list[Tensor | None]]:
        """Gradients in the order weight, bias of each layer, then the splines, after a backward pass."""
        found = {name: [g.grad for layer in layers for g in layer] for name, layers in self.parameters.items()}
        found = {name: [*gradients, self.details[name].grad] for name, gradients in found.items()}
        return {**found, "shares": [self.shares.grad]}

    def clear(self) -> None:
        """Forget the gradients."""
        for tensor in [
            self.shares,
            *self.details.values(),
            *(g for layers in self.parameters.values() for layer in layers for g in layer),
        ]:
            tensor.grad = None

    @staticmethod
    def _truncated_normal(x: Tensor, mean: Tensor, sigma: Tensor, low: float, high: float) -> Tensor:
        mass = torch.special.ndtr((high - mean) / sigma) - torch.special.ndtr((low - mean) / sigma)
        log_p = -0.5 * ((x - mean) / sigma) ** 2 - torch.log(sigma) - 0.5 * math.log(2.0 * math.pi)
        return log_p - torch.log(mass)

    def _proper_motion(self, track: Mapping[str, Tensor]) -> Tensor:
        core = self._pm_normal(track, 0.0)
        settings = self.model.proper_motion
        if settings is None or not settings.wings:
            return core
        wing, share = self._pm_normal(track, track["ln_wing_scale"]), track["wing_share"]
        return torch.logaddexp(torch.log(1.0 - share) + core, torch.log(share) + wing)

    def _pm_normal(self, track: Mapping[str, Tensor], log_scale: Tensor | float) -> Tensor:
        stars = self.stars
        pm, errors = stars.pm.to(self.dtype), stars.pm_covariance.to(self.dtype)
        turn, reflex = stars.turn.to(self.dtype), stars.reflex.to(self.dtype)
        mean = torch.stack([track[name] for name in PM], dim=-1)
        variance = torch.stack([torch.exp(2.0 * (track[f"ln_width_{name}"] + log_scale)) for name in PM], dim=-1)
        covariance = torch.diag_embed(variance) + errors[:, [0, 1, 1, 2]].reshape(-1, 2, 2)
        (dx, dy), xx, xy, yy = (pm - mean).T, covariance[:, 0, 0], covariance[:, 0, 1], covariance[:, 1, 1]
        determinant = xx * yy - xy**2
        chi2 = (yy * dx**2 - 2.0 * xy * dx * dy + xx * dy**2) / determinant
        log_p = -0.5 * (chi2 + torch.log(determinant)) - math.log(2.0 * math.pi)
        icrs_mean = (turn.mT @ (mean + reflex)[..., None])[..., 0]
        icrs = turn.mT @ covariance @ turn
        normal = (icrs_mean[:, 0], icrs_mean[:, 1], icrs[:, 0, 0], icrs[:, 0, 1], icrs[:, 1, 1])
        return log_p - torch.log(window_mass(self.model.polygon, normal, self.nodes).clamp_min(1e-30))

    def _depth(self, track: Mapping[str, Tensor]) -> Tensor:
        """Parallax and magnitudes of a star at one distance, normal around the track."""
        stars, window = self.stars, self.model.parallax
        modulus, variance = track["distance_modulus"], torch.exp(2.0 * track["ln_distance_scatter"])
        total = torch.zeros_like(modulus)
        if window is not None:
            seen = stars.scalar_seen["parallax"]
            parallax, error = (values["parallax"].to(self.dtype) for values in (stars.scalars, stars.scalar_errors))
            mean = 10.0 ** (2.0 - 0.2 * modulus)
            slope = 0.2 * math.log(10.0) * mean
            both = slope**2 * variance + error**2
            value = self._truncated_normal(parallax, mean, torch.sqrt(both), *window)
            total = torch.where(seen, value, total)
            modulus = torch.where(seen, modulus - slope * variance * (parallax - mean) / both, modulus)
            variance = torch.where(seen, variance * error**2 / both, variance)
        seen = torch.nonzero(stars.photometry_seen)[:, 0]
        return total.index_add(0, seen, self._photometry(seen, modulus[seen], variance[seen]))

    def _photometry(self, seen: Tensor, modulus: Tensor, variance: Tensor) -> Tensor:
        photometry, stars = self.model.photometry, self.stars
        assert photometry is not None
        assert stars.magnitudes is not None
        assert stars.magnitude_errors is not None
        magnitudes, errors = stars.magnitudes[seen].to(self.dtype), stars.magnitude_errors[seen].to(self.dtype)
        log_share = self.log_share + torch.log_softmax(self.shares + self.start_shares, dim=0)[self.piece]
        offset = magnitudes[:, None] - modulus[:, None, None] - 0.5 * (self.cell_start + self.cell_end)
        inverse = 1.0 / (errors**2 + photometry.scatters[0] ** 2)[:, None]
        # the distance moves all bands together: the covariance is a diagonal plus a matrix of ones (Sherman-Morrison)
        shared = 1.0 + variance[:, None] * inverse.sum(-1)
        chi2 = (offset**2 * inverse).sum(-1) - variance[:, None] * (offset * inverse).sum(-1) ** 2 / shared
        norm = 0.5 * (torch.log(inverse).sum(-1) - torch.log(shared)) - 0.5 * math.log(2 * math.pi) * errors.shape[1]
        total = torch.logsumexp(log_share - 0.5 * chi2 + norm, dim=1)
        a, b = (modulus[:, None] + edge[:, 0] for edge in (self.cell_start, self.cell_end))
        low, high = photometry.magnitude
        inside = (torch.maximum(a, b).clamp(low, high) - torch.minimum(a, b).clamp(low, high)) / (a - b).abs()
        return total - torch.log((log_share.exp() * inside).sum(1).clamp_min(1e-6))
