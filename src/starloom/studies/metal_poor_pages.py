"""Figures of metal-poor-disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from starloom.catalog.schema import plain
from starloom.results.figures import Band, Figure, Layer, Line, Panel, Points, Span, Steps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astropy.table import QTable

AGE = "age [Gyr]"
LABELS = {"fe_h": "[Fe/H]", "alpha_m": "[alpha/Fe]"}


def figures(
    motions: QTable, ages: Mapping[str, Any], comparison: Mapping[str, Any], rotation: Mapping[str, QTable]
) -> list[Figure]:
    """All figures of a run."""
    found = [prograde(motions), orbits(motions)]
    if ages:
        found.append(population(ages))
    found.append(minesweeper(comparison))
    if rotation:
        found.append(senses(rotation))
    return found


def prograde(motions: QTable) -> Figure:
    """The prograde fraction against chemistry."""
    panels = []
    for name, label in LABELS.items():
        bins = motions.meta.get(name)
        if bins is None:
            continue
        middle, low, high = bins.meta["band"]
        center = np.asarray(bins["median"])
        layers: list[Layer] = [
            Band(bins.meta["x"], low, high, "trend, 68 %"),
            Line(bins.meta["x"], middle, "trend"),
        ]
        if "truth" in bins.meta:
            x, y = bins.meta["truth"]
            layers.append(Line(x, y, "truth of the made stars", role="reference"))
        error = 0.5 * (np.asarray(bins["fraction_high"]) - np.asarray(bins["fraction_low"]))
        layers.append(
            Points(center, bins["fraction"], "bins, sign errors deconvolved", y_error=error, role="highlight")
        )
        layers.append(Line([bins.meta["x"][0], bins.meta["x"][-1]], [0.5, 0.5], "no rotation", role="reference"))
        panels.append(Panel(layers, label, "prograde fraction", y_range=(0.3, 1.0)))
    return Figure(
        "prograde",
        "Share of the sample's stars that turn with the disk, against [Fe/H] and [alpha/Fe]: in bins, with 68 % "
        "intervals that allow for stars of uncertain sign, and as a logistic trend in both at once.",
        panels, columns=2, panel_size=(5.0, 3.6),
    )  # fmt: skip


def orbits(motions: QTable) -> Figure:
    """Eccentricity and height of the orbits, by P(prograde)."""
    chosen = np.asarray(motions["selected"])
    p = np.asarray(motions["p_prograde"])[chosen]
    e, height = plain(motions, "eccentricity")[chosen], plain(motions, "z_max")[chosen]
    speed = plain(motions, "rotation")[chosen]
    edges = np.arange(-400.0, 401.0, 40.0)
    at = np.linspace(-400.0, 400.0, 321)
    middle, low, high = np.array(motions.meta["sides"].density(at)) * (np.isfinite(speed).sum() * 40.0)
    return Figure(
        "orbits",
        "Left: eccentricity and largest height of the sample's orbits, colored by the probability to be prograde. "
        "Right: rotation around the Galactic center, positive with the disk: as measured, and the two densities on "
        "either side of zero that the fraction was found with, errors of measurement removed (68 %).",
        [
            Panel(
                [Points(e, height, "", color=p, color_label="P(prograde)", color_range=(0.0, 1.0))],
                "eccentricity", "z_max [kpc]", y_range=(0.0, float(np.nanquantile(height, 0.97))),
            ),
            Panel(
                [
                    Steps(edges, np.histogram(speed, edges)[0], "measured"),
                    Band(at, low, high, "fitted, 68 %"),
                    Line(at, middle, "fitted"),
                ],
                "rotation [km/s]", "stars in 40 km/s",
            ),
        ],
        columns=2, panel_size=(5.0, 3.6),
    )  # fmt: skip


def population(ages: Mapping[str, Any]) -> Figure:
    """Ages of the turn-off stars and of their population."""
    found, fitted = ages["posteriors"], ages["population"]
    edges = found.age_edges
    density = found.age_probability[found.usable] / np.diff(edges)
    centers = 0.5 * (edges[1:] + edges[:-1])
    mean = fitted.mean_probability / (fitted.mean[1] - fitted.mean[0])
    spread = fitted.spread_probability / (fitted.spread[1] - fitted.spread[0])
    singles = [
        Line(centers, row, "single stars" if k == 0 else "", role="reference") for k, row in enumerate(density[:12])
    ]
    near = fitted.mean[mean > mean.max() / 1e3]
    return Figure(
        "population_age",
        "Left: posterior densities of age of up to twelve turn-off stars under a flat prior. Middle: the population's "
        "mean age; shaded are ages beyond 14 Gyr, which the prior allows so that its edge does not push the mean. "
        "Right: its intrinsic spread.",
        [
            Panel([*singles, Span(14.0, float(edges[-1]), "older than 14 Gyr")], AGE, "density [1/Gyr]"),
            Panel(
                [Line(fitted.mean, mean, "posterior"), Span(14.0, float(edges[-1]), "older than 14 Gyr")],
                "mean age [Gyr]", "density [1/Gyr]", x_range=(float(near[0]) - 1.0, float(near[-1]) + 1.0),
            ),
            Panel([Line(fitted.spread, spread, "posterior")], "intrinsic spread [Gyr]", "density [1/Gyr]"),
        ],
        columns=3, panel_size=(4.2, 3.4),
    )  # fmt: skip


def minesweeper(comparison: Mapping[str, Any]) -> Figure:
    """Our ages and distances against MINESweeper's."""
    table, used, poor = comparison["table"], comparison["used"], comparison["poor"]
    panels = []
    for name, unit in (("age", "Gyr"), ("distance", "kpc")):
        ours, theirs = plain(table, name), plain(table, f"minesweeper_{name}")
        error = 0.5 * (plain(table, f"{name}_high") - plain(table, f"{name}_low"))
        top = float(np.nanquantile(np.concatenate([ours[used], theirs[used]]), 0.99)) * 1.1
        rest = used & ~poor
        panels.append(
            Panel(
                [
                    Line([0.0, top], [0.0, top], "equal", role="reference"),
                    Points(theirs[rest], ours[rest], "[Fe/H] above -2", y_error=error[rest], role="data"),
                    Points(theirs[poor], ours[poor], "[Fe/H] below -2", y_error=error[poor], role="highlight"),
                ],
                f"MINESweeper's {name} [{unit}]",
                f"our {name} [{unit}]",
                x_range=(0.0, top),
                y_range=(0.0, top),
            )
        )
    return Figure(
        "minesweeper",
        "Ages and distances of turn-off stars in the fields of GD-1: medians and 68 % intervals of this study against "
        "those of MINESweeper for the same stars. MINESweeper's ages carry a prior for each Galactic component.",
        panels, columns=2, panel_size=(5.0, 4.4),
    )  # fmt: skip


def senses(rotation: Mapping[str, QTable]) -> Figure:
    """Rotation from line-of-sight velocities."""
    panels = []
    for name, table in rotation.items():
        center = 0.5 * (np.asarray(table["low_edge"]) + np.asarray(table["high_edge"]))
        error = 0.5 * (np.asarray(table["rotation_high"]) - np.asarray(table["rotation_low"]))
        layers: list[Layer] = [
            Line([-4.0, -1.0], [0.0, 0.0], "no rotation", role="reference"),
            Points(center, table["rotation"], name, y_error=error, role="highlight"),
        ]
        panels.append(Panel(layers, "[Fe/H]", "rotation [km/s]", title=name))
    return Figure(
        "line_of_sight",
        "Mean rotation that line-of-sight velocities alone show, positive with the disk, in bins of [Fe/H], with "
        "bootstrap intervals. Too small in size for distant stars; S5's fields were laid on streams.",
        panels, columns=2, panel_size=(5.0, 3.4),
    )  # fmt: skip
