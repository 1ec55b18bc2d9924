"""Intervals: of a fraction from counts, and of a sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from starloom.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

JEFFREYS = (0.5, 0.5)


def fraction_interval(
    successes: ArrayLike, trials: ArrayLike, level: float = 0.68, prior: tuple[float, float] = JEFFREYS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Central interval of a fraction's Beta posterior, low and high, shape of the counts.

    Where nothing (or everything) was seen the interval reaches to 0 (or 1), as Brown, Cai & DasGupta
    (2001StaSc..16..101B, section 4.1.2) do for Jeffreys' prior; where nothing was tried it is 0 to 1.

    Parameters
    ----------
    successes, trials : counts; they may be weighted sums, and broadcast.
    level : probability inside.
    prior : the two parameters of the Beta prior.

    Raises
    ------
    ConfigError
        When a count is negative or NaN, successes exceed trials, or the level is not between 0 and 1.

    Examples
    --------
    >>> low, high = fraction_interval(8, 10)
    >>> print(f"{low:.3f} {high:.3f}")
    0.650 0.894
    """
    from scipy.special import betaincinv

    good, tried = np.broadcast_arrays(np.asarray(successes, dtype=float), np.asarray(trials, dtype=float))
    if not np.all((good >= 0) & (good <= tried)):
        raise ConfigError("successes must lie between 0 and trials")
    if not 0.0 < level < 1.0:
        raise ConfigError(f"the level of an interval lies between 0 and 1, not {level}")
    a, b, tail = good + prior[0], tried - good + prior[1], (1.0 - level) / 2.0
    low, high = betaincinv(a, b, tail), betaincinv(a, b, 1.0 - tail)
    return np.where(good == 0, 0.0, low), np.where(good == tried, 1.0, high)


def central(sample: ArrayLike, level: float = 0.68, axis: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Central interval of a sample along an axis; NaN is left out.

    Examples
    --------
    >>> low, high = central(np.arange(101.0), 0.9)
    >>> print(f"{low:.0f} {high:.0f}")
    5 95
    """
    low, high = np.nanquantile(np.asarray(sample, dtype=float), [(1.0 - level) / 2.0, (1.0 + level) / 2.0], axis=axis)
    return low, high
