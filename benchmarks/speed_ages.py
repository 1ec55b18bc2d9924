"""Ages of stars: the lattice's posterior against nested sampling of the same model, as MINESweeper samples it."""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray
from side_by_side import Comparison, cpu_seconds, table

from starloom import progress
from starloom.stellar.age_lattice import AgeLattice
from starloom.stellar.age_mock import MadeStars
from starloom.stellar.age_schema import band_column
from starloom.stellar.ages import Floors, StarAges
from starloom.studies.metal_poor_disk import GAIA, Config, Models

Floats = NDArray[np.float64]
STARS, SAMPLED, LIVE = 200, 3, 150
MEASURED = ("fe_h", "teff", "logg", *(band_column(band) for band in GAIA))


def section() -> tuple[str, bool]:
    """The section of the page, and whether all results agree."""
    progress.say("ages: the lattice and nested sampling")
    models = Models.open(Config(), (-3.6, -0.4))
    makes = MadeStars(
        models.grid, models.corrections, GAIA, lambda r: r.uniform(9.0, 14.0), lambda r: r.uniform(-3.0, -1.0)
    )
    stars = makes.sample(STARS, 3)
    model = StarAges(models.lattice, floors=Floors(0.0, 0.0, 0.0, 0.0), workers=1)
    model.posteriors(stars[:2])  # compile
    seconds = cpu_seconds(lambda: model.posteriors(stars))
    ours = model.posteriors(stars[:SAMPLED])
    centers = 0.5 * (ours.age_edges[1:] + ours.age_edges[:-1])
    peers: list[Floats] = []
    peer_seconds = cpu_seconds(lambda: peers.append(_nested(models.lattice, stars[:SAMPLED])), 1)
    spread = np.array([np.sqrt(p @ centers**2 - (p @ centers) ** 2) for p in ours.age_probability])
    off = np.abs(peers[0] - ours.age_probability @ centers) / spread
    comparison = Comparison(
        name=f"full posteriors of turn-off stars from Teff, log g, [Fe/H], parallax and {len(GAIA)} magnitudes, A star",
        peer=f"dynesty, {LIVE} live points, {SAMPLED} stars, scaled to {STARS}",
        seconds=seconds,
        peer_seconds=peer_seconds * STARS / SAMPLED,
        difference=float(off.max()),
        tolerance=0.5,
        unit="of the posterior's width in mean age",
        work=STARS,
        work_unit="stars",
        note="one thread; the packages astro-brutus and isochrones fetch their grids from elsewhere and were not run",
    )  # fmt: skip
    return f"## ages of stars\n\n{table([comparison])}", comparison.agrees


def _nested(lattice: AgeLattice, stars: QTable) -> Floats:
    """Mean ages by nested sampling over [Fe/H], age, EEP, distance modulus and A_V."""
    from dynesty import NestedSampler
    from scipy.interpolate import RegularGridInterpolator

    weight = np.concatenate([lattice.weight, lattice.weight[:, :, -1:]], axis=2)
    with np.errstate(divide="ignore"):
        stacked = np.concatenate(
            [
                10.0 ** lattice.log_teff[..., None], lattice.logg[..., None], np.log(weight)[..., None],
                lattice.magnitudes[..., :3], lattice.reddening[..., :3],
            ],
            axis=-1,
        )  # fmt: skip
    at = RegularGridInterpolator((lattice.fe_h, lattice.log_age, lattice.eep), stacked, bounds_error=False)
    low = np.array([lattice.fe_h[0], lattice.log_age[0], 300.0, 5.0, 0.0])
    high = np.array([lattice.fe_h[-1], lattice.log_age[-1], 560.0, 18.0, 0.2])
    means = np.empty(len(stars))
    for row in range(len(stars)):
        seen: dict[str, Any] = {
            name: float(getattr(stars[name][row], "value", stars[name][row])) for name in stars.colnames
        }
        mean = np.array([seen[name] for name in MEASURED])
        error = np.array([seen[f"{name}_error"] for name in MEASURED])

        def log_likelihood(p: Floats, seen: dict[str, Any] = seen, mean: Floats = mean, error: Floats = error) -> float:
            star = at(p[:3])[0]
            if not np.isfinite(star).all():
                return -1e300
            distance = 10.0 ** (0.2 * p[3] - 2.0)
            shown = np.concatenate([[p[0]], star[:2], star[3:6] + star[6:9] * p[4] + p[3]])
            value = -0.5 * np.sum(((shown - mean) / error) ** 2)
            value -= 0.5 * ((1.0 / distance - seen["parallax"]) / seen["parallax_error"]) ** 2
            value -= 0.5 * ((p[4] - seen["a_v"]) / seen["a_v_error"]) ** 2
            # priors: mass function, flat in age, d^2 exp(-d / 2 kpc)
            return float(value + star[2] + p[1] * np.log(10.0) + 3.0 * np.log(distance) - distance / 2.0)

        sampler = NestedSampler(
            log_likelihood,
            lambda u: low + u * (high - low),
            5,
            nlive=LIVE,
            sample="rwalk",
            rstate=np.random.default_rng(1),
        )
        sampler.run_nested(dlogz=0.01, print_progress=False)
        found = sampler.results
        means[row] = np.average(10.0 ** (found.samples[:, 1] - 9.0), weights=np.exp(found.logwt - found.logz[-1]))
    return means
