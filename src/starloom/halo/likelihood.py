"""The likelihood of a halo's density given its stars and what the survey and the selection let through.

The stars are a Poisson process of rate A nu(x) w(x), with w the effective selection times the completeness. With the
amplitude A integrated out (flat in ln A) the logarithm of the likelihood is, up to a constant,

    sum_i ln nu(x_i) - N ln sum_cells nu w.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import CatalogError, ConfigError
from starloom.halo import density_kernel as kernel
from starloom.halo.chart_kernel import chain, chart, log_prior
from starloom.halo.density import FARTHEST, FLATTEST, KINDS, NEAREST, SHALLOWEST, STEEPEST, DensityModel
from starloom.halo.orientation import product

Array = NDArray[np.float64]
PIECE = 16_384  # cells in one piece of work; fixed, so that the result does not depend on the threads
LEAST_STARS = 10
LIMITS = np.array([FLATTEST, STEEPEST, SHALLOWEST, NEAREST, FARTHEST])
_NO_SHARES = np.zeros(2)


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
    def _ones(self) -> Array:
        return np.ones(len(self.stars))

    @cached_property
    def _turn(self) -> Array:
        return product(self.model.center) if self.model.turning else np.empty((0, 0))

    @cached_property
    def _kind(self) -> int:
        return KINDS.index(self.model.kind)

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
            sums = np.empty(kernel.SUMS)
            kernel.log_gradients(x, y, z, self._ones, form, radial, sums)
            if not cells[0] > 0.0:
                return -math.inf, sums, _NO_SHARES
            value = float(log_halo.sum()) - stars * math.log(cells[0])
            return value, sums - (stars / cells[0]) * cells, _NO_SHARES
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
        point = np.ascontiguousarray(y, dtype=np.float64)
        model = self.model
        form, radial, gradient = np.empty(6), np.empty(kernel.RADIAL), np.empty(len(point))
        by_form, by_radial = np.empty((6, len(point))), np.empty((6, len(point)))
        extra = chart(point, self._kind, model.triaxial, self._turn, LIMITS, form, radial, by_form, by_radial)
        disk = _share(point[extra]) if model.disk else 0.0
        outliers = _share(point[extra + int(model.disk)]) if model.outliers else 0.0
        value, sums, shares = self._evaluate(form, radial, disk, outliers)
        chain(sums, radial, by_form, by_radial, gradient)
        if model.disk:
            gradient[extra] += shares[0] * disk * (1.0 - disk)
        if model.outliers:
            gradient[extra + int(model.disk)] += shares[1] * outliers * (1.0 - outliers)
        if not math.isfinite(value) or not math.isfinite(gradient.sum()):
            return -math.inf, np.zeros(model.size)
        return value, gradient

    def log_posterior(self, y: ArrayLike) -> tuple[float, Array]:
        """ln L plus ln prior of the sampling coordinates, and the gradient."""
        point = np.ascontiguousarray(y, dtype=np.float64)
        value, gradient = self.value_and_gradient(point)
        return value + log_prior(point, self.model.turning, gradient), gradient


def _share(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-min(max(float(logit), -500.0), 500.0)))


__all__ = ["LEAST_STARS", "HaloLikelihood", "Volume"]
