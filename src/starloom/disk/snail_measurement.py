"""How old a phase spiral looks: from stars or from a simulation, three ways, with errors and with what to mistrust.

In the plane of frequency and angle a spiral is a set of straight stripes theta = Omega t + phase: their slope is the
age t. A lopsided spiral (harmonic 1) is odd under (z, v) -> (-z, -v), so that only differences between opposite angles
bear on it; a selection that is the same on both sides of the plane leaves no trace.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.disk.snail_response import peak, phase_slope
from starloom.errors import CatalogError, ConfigError
from starloom.seeds import generator

Array = NDArray[np.float64]
FEWEST = 1000
FALSE_ALARM = 0.01
TURNS, FREQUENCIES = 48, 48
STEP = 0.005  # Gyr between the ages tried
AGREE = 0.5  # of the resolution: how far two ages of one spiral may be apart
ECHO = 0.1  # of the first peak's power: a second event below it is not spoken of


@dataclass(frozen=True)
class SnailAge:
    """What was measured of one spiral.

    Parameters
    ----------
    age, age_low, age_high : of the matched filter (Gyr), with the central 68 % of the bootstrap.
    slope, slope_low, slope_high : of the phase against the frequency (Gyr).
    fitted, fitted_error : of the likelihood of stripes of one amplitude (Gyr).
    amplitude, amplitude_error, phase : of that fit: the contrast is amplitude x cos(m (theta - Omega t) - phase).
    power : of the matched filter: 1 on average where there is no spiral.
    false_alarm : probability of such a power anywhere in the search without one.
    resolution : 2 pi / (m x range of frequencies), Gyr: events closer than that are one.
    stars : counted.
    second_age, second_share : the strongest other event and its power over the first one's; NaN where none is seen.
    warnings : why one age may not describe the spiral.
    ages, powers : the filter over the ages tried.
    omega_edges, counts : the counts (frequencies, turns) it was measured on.
    """

    age: float
    age_low: float
    age_high: float
    slope: float
    slope_low: float
    slope_high: float
    fitted: float
    fitted_error: float
    amplitude: float
    amplitude_error: float
    phase: float
    power: float
    false_alarm: float
    resolution: float
    stars: float
    second_age: float
    second_share: float
    warnings: tuple[str, ...]
    ages: Array = field(repr=False)
    powers: Array = field(repr=False)
    omega_edges: Array = field(repr=False)
    counts: Array = field(repr=False)

    @property
    def seen(self) -> bool:
        """Whether chance makes such a spiral in fewer than one of 100 searches, and its age is inside of the search."""
        return self.false_alarm < FALSE_ALARM and float(self.ages[0]) < self.age < float(self.ages[-1])


def measure(
    theta: ArrayLike,
    omega: ArrayLike,
    *,
    omega_range: tuple[float, float] | None = None,
    harmonic: int = 1,
    search: tuple[float, float] = (0.05, 1.5),
    bootstraps: int = 200,
    seed: int | np.random.Generator = 0,
) -> SnailAge:
    """Measure the spiral of stars.

    Parameters
    ----------
    theta : (n,) vertical angles (rad).
    omega : (n,) vertical frequencies (rad/Gyr).
    omega_range : frequencies used; by default the central 98 % of the stars.
    harmonic : 1 for one arm (lopsided), 2 for two (breathing).
    search : ages tried (Gyr). A wrong height or velocity of the Sun, or a sample that is not the same on both sides of
        the plane, looks like a spiral of age 0: so the search starts above it.
    bootstraps : resamplings of the stars.
    seed : of the resamplings.

    Raises
    ------
    CatalogError
        When fewer than 1000 stars have a finite angle and a frequency in the range.
    ConfigError
        When a setting is out of its range.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> omega, theta = rng.uniform(43, 66, 40_000), rng.uniform(0, 2 * np.pi, 40_000)
    >>> kept = rng.random(40_000) < 0.5 * (1 + 0.3 * np.cos(theta - 0.4 * omega))
    >>> found = measure(theta[kept], omega[kept], bootstraps=20)
    >>> bool(abs(found.age - 0.4) < 0.02), found.seen
    (True, True)
    """
    check_settings(harmonic, search, bootstraps)
    angle, rate = np.asarray(theta, dtype=np.float64), np.asarray(omega, dtype=np.float64)
    if angle.ndim != 1 or angle.shape != rate.shape:
        raise ConfigError(f"theta and omega must have one shape (n,), got {angle.shape} and {rate.shape}")
    good = np.isfinite(angle) & np.isfinite(rate)
    low, high = 0.0, np.inf
    if omega_range is not None:
        low, high = omega_range
    elif good.sum() >= FEWEST:
        low, high = np.quantile(rate[good], [0.01, 0.99])
    if not low < high:
        raise ConfigError(f"the range of frequencies is empty: {low:g} to {high:g} rad/Gyr")
    good &= (rate >= low) & (rate <= high)
    if good.sum() < FEWEST:
        raise CatalogError(
            f"{int(good.sum())} stars have a vertical angle and a frequency in the range, and a spiral needs at least "
            f"{FEWEST}; check the cuts and the range"
        )
    bins = max(FREQUENCIES, math.ceil((high - low) * search[1] * harmonic / 0.7))
    edges = np.linspace(low, high, bins + 1)
    turns = np.linspace(0.0, 2.0 * np.pi, TURNS + 1)
    counts = np.histogram2d(rate[good], angle[good] % (2.0 * np.pi), [edges, turns])[0]
    return measure_counts(counts, edges, harmonic=harmonic, search=search, bootstraps=bootstraps, seed=seed)


def measure_counts(
    counts: ArrayLike,
    omega_edges: ArrayLike,
    *,
    harmonic: int = 1,
    search: tuple[float, float] = (0.05, 1.5),
    bootstraps: int = 200,
    seed: int | np.random.Generator = 0,
) -> SnailAge:
    """Measure the spiral of counts of stars.

    Parameters
    ----------
    counts : (frequencies, turns) numbers of stars; turns, a multiple of 4, are equal parts of a full turn from 0.
    omega_edges : (frequencies + 1,) rad/Gyr.
    harmonic, search, bootstraps, seed : as of :func:`measure`.

    Raises
    ------
    CatalogError
        When the counts are negative, not finite, or fewer than 1000 in all.
    ConfigError
        When a setting is out of its range or the shapes do not fit.
    """
    cells, edges = np.asarray(counts, dtype=np.float64), np.asarray(omega_edges, dtype=np.float64)
    check_settings(harmonic, search, bootstraps)
    _check(cells, edges)
    rng = generator(seed)
    cells, warnings = _drop_unseen(cells, harmonic)
    omega = 0.5 * (edges[1:] + edges[:-1])
    resolution = 2.0 * np.pi / (harmonic * (edges[-1] - edges[0]))
    ages = np.arange(search[0], search[1] + 0.5 * STEP, STEP)
    filters = _Filter(omega, ages, harmonic, cells.shape[1])
    powers = filters.powers(cells[None])[0]
    age, power = (float(part[0]) for part in peak(ages, powers[None]))
    trials = 1.0 + 3.0 * (search[1] - search[0]) / resolution  # oversampled: about three per resolution
    false_alarm = _chance(power, trials)
    slope = filters.slope(cells[None], age)[0]
    drawn_ages, drawn_slopes = np.full(bootstraps, age), np.full(bootstraps, slope)
    for start in range(0, bootstraps, 64):
        part = slice(start, min(start + 64, bootstraps))
        again = rng.poisson(cells, (part.stop - part.start, *cells.shape)).astype(np.float64)
        drawn_ages[part] = peak(ages, filters.powers(again))[0]
        drawn_slopes[part] = filters.slope(again, age)
    fit = _stripes(cells, omega, age, harmonic)
    second_age, second_share = _second(filters, cells, fit, age, power, resolution, trials)
    quantiles = [0.16, 0.84]
    low, high = np.quantile(drawn_ages, quantiles) if bootstraps else (np.nan, np.nan)
    slope_low, slope_high = np.quantile(drawn_slopes, quantiles) if bootstraps else (np.nan, np.nan)
    if false_alarm >= FALSE_ALARM:
        warnings.append(f"no spiral is seen: chance gives such a one in {100 * false_alarm:.0f} % of searches")
    else:
        if abs(slope - age) > AGREE * resolution:
            warnings.append(
                f"one age does not describe it: the filter gives {age:.2f} Gyr, the slope of the phase {slope:.2f} Gyr"
            )
        if np.isfinite(second_age):
            warnings.append(
                f"one age does not describe it: another event at {second_age:.2f} Gyr has {100 * second_share:.0f} % "
                "of the power of the first"
            )
        if not ages[0] < age < ages[-1]:
            warnings.append(f"the age is at the end of the search, {age:.2f} Gyr")
        elif age < 0.5 * resolution:
            warnings.append(
                f"less than half a turn over the frequencies: ages below {0.5 * resolution:.2f} Gyr are vague"
            )
    return SnailAge(
        age, float(low), float(high), float(slope), float(slope_low), float(slope_high), fit.age, fit.age_error,
        fit.amplitude, fit.amplitude_error, fit.phase, power, false_alarm, float(resolution), float(cells.sum()),
        second_age, second_share, tuple(warnings), ages, powers, edges, cells,
    )  # fmt: skip


def check_settings(harmonic: int, search: tuple[float, float], bootstraps: int) -> None:
    """Raise ConfigError where a setting of the measurement is out of its range."""
    if harmonic not in (1, 2):
        raise ConfigError(f"harmonic is 1 (one arm) or 2 (two arms), got {harmonic}")
    if not 0 <= search[0] < search[1] or search[1] - search[0] < 4 * STEP:
        raise ConfigError(f"the search must go from an age of 0 or more to a larger one, got {search}")
    if bootstraps < 0:
        raise ConfigError(f"bootstraps must not be negative, got {bootstraps}")


def _check(cells: Array, edges: Array) -> None:
    if cells.ndim != 2 or edges.shape != (cells.shape[0] + 1,) or cells.shape[1] % 4 or cells.shape[0] < 4:
        raise ConfigError(
            f"counts must be (frequencies, turns) with 4 frequencies or more and a multiple of 4 turns, and as many "
            f"edges of frequency and one; got {cells.shape} and {edges.shape}"
        )
    if not np.isfinite(edges).all() or not (np.diff(edges) > 0).all():
        raise ConfigError("edges of the frequencies must be finite and rise")
    if not np.isfinite(cells).all() or (cells < 0).any():
        raise CatalogError("counts must be finite and not negative")
    if cells.sum() < FEWEST:
        raise CatalogError(f"{cells.sum():g} stars are counted, and a spiral needs at least {FEWEST}")


def _chance(power: float, trials: float) -> float:
    """Probability that the largest of some independent powers, exponential without a spiral, is that large."""
    single = math.exp(-min(power, 700.0))
    return 1.0 if single >= 1.0 else -math.expm1(trials * math.log1p(-single))


def _drop_unseen(cells: Array, harmonic: int) -> tuple[Array, list[str]]:
    """Angles that no star has, while the opposite ones are full, were not observed: both are left out."""
    opposite = np.roll(cells, cells.shape[1] // (2 * harmonic), axis=1)
    unseen = (cells == 0) & (opposite >= 20)
    lost = unseen | np.roll(unseen, cells.shape[1] // (2 * harmonic), axis=1)
    empty = (cells.sum(axis=0) == 0).mean()
    warnings = []
    if unseen.any():
        warnings.append(
            f"{int(unseen.sum())} cells of angle and frequency are empty where the opposite ones are full: both are "
            "left out; is the sample the same on both sides of the plane?"
        )
    elif empty > 0.1:
        warnings.append(f"{100 * empty:.0f} % of the angles have no star at all")
    return np.where(lost, 0.0, cells), warnings


class _Filter:
    """The matched filter over cells, for many sets of counts at once."""

    def __init__(self, omega: Array, ages: Array, harmonic: int, turns: int) -> None:
        angle = (np.arange(turns) + 0.5) * 2.0 * np.pi / turns
        self.omega, self.ages, self.harmonic = omega, ages, harmonic
        self.turn = np.exp(-1j * harmonic * angle)
        self.wind = np.exp(1j * harmonic * np.outer(omega, ages))

    def coefficients(self, cells: Array) -> NDArray[np.complex128]:
        """Sum over the stars of each frequency of exp(-i m theta), (n, frequencies)."""
        return np.asarray(cells @ self.turn)

    def powers(self, cells: Array) -> Array:
        """Power over the ages, (n, ages): half the chi-square that stripes of this age take away, 1 on average without.

        The least squares of a cosine and a sine of psi = m (theta - Omega t) to counts that are spread unevenly over
        the angles, as in a periodogram of uneven times; for even spreads it is |sum exp(-i psi)|^2 / N.
        """
        first = self.coefficients(cells) @ self.wind
        second = (cells @ self.turn**2) @ self.wind**2
        total = np.maximum(cells.sum(axis=(1, 2)), 1e-300)[:, None]
        cosine, sine = first.real, -first.imag
        even, mixed = second.real / total, -second.imag / total
        left = np.maximum(1.0 - even**2 - mixed**2, 1e-9)
        return np.asarray(
            (cosine**2 * (1.0 - even) - 2.0 * cosine * sine * mixed + sine**2 * (1.0 + even)) / (total * left)
        )

    def slope(self, cells: Array, near: float) -> Array:
        """Slope of the phase (n,), unwound by an age near it first, so that noise does not lose whole turns."""
        found = self.coefficients(cells) * np.exp(1j * self.harmonic * self.omega * near)
        counts = np.sqrt(np.maximum(cells.sum(axis=2), 1.0))
        smooth = np.stack([np.convolve(row, np.ones(5), "same") for row in found])
        # the phase of sum exp(-i m theta) runs as -m Omega t
        return np.asarray(near - phase_slope(smooth, self.omega, counts.mean(axis=0)) / self.harmonic)


@dataclass(frozen=True)
class _Stripes:
    """The likelihood fit of stripes of one amplitude."""

    age: float
    age_error: float
    amplitude: float
    amplitude_error: float
    phase: float


def _stripes(cells: Array, omega: Array, start: float, harmonic: int) -> _Stripes:
    """Maximum likelihood of counts at angles opposite in the harmonic, given their sum.

    Of n + n' stars at theta and half a turn of the harmonic on, n has probability (1 + contrast) / 2: what selection
    does to both alike cancels.
    """
    from scipy.optimize import minimize

    turns = cells.shape[1]
    angle = (np.arange(turns) + 0.5) * 2.0 * np.pi / turns
    grid = harmonic * angle[None, :]
    middle = float(omega.mean())

    def contrast(values: Array) -> Array:
        wave = grid - harmonic * values[2] * (omega - middle)[:, None]
        return np.asarray(values[0] * np.cos(wave) + values[1] * np.sin(wave))

    def cost(values: Array) -> float:
        found = contrast(values)
        if np.max(np.abs(found)) >= 1.0:
            return 1e12
        return float(-np.sum(cells * np.log1p(found)))

    wave = np.exp(1j * (grid - harmonic * start * (omega - middle)[:, None]))
    first = 2.0 * np.sum(cells * wave) / cells.sum()
    scale = min(1.0, 0.9 / max(abs(first), 1e-12))
    begin = np.array([first.real * scale, first.imag * scale, start])
    found = minimize(cost, begin, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-6, "maxiter": 600})
    a, b, age = found.x
    amplitude = float(np.hypot(a, b))
    stars = cells.sum()
    spread = np.sqrt(np.sum(cells.sum(axis=1) * (omega - middle) ** 2) / stars)
    error = math.sqrt(2.0 / stars)  # of amplitude, and of phase times amplitude, for small contrasts
    phase = float(np.angle(a + 1j * b) - harmonic * age * middle)
    wrapped = (phase + math.pi) % (2.0 * math.pi) - math.pi
    return _Stripes(float(age), float(error / max(amplitude, error) / (harmonic * spread)), amplitude, error, wrapped)


def _second(
    filters: _Filter, cells: Array, fit: _Stripes, age: float, power: float, resolution: float, trials: float
) -> tuple[float, float]:
    """The strongest event left when one of this age, with any smooth run of its amplitude, is taken out."""
    counts = cells.sum(axis=1)
    omega = filters.omega
    x = (omega - omega.mean()) / np.ptp(omega)
    rows = np.maximum(counts, 1e-12)
    unwound = filters.coefficients(cells) * np.exp(1j * filters.harmonic * omega * age) / rows
    basis = np.stack([np.ones_like(x), x, x * x], axis=1)
    root = np.sqrt(counts)
    solved = np.linalg.lstsq(basis * root[:, None], unwound * root, rcond=None)[0]
    left = (unwound - basis @ solved) * counts
    wound = (left * np.exp(-1j * filters.harmonic * omega * age)) @ filters.wind
    powers = np.abs(wound) ** 2 / counts.sum()
    powers[np.abs(filters.ages - age) < 0.5 * resolution] = 0.0
    place, height = (float(part[0]) for part in peak(filters.ages, powers[None]))
    if _chance(height, trials) >= FALSE_ALARM or height < ECHO * power:
        return float("nan"), float("nan")
    return place, height / power
