"""``starloom tour``: order, failures, going on where it stopped."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from starloom.cli import tour as tour_module
from starloom.cli.app import app
from starloom.errors import ConfigError, OutputError
from starloom.files import lock
from starloom.report.gallery import Stop

NAMES = ["gd1-stream", "stream-mock", "redshift-som"]


@pytest.fixture
def ran(monkeypatch):
    """Studies that take no time; what was run, in order; ``outcome[name]`` replaces a success."""
    calls, outcome = [], {}

    def run(name, options, folder, resume):
        calls.append((name, resume))
        if outcome.get(name) is KeyboardInterrupt:
            raise KeyboardInterrupt
        if name in outcome:
            return outcome[name]
        folder.mkdir(exist_ok=True)
        (folder / "results.json").write_text('{"numbers": [], "figures": [], "inputs": []}')
        return Stop(name, "done", 0.1)

    monkeypatch.setattr(tour_module, "_run", run)
    return calls, outcome


def tour(folder, *words):
    return CliRunner().invoke(app, ["tour", *NAMES, "--out", str(folder), *words])


def test_a_failed_study_does_not_stop_the_others(tmp_path, ran):
    calls, outcome = ran
    outcome["stream-mock"] = Stop("stream-mock", "failed", 0.2, "it broke")
    done = tour(tmp_path)
    assert done.exit_code == 1
    assert [name for name, _ in calls] == NAMES
    assert "failed: stream-mock" in done.stdout
    assert "it broke" in (tmp_path / "index.html").read_text()


def test_an_interrupted_tour_goes_on_and_a_whole_one_begins_anew(tmp_path, ran):
    calls, outcome = ran
    outcome["stream-mock"] = KeyboardInterrupt
    assert tour(tmp_path).exit_code == 130
    assert "to come" in (tmp_path / "index.html").read_text()
    outcome.clear()
    calls.clear()
    assert tour(tmp_path, "--resume").exit_code == 0
    assert calls == [("stream-mock", True), ("redshift-som", True)]
    calls.clear()
    assert tour(tmp_path, "--resume").exit_code == 0
    assert [name for name, _ in calls] == NAMES


def test_another_seed_is_another_tour(tmp_path, ran):
    calls, outcome = ran
    outcome["redshift-som"] = KeyboardInterrupt
    tour(tmp_path)
    outcome.clear()
    calls.clear()
    tour(tmp_path, "--resume", "--seed", "5")
    assert [name for name, _ in calls] == NAMES


def test_a_lost_result_is_made_again(tmp_path, ran):
    calls, outcome = ran
    outcome["redshift-som"] = KeyboardInterrupt
    tour(tmp_path)
    (tmp_path / "gd1-stream" / "results.json").unlink()
    outcome.clear()
    calls.clear()
    tour(tmp_path, "--resume")
    assert [name for name, _ in calls] == ["gd1-stream", "redshift-som"]


def test_two_tours_into_one_folder_are_refused(tmp_path, ran):
    with lock(tmp_path / ".lock", wait=False):
        done = tour(tmp_path)
    assert isinstance(done.exception, OutputError)


def test_a_damaged_record_is_no_record(tmp_path, ran):
    calls, _ = ran
    (tmp_path / "tour.json").write_text('{"stops": [{"study": 3}]')
    assert tour(tmp_path, "--resume").exit_code == 0
    assert [name for name, _ in calls] == NAMES


@pytest.mark.parametrize("words", [["--data", "my.fits"], ["--preset", "long"], ["no-such-study"]])
def test_what_it_cannot_do_is_told_before_anything_runs(tmp_path, ran, words):
    done = tour(tmp_path / "out", *words)
    assert isinstance(done.exception, ConfigError)
    assert ran[0] == []
    assert not (tmp_path / "out").exists()


def test_a_study_runs_in_its_own_process(tmp_path):
    done = tour_module._run("alpha-sequences", ["--preset=tour", "--data=mock"], tmp_path / "alpha-sequences", False)
    assert done.state == "done"
    assert json.loads((tmp_path / "alpha-sequences" / "results.json").read_text())["study"] == "alpha-sequences"


def test_the_last_words_of_a_failed_study_are_kept(tmp_path):
    (tmp_path / "taken").write_text("")
    done = tour_module._run("alpha-sequences", ["--preset=tour", "--data=mock"], tmp_path / "taken", False)
    assert done.state == "failed"
    assert "it is a file" in done.message
