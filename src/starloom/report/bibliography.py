"""Citations as BibTeX, from a bibcode or arXiv id followed by who and what in words."""

from __future__ import annotations

import re
from collections.abc import Sequence

ARXIV = re.compile(r"(?:arXiv:)?(\d{4}\.\d{4,5}(?:v\d+)?|[a-z-]+(?:\.[A-Z]{2})?/\d{7})")
BIBCODE = re.compile(r"\d{4}[A-Za-z&.]{5}[\w.]{9}[A-Z.]")


def link(reference: str) -> str | None:
    """Address of an arXiv id or a bibcode; None for anything else.

    Examples
    --------
    >>> link("1805.00425"), link("2018ApJ...863L..20P"), link("me")
    ('https://arxiv.org/abs/1805.00425', 'https://ui.adsabs.harvard.edu/abs/2018ApJ...863L..20P', None)
    """
    if match := ARXIV.fullmatch(reference):
        return f"https://arxiv.org/abs/{match[1]}"
    if BIBCODE.fullmatch(reference):
        return f"https://ui.adsabs.harvard.edu/abs/{reference.replace('&', '%26')}"
    return None


def bibtex(citations: Sequence[str]) -> str:
    """BibTeX entries for citations written as an id, a space, and who and what.

    Examples
    --------
    >>> print(bibtex(["1805.00425 Price-Whelan & Bonaca 2018"]))
    @misc{1805.00425,
      title = {Price-Whelan \\& Bonaca 2018},
      eprint = {1805.00425},
      archivePrefix = {arXiv},
      url = {https://arxiv.org/abs/1805.00425}
    }
    """
    return "\n\n".join(_entry(citation) for citation in citations)


def _entry(citation: str) -> str:
    reference, _, words = citation.partition(" ")
    address = link(reference)
    if address is None:
        reference, words = re.sub(r"\W+", "-", citation)[:40].strip("-"), citation
    fields = {"title": re.sub(r"([&%$#_])", r"\\\1", words.strip() or reference)}
    if match := ARXIV.fullmatch(reference):
        fields |= {"eprint": match[1], "archivePrefix": "arXiv"}
    if address is not None:
        fields["url"] = address
    body = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items())
    return f"@misc{{{reference},\n{body}\n}}"
