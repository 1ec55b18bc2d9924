"""Scatter that outliers do not rule."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

MAD_TO_SIGMA = 1.482602218505602  # of a normal distribution


def robust_scatter(values: ArrayLike) -> float:
    """Standard deviation from the median absolute deviation of the finite values; NaN when there is none.

    Examples
    --------
    >>> round(robust_scatter([0.0, 1.0, 2.0, 3.0, 400.0, float("nan")]), 4)
    1.4826
    """
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    return float(MAD_TO_SIGMA * np.median(np.abs(known - np.median(known)))) if len(known) else float("nan")
