"""The sky: stream frames and positional matches, against astropy and gala."""

from __future__ import annotations

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord, match_coordinates_sky
from astropy.table import QTable
from gala.coordinates import GD1Koposov10
from side_by_side import Comparison, cpu_seconds, table

from starloom import progress
from starloom.catalog.matching import match_sky
from starloom.dynamics.stream_frames import StreamFrame
from starloom.seeds import generator

STARS = 100_000
RADIUS = 2.0  # arcsec


def section() -> tuple[str, bool]:
    """The section of the page, and whether all results agree."""
    comparisons = [_frame(), _match()]
    return f"## sky\n\n{table(comparisons)}", all(c.agrees for c in comparisons)


def _sky(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = generator(seed)
    return rng.uniform(0.0, 360.0, STARS), np.degrees(np.arcsin(rng.uniform(-1.0, 1.0, STARS)))


def _frame() -> Comparison:
    progress.say("sky: stream frame")
    rng, frame = generator(1), StreamFrame.named("GD1Koposov10")
    ra, dec = frame.to_icrs(rng.uniform(-180.0, 180.0, STARS), rng.uniform(-30.0, 30.0, STARS))
    pm = rng.normal(0.0, 10.0, (STARS, 2))

    def ours() -> np.ndarray:
        phi1, phi2 = frame.to_frame(ra, dec)
        turned = np.einsum("nij,nj->ni", frame.turn(ra, dec), pm)
        return np.stack([phi1, phi2, *turned.T])

    def peer() -> np.ndarray:
        motion = pm * u.mas / u.yr
        stars = SkyCoord(ra * u.deg, dec * u.deg, pm_ra_cosdec=motion[:, 0], pm_dec=motion[:, 1], frame="icrs")
        found = stars.transform_to(GD1Koposov10())
        return np.stack(
            [
                found.phi1.wrap_at(180 * u.deg).deg,
                found.phi2.deg,
                found.pm_phi1_cosphi2.to_value("mas/yr"),
                found.pm_phi2.to_value("mas/yr"),
            ]
        )

    return Comparison(
        name=f"positions and proper motions of {STARS} stars into the frame of GD-1",
        peer="astropy, gala",
        seconds=cpu_seconds(ours),
        peer_seconds=cpu_seconds(peer),
        difference=float(np.abs(ours() - peer()).max()),
        tolerance=1e-8,
        unit="deg or mas/yr",
        work=STARS,
        work_unit="stars",
        note="SkyCoord.transform_to(GD1Koposov10()), the making of the SkyCoord included; stars within 30 deg of the "
        "stream's equator. The matrix in gala is orthogonal to 6e-11 only, which is the difference.",
    )


def _match() -> Comparison:
    progress.say("sky: match")
    ra, dec = _sky(3)
    rng = generator(4)
    order = rng.permutation(STARS)
    moved = rng.normal(0.0, 0.5 / 3600.0, (2, STARS))
    other_ra, other_dec = ra[order] + moved[0] / np.cos(np.radians(dec[order])), dec[order] + moved[1]
    keep = np.abs(other_dec) < 90.0
    left = QTable({"ra": ra * u.deg, "dec": dec * u.deg})
    right = QTable({"ra": (other_ra[keep] % 360.0) * u.deg, "dec": other_dec[keep] * u.deg})

    def ours() -> np.ndarray:
        match = match_sky(left, right, RADIUS)
        return np.stack([match.left, match.right, match.separation])

    def peer() -> np.ndarray:
        first, second = (SkyCoord(side["ra"], side["dec"]) for side in (left, right))
        nearest, separation, _ = match_coordinates_sky(first, second, storekdtree=False)
        close = np.flatnonzero(separation.arcsec <= RADIUS)
        return np.stack([close, nearest[close], separation[close].arcsec])

    a, b = ours(), peer()
    same = a.shape == b.shape and np.array_equal(a[:2], b[:2])
    return Comparison(
        name=f"nearest of {keep.sum()} stars for each of {STARS} within {RADIUS:g} arcsec",
        peer="astropy match_to_catalog_sky",
        seconds=cpu_seconds(ours),
        peer_seconds=cpu_seconds(peer),
        difference=float(np.abs(a[2] - b[2]).max()) if same else np.nan,
        tolerance=1e-6,
        unit="arcsec",
        work=STARS,
        work_unit="stars",
        note=f"the same {a.shape[1]} pairs; both build their tree anew each time.",
    )
