"""Stars around the Sun with all six coordinates."""

from __future__ import annotations

from starloom.datasets.dataset import DataFile, Dataset

GAIA_DR2_LOCAL_6D = Dataset(
    name="gaia_dr2_local_6d",
    title="4,096 Gaia DR2 stars within 100 pc with radial velocities",
    papers=(10,),
    files=(
        DataFile(
            name="stars",
            file_name="gaia.parquet",
            meaning="positions, parallaxes, proper motions, radial velocities, G, BP and RP; no errors, no identifiers",
            units={
                **dict.fromkeys(("ra", "dec"), "deg"),
                "parallax": "mas",
                **dict.fromkeys(("pmra", "pmdec"), "mas/yr"),
                "radial_velocity": "km/s",
                **dict.fromkeys(("phot_g_mean_mag", "phot_bp_mean_mag", "phot_rp_mean_mag"), "mag"),
            },
        ),
    ),
    license="BSD-3-Clause (repository astropy/astropy-tutorials); Gaia data, ESA/Gaia/DPAC",
    citation="2018A&A...616A...1G Gaia Collaboration 2018, Gaia Data Release 2",
    notes=(
        "The sample of astropy's tutorial on orbits (gaia-galactic-orbits/gaia_data.fits), as Parquet: put it into a "
        "data folder. All parallaxes are above 10 mas: too near to show a phase spiral."
    ),
)

DATASETS = (GAIA_DR2_LOCAL_6D,)
