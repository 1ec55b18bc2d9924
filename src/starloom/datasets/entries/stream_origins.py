"""Orbits of streams and where they may come from: points along streams, globular clusters, dwarf galaxies."""

from __future__ import annotations

from starloom.datasets import galpy_objects
from starloom.datasets.dataset import DataFile, Dataset, Packaged

STREAM_ORBIT_INPUTS = Dataset(
    name="stream_orbit_inputs",
    title="Positions, distances, proper motions and velocities along 22 streams",
    papers=(11,),
    files=(
        DataFile(
            name="measurements",
            file_name="stream_tracks.parquet",
            meaning="one measurement a row: stream, quantity, ra, dec (where given), value, error; 14,497 rows",
            units={"ra_deg": "deg", "dec_deg": "deg"},
        ),
    ),
    license="MIT (repository abonaca/disrupted_gc)",
    citation="2021ApJ...909L..26B Bonaca et al. 2021, Orbital Clustering Identifies the Origins of Galactic Streams",
    notes=(
        "Published as pickles, which Starloom does not load; put the converted table into a data folder. The error of "
        "a declination is the width of the stream. 21 streams have distances, 5 have velocities."
    ),
)

MW_PROGENITORS = Dataset(
    name="mw_progenitors",
    title="Globular clusters and dwarf galaxies of the Milky Way with positions in six dimensions",
    papers=(5, 11),
    files=(
        DataFile(
            name="clusters",
            file_name="galpy_named_objects.parquet",
            meaning="galpy's named objects: 161 globular clusters with errors, satellites, planets",
            sources=(
                Packaged(
                    "galpy",
                    "1.12.1",
                    "d6f58cffca07c6693a6dcde660833d1b7089edc60082edfcb7b7d7d8ba8d3357",
                    1475284,
                    "galpy/orbit/named_objects.json",
                    wheel=False,
                    convert=galpy_objects.named_objects,
                ),
            ),
            units={
                **dict.fromkeys(("ra", "dec"), "deg"),
                **dict.fromkeys(("distance", "distance_e"), "kpc"),
                **dict.fromkeys(("pmra", "pmdec", "pmra_e", "pmdec_e"), "mas/yr"),
                **dict.fromkeys(("vlos", "vlos_e"), "km/s"),
            },
        ),
        DataFile(
            name="dwarf_galaxies",
            file_name="lvdb_dwarf_mw.parquet",
            meaning="dwarf galaxies of the Milky Way in the Local Volume Database, 68 rows",
            units={
                **dict.fromkeys(("ra", "dec"), "deg"),
                **dict.fromkeys(("distance", "distance_em", "distance_ep"), "kpc"),
                **dict.fromkeys(("pmra", "pmra_em", "pmra_ep", "pmdec", "pmdec_em", "pmdec_ep"), "mas/yr"),
                **dict.fromkeys(("vlos_systemic", "vlos_systemic_em", "vlos_systemic_ep"), "km/s"),
            },
        ),
    ),
    license="galpy BSD-3-Clause; Local Volume Database CC0-1.0",
    citation=(
        "2021MNRAS.505.5978V Vasiliev & Baumgardt 2021, Gaia EDR3 view on galactic globular clusters; galpy "
        "2015ApJS..216...29B; dwarf galaxies 2025OJAp....8E.142P Pace 2025, The Local Volume Database"
    ),
    notes=(
        "Proper motions of the planets in galpy's list are no measurements; clusters without velocity are left out. "
        "The dwarf galaxies have no source here: put the table into a data folder."
    ),
)

DATASETS = (STREAM_ORBIT_INPUTS, MW_PROGENITORS)
