"""What study seismic-ages does with real data: apStar files, Kepler's power, XP spectra of APOKASC-2 giants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from starloom.errors import DatasetError
from starloom.files import RunFolder
from starloom.progress import say
from starloom.results.record import Bar, InputRecord, Published, Results
from starloom.seeds import generator
from starloom.stars import seismic_diagnostics as diagnostics
from starloom.stars import seismic_power as power
from starloom.stars import seismic_spectra as spectra

if TYPE_CHECKING:
    from astropy.table import QTable
    from numpy.typing import NDArray

    from starloom.studies.seismic_scene import Scene
    from starloom.studies.study import Input

    Floats = NDArray[np.float64]

SUN_LOGG = 4.438
RECIPE = {
    "2M19485057+5005279": (245, (0.737, 0.955, 0.993, 1.009, 1.037)),
    "2M17335483-2753043": (121, (0.561, 0.784, 0.919, 1.026, 1.117)),
}
"""What the recipe of arXiv:2302.05479 gives for two real spectra: masked pixels, and percentiles 1, 16, 50, 84, 99."""
LONG = "KIC11618103"
POWER_FILES = (
    LONG, "KIC10810836", "KIC11802939", "KIC1435467", "KIC2309595", "KIC4646780", "KIC6062024", "KIC6278992",
    "KIC8045442", "KIC8783286", "KIC9787965",
)  # fmt: skip


def _record(results: Results, name: str, located: Any, rows: int) -> None:
    results.inputs.append(
        InputRecord(name, "real", located.origin, rows, located.sha256, located.license, located.citation)
    )


def preprocessing(results: Results, scene: Scene) -> None:
    """The two real apStar spectra through the recipe, and through the encoder, which has to call them strangers."""
    from starloom.datasets.access import locate

    grid, noise = spectra.wavelengths(), generator(scene.config.seed)
    results.number("pixels of a spectrum", float(len(grid)), "pixels", bar=Bar("in", (7514, 7514)))
    results.number("bins of a power spectrum", float(len(power.centers())), "bins", bar=Bar("in", (2092, 2092)))
    results.number("first bin", float(power.centers()[0]), "uHz", bar=Bar("in", (1.99, 2.01)))
    results.number("last bin", float(power.centers()[-1]), "uHz", bar=Bar("in", (268.95, 269.05)))
    nu = np.arange(power.LOWEST, power.HIGHEST, power.STEP)
    level = [float(power.flatten(nu, 5.0 / nu * noise.exponential(size=len(nu))).mean()) for _ in range(4)]
    results.number(
        "flattened noise", float(np.mean(level)), "", bar=Bar("in", (0.98, 1.02)), meaning="mean of 4 spectra"
    )
    for name, (masked, percentiles) in RECIPE.items():
        try:
            located = locate("apogee_spectra", name)
            ready = spectra.read_spectra([located.path])
        except DatasetError as error:
            results.warn(f"without the real spectrum {name}: {error}")
            continue
        _record(results, f"apStar {name}", located, 1)
        scene.real_spectra[name] = ready
        results.number(
            f"masked pixels of {name}", float((~ready.good).sum()), "pixels", bar=Bar("in", (masked, masked)),
            published=Published(masked, "the recipe run with the continuum pixels of astroNN", comparable=True),
        )  # fmt: skip
        away = np.abs(np.percentile(ready.flux[0], [1, 16, 50, 84, 99]) - percentiles).max()
        results.number(
            f"percentiles of {name} against the recipe's", float(away), "", bar=Bar("<=", 0.005),
            meaning="largest difference of the percentiles 1, 16, 50, 84, 99",
        )  # fmt: skip
        latents = scene.model.encode(ready.flux, ready.error)
        results.number(
            f"misfit of {name} to the made spectra", float(latents.misfit[0]), "",
            meaning=f"above {scene.model.limits['misfit']:.2f} a spectrum is flagged, as it must be",
        )  # fmt: skip


def power_spectra(results: Results, scene: Scene) -> None:
    """The real power spectra of Kepler in the bins."""
    from starloom.datasets.access import open_table

    usable = resolved = 0
    for name in POWER_FILES:
        try:
            table = open_table("kepler_power_spectra", name)
        except DatasetError as error:
            results.warn(f"without the power spectrum of {name}: {error}")
            continue
        meta = table.meta
        results.inputs.append(
            InputRecord(name, "real", meta["origin"], len(table), meta["sha256"], meta["license"], meta["citation"])
        )
        found = power.of_power(table["frequency_uHz"], table["power"])
        scene.real_power[name] = found
        usable += found.reason == ""
        resolved += found.reason == "" and found.note == ""
    results.number("real power spectra in the bins", float(usable), "stars", meaning=f"{resolved} resolve narrow modes")
    if LONG in scene.real_power:
        found = scene.real_power[LONG]
        nu_max = power.hump(found.log_power)
        results.number(
            f"hump of {LONG}", nu_max, "uHz", bar=Bar("in", (96.0, 116.0)),
            published=Published(106.0, "reported for this star, not checked", comparable=True),
        )  # fmt: skip
        # which latents the decoder would make this power spectrum from: the best of many draws of the prior
        rng = generator(scene.config.seed)
        drawn = rng.standard_normal((3000, len(scene.model.used))) * 1.3
        made = scene.model.decode(np.where(scene.model.used, drawn, 0.0))
        away = np.nanmean(
            (made - found.log_power - np.nanmean(made - found.log_power, axis=1, keepdims=True)) ** 2, axis=1
        )
        best = drawn[np.argsort(away)[:20]].mean(axis=0, keepdims=True)
        latents = type(scene.train_latents)(
            np.where(scene.model.used, best, 0.0), np.zeros_like(best), np.zeros(1), best
        )
        read = float(scene.model.seismology(latents)["nu_max"][0])
        results.number(
            f"nu_max of {LONG} through the decoder", read, "uHz",
            meaning="a real power spectrum read by a decoder that saw simulated ones only",
        )  # fmt: skip
        scene.extension["decoded"] = scene.model.decode(latents)[0]


def mock_tables(count: int, seed: int) -> dict[str, QTable]:
    """Simulated giants with XP-like spectra and labels, and the seismology of a few, as the real tables have them."""
    from astropy import units as u
    from astropy.table import QTable

    from starloom.stars.mock import spectra as made_spectra
    from starloom.studies import seismic_mock

    rng = generator(seed + 77)
    stars = seismic_mock.giants(count, rng)
    table = seismic_mock.labeled(stars, rng)
    flux = made_spectra(
        stars["teff"].value, np.asarray(stars["logg"]), np.asarray(stars["fe_h"]), np.asarray(stars["alpha_m"]),
        rng.exponential(0.05, count),
    )  # fmt: skip
    error = 0.006 * np.median(flux, axis=1, keepdims=True) * np.ones(flux.shape)
    table["apogee_id"] = np.array([f"made{k:07d}" for k in range(count)])
    unit = u.Unit("W / (m2 nm)")
    table["flux"] = (flux + error * rng.standard_normal(flux.shape)).astype(np.float32) * unit
    table["flux_error"] = error.astype(np.float32) * unit
    half = count // 2
    seismic = QTable({"apogee_id": np.concatenate([table["apogee_id"][:120], table["apogee_id"][half:]])})
    rows = np.r_[0:120, half:count]
    for name in ("age", "age_error", "teff", "teff_error", "fe_h", "fe_h_error", "alpha_m", "nu_max", "delta_nu"):
        seismic[name] = table[name][rows]
    seismic["evolutionary_state"] = np.where(table["red_clump"][rows], 2.0, 1.0)
    return {"seismic": seismic, "stars": table[:half]}


def extension(results: Results, scene: Scene, inputs: Mapping[str, Input], folder: RunFolder) -> None:
    """From an XP spectrum to nu_max and an age: trained on APOGEE's log g, scored on seismology it never saw."""
    if "stars" not in inputs:
        return
    from starloom.catalog.schema import plain
    from starloom.stars.age_tables import apokasc2_stars
    from starloom.stars.forest import ProbabilisticForest
    from starloom.stars.seismic_ages import SeismicAges
    from starloom.stars.seismic_network import NetworkSettings
    from starloom.stars.seismic_tables import xp_spectra
    from starloom.stellar.isochrones import SUN_NU_MAX, SUN_TEFF_SEISMIC

    say("XP spectra to seismology")
    config, rng = scene.config, generator(scene.config.seed + 5)
    raw = inputs["seismic"].table
    seismic = apokasc2_stars(raw) if "Nmax" in raw.colnames else raw
    stars = inputs["stars"].table
    teff, logg, iron = (plain(stars, name) for name in ("teff", "logg", "fe_h"))
    giants = (logg > 1.3) & (logg < 3.5) & (teff > 3800) & (teff < 5600) & np.isfinite(iron)
    ids = np.char.strip(np.asarray(stars["apogee_id"]).astype(str))
    known = np.char.strip(np.asarray(seismic["apogee_id"]).astype(str))
    _, left, right = np.intersect1d(np.where(giants, ids, "-"), known, return_indices=True)
    free = np.setdiff1d(np.flatnonzero(giants), np.flatnonzero(np.isin(ids, known)))
    free = np.sort(rng.permutation(free)[: config.xp_stars])
    rows = np.concatenate([free, left])
    flux = np.asarray(getattr(stars["flux"], "value", stars["flux"])[rows], dtype=float)
    error = np.asarray(getattr(stars["flux_error"], "value", stars["flux_error"])[rows], dtype=float)
    ready = xp_spectra(flux, error)
    train, test = np.arange(len(free)), np.arange(len(free), len(rows))
    by_gravity = np.log(SUN_NU_MAX * 10.0 ** (logg - SUN_LOGG) * np.sqrt(SUN_TEFF_SEISMIC / teff))[rows]
    middle, width = float(np.mean(by_gravity[train])), float(np.std(by_gravity[train]))
    model = SeismicAges.fit_latents(
        ready.flux[train], ready.error[train], ((by_gravity[train] - middle) / width)[:, None], seed=rng, size=32,
        settings=NetworkSettings(steps=config.xp_steps, encoder=(96, 64), decoder=(32,), pressure=256.0),
        checkpoint=folder.checkpoints / "xp.safetensors",
    )  # fmt: skip
    latents = model.encode(ready.flux[test], ready.error[test])
    nu_max = np.exp(middle + width * model.decode(latents)[:, 0])
    true_nu, true_delta = (plain(seismic, name)[right] for name in ("nu_max", "delta_nu"))
    branch = plain(seismic, "evolutionary_state")[right] < 1.5
    real = inputs["stars"].record.kind == "real"
    whose = "real" if real else "mock"
    results.number(
        f"XP, {whose}: giants trained with", float(len(free)), "stars", meaning="nu_max by APOGEE's log g, Teff"
    )
    results.number(
        f"XP, {whose}: giants scored", float(len(test)), "stars", meaning="with seismic nu_max; not trained with"
    )
    score = diagnostics.ratio_score(nu_max, true_nu)
    results.number(f"XP, {whose}: nu_max", score.scatter, "of the seismic", meaning=f"bias {score.bias:+.3f}")
    direct = diagnostics.ratio_score(np.exp(by_gravity[test]), true_nu)
    results.number(
        f"XP, {whose}: nu_max by APOGEE's own log g", direct.scatter, "of the seismic",
        meaning=f"what it was trained towards; bias {direct.bias:+.3f}",
    )  # fmt: skip
    separation = diagnostics.ratio_score(power.expected_separation(nu_max), true_delta)
    results.number(
        f"XP, {whose}: delta_nu", separation.scatter, "of the seismic",
        meaning=f"by 0.268 nu_max^0.758; bias {separation.bias:+.3f}",
    )  # fmt: skip
    # ages: a forest on the APOKASC-2 giants without these, which reads nu_max as uncertain as XP gives it
    others = np.setdiff1d(np.arange(len(seismic)), np.flatnonzero(np.isin(known, ids[left])))
    spread = max(score.scatter, 0.02)

    def inputs_of(rows: Any, values: Floats) -> Floats:
        return np.stack([np.log(values), plain(seismic, "teff")[rows], plain(seismic, "fe_h")[rows]], axis=1)

    age, age_error = plain(seismic, "age"), plain(seismic, "age_error")
    blurred = plain(seismic, "nu_max")[others] * np.exp(spread * rng.normal(size=len(others)))
    first = inputs_of(others, blurred)
    usable = np.isfinite(first).all(axis=1) & np.isfinite(age[others]) & (age[others] < 14.0)
    second = inputs_of(right, nu_max)
    fine = np.isfinite(second).all(axis=1)
    forest = ProbabilisticForest(n_trees=80, min_samples_leaf=10, seed=config.seed)
    relative = np.where(np.isfinite(age_error), age_error / age, 0.3)
    forest.fit(
        first[usable], np.log10(age[others][usable]), y_error=np.clip(relative[others][usable], 0.02, 1.0) / 2.3026
    )
    bounds = np.full((len(right), 3), np.nan)
    bounds[fine] = 10.0 ** forest.predict_quantiles(second[fine], [0.16, 0.5, 0.84])
    true_age = age[right]
    for stage, chosen in (("giant branch", branch), ("red clump", ~branch)):
        found = diagnostics.ratio_score(bounds[chosen, 1], true_age[chosen])
        results.number(
            f"XP, {whose}: age, {stage}", found.scatter, "of the seismic",
            meaning=f"{found.stars} stars; bias {found.bias:+.3f}; nu_max of XP, Teff and [Fe/H] of APOGEE",
        )  # fmt: skip
    from starloom.inference.calibration import coverage

    results.number(
        f"XP, {whose}: 68 % coverage of ages", coverage(true_age, bounds[:, 0], bounds[:, 2]), "",
        meaning=f"{int(np.isfinite(true_age).sum())} stars",
    )  # fmt: skip
    residual = np.log(bounds[:, 1] / true_age)
    results.number(
        f"XP, {whose}: age residual with [alpha/M]",
        diagnostics.partial_correlation(
            residual,
            plain(seismic, "alpha_m")[right],
            np.log(true_age),
            plain(seismic, "fe_h")[right],
            branch.astype(float),
        ),
        meaning="partial correlation given seismic age, [Fe/H] and stage; few stars",
    )
    scene.extension |= {
        "kind": whose, "nu_max": nu_max, "true_nu": true_nu, "age": bounds, "true_age": true_age, "branch": branch,
    }  # fmt: skip
