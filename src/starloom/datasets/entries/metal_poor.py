"""Metal-poor stars: velocities and abundances of surveys and of the literature."""

from __future__ import annotations

from starloom.datasets.dataset import DataFile, Dataset

S5_PDR1 = Dataset(
    name="s5_pdr1",
    title="S5, first public release: 31,777 stars with velocity and [Fe/H]",
    papers=(12, 11, 7),
    files=(
        DataFile(
            name="stars",
            file_name="stars.parquet",
            meaning="position, heliocentric velocity and [Fe/H] with errors, signal-to-noise and quality",
            units={
                **dict.fromkeys(("ra", "dec"), "deg"),
                **dict.fromkeys(("vel_calib", "vel_calib_std"), "km/s"),
            },
        ),
    ),
    license="public release of the survey; the repository that serves it (abonaca/streams_overview) states no licence",
    citation="2019MNRAS.490.3508L Li et al. 2019, The Southern Stellar Stream Spectroscopic Survey (S5): Overview",
    notes=(
        "Failed fits pile up at +-2000 km/s: use good_star_pb > 0.5, sn_1700d > 5, vel_calib_std < 20. The fields were "
        "laid on streams. No source here: put the table into a data folder."
    ),
)

JINABASE = Dataset(
    name="jinabase2021",
    title="JINAbase (2021): abundances of metal-poor stars in the literature, 7,789 rows",
    papers=(12,),
    files=(
        DataFile(
            name="abundances",
            file_name="abundances.parquet",
            meaning="sexagesimal positions (text), velocities of some, Teff, log g, [Fe/H], log eps of each element",
            units={"Teff": "K", "Vel": "km/s"},
        ),
    ),
    license="not stated; published literature data, never copied",
    citation="2018ApJS..238...36A Abohalima & Frebel 2018, JINAbase: A Database for Chemical Abundances",
    notes=(
        "Several rows a star: Priority = 1 is the one preferred. Loc says halo (HA), bulge (BU), dwarf galaxies (DW, "
        "UF). No source here: put the table into a data folder."
    ),
)

DATASETS = (S5_PDR1, JINABASE)
