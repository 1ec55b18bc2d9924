"""Stars as they are seen, followed back: do they come from the Galactic center, when, and how fast did they leave?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from starloom.catalog.provenance import record
from starloom.catalog.schema import plain
from starloom.dynamics.frames import GalacticFrame, draw_errors
from starloom.dynamics.orbits import integrate
from starloom.dynamics.potentials import Potential
from starloom.dynamics.schema import ASTROMETRY, PAIRS, SCHEMA
from starloom.errors import ConfigError, MissingColumnError
from starloom.galactic_center.flight import LAUNCH_RADIUS
from starloom.seeds import generator

if TYPE_CHECKING:
    from astropy.table import QTable

Array = NDArray[np.float64]
COARSE, FINE = 60, 25
MAS = 1.0 / 3.6e6
LEAST_PRECISE = 0.3  # relative error of a parallax above which its inverse is no distance
COORDINATES = ("ra", "dec", "distance", "pmra", "pmdec", "radial_velocity")
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

    def predict(self, table: QTable, *, seed: int, survey: str | None = None, label: str = "the table") -> QTable:
        """The rows of a table with where each star comes from.

        Parameters
        ----------
        table : with position, distance or parallax, proper motions and radial velocity, and their errors
            (``starloom.dynamics.schema.SCHEMA``).
        seed : of the draws; each star has a stream of its own.
        survey : whose names and units hold.
        label : what to call the table in messages.

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
        stars = SCHEMA.apply(table, survey, label=label)
        if "distance" not in stars.colnames and "parallax" not in stars.colnames:
            raise MissingColumnError(f"{label} has neither 'distance' nor 'parallax'; a traceback needs one of them")
        values, covariance, inverted, reasons, remarks = _measured(stars)
        found = {name: np.full((3, len(stars)), np.nan) for name in QUANTITIES}
        chances = {name: np.full(len(stars), np.nan) for name in ("p_center", "p_unbound", "p_fast")}
        for row in np.flatnonzero(reasons == ""):
            rng = np.random.default_rng([seed, int(row)])
            drawn = self._draw(values[row], covariance[row], bool(inverted[row]), rng)
            made = self._follow(drawn)
            if made is None:
                reasons[row] = "the orbit could not be followed back"
                continue
            for name in QUANTITIES:
                found[name][:, row] = np.quantile(made[name], [0.5, 0.16, 0.84])
            chances["p_unbound"][row] = float(np.mean(made["unbound"]))
            chances["p_fast"][row] = float(np.mean(made["galactocentric_speed"] > self.fast))
            chances["p_center"][row] = _center_chance(made["offset"])
        for name, unit in QUANTITIES.items():
            for end, column in zip(("", "_low", "_high"), found[name], strict=True):
                stars[f"{name}{end}"] = column * u.Unit(unit)
        for name, column in chances.items():
            stars[name] = column
        stars["remark"] = remarks
        stars["reason"] = reasons
        stars.meta |= {"potential": self.model.name, "frame": self.frame.name}
        record(
            stars, "followed back to the Galactic center", potential=self.model.name, frame=self.frame.name,
            span=self.span, samples=self.samples, seed=seed,
        )  # fmt: skip
        return stars

    def _draw(self, center: Array, covariance: Array, inverted: bool, rng: np.random.Generator) -> Array:
        """(draws, 6) coordinates with distances in kpc; the first is the measured one."""
        shifts = draw_errors(covariance[None], self.samples, rng)[0]
        shifts[0] = 0.0
        shifts[:, 0] /= max(np.cos(np.radians(center[1])), 1e-6)
        drawn = center + shifts
        with np.errstate(divide="ignore"):
            drawn[:, 2] = np.where(inverted, 1.0 / drawn[:, 2], drawn[:, 2])
        return np.asarray(drawn[(drawn[:, 2] > 0) & np.isfinite(drawn[:, 2])])

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
        limit = np.abs(window[:, 1] - window[:, 0]) / 0.9777922216807892
        ahead = np.clip(ahead, -limit, limit)
        nearest = x + ahead[:, None] * v
        closest = np.linalg.norm(nearest, axis=1)
        time = window[rows, place] + ahead * 0.9777922216807892
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


def _measured(stars: QTable) -> tuple[Array, Array, NDArray[np.bool_], NDArray[np.str_], NDArray[np.str_]]:
    """Values (n, 6) with a parallax in the place of the distance where there is none, their covariances, which are
    inverted, why a row cannot be used, and what is assumed of it."""
    rows = len(stars)

    def column(name: str, otherwise: float) -> Array:
        return plain(stars, name) if name in stars.colnames else np.full(rows, otherwise)

    distance, parallax = column("distance", np.nan), column("parallax", np.nan)
    inverted = ~np.isfinite(distance) & np.isfinite(parallax)
    reach = np.where(inverted, parallax, distance)
    values = np.stack([reach if name == "distance" else plain(stars, name) for name in COORDINATES], axis=1)
    errors = np.zeros((rows, 6))
    reasons, remarks = np.full(rows, "", dtype="U120"), np.full(rows, "", dtype="U120")
    for place, name in enumerate(COORDINATES):
        missing = ~np.isfinite(values[:, place]) & (reasons == "")
        reasons[missing] = f"no {name}"
        scale = MAS if place < 2 else 1.0
        error = column(f"{name}_error", 0.0) * scale
        if name == "distance":
            error = np.where(inverted, column("parallax_error", 0.0), error)
        unknown = ~np.isfinite(error) | (error < 0)
        for row in np.flatnonzero(unknown):
            remarks[row] = f"{remarks[row]}; " * bool(remarks[row]) + f"no error of {name}: taken as exact"
        errors[:, place] = np.where(unknown, 0.0, error)
    wrong = (values[:, 2] <= 0) & (reasons == "")
    reasons[wrong & inverted] = "the parallax is not positive"
    reasons[wrong & ~inverted] = "the distance is not positive"
    with np.errstate(divide="ignore", invalid="ignore"):
        loose = inverted & (errors[:, 2] > LEAST_PRECISE * values[:, 2]) & (reasons == "")
    reasons[loose] = f"the parallax is less precise than {LEAST_PRECISE:.0%}: give a distance"
    correlation = np.tile(np.eye(6), (rows, 1, 1))
    for a, b in PAIRS:
        i, j = ASTROMETRY.index(a), ASTROMETRY.index(b)
        value = np.nan_to_num(column(f"{a}_{b}_corr", 0.0))
        if "parallax" in (a, b):
            value = np.where(inverted, value, 0.0)
        correlation[:, i, j] = correlation[:, j, i] = value
    return values, errors[:, :, None] * errors[:, None, :] * correlation, inverted, reasons, remarks
