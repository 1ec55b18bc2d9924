"""Which stars a black-hole binary throws out, how fast, when and whither."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import ConfigError
from starloom.galactic_center.scenario import Scenario
from starloom.seeds import generator
from starloom.stellar.mass_functions import MassFunction, power_law

Array = NDArray[np.float64]
LEAST_SPEED = 550.0  # km/s, 5.5 times the dispersion of 100 km/s that the fits are for
TAIL, BREAK, FASTEST = 3.1, 1.2, 3.0
GALAXY_AGE = 13.8  # Gyr


class Lifetimes(Protocol):
    """Anything that says how long stars live until they leave what can be seen of them."""

    def lifetime(self, mass: ArrayLike, fe_h: ArrayLike) -> Array:
        """Gyr of stars of initial masses (Msun) and metallicities."""
        ...


@dataclass(frozen=True)
class VelocityLaw:
    """Speeds of ejected stars: dN/dln v is flat up to a break and falls as v^-3.1 above it.

    With w = v / v_c: the break is at 1.2 sqrt(2 q) / (1 + q), the fastest star has w = 3 / (1 + q) (scattering fits
    used in arXiv:2304.12169).

    Parameters
    ----------
    circular_speed : v_c of the binary, km/s (n,) or one number.
    ratio : mass ratio.
    least : slowest speed kept, km/s.
    """

    circular_speed: Array
    ratio: float
    least: float = LEAST_SPEED

    @property
    def break_speed(self) -> Array:
        """km/s."""
        return np.asarray(self.circular_speed) * (BREAK * math.sqrt(2.0 * self.ratio) / (1.0 + self.ratio))

    @property
    def fastest(self) -> Array:
        """km/s."""
        return np.asarray(self.circular_speed) * (FASTEST / (1.0 + self.ratio))

    def _area(self, v: ArrayLike) -> Array:
        """Integral of the law, 1 below the break, over ln v from the break to v."""
        log = np.log(np.asarray(v, dtype=float) / self.break_speed)
        return np.where(log < 0, log, -np.expm1(-TAIL * np.maximum(log, 0.0)) / TAIL)

    def pdf(self, v: ArrayLike) -> Array:
        """Density per km/s, normalized between ``least`` and the fastest; 0 outside."""
        speed = np.asarray(v, dtype=float)
        total = self._area(self.fastest) - self._area(self.least)
        with np.errstate(divide="ignore", invalid="ignore"):
            height = np.minimum(1.0, (speed / self.break_speed) ** -TAIL) / speed / total
        return np.where((speed >= self.least) & (speed <= self.fastest) & (total > 0), height, 0.0)

    def survival(self, v: ArrayLike) -> Array:
        """Share of the stars faster than v."""
        speed = np.clip(np.asarray(v, dtype=float), self.least, np.maximum(self.fastest, self.least))
        total = self._area(self.fastest) - self._area(self.least)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(total > 0, (self._area(self.fastest) - self._area(speed)) / total, 0.0)

    def ppf(self, share: ArrayLike) -> Array:
        """Speed below which a share of the stars is, km/s; NaN where the binary is too wide for any."""
        low, high = self._area(self.least), self._area(self.fastest)
        area = low + np.asarray(share, dtype=float) * (high - low)
        with np.errstate(invalid="ignore"):
            log = np.where(area < 0, area, -np.log1p(-TAIL * np.maximum(area, 0.0)) / TAIL)
        return np.where(high > low, self.break_speed * np.exp(log), np.nan)


@dataclass(frozen=True)
class CenterStars:
    """Which stars there are at the center.

    Parameters
    ----------
    slope : of the initial mass function, dN/dm ~ m^-slope: 1.7 (top-heavy), 2.35 (Salpeter).
    masses : range of the initial mass function, Msun.
    kept : range of the stars that are followed, Msun.
    fe_h : lowest and highest metallicity, between which it is uniform.
    ages : "lifetime": a uniform fraction of each star's life, as in the authors' code; "continuous": stars formed at a
        constant rate over 13.8 Gyr; "recent": at a constant rate over the last ``recent`` Gyr.
    recent : Gyr.

    Raises
    ------
    ConfigError
        When ranges are empty or a name is unknown.
    """

    slope: float = 1.7
    masses: tuple[float, float] = (0.1, 100.0)
    kept: tuple[float, float] = (0.5, 100.0)
    fe_h: tuple[float, float] = (-0.25, 0.25)
    ages: str = "lifetime"
    recent: float = 0.1
    _mean: dict[str, float] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.masses[0] <= self.kept[0] < self.kept[1] <= self.masses[1]:
            raise ConfigError(f"the stars kept, {self.kept} Msun, must be inside the mass function's {self.masses}")
        if self.ages not in ("lifetime", "continuous", "recent"):
            raise ConfigError(f"ages is 'lifetime', 'continuous' or 'recent', got {self.ages!r}")
        if not (self.recent > 0 and self.fe_h[0] <= self.fe_h[1]):
            raise ConfigError("recent must be positive and fe_h a rising pair")

    @property
    def mass_function(self) -> MassFunction:
        """The initial mass function."""
        return power_law(self.slope, *self.masses)

    def birth_span(self) -> float:
        """Gyr over which stars formed; infinite where ages are fractions of a life."""
        return {"lifetime": math.inf, "continuous": GALAXY_AGE, "recent": self.recent}[self.ages]

    def alive(self, lifetime: ArrayLike) -> Array:
        """Share of the stars of a lifetime (Gyr) that are alive when they may be thrown out."""
        span = self.birth_span()
        life = np.asarray(lifetime, dtype=float)
        return np.ones_like(life) if math.isinf(span) else np.minimum(1.0, life / span)

    def per_mass(self, mass: ArrayLike, lifetime: ArrayLike, lives: Lifetimes) -> Array:
        """Stars of a mass per Msun of mass interval and per Msun thrown out: IMF x alive / mean mass of the living."""
        return self.mass_function.pdf(mass) * self.alive(lifetime) / self.living_mass(lives)

    def living_mass(self, lives: Lifetimes) -> float:
        """Mean mass of a living star times the share that is alive, Msun."""
        if self.ages == "lifetime":
            return self.mass_function.mean()
        key = f"{id(lives)}"
        if key not in self._mean:
            edges = np.geomspace(*self.masses, 2001)
            middle = np.sqrt(edges[1:] * edges[:-1])
            share = self.alive(lives.lifetime(middle, np.zeros_like(middle)))
            self._mean[key] = float(np.sum(self.mass_function.interval_weights(edges) * middle * share))
        return self._mean[key]

    def age_pdf(self, fraction: ArrayLike, lifetime: ArrayLike) -> Array:
        """Density of the fraction of its life that a star has behind it when it is thrown out, given that it lives."""
        share, life = np.asarray(fraction, dtype=float), np.asarray(lifetime, dtype=float)
        most = np.minimum(1.0, self.birth_span() / life)
        return np.where(share <= most, 1.0 / most, 0.0)


@dataclass(frozen=True)
class Ejected:
    """Stars as they leave the center, one value a star (n,).

    Parameters
    ----------
    flight_time : Myr ago.
    speed : km/s at the launch radius.
    direction : unit vectors (n, 3).
    mass : initial, Msun.
    fe_h : dex.
    fraction : share of its life that was over at the ejection.
    lifetime : Gyr.
    """

    flight_time: Array
    speed: Array
    direction: Array
    mass: Array
    fe_h: Array
    fraction: Array
    lifetime: Array

    def __len__(self) -> int:
        return len(self.speed)

    @property
    def age(self) -> Array:
        """Today, Gyr."""
        return self.fraction * self.lifetime + 1e-3 * self.flight_time

    @property
    def alive(self) -> NDArray[np.bool_]:
        """Whether the star is still seen as one today."""
        return self.age < self.lifetime

    def take(self, rows: ArrayLike) -> Ejected:
        """The stars of some rows."""
        return Ejected(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})


def isotropic(count: int, rng: np.random.Generator) -> Array:
    """Unit vectors (count, 3) in all directions alike."""
    z, angle = rng.uniform(-1.0, 1.0, count), rng.uniform(0.0, 2.0 * math.pi, count)
    flat = np.sqrt(1.0 - z * z)
    return np.stack([flat * np.cos(angle), flat * np.sin(angle), z], axis=-1)


def expected_ejected(scenario: Scenario, stars: CenterStars, lives: Lifetimes, span: float) -> float:
    """Mean number of stars of the kept masses thrown out in the last ``span`` Myr."""
    edges = np.geomspace(*stars.kept, 401)
    middle = np.sqrt(edges[1:] * edges[:-1])
    share = stars.alive(lives.lifetime(middle, np.zeros_like(middle))) if stars.ages != "lifetime" else 1.0
    number = float(np.sum(stars.mass_function.interval_weights(edges) * share))
    return scenario.ejected(span) * number / stars.living_mass(lives)


def eject(
    scenario: Scenario,
    stars: CenterStars,
    lives: Lifetimes,
    *,
    span: float = 100.0,
    count: int | None = None,
    seed: int | np.random.Generator,
) -> Ejected:
    """Draw the stars that a binary threw out in the last ``span`` Myr.

    Parameters
    ----------
    scenario : the binary and its state today.
    stars : which stars there are.
    lives : how long they live, such as :class:`starloom.galactic_center.evolution.StellarTracks`.
    span : longest flight, Myr.
    count : how many; by default a Poisson number about what the ejected mass makes.
    seed : of all draws.

    Returns
    -------
    Ejected
        Possibly no star. Stars are dropped where the binary was too wide to throw any out as fast as the slowest kept.

    Raises
    ------
    ConfigError
        When span is not positive or count is negative.
    """
    rng = generator(seed)
    if not span > 0:
        raise ConfigError(f"span must be positive, got {span!r}")
    if count is not None and count < 0:
        raise ConfigError(f"count must not be negative, got {count}")
    total = int(rng.poisson(expected_ejected(scenario, stars, lives, span))) if count is None else count
    if scenario.ejected(span) <= 0:
        total = 0
    time = scenario.lookback_of_share(rng.random(total), span)
    separation = scenario.separation_then(time)
    separation = np.where(np.isfinite(separation), separation, 1e-3)
    speed = VelocityLaw(scenario.binary.circular_speed(separation), scenario.binary.ratio).ppf(rng.random(total))
    fe_h = np.round(rng.uniform(*stars.fe_h, total), 2)
    mass = _living_masses(stars, lives, total, rng)
    lifetime = lives.lifetime(mass, fe_h)
    fraction = rng.random(total) * np.minimum(1.0, stars.birth_span() / lifetime)
    found = Ejected(time, speed, isotropic(total, rng), mass, fe_h, fraction, lifetime)
    return found.take(np.isfinite(speed))


def _living_masses(stars: CenterStars, lives: Lifetimes, count: int, rng: np.random.Generator) -> Array:
    function = stars.mass_function
    low, high = function.cdf(np.array(stars.kept))
    if stars.ages == "lifetime":
        return function.ppf(low + (high - low) * rng.random(count))
    edges = np.geomspace(*stars.kept, 2001)
    middle = np.sqrt(edges[1:] * edges[:-1])
    weights = function.interval_weights(edges) * stars.alive(lives.lifetime(middle, np.zeros_like(middle)))
    at = np.concatenate([[0.0], np.cumsum(weights)]) / weights.sum()
    return np.interp(rng.random(count), at, edges)
