"""What shakes the disk: models of a fluctuating vertical force, as impulses in bins of time.

A *lopsided* force is the same at all heights and drives angular harmonic 1 (a one-armed spiral); a *breathing* one
grows with height and drives harmonic 2 (a two-armed one). Impulses are in km/s, or km/s/kpc for a breathing force.
Column 0 of a sample is the latest bin of time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.dynamics.components import G
from starloom.dynamics.orbits import TIME_UNIT
from starloom.errors import ConfigError

Array = NDArray[np.float64]


class Noise(Protocol):
    """A stationary fluctuating force."""

    def sample(self, count: int, steps: int, step: float, rng: np.random.Generator) -> Array:
        """Impulses (count, steps) in bins of ``step`` Gyr, the latest first."""
        ...

    def spectrum(self, omega: ArrayLike) -> Array:
        """Power at angular frequencies (rad/Gyr): the variance of the impulses in one Gyr, if it were white."""
        ...


def _positive(**numbers: float) -> None:
    for name, value in numbers.items():
        if not (math.isfinite(value) and value > 0):
            raise ConfigError(f"{name} must be a positive number, got {value!r}")


@dataclass(frozen=True)
class WhiteNoise:
    """Independent impulses; ``strength`` is their variance in one Gyr, (km/s)^2/Gyr.

    Examples
    --------
    >>> found = WhiteNoise(4.0).sample(2000, 10, 0.01, np.random.default_rng(0))
    >>> bool(abs(found.var() / 0.04 - 1) < 0.05)
    True
    """

    strength: float = 1.0

    def __post_init__(self) -> None:
        _positive(strength=self.strength)

    def sample(self, count: int, steps: int, step: float, rng: np.random.Generator) -> Array:
        """Impulses (count, steps) in bins of ``step`` Gyr, the latest first."""
        found = rng.standard_normal((count, steps))
        found *= math.sqrt(self.strength * step)
        return found

    def spectrum(self, omega: ArrayLike) -> Array:
        """The strength at every frequency."""
        return np.full_like(np.asarray(omega, dtype=np.float64), self.strength)


@dataclass(frozen=True)
class ColoredNoise:
    """An Ornstein-Uhlenbeck force, with memory ``correlation_time`` (Gyr).

    <F(t) F(t')> = strength / (2 t_c) exp(-|t - t'| / t_c), so that its power is strength / (1 + (omega t_c)^2).
    """

    strength: float = 1.0
    correlation_time: float = 0.03

    def __post_init__(self) -> None:
        _positive(strength=self.strength, correlation_time=self.correlation_time)

    def sample(self, count: int, steps: int, step: float, rng: np.random.Generator) -> Array:
        """Impulses (count, steps) in bins of ``step`` Gyr, the latest first: the force integrated over each bin."""
        from scipy.signal import lfilter

        # Force at the bins' edges and its integral between them are jointly normal: the integral is drawn given both.
        memory = math.exp(-step / self.correlation_time)
        sigma = math.sqrt(self.strength / (2.0 * self.correlation_time))
        first = sigma * rng.standard_normal((count, 1))
        kicks = sigma * math.sqrt(1.0 - memory**2) * rng.standard_normal((count, steps))
        edges = np.concatenate([first, lfilter([1.0], [1.0, -memory], kicks, zi=memory * first)[0]], axis=1)
        ratio = step / self.correlation_time
        half = math.tanh(0.5 * ratio)
        mean = self.correlation_time * half * (edges[:, 1:] + edges[:, :-1])
        spread = self.strength * self.correlation_time * (ratio - 2.0 * half)  # variance left, given both edges
        return np.asarray(mean + math.sqrt(max(spread, 0.0)) * rng.standard_normal((count, steps)))

    def spectrum(self, omega: ArrayLike) -> Array:
        """Power at angular frequencies (rad/Gyr)."""
        return np.asarray(self.strength / (1.0 + (np.asarray(omega, dtype=np.float64) * self.correlation_time) ** 2))


@dataclass(frozen=True)
class Subhalos:
    """Dark subhalos on straight paths past the stars: a shot noise of flybys.

    Parameters
    ----------
    mass_low, mass_high, slope : the mass function dN/dM ~ M^slope between two masses (Msun).
    mass_density : of all subhalos together (Msun/kpc^3). The default is a thousandth of 0.012 Msun/pc^3 of dark matter:
        an assumption, to be replaced by the reader's own.
    speed : relative speed (km/s), the same for all.
    b_low, b_high : impact parameters (kpc).
    softening : length (kpc) inside of which a subhalo's force stops growing.

    Notes
    -----
    The impulse of a flyby along the direction to the closest point is 2 G M / (b V); its direction is random, so
    a third of its square is vertical. A flyby that lasts longer than a period of the stars shakes them less:
    its power at omega is that of an impulse times x^2 (K1(x)^2 + K0(x)^2), x = omega b / V.
    """

    mass_low: float = 1e6
    mass_high: float = 1e8
    slope: float = -1.9
    mass_density: float = 1.2e4
    speed: float = 300.0
    b_low: float = 0.2
    b_high: float = 20.0
    softening: float = 0.1

    def __post_init__(self) -> None:
        _positive(
            mass_low=self.mass_low, mass_high=self.mass_high, mass_density=self.mass_density, speed=self.speed,
            b_low=self.b_low, b_high=self.b_high,
        )  # fmt: skip
        if self.mass_high < self.mass_low or self.b_high <= self.b_low or self.softening < 0:
            raise ConfigError(
                "subhalos need mass_low <= mass_high, b_low < b_high and a softening that is not negative"
            )

    def _moment(self, power: float) -> float:
        """Mean of M^power over the mass function."""

        def integral(exponent: float) -> float:
            p = exponent + 1.0
            low, high = math.log(self.mass_low), math.log(self.mass_high)
            if high == low:
                return math.exp(exponent * low)
            return high - low if abs(p) < 1e-12 else (math.exp(p * high) - math.exp(p * low)) / p

        return integral(self.slope + power) / integral(self.slope)

    @property
    def rate(self) -> float:
        """Flybys in one Gyr."""
        area = math.pi * (self.b_high**2 - self.b_low**2)
        return self.mass_density / self._moment(1.0) * area * self.speed / TIME_UNIT

    def impulse_variance(self, mass: float, b: ArrayLike) -> Array:
        """Mean square vertical impulse ((km/s)^2) of a flyby at impact parameters (kpc): (2 G M / (b V))^2 / 3."""
        reach = np.asarray(b, dtype=np.float64)
        return np.asarray((2.0 * G * mass * reach / ((reach**2 + self.softening**2) * self.speed)) ** 2 / 3.0)

    def masses(self, count: int, rng: np.random.Generator) -> Array:
        """Masses (count,) in Msun."""
        p, share = self.slope + 1.0, rng.random(count)
        low, high = math.log(self.mass_low), math.log(self.mass_high)
        if abs(p) < 1e-12:
            return np.exp(low + share * (high - low))
        return np.asarray((math.exp(p * low) + share * (math.exp(p * high) - math.exp(p * low))) ** (1.0 / p))

    def sample(self, count: int, steps: int, step: float, rng: np.random.Generator) -> Array:
        """Impulses (count, steps) in bins of ``step`` Gyr, the latest first."""
        from starloom.disk.snail_flybys import add_flybys

        found = np.zeros((count, steps))
        margin = 3.0 * self.b_high / self.speed * TIME_UNIT  # flybys whose closest point is outside of the bins
        window = steps * step + 2.0 * margin
        numbers = rng.poisson(self.rate * window, count)
        total = int(numbers.sum())
        mass, b = self.masses(total, rng), self.impact_parameters(total, rng)
        toward, along = _directions(total, rng)
        when = rng.random(total) * window - margin
        owner = np.repeat(np.arange(count), numbers)
        speed = self.speed / TIME_UNIT  # kpc/Gyr
        # G M in (km/s)^2 kpc; over kpc and Gyr the impulse comes out in km/s after one factor of TIME_UNIT
        add_flybys(found, owner, G * mass / TIME_UNIT, b, toward, along, when, speed, self.softening, step)
        return found

    def impact_parameters(self, count: int, rng: np.random.Generator) -> Array:
        """Impact parameters (count,) in kpc: uniform over the area of the ring."""
        return np.sqrt(self.b_low**2 + rng.random(count) * (self.b_high**2 - self.b_low**2))

    def spectrum(self, omega: ArrayLike) -> Array:
        """Power at angular frequencies (rad/Gyr), by Campbell's theorem; without softening."""
        from scipy.special import k0, k1

        frequency = np.asarray(omega, dtype=np.float64)
        points, weights = np.polynomial.legendre.leggauss(80)
        low, high = math.log(self.b_low), math.log(self.b_high)
        b = np.exp(low + 0.5 * (high - low) * (points + 1.0))
        x = np.maximum(np.abs(frequency[..., None]) * b / (self.speed / TIME_UNIT), 1e-9)
        shape = x**2 * (k1(x) ** 2 + k0(x) ** 2)
        square = (2.0 * G / (b * self.speed)) ** 2 / 3.0 * self._moment(2.0)
        density = 2.0 * b**2 / (self.b_high**2 - self.b_low**2)  # of impact parameters, over ln b
        return np.asarray(self.rate * np.sum(shape * square * density * weights, axis=-1) * 0.5 * (high - low))


def _directions(count: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Vertical parts of the unit vectors towards the closest point and along the path, which are perpendicular."""
    path_z = 2.0 * rng.random(count) - 1.0
    toward_z = np.sqrt(1.0 - path_z**2) * np.cos(2.0 * np.pi * rng.random(count))
    return toward_z, path_z


@dataclass(frozen=True)
class MolecularClouds:
    """Molecular clouds in the plane: the heating they give, and their breathing noise.

    Parameters
    ----------
    surface_density : of the clouds (Msun/pc^2).
    thickness : of their layer (kpc), full.
    mass_low, mass_high, slope : the mass function dN/dM ~ M^slope (Msun).
    speed : relative to the stars (km/s).
    size : impact parameter (kpc) below which a cloud is no point; ``reach``: the largest.

    Notes
    -----
    A cloud in the plane pulls stars on both sides towards the plane: its force is odd in z, so it drives no one-armed
    spiral. Near it, it scatters stars one by one: that is the diffusion which erases a spiral.
    """

    surface_density: float = 1.5
    thickness: float = 0.14
    mass_low: float = 1e4
    mass_high: float = 10**6.5
    slope: float = -1.7
    speed: float = 40.0
    size: float = 0.02
    reach: float = 1.0

    def __post_init__(self) -> None:
        _positive(
            surface_density=self.surface_density, thickness=self.thickness, mass_low=self.mass_low,
            mass_high=self.mass_high, speed=self.speed, size=self.size, reach=self.reach,
        )  # fmt: skip
        if self.reach <= self.size or self.mass_high < self.mass_low:
            raise ConfigError("clouds need size < reach and mass_low <= mass_high")

    @property
    def _masses(self) -> Subhalos:
        return Subhalos(self.mass_low, self.mass_high, self.slope)

    def heating(self, omega: float, share_in_layer: float) -> float:
        """d<J>/dt, kpc km/s per Gyr, of stars of one frequency that spend a share of their time in the layer.

        d<v_z^2>/dt = 4 pi G^2 n <M^2> ln(reach / size) / V in the layer (Spitzer & Schwarzschild 1953), half of which,
        divided by the frequency (km/s/kpc), is d<J>/dt.
        """
        if not 0.0 <= share_in_layer <= 1.0 or not omega > 0:
            raise ConfigError("omega must be positive and the share of time lie between 0 and 1")
        density = self.surface_density * 1e6 / self.thickness  # Msun/kpc^3
        square = density * self._masses._moment(2.0) / self._masses._moment(1.0)  # n <M^2>
        growth = 4.0 * math.pi * G**2 * square * math.log(self.reach / self.size) / self.speed
        return 0.5 * growth * share_in_layer / omega / TIME_UNIT

    @property
    def rate(self) -> float:
        """Clouds that pass within ``reach`` in the plane, in one Gyr."""
        number = self.surface_density * 1e6 / self._masses._moment(1.0)
        return number * 2.0 * (self.reach - self.thickness) * self.speed / TIME_UNIT

    def sample(self, count: int, steps: int, step: float, rng: np.random.Generator) -> Array:
        """Breathing impulses (count, steps) in km/s/kpc, the latest bin first; their mean, a static force, is out.

        A cloud that passes in the plane at b gives -2 G M z / (b^2 V), here all at once: a cloud closer than the layer
        is thick scatters instead.
        """
        numbers = rng.poisson(self.rate * step, (count, steps))
        total = int(numbers.sum())
        b = self.thickness + rng.random(total) * (self.reach - self.thickness)
        each = -2.0 * G * self._masses.masses(total, rng) / (b**2 * self.speed)
        summed = np.bincount(np.repeat(np.arange(count * steps), numbers.ravel()), each, count * steps)
        return np.asarray(summed.reshape(count, steps) - self._mean_impulse * self.rate * step)

    @property
    def _mean_impulse(self) -> float:
        inverse_square = 1.0 / (self.thickness * self.reach)
        return -2.0 * G * self._masses._moment(1.0) / self.speed * inverse_square

    def spectrum(self, omega: ArrayLike) -> Array:
        """Power at angular frequencies, (km/s/kpc)^2/Gyr: that of impulses, the same at all."""
        fourth = (self.thickness**-3 - self.reach**-3) / (3.0 * (self.reach - self.thickness))
        power = self.rate * (2.0 * G / self.speed) ** 2 * self._masses._moment(2.0) * fourth
        return np.full_like(np.asarray(omega, dtype=np.float64), power)
