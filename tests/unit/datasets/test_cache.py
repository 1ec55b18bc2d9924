"""The cache: whole files or none, one download for two processes, damage and changed pins noticed, full disks."""

from __future__ import annotations

import collections
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from starloom.datasets import cache, places, registry
from starloom.datasets.access import locate, verify
from starloom.datasets.dataset import Download, RemoteFile
from starloom.errors import DatasetError, OutputError
from starloom.progress import shown

TABLE = b"ra,dec\n" + b"3.0,4.0\n" * 250_000

CHILD = """
import sys
from starloom.datasets.access import locate
from starloom.datasets.dataset import DataFile, Dataset, Download, RemoteFile
from starloom.datasets.registry import register

url, sha, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
file = DataFile("table", "table.csv", "a made table", (Download((RemoteFile(url, sha, size),)),))
register(Dataset("made", "A made dataset", (1,), (file,), "none", "2000Made...1....1M Maker 2000, Made"))
if len(sys.argv) > 4:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), int(sys.argv[4])))
print(locate("made").sha256)
"""


@pytest.fixture
def source(server, build) -> Download:
    return Download((RemoteFile(server.put("/table.csv", TABLE), build.digest(TABLE), len(TABLE)),))


def child(source: Download, *more: str) -> subprocess.Popen[str]:
    remote = source.files[0]
    command = [sys.executable, "-c", CHILD, remote.url, remote.sha256, str(remote.size), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_request(server) -> None:
    deadline = time.monotonic() + 60
    while not server.requests and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.requests, "the child asked for nothing"
    time.sleep(0.3)  # the first half of the file is on its way


def test_two_processes_download_once(server, source, cache_folder):
    server.hang["/table.csv"] = 1.0
    both = [child(source), child(source)]
    outputs = [process.communicate(timeout=60) for process in both]
    assert [out.strip() for out, _ in outputs] == [source.files[0].sha256] * 2, outputs
    assert server.requests == ["/table.csv"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_download_is_no_file(how, server, source, entry, cache_folder, kept_files):
    server.hang["/table.csv"] = 30.0
    process = child(source)
    wait_for_request(server)
    process.send_signal(how)
    process.communicate(timeout=60)
    assert process.returncode != 0
    entry(source)
    assert not (cache_folder / "made" / "table.csv").exists()
    assert [row.verdict for row in verify("made")] == ["absent"]
    if how == signal.SIGINT:
        assert kept_files() == []
    server.hang.clear()
    assert locate("made").path.read_bytes() == TABLE
    assert kept_files() == ["made/table.csv", "made/table.csv.receipt.json"], "what the killed one left must go"


def test_a_disk_that_fills_up(server, source, kept_files):
    process = child(source, "100000")
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    last = stderr.strip().splitlines()[-1]
    assert "OutputError" in last
    assert "File too large; free some space there or set STARLOOM_CACHE to a folder that can be written" in last
    assert kept_files() == []


def test_too_little_space_is_said_before_the_download(server, source, entry, monkeypatch):
    entry(source)
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: usage(10, 9, 1_000_000))
    with pytest.raises(OutputError, match=r"4 MB are needed and 1 MB are free; .* set STARLOOM_CACHE"):
        locate("made")
    assert server.requests == []


@pytest.mark.parametrize("place", ["a file", "under a file"])
def test_a_cache_that_cannot_be_written(place, source, entry, tmp_path, monkeypatch):
    blocker = tmp_path / "blocker"
    blocker.write_text("")
    entry(source)
    monkeypatch.setenv("STARLOOM_CACHE", str(blocker if place == "a file" else blocker / "deeper"))
    with pytest.raises(OutputError, match="set STARLOOM_CACHE to a folder that can be written"):
        locate("made")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into every folder")
def test_a_read_only_cache(source, entry, cache_folder):
    entry(source)
    cache_folder.mkdir(mode=0o500)
    with pytest.raises(OutputError, match=r"no permission to write there; nothing .* set STARLOOM_CACHE"):
        locate("made")


def test_a_read_only_cache_that_has_the_file_is_used(source, entry, cache_folder, monkeypatch):
    entry(source)
    found = locate("made")

    def refuse(*_, **__):
        raise PermissionError("read-only")

    monkeypatch.setattr(cache, "lock", refuse)
    assert locate("made") == found


@pytest.mark.parametrize("damage", [b"", TABLE[:-1], TABLE.replace(b"3", b"5", 1)])
def test_a_damaged_file_is_got_again(damage, server, source, entry, capsys):
    entry(source)
    path = locate("made").path
    path.write_bytes(damage)
    assert [row.verdict for row in verify("made")] == ["changed" if len(damage) == len(TABLE) else "absent"]
    with pytest.raises(DatasetError, match="downloads are off"):
        locate("made", download=False)
    with shown():
        assert locate("made").path.read_bytes() == TABLE
    assert ("is damaged" in capsys.readouterr().err) == (len(damage) == len(TABLE))
    assert len(server.requests) == 2


@pytest.mark.parametrize("receipt", ["", "{", "[]", "{}", '{"source": 1}', json.dumps({"a": 1, "b": 2}), None])
def test_a_file_without_a_good_receipt_is_absent(receipt, server, source, entry):
    entry(source)
    path = locate("made").path
    beside = path.with_name("table.csv.receipt.json")
    beside.unlink()
    if receipt is not None:
        beside.write_text(receipt)
    assert [row.verdict for row in verify("made")] == ["absent"]
    assert locate("made").path.read_bytes() == TABLE


def test_a_changed_pin_gets_the_new_file(server, source, entry, build):
    made = entry(source)
    locate("made")
    new = b"ra,dec\n9.0,9.0\n"
    other = Download((RemoteFile(server.put("/new.csv", new), build.digest(new), len(new)),))
    registry._registered["made"] = replace(made, files=(replace(made.files[0], sources=(other,)),))
    assert locate("made").path.read_bytes() == new


def test_the_cache_is_outside_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("STARLOOM_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert places.cache_folder() == tmp_path / "starloom"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert places.cache_folder() == tmp_path / "home" / ".cache" / "starloom"
    monkeypatch.setenv("STARLOOM_CACHE", "~/elsewhere")
    assert places.cache_folder() == tmp_path / "home" / "elsewhere"
    assert not places.cache_folder().is_relative_to(Path(sys.prefix))
