"""Figures, table and explorer of a split of the alpha sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from starloom.disk.published_lines import LINES
from starloom.results.figures import Explorer, Figure, Image, Layer, Line, Panel, View, cell_edges
from starloom.seeds import generator

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.dependence.copula import Copula
    from starloom.disk.alpha_sequences import FittedSequences

LABELS = ("[Fe/H] [dex]", "[alpha/Fe] [dex]")
RANGE = ((-1.3, 0.6), (-0.1, 0.45))
EXPLORED = 12_000


def line_table(fitted: FittedSequences) -> QTable:
    """The split and the watershed as a table."""
    from astropy.table import QTable

    known = np.isfinite(fitted.alpha)
    iron = fitted.fe_h[known]
    return QTable(
        {
            "fe_h": iron,
            "alpha": fitted.alpha[known],
            "alpha_error": fitted.alpha_error[known],
            "low_mean": fitted.mixture.mean[0][known],
            "high_mean": fitted.mixture.mean[1][known],
            "high_share": fitted.mixture.share[known],
            "watershed": np.interp(iron, fitted.watershed_fe_h, fitted.watershed_alpha, left=np.nan, right=np.nan),
        }
    )


def figures(fitted: FittedSequences, stars: QTable, copula: Copula, watersheds: QTable) -> list[Figure]:
    """The split over the stars, and the same density in ranks."""
    return [_plane(fitted, stars, watersheds), _ranks(fitted, stars, copula), _probability(fitted)]


def _plane(fitted: FittedSequences, stars: QTable, watersheds: QTable) -> Figure:
    iron, alpha = fitted.model.columns(stars)
    known = np.isfinite(iron) & np.isfinite(alpha)
    x, y = np.linspace(*RANGE[0], 96), np.linspace(*RANGE[1], 111)
    counts = np.histogram2d(iron[known], alpha[known], bins=(x, y))[0].T
    image = Image(x, y, counts, "stars in a cell", log=True)
    grid = np.linspace(*RANGE[0], 200)
    split = fitted.line(grid)[0]
    ours: list[Layer] = [image, Line(grid, split, "the split: both sequences equally probable")]
    for name, label in (("scores", "watershed in normal scores"), ("values", "watershed in the columns")):
        if f"watershed_{name}" in watersheds.colnames:
            ours.append(Line(watersheds["fe_h"], watersheds[f"watershed_{name}"], label, role="reference"))
    theirs: list[Layer] = [image, Line(grid, split, "the split")]
    theirs += [Line(grid, line(grid), name, role="reference") for name, line in LINES.items()]
    panels = [
        Panel(layers, *LABELS, title, x_range=RANGE[0], y_range=RANGE[1])
        for layers, title in ((ours, "Found"), (theirs, "Drawn by others"))
    ]
    return Figure(
        "split", "Stars, the split (left, with the watersheds that it starts from) and lines drawn by others (right). "
        "Where the line ends one sequence holds all stars.", panels, columns=2, panel_size=(6.6, 5.2),
    )  # fmt: skip


def _ranks(fitted: FittedSequences, stars: QTable, copula: Copula) -> Figure:
    scores = np.linspace(-2.8, 2.8, 121)
    density = copula.score_density(scores[:, None], scores[None, :]).T
    u = np.linspace(0.0, 1.0, 122)
    middles = 0.5 * (u[1:] + u[:-1])
    on_square = copula.density(middles[:, None], middles[None, :]).T
    grid = np.linspace(-1.3, 0.5, 200)
    line = fitted.line(grid)[0]
    known = np.isfinite(line)
    ranks = copula.ranks(grid[known], line[known])
    from scipy.special import ndtri

    on_scores = [ndtri(part) for part in ranks]
    levels = (0.25 * density.max(), 0.5 * density.max(), 0.7 * density.max(), 0.85 * density.max())
    panels = [
        Panel(
            [Image(cell_edges(scores), cell_edges(scores), density, "density of the normal scores", contours=levels),
             Line(on_scores[0], on_scores[1], "the split")],
            "normal score of [Fe/H]", "normal score of [alpha/Fe]", "Normal scores", equal=True,
            x_range=(-2.8, 2.8), y_range=(-2.8, 2.8),
        ),
        Panel(
            [Image(u, u, on_square, "copula density", color_range=(0.0, 4.0), contours=(1.0,)),
             Line(ranks[0], ranks[1], "the split")],
            "rank of [Fe/H]", "rank of [alpha/Fe]", "Unit square", equal=True, x_range=(0, 1), y_range=(0, 1),
        ),
    ]  # fmt: skip
    return Figure(
        "copula", "The dependence of [Fe/H] and [alpha/Fe] with the margins taken out: the density of the normal "
        "scores (left) and the copula density on the unit square (right; the contour is independence, and the colors "
        "end at 4: it has no bound in the corners).", panels, columns=2, panel_size=(5.8, 5.2),
    )  # fmt: skip


def _probability(fitted: FittedSequences) -> Figure:
    x, y = np.linspace(*RANGE[0], 140), np.linspace(*RANGE[1], 120)
    p = fitted.mixture.probability(x[None, :], y[:, None])
    sequences = [
        Line(fitted.fe_h, fitted.mixture.mean[k], f"mean of the {name}-alpha sequence", role="reference")
        for k, name in enumerate(("low", "high"))
    ]
    image = Image(cell_edges(x), cell_edges(y), p, "P(high alpha)", color_range=(0.0, 1.0), center=0.5,
                  contours=(0.1, 0.9), contour_label="P = 0.1 and 0.9")  # fmt: skip
    panel = Panel([image, *sequences], *LABELS, x_range=RANGE[0], y_range=RANGE[1])
    return Figure("probability", "The probability to be of the high-alpha sequence.", [panel], panel_size=(8.0, 4.6))


def explorer(split: QTable, seed: int) -> Explorer:
    """A random part of the stars, by their probability."""
    known = np.flatnonzero(np.asarray(split["reason"]) == "")
    chosen = known[np.sort(generator(seed).permutation(len(known))[:EXPLORED])]
    part = split[chosen]
    columns = {name: np.asarray(part[name], dtype=float) for name in ("fe_h", "alpha_m", "p_high_alpha")}
    views = [View("fe_h", "alpha_m", *LABELS, "Abundances")]
    for name in ("teff", "logg"):
        if name in part.colnames:
            columns[name] = np.asarray(getattr(part[name], "value", part[name]), dtype=float)
    if "teff" in columns and "logg" in columns:
        views.append(View("teff", "logg", "Teff [K]", "log g", "Temperature and gravity", invert_y=True))
        views.append(View("fe_h", "logg", LABELS[0], "log g", "Metallicity and gravity", invert_y=True))
    return Explorer(columns, "p_high_alpha", views, "P(high alpha)", {"fe_h": "[Fe/H]", "alpha_m": "[alpha/Fe]"})
