"""Declared figures drawn with matplotlib: one look for every study, without pyplot's global state."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.figure import Figure as Canvas
from matplotlib.mathtext import MathTextParser
from numpy.typing import NDArray

from starloom.errors import ConfigError
from starloom.files import atomic_path
from starloom.results.figures import Band, Figure, Image, Layer, Line, Panel, Picture, Points, Span, Steps

# Okabe and Ito's colors, told apart with every kind of color vision
LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
STEPS = ("#57606a", "#D55E00", "#009E73", "#CC79A7")
REFERENCES = ("#1b1f24", "#E69F00", "#CC79A7", "#009E73")
POINTS: dict[str, dict[str, Any]] = {
    "faint": {"color": "#aab2ba", "alpha": 0.55, "zorder": 1.5, "scale": 0.8},
    "data": {"color": "#333b44", "alpha": 0.75, "zorder": 2.0, "scale": 1.0},
    "highlight": {"color": "#0072B2", "alpha": 0.9, "zorder": 2.5, "scale": 1.6},
    "reference": {"color": "#D55E00", "alpha": 1.0, "zorder": 3.5, "scale": 5.0},
}
# from pale to dark, so that what is probable stands out on white
SEQUENCE: Colormap = LinearSegmentedColormap.from_list(
    "starloom", [(0.0, "#d9dee2"), (0.3, "#efd07a"), (0.55, "#e1701a"), (0.78, "#a3195b"), (1.0, "#2d0a4e")]
)
SEQUENCE = SEQUENCE.with_extremes(bad="#aab2ba")
# blue below, white in the middle, red above
TWO_SIDED: Colormap = LinearSegmentedColormap.from_list(
    "starloom two-sided",
    [(0.0, "#053061"), (0.25, "#4a90c2"), (0.5, "#f7f7f5"), (0.75, "#d9694f"), (1.0, "#67001f")],
).with_extremes(bad="#aab2ba")
STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.labelsize": 10,
    "axes.titlesize": 10,
    "axes.linewidth": 0.8,
    "axes.spines.top": True,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "xtick.minor.visible": True,
    "ytick.minor.visible": True,
    "legend.fontsize": 8.5,
    "pdf.fonttype": 42,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}
PNG_DPI = 170


def draw(figure: Figure, folder: Path) -> tuple[Path, Path]:
    """Draw a figure into ``folder`` as ``NAME.png`` and ``NAME.pdf``, each whole or not at all.

    Raises
    ------
    OutputError
        When a file cannot be written.
    """
    with mpl.rc_context():
        mpl.rcdefaults()  # the look of a page does not depend on the user's own settings
        mpl.rcParams.update(STYLE)
        canvas = _compose(figure)
        paths = (folder / f"{figure.name}.png", folder / f"{figure.name}.pdf")
        for path, metadata in zip(paths, ({"Software": "Starloom"}, {"CreationDate": None}), strict=True):
            with atomic_path(path) as temporary:
                canvas.savefig(temporary, format=path.suffix[1:], dpi=PNG_DPI, metadata=metadata)
    return paths


def _compose(figure: Figure) -> Canvas:
    columns = min(figure.columns, len(figure.panels))
    rows = -(-len(figure.panels) // columns)
    width, height = figure.panel_size
    canvas = Canvas(figsize=(width * columns, height * rows), layout="constrained")
    FigureCanvasAgg(canvas)
    axes = canvas.subplots(rows, columns, squeeze=False, sharex=figure.share_x)
    colored: dict[int, list[tuple[Any, str, tuple[float, float]]]] = {}
    for index, panel in enumerate(figure.panels):
        ax = axes[index // columns, index % columns]
        colored[index] = _draw_panel(ax, panel)
        if not figure.share_x:
            _legend_and_title(ax, [ax], panel.title, width)
        below = index + columns < len(figure.panels)
        if figure.share_x and below:
            ax.set_xlabel("")
        elif figure.share_x:
            ax.tick_params(labelbottom=True)
    for index in range(len(figure.panels), rows * columns):
        axes[index // columns, index % columns].remove()
    if figure.share_x:  # panels over one axis tell of the same things: one legend above them all
        for column in range(columns):
            panels = [axes[index // columns, column] for index in range(column, len(figure.panels), columns)]
            _legend_and_title(panels[0], panels, figure.panels[column].title, width)
    _color_bars(canvas, axes, columns, figure, colored)
    return canvas


def _color_bars(canvas: Canvas, axes: Any, columns: int, figure: Figure, colored: dict[int, Any]) -> None:
    """One bar for the figure where all panels agree, else one for each panel (for a shared x axis: each column)."""
    drawn = [(index, *entry) for index, entries in colored.items() for entry in entries]
    if not drawn:
        return
    kinds = {(label, limits, mappable.cmap.name, type(mappable.norm)) for _, mappable, label, limits in drawn}
    panels = [axes[index // columns, index % columns] for index in range(len(figure.panels))]
    if len(kinds) == 1:
        _color_bar(canvas, drawn[0][1], panels, drawn[0][2])
        return
    for column in range(columns):
        done = set()
        for index, mappable, label, limits in drawn:
            if index % columns == column and (figure.share_x, index, label, limits) not in done:
                beside = panels[column::columns] if figure.share_x else [panels[index]]
                _color_bar(canvas, mappable, beside, label)
                done.add((figure.share_x, index, label, limits))


def _color_bar(canvas: Canvas, mappable: Any, axes: Sequence[Any], label: str) -> None:
    bar = canvas.colorbar(mappable, ax=list(axes), label=_text(label), pad=0.015, aspect=30, fraction=0.05)
    bar.ax.minorticks_off()


def _text(text: str) -> str:
    """Text as matplotlib may show it: dollar signs that are no formula are plain dollars."""
    if "$" not in text:
        return text
    try:
        MathTextParser("path").parse(text)
    except ValueError:
        return text.replace("$", r"\$")
    return text


def _clean(values: Any, log: bool = False) -> NDArray[np.float64]:
    found = np.array(values, dtype=np.float64)
    found[~np.isfinite(found) | (found <= 0 if log else False)] = np.nan
    return found


def _draw_panel(ax: Any, panel: Panel) -> list[tuple[Any, str, tuple[float, float]]]:
    if panel.y_log:
        ax.set_yscale("log", nonpositive="mask")
    colors: list[tuple[Any, str, tuple[float, float]]] = []
    used = {"model": 0, "reference": 0, "band": 0, "steps": 0}
    for layer in panel.layers:
        mappable = _draw_layer(ax, layer, used, panel.y_log)
        if mappable is not None and isinstance(layer, Points | Image):
            colors.append((mappable, layer.color_label, (mappable.norm.vmin, mappable.norm.vmax)))
    ax.set_xlabel(_text(panel.x_label))
    ax.set_ylabel(_text(panel.y_label))
    for limits, set_limits in ((panel.x_range, ax.set_xlim), (panel.y_range, ax.set_ylim)):
        if limits is not None and limits[0] != limits[1]:
            set_limits(*limits)
    for axis, names in ((ax.xaxis, panel.x_ticks), (ax.yaxis, panel.y_ticks)):
        if names:
            axis.set_ticks(range(len(names)), [_text(name) for name in names])
            axis.set_tick_params(which="minor", length=0)
    if not panel.x_label and not panel.y_label and any(isinstance(layer, Picture) for layer in panel.layers):
        ax.set_axis_off()
    if panel.equal:
        ax.set_aspect("equal", adjustable="box")
    if panel.invert_x:
        ax.xaxis.set_inverted(True)
    if panel.invert_y:
        ax.yaxis.set_inverted(True)
    return colors


def _draw_layer(ax: Any, layer: Layer, used: dict[str, int], log: bool) -> Any:
    match layer:
        case Points():
            return _draw_points(ax, layer, log)
        case Line():
            palette = LINES if layer.role == "model" else REFERENCES
            partner = next((line for line in ax.get_lines() if layer.of and line.get_label() == _text(layer.of)), None)
            color = partner.get_color() if partner else palette[used[layer.role] % len(palette)]
            used[layer.role] += partner is None
            dashes = "-" if layer.role == "model" else "--"
            width = 1.8 if layer.role == "model" else 1.3
            y = _clean(layer.y, log)
            ax.plot(_clean(layer.x), y, dashes, color=color, lw=width, label=_text(layer.label), zorder=3)
        case Band():
            color = LINES[used["band"] % len(LINES)]
            used["band"] += 1
            bounds = _clean(layer.low, log), _clean(layer.high, log)
            ax.fill_between(_clean(layer.x), *bounds, color=color, alpha=0.22, lw=0, label=_text(layer.label), zorder=2)
        case Steps():
            color = STEPS[used["steps"] % len(STEPS)]
            edges, values = np.asarray(layer.edges, dtype=np.float64), _clean(layer.values, log)
            filled = used["steps"] == 0
            used["steps"] += 1
            floor = None if log else 0.0
            if filled:
                ax.stairs(values, edges, baseline=floor, fill=not log, color=color, alpha=0.25 if not log else 1)
            ax.stairs(values, edges, baseline=floor, color=color, lw=1.4, label=_text(layer.label), zorder=2.5)
            if layer.error is not None:
                middle = 0.5 * (edges[1:] + edges[:-1])
                ax.errorbar(middle, values, _clean(layer.error), fmt="none", ecolor=color, elinewidth=1, zorder=2.6)
        case Image():
            return _draw_image(ax, layer)
        case Picture():
            pixels: NDArray[np.uint8] = np.asarray(layer.pixels)
            height, width = pixels.shape[:2]
            ax.imshow(pixels, extent=(0, width, height, 0), interpolation="nearest", zorder=1)
        case Span():
            ax.axvspan(layer.low, layer.high, color="#57606a", alpha=0.13, lw=0, label=_text(layer.label), zorder=0.5)
        case _:
            raise ConfigError(f"no one taught this page to draw a {type(layer).__name__}")
    return None


def _draw_points(ax: Any, layer: Points, log: bool) -> Any:
    look = POINTS[layer.role]
    x, y = _clean(layer.x), _clean(layer.y, log)
    # the more points, the smaller
    size = float(np.clip(6000 / max(len(x), 1), 3, 16)) * (look["scale"] if layer.role != "reference" else 1.6)
    kept = np.isfinite(x) & np.isfinite(y)
    errors = [None if e is None else _clean(e)[kept] for e in (layer.x_error, layer.y_error)]
    if any(error is not None for error in errors):
        ax.errorbar(
            x[kept], y[kept], xerr=errors[0], yerr=errors[1], fmt="none",
            ecolor=look["color"], elinewidth=0.8, alpha=0.6, zorder=look["zorder"] - 0.1,
        )  # fmt: skip
    shared = {"s": size, "zorder": look["zorder"], "label": _text(layer.label), "rasterized": len(x) > 500}
    if layer.color is None:
        if layer.role == "reference":
            ax.scatter(x[kept], y[kept], facecolors="none", edgecolors=look["color"], linewidths=1.0, **shared)
        else:
            ax.scatter(x[kept], y[kept], color=look["color"], alpha=look["alpha"], linewidths=0, **shared)
        return None
    values = _clean(layer.color)[kept]
    order = np.argsort(np.where(np.isnan(values), -np.inf, values), kind="stable")  # the highest values on top
    if layer.color_range is not None:
        low, high = layer.color_range
    else:
        low, high = (np.nanmin(values), np.nanmax(values)) if np.isfinite(values).any() else (0.0, 1.0)
    edges = {"edgecolors": "#1b1f24", "linewidths": 0.6} if layer.role == "reference" else {"linewidths": 0}
    norm = Normalize(low, high if high > low else low + 1.0)
    return ax.scatter(
        x[kept][order], y[kept][order], c=values[order], cmap=SEQUENCE, norm=norm, plotnonfinite=True, **edges, **shared
    )


def _draw_image(ax: Any, layer: Image) -> Any:
    x, y = (np.asarray(edges, dtype=np.float64) for edges in (layer.x_edges, layer.y_edges))
    values = _clean(layer.values, layer.log)
    known = values[np.isfinite(values)]
    low, high = layer.color_range or ((known.min(), known.max()) if len(known) else (0.1, 1.0))
    if layer.center is not None and layer.color_range is None:
        reach = max(abs(low - layer.center), abs(high - layer.center))
        low, high = layer.center - reach, layer.center + reach
    norm: Normalize = (
        LogNorm(low, high if high > low else 10.0 * low)
        if layer.log
        else Normalize(low, high if high > low else low + 1.0)
    )
    shown = ax.pcolormesh(
        x, y, values, cmap=SEQUENCE if layer.center is None else TWO_SIDED, norm=norm, rasterized=True, zorder=1
    )
    ax.set_facecolor("#dfe3e7")  # cells without a value; the colors' own gray would need a drawn cell
    inside = [level for level in sorted(set(layer.contours)) if len(known) and known.min() < level < known.max()]
    if inside and min(values.shape) > 1:
        middles = 0.5 * (x[1:] + x[:-1]), 0.5 * (y[1:] + y[:-1])
        ax.contour(*middles, values, levels=inside, colors="#1b1f24", linewidths=0.9, linestyles="-", zorder=2.2)
        if layer.contour_label:
            ax.plot([], [], "-", color="#1b1f24", lw=0.9, label=_text(layer.contour_label))
    return shown


def _legend_and_title(ax: Any, told: Sequence[Any], title: str, width: float) -> None:
    """The legend of the axes ``told`` stands above ``ax``, where it hides no star; the title beside or above it."""
    found: dict[str, Any] = {}
    for entry in told:
        for handle, label in zip(*entry.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    rows, room = 0, width * 0.8
    if found:
        lengths = [0.42 + 0.065 * len(label) for label in found]
        per_row = max(1, min(len(found), int(room / max(lengths))))
        rows = -(-len(found) // per_row)
        ax.legend(
            found.values(), found.keys(), loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=per_row, frameon=False,
            borderaxespad=0.2, columnspacing=1.2, handletextpad=0.5, markerscale=1.6,
        )  # fmt: skip
        beside = rows == 1 and sum(lengths) + 0.085 * len(title) < room
        rows = 0 if beside else rows
    if title:
        ax.set_title(_text(title), loc="left", fontweight="bold", pad=6 + 14 * rows)
