"""Metal-poor stars near the disk: which they are, how they move, and how sure it is that they turn with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from starloom.catalog.provenance import record
from starloom.catalog.quality import repeated
from starloom.catalog.schema import plain
from starloom.dynamics.frames import GalacticFrame, PhaseSpace
from starloom.dynamics.integrals import angular_momentum
from starloom.dynamics.potentials import potential
from starloom.dynamics.star_orbits import OrbitModel, phase_space_draws
from starloom.errors import ConfigError
from starloom.halo.metal_poor_schema import METAL_POOR
from starloom.stats.intervals import central

if TYPE_CHECKING:
    from astropy.table import QTable

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MetalPoorDisk:
    """The sample and its motions.

    Parameters
    ----------
    fe_h : range of [Fe/H].
    height : range of |Z| in kpc.
    least_snr : least signal-to-noise ratio of the spectrum, where the table has ``snr``.
    frame_name : the Sun's place and motion; its handedness says which sign of L_z turns with the disk.
    potential_name : the Galaxy, for eccentricity and z_max.
    draws : of each star's errors, for the sign of L_z.
    orbit_draws : of each star's errors, for the intervals of eccentricity and z_max; 0 for no intervals.
    parallax_zero_point : mas, subtracted where the parallax is the distance.
    seed : of the draws.
    workers : threads; the result does not depend on it.
    """

    fe_h: tuple[float, float] = (-np.inf, -2.0)
    height: tuple[float, float] = (1.0, 3.0)
    least_snr: float = 5.0
    frame_name: str = "astropy_v4.0"
    potential_name: str = "MilkyWayPotential2022"
    draws: int = 256
    orbit_draws: int = 50
    parallax_zero_point: float = 0.0
    seed: int = 0
    workers: int | None = None

    def __post_init__(self) -> None:
        if not (self.fe_h[0] < self.fe_h[1] and 0 <= self.height[0] < self.height[1]):
            raise ConfigError("the ranges of [Fe/H] and |Z| must rise, and |Z| begin at 0 or above")
        if self.draws < 1 or self.orbit_draws < 0:
            raise ConfigError("draws must be at least 1 and orbit_draws not negative")

    @property
    def frame(self) -> GalacticFrame:
        """The Sun's place and motion."""
        return GalacticFrame.named(self.frame_name)

    def predict(
        self, table: QTable, *, survey: str | None = None, label: str = "the table", orbits: bool = True
    ) -> QTable:
        """The rows of a table with motions and whether they are in the sample.

        Parameters
        ----------
        table : with the columns of ``starloom.halo.metal_poor_schema.METAL_POOR``.
        survey : whose names and units hold; by default the one that fits best.
        label : what to call the table in messages.
        orbits : also the shapes of the orbits.

        Returns
        -------
        QTable
            The canonical columns, then ``galactic_height`` (kpc), ``rotation`` (km/s, the azimuthal velocity counted so
            that the disk's is positive) with ``rotation_low`` and ``rotation_high``, ``p_prograde``, ``selected`` and
            ``reason`` (why a star is not in the sample, or could not be used), and with orbits eccentricity, z_max,
            pericenter and apocenter with their intervals for the stars of the sample.
        """
        stars = METAL_POOR.apply(table, survey, label=label)
        x, p_prograde, rotation, reasons = self._motion(stars, label)
        fe_h = plain(stars, "fe_h")
        snr = plain(stars, "snr") if "snr" in stars.colnames else np.full(len(stars), np.inf)
        height = np.abs(x[:, 2])

        def refuse(where: NDArray[np.bool_], text: str) -> None:
            for row in np.flatnonzero(where):
                reasons[row] = ", ".join(filter(None, (reasons[row], text)))

        refuse(repeated(stars), "a source_id that an earlier row has")
        refuse(~np.isfinite(fe_h), "no [Fe/H]")
        refuse((fe_h <= self.fe_h[0]) | (fe_h >= self.fe_h[1]), "[Fe/H] outside the sample")
        refuse((height <= self.height[0]) | (height >= self.height[1]), "|Z| outside the sample")
        refuse(~(snr > self.least_snr), "spectrum too noisy")
        from astropy import units as u

        stars["galactic_height"] = x[:, 2] * u.kpc
        for name, values in zip(("rotation", "rotation_low", "rotation_high"), rotation, strict=True):
            stars[name] = values * u.km / u.s
        stars["p_prograde"] = p_prograde
        stars["reason"] = np.array(reasons, dtype=str)
        stars["selected"] = (stars["reason"] == "") & np.isfinite(p_prograde)
        if orbits:
            self._orbits(stars)
        stars.meta["frame"], stars.meta["potential"] = self.frame_name, self.potential_name
        record(
            stars, "metal-poor stars near the plane", potential=self.potential_name, frame=self.frame_name,
            fe_h=list(self.fe_h), height=list(self.height), draws=self.draws, seed=self.seed,
        )  # fmt: skip
        return stars

    def rotation_draws(
        self, table: QTable, *, survey: str | None = None, label: str = "the table"
    ) -> tuple[Floats, Floats]:
        """Rotations drawn from the errors of each star, for `starloom.halo.rotation.sign_probabilities`.

        Parameters
        ----------
        table, survey, label : as for `predict`.

        Returns
        -------
        tuple
            (n, draws) km/s, prograde positive, NaN where a star is not usable; and their weights, with which they
            stand for the likelihood of the measurement.
        """
        stars = METAL_POOR.apply(table, survey, label=label)
        drawn = phase_space_draws(
            stars, self.frame, self.draws, parallax_zero_point=self.parallax_zero_point, seed=self.seed, label=label
        )[1]
        return self._turning(drawn)

    def _turning(self, drawn: PhaseSpace) -> tuple[Floats, Floats]:
        """Rotations and weights (n, draws) of draws."""
        rotation = self.frame.turning(angular_momentum(drawn.x, drawn.v)[..., 2]) / np.hypot(
            drawn.x[..., 0], drawn.x[..., 1]
        )
        # flat in proper motion is not flat in velocity: where the distance is uncertain the Jacobian counts, or a
        # sample without rotation would seem to turn
        reach = np.linalg.norm(drawn.x - self.frame.sun.x, axis=-1)
        return rotation, np.where(np.isfinite(rotation), reach**2, 0.0)

    def _motion(self, stars: QTable, label: str) -> tuple[Floats, Floats, Floats, list[str]]:
        frame = self.frame
        seen, drawn, reasons = phase_space_draws(
            stars, frame, self.draws, parallax_zero_point=self.parallax_zero_point, seed=self.seed, label=label
        )
        speed, weight = self._turning(drawn)
        enough = np.isfinite(speed).sum(axis=1) > self.draws // 2
        total = np.maximum(weight.sum(axis=1), 1e-300)
        p = np.where(enough, np.where(speed > 0, weight, 0.0).sum(axis=1) / total, np.nan)
        p = np.clip(p, 0.0, 1.0)
        reasons = [reason or ("" if fine else "no usable draw") for reason, fine in zip(reasons, enough, strict=True)]
        rotation = np.full((3, len(stars)), np.nan)
        rotation[0] = frame.turning(angular_momentum(seen.x, seen.v)[:, 2]) / np.hypot(seen.x[:, 0], seen.x[:, 1])
        if enough.any():
            rotation[1:, enough] = central(speed[enough], axis=1)
        return seen.x, p, rotation, reasons

    def _orbits(self, stars: QTable) -> None:
        model = OrbitModel(
            potential(self.potential_name),
            self.frame,
            self.orbit_draws,
            self.parallax_zero_point,
            self.seed,
            self.workers,
        )
        chosen = np.flatnonzero(stars["selected"])
        names = ("eccentricity", "z_max", "pericenter", "apocenter")
        found = model.predict(stars[chosen]) if len(chosen) else None
        from astropy import units as u

        for name in names:
            unit = u.dimensionless_unscaled if name == "eccentricity" else u.kpc
            for column in (name, f"{name}_low", f"{name}_high"):
                values = np.full(len(stars), np.nan)
                if found is not None and column in found.colnames:
                    values[chosen] = plain(found, column)
                elif column != name:
                    continue
                stars[column] = values if name == "eccentricity" else values * unit
