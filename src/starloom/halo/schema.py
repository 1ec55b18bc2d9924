"""The columns that the mass of a halo needs and can use (light: read by ``starloom describe``)."""

from __future__ import annotations

from starloom.catalog.schema import Schema, canonical
from starloom.dynamics.schema import SCHEMA as ORBITS

SCHEMA = Schema(
    name="halo giants",
    meaning="giants with all six coordinates, iron and aluminum, observed by APOGEE",
    unique=None,  # a star that is there again gets a reason
    columns=(
        *(column for column in ORBITS.columns if column.name != "distance"),
        canonical("distance", required=True),
        canonical("fe_h", required=True),
        canonical("al_fe", required=True),
        canonical("logg", required=True),
        canonical("logg_error"),
        canonical("h_mag"),
    ),
)
