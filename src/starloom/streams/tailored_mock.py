"""The "tailored" mock stream of arXiv:2311.16960 with its truth (mock 1 there): no proper motions, no errors, gaps.

The recipe and the order of its random draws follow the paper's published script, so that the same seed gives the same
stream (seed 35: 1,569 stars, gaps at -15.1..-11.4 and -3.2..3.9 deg). The isochrone is the caller's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from starloom.errors import ConfigError
from starloom.seeds import generator

if TYPE_CHECKING:
    from astropy.table import QTable

Array = NDArray[np.float64]
PAPER_SEED = 35
DRAWN, BACKGROUND = 2000, 13000
PHI1, BACKGROUND_PHI1, BACKGROUND_PHI2 = (-20.0, 30.0), (-45.0, 50.0), (-2.0, 10.0)
WIDTH = 20.0 / 130.0  # deg
DISTANCE, DISTANCE_SCATTER, BACKGROUND_DISTANCE = (7.0, 15.0), 0.25, (5.0, 17.0)  # kpc
PHOTOMETRIC_SCATTER = 0.2  # mag, each band
COLOR_MEAN, COLOR_ROOT = np.array([20.0, 13.0]), np.array([[1.0, 4.0], [4.0, 1.0]])


@dataclass(frozen=True)
class TailoredMock:
    """The stars and what is true of them.

    Attributes
    ----------
    table : phi1, phi2 (deg), parallax (mas), g_mag, r_mag, the truth ``component`` and ``true_distance`` (kpc).
    gaps : ends (deg) of the stretches without stream stars, shape (gaps, 2).
    track : phi1 (deg) and the mean distance (kpc) there, shape (2, n). The recipe makes the distance linear in the rank
        of phi1, so that it wavers around a line in phi1 by about a per cent.
    """

    table: QTable
    gaps: Array
    track: Array

    @property
    def members(self) -> int:
        """Number of stream stars."""
        return int((np.asarray(self.table["component"]) == "stream").sum())


def make(mass: Array, magnitudes: Array, seed: int = PAPER_SEED) -> TailoredMock:
    """Draw the mock.

    Parameters
    ----------
    mass, magnitudes : initial mass (Msun), shape (n,), and absolute (g, r), shape (n, 2), along an isochrone from its
        faint end to where the mass stops growing. The mass function is dN/dm ~ m^-1/2.
    seed : of all draws.
    """
    import astropy.units as u
    from astropy.table import QTable

    if len(mass) != len(magnitudes) or (np.diff(mass) <= 0).any():
        raise ConfigError("the mock needs an isochrone whose mass grows from point to point, with two bands")
    rng = generator(seed)
    phi1 = rng.uniform(*PHI1, DRAWN)
    phi2 = (phi1**2 + rng.normal(0, 20, size=DRAWN)) / 130
    rank = np.argsort(np.argsort(phi1))
    distance = np.linspace(*DISTANCE, DRAWN)[rank] + rng.normal(0, DISTANCE_SCATTER, DRAWN)
    low, high = np.sqrt(mass[0]), np.sqrt(mass[-1])
    star_mass = (low + rng.uniform(size=DRAWN) * (high - low)) ** 2
    absolute = np.stack([np.interp(star_mass, mass, band) for band in magnitudes.T], axis=1)
    observed = absolute + PHOTOMETRIC_SCATTER * rng.standard_normal((DRAWN, 2))
    observed += 5.0 * np.log10(distance * 100.0)[:, None]
    count = rng.integers(1, 4)
    centers, widths, depths = rng.uniform(*PHI1, count), rng.uniform(2, 5, count), rng.uniform(0.5, 1, count)
    half = widths * np.sqrt(-2.0 * np.log(depths))
    kept = (np.abs(phi1[:, None] - centers) > half).all(axis=1)

    field_phi1, field_phi2 = rng.uniform(*BACKGROUND_PHI1, BACKGROUND), rng.uniform(*BACKGROUND_PHI2, BACKGROUND)
    field_distance = rng.uniform(*BACKGROUND_DISTANCE, BACKGROUND)
    field = rng.multivariate_normal(COLOR_MEAN, COLOR_ROOT @ COLOR_ROOT.T, size=BACKGROUND)

    distances = np.concatenate([distance[kept], field_distance])
    bands = np.concatenate([observed[kept], field])
    table = QTable(
        {
            "source_id": np.arange(1, len(distances) + 1, dtype=np.int64),
            "phi1": np.concatenate([phi1[kept], field_phi1]) * u.deg,
            "phi2": np.concatenate([phi2[kept], field_phi2]) * u.deg,
            "parallax": u.Quantity(1.0 / distances, u.mas),
            "g_mag": bands[:, 0] * u.mag,
            "r_mag": bands[:, 1] * u.mag,
            "component": np.repeat(["stream", "background"], [int(kept.sum()), BACKGROUND]),
            "true_distance": distances * u.kpc,
        }
    )
    track = np.stack([np.sort(phi1), np.linspace(*DISTANCE, DRAWN)])
    return TailoredMock(table, _merged(np.stack([centers - half, centers + half], axis=1)), track)


def _merged(gaps: Array) -> Array:
    """Ends of the gaps inside the stream, overlapping ones joined."""
    inside = np.clip(gaps[np.argsort(gaps[:, 0])], *PHI1)
    found: list[list[float]] = []
    for low, high in inside[inside[:, 1] > inside[:, 0]]:
        if found and low <= found[-1][1]:
            found[-1][1] = max(found[-1][1], high)
        else:
            found.append([float(low), float(high)])
    return np.asarray(found, dtype=np.float64).reshape(-1, 2)


def true_log_densities(table: QTable) -> tuple[Array, Array]:
    """Log densities of the stream and the background in (phi2, parallax) given phi1, without photometry, each (n,).

    With the true shares these give the best memberships that anyone could reach (the oracle).
    """
    phi1, phi2, parallax = (np.asarray(table[name].value) for name in ("phi1", "phi2", "parallax"))
    distance = 1.0 / parallax
    mean = DISTANCE[0] + (DISTANCE[1] - DISTANCE[0]) * (phi1 - PHI1[0]) / (PHI1[1] - PHI1[0])
    jacobian = 2.0 * np.log(distance)  # |d distance / d parallax| = distance^2
    offset = (phi2 - phi1**2 / 130) / WIDTH
    depth = (distance - mean) / DISTANCE_SCATTER
    stream = -0.5 * (offset**2 + depth**2) - np.log(2 * np.pi * WIDTH * DISTANCE_SCATTER) + jacobian
    stream[(phi1 < PHI1[0]) | (phi1 > PHI1[1])] = -np.inf
    area = (BACKGROUND_PHI2[1] - BACKGROUND_PHI2[0]) * (BACKGROUND_DISTANCE[1] - BACKGROUND_DISTANCE[0])
    return stream, jacobian - np.log(area)
