"""The likelihood of a halo's density given its stars and what the survey and the selection let through.

The stars are a Poisson process of rate A nu(x) w(x), with w the effective selection times the completeness. With the
amplitude A integrated out (flat in ln A) the logarithm of the likelihood is, up to a constant,

    sum_i ln nu(x_i) - N ln sum_cells nu w.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import CatalogError, ConfigError
from starloom.halo import density_kernel as kernel
from starloom.halo.density import (
    FAR,
    FARTHEST,
    FLATTEST,
    NEAREST,
    ROLL,
    SHALLOWEST,
    STEEPEST,
    DensityModel,
)

Array = NDArray[np.float64]
PIECE = 16_384  # cells in one piece of work; fixed, so that the result does not depend on the threads
LEAST_STARS = 10


@dataclass(frozen=True)
class Volume:
    """What a sample could have held: cells of space with their effective volumes.

    Parameters
    ----------
    x : (n, 3) places about the Galactic center, kpc.
    weight : (n,) kpc3: volume times the share of the tracers there that would be in the sample.
    sun : (3,) the Sun's place, kpc.

    Raises
    ------
    ConfigError
        When shapes differ, a number is not finite, a weight is negative, or nothing can be seen anywhere.
    """

    x: Array
    weight: Array
    sun: Array

    def __post_init__(self) -> None:
        x, weight = np.asarray(self.x, dtype=np.float64), np.asarray(self.weight, dtype=np.float64)
        if x.ndim != 2 or x.shape[1:] != (3,) or weight.shape != (len(x),):
            raise ConfigError(f"a volume needs places (n, 3) and weights (n,), got {x.shape} and {weight.shape}")
        if not np.isfinite(x).all() or not np.isfinite(weight).all() or (weight < 0).any():
            raise ConfigError("the places and weights of a volume must be finite and no weight negative")
        if not (weight > 0).any():
            raise ConfigError(
                "nothing can be seen anywhere: the completeness or the effective selection is 0 in every cell"
            )

    @cached_property
    def seen(self) -> tuple[Array, Array, Array, Array]:
        """x, y, z and weight of the cells that count, (m,) each."""
        kept = np.asarray(self.weight) > 0
        x = np.asarray(self.x, dtype=np.float64)[kept]
        columns = [np.ascontiguousarray(column) for column in x.T]
        return columns[0], columns[1], columns[2], np.ascontiguousarray(np.asarray(self.weight, float)[kept])

    def thinned(self, count: int) -> Volume:
        """About ``count`` cells that stand for all, for first steps of a fit: drawn evenly along two plain halos.

        The sums over all cells are kept without bias; the draw is the same every time.

        Raises
        ------
        ConfigError
            When the count is below 1.
        """
        if count < 1:
            raise ConfigError(f"a volume needs 1 cell or more, got {count}")
        x, y, z, weight = self.seen
        if len(weight) <= count:
            return self
        # half after an even density, half after one that falls with the cube of the radius
        steep = weight * np.maximum(x * x + y * y + z * z, 1.0) ** -1.5
        share = 0.5 * weight / weight.sum() + 0.5 * steep / steep.sum()
        rng = np.random.default_rng(0)
        order = rng.permutation(len(weight))
        ends = np.cumsum(share[order])
        drawn = order[np.searchsorted(ends, ends[-1] * (np.arange(count) + rng.random()) / count)]
        rows, times = np.unique(drawn, return_counts=True)
        places = np.stack([x[rows], y[rows], z[rows]], axis=1)
        return Volume(places, weight[rows] * times / (share[rows] * count), self.sun)


@dataclass(frozen=True)
class HaloLikelihood:
    """Stars, volume and family of densities together.

    Parameters
    ----------
    model : the family.
    stars : (n, 3) places of the stars about the center, kpc.
    volume : what the sample could have held.
    threads : of one evaluation; the result does not depend on it. Chains run beside one another, so 1 is best there.

    Raises
    ------
    CatalogError
        When there are fewer than 10 stars, or a place is not finite.
    """

    model: DensityModel
    stars: Array
    volume: Volume
    threads: int = 1
    _pool: list[ThreadPoolExecutor] = field(default_factory=list, repr=False, compare=False)

    def __post_init__(self) -> None:
        stars = np.asarray(self.stars, dtype=np.float64)
        if stars.ndim != 2 or stars.shape[1:] != (3,):
            raise CatalogError(f"the stars' places must be (n, 3), got {stars.shape}")
        if len(stars) < LEAST_STARS:
            raise CatalogError(f"{len(stars)} stars are too few for a density; it takes {LEAST_STARS} at the least")
        bad = np.flatnonzero(~np.isfinite(stars).all(axis=1))
        if len(bad):
            raise CatalogError(f"the place of star {bad[0]} is not finite; leave out such stars ({len(bad)} of them)")

    @cached_property
    def _columns(self) -> tuple[Array, Array, Array]:
        columns = [np.ascontiguousarray(column) for column in np.asarray(self.stars, dtype=np.float64).T]
        return columns[0], columns[1], columns[2]

    @cached_property
    def _disk(self) -> tuple[Array, float]:
        """Disk at the stars (n,), and its integral over the volume."""
        disk = self.model.disk_density
        x, y, z, weight = self.volume.seen
        return disk(self.stars, self.volume.sun), float(disk(np.stack([x, y, z], axis=1), self.volume.sun) @ weight)

    @cached_property
    def _whole(self) -> float:
        return float(self.volume.seen[3].sum())

    @property
    def size(self) -> int:
        """Number of sampling coordinates."""
        return self.model.size

    def _cells(self, form: Array, radial: Array) -> Array:
        x, y, z, weight = self.volume.seen
        starts = range(0, len(x), PIECE)
        parts = np.empty((len(starts), kernel.SUMS))

        def work(number: int) -> None:
            piece = slice(number * PIECE, (number + 1) * PIECE)
            kernel.sums_over(x[piece], y[piece], z[piece], weight[piece], form, radial, parts[number])

        if self.threads > 1 and len(starts) > 1:
            if not self._pool:
                self._pool.append(ThreadPoolExecutor(self.threads, thread_name_prefix="halo"))
            list(self._pool[0].map(work, range(len(starts))))
        else:
            for number in range(len(starts)):
                work(number)
        return np.asarray(parts.sum(axis=0))

    def expected(self, parameters: ArrayLike) -> tuple[float, float]:
        """Integrals over the volume of the halo's and the disk's part of the density, each weighted with its share."""
        form, radial, disk, _ = self.model.parts(parameters)
        here = self._at_sun(form, radial)[0]
        halo = float(self._cells(form, radial)[0] * np.exp(-here))
        return (1.0 - disk) * halo, disk * self._disk[1] if disk else 0.0

    def _at_sun(self, form: Array, radial: Array) -> tuple[float, Array]:
        sun = np.asarray(self.volume.sun, dtype=np.float64).reshape(3, 1)
        value, sums = np.empty(1), np.empty(kernel.SUMS)
        kernel.log_densities(sun[0], sun[1], sun[2], form, radial, value)
        kernel.log_gradients(sun[0], sun[1], sun[2], np.ones(1), form, radial, sums)
        return float(value[0]), sums

    def of_parameters(self, parameters: ArrayLike) -> float:
        """ln L at parameters in the order of ``model.names``."""
        form, radial, disk, outliers = self.model.parts(parameters)
        return self._evaluate(form, radial, disk, outliers)[0]

    def _evaluate(self, form: Array, radial: Array, disk: float, outliers: float) -> tuple[float, Array, Array]:
        """ln L, its derivatives with respect to the kernel's sums, and with respect to (disk, outliers)."""
        x, y, z = self._columns
        stars = len(x)
        log_halo = np.empty(stars)
        kernel.log_densities(x, y, z, form, radial, log_halo)
        cells = self._cells(form, radial)
        if not (self.model.disk or self.model.outliers):
            share = np.ones(stars)
            sums = np.empty(kernel.SUMS)
            kernel.log_gradients(x, y, z, share, form, radial, sums)
            with np.errstate(divide="ignore", invalid="ignore"):
                value = float(log_halo.sum() - stars * np.log(cells[0]))
                return value, sums - stars * cells / cells[0], np.zeros(2)
        here, sun_sums = self._at_sun(form, radial)
        halo, total = np.exp(log_halo - here), cells[0] * np.exp(-here)
        disk_stars, disk_total = self._disk if self.model.disk else (np.zeros(stars), 0.0)
        mixed, whole = (1.0 - disk) * halo + disk * disk_stars, (1.0 - disk) * total + disk * disk_total
        # the sample's density by volume: the mixture over its integral, and outliers spread evenly
        rate = (1.0 - outliers) * mixed / whole + outliers / self._whole
        value = float(np.log(rate).sum())
        weight = (1.0 - outliers) / (rate * whole)
        share = weight * (1.0 - disk) * halo
        sums = np.empty(kernel.SUMS)
        kernel.log_gradients(x, y, z, share, form, radial, sums)
        inside = float(np.sum(weight * mixed)) / whole
        cell_part = inside * (1.0 - disk)
        sums = sums - cell_part * np.exp(-here) * cells - (share.sum() - cell_part * total) * sun_sums
        by_disk = float(np.sum(weight * (disk_stars - halo))) - inside * (disk_total - total)
        by_outliers = float(np.sum((1.0 / self._whole - mixed / whole) / rate))
        return value, sums, np.array([by_disk, by_outliers])

    def value_and_gradient(self, y: ArrayLike) -> tuple[float, Array]:
        """ln L and its gradient (size,) at sampling coordinates (size,); -inf where the numbers overflow."""
        point = np.asarray(y, dtype=np.float64)
        model = self.model
        u = 1.0 / (1.0 + np.exp(-np.clip(point, -500.0, 500.0)))
        du = u * (1.0 - u)
        shape, slide = np.array([1.0, 1.0, 0.0, 0.0, 0.0]), np.zeros((5, model.size))
        place = 0
        if model.triaxial:
            shape[:2] = FLATTEST + (1.0 - FLATTEST) * u[:2]
            slide[0, 0], slide[1, 1] = (1.0 - FLATTEST) * du[:2]
            place = 2
        if model.turning:
            part = slice(place, place + 4)
            _orient(point[part], u[part], du[part], shape, slide[:, part])
            place += 4
        form_by_shape = np.empty((5, 6))
        form = kernel.quadratic_form(shape, form_by_shape)
        radial, radial_slide = _radial(model, u[place:], du[place:])
        extra = place + radial_slide.shape[1]
        disk = float(u[extra]) if model.disk else 0.0
        outliers = float(u[extra + int(model.disk)]) if model.outliers else 0.0
        value, sums, shares = self._evaluate(form, radial, disk, outliers)
        gradient = (sums[7:] @ form_by_shape.T) @ slide
        gradient[place:extra] += kernel.radial_gradient(sums, radial) @ radial_slide
        if model.disk:
            gradient[extra] += shares[0] * du[extra]
        if model.outliers:
            gradient[extra + int(model.disk)] += shares[1] * du[extra + int(model.disk)]
        if not np.isfinite(value) or not np.isfinite(gradient).all():
            return -np.inf, np.zeros(model.size)
        return value, gradient

    def log_posterior(self, y: ArrayLike) -> tuple[float, Array]:
        """ln L plus ln prior of the sampling coordinates, and the gradient."""
        point = np.asarray(y, dtype=np.float64)
        value, gradient = self.value_and_gradient(point)
        normal = self.model.gaussian
        prior, slope = np.where(normal, -0.5 * point**2, 0.0), np.where(normal, -point, 0.0)
        logits = point[~normal]
        prior[~normal] = -np.abs(logits) - 2.0 * np.log1p(np.exp(-np.abs(logits)))
        slope[~normal] = -np.tanh(0.5 * logits)
        return float(value + prior.sum()), gradient + slope


def _orient(z: Array, u: Array, du: Array, shape: Array, slide: Array) -> None:
    """Azimuth, height and roll from the four coordinates of the orientation, and derivatives into ``slide`` (5, 4)."""
    reach = max(z[0] * z[0] + z[1] * z[1], 1e-12)
    shape[2], shape[3], shape[4] = 0.5 * np.arctan2(z[1], z[0]), 2.0 * u[2] - 1.0, ROLL * (2.0 * u[3] - 1.0)
    slide[2, 0], slide[2, 1] = -0.5 * z[1] / reach, 0.5 * z[0] / reach
    slide[3, 2], slide[4, 3] = 2.0 * du[2], 2.0 * ROLL * du[3]


def _radial(model: DensityModel, u: Array, du: Array) -> tuple[Array, Array]:
    """The kernel's six radial numbers, and their derivatives (6, k) with respect to the logits."""
    reach = FARTHEST - NEAREST
    found = np.array([0.0, 0.0, 0.0, FAR, FAR, 0.0])
    if model.kind == "single":
        slide = np.zeros((kernel.RADIAL, 1))
        found[:3], slide[:3, 0] = STEEPEST * u[0], STEEPEST * du[0]
        return found, slide
    if model.kind == "cutoff":
        slide = np.zeros((kernel.RADIAL, 2))
        found[:3], slide[:3, 0] = SHALLOWEST + (STEEPEST - SHALLOWEST) * u[0], (STEEPEST - SHALLOWEST) * du[0]
        radius = NEAREST + reach * u[1]
        found[5], slide[5, 1] = 1.0 / radius, -reach * du[1] / radius**2
        return found, slide
    if model.kind == "broken":
        slide = np.zeros((kernel.RADIAL, 3))
        root = np.sqrt(max(u[1], 1e-300))
        outer, outer_slide = STEEPEST * root, 0.5 * STEEPEST / root * du[1]
        radius = NEAREST + reach * u[2]
        found[:4] = outer * u[0], outer, outer, np.log(radius)
        slide[0, 0], slide[0, 1] = outer * du[0], outer_slide * u[0]
        slide[1, 1] = slide[2, 1] = outer_slide
        slide[3, 2] = reach * du[2] / radius
        return found, slide
    slide = np.zeros((kernel.RADIAL, 5))
    cube, root = np.cbrt(max(u[2], 1e-300)), np.sqrt(max(u[1], 1e-300))
    outer, outer_slide = STEEPEST * cube, STEEPEST / (3.0 * cube * cube) * du[2]
    middle = outer * root
    by_root, by_outer = outer * 0.5 / root * du[1], outer_slide * root
    found[:3] = middle * u[0], middle, outer
    slide[0, 0], slide[0, 1], slide[0, 2] = middle * du[0], by_root * u[0], by_outer * u[0]
    slide[1, 1], slide[1, 2], slide[2, 2] = by_root, by_outer, outer_slide
    far = FARTHEST * np.sqrt(max(u[4], 1e-300))
    near = far * max(u[3], 1e-300)
    found[3], found[4] = np.log(near), np.log(far)
    slide[3, 3], slide[3, 4], slide[4, 4] = du[3] / max(u[3], 1e-300), 0.5 * du[4] / u[4], 0.5 * du[4] / u[4]
    return found, slide


__all__ = ["LEAST_STARS", "HaloLikelihood", "Volume"]
