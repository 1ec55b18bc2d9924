"""Named quality cuts that say what each of them removed, and why each row went.

A cut keeps the rows for which its condition is known to hold: where a value that it looks at is missing, the row goes,
unless the cut says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from starloom.catalog.schema import plain
from starloom.errors import CatalogError, MissingColumnError


@dataclass(frozen=True)
class Cut:
    """One quality cut.

    Parameters
    ----------
    name : short name, written beside every row that it removes.
    meaning : what is kept and why, in words.
    keep : takes a table and gives (n,) booleans, True for the rows kept.
    """

    name: str
    meaning: str
    keep: Callable[[QTable], NDArray[np.bool_]]


def apply_cuts(table: QTable, cuts: Sequence[Cut]) -> tuple[NDArray[np.bool_], QTable]:
    """Apply cuts in order and count what each removed.

    Parameters
    ----------
    table : table of n rows.
    cuts : the cuts, each name once.

    Returns
    -------
    kept : ndarray
        (n,) booleans, True for rows that pass every cut.
    report : QTable
        A row for each cut: ``name``, ``meaning``, ``removed_alone`` (rows that it removes on its own),
        ``removed_in_order`` (rows that it removes of those left by the cuts before it), ``kept`` (rows left after it).

    Raises
    ------
    MissingColumnError
        When a cut looks at a column that the table does not have.
    CatalogError
        When two cuts have one name or a cut gives no boolean for each row.

    Examples
    --------
    >>> table = QTable({"ruwe": [1.0, 2.5, np.nan]})
    >>> kept, report = apply_cuts(table, [ruwe_below(1.4)])
    >>> kept.tolist(), report["removed_in_order"].tolist()
    ([True, False, False], [2])
    """
    passes = _evaluate(table, cuts)
    kept = np.ones(len(table), dtype=bool)
    alone, in_order, left = [], [], []
    for good in passes:
        alone.append(int((~good).sum()))
        in_order.append(int((kept & ~good).sum()))
        kept = kept & good
        left.append(int(kept.sum()))
    report = QTable()
    report["name"] = np.array([cut.name for cut in cuts], dtype=np.str_)
    report["meaning"] = np.array([cut.meaning for cut in cuts], dtype=np.str_)
    for name, counts in (("removed_alone", alone), ("removed_in_order", in_order), ("kept", left)):
        report[name] = np.array(counts, dtype=np.int64)
    return kept, report


def reasons(table: QTable, cuts: Sequence[Cut]) -> NDArray[np.str_]:
    """For each row the name of the first cut that removed it; empty where it was kept.

    Parameters
    ----------
    table : table of n rows.
    cuts : the cuts, each name once.

    Returns
    -------
    ndarray
        (n,) texts.
    """
    passes = _evaluate(table, cuts)
    longest = max((len(cut.name) for cut in cuts), default=1)
    result = np.zeros(len(table), dtype=f"U{longest}")
    for cut, good in zip(reversed(cuts), reversed(passes), strict=True):
        result[~good] = cut.name
    return result


def _evaluate(table: QTable, cuts: Sequence[Cut]) -> list[NDArray[np.bool_]]:
    names = [cut.name for cut in cuts]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise CatalogError(f"more than one quality cut has the name {', '.join(twice)}; give each its own")
    passes = []
    for cut in cuts:
        try:
            good = np.asarray(cut.keep(table))
        except MissingColumnError as error:
            raise MissingColumnError(f"the quality cut '{cut.name}' cannot be made: {error}") from error
        if good.shape != (len(table),) or good.dtype != bool:
            found = f"{good.dtype} of shape {good.shape}"
            raise CatalogError(f"the quality cut '{cut.name}' gave {found}; it must give {len(table)} booleans")
        passes.append(good)
    return passes


def finite(*columns: str) -> Cut:
    """Keep rows where every one of these columns has a finite value."""
    if not columns:
        raise CatalogError("the cut on finite values needs the name of at least one column")

    def keep(table: QTable) -> NDArray[np.bool_]:
        return np.asarray(np.logical_and.reduce([np.isfinite(plain(table, name)) for name in columns]))

    names = ", ".join(columns)
    return Cut(f"finite {names}", f"{names} measured", keep)


def below(column: str, limit: float, *, missing: bool = False) -> Cut:
    """Keep rows where a column is below a limit, in its own unit; ``missing`` says what becomes of missing values."""

    def keep(table: QTable) -> NDArray[np.bool_]:
        values = plain(table, column)
        return np.where(np.isnan(values), missing, values < limit)

    return Cut(f"{column} < {limit:g}", f"{column} below {limit:g}", keep)


def above(column: str, limit: float, *, missing: bool = False) -> Cut:
    """Keep rows where a column is above a limit, in its own unit; ``missing`` says what becomes of missing values."""

    def keep(table: QTable) -> NDArray[np.bool_]:
        values = plain(table, column)
        return np.where(np.isnan(values), missing, values > limit)

    return Cut(f"{column} > {limit:g}", f"{column} above {limit:g}", keep)


def ruwe_below(limit: float = 1.4) -> Cut:
    """Keep sources whose astrometry a single star explains: RUWE below 1.4.

    The renormalized unit weight error is 1 for a good solution; 1.4 is the limit of the Gaia technical note
    GAIA-C3-TN-LU-LL-124-01 (L. Lindegren, 2018).
    """
    cut = below("ruwe", limit)
    return Cut(cut.name, f"astrometric solution of a single star (RUWE below {limit:g})", cut.keep)


def parallax_significance_above(limit: float) -> Cut:
    """Keep sources whose parallax is more than ``limit`` times its error."""
    return Cut(
        f"parallax_over_error > {limit:g}",
        f"parallax more than {limit:g} times its error",
        lambda table: _parallax_over_error(table) > limit,
    )


def parallax_significance_below(limit: float) -> Cut:
    """Keep sources whose parallax is less than ``limit`` times its error: those that may be far away."""
    return Cut(
        f"parallax_over_error < {limit:g}",
        f"parallax less than {limit:g} times its error",
        lambda table: _parallax_over_error(table) < limit,
    )


def _parallax_over_error(table: QTable) -> NDArray[np.float64]:
    if "parallax_over_error" in table.colnames:
        return plain(table, "parallax_over_error")
    error = plain(table, "parallax_error")
    return plain(table, "parallax") / np.where(error > 0, error, np.nan)


def corrected_flux_excess(bp_rp: NDArray[np.floating], excess_factor: NDArray[np.floating]) -> NDArray[np.float64]:
    """Corrected BP/RP flux excess factor C* of Gaia (E)DR3: near 0 for an isolated star of any color.

    Riello et al. 2021 (arXiv:2012.01916), equation 6 and table 2.

    Parameters
    ----------
    bp_rp : (n,) color, mag.
    excess_factor : (n,) ``phot_bp_rp_excess_factor``.

    Returns
    -------
    ndarray
        (n,) C*; NaN where an input is.

    Examples
    --------
    >>> corrected_flux_excess(np.array([0.0]), np.array([1.15436])).round(6)
    array([0.])
    """
    color = np.asarray(bp_rp, dtype=float)
    blue = np.polynomial.polynomial.polyval(color, (1.154360, 0.033772, 0.032277))
    middle = np.polynomial.polynomial.polyval(color, (1.162004, 0.011464, 0.049255, -0.005879))
    red = np.polynomial.polynomial.polyval(color, (1.057572, 0.140537))
    expected = np.where(color < 0.5, blue, np.where(color < 4.0, middle, red))
    return np.asarray(np.asarray(excess_factor, dtype=float) - expected)


def flux_excess_scatter(phot_g_mean_mag: NDArray[np.floating]) -> NDArray[np.float64]:
    """Scatter of C* for isolated stars of good photometry, by magnitude.

    Riello et al. 2021 (arXiv:2012.01916), equation 18.

    Parameters
    ----------
    phot_g_mean_mag : (n,) Gaia G magnitude.

    Returns
    -------
    ndarray
        (n,) standard deviation of C*.
    """
    magnitude = np.asarray(phot_g_mean_mag, dtype=float)
    return np.asarray(0.0059898 + 8.817481e-12 * magnitude**7.618399)


def flux_excess_within(sigmas: float = 3.0) -> Cut:
    """Keep sources whose BP and RP fluxes agree with their G flux: \\|C*\\| within ``sigmas`` of its scatter."""

    def keep(table: QTable) -> NDArray[np.bool_]:
        excess = corrected_flux_excess(plain(table, "bp_rp"), plain(table, "phot_bp_rp_excess_factor"))
        return np.asarray(np.abs(excess) < sigmas * flux_excess_scatter(plain(table, "phot_g_mean_mag")))

    name = f"|C*| < {sigmas:g} sigma"
    return Cut(name, f"BP and RP fluxes agree with the G flux within {sigmas:g} sigma (no blend)", keep)


def repeated(table: QTable, name: str = "source_id") -> NDArray[np.bool_]:
    """Rows whose identifier an earlier row has; none where the table has no such column or no identifier there.

    Parameters
    ----------
    table : table of n rows.
    name : column of the identifiers.

    Returns
    -------
    ndarray
        (n,) booleans.

    Examples
    --------
    >>> from starloom.catalog.tables import read_table
    >>> repeated(read_table({"source_id": [7, 8, 7]})).tolist()
    [False, False, True]
    """
    found = np.zeros(len(table), dtype=bool)
    if name not in table.colnames:
        return found
    column = table[name]
    mask = getattr(column, "mask", None)
    rows = np.arange(len(table)) if mask is None else np.flatnonzero(~np.broadcast_to(np.asarray(mask), len(table)))
    _, first = np.unique(np.asarray(column)[rows], return_index=True)
    found[rows] = True
    found[rows[first]] = False
    return found
