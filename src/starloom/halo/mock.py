"""A made halo, star by star: giants drawn in space from a known density, seen through a survey, with velocities.

Nothing of it goes over the grids with which it is analyzed: places, magnitudes, dust and velocities are each star's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from starloom.dynamics.frames import GalacticFrame
from starloom.halo.completeness import Velocities
from starloom.halo.density import DensityModel
from starloom.halo.orientation import axes
from starloom.halo.survey import FRAME
from starloom.seeds import generator

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.selection.sampling_fractions import SamplingFractions
    from starloom.selection.tracers import Tracers
    from starloom.stellar.extinction import DustMap

Array = NDArray[np.float64]
RADII = (2.0, 55.0)  # kpc within which the mass is spread, arXiv:2306.03084
AUTHORS = {"p": 0.8, "q": 0.5, "theta": np.pi / 2, "eta": np.sqrt(0.5), "angle": np.pi / 5, "slope": 3.5}
BROKEN = {
    "p": 0.55, "q": 0.45, "theta": 0.8, "eta": 0.9, "angle": 1.0, "inner_slope": 1.5, "outer_slope": 5.0,
    "break_radius": 20.0,
}  # fmt: skip
ERRORS = {"pmra": 0.02, "pmdec": 0.02, "radial_velocity": 0.1}  # mas/yr, mas/yr, km/s


@dataclass(frozen=True)
class HaloComponent:
    """One population of a made halo.

    Parameters
    ----------
    name : what it is.
    mass : Msun formed between the radii `RADII`.
    model, parameters : its density.
    velocities : its distribution function.
    fe_h, al_fe : (mean, width) of its abundances, normal.
    """

    name: str
    mass: float
    model: DensityModel
    parameters: Mapping[str, float]
    velocities: Velocities
    fe_h: tuple[float, float] = (-1.3, 0.2)
    al_fe: tuple[float, float] = (-0.45, 0.05)

    @property
    def point(self) -> Array:
        """Parameters in the order of the model's names."""
        return np.array([self.parameters[name] for name in self.model.names])

    def places(self, count: int, rng: np.random.Generator, frame: GalacticFrame) -> Array:
        """(count, 3) places about the center, kpc, between the radii."""
        point = self.point
        value = dict(zip(self.model.names, point, strict=True))
        p, q = value.get("p", 1.0), value.get("q", 1.0)
        _, radial, _, _ = self.model.parts(point)
        m = np.geomspace(RADII[0], RADII[1] / min(p, q), 4000)
        ell = np.log(m)
        log_nu = -radial[0] * ell - (radial[1] - radial[0]) * np.maximum(0.0, ell - radial[3])
        log_nu -= (radial[2] - radial[1]) * np.maximum(0.0, ell - radial[4]) + radial[5] * m
        number = np.exp(3.0 * ell + log_nu)
        cumulative = np.concatenate([[0.0], np.cumsum(0.5 * (number[1:] + number[:-1]))])
        rows = axes(value)
        found: list[Array] = []
        missing, share = count, 1.0
        while missing > 0:
            drawn = int(1.05 * missing / share) + 100
            m = np.exp(np.interp(rng.random(drawn) * cumulative[-1], cumulative, ell))
            x = rng.standard_normal((drawn, 3))
            x *= (m / np.sqrt(np.einsum("ij,ij->i", x, x)))[:, None] * np.array([1.0, p, q])
            square = np.einsum("ij,ij->i", x, x)
            kept = (square > RADII[0] ** 2) & (square < RADII[1] ** 2)
            found.append(x[kept] @ rows)
            missing, share = missing - len(found[-1]), max(float(kept.mean()), 0.05)
        return np.concatenate(found)[:count]


def observe(
    components: Sequence[HaloComponent],
    fractions: SamplingFractions,
    tracers: Tracers,
    dust: DustMap,
    seed: int | np.random.Generator,
    *,
    frame: GalacticFrame = FRAME,
    distance_error: float = 0.0,
    errors: bool = True,
) -> QTable:
    """The stars of a made halo that the survey would have observed.

    Parameters
    ----------
    components : what the halo is made of.
    fractions, tracers, dust : the survey, its giants and the dust, as for the effective selection.
    seed : of everything.
    frame : the Sun's place and motion.
    distance_error : relative error put on the distances; the completeness knows nothing of it.
    errors : put errors on proper motions and velocities.

    Returns
    -------
    QTable
        The columns of ``starloom.halo.schema.SCHEMA``, and the truth ``component``. ``meta["formed"]`` holds the number
        of giants drawn for each component.
    """
    rng = generator(seed)
    parts, formed = [], {}
    for component in components:
        mean = component.mass / tracers.mass_per_tracer
        count = int(rng.poisson(mean))
        formed[component.name] = count
        parts.append(_seen(component, count, fractions, tracers, dust, rng, frame))
    table = _join(parts, [component.name for component in components], rng, frame, (distance_error, errors))
    table.meta["formed"] = formed
    return table


def _seen(
    component: HaloComponent, count: int, fractions: SamplingFractions, tracers: Tracers, dust: DustMap,
    rng: np.random.Generator, frame: GalacticFrame,
) -> dict[str, Array]:  # fmt: skip
    from starloom.stellar.extinction import extinction

    x = component.places(count, rng, frame)
    l, b, distance = frame.to_galactic(x)
    magnitude, color = tracers.sample(count, rng)
    inside = fractions.fields.containing(l, b)[:, 0] >= 0
    x, l, b, distance, magnitude, color = (part[inside] for part in (x, l, b, distance, magnitude, color))
    bright = magnitude + 5.0 * (np.log10(distance) + 2.0)
    near = bright < float(fractions.magnitude.max())
    x, l, b, distance, bright, color = (part[near] for part in (x, l, b, distance, bright, color))
    apparent = bright + extinction(dust, tracers.bands[0], l, b, distance)
    kept = rng.random(len(x)) < fractions.probability(l, b, apparent, color)
    x, apparent, color = x[kept], apparent[kept], color[kept]
    v = component.velocities.sample_velocities(x, 1, rng)[:, 0] if len(x) else np.empty((0, 3))
    return {
        "x": x,
        "v": v,
        "h_mag": apparent,
        "j_k": color,
        "fe_h": rng.normal(*component.fe_h, len(x)),
        "al_fe": rng.normal(*component.al_fe, len(x)),
    }


def _join(
    parts: Sequence[Mapping[str, Array]], names: Sequence[str], rng: np.random.Generator, frame: GalacticFrame,
    errors: tuple[float, bool],
) -> QTable:  # fmt: skip
    from astropy import units as u
    from astropy.table import QTable

    whole = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    number = np.concatenate([np.full(len(part["x"]), k) for k, part in enumerate(parts)])
    order = rng.permutation(len(number))
    whole, number = {key: value[order] for key, value in whole.items()}, number[order]
    seen = frame.to_icrs(whole["x"], whole["v"])
    rows = len(number)
    scale = 1.0 if errors[1] else 0.0
    distance_error = errors[0] * seen.distance
    columns = {
        "source_id": np.arange(1, rows + 1, dtype=np.int64),
        "ra": seen.ra * u.deg,
        "dec": seen.dec * u.deg,
        "distance": np.abs(seen.distance + distance_error * rng.normal(size=rows)) * u.kpc,
        "distance_error": distance_error * u.kpc,
    }
    for name, unit in (("pmra", u.mas / u.yr), ("pmdec", u.mas / u.yr), ("radial_velocity", u.km / u.s)):
        error = scale * ERRORS[name]
        columns[name] = (getattr(seen, name) + error * rng.normal(size=rows)) * unit
        columns[f"{name}_error"] = np.full(rows, error) * unit
    columns |= {"fe_h": whole["fe_h"], "al_fe": whole["al_fe"], "logg": rng.uniform(1.0, 3.0, rows)}
    columns |= {"h_mag": whole["h_mag"] * u.mag, "j_k": whole["j_k"] * u.mag}
    table = QTable(columns)
    table["component"] = np.array(names)[number]
    return table
