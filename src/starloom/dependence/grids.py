"""A fitted map on a grid of its covariates, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from starloom.dependence.bands import bands
from starloom.errors import ConfigError

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.dependence.conditional import FittedConditionalMap

MOST_PLACES = 1_000_000


def map_on_grid(
    fitted: FittedConditionalMap,
    names: Sequence[str],
    *,
    points: int = 25,
    refits: int = 100,
    seed: int | np.random.Generator = 1,
) -> QTable:
    """Values, bands and effective counts on a grid between the ends of the knots.

    Parameters
    ----------
    fitted : a map of splines.
    names : of its covariates.
    points : places along each covariate.
    refits : of the bootstrap; below 2 there are no bands.
    seed : of it.

    Returns
    -------
    QTable
        One row a place: the covariates, ``value``, ``effective_count``, and with bands ``error``, ``low_68``,
        ``high_68``, ``low_95``, ``high_95``. Values are NaN where too few rows lie.

    Raises
    ------
    ConfigError
        When the names are not as many as the covariates, or the grid has more than a million places.
    """
    from astropy.table import QTable

    basis = fitted.need_splines().basis
    if len(names) != len(basis.low):
        raise ConfigError(f"the map has {len(basis.low)} covariates, and {len(names)} names were given")
    if points ** len(names) > MOST_PLACES:
        raise ConfigError(f"{points} places along {len(names)} covariates are too many: ask for fewer points")
    axes = [np.linspace(low, high, points) for low, high in zip(basis.low, basis.high, strict=True)]
    places = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    table = QTable(dict(zip(names, places.T, strict=True)))
    if refits < 2:
        table["value"] = fitted.predict(places)
    else:
        found = bands(fitted, places, refits=refits, seed=seed)
        table["value"], table["error"] = found.value, found.error
        for index, level in enumerate(found.levels):
            table[f"low_{100 * level:.0f}"] = found.low[index]
            table[f"high_{100 * level:.0f}"] = found.high[index]
    table["effective_count"] = fitted.effective_counts(places)
    return table
