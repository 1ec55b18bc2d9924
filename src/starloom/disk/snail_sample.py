"""From a table of stars with six coordinates to vertical actions and angles, and to spirals by angular momentum."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.catalog.given_columns import keep_given
from starloom.catalog.provenance import KEY, record
from starloom.catalog.quality import repeated
from starloom.catalog.schema import plain
from starloom.disk.snail_measurement import FEWEST, SnailAge, check_settings, measure
from starloom.dynamics.frames import GalacticFrame
from starloom.dynamics.measured_stars import check_speeds
from starloom.dynamics.orbits import TIME_UNIT
from starloom.dynamics.potentials import Potential
from starloom.dynamics.schema import SCHEMA
from starloom.dynamics.vertical_actions import REASONS, VerticalActions, VerticalPotential
from starloom.errors import CatalogError, ConfigError, MissingColumnError
from starloom.seeds import generator

if TYPE_CHECKING:
    from astropy.table import QTable

Array = NDArray[np.float64]
LEAST_PRECISE = 0.2
FARTHEST = 2.0  # kpc
Z_TOP = 5.0
PLACES = ("galactic_radius", "galactic_height", "v_z", "l_z", "guiding_radius", "action_z", "theta_z", "omega_z")


class RadialVerticalActions:
    """Vertical actions at any guiding radius: tables at several radii, and between them linear.

    Parameters
    ----------
    potential : the Galaxy.
    low, high, step : radii of the tables (kpc).
    z_top : largest height (kpc).

    Raises
    ------
    ConfigError
        When the radii do not rise from above 0.

    Examples
    --------
    >>> from starloom.dynamics.potentials import potential
    >>> tables = RadialVerticalActions(potential("MWPotential2014"), 7.0, 9.0)
    >>> action, theta, omega, flag = tables.find([8.1], [0.5], [10.0])
    >>> bool(0 < action[0] < 20), int(flag[0])
    (True, 0)
    """

    def __init__(
        self, potential: Potential, low: float = 3.0, high: float = 15.0, step: float = 0.25, z_top: float = Z_TOP
    ) -> None:
        if not (0 < low < high and step > 0):
            raise ConfigError(f"radii must rise from above 0, got {low:g} to {high:g} by {step:g} kpc")
        self.radii = np.linspace(low, high, max(2, round((high - low) / step) + 1))
        self.z_top = z_top
        self._potential = potential
        self._tables: dict[int, VerticalActions] = {}

    def table(self, index: int) -> VerticalActions:
        """The table at one of the radii, made when it is first asked for."""
        if index not in self._tables:
            vertical = VerticalPotential.at_radius(self._potential, float(self.radii[index]))
            self._tables[index] = VerticalActions(vertical, self.z_top, heights=2048, energies=256, phases=128)
        return self._tables[index]

    def find(self, radius: ArrayLike, z: ArrayLike, v: ArrayLike) -> tuple[Array, Array, Array, NDArray[np.int64]]:
        """Action (kpc km/s), angle (rad), frequency (rad/Gyr) and flag, (n,) each; NaN and flag 4 at radii outside."""
        r, height, speed = (np.atleast_1d(np.asarray(part, dtype=np.float64)) for part in (radius, z, v))
        action, angle, omega = (np.full(len(r), np.nan) for _ in range(3))
        flag = np.full(len(r), 4, np.int64)
        for index, share, rows in self._brackets(r):
            low = self.table(index).find(height[rows], speed[rows])
            high = self.table(index + 1).find(height[rows], speed[rows])
            action[rows] = low.action_z + share * (high.action_z - low.action_z)
            apart = (high.theta_z - low.theta_z + np.pi) % (2.0 * np.pi) - np.pi
            angle[rows] = (low.theta_z + share * apart) % (2.0 * np.pi)
            omega[rows] = (low.omega_z + share * (high.omega_z - low.omega_z)) / TIME_UNIT
            flag[rows] = low.flag | high.flag
        return action, angle, omega, flag

    def position(self, radius: ArrayLike, action: ArrayLike, theta: ArrayLike) -> tuple[Array, Array]:
        """Height (kpc) and velocity (km/s) of actions and angles at guiding radii."""
        r, j, angle = (np.atleast_1d(np.asarray(part, dtype=np.float64)) for part in (radius, action, theta))
        z, v = np.full(len(r), np.nan), np.full(len(r), np.nan)
        for index, share, rows in self._brackets(r):
            below = self.table(index).position(j[rows], angle[rows])
            above = self.table(index + 1).position(j[rows], angle[rows])
            z[rows] = below[0] + share * (above[0] - below[0])
            v[rows] = below[1] + share * (above[1] - below[1])
        return z, v

    def omega(self, radius: ArrayLike, action: ArrayLike) -> Array:
        """Frequencies (n,) rad/Gyr at guiding radii and actions."""
        r, j = (np.atleast_1d(np.asarray(part, dtype=np.float64)) for part in (radius, action))
        found = np.full(len(r), np.nan)
        for index, share, rows in self._brackets(r):
            low, high = self.table(index).omega(j[rows]), self.table(index + 1).omega(j[rows])
            found[rows] = (low + share * (high - low)) / TIME_UNIT
        return found

    def _brackets(self, radius: Array) -> list[tuple[int, Array, NDArray[np.int64]]]:
        inside = np.isfinite(radius) & (radius >= self.radii[0]) & (radius <= self.radii[-1])
        place = np.full(len(radius), -1)
        place[inside] = np.clip(np.searchsorted(self.radii, radius[inside], "right") - 1, 0, len(self.radii) - 2)
        step = self.radii[1] - self.radii[0]
        found = []
        for index in np.unique(place[inside]):
            rows = np.flatnonzero(place == index)
            found.append((int(index), (radius[rows] - self.radii[index]) / step, rows))
        return found


@dataclass(frozen=True)
class SnailSample:
    """What makes a table of stars ready for the measurement.

    Parameters
    ----------
    potential, frame : the Galaxy, and the Sun in it.
    parallax_zero_point : mas, subtracted before parallaxes are inverted.
    farthest : kpc from the Sun; stars beyond are not used.
    largest_action_r : kpc km/s; hotter orbits are not used: spirals of different radii blur each other.
    """

    potential: Potential
    frame: GalacticFrame
    parallax_zero_point: float = 0.0
    farthest: float = FARTHEST
    largest_action_r: float = np.inf

    def __post_init__(self) -> None:
        if not (self.farthest > 0 and self.largest_action_r > 0):
            raise ConfigError("farthest and largest_action_r must be positive")

    def predict(self, table: QTable, *, survey: str | None = None, label: str = "the table") -> QTable:
        """The rows of a table with their places in the disk and their vertical actions and angles.

        Parameters
        ----------
        table : with the columns of ``starloom.dynamics.schema.SCHEMA``.
        survey : whose names and units hold; by default the one that fits best.
        label : what to call the table in messages.

        Returns
        -------
        QTable
            With ``galactic_radius``, ``galactic_height``, ``v_z``, ``l_z`` (positive along the disk's rotation),
            ``guiding_radius``, ``action_r`` (if it is cut on), ``action_z``, ``theta_z``, ``omega_z`` (rad/Gyr), and
            ``reason``: empty for stars that are used.

        Raises
        ------
        MissingColumnError
            When a coordinate is missing.
        CatalogError
            When the table is empty.
        """
        from astropy import units as u

        stars = SCHEMA.apply(table, survey, label=label)
        if "distance" not in stars.colnames and "parallax" not in stars.colnames:
            raise MissingColumnError(f"{label} has neither 'distance' nor 'parallax'; heights need one of them")
        check_speeds(stars, label)
        texts, why = [""], np.zeros(len(stars), np.int64)  # each star's first reason, as a number

        def refuse(where: NDArray[np.bool_], reason: str) -> None:
            texts.append(reason)
            why[where & (why == 0)] = len(texts) - 1

        distance = self._distance(stars, refuse)
        seen = [plain(stars, name) for name in ("ra", "dec", "pmra", "pmdec", "radial_velocity")]
        for name, values in zip(("ra", "dec", "pmra", "pmdec", "radial_velocity"), seen, strict=True):
            refuse(~np.isfinite(values), f"no {name}")
        refuse(distance > self.farthest, f"farther than {self.farthest:g} kpc")
        refuse(repeated(stars), "a source_id that an earlier row has")
        ra, dec, pmra, pmdec, speed = seen
        x, v = self.frame.to_galactocentric(ra, dec, distance, pmra, pmdec, speed)
        radius = np.hypot(x[:, 0], x[:, 1])
        l_z = x[:, 0] * v[:, 1] - x[:, 1] * v[:, 0]
        l_z = np.where(self.frame.prograde(l_z), np.abs(l_z), -np.abs(l_z))
        refuse(l_z <= 0, "against the disk's rotation")
        guiding = self._guiding_radius(l_z)
        if np.isfinite(self.largest_action_r):
            keep_given(stars, ["action_r"])
            stars["action_r"] = self._action_r(x, v, refuse) * u.kpc * u.km / u.s
        tables = RadialVerticalActions(self.potential)
        refuse(~((guiding >= tables.radii[0]) & (guiding <= tables.radii[-1])), "guiding radius beyond the tables")
        action, theta, omega, flag = tables.find(np.where(why == 0, guiding, np.nan), x[:, 2], v[:, 2])
        for bit, reason in REASONS.items():
            refuse((flag & bit) != 0, reason)
        used = why == 0
        keep_given(stars, [*PLACES, "reason"])
        columns = {
            "galactic_radius": (radius, u.kpc), "galactic_height": (x[:, 2], u.kpc), "v_z": (v[:, 2], u.km / u.s),
            "l_z": (l_z, u.kpc * u.km / u.s), "guiding_radius": (guiding, u.kpc),
            "action_z": (action, u.kpc * u.km / u.s), "theta_z": (theta, u.rad), "omega_z": (omega, u.rad / u.Gyr),
        }  # fmt: skip
        for name, (values, unit) in columns.items():
            kept = used if name in ("action_z", "theta_z", "omega_z") else np.ones(len(used), bool)
            stars[name] = np.where(kept, values, np.nan) * unit
        kinds, place = np.unique(why, return_inverse=True)
        stars["reason"] = np.array([texts[kind] for kind in kinds])[place]
        stars.meta["potential"], stars.meta["frame"] = self.potential.name, self.frame.name
        record(
            stars, "vertical actions and angles", potential=self.potential.name, frame=self.frame.name,
            parallax_zero_point=self.parallax_zero_point, farthest=self.farthest,
            largest_action_r=self.largest_action_r if np.isfinite(self.largest_action_r) else None,
        )  # fmt: skip
        return stars

    def _distance(self, stars: QTable, refuse: Any) -> Array:
        nowhere = np.full(len(stars), np.nan)
        distance = plain(stars, "distance") if "distance" in stars.colnames else nowhere.copy()
        refuse(np.isfinite(distance) & (distance <= 0), "distance is not positive")
        distance[distance <= 0] = np.nan
        if "parallax" in stars.colnames:
            parallax = plain(stars, "parallax") - self.parallax_zero_point
            error = plain(stars, "parallax_error") if "parallax_error" in stars.colnames else np.zeros(len(stars))
            inverted = ~np.isfinite(distance)
            refuse(inverted & (parallax <= 0), "parallax is not positive")
            loose = inverted & (error > LEAST_PRECISE * parallax)
            refuse(loose, f"parallax less precise than {LEAST_PRECISE:.0%}")
            with np.errstate(divide="ignore", invalid="ignore"):
                distance = np.where(inverted & (parallax > 0) & ~loose, 1.0 / parallax, distance)
        refuse(~np.isfinite(distance), "no distance")
        return distance

    def _guiding_radius(self, l_z: Array) -> Array:
        grid = np.linspace(0.5, 30.0, 1000)
        return np.interp(l_z, grid * self.potential.circular_velocity(grid), grid, left=np.nan, right=np.nan)

    def _action_r(self, x: Array, v: Array, refuse: Any) -> Array:
        from starloom.dynamics.actions import actions

        found = actions(self.potential, x, v)
        refuse(~np.isfinite(found.action_r), "no radial action")
        refuse(found.action_r > self.largest_action_r, f"radial action above {self.largest_action_r:g} kpc km/s")
        return found.action_r


def snails(
    stars: QTable,
    *,
    edges: ArrayLike | None = None,
    actions: tuple[float, float] = (5.0, 60.0),
    search: tuple[float, float] = (0.05, 1.5),
    harmonic: int = 1,
    bootstraps: int = 200,
    seed: int = 0,
) -> tuple[QTable, list[SnailAge | None]]:
    """Measure the spiral in bins of angular momentum.

    Parameters
    ----------
    stars : from :meth:`SnailSample.predict`, or any table with ``l_z``, ``action_z``, ``theta_z``, ``omega_z``.
    edges : of the bins (kpc km/s); by default bins of 100 where they hold the 1000 stars that are needed.
    actions : vertical actions used (kpc km/s).
    search, harmonic, bootstraps, seed : as of :func:`starloom.disk.snail_measurement.measure`.

    Returns
    -------
    tuple
        A table with a row a bin, and the measurements; a bin with too few stars keeps its row, with a ``reason``.

    Raises
    ------
    CatalogError
        When no bin can be made.
    """
    from astropy import units as u
    from astropy.table import QTable

    check_settings(harmonic, search, bootstraps)
    l_z, action = plain(stars, "l_z"), plain(stars, "action_z")
    theta, omega = plain(stars, "theta_z"), plain(stars, "omega_z")
    used = np.isfinite(theta) & np.isfinite(omega) & (action >= actions[0]) & (action <= actions[1])
    if edges is None:
        if used.sum() < FEWEST:
            raise CatalogError(
                f"{int(used.sum())} stars have a vertical action between {actions[0]:g} and {actions[1]:g} kpc km/s, "
                f"and a spiral needs at least {FEWEST}; bring more stars, or widen the cuts"
            )
        low, high = np.quantile(l_z[used], [0.005, 0.995])
        edges = np.arange(100.0 * np.floor(low / 100.0), high + 100.0, 100.0)
    bounds = np.asarray(edges, dtype=np.float64)
    if bounds.ndim != 1 or len(bounds) < 2 or not (np.diff(bounds) > 0).all():
        raise ConfigError("edges of the angular momentum must rise, two or more")
    rng = generator(seed)
    found: list[SnailAge | None] = []
    why: list[str] = []
    counted: list[int] = []
    radius = []
    for low, high in itertools.pairwise(bounds):
        inside = used & (l_z >= low) & (l_z < high)
        radius.append(
            float(np.median(plain(stars, "guiding_radius")[inside]))
            if inside.any() and "guiding_radius" in stars.colnames
            else np.nan
        )
        try:
            one = measure(
                theta[inside], omega[inside], search=search, harmonic=harmonic, bootstraps=bootstraps,
                seed=int(rng.integers(2**31)),
            )  # fmt: skip
        except CatalogError as error:
            found.append(None)
            counted.append(int(inside.sum()))
            why.append(str(error).partition(";")[0])
            continue
        found.append(one)
        counted.append(int(one.stars))
        why.append("; ".join(one.warnings))

    def column(name: str) -> Array:
        return np.array([np.nan if one is None else float(getattr(one, name)) for one in found])

    table = QTable()
    table["l_z_low"], table["l_z_high"] = bounds[:-1] * u.kpc * u.km / u.s, bounds[1:] * u.kpc * u.km / u.s
    table["guiding_radius"] = np.array(radius) * u.kpc
    table["stars"] = np.array(counted, dtype=np.int64)
    for name in ("age", "age_low", "age_high", "slope", "slope_low", "slope_high", "fitted", "fitted_error"):
        table[name] = column(name) * u.Gyr
    for name in ("amplitude", "amplitude_error", "phase", "power", "false_alarm"):
        table[name] = column(name)
    table["resolution"] = column("resolution") * u.Gyr
    table["second_age"] = column("second_age") * u.Gyr
    table["seen"] = np.array([one is not None and one.seen for one in found])
    table["reason"] = np.array(why, dtype=str)
    return table, found


def snails_of_table(
    source: Any,
    out_path: Any,
    *,
    stars_path: Any = None,
    potential_name: str = "MWPotential2014",
    frame_name: str = "astropy_v4.0",
    width: float = 100.0,
    whole: bool = False,
    farthest: float = FARTHEST,
    largest_action_r: float = np.inf,
    parallax_zero_point: float = 0.0,
    harmonic: int = 1,
    search: tuple[float, float] = (0.05, 1.5),
    bootstraps: int = 200,
    survey: str | None = None,
    seed: int = 0,
) -> QTable:
    """Read a table of stars, write the ages of its spirals by angular momentum, and if wanted the stars themselves.

    Parameters
    ----------
    source : path of a table, or one in memory.
    out_path : where the ages go; ``stars_path``: where the stars with actions and angles go.
    potential_name, frame_name : see ``potential_names()`` and ``frame_names()``.
    width : of the bins of angular momentum (kpc km/s); ``whole``: one bin of all stars.
    farthest, largest_action_r, parallax_zero_point : as of :class:`SnailSample`.
    harmonic, search, bootstraps, seed : as of :func:`snails`.
    survey : whose names and units hold.

    Returns
    -------
    QTable
        What was written to ``out_path``.
    """
    from starloom.catalog.tables import read_table, require_writable, write_table
    from starloom.dynamics.potentials import potential

    if not width > 0:
        raise ConfigError(f"the width of the bins must be positive, got {width!r}")
    sample = SnailSample(
        potential(potential_name), GalacticFrame.named(frame_name), parallax_zero_point, farthest, largest_action_r
    )
    rows = read_table(source)
    if stars_path is not None:
        require_writable(rows, stars_path)  # before the work
    stars = sample.predict(rows, survey=survey, label=str(source))
    if stars_path is not None:
        write_table(stars, stars_path)
    used = np.isfinite(plain(stars, "theta_z"))
    if not used.any():
        names, counts = np.unique(np.asarray(stars["reason"]), return_counts=True)
        raise CatalogError(f"{source}: no star can be used; most of them: {names[np.argmax(counts)]}")
    l_z = plain(stars, "l_z")[used]
    low, high = np.quantile(l_z, [0.005, 0.995])
    edges = np.arange(width * np.floor(low / width), high + width, width)
    if whole or len(edges) < 2:
        edges = np.array([l_z.min(), np.nextafter(l_z.max(), np.inf)])
    table, _ = snails(stars, edges=edges, search=search, harmonic=harmonic, bootstraps=bootstraps, seed=seed)
    table.meta |= {"potential": potential_name, "frame": frame_name, "harmonic": harmonic, "seed": seed}
    table.meta[KEY] = stars.meta[KEY]
    record(table, "ages of the phase spiral", width=width, harmonic=harmonic, search=list(search), seed=seed)
    write_table(table, out_path)
    return table
