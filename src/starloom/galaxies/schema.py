"""The columns that the study of the color-redshift relation needs (light: read by ``starloom describe``)."""

from __future__ import annotations

from starloom.catalog.schema import Column, Schema, canonical

SCHEMA = Schema(
    name="color-redshift map",
    meaning="galaxies with magnitudes in several bands, some of them with a spectroscopic redshift",
    columns=(
        Column("zspec", "", "spectroscopic redshift; 0 or missing: none", required=True),
        Column("z_class", "", "confidence class of the redshift, as zCOSMOS writes it"),
        canonical("ra"),
        canonical("dec"),
        *(Column(band, "mag", f"{band} magnitude") for band in ("u", "B", "g", "V", "r", "i", "z", "J", "K")),
        *(Column(f"{b}_err", "mag", f"error of it, {b}") for b in ("u", "B", "g", "V", "r", "i", "z", "J", "K")),
    ),
)
