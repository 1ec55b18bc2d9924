"""A binary with its present state: how much mass was thrown out how long ago, and from which separation."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import ConfigError
from starloom.galactic_center.binary import BlackHoleBinary

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Scenario:
    """A companion that circles Sgr A* today, or one that merged with it.

    Parameters
    ----------
    binary : the binary.
    separation : present separation, mpc; None for a merged binary.
    since_merger : Myr since the merger; None for a present binary. Exactly one of both is given.

    Raises
    ------
    ConfigError
        When both or none are given, the separation is wider than the binary's start, or a number is out of range.

    Examples
    --------
    >>> now = Scenario(BlackHoleBinary(1000.0, ratio_mode="nearest"), separation=1.0)
    >>> round(now.ejected(50.0))
    1498
    """

    binary: BlackHoleBinary
    separation: float | None = None
    since_merger: float | None = None

    def __post_init__(self) -> None:
        if (self.separation is None) == (self.since_merger is None):
            raise ConfigError("give exactly one of separation (mpc) and since_merger (Myr)")
        if self.separation is not None:
            widest = 1e3 * self.binary.start
            if not 0 < self.separation <= widest:
                raise ConfigError(f"the present separation must be in (0, {widest:g}] mpc, got {self.separation!r}")
        elif not (math.isfinite(self.since_merger or 0.0) and (self.since_merger or 0.0) >= 0):
            raise ConfigError(f"since_merger must be a number of at least 0 Myr, got {self.since_merger!r}")

    @functools.cached_property
    def age(self) -> float:
        """Myr since the binary was at its starting separation."""
        if self.separation is not None:
            return float(self.binary.time_at(1e-3 * self.separation))
        return self.binary.clock.merger + float(self.since_merger or 0.0)

    @property
    def label(self) -> str:
        """The scenario in words."""
        state = f"{self.separation:g} mpc" if self.separation is not None else f"merged {self.since_merger:g} Myr ago"
        return f"{self.binary.companion_mass:g} Msun, {state}"

    def remarks(self, span: float = 0.0) -> tuple[str, ...]:
        """What a user should know when looking back over ``span`` Myr; empty where there is nothing."""
        made = list(self.binary.remarks)
        if self.age < span:
            made.append(
                f"{self.label}: the clock starts {self.age:.1f} Myr ago at {1e3 * self.binary.start:g} mpc, later than "
                f"the {span:g} Myr looked back over; stars thrown out before are not counted"
            )
        return tuple(made)

    def ejected(self, span: float) -> float:
        """Msun thrown out in the last ``span`` Myr."""
        return float(self.binary.ejected_by(self.age) - self.binary.ejected_by(self.age - span))

    def separation_then(self, lookback: ArrayLike) -> Array:
        """Separation (pc) so many Myr ago; NaN where there was no binary."""
        return self.binary.separation_at(self.age - np.asarray(lookback, dtype=float))

    def mass_rate(self, lookback: ArrayLike) -> Array:
        """Msun/Myr thrown out so many Myr ago; 0 where there was no binary."""
        a = self.separation_then(lookback)
        return np.where(np.isfinite(a), self.binary.mass_rate(np.where(np.isfinite(a), a, 1e-3)), 0.0)

    def lookback_of_share(self, share: ArrayLike, span: float) -> Array:
        """Myr ago by which a share of the mass of the last ``span`` Myr was not yet thrown out (for drawing times)."""
        clock = self.binary.clock
        low, high = (float(self.binary.ejected_by(self.age - back)) for back in (span, 0.0))
        mass = low + np.asarray(share, dtype=float) * (high - low)
        return np.asarray(np.clip(self.age - np.interp(mass, clock.ejected, clock.time), 0.0, span))
