"""The gallery page of the docs from the last tour: a small picture a study, its key number and where its input is from.

Each build of the docs writes it anew (conf.py), so that no picture is older than the code.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from PIL import Image

from starloom.report import numbers
from starloom.studies import registry

HERE = Path(__file__).resolve().parent
PAGE, PICTURES = HERE / "gallery.md", HERE / "images" / "gallery"
WIDTH = 900
HEAD = """# Gallery

A figure of each study in its shortest form (`starloom tour`), made small. The pages that a run writes have all figures,
numbers and tables.
"""
WITHOUT_TOUR = """
These pages were built without a tour: `make run` (or `starloom tour --out results/tour`) and then `make docs` put the
figures here.
"""


def picture(source: Path, target: Path) -> None:
    """A small copy."""
    with Image.open(source) as whole:
        image = whole.convert("RGB")
    image.thumbnail((WIDTH, WIDTH))
    image.save(target, optimize=True)


def section(name: str, folder: Path) -> str | None:
    """The lines of one study; None where it has no result."""
    try:
        record: dict[str, Any] = json.loads((folder / "results.json").read_text())
    except (OSError, ValueError):
        return None  # a study of the tour that failed, or a tour that was not run
    study = registry.get(name)
    named = [figure for figure in record["figures"] if figure["name"] == study.key_figure]
    figure = next(iter([*named, *record["figures"]]), None)
    if figure is None:
        return None
    PICTURES.mkdir(parents=True, exist_ok=True)
    picture(folder / "figures" / f"{figure['name']}.png", PICTURES / f"{name}.png")
    simulated = any(entry["kind"] == "simulated" for entry in record["inputs"])
    lines = [
        f"## {name}",
        "",
        f"{study.title} (arXiv:{study.arxiv}); {'simulated' if simulated else 'real'} input.",
        "",
    ]
    lines += [f"![{name}](images/gallery/{name}.png)", "", figure["caption"].replace("|", r"\|"), ""]
    keys = [entry for entry in record["numbers"] if entry["name"] == study.key_number]
    beside = [entry for entry in record["numbers"] if entry["published"] is not None]
    for entry in [*keys, *beside, *record["numbers"]][:1]:
        text = f"**{entry['name'].replace('_', ' ')}**: {numbers.text(entry['value'])} {entry['unit']}".rstrip()
        if (published := entry["published"]) is not None:
            same = "same data" if published["comparable"] else "other data"
            text += f"; published, {same}: {numbers.text(published['value'])}"
        lines += [text + ".", ""]
    return "\n".join(lines)


def page(tour: Path) -> str:
    """The page from the folder of a tour, its pictures drawn anew."""
    shutil.rmtree(PICTURES, ignore_errors=True)
    sections = [text for name in registry.names() if (text := section(name, tour / name)) is not None]
    return HEAD + ("\n" + "\n".join(sections).rstrip() + "\n" if sections else WITHOUT_TOUR)
