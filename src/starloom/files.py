"""Files that are whole or not there: atomic writes, checksums, locks, and the folder of one run."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from starloom.errors import OutputError


def sha256(path: str | Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _explain(error: OSError, path: Path) -> OutputError:
    reason = {
        errno.ENOSPC: "the disk is full",
        errno.EDQUOT: "the disk quota is used up",
        errno.EACCES: "no permission to write there",
        errno.EPERM: "no permission to write there",
        errno.EROFS: "the file system is read-only",
        errno.ENOTDIR: "a part of the path is a file, not a folder",
        errno.EFBIG: "the file would be larger than this process may write",
    }.get(error.errno or 0, error.strerror or str(error))
    return OutputError(f"cannot write {path}: {reason}; nothing that was there before has been changed")


def make_folder(path: str | Path) -> Path:
    """Make a folder and its parents; raise OutputError when that cannot be done."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise OutputError(f"cannot write into {folder}: it is a file, not a folder") from error
    except OSError as error:
        raise _explain(error, folder) from error
    return folder


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; on success flush it to disk and rename it into place.

    Raises
    ------
    OutputError
        When the disk is full, the folder is not writable, and so on. The old file, if any, is untouched.
    """
    target = Path(path)
    make_folder(target.parent)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.stem}.", suffix=target.suffix, dir=target.parent)
    except OSError as error:
        raise _explain(error, target) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as stream:
            os.fsync(stream.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)  # mkstemp makes private files; a result is for colleagues too
        os.replace(temporary, target)
    except OSError as error:
        raise (error if isinstance(error, OutputError) else _explain(error, target)) from error
    finally:
        temporary.unlink(missing_ok=True)


def put_in_place(made: str | Path, path: str | Path) -> None:
    """Rename a finished file to its place on the same disk; raise OutputError when that cannot be done."""
    try:
        os.replace(made, path)
    except OSError as error:
        raise _explain(error, Path(path)) from error


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write bytes atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | Path, content: str) -> None:
    """Write text (UTF-8) atomically."""
    write_bytes(path, content.encode())


def write_json(path: str | Path, content: Any) -> None:
    """Write strict JSON (no NaN: use null) atomically."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


@contextlib.contextmanager
def lock(path: str | Path, *, wait: bool = True) -> Iterator[int]:
    """Hold an exclusive lock on a file for the length of a block, which is given the open file's descriptor.

    With ``wait=False`` a lock held elsewhere raises OutputError at once. The kernel frees the lock of a killed process.
    """
    target = Path(path)
    make_folder(target.parent)
    try:
        stream = open(target, "a+")  # noqa: SIM115 - closed below, after the lock is given back
    except OSError as error:
        raise _explain(error, target) from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            message = f"{target.parent} is in use by another run; wait for it or choose another folder"
            raise OutputError(message) from error
        yield stream.fileno()


@contextlib.contextmanager
def held(folder: str | Path) -> Iterator[Path]:
    """Make a folder of work and hold it against other runs for the length of a block.

    Raises
    ------
    OutputError
        When another run holds it, or it cannot be made.
    """
    name = Path(folder) / "lock"
    while True:
        make_folder(name.parent)
        with lock(name, wait=False) as descriptor:
            # a run that ends deletes its folder: what was locked may be there no more, and others make it anew
            mine = False
            with contextlib.suppress(FileNotFoundError):
                mine = os.fstat(descriptor).st_ino == name.stat().st_ino
            if mine:
                yield Path(folder)
                return


MANIFEST = "manifest.json"


def _files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()}


class RunFolder:
    """The folder of one run: work happens beside it, and it is replaced only by a finished result.

    ``DIR`` holds the last finished result. A run works in ``.DIR.work`` next to it (checkpoints, the new result) and
    ends by renaming the new result to ``DIR``. A killed run leaves the old result or none, and a later run with
    ``resume=True`` finds its checkpoints. ``manifest.json`` lists the files of a result.

    Parameters
    ----------
    path : path of the result folder. It may be absent, empty, or hold an earlier result and nothing else: a folder
        with a file that no manifest lists is refused, so that no one's files are deleted.
    resume : keep the checkpoints of an interrupted run.
    """

    def __init__(self, path: str | Path, *, resume: bool = False) -> None:
        self.path = Path(path).resolve()
        self.work = self.path.parent / f".{self.path.name}.work"
        self.resume = resume
        self._stack = contextlib.ExitStack()

    @property
    def checkpoints(self) -> Path:
        """Where long steps keep what an interrupted run can go on from."""
        return self.work / "checkpoints"

    @property
    def staging(self) -> Path:
        """Where the new result is put together."""
        return self.work / "result"

    @property
    def _old(self) -> Path:
        return self.work / "old"

    def __enter__(self) -> RunFolder:
        if self.path == self.path.parent:
            raise OutputError(f"cannot write a result into {self.path} itself; choose a folder below it")
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(f"cannot write into {self.path}: it is a file, not a folder")
        self._refuse_foreign_files()
        try:
            self._stack.enter_context(held(self.work))
            if self._old.exists() and not self.path.exists():  # a run was killed between the two renames of publish
                os.replace(self._old, self.path)
            shutil.rmtree(self.staging, ignore_errors=True)
            if not self.resume:
                shutil.rmtree(self.checkpoints, ignore_errors=True)
            make_folder(self.staging)
            make_folder(self.checkpoints)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _refuse_foreign_files(self) -> None:
        if not self.path.is_dir():
            return
        try:
            found = _files_below(self.path)
            listed = set(json.loads((self.path / MANIFEST).read_text())) if MANIFEST in found else set()
        except (OSError, ValueError, TypeError) as error:
            raise OutputError(f"cannot read {self.path / MANIFEST} ({error}); choose another folder") from error
        foreign = sorted(found - listed - {MANIFEST}) if listed else sorted(found)
        if foreign:
            more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
            raise OutputError(
                f"{self.path} holds {foreign[0]}{more}, not written by an earlier run, and a new result would "
                "replace it; move that away or choose another folder"
            )

    def publish(self) -> Path:
        """Rename the staged result to its place and clear the work folder."""
        self._refuse_foreign_files()
        write_json(self.staging / MANIFEST, sorted(_files_below(self.staging)))
        shutil.rmtree(self._old, ignore_errors=True)
        try:
            if self.path.exists():
                os.replace(self.path, self._old)
            os.replace(self.staging, self.path)
        except OSError as error:
            if self._old.exists() and not self.path.exists():
                os.replace(self._old, self.path)
            raise _explain(error, self.path) from error
        shutil.rmtree(self.work, ignore_errors=True)
        return self.path
