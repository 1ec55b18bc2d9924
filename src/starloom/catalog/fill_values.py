"""Numbers that stand for "missing" in a column of which nothing else is known."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

MOST = 8  # kinds of fill values looked for at either end of a column


def fill_values(values: NDArray[np.float64]) -> list[float]:
    """The numbers of a column that are no measurements but stand for a missing one.

    A number counts as one if it is written with nines (99, -999, -9999.99), or with an exponent of 20 and more, and
    lies farther from all that is not such a number than these are spread. A column of nothing else has none.

    Parameters
    ----------
    values : (n,) numbers, NaN where missing.

    Returns
    -------
    list of float
        In ascending order.

    Examples
    --------
    >>> fill_values(np.array([-0.3, 0.1, -9999.99, -9999.99, 0.2]))
    [-9999.99]
    >>> fill_values(np.array([97.0, 98.0, 99.0, 100.0]))
    []
    """
    there = values[np.isfinite(values)]
    if not len(there):
        return []
    found: list[float] = []
    unique = np.unique(there)
    for ends in (unique[:MOST], unique[-MOST:]):
        found += [float(value) for value in ends if _of_nines(float(value)) and float(value) not in found]
    rest = unique[~np.isin(unique, found)]
    if not len(rest):
        return []
    spread = max(float(rest[-1] - rest[0]), 1e-12)
    return sorted(value for value in found if value < rest[0] - spread or value > rest[-1] + spread)


def _of_nines(value: float) -> bool:
    if abs(value) >= 1e20:
        return True
    text = f"{abs(value):.6g}"  # 9999.99 in single precision is 9999.990234
    return bool(re.fullmatch(r"9{2,}(\.[09]*)?|9+\.9{2,}", text)) or abs(value) == 10_000.0
