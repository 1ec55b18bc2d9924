"""Flags of rows in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def in_words(flags: Iterable[int], meanings: Mapping[int, str]) -> list[str]:
    """What is set in each flag, by the meaning of each bit; empty where nothing is.

    Examples
    --------
    >>> in_words([0, 3], {1: "unbound", 2: "on the axis"})
    ['', 'unbound, on the axis']
    """
    return [", ".join(meaning for bit, meaning in meanings.items() if flag & bit) for flag in flags]
