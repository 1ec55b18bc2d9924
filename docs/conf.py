"""Sphinx settings. The pages build and open without a network."""

from __future__ import annotations

import re
from typing import Any

from starloom import __version__

project = "Starloom"
author = "The Starloom developers"
copyright = "The Starloom developers"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"Starloom {__version__}"
html_show_sourcelink = False
html_copy_source = False

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_class_signature = "separated"
autodoc_default_options = {"members": True, "exclude-members": "__init__, __new__"}
napoleon_google_docstring = False
napoleon_use_rtype = False

_ENTRY = re.compile(r"(?P<indent> *)(?P<names>[\w*]+(, [\w*]+)*) : (?P<meaning>.+)")


def put_meanings_below(app: Any, what: str, name: str, obj: object, options: Any, lines: list[str]) -> None:
    """Write ``name : meaning`` of a docstring as numpydoc's ``name`` with the meaning below it; mark code as code."""
    rewritten: list[str] = []
    section = False
    for number, line in enumerate(lines):
        if what == "module" and line.startswith("    ") and not lines[number - 1].strip():
            rewritten += ["::", ""]  # an indented block of a module's docstring is a formula or a snippet
        if number and re.fullmatch(r" *-{3,} *", line):
            section = lines[number - 1].strip() in ("Parameters", "Attributes", "Returns")
        entry = _ENTRY.fullmatch(line) if section else None
        if entry is None:
            rewritten.append(line)
            continue
        rewritten += [f"{entry['indent']}{entry['names']}", f"{entry['indent']}    {entry['meaning']}"]
    lines[:] = rewritten


def setup(app: Any) -> None:
    """Before napoleon reads a docstring."""
    app.connect("autodoc-process-docstring", put_meanings_below, priority=400)


# numpy's trailing underscores (bool_) read as links, scikit-learn's inherited docstrings link into its own pages, and
# some rooms have classes of one name
suppress_warnings = ["docutils", "ref.python", "ref.term", "ref.ref"]
