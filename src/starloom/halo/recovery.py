"""Made halos whose truth is known, and how far a fit is from it: what the long bars of the halo are made of."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from starloom.halo.completeness import KinematicTest, MeridionalCompleteness
from starloom.halo.density import DensityModel
from starloom.halo.likelihood import Volume
from starloom.halo.mock import AUTHORS, BROKEN, HaloComponent, observe
from starloom.halo.orientation import AXES, axes
from starloom.halo.orientation import NAMES as ANGLES
from starloom.halo.posterior import Posterior
from starloom.halo.scene import analytic_dust, constant_beta, galaxy, giants
from starloom.halo.selections import Motion, kinematic
from starloom.halo.survey import FRAME, HaloSurvey, halo_fields
from starloom.seeds import generator
from starloom.selection.sampling_fractions import SamplingFractions
from starloom.selection.tracers import Tracers

Floats = NDArray[np.float64]
SELECTION = "e-Lz"
FAINT, BRIGHT = -1.5, -5.5  # absolute H of the plain giants


@dataclass(frozen=True)
class RealFields:
    """APOGEE's fields, giants, and what both and the kinematic selection let through.

    Parameters
    ----------
    fractions, tracers, survey : of the fields.
    completeness : (n, m) of the selection e-Lz for beta = 0.8, in the survey's cells.
    """

    fractions: SamplingFractions
    tracers: Tracers
    survey: HaloSurvey
    completeness: Floats

    @classmethod
    @functools.cache
    def open(cls) -> RealFields:
        """With coarse cells: 0.2 mag of distance modulus."""
        fractions, tracers = halo_fields(), giants()
        survey = HaloSurvey.make(fractions, tracers, analytic_dust(), modulus=np.linspace(7.0, 19.0, 61))
        test = KinematicTest(constant_beta(), None, galaxy(), SELECTION, 2000)
        shares = MeridionalCompleteness.make(test, shape=(48, 16), seed=1).at(survey.places())
        return cls(fractions, tracers, survey, shares)

    def stars(self, mass: float, seed: int) -> Floats:
        """Places (n, 3) of the selected stars of a halo of the authors' truth, made star by star."""
        component = HaloComponent("merger", mass, DensityModel("single"), AUTHORS, constant_beta())
        table = observe([component], self.fractions, self.tracers, analytic_dust(), seed, errors=False)
        names = ("ra", "dec", "distance", "pmra", "pmdec", "radial_velocity")
        phase = FRAME.to_galactocentric(*(np.asarray(table[name].value) for name in names))
        return np.asarray(phase.x[kinematic(SELECTION)(Motion.of(galaxy(), phase))])


def drawn(model: DensityModel, parameters: Sequence[float] | Floats, volume: Volume, stars: int, seed: int) -> Floats:
    """Stars (stars, 3) of a density in the cells of a volume."""
    rate = model.density(parameters, volume.x, volume.sun) * volume.weight
    return volume.x[generator(seed).choice(len(rate), stars, p=rate / rate.sum())]


@functools.cache
def plain_volume() -> Volume:
    """The real fields for plain giants, 10^(0.3 M_H) of them between two magnitudes, without a kinematic selection."""
    edges = np.linspace(BRIGHT, FAINT, 81)
    weight = 10.0 ** (0.15 * (edges[1:] + edges[:-1]))
    plain = Tracers(np.stack([edges[:-1], edges[1:]], axis=1), np.full((80, 2), 0.7), weight / weight.sum(), 1.0)
    return HaloSurvey.make(halo_fields(), plain, analytic_dust()).volume()


def least_scatter(stars: int) -> dict[str, float]:
    """Least scatter of any unbiased estimate of the broken truth (Cramer and Rao), by parameter, in `plain_volume`."""
    model, volume = DensityModel("broken"), plain_volume()
    x, y, z, weight = volume.seen
    truth, places = np.array([BROKEN[name] for name in model.names]), np.stack([x, y, z], axis=1)
    steps = np.diag([0.01 if name == "break_radius" else 1e-4 for name in model.names])
    ends = [[np.log(model.halo(truth + side * step, places, volume.sun)) for side in (1, -1)] for step in steps]
    slopes = np.array([(up - down) / (2.0 * step.sum()) for (up, down), step in zip(ends, steps, strict=True)])
    rate = model.halo(truth, places, volume.sun) * weight
    rate = rate / rate.sum()
    slopes = slopes - (slopes @ rate)[:, None]
    return dict(zip(model.names, np.sqrt(np.diag(np.linalg.inv(stars * (slopes * rate) @ slopes.T))), strict=True))


def ranks(posterior: Posterior, truth: Mapping[str, float]) -> dict[str, float]:
    """Share of the draws below the truth, in functions of the parameters that have one name each.

    Directions count as angles from the mean line of the draws: a place that knows nothing of the truth, as it has to be
    for the shares to be even.
    """
    found = {n: float(np.mean(posterior.of(n) < truth[n])) for n in posterior.names if n not in ANGLES}
    if "theta" not in posterior.names:
        return found
    rows = axes(truth)
    for axis in ("long", "short"):
        line = posterior.axis(axis)
        true = line.offsets(rows[AXES.index(axis)][None])
        for side, values, here in zip(("east", "north"), line.offsets(line.directions), true, strict=True):
            found[f"{axis} axis {side}"] = float(np.mean(values < here[0]))
    return found
