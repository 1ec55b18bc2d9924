"""A smooth disk of dust for made galaxies: the reddening to a place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.dynamics.frames import GalacticFrame
from starloom.errors import ConfigError

A_V_PER_EBV = 2.742
"""A_V over E(B-V) as dust maps in the unit of Schlegel et al. give it (2011ApJ...737..103S, table 6, R_V = 3.1)."""

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)


class Dust(Protocol):
    """Anything that gives the reddening E(B-V) in mag to places at l, b (deg) and distance (kpc), shapes alike."""

    def ebv(self, l: ArrayLike, b: ArrayLike, distance: ArrayLike) -> NDArray[np.float64]:
        """The reddening."""


@dataclass(frozen=True)
class DustDisk:
    """Dust whose density falls exponentially outward and away from the plane.

    Parameters
    ----------
    local : reddening E(B-V) per kpc in the plane at the Sun (mag/kpc).
    scale_length, scale_height : of the dust (kpc).
    frame : where the Sun is.

    Examples
    --------
    >>> thick = DustDisk(scale_length=1e6, scale_height=1e6)
    >>> np.round(thick.ebv([0.0, 90.0], [0.0, 20.0], [1.0, 2.0]), 3)
    array([0.25, 0.5 ])
    """

    local: float = 0.25
    scale_length: float = 3.3
    scale_height: float = 0.1
    frame: GalacticFrame = field(default_factory=GalacticFrame)

    def __post_init__(self) -> None:
        if not (self.local >= 0 and self.scale_length > 0 and self.scale_height > 0):
            raise ConfigError("a disk of dust needs a reddening per kpc of at least 0 and scales above 0")

    def ebv(self, l: ArrayLike, b: ArrayLike, distance: ArrayLike) -> NDArray[np.float64]:
        """Reddening E(B-V) in mag; arguments broadcast.

        Gauss-Legendre quadrature, split where a line crosses the plane.
        """
        lon, lat, far = np.broadcast_arrays(*(np.asarray(value, dtype=float) for value in (l, b, distance)))
        sin_b, cos_b = np.sin(np.radians(lat)), np.cos(np.radians(lat))
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = np.where(sin_b != 0, -self.frame.z_sun / sin_b, np.inf)
        split = np.where((crossing > 0) & (crossing < far), crossing, far)
        first = self._stretch(np.zeros_like(far), split, lon, sin_b, cos_b)
        second = self._stretch(split, far, lon, sin_b, cos_b) if (split < far).any() else 0.0
        return np.asarray(first + second)

    def _stretch(
        self,
        near: NDArray[np.float64],
        far: NDArray[np.float64],
        lon: NDArray[np.float64],
        sin_b: NDArray[np.float64],
        cos_b: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        # most of the dust is within a few scale heights of the plane: nodes equal in 1 - exp(-|sin b| r / h)
        half = np.maximum(np.abs(sin_b) / self.scale_height, 1e-6)
        end = -np.expm1(-half * (far - near))
        total = np.zeros_like(far)
        x_sun, cos_l, sin_l = self.frame.r0, np.cos(np.radians(lon)), np.sin(np.radians(lon))
        for node, weight in zip(_NODES, _WEIGHTS, strict=True):
            share = 0.5 * (node + 1.0) * end
            r = near - np.log1p(-share) / half
            x, y, z = x_sun - r * cos_b * cos_l, r * cos_b * sin_l, self.frame.z_sun + r * sin_b
            density = np.exp(-(np.hypot(x, y) - x_sun) / self.scale_length - np.abs(z) / self.scale_height)
            total += weight * density / (half * (1.0 - share))
        return np.asarray(self.local * 0.5 * end * total * np.exp(self.frame.z_sun / self.scale_height))
