"""Which density the stars ask for: every family fitted, the simpler ones giving starts to the richer ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from starloom.errors import ConfigError
from starloom.halo.checkpoints import kept
from starloom.halo.density import DensityModel, Kind
from starloom.halo.likelihood import HaloLikelihood, Volume
from starloom.halo.posterior import BestFit, best_fit

Array = NDArray[np.float64]
BREAKS = (10.0, 18.0, 30.0)  # kpc: of the starts that a simpler model gives


@dataclass(frozen=True)
class Comparison:
    """Best fits of several families to one sample.

    Parameters
    ----------
    likelihoods, fits : one for each family, in the order they were asked for.
    """

    likelihoods: tuple[HaloLikelihood, ...]
    fits: tuple[BestFit, ...]

    @property
    def bic(self) -> Array:
        """(k,) Bayesian information criterion of each."""
        return np.array([fit.bic for fit in self.fits])

    @property
    def best(self) -> int:
        """Index of the family with the smallest BIC."""
        return int(np.argmin(self.bic))


def compare(
    stars: Array,
    volume: Volume,
    models: Sequence[DensityModel],
    *,
    starts: int = 6,
    seed: int = 0,
    threads: int = 1,
    folder: str | Path | None = None,
) -> Comparison:
    """Fit each family from blind starts and from the answers of the simpler ones.

    Parameters
    ----------
    stars : (n, 3) places, kpc.
    volume : what the sample could have held.
    models : simpler ones first.
    starts : blind starts of each.
    seed : of the starts.
    folder : keeps each fit, so that an interrupted comparison goes on; see `starloom.halo.checkpoints.kept`.

    Raises
    ------
    ConfigError
        When no model is given.
    """
    if not models:
        raise ConfigError("compare at least one density")
    likelihoods: list[HaloLikelihood] = []
    fits: list[BestFit] = []
    for model in models:
        likelihood = HaloLikelihood(model, stars, volume, threads)
        guesses = [guess for number, fit in enumerate(fits) for guess in _guesses(models[number], fit, model)]
        settings = {"starts": starts, "seed": seed, "guesses": np.array(guesses)}
        fits.append(kept(folder, BestFit, likelihood, settings, partial(_climb, likelihood, starts, seed, guesses)))
        likelihoods.append(likelihood)
    return Comparison(tuple(likelihoods), tuple(fits))


def _climb(likelihood: HaloLikelihood, starts: int, seed: int, guesses: list[Array]) -> BestFit:
    return best_fit(likelihood, starts=starts, seed=seed, guesses=np.array(guesses) if guesses else None)


def _guesses(simple: DensityModel, fit: BestFit, model: DensityModel) -> list[Array]:
    """Starts in the coordinates of a richer family that say what a simpler one found."""
    value = {"disk_share": 0.02, "outlier_share": 0.01, **dict(fit.parameters)}
    if simple.turning != model.turning or simple.triaxial != model.triaxial:
        return []
    found: list[Array] = []
    for radial in _radial_guesses(simple.kind, model.kind, value):
        try:
            found.append(np.clip(model.coordinates({**value, **radial}), -6.0, 6.0))
        except ConfigError:  # outside of the richer family's prior
            continue
    return found


def _radial_guesses(simple: Kind, model: Kind, value: dict[str, float]) -> list[dict[str, float]]:
    if simple == model:
        return [{}]
    if simple == "single":
        slope = value["slope"]
        if model == "cutoff":
            return [{"slope": 0.7 * slope, "cutoff_radius": 25.0}]
        if model == "broken":
            steep = min(slope + 1.5, 9.5)
            return [{"inner_slope": max(slope - 1.0, 0.2), "outer_slope": steep, "break_radius": r} for r in BREAKS]
    if simple == "broken" and model == "double":
        inner, outer, r = value["inner_slope"], value["outer_slope"], value["break_radius"]
        return [
            {"inner_slope": a, "middle_slope": b, "outer_slope": c, "inner_break": near, "outer_break": min(far, 54.0)}
            for a, b, c, near, far in (
                (inner, inner + 0.3, outer, 0.6 * r, r),
                (inner, outer, min(outer + 0.5, 9.9), r, 1.6 * r),
            )
        ]
    return []
