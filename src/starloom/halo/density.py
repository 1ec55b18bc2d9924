"""Densities of a halo: triaxial power laws, single, cut off, broken once and twice, with disk and outliers.

All are one at the Sun. The priors are flat in what arXiv:2306.03084 takes flat: p and q in [0.1, 1], slopes in growing
order up to 10, breaks from 2 to 55 kpc, the shares of disk and outliers in [0, 1], and the orientation even over all
rotations. Where the axes may turn, each density has one set of names: p is the larger of the two ratios, q the smaller,
see `starloom.halo.orientation`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import ConfigError
from starloom.halo.density_kernel import log_densities
from starloom.halo.orientation import axes, own_names, quaternion, rotation, turn_from, turned_quaternion

Array = NDArray[np.float64]
Kind = Literal["single", "cutoff", "broken", "double"]
KINDS: tuple[Kind, ...] = ("single", "cutoff", "broken", "double")
STEEPEST, SHALLOWEST = 10.0, -5.0  # largest slope; smallest one of the law with a cutoff
NEAREST, FARTHEST = 2.0, 55.0  # kpc: of breaks and cutoffs
FLATTEST = 0.1
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
    center : quaternion of the orientation where the sampling coordinates are 0; it changes no density and no prior.

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
    center: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)

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
        """Number of coordinates in which it is sampled."""
        return len(self.names)

    @cached_property
    def is_turn(self) -> NDArray[np.bool_]:
        """(size,) which coordinates are those of the orientation."""
        found = np.zeros(self.size, dtype=bool)
        if self.turning:
            found[2:5] = True
        return found

    def centered(self, rows: ArrayLike) -> DensityModel:
        """The same densities in coordinates that are 0 where the axes are the rows (3, 3)."""
        return dataclasses.replace(self, center=tuple(quaternion(rows).tolist()))

    # -------------------------------------------------------------------------------------- from coordinates

    def physical(self, y: ArrayLike) -> Array:
        """Parameters (..., k), in the order of `names`, of sampling coordinates (..., size).

        Every coordinate but the orientation's is the logit of a number u that is uniform in the prior; growing slopes
        come from ``a_j = a_(j-1) + (10 - a_(j-1)) (1 - (1 - u_j)^(1/k))`` with k slopes to come: the inner one, which
        most stars tell of, stays itself where the outer one is free. The orientation's three are the turn from
        `center`, see `starloom.halo.orientation.turned_quaternion`. There is no edge where an axis points to a pole, or
        where the first two axes are equally long: beyond, the first is the shorter one, and a walk goes on from one
        side to the other. Several coordinates mean the same density; its parameters are the same for all.
        """
        points = np.asarray(y, dtype=np.float64).reshape(-1, self.size)
        columns, place = [], 0
        u = 1.0 / (1.0 + np.exp(-np.clip(points, -500.0, 500.0)))
        if self.triaxial:
            columns += [FLATTEST + (1.0 - FLATTEST) * u[:, 0], FLATTEST + (1.0 - FLATTEST) * u[:, 1]]
            place = 2
        if self.turning:
            tent = FLATTEST + (1.0 - FLATTEST) * (1.0 - np.abs(2.0 * u[:, 0] - 1.0))
            lengths = np.stack([np.ones(len(u)), tent, columns[1]], axis=1)
            lengths[:, :2] = np.where(u[:, :1] > 0.5, lengths[:, 1::-1], lengths[:, :2])
            columns = own_names(lengths, rotation(turned_quaternion(points[:, 2:5], self.center)))
            place += 3
        columns += self._radial_columns(u[:, place:])
        count = len(_RADIAL_NAMES[self.kind])
        columns += [u[:, place + count + k] for k in range(int(self.disk) + int(self.outliers))]
        return np.stack(columns, axis=1).reshape(*np.shape(y)[:-1], len(self.names))

    def of_prior(self, u: ArrayLike) -> Array:
        """Parameters (k,) of a point (k,) of the cube over which the prior is even; each density has one point."""
        cube = np.clip(np.asarray(u, dtype=np.float64), 1e-12, 1.0 - 1e-12)
        if not self.turning:
            return self.physical(np.log(cube) - np.log1p(-cube))
        p = math.sqrt(cube[0])
        shape = np.array([p, p * cube[1]]) * (1.0 - FLATTEST) + FLATTEST
        turn = np.array([2.0 * math.pi, 1.0, math.pi]) * cube[2:5]
        rest = dataclasses.replace(self, triaxial=False)
        return np.concatenate([shape, turn, rest.physical(np.log(cube[5:]) - np.log1p(-cube[5:]))])

    @property
    def periodic(self) -> list[int]:
        """Which sides of the cube of `of_prior` are one: those of theta and of the angle."""
        return [2, 4] if self.turning else []

    def _radial_columns(self, u: Array) -> list[Array]:
        reach = FARTHEST - NEAREST
        if self.kind == "single":
            return [STEEPEST * u[:, 0]]
        if self.kind == "cutoff":
            return [SHALLOWEST + (STEEPEST - SHALLOWEST) * u[:, 0], NEAREST + reach * u[:, 1]]
        if self.kind == "broken":
            inner = STEEPEST * (1.0 - np.sqrt(1.0 - u[:, 0]))
            return [inner, inner + (STEEPEST - inner) * u[:, 1], NEAREST + reach * u[:, 2]]
        inner = STEEPEST * (1.0 - np.cbrt(1.0 - u[:, 0]))
        middle = inner + (STEEPEST - inner) * (1.0 - np.sqrt(1.0 - u[:, 1]))
        outer = middle + (STEEPEST - middle) * u[:, 2]
        far = FARTHEST * np.sqrt(u[:, 4])
        return [inner, middle, outer, far * u[:, 3], far]

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
            if not -1e-9 <= value["eta"] <= 1.0 + 1e-9:
                raise ConfigError(f"eta = {value['eta']:g} is outside of its prior, 0 to 1")
            out += turn_from(self.center, axes(value)).tolist()
        if self.triaxial:
            u += [(value[name] - FLATTEST) / (1.0 - FLATTEST) for name in ("p", "q")]
            u[0] *= 0.5 if self.turning else 1.0
        u += self._radial_uniform(value)
        u += [value[name] for name in ("disk_share", "outlier_share") if name in value]
        names = [name for name in self.names if name not in ("theta", "eta", "angle")]
        for name, part in zip(names, u, strict=True):
            if not -1e-9 <= part <= 1.0 + 1e-9:
                raise ConfigError(f"{name} = {value[name]:g} is outside of the prior of the {self.label}")
        logits = [math.log(max(part, 1e-9)) - math.log(max(1.0 - part, 1e-9)) for part in u]
        start = 2 if self.triaxial else 0
        return np.array(logits[:start] + out + logits[start:])

    def named(self, parameters: Mapping[str, float]) -> dict[str, float]:
        """The same density under the names that all of Starloom's results use.

        Examples
        --------
        >>> other = {"p": 0.5, "q": 0.8, "theta": 0.0, "eta": 1.0, "angle": 0.0, "slope": 3.0}
        >>> {name: round(value, 6) for name, value in DensityModel("single").named(other).items() if name in "pq"}
        {'p': 0.8, 'q': 0.5}
        """
        return dict(zip(self.names, self.physical(self.coordinates(parameters)).tolist(), strict=True))

    def _radial_uniform(self, value: Mapping[str, float]) -> list[float]:
        reach = FARTHEST - NEAREST
        if self.kind == "single":
            return [value["slope"] / STEEPEST]
        if self.kind == "cutoff":
            return [
                (value["slope"] - SHALLOWEST) / (STEEPEST - SHALLOWEST),
                (value["cutoff_radius"] - NEAREST) / reach,
            ]
        inner = value["inner_slope"]
        left = max(STEEPEST - inner, 1e-12)
        first = 1.0 - (left / STEEPEST) ** (2 if self.kind == "broken" else 3)
        if self.kind == "broken":
            return [first, (value["outer_slope"] - inner) / left, (value["break_radius"] - NEAREST) / reach]
        middle, far = value["middle_slope"], max(value["outer_break"], 1e-12)
        rest = max(STEEPEST - middle, 1e-12)
        return [
            first, 1.0 - (rest / left) ** 2, (value["outer_slope"] - middle) / rest, value["inner_break"] / far,
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


def _form(value: Mapping[str, float]) -> Array:
    """Quadratic form (6,) of parameters by name."""
    rows = axes(value)
    scale = np.array([1.0, value.get("p", 1.0) ** -2, value.get("q", 1.0) ** -2])
    matrix = (rows.T * scale) @ rows
    return np.asarray(matrix[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]])
