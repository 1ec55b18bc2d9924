from __future__ import annotations

import contextlib
import json
import signal
from pathlib import Path

import pytest

from starloom.errors import ConfigError, OutputError
from starloom.files import RunFolder, lock
from starloom.studies.study import configure, execute


def run(toy, out, *settings, **more):
    config = configure(toy.STUDY, preset="tour", overrides=settings)
    return execute(toy.STUDY, config, data="mock", out=out, **more)


def numbers(folder):
    return {entry["name"]: entry for entry in json.loads((folder / "results.json").read_text())["numbers"]}


def test_a_run_leaves_a_whole_result_and_nothing_else(toy, tmp_path):
    seen = []
    folder = run(toy, tmp_path / "out", publish=lambda results, at: seen.append((results.study, at.is_dir())))
    record = json.loads((folder / "results.json").read_text())
    assert seen == [("toy", True)]
    assert folder == tmp_path / "out"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert record["title"].startswith("[simulated input]")
    assert record["command"] == "starloom run toy --preset tour --seed 1 --data mock"
    assert record["config"]["fit"]["steps"] == 2
    assert [(entry["name"], entry["kind"]) for entry in record["inputs"]] == [("stars", "simulated"), ("grid", "real")]
    assert record["citations"] == ["1805.00425 Nobody 2018, A paper"]
    assert record["seconds"] < 1e4
    assert numbers(folder)["width"]["published"]["comparable"] is False, "a mock is never the same data"
    listed = json.loads((folder / "manifest.json").read_text())
    assert {*listed, "manifest.json"} == {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_the_same_seed_gives_the_same_numbers_whatever_the_workers(toy, tmp_path):
    one = numbers(run(toy, tmp_path / "one", "workers=1"))
    two = numbers(run(toy, tmp_path / "two", "workers=2"))
    other = numbers(run(toy, tmp_path / "three", "seed=2"))
    assert one["members"] == two["members"]
    assert one["members"] != other["members"]


def test_an_interrupted_run_says_how_to_resume_and_resumes(toy, tmp_path):
    out = tmp_path / "my out"
    kill = f"fit.signal={int(signal.SIGINT)}"
    with pytest.raises(KeyboardInterrupt, match=r"starloom run toy .*--set fit.steps=5 .*'.*my out' --resume"):
        run(toy, out, "fit.steps=5", "fit.kill_at=3", kill)
    assert not out.exists()
    with pytest.raises(ConfigError, match=r"cannot resume .*fit was .*run again without --resume"):
        run(toy, out, "fit.steps=6", resume=True)
    done = run(toy, out, "fit.steps=5", "fit.kill_at=3", kill, "workers=1", resume=True)
    assert numbers(done)["resumed_from"]["value"] == 3


def test_resume_goes_on_from_the_checkpoint(toy, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(OutputError):
        run(toy, out, "fit.steps=5", publish=full_disk)
    assert numbers(run(toy, out, "fit.steps=5", resume=True))["resumed_from"]["value"] == 5
    with pytest.raises(OutputError):
        run(toy, out, "fit.steps=5", publish=full_disk)
    assert numbers(run(toy, out, "fit.steps=5"))["resumed_from"]["value"] == 0, "without --resume it starts anew"


def full_disk(results, folder):
    raise OutputError("the disk is full")


def test_nothing_to_resume_starts_anew(toy, tmp_path):
    assert numbers(run(toy, tmp_path / "out", resume=True))["resumed_from"]["value"] == 0


def test_a_torn_note_of_the_interrupted_run_is_told(toy, tmp_path):
    (tmp_path / ".out.work").mkdir()
    (tmp_path / ".out.work" / "run.json").write_text("{")
    with pytest.raises(OutputError, match="without --resume"):
        run(toy, tmp_path / "out", resume=True)


def test_a_failed_run_leaves_the_old_result(toy, tmp_path):
    out = run(toy, tmp_path / "out")
    before = (out / "results.json").read_bytes()
    with pytest.raises(OutputError):
        run(toy, out, "seed=2", publish=full_disk)
    assert (out / "results.json").read_bytes() == before
    run(toy, out, "seed=2")
    assert json.loads((out / "results.json").read_text())["seed"] == 2


@pytest.mark.parametrize("name", ["notes.txt", "results.json", "manifest.json", "tables/mine.csv"])
def test_a_folder_with_foreign_files_is_refused(toy, tmp_path, name):
    (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "out" / name).write_text("[]")
    with pytest.raises(OutputError, match=r"not written by an earlier run"):
        run(toy, tmp_path / "out")
    assert (tmp_path / "out" / name).read_text() == "[]"


def test_a_file_put_into_an_old_result_is_not_deleted(toy, tmp_path):
    out = run(toy, tmp_path / "out")
    (out / "figures").mkdir(exist_ok=True)
    (out / "figures" / "mine.png").write_text("mine")
    with pytest.raises(OutputError, match=r"holds figures/mine.png"):
        run(toy, out)
    (out / "figures" / "mine.png").unlink()

    def intrude(results, folder):
        (out / "late.txt").write_text("mine")

    with pytest.raises(OutputError, match=r"late\.txt"):
        run(toy, out, publish=intrude)
    assert (out / "late.txt").read_text() == "mine"


def test_an_empty_folder_will_do_and_a_file_will_not(toy, tmp_path):
    (tmp_path / "empty").mkdir()
    assert (run(toy, tmp_path / "empty") / "results.json").exists()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="it is a file"):
        run(toy, tmp_path / "file")
    with pytest.raises(OutputError):
        run(toy, tmp_path / "file" / "below")
    with pytest.raises(OutputError, match="folder below it"):
        run(toy, "/")


def test_two_runs_into_one_folder(toy, tmp_path):
    with RunFolder(tmp_path / "out"), pytest.raises(OutputError, match="in use by another run"):
        run(toy, tmp_path / "out")
    run(toy, tmp_path / "out")


def test_a_lock_on_a_deleted_file_is_taken_anew(tmp_path, monkeypatch):
    """A run that ends deletes its work folder between another's opening and locking of the file in it."""
    taken = []

    def racing_lock(path, *, wait):
        if not taken:
            taken.append(path)
            Path(path).write_text("")
            held = lock(path, wait=wait)
            return _unlink_after(held, Path(path))
        return lock(path, wait=wait)

    @contextlib.contextmanager
    def _unlink_after(held, path):
        with held as descriptor:
            path.unlink()
            yield descriptor

    monkeypatch.setattr("starloom.files.lock", racing_lock)
    with RunFolder(tmp_path / "out") as folder:
        assert (folder.work / "lock").exists()
    assert len(taken) == 1


def test_a_result_lost_between_two_renames_is_put_back(toy, tmp_path):
    out = run(toy, tmp_path / "out")
    (tmp_path / ".out.work").mkdir()
    out.rename(tmp_path / ".out.work" / "old")
    with RunFolder(out):
        assert (out / "results.json").exists()
