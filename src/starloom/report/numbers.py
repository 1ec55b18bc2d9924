"""Numbers as text: as many digits as the interval is worth."""

from __future__ import annotations

import math
from typing import Any


def decimals(value: float, low: float | None, high: float | None) -> int:
    """Decimals that show two digits of the interval's half width, or four digits of a bare value.

    Examples
    --------
    >>> decimals(0.24313, 0.2213, 0.2687), decimals(731.2, 690.0, 770.0), decimals(0.182, None, None)
    (3, 0, 4)
    """
    width = 0.5 * abs(high - low) if low is not None and high is not None else 0.0
    scale, digits = (width, 2) if width > 0 else (abs(value), 4)
    if not math.isfinite(scale) or scale == 0:
        return 2
    return min(max(digits - 1 - math.floor(math.log10(scale)), 0), 12)


def text(value: float | None, places: int | None = None) -> str:
    """A number as text; an absent one is a dash, very small and very large ones are written with a power of ten.

    Examples
    --------
    >>> text(7346.0), text(0.18234), text(-1.5), text(None), text(2.5e-7), text(0.5, 1)
    ('7,346', '0.1823', '−1.5', '—', '2.5e−07', '0.5')
    """
    if value is None or not math.isfinite(value):
        return "—"
    if value != 0 and not 1e-4 <= abs(value) < 1e8:
        shown = f"{value:.4g}"
    elif places is None:
        shown = f"{value:,.{decimals(value, None, None)}f}"
        shown = shown.rstrip("0").rstrip(".") if "." in shown else shown
    else:
        shown = f"{value:,.{places}f}"
    return shown.replace("-", "−")


def interval(entry: dict[str, Any], places: int | None = None) -> str:
    """``low to high``, or nothing where there is none."""
    low, high = entry.get("low"), entry.get("high")
    return "" if low is None and high is None else f"{text(low, places)} to {text(high, places)}"


def bar(entry: dict[str, Any] | None) -> str:
    """The bar of a number in words of mathematics."""
    if entry is None:
        return ""
    if entry["op"] == "in":
        return f"{text(entry['value'][0])} to {text(entry['value'][1])}"
    return f"{'≤' if entry['op'] == '<=' else '≥'} {text(entry['value'])}"
