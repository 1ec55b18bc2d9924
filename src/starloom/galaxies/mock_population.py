"""A population of made galaxies: what each one looks like, as numbers that a renderer and a vote model can read.

About half are ellipticals and lenticulars, half disks with whatever disks have; a few are mergers, and a few are no
galaxies at all. The distributions are round numbers chosen so that a page of the pictures, and the share of votes for
"featured", resemble Galaxy Zoo's; they are not measurements.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from starloom.errors import ConfigError
from starloom.galaxies.mock_images import PARAMETERS
from starloom.seeds import generator

if TYPE_CHECKING:
    from astropy.table import QTable

Array = NDArray[np.float64]
EDGE_ON = 0.3  # axis ratio below which a disk is seen from its edge


@dataclass(frozen=True)
class Population:
    """Shares and distributions.

    Parameters
    ----------
    disks : share of galaxies with a disk.
    spirals : share of the disks with arms.
    bars, rings, clumpy : shares of the disks that have one.
    mergers, tidal : shares of galaxies with a bright companion, and with faint tails, streams, shells or plumes.
    lenses : share of galaxies that are strong lenses.
    artifacts : share of pictures that show a star or a trail.
    brightness : mean and scatter of the logarithm of the flux over the sky's noise in a pixel of a 64-pixel picture.
    blur : lowest and highest full width of the point spread function, in half widths of the picture.
    distance : 0 for the nearby sky; 1 for smaller, fainter, bluer and more irregular galaxies.
    """

    disks: float = 0.6
    spirals: float = 0.55
    bars: float = 0.35
    rings: float = 0.12
    clumpy: float = 0.3
    mergers: float = 0.06
    tidal: float = 0.12
    lenses: float = 0.0
    artifacts: float = 0.02
    brightness: tuple[float, float] = (4.15, 0.28)
    blur: tuple[float, float] = (0.035, 0.1)
    distance: float = 0.0

    def __post_init__(self) -> None:
        for name in ("disks", "spirals", "bars", "rings", "clumpy", "mergers", "tidal", "lenses", "artifacts"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"{name} is a share and lies between 0 and 1, got {getattr(self, name)}")


def draw(count: int, *, seed: int | np.random.Generator, population: Population | None = None) -> QTable:
    """Draw galaxies.

    Parameters
    ----------
    count : number of rows.
    seed : every number of the table follows from it.
    population : what is drawn; nearby galaxies by default.

    Returns
    -------
    QTable
        ``galaxy_id``, ``image_key`` (of the noise and the neighbors of its picture) and the columns ``PARAMETERS``.

    Raises
    ------
    ConfigError
        When the count is negative.
    """
    from astropy.table import QTable

    if count < 0:
        raise ConfigError(f"the number of galaxies cannot be negative, got {count}")
    rng, chosen = generator(seed), population or Population()
    columns = dict.fromkeys(PARAMETERS, np.zeros(0))
    columns |= _light(rng, count, chosen)
    columns |= _disk(rng, count, chosen, columns)
    columns |= _surroundings(rng, count, chosen, columns)
    table = QTable()
    table["galaxy_id"] = np.arange(count, dtype=np.int64)
    table["image_key"] = rng.integers(2**62, size=count)
    for name in PARAMETERS:
        table[name] = np.asarray(columns[name], dtype=np.float64)
    return table


def _light(rng: np.random.Generator, n: int, chosen: Population) -> dict[str, Array]:
    mean, scatter = chosen.brightness
    flux = 10.0 ** np.clip(rng.normal(mean - 0.45 * chosen.distance, scatter, n), mean - 1.2, mean + 1.0)
    return {
        "flux": flux,
        "psf_fwhm": rng.uniform(*chosen.blur, n) * (1.0 + 0.6 * chosen.distance),
        "noise_smoothing": rng.uniform(0.0, 0.8, n),
        "position_angle": rng.uniform(0.0, 2.0 * np.pi, n),
        "old_color": 10.0 ** rng.normal(0.08 * chosen.distance, 0.04, n),
        "young_color": 10.0 ** rng.normal(0.05 * chosen.distance, 0.04, n),
    }


def _disk(rng: np.random.Generator, n: int, chosen: Population, light: dict[str, Array]) -> dict[str, Array]:
    disk = rng.random(n) < chosen.disks
    # an ellipse's minor axis: a thin disk seen at a random angle, or a spheroid
    cosine = rng.uniform(0.0, 1.0, n)
    ratio = np.sqrt(cosine**2 + (1 - cosine**2) * rng.uniform(0.08, 0.2, n) ** 2)
    round_ratio = np.clip(1.0 - np.abs(rng.normal(0.0, 0.28, n)), 0.3, 1.0)
    scale = np.clip(10.0 ** rng.normal(-0.77, 0.1, n), 0.08, 0.26)
    bulge = np.where(disk, np.clip(rng.beta(1.2, 3.5, n), 0.0, 0.9), 1.0)
    spiral = disk & (rng.random(n) < chosen.spirals)
    arms = np.where(spiral, 0.25 + 0.75 * rng.beta(1.6, 1.6, n), 0.0)
    count = rng.choice([1.0, 2.0, 3.0, 4.0, 6.0], size=n, p=[0.07, 0.56, 0.16, 0.12, 0.09])
    barred = disk & (rng.random(n) < chosen.bars)
    ringed = disk & (rng.random(n) < chosen.rings)
    clumpy = disk & (rng.random(n) < chosen.clumpy + 0.4 * chosen.distance)
    bar_length = scale * rng.uniform(0.8, 1.8, n)
    edge_on = disk & (ratio < EDGE_ON)
    return {
        "disk_scale": scale,
        "axis_ratio": np.where(disk, ratio, round_ratio),
        "bulge_fraction": bulge,
        "bulge_radius": np.where(disk, scale * rng.uniform(0.25, 0.7, n), scale * rng.uniform(1.0, 1.9, n)),
        "bulge_sersic": np.where(disk, rng.uniform(1.0, 2.5, n), rng.uniform(1.8, 4.2, n)),
        "bulge_axis_ratio": np.where(disk, np.clip(np.maximum(ratio, rng.uniform(0.55, 0.9, n)), 0, 1), round_ratio),
        "boxiness": np.where(edge_on & (rng.random(n) < 0.25), rng.uniform(1.0, 3.0, n), 0.0),
        "arm_strength": arms,
        "arm_count": count,
        "arm_pitch": np.deg2rad(rng.uniform(8.0, 38.0, n)),
        "arm_phase": rng.uniform(0.0, 2.0 * np.pi, n),
        "flocculence": np.where(spiral, rng.beta(1.3, 3.0, n), 0.0),
        "handedness": rng.choice([-1.0, 1.0], size=n),
        "bar_strength": np.where(barred, rng.uniform(0.05, 0.32, n), 0.0),
        "bar_length": bar_length,
        "bar_angle": rng.uniform(0.0, np.pi, n),
        "ring_strength": np.where(ringed, rng.uniform(0.12, 0.4, n), 0.0),
        "ring_radius": np.maximum(scale * rng.uniform(1.5, 2.6, n), np.where(barred, bar_length, 0.0)),
        "clumps": np.where(clumpy, rng.uniform(0.05, 0.2, n) * (1.0 + chosen.distance), 0.0),
        "dust_lane": np.where(edge_on & (rng.random(n) < 0.4), rng.uniform(0.3, 0.8, n), 0.0),
        "lopsidedness": np.where(disk, np.clip(rng.normal(0.0, 0.12 + 0.2 * chosen.distance, n), -0.5, 0.5), 0.0),
    }


def _surroundings(rng: np.random.Generator, n: int, chosen: Population, made: dict[str, Array]) -> dict[str, Array]:
    merging = rng.random(n) < chosen.mergers
    tidal = rng.random(n) < chosen.tidal
    kind = rng.choice(4, size=n)  # tail, stream, shell, plume
    faint = 10.0 ** rng.uniform(0.15, 0.85, n)  # surface brightness over the sky's noise in a reference pixel
    strength = [np.where(tidal & (kind == k), faint, 0.0) for k in range(4)]
    strength[0] = np.where(merging & (rng.random(n) < 0.7), np.maximum(strength[0], 2.0 * faint), strength[0])
    away, around = rng.uniform(0.16, 0.42, n), rng.uniform(0.0, 2.0 * np.pi, n)
    artifact = rng.random(n) < chosen.artifacts
    star = artifact & (rng.random(n) < 0.6)
    angles = {
        f"{name}_angle": rng.uniform(0.0, 2.0 * np.pi, n)
        for name in ("tail", "stream", "shell", "plume", "lens", "companion")
    }
    return {
        **angles,
        "tail": strength[0],
        "tail_opening": rng.uniform(0.15, 0.5, n),
        "stream": strength[1],
        "stream_distance": rng.choice([-1.0, 1.0], size=n) * rng.uniform(0.2, 0.5, n),
        "shell": strength[2] * 1.5,
        "shell_radius": rng.uniform(0.3, 0.5, n),
        "plume": strength[3] * 0.6,
        "companion_flux": np.where(merging, rng.uniform(0.2, 0.9, n), 0.0),
        "companion_x": away * np.cos(around),
        "companion_y": away * np.sin(around),
        "companion_scale": made["disk_scale"] * rng.uniform(0.35, 0.9, n),
        "companion_axis_ratio": rng.uniform(0.35, 1.0, n),
        "lens_arc": np.where(rng.random(n) < chosen.lenses, 10.0 ** rng.uniform(0.6, 1.3, n), 0.0),
        "lens_radius": rng.uniform(0.22, 0.4, n),
        "neighbors": rng.poisson(1.4, n).astype(np.float64),
        "star_flux": np.where(star, 10.0 ** rng.uniform(4.6, 5.3, n), 0.0),
        "trail": np.where(artifact & ~star, 10.0 ** rng.uniform(1.5, 2.4, n), 0.0),
    }
