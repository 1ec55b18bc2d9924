"""Made stars along a published track, with truth: any stream of galstreams as Gaia and a photometric survey may see it.

Stream stars are normal around the track in phi2, proper motion and distance modulus and follow an isochrone; the
background is smooth in all of them. Errors grow with magnitude as Gaia DR3's do. Nothing here is observed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import ConfigError
from starloom.seeds import generator
from starloom.simulation.gaia_errors import ROUNDED_PM_OF_PARALLAX, rounded_parallax_error
from starloom.streams.populations import Population
from starloom.streams.tracks import ReferenceTrack

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.dynamics.stream_frames import StreamFrame

Array = NDArray[np.float64]


def magnitude_error(magnitude: ArrayLike) -> Array:
    """Typical error (mag) of a Pan-STARRS1 mean magnitude."""
    return np.asarray(np.hypot(0.012, 0.05 * 10 ** (0.3 * (np.asarray(magnitude, dtype=float) - 20.5))))


@dataclass(frozen=True)
class TrackMock:
    """What is drawn.

    Parameters
    ----------
    phi1, phi2 : window on the sky, deg.
    stream, background : stars inside the windows of sky and magnitude.
    width : one-sigma width of the stream in phi2, deg.
    pm_width : its one-sigma spread in proper motion, mas/yr.
    modulus_scatter : of its distance moduli, mag.
    magnitude : window of the first band.
    pm_center, pm_spread : of the background, mas/yr in the stream's frame; None: 3 mas/yr from the track, 4 wide.
    gap : center and half width (deg) of a stretch without stream stars.
    missing_photometry, missing_motion : share of the stars that lack them, at random.
    """

    phi1: tuple[float, float]
    phi2: tuple[float, float]
    stream: int = 400
    background: int = 8000
    width: float = 0.2
    pm_width: float = 0.1
    modulus_scatter: float = 0.03
    magnitude: tuple[float, float] = (15.0, 21.0)
    pm_center: tuple[float, float] | None = None
    pm_spread: float = 4.0
    gap: tuple[float, float] | None = None
    missing_photometry: float = 0.0
    missing_motion: float = 0.0

    def __post_init__(self) -> None:
        for name in ("phi1", "phi2", "magnitude"):
            low, high = getattr(self, name)
            if not low < high:
                raise ConfigError(f"{name} must be (low, high) with low < high, got {(low, high)}")
        if self.stream < 0 or self.background < 0 or self.stream + self.background == 0:
            raise ConfigError("the mock needs some stars: stream and background must not be negative, nor both zero")
        if not min(self.width, self.pm_spread) > 0 or min(self.pm_width, self.modulus_scatter) < 0:
            raise ConfigError("the widths of a mock stream must be positive")
        if not (0 <= self.missing_photometry < 1 and 0 <= self.missing_motion < 1):
            raise ConfigError("the shares of missing values lie between 0 and 1")


def make(mock: TrackMock, track: ReferenceTrack, frame: StreamFrame, population: Population, seed: int) -> QTable:
    """Draw the stars.

    Parameters
    ----------
    mock : how many, how wide.
    track : in the frame, with proper motions that are not corrected for the solar reflex.
    frame : the stream's frame.
    population : absolute magnitudes of the stream's stars.
    seed : the same seed gives the same stars.

    Returns
    -------
    QTable
        source_id, ra, dec, pmra, pmdec, parallax and their errors, the population's bands with errors, and the truth:
        ``component`` ("stream" or "background") and ``true_distance`` (kpc).
    """
    import astropy.units as u
    from astropy.table import QTable

    rng = generator(seed)
    stars = _stream(mock, track, population, rng), _background(mock, track, population, rng)
    star = {name: np.concatenate([part[name] for part in stars]) for name in stars[0]}
    component = np.repeat(["stream", "background"], [len(part["phi1"]) for part in stars])
    bright = star["magnitudes"][:, 0]
    plx_error = rounded_parallax_error(bright)
    pm_error = ROUNDED_PM_OF_PARALLAX * plx_error * rng.uniform(0.85, 1.2, (2, len(bright)))
    rho = rng.uniform(-0.4, 0.4, len(bright))
    ra, dec = frame.to_icrs(star["phi1"], star["phi2"])
    pm = np.einsum("nji,nj->ni", frame.turn(ra, dec), star["pm"])
    noise = rng.standard_normal((2, len(bright)))
    noise[1] = rho * noise[0] + np.sqrt(1.0 - rho**2) * noise[1]  # the errors of one star are correlated
    pm = pm + (pm_error * noise).T
    parallax = rng.normal(1.0 / star["distance"], plx_error)
    errors = magnitude_error(star["magnitudes"])
    magnitudes = rng.normal(star["magnitudes"], errors)
    dark, still = rng.random((2, len(bright))) < np.array([[mock.missing_photometry], [mock.missing_motion]])
    magnitudes[dark], errors[dark] = np.nan, np.nan
    pm[still], pm_error[:, still] = np.nan, np.nan
    rows = rng.permutation(len(bright))
    table = QTable(
        {
            "source_id": np.arange(1, len(rows) + 1, dtype=np.int64),
            "ra": ra[rows] * u.deg,
            "dec": dec[rows] * u.deg,
            "pmra": pm[rows, 0] * u.mas / u.yr,
            "pmra_error": pm_error[0, rows] * u.mas / u.yr,
            "pmdec": pm[rows, 1] * u.mas / u.yr,
            "pmdec_error": pm_error[1, rows] * u.mas / u.yr,
            "pmra_pmdec_corr": rho[rows],
            "parallax": parallax[rows] * u.mas,
            "parallax_error": plx_error[rows] * u.mas,
        }
    )
    for place, band in enumerate(population.bands):
        table[band] = magnitudes[rows, place] * u.mag
        table[f"{band}_error"] = errors[rows, place] * u.mag
    table["component"] = component[rows]
    table["true_distance"] = star["distance"][rows] * u.kpc
    return table


def _stream(
    mock: TrackMock, track: ReferenceTrack, population: Population, rng: np.random.Generator
) -> dict[str, Array]:
    """Stars of the stream inside the windows; drawn until there are enough."""
    low, high = max(mock.phi1[0], float(track.phi1[0])), min(mock.phi1[1], float(track.phi1[-1]))
    if not low < high:
        raise ConfigError(f"the track {track.name} does not reach the window {mock.phi1} in phi1")
    distances = track.at(np.linspace(low, high, 50), "distance")
    if not (distances > 0).all():
        raise ConfigError(f"the track {track.name} has no distances")
    seen = population.visible(mock.magnitude[1] - 5.0 * np.log10(100.0 * float(distances.min())))
    parts: list[dict[str, Array]] = []
    count = 0
    while count < mock.stream:
        many = 2 * mock.stream + 100
        phi1 = rng.uniform(low, high, many)
        phi2 = rng.normal(track.at(phi1, "phi2"), mock.width)
        mean = np.stack([track.at(phi1, "pm_phi1_cosphi2"), track.at(phi1, "pm_phi2")], axis=1)
        shift = rng.normal(5.0 * np.log10(100.0 * track.at(phi1, "distance")), mock.modulus_scatter)
        magnitudes = seen.draw(many, rng) + shift[:, None]
        kept = (phi2 > mock.phi2[0]) & (phi2 < mock.phi2[1])
        kept &= (magnitudes[:, 0] > mock.magnitude[0]) & (magnitudes[:, 0] < mock.magnitude[1])
        if mock.gap is not None:
            kept &= np.abs(phi1 - mock.gap[0]) > mock.gap[1]
        if not kept.any():
            raise ConfigError("no star of the mock stream is inside the windows of phi2 and magnitude")
        part = {
            "phi1": phi1,
            "phi2": phi2,
            "pm": rng.normal(mean, mock.pm_width),
            "distance": 10.0 ** (0.2 * shift - 2.0),
            "magnitudes": magnitudes,
        }
        parts.append({name: values[kept] for name, values in part.items()})
        count += int(kept.sum())
    if not parts:
        bands = len(population.bands)
        shapes = {"phi1": (0,), "phi2": (0,), "pm": (0, 2), "distance": (0,), "magnitudes": (0, bands)}
        return {name: np.zeros(shape) for name, shape in shapes.items()}
    return {name: np.concatenate([part[name] for part in parts])[: mock.stream] for name in parts[0]}


def _background(
    mock: TrackMock, track: ReferenceTrack, population: Population, rng: np.random.Generator
) -> dict[str, Array]:
    """A smooth field: denser to one side of the stream, an old blue sequence and faint red dwarfs, a broad pm cloud."""
    count = mock.background
    low, high = mock.phi2
    phi1 = rng.uniform(*mock.phi1, count)
    slope = 0.05 * (high - low)
    phi2 = low + (high - low) * np.log1p(rng.random(count) * np.expm1(slope)) / slope
    inside = np.linspace(*mock.phi1, 50)
    center = mock.pm_center or tuple(
        float(np.nanmean(track.at(inside, name))) + 3.0 for name in ("pm_phi1_cosphi2", "pm_phi2")
    )
    near = rng.random(count) < 0.35  # the halo's stars move less than the disk's
    spread = np.where(near, 1.8, mock.pm_spread)
    pm = np.asarray(center) * np.where(near, 0.5, 1.0)[:, None] + spread[:, None] * rng.standard_normal((count, 2))
    distance = np.where(near, rng.uniform(6.0, 30.0, count), 0.3 + rng.gamma(2.0, 0.8, count))
    faint = mock.magnitude[0] + (mock.magnitude[1] - mock.magnitude[0]) * np.sqrt(rng.random(count))
    blue = rng.random(count) < 0.5
    first_color = np.where(blue, rng.normal(0.42, 0.16, count), rng.normal(1.25, 0.16, count))
    steps = [0.0, 1.0, 1.35, 1.55, 1.7][: len(population.bands)]
    steps += [1.7] * (len(population.bands) - len(steps))
    magnitudes = faint[:, None] - first_color[:, None] * np.asarray(steps)
    return {"phi1": phi1, "phi2": phi2, "pm": pm, "distance": distance, "magnitudes": magnitudes}
