"""A user's own stream: a ten-line file and a table of stars become a result folder with its page; later tables a score.

No study of a paper, so it has no presets and no published numbers; figures, explorer and page are those of every study
of a stream.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from starloom.errors import ConfigError
from starloom.files import RunFolder, sha256
from starloom.results.record import TABLE_FORMATS, InputRecord, Results
from starloom.studies.study import check_resumed

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.streams.fitted import FittedStream
    from starloom.streams.stream_file import StreamFile
    from starloom.streams.tracks import ReferenceTrack

STUDY = "own-stream"
BIN_WIDTHS = (0.5, 1.0, 2.0, 5.0)  # deg; about MOST_BINS of them
MOST_BINS = 40
LEAST_MASK = 1.2  # deg: what the control leaves out around the stream
CITATIONS = ("arXiv:2311.16960 Starkman et al., Stream members only: data-driven characterization of stellar streams",)
TRACKS_CITATION = "2023MNRAS.520.5225M Mateu, galstreams: a library of Milky Way stellar stream footprints and tracks"
GRID_CITATION = "2016ApJ...823..102C Choi et al., MESA isochrones and stellar tracks (MIST)"


def fit(
    settings: str | Path,
    table: str | Path,
    out: str | Path,
    *,
    seed: int = 1,
    resume: bool = False,
    publish: Callable[[Results, Path], object] | None = None,
) -> Path:
    """Fit a stream and write its result folder, which changes only when the new result is whole.

    Parameters
    ----------
    settings : a ten-line file (see ``streams.stream_file``).
    table : a file of stars.
    out : the folder: ``results.json``, ``tables/`` (membership, track, density, guides), ``model/`` and, with
        ``publish``, figures and page.
    seed : every random choice follows from it.
    resume : go on from the checkpoints of an interrupted run with the same settings and stars.
    publish : draws the page into the folder given to it.

    Raises
    ------
    ConfigError, CatalogError, FitError, OutputError
        In one line: what is wrong and what to do.
    KeyboardInterrupt
        With the command that resumes the run; the checkpoints stay.
    """
    from importlib import metadata

    from starloom.catalog.tables import read_table, require_writable
    from starloom.streams.stream_file import StreamFile

    started, clock = datetime.now(UTC), time.monotonic()
    file = StreamFile.read(settings)
    stars = read_table(table)
    for ending in TABLE_FORMATS:  # its rows are a table of the result: what cannot be written is said before the work
        require_writable(stars, Path(out) / "tables" / f"membership.{ending}")
    words = ["starloom", "streams", "fit", str(settings), str(table), "--seed", str(seed), "--out", str(out)]
    again = shlex.join(words)
    origin = InputRecord("stars", "simulated" if file.simulated else "real", str(table), len(stars), sha256(table))
    identity = {"study": STUDY, "seed": seed, "version": metadata.version("starloom"), "stars": origin.sha256}
    identity["settings"] = file.model_dump_json()
    with RunFolder(out, resume=resume) as folder:
        try:
            check_resumed(folder, identity)
            results = describe_fit(file, stars, seed, folder)
            results.started, results.seconds, results.command = started, time.monotonic() - clock, again
            results.inputs = [origin, *results.inputs]
            results.write(folder.staging)
            if publish is not None:
                publish(results, folder.staging)
            return folder.publish()
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"interrupted; the checkpoints are kept, go on with: {again} --resume") from None


def score(model: str | Path, table: str | Path, out: str | Path) -> dict[str, Any]:
    """Memberships of another table of stars by a fitted model.

    Parameters
    ----------
    model : a result folder of ``fit`` (or of a study of a stream), or the folder of a saved model.
    table : a file of stars.
    out : the file to write, its suffix names the format: the same rows plus membership.

    Returns
    -------
    dict
        ``rows``, ``used``, ``expected`` members, ``above_half``, ``reasons``: why rows were not used -> how many, and
        ``absent``: columns that the model knows and the table lacks, without which the stars were judged.
    """
    from starloom.catalog import row_jobs
    from starloom.catalog.partitions import iterate
    from starloom.catalog.tables import format_of, read_table
    from starloom.streams.fitted import FittedStream
    from starloom.streams.scoring import ROWS, ScoreJob, Tally
    from starloom.streams.stars import absent_columns

    folder = Path(model)
    inner = folder / "model"
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder; give the result of `starloom streams fit`")
    chosen = inner if inner.is_dir() else folder
    row_jobs.run(ScoreJob(str(chosen.absolute())), table, out, rows=ROWS)
    first = next(iter(iterate(out, rows=1))) if format_of(out) == "parquet" else read_table(out)[:1]
    return Tally.of(out).as_dict() | {"absent": absent_columns(FittedStream.load(chosen).model, first)}


def describe_fit(file: StreamFile, stars: QTable, seed: int, folder: RunFolder) -> Results:
    """Fit the stream that a file describes; numbers, tables and figures. The inputs are the caller's to record."""
    from starloom.progress import say
    from starloom.streams.linear_density import linear_density
    from starloom.streams.stream_completion import model_for
    from starloom.streams.tracks import fitted_track
    from starloom.studies import stream_pages as pages

    reference = file.reference()
    model, notes = model_for(file, stars, reference)
    for note in notes:
        say(note)
    results = Results(
        STUDY,
        f"{file.name}: members of a stellar stream",
        "own",
        seed,
        summary=f"Which stars of the table belong to {file.name}, where it runs and how wide and dense it is: a thin "
        "component and a background, conditional on phi1 (arXiv:2311.16960).",
    )
    results.config = file.model_dump(mode="json", exclude_defaults=True)
    fitted = model.fit(stars, seed=seed, checkpoints=folder.checkpoints / "fit")
    fitted.save(folder.staging / "model")
    membership = fitted.predict(stars)
    names = fitted.names[:-1]
    tracks = {name: fitted_track(fitted, name) for name in names}
    length = model.phi1[1] - model.phi1[0]
    bin_width = next((width for width in BIN_WIDTHS if length / width <= MOST_BINS), BIN_WIDTHS[-1])
    densities = {name: linear_density(fitted, stars, name, bin_width) for name in names}

    for warning in fitted.report["warnings"]:
        results.warn(warning)
    _count(results, fitted, stars, membership)
    _shape(results, tracks[names[0]], reference)
    _control(results, fitted, stars)
    if notes:
        results.warn("Chosen because the file does not say it: " + " ".join(notes))
    results.table("membership", membership, "one row a star of the input")
    for name in names:
        suffix = "" if name == names[0] else f"_{name}"
        results.table(f"track{suffix}", tracks[name], f"the {name} every half degree, with central 90 % bands")
        results.table(f"density_{name}", densities[name], f"expected stars of the {name} in bins of {bin_width:g} deg")
    if (guides := _guides(fitted)) is not None:
        results.table("guides", guides, "priors on the mean of a component; they never enter a probability")
    results.figures = pages.figures(fitted, membership, tracks[names[0]], densities, reference)
    results.explorer = pages.explorer(fitted, membership)
    results.citations = [*CITATIONS]
    results.citations += [TRACKS_CITATION] if reference is not None else []
    results.citations += [GRID_CITATION] if model.photometry is not None else []
    return results


def _count(results: Results, fitted: FittedStream, stars: QTable, membership: QTable) -> None:
    probability = np.asarray(membership["p_member"])
    for name, (value, low, high) in fitted.expected_members(stars).items():
        if name != "background" and (name != "member" or len(fitted.names) > 2):
            label = "expected members" if name == "member" else f"expected members: {name}"
            results.number(label, value, "stars", low=low, high=high, meaning="sum of the membership probabilities")
    for limit in (0.5, 0.8):
        results.number(f"stars with P > {limit}", float(np.nansum(probability > limit)), "stars")
    used = np.asarray(membership["reason"]) == ""
    results.number("stars used", float(used.sum()), "stars", meaning=f"of {len(membership)} rows")
    reasons, counts = np.unique(np.asarray(membership["reason"])[~used], return_counts=True)
    for reason, count in zip(reasons, counts, strict=True):
        results.warn(f"{count} stars not used: {reason}")
    share = float(np.nansum(probability)) / max(int(used.sum()), 1)
    if share < 0.01:
        results.warn(
            f"The stream is {share:.1%} of the stars used; below one in a hundred a fit leans on its guide and on the "
            "background's smoothness. Narrow the windows."
        )


def _shape(results: Results, track: QTable, reference: ReferenceTrack | None) -> None:
    solid = np.asarray(track["completeness"]) >= 0.5
    if not solid.any():
        results.warn("The selection in proper motion keeps less than half of the stream everywhere: widen its window.")
        solid = np.ones(len(track), dtype=bool)
    for column, label, unit in (
        ("phi2_width", "width in phi2", "deg"),
        ("distance_modulus", "distance modulus", "mag"),
    ):
        if column in track.colnames:
            values = track[column].value[solid]
            results.number(
                label, float(np.median(values)), unit, low=float(values.min()), high=float(values.max()),
                meaning="median along the stream, and its range (one sigma, errors of measurement taken off)"
                if column == "phi2_width" else "median along the stream, and its range",
            )  # fmt: skip
    if reference is not None:
        difference = (track["phi2"].value - reference.at(track["phi1"].value, "phi2"))[solid]
        difference = difference[np.isfinite(difference)]
        if len(difference):
            results.number(
                "largest |d phi2| from the published track", float(np.abs(difference).max()), "deg",
                meaning=f"{reference.name} of galstreams, which also guided the fit",
            )  # fmt: skip


def _control(results: Results, fitted: FittedStream, stars: QTable) -> None:
    """What the stream's shape finds where it is not."""
    from starloom.streams.control import moved_counts

    low, high = fitted.model.phi2.window
    grid = np.linspace(*fitted.model.phi1, 50)
    mean, log_width = fitted.curves_at(fitted.names[0], grid)[0, :, :2].T
    mask = max(LEAST_MASK, 4.0 * float(np.exp(np.median(log_width))))
    shifts = [sign * (mask + step) for step in (0.3, 0.8, 1.3) for sign in (-1.0, 1.0)]
    shifts = [shift for shift in shifts if low < (mean + shift).min() and (mean + shift).max() < high]
    expected = fitted.expected_members(stars)[fitted.names[0]][0]
    if not shifts or expected < 5:
        results.warn("No control off the stream: the window in phi2 leaves no room beside it, or there is no stream.")
        return
    moved = moved_counts(fitted, stars, shifts, mask=mask, component=fitted.names[0])
    results.number(
        "stars claimed off the stream", float(moved.max() / expected), "of the stream's",
        low=float(moved.min() / expected), high=float(moved.max() / expected),
        meaning=f"largest over the stream's frozen shape moved by {', '.join(f'{s:+.1f}' for s in shifts)} deg in phi2",
    )  # fmt: skip
    if moved.max() > 0.1 * expected:
        results.warn(
            f"The stream's shape, moved off the stream, claims up to {moved.max() / expected:.0%} of its stars: "
            "the background is not described well enough to trust single members."
        )


def _guides(fitted: FittedStream) -> QTable | None:
    from astropy.table import QTable

    rows = [
        (component.name, guide.coordinate, *place)
        for component in fitted.model.components
        for guide in component.guides
        for place in zip(guide.phi1, guide.value, guide.half_width, strict=True)
    ]
    if not rows:
        return None
    return QTable(rows=rows, names=("component", "coordinate", "phi1", "value", "half_width"))
