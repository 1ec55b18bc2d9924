"""How well a model answers: robust errors, coverage, and the tasks that every star foundation model is held against."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from starloom.stars.tokens import Tokens
from starloom.stats.robust import robust_scatter

if TYPE_CHECKING:
    from starloom.stars.foundation import Answers, StarFoundation

Floats = NDArray[np.float64]
CENTRAL = 0.6827
LABEL_NAMES = ("teff", "logg", "fe_h", "alpha_m")
COLOR_NAMES = ("bp_rp", "j_h", "j_k")
LOW = 5


def complete(tokens: Tokens, model: StarFoundation, names: tuple[str, ...]) -> NDArray[np.bool_]:
    """Stars that have all of these kinds."""
    return np.asarray(np.isfinite(tokens.values[:, model.vocabulary.places(list(names))]).all(axis=1))


def usual_kinds(model: StarFoundation, orders: int | None = None) -> list[str]:
    """Coefficients below an order and all colors of a model."""
    most = model.usual if orders is None else orders
    kinds = model.vocabulary.kinds
    return [k.name for k in kinds if (k.group == "xp" and k.order < most) or k.group == "color"]


@dataclass(frozen=True)
class Scored:
    """Answers beside the truth, in standardized values and in the kinds' units.

    Parameters
    ----------
    answers : as given.
    residual : (stars, requests), truth minus answer in the kinds' units.
    z : (stars, requests), the same standardized, over model error and measurement error together.
    truth : (stars, requests) in the kinds' units.
    """

    answers: Answers
    residual: Floats
    z: Floats
    truth: Floats

    def scatter(self) -> dict[str, float]:
        """Robust scatter of each request."""
        return {name: robust_scatter(self.residual[:, k]) for k, name in enumerate(self.answers.names)}

    def coverage(self) -> dict[str, float]:
        """Share of the truths inside the central 68.3 % of each request."""
        from starloom.inference.calibration import coverage

        return {name: coverage(self.z[:, k], -1.0, 1.0) for k, name in enumerate(self.answers.names)}


def score(model: StarFoundation, tokens: Tokens, request: Any, given: Any) -> Scored:
    """Ask of tokens what is known of them."""
    answers = model.ask(tokens, list(request), list(given))
    words, places = model.vocabulary, model.vocabulary.places(list(answers.names))
    truth = tokens.values[:, places].astype(float)
    residual = truth - words.restore(answers.mean, places)
    e = words.standardize_errors(truth, tokens.errors[:, places], places)
    z = (words.standardize(truth, places) - answers.mean) / np.hypot(answers.sigma, e)
    return Scored(answers, residual, z, truth)


def half_of(tokens: Tokens, model: StarFoundation, names: list[str], rng: np.random.Generator) -> Tokens:
    """The same stars, each with a random half of these kinds."""
    places = model.vocabulary.places(names)
    values = tokens.values.copy()
    part = values[:, places]
    part[rng.random(part.shape) < 0.5] = np.nan
    values[:, places] = part
    return Tokens(values, tokens.errors, tokens.reason)


def label_scores(model: StarFoundation, tokens: Tokens, rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """Scores of the labels in the usual contexts, of stars that have all labels and colors."""
    labels = tuple(name for name in LABEL_NAMES if name in model.vocabulary)
    colors = tuple(name for name in COLOR_NAMES if name in model.vocabulary)
    stars = tokens.rows(complete(tokens, model, (*labels, *colors)))
    full = usual_kinds(model)
    whole = score(model, stars, labels, full)
    return {
        "full": whole.scatter(),
        "full_coverage": whole.coverage(),
        f"{LOW}+{LOW} coefficients and colors": score(model, stars, labels, usual_kinds(model, LOW)).scatter(),
        "half of the tokens": score(model, half_of(stars, model, full, rng), labels, full).scatter(),
        "copied": score(model, stars, labels, [*full, *labels]).scatter(),
    }


def widening(model: StarFoundation, tokens: Tokens, least: int = 200) -> NDArray[np.float64]:
    """What the standard deviation of each label is to be multiplied by so that 68.3 % of these stars are covered.

    Labels with fewer than ``least`` stars, and all other kinds, keep 1.
    """
    result = np.ones(len(model.vocabulary))
    for place in model.vocabulary.group("label"):
        name = model.vocabulary.names[place]
        known = np.isfinite(tokens.values[:, place])
        if known.sum() < least:
            continue
        part = tokens.rows(known)
        labels = {kind.name for kind in model.vocabulary.kinds if kind.group == "label"}
        given = [model.vocabulary.names[p] for p in model.shown((name,)) if model.vocabulary.names[p] not in labels]
        answers = replace(model, widen=None).ask(part, [name], given)
        truth = model.vocabulary.standardize(part.values[:, [place]], [place])
        e = model.vocabulary.standardize_errors(part.values[:, [place]], part.errors[:, [place]], [place])
        away, sigma = np.abs(truth - answers.mean)[:, 0], answers.sigma[:, 0]
        low, high = 0.3, 3.0
        for _ in range(30):
            middle = 0.5 * (low + high)
            covered = np.mean(away < np.hypot(middle * sigma, e[:, 0]))
            low, high = (middle, high) if covered < CENTRAL else (low, middle)
        result[place] = round(0.5 * (low + high), 4)
    return result
