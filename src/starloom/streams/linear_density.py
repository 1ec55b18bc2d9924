"""Linear density along a stream: expected members a degree, raw and corrected for the selection in proper motion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from starloom.errors import ConfigError
from starloom.streams.field_holes import field_holes, share_seen
from starloom.streams.fitted import Z90, FittedStream, half_width
from starloom.streams.tracks import fitted_track

if TYPE_CHECKING:
    from astropy.table import QTable

LEAST_COMPLETENESS = 0.5


def linear_density(fitted: FittedStream, table: Any, component: str = "stream", bin_width: float = 2.0) -> QTable:
    """Expected stars of a component in bins of phi1.

    The expectation is the sum of the membership probabilities; its interval adds the Poisson noise of the members to
    the spread of the bootstrap ensemble.

    Parameters
    ----------
    fitted : the model.
    table : the stars.
    component : name of the component.
    bin_width : deg.

    Returns
    -------
    QTable
        ``phi1_low``, ``phi1_high`` (deg), ``members``, ``density`` with ``density_low`` and ``density_high`` (central
        90 %, 1 / deg), ``completeness``: what the selection keeps on the track, times the share of the bin where the
        field has stars at all; ``corrected_density`` (NaN where that is below one half).
    """
    import astropy.units as u
    from astropy.table import QTable

    if not 0 < bin_width < np.inf:
        raise ConfigError(f"bin_width must be positive, got {bin_width} deg")
    if component not in fitted.names:
        raise ConfigError(f"no component {component!r}; the model has {', '.join(fitted.names)}")
    low, high = fitted.model.phi1
    count = max(round((high - low) / bin_width), 1)
    edges = np.linspace(low, high, count + 1)
    stars = fitted.prepare(table)
    p = fitted.probabilities(stars)[fitted.names.index(component)].double().numpy()
    place = np.clip(np.searchsorted(edges, stars.phi1, side="right") - 1, 0, count - 1)
    members = np.stack([np.bincount(place, row, minlength=count) for row in p])
    # the number of members a bin truly holds is uncertain twice: which stars they are, and how many were drawn there
    counting = np.bincount(place, p[0] ** 2, minlength=count)
    spread = np.hypot(half_width(members), Z90 * np.sqrt(counting))
    width = np.diff(edges)
    track = fitted_track(fitted, component, 0.5 * (edges[1:] + edges[:-1]))
    kept = np.asarray(track["completeness"]) * share_seen(edges, field_holes(stars.phi1))
    corrected = np.where(kept >= LEAST_COMPLETENESS, members[0] / width / np.maximum(kept, 1e-9), np.nan)
    return QTable(
        {
            "phi1_low": edges[:-1] * u.deg,
            "phi1_high": edges[1:] * u.deg,
            "members": members[0],
            "density": members[0] / width / u.deg,
            "density_low": np.maximum(members[0] - spread, 0.0) / width / u.deg,
            "density_high": (members[0] + spread) / width / u.deg,
            "completeness": kept,
            "corrected_density": corrected / u.deg,
        }
    )
