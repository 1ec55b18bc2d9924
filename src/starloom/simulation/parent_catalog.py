"""A catalog to select targets from: bright, fainter and nearby stars of a made Galaxy as Gaia, 2MASS and AllWISE see
them.

Stars bright in H, stars bright in G and stars nearby are drawn as three layers that do not overlap, each with its own
share of the rows; ``weight`` says how many stars of the Galaxy a row stands for, so that sums of weights are numbers of
stars whatever the shares.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.table import Column, MaskedColumn, QTable, vstack
from astropy.units import Quantity

from starloom.errors import ConfigError
from starloom.seeds import generator
from starloom.simulation.milky_way import Galaxy
from starloom.simulation.observing import AllWise, Gaia, TwoMass, observe
from starloom.simulation.space_cells import A_V_PER_EBV
from starloom.stellar.isochrones import Phase

FIRST_CATALOGID = 4_500_000_000_000_000_000
"""Made catalogids have 19 digits, as the longest real identifiers do."""


@dataclass(frozen=True)
class Layers:
    """How the parent catalog is made.

    Parameters
    ----------
    h_limit, g_limit : faintest H and G of the two layers by brightness.
    nearby : farthest distance of the nearby layer (kpc), down to ``nearby_g``.
    shares : of the rows, in the order H, G, nearby.
    """

    h_limit: float = 13.0
    g_limit: float = 17.0
    nearby: float = 0.15
    nearby_g: float = 20.0
    shares: tuple[float, float, float] = (0.6, 0.3, 0.1)


def parent_catalog(
    rows: int, *, seed: int | np.random.Generator, galaxy: Galaxy | None = None, layers: Layers | None = None
) -> QTable:
    """Draw a parent catalog.

    Parameters
    ----------
    rows : number of rows wanted.
    seed : of everything.
    galaxy : what is drawn from, with Gaia, 2MASS, WISE and TESS magnitudes.
    layers : which stars.

    Returns
    -------
    QTable
        The columns of ``starloom.simulation.observing`` for Gaia DR2, 2MASS and AllWISE, the truth, and ``catalogid``
        (19 digits), ``weight``, ``layer``, ``tmag``, ``tic_teff``, ``tic_logg``, ``tic_ebv``, ``r_est``, ``r_lo``
        (pc, from the parallax), ``pwd`` and ``g_gaia_mag`` (white dwarfs only).

    Raises
    ------
    ConfigError
        When fewer than ten rows are asked for or the shares do not fit.
    """
    made = layers or Layers()
    if rows < 10 or min(made.shares) <= 0 or abs(sum(made.shares) - 1.0) > 1e-9:
        raise ConfigError("a parent catalog needs ten rows or more, and shares above 0 that sum to 1")
    rng = generator(seed)
    space = galaxy or Galaxy()
    counts = np.round(rows * np.array(made.shares)).astype(int)
    counts[0] += rows - counts.sum()
    draws = (
        ("2mass_h", made.h_limit, None),
        ("gaia_g", made.g_limit, None),
        ("gaia_g", made.nearby_g, made.nearby),
    )
    parts = []
    for place, ((band, limit, far), wanted) in enumerate(zip(draws, counts, strict=True)):
        parts.append(_layer(space, place, band, limit, far, int(wanted), made, rng))
    stars = vstack(parts, metadata_conflicts="silent")
    stars = stars[rng.permutation(len(stars))]
    table = observe(stars, [Gaia("dr2"), TwoMass(), AllWise()], seed=rng)
    return _more(table, stars, rng)


def _layer(
    galaxy: Galaxy, place: int, band: str, limit: float, far: float | None, wanted: int, made: Layers,
    rng: np.random.Generator,
) -> QTable:  # fmt: skip
    """Stars of one layer that are in none before it."""
    kept: list[QTable] = []
    have, drawn, total = 0, 0, 0.0
    share = 1.0
    while have < wanted:
        batch = max(500, round((wanted - have) * share * 1.05))
        region = {} if far is None else {"distances": (0.003, far)}
        stars = galaxy.sample(batch, band, limit, seed=rng, **region)
        new = np.ones(len(stars), dtype=bool)
        if place >= 1:
            new &= stars["true_2mass_h"].value >= made.h_limit
        if place >= 2:
            new &= stars["true_gaia_g"].value >= made.g_limit
        good = np.flatnonzero(new)
        if have + len(good) > wanted:
            good = good[: wanted - have]
            used = int(good[-1]) + 1
        else:
            used = len(stars)
        total += float(stars.meta["weight"]) * len(stars) * used  # of the whole batch, though its last rows go
        drawn += used
        have += len(good)
        share = min(200.0, max(1.0, used / max(len(good), 1)))
        kept.append(stars[good])
        if drawn > 400 * wanted + 100_000:
            raise ConfigError(
                f"layer {place} of the parent catalog is nearly empty: {have} of {drawn} stars are new in it"
            )
    result = vstack(kept, metadata_conflicts="silent")
    population = total / drawn  # each batch estimates the same number: its weight times its stars
    result["weight"] = Column(np.full(len(result), population / drawn))
    result["layer"] = Column(np.full(len(result), place, dtype=np.int8))
    return result


def _more(table: QTable, stars: QTable, rng: np.random.Generator) -> QTable:
    count = len(table)
    table["catalogid"] = FIRST_CATALOGID + rng.permutation(count * 7)[:count].astype(np.int64)
    table["tmag"] = stars["true_tess"] + Quantity(rng.normal(0.0, 0.02, count), "mag")
    table["tic_teff"] = stars["teff"] * (1.0 + rng.normal(0.0, 0.02, count))
    table["tic_logg"] = Column(np.asarray(stars["logg"]) + rng.normal(0.0, 0.1, count))
    table["tic_ebv"] = stars["a_v"] / A_V_PER_EBV
    parallax, error = table["parallax"].value, table["parallax_error"].value
    with np.errstate(divide="ignore", invalid="ignore"):
        table["r_est"] = Quantity(np.where(parallax > 0, 1000.0 / parallax, np.nan), "pc")
        table["r_lo"] = Quantity(np.where(parallax > 0, 1000.0 / (parallax + error), np.nan), "pc")
    white = (np.asarray(stars["phase"]) == int(Phase.POST_AGB)) & (np.asarray(stars["logg"]) > 7.0)
    table["pwd"] = Column(np.where(white, rng.beta(8.0, 1.0, count), np.nan))
    table["g_gaia_mag"] = Quantity(np.where(white, table["phot_g_mean_mag"].value, np.nan), "mag")
    assert isinstance(table["source_id"], MaskedColumn)
    return table
