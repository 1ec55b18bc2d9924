"""Figures and tables of where ages come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from starloom.results.figures import Band, Figure, Layer, Line, Panel, Points, Steps

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.studies.attribution_parts import Taken
    from starloom.studies.attribution_simulated import Simulated

Floats = NDArray[np.float64]

INPUTS = {
    "teff": "Teff [K]",
    "logg": "log g [dex]",
    "log_l": "log luminosity [dex]",
    "radius": "log radius [dex]",
    "mass": "log mass [dex]",
    "nu_max": "log nu_max [dex]",
    "delta_nu": "log delta nu [dex]",
    "fe_h": "[Fe/H] [dex]",
    "alpha_m": "[alpha/M] [dex]",
    "c_n": "[C/N] [dex]",
    "y_mg": "[Y/Mg] [dex]",
    "mg_fe": "[Mg/Fe] [dex]",
}
ADDED = "added to log10(age) [dex]"


def shares_table(taken: list[Taken]) -> QTable:
    """A row a sample and group."""
    from astropy.table import QTable

    rows = [
        (entry.name, group, strength, entry.groups.shares()[group], float(np.nanmean(entry.groups.error[:, place])))
        for entry in taken
        for place, (group, strength) in enumerate(entry.groups.strength().items())
    ]
    names = ("sample", "group", "mean_absolute", "share", "mean_error_over_trees")
    return QTable(rows=rows, names=names)


def figures(taken: list[Taken], simulated: list[Simulated]) -> list[Figure]:
    """Ages against truth, what the groups add, what single inputs add, the trends, the calibration."""
    return [
        _ages(simulated), _groups([entry for entry in taken if entry.name.startswith("simulated")], "simulated"),
        _inputs([entry for entry in taken if entry.name.startswith("simulated")], "simulated"),
        *([_inputs(real, "real")] if (real := [e for e in taken if not e.name.startswith("simulated")]) else []),
        _trends(simulated), _calibration(simulated),
    ]  # fmt: skip


def _running(x: Floats, y: Floats, bins: int = 12) -> tuple[Floats, Floats, Floats, Floats]:
    """Middles of bins of equally many stars, with the 16, 50 and 84 % quantiles in them."""
    order = np.argsort(x)
    parts = [part for part in np.array_split(order, bins) if len(part) > 4]
    middles = np.array([np.median(x[part]) for part in parts])
    low, middle, high = np.array([np.quantile(y[part], [0.16, 0.5, 0.84]) for part in parts]).T
    return middles, low, middle, high


def _ages(simulated: list[Simulated]) -> Figure:
    panels = []
    ends = np.array([0.1, 13.5])
    for made in simulated:
        for label, predicted in (("own", made.predicted), ("other", made.swapped)):
            x, low, middle, high = _running(made.age, predicted)
            layers: list[Layer] = [
                Points(made.age, predicted, role="faint"),
                Band(x, low, high, "68 % of the stars"),
                Line(x, middle, "median"),
                Line(ends, ends, "equal", role="reference"),
            ]
            title = f"{made.name}: forest of the {label} history"
            panels.append(Panel(layers, "true age [Gyr]", "predicted age [Gyr]", title, (0.0, 13.5), (0.0, 13.5)))
    return Figure(
        "ages", "Predicted against true ages in the simulated Milky Way, by a forest that learned the stars' own "
        "chemical history (left) and by one that learned another (right).", panels, columns=2, panel_size=(5.4, 4.0),
    )  # fmt: skip


def _groups(taken: list[Taken], kind: str) -> Figure:
    panels = []
    for entry in taken:
        layers: list[Layer] = []
        for place, group in enumerate(entry.groups.names):
            x, _, middle, _ = _running(entry.age, entry.groups.values[:, place])
            layers.append(Line(x, middle, group))
        layers.append(Line([0.0, 13.0], [0.0, 0.0], role="reference"))
        panels.append(Panel(layers, "true age [Gyr]", ADDED, entry.name, y_range=(-0.85, 0.5)))
    return Figure(
        f"groups_{kind}", "What each group of inputs adds to the mean log age, in the median, by the true age. A group "
        "that knows nothing of the age stays at zero.", panels, columns=2, panel_size=(5.4, 3.6),
    )  # fmt: skip


def _inputs(taken: list[Taken], kind: str) -> Figure:
    panels = []
    width = min(4, min(len(entry.names) for entry in taken))
    for entry in taken:
        order = np.argsort(-np.abs(entry.singles.values).mean(axis=0))[:width]
        for place in order:
            name = entry.names[place]
            x, value = entry.inputs[:, place], entry.singles.values[:, place]
            inside = (x > np.nanquantile(x, 0.005)) & (x < np.nanquantile(x, 0.995))
            layer = Points(
                x[inside], value[inside], color=entry.age[inside], color_label="age [Gyr]", color_range=(0.0, 13.0),
                role="highlight",
            )  # fmt: skip
            panels.append(Panel([layer], INPUTS.get(name, f"{name} [dex]"), ADDED, entry.name))
    return Figure(
        f"inputs_{kind}", "What the inputs add to the mean log age of each star (exact path-dependent Shapley values), "
        "those with the largest mean contribution first; the color is the age.", panels, columns=width,
        panel_size=(4.6, 3.2),
    )  # fmt: skip


def _trends(simulated: list[Simulated]) -> Figure:
    panels = []
    for made in simulated:
        layers: list[Layer] = []
        for label, age, role in (
            ("true ages", made.age, "reference"), ("predicted", made.predicted, "model"),
            ("predicted, other history", made.swapped, "model"),
        ):  # fmt: skip
            x, _, middle, _ = _running(age, made.fe_h)
            layers.append(Line(x, middle, label, role=role))  # type: ignore[arg-type]
        panels.append(Panel(layers, "age [Gyr]", "median [Fe/H] [dex]", made.name, (0.0, 13.0)))
    return Figure(
        "trends", "The age-metallicity relation that the stars have, and the ones that predicted ages show.", panels,
        columns=2, panel_size=(5.4, 3.6),
    )  # fmt: skip


def _calibration(simulated: list[Simulated]) -> Figure:
    edges = np.linspace(0.0, 1.0, 21)
    panels = []
    for made in simulated:
        density = np.histogram(made.pit, edges)[0] / len(made.pit) * (len(edges) - 1)
        layers: list[Layer] = [
            Steps(edges, density, "stars"), Line([0.0, 1.0], [1.0, 1.0], "calibrated", role="reference")
        ]  # fmt: skip
        panels.append(Panel(layers, "probability integral transform", "density", made.name, (0.0, 1.0), (0.0, 2.0)))
    return Figure(
        "calibration", "Where the true ages fall in their laws; calibrated laws give an even histogram.", panels,
        columns=2, panel_size=(5.0, 3.0),
    )  # fmt: skip


def choices(table: QTable) -> Figure:
    """How the two numbers of the paper's claim answer to each choice."""
    panels = []
    for column, label, lines in (
        ("evolution_over_two", "stellar / (stellar + chemical evolution)", (0.6, 0.4)),
        ("swapped_bias", "median bias by the other history [%]", (0.0,)),
    ):
        layers: list[Layer] = []
        longest = 0
        for sample, role in (("all stages", "data"), ("red clump", "highlight")):
            rows = np.flatnonzero(np.asarray(table["sample"]) == sample)
            longest = max(longest, len(rows))
            layers.append(Points(table[column][rows], 1.0 + np.arange(len(rows)), label=sample, role=role))  # type: ignore[arg-type]
        layers += [Line([line, line], [0.5, longest + 0.5], role="reference") for line in lines]
        panels.append(Panel(layers, label, "row of the table 'choices', by sample", invert_y=True))
    return Figure(
        "choices", "What each choice does, in the order of the table 'choices' (1 is the study as it stands). Left: "
        "the paper expects all stages above 0.6 and the red clump below 0.4. Right: the bias of ages told by a forest "
        "of another chemical history; the paper expects the red clump's to be the larger.", panels, columns=2,
        panel_size=(5.4, 4.6),
    )  # fmt: skip
