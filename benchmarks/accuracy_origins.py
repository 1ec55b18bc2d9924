"""Long bars of the origins of streams: are the orbits' intervals right, and are parents found and none invented?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from bars import Experiment, LongBar, Numbers, System, ratio

from starloom.datasets.access import open_table
from starloom.dynamics.frames import GalacticFrame
from starloom.dynamics.orbits import integrate
from starloom.dynamics.potentials import potential
from starloom.errors import FitError
from starloom.results.record import Bar
from starloom.streams import association, orbit_match, origins, progenitors
from starloom.streams.orbit_fit import StreamOrbit
from starloom.streams.orbit_mock import MockSurvey, halo_orbits, orbit_stream
from starloom.streams.orbit_posterior import ORBIT
from starloom.streams.orbit_result import FittedOrbit
from starloom.streams.orbit_sampler import OrbitSampling
from starloom.streams.origins_mock import MockHalo, make

SEEDS = tuple(range(200, 220))
INJECTED = (300, 301, 302)
POTENTIAL = "MilkyWayPotential"
NEAREST = 4.0  # kpc: nearer stretches are no streams that one would fit on a great circle


def truth_at_origin(fitted: FittedOrbit, middle: np.ndarray) -> np.ndarray:
    """The five numbers of the true orbit where it crosses phi1 = 0 of the fit's frame."""
    times = np.linspace(-0.02, 0.02, 801)
    orbit = integrate(potential(POTENTIAL), middle[None, :3], middle[None, 3:], times)
    seen = GalacticFrame().to_icrs(orbit.positions[0], orbit.velocities[0])
    phi1, phi2 = fitted.stream_frame.to_frame(seen.ra, seen.dec)
    turn = fitted.stream_frame.turn(seen.ra, seen.dec)
    motion = np.einsum("nij,nj->ni", turn, np.stack([seen.pmra, seen.pmdec], axis=1))
    order = np.argsort(phi1)
    values = (phi2, seen.distance, motion[:, 0], motion[:, 1], seen.radial_velocity)
    return np.array([np.interp(0.0, phi1[order], value[order]) for value in values])


def one_stream(seed: int, *, steps: int) -> Numbers:
    """Fit one made stream without velocities: which 68 % intervals hold the truth?"""
    rng, milky_way, frame = np.random.default_rng(seed), potential(POTENTIAL), GalacticFrame()
    while True:
        try:
            table, middle = orbit_stream(milky_way, frame, halo_orbits(milky_way, 1, rng)[0], MockSurvey(), rng)
        except FitError:
            continue
        if np.linalg.norm(middle[:3] - frame.sun.x) > NEAREST:
            break
    fitted = StreamOrbit(sampling=OrbitSampling(64, steps, 1000)).fit(table, seed=rng)
    truth = truth_at_origin(fitted, middle)
    low, median, high = np.quantile(fitted.samples[:, :5], [0.16, 0.5, 0.84], axis=0)
    inside = (low <= truth) & (truth <= high)
    numbers = {f"in_{name}": bool(hit) for name, hit in zip(ORBIT, inside, strict=True)}
    off = abs(truth[4] - median[4]) / (0.5 * (high[4] - low[4]))
    return numbers | {"inside": int(inside.sum()), "all": 5, "one": 1, "velocity_within_3": bool(off < 3.0)}


def injected(seed: int, *, with_parent: int, without: int, steps: int) -> Numbers:
    """Streams of catalogued clusters and of none: how many parents are found, how many are invented?"""
    rng, milky_way, frame = np.random.default_rng(seed), potential(POTENTIAL), GalacticFrame()
    listed, _ = progenitors.clusters_and_satellites(open_table("mw_progenitors", "clusters"))
    made = make(MockHalo(with_parent=with_parent, without=without), rng, listed)
    model = StreamOrbit(sampling=OrbitSampling(48, steps, 300))
    fitted = origins.fit_streams(model, origins.split_streams(made.points), rng)
    streams = fitted.integrals(milky_way)
    clusters, _ = origins.parent_integrals(listed, milky_way, frame, rng)
    halo = association.SmoothHalo.around(clusters, streams)
    asked = association.distances(streams, clusters) < 6.0
    matches = orbit_match.orbit_matches(milky_way, fitted.phase, clusters, frame.sun.x, asked, rng)
    found = association.associate(streams, clusters, halo, matches)
    right = wrong = false = 0
    p_values = []
    for name, claimed, best in zip(found.streams, found.found(), found.best, strict=True):
        parent = made.parents[name]
        right += bool(claimed and found.parents[best] == parent)
        wrong += bool(claimed and parent and found.parents[best] != parent)
        false += bool(claimed and not parent)
        if parent:
            p_values.append(float(matches.p_value[found.streams.index(name), found.parents.index(parent)]))
    return {
        "right": right, "wrong_parent": wrong, "false": false, "one": 1,
        "with_parent": with_parent, "without": without, "not_fitted": len(fitted.failed),
        "orbit_p_values": [p if p == p else None for p in p_values],
    }  # fmt: skip


COVERAGE = Experiment("orbit fits", one_stream, SEEDS, {"steps": 800}, {"steps": 200})
ASSOCIATION = Experiment(
    "injected streams", injected, INJECTED,
    {"with_parent": 8, "without": 15, "steps": 500}, {"with_parent": 2, "without": 3, "steps": 200},
)  # fmt: skip

SYSTEM = System(
    name="origins of streams",
    text="Orbit fits: streams made along random halo orbits with the errors of DES distances and Gaia proper motions "
    "and no velocities (`starloom.streams.orbit_mock`), 20 streams, five parameters each. Injected streams: stars that "
    "left 8 clusters of galpy's list in the last 2 Gyr, one arm each, and 15 streams of a smooth halo; a parent counts "
    "as found when the right cluster has P > 0.5.",
    bars=(
        LongBar("68 % intervals that hold the truth", COVERAGE, ratio("inside", "all"), Bar("in", (0.58, 0.78)),
                "five parameters, pooled", True),
        *(LongBar(f"68 % interval of {name}", COVERAGE, ratio(f"in_{name}", "one"), None, "", True) for name in ORBIT),
        LongBar("velocities predicted within 3 sigma", COVERAGE, ratio("velocity_within_3", "one"), Bar(">=", 0.95),
                "in the middle of the stream", True),
        LongBar("parents found", ASSOCIATION, ratio("right", "with_parent"), Bar(">=", 7.0 / 8.0), "of the injected",
                True),
        LongBar("parents invented", ASSOCIATION, ratio("false", "one"), Bar("<=", 1.0), "of 15 smooth streams, a seed"),
        LongBar("wrong parents", ASSOCIATION, ratio("wrong_parent", "one"), None, "another cluster than the true one"),
    ),
    source=Path(__file__).resolve(),
)  # fmt: skip
