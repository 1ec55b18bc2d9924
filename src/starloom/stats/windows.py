"""Windows of a selection: where in data space a star could have been found.

A density fitted to selected stars must integrate to one over the window that selected them. Here: the convex polygon,
with its map to the unit square (so that a flow on the square is normalized on the polygon) and the mass of a
two-dimensional normal inside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from starloom.errors import ConfigError
from starloom.stats.polygon_mass import normal_mass


def _convex_hull(points: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.spatial import ConvexHull, QhullError

    try:
        corners: NDArray[np.float64] = points[ConvexHull(points).vertices]
    except QhullError as error:
        raise ConfigError("a polygon window needs at least three vertices that do not lie on one line") from error
    return corners


class ConvexPolygon:
    """A convex polygon in a plane (x, y).

    Parameters
    ----------
    vertices : shape (n, 2), in any order; points inside their hull are dropped.

    Examples
    --------
    >>> square = ConvexPolygon([(0, 0), (2, 0), (2, 1), (0, 1)])
    >>> square.area
    2.0
    >>> square.contains([1.0, 3.0], [0.5, 0.5])
    array([ True, False])
    """

    def __init__(self, vertices: ArrayLike | Sequence[tuple[float, float]]) -> None:
        points = np.asarray(vertices, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not np.isfinite(points).all():
            raise ConfigError(f"a polygon window needs finite vertices of shape (n >= 3, 2), got {points.shape}")
        self.vertices = _convex_hull(points)
        self._x = np.unique(self.vertices[:, 0])  # between these the lower and the upper edge are straight
        self._low, self._high = self._edges(self._x)
        self._tables: dict[torch.dtype, tuple[Tensor, ...]] = {}

    @classmethod
    def box(cls, x: tuple[float, float], y: tuple[float, float]) -> ConvexPolygon:
        """The rectangle x[0] < x < x[1], y[0] < y < y[1]."""
        return cls([(x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1])])

    def _edges(self, x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        low, high = np.full(x.shape, np.inf), np.full(x.shape, -np.inf)
        for (x0, y0), (x1, y1) in zip(self.vertices, np.roll(self.vertices, -1, axis=0), strict=True):
            if x0 == x1:
                continue
            t = (x - x0) / (x1 - x0)
            on = (t >= -1e-12) & (t <= 1 + 1e-12)
            y = y0 + t * (y1 - y0)
            low[on], high[on] = np.minimum(low[on], y[on]), np.maximum(high[on], y[on])
        return low, high

    @property
    def area(self) -> float:
        """Area in the unit of x times that of y."""
        x, y = self.vertices.T
        return float(0.5 * abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))))

    def contains(self, x: ArrayLike, y: ArrayLike, margin: float = 1e-9) -> NDArray[np.bool_]:
        """Whether points (x, y) lie inside (edges included up to ``margin``)."""
        points = np.stack([np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)], axis=-1)
        start, edge = self.vertices, np.roll(self.vertices, -1, axis=0) - self.vertices
        offset = points[..., None, :] - start
        cross = edge[:, 0] * offset[..., 1] - edge[:, 1] * offset[..., 0]  # vertices run counter-clockwise
        return np.asarray((cross >= -margin * np.hypot(edge[:, 0], edge[:, 1])).all(axis=-1))

    def bounds(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Lower and upper y of the polygon at x, shape of ``x``; x outside is taken to the nearest end."""
        if x.dtype not in self._tables:
            edges = (torch.as_tensor(edge, dtype=x.dtype) for edge in (self._x, self._low, self._high))
            self._tables[x.dtype] = tuple(edges)
        knots, low, high = self._tables[x.dtype]
        index = torch.searchsorted(knots, x.detach().contiguous()).clamp(1, len(knots) - 1)
        part = ((x - knots[index - 1]) / (knots[index] - knots[index - 1])).clamp(0.0, 1.0)
        return torch.lerp(low[index - 1], low[index], part), torch.lerp(high[index - 1], high[index], part)

    def to_square(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Map points of the polygon to the square [-1, 1]^2.

        Returns
        -------
        square : shape (..., 2).
        log_jacobian : shape (...,), the log of d(square) / d(x, y).
        """
        low, high = self.bounds(x)
        width, height = self._x[-1] - self._x[0], (high - low).clamp_min(1e-12)
        u = 2.0 * (x - self._x[0]) / width - 1.0
        v = 2.0 * (y - low) / height - 1.0
        return torch.stack([u, v], dim=-1).clamp(-1.0, 1.0), math.log(4.0 / width) - torch.log(height)

    def from_square(self, square: Tensor) -> tuple[Tensor, Tensor]:
        """Inverse of ``to_square``: points (x, y) of the polygon, each shape (...,)."""
        x = self._x[0] + 0.5 * (square[..., 0] + 1.0) * (self._x[-1] - self._x[0])
        low, high = self.bounds(x)
        return x, low + 0.5 * (square[..., 1] + 1.0) * (high - low)

    def log_normal_mass(self, mean_x: Tensor, mean_y: Tensor, xx: Tensor, xy: Tensor, yy: Tensor) -> Tensor:
        """Log of the probability that a two-dimensional normal falls into the polygon.

        See ``polygon_mass``.

        Parameters
        ----------
        mean_x, mean_y : the mean, broadcastable.
        xx, xy, yy : the covariance.
        """
        normal = torch.broadcast_tensors(mean_x, mean_y, xx, xy, yy)  # type: ignore[no-untyped-call]
        mass = normal_mass(self._x, self._low, self._high, *normal)
        return torch.log(mass.clamp_min(1e-30))
