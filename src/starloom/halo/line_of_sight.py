"""The sense in which stars rotate, from line-of-sight velocities alone: for tables without proper motions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.dynamics.frames import GalacticFrame, sky_axes
from starloom.errors import CatalogError
from starloom.seeds import generator

Floats = NDArray[np.float64]
LEAST = 20


@dataclass(frozen=True)
class Rotation:
    """Mean rotation that line-of-sight velocities show.

    Parameters
    ----------
    value, low, high : km/s, positive with the disk; bootstrap interval of 68 %.
    dispersion : of the velocities about it, km/s.
    stars : how many.
    """

    value: float
    low: float
    high: float
    dispersion: float
    stars: int


def rest_velocities(
    ra: ArrayLike, dec: ArrayLike, radial_velocity: ArrayLike, frame: GalacticFrame
) -> tuple[Floats, Floats]:
    """Line-of-sight velocities in the Galaxy's rest frame (km/s), and sin l cos b, both (n,).

    sin l cos b is the share of the rotation at the Sun's place that lies along the line of sight.
    """
    lon, lat, speed = (np.asarray(part, dtype=float) for part in (ra, dec, radial_velocity))
    outwards = sky_axes(lon, lat)[0] @ frame.rotation.T
    return np.asarray(speed + outwards @ frame.sun.v), np.asarray(outwards[:, 1])


def rotation_from_velocities(
    ra: ArrayLike,
    dec: ArrayLike,
    radial_velocity: ArrayLike,
    frame: GalacticFrame,
    *,
    bootstraps: int = 400,
    seed: int | np.random.Generator = 0,
) -> Rotation:
    """The rotation V in v_rest = V sin l cos b, by least squares with clipping at four dispersions.

    It is exact near the Sun (the method of 1980MNRAS.193..295F with all stars at the Sun's place). Far stars see
    less of their rotation along the line of sight, so V is too small in size by about R0 / R, with the right sign.

    Parameters
    ----------
    ra, dec : deg, (n,).
    radial_velocity : heliocentric, km/s; rows with a NaN are left out.
    frame : the Sun's place and motion.
    bootstraps : resamples of the stars.
    seed : of the bootstrap.

    Raises
    ------
    CatalogError
        When fewer than 20 stars are usable.
    """
    v, share = rest_velocities(ra, dec, radial_velocity, frame)
    good = np.isfinite(v) & np.isfinite(share)
    v, share = v[good], share[good]
    for _ in range(5):
        if len(v) < LEAST:
            raise CatalogError(f"a rotation needs at least {LEAST} stars with velocities; {len(v)} are usable")
        off = v - share * (share @ v) / (share @ share)
        kept = np.abs(off) < 4.0 * off.std()
        if kept.all():
            break
        v, share = v[kept], share[kept]
    rows = generator(seed).integers(len(v), size=(bootstraps, len(v)))
    again = (share[rows] * v[rows]).sum(axis=1) / (share[rows] ** 2).sum(axis=1)
    value = float(share @ v / (share @ share))
    low, high = np.quantile(again, (0.16, 0.84))
    return Rotation(value, float(low), float(high), float((v - value * share).std()), len(v))
