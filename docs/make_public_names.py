"""Write the page of all public names: `python docs/make_public_names.py` (a test says when it is out of date)."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "public_names.md"
HEAD = """# All public names

Every class, function and constant that another room may import, file by file, to be read aloud: one thing has one name,
and one name means one thing. Written by `python docs/make_public_names.py`.
"""


def public(path: Path) -> list[str]:
    """Names that a file defines and does not hide."""
    found: list[str] = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.append(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                found += [part.id for part in ast.walk(target) if isinstance(part, ast.Name)]
    return [name for name in found if not name.startswith("_")]


def page() -> str:
    """The text of the page."""
    source = ROOT / "src" / "starloom"
    parts, room = [HEAD], ""
    for path in sorted(source.rglob("*.py"), key=lambda p: (p.parent.relative_to(source).as_posix(), p.name)):
        names = public(path)
        if not names:
            continue
        here = ".".join(("starloom", *path.parent.relative_to(source).parts))
        if here != room:
            room = here
            parts.append(f"\n## {room}\n")
        parts.append(f"- `{path.stem}`: {', '.join(f'`{name}`' for name in names)}")
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
