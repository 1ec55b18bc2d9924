"""The correlation of age and metallicity over the Galaxy, for all stars and for either alpha sequence.

rho(age, [Fe/H] | covariates) is a map of ``starloom.dependence.conditional`` over any covariates: radius and height,
height alone, the radial action. It is of the normal scores of age and [Fe/H], ranked within the stars it is made of, as
in arXiv:2306.09319, or of (ln age, [Fe/H]) as they are. Beside it stands the median of a kinematic temperature.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from starloom.dependence.bands import Bands, bands, sky_blocks
from starloom.dependence.conditional import ConditionalMap, FittedConditionalMap
from starloom.errors import CatalogError, ConfigError
from starloom.seeds import generator
from starloom.stats.ranks import Margin

if TYPE_CHECKING:
    from astropy.table import QTable
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Margins = Literal["normal", "values"]
TAIL = (0.90, 0.99)  # of [Fe/H] within a sequence: its end, without the outermost stars


def column(table: QTable, name: str) -> Floats:
    """A column in Starloom's units, NaN where it or its value is missing; ``absolute_height`` is |galactic_height|."""
    from starloom.catalog.schema import plain

    source = "galactic_height" if name == "absolute_height" else name
    if source not in table.colnames:
        return np.full(len(table), np.nan)
    unit = {"galactic_radius": "kpc", "galactic_height": "kpc", "action_r": "kpc km/s", "age": "Gyr"}.get(source)
    values = plain(table, source, unit)
    if name == "absolute_height":
        values = np.abs(values)
    if source == "action_r":
        values = np.where((values > 0) & (values < 2000), values, np.nan)  # failed orbits of published tables
    return np.where(np.isfinite(values), values, np.nan)


def age_errors(table: QTable) -> Floats | None:
    """Standard errors of the ages, Gyr: ``age_error``, or half of the way between the 68 % bounds; None without."""
    if "age_error" in table.colnames:
        return column(table, "age_error")
    if "age_low" in table.colnames and "age_high" in table.colnames:
        return 0.5 * np.abs(column(table, "age_high") - column(table, "age_low"))
    return None


@dataclass(frozen=True)
class AgeMetallicity:
    """How to map the correlation of age and metallicity.

    Parameters
    ----------
    covariates : one to three of ``galactic_radius``, ``absolute_height``, ``action_r``, ``eccentricity``, or other
        columns of numbers of the table.
    margins : ``normal``: of normal scores, ranked within the stars used; ``values``: of (ln age, [Fe/H]).
    correct : take the attenuation by the tables' errors out.
    age_error : relative error of the ages where the table has none; 0 for none.
    fe_h_error : error of [Fe/H], dex, where the table has none; 0 for none.
    engine, least_count : of the map; see ``ConditionalMap``.
    """

    covariates: tuple[str, ...] = ("galactic_radius", "absolute_height")
    margins: Margins = "normal"
    correct: bool = False
    age_error: float = 0.0
    fe_h_error: float = 0.0
    engine: Literal["splines", "networks"] = "splines"
    least_count: float = 100.0

    def __post_init__(self) -> None:
        if self.margins not in ("normal", "values"):
            raise ConfigError(f"margins are 'normal' or 'values', not {self.margins!r}")
        if self.age_error < 0 or self.fe_h_error < 0:
            raise ConfigError("an error is not negative")

    def places(self, table: QTable) -> Floats:
        """The covariates, (n, d)."""
        return np.stack([column(table, name) for name in self.covariates], axis=1)

    def pair(self, table: QTable, chosen: NDArray[np.bool_] | None = None) -> tuple[Floats, ...]:
        """Age and metallicity on the scale of the map, and their errors there: four arrays (n,), NaN where not chosen.

        The error of a score is the error of the value times the slope of the scores over the width of that error.
        """
        from scipy.special import ndtri

        age, iron = column(table, "age"), column(table, "fe_h")
        age = np.where(age > 0, age, np.nan)
        if chosen is not None:
            age = np.where(chosen, age, np.nan)
        known = np.isfinite(age) & np.isfinite(iron)
        age, iron = np.where(known, age, np.nan), np.where(known, iron, np.nan)
        ln_age = np.log(age)
        errors = age_errors(table)
        relative = np.full(len(age), self.age_error) if errors is None else errors / age
        own = column(table, "fe_h_error")
        metal = np.where(np.isfinite(own), own, self.fe_h_error)
        relative, metal = np.where(np.isfinite(relative), relative, self.age_error), np.where(known, metal, np.nan)
        # of ln(age + error) to second order: an error of 25 % has a variance of 0.072 in ln age, not of 0.0625
        relative = relative * np.sqrt(1.0 + 2.5 * np.minimum(relative, 0.5) ** 2)
        if self.margins == "values":
            return ln_age, iron, relative, metal
        found: list[Floats] = []
        scaled: list[Floats] = []
        for values, error in ((ln_age, relative), (iron, metal)):
            if not known.any():
                raise CatalogError("no row has an age and a metallicity")
            margin = Margin.of(values)
            found.append(ndtri(margin.ranks(values)))
            step = np.maximum(error, 0.02 * float(np.nanstd(values)))
            rise = ndtri(margin.ranks(values + step)) - ndtri(margin.ranks(values - step))
            scaled.append(np.where(known, error * rise / (2.0 * step), np.nan))
        return found[0], found[1], scaled[0], scaled[1]

    def fit(self, table: QTable, *, chosen: NDArray[np.bool_] | None = None, seed: int = 1) -> FittedConditionalMap:
        """Fit rho(age, [Fe/H] | covariates) to the chosen rows (all by default).

        Raises
        ------
        CatalogError
            When too few rows have age, [Fe/H] and all covariates.
        """
        x, y, x_error, y_error = self.pair(table, chosen)
        model = ConditionalMap("correlation", engine=self.engine, least_count=self.least_count)
        errors = {"x_error": x_error, "y_error": y_error} if self.correct else {}
        return model.fit(self.places(table), x, y, seed=seed, **errors)


def blocks_of(table: QTable) -> NDArray[np.int64] | None:
    """Sky cells of the rows for resampling, where the table has positions in ten cells or more; None otherwise."""
    if "ra" not in table.colnames or "dec" not in table.colnames:
        return None
    ra, dec = column(table, "ra"), column(table, "dec")
    if not (np.isfinite(ra) & np.isfinite(dec)).all():
        return None
    cells = sky_blocks(ra, dec, nside=8)
    return cells if len(np.unique(cells)) >= 20 else None


def banded(
    fitted: FittedConditionalMap, places: Floats, table: QTable, *, refits: int, seed: int | np.random.Generator
) -> Bands:
    """Bands of a map from blocks on the sky where the table has positions over enough of it, else random ones."""
    return bands(fitted, places, refits=refits, blocks=blocks_of(table), seed=seed)


def temperature(
    table: QTable, covariates: tuple[str, ...], *, name: str, chosen: NDArray[np.bool_] | None = None,
    least_count: float = 100.0,
) -> Temperature:  # fmt: skip
    """The median of a kinematic temperature (``action_r`` or ``eccentricity``) over the covariates."""
    values = column(table, name)
    values = np.log(np.where(values > 0, values, np.nan))
    if chosen is not None:
        values = np.where(chosen, values, np.nan)
    places = np.stack([column(table, entry) for entry in covariates], axis=1)
    return Temperature(ConditionalMap("quantile", 0.5, least_count=least_count).fit(places, values))


def median_alpha(
    table: QTable, *, chosen: NDArray[np.bool_] | None = None, least_count: float = 30.0
) -> FittedConditionalMap:
    """The median [alpha/Fe] given (age, [Fe/H])."""
    values = column(table, "alpha_m")
    if chosen is not None:
        values = np.where(chosen, values, np.nan)
    places = np.stack([column(table, "age"), column(table, "fe_h")], axis=1)
    return ConditionalMap("quantile", 0.5, least_count=least_count).fit(places, values)


@dataclass(frozen=True)
class Temperature:
    """The median of a kinematic temperature over covariates; its logarithm was fitted, so that it is positive."""

    fitted: FittedConditionalMap

    def predict(self, places: Floats) -> Floats:
        """The median at places (n, d); NaN where too few stars are."""
        return np.asarray(np.exp(self.fitted.predict(places)))


@dataclass(frozen=True)
class End:
    """The end of a sequence: medians of its stars there, with bootstrap standard errors."""

    fe_h: float
    alpha: float
    alpha_error: float
    age: float
    age_error: float
    stars: int


def sequence_ends(
    table: QTable, high: NDArray[np.bool_], *, bootstraps: int = 200, seed: int | np.random.Generator = 1
) -> tuple[End, End]:
    """Where the high-alpha disk ends (at high [Fe/H]) and where the low-alpha disk starts (at low [Fe/H]).

    Parameters
    ----------
    table : with ``fe_h``, ``alpha_m`` and ``age``.
    high : (n,) which rows are of the high-alpha sequence.
    bootstraps : resamplings of the stars of a sequence; the end is found anew in each.
    seed : of them.

    Returns
    -------
    high end, low start
        Of each: medians of the stars whose [Fe/H] lies between the 90th and the 99th percentile of their sequence,
        counted towards that end.

    Raises
    ------
    CatalogError
        When a sequence has fewer than 100 stars with all three.
    """
    rng = generator(seed)
    iron, alpha, age = (column(table, name) for name in ("fe_h", "alpha_m", "age"))
    known = np.isfinite(iron) & np.isfinite(alpha) & np.isfinite(age)
    ends = []
    for chosen, sign, name in ((known & high, 1.0, "high"), (known & ~high, -1.0, "low")):
        if chosen.sum() < 100:
            raise CatalogError(f"{int(chosen.sum())} stars of the {name}-alpha sequence have an age: 100 are needed")
        columns = np.stack([sign * iron[chosen], alpha[chosen], age[chosen]])
        value = _tail_medians(columns)
        size = columns.shape[1]
        drawn = [_tail_medians(columns[:, rng.integers(size, size=size)]) for _ in range(bootstraps)]
        error = np.std(drawn, axis=0, ddof=1) if bootstraps > 1 else np.full(3, np.nan)
        low, top = np.quantile(columns[0], TAIL)
        count = int(((columns[0] >= low) & (columns[0] <= top)).sum())
        ends.append(End(sign * value[0], value[1], float(error[1]), value[2], float(error[2]), count))
    return ends[0], ends[1]


def _tail_medians(columns: Floats) -> Floats:
    low, top = np.quantile(columns[0], TAIL)
    inside = (columns[0] >= low) & (columns[0] <= top)
    return np.asarray(np.median(columns[:, inside], axis=1))
