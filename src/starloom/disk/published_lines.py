"""Lines between the alpha sequences that others have drawn, to be compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


def _mackereth(fe_h: Floats) -> Floats:
    return np.where(fe_h < 0.2, 0.10 - 0.2 * fe_h, 0.06)


def _weinberg(fe_h: Floats) -> Floats:
    return np.where(fe_h < 0.0, 0.12 - 0.13 * fe_h, 0.12)


LINES: Mapping[str, Callable[[Floats], Floats]] = {
    "Mackereth et al. 2019, [Mg/Fe]": _mackereth,
    "Weinberg et al. 2019, [Mg/Fe]": _weinberg,
    "Frankel et al. 2020, [alpha/Fe]": lambda fe_h: 0.13 - 0.12 * fe_h,
    "Gandhi & Ness 2019, [alpha/Fe]": lambda fe_h: 0.14 - 0.08 * fe_h,
}
"""Name -> [alpha/Fe] or [Mg/Fe] as a function of [Fe/H], as the authors of arXiv:2306.09319 compare with them."""


def envelope(fe_h: ArrayLike) -> tuple[Floats, Floats]:
    """The lowest and the highest of the lines at [Fe/H].

    Examples
    --------
    >>> low, high = envelope(0.0)
    >>> print(f"{float(low):.2f} {float(high):.2f}")
    0.10 0.14
    """
    iron = np.asarray(fe_h, dtype=np.float64)
    values = np.array([line(iron) for line in LINES.values()])
    return values.min(axis=0), values.max(axis=0)


def outside(fe_h: ArrayLike, alpha: ArrayLike) -> Floats:
    """How far a line lies outside of that envelope; 0 inside."""
    low, high = envelope(fe_h)
    value = np.asarray(alpha, dtype=np.float64)
    return np.asarray(np.maximum(np.maximum(low - value, value - high), 0.0))
