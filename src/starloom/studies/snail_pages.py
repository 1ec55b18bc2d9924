"""Figures and the animation of gaia-snail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from starloom.results.figures import Animation, Band, Figure, Image, Layer, Line, Panel, Points, Span, Steps

if TYPE_CHECKING:
    from astropy.table import QTable
    from numpy.typing import NDArray

    from starloom.disk.snail_response import Ages, SnailModel
    from starloom.studies.gaia_snail import Config

Z_REACH, V_REACH, CELLS = 1.1, 62.0, 90
Z_LABEL, V_LABEL = "z [kpc]", "v_z [km/s]"
PUBLISHED = (0.2, 0.6)


def figures(
    config: Config, model: SnailModel, ages: Ages, definitions: QTable, by_radius: QTable, measured: Mapping[str, Any]
) -> list[Figure]:
    """All figures, the predictions first."""
    found = [_gallery(config, model), _decay(model), _ages(model, ages), _definitions(definitions)]
    found.append(_by_angular_momentum(by_radius, measured.get("by_l_z")))
    if "whole" in measured:
        found.append(_stripes(*_clearest(measured)))
    found.append(_plane(measured["stars"]))
    return found


def _clearest(measured: Mapping[str, Any]) -> tuple[Any, str]:
    """The bin of angular momentum with the clearest spiral, or all stars where none has one."""
    table = measured.get("by_l_z")
    found = [(one.power, number) for number, one in enumerate(measured.get("each", ())) if one is not None and one.seen]
    if table is None or not found:
        return measured["whole"], "All stars together"
    number = max(found)[1]
    low, high = table["l_z_low"].value[number], table["l_z_high"].value[number]
    return measured["each"][number], f"Stars with L_z from {low:.0f} to {high:.0f} kpc km/s, the clearest spiral"


def _grid() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.linspace(-Z_REACH, Z_REACH, CELLS + 1), np.linspace(-V_REACH, V_REACH, CELLS + 1)


def _picture(model: SnailModel, histories: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """Contrasts over (z, v), one for each history of impulses."""
    z_edges, v_edges = _grid()
    z, v = np.meshgrid(0.5 * (z_edges[1:] + z_edges[:-1]), 0.5 * (v_edges[1:] + v_edges[:-1]))
    orbits = model.actions.find(z.ravel(), v.ravel())
    found = []
    for impulses in histories:
        contrast = model.contrast(impulses, orbits.action_z, orbits.theta_z)
        found.append(np.where(orbits.action_z < 2.0 * model.high, contrast, np.nan).reshape(z.shape))
    return found


def _panel(values: NDArray[np.float64], reach: float, title: str) -> Panel:
    z_edges, v_edges = _grid()
    image = Image(z_edges, v_edges, values, "contrast f1 / f0", color_range=(-reach, reach), center=0.0)
    return Panel([image], Z_LABEL, V_LABEL, title, (-Z_REACH, Z_REACH), (-V_REACH, V_REACH))


def _reach(pictures: list[NDArray[np.float64]]) -> float:
    return float(np.nanquantile(np.abs(np.array(pictures)), 0.98))


def _gallery(config: Config, model: SnailModel) -> Figure:
    from starloom.disk.snail_noise import WhiteNoise

    histories = WhiteNoise(1.0).sample(9, model.steps, model.step, np.random.default_rng([config.seed, 9]))
    found, _ = model.matched(histories)
    pictures = _picture(model, list(histories))
    scaled = [picture / np.sqrt(np.nanmean(picture**2)) for picture in pictures]
    panels = [_panel(one, 2.5, f"looks {age:.2f} Gyr old") for one, age in zip(scaled, found, strict=True)]
    for panel in panels:
        image = panel.layers[0]
        assert isinstance(image, Image)
        image.color_label = "contrast over its rms"
    return Figure(
        "gallery", "Nine random spirals: the same disk, shaken by white noise and blurred by scattering, at nine "
        "moments. Each looks as if one event had made it, at the age above it; none did.", panels, columns=3,
        panel_size=(3.5, 2.9),
    )  # fmt: skip


def _decay(model: SnailModel) -> Figure:
    ages = (0.25, 0.5, 1.0)
    panels = []
    for name, one in (("with", model), ("without", replace(model, heating=0.0))):
        one = replace(one, span=1.2, steps=240, amplification=None)
        histories = []
        for age in ages:
            impulses = np.zeros(one.steps)
            impulses[int(age / one.step)] = 1.0
            histories.append(impulses)
        for age, picture in zip(ages, _picture(one, histories), strict=True):
            panels.append(_panel(picture, 0.06, f"{age:g} Gyr, {name} scattering"))
    return Figure(
        "decay", "What is left of one kick of 1 km/s after 0.25, 0.5 and 1 Gyr, with scattering (above) and without "
        "(below), in linear theory. Scattering takes the finest winding first and leaves nothing after about 1 Gyr.",
        panels, columns=3, panel_size=(3.5, 2.9),
    )  # fmt: skip


def _ages(model: SnailModel, ages: Ages) -> Figure:
    edges = np.linspace(0.0, min(model.oldest, 1.2), 61)
    filter_, slope = (np.histogram(part, edges, density=True)[0] for part in (ages.matched, ages.slope))
    layers: list[Layer] = [
        Steps(edges, filter_, "matched filter"), Steps(edges, slope, "slope of the phase"),
        Span(*PUBLISHED, "seen in Gaia by Frankel et al. 2023"),
    ]  # fmt: skip
    bounds = np.linspace(0.0, 1.2, 13)
    place = np.digitize(ages.matched, bounds) - 1
    middle = 0.5 * (bounds[1:] + bounds[:-1])
    median = np.array([np.median(ages.coherence[place == k]) if (place == k).sum() > 20 else np.nan for k in range(12)])
    spread = [
        np.array([np.quantile(ages.coherence[place == k], q) if (place == k).sum() > 20 else np.nan for k in range(12)])
        for q in (0.16, 0.84)
    ]
    coherent: list[Layer] = [Band(middle, spread[0], spread[1], "68 %"), Line(middle, median, "median")]
    return Figure(
        "ages", f"Left: apparent ages of {len(ages.matched):,} random spirals. Right: how well one age describes them: "
        "the height of the filter's peak over the largest possible. There is no event behind these ages.",
        [
            Panel(layers, "apparent age [Gyr]", "density [1/Gyr]"),
            Panel(coherent, "apparent age [Gyr]", "coherence", y_range=(0.5, 1.0)),
        ],
        columns=2, panel_size=(5.4, 3.4),
    )  # fmt: skip


def _definitions(table: QTable) -> Figure:
    places = np.arange(len(table), 0, -1.0)
    middle, low, high = (table[name].value for name in ("median", "low", "high"))
    layers: list[Layer] = [Span(*PUBLISHED, "seen in Gaia by Frankel et al. 2023")]
    gap = np.full(len(places), np.nan)
    layers.append(Line(np.stack([low, high, gap], 1).ravel(), np.stack([places, places, gap], 1).ravel(), "16 to 84 %"))
    layers.append(Points(middle, places, "median", role="highlight"))
    layers.append(Line([0.5, 0.5], [0.0, len(table) + 1.0], "0.5 Gyr", role="reference"))
    names = "; ".join(f"{int(place)}: {name}" for place, name in zip(places, table["definition"], strict=True))
    return Figure(
        "definitions", f"Apparent ages by definition, heating, noise and potential. {names}.",
        [Panel(layers, "apparent age [Gyr]", "definition", x_range=(0.0, 2.0), y_range=(0.3, len(table) + 0.7))],
        panel_size=(7.5, 4.4),
    )  # fmt: skip


def _by_angular_momentum(predicted: QTable, measured: QTable | None) -> Figure:
    l_z = predicted["l_z"].value
    layers: list[Layer] = [
        Band(l_z, predicted["low"].value, predicted["high"].value, "random spirals, 68 %"),
        Line(l_z, predicted["median"].value, "their median"),
        Line(l_z, predicted["clear_median"].value, "median of those older than the resolution"),
        Line(l_z, predicted["resolution"].value, "resolution", role="reference"),
    ]
    if measured is not None and np.asarray(measured["seen"]).any():
        seen = measured[np.asarray(measured["seen"])]
        middle = 0.5 * (seen["l_z_low"] + seen["l_z_high"]).value
        half = 0.5 * (seen["age_high"] - seen["age_low"]).value
        layers.append(Points(middle, seen["age"].value, "these stars", y_error=half, role="highlight"))
        if "true_age" in seen.colnames:
            layers.append(Line(middle, seen["true_age"].value, "put into the mock", role="reference"))
    return Figure(
        "angular_momentum", "Apparent age against angular momentum: random spirals with the same heating everywhere, "
        "and the spiral of these stars where one is seen.",
        [Panel(layers, "L_z [kpc km/s]", "apparent age [Gyr]", y_range=(0.0, 1.2))], panel_size=(7.5, 3.6),
    )  # fmt: skip


def _stripes(one: Any, of: str) -> Figure:
    counts = one.counts
    half = counts.shape[1] // 2
    turns = next(n for n in (48, 24, 16, 12, 8) if counts.sum() / n**2 > 40 or n == 8)
    wide, tall = counts.shape[1] // turns, max(1, len(counts) // turns)
    rows = len(counts) // tall * tall
    odd, both = (
        part[:rows].reshape(rows // tall, tall, -1, wide).sum(axis=(1, 3))
        for part in (counts - np.roll(counts, half, axis=1), counts + np.roll(counts, half, axis=1))
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        shown = np.where(both >= 20, odd / both, np.nan)
    reach = 2.0 * float(one.amplitude)
    angle = np.linspace(0.0, 2.0 * np.pi, shown.shape[1] + 1)
    image = Image(angle, one.omega_edges[: rows + 1 : tall], shown, "odd part of the contrast", (-reach, reach), 0.0)
    power: list[Layer] = [
        Line(one.ages, one.powers, "matched filter"),
        Line(one.ages, np.ones(len(one.ages)), "mean without a spiral", role="reference"),
    ]
    return Figure(
        "stripes", f"{of}. Left: the matched filter against age. Right: contrast over angle and frequency, the part "
        "that differs between opposite angles; a spiral is a set of straight stripes.",
        [
            Panel(power, "age [Gyr]", "power"),
            Panel([image], "theta_z [rad]", "omega_z [rad/Gyr]"),
        ],
        columns=2, panel_size=(5.4, 3.6),
    )  # fmt: skip


def _plane(stars: QTable) -> Figure:
    from starloom.catalog.schema import plain

    used = np.asarray(stars["reason"]) == ""
    z, v = plain(stars, "galactic_height")[used], plain(stars, "v_z")[used]
    cells = int(np.clip(np.sqrt(len(z)) / 8, 12, CELLS))
    z_edges, v_edges = np.linspace(-Z_REACH, Z_REACH, cells + 1), np.linspace(-V_REACH, V_REACH, cells + 1)
    counts = np.histogram2d(v, z, [v_edges, z_edges])[0]
    odd, both = counts - counts[::-1, ::-1], counts + counts[::-1, ::-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        contrast = np.where(both >= 20, odd / both, np.nan)
    reach = float(np.nanquantile(np.abs(contrast), 0.95)) if np.isfinite(contrast).any() else 0.1
    shown = Image(z_edges, v_edges, np.where(counts > 0, counts, np.nan), "stars", log=True)
    split = Image(z_edges, v_edges, contrast, "odd part of the contrast", color_range=(-reach, reach), center=0.0)
    ranges: dict[str, Any] = {"x_range": (-Z_REACH, Z_REACH), "y_range": (-V_REACH, V_REACH)}
    return Figure(
        "stars", "The stars in height and vertical velocity. Left: counts. Right: the part of their contrast that "
        "differs between opposite points; all radii together, so that spirals of different radii blur each other.",
        [Panel([shown], Z_LABEL, V_LABEL, **ranges), Panel([split], Z_LABEL, V_LABEL, **ranges)],
        columns=2, panel_size=(4.8, 3.8),
    )  # fmt: skip


def animation(config: Config, model: SnailModel) -> Animation:
    """One history of noise, seen as it goes on."""
    from starloom.disk.snail_noise import WhiteNoise

    interval = 0.02
    ahead = round(config.frames * interval / model.step)
    impulses = WhiteNoise(1.0).sample(1, model.steps + ahead, model.step, np.random.default_rng([config.seed, 10]))[0]
    starts = [ahead - round(frame * interval / model.step) for frame in range(config.frames)]
    histories = [impulses[start : start + model.steps] for start in starts]
    pictures = _picture(model, histories)
    reach = _reach(pictures)
    looks, _ = model.matched(np.array(histories))
    frames = [
        _panel(picture, reach, f"{interval * number:.2f} Gyr: looks {age:.2f} Gyr old")
        for number, (picture, age) in enumerate(zip(pictures, looks, strict=True))
    ]
    caption = (
        f"One disk shaken by white noise over {config.frames * interval:.1f} Gyr: spirals wind up, are blurred by "
        "scattering, and new ones grow. The apparent age wanders; no single event is behind it."
    )
    return Animation("snail", caption, frames)
