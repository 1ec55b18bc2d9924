"""Stars that move fast: candidates for hypervelocity stars."""

from __future__ import annotations

from starloom.datasets.dataset import DataFile, Dataset

OPEN_FAST_STARS = Dataset(
    name="open_fast_stars",
    title="Open Fast Stars Catalog: 491 candidates for hypervelocity stars",
    papers=(7,),
    files=(
        DataFile(
            name="stars",
            file_name="stars.parquet",
            meaning="first listed value of position, proper motion, parallax, velocity and distance of each star",
            units={
                **dict.fromkeys(("ra", "dec"), "deg"),
                **dict.fromkeys(
                    ("propermotionra", "propermotionra_err", "propermotiondec", "propermotiondec_err"), "mas/yr"
                ),
                **dict.fromkeys(("parallax", "parallax_err"), "mas"),
                **dict.fromkeys(("velocity", "velocity_err"), "km/s"),
                **dict.fromkeys(("lumdist", "lumdist_err"), "kpc"),
            },
        ),
    ),
    license="data open (cite the sources); code of astrocatalogs MIT",
    citation="2018MNRAS.479.2789B Boubert et al. 2018, Revisiting hypervelocity stars after Gaia DR2",
    notes=(
        "Velocities are heliocentric. Half of the stars have no error of the velocity or the distance. Later finds "
        "(S5-HVS1, LAMOST-HVS1) are not in it. The table has no source here: put it into a data folder."
    ),
)

DATASETS = (OPEN_FAST_STARS,)
