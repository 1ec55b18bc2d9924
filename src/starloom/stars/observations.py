"""From a table to tokens: whatever columns it has, in whatever units, with whatever gaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from starloom.catalog.schema import plain, require_rows
from starloom.errors import CatalogError, UnitError
from starloom.progress import say
from starloom.spectra.xp import ARMS, OVERLAP, SAMPLED_NM, XpBases, fit_projection, g_flux
from starloom.stars.schema import ALIASES, BELIEVABLE, SCHEMA
from starloom.stars.tokens import Tokens, Vocabulary

if TYPE_CHECKING:
    from astropy.table import QTable

Floats = NDArray[np.float64]
FLUX_UNIT = "W / (m2 nm)"
COLOR_ERROR = 0.005  # mag, of a color whose magnitudes come without errors
COLOR_PARTS = {
    "bp_rp": ("phot_bp_mean_mag", "phot_rp_mean_mag"),
    "j_h": ("j_mag", "h_mag"),
    "j_k": ("j_mag", "ks_mag"),
}
CONFLICT = 0.02
"""Relative difference (or 0.02 mag, 0.02 dex) beyond which two columns for one quantity contradict each other."""


@dataclass(frozen=True)
class SpectrumReader:
    """Turns either form of an XP spectrum into the coefficients a model was trained with.

    Parameters
    ----------
    project : arm -> (bases, pixels), from sampled fluxes on the arm's pixels of ``SAMPLED_NM``.
    through : arm -> (bases, bases), from published coefficients: the same as sampling them and projecting.
    """

    project: Mapping[str, Floats]
    through: Mapping[str, Floats]

    @classmethod
    def fit(cls, bases: XpBases, flux: Floats, flux_error: Floats) -> SpectrumReader:
        """The reader for spectra like these (stars, 343), over the flux in G."""
        found = fit_projection(bases, flux, flux_error)
        return cls({arm: found[arm].matrix for arm in ARMS}, {arm: found[arm].through for arm in ARMS})

    @property
    def sizes(self) -> tuple[int, int]:
        """Numbers of coefficients of BP and RP."""
        return len(self.through["bp"]), len(self.through["rp"])

    def from_flux(self, flux: Floats, error: Floats | None) -> tuple[Floats, Floats]:
        """Coefficients and errors of sampled fluxes (stars, 343); an arm with a gap is NaN."""
        if not self.project:
            raise CatalogError("this model reads published coefficients only: bp_coefficients and rp_coefficients")
        values, errors = [], []
        for arm in ARMS:
            kept = arm_pixels(arm)
            values.append(flux[:, kept] @ self.project[arm].T)
            squares = np.zeros_like(flux[:, kept]) if error is None else error[:, kept] ** 2
            errors.append(np.sqrt(squares @ (self.project[arm] ** 2).T))
        return np.hstack(values), np.hstack(errors)

    def from_coefficients(self, arm: str, values: Floats, errors: Floats | None) -> tuple[Floats, Floats]:
        """Coefficients and errors of an arm's published ones (stars, bases)."""
        through = self.through[arm]
        if values.shape[1] != through.shape[1]:
            raise CatalogError(
                f"column '{arm}_coefficients' has {values.shape[1]} values a star, and this model was trained with "
                f"{through.shape[1]}: another data release; sample the spectra with its bases and give 'flux'"
            )
        squares = np.zeros_like(values) if errors is None else errors**2
        return values @ through.T, np.sqrt(squares @ (through**2).T)


def arm_pixels(arm: str) -> NDArray[np.bool_]:
    """The sampled pixels that an arm has to itself."""
    return OVERLAP[0] >= SAMPLED_NM if arm == "bp" else OVERLAP[1] <= SAMPLED_NM


def read_tokens(
    table: QTable, vocabulary: Vocabulary, reader: SpectrumReader | None, *, label: str = "the table"
) -> Tokens:
    """What a table says of each star, in the words of a vocabulary.

    Parameters
    ----------
    table : as :func:`starloom.catalog.tables.read_table` gives it. Columns are found by canonical names, by common
        other names, in any case; kinds of the vocabulary that no schema lists, by their own names.
    vocabulary : the kinds wanted; what else the table holds is left alone.
    reader : for spectra; None when the vocabulary has none.
    label : what to call the table in messages.

    Returns
    -------
    Tokens
        ``reason`` is not empty for stars without any token.

    Raises
    ------
    CatalogError
        When the table has no rows, nothing of what the model knows, or two columns contradict each other.
    UnitError
        When a unit cannot be converted, or no value of a column can be meant in its unit.
    """
    require_rows(table, label)
    columns = scalar_columns(table, label)
    values = np.full((len(table), len(vocabulary)), np.nan)
    errors = np.full(values.shape, np.nan)
    reason = np.full(len(table), "", dtype="U80")

    def put(name: str, found: Floats, error: Floats | None) -> None:
        place = vocabulary.number(name) - 1
        values[:, place] = np.where(np.isfinite(found), found, np.nan)
        if error is not None:
            errors[:, place] = error

    for kind in vocabulary.kinds:
        if kind.group == "color" and kind.name in COLOR_PARTS:
            found = _color(columns, kind.name, label)
            if found is not None:
                put(kind.name, found, np.full(len(table), COLOR_ERROR))
        elif kind.name == "g_fakemag" and {"parallax", "phot_g_mean_mag"} <= columns.keys():
            bright = 10.0 ** (columns["phot_g_mean_mag"] / 5.0)
            error = columns.get("parallax_error")
            put(kind.name, columns["parallax"] * bright, None if error is None else error * bright)
        elif kind.group == "label" and kind.name in columns:
            put(kind.name, columns[kind.name], columns.get(f"{kind.name}_error"))
    if reader is not None:
        lacks_g = _put_spectra(table, columns, reader, put, vocabulary, label)
        reason[lacks_g] = "a spectrum without phot_g_mean_mag, which it is divided by"
    if not np.isfinite(values).any(axis=0).any():
        others = ", ".join(kind.name for kind in vocabulary.kinds if kind.group != "xp")
        raise CatalogError(
            f"{label} holds nothing that this model knows: no spectra (flux, or bp_coefficients and rp_coefficients, "
            f"with phot_g_mean_mag), and none of {others}; rename its columns"
        )
    empty = ~np.isfinite(values).any(axis=1)
    reason[empty & (reason == "")] = "no spectrum, color or label that is not missing"
    unread = ~empty & (reason != "")
    if unread.any():
        say(f"{label}: {int(unread.sum())} stars have a spectrum that is not looked at: it needs phot_g_mean_mag")
    reason[~empty] = ""
    return Tokens(values.astype(np.float32), errors.astype(np.float32), reason)


def scalar_columns(table: QTable, label: str) -> dict[str, Floats]:
    """The schema's float columns of a table, found by any of their names, in canonical units, NaN where missing."""
    lower: dict[str, list[str]] = {}
    for name in table.colnames:
        lower.setdefault(name.lower(), []).append(name)
    result: dict[str, Floats] = {}
    for column in SCHEMA:
        if column.kind != "float":
            continue
        names = [name for word in (column.name, *ALIASES.get(column.name, ())) for name in lower.get(word.lower(), ())]
        for name in names:
            if len(table[name].shape) != 1 or table[name].dtype.kind not in "fiub":
                continue
            values = plain(table, name, column.unit or None)
            values = np.where(np.isfinite(values), values, np.nan)
            values = _believable(values, name, column.name, column.unit, label)
            if column.name in result:
                result[column.name] = _agreed(result[column.name], values, column.name, names, label)
            else:
                result[column.name] = values
    return result


def _believable(values: Floats, native: str, name: str, unit: str, label: str) -> Floats:
    """Fill values become missing; a column that lies outside as a whole is in another unit."""
    if name not in BELIEVABLE:
        return values
    low, high = BELIEVABLE[name]
    known = values[np.isfinite(values) & (values > -90.0)]
    inside = (values >= low) & (values <= high)
    if len(known) and not inside.any():
        raise UnitError(
            f"{label}: column '{native}' has the median {np.median(known):g}, and {name} in "
            f"{unit or 'dex'} lies between {low:g} and {high:g}; give the column its unit or convert it"
        )
    return np.where(inside, values, np.nan)


def _agreed(first: Floats, second: Floats, name: str, columns: Sequence[str], label: str) -> Floats:
    """One column out of two for one quantity."""
    apart = np.abs(first - second) > CONFLICT * np.maximum(1.0, np.abs(first))
    if apart.any():
        row = int(np.flatnonzero(apart)[0])
        raise CatalogError(
            f"{label}: the columns {' and '.join(map(repr, columns[:2]))} both give {name} and disagree in "
            f"{int(apart.sum())} rows, first in row {row} ({first[row]:g} and {second[row]:g}); drop one of them"
        )
    return np.where(np.isnan(first), second, first)


def _color(columns: Mapping[str, Floats], name: str, label: str) -> Floats | None:
    parts = COLOR_PARTS[name]
    made = columns[parts[0]] - columns[parts[1]] if set(parts) <= columns.keys() else None
    given = columns.get(name)
    if made is None or given is None:
        return made if given is None else given
    return _agreed(given, made, name, (name, f"{parts[0]} - {parts[1]}"), label)


def _put_spectra(
    table: QTable, columns: Mapping[str, Floats], reader: SpectrumReader, put: Any, vocabulary: Vocabulary, label: str
) -> NDArray[np.bool_]:
    """Put the coefficients; which rows have a spectrum and no G."""
    g = columns.get("phot_g_mean_mag", np.full(len(table), np.nan))
    scale = g_flux(g)[:, None]
    names = [kind.name for kind in coefficients_of(vocabulary)]
    found = np.full((len(table), sum(reader.sizes)), np.nan)
    errors = found.copy()
    seen = np.zeros(len(table), dtype=bool)
    for start, arm in zip((0, reader.sizes[0]), ARMS, strict=True):
        values = vectors(table, f"{arm}_coefficients", label)
        if values is None:
            continue
        error = vectors(table, f"{arm}_coefficient_errors", label)
        part = slice(start, start + len(reader.through[arm]))
        found[:, part], errors[:, part] = reader.from_coefficients(
            arm, values / scale, None if error is None else error / scale
        )
        seen |= np.isfinite(values).all(axis=1)
    flux = vectors(table, "flux", label, FLUX_UNIT)
    if flux is not None:
        if flux.shape[1] != len(SAMPLED_NM):
            raise CatalogError(
                f"{label}: column 'flux' has {flux.shape[1]} values a star; 343 from 336 to 1020 nm in steps of 2 nm "
                "are needed, as Gaia and GaiaXPy sample them"
            )
        error = vectors(table, "flux_error", label, FLUX_UNIT)
        sampled, sampled_error = reader.from_flux(flux / scale, None if error is None else error / scale)
        known = np.isfinite(found)
        low = np.isfinite(sampled[:, 0]) & known[:, 0]
        apart = low & (np.abs(sampled[:, 0] / found[:, 0] - 1.0) > 0.1)
        if apart.any():
            raise CatalogError(
                f"{label}: 'flux' and 'bp_coefficients' contradict each other in {int(apart.sum())} rows, first in row "
                f"{int(np.flatnonzero(apart)[0])}; drop one of them, or check that flux is in {FLUX_UNIT}"
            )
        found, errors = np.where(known, found, sampled), np.where(known, errors, sampled_error)
        seen |= np.isfinite(flux).any(axis=1)
        _check_scale(found, label)
    for place, name in enumerate(names):
        put(name, found[:, place], errors[:, place])
    return seen & ~np.isfinite(g)


def _check_scale(found: Floats, label: str) -> None:
    """Fluxes that are not physical give coefficients of another size altogether."""
    first = found[np.isfinite(found[:, 0]), 0]
    if len(first) and not 1e-3 < np.median(np.abs(first)) < 10.0:
        raise UnitError(
            f"{label}: 'flux' is not in {FLUX_UNIT} (the first coefficient over the flux in G has the median "
            f"{np.median(first):.2g} where 0.05 is usual); give the column its unit, or multiply relative fluxes back"
        )


def coefficients_of(vocabulary: Vocabulary) -> list[Any]:
    """The XP kinds of a vocabulary, in its order."""
    return [kind for kind in vocabulary.kinds if kind.group == "xp"]


def vectors(table: QTable, name: str, label: str, unit: str = "") -> Floats | None:
    """A column with many values a row as (stars, values), NaN where missing; None when there is none."""
    from astropy import units

    if name not in table.colnames:
        return None
    column = table[name]
    if column.ndim != 2 or getattr(column, "dtype", np.dtype(object)).kind not in "fiu":
        raise CatalogError(f"{label}: column '{name}' needs one list of numbers of the same length in each row")
    have = getattr(column, "unit", None)
    if have is not None and unit and have != units.dimensionless_unscaled:
        try:
            column = units.Quantity(column, have).to(unit)
        except units.UnitConversionError as error:
            raise UnitError(
                f"{label}: column '{name}' has the unit '{have}', which cannot be converted to '{unit}'"
            ) from error
    values = getattr(column, "value", column)
    mask = getattr(values, "mask", None)
    values = np.array(getattr(values, "unmasked", getattr(values, "data", values)), dtype=float)
    if mask is not None:
        values[np.broadcast_to(mask, values.shape)] = np.nan
    values[~np.isfinite(values)] = np.nan
    return values
