"""Figures and tables of the study gse-mass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from starloom.halo.completeness import MeridionalCompleteness
from starloom.halo.survey import FRAME
from starloom.results.figures import Band, Figure, Image, Layer, Line, Panel, Points, Steps

if TYPE_CHECKING:
    from astropy.table import QTable
    from numpy.typing import NDArray

    from starloom.studies.gse_mass_steps import Analysis, Answer

    Array = NDArray[np.float64]

NAMES = {
    "p": "p", "q": "q", "theta": "theta [rad]", "eta": "eta", "angle": "angle [rad]", "slope": "slope",
    "cutoff_radius": "cutoff [kpc]", "inner_slope": "inner slope", "middle_slope": "middle slope",
    "outer_slope": "outer slope", "break_radius": "break [kpc]", "inner_break": "inner break [kpc]",
    "outer_break": "outer break [kpc]", "disk_share": "disk share", "outlier_share": "outlier share",
}  # fmt: skip
PUBLISHED = {"p": 0.55, "q": 0.45, "inner_slope": 1.0, "outer_slope": 6.0, "break_radius": 20.0}
PROFILE_DRAWS = 200
LEAST_COMPLETENESS = 0.01  # where the purity is drawn


def figures(work: Analysis, merger: Answer, halo: Answer) -> list[Figure]:
    """All figures of the page."""
    return [
        _selections(work),
        _completeness(work),
        _corner(merger, 3 if work.config.preset == "tour" else 6),
        _profile(work, merger, halo),
        _masses(work, merger, halo),
    ]


def _selections(work: Analysis) -> Figure:
    from starloom.halo.selections import ABUNDANCES, ELLIPSES

    motion, usable = work.sample.motion, work.sample.usable
    accreted = work.sample.chosen("accreted", None)
    panels = []
    iron, aluminum = (np.asarray(work.sample.table[name], dtype=float) for name in ("fe_h", "al_fe"))
    region = ABUNDANCES["accreted"]
    x = [region.fe_h[0], *(corner[0] for corner in region.corners), region.corners[-1][0]]
    y = [region.corners[0][1], *(corner[1] for corner in region.corners), -0.9]
    panels.append(
        Panel(
            [
                Points(iron[usable & ~accreted], aluminum[usable & ~accreted], "other giants", role="faint"),
                Points(iron[accreted], aluminum[accreted], "accreted", role="highlight"),
                Line(np.array(x), np.array(y), "its edge"),
            ],
            "[Fe/H]", "[Al/Fe]", "abundances",
        )
    )  # fmt: skip
    for name in work.selections:
        if name not in ELLIPSES:
            continue
        ellipse = ELLIPSES[name]
        a, b = ellipse.axes(motion)
        inside = work.sample.chosen("accreted", name)
        layers: list[Layer] = [
            Points(a[accreted & ~inside], b[accreted & ~inside], "accreted, outside", role="faint"),
            Points(a[inside], b[inside], "inside", role="highlight"),
            Line(*ellipse.outline(), "the selection"),
        ]
        ranges = {"e-Lz": ((-2500, 2500), (0, 1.02)), "AD": ((-1, 1), (-1.02, 1)), "JR-Lz": ((-2500, 2500), (0, 75))}
        span = ranges.get(name, (None, None))
        panels.append(Panel(layers, *ellipse.labels, name, x_range=span[0], y_range=span[1]))
    return Figure(
        "selections",
        "The accreted giants by their abundances, and the kinematic selections among them. Only stars inside both are "
        "fitted for the merger.",
        panels, columns=2, panel_size=(5.5, 3.8),
    )  # fmt: skip


def _completeness(work: Analysis) -> Figure:
    panels = []
    for what in ("completeness", "purity"):
        found = work.completeness_map(work.config.selection)
        if isinstance(found, MeridionalCompleteness):
            radius = np.linspace(0.25, 30.0, 80)
            height = np.linspace(0.0, 30.0, 80)
            edges = (np.linspace(0.0, 30.0, 81), np.linspace(0.0, 30.0, 81))
            x = np.stack(np.meshgrid(radius, [0.0], height, indexing="xy"), axis=-1)[0]
            values = found.at(x, what).T
            if what == "purity":  # of a few stars it is noise
                values = np.where(found.at(x).T >= LEAST_COMPLETENESS, values, np.nan)
            panels.append(
                Panel(
                    [
                        Image(*edges, values, what, color_range=(0.0, 1.0)),
                        Points([FRAME.r0], [FRAME.z_sun], "Sun", role="reference"),
                    ],
                    "R [kpc]", "|z| [kpc]", f"{what} of {work.config.selection}", equal=True,
                    y_range=(-0.8, 30.0),  # room for the whole of the Sun's mark
                )
            )  # fmt: skip
            continue
        values = getattr(found.counts, what)
        latitude = work.survey_of("accreted").effective.regions.b
        order = np.argsort(np.abs(latitude), kind="stable")
        steps = np.diff(found.modulus)[0]
        edges = (np.append(found.modulus, found.modulus[-1] + steps) - 0.5 * steps, np.arange(len(order) + 1.0))
        panels.append(
            Panel(
                [Image(*edges, values[order], what, color_range=(0.0, 1.0))],
                "distance modulus [mag]", "field, by |b|", f"{what} of {work.config.selection}",
            )
        )  # fmt: skip
    return Figure(
        "completeness",
        "Share of the merger's stars that the kinematic selection keeps at each place, and share of the merger in what "
        "it keeps if merger and rest were equally many there; from draws of the two distribution functions. Purity is "
        "left out where less than a hundredth of the merger is kept.",
        panels, columns=2, panel_size=(5.5, 4.4),
    )  # fmt: skip


def _corner(answer: Answer, most: int) -> Figure:
    names = [name for name in answer.posterior.names if name not in ("theta", "eta", "angle")][:most]
    panels = []
    for name in names:
        counts, edges = np.histogram(answer.posterior.of(name), _bins(answer.posterior.of(name), 25))
        panels.append(Panel([Steps(edges, counts.astype(float))], NAMES[name], "draws"))
    for place, second in enumerate(names):
        for first in names[:place]:
            values = answer.posterior.of(first)[::2], answer.posterior.of(second)[::2]
            panels.append(Panel([Points(*values, role="faint")], NAMES[first], NAMES[second]))
    if answer.model.turning:
        line = answer.posterior.axis("long")
        panels.append(
            Panel([Points(line.azimuth[::2], line.height[::2], role="faint")], "long axis [deg]", "its height [deg]")
        )
    return Figure(
        "posterior",
        f"Posterior of the {answer.model.label} for the merger: each parameter alone, and against each other; the last "
        "panel is the direction of the long axis, from the line from the Sun to the center and above the plane. p is "
        "the ratio of the intermediate axis to the long one, q that of the short one.",
        panels, columns=3 if len(names) < 4 else 5, panel_size=(2.8, 2.4),
    )  # fmt: skip


def _bins(draws: Array, most: int) -> int:
    """Bins for a histogram of draws that does not show their noise."""
    return int(np.clip(np.sqrt(len(draws)), 10, most))


def _profile(work: Analysis, merger: Answer, halo: Answer) -> Figure:
    """Density in Msun along the ellipsoidal radius of each fit."""
    m = np.geomspace(2.0, 60.0, 120)
    layers: list[Layer] = []
    for label, answer, abundance in (("GS/E", merger, "accreted"), ("whole halo", halo, "halo")):
        per = work.survey_of(abundance).mass_per_tracer
        flat = answer.posterior.flat
        chosen = flat[np.linspace(0, len(flat) - 1, min(PROFILE_DRAWS, len(flat))).astype(int)]
        rows = []
        for point in chosen:
            halo_part, disk_part = answer.likelihood.expected(point)
            amplitude = len(answer.likelihood.stars) / (halo_part + disk_part) * per
            rows.append(amplitude * _along(answer, point, m))
        low, middle, high = np.quantile(rows, [0.16, 0.5, 0.84], axis=0)
        layers += [Band(m, low, high, f"{label}, 68 %"), Line(m, middle, label)]
    published = _published_profile(m)
    here = float(np.interp(10.0, m, layers[1].y))  # type: ignore[attr-defined]
    scaled = published * here / float(np.interp(10.0, m, published))
    layers.append(Line(m, scaled, "published in words: shallow, break at 20 kpc, steep", role="reference"))
    return Figure(
        "profile",
        "Mass density along the ellipsoidal radius: the long axis of each fit. The dashed line has the break that "
        "arXiv:2306.03084 states in its abstract, drawn with slopes of 1 and 6 that stand for its words, and meets "
        "GS/E at 10 kpc.",
        [Panel(layers, "m [kpc]", "density [Msun / kpc3]", y_log=True)], panel_size=(8.0, 4.6),
    )  # fmt: skip


def _along(answer: Answer, point: Array, m: Array) -> Array:
    """Density along the long axis, one at the Sun."""
    from starloom.halo.orientation import axes

    direction = axes(dict(zip(answer.model.names, point, strict=True)))[0]
    return answer.model.halo(point, m[:, None] * direction, FRAME.sun.x)


def _published_profile(m: Array) -> Array:
    inner, outer, at = PUBLISHED["inner_slope"], PUBLISHED["outer_slope"], PUBLISHED["break_radius"]
    return np.where(m < at, (m / at) ** -inner, (m / at) ** -outer)


def _masses(work: Analysis, merger: Answer, halo: Answer) -> Figure:
    panels = []
    ignored = work.ignoring(merger)
    for title, answer, published in (
        ("GS/E", merger, (0.94, 1.45, 2.37)), ("whole halo", halo, (6.7, 7.5, 8.4)),
    ):  # fmt: skip
        values = np.log10(answer.mass.mass)
        counts, edges = np.histogram(values, _bins(values, 40))
        peak = float(counts.max())
        span = np.log10(np.array(published) * 1e8)
        layers: list[Layer] = [
            Steps(edges, counts / peak, "this run"),
            Line(np.repeat(span[1], 2), np.array([0.0, 1.1]), "published", role="reference"),
            Band(
                span[[0, 2]], np.zeros(2), np.full(2, 1.1), "published, 68 %" if title == "GS/E" else "published range"
            ),
        ]
        if title == "GS/E":
            if "component" in work.sample.table.colnames:
                true = np.log10(work.config.mock_mass * work.true_shell_ratio())
                layers.append(Line(np.repeat(true, 2), np.array([0.0, 1.1]), "truth of the made halo"))
            for name, mass in ignored.items():
                layers.append(Line(np.repeat(np.log10(mass), 2), np.array([0.0, 1.1]), f"without {name}"))
        panels.append(Panel(layers, "log10 mass [Msun]", "draws, of the most", title))
    return Figure(
        "masses",
        "Posterior of the stellar masses between the radii of the settings, beside the published ones; and what the "
        "best fit weighs when the completeness of the selection or the survey's sampling is ignored.",
        panels, columns=2, panel_size=(6.0, 4.0),
    )  # fmt: skip


def tables(work: Analysis, merger: Answer, halo: Answer, budget: QTable) -> list[tuple[str, QTable, str]]:
    """Tables of the page: name, table, what a row is."""
    from astropy import units as u

    shown = budget.copy()
    shown["mass"] = np.asarray(shown["mass"]) * u.Msun
    found = [("budget", shown, "one thing changed at a time: mass of the best fit, and its ratio to the baseline")]
    for name, answer in (("gse", merger), ("halo", halo)):
        found.append((f"{name}_densities", _compared(answer), "a density: its best fit, AIC, BIC and evidence"))
        found.append((f"{name}_posterior", _draws(answer), "a draw of the posterior, with its mass"))
    found.append(("completeness", _nodes(work), "a place: completeness and purity with Monte Carlo errors"))
    stars = work.sample.table.copy()
    found.append(("stars", stars, "the giants: orbits, selections, probabilities under the errors, reasons"))
    return found


def _compared(answer: Answer) -> QTable:
    from astropy.table import QTable

    fits, models = answer.comparison.fits, [part.model for part in answer.comparison.likelihoods]
    table = QTable({"density": [model.label for model in models], "parameters": [fit.count for fit in fits]})
    table["log_likelihood"] = [fit.log_likelihood for fit in fits]
    table["aic"], table["bic"] = [fit.aic for fit in fits], [fit.bic for fit in fits]
    table["starts_that_agree"] = [fit.agreed for fit in fits]
    if any(part is not None for part in answer.evidences):
        table["log_evidence"] = [np.nan if part is None else part.log_evidence for part in answer.evidences]
        table["log_evidence_error"] = [np.nan if part is None else part.error for part in answer.evidences]
    for name in dict.fromkeys(name for model in models for name in model.names):
        table[name] = [fit.parameters.get(name, np.nan) for fit in fits]
    return table


def _draws(answer: Answer) -> QTable:
    from astropy import units as u
    from astropy.table import QTable

    flat = answer.posterior.flat
    count = len(answer.mass.mass)
    chosen = flat[np.unique(np.linspace(0, len(flat) - 1, count).astype(int))]
    table = QTable(dict(zip(answer.posterior.names, chosen.T, strict=True)))
    table["stellar_mass"] = answer.mass.mass * u.Msun
    return table


def _nodes(work: Analysis) -> QTable:
    from astropy import units as u
    from astropy.table import QTable

    found = work.completeness_map(work.config.selection)
    if isinstance(found, MeridionalCompleteness):
        r, s = np.meshgrid(np.exp(found.log_radius), found.sine, indexing="ij")
        table = QTable({"radius": (r * np.sqrt(1 - s**2)).ravel() * u.kpc, "height": (r * s).ravel() * u.kpc})
    else:
        effective = work.survey_of("accreted").effective
        table = QTable({"field": np.repeat(effective.names, len(found.modulus))})
        table["modulus"] = np.tile(found.modulus, len(effective.names)) * u.mag
    for name in ("completeness", "completeness_error", "purity", "purity_error"):
        table[name] = getattr(found.counts, name).ravel()
    return table
