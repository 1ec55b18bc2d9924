"""A table of stars in, the same table with integrals of motion, actions and orbits out, errors carried through."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from starloom.catalog.given_columns import keep_given
from starloom.catalog.provenance import record
from starloom.dynamics.actions import Actions, actions
from starloom.dynamics.frames import GalacticFrame, PhaseSpace
from starloom.dynamics.integrals import l_perp
from starloom.dynamics.measured_stars import MeasuredStars, six_coordinates
from starloom.dynamics.potentials import Potential, potential
from starloom.errors import ConfigError
from starloom.threads import in_blocks

if TYPE_CHECKING:
    from astropy.table import QTable

Array = NDArray[np.float64]
SAMPLES = 100
BLOCK = 256  # stars whose draws are made together, from a seed of their own
ROWS = 65536  # stars in memory at a time, of a Parquet table; a multiple of BLOCK
QUANTITIES: dict[str, str] = {
    "energy": "km2/s2",
    "l_z": "kpc km/s",
    "l_perp": "kpc km/s",
    "action_r": "kpc km/s",
    "action_z": "kpc km/s",
    "omega_r": "km/(s kpc)",
    "omega_phi": "km/(s kpc)",
    "omega_z": "km/(s kpc)",
    "eccentricity": "",
    "z_max": "kpc",
    "pericenter": "kpc",
    "apocenter": "kpc",
}


@dataclass(frozen=True)
class OrbitModel:
    """What turns stars into orbits.

    Parameters
    ----------
    potential : the Galaxy.
    frame : the Sun's place and motion.
    samples : draws from each star's errors; 0 for no intervals.
    parallax_zero_point : mas, subtracted from parallaxes before they are inverted.
    seed : of the draws.
    workers : threads; all cores by default. The result does not depend on it.

    Raises
    ------
    ConfigError
        When samples is negative.
    """

    potential: Potential
    frame: GalacticFrame
    samples: int = SAMPLES
    parallax_zero_point: float = 0.0
    seed: int = 0
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.samples < 0:
            raise ConfigError(f"samples must not be negative, got {self.samples}")

    def predict(self, table: QTable, *, survey: str | None = None, label: str = "the table", first: int = 0) -> QTable:
        """The rows of a table with the quantities of ``QUANTITIES``, each with the 16 % and 84 % points of its draws
        where the table has errors.

        Parameters
        ----------
        table : with the columns of ``starloom.dynamics.schema.SCHEMA``.
        survey : whose names and units hold; by default the one that fits best.
        label : what to call the table in messages.
        first : number of the first row in a longer table, so that its draws do not depend on how it was cut.

        Returns
        -------
        QTable
            The canonical columns, then the quantities, ``prograde``, and ``reason``: empty where all went well. A row
            that cannot be used has NaN and its reason; nothing is dropped. A column of the table that has the name of a
            result stays, as ``given_`` and its name.

        Raises
        ------
        MissingColumnError
            When one of the six coordinates is missing.
        CatalogError
            When the table is empty.
        """
        stars = six_coordinates(table, survey, label, "orbits")
        seen = MeasuredStars.read(stars, zero_point=self.parallax_zero_point)
        values = self._quantities(self.frame.to_galactocentric(*seen.center()))
        bounds = self._bounds(seen, first) if self.samples and seen.uncertain else None
        return self._join(stars, seen, values, bounds)

    def drawn_phases(
        self, table: QTable, *, survey: str | None = None, label: str = "the table"
    ) -> Iterator[tuple[PhaseSpace, int]]:
        """Places and motions drawn from the stars' errors, some stars at a time: for any other quantity.

        Yields
        ------
        PhaseSpace, int
            x and v of the shape (stars x samples, 3), all draws of a star together, and the number of stars; NaN for
            stars that cannot be used. With no samples, or a table without errors, each star is drawn once, as measured.
        """
        stars = six_coordinates(table, survey, label, "orbits")
        seen = MeasuredStars.read(stars, zero_point=self.parallax_zero_point)
        exact = seen.center()
        for start in range(0, len(stars), BLOCK):
            part = slice(start, min(start + BLOCK, len(stars)))
            if self.samples and seen.uncertain:
                rng = np.random.default_rng([self.seed, start // BLOCK])
                columns = seen.drawn(part, self.samples, rng)
            else:
                columns = [column[part] for column in exact]
            yield self.frame.to_galactocentric(*columns), part.stop - part.start

    def _quantities(self, phase: PhaseSpace, workers: int | None = None) -> dict[str, Any]:
        found = actions(self.potential, phase.x, phase.v, workers=workers or self.workers)
        return {"l_perp": l_perp(phase.x, phase.v), **{key: getattr(found, key) for key in vars(found)}, "all": found}

    def _bounds(self, seen: MeasuredStars, first: int) -> dict[str, Array]:
        """16 % and 84 % points (2, n) of each quantity."""
        if first % BLOCK:
            raise ConfigError(f"first must be a multiple of {BLOCK}, got {first}")
        rows = len(seen.values)
        bounds = {name: np.full((2, rows), np.nan) for name in QUANTITIES}

        def run(part: slice) -> None:
            rng = np.random.default_rng([self.seed, (first + part.start) // BLOCK])
            drawn = self._quantities(self.frame.to_galactocentric(*seen.drawn(part, self.samples, rng)), workers=1)
            for name in QUANTITIES:
                sample = np.sort(drawn[name].reshape(-1, self.samples), axis=1)  # NaN goes to the end
                known = np.isfinite(sample).sum(axis=1)
                for side, share in enumerate((0.16, 0.84)):
                    place = np.maximum(share * (known - 1), 0.0)
                    low = place.astype(np.int64)
                    high = np.minimum(low + 1, np.maximum(known - 1, 0))
                    row = np.arange(len(sample))
                    point = sample[row, low] + (place - low) * (sample[row, high] - sample[row, low])
                    # a bound that rests on fewer than half of the draws would be one of the bound ones alone
                    bounds[name][side, part] = np.where(known > self.samples // 2, point, np.nan)

        in_blocks(run, rows, self.workers, block=BLOCK)
        return bounds

    def _join(
        self, stars: QTable, seen: MeasuredStars, values: dict[str, Any], bounds: dict[str, Array] | None
    ) -> QTable:
        from astropy import units as u

        found: Actions = values["all"]
        # what the actions say of a star that could not be used is no news
        news = ["" if reason else text for reason, text in zip(seen.reasons, found.reason, strict=True)]
        reasons = [", ".join(filter(None, pair)) for pair in zip(seen.notes, news, strict=True)]
        ends = ("", "_low", "_high") if bounds is not None else ("",)
        keep_given(stars, [*(f"{name}{end}" for name in QUANTITIES for end in ends), "prograde", "reason"])
        for name, unit in QUANTITIES.items():
            stars[name] = values[name] * u.Unit(unit) if unit else values[name]
            if bounds is not None:
                for side, end in enumerate(("low", "high")):
                    bound = bounds[name][side]
                    stars[f"{name}_{end}"] = bound * u.Unit(unit) if unit else bound
        stars["prograde"] = self.frame.prograde(values["l_z"])
        stars["reason"] = np.array(reasons, dtype=str)
        stars.meta["potential"] = self.potential.name
        stars.meta["frame"] = self.frame.name
        record(
            stars, "orbits and actions", potential=self.potential.name, frame=self.frame.name, samples=self.samples,
            parallax_zero_point=self.parallax_zero_point, seed=self.seed,
        )  # fmt: skip
        return stars


def phase_space_draws(
    table: QTable,
    frame: GalacticFrame,
    count: int,
    *,
    parallax_zero_point: float = 0.0,
    seed: int = 0,
    survey: str | None = None,
    label: str = "the table",
) -> tuple[PhaseSpace, PhaseSpace, list[str]]:
    """Where stars are and how they move, and draws of it from their errors with all correlations.

    Parameters
    ----------
    table : with the columns of ``starloom.dynamics.schema.SCHEMA``.
    frame : the Sun's place and motion.
    count : draws of each star.
    parallax_zero_point, survey, label : as for :class:`OrbitModel`.
    seed : of the draws; they come in blocks with seeds of their own.

    Returns
    -------
    tuple
        Measured phase space, x and v (n, 3); draws, x and v (n, count, 3), all alike where a table has no errors; and
        a reason for each star, empty where all went well.
    """
    stars = six_coordinates(table, survey, label, "velocities")
    if count < 1:
        raise ConfigError(f"count must be at least 1, got {count}")
    seen = MeasuredStars.read(stars, zero_point=parallax_zero_point)
    x, v = np.empty((len(stars), count, 3)), np.empty((len(stars), count, 3))

    def run(part: slice) -> None:
        rng = np.random.default_rng([seed, part.start // BLOCK])
        drawn = frame.to_galactocentric(*seen.drawn(part, count, rng))
        x[part], v[part] = drawn.x.reshape(-1, count, 3), drawn.v.reshape(-1, count, 3)

    in_blocks(run, len(stars), 1, block=BLOCK)
    return frame.to_galactocentric(*seen.center()), PhaseSpace(x, v), seen.notes


def orbits_of_table(
    source: Any,
    out_path: str | Path,
    *,
    potential_name: str = "MilkyWayPotential2022",
    frame_name: str = "astropy_v4.0",
    samples: int = SAMPLES,
    parallax_zero_point: float = 0.0,
    seed: int = 0,
    workers: int | None = None,
    survey: str | None = None,
) -> tuple[int, int]:
    """Read a table of stars, write it with orbits.

    A Parquet file or folder goes through memory in parts if the result is to be Parquet too; other kinds are read
    whole.

    Parameters
    ----------
    source : path of a table with the six coordinates, or a table in memory.
    out_path : where the result goes; its suffix says in which form.
    potential_name, frame_name : see ``potential_names()`` and ``frame_names()``.
    samples, parallax_zero_point, seed, workers : as for :class:`OrbitModel`.
    survey : whose names and units hold.

    Returns
    -------
    tuple
        Rows written, and how many of them carry a reason.
    """
    from starloom.catalog import row_jobs

    settings = (potential_name, frame_name, samples, parallax_zero_point, seed, workers)
    _model(settings)  # a wrong name is said before the work
    label = str(source) if isinstance(source, str | Path) else "the table"
    done = row_jobs.run(OrbitJob(settings, survey, label), source, out_path, rows=ROWS, align=BLOCK)
    return done.rows, done.remarks


@dataclass(frozen=True)
class OrbitJob:
    """Orbits of some rows of a table: potential, frame, samples, zero point, seed, threads; survey and label."""

    settings: tuple[str, str, int, float, int, int | None]
    survey: str | None
    label: str

    def __call__(self, batch: QTable, first: int) -> QTable:
        """The rows with orbits."""
        return _model(self.settings).predict(batch, survey=self.survey, label=self.label, first=first)


@lru_cache(maxsize=2)
def _model(settings: tuple[str, str, int, float, int, int | None]) -> OrbitModel:
    name, frame, *rest = settings
    return OrbitModel(potential(name), GalacticFrame.named(frame), *rest)  # type: ignore[arg-type]
