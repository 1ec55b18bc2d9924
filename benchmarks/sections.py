"""A page of results made of sections, one a system, so that one system can be run again without losing the others."""

from __future__ import annotations

from collections.abc import Mapping


def page(title: str, old: str, sections: Mapping[str, str]) -> str:
    """The whole page: new sections in the place of old ones of the same name, the others as they were.

    Parameters
    ----------
    title : what comes before the first section.
    old : the page as it is, empty where there is none.
    sections : by name; each text starts with "## name".
    """
    kept = {part.partition("\n")[0]: f"## {part}" for part in old.split("\n## ")[1:]}
    return "\n".join([title, *(text.strip("\n") + "\n" for text in (kept | dict(sections)).values())])
