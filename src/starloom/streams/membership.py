"""Membership of a stellar stream: the density model of arXiv:2311.16960, fitted in about a minute.

    model = StreamModel(frame="GD1Koposov10", phi1=(-70, -20), phi2=Coordinate(...), ...)
    fitted = model.fit(table, seed=1)
    fitted.predict(table)          # the same rows plus membership probabilities and reasons

A stream and its companions are thin structures whose mean, width and share of the stars are functions of phi1 (small
networks); the background is a truncated exponential in phi2 times flows in proper motion and photometry. Densities are
normalized over the window that selected the stars. A star is judged by what it has: what is missing is marginalized.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from starloom import progress
from starloom.catalog.tables import read_table
from starloom.dynamics.frames import GalacticFrame
from starloom.dynamics.stream_frames import StreamFrame
from starloom.errors import ConfigError, FitError, MissingColumnError
from starloom.neural.training import descend, one_thread
from starloom.seeds import generator as make_generator
from starloom.seeds import torch_generator
from starloom.stats.windows import ConvexPolygon
from starloom.streams.background import Background
from starloom.streams.configuration import (
    PM,
    Component,
    Coordinate,
    Distance,
    Guide,
    Photometry,
    ProperMotion,
    Training,
)
from starloom.streams.fitted import FittedStream
from starloom.streams.mixture import Mixture, PreparedStars
from starloom.streams.stars import Stars, absent_columns, prepare, require_single_rows, tensor
from starloom.streams.track_search import start_on_excess

FEWEST_STARS = 100
BLURRED = 0.5  # share of the steps in which the stream is seen blurred
RESCUE, STUCK = 0.6, 50.0  # share of the steps after which stuck members are moved; ln L


@dataclass(frozen=True)
class StreamModel:
    """A stream, in about ten lines.

    Parameters
    ----------
    frame : gala's name of the stream's frame, or a StreamFrame (two poles, two end points); None: the table already
        has phi1, phi2 and pm_phi1_cosphi2, pm_phi2.
    phi1 : the window along the stream (deg).
    phi2 : Coordinate across it (deg).
    components : the stream and its companions; the background is always there.
    proper_motion : see ProperMotion; None: not used.
    distance : see Distance; needed by photometry and parallax.
    photometry : see Photometry; None: not used.
    parallax : range of the parallaxes in the selection (mas); None: not used. Its mean is that of the distance.
    radial_velocity : Coordinate (km/s); None: not used.
    others : further measured numbers with a track and a width of their own, by column name: fe_h, say, or one proper
        motion alone. A column NAME_error holds their errors. A component is normal in them, the background a flow.
    off_stream : stars farther than this (deg) from the guide in phi2 train the background; where the first component
        has no such guide, a first fit says which stars are off the stream.
    galactic_frame : the Sun's motion.
    training : see Training.
    """

    frame: StreamFrame | str | None
    phi1: tuple[float, float]
    phi2: Coordinate
    components: tuple[Component, ...] = (Component(),)
    proper_motion: ProperMotion | None = None
    distance: Distance | None = None
    photometry: Photometry | None = None
    parallax: tuple[float, float] | None = None
    radial_velocity: Coordinate | None = None
    others: Mapping[str, Coordinate] = field(default_factory=dict)
    off_stream: float = 1.0
    galactic_frame: GalacticFrame = field(default_factory=GalacticFrame)
    training: Training = field(default_factory=Training)

    def __post_init__(self) -> None:
        names = [component.name for component in self.components]
        if not names or len(set(names)) != len(names) or set(names) & {"background", "weights", "slope"}:
            raise ConfigError(f"components need distinct names other than background, weights, slope; got {names}")
        taken = {"phi1", "phi2", "parallax", "radial_velocity", *(PM if self.proper_motion or self.frame else ())}
        if clash := taken & set(self.others):
            raise ConfigError(f"others: {', '.join(sorted(clash))} has a setting of its own")
        windows = {"phi1": self.phi1, **self.scalar_windows}
        for name, pair in windows.items():
            if not pair[0] < pair[1]:
                raise ConfigError(f"{name} must be (low, high) with low < high, got {pair}")
        if self.distance is None and (self.photometry is not None or self.parallax is not None):
            raise ConfigError("photometry and parallax need the range of the distance: give distance=Distance(...)")
        for place, component in enumerate(self.components):
            # the distance is the first component's, and the others share it
            guidable = self.guidable if place == 0 else [*self.coordinates]
            for guide in component.guides:
                if guide.coordinate not in guidable:
                    known = ", ".join(guidable)
                    raise ConfigError(f"guide on {guide.coordinate!r} of {component.name!r}: it can be on {known}")
            for name, value in component.start.items():
                if name not in (known_names := ("phi2", *PM, "radial_velocity", *self.others)):
                    raise ConfigError(f"start of {component.name!r}: no {name!r}; known: {', '.join(known_names)}")
                low, high = self.coordinates[name].window if name in self.coordinates else (-np.inf, np.inf)
                if not low < value < high:
                    raise ConfigError(f"start of {component.name!r}: {name} = {value} is outside ({low}, {high})")
        if self.proper_motion is not None:
            if self.frame is None and (self.proper_motion.system == "icrs" or self.proper_motion.reflex_distance):
                raise ConfigError("without a frame, proper motions are taken as they are: no ICRS polygon, no reflex")
            _ = self.polygon  # a wrong polygon is an error now, not at the fit
        _ = self.stream_frame

    @cached_property
    def stream_frame(self) -> StreamFrame | None:
        """The frame as an object."""
        return StreamFrame.named(self.frame) if isinstance(self.frame, str) else self.frame

    @cached_property
    def polygon(self) -> ConvexPolygon:
        """The proper-motion window."""
        if self.proper_motion is None:
            raise ConfigError("this model does not use proper motions")
        return ConvexPolygon(self.proper_motion.vertices)

    @property
    def coordinates(self) -> dict[str, Coordinate]:
        """Every coordinate with a track and a width of its own, by name."""
        found = {"phi2": self.phi2}
        if self.proper_motion is not None:
            found |= {PM[0]: self.proper_motion.phi1, PM[1]: self.proper_motion.phi2}
        return {**found, **self.scalars}

    @property
    def scalars(self) -> dict[str, Coordinate]:
        """The coordinates that are one measured number each, by column name."""
        return {**({} if self.radial_velocity is None else {"radial_velocity": self.radial_velocity}), **self.others}

    @property
    def guidable(self) -> list[str]:
        """What a Guide can be on."""
        return [*self.coordinates, *(["distance_modulus"] if self.distance is not None else [])]

    @property
    def scalar_windows(self) -> dict[str, tuple[float, float]]:
        """Windows of the parallax and of the scalars, where they are used."""
        found = {} if self.parallax is None else {"parallax": self.parallax}
        return {**found, **{name: coordinate.window for name, coordinate in self.scalars.items()}}

    def fit(self, table: Any, *, seed: int, checkpoints: Path | None = None) -> FittedStream:
        """Fit the model to a table of stars (anything ``read_table`` takes).

        Parameters
        ----------
        table : columns of ``schema.SCHEMA``, survey names are understood.
        seed : the same seed gives the same fit.
        checkpoints : a folder where an interrupted fit can go on from.

        Raises
        ------
        FitError
            When fewer than 100 stars can be used.
        CatalogError
            When a source_id is there more than once, or a column is not there that the model learns from.
        """
        stars = read_table(table)
        if absent := absent_columns(self, stars):
            raise MissingColumnError(f"the model learns from {', '.join(absent)}, which the table lacks")
        require_single_rows(self, stars)
        with one_thread():
            return self._fit(prepare(self, stars), seed, checkpoints)

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
        half = {name: -(-getattr(self.training, name) // 2) for name in ("steps", "background_epochs")}
        hurried = replace(self, training=replace(self.training, members=2, **half))
        first = hurried._fit_once(stars, weights[:2], torch.ones(len(stars)), rng, checkpoints, "first ")
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
        prepared = PreparedStars(self, stars, mixture, background.log_prob(stars), coarse=True)
        if _sky_guide(self.components) is None:
            start_on_excess(mixture, prepared)
        scale = 1.0 / len(stars)

        rescue = round(RESCUE * self.training.steps)

        def loss(step: int) -> Tensor:
            mixture.blur = max(0.0, 1.0 - step / (BLURRED * self.training.steps)) ** 2
            if step == rescue:
                _rescue(mixture, prepared)
            log_p, penalty = mixture.objective(prepared)
            return scale * (penalty.sum() - (weights * log_p).sum())

        path = None
        if checkpoints is not None:  # named for what is fitted, so that no other fit goes on from it
            path = checkpoints / f"{label.strip() or 'final'}-mixture-{_fingerprint(self, stars, weights)}.safetensors"
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
        fitted.report["warnings"] = fitted.warnings(stars, prepared, training.last_change)
        return fitted


def _fingerprint(model: StreamModel, stars: Stars, weights: Tensor) -> str:
    """Twelve digits that change with the settings, the stars and the seed."""
    digest = hashlib.sha256(repr(model).encode())
    for values in (stars.phi1, stars.phi2.numpy(), stars.pm.numpy(), weights.numpy()):
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()[:12]


def _rescue(mixture: Mixture, stars: PreparedStars) -> None:
    """Put members that are stuck in a poor optimum, by the fit to all stars, where the best member is.

    A bootstrap of the stars moves the optimum by a few tens of ln L at most; what is farther off is another optimum.
    """
    with torch.no_grad():
        log_p, penalty = mixture.objective(stars)
        reached = log_p.sum(dim=1) - penalty
        best = int(reached.argmax())
        stuck = reached < reached[best] - STUCK
        for parameter in mixture.parameters():
            parameter[stuck] = parameter[best].clone()


def _sky_guide(components: Sequence[Component]) -> Guide | None:
    guides = [guide for guide in components[0].guides if guide.coordinate == "phi2"]
    return guides[0] if guides else None


def model_from_settings(settings: Mapping[str, Any]) -> StreamModel:
    """A StreamModel from plain dictionaries and lists, as JSON or TOML give them.

    Raises
    ------
    ConfigError
        Naming every setting that is unknown or has a wrong type.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        model = TypeAdapter(StreamModel).validate_python(settings)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"the settings do not describe a stream model: {wrong}") from error
    unknown = sorted(_unknown(settings, asdict(model)))
    if unknown:
        raise ConfigError(f"the settings do not describe a stream model: unknown {', '.join(unknown)}")
    return model


def _unknown(given: Any, known: Any, prefix: str = "") -> Iterator[str]:
    """Names in the settings given that the model does not have (a validator passes them over in silence)."""
    if isinstance(given, Mapping) and isinstance(known, Mapping):
        for name, value in given.items():
            if name in known:
                yield from _unknown(value, known[name], f"{prefix}{name}.")
            elif not prefix.endswith("start."):
                yield f"{prefix}{name}"
    elif isinstance(given, list | tuple) and isinstance(known, list | tuple):
        for place, (one, other) in enumerate(zip(given, known, strict=False)):
            yield from _unknown(one, other, f"{prefix}{place}.")
