"""Made metal-poor stars near the disk, seen as a spectroscopic halo survey sees them, with the truth beside."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from starloom.dynamics.frames import GalacticFrame
from starloom.errors import ConfigError
from starloom.seeds import generator

if TYPE_CHECKING:
    from astropy.table import QTable

Floats = NDArray[np.float64]
Kind = Literal["sides", "populations", "skewed", "isotropic"]
TURNING = (150.0, 60.0)  # mean and width of the turning crowd, km/s
ALL_TURN = float(ndtr(TURNING[0] / TURNING[1]))  # prograde share of the turning crowd


@dataclass(frozen=True)
class MadeHalo:
    """A made sample: high latitudes, heights about 1 to 3 kpc, and a prograde fraction that depends on chemistry.

    The true fraction is ``logit f = logit(fraction) + fe_h_slope ([Fe/H] + 2.5) + alpha_slope ([alpha/Fe] - 0.35)``.
    Rotations are of one of four kinds. ``sides``: half normals of 150 km/s (prograde) and 110 km/s on either side of
    zero. ``populations``: a still crowd of 120 km/s and one that turns at 150 with 60 km/s, in such shares that the
    fraction is the one above; where it is below 1/2 that crowd turns against the disk; it lies between 0.006 and 0.994,
    the shares of the turning crowd alone; the density is smooth through zero. ``skewed``: prograde speeds of a gamma
    distribution (mean 150 km/s, none at zero), retrograde ones exponential (90 km/s, most at zero). ``isotropic``:
    velocities that know no direction, a fraction of 1/2 whatever the other settings. Stars of uncertain sign exist in
    all, as they do in the sky. None of this is a model of the real halo: it is there to be recovered.

    Parameters
    ----------
    fraction : prograde fraction at [Fe/H] = -2.5, [alpha/Fe] = 0.35.
    fe_h_slope, alpha_slope : of the logit, per dex.
    fe_h : range of [Fe/H].
    metal_scale : scale of the exponential rise of star counts with [Fe/H] in dex; 0 for evenly spread.
    kind : of the rotations.
    frame : the Sun's place and motion.
    distance_error : share of the distance.
    proper_motion_error, velocity_error : mas/yr and km/s.
    """

    fraction: float = 0.72
    fe_h_slope: float = -1.33
    alpha_slope: float = 0.0
    fe_h: tuple[float, float] = (-3.0, -2.0)
    metal_scale: float = 0.0
    kind: Kind = "sides"
    frame: GalacticFrame = field(default_factory=GalacticFrame)
    distance_error: float = 0.08
    proper_motion_error: float = 0.05
    velocity_error: float = 0.5

    def __post_init__(self) -> None:
        if not (0.0 < self.fraction < 1.0 and self.fe_h[0] < self.fe_h[1] and self.metal_scale >= 0):
            raise ConfigError(
                "a made halo needs a fraction between 0 and 1, rising [Fe/H] and a metal_scale of 0 or more"
            )

    def true_fraction(self, fe_h: ArrayLike, alpha: ArrayLike = 0.35) -> Floats:
        """The prograde fraction that the stars were drawn with."""
        if self.kind == "isotropic":
            return np.full(np.broadcast_shapes(np.shape(fe_h), np.shape(alpha)), 0.5)
        start = np.log(self.fraction / (1.0 - self.fraction))
        logit = start + self.fe_h_slope * (np.asarray(fe_h) + 2.5) + self.alpha_slope * (np.asarray(alpha) - 0.35)
        fraction = np.asarray(1.0 / (1.0 + np.exp(-logit)))
        return np.clip(fraction, 1.0 - ALL_TURN, ALL_TURN) if self.kind == "populations" else fraction

    def sample(
        self,
        count: int,
        seed: int | np.random.Generator,
        *,
        distance: ArrayLike | None = None,
        fe_h: ArrayLike | None = None,
        alpha: ArrayLike | None = None,
    ) -> QTable:
        """Draw stars.

        Parameters
        ----------
        count : how many; some fall outside 1 to 3 kpc once their distances are measured.
        seed : of everything.
        distance, fe_h, alpha : true distances (kpc, beyond 1.1), [Fe/H] and [alpha/Fe] where they are
            given already, (count,).

        Returns
        -------
        QTable
            What a survey measures, with errors; the truth in ``true_distance``, ``true_fe_h``, ``true_prograde``,
            ``true_fraction``.
        """
        from astropy import units as u
        from astropy.table import QTable

        rng = generator(seed)
        if distance is None:
            far = np.clip(rng.gamma(4.0, 0.8, 4 * count + 100), 0.0, 6.4)
            far = far[(far > 1.1) & (far < 6.4)][:count]
        else:
            far = np.asarray(distance, dtype=float)
        if len(far) != count or not (far > 1.1).all():
            raise ConfigError(f"a made halo of {count} stars needs as many distances beyond 1.1 kpc")
        iron = self._iron(count, rng) if fe_h is None else np.asarray(fe_h, dtype=float)
        enhanced = np.clip(rng.normal(0.35, 0.1, count), 0.0, 0.6) if alpha is None else np.asarray(alpha, dtype=float)
        l, b = self._directions(far, rng)
        ra, dec = _icrs(l, b)
        still = np.zeros(count)
        x = self.frame.to_galactocentric(ra, dec, far, still, still, still).x
        fraction = self.true_fraction(iron, enhanced)
        v, prograde = self._velocities(x, fraction, rng)
        seen = self.frame.to_icrs(x, v)
        table = QTable({"source_id": np.arange(1, count + 1)})
        table["ra"], table["dec"] = seen.ra * u.deg, seen.dec * u.deg
        error = self.distance_error * far
        table["distance"] = np.maximum(far + error * rng.standard_normal(count), 0.1) * u.kpc
        table["distance_error"] = error * u.kpc
        noise = rng.multivariate_normal([0.0, 0.0], [[1.0, 0.2], [0.2, 1.0]], count) * self.proper_motion_error
        table["pmra"], table["pmdec"] = (
            (seen.pmra + noise[:, 0]) * u.mas / u.yr,
            (seen.pmdec + noise[:, 1]) * u.mas / u.yr,
        )
        for name in ("pmra_error", "pmdec_error"):
            table[name] = np.full(count, self.proper_motion_error) * u.mas / u.yr
        table["pmra_pmdec_corr"] = np.full(count, 0.2)
        table["radial_velocity"] = (
            (seen.radial_velocity + self.velocity_error * rng.standard_normal(count)) * u.km / u.s
        )
        table["radial_velocity_error"] = np.full(count, self.velocity_error) * u.km / u.s
        table["fe_h"], table["fe_h_error"] = iron + rng.normal(0.0, 0.05, count), np.full(count, 0.05)
        table["alpha_m"] = enhanced
        table["snr"] = rng.uniform(6.0, 40.0, count)
        table["true_distance"] = far * u.kpc
        table["true_fe_h"], table["true_prograde"], table["true_fraction"] = iron, prograde, fraction
        return table

    def _iron(self, count: int, rng: np.random.Generator) -> Floats:
        low, high = self.fe_h
        share = rng.random(count)
        if self.metal_scale == 0:
            return np.asarray(low + share * (high - low))
        floor = np.exp((low - high) / self.metal_scale)
        return np.asarray(high + self.metal_scale * np.log(floor + share * (1.0 - floor)))

    def _directions(self, far: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """l and b (deg) at |b| > 30 deg with the star between 0.9 and 3.2 kpc of height, evenly over that sky."""
        least = np.maximum(0.5, 0.9 / far)
        most = np.minimum(0.999, 3.2 / far)
        if not (least < most).all():
            raise ConfigError("a made halo reaches to 6.4 kpc from the Sun")
        sine = least + rng.random(len(far)) * (most - least)
        side = np.where(rng.random(len(far)) < 0.5, -1.0, 1.0)
        return rng.uniform(0.0, 360.0, len(far)), np.degrees(np.arcsin(side * sine))

    def _rotations(self, fraction: Floats, rng: np.random.Generator) -> tuple[Floats, NDArray[np.bool_]]:
        """km/s (n,), positive with the disk, and whether they are."""
        count = len(fraction)
        if self.kind == "populations":
            share = np.abs(fraction - 0.5) / (ALL_TURN - 0.5)
            side = np.where(fraction < 0.5, -1.0, 1.0)
            turn = np.where(
                rng.random(count) < share, side * rng.normal(*TURNING, count), rng.normal(0.0, 120.0, count)
            )
            return turn, turn > 0
        prograde = rng.random(count) < fraction
        if self.kind == "skewed":
            return np.where(prograde, rng.gamma(3.0, 50.0, count), -rng.exponential(90.0, count)), prograde
        turn = np.where(prograde, np.abs(rng.normal(0.0, 150.0, count)), -np.abs(rng.normal(0.0, 110.0, count)))
        return turn, prograde

    def _velocities(self, x: Floats, fraction: Floats, rng: np.random.Generator) -> tuple[Floats, NDArray[np.bool_]]:
        count = len(x)
        if self.kind == "isotropic":
            v = rng.normal(0.0, 130.0, (count, 3))
            return v, self.frame.prograde(x[:, 0] * v[:, 1] - x[:, 1] * v[:, 0])
        turn, prograde = self._rotations(fraction, rng)
        radius = np.hypot(x[:, 0], x[:, 1])
        outward = np.stack([x[:, 0], x[:, 1]], axis=1) / radius[:, None]
        # along the disk's rotation in this frame
        along = np.stack([-outward[:, 1], outward[:, 0]], axis=1)
        sign = np.where(self.frame.prograde(x[:, 0] * along[:, 1] - x[:, 1] * along[:, 0]), 1.0, -1.0)
        flat = outward * rng.normal(0.0, 140.0, count)[:, None] + along * (sign * turn)[:, None]
        return np.concatenate([flat, rng.normal(0.0, 85.0, (count, 1))], axis=1), prograde


def _icrs(l: Floats, b: Floats) -> tuple[Floats, Floats]:
    from astropy import units as u
    from astropy.coordinates import SkyCoord

    sky = SkyCoord(l=l * u.deg, b=b * u.deg, frame="galactic").icrs
    return np.asarray(sky.ra.deg), np.asarray(sky.dec.deg)
