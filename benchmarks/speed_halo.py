"""Halo: the likelihood against plain numpy, NUTS against emcee over numpy, distribution functions against galpy."""

from __future__ import annotations

import time

import numpy as np
from side_by_side import HEADER, Comparison, cpu_seconds

from starloom import progress
from starloom.dynamics.distribution_functions import constant_anisotropy
from starloom.dynamics.spherical_potentials import SphericalPotential
from starloom.dynamics.tracer_densities import TwoPowerLaw
from starloom.halo.density import DensityModel, axes
from starloom.halo.likelihood import HaloLikelihood, Volume
from starloom.halo.mock import BROKEN
from starloom.halo.posterior import best_fit, sample_emcee, sample_posterior
from starloom.halo.survey import FRAME
from starloom.seeds import generator

FIELDS, MODULI, STARS = 300, 301, 500
WALKERS, STEPS, DISCARD = 40, 700, 300
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
    lines = [_likelihood(likelihood), _sampling(likelihood), _functions()]
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
        note=f"with two threads {1e3 * np.median(wall):.2f} ms of wall time in the same process; the bar is 1.5 ms.",
    )


def _sampling(likelihood: HaloLikelihood) -> Comparison:
    progress.say("halo: NUTS and emcee")
    start = best_fit(likelihood, starts=4, seed=1)
    began = time.process_time()
    nuts = sample_posterior(likelihood, start=start, chains=2, draws=400, tune=300, seed=1)
    seconds = time.process_time() - began
    model = likelihood.model

    def log_posterior(y: np.ndarray) -> float:
        normal = model.gaussian
        prior = np.where(normal, -0.5 * y**2, -np.abs(y) - 2.0 * np.log1p(np.exp(-np.abs(y)))).sum()
        return in_numpy(likelihood, model.physical(y)) + float(prior)

    began = time.process_time()
    walk = sample_emcee(log_posterior, likelihood, start, walkers=WALKERS, steps=STEPS, discard=DISCARD)
    peer_seconds = time.process_time() - began
    sizes = [float(np.min(part.effective_size)) for part in (nuts, walk)]
    worst = max(abs(nuts.of(n).mean() - walk.of(n).mean()) / walk.of(n).std() for n in ("inner_slope", "outer_slope"))
    return Comparison(
        name="one effective draw of the broken density's posterior, of the slowest coordinate",
        peer="emcee, numpy",
        seconds=seconds / sizes[0],
        peer_seconds=peer_seconds / sizes[1],
        difference=worst,
        tolerance=1.0,
        unit="sigma",
        work=1,
        work_unit="draws",
        note=f"NUTS: {seconds:.0f} s, {sizes[0]:.0f} effective draws, {nuts.evaluations} gradients; emcee: "
        f"{WALKERS} walkers, {STEPS} steps, {peer_seconds:.0f} s, {sizes[1]:.0f} effective draws. The bar is 20 times.",
    )


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
        function = constant_anisotropy(sphere, TwoPowerLaw(1.0, 4.0, scale), 0.0)
        return function.sample_velocities([[8.0, 0.0, 0.0]], 1000, 1)[0]

    began = time.process_time()
    peer = eddingtondf(pot=pot, denspot=density, rmax=40.0)
    drawn = peer.sample(R=np.ones(1000), z=np.zeros(1000), phi=np.zeros(1000), n=1000, return_orbit=False)
    peer_seconds = time.process_time() - began
    function = constant_anisotropy(sphere, TwoPowerLaw(1.0, 4.0, scale), 0.0)
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
