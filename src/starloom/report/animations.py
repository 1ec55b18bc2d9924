"""Declared animations drawn as GIF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from starloom.files import atomic_path
from starloom.report.figures import STYLE, _clean, _compose, _text
from starloom.results.figures import Animation, Figure, Image, Panel

DPI = 90
COLORS = 255


def animate(animation: Animation, folder: Path) -> Path:
    """Draw an animation into ``folder`` as ``NAME.gif``, whole or not at all.

    Raises
    ------
    OutputError
        When the file cannot be written.
    """
    from PIL import Image as Picture

    shown: list[Any] = []
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        figure: Any = None
        first = animation.frames[0]
        for panel in animation.frames:
            if figure is not None and _same_cells(first, panel):
                axes = figure.axes[0]
                axes.collections[0].set_array(_clean(panel.layers[0].values))  # type: ignore[attr-defined]
                axes.set_title(_text(panel.title), loc="left", fontweight="bold")
            else:
                first = panel
                figure = _compose(Figure(animation.name, "", [panel], panel_size=animation.panel_size))
                figure.set_dpi(DPI)
                figure.canvas.draw()
                figure.set_layout_engine("none")  # the axes stay where they are, and most of the time is saved
            figure.canvas.draw()
            shown.append(np.asarray(figure.canvas.buffer_rgba())[..., :3].copy())
    # one palette for all frames, made of some of them, so that colors do not flicker
    some = Picture.fromarray(np.concatenate(shown[:: max(1, len(shown) // 8)]))
    palette = some.quantize(COLORS)
    pictures = [Picture.fromarray(one).quantize(palette=palette, dither=Picture.Dither.NONE) for one in shown]
    path = folder / f"{animation.name}.gif"
    with atomic_path(path) as temporary:
        pictures[0].save(
            temporary, format="GIF", save_all=True, append_images=pictures[1:], loop=0, optimize=False,
            duration=round(1000 * animation.seconds),
        )  # fmt: skip
    return path


def _same_cells(first: Panel, panel: Panel) -> bool:
    """Whether two panels differ in the values of one image and the title only."""
    if len(first.layers) != 1 or len(panel.layers) != 1:
        return False
    one, other = first.layers[0], panel.layers[0]
    return (
        isinstance(one, Image)
        and isinstance(other, Image)
        and not one.contours
        and one.color_range == other.color_range is not None
        and np.array_equal(one.x_edges, other.x_edges)
        and np.array_equal(one.y_edges, other.y_edges)
    )
