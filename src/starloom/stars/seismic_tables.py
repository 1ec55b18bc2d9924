"""Spectra and power spectra of a user's table: apStar files, APOGEE or XP fluxes, light curves, power."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import CatalogError, MissingColumnError
from starloom.stars import seismic_power as power
from starloom.stars import seismic_spectra as spectra
from starloom.stars.seismic_spectra import Normalized

if TYPE_CHECKING:
    from astropy.table import QTable

Floats = NDArray[np.float64]
XP_PIXELS = 343
XP_FLOOR = 0.004
"""Error added to XP fluxes, relative to the median flux: what neighboring pixels share is not in their errors."""
SPECTRUM, POWER, LIGHT_CURVE = "spectrum_file", "power_file", "light_curve_file"


def xp_spectra(flux: ArrayLike, error: ArrayLike) -> Normalized:
    """XP sampled spectra (n, 343) divided by their median; in the shape in which APOGEE's come."""
    values, sigma = np.atleast_2d(np.asarray(flux, dtype=float)), np.atleast_2d(np.asarray(error, dtype=float))
    if values.shape != sigma.shape or values.shape[1] != XP_PIXELS:
        raise CatalogError(f"XP spectra have {XP_PIXELS} fluxes and errors, not {values.shape} and {sigma.shape}")
    known = np.isfinite(values) & np.isfinite(sigma) & (sigma > 0)
    enough = known.mean(axis=1) >= spectra.LEAST_GOOD
    level = np.full(len(values), np.nan)
    level[enough] = np.nanmedian(np.where(known, values, np.nan)[enough], axis=1)
    usable = enough & (level > 0)
    scale = np.where(usable, level, 1.0)[:, None]
    good = known & usable[:, None]
    found = np.where(good, values / scale, 1.0)
    spread = np.where(good, np.hypot(sigma / scale, XP_FLOOR), np.inf)
    reasons = np.where(usable, "", "fewer than 30 % of the fluxes are known, or their median is not positive")
    return Normalized(found, spread, np.asarray(reasons, dtype=np.str_))


def _text(table: QTable, name: str) -> list[str]:
    values = table[name]
    mask = getattr(values, "mask", np.zeros(len(values), dtype=bool))
    filled = values.filled("") if hasattr(values, "filled") else values
    texts = [str(value.decode() if isinstance(value, bytes) else value).strip() for value in filled]
    return ["" if lost else text for text, lost in zip(texts, np.asarray(mask), strict=True)]


def _array(table: QTable, name: str) -> Floats:
    values = table[name]
    values = getattr(values, "value", values)
    values = np.ma.filled(np.ma.asarray(values, dtype=float), np.nan)
    if values.ndim != 2:
        raise CatalogError(f"column {name!r} must hold an array a row, it has the shape {values.shape}")
    return np.asarray(values)


def spectra_of(table: QTable, folder: str | Path = ".", *, continuum: ArrayLike | None = None) -> Normalized:
    """The spectra of a table, a row each.

    Parameters
    ----------
    table : with ``spectrum_file`` (apStar files, paths from ``folder``), or ``flux`` and ``flux_error`` (APOGEE's 8,575
        or 7,514 pixels with ``mask`` where there is one, or XP's 343 samples).
    folder : where relative paths begin.
    continuum : (7514,) continuum pixels; those of APOGEE DR17 by default.

    Raises
    ------
    MissingColumnError
        When the table has neither.
    """
    if SPECTRUM in table.colnames:
        base = Path(folder)
        return spectra.read_spectra([base / name for name in _text(table, SPECTRUM)], continuum=continuum)
    if "flux" in table.colnames and "flux_error" in table.colnames:
        flux, error = _array(table, "flux"), _array(table, "flux_error")
        if flux.shape[1] == XP_PIXELS:
            return xp_spectra(flux, error)
        mask = np.asarray(table["mask"]) if "mask" in table.colnames else None
        return spectra.normalize(flux, error, mask, continuum=continuum)
    raise MissingColumnError(
        f"no spectra: the table needs a column {SPECTRUM!r} with the paths of apStar files, or 'flux' and 'flux_error' "
        f"with {spectra.GRID.count}, {spectra.PIXELS} (APOGEE) or {XP_PIXELS} (XP) values a row; it has: "
        + ", ".join(table.colnames[:12])
    )


def power_of(table: QTable, folder: str | Path = ".") -> tuple[Floats, NDArray[np.str_]]:
    """Ln(power over background) of the rows (n, 2092), and why a row has none.

    Parameters
    ----------
    table : with ``power_file`` (tables of frequency in muHz and power) or ``light_curve_file`` (time in days and flux);
        the first two columns count.

    Raises
    ------
    MissingColumnError
        When the table has neither column.
    """
    from starloom.catalog.tables import read_table

    name = next((column for column in (POWER, LIGHT_CURVE) if column in table.colnames), None)
    if name is None:
        raise MissingColumnError(f"no power spectra: the table needs a column {POWER!r} or {LIGHT_CURVE!r} with paths")
    found = np.full((len(table), power.BINS), np.nan)
    reasons = np.full(len(table), "", dtype="U200")
    for row, path in enumerate(_text(table, name)):
        if not path:
            reasons[row] = "no file is named"
            continue
        try:
            content = read_table(Path(folder) / path)
            first, second = (np.asarray(getattr(content[c], "value", content[c]), float) for c in content.colnames[:2])
            made = power.of_power(first, second) if name == POWER else power.of_light_curve(first, second)
            found[row], reasons[row] = made.log_power, made.reason
        except (CatalogError, OSError, ValueError) as error:
            reasons[row] = str(error)[:200]
    return found, reasons
