"""APOGEE: which share of the stars of each field and cohort was observed."""

from __future__ import annotations

from starloom.datasets.dataset import DataFile, Dataset, Packaged

APOGEE_SAMPLING_FRACTIONS = Dataset(
    name="apogee_sampling_fractions",
    title="APOGEE and APOGEE-2: sampling fractions of 495 fields by cohort, H and (J - Ks)0 (gaiaunlimited 0.3.3)",
    papers=(5, 9),
    files=(
        DataFile(
            name="fractions",
            file_name="apogee_sampling_fractions.csv",
            meaning="a row a field, cohort and color bin: share of the 2MASS stars with a spectrum, and with an A_K",
            sources=(
                Packaged(
                    "gaiaunlimited",
                    "0.3.3",
                    "468be4cfbfda1b4fd0e38ad88b4e4f3750b5bb41a87b46348866a617b1fe02ea",
                    5236295,
                    "gaiaunlimited/data/apogee_sampling_fractions.csv",
                ),
            ),
            sha256="db72b9e67a73905091ef01ebaab9fafc20270a9e600cf15693222c640f59b889",
            units={
                **dict.fromkeys(("RA", "DEC", "RADIUS", "GLON", "GLAT"), "deg"),
                **dict.fromkeys(("Hmin", "Hmax", "JK0min", "JK0max"), "mag"),
            },
        ),
    ),
    license="BSD-3-Clause by the license file of the package, MIT by its metadata",
    citation=(
        "2024A&A...683A.128C Cantat-Gaudin et al. 2024, Uniting Gaia and APOGEE to unveil the cosmic chemistry of the "
        "Milky Way disc"
    ),
    notes="The release of APOGEE behind the table is not stated in the file. fracAK: share with a measured A_K.",
)

DATASETS = (APOGEE_SAMPLING_FRACTIONS,)
