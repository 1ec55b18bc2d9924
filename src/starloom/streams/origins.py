"""From points along streams to their likely parents: the whole chain, in the order in which a user would run it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from starloom.dynamics.frames import GalacticFrame
from starloom.dynamics.potentials import Potential
from starloom.errors import CatalogError, FitError
from starloom.progress import bar
from starloom.streams.motion_integrals import MotionIntegrals, motion_integrals, phase_space_samples
from starloom.streams.orbit_fit import StreamOrbit
from starloom.streams.orbit_points import StreamPoints, stream_points
from starloom.streams.orbit_result import FittedOrbit
from starloom.streams.orbit_tables import is_long, points_from_measurements

if TYPE_CHECKING:
    from astropy.table import QTable

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FittedStreams:
    """Orbits of several streams, and why others have none."""

    orbits: dict[str, FittedOrbit]
    points: dict[str, StreamPoints]
    failed: dict[str, str]

    @property
    def phase(self) -> list[Array]:
        """For each stream (1 + draws, 6) Galactocentric phase space of its middle, the best orbit first."""
        return [
            orbit.geometry.phase_space(np.concatenate([orbit.best[None], orbit.samples]))
            for orbit in self.orbits.values()
        ]

    def integrals(
        self, milky_way: Potential, *, draws: int | None = None, workers: int | None = None
    ) -> MotionIntegrals:
        """Integrals of motion of the posterior orbits in a potential."""
        samples = [phase[: None if draws is None else draws + 1] for phase in self.phase]
        return motion_integrals(milky_way, list(self.orbits), samples, workers=workers)


def split_streams(table: QTable) -> dict[str, QTable]:
    """The rows of each stream, by its name; a table without a column ``stream`` holds one."""
    if is_long(table):
        table = points_from_measurements(table)
    if "stream" not in table.colnames:
        return {"stream": table}
    names = np.asarray(table["stream"]).astype(str)
    return {str(name): table[names == name] for name in dict.fromkeys(names)}


def fit_streams(
    model: StreamOrbit, tables: Mapping[str, QTable], rng: np.random.Generator, *, workers: int = 1
) -> FittedStreams:
    """Fit an orbit to each stream; those that cannot be fitted are told with the reason.

    Every stream has a generator of its own, so that the result does not depend on ``workers`` or on the other streams.

    Raises
    ------
    FitError
        When no stream could be fitted.
    """
    seeds = dict(zip(tables, rng.spawn(len(tables)), strict=True))
    points: dict[str, StreamPoints] = {}
    failed: dict[str, str] = {}
    for name, table in tables.items():
        try:
            points[name] = stream_points(table, name)
        except CatalogError as error:
            failed[name] = str(error)

    def one(name: str) -> FittedOrbit | str:
        try:
            return model.fit(points[name], seed=seeds[name])
        except FitError as error:
            return str(error)

    orbits: dict[str, FittedOrbit] = {}
    with bar("orbits of streams", len(points), "streams") as advance, ThreadPoolExecutor(max(workers, 1)) as pool:
        for name, found in zip(points, pool.map(one, points), strict=True):
            advance()
            if isinstance(found, str):
                failed[name] = found
            else:
                orbits[name] = found
    if not orbits:
        raise FitError("no stream could be fitted: " + "; ".join(f"{name}: {why}" for name, why in failed.items()))
    return FittedStreams(orbits, points, failed)


def parent_integrals(
    table: QTable,
    milky_way: Potential,
    frame: GalacticFrame,
    rng: np.random.Generator,
    *,
    samples: int = 32,
    workers: int | None = None,
) -> tuple[MotionIntegrals, dict[str, str]]:
    """Integrals of clusters or galaxies from a table of their positions with errors.

    Parameters
    ----------
    table : columns name, ra, dec, distance, pmra, pmdec, radial_velocity and errors; see ``progenitors``.
    samples : of the errors of each.

    Returns
    -------
    integrals : of those that have them.
    left_out : name -> why not.
    """
    phase, reason = phase_space_samples(table, frame, samples, rng)
    names = [str(name) for name in np.asarray(table["name"])]
    every = motion_integrals(milky_way, names, list(phase), workers=workers)
    left_out = {
        name: str(why or text) for name, why, text in zip(names, reason, every.reason, strict=True) if why or text
    }
    if not every.usable.any():
        raise CatalogError("no cluster or galaxy with six-dimensional position is bound in this potential")
    return every.take(np.flatnonzero(every.usable)), left_out


def velocity_offset(orbit: FittedOrbit, points: StreamPoints) -> tuple[float, float]:
    """Median of (observed - predicted) radial velocity over the stars that have one, and its uncertainty (km/s).

    The uncertainty is that of the prediction (posterior) and of the median of the stars, in quadrature.
    """
    known = np.isfinite(points["radial_velocity_error"])
    if known.sum() < 3:
        raise CatalogError(f"{points.name} has velocities of {known.sum()} stars; at least 3 are needed")
    predicted = orbit.curves(points["phi1"][known])[:, :, 5]
    residual = points["radial_velocity"][known][None] - predicted
    offset = np.nanmedian(residual, axis=1)
    middle = np.nanmedian(residual, axis=0)
    scatter = 1.48 * np.median(np.abs(middle - np.median(middle))) * np.sqrt(np.pi / 2.0) / np.sqrt(known.sum())
    return float(np.median(offset)), float(np.hypot(np.std(offset), scatter))


def host_centers(clusters: MotionIntegrals, hosts: Mapping[str, Sequence[str]]) -> MotionIntegrals:
    """Groups of clusters as one object each: its samples are those of its clusters.

    So the covariance of a merged galaxy is the spread of what came with it. Groups with fewer than three clusters in
    the list are left out.
    """
    names, samples, phases = [], [], []
    for host, members in hosts.items():
        found = [k for k, name in enumerate(clusters.names) if name in members]
        if len(found) >= 3:
            count = min(len(clusters.samples[k]) for k in found)
            names.append(host)
            samples.append(np.concatenate([clusters.samples[k][:count] for k in found]))
            phases.append(clusters.phase[found[0]])
    return MotionIntegrals(tuple(names), tuple(samples), np.array(phases).reshape(-1, 6), ("",) * len(names))
