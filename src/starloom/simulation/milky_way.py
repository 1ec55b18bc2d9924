"""A Galaxy to draw stars from: components in space, isochrones for their stars, dust, motions.

Stars down to a magnitude limit are drawn exactly, however rare they are: for each stretch of an isochrone the number of
stars that would be brighter than the limit is the volume, weighted with the component's density, out to which they can
be seen. Stretches are drawn by these numbers, then places inside the volumes; nothing is rejected but a thin shell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from starloom.dynamics.frames import MAS_YR_KPC, GalacticFrame
from starloom.errors import ConfigError
from starloom.seeds import generator
from starloom.simulation.components import StellarComponent, milky_way
from starloom.simulation.space_cells import (
    FARTHEST,
    NEAREST,
    SpaceCells,
    cells_of,
    extinction_to,
    places_in_pixels,
    positions,
)
from starloom.simulation.stellar_library import PHYSICS, StellarLibrary, build_library
from starloom.stellar.extinction import DustMap, ExponentialDust

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.stellar.isochrone_grids import IsochroneGrid
    from starloom.stellar.photometry import BolometricCorrections

Floats = NDArray[np.float64]
Numbers = tuple[Floats, NDArray[np.int64], Floats]
"""Of one component: stars per stretch of its library, its cells from the nearest on, their cumulative number."""

BANDS = (
    "gaia_g",
    "gaia_bp",
    "gaia_rp",
    "2mass_j",
    "2mass_h",
    "2mass_ks",
    "wise_w1",
    "wise_w2",
    "wise_w3",
    "wise_w4",
    "tess",
)
CIRCULAR_VELOCITY = 229.0
"""km/s at the Sun (2019ApJ...871..120E)."""

PAD = 0.4
"""How much fainter than the limit stars are first drawn (mag): the extinction of a cell and of a place in it differ."""


@dataclass(frozen=True)
class Galaxy:
    """Components, stars, dust and the place of the Sun.

    Parameters
    ----------
    components : by default a smooth Milky Way.
    bands : magnitudes that the stars get, names as in ``starloom.stellar.photometry``.
    dust : anything with ``ebv(l, b, distance)``; None for empty space.
    frame : where the Sun is and how it moves.
    nside : HEALPix resolution of the cells on the sky. Densities do not change inside a cell.
    lowest_mass, highest_mass : range of the initial mass function (2001MNRAS.322..231K).
    grid, corrections : stellar models; by default those of the datasets ``isochrone_grids`` and
        ``bolometric_corrections``.

    Examples
    --------
    >>> Galaxy().sample(1000, "2mass_h", 11.0, seed=1)["distance"].unit  # doctest: +SKIP
    Unit("kpc")
    """

    components: tuple[StellarComponent, ...] = field(default_factory=milky_way)
    bands: tuple[str, ...] = BANDS
    dust: DustMap | None = field(
        default_factory=lambda: ExponentialDust(local_rate=0.31, scale_length=3.3, scale_height=0.1)
    )
    frame: GalacticFrame = field(default_factory=GalacticFrame)
    nside: int = 32
    lowest_mass: float = 0.1
    highest_mass: float = 100.0
    grid: IsochroneGrid | None = None
    corrections: BolometricCorrections | None = None

    def __post_init__(self) -> None:
        if not self.components or len({part.name for part in self.components}) < len(self.components):
            raise ConfigError("a Galaxy needs components of distinct names")

    @cached_property
    def libraries(self) -> tuple[StellarLibrary, ...]:
        """The stars of each component."""
        from starloom.datasets.access import locate
        from starloom.stellar.isochrone_grids import IsochroneGrid
        from starloom.stellar.mass_functions import kroupa_2001
        from starloom.stellar.photometry import BolometricCorrections

        grid = self.grid or IsochroneGrid.open(locate("isochrone_grids", "mist").path)
        corrections = self.corrections or BolometricCorrections.open(locate("bolometric_corrections").path)
        masses = kroupa_2001(self.lowest_mass, self.highest_mass)
        return tuple(build_library(part, grid, corrections, self.bands, masses) for part in self.components)

    @cached_property
    def cells(self) -> SpaceCells:
        """The cells of space: volume, density and dust."""
        return cells_of(self)

    def expected(self, band: str, limit: float, distances: tuple[float, float] = (NEAREST, FARTHEST)) -> Floats:
        """Expected number of stars of each component brighter than a limit, shape (components,)."""
        return np.array([numbers.sum() for numbers, _, _ in self._numbers(band, limit, distances)])

    @cached_property
    def _counted(self) -> dict[tuple[str, float, tuple[float, float]], list[Numbers]]:
        """What was counted for the last few limits."""
        return {}

    def _numbers(self, band: str, limit: float, distances: tuple[float, float]) -> list[Numbers]:
        key = (band, limit, distances)
        if key not in self._counted:
            while len(self._counted) > 2:  # each holds an order of all cells
                self._counted.pop(next(iter(self._counted)))
            self._counted[key] = self._count(band, limit, distances)
        return self._counted[key]

    def _count(self, band: str, limit: float, distances: tuple[float, float]) -> list[Numbers]:
        if band not in self.bands:
            raise ConfigError(f"the Galaxy has no band {band!r}; it has: {', '.join(self.bands)}")
        if not 0 < distances[0] < distances[1]:
            raise ConfigError(f"distances must grow from above 0, not {distances}")
        place = self.bands.index(band)
        cells = self.cells
        inside = (cells.distance > distances[0]) & (cells.distance < distances[1])
        rows = np.flatnonzero(np.tile(inside, 12 * self.nside**2))
        found = []
        for density, library in zip(cells.number_density, self.libraries, strict=True):
            mean = float(
                np.average(library.dimming[library.number > 0, place], weights=library.number[library.number > 0])
            )
            depth = (cells.modulus[None, :] + mean * cells.a_v).reshape(-1)[rows]
            stars = (density * cells.volume[None, :]).reshape(-1)[rows]
            order = np.argsort(depth, kind="stable")
            depth, cumulative = depth[order], np.concatenate([[0.0], np.cumsum(stars[order])])
            seen = np.searchsorted(depth, limit - library.magnitudes[:, place], side="right")
            found.append((library.number * cumulative[seen], rows[order], cumulative))
        return found

    def sample(
        self,
        count: int,
        band: str,
        limit: float,
        *,
        seed: int | np.random.Generator,
        distances: tuple[float, float] = (NEAREST, FARTHEST),
    ) -> QTable:
        """Draw stars brighter than a limit, each as likely as any other.

        Parameters
        ----------
        count : stars wanted.
        band, limit : the magnitude limit, dust included.
        seed : of the draw.
        distances : nearest and farthest distance, kpc.

        Returns
        -------
        QTable
            ``source_id``; ``component`` (number) and ``meta["components"]`` (names); ``ra``, ``dec``, ``l``, ``b``,
            ``distance``, ``parallax``, ``pmra``, ``pmdec``, ``radial_velocity``; ``x``, ``y``, ``z``, ``v_x``, ``v_y``,
            ``v_z`` (right-handed, Sun at x = -R0); ``age``, ``fe_h``, ``alpha_fe``, ``initial_mass``, ``star_mass``,
            ``teff``, ``logg``, ``luminosity``, ``phase``; ``a_v``; true magnitudes ``true_<band>``. ``meta["weight"]``
            is the number of stars of the Galaxy that a row stands for.

        Raises
        ------
        ConfigError
            When the count or the band is unusable, or no star is brighter than the limit.
        """
        if count < 1:
            raise ConfigError(f"at least one star has to be drawn, not {count}")
        rng = generator(seed)
        numbers = self._numbers(band, limit + PAD, distances)
        totals = np.array([part.sum() for part, _, _ in numbers])
        if not totals.sum() > 0:
            raise ConfigError(f"the Galaxy has no star brighter than {band} = {limit}")
        pieces: list[dict[str, Any]] = []
        have = drawn = 0
        while have < count:
            batch = max(1000, round((count - have) * 1.6))
            piece = self._draw(batch, numbers, totals, rng)
            bright = np.flatnonzero(piece[f"true_{band}"] < limit)
            if have + len(bright) > count:
                bright = bright[: count - have]
                batch = int(bright[-1]) + 1
            pieces.append({name: values[bright] for name, values in piece.items()})
            have, drawn = have + len(bright), drawn + batch
        joined = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
        return _table(self, joined, float(totals.sum() / drawn), f"{band} < {limit:g}", rng)

    def _draw(
        self,
        count: int,
        numbers: Sequence[Numbers],
        totals: Floats,
        rng: np.random.Generator,
    ) -> dict[str, Any]:
        which = rng.choice(len(totals), count, p=totals / totals.sum())
        parts = []
        for place, ((stretch, order, cumulative), library) in enumerate(zip(numbers, self.libraries, strict=True)):
            mine = int((which == place).sum())
            if mine:
                parts.append(self._draw_component(mine, place, stretch, order, cumulative, library, rng))
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        mixed = rng.permutation(count)  # components one after another would make the order of the rows tell
        return {name: values[mixed] for name, values in joined.items()}

    def _draw_component(
        self,
        count: int,
        place: int,
        stretch: Floats,
        order: NDArray[np.int64],
        cumulative: Floats,
        library: StellarLibrary,
        rng: np.random.Generator,
    ) -> dict[str, Any]:
        edges = np.cumsum(stretch)
        point = np.minimum(np.searchsorted(edges, rng.random(count) * edges[-1], side="right"), len(stretch) - 1)
        reach = stretch[point] / library.number[point]  # stars of this density within reach
        cell = order[
            np.minimum(np.searchsorted(cumulative, rng.random(count) * reach, side="right") - 1, len(order) - 1)
        ]
        pixel, step = np.divmod(cell, len(self.cells.distance))
        distance = self.cells.place_in(step, rng)
        l, b = places_in_pixels(self.nside, pixel, rng)
        share = rng.random(count)[:, None]
        after = point + 1

        def between(values: Floats) -> Floats:
            return np.asarray(values[point] + share * (values[after] - values[point]))

        a_v = extinction_to(self.dust, l, b, distance)
        absolute, physics = between(library.magnitudes), between(library.physics)
        apparent = (
            absolute + (5.0 * np.log10(distance * 100.0) + 0.0)[:, None] + a_v[:, None] * between(library.dimming)
        )
        result: dict[str, Any] = {
            "component": np.full(count, place), "l": l, "b": b, "distance": distance, "a_v": a_v,
            "age": library.age[point], "fe_h": library.fe_h[point], "phase": library.phase[point],
        }  # fmt: skip
        result |= {name: physics[:, k] for k, name in enumerate(PHYSICS)}
        result |= {f"true_{name}": apparent[:, k] for k, name in enumerate(library.bands)}
        return result


def _table(galaxy: Galaxy, stars: dict[str, Any], weight: float, limit: str, rng: np.random.Generator) -> QTable:
    import astropy.units as u
    from astropy.table import QTable

    count = len(stars["l"])
    l, b, distance = stars["l"], stars["b"], stars["distance"]
    x, y, z = positions(galaxy.frame, l, b, distance)
    parts = galaxy.components
    which = stars["component"]
    sigma = np.array([part.sigma for part in parts])[which]
    drift = np.array([CIRCULAR_VELOCITY - part.lag for part in parts])[which]
    peculiar = rng.normal(size=(count, 3)) * sigma
    radius = np.maximum(np.hypot(x, y), 1e-6)
    outward, around = (
        np.stack([x, y]) / radius,
        np.stack([y, -x]) / radius,
    )  # rotation is clockwise, towards +y at the Sun
    v_phi = drift + peculiar[:, 1]
    v_x, v_y = peculiar[:, 0] * outward + v_phi * around
    v_z = peculiar[:, 2]
    relative = np.stack([v_x, v_y, v_z]) - np.asarray(galaxy.frame.v_sun)[:, None]
    ra, dec, pmra, pmdec, velocity = _observed(l, b, distance, relative)
    alpha = np.array([part.alpha_fe for part in parts])[which]
    table = QTable()
    table["source_id"] = np.arange(count, dtype=np.int64) + (np.int64(rng.integers(1, 2**30)) << np.int64(33))
    table["component"] = which.astype(np.int16)
    for name, values, unit in (
        ("ra", ra, u.deg),
        ("dec", dec, u.deg),
        ("l", l, u.deg),
        ("b", b, u.deg),
        ("distance", distance, u.kpc),
        ("parallax", 1.0 / distance, u.mas),
        ("pmra", pmra, u.mas / u.yr),
        ("pmdec", pmdec, u.mas / u.yr),
        ("radial_velocity", velocity, u.km / u.s),
        ("x", x, u.kpc),
        ("y", y, u.kpc),
        ("z", z, u.kpc),
        ("v_x", v_x, u.km / u.s),
        ("v_y", v_y, u.km / u.s),
        ("v_z", v_z, u.km / u.s),
        ("age", stars["age"], u.Gyr),
        ("initial_mass", stars["initial_mass"], u.Msun),
        ("star_mass", stars["star_mass"], u.Msun),
        ("teff", 10.0 ** stars["log_teff"], u.K),
        ("luminosity", 10.0 ** stars["log_l"], u.Lsun),
        ("a_v", stars["a_v"], u.mag),
    ):
        table[name] = values * unit
    table["fe_h"], table["logg"] = stars["fe_h"], stars["logg"]
    table["alpha_fe"] = rng.normal(alpha[:, 0], alpha[:, 1])
    table["phase"] = stars["phase"].astype(np.int16)
    for band in galaxy.bands:
        table[f"true_{band}"] = stars[f"true_{band}"] * u.mag
    table.meta.update(components=[part.name for part in parts], weight=weight, limit=limit, simulated=True)
    return table


def _observed(l: Floats, b: Floats, distance: Floats, velocity: Floats) -> tuple[Floats, ...]:
    """Equatorial coordinates (deg), proper motions (mas/yr) and radial velocity (km/s) of a Galactic motion (3, n)."""
    from astropy.coordinates import ICRS, Galactic, SkyCoord

    axes = SkyCoord(l=[0.0, 90.0, 0.0], b=[0.0, 0.0, 90.0], unit="deg", frame=Galactic()).transform_to(ICRS())
    turn = np.asarray(axes.cartesian.xyz.value)  # columns: the Galactic axes in ICRS
    cos_b = np.cos(np.radians(b))
    star = turn @ np.stack([cos_b * np.cos(np.radians(l)), cos_b * np.sin(np.radians(l)), np.sin(np.radians(b))])
    motion = turn @ velocity
    ra, dec = np.arctan2(star[1], star[0]), np.arctan2(star[2], np.hypot(star[0], star[1]))
    east = np.stack([-np.sin(ra), np.cos(ra), np.zeros_like(ra)])
    north = np.stack([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)])
    scale = MAS_YR_KPC * distance
    return (
        np.degrees(ra) % 360.0,
        np.degrees(dec),
        (east * motion).sum(axis=0) / scale,
        (north * motion).sum(axis=0) / scale,
        (star * motion).sum(axis=0),
    )
