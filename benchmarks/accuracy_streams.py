"""Long bars of the streams: the model of the study gd1-stream on twenty made fields with truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import stream_oracle
from astropy.table import QTable
from bars import Experiment, LongBar, Numbers, Pooled, System, bootstrap, median, ratio, share
from numpy.typing import NDArray

from starloom.results.record import Bar
from starloom.streams import mock, tailored_mock
from starloom.streams.gaps import find_gaps, search, stream_bins
from starloom.streams.tracks import ReferenceTrack, fitted_track
from starloom.studies import gd1_stream, stream_mock, stream_mock_models

SEEDS = tuple(range(100, 120))
COORDINATES = ("phi2", "pm_phi1_cosphi2", "pm_phi2", "distance_modulus")
EVERY = 2.0  # deg
LEAST_COMPLETENESS = 0.5
LIMIT = 0.8
# thresholds at which the oracle's members are counted, dense where it is sure
THRESHOLDS = 1.0 / (1.0 + np.exp(-np.linspace(-4.0, 9.0, 131)))


def measure(seed: int, *, guide: bool, members: int, steps: int) -> Numbers:
    """Fit one made field and hold the fit against its truth and its oracle."""
    field = mock.MockField(gd1_stream.POLYGON)
    stars = mock.make(field, seed)
    settings = gd1_stream.Config(members=members, steps=steps)
    reference = None
    if guide:
        frame = stream_oracle.StreamFrame.named("GD1Koposov10")
        reference = ReferenceTrack.from_galstreams(
            mock.reference_track(field), "GD-1", "truth", frame, reflex_distance=mock.REFLEX_DISTANCE
        )
    fitted = gd1_stream.model_of(settings, mock.isochrone(), reference).fit(stars, seed=seed)
    membership = fitted.predict(stars)
    used = np.asarray(membership["reason"]) == ""
    true = (np.asarray(stars["component"]) != "background")[used]
    p = np.asarray(membership["p_member"])[used]
    value, low, high = fitted.expected_members(stars)["member"]
    track = fitted_track(fitted, "stream", np.arange(field.phi1[0] + EVERY / 2, field.phi1[1], EVERY))
    numbers = {
        "true_members": int(true.sum()),
        "expected": value,
        "expected_covers": bool(low <= true.sum() <= high),
        "calibration_error": calibration_error(p, true),
        "collapsed": any("collapsed" in warning for warning in fitted.report["warnings"])
        or bool(value < 0.5 * true.sum()),
        "warnings": list(fitted.report["warnings"]),
    }
    return numbers | track_coverage(track) | against_oracle(p, true, stream_oracle.probability(field, stars[used]))


def calibration_error(p: NDArray[np.float64], true: NDArray[np.bool_]) -> float:
    """Expected calibration error in ten equal bins of probability."""
    place = np.clip((10 * p).astype(int), 0, 9)
    excess = np.bincount(place, p, minlength=10) - np.bincount(place, true, minlength=10)
    return float(np.abs(excess).sum() / len(p))


def track_coverage(track: QTable) -> dict[str, int]:
    """How many points the 90 % band of each coordinate covers, of those where the selection keeps one half."""
    kept = np.asarray(track["completeness"]) >= LEAST_COMPLETENESS
    truth = mock.track(track["phi1"].value)
    found = {"points": int(kept.sum())}
    for name in COORDINATES:
        inside = (truth[name] >= track[f"{name}_low"].value) & (truth[name] <= track[f"{name}_high"].value)
        found[f"covered_{name}"] = int((inside & kept).sum())
    found["covered"] = sum(found[f"covered_{name}"] for name in COORDINATES)
    found["points_of_all"] = len(COORDINATES) * found["points"]
    return found


def against_oracle(p: NDArray[np.float64], true: NDArray[np.bool_], oracle: NDArray[np.float64]) -> dict[str, Any]:
    """True and false members at P > 0.8, and those of the oracle at many thresholds."""
    above = oracle[:, None] > THRESHOLDS
    return {
        "true_found": int(true[p > LIMIT].sum()),
        "false_found": int((~true[p > LIMIT]).sum()),
        "chosen": int((p > LIMIT).sum()),
        "oracle_true": above[true].sum(axis=0).tolist(),
        "oracle_false": above[~true].sum(axis=0).tolist(),
        "oracle_true_found": int(true[oracle > LIMIT].sum()),
        "oracle_chosen": int((oracle > LIMIT).sum()),
        "oracle_calibration_error": calibration_error(oracle, true),
    }


def oracle_share(numbers: Sequence[Numbers]) -> float:
    """Completeness over the oracle's at the threshold where its members, of all seeds together, are as pure."""
    found = sum(n["true_found"] for n in numbers)
    purity = found / max(sum(n["chosen"] for n in numbers), 1)
    true, false = (np.sum([n[f"oracle_{kind}"] for n in numbers], axis=0) for kind in ("true", "false"))
    purities = np.maximum.accumulate(true / np.maximum(true + false, 1))
    return found / max(float(np.interp(purity, purities, true)), 1.0)


def _experiment(name: str, guide: bool) -> Experiment:
    full, small = {"members": 8, "steps": 400}, {"members": 4, "steps": 200}
    return Experiment(name, partial(measure, guide=guide), SEEDS, full, small)


def _bars(experiment: Experiment, how: str) -> list[LongBar]:
    def line(name: str, pool: Callable[[Sequence[Numbers]], Pooled], bar: Bar | None = None, meaning: str = "",
             percent: bool = True) -> LongBar:  # fmt: skip
        return LongBar(f"{name}, {how}", experiment, pool, bar, meaning, percent)

    fraction = "true members over stars"
    return [
        line("coverage of the 90 % track bands", ratio("covered", "points_of_all"), Bar("in", (0.85, 0.95)),
             "phi2, both proper motions, distance modulus, pooled; false alarm about 1 %"),
        *(line(f"coverage of {name}", ratio(f"covered_{name}", "points")) for name in COORDINATES),
        line("expected over true members", ratio("expected", "true_members"), Bar("in", (0.98, 1.02))),
        line("expected members: its 90 % interval holds the truth", share("expected_covers"), Bar(">=", 0.75),
             "15 of 20 seeds; false alarm 1 %"),
        line("expected calibration error", median("calibration_error"), Bar("<=", 0.005),
             "median seed; ten equal bins of probability", percent=False),
        line("collapsed fits", share("collapsed"), Bar("<=", 0.0),
             "a warning of collapse of stream or spur, or under half the members"),
        line("completeness over the oracle's at equal purity", bootstrap(oracle_share), Bar(">=", 0.95),
             "of the stars with P > 0.8; the oracle knows the true densities"),
        line("completeness at P > 0.8", ratio("true_found", "true_members"), None, fraction),
        line("purity at P > 0.8", ratio("true_found", "chosen")),
        line("completeness of the oracle at P > 0.8", ratio("oracle_true_found", "true_members")),
        line("purity of the oracle at P > 0.8", ratio("oracle_true_found", "oracle_chosen")),
        line("calibration error of the oracle", median("oracle_calibration_error"), None, "the floor", percent=False),
    ]  # fmt: skip


def measure_tailored(seed: int, *, members: int, steps: int) -> Numbers:
    """Fit one tailored mock with and without photometry; nothing says where its stream is."""
    line = stream_mock_models.ridge("mist")
    made = tailored_mock.make(line.mass, line.magnitudes, seed)
    true = np.asarray(made.table["component"]) == "stream"
    training = stream_mock.Config(members=members, steps=steps).training()
    numbers: dict[str, Any] = {"true_members": int(true.sum()), "background": int((~true).sum())}
    for label, chosen in (("", line), ("plain_", None)):
        fitted = stream_mock_models.tailored_model(training, made.table, chosen).fit(made.table, seed=seed)
        p = np.asarray(fitted.predict(made.table)["p_stream"])
        numbers |= {
            f"{label}found": int((p > LIMIT)[true].sum()),
            f"{label}false": int((p > LIMIT)[~true].sum()),
            f"{label}expected": float(p.sum()),
            f"{label}calibration_error": calibration_error(p, true),
            f"{label}collapsed": bool(p.sum() < 0.5 * true.sum()),
        }
        if chosen is None:
            continue
        track = fitted_track(fitted, "stream", np.arange(-19.0, 30.0, 1.0))
        inside = {name: held for name, (_, held) in stream_mock.against_truth(made, track).items()}
        numbers |= {f"covered_{name}": int(held.sum()) for name, held in inside.items()}
        wide = made.gaps[np.diff(made.gaps, axis=1)[:, 0] > stream_mock.GAP]
        features = find_gaps(fitted, made.table, seed=seed)
        inner = wide[(wide[:, 0] > tailored_mock.PHI1[0]) & (wide[:, 1] < tailored_mock.PHI1[1])]
        numbers |= {
            "points": len(inside["phi2"]),
            "covered": sum(int(held.sum()) for held in inside.values()),
            "points_of_all": sum(len(held) for held in inside.values()),
            "gaps": len(wide),
            "gaps_found": stream_mock.gaps_found(features, wide)[0],
            "gaps_of_oracle": stream_mock.gaps_found(gaps_of_oracle(made, seed), wide)[0],
            "inner_gaps": len(inner),
            "inner_gaps_found": stream_mock.gaps_found(features, inner)[0],
            "features": len(features),
        }
    oracle = stream_mock.tailored_oracle(made)
    return numbers | {
        "oracle_found": int((oracle > LIMIT)[true].sum()),
        "oracle_false": int((oracle > LIMIT)[~true].sum()),
    }


def gaps_of_oracle(made: tailored_mock.TailoredMock, seed: int) -> QTable:
    """The gaps that the same search finds when it is told which star is a member."""
    phi1 = made.table["phi1"].value
    true = (np.asarray(made.table["component"]) == "stream").astype(float)
    edges = stream_bins(phi1, true)
    found = search(
        edges, np.histogram(phi1, edges, weights=true)[0], np.ones(len(edges) - 1), seed=seed, widths=(1.0, 15.0)
    )
    return QTable(
        {"kind": [row["kind"] for row in found]}
        | {name: [row[name] for row in found] * u.deg for name in ("phi1_low", "phi1_high")}
    )


TAILORED = Experiment(
    "streams tailored",
    measure_tailored,
    tuple(range(101, 121)),
    {"members": 6, "steps": 300},
    {"members": 2, "steps": 60},
)
TAILORED_SYSTEM = System(
    name="tailored streams",
    text="The first mock of arXiv:2311.16960 with twenty seeds of our own, fitted with the MIST isochrone it was made "
    "of and without photometry; no guide. Coverage counts points every degree where the stream has stars; they are "
    "correlated along a stream, so intervals resample whole seeds.",
    bars=(
        LongBar("completeness at P > 0.8", TAILORED, ratio("found", "true_members"), Bar(">=", 0.99), percent=True),
        LongBar("false positives at P > 0.8", TAILORED, median("false"), Bar("<=", 6.0), "median seed, of 13,000"),
        LongBar("expected over true members", TAILORED, ratio("expected", "true_members"), Bar("in", (0.98, 1.02)),
                percent=True),
        LongBar("expected calibration error", TAILORED, median("calibration_error"), Bar("<=", 0.005), "median seed"),
        LongBar("collapsed fits", TAILORED, share("collapsed"), Bar("<=", 0.0), "under half the members", percent=True),
        LongBar("gaps wider than 4 deg found", TAILORED, ratio("gaps_found", "gaps"), Bar(">=", 0.95),
                "both edges within 1 deg", percent=True),
        LongBar("gaps found by an oracle", TAILORED, ratio("gaps_of_oracle", "gaps"), None,
                "the same search, told which star is a member", percent=True),
        LongBar("gaps found that have stream on both sides", TAILORED, ratio("inner_gaps_found", "inner_gaps"), None,
                "a made gap that runs to the end of the stream leaves a shorter stream", percent=True),
        LongBar("coverage of the 90 % track bands", TAILORED, ratio("covered", "points_of_all"),
                Bar("in", (0.85, 0.95)), "phi2 and distance modulus, pooled", percent=True),
        LongBar("coverage of phi2", TAILORED, ratio("covered_phi2", "points"), percent=True),
        LongBar("coverage of distance_modulus", TAILORED, ratio("covered_distance_modulus", "points"), percent=True),
        LongBar("completeness at P > 0.8, without photometry", TAILORED, ratio("plain_found", "true_members"),
                Bar(">=", 0.97), percent=True),
        LongBar("false positives at P > 0.8, without photometry", TAILORED, median("plain_false"), Bar("<=", 58.0),
                "median seed"),
        LongBar("collapsed fits, without photometry", TAILORED, share("plain_collapsed"), Bar("<=", 0.0), percent=True),
        LongBar("completeness of the oracle, without photometry", TAILORED, ratio("oracle_found", "true_members"),
                percent=True),
        LongBar("false positives of the oracle, without photometry", TAILORED, median("oracle_false")),
    ),
    source=Path(__file__).resolve(),
)  # fmt: skip

GUIDED, FREE = _experiment("streams guided", True), _experiment("streams unguided", False)

SYSTEM = System(
    name="streams",
    text="The model of the study gd1-stream, with a guide and without any, on made fields in the columns of the real "
    "table (`starloom.streams.mock`: stream, spur and background inside the real polygon, half of the stars with "
    "photometry). Track points lie every 2 deg of phi1 where the selection keeps at least half of the stream; they "
    "are correlated along a stream, so intervals resample whole seeds.",
    bars=tuple(_bars(GUIDED, "guided") + _bars(FREE, "unguided")),
    source=Path(__file__).resolve(),
)
