"""The columns that metal-poor stars of the disk need and can use (light: read by ``starloom describe``)."""

from __future__ import annotations

from dataclasses import replace

from starloom.catalog.schema import Column, Schema
from starloom.dynamics.schema import SCHEMA as ORBITS
from starloom.stellar.age_schema import SCHEMA as AGES

_KNOWN = {column.name for column in ORBITS}

METAL_POOR = Schema(
    name="metal-poor-disk",
    meaning="stars with all six coordinates, [Fe/H], and whatever tells their ages",
    unique=None,  # a star that is there again gets a reason
    columns=(
        *ORBITS.columns,
        Column("snr", "", "signal-to-noise ratio of the spectrum"),
        *(replace(column, required=column.name == "fe_h") for column in AGES if column.name not in _KNOWN),
    ),
)
