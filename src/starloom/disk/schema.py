"""The columns that the studies of the disks need and can use (light: read by ``starloom describe``)."""

from __future__ import annotations

from starloom.catalog.schema import Column, Schema

SEQUENCES = Schema(
    name="alpha sequences",
    meaning="stars with an iron and an alpha abundance",
    columns=(
        Column("fe_h", "", "[Fe/H]", required=True),
        Column("alpha_m", "", "[alpha/M], [alpha/Fe] or [Mg/Fe]", required=True),
        Column("teff", "K", "effective temperature"),
        Column("logg", "", "surface gravity, log10 of cm/s^2"),
    ),
)

AGES = Schema(
    name="ages and metallicities",
    meaning="stars with ages, abundances and places in the Galaxy",
    columns=(
        Column("age", "Gyr", "age", required=True),
        Column("fe_h", "", "[Fe/H]", required=True),
        Column("galactic_radius", "kpc", "distance from the Galactic center in the plane", required=True),
        Column("galactic_height", "kpc", "height above the plane", required=True),
        Column("alpha_m", "", "[alpha/M], [alpha/Fe] or [Mg/Fe]"),
        Column("age_error", "Gyr", "error of the age"),
        Column("age_low", "Gyr", "lower 68 % bound of the age"),
        Column("age_high", "Gyr", "upper 68 % bound of the age"),
        Column("fe_h_error", "", "error of [Fe/H]"),
        Column("action_r", "kpc km/s", "radial action"),
        Column("eccentricity", "", "eccentricity of the orbit"),
        Column("ra", "deg", "right ascension, ICRS"),
        Column("dec", "deg", "declination, ICRS"),
    ),
)
