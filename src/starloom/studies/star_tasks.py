"""The tasks of the study star-foundation, one function each: what is asked, against which rival, with which bar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from starloom.results.record import Bar, Published, Results
from starloom.seeds import generator
from starloom.studies.star_scene import Scene, best_trees, plain_network
from starloom.studies.study import Input

if TYPE_CHECKING:
    import torch
    from astropy.table import QTable
    from numpy.typing import NDArray

    from starloom.stars.evaluation import Scored

PAPER = "arXiv:2308.10944"
PUBLISHED = {"teff": (47.17, "K"), "logg": (0.11, ""), "fe_h": (0.07, "")}
UNITS = {"teff": "K", "logg": "dex", "fe_h": "dex", "alpha_m": "dex", "a_k": "mag"}
FORWARD = ("teff", "logg", "fe_h", "alpha_m", "j_h", "j_k")
FEW = 5


def labels(results: Results, scene: Scene) -> Scored:
    """Labels from coefficients and colors, against trees and a network of the same inputs."""
    from starloom.stars.evaluation import score, usual_kinds
    from starloom.stats.robust import robust_scatter

    given = usual_kinds(scene.model)
    stars = scene.complete(scene.test)
    scored = score(scene.model, stars, scene.labels, given)
    mine = scored.scatter()
    for name in scene.labels:
        published = PUBLISHED.get(name) if scene.real else None
        results.number(
            f"{name} from spectrum and colors",
            mine[name],
            UNITS[name],
            meaning="robust scatter on the test stars",
            published=Published(published[0], f"{PAPER}, other stars and labels ([M/H] for fe_h)")
            if published
            else None,
        )
    judged = scene.real and not scene.config.tree_stars and not scene.config.test_stars
    if scene.config.trees:
        theirs = best_trees(scene, given, list(scene.labels))
        _ratios(results, "full input", mine, theirs, scene.labels, 0.95 if judged else None, 0.90 if judged else None)
    if scene.config.network_rival:
        away = plain_network(scene, given)
        ratio = []
        for k, name in enumerate(scene.labels):
            rival = robust_scatter(away[:, k])
            ratio.append(mine[name] / rival)
            results.number(
                f"{name} of a plain network", rival, UNITS[name], meaning="the same inputs, complete rows only"
            )
            results.number(
                f"{name}: over a plain network",
                ratio[-1],
                bar=Bar("<=", 1.0) if judged else None,
                meaning="the honest upper rival: it can do nothing else",
            )
        results.number("mean over a plain network", float(np.mean(ratio)))
    return scored


def _ratios(
    results: Results,
    task: str,
    mine: Mapping[str, float],
    theirs: NDArray[np.float64],
    names: tuple[str, ...],
    each: float | None,
    mean: float | None,
) -> None:
    ratios = [mine[name] / rival for name, rival in zip(names, theirs, strict=True)]
    for name, rival, ratio in zip(names, theirs, ratios, strict=True):
        results.number(f"{name} of XGBoost, {task}", float(rival), UNITS[name], meaning="best of the settings tried")
        results.number(f"{name}: over XGBoost, {task}", ratio, bar=None if each is None else Bar("<=", each))
    results.number(f"mean over XGBoost, {task}", float(np.mean(ratios)), bar=None if mean is None else Bar("<=", mean))


def calibration(results: Results, scene: Scene, full: Scored) -> None:
    """Coverage of each label, over all stars and in quarters of extinction."""
    from starloom.inference.calibration import coverage

    inside = Bar("in", (0.64, 0.74)) if scene.real else None
    for name, value in full.coverage().items():
        results.number(f"68 % coverage of {name}", value, bar=inside, meaning="model error and label error together")
    stars = scene.complete(scene.test)
    a_k = stars.values[:, scene.model.vocabulary.number("a_k") - 1]
    edges = np.nanquantile(a_k, [0.0, 0.25, 0.5, 0.75, 1.0])
    for k, name in enumerate(full.answers.names):
        for quarter in range(4):
            rows = (a_k >= edges[quarter]) & (a_k <= edges[quarter + 1])
            results.number(
                f"68 % coverage of {name}, A_K quarter {quarter + 1}",
                coverage(full.z[rows, k], -1.0, 1.0),
                bar=inside,
                meaning=f"A_K {edges[quarter]:.2f} to {edges[quarter + 1]:.2f} mag",
            )


def few_tokens(results: Results, scene: Scene, full: Scored) -> None:
    """Labels from the lowest coefficients, and from a random half of everything."""
    from starloom.stars.evaluation import half_of, score, usual_kinds

    stars = scene.complete(scene.test)
    few = usual_kinds(scene.model, FEW)
    mine = score(scene.model, stars, scene.labels, few).scatter()
    whole = usual_kinds(scene.model)
    half = score(scene.model, half_of(stars, scene.model, whole, generator(scene.config.seed)), scene.labels, whole)
    for name, value in mine.items():
        results.number(f"{name} from {FEW}+{FEW} coefficients and colors", value, UNITS[name])
    if scene.config.trees and scene.config.all_tasks:
        theirs = best_trees(scene, few, list(scene.labels))
        _ratios(results, f"{FEW}+{FEW} coefficients", mine, theirs, scene.labels, 1.15 if scene.real else None, None)
    reached = full.scatter()
    for name, value in half.scatter().items():
        results.number(
            f"{name}: half of the tokens over all of them",
            value / reached[name],
            bar=Bar("<=", 1.4) if scene.real else None,
            meaning="each star loses a random half of its tokens",
        )


def half_by_dedicated_networks(results: Results, scene: Scene) -> None:
    """What a random half of the tokens holds at all: plain networks, each trained for one such half."""
    from starloom.stars.evaluation import score, usual_kinds
    from starloom.stats.robust import robust_scatter

    if not (scene.config.network_rival and scene.config.half_networks):
        return
    rng, stars, whole = generator(scene.config.seed), scene.complete(scene.test), usual_kinds(scene.model)
    all_of_them = plain_network(scene, whole)
    mine, theirs = [], []
    for _ in range(scene.config.half_networks):
        given = [name for name, kept in zip(whole, rng.random(len(whole)) < 0.5, strict=True) if kept]
        mine.append(score(scene.model, stars, scene.labels, given).residual)
        theirs.append(plain_network(scene, given))
    ours, rivals = np.concatenate(mine), np.concatenate(theirs)
    for k, name in enumerate(scene.labels):
        rival = robust_scatter(rivals[:, k])
        results.number(
            f"{name}: networks of one half each, over one of all tokens",
            rival / robust_scatter(all_of_them[:, k]),
            meaning=f"the floor, from {scene.config.half_networks} random halves, the same for all stars",
        )
        results.number(
            f"{name}: half of the tokens, over networks trained for it",
            robust_scatter(ours[:, k]) / rival,
            meaning="the same halves",
        )


def spectra_from_labels(results: Results, scene: Scene) -> Scored:
    """The first coefficients from labels and two colors."""
    from starloom.stars.evaluation import score

    wanted = [f"{arm}_{order}" for arm in ("bp", "rp") for order in range(FEW)]
    given = [name for name in FORWARD if name in scene.model.vocabulary]
    stars = scene.complete(scene.test)
    scored = score(scene.model, stars, wanted, given)
    scale = scene.model.vocabulary.scale[scene.model.vocabulary.places(wanted)]
    mine = np.array(list(scored.scatter().values())) / scale
    for name, value in zip(wanted, mine, strict=True):
        if name.endswith("_0"):
            results.number(f"{name} from labels and two colors", float(value), "of its scale")
    if scene.config.trees and scene.config.all_tasks:
        ratio = mine / (best_trees(scene, given, wanted) / scale)
        results.number(
            "coefficients from labels: over XGBoost, largest of ten",
            float(ratio.max()),
            bar=Bar("<=", 1.10) if scene.real else None,
            meaning="first five of each arm, trees trained for each",
        )
        results.number("coefficients from labels: over XGBoost, mean of ten", float(ratio.mean()))
    return scored


def arm_from_arm(results: Results, scene: Scene) -> dict[str, NDArray[np.float64]]:
    """One arm's sampled spectrum from the other arm's coefficients."""
    from starloom.spectra.xp import g_flux
    from starloom.stars.observations import arm_pixels
    from starloom.stats.robust import robust_scatter

    names = scene.model.vocabulary.names
    scale = g_flux(np.asarray(scene.stars["phot_g_mean_mag"].value))[:, None]
    flux, error = (np.asarray(scene.stars[name].value, dtype=float) / scale for name in ("flux", "flux_error"))
    level = np.median(flux, axis=1, keepdims=True)
    found = {"flux": flux, "level": level}
    for shown, made in (("bp", "rp"), ("rp", "bp")):
        given = [n for n in names if n.startswith(f"{shown}_") and scene.model.vocabulary[n].order < scene.model.usual]
        answer, _ = scene.model.spectrum_of(scene.test, [n for n in given if n != "bp_rp"], bases=scene.bases)
        pixels = arm_pixels(made)
        away = ((answer - flux) / level)[:, pixels]
        noise = float(np.median((error / level)[:, pixels]))
        scatter = robust_scatter(away)
        title = f"{made.upper()} from {shown.upper()}"
        results.number(
            f"{title}: scatter beyond the noise",
            float(np.sqrt(max(scatter**2 - noise**2, 0.0))),
            "of median flux",
            bar=Bar("<=", 0.02) if scene.real and made == "rp" else None,
            meaning=f"noise {noise:.4f}; robust, all pixels",
        )
        each = np.sqrt(np.mean(away**2, axis=1))
        results.number(
            f"{title}: RMS of the median star",
            float(np.nanmedian(each)),
            "of median flux",
            high=float(np.nanpercentile(each, 84)),
            low=float(np.nanpercentile(each, 16)),
        )
        found[made] = answer
    # inpainting: every second coefficient of the two arms is withheld
    given = [n for n in names if n in set(_xp_names(scene)) and scene.model.vocabulary[n].order % 2 == 0]
    found["inpainted"], found["inpainted_error"] = scene.model.spectrum_of(scene.test, given, bases=scene.bases)
    away = (found["inpainted"] - flux) / level
    results.number(
        "inpainted spectrum: RMS of the median star",
        float(np.nanmedian(np.sqrt(np.mean(away**2, axis=1)))),
        "of median flux",
        meaning="every second coefficient withheld",
    )
    return found


def _xp_names(scene: Scene) -> list[str]:
    kinds = scene.model.vocabulary.kinds
    return [kind.name for kind in kinds if kind.group == "xp" and kind.order < scene.model.usual]


def copies_and_strangers(results: Results, scene: Scene, full: Scored) -> None:
    """What is shown is given back; what was never asked in training is answered."""
    from starloom.stars.evaluation import score, usual_kinds

    stars, words = scene.complete(scene.test), scene.model.vocabulary
    copied = score(scene.model, stars, scene.labels, [*usual_kinds(scene.model), *scene.labels]).scatter()
    for name, value in copied.items():
        results.number(
            f"{name} copied", value / words[name].scale, "of its scale", bar=Bar("<=", 0.02) if scene.real else None
        )
    found = score(scene.model, stars, scene.colors, _xp_names(scene)).scatter()
    if "j_h" in found:
        control = found["j_h"] / words["j_h"].scale
        answering = "network" if scene.model.network.completion is None else "completion"
        for name in ("bp_rp", "j_k"):
            if name in found and not words[name].requested:
                results.number(
                    f"{name}, never requested in training, over j_h",
                    found[name] / words[name].scale / control,
                    bar=Bar("<=", 2.0) if scene.real else None,
                    meaning=f"from the spectrum, each over its scale; the {answering} answers",
                )


def invariance(results: Results, scene: Scene) -> None:
    """The order of the tokens and empty places change nothing."""
    import torch

    from starloom.stars.evaluation import usual_kinds

    words = scene.model.vocabulary
    places = words.places(usual_kinds(scene.model))
    values = words.standardize(scene.test.values[:64][:, places], places)
    kinds = np.where(np.isfinite(values), places + 1, 0)
    values = np.where(np.isfinite(values), values, 0.0).astype(np.float32)
    asked = torch.from_numpy(words.places(list(scene.labels)) + 1).expand(len(kinds), -1)
    order = generator(scene.config.seed).permutation(len(places))

    def answer(kinds: NDArray[np.int64], values: NDArray[Any]) -> torch.Tensor:
        with torch.inference_mode():
            found: torch.Tensor = scene.model.network(torch.from_numpy(kinds), torch.from_numpy(values), asked)[0]
        return found

    plain = answer(kinds, values)
    turned = answer(kinds[:, order], values[:, order])
    padded = answer(np.pad(kinds, ((0, 0), (0, 8))), np.pad(values, ((0, 0), (0, 8))))
    results.number(
        "largest change when tokens are permuted",
        float((plain - turned).abs().max()),
        "of a scale",
        bar=Bar("<=", 1e-5),
    )
    results.number(
        "largest change when padding is added", float((plain - padded).abs().max()), "of a scale", bar=Bar("<=", 1e-5)
    )


def projection(results: Results, scene: Scene, inputs: Mapping[str, Input]) -> None:
    """Published coefficients, sampled and projected back."""
    reader = scene.model.reader
    if reader is None or "xp_continuous" not in inputs:
        return
    from starloom.stars.observations import vectors

    table = inputs["xp_continuous"].table
    parts = [vectors(table, f"{arm}_coefficients", "the coefficients") for arm in ("bp", "rp")]
    if any(part is None for part in parts):
        return
    values = np.hstack([part for part in parts if part is not None])
    values = values[np.isfinite(values).all(axis=1)]
    sampled = scene.bases.sample(values)
    back, _ = reader.from_flux(sampled, None)
    level = np.median(sampled, axis=1, keepdims=True)
    away = np.median(np.abs(scene.bases.sample(back) - sampled) / level, axis=1)
    direct = [
        reader.from_coefficients(arm, part, None)[0]
        for arm, part in zip(("bp", "rp"), (values[:, : reader.sizes[0]], values[:, reader.sizes[0] :]), strict=True)
    ]
    results.number(
        "flux round trip of published coefficients",
        float(away.max()),
        "of median flux",
        bar=Bar("<=", 0.005),
        meaning=f"median pixel of the worst of {len(values)} sources: coefficients, fluxes, projection, fluxes",
    )
    results.number(
        "published against projected coefficients",
        float(np.max(np.abs(np.hstack(direct) - back) / np.abs(back).max())),
        "of the largest",
        bar=Bar("<=", 1e-5),
        meaning="the two ways of reading a spectrum",
    )


def domain(results: Results, scene: Scene, inputs: Mapping[str, Input]) -> dict[str, NDArray[np.float64]]:
    """Ordinary stars and strangers under the flag."""
    from starloom.stars import strangers
    from starloom.stars.domain import LIMIT

    if scene.model.domain is None:
        return {}
    rng, stars, count = generator(scene.config.seed + 1), scene.stars, 500
    teff = np.asarray(stars["teff"].value, dtype=float)
    ordinary = stars[(teff > 3500) & (teff < 7000)]

    def share(table: QTable) -> NDArray[np.float64]:
        return scene.model.domain_share(scene.model.tokens(table))

    spectra = ("phot_g_mean_mag", "flux", "flux_error")
    found = {"ordinary stars": share(ordinary[spectra])}
    if (teff > 9000).sum() >= 20:
        found["hot stars, over 9000 K"] = share(stars[teff > 9000][spectra])
    found["white dwarfs (made)"] = share(strangers.table_of(strangers.white_dwarfs(count, rng), ordinary, rng))
    found["quasars (made)"] = share(strangers.table_of(strangers.quasars(count, rng), ordinary, rng))
    found["blends of two stars"] = share(strangers.blends(ordinary, count, rng))
    if scene.real and "miles" in inputs:
        library = inputs["miles"].table
        flux = np.asarray(library["flux"], dtype=float)
        air = (3540.5 + 0.9 * np.arange(flux.shape[1])) / 10.0
        blue = np.array(ordinary["flux"].value, dtype=float)
        blue[:, blue.shape[1] * 153 // 343 :] = np.nan
        arm = ordinary[spectra]
        arm["flux"] = blue * ordinary["flux"].unit
        found["ordinary stars, BP alone"] = share(arm)
        found["MILES spectra, BP alone"] = share(strangers.library_blue_arm(air, flux, ordinary))
    base = found["ordinary stars"]
    results.number(
        "false alarms of the flag", float(np.mean(base < LIMIT)), "of ordinary stars", meaning="3500 to 7000 K"
    )
    for name, shares in found.items():
        if name.startswith("ordinary"):
            continue
        against = found["ordinary stars, BP alone"] if "MILES" in name else base
        results.number(f"ROC area: {name}", strangers.area_under_roc(against, shares), meaning=f"{len(shares)} spectra")
        results.number(f"flagged: {name}", float(np.mean(shares < LIMIT)))
    return found
