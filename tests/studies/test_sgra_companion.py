"""The study sgra-companion from end to end, short: on its mock and on the known fast stars."""

from __future__ import annotations

import json

import pytest

from starloom.catalog.tables import write_table
from starloom.datasets.access import locate, open_table
from starloom.errors import ConfigError, DatasetError
from starloom.galactic_center.fast_stars import s5_hvs1
from starloom.report.page import build
from starloom.studies.sgra_companion import STUDY
from starloom.studies.study import configure, execute

SHORT = ("library=8000", "brute_force=2000", "skies=200", "masses=6", "separations=4", "samples=8")


@pytest.fixture(scope="module", autouse=True)
def _models():
    try:
        for name in (("isochrone_grids", "mist"), ("bolometric_corrections",)):
            locate(*name)
    except DatasetError as error:
        pytest.skip(f"the stellar models cannot be had here: {error}")


def run(out, data, *more, publish=None):
    config = configure(STUDY, preset="tour", seed=2, overrides=(*SHORT, *more))
    folder = execute(STUDY, config, data=data, out=out, publish=publish)
    record = json.loads((folder / "results.json").read_text())
    return folder, record, {entry["name"]: entry for entry in record["numbers"]}


def test_on_the_mock(tmp_path):
    folder, record, numbers = run(tmp_path / "mock", "mock", publish=build)
    assert record["title"].startswith("[simulated input]")
    assert [entry["name"] for entry in record["numbers"] if entry["verdict"] == "fail"] == []
    assert numbers["of those, from the center"]["value"] > 20
    assert {path.stem for path in (folder / "figures").glob("*.png")} == {
        "exclusion_dr3", "exclusion_dr4", "velocities", "sky", "distance_speed", "assumptions", "origins",
    }  # fmt: skip
    assert {entry["name"] for entry in record["tables"]} == {
        "binaries", "points", "assumptions", "fast_stars", "s5_hvs1", "library",
    }  # fmt: skip


def test_on_the_known_fast_stars(tmp_path):
    try:
        open_table("open_fast_stars", "stars")
    except DatasetError as error:
        pytest.skip(f"the fast stars cannot be had here: {error}")
    _, record, numbers = run(tmp_path / "real", "real")
    assert not record["title"].startswith("[")
    assert numbers["fast stars followed back"]["value"] > 400
    assert 4.7 < numbers["flight time of S5-HVS1"]["value"] < 4.9
    assert numbers["distance at which S5-HVS1 passes nearest the center"]["value"] == pytest.approx(8.88, abs=0.1)


def test_on_a_table_of_ones_own(tmp_path):
    write_table(s5_hvs1(8.9, 0.1), tmp_path / "stars.fits")
    _, record, numbers = run(tmp_path / "own", str(tmp_path / "stars.fits"), "ages=recent", "ratio_mode=nearest")
    assert numbers["fast stars followed back"]["value"] == 1
    published = [entry["published"] for entry in record["numbers"] if entry["published"]]
    assert not any(entry["comparable"] for entry in published)


@pytest.mark.parametrize("setting", ["slope=0", "library=10", "probability=2", "speed=3"])
def test_bad_settings_are_refused(setting):
    with pytest.raises(ConfigError):
        configure(STUDY, preset="tour", overrides=(setting,))
