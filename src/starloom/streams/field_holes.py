"""Stretches of phi1 without any star of the field: masks and edges of a survey, which are no gaps of a stream."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
NEIGHBORS = 200  # stars on either side that say how dense the field is
NARROWEST = 0.2  # deg
UNLIKELY = 10.0  # -ln of the chance of one such hole among all


def field_holes(phi1: Array) -> Array:
    """Ends (deg) of the stretches that hold no star where their neighbors call for many, shape (holes, 2).

    Parameters
    ----------
    phi1 : of every star of the table inside the window, background too (deg), shape (n,).

    Examples
    --------
    >>> import numpy as np
    >>> phi1 = np.linspace(0.0, 10.0, 2001)
    >>> field_holes(phi1[(phi1 < 4.0) | (phi1 > 5.0)]).round(2)
    array([[4., 5.]])
    """
    along = np.sort(np.asarray(phi1, dtype=np.float64))
    if len(along) < 2:
        return np.empty((0, 2))
    spacing = np.diff(along)
    before = np.cumsum(np.concatenate([[0.0], spacing]))
    low = np.maximum(np.arange(len(spacing)) - NEIGHBORS, 0)
    high = np.minimum(np.arange(len(spacing)) + NEIGHBORS + 1, len(spacing))
    others = np.maximum(high - low - 1, 1)
    expected = np.maximum((before[high] - before[low] - spacing) / others, 1e-12)  # mean of the neighbors' alone
    # the chance of a spacing so much longer than the mean of that many others, both exponential
    surprise = others * np.log1p(spacing / (others * expected))
    empty = (surprise > math.log(len(spacing)) + UNLIKELY) & (spacing > NARROWEST) & (high - low > 1)
    return np.stack([along[:-1][empty], along[1:][empty]], axis=1)


def share_seen(edges: Array, holes: Array) -> Array:
    """Share of each bin between edges (deg), (n + 1,), that lies outside the holes, shape (n,)."""
    covered = np.zeros(len(edges) - 1)
    for low, high in holes:
        covered += np.clip(np.minimum(edges[1:], high) - np.maximum(edges[:-1], low), 0.0, None)
    share: Array = np.clip(1.0 - covered / np.diff(edges), 0.0, 1.0)
    return share
