"""The columns that orbits of stars need and can use (light: read by ``starloom describe``)."""

from __future__ import annotations

from starloom.catalog.schema import Schema, canonical

ASTROMETRY = ("ra", "dec", "parallax", "pmra", "pmdec")
PAIRS = tuple((a, b) for number, a in enumerate(ASTROMETRY) for b in ASTROMETRY[number + 1 :])

SCHEMA = Schema(
    name="orbits",
    meaning="stars with all six coordinates",
    unique=None,  # each row stands for itself: allStar has stars twice, and joins make more
    columns=(
        canonical("source_id"),
        canonical("ra", required=True),
        canonical("ra_error"),
        canonical("dec", required=True),
        canonical("dec_error"),
        canonical("distance", meaning="distance from the Sun; the parallax serves where there is none"),
        canonical("distance_error"),
        canonical("parallax"),
        canonical("parallax_error"),
        canonical("pmra", required=True),
        canonical("pmra_error"),
        canonical("pmdec", required=True),
        canonical("pmdec_error"),
        canonical("radial_velocity", required=True),
        canonical("radial_velocity_error"),
        *(canonical(f"{a}_{b}_corr") for a, b in PAIRS),
    ),
)
