"""Licenses of everything that ``pip install starloom`` brings, as a table for docs/hard_knocks.md.

python benchmarks/licenses.py
"""

from __future__ import annotations

import re
from collections import defaultdict
from importlib import metadata

from packaging.requirements import Requirement

FAMILIES = (
    ("GPL", r"(?<!L)GPL|GNU General Public"),
    ("LGPL", r"LGPL|Lesser General"),
    ("MPL-2.0", r"MPL|Mozilla"),
    ("Apache-2.0", r"Apache"),
    ("PSF", r"PSF|Python Software Foundation"),
    ("BSD", r"BSD|ISC"),
    ("MIT", r"\bMIT\b|CMU|HPND|Unlicense"),
)


def needed(name: str, found: set[str]) -> set[str]:
    """Names of a distribution and of what it needs at run time."""
    if name in found:
        return found
    try:
        lines = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return found
    found.add(name)
    for line in lines:
        one = Requirement(line)
        if one.marker is None or one.marker.evaluate({"extra": ""}):
            needed(re.sub(r"[-_.]+", "-", one.name).lower(), found)
    return found


def license_of(name: str) -> str:
    """The family of a package's license, by what the package says of itself."""
    about = metadata.metadata(name)
    said = [about.get("License-Expression") or "", *(c for c in about.get_all("Classifier") or [] if "License" in c)]
    text = " ".join(said) if any(said) else (about.get("License") or "")[:300]
    return next((family for family, pattern in FAMILIES if re.search(pattern, text)), text.strip()[:40] or "not stated")


if __name__ == "__main__":
    groups = defaultdict(list)
    for package in sorted(needed("starloom", set()) - {"starloom"}):
        groups[license_of(package)].append(package)
    print("| license | packages |\n|---|---|")
    for family, packages in sorted(groups.items(), key=lambda entry: -len(entry[1])):
        print(f"| {family} ({len(packages)}) | {', '.join(packages)} |")
