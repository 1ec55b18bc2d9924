"""Tracks of streams as published, in the frame of a model; and the track that a fitted model gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from starloom.catalog.schema import plain
from starloom.dynamics.frames import GalacticFrame
from starloom.dynamics.stream_frames import StreamFrame
from starloom.errors import CatalogError, ConfigError
from starloom.neural.curves import Curves
from starloom.streams.configuration import PM, Guide
from starloom.streams.fitted import FittedStream, half_width
from starloom.streams.proper_motion import log_window_mass
from starloom.streams.stars import tensor, turn_and_reflex

if TYPE_CHECKING:
    from astropy.table import QTable

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ReferenceTrack:
    """A published track in a stream's frame, ordered by phi1.

    Parameters
    ----------
    name : stream and reference.
    phi1, phi2 : deg, shape (n,).
    pm_phi1_cosphi2, pm_phi2 : mas/yr, corrected for the solar reflex motion where ``reflex_distance`` was given.
    distance : kpc.
    """

    name: str
    phi1: Array
    phi2: Array
    pm_phi1_cosphi2: Array
    pm_phi2: Array
    distance: Array

    @property
    def distance_modulus(self) -> Array:
        """Distance modulus (mag)."""
        modulus: Array = 5.0 * np.log10(100.0 * self.distance)
        return modulus

    @classmethod
    def from_galstreams(
        cls,
        table: QTable,
        stream: str,
        reference: str,
        frame: StreamFrame,
        *,
        reflex_distance: float | None = None,
        galactic_frame: GalacticFrame | None = None,
    ) -> ReferenceTrack:
        """One track of the galstreams collection (2023MNRAS.520.5225M), from its table of track points.

        Raises
        ------
        ConfigError
            When the collection has no such track; the message lists those of the stream.
        """
        streams, references = np.asarray(table["stream"]).astype(str), np.asarray(table["reference"]).astype(str)
        rows = np.flatnonzero((streams == stream) & (references == reference))
        if len(rows) == 0:
            known = sorted({f"{s} {r}" for s, r in zip(streams, references, strict=True) if s.startswith(stream[:3])})
            raise ConfigError(f"galstreams has no track {stream} {reference}; near to it: {', '.join(known) or 'none'}")
        part = table[rows]
        ra, dec, distance = (plain(part, name) for name in ("ra", "dec", "distance"))
        phi1, phi2 = frame.to_frame(ra, dec)
        pm_icrs = np.stack([plain(part, "pm_ra_cosdec"), plain(part, "pm_dec")], axis=1)
        pm = np.einsum("nij,nj->ni", frame.turn(ra, dec), pm_icrs)
        if reflex_distance is not None:
            pm = pm - frame.reflex(phi1, phi2, np.full(len(ra), reflex_distance), galactic_frame)
        order = np.argsort(phi1)
        along = np.sign(np.diff(phi1))  # the track's own order tells whether it turns back
        if len(along) and (along != along[0]).any():
            raise CatalogError(f"the track {stream} {reference} turns back in phi1 of the frame {frame.name}")
        columns = (values[order] for values in (phi1, phi2, pm[:, 0], pm[:, 1], distance))
        return cls(f"{stream} {reference}", *columns)

    def at(self, phi1: ArrayLike, name: str) -> Array:
        """A coordinate of the track at phi1 (deg), NaN beyond its ends."""
        values: Array = np.interp(np.asarray(phi1, float), self.phi1, getattr(self, name), left=np.nan, right=np.nan)
        return values

    def guide(self, name: str, phi1: ArrayLike, half_width: float) -> Guide:
        """A guide along the track: value at each phi1 (deg) plus or minus half_width."""
        points = np.asarray(phi1, float)
        values = self.at(points, name)
        kept = np.isfinite(values)
        return Guide(name, tuple(points[kept].tolist()), tuple(values[kept].tolist()), (half_width,))


def fitted_track(fitted: FittedStream, component: str = "stream", phi1: ArrayLike | None = None) -> QTable:
    """The track of a component with its 90 % band.

    Parameters
    ----------
    fitted : the model.
    component : name of the component.
    phi1 : where (deg); default every half degree of the window.

    Returns
    -------
    QTable
        phi1; for each coordinate its mean, ``_low`` and ``_high`` (central 90 % of the bootstrap ensemble) and
        ``_width`` (one sigma, with its band); ``fraction`` of the field's stars with its band; ``completeness``: the
        share of the component's proper motions that the selection keeps.
    """
    import astropy.units as u
    from astropy.table import QTable

    model = fitted.model
    if component not in fitted.names[:-1]:
        raise ConfigError(f"no component {component!r}; the model has {', '.join(fitted.names[:-1])}")
    low, high = model.phi1
    grid = np.arange(low, high + 0.25, 0.5).clip(low, high) if phi1 is None else np.asarray(phi1, float)
    curves = fitted.mixture.tracks[component]
    assert isinstance(curves, Curves)
    names = [curve.name for curve in curves.curves]
    values = fitted.curves_at(component, grid)
    weights = fitted.curves_at("weights", grid)
    units = dict.fromkeys(model.scalars, u.dimensionless_unscaled) | {
        "phi2": u.deg, **dict.fromkeys(PM, u.mas / u.yr), "radial_velocity": u.km / u.s, "distance_modulus": u.mag
    }  # fmt: skip
    table = QTable({"phi1": grid * u.deg})
    for place, name in enumerate(names):
        if name in ("ln_wing_scale", "wing_share"):
            continue
        column = values[..., place]
        if name == "ln_distance_scatter":
            _band(table, "distance_scatter", np.exp(column), u.mag)
        elif name.startswith("ln_width_"):
            coordinate = name.removeprefix("ln_width_")
            _band(table, f"{coordinate}_width", np.exp(column), units[coordinate])
        else:
            _band(table, name, column, units[name])
    _band(table, "fraction", np.exp(weights[..., fitted.names.index(component)]), u.dimensionless_unscaled)
    table["completeness"] = completeness(fitted, values[0], names, grid)
    return table


def completeness(fitted: FittedStream, values: Array, names: list[str], phi1: Array) -> Array:
    """Share of a component's proper motions inside the selection, on its track; values (n, curves) at phi1 (n,)."""
    model = fitted.model
    phi2 = values[:, names.index("phi2")]
    if model.proper_motion is None:
        return np.ones(len(phi1))
    turn, reflex = turn_and_reflex(model, phi1, phi2)
    mean = tensor(values[:, [names.index(name) for name in PM]])
    xx, yy = (tensor(np.exp(2.0 * values[:, names.index(f"ln_width_{name}")])) for name in PM)
    place, zero = (model, tensor(turn), tensor(reflex), mean), torch.zeros_like(xx)
    with torch.no_grad():
        mass = log_window_mass(*place, xx, zero, yy).exp()
        if model.proper_motion.wings:
            wider = tensor(np.exp(2.0 * values[:, names.index("ln_wing_scale")]))
            share = tensor(values[:, names.index("wing_share")])
            mass = (1.0 - share) * mass + share * log_window_mass(*place, wider * xx, zero, wider * yy).exp()
    return np.asarray(mass.numpy(), dtype=np.float64)


def _band(table: QTable, name: str, members: Array, unit: object) -> None:
    spread = half_width(members)
    table[name], table[f"{name}_low"], table[f"{name}_high"] = (
        values * unit for values in (members[0], members[0] - spread, members[0] + spread)
    )
