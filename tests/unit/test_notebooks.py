"""The notebooks of the docs: their code is formatted, and a domain has one. `make docs` runs them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.md"))
DOMAINS = {"streams", "stars", "disk", "halo", "galactic_center", "galaxies", "sdss"}


def test_each_domain_has_one():
    assert {path.stem for path in NOTEBOOKS} == DOMAINS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_code_is_python_and_uses_what_there_is(path):
    from importlib import import_module

    text = path.read_text()
    assert text.startswith("---\nfile_format: mystnb\n")
    cells = re.findall(r"```\{code-cell\}\n(.*?)```", text, re.DOTALL)
    assert cells
    for cell in cells:
        assert max(map(len, cell.splitlines())) <= 120
        for node in ast.walk(ast.parse(cell)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("starloom"):
                module = import_module(node.module)
                for name in node.names:
                    assert hasattr(module, name.name) or import_module(f"{node.module}.{name.name}")
