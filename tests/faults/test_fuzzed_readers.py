"""Every reader under edits that hypothesis searches for, guided by how many lines of Starloom they reach.

A result or an error of Starloom's own; anything else fails. The long runs, guided by atheris, are made by hand:
benchmarks/fuzz.py. docs/hard_knocks.md says what they found.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings, target
from hypothesis import strategies as st

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "fuzz.py"
SOURCE = str(Path(__file__).parents[2] / "src" / "starloom")


def _load():
    spec = importlib.util.spec_from_file_location("fuzz_readers", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


FUZZ = _load()


def _edited(content: bytes, edits: list, words: tuple[bytes, ...]) -> bytes:
    data = bytearray(content)
    for kind, share, number in edits:
        place = int(share * len(data))
        match kind:
            case "cut":
                del data[place : place + 1 + number % 40]
            case "end":
                del data[place:]
            case "byte" if place < len(data):
                data[place] = number % 256
            case "word" if words:
                data[place:place] = words[number % len(words)]
            case "over" if words:
                word = words[number % len(words)]
                data[place : place + len(word)] = word
            case "twice":
                data[place:place] = data[place : place + 1 + number % 200]
    return bytes(data)


class _Lines:
    """Counts the lines of Starloom that run."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, int]] = set()

    def __call__(self, frame, event, argument):
        if not frame.f_code.co_filename.startswith(SOURCE):
            return None
        if event == "line":
            self.seen.add((frame.f_code.co_filename, frame.f_lineno))
        return self


EDITS = st.lists(
    st.tuples(
        st.sampled_from(["cut", "end", "byte", "word", "over", "twice"]),
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 1023),
    ),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize("name", sorted(FUZZ.READERS))
def test_reader(name, tmp_path):
    reader = FUZZ.READERS[name]
    seeds = reader.seeds()
    path = tmp_path / f"input{reader.suffix}"
    for seed in seeds:
        assert FUZZ.feed(reader, seed, path)

    @settings(
        max_examples=40, derandomize=True, database=None, deadline=None, phases=[Phase.generate, Phase.target],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(EDITS, st.integers(0, len(seeds) - 1))
    def run(edits, which):
        lines, before = _Lines(), sys.gettrace()
        sys.settrace(lines)
        try:
            FUZZ.feed(reader, _edited(seeds[which], edits, reader.words), path)
        finally:
            sys.settrace(before)
        target(float(len(lines.seen)), label="lines reached")

    run()
