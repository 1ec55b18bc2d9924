from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
import stat
import subprocess
import sys
import threading

import pytest

from starloom import files
from starloom.errors import OutputError


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_sha256_of_a_file_longer_than_a_block(tmp_path):
    content = bytes(range(256)) * 8192 + b"end"
    (tmp_path / "file").write_bytes(content)
    assert files.sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_text_bytes_and_json_round_trip(tmp_path):
    files.write_bytes(tmp_path / "a" / "b" / "bytes", b"\x00\xff")
    files.write_text(tmp_path / "text", "π μas\n")
    files.write_json(tmp_path / "json", {"value": [1, None, "é"]})
    assert (tmp_path / "a" / "b" / "bytes").read_bytes() == b"\x00\xff"
    assert (tmp_path / "text").read_text(encoding="utf-8") == "π μas\n"
    assert json.loads((tmp_path / "json").read_text()) == {"value": [1, None, "é"]}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_is_strict_and_leaves_the_old_file(tmp_path, value):
    files.write_json(tmp_path / "json", 1)
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "json", value)
    assert (tmp_path / "json").read_text() == "1\n"
    assert names(tmp_path) == ["json"]


def test_a_file_follows_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        files.write_text(tmp_path / "file", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, error):
    files.write_text(tmp_path / "file", "old")

    def fail():
        with files.atomic_path(tmp_path / "file") as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert (tmp_path / "file").read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_the_temporary_file_keeps_the_suffix(tmp_path):
    with files.atomic_path(tmp_path / "table.parquet") as temporary:
        assert temporary.suffix == ".parquet"
        assert temporary.parent == tmp_path


def test_a_file_too_large_for_this_process_is_an_output_error(tmp_path):
    files.write_text(tmp_path / "file", "old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OutputError, match="larger than this process may write"):
            files.write_bytes(tmp_path / "file", b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "file").read_text() == "old"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
def test_a_disk_that_refuses_is_explained(tmp_path, monkeypatch, code, words):
    files.write_text(tmp_path / "file", "old")

    def refuse(_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OutputError, match=words) as caught:
        files.write_text(tmp_path / "file", "new")
    assert str(tmp_path / "file") in str(caught.value)
    assert (tmp_path / "file").read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="is a file, not a folder"):
        files.make_folder(tmp_path / "file")
    with pytest.raises(OutputError, match="not a folder"):
        files.write_text(tmp_path / "file" / "below", "x")


def test_a_target_that_is_a_folder(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="folder"):
        files.write_text(tmp_path / "folder", "x")
    assert names(tmp_path) == ["folder"]


def test_a_lock_held_elsewhere(tmp_path):
    refused = pytest.raises(OutputError, match="in use by another run")
    with files.lock(tmp_path / "lock"), refused, files.lock(tmp_path / "lock", wait=False):
        pass
    with files.lock(tmp_path / "lock", wait=False):
        pass


def test_a_waiting_lock_is_given_when_it_is_free(tmp_path):
    order = []

    def wait():
        with files.lock(tmp_path / "lock"):
            order.append("second")

    with files.lock(tmp_path / "lock"):
        thread = threading.Thread(target=wait)
        thread.start()
        order.append("first")
    thread.join(timeout=60)
    assert order == ["first", "second"]


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    program = (
        "import sys, os, signal\nfrom starloom.files import lock\n"
        "with lock(sys.argv[1]):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "lock")], check=False)
    assert done.returncode != 0
    with files.lock(tmp_path / "lock", wait=False):
        pass


# ------------------------------------------------------------------------------------------------------- RunFolder


def finish(path, content="result", **more):
    with files.RunFolder(path, **more) as folder:
        files.write_text(folder.staging / "tables" / "a.txt", content)
        return folder.publish()


def test_a_run_is_published_whole(tmp_path):
    finish(tmp_path / "out", "one")
    assert finish(tmp_path / "out", "two") == (tmp_path / "out").resolve()
    assert (tmp_path / "out" / "tables" / "a.txt").read_text() == "two"
    assert json.loads((tmp_path / "out" / "manifest.json").read_text()) == ["tables/a.txt"]
    assert names(tmp_path) == ["out"]


def test_an_unfinished_run_leaves_the_old_result_and_its_checkpoints(tmp_path):
    finish(tmp_path / "out", "old")

    def interrupted():
        with files.RunFolder(tmp_path / "out") as folder:
            files.write_text(folder.checkpoints / "state", "half")
            files.write_text(folder.staging / "tables" / "a.txt", "new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (tmp_path / "out" / "tables" / "a.txt").read_text() == "old"
    with files.RunFolder(tmp_path / "out", resume=True) as folder:
        assert (folder.checkpoints / "state").read_text() == "half"
        assert list(folder.staging.iterdir()) == []
    with files.RunFolder(tmp_path / "out") as folder:
        assert list(folder.checkpoints.iterdir()) == []


def test_files_that_no_run_wrote_are_never_deleted(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match=r"holds thesis\.tex, not written"), files.RunFolder(out):
        pass
    assert (out / "thesis.tex").read_text() == "years of work"


def test_a_file_added_to_a_result_is_never_deleted(tmp_path):
    out = finish(tmp_path / "out")
    (out / "tables" / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"tables/notes\.txt"), files.RunFolder(out):
        pass
    assert (out / "tables" / "notes.txt").read_text() == "mine"


def test_a_file_added_during_the_run_is_never_deleted(tmp_path):
    out = finish(tmp_path / "out", "old")
    with files.RunFolder(out) as folder:
        files.write_text(folder.staging / "b.txt", "new")
        (out / "notes.txt").write_text("mine")
        with pytest.raises(OutputError, match=r"notes\.txt"):
            folder.publish()
    assert (out / "notes.txt").read_text() == "mine"
    assert (out / "tables" / "a.txt").read_text() == "old"


@pytest.mark.parametrize("content", ["not json", "3", "\xff"])
def test_a_broken_manifest_stops_the_run(tmp_path, content):
    out = finish(tmp_path / "out")
    (out / "manifest.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(OutputError, match="choose another folder"), files.RunFolder(out):
        pass
    assert (out / "tables" / "a.txt").exists()


def test_two_runs_into_one_folder(tmp_path):
    refused = pytest.raises(OutputError, match="in use by another run")
    with files.RunFolder(tmp_path / "out"), refused, files.RunFolder(tmp_path / "out"):
        pass
    finish(tmp_path / "out")


def test_a_kill_between_the_two_renames_is_healed(tmp_path):
    finish(tmp_path / "out", "old")
    work = tmp_path / ".out.work"
    work.mkdir()
    (tmp_path / "out").rename(work / "old")
    with files.RunFolder(tmp_path / "out"):
        assert (tmp_path / "out" / "tables" / "a.txt").read_text() == "old"


def test_a_failed_publish_puts_the_old_result_back(tmp_path, monkeypatch):
    out = finish(tmp_path / "out", "old")
    with files.RunFolder(out) as folder:
        files.write_text(folder.staging / "b.txt", "new")
        replace = os.replace

        def refuse(source, target):
            if str(source) == str(folder.staging):
                raise OSError(errno.ENOSPC, "full")
            replace(source, target)

        monkeypatch.setattr(os, "replace", refuse)
        with pytest.raises(OutputError, match="disk is full"):
            folder.publish()
    assert (out / "tables" / "a.txt").read_text() == "old"


def test_places_that_cannot_hold_a_result(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="a file, not a folder"), files.RunFolder(tmp_path / "file"):
        pass
    with pytest.raises(OutputError, match="choose a folder below"), files.RunFolder("/"):
        pass
