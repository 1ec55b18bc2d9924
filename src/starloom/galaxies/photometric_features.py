"""From a table of magnitudes or fluxes to the features of a map: colors, their errors, and which rows are usable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from starloom.errors import ConfigError

if TYPE_CHECKING:
    from astropy.table import QTable

Array = NDArray[np.float64]
BRIGHTEST, FAINTEST = -50.0, 60.0  # mag; what lies outside (99, -99.9, 1e20) is a fill value, not a magnitude


@dataclass(frozen=True)
class FeatureTable:
    """Features of the rows of a table.

    Parameters
    ----------
    values : (n, features); NaN where missing.
    errors : (n, features) or None when no errors were asked for; positive where the value is there.
    reason : (n,) text; empty where the row is usable.
    """

    values: Array
    errors: Array | None
    reason: NDArray[np.str_]

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Rows with enough features."""
        return np.asarray(self.reason == "")


@dataclass(frozen=True)
class Features:
    """What a map is made of.

    Parameters
    ----------
    bands : columns of magnitudes (or fluxes, or of anything for ``columns``), in order of wavelength.
    errors : columns of their errors, one for each band; empty: none are used.
    kind : ``colors`` of adjacent bands; ``colors_and_magnitude`` (``reference`` besides); ``asinh_colors`` of
        bands that are fluxes, negative ones too; ``columns``: the bands as they are.
    reference : band whose magnitude is a feature besides the colors.
    magnitude_weight : factor on that magnitude, whose range is wider than a color's.
    least : rows with fewer features are not used.
    error_floor : added in quadrature to each band's error, so that an error of zero is no infinite weight.
    softening : flux of each band below which ``asinh_colors`` are linear; ``softened`` takes it from a table.

    Notes
    -----
    A magnitude beyond -50 or 60 (99, -99.9) is a fill value. A band whose error is missing or negative is missing
    where errors are used. Two adjacent colors share a band, and so do their errors; the distance takes them as
    independent, as arXiv:1509.03318 does.

    Examples
    --------
    >>> from starloom.catalog.tables import read_table
    >>> table = read_table({"g": [20.0, 21.0], "r": [19.5, 99.0], "i": [19.0, 20.0]})
    >>> Features(("g", "r", "i")).of(table).values.tolist()
    [[0.5, 0.5], [nan, nan]]
    """

    bands: tuple[str, ...]
    errors: tuple[str, ...] = ()
    kind: Literal["colors", "colors_and_magnitude", "asinh_colors", "columns"] = "colors"
    reference: str | None = None
    magnitude_weight: float = 0.2
    least: int = 1
    error_floor: float = 0.01
    softening: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in ("colors", "colors_and_magnitude", "asinh_colors", "columns"):
            raise ConfigError(f"features are colors, colors_and_magnitude, asinh_colors or columns, not {self.kind!r}")
        if len(set(self.bands)) < len(self.bands):
            raise ConfigError(f"a band is named twice: {', '.join(self.bands)}")
        if len(self.bands) < (1 if self.kind == "columns" else 2):
            raise ConfigError(f"{self.kind} need at least two bands, not {len(self.bands)}")
        if self.errors and len(self.errors) != len(self.bands):
            raise ConfigError(f"{len(self.bands)} bands need {len(self.bands)} errors, not {len(self.errors)}")
        if self.kind == "colors_and_magnitude" and self.reference not in self.bands:
            raise ConfigError(
                f"the reference magnitude {self.reference!r} is none of the bands {', '.join(self.bands)}"
            )
        if not (self.error_floor >= 0 and self.magnitude_weight > 0 and 1 <= self.least <= len(self.names)):
            raise ConfigError(
                f"error_floor must not be negative, magnitude_weight positive, least between 1 and {len(self.names)}"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features."""
        if self.kind == "columns":
            return self.bands
        colors = tuple(f"{a} - {b}" for a, b in zip(self.bands[:-1], self.bands[1:], strict=True))
        return (*colors, str(self.reference)) if self.kind == "colors_and_magnitude" else colors

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that a table needs."""
        return (*self.bands, *self.errors)

    def of(self, table: QTable) -> FeatureTable:
        """The features of a table.

        Raises
        ------
        MissingColumnError
            When the table lacks a band or an error.
        """
        from starloom.catalog.arrow_tables import require_names
        from starloom.catalog.schema import plain

        require_names(self.columns, table.colnames, "the table")
        bands = np.stack([plain(table, name) for name in self.bands], axis=1)
        bands[~np.isfinite(bands)] = np.nan
        if self.kind in ("colors", "colors_and_magnitude"):
            bands[(bands < BRIGHTEST) | (bands > FAINTEST)] = np.nan
        errors = None
        if self.errors:
            errors = np.stack([plain(table, name) for name in self.errors], axis=1)
            bad = ~np.isfinite(errors) | (errors < 0)
            bands[bad] = np.nan
            errors[bad] = np.nan
        if self.kind == "asinh_colors":
            if not self.softening:
                raise ConfigError("asinh_colors need the softening of each band: Features.softened(table) sets it")
            bands, errors = _asinh(bands, errors, np.array(self.softening))
        if errors is not None:
            errors = np.hypot(errors, self.error_floor)
        values, spread = self._combine(bands, errors)
        there = np.isfinite(values).sum(axis=1)
        reason = np.full(len(values), "", dtype="U32")
        reason[there < self.least] = f"fewer than {self.least} features"
        reason[there == 0] = "no feature is measured"
        return FeatureTable(values, spread, reason)

    def softened(self, table: QTable) -> Features:
        """The same with the softening that a table gives: each band's median error, or a faint flux without errors."""
        from starloom.catalog.arrow_tables import require_names
        from starloom.catalog.schema import plain

        if self.kind != "asinh_colors" or self.softening:
            return self
        require_names(self.columns, table.colnames, "the table")
        found = []
        for name in self.errors or self.bands:
            values = np.abs(plain(table, name))
            values = values[np.isfinite(values) & (values > 0)]
            share = 0.5 if self.errors else 0.1
            found.append(float(np.quantile(values, share)) if len(values) else 1.0)
        return replace(self, softening=tuple(found))

    def _combine(self, bands: Array, errors: Array | None) -> tuple[Array, Array | None]:
        if self.kind == "columns":
            return bands, errors
        values = bands[:, :-1] - bands[:, 1:]
        spread = None if errors is None else np.hypot(errors[:, :-1], errors[:, 1:])
        if self.kind == "colors_and_magnitude":
            place = self.bands.index(str(self.reference))
            values = np.column_stack([values, self.magnitude_weight * bands[:, place]])
            if spread is not None and errors is not None:
                spread = np.column_stack([spread, self.magnitude_weight * errors[:, place]])
        return values, spread

    def as_json(self) -> dict[str, Any]:
        """The settings, for a file."""
        return asdict(self)

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> Features:
        """What ``as_json`` wrote."""
        tuples = {name: tuple(settings[name]) for name in ("bands", "errors", "softening")}
        return cls(**{**settings, **tuples})


def _asinh(fluxes: Array, errors: Array | None, low: Array) -> tuple[Array, Array | None]:
    """Inverse hyperbolic magnitudes (1999AJ....118.1406L) with softening ``low``, and their errors."""
    scale = 2.5 / np.log(10.0)
    magnitude = -scale * (np.arcsinh(fluxes / (2.0 * low)) + np.log(low))
    if errors is None:
        return magnitude, None
    return magnitude, scale * errors / np.sqrt(fluxes**2 + 4.0 * low**2)
