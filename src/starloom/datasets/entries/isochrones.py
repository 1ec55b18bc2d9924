"""Stellar models: isochrone grids and bolometric corrections."""

from __future__ import annotations

from starloom.datasets.dataset import DataFile, Dataset, Packaged


def _grid(name: str, file_name: str, meaning: str, sha256: str) -> DataFile:
    archive = "87e2bb19abf65f701c20805ed6daab7411d287ef14667d9a1a111675b2638907"
    source = Packaged("lachesis-grids", "0.0.9", archive, 75686407, f"lachesis_grids/grids/{file_name}")
    return DataFile(name, file_name, meaning, (source,), sha256)


ISOCHRONE_GRIDS = Dataset(
    name="isochrone_grids",
    title="Isochrone grids in one layout (lachesis-grids 0.0.9)",
    papers=(2, 5, 6, 7, 12),
    files=(
        _grid(
            "mist",
            "mist_v2.5_vvcrit0.4.h5",
            "MIST v2.5, v/vcrit = 0.4: [Fe/H] -4 to +0.5, log age 5 to 10.3, equivalent evolutionary points",
            "357461d7cbe3df41ff86c76508c0eb1487cb6b823594c459cf6cc49a6f150d4b",
        ),
        _grid(
            "parsec",
            "parsec_v1.25.h5",
            "PARSEC v1.2S: [Fe/H] -2 to +0.5",
            "89f4cf2ad10a8e15a7d59ece62621ecaa07ab8afea4d7477c19836905c992e86",
        ),
        _grid(
            "basti",
            "basti.h5",
            "BaSTI",
            "2c82e9f79e10215fcebf61be40967de5cd67e1e51e107be490c71a1074ee15bc",
        ),
        _grid(
            "dartmouth",
            "dartmouth_dsep.h5",
            "Dartmouth (DSEP)",
            "28c56c55d1192ef80e1b166cf5be533168cfc9fee2a535a6deea5ff7ce35b758",
        ),
        _grid(
            "geneva",
            "geneva.h5",
            "Geneva, from tracks without rotation",
            "3d246c3d17fe49868a121d362c35c21d7eff69d7f7312f7fc9e3ac97b3dff667",
        ),
        _grid(
            "yapsi",
            "yapsi.h5",
            "YaPSI",
            "2cc92ffefad8e1d00fb27dcabe464bcb43c39fa8fee85777e7553881f2c961a4",
        ),
        _grid(
            "starevol",
            "starevol.h5",
            "STAREVOL, with rotation",
            "ed0be146c0d51fa882bc5e71d5fd034e0e756b74cddda613578778f23642d5e7",
        ),
        _grid(
            "bhac15",
            "bhac15.h5",
            "BHAC15: low masses, solar metallicity",
            "05f68576bc7c9a502521f17f1de32a9b4b95dbb32a6137b8ee35651185327f5c",
        ),
    ),
    license="not stated by the package; used from the registry only, never copied",
    citation="2016ApJ...823..102C Choi et al. 2016, MESA Isochrones and Stellar Tracks (MIST). I. Solar-scaled Models",
    notes="Cite the models used: for PARSEC 2012MNRAS.427..127B, for the MIST method also 2016ApJS..222....8D.",
)

BOLOMETRIC_CORRECTIONS = Dataset(
    name="bolometric_corrections",
    title="MIST bolometric corrections with extinction (astroLACHESIS 1.0.9)",
    papers=(2, 5, 7, 12),
    files=(
        DataFile(
            "tables",
            "bc_tables.h5",
            "corrections against Teff, log g, [Fe/H], A_V (R_V = 3.1) for Gaia, 2MASS, PS1, SDSS, WISE and more",
            (
                Packaged(
                    "astroLACHESIS",
                    "1.0.9",
                    "979becefc1aeb04cfe2e35541dd8b9721dc92ec53cd2d1745ace5e32a69e46fc",
                    22974406,
                    "lachesis/Datafiles/BC_tables/bc_tables.h5",
                ),
            ),
            "164f12ac758b6b454bbde9b08c28b1d0e51dbe08e2108d7a44723fc06fdf2f12",
        ),
    ),
    license="MIT",
    citation="2016ApJ...823..102C Choi et al. 2016, MESA Isochrones and Stellar Tracks (MIST). I. Solar-scaled Models",
)

DATASETS = (ISOCHRONE_GRIDS, BOLOMETRIC_CORRECTIONS)
