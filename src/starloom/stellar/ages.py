"""Age, mass, evolutionary state, distance and extinction of single stars from stellar models."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.catalog.provenance import record
from starloom.catalog.schema import plain
from starloom.errors import ConfigError
from starloom.stellar.age_lattice import AgeLattice
from starloom.stellar.age_schema import SCHEMA, band_column

if TYPE_CHECKING:
    from astropy.table import QTable

Floats = NDArray[np.float64]
DistancePrior = Literal["exponential", "volume", "flat"]
Alpha = Literal["salaris", "ignore"]

BLOCK = 32  # stars whose draws come from one generator
TABLE_SIZE = 512  # nodes in distance modulus
MOST_NODES = 32  # of A_V
EDGE = 0.1  # share of the posterior in the outermost cells above which a star is said to be at the edge
TURN_OFF_LOGG = (3.8, 4.3)
_PRIORS = {"volume": 0, "exponential": 1, "flat": 2}
_QUANTITIES = {
    "age": "Gyr",
    "initial_mass": "Msun",
    "star_mass": "Msun",
    "eep": "",
    "initial_fe_h": "",
    "distance": "kpc",
    "a_v": "mag",
    "model_teff": "K",
    "model_logg": "",
}


def salaris(fe_h: ArrayLike, alpha_fe: ArrayLike) -> Floats:
    """[M/H] of an alpha-enhanced mixture, the [Fe/H] of the scaled-solar model that resembles it.

    ``[M/H] = [Fe/H] + log10(0.638 10^[alpha/Fe] + 0.362)`` (1993ApJ...414..580S, equation 3).

    Examples
    --------
    >>> salaris([-2.3, -2.3], [0.0, 0.4]).round(3).tolist()
    [-2.3, -2.007]
    """
    return np.asarray(np.asarray(fe_h, float) + np.log10(0.638 * 10.0 ** np.asarray(alpha_fe, float) + 0.362))


def turn_off(logg: ArrayLike, range_: tuple[float, float] = TURN_OFF_LOGG) -> NDArray[np.bool_]:
    """Which stars lie around the turn-off of an old population by log g, where single ages mean something.

    Examples
    --------
    >>> turn_off([4.5, 4.0, np.nan, 3.5]).tolist()
    [False, True, False, False]
    """
    values = np.asarray(logg, dtype=float)
    return np.asarray((values > range_[0]) & (values < range_[1]))


@dataclass(frozen=True)
class Floors:
    """Errors added in quadrature to those given: what the models and their zero points are not better than.

    Parameters
    ----------
    teff : K.
    logg, fe_h : dex.
    magnitude : mag.
    """

    teff: float = 50.0
    logg: float = 0.03
    fe_h: float = 0.05
    magnitude: float = 0.02


@dataclass(frozen=True)
class AgePosteriors:
    """The posteriors of a table's stars.

    Parameters
    ----------
    age_edges : (bins + 1,) edges in Gyr.
    age_probability : (n, bins) probability in each bin under the flat prior; NaN for stars not used.
    draws : name -> (n, draws): age, initial_mass, star_mass, eep, initial_fe_h, distance, a_v, model_teff, model_logg.
    chi2 : (n,) least chi^2 over all that was measured, and ``measured`` (n,) how much that was.
    log_evidence : (n,) log of the integral over the models, up to a constant.
    points : (n,) model points in the sum.
    reasons : why a star was not used, or what to know of it; empty where all went well.
    """

    age_edges: Floats
    age_probability: Floats
    draws: dict[str, Floats]
    chi2: Floats
    measured: NDArray[np.int64]
    log_evidence: Floats
    points: Floats
    reasons: list[str]

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Which stars have a posterior."""
        return np.isfinite(self.age_probability[:, 0])

    def age_quantiles(self, shares: Sequence[float] = (0.16, 0.5, 0.84)) -> Floats:
        """Quantiles of age, (n, shares), by linear interpolation of the summed bins."""
        total = np.concatenate([np.zeros((len(self.age_probability), 1)), self.age_probability.cumsum(axis=1)], axis=1)
        found = np.full((len(total), len(shares)), np.nan)
        for row in np.flatnonzero(self.usable):
            found[row] = np.interp(shares, total[row], self.age_edges)
        return found

    def age_pit(self, truth: ArrayLike) -> Floats:
        """Probability below a true age, (n,): uniform where the posteriors are calibrated."""
        total = np.concatenate([np.zeros((len(self.age_probability), 1)), self.age_probability.cumsum(axis=1)], axis=1)
        true = np.asarray(truth, dtype=float)
        return np.array([np.interp(t, self.age_edges, row) for t, row in zip(true, total, strict=True)])


@dataclass(frozen=True)
class StarAges:
    """What turns measurements of stars into ages.

    Prior: flat in age over the lattice's range, flat in [Fe/H], the lattice's mass function; distances as
    ``distance_prior`` says; A_V normal about the table's value cut at zero, or flat up to ``most_a_v`` where the table
    has none. Likelihood: independent normal errors of Teff, log g, [Fe/H], every magnitude and the parallax itself (not
    its inverse, so negative ones count).

    Parameters
    ----------
    lattice : the models.
    distance_prior : "exponential": d^2 exp(-d / distance_scale); "volume": d^2; "flat": uniform in distance modulus.
    distance_scale : kpc.
    alpha : "salaris" adds what [alpha/Fe] does to [M/H] to the [Fe/H] compared with the models (see `salaris`);
        "ignore" does not.
    floors : added to the errors.
    most_a_v : mag, where the table has no ``a_v``; 0 for none.
    parallax_zero_point : mas, subtracted.
    draws : from each posterior.
    worst_fit : chi^2 beyond its expectation, in its standard deviations, above which no model is said to fit.
    seed : of the draws.
    workers : threads; the result does not depend on it.

    Raises
    ------
    ConfigError
        When a setting is out of its range.
    """

    lattice: AgeLattice
    distance_prior: DistancePrior = "exponential"
    distance_scale: float = 2.0
    alpha: Alpha = "salaris"
    floors: Floors = field(default_factory=Floors)
    most_a_v: float = 0.3
    parallax_zero_point: float = 0.0
    draws: int = 200
    worst_fit: float = 6.0
    seed: int = 0
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.distance_prior not in _PRIORS:
            raise ConfigError(f"distance_prior is one of {', '.join(_PRIORS)}, not {self.distance_prior!r}")
        if self.alpha not in ("salaris", "ignore"):
            raise ConfigError(f"alpha is 'salaris' or 'ignore', not {self.alpha!r}")
        if not (self.distance_scale > 0 and self.most_a_v >= 0 and self.draws >= 1 and self.worst_fit > 0):
            raise ConfigError("distance_scale and worst_fit must be positive, most_a_v not negative, draws at least 1")
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"workers must be at least 1, got {self.workers}")

    @cached_property
    def _bounds(self) -> NDArray[np.float32]:
        from starloom.stellar.age_kernel import cell_bounds

        model = self.lattice
        colors = model.magnitudes - model.magnitudes[..., :1]
        stacked = [model.log_teff[..., None], model.logg[..., None], model.magnitudes, colors]
        return cell_bounds(np.ascontiguousarray(np.concatenate(stacked, axis=-1)))

    def predict(
        self,
        table: QTable,
        *,
        survey: str | None = None,
        label: str = "the table",
        first: int = 0,
        posteriors: AgePosteriors | None = None,
    ) -> QTable:
        """The rows of a table with ages and what comes with them.

        Parameters
        ----------
        table : with the columns of ``starloom.stellar.age_schema.SCHEMA``.
        survey : whose names and units hold; by default the one that fits best.
        label : what to call the table in messages.
        first : number of the first row in a longer table, so that draws do not depend on how it was cut.
        posteriors : of these rows, if they are there already.

        Returns
        -------
        QTable
            The canonical columns, then median and 16 % and 84 % points (``_low``, ``_high``) of age, initial_mass,
            star_mass, eep, initial_fe_h, distance, a_v, model_teff and model_logg (those of the models, after the fit),
            ``distance_error`` (half of the interval, for orbits),
            ``age_at_edge`` (the posterior leans on an end of the age range: the interval is a limit),
            ``age_information`` (nats gained over the flat prior), ``chi2``, ``measured`` and ``reason``. Distances and
            extinctions which the table had are kept as ``given_distance``, ``given_a_v``.

        Raises
        ------
        MissingColumnError
            When [Fe/H] is missing.
        """
        from astropy import units as u

        stars = SCHEMA.apply(table, survey, label=label)
        found = self._posteriors(stars, first) if posteriors is None else posteriors
        if len(found.reasons) != len(stars):
            raise ConfigError(f"there are posteriors of {len(found.reasons)} stars for a table of {len(stars)} rows")
        result = stars.copy()
        for name in ("distance", "distance_error", "a_v", "a_v_error"):
            if name in result.colnames:
                result.rename_column(name, f"given_{name}")
        usable = found.usable
        for name, unit in _QUANTITIES.items():
            points = np.full((len(stars), 3), np.nan)
            if name == "age":
                points = found.age_quantiles()
            elif usable.any():
                points[usable] = np.quantile(found.draws[name][usable], (0.16, 0.5, 0.84), axis=1).T
            for column, values in zip((name, f"{name}_low", f"{name}_high"), points[:, [1, 0, 2]].T, strict=True):
                result[column] = values * u.Unit(unit) if unit else values
        # half of the interval, so that `starloom orbits` takes the distance with an error
        far = [plain(result, f"distance_{end}") for end in ("low", "high")]
        result["distance_error"] = 0.5 * (far[1] - far[0]) * u.kpc
        result["age_at_edge"] = _at_edge(found)
        result["age_information"] = _information(found)
        result["chi2"], result["measured"] = found.chi2, found.measured
        result["reason"] = np.array(found.reasons, dtype=str)
        result.meta["models"] = self.lattice.source
        record(
            result, "ages from isochrones", models=self.lattice.source, alpha=self.alpha, bands=self.lattice.bands,
            age=[float(10.0 ** (end - 9.0)) for end in self.lattice.log_age[[0, -1]]], draws=self.draws,
            distance_prior=self.distance_prior, parallax_zero_point=self.parallax_zero_point, most_a_v=self.most_a_v,
            seed=self.seed,
        )  # fmt: skip
        return result

    def posteriors(
        self, table: QTable, *, survey: str | None = None, label: str = "the table", first: int = 0
    ) -> AgePosteriors:
        """The posteriors themselves, for populations and plots; parameters as for :meth:`predict`."""
        return self._posteriors(SCHEMA.apply(table, survey, label=label), first)

    def _posteriors(self, stars: QTable, first: int) -> AgePosteriors:
        from starloom.stellar import age_kernel as kernel

        if first % BLOCK:
            raise ConfigError(f"first must be a multiple of {BLOCK}, got {first}")
        seen = _Measured.read(stars, self)
        model, rows = self.lattice, len(stars)
        bins = (len(model.log_age) - 1) * kernel.AGE_PARTS
        ages, summary = np.full((rows, bins), np.nan), np.full((rows, 4), np.nan)
        drawn = np.full((rows, self.draws, kernel.WIDTH), np.nan)
        bounds = self._bounds

        def run(part: slice) -> None:
            rng = np.random.default_rng([self.seed, (first + part.start) // BLOCK])
            uniforms = rng.random((part.stop - part.start, self.draws, 6))
            rows_in = np.flatnonzero(seen.usable[part])
            if len(rows_in) == 0:
                return
            here = np.arange(part.start, part.stop)[rows_in]
            age_block, drawn_block = np.zeros((len(here), bins)), np.full((len(here), *drawn.shape[1:]), np.nan)
            summary_block = np.full((len(here), 4), np.nan)
            kernel.posteriors(
                model.fe_h, model.log_age, model.eep, model.log_teff, model.logg, model.magnitudes, model.reddening,
                model.log_mass, model.log_star_mass, model.weight, bounds,
                seen.stars[here], seen.magnitudes[here], seen.precision[here], seen.known[here],
                _PRIORS[self.distance_prior], self.distance_scale, seen.a_v[here], seen.log_a_v[here], seen.nodes[here],
                np.ascontiguousarray(uniforms[rows_in]), TABLE_SIZE, age_block, drawn_block, summary_block,
            )  # fmt: skip
            order = rng.permuted(np.tile(np.arange(self.draws), (len(here), 1)), axis=1)
            ages[here], summary[here] = age_block, summary_block
            drawn[here] = np.take_along_axis(drawn_block, order[:, :, None], axis=1)

        _in_blocks(run, rows, self.workers)
        reasons = [*seen.reasons]
        limit = seen.measured + self.worst_fit * np.sqrt(2.0 * np.maximum(seen.measured, 1))
        unfit = seen.usable & ~(summary[:, 0] <= limit)
        for row in np.flatnonzero(unfit):
            reasons[row] = "no model of the grid fits (off the grid)"
        edges = seen.usable & ~unfit & (summary[:, 3] > EDGE)
        for row in np.flatnonzero(edges):
            reasons[row] = "at the edge of the grid in [Fe/H] or EEP: the interval is cut there"
        ages[unfit], drawn[unfit], summary[unfit, 1] = np.nan, np.nan, np.nan
        modulus = drawn[..., 4]
        draws = {
            "age": drawn[..., 0],
            "initial_mass": 10.0 ** drawn[..., 3],
            "star_mass": 10.0 ** drawn[..., 6],
            "eep": drawn[..., 2],
            "initial_fe_h": drawn[..., 1],
            "distance": 10.0 ** (0.2 * modulus - 2.0),
            "a_v": drawn[..., 5],
            "model_teff": 10.0 ** drawn[..., 7],
            "model_logg": drawn[..., 8],
        }
        log_edges = np.interp(np.arange(bins + 1) / kernel.AGE_PARTS, np.arange(len(model.log_age)), model.log_age)
        return AgePosteriors(
            10.0 ** (log_edges - 9.0), ages, draws, summary[:, 0], seen.measured, summary[:, 1], summary[:, 2], reasons
        )


@dataclass(frozen=True)
class _Measured:
    """A table as the kernel wants it."""

    stars: Floats
    magnitudes: Floats
    precision: Floats
    known: Floats
    a_v: Floats
    log_a_v: Floats
    nodes: NDArray[np.int64]
    measured: NDArray[np.int64]
    usable: NDArray[np.bool_]
    reasons: list[str]

    @classmethod
    def read(cls, stars: QTable, model: StarAges) -> _Measured:
        rows, lattice, floors = len(stars), model.lattice, model.floors

        def column(name: str) -> Floats:
            return plain(stars, name) if name in stars.colnames else np.full(rows, np.nan)

        def precision(value: Floats, error: Floats, floor: float) -> Floats:
            # an error that is not there, or not possible, counts as the floor alone
            total = np.hypot(np.where(error > 0, error, 0.0), floor)
            with np.errstate(divide="ignore"):
                return np.where(np.isfinite(value), 1.0 / total**2, 0.0)

        teff, logg, fe_h = column("teff"), column("logg"), column("fe_h")
        teff = np.where(teff > 0, teff, np.nan)
        if model.alpha == "salaris":
            fe_h = salaris(fe_h, np.nan_to_num(column("alpha_m")))
        in_log = np.log(10.0) * teff
        packed = np.stack(
            [
                np.nan_to_num(np.log10(teff)),
                np.nan_to_num(precision(teff, column("teff_error"), floors.teff) * in_log**2),
                np.nan_to_num(logg),
                precision(logg, column("logg_error"), floors.logg),
                np.nan_to_num(fe_h),
                precision(fe_h, column("fe_h_error"), floors.fe_h),
            ],
            axis=1,
        )
        magnitudes = np.zeros((rows, len(lattice.bands)))
        weights = np.zeros_like(magnitudes)
        for place, band in enumerate(lattice.bands):
            name = band_column(band)
            value = column(name)
            magnitudes[:, place] = np.nan_to_num(value)
            weights[:, place] = precision(value, column(f"{name}_error"), floors.magnitude)
        known = np.zeros((rows, 4))
        for place, name in ((0, "parallax"), (2, "distance")):
            value, error = column(name), column(f"{name}_error")
            value = value - model.parallax_zero_point if name == "parallax" else np.where(value > 0, value, np.nan)
            there = np.isfinite(value) & np.isfinite(error) & (error > 0)
            known[there, place], known[there, place + 1] = value[there], 1.0 / error[there] ** 2
        bands = (weights > 0).sum(axis=1)
        far = known[:, [1, 3]].any(axis=1)
        measured = (packed[:, [1, 3, 5]] > 0).sum(axis=1) + bands + far
        reasons = [""] * rows

        def refuse(where: NDArray[np.bool_], text: str) -> None:
            for row in np.flatnonzero(where):
                reasons[row] = reasons[row] or text

        low, high = lattice.fe_h[0], lattice.fe_h[-1]
        refuse(~np.isfinite(fe_h), "no [Fe/H]")
        refuse(fe_h < low, f"[Fe/H] below the grid ({low:g})")
        refuse(fe_h > high, f"[Fe/H] above the grid ({high:g})")
        telling = (packed[:, 1] > 0) | (packed[:, 3] > 0) | (bands > 1) | ((bands > 0) & far)
        refuse(~telling, "neither Teff, log g, a color nor a luminosity: nothing tells its age")
        a_v, log_a_v, nodes = _dust_nodes(column("a_v"), column("a_v_error"), weights, model.most_a_v)
        usable = np.array([reason == "" for reason in reasons], dtype=bool)
        return cls(packed, magnitudes, weights, known, a_v, log_a_v, nodes, measured, usable, reasons)


def _dust_nodes(a_v: Floats, error: Floats, weights: Floats, most: float) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Midpoints in A_V of each star (n, most nodes) with log weights, and how many."""
    rows = len(a_v)
    value, sigma = np.maximum(a_v, 0.0), np.where(error > 0, error, 0.0)
    known = np.isfinite(value)
    low = np.where(known, np.maximum(value - 3.5 * sigma, 0.0), 0.0)
    high = np.where(known, value + 3.5 * sigma, most)
    # a color changes by about 0.45 A_V; steps of one error of a color
    best = np.sqrt(2.0 / np.maximum(weights.max(axis=1, initial=0.0), 1e-12))
    wanted = np.maximum(np.where(known, 7.0, 5.0), 0.45 * (high - low) / best)
    nodes = np.where((high > low) & (weights > 0).any(axis=1), np.ceil(np.clip(wanted, 1, MOST_NODES)), 1).astype(int)
    places = np.arange(nodes.max(initial=1))
    at = low[:, None] + (places + 0.5) / nodes[:, None] * (high - low)[:, None]
    safe = np.where(sigma > 0, sigma, np.inf)
    log_weight = np.where(known[:, None], -0.5 * ((at - np.nan_to_num(value)[:, None]) / safe[:, None]) ** 2, 0.0)
    log_weight = np.where(places < nodes[:, None], log_weight, -np.inf)
    log_weight -= np.log(np.exp(log_weight).sum(axis=1, keepdims=True))
    return np.ascontiguousarray(at.reshape(rows, -1)), np.ascontiguousarray(log_weight), nodes.astype(np.int64)


def _at_edge(found: AgePosteriors) -> NDArray[np.bool_]:
    """Where more probability density lies at an end of the age range than a third of the highest."""
    density = found.age_probability / np.diff(found.age_edges)
    ends = np.maximum(density[:, 0], density[:, -1])
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nan_to_num(ends) > np.nan_to_num(density.max(axis=1), nan=np.inf) / 3.0)


def _information(found: AgePosteriors) -> Floats:
    """Kullback-Leibler divergence of the age's posterior from its flat prior, nats."""
    flat = np.diff(found.age_edges) / (found.age_edges[-1] - found.age_edges[0])
    p = found.age_probability
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * np.log(p / flat), 0.0)
    return np.where(found.usable, terms.sum(axis=1), np.nan)


def _in_blocks(run: Any, rows: int, workers: int | None) -> None:
    count = workers or int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
    parts = [slice(start, min(start + BLOCK, rows)) for start in range(0, rows, BLOCK)]
    if count == 1 or len(parts) < 2:
        for part in parts:
            run(part)
        return
    with ThreadPoolExecutor(min(count, len(parts)), thread_name_prefix="ages") as pool:
        for done in [pool.submit(run, part) for part in parts]:
            done.result()
