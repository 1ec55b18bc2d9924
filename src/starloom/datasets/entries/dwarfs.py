"""Dwarf stars with abundances and ages."""

from __future__ import annotations

from starloom.datasets.dataset import DataFile, Dataset

HARPS_GTO = Dataset(
    name="harps_gto_ages",
    title="1,059 HARPS-GTO dwarfs with abundances and ages",
    papers=(4, 6),
    files=(
        DataFile(
            "stars",
            "abundances_ages.parquet",
            "Star, Teff, logg, loggHIP, __Fe_H_, __X_Fe_ of 16 species with e_ and o_ (lines), Mass, Age, e_Age, pop",
            units={"Teff": "K", "e_Teff": "K", "Age": "Gyr", "e_Age": "Gyr", "Mass": "solMass", "e_Mass": "solMass"},
        ),
    ),
    license="published journal tables (VizieR)",
    citation=(
        "2019A&A...624A..78D Delgado Mena et al. 2019, Abundance to age ratios in the HARPS-GTO sample with Gaia DR2; "
        "abundances: 2017A&A...606A..94D Delgado Mena et al. 2017"
    ),
    notes="VizieR J/A+A/624/A78 and J/A+A/606/A94, joined on Star: to be put into a data folder by hand.",
)

DATASETS = (HARPS_GTO,)
