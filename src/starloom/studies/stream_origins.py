"""Study stream-origins: orbits of the Milky Way's streams and the clusters they come from (arXiv:2012.09171).

Points along 22 streams are fitted with orbits in the paper's potential and frame; their energies and angular momenta
are compared with those of globular clusters and dwarf galaxies; what chance alone would give is counted beside every
association.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pydantic

from starloom.errors import ConfigError
from starloom.files import RunFolder
from starloom.results.record import Bar, Published, Results
from starloom.streams.orbit_points import SCHEMA
from starloom.studies.study import Input, InputSpec, Study, StudyConfig

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.dynamics.potentials import Potential
    from starloom.streams.association import Associations
    from starloom.streams.motion_integrals import MotionIntegrals
    from starloom.streams.origins import FittedStreams

KPC_MYR = 977.7922216807892  # km/s of 1 kpc/Myr
SOURCE = "abonaca/disrupted_gc, posterior medians of 2020, companion of arXiv:2012.09171"
# Medians and errors: E (kpc^2/Myr^2), L_z (kpc^2/Myr), pericenter, apocenter (kpc). L_z is given to two digits.
REFERENCE: dict[str, tuple[float, float, float, float, float]] = {
    "aliqa_uma": (-0.087, -2.04, 0.04, 12.4, 31.7),
    "atlas": (-0.084, -1.80, 0.02, 12.0, 35.5),
    "fimbulthul": (-0.161, 0.75, 0.03, 2.48, 7.01),
    "fjorm": (-0.096, -2.34, 0.01, 8.60, 27.3),
    "gd1": (-0.0992, 2.74, 0.01, 13.9, 20.4),
    "gjoll": (-0.091, 2.88, 0.14, 8.77, 30.8),
    "leiptr": (-0.083, 3.69, 0.27, 11.8, 36.4),
    "ophiuchus": (-0.1264, -0.13, 0.005, 3.84, 14.2),
    "phlegethon": (-0.100, 1.93, 0.04, 5.30, 26.2),
}
PARENTS = {"fjorm": "NGC4590", "gjoll": "NGC3201", "fimbulthul": "NGC5139", "svol": "NGC5272"}
ONE_STREAM = ("aliqa_uma", "atlas")
HIDDEN = ("gd1", "ophiuchus")
FARTHEST = 6.0  # D beyond which the place on the orbit is not asked for


class Config(StudyConfig):
    """Settings of stream-origins."""

    potential: str = pydantic.Field("MilkyWayPotential", description="potential of the Galaxy")
    frame: str = pydantic.Field("astropy_v4.0", description="place and motion of the Sun")
    walkers: int = pydantic.Field(64, ge=20, description="walkers of the sampler")
    steps: int = pydantic.Field(1000, ge=20, description="steps of the sampler, the first half is dropped")
    draws: int = pydantic.Field(1000, ge=20, description="posterior orbits of a stream that are followed for 5 Gyr")
    parent_draws: int = pydantic.Field(64, ge=2, description="draws of the errors of a cluster")
    shuffles: int = pydantic.Field(400, ge=10, description="shuffles that count false associations")
    threshold: float = pydantic.Field(0.5, gt=0, lt=1, description="probability of an association")
    variants: tuple[str, ...] = pydantic.Field(("light", "heavy"), description="other potentials, to see what changes")
    refit: bool = pydantic.Field(True, description="fit the orbits anew in the other potentials")
    fit_scatter: bool = pydantic.Field(True, description="fit the scatter around the orbit")

    @pydantic.field_validator("walkers")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("walkers come in pairs")
        return value


def model_of(config: Config, milky_way: Potential) -> Any:
    """The orbit model in Starloom's words."""
    from starloom.dynamics.frames import GalacticFrame
    from starloom.streams.orbit_fit import StreamOrbit
    from starloom.streams.orbit_posterior import SCATTER
    from starloom.streams.orbit_sampler import OrbitSampling

    return StreamOrbit(
        potential=milky_way,
        frame=GalacticFrame.named(config.frame),
        sampling=OrbitSampling(config.walkers, config.steps, config.draws),
        free_scatter=SCATTER if config.fit_scatter else (),
    )


def run(config: Config, inputs: Mapping[str, Input], folder: RunFolder) -> Results:
    """Fit orbits, compare integrals, count what chance gives."""
    from starloom.dynamics.potentials import potential
    from starloom.seeds import generator
    from starloom.streams import association, clustering, orbit_match, origins, progenitors
    from starloom.studies import stream_origins_page as pages

    rng = generator(config.seed)
    results = Results("stream-origins", STUDY.title, config.preset, config.seed, summary=STUDY.summary)
    results.inputs = [entry.record for entry in inputs.values()]
    milky_way = potential(config.potential)
    model = model_of(config, milky_way)
    if model.frame.handedness != "right":
        raise ConfigError("stream-origins needs a right-handed frame; give frame=astropy_v4.0 or another such")
    tables = origins.split_streams(inputs["points"].table)
    fitted = origins.fit_streams(model, tables, rng.spawn(1)[0], workers=config.workers)
    _fits(results, fitted)
    integrals = fitted.integrals(milky_way, workers=config.workers)
    usable = np.flatnonzero(integrals.usable)
    for name, reason in zip(integrals.names, integrals.reason, strict=True):
        if reason:
            results.warn(f"{name} has no integrals of motion: {reason}")
    streams, phase = integrals.take(usable), [fitted.phase[k] for k in usable]

    listed, satellites = progenitors.clusters_and_satellites(inputs["clusters"].table)
    if "dwarfs" in inputs:
        satellites = progenitors.dwarf_galaxies(inputs["dwarfs"].table)
    settings = {"samples": config.parent_draws, "workers": config.workers}
    clusters, lost = origins.parent_integrals(listed, milky_way, model.frame, rng, **settings)
    results.number("globular clusters", float(len(clusters)), "", meaning=f"with integrals; without: {len(lost)}")
    dwarfs = None
    if len(satellites):
        dwarfs, lost = origins.parent_integrals(satellites, milky_way, model.frame, rng, **settings)
        results.number("dwarf galaxies", float(len(dwarfs)), "", meaning=f"bound, with integrals; without: {len(lost)}")

    halo = association.SmoothHalo.around(clusters, streams)
    asked = association.distances(streams, clusters) < FARTHEST
    matches = orbit_match.orbit_matches(
        milky_way, phase, clusters, model.frame.sun.x, asked, rng, workers=config.workers
    )
    found = association.associate(streams, clusters, halo, matches)
    _orbits(results, fitted, streams, model.frame)
    _associations(results, config, streams, clusters, halo, found, matches, rng)
    if len(streams) > 2:
        tested = clustering.clustering(streams, clusters, halo, rng, draws=config.shuffles)
        _clustering(results, streams, tested)
    _hosts(results, streams, clusters, dwarfs)
    _reference(results, streams)
    _hidden_velocities(results, model, fitted, config)
    changes = _variants(results, config, tables, fitted, streams, rng)
    for name, orbit in fitted.orbits.items():
        orbit.save(folder.staging / "model" / name)
    results.figures = pages.figures(fitted, streams, clusters, dwarfs, found, config.threshold, changes)
    return results


def _fits(results: Results, fitted: FittedStreams) -> None:
    results.number("streams fitted", float(len(fitted.orbits)), "", meaning=f"not fitted: {len(fitted.failed)}")
    for name, reason in fitted.failed.items():
        results.warn(f"{name} was not fitted: {reason}")
    for orbit in fitted.orbits.values():
        for warning in orbit.report["warnings"]:
            results.warn(warning)
    results.number(
        "least independent samples", min(o.report["effective_samples"] for o in fitted.orbits.values()), "",
        meaning="of a stream's five orbit parameters, by autocorrelation",
    )  # fmt: skip
    unused = sum(o.report["not_used"] for o in fitted.orbits.values())
    points = sum(o.report["points"] for o in fitted.orbits.values())
    results.number("points used", float(points), "", meaning=f"not used, with a reason: {unused}")


def _orbits(results: Results, fitted: FittedStreams, streams: MotionIntegrals, frame: Any) -> None:
    import astropy.units as u

    table = streams.summary()
    rows = [fitted.orbits[str(name)] for name in streams.names]
    ra, dec = np.array([o.stream_frame.to_icrs(0.0, float(np.median(o.samples[:, 0]))) for o in rows]).T
    table["ra"], table["dec"] = ra * u.deg, dec * u.deg
    for k, (name, unit) in enumerate((("distance", u.kpc), ("radial_velocity", u.km / u.s))):
        column = (1, 4)[k]
        low, middle, high = np.array([np.quantile(o.samples[:, column], [0.16, 0.5, 0.84]) for o in rows]).T
        table[name], table[f"{name}_low"], table[f"{name}_high"] = middle * unit, low * unit, high * unit
    table["prograde"] = frame.prograde(streams.centers[:, 1])
    table["points"] = [o.report["points"] for o in rows]
    table["log_likelihood"] = [o.report["log_likelihood"] for o in rows]
    results.table("orbits", table, "a stream; medians and central 68 % of its posterior at the middle of its points")
    results.number(
        "prograde streams", float(np.sum(table["prograde"])), "", meaning=f"of {len(table)}",
        published=Published(15.0, SOURCE, comparable=True),
    )  # fmt: skip


def _associations(
    results: Results, config: Config, streams: MotionIntegrals, clusters: MotionIntegrals, halo: Any,
    found: Associations, matches: Any, rng: np.random.Generator,
) -> None:  # fmt: skip
    import astropy.units as u
    from astropy.table import QTable

    from starloom.streams import association, progenitors

    order = np.argsort(-found.probability, axis=1)[:, :3]
    i, j = np.repeat(np.arange(len(order)), order.shape[1]), order.ravel()
    table = QTable(
        {"stream": [streams.names[k] for k in i], "rank": np.tile(np.arange(order.shape[1]) + 1, len(order))}
    )
    table["cluster"] = [clusters.names[k] for k in j]
    table["came_with"] = [progenitors.host_of(clusters.names[k]) for k in j]
    table["probability"], table["distance"] = found.probability[i, j], found.distance[i, j]
    table["orbit_p_value"] = matches.p_value[i, j]
    table["orbit_offset"], table["orbit_velocity_offset"] = (
        matches.distance[i, j] * u.kpc,
        matches.velocity[i, j] * (u.km / u.s),
    )
    table["orbital_angle"], table["sky_angle"] = matches.orbital_angle[i, j] * u.deg, matches.sky_angle[i, j] * u.deg
    table["time"] = matches.time[i, j] * u.Gyr
    results.table(
        "associations", table,
        "a stream and one of its three most probable parents; distance is D in (E, L_z, L_perp); orbit_p_value: share "
        "of random phases as close to the stream's orbit; time and angles: from the stream along its orbit to there",
    )  # fmt: skip
    chance = association.discoveries(
        streams, clusters, halo, found, rng, threshold=config.threshold, shuffles=config.shuffles
    )
    by_chance = chance.by_chance / len(streams)
    low, high = np.quantile(chance.shuffles / len(streams), [0.05, 0.95])
    real = not results.simulated
    results.number(
        f"associations with P > {config.threshold:g}", float(chance.found), "",
        meaning="streams with a globular cluster as likely parent; integrals and place on the orbit together",
        published=Published(8.0, "abstract of arXiv:2012.09171, another criterion", comparable=False),
    )  # fmt: skip
    results.number("false-discovery rate", chance.rate, "", meaning="expected by chance over found")
    results.number(
        "streams associated after shuffling", by_chance, "of the streams", low=float(low), high=float(high),
        bar=Bar("<=", 0.05) if real else None,
        meaning="L_z and L_perp of clusters exchanged within neighbors in energy; the share below stays as fitted",
    )  # fmt: skip
    results.number("share of streams with a listed parent", found.share, "", meaning="fitted; the prior of P")
    for stream, parent in PARENTS.items():
        if stream in streams.names and parent in clusters.names and real:
            results.number(
                f"rank of {parent} for {stream}", float(found.rank(stream, parent)), "", bar=Bar("<=", 1.0),
                meaning=f"P = {found.probability[streams.names.index(stream), clusters.names.index(parent)]:.3f}",
            )  # fmt: skip
    if len(streams) > 1:
        _pairs(results, streams, real)


def _pairs(results: Results, streams: MotionIntegrals, real: bool) -> None:
    from starloom.streams import association

    pairs = association.nearest_pairs(streams)
    results.table("stream_pairs", pairs, "a stream and the stream nearest to it in (E, L_z, L_perp)")
    mutual = pairs[np.asarray(pairs["mutual"])]
    results.number(
        "pairs that may share an orbit", float(np.sum(np.asarray(mutual["distance"]) < 2.0) / 2), "",
        meaning="each other's nearest with D < 2",
    )  # fmt: skip
    if real and all(name in streams.names for name in ONE_STREAM):
        row = pairs[np.asarray(pairs["stream"]) == ONE_STREAM[0]][0]
        is_so = bool(row["mutual"]) and str(row["nearest"]) == ONE_STREAM[1]
        results.number(
            "Aliqa Uma and ATLAS are each other's nearest", float(is_so), "", bar=Bar(">=", 1.0),
            meaning=f"1: yes; nearest of Aliqa Uma: {row['nearest']}, D = {row['distance']:.2f}",
        )  # fmt: skip


def _clustering(results: Results, streams: MotionIntegrals, tested: list[Any]) -> None:
    for test in tested:
        low, high = np.quantile(test.by_chance, [0.025, 0.975])
        results.number(
            f"clustering p-value, {test.null}", test.p_value, "",
            meaning=f"median D to the nearest stream: {test.value:.2f}; by chance {np.median(test.by_chance):.2f} "
            f"({low:.2f} to {high:.2f}); small p: orbits come in groups",
        )  # fmt: skip


def _hosts(
    results: Results, streams: MotionIntegrals, clusters: MotionIntegrals, dwarfs: MotionIntegrals | None
) -> None:
    from astropy.table import QTable

    from starloom.streams import association, origins, progenitors

    table = QTable({"stream": list(streams.names)})
    groups = origins.host_centers(clusters, progenitors.HOSTS)
    for name, parents in (("group", groups), ("dwarf", dwarfs)):
        if parents is None or len(parents) == 0:
            continue
        between = association.distances(streams, parents)
        # a wide group is near everything: the density of its members at the stream decides
        density = association.log_density(streams, parents)
        best = density.argmax(axis=1)
        table[f"nearest_{name}"] = [parents.names[k] for k in best]
        table[f"distance_{name}"] = between[np.arange(len(streams)), best]
    if len(table.colnames) > 1:
        results.table(
            "hosts", table,
            "a stream, the merged galaxy (by its clusters) and the dwarf galaxy whose orbits are densest there, with D",
        )  # fmt: skip


def _reference(results: Results, streams: MotionIntegrals) -> None:
    """Against published medians, from the same points."""
    from astropy.table import QTable

    if results.simulated:
        return
    rows = []
    for name, (_, l_z, l_z_error, peri, apo) in REFERENCE.items():
        if name not in streams.names:
            continue
        sample = streams[name]
        median, sigma = np.median(sample, axis=0), np.std(sample, axis=0)
        # the reference's errors come from twice the log-likelihood: sqrt 2 too small; its L_z is rounded to 0.01
        combined = np.sqrt((sigma[1] / KPC_MYR) ** 2 + 2.0 * l_z_error**2 + 0.01**2 / 12.0)
        z = (median[1] / KPC_MYR - l_z) / combined
        rows.append((name, median[3] / peri, median[4] / apo, z))
        results.number(
            f"L_z of {name}", median[1], "kpc km/s", low=float(np.quantile(sample[:, 1], 0.16)),
            high=float(np.quantile(sample[:, 1], 0.84)),
            published=Published(
                l_z * KPC_MYR, SOURCE, (l_z - l_z_error) * KPC_MYR, (l_z + l_z_error) * KPC_MYR, comparable=True
            ),
        )  # fmt: skip
    if not rows:
        return
    table = QTable(rows=rows, names=["stream", "pericenter_ratio", "apocenter_ratio", "l_z_sigma"])
    results.table("reference", table, "a stream: ours over the published medians, L_z in combined sigma")
    agree = np.ones(len(rows), dtype=bool)
    for column, limit, what in (("pericenter_ratio", 0.10, "|r - 1|"), ("apocenter_ratio", 0.10, "|r - 1|"),
                                ("l_z_sigma", 3.0, "|d| / sigma")):  # fmt: skip
        values = np.abs(np.asarray(table[column]) - (0.0 if column == "l_z_sigma" else 1.0))
        agree &= values <= limit
        results.number(
            f"worst {column.replace('_', ' ')} of the reference streams", float(values.max()), "",
            bar=Bar("<=", limit), meaning=f"{what}, {rows[int(values.argmax())][0]}; next {np.sort(values)[-2]:.3f}"
            if len(rows) > 1 else what,
        )  # fmt: skip
    results.number(
        "reference streams reproduced", float(agree.sum()), "",
        meaning=f"of {len(rows)}: pericenter and apocenter within 10 %, L_z within 3 sigma",
    )  # fmt: skip


def _hidden_velocities(results: Results, model: Any, fitted: FittedStreams, config: Config) -> None:
    """Fits without velocities: do they predict those that were hidden?"""
    from starloom.errors import StarloomError
    from starloom.seeds import generator
    from starloom.streams.origins import velocity_offset

    for name in HIDDEN:
        if name not in fitted.points or fitted.points[name].count("radial_velocity") < 10:
            continue
        points = fitted.points[name]
        try:
            orbit = model.fit(points.without("radial_velocity"), seed=generator(config.seed))
            offset, sigma = velocity_offset(orbit, points)
        except StarloomError as error:
            results.warn(f"{name} without velocities: {error}")
            continue
        results.number(
            f"hidden velocities of {name}", abs(offset) / sigma, "sigma", bar=Bar("<=", 3.0),
            meaning=f"fit without any velocity; median observed - predicted = {offset:+.1f} +- {sigma:.1f} km/s, "
            f"{points.count('radial_velocity')} stars",
        )  # fmt: skip


def _variants(
    results: Results, config: Config, tables: Mapping[str, QTable], fitted: FittedStreams, streams: MotionIntegrals,
    rng: np.random.Generator,
) -> dict[str, MotionIntegrals]:  # fmt: skip
    """The same streams in lighter and heavier galaxies."""
    from starloom.dynamics.potentials import potential
    from starloom.streams import origins

    found = {}
    for name in config.variants:
        milky_way = potential(name)
        if config.refit:
            chosen = {stream: tables[stream] for stream in fitted.orbits}
            other = origins.fit_streams(model_of(config, milky_way), chosen, rng.spawn(1)[0], workers=config.workers)
            integrals = other.integrals(milky_way, draws=200, workers=config.workers)
        else:
            integrals = fitted.integrals(milky_way, draws=50, workers=config.workers)
        found[name] = integrals
        both = [s for s in streams.names if s in integrals.names and len(integrals[s])]
        how = "orbits fitted anew" if config.refit else "same positions and velocities"
        for column, what in ((3, "pericenter"), (4, "apocenter")):
            ratio = [float(np.median(integrals[s][:, column]) / np.median(streams[s][:, column])) for s in both]
            low, high = np.quantile(ratio, [0.16, 0.84])
            results.number(
                f"{what} in {name}", float(np.median(ratio)), "", low=float(low), high=float(high),
                meaning=f"over that in {config.potential}; median and central 68 % of the streams; {how}",
                published=_VARIANTS.get((what, name)),
            )  # fmt: skip
    return found


_VARIANTS = {
    ("apocenter", "light"): Published(1.10, "abonaca/disrupted_gc", comparable=True),
    ("apocenter", "heavy"): Published(0.90, "abonaca/disrupted_gc", comparable=True),
    ("pericenter", "light"): Published(1.0, "abonaca/disrupted_gc", comparable=True),
    ("pericenter", "heavy"): Published(1.0, "abonaca/disrupted_gc", comparable=True),
}


def mock(config: Config) -> dict[str, QTable]:
    """A made halo: clusters, streams of some of them, streams of nothing that is left."""
    from starloom.streams.origins_mock import MockHalo, make

    made = make(MockHalo(potential=config.potential, frame=config.frame), config.seed)
    return {"points": made.points, "clusters": made.clusters}


STUDY = Study(
    name="stream-origins",
    title="Orbits of stellar streams and where they came from",
    arxiv="2012.09171",
    summary="Orbits fitted to points along streams, their energies and angular momenta beside those of globular "
    "clusters and dwarf galaxies, and the probability that each stream comes from each cluster.",
    citations=(
        "2021ApJ...909L..26B Bonaca et al., Orbital clustering identifies the origins of Galactic stellar streams",
        "2021MNRAS.505.5978V Vasiliev & Baumgardt, Gaia EDR3 view on galactic globular clusters",
        "2013PASP..125..306F Foreman-Mackey et al., emcee: the MCMC hammer",
        "2017JOSS....2..388P Price-Whelan, Gala: a Python package for galactic dynamics",
        "2015ApJS..216...29B Bovy, galpy: a Python library for galactic dynamics",
    ),
    config=Config,
    presets={
        "tour": {"walkers": 32, "steps": 240, "draws": 100, "parent_draws": 8, "shuffles": 100, "refit": False},
        "quick": {"walkers": 48, "steps": 500, "draws": 400, "parent_draws": 24, "shuffles": 200, "refit": False},
        "full": {},
    },
    inputs=(
        InputSpec("points", "stream_orbit_inputs", "measurements", "points along the streams", primary=True),
        InputSpec("clusters", "mw_progenitors", "clusters", "globular clusters with six-dimensional positions"),
        InputSpec("dwarfs", "mw_progenitors", "dwarf_galaxies", "dwarf galaxies of the Milky Way", optional=True),
    ),
    run=run,
    mock=mock,
    schema=SCHEMA,
)
