"""Membership of a stellar stream: the density model of arXiv:2311.16960, fitted in about a minute.

    model = StreamModel(frame="GD1Koposov10", phi1=(-70, -20), phi2=(-5, 5), pm_phi1=..., pm_phi2=...)
    fitted = model.fit(table, seed=1)
    fitted.predict(table)          # the same rows plus membership probabilities and reasons

A stream and its companions are thin structures whose mean, width and share of the stars are functions of phi1 (small
networks); the background is a truncated exponential in phi2 times flows in proper motion and photometry. Densities are
normalised over the window that selected the stars. A star is judged by what it has: what is missing is marginalised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from starloom import progress
from starloom.catalog.tables import read_table
from starloom.dynamics.frames import GalacticFrame
from starloom.dynamics.stream_frames import StreamFrame
from starloom.errors import ConfigError, FitError, ModelFileError
from starloom.neural.checkpoints import load_folder, save_folder
from starloom.neural.curves import Curves, read_off
from starloom.neural.training import descend, one_thread
from starloom.seeds import generator as make_generator
from starloom.seeds import torch_generator
from starloom.stats.windows import ConvexPolygon
from starloom.streams.background import Background
from starloom.streams.configuration import (
    PM,
    SCALARS,
    Component,
    Coordinate,
    Guide,
    Photometry,
    ProperMotionWindow,
    Training,
)
from starloom.streams.mixture import Mixture, PreparedStars
from starloom.streams.stars import Stars, prepare, tensor

if TYPE_CHECKING:
    from astropy.table import QTable

KIND = "starloom stream membership 1"
FEWEST_STARS = 100
Z90 = 1.6448536269514722  # half of the central 90 % of a normal


@dataclass(frozen=True)
class StreamModel:
    """A stream, in about ten lines.

    Parameters
    ----------
    frame : gala's name of the stream's frame, or a StreamFrame (two poles, two end points).
    phi1, phi2 : the window on the sky (deg).
    pm_phi1, pm_phi2 : Coordinate of each proper motion (mas/yr).
    phi2_width : range of the one-sigma width across the stream (deg).
    components : the stream and its companions; the background is always there.
    proper_motion_window : the selection polygon; None: the rectangle of the two windows.
    scalars : Coordinate by name for "parallax" (mas) and "radial_velocity" (km/s).
    photometry : see Photometry; None: sky and kinematics alone.
    pm_wings : the stream's proper motions are two normals with one mean, a core and a wider one. For tables without
        errors, where the total width is that of bright and faint stars together.
    reflex_distance : distance (kpc) at which the Sun's motion is taken out of the proper motions; None: it is left in.
    off_stream : stars farther than this (deg) from the guide in phi2 train the background; where no component has such
        a guide, a first fit says which stars are off the stream.
    galactic_frame : the Sun's motion.
    training : see Training.
    """

    frame: StreamFrame | str
    phi1: tuple[float, float]
    phi2: tuple[float, float]
    pm_phi1: Coordinate
    pm_phi2: Coordinate
    phi2_width: tuple[float, float] = (0.05, 1.0)
    components: tuple[Component, ...] = (Component(),)
    proper_motion_window: ProperMotionWindow | None = None
    scalars: Mapping[str, Coordinate] = field(default_factory=dict)
    photometry: Photometry | None = None
    pm_wings: bool = False
    reflex_distance: float | None = None
    off_stream: float = 1.0
    galactic_frame: GalacticFrame = field(default_factory=GalacticFrame)
    training: Training = field(default_factory=Training)

    def __post_init__(self) -> None:
        names = [component.name for component in self.components]
        if not names or len(set(names)) != len(names) or set(names) & {"background", "weights", "slope"}:
            raise ConfigError(f"components need distinct names other than background, weights, slope; got {names}")
        unknown = set(self.scalars) - set(SCALARS)
        if unknown:
            raise ConfigError(f"no coordinate {', '.join(sorted(unknown))}; known: {', '.join(SCALARS)}")
        coordinates = {"phi2", *PM, *self.scalars}
        for component in self.components:
            for guide in component.guides:
                if guide.coordinate not in coordinates:
                    raise ConfigError(f"guide on {guide.coordinate!r}: the model has {', '.join(sorted(coordinates))}")
        if self.reflex_distance is not None and self.reflex_distance <= 0:
            raise ConfigError(f"reflex_distance must be positive, got {self.reflex_distance} kpc")
        for name, pair in (("phi1", self.phi1), ("phi2", self.phi2)):
            if not pair[0] < pair[1]:
                raise ConfigError(f"{name} must be (low, high) with low < high, got {pair}")
        _ = self.polygon, self.stream_frame  # a wrong polygon or frame name is an error now, not at the fit

    @cached_property
    def stream_frame(self) -> StreamFrame:
        """The frame as an object."""
        return self.frame if isinstance(self.frame, StreamFrame) else StreamFrame.named(self.frame)

    @cached_property
    def polygon(self) -> ConvexPolygon:
        """The proper-motion window."""
        return ConvexPolygon(self.proper_motion.vertices)

    @property
    def proper_motion(self) -> ProperMotionWindow:
        """The proper-motion selection; by default the rectangle of the two coordinates' windows."""
        if self.proper_motion_window is not None:
            return self.proper_motion_window
        (a, b), (c, d) = self.pm_phi1.window, self.pm_phi2.window
        return ProperMotionWindow(((a, c), (b, c), (b, d), (a, d)))

    @property
    def phi2_coordinate(self) -> Coordinate:
        """phi2 as a Coordinate."""
        return Coordinate(self.phi2, self.phi2_width)

    def fit(self, table: Any, *, seed: int, checkpoints: Path | None = None) -> FittedStream:
        """Fit the model to a table of stars (anything ``read_table`` takes).

        Parameters
        ----------
        table : columns of ``configuration.SCHEMA``, survey names are understood.
        seed : the same seed gives the same fit.
        checkpoints : a folder where an interrupted fit can go on from.

        Raises
        ------
        FitError
            When fewer than 100 stars can be used.
        """
        with one_thread():
            return self._fit(prepare(self, read_table(table)), seed, checkpoints)

    def _fit(self, stars: Stars, seed: int, checkpoints: Path | None) -> FittedStream:
        if len(stars) < FEWEST_STARS:
            found, counts = np.unique(stars.reasons[stars.reasons != ""], return_counts=True)
            why = "; ".join(f"{count} {reason}" for reason, count in zip(found, counts, strict=True))
            raise FitError(
                f"only {len(stars)} stars can be used, {FEWEST_STARS} are needed ({why or 'the table is small'})"
            )
        rng = make_generator(seed)
        weights = tensor(rng.exponential(size=(self.training.members, len(stars))))
        weights[0] = 1.0
        guide = _sky_guide(self.components)
        if guide is not None:
            center = np.interp(stars.phi1, guide.phi1, guide.value)
            off = (np.abs(stars.phi2.numpy() - center) > self.off_stream).astype(float)
            return self._fit_once(stars, weights, tensor(off), rng, checkpoints, "")
        progress.say("no guide: a first fit finds the stars off the stream")
        start = rng.bit_generator.state
        first = self._fit_once(stars, weights, torch.ones(len(stars)), rng, checkpoints, "first ")
        rng.bit_generator.state = start
        background = first.probabilities(stars)[-1, 0]
        return self._fit_once(stars, weights, background, rng, checkpoints, "")

    def _fit_once(
        self,
        stars: Stars,
        weights: Tensor,
        off: Tensor,
        rng: np.random.Generator,
        checkpoints: Path | None,
        label: str,
    ) -> FittedStream:
        background = Background(self, torch_generator(rng))
        background_report = background.fit(stars, off, torch_generator(rng), self.training.background_epochs)
        mixture = Mixture(self, torch_generator(rng))
        prepared = PreparedStars(self, stars, mixture, background.log_prob(stars))
        scale = 1.0 / len(stars)

        def loss(_: int) -> Tensor:
            curves = mixture.curves()
            log_p = torch.logsumexp(mixture.log_densities(prepared, curves), dim=0)
            return scale * (mixture.penalty(curves).sum() - (weights * log_p).sum())

        path = None if checkpoints is None else checkpoints / f"{label.strip() or 'final'}-mixture.safetensors"
        training = descend(
            loss,
            list(mixture.parameters()),
            steps=self.training.steps,
            learning_rate=self.training.learning_rate,
            label=f"{label}mixture",
            checkpoint=path,
        )
        fitted = FittedStream(self, background, mixture, phi1_seen=np.sort(stars.phi1))
        fitted.report = {
            "stars": len(stars),
            "background": background_report,
            "steps": len(training.losses),
            "seconds": round(training.seconds, 2),
            "loss": training.losses[-1],
            "last_change": training.last_change,
        }
        fitted.report["warnings"] = fitted._warnings(stars, prepared, training.last_change)
        return fitted


def _sky_guide(components: Sequence[Component]) -> Guide | None:
    guides = [guide for guide in components[0].guides if guide.coordinate == "phi2"]
    return guides[0] if guides else None


class FittedStream:
    """A fitted StreamModel: memberships, tracks, samples; ``save`` and ``load``."""

    def __init__(self, model: StreamModel, background: Background, mixture: Mixture, phi1_seen: np.ndarray) -> None:
        self.model, self.background, self.mixture = model, background, mixture
        self.phi1_seen = phi1_seen
        self.report: dict[str, Any] = {}

    @property
    def names(self) -> list[str]:
        """Components, the background last."""
        return [component.name for component in self.model.components] + ["background"]

    def curves_at(self, name: str, phi1: Any) -> np.ndarray:
        """Learned curves of a component, or the log fractions ("weights") at phi1 (deg): (members, n, outputs)."""
        curves = self.mixture.weights if name == "weights" else self.mixture.tracks[name]
        assert isinstance(curves, Curves)
        with torch.no_grad():
            values = read_off(curves(), curves.places(torch.as_tensor(np.asarray(phi1, dtype=np.float64))))
        return np.asarray(values.double().numpy())

    def prepare(self, table: Any) -> Stars:
        """Make a table ready for ``probabilities`` and ``log_densities``."""
        return prepare(self.model, read_table(table))

    def log_densities(self, stars: Stars, prepared: PreparedStars | None = None) -> Tensor:
        """log(f_q p_q), (components + 1, members, n)."""
        prepared = prepared or PreparedStars(self.model, stars, self.mixture, self.background.log_prob(stars))
        with torch.no_grad():
            return self.mixture.log_densities(prepared, self.mixture.curves())

    def probabilities(self, stars: Stars) -> Tensor:
        """Membership probability of each component, (components + 1, members, n)."""
        return torch.softmax(self.log_densities(stars), dim=0)

    def predict(self, table: Any) -> QTable:
        """The same rows plus membership.

        Returns
        -------
        QTable
            For each component ``p_NAME`` (best fit), ``p_NAME_low``, ``p_NAME_high`` (central 90 % of the bootstrap
            ensemble, normal in the log odds), ``p_member`` (all components but the background), ``features_used``,
            ``phi1``, ``phi2``, ``pm_phi1_cosphi2``, ``pm_phi2``, and ``reason``: why a row was not used (then NaN).
        """
        import astropy.units as u

        result = read_table(table).copy()
        stars = self.prepare(result)
        units = {"phi1": u.deg, "phi2": u.deg, **dict.fromkeys(PM, u.mas / u.yr)}
        for name, values in self._membership(stars).items():
            filled = np.full(len(result), np.nan)
            filled[stars.rows] = values
            result[name] = filled * units[name] if name in units else filled
        used = np.zeros(len(result), dtype=np.int64)
        used[stars.rows] = stars.features_used()
        result["features_used"], result["reason"] = used, stars.reasons
        return result

    def _membership(self, stars: Stars) -> dict[str, np.ndarray]:
        seen = stars.pm_seen.numpy()
        columns = {"phi1": stars.phi1, "phi2": stars.phi2.numpy()}
        for place, name in enumerate(PM):
            columns[name] = np.where(seen, stars.pm[:, place].numpy(), np.nan)
        if len(stars) == 0:
            empty = np.zeros(0)
            for name in ["member", *self.names]:
                columns |= {f"p_{name}": empty, f"p_{name}_low": empty, f"p_{name}_high": empty}
            return columns
        p = self.probabilities(stars).double().numpy()
        shares = {"member": p[:-1].sum(axis=0), **dict(zip(self.names, p, strict=True))}
        for name, values in shares.items():
            odds = np.log(np.clip(values, 1e-12, 1.0)) - np.log(np.clip(1.0 - values, 1e-12, 1.0))
            spread = Z90 * odds[1:].std(axis=0, ddof=1) if len(odds) > 2 else np.full(values.shape[1], np.nan)
            columns[f"p_{name}"] = values[0]
            columns[f"p_{name}_low"] = 1.0 / (1.0 + np.exp(-(odds[0] - spread)))
            columns[f"p_{name}_high"] = 1.0 / (1.0 + np.exp(-(odds[0] + spread)))
        return columns

    def log_prob(self, table: Any) -> np.ndarray:
        """Log density of each row given its phi1 (best fit), NaN where a row is not used; shape (rows,)."""
        stars = self.prepare(table)
        values = np.full(len(stars.reasons), np.nan)
        if len(stars):
            values[stars.rows] = torch.logsumexp(self.log_densities(stars)[:, 0], dim=0).numpy()
        return values

    def expected_members(self, table: Any) -> dict[str, tuple[float, float, float]]:
        """Expected number of stars of each component and of "member": value and central 90 % (bootstrap)."""
        p = self.probabilities(self.prepare(table)).double().sum(dim=2).numpy()
        counts = {"member": p[:-1].sum(axis=0), **dict(zip(self.names, p, strict=True))}
        return {
            name: (float(c[0]), float(c[0] - Z90 * c[1:].std(ddof=1)), float(c[0] + Z90 * c[1:].std(ddof=1)))
            for name, c in counts.items()
        }

    def save(self, folder: str | Path) -> None:
        """Save to a folder: safetensors and JSON."""
        tensors = {f"background.{name}": value for name, value in self.background.state_dict().items()}
        tensors |= {f"mixture.{name}": value for name, value in self.mixture.state_dict().items()}
        tensors["phi1_seen"] = torch.as_tensor(self.phi1_seen)
        settings = asdict(self.model) | {"frame": asdict(self.model.stream_frame)}
        save_folder(folder, KIND, {"model": settings, "report": self.report}, tensors)

    @classmethod
    def load(cls, folder: str | Path) -> FittedStream:
        """Load what ``save`` wrote."""
        settings, tensors = load_folder(folder, KIND)
        model = model_from_settings(settings["model"])
        blank = torch.Generator().manual_seed(0)
        background, mixture = Background(model, blank), Mixture(model, blank)
        try:
            for name, module in (("background", background), ("mixture", mixture)):
                state = {key.removeprefix(f"{name}."): t for key, t in tensors.items() if key.startswith(f"{name}.")}
                module.load_state_dict(state)
            fitted = cls(model, background, mixture, tensors["phi1_seen"].numpy())
        except (RuntimeError, KeyError) as error:
            raise ModelFileError(f"the model in {folder} does not fit its settings: {error}") from error
        fitted.report = settings["report"]
        return fitted

    def _warnings(self, stars: Stars, prepared: PreparedStars, last_change: float) -> list[str]:
        log_p = self.log_densities(stars, prepared)
        counts = torch.softmax(log_p, dim=0).sum(dim=2)
        found = []
        for place, component in enumerate(self.model.components):
            if float(counts[place, 0]) < 5:
                found.append(f"component {component.name} collapsed: {float(counts[place, 0]):.1f} stars expected")
            elif float((counts[place, 1:] < 5).float().mean()) > 0.25:
                found.append(f"component {component.name} collapsed in more than a quarter of the bootstrap fits")
        if last_change > 0.02:
            found.append("the fit had not settled: its loss still fell by over 2 % in the last tenth of the steps")
        with torch.no_grad():
            objective = torch.logsumexp(log_p, dim=0).sum(dim=1) - self.mixture.penalty(self.mixture.curves())
        better = float(objective.max() - objective[0])
        if better > 10:
            found.append(
                f"a bootstrap fit describes the stars better than the best fit (ln L + {better:.0f}): fit longer"
            )
        return found


def model_from_settings(settings: Mapping[str, Any]) -> StreamModel:
    """A StreamModel from plain dictionaries and lists, as JSON or TOML give them.

    Raises
    ------
    ConfigError
        Naming every setting that is unknown or has a wrong type.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(StreamModel).validate_python(settings)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"the settings do not describe a stream model: {wrong}") from error
