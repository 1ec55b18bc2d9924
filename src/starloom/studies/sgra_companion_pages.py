"""What the study sgra-companion shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from starloom.results.figures import Figure, Image, Layer, Line, Panel, Points, Steps

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.galactic_center.ejection import CenterStars, Ejected
    from starloom.galactic_center.exclusion import ExpectedMap
    from starloom.galactic_center.library import StarLibrary
    from starloom.galactic_center.scenario import Scenario

Array = NDArray[np.float64]
LEVELS = (1.1394, 2.9957, 5.8091)  # expected numbers whose zero is excluded at 68, 95 and 99.7 %
WILL = 0.97  # mpc, 200 au
MASS_LABEL = "log10 companion mass [Msun]"


def figures(
    maps: Mapping[str, ExpectedMap],
    library: StarLibrary,
    detected: Mapping[str, Any],
    stars: CenterStars,
    scenario: Scenario,
    hills: tuple[Ejected, float],
    traced: Mapping[str, QTable],
    tables: Mapping[str, QTable],
) -> list[Figure]:
    """Maps, velocities, sky, the plane of distance and speed, assumptions, origins."""
    weights = library.weights(scenario, stars)
    return [
        _map_figure("exclusion_dr3", "Gaia DR3, none seen", maps, "dr3"),
        _map_figure("exclusion_dr4", "Gaia DR4, if none will be seen", maps, "dr4"),
        _velocities(library, weights, detected, scenario, hills),
        _sky(library, weights, detected, scenario, traced),
        _speeds(library, weights, detected, scenario, traced),
        _assumptions(tables["assumptions"]),
        _origins(traced),
    ]


def _edges(values: Array) -> Array:
    logs = np.log10(values)
    half = 0.5 * np.diff(logs)
    return np.concatenate([[logs[0] - half[0]], logs[:-1] + half, [logs[-1] + half[-1]]])


def _map_figure(name: str, title: str, maps: Mapping[str, ExpectedMap], release: str) -> Figure:
    panels = []
    for kind, label in (("separation", "log10 separation today [mpc]"),
                        ("since_merger", "log10 time since the merger [Myr]")):  # fmt: skip
        made = maps[f"{release} {kind}"]
        x, y = _edges(made.others), _edges(made.masses)
        shown = np.clip(made.value.T, 1e-3, 1e3)
        layers: list[Layer] = [
            Image(x, y, shown, color_label="expected candidates", color_range=(1e-3, 1e3), log=True, contours=LEVELS,
                  contour_label="excluded at 68, 95, 99.7 %"),
        ]  # fmt: skip
        if kind == "separation":
            inside, stellar = np.array([x[0], 0.0]), np.array([x[0], np.log10(WILL)])
            layers += [
                Line(inside, np.full(2, np.log10(2000.0)), "journal: 2000 Msun, <= 1 mpc", role="reference"),
                Line(inside, np.full(2, 3.0), "preprint: 1000 Msun", role="reference"),
                Line(stellar, np.log10(400.0) - (stellar - np.log10(WILL)), "orbit of S0-2", role="reference"),
            ]
        else:
            layers.append(
                Line([x[0], 1.0], [np.log10(500.0)] * 2, "published: 500 Msun, < 10 Myr", role="reference")
            )  # fmt: skip
        panels.append(Panel(layers, label, MASS_LABEL, title=title if kind == "separation" else "",
                            x_range=(x[0], x[-1]), y_range=(y[0], y[-1])))  # fmt: skip
    caption = (
        "Mean number of uncontroversial hypervelocity stars for a companion on a circular orbit today (left) and for "
        "one that merged with Sgr A* (right). Above a line none seen excludes the companion. Dashed: published limits "
        "of the same kind of search, and the bound from the orbit of S0-2 by the wobble of Sgr A* (arXiv:2307.16646: "
        "400 Msun at 200 au, as 1/a). "
        "GRAVITY (arXiv:2004.07187) reports less than about 1000 Msun anywhere within 1 arcsec (40 mpc)."
    )
    return Figure(name, caption, panels, columns=2, panel_size=(6.0, 4.8))


def _velocities(
    library: StarLibrary,
    weights: Array,
    detected: Mapping[str, Any],
    scenario: Scenario,
    hills: tuple[Ejected, float],
) -> Figure:
    from starloom.galactic_center.ejection import VelocityLaw

    edges = np.geomspace(550.0, 3000.0, 33)
    logs, width = np.log10(edges), np.diff(np.log10(edges))
    total = weights.sum()
    at = library.arrived.ejected.speed
    number = np.histogram(at, edges, weights=weights)[0]
    torn, each = hills
    by_hills = each * np.histogram(torn.speed[torn.alive], edges)[0]
    law = VelocityLaw(scenario.binary.circular_speed(scenario.separation_then(0.0)), scenario.binary.ratio)
    first = Panel(
        [
            Steps(logs, number / width, "all stars alive today"),
            Line(logs, total * law.pdf(edges) * edges * np.log(10.0), "law of the present binary, same number"),
            Steps(logs, by_hills / width, "Hills mechanism, 1e-4 per year"),
        ],
        "log10 ejection speed [km/s]", "stars per dex", title=scenario.label, y_log=True,
    )  # fmt: skip
    today = library.arrived.flown.speed
    bins = np.linspace(0.0, 2500.0, 51)
    layers: list[Layer] = []
    for name, label in (("dr3", "candidates, DR3"), ("dr4", "candidates, DR4")):
        values = np.histogram(today, bins, weights=weights * detected[name].candidate)[0]
        layers.append(Steps(bins, np.maximum(values, 1e-6), label))
    layers.insert(0, Steps(bins, np.maximum(np.histogram(today, bins, weights=weights)[0], 1e-6), "all stars"))
    second = Panel(
        layers, "Galactocentric speed today [km/s]", "stars per 50 km/s", y_log=True, y_range=(1e-4, 1e3)
    )  # fmt: skip
    caption = (
        "Speeds at which stars leave the center (3 pc) and their speeds today, expected numbers in the whole Galaxy "
        "and among the candidates. Beside them binaries taken apart by Sgr A* alone at 1e-4 per year."
    )
    return Figure("velocities", caption, [first, second], columns=2, panel_size=(6.0, 4.0))


def _sample(weights: Array, count: int) -> NDArray[np.int64]:
    """Rows in proportion to their weights, evenly spaced in the cumulative sum: no draw needed."""
    if weights.sum() <= 0:
        return np.empty(0, dtype=np.int64)
    at = (np.arange(count) + 0.5) / count
    return np.minimum(np.searchsorted(np.cumsum(weights) / weights.sum(), at), len(weights) - 1)


def _turned(l: Array) -> Array:
    return np.asarray((np.asarray(l) + 180.0) % 360.0 - 180.0)


def _fast(traced: Mapping[str, QTable]) -> tuple[QTable, Array, Array]:
    from starloom.galactic_center.sky import galactic

    table = traced["fast"]
    kept = table[(np.asarray(table["reason"]) == "") & (np.asarray(table["p_fast"]) > 0.5)]
    l, b = galactic(np.asarray(kept["ra"].value), np.asarray(kept["dec"].value))
    return kept, _turned(l), b


def _sky(
    library: StarLibrary, weights: Array, detected: Mapping[str, Any], scenario: Scenario, traced: Mapping[str, QTable]
) -> Figure:
    from starloom.galactic_center.sky import galactic

    arrived = library.arrived
    layers: list[Layer] = []
    for name, label, role in (("dr4", "DR4", "faint"), ("dr3", "DR3", "highlight")):
        rows = np.unique(_sample(weights * detected[name].candidate, 700))
        layers.append(Points(_turned(arrived.l[rows]), arrived.b[rows], f"expected candidates, {label}", role=role))  # type: ignore[arg-type]
    _, l, b = _fast(traced)
    layers.append(Points(l, b, "known stars faster than 700 km/s", role="reference"))
    s5_l, s5_b = galactic(*(np.asarray(traced["s5"][name].value) for name in ("ra", "dec")))
    layers.append(Points(_turned(s5_l), s5_b, "S5-HVS1", role="data"))
    panel = Panel(layers, "l [deg]", "b [deg]", x_range=(-180.0, 180.0), y_range=(-90.0, 90.0), invert_x=True)
    caption = (
        f"Where candidates are expected ({scenario.label}; points in proportion to their number), and known stars that "
        "move faster than 700 km/s in the Galaxy. Extinction empties the inner plane."
    )
    return Figure("sky", caption, [panel], panel_size=(10.0, 4.8))


def _speeds(
    library: StarLibrary, weights: Array, detected: Mapping[str, Any], scenario: Scenario, traced: Mapping[str, QTable]
) -> Figure:
    arrived = library.arrived
    x_edges, y_edges = np.linspace(-1.0, 2.2, 41), np.linspace(0.0, 2500.0, 41)
    distance = np.log10(arrived.flown.seen.distance)
    panels = []
    kept, _, _ = _fast(traced)
    for part, label in ((weights, "all stars"), (weights * detected["dr4"].candidate, "candidates in DR4")):
        values = np.histogram2d(arrived.flown.speed, distance, [y_edges, x_edges], weights=part)[0]
        layers: list[Layer] = [
            Image(x_edges, y_edges, np.where(values > 0, values, np.nan), color_label="stars in a cell", log=True,
                  color_range=(1e-5, 10.0)),
            Points(np.log10(kept["distance"].value) if "distance" in kept.colnames
                   else -np.log10(kept["parallax"].value), kept["galactocentric_speed"].value,
                   "known fast stars", role="reference"),
            Points(np.log10(traced["s5"]["distance"].value), traced["s5"]["galactocentric_speed"].value, "S5-HVS1",
                   role="highlight"),
        ]  # fmt: skip
        panels.append(
            Panel(layers, "log10 distance [kpc]", "Galactocentric speed [km/s]", title=label, x_range=(-1.0, 2.2),
                  y_range=(0.0, 2500.0))
        )  # fmt: skip
    caption = f"Expected stars ({scenario.label}) in the plane of distance and speed, with known fast stars."
    return Figure("distance_speed", caption, panels, columns=2, panel_size=(6.0, 4.4))


def _assumptions(table: QTable) -> Figure:
    place = np.arange(len(table), dtype=float)
    panels = []
    for column, label, published in (("at_1_mpc", "1 mpc", (1000.0, 2000.0)),
                                     ("merged_5_myr_ago", "merged 5 Myr ago", (500.0,))):  # fmt: skip
        value, low, high = (np.log10(np.asarray(table[f"{column}{end}"].value)) for end in ("", "_low", "_high"))
        layers: list[Layer] = [
            Points(place, value, "this model", y_error=0.5 * np.abs(high - low), role="highlight"),
            *(Line([-0.5, len(place) - 0.5], [np.log10(mass)] * 2, f"published: {mass:g} Msun", role="reference")
              for mass in published),
        ]  # fmt: skip
        panels.append(Panel(layers, "case", MASS_LABEL, title=label))
    names = "; ".join(f"{k}: {name}" for k, name in enumerate(table["assumption"]))
    caption = f"Least companion mass excluded at 95 % by none seen in DR3 when one thing is changed. {names}."
    return Figure("assumptions", caption, panels, columns=2, panel_size=(6.0, 3.6))


def _origins(traced: Mapping[str, QTable]) -> Figure:
    kept, _, _ = _fast(traced)
    s5 = traced["s5"]

    def layer(table: QTable, label: str, role: str) -> Points:
        behind = np.maximum(table["flight_time"].value, 0.1)
        x, y = np.log10(behind), np.log10(table["closest_approach"].value)
        ends = [0.5 * np.abs(np.log10(np.maximum(table[f"{name}_high"].value, 1e-6))
                - np.log10(np.maximum(table[f"{name}_low"].value,
                                                                                        1e-6)))
                for name in ("flight_time", "closest_approach")]  # fmt: skip
        return Points(x, y, label, x_error=ends[0], y_error=ends[1], role=role)  # type: ignore[arg-type]

    panel = Panel(
        [layer(kept, "known stars faster than 700 km/s", "data"), layer(s5, "S5-HVS1", "reference")],
        "log10 time since the closest approach [Myr]", "log10 closest approach to the center [kpc]",
    )  # fmt: skip
    caption = (
        "Fast stars followed back: how close they came to the center and when, medians and central 68 % over their "
        "errors. Stars that move toward the center now have no approach behind them and lie at the left."
    )
    return Figure("origins", caption, [panel], panel_size=(8.0, 4.4))
