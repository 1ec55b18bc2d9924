"""Stars of a chemical history on their isochrones: a simulated Milky Way of ages, abundances and seismology.

Populations are drawn from a `ChemicalHistory`; each gives stars by a mass function along the isochrone of its age and
[M/H], weighted by the volume in which a survey sees them. What is made is a table of true values; `observe` measures
it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import ConfigError, FitError
from starloom.seeds import generator
from starloom.simulation.chemical_evolution import STANDARD, ChemicalHistory, DredgeUp, total_metallicity
from starloom.simulation.isochrone_draws import COLUMNS, draw_points
from starloom.stellar.isochrones import SUN_DELTA_NU, SUN_NU_MAX, SUN_TEFF_SEISMIC, Phase

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.stellar.isochrone_grids import IsochroneGrid
    from starloom.stellar.photometry import BolometricCorrections

Floats = NDArray[np.float64]
Stages = Literal["all", "giants", "red_clump"]

FIRST_EEP, LAST_EEP = 202, 807  # from the zero-age main sequence to the end of the early AGB in MIST's numbering
POOL = 50_000
FEWEST_ROUNDS = 10  # after which a selection that gave less than a star a round is called empty
SUN_RADIUS = 8.2  # kpc from the center
SUN_METALS = 0.017  # share of the mass, as in the paper of the red clump


@dataclass(frozen=True)
class SurveySelection:
    """Which stars a survey has.

    Parameters
    ----------
    teff : lowest and highest effective temperature, K.
    volume_power : the volume in which a star is bright enough grows as its luminosity to this power; 1 in a disk that
        is thinner than the survey is deep, 3/2 in a sphere.
    reach : standard deviation of the survey in Galactic radius about the Sun, kpc.
    heights : lowest and highest distance from the plane, kpc; a field out of the plane has few of the youngest stars.
    lowest_logg : the coolest giants are left out as APOGEE's pipeline has no labels there.
    color_cut : the red clump is cut in color too, see `red_clump`.
    """

    teff: tuple[float, float] = (3700.0, 7000.0)
    volume_power: float = 1.0
    reach: float = 3.0
    heights: tuple[float, float] = (0.0, np.inf)
    lowest_logg: float = 0.5
    color_cut: bool = True


KEPLER = SurveySelection(heights=(0.1, 0.7))
"""Giants as in Kepler's field, at 6 to 20 degrees: 96 % of those of 2021A&A...645A..85M lie at 0.11 to 0.70 kpc."""


@cache
def mist() -> IsochroneGrid:
    """The MIST grid of the dataset ``isochrone_grids``.

    Raises
    ------
    DatasetError
        When it cannot be had.
    """
    from starloom.datasets.access import locate
    from starloom.stellar.isochrone_grids import IsochroneGrid

    return IsochroneGrid.open(locate("isochrone_grids", "mist").path)


def simulate(
    count: int,
    seed: int | np.random.Generator,
    *,
    history: ChemicalHistory = STANDARD,
    dredge_up: DredgeUp = DredgeUp(),  # noqa: B008  (frozen)
    selection: SurveySelection = SurveySelection(),
    stages: Stages = "all",
    grid: IsochroneGrid | None = None,
) -> QTable:
    """Draw stars of a simulated Milky Way.

    Parameters
    ----------
    count : stars wanted.
    seed : of the draw.
    history, dredge_up, selection : of the Galaxy, of [C/N], of the survey.
    stages : ``all``; ``giants``: log g below 3.5; ``red_clump``: core helium burning and inside of
        `red_clump`, with colors of the dataset ``bolometric_corrections``. The temperatures of MIST's giants are not
        APOGEE's, so that this region alone would let in other giants (a third, where it is 5 % in APOGEE); the phase
        stands for the seismology that tells them apart.
    grid : isochrones; MIST by default.

    Returns
    -------
    QTable
        ``source_id``, ``age``, ``mass`` (now), ``initial_mass``, ``fe_h``, ``alpha_m``, ``c_n``, ``teff``, ``logg``,
        ``log_l``, ``radius``, ``nu_max``, ``delta_nu`` (uHz), ``evolutionary_state`` (0 main sequence and subgiants,
        1 red giant branch, 2 core helium burning, 3 asymptotic giant branch), ``phase``, ``birth_radius``,
        ``galactic_radius``, ``galactic_height``: true values.

    Raises
    ------
    ConfigError
        When the count is not positive or the stages are unknown.
    FitError
        When the selection leaves next to no stars.
    """
    if count < 1:
        raise ConfigError(f"at least one star has to be drawn, not {count}")
    if stages not in ("all", "giants", "red_clump"):
        raise ConfigError(f"stages are all, giants or red_clump, not {stages!r}")
    rng, chosen = generator(seed), grid or mist()
    pieces: list[dict[str, Floats]] = []
    have = 0
    rounds = 0
    while True:
        rounds += 1
        piece = _round(rng, history, dredge_up, selection, stages, chosen)
        pieces.append(piece)
        have += len(piece["age"])
        if have >= count:
            joined = {name: np.concatenate([part[name] for part in pieces])[:count] for name in pieces[0]}
            return _table(joined, rng)
        if rounds >= FEWEST_ROUNDS and have < rounds:
            raise FitError(f"{rounds * POOL} populations gave {have} stars: the selection leaves next to none")


def _round(
    rng: np.random.Generator, history: ChemicalHistory, dredge_up: DredgeUp, selection: SurveySelection, stages: Stages,
    grid: IsochroneGrid,
) -> dict[str, Floats]:  # fmt: skip
    born = history.born(POOL, rng)
    m_h = total_metallicity(born["fe_h"], born["alpha_m"])
    near = rng.random(POOL) < np.exp(-0.5 * ((born["galactic_radius"] - SUN_RADIUS) / selection.reach) ** 2)
    height = np.abs(born["galactic_height"])
    near &= (height >= selection.heights[0]) & (height <= selection.heights[1])
    low, high = grid.fe_h_range
    usable = np.flatnonzero(near & (m_h > max(low, -2.0)) & (m_h < high) & (born["age"] > 0.1))
    born, m_h = {name: values[usable] for name, values in born.items()}, m_h[usable]
    latest_logg = 3.5 if stages != "all" else np.inf
    phase = int(Phase.CORE_HELIUM_BURNING) if stages == "red_clump" else -1
    points, kept = draw_points(
        grid, born["age"], m_h, rng, eep=(FIRST_EEP, LAST_EEP), teff=selection.teff,
        logg=(selection.lowest_logg, latest_logg), phase=phase, volume_power=selection.volume_power,
    )  # fmt: skip
    stars = {name: values[kept] for name, values in born.items()}
    m_h = m_h[kept]
    for place, name in enumerate(COLUMNS):
        stars[name] = points[:, place]
    left = stars["phase"] >= Phase.GIANT_BRANCH
    stars["c_n"] = dredge_up.surface(stars["initial_mass"], m_h, stars["logg"], left)
    stars["c_n"] += dredge_up.scatter * rng.normal(size=len(m_h))
    if stages == "red_clump":
        color = _color(stars["teff"], stars["logg"], m_h) if selection.color_cut else None
        chosen = red_clump(stars["teff"], stars["logg"], stars["fe_h"], color, m_h)
        stars = {name: values[chosen] for name, values in stars.items()}
    return stars


@cache
def _corrections() -> BolometricCorrections:
    from starloom.datasets.access import locate
    from starloom.stellar.photometry import BolometricCorrections

    return BolometricCorrections.open(locate("bolometric_corrections", "tables").path)


def _color(teff: Floats, logg: Floats, m_h: Floats) -> Floats:
    """J - Ks without reddening, mag."""
    found = _corrections().corrections(teff, logg, m_h, ["2mass_j", "2mass_ks"])
    return np.asarray(found[:, 1] - found[:, 0])


def red_clump(
    teff: ArrayLike, logg: ArrayLike, fe_h: ArrayLike, color: ArrayLike | None = None, m_h: ArrayLike | None = None
) -> NDArray[np.bool_]:
    """Which stars lie in the region of APOGEE's red clump (2014ApJ...790..127B).

    The cut in color and metallicity leaves out the secondary clump, helium burning stars that are heavier than about
    1.8 Msun and not of the clump's luminosity: next to none is left between 0.5 and 1.2 Gyr.

    Parameters
    ----------
    teff, logg, fe_h : K and dex (n,).
    color : J - Ks without reddening, mag; None leaves that cut out.
    m_h : total metallicity, dex; [Fe/H] by default.

    Examples
    --------
    >>> red_clump([4800.0, 4800.0], [2.4, 2.4], [0.0, 0.0], [0.62, 0.53]).tolist()
    [True, False]
    """
    heat, gravity, iron = (np.asarray(part, dtype=np.float64) for part in (teff, logg, fe_h))
    edge = 0.0018 * (heat - (-382.5 * iron + 4607.0)) + 2.5
    inside = (gravity >= 1.8) & (gravity <= edge)
    if color is not None:
        red, metals = (
            np.asarray(color, dtype=np.float64),
            SUN_METALS * 10.0 ** (iron if m_h is None else np.asarray(m_h)),
        )
        inside &= (red > 0.5) & (red < 0.8) & (metals <= 0.06)
        inside &= (metals > 1.21 * (red - 0.05) ** 9 + 0.0011) & (metals < 2.58 * (red - 0.40) ** 3 + 0.0034)
    return np.asarray(inside)


def _table(stars: dict[str, Floats], rng: np.random.Generator) -> QTable:
    import astropy.units as u
    from astropy.table import QTable

    phase, logg = stars["phase"].astype(np.int64), stars["logg"]
    state = np.where((phase == Phase.GIANT_BRANCH) & (logg < 3.5), 1, 0)
    state = np.where(phase == Phase.CORE_HELIUM_BURNING, 2, np.where(phase > Phase.CORE_HELIUM_BURNING, 3, state))
    mass, radius, teff = stars["star_mass"], stars["radius"], stars["teff"]
    table = QTable()
    table["source_id"] = np.arange(len(mass), dtype=np.int64) + (np.int64(rng.integers(1, 2**30)) << np.int64(32))
    table["age"] = stars["age"] * u.Gyr
    table["mass"], table["initial_mass"] = mass * u.Msun, stars["initial_mass"] * u.Msun
    for name in ("fe_h", "alpha_m", "c_n"):
        table[name] = stars[name]
    table["teff"] = teff * u.K
    table["logg"], table["log_l"] = logg, stars["log_l"]
    table["radius"] = radius * u.Rsun
    # scaling relations, as in starloom.stellar.isochrones.Isochrone.asteroseismology
    table["nu_max"] = SUN_NU_MAX * mass / radius**2 / np.sqrt(teff / SUN_TEFF_SEISMIC) * u.uHz
    table["delta_nu"] = SUN_DELTA_NU * np.sqrt(mass / radius**3) * u.uHz
    table["evolutionary_state"], table["phase"] = state, phase
    for name in ("birth_radius", "galactic_radius", "galactic_height"):
        table[name] = stars[name] * u.kpc
    table.meta["simulated"] = True
    return table


@dataclass(frozen=True)
class Instrument:
    """Typical standard errors of what is measured; those of a star are larger or smaller by one factor.

    Parameters
    ----------
    teff : K.
    logg, log_l, fe_h, alpha_m, c_n : dex.
    nu_max, delta_nu : relative.
    spread : scatter of the natural logarithm of a star's factor.
    """

    teff: float = 30.0
    logg: float = 0.04
    log_l: float = 0.04
    fe_h: float = 0.02
    alpha_m: float = 0.015
    c_n: float = 0.04
    nu_max: float = 0.012
    delta_nu: float = 0.008
    spread: float = 0.4


RELATIVE = ("nu_max", "delta_nu")
MEASURED = ("teff", "logg", "log_l", "fe_h", "alpha_m", "c_n", *RELATIVE)


def observe(stars: QTable, seed: int | np.random.Generator, instrument: Instrument = Instrument()) -> QTable:
    """Measure simulated stars: noisy columns with ``_error``, the true ones kept as ``true_*``.

    ``nu_max`` and ``delta_nu`` are given only where Kepler's long cadence shows them, 4 < nu_max < 250 uHz, and are NaN
    elsewhere.
    """
    import astropy.units as u

    from starloom.catalog.schema import plain

    rng, table = generator(seed), stars.copy()
    factor = np.exp(instrument.spread * rng.normal(size=len(table)))
    oscillating = (table["nu_max"].value > 4.0) & (table["nu_max"].value < 250.0)
    for name in MEASURED:
        true = table[name]
        sigma: Floats = getattr(instrument, name) * factor
        if name in RELATIVE:
            sigma = sigma * plain(table, name)
        values = plain(table, name) + sigma * rng.normal(size=len(table))
        if name in RELATIVE:
            values[~oscillating] = sigma[~oscillating] = np.nan
        unit = getattr(true, "unit", None) or u.dimensionless_unscaled
        table[f"true_{name}"] = true
        for column, numbers in ((name, values), (f"{name}_error", sigma)):
            table[column] = numbers * unit if unit != u.dimensionless_unscaled else numbers
    return table
