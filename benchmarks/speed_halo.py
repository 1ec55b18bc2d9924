"""Halo: the likelihood against plain numpy, NUTS against emcee over numpy, distribution functions and grids of
completeness against galpy."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping

import numpy as np
from side_by_side import HEADER, Comparison, cpu_seconds

from starloom import progress
from starloom.datasets.access import open_table
from starloom.dynamics.distribution_functions import constant_anisotropy
from starloom.dynamics.spherical_potentials import SphericalPotential
from starloom.dynamics.tracer_densities import TwoPowerLawTracer
from starloom.halo.completeness import KinematicTest, along_fields
from starloom.halo.density import DensityModel
from starloom.halo.likelihood import HaloLikelihood, Volume
from starloom.halo.mock import BROKEN
from starloom.halo.orientation import axes
from starloom.halo.posterior import Posterior, best_fit, sample_posterior
from starloom.halo.scene import REST_BETA, constant_beta, galaxy
from starloom.halo.selections import Motion, kinematic, local_or_nearest
from starloom.halo.survey import FRAME
from starloom.seeds import generator
from starloom.selection.sampling_fractions import SamplingFractions

FIELDS, MODULI, STARS = 300, 301, 500
WALKERS, STEPS, DISCARD = 40, 2000, 500
DRAWS, PEERS = 1000, 6
OPERATIONS = 120  # of the kernel, by count: form 11, logarithm 25, profile 8, exponential 31, sums 45
SUN = FRAME.sun.x


def made() -> HaloLikelihood:
    """500 stars of the broken truth in 300 x 301 cells that all count."""
    rng = generator(1)
    u = rng.normal(size=(FIELDS, 3))
    u /= np.linalg.norm(u, axis=1)[:, None]
    distance = 10.0 ** (np.linspace(7.0, 19.0, MODULI) / 5.0 - 2.0)
    x = (u[:, None, :] * distance[:, None] + SUN).reshape(-1, 3)
    volume = Volume(x, np.tile(distance**3 / (1.0 + (distance / 10.0) ** 4), FIELDS), SUN)
    model = DensityModel("broken")
    rate = model.density([BROKEN[name] for name in model.names], x, SUN) * volume.weight
    return HaloLikelihood(model, x[rng.choice(len(x), STARS, p=rate / rate.sum())], volume)


def in_numpy(likelihood: HaloLikelihood, parameters: np.ndarray) -> float:
    """The same in plain numpy, as one would write it."""
    value = dict(zip(likelihood.model.names, parameters, strict=True))
    rows = axes(value)
    a1, a2, r1 = value["inner_slope"], value["outer_slope"], value["break_radius"]

    def density(x: np.ndarray) -> np.ndarray:
        turned = x @ rows.T
        m = np.sqrt(turned[:, 0] ** 2 + (turned[:, 1] / value["p"]) ** 2 + (turned[:, 2] / value["q"]) ** 2)
        return np.where(m <= r1, m**-a1, r1 ** (a2 - a1) * m**-a2)

    total = np.sum(density(likelihood.volume.x) * likelihood.volume.weight)
    return float(np.sum(np.log(density(likelihood.stars))) - len(likelihood.stars) * np.log(total))


def section() -> tuple[str, bool]:
    """The section of the page, and whether all results agree."""
    likelihood = made()
    lines = [_likelihood(likelihood), _sampling(likelihood), _functions(), _completeness()]
    rows = "\n".join(line.row() for line in lines)
    notes = "\n".join(f"- {line.name}: {line.note}" for line in lines if line.note)
    return f"## halo\n\n{HEADER}\n{rows}\n\n{notes}\n", all(line.agrees for line in lines)


def _likelihood(likelihood: HaloLikelihood) -> Comparison:
    progress.say("halo: likelihood")
    y = likelihood.model.coordinates(BROKEN)
    parameters = likelihood.model.physical(y)
    seconds = cpu_seconds(lambda: likelihood.value_and_gradient(y), 31)
    two = HaloLikelihood(likelihood.model, likelihood.stars, likelihood.volume, threads=2)
    wall = []
    for _ in range(31):
        started = time.perf_counter()
        two.value_and_gradient(y)
        wall.append(time.perf_counter() - started)
    exact, plain = likelihood.value_and_gradient(y)[0], in_numpy(likelihood, parameters)
    return Comparison(
        name=f"broken density, {FIELDS} x {MODULI} cells: value and gradient, here against the value",
        peer="numpy",
        seconds=seconds,
        peer_seconds=cpu_seconds(lambda: in_numpy(likelihood, parameters), 15),
        difference=abs(exact / plain - 1.0),
        tolerance=1e-10,
        unit="(relative)",
        work=1,
        work_unit="values",
        note=f"with two threads {1e3 * np.median(wall):.2f} ms of wall time (the best {1e3 * min(wall):.2f}) in the "
        f"same process; the bar is 1.5 ms. About {OPERATIONS} operations a cell, a logarithm and an exponential among "
        f"them: {1e-9 * OPERATIONS * FIELDS * MODULI / seconds:.0f} GFLOP/s on one thread.",
    )


def _sampling(likelihood: HaloLikelihood) -> Comparison:
    progress.say("halo: NUTS")
    began, wall = time.process_time(), time.perf_counter()
    start = best_fit(likelihood, seed=1)
    fitted = time.process_time() - began
    nuts = sample_posterior(likelihood, start=start, seed=1)
    seconds, wall = time.process_time() - began, time.perf_counter() - wall
    progress.say("halo: emcee")
    began = time.process_time()
    walk = _in_the_papers_parameters(likelihood, start.parameters)
    peer_seconds = time.process_time() - began
    sizes = [float(np.min(part.effective_size)) for part in (nuts, walk)]
    worst = max(abs(nuts.of(n).mean() - walk.of(n).mean()) / walk.of(n).std() for n in ("inner_slope", "outer_slope"))
    return Comparison(
        name="one effective draw of the broken density's posterior, of the slowest measure",
        peer="emcee, numpy",
        seconds=seconds / sizes[0],
        peer_seconds=peer_seconds / sizes[1],
        difference=worst,
        tolerance=1.0,
        unit="sigma",
        work=1,
        work_unit="draws",
        note=f"blind best fit and posterior of {nuts.flat.shape[0]} draws in {seconds:.1f} CPU s ({fitted:.1f} of them "
        f"the fit; {wall:.1f} s of wall time; the bar is 60 s): {sizes[0]:.0f} effective draws, {nuts.evaluations} "
        f"gradients. emcee, started at the best fit, in the parameters of arXiv:2306.03084: {WALKERS} walkers, {STEPS} "
        f"steps, {DISCARD} of them left out but timed, {peer_seconds:.0f} s, {sizes[1]:.0f} effective draws. The bar "
        "is 20 times.",
    )


def _in_the_papers_parameters(likelihood: HaloLikelihood, best: Mapping[str, float]) -> Posterior:
    """Draws by emcee of p, q, theta, eta, angle and the radial numbers, with the paper's flat priors."""
    import emcee

    names = likelihood.model.names
    low = dict.fromkeys(names, 0.0) | {"p": 0.1, "q": 0.1, "eta": 0.5, "break_radius": 2.0}
    high = dict.fromkeys(names, 10.0) | {"p": 1.0, "q": 1.0, "theta": 2.0 * np.pi, "eta": 1.0, "angle": np.pi,
                                         "break_radius": 55.0}  # fmt: skip
    bounds = np.array([[low[name], high[name]] for name in names])
    inner, outer = names.index("inner_slope"), names.index("outer_slope")

    def log_posterior(parameters: np.ndarray) -> float:
        inside = ((parameters >= bounds[:, 0]) & (parameters <= bounds[:, 1])).all()
        if not inside or parameters[inner] > parameters[outer]:
            return -np.inf
        return in_numpy(likelihood, parameters)

    rng = np.random.default_rng(1)
    first = np.array([best[name] for name in names]) + 1e-3 * rng.normal(size=(WALKERS, len(names)))
    sampler = emcee.EnsembleSampler(WALKERS, len(names), log_posterior)
    sampler.random_state = np.random.RandomState(1).get_state()
    sampler.run_mcmc(np.clip(first, bounds[:, 0] + 1e-6, bounds[:, 1] - 1e-6), STEPS, progress=False)
    draws = np.moveaxis(sampler.get_chain(discard=DISCARD), 0, 1)
    values = np.moveaxis(sampler.get_log_prob(discard=DISCARD), 0, 1)
    return Posterior(names, draws, draws, values, method="emcee")


def _functions() -> Comparison:
    progress.say("halo: distribution functions")
    from galpy.df import eddingtondf
    from galpy.potential import HernquistPotential, NFWPotential
    from galpy.util import conversion

    ro, vo, scale = 8.0, 220.0, 20.0
    pot = NFWPotential(a=2.0, normalize=1.0, ro=ro, vo=vo)
    density = HernquistPotential(a=scale / ro, ro=ro, vo=vo)
    unit = conversion.mass_in_msol(vo, ro)
    pot.turn_physical_off()

    def enclosed(r: np.ndarray) -> np.ndarray:
        return unit * np.array([float(pot.mass(x / ro)) for x in r])

    sphere = SphericalPotential.from_mass(enclosed)

    def ours() -> np.ndarray:
        function = constant_anisotropy(sphere, TwoPowerLawTracer(1.0, 4.0, scale), 0.0)
        return function.sample_velocities([[8.0, 0.0, 0.0]], 1000, 1)[0]

    began = time.process_time()
    peer = eddingtondf(pot=pot, denspot=density, rmax=40.0)
    drawn = peer.sample(R=np.ones(1000), z=np.zeros(1000), phi=np.zeros(1000), n=1000, return_orbit=False)
    peer_seconds = time.process_time() - began
    function = constant_anisotropy(sphere, TwoPowerLawTracer(1.0, 4.0, scale), 0.0)
    spread = float(np.std(np.asarray(drawn[1], dtype=float))) * vo
    return Comparison(
        name="an isotropic distribution function of a Hernquist density in an NFW halo, made, and 1000 velocities",
        peer="galpy eddingtondf",
        seconds=cpu_seconds(ours, 3),
        peer_seconds=peer_seconds,
        difference=abs(spread / float(function.radial_dispersion(8.0)) - 1.0),
        tolerance=0.1,
        unit="of sigma_r",
        work=1,
        work_unit="functions",
        note="galpy's constantbetadf for any density needs jax, which is no dependency; the bar is 1 s here.",
    )


def _completeness() -> Comparison:
    progress.say("halo: the full grid of completeness")
    from galpy.actionAngle import actionAngleStaeckel
    from galpy.potential import MWPotential2014

    test = KinematicTest(constant_beta(), constant_beta(REST_BETA), galaxy(), "e-Lz", DRAWS)
    fields = SamplingFractions.from_table(open_table("apogee_sampling_fractions")).fields
    along_fields(test, fields.l[:2], fields.b[:2], frame=FRAME, seed=1)  # compiles
    began, wall = time.process_time(), time.perf_counter()
    grid = along_fields(test, fields.l, fields.b, frame=FRAME, seed=1, workers=2)
    seconds, wall = time.process_time() - began, time.perf_counter() - wall
    # the peer's share of the work, orbits of draws that are there already, on a few places of the same grid
    x = FRAME.from_galactic(fields.l[:PEERS, None], fields.b[:PEERS, None], np.array([2.0, 8.0, 20.0])).reshape(-1, 3)
    v = test.merger.sample_velocities(x, DRAWS // 5, 3)
    where, flat = np.repeat(x, DRAWS // 5, axis=0), v.reshape(-1, 3)
    motion = Motion.of(galaxy(), (where, flat), workers=1)
    focal = local_or_nearest(galaxy(), where)
    finder = actionAngleStaeckel(pot=MWPotential2014, delta=0.45, c=True, ro=8.0, vo=220.0)
    phase = (np.hypot(where[:, 0], where[:, 1]) / 8.0, motion.v_r / 220.0, motion.v_t / 220.0, where[:, 2] / 8.0,
             flat[:, 2] / 220.0)  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        began = time.process_time()
        e = np.asarray(finder.EccZmaxRperiRap(*phase, delta=focal / 8.0, use_physical=False)[0])
        peer = time.process_time() - began
    theirs = Motion(motion.l_z, motion.action_r, motion.action_z, e, motion.energy, motion.v_r, motion.v_t, motion.v_z)
    inside = [kinematic("e-Lz")(part) for part in (motion, theirs)]
    draws = 2 * DRAWS * grid.counts.inside[..., 0].size
    return Comparison(
        name=f"the full grid of completeness: {len(fields.l)} fields x {grid.modulus.size} distances x 2 functions x "
        f"{DRAWS} draws",
        peer="galpy, C, eccentricities alone",
        seconds=seconds,
        peer_seconds=peer / len(where) * draws,
        difference=float(np.mean(inside[0] != inside[1])),
        tolerance=0.01,
        unit="of the draws judged otherwise",
        work=draws,
        work_unit="draws",
        note=f"on two threads {wall:.0f} s of wall time beside other work; the bar is 300 s. The peer's time is that "
        f"of {len(where)} draws, times their number; orbits that the angular momentum alone rules out are left out.",
    )
