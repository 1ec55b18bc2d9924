"""A made stream with truth: a GD-1-like field in the columns of the real table, for tests and where no data can be had.

Nothing here is observed: tracks, widths, gap, luminosity function and background are simple made-up functions that
resemble the real field, and every star says which component it was drawn from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from starloom.dynamics.stream_frames import StreamFrame
from starloom.seeds import generator
from starloom.stats.windows import ConvexPolygon

if TYPE_CHECKING:
    from astropy.table import QTable

Array = NDArray[np.float64]
REFLEX_DISTANCE = 8.0
ISOCHRONE_DISTANCE = 7.8
COMPONENTS = ("background", "stream", "spur")


@dataclass(frozen=True)
class MockField:
    """What the mock is made of.

    Parameters
    ----------
    polygon : selection in (pmra, pmdec), mas/yr.
    stream, spur, background : stars drawn before the proper-motion selection; the selected ones are fewer.
    gap : center and half-width (deg) of a stretch with one tenth of the stars.
    with_photometry : share of the stars that have magnitudes, at random.
    """

    polygon: tuple[tuple[float, float], ...]
    stream: int = 900
    spur: int = 110
    background: int = 36000
    gap: tuple[float, float] = (-40.0, 1.5)
    with_photometry: float = 0.55
    phi1: tuple[float, float] = (-70.0, -20.0)
    phi2: tuple[float, float] = (-5.0, 5.0)


def track(phi1: Array, component: str = "stream") -> dict[str, Array]:
    """True means and widths of a component at phi1 (deg): deg, mas/yr (reflex corrected), mag."""
    x = np.asarray(phi1, dtype=float)
    mean = {
        "phi2": 0.25 - 0.0016 * (x + 38.0) ** 2,
        "pm_phi1_cosphi2": -7.72 + 0.00105 * (x + 51.0) ** 2,
        "pm_phi2": -0.80 + 0.0009 * (x + 64.0) ** 2 / (1.0 + 0.008 * np.abs(x + 64.0)),
        "distance_modulus": 14.40 + 0.0003 * (x + 44.0) ** 2,
        "width_phi2": np.full(x.shape, 0.22),
        "width_pm": np.full(x.shape, 0.45),
    }
    if component == "spur":
        mean["phi2"] = mean["phi2"] + 1.1
        mean["width_phi2"] = np.full(x.shape, 0.15)
    return mean


def isochrone() -> QTable:
    """A made-up old population in (mag_g, color_g_i) at 7.8 kpc: main sequence, turn-off, giant branch."""
    from astropy.table import QTable

    absolute = np.array([9.4, 8.4, 7.4, 6.6, 5.9, 5.2, 4.6, 4.1, 3.7, 3.3, 3.0, 2.4, 1.4, 0.4, -0.6, -1.4])
    color = np.array([1.90, 1.55, 1.22, 0.95, 0.74, 0.56, 0.43, 0.36, 0.36, 0.43, 0.58, 0.66, 0.72, 0.81, 0.95, 1.15])
    magnitude = np.linspace(9.4, -1.4, 200)
    shape = np.interp(-magnitude, -absolute, color)
    return QTable({"mag_g": magnitude + 5.0 * np.log10(ISOCHRONE_DISTANCE * 100.0), "color_g_i": shape})


def _component(field: MockField, component: str, count: int, rng: np.random.Generator) -> dict[str, Array]:
    low, high = (-45.0, -15.0) if component == "spur" else field.phi1
    phi1 = rng.uniform(max(low, field.phi1[0]), min(high, field.phi1[1]), count)
    if component == "stream":
        center, half = field.gap
        phi1 = phi1[(np.abs(phi1 - center) > half) | (rng.random(count) < 0.1)]
    mean = track(phi1, component)
    ridge = isochrone()
    # a luminosity function that rises with magnitude and is cut where the survey ends
    share = 10.0 ** (0.18 * np.asarray(ridge["mag_g"])) * (np.asarray(ridge["mag_g"]) < 21.3)
    place = rng.choice(len(ridge), len(phi1), p=share / share.sum())
    shift = mean["distance_modulus"] - 5.0 * np.log10(ISOCHRONE_DISTANCE * 100.0)
    g = np.asarray(ridge["mag_g"])[place] + shift
    i = g - np.asarray(ridge["color_g_i"])[place]
    return {
        "phi1": phi1,
        "phi2": rng.normal(mean["phi2"], mean["width_phi2"]),
        "pm1": rng.normal(mean["pm_phi1_cosphi2"], mean["width_pm"]),
        "pm2": rng.normal(mean["pm_phi2"], mean["width_pm"]),
        "g": g,
        "i": i,
    }


def _background(field: MockField, rng: np.random.Generator) -> dict[str, Array]:
    count = field.background
    phi1 = rng.uniform(*field.phi1, count)
    fraction = rng.random(count)
    slope = 0.06 * (field.phi2[1] - field.phi2[0])
    phi2 = field.phi2[0] + (field.phi2[1] - field.phi2[0]) * np.log1p(fraction * np.expm1(slope)) / slope
    old = rng.random(count) < 0.6
    g = 13.0 + 8.3 * np.sqrt(rng.random(count))
    color = np.where(old, rng.normal(0.55, 0.2, count), rng.normal(1.7, 0.45, count))
    return {
        "phi1": phi1,
        "phi2": phi2,
        "pm1": rng.normal(-6.5, 2.6, count),
        "pm2": rng.normal(-1.0, 2.4, count),
        "g": g,
        "i": g - color,
    }


def make(field: MockField, seed: int) -> QTable:
    """Draw the field.

    Parameters
    ----------
    field : what it is made of.
    seed : the same seed gives the same stars.

    Returns
    -------
    QTable
        source_id, ra, dec (deg), pmra, pmdec (mas/yr), g_mean_psf_mag, i_mean_psf_mag (mag, NaN where missing) and the
        truth: component.
    """
    import astropy.units as u
    from astropy.table import QTable

    rng = generator(seed)
    frame = StreamFrame.named("GD1Koposov10")
    parts = [
        _background(field, rng),
        _component(field, "stream", field.stream, rng),
        _component(field, "spur", field.spur, rng),
    ]
    truth = np.repeat(COMPONENTS, [len(part["phi1"]) for part in parts])
    star = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    ra, dec = frame.to_icrs(star["phi1"], star["phi2"])
    reflex = frame.reflex(star["phi1"], star["phi2"], np.full(len(ra), REFLEX_DISTANCE))
    pm_stream = np.stack([star["pm1"], star["pm2"]], axis=1) + reflex
    pm = np.einsum("nji,nj->ni", frame.turn(ra, dec), pm_stream)
    error = np.hypot(0.015, 0.05 * 10 ** (0.3 * (star["g"] - 20.5)))
    g, i = rng.normal(star["g"], error), rng.normal(star["i"], error)
    seen = rng.random(len(ra)) < field.with_photometry
    color = np.where(seen, g - i, 0.5)
    kept = ConvexPolygon(field.polygon).contains(pm[:, 0], pm[:, 1])
    kept &= (np.abs(star["phi2"]) < field.phi2[1]) & (color > -0.5) & (color < 2.7) & (g > 12.2) & (g < 22.8)
    rows = rng.permutation(np.flatnonzero(kept))
    return QTable(
        {
            "source_id": np.arange(1, len(rows) + 1, dtype=np.int64),
            "ra": ra[rows] * u.deg,
            "dec": dec[rows] * u.deg,
            "pmra": pm[rows, 0] * u.mas / u.yr,
            "pmdec": pm[rows, 1] * u.mas / u.yr,
            "g_mean_psf_mag": np.where(seen, g, np.nan)[rows] * u.mag,
            "i_mean_psf_mag": np.where(seen, i, np.nan)[rows] * u.mag,
            "component": truth[rows],
        }
    )


def reference_track(field: MockField) -> QTable:
    """The true track in the columns of the galstreams table (stream "GD-1", reference "truth")."""
    import astropy.units as u
    from astropy.table import QTable

    frame = StreamFrame.named("GD1Koposov10")
    phi1 = np.linspace(field.phi1[0] - 10.0, field.phi1[1] + 10.0, 150)
    mean = track(phi1)
    ra, dec = frame.to_icrs(phi1, mean["phi2"])
    reflex = frame.reflex(phi1, mean["phi2"], np.full(len(phi1), REFLEX_DISTANCE))
    pm = np.stack([mean["pm_phi1_cosphi2"], mean["pm_phi2"]], axis=1) + reflex
    pm = np.einsum("nji,nj->ni", frame.turn(ra, dec), pm)
    return QTable(
        {
            "stream": np.full(len(phi1), "GD-1"),
            "reference": np.full(len(phi1), "truth"),
            "ra": ra * u.deg,
            "dec": dec * u.deg,
            "distance": 10.0 ** (0.2 * mean["distance_modulus"] - 2.0) * u.kpc,
            "pm_ra_cosdec": pm[:, 0] * u.mas / u.yr,
            "pm_dec": pm[:, 1] * u.mas / u.yr,
        }
    )
