"""What this installation has, and what is wrong with it."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass, field
from importlib import import_module, metadata
from pathlib import Path

from starloom.files import make_folder

IMPORT_NAMES = {"pillow": "PIL", "scikit-learn": "sklearn", "xgboost-cpu": "xgboost"}
LITTLE_DISK_GB = 2.0
LITTLE_MEMORY_GB = 3.0


@dataclass
class Installation:
    """Facts, in (name, value) pairs, and problems, in words that say what to do."""

    facts: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def examine() -> Installation:
    """Look at Python, the packages, the threads, the data folders and the disk."""
    found = Installation()
    found.facts.append(("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"))
    _packages(found)
    _machine(found)
    _data(found)
    return found


def _packages(found: Installation) -> None:
    from packaging.requirements import Requirement

    found.facts.append(("starloom", metadata.version("starloom")))
    for line in metadata.requires("starloom") or []:
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        name = requirement.name
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            found.problems.append(f"{name} is not installed: pip install '{name}{requirement.specifier}'")
            continue
        note = ""
        if not requirement.specifier.contains(version, prereleases=True):
            found.problems.append(
                f"{name} {version} is not {requirement.specifier}: pip install '{name}{requirement.specifier}'"
            )
        try:
            import_module(IMPORT_NAMES.get(name, name.replace("-", "_")))
        except Exception as error:  # a broken compiled package may raise anything
            found.problems.append(f"{name} {version} cannot be imported ({error}): install it anew")
            note = "  (broken)"
        found.facts.append((name, version + note))


def _machine(found: Installation) -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits = ", ".join(f"{name}={os.environ[name]}" for name in sorted(os.environ) if name.endswith("_NUM_THREADS"))
    found.facts.append(("cores", f"{cores} usable" + (f" ({limits})" if limits else "")))
    try:
        import torch
    except Exception:  # told above
        return
    device = "GPU " + torch.cuda.get_device_name(0) if torch.cuda.is_available() else "CPU"
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU only"
    found.facts.append(("torch runs on", f"{device}, {torch.get_num_threads()} threads, build: {build}"))
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
        found.facts.append(("memory", f"{memory:.1f} GB"))
        if memory < LITTLE_MEMORY_GB:
            found.problems.append(f"{memory:.1f} GB of memory: the presets 'quick' and 'full' want {LITTLE_MEMORY_GB}")


def _data(found: Installation) -> None:
    from starloom.datasets.places import cache_folder, data_folders

    folders = data_folders()
    found.facts.append(("STARLOOM_DATA", ", ".join(map(str, folders)) or "not set"))
    for folder in folders:
        if not folder.is_dir():
            found.problems.append(f"STARLOOM_DATA names {folder}, which is no folder: correct or unset it")
    cache = cache_folder()
    found.facts.append(("data cache", str(cache)))
    for name, place in (("the data cache", cache), ("the current folder", Path.cwd())):
        try:
            make_folder(place)
            free = shutil.disk_usage(place).free / 1e9
        except OSError as error:
            found.problems.append(f"{name} cannot be used: {error}")
            continue
        if not os.access(place, os.W_OK):
            found.problems.append(f"{name}, {place}, cannot be written: results or data cannot be kept there")
        found.facts.append((f"free disk for {name}", f"{free:.0f} GB"))
        if free < LITTLE_DISK_GB:
            found.problems.append(f"only {free:.1f} GB of disk are free for {name}, {place}: make room")
