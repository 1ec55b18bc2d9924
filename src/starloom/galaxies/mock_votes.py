"""What volunteers would say of made galaxies: known probabilities of every answer, and votes drawn from them.

The probabilities follow from what shows in the picture (:mod:`starloom.galaxies.mock_visibility`): arms that blur,
noise or inclination hide are not voted for, and a faint spiral is "smooth" here as it is in Galaxy Zoo. The questions
are those of Galaxy Zoo DECaLS (data release 5). Votes are Dirichlet-multinomial about these probabilities: volunteers
differ by more than chance. Every answer has a concentration of 1 at least, as in the model of arXiv:2102.08414: some
clicks mean nothing, and no opinion is so extreme that all volunteers of one galaxy share it and none of another. How
many look at a galaxy is drawn from the totals of a real campaign.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import ConfigError
from starloom.galaxies.mock_visibility import noticed, significances
from starloom.galaxies.votes import VoteSchema
from starloom.seeds import generator

if TYPE_CHECKING:
    from astropy.table import QTable

Array = NDArray[np.float64]
CAMPAIGN = "decals_dr5"
AGREEMENT = 40.0  # sum of the concentrations of a question: how alike volunteers are
LEAST = 1.0  # concentration of an answer that nothing speaks for


def _rises(value: Array, middle: float, width: float) -> Array:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip((value - middle) / width, -40.0, 40.0))))


def _ordered(value: Array, edges: tuple[float, ...], width: float) -> list[Array]:
    """Probabilities of classes along an axis, blurred at their edges."""
    above = [np.ones_like(value), *(_rises(value, edge, width) for edge in edges), np.zeros_like(value)]
    return [above[k] - above[k + 1] for k in range(len(edges) + 1)]


def schema() -> VoteSchema:
    """The questions that are asked of made galaxies."""
    from starloom.galaxies.vote_campaigns import campaign

    return campaign(CAMPAIGN)


@dataclass(frozen=True)
class Seen:
    """What of a galaxy can be seen, each shape (n,), between 0 and 1.

    Parameters
    ----------
    clear : how sharp and bright the galaxy is.
    arms, bar, ring, clumps, boxy, companion, tidal : share of volunteers who notice it.
    edge_on, artifact : how much it looks like one.
    bulge : share of the light in a bulge, as far as it is more concentrated than the disk.
    ratio : axis ratio behind the point spread function.
    """

    clear: Array
    arms: Array
    bar: Array
    ring: Array
    clumps: Array
    boxy: Array
    companion: Array
    tidal: Array
    edge_on: Array
    artifact: Array
    bulge: Array
    ratio: Array


def _blurred_ratio(ratio: Array, length: Array, psf: Array) -> Array:
    """Axis ratio of an ellipse with this scale length after a blur, from its second moments."""
    squared = (psf / 2.355 / length) ** 2
    return np.asarray(np.sqrt((ratio**2 + squared) / (1.0 + squared)))


def visible(galaxies: QTable) -> Seen:
    """What of each made galaxy can be seen."""
    g = {name: np.asarray(galaxies[name], dtype=np.float64) for name in galaxies.colnames if name != "image_key"}
    shown = {name: noticed(value) for name, value in significances(galaxies).items()}
    sharp = _rises(np.log(g["disk_scale"] / g["psf_fwhm"]), np.log(1.1), 0.35)
    brightness = np.log10(g["flux"] / (2.0 * np.pi * (32.0 * g["disk_scale"]) ** 2 * g["axis_ratio"]))
    bulge, psf = g["bulge_fraction"], g["psf_fwhm"]
    disk = _blurred_ratio(g["axis_ratio"], g["disk_scale"], psf)
    radius = np.hypot(g["bulge_radius"], 0.5 * psf)
    spread = np.where(bulge < 1.0, (radius / (0.9 * g["disk_scale"])) ** 2, 0.0)
    return Seen(
        clear=sharp * _rises(brightness, 0.9, 0.25),
        **shown,
        edge_on=_rises(-disk, -0.3, 0.045) * (bulge < 0.95),
        artifact=((g["star_flux"] > 0) | (g["trail"] > 0)).astype(np.float64),
        bulge=bulge / (1.0 + spread),
        ratio=bulge * _blurred_ratio(g["bulge_axis_ratio"], g["bulge_radius"], psf) + (1.0 - bulge) * disk,
    )


def answer_fractions(galaxies: QTable) -> Array:
    """The true probability of each answer of each question, given that the question is asked.

    Parameters
    ----------
    galaxies : table that :func:`starloom.galaxies.mock_population.draw` made.

    Returns
    -------
    array, shape (n, columns of the schema)
        The columns of a question sum to 1.
    """
    seen = visible(galaxies)
    g = {name: np.asarray(galaxies[name], dtype=np.float64) for name in galaxies.colnames if name != "image_key"}
    n = len(galaxies)
    structure = 1.0 - np.prod(
        [1.0 - 0.95 * part for part in (seen.arms, 0.8 * seen.bar, seen.ring, 0.7 * seen.clumps, seen.edge_on)], axis=0
    )
    around = np.maximum(seen.companion, seen.tidal)
    leaning = 0.6 * (1 - g["bulge_fraction"]) + 2.0 * (1 - seen.ratio) + 1.2 * around
    featured = _rises(-3.3 + 5.0 * structure + leaning, 0, 1)
    artifact = _rises(-3.4 + 6.5 * seen.artifact + 0.8 * (1.0 - seen.clear), 0.0, 1.0)
    rounded = _ordered(-seen.ratio, (-0.78, -0.42), 0.07)
    edge_on = seen.edge_on
    has_bulge = _rises(seen.bulge, 0.1, 0.05)
    boxy = 0.6 * has_bulge * seen.boxy
    spiral = _rises(-2.4 + 5.4 * seen.arms + 0.8 * seen.ring + 0.6 * seen.clumps, 0.0, 1.0)
    strong, no_bar = _rises(seen.bar, 0.65, 0.15), _rises(-seen.bar, -0.3, 0.12)
    weak = (1.0 - strong) * (1.0 - no_bar)
    sizes = _ordered(seen.bulge, (0.04, 0.14, 0.3, 0.5), 0.06)
    # what cannot be seen is guessed
    winding = [
        guess + seen.arms * (part - guess)
        for part, guess in zip(_ordered(np.rad2deg(g["arm_pitch"]), (16.0, 27.0), 4.0), (0.35, 0.4, 0.25), strict=True)
    ]
    counts = np.array([1.0, 2.0, 3.0, 4.0, 6.0])
    near = np.exp(
        -0.5
        * (
            (counts - g["arm_count"][:, None])
            / (0.55 + 0.6 * g["flocculence"][:, None] + 0.8 * (1.0 - seen.arms[:, None]))
        )
        ** 2
    )
    unsure = 0.08 + 0.4 * g["flocculence"] + 0.4 * (1.0 - seen.arms)
    near = near / near.sum(axis=1, keepdims=True) * (1.0 - unsure[:, None])
    disturbed = np.maximum(seen.tidal, 0.5 * np.abs(g["lopsidedness"]) * seen.clear)
    merger = seen.companion * (0.55 + 0.4 * seen.tidal)
    rest = 1.0 - merger
    major = rest * np.clip(disturbed * (0.15 + 0.5 * seen.companion), 0, 1)
    minor = rest * np.clip(0.75 * disturbed, 0, 1) * (1.0 - np.clip(disturbed * (0.15 + 0.5 * seen.companion), 0, 1))
    said = {
        "smooth-or-featured": [(1 - artifact) * (1 - featured), (1 - artifact) * featured, artifact],
        "disk-edge-on": [edge_on, 1 - edge_on],
        "has-spiral-arms": [spiral, 1 - spiral],
        "bar": [strong * (1 - no_bar), weak, no_bar],
        "bulge-size": sizes[::-1],
        "how-rounded": rounded,
        "edge-on-bulge": [boxy, 1 - has_bulge, has_bulge - boxy],
        "spiral-winding": winding,
        "spiral-arm-count": [*near.T, unsure],
        "merging": [1.0 - merger - major - minor, minor, major, merger],
    }
    columns = schema()
    result = np.empty((n, len(columns.columns)))
    for question in columns.questions:
        parts = np.clip(np.column_stack(said[question.name.rsplit("-", 1)[0]]), 0.0, None)
        parts /= parts.sum(axis=1, keepdims=True)
        given = LEAST + (AGREEMENT - LEAST * parts.shape[1]) * parts
        result[:, columns.slice_of(question.name)] = given / AGREEMENT
    return result


def vote_totals(real: ArrayLike, count: int, *, seed: int | np.random.Generator) -> NDArray[np.int64]:
    """How many volunteers look at each made galaxy: drawn from the totals of real ones.

    Parameters
    ----------
    real : totals of real galaxies; whole, positive numbers.
    count : number of made galaxies.

    Raises
    ------
    ConfigError
        When no real total is a positive number.
    """
    values = np.asarray(real, dtype=np.float64)
    values = values[np.isfinite(values) & (values >= 1)]
    if values.size == 0:
        raise ConfigError("vote totals are drawn from real ones, and none of those given is a positive number")
    return generator(seed).choice(values, size=count).astype(np.int64)


def made_totals(count: int, *, seed: int | np.random.Generator) -> NDArray[np.int64]:
    """Totals where no real ones can be had: about forty with a scatter of six, at least twenty."""
    return np.clip(np.rint(generator(seed).normal(42.0, 6.0, count)), 20, None).astype(np.int64)


def cast(
    fractions: Array, totals: ArrayLike, *, seed: int | np.random.Generator, agreement: float = AGREEMENT
) -> NDArray[np.float32]:
    """Votes of volunteers who answer one question after the other.

    Parameters
    ----------
    fractions : (n, columns) probabilities of the answers, as :func:`answer_fractions` gives them.
    totals : (n,) volunteers of each galaxy; those who see an artifact are asked nothing more.
    agreement : sum of the Dirichlet concentrations of a question.

    Returns
    -------
    array, shape (n, columns), float32
        Whole numbers.
    """
    rng, columns = generator(seed), schema()
    votes = np.zeros(fractions.shape, dtype=np.int64)
    place = {column: k for k, column in enumerate(columns.columns)}
    asked = np.asarray(totals, dtype=np.int64)
    for question in columns.questions:  # parents stand before children in this campaign
        part = columns.slice_of(question.name)
        number = sum((votes[:, place[answer]] for answer in question.after), np.zeros(len(asked), dtype=np.int64))
        opinion = rng.standard_gamma(np.maximum(agreement * fractions[:, part], 1e-3))
        opinion /= np.maximum(opinion.sum(axis=1, keepdims=True), 1e-300)
        votes[:, part] = rng.multinomial(number if question.after else asked, opinion)
    return votes.astype(np.float32)


def oracle_concentrations(fractions: Array, agreement: float = AGREEMENT) -> Array:
    """The concentrations that votes were drawn with: no model can predict better."""
    return np.maximum(agreement * fractions, 1e-3)
