"""The orbit of a stream from points along it: five numbers in the middle of the stream and the scatter around it.

    ln L = -1/2 sum over points and quantities [ (observed - orbit)^2 / s^2 + ln(2 pi s^2) ],  s^2 = error^2 + scatter^2

A quantity that was not measured at a point has no term. The two proper motions of a point share one term with their
correlation. This is the log-likelihood itself; the code published with arXiv:2012.09171 adds up twice its value, which
makes errors smaller by sqrt 2. The scatter of each quantity with enough points is fitted along (half-normal prior), and
so are the errors that all points share: a factor on the distances, offsets of the proper motions (normal priors).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from starloom.dynamics.frames import GalacticFrame
from starloom.dynamics.potentials import Potential, potential
from starloom.errors import ConfigError
from starloom.seeds import generator
from starloom.streams.orbit_points import StreamPoints, stream_points
from starloom.streams.orbit_posterior import SCATTER, OrbitPrior, Posterior
from starloom.streams.orbit_result import FittedOrbit
from starloom.streams.orbit_sampler import OrbitSampling, sample
from starloom.streams.orbit_search import maximum


@dataclass(frozen=True)
class StreamOrbit:
    """Fits one orbit to the points of a stream.

    Parameters
    ----------
    potential : of the Galaxy, by name.
    frame : place and motion of the Sun.
    prior : what is possible.
    sampling : walkers, steps and draws.
    free_scatter : quantities whose scatter is fitted where ``least_for_scatter`` points measure them.
    least_for_strays : rows from which on a share of strays is fitted, where the prior has any.
    step : the orbit's step on the sky (deg).

    Examples
    --------
    >>> StreamOrbit(potential="MWPotential2014").milky_way.name
    'MWPotential2014'
    """

    potential: str | Potential = "MilkyWayPotential"
    frame: GalacticFrame = field(default_factory=GalacticFrame)
    prior: OrbitPrior = field(default_factory=OrbitPrior)
    sampling: OrbitSampling = field(default_factory=OrbitSampling)
    free_scatter: tuple[str, ...] = SCATTER
    least_for_scatter: int = 8
    least_for_strays: int = 20
    step: float = 1.0

    def __post_init__(self) -> None:
        potential(self.potential)  # an unknown name is an error here, not in the middle of a run
        if unknown := sorted(set(self.free_scatter) - set(SCATTER)):
            raise ConfigError(f"no scatter is called {unknown[0]!r}; choose from {', '.join(SCATTER)}")

    def _free_scatter(self, points: StreamPoints) -> tuple[bool, ...]:
        motions = points.count("pmra") + points.count("pmdec")
        counts = (points.count("sky"), points.count("distance"), motions, points.count("radial_velocity"))
        return tuple(
            name in self.free_scatter and n >= self.least_for_scatter for name, n in zip(SCATTER, counts, strict=True)
        )

    def _strays(self, points: StreamPoints) -> bool:
        return self.prior.stray_share > 0 and len(points.rows) >= self.least_for_strays

    @property
    def milky_way(self) -> Potential:
        """The potential as an object."""
        return potential(self.potential)

    def fit(self, points: Any, *, seed: int | np.random.Generator, name: str = "the stream") -> FittedOrbit:
        """Find the best orbit and sample the posterior around it.

        Parameters
        ----------
        points : a table with the columns of ``orbit_points.SCHEMA``, or StreamPoints.
        seed : of the sampler.
        name : what to call the stream.

        Returns
        -------
        FittedOrbit
            ``report["warnings"]`` says where the sampling has not converged or the posterior ends at the prior.

        Raises
        ------
        CatalogError
            When the table lacks columns or has too few usable points.
        FitError
            When no orbit of the prior passes along the points.
        """
        from starloom.catalog.tables import read_table

        rng = generator(seed)
        chosen = points if isinstance(points, StreamPoints) else stream_points(read_table(points), name)
        posterior = Posterior(
            self.milky_way, self.frame, self.prior, chosen, self._free_scatter(chosen), self._strays(chosen), self.step
        )
        best, others = maximum(posterior)
        samples, report = sample(posterior, best, others, self.sampling, rng)
        report |= {
            "points": len(chosen.rows),
            "terms": chosen.terms,
            "not_used": int((chosen.reason != "").sum()),
            "log_likelihood": float(posterior.log_likelihood(posterior.physical(best[None]))[0]),
        }
        return FittedOrbit(
            name=chosen.name,
            potential=self.milky_way,
            frame=self.frame,
            stream_frame=chosen.frame,
            stray=self.prior.stray,
            best=posterior.physical(best[None])[0],
            samples=posterior.physical(samples),
            free=tuple(posterior.free_names),
            phi1=(float(chosen["phi1"].min()), float(chosen["phi1"].max())),
            step=posterior.step,
            report=report,
        )
