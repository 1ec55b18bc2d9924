"""The gallery page of the docs from a tour: a small picture a study, its key number and where its input is from.

starloom tour --out results/tour
python docs/make_gallery.py results/tour
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from PIL import Image

from starloom.report import numbers
from starloom.studies import registry

HERE = Path(__file__).resolve().parent
WIDTH, COLORS = 560, 48
HEAD = """---
orphan: true
---

# Gallery

A figure of each study in its shortest form (`starloom tour`), made small. The pages that a run writes have all figures,
numbers and tables.
"""


def picture(source: Path, target: Path) -> None:
    """A small copy with few colors."""
    image = Image.open(source).convert("RGB")
    image.thumbnail((WIDTH, WIDTH))
    image.quantize(COLORS, dither=Image.Dither.NONE).save(target, optimize=True)


def section(name: str, folder: Path) -> str | None:
    """The lines of one study; None where it has no result."""
    try:
        record: dict[str, Any] = json.loads((folder / "results.json").read_text())
    except (OSError, ValueError):
        return None
    study = registry.get(name)
    named = [figure for figure in record["figures"] if figure["name"] == study.key_figure]
    figure = next(iter([*named, *record["figures"]]), None)
    if figure is None:
        return None
    images = HERE / "images" / "gallery"
    images.mkdir(parents=True, exist_ok=True)
    picture(folder / "figures" / f"{figure['name']}.png", images / f"{name}.png")
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


def main(tour: Path) -> None:
    """Write docs/gallery.md."""
    sections = [text for name in registry.names() if (text := section(name, tour / name)) is not None]
    (HERE / "gallery.md").write_text(HEAD + "\n" + "\n".join(sections).rstrip() + "\n")
    print(f"{len(sections)} studies: {HERE / 'gallery.md'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
