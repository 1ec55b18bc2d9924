"""Sphinx settings. The pages build and open without a network."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

from starloom import __version__

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import make_gallery  # noqa: E402

TOUR = Path(os.environ.get("STARLOOM_TOUR", HERE.parent / "results" / "tour"))
make_gallery.PAGE.write_text(make_gallery.page(TOUR))

project = "Starloom"
author = "The Starloom developers"
copyright = "The Starloom developers"
version = release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3

# the notebooks are run anew in each build, and a cell that fails ends it
nb_execution_mode = "force"
nb_execution_timeout = 120
nb_execution_raise_on_error = True
nb_merge_streams = True

html_theme = "furo"
html_title = f"Starloom {__version__}"
html_show_sourcelink = False
html_copy_source = False

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_class_signature = "separated"
# scikit-learn writes the four request methods; their docstrings link into its own pages
autodoc_default_options = {
    "members": True,
    "exclude-members": "__init__, __new__, set_fit_request, set_predict_request, set_score_request, "
    "set_transform_request, set_partial_fit_request",
}
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_attr_annotations = False  # NDArray[np.bool_] would read as a link called np.bool

_ENTRY = re.compile(r"(?P<indent> *)(?P<names>[\w*]+(, [\w*]+)*) : (?P<meaning>.+)")


def _bars(line: str) -> str:
    """Absolute values are no substitutions: mask the bars of prose, not of code."""
    if ">>>" in line or line.lstrip().startswith(("+-", "|")):
        return line
    parts = line.split("``")
    return "``".join(part if number % 2 else part.replace("|", r"\|") for number, part in enumerate(parts))


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
            formula = what == "module" and line.startswith("    ")
            rewritten.append(line if formula else _bars(line))
            continue
        rewritten += [f"{entry['indent']}{entry['names']}", f"{entry['indent']}    {_bars(entry['meaning'])}"]
    lines[:] = rewritten


def setup(app: Any) -> None:
    """Before napoleon reads a docstring."""
    app.connect("autodoc-process-docstring", put_meanings_below, priority=400)
