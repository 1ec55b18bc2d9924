"""Where and when stars are born, of what, and where they go: a chemical history of the disk with named parameters.

The forms are those of arXiv:1805.09198 (enrichment at each birth radius, inside-out growth, diffusion in radius) and of
arXiv:2005.03646 ([alpha/Fe] that falls from a high to a low sequence in a few Gyr). Radii, gradient and migration are
near those of the papers. The power of the enrichment and the numbers of [alpha/Fe] are a fit to the giants of
2021A&A...645A..85M (``benchmarks/fit_chemical_history.py``): medians and quartiles in bins of their ages, whose errors
the simulated stars got too. Nothing was tuned on what is later asked of the stars.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import ConfigError
from starloom.seeds import generator

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ChemicalHistory:
    """The history of a disk.

    Parameters
    ----------
    oldest : age of the disk, Gyr.
    star_formation_time : the star formation rate falls as exp(-time / this), Gyr.
    scale_length : of the star formation now, kpc.
    inside_out : the scale length was smaller by this share for each 8 Gyr ago.
    migration : standard deviation of the change of radius after 8 Gyr, kpc; it grows as the square root of age.
    fe_h_start : [Fe/H] at the beginning at radius 0, dex.
    fe_h_gradient : of the gas, dex/kpc.
    solar_radius : where the gas has [Fe/H] = 0 now, kpc.
    enrichment_power : [Fe/H] rises as (1 - age / oldest) to this power.
    fe_h_scatter : of stars born together, dex.
    alpha_high : [alpha/Fe] at the beginning, dex.
    alpha_low : [alpha/Fe] now at [Fe/H] = 0, dex.
    alpha_slope : of the low sequence with [Fe/H].
    alpha_age : age at half of the fall, Gyr.
    alpha_time : half of the duration of the fall, Gyr.
    alpha_scatter : dex.
    thickness : scale height of stars of 5 Gyr, kpc; it grows as (age / 5 Gyr) to ``thickness_power``.
    thickness_power : see there.
    """

    oldest: float = 12.5
    star_formation_time: float = 6.8
    scale_length: float = 3.0
    inside_out: float = 0.3
    migration: float = 3.6
    fe_h_start: float = -1.0
    fe_h_gradient: float = -0.075
    solar_radius: float = 8.7
    enrichment_power: float = 0.16
    fe_h_scatter: float = 0.04
    alpha_high: float = 0.25
    alpha_low: float = 0.02
    alpha_slope: float = -0.05
    alpha_age: float = 11.2
    alpha_time: float = 1.44
    alpha_scatter: float = 0.02
    thickness: float = 0.35
    thickness_power: float = 0.6

    def __post_init__(self) -> None:
        positive = ("oldest", "star_formation_time", "scale_length", "enrichment_power", "alpha_time", "thickness")
        for name in positive:
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be above 0, got {getattr(self, name)}")
        if self.inside_out * self.oldest >= 8.0:
            raise ConfigError("inside_out leaves no disk at the beginning; make it smaller")

    def fe_h(self, age: ArrayLike, birth_radius: ArrayLike) -> Floats:
        """[Fe/H] of the gas at an age (Gyr) and radius (kpc), dex (arXiv:1805.09198, section 3).

        Examples
        --------
        >>> print(f"{ChemicalHistory().fe_h(5.0, 8.7):.2f}")
        -0.13
        """
        grown = np.clip(1.0 - np.asarray(age, dtype=np.float64) / self.oldest, 0.0, 1.0) ** self.enrichment_power
        now = -self.fe_h_gradient * self.solar_radius
        return np.asarray(
            self.fe_h_start + (now - self.fe_h_start) * grown + self.fe_h_gradient * np.asarray(birth_radius)
        )

    def alpha_m(self, age: ArrayLike, fe_h: ArrayLike) -> Floats:
        """[alpha/M] at an age (Gyr) and [Fe/H], dex."""
        low = self.alpha_low + self.alpha_slope * np.asarray(fe_h, dtype=np.float64)
        share = 0.5 * (1.0 + np.tanh((np.asarray(age) - self.alpha_age) / self.alpha_time))
        return np.asarray(low + (self.alpha_high - low) * share)

    def born(self, count: int, seed: int | np.random.Generator) -> dict[str, Floats]:
        """Draw populations: age, birth_radius, galactic_radius, galactic_height, fe_h, alpha_m, each (count,)."""
        rng = generator(seed)
        uniform, time = rng.random(count), self.star_formation_time
        # density of ages exp(age / time) up to the oldest: the rate fell since
        age = time * np.log1p(uniform * np.expm1(self.oldest / time))
        length = self.scale_length * (1.0 - self.inside_out * age / 8.0)
        birth = length * rng.gamma(2.0, size=count)
        radius = np.abs(birth + self.migration * np.sqrt(age / 8.0) * rng.normal(size=count))
        height = self.thickness * (np.maximum(age, 0.1) / 5.0) ** self.thickness_power * rng.laplace(size=count)
        iron = self.fe_h(age, birth) + self.fe_h_scatter * rng.normal(size=count)
        alpha = self.alpha_m(age, iron) + self.alpha_scatter * rng.normal(size=count)
        return {
            "age": age, "birth_radius": birth, "galactic_radius": radius, "galactic_height": height, "fe_h": iron,
            "alpha_m": alpha,
        }  # fmt: skip


STANDARD = ChemicalHistory()
"""Enrichment with a gradient, and a fall of [alpha/Fe] 11 Gyr ago, as Kepler's giants have it."""

OTHER = ChemicalHistory(fe_h_gradient=-0.045, enrichment_power=0.9, alpha_high=0.24, alpha_age=6.0, alpha_time=3.0)
"""Slower enrichment, a flatter gradient, a slow fall of [alpha/Fe]; births and migration are those of STANDARD."""


def total_metallicity(fe_h: ArrayLike, alpha_m: ArrayLike) -> Floats:
    """[M/H] for which models of solar mixture stand in for stars with alpha elements (1993ApJ...414..580S, eq. 3).

    Examples
    --------
    >>> print(f"{total_metallicity(-0.5, 0.3):.3f}")
    -0.286
    """
    return np.asarray(np.asarray(fe_h) + np.log10(0.638 * 10.0 ** np.asarray(alpha_m, dtype=np.float64) + 0.362))


@dataclass(frozen=True)
class DredgeUp:
    """[C/N] at the surface: what a star was born with, and what the first dredge-up left of it.

    After the dredge-up ``[C/N] = floor + depth exp(-(mass - 1) / scale) + slope [M/H]``. The four numbers are a fit
    (0.006 dex rms, ages of 1 to 10 Gyr, [M/H] -0.5 to 0.2) to the relation of age, [M/H] and [C/N] of
    2015A&A...583A..87S at the masses that MIST gives to giants of that age. The change sets in between two surface
    gravities.

    Parameters
    ----------
    birth : [C/N] of unevolved stars at [M/H] = 0.
    birth_slope : with [M/H].
    floor, depth, scale, slope : of the relation after it; mass in Msun.
    begins, ends : log g between which it happens.
    scatter : of stars alike, dex.
    """

    birth: float = 0.0
    birth_slope: float = 0.0
    floor: float = -0.641
    depth: float = 0.418
    scale: float = 0.567
    slope: float = 0.071
    begins: float = 3.8
    ends: float = 3.2
    scatter: float = 0.03

    def after(self, mass: ArrayLike, m_h: ArrayLike) -> Floats:
        """[C/N] after the first dredge-up of a star of an initial mass (Msun) and [M/H]."""
        lost = self.floor + self.depth * np.exp(-(np.asarray(mass, dtype=np.float64) - 1.0) / self.scale)
        return np.asarray(lost + self.slope * np.asarray(m_h))

    def surface(self, mass: ArrayLike, m_h: ArrayLike, logg: ArrayLike, evolved: ArrayLike) -> Floats:
        """[C/N] now; ``evolved`` says which stars have left the main sequence."""
        before = self.birth + self.birth_slope * np.asarray(m_h, dtype=np.float64)
        done = np.clip((self.begins - np.asarray(logg)) / (self.begins - self.ends), 0.0, 1.0)
        done = np.where(np.asarray(evolved, dtype=bool), done**2 * (3.0 - 2.0 * done), 0.0)
        return np.asarray(before + done * (np.minimum(self.after(mass, m_h), before) - before))


def salaris_2015_age(c_n: ArrayLike, m_h: ArrayLike) -> Floats:
    """Age (Gyr) of a red giant past the first dredge-up from [C/N] and [M/H] (2015A&A...583A..87S).

    Examples
    --------
    >>> print(f"{salaris_2015_age(-0.3, 0.0):.2f}")
    7.75
    """
    c, m = np.asarray(c_n, dtype=np.float64), np.asarray(m_h, dtype=np.float64)
    return np.asarray(
        34.88 + 156.3 * c + 20.52 * m + 298.6 * c**2 + 78.16 * c * m + 7.82 * m**2 + 305.9 * c**3 + 85.02 * c**2 * m
        + 22.93 * c * m**2 + 0.8987 * m**3 + 141.1 * c**4 + 21.96 * c**3 * m + 16.14 * c**2 * m**2 + 1.447 * c * m**3
    )  # fmt: skip
