"""Figures as data: what a study wants drawn, without drawing it.

A study declares panels and layers; ``report`` draws them (matplotlib for the figures, Bokeh for the explorer). So no
study imports a plotting library, and every figure of every study looks and reads alike.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import ConfigError

FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def cell_edges(middles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges (n + 1,) of cells of one width around their middles (n,), as an `Image` wants them.

    Examples
    --------
    >>> cell_edges(np.array([1.0, 2.0])).tolist()
    [0.5, 1.5, 2.5]
    """
    step = middles[1] - middles[0]
    return np.concatenate([middles - 0.5 * step, [middles[-1] + 0.5 * step]])


def _numbers(values: Any) -> NDArray[np.float64]:
    if hasattr(values, "mask") and hasattr(values, "filled"):  # masked arrays and columns: missing is NaN from here on
        values = values.astype(np.float64).filled(np.nan)
    return np.atleast_1d(np.asarray(values, dtype=np.float64))


def _same_length(what: str, /, **columns: ArrayLike | None) -> None:
    shapes = {name: np.shape(values) for name, values in columns.items() if values is not None}
    if len(set(shapes.values())) > 1 or any(len(shape) != 1 for shape in shapes.values()):
        raise ConfigError(f"{what}: shapes differ: " + ", ".join(f"{name} {shape}" for name, shape in shapes.items()))


class Layer:
    """Something drawn in a panel."""


@dataclass
class Points(Layer):
    """Points at (x, y), each shape (n,); ``color`` colors them by value, with a color bar named ``color_label``.

    ``x_error`` and ``y_error`` (n,) draw bars. ``role`` sets how they look: "data" (small, dark), "faint" (background
    stars), "highlight" (members), "reference" (open markers: somebody else's points).
    """

    x: ArrayLike
    y: ArrayLike
    label: str = ""
    color: ArrayLike | None = None
    color_label: str = ""
    color_range: tuple[float, float] | None = None
    x_error: ArrayLike | None = None
    y_error: ArrayLike | None = None
    role: Literal["data", "faint", "highlight", "reference"] = "data"

    def __post_init__(self) -> None:
        self.x, self.y = _numbers(self.x), _numbers(self.y)
        self.color = None if self.color is None else _numbers(self.color)
        _same_length(f"points {self.label!r}", x=self.x, y=self.y, color=self.color)


@dataclass
class Line(Layer):
    """A line through (x, y), each shape (n,); NaN breaks it. ``role`` "model" is solid, "reference" dashed; ``of`` is
    the label of an earlier line of the panel whose color it takes."""

    x: ArrayLike
    y: ArrayLike
    label: str = ""
    role: Literal["model", "reference"] = "model"
    of: str = ""

    def __post_init__(self) -> None:
        self.x, self.y = _numbers(self.x), _numbers(self.y)
        _same_length(f"line {self.label!r}", x=self.x, y=self.y)


@dataclass
class Band(Layer):
    """A shaded band between ``low`` and ``high`` along x, each shape (n,)."""

    x: ArrayLike
    low: ArrayLike
    high: ArrayLike
    label: str = ""

    def __post_init__(self) -> None:
        self.x, self.low, self.high = _numbers(self.x), _numbers(self.low), _numbers(self.high)
        _same_length(f"band {self.label!r}", x=self.x, low=self.low, high=self.high)


@dataclass
class Steps(Layer):
    """A histogram: ``values`` (n,) between ``edges`` (n + 1,), with optional ``error`` (n,)."""

    edges: ArrayLike
    values: ArrayLike
    label: str = ""
    error: ArrayLike | None = None

    def __post_init__(self) -> None:
        self.edges, self.values = _numbers(self.edges), _numbers(self.values)
        self.error = None if self.error is None else _numbers(self.error)
        _same_length(f"steps {self.label!r}", edges=self.edges[1:], values=self.values, error=self.error)


@dataclass
class Span(Layer):
    """A shaded stretch of the x axis, such as a region that is not scored."""

    low: float
    high: float
    label: str = ""


@dataclass
class Image(Layer):
    """Values on a grid of cells, as colors with a color bar named ``color_label``; NaN cells stay gray.

    Parameters
    ----------
    x_edges, y_edges : edges of the cells, shapes (nx + 1,) and (ny + 1,), rising; they may be unequal.
    values : shape (ny, nx).
    color_label : what the colors are, with the unit in brackets.
    color_range : values of the two ends of the colors; by default those of the values.
    center : the value at the white middle of a two-sided scale, such as 0 for a correlation; None for one-sided.
    log : colors follow the logarithm; cells that are not positive stay gray.
    contours : values along which lines are drawn through the centers of the cells.
    contour_label : what the lines are, for the legend.
    """

    x_edges: ArrayLike
    y_edges: ArrayLike
    values: ArrayLike
    color_label: str = ""
    color_range: tuple[float, float] | None = None
    center: float | None = None
    log: bool = False
    contours: Sequence[float] = ()
    contour_label: str = ""

    def __post_init__(self) -> None:
        self.x_edges, self.y_edges = _numbers(self.x_edges), _numbers(self.y_edges)
        values = _numbers(self.values)
        wanted = (len(self.y_edges) - 1, len(self.x_edges) - 1)
        if values.shape != wanted:
            raise ConfigError(f"image {self.color_label!r}: values have shape {values.shape}, the edges say {wanted}")
        for name, edges in (("x", self.x_edges), ("y", self.y_edges)):
            if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all() or not np.isfinite(edges).all():
                raise ConfigError(f"image {self.color_label!r}: the {name} edges must be finite and rise")
        if self.log and self.center is not None:
            raise ConfigError(f"image {self.color_label!r}: a two-sided scale has no logarithm")
        if self.log and self.color_range is not None and self.color_range[0] <= 0:
            raise ConfigError(f"image {self.color_label!r}: the range of a logarithm must be positive")
        self.values = values


@dataclass
class Picture(Layer):
    """A color picture, such as the cut-out of a galaxy; in a panel without axis labels the axes are left away.

    Parameters
    ----------
    pixels : shape (height, width, 3), whole numbers from 0 to 255: red, green, blue; the first row is the upper one.
    """

    pixels: ArrayLike

    def __post_init__(self) -> None:
        pixels = np.asarray(self.pixels)
        if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape or pixels.dtype != np.uint8:
            raise ConfigError(f"a picture has shape (height, width, 3) and 8-bit numbers, not {pixels.shape}")
        self.pixels = pixels


@dataclass
class Panel:
    """One set of axes. Labels carry the units, in brackets; ``ticks`` name the places 0, 1, ... of an axis of kinds."""

    layers: Sequence[Layer]
    x_label: str
    y_label: str
    title: str = ""
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    invert_x: bool = False
    invert_y: bool = False
    y_log: bool = False
    equal: bool = False
    x_ticks: Sequence[str] = ()
    y_ticks: Sequence[str] = ()


@dataclass
class Figure:
    """A figure: panels in ``columns`` columns, a file name and a caption that stands without the text."""

    name: str
    caption: str
    panels: Sequence[Panel]
    columns: int = 1
    share_x: bool = False
    panel_size: tuple[float, float] = (8.0, 2.8)

    def __post_init__(self) -> None:
        if not FILE_NAME.fullmatch(self.name):
            raise ConfigError(f"a figure's name becomes a file name: letters, digits, '_', '-', '.', not {self.name!r}")
        if not self.panels or self.columns < 1:
            raise ConfigError(f"figure {self.name}: at least one panel and one column, please")


@dataclass
class Animation:
    """One panel that changes: its ``frames`` in order, ``seconds`` each, over and over; written as a GIF."""

    name: str
    caption: str
    frames: Sequence[Panel]
    seconds: float = 0.12
    panel_size: tuple[float, float] = (5.0, 4.2)

    def __post_init__(self) -> None:
        if not FILE_NAME.fullmatch(self.name):
            raise ConfigError(f"an animation's name becomes a file name: letters, digits, '_', '-', not {self.name!r}")
        if not self.frames or not self.seconds > 0:
            raise ConfigError(f"animation {self.name}: at least one frame, and a positive time for each, please")


@dataclass
class View:
    """One linked panel of the explorer: two columns of its table."""

    x: str
    y: str
    x_label: str
    y_label: str
    title: str = ""
    invert_y: bool = False


@dataclass
class Explorer:
    """Linked panels over one table, with a slider on a probability column.

    With an odd number of views the first one takes the whole width.

    Parameters
    ----------
    columns : name -> values, each shape (n,); all the views' columns, ``probability`` and the ``hover`` columns. NaN is
        allowed: such a row is left out of the panels that need the value.
    probability : the column in [0, 1] that the slider cuts on and that colors the points.
    views : the panels.
    hover : column -> label, shown when the pointer rests on a point.
    """

    columns: Mapping[str, ArrayLike]
    probability: str
    views: Sequence[View]
    probability_label: str = "membership probability"
    hover: Mapping[str, str] = field(default_factory=dict)
    threshold: float = 0.5

    def __post_init__(self) -> None:
        needed = {self.probability, *self.hover} | {name for view in self.views for name in (view.x, view.y)}
        missing = needed - set(self.columns)
        if missing:
            raise ConfigError(f"explorer columns missing: {', '.join(sorted(missing))}")
        _same_length("explorer", **self.columns)
