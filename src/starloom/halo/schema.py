"""The columns that the mass of a halo needs and can use (light: read by ``starloom describe``)."""

from __future__ import annotations

from starloom.catalog.schema import Column, Schema
from starloom.dynamics.schema import SCHEMA as ORBITS

SCHEMA = Schema(
    name="halo giants",
    meaning="giants with all six coordinates, iron and aluminum, observed by APOGEE",
    unique=None,  # a star that is there again gets a reason
    columns=(
        *(column for column in ORBITS.columns if column.name != "distance"),
        Column("distance", "kpc", "distance from the Sun", required=True),
        Column("fe_h", "", "[Fe/H]", required=True),
        Column("al_fe", "", "[Al/Fe]", required=True),
        Column("logg", "", "surface gravity, log10 of cm/s^2", required=True),
        Column("logg_error", "", "its error"),
        Column("h_mag", "mag", "2MASS H magnitude"),
    ),
)
