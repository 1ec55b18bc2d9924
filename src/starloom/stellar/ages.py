"""Age, mass, evolutionary state, distance and extinction of single stars from stellar models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.catalog.given_columns import keep_given
from starloom.catalog.provenance import record
from starloom.catalog.schema import plain
from starloom.errors import ConfigError
from starloom.stellar.age_lattice import AgeLattice
from starloom.stellar.age_measurements import Floors as Floors
from starloom.stellar.age_measurements import Measured
from starloom.stellar.age_measurements import salaris as salaris
from starloom.stellar.age_schema import SCHEMA
from starloom.threads import in_blocks

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.stellar.age_cells import Models

Floats = NDArray[np.float64]
DistancePrior = Literal["exponential", "volume", "flat"]
Alpha = Literal["salaris", "ignore"]

BLOCK = 32  # stars whose draws come from one generator
EDGE = 0.1  # share of the posterior in the outermost cells above which a star is said to be at the edge
TURN_OFF_LOGG = (3.8, 4.3)
_PRIORS = {"volume": 0, "exponential": 1, "flat": 2}
_REMARKS = ("age_at_edge", "age_information", "chi2", "measured", "reason")
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

    def __getitem__(self, rows: NDArray[np.bool_] | NDArray[np.int64] | slice) -> AgePosteriors:
        """The posteriors of some of the stars."""
        places = np.arange(len(self.reasons))[rows]
        return AgePosteriors(
            self.age_edges,
            self.age_probability[places],
            {name: values[places] for name, values in self.draws.items()},
            self.chi2[places],
            self.measured[places],
            self.log_evidence[places],
            self.points[places],
            [self.reasons[place] for place in places],
        )

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
    def _models(self) -> Models:
        from starloom.stellar import age_cells as cells

        model = self.lattice
        colors = model.magnitudes - model.magnitudes[..., :1]
        shown = [model.log_teff[..., None], model.logg[..., None]]
        bounds = cells.cell_bounds(np.ascontiguousarray(np.concatenate([*shown, model.magnitudes, colors], axis=-1)))
        most = cells.prior_bounds(model.weight, model.log_age)
        photometry = np.stack([model.magnitudes, model.reddening], axis=-1).reshape(*model.logg.shape, -1)
        return cells.Models(
            model.fe_h, model.log_age, model.eep, np.ascontiguousarray(np.concatenate([*shown, photometry], axis=-1)),
            model.log_mass, model.log_star_mass, model.weight, bounds, most, cells.block_bounds(bounds, most),
        )  # fmt: skip

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
            ``age_information`` (nats gained over the flat prior), ``chi2``, ``measured`` and ``reason``. What the table
            had under one of these names is kept as ``given_distance``, ``given_a_v``, ``given_age`` and so on.

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
        keep_given(result, [f"{name}{end}" for name in _QUANTITIES for end in ("", "_low", "_high")])
        keep_given(result, ["distance_error", "a_v_error", *_REMARKS])
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
        from starloom.stellar.age_cells import AGE_PARTS
        from starloom.stellar.age_draws import WIDTH

        if first % BLOCK:
            raise ConfigError(f"first must be a multiple of {BLOCK}, got {first}")
        seen = Measured.read(
            stars, self.lattice, self.floors, raised=self.alpha == "salaris", zero_point=self.parallax_zero_point,
            most_a_v=self.most_a_v,
        )  # fmt: skip
        lattice, models, rows = self.lattice, self._models, len(stars)
        bins = (len(lattice.log_age) - 1) * AGE_PARTS
        ages, summary = np.full((rows, bins), np.nan), np.full((rows, 4), np.nan)
        drawn = np.full((rows, self.draws, WIDTH), np.nan)

        def run(part: slice) -> None:
            rng = np.random.default_rng([self.seed, (first + part.start) // BLOCK])
            uniforms = rng.random((part.stop - part.start, self.draws, 6))
            rows_in = np.flatnonzero(seen.usable[part])
            if len(rows_in) == 0:
                return
            here = np.arange(part.start, part.stop)[rows_in]
            age_block, drawn_block = np.zeros((len(here), bins)), np.full((len(here), *drawn.shape[1:]), np.nan)
            summary_block = np.full((len(here), 4), np.nan)
            block = kernel.StarBlock(
                seen.stars[here], seen.magnitudes[here], seen.precision[here], seen.known[here], seen.a_v[here],
                seen.log_a_v[here], seen.nodes[here], _PRIORS[self.distance_prior], float(self.distance_scale),
            )  # fmt: skip
            kernel.posteriors(
                models, block, np.ascontiguousarray(uniforms[rows_in]), age_block, drawn_block, summary_block
            )
            order = rng.permuted(np.tile(np.arange(self.draws), (len(here), 1)), axis=1)
            ages[here], summary[here] = age_block, summary_block
            drawn[here] = np.take_along_axis(drawn_block, order[:, :, None], axis=1)

        in_blocks(run, rows, self.workers, block=BLOCK)
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
        log_edges = np.interp(np.arange(bins + 1) / AGE_PARTS, np.arange(len(lattice.log_age)), lattice.log_age)
        return AgePosteriors(
            10.0 ** (log_edges - 9.0), ages, draws, summary[:, 0], seen.measured, summary[:, 1], summary[:, 2], reasons
        )


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
