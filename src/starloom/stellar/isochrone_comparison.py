"""How two isochrones differ in a color-magnitude diagram, phase by phase."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from starloom.errors import ConfigError
from starloom.stellar.isochrones import Floats, Isochrone

if TYPE_CHECKING:
    from astropy.table import QTable

TURN_OFF_HALF_WIDTH = 0.5
"""Magnitudes on either side of the bluest point that count as the turn-off."""


def _ridge(isochrone: Isochrone, bands: Sequence[str], faint: float) -> tuple[Floats, Floats, float]:
    """Magnitude (growing) and color of each brighter star in turn, and the magnitude of the bluest point."""
    magnitudes = isochrone.magnitudes([bands[0], bands[1], bands[-1] if len(bands) > 2 else bands[0]])
    magnitudes = magnitudes[np.isfinite(magnitudes).all(axis=1)]
    color, magnitude = magnitudes[:, 0] - magnitudes[:, 1], magnitudes[:, 2]
    color, magnitude = color[magnitude <= faint], magnitude[magnitude <= faint]
    if len(color) < 3:
        raise ConfigError("a comparison needs at least three points with magnitudes in each isochrone")
    turn_off = float(magnitude[int(np.argmin(color))])
    # where the curve turns a little fainter, as some sub-giant branches do, the first star of each magnitude counts
    brightest_before = np.minimum.accumulate(magnitude)[:-1]
    keep = np.concatenate([[True], magnitude[1:] < brightest_before])
    return magnitude[keep][::-1], color[keep][::-1], turn_off


def compare_isochrones(
    a: Isochrone, b: Isochrone, bands: Sequence[str], *, step: float = 0.05, faint: float = np.inf
) -> QTable:
    """Color of a minus color of b at equal magnitude, along the main sequence, the turn-off and the giant branch.

    The measure: both curves are read as color against magnitude, from the lowest mass to the tip of the giant branch,
    at magnitudes ``step`` apart which both have. The turn-off is the bluest point of b; the phase of a magnitude is
    ``turn-off`` within 0.5 mag of it, ``main sequence`` below, ``giant branch`` above. On the sub-giant branch, where
    the curve is nearly level, a small shift in magnitude is a large one in color.

    Parameters
    ----------
    a, b : isochrones with magnitudes, cut to the main sequence and giant branch (see `Isochrone.cut`).
    bands : two bands, blue and red; the first is also the magnitude, unless a third is given.
    step : distance of the magnitudes compared, in mag.
    faint : faintest magnitude compared.

    Returns
    -------
    table : columns ``phase``, ``magnitude``, ``color_a``, ``color_b``, ``difference`` (mag); its ``meta`` has for each
        phase the number of magnitudes and the median, median absolute and maximum absolute difference.

    Raises
    ------
    ConfigError
        When a magnitude is missing, or the curves have no magnitude in common.
    """
    from astropy import units
    from astropy.table import QTable

    if isinstance(bands, str) or len(bands) not in (2, 3) or not step > 0:
        raise ConfigError("a comparison needs two bands (blue, red), perhaps a third for the magnitude, and step > 0")
    magnitude_a, color_a, _ = _ridge(a, bands, faint)
    magnitude_b, color_b, turn_off = _ridge(b, bands, faint)
    low = max(magnitude_a[0], magnitude_b[0])
    high = min(magnitude_a[-1], magnitude_b[-1], faint)
    if not low < high:
        raise ConfigError("the two isochrones have no magnitude in common")
    at = np.arange(low, high, step)
    on_a, on_b = np.interp(at, magnitude_a, color_a), np.interp(at, magnitude_b, color_b)
    phase = np.where(
        np.abs(at - turn_off) <= TURN_OFF_HALF_WIDTH,
        "turn-off",
        np.where(at > turn_off, "main sequence", "giant branch"),
    )
    table = QTable({"phase": phase})
    for name, values in (("magnitude", at), ("color_a", on_a), ("color_b", on_b), ("difference", on_a - on_b)):
        table[name] = values * units.mag
    for name in ("main sequence", "turn-off", "giant branch"):
        part = (on_a - on_b)[phase == name]
        if len(part):
            table.meta[name] = {
                "count": len(part),
                "median": float(np.median(part)),
                "median_absolute": float(np.median(np.abs(part))),
                "maximum_absolute": float(np.abs(part).max()),
            }
    return table
