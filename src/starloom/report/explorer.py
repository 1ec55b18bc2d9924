"""The explorer: linked panels over one table, with a slider on a probability, in a page that needs no network."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starloom.results.figures import Explorer, View

MOST_ROWS = 50_000
SOURCE, SLIDER, COUNTS = "explorer_rows", "explorer_threshold", "explorer_counts"

FILTER = """
const cut = slider.value, values = rows.data[probability];
const above = Array.from(values, (value) => value >= cut);
bright.booleans = above;
faint.booleans = above.map((value) => !value);
"""
COUNT = """
const cut = slider.value, values = rows.data[probability], chosen = rows.selected.indices;
const number = (count) => count.toLocaleString("en-US");
const above = (count, value) => count + (value >= cut ? 1 : 0);
let text = `${number(values.reduce(above, 0))} of ${number(values.length)} at or above ${cut.toFixed(2)}`;
if (chosen.length > 0) {
    const both = chosen.map((row) => values[row]).reduce(above, 0);
    text += ` · ${number(chosen.length)} selected, ${number(both)} of them at or above it`;
}
counts.text = text;
"""


@dataclass(frozen=True)
class EmbeddedExplorer:
    """Pieces of HTML: ``scripts`` go to the end of the page, ``body`` where the explorer stands."""

    body: str
    scripts: str


def _floats(values: Any) -> NDArray[np.float64]:
    if hasattr(values, "mask") and hasattr(values, "filled"):
        values = values.astype(np.float64).filled(np.nan)
    found = np.array(values, dtype=np.float64)
    found[~np.isfinite(found)] = np.nan
    return found


def _shown_values(values: Any) -> NDArray[Any]:
    """Values for the hover text: integers become text, as a browser keeps only 53 bits of them."""
    array = np.asarray(values)
    if array.dtype.kind == "f":
        return _floats(values).astype(np.float32)
    texts = np.ma.asarray(array).astype(np.str_)
    mask = getattr(values, "mask", None)
    return np.array(texts if mask is None else np.where(mask, "", texts), dtype=np.str_)


def _plain(text: str) -> str:
    """A label that Bokeh shows as it stands: two dollar signs would make it load a typesetter."""
    return re.sub(r"\$\$|\\\(|\\\[", " ", text)


def embed(explorer: Explorer) -> EmbeddedExplorer:
    """Turn a declared explorer into HTML with everything it needs inside.

    The panels share one data source, so a selection in one is a selection in all. Of more than ``MOST_ROWS`` rows the
    most probable ones are kept, and the page says so.
    """
    from bokeh.embed import components
    from bokeh.models import BooleanFilter, CDSView, ColumnDataSource, CustomJS, HoverTool
    from bokeh.models.widgets import Div, Slider
    from bokeh.resources import Resources

    probability = _floats(explorer.columns[explorer.probability])
    total = len(probability)
    order = np.argsort(np.where(np.isnan(probability), -1.0, probability), kind="stable")[-MOST_ROWS:]
    rows = np.sort(order)
    keys = {name: f"column_{index}" for index, name in enumerate(explorer.columns)}
    plotted = {explorer.probability} | {name for view in explorer.views for name in (view.x, view.y)}
    data: dict[str, Any] = {}
    for name in plotted | set(explorer.hover):
        values = explorer.columns[name]
        data[keys[name]] = (_floats(values).astype(np.float32) if name in plotted else _shown_values(values))[rows]
    source = ColumnDataSource(data, name=SOURCE)
    key = keys[explorer.probability]
    above = data[key] >= np.float32(explorer.threshold)
    bright, faint = BooleanFilter(above.tolist()), BooleanFilter((~above).tolist())
    slider = Slider(
        start=0, end=1, step=0.01, value=explorer.threshold, name=SLIDER, sizing_mode="stretch_width",
        title=_plain(explorer.probability_label), bar_color="#0b5c8a",
    )  # fmt: skip
    counts = Div(text=f"{above.sum():,} of {len(rows):,} at or above {explorer.threshold:.2f}", name=COUNTS)
    known = {"slider": slider, "rows": source, "probability": key, "counts": counts}
    slider.js_on_change("value", CustomJS(args={**known, "bright": bright, "faint": faint}, code=FILTER))
    slider.js_on_change("value", CustomJS(args=known, code=COUNT))
    source.selected.js_on_change("indices", CustomJS(args=known, code=COUNT))
    hover = [
        (_plain(label), f"@{keys[name]}" + ("{0.[0000]}" if data[keys[name]].dtype.kind == "f" else ""))
        for name, label in explorer.hover.items()
    ]
    panels = []
    for index, view in enumerate(explorer.views):
        wide = index == 0 and len(explorer.views) % 2 == 1
        panel, renderer = _panel(view, source, keys, key, CDSView(filter=bright), CDSView(filter=faint))
        panel.height = 330 if wide else 380
        if hover:
            panel.add_tools(HoverTool(renderers=[renderer], tooltips=hover))
        panels.append((wide, panel))
    script, divs = components((slider, counts, *(panel for _, panel in panels)), wrap_script=True)
    resources = Resources(mode="inline", components=["bokeh", "bokeh-widgets"])
    views = "".join(
        f"<div{' class=wide' if wide else ''}>{div}</div>" for (wide, _), div in zip(panels, divs[2:], strict=True)
    )
    note = f"The {len(rows):,} most probable of {total:,} rows are shown here. " if total > len(rows) else ""
    body = (
        f'<p class="small">{html.escape(note)}Rows at or above the slider are colored by '
        f"{html.escape(explorer.probability_label)}, the others are faint. Drag a box or a lasso in one panel: "
        f"the same rows light up in all of them. The arrow tool resets.</p>"
        f'<div class="controls">{divs[0]}{divs[1]}</div><div class="views">{views}</div>'
    )
    return EmbeddedExplorer(body, resources.render_js() + script)


def _panel(view: View, source: Any, keys: dict[str, str], key: str, bright: Any, faint: Any) -> tuple[Any, Any]:
    from bokeh.models import Range1d, Scatter
    from bokeh.plotting import figure
    from bokeh.transform import linear_cmap
    from matplotlib.colors import to_hex

    from starloom.report.figures import SEQUENCE

    x, y = keys[view.x], keys[view.y]
    panel = figure(
        title=_plain(view.title) or None, x_axis_label=_plain(view.x_label), y_axis_label=_plain(view.y_label),
        tools="pan,box_select,lasso_select,wheel_zoom,reset", active_drag="box_select", sizing_mode="stretch_width",
        output_backend="canvas", name=f"view_{view.x}_{view.y}",
    )  # fmt: skip
    left, right = _limits(source.data[x])
    bottom, top = _limits(source.data[y], view.invert_y)
    panel.x_range, panel.y_range = Range1d(start=left, end=right), Range1d(start=bottom, end=top)
    panel.toolbar.logo = None
    color = linear_cmap(key, [to_hex(SEQUENCE(step / 255)) for step in range(256)], 0.0, 1.0)
    size = float(np.clip(9000 / max(len(source.data[x]), 1), 4, 9))
    chosen = Scatter(x=x, y=y, size=size + 1.5, fill_color="#00a4d8", line_color="#003b52", line_width=0.7)
    for filtered, glyph in (
        (faint, Scatter(x=x, y=y, size=size * 0.6, fill_color="#9aa4ae", fill_alpha=0.35, line_color=None)),
        (bright, Scatter(x=x, y=y, size=size, fill_color=color, fill_alpha=0.9, line_color=None)),
    ):
        muted = glyph.clone(fill_alpha=0.12)
        renderer = panel.add_glyph(
            source, glyph, view=filtered, selection_glyph=chosen.clone(), nonselection_glyph=muted
        )
    panel.grid.grid_line_color = "#eceff2"
    panel.outline_line_color = "#57606a"
    panel.axis.axis_label_text_font_style = "normal"
    return panel, renderer


def _limits(values: NDArray[Any], inverted: bool = False) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return (1.0, 0.0) if inverted else (0.0, 1.0)
    low, high = float(finite.min()), float(finite.max())
    margin = 0.03 * (high - low) or 0.5
    return (high + margin, low - margin) if inverted else (low - margin, high + margin)
