"""Ages of stars: the lattice's posterior beside nested sampling of the same model, as in MINESweeper, and brutus.

astro-brutus fetches its own grid of models; here its fitter gets the nodes of our lattice. The package isochrones
cannot be given other models than those that it fetches.
"""

from __future__ import annotations

import time
import warnings
from importlib.util import find_spec
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
STARS, SAMPLED, LIVE = 200, 2, 150
BRUTE = 3
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
    seconds = cpu_seconds(lambda: model.posteriors(stars), 3)
    ours = model.posteriors(stars[:BRUTE])
    centers = 0.5 * (ours.age_edges[1:] + ours.age_edges[:-1])
    middle = ours.age_probability @ centers
    spread = np.array([np.sqrt(p @ centers**2 - (p @ centers) ** 2) for p in ours.age_probability])
    name = (
        f"full posteriors of turn-off stars from Teff, log g, [Fe/H], parallax and {len(GAIA)} magnitudes, one thread"
    )

    def beside(peer: str, theirs: Floats, peer_seconds: float, note: str) -> Comparison:
        count = len(theirs)
        return Comparison(
            name=name, peer=f"{peer}, {count} stars, scaled to {STARS}", seconds=seconds,
            peer_seconds=peer_seconds * STARS / count,
            difference=float((np.abs(theirs - middle[:count]) / spread[:count]).max()), tolerance=0.5,
            unit="of the posterior's width in mean age", work=STARS, work_unit="stars", note=note,
        )  # fmt: skip

    started = time.process_time()
    nested = _nested(models.lattice, stars[:SAMPLED])
    lines = [beside(f"dynesty, {LIVE} live points", nested, time.process_time() - started, "")]
    if find_spec("brutus"):
        fit = _brute(models.lattice, stars[:BRUTE])
        fit(0)  # compile
        started = time.process_time()
        brute = np.array([fit(row) for row in range(BRUTE)])
        note = "brutus looks at every node and at no point between; its distances and extinctions are drawn"
        lines.append(beside("astro-brutus, the same nodes", brute, time.process_time() - started, note))
    text = [f"## ages of stars\n\n{table(lines)}", *_threads(model, stars, seconds)]
    if not find_spec("brutus"):
        text.append("- astro-brutus is not installed here: its line is left out.")
    text.append("- isochrones 2.1 imports, then fetches its grid from a server: not run.")
    return "\n".join(text) + "\n", all(line.agrees for line in lines)


def _threads(model: StarAges, stars: QTable, seconds: float) -> list[str]:
    """Lines on two threads, on a fourth band, and on stars measured less well."""
    from dataclasses import replace

    two = replace(model, workers=2)
    walls, cpus = [], []
    for _ in range(3):
        wall, cpu = time.perf_counter(), time.process_time()
        two.posteriors(stars)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    lines = [
        f"- two threads: {STARS / min(walls):,.0f} stars/s of wall time at best of three, {min(cpus):.3g} CPU s "
        f"({min(cpus) / seconds:.2f} of one thread's), so {2 * STARS / min(cpus):,.0f} stars/s on two free cores"
    ]
    for words, change in (
        ("one magnitude less", lambda table: table.remove_columns(["phot_rp_mean_mag", "phot_rp_mean_mag_error"])),
        ("log g to 0.10, [Fe/H] to 0.13 and parallaxes to 100 %, as in the fields of GD-1", _loosely),
    ):
        table = stars.copy()
        change(table)
        model.posteriors(table[:2])
        found: list[Any] = []
        took = cpu_seconds(lambda table=table, found=found: found.append(model.posteriors(table)), 1)
        lines.append(
            f"- {words}: {STARS / took:,.0f} stars/s on one thread; {np.nanmean(found[0].points):,.0f} points a star"
        )
    points = np.nanmean(model.posteriors(stars).points)
    return [
        *lines,
        f"- as above: {points:,.0f} points a star; the time goes with the points that errors leave possible",
    ]


def _loosely(table: QTable) -> None:
    table["logg_error"], table["fe_h_error"] = np.full(len(table), 0.10), np.full(len(table), 0.13)
    table["parallax_error"] = 1.0 * np.abs(table["parallax"])


def _brute(lattice: AgeLattice, stars: QTable) -> Any:
    """A function row -> mean age by brutus, over the nodes of the lattice and with its priors."""
    from brutus.analysis.individual import BruteForce
    from brutus.core.individual import StarGrid

    ages = 10.0 ** (lattice.log_age - 9.0)
    weight = np.zeros(lattice.logg.shape)
    weight[:, :, :-1] += 0.5 * lattice.weight
    weight[:, :, 1:] += 0.5 * lattice.weight
    weight *= np.gradient(lattice.fe_h)[:, None, None] * np.gradient(ages)[None, :, None]
    good = np.isfinite(lattice.magnitudes).all(axis=3) & (weight > 0)
    i, j, k = np.nonzero(good)
    labels = np.zeros(len(i), dtype=[("feh", "f8"), ("loga", "f8"), ("eep", "f8")])
    labels["feh"], labels["loga"], labels["eep"] = lattice.fe_h[i], lattice.log_age[j], lattice.eep[k]
    coefficients = np.zeros((len(i), len(GAIA), 3))
    coefficients[:, :, 0] = lattice.magnitudes[good][:, : len(GAIA)] + 10.0  # at 1 kpc
    coefficients[:, :, 1] = lattice.reddening[good][:, : len(GAIA)]
    fitter = BruteForce(StarGrid(coefficients, labels, verbose=False), verbose=False)
    prior, teff, logg = np.log(weight[good]), 10.0 ** lattice.log_teff[good], lattice.logg[good]

    def fit(row: int) -> float:
        seen = {name: float(getattr(stars[name][row], "value", stars[name][row])) for name in stars.colnames}
        magnitudes = np.array([seen[band_column(band)] for band in GAIA])
        flux = 10.0 ** (-0.4 * magnitudes)
        error = flux * 0.4 * np.log(10.0) * np.array([seen[f"{band_column(band)}_error"] for band in GAIA])
        known = prior.copy()
        for values, name in ((labels["feh"], "fe_h"), (teff, "teff"), (logg, "logg")):
            known -= 0.5 * ((values - seen[name]) / seen[f"{name}_error"]) ** 2
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # it would like more than three bands
            results = fitter.loglike_grid(
                flux, error, np.ones(len(GAIA), dtype=bool), avlim=(0.0, 0.2), rvlim=(3.0, 3.2), rv_gauss=(3.1, 0.01),
                av_gauss=(seen["a_v"], seen["a_v_error"]), dim_prior=False, return_vals=True,
            )  # fmt: skip
        chosen, _, log, *_ = fitter.logpost_grid(
            results, parallax=seen["parallax"], parallax_err=seen["parallax_error"], coord=(0.0, 60.0), Nmc_prior=50,
            lnprior=known, lngalprior=lambda d, coord, labels=None: 2.0 * np.log(d) - d / 2.0, avlim=(0.0, 0.2),
            rvlim=(3.0, 3.2), rstate=np.random.RandomState(1),
        )  # fmt: skip
        return float(np.average(ages[j[chosen]], weights=np.exp(log - log.max())))

    return fit


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
