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
from starloom.stats.truncated import log_normal as log_normal_density
from starloom.stats.truncated import log_normal_mass, log_truncated_exponential, log_truncated_normal
from starloom.streams.configuration import LOG_FRACTION, PM, Component
from starloom.streams.photometry import IsochroneTable, start_shares
from starloom.streams.proper_motion import WindowGrid, log_normal, log_window_mass
from starloom.streams.stars import Stars, tensor

if TYPE_CHECKING:
    from starloom.streams.membership import StreamModel

_OFF = -80.0  # log density of a component where it may not exist
_LARGEST_TOTAL = 0.98
_LEAST_START = 0.05  # share that every component keeps everywhere while a fit begins
WIDE_START = 0.9
_NEGLIGIBLE = -25.0
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
        self.blur = 0.0
        self.shares: nn.Parameter | None = None
        self.scatter: nn.Parameter | None = None
        self.coverage: Curves | None = None
        if model.photometry is not None:
            start = tensor(start_shares(model.photometry))
            self.register_buffer("start_shares", start, persistent=False)
            self.shares = nn.Parameter(torch.zeros(members, len(start)))
            if model.photometry.learned_scatter:
                self.scatter = nn.Parameter(torch.zeros(members))
            if model.photometry.selective:
                names = [*(c.name for c in model.components), "background"]
                seen = [Curve(name, -6.0, 6.0, start=0.0, scale=1.0, length=20.0) for name in names]
                self.coverage = Curves(seen, model.phi1, members, generator, hidden=8, layers=1)

    def log_shares(self) -> Tensor:
        """Log share of each piece of the luminosity function, (members, bins)."""
        assert self.shares is not None
        return torch.log_softmax(self.shares + self.start_shares, dim=1)

    def log_scatter(self) -> Tensor | None:
        """Log of the learned scatter around the isochrone (mag), (members,); None where it is not learned."""
        if self.scatter is None or self.model.photometry is None:
            return None
        low, high = (math.log(self.model.photometry.scatters[place]) for place in (0, -1))
        return low + (high - low) * torch.sigmoid(self.scatter)

    def curves(self) -> dict[str, Tensor]:
        """Every learned curve on its grid: component names, "weights" ... -> (members, nodes, outputs)."""
        found = {name: curves() for name, curves in self.tracks.items()}
        if self.coverage is not None:
            found["coverage"] = self.coverage()
        return {**found, "weights": self.weights(), "slope": self.slope()}

    def penalty(self, curves: dict[str, Tensor]) -> Tensor:
        """Negative log prior, (members,): smooth curves, a smooth luminosity function, guides."""
        model = self.model
        total = self.weights.roughness(curves["weights"]) + self.slope.roughness(curves["slope"])
        if self.coverage is not None:
            total = total + self.coverage.roughness(curves["coverage"])
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
        if self.blur > 0:
            weights = torch.logaddexp(weights, torch.full((), math.log(self.blur * _LEAST_START)))
        parts, total = [], torch.zeros(())
        allowed = [_allowed(component, s.phi1) for component in model.components]
        for place, here in enumerate(allowed):
            total = total + torch.where(here, weights[..., place].exp(), torch.zeros(()))
        # shares are bounded one by one; where together they are more than all, they are scaled down together
        excess = torch.log((total / _LARGEST_TOTAL).clamp_min(1.0))
        sky = [self._sky(s, c, curves[c.name], stars.places) for c in model.components]
        # a star far off every track is none of the stream's, whatever else is known of it: spare it the rest
        seen = torch.stack([(m > _NEGLIGIBLE).any(dim=0) & here for m, here in zip(sky, allowed, strict=True)])
        near = torch.nonzero(seen.any(dim=0))[:, 0]
        depth = self._depth(stars, curves[model.components[0].name], near)
        for place, component in enumerate(model.components):
            log_p = sky[place][:, near]
            if depth is not None:
                log_p = log_p + depth
            if model.proper_motion is not None:
                inner = torch.nonzero(seen[place, near] & s.pm_seen[near])[:, 0]
                motion = self._proper_motion(stars, component, curves[component.name], near[inner])
                log_p = log_p.index_add(1, inner, motion)
            log_f = (weights[..., place] - excess)[:, near]
            whole = torch.full_like(sky[place], _OFF).index_copy(1, near, (log_f + log_p).clamp_min(_OFF))
            parts.append(torch.where(seen[place], whole, torch.full((), _OFF)))
        low, high = model.phi2.window
        at_low = log_truncated_exponential(torch.tensor(low), curves["slope"], low, high)
        slope, level = read_off(torch.cat([curves["slope"], at_low], dim=-1), stars.places).unbind(dim=-1)
        background = level - slope * (s.phi2 - low) + stars.background
        parts.append(torch.log1p(-total.clamp_max(_LARGEST_TOTAL)) + background)
        found = torch.stack(parts)
        if self.coverage is not None and s.photometry_asked:
            logit = read_off(curves["coverage"], stars.places).permute(2, 0, 1)
            found = found + nn.functional.logsigmoid(torch.where(s.photometry_seen, logit, -logit))
        return found

    def _sky(self, s: Stars, component: Component, curve: Tensor, places: tuple[Tensor, Tensor]) -> Tensor:
        """Log density in phi2 and the scalars, (members, n); ``curve`` is the component's, on its nodes."""
        model = self.model
        names = {found.name: place for place, found in enumerate(_track_curves(model, component))}
        # phi2 has no errors to speak of, so its truncation depends on phi1 alone
        width = curve[..., [names["ln_width_phi2"]]]
        if self.blur > 0:
            width = 0.5 * torch.log(torch.exp(2.0 * width) + (self.blur * model.phi2.width[1]) ** 2)
        across = torch.cat([curve[..., [names["phi2"]]], width], dim=-1)
        mass = log_normal_mass(across[..., :1], width.exp(), *model.phi2.window)
        mean, log_width, log_mass = read_off(torch.cat([across, mass], dim=-1), places).unbind(dim=-1)
        log_p = log_normal_density(s.phi2, mean, log_width) - log_mass
        values = read_off(curve, places) if model.scalars else curve
        for name, coordinate in model.scalars.items():
            value = log_truncated_normal(
                s.scalars[name],
                values[..., names[name]],
                values[..., names[f"ln_width_{name}"]],
                *coordinate.window,
                error=s.scalar_errors[name],
            )
            log_p = log_p + torch.where(s.scalar_seen[name], value, torch.zeros(()))
        return log_p

    def near(self, s: Stars) -> Tensor:
        """Rows of the stars that some component could claim by their place on the sky and their scalars."""
        places, found = self.weights.places(torch.as_tensor(s.phi1)), torch.zeros(len(s), dtype=torch.bool)
        for component in self.model.components:
            track = self.tracks[component.name]
            found |= (self._sky(s, component, track(), places) > _NEGLIGIBLE).any(dim=0)
        return torch.nonzero(found)[:, 0]

    def _depth(self, stars: PreparedStars, curve: Tensor, rows: Tensor) -> Tensor | None:
        """Log density of parallax and magnitudes together: both see the same distance, (members, k) of k rows.

        The distance modulus of a member is normal around the track. Its parallax, linear in the modulus over the small
        scatter, narrows that; the magnitudes are then judged at the narrowed distance. (arXiv:2311.16960 takes the two
        as independent, and the scatter as independent from band to band.)
        """
        model, s = self.model, stars.stars
        if model.distance is None:
            return None
        track = read_off(curve[..., -2:], (stars.places[0][rows], stars.places[1][rows]))
        modulus, variance = track[..., 0], torch.exp(2.0 * track[..., 1])
        total: Tensor | None = None
        if model.parallax is not None:
            mean = 10.0 ** (2.0 - 0.2 * modulus)
            slope = 0.2 * math.log(10.0) * mean  # -d parallax / d modulus, mas / mag
            error = s.scalar_errors["parallax"][rows]
            width2 = slope**2 * variance + error**2
            parallax, seen = s.scalars["parallax"][rows], s.scalar_seen["parallax"][rows]
            seen_width2 = width2 if self.blur == 0 else width2 + (slope * self.blur * model.distance.scatter[1]) ** 2
            value = log_truncated_normal(parallax, mean, 0.5 * torch.log(seen_width2), *model.parallax)
            total = torch.where(seen, value, torch.zeros(()))
            modulus = torch.where(seen, modulus - slope * variance * (parallax - mean) / width2, modulus)
            variance = torch.where(seen, variance * error**2 / width2, variance)
        if model.photometry is not None:
            spread = torch.sqrt(variance + _LEAST_VARIANCE)
            value = stars.photometric(modulus, spread, self.log_shares(), self.log_scatter(), rows)
            total = value if total is None else total + value
        return total

    def _proper_motion(self, stars: PreparedStars, component: Component, curve: Tensor, rows: Tensor) -> Tensor:
        """Log density of the proper motions of k rows, (members, k); ``curve`` is the component's, on its nodes."""
        motion = self.model.proper_motion
        assert motion is not None
        names = {found.name: place for place, found in enumerate(_track_curves(self.model, component))}
        columns = [names[f"{kind}{name}"] for kind in ("", "ln_width_") for name in PM]
        wings = [names["ln_wing_scale"], names["wing_share"]] if motion.wings else []
        places = (stars.places[0][rows], stars.places[1][rows])
        chosen = curve[..., columns + wings]
        at = read_off(chosen, places)

        def log_p(wing: bool) -> Tensor:
            node_width, width = (v[..., 2:4] + v[..., 4:5] if wing else v[..., 2:4] for v in (chosen, at))
            value, xx, xy, yy = log_normal(stars.stars, rows, at[..., :2], width)
            if stars.grid is not None:
                return value - stars.grid.log_mass(chosen[..., :2], node_width, rows)
            turn, reflex = stars.stars.turn[rows], stars.stars.reflex[rows]
            return value - log_window_mass(self.model, turn, reflex, at[..., :2], xx, xy, yy)

        if not motion.wings:
            return log_p(False)
        share = at[..., 5]
        return torch.logaddexp(torch.log1p(-share) + log_p(False), torch.log(share) + log_p(True))


class PreparedStars:
    """Stars with what does not change during a fit: places on the grid, background density, isochrone table.

    Parameters
    ----------
    model, stars, mixture : what is fitted.
    background : its log density at every star, (n,).
    rows : the only stars whose photometry will be asked for; None: all.
    coarse : read the proper-motion window's mass off a grid where no star has errors.
    """

    def __init__(
        self,
        model: StreamModel,
        stars: Stars,
        mixture: Mixture,
        background: Tensor,
        *,
        rows: Tensor | None = None,
        coarse: bool = False,
    ) -> None:
        self.model, self.stars, self.background = model, stars, background
        self.places = mixture.weights.places(torch.as_tensor(stars.phi1))
        self.grid: WindowGrid | None = None
        if coarse and model.proper_motion is not None and not stars.has_errors:
            self.grid = WindowGrid(model, stars)
        self.table: IsochroneTable | None = None
        if model.photometry is not None and stars.magnitudes is not None and stars.magnitude_errors is not None:
            wanted = torch.ones(len(stars), dtype=torch.bool)
            if rows is not None:
                wanted = torch.zeros_like(wanted).index_fill(0, rows, True)
            kept = torch.nonzero(wanted & stars.photometry_seen)[:, 0]
            nowhere = torch.full((len(stars),), -1, dtype=torch.int64)
            self.in_table = nowhere.index_copy(0, kept, torch.arange(len(kept)))
            assert model.distance is not None
            magnitudes, errors = stars.magnitudes[kept], stars.magnitude_errors[kept]
            self.table = IsochroneTable(model.photometry, model.distance.modulus, magnitudes, errors)

    def photometric(
        self, modulus: Tensor, spread: Tensor, log_shares: Tensor, log_scatter: Tensor | None, rows: Tensor
    ) -> Tensor:
        """Log photometric density of the stream's population in some rows, 0 where photometry is missing."""
        assert self.table is not None
        place = self.in_table[rows]
        seen = torch.nonzero(place >= 0)[:, 0]
        value = self.table.log_density(modulus[:, seen], spread[:, seen], log_shares, log_scatter, place[seen])
        return torch.zeros_like(modulus).index_copy(1, seen, value)


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
