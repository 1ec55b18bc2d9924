"""Stars as they are seen, followed back: do they come from the Galactic center, when, and how fast did they leave?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from starloom.catalog.given_columns import keep_given
from starloom.catalog.provenance import record
from starloom.dynamics.frames import GalacticFrame
from starloom.dynamics.measured_stars import MeasuredStars, six_coordinates
from starloom.dynamics.orbits import TIME_UNIT, integrate
from starloom.dynamics.potentials import Potential
from starloom.errors import ConfigError
from starloom.galactic_center.flight import LAUNCH_RADIUS
from starloom.seeds import generator

if TYPE_CHECKING:
    from astropy.table import QTable

Array = NDArray[np.float64]
COARSE, FINE = 60, 25
LEAST_PRECISE = 0.3  # relative error of a parallax above which its inverse is no distance
QUANTITIES = {
    "galactocentric_speed": "km/s",
    "closest_approach": "kpc",
    "flight_time": "Myr",
    "ejection_speed": "km/s",
}


@dataclass(frozen=True)
class Traceback:
    """Follows stars back through a potential.

    Parameters
    ----------
    model : potential, with Sgr A* in it.
    frame : the Sun.
    span : how far back, Myr.
    samples : draws from each star's errors.
    fast : Galactocentric speed (km/s) of a hypervelocity star.
    tolerance : of the steps.
    workers : threads; the result does not depend on it.

    Raises
    ------
    ConfigError
        When a number is out of its range.
    """

    model: Potential
    frame: GalacticFrame
    span: float = 100.0
    samples: int = 100
    fast: float = 700.0
    tolerance: float = 1e-9
    workers: int | None = None

    def __post_init__(self) -> None:
        if not self.span > 0 or self.samples < 8 or not self.fast >= 0:
            raise ConfigError("a traceback needs a positive span, at least 8 samples and a speed of at least 0")

    def predict(
        self, table: QTable, *, seed: int, survey: str | None = None, label: str = "the table", first: int = 0
    ) -> QTable:
        """The rows of a table with where each star comes from.

        Parameters
        ----------
        table : with position, distance or parallax, proper motions and radial velocity, and their errors
            (``starloom.dynamics.schema.SCHEMA``).
        seed : of the draws; each star has a stream of its own.
        survey : whose names and units hold.
        label : what to call the table in messages.
        first : number of the first row in the table that these rows are a part of.

        Returns
        -------
        QTable
            The canonical columns, then each of ``QUANTITIES`` with its 16 % and 84 % points: speed today, distance of
            the closest approach to the center within the span, when that was, and the speed a star would have needed 3
            pc from the center; ``p_center``: how often a star from the center would be found as far from it (two
            dimensions, normal errors); ``p_unbound`` and ``p_fast``; ``reason``: empty where all went well.

        Raises
        ------
        MissingColumnError
            When one of the six coordinates is missing.
        CatalogError
            When the table is empty.
        ConfigError
            When the seed is no number of at least 0.
        """
        from astropy import units as u

        generator(seed)  # says what is wrong with a seed that is none
        stars = six_coordinates(table, survey, label, "tracebacks")
        seen = MeasuredStars.read(stars, least_precise=LEAST_PRECISE, unknown_error=0.0, unknown="taken as exact")
        reasons, measured = list(seen.reasons), np.stack(seen.center(), axis=1)
        found = {name: np.full((3, len(stars)), np.nan) for name in QUANTITIES}
        chances = {name: np.full(len(stars), np.nan) for name in ("p_center", "p_unbound", "p_fast")}
        for row in (k for k, reason in enumerate(reasons) if not reason):
            rng = np.random.default_rng([seed, first + row])
            drawn = np.stack(seen.drawn(slice(row, row + 1), self.samples, rng), axis=1)
            drawn[0] = measured[row]
            made = self._follow(drawn[np.isfinite(drawn).all(axis=1)])
            if made is None:
                reasons[row] = "the orbit could not be followed back"
                continue
            for name in QUANTITIES:
                found[name][:, row] = np.quantile(made[name], [0.5, 0.16, 0.84])
            chances["p_unbound"][row] = float(np.mean(made["unbound"]))
            chances["p_fast"][row] = float(np.mean(made["galactocentric_speed"] > self.fast))
            chances["p_center"][row] = _center_chance(made["offset"])
        keep_given(stars, [f"{name}{end}" for name in QUANTITIES for end in ("", "_low", "_high")])
        keep_given(stars, [*chances, "remark", "reason"])
        for name, unit in QUANTITIES.items():
            for end, column in zip(("", "_low", "_high"), found[name], strict=True):
                stars[f"{name}{end}"] = column * u.Unit(unit)
        for name, column in chances.items():
            stars[name] = column
        stars["remark"] = seen.remarks
        stars["reason"] = reasons
        stars.meta |= {"potential": self.model.name, "frame": self.frame.name}
        record(
            stars, "followed back to the Galactic center", potential=self.model.name, frame=self.frame.name,
            span=self.span, samples=self.samples, seed=seed,
        )  # fmt: skip
        return stars

    def _follow(self, drawn: Array) -> dict[str, Any] | None:
        """Speeds and closest approaches of draws of one star."""
        if len(drawn) < max(8, self.samples // 2):
            return None
        now = self.frame.to_galactocentric(*drawn.T)
        span = 1e-3 * self.span
        times = -span * np.linspace(0.0, 1.0, COARSE) ** 1.5
        first = integrate(self.model, now.x, now.v, times, tolerance=self.tolerance, workers=self.workers)
        if (first.flag != 0).any():
            return None
        # the last time the star was nearest: the first minimum going back, else the least of all
        times_of = _nearest_times(first.positions, first.velocities, times)
        step = np.abs(times_of) * 0.02 + 1e-6
        window = np.clip(times_of[:, None] + step[:, None] * np.linspace(-1.0, 1.0, FINE), -span, 0.0)
        second = integrate(self.model, now.x, now.v, window, tolerance=self.tolerance, workers=self.workers)
        if (second.flag != 0).any():
            return None
        rows = np.arange(len(drawn))
        radius = np.linalg.norm(second.positions, axis=2)
        place = radius.argmin(axis=1)
        x, v = second.positions[rows, place], second.velocities[rows, place]
        # to the turning point itself in a straight line: the steps left are far below the distance
        ahead = -np.sum(x * v, axis=1) / np.sum(v * v, axis=1)
        limit = np.abs(window[:, 1] - window[:, 0]) / TIME_UNIT
        ahead = np.clip(ahead, -limit, limit)
        nearest = x + ahead[:, None] * v
        closest = np.linalg.norm(nearest, axis=1)
        time = window[rows, place] + ahead * TIME_UNIT
        edge = np.array([LAUNCH_RADIUS, 0.0, 0.0])
        energy = 0.5 * np.sum(now.v**2, axis=1) + self.model.value(now.x)
        launch = np.sqrt(np.maximum(2.0 * (energy - float(self.model.value(edge))), 0.0))
        direction = v[0] / np.linalg.norm(v[0])
        side = np.cross(direction, [0.0, 0.0, 1.0] if abs(direction[2]) < 0.9 else [1.0, 0.0, 0.0])
        side /= np.linalg.norm(side)
        # where the orbit of each draw crosses the plane through the center across the star's way
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = nearest - (nearest @ direction / (v @ direction))[:, None] * v
        return {
            "galactocentric_speed": np.linalg.norm(now.v, axis=1),
            "closest_approach": closest,
            "flight_time": -1e3 * time,
            "ejection_speed": launch,
            "unbound": energy > 0,
            "offset": np.stack([crossing @ side, crossing @ np.cross(direction, side)], axis=1),
        }


def _nearest_times(positions: Array, velocities: Array, times: Array) -> Array:
    """Times (n,) of the first minimum of the radius going back, from straight lines between outputs."""
    approach = np.sum(positions * velocities, axis=2)
    passed = (approach[:, :-1] > 0) & (approach[:, 1:] <= 0)
    # going back, a star flying outward comes nearer until x.v changes sign
    place = np.where(passed.any(axis=1), passed.argmax(axis=1), len(times) - 2)
    rows = np.arange(len(positions))
    before, after = approach[rows, place], approach[rows, place + 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(passed.any(axis=1), before / (before - after), 1.0)
    share = np.where(approach[:, 0] <= 0, 0.0, share)
    place = np.where(approach[:, 0] <= 0, 0, place)
    return np.asarray(times[place] + np.clip(share, 0.0, 1.0) * (times[place + 1] - times[place]))


def _center_chance(offset: Array) -> float:
    """Chance to miss the center by more, for a star from there whose errors are those of the draws."""
    covariance = np.cov(offset, rowvar=False)
    if not np.isfinite(covariance).all() or np.linalg.det(covariance) <= 0:
        return float("nan")
    middle = offset[0]
    return float(np.exp(-0.5 * middle @ np.linalg.solve(covariance, middle)))
