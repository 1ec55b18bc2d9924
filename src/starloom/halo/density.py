"""Densities of a halo: triaxial power laws, single, cut off, broken once and twice, with disk and outliers.

All are one at the Sun. The priors are flat in what arXiv:2306.03084 takes flat: p and q in [0.1, 1], slopes in growing
order up to 10, breaks from 2 to 55 kpc, the shares of disk and outliers in [0, 1], and the orientation even over all
rotations; there the name q belongs to the short axis nearer to the Galaxy's, so that each density has one set of names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import ConfigError
from starloom.halo.density_kernel import RADIAL, log_densities

Array = NDArray[np.float64]
Kind = Literal["single", "cutoff", "broken", "double"]
KINDS: tuple[Kind, ...] = ("single", "cutoff", "broken", "double")
STEEPEST, SHALLOWEST = 10.0, -5.0  # largest slope; smallest one of the law with a cutoff
NEAREST, FARTHEST = 2.0, 55.0  # kpc: of breaks and cutoffs
FLATTEST = 0.1
ROLL = 0.25 * math.pi  # largest turn about the long axis: beyond it the two short axes change names
FAR = 1e6  # a break that is not there (ln kpc)
_RADIAL_NAMES: Mapping[Kind, tuple[str, ...]] = {
    "single": ("slope",),
    "cutoff": ("slope", "cutoff_radius"),
    "broken": ("inner_slope", "outer_slope", "break_radius"),
    "double": ("inner_slope", "middle_slope", "outer_slope", "inner_break", "outer_break"),
}


@dataclass(frozen=True)
class DiskDensity:
    """An exponential disk, one at the Sun: what thick-disk stars in a halo sample look like.

    Parameters
    ----------
    scale_length, scale_height : kpc; arXiv:2306.03084 fixes 2.2 and 0.8.
    """

    scale_length: float = 2.2
    scale_height: float = 0.8

    def __call__(self, x: ArrayLike, sun: ArrayLike) -> Array:
        """Density (...) at places (..., 3) kpc for the Sun's place (3,)."""
        place, here = np.asarray(x, dtype=np.float64), np.asarray(sun, dtype=np.float64)
        radius, r0 = np.hypot(place[..., 0], place[..., 1]), np.hypot(here[0], here[1])
        height = np.abs(place[..., 2]) - abs(float(here[2]))
        return np.asarray(np.exp(-(radius - r0) / self.scale_length - height / self.scale_height))


@dataclass(frozen=True)
class DensityModel:
    """A family of densities.

    Parameters
    ----------
    kind : ``single``: m^-slope; ``cutoff``: m^-slope exp(-m / cutoff_radius); ``broken``: two slopes; ``double``:
        three.
    triaxial : axis ratios p and q are free; otherwise spherical.
    rotated : the axes may be turned; otherwise x' is along the line from the Sun to the center.
    disk : a share of exponential disk at the Sun is free.
    outliers : a share of the sample that is spread evenly in space is free.

    Examples
    --------
    >>> DensityModel("broken", rotated=False).names
    ('p', 'q', 'inner_slope', 'outer_slope', 'break_radius')
    """

    kind: Kind = "broken"
    triaxial: bool = True
    rotated: bool = True
    disk: bool = False
    outliers: bool = False
    disk_density: DiskDensity = DiskDensity()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"no density {self.kind!r}; there are {', '.join(KINDS)}")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Parameters as a user sees them: p, q, eta, theta and angle (rad), slopes, radii (kpc), shares."""
        shape = ("p", "q") if self.triaxial else ()
        turned = ("theta", "eta", "angle") if self.turning else ()
        more = (("disk_share",) if self.disk else ()) + (("outlier_share",) if self.outliers else ())
        return (*shape, *turned, *_RADIAL_NAMES[self.kind], *more)

    @property
    def turning(self) -> bool:
        """Whether the orientation is free: a sphere has none."""
        return self.rotated and self.triaxial

    @property
    def label(self) -> str:
        """In words."""
        words = {"single": "power law", "cutoff": "power law with a cutoff", "broken": "broken power law"}
        return words.get(self.kind, "power law with two breaks") + (" + disk" if self.disk else "")

    @cached_property
    def size(self) -> int:
        """Number of coordinates in which it is sampled: the orientation takes four, see `coordinates`."""
        return len(self.names) + (1 if self.turning else 0)

    @cached_property
    def gaussian(self) -> NDArray[np.bool_]:
        """(size,) which coordinates have a standard normal prior: those of the orientation."""
        start = 2 if self.triaxial else 0
        found = np.zeros(self.size, dtype=bool)
        if self.turning:
            found[start : start + 2] = True
        return found

    # -------------------------------------------------------------------------------------- from coordinates

    def physical(self, y: ArrayLike) -> Array:
        """Parameters (..., k), in the order of `names`, of sampling coordinates (..., size).

        Every coordinate but the orientation's is the logit of a number u that is uniform in the prior; growing slopes
        come from ``a_j = a_(j+1) u_j^(1/j)``. Of the orientation's four, the first two are normal, and twice the
        azimuth of the long axis is their angle, so that half a turn is no edge; the third is the long axis' height, the
        last the roll about it. A halo with two short axes nearly equal, as GS/E's, then leaves the roll alone free.
        """
        points = np.asarray(y, dtype=np.float64).reshape(-1, self.size)
        columns, place = [], 0
        u = 1.0 / (1.0 + np.exp(-np.clip(points, -500.0, 500.0)))
        if self.triaxial:
            columns += [FLATTEST + (1.0 - FLATTEST) * u[:, 0], FLATTEST + (1.0 - FLATTEST) * u[:, 1]]
            place = 2
        if self.turning:
            azimuth = 0.5 * np.arctan2(points[:, place + 1], points[:, place])
            columns += _turned(azimuth, 2.0 * u[:, place + 2] - 1.0, ROLL * (2.0 * u[:, place + 3] - 1.0))
            place += 4
        columns += self._radial_columns(u[:, place:])
        count = len(_RADIAL_NAMES[self.kind])
        columns += [u[:, place + count + k] for k in range(int(self.disk) + int(self.outliers))]
        return np.stack(columns, axis=1).reshape(*np.shape(y)[:-1], len(self.names))

    def _radial_columns(self, u: Array) -> list[Array]:
        reach = FARTHEST - NEAREST
        if self.kind == "single":
            return [STEEPEST * u[:, 0]]
        if self.kind == "cutoff":
            return [SHALLOWEST + (STEEPEST - SHALLOWEST) * u[:, 0], NEAREST + reach * u[:, 1]]
        if self.kind == "broken":
            outer = STEEPEST * np.sqrt(u[:, 1])
            return [outer * u[:, 0], outer, NEAREST + reach * u[:, 2]]
        outer = STEEPEST * np.cbrt(u[:, 2])
        middle = outer * np.sqrt(u[:, 1])
        far = FARTHEST * np.sqrt(u[:, 4])
        return [middle * u[:, 0], middle, outer, far * u[:, 3], far]

    def coordinates(self, parameters: Mapping[str, float]) -> Array:
        """Sampling coordinates (size,) of parameters by name: the inverse of `physical`.

        Raises
        ------
        ConfigError
            When a parameter is missing or outside of its prior.
        """
        missing = [name for name in self.names if name not in parameters]
        if missing:
            raise ConfigError(f"the {self.label} needs {missing[0]!r}; its parameters are {', '.join(self.names)}")
        value = {name: float(parameters[name]) for name in self.names}
        u: list[float] = []
        out: list[float] = []
        if self.turning:
            out += self._orientation(value)
        if self.triaxial:
            u += [(value[name] - FLATTEST) / (1.0 - FLATTEST) for name in ("p", "q")]
        u += self._radial_uniform(value)
        u += [value[name] for name in ("disk_share", "outlier_share") if name in value]
        names = [name for name in self.names if name not in ("theta", "eta", "angle")]
        for name, part in zip(names, u, strict=True):
            if not -1e-9 <= part <= 1.0 + 1e-9:
                raise ConfigError(f"{name} = {value[name]:g} is outside of the prior of the {self.label}")
        logits = [math.log(max(part, 1e-9)) - math.log(max(1.0 - part, 1e-9)) for part in u]
        start = 2 if self.triaxial else 0
        return np.array(logits[:start] + out + logits[start:])

    @staticmethod
    def _orientation(value: dict[str, float]) -> list[float]:
        """The four coordinates; p and q change names where the roll is beyond 45 deg."""
        if not -1e-9 <= value["eta"] <= 1.0 + 1e-9:
            raise ConfigError(f"eta = {value['eta']:g} is outside of its prior, 0 to 1")
        rows = axes(value)
        # an axis has no sign: take the end whose azimuth is within a quarter turn, as the coordinates give it back
        first = rows[0] if rows[0][0] > 0 or (rows[0][0] == 0 and rows[0][1] > 0) else -rows[0]
        height = float(np.clip(first[2], -1.0 + 1e-12, 1.0 - 1e-12))
        azimuth = math.atan2(first[1], first[0])
        north = np.array([-height * math.cos(azimuth), -height * math.sin(azimuth), math.sqrt(1.0 - height**2)])
        east = np.array([-math.sin(azimuth), math.cos(azimuth), 0.0])
        roll = math.remainder(math.atan2(float(rows[2] @ east), float(rows[2] @ north)), math.pi)
        if abs(roll) > ROLL:
            roll -= math.copysign(2.0 * ROLL, roll)
            value["p"], value["q"] = value["q"], value["p"]
        shares = [0.5 * (height + 1.0), 0.5 * (roll / ROLL + 1.0)]
        logits = [math.log(max(u, 1e-9)) - math.log(max(1.0 - u, 1e-9)) for u in shares]
        root = math.sqrt(2.0)
        return [root * math.cos(2.0 * azimuth), root * math.sin(2.0 * azimuth), *logits]

    def _radial_uniform(self, value: Mapping[str, float]) -> list[float]:
        reach = FARTHEST - NEAREST
        if self.kind == "single":
            return [value["slope"] / STEEPEST]
        if self.kind == "cutoff":
            return [
                (value["slope"] - SHALLOWEST) / (STEEPEST - SHALLOWEST),
                (value["cutoff_radius"] - NEAREST) / reach,
            ]
        if self.kind == "broken":
            outer = max(value["outer_slope"], 1e-12)
            return [value["inner_slope"] / outer, (outer / STEEPEST) ** 2, (value["break_radius"] - NEAREST) / reach]
        outer, middle, far = (max(value[name], 1e-12) for name in ("outer_slope", "middle_slope", "outer_break"))
        return [
            value["inner_slope"] / middle, (middle / outer) ** 2, (outer / STEEPEST) ** 3, value["inner_break"] / far,
            (far / FARTHEST) ** 2,
        ]  # fmt: skip

    # -------------------------------------------------------------------------------------- the density itself

    def parts(self, parameters: ArrayLike) -> tuple[Array, Array, float, float]:
        """Quadratic form (6,), radial numbers (6,) of the kernel, disk share and outlier share of parameters (k,)."""
        value = dict(zip(self.names, np.asarray(parameters, dtype=np.float64), strict=True))
        form = _form(value)
        return form, self.radial_numbers(value), value.get("disk_share", 0.0), value.get("outlier_share", 0.0)

    def radial_numbers(self, value: Mapping[str, float]) -> Array:
        """a1, a2, a3, ln r1, ln r2, 1 / cutoff radius."""
        found = np.array([0.0, 0.0, 0.0, FAR, FAR, 0.0])
        if self.kind in ("single", "cutoff"):
            found[:3] = value["slope"]
            found[5] = 1.0 / value["cutoff_radius"] if self.kind == "cutoff" else 0.0
        elif self.kind == "broken":
            found[:] = value["inner_slope"], value["outer_slope"], value["outer_slope"], 0.0, FAR, 0.0
            found[3] = math.log(value["break_radius"])
        else:
            found[:3] = value["inner_slope"], value["middle_slope"], value["outer_slope"]
            found[3:5] = math.log(max(value["inner_break"], 1e-12)), math.log(max(value["outer_break"], 1e-12))
        return found

    def halo(self, parameters: ArrayLike, x: ArrayLike, sun: ArrayLike) -> Array:
        """Density of the halo alone (...) at places (..., 3) kpc, one at the Sun's place (3,)."""
        form, radial, _, _ = self.parts(parameters)
        return np.asarray(np.exp(_log_halo(form, radial, x) - _log_halo(form, radial, sun)))

    def density(self, parameters: ArrayLike, x: ArrayLike, sun: ArrayLike) -> Array:
        """Density of halo and disk (...), one at the Sun; outliers are left out: they are a share of the sample."""
        _, _, disk, _ = self.parts(parameters)
        found = (1.0 - disk) * self.halo(parameters, x, sun)
        return np.asarray(found + disk * self.disk_density(x, sun)) if disk else found


def _log_halo(form: Array, radial: Array, x: ArrayLike) -> Array:
    places = np.asarray(x, dtype=np.float64)
    flat = np.ascontiguousarray(places.reshape(-1, 3).T)
    out = np.empty(flat.shape[1])
    log_densities(flat[0], flat[1], flat[2], form, radial, out)
    return out.reshape(places.shape[:-1])


def axes(value: Mapping[str, float]) -> Array:
    """The halo's own axes as rows (3, 3) in the Galaxy's frame, from theta, eta and angle.

    ``(x', y', z') = Rz(angle) Rot(z -> v) (x, y, z)``, v = (sqrt(1 - eta^2) cos theta, sqrt(1 - eta^2) sin theta, eta).

    Examples
    --------
    >>> axes({"theta": 0.0, "eta": 1.0, "angle": 0.0}).round(3).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    eta, theta, angle = value.get("eta", 1.0), value.get("theta", 0.0), value.get("angle", 0.0)
    tilt, h = math.sqrt(max(1.0 - eta * eta, 0.0)), 1.0 / (1.0 + eta)
    a, b = tilt * math.cos(theta), tilt * math.sin(theta)
    turn = np.array([[1 - a * a * h, -a * b * h, a], [-a * b * h, 1 - b * b * h, b], [-a, -b, eta]])
    cos, sin = math.cos(angle), math.sin(angle)
    return np.asarray(np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]]) @ turn)


def _form(value: Mapping[str, float]) -> Array:
    """Quadratic form (6,) of parameters by name."""
    rows = axes(value)
    scale = np.array([1.0, value.get("p", 1.0) ** -2, value.get("q", 1.0) ** -2])
    matrix = (rows.T * scale) @ rows
    return np.asarray(matrix[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]])


def _turned(azimuth: Array, height: Array, roll: Array) -> list[Array]:
    """theta, eta and angle (n,) of the direction of the long axis and the roll about it."""
    flat = np.sqrt(np.maximum(1.0 - height**2, 0.0))
    cos, sin = np.cos(azimuth), np.sin(azimuth)
    e1 = np.stack([flat * cos, flat * sin, height])
    north, east = np.stack([-height * cos, -height * sin, flat]), np.stack([-sin, cos, np.zeros_like(cos)])
    e3 = np.cos(roll) * north + np.sin(roll) * east
    a, b, eta = -e3[0], -e3[1], e3[2]
    h = 1.0 / (1.0 + eta)
    along = np.sum(e1 * np.stack([1.0 - a * a * h, -a * b * h, a]), axis=0)
    across = np.sum(e1 * np.stack([-a * b * h, 1.0 - b * b * h, b]), axis=0)
    return [np.arctan2(b, a) % (2.0 * np.pi), eta, np.arctan2(-across, along) % np.pi]


__all__ = ["KINDS", "RADIAL", "DensityModel", "DiskDensity", "Kind", "axes"]
