"""How a triaxial halo lies in space: its axes, one set of names for them, and their directions with errors.

A triaxial density knows no first, second or third axis: exchanging the two axis ratios p and q and turning the halo by
a quarter about its long axis gives it back, and an axis has two ends. Here the long axis is x', the intermediate one y'
with the ratio p, the short one z' with the ratio q, hence q <= p <= 1; z' points to the north (eta >= 0), and ``angle``
is within half a turn. Every parameter that a user sees, draws of posteriors included, has these names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
NAMES = ("theta", "eta", "angle")
AXES = ("long", "intermediate", "short")


def axes(value: Mapping[str, float]) -> Array:
    """The halo's own axes as rows (3, 3) in the Galaxy's frame, from theta, eta and angle.

    ``(x', y', z') = Rz(angle) Rot(z -> v) (x, y, z)``, v = (sqrt(1 - eta^2) cos theta, sqrt(1 - eta^2) sin theta, eta).

    Examples
    --------
    >>> (axes({"theta": 0.0, "eta": 1.0, "angle": 0.0}).round(3) + 0.0).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    columns = [np.array([value.get(name, other)]) for name, other in zip(NAMES, (0.0, 1.0, 0.0), strict=True)]
    return np.asarray(rows_of(*columns)[0])


def rows_of(theta: Array, eta: Array, angle: Array) -> Array:
    """Axes as rows (n, 3, 3) of many orientations (n,); see `axes`."""
    tilt, h = np.sqrt(np.maximum(1.0 - eta * eta, 0.0)), 1.0 / (1.0 + eta)
    a, b = tilt * np.cos(theta), tilt * np.sin(theta)
    first = np.stack([1 - a * a * h, -a * b * h, a], axis=-1)
    second = np.stack([-a * b * h, 1 - b * b * h, b], axis=-1)
    third = np.stack([-a, -b, eta], axis=-1)
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    return np.stack([cos * first - sin * second, sin * first + cos * second, third], axis=1)


def rotation(quaternions: ArrayLike) -> Array:
    """Axes as rows (n, 3, 3) of quaternions (n, 4), scalar first, of any length above zero."""
    given = np.asarray(quaternions, dtype=np.float64)
    w, x, y, z = given.T
    rows = np.array(
        [
            [w * w + x * x - y * y - z * z, 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)],
            [2.0 * (x * y + w * z), w * w - x * x + y * y - z * z, 2.0 * (y * z - w * x)],
            [2.0 * (x * z - w * y), 2.0 * (y * z + w * x), w * w - x * x - y * y + z * z],
        ]
    )
    return np.moveaxis(rows / np.maximum(np.sum(given * given, axis=1), 1e-300), -1, 0)


def quaternion(rows: ArrayLike) -> Array:
    """(4,) unit quaternion, scalar first, of a rotation's rows (3, 3)."""
    from scipy.spatial.transform import Rotation

    x, y, z, w = Rotation.from_matrix(np.asarray(rows, dtype=np.float64)).as_quat()
    return np.array([w, x, y, z])


def turned_quaternion(turn: ArrayLike, center: ArrayLike) -> Array:
    """Quaternions (n, 4), of length 1 + s^2, of turns s (n, 3) from a central orientation (4,).

    s = tan(angle / 4) along the axis of the turn: a chart that stretches all directions alike, and in which the turns
    about any one axis are a straight line.
    """
    s = np.asarray(turn, dtype=np.float64)
    square = np.sum(s * s, axis=1, keepdims=True)
    return np.concatenate([1.0 - square, 2.0 * s], axis=1) @ product(center)


def product(center: ArrayLike) -> Array:
    """Matrix (4, 4) of the product of quaternions, as rows, with a central one from the right."""
    w, x, y, z = np.asarray(center, dtype=np.float64)
    return np.array([[w, x, y, z], [-x, w, -z, y], [-y, z, w, -x], [-z, -y, x, w]])


def turn_from(center: ArrayLike, rows: ArrayLike) -> Array:
    """(3,) turn from a central orientation to axes with the rows (3, 3): the inverse of `turned_quaternion`."""
    relative = quaternion(rows) @ product(center).T
    relative = -relative if relative[0] < 0 else relative
    return np.asarray(relative[1:] / (1.0 + relative[0]))


def own_names(lengths: Array, rows: Array) -> list[Array]:
    """p, q, theta, eta and angle (n,) of lengths (n, 3) of axes (n, 3, 3), in their one form.

    Examples
    --------
    >>> turned = axes({"theta": 0.3, "eta": 0.9, "angle": 0.7})[None]
    >>> [float(part[0].round(3)) for part in own_names(np.array([[1.0, 0.8, 0.5]]), turned)]
    [0.8, 0.5, 0.3, 0.9, 0.7]
    >>> swapped = turned[:, [2, 0, 1]]
    >>> [float(part[0].round(3)) for part in own_names(np.array([[0.5, 1.0, 0.8]]), swapped)]
    [0.8, 0.5, 0.3, 0.9, 0.7]
    """
    order = np.argsort(-lengths, axis=1, kind="stable")
    sizes = np.take_along_axis(lengths, order, axis=1)
    sorted_rows = np.take_along_axis(rows, order[:, :, None], axis=1)
    long, short = sorted_rows[:, 0], sorted_rows[:, 2]
    short = short * np.where(short[:, 2] < 0, -1.0, 1.0)[:, None]
    a, b, eta = -short[:, 0], -short[:, 1], np.minimum(short[:, 2], 1.0)
    h = 1.0 / (1.0 + eta)
    frame = np.stack([1.0 - a * a * h, -a * b * h, a], axis=1), np.stack([-a * b * h, 1.0 - b * b * h, b], axis=1)
    along, across = (np.sum(long * part, axis=1) for part in frame)
    angle = np.arctan2(-across, along) % np.pi  # either end of the long axis
    p, q = sizes[:, 1] / sizes[:, 0], sizes[:, 2] / sizes[:, 0]
    return [p, q, np.arctan2(b, a) % (2.0 * np.pi), eta, angle]


def shape_tensor(parameters: ArrayLike) -> Array:
    """Shape and orientation as one symmetric tensor (..., 6) of parameters (..., 5): p, q, theta, eta, angle.

    It is ``ln p e2 e2^T + ln q e3 e3^T``, given as xx, yy, zz, xy, xz, yz: smooth where p = q or p = 1, and where an
    axis turns through the plane.
    """
    p, q, theta, eta, angle = np.moveaxis(np.asarray(parameters, dtype=np.float64).reshape(-1, 5), 1, 0)
    rows = rows_of(theta, eta, angle)
    squares = rows[:, :, :, None] * rows[:, :, None, :]
    tensor = np.log(p)[:, None, None] * squares[:, 1] + np.log(q)[:, None, None] * squares[:, 2]
    found = tensor[:, [0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]
    return found.reshape(*np.shape(parameters)[:-1], 6)


def tensor_weights(parameters: ArrayLike) -> Array:
    """Weights (n,), one in the mean, that turn draws of the models' prior into those of a prior even in `shape_tensor`.

    Draws are even in p, q and the orientation before the data. Where two axes are nearly equal, turns about the third
    change little, and many orientations fit: the share of such shapes is larger there than that of the likelihood, and
    posteriors lean to equal axes. A prior even in the elements of the tensor itself, whose measure is
    ``|ln p| |ln q| |ln p - ln q| d(ln p) d(ln q)`` times that of the rotations, does not do that.

    Parameters
    ----------
    parameters : (n, k), p and q first.

    Examples
    --------
    >>> tensor_weights([[0.9, 0.5], [0.7, 0.5]]).round(2).tolist()
    [0.57, 1.43]
    """
    p, q = np.asarray(parameters, dtype=np.float64)[:, :2].T
    found = np.abs(np.log(p) * np.log(q) * np.log(p / q)) / (p * q)
    return np.asarray(found / found.mean()) if found.any() else np.ones_like(found)


# ------------------------------------------------------------------------------------------------------ directions


@dataclass(frozen=True)
class AxisDirection:
    """Where an axis points, from draws of it; an axis has no sign, and its draws gather about their mean line.

    Parameters
    ----------
    mean : (3,) unit vector along the mean line, towards the north.
    directions : (n, 3) unit vectors of the draws, each taken at the end nearer to the mean.
    """

    mean: Array
    directions: Array

    @classmethod
    def of(cls, directions: ArrayLike) -> AxisDirection:
        """From unit vectors (n, 3) of either sign."""
        given = np.asarray(directions, dtype=np.float64)
        mean = np.linalg.eigh(given.T @ given)[1][:, -1]
        found = cls(mean * (-1.0 if mean[2] < 0 else 1.0), given)
        return cls(found.mean, found.towards(given))

    def towards(self, directions: ArrayLike) -> Array:
        """Directions (n, 3), each at its end nearer to the mean line."""
        given = np.asarray(directions, dtype=np.float64)
        return given * np.where(given @ self.mean < 0, -1.0, 1.0)[:, None]

    def offsets(self, directions: ArrayLike) -> tuple[Array, Array]:
        """Angles (n,) east and north of the mean line, rad, of directions (n, 3)."""
        given = self.towards(directions)
        flat = math.hypot(self.mean[0], self.mean[1])
        east = np.array([-self.mean[1], self.mean[0], 0.0]) / flat if flat > 1e-9 else np.array([0.0, 1.0, 0.0])
        away = [np.arctan2(given @ side, given @ self.mean) for side in (east, np.cross(self.mean, east))]
        return away[0], away[1]

    @property
    def azimuth(self) -> Array:
        """(n,) deg in the plane from the line from the Sun to the center; within half a turn about the mean line's.

        The mean line's own azimuth is taken from -90 to 90 deg.
        """
        middle = np.degrees(np.arctan2(self.mean[1], self.mean[0]))
        found = np.degrees(np.arctan2(self.directions[:, 1], self.directions[:, 0]))
        half = middle - (middle + 90.0) % 180.0 + 90.0  # whole half turns: the other end of the axis
        return np.asarray(middle + (found - middle + 180.0) % 360.0 - 180.0 - half)

    @property
    def height(self) -> Array:
        """(n,) deg above the plane: of the northern end of the mean line, so that single draws may be below."""
        return np.asarray(np.degrees(np.arcsin(np.clip(self.directions[:, 2], -1.0, 1.0))))
