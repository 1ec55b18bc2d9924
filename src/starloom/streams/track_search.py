"""Where a stream that no guide describes begins its fit: the path across the window along which stars are in excess.

A stretch of a stream beyond a gap is easily lost by a descent that starts elsewhere: once the component has become
narrow it does not see stars several widths away. Here each bin of phi1 says how much likelier its stars are with a thin
component at a given phi2 than without one, and the best continuous path is found exactly (dynamic programming, Viterbi
1967). What a stretch does not show with certainty is left as it was.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from starloom.neural.curves import Curves
from starloom.streams.mixture import Mixture, PreparedStars

Array = NDArray[np.float64]
BINS = 48  # of phi1, and of phi2
KERNEL = 1.2  # bins of phi2: width of the component that is tried, for what a slope smears out, too
FARTHEST = 5  # bins of phi2 from one bin of phi1 to the next
STEEP = 2.0  # bins of phi2: a step of so many costs one half in ln L
SURE = 10.0  # ln L of a bin that counts
SHARES = (0.01, 0.03, 0.1, 0.2, 0.35, 0.5)  # of a bin's stars, tried


def start_on_excess(mixture: Mixture, stars: PreparedStars) -> int:
    """Let the first component's phi2 start on the path of the stars in excess; how many bins of phi1 show one."""
    model = mixture.model
    gain = excess(mixture, stars)
    row = best_path(gain)
    reached = gain[np.arange(BINS), row] > SURE
    # a single bin may be a cluster of stars; a stream goes on
    beside = np.zeros(BINS, dtype=bool)
    beside[1:] |= reached[:-1]
    beside[:-1] |= reached[1:]
    sure = reached & beside
    if sure.any():
        phi1, phi2 = (_middles(pair) for pair in (model.phi1, model.phi2.window))
        track = mixture.tracks[model.components[0].name]
        assert isinstance(track, Curves)
        track.start_at("phi2", phi1[sure], phi2[row[sure]])
    return int(sure.sum())


def excess(mixture: Mixture, stars: PreparedStars) -> Array:
    """ln L that a thin component adds in each bin of phi1 at each phi2, shape (BINS, BINS).

    Everything but phi2 is judged as the mixture begins: wide around its starts.
    """
    model = mixture.model
    component = model.components[0]
    (first, last), (low, high) = model.phi1, model.phi2.window
    span = high - low
    with torch.no_grad():
        curves = mixture.curves()
        flat = curves[component.name].clone()
        flat[..., 0], flat[..., 1] = 0.5 * (low + high), math.log(100.0 * span)  # the same density at every phi2
        log_p = mixture.log_densities(stars, {**curves, component.name: flat})[:, 0].double()
    phi1, phi2 = stars.stars.phi1, stars.stars.phi2.numpy().astype(np.float64)
    # the shares of the mixture are taken out again: each bin has its own
    share = component.start_fraction
    odds = (log_p[0] - log_p[-1]).numpy() - math.log(share / (1.0 - share)) + math.log(span)
    width = KERNEL * span / BINS
    offset = (phi2[:, None] - _middles(model.phi2.window)) / width
    density = np.exp(np.minimum(odds[:, None] - 0.5 * offset**2 - math.log(width * math.sqrt(2.0 * math.pi)), 50.0))
    place = np.clip(((phi1 - first) / (last - first) * BINS).astype(int), 0, BINS - 1)
    found = np.zeros((BINS, BINS))
    for tried in SHARES:
        gain = np.log1p(tried * (density - 1.0))
        total = np.zeros_like(found)
        np.add.at(total, place, gain)
        found = np.maximum(found, total)
    return found


def best_path(gain: Array) -> NDArray[np.int64]:
    """The row of each column whose sum of gains, less the cost of its steps, is largest; gain (columns, rows)."""
    columns, rows = gain.shape
    step = np.arange(rows)[:, None] - np.arange(rows)
    cost = np.where(np.abs(step) <= FARTHEST, 0.5 * (step / STEEP) ** 2, np.inf)
    best = gain[0]
    came = np.zeros((columns, rows), dtype=np.int64)
    for column in range(1, columns):
        reached = best - cost  # (to, from)
        came[column] = reached.argmax(axis=1)
        best = gain[column] + reached.max(axis=1)
    path = np.empty(columns, dtype=np.int64)
    path[-1] = int(best.argmax())
    for column in range(columns - 1, 0, -1):
        path[column - 1] = came[column, path[column]]
    return path


def _middles(pair: tuple[float, float]) -> Array:
    edges = np.linspace(*pair, BINS + 1)
    middles: Array = 0.5 * (edges[1:] + edges[:-1])
    return middles
