"""The mixture of stream components and background, conditional on phi1, for an ensemble of networks at once.

p(w, m | phi1) = sum over components q of f_q(phi1) p_q(w | phi1) p_q(m | phi1)   (arXiv:2311.16960, section 2)
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from starloom.neural.curves import Curve, Curves, read_off
from starloom.stats.truncated import log_truncated_exponential, log_truncated_normal
from starloom.streams.configuration import LOG_FRACTION, PM, Component
from starloom.streams.photometry import IsochroneTable, start_shares
from starloom.streams.stars import Stars, tensor

if TYPE_CHECKING:
    from starloom.streams.membership import StreamModel

_OFF = -80.0  # log density of a component where it may not exist
_LARGEST_TOTAL = 0.98
WIDE_START = 0.9
_NEGLIGIBLE = -18.0
_LEAST_VARIANCE = 1e-10  # mag^2: keeps the gradient of the root finite


class Mixture(nn.Module):
    """All that is learned with the stream: tracks, widths, weights, distance, luminosity function, background slope."""

    start_shares: Tensor

    def __init__(self, model: StreamModel, generator: torch.Generator) -> None:
        super().__init__()
        self.model = model
        size = {"hidden": model.training.hidden, "layers": model.training.layers}
        members = model.training.members
        self.tracks = nn.ModuleDict(
            {c.name: Curves(_track_curves(model, c), model.phi1, members, generator, **size) for c in model.components}
        )
        weights = [
            Curve(c.name, *LOG_FRACTION, start=math.log(c.start_fraction), scale=2.0, length=3.0)
            for c in model.components
        ]
        self.weights = Curves(weights, model.phi1, members, generator, **size)
        # a field changes little over a window: at most one e-folding across it either way
        steepest = 2.0 / (model.phi2.window[1] - model.phi2.window[0])
        slope = Curve("slope", -steepest, steepest, scale=steepest, length=15.0)
        self.slope = Curves([slope], model.phi1, members, generator, hidden=8, layers=1)
        self.shares: nn.Parameter | None = None
        if model.photometry is not None:
            start = tensor(start_shares(model.photometry))
            self.register_buffer("start_shares", start, persistent=False)
            self.shares = nn.Parameter(torch.zeros(members, len(start)))

    def log_shares(self) -> Tensor:
        """Log share of each piece of the luminosity function, (members, bins)."""
        assert self.shares is not None
        return torch.log_softmax(self.shares + self.start_shares, dim=1)

    def curves(self) -> dict[str, Tensor]:
        """Every learned curve on its grid: component names, "weights" and "slope" -> (members, nodes, outputs)."""
        found = {name: curves() for name, curves in self.tracks.items()}
        return {**found, "weights": self.weights(), "slope": self.slope()}

    def penalty(self, curves: dict[str, Tensor]) -> Tensor:
        """Negative log prior, (members,): smooth curves, a smooth luminosity function, guides."""
        model = self.model
        total = self.weights.roughness(curves["weights"]) + self.slope.roughness(curves["slope"])
        for component in model.components:
            track, values = self.tracks[component.name], curves[component.name]
            assert isinstance(track, Curves)
            total = total + track.roughness(values)
            names = [curve.name for curve in track.curves]
            for guide in component.guides:
                mean = read_off(values, track.places(tensor(guide.phi1)))[..., names.index(guide.coordinate)]
                excess = ((mean - tensor(guide.value)).abs() - tensor(guide.half_width)).clamp_min(0.0)
                total = total + guide.strength * (excess**2).sum(dim=1)
        if self.shares is not None:
            bends = self.shares[:, 2:] - 2 * self.shares[:, 1:-1] + self.shares[:, :-2]
            total = total + 0.5 * (bends**2).sum(dim=1) + 0.5 * (self.shares**2 / 9.0).sum(dim=1)
        return total

    def objective(self, stars: PreparedStars) -> tuple[Tensor, Tensor]:
        """Log density of every star, (members, n), and the negative log prior, (members,)."""
        curves = self.curves()
        return torch.logsumexp(self.log_densities(stars, curves), dim=0), self.penalty(curves)

    def log_densities(self, stars: PreparedStars, curves: dict[str, Tensor]) -> Tensor:
        """log(f_q p_q) of every star in every component, the background last: (components + 1, members, n)."""
        model, s = self.model, stars.stars
        weights = read_off(curves["weights"], stars.places)
        parts, total = [], torch.zeros(())
        allowed = [_allowed(component, s.phi1) for component in model.components]
        for place, here in enumerate(allowed):
            total = total + torch.where(here, weights[..., place].exp(), torch.zeros(()))
        # shares are bounded one by one; where together they are more than all, they are scaled down together
        excess = torch.log((total / _LARGEST_TOTAL).clamp_min(1.0))
        log_depth = self._depth(stars, curves)
        for place, component in enumerate(model.components):
            values = read_off(curves[component.name], stars.places)
            log_p = self._component(stars, component, values)
            if log_depth is not None:
                log_p = log_p + log_depth
            log_f = weights[..., place] - excess
            parts.append(torch.where(allowed[place], log_f + log_p, torch.full((), _OFF)))
        slope = read_off(curves["slope"], stars.places)[..., 0]
        background = log_truncated_exponential(s.phi2, slope, *model.phi2.window) + stars.background
        parts.append(torch.log1p(-total.clamp_max(_LARGEST_TOTAL)) + background)
        return torch.stack(parts)

    def _depth(self, stars: PreparedStars, curves: dict[str, Tensor]) -> Tensor | None:
        """Log density of parallax and magnitudes together: both see the same distance, (members, n).

        The distance modulus of a member is normal around the track. Its parallax, linear in the modulus over the small
        scatter, narrows that; the magnitudes are then judged at the narrowed distance. (arXiv:2311.16960 takes the two
        as independent, and the scatter as independent from band to band.)
        """
        model, s = self.model, stars.stars
        if model.distance is None:
            return None
        track = read_off(curves[model.components[0].name], stars.places)
        modulus, variance = track[..., -2], torch.exp(2.0 * track[..., -1])
        total: Tensor | None = None
        if model.parallax is not None:
            mean = 10.0 ** (2.0 - 0.2 * modulus)
            slope = 0.2 * math.log(10.0) * mean  # -d parallax / d modulus, mas / mag
            error = s.scalar_errors["parallax"]
            width2 = slope**2 * variance + error**2
            offset, seen = s.scalars["parallax"] - mean, s.scalar_seen["parallax"]
            value = log_truncated_normal(s.scalars["parallax"], mean, 0.5 * torch.log(width2), *model.parallax)
            total = torch.where(seen, value, torch.zeros(()))
            modulus = torch.where(seen, modulus - slope * variance * offset / width2, modulus)
            variance = torch.where(seen, variance * error**2 / width2, variance)
        if model.photometry is not None:
            value = stars.photometric(modulus, torch.sqrt(variance + _LEAST_VARIANCE), self.log_shares())
            total = value if total is None else total + value
        return total

    def _component(self, stars: PreparedStars, component: Component, values: Tensor) -> Tensor:
        model, s = self.model, stars.stars
        names = {curve.name: place for place, curve in enumerate(_track_curves(model, component))}
        mean, log_width = values[..., names["phi2"]], values[..., names["ln_width_phi2"]]
        log_p = log_truncated_normal(s.phi2, mean, log_width, *model.phi2.window)
        if model.radial_velocity is not None:
            name = "radial_velocity"
            value = log_truncated_normal(
                s.scalars[name],
                values[..., names[name]],
                values[..., names[f"ln_width_{name}"]],
                *model.radial_velocity.window,
                error=s.scalar_errors[name],
            )
            log_p = log_p + torch.where(s.scalar_seen[name], value, torch.zeros(()))
        if model.proper_motion is None:
            return log_p
        # a star far off the track has no say, whatever its proper motion: spare it the integral over the window
        near = torch.nonzero(s.pm_seen & (log_p > _NEGLIGIBLE).any(dim=0) & _allowed(component, s.phi1))[:, 0]
        pm = torch.stack([values[:, near, names[name]] for name in PM], dim=-1)
        log_widths = torch.stack([values[:, near, names[f"ln_width_{name}"]] for name in PM], dim=-1)
        value = log_proper_motion(model, s, near, pm, log_widths)
        if model.proper_motion.wings:
            scale, share = values[:, near, names["ln_wing_scale"]], values[:, near, names["wing_share"]]
            wing = log_proper_motion(model, s, near, pm, log_widths + scale[..., None])
            value = torch.logaddexp(torch.log1p(-share) + value, torch.log(share) + wing)
        return log_p.index_add(1, near, value)


class PreparedStars:
    """Stars with what does not change during a fit: places on the grid, background density, isochrone table."""

    def __init__(self, model: StreamModel, stars: Stars, mixture: Mixture, background: Tensor) -> None:
        self.stars, self.background = stars, background
        self.places = mixture.weights.places(torch.as_tensor(stars.phi1))
        self.table: IsochroneTable | None = None
        self.with_photometry = torch.nonzero(stars.photometry_seen)[:, 0]
        if model.photometry is not None and stars.magnitudes is not None and stars.magnitude_errors is not None:
            seen = self.with_photometry
            assert model.distance is not None
            magnitudes, errors = stars.magnitudes[seen], stars.magnitude_errors[seen]
            self.table = IsochroneTable(model.photometry, model.distance.modulus, magnitudes, errors)

    def photometric(self, modulus: Tensor, spread: Tensor, log_shares: Tensor) -> Tensor:
        """Log photometric density of the stream's population, 0 for a star without photometry, (members, n)."""
        assert self.table is not None
        seen = self.with_photometry
        value = self.table.log_density(modulus[:, seen], spread[:, seen], log_shares)
        return torch.zeros_like(modulus).index_copy(1, seen, value)


def log_proper_motion(model: StreamModel, stars: Stars, rows: Tensor, mean: Tensor, log_width: Tensor) -> Tensor:
    """Log density of proper motions in a component, truncated to the selection at each star's own position.

    Parameters
    ----------
    rows : which stars, (k,).
    mean, log_width : (members, k, 2), mas/yr and its log.

    Returns
    -------
    (members, k): log N(pm; mean, width^2 + errors) - log(mass of that normal inside the window).
    """
    variance, errors, pm = torch.exp(2.0 * log_width), stars.pm_covariance[rows], stars.pm[rows]
    xx, yy = variance[..., 0] + errors[:, 0], variance[..., 1] + errors[:, 2]
    xy = errors[:, 1].expand_as(xx)
    determinant = xx * yy - xy**2
    dx, dy = pm[:, 0] - mean[..., 0], pm[:, 1] - mean[..., 1]
    chi2 = (yy * dx**2 - 2.0 * xy * dx * dy + xx * dy**2) / determinant
    log_p = -0.5 * chi2 - 0.5 * torch.log(determinant) - math.log(2.0 * math.pi)
    return log_p - log_window_mass(model, stars.turn[rows], stars.reflex[rows], mean, xx, xy, yy)


def log_window_mass(
    model: StreamModel, turn: Tensor, reflex: Tensor, mean: Tensor, xx: Tensor, xy: Tensor, yy: Tensor
) -> Tensor:
    """Log of the share of a normal in proper motion that the selection keeps, at given positions."""
    if model.proper_motion is None or model.proper_motion.system == "stream":
        return model.polygon.log_normal_mass(mean[..., 0], mean[..., 1], xx, xy, yy)
    # The polygon is fixed in (pmra, pmdec): take the normal there instead of turning the polygon for every star.
    a, b, c, d = turn[:, 0, 0], turn[:, 0, 1], turn[:, 1, 0], turn[:, 1, 1]
    mx, my = mean[..., 0] + reflex[:, 0], mean[..., 1] + reflex[:, 1]
    return model.polygon.log_normal_mass(
        a * mx + c * my,
        b * mx + d * my,
        a**2 * xx + 2 * a * c * xy + c**2 * yy,
        a * b * xx + (a * d + b * c) * xy + c * d * yy,
        b**2 * xx + 2 * b * d * xy + d**2 * yy,
    )


def _allowed(component: Component, phi1: np.ndarray) -> Tensor:
    if component.phi1 is None:
        return torch.ones(len(phi1), dtype=torch.bool)
    return torch.as_tensor((phi1 >= component.phi1[0]) & (phi1 <= component.phi1[1]))


def _track_curves(model: StreamModel, component: Component) -> list[Curve]:
    curves = []
    coordinates = model.coordinates
    for name, c in coordinates.items():
        low, high = c.window
        middle = 0.0 if name == "phi2" and low < 0.0 < high else 0.5 * (low + high)
        start = component.start.get(name, middle)
        curves.append(Curve(name, *c.window, start=start, scale=c.scale, length=c.length))
        curves.append(_width_curve(f"ln_width_{name}", c.width, c.length, c.constant_width))
    if model.proper_motion is not None and model.proper_motion.wings:
        curves.append(Curve("ln_wing_scale", math.log(1.3), math.log(6.0), start=math.log(2.5), constant=True))
        curves.append(Curve("wing_share", 0.01, 0.9, start=0.4, constant=True))
    d = model.distance
    if d is not None and component is model.components[0]:
        # one distance track: the other components of a stream share it
        curves.append(Curve("distance_modulus", *d.modulus, start=d.start, scale=d.scale, length=d.length))
        curves.append(_width_curve("ln_distance_scatter", d.scatter, d.length, False))
    return curves


def _width_curve(name: str, width: tuple[float, float], length: float, constant: bool) -> Curve:
    """A log width. It starts wide: a component that starts narrow sees only the stars it happens to lie on."""
    low, high = math.log(width[0]), math.log(width[1])
    return Curve(name, low, high, start=low + WIDE_START * (high - low), length=length, constant=constant)
