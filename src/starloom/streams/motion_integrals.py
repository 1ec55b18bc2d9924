"""Integrals of motion of streams, clusters and dwarf galaxies with their errors: what debris and parent have in common.

Each object is a set of samples of its phase-space position. For each sample: energy, L_z, and along an orbit of several
Gyr the median of L_perp (which is not conserved outside a sphere), the mean pericenter and apocenter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from starloom.dynamics.frames import GalacticFrame
from starloom.dynamics.integrals import energy
from starloom.dynamics.orbits import integrate
from starloom.dynamics.potentials import Potential
from starloom.errors import CatalogError, ConfigError

if TYPE_CHECKING:
    from astropy.table import QTable

Array = NDArray[np.float64]
SPAN_GYR = 5.0
TIMES = 161  # along the orbit, for the median of L_perp
TOLERANCE = 1e-7  # enough for means over an orbit; the energy error is reported
COORDINATES = ("energy", "l_z", "l_perp")
ORBIT_SHAPE = ("pericenter", "apocenter", "eccentricity")
UNITS = {"energy": "km2 / s2", "l_z": "kpc km / s", "l_perp": "kpc km / s", "pericenter": "kpc", "apocenter": "kpc",
         "eccentricity": ""}  # fmt: skip


@dataclass(frozen=True)
class MotionIntegrals:
    """Samples of the integrals of n objects.

    Parameters
    ----------
    names : of the objects.
    samples : one array (s_i, 6) an object: energy, L_z, L_perp, pericenter, apocenter, eccentricity; unbound or failed
        samples are left out.
    phase : (n, 6) a representative Galactocentric position and velocity: of the first sample.
    reason : why an object has no integrals; empty where it has.
    energy_error : largest relative error of the energy over all orbits.
    """

    names: tuple[str, ...]
    samples: tuple[Array, ...]
    phase: Array
    reason: tuple[str, ...]
    energy_error: float = 0.0

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, name: str) -> Array:
        return self.samples[self.names.index(name)]

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Which objects have integrals."""
        return np.array([text == "" for text in self.reason])

    @property
    def centers(self) -> Array:
        """(n, 3) medians of energy, L_z, L_perp; NaN where there is none."""
        return np.array([np.median(s[:, :3], axis=0) if len(s) else np.full(3, np.nan) for s in self.samples])

    @property
    def covariances(self) -> Array:
        """(n, 3, 3) covariances of energy, L_z, L_perp about the medians; zero for an object with one sample."""
        return np.array([_covariance(s[:, :3]) for s in self.samples])

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> MotionIntegrals:
        """Some of the objects, in the order given."""
        chosen = [int(row) for row in rows]
        return MotionIntegrals(
            tuple(self.names[n] for n in chosen),
            tuple(self.samples[n] for n in chosen),
            self.phase[chosen],
            tuple(self.reason[n] for n in chosen),
            self.energy_error,
        )

    def summary(self) -> QTable:
        """One row an object: median and central 68 % of each number, and the reason where there is none."""
        import astropy.units as u
        from astropy.table import QTable

        table = QTable({"name": list(self.names)})
        for k, name in enumerate((*COORDINATES, *ORBIT_SHAPE)):
            triple = np.array(
                [np.quantile(s[:, k], [0.5, 0.16, 0.84]) if len(s) else np.full(3, np.nan) for s in self.samples]
            )
            for ending, values in zip(("", "_low", "_high"), triple.T, strict=True):
                table[f"{name}{ending}"] = values * u.Unit(UNITS[name]) if UNITS[name] else values
        table["reason"] = list(self.reason)
        return table


def _covariance(sample: Array) -> Array:
    if len(sample) < 2:
        return np.zeros((3, 3))
    offset = sample - np.median(sample, axis=0)
    # within four times the central 68 % of each coordinate: a few wild samples (a distance near zero) do not rule
    kept = np.all(np.abs(offset) <= 4.0 * (np.quantile(np.abs(offset), 0.68, axis=0) + 1e-300), axis=1)
    chosen = offset[kept]
    return np.asarray(chosen.T @ chosen / max(len(chosen) - 1, 1))


def motion_integrals(
    milky_way: Potential,
    names: Sequence[str],
    samples: Sequence[Array],
    *,
    span_gyr: float = SPAN_GYR,
    workers: int | None = None,
) -> MotionIntegrals:
    """Integrals of motion of objects given as samples of their phase-space positions.

    Parameters
    ----------
    milky_way : the potential.
    names : of the objects.
    samples : one array (s_i, 6) an object, Galactocentric x, v in kpc and km/s; the first row is its best position.
    span_gyr : length of the orbits.
    workers : threads; the result does not depend on it.

    Raises
    ------
    ConfigError
        When a sample has another shape, or the numbers of names and samples differ.
    """
    if len(names) != len(samples):
        raise ConfigError(f"{len(names)} names, but samples of {len(samples)} objects")
    for name, sample in zip(names, samples, strict=True):
        if np.ndim(sample) != 2 or np.shape(sample)[1] != 6:
            raise ConfigError(f"{name}: samples of phase space have shape (s, 6), not {np.shape(sample)}")
    times = np.linspace(0.0, span_gyr, TIMES)
    found, reasons, worst = [], [], 0.0
    for sample in samples:
        kept, reason, error = _one(milky_way, np.asarray(sample, dtype=np.float64), times, workers)
        worst = max(worst, error)
        found.append(kept)
        reasons.append(reason)
    phase = np.array([s[0] if len(s) else np.full(6, np.nan) for s in samples]).reshape(-1, 6)
    return MotionIntegrals(tuple(names), tuple(found), phase, tuple(reasons), worst)


def _one(milky_way: Potential, sample: Array, times: Array, workers: int | None) -> tuple[Array, str, float]:
    """Integrals (s, 6) of the bound samples of one object, why there are none, and the largest energy error."""
    finite = np.isfinite(sample).all(axis=1)
    if not finite.any():
        return np.empty((0, 6)), "no complete six-dimensional position", 0.0
    x, v = sample[finite, :3], sample[finite, 3:]
    total = energy(milky_way, x, v)
    bound = total < 0.0
    if bound.mean() < 0.5:
        return np.empty((0, 6)), "not bound in this potential", 0.0
    orbits = integrate(milky_way, x[bound], v[bound], times, tolerance=TOLERANCE, workers=workers)
    l_z = x[bound, 0] * v[bound, 1] - x[bound, 1] * v[bound, 0]
    # an orbit longer than the span has no passage: then the extremes seen
    peri = np.where(np.isfinite(orbits.pericenter), orbits.pericenter, orbits.r_least)
    apo = np.where(np.isfinite(orbits.apocenter), orbits.apocenter, orbits.r_largest)
    values = np.stack([total[bound], l_z, orbits.l_perp, peri, apo, (apo - peri) / (apo + peri)], axis=1)
    good = (orbits.flag == 0) & np.isfinite(values).all(axis=1)
    if not good.any():
        return np.empty((0, 6)), "the orbit could not be followed", 0.0
    return values[good], "", float(orbits.energy_error[good].max())


def phase_space_samples(
    table: QTable, frame: GalacticFrame, count: int, rng: np.random.Generator
) -> tuple[Array, NDArray[np.str_]]:
    """Samples of Galactocentric phase space from observed positions with errors.

    Parameters
    ----------
    table : columns ra, dec, distance, pmra, pmdec, radial_velocity with ``_error`` for the last four (missing: 0) and
        pmra_pmdec_corr where known.
    frame : the Sun's place and motion.
    count : samples an object; the first is the observed value itself. 1 leaves the errors out.

    Returns
    -------
    samples : (n, count, 6); NaN where an object has not all six.
    reason : (n,) which one is missing or impossible.

    Raises
    ------
    CatalogError
        When the table has no rows.
    """
    from starloom.catalog.schema import plain

    if len(table) == 0:
        raise CatalogError("no objects: the table has no rows")
    units = {"ra": "deg", "dec": "deg", "distance": "kpc", "pmra": "mas/yr", "pmdec": "mas/yr"}
    units["radial_velocity"] = "km/s"
    value = {name: plain(table, name, unit) for name, unit in units.items()}
    error = {
        name: np.abs(np.nan_to_num(plain(table, f"{name}_error", units[name])))
        if f"{name}_error" in table.colnames
        else np.zeros(len(table))
        for name in ("distance", "pmra", "pmdec", "radial_velocity")
    }
    known = "pmra_pmdec_corr" in table.colnames
    correlation = np.nan_to_num(plain(table, "pmra_pmdec_corr")) if known else np.zeros(len(table))
    reason = np.full(len(table), "", dtype="<U40")
    for name in units:
        reason[~np.isfinite(value[name]) & (reason == "")] = f"{name} is missing"
    reason[(value["distance"] <= 0) & (reason == "")] = "distance not positive"
    normal = rng.standard_normal((4, len(table), count))
    normal[:, :, 0] = 0.0
    drawn = {name: np.repeat(value[name][:, None], count, axis=1) for name in units}
    drawn["distance"] += error["distance"][:, None] * normal[0]
    # a distance error that reaches the Sun: reflected, so that distances stay positive
    drawn["distance"] = np.abs(drawn["distance"])
    drawn["pmra"] += error["pmra"][:, None] * normal[1]
    mixed = correlation[:, None] * normal[1] + np.sqrt(np.maximum(1.0 - correlation[:, None] ** 2, 0.0)) * normal[2]
    drawn["pmdec"] += error["pmdec"][:, None] * mixed
    drawn["radial_velocity"] += error["radial_velocity"][:, None] * normal[3]
    drawn["distance"][reason != ""] = np.nan
    x, v = frame.to_galactocentric(*(drawn[name].ravel() for name in units))
    return np.concatenate([x, v], axis=1).reshape(len(table), count, 6), reason
