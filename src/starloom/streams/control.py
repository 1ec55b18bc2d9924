"""The control that a stream is no artefact: its frozen shape, moved off the stream, should find next to nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from starloom.errors import ConfigError, FitError
from starloom.streams.fitted import FittedStream
from starloom.streams.mixture import PreparedStars

_ITERATIONS = 300


def moved_counts(
    fitted: FittedStream, table: Any, shifts: Sequence[float], *, mask: float = 1.2, component: str = "stream"
) -> np.ndarray:
    """Stars that a component would claim if it ran elsewhere.

    The component's track is shifted in phi2 with its widths, proper motions, distance and weights along phi1 frozen; in
    the field without the stars near the true stream, only its total normalization is free (maximum likelihood).

    Parameters
    ----------
    fitted : the model.
    table : the stars it was fitted to.
    shifts : deg of phi2; each must leave the true stream (all of it outside ``mask``).
    mask : stars closer than this (deg) to the best-fit track are left out.
    component : name of the component.

    Returns
    -------
    Expected stars at each shift, shape (shifts,).
    """
    if component not in fitted.names[:-1]:
        raise ConfigError(f"no component {component!r}; the model has {', '.join(fitted.names[:-1])}")
    if any(not abs(shift) > mask for shift in shifts):
        raise ConfigError(f"shifts must be larger than the mask of {mask} deg")
    stars = fitted.prepare(table)
    place = fitted.names.index(component)
    center = fitted.curves_at(component, stars.phi1)[0, :, 0]
    off = torch.as_tensor(np.abs(stars.phi2.numpy() - center) > mask)
    if not bool(off.any()):
        raise FitError(f"no stars farther than {mask} deg from the stream: nothing to control it with")
    prepared = PreparedStars(fitted.model, stars, fitted.mixture, fitted.background.log_prob(stars))
    found = []
    for shift in shifts:
        with torch.no_grad():
            curves = fitted.mixture.curves()
            moved = curves[component].clone()
            moved[..., 0] = (moved[..., 0] + shift).clamp(*fitted.model.phi2.window)
            log_p = fitted.mixture.log_densities(prepared, {**curves, component: moved})[:, 0]
        stream, background = log_p[place][off].double(), log_p[-1][off].double()
        scale = torch.ones((), dtype=torch.float64)
        odds = (stream - background).exp()
        share = np.exp(fitted.curves_at("weights", stars.phi1)[0, :, place])
        relative = torch.as_tensor(share / (1.0 - share))[off]
        for _ in range(_ITERATIONS):  # d ln L / d ln scale = 0: as many stars are claimed as the weights expect
            mixed = 1.0 + scale * odds
            scale = (scale * odds / mixed).sum() / (relative / mixed).sum()
        found.append(float((scale * odds / (1.0 + scale * odds)).sum()))
    return np.asarray(found)
