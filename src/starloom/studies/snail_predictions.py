"""Settings under which gaia-snail asks for ages: definitions, noises, potentials, radii, and the check by particles."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from starloom.results.record import Bar, Published, Results

if TYPE_CHECKING:
    from astropy.table import QTable
    from numpy.typing import NDArray

    from starloom.disk.snail_response import Ages, SnailModel
    from starloom.studies.gaia_snail import Config

RADII = np.arange(5.0, 12.1, 1.0)
FEW = 20_000
IMPULSE, AFTER = 1.0, 0.2  # km/s, Gyr


def definitions(config: Config, model: SnailModel, ages: Ages) -> QTable:
    """Apparent ages under other definitions, heatings, noises and potentials: a row each."""
    from astropy import units as u
    from astropy.table import QTable

    from starloom.disk.snail_noise import ColoredNoise, Subhalos
    from starloom.disk.snail_response import Amplification
    from starloom.dynamics.potentials import potential
    from starloom.dynamics.vertical_actions import VerticalActions, VerticalPotential

    count, seed, workers = min(config.draws, FEW), config.seed, config.workers
    names: list[str] = []
    rows: list[NDArray[np.float64]] = []
    listed: list[bool] = []

    def add(name: str, found: NDArray[np.float64], show: bool = True) -> None:
        names.append(name)
        rows.append(np.asarray(found))
        listed.append(show)

    def drawn(**changes: object) -> NDArray[np.float64]:
        return replace(model, **changes).ages(count, seed=seed, workers=workers).quantiles()  # type: ignore[arg-type]

    add("as above", ages.quantiles(), False)
    add("slope of the phase instead of the filter", np.quantile(ages.slope, [0.16, 0.5, 0.84]), False)
    add("older than the resolution", ages.quantiles(above=model.resolution))
    strong = ages.strength >= np.quantile(ages.strength, 0.9)
    add("the strongest tenth of the spirals", np.quantile(ages.matched[strong], [0.16, 0.5, 0.84]))
    clear = ages.coherence >= np.quantile(ages.coherence, 0.9)
    add("the tenth that one age describes best", np.quantile(ages.matched[clear], [0.16, 0.5, 0.84]))
    add("all actions weigh the same", drawn(weighting="flat"))
    add("actions from 20 to 100 kpc km/s", drawn(low=20.0, high=100.0))
    add("half the heating", drawn(heating=0.5 * config.heating))
    add("twice the heating", drawn(heating=2.0 * config.heating))
    add("the diffusion equation in the place of the local law", drawn(erosion="full"))
    add("colored noise, 30 Myr", model.ages(count, ColoredNoise(1.0, 0.03), seed=seed, workers=workers).quantiles())
    add(
        "flybys of subhalos", model.ages(min(count, 2000), Subhalos(b_high=8.0), seed=seed, workers=workers).quantiles()
    )
    add("amplified threefold over 0.1 Gyr", drawn(amplification=Amplification(3.0)))
    breathing = replace(model, harmonic=2)
    add("two-armed, from breathing", breathing.ages(count, seed=seed, workers=workers).quantiles())
    galaxy = VerticalActions(VerticalPotential.at_radius(potential("MWPotential2014"), 8.0), 6.0)
    add("MWPotential2014 at 8 kpc in the place of the slab", drawn(actions=galaxy))
    still = replace(model, heating=0.0, span=10.0, steps=2000, oldest=2.0)
    add("no heating, 10 Gyr of noise", still.ages(min(count, 8000), seed=seed, workers=workers).quantiles(), False)
    low, middle, high = np.array(rows).T
    table = QTable({"definition": names})
    table["median"], table["low"], table["high"] = middle * u.Gyr, low * u.Gyr, high * u.Gyr
    table["listed"] = listed
    return table


def shakers(results: Results, config: Config, model: SnailModel) -> None:
    """What subhalos and molecular clouds do in numbers, each under its stated assumptions."""
    from starloom.disk.snail_noise import MolecularClouds, Subhalos
    from starloom.dynamics.orbits import TIME_UNIT

    noise = Subhalos()
    sample = noise.sample(100, model.steps, model.step, np.random.default_rng([config.seed, 3]))
    near = np.argmin(np.abs(model.j - model.scale))
    moved = float(np.sqrt(np.mean(model.amplitudes(sample)[:, near].real ** 2)))
    results.number(
        "subhalos of 1e6 to 1e8 Msun: rms of the mean vertical velocity", moved, "km/s", bar=Bar("in", (0.05, 1.0)),
        meaning=f"at J = {model.scale:g} kpc km/s; dN/dM ~ M^-1.9, {noise.mass_density:.3g} Msun/kpc^3 in subhalos, an "
        f"assumption, flybys at {noise.speed:g} km/s; it goes as the root of that density",
        published=Published(0.3, "arXiv:2412.02757 (abstract)", 0.1, 0.5, comparable=False),
    )  # fmt: skip
    clouds = MolecularClouds()
    z_max = float(model.actions.z_max(model.scale))
    share = 2.0 / np.pi * float(np.arcsin(min(1.0, 0.5 * clouds.thickness / z_max)))
    results.number(
        "heating by molecular clouds alone", clouds.heating(float(model.omega[near]) * TIME_UNIT, share),
        "kpc km/s/Gyr",
        meaning=f"at J = {model.scale:g} kpc km/s, {clouds.surface_density:g} Msun/pc^2 of clouds from 1e4 to 10^6.5 "
        "Msun; the study's own heating is what stars show, whatever its cause",
        published=Published(1.6, "arXiv:1808.03278: all heating, near the Sun (abstract)", comparable=False),
    )  # fmt: skip


def along_radius(config: Config) -> QTable:
    """Predicted ages against angular momentum, with the same heating everywhere."""
    from astropy import units as u
    from astropy.table import QTable

    from starloom.disk.snail_response import SnailModel
    from starloom.dynamics.potentials import potential
    from starloom.dynamics.vertical_actions import VerticalActions, VerticalPotential

    galaxy = potential("MWPotential2014")
    rows = []
    for radius in RADII:
        actions = VerticalActions(VerticalPotential.at_radius(galaxy, float(radius)), 8.0)
        high = min(config.high, 0.99 * actions.action_top)
        model = SnailModel(actions, config.heating, config.scale, config.low, high, oldest=config.oldest)
        ages = model.ages(min(config.draws, FEW) // 2, seed=config.seed, workers=config.workers)
        clear = ages.quantiles(above=model.resolution)
        rows.append([*ages.quantiles(), *clear, model.resolution, float(model.lifetime(20.0))])
    columns = np.array(rows).T
    table = QTable()
    table["guiding_radius"] = RADII * u.kpc
    table["l_z"] = RADII * galaxy.circular_velocity(RADII) * u.kpc * u.km / u.s
    names = ("low", "median", "high", "clear_low", "clear_median", "clear_high", "resolution", "lifetime_at_20")
    for name, values in zip(names, columns, strict=True):
        table[name] = values * u.Gyr
    return table


def check_by_particles(results: Results, config: Config, model: SnailModel) -> None:
    """One kick to test particles, against the linear response; and what scattering leaves of a spiral."""
    from starloom.disk.snail_diffusion import diffuse
    from starloom.disk.snail_particles import Particles
    from starloom.dynamics.orbits import TIME_UNIT

    edges, turns, fine = np.linspace(5.0, 60.0, 12), 12, 6
    still = replace(model, heating=0.0, span=2.0 * AFTER, steps=200, amplification=None)
    bin_ = int(AFTER / still.step)
    impulses = np.zeros(still.steps)
    impulses[bin_] = IMPULSE
    stars = Particles.quiet(model.actions, config.particles, scale=model.scale, high=90.0, seed=config.seed)
    stars.kick(IMPULSE, workers=config.workers).drift(float(still.ages_ago[bin_]), workers=config.workers)
    seen = stars.contrast(edges, turns, model.scale)
    step = (edges[1] - edges[0]) / fine
    action = (edges[:-1, None] + (np.arange(fine) + 0.5) * step).ravel()
    angle = (np.arange(turns * fine) + 0.5) * 2.0 * np.pi / (turns * fine)
    weight = np.exp(-action / model.scale)
    made = still.contrast(impulses, action[:, None], angle[None, :]) * weight[:, None]
    cells = made.reshape(len(edges) - 1, fine, turns, fine).sum(axis=(1, 3))
    cells /= fine * weight.reshape(-1, fine).sum(axis=1)[:, None]
    error = float(np.sqrt(np.mean((seen - cells) ** 2)) / cells.std())
    results.number(
        "linear response against particles", 100.0 * error, "%",
        bar=Bar("<=", 5.0) if config.particles >= 1_000_000 else None,
        meaning=f"rms difference over rms contrast, {IMPULSE:g} km/s kick, {AFTER:g} Gyr later, {config.particles} "
        "particles, whose own noise is part of it",
    )  # fmt: skip
    if model.heating == 0:
        return
    times = np.asarray((np.arange(61) + 0.5) * 0.01, dtype=np.float64)
    places = np.array([10.0, 20.0, 40.0])

    def background(j: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.exp(-j / model.scale)

    spiral = diffuse(model.actions, model.heating, background, times, places)[-2]
    smooth = diffuse(model.actions, model.heating, background, times, places, harmonic=0)[-2]
    stars = Particles.quiet(model.actions, config.particles, scale=model.scale, seed=config.seed)
    stars.theta[:] = 0.0
    age = float(times[-2])
    stars.drift(age, heating=model.heating, workers=config.workers)
    assert stars.weight is not None  # a quiet start has weights
    for place, left in zip(places, np.abs(spiral / smooth), strict=True):
        near = np.abs(stars.action - place) < 1.0
        unwound = np.exp(1j * (stars.theta[near] - model.actions.omega(stars.action[near]) / TIME_UNIT * age))
        found = abs(np.sum(stars.weight[near] * unwound)) / stars.weight[near].sum()
        results.number(
            f"left of a spiral at J = {place:g} after {age:.3f} Gyr: particles", float(found), "",
            meaning=f"the diffusion equation gives {left:.3f}, the local t^3 law "
            f"{float(np.exp(-((age / model.lifetime(place)) ** 3))):.3f}",
        )  # fmt: skip
