"""What is known of GD-1 from elsewhere, held against a fit that has not seen it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from starloom.results.record import Bar, Results

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.streams.fitted import FittedStream

SHIFTS = (-3.5, -3.0, -2.5, 2.5, 3.0, 3.5)
KEPT = (-62.0, -36.0)  # deg: where the polygon keeps nearly the whole stream
MASK = 1.5  # deg around the fitted track, left out of the strips
LEAST_SNR = 5.0


def frozen_control(results: Results, fitted: FittedStream, stars: QTable) -> None:
    """Stars that the stream's frozen shape claims where it is not."""
    from starloom.streams.control import moved_counts

    moved = moved_counts(fitted, stars, SHIFTS)
    stream = fitted.expected_members(stars)["stream"][0]
    results.number(
        "stars claimed off the stream", float(moved.max() / stream), "of the stream's",
        low=float(moved.min() / stream), high=float(moved.max() / stream),
        bar=None if results.simulated else Bar("<=", 0.03),
        meaning=f"largest over the stream's frozen shape moved by {', '.join(f'{s:+g}' for s in SHIFTS)} deg in phi2",
    )  # fmt: skip


def free_control(
    results: Results, fitted: FittedStream, stars: QTable, membership: QTable, seed: int, checkpoints: Path
) -> None:
    """Stars that a stream free in everything claims in the strips on either side, the true one left out."""
    from starloom.streams.configuration import Component, Coordinate
    from starloom.streams.tracks import fitted_track

    model = fitted.model
    track = fitted_track(fitted, "stream")["phi2"].value
    low, high = model.phi2.window
    within = stream_share(membership, KEPT)
    worst_kept, worst = 0.0, 0.0
    for side, (bottom, top) in {"below": (low, track.min() - MASK), "above": (track.max() + MASK, high)}.items():
        start = {name: value for name, value in model.components[0].start.items() if name != "phi2"}
        middle = float(0.5 * (bottom + top))
        component = Component("stream", start={**start, "phi2": middle})
        strip = replace(
            model,
            phi2=Coordinate((float(bottom), float(top)), model.phi2.width),
            components=(component,),
            training=replace(model.training, members=2),
        )
        free = strip.fit(stars, seed=seed, checkpoints=checkpoints / side).predict(stars)
        worst_kept = max(worst_kept, stream_share(free, KEPT) / within)
        worst = max(worst, stream_share(free, model.phi1) / stream_share(membership, model.phi1))
    results.number(
        f"stars claimed in masked strips, {KEPT[0]:g} < phi1 < {KEPT[1]:g}", worst_kept, "of the stream's",
        bar=None if results.simulated else Bar("<=", 0.05),
        meaning=f"worse of the strips beyond {MASK:g} deg above and below the stream; track, widths, proper motions, "
        "distance and weights all free",
    )  # fmt: skip
    results.number(
        "stars claimed in masked strips, everywhere", worst, "of the stream's",
        meaning="the same over all phi1; near the ends the selection keeps little of the stream",
    )  # fmt: skip


def stream_share(membership: QTable, phi1: tuple[float, float]) -> float:
    """Expected stars of the stream between two phi1."""
    along = membership["phi1"].value
    inside = (along > phi1[0]) & (along < phi1[1])
    return float(np.nansum(np.asarray(membership["p_stream"])[inside]))


def velocity_members(results: Results, membership: QTable, spectra: QTable) -> None:
    """Members and others by velocity and metallicity, which the fit does not use (2020ApJ...892L..37B)."""
    from starloom.catalog.matching import match_sky

    match = match_sky(spectra, membership, 1.0)
    observed, p = spectra[match.left], np.asarray(membership["p_member"])[match.right]
    judged = np.isfinite(p)
    observed, p = observed[judged], p[judged]
    with_photometry = np.asarray(membership["features_used"])[match.right][judged] > 3
    member = np.asarray(observed["mem"], dtype=bool)
    results.number("velocity members in the input", float(member.sum()), "stars")
    known = "made members" if results.simulated else "members by MMT/Hectochelle velocity and [Fe/H]"
    for limit, least in ((0.5, 28), (0.8, 20)):
        results.number(
            f"velocity members with P > {limit}", float((p[member] > limit).sum()), "stars",
            bar=Bar(">=", float(least)), meaning=f"{known}, unseen by the fit",
        )  # fmt: skip
        results.number(
            f"velocity members with photometry and P > {limit}",
            float((p[member & with_photometry] > limit).sum()), "stars",
            meaning=f"of {int((member & with_photometry).sum())}",
        )  # fmt: skip
    if "vrmem" not in observed.colnames:
        return
    good = np.asarray(observed["SNR"], dtype=float) > LEAST_SNR
    other = good & ~np.asarray(observed["vrmem"], dtype=bool) & ~np.asarray(observed["fehmem"], dtype=bool)
    if other.any():
        results.number(
            "clear non-members with P < 0.5", float((p[other] < 0.5).mean()), "", bar=Bar(">=", 0.7),
            meaning=f"{(p[other] < 0.5).sum()} of {other.sum()} with S/N > {LEAST_SNR:g}, off in velocity and [Fe/H]",
        )  # fmt: skip
    judged = member | other
    results.number(
        "sum of P over true members", float(p[judged].sum() / max(member.sum(), 1)), "", bar=Bar("in", (0.8, 1.25)),
        meaning=f"over the members and the clear non-members, {judged.sum()} stars",
    )  # fmt: skip
    results.number(
        "sum of P over true members, all spectra", float(p.sum() / max(member.sum(), 1)), "",
        meaning=f"over all {len(p)} stars with a spectrum, the unclear ones too; targets were chosen as likely "
        "members, so background stars among them look like members",
    )  # fmt: skip


def streamfinder_members(results: Results, membership: QTable, atlas: QTable, span: tuple[float, float]) -> None:
    """How many of another search's members (2024ApJ...967...89I) come out as members."""
    from astropy.table import QTable

    from starloom.catalog.matching import match_sky

    chosen = atlas[np.asarray(atlas["stream_name"]).astype(str) == "GD-1"]
    places = QTable({"ra": chosen["RAdeg"], "dec": chosen["DEdeg"]})
    match = match_sky(places, membership, 1.0)
    rows = np.unique(match.right)
    along = membership["phi1"].value[rows]
    p = np.asarray(membership["p_member"])[rows][(along > span[0]) & (along < span[1])]
    p = p[np.isfinite(p)]
    for limit, least in ((0.5, 0.75), (0.8, 0.6)):
        results.number(
            f"STREAMFINDER members with P > {limit}", float((p > limit).mean()) if len(p) else np.nan, "",
            bar=Bar(">=", least), meaning=f"of {len(p)} in the input on {span[0]:g} < phi1 < {span[1]:g} deg",
        )  # fmt: skip


def gap_at_forty(results: Results, features: QTable, deepest: Sequence[float]) -> None:
    """The known gap near phi1 = -40 deg: the most significant low stretch there, corrected for the selection."""
    low, high, ratio, significance = deepest
    results.number(
        "significance of the density minimum near -40", significance, "sigma",
        bar=None if results.simulated else Bar(">=", 2.0),
        meaning=f"{low:.1f} to {high:.1f} deg holds {ratio:.2f} of what a smooth stream would; this stretch alone, the "
        "search for it not counted (arXiv:2311.16960 has gaps near -40, -20 and -5 deg)",
    )  # fmt: skip
    results.number("gaps and overdensities found", float(len(features)), "", meaning="p < 0.05, the search counted")
