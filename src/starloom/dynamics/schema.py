"""The columns that orbits of stars need and can use (light: read by ``starloom describe``)."""

from __future__ import annotations

from starloom.catalog.schema import Column, Schema

ASTROMETRY = ("ra", "dec", "parallax", "pmra", "pmdec")
PAIRS = tuple((a, b) for number, a in enumerate(ASTROMETRY) for b in ASTROMETRY[number + 1 :])

SCHEMA = Schema(
    name="orbits",
    meaning="stars with all six coordinates",
    unique=None,  # each row stands for itself: allStar has stars twice, and joins make more
    columns=(
        Column("source_id", "", "identifier of the star", kind="integer"),
        Column("ra", "deg", "right ascension, ICRS", required=True),
        Column("ra_error", "mas", "its error, times cos(dec)"),
        Column("dec", "deg", "declination, ICRS", required=True),
        Column("dec_error", "mas", "its error"),
        Column("distance", "kpc", "distance from the Sun; the parallax serves where there is none"),
        Column("distance_error", "kpc", "its error"),
        Column("parallax", "mas", "parallax"),
        Column("parallax_error", "mas", "its error"),
        Column("pmra", "mas/yr", "proper motion in right ascension times cos(dec)", required=True),
        Column("pmra_error", "mas/yr", "its error"),
        Column("pmdec", "mas/yr", "proper motion in declination", required=True),
        Column("pmdec_error", "mas/yr", "its error"),
        Column("radial_velocity", "km/s", "line-of-sight velocity", required=True),
        Column("radial_velocity_error", "km/s", "its error"),
        *(Column(f"{a}_{b}_corr", "", f"correlation of the errors of {a} and {b}") for a, b in PAIRS),
    ),
)
