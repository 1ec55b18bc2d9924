from __future__ import annotations

import io
import sys

import pytest

from starloom import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_nothing_is_shown_unless_asked_for(capsys):
    progress.say("hello")
    with progress.bar("work", 3) as advance:
        advance(2, "a note")
    assert list(progress.steps("abc", "letters", 3)) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")


def test_a_log_gets_lines_now_and_then(capsys, monkeypatch):
    monkeypatch.setattr(progress, "LOG_SECONDS", -1.0)
    with progress.shown(), progress.bar("work", 4, "epochs") as advance:
        advance(1)
        advance(2, "loss 1.5")
    captured = capsys.readouterr()
    assert captured.out == "", "progress never goes where results go"
    lines = captured.err.splitlines()
    assert lines[0].startswith("work: 1 of 4 epochs")
    assert lines[1].startswith("work: 3 of 4 epochs")
    assert lines[1].endswith("loss 1.5")
    assert lines[2].startswith("work: 3 epochs in")


def test_a_log_is_not_flooded(capsys):
    with progress.shown():
        assert list(progress.steps(range(1000), "work", 1000)) == list(range(1000))
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_terminal_gets_a_bar(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress.shown():
        assert list(progress.steps("ab", "letters", 2, "signs")) == ["a", "b"]
    assert "letters" in terminal.getvalue()
    assert "2/2" in terminal.getvalue()


def test_showing_ends_with_its_block_even_after_an_error(capsys):
    with progress.shown():
        with progress.shown(False):
            progress.say("not this")
        progress.say("this")
    with pytest.raises(RuntimeError), progress.shown():
        raise RuntimeError
    progress.say("nor this")
    assert capsys.readouterr().err == "this\n"


def test_an_interrupt_passes_through_a_bar(capsys):
    def interrupted():
        with progress.shown(), progress.bar("work", 2) as advance:
            advance()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "work: 1 steps in" not in capsys.readouterr().err, "an interrupted work is not reported as done"
