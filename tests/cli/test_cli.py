"""The command line in this process: words in, text and a status out."""

from __future__ import annotations

import json
import re
import signal
import sys

import pytest

from starloom.catalog.tables import write_table
from starloom.cli import app as cli
from starloom.report.installation import Installation


@pytest.fixture
def starloom(toy, monkeypatch, tmp_path, capsys):
    """Run the command line in an empty folder: ``status, out, err``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("STARLOOM_DATA", "")
    monkeypatch.setenv("STARLOOM_CACHE", str(tmp_path / ".cache"))
    from starloom.studies import registry

    monkeypatch.setattr(registry, "STUDIES", {"toy": "toy_study"})

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["starloom", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        text = capsys.readouterr()
        return end.value.code, text.out, text.err

    return call


def test_studies_and_cite(starloom):
    status, out, _ = starloom("studies")
    assert status == 0
    assert re.search(r"toy\s+arXiv:2511.00001\s+A toy stream", out)
    status, out, _ = starloom("cite", "toy")
    assert status == 0
    assert "eprint = {1805.00425}" in out


def test_run_says_where_the_page_is(starloom, tmp_path):
    status, out, err = starloom("run", "toy", "--preset", "tour", "--data", "mock", "--set", "label=mine")
    page = tmp_path / "results" / "toy" / "index.html"
    assert status == 0
    assert out.endswith(f"page: {page}\n")
    assert "bars reached: 1 of 2 (missed: width)" in out
    assert "[simulated input]" in out
    assert "preset tour, seed 1" in err
    text = page.read_text()
    assert "--set label=mine" in text
    assert "<script>document.title" not in text
    assert (page.parent / "figures" / "sky.pdf").exists()


def test_run_warns_of_the_mock_on_the_terminal(starloom):
    status, _, err = starloom("run", "toy", "--preset", "tour", "--out", "here")
    assert status == 0
    assert "SIMULATED INPUT" in err


def test_several_studies_go_into_folders_of_their_own(starloom, tmp_path, monkeypatch):
    from starloom.studies import registry

    monkeypatch.setitem(registry.STUDIES, "toy-two", "toy_study")
    status, _, _ = starloom("run", "toy", "toy", "--preset", "tour", "--data", "mock", "--out", "both")
    assert status == 0
    assert (tmp_path / "both" / "index.html").exists(), "one study named twice is one"


def test_a_run_on_ones_own_table(starloom, toy, tmp_path):
    table = toy.mock(toy.Config())["stars"]
    write_table(table, tmp_path / "mine.fits")
    status, out, err = starloom("run", "toy", "--data", "mine.fits", "--out", "mine")
    record = json.loads((tmp_path / "mine" / "results.json").read_text())
    assert status == 0
    assert "[simulated" not in out
    assert "your own table" in err
    assert record["inputs"][0]["rows"] == 400
    assert "--data mine.fits" in record["command"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "toi"], "no study is called 'toi'; did you mean 'toy'?"),
        (["run", "toy", "--preset", "slow"], "unknown preset 'slow'"),
        (["run", "toy", "--set", "stras=3"], "did you mean 'stars'"),
        (["run", "toy", "--set", "stars"], "write key=value"),
        (["run", "toy", "--seed", "-1"], "seed"),
        (["run", "toy", "--seed", "many"], "valid integer"),
        (["run", "toy", "--workers", "0"], "workers"),
        (["run", "toy", "--data", "none.fits"], "does not exist"),
        (["run", "toy", "--data", "empty.fits"], "empty.fits"),
        (["run", "toy", "--data", "corrupt.parquet"], "corrupt.parquet"),
        (["run", "toy", "--data", "mock", "--out", "corrupt.parquet"], "it is a file"),
        (["run"], "Missing argument"),
        (["run", "toy", "--nonsense"], "No such option"),
        (["fly"], "No such command"),
        (["cite", "toi"], "did you mean"),
        (["describe", "none.fits"], "does not exist"),
        (["describe", "corrupt.parquet"], "corrupt.parquet"),
        (["data", "get", "no_such"], "no dataset is called 'no_such'"),
        (["data", "where", "no_such"], "no dataset is called 'no_such'"),
        (["data", "verify", "no_such"], "no dataset is called 'no_such'"),
    ],
    ids=" ".join,
)
def test_bad_input_is_one_line_and_status_two(starloom, tmp_path, words, message):
    (tmp_path / "corrupt.parquet").write_bytes(b"PAR1 nothing")
    (tmp_path / "empty.fits").write_bytes(b"")
    status, out, err = starloom(*words)
    last = err.splitlines()[-1]
    assert status == 2
    assert out == ""
    assert last.startswith("starloom: ")
    assert message in last
    assert "Traceback" not in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "results" / "toy").exists()


def test_debug_shows_the_traceback(starloom):
    status, _, err = starloom("--debug", "run", "toi")
    assert status == 2
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("starloom: no study")
    _, _, err = starloom("run", "toi")
    assert "Traceback" not in err


def test_an_interrupt_ends_with_a_hint_and_resume_goes_on(starloom, tmp_path):
    kill = ["--set", "fit.kill_at=2", "--set", f"fit.signal={int(signal.SIGINT)}"]
    words = ["run", "toy", "--data", "mock", "--out", "out", *kill]
    status, _, err = starloom(*words)
    assert status == 130
    assert err.splitlines()[-1].endswith("--out out --resume")
    assert not (tmp_path / "out").exists()
    status, _, _ = starloom(*words, "--resume")
    assert status == 0
    record = json.loads((tmp_path / "out" / "results.json").read_text())
    assert record["numbers"][0] == {**record["numbers"][0], "name": "resumed_from", "value": 2}


def test_describe(starloom, toy, tmp_path):
    write_table(toy.mock(toy.Config())["stars"], tmp_path / "mine.parquet")
    status, out, _ = starloom("describe", "mine.parquet")
    assert status == 0
    assert "400 rows, 4 columns" in out
    assert "toy: can be run" in out


def test_data_list_where_verify(starloom):
    status, out, _ = starloom("data", "list")
    assert status == 0
    assert "gd1_gaia_ps1" in out
    status, out, _ = starloom("data", "where", "gd1_gaia_ps1")
    assert status == 0
    assert "cache" in out
    status, out, _ = starloom("data", "verify", "gd1_gaia_ps1")
    assert status == 0
    assert "absent" in out


def test_data_get_of_what_is_here(starloom, toy, tmp_path, monkeypatch):
    from starloom.datasets import registry
    from starloom.datasets.dataset import DataFile, Dataset

    files = (DataFile("stars", "stars.parquet", "Toy."), DataFile("more", "more.parquet", "Toy."))
    entry = Dataset("toy_stars", "Toy", (2,), files[:1], "CC0", "1805.00425 Nobody")
    monkeypatch.setattr(registry, "_registered", {"toy_stars": entry})
    monkeypatch.setenv("STARLOOM_DATA", str(tmp_path / "data"))
    path = write_table(toy.mock(toy.Config())["stars"], tmp_path / "data" / "toy_stars" / "stars.parquet")
    status, out, _ = starloom("data", "get", "toy_stars")
    assert status == 0
    assert out.startswith(f"{path}\n")
    assert "CC0" in out


@pytest.mark.parametrize(("problems", "code"), [([], 0), (["numpy is not installed"], 1)])
def test_doctor(starloom, monkeypatch, problems, code):
    monkeypatch.setattr("starloom.report.installation.examine", lambda: Installation([("python", "3")], problems))
    status, out, err = starloom("doctor")
    assert status == code
    assert "python" in out
    assert err == "".join(f"problem: {problem}\n" for problem in problems)


def test_help_teaches_with_examples(starloom):
    status, out, _ = starloom("--help")
    assert status == 0
    assert "starloom run gd1-stream" in out
    status, out, _ = starloom("run", "--help")
    assert status == 0
    assert "--preset tour" in out
    assert "KEY=VALUE" in out
