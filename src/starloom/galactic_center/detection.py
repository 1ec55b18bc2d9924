"""Which ejected stars a survey would call hypervelocity stars without controversy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from starloom.dynamics.frames import GalacticFrame, Observed
from starloom.dynamics.potentials import Potential
from starloom.errors import ConfigError
from starloom.galactic_center.photometry import Magnitudes
from starloom.simulation.gaia_errors import Release
from starloom.threads import in_blocks

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
SelectionFunction = Callable[[Observed, Magnitudes], Array]
BLOCK = 256


@dataclass(frozen=True)
class Candidate:
    """What makes a star an uncontroversial candidate; arXiv:2304.12169 after arXiv:2206.06962, as far as is known.

    Parameters
    ----------
    parallax_precision : largest error over measured parallax.
    least_speed : Galactocentric speed that it must exceed, km/s; 0 to ask for the escape speed instead.
    probability : smallest share of draws from its errors that are faster.
    draws : how many.

    Raises
    ------
    ConfigError
        When a number is out of its range.
    """

    parallax_precision: float = 0.2
    least_speed: float = 700.0
    probability: float = 0.5
    draws: int = 50

    def __post_init__(self) -> None:
        if not (self.parallax_precision > 0 and self.least_speed >= 0 and 0 < self.probability <= 1 and self.draws > 0):
            raise ConfigError(
                "a candidate needs a positive parallax_precision, a speed of at least 0, a probability in (0, 1] and "
                f"a positive number of draws, got {self}"
            )


class Detected(NamedTuple):
    """What a release says of each star (n,).

    Parameters
    ----------
    measured : probability that it has astrometry and a velocity, given its true values.
    candidate : share of possible measurements of it that would be called a candidate, times ``measured``.
    parallax, parallax_error : one possible measurement, mas.
    probability : share of draws faster than asked, for that measurement; NaN where it was not asked.
    """

    measured: Array
    candidate: Array
    parallax: Array
    parallax_error: Array
    probability: Array


def detect(
    seen: Observed,
    magnitudes: Magnitudes,
    teff: Array,
    logg: Array,
    release: Release,
    rule: Candidate,
    frame: GalacticFrame,
    model: Potential,
    *,
    noise: int = 1,
    seed: int,
    selection: SelectionFunction | None = None,
    workers: int | None = None,
) -> Detected:
    """Let a release of Gaia measure stars, and ask of each measurement whether it makes a candidate.

    Parameters
    ----------
    seen : true coordinates (n,).
    magnitudes : true (n,).
    teff, logg : K and dex (n,).
    release, rule : which stars have velocities and what a candidate is.
    frame, model : the Sun and the potential that the escape speed is of.
    noise : measurements drawn for each star.
    seed : of the noise. Each block of stars has a stream of its own, so the number of workers changes nothing.
    selection : probability that a star has a velocity, from its coordinates and magnitudes (n,), in the place of the
        release's magnitude rules: a measured selection function, say.
    workers : threads.
    """
    count = len(seen.ra)
    if noise < 1:
        raise ConfigError(f"noise must be at least 1, got {noise}")
    if selection is None:
        measured = release.has_velocity(magnitudes.g, magnitudes.g_rvs, teff).astype(float)
    else:
        measured = np.where(release.has_astrometry(magnitudes.g), selection(seen, magnitudes), 0.0)
    measured = np.where(np.isfinite(seen.distance), measured, 0.0)
    error = release.parallax_error(magnitudes.g)
    sigma_ra, sigma_dec = release.proper_motion_errors(magnitudes.g)
    sigma_v = release.velocity_error(magnitudes.g_rvs, teff, logg)
    with np.errstate(divide="ignore"):
        true = 1.0 / seen.distance
    candidate, parallax, probability = np.zeros(count), np.full(count, np.nan), np.full(count, np.nan)

    def run(part: slice) -> None:
        rng = np.random.default_rng([seed, part.start // BLOCK])
        size = part.stop - part.start
        shifts = rng.standard_normal((noise, 4, size))
        for k in range(noise):
            drawn = true[part] + error[part] * shifts[k, 0]
            parallax[part] = drawn
            with np.errstate(divide="ignore", invalid="ignore"):
                precise = (measured[part] > 0) & (drawn > 0) & (error[part] <= rule.parallax_precision * drawn)
            rows = np.flatnonzero(precise)
            if not len(rows):
                continue
            here = part.start + rows
            values = np.stack([
                drawn[rows],
                seen.pmra[here] + sigma_ra[here] * shifts[k, 1, rows],
                seen.pmdec[here] + sigma_dec[here] * shifts[k, 2, rows],
                seen.radial_velocity[here] + sigma_v[here] * shifts[k, 3, rows],
            ])  # fmt: skip
            errors = np.stack([error[here], sigma_ra[here], sigma_dec[here], sigma_v[here]])
            share = fast_share(seen.ra[here], seen.dec[here], values, errors, rule, frame, model, rng)
            probability[here] = share
            candidate[here] += (share >= rule.probability) / noise

    in_blocks(run, count, workers, block=BLOCK)
    return Detected(measured, candidate * measured, parallax, error, probability)


def fast_share(
    ra: Array,
    dec: Array,
    values: Array,
    errors: Array,
    rule: Candidate,
    frame: GalacticFrame,
    model: Potential,
    rng: np.random.Generator,
) -> Array:
    """Share of draws from the errors of stars that are faster than a candidate has to be.

    Parameters
    ----------
    ra, dec : deg (n,).
    values, errors : parallax (mas), pmra, pmdec (mas/yr), radial velocity (km/s) and their errors (4, n).
    rule, frame, model : as for :func:`detect`.
    rng : of the draws.

    Returns
    -------
    ndarray
        (n,). Distances are one over the absolute parallax, as the definition has them.
    """
    count = len(ra)
    drawn = values[:, :, None] + errors[:, :, None] * rng.standard_normal((4, count, rule.draws))
    with np.errstate(divide="ignore"):
        distance = 1.0 / np.abs(drawn[0])
    found = frame.to_galactocentric(
        np.repeat(ra, rule.draws), np.repeat(dec, rule.draws), distance.ravel(), drawn[1].ravel(), drawn[2].ravel(),
        drawn[3].ravel(),
    )  # fmt: skip
    speed = np.linalg.norm(found.v, axis=1)
    limit = model.escape_velocity(found.x) if rule.least_speed == 0 else rule.least_speed
    return np.asarray((speed > limit).reshape(count, rule.draws).mean(axis=1))
