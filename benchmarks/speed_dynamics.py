"""Dynamics: actions, orbits and tables with errors, against galpy and gala, at equal error where there is one."""

from __future__ import annotations

import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.table import QTable
from side_by_side import Comparison, cpu_seconds, table

from starloom import progress
from starloom.catalog.tables import write_table
from starloom.dynamics.actions import actions
from starloom.dynamics.frames import GalacticFrame
from starloom.dynamics.orbits import integrate
from starloom.dynamics.potentials import potential
from starloom.dynamics.star_orbits import orbits_of_table
from starloom.seeds import generator

RO, VO = 8.0, 220.0
ACTION_STARS, DISK_STARS, LAUNCHED, TABLE_STARS = 5000, 300, 300, 4096
STREAMS, DRAWS = 22, 1000
GAIA_STARS, SAMPLES = 33e6, 100


def section() -> tuple[str, bool]:
    """The section of the page, and whether all results agree."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # galpy speaks of its C code and of stars that it calls unbound
        comparisons = [_actions(0.0), _actions(1.0), *_disk(), *_launched(), _streams()]
        lines = [_table()]
    text = f"## dynamics\n\n{table(comparisons)}\n" + "\n".join(lines) + "\n"
    return text, all(c.agrees for c in comparisons)


def _stars(count: int, halo: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = generator(seed)
    radius, z = 8.0 * np.exp(rng.normal(0.0, 0.25, count)), rng.normal(0.0, 0.5 + 3.5 * halo, count)
    spread = np.array([40.0, 35.0, 25.0]) * (1.0 - halo) + np.array([140.0, 100.0, 100.0]) * halo
    v = rng.normal(0.0, 1.0, (count, 3)) * spread + np.array([0.0, 210.0 * (1.0 - halo), 0.0])
    return np.stack([radius, np.zeros(count), z], axis=-1), v


def _actions(halo: float) -> Comparison:
    from galpy.actionAngle import actionAngleStaeckel
    from galpy.potential import MWPotential2014

    kind = "halo" if halo else "disk"
    progress.say(f"dynamics: actions of {kind} stars")
    model = potential("MWPotential2014")
    x, v = _stars(ACTION_STARS, halo, 1)
    bound = model.value(x) + 0.5 * np.sum(v * v, axis=1) < -5e3
    x, v = x[bound], v[bound]
    focal = generator(2).uniform(2.5, 4.5, len(x))
    phase = (x[:, 0] / RO, v[:, 0] / VO, v[:, 1] / VO, x[:, 2] / RO, v[:, 2] / VO)
    finder = actionAngleStaeckel(pot=MWPotential2014, delta=0.45, c=True, ro=RO, vo=VO)

    def peer() -> np.ndarray:
        j_r, _, j_z, *rates = finder.actionsFreqs(*phase, delta=focal / RO, use_physical=False)
        e, z_max, near, far = finder.EccZmaxRperiRap(*phase, delta=focal / RO, use_physical=False)
        return np.stack([j_r, j_z, *rates, e, z_max, near, far]).T

    def ours() -> np.ndarray:
        found = actions(model, x, v, focal_length=focal)
        scale, rate = RO * VO, VO / RO
        return np.stack(
            [
                found.action_r / scale, found.action_z / scale, found.omega_r / rate, found.omega_phi / rate,
                found.omega_z / rate, found.eccentricity, found.z_max / RO, found.pericenter / RO,
                found.apocenter / RO,
            ],
            axis=-1,
        )  # fmt: skip

    seconds, peer_seconds = cpu_seconds(ours), cpu_seconds(peer, 3)
    first, second = ours(), peer()
    usable = np.isfinite(second).all(axis=1) & (second[:, 0] < 100.0)
    error = np.abs(first[usable] / second[usable] - 1.0)
    per_star = seconds / len(x) * 1e6
    tail = np.quantile(error, 0.99, axis=0).max()
    only = cpu_seconds(lambda: finder(*phase, delta=focal / RO, use_physical=False), 3) / len(x) * 1e6
    return Comparison(
        name=f"actions, frequencies, eccentricity, z_max, turning points of {len(x)} {kind} stars, MWPotential2014",
        peer="galpy, C",
        seconds=seconds,
        peer_seconds=peer_seconds,
        difference=float(np.median(error, axis=0).max()),
        tolerance=1e-3,
        unit="(median, relative)",
        work=len(x),
        work_unit="stars",
        note=f"{per_star:.1f} us a star ({peer_seconds / len(x) * 1e6:.0f} in galpy, whose actions alone take "
        f"{only:.0f}); the same focal length for each star in both, drawn from 2.5-4.5 kpc; the worst of the nine "
        f"differs by {tail:.1e} at the 99th percentile over {usable.sum()} stars where galpy converges.",
    )


def _disk() -> list[Comparison]:
    progress.say("dynamics: orbits of disk stars")
    model = potential("MilkyWayPotential")
    x, v = _stars(DISK_STARS, 0.0, 3)
    name = f"{DISK_STARS} disk stars, 1 Gyr, last position, MilkyWayPotential"
    return _orbits(name, model, x, v, 1.0, 1e-10, 1e-5)


def _launched() -> list[Comparison]:
    progress.say("dynamics: launches from 3 pc")
    rng = generator(4)
    out = rng.normal(size=(LAUNCHED, 3))
    out /= np.linalg.norm(out, axis=1)[:, None]
    x, v = 0.003 * out, rng.uniform(600.0, 1500.0, LAUNCHED)[:, None] * out
    name = f"{LAUNCHED} launches from 3 pc at 600-1500 km/s, 100 Myr, last position, Marchetti2017"
    return _orbits(name, potential("Marchetti2017"), x, v, 0.1, 3e-10, 1e-4)


def _orbits(name, model, x, v, end, tolerance, apart) -> list[Comparison]:
    from gala.dynamics import PhaseSpacePosition
    from galpy.orbit import Orbit

    gala, galpy = model.to_gala(), model.to_galpy(RO, VO)
    start = PhaseSpacePosition(pos=x.T * u.kpc, vel=v.T * u.km / u.s)
    radius, angle = np.hypot(x[:, 0], x[:, 1]), np.arctan2(x[:, 1], x[:, 0])
    out, around = (np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))
    v_r, v_t = (a[0] * v[:, 0] + a[1] * v[:, 1] for a in (out, around))
    phase = np.stack([radius / RO, v_r / VO, v_t / VO, x[:, 2] / RO, v[:, 2] / VO, angle], axis=-1)
    times = np.array([0.0, end])

    def ours():
        return integrate(model, x, v, [end], tolerance=tolerance)

    def with_gala():
        path = gala.integrate_orbit(
            start, t=times * u.Gyr, Integrator="dop853", Integrator_kwargs={"atol": 1e-10, "rtol": 1e-10}
        )
        return path.xyz.to_value(u.kpc)[:, -1].T, path.v_xyz.to_value(u.km / u.s)[:, -1].T

    def with_galpy():
        orbits = Orbit(phase, ro=RO, vo=VO)
        orbits.integrate(times * u.Gyr, galpy, method="dop853_c", progressbar=False)
        t = times[-1] * u.Gyr
        place = np.stack([orbits.x(t), orbits.y(t), orbits.z(t)], axis=-1)
        return place, np.stack([orbits.vx(t), orbits.vy(t), orbits.vz(t)], axis=-1)

    seconds, found = cpu_seconds(ours), ours()
    energy = model.value(x) + 0.5 * np.sum(v * v, axis=1)
    lines = []
    for peer, work in (("gala, dop853", with_gala), ("galpy, dop853_c", with_galpy)):
        peer_seconds, (place, motion) = cpu_seconds(work, 3), work()
        lost = np.abs((model.value(place) + 0.5 * np.sum(motion**2, axis=1)) / energy - 1.0)
        lines.append(
            Comparison(
                name=name,
                peer=peer,
                seconds=seconds,
                peer_seconds=peer_seconds,
                difference=float(np.median(np.linalg.norm(found.positions[:, 0] - place, axis=1))),
                tolerance=apart,
                unit="kpc (median)",
                work=len(x),
                work_unit="orbits",
                note=f"|dE/E| median {np.median(found.energy_error):.1e}, worst {found.energy_error.max():.1e} here; "
                f"{np.median(lost):.1e}, {lost.max():.1e} in {peer}.",
            )
        )
    return lines


def _streams() -> Comparison:
    """Orbits of 22 streams' samples; gala does a share of them."""
    progress.say("dynamics: 22 x 1000 orbits of 5 Gyr")
    from gala.dynamics import PhaseSpacePosition

    rng, model = generator(5), potential("MilkyWayPotential")
    count = STREAMS * DRAWS
    places = rng.normal(0.0, 1.0, (STREAMS, 1, 3)) * 12.0 + rng.normal(0.0, 0.1, (STREAMS, DRAWS, 3))
    motions = rng.normal(0.0, 110.0, (STREAMS, 1, 3)) + rng.normal(0.0, 2.0, (STREAMS, DRAWS, 3))
    x, v = places.reshape(count, 3), motions.reshape(count, 3)
    share, times = slice(0, count, 50), np.linspace(0.0, 5.0, 501)

    def ours():
        worst = 0.0
        for start in range(0, count, DRAWS):
            part = slice(start, start + DRAWS)
            found = integrate(model, x[part], v[part], times, tolerance=1e-9)
            worst = max(worst, float(np.nanmax(found.energy_error)))
        return worst

    started = time.process_time()
    worst = ours()
    seconds = time.process_time() - started
    gala = model.to_gala()
    start = PhaseSpacePosition(pos=x[share].T * u.kpc, vel=v[share].T * u.km / u.s)

    def peer():
        return gala.integrate_orbit(
            start, t=times * u.Gyr, Integrator="dop853", Integrator_kwargs={"atol": 1e-9, "rtol": 1e-9}
        )

    peer_seconds = cpu_seconds(peer, 1) * 50
    path = peer()
    near = np.asarray(path.pericenter(approximate=True).to_value(u.kpc))
    found = integrate(model, x[share], v[share], times, tolerance=1e-9)
    difference = np.nanmedian(np.abs(near / found.pericenter - 1.0))
    return Comparison(
        name=f"{STREAMS} x {DRAWS} orbits of 5 Gyr, 501 positions each, turning points, MilkyWayPotential",
        peer="gala, dop853",
        seconds=seconds,
        peer_seconds=peer_seconds,
        difference=float(difference),
        tolerance=2e-2,
        unit="of the pericenter (median)",
        work=count,
        work_unit="orbits",
        note=f"one call; the bar is 60 s. Worst |dE/E| {worst:.1e}. gala: 440 of them, times 50, without turning "
        "points; its pericenters, taken for the comparison from the positions 10 Myr apart, are coarser.",
    )


def _table() -> str:
    progress.say("dynamics: a table with errors")
    rng, count = generator(6), TABLE_STARS
    x = GalacticFrame().sun.x + rng.normal(0.0, 1.0, (count, 3)) * np.array([1.5, 1.5, 0.4])
    seen = GalacticFrame().to_icrs(x, _stars(count, 0.0, 7)[1])
    stars = QTable({"ra": seen.ra, "dec": seen.dec, "parallax": 1.0 / seen.distance})
    stars["pmra"], stars["pmdec"], stars["radial_velocity"] = seen.pmra, seen.pmdec, seen.radial_velocity
    for name, error in (("parallax", 0.02), ("pmra", 0.02), ("pmdec", 0.02), ("radial_velocity", 1.0)):
        stars[f"{name}_error"] = np.full(count, error)
    with tempfile.TemporaryDirectory() as folder:
        path = write_table(stars, Path(folder) / "stars.parquet")
        orbits_of_table(path, Path(folder) / "warm.parquet", samples=2, workers=1)
        started = time.process_time()
        orbits_of_table(path, Path(folder) / "orbits.parquet", samples=SAMPLES, workers=1)
        seconds = time.process_time() - started
    hours = seconds / count * GAIA_STARS / 3600.0
    return (
        f"A table of {count} stars with {SAMPLES} draws from each star's errors, MilkyWayPotential2022, files read and "
        f"written: {seconds / count * 1e3:.2f} ms of CPU a star; 33 million such stars would take {hours:.1f} hours of "
        "one core."
    )
