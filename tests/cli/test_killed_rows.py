"""Rows through a command in a process of its own, killed and out of disk: the same command goes on to the same file."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys

import numpy as np
from astropy import units as u
from astropy.table import QTable

from starloom.catalog.tables import write_table

NAME = "a b;$(touch hacked) 'ü'\n.parquet"
START = """
import os, signal, sys
from starloom.catalog import row_jobs
from starloom.dynamics import star_orbits
star_orbits.ROWS = 256
left, write = int(sys.argv.pop(1)), row_jobs.to_arrow

def killed(table):  # in the middle of a part
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    return write(table)

row_jobs.to_arrow = killed
from starloom.cli.app import main
main()
"""


def command(out, kill=-1):
    words = ["orbits", NAME, "-o", out, "--potential", "MWPotential2014", "--samples", "0"]
    return [sys.executable, "-c", START, str(kill), *words]


def test_orbits_killed_and_out_of_disk(tmp_path):
    rng, count = np.random.default_rng(1), 6000
    table = QTable({"source_id": np.arange(count)})
    for name, values, unit in (
        ("ra", rng.uniform(0, 360, count), u.deg), ("dec", rng.uniform(-80, 80, count), u.deg),
        ("parallax", rng.uniform(0.5, 3.0, count), u.mas), ("pmra", rng.normal(0, 5, count), u.mas / u.yr),
        ("pmdec", rng.normal(0, 5, count), u.mas / u.yr), ("radial_velocity", rng.normal(0, 40, count), u.km / u.s),
    ):  # fmt: skip
        table[name] = values * unit
    write_table(table, tmp_path / NAME)

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))  # above a part, below the whole

    settings = {"cwd": tmp_path, "capture_output": True, "text": True, "check": False}
    done = subprocess.run(command("whole.parquet"), **settings)
    assert done.returncode == 0, done.stderr
    full = subprocess.run(command("out.parquet"), **settings, preexec_fn=limited)
    assert full.returncode == 2
    assert "cannot write" in full.stderr.splitlines()[-1]
    assert "Traceback" not in full.stderr
    parts = tmp_path / ".out.parquet.parts"
    kept = sorted(parts.glob("*-*.parquet"))
    assert len(kept) == 24  # it ended in the joining
    for path in kept[3:]:
        path.unlink()
    assert subprocess.run(command("out.parquet", kill=4), **settings).returncode == -signal.SIGKILL
    assert not (tmp_path / "out.parquet").exists()
    assert sum(not path.name.startswith(".") for path in parts.glob("*-*.parquet")) == 3 + 4
    assert list(parts.glob(".*.parquet"))  # what it was writing
    done = subprocess.run(command("out.parquet"), **settings)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {NAME, "out.parquet", "whole.parquet"}
