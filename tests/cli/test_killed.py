"""The command line in a process of its own: killed, out of disk, run twice at once."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

START = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from starloom.studies import registry
registry.STUDIES["toy"] = "toy_study"
from starloom.cli.app import main
main()
"""


def start(folder, *words, limit=None):
    def restrict():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    command = [sys.executable, "-c", START, str(Path(__file__).parent), "run", "toy", "--data", "mock", "--out", "out"]
    return subprocess.run(
        [*command, *words], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "STARLOOM_CACHE": str(folder)}, preexec_fn=restrict if limit else None,
    )  # fmt: skip


def snapshot(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    done = start(folder, "--preset", "tour")
    assert done.returncode == 0, done.stderr
    return folder


def test_a_killed_run_leaves_the_old_result_and_can_be_resumed(finished):
    before = snapshot(finished / "out")
    words = ["--seed", "5", "--set", "fit.kill_at=2"]
    assert start(finished, *words).returncode == -signal.SIGKILL
    assert snapshot(finished / "out") == before
    done = start(finished, *words, "--resume")
    assert done.returncode == 0, done.stderr
    record = json.loads((finished / "out" / "results.json").read_text())
    assert record["seed"] == 5
    assert {entry["name"]: entry["value"] for entry in record["numbers"]}["resumed_from"] == 2


@pytest.mark.parametrize("limit", [15_000, 500_000])
def test_a_full_disk_leaves_the_old_result(finished, limit):
    before = snapshot(finished / "out")
    done = start(finished, "--seed", "7", limit=limit)
    assert done.returncode == 2, done.stderr
    assert "cannot write" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert snapshot(finished / "out") == before
