"""The columns that the studies of the disks need and can use (light: read by ``starloom describe``)."""

from __future__ import annotations

from starloom.catalog.schema import Schema, canonical

SEQUENCES = Schema(
    name="alpha sequences",
    meaning="stars with an iron and an alpha abundance",
    columns=(
        canonical("fe_h", required=True),
        canonical("alpha_m", meaning="[alpha/M], [alpha/Fe] or [Mg/Fe]", required=True),
        canonical("teff"),
        canonical("logg"),
    ),
)

AGES = Schema(
    name="ages and metallicities",
    meaning="stars with ages, abundances and places in the Galaxy",
    columns=(
        canonical("age", required=True),
        canonical("fe_h", required=True),
        canonical("galactic_radius", required=True),
        canonical("galactic_height", required=True),
        canonical("alpha_m", meaning="[alpha/M], [alpha/Fe] or [Mg/Fe]"),
        canonical("age_error"),
        canonical("age_low"),
        canonical("age_high"),
        canonical("fe_h_error"),
        canonical("action_r"),
        canonical("eccentricity"),
        canonical("ra"),
        canonical("dec"),
    ),
)
