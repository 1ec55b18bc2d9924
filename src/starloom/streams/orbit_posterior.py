"""The posterior of a stream's orbit: which numbers are free, what is possible, and its value by compiled code."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from starloom.dynamics.frames import GalacticFrame
from starloom.dynamics.potentials import Potential
from starloom.streams.orbit_points import StreamPoints
from starloom.streams.orbit_result import Geometry

Array = NDArray[np.float64]

ORBIT = ("phi2", "distance", "pm_phi1_cosphi2", "pm_phi2", "radial_velocity")
SCATTER = ("sky", "distance", "proper_motion", "radial_velocity")
ZERO_POINTS = ("distance_factor", "pmra_zero", "pmdec_zero")
PARAMETERS = (*ORBIT, *(f"{name}_scatter" for name in SCATTER), "stray_share", *ZERO_POINTS)


@dataclass(frozen=True)
class OrbitPrior:
    """What is taken to be possible; flat in the orbit's five numbers.

    The scatter is what a thin stream has beyond the stated errors and the stated width: a dispersion of some km/s, and
    what that makes in the proper motion at 10 kpc.

    Parameters
    ----------
    velocity : largest |v_r| (km/s).
    distance : range (kpc).
    proper_motion : largest component (mas/yr).
    phi2 : largest distance of the orbit from the great circle in the middle of the points (deg).
    bound : only orbits that do not leave the Galaxy.
    scatter : width of the half-normal prior on the scatter in the sky (deg), distance (kpc), proper motion (mas/yr)
        and velocity (km/s), around the orbit.
    fixed_scatter : the scatter where it is not fitted.
    stray : how far rows that are no members scatter around the orbit: contaminants of a selection along the stream.
    stray_share : mean of the exponential prior on their share, fitted for streams with many rows; 0: there are none.
    distance_factor : sigma of the relative error that all distances share: 0.05 mag, the zero point of distances from
        photometry. 0: none.
    proper_motion_zero : sigma of the offset that all proper motions share (mas/yr). Gaia's are, on the scale of a
        stream, a few hundredths (2018A&A...616A...2L); for many stars the offset also takes up how a stream differs
        from an orbit, so that by default there is none.
    """

    velocity: float = 500.0
    distance: tuple[float, float] = (0.1, 200.0)
    proper_motion: float = 60.0
    phi2: float = 10.0
    bound: bool = True
    scatter: tuple[float, float, float, float] = (0.1, 0.5, 0.1, 5.0)
    fixed_scatter: tuple[float, float, float, float] = (0.01, 0.1, 0.0, 1.0)
    stray: tuple[float, float, float, float] = (2.0, 3.0, 3.0, 80.0)
    stray_share: float = 0.0
    distance_factor: float = 0.023
    proper_motion_zero: float = 0.0


class Posterior:
    """The log-posterior of a stream's orbit over the free parameters: the orbit's five, logs of scatters, and the rest.

    Parameters
    ----------
    milky_way, frame, prior, points : what the orbit is fitted in and to.
    free_scatter : which of ``SCATTER`` are free.
    strays : whether a share of strays is free.
    step : of the orbit on the sky (deg).
    """

    def __init__(
        self,
        milky_way: Potential,
        frame: GalacticFrame,
        prior: OrbitPrior,
        points: StreamPoints,
        free_scatter: tuple[bool, ...] = (False, False, False, False),
        strays: bool = False,
        step: float = 1.0,
    ) -> None:
        self.milky_way, self.frame, self.prior, self.points, self.step = milky_way, frame, prior, points, step
        self.geometry = Geometry.of(frame, points.frame)
        self.free, self.strays = np.array(free_scatter), strays
        self.width, self.stray = np.array(prior.scatter), np.array(prior.stray)
        factor, zero = prior.distance_factor, prior.proper_motion_zero
        moving = zero > 0 and points.count("pmra") + points.count("pmdec") > 0
        zeros = [factor > 0 and points.count("distance") > 0, moving, moving]
        self.places = np.flatnonzero([True] * 5 + self.free.tolist() + [self.strays, *zeros])
        self.base = np.array([0.0] * 5 + list(prior.fixed_scatter) + [0.0, 1.0, 0.0, 0.0])
        self.sigma = np.array([factor, zero, zero])
        low = [-prior.phi2, prior.distance[0], -prior.proper_motion, -prior.proper_motion, -prior.velocity]
        high = [prior.phi2, prior.distance[1], prior.proper_motion, prior.proper_motion, prior.velocity]
        low += [*np.log(self.width * 1e-4), 0.0, *(self.base[10:] - 6.0 * self.sigma)]
        high += [*np.log(self.width * 10.0), 0.5, *(self.base[10:] + 6.0 * self.sigma)]
        self.low, self.high = np.array(low)[self.places], np.array(high)[self.places]

    @property
    def free_names(self) -> list[str]:
        """Names of the parameters that are sampled."""
        return [PARAMETERS[place] for place in self.places]

    def physical(self, u: Array) -> Array:
        """Free parameters (m, k) to all of ``PARAMETERS`` (m, 13)."""
        theta = np.repeat(self.base[None], len(u), axis=0)
        theta[:, self.places] = u
        theta[:, 5:9][:, self.free] = np.exp(theta[:, 5:9][:, self.free])
        return theta

    def log_likelihood(self, theta: Array) -> Array:
        """Log-likelihood of (m, 13) parameters, shape (m,)."""
        from starloom.streams.orbit_kernel import log_likelihoods

        out = np.empty(len(theta))
        log_likelihoods(
            np.ascontiguousarray(theta),
            self.points.rows,
            self.stray,
            *self.milky_way.kernel,
            *self.geometry.arrays,
            self.step,
            out,
        )
        return out

    def __call__(self, u: Array) -> Array:
        """Log-posterior of free parameters (m, k), shape (m,); -inf outside the prior."""
        u = np.atleast_2d(u)
        inside = np.all((u > self.low) & (u < self.high), axis=1)
        out = np.full(len(u), -np.inf)
        if not inside.any():
            return out
        theta = self.physical(u[inside])
        found = self.log_likelihood(theta)
        scatter = theta[:, 5:9][:, self.free]
        found += np.sum(np.log(scatter) - 0.5 * (scatter / self.width[self.free]) ** 2, axis=1)
        if self.strays:
            found -= theta[:, 9] / self.prior.stray_share
        found -= 0.5 * np.sum(
            ((theta[:, 10:] - self.base[10:]) / np.where(self.sigma > 0, self.sigma, 1.0)) ** 2, axis=1
        )
        if self.prior.bound:
            phase = self.geometry.phase_space(theta)
            energy = self.milky_way.value(phase[:, :3]) + 0.5 * np.sum(phase[:, 3:] ** 2, axis=1)
            if np.isfinite(self.milky_way.escape_velocity(phase[:1, :3])).all():
                found[energy >= 0.0] = -np.inf
        out[inside] = found
        return out
