"""What the pages say holds: snippets run, commands and links exist, and nothing that exists goes unmentioned."""

from __future__ import annotations

import dataclasses
import json
import re
import runpy
import shlex
from pathlib import Path

import pytest
import yaml
from PIL import Image

ROOT = Path(__file__).parents[2]
MADE = {"gallery.md"}  # by a build of the docs, not kept
PAGES = sorted(page for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")] if page.name not in MADE)
DOCS = [page for page in PAGES if page.parent.name == "docs"]
FENCE = re.compile(r"^```(?P<kind>[\w{}-]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
# what each page's snippets read that only a dataset can give
NEEDED = {
    "datasets.md": [("gd1_gaia_ps1", None), ("streamfinder_dr3", None), ("galstreams_tracks", None)],
    "sdss_targeting.md": [("sdssv_targeting", "target_bits")],
    "isochrones.md": [("isochrone_grids", "mist"), ("bolometric_corrections", None)],
}


def named(pages):
    return pytest.mark.parametrize("page", pages, ids=lambda page: page.name)


def blocks(page, kind):
    return [match["body"] for match in FENCE.finditer(page.read_text()) if match["kind"] == kind]


def test_every_folder_of_the_package_has_an_init():
    """Import-linter does not look into a folder without one, so an upward import would go unseen there."""
    package = ROOT / "src" / "starloom"
    folders = {path.parent for path in package.rglob("*.py")}
    assert len(folders) > 5
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


# ------------------------------------------------------------------------------------------------------- snippets


def change_defaults(monkeypatch, owner, **settings):
    """Change what a dataclass gives when it is not told otherwise."""
    fields = [field for field in dataclasses.fields(owner) if field.default is not dataclasses.MISSING]
    defaults = {field.name: field.default for field in fields}
    assert set(settings) <= set(defaults)
    monkeypatch.setattr(owner.__init__, "__defaults__", tuple({**defaults, **settings}.values()))


@pytest.fixture
def quick_training(monkeypatch):
    """Fits of a few steps: what a snippet needs is to run, not to converge."""
    from starloom.streams.configuration import Training

    change_defaults(monkeypatch, Training, members=3, steps=20, background_epochs=2, hidden=8, layers=1)


@pytest.fixture
def small_table(tmp_path, monkeypatch):
    """A small made field as ``my_stars.fits``, and as the current folder the one it is in."""
    from starloom.catalog.tables import write_table
    from starloom.streams.mock import MockField, make

    wide = ((-9.5, -17.5), (0.0, -17.5), (0.0, -8.0), (-9.5, -8.0))
    write_table(make(MockField(wide, stream=120, spur=0, background=900), 1), tmp_path / "my_stars.fits")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def small_result(tmp_path, monkeypatch):
    """A result of ``gd1-stream`` on a thin mock, in ``results/mock``."""
    from starloom.streams.mock import MockField
    from starloom.studies import registry, study

    change_defaults(monkeypatch, MockField, stream=150, spur=30, background=2000)
    entry = registry.get("gd1-stream")
    overrides = ["members=3", "steps=20", "unguided=false"]
    config = study.configure(entry, preset="tour", overrides=overrides)
    study.execute(entry, config, data="mock", out=tmp_path / "results" / "mock")


@named([page for page in PAGES if blocks(page, "python")])
def test_snippets_run_from_top_to_bottom(page, quick_training, small_table, request):
    from starloom.datasets.access import locate
    from starloom.errors import DatasetError

    for name, file in NEEDED.get(page.name, []):
        try:
            locate(name, file, download=False)
        except DatasetError as error:
            pytest.skip(f"{name} is not on this machine: {error}")
    if "results/mock" in "".join(blocks(page, "python")):
        request.getfixturevalue("small_result")
    names = {}
    for body in blocks(page, "python"):
        exec(compile(body, str(page), "exec"), names)
    if "members" in names and page.name in ("README.md", "own_table.md"):
        assert {"p_stream", "p_stream_low", "p_stream_high", "reason"} < set(names["members"].colnames)


def test_the_readme_finds_the_stream(tmp_path):
    """The README's ten lines on a made field along the same track, with truth."""
    import numpy as np

    from starloom.datasets.access import locate
    from starloom.errors import DatasetError
    from starloom.streams import track_mock
    from starloom.streams.populations import from_grid
    from starloom.streams.stream_completion import model_for
    from starloom.streams.stream_file import StreamFile

    (body,) = blocks(ROOT / "README.md", "toml")
    path = tmp_path / "my_stream.toml"
    path.write_text(body + "\n[training]\nmembers = 2\nsteps = 120\nbackground_epochs = 15\n")
    try:
        for name in (("galstreams_tracks", "tracks"), ("isochrone_grids", "mist"), ("bolometric_corrections", None)):
            locate(*name)
    except DatasetError as error:
        pytest.skip(f"the track and the isochrone grid cannot be had: {error}")
    file = StreamFile.read(path)
    track, frame = file.reference(), file.stream_frame
    made = track_mock.TrackMock(phi1=file.phi1, phi2=file.phi2, stream=250, background=3000)
    stars = track_mock.make(made, track, frame, from_grid(11.5, -1.3, ("g_mag", "r_mag")), 5)
    members = model_for(file, stars, track)[0].fit(stars, seed=1).predict(stars)
    used = np.asarray(members["reason"]) == ""
    true = np.asarray(members["component"])[used] == "stream"
    assert true.sum() > 200
    probability = np.asarray(members["p_stream"])[used]
    assert probability[true].mean() > 0.8
    assert probability[~true].mean() < 0.05


# ------------------------------------------------------------------------------------------------------- commands


def _tree():
    from typer.main import get_command

    from starloom.cli.app import app

    return get_command(app)


def _leaves(command, words=()):
    children = getattr(command, "commands", None)
    if not children:
        return {words: command}
    return {key: leaf for name, child in children.items() for key, leaf in _leaves(child, (*words, name)).items()}


def _split(line):
    """The words of a command that name it, and the rest."""
    words = shlex.split(line, comments=True)[1:]
    leaves = _leaves(_tree())
    for length in (2, 1):
        if tuple(words[:length]) in leaves:
            return leaves[tuple(words[:length])], words[length:]
    return None, words


@named(PAGES)
def test_commands_in_blocks_would_be_understood(page):
    for body in blocks(page, ""):
        for line in body.splitlines():
            if line.startswith("starloom "):
                command, rest = _split(line)
                assert command is not None, line
                command.make_context(command.name, rest)  # raises for an unknown option or a missing argument


@named(PAGES)
def test_commands_in_sentences_exist(page):
    for line in re.findall(r"`(starloom [^`]+)`", FENCE.sub("", page.read_text())):
        command, rest = _split(line.replace("COMMAND", "run").replace("STUDY", "gd1-stream"))
        options = [word for word in rest if word.startswith("--")]
        if command is None:
            known = {option for entry in _tree().params for option in entry.opts} | {"--help"}
            assert options, line
            assert options[0] in known, line
        else:
            known = {option for entry in command.params for option in entry.opts} | {"--help"}
            assert set(options) <= known, line


@named(PAGES)
def test_make_targets_exist(page):
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)[0].split())
    text = page.read_text()
    lines = [line for body in blocks(page, "") for line in body.splitlines() if line.startswith("make ")]
    for line in [*lines, *re.findall(r"`(make [^`]+)`", FENCE.sub("", text))]:
        words = [word for word in shlex.split(line, comments=True)[1:] if "=" not in word]
        assert set(words) <= targets, line


def test_every_command_is_described():
    text = (ROOT / "docs" / "command_line.md").read_text()
    for words, command in _leaves(_tree()).items():
        assert f"starloom {' '.join(words)}" in text
        if words == ("run",):
            options = {name for entry in command.params for name in entry.opts if name.startswith("--")}
            assert options
            assert [name for name in options - {"--help"} if f"`{name}`" not in text] == []


# ---------------------------------------------------------------------------------------------- what must be named


def test_every_study_is_described():
    from starloom.studies import registry

    index = (ROOT / "docs" / "index.md").read_text()
    for name in registry.names():
        study = registry.get(name)
        assert f"`{name}`" in index
        assert study.arxiv in index
        text = "".join(page.read_text() for page in DOCS)
        settings = set(study.config.model_fields) - {"preset", "seed", "workers"}
        assert [setting for setting in settings if f"`{setting}`" not in text] == []


def test_every_dataset_and_survey_is_described():
    from starloom.catalog.surveys import SURVEYS
    from starloom.datasets import registry

    text = (ROOT / "docs" / "datasets.md").read_text()
    for dataset in map(registry.get, registry.names()):
        for name in (dataset.name, *(file.name for file in dataset.files)):
            assert f"`{name}`" in text
    text = (ROOT / "docs" / "data_and_units.md").read_text()
    assert [name for name in SURVEYS if f"`{name}`" not in text] == []


def test_every_option_of_a_stream_is_described():
    from starloom.streams import configuration
    from starloom.streams.membership import StreamModel

    text = (ROOT / "docs" / "own_table.md").read_text()
    for owner in (
        StreamModel,
        configuration.Coordinate,
        configuration.Component,
        configuration.Guide,
        configuration.ProperMotion,
        configuration.Distance,
        configuration.Photometry,
        configuration.Training,
    ):
        names = [field.name for field in dataclasses.fields(owner)]
        assert [name for name in names if f"`{name}`" not in text] == [], owner.__name__


def test_stream_files_are_understood():
    """Every TOML block is a ten-line file."""
    import tomllib

    from starloom.streams.stream_file import StreamFile

    found = [body for page in PAGES for body in blocks(page, "toml") if "phi1 =" in body]
    assert len(found) >= 4
    for body in found:
        assert len(body.strip().splitlines()) <= 10
        assert StreamFile.of(tomllib.loads(body)).stream_frame is not None


def test_every_setting_of_a_stream_file_is_described():
    from starloom.streams.stream_file import FrameSettings, IsochroneSettings, QuerySettings, StreamFile

    text = (ROOT / "docs" / "own_table.md").read_text()
    for owner in (StreamFile, QuerySettings, IsochroneSettings, FrameSettings):
        assert [name for name in owner.model_fields if not re.search(rf"[`{{, ]\[?{name}\b", text)] == [], (
            owner.__name__
        )


def test_every_field_of_a_result_is_described():
    from starloom.results.record import Number, Results

    text = (ROOT / "docs" / "results_on_disk.md").read_text()
    fields = [*Results("study", "title", "tour", 1).as_json(), *(field.name for field in dataclasses.fields(Number))]
    assert [name for name in [*fields, "verdict"] if f"`{name}`" not in text] == []


def test_every_room_is_in_the_tree():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    package = ROOT / "src" / "starloom"
    rooms = [f"{path.parent.name}/" for path in package.glob("*/__init__.py")]
    files = [path.name for path in package.glob("*.py") if path.name != "__init__.py"]
    assert [name for name in rooms + files if name not in text] == []


# ----------------------------------------------------------------------------------------------- links and numbers


@named(PAGES)
def test_relative_links_lead_somewhere(page):
    text = FENCE.sub("", page.read_text())
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = page.parent / name if name else page
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text()), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-") for head in headings}


def test_no_file_names_a_place_on_somebodys_machine():
    place = re.compile(r"(?<![\w.~:/])/(?:work|home|root|tmp|Users|mnt|media|scratch)/")
    endings = {".py", ".md", ".toml", ".txt", ".cff", ".css"}
    folders = [ROOT / "src", ROOT / "docs", ROOT / "benchmarks"]
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix in endings]
    files += [*ROOT.glob("*.*"), ROOT / "Makefile", ROOT / ".ci" / "run"]
    checked = [path for path in files if path.is_file() and "_build" not in path.parts]
    assert len(checked) > 50
    assert [str(path) for path in checked if place.search(path.read_text())] == []


def test_the_torch_that_is_named_is_the_pinned_one():
    (pinned,) = re.findall(r"^torch==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    found = [version for page in PAGES for version in re.findall(r"torch==([\d.]+)", page.read_text())]
    assert len(found) >= 2
    assert set(found) == {pinned}


def test_the_citation_file_is_valid():
    import starloom

    content = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(content)  # what the format asks for
    assert content["cff-version"] == "1.2.0"
    assert content["version"] == starloom.__version__
    assert content["license"] == "BSD-3-Clause"
    assert all("name" in author or "family-names" in author for author in content["authors"])
    assert f"## [{starloom.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_the_page_of_public_names_is_up_to_date():
    made = runpy.run_path(str(ROOT / "docs" / "make_public_names.py"))["page"]()
    assert (ROOT / "docs" / "public_names.md").read_text(encoding="utf-8") == made


def test_the_gallery_shows_what_a_tour_left(tmp_path):
    names = runpy.run_path(str(ROOT / "docs" / "make_gallery.py"))
    made = names["page"]
    made.__globals__["PICTURES"] = tmp_path / "pictures"
    assert "make run" in made(tmp_path / "no tour")
    folder = tmp_path / "gd1-stream"
    (folder / "figures").mkdir(parents=True)
    Image.new("RGB", (2000, 1000), "navy").save(folder / "figures" / "sky.png")
    record = {
        "inputs": [{"kind": "simulated"}],
        "figures": [{"name": "sky", "caption": "Stars | of a mock"}],
        "numbers": [{"name": "stream_width", "value": 0.21, "unit": "deg", "published": None}],
    }
    (folder / "results.json").write_text(json.dumps(record))
    text = made(tmp_path)
    assert "simulated input" in text
    assert "**stream width**: 0.21 deg." in text
    with Image.open(tmp_path / "pictures" / "gd1-stream.png") as small:
        assert small.size == (900, 450)
