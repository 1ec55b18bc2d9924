"""A fitted stream orbit: its posterior samples, what they predict along the stream, saved and loaded."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.catalog.provenance import record
from starloom.dynamics.frames import GalacticFrame
from starloom.dynamics.potentials import MassComponent, Potential
from starloom.dynamics.stream_frames import StreamFrame
from starloom.errors import ConfigError
from starloom.seeds import generator

if TYPE_CHECKING:
    from astropy.table import QTable

Array = NDArray[np.float64]
KIND = "stream orbit"
SEEN = ("phi1", "phi2", "distance", "pm_phi1_cosphi2", "pm_phi2", "radial_velocity")
UNITS = {"phi1": "deg", "phi2": "deg", "distance": "kpc", "pm_phi1_cosphi2": "mas/yr", "pm_phi2": "mas/yr",
         "radial_velocity": "km/s"}  # fmt: skip


@dataclass(frozen=True)
class Geometry:
    """How a stream's frame lies in the Galaxy.

    Parameters
    ----------
    axes : (3, 3), takes Cartesian vectors of the stream's frame to the Galaxy's.
    sun, sun_velocity : (3,) Galactocentric (kpc, km/s).
    """

    axes: Array
    sun: Array
    sun_velocity: Array

    @classmethod
    def of(cls, frame: GalacticFrame, stream: StreamFrame) -> Geometry:
        """From the Sun's place and motion and the stream's great circle."""
        sun = frame.sun
        return cls(np.ascontiguousarray(frame.rotation @ stream.matrix.T), sun.x.copy(), sun.v.copy())

    @property
    def arrays(self) -> tuple[Array, Array, Array]:
        """What the compiled functions take."""
        return self.axes, self.sun, self.sun_velocity

    def phase_space(self, theta: Array) -> Array:
        """Galactocentric (x, v) in kpc and km/s, shape (m, 6), of parameters at phi1 = 0, shape (m, 5 or more)."""
        from starloom.streams.orbit_kernel import starts

        out = np.empty((len(theta), 6))
        starts(np.ascontiguousarray(theta, dtype=np.float64), *self.arrays, out)
        return out


@dataclass(frozen=True)
class FittedOrbit:
    """Posterior of one stream's orbit.

    Parameters
    ----------
    name : of the stream.
    potential, frame : in which it was fitted.
    stream_frame : great circle whose phi1 = 0 the parameters belong to.
    stray : scatter of rows that are no members, in sky, distance, proper motion and velocity.
    best : (13,) parameters of the highest posterior: phi2, distance, pm_phi1_cosphi2, pm_phi2, radial_velocity, the
        scatter in sky, distance, proper motion and velocity, the share of strays, and the zero points: a factor on
        distances, offsets of pmra and pmdec.
    samples : (draws, 13) posterior samples of the same.
    free : names of the parameters that were free.
    phi1 : stretch of the points (deg).
    step : of the orbit on the sky (deg).
    report : points, terms, warnings, effective samples.
    """

    name: str
    potential: Potential
    frame: GalacticFrame
    stream_frame: StreamFrame
    stray: tuple[float, float, float, float]
    best: Array
    samples: Array
    free: tuple[str, ...]
    phi1: tuple[float, float]
    step: float
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def geometry(self) -> Geometry:
        """How the stream's frame lies in the Galaxy."""
        return Geometry.of(self.frame, self.stream_frame)

    def phase_space(self, count: int | None = None) -> Array:
        """Galactocentric (x, v) of the first ``count`` samples at phi1 = 0, shape (count, 6), kpc and km/s."""
        return self.geometry.phase_space(self.samples[:count])

    def curves(self, phi1: ArrayLike, samples: Array | None = None) -> Array:
        """What orbits look like along the stream.

        Parameters
        ----------
        phi1 : (n,) places (deg), in any order.
        samples : (m, 13) parameters; by default the posterior samples.

        Returns
        -------
        ndarray
            (m, n, 6): phi1, phi2, distance, pm_phi1_cosphi2, pm_phi2, radial_velocity; NaN where an orbit does not
            reach.
        """
        from starloom.streams.orbit_kernel import predictions

        wanted = np.atleast_1d(np.asarray(phi1, dtype=np.float64))
        order = np.argsort(wanted, kind="stable")
        theta = np.ascontiguousarray(self.samples if samples is None else samples)
        found = np.empty((len(theta), len(wanted), 6))
        predictions(theta, wanted[order], *self.potential.kernel, *self.geometry.arrays, self.step, found)
        out = np.empty_like(found)
        out[:, order] = found
        return out

    def predict(self, table: Any) -> QTable:
        """What the orbit predicts at the rows of a table with ra and dec: the same rows and more.

        Returns
        -------
        QTable
            The rows with phi1, phi2 of the stream's frame, and for each of distance, pmra, pmdec, radial_velocity and
            phi2 of the orbit the posterior median (``orbit_...``) and half the width of its central 68 % interval
            (``orbit_..._error``). ``reason`` says where there is none.
        """
        import astropy.units as u

        from starloom.catalog.schema import plain
        from starloom.catalog.tables import read_table
        from starloom.streams.orbit_points import SCHEMA

        applied = SCHEMA.apply(read_table(table), label="the table")
        ra, dec = plain(applied, "ra", "deg"), plain(applied, "dec", "deg")
        known = np.isfinite(ra) & (np.abs(np.nan_to_num(dec, nan=99.0)) <= 90.0)
        phi1, phi2 = np.full(len(ra), np.nan), np.full(len(ra), np.nan)
        phi1[known], phi2[known] = self.stream_frame.to_frame(ra[known], dec[known])
        curves = np.full((len(self.samples), len(ra), 6), np.nan)
        if known.any():
            curves[:, known] = self.curves(phi1[known])
            turn = self.stream_frame.turn(ra[known], dec[known])
            curves[:, known, 3:5] = np.einsum("nji,mnj->mni", turn, curves[:, known, 3:5])
        names = ("", "phi2", "distance", "pmra", "pmdec", "radial_velocity")
        units = ("", "deg", "kpc", "mas/yr", "mas/yr", "km/s")
        applied["phi1"], applied["phi2"] = phi1 * u.deg, phi2 * u.deg
        reached = np.isfinite(curves[:, :, 1]).mean(axis=0) > 0.5
        for n in range(1, 6):
            middle, error = np.full(len(ra), np.nan), np.full(len(ra), np.nan)
            low, middle[reached], high = np.nanquantile(curves[:, reached, n], [0.16, 0.5, 0.84], axis=0)
            error[reached] = 0.5 * (high - low)
            applied[f"orbit_{names[n]}"] = middle * u.Unit(units[n])
            applied[f"orbit_{names[n]}_error"] = error * u.Unit(units[n])
        reason = np.where(known, np.where(reached, "", "the orbit does not reach this phi1"), "no position")
        applied["reason"] = reason
        record(applied, "orbit of a stream", potential=self.potential.name, draws=len(self.samples))
        return applied

    def log_prob(self, table: Any) -> Array:
        """Log-likelihood of the points of a table under each posterior sample, shape (draws,)."""
        from starloom.catalog.tables import read_table
        from starloom.streams.orbit_kernel import log_likelihoods
        from starloom.streams.orbit_points import stream_points

        points = stream_points(read_table(table), self.name)
        theta = self._in_frame(points.frame) if points.frame != self.stream_frame else self.samples
        out = np.empty(len(theta))
        arrays = Geometry.of(self.frame, points.frame).arrays
        stray = np.array(self.stray)
        log_likelihoods(
            np.ascontiguousarray(theta), points.rows, stray, *self.potential.kernel, *arrays, self.step, out
        )
        return out

    def _in_frame(self, other: StreamFrame) -> Array:
        """The samples as parameters at phi1 = 0 of another great circle that the orbits cross."""
        raise ConfigError(f"log_prob of {self.name} needs the points that it was fitted to, not other ones")

    def sample(self, n: int, seed: int | np.random.Generator) -> QTable:
        """Draw ``n`` orbits of the posterior: ICRS coordinates and Galactocentric x, v at phi1 = 0."""
        import astropy.units as u
        from astropy.table import QTable

        chosen = self.samples[generator(seed).integers(len(self.samples), size=n)]
        ra, dec = self.stream_frame.to_icrs(np.zeros(n), chosen[:, 0])
        turn = self.stream_frame.turn(ra, dec)
        motion = np.einsum("nji,nj->ni", turn, chosen[:, 2:4])
        phase = self.geometry.phase_space(chosen)
        columns = {"ra": ra * u.deg, "dec": dec * u.deg, "distance": chosen[:, 1] * u.kpc}
        columns |= {"pmra": motion[:, 0] * u.mas / u.yr, "pmdec": motion[:, 1] * u.mas / u.yr}
        columns |= {"radial_velocity": chosen[:, 4] * u.km / u.s}
        columns |= {name: phase[:, k] * u.kpc for k, name in enumerate(("x", "y", "z"))}
        columns |= {name: phase[:, 3 + k] * u.km / u.s for k, name in enumerate(("v_x", "v_y", "v_z"))}
        return QTable(columns)

    def save(self, folder: str | Path) -> None:
        """Save to a folder: safetensors and JSON."""
        import torch

        from starloom.neural.checkpoints import save_folder

        settings = {
            "name": self.name,
            "potential": asdict(self.potential),
            "frame": asdict(self.frame),
            "stream_frame": asdict(self.stream_frame),
            "stray": list(self.stray),
            "free": list(self.free),
            "phi1": list(self.phi1),
            "step": self.step,
            "report": self.report,
        }
        save_folder(folder, KIND, settings, {k: torch.as_tensor(getattr(self, k)) for k in ("best", "samples")})

    @classmethod
    def load(cls, folder: str | Path) -> FittedOrbit:
        """Load what ``save`` wrote.

        Raises
        ------
        ModelFileError
            When the folder holds no such model, or it is not complete.
        """
        from starloom.errors import ModelFileError
        from starloom.neural.checkpoints import load_folder

        settings, tensors = load_folder(folder, KIND)
        try:
            parts = tuple(
                MassComponent(part["name"], part["kind"], tuple(part["values"]))
                for part in settings["potential"]["components"]
            )
            milky_way = Potential(**{**settings["potential"], "components": parts})
            frame = {**settings["frame"], "v_sun": tuple(settings["frame"]["v_sun"])}
            rotation = tuple(tuple(row) for row in settings["stream_frame"]["rotation"])
            return cls(
                name=settings["name"],
                potential=milky_way,
                frame=GalacticFrame(**frame),
                stream_frame=StreamFrame(settings["stream_frame"]["name"], rotation),
                stray=tuple(settings["stray"]),
                best=tensors["best"].numpy(),
                samples=tensors["samples"].numpy(),
                free=tuple(settings["free"]),
                phi1=(settings["phi1"][0], settings["phi1"][1]),
                step=settings["step"],
                report=settings["report"],
            )
        except (KeyError, TypeError) as error:
            raise ModelFileError(f"{folder} holds a stream orbit that is not complete: {error}") from error
