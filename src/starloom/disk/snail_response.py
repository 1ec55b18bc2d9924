"""Random phase spirals: the linear response of the disk to a fluctuating force, erased by diffusion in action.

An impulse F at a time tau ago leaves f1 = -(df0/dJ) F v(J, theta - Omega tau) / Omega, which winds up. Diffusion of J
with d<J>/dt = k blurs harmonic m by exp(-(tau / t_d)^3), t_d = (3 / (m^2 k J Omega'^2))^(1/3). Gravity of the response
itself is left out unless an amplification is asked for.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.disk.snail_noise import Noise, WhiteNoise
from starloom.dynamics.orbits import TIME_UNIT
from starloom.dynamics.vertical_actions import VerticalActions
from starloom.errors import ConfigError
from starloom.threads import in_blocks

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
DRAWS = 2048  # in memory at a time, from a seed of their own
EROSION: tuple[str, ...] = ("local", "full")
WEIGHTING: tuple[str, ...] = ("density", "flat")


@dataclass(frozen=True)
class Amplification:
    """A crude stand-in for self-gravity: each impulse is followed by more of its kind.

    Parameters
    ----------
    factor : total impulse over the external one.
    memory : time (Gyr) over which the extra part arrives, exponentially.
    """

    factor: float
    memory: float = 0.1

    def __post_init__(self) -> None:
        if not (math.isfinite(self.factor) and self.factor > 0 and math.isfinite(self.memory) and self.memory > 0):
            raise ConfigError(f"factor and memory must be positive, got {self.factor!r} and {self.memory!r}")

    def kernel(self, steps: int, step: float) -> Array:
        """Response (steps,) to an impulse in the first bin."""
        edges = np.exp(-np.arange(steps + 1) * step / self.memory)
        found = (self.factor - 1.0) * (edges[:-1] - edges[1:])
        found[0] += 1.0
        return np.asarray(found)


@dataclass(frozen=True)
class Ages:
    """Apparent ages of n random spirals.

    Parameters
    ----------
    matched : (n,) Gyr at which the matched filter peaks.
    slope : (n,) Gyr: slope of the unwrapped phase against the frequency, weighted.
    coherence : (n,) height of that peak over the largest possible: 1 where all actions tell of one age.
    strength : (n,) weighted root mean square of |A| over the actions, in km/s.
    """

    matched: Array
    slope: Array
    coherence: Array
    strength: Array

    def quantiles(self, shares: Sequence[float] = (0.16, 0.5, 0.84), above: float = 0.0) -> Array:
        """Quantiles of the matched ages, of those above a limit (Gyr)."""
        kept = self.matched[self.matched > above]
        return np.asarray(np.quantile(kept, shares)) if len(kept) else np.full(np.shape(shares), np.nan)


@dataclass(frozen=True)
class SnailModel:
    """What random snails look like.

    Parameters
    ----------
    actions : the vertical potential.
    heating : k = d<J>/dt by scattering, kpc km/s per Gyr; 0 for none.
    scale : J0 of the background exp(-J / J0), kpc km/s.
    low, high, nodes : actions on which a spiral is seen.
    span, steps : how long ago the noise began (Gyr), and in how many bins.
    oldest : largest age that is looked for (Gyr).
    harmonic : 1 for a lopsided force, 2 for a breathing one.
    erosion : "local": the t^3 law at each action; "full": the diffusion equation, which also knows that heating and
        Omega' change along J.
    weighting : of the actions in the filter: "density", as loud as they are, or "flat".
    amplification : for self-gravity; None for none.

    Raises
    ------
    ConfigError
        When a number is out of its range, or the actions are beyond the table.

    Examples
    --------
    >>> from starloom.dynamics.vertical_actions import VerticalPotential
    >>> model = SnailModel(VerticalActions(VerticalPotential.slab()))
    >>> print(model.lifetime([10.0, 20.0, 40.0]).round(2))
    [0.57 0.7  0.98]
    """

    actions: VerticalActions
    heating: float = 1.6
    scale: float = 20.0
    low: float = 5.0
    high: float = 60.0
    nodes: int = 111
    span: float = 1.5
    steps: int = 300
    oldest: float = 1.5
    harmonic: int = 1
    erosion: Literal["local", "full"] = "local"
    weighting: Literal["density", "flat"] = "density"
    amplification: Amplification | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.heating) and self.heating >= 0):
            raise ConfigError(f"heating must not be negative, got {self.heating!r} kpc km/s per Gyr")
        if not 0 < self.low < self.high or self.nodes < 3:
            raise ConfigError(f"actions need 0 < low < high and 3 nodes, got {self.low:g}, {self.high:g}, {self.nodes}")
        if self.high > self.actions.action_top:
            raise ConfigError(
                f"actions to {self.high:g} kpc km/s lie beyond the table, which ends at {self.actions.action_top:.4g}; "
                "make it with a larger z_top"
            )
        if not (self.span > 0 and self.oldest > 0 and self.scale > 0) or self.steps < 2:
            raise ConfigError("span, oldest and scale must be positive, and steps at least 2")
        if self.harmonic not in (1, 2):
            raise ConfigError(f"harmonic is 1 (lopsided) or 2 (breathing), got {self.harmonic}")
        if self.erosion not in EROSION or self.weighting not in WEIGHTING:
            raise ConfigError(
                f"erosion is one of {', '.join(EROSION)} and weighting one of {', '.join(WEIGHTING)}, got "
                f"{self.erosion!r} and {self.weighting!r}"
            )

    @functools.cached_property
    def j(self) -> Array:
        """Actions (nodes,), kpc km/s."""
        return np.linspace(self.low, self.high, self.nodes)

    @functools.cached_property
    def omega(self) -> Array:
        """Frequencies (nodes,), rad/Gyr."""
        return self.actions.omega(self.j) / TIME_UNIT

    @functools.cached_property
    def loudness(self) -> Array:
        """How loud each action is (nodes,): the background times the velocity amplitude of a harmonic orbit."""
        return loudness(self.j, self.omega, self.scale)

    @property
    def resolution(self) -> float:
        """2 pi over the range of frequencies (Gyr): two events closer than that are one."""
        return float(2.0 * np.pi / (self.harmonic * np.ptp(self.omega)))

    @property
    def step(self) -> float:
        """Length of a bin of time (Gyr)."""
        return self.span / self.steps

    @property
    def ages_ago(self) -> Array:
        """Middles of the bins (steps,), Gyr ago."""
        return np.asarray((np.arange(self.steps) + 0.5) * self.step, dtype=np.float64)

    @property
    def searched(self) -> Array:
        """Ages that the matched filter tries (Gyr)."""
        return np.asarray(np.arange(0.0, self.oldest + 1e-9, min(0.01, self.oldest / 100)), dtype=np.float64)

    @functools.cached_property
    def weight(self) -> Array:
        """Weight of each action (nodes,) in the filter."""
        if self.weighting == "flat":
            return np.ones(self.nodes)
        return self.loudness

    def lifetime(self, action: ArrayLike) -> Array:
        """t_d (Gyr) at actions (kpc km/s): inf without heating."""
        j = np.asarray(action, dtype=np.float64)
        slope = self.actions.omega_slope(j) / TIME_UNIT
        with np.errstate(divide="ignore"):
            return np.asarray(np.cbrt(3.0 / (self.harmonic**2 * self.heating * j * slope**2)))

    @functools.cached_property
    def memory(self) -> Complex:
        """Response (steps, nodes) to a unit impulse in each bin: exp(i m Omega tau) times what is left of it."""
        if self.erosion == "full" and self.heating > 0:
            found = self._diffused()
        else:
            tau = self.ages_ago[:, None]
            left = np.exp(-((tau / self.lifetime(self.j)) ** 3))
            found = left * np.exp(1j * self.harmonic * self.omega * tau)
        if self.amplification is None:
            return found
        # an impulse tau ago is followed by others, which are younger: each bin's response is a sum over later bins
        shape = self.amplification.kernel(self.steps, self.step)
        return np.stack([shape[: row + 1][::-1] @ found[: row + 1] for row in range(self.steps)])

    def _diffused(self) -> Complex:
        from starloom.disk.snail_diffusion import diffused

        return diffused(self)

    def amplitudes(self, impulses: ArrayLike) -> Complex:
        """A(J), (n, nodes) in km/s, of impulses (n, steps), the latest first."""
        given = np.asarray(impulses, dtype=np.float64)
        if given.ndim != 2 or given.shape[1] != self.steps:
            raise ConfigError(f"impulses must have shape (n, {self.steps}), got {given.shape}")
        parts = given @ self._packed
        return np.asarray(parts[:, : self.nodes] + 1j * parts[:, self.nodes :])

    @functools.cached_property
    def _packed(self) -> Array:
        """Real and imaginary part of the memory side by side, so that one real product gives both."""
        return np.ascontiguousarray(np.concatenate([self.memory.real, self.memory.imag], axis=1))

    @functools.cached_property
    def _filter(self) -> Array:
        """Filter of impulses themselves, (steps, 2 ages): no need of A(J) for the matched age."""
        turned = np.exp(-1j * self.harmonic * np.outer(self.omega, self.searched)) * self.weight[:, None]
        product = self.memory @ turned
        return np.ascontiguousarray(np.concatenate([product.real, product.imag], axis=1))

    def matched(self, impulses: Array) -> tuple[Array, Array]:
        """Age (n,) at the peak of |sum_J w A exp(-i m Omega t)| over t, and its height (n,)."""
        parts = impulses @ self._filter
        count = parts.shape[1] // 2
        np.square(parts, out=parts)
        return peak(self.searched, parts[:, :count] + parts[:, count:])

    def ages(self, count: int, noise: Noise | None = None, *, seed: int = 0, workers: int | None = None) -> Ages:
        """Apparent ages of random spirals, block by block: memory does not grow with their number.

        Parameters
        ----------
        count : how many.
        noise : white, of 1 (km/s)^2/Gyr, by default.
        seed, workers : the result depends on the seed only.
        """
        if count < 1:
            raise ConfigError(f"at least one spiral must be drawn, got {count}")
        source = noise or WhiteNoise()
        found = np.empty((4, count))
        weight = self.weight / self.weight.sum()
        _ = self._packed, self._filter  # before threads need them

        def run(part: slice) -> None:
            rng = np.random.default_rng([seed, part.start // DRAWS])
            impulses = source.sample(part.stop - part.start, self.steps, self.step, rng)
            amplitude = self.amplitudes(impulses)
            found[0, part], height = self.matched(impulses)
            found[1, part] = phase_slope(amplitude, self.omega, self.weight) / self.harmonic
            size = np.abs(amplitude)
            found[2, part] = np.sqrt(height) / (size @ self.weight)
            found[3, part] = np.sqrt((size * size) @ weight)

        in_blocks(run, count, workers, block=DRAWS)
        return Ages(*found)

    def matched_ages(self, count: int, noise: Noise | None = None, *, seed: int = 0, bins: Array) -> NDArray[np.int64]:
        """Histogram over ``bins`` of the matched ages of any number of draws, in flat memory."""
        source, total = noise or WhiteNoise(), np.zeros(len(bins) - 1, np.int64)
        for start in range(0, count, DRAWS):
            rng = np.random.default_rng([seed, start // DRAWS])
            impulses = source.sample(min(DRAWS, count - start), self.steps, self.step, rng)
            total += np.histogram(self.matched(impulses)[0], bins)[0]
        return total

    def contrast(self, impulses: ArrayLike, action: ArrayLike, theta: ArrayLike, harmonics: int = 3) -> Array:
        """f1 / f0 at actions and angles (any one shape), for one history of impulses (steps,).

        ``harmonics`` of the force along an orbit are kept, each of which winds and fades at its own pace by the local
        law; the angle is 0 where stars cross the plane upwards.
        """
        given = np.asarray(impulses, dtype=np.float64)
        if given.shape != (self.steps,):
            raise ConfigError(f"one history of {self.steps} impulses is needed, got shape {given.shape}")
        j, angle = np.broadcast_arrays(np.asarray(action, dtype=np.float64), np.asarray(theta, dtype=np.float64))
        nodes = np.linspace(0.02, min(1.05 * float(np.nanmax(j)), self.actions.action_top), 400)
        omega, slope = self.actions.omega(nodes) / TIME_UNIT, self.actions.omega_slope(nodes) / TIME_UNIT
        shape = self._along_orbit(nodes, harmonics)
        total = np.zeros(j.shape)
        tau = self.ages_ago[:, None]
        for number in range(harmonics):
            k = self.harmonic + 2 * number
            left = np.exp(-(k**2) * self.heating * nodes * slope**2 * tau**3 / 3.0)
            wound = given @ (left * np.exp(-1j * k * omega * tau)) * shape[number]
            here = np.interp(j, nodes, wound.real) + 1j * np.interp(j, nodes, wound.imag)
            total += np.real(here * np.exp(1j * k * angle))
        return total / self.scale

    def _along_orbit(self, action: Array, harmonics: int) -> Complex:
        """Fourier coefficients (harmonics, n) of dJ/dF along orbits: v / Omega, or z v / Omega, in kpc (or kpc^2)."""
        points = 64
        angle = 2.0 * np.pi * np.arange(points) / points
        z, v = self.actions.position(np.repeat(action, points), np.tile(angle, len(action)))
        work = (v if self.harmonic == 1 else z * v).reshape(-1, points) / self.actions.omega(action)[:, None]
        series = np.fft.rfft(work, axis=1) * 2.0 / points
        return np.asarray(series[:, self.harmonic : self.harmonic + 2 * harmonics : 2].T)


def loudness(action: Array, omega: Array, scale: float) -> Array:
    """exp(-J / scale) sqrt(2 J / Omega), of actions (kpc km/s) and frequencies (rad/Gyr)."""
    return np.asarray(np.exp(-action / scale) * np.sqrt(2.0 * action / (omega * TIME_UNIT)))


def peak(places: Array, heights: Array) -> tuple[Array, Array]:
    """Place and height of the highest of (n, t) values, with a parabola through it and its neighbors."""
    best = np.argmax(heights, axis=1)
    inner = np.clip(best, 1, len(places) - 2)
    rows = np.arange(len(heights))
    low, middle, high = (heights[rows, inner + shift] for shift in (-1, 0, 1))
    bend = low - 2.0 * middle + high
    shift = np.where((bend < 0) & (best == inner), 0.5 * (low - high) / np.where(bend < 0, bend, -1.0), 0.0)
    place = np.where(best == inner, places[inner] + shift * (places[1] - places[0]), places[best])
    return place, heights[rows, best]


def phase_slope(amplitude: Complex, omega: Array, weight: Array) -> Array:
    """Slope (n,) of the unwrapped phase of (n, nodes) amplitudes against the frequency, weighted with w |A|."""
    phase = np.unwrap(np.angle(amplitude), axis=1)
    w = weight * np.abs(amplitude)
    w = w / np.maximum(w.sum(axis=1, keepdims=True), 1e-300)
    centered = omega - (w @ omega)[:, None]
    return np.asarray((w * centered * phase).sum(axis=1) / (w * centered**2).sum(axis=1))
