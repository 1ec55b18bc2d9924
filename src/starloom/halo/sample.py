"""From a table of giants to the samples that are fitted: cuts, orbits, abundances, fields, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from starloom.catalog.quality import repeated
from starloom.catalog.schema import plain
from starloom.dynamics.frames import GalacticFrame, PhaseSpace
from starloom.dynamics.measured_stars import check_speeds
from starloom.dynamics.potentials import Potential
from starloom.errors import CatalogError
from starloom.halo.schema import SCHEMA
from starloom.halo.selections import ABUNDANCES, Motion, kinematic, shares_of_draws
from starloom.halo.survey import FRAME, GIANTS

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.selection.sampling_fractions import SamplingFractions

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
DISTANCE_PRECISION, LOGG_PRECISION = 0.2, 0.1
SURVEY_FLAGS = ("EXTRATARG",)  # has to be 0 for a star of the main survey, where a table has it


@dataclass(frozen=True)
class HaloSample:
    """Giants with what the halo's studies ask of them.

    Parameters
    ----------
    table : canonical columns, ``reason`` (empty for usable stars), places, actions, and a column for each selection.
    x, v : (n, 3) kpc and km/s about the center; NaN where not known.
    usable : (n,) stars that passed all cuts and lie in a field.
    motion : of all stars.
    """

    table: QTable
    x: Array
    v: Array
    usable: Flags
    motion: Motion

    def chosen(self, abundance: str, selection: str | None) -> Flags:
        """Usable stars (n,) of an abundance region (``accreted``, ``halo``) and of a kinematic selection."""
        fe_h, al_fe = plain(self.table, "fe_h"), plain(self.table, "al_fe")
        found = self.usable & ABUNDANCES[abundance](fe_h, al_fe)
        return np.asarray(found & kinematic(selection)(self.motion)) if selection else np.asarray(found)

    def places(self, abundance: str, selection: str | None) -> Array:
        """(m, 3) places of the chosen stars, kpc."""
        return np.ascontiguousarray(self.x[self.chosen(abundance, selection)])


def read_sample(
    table: QTable,
    fractions: SamplingFractions,
    potential: Potential,
    *,
    frame: GalacticFrame = FRAME,
    selections: Sequence[str] = ("e-Lz", "AD", "JR-Lz"),
    samples: int = 0,
    focal_length: str = "local",
    seed: int = 0,
    workers: int | None = None,
    label: str = "the giants",
) -> HaloSample:
    """Cuts, orbits and selections of a table.

    Parameters
    ----------
    table : with the columns of ``starloom.halo.schema.SCHEMA``.
    fractions : fields of the survey: stars outside of all of them cannot be explained by it and are left out.
    potential, frame : the Galaxy and the Sun's place in it.
    selections : kinematic selections to note for each star.
    samples : draws from each star's errors for the probability of each selection; 0 for none.
    focal_length : see `Motion.of`.
    seed, workers : of the draws.

    Raises
    ------
    CatalogError
        When no star is usable; the message counts the reasons.
    MissingColumnError
        When a required column is missing.
    """
    stars = SCHEMA.apply(table, label=label)
    if len(stars) == 0:
        raise CatalogError(f"{label} has no rows")
    check_speeds(stars, label)
    columns = [plain(stars, name) for name in ("ra", "dec", "distance", "pmra", "pmdec", "radial_velocity")]
    phase = frame.to_galactocentric(*columns)
    reasons = _reasons(stars, columns)
    l, b, _ = frame.to_galactic(np.nan_to_num(phase.x, nan=1e3))
    outside = fractions.fields.containing(l, b)[:, 0] < 0
    for row in np.flatnonzero(outside & np.isfinite(phase.x).all(axis=1)):
        reasons[row].append("outside all fields")
    motion = Motion.of(potential, phase, focal_length=focal_length, workers=workers)
    for row in np.flatnonzero(~np.isfinite(motion.eccentricity) & np.isfinite(phase.v).all(axis=1)):
        reasons[row].append("no orbit")
    usable = np.array([not reason for reason in reasons])
    if not usable.any():
        raise CatalogError(f"no star of {label} is usable: {_count(reasons)}")
    _write(stars, phase, motion, selections)
    if samples:
        conditions = {name: kinematic(name) for name in selections}
        shares = shares_of_draws(
            stars, conditions, potential=potential, frame=frame, samples=samples, focal_length=focal_length, seed=seed,
            workers=workers,
        )  # fmt: skip
        for name, share in shares.items():
            stars[f"probability_{name}"] = share
    stars["reason"] = np.array([", ".join(reason) for reason in reasons], dtype=str)
    return HaloSample(stars, phase.x, phase.v, usable, motion)


def _reasons(stars: QTable, columns: Sequence[Array]) -> list[list[str]]:
    names = ("right ascension", "declination", "distance", "pmra", "pmdec", "radial velocity")
    found: list[list[str]] = [[] for _ in range(len(stars))]

    def remark(where: Flags, text: str) -> None:
        for row in np.flatnonzero(where):
            found[row].append(text)

    for name, values in zip(names, columns, strict=True):
        remark(~np.isfinite(values), f"no {name}")
    distance = columns[2]
    remark(np.isfinite(distance) & (distance <= 0), "distance not above 0")
    if "distance_error" in stars.colnames:
        with np.errstate(invalid="ignore", divide="ignore"):
            loose = plain(stars, "distance_error") / distance > DISTANCE_PRECISION
        remark(loose, f"distance less precise than {DISTANCE_PRECISION:.0%}")
    for name, text in (("fe_h", "no [Fe/H]"), ("al_fe", "no [Al/Fe]")):
        remark(~np.isfinite(plain(stars, name)), text)
    gravity = plain(stars, "logg")
    remark(~((gravity > GIANTS[0]) & (gravity < GIANTS[1])), f"log g not within {GIANTS[0]:g} and {GIANTS[1]:g}")
    if "logg_error" in stars.colnames:
        remark(plain(stars, "logg_error") > LOGG_PRECISION, f"log g less precise than {LOGG_PRECISION:g}")
    remark(repeated(stars), "a source_id that an earlier row has")
    for name in SURVEY_FLAGS:
        if name in stars.colnames:
            remark(np.asarray(stars[name]) != 0, f"not of the main survey ({name})")
    return found


def _count(reasons: Sequence[Sequence[str]]) -> str:
    counts: dict[str, int] = {}
    for reason in reasons:
        for text in reason:
            counts[text] = counts.get(text, 0) + 1
    return "; ".join(f"{text}: {count} stars" for text, count in sorted(counts.items(), key=lambda entry: -entry[1]))


def count_reasons(sample: HaloSample) -> Mapping[str, int]:
    """How many stars were left out for each reason."""
    counts: dict[str, int] = {}
    for reason in np.asarray(sample.table["reason"]):
        for text in filter(None, str(reason).split(", ")):
            counts[text] = counts.get(text, 0) + 1
    return counts


def _write(stars: QTable, phase: PhaseSpace, motion: Motion, selections: Sequence[str]) -> None:
    from astropy import units as u

    for k, name in enumerate(("x", "y", "z")):
        stars[name] = phase.x[:, k] * u.kpc
    action = u.kpc * u.km / u.s
    for name in ("l_z", "action_r", "action_z"):
        stars[name] = getattr(motion, name) * action
    stars["eccentricity"] = motion.eccentricity
    stars["energy"] = motion.energy * (u.km / u.s) ** 2
    for name in selections:
        stars[f"inside_{name}"] = kinematic(name)(motion)
