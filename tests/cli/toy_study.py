"""A made-up study that needs a tenth of a second: everything the machinery does is tried on it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from typing import Any

import numpy as np
import pydantic
from astropy import units as u
from astropy.table import QTable

from starloom import files
from starloom.catalog.schema import Column, Schema
from starloom.results.figures import Explorer, Figure, Panel, Points, View
from starloom.results.record import Bar, InputRecord, Published, Results
from starloom.studies.study import Input, InputSpec, Study, StudyConfig

HOSTILE = "<script>document.title='broken'</script>"


class Fit(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    steps: int = pydantic.Field(4, ge=1)
    kill_at: int = -1
    signal: int = int(signal.SIGKILL)


class Config(StudyConfig):
    stars: int = pydantic.Field(400, ge=1)
    label: str = "toy"
    cuts: tuple[float, ...] = (0.5, 0.8)
    fit: Fit = Fit()


def mock(config: Config) -> Mapping[str, QTable]:
    rng = np.random.default_rng(config.seed)
    member = rng.random(config.stars) < 0.25
    width = np.where(member, 0.2, 3.0)
    stars = QTable(
        {
            "source_id": np.arange(config.stars) + 4611686018427387905,
            "x": rng.uniform(-10, 10, config.stars) * u.deg,
            "y": rng.normal(0, width) * u.deg,
        }
    )
    stars["color"] = rng.normal(0.5, 0.1, config.stars)
    stars["color"][::3] = np.nan
    return {"stars": stars}


def run(config: Config, inputs: Mapping[str, Input], folder: files.RunFolder) -> Results:
    results = Results(study="toy", title="A toy stream", preset=config.preset, seed=config.seed, summary="Made up.")
    stars = inputs["stars"].table
    checkpoint = folder.checkpoints / "fit.json"
    state = json.loads(checkpoint.read_text()) if checkpoint.exists() else {"done": 0, "total": 0.0}
    results.number("resumed_from", state["done"])
    while state["done"] < config.fit.steps:
        if state["done"] == config.fit.kill_at and not folder.resume:
            os.kill(os.getpid(), config.fit.signal)
        state = {"done": state["done"] + 1, "total": state["total"] + 0.25}
        files.write_json(checkpoint, state)
    y = stars["y"].to_value(u.deg)
    probability = np.exp(-0.5 * (y / 0.5) ** 2)
    results.number("members", probability.sum(), "stars", low=90.0, high=130.0, bar=Bar("in", (1, 1e6)))
    results.number(
        "width", y.std(), "deg", published=Published(0.2, "1805.00425 Nobody 2018", comparable=True), bar=Bar("<=", 0.0)
    )
    results.inputs = [InputRecord("grid", "real", "a file that the run opened itself", 1, "0" * 64)]
    results.number("empty", float("nan"), meaning=HOSTILE)
    table = stars.copy()
    table["probability"] = probability
    results.table("membership", table, "One row a star.")
    x = stars["x"].to_value(u.deg)
    color = np.asarray(stars["color"]) if "color" in stars.colnames else np.full(len(x), np.nan)
    results.figures = [
        Figure("sky", "Stars.", [Panel([Points(x, y, color=probability, color_label="P")], "x [deg]", "y [deg]")])
    ]
    results.explorer = Explorer(
        columns={"x": x, "y": y, "color": color, "P": probability, "source_id": stars["source_id"]},
        probability="P",
        views=[
            View("x", "y", "x [deg]", HOSTILE, title="Sky"),
            View("y", "x", "y [deg]", "x [deg]", title="Turned"),
            View("color", "y", "color [mag]", "y [deg]", title="$$Color$$", invert_y=True),
        ],
        hover={"source_id": f"source {HOSTILE}", "P": "P"},
    )
    return results


SCHEMA = Schema(
    "toy",
    "positions of toy stars",
    (
        Column("source_id", "", "identifier", required=True, kind="integer"),
        Column("x", "deg", "along the stream", required=True),
        Column("y", "deg", "across the stream", required=True),
        Column("color", "mag", "color"),
    ),
)
PRESETS: dict[str, dict[str, Any]] = {"tour": {"stars": 60, "fit": {"steps": 2}}, "full": {"stars": 2000}}
STUDY = Study(
    name="toy",
    title="A toy stream",
    arxiv="2511.00001",
    summary="Made up.",
    citations=("1805.00425 Nobody 2018, A paper",),
    config=Config,
    presets=PRESETS,
    inputs=(
        InputSpec("stars", "toy_stars", "stars", "toy stars", primary=True),
        InputSpec("track", "toy_track", "track", "a track", optional=True),
    ),
    run=run,
    mock=mock,
    schema=SCHEMA,
)
