"""Study pal5-stream: the tails of Palomar 5, from the user's table of Gaia x Pan-STARRS stars or from a mock of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pydantic

from starloom.results.record import Bar, Published, Results
from starloom.streams.schema import SCHEMA
from starloom.studies.study import Input, InputSpec, Study, StudyConfig

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.files import RunFolder
    from starloom.streams.stream_file import StreamFile

PAPER = "arXiv:2311.16960"
LIMIT = 0.8


class Config(StudyConfig):
    """Settings of the study pal5-stream."""

    members: int = pydantic.Field(6, ge=2, description="networks in the ensemble")
    steps: int = pydantic.Field(300, ge=10, description="of the fit")
    background: int = pydantic.Field(9000, ge=500, description="background stars of the mock")


def stream_file(config: Config) -> StreamFile:
    """Palomar 5 in ten lines: the form that any other stream has, too (see the page on your own table)."""
    from starloom.streams.stream_file import StreamFile

    return StreamFile.model_validate(
        {
            "name": "Palomar 5",
            "frame": "Pal5PriceWhelan18",
            "phi1": [-14.0, 6.0],
            "phi2": [-4.0, 4.0],
            "pm_phi1_cosphi2": [0.5, 7.0],
            "pm_phi2": [-2.5, 4.0],
            "distance": [17.0, 26.0],
            "isochrone": {"age": 11.5, "fe_h": -1.3},
            "track": "Pal5 pricewhelan2019",
            "training": {"members": config.members, "steps": config.steps},
        }
    )


def run(config: Config, inputs: Mapping[str, Input], folder: RunFolder) -> Results:
    """Fit the ten-line file to the stars, and hold the result against the truth where there is one."""
    from starloom.studies.own_stream import describe_fit

    stars = inputs["stars"].table
    results = describe_fit(stream_file(config), stars, config.seed, folder)
    results.title, results.summary = STUDY.title, STUDY.summary
    membership, track = results.tables["membership"], results.tables["track"]
    solid = np.asarray(track["completeness"]) >= 0.5
    width = track["phi2_width"].value[solid]
    results.number(
        "width of the stream", float(np.median(width)), "deg", low=float(width.min()), high=float(width.max()),
        meaning="median of the one-sigma width along the stream, and its range",
        published=Published(0.1, f"{PAPER}: about 0.1 deg"),
    )  # fmt: skip
    low, high = _extent(membership)
    results.number(
        "extent in phi1", high - low, "deg", low=low, high=high, meaning="phi1 between which 99 % of the members lie",
        published=Published(22.0, f"{PAPER}: -12 to 10 deg, tentative beyond +-5", -12.0, 10.0),
    )  # fmt: skip
    if "component" in stars.colnames:
        _against_truth(results, membership, track)
    return results


def _extent(membership: QTable) -> tuple[float, float]:
    p = np.nan_to_num(np.asarray(membership["p_member"]))
    phi1 = membership["phi1"].value
    order = np.argsort(np.where(np.isfinite(phi1), phi1, np.inf))
    share = np.cumsum(p[order]) / max(p.sum(), 1e-9)
    low, high = np.searchsorted(share, [0.005, 0.995])
    return float(phi1[order][low]), float(phi1[order][min(high, len(order) - 1)])


def _against_truth(results: Results, membership: QTable, track: QTable) -> None:
    from starloom.inference.calibration import expected_calibration_error

    used = np.asarray(membership["reason"]) == ""
    true = np.asarray(membership["component"])[used] == "stream"
    p = np.asarray(membership["p_member"])[used]
    chosen = p > LIMIT
    found = float(chosen[true].mean())
    results.number("completeness at P > 0.8", found, meaning=f"of {true.sum()} made members")
    results.number(
        "purity at P > 0.8", float(true[chosen].mean()) if chosen.any() else np.nan, bar=Bar(">=", 0.8),
        meaning="where P > 0.8, at least eight in ten have to be true",
    )  # fmt: skip
    results.number("expected over true members", float(p.sum() / true.sum()), bar=Bar("in", (0.9, 1.1)))
    results.number("expected calibration error", expected_calibration_error(p, true), bar=Bar("<=", 0.01))


def mock(config: Config) -> dict[str, QTable]:
    """Stars along the published track with Gaia-like errors, and a smooth field; truth in the column component."""
    from starloom.streams import track_mock
    from starloom.streams.populations import from_grid

    file = stream_file(config)
    reference, frame = file.reference(), file.stream_frame
    assert reference is not None
    assert frame is not None  # the file above names both
    population = from_grid(11.5, -1.3, ("g_mag", "r_mag"))
    made = track_mock.TrackMock(
        phi1=file.phi1, phi2=file.phi2, stream=300, background=config.background, width=0.12, gap=(3.0, 0.8)
    )
    return {"stars": track_mock.make(made, reference, frame, population, config.seed)}


STUDY = Study(
    name="pal5-stream",
    title="The tails of Palomar 5",
    arxiv="2311.16960",
    summary="Which stars belong to the stream of Palomar 5. No open table of its stars with Pan-STARRS photometry can "
    "be had without the archive, so this runs on your own (`starloom streams query` makes it) or on a mock along the "
    "published track.",
    citations=(
        "arXiv:2311.16960 Starkman et al., Stream members only: data-driven characterization of stellar streams",
        "2019AJ....158..223P Price-Whelan et al., Kinematics of the Palomar 5 stellar stream from RR Lyrae stars",
    ),
    config=Config,
    presets={
        "tour": {"members": 2, "steps": 120, "background": 4000},
        "quick": {},
        "full": {"members": 12, "steps": 600},
    },
    inputs=(InputSpec("stars", "", "", "stars around Palomar 5 in Gaia and Pan-STARRS", primary=True),),
    run=run,
    mock=mock,
    schema=SCHEMA,
)
