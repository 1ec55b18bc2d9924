"""A grid of isochrones in one HDF5 file, and any isochrone between its nodes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starloom.errors import CatalogError, ConfigError
from starloom.stellar.isochrones import Floats, Isochrone, Phase

_COLUMNS = ("initial_mass", "star_mass", "log_Teff", "log_g", "log_L", "log_R", "phase")
_LOG_GYR = 9.0
_NODE_TOLERANCE = 1e-9

PARSEC_PHASES = {
    0: Phase.PRE_MAIN_SEQUENCE,
    1: Phase.MAIN_SEQUENCE,
    2: Phase.GIANT_BRANCH,
    3: Phase.GIANT_BRANCH,
    4: Phase.CORE_HELIUM_BURNING,
    5: Phase.CORE_HELIUM_BURNING,
    6: Phase.CORE_HELIUM_BURNING,
    7: Phase.EARLY_AGB,
    8: Phase.THERMALLY_PULSING_AGB,
    9: Phase.POST_AGB,
}
"""PARSEC's labels in the numbering of `Phase`."""


def phases_from(labels: Floats, model: str) -> NDArray[np.int64]:
    """Translate a model's phase labels to `Phase`; models without documented labels give ``Phase.UNKNOWN``."""
    phases = np.full(len(labels), int(Phase.UNKNOWN), dtype=np.int64)
    known = {int(p): p for p in Phase} if model.startswith("MIST") else PARSEC_PHASES if "PARSEC" in model else {}
    codes = np.where(np.isfinite(labels), np.round(labels), int(Phase.UNKNOWN)).astype(np.int64)
    for code, phase in known.items():
        phases[codes == code] = int(phase)
    return phases


@dataclass(frozen=True)
class _Node:
    """One native isochrone: consecutive EEPs, the columns (n, 6; masses in log10) and the phases (n,)."""

    first_eep: int
    columns: Floats
    phase: NDArray[np.int64]

    @property
    def last_eep(self) -> int:
        return self.first_eep + len(self.columns) - 1

    def part(self, low: int, high: int) -> tuple[Floats, NDArray[np.int64]]:
        rows = slice(low - self.first_eep, high - self.first_eep + 1)
        return self.columns[rows], self.phase[rows]


def _bracket(values: Floats, target: float) -> list[tuple[int, float]]:
    """The neighbors of a value on a sorted axis with their weights; one of weight 1 when it is on a node."""
    nearest = int(np.argmin(np.abs(values - target)))
    if abs(values[nearest] - target) <= _NODE_TOLERANCE:
        return [(nearest, 1.0)]
    low = int(np.searchsorted(values, target)) - 1
    weight = float((target - values[low]) / (values[low + 1] - values[low]))
    return [(low, 1.0 - weight), (low + 1, weight)]


class IsochroneGrid:
    """Isochrones over [Fe/H] and log age in the ``sparse_v1`` HDF5 layout of the lachesis-grids package.

    The file has the axes ``feh_values``, ``age_values`` (log10 of years) and ``eep_values``; for each pair of [Fe/H]
    and age, in C order, ``lengths`` counts its rows in ``values`` (the rows of the pairs follow one another) and
    ``offsets`` is the place of its first row on the EEP axis. Single isochrones are read when they are needed.

    Between native ages every quantity is interpolated linearly in log age at equal EEP, between native metallicities
    linearly in [Fe/H] at equal EEP; masses, Teff, g, L and R in their logarithms, so that the laws between them hold.
    Magnitudes are never interpolated: they are computed afterwards (`starloom.stellar.photometry`). Only EEPs which all
    neighbors have are given, and nothing is extrapolated. Rows left out inside a native isochrone are bridged in EEP.

    Examples
    --------
    >>> grid = IsochroneGrid.open("mist_v2.5_vvcrit0.4.h5")  # doctest: +SKIP
    >>> isochrone = grid.isochrone(12.0, -1.35)  # doctest: +SKIP
    """

    def __init__(
        self,
        path: Path,
        name: str,
        fe_h: Floats,
        log_age: Floats,
        eep: Floats,
        layout: NDArray[np.int64],
        columns: list[str],
    ) -> None:
        self.path = path
        self.name = name
        self.fe_h = fe_h
        self.log_age = log_age
        self._eep = eep
        self._layout = layout
        self._columns = columns
        self._nodes: dict[int, _Node] = {}

    @classmethod
    def open(cls, path: str | Path) -> IsochroneGrid:
        """Read the axes of a grid file; the isochrones stay on disk until they are asked for.

        Raises
        ------
        CatalogError
            When the file is absent, not HDF5, or not of this layout.
        ConfigError
            When the grid has another axis (rotation) besides [Fe/H], age and EEP.
        """
        import h5py

        path = Path(path)
        try:
            with h5py.File(path, "r") as file:
                columns = [str(column) for column in file.attrs["columns"]]
                storage = str(file.attrs["storage"])
                shape = [int(n) for n in file.attrs["shape"]]
                name = str(file.attrs.get("grid_name", path.stem))
                axes = [np.asarray(file[f"{axis}_values"][:], dtype=np.float64) for axis in ("feh", "age", "eep")]
                lengths = np.asarray(file["lengths"][:], dtype=np.int64)
                offsets = np.asarray(file["offsets"][:], dtype=np.int64)
                rows, width = (int(n) for n in file["values"].shape)
        except FileNotFoundError as error:
            raise CatalogError(f"there is no isochrone grid at {path}") from error
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise CatalogError(f"{path} is not an isochrone grid of the sparse_v1 layout: {error}") from error
        if storage != "sparse_v1":
            raise CatalogError(f"{path}: storage is {storage!r}, not 'sparse_v1'")
        if len(shape) != 4:
            raise ConfigError(f"{path} has {len(shape) - 1} axes; only grids over [Fe/H], age and EEP can be read")
        missing = [column for column in _COLUMNS if column not in columns]
        if missing:
            raise CatalogError(f"{path} lacks the columns {missing}; it has {columns}")
        pairs = shape[0] * shape[1]
        if (
            [len(axis) for axis in axes] != shape[:3]
            or (len(lengths), len(offsets)) != (pairs, pairs)
            or (lengths.sum(), width) != (rows, shape[3])
            or len(columns) != width
            or (lengths < 0).any()
            or (offsets < 0).any()
            or (offsets + lengths > shape[2]).any()
        ):
            raise CatalogError(
                f"{path} is inconsistent: its axes, lengths, offsets and values do not fit; get it again"
            )
        if not all((np.diff(axis) > 0).all() for axis in axes) or not (np.diff(axes[2]) == 1).all():
            raise CatalogError(f"{path}: an axis does not grow, or the EEPs are not consecutive")
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        return cls(path, name, axes[0], axes[1], axes[2], np.stack([starts, lengths, offsets], axis=1), columns)

    @property
    def age_range(self) -> tuple[float, float]:
        """Youngest and oldest age in Gyr."""
        return float(10 ** (self.log_age[0] - _LOG_GYR)), float(10 ** (self.log_age[-1] - _LOG_GYR))

    @property
    def fe_h_range(self) -> tuple[float, float]:
        """Lowest and highest [Fe/H] in dex."""
        return float(self.fe_h[0]), float(self.fe_h[-1])

    def isochrone(self, age: float, fe_h: float) -> Isochrone:
        """The isochrone of an age (Gyr) and initial [Fe/H] (dex), without magnitudes.

        Raises
        ------
        ConfigError
            When age or [Fe/H] is outside the grid (nothing is extrapolated), or the grid has a hole there.
        """
        log_age = np.log10(age) + _LOG_GYR if age > 0 else np.nan
        for what, value, axis, low_high in (
            ("an age", log_age, self.log_age, "{:.4g} to {:.4g} Gyr".format(*self.age_range)),
            ("[Fe/H]", fe_h, self.fe_h, "{:.2f} to {:.2f}".format(*self.fe_h_range)),
        ):
            if not axis[0] - _NODE_TOLERANCE <= value <= axis[-1] + _NODE_TOLERANCE:
                given = age if what == "an age" else fe_h
                raise ConfigError(f"{self.name} has {what} from {low_high}, not {given}; nothing is extrapolated")
        nodes = [
            (self._node(i, j), weight_i * weight_j)
            for i, weight_i in _bracket(self.fe_h, fe_h)
            for j, weight_j in _bracket(self.log_age, float(log_age))
        ]
        low = max(node.first_eep for node, _ in nodes)
        high = min(node.last_eep for node, _ in nodes)
        if low > high:
            raise ConfigError(f"{self.name}: the isochrones next to {age} Gyr, [Fe/H] {fe_h} share no EEP")
        parts = [(*node.part(low, high), weight) for node, weight in nodes]
        columns = np.tensordot([weight for _, _, weight in parts], np.stack([part for part, _, _ in parts]), axes=1)
        nearest = max(parts, key=lambda part: part[2])
        return Isochrone(
            age=float(age),
            fe_h=float(fe_h),
            eep=np.arange(low, high + 1, dtype=np.float64),
            initial_mass=10.0 ** columns[:, 0],
            star_mass=10.0 ** columns[:, 1],
            log_teff=columns[:, 2],
            logg=columns[:, 3],
            log_l=columns[:, 4],
            radius=10.0 ** columns[:, 5],
            phase=nearest[1].copy(),
            source=self.name,
        )

    def _node(self, i: int, j: int) -> _Node:
        pair = i * len(self.log_age) + j
        if pair not in self._nodes:
            self._nodes[pair] = self._read(pair, f"[Fe/H] {self.fe_h[i]:.2f}, log age {self.log_age[j]:.3f}")
        return self._nodes[pair]

    def _read(self, pair: int, where: str) -> _Node:
        import h5py

        start, length, offset = (int(n) for n in self._layout[pair])
        if length == 0:
            raise ConfigError(f"{self.name} has no isochrone at {where}")
        places = [self._columns.index(column) for column in _COLUMNS]
        first, last = min(places), max(places) + 1
        try:
            with h5py.File(self.path, "r") as file:
                values: NDArray[Any] = file["values"][start : start + length, first:last]
        except OSError as error:
            raise CatalogError(f"{self.path} cannot be read at {where}: {error}; get it again") from error
        columns = values[:, [place - first for place in places]].astype(np.float64)
        present = np.flatnonzero(np.isfinite(columns[:, :-1]).all(axis=1) & (columns[:, :2] > 0).all(axis=1))
        if len(present) == 0:
            raise ConfigError(f"{self.name} has no usable row at {where}")
        columns[present, :2] = np.log10(columns[present, :2])
        wanted = np.arange(present[0], present[-1] + 1)
        table = np.stack([np.interp(wanted, present, columns[present, k]) for k in range(len(_COLUMNS) - 1)], axis=1)
        after = np.clip(np.searchsorted(present, wanted), 0, len(present) - 1)
        before = np.clip(after - 1, 0, None)
        nearest = np.where(wanted - present[before] < present[after] - wanted, present[before], present[after])
        phase = phases_from(columns[nearest, -1], self.name)
        return _Node(int(self._eep[offset + present[0]]), table, phase)
