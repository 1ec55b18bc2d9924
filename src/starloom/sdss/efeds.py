"""The compilation of the eFEDS field: for each X-ray source its counterpart, and of all spectra the best redshift.

As in the value-added catalog of DR18 (arXiv:2301.07688): redshifts of many surveys are gathered at each counterpart,
each with a normalized quality NORMQ (3 secure, 2 not secure, 1 bad, -1 a blazar candidate without redshift), and the
best one is taken by quality, then by the rank of its catalog.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from starloom.errors import CatalogError, ConfigError, MissingColumnError

if TYPE_CHECKING:
    from astropy.table import QTable

SECURE = 3
RADIUS = 1.0
"""How far from a counterpart a spectrum may be (arcsec)."""


def _need(table: QTable, names: Sequence[str], label: str) -> None:
    if lost := [name for name in names if name not in table.colnames]:
        raise MissingColumnError(f"{label} lacks the columns {', '.join(lost)}")


def best_counterparts(candidates: QTable, source: str = "ero_id", *, least: float = 0.1) -> QTable:
    """The best counterpart of each X-ray source.

    Parameters
    ----------
    candidates : one row a pair of source and counterpart: the ``source`` column, ``p_any`` (probability that the source
        has a counterpart at all) and ``p_i`` (that it is this one).
    source : column that names the X-ray source.
    least : sources with a smaller ``p_any`` are kept with ``reliable`` false.

    Returns
    -------
    QTable
        One row a source with the largest ``p_i`` (the first of equals), the number of ``candidates``, ``reliable``.
    """
    _need(candidates, [source, "p_any", "p_i"], "the table of counterparts")
    if len(candidates) == 0:
        raise CatalogError("the table of counterparts has no rows")
    _, group = np.unique(np.asarray(candidates[source]), return_inverse=True)
    probability = np.nan_to_num(np.asarray(candidates["p_i"], dtype=float), nan=-1.0)
    order = np.lexsort((np.arange(len(group)), -probability, group))
    first = order[np.flatnonzero(np.diff(group[order], prepend=-1))]
    result = candidates[first]
    result["candidates"] = np.bincount(group)[group[first]]
    result["reliable"] = np.asarray(candidates["p_any"], dtype=float)[first] > least
    return result


def normalized_quality(z_warning: NDArray[np.int64], inspected: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """NORMQ of SDSS spectra: the inspected quality where there is one (0 to 3), else 3 without and 1 with a warning."""
    quality = np.where(np.asarray(z_warning) == 0, SECURE, 1)
    if inspected is not None:
        seen = np.asarray(inspected)
        if ((seen > 3) | (seen < -1)).any():
            raise ConfigError("inspected qualities are -1 to 3, with 0 for not inspected")
        quality = np.where(seen != 0, seen, quality)
    return np.asarray(quality, dtype=np.int64)


def best_redshifts(counterparts: QTable, spectra: QTable, ranks: Sequence[str], *, radius: float = RADIUS) -> QTable:
    """The best redshift of each counterpart.

    Parameters
    ----------
    counterparts : ``ra``, ``dec``.
    spectra : ``ra``, ``dec``, ``z``, ``normq``, ``catalog`` (and ``z_class`` where there is one), of all surveys
        together.
    ranks : the catalogs, the most trusted first; a catalog that is not named comes last.
    radius : of the match (arcsec).

    Returns
    -------
    QTable
        The counterparts with ``z`` (NaN for none), ``normq``, ``z_catalog``, ``z_class``, ``n_spectra`` within the
        radius, ``n_agreeing`` (secure ones within 0.02 (1 + z) of the best), ``separation`` (arcsec).
    """
    import astropy.units as u
    from astropy.coordinates import SkyCoord, search_around_sky

    _need(counterparts, ["ra", "dec"], "the table of counterparts")
    _need(spectra, ["ra", "dec", "z", "normq", "catalog"], "the table of spectra")
    if not radius > 0:
        raise ConfigError(f"the radius must be above 0, not {radius}")
    sky = [SkyCoord(_degrees(table, "ra"), _degrees(table, "dec"), unit="deg") for table in (counterparts, spectra)]
    left, right, separation, _ = search_around_sky(sky[0], sky[1], radius * u.arcsec)
    catalogs = np.asarray(spectra["catalog"]).astype(str)
    place = {name: k for k, name in enumerate(ranks)}
    rank = np.array([place.get(name, len(ranks)) for name in catalogs])
    z, quality = np.asarray(spectra["z"], dtype=float), np.asarray(spectra["normq"], dtype=np.int64)
    usable = np.isfinite(z[right]) & (quality[right] > 0)
    order = np.lexsort((separation.arcsec, rank[right], -quality[right], ~usable, left))
    first = order[np.flatnonzero(np.diff(left[order], prepend=-1))]
    first = first[usable[first]]
    count = len(counterparts)
    best = np.full(count, -1)
    best[left[first]] = right[first]
    has = best >= 0
    chosen = np.where(has, z[best], np.nan)
    agree = usable & (quality[right] == SECURE) & (np.abs(z[right] - chosen[left]) < 0.02 * (1.0 + chosen[left]))
    away = np.full(count, np.nan)
    away[left[first]] = separation.arcsec[first]
    result = counterparts.copy()
    result["z"] = chosen
    result["normq"] = np.where(has, quality[best], 0)
    result["z_catalog"] = np.where(has, catalogs[best], "")
    classes = np.asarray(spectra["z_class"]).astype(str) if "z_class" in spectra.colnames else np.full(len(spectra), "")
    result["z_class"] = np.where(has, classes[best], "") if len(classes) else np.full(count, "")
    result["n_spectra"] = np.bincount(left, minlength=count)
    result["n_agreeing"] = np.bincount(left[agree], minlength=count)
    result["separation"] = away * u.arcsec
    return result


def _degrees(table: QTable, name: str) -> NDArray[np.float64]:
    from starloom.catalog.schema import plain

    return plain(table, name, "deg")
