"""``starloom streams`` in this process: words in, text and a status out."""

from __future__ import annotations

import sys

import pytest

from starloom.catalog.tables import write_table
from starloom.cli import app as cli
from starloom.streams.mock import MockField, make

TEXT = """
frame = "GD1Koposov10"
phi1 = [-70, -20]
phi2 = [-5, 5]
reflex_distance = 8.0
pm_phi1_cosphi2 = [-10, -4.5]
pm_phi2 = [-4, 3]
track = [[-60, -0.5], [-40, 0.2], [-25, 0.0]]
training = { members = 2, steps = 12, background_epochs = 1, hidden = 8, layers = 1 }
"""


@pytest.fixture
def starloom(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    wide = ((-9.5, -17.5), (0.0, -17.5), (0.0, -8.0), (-9.5, -8.0))
    write_table(make(MockField(wide, stream=120, spur=0, background=900), 1), tmp_path / "stars.fits")
    (tmp_path / "mine.toml").write_text(TEXT)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["starloom", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        text = capsys.readouterr()
        return end.value.code, text.out, text.err

    return call


def test_fit_and_score(starloom, tmp_path):
    status, out, err = starloom("streams", "fit", "mine.toml", "stars.fits", "-o", "mine")
    assert status == 0
    assert "expected members: stream:" in out
    assert f"page: {tmp_path / 'mine' / 'index.html'}" in out
    assert "Photometry is not used" in err
    assert (tmp_path / "mine" / "index.html").exists()
    status, out, _ = starloom("streams", "score", "mine", "stars.fits", "-o", "scored.parquet")
    assert status == 0
    assert "stars scored; expected members" in out
    assert (tmp_path / "scored.parquet").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fit", "none.toml", "stars.fits"], "none.toml does not exist"),
        (["fit", "mine.toml", "none.fits"], "none.fits does not exist"),
        (["fit", "wrong.toml", "stars.fits"], "did you mean 'frame'"),
        (["fit", "mine.toml"], "Missing argument"),
        (["fit", "mine.toml", "stars.fits", "--seed", "-3"], "seed"),
        (["score", "none", "stars.fits", "-o", "x.fits"], "none is not a folder"),
        (["score", "none", "stars.fits"], "Missing option"),
    ],
)
def test_bad_input_is_one_line_and_status_two(starloom, tmp_path, words, message):
    (tmp_path / "wrong.toml").write_text(TEXT.replace("frame", "fraem"))
    status, _, err = starloom("streams", *words)
    assert status == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert "Traceback" not in err


def test_an_interrupt_has_its_status_and_the_command_that_goes_on(starloom, monkeypatch):
    from starloom.studies import own_stream

    def interrupted(*_, **__):
        raise KeyboardInterrupt("go on with: --resume")

    monkeypatch.setattr(own_stream, "fit", interrupted)
    status, _, err = starloom("streams", "fit", "mine.toml", "stars.fits")
    assert status == 130
    assert "--resume" in err
