"""A made Galaxy whose correlation of age and metallicity is known everywhere.

Each sequence is normal in (ln age, [Fe/H]) at every place, with means and a correlation that change with radius and
height. What all stars together show follows from the two by their shares.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from starloom.seeds import generator

if TYPE_CHECKING:
    from astropy.table import QTable
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

LENGTHS = ((3.2, 0.30), (2.2, 0.85))  # kpc: scale length and height of the low- and the high-alpha disk
HIGH_SHARE = 0.25  # of the stars in the survey
LARGEST = (20.0, 2.0)


@dataclass(frozen=True)
class LocalSequence:
    """Means, widths and correlation of (ln age, [Fe/H]) of one sequence at places, each (n,)."""

    ln_age: Floats
    ln_age_width: Floats
    fe_h: Floats
    fe_h_width: Floats
    rho: Floats


def sequence(high: bool, radius: ArrayLike, height: ArrayLike) -> LocalSequence:
    """One sequence at Galactic radius and height, kpc: flat where orbits are cold, falling with age where hot."""
    r, z = np.asarray(radius, dtype=np.float64), np.abs(np.asarray(height, dtype=np.float64))
    one = np.ones(np.broadcast(r, z).shape)
    if high:
        rho = -0.45 - 0.10 * np.exp(-((r / 6.0) ** 2)) + 0.05 * np.minimum(z / 2.0, 1.0)
        return LocalSequence(np.log(9.5) * one, 0.18 * one, -0.40 - 0.01 * (r - 8.0) - 0.05 * z, 0.24 * one, rho * one)
    rho = -0.05 - 0.30 * np.exp(-((r / 4.0) ** 2)) - 0.20 * np.minimum(z / 2.0, 1.0)
    ln_age = np.log(4.5) + 0.25 * np.minimum(z, 1.5) - 0.02 * (r - 8.0)
    return LocalSequence(ln_age * one, 0.50 * one, -0.05 - 0.055 * (r - 8.0) - 0.10 * z, 0.20 * one, rho * one)


def share_of_high(radius: ArrayLike, height: ArrayLike) -> Floats:
    """The share of high-alpha stars at places."""
    r, z = np.asarray(radius, dtype=np.float64), np.abs(np.asarray(height, dtype=np.float64))
    parts = [
        share * np.exp(-r / length - z / scale) / (length**2 * scale)
        for share, (length, scale) in zip((1.0 - HIGH_SHARE, HIGH_SHARE), LENGTHS, strict=True)
    ]
    return np.asarray(parts[1] / (parts[0] + parts[1]))


def galaxy(stars: int, seed: int | np.random.Generator, *, age_error: float = 0.0, fe_h_error: float = 0.0) -> QTable:
    """Stars of the made Galaxy, in the columns of ``starloom.disk.schema.AGES``, with the truth ``high_alpha``.

    Parameters
    ----------
    stars : how many.
    seed : of the draw.
    age_error, fe_h_error : relative error of the ages, and error of [Fe/H] in dex, put on the stars and written beside.
    """
    from astropy import units as u
    from astropy.table import QTable

    rng = generator(seed)
    high = rng.random(stars) < HIGH_SHARE
    # exponential disks seen by a survey that sits at the Sun: radii spread around it, heights as they are
    radius, height = np.empty(stars), np.empty(stars)
    todo = np.arange(stars)
    while len(todo):
        r = rng.gamma(2.0, 1.0, len(todo)) * np.where(high[todo], LENGTHS[1][0], LENGTHS[0][0])
        z = rng.laplace(size=len(todo)) * np.where(high[todo], LENGTHS[1][1], LENGTHS[0][1])
        seen = 0.25 + 0.75 * np.exp(-0.5 * ((r - 8.2) / 3.5) ** 2)
        good = (r < LARGEST[0]) & (np.abs(z) < LARGEST[1]) & (rng.random(len(todo)) < seen)
        radius[todo[good]], height[todo[good]] = r[good], z[good]
        todo = todo[~good]
    first, second = rng.normal(size=(2, stars))
    places = [sequence(kind, radius, height) for kind in (False, True)]
    age, iron, rho, age_width, iron_width = (
        np.where(high, getattr(places[1], name), getattr(places[0], name))
        for name in ("ln_age", "fe_h", "rho", "ln_age_width", "fe_h_width")
    )
    ln_age = age + age_width * first
    fe_h = iron + iron_width * (rho * first + np.sqrt(1.0 - rho**2) * second)
    alpha = np.where(high, 0.26 - 0.20 * np.maximum(fe_h + 0.55, 0.0), 0.035 - 0.09 * fe_h)
    alpha = alpha + rng.normal(0.0, 0.028, stars)
    years = np.exp(ln_age)
    warm = np.exp((np.minimum(years, 13.0) - 4.5) / 8.0 + (8.0 - radius) / 8.0)
    scale = np.where(high, 70.0, 14.0 * warm)
    table = QTable(
        {
            "age": years * (1.0 + age_error * rng.normal(size=stars)) * u.Gyr,
            "fe_h": fe_h + fe_h_error * rng.normal(size=stars),
            "alpha_m": alpha,
            "galactic_radius": radius * u.kpc,
            "galactic_height": height * u.kpc,
            "action_r": rng.exponential(scale) * u.kpc * u.km / u.s,
            "high_alpha": high,
        }
    )
    if age_error:
        table["age_error"] = np.abs(table["age"]) * age_error
    if fe_h_error:
        table["fe_h_error"] = np.full(stars, fe_h_error)
    return table


def true_correlation(
    radius: ArrayLike, height: ArrayLike, which: str, margins: tuple[object, object] | None = None, draws: int = 4096
) -> Floats:
    """The true rho(age, [Fe/H] | place), shape of the places.

    Parameters
    ----------
    radius, height : kpc, broadcast.
    which : ``all``, ``low`` or ``high``.
    margins : the distributions of ln age and [Fe/H] (``Margin``) by which a map of normal scores was ranked; None for
        the correlation of (ln age, [Fe/H]) themselves, which is exact.
    draws : normal pairs a sequence and place, evenly spread, for the former.
    """
    from scipy.special import ndtri
    from scipy.stats import qmc

    r, z = np.broadcast_arrays(np.asarray(radius, dtype=np.float64), np.asarray(height, dtype=np.float64))
    kinds = {"all": (False, True), "low": (False,), "high": (True,)}[which]
    share = share_of_high(r, z)
    weights = [share if kind else 1.0 - share for kind in kinds] if which == "all" else [np.ones(r.shape)]
    sums = np.zeros((6, *r.shape))
    normal = ndtri(np.clip(qmc.Sobol(2, seed=1).random(draws), 1e-9, 1 - 1e-9)).T
    for kind, weight in zip(kinds, weights, strict=True):
        place = sequence(kind, r, z)
        for index in np.ndindex(r.shape):
            first, second = normal
            rho = place.rho[index]
            if margins is None:
                x, y = place.ln_age[index], place.fe_h[index]
                v, w = place.ln_age_width[index] ** 2, place.fe_h_width[index] ** 2
                moments = (1.0, x, y, v + x * x, w + y * y, rho * np.sqrt(v * w) + x * y)
            else:
                ages = place.ln_age[index] + place.ln_age_width[index] * first
                irons = place.fe_h[index] + place.fe_h_width[index] * (rho * first + np.sqrt(1 - rho**2) * second)
                a = ndtri(margins[0].ranks(ages))  # type: ignore[attr-defined]
                b = ndtri(margins[1].ranks(irons))  # type: ignore[attr-defined]
                moments = (1.0, a.mean(), b.mean(), (a * a).mean(), (b * b).mean(), (a * b).mean())
            sums[(slice(None), *index)] += weight[index] * np.array(moments)
    n, x, y, xx, yy, xy = sums
    mean_x, mean_y = x / n, y / n
    return np.asarray((xy / n - mean_x * mean_y) / np.sqrt((xx / n - mean_x**2) * (yy / n - mean_y**2)))
