"""The columns that stream membership needs and can use (light: read by ``starloom describe``).

``SCHEMA`` is for tables with sky positions, ``IN_FRAME`` for tables whose coordinates are those of the stream already.
"""

from __future__ import annotations

from dataclasses import replace

from starloom.catalog.schema import Column, Schema

SCHEMA = Schema(
    name="stream membership",
    meaning="stars around a stellar stream",
    columns=(
        Column("source_id", "", "identifier of the star", kind="integer"),
        Column("ra", "deg", "right ascension, ICRS", required=True),
        Column("dec", "deg", "declination, ICRS", required=True),
        Column("pmra", "mas/yr", "proper motion in right ascension times cos(dec)"),
        Column("pmra_error", "mas/yr", "its error"),
        Column("pmdec", "mas/yr", "proper motion in declination"),
        Column("pmdec_error", "mas/yr", "its error"),
        Column("pmra_pmdec_corr", "", "correlation of the two"),
        Column("parallax", "mas", "parallax"),
        Column("parallax_error", "mas", "its error"),
        Column("radial_velocity", "km/s", "line-of-sight velocity"),
        Column("radial_velocity_error", "km/s", "its error"),
        Column("phi1", "deg", "longitude along the stream"),
        Column("phi2", "deg", "latitude across the stream"),
        Column("pm_phi1_cosphi2", "mas/yr", "proper motion along phi1 times cos(phi2)"),
        Column("pm_phi1_cosphi2_error", "mas/yr", "its error"),
        Column("pm_phi2", "mas/yr", "proper motion along phi2"),
        Column("pm_phi2_error", "mas/yr", "its error"),
        Column("pm_phi1_cosphi2_pm_phi2_corr", "", "correlation of the two"),
        *(Column(f"{band}_mag", "mag", f"{band} magnitude") for band in "grizy"),
        *(Column(f"{band}_mag_error", "mag", f"error of the {band} magnitude") for band in "grizy"),
    ),
)

IN_FRAME = Schema(
    name="stream membership, coordinates of the stream",
    meaning=SCHEMA.meaning,
    columns=tuple(replace(column, required=column.name in ("phi1", "phi2")) for column in SCHEMA),
)
