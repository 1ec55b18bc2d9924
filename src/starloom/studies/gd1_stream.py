"""Study gd1-stream: the GD-1 stream in real Gaia and Pan-STARRS stars (the system of arXiv:2311.16960, thin form).

The real table holds Gaia DR2 stars inside a polygon in (pmra, pmdec), without errors; half of them have Pan-STARRS g
and i. So the proper motions are fitted as they are, corrected for the solar reflex at 8 kpc, all widths are total
widths, the density is normalized over the polygon at each star's place, and the distance comes from photometry.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pydantic

from starloom.files import RunFolder
from starloom.results.record import Bar, Published, Results
from starloom.streams.schema import SCHEMA
from starloom.studies.study import Input, InputSpec, Study, StudyConfig

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.streams.fitted import FittedStream
    from starloom.streams.membership import StreamModel
    from starloom.streams.tracks import ReferenceTrack

# The selection in (pmra, pmdec) of the query that made the table (AllenDowney/AstronomicalData, lesson 5).
POLYGON = (
    (-4.05037121, -14.75623261),
    (-3.41981085, -14.72365546),
    (-3.03521988, -14.44357135),
    (-2.26847919, -13.7140236),
    (-2.61172203, -13.24797471),
    (-2.73471401, -13.09054471),
    (-3.19923146, -12.5942653),
    (-3.34082546, -12.47611926),
    (-5.67489413, -11.16083338),
    (-5.95159272, -11.10547884),
    (-6.42394023, -11.05981295),
    (-7.09631023, -11.95187806),
    (-7.30641519, -12.24559977),
    (-7.04016696, -12.88580702),
    (-6.00347705, -13.75912098),
    (-4.42442296, -14.74641176),
)
REFLEX_DISTANCE = 8.0
ISOCHRONE_MODULUS = 5.0 * np.log10(780.0)  # the isochrone table is at 7.8 kpc
SCORED = (-62.0, -32.0)
STREAM_MAPPER = "arXiv:2311.16960"


class Config(StudyConfig):
    """Settings of gd1-stream."""

    members: int = pydantic.Field(8, ge=2, description="networks in the ensemble")
    steps: int = pydantic.Field(400, ge=1, description="steps of the fit")
    guides: bool = pydantic.Field(True, description="let the published track guide the main fit")
    unguided: bool = pydantic.Field(True, description="fit once more without any guide on the stream")
    spur: bool = pydantic.Field(True, description="a second thin component above the stream")
    strips: bool = pydantic.Field(True, description="search for streams in the strips off GD-1, as a control")
    bin_width: float = pydantic.Field(2.0, gt=0, description="bins of the linear density (deg)")


def model_of(config: Config, isochrone: QTable, reference: ReferenceTrack | None) -> StreamModel:
    """The stream in Starloom's words; ``reference`` None leaves the stream without a guide."""
    from starloom.streams.configuration import (
        Component,
        Coordinate,
        Distance,
        Guide,
        Photometry,
        ProperMotion,
        Training,
    )
    from starloom.streams.membership import StreamModel

    start = {"pm_phi1_cosphi2": -7.3, "pm_phi2": -0.5}
    guides: tuple[Guide, ...] = ()
    if reference is not None:
        places = np.arange(-70.0, -19.0, 10.0)
        guides = (reference.guide("phi2", places, 1.75), reference.guide("pm_phi1_cosphi2", places, 1.0))
    components = [Component("stream", start=start, guides=guides)]
    if config.spur:
        above = Guide("phi2", (-35.0, -30.0, -20.0), (1.3, 1.3, 1.5), (0.85,), strength=10000.0)
        spur = Component("spur", (-45.0, -15.0), start={**start, "phi2": 1.3}, start_fraction=0.02, guides=(above,))
        components.append(spur)
    return StreamModel(
        frame="GD1Koposov10",
        phi1=(-70.0, -20.0),
        phi2=Coordinate((-5.0, 5.0), (0.05, 1.0)),
        components=tuple(components),
        proper_motion=ProperMotion(
            Coordinate((-10.0, -4.5), (0.05, 1.0), constant_width=True, scale=0.5, length=20.0),
            Coordinate((-6.0, 3.0), (0.05, 1.0), constant_width=True, scale=0.5, length=20.0),
            polygon=POLYGON,
            system="icrs",
            reflex_distance=REFLEX_DISTANCE,
            wings=True,
        ),
        distance=Distance((13.5, 15.5)),
        photometry=Photometry(
            bands=("g_mag", "i_mag"),
            isochrone=resample(isochrone),
            magnitude=(12.0, 23.0),
            colors=((-0.7, 2.8),),
            scatter=(0.03, 0.15),
            selective=True,
        ),
        training=Training(members=config.members, steps=config.steps),
    )


def resample(isochrone: QTable, points: int = 60, faintest: float = 9.5) -> tuple[tuple[float, float], ...]:
    """The isochrone as (g, i) absolute magnitudes at points equally spaced along it, from faint to bright."""
    from starloom.catalog.schema import plain

    g = plain(isochrone, "mag_g") - ISOCHRONE_MODULUS
    i = g - plain(isochrone, "color_g_i")
    order = np.argsort(-g)
    g, i = g[order][g[order] < faintest], i[order][g[order] < faintest]
    arc = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(g), np.diff(i)))])
    even = np.linspace(0.0, arc[-1], points)
    return tuple(zip(np.interp(even, arc, g).tolist(), np.interp(even, arc, i).tolist(), strict=True))


def run(config: Config, inputs: Mapping[str, Input], folder: RunFolder) -> Results:
    """Fit, predict, and hold the result against what is known of GD-1."""
    from starloom.dynamics.stream_frames import StreamFrame
    from starloom.streams.gaps import deepest_gap, find_gaps
    from starloom.streams.linear_density import linear_density
    from starloom.streams.tracks import ReferenceTrack, fitted_track
    from starloom.studies import gd1_checks as checks
    from starloom.studies import stream_pages as pages

    stars, isochrone = inputs["stars"].table, inputs["isochrone"].table
    results = Results("gd1-stream", STUDY.title, config.preset, config.seed, summary=STUDY.summary)
    results.inputs = [entry.record for entry in inputs.values()]
    reference = None
    if "tracks" in inputs:
        tracks = inputs["tracks"].table
        label = "truth" if inputs["tracks"].record.kind == "simulated" else "ibata2021"
        frame = StreamFrame.named("GD1Koposov10")
        reference = ReferenceTrack.from_galstreams(tracks, "GD-1", label, frame, reflex_distance=REFLEX_DISTANCE)

    guided = model_of(config, isochrone, reference if config.guides else None)
    fitted = guided.fit(stars, seed=config.seed, checkpoints=folder.checkpoints / "main")
    fitted.save(folder.staging / "model")
    for warning in fitted.report["warnings"]:
        results.warn(warning)
    membership = fitted.predict(stars)
    track = fitted_track(fitted, "stream")
    densities = {name: linear_density(fitted, stars, name, config.bin_width) for name in fitted.names[:-1]}

    _count_members(results, fitted, stars, membership)
    _shape(results, track)
    if reference is not None:
        _against_reference(results, track, reference, "")
        if config.unguided and config.guides:
            free = model_of(config, isochrone, None).fit(
                stars, seed=config.seed, checkpoints=folder.checkpoints / "unguided"
            )
            _against_reference(results, fitted_track(free, "stream"), reference, " without a guide")
            expected = free.expected_members(stars)["member"]
            results.number(
                "expected members without a guide", expected[0], "stars", low=expected[1], high=expected[2],
                meaning="stream and spur, when nothing tells the fit where the stream is",
            )  # fmt: skip
    checks.frozen_control(results, fitted, stars)
    if config.strips:
        checks.free_control(results, fitted, stars, membership, config.seed, folder.checkpoints)
    if "hectochelle" in inputs:
        checks.velocity_members(results, membership, inputs["hectochelle"].table)
    if "streamfinder" in inputs:
        checks.streamfinder_members(results, membership, inputs["streamfinder"].table, (-65.0, -30.0))
    gaps = find_gaps(fitted, stars, seed=config.seed)
    checks.gap_at_forty(results, gaps, deepest_gap(fitted, stars, "stream", (-43.0, -37.0)))
    if "component" in stars.colnames:
        _against_truth(results, membership)

    results.table("membership", membership, "one row a star of the input")
    results.table("track", track, "the stream every half degree, with central 90 % bands")
    for name, density in densities.items():
        results.table(f"density_{name}", density, f"expected stars of the {name} in bins of {config.bin_width:g} deg")
    results.table("gaps", gaps, "gaps and overdensities of the stream, most significant first")
    results.figures = pages.figures(fitted, membership, track, densities, reference)
    results.explorer = pages.explorer(fitted, membership)
    results.warn(
        "The distance modulus is measured against one isochrone (12 Gyr, [Fe/H] = -1.35, no reddening); spectra of "
        "GD-1 give [Fe/H] near -2.3, so its zero point is not to be trusted, only its run along the stream."
    )
    return results


def _count_members(results: Results, fitted: FittedStream, stars: QTable, membership: QTable) -> None:
    expected = fitted.expected_members(stars)
    probability = np.asarray(membership["p_member"])
    low, high = expected["member"][1:]
    results.number(
        "expected members", expected["member"][0], "stars", low=low, high=high, bar=Bar("in", (600.0, 800.0)),
        meaning="sum of the membership probabilities of stream and spur over this input",
        published=Published(1689, "Tavangar & Price-Whelan 2025: Gaia DR3, the whole stream (abstract; reported)"),
    )  # fmt: skip
    for name in fitted.names[:-1]:
        value, low, high = expected[name]
        results.number(f"expected members: {name}", value, "stars", low=low, high=high)
    for limit in (0.5, 0.8):
        count = float(np.nansum(probability > limit))
        results.number(f"stars with P > {limit}", count, "stars", meaning="stream or spur")
    used = membership["reason"] == ""
    results.number("stars used", float(used.sum()), "stars", meaning="inside the window on the sky and in photometry")
    reasons, counts = np.unique(np.asarray(membership["reason"])[~used], return_counts=True)
    for reason, count in zip(reasons, counts, strict=True):
        results.warn(f"{count} stars not used: {reason}")


def _shape(results: Results, track: QTable) -> None:
    phi1 = track["phi1"].value
    scored = (phi1 > SCORED[0]) & (phi1 < SCORED[1])
    width = track["phi2_width"].value[scored]
    results.number(
        "width in phi2", float(np.median(width)), "deg", low=float(width.min()), high=float(width.max()),
        bar=Bar("in", (0.15, 0.35)), meaning="median one-sigma total width on the scored stretch (and its range)",
        published=Published(0.2, f"{STREAM_MAPPER}: about 0.2 deg and above", comparable=False),
    )  # fmt: skip
    if "distance_modulus" in track.colnames:
        modulus, band = track["distance_modulus"].value[scored], track["distance_modulus_high"].value[scored]
        results.number(
            "distance modulus", float(np.median(modulus)), "mag", low=float(np.median(2 * modulus - band)),
            high=float(np.median(band)), meaning="median on the scored stretch, statistical error only",
            published=Published(14.4, f"{STREAM_MAPPER}: guide at phi1 = -40 deg", 14.1, 14.7, comparable=False),
        )  # fmt: skip


def _against_reference(results: Results, track: QTable, reference: ReferenceTrack, label: str) -> None:
    phi1 = track["phi1"].value
    scored = (phi1 > SCORED[0]) & (phi1 < SCORED[1])
    outside = []
    for name, unit in (("phi2", "deg"), ("pm_phi1_cosphi2", "mas/yr"), ("pm_phi2", "mas/yr")):
        difference = (track[name].value - reference.at(phi1, name))[scored]
        half = (track[f"{name}_high"].value - track[name].value)[scored]
        whose = "; the track that the stars were made on" if results.simulated else ""
        results.number(
            f"largest |d {name}| from the published track{label}", float(np.abs(difference).max()), unit,
            bar=Bar("<=", 0.3),
            meaning=f"on {SCORED[0]:g} < phi1 < {SCORED[1]:g} deg, reflex corrected at 8 kpc{whose}",
            published=None if whose else Published(0.0, f"track {reference.name} of galstreams, 2023MNRAS.520.5225M"),
        )  # fmt: skip
        if not results.simulated and np.mean(np.abs(difference) > half) > 0.1:
            outside.append(f"{name} by {np.median(difference):+.2f} {unit} in the median")
    if outside and not label:
        results.warn(
            f"The fitted track differs from {reference.name} by more than its 90 % band: {'; '.join(outside)}. Likely "
            "reasons: the published track is one smooth curve through Gaia EDR3 stars over 100 deg, this one follows "
            "DR2 proper motions inside a tight polygon; where stream and spur part, what is called the stream differs."
        )


def _against_truth(results: Results, membership: QTable) -> None:
    """On the mock the truth is known: completeness, purity, calibration."""
    used = np.asarray(membership["reason"]) == ""
    true = (np.asarray(membership["component"]) != "background")[used]
    p = np.asarray(membership["p_member"])[used]
    chosen = p > 0.8
    results.number("completeness at P > 0.8", float(chosen[true].mean()), "", meaning="of the true members")
    results.number("purity at P > 0.8", float(true[chosen].mean()) if chosen.any() else np.nan, "")
    results.number("true members", float(true.sum()), "stars")
    edges = np.linspace(0.0, 1.0, 11)
    place = np.clip(np.digitize(p, edges) - 1, 0, 9)
    error = sum(abs(p[place == k].sum() - true[place == k].sum()) for k in range(10)) / len(p)
    results.number("expected calibration error", float(error), "", meaning="ten equal bins of probability")


def mock(config: Config) -> dict[str, QTable]:
    """A made field with truth in the place of every input."""
    from starloom.seeds import generator
    from starloom.streams.mock import MockField, isochrone, make, reference_track

    field = MockField(POLYGON)
    stars = make(field, config.seed)
    true = np.flatnonzero(np.asarray(stars["component"]) != "background")
    chosen = generator(config.seed).choice(true, min(43, len(true)), replace=False)
    spectra = stars["source_id", "ra", "dec"][chosen]
    spectra["mem"] = np.ones(len(spectra), dtype=bool)
    return {"stars": stars, "isochrone": isochrone(), "tracks": reference_track(field), "hectochelle": spectra}


STUDY = Study(
    name="gd1-stream",
    title="The GD-1 stream in Gaia and Pan-STARRS stars",
    arxiv="2311.16960",
    summary="Which stars belong to GD-1, where the stream runs and how wide and dense it is: a mixture of thin "
    "components and a background, conditional on phi1, fitted to stars selected by proper motion alone.",
    citations=(
        "arXiv:2311.16960 Starkman et al., Stream members only: data-driven characterization of stellar streams",
        "2018A&A...616A...1G Gaia Collaboration, Gaia Data Release 2",
        "2018ApJ...863L..20P Price-Whelan & Bonaca, Off the beaten path: Gaia reveals GD-1 stars outside",
        "2023MNRAS.520.5225M Mateu, galstreams: a library of Milky Way stellar stream footprints and tracks",
        "2020ApJ...892L..37B Bonaca et al., High-resolution spectroscopy of the GD-1 stellar stream",
        "2016ApJ...823..102C Choi et al., MESA isochrones and stellar tracks (MIST)",
    ),
    config=Config,
    presets={
        "tour": {"members": 3, "steps": 150, "unguided": False, "strips": False},
        "quick": {"members": 6, "steps": 300},
        "full": {"members": 16, "steps": 800},
    },
    inputs=(
        InputSpec("stars", "gd1_gaia_ps1", "candidates", "stars around GD-1", primary=True),
        InputSpec("isochrone", "gd1_gaia_ps1", "isochrone", "MIST isochrone in Pan-STARRS bands at 7.8 kpc"),
        InputSpec("tracks", "galstreams_tracks", "tracks", "published tracks to compare with", optional=True),
        InputSpec("streamfinder", "streamfinder_dr3", "members", "members by another search", optional=True),
        InputSpec("hectochelle", "gd1_hectochelle", "catalog", "members by velocity, to check with", optional=True),
    ),
    run=run,
    mock=mock,
    schema=SCHEMA,
)
