"""A made halo of clusters and streams with known parents, in the columns of the real tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from starloom.dynamics.frames import GalacticFrame
from starloom.dynamics.orbits import integrate
from starloom.dynamics.potentials import Potential, potential
from starloom.errors import FitError
from starloom.seeds import generator
from starloom.streams.motion_integrals import phase_space_samples
from starloom.streams.orbit_mock import MockSurvey, cluster_stream, halo_orbits, orbit_stream

if TYPE_CHECKING:
    from astropy.table import QTable


@dataclass(frozen=True)
class MockHalo:
    """How a made halo is set up.

    Parameters
    ----------
    clusters : number of clusters.
    with_parent, without : streams that come from a cluster of the list, and streams that do not.
    potential, frame : in which everything moves.
    survey : what is measured of each stream.
    """

    clusters: int = 40
    with_parent: int = 4
    without: int = 6
    potential: str = "MilkyWayPotential"
    frame: str = "astropy_v4.0"
    survey: MockSurvey = field(default_factory=MockSurvey)


@dataclass(frozen=True)
class MadeHalo:
    """Points of all streams, the list of clusters, and stream -> parent ("" for none)."""

    points: QTable
    clusters: QTable
    parents: dict[str, str]


def make(setup: MockHalo, seed: int | np.random.Generator, listed: QTable | None = None) -> MadeHalo:
    """Make clusters and streams.

    Parameters
    ----------
    setup : how many of each, and where they move.
    seed : of everything.
    listed : real clusters, as ``progenitors.clusters_and_satellites`` gives them: streams then come from those of them
        whose orbits stay between 3 and 80 kpc, and ``clusters`` is not made.

    Returns
    -------
    MadeHalo
        The streams are called ``from_CLUSTER`` or ``smooth_N``.
    """
    from astropy.table import vstack

    rng = generator(seed)
    milky_way, frame = potential(setup.potential), GalacticFrame.named(setup.frame)
    if listed is None:
        phase = halo_orbits(milky_way, setup.clusters, rng)
        names = [f"Made{k + 1}" for k in range(setup.clusters)]
    else:
        phase, names = _halo_clusters(listed, milky_way, frame)
    tables: list[QTable] = []
    parents: dict[str, str] = {}
    for k in rng.permutation(len(names)):
        if len(parents) == setup.with_parent:
            break
        try:
            made = cluster_stream(milky_way, frame, phase[k], setup.survey, rng)
        except FitError:  # too few stars where a survey would look: another cluster
            continue
        parents[f"from_{names[k]}"] = names[k]
        made["stream"] = f"from_{names[k]}"
        tables.append(made)
    if len(parents) < setup.with_parent:
        raise FitError("too few clusters of the made halo have an arm with enough stars; make more clusters")
    while len(parents) < setup.with_parent + setup.without:
        try:
            made, _ = orbit_stream(milky_way, frame, halo_orbits(milky_way, 1, rng)[0], setup.survey, rng)
        except FitError:
            continue
        name = f"smooth_{len(parents) - setup.with_parent + 1}"
        made["stream"] = name
        parents[name] = ""
        tables.append(made)
    clusters = _cluster_list(frame, phase, names, rng) if listed is None else listed
    return MadeHalo(vstack(tables), clusters, parents)


def _halo_clusters(listed: QTable, milky_way: Potential, frame: GalacticFrame) -> tuple[np.ndarray, list[str]]:
    """Phase space and names of the clusters of a list whose orbits stay in the halo."""
    samples, reason = phase_space_samples(listed, frame, 1, np.random.default_rng(0))
    phase, names = samples[reason == "", 0], np.asarray(listed["name"]).astype(str)[reason == ""]
    orbits = integrate(milky_way, phase[:, :3], phase[:, 3:], np.linspace(0.0, 3.0, 7), tolerance=1e-7)
    chosen = (orbits.flag == 0) & (orbits.r_least > 3.0) & (orbits.r_largest < 80.0)
    return phase[chosen], [str(name) for name in names[chosen]]


def _cluster_list(frame: GalacticFrame, phase: np.ndarray, names: list[str], rng: np.random.Generator) -> QTable:
    """The clusters as galpy's list has them, with errors like the real ones."""
    import astropy.units as u
    from astropy.table import QTable

    seen, n = frame.to_icrs(phase[:, :3], phase[:, 3:]), len(names)
    table = QTable({"name": names, "collection": ["cluster"] * n, "ra": seen.ra * u.deg, "dec": seen.dec * u.deg})
    errors: dict[str, float | np.ndarray] = {"distance": 0.02 * seen.distance, "pmra": 0.03, "pmdec": 0.03, "vlos": 0.5}
    values = {"distance": seen.distance, "pmra": seen.pmra, "pmdec": seen.pmdec, "vlos": seen.radial_velocity}
    units = {"distance": u.kpc, "pmra": u.mas / u.yr, "pmdec": u.mas / u.yr, "vlos": u.km / u.s}
    for name, value in values.items():
        sigma = np.zeros(n) + errors[name]
        table[name] = (value + sigma * rng.standard_normal(n)) * units[name]
        table[f"{name}_e"] = sigma * units[name]
    table["pmcorr"] = np.zeros(n)
    return table
