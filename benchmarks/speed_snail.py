"""The snail: vertical actions against galpy, random spirals against the matrix product, particles against numpy."""

from __future__ import annotations

import resource
import time
import warnings

import numpy as np
from side_by_side import Comparison, cpu_seconds, table

from starloom import progress
from starloom.disk.snail_noise import WhiteNoise
from starloom.disk.snail_particles import Particles
from starloom.disk.snail_response import DRAWS, SnailModel, peak
from starloom.dynamics.orbits import TIME_UNIT
from starloom.dynamics.potentials import potential
from starloom.dynamics.vertical_actions import VerticalActions, VerticalPotential
from starloom.seeds import generator

STARS, GALPY_STARS = 1_000_000, 30
SPIRALS, MANY_SPIRALS = 10 * DRAWS, 1_000_000
PARTICLES, ALL_PARTICLES, STEP, HEATING = 100_000, 1_000_000, 0.01, 1.6
RO, VO = 8.0, 220.0


def section() -> tuple[str, bool]:
    """The section of the page, and whether all results agree."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        slab = VerticalActions(VerticalPotential.slab(), 6.0)
        model = SnailModel(slab)
        comparisons = [_actions(), _inverse(), _spirals(model), _particles(slab)]
        lines = [_limit(model), _flat(model), _bandwidth(slab)]
    text = f"## snail\n\n{table(comparisons)}\n" + "\n".join(lines) + "\n"
    return text, all(c.agrees for c in comparisons)


def _actions() -> Comparison:
    from galpy.actionAngle import actionAngleVertical
    from galpy.potential import MWPotential2014, toVerticalPotential

    progress.say("snail: vertical actions")
    rng = generator(1)
    z, v = rng.normal(0.0, 0.5, STARS), rng.normal(0.0, 25.0, STARS)
    tables = VerticalActions(VerticalPotential.at_radius(potential("MWPotential2014"), RO))
    finder = actionAngleVertical(pot=toVerticalPotential(MWPotential2014, 1.0))

    def peer() -> np.ndarray:
        found = [
            finder.actionsFreqsAngles(a / RO, b / VO) for a, b in zip(z[:GALPY_STARS], v[:GALPY_STARS], strict=True)
        ]
        return np.array([[float(np.squeeze(part)) for part in one] for one in found])

    started = time.process_time()
    theirs = peer()
    seconds = (time.process_time() - started) * STARS / GALPY_STARS
    ours = tables.find(z[:GALPY_STARS], v[:GALPY_STARS])
    apart = np.abs(ours.action_z / (theirs[:, 0] * RO * VO) - 1.0).max()
    return Comparison(
        "vertical action, angle and frequency", f"galpy, of {GALPY_STARS} stars",
        cpu_seconds(lambda: tables.find(z, v, workers=1)), seconds, float(apart), 1e-4, "relative", STARS, "stars",
        f"MWPotential2014 at 8 kpc; the seconds of galpy are those of {GALPY_STARS} stars, scaled to {STARS:,}",
    )  # fmt: skip


def _inverse() -> Comparison:
    """Back from action and angle, against scipy's search on the forward table."""
    from scipy.optimize import root

    progress.say("snail: back from actions and angles")
    rng = generator(2)
    slab = VerticalActions(VerticalPotential.slab())
    action, theta = rng.exponential(20.0, STARS), rng.uniform(0.0, 2.0 * np.pi, STARS)
    action = np.minimum(action, 200.0)
    few = 200

    def peer() -> np.ndarray:
        found = []
        for j, angle in zip(action[:few], theta[:few], strict=True):

            def miss(place: np.ndarray, j: float = j, angle: float = angle) -> list[float]:
                one = slab.find(place[:1], place[1:], workers=1)
                turn = (one.theta_z[0] - angle + np.pi) % (2.0 * np.pi) - np.pi
                return [one.action_z[0] - j, turn]

            omega = slab.omega(j)
            start = [np.sqrt(2 * j / omega) * np.sin(angle), np.sqrt(2 * j * omega) * np.cos(angle)]
            found.append(root(miss, start).x)
        return np.array(found)

    started = time.process_time()
    theirs = peer()
    seconds = (time.process_time() - started) * STARS / few
    z, v = slab.position(action, theta, workers=1)
    apart = np.abs(np.stack([z, v], 1)[:few] - theirs)
    return Comparison(
        "height and velocity of actions and angles", f"scipy root on the forward table, {few} stars",
        cpu_seconds(lambda: slab.position(action, theta, workers=1), 3), seconds, float(np.median(apart)), 1e-6,
        "kpc, km/s (median)", STARS, "stars",
    )  # fmt: skip


def _spirals(model: SnailModel) -> Comparison:
    progress.say("snail: random spirals")
    edges = np.linspace(0.0, 1.5, 151)
    turned = np.exp(-1j * np.outer(model.omega, model.searched)) * model.weight[:, None]

    def plain() -> np.ndarray:
        total = np.zeros(len(edges) - 1, np.int64)
        for start in range(0, SPIRALS, DRAWS):
            rng = np.random.default_rng([1, start // DRAWS])
            impulses = WhiteNoise(1.0).sample(DRAWS, model.steps, model.step, rng)
            heights = np.abs((impulses @ model.memory) @ turned) ** 2
            total += np.histogram(peak(model.searched, heights)[0], edges)[0]
        return total

    def ours() -> np.ndarray:
        return model.matched_ages(SPIRALS, seed=1, bins=edges)

    differ = float(np.abs(plain() - ours()).sum()) / SPIRALS
    return Comparison(
        "apparent ages of random spirals", "numpy, by way of A(J)", cpu_seconds(ours, 3), cpu_seconds(plain, 3),
        differ, 1e-3, "of the draws in other bins", SPIRALS, "draws",
        f"{model.steps} bins of time, {model.nodes} actions, {len(model.searched)} ages; the noise is drawn by both",
    )  # fmt: skip


def _particles(slab: VerticalActions) -> Comparison:
    progress.say("snail: particles")
    roots = np.linspace(0.0, np.sqrt(slab.action_top), 4096)
    rates = slab.omega(np.minimum(roots**2, slab.action_top)) / TIME_UNIT
    kept: dict[str, np.ndarray] = {}

    def plain() -> None:
        rng = generator(3)
        start = Particles.quiet(slab, PARTICLES, scale=20.0)
        root, theta = np.sqrt(start.action), start.theta
        sigma = np.sqrt(0.5 * HEATING * STEP)
        last = np.interp(root, roots, rates)
        for _ in range(round(1.0 / STEP)):
            root = np.hypot(root + sigma * rng.standard_normal(PARTICLES), sigma * rng.standard_normal(PARTICLES))
            new = np.interp(root, roots, rates)
            theta = theta + 0.5 * (last + new) * STEP
            last = new
        kept["plain"] = root**2

    def ours() -> None:
        stars = Particles.quiet(slab, PARTICLES, scale=20.0, seed=3)
        kept["ours"] = stars.drift(1.0, heating=HEATING, step=STEP, workers=1).action

    seconds, peer_seconds = cpu_seconds(ours, 3), cpu_seconds(plain, 1)
    apart = abs(kept["ours"].mean() / kept["plain"].mean() - 1.0)
    return Comparison(
        "scattering of particles, 1 Gyr in 100 steps", "numpy", seconds, peer_seconds, float(apart), 2e-3,
        "of the mean action", PARTICLES * 100, "steps",
    )  # fmt: skip


def _limit(model: SnailModel) -> str:
    impulses = WhiteNoise(1.0).sample(DRAWS, model.steps, model.step, generator(4))
    filter_ = model._filter
    product = cpu_seconds(lambda: impulses @ filter_)
    whole = cpu_seconds(lambda: model.matched_ages(DRAWS, seed=1, bins=np.linspace(0.0, 1.5, 151)))
    noise = cpu_seconds(lambda: WhiteNoise(1.0).sample(DRAWS, model.steps, model.step, generator(4)))
    return (
        f"- limit of random spirals: the matrix product alone gives {DRAWS / product:,.0f} draws/s, drawing the noise "
        f"alone {DRAWS / noise:,.0f}, both with the search for the peak {DRAWS / whole:,.0f}"
    )


def _flat(model: SnailModel) -> str:
    edges = np.linspace(0.0, 1.5, 151)
    model.matched_ages(DRAWS, seed=1, bins=edges)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    total = model.matched_ages(MANY_SPIRALS, seed=1, bins=edges)
    seconds = time.process_time() - started
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    middle = np.interp(0.5 * total.sum(), np.cumsum(total), edges[1:])
    return (
        f"- {MANY_SPIRALS:,} random spirals streamed: {seconds:.1f} CPU s, {MANY_SPIRALS / seconds:,.0f} draws/s, peak "
        f"memory grows by {grown:.0f} MB; median age {middle:.3f} Gyr"
    )


def _bandwidth(slab: VerticalActions) -> str:
    stars = Particles.quiet(slab, ALL_PARTICLES, scale=20.0)
    started = time.process_time()
    stars.drift(1.0, heating=HEATING, step=STEP, workers=1)
    seconds = time.process_time() - started
    one, two = np.ones(8_000_000), np.zeros(8_000_000)
    copy = cpu_seconds(lambda: np.copyto(two, one))
    moved = 16 * len(one)
    limit = ALL_PARTICLES * 100 * 32 / (moved / copy)
    return (
        f"- {ALL_PARTICLES:,} particles for 1 Gyr in 100 steps of scattering: {seconds:.1f} CPU s, "
        f"{ALL_PARTICLES * 100 / seconds:,.0f} steps/s. Reading and writing all of them each step would take "
        f"{limit:.1f} s at the {moved / copy / 1e9:.1f} GB/s of a copy; they stay in the cache, where "
        "two normal numbers a step set the pace"
    )
