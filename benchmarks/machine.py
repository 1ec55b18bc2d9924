"""What a measurement was made on and with: the processor, the versions, the state of the sources."""

from __future__ import annotations

import ast
import hashlib
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def processor() -> str:
    """The processor's name and the cores this process may use, such as "2 cores of Some Processor"."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    name = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    return f"{cores} core{'s' if cores != 1 else ''} of {name}"


def versions(*packages: str) -> str:
    """Python and some packages with their versions, separated by commas."""
    found = [f"{package} {metadata.version(package)}" for package in packages]
    return ", ".join([f"Python {platform.python_version()}", *found])


def commit() -> str:
    """The commit of the checkout, "+changes" where src or benchmarks differ from it, "no git" outside one."""
    try:
        name = _git("rev-parse", "--short", "HEAD")
        changed = _git("status", "--porcelain", "--", "src", "benchmarks/*.py")
    except (OSError, subprocess.CalledProcessError):
        return "no git"
    return f"{name}+changes" if changed else name


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def source_digest(*files: Path) -> str:
    """A digest of files and of all that they import, inside starloom and beside them: 12 hexadecimal digits.

    Two runs with the same digest ran the same code, whether or not it had been committed, and a change in a room that
    the files do not use leaves it as it was.
    """
    waiting, seen = [Path(file).resolve() for file in files], set()
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            waiting += _imported(path)
    digest = hashlib.sha256()
    for path in sorted(seen):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _imported(path: Path) -> list[Path]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    places = [base / name.replace(".", "/") for name in names for base in (ROOT / "src", path.parent)]
    files = [file for place in places for file in (place.with_suffix(".py"), place / "__init__.py")]
    return [file.resolve() for file in files if file.is_file()]
